//! Waiting for news of a pod: its directory, where the status is replaced at every change, and its supervisor's life.

use crate::error::{Context, Result};
use crate::supervisor::lock;
use crate::sys::pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Files are replaced by renaming, and a pod goes with its directory.
const CHANGES: AddWatchFlags =
    AddWatchFlags::IN_MOVED_TO.union(AddWatchFlags::IN_DELETE).union(AddWatchFlags::IN_DELETE_SELF);

/// Pods that are watched. Nothing that happens after it was made is missed.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Watches directories; those that are not there are passed over.
    ///
    /// # Errors
    /// When the host has no inotify instance or watch left.
    pub fn on(directories: &[&Path]) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context(|| "cannot watch files")
            .map_err(|error| error.hint("raise the sysctl fs.inotify.max_user_instances"))?;
        let watch = Self { inotify };
        directories.iter().try_for_each(|directory| watch.add(directory))?;
        Ok(watch)
    }

    /// Watches one more directory, if it is there.
    ///
    /// # Errors
    /// As [`Watch::on`].
    pub fn add(&self, directory: &Path) -> Result<()> {
        self.add_for(directory, CHANGES)
    }

    /// Watches the directory of names, in which links appear.
    ///
    /// # Errors
    /// As [`Watch::on`].
    pub fn names(&self, directory: &Path) -> Result<()> {
        self.add_for(directory, CHANGES | AddWatchFlags::IN_CREATE)
    }

    fn add_for(&self, directory: &Path, events: AddWatchFlags) -> Result<()> {
        match self.inotify.add_watch(directory, events | AddWatchFlags::IN_ONLYDIR) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).context(|| format!("cannot watch {directory:?}")),
        }
    }

    /// Waits until something has happened, to the files or to `supervisor`; false when `deadline` passed first.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn next(&self, supervisor: Option<BorrowedFd<'_>>, deadline: Instant) -> Result<bool> {
        let mut fds = vec![PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        fds.extend(supervisor.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut fds, poll_timeout(left)) {
                Ok(0) if Instant::now() >= deadline => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error).context(|| "cannot wait for the pod"),
            }
        }
        // What has happened is asked of the files themselves.
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        Ok(true)
    }
}

/// Rounded up, lest it wakes early.
fn poll_timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}

/// Pidfd of the supervisor of the pod with this directory; none when it is dead.
///
/// # Errors
/// When the pod's lock file cannot be opened.
pub fn supervisor(directory: &Path) -> Result<Option<OwnedFd>> {
    let Some(pid) = lock::holders(directory)?.supervisor else { return Ok(None) };
    Ok(pidfd::open(pid).ok())
}
