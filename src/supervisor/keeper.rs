//! The supervisor's end of the link to its keeper, the process that holds copies of its descriptors, each under a tag,
//! and starts a new supervisor when this one dies (`src/pause/keeper.rs` is the other end).
//!
//! ```text
//! keeper                                          supervisor
//!   H tag + descriptor (any number), E  ------->  takes over
//!   F errno text (in the place of E)    ------->  the keeper could not confine itself
//!                                       <-------  P tag + descriptor: keep, in the place of what has the tag
//!                                       <-------  D tag: close
//!                                       <-------  R pid (four little-endian bytes): reap that child of yours
//!                                       <-------  Q: I am ending on purpose, end with me
//! ```
//! Each message is one packet. The keeper never speaks after E, so any event of the link is its end.
//!
//! Invariant: a dead keeper is no error of what is said to it. The link tells, and its successor is given all again.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{inherit, process, socket};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many descriptors a keeper holds at most: below the usual limit of open files, 1024.
pub const LIMIT: usize = 1000;
/// Longest tag in bytes.
pub const LONGEST_TAG: usize = 64;

/// Longest text of a keeper's complaint in bytes.
pub(super) const LONGEST_COMPLAINT: usize = 512;

/// The supervisor's descriptor of the link, as it is started.
const LINK: i32 = 0;
/// How long the keeper may take for the next message of a handing over; it waits for nothing itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a keeper that does not read is waited for.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// The link to the keeper.
#[derive(Debug)]
pub struct KeeperLink {
    socket: OwnedFd,
    tags: BTreeSet<String>,
}

/// A message of the keeper.
#[derive(Debug, PartialEq, Eq)]
enum FromKeeper {
    Held(String),
    End,
    Failed(i32, String),
}

impl FromKeeper {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'H' if (1..=LONGEST_TAG).contains(&rest.len()) => {
                Some(Self::Held(String::from_utf8(rest.to_vec()).ok()?))
            }
            b'E' if rest.is_empty() => Some(Self::End),
            b'F' => {
                let (errno, text) = rest.split_first_chunk::<4>()?;
                Some(Self::Failed(i32::from_le_bytes(*errno), String::from_utf8_lossy(text).into_owned()))
            }
            _ => None,
        }
    }
}

/// A message to the keeper that names a tag.
fn tagged(kind: u8, tag: &str) -> Result<Vec<u8>> {
    if (1..=LONGEST_TAG).contains(&tag.len()) {
        return Ok([&[kind], tag.as_bytes()].concat());
    }
    Err(Error::new(Kind::Protocol, format!("the keeper cannot hold a descriptor under the tag {tag:?}")))
}

impl KeeperLink {
    /// Takes over what the keeper holds, on descriptor 0, which becomes /dev/null. A first supervisor finds nothing.
    ///
    /// # Errors
    /// When the keeper is dead or could not confine itself.
    pub fn take_over() -> Result<(Self, Vec<(String, OwnedFd)>)> {
        let socket = inherit::take(LINK).context(|| "cannot find the link to the keeper")?;
        Self::over(socket)
    }

    /// Likewise, on a socket of this process.
    pub(super) fn over(socket: OwnedFd) -> Result<(Self, Vec<(String, OwnedFd)>)> {
        let mut held = Vec::new();
        while let Some(next) = receive(socket.as_fd())? {
            if held.len() >= LIMIT {
                return Err(Error::new(Kind::Protocol, "the keeper holds too many descriptors"));
            }
            held.push(next);
        }
        // So that a keeper that was stopped cannot hold this process up.
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .context(|| "cannot set up the link to the keeper")?;
        let tags = held.iter().map(|(tag, _)| tag.clone()).collect();
        Ok((Self { socket, tags }, held))
    }

    /// Has the keeper hold a copy of `fd` under `tag` (1 to 64 bytes), in the place of what it held under that tag.
    ///
    /// # Errors
    /// A tag of another length, more than [`LIMIT`] tags, or a keeper that lives and does not read.
    pub fn put(&mut self, tag: &str, fd: BorrowedFd<'_>) -> Result<()> {
        let message = tagged(b'P', tag)?;
        if !self.tags.contains(tag) && self.tags.len() >= LIMIT {
            return Err(Error::host(format!("the keeper cannot hold more than {LIMIT} descriptors")));
        }
        self.send(|link| socket::send_descriptor(link, &message, fd))?;
        self.tags.insert(tag.to_owned());
        Ok(())
    }

    /// Has the keeper close what it holds under `tag`.
    ///
    /// # Errors
    /// As [`KeeperLink::put`].
    pub fn forget(&mut self, tag: &str) -> Result<()> {
        let message = tagged(b'D', tag)?;
        self.send(|link| socket::send(link, &message))?;
        self.tags.remove(tag);
        Ok(())
    }

    /// Has the keeper reap a dead child of its own, once its exit status has been read. Another's child is left alone.
    ///
    /// # Errors
    /// A keeper that lives and does not read.
    pub fn reap(&self, pid: i32) -> Result<()> {
        let message = [&b"R"[..], &pid.to_le_bytes()].concat();
        self.send(|link| socket::send(link, &message))
    }

    /// Tells the keeper that this process is about to end on purpose: it ends then, too.
    ///
    /// # Errors
    /// A keeper that lives and does not read.
    pub fn quit(&self) -> Result<()> {
        self.send(|link| socket::send(link, b"Q"))
    }

    /// Sends one message; a keeper that is gone gets it as well as any other.
    fn send(&self, message: impl Fn(BorrowedFd<'_>) -> io::Result<()>) -> Result<()> {
        let link = self.socket.as_fd();
        let deadline = Instant::now() + SEND_PATIENCE;
        let sent = loop {
            match message(link) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match process::poll_until(link, libc::POLLOUT, deadline) {
                        Ok(true) => {}
                        Ok(false) => break Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
                        Err(error) => break Err(error),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match sent {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET)) => Ok(()),
            other => other.context(|| "cannot talk to the keeper"),
        }
    }
}

/// Any event is the end of the keeper.
impl AsFd for KeeperLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The next descriptor that is handed over; `None` at the end.
fn receive(link: BorrowedFd<'_>) -> Result<Option<(String, OwnedFd)>> {
    let mut buffer = [0; LONGEST_COMPLAINT + 5];
    let wait = || {
        if !process::poll_until(link, libc::POLLIN, Instant::now() + PATIENCE)? {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        socket::receive_with_descriptor(link, &mut buffer)
    };
    let (length, fd) = { wait }().context(|| "cannot hear from the keeper")?;
    match (FromKeeper::decode(&buffer[..length]), fd) {
        (Some(FromKeeper::Held(tag)), Some(fd)) => Ok(Some((tag, fd))),
        (Some(FromKeeper::End), None) => Ok(None),
        (Some(FromKeeper::Failed(0, what)), _) => Err(Error::host(what)),
        (Some(FromKeeper::Failed(errno, what)), _) => {
            Err(Error::host(what).because(io::Error::from_raw_os_error(errno)))
        }
        _ if length == 0 => Err(Error::new(Kind::Died, "the keeper is dead")),
        _ => Err(Error::new(Kind::Protocol, "the keeper said something unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_keeper() {
        let held = |tag: &str| Some(FromKeeper::Held(tag.into()));
        assert_eq!(FromKeeper::decode(b"Hweb.stdout"), held("web.stdout"));
        assert_eq!(FromKeeper::decode(b"E"), Some(FromKeeper::End));
        let failed = FromKeeper::Failed(1, "cannot drop capabilities".into());
        assert_eq!(FromKeeper::decode(b"F\x01\x00\x00\x00cannot drop capabilities"), Some(failed));
        for strange in [&b""[..], b"H", &[b'H'; 66], b"H\xff", b"E1", b"F\x01", b"X"] {
            assert_eq!(FromKeeper::decode(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn tags_have_1_to_64_bytes() {
        assert_eq!(tagged(b'P', "web").unwrap(), b"Pweb");
        assert_eq!(tagged(b'D', &"x".repeat(64)).unwrap().len(), 65);
        assert!(tagged(b'P', "").is_err() && tagged(b'P', &"x".repeat(65)).is_err());
    }

    #[test]
    fn descriptors_are_handed_over() {
        let (ours, theirs) = socket::pair().unwrap();
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        socket::send_descriptor(ours.as_fd(), b"Ha", reader.as_fd()).unwrap();
        socket::send(ours.as_fd(), b"E").unwrap();
        let (mut link, held) = KeeperLink::over(theirs).unwrap();
        let [(tag, fd)] = &held[..] else { panic!("{held:?}") };
        assert_eq!(tag, "a");
        let inode = |fd: BorrowedFd<'_>| nix::sys::stat::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(fd.as_fd()), inode(reader.as_fd()));

        link.put("b", reader.as_fd()).unwrap();
        link.forget("a").unwrap();
        link.reap(258).unwrap();
        link.quit().unwrap();
        let next = || {
            let mut buffer = [0; 128];
            let (length, fd) = socket::receive_with_descriptor(ours.as_fd(), &mut buffer).unwrap();
            (buffer[..length].to_vec(), fd.is_some())
        };
        assert_eq!(next(), (b"Pb".to_vec(), true));
        assert_eq!(next(), (b"Da".to_vec(), false));
        assert_eq!(next(), (b"R\x02\x01\x00\x00".to_vec(), false));
        assert_eq!(next(), (b"Q".to_vec(), false));
    }

    #[test]
    fn dead_keeper_is_told_by_the_link_alone() {
        let (ours, theirs) = socket::pair().unwrap();
        socket::send(ours.as_fd(), b"E").unwrap();
        let (mut link, _) = KeeperLink::over(theirs).unwrap();
        drop(ours);
        link.put("a", std::io::stdin().as_fd()).unwrap();
        link.reap(1).unwrap();
        assert!(process::poll_until(link.as_fd(), libc::POLLIN, Instant::now()).unwrap());

        let (ours, theirs) = socket::pair().unwrap();
        drop(ours);
        assert_eq!(KeeperLink::over(theirs).unwrap_err().kind(), Kind::Died);
    }

    #[test]
    fn keeper_that_does_not_read_is_an_error() {
        let (ours, theirs) = socket::pair().unwrap();
        socket::send(ours.as_fd(), b"E").unwrap();
        let (link, _) = KeeperLink::over(theirs).unwrap();
        let error = (0..100_000).find_map(|_| link.quit().err()).unwrap();
        assert_eq!(error.errno(), Some(libc::ETIMEDOUT));
    }
}
