//! Warnings: things the user should know that do not stop the command. Errors are returned, never reported here.

use std::io::Write;

/// Prints `warning: message` on stderr. A stderr that cannot be written is no reason to stop.
pub fn warn(message: &str) {
    drop(writeln!(std::io::stderr().lock(), "warning: {message}"));
}
