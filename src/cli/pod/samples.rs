//! Pods for the tests of this module.

use crate::model::podspec::{ContainerSpec, PodSpec};
use crate::model::status::{ContainerState, ContainerStatus, Phase, PodStatus, Terminated};

/// A pod `shop` with these containers.
pub fn spec(containers: &[&str]) -> PodSpec {
    let container = |name: &&str| ContainerSpec::new(name.parse().unwrap(), "busybox");
    PodSpec {
        containers: containers.iter().map(container).collect(),
        ..PodSpec::new("shop".parse().unwrap(), "default".parse().unwrap())
    }
}

/// A status whose containers `c0`, `c1`, ... do this; the running ones are ready.
pub fn status(phase: Phase, states: Vec<ContainerState>) -> PodStatus {
    let containers = states.into_iter().enumerate().map(|(index, state)| ContainerStatus {
        ready: state.is_running(),
        started: state.is_running(),
        state,
        ..ContainerStatus::new(format!("c{index}").parse().unwrap(), "busybox")
    });
    let mut status = PodStatus { phase, ..PodStatus::new(containers.collect()) };
    crate::lifecycle::refresh_conditions(&mut status, true, 5);
    status
}

/// Running since 5.
pub fn running() -> ContainerState {
    ContainerState::Running { started_at: 5 }
}

/// Waiting for this reason.
pub fn waiting(reason: &str) -> ContainerState {
    ContainerState::Waiting { reason: reason.into(), message: None }
}

/// Ended at 7.
pub fn ended(reason: &str, exit_code: i32) -> ContainerState {
    ContainerState::Terminated(Terminated {
        reason: reason.into(),
        message: None,
        exit_code,
        signal: None,
        started_at: Some(5),
        finished_at: 7,
    })
}
