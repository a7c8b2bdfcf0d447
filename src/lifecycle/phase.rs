//! The pod's phase from its containers' states, and a container's end, as the kubelet tells them.

use super::Outcome;
use super::machine::Machine;
use crate::model::podspec::Role;
use crate::model::status::{ContainerState, ContainerStatus, Phase, Terminated};

/// The exit code where nobody knows it, the same as of SIGKILL.
const UNKNOWN_EXIT_CODE: i32 = 137;

/// The exit code of a program that could not be started, containerd's.
const START_ERROR_EXIT_CODE: i32 = 128;

/// So many containers of a kind are in a state.
#[derive(Debug, Default)]
struct Count {
    /// They have not run yet.
    waiting: usize,
    running: usize,
    /// They have ended, perhaps to be made again.
    stopped: usize,
    /// They have ended well and stay so.
    succeeded: usize,
}

impl Count {
    fn add(&mut self, status: &ContainerStatus) {
        match &status.state {
            ContainerState::Running { .. } => self.running += 1,
            ContainerState::Terminated(end) => {
                self.stopped += 1;
                self.succeeded += usize::from(end.exit_code == 0);
            }
            ContainerState::Waiting { .. } if status.last_state.is_some() => self.stopped += 1,
            ContainerState::Waiting { .. } => self.waiting += 1,
        }
    }
}

impl Machine {
    /// The phase. It does not turn into one of the last two as long as anything may run.
    pub(super) fn phase(&self, all_absent: bool) -> Phase {
        let phase = match self.phase_of_states() {
            _ if all_absent && self.is_ending() => self.last_phase(),
            _ if self.is_restarting_all() => Phase::Pending,
            // The pod has failed for a reason of its own.
            Phase::Succeeded if self.status.reason.is_some() => Phase::Failed,
            phase => phase,
        };
        let terminal = matches!(phase, Phase::Succeeded | Phase::Failed);
        if terminal && self.containers.iter().any(super::containers::Container::is_alive) {
            return self.status.phase;
        }
        phase
    }

    fn phase_of_states(&self) -> Phase {
        let (mut inits, mut sidecars, mut apps) = (Count::default(), Count::default(), Count::default());
        let mut unstarted_sidecars = 0;
        for (status, container) in self.status.all_containers().zip(&self.containers) {
            match container.plan.role {
                Role::Init => inits.add(status),
                Role::Sidecar => {
                    sidecars.add(status);
                    unstarted_sidecars += usize::from(status.state.is_running() && !status.started);
                }
                Role::App => apps.add(status),
            }
        }
        let apps_began = apps.running + apps.stopped > 0;
        let pending_sidecars = sidecars.waiting + unstarted_sidecars;
        if self.finishing && !self.is_initialized() {
            return Phase::Failed;
        }
        if !self.is_initialized()
            || inits.waiting + inits.running > 0
            || pending_sidecars > 0 && !apps_began
            || apps.waiting + sidecars.waiting > 0
        {
            return Phase::Pending;
        }
        match apps {
            Count { running, .. } if running + sidecars.running > 0 => Phase::Running,
            Count { stopped: 0, .. } => Phase::Pending,
            _ if self.containers.iter().any(|c| c.plan.role == Role::App && c.due.is_some()) => {
                Phase::Running
            }
            Count { stopped, succeeded, .. } if stopped == succeeded => Phase::Succeeded,
            _ => Phase::Failed,
        }
    }

    /// Of a pod of which nothing is left.
    fn last_phase(&self) -> Phase {
        let well = |status: &ContainerStatus| matches!(&status.state, ContainerState::Terminated(end) if end.exit_code == 0);
        let succeeded = self.is_initialized() && self.status.containers.iter().all(well);
        if succeeded && self.status.reason.is_none() { Phase::Succeeded } else { Phase::Failed }
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
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        exit_code: UNKNOWN_EXIT_CODE,
        signal: None,
        started_at: None,
        finished_at,
    }
}
