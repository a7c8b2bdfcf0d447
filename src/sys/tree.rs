//! Removing a directory with all that is in it, however deep: std's own way holds a descriptor for every level, so what
//! a container has made below one of its volumes could not be removed any more.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// A directory on the way down.
struct Level {
    /// Its device and inode: whoever moves it while we are below must not lead us elsewhere.
    identity: (u64, u64),
    /// Directories in it that are yet to be removed.
    below: Vec<CString>,
}

/// Removes the directory at `path` and everything in it; symbolic links are removed and not followed, mounts are not
/// entered by any special means, so take them off first. What vanishes meanwhile is fine. At most three descriptors
/// are open at a time.
///
/// # Errors
/// ENOTDIR when it is none; EBUSY when something of it was moved elsewhere meanwhile; those of the system.
pub fn remove(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut directory = open(AT_FDCWD, &name)?;
    let mut levels = vec![clear(&directory)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.last() {
            match open(directory.as_fd(), name) {
                Ok(below) => {
                    levels.push(clear(&below)?);
                    directory = below;
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
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
        match unlinkat(&directory, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {
                parent.below.pop();
            }
            // Somebody put something in: once more.
            Err(Errno::ENOTEMPTY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::remove_dir(path)
}

fn open(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Removes everything in a directory but directories, whose names are kept.
fn clear(directory: &OwnedFd) -> io::Result<Level> {
    let mut level = Level { identity: identity(directory)?, below: Vec::new() };
    // By descriptor: the path may be longer than the kernel takes.
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        let entry = entry?;
        let name = CString::new(entry.file_name().into_vec())?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                level.below.push(name);
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
    Ok(level)
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
