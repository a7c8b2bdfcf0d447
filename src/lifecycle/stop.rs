//! Stopping a container, be it alone or with its pod.
//!
//! ```text
//! preStop ──> its turn ──> stop signal ──> SIGKILL
//! ```
//! All of it happens within the grace period, which runs from the beginning; what still runs when it ends gets its stop
//! signal then, if it has not had it, and in any case [`MINIMUM`] to heed it. With no grace period at all everything is
//! killed at once. It is the turn of a sidecar when all containers, and the sidecars behind it, have ended; of everything
//! else at once. preStop hooks do not wait for their turn.

use super::containers::Container;
use super::hooks::Hook;
use super::machine::Machine;
use super::resume::written;
use super::{Action, Now, Signal};
use crate::model::podspec::{RestartPolicy, Role};
use crate::model::probe::{HookKind, ProbeKind};
use crate::model::status::{EventKind, KillCause, KillMemory};
use std::time::Duration;

/// Between stop signal and SIGKILL at least, as with the kubelet.
pub const MINIMUM: Duration = Duration::from_secs(2);

/// A pod that stops.
#[derive(Debug, Clone, Copy)]
pub struct Stopping {
    /// The end of its grace period.
    pub end: Duration,
}

/// A container that is being stopped.
#[derive(Debug)]
pub struct Kill {
    /// Why.
    pub cause: KillCause,
    /// The end of its grace period.
    pub end: Duration,
    /// How far it is.
    pub step: Step,
}

/// How far.
#[derive(Debug)]
pub enum Step {
    /// Its preStop hook works.
    Hook(Hook),
    /// Others have to end first.
    Turn,
    /// It has its stop signal since then.
    Signaled(Duration),
    /// It has had SIGKILL.
    Killed,
}

impl Kill {
    /// When something has to be done about it.
    pub fn deadline(&self) -> Option<Duration> {
        let end = self.end;
        match &self.step {
            Step::Hook(hook) => Some(hook.wake.map_or(end, |wake| wake.min(end))),
            Step::Turn => Some(end),
            Step::Signaled(at) => Some(end.max(at.saturating_add(MINIMUM))),
            Step::Killed => None,
        }
    }

    /// For another supervisor.
    pub fn memory(&self) -> KillMemory {
        KillMemory {
            cause: self.cause,
            until: written(self.end),
            hook_done: !matches!(self.step, Step::Hook(_)),
            signaled: match self.step {
                Step::Signaled(at) => Some(written(at)),
                _ => None,
            },
        }
    }
}

/// The pod.
impl Machine {
    /// Whether nothing is made any more.
    pub(super) fn is_ending(&self) -> bool {
        self.stopping.is_some() || self.finishing
    }

    pub(super) fn stop(&mut self, grace_seconds: u64, now: Now, out: &mut Vec<Action>) {
        self.changed = true;
        let end = now.after(Duration::from_secs(grace_seconds));
        if let Some(stopping) = &mut self.stopping {
            let known = self.status.stop_grace_seconds.unwrap_or(grace_seconds);
            let since = stopping.end.saturating_sub(Duration::from_secs(known));
            let whole = now.monotonic.saturating_sub(since).as_secs().saturating_add(grace_seconds);
            self.status.stop_grace_seconds = Some(whole.min(known));
            stopping.end = stopping.end.min(end);
        } else {
            self.stopping = Some(Stopping { end });
            self.status.stopping_since = Some(now.wall);
            self.status.stop_grace_seconds = Some(grace_seconds);
        }
        self.end_all(end, now, out);
    }

    /// Stops all that is there, or shortens the stop that is under way; what is being made follows when it is made.
    pub(super) fn end_all(&mut self, end: Duration, now: Now, out: &mut Vec<Action>) {
        for index in 0..self.containers.len() {
            self.containers[index].due = None;
            if self.containers[index].is_waiting_for_start() {
                self.remove(index, out);
            } else if self.containers[index].run.is_some() {
                self.kill(index, KillCause::Stop, end, now, out);
            }
        }
    }

    /// Begins to stop a running container, or shortens its stop; never prolongs it.
    pub(super) fn kill(
        &mut self,
        index: usize,
        cause: KillCause,
        end: Duration,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let words = self.kill_message(index, cause);
        let Container { plan, run: Some(run), .. } = &mut self.containers[index] else { return };
        match &mut run.kill {
            Some(kill) => {
                kill.end = kill.end.min(end);
                if !kill.cause.renews() {
                    kill.cause = cause;
                }
            }
            None => {
                run.post_start = None;
                run.forget_probes_but(ProbeKind::Readiness);
                let immediate = end <= now.monotonic;
                let hook = plan.pre_stop.filter(|_| !immediate).map(|work| Hook::begin(work, now));
                let acts = hook.as_ref().is_some_and(Hook::acts);
                let step = hook.map_or(Step::Turn, Step::Hook);
                run.kill = Some(Kill { cause, end, step });
                self.note(EventKind::Normal, "Killing", Some(index), words, now);
                if acts {
                    out.push(self.hook_action(index, HookKind::PreStop));
                }
            }
        }
        if end <= now.monotonic {
            self.kill_now(index, out);
        }
        self.go_on_killing(index, now, out);
    }

    fn kill_now(&mut self, index: usize, out: &mut Vec<Action>) {
        let kill = self.containers[index].run.as_mut().and_then(|run| run.kill.as_mut());
        let Some(kill) = kill.filter(|kill| !matches!(kill.step, Step::Killed)) else { return };
        kill.step = Step::Killed;
        out.push(Action::Signal { index, signal: Signal::Kill });
    }

    /// Takes a container's stop as far as it can go now.
    pub(super) fn go_on_killing(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        loop {
            let has_turn = self.has_turn(index);
            let kill = self.containers[index].run.as_mut().and_then(|run| run.kill.as_mut());
            let Some(kill) = kill else { return };
            let over = kill.deadline().is_some_and(|deadline| deadline <= now.monotonic);
            match &kill.step {
                Step::Hook(_) if over => kill.step = Step::Turn,
                Step::Turn if over || has_turn => {
                    kill.step = Step::Signaled(now.monotonic);
                    out.push(Action::Signal { index, signal: Signal::Stop });
                }
                Step::Signaled(_) if over => return self.kill_now(index, out),
                _ => return,
            }
        }
    }

    /// Its preStop hook is done, well or not.
    pub(super) fn pre_stopped(&mut self, index: usize, result: &Result<(), String>, now: Now) {
        let kill = self.containers[index].run.as_mut().and_then(|run| run.kill.as_mut());
        let Some(kill) = kill.filter(|kill| matches!(&kill.step, Step::Hook(hook) if hook.acts())) else {
            return;
        };
        kill.step = Step::Turn;
        if result.is_err() {
            // Not why: what a hook says may be secret, and events are for everybody.
            self.note(
                EventKind::Warning,
                "FailedPreStopHook",
                Some(index),
                "PreStopHook failed".to_owned(),
                now,
            );
        }
    }

    /// Whether nothing has to end before this container, or has.
    fn has_turn(&self, index: usize) -> bool {
        if self.containers[index].plan.role != Role::Sidecar || !self.is_ending() {
            return true;
        }
        let mut later = self.containers.iter().skip(index + 1);
        !later.any(|container| container.plan.role != Role::Init && container.is_alive())
    }

    fn kill_message(&self, index: usize, cause: KillCause) -> String {
        let Some(status) = self.status.container_at(index) else { return String::new() };
        let (name, plan) = (&status.name, &self.containers[index].plan);
        let why = match cause {
            KillCause::Stop | KillCause::RestartAll => return format!("Stopping container {name}"),
            KillCause::PostStart => return "FailedPostStartHook".to_owned(),
            KillCause::Liveness => "failed liveness probe",
            KillCause::Startup => "failed startup probe",
            KillCause::Changed => "definition changed",
            KillCause::Resized => return format!("Container {name} resize requires restart"),
        };
        if plan.role != Role::App {
            return format!("Init container {name} {why}");
        }
        let again = plan.policy != RestartPolicy::Never || cause.renews();
        format!("Container {name} {why}{}", if again { ", will be restarted" } else { "" })
    }
}
