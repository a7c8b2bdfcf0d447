//! What the tests need before they begin, and the files of the test tree itself.

use super::{Case, bundle, machine, runtime};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's top folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Path of an archive with the image of busybox.
pub fn busybox() -> String {
    super::runtime::path_text(&project().join("rootfs/build/images/busybox.tar"))
}

/// Checks for root and the binary, and makes the root file systems where they are missing.
pub fn prepare() -> Result<(), String> {
    if !machine::is_root() {
        return Err("they need root; run scripts/test as root".into());
    }
    let binary = runtime::podrun_binary()?;
    println!("testing {}", binary.display());
    let probe = bundle::Rootfs::Probe.directory();
    let busybox = bundle::Rootfs::Busybox.directory();
    // Always: it does nothing when they are newer than their sources.
    let make = project().join("rootfs/make");
    let status =
        Command::new(&make).status().map_err(|error| format!("cannot run {}: {error}", make.display()))?;
    if status.success() && probe.is_dir() && busybox.is_dir() {
        Ok(())
    } else {
        Err(format!("{} did not make the root file systems ({status})", make.display()))
    }
}

/// Fails for a source file of `integration/` that no module names.
pub fn every_file_is_used() -> Result<(), String> {
    let top = project().join("integration");
    let mut forgotten = Vec::new();
    forgotten_in(&top, &top.join("main.rs"), &mut forgotten);
    forgotten_in(&top.join("harness"), &top.join("harness/mod.rs"), &mut forgotten);
    if forgotten.is_empty() { Ok(()) } else { Err(format!("no module names {forgotten:?}")) }
}

fn forgotten_in(folder: &Path, list: &Path, forgotten: &mut Vec<PathBuf>) {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let named = text.lines().any(|line| line.trim_start_matches("pub ") == format!("mod {name};"));
        if path != list && !named {
            forgotten.push(path);
        }
    }
}

/// The tests that `integration/expected-skips.txt` expects to be skipped under these conditions.
///
/// # Errors
/// When the file cannot be read, or names a test or a condition that does not exist.
pub fn expected_skips(cases: &[Case]) -> Result<BTreeSet<String>, String> {
    let path = project().join("integration/expected-skips.txt");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let conditions = machine::conditions();
    let mut expected = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((condition, name)) = line.split_once(char::is_whitespace) else {
            return Err(format!("{}: not `condition test`: {line}", path.display()));
        };
        let name = name.trim();
        if !cases.iter().any(|case| case.name == name) {
            return Err(format!("{}: there is no test {name}", path.display()));
        }
        match conditions.iter().find(|(known, _)| *known == condition) {
            None => return Err(format!("{}: there is no condition {condition}", path.display())),
            Some((_, true)) => drop(expected.insert(name.to_owned())),
            Some((_, false)) => {}
        }
    }
    Ok(expected)
}
