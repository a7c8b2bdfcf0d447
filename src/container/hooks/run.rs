//! Running one hook: its own session, no descriptor but its three streams, a time-out, and what it said when it fails.
//!
//! Nothing that a hook does makes its runner wait for longer than the hook itself: neither what it does not read, nor
//! what it writes, nor processes that it leaves behind with its streams in hand.

use super::Hook;
use crate::container::ended::{KILL_DEADLINE, hangs};
use crate::error::{Context, Error, Result, errno_text};
use crate::seccomp::Filter;
use crate::sys::clone::{Child, SingleThreaded, fork};
use crate::sys::pidfd::{self, Zombie};
use crate::sys::{self, fs, inherit, process};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::borrow::Cow;
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Where a hook runs, beyond what it inherits from its runner.
#[derive(Debug)]
pub struct Place<'a> {
    /// Copied where the runner is a copy of a process that had looked.
    alone: SingleThreaded,
    /// Its working directory.
    directory: Option<BorrowedFd<'a>>,
    /// Its environment, where it is given none.
    env: Cow<'a, [CString]>,
    /// A filter that its runner has not loaded yet.
    filter: Option<&'a Filter>,
}

impl<'a> Place<'a> {
    /// Where the runner is, with podrun's own environment, as with runc and crun: many hooks count on PATH or HOME. Never
    /// with the program's, which an image chooses: LD_PRELOAD there would be code that runs as root of the host
    /// (CVE-2025-23266).
    pub fn here(alone: SingleThreaded) -> Self {
        // execve(2) gave none that holds a NUL byte.
        let pair = |(name, value): (OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        };
        let env = Cow::Owned(std::env::vars_os().filter_map(pair).collect());
        Self { alone, directory: None, env, filter: None }
    }

    /// In a directory.
    #[must_use]
    pub fn within(self, directory: BorrowedFd<'a>) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// As the program that comes next: with its environment, behind its filter.
    pub fn before_program(alone: SingleThreaded, env: &'a [CString], filter: Option<&'a Filter>) -> Self {
        Self { alone, directory: None, env: Cow::Borrowed(env), filter }
    }
}

/// How much of each of its streams is kept for the error, in bytes: the end says what went wrong.
const KEPT: usize = 1 << 10;

/// How much is read of a stream after the hook's end, in bytes: others may go on writing.
const REST: usize = 256 << 10;

/// Runs a hook, which reads `state`, to its end.
///
/// # Errors
/// When it cannot be executed, ends with another status than 0, or takes too long.
pub fn run(hook: &Hook, state: &[u8], place: &Place<'_>) -> Result<()> {
    let path = hook.path();
    let title = || format!("{path:?}");
    let (input, ours) = pipe().context(title)?;
    let ((out, output), (err, errors)) = (pipe().context(title)?, pipe().context(title)?);
    for end in [&ours, &out, &err] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context(title)?;
    }
    let ends = [input.as_fd(), output.as_fd(), errors.as_fd()];
    let child = fork(place.alone, || {
        let Err(error) = become_hook(hook, place, ends);
        // Where it goes after this depends on how far it came: to the pipe in both cases.
        let complaint = format!("cannot execute it: {}\n", errno_text(error.raw_os_error().unwrap_or(0)));
        let told = nix::unistd::write(io::stderr(), complaint.as_bytes());
        process::exit_now(if told.is_ok() { 127 } else { 126 })
    });
    let child = child.context(|| "cannot clone a process").context(title)?;
    drop((input, output, errors));
    let mut talk = Talk { input: Some(ours), unread: state, streams: [Tail::of(out), Tail::of(err)] };
    let ended = attend(&child, &mut talk, hook.timeout).context(title)?;
    talk.streams.iter_mut().for_each(Tail::take_the_rest);
    let how = match (ended, hook.timeout) {
        (Some(0), _) => return Ok(()),
        (Some(status), _) => how_it_ended(status),
        (None, timeout) => {
            let seconds = timeout.unwrap_or_default().as_secs();
            format!("ran past its timeout of {seconds} s and was killed")
        }
    };
    Err(Error::user(how + &talk.said())).context(title)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// The child's way from the clone to the hook.
fn become_hook(hook: &Hook, place: &Place<'_>, ends: [BorrowedFd<'_>; 3]) -> io::Result<Infallible> {
    // Should it fail from here on, its runner hears.
    process::become_stdio(ends)?;
    process::set_parent_death_signal(libc::SIGKILL)?;
    // A session of its own, so that all that it starts can be killed with it, and no terminal of the caller's.
    nix::unistd::setsid()?;
    if let Some(directory) = place.directory {
        nix::unistd::fchdir(directory)?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    }
    inherit::hand_over(&[io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()], &[])?;
    process::reset_signals()?;
    if let Some(filter) = place.filter {
        sys::seccomp::load(&filter.program, filter.flags)?;
    }
    sys::exec::by_path(&hook.path, &hook.args, hook.env.as_deref().unwrap_or(&place.env))
}

/// Waits for the hook's end: its wait status, or `None` when it had to be killed.
fn attend(child: &Child, talk: &mut Talk<'_>, timeout: Option<Duration>) -> Result<Option<i32>> {
    // One that is beyond all clocks is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let patience = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => PollTimeout::NONE,
            Some(Duration::ZERO) => break,
            // Rounded up, lest it wakes early; what is longer than poll(2) can tell is waited for in parts.
            Some(left) => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
        };
        if talk.serve(child, patience)? {
            return status(child);
        }
    }
    // Before it has a session of its own there is no group to kill.
    let group = nix::unistd::Pid::from_raw(child.pid);
    let ended = match nix::sys::signal::killpg(group, Signal::SIGKILL) {
        Err(Errno::ESRCH) => pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL),
        killed => killed.map_err(io::Error::from),
    };
    match ended {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            return Err(error).context(|| "cannot kill it after its timeout");
        }
        _ => {}
    }
    if !pidfd::wait_exit(child.pidfd.as_fd(), KILL_DEADLINE).context(|| "cannot wait for it")? {
        return Err(hangs("it"));
    }
    status(child).map(|_| None)
}

fn status(child: &Child) -> Result<Option<i32>> {
    let status = pidfd::child_status(child.pidfd.as_fd(), Zombie::Reaped).context(|| "cannot reap it")?;
    status.map(Some).ok_or_else(|| Error::host("it has not ended, though the kernel says so"))
}

fn how_it_ended(status: i32) -> String {
    match Signal::try_from(status & 0x7f) {
        Ok(signal) => format!("killed by {signal}"),
        Err(_) => format!("exit status {}", status >> 8 & 0xff),
    }
}

/// What passes between the hook and its runner.
struct Talk<'a> {
    /// Where it reads, until it has read all or will not.
    input: Option<OwnedFd>,
    unread: &'a [u8],
    /// What it writes.
    streams: [Tail; 2],
}

impl Talk<'_> {
    /// Waits for something to do, and does it; true when the hook has ended.
    fn serve(&mut self, child: &Child, patience: PollTimeout) -> Result<bool> {
        let mut fds = vec![PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.input.as_ref().map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT)));
        let open = self.streams.iter().filter_map(|stream| stream.from.as_ref());
        fds.extend(open.map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, patience) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context(|| "cannot wait for it"),
        }
        let ended = fds[0].any().unwrap_or(false);
        self.write();
        for stream in &mut self.streams {
            stream.read();
        }
        Ok(ended)
    }

    fn write(&mut self) {
        let Some(input) = &self.input else { return };
        match nix::unistd::write(input, self.unread) {
            Ok(written) => self.unread = &self.unread[written..],
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            // It need not read what it is told.
            Err(_) => self.unread = &[],
        }
        if self.unread.is_empty() {
            self.input = None;
        }
    }

    /// What it wrote, for an error.
    fn said(&self) -> String {
        let names = ["stdout", "stderr"].into_iter().zip(&self.streams);
        let said = names.filter(|(_, tail)| !tail.kept.is_empty());
        said.map(|(name, tail)| format!(", {name}: {}", tail.text())).collect()
    }
}

/// The end of what comes through a pipe.
struct Tail {
    from: Option<OwnedFd>,
    kept: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn of(from: OwnedFd) -> Self {
        Self { from: Some(from), kept: Vec::new(), cut: false }
    }

    /// Reads once, without waiting; how much there was.
    fn read(&mut self) -> usize {
        let Some(from) = &self.from else { return 0 };
        let mut buffer = [0; 4 << 10];
        match nix::unistd::read(from, &mut buffer) {
            Ok(length @ 1..) => {
                self.kept.extend_from_slice(&buffer[..length]);
                let over = self.kept.len().saturating_sub(KEPT);
                self.cut |= over > 0;
                drop(self.kept.drain(..over));
                length
            }
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Ok(0) | Err(_) => {
                self.from = None;
                0
            }
        }
    }

    /// Reads what the hook left, and no more.
    fn take_the_rest(&mut self) {
        let mut left = self
            .from
            .as_ref()
            .map_or(0, |from| fs::unread_bytes(from.as_fd()).unwrap_or(0) as usize)
            .min(REST);
        while left > 0 {
            match self.read() {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
        self.from = None;
    }

    /// On one line, since it goes into an error.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let printable = lines.join("; ").replace(|c: char| c.is_control(), " ");
        if self.cut { format!("...{printable}") } else { printable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_what_was_said_is_kept_on_one_line() {
        let (read, write) = pipe().unwrap();
        let mut tail = Tail::of(read);
        nix::unistd::write(&write, b"one\n\ttwo\x1b[1m\r\n\n").unwrap();
        tail.read();
        assert_eq!(tail.text(), "one; two [1m");
        nix::unistd::write(&write, &[b'x'; KEPT]).unwrap();
        tail.take_the_rest();
        assert_eq!(tail.text(), format!("...{}", "x".repeat(KEPT)));
    }

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(how_it_ended(3 << 8), "exit status 3");
        assert_eq!(how_it_ended(9), "killed by SIGKILL");
        assert_eq!(how_it_ended(11 | 0x80), "killed by SIGSEGV");
    }
}
