//! Manifests as text, and what becomes of them.

mod hostile;
mod life;
mod problems;
mod reading;
mod table;

use crate::manifest::{Manifest, Options, read};

const LENIENT: Options = Options { ignore_unsupported: true };
const STRICT: Options = Options { ignore_unsupported: false };

/// One pod of one container, with lines added at the end of each.
fn with(container: &str, spec: &str) -> String {
    let indent = |text: &str, by: usize| -> String {
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shop\nspec:\n{}  containers:\n  - name: web\n    image: nginx\n{}",
        indent(spec, 2),
        indent(container, 4)
    )
}

fn one(text: &str) -> Manifest {
    let mut all =
        read(text.as_bytes(), "shop.yaml", &STRICT).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn refused(text: &str) -> String {
    match read(text.as_bytes(), "shop.yaml", &STRICT) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => format!("{error}\nhint: {}", error.remedy().unwrap_or_default()),
    }
}
