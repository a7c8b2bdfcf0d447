//! Running a probe or a hook once: a command in the container, or a connection to it.
//!
//! [`Attempts`] are the ones that run: one descriptor for the supervisor's poll set, whoever is waited for behind it.
//! Nothing here blocks, counts, or knows of periods and thresholds: what comes of an attempt is a [`Verdict`], in the
//! kubelet's words.
//!
//! ```text
//! command              a program in the container, its output, its end
//! dying                processes of attempts that are over
//! dial, tcp            a socket made in the pod's network namespace, and connecting it
//! fetch, http, url     HTTP: the request and its redirects; what a server may answer
//! stream, tls          a connection in the clear or by TLS
//! health, frame, hpack gRPC's health check, over as much of HTTP/2 as it takes
//! ```
//!
//! Invariants: an attempt ends when its time is over, whatever a program or a server does; what it keeps of either is
//! bounded; no process that it began outlives it, but as a zombie of a frozen container's, which is reaped when it can be.

mod command;
mod dial;
mod dying;
mod fetch;
mod frame;
mod health;
mod hpack;
mod http;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
mod url;
mod watch;
mod words;

pub use dial::Network;

use crate::container::Runner;
use crate::error::Result;
use crate::model::probe::ProbeHandler;
use command::Command;
use dying::{Dying, Remains};
use fetch::Fetch;
use health::Health;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tcp::Tcp;
use watch::{Set, Watch};

/// Most bytes that are kept of what a program writes or a server answers.
const LARGEST_OUTPUT: usize = 10 << 10;

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To know whether the container is well.
    Probe,
    /// To tell the container something: any answer of a server will do.
    Hook,
}

/// Where it is done.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The pod's network.
    pub network: &'a Network,
    /// The container's run, for commands.
    pub runner: Option<&'a Runner>,
}

/// What came of it, in the kubelet's words: what stands behind `Liveness probe failed: `, `... probe warning: `, and
/// `... probe errored and resulted in unknown state: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The container is well.
    Success,
    /// It is well, but somebody should know of this (event `ProbeWarning`).
    Warning(String),
    /// It is not well.
    Failure(String),
    /// Nobody knows: it could not be tried, or the answer did not come through. Counts for nothing.
    Error(String),
}

/// How far an attempt is.
#[derive(Debug)]
enum Progress {
    Pending,
    Done(Verdict),
}

/// An attempt that runs.
#[derive(Debug)]
struct Attempt {
    work: Work,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Work {
    Command(Command),
    Tcp(Tcp),
    Fetch(Box<Fetch>),
    Health(Box<Health>),
    /// Ended before it ran.
    Over(Verdict),
}

/// The attempts that run, each under a number of the caller's.
#[derive(Debug)]
pub struct Attempts {
    set: Set,
    running: BTreeMap<u64, Attempt>,
    dying: Dying,
}

/// What the dying are in the set: no attempt has that number.
const DYING: u64 = u64::MAX;

impl Attempts {
    /// None.
    ///
    /// # Errors
    /// When the kernel refuses an epoll set.
    pub fn new() -> Result<Self> {
        Ok(Self { set: Set::new()?, running: BTreeMap::new(), dying: Dying::default() })
    }

    /// Begins an attempt under `key` (any number but the largest), in the place of one that runs under it. It is over
    /// when `timeout` has passed. What goes wrong at once is a verdict like any other: [`Attempts::advance`] tells.
    pub fn begin(
        &mut self,
        key: u64,
        target: &Target<'_>,
        handler: &ProbeHandler,
        purpose: Purpose,
        timeout: Option<Duration>,
        now: Instant,
    ) {
        self.cancel(key);
        let watch = self.set.watch(key);
        let begun = match handler {
            ProbeHandler::Exec { command } => {
                Command::begin(target.runner, command, watch).map(Work::Command)
            }
            ProbeHandler::HttpGet(get) => {
                Fetch::begin(target.network, get, purpose, watch).map(|f| Work::Fetch(Box::new(f)))
            }
            ProbeHandler::TcpSocket { host, port } => {
                Tcp::begin(target.network, host.as_deref(), *port, watch).map(Work::Tcp)
            }
            ProbeHandler::Grpc { port, service } => {
                Health::begin(target.network, *port, service, timeout, watch)
                    .map(|h| Work::Health(Box::new(h)))
            }
        };
        let work = begun.unwrap_or_else(Work::Over);
        let deadline = match (&work, timeout) {
            (Work::Over(_), _) => Some(now),
            (_, timeout) => timeout.map(|timeout| now + timeout),
        };
        self.running.insert(key, Attempt { work, timeout, deadline });
    }

    /// Ends the attempt under `key`, if one runs, without a verdict: its command is killed.
    pub fn cancel(&mut self, key: u64) {
        if let Some(attempt) = self.running.remove(&key) {
            self.end(key, attempt);
        }
    }

    /// When [`Attempts::advance`] is to be called even though nothing has happened to the descriptor.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|attempt| attempt.deadline).chain(self.dying.deadline()).min()
    }

    /// Goes on with those to which something has happened, and ends those whose time is over: the verdicts of all that
    /// have ended since.
    ///
    /// # Errors
    /// Those of epoll_wait(2).
    pub fn advance(&mut self, now: Instant) -> Result<Vec<(u64, Verdict)>> {
        let mut verdicts = Vec::new();
        for key in self.set.ready()? {
            let Some(attempt) = self.running.get_mut(&key) else { continue };
            if let Progress::Done(verdict) = attempt.work.advance(self.set.watch(key)) {
                verdicts.push((key, verdict));
            }
        }
        let late = |attempt: &Attempt| attempt.deadline.is_some_and(|deadline| deadline <= now);
        for (key, attempt) in self.running.iter_mut().filter(|(_, attempt)| late(attempt)) {
            if !verdicts.iter().any(|(ended, _)| ended == key) {
                verdicts.push((*key, attempt.work.time_out(attempt.timeout.unwrap_or_default())));
            }
        }
        for (key, _) in &verdicts {
            self.cancel(*key);
        }
        self.dying.look(now, self.set.watch(DYING));
        Ok(verdicts)
    }

    fn end(&mut self, key: u64, attempt: Attempt) {
        let remains = attempt.work.end(self.set.watch(key));
        self.dying.take_in(remains, self.set.watch(DYING));
    }
}

impl AsFd for Attempts {
    /// Readable as long as [`Attempts::advance`] has something to do, but for the time.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        for (key, attempt) in std::mem::take(&mut self.running) {
            self.end(key, attempt);
        }
    }
}

impl Work {
    fn advance(&mut self, watch: Watch<'_>) -> Progress {
        match self {
            Self::Command(command) => command.advance(watch),
            Self::Tcp(tcp) => tcp.advance(),
            Self::Fetch(fetch) => fetch.advance(watch),
            Self::Health(health) => health.advance(watch),
            Self::Over(verdict) => Progress::Done(verdict.clone()),
        }
    }

    /// The verdict when the time is over.
    fn time_out(&mut self, timeout: Duration) -> Verdict {
        match self {
            Self::Command(command) => command.time_out(),
            Self::Tcp(tcp) => tcp.time_out(),
            Self::Fetch(fetch) => fetch.time_out(),
            Self::Health(health) => health.time_out(timeout),
            Self::Over(verdict) => verdict.clone(),
        }
    }

    /// Stops what still runs; what is to be reaped.
    fn end(self, watch: Watch<'_>) -> Vec<Remains> {
        match self {
            Self::Command(command) => return command.end(watch),
            Self::Tcp(tcp) => tcp.end(watch),
            Self::Fetch(fetch) => fetch.end(watch),
            Self::Health(health) => health.end(watch),
            Self::Over(_) => {}
        }
        Vec::new()
    }
}
