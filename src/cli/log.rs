//! The `--log` file: one line for the error that ends the command, and nothing else unless more is asked for.
//!
//! Shims show the last error line of it, and Podman parses the whole file as one object: hence exactly one line.
//! `--debug` and `--log-level` ask for more, step by step; without a file that goes to stderr.

use super::{Globals, LogFormat};
use crate::error::{Context, Kind, Result};
use crate::report::{self, Level};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Begins to write what the flags ask for beyond the error.
///
/// # Errors
/// When the file can be neither opened nor made.
pub fn begin(globals: &Globals) -> Result<()> {
    let level = match globals.log_level.as_str() {
        _ if globals.debug => Level::Debug,
        "debug" | "trace" => Level::Debug,
        "info" => Level::Info,
        "warn" | "warning" => Level::Warning,
        _ => return Ok(()),
    };
    let file = globals.log.as_deref().map(|path| open(path).context_as(Kind::User, || title(path)));
    let (file, json) = (file.transpose()?, globals.log_format == LogFormat::Json);
    report::log_to(level, move |level, message| {
        let line = line(json, level, message, &now());
        // What cannot be written must not stop what is being done.
        drop(match &file {
            Some(file) => (&mut &*file).write_all(line.as_bytes()),
            // It has been told as a warning.
            None if level == Level::Warning => Ok(()),
            None => io::stderr().lock().write_all(line.as_bytes()),
        });
    });
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn title(path: &Path) -> String {
    format!("cannot write the log file {path:?}")
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    crate::model::time::rfc3339(since.map_or(0, |since| since.as_secs()))
}

/// Appends the line for `message`, as JSON or in logrus' text form.
///
/// # Errors
/// When the file can be neither opened nor made nor written.
pub fn append(path: &Path, json: bool, message: &str) -> Result<()> {
    let line = line(json, Level::Error, message, &now());
    // One write, so that commands that share the file do not tear each other's lines.
    open(path).and_then(|mut file| file.write_all(line.as_bytes())).context(|| title(path))
}

fn line(json: bool, level: Level, message: &str, time: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    if json {
        let message = serde_json::Value::from(message);
        return format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n");
    }
    // logrus quotes whatever is not plain; a message always is not.
    format!("time=\"{time}\" level={level} msg={message:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let message = "cannot start \"a\":\nno";
        let json = line(true, Level::Error, message, "2026-01-02T03:04:05Z");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["msg"], message);
        assert_eq!(value["level"], "error");
        assert_eq!(value["time"], "2026-01-02T03:04:05Z");
        assert_eq!(json.matches('\n').count(), 1);
        let text = line(false, Level::Error, message, "2026-01-02T03:04:05Z");
        let want = "time=\"2026-01-02T03:04:05Z\" level=error msg=\"cannot start \\\"a\\\":\\nno\"\n";
        assert_eq!(text, want);
    }
}
