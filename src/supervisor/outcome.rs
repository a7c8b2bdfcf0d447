//! How a container's init ended, whoever is its parent by now.
//!
//! A supervisor is the parent of what it made itself. What a dead one made is the keeper's, which leaves the dead for
//! its new supervisor to read; or, where the keeper died as well, PID 1's, which reaps: then the kernel tells whoever
//! holds a pidfd (Linux 6.15), and nobody on older ones.

use crate::error::{Context, Error, Result};
use crate::lifecycle::Outcome;
use crate::state::process::{self, ProcessRef};
use crate::supervisor::keeper::KeeperLink;
use crate::sys::pidfd::{self, Zombie};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Out of a wait status, wait(2).
fn of_status(status: i32) -> Outcome {
    match status & 0x7f {
        0 => Outcome::Exited(status >> 8 & 0xff),
        signal => Outcome::Signaled(signal),
    }
}

/// How the process ended; `None` while it runs. `pidfd` is of that process. Where a zombie is left it stays, so that
/// whoever comes after us can ask as well: [`end`] takes it away.
///
/// # Errors
/// When /proc cannot be read.
pub fn peek(process: &ProcessRef, pidfd: BorrowedFd<'_>) -> Result<Option<Outcome>> {
    let doing = || format!("cannot tell how process {} ended", process.pid);
    match pidfd::child_status(pidfd, Zombie::Stays) {
        Ok(status) => return Ok(status.map(of_status)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {}
        Err(error) => return Err(error).context(doing),
    }
    // Only this tells a zombie from a process whose first thread alone has ended.
    if !pidfd::wait_exit(pidfd, Duration::ZERO).context(doing)? {
        return Ok(None);
    }
    // Another's child: it may be reaped at any moment, so what is not found here is asked for below.
    let found = process::stat(process.pid).context(doing)?;
    if let Some(zombie) = found.filter(|stat| stat.start_time == process.start_time && stat.state == 'Z') {
        return Ok(Some(of_status(zombie.exit_status)));
    }
    match pidfd::exit_status(pidfd) {
        Ok(status) => Ok(Some(status.map_or(Outcome::Unknown, of_status))),
        Err(error) if is_missing(&error) => Ok(Some(Outcome::Unknown)),
        Err(error) => Err(error).context(doing),
    }
}

/// Takes the zombie away that the process has left; kills it first if it has not ended, and waits for that.
///
/// # Errors
/// When it cannot be killed, does not end, or the keeper does not read.
pub fn end(process: &ProcessRef, pidfd: BorrowedFd<'_>, keeper: &KeeperLink) -> Result<()> {
    /// How long a killed process may take to end; then it is to be tried again, and others have their turn.
    const PATIENCE: Duration = Duration::from_secs(1);
    let doing = || format!("cannot end process {}", process.pid);
    match pidfd::send_signal(pidfd, libc::SIGKILL) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error).context(doing),
        _ => {}
    }
    if !pidfd::wait_exit(pidfd, PATIENCE).context(doing)? {
        return Err(Error::host("it was killed and does not end")).context(doing);
    }
    match pidfd::child_status(pidfd, Zombie::Reaped) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => keeper.reap(process.pid),
        Err(error) => Err(error).context(doing),
    }
}

/// The kernel cannot tell: it has no such request (ENOTTY, or EINVAL for a request that grew), or it did not keep the
/// status because nobody held a pidfd at that moment (ESRCH).
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::{Child, Command};

    fn started(script: &str) -> (Child, ProcessRef, std::os::fd::OwnedFd) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let fd = pidfd::open(pid).unwrap();
        (child, ProcessRef::of(pid).unwrap(), fd)
    }

    #[test]
    fn wait_statuses() {
        assert_eq!(of_status(3 << 8), Outcome::Exited(3));
        assert_eq!(of_status(libc::SIGKILL), Outcome::Signaled(libc::SIGKILL));
        assert_eq!(of_status(libc::SIGSEGV | 0x80), Outcome::Signaled(libc::SIGSEGV));
    }

    #[test]
    fn own_children() {
        let (_child, process, fd) = started("sleep 60");
        assert_eq!(peek(&process, fd.as_fd()).unwrap(), None);
        pidfd::send_signal(fd.as_fd(), libc::SIGTERM).unwrap();
        assert!(pidfd::wait_exit(fd.as_fd(), Duration::from_secs(10)).unwrap());
        assert_eq!(peek(&process, fd.as_fd()).unwrap(), Some(Outcome::Signaled(libc::SIGTERM)));

        let (_child, process, fd) = started("exit 7");
        assert!(pidfd::wait_exit(fd.as_fd(), Duration::from_secs(10)).unwrap());
        assert_eq!(peek(&process, fd.as_fd()).unwrap(), Some(Outcome::Exited(7)));
    }

    #[test]
    fn children_of_others() {
        // A shell that makes a child and lets it be a zombie: it ends only when there is no shell to reap it any more.
        let script = "exec 3<&0; sh -c 'read line <&3; exit 9' & echo $!; exec sleep 60";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut parent = shell.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(parent.stdout.take().unwrap()), &mut line)
            .unwrap();
        let pid = line.trim().parse().unwrap();
        let (fd, process) = (pidfd::open(pid).unwrap(), ProcessRef::of(pid).unwrap());
        let name = format!("/proc/{}/comm", parent.id());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        drop(parent.stdin.take());
        assert!(pidfd::wait_exit(fd.as_fd(), Duration::from_secs(10)).unwrap());
        assert_eq!(peek(&process, fd.as_fd()).unwrap(), Some(Outcome::Exited(9)));
        parent.kill().unwrap();
        parent.wait().unwrap();
    }

    #[test]
    fn the_reaped() {
        let (mut child, process, fd) = started("exit 5");
        child.wait().unwrap();
        // What the kernel says depends on its version, and nothing else does.
        let wanted = match pidfd::exit_status(fd.as_fd()) {
            Ok(Some(status)) => of_status(status),
            Ok(None) | Err(_) => Outcome::Unknown,
        };
        assert!(matches!(wanted, Outcome::Exited(5) | Outcome::Unknown));
        assert_eq!(peek(&process, fd.as_fd()).unwrap(), Some(wanted));
    }
}
