//! The pod's phase from its containers' states, and a container's end, as the kubelet tells them.

use super::Outcome;
use crate::model::podspec::RestartPolicy;
use crate::model::status::{ContainerState, ContainerStatus, Phase, Terminated};

/// Whether any container may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// As the restart policy says.
    ByPolicy,
    /// None: the pod was stopped, and nothing of it is left.
    Final,
}

/// The exit code where nobody knows it, the same as of SIGKILL.
const UNKNOWN_EXIT_CODE: i32 = 137;

/// The exit code of a program that could not be started, containerd's.
const START_ERROR_EXIT_CODE: i32 = 128;

/// The phase.
pub fn of(containers: &[ContainerStatus], policy: RestartPolicy, outlook: Outlook) -> Phase {
    let count = |wanted: fn(&ContainerStatus) -> bool| containers.iter().filter(|c| wanted(c)).count();
    let never_ran = count(|c| matches!(c.state, ContainerState::Waiting { .. }) && c.last_state.is_none());
    let running = count(|c| c.state.is_running());
    let succeeded =
        count(|c| matches!(&c.state, ContainerState::Terminated(terminated) if terminated.exit_code == 0));
    if never_ran > 0 {
        return Phase::Pending;
    }
    if running > 0 {
        return Phase::Running;
    }
    let all_succeeded = succeeded == containers.len();
    match (outlook, policy) {
        (Outlook::ByPolicy, RestartPolicy::Always) => Phase::Running,
        _ if all_succeeded => Phase::Succeeded,
        (Outlook::ByPolicy, RestartPolicy::OnFailure) => Phase::Running,
        _ => Phase::Failed,
    }
}

/// The end of a container that ran from `started_at`.
pub fn ended(outcome: Outcome, oom_killed: bool, started_at: Option<u64>, finished_at: u64) -> Terminated {
    let (exit_code, signal) = match outcome {
        Outcome::Exited(code) => (code, None),
        Outcome::Signaled(number) => (128 + number, Some(number)),
        Outcome::Unknown => (UNKNOWN_EXIT_CODE, None),
    };
    let (reason, message) = match outcome {
        Outcome::Unknown => {
            ("ContainerStatusUnknown", Some("nobody saw how it ended: its supervisor was gone".to_owned()))
        }
        Outcome::Exited(0) => ("Completed", None),
        _ if oom_killed => ("OOMKilled", None),
        _ => ("Error", None),
    };
    Terminated { reason: reason.to_owned(), message, exit_code, signal, started_at, finished_at }
}

/// The end of a container whose program could not be started.
pub fn not_started(message: String, finished_at: u64) -> Terminated {
    Terminated {
        reason: "StartError".to_owned(),
        message: Some(message),
        exit_code: START_ERROR_EXIT_CODE,
        signal: None,
        started_at: None,
        finished_at,
    }
}

/// The end of a container that the pod's stop came before.
pub fn never_ran(finished_at: u64) -> Terminated {
    Terminated {
        reason: "ContainerStatusUnknown".to_owned(),
        message: Some("the pod was stopped before the container was started".to_owned()),
        exit_code: UNKNOWN_EXIT_CODE,
        signal: None,
        started_at: None,
        finished_at,
    }
}
