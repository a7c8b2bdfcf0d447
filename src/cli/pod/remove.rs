//! Ending a pod's containers, and removing a pod with everything of it.

use super::{pair, views};
use crate::cli::collected;
use crate::container::{self, Host};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::model::sandbox::ContainerView;
use crate::pod::{self, Pod, PodKind, PodRef};
use crate::state::layout;
use crate::supervisor::control::{self, Request};
use crate::supervisor::spawn;
use crate::sys::pidfd;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often it is looked whether the containers of a bare pod have ended.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// Seconds between the stop signal and SIGKILL, where nobody says.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// How much longer than the grace period a supervisor may take to answer.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How long another deletion is waited for that gives the containers their time: that has its own end.
const GRACEFUL_PATIENCE: Duration = Duration::from_secs(u32::MAX as u64);
/// How long a forced deletion waits for another one, which has nothing left to wait for.
const FORCED_PATIENCE: Duration = Duration::from_secs(10);

/// How a pod's containers end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Asked first, with so many seconds to do it; the pod's own grace period where there is no number.
    Gracefully(Option<u64>),
    /// Killed.
    Forced,
}

/// Deletes the pod. What is half-made, or left by a command that was killed here, goes too.
///
/// # Errors
/// All that could not be removed, and another command that deletes the pod. The pod is still there then.
pub fn remove(host: &Host, pod: &mut Pod, how: How) -> Result<()> {
    if pod.kind() == PodKind::Manifest
        && let Some(other) = pod.other_deleter()?
    {
        return hurry(host, pod, how, &other);
    }
    let graceful = how != How::Forced && pod.kind() == PodKind::Manifest && !has_ended(pod);
    if graceful && !pod.is_deleting() {
        // A pod that is being deleted gets no new pause. What goes wrong here is told by who asks the supervisor.
        drop(pair::ensure(host, pod));
    }
    pod.begin_delete()?;
    let name = pod.name().clone();
    if let How::Gracefully(grace) = how {
        stop(host, pod, grace).map_err(|error| unstopped(&error, name.as_str()))?;
    }
    let mut errors = Vec::new();
    // Before its containers, lest it makes them anew.
    errors.extend(end_pair(pod).err());
    if errors.is_empty() {
        errors.extend(delete_containers(host, pod).err());
        errors.extend(pod.finish_delete().err());
    }
    collected(|_| format!("cannot delete pod {:?}", name.as_str()), errors)
}

/// Another command deletes the pod already: its containers get no more time than we would give them, and what is left
/// when it has ended, however, is ours.
fn hurry(host: &Host, pod: &Pod, how: How, other: &OwnedFd) -> Result<()> {
    let grace_seconds = match how {
        How::Forced => Some(0),
        How::Gracefully(grace) => grace,
    };
    // Where nobody listens any more the other has got further already.
    let path = pod.directory()?.join(layout::pod::CONTROL);
    drop(control::tell(&path, &Request::Stop { grace_seconds }));
    let patience = if how == How::Forced { FORCED_PATIENCE } else { GRACEFUL_PATIENCE };
    if !pidfd::wait_exit(other.as_fd(), patience).context(|| "cannot wait for the other deletion")? {
        let name = pod.name();
        return Err(Error::user(format!("cannot delete pod \"{name}\": another command is deleting it"))
            .hint("end that command, and try again"));
    }
    let reference = PodRef { namespace: pod.namespace().clone(), name: pod.name().clone() };
    match pod::open(&host.layout, &reference) {
        Ok(mut left) if left.uid() == pod.uid() => remove(host, &mut left, how),
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        // Gone, or another pod by now.
        _ => Ok(()),
    }
}

/// As text, since the remedy of a cause would win over this one.
fn unstopped(error: &Error, name: &str) -> Error {
    let remedy = error.remedy().map_or_else(String::new, |remedy| format!("; {remedy}"));
    Error::new(error.kind(), format!("cannot delete pod {name:?}: {error}"))
        .hint(format!("podrun pod delete --force {name} removes it all the same{remedy}"))
}

fn has_ended(pod: &Pod) -> bool {
    pod.status().is_ok_and(|status| status.is_some_and(|status| status.has_ended()))
}

/// Asks the pod's containers to end, and kills those that have not when the time is over.
///
/// # Errors
/// When they cannot be asked, or do not end.
pub fn stop(host: &Host, pod: &Pod, grace: Option<u64>) -> Result<()> {
    match pod.kind() {
        PodKind::Manifest => stop_supervised(host, pod, grace),
        PodKind::Bare => {
            let grace = grace.unwrap_or(DEFAULT_GRACE_SECONDS);
            stop_bare(host, &views(pod, &container::list(host)?), Duration::from_secs(grace))
        }
    }
}

fn stop_supervised(host: &Host, pod: &Pod, grace: Option<u64>) -> Result<()> {
    // Without a status its supervisor has never begun, so that there is nothing to stop.
    if has_ended(pod) || pod.is_deleting() && matches!(pod.status(), Ok(None)) {
        return Ok(());
    }
    let seconds = grace.or_else(|| pod.spec().ok().map(|spec| spec.termination_grace_period_seconds));
    let patience =
        Duration::from_secs(seconds.unwrap_or(DEFAULT_GRACE_SECONDS)).saturating_add(STOP_PATIENCE);
    pair::ask(host, pod, &Request::Stop { grace_seconds: grace }, Some(patience))
}

/// Kills supervisor and keeper. A pod whose record cannot be read may have them, too.
fn end_pair(pod: &Pod) -> Result<()> {
    let may_have_one = pod.kind() == PodKind::Manifest || pod.directory().is_err();
    match pod.uid() {
        Some(uid) if may_have_one => spawn::end(uid),
        _ => Ok(()),
    }
}

/// Deletes the pod's containers, whatever they do. The pod takes no new ones by now.
fn delete_containers(host: &Host, pod: &Pod) -> Result<()> {
    let containers = views(pod, &container::list(host)?);
    let delete = |view| match container::delete(host, &id(view)?, true) {
        // Its supervisor was about to do the same.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    };
    let errors = containers.iter().filter_map(|view| delete(view).err()).collect();
    collected(|count| format!("cannot delete {count} containers"), errors)
}

/// Asks the containers to end, waits until they have or the time is over, and kills them then.
fn stop_bare(host: &Host, containers: &[ContainerView], grace: Duration) -> Result<()> {
    // A grace period may be longer than clocks go: its end never comes.
    let deadline = Instant::now().checked_add(grace);
    let mut waiting = Vec::new();
    let signal = if grace.is_zero() { libc::SIGKILL } else { libc::SIGTERM };
    for view in containers.iter().filter(|view| view.pid.is_some()) {
        let id = id(view)?;
        // One that has ended meanwhile is what we want.
        if container::kill(host, &id, signal, false).is_ok() {
            waiting.push(id);
        }
    }
    loop {
        waiting.retain(|id| container::state(host, id).is_ok_and(|state| state.pid > 0));
        if waiting.is_empty() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        std::thread::sleep(PAUSE_BETWEEN_LOOKS);
    }
    for id in waiting.iter().filter(|_| signal != libc::SIGKILL) {
        match container::kill(host, id, libc::SIGKILL, false) {
            Err(error) if container::state(host, id).is_ok_and(|state| state.pid > 0) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn id(view: &ContainerView) -> Result<ContainerId> {
    view.id.parse()
}
