//! Standing between the caller's terminal and a program in the foreground: signals, window size, bytes, exit code.

use crate::error::{Context, Result};
use crate::sys::clone::Child;
use crate::sys::{pidfd, pty, socket};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What stands between, until the program ends.
#[derive(Debug, Default)]
pub struct Relay {
    /// Our end of the socket that the terminal's master may come through; it ends with the exec of a program without.
    incoming: Option<OwnedFd>,
}

/// The caller's terminal in raw mode, put back when dropped.
struct RawMode<'a>(BorrowedFd<'a>, Termios);

impl<'a> RawMode<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> Result<Self> {
        let before = tcgetattr(terminal).context(|| "cannot read the terminal's mode")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(terminal, SetArg::TCSANOW, &raw).context(|| "cannot set the terminal's mode")?;
        Ok(Self(terminal, before))
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _gone: nix::Result<()> = tcsetattr(self.0, SetArg::TCSANOW, &self.1);
    }
}

impl Relay {
    /// Prepares; in the foreground, the second value is the end of a socket that the terminal's master, if there is
    /// to be a terminal, is sent to.
    ///
    /// # Errors
    /// When no socket pair can be made.
    pub fn plan(foreground: bool) -> Result<(Self, Option<OwnedFd>)> {
        if !foreground {
            return Ok((Self::default(), None));
        }
        let (ours, theirs) = socket::pair().context(|| "cannot create a socket pair")?;
        Ok((Self { incoming: Some(ours) }, Some(theirs)))
    }

    /// Passes signals (and, with a terminal, bytes and window sizes) on until the child ends, then reaps it.
    ///
    /// # Errors
    /// Those of the system; the child's own failure is its exit code.
    pub fn run(&mut self, child: &Child) -> Result<i32> {
        let master = self.incoming.take().map(|socket| socket::receive_descriptor(socket.as_fd()));
        let master = master.transpose().context(|| "cannot receive the terminal")?.flatten();
        let signals = catch_signals()?;
        let stdin = io::stdin();
        let raw =
            (master.is_some() && stdin.is_terminal()).then(|| RawMode::enter(stdin.as_fd())).transpose()?;
        if let Some(master) = &master {
            copy_size(master)?;
        }
        pump(child, master.as_ref(), &signals)?;
        drop(raw);
        exit_code(child)
    }
}

/// Every signal that can be caught comes through a descriptor: it is meant for the program, not for us.
fn catch_signals() -> Result<SignalFd> {
    let mut mask = SigSet::all();
    // Those that mean a fault of our own.
    for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT] {
        mask.remove(own);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).context(|| "cannot block signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context(|| "cannot catch signals")
}

/// The caller's window size, if it has a window, becomes the program's.
fn copy_size(master: &OwnedFd) -> Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(());
    }
    let (rows, columns) = pty::size(stdin.as_fd()).context(|| "cannot read the window's size")?;
    pty::set_size(master.as_fd(), rows, columns).context(|| "cannot set the window's size")
}

/// How long a terminal that nobody holds open is left alone: poll(2) would report it again at once, for ever.
const HUNG_UP_PAUSE_MS: u16 = 100;

/// Copies and forwards until the child has ended and its output is read.
fn pump(child: &Child, master: Option<&OwnedFd>, signals: &SignalFd) -> Result<()> {
    let mut terminal = master.map(Terminal::new).transpose()?;
    loop {
        let mut fds = vec![
            PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        let stdin = io::stdin();
        let patience = match &terminal {
            Some(terminal) => terminal.ask(&mut fds, stdin.as_fd()),
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, patience) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context(|| "cannot wait for the program"),
        }
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        let (ended, signalled, of_master, input) = (ready(0), ready(1), ready(2), ready(3));
        if signalled {
            forward_signals(child, master, signals)?;
        }
        if let Some(terminal) = &mut terminal {
            terminal.serve(of_master, input)?;
        }
        if ended {
            return master.map_or(Ok(()), drain);
        }
    }
}

/// The program's terminal, seen from its master.
struct Terminal<'a> {
    master: &'a OwnedFd,
    /// What the caller typed and the program's input queue had no room for. While there is some, the caller is not
    /// asked for more, but the program's output is still read: it may read its input only when that is gone.
    pending: Vec<u8>,
    /// The caller's stdin has not ended.
    input_open: bool,
    /// Nobody holds the slave open: left alone for a while, since poll(2) would report that at once, for ever.
    hung_up: bool,
}

impl<'a> Terminal<'a> {
    fn new(master: &'a OwnedFd) -> Result<Self> {
        let flags = fcntl(master, FcntlArg::F_GETFL).context(|| "cannot read the terminal's flags")?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(master, FcntlArg::F_SETFL(flags)).context(|| "cannot set the terminal's flags")?;
        Ok(Self { master, pending: Vec::new(), input_open: true, hung_up: false })
    }

    /// Adds what to wait for, and says how long.
    fn ask<'b>(&'b self, fds: &mut Vec<PollFd<'b>>, stdin: BorrowedFd<'b>) -> PollTimeout {
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

    fn serve(&mut self, of_master: bool, input: bool) -> Result<()> {
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

/// What the program wrote last.
fn drain(master: &OwnedFd) -> Result<()> {
    loop {
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::ZERO).context(|| "cannot read the terminal")?;
        let readable = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
        if ready == 0 || !readable || !copy(master.as_fd(), io::stdout().as_fd())? {
            return Ok(());
        }
    }
}

/// Reads what is there, which may be nothing; `None` at the end.
fn read_some(from: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 16 << 10];
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

fn forward_signals(child: &Child, master: Option<&OwnedFd>, signals: &SignalFd) -> Result<()> {
    while let Some(info) = signals.read_signal().context(|| "cannot read signals")? {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        match number {
            // SIGPIPE is about our own stdout, SIGCHLD is what the pidfd says better.
            libc::SIGCHLD | libc::SIGPIPE => {}
            // Job control of the caller's shell concerns us; the program has a terminal or session of its own.
            libc::SIGTTIN | libc::SIGTTOU => {}
            // Go programs, the usual callers, send it to themselves.
            libc::SIGURG => {}
            libc::SIGWINCH => {
                if let Some(master) = master {
                    copy_size(master)?;
                }
            }
            number => match pidfd::send_signal(child.pidfd.as_fd(), number) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                    return Err(error).context(|| format!("cannot pass signal {number} on"));
                }
                _ => {}
            },
        }
    }
    Ok(())
}

/// Reaps the child: its exit code, or 128+n for a signal.
fn exit_code(child: &Child) -> Result<i32> {
    loop {
        // A child that was killed before it executed its program ends without a signal, wait(2).
        return match waitpid(nix::unistd::Pid::from_raw(child.pid), Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(_, code)) => Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ok(128 + signal as i32),
            Ok(_) | Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => Err(error).context(|| "cannot reap the program"),
        };
    }
}
