//! Going on after a supervisor that was killed: what is written down for the next one, and what it makes of it.
//!
//! Waits, grace periods and deadlines are written as wall times and so go on by themselves. A hook that worked is begun
//! again (hooks are delivered at least once), a stop signal is sent again; what probes had found stays until they find
//! otherwise.

use super::backoff::Backoff;
use super::containers::{Container, Exit, Run, Stage};
use super::hooks::Hook;
use super::machine::Machine;
use super::stop::{Kill, Step};
use super::time::Moment;
use super::{Action, Now, Signal};
use crate::model::probe::HookKind;
use crate::model::status::{ContainerMemory, ContainerState, KillMemory};
use std::time::Duration;

impl Container {
    fn memory(&self) -> ContainerMemory {
        let wall = |moment: Option<Moment>| moment.map(|moment| moment.wall);
        let run = self.run.as_ref();
        ContainerMemory {
            backoff_millis: u64::try_from(self.backoff.delay.as_millis()).unwrap_or(u64::MAX),
            restarted_at: wall(self.backoff.restarted),
            finished_at: wall(self.backoff.finished),
            due_at: wall(self.due),
            started_at: wall(run.map(|run| run.began)),
            post_start: run.is_some_and(|run| run.post_start.is_some()),
            kill: run.and_then(|run| run.kill.as_ref()).map(Kill::memory),
        }
    }

    /// Takes up what was remembered of one that nothing is known of yet.
    pub(super) fn remember(&mut self, memory: &ContainerMemory, now: Now) {
        let moment = |wall: Option<u64>| wall.map(|wall| Moment::of_wall(wall, now));
        self.backoff = Backoff {
            delay: Duration::from_millis(memory.backoff_millis),
            restarted: moment(memory.restarted_at),
            finished: moment(memory.finished_at),
        };
        self.due = moment(memory.due_at);
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
        if (memory.passed, memory.finishing) != (self.passed, self.finishing) {
            (memory.passed, memory.finishing) = (self.passed, self.finishing);
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
                let due = self.containers[index].due.unwrap_or(Moment::now(now));
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
        let began = seen.map_or(Moment::now(now), |wall| Moment::of_wall(wall, now));
        let container = &mut self.containers[index];
        (container.stage, container.run) = (Stage::Running, Some(Run::new(began)));
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
        let end = Moment::of_wall(memory.until, now);
        let end = self
            .stopping
            .map_or(end, |stopping| if stopping.end.clock < end.clock { stopping.end } else { end });
        let Container { plan, run: Some(run), .. } = &mut self.containers[index] else { return };
        run.forget_probes_but(crate::model::probe::ProbeKind::Readiness);
        let hook = plan.pre_stop.filter(|_| !memory.hook_done).map(|work| Hook::begin(work, now));
        let acts = hook.as_ref().is_some_and(Hook::acts);
        let signaled = memory.signaled_at.map(|wall| Moment::of_wall(wall, now));
        let step = match (hook, signaled) {
            (Some(hook), _) => Step::Hook(hook),
            (None, Some(at)) => Step::Signaled(at),
            (None, None) => Step::Turn,
        };
        run.kill = Some(Kill { cause: memory.cause, end, step });
        if acts {
            out.push(self.hook_action(index, HookKind::PreStop));
        } else if signaled.is_some() {
            let over = end.clock <= now.monotonic;
            out.extend((!over).then_some(Action::Signal { index, signal: Signal::Stop }));
        }
        self.go_on_killing(index, now, out);
    }
}
