//! Signalling, freezing, counting and limiting the processes of a container.

use super::Host;
use super::config;
use super::record::{self, Record, Status};
use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::state::process;
use oci_spec::runtime::LinuxResources;
use std::path::{Path, PathBuf};

/// Sends a signal to init, or to every process of the container; SIGKILL to all of them where the end of init would not
/// be theirs. Takes no lock: a kill must always go through.
///
/// # Errors
/// When the container does not exist or has stopped; clients match the words.
pub fn kill(host: &Host, id: &ContainerId, signal: i32, all: bool) -> Result<()> {
    let title = || format!("cannot kill container {:?}", id.as_str());
    let (_, record) = record::load(host, id)?;
    if all && let Some(cgroup) = &record.cgroup {
        // Init may be dead while others of a shared PID namespace are not; clients call this then.
        return cgroup.signal_all(signal).context(title);
    }
    if all && signal != libc::SIGKILL {
        return Err(Error::user("it has no cgroup to find all of its processes in")
            .hint("leave --all out: the signal goes to its init then"))
        .context(title);
    }
    // Asked before the signal, for afterwards nobody may be there to tell.
    let alone = match (&record.init, signal) {
        (Some(init), libc::SIGKILL) => process::leads_pid_namespace(init.pid).context(title)?,
        _ => true,
    };
    let sent = match &record.init {
        Some(init) => init.signal(signal).context(title)?,
        None => false,
    };
    if sent {
        report::debug(|| format!("sent signal {signal} to the init of container {:?}", id.as_str()));
    } else {
        // Others may have outlived an init that did not lead their PID namespace; SIGKILL is for all of them.
        if let (Some(cgroup), libc::SIGKILL) = (&record.cgroup, signal)
            && cgroup.processes().is_ok_and(|pids| !pids.is_empty())
        {
            return cgroup.signal_all(signal).context(title);
        }
        return Err(Error::user("container not running")).context(title);
    }
    match &record.cgroup {
        // In a PID namespace that init does not lead, its end is not the others'.
        Some(cgroup) if !alone => cgroup.signal_all(signal).context(title),
        // Nothing in a frozen group dies.
        Some(cgroup) if signal == libc::SIGKILL => cgroup.thaw_killed().context(title),
        _ => Ok(()),
    }
}

/// Pids of all processes of the container, as this process sees them.
///
/// # Errors
/// When the container does not exist, or has no cgroup to count in.
pub fn processes(host: &Host, id: &ContainerId) -> Result<Vec<i32>> {
    let (_, record) = record::load(host, id)?;
    group(&record)?.processes()
}

pub(super) fn group(record: &Record) -> Result<&Cgroup> {
    record
        .cgroup
        .as_ref()
        .ok_or_else(|| Error::user(format!("container {:?} has no cgroup", record.id.as_str())))
}

pub(super) fn in_state(host: &Host, id: &ContainerId, wanted: &[Status]) -> Result<(PathBuf, Record)> {
    let (directory, record) = record::load(host, id)?;
    let status = record.status(&directory)?;
    if wanted.contains(&status) {
        return Ok((directory, record));
    }
    let error = Error::user(match status {
        Status::Stopped => "container not running".to_owned(),
        other => format!("it is {other}"),
    });
    Err(error)
}

/// Freezes the container.
///
/// # Errors
/// When it does not run, or the freezer fails.
pub fn pause(host: &Host, id: &ContainerId) -> Result<()> {
    let freeze = || group(&in_state(host, id, &[Status::Created, Status::Running])?.1)?.freeze();
    freeze().context(|| format!("cannot pause container {:?}", id.as_str()))
}

/// Lets a frozen container run on.
///
/// # Errors
/// When it is not paused, or the freezer fails.
pub fn resume(host: &Host, id: &ContainerId) -> Result<()> {
    let thaw = || group(&in_state(host, id, &[Status::Paused])?.1)?.thaw();
    thaw().context(|| format!("cannot resume container {:?}", id.as_str()))
}

/// Changes the limits of a container: all that are given, or none. `schemata` are lines for its resctrl group.
///
/// # Errors
/// When it has stopped, or a limit is wrong or refused by the kernel.
pub fn update(host: &Host, id: &ContainerId, resources: &LinuxResources, schemata: &[String]) -> Result<()> {
    let update = || {
        let (directory, record) = in_state(host, id, &[Status::Created, Status::Running, Status::Paused])?;
        if !schemata.is_empty() {
            let rdt = record.rdt.as_ref().ok_or_else(|| {
                Error::user("it was made without linux.intelRdt, so it has no schema to change")
                    .hint("make it with linux.intelRdt, even an empty one")
            })?;
            rdt.write(schemata)?;
        }
        group(&record)?.update(&without_devices(&directory, resources)?)
    };
    update().context(|| format!("cannot update container {:?}", id.as_str()))
}

/// Clients send the whole of linux.resources; devices as they were need nothing done. Others cannot be had: on cgroup
/// v1 the change would deny everything for a moment, and what a plugin has allowed beside would be gone.
fn without_devices(directory: &Path, resources: &LinuxResources) -> Result<LinuxResources> {
    let mut resources = resources.clone();
    if let Some(devices) = resources.devices() {
        let config = config::load(directory)?;
        let had =
            config.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()?.devices().clone());
        if *devices != had.unwrap_or_default() {
            return Err(Error::user("linux.resources.devices cannot change while the container lives")
                .hint("leave devices out, or make the container anew"));
        }
        resources.set_devices(None);
    }
    Ok(resources)
}
