//! Starting a manifest pod's pair: the keeper, and the supervisor as its child.
//!
//! ```text
//! podrun                podrun:keeper                              podrun:supervisor
//!   clone3 ----------->   enters its cgroup, takes its lock
//!                         clone3 ------------------------------->    execveat(podrun)
//!                         execveat(keeper): drops everything         takes over, takes its lock
//!   <------------------------------------------------------------    Ready or Failed, through the reply socket
//! ```
//! When a supervisor dies its keeper starts the next one, by the path of podrun's executable. When a keeper dies its
//! supervisor makes another, which gets copies of all descriptors and is the parent of nobody.
//!
//! Invariants: the lock on the keeper's byte is taken before a supervisor is made, so two commands never start two
//! pairs; no lock is held for that by the command itself. Neither process gets a descriptor that is not its own.

use crate::cgroup::{self, Cgroup, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::PodUid;
use crate::programs::{self, Program};
use crate::state::layout::{self, Layout};
use crate::state::lock::DirectoryLock;
use crate::supervisor::birth::words;
use crate::supervisor::keeper::{KeeperLink, LONGEST_COMPLAINT};
use crate::supervisor::lock::{self, Lock};
use crate::supervisor::reply;
use crate::sys::{clone, exec, fs, inherit, pidfd, process, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, setsid};
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use crate::supervisor::birth::{Birth, Identity, SUPERVISOR};
pub use crate::supervisor::reply::{Answer, Reply};

/// The keeper's descriptors of its lock file and its supervisor's pidfd.
const KEEPERS_LOCK: i32 = 3;
const KEEPERS_SUPERVISOR: i32 = 4;
/// All that a supervisor finds in its environment: where hooks and helpers of the host's are looked for, and that malloc
/// is to keep no freed memory in caches of its own, which malloc_trim(3) does not reach: 70 to 90 KiB a pod.
const ENVIRONMENT: [&str; 2] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0",
];

/// How long a supervisor may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a keeper may take to start the next supervisor: after several short lives it waits 5 s itself.
const RESTART_PATIENCE: Duration = Duration::from_secs(10);
/// How long a dying keeper may keep its lock after its link.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// podrun's own executable.
#[derive(Debug)]
pub struct Executable {
    /// Where later supervisors are started from.
    pub path: PathBuf,
    /// What the first one is executed by: nobody can write it.
    pub view: OwnedFd,
}

/// What [`ensure`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// No supervisor; now there is one.
    New,
    /// A supervisor, or a keeper that was about to start one.
    Stood,
}

/// The cgroup of a pod's pair, outside the pod's own limits.
///
/// # Errors
/// When no cgroup file system is mounted, or a read-only one.
pub fn cgroup(uid: &PodUid) -> Result<Cgroup> {
    cgroup::detect()?.for_absolute(&format!("/podrun/_supervisor/{uid}"))
}

/// Kills the pod's pair and all else of its cgroup, and removes that. What is not there is fine.
///
/// # Errors
/// When a process cannot be killed, or the cgroup cannot be removed.
pub fn end(uid: &PodUid) -> Result<()> {
    let group = cgroup(uid)?;
    group.signal_all(libc::SIGKILL)?;
    group.remove()
}

/// Sees to it that the pod has a living supervisor.
///
/// # Errors
/// NotFound when there is no such pod; what the supervisor could not do; a supervisor that does not stay.
pub fn ensure(layout: &Layout, uid: &PodUid, executable: impl Fn() -> Result<Executable>) -> Result<Started> {
    let directory = layout.pod(uid);
    let deadline = Instant::now() + RESTART_PATIENCE;
    loop {
        let holders = lock::holders(&directory)?;
        if holders.supervisor.is_some() {
            return Ok(Started::Stood);
        }
        // Also when the keeper has died while it was waited for.
        if holders.keeper.is_none() {
            // Makes it, unless the pod is gone.
            drop(Lock::open(&directory)?);
            let Executable { path, view } = executable()?;
            let identity = Identity { layout: layout.clone(), uid: uid.clone(), executable: path };
            let started = first(&identity, view).and_then(|reply| reply.wait(READY_PATIENCE));
            // Whoever deleted the pod meanwhile may have looked for its pair before this one was made.
            if !directory.exists() {
                end(uid)?;
            }
            match started {
                Ok(()) => return Ok(Started::New),
                // Another command was faster, or the old supervisor was not dead.
                Err(error) if error.kind() == Kind::Exists => {}
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= deadline {
            return Err(Error::host("the pod's supervisor does not stay")
                .hint(format!("its last words are in {:?}", directory.join(layout::pod::SUPERVISOR_LOG))));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a pair; the first supervisor is executed by `view`. Whether it becomes ready is the reply's.
///
/// # Errors
/// When the cgroup, the log or a process cannot be made.
pub fn first(identity: &Identity, view: OwnedFd) -> Result<Reply> {
    let group = open_group(identity)?;
    let (ours, reply) = socket::pair().context(|| "cannot make a socket pair")?;
    let (keepers, supervisors) = socket::pair().context(|| "cannot make a socket pair")?;
    let keeper = KeeperPlan::new(identity, keepers)?;
    let supervisor =
        SupervisorPlan { link: supervisors, view, reply, words: words(SUPERVISOR, identity, true)? };
    let args = clone::CloneArgs { cgroup: group.v2_fd(), ..Default::default() };
    let alone = clone::single_threaded().context(|| "cannot clone")?;
    let child = clone::spawn(alone, args, || {
        let Err(error) = become_first_keeper(alone, &group, &keeper, &supervisor);
        fail(supervisor.reply.as_fd(), &error)
    });
    let child = child.context(|| "cannot clone the keeper").map_err(|error| {
        let hint = error.errno().map(io::Error::from_raw_os_error).as_ref().and_then(Entry::hint);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    Ok(Reply::new(ours, child, log_path(identity)))
}

/// Makes a new keeper for this process, a supervisor whose keeper is gone. It holds nothing yet.
///
/// # Errors
/// When it cannot be made, or cannot confine itself.
pub fn new_keeper(identity: &Identity) -> Result<KeeperLink> {
    let me = i32::try_from(std::process::id())
        .map_err(io::Error::other)
        .and_then(pidfd::open)
        .context(|| "cannot open our own process")?;
    let (ours, theirs) = socket::pair().context(|| "cannot make a socket pair")?;
    let keeper = KeeperPlan::new(identity, theirs)?;
    // Our sibling, so that we need not reap it.
    let args = clone::CloneArgs { sibling: true, ..Default::default() };
    let alone = clone::single_threaded().context(|| "cannot clone")?;
    let child = clone::spawn(alone, args, || {
        let Err(error) = become_new_keeper(&keeper, me.as_fd());
        complain(keeper.link.as_fd(), &error)
    });
    drop(child.context(|| "cannot clone a keeper")?);
    drop(keeper);
    KeeperLink::over(ours).map(|(link, _)| link)
}

/// The cgroup, opened; it may be left from an earlier pair. It is made under the lock under which the pod's directory
/// goes: a group that came to be after its pod would be nobody's to remove.
fn open_group(identity: &Identity) -> Result<Entry> {
    let group = cgroup(&identity.uid)?;
    match group.entry() {
        Err(error) if error.errno() == Some(libc::ENOENT) => {
            let Some(_lock) = DirectoryLock::take(&identity.layout.pod(&identity.uid))? else {
                return Err(Error::not_found("the pod is gone"));
            };
            group.create()?;
            group.entry()
        }
        other => other,
    }
}

fn log_path(identity: &Identity) -> PathBuf {
    identity.layout.pod(&identity.uid).join(layout::pod::SUPERVISOR_LOG)
}

/// What a keeper needs, settled before it is made.
struct KeeperPlan<'a> {
    identity: &'a Identity,
    link: OwnedFd,
    program: OwnedFd,
    null: OwnedFd,
    log: File,
    words: Vec<CString>,
}

/// Likewise for its first supervisor.
struct SupervisorPlan {
    link: OwnedFd,
    view: OwnedFd,
    reply: OwnedFd,
    words: Vec<CString>,
}

impl<'a> KeeperPlan<'a> {
    fn new(identity: &'a Identity, link: OwnedFd) -> Result<Self> {
        let path = log_path(identity);
        let mut options = File::options();
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        Ok(Self {
            identity,
            link,
            program: programs::sealed(&identity.layout, Program::Pause)?,
            null: fs::open_existing(Path::new("/dev/null"), libc::O_RDWR)
                .context(|| "cannot open /dev/null")?,
            log: options.open(&path).context(|| format!("cannot open {path:?}"))?,
            words: words("keeper", identity, false)?,
        })
    }

    /// The first part of the way that both kinds of keeper go: a life of its own.
    fn settle(&self) -> Result<()> {
        let say = |what: &'static str| move || what;
        process::set_name(c"podrun:keeper").context(say("cannot name the keeper"))?;
        setsid().context(say("cannot begin a session"))?;
        process::reset_signals().context(say("cannot reset signals"))?;
        process::set_child_subreaper().context(say("cannot become a child subreaper"))?;
        protect_from_oom_killer()?;
        chdir("/").context(say("cannot enter the root directory"))?;
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        Ok(())
    }

    /// The second part: every descriptor in its place. Only the copies of `kept` that it returns remain beside them.
    ///
    /// The lock file is opened here and not by whoever makes the keeper: a supervisor that closed it would lose its own
    /// lock.
    fn arrange(&self, supervisor: BorrowedFd<'_>, kept: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>> {
        let lock = Lock::open(&self.identity.layout.pod(&self.identity.uid))?.into_file();
        let (null, log) = (self.null.as_fd(), self.log.as_fd());
        let mine = [self.link.as_fd(), null, null, lock.as_fd(), supervisor, log];
        let kept = inherit::hand_over(&mine, kept).context(|| "cannot arrange descriptors")?;
        // Closed by that; dropping it would close somebody else's number.
        std::mem::forget(lock);
        Ok(kept)
    }

    fn execute(&self, program: BorrowedFd<'_>) -> Result<Infallible> {
        exec::by_fd(program, &self.words, &environment()?).context(|| "cannot execute the keeper")
    }
}

/// Tells the command what went wrong, and ends.
fn fail(reply: BorrowedFd<'_>, error: &Error) -> ! {
    reply::send_failure(reply, error);
    process::exit_now(1)
}

/// The child's way from clone3 to a keeper with a supervisor.
///
/// # Errors
/// What goes wrong before descriptors are in their places; the rest is told from here.
fn become_first_keeper(
    alone: clone::SingleThreaded,
    group: &Entry,
    plan: &KeeperPlan<'_>,
    supervisor: &SupervisorPlan,
) -> Result<Infallible> {
    group.enter().context(|| "cannot enter the keeper's cgroup")?;
    plan.settle()?;
    let kept = [&plan.program, &supervisor.link, &supervisor.view, &supervisor.reply].map(AsFd::as_fd);
    // The pidfd's place is kept for it.
    let kept = plan.arrange(plan.null.as_fd(), &kept)?;
    let [program, link, view, reply] = &kept[..] else {
        return Err(Error::new(Kind::Protocol, "descriptors are lost"));
    };
    let tell = |error: &Error| -> ! { fail(reply.as_fd(), error) };
    let locked = inherit::at(KEEPERS_LOCK).context(|| "cannot find the lock file").and_then(|file| {
        lock::take_keeper(file, Duration::ZERO).and_then(|()| lock::refuse_supervisor(file))
    });
    locked.unwrap_or_else(|error| tell(&error));
    let child = clone::spawn(alone, clone::CloneArgs::default(), || {
        let Err(error) = become_supervisor([link, view, reply].map(AsFd::as_fd), &supervisor.words);
        // On purpose, as far as the keeper is concerned.
        drop(socket::send(link.as_fd(), b"Q"));
        tell(&error)
    });
    let child = child.context(|| "cannot clone the supervisor").unwrap_or_else(|error| tell(&error));
    let executed = inherit::put(child.pidfd.as_fd(), KEEPERS_SUPERVISOR)
        .context(|| "cannot arrange descriptors")
        .and_then(|()| plan.execute(program.as_fd()));
    let Err(error) = executed;
    // It has done nothing yet.
    drop(pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL));
    tell(&error)
}

/// The child's way from clone3 to a keeper for the supervisor that makes it.
///
/// # Errors
/// What goes wrong before descriptors are in their places; the rest is told from here.
fn become_new_keeper(plan: &KeeperPlan<'_>, supervisor: BorrowedFd<'_>) -> Result<Infallible> {
    plan.settle()?;
    let kept = plan.arrange(supervisor, &[plan.program.as_fd(), plan.link.as_fd()])?;
    let [program, link] = &kept[..] else {
        return Err(Error::new(Kind::Protocol, "descriptors are lost"));
    };
    let executed = inherit::at(KEEPERS_LOCK)
        .context(|| "cannot find the lock file")
        .and_then(|file| lock::take_keeper(file, LOCK_PATIENCE))
        .and_then(|()| plan.execute(program.as_fd()));
    let Err(error) = executed;
    complain(link.as_fd(), &error)
}

/// Tells the supervisor in the keeper's own words (see `supervisor::keeper`) what went wrong, and ends.
fn complain(link: BorrowedFd<'_>, error: &Error) -> ! {
    let mut message = vec![b'F'];
    message.extend(error.errno().unwrap_or(0).to_le_bytes());
    message.extend(error.to_string().bytes().take(LONGEST_COMPLAINT));
    drop(socket::send(link, &message));
    process::exit_now(1)
}

/// The grandchild's way from clone3 to a supervisor: `fds` are link, view and reply socket.
fn become_supervisor(fds: [BorrowedFd<'_>; 3], words: &[CString]) -> Result<Infallible> {
    let [link, view, reply] = fds;
    let arrange = || -> io::Result<Vec<OwnedFd>> {
        let [null, log] = [inherit::at(1)?, inherit::at(5)?];
        inherit::hand_over(&[link, null, log, reply], &[view])
    };
    let kept = { arrange }().context(|| "cannot arrange descriptors")?;
    let [view] = &kept[..] else {
        return Err(Error::new(Kind::Protocol, "descriptors are lost"));
    };
    exec::by_fd(view.as_fd(), words, &environment()?).context(|| "cannot execute the supervisor")
}

/// As for the pause: a host that does not grant it (no CAP_SYS_RESOURCE) leaves the pair as likely a victim as any.
fn protect_from_oom_killer() -> Result<()> {
    match fs::write_existing(Path::new("/proc/self/oom_score_adj"), "-998") {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
            Err(error).context(|| "cannot write to /proc/self/oom_score_adj")
        }
        _ => Ok(()),
    }
}

fn environment() -> Result<Vec<CString>> {
    ENVIRONMENT
        .into_iter()
        .map(|variable| {
            CString::new(variable).map_err(io::Error::other).context(|| "cannot make an environment")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_comes_to_be_without_its_pod() {
        let root = std::env::temp_dir().join(format!("podrun-spawn-{}", std::process::id()));
        let uid = format!("{:08x}-89ab-4def-8123-456789abcdef", std::process::id()).parse().unwrap();
        let identity =
            Identity { layout: Layout::new(&root, &root).unwrap(), uid, executable: PathBuf::new() };
        let error = open_group(&identity).err().unwrap();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(cgroup(&identity.uid).unwrap().dirs().all(|(_, dir)| !dir.exists()));
    }
}
