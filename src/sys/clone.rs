//! clone3(2) for a single-threaded process.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A new child: its pid as this process sees it, and a descriptor that stays right when the pid is recycled.
#[derive(Debug)]
pub struct Child {
    /// Process id in the caller's PID namespace.
    pub pid: i32,
    /// Pidfd, close-on-exec.
    pub pidfd: OwnedFd,
}

/// What the child gets that the parent has not got.
#[derive(Debug, Default, Clone, Copy)]
pub struct CloneArgs<'a> {
    /// `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// A cgroup v2 directory that the child starts in (`CLONE_INTO_CGROUP`, Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The child becomes a sibling: its parent is the caller's parent (`CLONE_PARENT`).
    pub sibling: bool,
    /// Its end raises no SIGCHLD, and no wait finds it that does not ask for such children (`__WCLONE`), until it
    /// executes a program: [`super::pidfd::reap_stray`]. So are its siblings.
    pub quiet: bool,
}

/// The proof that this process has one thread, so that no lock can be held across a clone. podrun starts none.
#[derive(Debug, Clone, Copy)]
pub struct SingleThreaded(());

/// Looks at /proc/self/task; before any namespace is joined in which /proc could be somebody else's.
///
/// # Errors
/// When there are more threads, or /proc cannot be read.
pub fn single_threaded() -> io::Result<SingleThreaded> {
    if std::fs::read_dir("/proc/self/task")?.count() == 1 {
        return Ok(SingleThreaded(()));
    }
    Err(io::Error::other("the process has more than one thread"))
}

/// Forks with clone3; `child` runs in the new process, which ends should it return.
///
/// The child is a copy of a single-threaded process, so no lock can be held in it and it may allocate. It must not
/// use libc functions that rely on its cached thread id (raise, abort, pthread_*), because a raw clone3 leaves that
/// stale.
///
/// # Errors
/// Those of clone3(2).
pub fn spawn(_: SingleThreaded, args: CloneArgs<'_>, child: impl FnOnce()) -> io::Result<Child> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000; // libc's constant is an int and overflows
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is a valid value.
    let mut raw: libc::clone_args = unsafe { std::mem::zeroed() };
    raw.flags = args.namespaces | libc::CLONE_PIDFD as u64;
    raw.pidfd = &raw mut pidfd as u64;
    if args.sibling {
        raw.flags |= libc::CLONE_PARENT as u64; // exit_signal must be zero then: it is the caller's own
    } else if !args.quiet {
        raw.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = args.cgroup {
        raw.flags |= CLONE_INTO_CGROUP;
        raw.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: raw and pidfd live until the call returns; no stack is given, so the child gets a copy-on-write copy of
    // ours as after fork; this process has one thread, as the caller's token proves, so no lock is held across the call.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const raw, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        child();
        super::process::exit_now(1);
    }
    // SAFETY: the kernel wrote a new descriptor that nobody else owns into pidfd before the parent returned.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: super::int(pid)?, pidfd })
}

/// Forks with clone(2) as fork(3) does; `child` runs in the new process, which ends should it return.
///
/// For a process behind a seccomp filter: the usual ones cannot look into the arguments of clone3(2) and forbid it. What
/// [`spawn`] says of the child holds here, too.
///
/// # Errors
/// Those of clone(2).
pub fn fork(_: SingleThreaded, child: impl FnOnce()) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    let (flags, none) = (libc::CLONE_PIDFD | libc::SIGCHLD, std::ptr::null_mut::<libc::c_void>());
    // SAFETY: pidfd lives until the call returns; no stack is given, so the child gets a copy-on-write copy of ours as
    // after fork; this process has one thread, as the caller's token proves, so no lock is held across the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none) })?;
    if pid == 0 {
        child();
        super::process::exit_now(1);
    }
    // SAFETY: the kernel wrote a new descriptor that nobody else owns into pidfd before the parent returned.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: super::int(pid)?, pidfd })
}
