//! The two ends of the socket, each with a type of its own, so that neither can send the other's messages.

use super::message::{FromInit, LARGEST, ToInit};
use crate::error::{Context, Result};
use crate::sys::{fs, socket};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The command's end.
#[derive(Debug)]
pub struct CommandEnd(OwnedFd);

/// What the command hears without waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet.
    Nothing,
    /// A message, and the pid of who sent it, if [`CommandEnd::tell_senders`] was asked for.
    Message(FromInit, Option<i32>),
    /// Init executed its program or died.
    End,
}

/// Init's end. It is spoken to with read(2) and write(2), which every seccomp filter allows: one that forbids sockets may
/// be loaded already. SIGPIPE is ignored since podrun began.
#[derive(Debug)]
pub struct InitEnd(OwnedFd);

/// A connected pair, both close-on-exec: the command sees the end of the socket when init executes its program.
pub fn pair() -> Result<(CommandEnd, InitEnd)> {
    let (command, init) = socket::pair().context(|| "cannot create a socket pair")?;
    Ok((CommandEnd(command), InitEnd(init)))
}

impl CommandEnd {
    /// The next message, or `None` when init executed its program or died.
    pub fn receive(&self) -> Result<Option<FromInit>> {
        let mut buffer = [0; LARGEST];
        let length =
            socket::receive(self.0.as_fd(), &mut buffer).context(|| "cannot hear from the init process")?;
        if length == 0 { Ok(None) } else { FromInit::decode(&buffer[..length]).map(Some) }
    }

    /// Has the kernel tell who sends each message.
    pub fn tell_senders(&self) -> Result<()> {
        socket::tell_senders(self.0.as_fd()).context(|| "cannot have the kernel tell who sends messages")
    }

    /// As [`CommandEnd::receive`], without waiting.
    pub fn hear(&self) -> Result<Heard> {
        let mut buffer = [0; LARGEST];
        let heard = socket::receive_now(self.0.as_fd(), &mut buffer)
            .context(|| "cannot hear from the init process")?;
        Ok(match heard {
            None => Heard::Nothing,
            Some((0, _)) => Heard::End,
            Some((length, sender)) => Heard::Message(FromInit::decode(&buffer[..length])?, sender),
        })
    }

    /// Sends a message; false when init is gone.
    pub fn send(&self, message: &ToInit) -> Result<bool> {
        match socket::send(self.0.as_fd(), &message.encode()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context(|| "cannot talk to the init process"),
        }
    }
}

impl AsFd for CommandEnd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for InitEnd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl InitEnd {
    /// The next message, or `None` when the command is gone.
    pub fn receive(&self) -> Result<Option<ToInit>> {
        let mut buffer = [0; LARGEST];
        let length = loop {
            match nix::unistd::read(&self.0, &mut buffer) {
                Err(nix::errno::Errno::EINTR) => {}
                // As in `socket::receive`.
                Err(nix::errno::Errno::ECONNRESET) => break 0,
                other => break other.context(|| "cannot hear from the command")?,
            }
        };
        if length == 0 { Ok(None) } else { ToInit::decode(&buffer[..length]).map(Some) }
    }

    /// Sends a message.
    pub fn send(&self, message: &FromInit) -> io::Result<()> {
        fs::write_all_at_once(self.0.as_fd(), &message.encode())
    }
}
