//! `tmpcopyup`: filling a new tmpfs with what the image has at its destination.
//!
//! The image is an attacker's, and another container may change it meanwhile: everything is opened by name in a directory
//! that is open already, no link is followed, no other mount is entered, and the copy is bounded by the size of the tmpfs,
//! which counts for the container's memory, and by [`MOST_LEVELS`].

use crate::error::{Context, Error, Result};
use crate::sys::fs::{Resolve, open_in};
use crate::sys::{tree, xattr};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens, mkdirat, mknodat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Whence, fchown, fchownat, symlinkat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// Deepest tree that is copied: two descriptors are open for each level.
const MOST_LEVELS: usize = 128;

/// Copies all that is in the directory `from` into the tmpfs `to`, whose own mode and owner become the directory's unless
/// `parameters` name others.
///
/// # Errors
/// Names what cannot be copied; the tmpfs may be full.
pub fn fill(from: BorrowedFd<'_>, to: BorrowedFd<'_>, parameters: &[String]) -> Result<()> {
    let title = || "cannot copy what the image has there (tmpcopyup)";
    let directory = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let from = openat(from, ".", directory, Mode::empty()).context(title)?;
    let to = openat(to, ".", directory, Mode::empty()).context(title)?;
    copy_directory(from.as_fd(), to.as_fd(), MOST_LEVELS).context(title).map_err(hint)?;
    let mut stat = fstat(&from).context(title)?;
    let given = fstat(&to).context(title)?;
    let named = |name: &str| parameters.iter().any(|parameter| parameter.starts_with(name));
    if named("mode=") {
        stat.st_mode = given.st_mode;
    }
    if named("uid=") {
        stat.st_uid = given.st_uid;
    }
    if named("gid=") {
        stat.st_gid = given.st_gid;
    }
    dress(from.as_fd(), to.as_fd(), &stat).context(title).map_err(hint)
}

fn hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOSPC) => error.hint("the tmpfs is too small for it: raise its size= or nr_inodes="),
        _ => error,
    }
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, levels: usize) -> Result<()> {
    let entries = std::fs::read_dir(tree::short_path(from)).context(|| "cannot read a directory")?;
    for entry in entries {
        let name = entry.context(|| "cannot read a directory")?.file_name();
        let title = format!("{name:?}");
        let name = CString::new(name.into_vec()).map_err(io::Error::other).context(|| title.clone())?;
        match fstatat(from, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => copy_entry(from, to, &name, &stat, levels).context(|| title)?,
            Err(Errno::ENOENT) => {} // it went meanwhile
            Err(error) => return Err(error).context(|| title),
        }
    }
    Ok(())
}

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &FileStat,
    levels: usize,
) -> Result<()> {
    let title = || "cannot copy it";
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            let Some(levels) = levels.checked_sub(1) else {
                return Err(Error::user(format!("more than {MOST_LEVELS} directories deep")));
            };
            mkdirat(to, name, Mode::S_IRWXU).context(title)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let made = openat(to, name, flags, Mode::empty()).context(title)?;
            let Some(found) = open(from, name, libc::O_DIRECTORY).context(title)? else {
                return dress_as(made.as_fd(), stat).context(title);
            };
            copy_directory(found.as_fd(), made.as_fd(), levels)?;
            dress(found.as_fd(), made.as_fd(), stat).context(title)
        }
        libc::S_IFREG => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let made = openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).context(title)?;
            let Some(found) = open(from, name, 0).context(title)? else {
                return dress_as(made.as_fd(), stat).context(title);
            };
            let made = File::from(made);
            copy_content(&mut File::from(found.try_clone().context(title)?), &made).context(title)?;
            dress(found.as_fd(), made.as_fd(), stat).context(title)
        }
        libc::S_IFLNK => {
            let leads_to = readlinkat(from, name).context(title)?;
            symlinkat(leads_to.as_os_str(), to, name).context(title)?;
            own(to, name, stat).context(title)
        }
        kind => {
            // Devices, pipes, sockets. Which devices may be opened is the cgroup's to say, wherever their files are.
            let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
            mknodat(to, name, SFlag::from_bits_truncate(kind), mode, stat.st_rdev).context(title)?;
            own(to, name, stat).context(title)
        }
    }
}

/// Opens a file or directory for reading; `None` when another mount covers it or it is no such thing any more.
fn open(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> io::Result<Option<OwnedFd>> {
    let flags = flags | libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let found = match open_in(directory, name, flags, 0, Resolve::OneMount) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT | libc::ELOOP)) => {
            return Ok(None);
        }
        found => found?,
    };
    let is_file = fstat(&found)?.st_mode & libc::S_IFMT == libc::S_IFREG;
    Ok((is_file || flags & libc::O_DIRECTORY != 0).then_some(found))
}

/// Copies the parts of a file that hold data: a hole of terabytes costs nothing here either.
fn copy_content(from: &mut File, mut to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    let seek = |file: &File, offset: u64, whence| -> io::Result<Option<u64>> {
        match nix::unistd::lseek(file, i64::try_from(offset).map_err(io::Error::other)?, whence) {
            Ok(found) => Ok(u64::try_from(found).ok()),
            Err(Errno::ENXIO) => Ok(None), // no data after it
            Err(error) => Err(error.into()),
        }
    };
    let mut offset = 0;
    while offset < length {
        let Some(start) = seek(from, offset, Whence::SeekData)? else { break };
        let end = seek(from, start, Whence::SeekHole)?.unwrap_or(length).min(length);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut Read::by_ref(from).take(end.saturating_sub(start)), &mut to)?;
        offset = end.max(start + 1);
    }
    to.set_len(length)
}

/// Gives a copy the owner, mode, times and attributes of the original.
fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &FileStat) -> io::Result<()> {
    fchown(to, Some(stat.st_uid.into()), Some(stat.st_gid.into()))?;
    copy_attributes(from, to)?;
    // After the owner, whose change takes set-user-ID off.
    fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    Ok(futimens(to, &accessed(stat), &modified(stat))?)
}

/// Likewise for what stands in the place of something that cannot be looked into.
fn dress_as(to: BorrowedFd<'_>, stat: &FileStat) -> io::Result<()> {
    fchown(to, Some(stat.st_uid.into()), Some(stat.st_gid.into()))?;
    Ok(fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o7777))?)
}

fn own(directory: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> io::Result<()> {
    let (uid, gid) = (Some(stat.st_uid.into()), Some(stat.st_gid.into()));
    Ok(fchownat(directory, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

fn accessed(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_atime, stat.st_atime_nsec)
}

fn modified(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}

/// Copies extended attributes: file capabilities, ACLs, and what users set, as far as a tmpfs takes them.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let names = match xattr::list(from) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
        names => names?,
    };
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        // Marks of overlayfs belong to its layers.
        if name.to_bytes().starts_with(b"trusted.overlay.") {
            continue;
        }
        match xattr::set(to, name, &xattr::get(from, name)?) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            set => set?,
        }
    }
    Ok(())
}
