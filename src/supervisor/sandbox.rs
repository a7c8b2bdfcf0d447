//! The two processes beside the supervisor: its keeper, and the pause that owns the pod's namespaces. Each is replaced
//! when it dies; where that fails, it is tried again, and the apps go on.

use super::event_loop::{Supervisor, now};
use super::later::{RETRY, Task};
use super::poll::{Source, Trigger};
use super::spawn;
use crate::error::{Error, Result};
use crate::lifecycle::Event;
use crate::model::status::EventKind;
use crate::pod::NamespaceKind;
use std::time::{Duration, Instant};

/// So often in a row a pause that cannot be made is tried again; then the pod has failed.
const MOST_PAUSES_FAILED: u32 = 10;

/// The keeper.
impl Supervisor {
    /// The keeper is gone: another one takes its place, and holds everything again.
    pub(super) fn replace_keeper(&mut self) {
        if let Err(error) = self.try_replace_keeper() {
            self.complain(&error.to_string());
            self.later.put_off(Task::Keeper, Instant::now() + RETRY);
        }
    }

    fn try_replace_keeper(&mut self) -> Result<()> {
        self.poll.remove(&self.keeper)?;
        self.keeper = spawn::new_keeper(&self.identity)?;
        self.poll.add(&self.keeper, Source::Keeper, Trigger::Level)?;
        let mut errors: Vec<Error> = self.deposit_namespaces().err().into_iter().collect();
        errors.extend((0..self.members.len()).filter_map(|index| self.deposit(index).err()));
        Error::all("cannot give the new keeper everything", errors)
    }

    /// Gives the keeper the pod's namespaces.
    pub(super) fn deposit_namespaces(&mut self) -> Result<()> {
        for (kind, fd) in self.held.namespace_fds() {
            self.keeper.put(&namespace_tag(kind), fd)?;
        }
        Ok(())
    }
}

/// The pause.
impl Supervisor {
    /// Waits for the end of the pause; one that is dead already is replaced.
    pub(super) fn hold_pause(&mut self) {
        let watched = match self.held.pause_pidfd() {
            Some(pidfd) => self.poll.add(pidfd, Source::Pause, Trigger::Level),
            None => return self.renew_pause(),
        };
        if let Err(error) = watched {
            self.complain(&error.to_string());
        }
    }

    /// The pause is gone: a new one takes over its namespaces. With a shared PID namespace all processes of the pod
    /// are gone with it, and what becomes of the containers is the rules' affair.
    pub(super) fn renew_pause(&mut self) {
        match self.try_renew_pause() {
            Ok(()) => self.pauses_failed = 0,
            Err(error) if self.pauses_failed < MOST_PAUSES_FAILED && self.held.confirm().is_ok() => {
                // The first time most likely because the new one was killed, too.
                let delay = if self.pauses_failed == 0 { Duration::from_millis(50) } else { RETRY };
                self.pauses_failed += 1;
                self.complain(&error.to_string());
                self.later.put_off(Task::Pause, Instant::now() + delay);
            }
            Err(error) => {
                let grace_seconds = self.spec.termination_grace_period_seconds;
                let (reason, message) = ("SandboxFailed".to_owned(), error.to_string());
                self.news.push_back(Event::Fail { reason, message, grace_seconds });
            }
        }
    }

    fn try_renew_pause(&mut self) -> Result<()> {
        if let Some(old) = self.held.pause_pidfd() {
            self.poll.remove(old)?;
        }
        self.held.renew_pause()?;
        match self.held.pause_pidfd() {
            Some(new) => self.poll.add(new, Source::Pause, Trigger::Level)?,
            // Nothing would ever tell of its end.
            None => return Err(Error::host("the new pause process has died already")),
        }
        self.deposit_namespaces()?;
        if self.spec.share_process_namespace {
            self.news.push_back(Event::SandboxChanged);
        } else {
            let message = "The pause process was gone; a new one owns the pod's namespaces".to_owned();
            let now = now();
            self.machine.note(EventKind::Warning, "PauseRenewed", None, message, now);
        }
        Ok(())
    }
}

/// What the keeper knows a namespace by.
pub fn namespace_tag(kind: NamespaceKind) -> String {
    format!("ns.{kind}")
}
