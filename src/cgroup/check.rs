//! What of `linux.resources` cannot be honoured, said by field name before anything is touched.

use super::memory::{given, swap_v2, swappiness};
use super::{Mode, devices};
use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

/// Refuses what podrun does not support, what the host's cgroup version has not got, and what is wrong in itself.
/// Fields with the values that mean "not given" pass, as do empty structures: clients write them.
///
/// # Errors
/// The first such field.
pub fn check(resources: &LinuxResources, mode: Mode) -> Result<()> {
    if let Some(memory) = resources.memory() {
        check_memory(memory, mode)?;
    }
    if let (Some(cpu), Mode::V2) = (resources.cpu(), mode) {
        check_cpu_v2(cpu)?;
    }
    if let Some(rules) = resources.devices() {
        devices::check(rules, mode)?;
    }
    check_unsupported(resources)?;
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

fn check_cpu_v2(cpu: &LinuxCpu) -> Result<()> {
    refuse(
        &[
            ("cpu.realtimeRuntime", given(cpu.realtime_runtime()).is_some()),
            ("cpu.realtimePeriod", cpu.realtime_period().is_some_and(|us| us != 0)),
        ],
        "does not exist on cgroup v2",
    )
}

fn check_unsupported(resources: &LinuxResources) -> Result<()> {
    let block = resources.block_io().clone().unwrap_or_default();
    let network = resources.network().clone().unwrap_or_default();
    let not_empty = |is_empty: Option<bool>| is_empty == Some(false);
    let fields = [
        ("hugepageLimits", not_empty(resources.hugepage_limits().as_ref().map(Vec::is_empty))),
        ("rdma", not_empty(resources.rdma().as_ref().map(std::collections::HashMap::is_empty))),
        ("network.classID", network.class_id().is_some_and(|id| id != 0)),
        ("network.priorities", not_empty(LinuxNetwork::priorities(&network).as_ref().map(Vec::is_empty))),
        ("blockIO.weight", block.weight().is_some_and(|weight| weight != 0)),
        ("blockIO.leafWeight", block.leaf_weight().is_some_and(|weight| weight != 0)),
        ("blockIO.weightDevice", not_empty(block.weight_device().as_ref().map(Vec::is_empty))),
    ];
    refuse(&fields, "is not supported yet")?;
    type Throttle = fn(&LinuxBlockIo) -> &Option<Vec<oci_spec::runtime::LinuxThrottleDevice>>;
    let throttles: [(&str, Throttle); 4] = [
        ("blockIO.throttleReadBpsDevice", LinuxBlockIo::throttle_read_bps_device),
        ("blockIO.throttleWriteBpsDevice", LinuxBlockIo::throttle_write_bps_device),
        ("blockIO.throttleReadIOPSDevice", LinuxBlockIo::throttle_read_iops_device),
        ("blockIO.throttleWriteIOPSDevice", LinuxBlockIo::throttle_write_iops_device),
    ];
    let fields = throttles.map(|(field, get)| (field, not_empty(get(&block).as_ref().map(Vec::is_empty))));
    refuse(&fields, "is not supported yet")
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
        return Err(Error::user(format!("{field} needs a host with cgroup v2 alone"))
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
    fn what_is_not_supported_is_named() {
        for (json, field) in [
            (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}"#, "hugepageLimits"),
            (r#"{"rdma":{"mlx5":{"hcaHandles":1}}}"#, "rdma"),
            (r#"{"network":{"classID":7}}"#, "network.classID"),
            (r#"{"network":{"priorities":[{"name":"eth0","priority":1}]}}"#, "network.priorities"),
            (r#"{"blockIO":{"weight":500}}"#, "blockIO.weight"),
            (r#"{"blockIO":{"leafWeight":500}}"#, "blockIO.leafWeight"),
            (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":1}]}}"#, "blockIO.weightDevice"),
            (
                r#"{"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":1}]}}"#,
                "blockIO.throttleWriteIOPSDevice",
            ),
        ] {
            assert_eq!(
                refused(Mode::V1, json),
                Some(format!("linux.resources.{field} is not supported yet"))
            );
        }
    }

    #[test]
    fn what_v2_has_not_got_is_named() {
        for (json, field) in [
            (r#"{"memory":{"swappiness":10}}"#, "memory.swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, "memory.disableOOMKiller"),
            (r#"{"memory":{"kernelTCP":4096}}"#, "memory.kernelTCP"),
            (r#"{"cpu":{"realtimeRuntime":1000}}"#, "cpu.realtimeRuntime"),
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
}
