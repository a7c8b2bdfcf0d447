//! A container without a mount namespace of its own: its process stays in podrun's, and the host does not notice.
//!
//! Everything is made in a passing copy of the mount namespace, as for every container. Then init goes back, and takes as
//! its root a copy of what it has made that is attached nowhere (open_tree(2)): no mount table lists it, nothing is
//! propagated to it or from it, and the kernel lets go of it with the last process whose root it is. There is nothing to
//! undo, and no `..` leads out of it, since nothing is above. runc and crun make these mounts on the host, in the root
//! file system's directory, and leave them there.
//!
//! The price: in mounts of no namespace the kernel mounts nothing, and ignores set-user-ID and file capabilities; whoever
//! may write to a directory can remove and rename the mount points in it; and with CAP_SYS_ADMIN, setns(2) leads to the
//! host's root, as the config asks for.

use super::options;
use crate::container::namespaces::Namespaces;
use crate::error::{Context, Error, Result};
use crate::report;
use crate::sys::mount::{self, Depth};
use crate::sys::{fs, ns};
use oci_spec::runtime::Spec;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Our mount namespace, to come back to, if the container is to have no other.
///
/// # Errors
/// For what such a container cannot have.
pub fn plan(spec: &Spec, namespaces: &Namespaces) -> Result<Option<OwnedFd>> {
    const OWN: &str = "/proc/self/ns/mnt";
    if namespaces.has_own(libc::CLONE_NEWNS) {
        return Ok(None);
    }
    let refuse = |what: &str| {
        Err(Error::user(format!("{what} is not possible without a mount namespace"))
            .hint("add {\"type\": \"mount\"} to linux.namespaces"))
    };
    if namespaces.has_own(libc::CLONE_NEWUSER) {
        return refuse("linux.namespaces: a user namespace");
    }
    // What is unbindable would not be in the copy, and of what is shared or a slave it would see nothing.
    let is_private = |word: &str| word.is_empty() || word == "private" || word == "rprivate";
    let root = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    if let Some(word) = root.filter(|word| !is_private(word)) {
        return refuse(&format!("linux.rootfsPropagation: {word:?}"));
    }
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let mut words = options::words(mount.options().as_deref().unwrap_or_default());
        if let Some(word) = words.find(|word| options::propagation(word).is_ok() && !is_private(word)) {
            return refuse(&format!("mounts[{index}]: {word:?}"));
        }
    }
    report::warn(
        "linux.namespaces: without a mount namespace, mount points are no wall to who may write to the directory they are in",
    );
    fs::open_existing(Path::new(OWN), libc::O_RDONLY).context(|| format!("cannot open {OWN}")).map(Some)
}

/// Goes to a copy of our mount namespace.
///
/// # Errors
/// Those of unshare(2).
pub fn leave() -> Result<()> {
    ns::unshare(libc::CLONE_NEWNS).context(|| "cannot copy the mount namespace")
}

/// Goes back, and takes a copy of our root along.
///
/// # Errors
/// Those of the system calls.
pub fn return_to(namespace: &OwnedFd) -> Result<()> {
    let root = mount::open_tree(mount::cwd(), c"/", Some(Depth::Recursive))
        .context(|| "cannot copy the root file system")?;
    ns::setns(namespace.as_fd(), libc::CLONE_NEWNS).context(|| "cannot return to the mount namespace")?;
    mount::change_root(root.as_fd()).context(|| "cannot enter the root file system")
}
