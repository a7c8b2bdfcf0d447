//! Extended attributes, by descriptor.

use super::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Marks a directory of a layer that hides what is below it (overlayfs).
pub const OVERLAY_OPAQUE: &CStr = c"trusted.overlay.opaque";

/// Sets an attribute of an open file or directory, fsetxattr(2).
pub fn set(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: name and value live until the call returns, and the length of value is given.
    let result =
        unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    check(result.into()).map(drop)
}

/// An attribute of an open file or directory, fgetxattr(2). ENODATA where there is none.
pub fn get(fd: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
    // SAFETY: name and value live until the call returns, and the length of value is given.
    let result =
        unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    let length = check(result.try_into().map_err(io::Error::other)?)?;
    value.truncate(usize::try_from(length).map_err(io::Error::other)?);
    Ok(value)
}

/// The names of the attributes of an open file or directory, each ending in NUL, flistxattr(2).
pub fn list(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
    // SAFETY: names lives until the call returns, and its length is given.
    let result = unsafe { libc::flistxattr(fd.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let length = check(result.try_into().map_err(io::Error::other)?)?;
    names.truncate(usize::try_from(length).map_err(io::Error::other)?);
    Ok(names)
}
