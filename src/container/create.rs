//! Making a container: reserve the id, plan, record, cgroup, clone, hand over. Any failure takes back what was made,
//! in the same way as `delete` does.

use super::config::{self, Config};
use super::delete::destroy;
use super::init;
use super::plan::{self, Plan};
use super::record::Record;
use super::{Host, directory, namespaces, sandbox};
use crate::cgroup::{Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::{ContainerId, PodUid};
use crate::model::sandbox::{Sandbox, VolumeMount};
use crate::report;
use crate::state::atomic::{self, Durability};
use crate::state::layout;
use crate::state::process::ProcessRef;
use crate::sync::link::{self, CommandEnd};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::{Child, CloneArgs, single_threaded, spawn};
use crate::sys::{pidfd, socket};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What `create` is asked for.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The container's id.
    pub id: ContainerId,
    /// Directory of config.json.
    pub bundle: PathBuf,
    /// File that init's pid is written to.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that the terminal's master is sent to.
    pub console_socket: Option<PathBuf>,
    /// Unix socket that init's pidfd is sent to.
    pub pidfd_socket: Option<PathBuf>,
    /// Descriptors from 3 up that socket activation handed over, sd_listen_fds(3); the program is told.
    pub listen_fds: u32,
    /// Descriptors behind those that the program keeps.
    pub preserve_fds: u32,
    /// chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Volumes of the pod to mount.
    pub volumes: Vec<VolumeMount>,
}

/// The pod to join, as the caller finds it.
pub trait PodToJoin {
    /// Opens the pod; called once the id is reserved.
    ///
    /// # Errors
    /// When there is no such pod, or it takes no containers.
    fn open(&self) -> Result<Sandbox>;

    /// Called once the container is on record as the pod's: whoever deletes the pod marks it first and looks for
    /// containers then, so that one of the two sees the other.
    ///
    /// # Errors
    /// When the pod is gone or being deleted.
    fn confirm(&self, uid: &PodUid) -> Result<()>;
}

/// The pod to join, where there is one.
pub type SandboxSource<'a> = Option<&'a dyn PodToJoin>;

/// When the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At `start`.
    WhenStarted,
    /// As soon as the command says `Go`.
    AtOnce,
}

/// A container whose init is ready and waits for `Go`.
#[derive(Debug)]
pub struct Made {
    /// Its record, written.
    pub record: Record,
    /// Init, a child of this process.
    pub child: Child,
    /// The link to init.
    pub link: CommandEnd,
}

/// Makes a container that waits for `start`.
///
/// # Errors
/// When anything fails; nothing is left then.
pub fn create(host: &Host, request: &CreateRequest, source: SandboxSource<'_>) -> Result<()> {
    let made = make(host, request, source, Begin::WhenStarted, None)?;
    release(host, &made)
}

/// Lets init go on, and outlive this process.
///
/// # Errors
/// When init has died meanwhile; the container is then removed.
pub fn release(host: &Host, made: &Made) -> Result<()> {
    if made.link.send(&ToInit::Go)? && made.link.receive()? == Some(FromInit::Detached) {
        return Ok(());
    }
    let error = Error::user(format!("the init process of container {:?} died", made.record.id.as_str()));
    Err(undo(host, &made.record, error))
}

/// Makes a container up to the point where its init waits for `Go`.
///
/// # Errors
/// When anything fails; nothing is left then.
pub fn make(
    host: &Host,
    request: &CreateRequest,
    source: SandboxSource<'_>,
    begin: Begin,
    relay: Option<OwnedFd>,
) -> Result<Made> {
    let title = || format!("cannot create container {:?}", request.id.as_str());
    if source.is_none() && !request.volumes.is_empty() {
        return Err(Error::user("--volume mounts a volume of a pod, and there is no --pod")
            .hint("give --pod POD as well"))
        .context(title);
    }
    let bundle = std::fs::canonicalize(&request.bundle)
        .context_as(Kind::User, || format!("cannot use bundle {:?}", request.bundle))
        .context(title)?;
    let config = config::load(&bundle).context(title)?;
    let mut record = Record::new(request.id.clone(), bundle)?;
    record.own_keyring = !request.no_new_keyring;
    let directory = directory::reserve(host, &record).context(title)?;
    make_reserved(host, request, source, begin, relay, config, &directory, &mut record)
        .map_err(|error| undo(host, &record, cause(source, &record, error)))
        .context(title)
}

/// Why a container of a pod could not be made: when somebody deleted the pod meanwhile, that, and not what came of it.
fn cause(source: SandboxSource<'_>, record: &Record, error: Error) -> Error {
    match (source, &record.pod) {
        (Some(pod), Some(uid)) => pod.confirm(uid).err().unwrap_or(error),
        _ => error,
    }
}

/// Takes back what was made, adding what could not be taken back to the error. When somebody else has deleted the
/// container meanwhile, everything of the id may be another's by now: then nothing is touched, and that is the error.
pub(super) fn undo(host: &Host, record: &Record, error: Error) -> Error {
    let taken_back = match record.claim_back(&host.layout.container(&record.id)) {
        Ok(true) => destroy(host, record),
        Ok(false) => return record.deleted_meanwhile(),
        Err(second) => Err(second),
    };
    match taken_back {
        Ok(()) => error,
        Err(second) => Error::new(error.kind(), format!("{error}; and then cleaning up failed: {second}"))
            .hint(format!("podrun delete --force {}", record.id)),
    }
}

#[expect(clippy::too_many_arguments, reason = "the values of one command, once each")]
fn make_reserved(
    host: &Host,
    request: &CreateRequest,
    source: SandboxSource<'_>,
    begin: Begin,
    relay: Option<OwnedFd>,
    mut config: Config,
    directory: &Path,
    record: &mut Record,
) -> Result<Made> {
    let sandbox = source.map(PodToJoin::open).transpose()?;
    if let Some(sandbox) = &sandbox {
        record.pod = Some(sandbox.uid.clone());
        sandbox::join(&mut config.spec, sandbox, &request.volumes, request.id.as_str())?;
    }
    let plan = plan::plan(host, request, &record.bundle, &config, relay)?;
    record.cgroup.clone_from(&plan.cgroup);
    record.rootfs.clone_from(&plan.root.path);
    record.oci_version.clone_from(config.spec.version());
    record.annotations = config
        .spec
        .annotations()
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect::<BTreeMap<_, _>>();
    record.commit(directory)?;
    if let (Some(pod), Some(uid)) = (source, &record.pod) {
        pod.confirm(uid)?;
    }
    atomic::replace(directory, layout::container::CONFIG, config.text.as_bytes(), Durability::Boot)?;
    let entry = plan.cgroup.as_ref().map(|cgroup| enterable(cgroup, &plan)).transpose()?;
    let fifo = match begin {
        Begin::WhenStarted => Some(make_fifo(directory)?),
        Begin::AtOnce => None,
    };
    let pidfd_socket = request.pidfd_socket.as_deref().map(|path| {
        socket::connect(path)
            .context_as(Kind::User, || format!("cannot connect to the pidfd socket {path:?}"))
    });
    let pidfd_socket = pidfd_socket.transpose()?;
    let filtered = plan.process.filters_init();
    let (link, child) = clone_init(plan, entry, fifo)?;
    let handed_over = hand_over(request, directory, record, pidfd_socket, &child, &link);
    match handed_over {
        Ok(()) => Ok(Made { record: record.clone(), child, link }),
        Err(error) => Err(end_init(&child, record.cgroup.as_ref(), filtered, error)),
    }
}

fn enterable(cgroup: &Cgroup, plan: &Plan) -> Result<Entry> {
    cgroup.create()?;
    cgroup.apply(&plan.resources)?;
    cgroup.entry()
}

/// The FIFO, open for reading and writing: it never ends, and it has a reader exactly as long as init waits.
fn make_fifo(directory: &Path) -> Result<OwnedFd> {
    let path = directory.join(layout::container::FIFO);
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
        .context(|| format!("cannot create {path:?}"))?;
    crate::sys::fs::open_existing(&path, libc::O_RDWR).context(|| format!("cannot open {path:?}"))
}

/// Clones init. The descriptors that only init needs are closed here when this returns.
fn clone_init(mut plan: Plan, entry: Option<Entry>, fifo: Option<OwnedFd>) -> Result<(CommandEnd, Child)> {
    let (command_end, init_end) = link::pair()?;
    let join_pid = plan.namespaces.join_pid.take();
    let namespaces = u64::try_from(plan.namespaces.clone_flags).unwrap_or_default();
    // A descriptor of its own: the entry itself moves into init's plan.
    let group = entry.as_ref().and_then(Entry::v2_fd).map(|fd| fd.try_clone_to_owned()).transpose();
    let group = group.context(|| "cannot copy a descriptor")?;
    let args = CloneArgs { namespaces, cgroup: group.as_ref().map(AsFd::as_fd), sibling: false };
    let init_plan = plan.into_init(entry, fifo, init_end);
    let alone = single_threaded().context(|| "cannot clone")?;
    let child = namespaces::inside(join_pid, || {
        let clone = spawn(alone, args, move || init::main(init_plan));
        clone.context(|| "cannot clone the init process").map_err(clone_hint)
    })?;
    Ok((command_end, child))
}

/// Adds the remedy to an error of the clone.
pub(super) fn clone_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOSPC) => {
            error.hint("a limit of namespaces is reached: see the sysctls user.max_*_namespaces")
        }
        Some(libc::EPERM) => error.hint("podrun needs root with CAP_SYS_ADMIN"),
        Some(libc::EAGAIN) => {
            error.hint("a limit of processes is reached: see ulimit -u, and pids.max of the cgroup")
        }
        Some(libc::ENOMEM) => {
            error.hint("there is no memory left, or the PID namespace's first process is dead")
        }
        Some(libc::EBUSY) => {
            error.hint("the cgroup hands controllers down to groups below it, so no process may enter it")
        }
        _ => error,
    }
}

/// Waits until init is ready, puts it on record, and tells the caller its pid.
fn hand_over(
    request: &CreateRequest,
    directory: &Path,
    record: &mut Record,
    pidfd_socket: Option<OwnedFd>,
    child: &Child,
    link: &CommandEnd,
) -> Result<()> {
    wait_ready(link)?;
    let mut whole = record.clone();
    whole.init = Some(ProcessRef::of(child.pid)?);
    whole.commit(directory)?;
    *record = whole;
    publish(child, request.pid_file.as_deref(), pidfd_socket)
}

/// Tells the caller the process's pid, by file, and its pidfd, by socket.
///
/// # Errors
/// When either cannot be delivered.
pub fn publish(child: &Child, pid_file: Option<&Path>, pidfd_socket: Option<OwnedFd>) -> Result<()> {
    if let Some(socket) = pidfd_socket {
        socket::send_descriptor(socket.as_fd(), b"pidfd", child.pidfd.as_fd())
            .context(|| "cannot send the pidfd")?;
    }
    let Some(path) = pid_file else { return Ok(()) };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(Error::user(format!("--pid-file {path:?} is not a file's path")));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    atomic::replace(parent, name, child.pid.to_string().as_bytes(), Durability::Boot)
        .context(|| "cannot write the pid file")
}

/// Listens to init until it is ready, passing its warnings on.
///
/// # Errors
/// What init says, or that it died.
fn wait_ready(link: &CommandEnd) -> Result<()> {
    loop {
        match link.receive()? {
            Some(FromInit::Warn(text)) => report::warn(&text),
            Some(FromInit::Ready) => return Ok(()),
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(FromInit::Detached | FromInit::Cloned(_)) => {
                return Err(Error::new(Kind::Protocol, "the init process spoke out of turn"));
            }
            None => return Err(Error::new(Kind::Died, "the init process died")),
        }
    }
}

/// Kills and reaps a child that failed or is not wanted any more. When it died without a word, its exit status and the
/// cgroup tell why.
pub fn end_child(child: &Child, cgroup: Option<&Cgroup>, error: Error) -> Error {
    end_init(child, cgroup, false, error)
}

/// As [`end_child`], for one whose seccomp filter may be why it died ([`super::process::ProcessPlan::filters_init`]).
fn end_init(child: &Child, cgroup: Option<&Cgroup>, filtered: bool, error: Error) -> Error {
    let already_dead = error.kind() == Kind::Died;
    if !already_dead
        && let Err(second) = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL)
        && second.raw_os_error() != Some(libc::ESRCH)
    {
        return Error::host(format!("{error}; and its process {} cannot be killed", child.pid))
            .because(second);
    }
    let status = waitpid(nix::unistd::Pid::from_raw(child.pid), None);
    if !already_dead {
        return error;
    }
    match status {
        Ok(WaitStatus::Signaled(_, signal, _)) => killed(cgroup, signal, filtered),
        Ok(WaitStatus::Exited(_, code)) => {
            suspect_filter(filtered, Error::host(format!("the init process ended with code {code}")))
        }
        _ => error,
    }
}

pub(super) fn killed(cgroup: Option<&Cgroup>, signal: Signal, filtered: bool) -> Error {
    match cgroup.map(Cgroup::memory_events) {
        Some(Ok(events)) if events.oom_kills > 0 => {
            let limit = events.limit_bytes.map(|bytes| format!(" (limit {bytes} bytes)")).unwrap_or_default();
            Error::user(format!("the init process ran out of memory{limit}"))
                .hint("raise linux.resources.memory.limit: making a container takes about 1 MiB")
        }
        _ => {
            // SIGSEGV: what libc and Rust do when they cannot even exit.
            let filtered = filtered && matches!(signal, Signal::SIGSYS | Signal::SIGSEGV);
            suspect_filter(filtered, Error::host(format!("the init process was killed by {signal}")))
        }
    }
}

/// Names the likely reason of a silent end when a filter was in force.
pub(super) fn suspect_filter(filtered: bool, error: Error) -> Error {
    if !filtered {
        return error;
    }
    error.hint(
        "linux.seccomp may forbid what podrun:init needs: without process.noNewPrivileges it is in force before the \
         program starts",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_filter_in_force_is_suspected_and_only_of_what_filters_do() {
        let hinted = |signal, filtered| {
            killed(None, signal, filtered).remedy().is_some_and(|h| h.contains("linux.seccomp"))
        };
        assert!(hinted(Signal::SIGSYS, true) && hinted(Signal::SIGSEGV, true));
        assert!(!hinted(Signal::SIGSYS, false) && !hinted(Signal::SIGKILL, true));
    }
}
