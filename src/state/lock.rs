//! flock(2) around read-modify-write of a record; never held while waiting, running hooks or signalling.

use crate::error::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An exclusive lock on a directory, released when dropped.
#[derive(Debug)]
pub struct DirectoryLock(#[expect(dead_code, reason = "held for its Drop")] Flock<File>);

impl DirectoryLock {
    /// Locks the directory at `path`; `None` where there is no such directory (any more).
    ///
    /// # Errors
    /// When the directory cannot be opened or locked.
    pub fn take(path: &Path) -> Result<Option<Self>> {
        loop {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).context(|| format!("cannot open {path:?}")),
            };
            let opened = file.metadata().context(|| format!("cannot stat {path:?}"))?.ino();
            let lock = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, e)| e)
                .context(|| format!("cannot lock {path:?}"))?;
            // While we waited the directory may have been removed, and another made under its name.
            match std::fs::symlink_metadata(path) {
                Ok(now) if now.ino() == opened => return Ok(Some(Self(lock))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).context(|| format!("cannot stat {path:?}")),
            }
        }
    }
}
