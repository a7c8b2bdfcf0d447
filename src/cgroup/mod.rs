//! Control groups by the file system (cgroups v1, v2 and both at once): where a container's group lies, making it,
//! its limits, entering it, freezing, killing, removing.
//!
//! Not here: which process gets which limits, and systemd's side of cgroups.
//!
//! Invariants: a [`Cgroup`] out of a record is enough for everything but making new paths, so a later command needs
//! no look at the host; a group that was not made here is never given processes it did not have room for, and is
//! never removed by undoing; nothing is written for a limit that was not given. A v1 `cgroup.procs` is never
//! written: that waits for an RCU grace period (11 to 15 ms), while a single-threaded child that writes 0 to `tasks`
//! pays microseconds.

mod below;
mod block_io;
mod check;
mod cpu;
mod create;
mod delegate;
mod detect;
mod device_filter;
mod devices;
mod entry;
mod events;
mod freeze;
mod hugetlb;
mod kill;
mod limits;
mod memory;
mod network;
mod oom;
mod path;
mod rdma;
mod rdt;
mod remove;
mod stats;
mod update;
mod write;

pub use check::check;
pub use detect::{Hierarchies, detect};
pub use entry::Entry;
pub use events::MemoryEvents;
pub use oom::OomWatch;
pub use rdt::{RdtGroup, RdtPlan};
pub use stats::Stats;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which cgroup versions are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No hierarchy at all: nothing can be limited, and making a group is an error.
    None,
    /// Version 1 alone: one hierarchy per controller.
    V1,
    /// Version 2 alone: one hierarchy for all.
    V2,
    /// Version 1 with a version 2 hierarchy beside it.
    Hybrid,
}

/// A group of processes: one directory in every mounted hierarchy. Goes into records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cgroup {
    mode: Mode,
    groups: Vec<Group>,
}

/// The group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Group {
    /// The v1 controllers as /proc/self/cgroup names them (`cpu,cpuacct`, `name=systemd`); empty for v2.
    controllers: String,
    /// Where the hierarchy is mounted: nothing at or above it is ours to change.
    mount: PathBuf,
    /// The group's directory, below `mount`.
    dir: PathBuf,
}

impl Group {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|c| c == controller)
    }
}

impl Cgroup {
    /// Which cgroup versions the group was made for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The group below this one; `name` is one path component.
    #[must_use]
    pub fn child(&self, name: &str) -> Cgroup {
        let groups = self.groups.iter().map(|g| Group { dir: g.dir.join(name), ..g.clone() }).collect();
        Cgroup { mode: self.mode, groups }
    }

    /// The controllers of each v1 hierarchy (`cpu,cpuacct`, `name=systemd`; `""` for v2) and the group's directory.
    pub fn dirs(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.groups.iter().map(|g| (g.controllers.as_str(), g.dir.as_path()))
    }

    /// The group's path below its hierarchy's mount point, such as `/podrun/pod1`: of v2, else of the first v1
    /// hierarchy. For people; relative groups may differ between v1 hierarchies.
    pub fn path(&self) -> String {
        let group = if self.mode == Mode::V2 { self.unified() } else { self.groups.first() };
        match group.map(|g| g.dir.strip_prefix(&g.mount).unwrap_or(&g.dir)) {
            Some(path) => format!("/{}", path.display()),
            None => String::new(),
        }
    }

    /// The v2 directory.
    fn unified(&self) -> Option<&Group> {
        self.groups.iter().find(|g| g.is_v2())
    }

    /// The v1 hierarchy that has the controller.
    fn v1(&self, controller: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.has(controller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A fresh directory that stands for a mount point.
    pub(super) fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("podrun-cgroup-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Puts a file as the kernel would show it.
    pub(super) fn text(dir: &Path, file: &str, text: &str) {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(dir.join(file)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn content(dir: &Path, file: &str) -> String {
        std::fs::read_to_string(dir.join(file)).unwrap()
    }

    #[test]
    fn a_record_names_the_group() {
        let group = |controllers: &str, mount: &str| Group {
            controllers: controllers.into(),
            mount: mount.into(),
            dir: Path::new(mount).join("podrun/pod1"),
        };
        let pod =
            Cgroup { mode: Mode::Hybrid, groups: vec![group("cpu,cpuacct", "/cg/cpu"), group("", "/cg/u")] };
        let text = serde_json::to_string(&pod.child("web")).unwrap();
        assert!(
            text.starts_with(r#"{"mode":"hybrid","groups":[{"controllers":"cpu,cpuacct","mount":"/cg/cpu","#)
        );
        let read: Cgroup = serde_json::from_str(&text).unwrap();
        assert_eq!(read, pod.child("web"));
        assert_eq!(read.path(), "/podrun/pod1/web");
        assert_eq!(read.dirs().next(), Some(("cpu,cpuacct", Path::new("/cg/cpu/podrun/pod1/web"))));
        assert!(read.v1("cpuacct").is_some() && read.v1("acct").is_none() && read.unified().is_some());
    }
}
