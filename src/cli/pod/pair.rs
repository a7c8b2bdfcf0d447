//! Speaking to a manifest pod's supervisor, which is started first where it does not live.

use super::views;
use crate::cli::seal;
use crate::container::{self, Host};
use crate::error::{Error, Kind, Result};
use crate::model::status::PodStatus;
use crate::pod::{self, Pod, PodKind, PodRef};
use crate::report;
use crate::state::layout;
use crate::supervisor::control::{self, Request};
use crate::supervisor::lock;
use crate::supervisor::spawn::{self, Started};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// A supervisor that dies while it is asked is asked again, when it lives again, so many times.
const ATTEMPTS: u32 = 50;
/// A supervisor that has just been started listens within a few of these.
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
/// One whose socket is not there after so many attempts has lost it to somebody.
const ATTEMPTS_BEFORE_ANOTHER: u32 = 10;

/// How long a supervisor may take to find that the pause is dead, and to make another.
const PAUSE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a new supervisor may take to look at the containers that an earlier one has left.
const BEGINNING_PATIENCE: Duration = Duration::from_secs(30);

/// Sees to it that the pod has a living supervisor.
///
/// # Errors
/// Those of [`spawn::ensure`]; for a half-made pod.
pub fn ensure(host: &Host, pod: &Pod) -> Result<Started> {
    let uid = pod.uid().ok_or_else(|| Error::not_found("the pod has no uid"))?;
    let (directory, deadline) = (pod.directory()?, Instant::now() + PAUSE_PATIENCE);
    while lock::holders(&directory)?.supervisor.is_some() {
        // It makes the pause anew, or cannot, and ends.
        if pod.pause_lives()? || Instant::now() >= deadline {
            return Ok(Started::Stood);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if !pod.pause_lives()? {
        heal(host, pod)?;
    }
    spawn::ensure(&host.layout, uid, seal::executable)
}

/// With both of the pair dead nobody holds the pod's namespaces any more but its containers, so that a pause that is dead
/// too must be made anew from these, before a supervisor looks for it. The same holds with a keeper that a supervisor made
/// just before it was killed: that has been given nothing.
fn heal(host: &Host, pod: &Pod) -> Result<()> {
    let reference = PodRef { namespace: pod.namespace().clone(), name: pod.name().clone() };
    let mut pod = pod::open(&host.layout, &reference)?;
    let containers = views(&pod, &container::list(host)?);
    pod.heal(&containers).map(drop)
}

/// As [`ensure`]; when this returns, a new supervisor knows what has become of the containers.
fn bring_to_life(host: &Host, pod: &Pod) -> Result<()> {
    match ensure(host, pod)? {
        Started::Stood => Ok(()),
        // It begins with the first request that comes, and signal 0 does nothing.
        Started::New => ask(host, pod, &Request::Kill { signal: 0 }, Some(BEGINNING_PATIENCE)),
    }
}

/// What the pod does, from a supervisor that lives while there is something to supervise. Whoever only looks is shown
/// what is known also where none can be started.
///
/// # Errors
/// When the status cannot be understood.
pub fn status(host: &Host, pod: &Pod) -> Result<Option<PodStatus>> {
    if pod.kind() == PodKind::Bare {
        return Ok(None);
    }
    let known = pod.status()?;
    // Without a status whoever makes the pod is about to start its supervisor; whoever deletes it has ended it.
    if known.as_ref().is_none_or(PodStatus::has_ended) || pod.confirm().is_err() {
        return Ok(known);
    }
    let ensured = bring_to_life(host, pod);
    let known = pod.status()?;
    // A pod that was deleted meanwhile needs none.
    if let (Err(error), Some(_)) = (ensured, &known) {
        report::warn(&error.to_string());
    }
    Ok(known)
}

/// Asks the supervisor, starting one if need be, and waits for its answer for `patience` at most.
///
/// # Errors
/// What it answers; kind Died when supervisors keep dying; a pod that is being deleted, unless it is to stop.
pub fn ask(host: &Host, pod: &Pod, request: &Request, patience: Option<Duration>) -> Result<()> {
    if !matches!(request, Request::Stop { .. }) {
        pod.confirm()?;
    }
    let path = pod.directory()?.join(layout::pod::CONTROL);
    repeated(&path, || {
        let asked = ensure(host, pod).and_then(|_| control::ask(&path, request, patience));
        match asked {
            // With nothing left to supervise it does not stay to answer.
            Err(error) if error.kind() == Kind::Died && has_ended(pod) => match request {
                Request::Stop { .. } | Request::Kill { .. } => Ok(()),
                _ => Err(Error::user("it has ended").hint("delete it, then make it again")),
            },
            other => other,
        }
    })
}

/// Whether the pod has ended for good.
fn has_ended(pod: &Pod) -> bool {
    pod.status().is_ok_and(|status| status.is_some_and(|status| status.has_ended()))
}

/// Tells the supervisor without waiting; the answer is [`control::hear`]d from what is returned, or seen in the status.
///
/// # Errors
/// Kind Died when supervisors keep dying.
pub fn tell(host: &Host, pod: &Pod, request: &Request) -> Result<OwnedFd> {
    let path = pod.directory()?.join(layout::pod::CONTROL);
    repeated(&path, || ensure(host, pod).and_then(|_| control::tell(&path, request)))
}

/// Tries again while supervisors die. One that lives and yet has no socket makes way for the next, which makes one.
fn repeated<T>(socket: &Path, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for number in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.kind() == Kind::Died => {}
            other => return other,
        }
        if let Some(directory) =
            socket.parent().filter(|_| number == ATTEMPTS_BEFORE_ANOTHER && !socket.exists())
        {
            lock::kill_supervisor(directory)?;
        }
        std::thread::sleep(PAUSE_BETWEEN_ATTEMPTS);
    }
    attempt()
}
