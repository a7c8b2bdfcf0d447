//! The supervisor of a manifest pod: one thread, one poll loop, parent of every container; and its keeper, which
//! outlives it.
//!
//! It acts; what is to be done is decided by [`lifecycle`](crate::lifecycle), which is told what happened and answers
//! with actions. Not here: reading manifests, making the sandbox, and what commands print.
//!
//! ```text
//! spawn, reply, lock   starting a pair of supervisor and keeper, and knowing whether it lives
//! keeper               the supervisor's end of the link to the keeper
//! control, requests    what commands ask, and when they are answered
//! poll, event_loop     waiting, telling the rules, doing what they say; later: what is to be tried again
//! crew, ending, output the containers and their streams; last_words: what they leave when they end
//! sandbox              replacing a keeper or a pause that died
//! attempt, attend      running a probe or a hook once; which, and telling what came of it
//! resize               other limits for containers that run
//! measure              how much of the disk the pod takes
//! runtime_spec         from a manifest and an image to the spec of a container
//! outcome, adopt       how a container ended, whoever was its parent; going on after a supervisor that was killed
//! ```
//!
//! The life of a supervisor: take over what the keeper holds, take the lock, open the control socket, say ready; with
//! the first command that comes the sandbox stands, and the loop begins. Killed, it is started again by the keeper and
//! goes on. When the pod has ended it says so to the keeper, and both are gone.

mod adopt;
mod attempt;
mod attend;
mod birth;
pub mod control;
mod crew;
mod ending;
mod event_loop;
pub mod keeper;
mod last_words;
mod later;
pub mod lock;
mod measure;
pub mod outcome;
mod output;
mod poll;
pub mod reply;
mod requests;
mod resize;
pub mod runtime_spec;
mod sandbox;
pub mod spawn;

use crate::error::{Context, Error, Kind, Result};
use crate::lifecycle::Machine;
use crate::pod::{self, Held, NamespaceKind};
use crate::state::atomic;
use crate::state::layout;
use crate::sys::process;
use crate::sys::socket;
use event_loop::{Beginning, Supervisor, now};
use keeper::KeeperLink;
use lock::Lock;
use poll::{Poll, Source, Trigger};
use sandbox::namespace_tag;
use spawn::{Birth, Identity};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How often a supervisor that nobody has asked for anything yet looks whether its pod is still there.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Becomes the supervisor that the words behind [`spawn::SUPERVISOR`] speak of, until its pod has ended.
///
/// # Errors
/// When it cannot go on. Unless the pod is gone, the keeper starts another.
pub fn main(words: &[OsString]) -> Result<()> {
    let Birth { identity, answer } = Birth::from_words(words)?;
    process::set_name(c"supervisor").context(|| "cannot name the process")?;
    let (keeper, held) = KeeperLink::take_over()?;
    let directory = identity.layout.pod(&identity.uid);
    let begun = || {
        let lock = Lock::open(&directory)?;
        if !lock.try_supervisor()? {
            return Err(Error::new(Kind::Exists, "another supervisor of the pod lives"));
        }
        let path = directory.join(layout::pod::CONTROL);
        let listener = socket::listen(&path).context(|| format!("cannot listen at {path:?}"))?;
        Ok((lock, listener))
    };
    let (lock, listener) = match begun() {
        Ok(begun) => begun,
        Err(error) => {
            // One that was started again is so once more, where the pod is not gone or another's: say of a full disk.
            if answer.is_some() || matches!(error.kind(), Kind::Exists | Kind::NotFound) {
                keeper.quit()?;
            }
            if let Some(answer) = answer {
                answer.failed(&error);
            }
            return Err(error);
        }
    };
    let is_new = atomic::read(&directory, layout::pod::STATUS)?.is_none();
    if let Some(answer) = answer {
        answer.ready();
    }
    if is_new {
        // The sandbox is made at the same time, and stands when somebody wants something of us.
        let poll = Poll::new()?;
        poll.add(&listener, Source::Listener, Trigger::Level)?;
        while poll.wait(Some(LOOK_AROUND))?.is_empty() {
            // Deleted before anybody wanted anything, perhaps while its keeper was starting us.
            if atomic::read(&directory, layout::pod::RECORD)?.is_none() {
                keeper.quit()?;
                return Err(Error::not_found("the pod is gone"));
            }
        }
    }
    let supervised = supervise(identity, keeper, held.into_iter().collect(), listener);
    drop(lock);
    supervised
}

fn supervise(
    identity: Identity,
    keeper: KeeperLink,
    mut held: HashMap<String, OwnedFd>,
    listener: OwnedFd,
) -> Result<()> {
    let pod = match open(&identity, &mut held) {
        Ok(pod) => pod,
        // Deleted, or never whole: nobody needs us.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::User) => {
            keeper.quit()?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let (spec, status) = (pod.pod().spec()?, pod.pod().status()?);
    let is_new = status.is_none();
    let machine = match status {
        None => Machine::new(&spec, &identity.uid),
        Some(status) => Machine::resume(&spec, &identity.uid, status, now()),
    };
    let mut supervisor = Supervisor::new(Beginning { identity, spec, held: pod, keeper, machine, listener })?;
    if !is_new {
        supervisor.adopt(held);
    }
    let keeper = supervisor.run()?;
    keeper.quit()
}

/// Opens the pod: by the namespaces that the keeper holds, or else by its pause.
fn open(identity: &Identity, held: &mut HashMap<String, OwnedFd>) -> Result<Held> {
    const KINDS: [NamespaceKind; 4] =
        [NamespaceKind::Net, NamespaceKind::Ipc, NamespaceKind::Uts, NamespaceKind::Pid];
    let namespaces: Vec<_> =
        KINDS.into_iter().filter_map(|kind| held.remove(&namespace_tag(kind)).map(|fd| (kind, fd))).collect();
    if namespaces.is_empty() {
        pod::hold(&identity.layout, &identity.uid)
    } else {
        pod::adopt(&identity.layout, &identity.uid, namespaces)
    }
}
