//! The pod's conditions, as the kubelet derives them from the statuses of its containers.

use crate::model::status::{Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodStatus};

/// What a condition is now.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is met.
    pub met: bool,
    /// In one word.
    pub reason: Option<&'static str>,
    /// For people.
    pub message: Option<String>,
}

impl Finding {
    const MET: Self = Self { met: true, reason: None, message: None };
}

/// Brings the conditions of a pod up to date with its phase and containers; true if one has
/// changed. `sandbox` says whether that stands.
pub fn refresh(status: &mut PodStatus, sandbox: bool, wall: u64) -> bool {
    let standing = if sandbox { Finding::MET } else { Finding { met: false, ..Finding::MET } };
    let findings = [
        (ConditionKind::PodReadyToStartContainers, standing),
        (ConditionKind::Initialized, initialized(status)),
        (ConditionKind::Ready, ready(status)),
        (ConditionKind::ContainersReady, ready(status)),
        (ConditionKind::PodScheduled, Finding::MET),
    ];
    let mut changed = false;
    for (kind, finding) in findings {
        changed |= set(&mut status.conditions, kind, finding, wall);
    }
    changed
}

/// Brings one condition up to date; true if it has changed.
pub fn set(conditions: &mut Vec<Condition>, kind: ConditionKind, finding: Finding, wall: u64) -> bool {
    let Finding { met, reason, message } = finding;
    let Some(known) = conditions.iter_mut().find(|condition| condition.kind == kind) else {
        let reason = reason.map(str::to_owned);
        conditions.push(Condition { kind, met, reason, message, last_transition_time: wall });
        return true;
    };
    if known.met == met && known.reason.as_deref() == reason && known.message == message {
        return false;
    }
    if known.met != met {
        known.last_transition_time = wall;
    }
    (known.met, known.reason, known.message) = (met, reason.map(str::to_owned), message);
    true
}

fn initialized(status: &PodStatus) -> Finding {
    if status.phase == Phase::Succeeded {
        return Finding { reason: Some("PodCompleted"), ..Finding::MET };
    }
    // Sidecars that are restarted later do not take it back.
    let began = |container: &ContainerStatus| {
        container.last_state.is_some() || !matches!(container.state, ContainerState::Waiting { .. })
    };
    if status.containers.iter().any(began) {
        return Finding::MET;
    }
    let incomplete = |init: &&ContainerStatus| if init.sidecar { !init.started } else { !init.ready };
    unmet("ContainersNotInitialized", "incomplete", status.init_containers.iter().filter(incomplete))
}

fn ready(status: &PodStatus) -> Finding {
    let ended = |reason| Finding { met: false, reason: Some(reason), message: None };
    match status.phase {
        Phase::Succeeded => return ended("PodCompleted"),
        Phase::Failed => return ended("PodFailed"),
        Phase::Pending | Phase::Running => {}
    }
    let counting = status.all_containers().enumerate();
    let inits = status.init_containers.len();
    let unready =
        counting.filter(|(index, container)| (container.sidecar || *index >= inits) && !container.ready);
    unmet("ContainersNotReady", "unready", unready.map(|(_, container)| container))
}

/// Met where there are no such containers.
fn unmet<'a>(
    reason: &'static str,
    what: &str,
    containers: impl Iterator<Item = &'a ContainerStatus>,
) -> Finding {
    let names: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
    if names.is_empty() {
        return Finding::MET;
    }
    let message = format!("containers with {what} status: [{}]", names.join(" "));
    Finding { met: false, reason: Some(reason), message: Some(message) }
}
