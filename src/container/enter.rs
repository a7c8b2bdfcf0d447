//! Putting a program into a running container, without waiting for it: what `exec` and a supervisor have in common.
//!
//! [`Entrance`] is the way in, found once; [`Entering`] is a process on its way. Between the two stands podrun:join
//! (`init::join`). Both processes are cloned quietly: until the program runs, no wait but one that asks for them finds
//! them, so that a process that died before anybody knew its pid can be reaped among children that are others' business.

use super::create::clone_hint;
use super::ended::{killed, suspect_filter};
use super::init::InitPlan;
use super::init::attributes;
use super::init::join::{self, JoinPlan};
use super::init::kernel::set_limits;
use super::listener::Listening;
use super::mappings::Mappings;
use super::process::{ProcessPlan, Rlimit, Stdio, Surroundings};
use super::record::{self, Record, Status};
use super::{Host, config, plan, process};
use crate::cgroup::{Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::seccomp;
use crate::state::process::ProcessRef;
use crate::sync::link::{self, CommandEnd, Heard};
use crate::sync::message::FromInit;
use crate::sys::clone::{Child, CloneArgs, SingleThreaded, single_threaded, spawn};
use crate::sys::{fs, mount, pidfd, sched};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The way into a running container: its namespaces and groups, open.
#[derive(Debug)]
pub struct Entrance {
    /// Pidfd of the container's init.
    init: OwnedFd,
    /// Those of its namespaces that are not ours.
    namespaces: libc::c_int,
    /// Its root, where its mount namespace does not bring that along.
    root: Option<OwnedFd>,
    record: Record,
    status: Status,
    /// As the caller named it.
    below: Vec<String>,
    entry: Option<Entry>,
    alone: SingleThreaded,
}

impl Entrance {
    /// Opens the way in; `below` names groups below the container's to use instead of it.
    ///
    /// # Errors
    /// When the container does not run, or has no such group.
    pub fn open(record: &Record, status: Status, below: &[String]) -> Result<Self> {
        let stopped = || Error::user("container not running");
        let process = record.init.as_ref().ok_or_else(stopped)?;
        let init = process.open()?.ok_or_else(stopped)?;
        let entry = match (&record.cgroup, below) {
            (None, []) => None,
            (None, _) => return Err(Error::user("--cgroup: the container has no cgroup")),
            (Some(group), []) => Some(group.entry()?),
            (Some(group), below) => Some(group.below(below)?.entry().context(|| entering(below))?),
        };
        let entry = match &record.rdt {
            Some(rdt) => Some(Entry::with(entry, rdt.tasks()?)),
            None => entry,
        };
        let namespaces = joinable(process, &init)?;
        let root = record.inherits_mounts.then(|| root_of(process, &init)).transpose()?;
        let alone = single_threaded().context(|| "cannot clone")?;
        let below = below.to_owned();
        Ok(Self { init, namespaces, root, record: record.clone(), status, below, entry, alone })
    }

    /// Clones a process that joins the container. It waits for `ToInit::GoAlong` when it is ready, or, told so in
    /// advance, goes along.
    ///
    /// # Errors
    /// When it cannot be cloned.
    pub fn enter(&self, mut process: ProcessPlan, goes_along: bool) -> Result<Entering> {
        let (command_end, init_end) = link::pair()?;
        command_end.tell_senders()?;
        let first = JoinPlan {
            cgroup: self.entry.as_ref(),
            oom_score_adj: process.oom_score_adj.take(),
            namespaces: (self.init.as_fd(), self.namespaces),
            root: self.root.as_ref().map(AsFd::as_fd),
            alone: self.alone,
        };
        let filtered = process.filters_init();
        let listener = process.seccomp.as_ref().and_then(|filter| filter.listener.clone());
        let listening = listener
            .map(|listener| Listening { listener, record: self.record.clone(), status: self.status })
            .map(Box::new);
        let initial = process.attributes.initial_cpus.take();
        // To raise one takes a privilege of the host's, which nobody has in a user namespace.
        let limits = match process.namespace_root {
            Some(_) => std::mem::take(&mut process.rlimits),
            None => Vec::new(),
        };
        let mut plan = Some(InitPlan::joining(process, init_end, goes_along));
        // Taken in the child alone: where the clone fails, the plan is still there.
        let mut clone = |entry: Option<&Entry>| {
            let args =
                CloneArgs { cgroup: entry.and_then(Entry::v2_fd), quiet: true, ..CloneArgs::default() };
            on_cpus(initial.as_deref(), || {
                let child = || {
                    if let Some(plan) = plan.take() {
                        join::main(&first, plan);
                    }
                };
                spawn(self.alone, args, child).context(|| "cannot clone the process").map_err(clone_hint)
            })
        };
        let between = match clone(self.entry.as_ref()) {
            // The container hands controllers down to groups of its own, and its first process is in one of them.
            Err(error) if error.errno() == Some(libc::EBUSY) && self.below.is_empty() => {
                clone(self.where_init_is().map_err(|_| error)?.as_ref())?
            }
            Err(error) if !self.below.is_empty() => return Err(error).context(|| entering(&self.below)),
            cloned => cloned?,
        };
        let cgroup = self.record.cgroup.clone();
        Ok(Entering { link: command_end, between, failed: None, cgroup, filtered, limits, listening })
    }
}

impl Entrance {
    fn where_init_is(&self) -> Result<Option<Entry>> {
        let (Some(cgroup), Some(init)) = (&self.record.cgroup, &self.record.init) else { return Ok(None) };
        let entry = cgroup.followed(init.pid)?.entry()?;
        // Else the pid could have been another's by now.
        pidfd::send_signal(self.init.as_fd(), 0).context_as(Kind::User, || "container not running")?;
        Ok(Some(entry))
    }
}

fn entering(below: &[String]) -> String {
    format!("error adding pid of exec to cgroups (--cgroup {})", below.join(" --cgroup "))
}

/// A process on its way into a container. Should this be dropped, it ends by itself, unless it has executed its program.
#[derive(Debug)]
pub struct Entering {
    link: CommandEnd,
    between: Child,
    /// The program's process, where it spoke of its failure.
    failed: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    filtered: bool,
    limits: Vec<Rlimit>,
    listening: Option<Box<Listening>>,
}

impl Entering {
    /// The link to it: what becomes readable when [`Entering::advance`] need not wait.
    pub fn link(&self) -> &CommandEnd {
        &self.link
    }

    /// Listens without waiting: the program's process, our child, once it is ready to execute the program.
    ///
    /// # Errors
    /// What the processes say, or that they died; then see [`Entering::fail`] and [`Entering::give_up`].
    pub fn advance(&mut self) -> Result<Option<Child>> {
        loop {
            match self.link.hear()? {
                Heard::Nothing => return Ok(None),
                Heard::Message(FromInit::Warn(text), _) => report::warn(&text),
                Heard::Message(FromInit::Failed(failure), sender) => {
                    self.failed =
                        sender.filter(|pid| *pid != self.between.pid).and_then(|pid| pidfd::open(pid).ok());
                    return Err(failure.into());
                }
                Heard::Message(FromInit::Ready, Some(pid)) => {
                    let child = child(pid)?;
                    set_limits(pid, &self.limits)?;
                    return Ok(Some(child));
                }
                Heard::Message(FromInit::Listener(number), Some(pid)) if self.listening.is_some() => {
                    let process = child(pid)?;
                    if let Some(listening) = self.listening.take() {
                        listening.hand_over(&process, number, &self.link)?;
                    }
                }
                Heard::Message(..) => {
                    return Err(Error::new(Kind::Protocol, "the process spoke out of turn"));
                }
                Heard::End => return Err(Error::new(Kind::Died, "the process died")),
            }
        }
    }

    /// What the program's process said last; to be asked when it has ended, since nothing is said once the program runs.
    pub fn last_words(&self) -> Option<Error> {
        loop {
            match self.link.hear() {
                Ok(Heard::Message(FromInit::Failed(failure), _)) => return Some(failure.into()),
                Ok(Heard::Message(..)) => {}
                Ok(Heard::Nothing | Heard::End) | Err(_) => return None,
            }
        }
    }

    /// Waits for the end of processes of which nobody is wanted any more; when they died without a word, how they died
    /// is the error. Only for a process that enters one container at a time.
    pub fn fail(self, error: Error) -> Error {
        let Self { link, cgroup, filtered, .. } = self;
        // Both end by themselves when the link is gone.
        drop(link);
        let mut signal = None;
        while let Ok(Some(status)) = pidfd::reap_stray(true) {
            signal = signal.or(Signal::try_from(status & 0x7f).ok());
        }
        match signal {
            Some(signal) if error.kind() == Kind::Died => killed(cgroup.as_ref(), signal, filtered),
            None if error.kind() == Kind::Died => suspect_filter(filtered, error),
            _ => error,
        }
    }

    /// Lets go of the link, and hands out pidfds of what is to be reaped, which may not have ended yet: podrun:join, and
    /// the program's process, if it said that it failed. After an error of kind [`Kind::Died`] there may be one more,
    /// which nobody knows: [`pidfd::reap_stray`].
    pub fn give_up(self) -> Vec<OwnedFd> {
        [self.between.pidfd].into_iter().chain(self.failed).collect()
    }

    /// Ends podrun:join, lest it clones the program's process; whether it has done so, [`Entering::advance`] tells.
    pub fn kill(&self) {
        // It is dead already, most often.
        drop(pidfd::send_signal(self.between.pidfd.as_fd(), libc::SIGKILL));
    }

    /// As [`Entering::give_up`], for one whose program's process has come: podrun:join is reaped here.
    ///
    /// # Errors
    /// Those of the system.
    pub fn arrived(self) -> Result<CommandEnd> {
        pidfd::wait_exit(self.between.pidfd.as_fd(), super::ended::KILL_DEADLINE)
            .and_then(|_| pidfd::child_status(self.between.pidfd.as_fd(), pidfd::Zombie::Reaped))
            .context(|| "cannot reap a child")?;
        Ok(self.link)
    }
}

impl AsFd for Entering {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// A container that commands are run in again and again: what they have in common is kept, so that each costs little
/// more than the kernel's work. For one run of the container.
#[derive(Debug)]
pub struct Runner {
    entrance: Entrance,
    process: ProcessPlan,
}

impl Runner {
    /// Prepares for a container that runs.
    ///
    /// # Errors
    /// When it does not run, or its config cannot be read.
    pub fn prepare(host: &Host, id: &ContainerId) -> Result<Self> {
        let title = || format!("cannot exec in container {:?}", id.as_str());
        let prepare = || -> Result<Self> {
            let (directory, record) = record::load(host, id)?;
            let config = config::load(&directory)?;
            let process = config.spec.process().as_ref();
            let mut process =
                process.cloned().ok_or_else(|| Error::user("the container's process is not known"))?;
            process.set_terminal(Some(false)).set_args(None).set_console_size(None);
            let text = config.seccomp.as_deref();
            let seccomp = text.map(|text| seccomp::filter(&host.layout.seccomp_cache(), text));
            let surroundings = Surroundings {
                attributes: config.attributes.clone(),
                seccomp: seccomp.transpose()?,
                terminal: None,
                stdio: None,
                keyring: plan::keyring(&record.id, record.own_keyring),
                listen_fds: 0,
                preserve_fds: 0,
                mappings: mappings(&record)?,
            };
            // What the user should know of it was said when the container was made.
            let (process, _warnings) = report::collect(|| process::plan(&process, surroundings));
            Ok(Self { entrance: Entrance::open(&record, Status::Running, &[])?, process: process? })
        };
        prepare().context(title)
    }

    /// Begins to run a command as the container's user, in its directory and with its variables. It is killed when this
    /// process ends.
    ///
    /// # Errors
    /// When it cannot be cloned. What goes wrong later, [`Entering`] says.
    pub fn begin(&self, command: &[String], stdio: Stdio) -> Result<Entering> {
        let process = self.process.for_command(command, stdio)?;
        self.entrance.enter(process, true)
    }
}

/// The process of a pid that the kernel told us: a child of ours that nobody has reaped, so that the pid is still its
/// own. Else it is nobody's we know.
fn child(pid: i32) -> Result<Child> {
    let pidfd = pidfd::open(pid).context(|| format!("cannot open process {pid}"))?;
    let ours = pidfd::child_status(pidfd.as_fd(), pidfd::Zombie::Stays);
    ours.map_err(|_| Error::new(Kind::Died, "the process died"))?;
    Ok(Child { pid, pidfd })
}

/// Does `clone` on these processors, so that the child is there before it enters the cgroup, and returns to our own.
fn on_cpus<T>(cpus: Option<&[u64]>, clone: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(cpus) = cpus else { return clone() };
    let ours = sched::affinity().context(|| "cannot read our own CPU affinity")?;
    attributes::affinity(cpus, "initial")?;
    report::debug(|| format!("initial CPU affinity: {}", mask(cpus)));
    let cloned = clone();
    sched::set_affinity(&ours).context(|| "cannot return to our own CPUs")?;
    cloned
}

/// A set of processors as one number, like taskset(1) prints it.
fn mask(cpus: &[u64]) -> String {
    let mut words = cpus.iter().rev().skip_while(|word| **word == 0);
    let first = words.next().copied().unwrap_or(0);
    words.fold(format!("{first:#x}"), |text, word| format!("{text}{word:016x}"))
}

/// The ids of the user namespace of a running container, where it is not ours.
///
/// # Errors
/// When the container does not run.
pub fn mappings(record: &Record) -> Result<Option<Mappings>> {
    let stopped = || Error::user("container not running");
    let process = record.init.as_ref().ok_or_else(stopped)?;
    let init = process.open()?.ok_or_else(stopped)?;
    let inode = |name: &str| std::fs::metadata(format!("/proc/{name}/ns/user")).map(|file| file.ino());
    let ours = inode("self").context(|| "cannot see our own user namespace")?;
    let theirs = inode(&process.pid.to_string()).context_as(Kind::User, || "container not running")?;
    let mappings = if theirs == ours { None } else { Some(Mappings::of_process(process.pid)?) };
    // The pid was still that of the init meant.
    pidfd::send_signal(init.as_fd(), 0).context_as(Kind::User, || "container not running")?;
    Ok(mappings)
}

/// The container's root, by that of init, which may have chosen another below it.
fn root_of(process: &ProcessRef, init: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/{}/root", process.pid);
    let title = || format!("cannot open {path}");
    let mut root = fs::open_existing(Path::new(&path), libc::O_PATH | libc::O_DIRECTORY).context(title)?;
    // Nothing is above the container's.
    while fs::place(root.as_fd(), c"..").context(title)? != fs::place(root.as_fd(), c"").context(title)? {
        root = mount::open_tree(root.as_fd(), c"..", None).context(title)?;
    }
    // The pidfd is still of the init meant.
    pidfd::send_signal(init.as_fd(), 0).context_as(Kind::User, || "container not running")?;
    Ok(root)
}

/// The namespaces of init that are not ours, to be joined by one setns(2) with its pidfd.
fn joinable(process: &ProcessRef, init: &OwnedFd) -> Result<libc::c_int> {
    const FILES: [(&str, libc::c_int); 8] = [
        ("mnt", libc::CLONE_NEWNS),
        ("net", libc::CLONE_NEWNET),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("pid", libc::CLONE_NEWPID),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("user", libc::CLONE_NEWUSER),
        ("time", libc::CLONE_NEWTIME),
    ];
    let mut flags = 0;
    for (name, flag) in FILES {
        let inode = |path: String| std::fs::metadata(&path).map(|m| m.ino());
        let ours = match inode(format!("/proc/self/ns/{name}")) {
            // A kernel without namespaces of this type.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            ours => ours.context(|| format!("cannot see our own {name} namespace"))?,
        };
        let theirs = inode(format!("/proc/{}/ns/{name}", process.pid))
            .context(|| format!("cannot see the container's {name} namespace"))?;
        if theirs != ours {
            flags |= flag;
        }
    }
    // The pidfd is still of the init meant: it was opened before its pid was used, and it has not ended since.
    pidfd::send_signal(init.as_fd(), 0).context_as(Kind::User, || "container not running")?;
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_one_number() {
        for (cpus, text) in [
            (&[3][..], "0x3"),
            (&[0, 1], "0x10000000000000000"),
            (&[5, 0], "0x5"),
            (&[u64::MAX, 0x1f], "0x1fffffffffffffffff"),
            (&[0], "0x0"),
        ] {
            assert_eq!(mask(cpus), text);
        }
    }
}
