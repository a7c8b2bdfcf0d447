//! A pod in the few words of `pod list`, as kubectl has them.

use crate::model::status::{ConditionKind, ContainerState, ContainerStatus, PodStatus, Terminated};
use crate::model::time;

/// The columns of the list that tell what the pod does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `1/2`; sidecars count, other init containers do not.
    pub ready: String,
    /// The phase, or the reason why a container waits or has ended.
    pub status: String,
    /// `6 (3m50s ago)`.
    pub restarts: String,
}

/// What is found on the way through the containers.
#[derive(Debug, Default)]
struct Found {
    ready: usize,
    reason: Option<String>,
    restarts: Restarts,
}

/// How often, and when a container ended for the last time but to be made again.
#[derive(Debug, Default)]
struct Restarts {
    count: u32,
    last: Option<u64>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count = self.count.saturating_add(container.restart_count);
        self.last = self.last.max(container.last_state.as_ref().map(|end| end.finished_at));
    }

    fn in_words(&self, now: u64) -> String {
        match self.last {
            Some(at) if self.count > 0 => {
                format!("{} ({} ago)", self.count, time::age(now.saturating_sub(at)))
            }
            _ => self.count.to_string(),
        }
    }
}

impl Summary {
    /// Of a pod with this status, at `now` in seconds since 1970; `deleting` where its deletion has begun.
    pub fn of(status: &PodStatus, deleting: bool, now: u64) -> Self {
        let sidecars = status.init_containers.iter().filter(|container| container.sidecar).count();
        let mut found = of_init_containers(status);
        let initialized = status.condition(ConditionKind::Initialized).is_some_and(|condition| condition.met);
        if found.reason.is_none() || initialized {
            found = of_containers(status, found);
        }
        let asked = status.stopping_since.is_some() && status.reason.is_none();
        let word = if (deleting || asked) && !status.has_ended() {
            "Terminating".to_owned()
        } else {
            let of_pod = || status.reason.clone().unwrap_or_else(|| format!("{:?}", status.phase));
            found.reason.unwrap_or_else(of_pod)
        };
        Self {
            ready: format!("{}/{}", found.ready, status.containers.len() + sidecars),
            status: word,
            restarts: found.restarts.in_words(now),
        }
    }
}

/// What the first init container that holds up the others does; no reason where none does.
fn of_init_containers(status: &PodStatus) -> Found {
    let mut found = Found::default();
    for (index, container) in status.init_containers.iter().enumerate() {
        found.restarts.add(container);
        let word = match &container.state {
            ContainerState::Terminated(end) if end.exit_code == 0 => continue,
            _ if container.sidecar && container.started => {
                found.ready += usize::from(container.ready);
                continue;
            }
            ContainerState::Terminated(end) => end_in_words(end),
            ContainerState::Waiting { reason, .. } if !matches!(reason.as_str(), "" | "PodInitializing") => {
                reason.clone()
            }
            _ => format!("{index}/{}", status.init_containers.len()),
        };
        found.reason = Some(format!("Init:{word}"));
        break;
    }
    found
}

/// What the first container that has something to say does, once all before it is done.
fn of_containers(status: &PodStatus, init: Found) -> Found {
    let mut found = Found { ready: init.ready, reason: init.reason, restarts: Restarts::default() };
    status.init_containers.iter().filter(|init| init.sidecar).for_each(|init| found.restarts.add(init));
    let mut running = false;
    for container in status.containers.iter().rev() {
        found.restarts.add(container);
        match &container.state {
            ContainerState::Waiting { reason, .. } if reason.is_empty() => {}
            ContainerState::Waiting { reason, .. } => found.reason = Some(reason.clone()),
            ContainerState::Terminated(end) => found.reason = Some(end_in_words(end)),
            ContainerState::Running { .. } if container.ready => {
                running = true;
                found.ready += 1;
            }
            ContainerState::Running { .. } => {}
        }
    }
    if running && found.reason.as_deref() == Some("Completed") {
        let ready = status.condition(ConditionKind::Ready).is_some_and(|condition| condition.met);
        found.reason = Some(if ready { "Running" } else { "NotReady" }.to_owned());
    }
    found
}

fn end_in_words(end: &Terminated) -> String {
    match (end.reason.as_str(), end.signal) {
        ("", Some(signal)) => format!("Signal:{signal}"),
        ("", None) => format!("ExitCode:{}", end.exit_code),
        (reason, _) => reason.to_owned(),
    }
}
