//! The container's root directory as a descriptor, and the finding and making of paths inside it.
//!
//! The image and, with shared volumes, processes of other containers are hostile: a path is resolved by the kernel
//! inside the root (openat2, RESOLVE_IN_ROOT) and from then on used by descriptor. No path string is used twice.

use super::plan::c_path;
use crate::error::{Context, Error, Result};
use crate::sys::fs::{self, Resolve, open_in};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat, mknodat};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

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
pub struct Root {
    mount: OwnedFd,
    covered: u32,
}

impl Root {
    /// The mount that is to become the root.
    pub fn new(mount: OwnedFd) -> Self {
        Self { mount, covered: 0 }
    }

    /// The root that a mount over this one makes.
    #[must_use]
    pub fn covered_by(&self, mount: OwnedFd) -> Self {
        Self { mount, covered: self.covered + 1 }
    }

    /// How many earlier roots lie below it.
    pub fn covered(&self) -> u32 {
        self.covered
    }

    /// The descriptor of the root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Whether `found` is the root directory, by whatever way it was found.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn is(&self, found: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(fs::place(self.fd(), c"")? == fs::place(found, c"")?)
    }

    /// An O_PATH descriptor of what is at `path`.
    pub fn find(&self, path: &Path, resolve: Resolve) -> io::Result<OwnedFd> {
        let relative = c_path(below(path)).map_err(io::Error::other)?;
        open_in(self.fd(), &relative, libc::O_PATH, 0, resolve)
    }

    /// Likewise, but a symbolic link at the end of `path` is opened itself.
    pub fn find_link(&self, path: &Path) -> io::Result<OwnedFd> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.find(path, Resolve::InRoot);
        };
        let parent = self.find(parent, Resolve::InRoot)?;
        Ok(openat(&parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
    }

    /// A descriptor of what is at `path`, opened with `flags`.
    pub fn open(&self, path: &Path, flags: i32) -> io::Result<OwnedFd> {
        let relative = c_path(below(path)).map_err(io::Error::other)?;
        open_in(self.fd(), &relative, flags, 0, Resolve::InRoot)
    }

    /// An O_PATH descriptor of a mount's destination, which is made where it is missing, with its parents (mode 0755).
    ///
    /// # Errors
    /// Those of the system.
    pub fn target(&self, path: &Path, target: Target) -> Result<OwnedFd> {
        match self.find(path, Resolve::InRoot) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path, target),
            found => found.context(|| format!("cannot open {path:?} in the root file system")),
        }
    }

    /// An O_PATH descriptor of a directory, which is made with its parents (mode 0755) where it is missing.
    ///
    /// # Errors
    /// As [`Root::target`].
    pub fn make_directories(&self, path: &Path) -> Result<OwnedFd> {
        self.target(path, Target::Directory)
    }

    /// An O_PATH descriptor of what is at `path`, which is made where it is missing; a symbolic link at its end is opened
    /// itself.
    ///
    /// # Errors
    /// As [`Root::target`].
    pub fn target_nofollow(&self, path: &Path, target: Target) -> Result<OwnedFd> {
        let (parent, name) = self.parent(path)?;
        open_or_make(parent.as_fd(), name, target).context(|| format!("cannot open {path:?} itself"))
    }

    /// The directory that `path` is in, made where it is missing, and the name in it.
    ///
    /// # Errors
    /// As [`Root::target`], and when `path` is `/`.
    pub fn parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::user(format!("{path:?} is not a path of a file")));
        };
        Ok((self.make_directories(parent)?, name))
    }

    /// Makes what is missing at `path`: its last name alone, as a rule.
    fn make(&self, path: &Path, target: Target) -> Result<OwnedFd> {
        let title = || format!("cannot create {path:?} in the root file system");
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Ok(parent) = self.find(parent, Resolve::InRoot)
        {
            let made = open_or_make(parent.as_fd(), name, target).context(title).map_err(read_only_hint)?;
            if link(made.as_fd()).context(title)?.is_none() {
                return Ok(made);
            }
        }
        self.make_by_name(path, target)
    }

    /// Goes to `path` name by name and makes what is missing. A symbolic link to nothing has what it names made, below
    /// this root as all else: images have such links for what is to be mounted, /etc/resolv.conf before all.
    fn make_by_name(&self, path: &Path, target: Target) -> Result<OwnedFd> {
        let title = || format!("cannot create {path:?} in the root file system");
        let mut links = 0;
        let mut rest = names(path);
        let mut walked = PathBuf::from("/");
        let mut here = self.find(&walked, Resolve::InRoot).context(title)?;
        while let Some(name) = rest.pop() {
            if name == ".." {
                walked.pop();
                here = self.find(&walked, Resolve::InRoot).context(title)?;
                continue;
            }
            let want = if rest.is_empty() { target } else { Target::Directory };
            let found = open_or_make(here.as_fd(), &name, want).context(title).map_err(read_only_hint)?;
            let Some(leads_to) = link(found.as_fd()).context(title)? else {
                walked.push(name);
                here = found;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::from(nix::errno::Errno::ELOOP)).context(title);
            }
            if leads_to.is_absolute() {
                walked = PathBuf::from("/");
                here = self.find(&walked, Resolve::InRoot).context(title)?;
            }
            rest.extend(names(&leads_to));
        }
        Ok(here)
    }
}

/// As many symbolic links as the kernel follows.
const MOST_LINKS: usize = 40;

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

/// Opens what is called `name` in a directory, itself and not what it may lead to, and makes it first where it is missing.
///
/// # Errors
/// Those of the system.
pub fn open_or_make(directory: BorrowedFd<'_>, name: &OsStr, target: Target) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {}
        found => return Ok(found?),
    }
    let made = match target {
        Target::Directory => mkdirat(directory, name, Mode::from_bits_truncate(0o755)),
        Target::File => mknodat(directory, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0),
    };
    match made {
        Ok(()) | Err(Errno::EEXIST) => Ok(openat(directory, name, flags, Mode::empty())?),
        Err(error) => Err(error.into()),
    }
}

/// Where a symbolic link leads; `None` for anything else.
fn link(fd: BorrowedFd<'_>) -> io::Result<Option<PathBuf>> {
    if fstat(fd)?.st_mode & libc::S_IFMT != libc::S_IFLNK {
        return Ok(None);
    }
    Ok(Some(readlinkat(fd, "")?.into()))
}

fn below(path: &Path) -> &Path {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

fn read_only_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::EROFS) => {
            error.hint("the root file system is read-only and has no such path; create it in the image")
        }
        _ => error,
    }
}
