//! The container's root directory as a descriptor, and the finding and making of paths inside it.
//!
//! The image and, with shared volumes, processes of other containers are hostile: a path is resolved by the kernel
//! inside the root (openat2, RESOLVE_IN_ROOT) and from then on used by descriptor. No path string is used twice.

use super::plan::c_path;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::fs::{Resolve, open_in};
use nix::sys::stat::{Mode, SFlag};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What a mount needs to be mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A directory.
    Directory,
    /// A file of any kind but a directory.
    File,
}

/// The container's root.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The mount that is to become the root.
    pub fn new(mount: OwnedFd) -> Self {
        Self(mount)
    }

    /// The descriptor of the root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// An O_PATH descriptor of what is at `path`.
    pub fn find(&self, path: &Path, resolve: Resolve) -> io::Result<OwnedFd> {
        let relative = c_path(below(path)).map_err(io::Error::other)?;
        open_in(self.fd(), &relative, libc::O_PATH, 0, resolve)
    }

    /// A descriptor of what is at `path`, opened with `flags`.
    pub fn open(&self, path: &Path, flags: i32) -> io::Result<OwnedFd> {
        let relative = c_path(below(path)).map_err(io::Error::other)?;
        open_in(self.fd(), &relative, flags, 0, Resolve::InRoot)
    }

    /// An O_PATH descriptor of a mount's destination, which is made where it is missing.
    ///
    /// # Errors
    /// When a symbolic link on the way leads to nothing inside the root, and those of the system.
    pub fn target(&self, path: &Path, target: Target) -> Result<OwnedFd> {
        match target {
            Target::Directory => self.make_directories(path),
            Target::File => match self.find(path, Resolve::InRoot) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_file(path),
                found => found.context(|| format!("cannot open {path:?} in the root file system")),
            },
        }
    }

    /// An O_PATH descriptor of a directory, which is made with its parents (mode 0755) where it is missing.
    ///
    /// # Errors
    /// As [`Root::target`].
    pub fn make_directories(&self, path: &Path) -> Result<OwnedFd> {
        let title = || format!("cannot open {path:?} in the root file system");
        match (self.find(path, Resolve::InRoot), path.parent(), path.file_name()) {
            (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
                let directory = self.make_directories(parent)?;
                refuse_dangling_link(directory.as_fd(), name, path)?;
                match nix::sys::stat::mkdirat(&directory, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                    Err(error) => {
                        let made = Err(error).context(|| format!("cannot create directory {path:?}"));
                        return made.map_err(read_only_hint);
                    }
                }
                self.find(path, Resolve::InRoot).context(title)
            }
            (found, _, _) => found.context(title),
        }
    }

    fn make_file(&self, path: &Path) -> Result<OwnedFd> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::user(format!("{path:?} is not a path of a file")));
        };
        let directory = self.make_directories(parent)?;
        refuse_dangling_link(directory.as_fd(), name, path)?;
        match nix::sys::stat::mknodat(&directory, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => {
                return Err(error).context(|| format!("cannot create file {path:?}")).map_err(read_only_hint);
            }
        }
        self.find(path, Resolve::InRoot).context(|| format!("cannot open {path:?} in the root file system"))
    }
}

fn below(path: &Path) -> &Path {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

/// A name that is there and yet does not resolve is a link whose target the root has not got. Making that target
/// would let an image choose where we write.
fn refuse_dangling_link(directory: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
    match nix::fcntl::readlinkat(directory, name) {
        Ok(target) => Err(Error::new(
            Kind::User,
            format!(
                "{path:?} is a symbolic link out of the root file system or to nothing in it: {target:?}"
            ),
        )
        .hint("correct the image, or mount at the link's target")),
        Err(_) => Ok(()),
    }
}

fn read_only_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::EROFS) => {
            error.hint("the root file system is read-only and has no such path; create it in the image")
        }
        _ => error,
    }
}
