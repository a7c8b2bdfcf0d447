//! Mounts as a user namespace of its own gets them: with their flags locked.
//!
//! What comes from a mount namespace of another user namespace keeps `ro`, `nosuid`, `nodev` and `noexec` for good
//! (mount_namespaces(7), "Restrictions on mount namespaces"). The kernel locks them when it copies the mount namespace,
//! and not when a mount is handed over by descriptor, which is how podrun hands them to init: a container with
//! CAP_SYS_ADMIN in its user namespace could make writable what the host has mounted read-only.

use crate::container::stand_in::StandIn;
use crate::error::{Context, Result};
use crate::sys::clone::SingleThreaded;
use crate::sys::{fs, mount, ns};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Does `open` in a copy of our mount namespace that belongs to a user namespace made for this: what it opens is locked.
///
/// # Errors
/// Those of `open`, and of the way there and back.
pub fn in_copy<T>(alone: SingleThreaded, open: impl FnOnce() -> Result<T>) -> Result<T> {
    let ours = Place::of("self")?;
    let stand_in = StandIn::in_new(alone, libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    let theirs = Place::of(&stand_in.pid().to_string())?;
    let opened = theirs.enter().and_then(|()| open());
    ours.enter()?;
    opened
}

/// Where a process stands.
struct Place {
    namespace: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl Place {
    fn of(process: &str) -> Result<Self> {
        let open = |name: &str, flags| {
            let path = format!("/proc/{process}/{name}");
            fs::open_existing(Path::new(&path), flags).context(|| format!("cannot open {path}"))
        };
        let directory = libc::O_PATH | libc::O_DIRECTORY;
        Ok(Self {
            namespace: open("ns/mnt", libc::O_RDONLY)?,
            root: open("root", directory)?,
            directory: open("cwd", directory)?,
        })
    }

    fn enter(&self) -> Result<()> {
        ns::setns(self.namespace.as_fd(), libc::CLONE_NEWNS).context(|| "cannot join a mount namespace")?;
        mount::change_root(self.root.as_fd())
            .and_then(|()| nix::unistd::fchdir(&self.directory))
            .context(|| "cannot enter a root")
    }
}
