//! A container's directory, which comes and goes whole: it is made elsewhere, with a record in it, and moved to its name,
//! which reserves the id; to be removed it is moved away first.
//!
//! Invariant: a directory under its container's name has a record, so whoever finds it knows the pod, the cgroup and the
//! process that belong to it. What a crash leaves in transit belongs to nobody, and is swept away by `list` and `delete`.

use super::Host;
use super::record::Record;
use crate::error::{Context, Error, Kind, Result};
use crate::state::atomic;
use crate::state::lock::DirectoryLock;
use crate::state::process::{self, ProcessRef};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A new name for what `process`, our own, has in transit: nobody else uses it as long as that process lives, nor does
/// the process itself once more, which may have left something there that it could not remove.
fn name(direction: &str, process: &ProcessRef) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{direction}-{}-{}-{}", process.pid, process.start_time, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether the process that has `name` in transit still lives.
fn is_in_use(name: &str) -> Result<bool> {
    let mut parts = name.split('-').skip(1).map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(start_time))) = (parts.next(), parts.next()) else { return Ok(false) };
    let Ok(pid) = i32::try_from(pid) else { return Ok(false) };
    Ok(process::stat(pid)?
        .is_some_and(|stat| stat.start_time == start_time && !matches!(stat.state, 'Z' | 'X')))
}

/// Reserves the id: makes the container's directory with its first record.
///
/// # Errors
/// Kind Exists when the id is taken; those of the file system.
pub fn reserve(host: &Host, record: &Record) -> Result<PathBuf> {
    atomic::make_directories(&host.layout.containers())?;
    atomic::make_directories(&host.layout.transit())?;
    let (new, target) =
        (host.layout.transit().join(name("new", &record.maker)), host.layout.container(&record.id));
    nix::unistd::mkdir(&new, Mode::S_IRWXU).context(|| format!("cannot create directory {new:?}"))?;
    let moved = record.write(&new).and_then(|()| {
        renameat2(AT_FDCWD, &new, AT_FDCWD, &target, RenameFlags::RENAME_NOREPLACE).map_err(|errno| {
            match errno {
                nix::errno::Errno::EEXIST => {
                    Error::new(Kind::Exists, format!("container {:?} already exists", record.id.as_str()))
                        .hint(format!("choose another id, or delete it: podrun delete {}", record.id))
                }
                errno => {
                    Error::host(format!("cannot create directory {target:?}")).because(io::Error::from(errno))
                }
            }
        })
    });
    match moved {
        Ok(()) => Ok(target),
        Err(error) => match remove_tree(&new) {
            Ok(()) => Err(error),
            Err(second) => Err(Error::new(error.kind(), error.to_string()).because(second)),
        },
    }
}

/// Removes a container's directory: it is gone under its name at once, and then altogether.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove(host: &Host, directory: &Path) -> Result<()> {
    atomic::make_directories(&host.layout.transit())?;
    let old = host.layout.transit().join(name("old", &super::record::own_process()?));
    // Whoever holds the lock writes into the directory by its path, which must not be another container's by then.
    let Some(lock) = DirectoryLock::take(directory)? else { return Ok(()) };
    let moved = std::fs::rename(directory, &old);
    drop(lock);
    match moved {
        Ok(()) => remove_tree(&old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(|| format!("cannot move {directory:?} away")),
    }
}

/// Removes what commands that died had in transit.
///
/// # Errors
/// When the directory cannot be read, or something cannot be removed.
pub fn sweep(host: &Host) -> Result<()> {
    let transit = host.layout.transit();
    let entries = match std::fs::read_dir(&transit) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("cannot read {transit:?}")),
    };
    for entry in entries {
        let name = entry.context(|| format!("cannot read {transit:?}"))?.file_name();
        if !name.to_str().map_or(Ok(false), is_in_use)? {
            remove_tree(&transit.join(name))?;
        }
    }
    Ok(())
}

/// Removes a directory of ours with the few files in it; another command may be doing the same.
fn remove_tree(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {directory:?}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_living_have_something_in_transit() {
        let me = super::super::record::own_process().unwrap();
        assert!(is_in_use(&name("new", &me)).unwrap());
        assert!(!is_in_use(&name("new", &ProcessRef { start_time: me.start_time + 1, ..me })).unwrap());
        for foreign in ["", "new", "new-1", "new-x-y", "new-99999999999999-1"] {
            assert!(!is_in_use(foreign).unwrap(), "{foreign}");
        }
    }
}
