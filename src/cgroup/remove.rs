//! Removing a group whose processes are gone, or about to be.

use super::kill::{subdirectories, vanished};
use super::{Cgroup, Group};
use crate::error::{Context, Error, Result};
use crate::sys::tree::{Next, walk};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long processes that were killed may take to leave.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first wait, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_micros(100);
const LONGEST_WAIT: Duration = Duration::from_millis(10);

impl Cgroup {
    /// Removes the group and groups below it from every hierarchy, waiting up to 5 s for processes that are dying.
    /// Kills nothing, leaves the groups above alone; what is not there is fine.
    ///
    /// # Errors
    /// All that could not be removed, after everything was tried.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut errors: Vec<Error> = Vec::new();
        for error in self.groups.iter().filter_map(|group| group.remove(deadline).err()) {
            // The same processes hold the group in every hierarchy: once is enough.
            if error.errno() != Some(libc::EBUSY) || errors.iter().all(|e| e.errno() != Some(libc::EBUSY)) {
                errors.push(error);
            }
        }
        Error::all(format!("cannot remove cgroup {}", self.path()), errors)
    }

    /// Removes the group from every hierarchy if there is nothing in it at all; false when something is, or may be.
    pub fn remove_empty(&self) -> bool {
        self.groups.iter().all(|group| gone(std::fs::remove_dir(&group.dir)).is_ok())
    }
}

impl Group {
    fn remove(&self, deadline: Instant) -> Result<()> {
        let mut wait = FIRST_WAIT;
        loop {
            match remove_tree(&self.dir) {
                Ok(()) => return Ok(()),
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    std::thread::sleep(wait);
                    wait = LONGEST_WAIT.min(wait * 2);
                }
                Err(error) => {
                    let busy = is_busy(&error);
                    let error = Err(error).context(|| format!("cannot remove {}", self.dir.display()));
                    return error.map_err(|e| if busy { e.hint(self.who_is_left()) } else { e });
                }
            }
        }
    }

    fn who_is_left(&self) -> String {
        match self.processes() {
            Ok(pids) if !pids.is_empty() => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                format!("these processes are still in it: {}", pids.join(" "))
            }
            _ => "something still uses it".into(),
        }
    }
}

/// Groups go from the bottom up; the files in them go by themselves.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match gone(std::fs::remove_dir(dir)) {
        Err(error) if is_busy(&error) => {}
        result => return result,
    }
    let enter = |dir: BorrowedFd<'_>| match subdirectories(dir) {
        Err(error) if vanished(&error) => Ok(Vec::new()),
        result => result,
    };
    gone(walk(dir, enter, |above, name| {
        gone(unlinkat(above, name, UnlinkatFlags::RemoveDir).map_err(io::Error::from)).map(|()| Next::Leave)
    }))?;
    gone(std::fs::remove_dir(dir))
}

/// What somebody else removed is removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if vanished(&error) { Ok(()) } else { Err(error) })
}

/// A group with processes or with groups below it (ENOTEMPTY is what other file systems say for that).
fn is_busy(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scratch, text};
    use super::*;
    use crate::sys::fs::open_existing;
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};

    #[test]
    fn nested_groups_go_and_every_hierarchy_is_tried() {
        let top = scratch("remove");
        let group = |dir: &str| Group { controllers: "pids".into(), mount: top.clone(), dir: top.join(dir) };
        std::fs::create_dir_all(top.join("a/g/nested/deep")).unwrap();
        std::fs::create_dir_all(top.join("b/g/other")).unwrap();
        text(&top, "file", "");
        let cgroup = Cgroup {
            mode: super::super::Mode::V1,
            groups: vec![group("a/g"), group("file/g"), group("b/g"), group("c/g")],
        };
        let error = cgroup.remove().unwrap_err();
        assert!(error.to_string().starts_with("cannot remove cgroup /a/g: cannot remove "), "{error}");
        assert_eq!(error.errno(), Some(libc::ENOTDIR));
        assert!(top.join("a").is_dir() && !top.join("a/g").exists() && !top.join("b/g").exists());
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn nesting_deeper_than_any_path_is_read_and_removed() {
        let top = scratch("deep");
        let group = Group { controllers: "pids".into(), mount: top.clone(), dir: top.join("g") };
        std::fs::create_dir(&group.dir).unwrap();
        let mut above = open_existing(&group.dir, libc::O_PATH).unwrap();
        for _ in 0..3000 {
            mkdirat(&above, "d", Mode::S_IRWXU).unwrap();
            above = openat(&above, "d", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        }
        let mut count = 0;
        let visited = group.for_each_dir(|dir| {
            count += 1;
            if dir.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
        });
        visited.unwrap();
        assert_eq!(count, 3001);
        // cgroup.procs is missing everywhere here: as if they had all gone.
        assert!(group.processes().unwrap().is_empty());
        group.remove(Instant::now()).unwrap();
        assert!(!group.dir.exists());
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_group_in_use_is_named_with_its_processes() {
        let top = scratch("busy");
        let group = Group { controllers: "pids".into(), mount: top.clone(), dir: top.join("g") };
        std::fs::create_dir(&group.dir).unwrap();
        text(&group.dir, "cgroup.procs", "31\n");
        let error = group.remove(Instant::now()).unwrap_err();
        assert_eq!(error.remedy(), Some("these processes are still in it: 31"));
        std::fs::remove_dir_all(top).unwrap();
    }
}
