//! What a pod is doing, for programs: its phase, and the JSON object of `pod state`.

use crate::error::Result;
use crate::model::sandbox::{ContainerStatus, ContainerView};
use crate::model::status::{self, Phase, PodStatus};
use crate::pod::record::{PauseRecord, PodKind, Record};
use crate::pod::request::Network;
use crate::pod::{NamespaceKind, Pod, namespaces};
use crate::report;
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<ContainerState>,
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
    reason: Option<String>,
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
        self.phase_with(self.readable_status().as_ref(), containers)
    }

    fn phase_with(&self, status: Option<&PodStatus>, containers: &[ContainerView]) -> Result<Phase> {
        let Ok(record) = self.record() else { return Ok(Phase::Failed) };
        let Some(pause) = &record.pause else {
            let being_made = record.maker.is_alive()? && record.deleting.is_none();
            return Ok(if being_made { Phase::Pending } else { Phase::Failed });
        };
        // Its supervisor knows, and makes a new pause where there is none.
        if record.kind.kind() == PodKind::Manifest {
            return Ok(status.map_or(Phase::Pending, |status| status.phase));
        }
        // Where it was the first process of their PID namespace they are about to end, too.
        let have_outlived_it = || !record.share_pid && containers.iter().any(|c| c.pid.is_some());
        Ok(if pause.process.is_alive()? || have_outlived_it() { phase_of(containers) } else { Phase::Failed })
    }

    /// Whoever only wants to look is still shown the rest.
    fn readable_status(&self) -> Option<PodStatus> {
        self.status().unwrap_or_else(|error| {
            report::warn(&error.to_string());
            None
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
        let status = self.readable_status();
        let all = |known: &[status::ContainerStatus]| -> Vec<ContainerState> {
            known.iter().map(|known| supervised(known, containers)).collect()
        };
        Ok(PodState {
            pod_version: POD_VERSION,
            id: self.uid().map(ToString::to_string).unwrap_or_default(),
            name: self.name().to_string(),
            namespace: self.namespace().to_string(),
            kind: self.kind(),
            phase: self.phase_with(status.as_ref(), containers)?,
            pid: pause.map_or(0, |pause| pause.process.pid),
            cgroup_path: record.map(|record| record.cgroup.path()).unwrap_or_default(),
            network: record.map(|record| record.network),
            ips: Vec::new(), // with no network there is none, and the host's are the host's
            hostname: record.map(|record| record.hostname.clone()).unwrap_or_default(),
            namespaces: pause.map(namespace_states).unwrap_or_default(),
            volumes: record.map(volumes).unwrap_or_default(),
            init_containers: status.as_ref().map(|status| all(&status.init_containers)).unwrap_or_default(),
            containers: match &status {
                Some(status) => all(&status.containers),
                None => containers.iter().map(container).collect(),
            },
        })
    }
}

fn namespace_states(pause: &PauseRecord) -> Namespaces {
    let show = |kind: NamespaceKind| {
        let path = namespaces::path(pause.process.pid, kind.name());
        kind.inode(&pause.namespaces).map(|inode| NamespaceState { path, inode })
    };
    Namespaces {
        net: show(NamespaceKind::Net),
        ipc: show(NamespaceKind::Ipc),
        uts: show(NamespaceKind::Uts),
        pid: show(NamespaceKind::Pid),
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
        reason: reason.map(ToOwned::to_owned),
        exit_code: view.exit_code,
        restart_count: view.restart_count,
        ready: view.status == ContainerStatus::Running,
        cgroup_path: view.cgroup_path.clone(),
    }
}

/// A manifest pod's container: what the supervisor says of it, and of its process what the container's own record says.
fn supervised(known: &status::ContainerStatus, views: &[ContainerView]) -> ContainerState {
    use status::ContainerState as S;
    let view = views.iter().find(|view| known.container_id.as_ref() == Some(&view.id));
    let paused = view.is_some_and(|view| view.status == ContainerStatus::Paused);
    let (state, reason, exit_code) = match &known.state {
        S::Waiting { reason, .. } => ("Waiting", Some(reason.clone()), None),
        S::Running { .. } => ("Running", paused.then(|| "Paused".to_owned()), None),
        S::Terminated(ended) => ("Terminated", Some(ended.reason.clone()), Some(ended.exit_code)),
    };
    ContainerState {
        name: known.name.to_string(),
        id: known.container_id.clone().unwrap_or_default(),
        pid: view.and_then(|view| view.pid).unwrap_or(0),
        state,
        reason,
        exit_code,
        restart_count: known.restart_count,
        ready: known.ready,
        cgroup_path: view.map(|view| view.cgroup_path.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_manifest_pods_are_shown_as_their_supervisor_says() {
        let mut known = status::ContainerStatus {
            container_id: Some("a".into()),
            restart_count: 2,
            ready: true,
            started: true,
            state: status::ContainerState::Running { started_at: 1 },
            ..status::ContainerStatus::new("web".parse().unwrap(), "nginx")
        };
        let of = |status| ContainerView { pid: Some(7), cgroup_path: "/g".into(), ..view(status, None) };
        let shown = supervised(&known, &[of(ContainerStatus::Running)]);
        assert_eq!((shown.state, shown.reason, shown.pid), ("Running", None, 7));
        assert_eq!((shown.restart_count, shown.ready, shown.cgroup_path.as_str()), (2, true, "/g"));
        let shown = supervised(&known, &[of(ContainerStatus::Paused)]);
        assert_eq!(shown.reason.as_deref(), Some("Paused"));
        known.state = status::ContainerState::Waiting { reason: "ContainerCreating".into(), message: None };
        let shown = supervised(&known, &[]);
        assert_eq!((shown.state, shown.reason.as_deref()), ("Waiting", Some("ContainerCreating")));
        assert_eq!((shown.pid, shown.exit_code), (0, None));
    }

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
