//! The pod's cgroup: making it, and the limits of the pod as a whole.

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::pod::Pod;
use crate::pod::record::{PodKind, Record};
use crate::pod::request::CreateRequest;
use oci_spec::runtime::{LinuxCpu, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources};

/// Name of the pause's group below the pod's.
pub(super) const PAUSE_CGROUP: &str = "_pause";

/// Makes the pod's group with its limits, and the pause's below it, which is returned. Groups above are made where
/// they are missing and have the kernel's defaults: pods share the processor by their own weights.
pub(super) fn make_cgroups(pod: &Cgroup, request: &CreateRequest) -> Result<Cgroup> {
    pod.create()?;
    if let Some(resources) = resources(request)? {
        pod.apply(&resources)?;
    }
    let pause = pod.child(PAUSE_CGROUP);
    pause.create()?;
    Ok(pause)
}

impl Pod {
    /// Gives the pod's group the limits of a request; one that it does not name stays as it is.
    ///
    /// # Errors
    /// For a half-made pod, and what the kernel refuses.
    pub fn limit(&self, request: &CreateRequest) -> Result<()> {
        match resources(request)? {
            Some(resources) => self.record()?.cgroup.apply(&resources),
            None => Ok(()),
        }
    }
}

/// The request's limits as the runtime spec writes them; `None` without any.
fn resources(request: &CreateRequest) -> Result<Option<LinuxResources>> {
    /// Of the CPU quota, in microseconds: the kernel's default.
    const PERIOD: u64 = 100_000;
    /// The least quota that the kernel takes, in microseconds.
    const LEAST_QUOTA: i64 = 1000;
    let size =
        |value: u64| i64::try_from(value).map_err(|_| Error::user(format!("limit {value} is too large")));
    let build =
        |error: oci_spec::OciSpecError| Error::host("cannot write down the pod's limits").because(error);
    let mut resources = LinuxResources::default();
    // The default holds device rules, which are a container's business.
    resources.set_devices(None);
    let none = resources.clone();
    if let Some(bytes) = request.memory_bytes {
        resources.set_memory(Some(LinuxMemoryBuilder::default().limit(size(bytes)?).build().map_err(build)?));
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(request.cpu_shares);
    if let Some(millis) = request.cpu_millis {
        let quota = size(millis.saturating_mul(PERIOD / 1000))?.max(LEAST_QUOTA);
        cpu.set_quota(Some(quota)).set_period(Some(PERIOD));
    }
    if cpu != LinuxCpu::default() {
        resources.set_cpu(Some(cpu));
    }
    if let Some(pids) = request.pids {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(size(pids)?).build().map_err(build)?));
    }
    Ok((resources != none).then_some(resources))
}

/// A group that has not enough memory for a pause fails in many ways; the limit is the reason for them all.
pub(super) fn blame_memory_limit(record: &Record, limit_bytes: Option<u64>, error: Error) -> Error {
    let group = &record.cgroup;
    let killed_in = |group: &Cgroup| group.memory_events().is_ok_and(|events| events.oom_kills > 0);
    let killed = || killed_in(group) || killed_in(&group.child(PAUSE_CGROUP));
    let remedy = match record.kind.kind() {
        PodKind::Bare => "raise --memory, or leave it out",
        PodKind::Manifest => "raise resources.limits.memory of its containers",
    };
    match limit_bytes {
        Some(bytes) if error.errno() == Some(libc::ENOMEM) || killed() => {
            Error::user(format!("the memory limit of {bytes} bytes is too small to start a pod"))
                // As text, since the remedy of a cause would win over this one.
                .because(error.to_string())
                .hint(remedy)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::request::Network;

    #[test]
    fn limits_become_resources() {
        let mut request = CreateRequest {
            name: "a".parse().unwrap(),
            namespace: "b".parse().unwrap(),
            hostname: None,
            network: Network::None,
            volumes: vec![],
            share_pid: false,
            sysctls: vec![],
            cgroup_parent: None,
            memory_bytes: None,
            cpu_millis: None,
            cpu_shares: None,
            pids: None,
        };
        assert!(resources(&request).unwrap().is_none());
        request.cpu_shares = Some(2);
        let limits = resources(&request).unwrap().unwrap();
        let cpu = limits.cpu().as_ref().unwrap();
        assert_eq!((cpu.shares(), cpu.quota(), cpu.period()), (Some(2), None, None));
        request.cpu_millis = Some(1500);
        request.memory_bytes = Some(64 << 20);
        request.pids = Some(100);
        let limits = resources(&request).unwrap().unwrap();
        assert_eq!(limits.cpu().as_ref().unwrap().quota(), Some(150_000));
        assert_eq!(limits.memory().as_ref().unwrap().limit(), Some(64 << 20));
        assert_eq!(limits.pids().as_ref().unwrap().limit(), 100);
        request.memory_bytes = Some(u64::MAX);
        assert!(resources(&request).is_err());
    }
}
