//! Standing between the caller and a program in the foreground: signals, window size, bytes, exit code.

mod pipes;
mod terminal;

use super::notify::Notify;
use super::process::{self, Stdio};
use crate::error::{Context, Result};
use crate::report;
use crate::sys::clone::Child;
use crate::sys::{pidfd, socket};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use pipes::Pipes;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use terminal::Terminal;

/// What stands between, until the program ends.
#[derive(Debug, Default)]
pub struct Relay {
    /// Our end of the socket that the terminal's master may come through; it ends with the exec of a program without.
    incoming: Option<OwnedFd>,
    /// Whether the caller's stdin is passed on to the terminal.
    reads: bool,
    /// Our ends of the program's streams, where it has neither a terminal nor the caller's descriptors.
    pipes: Option<Pipes>,
    /// What was caught before the program ran.
    caught: Option<(SignalFd, SigSet)>,
    /// Between the program and a service manager.
    notify: Option<Notify>,
}

impl Relay {
    /// Prepares; in the foreground, the second value says how the terminal is made, if there is to be one: with the size
    /// of the caller's window from its beginning, so that no program sees another. With `reads`, the terminal gets what
    /// comes by stdin.
    ///
    /// # Errors
    /// When no socket pair can be made; those of the caller's terminal.
    pub fn plan(foreground: bool, reads: bool) -> Result<(Self, Option<process::Terminal>)> {
        if !foreground {
            return Ok((Self::default(), None));
        }
        let (ours, socket) = socket::pair().context(|| "cannot create a socket pair")?;
        let remote = process::Terminal { socket, size: terminal::callers_size()? };
        Ok((Self { incoming: Some(ours), reads, ..Self::default() }, Some(remote)))
    }

    /// Prepares for a program without a terminal that gets none of the caller's descriptors, but pipes: the second
    /// value. Without `stdin`, it reads nothing.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn through_pipes(stdin: bool) -> Result<(Self, Stdio)> {
        let (pipes, theirs) = Pipes::make(stdin)?;
        Ok((Self { pipes: Some(pipes), ..Self::default() }, theirs))
    }

    /// Keeps signals for the program; to be called before it runs, lest one that comes right then ends us.
    ///
    /// # Errors
    /// Those of the system.
    pub fn catch_signals(&mut self) -> Result<()> {
        self.caught = Some(catch_signals()?);
        Ok(())
    }

    /// Has a service manager told when the program is ready.
    pub fn pass_readiness_on(&mut self, notify: Option<Notify>) {
        self.notify = notify;
    }

    /// Passes signals (and bytes and window sizes, where something is between) on until the child ends, then reaps it.
    /// What the child wrote is passed on first; what others write to its streams later is not.
    ///
    /// # Errors
    /// Those of the system and of the caller's streams, but for one that nobody reads any more; the child's own failure
    /// is its exit code.
    pub fn run(&mut self, child: &Child) -> Result<i32> {
        let (signals, before) = match self.caught.take() {
            Some(caught) => caught,
            None => catch_signals()?,
        };
        let signals = Events::of(signals, self.notify.take())?;
        if let Some(pipes) = self.pipes.take() {
            relay_pipes(child, pipes, &signals)?;
            // What remains is to tell how it ended, by streams that nobody may ever read.
            asks_to_end(&signals)?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).context(|| "cannot unblock signals")?;
        } else {
            let master = self.incoming.take().map(|socket| socket::receive_descriptor(socket.as_fd()));
            let master = master.transpose().context(|| "cannot receive the terminal")?.flatten();
            match master {
                Some(master) => relay_terminal(child, &master, self.reads, &signals)?,
                None => relay_signals(child, &signals)?,
            }
        }
        exit_code(child)
    }
}

/// Every signal that can be caught comes through a descriptor: it is meant for the program, not for us. The second value
/// is what was blocked before.
fn catch_signals() -> Result<(SignalFd, SigSet)> {
    let mut mask = SigSet::all();
    // Those that mean a fault of our own.
    for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT] {
        mask.remove(own);
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), Some(&mut before))
        .context(|| "cannot block signals")?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
    Ok((signals.context(|| "cannot catch signals")?, before))
}

/// What comes from beside the program's streams: signals, and the program's word that it is ready.
struct Events {
    signals: SignalFd,
    /// With what is readable when one of the two is.
    notify: Option<(Notify, Epoll)>,
}

impl Events {
    fn of(signals: SignalFd, notify: Option<Notify>) -> Result<Self> {
        let Some(notify) = notify else { return Ok(Self { signals, notify: None }) };
        let watch = || -> nix::Result<Epoll> {
            let both = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            both.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            both.add(&notify, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            Ok(both)
        };
        let both = watch().context(|| "cannot wait for the program's word")?;
        Ok(Self { signals, notify: Some((notify, both)) })
    }

    /// The next signal; passes the program's word on first.
    fn next(&self) -> Result<Option<siginfo>> {
        if let Some((notify, _)) = &self.notify
            && let Err(error) = notify.hear(None)
        {
            // The program is none the worse for it.
            report::warn(&error.to_string());
        }
        self.signals.read_signal().context(|| "cannot read signals")
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_ref().map_or(self.signals.as_fd(), |(_, both)| both.0.as_fd())
    }
}

/// Waits; which of the descriptors are ready.
fn wait(mut fds: Vec<PollFd<'_>>, patience: PollTimeout) -> Result<Vec<bool>> {
    match poll(&mut fds, patience) {
        Ok(_) => Ok(fds.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(nix::errno::Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error).context(|| "cannot wait for the program"),
    }
}

/// What is waited for in any case: the program's end and a signal.
fn basics<'a>(child: &'a Child, signals: &'a Events) -> Vec<PollFd<'a>> {
    vec![PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)]
}

fn relay_signals(child: &Child, signals: &Events) -> Result<()> {
    loop {
        let ready = wait(basics(child, signals), PollTimeout::NONE)?;
        if ready[1] {
            forward_signals(child, None, signals)?;
        }
        if ready[0] {
            return Ok(());
        }
    }
}

fn relay_terminal(child: &Child, master: &OwnedFd, reads: bool, signals: &Events) -> Result<()> {
    let stdin = io::stdin();
    let mode = stdin.is_terminal().then(|| terminal::Mode::enter(stdin.as_fd(), reads)).transpose()?;
    terminal::copy_size(master)?;
    let mut terminal = Terminal::new(master, reads)?;
    loop {
        let mut fds = basics(child, signals);
        let patience = terminal.ask(&mut fds, stdin.as_fd());
        let ready = wait(fds, patience)?;
        if ready[1] {
            forward_signals(child, Some(master), signals)?;
        }
        let is_ready = |index: usize| ready.get(index).copied().unwrap_or(false);
        terminal.serve(is_ready(2), is_ready(3))?;
        if ready[0] {
            terminal::drain(master)?;
            drop(mode);
            return Ok(());
        }
    }
}

fn relay_pipes(child: &Child, mut pipes: Pipes, signals: &Events) -> Result<()> {
    loop {
        let mut fds = basics(child, signals);
        pipes.ask(&mut fds);
        let ready = wait(fds, PollTimeout::NONE)?;
        if ready[1] {
            forward_signals(child, None, signals)?;
        }
        pipes.serve(&ready[2..]);
        if ready[0] {
            break;
        }
    }
    pipes.last_round();
    while !pipes.is_dry() {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        pipes.ask(&mut fds);
        let ready = wait(fds, PollTimeout::NONE)?;
        // There is nobody left whom a signal could be meant for, and whoever reads our output may never do so.
        if ready[0] && asks_to_end(signals)? {
            return Ok(());
        }
        pipes.serve(&ready[1..]);
    }
    pipes.finish()
}

/// Takes the signals that are there; whether one of them is a request to end.
fn asks_to_end(signals: &Events) -> Result<bool> {
    const REQUESTS: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
    let mut asked = false;
    while let Some(info) = signals.next()? {
        asked |= i32::try_from(info.ssi_signo).is_ok_and(|number| REQUESTS.contains(&number));
    }
    Ok(asked)
}

fn forward_signals(child: &Child, master: Option<&OwnedFd>, signals: &Events) -> Result<()> {
    while let Some(info) = signals.next()? {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        match number {
            // About our own stdout.
            libc::SIGPIPE => {}
            // What the pidfd says better, or a process that fell to us.
            libc::SIGCHLD => reap_others(child)?,
            // Job control of the caller's shell concerns us; the program has a terminal or session of its own.
            libc::SIGTTIN | libc::SIGTTOU => {}
            // Go programs, the usual callers, send it to themselves.
            libc::SIGURG => {}
            libc::SIGWINCH => {
                if let Some(master) = master {
                    terminal::copy_size(master)?;
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

/// Reaps what was orphaned in the container and fell to us as its subreaper; the program is reaped by [`exit_code`].
fn reap_others(child: &Child) -> Result<()> {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let ended = match waitid(Id::All, look) {
            Ok(status) => status.pid(),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(nix::errno::Errno::ECHILD) => None,
            Err(error) => return Err(error).context(|| "cannot look for orphans"),
        };
        match ended.filter(|pid| pid.as_raw() != child.pid) {
            Some(pid) => drop(waitpid(pid, Some(WaitPidFlag::WNOHANG)).context(|| "cannot reap an orphan")?),
            None => return Ok(()),
        }
    }
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
