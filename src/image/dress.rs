//! What makes a file of a layer the one that the archive means: owner, mode, attributes, times.

use super::tar::Entry;
use crate::error::{Context, Error, Result};
use crate::sys::xattr;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

/// Owner, mode and attributes, in this order: a change of owner takes setuid and capabilities away.
///
/// # Errors
/// When the kernel or the file system refuses one of them.
pub fn dress(fd: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
    fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
        .context(|| "cannot change its owner")?;
    fchmod(fd, Mode::from_bits_truncate(entry.mode)).context(|| "cannot change its mode")?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_welcome(name)) {
        let shown = String::from_utf8_lossy(name);
        xattr::set(
            fd,
            &CString::new(&name[..]).map_err(|_| Error::user("an attribute's name has a NUL in it"))?,
            value,
        )
        .context(|| format!("cannot set its attribute {shown:?}"))
        .map_err(|error| match error.errno() {
            Some(libc::EOPNOTSUPP) => error.hint(
                "the data root must lie on a file system that has such attributes, such as ext4, xfs or btrfs",
            ),
            _ => error,
        })?;
    }
    Ok(())
}

/// Attributes that may come out of an archive. Others are the host's (trusted, system, security labels) or overlayfs'.
fn is_welcome(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

/// Owner and time of what cannot be opened.
///
/// # Errors
/// When they cannot be set.
pub fn dress_by_name(parent: BorrowedFd<'_>, name: &CStr, entry: &Entry) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
        .context(|| "cannot change its owner")?;
    let time = timespec(entry.mtime);
    utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink).context(|| "cannot set its time")
}

/// A time as the kernel takes it.
pub fn timespec((seconds, nanos): (i64, u32)) -> TimeSpec {
    TimeSpec::new(seconds, nanos.into())
}

/// Hides what lower layers have in the directory.
///
/// # Errors
/// When the file system has no such attributes.
pub fn mark_opaque(directory: BorrowedFd<'_>) -> Result<()> {
    xattr::set(directory, xattr::OVERLAY_OPAQUE, b"y").context(|| "cannot mark the directory opaque").map_err(
        |error| match error.errno() {
            Some(libc::EOPNOTSUPP | libc::EPERM) => error
                .hint("the file system of the data root must support trusted.* attributes; see --data-root"),
            _ => error,
        },
    )
}
