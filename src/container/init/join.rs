//! The process between `exec` and its program: `podrun:join` enters the container's cgroup and namespaces, then clones
//! the program's process, as the command's child.
//!
//! A process is visible to the container from the moment it is in its PID namespace. A container with CAP_SYS_PTRACE may
//! look through /proc/PID/root and /proc/PID/fd then, so that moment comes when neither leads to the host any more:
//! only children of this process are in the PID namespace, and they have the container's root and no descriptor but the
//! link, the terminal's socket and what is to be preserved.

use super::{InitPlan, die_with_command, kernel};
use crate::cgroup::Entry;
use crate::container::create::clone_hint;
use crate::container::namespaces;
use crate::error::{Context, Result};
use crate::sync::message::{Failure, FromInit};
use crate::sys::clone::{CloneArgs, SingleThreaded, spawn};
use crate::sys::{ns, process};
use std::os::fd::{AsFd, OwnedFd};

/// What comes before the program's process.
#[derive(Debug)]
pub struct JoinPlan {
    /// Groups to enter.
    pub cgroup: Option<Entry>,
    /// Badness for the OOM killer, written while /proc is still the host's.
    pub oom_score_adj: Option<i32>,
    /// Pidfd of the container's init, and the namespaces to join.
    pub namespaces: (OwnedFd, libc::c_int),
    /// Copied from the command: a copy of a process with one thread has one thread.
    pub alone: SingleThreaded,
}

/// Joins, clones, reports and ends.
pub fn main(join: JoinPlan, plan: InitPlan) -> ! {
    let mut plan = Some(plan);
    let message = match run(join, &mut plan) {
        Ok(pid) => FromInit::Cloned(pid),
        Err(error) => FromInit::Failed(Failure::from(&error)),
    };
    // Should this fail, the command sees the end of the link.
    let told = plan.is_some_and(|plan| plan.link.send(&message).is_ok());
    process::exit_now(i32::from(!told))
}

fn run(join: JoinPlan, plan: &mut Option<InitPlan>) -> Result<i32> {
    process::set_name(c"podrun:join").context(|| "cannot name the process")?;
    die_with_command()?;
    if let Some(entry) = &join.cgroup {
        entry.enter().context(|| "cannot enter the cgroup")?;
    }
    if let Some(score) = join.oom_score_adj {
        kernel::write_oom_score("self", score)?;
    }
    let (init, flags) = &join.namespaces;
    if *flags != 0 {
        ns::setns(init.as_fd(), *flags).context(|| format!("cannot join {}", namespaces::names(*flags)))?;
    }
    let alone = join.alone;
    // Also what the caller leaked into us. The values that own some of these go out of scope before they are closed.
    drop(join);
    if let Some(plan) = plan {
        let mut kept = vec![plan.link.as_fd()];
        kept.extend(plan.process.terminal.as_ref().map(|terminal| terminal.socket.as_fd()));
        process::close_all_but(3 + plan.process.preserved_fds, &kept)
            .context(|| "cannot close file descriptors")?;
    }
    let args = CloneArgs { sibling: true, ..CloneArgs::default() };
    // Taken in the child alone: this process still needs the link.
    let child = spawn(alone, args, || {
        if let Some(plan) = plan.take() {
            super::main(plan);
        }
    });
    let child = child.context(|| "cannot clone the process").map_err(clone_hint)?;
    Ok(child.pid)
}
