//! Beginning again with the first init container: in another sandbox, or because a container's restart rule says so.
//!
//! `RestartAllContainers` (KEP-5532) has two phases. In the first, while the pod's condition `AllContainersRestarting`
//! is true, all containers are killed, in no order, without hooks and without grace, and removed; sandbox and volumes
//! stay. The second is the pod's start. Between them lies the back-off of the container whose end it was.

use super::Action;
use super::Now;
use super::conditions::{self, Finding};
use super::containers::Stage;
use super::machine::Machine;
use crate::model::podspec::Role;
use crate::model::status::{ConditionKind, KillCause};

impl Machine {
    /// Begins with the first init container again: the sandbox is another one.
    pub(super) fn begin_anew(&mut self, now: Now) {
        if self.is_ending() || self.status.started_at.is_none() {
            return;
        }
        self.passed = 0;
        for index in 0..self.init_count() {
            if self.containers[index].plan.role == Role::Sidecar {
                let status = self.edit(index);
                (status.started, status.ready) = (false, false); // it is gone, and we have not been told yet
                self.forget_probes(index);
            } else if self.end_of(index).is_some() {
                let reason = self.first_reason();
                self.wait_for(index, reason, None);
                self.containers[index].due = Some(now.monotonic);
            }
        }
    }

    /// Whether containers go so that all can begin again.
    pub(super) fn is_restarting_all(&self) -> bool {
        let condition = self.status.condition(ConditionKind::AllContainersRestarting);
        !self.is_ending() && condition.is_some_and(|condition| condition.met)
    }

    /// Begins with the first phase: this container has ended with that code.
    pub(super) fn restart_all(&mut self, index: usize, exit_code: i32, now: Now) {
        let name = self.name(index);
        let message = format!("Container {name} exited with code {exit_code}, triggering pod restart");
        self.set_restarting_all(true, message, now);
        for (other, container) in self.containers.iter_mut().enumerate() {
            // When the second begins is for the one that ended to say.
            if other != index {
                container.due = None;
            }
        }
    }

    fn set_restarting_all(&mut self, met: bool, message: String, now: Now) {
        let finding = Finding { met, reason: Some("ContainerExited"), message: Some(message) };
        let kind = ConditionKind::AllContainersRestarting;
        self.changed |= conditions::set(&mut self.status.conditions, kind, finding, now.wall);
    }

    /// Removes what is there of the containers; begins with the second phase when nothing is.
    pub(super) fn go_on_restarting_all(&mut self, now: Now, out: &mut Vec<Action>) {
        if !self.is_restarting_all() {
            return;
        }
        for index in 0..self.containers.len() {
            match self.containers[index].stage {
                Stage::Made => self.remove(index, out),
                Stage::Running => self.kill(index, KillCause::RestartAll, now.monotonic, now, out),
                _ => {}
            }
        }
        if self.containers.iter().all(|container| container.stage == Stage::Absent) {
            self.start_all_again(now);
        }
    }

    fn start_all_again(&mut self, now: Now) {
        let due = self.containers.iter().filter_map(|container| container.due).max();
        let known = self.status.condition(ConditionKind::AllContainersRestarting);
        let message = known.and_then(|condition| condition.message.clone()).unwrap_or_default();
        self.set_restarting_all(false, message, now);
        self.passed = 0;
        for index in 0..self.containers.len() {
            if self.end_of(index).is_some() {
                let reason = self.first_reason();
                self.wait_for(index, reason, None);
            }
            if index < self.init_count() {
                self.edit(index).ready = false;
            }
            self.schedule(index, due.unwrap_or(now.monotonic));
        }
    }
}
