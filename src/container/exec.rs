//! Running one more program in a container.

use super::attributes::Attributes;
use super::config::Config;
use super::ended::end_child;
use super::enter::{Entrance, mappings};
use super::making::{pidfd_socket, publish};
use super::process::{self, ProcessPlan, Stdio, Surroundings, Terminal};
use super::record::{self, Record, Status};
use super::relay::Relay;
use super::{Host, config, labels, plan};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::seccomp;
use crate::sync::link::CommandEnd;
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::Child;
use caps::Capability;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::Process;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// What a program in the foreground has of the caller's standard streams. With a terminal it has but what is copied,
/// anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallerStreams {
    /// The descriptors themselves, which whatever runs in the container may keep and use for ever.
    #[default]
    HandedOver,
    /// What comes through pipes of its own, until it ends; without `stdin`, it reads nothing.
    Copied {
        /// The caller's stdin is passed on.
        stdin: bool,
    },
}

/// What `exec` is asked for.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// A process.json; it says everything that the fields below would.
    pub process: Option<PathBuf>,
    /// Command and arguments.
    pub args: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Return as soon as it runs.
    pub detach: bool,
    /// Where its standard streams come from, unless it is detached or has a console socket.
    pub streams: CallerStreams,
    /// `NAME=value` pairs, added to those of the container's process.
    pub env: Vec<String>,
    /// User, and group.
    pub user: Option<(u32, Option<u32>)>,
    /// Supplementary groups, added.
    pub additional_gids: Vec<u32>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Capabilities, added.
    pub caps: Vec<Capability>,
    /// Set no_new_privs.
    pub no_new_privs: bool,
    /// File that its pid is written to.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that the terminal's master is sent to.
    pub console_socket: Option<PathBuf>,
    /// Unix socket that its pidfd is sent to.
    pub pidfd_socket: Option<PathBuf>,
    /// Descriptors from 3 up that it keeps.
    pub preserve_fds: u32,
    /// Groups below the container's to put it into, see [`crate::cgroup::Cgroup::below`].
    pub cgroup: Vec<String>,
    /// Do not mind that the container is paused.
    pub ignore_paused: bool,
    /// Profile of AppArmor, in place of the container's.
    pub apparmor: Option<String>,
    /// Label of SELinux, in place of the container's.
    pub process_label: Option<String>,
}

/// Runs a program in a container. The result is its exit code (128+n for a signal), 0 when detached.
///
/// # Errors
/// When it could not be started; of kind [`Kind::NoProgram`] or [`Kind::NotExecutable`] where that is the program's
/// fault.
pub fn exec(host: &Host, id: &ContainerId, request: &ExecRequest) -> Result<i32> {
    let title = || format!("cannot exec in container {:?}", id.as_str());
    let (directory, record) = record::load(host, id)?;
    let status = record.status(&directory)?;
    match status {
        Status::Running | Status::Created => {}
        Status::Paused if request.ignore_paused => {}
        Status::Paused => {
            return Err(
                Error::user("cannot exec in a paused container").hint("resume it, or give --ignore-paused")
            )
            .context(title);
        }
        Status::Creating => return Err(Error::user("it is being created")).context(title),
        Status::Stopped => {
            return Err(Error::user("container not running: cannot exec in a stopped container"))
                .context(title);
        }
    }
    let container = config::load(&directory).context(title)?;
    let (spec_process, attributes) = spec_process(request, &container).context(title)?;
    let wants_terminal = spec_process.terminal().unwrap_or(false);
    let (mut relay, remote, stdio) = relay(request, wants_terminal).context(title)?;
    let seccomp =
        container.seccomp.as_deref().map(|text| seccomp::filter(&host.layout.seccomp_cache(), text));
    let surroundings = Surroundings {
        attributes,
        seccomp: seccomp.transpose().context(title)?,
        terminal: plan::terminal(wants_terminal, request.console_socket.as_deref(), remote).context(title)?,
        stdio,
        keyring: plan::keyring(&record.id, record.own_keyring),
        listen_fds: 0,
        preserve_fds: request.preserve_fds,
        mappings: mappings(&record).context(title)?,
    };
    let mut process = process::plan(&spec_process, surroundings).context(title)?;
    process.capabilities.add(&request.caps).context(title)?;
    let pidfd_socket = request.pidfd_socket.as_deref().map(pidfd_socket).transpose().context(title)?;
    let (link, child) = enter(&record, status, request, process).context(title)?;
    report::debug(|| format!("process {} is in container {:?} and ready", child.pid, id.as_str()));
    let started = publish(&child, request.pid_file.as_deref(), pidfd_socket)
        // From the moment that it runs, they are meant for the program.
        .and_then(|()| if request.detach { Ok(()) } else { relay.catch_signals() })
        .and_then(|()| go(&link));
    if let Err(error) = started {
        return Err(end_child(&child, record.cgroup.as_ref(), false, error)).context(title);
    }
    if request.detach {
        return Ok(0);
    }
    relay.run(&child).context(title)
}

/// What stands between, and the program's ends of it.
fn relay(request: &ExecRequest, terminal: bool) -> Result<(Relay, Option<Terminal>, Option<Stdio>)> {
    let foreground = request.console_socket.is_none() && !request.detach;
    let reads = match request.streams {
        CallerStreams::Copied { stdin } if foreground && !terminal => {
            let (relay, stdio) = Relay::through_pipes(stdin)?;
            return Ok((relay, None, Some(stdio)));
        }
        CallerStreams::Copied { stdin } => stdin,
        CallerStreams::HandedOver => true,
    };
    let (relay, remote) = Relay::plan(foreground, reads)?;
    Ok((relay, remote, None))
}

/// Says `Go` and waits until the program runs.
///
/// # Errors
/// When it cannot be executed.
pub fn go(link: &CommandEnd) -> Result<()> {
    if !link.send(&ToInit::Go)? {
        return Err(Error::new(Kind::Died, "the process died"));
    }
    loop {
        match link.receive()? {
            None => return Ok(()),
            Some(FromInit::Detached) => {}
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(_) => return Err(Error::new(Kind::Protocol, "cannot understand the process")),
        }
    }
}

/// The process of a process.json, or the container's own, changed by the flags.
fn spec_process(request: &ExecRequest, container: &Config) -> Result<(Process, Attributes)> {
    let containers = container.spec.process().as_ref();
    let containers = containers.ok_or_else(|| Error::user("the container's process is not known"))?;
    if let Some(path) = &request.process {
        let (mut process, attributes) = config::load_process(path)?;
        if request.tty {
            process.set_terminal(Some(true));
        }
        inherit(&mut process, containers);
        return Ok((process, attributes.or(&container.attributes)));
    }
    let mut process = containers.clone();
    process.set_args(Some(request.args.clone())).set_terminal(Some(request.tty)).set_console_size(None);
    if request.args.is_empty() {
        return Err(Error::user("there is no command").hint("podrun exec ID COMMAND..., or --process FILE"));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(request.env.iter().cloned());
    process.set_env(Some(env));
    if let Some((uid, gid)) = request.user {
        process.user_mut().set_uid(uid);
        if let Some(gid) = gid {
            process.user_mut().set_gid(gid);
        }
    }
    if !request.additional_gids.is_empty() {
        let mut groups = process.user().additional_gids().clone().unwrap_or_default();
        groups.extend(&request.additional_gids);
        process.user_mut().set_additional_gids(Some(groups));
    }
    if let Some(cwd) = &request.cwd {
        if !cwd.is_absolute() {
            return Err(Error::user(format!("--cwd {cwd:?} is not absolute")));
        }
        process.set_cwd(cwd.clone());
    }
    if request.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    // The container's OOM score was set for its first process, and its children inherit it; so must this one.
    let own = Attributes {
        apparmor: request.apparmor.clone(),
        selinux: request.process_label.clone(),
        ..Attributes::default()
    };
    let flag = |key: &str| if key == "selinuxLabel" { "--process-label" } else { "--apparmor" }.to_owned();
    labels::check_process(&own, flag)?;
    Ok((process, own.or(&container.attributes)))
}

/// What a process.json does not say is as it is for the container's own processes, as with runc: a process that is run
/// in a container shall not have more rights, or other limits, because nobody thought of them.
fn inherit(process: &mut Process, containers: &Process) {
    if process.capabilities().is_none() {
        process.set_capabilities(containers.capabilities().clone());
    }
    if process.rlimits().as_deref().unwrap_or_default().is_empty() {
        process.set_rlimits(containers.rlimits().clone());
    }
    if process.no_new_privileges().is_none() {
        process.set_no_new_privileges(containers.no_new_privileges());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(containers.oom_score_adj());
    }
}

/// Clones a process that joins the container, and waits until it is ready.
fn enter(
    record: &Record,
    status: Status,
    request: &ExecRequest,
    process: ProcessPlan,
) -> Result<(CommandEnd, Child)> {
    let mut entering = Entrance::open(record, status, &request.cgroup)?.enter(process, false)?;
    let arrival = loop {
        match entering.advance() {
            Ok(Some(child)) => break Ok(child),
            Ok(None) => {}
            Err(error) => break Err(error),
        }
        match poll(&mut [PollFd::new(entering.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => break Err(error).context(|| "cannot wait for the process"),
        }
    };
    match arrival {
        Ok(child) => Ok((entering.arrived()?, child)),
        Err(error) => Err(entering.fail(error)),
    }
}
