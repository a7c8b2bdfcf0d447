//! BPF programs that decide over device access of a cgroup, bpf(2).

use super::{check, int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_PROG_TYPE_CGROUP_DEVICE` and `BPF_CGROUP_DEVICE` of linux/bpf.h, which libc has not got.
const PROGRAM_TYPE_DEVICE: u32 = 15;
const ATTACH_TYPE_DEVICE: u32 = 6;
const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_ATTACH: libc::c_long = 8;
/// Groups below may have programs of their own; access needs the consent of all.
const ALLOW_MULTI: u32 = 2;

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Constant operand.
    pub immediate: i32,
}

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

/// `union bpf_attr` for `BPF_PROG_ATTACH`.
#[derive(Default)]
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`; the descriptor is close-on-exec.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        program_type: PROGRAM_TYPE_DEVICE,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: attributes, the program and the NUL-terminated license they point at live until the call returns; the
    // size given is that of the structure, and the kernel takes the fields behind it for zero.
    let raw = check(unsafe {
        libc::syscall(libc::SYS_bpf, PROGRAM_LOAD, &raw const attributes, size_of::<LoadAttributes>())
    })?;
    // SAFETY: bpf returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(int(raw)?) })
}

/// Attaches a program to a cgroup v2 directory; it stays as long as the cgroup does.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: u32::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?,
        program: u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?,
        attach_type: ATTACH_TYPE_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: attributes lives until the call returns and its size is given; both descriptors are borrowed.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, PROGRAM_ATTACH, &raw const attributes, size_of::<AttachAttributes>())
    })
    .map(drop)
}
