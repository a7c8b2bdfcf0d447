//! New limits for a group that is in use: all of them, or, when one is refused, none.

use super::memory::given;
use super::{Cgroup, Group, check};
use crate::error::{Error, Result};
use crate::sys::fs::write_existing;
use oci_spec::runtime::{LinuxMemory, LinuxResources};
use std::path::{Path, PathBuf};

/// The files that limits are written to, where they hold one value.
const VALUES: [&str; 27] = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.kmem.tcp.limit_in_bytes",
    "memory.swappiness",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "cpu.idle",
    "cpu.shares",
    "cpu.weight",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpu.cfs_burst_us",
    "cpu.max",
    "cpu.max.burst",
    "cpu.rt_runtime_us",
    "cpu.rt_period_us",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "blkio.weight",
    "blkio.leaf_weight",
    "blkio.bfq.weight",
    "net_cls.classid",
    "io.weight",
    "io.bfq.weight",
];
/// Those that hold a line for each device, and what takes a device's limits away again.
const LISTS: [(&str, &str); 7] = [
    ("blkio.throttle.read_bps_device", "0"),
    ("blkio.throttle.write_bps_device", "0"),
    ("blkio.throttle.read_iops_device", "0"),
    ("blkio.throttle.write_iops_device", "0"),
    ("blkio.bfq.weight_device", "0"),
    ("io.max", "rbps=max wbps=max riops=max wiops=max"),
    ("rdma.max", "hca_handle=max hca_object=max"),
];
/// How often everything is tried again that could not be put back: one value may be in the way of another.
const ATTEMPTS: u32 = 3;

impl Cgroup {
    /// Sets what is given, and leaves the rest as it is. What is given is read together with what the group has: a
    /// limit of memory and swap together stays what it was when that of memory alone changes.
    ///
    /// # Errors
    /// As [`check()`] and [`Cgroup::apply`]; the group then has the limits that it had.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let resources = self.completed(resources)?;
        check(&resources, self.mode())?;
        let before = Before::of(self, &resources);
        self.apply(&resources).map_err(|error| before.put_back(error))
    }

    /// v2 counts memory and swap apart, where the runtime spec has a limit of both together; v1 does as the spec.
    fn completed(&self, resources: &LinuxResources) -> Result<LinuxResources> {
        let mut resources = resources.clone();
        let (Some(memory), Some(group), None) = (resources.memory(), self.unified(), self.v1("memory"))
        else {
            return Ok(resources);
        };
        let (limit, swap) = (given(memory.limit()), given(memory.swap()));
        let now = |file: &str| -> Option<i64> {
            std::fs::read_to_string(group.dir.join(file)).ok()?.trim().parse().ok()
        };
        let mut memory: LinuxMemory = *memory;
        match (limit, swap) {
            (None, Some(1..)) => drop(memory.set_limit(now("memory.max"))),
            (Some(limit @ 1..), None) => {
                let Some(total) = now("memory.max").zip(now("memory.swap.max")) else { return Ok(resources) };
                let total = total.0.saturating_add(total.1);
                if limit > total {
                    return Err(Error::user(format!(
                        "invalid linux.resources.memory.limit: {limit} is above the container's limit of memory and \
                         swap together, {total}"
                    ))
                    .hint("raise linux.resources.memory.swap (--memory-swap) with it"));
                }
                memory.set_swap(Some(total));
            }
            _ => return Ok(resources),
        }
        resources.set_memory(Some(memory));
        Ok(resources)
    }
}

/// What the files of limits held.
#[derive(Debug)]
struct Before {
    values: Vec<(PathBuf, String)>,
    lists: Vec<(PathBuf, String, &'static str)>,
}

impl Before {
    fn of(cgroup: &Cgroup, resources: &LinuxResources) -> Self {
        let mut before = Self { values: Vec::new(), lists: Vec::new() };
        let unified = resources.unified().iter().flatten().map(|(file, _)| file.as_str());
        let of_lists = |file: &&str| !LISTS.iter().any(|(list, _)| list == file);
        let extra: Vec<&str> = unified.filter(of_lists).collect();
        for group in &cgroup.groups {
            let hugetlb = group.hugepage_sizes().into_iter().flat_map(|size| hugetlb_files(&size));
            let known = VALUES.iter().chain(&extra).map(|file| (*file).to_owned());
            before.values.extend(known.chain(hugetlb).filter_map(|file| read(group, &file)));
            // Read as three numbers, written as the first.
            let killer = read(group, "memory.oom_control");
            let killer = killer.filter(|(_, text)| text.contains("oom_kill_disable 0"));
            before.values.extend(killer.map(|(path, _)| (path, "0".to_owned())));
            let lists = LISTS.iter();
            before.lists.extend(lists.filter_map(|(file, none)| {
                let (path, text) = read(group, file)?;
                Some((path, text, *none))
            }));
        }
        before
    }

    /// Makes everything as it was; what cannot be is added to the error.
    fn put_back(self, error: Error) -> Error {
        let mut left: Vec<String> = Vec::new();
        for _ in 0..ATTEMPTS {
            left.clear();
            for (path, old) in &self.values {
                if !holds(path, old) && write_lines(path, old).is_err() {
                    left.push(path.display().to_string());
                }
            }
            for (path, old, none) in &self.lists {
                if !holds(path, old) && put_list_back(path, old, none).is_err() {
                    left.push(path.display().to_string());
                }
            }
            if left.is_empty() {
                return error;
            }
        }
        let kind = error.kind();
        Error::new(kind, format!("{error}; and these could not be set back: {}", left.join(", ")))
    }
}

fn hugetlb_files(size: &str) -> [String; 4] {
    ["max", "rsvd.max", "limit_in_bytes", "rsvd.limit_in_bytes"].map(|what| format!("hugetlb.{size}.{what}"))
}

fn read(group: &Group, file: &str) -> Option<(PathBuf, String)> {
    let path = group.dir.join(file);
    let text = std::fs::read_to_string(&path).ok()?;
    Some((path, text))
}

fn holds(path: &Path, old: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|now| now == old)
}

/// A line a write; an empty value is a line, too, for a write of nothing does nothing.
fn write_lines(path: &Path, text: &str) -> std::io::Result<()> {
    if text.trim().is_empty() {
        return write_existing(path, "\n");
    }
    text.lines().try_for_each(|line| write_existing(path, line))
}

fn put_list_back(path: &Path, old: &str, none: &str) -> std::io::Result<()> {
    let device = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    for line in std::fs::read_to_string(path)?.lines() {
        if !old.lines().any(|line_before| device(line_before) == device(line)) {
            write_existing(path, &format!("{} {none}", device(line)))?;
        }
    }
    old.lines().try_for_each(|line| write_existing(path, line))
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{content, scratch, text};
    use super::*;

    fn group(controllers: &str, dir: &Path) -> Cgroup {
        let group = Group { controllers: controllers.into(), mount: dir.into(), dir: dir.into() };
        let mode = if controllers.is_empty() { Mode::V2 } else { Mode::V1 };
        Cgroup { mode, groups: vec![group] }
    }

    fn update(cgroup: &Cgroup, json: &str) -> Result<()> {
        cgroup.update(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn memory_and_swap_are_read_together_with_what_there_is() {
        let top = scratch("together");
        let v2 = group("", &top);
        let now = |max: &str, swap: &str| {
            text(&top, "memory.max", max);
            text(&top, "memory.swap.max", swap);
        };
        let value = |file: &str| content(&top, file).trim().to_owned();
        let told = || (value("memory.max"), value("memory.swap.max"));
        let pair = |max: &str, swap: &str| (max.to_owned(), swap.to_owned());
        now("30000\n", "20000\n");
        update(&v2, r#"{"memory":{"limit":40000}}"#).unwrap();
        assert_eq!(told(), pair("40000", "10000"), "50000 together, as before");
        let error = update(&v2, r#"{"memory":{"limit":50001}}"#).unwrap_err();
        assert!(error.to_string().contains("swap together, 50000"), "{error}");
        assert_eq!(told(), pair("40000", "10000"));
        update(&v2, r#"{"memory":{"swap":60000}}"#).unwrap();
        assert_eq!(told(), pair("40000", "20000"));
        update(&v2, r#"{"memory":{"limit":-1}}"#).unwrap();
        assert_eq!(told(), pair("max", "max"));
        // Nothing to add the swap to.
        now("max\n", "max\n");
        assert!(update(&v2, r#"{"memory":{"swap":60000}}"#).unwrap_err().to_string().contains("it needs"));
        update(&v2, r#"{"memory":{"limit":40000}}"#).unwrap();
        assert_eq!(told(), pair("40000", "max"));
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let top = scratch("refused");
        for (file, value) in
            [("pids.max", "10"), ("cpu.shares", "1024"), ("blkio.throttle.read_bps_device", "8:0 100")]
        {
            text(&top, file, value);
        }
        let v1 = group("pids,cpu,blkio,memory", &top);
        // The last one has no file to go to.
        let new = r#"{"pids":{"limit":20},"cpu":{"shares":2048},"blockIO":{"throttleReadBpsDevice":
            [{"major":8,"minor":0,"rate":900}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":1}]}}"#;
        let error = update(&v1, new).unwrap_err();
        assert!(error.to_string().contains("throttleWriteBpsDevice"), "{error}");
        assert_eq!(content(&top, "pids.max"), "10");
        assert_eq!(content(&top, "cpu.shares"), "1024");
        assert_eq!(content(&top, "blkio.throttle.read_bps_device"), "8:0 100");
        text(&top, "blkio.throttle.write_bps_device", "");
        update(&v1, new).unwrap();
        assert_eq!(content(&top, "pids.max"), "20");
        std::fs::remove_dir_all(top).unwrap();
    }
}
