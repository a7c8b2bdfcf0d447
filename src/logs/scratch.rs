//! Looking into a pipe without taking anything out of it, and the buffers that all writers of a process share.
//!
//! What is left in the pipe outlives us: whoever reads it next finds it. So lines are taken out whole or not at all.

use crate::error::{Context, Result};
use crate::sys::fs;
use crate::sys::memory::Pages;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Size of the pipe that is looked into. Half as many slots as a pipe has by default: a line that does not fit has
/// filled more of its own pipe than this, and is not waited for, while one that fits leaves its writer room to end it.
const VIEW: usize = 32 << 10;
/// Room for the records of one look, if its lines are not all short.
const RECORDS: usize = 64 << 10;
/// Buffers used no further than this keep their memory.
const MODEST: usize = 4 << 10;

/// Buffers for a look and its records, and the pipe that tee(2) copies into. One serves all writers of a process;
/// its memory goes back to the kernel after a burst.
#[derive(Debug)]
pub struct Scratch {
    /// Read and write end. Empty between two calls; `None` when that could not be kept.
    pipe: Option<(OwnedFd, OwnedFd)>,
    input: Pages,
    output: Pages,
    /// The most of either buffer that was used since the memory was given back.
    used: usize,
}

/// What [`Scratch::peek`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peek {
    /// Nothing, for now.
    Nothing,
    /// Nothing, and nobody is left who could write.
    End,
    /// So many bytes, which are in the input buffer.
    Bytes {
        length: usize,
        /// The pipe held more than these.
        more: bool,
    },
}

impl Scratch {
    /// Makes pipe and buffers; the latter take no memory until they are used.
    ///
    /// # Errors
    /// When descriptors or memory are exhausted.
    pub fn new() -> Result<Self> {
        let pages = |length| Pages::new(length).context(|| "cannot get memory for reading logs");
        Ok(Self { pipe: Some(pipe()?), input: pages(VIEW)?, output: pages(RECORDS)?, used: 0 })
    }

    /// Copies the beginning of what is in `source`, which stays there, into the input buffer.
    pub(super) fn peek(&mut self, source: BorrowedFd<'_>) -> Result<Peek> {
        let ends = match self.pipe.take() {
            Some(ends) => ends,
            None => pipe()?,
        };
        // Asked first: what is written meanwhile raises an event of its own.
        let there = fs::unread_bytes(source).context(|| "cannot read a container's output")?;
        let copied = loop {
            match tee(source, &ends.1, VIEW, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(copied) => break copied,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.pipe = Some(ends);
                    return Ok(Peek::Nothing);
                }
                Err(error) => return Err(error).context(|| "cannot read a container's output"),
            }
        };
        let mut length = 0;
        while length < copied {
            match nix::unistd::read(&ends.0, &mut self.input.bytes()[length..copied]) {
                Ok(0) | Err(Errno::EAGAIN) => break,
                Ok(count) => length += count,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot read a container's output"),
            }
        }
        self.pipe = Some(ends);
        self.used = self.used.max(length);
        if length == 0 {
            return Ok(Peek::End);
        }
        Ok(Peek::Bytes { length, more: length < usize::try_from(there).unwrap_or(usize::MAX) })
    }

    /// Takes `length` bytes that were seen out of `source`.
    ///
    /// Not splice(2), which a fatal signal may stop half-way: read(2) takes what is there in one go, provided that it
    /// need not wait for the buffer's pages, and peek has just filled those.
    pub(super) fn consume(&mut self, source: BorrowedFd<'_>, length: usize) -> Result<()> {
        let mut left = length;
        while left > 0 {
            match nix::unistd::read(source, &mut self.input.bytes()[..left]) {
                // The container's process can read its pipe too; then it is its own fault.
                Ok(0) | Err(Errno::EAGAIN) => break,
                Ok(count) => left -= count,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot read a container's output"),
            }
        }
        Ok(())
    }

    /// The input and the output buffer.
    pub(super) fn buffers(&mut self) -> (&mut [u8], &mut [u8]) {
        (self.input.bytes(), self.output.bytes())
    }

    /// Notes that so much of a buffer was used.
    pub(super) fn note_use(&mut self, length: usize) {
        self.used = self.used.max(length);
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.used
    }

    /// Gives the memory back, if there was a burst.
    pub(super) fn relax(&mut self) {
        if self.used > MODEST && self.input.discard().and_then(|()| self.output.discard()).is_ok() {
            self.used = 0;
        }
    }
}

/// Whether an unfinished line must be taken out of `source`: nobody will end it (the writers are gone), or nobody can,
/// since the pipe was made so small that the line may fill it.
pub(super) fn must_take_all(source: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(source, PollFlags::POLLIN)];
    let asked = poll(&mut fds, PollTimeout::ZERO).is_ok();
    let hung_up = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP));
    let size = fcntl(source, FcntlArg::F_GETPIPE_SZ).unwrap_or_default();
    let roomy = usize::try_from(size).is_ok_and(|size| size > VIEW);
    !asked || hung_up || !roomy
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let ends = nix::unistd::pipe2(flags).context(|| "cannot create a pipe for reading logs")?;
    let size = libc::c_int::try_from(VIEW).unwrap_or(libc::c_int::MAX);
    fcntl(ends.1.as_fd(), FcntlArg::F_SETPIPE_SZ(size)).context(|| "cannot size a pipe for reading logs")?;
    Ok(ends)
}
