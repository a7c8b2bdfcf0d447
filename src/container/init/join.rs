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
use crate::container::labels;
use crate::container::namespaces;
use crate::container::process::ProcessPlan;
use crate::error::{Context, Result};
use crate::sync::message::{Failure, FromInit};
use crate::sys::clone::{CloneArgs, SingleThreaded, spawn};
use crate::sys::{mount, ns, process};
use std::os::fd::{AsFd, BorrowedFd};

/// What comes before the program's process: borrowed, since the command keeps it for the next one.
#[derive(Debug)]
pub struct JoinPlan<'a> {
    /// Groups to enter.
    pub cgroup: Option<&'a Entry>,
    /// Badness for the OOM killer, written while /proc is still the host's.
    pub oom_score_adj: Option<i32>,
    /// Pidfd of the container's init, and the namespaces to join.
    pub namespaces: (BorrowedFd<'a>, libc::c_int),
    /// The container's root, where its mount namespace does not bring that along.
    pub root: Option<BorrowedFd<'a>>,
    /// Copied from the command: a copy of a process with one thread has one thread.
    pub alone: SingleThreaded,
}

/// Joins, clones and ends; speaks only where it fails.
pub fn main(join: &JoinPlan<'_>, plan: InitPlan) -> ! {
    let mut plan = Some(plan);
    let Err(error) = run(join, &mut plan) else { process::exit_now(0) };
    // Should this fail, the command sees the end of the link.
    let told = plan.is_some_and(|plan| plan.link.send(&FromInit::Failed(Failure::from(&error))).is_ok());
    process::exit_now(i32::from(!told))
}

fn run(join: &JoinPlan<'_>, plan: &mut Option<InitPlan>) -> Result<()> {
    process::set_name(c"podrun:join").context(|| "cannot name the process")?;
    die_with_command()?;
    if let Some(entry) = join.cgroup {
        entry.enter().context(|| "cannot enter the cgroup")?;
    }
    if let Some(score) = join.oom_score_adj {
        kernel::write_oom_score("self", score)?;
    }
    if let Some(plan) = plan {
        // Handed down to the program's process, whose /proc is the container's.
        let attributes = &mut plan.process.attributes;
        labels::ask_for_keys(attributes)?;
        labels::ask(attributes)?;
        (attributes.apparmor, attributes.selinux) = (None, None);
    }
    let (init, flags) = join.namespaces;
    if flags & libc::CLONE_NEWUSER != 0 {
        // As `Namespaces::join` and `identity::become_namespace_root` have it.
        process::set_not_dumpable().context(|| "cannot refuse to be traced")?;
        process::set_groups(&[]).context(|| "cannot drop the supplementary groups")?;
    }
    if flags != 0 {
        ns::setns(init, flags).context(|| format!("cannot join {}", namespaces::names(flags)))?;
    }
    if let Some(root) = join.root {
        mount::change_root(root).context(|| "cannot enter the container's root")?;
    }
    // Also what the caller leaked into us. The values that own some of these are the command's, and never dropped here.
    if let Some(plan) = plan {
        replace_streams(&mut plan.process)?;
        let mut kept = vec![plan.link.as_fd()];
        kept.extend(plan.process.terminal.as_ref().map(|terminal| terminal.socket.as_fd()));
        process::close_all_but(3, &kept, &plan.process.preserved_fds)
            .context(|| "cannot close file descriptors")?;
    }
    let args = CloneArgs { sibling: true, ..CloneArgs::default() };
    // Taken in the child alone: this process may still need the link.
    let child = spawn(join.alone, args, || {
        if let Some(plan) = plan.take() {
            super::main(plan);
        }
    });
    child.context(|| "cannot clone the process").map_err(clone_hint).map(drop)
}

/// Where the program will not have the caller's standard streams, its process has not got them from the beginning.
fn replace_streams(program: &mut ProcessPlan) -> Result<()> {
    let replaced = match (&program.terminal, program.stdio.take()) {
        // For the time until the terminal is made, something that it has anyway.
        (Some(terminal), _) => process::become_stdio([terminal.socket.as_fd(); 3]),
        (None, Some(stdio)) => {
            process::become_stdio([stdio.stdin.as_fd(), stdio.stdout.as_fd(), stdio.stderr.as_fd()])
        }
        (None, None) => Ok(()),
    };
    replaced.context(|| "cannot replace the standard streams")
}
