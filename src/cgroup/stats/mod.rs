//! What a group uses, in the shape of runc's `events`: clients read these names, and expect a structure to be there
//! with zeroes in it where the host does not count.
//!
//! Files that are not there count nothing: a controller may be missing, or the group be removed while we read.

mod read;
mod v1;
mod v2;

use super::{Cgroup, Group};
use crate::error::Result;
use read::Files;
use serde::Serialize;
use std::collections::BTreeMap;

/// Resource use of a group and of those below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: Memory,
    pids: Pids,
    blkio: BlockIo,
    hugetlb: BTreeMap<String, Hugetlb>,
    intel_rdt: BTreeMap<String, serde_json::Value>,
    /// Always null, as with runc when it made no network device itself.
    network_interfaces: Option<Vec<()>>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

/// The v1 files of the same names.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    usage: MemoryEntry,
    /// Memory and swap together.
    swap: MemoryEntry,
    kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: MemoryEntry,
    /// memory.stat.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

/// Bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct MemoryEntry {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    /// 0 where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct BlockIoEntry {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    op: String,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

/// Bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

/// How long processes waited for a resource, `*.pressure` of v2.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Pressure {
    some: Wait,
    full: Wait,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Wait {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Stats {
    /// Adds what a resctrl group has to tell.
    pub fn add_rdt(&mut self, group: &super::RdtGroup) {
        self.intel_rdt = group.told();
    }
}

impl Cgroup {
    /// Reads what the group uses. Each controller is asked where it is: on a hybrid host some in v1, some in v2.
    ///
    /// # Errors
    /// When the kernel does not let us read the group.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        let v1 = |controller| self.v1(controller).map(Group::files);
        let v2 = self.unified().map(Group::files);
        match (v1("cpu"), v1("cpuacct")) {
            (None, None) => v2.map_or(Ok(()), |files| v2::cpu(files, &mut stats.cpu))?,
            (cpu, accounting) => {
                cpu.map_or(Ok(()), |files| v1::throttling(files, &mut stats.cpu.throttling))?;
                accounting.map_or(Ok(()), |files| v1::cpu_usage(files, &mut stats.cpu.usage))?;
            }
        }
        if let Some(files) = v1("cpuset") {
            stats.cpuset = v1::cpuset(files)?;
        }
        match (v1("memory"), v2) {
            (Some(files), _) => stats.memory = v1::memory(files)?,
            (None, Some(files)) => stats.memory = v2::memory(files)?,
            (None, None) => {}
        }
        if let Some(files) = v1("pids").or(v2) {
            let limit = files.number("pids.max")?;
            stats.pids.current = files.number("pids.current")?;
            stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
        }
        match (v1("blkio"), v2) {
            (Some(files), _) => stats.blkio = v1::block_io(files)?,
            (None, Some(files)) => stats.blkio = v2::block_io(files)?,
            (None, None) => {}
        }
        match (self.v1("hugetlb"), self.unified()) {
            (Some(group), _) => stats.hugetlb = v1::hugetlb(group.files(), group.hugepage_sizes())?,
            (None, Some(group)) => stats.hugetlb = v2::hugetlb(group.files(), group.hugepage_sizes())?,
            (None, None) => {}
        }
        Ok(stats)
    }
}

impl Group {
    fn files(&self) -> Files<'_> {
        Files { dir: &self.dir }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scratch, text};
    use super::super::{Group, Mode};
    use super::*;
    use serde_json::json;

    fn told(mode: Mode, controllers: &[&str], files: &[(&str, &str)]) -> serde_json::Value {
        let top = scratch(&format!("stats-{mode:?}-{}", files.len()));
        for (file, content) in files {
            text(&top, file, content);
        }
        let group = |c: &&str| Group { controllers: (*c).into(), mount: top.clone(), dir: top.clone() };
        let cgroup = Cgroup { mode, groups: controllers.iter().map(group).collect() };
        let told = serde_json::to_value(cgroup.stats().unwrap()).unwrap();
        std::fs::remove_dir_all(top).unwrap();
        told
    }

    #[test]
    fn every_structure_is_there_when_nothing_is_counted() {
        let nothing = json!({"limit": 0, "failcnt": 0});
        let want = json!({
            "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
            "cpuset": {"cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
                "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0,
                "sched_relax_domain_level": 0},
            "memory": {"usage": nothing, "swap": nothing, "kernel": nothing, "kernelTCP": nothing},
            "pids": {}, "blkio": {}, "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null
        });
        assert_eq!(told(Mode::V2, &[""], &[]), want);
        assert_eq!(
            told(Mode::V1, &["cpu,cpuacct", "memory", "pids", "cpuset", "blkio", "hugetlb"], &[]),
            want
        );
        assert_eq!(told(Mode::None, &[], &[]), want);
    }

    #[test]
    fn v1_counters() {
        let stats = told(
            Mode::V1,
            &["cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb"],
            &[
                ("cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 500\n"),
                ("cpuacct.usage", "70000\n"),
                ("cpuacct.stat", "user 5\nsystem 2\n"),
                ("cpuacct.usage_percpu", "48 19 \n"),
                ("cpuacct.usage_all", "cpu user system\n0 40 10\n1 15 5\n"),
                ("cpuset.cpus", "0-1,3\n"),
                ("cpuset.sched_relax_domain_level", "-1\n"),
                ("memory.stat", "cache 4096\nrss 8192\n"),
                ("memory.usage_in_bytes", "12288\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.failcnt", "4\n"),
                ("memory.kmem.usage_in_bytes", "77\n"),
                ("pids.current", "2\n"),
                ("pids.max", "max\n"),
                ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 512\n8:0 Total 512\nTotal 512\n"),
                ("hugetlb.2MB.usage_in_bytes", "2097152\n"),
                ("hugetlb.2MB.failcnt", "1\n"),
            ],
        );
        assert_eq!(
            stats["cpu"]["throttling"],
            json!({"periods": 3, "throttledPeriods": 2, "throttledTime": 500})
        );
        let usage = json!({"total": 70000, "percpu": [48, 19], "percpu_kernel": [10, 5], "percpu_user": [40, 15],
            "kernel": 20_000_000, "user": 50_000_000});
        assert_eq!(stats["cpu"]["usage"], usage);
        assert_eq!(stats["cpuset"]["cpus"], json!([0, 1, 3]));
        assert_eq!(stats["cpuset"]["sched_relax_domain_level"], json!(-1));
        assert_eq!((&stats["memory"]["cache"], &stats["memory"]["raw"]["rss"]), (&json!(4096), &json!(8192)));
        let usage = json!({"limit": 9_223_372_036_854_771_712_u64, "usage": 12288, "failcnt": 4});
        assert_eq!(stats["memory"]["usage"], usage);
        assert_eq!(stats["memory"]["kernel"]["usage"], json!(77));
        assert_eq!(stats["pids"], json!({"current": 2}));
        let bytes =
            json!([{"major": 8, "op": "Read", "value": 512}, {"major": 8, "op": "Total", "value": 512}]);
        assert_eq!(stats["blkio"], json!({"ioServiceBytesRecursive": bytes}));
        assert_eq!(stats["hugetlb"], json!({"2MB": {"usage": 2_097_152, "failcnt": 1}}));
    }

    #[test]
    fn v2_counters() {
        let stats = told(
            Mode::V2,
            &[""],
            &[
                (
                    "cpu.stat",
                    "usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n",
                ),
                ("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n"),
                ("memory.stat", "anon 8192\nfile 4096\n"),
                ("memory.current", "12288\n"),
                ("memory.max", "max\n"),
                ("memory.peak", "16384\n"),
                ("memory.events", "low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n"),
                ("memory.swap.current", "100\n"),
                ("memory.swap.max", "200\n"),
                ("pids.current", "2\n"),
                ("pids.max", "5\n"),
                ("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
                ("hugetlb.2MB.current", "0\n"),
                ("hugetlb.2MB.rsvd.current", "2097152\n"),
                ("hugetlb.2MB.events", "max 3\n"),
            ],
        );
        let usage = json!({"total": 7000, "kernel": 2000, "user": 5000});
        assert_eq!(stats["cpu"]["usage"], usage);
        assert_eq!(
            stats["cpu"]["throttling"],
            json!({"periods": 3, "throttledPeriods": 2, "throttledTime": 1000})
        );
        let some = json!({"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 9});
        assert_eq!(stats["cpu"]["psi"]["some"], some);
        assert_eq!(stats["memory"]["psi"], serde_json::Value::Null);
        assert_eq!(stats["memory"]["cache"], json!(4096));
        let usage = json!({"limit": u64::MAX, "usage": 12288, "max": 16384, "failcnt": 6});
        assert_eq!(stats["memory"]["usage"], usage);
        assert_eq!(stats["memory"]["swap"], json!({"limit": u64::MAX, "usage": 12388, "failcnt": 0}));
        assert_eq!(stats["pids"], json!({"current": 2, "limit": 5}));
        let entry = |op, value| json!({"major": 8, "minor": 16, "op": op, "value": value});
        assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], json!([entry("Read", 1), entry("Write", 2)]));
        assert_eq!(stats["blkio"]["ioServicedRecursive"], json!([entry("Read", 3), entry("Write", 4)]));
        assert_eq!(stats["hugetlb"], json!({"2MB": {"usage": 2_097_152, "failcnt": 3}}));
    }
}
