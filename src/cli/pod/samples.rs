//! Pods for the tests of this module.

use crate::model::podspec::{ContainerSpec, PodSpec, Resources, RestartPolicy, SecurityContext};
use crate::model::status::{self, ContainerState, ContainerStatus, Phase, PodStatus, Terminated};
use std::collections::BTreeMap;

/// A pod `shop` with these containers.
pub fn spec(containers: &[&str]) -> PodSpec {
    PodSpec {
        name: "shop".parse().unwrap(),
        namespace: "default".parse().unwrap(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        hostname: None,
        host_network: false,
        share_process_namespace: false,
        restart_policy: RestartPolicy::Always,
        termination_grace_period_seconds: 30,
        volumes: Vec::new(),
        containers: containers.iter().map(|name| container(name)).collect(),
        accepted_fields: Vec::new(),
    }
}

fn container(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.parse().unwrap(),
        image: "busybox".into(),
        image_pull_policy: None,
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        resources: Resources::default(),
        ports: Vec::new(),
        volume_mounts: Vec::new(),
        tty: false,
        stdin: false,
        stdin_once: false,
        security: SecurityContext::default(),
    }
}

/// A status whose containers `c0`, `c1`, ... do this; the running ones are ready.
pub fn status(phase: Phase, states: Vec<ContainerState>) -> PodStatus {
    let containers = states.into_iter().enumerate().map(|(index, state)| ContainerStatus {
        name: format!("c{index}").parse().unwrap(),
        image: "busybox".into(),
        image_id: None,
        container_id: None,
        restart_count: 0,
        ready: state.is_running(),
        started: state.is_running(),
        state,
        last_state: None,
        log_trouble: None,
    });
    PodStatus {
        version: status::VERSION,
        phase,
        reason: None,
        message: None,
        started_at: None,
        stopping_since: None,
        stop_grace_seconds: None,
        containers: containers.collect(),
        events: Vec::new(),
    }
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
