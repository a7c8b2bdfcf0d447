//! What of `linux.resources` cannot be honoured, said by field name before anything is touched.

use super::memory::{given, swap_v2, swappiness};
use super::{Mode, block_io, devices, hugetlb, network, rdma};
use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};
use std::ops::RangeInclusive;

/// The weights that the spec's users know, those of the kernel's first I/O scheduler that had weights.
const WEIGHTS: RangeInclusive<u16> = 10..=1000;
/// The kernel's MIN_SHARES and MAX_SHARES.
const SHARES: RangeInclusive<u64> = 2..=262_144;

/// Refuses what podrun does not support, what the host's cgroup version has not got, and what is wrong in itself.
/// Fields with the values that mean "not given" pass, as do empty structures: clients write them.
///
/// # Errors
/// The first such field.
pub fn check(resources: &LinuxResources, mode: Mode) -> Result<()> {
    if let Some(memory) = resources.memory() {
        check_memory(memory, mode)?;
    }
    if let Some(cpu) = resources.cpu() {
        check_cpu(cpu, mode)?;
    }
    if let Some(rules) = resources.devices() {
        devices::check(rules, mode)?;
    }
    if let Some(block_io) = resources.block_io() {
        check_block_io(block_io, mode)?;
    }
    check_hugetlb_and_rdma(resources)?;
    if let Some(network) = resources.network() {
        check_network(network, mode)?;
    }
    for file in resources.unified().iter().flatten().map(|(file, _)| file) {
        check_unified(file, mode)?;
    }
    Ok(())
}

fn refuse(fields: &[(&str, bool)], why: &str) -> Result<()> {
    match fields.iter().find(|(_, is_given)| *is_given) {
        Some((field, _)) => Err(Error::user(format!("linux.resources.{field} {why}")).hint("take it out")),
        None => Ok(()),
    }
}

fn check_memory(memory: &LinuxMemory, mode: Mode) -> Result<()> {
    let amounts = [
        ("memory.limit", memory.limit()),
        ("memory.reservation", memory.reservation()),
        ("memory.swap", memory.swap()),
        ("memory.kernelTCP", memory.kernel_tcp()),
    ];
    if let Some((field, bytes)) = amounts.iter().find(|(_, bytes)| bytes.is_some_and(|b| b < -1)) {
        let value = bytes.unwrap_or_default();
        return Err(Error::user(format!("invalid linux.resources.{field}: {value}"))
            .hint("give a number of bytes, or -1 for no limit"));
    }
    if swappiness(memory).is_some_and(|percent| percent > 100) {
        return Err(Error::user("invalid linux.resources.memory.swappiness: it is above 100"));
    }
    // The kernel has counted hierarchically, and nothing else, since 5.11.
    refuse(
        &[("memory.useHierarchy", memory.use_hierarchy() == Some(false))],
        "cannot be false on this kernel",
    )?;
    let (limit, swap) = (given(memory.limit()), given(memory.swap()));
    if mode != Mode::V2 {
        // On v1 swap may be changed alone.
        return if limit.is_some() { swap_v2(limit, swap).map(drop) } else { Ok(()) };
    }
    swap_v2(limit, swap)?;
    refuse(
        &[
            ("memory.kernelTCP", given(memory.kernel_tcp()).is_some()),
            ("memory.swappiness", swappiness(memory).is_some()),
            ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ],
        "does not exist on cgroup v2",
    )
}

fn check_cpu(cpu: &LinuxCpu, mode: Mode) -> Result<()> {
    // The kernel, and the conversion to the weight of v2, would take the nearest that can be.
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && !SHARES.contains(shares)) {
        let why = format!("{shares} is not from {} to {}", SHARES.start(), SHARES.end());
        return Err(invalid("linux.resources.cpu.shares", &why)
            .hint("a container has 1024 by default: give the share that it shall have beside others"));
    }
    // The kernel takes such a burst while there is no quota, and then blames the quota.
    if let (Some(quota @ 1..), Some(burst)) = (cpu.quota(), cpu.burst())
        && burst > quota.unsigned_abs()
    {
        let why = format!("{burst} is above linux.resources.cpu.quota, {quota}");
        return Err(invalid("linux.resources.cpu.burst", &why).hint("lower the burst, or raise the quota"));
    }
    if mode != Mode::V2 {
        return Ok(());
    }
    refuse(
        &[
            ("cpu.realtimeRuntime", given(cpu.realtime_runtime()).is_some()),
            ("cpu.realtimePeriod", cpu.realtime_period().is_some_and(|us| us != 0)),
        ],
        "does not exist on cgroup v2",
    )
}

fn invalid(field: &str, why: &str) -> Error {
    Error::user(format!("invalid {field}: {why}"))
}

fn check_block_io(block_io: &LinuxBlockIo, mode: Mode) -> Result<()> {
    let devices = || block_io.weight_device().iter().flatten();
    let weights = [("weight", block_io.weight()), ("leafWeight", block_io.leaf_weight())];
    let of_devices =
        devices().flat_map(|d| [("weightDevice", d.weight()), ("weightDevice", d.leaf_weight())]);
    for (field, weight) in weights.into_iter().chain(of_devices) {
        if let Some(weight) = block_io::given(weight).filter(|weight| !WEIGHTS.contains(weight)) {
            let field = format!("linux.resources.blockIO.{field}");
            return Err(invalid(&field, &format!("{weight} is not a weight from 10 to 1000")));
        }
    }
    let leaf = |d: &oci_spec::runtime::LinuxWeightDevice| block_io::given(d.leaf_weight()).is_some();
    if mode == Mode::V2 {
        refuse(
            &[
                ("blockIO.leafWeight", block_io::given(block_io.leaf_weight()).is_some()),
                ("blockIO.weightDevice.leafWeight", devices().any(leaf)),
            ],
            "does not exist on cgroup v2",
        )?;
    }
    if devices().any(|d| block_io::given(d.weight()).is_none() && !leaf(d)) {
        return Err(invalid("linux.resources.blockIO.weightDevice", "an entry has no weight"));
    }
    let numbers = devices().map(|d| ("linux.resources.blockIO.weightDevice", d.major(), d.minor()));
    let throttled = block_io::THROTTLES.iter().flat_map(|throttle| {
        let list = (throttle.get)(block_io).iter().flatten();
        list.map(|d| (throttle.field, d.major(), d.minor()))
    });
    // The kernel's device numbers have 12 bits for the major, 20 for the minor.
    let wrong =
        |(_, major, minor): &(&str, i64, i64)| !(0..1 << 12).contains(major) || !(0..1 << 20).contains(minor);
    match numbers.chain(throttled).find(wrong) {
        Some((field, major, minor)) => Err(invalid(field, &format!("there is no device {major}:{minor}"))),
        None => Ok(()),
    }
}

fn check_hugetlb_and_rdma(resources: &LinuxResources) -> Result<()> {
    for limit in resources.hugepage_limits().iter().flatten() {
        if !hugetlb::is_size(limit.page_size()) {
            let why = format!("{:?} is no size of a page", limit.page_size());
            return Err(invalid(hugetlb::FIELD, &why).hint("write it like 64KB, 2MB or 1GB"));
        }
        if limit.limit() < 0 {
            return Err(invalid(hugetlb::FIELD, &format!("{} is no number of bytes", limit.limit())));
        }
    }
    for (name, limits) in resources.rdma().iter().flatten() {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(invalid(rdma::FIELD, &format!("{name:?} is no name of a device")));
        }
        if limits.hca_handles().is_none() && limits.hca_objects().is_none() {
            let field = format!("{}[{name:?}]", rdma::FIELD);
            return Err(invalid(&field, "it has neither hcaHandles nor hcaObjects"));
        }
    }
    Ok(())
}

fn check_network(network: &LinuxNetwork, mode: Mode) -> Result<()> {
    /// IFNAMSIZ, with the NUL.
    const LONGEST: usize = 15;
    let priorities = || network.priorities().iter().flatten();
    if mode == Mode::V2 {
        refuse(
            &[
                ("network.classID", network.class_id().is_some_and(|id| id != 0)),
                ("network.priorities", priorities().next().is_some()),
            ],
            "does not exist on cgroup v2",
        )?;
    }
    let wrong = |name: &str| {
        name.is_empty()
            || name.len() > LONGEST
            || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
    };
    match priorities().find(|priority| wrong(priority.name())) {
        Some(priority) => Err(invalid(
            network::PRIORITIES,
            &format!("{:?} is no name of a network device", priority.name()),
        )),
        None => Ok(()),
    }
}

/// `linux.resources.unified` names files of cgroup v2; those by which groups themselves are run are ours.
fn check_unified(file: &str, mode: Mode) -> Result<()> {
    const OURS: [&str; 6] = [
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.kill",
        "cgroup.freeze",
        "cgroup.subtree_control",
        "cgroup.type",
    ];
    let field = format!("linux.resources.unified[{file:?}]");
    if mode != Mode::V2 {
        return Err(Error::user(format!("invalid configuration: {field} needs a host with cgroup v2 alone"))
            .hint("use linux.resources.memory, cpu and pids instead"));
    }
    if !file.contains('.') || file.starts_with('.') || file.contains(['/', '\0']) || OURS.contains(&file) {
        return Err(Error::user(format!("{field} is not allowed")).hint("name a file like memory.high"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(mode: Mode, json: &str) -> Option<String> {
        check(&serde_json::from_str(json).unwrap(), mode).err().map(|e| e.to_string())
    }

    #[test]
    fn default_configurations_pass() {
        let docker = r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},
            {"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"}],
            "memory":{"disableOOMKiller":false,"swappiness":18446744073709551615},"cpu":{"shares":0,"realtimePeriod":0},
            "pids":{"limit":0},"blockIO":{"weight":0},"hugepageLimits":[],"network":{"classID":0,"priorities":[]},
            "unified":{},"rdma":{}}"#;
        let containerd = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{},"cpu":{"shares":1024}}"#;
        for mode in [Mode::V1, Mode::V2, Mode::Hybrid, Mode::None] {
            for json in [docker, containerd, "{}", r#"{"memory":{"limit":4096,"swap":8192},"blockIO":{}}"#] {
                assert_eq!(refused(mode, json), None);
            }
        }
    }

    #[test]
    fn devices_and_names_are_checked() {
        for (json, why) in [
            (r#"{"blockIO":{"weight":5}}"#, "blockIO.weight: 5 is not a weight"),
            (r#"{"blockIO":{"leafWeight":1001}}"#, "blockIO.leafWeight: 1001 is not"),
            (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}"#, "an entry has no weight"),
            (r#"{"blockIO":{"weightDevice":[{"major":-1,"minor":0,"weight":10}]}}"#, "no device -1:0"),
            (
                r#"{"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":1048576,"rate":1}]}}"#,
                "throttleWriteIOPSDevice: there is no device 8:1048576",
            ),
            (r#"{"hugepageLimits":[{"pageSize":"2M","limit":1}]}"#, "\"2M\" is no size"),
            (r#"{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}"#, "no size"),
            (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":-1}]}"#, "-1 is no number"),
            (r#"{"rdma":{"a b":{"hcaHandles":1}}}"#, "no name of a device"),
            (r#"{"rdma":{"mlx5":{}}}"#, "neither hcaHandles nor hcaObjects"),
            (
                r#"{"network":{"priorities":[{"name":"lo\neth0","priority":1}]}}"#,
                "no name of a network device",
            ),
        ] {
            let error = refused(Mode::V1, json).unwrap_or_default();
            assert!(error.starts_with("invalid linux.resources.") && error.contains(why), "{json}: {error}");
        }
        let all = r#"{"blockIO":{"weight":10,"leafWeight":1000},"hugepageLimits":[{"pageSize":"1GB","limit":0}],
            "rdma":{"mlx5":{"hcaHandles":0}},"network":{"classID":7,"priorities":[{"name":"eth0","priority":1}]}}"#;
        assert_eq!(refused(Mode::Hybrid, all), None);
    }

    #[test]
    fn what_v2_has_not_got_is_named() {
        for (json, field) in [
            (r#"{"memory":{"swappiness":10}}"#, "memory.swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, "memory.disableOOMKiller"),
            (r#"{"memory":{"kernelTCP":4096}}"#, "memory.kernelTCP"),
            (r#"{"cpu":{"realtimeRuntime":1000}}"#, "cpu.realtimeRuntime"),
            (r#"{"network":{"classID":7}}"#, "network.classID"),
            (r#"{"network":{"priorities":[{"name":"eth0","priority":1}]}}"#, "network.priorities"),
            (r#"{"blockIO":{"leafWeight":500}}"#, "blockIO.leafWeight"),
        ] {
            assert_eq!(refused(Mode::V1, json), None);
            assert_eq!(
                refused(Mode::V2, json),
                Some(format!("linux.resources.{field} does not exist on cgroup v2"))
            );
        }
        assert_eq!(refused(Mode::V2, r#"{"unified":{"memory.high":"1"}}"#), None);
        for bad in ["memory", "../x", "cgroup.procs", ".x", "a/b.c"] {
            assert!(refused(Mode::V2, &format!(r#"{{"unified":{{"{bad}":"1"}}}}"#)).is_some(), "{bad}");
        }
        assert!(refused(Mode::Hybrid, r#"{"unified":{"memory.high":"1"}}"#).unwrap().contains("cgroup v2"));
    }

    #[test]
    fn wrong_numbers_are_refused() {
        assert!(refused(Mode::V1, r#"{"memory":{"limit":-2}}"#).unwrap().contains("memory.limit: -2"));
        assert!(refused(Mode::V1, r#"{"memory":{"limit":8192,"swap":4096}}"#).unwrap().contains("below"));
        assert_eq!(refused(Mode::V1, r#"{"memory":{"swap":4096}}"#), None);
        assert!(refused(Mode::V2, r#"{"memory":{"swap":4096}}"#).unwrap().contains("it needs"));
        assert!(refused(Mode::V1, r#"{"memory":{"swappiness":101}}"#).is_some());
        assert!(refused(Mode::V1, r#"{"memory":{"useHierarchy":false}}"#).is_some());
    }

    #[test]
    fn a_burst_is_not_above_the_quota() {
        for mode in [Mode::V1, Mode::V2] {
            let error = refused(mode, r#"{"cpu":{"quota":10000,"burst":20000}}"#);
            let want = "invalid linux.resources.cpu.burst: 20000 is above linux.resources.cpu.quota, 10000";
            assert_eq!(error.as_deref(), Some(want));
            for quota in ["10000", "-1", "0"] {
                assert_eq!(refused(mode, &format!(r#"{{"cpu":{{"quota":{quota},"burst":10000}}}}"#)), None);
            }
        }
    }

    #[test]
    fn shares_are_within_the_kernels_range() {
        for mode in [Mode::V1, Mode::V2] {
            for shares in [0, 2, 1024, 262_144] {
                assert_eq!(refused(mode, &format!(r#"{{"cpu":{{"shares":{shares}}}}}"#)), None);
            }
            for shares in [1, 262_145, u64::MAX] {
                let want = format!("invalid linux.resources.cpu.shares: {shares} is not from 2 to 262144");
                assert_eq!(refused(mode, &format!(r#"{{"cpu":{{"shares":{shares}}}}}"#)), Some(want));
            }
        }
    }
}
