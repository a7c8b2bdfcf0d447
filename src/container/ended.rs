//! Ending a process that is not wanted any more, and saying why one ended that was.

use crate::cgroup::Cgroup;
use crate::error::{Error, Kind};
use crate::sys::clone::Child;
use crate::sys::pidfd;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a killed process may take to end before we say so.
pub const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The error for a process that does not end when it is killed.
pub fn hangs(subject: &str) -> Error {
    Error::host(format!("{subject} does not end within {} s of SIGKILL", KILL_DEADLINE.as_secs()))
        .hint("it hangs in the kernel (state D in ps), most often on storage; try again when that answers")
}

/// Kills and reaps a child that failed or is not wanted any more. When it died without a word, its exit status and the
/// cgroup tell why. `filtered` says that a seccomp filter may be the reason
/// ([`super::process::ProcessPlan::filters_init`]).
pub fn end_child(child: &Child, cgroup: Option<&Cgroup>, filtered: bool, error: Error) -> Error {
    let already_dead = error.kind() == Kind::Died;
    if !already_dead
        && let Err(second) = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL)
        && second.raw_os_error() != Some(libc::ESRCH)
    {
        return Error::host(format!("{error}; and its process {} cannot be killed", child.pid))
            .because(second);
    }
    match pidfd::wait_exit(child.pidfd.as_fd(), KILL_DEADLINE) {
        Ok(true) => {}
        Ok(false) => return hangs(&format!("{error}; and its process {}", child.pid)),
        Err(second) => {
            return Error::host(format!("{error}; and its process cannot be waited for")).because(second);
        }
    }
    let status = waitpid(nix::unistd::Pid::from_raw(child.pid), Some(WaitPidFlag::__WALL));
    if !already_dead {
        return error;
    }
    match status {
        Ok(WaitStatus::Signaled(_, signal, _)) => killed(cgroup, signal, filtered),
        Ok(WaitStatus::Exited(_, code)) => {
            suspect_filter(filtered, Error::host(format!("the init process ended with code {code}")))
        }
        _ => error,
    }
}

/// Why a process was killed that nobody of us killed.
pub fn killed(cgroup: Option<&Cgroup>, signal: Signal, filtered: bool) -> Error {
    match cgroup.map(Cgroup::memory_events) {
        Some(Ok(events)) if events.oom_kills > 0 => {
            let limit = events.limit_bytes.map(|bytes| format!(" (limit {bytes} bytes)")).unwrap_or_default();
            Error::user(format!("the init process ran out of memory{limit}"))
                .hint("raise linux.resources.memory.limit: making a container takes about 256 KiB")
        }
        _ => {
            // SIGSEGV: what libc and Rust do when they cannot even exit.
            let filtered = filtered && matches!(signal, Signal::SIGSYS | Signal::SIGSEGV);
            suspect_filter(filtered, Error::host(format!("the init process was killed by {signal}")))
        }
    }
}

/// Names the likely reason of a silent end when a filter was in force.
pub fn suspect_filter(filtered: bool, error: Error) -> Error {
    if !filtered {
        return error;
    }
    error.hint(
        "linux.seccomp may forbid what podrun:init needs: without process.noNewPrivileges it is in force before the \
         program starts",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_filter_in_force_is_suspected_and_only_of_what_filters_do() {
        let hinted = |signal, filtered| {
            killed(None, signal, filtered).remedy().is_some_and(|h| h.contains("linux.seccomp"))
        };
        assert!(hinted(Signal::SIGSYS, true) && hinted(Signal::SIGSEGV, true));
        assert!(!hinted(Signal::SIGSYS, false) && !hinted(Signal::SIGKILL, true));
    }
}
