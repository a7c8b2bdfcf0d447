//! Mounts as a user namespace of its own gets them: with their flags locked.
//!
//! What comes from a mount namespace of another user namespace keeps `ro`, `nosuid`, `nodev`, `noexec` and its access times
//! for good (mount_namespaces(7), "Restrictions on mount namespaces"). The kernel locks them when it copies the mount namespace,
//! and not when a mount is handed over by descriptor, which is how podrun hands them to init: a container with
//! CAP_SYS_ADMIN in its user namespace could make writable what the host has mounted read-only.

use crate::container::stand_in::StandIn;
use crate::error::{Context, Error, Result};
use crate::sys::clone::{CloneArgs, SingleThreaded};
use crate::sys::{fs, ns, socket};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Does `open` in a copy of our mount namespace that belongs to a user namespace made for this: what it opens is locked.
/// Its paths must be absolute. They lead where they do here: in a chroot the kernel makes no user namespace.
///
/// # Errors
/// Those of `open`, and of the way there and back.
pub fn in_copy<T>(alone: SingleThreaded, open: impl FnOnce() -> Result<T>) -> Result<T> {
    let copy = copy(alone)?;
    let ours = own().context(|| "cannot open our own mount namespace")?;
    let directory = fs::open_existing(Path::new("/proc/self/cwd"), libc::O_PATH | libc::O_DIRECTORY)
        .context(|| "cannot open the working directory")?;
    ns::setns(copy.as_fd(), libc::CLONE_NEWNS)
        .context(|| "cannot join the copy of our mount namespace")
        .map_err(|error| match error.errno() {
            Some(libc::EPERM) => error.hint("podrun needs CAP_SYS_CHROOT"),
            _ => error,
        })?;
    let opened = open();
    ns::setns(ours.as_fd(), libc::CLONE_NEWNS).context(|| "cannot return to our own mount namespace")?;
    nix::unistd::fchdir(&directory).context(|| "cannot return to the working directory")?;
    opened
}

/// The copy: a process made with it hands it over, and ends.
fn copy(alone: SingleThreaded) -> Result<OwnedFd> {
    let (ours, theirs) = socket::pair().context(|| "cannot create a socket pair")?;
    let namespaces = u64::try_from(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).unwrap_or_default();
    let args = CloneArgs { namespaces, quiet: true, ..CloneArgs::default() };
    let _stand_in = StandIn::make(alone, args, || {
        // Where this fails, the other end hears that nothing comes.
        drop(own().and_then(|namespace| socket::send_descriptor(theirs.as_fd(), b"!", namespace.as_fd())));
    })?;
    drop(theirs);
    let copy = socket::receive_descriptor(ours.as_fd()).context(|| "cannot hear from a process")?;
    copy.ok_or_else(|| Error::host("a process in a copy of our mount namespace died"))
}

fn own() -> io::Result<OwnedFd> {
    fs::open_existing(Path::new("/proc/self/ns/mnt"), libc::O_RDONLY)
}
