//! Which namespaces a pod has, and telling them apart by inode.

use crate::error::{Context, Result};
use crate::model::sandbox::{ContainerView, NamespaceInodes};
use crate::pod::request::Network;
use crate::sys::pidfd;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// The `CLONE_NEW*` flags of what containers join: IPC, UTS and, unless it is the host's, the network.
pub(super) fn joined(network: Network) -> libc::c_int {
    let own = libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    match network {
        Network::None => own | libc::CLONE_NEWNET,
        Network::Host => own,
    }
}

/// The inodes of a process's namespaces; its PID namespace only where that is the pod's.
pub(super) fn inodes(pid: i32, share_pid: bool) -> Result<NamespaceInodes> {
    let inode = |name: &str| -> Result<u64> {
        let path = path(pid, name);
        Ok(std::fs::metadata(&path).context(|| format!("cannot look at {path}"))?.ino())
    };
    Ok(NamespaceInodes {
        net: inode("net")?,
        ipc: inode("ipc")?,
        uts: inode("uts")?,
        pid: if share_pid { Some(inode("pid")?) } else { None },
    })
}

/// The file that stands for a process's namespace.
pub(super) fn path(pid: i32, name: &str) -> String {
    format!("/proc/{pid}/ns/{name}")
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
