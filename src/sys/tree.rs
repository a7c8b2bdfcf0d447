//! Walking and removing a tree of directories, however deep: std's own way of removing holds a descriptor for every
//! level, and a growing path ends at PATH_MAX, so what a container has made below one of its volumes, or in its cgroups,
//! could not be removed any more.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A directory on the way down.
struct Level {
    /// Its device and inode: whoever moves it while we are below must not lead us elsewhere.
    identity: (u64, u64),
    /// Directories in it that are yet to be walked.
    below: Vec<CString>,
}

/// What is to become of a directory below another when all below it was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is done with.
    Leave,
    /// Walk it once more.
    Repeat,
}

/// Walks the directory at `path` and those below it, depth first; symbolic links are not followed. `enter` gets each
/// directory on the way down and gives the names of those in it to walk; `leave` gets the directory above and the name
/// on the way up, but not for the topmost one. Names that vanish meanwhile are left out. Two descriptors are open at a
/// time besides what the callbacks open, and nothing grows on the stack.
///
/// # Errors
/// ENOTDIR when it is none; EBUSY when something of it was moved elsewhere meanwhile; those of the system and of the
/// callbacks.
pub fn walk(
    path: &Path,
    mut enter: impl FnMut(BorrowedFd<'_>) -> io::Result<Vec<CString>>,
    mut leave: impl FnMut(BorrowedFd<'_>, &CStr) -> io::Result<Next>,
) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut arrive = |directory: &OwnedFd| -> io::Result<Level> {
        Ok(Level { identity: identity(directory)?, below: enter(directory.as_fd())? })
    };
    let mut directory = open(AT_FDCWD, &name)?;
    let mut levels = vec![arrive(&directory)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.last() {
            match open(directory.as_fd(), name) {
                Ok(below) => {
                    levels.push(arrive(&below)?);
                    directory = below;
                }
                // ENODEV is what a cgroup that goes may say.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
                    level.below.pop();
                }
                Err(error) => return Err(error),
            }
            continue;
        }
        levels.pop();
        let Some(parent) = levels.last_mut() else { break };
        directory = open(directory.as_fd(), c"..")?;
        if identity(&directory)? != parent.identity {
            return Err(Errno::EBUSY.into());
        }
        let Some(name) = parent.below.last() else { continue };
        if leave(directory.as_fd(), name)? == Next::Leave {
            parent.below.pop();
        }
    }
    Ok(())
}

/// Removes the directory at `path` and everything in it; symbolic links are removed and not followed, mounts are not
/// entered by any special means, so take them off first. What vanishes meanwhile is fine. At most three descriptors
/// are open at a time.
///
/// # Errors
/// Those of [`walk`].
pub fn remove(path: &Path) -> io::Result<()> {
    walk(path, clear, |parent, name| match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(Next::Leave),
        // Somebody put something in: once more.
        Err(Errno::ENOTEMPTY) => Ok(Next::Repeat),
        Err(error) => Err(error.into()),
    })?;
    std::fs::remove_dir(path)
}

/// A path to an open directory: its own may be longer than the kernel takes.
pub fn short_path(directory: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

fn open(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Removes everything in a directory but directories, whose names it gives.
fn clear(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(short_path(directory))? {
        let entry = entry?;
        let name = CString::new(entry.file_name().into_vec())?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                below.push(name);
                continue;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::mkdirat;

    #[test]
    fn a_tree_goes_however_deep_and_links_are_not_followed() {
        const LEVELS: usize = 5000; // far more than PATH_MAX has room for
        let scratch = std::env::temp_dir().join(format!("podrun-tree-{}", std::process::id()));
        let (tree, kept) = (scratch.join("tree"), scratch.join("kept"));
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::create_dir_all(kept.join("inside")).unwrap();
        let mut directory = open(AT_FDCWD, &CString::new(tree.to_str().unwrap()).unwrap()).unwrap();
        for _ in 0..LEVELS {
            mkdirat(&directory, "d", Mode::S_IRWXU).unwrap();
            mkdirat(&directory, "e", Mode::S_IRWXU).unwrap();
            nix::unistd::symlinkat(&kept, &directory, "link").unwrap();
            directory = open(directory.as_fd(), c"d").unwrap();
        }
        drop(directory);
        remove(&tree).unwrap();
        assert!(!tree.exists() && kept.join("inside").exists());
        assert_eq!(remove(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(remove(Path::new("/proc/self/status")).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        std::fs::remove_dir_all(scratch).unwrap();
    }
}
