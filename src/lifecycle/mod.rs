//! The rules of a manifest pod: what to do when something happens, and what the pod's status then says.
//!
//! Pure: a [`Machine`] turns (state, event, now) into actions. It makes no system call, knows no path and reads no
//! clock; the pod's supervisor tells it what happened and when, carries the actions out in order, and reports back.
//!
//! ```text
//! machine      the pod's machine: events in, actions out
//! plan         what the rules know of a manifest
//! containers   the stages that each container goes through
//! order        init containers, sidecars, containers: whose turn it is
//! restart      whether a container that ended is made again; backoff: how soon
//! probes       when probes are asked, and what follows from the answers
//! hooks        postStart and preStop
//! stop         stopping a container, or the pod
//! storage      limits on the disk, and eviction
//! phase        the pod's phase, and how a container's end is told; conditions: its conditions
//! summary      a status in the few words of `pod list`
//! happenings   the bounded list of events that `describe` shows
//! resume       going on where another supervisor left off
//! ```
//!
//! Invariants: no container has two processes at one time; none is made before its turn, and nothing while the pod
//! stops; none is made again sooner than its back-off allows; nothing is asked of a container that does not run;
//! [`Action::End`] comes once, as the last action of all, when nothing of any container is left.

mod anew;
mod backoff;
mod conditions;
mod containers;
mod happenings;
mod hooks;
mod machine;
mod order;
mod phase;
mod plan;
mod probes;
mod restart;
mod resume;
mod stop;
mod storage;
mod summary;
#[cfg(test)]
mod tests;

pub use conditions::refresh as refresh_conditions;
pub use machine::Machine;
pub use storage::DiskUsage;
pub use summary::Summary;

use crate::model::podspec::PodSpec;
use crate::model::probe::{HookKind, ProbeKind};
use std::time::Duration;

/// When an event is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_MONOTONIC, which all supervisors of a pod have in common: what everything is reckoned by.
    pub monotonic: Duration,
    /// Seconds since 1970, for the status alone: somebody may set that clock at any time.
    pub wall: u64,
}

impl Now {
    /// So much later by the monotonic clock.
    fn after(self, time: Duration) -> Duration {
        self.monotonic.saturating_add(time)
    }
}

/// Something that happened. `index` counts [`PodSpec::all_containers`], `restart` the runs of a container: news of a run
/// that is over are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The sandbox stands: make the containers. (A machine that was resumed does without.)
    Create,
    /// Start the pod: all that is made now, and the rest as soon as it is made.
    Start,
    /// [`Action::Make`] is done: its init waits for the start or, with `at_once`, is being started.
    Made {
        /// Of which container.
        index: usize,
        /// Its id, `<pod-uid>.<name>.<restart>`.
        container_id: String,
        /// The id of its image.
        image_id: String,
    },
    /// [`Action::Make`] failed and left nothing.
    NotMade {
        /// Of which container.
        index: usize,
        /// Kubernetes' word: `CreateContainerError`, `CreateContainerConfigError`, `ErrImageNeverPull`, ...
        reason: &'static str,
        /// The error.
        message: String,
    },
    /// Its program runs.
    Started {
        /// Of which container.
        index: usize,
    },
    /// It was made, and its program could not be started, or never can be. What was made is still there.
    NotStarted {
        /// Of which container.
        index: usize,
        /// The error.
        message: String,
    },
    /// Its init has ended.
    Exited {
        /// Of which container.
        index: usize,
        /// How.
        outcome: Outcome,
        /// The kernel killed in its cgroup for want of memory.
        oom_killed: bool,
        /// Its termination message.
        message: Option<String>,
    },
    /// Answer to [`Action::Probe`], at the latest when its time is over.
    Probed {
        /// Of which container.
        index: usize,
        /// Of which run.
        restart: u32,
        /// Which probe.
        kind: ProbeKind,
        /// What came of it.
        result: ProbeResult,
    },
    /// Answer to [`Action::Hook`].
    Hooked {
        /// Of which container.
        index: usize,
        /// Of which run.
        restart: u32,
        /// Which hook.
        hook: HookKind,
        /// Why it failed, if it did.
        result: Result<(), String>,
    },
    /// Nothing is left of it: [`Action::Remove`] is done, or somebody else removed it, or (after
    /// [`Machine::resume`]) there is no container of it on record.
    Removed {
        /// Of which container.
        index: usize,
    },
    /// After [`Machine::resume`]: a container of it is on record, alive or dead. If dead, [`Event::Exited`] follows.
    Adopted {
        /// Of which container.
        index: usize,
        /// Its id.
        container_id: String,
        /// The number in it.
        restart: u32,
        /// False while its init waits for the start.
        started: bool,
    },
    /// The sandbox was lost and stands again. The ends of containers that died with it come as [`Event::Exited`]; then
    /// the pod begins with its first init container again, if its policy lets it.
    SandboxChanged,
    /// The manifest was changed where Kubernetes allows it: containers whose image is another are restarted with it,
    /// and deadline, grace period and back-off are the new ones.
    Update {
        /// The pod as it is wanted now, with the same containers.
        spec: Box<PodSpec>,
        /// Containers that have to be made anew for their resources.
        resized: Vec<usize>,
    },
    /// Stop. A later one can only shorten the time; 0 seconds kill at once.
    Stop {
        /// Seconds from now to SIGKILL.
        grace_seconds: u64,
    },
    /// Stop, and call the pod Failed for a reason of the pod's own, such as a sandbox that is broken for good.
    Fail {
        /// A word.
        reason: String,
        /// In words.
        message: String,
        /// As of [`Event::Stop`].
        grace_seconds: u64,
    },
    /// Answer to [`Action::Measure`].
    Measured {
        /// What was found, if it could be found out.
        usage: Option<DiskUsage>,
    },
    /// The time of [`Machine::deadline`] has come.
    Time,
}

impl Event {
    /// Of which container it is, if of one.
    fn index(&self) -> Option<usize> {
        match self {
            Self::Made { index, .. }
            | Self::NotMade { index, .. }
            | Self::Started { index }
            | Self::NotStarted { index, .. }
            | Self::Exited { index, .. }
            | Self::Probed { index, .. }
            | Self::Hooked { index, .. }
            | Self::Removed { index }
            | Self::Adopted { index, .. } => Some(*index),
            Self::Create
            | Self::Start
            | Self::SandboxChanged
            | Self::Update { .. }
            | Self::Stop { .. }
            | Self::Fail { .. }
            | Self::Measured { .. }
            | Self::Time => None,
        }
    }
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// It is well.
    Success,
    /// It is well, but somebody should look at it, such as a redirect to another host.
    Warning(String),
    /// It is not, or there was no answer in time.
    Failure(String),
    /// It could not be asked: counts neither way.
    Unknown(String),
}

/// How an init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// Nobody saw it.
    Unknown,
}

/// What the supervisor has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make the container. Answer: [`Event::Made`] or [`Event::NotMade`].
    Make {
        /// Which.
        index: usize,
        /// The number of its id and of its log.
        restart: u32,
        /// Start it as soon as it is made, without [`Action::Start`]. Further answer: as of that.
        at_once: bool,
    },
    /// Let its init go on to the program. Answer: [`Event::Started`] or [`Event::NotStarted`].
    Start {
        /// Which.
        index: usize,
    },
    /// Signal its init. No answer.
    Signal {
        /// Which.
        index: usize,
        /// What.
        signal: Signal,
    },
    /// Remove what is left of it; an init that never became the program is killed. Answer: [`Event::Removed`].
    Remove {
        /// Which.
        index: usize,
    },
    /// Ask one of its probes, once, for at most its timeout. Answer: [`Event::Probed`], unless its init ends first.
    Probe {
        /// Of which container.
        index: usize,
        /// Of which run.
        restart: u32,
        /// Which.
        kind: ProbeKind,
    },
    /// Run one of its hooks, for as long as it takes or until its init ends. Answer: [`Event::Hooked`]. Sleeping hooks
    /// and those that do nothing are the rules' own business.
    Hook {
        /// Of which container.
        index: usize,
        /// Of which run.
        restart: u32,
        /// Which.
        hook: HookKind,
    },
    /// Find out how much of the disk the pod takes. Answer: [`Event::Measured`].
    Measure,
    /// The pod has ended for good, and nothing of its containers is left.
    End,
}

/// The two signals that the rules know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The container's stop signal: `lifecycle.stopSignal`, else its image's, else SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
}
