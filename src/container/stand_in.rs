//! A process that stands in namespaces and does nothing, since the kernel tells and gives some things only of processes.

use super::{create, ended};
use crate::error::{Context, Result};
use crate::sys::clone::{Child, CloneArgs, SingleThreaded, spawn};
use crate::sys::pidfd;
use std::os::fd::{AsFd, BorrowedFd};

/// A child of ours; it ends with this value.
pub(super) struct StandIn(Child);

impl StandIn {
    /// Makes one that does as it is told, and ends.
    ///
    /// # Errors
    /// When it cannot be cloned.
    pub(super) fn make(alone: SingleThreaded, args: CloneArgs<'_>, stand: impl FnOnce()) -> Result<Self> {
        spawn(alone, args, stand).map(Self).context(|| "cannot clone a process").map_err(create::clone_hint)
    }

    pub(super) fn pid(&self) -> i32 {
        self.0.pid
    }

    fn pidfd(&self) -> BorrowedFd<'_> {
        self.0.pidfd.as_fd()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Nobody is there to hear of it; what cannot be reaped falls to our own parent.
        drop(pidfd::send_signal(self.pidfd(), libc::SIGKILL));
        if pidfd::wait_exit(self.pidfd(), ended::KILL_DEADLINE).is_ok_and(|ended| ended) {
            drop(pidfd::child_status(self.pidfd(), pidfd::Zombie::Reaped));
        }
    }
}
