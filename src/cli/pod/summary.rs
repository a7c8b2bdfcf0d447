//! What a manifest pod does in the few words of `pod list`, and its conditions; as kubectl has them.

use crate::model::status::{ContainerState, Phase, PodStatus};
use crate::model::time;

/// The columns of the list that tell what the pod does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `1/2`.
    pub ready: String,
    /// The phase, or the reason why a container waits or has ended.
    pub status: String,
    /// `6 (3m50s ago)`.
    pub restarts: String,
}

impl Summary {
    /// Of a pod with this status, at `now` in seconds since 1970.
    pub fn of(status: &PodStatus, deleting: bool, now: u64) -> Self {
        let ready = status.containers.iter().filter(|container| is_ready(container)).count();
        Self {
            ready: format!("{ready}/{}", status.containers.len()),
            status: word(status, deleting),
            restarts: restarts(status, now),
        }
    }
}

fn is_ready(container: &crate::model::status::ContainerStatus) -> bool {
    container.ready && container.state.is_running()
}

/// The reason of the first container that has one counts, as in kubectl; "Completed" only where nothing runs any more.
fn word(status: &PodStatus, deleting: bool) -> String {
    if deleting && !status.has_ended() {
        return "Terminating".to_owned();
    }
    let reason = status.containers.iter().find_map(|container| match &container.state {
        ContainerState::Waiting { reason, .. } => Some(reason),
        ContainerState::Terminated(ended) => Some(&ended.reason),
        ContainerState::Running { .. } => None,
    });
    let of_pod = || status.reason.clone().unwrap_or_else(|| format!("{:?}", status.phase));
    let word = reason.filter(|reason| !reason.is_empty()).cloned().unwrap_or_else(of_pod);
    if word == "Completed" && status.containers.iter().any(is_ready) {
        return if is_met(status) { "Running" } else { "NotReady" }.to_owned();
    }
    word
}

fn restarts(status: &PodStatus, now: u64) -> String {
    let count: u32 = status.containers.iter().map(|container| container.restart_count).sum();
    let last =
        status.containers.iter().filter_map(|c| c.last_state.as_ref()).map(|ended| ended.finished_at).max();
    match last {
        Some(at) if count > 0 => format!("{count} ({} ago)", time::age(now.saturating_sub(at))),
        _ => count.to_string(),
    }
}

/// One of a pod's conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, ...
    pub name: &'static str,
    /// Whether it holds.
    pub met: bool,
    /// Why it does not.
    pub reason: Option<&'static str>,
    /// The reason in words.
    pub message: Option<String>,
}

/// The conditions, in the order in which Kubernetes writes them.
pub fn conditions(status: &PodStatus) -> Vec<Condition> {
    let met = |name| Condition { name, met: true, reason: None, message: None };
    let readiness = |name| {
        if is_met(status) {
            return met(name);
        }
        let (reason, message) = match status.phase {
            Phase::Succeeded => ("PodCompleted", None),
            Phase::Failed => ("PodFailed", None),
            _ => ("ContainersNotReady", Some(unready(status))),
        };
        Condition { name, met: false, reason: Some(reason), message }
    };
    vec![
        met("PodReadyToStartContainers"),
        met("Initialized"),
        readiness("Ready"),
        readiness("ContainersReady"),
        met("PodScheduled"),
    ]
}

/// Whether the pod is Ready.
fn is_met(status: &PodStatus) -> bool {
    !status.has_ended() && !status.containers.is_empty() && status.containers.iter().all(is_ready)
}

fn unready(status: &PodStatus) -> String {
    let names: Vec<&str> = status
        .containers
        .iter()
        .filter(|container| !is_ready(container))
        .map(|container| container.name.as_str())
        .collect();
    format!("containers with unready status: [{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples::{ended, running, status, waiting};

    #[test]
    fn status_words_are_kubectls() {
        let table = [
            (
                Phase::Pending,
                vec![waiting("ContainerCreating"), waiting("ContainerCreating")],
                "0/2",
                "ContainerCreating",
            ),
            (Phase::Running, vec![running(), running()], "2/2", "Running"),
            (Phase::Running, vec![running(), waiting("CrashLoopBackOff")], "1/2", "CrashLoopBackOff"),
            (Phase::Running, vec![ended("Error", 1), running()], "1/2", "Error"),
            (Phase::Running, vec![ended("Completed", 0), running()], "1/2", "NotReady"),
            (Phase::Succeeded, vec![ended("Completed", 0), ended("Completed", 0)], "0/2", "Completed"),
            (Phase::Failed, vec![ended("Completed", 0), ended("OOMKilled", 137)], "0/2", "Completed"),
            (Phase::Failed, vec![ended("OOMKilled", 137)], "0/1", "OOMKilled"),
            (Phase::Pending, vec![], "0/0", "Pending"),
        ];
        for (phase, states, ready, word) in table {
            let status = status(phase, states);
            let summary = Summary::of(&status, false, 0);
            assert_eq!((summary.ready.as_str(), summary.status.as_str()), (ready, word), "{status:?}");
        }
        let running = status(Phase::Running, vec![running()]);
        assert_eq!(Summary::of(&running, true, 0).status, "Terminating");
        let over = status(Phase::Succeeded, vec![ended("Completed", 0)]);
        assert_eq!(Summary::of(&over, true, 0).status, "Completed");
        let late = PodStatus { reason: Some("DeadlineExceeded".into()), ..status(Phase::Failed, vec![]) };
        assert_eq!(Summary::of(&late, false, 0).status, "DeadlineExceeded");
    }

    #[test]
    fn restarts_tell_when_the_last_was() {
        let mut status = status(Phase::Running, vec![running(), running()]);
        assert_eq!(restarts(&status, 1000), "0");
        let ContainerState::Terminated(last) = ended("Error", 1) else { unreachable!() };
        status.containers[0].restart_count = 5;
        status.containers[0].last_state = Some(crate::model::status::Terminated { finished_at: 770, ..last });
        status.containers[1].restart_count = 1;
        assert_eq!(restarts(&status, 1000), "6 (3m50s ago)");
    }

    #[test]
    fn readiness_is_of_all_containers() {
        let of = |phase, states| {
            let all = conditions(&status(phase, states));
            let ready = all.into_iter().find(|condition| condition.name == "Ready").unwrap();
            (ready.met, ready.reason, ready.message)
        };
        assert_eq!(of(Phase::Running, vec![running(), running()]), (true, None, None));
        let message = "containers with unready status: [c1]".to_owned();
        let not_ready = (false, Some("ContainersNotReady"), Some(message));
        assert_eq!(of(Phase::Running, vec![running(), waiting("x")]), not_ready);
        assert_eq!(of(Phase::Succeeded, vec![ended("Completed", 0)]), (false, Some("PodCompleted"), None));
        assert_eq!(of(Phase::Failed, vec![ended("Error", 1)]), (false, Some("PodFailed"), None));
    }
}
