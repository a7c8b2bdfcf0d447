//! Removing a container, whole or half-made, without a trace.

use super::ended::{KILL_DEADLINE, hangs};
use super::hooks::{self, Hooks, State};
use super::namespaces::path_of;
use super::record::{self, Record, Status};
use super::{Host, config, directory};
use crate::cgroup::{self, Cgroup};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::state::atomic;
use crate::state::lock::DirectoryLock;
use crate::state::process::ProcessRef;
use crate::sys::{pidfd, tree};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command that is making a container may take to notice that it is being deleted.
const MAKER_DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked meanwhile whether it says so on record.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Deletes a container that is stopped or was never started; with `force` a running one too.
///
/// # Errors
/// When it does not exist (not with `force`), runs, or when something of it cannot be removed.
pub fn delete(host: &Host, id: &ContainerId, force: bool) -> Result<()> {
    let title = || format!("cannot delete container {:?}", id.as_str());
    directory::sweep(host).context(title)?;
    match claim_in_turn(&host.layout.container(id), force).context(title)? {
        Claim::Missing if force => Ok(()),
        Claim::Missing | Claim::Taken(_) => Err(record::not_found(id)),
        Claim::Damaged => destroy_damaged(host, id).context(title),
        Claim::Ours(record) => destroy(host, &record).context(title),
    }
}

/// Removes a container of this process's own, whose init has ended and is reaped, with what is left of its processes.
/// Where another command is deleting it, waits until that one has: what it removes might be made anew afterwards.
///
/// # Errors
/// When something of it cannot be removed; it can be tried again.
pub fn remove(host: &Host, id: &ContainerId) -> Result<()> {
    let title = || format!("cannot remove container {:?}", id.as_str());
    match claim_in_turn(&host.layout.container(id), true).context(title)? {
        Claim::Missing | Claim::Taken(_) => Ok(()),
        Claim::Damaged => destroy_damaged(host, id).context(title),
        Claim::Ours(record) => destroy(host, &record).context(title),
    }
}

/// Removes a container whose record cannot be read: its cgroup is where its config, or else its id, puts it.
fn destroy_damaged(host: &Host, id: &ContainerId) -> Result<()> {
    let directory = host.layout.container(id);
    let mut errors = Vec::new();
    let given = config::load(&directory).ok().and_then(|config| {
        let linux = config.spec.linux().as_ref()?;
        Some(linux.cgroups_path().as_deref()?.to_str()?.to_owned())
    });
    match cgroup::detect()?.resolve(given.as_deref(), id.as_str()) {
        Ok(group) => errors.extend(group.signal_all(libc::SIGKILL).and_then(|()| group.remove()).err()),
        Err(error) => errors.push(error),
    }
    errors.extend(directory::remove(host, &directory).err());
    Error::all("cannot remove everything", errors)
}

enum Claim {
    Missing,
    /// Another command is deleting it.
    Taken(ProcessRef),
    /// The record cannot be read, or somebody removed it.
    Damaged,
    /// It is ours to delete.
    Ours(Box<Record>),
}

/// Claims the container; where another command is deleting it, `force` waits for that one, since with `force` it is no
/// error that the container is gone.
fn claim_in_turn(directory: &Path, force: bool) -> Result<Claim> {
    loop {
        let other = match claim(directory, force)? {
            Claim::Taken(other) => other,
            claimed => return Ok(claimed),
        };
        let busy = || Error::user(format!("process {} is deleting it", other.pid));
        match other.open()? {
            None => {}
            Some(_) if !force => return Err(busy()),
            Some(pidfd) => {
                let ended = pidfd::wait_exit(pidfd.as_fd(), KILL_DEADLINE);
                if !ended.context(|| format!("cannot wait for process {}", other.pid))? {
                    return Err(busy().hint("end that process, then try again"));
                }
            }
        }
    }
}

/// Marks the record as being deleted by us, so that of two commands one does it and the other says so. On a full disk
/// both may do it, which comes to the same.
fn claim(directory: &Path, force: bool) -> Result<Claim> {
    let Some(_lock) = DirectoryLock::take(directory)? else { return Ok(Claim::Missing) };
    let mut record = match Record::read(directory) {
        Ok(Some(record)) => record,
        Ok(None) if !directory.exists() => return Ok(Claim::Missing),
        Ok(None) | Err(_) if force => return Ok(Claim::Damaged),
        Ok(None) => {
            return Err(Error::user("its record is missing").hint("podrun delete --force removes it"));
        }
        Err(error) => return Err(error),
    };
    if let Some(deleter) = &record.deleter
        && *deleter != record::own_process()?
        && deleter.is_alive()?
    {
        return Ok(Claim::Taken(deleter.clone()));
    }
    match record.status(directory)? {
        Status::Stopped => {}
        // A created container has run nothing of the user's; runc deletes it, too.
        Status::Created => {}
        _ if force => {}
        status => {
            return Err(Error::user(format!("it is not stopped: {status}"))
                .hint("stop it first (podrun kill), or delete it with --force"));
        }
    }
    record.deleter = Some(record::own_process()?);
    match atomic::if_there_is_room(record.write(directory)) {
        Ok(()) => Ok(Claim::Ours(Box::new(record))),
        // Moved away by another deleter, which ended while we looked at it.
        Err(error) if error.kind() == Kind::NotFound => Ok(Claim::Missing),
        Err(error) => Err(error),
    }
}

/// Kills what lives, then removes cgroup and files of a container that this process has claimed. Every step is done
/// whatever the others say.
///
/// # Errors
/// All errors of the steps; the record then stays, for another try by whomever.
pub fn destroy(host: &Host, record: &Record) -> Result<()> {
    let directory = host.layout.container(&record.id);
    let mut errors = Vec::new();
    match wait_for_maker(record, &directory) {
        Ok(()) => {
            errors.extend(end_processes(record, &directory));
            errors.extend(record.rdt.as_ref().and_then(|rdt| rdt.remove().err()));
        }
        Err(error) => errors.push(error),
    }
    if let (Some(scratch), true) = (&record.scratch, errors.is_empty()) {
        errors.extend(remove_scratch(scratch).err());
    }
    // They are in the directory that goes now, and due when it is gone.
    let hooks = if record.hooks && errors.is_empty() { poststop_hooks(&directory) } else { Hooks::default() };
    if errors.is_empty() {
        errors.extend(directory::remove(host, &directory).err());
    }
    if errors.is_empty() {
        let id = record.id.as_str();
        report::debug(|| format!("container {id:?} is gone: processes, cgroup, files in {directory:?}"));
        hooks.run_poststop(&State::of(record, None));
    }
    if !errors.is_empty() {
        errors.extend(Record::unclaim(&directory).err());
    }
    Error::all("cannot remove everything", errors)
}

/// The hooks of a container that is being removed; that goes on without them, should they be lost.
fn poststop_hooks(directory: &Path) -> Hooks {
    hooks::load(directory).unwrap_or_else(|error| {
        report::warn(&format!("cannot read the poststop hooks: {error}"));
        Hooks::default()
    })
}

/// Removes the cgroup when nobody of the container's is in it any more.
fn end_processes(record: &Record, directory: &Path) -> Vec<Error> {
    let init = match record.init.as_ref().map(ProcessRef::open).transpose() {
        Ok(init) => init.flatten(),
        Err(error) => return vec![error],
    };
    match &record.cgroup {
        // Most often the container has ended, and its groups are empty: then there is nobody to look for.
        Some(cgroup) if init.is_none() && cgroup.remove_empty() => Vec::new(),
        // The kernel ends all of a PID namespace with its init: who is there has put itself, or another container, into
        // a group of this one's.
        Some(cgroup) if init.is_none() && record.init.is_some() && had_own_pids(directory) => {
            if let Err(error) = cgroup.remove() {
                report::warn(&format!("{error}; it stays, since these are not the container's"));
            }
            Vec::new()
        }
        cgroup => {
            let mut errors: Vec<Error> = kill_all(init, cgroup.as_ref()).err().into_iter().collect();
            errors.extend(cgroup.as_ref().and_then(|cgroup| cgroup.remove().err()));
            errors
        }
    }
}

/// Whether the container had a PID namespace of its own. One whose config is lost is taken to have had none.
fn had_own_pids(directory: &Path) -> bool {
    let Ok(config) = config::load(directory) else { return false };
    let namespaces = config.spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let is_own = |entry: &LinuxNamespace| entry.typ() == LinuxNamespaceType::Pid && path_of(entry).is_none();
    namespaces.into_iter().flatten().any(is_own)
}

fn remove_scratch(scratch: &Path) -> Result<()> {
    match tree::remove(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {scratch:?}"))
        }
        _ => Ok(()),
    }
}

/// Waits until whoever is still making the container has given up, as it does when it sees the deleter on record, and
/// says so there or ends: what it makes until then is removed with the rest. One that hangs is killed, and its init
/// with it.
fn wait_for_maker(record: &Record, directory: &Path) -> Result<()> {
    if record.init.is_some() || record.given_up || record.maker == record::own_process()? {
        return Ok(());
    }
    let Some(maker) = record.maker.open()? else { return Ok(()) };
    let title = || format!("cannot wait for process {}, which is creating it", record.maker.pid);
    let deadline = Instant::now() + MAKER_DEADLINE;
    while Instant::now() < deadline {
        if pidfd::wait_exit(maker.as_fd(), BETWEEN_LOOKS).context(title)? {
            return Ok(());
        }
        if Record::read(directory)?.is_none_or(|now| now.given_up) {
            return Ok(());
        }
    }
    record.maker.signal(libc::SIGKILL).context(title)?;
    match pidfd::wait_exit(maker.as_fd(), KILL_DEADLINE).context(title)? {
        true => Ok(()),
        false => Err(Error::host("it does not end")).context(title),
    }
}

fn kill_all(init: Option<OwnedFd>, cgroup: Option<&Cgroup>) -> Result<()> {
    if let Some(init) = &init {
        match pidfd::send_signal(init.as_fd(), libc::SIGKILL) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                return Err(error).context(|| "cannot kill the init process");
            }
            _ => {}
        }
    }
    // Also thaws a frozen group, without which nothing in it would die.
    if let Some(cgroup) = cgroup {
        cgroup.signal_all(libc::SIGKILL)?;
    }
    let Some(init) = init else { return Ok(()) };
    if pidfd::wait_exit(init.as_fd(), KILL_DEADLINE).context(|| "cannot wait for the init process")? {
        return Ok(());
    }
    Err(hangs("its init process"))
}
