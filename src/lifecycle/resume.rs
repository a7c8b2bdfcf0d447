//! Going on after a supervisor that was killed: what is written down for the next one, and what it makes of it.
//!
//! Waits, grace periods and deadlines are written as moments of the monotonic clock, which is one and the same for every
//! process until the next boot, and no pod outlives that: so they go on by themselves, whatever the wall clock does. A hook that worked is begun
//! again (hooks are delivered at least once), a stop signal is sent again; what probes had found stays until they find
//! otherwise.

use super::backoff::Backoff;
use super::containers::{Container, Exit, Run, Stage};
use super::hooks::Hook;
use super::machine::Machine;
use super::stop::{Kill, Step};
use super::{Action, Now, Signal};
use crate::model::probe::HookKind;
use crate::model::status::{ContainerMemory, ContainerState, KillMemory};
use std::time::Duration;

/// A moment as it is written down: in milliseconds, rounded up, lest a wait get shorter by being handed over.
pub(super) fn written(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What [`written`] wrote.
pub(super) fn read(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Container {
    fn memory(&self) -> ContainerMemory {
        let run = self.run.as_ref();
        ContainerMemory {
            backoff_millis: u64::try_from(self.backoff.delay.as_millis()).unwrap_or(u64::MAX),
            restarted: self.backoff.restarted.map(written),
            finished: self.backoff.finished.map(written),
            due: self.due.map(written),
            began: run.map(|run| written(run.began)),
            started_at: run.map(|run| run.started_at),
            post_start: run.is_some_and(|run| run.post_start.is_some()),
            kill: run.and_then(|run| run.kill.as_ref()).map(Kill::memory),
        }
    }

    /// Takes up what was remembered of one that nothing is known of yet.
    pub(super) fn remember(&mut self, memory: &ContainerMemory) {
        self.backoff = Backoff {
            delay: Duration::from_millis(memory.backoff_millis),
            restarted: memory.restarted.map(read),
            finished: memory.finished.map(read),
        };
        self.due = memory.due.map(read);
    }
}

impl Machine {
    /// Writes down what the next supervisor will have to know.
    pub(super) fn write_memory(&mut self) {
        let memory = &mut self.status.memory;
        memory.containers.resize_with(self.containers.len(), ContainerMemory::default);
        for (container, known) in self.containers.iter().zip(&mut memory.containers) {
            // Until it is found, what is written is all that is known.
            let new = container.memory();
            if container.stage != Stage::Unknown && *known != new {
                *known = new;
                self.changed = true;
            }
        }
        let (passed, finishing) = (self.passed, self.finishing);
        let (started, stop_end) =
            (self.started.map(written), self.stopping.map(|stopping| written(stopping.end)));
        let of_pod = (memory.passed, memory.finishing, memory.started, memory.stop_end);
        if of_pod != (passed, finishing, started, stop_end) {
            (memory.passed, memory.finishing, memory.started, memory.stop_end) =
                (passed, finishing, started, stop_end);
            self.changed = true;
        }
    }

    /// A resumed machine's container is not on record: it had ended and was removed, or had not been made yet.
    pub(super) fn nothing_found(&mut self, index: usize, now: Now) {
        let Some(status) = self.status.container_at(index) else { return };
        match &status.state {
            ContainerState::Running { .. } => self.ended(index, Exit::UNSEEN, now),
            ContainerState::Terminated(end) => self.wait_on(index, end.exit_code, now),
            ContainerState::Waiting { .. } => {
                let due = self.containers[index].due.unwrap_or(now.monotonic);
                self.schedule(index, due);
            }
        }
    }

    /// It had ended already: it is made again when that had been decided, or by policy.
    fn wait_on(&mut self, index: usize, exit_code: i32, now: Now) {
        match self.containers[index].due {
            Some(due) => self.schedule(index, due),
            None => {
                self.by_policy(index, exit_code, None, now);
            }
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
        let reason = self.first_reason();
        let status = self.edit(index);
        if status.container_id.as_ref() != Some(&id) {
            // It was made, and the supervisor died before it could write that down.
            (status.container_id, status.restart_count) = (Some(id), restart);
            self.wait_for(index, reason, None);
        }
        match self.end_of(index).map(|end| end.exit_code) {
            // Its end was written down; one that was made anew has another number.
            Some(exit_code) => {
                self.wait_on(index, exit_code, now);
                self.remove(index, out);
            }
            None => {
                self.containers[index].due = None;
                if started {
                    self.resume_run(index, now, out);
                } else {
                    self.containers[index].stage = Stage::Made;
                }
            }
        }
    }

    fn resume_run(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        let memory = self.status.memory.containers.get(index).cloned().unwrap_or_default();
        let seen = match self.status.container_at(index).map(|status| &status.state) {
            Some(ContainerState::Running { started_at }) => Some(*started_at),
            _ => memory.started_at,
        };
        let began = memory.began.map_or(now.monotonic, read);
        let container = &mut self.containers[index];
        (container.stage, container.run) = (Stage::Running, Some(Run::new(began, seen.unwrap_or(now.wall))));
        let hangs = memory.post_start || seen.is_none() && container.plan.post_start.is_some();
        if hangs && memory.kill.is_none() && !self.is_ending() {
            self.post_start(index, now, out);
        } else if !hangs {
            self.go_on_running(index, now);
        }
        match memory.kill {
            Some(kill) => self.resume_kill(index, &kill, now, out),
            None => self.kill_unwanted(index, now, out),
        }
    }

    /// Its probes go on; whether it has started and is ready stays as it was.
    fn go_on_running(&mut self, index: usize, now: Now) {
        match self.status.container_at(index) {
            Some(status) if status.state.is_running() && status.started => self.has_started(index, now),
            _ => self.runs(index, now),
        }
    }

    fn resume_kill(&mut self, index: usize, memory: &KillMemory, now: Now, out: &mut Vec<Action>) {
        let end = self.stopping.map_or(Duration::MAX, |stopping| stopping.end).min(read(memory.until));
        let Container { plan, run: Some(run), .. } = &mut self.containers[index] else { return };
        run.forget_probes_but(crate::model::probe::ProbeKind::Readiness);
        let hook = plan.pre_stop.filter(|_| !memory.hook_done).map(|work| Hook::begin(work, now));
        let acts = hook.as_ref().is_some_and(Hook::acts);
        let signaled = memory.signaled.map(read);
        let step = match (hook, signaled) {
            (Some(hook), _) => Step::Hook(hook),
            (None, Some(at)) => Step::Signaled(at),
            (None, None) => Step::Turn,
        };
        run.kill = Some(Kill { cause: memory.cause, end, step });
        if acts {
            out.push(self.hook_action(index, HookKind::PreStop));
        } else if signaled.is_some() {
            let over = end <= now.monotonic;
            out.extend((!over).then_some(Action::Signal { index, signal: Signal::Stop }));
        }
        self.go_on_killing(index, now, out);
    }
}
