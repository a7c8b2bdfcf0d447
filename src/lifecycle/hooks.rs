//! postStart and preStop hooks: what they hold back, and when they are done.
//!
//! A hook is delivered at least once: one that a supervisor did not live to see the end of is run again by the next one;
//! one that came to its end is not. preStop is [`super::stop`]'s.

use super::machine::Machine;
use super::plan::Work;
use super::{Action, Now};
use crate::model::probe::HookKind;
use crate::model::status::{EventKind, KillCause};
use std::time::Duration;

/// A hook that works.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// When it is done by itself; none if the supervisor says when.
    pub wake: Option<Duration>,
}

impl Hook {
    /// It begins now.
    pub fn begin(work: Work, now: Now) -> Self {
        let wake = match work {
            Work::Act => None,
            Work::Sleep(time) => Some(now.after(time)),
        };
        Self { wake }
    }

    /// Whether the supervisor does its work.
    pub fn acts(&self) -> bool {
        self.wake.is_none()
    }
}

impl Machine {
    pub(super) fn hook_action(&self, index: usize, hook: HookKind) -> Action {
        Action::Hook { index, restart: self.run_number(index), hook }
    }

    /// Begins the postStart hook of a program that has just been started; without one it runs right away.
    pub(super) fn post_start(&mut self, index: usize, now: Now, out: &mut Vec<Action>) {
        let Some(work) = self.containers[index].plan.post_start else { return self.runs(index, now) };
        let hook = Hook::begin(work, now);
        if let Some(run) = &mut self.containers[index].run {
            run.post_start = Some(hook);
        }
        if hook.acts() {
            out.push(self.hook_action(index, HookKind::PostStart));
        }
    }

    /// Ends the hooks whose time it is.
    pub(super) fn wake_hooks(&mut self, now: Now) {
        for index in 0..self.containers.len() {
            let hook = self.containers[index].run.as_ref().and_then(|run| run.post_start);
            if hook.and_then(|hook| hook.wake).is_some_and(|wake| wake <= now.monotonic) {
                self.runs(index, now);
            }
        }
    }

    /// The supervisor has run a hook.
    pub(super) fn hooked(
        &mut self,
        index: usize,
        hook: HookKind,
        result: Result<(), String>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if hook == HookKind::PreStop {
            return self.pre_stopped(index, &result, now);
        }
        let run = self.containers[index].run.as_ref();
        if run.and_then(|run| run.post_start).is_none_or(|hook| !hook.acts()) {
            return;
        }
        let Err(message) = result else { return self.runs(index, now) };
        // Not why: what a hook says may be secret, and events are for everybody.
        self.note(
            EventKind::Warning,
            "FailedPostStartHook",
            Some(index),
            "PostStartHook failed".to_owned(),
            now,
        );
        self.wait_for(index, "PostStartHookError", Some(message));
        let end = self.grace_end(None, now);
        self.kill(index, KillCause::PostStart, end, now, out);
    }
}
