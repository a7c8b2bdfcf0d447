//! Whose turn it is.
//!
//! Init containers run one after another, each to its good end; a sidecar among them only until it has started, and it
//! goes on beside what follows. Then come the containers, all at once, but that one with a postStart hook holds back
//! those behind it until the hook is done. When all containers have ended for good, or an init container has failed for
//! good, the pod is finished: the sidecars are stopped.

use super::containers::{Container, Stage};
use super::machine::Machine;
use super::{Action, Now};
use crate::model::podspec::Role;
use crate::model::status::ContainerState;

impl Machine {
    pub(super) fn init_count(&self) -> usize {
        self.status.init_containers.len()
    }

    /// Whether the containers may run, or have run: all before them is done.
    pub(super) fn is_initialized(&self) -> bool {
        self.passed >= self.init_count()
    }

    /// Goes past the init containers that hold back nothing any more.
    pub(super) fn pass(&mut self) {
        while let Some(status) = self.status.init_containers.get(self.passed) {
            let done = match (&status.state, self.containers[self.passed].plan.role) {
                (ContainerState::Running { .. }, Role::Sidecar) => status.started,
                (ContainerState::Terminated(end), Role::Init) => end.exit_code == 0,
                _ => false,
            };
            if !done || self.is_ending() || self.is_restarting_all() {
                break;
            }
            self.passed += 1;
            self.changed = true;
        }
    }

    /// Whether a container that is absent and wanted may be made now.
    pub(super) fn may_make(&self, index: usize) -> bool {
        if self.is_restarting_all() {
            return false;
        }
        let started = self.status.started_at.is_some();
        let role = self.containers[index].plan.role;
        if role == Role::App {
            return self.is_initialized()
                && if started { !self.is_held_back(index) } else { self.init_count() == 0 };
        }
        // Whatever is left of containers from before a change of sandbox goes first.
        let apps_gone = || !self.containers.iter().skip(self.init_count()).any(Container::is_alive);
        let turn = if role == Role::Init { index == self.passed } else { index <= self.passed };
        started && turn && (self.is_initialized() || apps_gone())
    }

    /// Whether a container before this one has a postStart hook to come.
    fn is_held_back(&self, index: usize) -> bool {
        let now = self.now;
        self.containers[self.init_count()..index].iter().any(|before| {
            before.plan.post_start.is_some()
                && match before.stage {
                    Stage::Making | Stage::Made | Stage::Starting | Stage::Unknown => true,
                    Stage::Running => before.run.as_ref().is_some_and(|run| run.post_start.is_some()),
                    Stage::Absent => before.due.is_some_and(|due| due <= now),
                    Stage::Removing => false,
                }
        })
    }

    /// Makes and starts all whose turn it is.
    pub(super) fn move_on(&mut self, now: Now, out: &mut Vec<Action>) {
        // First what makes room for others.
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            if container.stage == Stage::Made
                && (self.stopping.is_some() || self.finishing || container.stale)
            {
                container.stale = false;
                self.schedule(index, now.monotonic);
                self.remove(index, out);
            }
        }
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            match container.stage {
                Stage::Made if self.status.started_at.is_some() && self.may_make(index) => {
                    self.containers[index].stage = Stage::Starting;
                    out.push(Action::Start { index });
                }
                Stage::Absent
                    if container.due.is_some_and(|due| due <= now.monotonic) && self.may_make(index) =>
                {
                    self.make(index, out);
                }
                _ => {}
            }
        }
    }

    fn make(&mut self, index: usize, out: &mut Vec<Action>) {
        let at_once = self.status.started_at.is_some();
        let container = &mut self.containers[index];
        (container.stage, container.due, container.at_once) = (Stage::Making, None, at_once);
        out.push(Action::Make { index, restart: self.next_restart(index), at_once });
    }

    /// Whether nothing but sidecars can run any more.
    fn is_over(&self) -> bool {
        let ended = |index: usize| {
            let container = &self.containers[index];
            self.end_of(index).filter(|_| !container.is_alive() && container.due.is_none())
        };
        if !self.is_initialized() {
            return self.containers[self.passed].plan.role == Role::Init && ended(self.passed).is_some();
        }
        (self.init_count()..self.containers.len()).all(|index| ended(index).is_some())
    }

    /// Stops what is left once the pod is over.
    pub(super) fn finish(&mut self, now: Now, out: &mut Vec<Action>) {
        if !self.is_ending() && !self.is_restarting_all() && self.is_over() {
            self.finishing = true;
            let end = self.grace_end(None, now);
            self.end_all(end, now, out);
        }
    }
}
