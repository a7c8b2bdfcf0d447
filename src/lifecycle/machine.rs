//! The pod's machine: what concerns the pod as a whole. [`super::containers`] has what concerns one container.

use super::containers::{Container, Stage};
use super::phase::{self, Outlook};
use super::stop::Stopping;
use super::{Action, Event, Now, Settings, Signal, happenings};
use crate::model::podspec::{ContainerSpec, PodSpec, RestartPolicy};
use crate::model::status::{ContainerState, ContainerStatus, EventKind, Phase, PodStatus};
use std::time::Duration;

/// A pod's rules and status.
#[derive(Debug)]
pub struct Machine {
    pub(super) policy: RestartPolicy,
    /// `NAME_NAMESPACE`, for messages.
    pub(super) title: String,
    pub(super) status: PodStatus,
    pub(super) containers: Vec<Container>,
    pub(super) stopping: Option<Stopping>,
    ended: bool,
    pub(super) changed: bool,
}

impl Machine {
    /// The machine of a pod of which nothing is made.
    pub fn new(spec: &PodSpec, settings: Settings) -> Self {
        let of = |container: &ContainerSpec| ContainerStatus::new(container.name.clone(), &container.image);
        let status = PodStatus::new(spec.containers.iter().map(of).collect());
        Self::with(spec, &settings, status, Stage::Absent)
    }

    /// The machine of a pod whose supervisor is gone. Tell it for each container [`Event::Adopted`], followed by
    /// [`Event::Exited`] if its init is dead, or [`Event::Removed`]; until then it does nothing about that container.
    pub fn resume(spec: &PodSpec, settings: Settings, status: PodStatus, now: Now) -> Self {
        let mut machine = Self::with(spec, &settings, status, Stage::Unknown);
        if let Some(since) = machine.status.stopping_since {
            let grace = machine.status.stop_grace_seconds.unwrap_or(spec.termination_grace_period_seconds);
            let left = since.saturating_add(grace).saturating_sub(now.wall);
            machine.stopping = Some(Stopping::new(Duration::from_secs(left), now));
        }
        for container in &mut machine.containers {
            container.last_start = Some(now.monotonic); // it was later than nothing we know
        }
        machine
    }

    fn with(spec: &PodSpec, settings: &Settings, status: PodStatus, stage: Stage) -> Self {
        Self {
            policy: spec.restart_policy,
            title: format!("{}_{}({})", spec.name, spec.namespace, settings.uid),
            containers: status.containers.iter().map(|_| Container::new(stage)).collect(),
            status,
            stopping: None,
            ended: false,
            changed: true,
        }
    }

    /// The pod's status.
    pub fn status(&self) -> &PodStatus {
        &self.status
    }

    /// Whether the status has changed since this was last asked; true the first time.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// CLOCK_MONOTONIC at which [`Event::Time`] must be told, if at all.
    pub fn deadline(&self) -> Option<Duration> {
        if let Some(stopping) = &self.stopping {
            return stopping.deadline().filter(|_| !self.ended);
        }
        let absent = self.containers.iter().filter(|container| container.stage == Stage::Absent);
        absent.filter_map(|container| container.due).min()
    }

    /// Adds an event that the supervisor saw to the status, of the pod or of one container.
    pub fn note(&mut self, kind: EventKind, reason: &str, index: Option<usize>, message: String, now: Now) {
        self.changed = true;
        let PodStatus { containers, events, .. } = &mut self.status;
        let name = index.and_then(|index| containers.get(index)).map(|container| &container.name);
        happenings::add(events, now.wall, kind, reason, name, message);
    }

    /// Says why a container's output cannot be logged, or that it can again.
    pub fn set_log_trouble(&mut self, index: usize, trouble: Option<String>) {
        let Some(container) = self.status.containers.get_mut(index) else { return };
        if container.log_trouble != trouble {
            container.log_trouble = trouble;
            self.changed = true;
        }
    }

    /// What an event leads to, to be done in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended {
            return actions;
        }
        // First, so that a program whose start is the event is not killed twice.
        self.kill_overdue(now, &mut actions);
        let count = self.containers.len();
        match event {
            Event::Create => self.create(now),
            Event::Start => self.start(now, &mut actions),
            Event::SandboxChanged => {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                self.note(EventKind::Normal, "SandboxChanged", None, message, now);
            }
            Event::Stop { grace_seconds } => self.stop(grace_seconds, now, &mut actions),
            Event::Fail { reason, message, grace_seconds } => {
                self.note(EventKind::Warning, &reason, None, message.clone(), now);
                (self.status.reason, self.status.message) = (Some(reason), Some(message));
                self.stop(grace_seconds, now, &mut actions);
            }
            Event::Time | Event::Probed { .. } | Event::Hooked { .. } | Event::Update { .. } => {}
            Event::Made { index, .. }
            | Event::NotMade { index, .. }
            | Event::Started { index }
            | Event::NotStarted { index, .. }
            | Event::Exited { index, .. }
            | Event::Removed { index }
            | Event::Adopted { index, .. }
                if index >= count => {}
            Event::Made { index, container_id, image_id } => {
                self.made(index, container_id, image_id, now, &mut actions);
            }
            Event::NotMade { index, reason, message } => self.not_made(index, reason, message, now),
            Event::Started { index } => self.started(index, now, &mut actions),
            Event::NotStarted { index, message } => self.not_started(index, message, now, &mut actions),
            Event::Exited { index, outcome, oom_killed, message: _ } => {
                self.exited(index, outcome, oom_killed, now, &mut actions);
            }
            Event::Removed { index } => self.removed(index, now),
            Event::Adopted { index, container_id, restart, started } => {
                self.adopted(index, (container_id, restart), started, now, &mut actions);
            }
        }
        self.settle(now, &mut actions);
        actions
    }
}

/// The pod.
impl Machine {
    fn create(&mut self, now: Now) {
        if self.stopping.is_none() {
            for container in self.containers.iter_mut().filter(|c| c.stage == Stage::Absent) {
                container.due.get_or_insert(now.monotonic);
            }
        }
    }

    fn start(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.stopping.is_some() || self.status.started_at.is_some() {
            return;
        }
        self.status.started_at = Some(now.wall);
        self.changed = true;
        for index in 0..self.containers.len() {
            if self.containers[index].stage == Stage::Made {
                self.go_on(index, actions);
            }
        }
    }

    fn stop(&mut self, grace_seconds: u64, now: Now, actions: &mut Vec<Action>) {
        self.changed = true;
        let grace = Duration::from_secs(grace_seconds);
        if let Some(stopping) = &mut self.stopping {
            stopping.shorten(grace, now);
            let since = self.status.stopping_since.unwrap_or(now.wall);
            let whole = now.wall.saturating_sub(since).saturating_add(grace_seconds);
            let known = self.status.stop_grace_seconds.get_or_insert(whole);
            *known = whole.min(*known);
            return;
        }
        self.stopping = Some(Stopping::new(grace, now));
        self.status.stopping_since = Some(now.wall);
        self.status.stop_grace_seconds = Some(grace_seconds);
        for index in 0..self.containers.len() {
            self.containers[index].due = None;
            match self.containers[index].stage {
                Stage::Made => self.remove(index, actions),
                Stage::Running => self.end(index, now, actions),
                _ => {}
            }
        }
    }

    /// Kills what runs when the pod's patience is at its end.
    fn kill_overdue(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.stopping.as_mut().is_some_and(|stopping| stopping.take_due(now)) {
            let running = (0..self.containers.len()).filter(|i| self.containers[*i].stage == Stage::Running);
            actions.extend(running.map(|index| Action::Signal { index, signal: Signal::Kill }));
        }
    }

    /// Does what is due now, whatever happened.
    fn settle(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.kill_overdue(now, actions);
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            if container.stage == Stage::Absent && container.due.is_some_and(|due| due <= now.monotonic) {
                container.stage = Stage::Making;
                container.due = None;
                container.at_once = self.status.started_at.is_some();
                let at_once = container.at_once;
                actions.push(Action::Make { index, restart: self.next_restart(index), at_once });
            }
        }
        let all_absent = self.containers.iter().all(|container| container.stage == Stage::Absent);
        let final_outlook = all_absent && self.stopping.is_some();
        if final_outlook {
            self.conclude(now);
        }
        let outlook = if final_outlook { Outlook::Final } else { Outlook::ByPolicy };
        let phase = match phase::of(&self.status.containers, self.policy, outlook) {
            _ if final_outlook && self.status.reason.is_some() => Phase::Failed,
            phase => phase,
        };
        if self.status.phase != phase {
            self.status.phase = phase;
            self.changed = true;
        }
        if all_absent && self.status.has_ended() {
            self.ended = true;
            actions.push(Action::End);
        }
    }

    /// A stopped pod has no waiting containers.
    fn conclude(&mut self, now: Now) {
        self.changed = true;
        for container in &mut self.status.containers {
            if !matches!(container.state, ContainerState::Terminated(_)) {
                let end = container.last_state.take().unwrap_or_else(|| phase::never_ran(now.wall));
                container.state = ContainerState::Terminated(end);
            }
        }
    }
}
