//! Which namespaces a pod has, telling them apart by inode, and holding them open.

use crate::error::{Context, Error, Result};
use crate::model::sandbox::{ContainerView, NamespaceInodes};
use crate::pod::request::Network;
use crate::sys::{fs, pidfd};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

/// A kind of namespace that a pod may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceKind {
    /// Network.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Process ids.
    Pid,
}

impl NamespaceKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Net, Self::Ipc, Self::Uts, Self::Pid];

    /// The name of its file in /proc/PID/ns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
        }
    }

    /// Its `CLONE_NEW*` flag.
    pub(super) fn flag(self) -> libc::c_int {
        match self {
            Self::Net => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Pid => libc::CLONE_NEWPID,
        }
    }

    pub(super) fn inode(self, inodes: &NamespaceInodes) -> Option<u64> {
        match self {
            Self::Net => Some(inodes.net),
            Self::Ipc => Some(inodes.ipc),
            Self::Uts => Some(inodes.uts),
            Self::Pid => inodes.pid,
        }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NamespaceKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| Error::user(format!("unknown kind of namespace {text:?}")))
    }
}

/// The kinds that the pause joins or makes for others to join, its PID namespace aside.
fn joined_kinds(network: Network) -> &'static [NamespaceKind] {
    match network {
        Network::None => &[NamespaceKind::Net, NamespaceKind::Ipc, NamespaceKind::Uts],
        Network::Host => &[NamespaceKind::Ipc, NamespaceKind::Uts],
    }
}

/// The kinds that a pod owns.
pub(super) fn owned(network: Network, share_pid: bool) -> impl Iterator<Item = NamespaceKind> {
    joined_kinds(network).iter().copied().chain(share_pid.then_some(NamespaceKind::Pid))
}

/// The `CLONE_NEW*` flags of what containers join: IPC, UTS and, unless it is the host's, the network.
pub(super) fn joined(network: Network) -> libc::c_int {
    joined_kinds(network).iter().fold(0, |flags, kind| flags | kind.flag())
}

/// The inodes of a process's namespaces; its PID namespace only where that is the pod's.
pub(super) fn inodes(pid: i32, share_pid: bool) -> Result<NamespaceInodes> {
    let inode = |kind: NamespaceKind| -> Result<u64> {
        let path = path(pid, kind.name());
        Ok(std::fs::metadata(&path).context(|| format!("cannot look at {path}"))?.ino())
    };
    Ok(NamespaceInodes {
        net: inode(NamespaceKind::Net)?,
        ipc: inode(NamespaceKind::Ipc)?,
        uts: inode(NamespaceKind::Uts)?,
        pid: if share_pid { Some(inode(NamespaceKind::Pid)?) } else { None },
    })
}

/// The file that stands for a process's namespace.
pub(super) fn path(pid: i32, name: &str) -> String {
    format!("/proc/{pid}/ns/{name}")
}

/// A process's namespace, opened. The caller knows that the process is the one meant, and still lives afterwards.
pub(super) fn open_of(pid: i32, kind: NamespaceKind) -> Result<OwnedFd> {
    let path = path(pid, kind.name());
    fs::open_existing(Path::new(&path), libc::O_RDONLY).context(|| format!("cannot open {path}"))
}

/// Whether the descriptor is of the namespace that has this inode, which is not given away while it is held open.
pub(super) fn is(fd: BorrowedFd<'_>, inode: u64) -> bool {
    nix::sys::stat::fstat(fd).is_ok_and(|stat| stat.st_ino == inode)
}

/// A pidfd of a container's init that lives in the namespaces `wanted`, if one of `containers` has one.
///
/// The inodes prove that a process is in the pod, whatever its pid was before: a namespace's inode is not given away
/// while a process is in it.
pub(super) fn member(containers: &[ContainerView], wanted: NamespaceInodes) -> Result<Option<OwnedFd>> {
    for pid in containers.iter().filter_map(|container| container.pid) {
        let Some(process) = open(pid).context(|| format!("cannot open process {pid}"))? else { continue };
        let Ok(found) = inodes(pid, wanted.pid.is_some()) else { continue };
        // Still alive now, so that it was its own /proc directory that was read.
        if found == wanted && pidfd::send_signal(process.as_fd(), 0).is_ok() {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    match pidfd::open(pid) {
        Ok(process) => Ok(Some(process)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}
