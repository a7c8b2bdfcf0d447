//! execveat(2) by descriptor.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// Executes the file that `fd` refers to. A script cannot be executed by a close-on-exec descriptor.
pub fn by_fd(fd: BorrowedFd<'_>, arguments: &[CString], environment: &[CString]) -> io::Result<Infallible> {
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end in null and their strings live in the borrowed slices until the call returns or the
    // program is replaced; the empty path is static.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(io::Error::last_os_error())
}

/// Executes `path` as seen from the current root and directory.
pub fn by_path(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Result<Infallible> {
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: as in by_fd; path is NUL-terminated and borrowed.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(io::Error::last_os_error())
}
