//! How commands speak to a pod's supervisor: one request and one reply over the stream socket `control.sock` in the
//! pod's directory, each one line of JSON.
//!
//! ```text
//! command                                   supervisor
//!   {"request":"stop","graceSeconds":5}  ->
//!                                        <-   {"reply":"done"}   once every container has ended
//! ```
//!
//! Invariants: whoever may connect is root (mode 0600); a request is short and a reply is shorter; the supervisor never
//! waits for a peer. Every request may be repeated: a command whose supervisor is killed asks the next one again.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{process, socket};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest request or reply in bytes.
pub const LONGEST: usize = 64 << 10;

/// What a supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Make all containers and let them wait; answered when each is made or could not be.
    Create,
    /// Start all containers; answered when each has run or could not be started.
    Start,
    /// End all containers and never start one again; answered when they have ended.
    Stop {
        /// Seconds between the stop signal and SIGKILL; the manifest's where there are none.
        grace_seconds: Option<u64>,
    },
    /// Go by the pod's documents as they are now; answered when they are read.
    Update,
    /// Send a signal to every container's first process; answered when it is sent.
    Kill {
        /// The signal's number.
        signal: i32,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Reply {
    /// It is done.
    Done,
    /// It could not be done.
    Failed {
        /// What, to what, why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// Whether a container's program is at fault, and how.
        program: Option<ProgramFault>,
    },
}

/// Why a container's program cannot be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProgramFault {
    /// [`Kind::NoProgram`].
    Missing,
    /// [`Kind::NotExecutable`].
    NotExecutable,
}

impl ProgramFault {
    /// The fault that an error of this kind tells of.
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::NoProgram => Some(Self::Missing),
            Kind::NotExecutable => Some(Self::NotExecutable),
            _ => None,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Missing => Kind::NoProgram,
            Self::NotExecutable => Kind::NotExecutable,
        }
    }
}

impl Reply {
    /// The reply for what came of a request.
    pub fn to(result: &Result<()>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed {
                message: error.to_string(),
                hint: error.remedy().map(ToOwned::to_owned),
                program: ProgramFault::of(error.kind()),
            },
        }
    }
}

/// Asks the supervisor whose socket is at `path`, and waits for its answer.
///
/// # Errors
/// What it answers; kind Died when there is no supervisor, or it ended before it answered: then another may be asked.
pub fn ask(path: &Path, request: &Request, patience: Option<Duration>) -> Result<()> {
    hear(&tell(path, request)?, patience)
}

/// The first half of [`ask`]: sends the request and does not wait. The answer comes through what is returned.
///
/// # Errors
/// Kind Died when there is no supervisor.
pub fn tell(path: &Path, request: &Request) -> Result<OwnedFd> {
    let died =
        |error: io::Error| Error::new(Kind::Died, "the pod's supervisor does not answer").because(error);
    let socket = socket::connect(path).map_err(died)?;
    let mut line = serde_json::to_vec(request).context(|| "cannot write a request")?;
    line.push(b'\n');
    socket::send(socket.as_fd(), &line).map_err(died)?;
    Ok(socket)
}

/// The second half of [`ask`]: waits for the answer.
///
/// # Errors
/// As [`ask`].
pub fn hear(socket: &OwnedFd, patience: Option<Duration>) -> Result<()> {
    let answer = line(socket, patience)?;
    match serde_json::from_slice(&answer).context_as(Kind::Protocol, || "cannot understand the supervisor")? {
        Reply::Done => Ok(()),
        Reply::Failed { message, hint, program } => {
            let error = Error::new(program.map_or(Kind::User, ProgramFault::kind), message);
            Err(match hint {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

/// The one line of the reply.
fn line(socket: &OwnedFd, patience: Option<Duration>) -> Result<Vec<u8>> {
    // A grace period may be longer than clocks go: its end never comes.
    let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(deadline) = deadline
            && !process::poll_until(socket.as_fd(), libc::POLLIN, deadline)
                .context(|| "cannot wait for the supervisor")?
        {
            return Err(Error::host("the pod's supervisor takes too long"));
        }
        let length = socket::receive(socket.as_fd(), &mut buffer)
            .context_as(Kind::Died, || "cannot hear from the pod's supervisor")?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else {
            return Err(Error::new(Kind::Died, "the pod's supervisor ended before it answered"));
        };
        line.extend_from_slice(part);
        if line.ends_with(b"\n") {
            return Ok(line);
        }
        if line.len() > LONGEST {
            return Err(Error::new(Kind::Protocol, "the pod's supervisor does not stop talking"));
        }
    }
}

/// One command that is connected, seen from the supervisor.
#[derive(Debug)]
pub struct Peer {
    socket: OwnedFd,
    heard: Vec<u8>,
}

/// What came of listening to a peer.
#[derive(Debug)]
pub enum Heard {
    /// Not all of it yet.
    Part,
    /// A request.
    Request(Request),
    /// It is gone, or says what no command says.
    Gone,
}

impl Peer {
    /// Takes a waiting connection off the listener; `None` where there is none.
    ///
    /// # Errors
    /// Those of accept4(2).
    pub fn accept(listener: &OwnedFd) -> Result<Option<Self>> {
        match socket::accept(listener.as_fd()) {
            Ok(socket) => Ok(Some(Self { socket, heard: Vec::new() })),
            Err(error) if is_again(&error) || error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(None),
            Err(error) => Err(error).context(|| "cannot accept a command"),
        }
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Reads what is there.
    pub fn listen(&mut self) -> Heard {
        let mut buffer = [0; 1024];
        match socket::receive(self.socket.as_fd(), &mut buffer) {
            Ok(0) => Heard::Gone,
            Ok(length) => {
                self.heard.extend_from_slice(buffer.get(..length).unwrap_or_default());
                if self.heard.len() > LONGEST {
                    return Heard::Gone;
                }
                if !self.heard.ends_with(b"\n") {
                    return Heard::Part;
                }
                let heard = std::mem::take(&mut self.heard);
                serde_json::from_slice(&heard).map_or(Heard::Gone, Heard::Request)
            }
            Err(error) if is_again(&error) => Heard::Part,
            Err(_) => Heard::Gone,
        }
    }

    /// Answers; a peer that is gone, or has no room for so short a message, is not waited for.
    pub fn answer(&self, reply: &Reply) {
        if let Ok(mut line) = serde_json::to_vec(reply) {
            line.push(b'\n');
            drop(socket::send(self.socket.as_fd(), &line));
        }
    }
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EAGAIN | Errno::EINTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_one_line_each() {
        let request = Request::Stop { grace_seconds: Some(5) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"request":"stop","graceSeconds":5}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let failed = Reply::to(&Err(Error::user("a\nb").hint("c")));
        let text = serde_json::to_string(&failed).unwrap();
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), failed);
        for kind in [Kind::NoProgram, Kind::NotExecutable] {
            assert_eq!(ProgramFault::of(kind).map(ProgramFault::kind), Some(kind));
        }
        assert!(serde_json::from_str::<Request>(r#"{"request":"dance"}"#).is_err());
    }

    #[test]
    fn a_command_is_answered_and_a_dead_supervisor_is_told_apart() {
        let path = std::env::temp_dir().join(format!("podrun-control-{}.sock", std::process::id()));
        assert_eq!(ask(&path, &Request::Start, None).unwrap_err().kind(), Kind::Died);
        let listener = socket::listen(&path).unwrap();
        assert!(Peer::accept(&listener).unwrap().is_none());
        let client = socket::connect(&path).unwrap();
        socket::send(client.as_fd(), b"{\"request\":\"st").unwrap();
        let mut peer = Peer::accept(&listener).unwrap().unwrap();
        assert!(matches!(peer.listen(), Heard::Part));
        assert!(matches!(peer.listen(), Heard::Part));
        socket::send(client.as_fd(), b"art\"}\n").unwrap();
        assert!(matches!(peer.listen(), Heard::Request(Request::Start)));
        peer.answer(&Reply::Done);
        assert_eq!(line(&client, Some(Duration::MAX)).unwrap(), b"{\"reply\":\"done\"}\n");
        drop(client);
        assert!(matches!(peer.listen(), Heard::Gone));
        std::fs::remove_file(path).unwrap();
    }
}
