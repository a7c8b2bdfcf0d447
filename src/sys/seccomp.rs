//! Loading a compiled filter, seccomp(2).

use super::check;
use std::io;

/// Loads a BPF program (an array of `struct sock_filter` in native byte order) for this thread and what it executes.
///
/// # Errors
/// EACCES without no_new_privs and CAP_SYS_ADMIN; EINVAL for a program the kernel refuses or of a wrong length.
pub fn load(program: &[u8], flags: u32) -> io::Result<()> {
    const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
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
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const filter) })
        .map(drop)
}
