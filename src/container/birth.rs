//! Cloning a container's init: straight, or, for one in a user namespace, with what only the command can do for it.
//!
//! Root of a user namespace has no rights over the host: the command opens for it what it is to have of the host's,
//! writes the namespace's maps, and sets what takes privileges of the host. Containers without a user namespace pay for
//! none of this.

use super::create::clone_hint;
use super::ended::end_child;
use super::hooks::{Hooks, State};
use super::init::birth::{self, BirthPlan};
use super::init::hooks::InitHooks;
use super::init::kernel;
use super::mappings::Mappings;
use super::mounts::opened;
use super::net_devices::NetDevice;
use super::plan::Plan;
use super::process::{ProcessPlan, Rlimit};
use super::record::Record;
use crate::cgroup::{Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::sync::link::{self, CommandEnd, Heard};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::{Child, CloneArgs, SingleThreaded, single_threaded, spawn};
use crate::sys::pidfd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};

/// An init that is cloned.
#[derive(Debug)]
pub(super) struct Born {
    /// Init and the link to it.
    pub init: (Child, CommandEnd),
    /// Limits that the command sets once init is ready: to raise one takes a privilege of the host's.
    pub limits: Vec<Rlimit>,
    /// Network devices that the command moves, likewise.
    pub net_devices: Vec<NetDevice>,
}

/// Clones init. The descriptors that only init needs are closed here when this returns.
///
/// # Errors
/// When it cannot be cloned, or fails before it stands in its user namespace; no process is left then.
pub(super) fn clone_init(
    mut plan: Plan,
    entry: Option<Entry>,
    fifo: Option<OwnedFd>,
    hooks: &Hooks,
    record: &Record,
) -> Result<Born> {
    let alone = single_threaded().context(|| "cannot clone")?;
    let hooks = InitHooks::of(hooks, State::of(record, None), alone);
    opened::open(&mut plan.root, plan.mappings.as_ref(), alone)?;
    if let Some(mappings) = plan.mappings.take() {
        return in_user_namespace(plan, &mappings, (entry, fifo, hooks), alone);
    }
    let (command_end, init_end) = link::pair()?;
    let net_devices = std::mem::take(&mut plan.net_devices);
    let outside = plan.namespaces.take_outside();
    let namespaces = u64::try_from(plan.namespaces.clone_flags).unwrap_or_default();
    // A descriptor of its own: the entry itself moves into init's plan.
    let group = v2_group(entry.as_ref())?;
    let args = CloneArgs { namespaces, cgroup: group.as_ref().map(AsFd::as_fd), ..CloneArgs::default() };
    let init_plan = plan.into_init(entry, fifo, init_end, hooks);
    let child = outside.around(|| {
        let clone = spawn(alone, args, move || super::init::main(init_plan));
        clone.context(|| "cannot clone the init process").map_err(clone_hint)
    })?;
    Ok(Born { init: (child, command_end), limits: Vec::new(), net_devices })
}

fn v2_group(entry: Option<&Entry>) -> Result<Option<OwnedFd>> {
    let group = entry.and_then(Entry::v2_fd).map(|fd| fd.try_clone_to_owned());
    group.transpose().context(|| "cannot copy a descriptor")
}

fn in_user_namespace(
    mut plan: Plan,
    mappings: &Mappings,
    (entry, fifo, hooks): (Option<Entry>, Option<OwnedFd>, Option<Box<InitHooks>>),
    alone: SingleThreaded,
) -> Result<Born> {
    give_pipes(&plan.process, mappings);
    let limits = std::mem::take(&mut plan.process.rlimits);
    let net_devices = std::mem::take(&mut plan.net_devices);
    let oom_score_adj = plan.process.oom_score_adj.take();
    let (cgroup, filtered) = (plan.cgroup.clone(), plan.process.filters_init());
    let (command_end, init_end) = link::pair()?;
    command_end.tell_senders()?;
    let group = v2_group(entry.as_ref())?;
    let args = CloneArgs { cgroup: group.as_ref().map(AsFd::as_fd), ..CloneArgs::default() };
    let new = plan.namespaces.clone_flags & libc::CLONE_NEWUSER != 0;
    let straight = plan.namespaces.are_all_new();
    let first = if straight {
        let namespaces = u64::try_from(plan.namespaces.clone_flags).unwrap_or_default();
        let init_plan = plan.into_init(entry, fifo, init_end, hooks);
        spawn(alone, CloneArgs { namespaces, ..args }, move || super::init::main(init_plan))
    } else {
        let namespaces = std::mem::take(&mut plan.namespaces);
        plan.namespaces.late = namespaces.late;
        let new_network = namespaces.clone_flags & libc::CLONE_NEWNET;
        plan.namespaces.clone_flags = new_network;
        let first = BirthPlan { cgroup: entry, oom_score_adj, namespaces, alone };
        let init_plan = plan.into_init(None, fifo, init_end, hooks);
        spawn(alone, CloneArgs { quiet: true, ..args }, move || birth::main(first, init_plan))
    };
    let first = first.context(|| "cannot clone the init process").map_err(clone_hint)?;
    let settle = Settle {
        link: &command_end,
        maps: new.then_some(mappings),
        oom_score_adj: oom_score_adj.filter(|_| straight),
    };
    let child = settle.run(first, straight, cgroup.as_ref(), filtered)?;
    Ok(Born { init: (child, command_end), limits, net_devices })
}

/// What the command does when init stands in its user namespace.
struct Settle<'a> {
    link: &'a CommandEnd,
    /// Maps to write, where the namespace is new.
    maps: Option<&'a Mappings>,
    oom_score_adj: Option<i32>,
}

impl Settle<'_> {
    /// `first` is init itself, or podrun:join, which clones it and is reaped here.
    fn run(&self, first: Child, straight: bool, cgroup: Option<&Cgroup>, filtered: bool) -> Result<Child> {
        let fail = |error| Err(end_child(&first, cgroup, filtered, error));
        let pid = match self.hear() {
            Ok(pid) => pid,
            Err(error) => return fail(error),
        };
        let init = match init_of(pid, &first, straight) {
            Ok(None) => None,
            Ok(Some(child)) => Some(child),
            Err(error) => return fail(error),
        };
        let served = self.serve(pid);
        match (init, served) {
            (None, Ok(())) => Ok(first),
            (None, Err(error)) => fail(error),
            (Some(init), Ok(())) => {
                reap(&first)?;
                Ok(init)
            }
            (Some(init), Err(error)) => {
                let error = end_child(&init, cgroup, filtered, error);
                Err(end_child(&first, cgroup, filtered, error))
            }
        }
    }

    /// Waits until init asks; its pid.
    fn hear(&self) -> Result<i32> {
        loop {
            match self.link.hear()? {
                Heard::Message(FromInit::NeedMaps, Some(pid)) => return Ok(pid),
                Heard::Message(FromInit::Failed(failure), _) => return Err(failure.into()),
                Heard::Message(..) => {
                    return Err(Error::new(Kind::Protocol, "the init process spoke out of turn"));
                }
                Heard::End => return Err(Error::new(Kind::Died, "the init process died")),
                Heard::Nothing => {}
            }
            match poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot wait for the init process"),
            }
        }
    }

    fn serve(&self, pid: i32) -> Result<()> {
        self.maps.map_or(Ok(()), |maps| maps.write(pid))?;
        self.oom_score_adj.map_or(Ok(()), |score| kernel::write_oom_score(&pid.to_string(), score))?;
        match self.link.send(&ToInit::MapsWritten)? {
            true => Ok(()),
            false => Err(Error::new(Kind::Died, "the init process died")),
        }
    }
}

/// Init, where it is not `first` itself. Its pid comes from the kernel, with its message.
fn init_of(pid: i32, first: &Child, straight: bool) -> Result<Option<Child>> {
    if straight {
        return Ok(None);
    }
    let pidfd = pidfd::open(pid).context(|| format!("cannot open process {pid}"))?;
    // A child of ours that nobody has reaped: the pid is still its own.
    pidfd::child_status(pidfd.as_fd(), pidfd::Zombie::Stays)
        .map_err(|_| Error::new(Kind::Died, "the init process died"))?;
    if pid == first.pid {
        return Err(Error::new(Kind::Protocol, "podrun:join spoke out of turn"));
    }
    Ok(Some(Child { pid, pidfd }))
}

fn reap(first: &Child) -> Result<()> {
    pidfd::wait_exit(first.pidfd.as_fd(), super::ended::KILL_DEADLINE)
        .and_then(|_| pidfd::child_status(first.pidfd.as_fd(), pidfd::Zombie::Reaped))
        .context(|| "cannot reap a child")
        .map(drop)
}

/// Gives pipes among the standard streams to the container's user, who may want to open them again by /dev/stdout and its
/// kin: init itself could not, since they are root's of the host. Whatever refuses can still be used as a descriptor.
fn give_pipes(process: &ProcessPlan, mappings: &Mappings) {
    let Some(owner) = mappings.uids.outside(process.uid) else { return };
    if process.terminal.is_some() || process.stdio.is_some() {
        return;
    }
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let is_pipe =
            nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFIFO);
        if is_pipe {
            let _refusal = nix::unistd::fchown(fd, Some(owner.into()), None);
        }
    }
}
