//! Who lives of a manifest pod's pair: record locks on one file in the pod's directory, fcntl(2).
//!
//! Byte 0 is the living supervisor's, byte 1 the living keeper's. The kernel takes a lock away with its process, a child
//! does not inherit it, and execve keeps it: so a lock says that the process lives, whatever its pid. Whoever starts a
//! pair takes the keeper's byte first, which makes it the only one that may.
//!
//! Invariant: a process that holds a lock opens the file once. Closing any descriptor of the file drops its locks.

use crate::error::{Context, Error, Kind, Result};
use crate::state::layout;
use crate::sys::pidfd;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SUPERVISOR: libc::off_t = 0;
const KEEPER: libc::off_t = 1;

/// The pod's lock file, opened.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// The other processes that hold the locks, by their pids in our PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holders {
    /// The living supervisor.
    pub supervisor: Option<i32>,
    /// The living keeper.
    pub keeper: Option<i32>,
}

/// The processes that hold the locks of the pod with this directory, without making anything in it: it may be about to
/// be removed. Not for a process that holds one itself.
///
/// # Errors
/// When the file cannot be opened, or its file system has no locks.
pub fn holders(directory: &Path) -> Result<Holders> {
    let path = directory.join(layout::pod::LOCK);
    match File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
        Ok(file) => Lock { file, path }.holders(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Holders { supervisor: None, keeper: None })
        }
        Err(error) => Err(error).context(|| format!("cannot open {path:?}")),
    }
}

/// Kills the pod's supervisor; its keeper starts another, which begins anew.
///
/// # Errors
/// When it cannot be seen or killed.
pub fn kill_supervisor(directory: &Path) -> Result<()> {
    let Some(pid) = holders(directory)?.supervisor else { return Ok(()) };
    let title = || format!("cannot kill the supervisor, process {pid}");
    let ended = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
    let process = match pidfd::open(pid) {
        Err(error) if ended(&error) => return Ok(()),
        opened => opened.context(title)?,
    };
    // It may have ended before the pid was opened, which would then be another's.
    if holders(directory)?.supervisor != Some(pid) {
        return Ok(());
    }
    match pidfd::send_signal(process.as_fd(), libc::SIGKILL) {
        Err(error) if !ended(&error) => Err(error).context(title),
        _ => Ok(()),
    }
}

impl Lock {
    /// Opens the lock file in a pod's directory, making it if need be.
    ///
    /// # Errors
    /// NotFound when there is no such pod (any more).
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(layout::pod::LOCK);
        let mut options = File::options();
        options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        match options.open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::not_found(format!("{directory:?} is no pod's directory")))
            }
            Err(error) => Err(error).context(|| format!("cannot open {path:?}")),
        }
    }

    /// Takes the supervisor's byte for as long as this process lives and keeps the value; false when another
    /// supervisor has it.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn try_supervisor(&self) -> Result<bool> {
        try_lock(self.file.as_fd(), SUPERVISOR).context(|| format!("cannot lock {:?}", self.path))
    }

    /// The other processes that hold the locks; this one is never among them.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn holders(&self) -> Result<Holders> {
        let holder = |byte| {
            holder(self.file.as_fd(), byte).context(|| format!("cannot see who has locked {:?}", self.path))
        };
        Ok(Holders { supervisor: holder(SUPERVISOR)?, keeper: holder(KEEPER)? })
    }

    /// The file, to be handed to a keeper.
    pub(super) fn into_file(self) -> OwnedFd {
        self.file.into()
    }
}

/// Takes the keeper's byte through `file` for this process, trying until `patience` is over: a keeper that is dying
/// gives its link up before its lock.
///
/// # Errors
/// Exists when another keeper stands.
pub(super) fn take_keeper(file: BorrowedFd<'_>, patience: Duration) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(2);
    let deadline = Instant::now() + patience;
    while !try_lock(file, KEEPER).context(|| "cannot take the keeper's lock")? {
        if Instant::now() >= deadline {
            return Err(Error::new(Kind::Exists, "the pod has a keeper already"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Makes sure that no supervisor lives. Whoever holds the keeper's byte is the only one who may start another.
///
/// # Errors
/// Exists when one does: it has outlived its keeper and makes another.
pub(super) fn refuse_supervisor(file: BorrowedFd<'_>) -> Result<()> {
    match holder(file, SUPERVISOR).context(|| "cannot look at the supervisor's lock")? {
        Some(_) => Err(Error::new(Kind::Exists, "the pod has a supervisor already")),
        None => Ok(()),
    }
}

fn byte(start: libc::off_t) -> libc::flock {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the constants are 1 and 0, ints that the struct has as shorts"
    )]
    let (write, from_start) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type: write, l_whence: from_start, l_start: start, l_len: 1, l_pid: 0 }
}

fn try_lock(file: BorrowedFd<'_>, start: libc::off_t) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&byte(start))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn holder(file: BorrowedFd<'_>, start: libc::off_t) -> io::Result<Option<i32>> {
    let mut lock = byte(start);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((libc::c_int::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_this_process_are_not_shown_to_it() {
        let directory = std::env::temp_dir().join(format!("podrun-lock-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let lock = Lock::open(&directory).unwrap();
        assert!(lock.try_supervisor().unwrap() && lock.try_supervisor().unwrap());
        take_keeper(lock.file.as_fd(), Duration::ZERO).unwrap();
        assert_eq!(lock.holders().unwrap(), Holders { supervisor: None, keeper: None });
        refuse_supervisor(lock.file.as_fd()).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(Lock::open(&directory).unwrap_err().kind(), Kind::NotFound);
    }
}
