//! Between the caller's terminal and a program's: bytes, window size, and the mode of the caller's.

use crate::error::{Context, Result};
use crate::sys::pty;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The caller's terminal in another mode, put back when dropped.
#[derive(Debug)]
pub struct Mode<'a>(BorrowedFd<'a>, Termios);

impl<'a> Mode<'a> {
    /// The program's terminal does what this one would do. One that we do not read still makes signals of keys, since
    /// nobody else would.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn enter(terminal: BorrowedFd<'a>, reads: bool) -> Result<Self> {
        let before = tcgetattr(terminal).context(|| "cannot read the terminal's mode")?;
        let mut raw = before.clone();
        if reads {
            cfmakeraw(&mut raw);
        } else {
            raw.output_flags.remove(OutputFlags::OPOST);
        }
        tcsetattr(terminal, SetArg::TCSANOW, &raw).context(|| "cannot set the terminal's mode")?;
        Ok(Self(terminal, before))
    }
}

impl Drop for Mode<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _gone: nix::Result<()> = tcsetattr(self.0, SetArg::TCSANOW, &self.1);
    }
}

/// Rows and columns of the caller's window, if it has one; a terminal without a window, such as a serial line, says that
/// it has none of either.
///
/// # Errors
/// Those of the terminal.
pub fn callers_size() -> Result<Option<(u16, u16)>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let size = pty::size(stdin.as_fd()).context(|| "cannot read the window's size")?;
    Ok(Some(size).filter(|size| *size != (0, 0)))
}

/// The caller's window size, if it has a window, becomes the program's.
///
/// # Errors
/// Those of the terminals.
pub fn copy_size(master: &OwnedFd) -> Result<()> {
    let Some((rows, columns)) = callers_size()? else { return Ok(()) };
    pty::set_size(master.as_fd(), rows, columns).context(|| "cannot set the window's size")
}

/// How long a terminal that nobody holds open is left alone: poll(2) would report it again at once, for ever.
const HUNG_UP_PAUSE_MS: u16 = 100;

/// The program's terminal, seen from its master.
#[derive(Debug)]
pub struct Terminal<'a> {
    master: &'a OwnedFd,
    /// What the caller typed and the program's input queue had no room for. While there is some, the caller is not
    /// asked for more, but the program's output is still read: it may read its input only when that is gone.
    pending: Vec<u8>,
    /// The caller's stdin is asked for, and has not ended.
    input_open: bool,
    /// Nobody holds the slave open: left alone for a while, since poll(2) would report that at once, for ever.
    hung_up: bool,
}

impl<'a> Terminal<'a> {
    /// With `reads`, what comes by stdin is passed on.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn new(master: &'a OwnedFd, reads: bool) -> Result<Self> {
        let flags = fcntl(master, FcntlArg::F_GETFL).context(|| "cannot read the terminal's flags")?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(master, FcntlArg::F_SETFL(flags)).context(|| "cannot set the terminal's flags")?;
        Ok(Self { master, pending: Vec::new(), input_open: reads, hung_up: false })
    }

    /// Adds what to wait for, and says how long.
    pub fn ask<'b>(&'b self, fds: &mut Vec<PollFd<'b>>, stdin: BorrowedFd<'b>) -> PollTimeout {
        if self.hung_up {
            return PollTimeout::from(HUNG_UP_PAUSE_MS);
        }
        if self.pending.is_empty() {
            fds.push(PollFd::new(self.master.as_fd(), PollFlags::POLLIN));
            if self.input_open {
                fds.push(PollFd::new(stdin, PollFlags::POLLIN));
            }
        } else {
            fds.push(PollFd::new(self.master.as_fd(), PollFlags::POLLIN | PollFlags::POLLOUT));
        }
        PollTimeout::NONE
    }

    /// Goes on with what is ready.
    ///
    /// # Errors
    /// Those of the terminals.
    pub fn serve(&mut self, of_master: bool, input: bool) -> Result<()> {
        self.hung_up = false;
        if of_master {
            // Nobody holds the slave any more (EIO), but the program may open it again; or our stdout is gone.
            self.hung_up = !copy(self.master.as_fd(), io::stdout().as_fd())?;
        }
        if input && !self.hung_up {
            self.pending = match read_some(io::stdin().as_fd())? {
                Some(bytes) => bytes,
                None => {
                    self.input_open = false;
                    Vec::new()
                }
            };
        }
        match nix::unistd::write(self.master, &self.pending) {
            Ok(written) => drop(self.pending.drain(..written)),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            // The program is gone: its end is what we wait for.
            Err(nix::errno::Errno::EIO) => self.pending.clear(),
            Err(error) => return Err(error).context(|| "cannot copy the terminal's bytes"),
        }
        Ok(())
    }
}

/// Passes on what the program wrote last; no more than a terminal holds, since others may have it open.
///
/// # Errors
/// Those of the terminals.
pub fn drain(master: &OwnedFd) -> Result<()> {
    /// Four times what the kernel's buffers of a terminal hold.
    const MOST_READS: usize = (256 << 10) / READ;
    for _ in 0..MOST_READS {
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::ZERO).context(|| "cannot read the terminal")?;
        let readable = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
        if ready == 0 || !readable || !copy(master.as_fd(), io::stdout().as_fd())? {
            break;
        }
    }
    Ok(())
}

/// How much is read at once, in bytes.
const READ: usize = 4 << 10;

/// Reads what is there, which may be nothing; `None` at the end.
fn read_some(from: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; READ];
    match nix::unistd::read(from, &mut buffer) {
        Ok(0) | Err(nix::errno::Errno::EIO) => Ok(None),
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => Ok(Some(Vec::new())),
        Err(error) => Err(error).context(|| "cannot copy the terminal's bytes"),
    }
}

/// Copies what is there; false at the end of the source.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<bool> {
    let Some(bytes) = read_some(from)? else { return Ok(false) };
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            // The reader of our stdout, or the program, is gone: its end is what we wait for.
            Err(nix::errno::Errno::EPIPE | nix::errno::Errno::EIO) => return Ok(false),
            Err(error) => return Err(error).context(|| "cannot copy the terminal's bytes"),
        }
    }
    Ok(true)
}
