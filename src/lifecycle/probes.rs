//! When probes are asked, and what follows from their answers.
//!
//! The first time is the container's start plus the initial delay, the next ones a period apart; a time that comes
//! while an answer is still awaited is made up for once. Until the startup probe has succeeded no other is asked. While
//! the container is being stopped only readiness is.

use super::containers::Run;
use super::machine::Machine;
use super::plan::Timing;
use super::{Action, Now, ProbeResult};
use crate::model::probe::ProbeKind;
use crate::model::status::{EventKind, KillCause};
use std::time::Duration;

const KINDS: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

/// One probe of a container that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking {
    /// When it is asked next; none for not any more, or not yet.
    due: Option<Duration>,
    /// Its answer is awaited.
    asked: bool,
    /// Whether the last answer was a success.
    last: Option<bool>,
    /// So many answers like the last one in a row.
    streak: u32,
}

impl Asking {
    /// When it is to be asked, if nothing else is in the way.
    fn next(&self) -> Option<Duration> {
        self.due.filter(|_| !self.asked)
    }

    /// Asks, if it is time.
    fn take_due(&mut self, timing: &Timing, now: Now) -> bool {
        let Some(due) = self.next().filter(|due| *due <= now.monotonic) else { return false };
        let periods = (now.monotonic - due).as_nanos() / timing.period.as_nanos().max(1) + 1;
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        (self.asked, self.due) = (true, Some(due.saturating_add(timing.period.saturating_mul(periods))));
        true
    }

    /// Counts an answer, and says whether it has come often enough to count.
    fn count(&mut self, success: bool, timing: &Timing) -> bool {
        self.streak = if self.last == Some(success) { self.streak.saturating_add(1) } else { 1 };
        self.last = Some(success);
        self.streak >= if success { timing.successes } else { timing.failures }
    }
}

impl Run {
    /// When a probe is to be asked next.
    pub fn next_probe(&self) -> Option<Duration> {
        self.probes.iter().filter_map(Asking::next).min()
    }

    /// Asks no others any more.
    pub fn forget_probes_but(&mut self, kept: ProbeKind) {
        for kind in KINDS.into_iter().filter(|kind| *kind != kept) {
            self.probes[kind as usize] = Asking::default();
        }
    }
}

impl Machine {
    /// A program's postStart hook is done: its probes begin.
    pub(super) fn begin_probes(&mut self, index: usize, now: Now) {
        if self.containers[index].plan.probe(ProbeKind::Startup).is_some() {
            self.arm(index, ProbeKind::Startup, now);
        } else {
            self.has_started(index, now);
        }
    }

    /// It counts as started: the other probes begin.
    pub(super) fn has_started(&mut self, index: usize, now: Now) {
        let probed = self.containers[index].plan.probe(ProbeKind::Readiness).is_some();
        let ready = !probed && self.containers[index].plan.role != crate::model::podspec::Role::Init;
        let status = self.edit(index);
        (status.started, status.ready) = (true, status.ready || ready);
        self.arm(index, ProbeKind::Readiness, now);
        if self.containers[index].run.as_ref().is_some_and(|run| run.kill.is_none()) {
            self.arm(index, ProbeKind::Liveness, now);
        }
    }

    fn arm(&mut self, index: usize, kind: ProbeKind, now: Now) {
        let container = &mut self.containers[index];
        if let (Some(timing), Some(run)) = (container.plan.probe(kind), &mut container.run) {
            let due = run.began.saturating_add(timing.initial_delay).max(now.monotonic);
            run.probes[kind as usize] = Asking { due: Some(due), ..Asking::default() };
        }
    }

    /// Asks all that is due.
    pub(super) fn ask(&mut self, now: Now, out: &mut Vec<Action>) {
        for index in 0..self.containers.len() {
            for kind in KINDS {
                let container = &mut self.containers[index];
                let (Some(timing), Some(run)) = (container.plan.probe(kind), &mut container.run) else {
                    continue;
                };
                if run.probes[kind as usize].take_due(timing, now) {
                    out.push(Action::Probe { index, restart: self.run_number(index), kind });
                }
            }
        }
    }

    /// A probe was answered.
    pub(super) fn probed(
        &mut self,
        index: usize,
        kind: ProbeKind,
        result: ProbeResult,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let container = &mut self.containers[index];
        let (Some(timing), Some(run)) = (container.plan.probe(kind).copied(), &mut container.run) else {
            return;
        };
        let asking = &mut run.probes[kind as usize];
        if !std::mem::take(&mut asking.asked) {
            return; // nobody has asked, or it is of no interest any more
        }
        let counts = match &result {
            ProbeResult::Unknown(_) => None,
            ProbeResult::Success | ProbeResult::Warning(_) => Some(true),
            ProbeResult::Failure(_) => Some(false),
        };
        let verdict = counts.filter(|success| asking.count(*success, &timing));
        self.tell_of_probe(index, kind, result, now);
        let Some(success) = verdict else { return };
        match (kind, success) {
            (ProbeKind::Readiness, _) => {
                if self.status.container_at(index).is_some_and(|status| status.ready != success) {
                    self.edit(index).ready = success;
                }
            }
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup, true) => {
                self.forget_probes(index);
                self.has_started(index, now);
            }
            (ProbeKind::Liveness, false) => self.probe_kills(index, KillCause::Liveness, &timing, now, out),
            (ProbeKind::Startup, false) => self.probe_kills(index, KillCause::Startup, &timing, now, out),
        }
    }

    pub(super) fn forget_probes(&mut self, index: usize) {
        if let Some(run) = &mut self.containers[index].run {
            run.probes = [Asking::default(); 3];
        }
    }

    fn probe_kills(
        &mut self,
        index: usize,
        cause: KillCause,
        timing: &Timing,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let end = self.grace_end(timing.grace, now);
        self.kill(index, cause, end, now, out);
    }

    fn tell_of_probe(&mut self, index: usize, kind: ProbeKind, result: ProbeResult, now: Now) {
        let name = match kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        };
        let (reason, message) = match result {
            ProbeResult::Success => return,
            ProbeResult::Warning(what) => ("ProbeWarning", format!("{name} probe warning: {what}")),
            ProbeResult::Failure(what) => ("Unhealthy", format!("{name} probe failed: {what}")),
            ProbeResult::Unknown(what) => {
                ("Unhealthy", format!("{name} probe errored and resulted in unknown state: {what}"))
            }
        };
        self.note(EventKind::Warning, reason, Some(index), message, now);
    }
}
