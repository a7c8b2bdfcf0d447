//! The mount API of Linux 5.2 (open_tree, move_mount, fsopen, fsconfig, fsmount) and mount_setattr (5.12).

use super::{check, int};
use std::ffi::CStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `open_tree` flag: make a detached copy of the mount instead of opening it.
pub const OPEN_TREE_CLONE: u32 = 1;
/// Per-mount attributes, `linux/mount.h`.
pub const ATTR_RDONLY: u64 = 0x1;
/// No set-user-ID.
pub const ATTR_NOSUID: u64 = 0x2;
/// No device files.
pub const ATTR_NODEV: u64 = 0x4;
/// No execution.
pub const ATTR_NOEXEC: u64 = 0x8;
/// The access-time field, to be cleared before one of its values is set.
pub const ATTR_ATIME_MASK: u64 = 0x70;
/// No access times.
pub const ATTR_NOATIME: u64 = 0x10;
/// Always update access times.
pub const ATTR_STRICTATIME: u64 = 0x20;
/// No access times of directories.
pub const ATTR_NODIRATIME: u64 = 0x80;
/// Ids of files are shown as a user namespace maps them.
pub const ATTR_IDMAP: u64 = 0x10_0000;
/// Symbolic links are not followed (Linux 5.14).
pub const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// Whether an operation reaches the mounts below the one named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This mount alone.
    One,
    /// This mount and all below it.
    Recursive,
}

/// Attributes to set and clear, and the propagation to give (`MS_PRIVATE` and its kin; 0 leaves it).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct MountAttr {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// New propagation type, or 0.
    pub propagation: u64,
    /// User namespace of an idmapped mount.
    pub userns_fd: u64,
}

fn new_fd(value: io::Result<libc::c_long>) -> io::Result<OwnedFd> {
    let raw = int(value?)?;
    // SAFETY: the system call that gave this value returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// open_tree(2) of `path` below `dir` (an empty path means `dir` itself). Without `clone` it is an O_PATH open.
pub fn open_tree(dir: BorrowedFd<'_>, path: &CStr, clone: Option<Depth>) -> io::Result<OwnedFd> {
    open_tree_at(dir, path, clone, 0)
}

/// Likewise, but a symbolic link at the end of `path` is not followed.
pub fn open_tree_nofollow(dir: BorrowedFd<'_>, path: &CStr, clone: Option<Depth>) -> io::Result<OwnedFd> {
    open_tree_at(dir, path, clone, libc::AT_SYMLINK_NOFOLLOW.cast_unsigned())
}

fn open_tree_at(
    dir: BorrowedFd<'_>,
    path: &CStr,
    clone: Option<Depth>,
    more_flags: u32,
) -> io::Result<OwnedFd> {
    let mut flags = libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32 | more_flags;
    if let Some(depth) = clone {
        flags |= OPEN_TREE_CLONE;
        if depth == Depth::Recursive {
            flags |= libc::AT_RECURSIVE as u32;
        }
    }
    // SAFETY: path is NUL-terminated and, like dir, borrowed for the length of the call.
    new_fd(check(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) }))
}

/// move_mount(2): attaches the detached mount `from` at `to`, both by descriptor, so no path is walked.
pub fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    const EMPTY_PATHS: u32 = 0x4 | 0x40; // MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    // SAFETY: the empty paths are static, the descriptors borrowed for the length of the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            to.as_raw_fd(),
            c"".as_ptr(),
            EMPTY_PATHS,
        )
    })
    .map(drop)
}

/// mount_setattr(2) on the mount that `fd` is the root of.
pub fn mount_setattr(fd: BorrowedFd<'_>, depth: Depth, attr: &MountAttr) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if depth == Depth::Recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: attr has the layout of struct mount_attr and its size is given; all is borrowed for the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// A file system being configured, fsopen(2).
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// fsopen(2) of a file system type.
    pub fn open(kind: &CStr) -> io::Result<Self> {
        const FSOPEN_CLOEXEC: u32 = 1;
        // SAFETY: kind is NUL-terminated and borrowed for the length of the call.
        new_fd(check(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })).map(Self)
    }

    /// fspick(2): the file system that is mounted at `fd`, to be configured anew.
    pub fn pick(fd: BorrowedFd<'_>) -> io::Result<Self> {
        const FSPICK_CLOEXEC_EMPTY_PATH: u32 = 0x1 | 0x8;
        // SAFETY: the empty path is static, fd borrowed for the length of the call.
        new_fd(check(unsafe {
            libc::syscall(libc::SYS_fspick, fd.as_raw_fd(), c"".as_ptr(), FSPICK_CLOEXEC_EMPTY_PATH)
        }))
        .map(Self)
    }

    /// Puts new parameters of a picked file system into force.
    pub fn reconfigure(&self) -> io::Result<()> {
        self.config(7, None, None) // FSCONFIG_CMD_RECONFIGURE
    }

    fn config(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
        let key = key.map_or(std::ptr::null(), CStr::as_ptr);
        let value = value.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: key and value are null or NUL-terminated strings borrowed by our callers for the call's length.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) })
            .map(drop)
    }

    /// Sets a parameter without a value, such as `ro`.
    pub fn set_flag(&self, key: &CStr) -> io::Result<()> {
        self.config(0, Some(key), None)
    }

    /// Sets a parameter, such as `size` to `64m`.
    pub fn set_string(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        self.config(1, Some(key), Some(value))
    }

    /// Makes the superblock and a detached mount of it with the given per-mount attributes.
    pub fn mount(&self, attributes: u64) -> io::Result<OwnedFd> {
        const FSMOUNT_CLOEXEC: u32 = 1;
        self.config(6, None, None)?; // FSCONFIG_CMD_CREATE
        let fd = self.0.as_raw_fd();
        // SAFETY: the call takes three integers.
        new_fd(check(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes) }))
    }

    /// What the file system had to say about the last failure (`tmpfs: Bad value for 'size'`), if anything.
    pub fn complaint(self) -> Option<String> {
        let mut text = [0; 256];
        let length = std::fs::File::from(self.0).read(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text[..length]).trim_end().to_owned();
        Some(text.strip_prefix("e ").map(ToOwned::to_owned).unwrap_or(text)).filter(|t| !t.is_empty())
    }
}

/// pivot_root(".", "."), which needs no directory to put the old root in: it ends up mounted over the new one.
pub fn pivot_root_here() -> io::Result<()> {
    // SAFETY: both paths are static NUL-terminated strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// Makes a directory the root and the working directory, chroot(2).
pub fn change_root(root: BorrowedFd<'_>) -> nix::Result<()> {
    nix::unistd::fchdir(root)?;
    nix::unistd::chroot(".")?;
    nix::unistd::chdir("/")
}

/// umount2(2) with MNT_DETACH, not following a symbolic link at the end of `path`.
pub fn umount_detach(path: &CStr) -> io::Result<()> {
    // SAFETY: path is NUL-terminated and borrowed for the length of the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) }.into()).map(drop)
}

/// An O_PATH descriptor of `path` on the host.
pub fn open_path(path: &CStr) -> io::Result<OwnedFd> {
    open_tree(cwd(), path, None)
}

/// The current directory as a descriptor argument (AT_FDCWD).
pub fn cwd() -> BorrowedFd<'static> {
    nix::fcntl::AT_FDCWD.as_fd()
}
