//! Three pipes between the caller's standard streams and a program's.
//!
//! The program, and whatever else lives in the container, has the far ends of pipes that were made for it and none of
//! the caller's descriptors: a terminal, a file or a socket can be read, written, given another mode or sent signals by
//! whoever holds it, as long as he likes. Bytes are copied, not spliced, since pages that were spliced stay those of the
//! caller's file.
//!
//! Invariants: never more than [`ROOM`] bytes of a stream are held; nothing here waits, whatever the caller's streams
//! are; and the mode of the caller's own descriptors is left alone, since others share it.

use crate::container::process::Stdio;
use crate::error::{Context, Error, Result};
use crate::sys::fs;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::{SFlag, fstat};
use std::io::{self, IsTerminal};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How much of a stream is held, in bytes: as much as a pipe holds.
const ROOM: usize = 64 << 10;

/// What every stream with room has room for, PIPE_BUF.
const LITTLE: usize = 4096;

/// The streams of one program.
#[derive(Debug)]
pub struct Pipes {
    stdin: Option<Stream>,
    outputs: [Stream; 2],
}

impl Pipes {
    /// Makes the pipes; without `stdin`, the program's is the null device. The second value is the program's.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn make(stdin: bool) -> Result<(Self, Stdio)> {
        let (input, program_input) = if stdin {
            let (theirs, ours) = pipe()?;
            never_wait(&ours)?;
            (Some(Stream::new("stdin", unshared(io::stdin().as_fd(), OFlag::O_RDONLY)?, ours.into())), theirs)
        } else {
            let null = fs::open_existing(Path::new("/dev/null"), libc::O_RDONLY);
            (None, null.context(|| "cannot open /dev/null")?)
        };
        let output = |name, callers: BorrowedFd<'_>| -> Result<(Stream, OwnedFd)> {
            let (ours, theirs) = pipe()?;
            never_wait(&ours)?;
            Ok((Stream::new(name, ours, Sink::of(callers)?), theirs))
        };
        let (stdout, program_output) = output("stdout", io::stdout().as_fd())?;
        let (stderr, program_errors) = output("stderr", io::stderr().as_fd())?;
        let stdio = Stdio { stdin: program_input, stdout: program_output, stderr: program_errors };
        Ok((Self { stdin: input, outputs: [stdout, stderr] }, stdio))
    }

    /// Adds what to wait for.
    pub fn ask<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.extend(self.stdin.iter().chain(&self.outputs).filter_map(Stream::wanted));
    }

    /// Goes on with what is ready, in the order of [`Pipes::ask`].
    pub fn serve(&mut self, ready: &[bool]) {
        let mut ready = ready.iter();
        for stream in self.stdin.iter_mut().chain(&mut self.outputs) {
            if stream.wanted().is_some() && ready.next() == Some(&true) {
                stream.step();
            }
        }
    }

    /// The program has ended: what it has written so far is still passed on, which may take more rounds, and nothing
    /// that others in the container write from here on.
    pub fn last_round(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            stdin.ends = None;
        }
        for stream in &mut self.outputs {
            stream.take_the_rest();
        }
    }

    /// Whether all that the program wrote has been passed on.
    pub fn is_dry(&self) -> bool {
        self.outputs.iter().all(|stream| stream.ends.is_none())
    }

    /// What was wrong with a stream of the caller's.
    ///
    /// # Errors
    /// Just that.
    pub fn finish(self) -> Result<()> {
        let streams = self.stdin.into_iter().chain(self.outputs);
        streams.filter_map(|stream| stream.failure).next().map_or(Ok(()), Err)
    }
}

/// One stream: read, then written, then read again.
#[derive(Debug)]
struct Stream {
    /// As the caller calls it.
    name: &'static str,
    /// Where it comes from and goes to; `None` when it is over.
    ends: Option<(OwnedFd, Sink)>,
    /// Made when there is something to hold.
    buffer: Vec<u8>,
    /// The part of it that is not written yet.
    held: Range<usize>,
    /// How much is still to be read, once that is known.
    left: Option<usize>,
    failure: Option<Error>,
}

impl Stream {
    fn new(name: &'static str, from: OwnedFd, to: Sink) -> Self {
        Self { name, ends: Some((from, to)), buffer: Vec::new(), held: 0..0, left: None, failure: None }
    }

    /// What to wait for: either room for what is held or, where nothing is, more.
    fn wanted(&self) -> Option<PollFd<'_>> {
        let (from, to) = self.ends.as_ref()?;
        Some(if self.held.is_empty() {
            PollFd::new(from.as_fd(), PollFlags::POLLIN)
        } else {
            PollFd::new(to.fd.as_fd(), PollFlags::POLLOUT)
        })
    }

    /// Goes on where what is wanted is there.
    fn step(&mut self) {
        let may_write = !self.held.is_empty() || self.read() && self.takes_at_once();
        if may_write {
            self.write();
        }
        if self.held.is_empty() && self.left.is_some() {
            self.read_the_rest();
        }
    }

    /// Whether it may be written to without asking for room first.
    fn takes_at_once(&self) -> bool {
        self.ends.as_ref().is_some_and(|(_, to)| to.refuses)
    }

    /// Bounds what is still read by what there is now.
    fn take_the_rest(&mut self) {
        let Some((from, _)) = &self.ends else { return };
        self.left = Some(fs::unread_bytes(from.as_fd()).map_or(0, |count| count as usize));
        if self.held.is_empty() {
            self.read_the_rest();
        }
    }

    /// Reads without having waited, so that a part of the rest is held until the stream is over; somebody else may have
    /// read it.
    fn read_the_rest(&mut self) {
        if self.left == Some(0) || !self.read() {
            self.ends = None;
        }
    }

    /// Whether there was something to read.
    fn read(&mut self) -> bool {
        let Some((from, _)) = &self.ends else { return false };
        // Most commands say little: memory for more is touched when there was more.
        if self.held.end == self.buffer.len() {
            self.buffer.resize(if self.buffer.is_empty() { LITTLE } else { ROOM }, 0);
        }
        let room = self.left.unwrap_or(ROOM).min(self.buffer.len());
        let read = nix::unistd::read(from, &mut self.buffer[..room]);
        match read {
            // EIO: a terminal that is gone, or not ours at the moment.
            Ok(0) | Err(Errno::EIO) => self.ends = None,
            Ok(length) => {
                self.held = 0..length;
                self.left = self.left.map(|left| left - length);
                return true;
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => self.fail("read", error),
        }
        false
    }

    fn write(&mut self) {
        let Some((_, to)) = &self.ends else { return };
        let bytes = &self.buffer[self.held.clone()];
        let written = nix::unistd::write(&to.fd, &bytes[..bytes.len().min(to.most)]);
        match written {
            Ok(length) => self.held.start += length,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Nobody reads it any more: so it is with whoever writes.
            Err(Errno::EPIPE | Errno::EIO) => self.ends = None,
            Err(error) => self.fail("write", error),
        }
    }

    fn fail(&mut self, what: &str, error: Errno) {
        self.ends = None;
        let failure: Result<()> = Err(error).context(|| format!("cannot {what} {}", self.name));
        self.failure = failure.err();
    }
}

/// Where a stream goes to.
#[derive(Debug)]
struct Sink {
    fd: OwnedFd,
    /// It takes what it has room for and does not wait for more: no need to ask before.
    refuses: bool,
    /// How much may be written at once without waiting, when poll(2) has promised room.
    most: usize,
}

impl From<OwnedFd> for Sink {
    fn from(fd: OwnedFd) -> Self {
        Self { fd, refuses: true, most: ROOM }
    }
}

impl Sink {
    /// One of the caller's outputs.
    fn of(callers: BorrowedFd<'_>) -> Result<Self> {
        let fd = unshared(callers, OFlag::O_WRONLY)?;
        let waits = !is_nonblocking(&fd)? && !is_file(fd.as_fd());
        Ok(Self { fd, refuses: !waits, most: if waits { LITTLE } else { ROOM } })
    }
}

/// A stream of the caller's: opened once more where it would make us wait, since O_NONBLOCK is a matter of the open file,
/// which others share. A socket cannot be opened.
fn unshared(callers: BorrowedFd<'_>, access: OFlag) -> Result<OwnedFd> {
    let kind = SFlag::from_bits_truncate(fstat(callers).context(|| "cannot stat a standard stream")?.st_mode)
        & SFlag::S_IFMT;
    if kind == SFlag::S_IFIFO || callers.is_terminal() {
        let path = format!("/proc/self/fd/{}", callers.as_raw_fd());
        let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        if let Ok(fd) = fs::open_existing(Path::new(&path), flags.bits()) {
            return Ok(fd);
        }
    }
    callers.try_clone_to_owned().context(|| "cannot duplicate a standard stream")
}

/// Regular files have no end of room to wait for.
fn is_file(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
}

fn is_nonblocking(fd: &OwnedFd) -> Result<bool> {
    let flags = fcntl(fd, FcntlArg::F_GETFL).context(|| "cannot read a standard stream's flags")?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).context(|| "cannot make a pipe")
}

fn never_wait(end: &OwnedFd) -> Result<()> {
    fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context(|| "cannot set a pipe's flags").map(drop)
}
