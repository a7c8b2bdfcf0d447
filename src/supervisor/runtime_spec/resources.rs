//! Limits, devices, and whom the OOM killer takes first: the kubelet's arithmetic.

use super::Facts;
use crate::model::podspec::{ContainerSpec, PodSpec, QosClass, Resources};
use oci_spec::runtime::{LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxResources};
use std::collections::HashMap;

/// Microseconds in which a CPU quota is counted.
const PERIOD: u64 = 100_000;
/// The kernel's least quota, in microseconds.
const LEAST_QUOTA: u64 = 1000;
/// The kernel's range of cpu.shares.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// `linux.resources`.
pub fn limits(resources: &Resources, privileged: bool, facts: &Facts) -> LinuxResources {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(privileged)
        .set_typ(None)
        .set_major(None)
        .set_minor(None)
        .set_access(Some("rwm".to_owned()));
    let mut limits = LinuxResources::default();
    limits
        .set_devices(Some(vec![rule]))
        .set_cpu(Some(cpu(resources)))
        .set_memory(memory(resources, facts))
        .set_pids(None)
        .set_block_io(None)
        .set_network(None)
        .set_rdma(None)
        .set_unified(facts.kills_groups.then(as_one));
    limits
}

/// A container that runs out of memory ends as a whole, as the kubelet has it on cgroup v2: what is left of one that
/// lost a process seldom works.
fn as_one() -> HashMap<String, String> {
    [("memory.oom.group".to_owned(), "1".to_owned())].into()
}

/// `cpu.shares` for a request in thousandths of a CPU.
pub fn cpu_shares(request_millis: u64) -> u64 {
    (request_millis.saturating_mul(1024) / 1000).clamp(*SHARES.start(), *SHARES.end())
}

fn cpu(resources: &Resources) -> LinuxCpu {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(Some(cpu_shares(resources.requests.cpu_millis.unwrap_or(0))));
    if let Some(millis) = resources.limits.cpu_millis.filter(|millis| *millis > 0) {
        let quota = (millis.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA);
        cpu.set_quota(Some(i64::try_from(quota).unwrap_or(i64::MAX))).set_period(Some(PERIOD));
    }
    cpu
}

/// Memory and swap together get the same limit: no swap, as on a node without it.
fn memory(resources: &Resources, facts: &Facts) -> Option<LinuxMemory> {
    let bytes = resources.limits.memory_bytes.filter(|bytes| *bytes > 0)?;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut memory = LinuxMemory::default();
    memory.set_limit(Some(bytes)).set_swap(facts.limits_swap.then_some(bytes));
    Some(memory)
}

/// `oom_score_adj` of the container: the less it requests of the machine's memory, the sooner it is killed, Guaranteed
/// pods last of all and BestEffort ones first. Without CAP_SYS_RESOURCE no process gets less than podrun has.
pub fn oom_score(pod: &PodSpec, container: &ContainerSpec, facts: &Facts) -> i32 {
    let wanted = match pod.qos_class() {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = u128::from(container.resources.requests.memory_bytes.unwrap_or(0));
            let share = request * 1000 / u128::from(facts.memory_bytes.max(1));
            // Behind every Guaranteed and before every BestEffort pod.
            (1000 - i32::try_from(share.min(1000)).unwrap_or(1000)).clamp(3, 999)
        }
    };
    if facts.may_lower_oom_score { wanted } else { wanted.max(facts.oom_score_adj) }
}
