//! What the rules know of a container's manifest.

use crate::model::podspec::{PodSpec, RestartPolicy, RestartRule, Role};
use crate::model::probe::{Handler, Probe, ProbeKind};
use std::time::Duration;

/// A container as the rules see it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is to the pod.
    pub role: Role,
    /// Its own restart policy, else the pod's; what `Always` means for its role is settled.
    pub policy: RestartPolicy,
    /// Before any policy.
    pub rules: Vec<RestartRule>,
    /// By [`ProbeKind`].
    pub probes: [Option<Timing>; 3],
    /// What follows its start.
    pub post_start: Option<Work>,
    /// What goes before its stop.
    pub pre_stop: Option<Work>,
}

/// A hook's work; one that does nothing is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The supervisor does it.
    Act,
    /// Time passes.
    Sleep(Duration),
}

/// The numbers of a probe.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the container's start to the first time.
    pub initial_delay: Duration,
    /// From one time to the next, never zero.
    pub period: Duration,
    /// Successes in a row.
    pub successes: u32,
    /// Failures in a row.
    pub failures: u32,
    /// In the place of the pod's.
    pub grace: Option<Duration>,
}

impl Plan {
    /// Of the container at that place of [`PodSpec::all_containers`]; `None` beyond the last.
    pub fn of(spec: &PodSpec, index: usize) -> Option<Self> {
        let container = spec.container_at(index)?;
        let role = spec.role(index);
        let policy = match (role, container.restart_policy.unwrap_or(spec.restart_policy)) {
            (Role::Sidecar, _) => RestartPolicy::Always,
            // An init container that has done its work is not wanted back.
            (Role::Init, RestartPolicy::Always) => RestartPolicy::OnFailure,
            (_, policy) => policy,
        };
        let probes = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness]
            .map(|kind| container.probe(kind).filter(|_| role != Role::Init).map(Timing::of));
        // Kubernetes refuses hooks of init containers that are no sidecars.
        let hook = |handler: &Option<Handler>| handler.as_ref().filter(|_| role != Role::Init).and_then(work);
        Some(Self {
            role,
            policy,
            rules: container.restart_policy_rules.clone(),
            probes,
            post_start: hook(&container.lifecycle.post_start),
            pre_stop: hook(&container.lifecycle.pre_stop),
        })
    }

    /// Of all.
    pub fn all(spec: &PodSpec) -> Vec<Self> {
        (0..).map_while(|index| Self::of(spec, index)).collect()
    }

    /// The numbers of a probe that it has.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Timing> {
        self.probes[kind as usize].as_ref()
    }
}

impl Timing {
    fn of(probe: &Probe) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Self {
            initial_delay: seconds(probe.initial_delay_seconds),
            period: seconds(probe.period_seconds.max(1)),
            successes: probe.success_threshold,
            failures: probe.failure_threshold,
            grace: probe.termination_grace_period_seconds.map(Duration::from_secs),
        }
    }
}

fn work(handler: &Handler) -> Option<Work> {
    match handler {
        Handler::Exec { .. } | Handler::HttpGet(_) => Some(Work::Act),
        Handler::Sleep { seconds: 0 } | Handler::TcpSocket => None,
        Handler::Sleep { seconds } => Some(Work::Sleep(Duration::from_secs(*seconds))),
    }
}
