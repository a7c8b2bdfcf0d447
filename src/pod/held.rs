//! A pod as its supervisor holds it: the namespaces stay open by descriptor, so that they outlive the pause, which is
//! made anew in them when it dies.
//!
//! Invariant: every descriptor is of the namespace that the record names; of the pod's PID namespace there is none
//! while the pause is dead, because that namespace died with it. Of a pod that is being deleted any may be missing.

use crate::error::{Context, Error, Result};
use crate::model::ids::PodUid;
use crate::model::sandbox::Sandbox;
use crate::pod::record::{PauseRecord, Record};
use crate::pod::{NamespaceKind, Pod, delete_command, namespaces};
use crate::state::layout::Layout;
use crate::state::process::ProcessRef;
use crate::sys::pidfd;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A manifest pod, held open.
#[derive(Debug)]
pub struct Held {
    pod: Pod,
    pause: Option<OwnedFd>,
    namespaces: Vec<(NamespaceKind, OwnedFd)>,
}

/// How long the command that makes the pod may take to record its pause, and how often that is looked for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// Opens the pod for its supervisor. While a living command is about to record the pause, this waits, up to 10 s.
///
/// # Errors
/// When the pod is gone or half-made, and when its pause is dead, unless it is being deleted: what can be done then,
/// [`adopt`] does.
pub fn hold(layout: &Layout, uid: &PodUid) -> Result<Held> {
    adopt(layout, uid, Vec::new())
}

/// As [`hold`], with descriptors of the namespaces that an earlier supervisor left ([`Held::namespace_fds`]): with them
/// a dead pause is no error, and [`Held::renew_pause`] makes a new one. Descriptors that are not the pod's are dropped.
///
/// # Errors
/// When the pod is gone or half-made, or a namespace is neither among `given` nor held by a living pause; a pod that is
/// being deleted may lack them.
pub fn adopt(layout: &Layout, uid: &PodUid, given: Vec<(NamespaceKind, OwnedFd)>) -> Result<Held> {
    let mut held = Held { pod: made(layout, uid)?, pause: None, namespaces: given };
    held.refresh()?;
    Ok(held)
}

/// The pod, once it has a pause.
fn made(layout: &Layout, uid: &PodUid) -> Result<Pod> {
    let deadline = Instant::now() + PATIENCE;
    let mut maker_lives = true;
    loop {
        let pod = Pod::of_uid(layout, uid)?;
        let record = pod.record()?;
        if record.pause.is_some() {
            return Ok(pod);
        }
        record.refuse_deleting()?;
        // A maker that is gone may have recorded the pause before: looked at once more.
        if !maker_lives || Instant::now() >= deadline {
            return Err(pod.half_made());
        }
        maker_lives = match record.maker.open()? {
            Some(maker) => !pidfd::wait_exit(maker.as_fd(), PAUSE_BETWEEN_LOOKS)
                .context(|| format!("cannot watch process {}", record.maker.pid))?,
            None => false,
        };
    }
}

impl Held {
    /// The pod as it was when its pause was made.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Whether the pod still takes containers; to be asked at each timer, and before a container is made.
    ///
    /// # Errors
    /// NotFound when the pod is gone; kind User when it is being deleted.
    pub fn confirm(&self) -> Result<()> {
        self.pod.confirm()
    }

    /// The sandbox for a container to join, with a descriptor of its own. A pause that dies while the container is
    /// being made fails that container: then see [`Held::pause_lives`], [`Held::renew_pause`], and make it again.
    ///
    /// # Errors
    /// When the pause is dead.
    pub fn sandbox(&self) -> Result<Sandbox> {
        let record = self.pod.record()?;
        let pause = recorded_pause(&self.pod, record)?;
        if !self.pause_lives() {
            return Err(Error::host(format!("the pause process of pod {} is gone", self.pod.shown())));
        }
        let pidfd = self.pause.as_ref().map(OwnedFd::try_clone).transpose();
        let pidfd = pidfd.context(|| "cannot copy a descriptor")?.ok_or_else(|| self.pod.half_made())?;
        Ok(self.pod.sandbox_of(record, pause, pidfd))
    }

    /// Pidfd of the pause: it can be read when the pause has ended. None when it was dead already.
    pub fn pause_pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pause.as_ref().map(AsFd::as_fd)
    }

    /// Whether the pause lives.
    pub fn pause_lives(&self) -> bool {
        let ended = |pidfd: &OwnedFd| pidfd::wait_exit(pidfd.as_fd(), Duration::ZERO);
        self.pause.as_ref().is_some_and(|pidfd| matches!(ended(pidfd), Ok(false)))
    }

    /// What to leave with the keeper for [`adopt`], to be done again after [`Held::renew_pause`]: with a shared PID
    /// namespace the one of the new pause is another.
    pub fn namespace_fds(&self) -> impl Iterator<Item = (NamespaceKind, BorrowedFd<'_>)> {
        self.namespaces.iter().map(|(kind, fd)| (*kind, fd.as_fd()))
    }

    /// The pod's namespace of that kind, unless it is the host's.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<BorrowedFd<'_>> {
        self.namespaces.iter().find(|(held, _)| *held == kind).map(|(_, fd)| fd.as_fd())
    }

    /// Makes a new pause in the namespaces that are held, unless there is a living one. Where the pod shares a PID
    /// namespace all its processes ended with the old pause; the new one has a new PID namespace.
    ///
    /// The new pause is a child of this process; when it has died, this reaps it.
    ///
    /// # Errors
    /// When the pod is gone or being deleted, or no pause can be made.
    pub fn renew_pause(&mut self) -> Result<()> {
        let record = self.pod.reread()?;
        record.refuse_deleting()?;
        let pause = &recorded_pause(&self.pod, &record)?.process;
        self.reap_pause(pause)?;
        if !pause.is_alive()? {
            let joined: Vec<_> = (self.namespace_fds())
                .filter(|(kind, _)| *kind != NamespaceKind::Pid)
                .map(|(kind, fd)| (fd, kind.flag()))
                .collect();
            self.pod.replace_pause(&record, &joined)?;
        }
        self.refresh()
    }

    /// Takes record and pause as they are now, and brings the descriptors in line.
    fn refresh(&mut self) -> Result<()> {
        let record = self.pod.reread()?;
        let pause = recorded_pause(&self.pod, &record)?;
        let pidfd = pause.process.open()?;
        let mut known = std::mem::take(&mut self.namespaces);
        for kind in namespaces::owned(record.network, record.share_pid) {
            let inode = kind.inode(&pause.namespaces).ok_or_else(|| self.pod.half_made())?;
            let fits =
                |(other, fd): &(NamespaceKind, OwnedFd)| *other == kind && namespaces::is(fd.as_fd(), inode);
            let fd = match (known.iter().position(fits), &pidfd) {
                (Some(place), _) => Some(known.swap_remove(place).1),
                (None, Some(pidfd)) => open_of_pause(pause, pidfd, kind)?,
                (None, None) => None,
            };
            match fd {
                Some(fd) => self.namespaces.push((kind, fd)),
                // A pod that is being deleted takes no container that would join it.
                None if kind == NamespaceKind::Pid || record.deleting.is_some() => {}
                None => return Err(self.lost(kind)),
            }
        }
        self.pause = pidfd;
        self.pod.replace_record(record);
        Ok(())
    }

    fn lost(&self, kind: NamespaceKind) -> Error {
        let pod = self.pod.shown();
        Error::host(format!("the pause process of pod {pod} is gone, and with it the pod's {kind} namespace"))
            .hint(format!("delete it: {}", delete_command(self.pod.namespace(), self.pod.name())))
    }

    /// Reaps the pause that was held, and the one on record, which may have died before it could be: each is this
    /// process's child if this process made it. A pid is certainly its own by the descriptor, or while it is a zombie's.
    fn reap_pause(&self, recorded: &ProcessRef) -> Result<()> {
        let zombie = (recorded.state()? == Some('Z')).then(|| Id::Pid(Pid::from_raw(recorded.pid)));
        for id in self.pause_pidfd().map(Id::PIDFd).into_iter().chain(zombie) {
            // ECHILD where it was another's.
            let _reaped = waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
        Ok(())
    }
}

/// The namespace, by the file of a pause that lives even afterwards: a namespace's inode may be another's soon after it
/// is gone, so that comparing it would prove nothing.
fn open_of_pause(pause: &PauseRecord, pidfd: &OwnedFd, kind: NamespaceKind) -> Result<Option<OwnedFd>> {
    let opened = namespaces::open_of(pause.process.pid, kind);
    let ended = pidfd::wait_exit(pidfd.as_fd(), Duration::ZERO);
    if ended.context(|| format!("cannot watch the pause process {}", pause.process.pid))? {
        return Ok(None);
    }
    opened.map(Some)
}

fn recorded_pause<'a>(pod: &Pod, record: &'a Record) -> Result<&'a PauseRecord> {
    record.pause.as_ref().ok_or_else(|| pod.half_made())
}
