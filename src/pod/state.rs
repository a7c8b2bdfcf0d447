//! What a pod is doing, for programs: its phase, and the JSON object of `pod state`.

use crate::error::Result;
use crate::model::sandbox::{ContainerStatus, ContainerView};
use crate::model::status::Phase;
use crate::pod::Pod;
use crate::pod::namespaces;
use crate::pod::record::{PodKind, Record};
use crate::pod::request::Network;
use serde::Serialize;
use std::path::PathBuf;

/// Version of the object that `pod state` prints.
const POD_VERSION: &str = "1.0.0";

/// The object that `pod state` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    pod_version: &'static str,
    id: String,
    name: String,
    namespace: String,
    kind: PodKind,
    phase: Phase,
    pid: i32,
    cgroup_path: String,
    network: Option<Network>,
    ips: Vec<String>,
    hostname: String,
    namespaces: Namespaces,
    volumes: Vec<VolumeState>,
    containers: Vec<ContainerState>,
}

/// The pod's namespaces; none while it has no pause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Namespaces {
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<NamespaceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc: Option<NamespaceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uts: Option<NamespaceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<NamespaceState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NamespaceState {
    path: String,
    inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct VolumeState {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerState {
    name: String,
    id: String,
    pid: i32,
    state: &'static str,
    reason: Option<&'static str>,
    exit_code: Option<i32>,
    restart_count: u32,
    ready: bool,
    cgroup_path: String,
}

impl Pod {
    /// The pod's phase. [`Pod::heal`] first, so that a pod whose pause can be made anew does not count as failed.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn phase(&self, containers: &[ContainerView]) -> Result<Phase> {
        let Ok(record) = self.record() else { return Ok(Phase::Failed) };
        Ok(match &record.pause {
            None if record.maker.is_alive()? && record.deleting.is_none() => Phase::Pending,
            None => Phase::Failed,
            Some(pause) if pause.process.is_alive()? => phase_of(containers),
            // Where it was the first process of their PID namespace they are about to end, too.
            Some(_) if !record.share_pid && containers.iter().any(|c| c.pid.is_some()) => {
                phase_of(containers)
            }
            Some(_) => Phase::Failed,
        })
    }

    /// The object that `pod state` prints. Of a half-made pod little is known, and shown.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn state(&self, containers: &[ContainerView]) -> Result<PodState> {
        let record = self.record().ok();
        let pause = record.and_then(|record| record.pause.as_ref());
        let pause = match pause {
            Some(pause) if pause.process.is_alive()? => Some(pause),
            _ => None,
        };
        Ok(PodState {
            pod_version: POD_VERSION,
            id: self.uid().map(ToString::to_string).unwrap_or_default(),
            name: self.name().to_string(),
            namespace: self.namespace().to_string(),
            kind: record.map_or(PodKind::Bare, |record| record.kind),
            phase: self.phase(containers)?,
            pid: pause.map_or(0, |pause| pause.process.pid),
            cgroup_path: record.map(|record| record.cgroup.path()).unwrap_or_default(),
            network: record.map(|record| record.network),
            ips: Vec::new(), // with no network there is none, and the host's are the host's
            hostname: record.map(|record| record.hostname.clone()).unwrap_or_default(),
            namespaces: pause
                .map(|pause| {
                    let (pid, inodes) = (pause.process.pid, pause.namespaces);
                    let show =
                        |name, inode| Some(NamespaceState { path: namespaces::path(pid, name), inode });
                    Namespaces {
                        net: show("net", inodes.net),
                        ipc: show("ipc", inodes.ipc),
                        uts: show("uts", inodes.uts),
                        pid: inodes.pid.and_then(|inode| show("pid", inode)),
                    }
                })
                .unwrap_or_default(),
            volumes: record.map(volumes).unwrap_or_default(),
            containers: containers.iter().map(container).collect(),
        })
    }
}

/// The phase of a pod that has its pause.
fn phase_of(containers: &[ContainerView]) -> Phase {
    use ContainerStatus as S;
    let any = |wanted: &[S]| containers.iter().any(|container| wanted.contains(&container.status));
    if any(&[S::Running, S::Paused]) {
        return Phase::Running;
    }
    if !any(&[S::Stopped]) {
        return Phase::Pending;
    }
    if any(&[S::Created]) || containers.iter().any(|container| container.exit_code.is_none()) {
        return Phase::Running;
    }
    if containers.iter().all(|container| container.exit_code == Some(0)) {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}

fn volumes(record: &Record) -> Vec<VolumeState> {
    let show = |volume: &crate::pod::record::VolumeRecord| VolumeState {
        name: volume.name.to_string(),
        kind: volume.source.kind(),
        path: volume.path.clone(),
    };
    record.volumes.iter().map(show).collect()
}

/// Kubernetes' three states of a container; a bare pod's has no probe, so it is ready while it runs.
fn container(view: &ContainerView) -> ContainerState {
    let (state, reason) = match (view.status, view.exit_code) {
        (ContainerStatus::Created, _) => ("Waiting", Some("ContainerCreated")),
        (ContainerStatus::Running, _) => ("Running", None),
        (ContainerStatus::Paused, _) => ("Running", Some("Paused")),
        (ContainerStatus::Stopped, Some(0)) => ("Terminated", Some("Completed")),
        (ContainerStatus::Stopped, Some(_)) => ("Terminated", Some("Error")),
        (ContainerStatus::Stopped, None) => ("Terminated", Some("ContainerStatusUnknown")),
    };
    ContainerState {
        name: view.name.clone(),
        id: view.id.clone(),
        pid: view.pid.unwrap_or(0),
        state,
        reason,
        exit_code: view.exit_code,
        restart_count: view.restart_count,
        ready: view.status == ContainerStatus::Running,
        cgroup_path: view.cgroup_path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(status: ContainerStatus, exit_code: Option<i32>) -> ContainerView {
        ContainerView {
            name: "a".into(),
            id: "a".into(),
            pid: None,
            status,
            exit_code,
            restart_count: 0,
            cgroup_path: String::new(),
        }
    }

    #[test]
    fn phases() {
        use ContainerStatus::{Created, Paused, Running, Stopped};
        for (containers, phase) in [
            (vec![], Phase::Pending),
            (vec![view(Created, None)], Phase::Pending),
            (vec![view(Created, None), view(Running, None)], Phase::Running),
            (vec![view(Paused, None), view(Stopped, Some(1))], Phase::Running),
            (vec![view(Created, None), view(Stopped, Some(0))], Phase::Running),
            (vec![view(Stopped, None)], Phase::Running),
            (vec![view(Stopped, Some(0)), view(Stopped, Some(0))], Phase::Succeeded),
            (vec![view(Stopped, Some(0)), view(Stopped, Some(137))], Phase::Failed),
        ] {
            assert_eq!(phase_of(&containers), phase, "{containers:?}");
        }
    }
}
