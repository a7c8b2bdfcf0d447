//! Opening and making files by descriptor, below a root that may be hostile.

use super::{check, int};
use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// How far a path may lead, openat2(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// Symbolic links are followed, but `/` and `..` never lead above the directory given. No magic links.
    InRoot,
    /// As `InRoot`, and no symbolic link at all, also not at the end.
    NoSymlinks,
    /// As `NoSymlinks`, and never onto another mount.
    OneMount,
}

/// openat2(2) with `O_CLOEXEC`; `mode` matters with `O_CREAT` only. Retries the EAGAIN of a racing rename.
pub fn open_in(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: Resolve,
) -> io::Result<OwnedFd> {
    const ATTEMPTS: u32 = 128;
    // SAFETY: open_how is plain integers, for which all zeroes is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    how.mode = u64::from(mode);
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    how.resolve |= match resolve {
        Resolve::InRoot => 0,
        Resolve::NoSymlinks => libc::RESOLVE_NO_SYMLINKS,
        Resolve::OneMount => libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV,
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        // SAFETY: path and how live until the call returns, and the size of how is given.
        let result = check(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
            // SAFETY: openat2 returned a new descriptor that nobody else owns.
            Ok(raw) => return Ok(unsafe { OwnedFd::from_raw_fd(int(raw)?) }),
        }
    }
}

/// Opens a file of the host for reading or writing; never creates, never truncates.
pub fn open_existing(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let flags = nix::fcntl::OFlag::from_bits_truncate(flags) | nix::fcntl::OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?)
}

/// What names a place for as long as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    mount: u64,
    // Of one mount, subvolumes of btrfs have devices of their own, and the same inode as the root.
    device: (u32, u32),
    inode: u64,
}

/// Where `path` is (statx(2), Linux 5.8). An empty path means `dir` itself.
pub fn place(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<Place> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT | libc::AT_SYMLINK_NOFOLLOW;
    let wanted = libc::STATX_MNT_ID | libc::STATX_INO;
    // SAFETY: statx is plain integers, for which all zeroes is a valid value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: path and found live until the call returns; dir is borrowed for its length.
    check(unsafe { libc::statx(dir.as_raw_fd(), path.as_ptr(), flags, wanted, &raw mut found) }.into())?;
    let device = (found.stx_dev_major, found.stx_dev_minor);
    Ok(Place { mount: found.stx_mnt_id, device, inode: found.stx_ino })
}

/// Writes a whole value into an existing file of /proc, /sys or a cgroup, in one write, as the kernel wants.
pub fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    write_all_at_once(open_existing(path, libc::O_WRONLY)?.as_fd(), value.as_bytes())
}

/// One write(2) that must take everything.
pub fn write_all_at_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    match nix::unistd::write(fd, bytes)? {
        length if length == bytes.len() => Ok(()),
        length => Err(io::Error::other(format!("only {length} of {} bytes were taken", bytes.len()))),
    }
}

/// Makes an anonymous file with the given content that nobody can change any more (memfd_create(2), F_ADD_SEALS).
pub fn sealed_memfd(name: &CStr, mut content: impl io::Read) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: name is NUL-terminated and borrowed for the length of the call.
    let create = |flags| check(unsafe { libc::memfd_create(name.as_ptr(), flags) }.into());
    // Where the sysctl vm.memfd_noexec is set, an executable one must be asked for; kernels before 6.3 cannot.
    let raw = create(flags | libc::MFD_EXEC).or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => create(flags),
        _ => Err(error),
    })?;
    // SAFETY: memfd_create returned a new descriptor that nobody else owns.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(int(raw)?) });
    io::copy(&mut content, &mut file)?;
    file.flush()?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: F_ADD_SEALS takes an integer.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into())?;
    Ok(file.into())
}

/// Whether `fd` is a memfd sealed against writing.
pub fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GET_SEALS takes no argument; it fails with EINVAL on files that have no seals.
    let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & libc::F_SEAL_WRITE != 0
}

/// How many bytes wait in a pipe or FIFO to be read, asked by either end (FIONREAD, pipe(7)).
pub fn unread_bytes(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut count: libc::c_uint = 0;
    // SAFETY: FIONREAD writes an int that lives until the call returns.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) }.into())?;
    Ok(count)
}

/// Whether descriptor `fd` is open and was inherited: what podrun opens itself is close-on-exec.
pub fn is_inherited(fd: i32) -> bool {
    // SAFETY: F_GETFD takes no argument and fails with EBADF on a closed descriptor.
    unsafe { libc::fcntl(fd, libc::F_GETFD) == 0 }
}

/// Whether descriptor `fd` is open in this process.
pub fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD takes no argument and fails with EBADF on a closed descriptor.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}
