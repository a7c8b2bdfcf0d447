//! The processes of a group, and signals to all of them.

use super::{Cgroup, Group};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::fs::write_existing;
use crate::sys::pidfd;
use crate::sys::tree::{Next, short_path, walk};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// How often the list is read again before processes that fork faster than they are signalled are given up.
const ROUNDS: u32 = 1000;

impl Cgroup {
    /// Every process of the group and of groups below it, in any hierarchy, each once, in ascending order. Zombies
    /// and processes that our PID namespace cannot name are not among them. A missing group has none.
    ///
    /// # Errors
    /// When the kernel does not let us read the group.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut all = BTreeSet::new();
        for group in &self.groups {
            all.extend(group.processes()?);
        }
        Ok(all.into_iter().collect())
    }

    /// Sends a signal to every process of the group and of groups below it, also to those that appear meanwhile.
    /// SIGKILL reaches frozen groups too. A missing group is fine.
    ///
    /// # Errors
    /// When a process cannot be signalled, or new ones appear without end.
    pub fn signal_all(&self, signal: i32) -> Result<()> {
        if signal != libc::SIGKILL {
            return self.signal_each(signal);
        }
        if let Some(unified) = self.unified() {
            // Atomic against fork (Linux 5.14). On a hybrid host everything of ours is in that hierarchy too, and
            // what follows finds what somebody took out of it.
            unified.kill()?;
            if self.groups.len() == 1 {
                return Ok(());
            }
            self.thaw_killed()?;
            return self.signal_each(signal);
        }
        // Frozen processes cannot fork; the signal takes effect when they thaw. A group that does not freeze, or
        // has no freezer, is signalled all the same.
        drop(self.freeze());
        let signalled = self.signal_each(signal);
        self.thaw_killed()?;
        signalled?;
        self.signal_each(signal)
    }

    /// Rounds over the list until there is nobody new on it.
    fn signal_each(&self, signal: i32) -> Result<()> {
        let mut done = BTreeSet::new();
        for _ in 0..ROUNDS {
            let new: Vec<i32> = self.processes()?.into_iter().filter(|pid| !done.contains(pid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            let mut open = Vec::new();
            for &pid in &new {
                match pidfd::open(pid) {
                    Ok(fd) => open.push((pid, fd)),
                    // ESRCH: it is gone. EINVAL (ENOENT since Linux 6.15): a thread that the v1 list names alone.
                    Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => {
                    }
                    Err(error) => return Err(error).context(|| format!("cannot open process {pid}")),
                }
            }
            // A pid on the list before and after its pidfd was opened was not another's in between.
            let still = self.processes()?;
            for (pid, fd) in open {
                if still.binary_search(&pid).is_err() {
                    continue;
                }
                match pidfd::send_signal(fd.as_fd(), signal) {
                    Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
                        return Err(e).context(|| format!("cannot signal process {pid}"));
                    }
                    _ => {}
                }
            }
            done.extend(new);
        }
        Err(Error::new(Kind::Host, format!("cannot signal all of cgroup {}: it forks too fast", self.path()))
            .hint("freeze it first (pause), or limit linux.resources.pids.limit"))
    }
}

impl Group {
    /// The processes here and below.
    pub(super) fn processes(&self) -> Result<BTreeSet<i32>> {
        let mut pids = BTreeSet::new();
        self.for_each_dir(|dir| {
            let text = match std::fs::read_to_string(dir.join("cgroup.procs")) {
                Ok(text) => text,
                // EOPNOTSUPP: a threaded v2 group; the group above it lists the processes.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
                Err(error) => return Err(error),
            };
            // 0 stands for processes outside our PID namespace.
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
            Ok(())
        })?;
        Ok(pids)
    }

    /// Calls `visit` with a short path to the group's directory and to each below it, however deep; directories that
    /// vanish are left out.
    pub(super) fn for_each_dir(&self, mut visit: impl FnMut(&Path) -> io::Result<()>) -> Result<()> {
        let enter = |dir: BorrowedFd<'_>| match visit(&short_path(dir)).and_then(|()| subdirectories(dir)) {
            Err(error) if vanished(&error) => Ok(Vec::new()),
            result => result,
        };
        match walk(&self.dir, enter, |_, _| Ok(Next::Leave)) {
            Err(error) if !vanished(&error) => {
                Err(error).context(|| format!("cannot read cgroup {} and those below it", self.dir.display()))
            }
            _ => Ok(()),
        }
    }

    fn kill(&self) -> Result<()> {
        match write_existing(&self.dir.join("cgroup.kill"), "1") {
            Err(error) if !vanished(&error) => {
                Err(error).context(|| format!("cannot kill the processes of cgroup {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the group was removed: before its file was opened, or after.
pub(super) fn vanished(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// The names of the groups directly below.
pub(super) fn subdirectories(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(short_path(dir))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(CString::new(entry.file_name().into_vec())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{scratch, text};
    use super::*;

    #[test]
    fn each_process_once_from_all_hierarchies_and_nested_groups() {
        let top = scratch("procs");
        let group = |controllers: &str, dir: &str| {
            let group = Group { controllers: controllers.into(), mount: top.clone(), dir: top.join(dir) };
            std::fs::create_dir_all(group.dir.join("nested/deep")).unwrap();
            group
        };
        let (memory, pids) = (group("memory", "m"), group("pids", "p"));
        text(&memory.dir, "cgroup.procs", "7\n7\n5\n0\n");
        text(&memory.dir.join("nested"), "cgroup.procs", "");
        text(&memory.dir.join("nested/deep"), "cgroup.procs", "12\n");
        text(&pids.dir, "cgroup.procs", "5\n9\n");
        let mut cgroup = Cgroup { mode: Mode::V1, groups: vec![memory, pids] };
        assert_eq!(cgroup.processes().unwrap(), [5, 7, 9, 12]);
        cgroup = cgroup.child("missing");
        assert_eq!(cgroup.processes().unwrap(), [0; 0]);
        cgroup.signal_all(libc::SIGTERM).unwrap();
        cgroup.signal_all(libc::SIGKILL).unwrap();
        std::fs::remove_dir_all(top).unwrap();
    }
}
