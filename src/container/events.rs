//! What a container uses, and what happens to it, for as long as it lives.

use super::Host;
use super::record::{Record, Status};
use super::signal::{group, in_state};
use crate::cgroup::{Cgroup, OomWatch, Stats};
use crate::error::{Context, Error, Result};
use crate::model::ids::ContainerId;
use crate::state::process::ProcessRef;
use crate::sys::pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Something to tell of a container.
#[derive(Debug)]
pub enum Event {
    /// What it uses now.
    Stats(Box<Stats>),
    /// It ran out of memory.
    Oom,
}

/// What a container uses now.
///
/// # Errors
/// When it does not exist, has stopped, or has no cgroup.
pub fn stats(host: &Host, id: &ContainerId) -> Result<Stats> {
    let stats = || stats_of(&alive(host, id)?);
    stats().context(|| title(id))
}

fn stats_of(record: &Record) -> Result<Stats> {
    let mut stats = group(record)?.stats()?;
    if let Some(rdt) = &record.rdt {
        stats.add_rdt(rdt);
    }
    Ok(stats)
}

/// Tells what happens to a container until its init ends, or `reader`, when it is a pipe, has lost its other end.
/// [`Event::Stats`] comes every `interval`, the first after one.
///
/// # Errors
/// As [`stats()`], and those of `tell`.
pub fn watch(
    host: &Host,
    id: &ContainerId,
    interval: Duration,
    reader: BorrowedFd<'_>,
    mut tell: impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let record = alive(host, id).context(|| title(id))?;
    let Some(init) = record.init.as_ref().map(ProcessRef::open).transpose()?.flatten() else {
        return Err(Error::user("container not running")).context(|| title(id));
    };
    let mut oom = group(&record).and_then(Cgroup::watch_oom).context(|| title(id))?;
    let mut next = Instant::now() + interval;
    loop {
        let woken = wait(init.as_fd(), oom.as_ref(), reader, next).context(|| title(id))?;
        // Also when init has ended: that may be why.
        if oom.as_mut().map_or(Ok(false), OomWatch::happened)? {
            tell(Event::Oom)?;
        }
        if woken == Woken::AtTheEnd {
            return Ok(());
        }
        if Instant::now() >= next {
            let stats = stats_of(&record);
            // With the last process the group may have gone while its counters were read.
            if pidfd::wait_exit(init.as_fd(), Duration::ZERO).context(|| title(id))? {
                return Ok(());
            }
            tell(Event::Stats(Box::new(stats.context(|| title(id))?)))?;
            // Not a burst of them after a time of no processor.
            next = (next + interval).max(Instant::now());
        }
    }
}

fn title(id: &ContainerId) -> String {
    format!("cannot tell the events of container {:?}", id.as_str())
}

fn alive(host: &Host, id: &ContainerId) -> Result<Record> {
    Ok(in_state(host, id, &[Status::Created, Status::Running, Status::Paused])?.1)
}

/// Why the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// There is something to look at.
    BySomething,
    /// The container has ended, or nobody listens.
    AtTheEnd,
}

fn wait(
    init: BorrowedFd<'_>,
    oom: Option<&OomWatch>,
    reader: BorrowedFd<'_>,
    next: Instant,
) -> Result<Woken> {
    // Nothing is asked of the reader: an error is told all the same.
    let mut all = vec![PollFd::new(init, PollFlags::POLLIN), PollFd::new(reader, PollFlags::empty())];
    all.extend(oom.map(|oom| PollFd::new(oom.fd(), PollFlags::POLLIN)));
    let left = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    let timeout =
        PollTimeout::try_from(left.min(u128::from(i32::MAX.cast_unsigned()))).unwrap_or(PollTimeout::MAX);
    match poll(&mut all, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).context(|| "cannot wait"),
    }
    let has = |place: usize, flags: PollFlags| {
        all.get(place).and_then(PollFd::revents).is_some_and(|now| now.intersects(flags))
    };
    let ended =
        has(0, PollFlags::POLLIN) || has(1, PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
    Ok(if ended { Woken::AtTheEnd } else { Woken::BySomething })
}
