//! cgroups as the host sees them: where a process is, what its limits are, and a private corner for each test.

use super::proc;
use std::path::{Path, PathBuf};

/// One mounted hierarchy and where this process is in it.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Controllers of a v1 hierarchy (or `name=...`); empty for v2.
    pub controllers: Vec<String>,
    /// Path of this process in it, beginning with `/`.
    pub own: String,
}

impl Hierarchy {
    /// Whether it is the unified one.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The directory of a cgroup.
    pub fn directory(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }
}

/// All hierarchies, each with the path that `pid` (or `self`) has in it.
pub fn hierarchies(pid: impl std::fmt::Display) -> Vec<Hierarchy> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = proc::mounts("self");
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, own) = (fields.next()?, fields.next()?);
            let controllers: Vec<String> =
                names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
            let mount = mounts.iter().find(|mount| match controllers.first() {
                None => mount.kind == "cgroup2",
                Some(first) => mount.kind == "cgroup" && mount.super_options.contains(first),
            })?;
            Some(Hierarchy { mount: mount.point.clone().into(), controllers, own: own.to_owned() })
        })
        .collect()
}

/// Whether the unified hierarchy is the only one.
pub fn is_pure_v2() -> bool {
    let all = hierarchies("self");
    !all.is_empty() && all.iter().all(Hierarchy::is_v2)
}

/// Whether the hierarchy that has `controller` is a v1 one.
pub fn is_v1(controller: &str) -> bool {
    hierarchies("self").iter().any(|h| h.controllers.iter().any(|c| c == controller))
}

/// The directory of the cgroup that governs `controller` for a process.
#[track_caller]
pub fn directory_of(pid: i32, controller: &str) -> PathBuf {
    let all = hierarchies(pid);
    let found = all
        .iter()
        .find(|h| h.controllers.iter().any(|c| c == controller))
        .or_else(|| all.iter().find(|h| h.is_v2()));
    match found {
        Some(hierarchy) => hierarchy.directory(&hierarchy.own),
        None => panic!("process {pid} has no cgroup for {controller}: {all:?}"),
    }
}

/// What a limit file of a process's cgroup says: `v1` or `v2`, whichever the machine has.
#[track_caller]
pub fn limit(pid: i32, controller: &str, v1: &str, v2: &str) -> String {
    read_limit(&directory_of(pid, controller), if is_v1(controller) { v1 } else { v2 })
}

/// The trimmed content of a file of a cgroup.
#[track_caller]
pub fn read_limit(directory: &Path, file: &str) -> String {
    let path = directory.join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => panic!("cannot read {path:?}: {error}"),
    }
}

/// Puts this (single-threaded) process into a group of its own in every hierarchy, two levels deep: on v2 the upper one
/// must be free of processes so that what a test makes can have controllers.
pub fn enter_private(name: &str) -> std::io::Result<()> {
    for hierarchy in hierarchies("self") {
        let upper = hierarchy.directory(&format!("{}/{name}", hierarchy.own));
        let leaf = upper.join("_test");
        std::fs::create_dir_all(&leaf)?;
        if hierarchy.controllers.iter().any(|c| c == "cpuset") {
            for directory in [&upper, &leaf] {
                inherit_cpuset(directory)?;
            }
        }
        // One thread may move itself by `tasks` without the wait that a write to a v1 `cgroup.procs` costs.
        let file = if hierarchy.is_v2() { "cgroup.procs" } else { "tasks" };
        std::fs::write(leaf.join(file), "0")?;
    }
    Ok(())
}

/// Moves this process two levels up again in every hierarchy.
pub fn leave_private() -> std::io::Result<()> {
    for hierarchy in hierarchies("self") {
        let own = hierarchy.directory(&hierarchy.own);
        if let Some(former) = own.parent().and_then(Path::parent) {
            std::fs::write(former.join(if hierarchy.is_v2() { "cgroup.procs" } else { "tasks" }), "0")?;
        }
    }
    Ok(())
}

fn inherit_cpuset(directory: &Path) -> std::io::Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        std::fs::write(directory.join(file), std::fs::read_to_string(parent.join(file))?.trim())?;
    }
    Ok(())
}

/// All cgroups at and below `directory`, deepest first.
pub fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(directory.to_owned());
    found
}
