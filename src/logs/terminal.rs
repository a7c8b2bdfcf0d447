//! Logging what a container writes to its terminal. A terminal cannot be looked into, so an unfinished line is held in
//! memory and lost with a killed supervisor.

use super::format::{LONGEST_TEXT, LineEnd, Stream, Unfinished};
use super::scratch::Scratch;
use super::writer::{Pumped, Writer, now};
use crate::error::{Context, Result};
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The line that a terminal is in.
#[derive(Debug, Default)]
pub struct Terminal {
    held: Vec<u8>,
}

impl Terminal {
    /// As [`Writer::pump`] for the non-blocking `master` of a terminal; all of it is logged as stdout, without the
    /// carriage returns that the line discipline puts before newlines.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub fn pump(
        &mut self,
        writer: &mut Writer,
        scratch: &mut Scratch,
        master: BorrowedFd<'_>,
    ) -> Result<Pumped> {
        let now = now();
        let mut length = self.held.len();
        let (input, _) = scratch.buffers();
        input[..length].copy_from_slice(&self.held);
        let mut pumped = Pumped { more: true, ended: false };
        while length < input.len() {
            match nix::unistd::read(master, &mut input[length..]) {
                Ok(0) | Err(Errno::EIO) => pumped = Pumped { more: false, ended: true },
                Err(Errno::EAGAIN) => pumped.more = false,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot read a container's terminal"),
                Ok(count) => length += count,
            }
            if !pumped.more {
                break;
            }
        }
        scratch.note_use(length);
        let unfinished = if pumped.ended { Unfinished::Written } else { Unfinished::Stays };
        self.write_lines(now, writer, scratch, length, unfinished);
        if !pumped.more {
            scratch.relax();
        }
        Ok(pumped)
    }

    /// Logs the lines among the first `length` bytes of the input buffer, and holds the rest.
    fn write_lines(
        &mut self,
        now: Duration,
        writer: &mut Writer,
        scratch: &mut Scratch,
        length: usize,
        unfinished: Unfinished,
    ) {
        let mut done = 0;
        loop {
            let (input, output) = scratch.buffers();
            let rest = &input[done..length];
            let end = LineEnd::Terminal;
            let batch = writer.frame_lines(now, Stream::Stdout, rest, output, end, unfinished);
            if batch.consumed == 0 {
                self.hold(done, length, scratch);
                return;
            }
            writer.append(now, Stream::Stdout, scratch, batch);
            done += batch.consumed;
        }
    }

    fn hold(&mut self, from: usize, to: usize, scratch: &mut Scratch) {
        let (input, _) = scratch.buffers();
        self.held.clear();
        self.held.extend_from_slice(&input[from..to]);
        // A prompt may stay for ever, a long line only once.
        self.held.shrink_to(LONGEST_TEXT / 16);
    }
}
