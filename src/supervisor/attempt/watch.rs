//! What attempts wait for: one epoll(7) set inside the supervisor's own.
//!
//! Invariant: a descriptor leaves the set before it is closed. A process that is being cloned may hold a copy of it for a
//! moment, and the set would go on reporting it.

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};

/// The set; level-triggered.
#[derive(Debug)]
pub struct Set(Epoll);

/// The set, for one attempt to add its descriptors under its number.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    set: &'a Epoll,
    key: u64,
}

impl Set {
    /// An empty set.
    pub fn new() -> Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self).context(|| "cannot make an epoll set")
    }

    /// For the descriptors of one attempt.
    pub fn watch(&self, key: u64) -> Watch<'_> {
        Watch { set: &self.0, key }
    }

    /// The numbers under which something has happened, each once.
    pub fn ready(&self) -> Result<Vec<u64>> {
        /// More than usually happen at once; the rest is reported the next time.
        const AT_ONCE: usize = 32;
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = match self.0.wait(&mut events, EpollTimeout::ZERO) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error).context(|| "cannot ask an epoll set"),
        };
        let mut keys: Vec<u64> = events.iter().take(count).map(EpollEvent::data).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Watch<'_> {
    /// Waits until there is something to read, or the end.
    pub fn readable(self, fd: impl AsFd) -> Result<()> {
        self.add(fd, EpollFlags::EPOLLIN)
    }

    /// Waits until something can be written.
    pub fn writable(self, fd: impl AsFd) -> Result<()> {
        self.add(fd, EpollFlags::EPOLLOUT)
    }

    fn add(self, fd: impl AsFd, flags: EpollFlags) -> Result<()> {
        self.set.add(fd, EpollEvent::new(flags, self.key)).context(|| "cannot wait for a descriptor")
    }

    /// Waits for something to read, or also for room to write, on a descriptor that is waited for already.
    pub fn change(self, fd: impl AsFd, write_too: bool) -> Result<()> {
        let flags = if write_too { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        self.set.modify(fd, &mut EpollEvent::new(flags, self.key)).context(|| "cannot wait for a descriptor")
    }

    /// Waits no more; a descriptor that was not waited for is fine.
    pub fn forget(self, fd: impl AsFd) {
        // Another error than ENOENT there is none for a descriptor that is open.
        let _absent: nix::Result<()> = self.set.delete(fd);
    }
}
