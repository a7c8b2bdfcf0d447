//! Terminals: the listener that a shim gives to `--console-socket`, and a terminal of the caller's own.

use super::command::{Cmd, Outcome};
use super::machine;
use nix::pty::{Winsize, openpty};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// A socket that waits for a terminal.
pub struct Listener {
    socket: UnixListener,
    path: String,
}

/// A terminal's master.
pub struct Terminal {
    /// The text that came with it.
    pub name: String,
    /// How many descriptors came in the message.
    pub descriptors: usize,
    master: File,
    slave: Option<OwnedFd>,
    seen: String,
}

impl Listener {
    /// Listens at a path.
    #[track_caller]
    pub fn at(path: &Path) -> Self {
        let socket =
            UnixListener::bind(path).unwrap_or_else(|error| panic!("cannot listen at {path:?}: {error}"));
        Self { socket, path: super::runtime::path_text(path) }
    }

    /// The path, as a word of a command line.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes the one message that a runtime has sent, with a terminal.
    #[track_caller]
    pub fn accept(&self) -> Terminal {
        let (name, fds) = self.receive();
        let descriptors = fds.len();
        let master = fds.into_iter().next().expect("a descriptor in the message");
        Terminal { name, descriptors, master: master.into(), slave: None, seen: String::new() }
    }

    /// Takes the one message that a runtime has sent: its text and its descriptors.
    #[track_caller]
    pub fn receive(&self) -> (String, Vec<OwnedFd>) {
        assert!(readable(&self.socket, 10), "nobody connected to {}", self.path);
        let (peer, _) = self.socket.accept().expect("a connection");
        let mut text = [0; 8192];
        let mut room = nix::cmsg_space!([RawFd; 8]);
        let (length, fds) = {
            let mut parts = [IoSliceMut::new(&mut text)];
            let message =
                recvmsg::<()>(peer.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC)
                    .expect("a message");
            let fds: Vec<RawFd> = message
                .cmsgs()
                .expect("control messages")
                .flat_map(
                    |part| if let ControlMessageOwned::ScmRights(fds) = part { fds } else { Vec::new() },
                )
                .collect();
            (message.bytes, fds)
        };
        (String::from_utf8_lossy(&text[..length]).into_owned(), fds.into_iter().map(own).collect())
    }
}

#[allow(unsafe_code, reason = "the number of a received descriptor has no owner yet")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made the descriptor for this process with the message just read; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn readable(fd: impl AsFd, seconds: u64) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds) * machine::slowness();
    podrun::sys::process::poll_until(fd.as_fd(), libc::POLLIN, deadline).unwrap_or(false)
}

impl Terminal {
    /// A terminal of the caller's own.
    pub fn new(rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        Self {
            name: String::new(),
            descriptors: 1,
            master: pty.master.into(),
            slave: Some(pty.slave),
            seen: String::new(),
        }
    }

    /// Runs a command with this terminal as its stdin, stdout and stderr, and as its controlling terminal.
    #[track_caller]
    pub fn run_inside(&mut self, command: Cmd) -> Outcome {
        let slave = self.slave.take().expect("one command per terminal");
        let name = nix::unistd::ttyname(&slave).expect("the name of a terminal");
        // setsid(1) takes the terminal that it opens as its controlling one.
        let script = format!("exec <>{0} >{0} 2>&1; exec \"$@\"", name.display());
        let running = command.under(["setsid", "-w", "sh", "-c", &script, "sh"]).spawn();
        let outcome = running.finish();
        // The slave stayed open so that what the command wrote is still there to be read.
        drop(slave);
        outcome
    }

    /// Types text.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("to write to the terminal");
    }

    /// Reads until `text` has appeared; returns all that has been read so far.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let length =
                if readable(&self.master, 10) { self.master.read(&mut buffer).unwrap_or(0) } else { 0 };
            assert!(length > 0, "the terminal ended or fell silent before {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        self.seen.clone()
    }
}
