//! Making a group in every hierarchy: parents, controllers handed down (v2), CPUs and memory nodes copied (v1).

use super::{Cgroup, Group};
use crate::error::{Context, Error, Result};
use crate::sys::fs::write_existing;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How often a group is tried again whose parent somebody else removed meanwhile.
const ATTEMPTS: u32 = 16;

/// The controllers that podrun sets limits with; on a hybrid host the v2 hierarchy need not hand down others.
const LIMITING: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

impl Cgroup {
    /// Makes the group and what is missing above it in every hierarchy. A group that is there already is taken when
    /// nobody uses it. When a step fails, what was made is removed again.
    ///
    /// # Errors
    /// When the group has processes or is frozen, and when the file system refuses.
    pub fn create(&self) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut made = Made(Vec::new());
            match self.groups.iter().try_for_each(|group| self.create_in(group, &mut made)) {
                Ok(()) => {
                    made.0.clear();
                    return Ok(());
                }
                Err(error) if attempt < ATTEMPTS && parent_vanished(&error) => {}
                Err(error) => return Err(error).context(|| format!("cannot create cgroup {}", self.path())),
            }
        }
    }

    /// Refuses a group that is there already and is somebody's. A container's maker asks before the group goes on
    /// record: whoever cleans up after the record kills what is in it.
    ///
    /// # Errors
    /// When the group has processes or is frozen.
    pub fn refuse_in_use(&self) -> Result<()> {
        let mut there = self.groups.iter().filter(|group| group.dir.exists());
        there.try_for_each(Group::refuse_in_use)
    }

    fn create_in(&self, group: &Group, made: &mut Made) -> Result<()> {
        if !group.make(&group.dir, made)? {
            group.refuse_in_use()?;
        } else if group.is_frozen()? {
            return Err(Error::user("a group above it is frozen, and so would be all that is in it").hint(
                "thaw that group (freezer.state, cgroup.freeze), or choose another linux.cgroupsPath",
            ));
        }
        if group.is_v2() {
            let only_limiting = self.unified().is_some() && self.groups.len() > 1;
            group.hand_down(|name| !only_limiting || LIMITING.contains(&name))?;
        }
        if group.has("cpuset") {
            group.inherit(&group.dir, "cpuset.cpus")?;
            group.inherit(&group.dir, "cpuset.mems")?;
        }
        Ok(())
    }
}

/// Directories made so far; removed, last first, unless the list was cleared.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for dir in self.0.iter().rev() {
            // One that another command put a group into by now is that one's as well, and stays (EBUSY).
            drop(std::fs::remove_dir(dir));
        }
    }
}

/// Whether a directory was missing that had been there: somebody removes groups beside ours.
fn parent_vanished(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV))
}

impl Group {
    /// mkdir -p; false when the directory was there.
    fn make(&self, dir: &Path, made: &mut Made) -> Result<bool> {
        let mkdir = || std::fs::DirBuilder::new().mode(0o755).create(dir);
        let parent = dir.parent().filter(|parent| *parent != self.mount && parent.starts_with(&self.mount));
        let result = match (mkdir(), parent) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.make(parent, made)?;
                mkdir()
            }
            (result, _) => result,
        };
        match result {
            Ok(()) => {
                made.0.push(dir.to_owned());
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => {
                let hint = mkdir_hint(error.raw_os_error().unwrap_or(0));
                let error = Err(error).context(|| format!("cannot make {}", dir.display()));
                error.map_err(|e| hint.into_iter().fold(e, Error::hint))
            }
        }
    }

    /// A group with processes, or a frozen one, in which ours would hang, is somebody else's.
    /// Clients match runc's words.
    fn refuse_in_use(&self) -> Result<()> {
        let dir = self.dir.display();
        let taken = |why: String| {
            Error::user(format!("cgroup {dir} is in use: {why}")).hint("choose another linux.cgroupsPath")
        };
        let processes = self.processes()?.len();
        if processes > 0 {
            return Err(taken(format!("container's cgroup is not empty: {processes} process(es) found")));
        }
        if self.is_frozen()? {
            return Err(taken("container's cgroup unexpectedly frozen".into()));
        }
        Ok(())
    }

    /// v2: enables the controllers in `cgroup.subtree_control` of every group from the mount point to the one
    /// above ours, down to one that has processes of its own. That one refuses some (EBUSY) and takes others at the
    /// price that no process may enter the groups below it (`domain invalid`). What is missing then only matters,
    /// and is explained, when a limit needs it.
    pub(super) fn hand_down(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let controllers = |dir: &Path| Ok::<_, Error>(names(&read(&dir.join("cgroup.controllers"))?));
        let mut wanted: Vec<String> = controllers(&self.mount)?.into_iter().filter(|c| wanted(c)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let have = controllers(&self.dir)?;
        wanted.retain(|c| !have.contains(c));
        if wanted.is_empty() {
            return Ok(());
        }
        let mut above: Vec<&Path> =
            self.dir.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.mount)).collect();
        above.reverse();
        for dir in above {
            let available = controllers(dir)?;
            let file = dir.join("cgroup.subtree_control");
            let enabled = names(&read(&file)?);
            let missing: Vec<String> = wanted
                .iter()
                .filter(|c| available.contains(c) && !enabled.contains(c))
                .map(|c| format!("+{c}"))
                .collect();
            if missing.is_empty() {
                continue;
            }
            if has_processes_of_its_own(dir)? {
                break;
            }
            // All or nothing in one write; one by one when one of them is refused.
            if write_existing(&file, &missing.join(" ")).is_err() {
                for one in &missing {
                    drop(write_existing(&file, one));
                }
            }
        }
        Ok(())
    }

    /// v1: a new cpuset has no CPUs and no memory nodes, and lets nobody in until it has; takes them from the group
    /// above, which another command may have made a moment ago and not filled yet.
    fn inherit(&self, dir: &Path, file: &str) -> Result<String> {
        let path = dir.join(file);
        let value = read(&path)?.trim().to_owned();
        let above = dir.parent().filter(|above| above.starts_with(&self.mount));
        let (true, Some(above)) = (value.is_empty(), above) else { return Ok(value) };
        let value = self.inherit(above, file)?;
        write_existing(&path, &value).context(|| format!("cannot write {value:?} to {}", path.display()))?;
        Ok(value)
    }
}

/// The hierarchy's root, which has no type, may have both processes and controllers below it.
fn has_processes_of_its_own(dir: &Path) -> Result<bool> {
    Ok(dir.join("cgroup.type").exists() && !read(&dir.join("cgroup.procs"))?.is_empty())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))
}

fn mkdir_hint(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::EROFS => "mount the cgroup file system read-write",
        libc::EACCES | libc::EPERM => "this needs root on the host",
        libc::EAGAIN => "the limits cgroup.max.descendants or cgroup.max.depth of a group above are reached",
        libc::ENOSPC => "the host has too many cgroups: remove groups of containers that are gone",
        libc::ENAMETOOLONG => "choose a shorter linux.cgroupsPath",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{content, scratch, text};
    use super::*;

    fn group(top: &Path, controllers: &str, dir: &str) -> Group {
        Group { controllers: controllers.into(), mount: top.into(), dir: top.join(dir) }
    }

    #[test]
    fn parents_are_made_and_what_was_made_is_undone() {
        let top = scratch("undo");
        let one = Cgroup { mode: Mode::V1, groups: vec![group(&top, "pids", "a/b/c")] };
        one.create().unwrap();
        assert!(top.join("a/b/c").is_dir());
        // The second hierarchy fails: what the call made in the first goes, what was there stays.
        text(&top, "file", "");
        let two = Cgroup {
            mode: Mode::V1,
            groups: vec![group(&top, "pids", "a/b/d/e"), group(&top, "memory", "file/x")],
        };
        let error = two.create().unwrap_err();
        assert!(error.to_string().starts_with("cannot create cgroup /a/b/d/e: cannot make "), "{error}");
        assert!(top.join("a/b").is_dir() && !top.join("a/b/d").exists());
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_group_with_processes_is_refused() {
        let top = scratch("refuse");
        let used = group(&top, "pids", "g");
        std::fs::create_dir_all(used.dir.join("nested")).unwrap();
        text(&used.dir, "cgroup.procs", "");
        text(&used.dir.join("nested"), "cgroup.procs", "17\n");
        let error = Cgroup { mode: Mode::V1, groups: vec![used.clone()] }.create().unwrap_err();
        assert!(error.to_string().contains("is not empty: 1 process(es) found"), "{error}");
        text(&used.dir.join("nested"), "cgroup.procs", "");
        Cgroup { mode: Mode::V1, groups: vec![used] }.create().unwrap();
        let frozen = group(&top, "freezer", "f");
        std::fs::create_dir(&frozen.dir).unwrap();
        text(&frozen.dir, "freezer.state", "FROZEN\n");
        let error = Cgroup { mode: Mode::V1, groups: vec![frozen] }.create().unwrap_err();
        assert!(error.to_string().ends_with("unexpectedly frozen"), "{error}");
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn empty_cpusets_take_what_the_nearest_filled_group_has() {
        let top = scratch("cpuset");
        let set = group(&top, "cpuset", "a/b");
        std::fs::create_dir_all(&set.dir).unwrap();
        for (dir, cpus) in [(&top, "0-3\n"), (&top.join("a"), "\n"), (&set.dir, "")] {
            text(dir, "cpuset.cpus", cpus);
            text(dir, "cpuset.mems", cpus);
        }
        Cgroup { mode: Mode::V1, groups: vec![set.clone()] }.create().unwrap();
        assert_eq!(content(&set.dir, "cpuset.cpus"), "0-3");
        assert!(content(&top.join("a"), "cpuset.mems").starts_with("0-3"));
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn controllers_are_handed_down_from_the_top() {
        let top = scratch("handdown");
        let unified = group(&top, "", "a/b");
        std::fs::create_dir_all(&unified.dir).unwrap();
        let prepare = |pids_above: &str| {
            for (dir, has, enabled) in [
                (&top, "cpu io memory\n", "cpu\n"),
                (&top.join("a"), "cpu memory\n", "\n"),
                (&unified.dir, "\n", "\n"),
            ] {
                text(dir, "cgroup.controllers", has);
                text(dir, "cgroup.subtree_control", enabled);
                text(dir, "cgroup.procs", "");
                text(dir, "cgroup.events", "populated 0\nfrozen 0\n");
            }
            text(&top, "cgroup.procs", "1\n");
            text(&top.join("a"), "cgroup.procs", pids_above);
            text(&top.join("a"), "cgroup.type", "domain\n");
        };
        let cgroup = Cgroup { mode: Mode::V2, groups: vec![unified.clone()] };
        let enabled = |dir: &str| content(&top.join(dir), "cgroup.subtree_control");
        prepare("");
        cgroup.create().unwrap();
        assert_eq!([enabled(""), enabled("a"), enabled("a/b")], ["+io +memory", "+cpu +memory", "\n"]);
        // One that has processes is left as it is.
        prepare("17\n");
        cgroup.create().unwrap();
        assert_eq!([enabled(""), enabled("a"), enabled("a/b")], ["+io +memory", "\n", "\n"]);
        std::fs::remove_dir_all(top).unwrap();
    }
}
