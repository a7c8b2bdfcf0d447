//! How the kernel schedules the calling thread and its I/O, and on which processors.

use super::check;
use std::io;

/// `struct sched_attr` of Linux 5.3, sched_setattr(2).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SchedAttr {
    /// Bytes of this structure; set by [`set_attributes`].
    pub size: u32,
    /// SCHED_*.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99 for real-time policies.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
    /// Clamp of the utilization.
    pub util_min: u32,
    /// Clamp of the utilization.
    pub util_max: u32,
}

/// sched_setattr(2).
pub fn set_attributes(mut attributes: SchedAttr) -> io::Result<()> {
    attributes.size = u32::try_from(size_of::<SchedAttr>()).map_err(io::Error::other)?;
    // SAFETY: the structure lives until the call returns and says its size; thread 0 is the caller, no flags.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// ioprio_set(2).
pub fn set_io_priority(priority: u16) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: the arguments are integers; thread 0 is the caller.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, libc::c_int::from(priority)) })
        .map(drop)
}

/// sched_setaffinity(2) from a bit mask; what the cpuset does not have is left out by the kernel.
pub fn set_affinity(mask: &[u64]) -> io::Result<()> {
    // SAFETY: the kernel reads the given number of bytes from the mask, which lives until the call returns.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) })
        .map(drop)
}

/// sched_getaffinity(2) as a bit mask, for any kernel's number of processors.
pub fn affinity() -> io::Result<Vec<u64>> {
    let mut mask = vec![0u64; 128];
    // SAFETY: the kernel writes at most the given number of bytes into the mask, which lives until the call returns.
    let length = check(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask[..]), mask.as_mut_ptr())
    })?;
    mask.truncate(usize::try_from(length).map_err(io::Error::other)?.div_ceil(size_of::<u64>()));
    Ok(mask)
}
