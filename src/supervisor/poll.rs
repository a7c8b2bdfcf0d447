//! What the supervisor waits for: one epoll(7) set, each descriptor in it under the [`Source`] that it is.

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::AsFd;
use std::time::Duration;

/// Why the supervisor woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A signal was sent to the supervisor.
    Signal,
    /// The keeper is gone.
    Keeper,
    /// The pause is gone.
    Pause,
    /// A command connects.
    Listener,
    /// The command of that number says something.
    Peer(u32),
    /// The init of the container of that place says something while it is made.
    Making(u32),
    /// The container of that place has ended.
    Exit(u32),
    /// The container of that place wrote to its standard output, or its terminal.
    Output(u32),
    /// The container of that place wrote to its standard error.
    ErrorOutput(u32),
    /// A probe or a hook has got on.
    Attempts,
    /// The process that measures the pod's use of the disk has found something.
    Measuring,
}

impl Source {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Signal => (0, 0),
            Self::Keeper => (1, 0),
            Self::Pause => (2, 0),
            Self::Listener => (3, 0),
            Self::Peer(number) => (4, number),
            Self::Making(number) => (5, number),
            Self::Exit(number) => (6, number),
            Self::Output(number) => (7, number),
            Self::ErrorOutput(number) => (8, number),
            Self::Attempts => (9, 0),
            Self::Measuring => (10, 0),
        };
        (kind << 32) | u64::from(number)
    }

    fn unpack(word: u64) -> Option<Self> {
        let number = u32::try_from(word & u64::from(u32::MAX)).ok()?;
        Some(match word >> 32 {
            0 => Self::Signal,
            1 => Self::Keeper,
            2 => Self::Pause,
            3 => Self::Listener,
            4 => Self::Peer(number),
            5 => Self::Making(number),
            6 => Self::Exit(number),
            7 => Self::Output(number),
            8 => Self::ErrorOutput(number),
            9 => Self::Attempts,
            10 => Self::Measuring,
            _ => return None,
        })
    }
}

/// When a descriptor is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As long as there is something.
    Level,
    /// When something is added: for pipes, in which a line that is not whole yet is left.
    Edge,
}

/// The set.
#[derive(Debug)]
pub struct Poll(Epoll);

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub fn new() -> Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self).context(|| "cannot make an epoll set")
    }

    /// Adds a descriptor. It leaves the set when its last copy is closed; copies held elsewhere make
    /// [`Poll::remove`] necessary.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, fd: impl AsFd, source: Source, trigger: Trigger) -> Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        if trigger == Trigger::Edge {
            flags |= EpollFlags::EPOLLET;
        }
        self.0
            .add(fd, EpollEvent::new(flags, source.pack()))
            .context(|| format!("cannot wait for {source:?}"))
    }

    /// Takes a descriptor out; one that is not in the set is fine.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn remove(&self, fd: impl AsFd) -> Result<()> {
        match self.0.delete(fd) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).context(|| "cannot take a descriptor out of the epoll set"),
        }
    }

    /// Waits until something happens, at most `patience`.
    ///
    /// # Errors
    /// Those of epoll_wait(2).
    pub fn wait(&self, patience: Option<Duration>) -> Result<Vec<Source>> {
        /// What is not reported this time is the next.
        const AT_ONCE: usize = 32;
        // Rounded up, lest a deadline that is less than a millisecond away be waited for in a loop.
        let timeout = patience.map_or(EpollTimeout::NONE, |patience| {
            let millis = patience.as_nanos().div_ceil(1_000_000);
            EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); AT_ONCE];
        match self.0.wait(&mut events, timeout) {
            Ok(count) => {
                Ok(events.iter().take(count).filter_map(|event| Source::unpack(event.data())).collect())
            }
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error).context(|| "cannot wait"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        use Source as S;
        let all = [
            S::Signal,
            S::Keeper,
            S::Pause,
            S::Listener,
            S::Peer(7),
            S::Making(u32::MAX),
            S::Exit(0),
            S::Output(1),
            S::ErrorOutput(2),
            S::Attempts,
            S::Measuring,
        ];
        for source in all {
            assert_eq!(Source::unpack(source.pack()), Some(source));
        }
        assert_eq!(Source::unpack(u64::MAX), None);
    }

    #[test]
    fn an_edge_is_reported_once_and_a_level_as_long_as_it_lasts() {
        let (level, level_end) = nix::unistd::pipe().unwrap();
        let (edge, edge_end) = nix::unistd::pipe().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&level, Source::Output(0), Trigger::Level).unwrap();
        poll.add(&edge, Source::Output(1), Trigger::Edge).unwrap();
        assert!(poll.wait(Some(Duration::ZERO)).unwrap().is_empty());
        nix::unistd::write(&level_end, b"a").unwrap();
        nix::unistd::write(&edge_end, b"a").unwrap();
        assert_eq!(poll.wait(None).unwrap().len(), 2);
        assert_eq!(poll.wait(None).unwrap(), [Source::Output(0)]);
        nix::unistd::write(&edge_end, b"b").unwrap();
        assert_eq!(poll.wait(None).unwrap().len(), 2);
        poll.remove(&level).unwrap();
        poll.remove(&level).unwrap();
        drop(edge);
        assert!(poll.wait(Some(Duration::ZERO)).unwrap().is_empty());
    }
}
