//! Process file descriptors, pidfd_open(2).

use super::{check, int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// pidfd_open(2). The caller compares the start time *after* this, so that the descriptor is of the process meant.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers.
    let raw = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map_err(|error| {
        // Linux 6.1 says EINVAL where a session or a process group still bears the number of a process that is gone.
        let gone = error.raw_os_error() == Some(libc::EINVAL) && pid > 0;
        if gone { io::Error::from_raw_os_error(libc::ESRCH) } else { error }
    })?;
    // SAFETY: pidfd_open returned a new descriptor (close-on-exec by itself) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(int(raw)?) })
}

/// pidfd_send_signal(2); `signal` 0 tests whether the process is there.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed; the rest are integers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) }).map(drop)
}

/// pidfd_getfd(2): a copy of a descriptor of another process, close-on-exec (Linux 5.6).
pub fn get_descriptor(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers.
    let raw = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    // SAFETY: pidfd_getfd returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(int(raw)?) })
}

/// Waits until the process has ended (it may still be a zombie); false when `timeout` passed first.
pub fn wait_exit(pidfd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    super::process::poll_until(pidfd.as_fd(), libc::POLLIN, Instant::now() + timeout)
}

/// What becomes of a child that has ended when its status is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zombie {
    /// It stays, and can be asked again.
    Stays,
    /// It is reaped.
    Reaped,
}

/// The wait status (wait(2)) of a child of ours that has ended, or `None` while it still runs.
///
/// # Errors
/// ECHILD when it is another's child, or was reaped before.
pub fn child_status(pidfd: BorrowedFd<'_>, zombie: Zombie) -> io::Result<Option<i32>> {
    const DUMPED_CORE: i32 = 0x80;
    // Also of one that was cloned quietly.
    const WHICH: i32 = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    let stay = if zombie == Zombie::Stays { libc::WNOWAIT } else { 0 };
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: siginfo_t is plain data, for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: info lives until the call returns, and is written by it alone.
    check(unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, WHICH | stay) }.into())?;
    // SAFETY: waitid(2) fills in the child's pid, or leaves the zero where the child still runs.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: waitid(2) fills in the status with the pid.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => status << 8,
        libc::CLD_DUMPED => status | DUMPED_CORE,
        _ => status,
    }))
}

/// Reaps a child that was cloned quietly ([`super::clone::CloneArgs::quiet`]) and has not executed a program: its wait
/// status, or `None` where none has ended; with `wait`, where there is none.
pub fn reap_stray(wait: bool) -> io::Result<Option<i32>> {
    let patience = if wait { 0 } else { libc::WNOHANG };
    let mut status = 0;
    loop {
        // SAFETY: status lives until the call returns.
        let reaped = check(unsafe { libc::waitpid(-1, &raw mut status, libc::__WCLONE | patience) }.into());
        match reaped {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(status)),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The wait status that the kernel keeps for holders of a pidfd after the process was reaped (PIDFD_GET_INFO, Linux
/// 6.15); `None` while it was not.
///
/// # Errors
/// ENOTTY or EINVAL on kernels without it.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    /// `struct pidfd_info` of linux/pidfd.h in its first version.
    #[derive(Default)]
    #[repr(C)]
    struct Info {
        mask: u64,
        cgroup: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        credentials: [u32; 8],
        exit_code: i32,
    }
    // _IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::Ioctl = nix::request_code_readwrite!(0xff, 11, size_of::<Info>());
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: info is as large as the request's number says and lives until the call returns.
    check(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) }.into())?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn a_number_that_only_a_process_group_bears_is_no_process() {
        let mut command = Command::new("sh");
        let output =
            command.args(["-c", "sleep 60 >/dev/null 2>&1 & echo $$ $!"]).process_group(0).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let pids: Vec<i32> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        let [leader, other] = pids[..] else { panic!("{text}") };
        let opened = open(leader);
        send_signal(open(other).unwrap().as_fd(), libc::SIGKILL).unwrap();
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
