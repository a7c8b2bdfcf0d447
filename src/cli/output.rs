//! Results on stdout: text, JSON, tables. Errors are printed by `main`.
//!
//! Everything is written at once, so that half a result is never seen; a reader that has gone away is no failure.

use crate::error::{Context, Error, Result};
use serde::Serialize;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Writes `text` to stdout.
///
/// # Errors
/// When stdout cannot be written, unless nobody reads it any more (EPIPE).
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context(|| "cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// Tells people something on stderr that is neither result nor error. A stderr that is gone is no failure.
pub fn note(message: &str) {
    drop(writeln!(io::stderr().lock(), "{message}"));
}

/// Writes `value` to stdout as indented JSON.
///
/// # Errors
/// As [`print()`].
pub fn json(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value).map_err(unwritable)? + "\n"))
}

/// Writes `value` to stdout as JSON on one line.
///
/// # Errors
/// As [`print()`].
pub fn json_line(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string(value).map_err(unwritable)? + "\n"))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::host("cannot write the result as JSON").because(error)
}

/// Rows under a header, each column as wide as its widest cell.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Blanks between two columns.
const GAP: usize = 3;
/// A column is not cut below this many characters.
const NARROWEST: usize = 8;

impl Table {
    /// A table with no rows yet.
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row of as many cells.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the table to stdout, cut to the terminal's width if it is one; a file or pipe gets every character.
    ///
    /// # Errors
    /// As [`print()`].
    pub fn print(&self) -> Result<()> {
        let stdout = io::stdout();
        let width = crate::sys::pty::size(stdout.as_fd()).ok().map(|(_, columns)| usize::from(columns));
        print(&self.render(width.filter(|columns| *columns > 0)))
    }

    /// The table as text, with every character.
    pub fn whole(&self) -> String {
        self.render(None)
    }

    /// The table as text; with a width, the widest columns are cut until a line fits.
    fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let length = |text: &String| text.chars().count();
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0))
            .collect();
        while let Some(limit) = width {
            let line = widths.iter().sum::<usize>() + GAP * columns.saturating_sub(1);
            let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROWEST) else { break };
            if line <= limit {
                break;
            }
            *widest = widest.saturating_sub(line - limit).max(*widest * 3 / 4).max(NARROWEST);
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&cut(cell, *width));
                line.push_str(&" ".repeat(width.saturating_sub(length(cell)) + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// At most `width` characters of `cell`, the last of them `…` where something was cut.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "PID", "BUNDLE"]);
        table.row(vec![
            "a".into(),
            "17".into(),
            "/run/containerd/io.containerd.runtime.v2.task/default/a".into(),
        ]);
        table.row(vec!["longer-name".into(), "0".into(), "/b".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_nothing_is_cut_without_a_terminal() {
        let want = "ID            PID   BUNDLE\n\
                    a             17    /run/containerd/io.containerd.runtime.v2.task/default/a\n\
                    longer-name   0     /b\n";
        assert_eq!(table().render(None), want);
    }

    #[test]
    fn lines_fit_the_terminal() {
        for width in [30, 40, 60, 80] {
            let text = table().render(Some(width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{width}:\n{text}");
            assert!(text.contains("longer-name") || width < 40, "{text}");
        }
        // Below the narrowest columns the terminal wraps; nothing loops or panics.
        assert!(table().render(Some(1)).contains('…'));
    }
}
