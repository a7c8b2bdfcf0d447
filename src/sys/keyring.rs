//! Kernel keyrings, keyctl(2).

use super::check;
use std::ffi::CStr;
use std::io;

/// Joins a new session keyring of this name, so that the caller's keys are not seen from the container.
pub fn join_session(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: name is NUL-terminated and borrowed for the length of the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}
