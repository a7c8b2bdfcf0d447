//! The programs that podrun carries within itself, and executing a program of the host so that nobody can write it.
//!
//! A container that gets hold of a process of ours may open its executable through /proc/PID/exe and, once that
//! process has ended, write it: the host then runs the container's code (CVE-2019-5736). So nothing of ours that a
//! container may see is executed from a writable mount.
//!
//! Invariant: what [`sealed`] and [`read_only_view`] return cannot be written through the process that executes it,
//! provided that nobody keeps the descriptor: while it is open, its mount's read-only flag can be cleared through it.

use crate::error::{Context, Result};
use crate::state::{atomic, layout::Layout};
use crate::sys::{fs, mount};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::linkat;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A program that podrun carries within itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Owner of a pod's namespaces, or keeper of its supervisor: its mode is its first argument, see `src/pause`.
    Pause,
}

impl Program {
    fn content(self) -> &'static [u8] {
        match self {
            Self::Pause => include_bytes!(env!("PODRUN_PAUSE")),
        }
    }

    /// Name of its file: one of another build has another name, so that neither replaces the other's.
    fn file_name(self) -> String {
        const PAUSE: u64 = fnv1a(include_bytes!(env!("PODRUN_PAUSE")));
        match self {
            Self::Pause => format!("pause-{PAUSE:016x}"),
        }
    }
}

/// FNV-1a, which tells builds apart; it protects nothing, [`open_genuine`] compares every byte.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut place = 0;
    while place < bytes.len() {
        hash = (hash ^ bytes[place] as u64).wrapping_mul(0x0100_0000_01b3);
        place += 1;
    }
    hash
}

/// A descriptor to execute `program` by, which nobody can write through the process that does.
///
/// It is a read-only mount of the file below the data root, so that all pods share its pages, or a copy in memory
/// where that file system is mounted noexec or mounts cannot be made.
///
/// # Errors
/// When the file cannot be made below the data root.
pub fn sealed(layout: &Layout, program: Program) -> Result<OwnedFd> {
    let path = layout.programs().join(program.file_name());
    let file = match unpacked(&path, program.content()) {
        Ok(file) => file,
        // A file system without O_TMPFILE, such as overlayfs before Linux 6.3.
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => return in_memory(program),
        Err(error) => return Err(error),
    };
    let noexec = fstatvfs(&file).context(|| format!("cannot stat {path:?}"))?.flags();
    if !noexec.contains(FsFlags::ST_NOEXEC) {
        match read_only_view(file.as_fd()) {
            Ok(view) => return Ok(view),
            // No CAP_SYS_ADMIN over the mounts, or calls that a seccomp filter hides.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {}
            Err(error) => return Err(error).context(|| format!("cannot make a read-only mount of {path:?}")),
        }
    }
    in_memory(program)
}

fn in_memory(program: Program) -> Result<OwnedFd> {
    fs::sealed_memfd(c"pause", program.content()).context(|| "cannot copy the pause program into memory")
}

/// A detached read-only mount of the file that `fd` refers to, to be executed and closed (open_tree(2), Linux 5.2).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the mount namespace's user namespace, or where a filter forbids it; EINVAL when
/// `fd` is on a mount of another namespace.
pub fn read_only_view(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let view = mount::open_tree(fd, c"", Some(mount::Depth::One))?;
    let attr = mount::MountAttr { set: mount::ATTR_RDONLY, ..Default::default() };
    mount::mount_setattr(view.as_fd(), mount::Depth::One, &attr)?;
    Ok(view)
}

/// The file at `path` in a read-only overlay of its directory, to be executed and closed.
///
/// A read-only mount alone keeps the content safe. But whoever holds such a file can still try to open it for writing,
/// and the kernel takes write access of the inode before it looks at the mount: at that moment nobody can execute the
/// file (ETXTBSY). In an overlay that happens to an inode of its own.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; ENODEV without overlayfs; others where the directory cannot be a layer.
pub fn overlay_view(path: &Path) -> io::Result<OwnedFd> {
    // Without an upper layer there must be two lower ones; sysfs is always there, and never holds our binary.
    const SECOND_LAYER: &str = "/sys";
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let directory = fs::open_existing(parent, libc::O_PATH | libc::O_DIRECTORY)?;
    // By descriptor, since colons and commas in the path would part layers and options.
    let layers = format!("/proc/self/fd/{}:{SECOND_LAYER}", directory.as_raw_fd());
    let overlay = mount::FsContext::open(c"overlay")?;
    overlay.set_string(c"lowerdir", &CString::new(layers).map_err(io::Error::other)?)?;
    let overlay = overlay.mount(mount::ATTR_RDONLY | mount::ATTR_NODEV | mount::ATTR_NOSUID)?;
    let name = CString::new(name.as_bytes()).map_err(io::Error::other)?;
    fs::open_in(overlay.as_fd(), &name, libc::O_RDONLY, 0, fs::Resolve::NoSymlinks)
}

/// The file at `path` with `content`, made first if it is not there or not genuine.
fn unpacked(path: &Path, content: &[u8]) -> Result<std::fs::File> {
    if let Some(file) = open_genuine(path, content).context(|| format!("cannot read {path:?}"))? {
        return Ok(file);
    }
    if let Some(directory) = path.parent() {
        atomic::make_directories(directory)?;
    }
    unpack(path, content)
        .and_then(|()| open_genuine(path, content))
        .and_then(|file| file.ok_or_else(|| io::Error::other("somebody changes it")))
        .context(|| format!("cannot unpack {path:?}"))
}

/// Opens `path` if it is a regular file of ours with exactly this content that nobody but root could have changed.
fn open_genuine(path: &Path, content: &[u8]) -> io::Result<Option<std::fs::File>> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = match options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    let ours = meta.is_file()
        && meta.uid() == nix::unistd::geteuid().as_raw()
        && meta.mode() & 0o7777 == MODE
        && usize::try_from(meta.len()).is_ok_and(|length| length == content.len());
    if !ours {
        return Ok(None);
    }
    let mut there = Vec::with_capacity(content.len());
    file.read_to_end(&mut there)?;
    Ok((there == content).then_some(file))
}

/// Permissions of an unpacked program.
const MODE: u32 = 0o555;

/// Writes a file without a name and then gives it one: whoever comes at the same time sees a whole file or none, and
/// being killed leaves nothing (open(2), O_TMPFILE).
fn unpack(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(directory)?;
    file.write_all(content)?;
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    file.sync_all()?;
    // Opened again for reading and closed for writing, because a file open for writing cannot be executed (ETXTBSY).
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let readable = std::fs::File::open(&name)?;
    drop(file);
    let name = format!("/proc/self/fd/{}", readable.as_raw_fd());
    let (here, follow) = (mount::cwd(), AtFlags::AT_SYMLINK_FOLLOW);
    match linkat(here, Path::new(&name), here, path, follow) {
        Err(Errno::EEXIST) if open_genuine(path, content)?.is_none() => {
            std::fs::remove_file(path)?;
            linkat(here, Path::new(&name), here, path, follow)?;
        }
        Err(Errno::EEXIST) => return Ok(()),
        other => other?,
    }
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("podrun-programs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn unpacks_once_and_repairs_what_is_not_genuine() {
        let directory = scratch("unpack");
        let path = directory.join("pause-0");
        let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
        unpacked(&path, b"program").unwrap();
        let first = inode(&path);
        unpacked(&path, b"program").unwrap();
        assert_eq!(inode(&path), first);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, MODE);

        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/bin/sh", &path).unwrap();
        unpacked(&path, b"program").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"program");

        unpacked(&path, b"another").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no temporary file is left");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn pause_is_an_executable_of_a_few_kib() {
        let content = Program::Pause.content();
        assert!(content.starts_with(b"\x7fELF"));
        assert!(content.len() < 8 << 10, "{} bytes", content.len());
        assert!(Program::Pause.file_name().starts_with("pause-"));
    }

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
