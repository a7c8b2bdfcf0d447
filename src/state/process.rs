//! The name of a process that holds over pid recycling and reboots: pid, start time, boot id.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::pidfd;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A process as a record names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessRef {
    /// Pid in podrun's PID namespace; above 0.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks after boot.
    pub start_time: u64,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
}

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The state letter, such as `R`, `S`, `Z`.
    pub state: char,
    /// Clock ticks after boot.
    pub start_time: u64,
    /// Wait status, wait(2); of a zombie, and only for those who may ptrace it.
    pub exit_status: i32,
}

/// Reads /proc/PID/stat; `None` where there is no such process.
///
/// # Errors
/// When /proc cannot be read or says something unknown.
pub fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    match std::fs::read(&path) {
        Ok(text) => {
            parse_stat(&text).map(Some).ok_or_else(|| Error::host(format!("cannot understand {path}")))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {path}")),
    }
}

/// Pids of a single-threaded process's children, zombies among them; none where there is no such process, or where the
/// kernel does not tell (CONFIG_PROC_CHILDREN).
///
/// # Errors
/// When /proc cannot be read.
pub fn children(pid: i32) -> Result<Vec<i32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    match std::fs::read_to_string(&path) {
        Ok(pids) => Ok(pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(Vec::new()),
        Err(error) => Err(error).context(|| format!("cannot read {path}")),
    }
}

/// The name of the program that a process executes or, as a zombie, executed (at most 15 bytes); `None` where there is no
/// such process.
///
/// # Errors
/// When /proc cannot be read.
pub fn command_name(pid: i32) -> Result<Option<String>> {
    let path = format!("/proc/{pid}/comm");
    match std::fs::read(&path) {
        Ok(name) => Ok(Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {path}")),
    }
}

/// Whether a process is the first of its PID namespace, with which all others in it end; true when it is gone.
///
/// # Errors
/// When /proc cannot be read.
pub fn leads_pid_namespace(pid: i32) -> Result<bool> {
    let path = format!("/proc/{pid}/status");
    match std::fs::read(&path) {
        // The command's name is escaped there, so no line of it can look like this one, proc_pid_status(5).
        Ok(text) => Ok(innermost_pid(&String::from_utf8_lossy(&text)).is_none_or(|pid| pid == 1)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(true),
        Err(error) => Err(error).context(|| format!("cannot read {path}")),
    }
}

/// The last number of the line `NSpid:`.
fn innermost_pid(status: &str) -> Option<i32> {
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_ascii_whitespace().last()?.parse().ok()
}

/// The command name may hold anything, parentheses and newlines too: fields are counted from the last `)`.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Fields 3, 22 and 52, proc_pid_stat(5).
    let (start_time, exit_status) = (fields.nth(18)?.parse().ok()?, fields.nth(29)?.parse().ok()?);
    Some(Stat { state, start_time, exit_status })
}

/// The boot's id.
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).context(|| format!("cannot read {path}"))?.trim_end().to_owned())
}

/// Makes sure that /proc numbers processes as our PID namespace does. With that of another one a pid would be compared
/// with, recorded as, and in the end signalled in the place of, a process that has nothing to do with it.
fn check_proc() -> Result<()> {
    let shown = std::fs::read_link("/proc/self").context(|| "cannot read /proc/self")?;
    if shown == Path::new(&std::process::id().to_string()) {
        return Ok(());
    }
    Err(Error::host("/proc shows another PID namespace than ours")
        .hint("mount one of this namespace: unshare --mount-proc, or mount -t proc proc /proc"))
}

impl ProcessRef {
    /// Names the process that has `pid` now; the caller knows that it is the one meant (its own child, or itself).
    pub fn of(pid: i32) -> Result<Self> {
        check_proc()?;
        let stat = stat(pid)?.ok_or_else(|| Error::new(Kind::NotFound, format!("no process {pid}")))?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// The state letter, or `None` when the process is gone or the pid is another's by now.
    pub fn state(&self) -> Result<Option<char>> {
        let now = stat(self.pid)?.filter(|now| now.start_time == self.start_time);
        Ok(if now.is_some() && boot_id()? == self.boot_id { now.map(|now| now.state) } else { None })
    }

    /// Whether the process lives; a zombie does not.
    pub fn is_alive(&self) -> Result<bool> {
        Ok(!matches!(self.state()?, None | Some('Z' | 'X')))
    }

    /// A pidfd of the process, or `None` when it is gone, a zombie, or the pid is another's by now.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        check_proc()?;
        let fd = match pidfd::open(self.pid) {
            Ok(fd) => fd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error).context(|| format!("cannot open process {}", self.pid)),
        };
        // Only now is the comparison good for the descriptor.
        Ok(self.is_alive()?.then_some(fd))
    }

    /// Sends `signal` if the process is still the one meant; false when it is not.
    pub fn signal(&self, signal: i32) -> Result<bool> {
        let Some(fd) = self.open()? else { return Ok(false) };
        match pidfd::send_signal(fd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO)))
                .context(|| format!("cannot signal process {}", self.pid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_hostile_command_names() {
        let line = b"12 (a) R 1 (\n) Z 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0 18446744073709551615 \
                     0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 2304\n";
        let zombie = Stat { state: 'Z', start_time: 98765, exit_status: 9 << 8 };
        assert_eq!(parse_stat(line), Some(zombie));
        assert_eq!(parse_stat(b"12 (a"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_innermost_pid_is_the_last() {
        assert_eq!(innermost_pid("Name:\ta\nNSpid:\t77\t5\t1\nNSpgid:\t7\n"), Some(1));
        assert_eq!(innermost_pid("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_is_alive_and_its_successor_is_not() {
        let me = ProcessRef::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive().unwrap());
        let recycled = ProcessRef { start_time: me.start_time + 1, ..me.clone() };
        assert!(!recycled.is_alive().unwrap());
        assert!(!recycled.signal(0).unwrap());
        let rebooted = ProcessRef { boot_id: "another".into(), ..me };
        assert!(!rebooted.is_alive().unwrap());
    }
}
