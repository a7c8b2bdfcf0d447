//! Running one more program in a container.

use super::create::clone_hint;
use super::ended::{end_child, killed, suspect_filter};
use super::init::join::JoinPlan;
use super::init::{self, InitPlan};
use super::making::publish;
use super::process::{self, ProcessPlan, Surroundings};
use super::record::{self, Record, Status};
use super::relay::Relay;
use super::{Host, config, plan};
use crate::cgroup::{Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::seccomp;
use crate::sync::link::{self, CommandEnd};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::{Child, CloneArgs, single_threaded, spawn};
use crate::sys::{pidfd, socket};
use caps::Capability;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use oci_spec::runtime::Process;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

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
    /// A group below the container's to put it into.
    pub cgroup: Option<String>,
    /// Do not mind that the container is paused.
    pub ignore_paused: bool,
}

/// Runs a program in a container. The result is its exit code (128+n for a signal), 0 when detached.
///
/// # Errors
/// When it could not be started; of kind [`Kind::NoProgram`] or [`Kind::NotExecutable`] where that is the program's
/// fault.
pub fn exec(host: &Host, id: &ContainerId, request: &ExecRequest) -> Result<i32> {
    let title = || format!("cannot exec in container {:?}", id.as_str());
    let (directory, record) = record::load(host, id)?;
    match record.status(&directory)? {
        Status::Running | Status::Created => {}
        Status::Paused if request.ignore_paused => {}
        Status::Paused => {
            return Err(Error::user("it is paused").hint("resume it, or give --ignore-paused"))
                .context(title);
        }
        Status::Creating => return Err(Error::user("it is being created")).context(title),
        Status::Stopped => return Err(Error::user("container not running")).context(title),
    }
    let container = config::load(&directory).context(title)?;
    let spec_process = spec_process(request, container.spec.process().as_ref()).context(title)?;
    let wants_terminal = spec_process.terminal().unwrap_or(false);
    let relay = Relay::plan(request.console_socket.is_none() && !request.detach).context(title)?;
    let seccomp =
        container.seccomp.as_deref().map(|text| seccomp::filter(&host.layout.seccomp_cache(), text));
    let (mut relay, remote) = relay;
    let surroundings = Surroundings {
        seccomp: seccomp.transpose().context(title)?,
        terminal: plan::terminal(wants_terminal, request.console_socket.as_deref(), remote).context(title)?,
        stdio: None,
        keyring: plan::keyring(&record.id, record.own_keyring),
        preserved_fds: request.preserve_fds,
        listen_fds: 0,
    };
    let mut process = process::plan(&spec_process, surroundings).context(title)?;
    process.capabilities.add(&request.caps);
    let pidfd_socket = request.pidfd_socket.as_deref().map(socket::connect).transpose();
    let pidfd_socket =
        pidfd_socket.context_as(Kind::User, || "cannot connect to the pidfd socket").context(title)?;
    let (link, child) = clone_into(&record, request, process).context(title)?;
    let started = publish(&child, request.pid_file.as_deref(), pidfd_socket).and_then(|()| go(&link));
    if let Err(error) = started {
        return Err(end_child(&child, record.cgroup.as_ref(), false, error)).context(title);
    }
    if request.detach {
        return Ok(0);
    }
    relay.run(&child).context(title)
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
fn spec_process(request: &ExecRequest, containers: Option<&Process>) -> Result<Process> {
    if let Some(path) = &request.process {
        let mut process = config::load_process(path)?;
        if request.tty {
            process.set_terminal(Some(true));
        }
        return Ok(process);
    }
    let mut process =
        containers.cloned().ok_or_else(|| Error::user("the container's process is not known"))?;
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
    Ok(process)
}

/// Clones a process that joins the container, and waits until it is ready.
fn clone_into(
    record: &Record,
    request: &ExecRequest,
    mut process: ProcessPlan,
) -> Result<(CommandEnd, Child)> {
    let stopped = || Error::user("container not running");
    let init = record
        .init
        .as_ref()
        .map(crate::state::process::ProcessRef::open)
        .transpose()?
        .flatten()
        .ok_or_else(stopped)?;
    let entry = match (&record.cgroup, &request.cgroup) {
        (None, None) => None,
        (None, Some(_)) => return Err(Error::user("--cgroup: the container has no cgroup")),
        (Some(group), None) => Some(group.entry()?),
        (Some(group), Some(name)) => {
            Some(group.child(name).entry().context(|| format!("--cgroup {name:?}"))?)
        }
    };
    let joinable = joinable(record, init)?;
    let (command_end, init_end) = link::pair()?;
    let group = entry.as_ref().and_then(Entry::v2_fd).map(|fd| fd.try_clone_to_owned()).transpose();
    let group = group.context(|| "cannot copy a descriptor")?;
    let args = CloneArgs { namespaces: 0, cgroup: group.as_ref().map(AsFd::as_fd), sibling: false };
    let alone = single_threaded().context(|| "cannot clone")?;
    let first =
        JoinPlan { cgroup: entry, oom_score_adj: process.oom_score_adj.take(), namespaces: joinable, alone };
    let plan = InitPlan {
        cgroup: None,
        join: Vec::new(),
        new_network: false,
        new_cgroup_namespace: false,
        hostname: None,
        domainname: None,
        sysctls: Vec::new(),
        root: None,
        process,
        fifo: None,
        link: init_end,
    };
    let filtered = plan.process.filters_init();
    let between = spawn(alone, args, move || init::join::main(first, plan))
        .context(|| "cannot clone the process")
        .map_err(clone_hint)?;
    match arrival(&command_end) {
        Ok(pid) => {
            waitpid(Pid::from_raw(between.pid), None).context(|| "cannot reap a child")?;
            // A child of ours that nobody has reaped: the pid is still its own.
            let pidfd = pidfd::open(pid).context(|| format!("cannot open process {pid}"))?;
            Ok((command_end, Child { pid, pidfd }))
        }
        Err(error) => {
            // Both end by themselves when the link is gone.
            drop(command_end);
            Err(reap_all(record.cgroup.as_ref(), filtered, error))
        }
    }
}

/// Listens until both the pid of the program's process and its word that it is ready have come, in either order.
fn arrival(link: &CommandEnd) -> Result<i32> {
    let (mut pid, mut ready) = (None, false);
    loop {
        match link.receive()? {
            Some(FromInit::Warn(text)) => report::warn(&text),
            Some(FromInit::Cloned(number)) => pid = Some(number),
            Some(FromInit::Ready) => ready = true,
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(FromInit::Detached) => {
                return Err(Error::new(Kind::Protocol, "the process spoke out of turn"));
            }
            None => return Err(Error::new(Kind::Died, "the process died")),
        }
        if let (Some(pid), true) = (pid, ready) {
            return Ok(pid);
        }
    }
}

/// Reaps the children of a failed exec; when they died without a word, how they died is the error.
fn reap_all(cgroup: Option<&Cgroup>, filtered: bool, error: Error) -> Error {
    let mut signal = None;
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Signaled(_, by, _)) => signal = signal.or(Some(by)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => break, // there is none left
        }
    }
    match signal {
        Some(signal) if error.kind() == Kind::Died => killed(cgroup, signal, filtered),
        None if error.kind() == Kind::Died => suspect_filter(filtered, error),
        _ => error,
    }
}

/// The namespaces of init that are not ours, to be joined by one setns(2) with its pidfd.
fn joinable(record: &Record, init: OwnedFd) -> Result<(OwnedFd, libc::c_int)> {
    const FILES: [(&str, libc::c_int); 6] = [
        ("mnt", libc::CLONE_NEWNS),
        ("net", libc::CLONE_NEWNET),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("pid", libc::CLONE_NEWPID),
        ("cgroup", libc::CLONE_NEWCGROUP),
    ];
    let pid = record.init.as_ref().map_or(0, |init| init.pid);
    let mut flags = 0;
    for (name, flag) in FILES {
        let inode = |path: String| std::fs::metadata(&path).map(|m| std::os::unix::fs::MetadataExt::ino(&m));
        let theirs = inode(format!("/proc/{pid}/ns/{name}"))
            .context(|| format!("cannot see the container's {name} namespace"))?;
        let ours = inode(format!("/proc/self/ns/{name}"))
            .context(|| format!("cannot see our own {name} namespace"))?;
        if theirs != ours {
            flags |= flag;
        }
    }
    // The pidfd is still of the init meant: it was opened before its pid was used, and it has not ended since.
    ns_alive(&init)?;
    Ok((init, flags))
}

fn ns_alive(init: &OwnedFd) -> Result<()> {
    crate::sys::pidfd::send_signal(init.as_fd(), 0).context_as(Kind::User, || "container not running")
}
