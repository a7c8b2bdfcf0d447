//! clap's errors as podrun's: one line that says what is wrong, and the remedy as the hint.

use crate::error::{Error, Kind};
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Turns what clap says over several paragraphs into one message and one hint.
pub fn from_clap(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().map(one_line).unwrap_or_default();
    let message = match missing_value(error) {
        // In the words of Go's flag package, which Podman looks for.
        Some(flag) => format!("flag needs an argument: {flag}"),
        None => shortened(error, first.strip_prefix("error: ").unwrap_or(&first)),
    };
    let (mut tips, mut usage) = (Vec::new(), None);
    for paragraph in paragraphs {
        let line = one_line(paragraph);
        if let Some(tip) = line.strip_prefix("tip: ") {
            // clap would have every unknown flag be a word for the program in the container.
            tips.extend(tip.split(" tip: ").filter(|tip| !tip.starts_with("to pass ")).map(str::to_owned));
        } else if let Some(forms) = paragraph.strip_prefix("Usage: ") {
            usage =
                Some(format!("usage: {}", forms.lines().map(str::trim).collect::<Vec<_>>().join(", or ")));
        }
    }
    let remedy = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<Error>())
        .and_then(Error::remedy)
        .map(str::to_owned)
        .or_else(|| (!tips.is_empty()).then(|| tips.join("; ")))
        .or(usage)
        .unwrap_or_else(|| "podrun COMMAND --help tells what it takes".to_owned());
    Error::new(Kind::Usage, message).hint(remedy)
}

/// clap repeats a wrong value whole, however long it is.
fn shortened(error: &clap::Error, message: &str) -> String {
    const LONGEST: usize = 64;
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if value.chars().count() > LONGEST => {
            let start: String = value.chars().take(LONGEST).collect();
            message.replace(value.as_str(), &format!("{start}..."))
        }
        _ => message.to_owned(),
    }
}

fn one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The flag that stands without its value.
fn missing_value(error: &clap::Error) -> Option<&str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let empty = error.kind() == ErrorKind::InvalidValue && text(ContextKind::InvalidValue)?.is_empty();
    text(ContextKind::InvalidArg)?.split(' ').next().filter(|flag| empty && flag.starts_with('-'))
}
