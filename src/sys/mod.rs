//! The system calls that nix has not got, or has not got as owned descriptors: thin wrappers, one call each, owned
//! types in, `io::Result` out, no policy. With the pause and probe programs, the only unsafe code of podrun.

#![allow(unsafe_code)]

pub mod bpf;
pub mod clock;
pub mod clone;
pub mod exec;
pub mod fs;
pub mod inherit;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod ns;
pub mod pidfd;
pub mod process;
pub mod pty;
pub mod random;
pub mod sched;
pub mod seccomp;
pub mod socket;
pub mod start;
pub mod tree;
pub mod xattr;

use std::io;

/// Turns the return value of a raw system call into a result.
fn check(value: libc::c_long) -> io::Result<libc::c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Narrows a successful system call's value to a descriptor or pid, which the kernel keeps within an int.
fn int(value: libc::c_long) -> io::Result<libc::c_int> {
    libc::c_int::try_from(value).map_err(io::Error::other)
}
