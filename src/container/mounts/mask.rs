//! Hiding paths, and making paths read-only.

use super::file_system::{new_fs, set_attributes};
use super::options::Flags;
use super::plan::clean;
use super::root::Root;
use crate::error::{Context, Error, Result};
use crate::sys::fs::Resolve;
use crate::sys::mount::{self, ATTR_RDONLY, Depth, MountAttr};
use nix::sys::stat::{FileStat, fstat};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const READ_ONLY: MountAttr = MountAttr { set: ATTR_RDONLY, clear: 0, propagation: 0, userns_fd: 0 };

/// Opens a path to cover, resolved inside the root; a missing one needs no cover.
fn find(root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    match root.find(&clean(Path::new(path)), Resolve::InRoot) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).context(|| format!("cannot open {path:?}")),
    }
}

/// Makes each path read-only by a mount of itself over itself.
///
/// # Errors
/// Names the path.
pub fn read_only(root: &Root, paths: &[String]) -> Result<()> {
    for path in paths {
        let title = || format!("cannot make {path:?} read-only (linux.readonlyPaths)");
        let Some(target) = find(root, path).context(title)? else { continue };
        // What lies over the root, nobody in it sees.
        if root.is(target.as_fd()).context(title)? {
            set_attributes(root.fd(), Depth::Recursive, &READ_ONLY).context(title)?;
            continue;
        }
        let copy = mount::open_tree(target.as_fd(), c"", Some(Depth::Recursive)).context(title)?;
        set_attributes(copy.as_fd(), Depth::Recursive, &READ_ONLY).context(title)?;
        mount::move_mount(copy.as_fd(), target.as_fd()).context(title)?;
    }
    Ok(())
}

/// Hides files behind /dev/null and directories behind one empty read-only tmpfs, shared by all of them: a tmpfs each
/// would cost a superblock each.
///
/// # Errors
/// Names the path.
pub fn hide(root: &Root, paths: &[String]) -> Result<()> {
    let mut null = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let title = || format!("cannot hide {path:?} (linux.maskedPaths)");
        let Some(target) = find(root, path).context(title)? else { continue };
        if root.is(target.as_fd()).context(title)? {
            return Err(Error::user("it is the root, without which there is no container")).context(title);
        }
        let stat = fstat(&target).context(title)?;
        let cover = if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
            if null.is_none() {
                null = Some(null_device(root).context(title)?);
            }
            let Some((null, attr)) = &null else { continue };
            let cover = mount::open_tree(null.as_fd(), c"", Some(Depth::One)).context(title)?;
            set_attributes(cover.as_fd(), Depth::One, attr).context(title)?;
            cover
        } else if let Some(empty) = &empty {
            mount::open_tree(empty.as_fd(), c"", Some(Depth::One)).context(title)?
        } else {
            let parameters = ["nr_inodes=1".into(), "mode=755".into()];
            new_fs(c"tmpfs", Some(c"tmpfs"), &parameters, Flags::read_only_alone()).context(title)?
        };
        mount::move_mount(cover.as_fd(), target.as_fd()).context(title)?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR && empty.is_none() {
            // Only an attached mount can be copied on every kernel.
            empty = Some(cover);
        }
    }
    Ok(())
}

/// A null device to show in the place of hidden files, and attributes for a mount of it: the container's own, if it is
/// one (an image's could be anything, CVE-2025-31133), else the host's. That is read-only, which the device does not mind:
/// else the container could change the mode and owner of the host's.
fn null_device(root: &Root) -> Result<(OwnedFd, MountAttr)> {
    if let Ok(own) = root.find(Path::new("/dev/null"), Resolve::NoSymlinks)
        && is_null_device(&fstat(&own).context(|| "cannot stat the container's /dev/null")?)
    {
        return Ok((own, MountAttr::default()));
    }
    let host = mount::open_path(c"/dev/null").context(|| "cannot open the host's /dev/null")?;
    if is_null_device(&fstat(&host).context(|| "cannot stat the host's /dev/null")?) {
        return Ok((host, READ_ONLY));
    }
    Err(Error::host("the host's /dev/null is not the null device"))
}

fn is_null_device(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3)
}
