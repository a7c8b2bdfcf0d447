//! Paths in an archive.

use super::limits;
use crate::error::{Error, Result};

/// The parts of a path below the layer's root.
pub struct Parts<'a>(pub Vec<&'a [u8]>);

impl<'a> Parts<'a> {
    /// A leading slash means the layer's root. `..` has no place in an archive.
    ///
    /// # Errors
    /// When it has such a part, or is longer than the kernel takes.
    pub fn of(path: &'a [u8]) -> Result<Self> {
        let refuse = |why: &str| {
            let shown = String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
            Err(Error::user(format!("the path {shown:?} in the archive {why}")))
        };
        if path.len() > limits::PATH {
            return refuse("is too long");
        }
        let parts: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        if parts.contains(&&b".."[..]) {
            return refuse("leads upwards with ..");
        }
        if parts.iter().any(|part| part.len() > limits::NAME) {
            return refuse("has a part of more than 255 bytes");
        }
        Ok(Self(parts))
    }

    /// The path, for messages.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0.join(&b'/')).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below() {
        for (path, want) in
            [("./a//b/./c", "a/b/c"), ("/etc/passwd", "etc/passwd"), ("./", ""), ("...", "...")]
        {
            assert_eq!(Parts::of(path.as_bytes()).unwrap().shown(), want);
        }
        for bad in ["..", "../a", "a/..", "a/../b", "/..", &"n".repeat(256), &"a/".repeat(3000)] {
            assert!(Parts::of(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
