//! Entering a group: descriptors that the parent opens and the child uses.

use super::Cgroup;
use crate::error::{Context, Result};
use crate::sys::fs::{open_existing, write_all_at_once};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A group, opened to be entered: v2 with `CLONE_INTO_CGROUP`, v1 by the child itself.
#[derive(Debug)]
pub struct Entry {
    /// The `tasks` file of every v1 hierarchy, and of a resctrl group.
    tasks: Vec<OwnedFd>,
    unified: Option<OwnedFd>,
}

impl Entry {
    /// The same with one more `tasks` file; of nothing, that alone.
    #[must_use]
    pub fn with(entry: Option<Self>, tasks: OwnedFd) -> Self {
        let mut entry = entry.unwrap_or(Self { tasks: Vec::new(), unified: None });
        entry.tasks.push(tasks);
        entry
    }
}

impl Cgroup {
    /// Opens the group for a child to enter; the descriptors are close-on-exec.
    ///
    /// # Errors
    /// When a directory is missing.
    pub fn entry(&self) -> Result<Entry> {
        let mut entry = Entry { tasks: Vec::new(), unified: None };
        for group in &self.groups {
            let (path, flags) = if group.is_v2() {
                (group.dir.clone(), libc::O_PATH | libc::O_DIRECTORY)
            } else {
                (group.dir.join("tasks"), libc::O_WRONLY)
            };
            let fd = open_existing(&path, flags).context(|| format!("cannot open {}", path.display()))?;
            if group.is_v2() {
                entry.unified = Some(fd);
            } else {
                entry.tasks.push(fd);
            }
        }
        Ok(entry)
    }
}

impl Entry {
    /// Puts the calling thread, which must be the process's only one, into the v1 groups. `tasks` moves one thread;
    /// `cgroup.procs` would wait for an RCU grace period.
    ///
    /// # Errors
    /// Those of the kernel; [`Entry::hint`] explains them.
    pub fn enter(&self) -> io::Result<()> {
        self.tasks.iter().try_for_each(|fd| write_all_at_once(fd.as_fd(), b"0"))
    }

    /// The v2 directory for clone3's `CLONE_INTO_CGROUP`; on a hybrid host beside [`Entry::enter`].
    pub fn v2_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// What an error of clone3 with [`Entry::v2_fd`], or of [`Entry::enter`], says about the group.
    pub fn hint(error: &io::Error) -> Option<&'static str> {
        Some(match error.raw_os_error()? {
            libc::EBUSY => {
                "the cgroup hands controllers down to groups below it, so it cannot have processes itself (cgroup v2)"
            }
            libc::EOPNOTSUPP => {
                "the cgroup is threaded, or lies below a group that has processes; choose another linux.cgroupsPath"
            }
            libc::EAGAIN => {
                "a limit on the number of processes is reached: linux.resources.pids.limit, or that of a group above"
            }
            libc::ENOSPC => "the cgroup's cpuset has no CPUs or no memory nodes",
            libc::ENODEV => "the cgroup was removed meanwhile",
            _ => return None,
        })
    }
}
