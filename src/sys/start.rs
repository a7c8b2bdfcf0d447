//! The program's entry in place of the standard library's.
//!
//! Rust's own start-up reads /proc/self/maps to learn where the stack ends, only to print a nicer message when it
//! overflows. That costs every command a twentieth of its time, twice where it executes itself once more, and 300 KiB
//! of mapped code. What else the start-up does is done here.

use std::io;

/// Does what programs may expect of a start-up: the standard streams are open, and a closed pipe or a file larger than
/// RLIMIT_FSIZE is an error and no signal, so that what was half made can be taken back.
///
/// # Errors
/// When /dev/null is needed and cannot be opened.
pub fn prepare() -> io::Result<()> {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: SIG_IGN is a valid disposition, and this process has no handler of its own to lose.
        let _previous = unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    for fd in 0..=2 {
        // Else the next file opened would be taken for a standard stream.
        if !super::fs::is_open(fd) {
            // SAFETY: the path is a static NUL-terminated string; the new descriptor is the lowest free one, `fd`,
            // and belongs to the standard streams from here on.
            super::check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) }.into())?;
        }
    }
    Ok(())
}

/// Makes `$main`, a function from nothing to an exit code, the program's entry.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// The entry that the C library calls.
        #[allow(unsafe_code, reason = "the name is the C library's, and nothing else here has it")]
        #[unsafe(no_mangle)]
        pub extern "C" fn main(
            _count: core::ffi::c_int,
            _words: *const *const core::ffi::c_char,
        ) -> core::ffi::c_int {
            $main()
        }
    };
}
