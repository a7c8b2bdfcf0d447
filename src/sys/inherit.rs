//! Descriptors by number: handing them to a program that is about to be executed, and taking over those that whoever
//! executed this one put in place.

use super::{check, int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Puts copies of `fds` at the numbers 0, 1, 2, ... for the program to be executed, and closes every other descriptor,
/// whoever opened it. Of `kept` the copies that it returns remain, close-on-exec.
///
/// For a process that will never drop what it owned before: it executes a program or exits.
pub fn hand_over(fds: &[BorrowedFd<'_>], kept: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let count = i32::try_from(fds.len()).map_err(io::Error::other)?;
    // Out of the way first: the places may be taken by others of the same list.
    let lift = |fd: &BorrowedFd<'_>| duplicate(*fd, count);
    let lifted = fds.iter().map(lift).collect::<io::Result<Vec<_>>>()?;
    let kept = kept.iter().map(lift).collect::<io::Result<Vec<_>>>()?;
    for (fd, place) in lifted.iter().zip(0..) {
        put(fd.as_fd(), place)?;
    }
    let kept_now: Vec<_> = kept.iter().map(AsFd::as_fd).collect();
    drop(lifted);
    super::process::close_all_but(count.cast_unsigned(), &kept_now, &[])?;
    Ok(kept)
}

/// Puts a copy of `fd` at the number `place` for the program to be executed, in the place of what was there.
pub fn put(fd: BorrowedFd<'_>, place: i32) -> io::Result<()> {
    // SAFETY: the call takes integers; what it closes at `place` is nothing that a value of this process will use or
    // drop, as our callers promise.
    check(unsafe { libc::dup3(fd.as_raw_fd(), place, 0) }.into()).map(drop)
}

/// The descriptor that [`hand_over`] put at `place`.
///
/// # Errors
/// EBADF when there is none.
pub fn at(place: i32) -> io::Result<BorrowedFd<'static>> {
    if !super::fs::is_open(place) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and nobody owns it, so nobody will close it before the program is executed.
    Ok(unsafe { BorrowedFd::borrow_raw(place) })
}

/// Takes over the descriptor that whoever executed this program put at `place`: it gets another number and
/// close-on-exec. A standard stream is replaced by /dev/null, any other number is free then.
///
/// # Errors
/// EBADF when there is none; those of opening /dev/null.
pub fn take(place: i32) -> io::Result<OwnedFd> {
    const STREAMS: i32 = 3;
    let fd = duplicate(at(place)?, STREAMS)?;
    if place < STREAMS {
        let null = super::fs::open_existing(std::path::Path::new("/dev/null"), libc::O_RDWR)?;
        put(null.as_fd(), place)?;
    } else {
        // SAFETY: `place` is open, as `at` saw, and no value of this process owns it.
        drop(unsafe { OwnedFd::from_raw_fd(place) });
    }
    Ok(fd)
}

/// A copy at the lowest free number from `lowest` up, close-on-exec.
fn duplicate(fd: BorrowedFd<'_>, lowest: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    let raw = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) }.into())?;
    // SAFETY: fcntl returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(int(raw)?) })
}
