//! Directories for work in progress, told apart from those that a killed process left.

use crate::error::{Context, Error, Result};
use crate::report;
use crate::sys::random;
use crate::sys::tree;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Beginning of the names; a layer's name is hexadecimal.
const PREFIX: &str = ".work.";

/// A private directory beside the layers, locked for as long as its owner lives: whoever can lock another's may remove
/// it. Removed with all in it when dropped.
#[derive(Debug)]
pub struct Work {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Work {
    /// Makes one in `layers`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(layers: &Path) -> Result<Self> {
        let make = || -> std::io::Result<Option<Self>> {
            let mut bytes = [0; 8];
            random::fill(&mut bytes)?;
            let path = layers.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(bytes)));
            DirBuilder::new().mode(0o700).create(&path)?;
            Ok(lock(&path)?.map(|lock| Self { path, _lock: lock }))
        };
        loop {
            // None: `prune` took it for a leftover before it was locked.
            if let Some(work) = make().context(|| format!("cannot make a directory in {layers:?}"))? {
                return Ok(work);
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes over those that the dead have left in `layers`.
    ///
    /// # Errors
    /// When `layers` cannot be read.
    pub fn left(layers: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(layers).context(|| format!("cannot read {layers:?}"))?;
        let names = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
        // What cannot be locked is somebody's, or has gone meanwhile.
        let locked = names.filter_map(|entry| {
            let path = entry.path();
            lock(&path).ok().flatten().map(|lock| Self { path, _lock: lock })
        });
        Ok(locked.collect())
    }

    /// Removes it, saying so when that fails.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(self) -> Result<()> {
        self.clear()
    }

    fn clear(&self) -> Result<()> {
        match tree::remove(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.context(|| format!("cannot remove {:?}", self.path)),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            let error: Error = error;
            report::warn(&error.to_string());
        }
    }
}

/// Locks a directory without waiting; `None` when another holds it or it is no longer there.
fn lock(path: &Path) -> std::io::Result<Option<Flock<File>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let inode = file.metadata()?.ino();
    let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    let same = std::fs::symlink_metadata(path).is_ok_and(|now| now.ino() == inode);
    Ok(same.then_some(lock))
}
