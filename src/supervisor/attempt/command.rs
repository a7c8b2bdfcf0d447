//! A command in the container.
//!
//! ```text
//! Entering: podrun:join clones the program's process ──> Running: output is read until that process ends
//! ```
//!
//! The end of the process is the end of the attempt: what it left in the container may hold its output open for ever.

use super::dying::{self, Remains};
use super::watch::Watch;
use super::{LARGEST_OUTPUT, Progress, Verdict, words};
use crate::container::{Entering, Runner, Stdio};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::clone::Child;
use crate::sys::pidfd::{self, Zombie};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A command that runs, or is about to.
#[derive(Debug)]
pub struct Command {
    words: String,
    entering: Entering,
    /// The program's process, once it is known.
    child: Option<Child>,
    /// What it writes; `None` at the end.
    output: Option<OwnedFd>,
    written: Vec<u8>,
}

impl Command {
    /// Begins to run a command, with an empty standard input, and both outputs in one pipe.
    pub fn begin(runner: Option<&Runner>, command: &[String], watch: Watch<'_>) -> Result<Self, Verdict> {
        let begin = || -> Result<Self> {
            let runner = runner.ok_or_else(|| Error::user("container not running"))?;
            let (output, stdio) = streams()?;
            let entering = runner.begin(command, stdio)?;
            watch.readable(entering.link())?;
            let words = command.join(" ");
            Ok(Self { words, entering, child: None, output: Some(output), written: Vec::new() })
        };
        begin().map_err(|error| failed(&error))
    }

    /// Goes on.
    pub fn advance(&mut self, watch: Watch<'_>) -> Progress {
        self.step(watch).unwrap_or_else(|error| Progress::Done(failed(&error)))
    }

    fn step(&mut self, watch: Watch<'_>) -> Result<Progress> {
        if self.child.is_none() {
            let Some(child) = self.entering.advance()? else { return Ok(Progress::Pending) };
            watch.forget(self.entering.link());
            watch.readable(&child.pidfd)?;
            if let Some(output) = &self.output {
                watch.readable(output)?;
            }
            self.child = Some(child);
            return Ok(Progress::Pending);
        }
        self.read(watch)?;
        let Some(child) = &self.child else { return Ok(Progress::Pending) };
        let ended = pidfd::child_status(child.pidfd.as_fd(), Zombie::Stays);
        let Some(status) = ended.context(|| "cannot tell how the command ended")? else {
            return Ok(Progress::Pending);
        };
        // What it wrote between the read above and its end.
        self.read(watch)?;
        Ok(Progress::Done(self.verdict(status)))
    }

    fn verdict(&self, status: i32) -> Verdict {
        if let Some(error) = self.entering.last_words() {
            return failed(&error);
        }
        if status == 0 { Verdict::Success } else { Verdict::Failure(words::text(&self.written)) }
    }

    /// Reads what there is, a bounded amount at a time, and keeps the beginning.
    fn read(&mut self, watch: Watch<'_>) -> Result<()> {
        const READS: usize = 4;
        let mut buffer = [0; 16 << 10];
        for _ in 0..READS {
            let Some(output) = &self.output else { return Ok(()) };
            match nix::unistd::read(output, &mut buffer) {
                Ok(0) => {
                    watch.forget(output);
                    self.output = None;
                }
                Ok(length) => {
                    let room = LARGEST_OUTPUT - self.written.len();
                    self.written.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot read the command's output"),
            }
        }
        Ok(())
    }

    /// The verdict when the time is over.
    pub fn time_out(&self) -> Verdict {
        Verdict::Failure(format!("command {} timed out", words::quoted(self.words.as_bytes())))
    }

    /// Kills what still runs; what is to be reaped.
    pub fn end(self, watch: Watch<'_>) -> Vec<Remains> {
        if let Some(output) = &self.output {
            watch.forget(output);
        }
        watch.forget(self.entering.link());
        match self.child {
            Some(child) => {
                watch.forget(&child.pidfd);
                dying::kill(&child.pidfd);
                dying::processes(self.entering, Some(child.pidfd))
            }
            None => {
                self.entering.kill();
                vec![Remains::OnItsWay(self.entering)]
            }
        }
    }
}

/// The read end of the output, which does not wait, and what the program gets.
fn streams() -> Result<(OwnedFd, Stdio)> {
    let (output, stdout) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context(|| "cannot create a pipe")?;
    nix::fcntl::fcntl(&output, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .context(|| "cannot set a pipe's flags")?;
    let stderr = stdout.try_clone().context(|| "cannot copy a descriptor")?;
    let stdin = crate::sys::fs::open_existing(Path::new("/dev/null"), libc::O_RDONLY)
        .context(|| "cannot open /dev/null")?;
    Ok((output, Stdio { stdin, stdout, stderr }))
}

/// The command could not be run, or nobody knows what came of it.
fn failed(error: &Error) -> Verdict {
    match error.kind() {
        // As kubelet and containerd put it, whose users look for these words.
        Kind::NoProgram | Kind::NotExecutable => {
            Verdict::Error(format!("failed to exec in container: failed to start exec: {error}"))
        }
        _ => Verdict::Error(format!("failed to exec in container: {error}")),
    }
}
