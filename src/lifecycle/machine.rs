//! The pod's machine: events in, actions out; and what concerns the pod as a whole.

use super::containers::{Container, Exit, Stage};
use super::phase;
use super::plan::Plan;
use super::resume::read;
use super::stop::Stopping;
use super::storage::Storage;
use super::{Action, Event, Now, conditions, happenings};
use crate::model::backoff::BackoffTimes;
use crate::model::ids::PodUid;
use crate::model::podspec::{ContainerSpec, PodSpec, RestartPolicy, Role};
use crate::model::status::{ContainerState, ContainerStatus, EventKind, KillCause, PodStatus};
use std::time::Duration;

/// A pod's rules and status.
#[derive(Debug)]
pub struct Machine {
    /// How long the waits between crashes are.
    pub(super) times: BackoffTimes,
    /// `NAME_NAMESPACE(UID)`, for messages.
    pub(super) title: String,
    pub(super) status: PodStatus,
    /// In the order of [`PodSpec::all_containers`].
    pub(super) containers: Vec<Container>,
    /// So many init containers hold back nothing any more.
    pub(super) passed: usize,
    /// It was told to stop.
    pub(super) stopping: Option<Stopping>,
    /// All that matters has ended by itself.
    pub(super) finishing: bool,
    /// When the last event was handled.
    pub(super) now: Duration,
    pub(super) changed: bool,
    policy: RestartPolicy,
    grace: Duration,
    active_deadline: Option<Duration>,
    pub(super) started: Option<Duration>,
    pub(super) storage: Storage,
    sandbox: bool,
    ended: bool,
}

impl Machine {
    /// The machine of a pod of which nothing is made.
    pub fn new(spec: &PodSpec, uid: &PodUid) -> Self {
        let first = if spec.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let of = |container: &ContainerSpec| ContainerStatus {
            state: ContainerState::Waiting { reason: first.to_owned(), message: None },
            ..ContainerStatus::new(container.name.clone(), &container.image)
        };
        let mut status = PodStatus::new(spec.containers.iter().map(of).collect());
        status.init_containers = spec.init_containers.iter().map(of).collect();
        for (index, init) in status.init_containers.iter_mut().enumerate() {
            init.sidecar = spec.role(index) == Role::Sidecar;
        }
        status.qos_class = Some(spec.qos_class());
        Self::with(spec, uid, status, Stage::Absent)
    }

    /// The machine of a pod whose supervisor is gone. Tell it for each container [`Event::Adopted`], followed by
    /// [`Event::Exited`] if its init is dead, or [`Event::Removed`]; until then it does nothing about that container.
    pub fn resume(spec: &PodSpec, uid: &PodUid, status: PodStatus, now: Now) -> Self {
        let mut machine = Self::with(spec, uid, status, Stage::Unknown);
        machine.now = now.monotonic;
        machine.sandbox = true;
        machine.look_later(now);
        machine.passed = machine.status.memory.passed.min(machine.init_count());
        machine.finishing = machine.status.memory.finishing;
        let memory = &machine.status.memory;
        let started = memory.started.map(read).filter(|_| machine.status.started_at.is_some());
        machine.started = started.or(machine.status.started_at.and(Some(now.monotonic)));
        if machine.status.stopping_since.is_some() {
            let anew = || now.after(Duration::from_secs(spec.termination_grace_period_seconds));
            machine.stopping = Some(Stopping { end: memory.stop_end.map_or_else(anew, read) });
        }
        for (container, memory) in machine.containers.iter_mut().zip(&machine.status.memory.containers) {
            container.remember(memory);
        }
        machine
    }

    fn with(spec: &PodSpec, uid: &PodUid, status: PodStatus, stage: Stage) -> Self {
        let mut machine = Self {
            title: format!("{}_{}({})", spec.name, spec.namespace, uid),
            times: spec.backoff,
            containers: Plan::all(spec).into_iter().map(|plan| Container::new(plan, stage)).collect(),
            status,
            passed: 0,
            stopping: None,
            finishing: false,
            now: Duration::ZERO,
            changed: true,
            policy: spec.restart_policy,
            grace: Duration::ZERO,
            active_deadline: None,
            started: None,
            storage: Storage::of(spec),
            sandbox: false,
            ended: false,
        };
        machine.go_by(spec);
        machine
    }

    /// Takes over what concerns the pod as a whole.
    fn go_by(&mut self, spec: &PodSpec) {
        self.grace = Duration::from_secs(spec.termination_grace_period_seconds);
        self.times = spec.backoff;
        self.active_deadline = spec.active_deadline_seconds.map(Duration::from_secs);
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
        if self.ended {
            return None;
        }
        let of_containers = (0..self.containers.len()).filter_map(|index| self.deadline_of(index));
        let of_pod = self.end_of_activity().filter(|_| !self.is_ending());
        of_containers.chain(of_pod).chain(self.next_look()).min()
    }

    fn deadline_of(&self, index: usize) -> Option<Duration> {
        let container = &self.containers[index];
        let due = container.due.filter(|_| container.stage == Stage::Absent && self.may_make(index));
        let run = container.run.as_ref();
        let hook = run.and_then(|run| run.post_start).and_then(|hook| hook.wake);
        let kill = run.and_then(|run| run.kill.as_ref()).and_then(super::stop::Kill::deadline);
        let probe = run.and_then(super::containers::Run::next_probe);
        let moments = [due, hook].into_iter().flatten();
        moments.chain(kill).chain(probe).min()
    }

    /// When `activeDeadlineSeconds` are over.
    fn end_of_activity(&self) -> Option<Duration> {
        Some(self.started?.saturating_add(self.active_deadline?))
    }

    /// Adds an event that the supervisor saw to the status, of the pod or of one container.
    pub fn note(&mut self, kind: EventKind, reason: &str, index: Option<usize>, message: String, now: Now) {
        self.changed = true;
        let name = index.and_then(|index| self.status.container_at(index)).map(|status| status.name.clone());
        happenings::add(&mut self.status.events, now.wall, kind, reason, name.as_ref(), message);
    }

    /// Says why a container's output cannot be logged, or that it can again.
    pub fn set_log_trouble(&mut self, index: usize, trouble: Option<String>) {
        let Some(container) = self.status.container_at_mut(index) else { return };
        if container.log_trouble != trouble {
            container.log_trouble = trouble;
            self.changed = true;
        }
    }

    /// What an event leads to, to be done in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = now.monotonic;
        if !self.ended {
            match event.index() {
                Some(index) if index >= self.containers.len() => {}
                Some(index) => self.heed(index, event, now, &mut actions),
                None => self.heed_pod(event, now, &mut actions),
            }
            self.settle(now, &mut actions);
        }
        actions
    }

    pub(super) fn heed_pod(&mut self, event: Event, now: Now, out: &mut Vec<Action>) {
        match event {
            Event::Create => self.create(now),
            Event::Start => self.start(now),
            Event::SandboxChanged => {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                self.note(EventKind::Normal, "SandboxChanged", None, message, now);
                if self.policy != RestartPolicy::Never {
                    self.begin_anew(now);
                }
            }
            Event::Update { spec, resized } => self.update(&spec, &resized, now, out),
            Event::Stop { grace_seconds } => self.stop(grace_seconds, now, out),
            Event::Fail { reason, message, grace_seconds } => {
                self.note(EventKind::Warning, &reason, None, message.clone(), now);
                (self.status.reason, self.status.message) = (Some(reason), Some(message));
                self.stop(grace_seconds, now, out);
            }
            Event::Measured { usage } => self.measured(usage.as_ref(), now, out),
            _ => {}
        }
    }

    fn heed(&mut self, index: usize, event: Event, now: Now, out: &mut Vec<Action>) {
        match event {
            Event::Made { container_id, image_id, .. } => self.made(index, container_id, image_id, now),
            Event::NotMade { reason, message, .. } => self.not_made(index, reason, message, now),
            Event::Started { .. } => self.started(index, now, out),
            Event::NotStarted { message, .. } => self.not_started(index, message, now, out),
            Event::Exited { outcome, oom_killed, message, .. } => {
                self.exited(index, Exit { outcome, oom_killed, message }, now, out);
            }
            Event::Removed { .. } => self.removed(index, now),
            Event::Adopted { container_id, restart, started, .. } => {
                self.adopted(index, (container_id, restart), started, now, out);
            }
            Event::Probed { restart, kind, result, .. } if restart == self.run_number(index) => {
                self.probed(index, kind, result, now, out);
            }
            Event::Hooked { restart, hook, result, .. } if restart == self.run_number(index) => {
                self.hooked(index, hook, result, now, out);
            }
            _ => {}
        }
    }

    /// Does what is due now, whatever happened.
    fn settle(&mut self, now: Now, out: &mut Vec<Action>) {
        self.wake_hooks(now);
        self.expire(now, out);
        self.pass();
        self.finish(now, out);
        // Backwards, as sidecars go.
        for index in (0..self.containers.len()).rev() {
            self.go_on_killing(index, now, out);
        }
        self.go_on_restarting_all(now, out);
        self.move_on(now, out);
        self.ask(now, out);
        self.look(now, out);
        let all_absent = self.containers.iter().all(|container| container.stage == Stage::Absent);
        if all_absent && self.is_ending() {
            self.conclude(now);
        }
        self.tell(all_absent, now);
        if all_absent && self.is_ending() {
            self.ended = true;
            out.push(Action::End);
        }
        self.write_memory();
    }

    /// The status as a whole.
    fn tell(&mut self, all_absent: bool, now: Now) {
        for index in 0..self.init_count() {
            let done = self.containers[index].plan.role == Role::Init
                && self.end_of(index).is_some_and(|end| end.exit_code == 0);
            if done && !self.status.init_containers[index].ready {
                self.edit(index).ready = true;
            }
        }
        let phase = self.phase(all_absent);
        if self.status.phase != phase {
            self.status.phase = phase;
            self.changed = true;
        }
        self.changed |= conditions::refresh(&mut self.status, self.sandbox, now.wall);
    }

    /// A pod that is over has no waiting containers, if its turn was ever theirs.
    fn conclude(&mut self, now: Now) {
        self.changed = true;
        let (initialized, apps) = (self.is_initialized(), self.init_count());
        for index in 0..self.containers.len() {
            let Some(status) = self.status.container_at_mut(index) else { continue };
            if matches!(status.state, ContainerState::Terminated(_)) {
                continue;
            }
            if let Some(end) = status.last_state.take() {
                status.state = ContainerState::Terminated(end);
            } else if initialized && index >= apps {
                status.state = ContainerState::Terminated(phase::never_ran(now.wall));
            }
        }
    }
}

/// The pod.
impl Machine {
    fn create(&mut self, now: Now) {
        if !self.sandbox {
            self.look_later(now);
        }
        self.sandbox = true;
        if self.is_ending() {
            return;
        }
        for container in self.containers.iter_mut().filter(|c| c.stage == Stage::Absent) {
            container.due.get_or_insert(now.monotonic);
        }
    }

    fn start(&mut self, now: Now) {
        if !self.is_ending() && self.status.started_at.is_none() {
            self.status.started_at = Some(now.wall);
            self.started = Some(now.monotonic);
            self.changed = true;
        }
    }

    /// Stops the pod whose time is over.
    fn expire(&mut self, now: Now, out: &mut Vec<Action>) {
        let over = self.end_of_activity().is_some_and(|end| end <= now.monotonic);
        if !over || self.is_ending() {
            return;
        }
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.note(EventKind::Normal, "DeadlineExceeded", None, message.clone(), now);
        (self.status.reason, self.status.message) = (Some("DeadlineExceeded".to_owned()), Some(message));
        self.stop(self.grace.as_secs(), now, out);
    }

    /// Goes by another manifest of the same containers.
    fn update(&mut self, spec: &PodSpec, resized: &[usize], now: Now, out: &mut Vec<Action>) {
        self.go_by(spec);
        for index in 0..self.containers.len() {
            let (Some(wanted), Some(plan)) = (spec.container_at(index), Plan::of(spec, index)) else {
                return;
            };
            self.containers[index].plan = plan;
            if self.status.container_at(index).is_some_and(|status| status.image != wanted.image) {
                self.edit(index).image.clone_from(&wanted.image);
                self.renew(index, KillCause::Changed, now, out);
            } else if resized.contains(&index) {
                self.renew(index, KillCause::Resized, now, out);
            }
        }
    }

    /// Makes a container anew, as another one.
    fn renew(&mut self, index: usize, cause: KillCause, now: Now, out: &mut Vec<Action>) {
        let container = &mut self.containers[index];
        match container.stage {
            // What an init container does is not done twice.
            _ if container.plan.role == Role::Init && index < self.passed => {}
            Stage::Running if container.plan.role != Role::Init => {
                let end = self.grace_end(None, now);
                self.kill(index, cause, end, now, out);
            }
            Stage::Making | Stage::Made | Stage::Starting => container.stale = true,
            Stage::Absent | Stage::Removing if container.due.is_some() => {
                container.backoff = super::backoff::Backoff::default();
                container.due = Some(now.monotonic);
            }
            _ => {}
        }
    }
}

/// What the other files of the machine ask.
impl Machine {
    pub(super) fn edit(&mut self, index: usize) -> &mut ContainerStatus {
        self.changed = true;
        let inits = self.status.init_containers.len();
        match index.checked_sub(inits) {
            None => &mut self.status.init_containers[index],
            Some(index) => &mut self.status.containers[index],
        }
    }

    pub(super) fn name(&self, index: usize) -> String {
        self.status.container_at(index).map(|status| status.name.to_string()).unwrap_or_default()
    }

    /// Why a container waits that nothing was done about yet.
    pub(super) fn first_reason(&self) -> &'static str {
        if self.init_count() == 0 { "ContainerCreating" } else { "PodInitializing" }
    }

    /// The end of a grace period that begins now: the pod's, if that stops, else of this length, or as the manifest says.
    pub(super) fn grace_end(&self, grace: Option<Duration>, now: Now) -> Duration {
        match &self.stopping {
            Some(stopping) => stopping.end,
            None => now.after(grace.unwrap_or(self.grace)),
        }
    }
}
