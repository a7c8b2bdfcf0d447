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

use super::backoff::{self, Backoff};
use super::hooks::Hook;
use super::machine::Machine;
use super::plan::Plan;
use super::probes::Asking;
use super::stop::Kill;
use super::{Action, Now, Outcome, phase};
use crate::model::status::{ContainerState, ContainerStatus, EventKind, KillCause, Terminated};
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
    /// What its manifest says.
    pub plan: Plan,
    /// Where it is.
    pub stage: Stage,
    /// When it is to be made, as soon as it is absent and its turn; none if it is not to be made.
    pub due: Option<Duration>,
    /// While it is being made: whether it is then started without another word.
    pub at_once: bool,
    /// What is being made or started is not what the manifest wants any more.
    pub stale: bool,
    /// Its crashes.
    pub backoff: Backoff,
    /// Its program; while it is `Running`.
    pub run: Option<Run>,
    /// So many attempts to make it failed in a row with `last_failure`.
    failures: u32,
    last_failure: String,
}

/// A program that runs.
#[derive(Debug)]
pub struct Run {
    /// When it was started.
    pub began: Duration,
    /// The same as the status says it: seconds since 1970 by what the wall clock showed then.
    pub started_at: u64,
    /// Its postStart hook, while that works: until then it does not count as running.
    pub post_start: Option<Hook>,
    /// It is being stopped.
    pub kill: Option<Kill>,
    /// By [`crate::model::probe::ProbeKind`].
    pub probes: [Asking; 3],
}

impl Run {
    /// One that was started then.
    pub fn new(began: Duration, started_at: u64) -> Self {
        Self { began, started_at, post_start: None, kill: None, probes: [Asking::default(); 3] }
    }
}

impl Container {
    /// One at that stage.
    pub fn new(plan: Plan, stage: Stage) -> Self {
        Self {
            plan,
            stage,
            due: None,
            at_once: false,
            stale: false,
            backoff: Backoff::default(),
            run: None,
            failures: 0,
            last_failure: String::new(),
        }
    }

    /// Whether it has, or may have, a process that has not ended.
    pub fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Absent | Stage::Removing)
    }

    /// Whether its init waits.
    pub fn is_waiting_for_start(&self) -> bool {
        self.stage == Stage::Made
    }

    /// Counts a failed attempt, and says which in a row it is. Another failure than the last begins anew.
    fn failed(&mut self, failure: &str) -> u32 {
        if self.last_failure != failure {
            self.failures = 0;
            failure.clone_into(&mut self.last_failure);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }
}

/// Leaves the present state for another one; how it ended is kept.
fn change(status: &mut ContainerStatus, state: ContainerState) {
    let before = std::mem::replace(&mut status.state, state);
    if let ContainerState::Terminated(end) = before {
        status.last_state = Some(end);
    }
    (status.ready, status.started) = (false, false);
}

impl Machine {
    /// The number of the present run, or of the last.
    pub(super) fn run_number(&self, index: usize) -> u32 {
        self.status.container_at(index).map_or(0, |status| status.restart_count)
    }

    /// The number of the container that is made next.
    pub(super) fn next_restart(&self, index: usize) -> u32 {
        let made = self.status.container_at(index).filter(|status| status.container_id.is_some());
        made.map_or(0, |status| status.restart_count.saturating_add(1))
    }

    pub(super) fn wait_for(&mut self, index: usize, reason: &str, message: Option<String>) {
        change(self.edit(index), ContainerState::Waiting { reason: reason.to_owned(), message });
    }

    pub(super) fn made(&mut self, index: usize, id: String, image_id: String, now: Now) {
        if self.containers[index].stage != Stage::Making {
            return;
        }
        let (restart_count, reason) = (self.next_restart(index), self.first_reason());
        let status = self.edit(index);
        status.restart_count = restart_count;
        status.container_id = Some(id);
        status.image_id = Some(image_id);
        let pulled = format!("Container image {:?} already present on machine", status.image);
        let created = format!("Created container: {}", status.name);
        // Not the end of the run before: whoever resumes must not take it for the end of this one.
        self.wait_for(index, reason, None);
        self.note(EventKind::Normal, "Pulled", Some(index), pulled, now);
        self.note(EventKind::Normal, "Created", Some(index), created, now);
        let container = &mut self.containers[index];
        container.failures = 0;
        container.stage = if container.at_once { Stage::Starting } else { Stage::Made };
    }

    pub(super) fn not_made(&mut self, index: usize, reason: &str, message: String, now: Now) {
        if self.containers[index].stage != Stage::Making {
            return;
        }
        self.containers[index].stage = Stage::Absent;
        self.containers[index].stale = false;
        self.try_again(index, reason, message, now);
    }

    /// It waits for the next attempt, the policy notwithstanding: it has never run.
    pub(super) fn try_again(&mut self, index: usize, reason: &str, message: String, now: Now) {
        self.note(EventKind::Warning, "Failed", Some(index), format!("Error: {message}"), now);
        let failures = self.containers[index].failed(&message);
        let (delay, reason, message) = if reason != "ErrImagePull" {
            (backoff::retry_delay(failures), reason, message)
        } else if failures == 1 {
            (backoff::pull_delay(failures, &self.times), reason, message)
        } else {
            let image = self.status.container_at(index).map(|status| status.image.as_str());
            let words = format!("Back-off pulling image {:?}", image.unwrap_or_default());
            self.note(EventKind::Normal, "BackOff", Some(index), words.clone(), now);
            let delay = backoff::pull_delay(failures, &self.times);
            (delay, "ImagePullBackOff", format!("{words}: ErrImagePull: {message}"))
        };
        self.wait_for(index, reason, Some(message));
        self.schedule(index, now.after(delay));
    }

    pub(super) fn schedule(&mut self, index: usize, due: Duration) {
        self.containers[index].due = (!self.is_ending()).then_some(due);
    }

    pub(super) fn started(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        if self.containers[index].stage != Stage::Starting {
            return;
        }
        let name = self.name(index);
        self.note(EventKind::Normal, "Started", Some(index), format!("Started container {name}"), now);
        let container = &mut self.containers[index];
        container.stage = Stage::Running;
        container.run = Some(Run::new(now.monotonic, now.wall));
        if self.is_ending() || self.is_restarting_all() || self.containers[index].stale {
            self.runs(index, now);
            self.kill_unwanted(index, now, out);
        } else {
            self.post_start(index, now, out);
        }
    }

    /// It was started while the pod ends, or is not what the manifest wants any more.
    pub(super) fn kill_unwanted(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        let stale = std::mem::take(&mut self.containers[index].stale);
        let cause = if self.is_ending() { KillCause::Stop } else { KillCause::Changed };
        if stale || self.is_ending() {
            let end = self.grace_end(None, now);
            self.kill(index, cause, end, now, out);
        }
    }

    /// Its program runs, and what follows the start is done.
    pub(super) fn runs(&mut self, index: usize, now: Now) {
        let Some(run) = &mut self.containers[index].run else { return };
        run.post_start = None;
        let started_at = run.started_at;
        if !self.edit(index).state.is_running() {
            change(self.edit(index), ContainerState::Running { started_at });
        }
        self.begin_probes(index, now);
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
        let end = phase::not_started(message.clone(), now.wall);
        let exit_code = end.exit_code;
        change(self.edit(index), ContainerState::Terminated(end));
        if self.by_policy(index, exit_code, None, now) {
            self.wait_for(index, "RunContainerError", Some(message));
        }
    }

    pub(super) fn exited(&mut self, index: usize, end: Exit, now: Now, out: &mut Vec<Action>) {
        match self.containers[index].stage {
            Stage::Unknown | Stage::Absent | Stage::Removing => return,
            Stage::Made => {
                let how = phase::ended(end.outcome, end.oom_killed, None, now.wall);
                let message = format!("it ended with exit code {} before it was started", how.exit_code);
                self.try_again(index, "CreateContainerError", message, now);
            }
            Stage::Making | Stage::Starting | Stage::Running => self.ended(index, end, now),
        }
        self.remove(index, out);
    }

    /// It has ended: back it comes, if the policy wants it.
    pub(super) fn ended(&mut self, index: usize, exit: Exit, now: Now) {
        let run = self.containers[index].run.take();
        let killed = run.as_ref().and_then(|run| run.kill.as_ref()).map(|kill| kill.cause);
        let count = self.containers.len();
        let status = self.edit(index);
        let began = match (&run, &status.state) {
            (Some(run), _) => Some(run.started_at),
            (None, ContainerState::Running { started_at }) => Some(*started_at),
            _ => None,
        };
        let mut end = phase::ended(exit.outcome, exit.oom_killed, began, now.wall);
        end.message = exit.message.map(|message| share(message, count)).or(end.message);
        let exit_code = end.exit_code;
        let before = std::mem::replace(&mut status.state, ContainerState::Terminated(end));
        if let ContainerState::Terminated(end) = before.clone() {
            status.last_state = Some(end);
        }
        (status.ready, status.started) = (false, false);
        // What kept it from running is told until it is made again.
        let told = match before {
            ContainerState::Waiting { reason, message } if killed == Some(KillCause::PostStart) => {
                Some((reason, message))
            }
            _ => None,
        };
        if self.by_policy(index, exit_code, killed, now)
            && let Some((reason, message)) = told
        {
            self.wait_for(index, &reason, message);
        }
    }

    pub(super) fn remove(&mut self, index: usize, out: &mut Vec<Action>) {
        let container = &mut self.containers[index];
        (container.stage, container.run) = (Stage::Removing, None);
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
                let message = "it was removed before it was started".to_owned();
                self.try_again(index, "CreateContainerError", message, now);
            }
            Stage::Starting | Stage::Running => self.ended(index, Exit::UNSEEN, now),
        }
    }
}

/// A pod's termination messages together have 12 KiB at most, an equal share for each container, as the kubelet has it.
fn share(mut message: String, containers: usize) -> String {
    const MOST: usize = 12 * 1024;
    let mut end = (MOST / containers.max(1)).min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

/// How an init ended.
#[derive(Debug)]
pub struct Exit {
    /// How.
    pub outcome: Outcome,
    /// The kernel killed in its cgroup for want of memory.
    pub oom_killed: bool,
    /// Its termination message.
    pub message: Option<String>,
}

impl Exit {
    /// Nobody saw it.
    pub const UNSEEN: Self = Self { outcome: Outcome::Unknown, oom_killed: false, message: None };
}

/// What comes after an end.
impl Machine {
    /// Has it made again if that is wanted; true if that is to be at once.
    pub(super) fn by_policy(
        &mut self,
        index: usize,
        exit_code: i32,
        killed: Option<KillCause>,
        now: Now,
    ) -> bool {
        if self.is_ending() || self.is_restarting_all() {
            return false;
        }
        let container = &mut self.containers[index];
        let wanted = match killed {
            Some(cause) if cause.renews() => true,
            Some(KillCause::Liveness | KillCause::Startup) => {
                super::restart::wanted_after_probe(&container.plan, exit_code)
            }
            _ => super::restart::wanted(&container.plan, exit_code),
        };
        if !wanted {
            return false;
        }
        let wait = match killed {
            Some(cause) if cause.renews() => {
                container.backoff = Backoff::default();
                container.due = Some(now.monotonic);
                return true;
            }
            Some(KillCause::Liveness | KillCause::Startup) => {
                container.backoff.ended(backoff::End::Stopped, &self.times, now)
            }
            _ => container.backoff.ended(backoff::End::Crash, &self.times, now),
        };
        container.due = Some(wait.due);
        if super::restart::wants_all(&container.plan, exit_code) {
            self.restart_all(index, exit_code, now);
        }
        if wait.delay.is_zero() {
            return true;
        }
        let (name, title) = (self.name(index), &self.title);
        let message = format!("Back-off restarting failed container {name} in pod {title}");
        let delay = backoff::in_words(wait.delay);
        let state = format!("back-off {delay} restarting failed container={name} pod={title}");
        self.note(EventKind::Warning, "BackOff", Some(index), message, now);
        self.wait_for(index, "CrashLoopBackOff", Some(state));
        false
    }

    /// How it ended, as the status tells it.
    pub(super) fn end_of(&self, index: usize) -> Option<&Terminated> {
        match &self.status.container_at(index)?.state {
            ContainerState::Terminated(end) => Some(end),
            _ => None,
        }
    }
}
