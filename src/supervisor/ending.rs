//! The end of the pod's containers: logging what they write until then, seeing how each ended, and removing it.
//!
//! Invariants: how a container ended is in status.json before the kernel forgets it; nothing here waits for what a
//! container does.

use super::crew::Member;
use super::event_loop::Supervisor;
use super::last_words;
use super::later::{RETRY, Task};
use super::outcome;
use super::output::{self, Output};
use crate::cgroup::Cgroup;
use crate::container;
use crate::error::{Context, Result};
use crate::lifecycle::{Event, Outcome};
use crate::logs::Stream;
use std::time::{Duration, Instant};

/// How long output is waited for when all processes of a container should be gone.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// How a container's init ended.
#[derive(Debug)]
pub struct End {
    pub(super) outcome: Outcome,
    pub(super) oom_killed: bool,
}

/// Output.
impl Supervisor {
    /// Logs what there is, a bounded amount at a time.
    pub(super) fn pump(&mut self, index: usize, stream: Stream) {
        let Some(member) = self.members.get_mut(index) else { return };
        if let Some(output) = &mut member.output {
            match output.pump(stream, &mut self.scratch, &self.poll) {
                Ok(true) => self.more.push((index, stream)),
                Ok(false) => {}
                Err(error) => self.complain(&error.to_string()),
            }
        }
        self.tell_trouble(index);
        let member = &self.members[index];
        if member.end.is_some() && member.output.as_ref().is_none_or(Output::has_ended) {
            self.end_output(index);
        }
    }

    fn tell_trouble(&mut self, index: usize) {
        let trouble = self.members[index].output.as_ref().and_then(Output::trouble);
        self.machine.set_log_trouble(index, trouble);
    }

    /// A container's init has ended: the rules are told as soon as all that it wrote is logged. Where another process
    /// holds its streams, or does not stop writing, that is not waited for: nobody else's turn comes later for it.
    pub(super) fn await_output(&mut self, index: usize, end: End) {
        self.members[index].end = Some(end);
        self.later.put_off(Task::EndOutput(index), Instant::now() + DRAIN_PATIENCE);
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.pump(index, stream);
        }
    }

    /// No more output is waited for.
    pub(super) fn end_output(&mut self, index: usize) {
        self.later.cancel(Task::EndOutput(index));
        if let Some(End { outcome, oom_killed }) = self.members[index].end.take() {
            let message = self.last_words(index, outcome);
            self.news.push_back(Event::Exited { index, outcome, oom_killed, message });
        }
    }

    pub(super) fn close_output(&mut self, index: usize) {
        let Some(output) = self.members[index].output.take() else { return };
        if let Err(error) = output.close(&mut self.keeper, &self.poll) {
            self.complain(&error.to_string());
        }
    }
}

/// The end.
impl Supervisor {
    /// Init has ended: the rules are told how. It stays a zombie until that is in status.json, so that a supervisor
    /// which comes after us can still read it.
    pub(super) fn reap(&mut self, index: usize) -> Result<()> {
        let Some(run) = self.members.get(index).and_then(Member::run) else { return Ok(()) };
        let peeked = outcome::peek(&run.process, run.pidfd());
        if matches!(peeked, Ok(None)) {
            return Ok(());
        }
        self.poll.remove(run.pidfd())?;
        self.forsake(index);
        let Some(run) = self.members.get(index).and_then(Member::run) else { return Ok(()) };
        let (oom_killed, killed) = match &run.cgroup {
            Some(cgroup) => (was_oom_killed(cgroup), kill_rest(cgroup)),
            None => (false, Ok(())),
        };
        let outcome = peeked.and_then(|outcome| killed.map(|()| outcome)).unwrap_or_else(|error| {
            self.complain(&error.to_string());
            None
        });
        self.await_output(index, End { outcome: outcome.unwrap_or(Outcome::Unknown), oom_killed });
        Ok(())
    }

    /// Removes what is left of a container.
    pub(super) fn remove(&mut self, index: usize) {
        // How it ended must outlive us, and it is about to be forgotten by the kernel.
        self.publish();
        self.members[index].end = None;
        self.later.cancel(Task::EndOutput(index));
        match self.try_remove(index) {
            Ok(()) => {
                self.close_output(index);
                // Where a full disk kept the status from being written, what is gone now has made room.
                if self.later.has(Task::Publish) {
                    self.publish();
                }
                self.news.push_back(Event::Removed { index });
            }
            // Another one is not made beside what is left.
            Err(error) => {
                self.complain(&error.to_string());
                self.later.put_off(Task::Remove(index), Instant::now() + RETRY);
            }
        }
    }

    fn try_remove(&mut self, index: usize) -> Result<()> {
        drop(self.members[index].making.take());
        self.forsake(index);
        let restart = self.members[index].restart;
        if let Some(run) = &self.members[index].run {
            self.poll.remove(run.pidfd())?;
            outcome::end(&run.process, run.pidfd(), &self.keeper)?;
            self.keeper.forget(&output::process_tag(&self.place(index, restart)))?;
            self.members[index].run = None;
        }
        let path = self.place(index, restart).last_words();
        last_words::remove(&path).context(|| format!("cannot remove {path:?}"))?;
        container::remove(&self.host, &self.id(index, restart)?)
    }
}

fn was_oom_killed(cgroup: &Cgroup) -> bool {
    cgroup.memory_events().is_ok_and(|events| events.oom_kills > 0)
}

/// In a shared PID namespace others may outlive init, and hold its output open.
fn kill_rest(cgroup: &Cgroup) -> Result<()> {
    if cgroup.processes()?.is_empty() { Ok(()) } else { cgroup.signal_all(libc::SIGKILL) }
}
