//! Walking and removing a tree of directories, however deep: std's own way of removing holds a descriptor for every
//! level, and a growing path ends at PATH_MAX, so what a container has made below one of its volumes, or in its cgroups,
//! could not be removed any more.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
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

/// How deep [`disk_usage`] goes: each level takes two descriptors.
const DEEPEST: usize = 256;

/// Bytes on the disk of the directory at `path` and of everything in it, as `du` counts, but that each link of a file
/// counts its share, so that nothing need be remembered. Symbolic links are not followed. What vanishes meanwhile is left
/// out; what is moved about meanwhile is counted, perhaps twice. Whoever is measured cannot make itself small: a tree of more
/// than 256 levels, which nobody needs, is [`u64::MAX`] bytes large. (Not by [`walk`], which looks parents up again, and
/// ends where they were moved.)
///
/// # Errors
/// Those of the system.
pub fn disk_usage(path: &Path) -> io::Result<u64> {
    const BLOCK: u128 = 512; // st_blocks, stat(2)
    // In 2^-32 blocks, lest what has more links than blocks come to nothing.
    let mut shares = 0_u128;
    let mut count = |stat: &FileStat, links: u64| {
        shares += (u128::try_from(stat.st_blocks).unwrap_or(0) << 32) / u128::from(links.max(1));
    };
    let enter = |directory: OwnedFd| -> io::Result<(OwnedFd, std::fs::ReadDir)> {
        let entries = std::fs::read_dir(short_path(directory.as_fd()))?;
        Ok((directory, entries))
    };
    let top = open(AT_FDCWD, &CString::new(path.as_os_str().as_encoded_bytes())?)?;
    count(&fstat(&top)?, 1);
    let mut levels = vec![enter(top)?];
    while let Some((directory, entries)) = levels.last_mut() {
        let Some(entry) = entries.next() else {
            levels.pop();
            continue;
        };
        let name = CString::new(entry?.file_name().into_vec())?;
        let stat = match fstatat(&*directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => continue,
            stat => stat?,
        };
        if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
            count(&stat, stat.st_nlink);
            continue;
        }
        count(&stat, 1);
        match open(directory.as_fd(), &name) {
            Ok(_) if levels.len() >= DEEPEST => return Ok(u64::MAX),
            Ok(below) => levels.push(enter(below)?),
            // It has gone, or something else came in its place.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(u64::try_from((shares >> 32).saturating_mul(BLOCK)).unwrap_or(u64::MAX))
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
    use std::io::Write;

    #[test]
    fn a_tree_is_measured_once_whatever_its_links() {
        let scratch = std::env::temp_dir().join(format!("podrun-usage-{}", std::process::id()));
        let (tree, outside) = (scratch.join("tree"), scratch.join("outside"));
        std::fs::create_dir_all(tree.join("below/deep")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        let empty = disk_usage(&tree).unwrap();
        let new = |path: &Path| std::fs::OpenOptions::new().write(true).create_new(true).open(path).unwrap();
        let megabyte = vec![1; 1 << 20];
        new(&outside.join("large")).write_all(&megabyte).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        new(&tree.join("below/deep/a")).write_all(&megabyte).unwrap();
        std::fs::hard_link(tree.join("below/deep/a"), tree.join("below/b")).unwrap();
        new(&tree.join("sparse")).set_len(1 << 40).unwrap();
        let used = disk_usage(&tree).unwrap() - empty;
        assert!((1 << 20..(1 << 20) + (64 << 10)).contains(&used), "{used}");
        // Many links hide nothing, and nor does depth.
        (0..5000)
            .for_each(|n| std::fs::hard_link(tree.join("below/b"), tree.join(format!("below/{n}"))).unwrap());
        let used = disk_usage(&tree).unwrap() - empty;
        assert!((1 << 20..2 << 20).contains(&used), "{used}");
        let mut deep = tree.clone();
        (0..DEEPEST - 1).for_each(|_| deep.push("d"));
        std::fs::create_dir_all(&deep).unwrap();
        assert!(disk_usage(&tree).unwrap() < 8 << 20);
        std::fs::create_dir(deep.join("d")).unwrap();
        assert_eq!(disk_usage(&tree).unwrap(), u64::MAX);
        assert_eq!(disk_usage(&tree.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::remove_dir_all(scratch).unwrap();
    }

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
