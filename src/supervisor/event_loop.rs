//! The supervisor itself: what it holds, and the loop that tells the rules what happened and does what they say.
//!
//! ```text
//! poll ──> serve: something happened ──> lifecycle::Machine ──> actions ──> act
//!   ^                                                                        │
//!   └── status.json, answers <── what came of them, until there is nothing more to do
//! ```
//!
//! Invariants: nothing that goes wrong with one container ends the supervisor; what has happened is in status.json
//! before anything irrevocable follows from it (a program's start, the reaping of a dead one); with nothing to do it
//! sleeps in epoll_wait(2) without a time-out.

use super::attempt::{Attempts, Network};
use super::control::Request;
use super::crew::Member;
use super::keeper::KeeperLink;
use super::later::{Later, RETRY, Task};
use super::measure::Measuring;
use super::poll::{Poll, Source, Trigger};
use super::requests::Requests;
use super::runtime_spec::Facts;
use super::spawn::Identity;
use crate::cgroup;
use crate::container::{CgroupManager, Host};
use crate::error::{Context, Error, Kind, Result};
use crate::image::Store;
use crate::lifecycle::{Action, Event, Machine, Now, Signal};
use crate::logs::{Limits, Scratch, Stream};
use crate::model::podspec::PodSpec;
use crate::model::status::EventKind;
use crate::pod::{self, Held};
use crate::report;
use crate::sys::{clock, memory, pidfd};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// A pod's supervisor.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) identity: Identity,
    pub(super) host: Host,
    pub(super) store: Store,
    pub(super) spec: PodSpec,
    pub(super) directory: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) held: Held,
    pub(super) keeper: KeeperLink,
    pub(super) poll: Poll,
    pub(super) machine: Machine,
    pub(super) members: Vec<Member>,
    pub(super) scratch: Scratch,
    pub(super) limits: Limits,
    /// Of the host, but for its devices.
    pub(super) facts: Facts,
    signals: SignalFd,
    listener: OwnedFd,
    requests: Requests,
    pub(super) later: Later,
    /// Probes and hooks that run.
    pub(super) attempts: Attempts,
    /// Where they connect, once one of them does.
    pub(super) network: Option<Network>,
    /// While the pod's use of the disk is measured.
    pub(super) measuring: Option<Measuring>,
    /// What the rules have not been told yet.
    pub(super) news: VecDeque<Event>,
    /// Why the latest program that could not be executed could not.
    pub(super) fault: Option<Kind>,
    /// Output of which there was more than was taken at once: an edge is not reported again.
    pub(super) more: Vec<(usize, Stream)>,
    /// Something was done since memory was last given back.
    acted: bool,
    /// The status has changed since it was last written.
    unpublished: bool,
    /// How often in a row no pause could be made.
    pub(super) pauses_failed: u32,
    ended: bool,
}

/// What a supervisor begins with.
#[derive(Debug)]
pub struct Beginning {
    /// Whose supervisor it is.
    pub identity: Identity,
    /// What the manifest asks for.
    pub spec: PodSpec,
    /// The pod, open.
    pub held: Held,
    /// The link to the keeper.
    pub keeper: KeeperLink,
    /// The rules, new or resumed.
    pub machine: Machine,
    /// The control socket, listening.
    pub listener: OwnedFd,
}

impl Supervisor {
    /// A supervisor that waits for nothing but what the pod as a whole does.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor, or the pod has no directories.
    pub fn new(beginning: Beginning) -> Result<Self> {
        let Beginning { identity, spec, held, keeper, machine, listener } = beginning;
        let members = spec.all_containers().map(|_| Member::default()).collect();
        let supervisor = Self {
            host: Host { layout: identity.layout.clone(), cgroups: CgroupManager::Cgroupfs },
            store: Store::new(&identity.layout),
            directory: held.pod().directory()?,
            logs: held.pod().log_directory()?.to_path_buf(),
            poll: Poll::new()?,
            scratch: Scratch::new()?,
            signals: catch_signals()?,
            limits: Limits::default(),
            facts: Facts::gather(&cgroup::detect()?)?,
            requests: Requests::default(),
            later: Later::default(),
            attempts: Attempts::new()?,
            network: None,
            measuring: None,
            news: VecDeque::new(),
            fault: None,
            more: Vec::new(),
            acted: true,
            unpublished: false,
            pauses_failed: 0,
            ended: false,
            identity,
            spec,
            held,
            keeper,
            machine,
            members,
            listener,
        };
        supervisor.poll.add(&supervisor.signals, Source::Signal, Trigger::Level)?;
        supervisor.poll.add(&supervisor.listener, Source::Listener, Trigger::Level)?;
        supervisor.poll.add(&supervisor.keeper, Source::Keeper, Trigger::Level)?;
        supervisor.poll.add(&supervisor.attempts, Source::Attempts, Trigger::Level)?;
        Ok(supervisor)
    }

    /// Runs until the pod has ended, and hands the keeper back.
    ///
    /// # Errors
    /// When it cannot wait any more: the keeper then starts another.
    pub fn run(mut self) -> Result<KeeperLink> {
        self.hold_pause();
        self.deposit_namespaces()?;
        self.settle();
        // An end that is not on disk would be none to the next supervisor.
        while !self.ended || self.unpublished {
            let busy = !self.more.is_empty();
            if !busy && std::mem::take(&mut self.acted) {
                // Making a container takes memory, and now comes a sleep, perhaps for days.
                memory::give_back();
            }
            let patience = if busy { Some(Duration::ZERO) } else { self.patience() };
            for source in self.poll.wait(patience)? {
                self.serve(source).unwrap_or_else(|error| self.complain(&error.to_string()));
            }
            for (index, stream) in std::mem::take(&mut self.more) {
                self.pump(index, stream);
            }
            if self.attempts.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                self.attend().unwrap_or_else(|error| self.complain(&error.to_string()));
            }
            while let Some(task) = self.later.take_due(Instant::now()) {
                self.acted = true;
                self.catch_up(task);
            }
            self.settle();
        }
        Ok(self.keeper)
    }

    /// How long nothing will happen by itself.
    fn patience(&self) -> Option<Duration> {
        let rules = self.machine.deadline().map(|deadline| deadline.saturating_sub(now().monotonic));
        let ours = [self.later.next(), self.attempts.deadline()];
        let ours = ours.into_iter().flatten().map(|at| at.saturating_duration_since(Instant::now()));
        rules.into_iter().chain(ours).min()
    }

    /// Does what was put off.
    fn catch_up(&mut self, task: Task) {
        match task {
            Task::Listen => self.listen(),
            Task::Keeper => self.replace_keeper(),
            Task::Pause => self.renew_pause(),
            Task::Publish => self.publish(),
            Task::EndOutput(index) => self.end_output(index),
            Task::Remove(index) => self.remove(index),
        }
    }

    /// Something went wrong that no container is to blame for.
    pub(super) fn complain(&mut self, message: &str) {
        report::warn(message);
        let now = now();
        self.machine.note(EventKind::Warning, "SupervisorError", None, message.to_owned(), now);
    }

    fn serve(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Signal => self.read_signals()?,
            Source::Keeper => self.replace_keeper(),
            Source::Pause => self.renew_pause(),
            Source::Listener => self.accept()?,
            Source::Peer(number) => self.hear(number),
            Source::Making(index) => self.finish_making(place(index)),
            Source::Exit(index) => self.reap(place(index))?,
            Source::Output(index) => self.pump(place(index), Stream::Stdout),
            Source::ErrorOutput(index) => self.pump(place(index), Stream::Stderr),
            Source::Attempts => self.attend()?,
            Source::Measuring => self.take_measure(),
        }
        Ok(())
    }

    /// Tells the rules all news, does what they say, and what comes of that, until there is nothing more; then
    /// publishes.
    fn settle(&mut self) {
        loop {
            let due = self.machine.deadline().is_some_and(|deadline| deadline <= now().monotonic);
            if due && !self.ended {
                self.news.push_back(Event::Time);
            }
            let Some(event) = self.news.pop_front() else { break };
            self.tell(event);
        }
        self.unpublished |= self.machine.take_changed();
        // What could not be written is not tried again each time that a container writes a line.
        if self.unpublished && (self.ended || !self.later.has(Task::Publish)) {
            self.publish();
        }
        self.requests.settle(self.machine.status(), self.ended, self.fault);
    }

    /// Tells the rules of one event, and does what they say.
    pub(super) fn tell(&mut self, event: Event) {
        let now = now();
        for action in self.machine.handle(event, now) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        self.acted = true;
        match action {
            Action::Make { index, restart, at_once } => self.make(index, restart, at_once),
            Action::Start { index } => self.start(index),
            Action::Signal { index, signal } => self.signal(index, signal),
            Action::Remove { index } => self.remove(index),
            Action::Probe { index, restart, kind } => self.probe(index, restart, kind),
            Action::Hook { index, restart, hook } => self.hook(index, restart, hook),
            Action::Measure => self.measure(),
            Action::End => self.ended = true,
        }
    }

    /// Writes the status if it has changed. A full disk must not stop the apps: what cannot be written now is later.
    pub(super) fn publish(&mut self) {
        self.unpublished |= self.machine.take_changed();
        if !self.unpublished {
            return;
        }
        let written = pod::write_status(&self.directory, self.machine.status());
        // Nobody reads it any more when its directory is gone.
        self.unpublished = matches!(&written, Err(error) if error.kind() != Kind::NotFound);
        match written {
            Ok(()) => self.later.cancel(Task::Publish),
            Err(error) => {
                if !self.later.has(Task::Publish) {
                    let now = now();
                    self.machine.note(EventKind::Warning, "StatusNotWritten", None, error.to_string(), now);
                }
                self.later.put_off(Task::Publish, Instant::now() + RETRY);
            }
        }
    }

    fn listen(&mut self) {
        if let Err(error) = self.poll.add(&self.listener, Source::Listener, Trigger::Level) {
            self.complain(&error.to_string());
        }
    }

    /// Without a descriptor for it, a command that waits would wake us up again and again.
    fn accept(&mut self) -> Result<()> {
        let accepted = self.requests.accept(&self.listener, &self.poll);
        if accepted.is_err() {
            self.poll.remove(&self.listener)?;
            self.later.put_off(Task::Listen, Instant::now() + RETRY);
        }
        accepted
    }

    fn hear(&mut self, number: u32) {
        match self.requests.listen(number) {
            None => {}
            Some(Request::Create) => self.news.push_back(Event::Create),
            Some(Request::Start) => self.news.extend([Event::Create, Event::Start]),
            Some(Request::Stop { grace_seconds }) => self.stop(grace_seconds),
            Some(Request::Update) => {
                let result = self.reread();
                self.requests.answer(number, &result);
            }
            Some(Request::Kill { signal }) => {
                let result = self.signal_all(signal);
                self.requests.answer(number, &result);
            }
        }
    }

    /// Reads again what the pod is to be: `pod apply` has changed it.
    fn reread(&mut self) -> Result<()> {
        let spec = self.held.pod().spec()?;
        if spec.all_containers().count() != self.members.len() {
            return Err(Error::user("a pod that runs takes no more containers and loses none"));
        }
        let resized = self.resize(&spec)?;
        self.spec = spec.clone();
        self.news.push_back(Event::Update { spec: Box::new(spec), resized });
        Ok(())
    }

    fn stop(&mut self, grace_seconds: Option<u64>) {
        let grace_seconds = grace_seconds.unwrap_or(self.spec.termination_grace_period_seconds);
        self.news.push_back(Event::Stop { grace_seconds });
    }

    fn read_signals(&mut self) -> Result<()> {
        while self.signals.read_signal().context(|| "cannot read signals")?.is_some() {
            self.stop(None);
        }
        Ok(())
    }
}

/// Signals to containers.
impl Supervisor {
    fn signal(&mut self, index: usize, signal: Signal) {
        let number = match signal {
            Signal::Kill => libc::SIGKILL,
            Signal::Stop => self.members.get(index).map_or(libc::SIGTERM, Member::stop_signal),
        };
        if let Err(error) = self.send(index, number) {
            self.complain(&error.to_string());
        }
    }

    /// One that has ended meanwhile needs no signal.
    fn send(&mut self, index: usize, signal: i32) -> Result<()> {
        let Some(run) = self.members.get(index).and_then(Member::run) else { return Ok(()) };
        match pidfd::send_signal(run.pidfd(), signal) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(error).context(|| format!("cannot signal container {:?}", run.id().as_str()))
            }
            // Nothing in a frozen group dies.
            _ if signal == libc::SIGKILL => run.thaw_killed(),
            _ => Ok(()),
        }
    }

    fn signal_all(&mut self, signal: i32) -> Result<()> {
        (0..self.members.len()).try_for_each(|index| self.send(index, signal))
    }
}

/// The time, for the rules.
pub fn now() -> Now {
    let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_secs();
    Now { monotonic: clock::monotonic(), wall }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// What would end us asks for a graceful stop instead.
fn catch_signals() -> Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block().context(|| "cannot block signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context(|| "cannot catch signals")
}
