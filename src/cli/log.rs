//! The `--log` file: one line for the error that ends the command, and nothing else.
//!
//! Shims show the last error line of it, and Podman parses the whole file as one object: hence exactly one line.

use crate::error::{Context, Result};
use std::io::Write;
use std::path::Path;

/// Appends the line for `message`, as JSON or in logrus' text form.
///
/// # Errors
/// When the file can be neither opened nor made nor written.
pub fn append(path: &Path, json: bool, message: &str) -> Result<()> {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = line(json, message, &crate::model::time::rfc3339(seconds));
    // One write, so that commands that share the file do not tear each other's lines.
    let open = || std::fs::OpenOptions::new().append(true).create(true).open(path);
    open()
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .context(|| format!("cannot write the log file {path:?}"))
}

fn line(json: bool, message: &str, time: &str) -> String {
    if json {
        let message = serde_json::Value::from(message);
        return format!("{{\"level\":\"error\",\"msg\":{message},\"time\":\"{time}\"}}\n");
    }
    // logrus quotes whatever is not plain; a message always is not.
    format!("time=\"{time}\" level=error msg={message:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let message = "cannot start \"a\":\nno";
        let json = line(true, message, "2026-01-02T03:04:05Z");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["msg"], message);
        assert_eq!(value["level"], "error");
        assert_eq!(value["time"], "2026-01-02T03:04:05Z");
        assert_eq!(json.matches('\n').count(), 1);
        let text = line(false, message, "2026-01-02T03:04:05Z");
        let want = "time=\"2026-01-02T03:04:05Z\" level=error msg=\"cannot start \\\"a\\\":\\nno\"\n";
        assert_eq!(text, want);
    }
}
