//! Loading a compiled filter, seccomp(2).

use super::{check, int};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `SECCOMP_FILTER_FLAG_LOG`: what is not allowed may be logged.
pub const LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: no mitigation of the speculative store bypass.
pub const SPEC_ALLOW: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: a descriptor for who answers notifications.
pub const NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: only deadly signals interrupt what the listener has received (Linux 5.19).
pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;

/// Whether this kernel takes filters with these flags. Changes nothing: there is no filter to load.
pub fn knows_flags(flags: u32) -> bool {
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: a null program is refused with EFAULT, after the flags have been looked at.
    let result = check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, none) });
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EFAULT))
}

/// Loads a BPF program (an array of `struct sock_filter` in native byte order) for this thread and what it executes. With
/// [`NEW_LISTENER`] the result is the listener's descriptor, close-on-exec.
///
/// # Errors
/// EACCES without no_new_privs and CAP_SYS_ADMIN; EINVAL for a program the kernel refuses or of a wrong length.
pub fn load(program: &[u8], flags: u32) -> io::Result<Option<OwnedFd>> {
    let instruction = size_of::<libc::sock_filter>();
    let count = program.len() / instruction;
    let (Ok(len), 0, true) = (u16::try_from(count), program.len() % instruction, count > 0) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    // Copied into aligned memory: the bytes come from a file.
    let mut aligned = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; count];
    for (to, from) in aligned.iter_mut().zip(program.chunks_exact(instruction)) {
        *to = libc::sock_filter {
            code: u16::from_ne_bytes([from[0], from[1]]),
            jt: from[2],
            jf: from[3],
            k: u32::from_ne_bytes([from[4], from[5], from[6], from[7]]),
        };
    }
    let filter = libc::sock_fprog { len, filter: aligned.as_mut_ptr() };
    // SAFETY: filter points at `len` live instructions; the kernel copies them and checks the program.
    let raw = check(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the kernel returned a new descriptor, which nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(int(raw)?) }))
}
