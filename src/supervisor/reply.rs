//! What a first supervisor tells the command that started it: one message, and the socket ends.
//!
//! `R` it is ready. `F` or `X`, a text, a NUL and a hint: it could not begin, or (`X`) the pod had a living pair.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{clone, pidfd, process, socket};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Largest message in bytes; longer texts are cut.
const LARGEST: usize = 4096;
const READY: &[u8] = b"R";

/// The supervisor's end.
#[derive(Debug)]
pub struct Answer(OwnedFd);

/// The command's end.
#[derive(Debug)]
pub struct Reply {
    socket: OwnedFd,
    keeper: clone::Child,
    log: PathBuf,
}

impl Answer {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// The supervisor is ready. Whoever asked may be gone by now, which is no concern of its.
    pub fn ready(self) {
        drop(socket::send(self.0.as_fd(), READY));
    }

    /// The supervisor ends.
    pub fn failed(self, error: &Error) {
        send_failure(self.0.as_fd(), error);
    }
}

/// Says what could not be done. With podrun gone there is nobody to tell.
pub(super) fn send_failure(socket: BorrowedFd<'_>, error: &Error) {
    drop(socket::send(socket, &encode(error)));
}

fn encode(error: &Error) -> Vec<u8> {
    let kind = if error.kind() == Kind::Exists { b'X' } else { b'F' };
    // A NUL parts text and hint, so neither may hold one.
    let part = |text: &str, limit: usize| text.replace('\0', " ").bytes().take(limit).collect::<Vec<_>>();
    let hint = part(error.remedy().unwrap_or_default(), LARGEST / 4);
    let text = part(&error.to_string(), LARGEST - hint.len() - 2);
    [&[kind], &text[..], b"\0", &hint].concat()
}

fn decode(message: &[u8]) -> Result<()> {
    let kind = match message.first() {
        Some(b'F') => Kind::Host,
        Some(b'X') => Kind::Exists,
        _ if message == READY => return Ok(()),
        _ => return Err(Error::new(Kind::Protocol, "the pod's supervisor said something unknown")),
    };
    let mut parts = message[1..].splitn(2, |byte| *byte == 0).map(String::from_utf8_lossy);
    let error = Error::new(kind, parts.next().unwrap_or_default());
    match parts.next().unwrap_or_default() {
        hint if hint.is_empty() => Err(error),
        hint => Err(error.hint(hint)),
    }
}

/// Readable when there is an answer.
impl AsFd for Reply {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Reply {
    /// The end of a socket whose other end the supervisor has; `log` is where its stderr goes.
    pub(super) fn new(socket: OwnedFd, keeper: clone::Child, log: PathBuf) -> Self {
        Self { socket, keeper, log }
    }

    /// Waits until the supervisor is ready.
    ///
    /// # Errors
    /// Exists when the pod had a living pair; Died when the supervisor ended without a word; what it could not do.
    pub fn wait(self, timeout: Duration) -> Result<()> {
        let result = self.hear(timeout);
        if result.is_err() {
            self.reap();
        }
        result
    }

    fn hear(&self, timeout: Duration) -> Result<()> {
        let mut buffer = [0; LARGEST];
        let last_words = || format!("its last words may be in {:?}", self.log);
        let heard = process::poll_until(self.socket.as_fd(), libc::POLLIN, Instant::now() + timeout)
            .and_then(|heard| match heard {
                true => socket::receive(self.socket.as_fd(), &mut buffer),
                false => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            })
            .context(|| "cannot hear from the pod's supervisor")
            .map_err(|error| error.hint(last_words()))?;
        if heard == 0 {
            let error = Error::new(Kind::Died, "the pod's supervisor ended before it was ready");
            return Err(error.hint(last_words()));
        }
        decode(&buffer[..heard])
    }

    /// The keeper, our child, ends with a first supervisor that says why it does.
    fn reap(&self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let pidfd = self.keeper.pidfd.as_fd();
        if matches!(pidfd::wait_exit(pidfd, PATIENCE), Ok(true)) {
            // It is dead and ours, so this cannot fail; and nobody needs its status.
            drop(pidfd::child_status(pidfd, pidfd::Zombie::Reaped));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_pass_with_their_hint_and_whether_there_is_a_pair() {
        assert!(decode(READY).is_ok());
        let error = decode(&encode(&Error::user("cannot a\0b").hint("do c"))).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string(), error.remedy()),
            (Kind::Host, "cannot a b".into(), Some("do c"))
        );
        let exists = decode(&encode(&Error::new(Kind::Exists, "there"))).unwrap_err();
        assert_eq!((exists.kind(), exists.remedy()), (Kind::Exists, None));
        let long = "é".repeat(LARGEST);
        let long = encode(&Error::user(long.clone()).hint(long));
        assert!(long.len() <= LARGEST && decode(&long).unwrap_err().remedy().is_some());
        for strange in [&b""[..], b"Rx", b"?"] {
            assert_eq!(decode(strange).unwrap_err().kind(), Kind::Protocol);
        }
    }
}
