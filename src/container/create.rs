//! Making a container: reserve the id, plan, record, cgroup, clone, hand over. Any failure takes back what was made,
//! in the same way as `delete` does.
//!
//! In two halves, so that one process can make several at once: [`begin`] returns when init is cloned, and
//! [`Making::finish`] waits until it is ready.

use super::birth::{self, Born};
use super::config::{self, Config};
use super::delete::destroy;
use super::hooks::Hooks;
use super::making::{self, Announcement, Making, Unfinished};
use super::mounts::overlay;
use super::plan::{self, Plan};
use super::record::Record;
use super::request::{Begin, ConfigSource, CreateRequest, PodToJoin, RootSource, SandboxSource};
use super::{Host, directory, notify, sandbox};
use crate::cgroup::{Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::seccomp::Listener;
use crate::state::atomic::{self, Durability};
use crate::state::layout;
use nix::sys::stat::Mode;
use oci_spec::runtime::{Root, Spec};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Makes a container that waits for `start`, and lets it outlive this process.
///
/// # Errors
/// When anything fails; nothing is left then.
pub fn create(host: &Host, request: CreateRequest, source: SandboxSource<'_>) -> Result<()> {
    begin(host, request, source, Begin::WhenStarted)?.finish(source)?.release().map(drop)
}

/// Makes a container up to the point where its init sets itself up. Warnings go to [`crate::report`].
///
/// # Errors
/// When anything fails; nothing is left then.
pub fn begin(
    host: &Host,
    mut request: CreateRequest,
    source: SandboxSource<'_>,
    when: Begin,
) -> Result<Making> {
    let id = request.id.clone();
    let title = || format!("cannot create container {:?}", id.as_str());
    if source.is_none() && !request.volumes.is_empty() {
        return Err(Error::user("--volume mounts a volume of a pod, and there is no --pod")
            .hint("give --pod POD as well"))
        .context(title);
    }
    let (bundle, config) = load(host, &mut request).context(title)?;
    let mut record = Record::new(id.clone(), bundle)?;
    record.own_keyring = !request.no_new_keyring;
    if let RootSource::Overlay(root) = &request.root {
        record.scratch = Some(root.scratch.clone());
    }
    let directory = directory::reserve(host, &record).context(title)?;
    begin_reserved(host, request, source, when, config, &directory, &mut record)
        .map_err(|error| undo(host, &record, cause(source, &record, error)))
        .context(title)
        .map(|begun| {
            let Begun { born, filtered, listener, hooks, announcement } = begun;
            let Born { init, limits, net_devices } = born;
            let (host, init) = (host.clone(), Some(init));
            let unfinished =
                Unfinished { host, record, filtered, listener, hooks, limits, net_devices, init };
            Making::new(unfinished, directory, announcement)
        })
}

/// The config, and the directory that its relative paths begin at.
fn load(host: &Host, request: &mut CreateRequest) -> Result<(PathBuf, Config)> {
    // It is not needed twice, and large.
    match std::mem::replace(&mut request.config, ConfigSource::Bundle(PathBuf::new())) {
        ConfigSource::Bundle(bundle) => {
            let bundle = std::fs::canonicalize(&bundle)
                .context_as(Kind::User, || format!("cannot use bundle {bundle:?}"))?;
            let config = config::load(&bundle)?;
            Ok((bundle, config))
        }
        ConfigSource::Spec { mut spec, seccomp } => {
            if let RootSource::Overlay(overlay) = &request.root {
                let read_only = spec.root().as_ref().and_then(Root::readonly);
                let mut root = Root::default();
                root.set_path(overlay.scratch.join(layout::scratch::ROOT)).set_readonly(read_only);
                spec.set_root(Some(root));
            }
            let config = Config::of(*spec, seccomp)?;
            Ok((host.layout.container(&request.id), config))
        }
    }
}

/// Why a container of a pod could not be made: when somebody deleted the pod meanwhile, that, and not what came of it.
pub(super) fn cause(source: SandboxSource<'_>, record: &Record, error: Error) -> Error {
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

/// What is left to do for a container whose init is cloned.
struct Begun {
    born: Born,
    filtered: bool,
    listener: Option<Listener>,
    hooks: Hooks,
    announcement: Announcement,
}

fn begin_reserved(
    host: &Host,
    mut request: CreateRequest,
    source: SandboxSource<'_>,
    when: Begin,
    mut config: Config,
    directory: &Path,
    record: &mut Record,
) -> Result<Begun> {
    let sandbox = source.map(PodToJoin::open).transpose()?;
    if let Some(sandbox) = &sandbox {
        record.pod = Some(sandbox.uid.clone());
        let leaf = request.cgroup.as_ref().map_or(request.id.as_str(), |name| name.as_str());
        sandbox::join(&mut config.spec, sandbox, &request.volumes, leaf)?;
    }
    if request.notifies {
        notify::expose(&mut config.spec, directory)?;
    }
    if let Some(names) = request.listen_names.as_ref().filter(|_| request.listen_fds > 0) {
        notify::add_variable(&mut config.spec, format!("LISTEN_FDNAMES={names}"));
    }
    let mut plan = plan::plan(host, &mut request, &record.bundle, &config)?;
    sandbox.as_ref().map_or(Ok(()), sandbox::check_pause)?;
    report::debug(|| plan.summary(record, &config));
    fill(record, &plan, &config.spec);
    match when {
        Begin::AtOnce if record.no_program => {
            return Err(Error::user("process: is missing").hint("say in config.json what is to be run"));
        }
        Begin::WhenStarted if record.no_program => {
            report::warn("process: is missing: the container can be created, and not be started");
        }
        _ => {}
    }
    record.commit(directory)?;
    if let (Some(pod), Some(uid)) = (source, &record.pod) {
        pod.confirm(uid)?;
    }
    atomic::replace(directory, layout::container::CONFIG, config.text.as_bytes(), Durability::Boot)?;
    if let RootSource::Overlay(root) = &request.root {
        plan.root.overlay = Some(overlay::make(root)?);
        plan.root.path = std::fs::canonicalize(&plan.root.path)
            .context(|| format!("cannot resolve {:?}", plan.root.path))?;
    }
    let mut entry = plan.cgroup.as_ref().map(|cgroup| enterable(cgroup, &plan)).transpose()?;
    if let Some(rdt) = &plan.rdt {
        rdt.make()?;
        entry = Some(Entry::with(entry, rdt.group().tasks()?));
    }
    let fifo = match when {
        Begin::WhenStarted => Some(make_fifo(directory)?),
        Begin::AtOnce => None,
    };
    let pidfd_socket = request.pidfd_socket.as_deref().map(making::pidfd_socket).transpose()?;
    let announcement = Announcement { pid_file: request.pid_file.take(), pidfd_socket };
    let filtered = plan.process.filters_init();
    let listener = plan.process.seccomp.as_ref().and_then(|filter| filter.listener.clone());
    let hooks = std::mem::take(&mut plan.hooks);
    let born = birth::clone_init(plan, entry, fifo, &hooks, record)?;
    report::debug(|| format!("cloned init: process {}", born.init.0.pid));
    Ok(Begun { born, filtered, listener, hooks, announcement })
}

fn enterable(cgroup: &Cgroup, plan: &Plan) -> Result<Entry> {
    cgroup.create()?;
    cgroup.apply(&plan.resources)?;
    plan.cgroup_owner.map_or(Ok(()), |uid| cgroup.delegate(uid))?;
    report::debug(|| format!("made and limited cgroup {}", cgroup.path()));
    cgroup.entry()
}

/// What is known of a container by its plan.
fn fill(record: &mut Record, plan: &Plan, spec: &Spec) {
    record.cgroup.clone_from(&plan.cgroup);
    record.rdt = plan.rdt.as_ref().map(|rdt| rdt.group().clone());
    record.rootfs.clone_from(&plan.root.path);
    record.inherits_mounts = plan.root.inherited.is_some();
    record.no_program = plan.process.args.is_empty();
    record.oci_version.clone_from(spec.version());
    record.annotations = spec.annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
}

/// The FIFO, open for reading and writing: it never ends, and it has a reader exactly as long as init waits.
fn make_fifo(directory: &Path) -> Result<OwnedFd> {
    let path = directory.join(layout::container::FIFO);
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
        .context(|| format!("cannot create {path:?}"))?;
    crate::sys::fs::open_existing(&path, libc::O_RDWR).context(|| format!("cannot open {path:?}"))
}

/// Adds the remedy to an error of the clone.
pub(super) fn clone_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOSPC) => {
            error.hint("a limit of namespaces is reached: see the sysctls user.max_*_namespaces")
        }
        Some(libc::EPERM) => {
            error.hint("podrun needs root with CAP_SYS_ADMIN, and for a user namespace to be in no chroot")
        }
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
