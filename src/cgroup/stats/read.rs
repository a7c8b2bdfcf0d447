//! The forms that counters are written in.

use super::super::freeze;
use super::super::kill::vanished;
use crate::error::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The files of a group in one hierarchy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) dir: &'a Path,
}

impl Files<'_> {
    /// A file's content, empty where there is none. `EOPNOTSUPP` is the kernel's answer where pressure is not
    /// counted (the boot parameter psi=0).
    pub(super) fn text(self, file: &str) -> Result<String> {
        let path = self.dir.join(file);
        match std::fs::read_to_string(&path) {
            Err(error) if vanished(&error) || error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                Ok(String::new())
            }
            result => result.context(|| format!("cannot read {}", path.display())),
        }
    }

    /// A file that is one number: `max` is the largest, and nothing is 0.
    pub(super) fn number(self, file: &str) -> Result<u64> {
        let text = self.text(file)?;
        Ok(if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) })
    }

    /// A file of `key number` lines.
    pub(super) fn keyed(self, file: &str) -> Result<Keyed> {
        self.text(file).map(Keyed)
    }
}

/// The content of a file of `key number` lines.
#[derive(Debug)]
pub(super) struct Keyed(String);

impl Keyed {
    /// The number behind a key, 0 where it is missing.
    pub(super) fn get(&self, key: &str) -> u64 {
        freeze::value(&self.0, key).unwrap_or(0)
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        let pair = |line: &str| {
            let (key, number) = line.split_once(' ')?;
            Some((key.to_owned(), number.trim().parse().ok()?))
        };
        self.0.lines().filter_map(pair).collect()
    }
}

/// A list like `0-2,7`. What is no such list, or names more than there can be, is left out.
pub(super) fn ranges(text: &str) -> Vec<u16> {
    /// The kernel's NR_CPUS and MAX_NUMNODES are below it.
    const MOST: usize = 1 << 14;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(ranges("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(ranges("\n"), [0_u16; 0]);
        assert_eq!(ranges("x,3-1,5"), [5]);
    }
}
