//! One container's way.
//!
//! ```text
//!              Make           Made           Start             Started
//!    Absent ─────────> Making ─────> Made ───────────> Starting ─────> Running
//!      ^                  │            │ Exited, stop     │ NotStarted     │ Exited
//!      │<─────────────────┘            v                  v                v
//!      │      NotMade                  └──────────> Removing <─────────────┘
//!      └─────────────────────────────────────────────────┘ Removed
//! ```
//!
//! A resumed machine begins at `Unknown`: [`super::Event::Adopted`] or [`super::Event::Removed`] leads out of it. An
//! event that does not fit the container's stage comes too late to matter, and is ignored.

use super::machine::Machine;
use super::{Action, Now, Outcome, phase, restart};
use crate::model::status::{ContainerState, ContainerStatus, EventKind, Terminated};
use std::time::Duration;

/// Where a container is on its way. At most one process of it exists in each, and none in `Absent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Whoever resumed the machine has not yet said.
    Unknown,
    /// Nothing of it is there.
    Absent,
    /// It is being made.
    Making,
    /// Its init waits.
    Made,
    /// Its init goes on to the program.
    Starting,
    /// Its program runs.
    Running,
    /// It has ended, and is being removed.
    Removing,
}

/// What the status does not say of a container.
#[derive(Debug)]
pub struct Container {
    /// Where it is.
    pub stage: Stage,
    /// When it is to be made, as soon as it is absent; none if it is not to be made.
    pub due: Option<Duration>,
    /// While it is being made: whether it is then started without another word.
    pub at_once: bool,
    /// When it was started last.
    pub last_start: Option<Duration>,
    /// So many attempts in a row failed with `last_failure`.
    failures: u32,
    last_failure: String,
}

impl Container {
    /// One at that stage.
    pub fn new(stage: Stage) -> Self {
        Self { stage, due: None, at_once: false, last_start: None, failures: 0, last_failure: String::new() }
    }

    /// Counts a failed attempt, and says how long to wait with the next. Another failure than the last begins anew.
    fn failed(&mut self, failure: &str) -> Duration {
        if self.last_failure != failure {
            self.failures = 0;
            failure.clone_into(&mut self.last_failure);
        }
        self.failures = self.failures.saturating_add(1);
        restart::retry_delay(self.failures)
    }
}

/// A waiting state.
pub fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState::Waiting { reason: reason.to_owned(), message }
}

/// Leaves the present state for another one; how it ended is kept.
fn change(status: &mut ContainerStatus, state: ContainerState) {
    let running = state.is_running();
    let before = std::mem::replace(&mut status.state, state);
    if let ContainerState::Terminated(end) = before {
        status.last_state = Some(end);
    }
    (status.ready, status.started) = (running, running);
}

impl Machine {
    fn edit(&mut self, index: usize) -> &mut ContainerStatus {
        self.changed = true;
        &mut self.status.containers[index]
    }

    /// The number of the container that is made next.
    pub(super) fn next_restart(&self, index: usize) -> u32 {
        let status = &self.status.containers[index];
        if status.container_id.is_some() { status.restart_count.saturating_add(1) } else { 0 }
    }

    pub(super) fn made(
        &mut self,
        index: usize,
        id: String,
        image_id: String,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if self.containers[index].stage != Stage::Making {
            return;
        }
        let restart_count = self.next_restart(index);
        let status = self.edit(index);
        status.restart_count = restart_count;
        status.container_id = Some(id);
        status.image_id = Some(image_id);
        if matches!(status.state, ContainerState::Waiting { .. }) {
            status.state = waiting("ContainerCreating", None);
        }
        let pulled = format!("Container image {:?} already present on machine", status.image);
        let created = format!("Created container: {}", status.name);
        self.note(EventKind::Normal, "Pulled", Some(index), pulled, now);
        self.note(EventKind::Normal, "Created", Some(index), created, now);
        if self.containers[index].at_once {
            self.containers[index].stage = Stage::Starting;
        } else {
            self.wait(index, out);
        }
    }

    /// Its init waits: for the pod's start, or in vain.
    fn wait(&mut self, index: usize, out: &mut Vec<Action>) {
        self.containers[index].stage = Stage::Made;
        if self.stopping.is_some() {
            self.remove(index, out);
        } else if self.status.started_at.is_some() {
            self.go_on(index, out);
        }
    }

    /// Lets a waiting init go on.
    pub(super) fn go_on(&mut self, index: usize, out: &mut Vec<Action>) {
        self.containers[index].stage = Stage::Starting;
        out.push(Action::Start { index });
    }

    pub(super) fn not_made(&mut self, index: usize, reason: &str, message: String, now: Now) {
        if self.containers[index].stage != Stage::Making {
            return;
        }
        self.containers[index].stage = Stage::Absent;
        self.try_again(index, reason, message, now);
    }

    /// It waits for the next attempt, the policy notwithstanding: it has never run.
    fn try_again(&mut self, index: usize, reason: &str, message: String, now: Now) {
        self.note(EventKind::Warning, "Failed", Some(index), format!("Error: {message}"), now);
        let delay = self.containers[index].failed(&message);
        change(self.edit(index), waiting(reason, Some(message)));
        self.schedule(index, now.monotonic + delay);
    }

    fn schedule(&mut self, index: usize, due: Duration) {
        self.containers[index].due = self.stopping.is_none().then_some(due);
    }

    pub(super) fn started(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        if self.containers[index].stage != Stage::Starting {
            return;
        }
        self.containers[index].failures = 0;
        let status = self.edit(index);
        let message = format!("Started container {}", status.name);
        self.note(EventKind::Normal, "Started", Some(index), message, now);
        self.run(index, now, out);
    }

    /// Its program runs.
    fn run(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        let container = &mut self.containers[index];
        (container.stage, container.last_start) = (Stage::Running, Some(now.monotonic));
        let status = self.edit(index);
        if !status.state.is_running() {
            change(status, ContainerState::Running { started_at: now.wall });
        }
        if self.stopping.is_some() {
            self.end(index, now, out);
        }
    }

    /// Tells a running container that the pod stops.
    pub(super) fn end(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        let Some(stopping) = &self.stopping else { return };
        let signal = stopping.signal(now);
        let message = format!("Stopping container {}", self.status.containers[index].name);
        self.note(EventKind::Normal, "Killing", Some(index), message, now);
        out.push(Action::Signal { index, signal });
    }

    pub(super) fn not_started(&mut self, index: usize, message: String, now: Now, out: &mut Vec<Action>) {
        match self.containers[index].stage {
            Stage::Starting => {}
            // Its init was lost between the making and the start.
            Stage::Made => {
                self.remove(index, out);
                return self.try_again(index, "CreateContainerError", message, now);
            }
            _ => return,
        }
        self.remove(index, out);
        self.note(EventKind::Warning, "Failed", Some(index), format!("Error: {message}"), now);
        let delay = self.containers[index].failed(&message);
        let end = phase::not_started(message.clone(), now.wall);
        let again = self.stopping.is_none() && restart::wanted(self.policy, end.exit_code);
        let status = self.edit(index);
        change(status, ContainerState::Terminated(end));
        if again {
            change(status, waiting("RunContainerError", Some(message)));
            self.schedule(index, now.monotonic + delay);
        }
    }

    pub(super) fn exited(
        &mut self,
        index: usize,
        outcome: Outcome,
        oom: bool,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        match self.containers[index].stage {
            Stage::Unknown | Stage::Absent | Stage::Removing => return,
            Stage::Made => {
                let how = phase::ended(outcome, oom, None, now.wall);
                let message = format!("it ended with exit code {} before it was started", how.exit_code);
                self.try_again(index, "CreateContainerError", message, now);
            }
            Stage::Making | Stage::Starting | Stage::Running => self.ended(index, outcome, oom, now),
        }
        self.remove(index, out);
    }

    /// It has ended: back it comes, if the policy wants it.
    fn ended(&mut self, index: usize, outcome: Outcome, oom: bool, now: Now) {
        let status = self.edit(index);
        let began = match status.state {
            ContainerState::Running { started_at } => Some(started_at),
            _ => None,
        };
        let end = phase::ended(outcome, oom, began, now.wall);
        let exit_code = end.exit_code;
        change(status, ContainerState::Terminated(end));
        self.by_policy(index, exit_code, now);
    }

    fn by_policy(&mut self, index: usize, exit_code: i32, now: Now) {
        if self.stopping.is_some() || !restart::wanted(self.policy, exit_code) {
            return;
        }
        let since_start = self.containers[index].last_start.map(|at| now.monotonic.saturating_sub(at));
        let delay = restart::delay(since_start);
        self.schedule(index, now.monotonic + delay);
        if delay.is_zero() {
            return;
        }
        let name = &self.status.containers[index].name;
        let message = format!("Back-off restarting failed container {name} in pod {}", self.title);
        let seconds = delay.as_millis().div_ceil(1000);
        let state = format!("back-off {seconds}s restarting failed container={name} pod={}", self.title);
        self.note(EventKind::Warning, "BackOff", Some(index), message, now);
        change(self.edit(index), waiting("CrashLoopBackOff", Some(state)));
    }

    pub(super) fn remove(&mut self, index: usize, out: &mut Vec<Action>) {
        self.containers[index].stage = Stage::Removing;
        out.push(Action::Remove { index });
    }

    pub(super) fn removed(&mut self, index: usize, now: Now) {
        let stage = self.containers[index].stage;
        if stage == Stage::Making {
            return; // its answer is yet to come
        }
        self.containers[index].stage = Stage::Absent;
        match stage {
            Stage::Absent | Stage::Removing | Stage::Making => {}
            Stage::Unknown => self.nothing_found(index, now),
            Stage::Made => {
                self.try_again(
                    index,
                    "CreateContainerError",
                    "it was removed before it was started".into(),
                    now,
                );
            }
            Stage::Starting | Stage::Running => self.ended(index, Outcome::Unknown, false, now),
        }
    }

    /// A resumed machine's container is not on record: it had ended and was removed, or had not been made yet.
    fn nothing_found(&mut self, index: usize, now: Now) {
        match &self.status.containers[index].state {
            ContainerState::Running { .. } => self.ended(index, Outcome::Unknown, false, now),
            ContainerState::Terminated(Terminated { exit_code, .. }) => {
                self.by_policy(index, *exit_code, now)
            }
            ContainerState::Waiting { .. } => self.schedule(index, now.monotonic),
        }
    }

    /// What a resumed machine's supervisor found on record.
    pub(super) fn adopted(
        &mut self,
        index: usize,
        (id, restart): (String, u32),
        started: bool,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if self.containers[index].stage != Stage::Unknown {
            return;
        }
        let status = self.edit(index);
        if status.container_id.as_ref() != Some(&id) {
            // It was made, and the supervisor died before it could write that down.
            (status.container_id, status.restart_count) = (Some(id), restart);
            change(status, waiting("ContainerCreating", None));
        }
        match &status.state {
            ContainerState::Terminated(Terminated { exit_code, .. }) => {
                let exit_code = *exit_code;
                self.by_policy(index, exit_code, now);
                self.remove(index, out);
            }
            _ if started => self.run(index, now, out),
            _ => self.wait(index, out),
        }
    }
}
