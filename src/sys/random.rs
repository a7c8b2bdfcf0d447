//! Randomness, getrandom(2).

use super::check;
use std::io;

/// Fills `buffer` (at most 256 bytes, which the kernel gives whole) from the kernel's generator.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    // SAFETY: buffer is a live, exclusively borrowed slice whose length is given.
    let length = check(unsafe { libc::syscall(libc::SYS_getrandom, buffer.as_mut_ptr(), buffer.len(), 0) })?;
    if usize::try_from(length) == Ok(buffer.len()) {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::EIO))
}
