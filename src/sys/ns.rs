//! Namespaces: joining, leaving, and telling what a descriptor is.

use super::{check, int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// setns(2): joins the namespaces of `flags` that `fd` (a namespace file or, with several flags, a pidfd) stands for.
pub fn setns(fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes two integers; fd is borrowed for its length.
    check(unsafe { libc::setns(fd.as_raw_fd(), flags) }.into()).map(drop)
}

/// unshare(2).
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes one integer.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// The `CLONE_NEW*` type of the namespace that `fd` refers to (ioctl_ns(2), NS_GET_NSTYPE).
///
/// # Errors
/// ENOTTY when `fd` is not a namespace.
pub fn ns_type(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: NS_GET_NSTYPE takes no argument and returns an integer.
    int(check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) }.into())?)
}

/// Brings the loopback device of the current network namespace up (netdevice(7), SIOCSIFFLAGS).
pub fn loopback_up() -> io::Result<()> {
    const IFF_UP_RUNNING: libc::c_short = 0x41;
    // SAFETY: the call takes integers; the result is checked.
    let raw = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into())?;
    // SAFETY: socket returned a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(int(raw)?) };
    // SAFETY: ifreq is plain data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = IFF_UP_RUNNING;
    // SAFETY: request is an initialised ifreq that lives until the call returns, as SIOCSIFFLAGS wants.
    check(
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) }
            .into(),
    )
    .map(drop)
}
