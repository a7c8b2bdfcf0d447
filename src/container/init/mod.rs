//! What happens between clone3 and execve: `podrun:init` carries a plan out, step by step, and becomes the program.
//!
//! Nothing here decides anything; nothing here writes to stdout, stderr or a log: errors and warnings go to the command
//! through the link. The process is a copy of a single-threaded one, dies with the command until it is on record, and
//! never returns into the command's stack.

pub mod attributes;
pub mod birth;
pub mod caps;
pub mod console;
pub mod exec;
pub mod hooks;
pub mod identity;
pub mod join;
pub mod kernel;

use super::mounts::plan::RootPlan;
use super::mounts::root::Root;
use super::mounts::{apply, inherited, pivot};
use super::process::ProcessPlan;
use crate::cgroup::Entry;
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::sync::link::InitEnd;
use crate::sync::message::{Failure, FromInit, ToInit};
use crate::sys::{keyring, ns, process};
use hooks::InitHooks;
use nix::sys::signal::Signal;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// What ps calls the process until it has become its program.
pub const NAME: &CStr = c"podrun:init";

/// What ends a process that has no handler for it, and that people and programs send to end one.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// All that init needs, owned.
#[derive(Debug)]
pub struct InitPlan {
    /// Groups to enter (cgroup v1), where there are any.
    pub cgroup: Option<Entry>,
    /// Namespaces to join, each with its `CLONE_NEW*` flags, in this order.
    pub join: Vec<(OwnedFd, libc::c_int)>,
    /// The network namespace is new: its loopback device is down.
    pub new_network: bool,
    /// Namespaces to make, `CLONE_NEW*` flags: once inside the group, and root of the user namespace.
    pub late_namespaces: libc::c_int,
    /// Names to give to the UTS namespace.
    pub hostname: Option<String>,
    /// The NIS domain name.
    pub domainname: Option<String>,
    /// Files below /proc/sys and what to write there.
    pub sysctls: Vec<(String, String)>,
    /// The container's file system; `None` for a process that joins a container's mount namespace.
    pub root: Option<RootPlan>,
    /// The program to become.
    pub process: ProcessPlan,
    /// What runs before it, and where init stands before it enters the root.
    pub hooks: Option<Box<InitHooks>>,
    /// The FIFO, opened for reading and writing, to wait on for `start`; `None` goes on at once.
    pub fifo: Option<OwnedFd>,
    /// Goes on to the program as soon as it is ready, without being told.
    pub goes_along: bool,
    /// This process stands in a user namespace of the container's, and asks the command for what it needs there.
    pub awaits_maps: bool,
    /// Where to speak to the command.
    pub link: InitEnd,
}

impl InitPlan {
    /// The plan of a process that joins a container whose namespaces it is in already.
    pub fn joining(process: ProcessPlan, link: InitEnd, goes_along: bool) -> Self {
        Self {
            cgroup: None,
            join: Vec::new(),
            new_network: false,
            late_namespaces: 0,
            hostname: None,
            domainname: None,
            sysctls: Vec::new(),
            root: None,
            process,
            hooks: None,
            fifo: None,
            goes_along,
            awaits_maps: false,
            link,
        }
    }
}

/// The process between clone3 and execve.
#[derive(Debug)]
pub struct Init {
    plan: InitPlan,
    root: Option<Root>,
    console: Option<OwnedFd>,
    warnings: Vec<String>,
    /// It stands in the working directory.
    in_cwd: bool,
}

type Step = (&'static str, fn(&mut Init) -> Result<()>);

/// The steps, in order. What makes an order necessary stands between the rows.
const STEPS: &[Step] = &[
    ("cannot enter the cgroup", enter_cgroup),
    // The cgroup namespace's root is the group the process is in when it is made, and what follows is charged to it.
    ("cannot set the OOM score", kernel::set_oom_score),
    ("cannot ask for a label of keys", attributes::ask_for_key_label),
    // The three above write through the host's procfs and cgroup mounts, which joining a mount namespace takes away.
    ("cannot set the CPU affinity", attributes::set_affinity),
    ("cannot join the namespaces", join_namespaces),
    // As soon as possible: what is made belongs to who makes it. Before it, root of the host may write where root of the
    // namespace may not.
    ("cannot become root of the user namespace", identity::become_namespace_root),
    ("cannot make namespaces", make_namespaces),
    ("cannot start a session", new_session),
    ("cannot set the host name", kernel::set_names),
    ("cannot bring up the loopback device", loopback_up),
    // Sysctls of a namespace are written by one of its members, through the host's procfs: before the root changes.
    ("cannot set a sysctl", kernel::set_sysctls),
    ("cannot join a session keyring", join_keyring),
    // proc, sysfs and mqueue show the namespaces of who mounts them: after joining.
    ("cannot make the root file system", make_root),
    // Every namespace and mount is there, and the host's files can still be seen: so the runtime spec wants it.
    ("cannot run its hooks", hooks::before_root),
    // For the program and not for those hooks, by the host's procfs, which goes with the host's files.
    ("cannot ask for a profile or label", attributes::ask_for_labels),
    ("cannot make the terminal", console::make),
    ("cannot enter the root file system", enter_root),
    ("cannot set up the standard streams", console::adopt),
    ("cannot give the standard streams to the user", console::give_streams),
    // From here on paths that the image chose are followed, /proc/self/fd/N/.. among them: no descriptor of the host's
    // or the caller's may be open any more, nor as long as init waits for `start` (CVE-2024-21626). The filter loaded
    // below might not allow close_range.
    ("cannot close file descriptors", exec::close_descriptors),
    ("cannot complete the environment", identity::complete_environment),
    ("cannot set resource limits", kernel::set_rlimits),
    ("cannot set the memory policy", attributes::set_memory_policy),
    ("cannot set the personality", attributes::set_personality),
    // As root, and when nothing is cloned any more: a process with a deadline cannot fork.
    ("cannot set the priorities", attributes::set_priorities),
    // With root's rights, which the user may not have on the way; and before a filter that forbids getcwd(2).
    ("cannot enter the working directory", identity::enter_cwd_early),
    // Without no_new_privs, loading a filter takes CAP_SYS_ADMIN: before the capabilities go (seccomp(2)). The filter
    // must then allow what follows, as with every runtime.
    ("cannot load the seccomp filter", load_early_filter),
    // Dropping from the bounding set takes CAP_SETPCAP: before the user changes.
    ("cannot drop capabilities", identity::drop_bounding),
    ("cannot change the user", identity::become_user),
    ("cannot set capabilities", identity::set_capabilities),
    // As the user, where root could not: a directory that root of another host must not enter, its owner may.
    ("cannot enter the working directory", identity::enter_cwd),
    ("cannot set no_new_privs", set_no_new_privileges),
    // As the user, in the root, with the rights that the program will have.
    ("cannot find the command", exec::find),
    // As late as it can be said who listens: at `start` the command that knows the agent is gone.
    ("cannot load the seccomp filter", load_listened_filter),
];

/// Runs the plan. Never returns: the program takes over, or the process ends.
pub fn main(plan: InitPlan) -> ! {
    report::log_nothing();
    let mut init = Init { plan, root: None, console: None, warnings: Vec::new(), in_cwd: false };
    if let Err(error) = init.prepare() {
        init.fail(&error);
    }
    let report = init.wait_for_go();
    match report {
        Ok(()) => {}
        Err(error) => init.fail(&error),
    }
    let error = match hooks::before_program(&mut init).and_then(|()| exec::program(&mut init)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // `start` reads it from the FIFO, run and exec from the link.
    let message = FromInit::Failed(Failure::from(&error));
    let told = match &init.plan.fifo {
        Some(fifo) => crate::sys::fs::write_all_at_once(fifo.as_fd(), &message.encode()),
        None => init.plan.link.send(&message),
    };
    process::exit_now(if told.is_ok() { exec::exit_code(&error) } else { 1 })
}

impl Init {
    fn prepare(&mut self) -> Result<()> {
        process::set_name(NAME).context(|| "cannot name the process")?;
        die_with_command()?;
        if self.plan.fifo.is_some() {
            // A container that is never started can be told to end like one that was.
            process::end_on(&ENDING).context(|| "cannot set signal handlers")?;
        }
        for (title, step) in STEPS {
            step(self).context(|| *title)?;
        }
        Ok(())
    }

    /// Tells the command that it failed, and ends.
    fn fail(&self, error: &Error) -> ! {
        // When even this cannot be sent, the command sees the end of the link and asks for the exit status.
        let told = self.plan.link.send(&FromInit::Failed(Failure::from(error)));
        process::exit_now(if told.is_ok() { 1 } else { 2 })
    }

    fn wait_for_go(&mut self) -> Result<()> {
        for warning in std::mem::take(&mut self.warnings) {
            self.plan.link.send(&FromInit::Warn(warning)).context(|| "cannot talk to the command")?;
        }
        // The change of user has cleared it.
        die_with_command()?;
        self.plan.link.send(&FromInit::Ready).context(|| "cannot talk to the command")?;
        if self.plan.goes_along {
            return Ok(());
        }
        match self.plan.link.receive()? {
            None => process::exit_now(1), // the command died, and nobody knows this process
            Some(ToInit::GoAlong) => return Ok(()),
            Some(ToInit::Go) => {}
            Some(ToInit::HooksDone | ToInit::MapsWritten | ToInit::ListenerTaken) => {
                return Err(Error::new(Kind::Protocol, "the command spoke out of turn"));
            }
        }
        process::set_parent_death_signal(0).context(|| "cannot detach from the command")?;
        // Only now may the command end: its end would have been ours.
        self.plan.link.send(&FromInit::Detached).context(|| "cannot talk to the command")?;
        let Some(fifo) = &self.plan.fifo else { return Ok(()) };
        exec::wait_for_start(fifo)
    }
}

/// Until the container is on record, nobody could find this process: it must not outlive the command. A command that
/// died before this call is found by the end of the link.
fn die_with_command() -> Result<()> {
    process::set_parent_death_signal(libc::SIGKILL).context(|| "cannot follow the command's death")
}

fn enter_cgroup(init: &mut Init) -> Result<()> {
    // Its descriptors are of the host's files: closed as soon as they are used.
    match init.plan.cgroup.take() {
        Some(entry) => entry.enter().context(|| "cannot write to its tasks file"),
        None => Ok(()),
    }
}

fn join_namespaces(init: &mut Init) -> Result<()> {
    for (fd, flags) in std::mem::take(&mut init.plan.join) {
        ns::setns(fd.as_fd(), flags)
            .context(|| format!("cannot join {}", super::namespaces::names(flags)))?;
    }
    Ok(())
}

fn make_namespaces(init: &mut Init) -> Result<()> {
    match init.plan.late_namespaces {
        0 => Ok(()),
        flags => ns::unshare(flags).context(|| format!("cannot make {}", super::namespaces::names(flags))),
    }
}

fn loopback_up(init: &mut Init) -> Result<()> {
    if init.plan.new_network { ns::loopback_up().context(|| "lo") } else { Ok(()) }
}

fn new_session(_: &mut Init) -> Result<()> {
    nix::unistd::setsid().map(drop).context(|| "setsid")
}

fn join_keyring(init: &mut Init) -> Result<()> {
    let Some(name) = &init.plan.process.keyring else { return Ok(()) };
    match keyring::join_session(name) {
        // A kernel without keyrings has none to leak; a full quota must not stop a container either (runc agrees).
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EDQUOT)) => {
            init.warnings.push("no session keyring of its own: the kernel refuses one".into());
            Ok(())
        }
        other => other.context(|| "keyctl").map_err(|e| e.hint("--no-new-keyring does without")),
    }
}

fn make_root(init: &mut Init) -> Result<()> {
    let Some(plan) = &init.plan.root else { return Ok(()) };
    // Modes of directories and devices are what the spec says, not less the caller's umask.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    if plan.inherited.is_some() {
        inherited::leave()?;
    }
    init.root = Some(apply::prepare(plan)?);
    Ok(())
}

fn enter_root(init: &mut Init) -> Result<()> {
    let umask = init.plan.process.umask.unwrap_or(0o022);
    if let (Some(plan), Some(root)) = (&init.plan.root, init.root.take()) {
        pivot::enter(&root, plan)?;
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
    Ok(())
}

fn load_early_filter(init: &mut Init) -> Result<()> {
    if init.plan.process.no_new_privileges {
        return Ok(());
    }
    exec::load_filter(init)
}

fn load_listened_filter(init: &mut Init) -> Result<()> {
    if init.plan.process.no_new_privileges && init.plan.process.has_listener() {
        return exec::load_filter(init);
    }
    Ok(())
}

fn set_no_new_privileges(init: &mut Init) -> Result<()> {
    if !init.plan.process.no_new_privileges {
        return Ok(());
    }
    process::set_no_new_privileges().context(|| "prctl")
}
