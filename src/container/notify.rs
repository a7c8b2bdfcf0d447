//! Readiness, sd_notify(3), across the border: a service manager that starts us waits for a word of the program's.
//!
//! The program finds a socket of ours at [`SOCKET_INSIDE`]. What it says there is not believed, for it comes from a
//! container: only that it is ready goes on to the service manager, and which process on the host it is.

use crate::error::{Context, Error, Result};
use crate::report;
use crate::sys::process::poll_until;
use crate::sys::socket;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Mount, Spec};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where the program finds the socket.
const SOCKET_INSIDE: &str = "/run/notify/notify.sock";

/// Name of the directory in a container's own that is mounted there, and of the socket in it.
const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";

/// How long a service manager may take to say that it has read what it was told.
const BARRIER_PATIENCE: Duration = Duration::from_secs(30);

/// Makes the directory, and adds it and the variable to the container.
///
/// # Errors
/// When the directory cannot be made.
pub fn expose(spec: &mut Spec, container: &Path) -> Result<()> {
    let directory = container.join(DIRECTORY);
    std::fs::create_dir(&directory).context(|| format!("cannot create directory {directory:?}"))?;
    // Whoever the program is, it may reach the socket.
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .context(|| format!("cannot set the mode of {directory:?}"))?;
    let mut mount = Mount::default();
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    mount
        .set_destination(PathBuf::from(SOCKET_INSIDE).parent().map(Path::to_owned).unwrap_or_default())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(directory))
        .set_options(Some(options));
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    add_variable(spec, format!("{VARIABLE}={SOCKET_INSIDE}"));
    Ok(())
}

/// Adds a variable to the container's process.
pub fn add_variable(spec: &mut Spec, pair: String) {
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        env.push(pair);
        process.set_env(Some(env));
    }
}

/// Between a program and the service manager.
#[derive(Debug)]
pub struct Notify {
    /// What the program sends to.
    socket: OwnedFd,
    /// Where the service manager listens.
    manager: OsString,
}

impl Notify {
    /// Begins to listen for a container; `manager` is what the service manager set the variable to. `None` where the
    /// container was made without.
    ///
    /// # Errors
    /// When the variable names no socket, or ours cannot be made.
    pub fn listen(container: &Path, manager: &OsStr) -> Result<Option<Self>> {
        if !matches!(manager.as_bytes().first(), Some(b'/' | b'@')) {
            return Err(Error::user(format!(
                "{VARIABLE}: {manager:?} is neither a path nor an abstract socket"
            ))
            .hint(format!("unset {VARIABLE}, or run podrun from the service that set it")));
        }
        let directory = container.join(DIRECTORY);
        if !directory.is_dir() {
            report::warn(&format!(
                "{VARIABLE} is set, but the container was created without it: nobody is told"
            ));
            return Ok(None);
        }
        let path = directory.join(SOCKET);
        let socket = socket::datagrams_at(&path).context(|| format!("cannot listen at {path:?}"))?;
        Ok(Some(Self { socket, manager: manager.to_owned() }))
    }

    /// Reads what there is, without waiting; passes the word on, with the pid where it is given. Whether it came.
    ///
    /// # Errors
    /// When the service manager cannot be told.
    pub fn hear(&self, pid: Option<i32>) -> Result<bool> {
        const LONGEST: usize = 4096;
        /// At once: whoever sends without end must not keep us from everything else.
        const MOST: u32 = 64;
        let mut buffer = [0; LONGEST];
        for _ in 0..MOST {
            let heard = socket::receive_now(self.socket.as_fd(), &mut buffer);
            let Some((length, _)) = heard.context(|| "cannot hear from the program")? else {
                return Ok(false);
            };
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                self.tell(pid)
                    .context(|| format!("cannot tell the service manager at {:?}", self.manager))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tell(&self, pid: Option<i32>) -> io::Result<()> {
        let manager = socket::datagrams_to(self.manager.as_bytes())?;
        socket::send(manager.as_fd(), b"READY=1\n")?;
        let Some(pid) = pid else { return Ok(()) };
        socket::send(manager.as_fd(), format!("MAINPID={pid}\n").as_bytes())?;
        // It asks who sent the message, and must have done so before we are gone, sd_notify_barrier(3).
        let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        socket::send_descriptor(manager.as_fd(), b"BARRIER=1", theirs.as_fd())?;
        drop(theirs);
        if !poll_until(ours.as_fd(), 0, Instant::now() + BARRIER_PATIENCE)? {
            let seconds = BARRIER_PATIENCE.as_secs();
            report::warn(&format!("the service manager has not confirmed readiness within {seconds} s"));
        }
        Ok(())
    }

    /// Waits until the program is ready or has ended.
    ///
    /// # Errors
    /// As [`Notify::hear`].
    pub fn wait(&self, init: BorrowedFd<'_>, pid: i32) -> Result<()> {
        loop {
            let mut fds = [self.socket.as_fd(), init].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot wait for the program"),
            }
            let ended = fds[1].any().unwrap_or(false);
            if self.hear(Some(pid))? || ended {
                return Ok(());
            }
        }
    }
}

/// Readable when the program has said something.
impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readiness_is_passed_on() {
        let place = std::env::temp_dir().join(format!("podrun-notify-{}", std::process::id()));
        std::fs::create_dir_all(place.join(DIRECTORY)).unwrap();
        let manager = socket::datagrams_at(&place.join("manager")).unwrap();
        let notify = Notify::listen(&place, place.join("manager").as_os_str()).unwrap().unwrap();
        let said = |text: &[u8]| {
            let program =
                socket::datagrams_to(place.join(DIRECTORY).join(SOCKET).as_os_str().as_bytes()).unwrap();
            socket::send(program.as_fd(), text).unwrap();
        };
        let told = || {
            let mut buffer = [0; 64];
            let heard = socket::receive_now(manager.as_fd(), &mut buffer).unwrap();
            heard.map(|(length, _)| String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        assert!(!notify.hear(None).unwrap());
        for text in [&b"STATUS=READY=1"[..], b"MAINPID=1\nREADY=0", b"READY=1x", b""] {
            said(text);
        }
        assert!(!notify.hear(None).unwrap());
        assert_eq!(told(), None);
        said(b"MAINPID=1\nREADY=1\nSTATUS=up");
        assert!(notify.hear(None).unwrap());
        assert_eq!((told().as_deref(), told()), (Some("READY=1\n"), None));
        for odd in ["", "relative", "vsock:2:1"] {
            assert!(Notify::listen(&place, OsStr::new(odd)).is_err(), "{odd}");
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}
