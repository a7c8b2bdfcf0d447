//! Letting a created container's program run.

use super::Host;
use super::delete::delete;
use super::hooks::run::Place;
use super::hooks::{self, Stage};
use super::notify::Notify;
use super::record::{self, Record, Status};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use crate::sync::message::{FromInit, LARGEST};
use crate::sys::fs::write_all_at_once;
use crate::sys::process::poll_until;
use nix::fcntl::{Flock, FlockArg};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long an init that was told to go on may take to execute its program: reading it from a slow disk included.
const EXEC_DEADLINE: Duration = Duration::from_secs(60);

/// As long as nobody waits.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What lets init go on; no message of init's own.
pub(super) const GO: &[u8] = b"0";

/// Starts a created container, and returns when its program has been executed.
///
/// # Errors
/// When it is not in the state `created`, when another command starts it, when the program cannot be executed: of kind
/// [`Kind::NoProgram`] or [`Kind::NotExecutable`] where that is the program's fault.
pub fn start(host: &Host, id: &ContainerId) -> Result<()> {
    start_notifying(host, id, None)
}

/// As [`start`]; where a service manager listens, returns when the program has said that it is ready, or has ended.
///
/// # Errors
/// As [`start`], and when the service manager cannot be told.
pub fn start_notifying(host: &Host, id: &ContainerId, manager: Option<&OsStr>) -> Result<()> {
    let title = || format!("cannot start container {:?}", id.as_str());
    let starting = begin(host, id, manager)?;
    let finished = starting.finish();
    let Starting { record, notify, .. } = starting;
    match finished {
        // Init has ended. A program that cannot be executed leaves the container stopped; a hook, says the runtime
        // spec, none.
        Err(error) if error.kind() == Kind::Hook => Err(take_back(host, id, error)),
        Err(error) => Err(error),
        Ok(()) => poststart(host, &record).context(title),
    }?;
    let Some((notify, init, pid)) = notify else { return Ok(()) };
    notify.wait(init.as_fd(), pid).context(title)
}

/// Runs the poststart hooks of a container whose program runs.
///
/// # Errors
/// When one fails; the container has been deleted then.
pub fn poststart(host: &Host, record: &Record) -> Result<()> {
    if !record.hooks {
        return Ok(());
    }
    let run = || -> Result<()> {
        let hooks = hooks::load(&host.layout.container(&record.id))?;
        let state = hooks::State::of(record, record.init.as_ref().map(|init| init.pid));
        hooks.run(Stage::Poststart, &state, &Place::here(hooks::alone()?))
    };
    run().map_err(|error| take_back(host, &record.id, error))
}

/// Deletes a container after an error, to which it adds what could not be done.
fn take_back(host: &Host, id: &ContainerId, error: Error) -> Error {
    match delete(host, id, true) {
        Ok(()) => error,
        Err(second) => {
            Error::new(error.kind(), format!("{error}; and then cleaning up failed")).because(second)
        }
    }
}

/// A container whose init was told to go on.
#[derive(Debug)]
struct Starting {
    directory: PathBuf,
    record: Record,
    /// Between it and a service manager, with what says that it has ended, and its pid.
    notify: Option<(Notify, OwnedFd, i32)>,
    /// How long init may take; `None` where one of its hooks may take for ever.
    patience: Option<Duration>,
    /// Of two commands one gets the lock; it is gone with us, whatever happens.
    fifo: Flock<File>,
}

/// Tells the init of a created container to go on.
///
/// # Errors
/// When the container is not in the state `created`, or another command starts it.
fn begin(host: &Host, id: &ContainerId, manager: Option<&OsStr>) -> Result<Starting> {
    let title = || format!("cannot start container {:?}", id.as_str());
    let (directory, record) = record::load(host, id)?;
    let status = record.status(&directory)?;
    if record.no_program && status == Status::Created {
        return Err(Error::user("process: is missing in its config.json, so there is nothing to start")
            .hint("delete it, and create it with a process"))
        .context(title);
    }
    let fifo = match (status, record::fifo(&directory)?) {
        (Status::Created, Some(fifo)) => fifo,
        (Status::Paused, Some(_)) => {
            return Err(Error::user("it is paused").hint(format!("podrun resume {id}"))).context(title);
        }
        _ => return Err(not_created(host, id)).context(title),
    };
    let fifo = match Flock::lock(fifo, FlockArg::LockExclusiveNonblock) {
        Ok(fifo) => fifo,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            return Err(Error::user("another command is starting it")).context(title);
        }
        Err((_, error)) => return Err(error).context(title),
    };
    let patience = match record.hooks {
        true => hooks::load(&directory).context(title)?.patience(Stage::StartContainer),
        false => Some(Duration::ZERO),
    };
    let notify =
        manager.map_or(Ok(None), |manager| notify_of(&record, &directory, manager)).context(title)?;
    match write_all_at_once(fifo.as_fd(), GO) {
        Ok(()) => Ok(Starting { directory, record, notify, patience, fifo }),
        // Between opening and writing, another `start` was done, or init died.
        Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Err(not_created(host, id)).context(title),
        Err(error) => Err(error).context(title),
    }
}

/// The FIFO. Without readers it is in error (POLLERR): init has executed its program, which closed it, or has ended.
impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

impl Starting {
    /// Waits until the program has been executed.
    ///
    /// # Errors
    /// When it cannot be, as [`start`], or when that takes longer than a minute.
    fn finish(&self) -> Result<()> {
        let title = || format!("cannot start container {:?}", self.record.id.as_str());
        let patience = self.patience.map_or(FOR_EVER, |hooks| hooks.saturating_add(EXEC_DEADLINE));
        if poll_until(self.as_fd(), 0, Instant::now() + patience.min(FOR_EVER)).context(title)? {
            left_in(&self.directory, &self.record, self.as_fd()).context(title)?;
            report::debug(|| format!("container {:?} has executed its program", self.record.id.as_str()));
            return Ok(());
        }
        let seconds = patience.as_secs();
        Err(Error::host(format!("its program was not executed within {seconds} s"))).context(title)
    }
}

/// What passes the program's readiness on, set up before the program can speak.
fn notify_of(record: &Record, directory: &Path, manager: &OsStr) -> Result<Option<(Notify, OwnedFd, i32)>> {
    let Some(process) = &record.init else { return Ok(None) };
    let Some(init) = process.open()? else { return Ok(None) };
    Ok(Notify::listen(directory, manager)?.map(|notify| (notify, init, process.pid)))
}

/// Why the container cannot be started, looked at afresh: another command may have changed it under our hands.
fn not_created(host: &Host, id: &ContainerId) -> Error {
    let look = || -> Result<Error> {
        let (directory, record) = record::load(host, id)?;
        if record.deleter.is_some() {
            return Ok(Error::user("it is being deleted"));
        }
        let status = record.status(&directory)?;
        let error = Error::user(format!("it is {status}, not created"));
        Ok(match status {
            Status::Running | Status::Paused => error.hint("a container starts once"),
            Status::Stopped => error.hint("delete it and create it again: a container starts once"),
            _ => error,
        })
    };
    look().unwrap_or_else(|error| error)
}

/// Whether init executed its program, rather than ended, when it gave the FIFO up: both close it a moment before they
/// can be told apart.
fn became_its_program(record: &Record) -> Result<bool> {
    let Some(init) = &record.init else { return Ok(false) };
    loop {
        // Asked first: what it does then is over by the second question.
        let alive = init.is_alive()?;
        if record::has_executed(init)? {
            return Ok(true);
        }
        if !alive {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What init left in the FIFO, where it stays as long as our end is open: nothing when it executed its program, the
/// reason when it could not, and what we wrote when it ended before it read that, or when a command that was killed had
/// told it to go on before us.
fn left_in(directory: &Path, record: &Record, fifo: BorrowedFd<'_>) -> Result<()> {
    // Asked by our own end: a reader, opened without need, would make the container look as if it waited again.
    if crate::sys::fs::unread_bytes(fifo).context(|| "cannot look into the FIFO")? == 0 {
        return Ok(());
    }
    let path = directory.join(crate::state::layout::container::FIFO);
    let reader = match crate::sys::fs::open_existing(&path, libc::O_RDONLY | libc::O_NONBLOCK) {
        Ok(reader) => reader,
        // Deleted by another command, which has killed init.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("cannot open {path:?}")),
    };
    let mut buffer = [0; LARGEST];
    let length = std::fs::File::from(reader).read(&mut buffer).context(|| format!("cannot read {path:?}"))?;
    if &buffer[..length] == GO {
        if became_its_program(record)? {
            return Ok(());
        }
        return Err(Error::new(Kind::Died, "its init process died before its program ran"));
    }
    match FromInit::decode(&buffer[..length])? {
        FromInit::Failed(failure) => Err(failure.into()),
        _ => Err(Error::new(Kind::Protocol, "cannot understand its init process")),
    }
}
