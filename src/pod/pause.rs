//! Making a pause process: the owner of a pod's namespaces.
//!
//! ```text
//! podrun                                        podrun:pause
//!   clone3 (new namespaces, _pause cgroup) ---->  hostname, loopback, sysctls, empty root
//!                                          <----  R (ready)
//!   writes the record
//!   G (go)                                 ---->  execveat(pause): drops everything
//!                                          <----  end of file: the pod's owner stands
//! ```
//! Either side may say `F`, an error number (four little-endian bytes) and what could not be done, instead of its turn.
//!
//! Invariant: until podrun says G, which it does after the record is written, the child dies with podrun: by the end
//! of file, and by PR_SET_PDEATHSIG, which the pause program clears.

use crate::cgroup::Entry;
use crate::error::{Context, Error, Kind, Result};
use crate::model::sandbox::NamespaceInodes;
use crate::pod::{namespaces, request::Network};
use crate::state::process::ProcessRef;
use crate::sys::{clone, exec, fs, mount, ns, pidfd, process, pty, socket};
use nix::mount::MsFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, close, fchdir, sethostname, setsid};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const READY: &[u8] = b"R";
const GO: &[u8] = b"G";
const FAILED: u8 = b'F';

/// How long the child may take for a turn; it waits for nothing itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that the child needs, settled before it is made.
pub(super) struct Plan<'a> {
    /// Where the namespaces come from.
    pub(super) namespaces: Namespaces<'a>,
    /// The pod's network.
    pub(super) network: Network,
    /// The group `_pause`, opened.
    pub(super) cgroup: Entry,
    /// The pause program, sealed.
    pub(super) program: OwnedFd,
    /// A directory to mount the empty root at, in the child's mount namespace alone.
    pub(super) mount_point: &'a Path,
    /// `namespace/name`, shown by ps.
    pub(super) title: CString,
}

/// Where the namespaces come from.
pub(super) enum Namespaces<'a> {
    /// They are made, and set up.
    New {
        /// Whether the PID namespace is the pod's too.
        share_pid: bool,
        /// The hostname.
        hostname: &'a str,
        /// Files of /proc/sys and their values.
        sysctls: &'a [(PathBuf, String)],
    },
    /// They are the pod's, that still stand.
    Of {
        /// What to join: each descriptor with its flags, a namespace's or a pidfd's.
        joined: &'a [(BorrowedFd<'a>, libc::c_int)],
        /// Whether to make a PID namespace: the pod's ended with its first process.
        new_pid: bool,
    },
}

/// A child that is on its way. Dropped, it ends.
pub(super) struct Starting(Candidate);

/// A child that is ready to become the pause and waits for the record to be written. Dropped, it ends.
pub(super) struct Candidate {
    child: clone::Child,
    link: OwnedFd,
    released: bool,
}

/// Makes the child.
///
/// # Errors
/// When it cannot be cloned, with a hint where the host is the reason.
pub(super) fn spawn(plan: &Plan<'_>) -> Result<Starting> {
    let (ours, theirs) = socket::pair().context(|| "cannot make a socket pair")?;
    let args =
        clone::CloneArgs { namespaces: clone_flags(plan), cgroup: plan.cgroup.v2_fd(), ..Default::default() };
    let (parents_end, childs_end) = (ours.as_raw_fd(), theirs.as_fd());
    let alone = clone::single_threaded().context(|| "cannot clone")?;
    let child = clone::spawn(alone, args, || {
        // The child's copy of the parent's end would keep it from ever seeing the end of file.
        let failure = match close(parents_end) {
            Ok(()) => match become_pause(plan, childs_end) {
                Err(failure) => failure,
            },
            Err(errno) => Failure { what: "close a socket".into(), errno: errno as i32 },
        };
        failure.report(childs_end)
    });
    let child = child.map_err(|error| clone_error(error, plan))?;
    drop(theirs);
    Ok(Starting(Candidate { child, link: ours, released: false }))
}

impl Starting {
    /// Waits until the child is ready.
    ///
    /// # Errors
    /// What it could not do. Nothing is left then.
    pub(super) fn ready(self) -> Result<Candidate> {
        match self.0.next_message()?.as_slice() {
            READY => Ok(self.0),
            message => Err(self.0.failure(message)),
        }
    }
}

fn clone_flags(plan: &Plan<'_>) -> u64 {
    let (new_pid, others) = match plan.namespaces {
        Namespaces::New { share_pid, .. } => (share_pid, namespaces::joined(plan.network)),
        Namespaces::Of { new_pid, .. } => (new_pid, 0),
    };
    let pid = if new_pid { libc::CLONE_NEWPID } else { 0 };
    u64::from((libc::CLONE_NEWNS | others | pid).cast_unsigned())
}

/// Explains an error of clone3(2).
fn clone_error(error: io::Error, plan: &Plan<'_>) -> Error {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM) => Some("run podrun as root, with CAP_SYS_ADMIN"),
        Some(libc::ENOSPC) => {
            Some("too many namespaces: raise the limits in /proc/sys/user/max_*_namespaces")
        }
        Some(libc::EINVAL) => {
            Some("the kernel lacks a kind of namespace: podrun needs net, ipc, uts, pid and mnt")
        }
        _ => plan.cgroup.v2_fd().and_then(|_| Entry::hint(&error)),
    };
    let failed: Result<Infallible> = Err(error).context(|| "cannot make the pod's namespaces");
    match (failed, hint) {
        (Err(error), Some(hint)) => error.hint(hint),
        (Err(error), None) => error,
        (Ok(never), _) => match never {},
    }
}

impl Candidate {
    /// The process as records name it.
    pub(super) fn process(&self) -> Result<ProcessRef> {
        ProcessRef::of(self.child.pid)
    }

    /// The inodes of its namespaces.
    pub(super) fn namespaces(&self, share_pid: bool) -> Result<NamespaceInodes> {
        namespaces::inodes(self.child.pid, share_pid)
    }

    /// Lets it become the pause, and waits until it has.
    ///
    /// # Errors
    /// When the program cannot be executed or cannot drop its privileges. Nothing is left then.
    pub(super) fn release(mut self) -> Result<()> {
        // A child that is gone is told by what it said last, or by its exit status.
        if let Err(error) = socket::send(self.link.as_fd(), GO)
            && error.raw_os_error() != Some(libc::EPIPE)
        {
            return Err(error).context(|| "cannot talk to the pause process");
        }
        match self.next_message()?.as_slice() {
            [] if !self.has_ended()? => {
                self.released = true;
                Ok(())
            }
            message => Err(self.failure(message)),
        }
    }

    /// The next message; empty at the end of file.
    fn next_message(&self) -> Result<Vec<u8>> {
        let mut buffer = vec![0; 1024];
        let link = self.link.as_fd();
        let wait = || {
            if !process::poll_until(link, libc::POLLIN, Instant::now() + PATIENCE)? {
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            socket::receive(link, &mut buffer)
        };
        let length = { wait }().context(|| "cannot hear from the pause process")?;
        buffer.truncate(length);
        Ok(buffer)
    }

    fn has_ended(&self) -> Result<bool> {
        pidfd::wait_exit(self.child.pidfd.as_fd(), Duration::ZERO)
            .context(|| "cannot watch the pause process")
    }

    /// What went wrong: in its own words, or how it ended.
    fn failure(&self, message: &[u8]) -> Error {
        if let Some(failure) = Failure::decode(message) {
            let error = Error::new(Kind::Host, failure.what);
            return if failure.errno == 0 {
                error
            } else {
                error.because(io::Error::from_raw_os_error(failure.errno))
            };
        }
        if !message.is_empty() {
            return Error::new(Kind::Protocol, "the pause process said something unknown");
        }
        let how = match pidfd::wait_exit(self.child.pidfd.as_fd(), PATIENCE) {
            Ok(true) => match waitpid(Pid::from_raw(self.child.pid), None) {
                Ok(WaitStatus::Signaled(_, signal, _)) => format!("was killed by {signal}"),
                Ok(WaitStatus::Exited(_, code)) => format!("ended with code {code}"),
                _ => "ended".into(),
            },
            _ => "fell silent".into(),
        };
        Error::host(format!("the pause process {how}")).hint("look for it in the kernel's log: dmesg")
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // Neither can fail for a reason that could be mended here: it is our child, dead or alive, and reaped by
        // `failure` at most.
        drop(pidfd::send_signal(self.child.pidfd.as_fd(), libc::SIGKILL));
        let _reaped = waitpid(Pid::from_raw(self.child.pid), None);
    }
}

/// Something that the child could not do.
struct Failure {
    what: String,
    errno: i32,
}

impl Failure {
    /// Tells podrun and ends.
    fn report(&self, link: BorrowedFd<'_>) -> ! {
        const LONGEST: usize = 512;
        let mut message = vec![FAILED];
        message.extend(self.errno.to_le_bytes());
        message.extend("cannot ".bytes().chain(self.what.bytes()).take(LONGEST));
        // With podrun gone there is nobody to tell.
        drop(socket::send(link, &message));
        process::exit_now(1)
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let rest = message.strip_prefix(&[FAILED])?;
        let (errno, what) = rest.split_first_chunk::<4>()?;
        Some(Self { what: String::from_utf8_lossy(what).into_owned(), errno: i32::from_le_bytes(*errno) })
    }
}

/// Says what was being done when a step failed.
trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            what: match error.raw_os_error() {
                Some(_) => what(),
                None => format!("{}: {error}", what()),
            },
            errno: error.raw_os_error().unwrap_or(0),
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(io::Error::from).doing(what)
    }
}

/// The child's way from clone3 to the pause program.
fn become_pause(plan: &Plan<'_>, link: BorrowedFd<'_>) -> Result<Infallible, Failure> {
    let say = |what: &'static str| move || String::from(what);
    // First of all, lest it outlive podrun; a podrun that was killed before is noticed by the end of file.
    process::set_parent_death_signal(libc::SIGKILL).doing(say("die with podrun"))?;
    process::set_name(c"podrun:pause").doing(say("name the pause process"))?;
    // Out of reach of the terminal's signals.
    setsid().doing(say("begin a session"))?;
    process::reset_signals().doing(say("reset signals"))?;
    plan.cgroup.enter().doing(say("enter the cgroup of the pause process"))?;
    match plan.namespaces {
        Namespaces::Of { joined, .. } => {
            for (fd, flags) in joined {
                ns::setns(*fd, *flags).doing(say("join the pod's namespaces"))?;
            }
        }
        Namespaces::New { hostname, sysctls, .. } => {
            set_up(plan.network, hostname, sysctls)?;
        }
    }
    protect_from_oom_killer()?;
    enter_empty_root(plan.mount_point)?;
    socket::send(link, READY).doing(say("talk to podrun"))?;
    let mut answer = [0; 8];
    match socket::receive(link, &mut answer).doing(say("hear from podrun"))? {
        1.. => {}
        0 => process::exit_now(0), // podrun is gone or has changed its mind
    }
    pty::become_stdio(link).doing(say("set up descriptors"))?;
    process::close_on_exec_from(3).doing(say("set up descriptors"))?;
    let arguments = [c"pause".to_owned(), plan.title.clone()];
    exec::by_fd(plan.program.as_fd(), &arguments, &[]).doing(say("execute the pause program"))
}

/// Makes new namespaces fit for containers, while the host's /proc can still be reached: /proc/sys shows everybody
/// the values of their own namespaces.
fn set_up(network: Network, hostname: &str, sysctls: &[(PathBuf, String)]) -> Result<(), Failure> {
    sethostname(hostname).doing(|| format!("set hostname {hostname:?}"))?;
    if network == Network::None {
        ns::loopback_up().doing(|| "bring up the loopback device".into())?;
    }
    for (path, value) in sysctls {
        fs::write_existing(path, value).doing(|| format!("write {value:?} to {}", path.display()))?;
    }
    Ok(())
}

/// What Kubernetes gives a pause. A host that does not grant it (no CAP_SYS_RESOURCE) leaves pause as likely a victim
/// as any small process, and the pod is healed when it is killed.
fn protect_from_oom_killer() -> Result<(), Failure> {
    match fs::write_existing(Path::new("/proc/self/oom_score_adj"), "-998") {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
            Err(error).doing(|| "write to /proc/self/oom_score_adj".into())
        }
        _ => Ok(()),
    }
}

/// Leaves the host's files behind, so that nobody finds them through /proc/PID/root, be it with CAP_SYS_PTRACE in a
/// shared PID namespace.
fn enter_empty_root(mount_point: &Path) -> Result<(), Failure> {
    const NOTHING: Option<&CStr> = None;
    // Else unmounting here would unmount on a host whose mounts are shared.
    nix::mount::mount(NOTHING, c"/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SLAVE, NOTHING)
        .doing(|| "leave the host's mount propagation".into())?;
    let root = empty_file_system().doing(|| "make an empty file system".into())?;
    let place = fs::open_existing(mount_point, libc::O_PATH | libc::O_DIRECTORY)
        .doing(|| format!("open {}", mount_point.display()))?;
    mount::move_mount(root.as_fd(), place.as_fd()).doing(|| "mount an empty root".into())?;
    fchdir(&root).doing(|| "enter the empty root".into())?;
    mount::pivot_root_here().doing(|| "change to the empty root".into())?;
    // The old root lies over the new one now.
    mount::umount_detach(c".").doing(|| "leave the host's root".into())?;
    chdir("/").doing(|| "enter the empty root".into())
}

fn empty_file_system() -> io::Result<OwnedFd> {
    let tmpfs = mount::FsContext::open(c"tmpfs")?;
    tmpfs.set_string(c"nr_inodes", c"1")?;
    tmpfs.set_string(c"mode", c"0555")?;
    tmpfs.mount(mount::ATTR_RDONLY | mount::ATTR_NOSUID | mount::ATTR_NODEV | mount::ATTR_NOEXEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_both_programs_are_understood() {
        // As src/pause writes it.
        let failure = Failure::decode(b"F\x01\x00\x00\x00cannot drop capabilities").unwrap();
        assert_eq!((failure.errno, failure.what.as_str()), (1, "cannot drop capabilities"));
        for strange in [&b""[..], b"R", b"F", b"F\x01\x00"] {
            assert!(Failure::decode(strange).is_none());
        }
    }
}
