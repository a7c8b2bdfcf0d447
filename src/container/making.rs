//! A container whose init is cloned and not yet let go: until then the container is its maker's to take back.
//!
//! Invariant: a [`Making`] or [`Made`] that ends in an error, or is dropped, leaves no process, no zombie and no
//! container behind; what could not be removed stays on record.

use super::Host;
use super::create::{cause, undo};
use super::ended::end_child;
use super::exec;
use super::hooks::{self, Hooks, Stage};
use super::init::kernel::set_limits;
use super::listener::Listening;
use super::net_devices::{self, NetDevice};
use super::process::Rlimit;
use super::record::{Record, Status};
use super::request::SandboxSource;
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::seccomp::Listener;
use crate::state::atomic;
use crate::state::process::ProcessRef;
use crate::sync::link::CommandEnd;
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::Child;
use crate::sys::socket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A cloned init with its container.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub host: Host,
    /// As it is on disk.
    pub record: Record,
    /// A seccomp filter may get in init's way.
    pub filtered: bool,
    /// Who answers for the filter, where somebody does.
    pub listener: Option<Listener>,
    /// What runs at the points of its life.
    pub hooks: Hooks,
    /// Limits to set for an init that may not raise them itself.
    pub limits: Vec<Rlimit>,
    /// Network devices to move into its namespace.
    pub net_devices: Vec<NetDevice>,
    /// Init, a child of this process, and the link to it; `None` once it is let go or given up.
    pub init: Option<(Child, CommandEnd)>,
}

impl Unfinished {
    fn init(&self) -> Result<&(Child, CommandEnd)> {
        self.init.as_ref().ok_or_else(|| Error::new(Kind::Died, "the init process is gone"))
    }

    /// Ends init and takes the container back.
    fn give_up(&mut self, pod: SandboxSource<'_>, error: Error) -> Error {
        let Some((child, _link)) = self.init.take() else { return error };
        let error = end_child(&child, self.record.cgroup.as_ref(), self.filtered, error);
        undo(&self.host, &self.record, cause(pod, &self.record, error))
    }

    /// Does `last`, with which init is let go; gives up where that fails.
    fn let_go(mut self, last: impl FnOnce(&Self, &CommandEnd) -> Result<()>) -> Result<(Record, Child)> {
        let done = self.init().and_then(|(_, link)| last(&self, link));
        if let Err(error) = done {
            return Err(self.give_up(None, error));
        }
        let (child, _link) =
            self.init.take().ok_or_else(|| Error::new(Kind::Died, "the init process is gone"))?;
        Ok((self.record.clone(), child))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Nobody is there to hear of it; the record says what is left.
        drop(self.give_up(None, Error::user("given up")));
    }
}

/// Who is told init's pid and pidfd.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    /// File for the pid.
    pub pid_file: Option<PathBuf>,
    /// Connected socket for the pidfd.
    pub pidfd_socket: Option<OwnedFd>,
}

/// A container whose init sets itself up.
#[derive(Debug)]
pub struct Making {
    unfinished: Unfinished,
    directory: PathBuf,
    announcement: Announcement,
}

impl Making {
    pub(super) fn new(unfinished: Unfinished, directory: PathBuf, announcement: Announcement) -> Self {
        Self { unfinished, directory, announcement }
    }

    /// What becomes readable when init is ready or has failed: [`Making::finish`] then need not wait.
    pub fn link(&self) -> Option<BorrowedFd<'_>> {
        self.unfinished.init.as_ref().map(|(_, link)| link.as_fd())
    }

    /// Waits until init is ready, and puts it on record. `pod` is what [`super::create::begin`] was given.
    ///
    /// # Errors
    /// What init says, or how it died; nothing is left then.
    pub fn finish(mut self, pod: SandboxSource<'_>) -> Result<Made> {
        let id = self.unfinished.record.id.clone();
        self.hand_over()
            .map_err(|error| self.unfinished.give_up(pod, error))
            .context(|| format!("cannot create container {:?}", id.as_str()))?;
        Ok(Made(self.unfinished))
    }

    /// Waits until init is ready, puts it on record, and tells the caller its pid.
    fn hand_over(&mut self) -> Result<()> {
        let Unfinished { record, init, listener, hooks, limits, net_devices, .. } = &mut self.unfinished;
        let Some((child, link)) = &*init else { return Ok(()) };
        let listening = listener.take().map(|listener| Listening {
            listener,
            record: record.clone(),
            status: Status::Creating,
        });
        wait_ready(link, child, listening, || run_hooks(hooks, record, &self.directory, (child, link)))?;
        set_limits(child.pid, limits)?;
        // As late as can be: with the namespace of a container that fails, the kernel would remove what is virtual.
        let moved = net_devices::move_all(net_devices, child.pid)?;
        let outcome = put_on_record(child, record, hooks, &self.directory, &mut self.announcement);
        match (outcome, moved) {
            (Err(error), Some(moved)) => Err(moved.back(error)),
            (outcome, _) => outcome,
        }
    }
}

/// Puts a ready init on record, and tells the caller its pid.
fn put_on_record(
    child: &Child,
    record: &mut Record,
    hooks: &Hooks,
    directory: &Path,
    announcement: &mut Announcement,
) -> Result<()> {
    let mut whole = record.clone();
    whole.hooks = hooks.any(&[Stage::StartContainer, Stage::Poststart, Stage::Poststop]);
    whole.init = Some(ProcessRef::of(child.pid)?);
    whole.commit(directory)?;
    *record = whole;
    report::debug(|| format!("init {} is ready and on record", child.pid));
    publish(child, announcement.pid_file.as_deref(), announcement.pidfd_socket.take())
}

/// A container whose init is ready, on record, and waits for the word.
#[derive(Debug)]
pub struct Made(Unfinished);

impl Made {
    /// Lets init outlive this process and wait for `start`; for [`super::Begin::WhenStarted`]. The results are
    /// the container's record and init, still our child.
    ///
    /// # Errors
    /// When init has died meanwhile; nothing is left then.
    pub fn release(self) -> Result<(Record, Child)> {
        self.0.let_go(|made, link| {
            if link.send(&ToInit::Go)? && link.receive()? == Some(FromInit::Detached) {
                return Ok(());
            }
            Err(Error::user(format!("the init process of container {:?} died", made.record.id.as_str())))
        })
    }

    /// Lets the program run, and returns when it does; for [`super::Begin::AtOnce`]. The results are the container's
    /// record and init, still our child.
    ///
    /// # Errors
    /// When it cannot be executed, of kind [`Kind::NoProgram`] or [`Kind::NotExecutable`] where that is the program's
    /// fault; nothing is left then.
    pub fn go(self) -> Result<(Record, Child)> {
        self.0.let_go(|_, link| exec::go(link))
    }
}

/// Connects to the socket that a pidfd is to be sent to.
///
/// # Errors
/// When nobody listens there.
pub fn pidfd_socket(path: &Path) -> Result<OwnedFd> {
    socket::connect(path)
        .context_as(Kind::User, || format!("cannot connect to the pidfd socket {path:?}"))
        .map_err(|error| error.hint("whoever wants the pidfd must listen on this Unix socket first"))
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
    atomic::publish(parent, name, child.pid.to_string().as_bytes()).context(|| "cannot write the pid file")
}

/// Listens to init until it is ready, passing its warnings and its filter's listener on, and running hooks when it says
/// that it is time.
///
/// # Errors
/// What init says, or that it died; and those of `run_hooks`.
fn wait_ready(
    link: &CommandEnd,
    child: &Child,
    mut listening: Option<Listening>,
    mut run_hooks: impl FnMut() -> Result<()>,
) -> Result<()> {
    loop {
        match link.receive()? {
            Some(FromInit::Warn(text)) => report::warn(&text),
            Some(FromInit::RunHooks) => run_hooks()?,
            Some(FromInit::Ready) => return Ok(()),
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(message) => match (message, listening.take()) {
                (FromInit::Listener(number), Some(listening)) => listening.hand_over(child, number, link)?,
                _ => return Err(Error::new(Kind::Protocol, "the init process spoke out of turn")),
            },
            None => return Err(Error::new(Kind::Died, "the init process died")),
        }
    }
}

/// Runs the hooks that come before the root is entered, as far as they are this process's to run. From here on the
/// container has been made as far as the runtime spec is concerned, so its poststop hooks are due whatever happens.
fn run_hooks(
    hooks: &Hooks,
    record: &mut Record,
    directory: &Path,
    (child, link): (&Child, &CommandEnd),
) -> Result<()> {
    record.hooks = true;
    record.commit(directory)?;
    let state = hooks::State::of(record, Some(child.pid));
    let place = hooks::run::Place::here(hooks::alone()?);
    hooks.run(Stage::Prestart, &state, &place)?;
    hooks.run(Stage::CreateRuntime, &state, &place)?;
    match link.send(&ToInit::HooksDone)? {
        true => Ok(()),
        false => Err(Error::new(Kind::Died, "the init process died")),
    }
}
