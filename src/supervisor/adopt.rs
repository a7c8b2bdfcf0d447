//! Going on where a supervisor that was killed left off: its containers run, their output waits in FIFOs, and how they
//! ended can still be told.
//!
//! Invariant: a container that is on record and in the status is taken as it is; one that the status does not know was
//! never let go, and is removed as if it had not been.

use super::crew::{Member, Run};
use super::ending::End;
use super::event_loop::Supervisor;
use super::output::{self, Output};
use crate::container;
use crate::container::record::{self, Record, Status};
use crate::error::{Context, Kind, Result};
use crate::lifecycle::{Event, Outcome};
use crate::model::ids::ContainerId;
use crate::report;
use crate::state::process::{self, ProcessRef};
use crate::sys::clone::Child;
use crate::sys::pidfd;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

impl Supervisor {
    /// Takes over every container that is there; `held` is what the keeper held. The rules are told of each.
    pub fn adopt(&mut self, mut held: HashMap<String, OwnedFd>) {
        for index in 0..self.members.len() {
            if let Err(error) = self.adopt_one(index, &mut held) {
                self.complain(&error.to_string());
                // Not made anew beside what is there.
                self.remove(index);
            }
        }
        // What nobody has taken is of runs that are over.
        for tag in held.keys() {
            self.keeper.forget(tag).unwrap_or_else(|error| report::warn(&error.to_string()));
        }
        self.reap_strays().unwrap_or_else(|error| report::warn(&error.to_string()));
    }

    /// The keeper may have fallen heir to zombies of which no record tells: of containers that were being made.
    fn reap_strays(&self) -> Result<()> {
        for pid in process::children(nix::unistd::getppid().as_raw())? {
            let adopted = self.members.iter().filter_map(Member::run).any(|run| run.pid() == pid);
            if !adopted && process::stat(pid)?.is_some_and(|stat| stat.state == 'Z') {
                self.keeper.reap(pid)?;
            }
        }
        Ok(())
    }

    fn adopt_one(&mut self, index: usize, held: &mut HashMap<String, OwnedFd>) -> Result<()> {
        let Some(status) = self.machine.status().container_at(index) else { return Ok(()) };
        let (restart, known) = (status.restart_count, status.container_id.clone());
        self.members[index].restart = restart;
        // On a full disk the status may be several runs old.
        for number in self.runs_on_record(index)? {
            let id = self.id(index, number)?;
            let found = match record::load(&self.host, &id) {
                Err(error) if error.kind() == Kind::NotFound => continue,
                found => found,
            };
            let ours = found.ok().filter(|(_, record)| {
                known.as_deref() == Some(id.as_str()) && record.init.is_some() && !record.given_up
            });
            match ours {
                Some((directory, record)) if self.take(index, number, &directory, &record, held)? => {
                    return Ok(());
                }
                _ => container::delete(&self.host, &id, true)?,
            }
        }
        self.news.push_back(Event::Removed { index });
        Ok(())
    }

    /// The numbers of a container's runs of which there is a record, in order.
    fn runs_on_record(&self, index: usize) -> Result<Vec<u32>> {
        let directory = self.host.layout.containers();
        let start = format!("{}.{}.", self.identity.uid, self.spec_of(index).name);
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(|| format!("cannot read {directory:?}"))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut runs: Vec<u32> = names.filter_map(|name| name.strip_prefix(&start)?.parse().ok()).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// The id of a run of a container.
    pub(super) fn id(&self, index: usize, restart: u32) -> Result<ContainerId> {
        format!("{}.{}.{restart}", self.identity.uid, self.spec_of(index).name).parse()
    }

    /// Takes one container over; false when it was never let go, and so is to be made again.
    fn take(
        &mut self,
        index: usize,
        restart: u32,
        directory: &Path,
        record: &Record,
        held: &mut HashMap<String, OwnedFd>,
    ) -> Result<bool> {
        let Some(init) = &record.init else { return Ok(false) };
        let status = record.status(directory)?;
        let ran = self.machine.status().container_at(index).is_some_and(|status| status.state.is_running());
        // Known, but not yet let go: it dies with the supervisor that made it, or has.
        if status != Status::Created && !ran && !record::has_executed(init)? {
            return Ok(false);
        }
        let place = self.place(index, restart);
        let output = Output::adopt(&place, self.spec_of(index), self.limits, held)?;
        let member = &mut self.members[index];
        (member.restart, member.output) = (restart, Some(output));
        member.stop_signal =
            record.annotations.get(super::crew::STOP_SIGNAL).and_then(|text| text.parse().ok()).unwrap_or(0);
        let started = status != Status::Created;
        self.news.push_back(Event::Adopted { index, container_id: record.id.to_string(), restart, started });
        self.deposit(index)?;
        let pidfd = match held.remove(&output::process_tag(&place)) {
            Some(pidfd) => Some(pidfd),
            None => reopen(init)?,
        };
        match pidfd {
            // How it ended, if it has, is told when the loop sees it.
            Some(pidfd) => {
                let run = Run::of(record, Child { pid: init.pid, pidfd })?;
                self.hold(index, run)?;
            }
            None => {
                self.watch(index)?;
                self.await_output(index, End { outcome: Outcome::Unknown, oom_killed: false });
            }
        }
        Ok(true)
    }
}

/// A pidfd of the process, be it a zombie; none when it is gone.
fn reopen(process: &ProcessRef) -> Result<Option<OwnedFd>> {
    let fd = match pidfd::open(process.pid) {
        Ok(fd) => fd,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error).context(|| format!("cannot open process {}", process.pid)),
    };
    // Only now is the comparison good for the descriptor.
    Ok(process.state()?.map(|_| fd))
}
