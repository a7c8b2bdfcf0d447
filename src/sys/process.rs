//! Attributes of the calling process, and waiting.

use super::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: our callers pass options whose argument is an integer; the unused arguments are zero as prctl(2) asks.
    let value =
        unsafe { libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong) };
    super::int(check(value.into())?)
}

/// Names the calling thread as `ps` shows it; the kernel cuts at 15 bytes.
pub fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: name is NUL-terminated and borrowed for the length of the call.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }.into()).map(drop)
}

/// The signal the kernel sends this process when its parent ends; 0 for none. Cleared by a change of credentials.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    let signal = libc::c_ulong::try_from(signal).map_err(io::Error::other)?;
    prctl(libc::PR_SET_PDEATHSIG, signal).map(drop)
}

/// Forbids ptrace and /proc/PID access by others, until the next execve.
pub fn set_not_dumpable() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0).map(drop)
}

/// Keeps the permitted capabilities over the coming setuid.
pub fn set_keep_capabilities(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into()).map(drop)
}

/// no_new_privs: execve gives no more privileges from here on, for ever.
pub fn set_no_new_privileges() -> io::Result<()> {
    // Unused arguments must be zero, prctl(2).
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Makes this process the one that orphaned descendants are re-parented to.
pub fn set_child_subreaper() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// Puts this process's file descriptors from `first` up on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes all descriptors from `first` up, whoever opened them, but those of `kept`, and those that were `inherited` and
/// have no owner. For a process that is about to execute a program: what else it owns must not be used or dropped any
/// more.
pub fn close_all_but(first: u32, kept: &[BorrowedFd<'_>], inherited: &[RawFd]) -> io::Result<()> {
    let kept = kept.iter().map(AsRawFd::as_raw_fd).chain(inherited.iter().copied());
    let mut numbers: Vec<u32> = kept.map(RawFd::cast_unsigned).collect();
    numbers.sort_unstable();
    let mut from = first;
    for number in numbers.into_iter().filter(|number| *number >= first) {
        if from < number {
            close_range(from, number - 1, 0)?;
        }
        from = number + 1;
    }
    close_range(from, u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call takes integers. Descriptors that values of this process own may be closed by it; our callers
    // promise not to use or drop those any more.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Puts copies of three descriptors, none of which is below 3, in the places of 0, 1 and 2, where they outlive exec.
pub fn become_stdio(streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    for (fd, target) in streams.into_iter().zip(0..) {
        // SAFETY: dup2 onto 0..2 replaces standard streams, which nothing in this process holds as owned.
        check(unsafe { libc::dup2(fd.as_raw_fd(), target) }.into())?;
    }
    Ok(())
}

/// Waits for a signal, pause(2).
pub fn pause() {
    // SAFETY: the call takes nothing.
    unsafe { libc::pause() };
}

/// `_exit(2)`: no destructors, no buffers flushed that belong to the parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Sets the supplementary groups, setgroups(2); raw as in [`set_identity`].
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: groups is a live slice whose length is given; setgroups only reads it.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets a supplementary group list, then group, then user, each real, effective and saved.
///
/// Raw system calls: glibc's wrappers would signal other threads, by a thread id that is stale after clone3.
pub fn set_identity(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    match set_groups(groups) {
        // A user namespace whose maker might not have been allowed to drop groups denies it (user_namespaces(7),
        // /proc/PID/setgroups): nothing is lost where there are none to drop.
        Err(error)
            if error.raw_os_error() == Some(libc::EPERM)
                && groups.is_empty()
                && nix::unistd::getgroups()?.is_empty() => {}
        other => other?,
    }
    // SAFETY: the call takes integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: the call takes integers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Gives every signal its default action and an empty mask, as a program expects to be started.
///
/// Rust ignores SIGPIPE at start-up, and callers may block or ignore anything; both survive execve.
pub fn reset_signals() -> io::Result<()> {
    const SIGNALS: libc::c_long = 64;
    const MASK_BYTES: usize = 8;
    // Zeroes are SIG_DFL, no flags, no restorer, an empty mask. Raw, because glibc refuses to touch the signals 32 and
    // 33, which it keeps for itself and which its posix_spawn leaves ignored.
    let default = [0u64; 4];
    let none = std::ptr::null_mut::<u64>();
    for signal in 1..=SIGNALS {
        // SAFETY: `default` is as large as the kernel's struct sigaction and lives until the call returns; no handler
        // of ours is lost that is still wanted. The kernel refuses SIGKILL and SIGSTOP (EINVAL), which have no other.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, MASK_BYTES) };
    }
    let empty = nix::sys::signal::SigSet::empty();
    Ok(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&empty), None)?)
}

/// Ends the process with exit code 128+n on each of these signals, which the first process of a PID namespace would not
/// see otherwise (pid_namespaces(7)). execve(2) makes them the default again.
pub fn end_on(signals: &[nix::sys::signal::Signal]) -> nix::Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        exit_now(128 + signal);
    }
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in signals {
        // SAFETY: the handler calls _exit(2) alone, which is async-signal-safe (signal-safety(7)).
        unsafe { sigaction(*signal, &action) }?;
    }
    Ok(())
}

/// prlimit(2) of a process, 0 for our own, by number, because the runtime spec's names include some that libc has not
/// got.
pub fn set_rlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: limit lives until the call returns; a null old limit is allowed.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, none) }).map(drop)
}

/// Waits until `fd` has one of `events` or an error condition; false when `deadline` passed first.
pub fn poll_until(fd: BorrowedFd<'_>, events: i16, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, lest it wakes early; but no time left means no waiting at all.
        let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        // SAFETY: poll is one live pollfd and the count says one.
        match check(unsafe { libc::poll(&raw mut poll, 1, millis) }.into()) {
            Ok(0) if Instant::now() >= deadline => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The path that this process was executed by, as the kernel recorded it (AT_EXECFN, getauxval(3)).
pub fn exec_path() -> Option<&'static CStr> {
    // SAFETY: getauxval takes an integer and returns 0 for an entry that is missing.
    let pointer = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const libc::c_char;
    if pointer.is_null() {
        return None;
    }
    // SAFETY: a non-null AT_EXECFN points at a NUL-terminated string on the initial stack, which lives for ever.
    Some(unsafe { CStr::from_ptr(pointer) })
}

/// Drops a capability, by number, from the bounding set.
///
/// # Errors
/// EINVAL when the kernel knows no capability of that number.
pub fn drop_bounding(capability: u8) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, capability.into()).map(drop)
}

/// Sets effective, permitted and inheritable capabilities from bit masks, capset(2): one call, because the three
/// must fit one another at every moment.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let low = |mask: u64| (mask & 0xffff_ffff) as u32;
    let high = |mask: u64| (mask >> 32) as u32;
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [
        [low(effective), low(permitted), low(inheritable)],
        [high(effective), high(permitted), high(inheritable)],
    ];
    // SAFETY: header and two data structs of three u32 each, as version 3 wants, live until the call returns.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// setdomainname(2): the NIS domain name of this UTS namespace.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the name's pointer and length are of one live string.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// personality(2): the execution domain.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: the call takes an integer.
    check(unsafe { libc::personality(domain.into()) }.into()).map(drop)
}
