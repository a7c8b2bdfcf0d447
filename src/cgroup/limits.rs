//! `linux.resources` of config.json, applied to a group: which controller each part goes to.

use super::write::Setting;
use super::{Cgroup, Group, block_io, cpu, devices, hugetlb, memory, network, rdma};
use crate::error::{Error, Result};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::pid::PidController;
use oci_spec::runtime::LinuxResources;

impl Cgroup {
    /// Sets what is given and leaves the rest as it is. [`check()`](super::check()) has passed before.
    ///
    /// `devices` absent leaves device access alone; a list, even an empty one, denies what it and the defaults do
    /// not allow.
    ///
    /// # Errors
    /// The first value that the kernel does not take, with its field, file and reason.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        if let Some(rules) = resources.devices() {
            devices::apply(self, rules)?;
        }
        if let Some(memory) = resources.memory() {
            memory::apply(self, memory)?;
        }
        if let Some(cpu) = resources.cpu() {
            cpu::apply(self, cpu)?;
        }
        if let Some(limit) = resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
            self.limit_pids(limit)?;
        }
        if let Some(block_io) = resources.block_io() {
            block_io::apply(self, block_io)?;
        }
        if let Some(limits) = resources.hugepage_limits() {
            hugetlb::apply(self, limits)?;
        }
        if let Some(network) = resources.network() {
            network::apply(self, network)?;
        }
        if let Some(devices) = resources.rdma() {
            rdma::apply(self, devices)?;
        }
        self.apply_unified(resources)
    }

    /// Files of v2 by name, after everything else: they win over what the other fields say.
    fn apply_unified(&self, resources: &LinuxResources) -> Result<()> {
        let (Some(unified), Some(group)) = (resources.unified(), self.unified()) else { return Ok(()) };
        let mut files: Vec<_> = unified.iter().collect();
        files.sort(); // a map has no order; errors should not depend on it
        for (file, value) in files {
            let field = format!("linux.resources.unified[{file:?}]");
            let setting = Setting { field: &field, group, file };
            // The kernel takes a device at a time, io.max.
            value.lines().try_for_each(|line| setting.write(line)).map_err(|error| {
                let controller = file.split('.').next().unwrap_or_default();
                if group.has_controller(controller) || controller == "cgroup" {
                    return error;
                }
                let what = format!("cannot apply {field}: controller {controller:?} not available");
                Error::host(what).hint(setting.why_missing())
            })?;
        }
        Ok(())
    }

    /// Every negative number means no limit, as -1 does; 0 means that none was given (whoever reads the JSON makes 1 of a
    /// limit of 0, for oci-spec cannot tell them apart).
    fn limit_pids(&self, limit: i64) -> Result<()> {
        let field = "linux.resources.pids.limit";
        let group = self.controller("pids", field)?;
        let value = if limit < 0 { MaxValue::Max } else { MaxValue::Value(limit) };
        let controller = PidController::new(group.dir.clone(), group.dir.clone(), group.is_v2());
        Setting { field, group, file: "pids.max" }.by(&value.to_string(), controller.set_pid_max(value))
    }

    /// The group that a controller's files are in.
    pub(super) fn controller(&self, controller: &str, field: &str) -> Result<&Group> {
        if let Some(group) = self.v1(controller) {
            return Ok(group);
        }
        let group = self.unified().ok_or_else(|| {
            Error::host(format!("cannot apply {field}: the {controller} cgroup controller is not mounted"))
                .hint("mount it, or take the limit out")
        })?;
        if self.groups.len() > 1 {
            // Each costs time and memory in every group below: on a hybrid host they come when they are needed.
            group.hand_down(|name| name == controller)?;
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{content, scratch};
    use super::*;
    use std::path::Path;

    /// A group with every v1 controller, or a v2 one, in `dir`.
    fn group(mode: Mode, dir: &Path) -> Cgroup {
        let group =
            |controllers: &str| Group { controllers: controllers.into(), mount: dir.into(), dir: dir.into() };
        let groups = match mode {
            Mode::V2 => vec![group("")],
            _ => ["cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "net_cls,net_prio", "rdma"]
                .map(group)
                .into(),
        };
        Cgroup { mode, groups }
    }

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    /// The files that applying `json` leaves, as `name=content`.
    fn applied(mode: Mode, name: &str, json: &str) -> Vec<String> {
        let dir = scratch(name);
        // Made here, because our own writes never create.
        let ours = match mode {
            Mode::V2 => &[
                "memory.low",
                "cpu.max.burst",
                "io.max",
                "io.weight",
                "hugetlb.2MB.max",
                "hugetlb.2MB.rsvd.max",
            ][..],
            _ => &[
                "cpu.cfs_burst_us",
                "blkio.bfq.weight",
                "blkio.bfq.weight_device",
                "blkio.throttle.read_bps_device",
                "blkio.throttle.write_iops_device",
                "hugetlb.2MB.limit_in_bytes",
                "hugetlb.2MB.rsvd.limit_in_bytes",
                "net_cls.classid",
                "net_prio.ifpriomap",
            ],
        };
        for file in ours.iter().chain(&["cpu.idle", "cpu.max", "rdma.max"]) {
            super::super::tests::text(&dir, file, if *file == "cpu.max" { "max 100000" } else { "" });
        }
        super::super::check(&resources(json), mode).unwrap();
        group(mode, &dir).apply(&resources(json)).unwrap();
        let mut files: Vec<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .map(|file| format!("{file}={}", content(&dir, &file)))
            .filter(|line| !line.ends_with('=') && line != "cpu.max=max 100000")
            .collect();
        files.sort();
        std::fs::remove_dir_all(dir).unwrap();
        files
    }

    const ALL: &str = r#"{"memory":{"limit":1048576,"reservation":524288,"swap":3145728},
        "cpu":{"shares":1024,"quota":50000,"period":200000,"burst":10000,"cpus":"0-1","mems":"0"},
        "pids":{"limit":32}}"#;

    #[test]
    fn v1_files() {
        assert_eq!(
            applied(Mode::V1, "v1", ALL),
            [
                "cpu.cfs_burst_us=10000",
                "cpu.cfs_period_us=200000",
                "cpu.cfs_quota_us=50000",
                "cpu.shares=1024",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=3145728",
                "memory.soft_limit_in_bytes=524288",
                "pids.max=32",
            ]
        );
    }

    #[test]
    fn v2_files_and_units() {
        assert_eq!(
            applied(Mode::V2, "v2", ALL),
            [
                "cpu.max.burst=10000",
                "cpu.max=50000 200000",
                "cpu.weight=100",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.low=524288",
                "memory.max=1048576",
                "memory.swap.max=2097152",
                "pids.max=32",
            ]
        );
    }

    #[test]
    fn unlimited_and_unset() {
        let unlimited = r#"{"memory":{"limit":-1,"reservation":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}"#;
        assert_eq!(
            applied(Mode::V2, "unlimited", unlimited),
            ["memory.low=max", "memory.max=max", "memory.swap.max=max", "pids.max=max"]
        );
        // What runc, containerd, docker and podman write into their default configurations.
        let defaults =
            r#"{"memory":{},"cpu":{"shares":0,"quota":0,"cpus":""},"pids":{"limit":0},"blockIO":{}}"#;
        assert_eq!(applied(Mode::V2, "unset2", defaults), [""; 0]);
        assert_eq!(applied(Mode::V1, "unset1", defaults), [""; 0]);
    }

    #[test]
    fn idle_groups_get_no_shares() {
        let idle = r#"{"cpu":{"shares":512,"idle":1}}"#;
        assert_eq!(applied(Mode::V2, "idle", idle), ["cpu.idle=1"]);
        assert_eq!(
            applied(Mode::V1, "busy", r#"{"cpu":{"shares":512,"idle":0}}"#),
            ["cpu.idle=0", "cpu.shares=512"]
        );
    }

    #[test]
    fn unified_files_are_written_as_they_are() {
        assert_eq!(
            applied(Mode::V2, "unified", r#"{"unified":{"io.max":"8:0 rbps=1"}}"#),
            ["io.max=8:0 rbps=1"]
        );
        // One line a write, as the kernel wants; the last one is what a plain file keeps of them.
        assert_eq!(
            applied(Mode::V2, "unified-lines", r#"{"unified":{"io.max":"9:0 rbps=1\n8:0 rbps=2"}}"#),
            ["io.max=8:0 rbps=2"]
        );
    }

    const DEVICES: &str = r#"{"blockIO":{"weight":750,"weightDevice":[{"major":8,"minor":0,"weight":500}],
        "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":4096}],
        "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]},
        "hugepageLimits":[{"pageSize":"2MB","limit":2097152}],"rdma":{"mlx5":{"hcaHandles":3,"hcaObjects":10}}}"#;

    #[test]
    fn devices_of_v1() {
        assert_eq!(
            applied(Mode::V1, "devices1", DEVICES),
            [
                "blkio.bfq.weight=750",
                "blkio.bfq.weight_device=8:0 500",
                "blkio.throttle.read_bps_device=8:0 4096",
                "blkio.throttle.write_iops_device=8:16 0",
                "hugetlb.2MB.limit_in_bytes=2097152",
                "hugetlb.2MB.rsvd.limit_in_bytes=2097152",
                "rdma.max=mlx5 hca_handle=3 hca_object=10",
            ]
        );
    }

    #[test]
    fn devices_of_v2() {
        let files = applied(Mode::V2, "devices2", DEVICES);
        assert_eq!(files[..2], ["hugetlb.2MB.max=2097152", "hugetlb.2MB.rsvd.max=2097152"]);
        assert_eq!(
            files[2..],
            ["io.max=8:16 wiops=max", "io.weight=8:0 4950", "rdma.max=mlx5 hca_handle=3 hca_object=10"]
        );
    }

    #[test]
    fn marks_on_packets() {
        let marks = r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":5}]}}"#;
        assert_eq!(
            applied(Mode::V1, "network", marks),
            ["net_cls.classid=1048577", "net_prio.ifpriomap=lo 5"]
        );
        let without = Cgroup { mode: Mode::Hybrid, groups: Vec::new() };
        let error = without.apply(&resources(marks)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot apply linux.resources.network.classID: the net_cls cgroup controller is not mounted"
        );
        assert!(error.remedy().unwrap().contains("mount -t cgroup -o net_cls"));
    }

    #[test]
    fn a_controller_that_is_not_mounted_is_named() {
        let mut without = group(Mode::V1, Path::new("/nowhere"));
        without.groups.retain(|g| g.controllers != "memory");
        let error = without.apply(&resources(r#"{"memory":{"limit":4096}}"#)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot apply linux.resources.memory.limit: the memory cgroup controller is not mounted"
        );
        without.apply(&resources(r#"{"memory":{"swappiness":18446744073709551615}}"#)).unwrap();
    }
}
