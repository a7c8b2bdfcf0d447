//! Opening a pod's sandbox for a container, and giving it a new pause when the old one was killed.
//!
//! Invariant: the pause that a record names was made for that record's namespaces.

use crate::error::{Context, Error, Result};
use crate::model::sandbox::{ContainerView, Sandbox};
use crate::pod::limits::PAUSE_CGROUP;
use crate::pod::paths::Paths;
use crate::pod::pause::{self, Candidate, Namespaces, Plan};
use crate::pod::record::{self, PauseRecord, Record};
use crate::pod::request::Network;
use crate::pod::{Pod, namespaces};
use crate::programs::{self, Program};
use crate::state::process;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Pod {
    /// Opens the sandbox for a container to join.
    ///
    /// # Errors
    /// When the pod is half-made or being deleted, and when its pause is gone: [`Pod::heal`] comes first.
    pub fn sandbox(&self) -> Result<Sandbox> {
        let record = self.reread()?;
        record.refuse_deleting()?;
        let gone = || {
            let error = Error::user(format!("the pause process of pod {} is gone", self.shown()));
            error.hint(format!("delete the pod: podrun pod delete {}", record.name))
        };
        let pause = record.pause.as_ref().ok_or_else(|| self.half_made())?;
        let pidfd = pause.process.open()?.ok_or_else(gone)?;
        Ok(self.sandbox_of(&record, pause, pidfd))
    }

    /// The sandbox that the record describes, with a pidfd of its pause.
    pub(super) fn sandbox_of(&self, record: &Record, pause: &PauseRecord, pidfd: OwnedFd) -> Sandbox {
        let paths = self.paths(record);
        Sandbox {
            uid: record.uid.clone(),
            title: format!("{}/{}", record.namespace, record.name),
            pause: pidfd,
            pause_pid: pause.process.pid,
            inodes: pause.namespaces,
            host_network: record.network == Network::Host,
            cgroup_path: record.cgroup.path(),
            hostname: record.hostname.clone(),
            etc: paths.etc(),
            shm: paths.shm(),
            volumes: record.volumes.iter().map(|v| (v.name.clone(), v.path.clone())).collect(),
        }
    }

    /// Whether the pod still takes containers. A container's maker asks this once its container is recorded: whoever
    /// deletes the pod marks it first and looks for containers then, so that one of the two sees the other.
    ///
    /// # Errors
    /// When the pod is gone or being deleted.
    pub fn confirm(&self) -> Result<()> {
        self.reread()?.refuse_deleting()
    }

    /// Whether the pause on record lives; true also of a pod that has none yet or is being deleted.
    ///
    /// # Errors
    /// When the pod is gone, or /proc cannot be read.
    pub fn pause_lives(&self) -> Result<bool> {
        let lives = |record: &Record| match &record.pause {
            Some(pause) if record.deleting.is_none() => pause.process.is_alive(),
            _ => Ok(true),
        };
        // A dead one may have been replaced since the record was read.
        let known = self.record().map_or(Ok(false), lives)?;
        Ok(known || lives(&self.reread()?)?)
    }

    /// Makes a new pause from the namespaces of a live container if the old one was killed. Says whether the pod has a
    /// pause now: without a live container, or where the pause was the first process of the pod's PID namespace (the
    /// kernel then kills all others), the pod has failed.
    ///
    /// # Errors
    /// When a new pause cannot be made.
    pub fn heal(&mut self, containers: &[ContainerView]) -> Result<bool> {
        let Ok(record) = self.record() else { return Ok(false) };
        let Some(old) = &record.pause else { return Ok(false) };
        if old.process.is_alive()? {
            return Ok(true);
        }
        if record.share_pid || record.deleting.is_some() || record.is_of_another_boot(&process::boot_id()?) {
            return Ok(false);
        }
        let Some(member) = namespaces::member(containers, old.namespaces)? else { return Ok(false) };
        let joined = [(member.as_fd(), namespaces::joined(record.network))];
        let healed = self.replace_pause(record, &joined)?;
        self.replace_record(healed);
        Ok(true)
    }

    /// Makes a new pause, which joins the namespaces given (each descriptor with its flags) and has a new PID namespace
    /// where the pod shares one, and returns the record that names it, or another that somebody else made meanwhile.
    ///
    /// # Errors
    /// When the pod is being deleted, or no pause can be made.
    pub(super) fn replace_pause(
        &self,
        record: &Record,
        joined: &[(BorrowedFd<'_>, libc::c_int)],
    ) -> Result<Record> {
        self.make_heir(record, joined)
            .and_then(|heir| install(&self.paths(record), heir, record.share_pid))
            .context(|| format!("cannot make a new pause for pod {}", self.shown()))
    }

    fn make_heir(&self, record: &Record, joined: &[(BorrowedFd<'_>, libc::c_int)]) -> Result<Candidate> {
        let paths = self.paths(record);
        let starting = pause::spawn(&Plan {
            namespaces: Namespaces::Of { joined, new_pid: record.share_pid },
            network: record.network,
            cgroup: record.cgroup.child(PAUSE_CGROUP).entry()?,
            program: programs::sealed(self.layout(), Program::Pause)?,
            mount_point: paths.state(),
            title: title(record)?,
        })?;
        starting.ready()
    }
}

/// Records the candidate as the pod's pause, unless another command was faster: then its pause is the one.
fn install(paths: &Paths, heir: Candidate, share_pid: bool) -> Result<Record> {
    let (process, namespaces) = (heir.process()?, heir.namespaces(share_pid)?);
    let mut needed = true;
    let record = record::update(paths.state(), |now| {
        now.refuse_deleting()?;
        needed = match &now.pause {
            Some(pause) => !pause.process.is_alive()?,
            None => true,
        };
        if needed {
            now.pause = Some(PauseRecord { process, namespaces });
        }
        Ok(())
    })?;
    if needed {
        heir.release()?;
    }
    Ok(record)
}

/// What ps shows of a pause.
pub(super) fn title(record: &Record) -> Result<CString> {
    CString::new(format!("{}/{}", record.namespace, record.name))
        .map_err(|_| Error::user("the pod's name has a NUL byte"))
}
