//! Keeping the host's podrun out of a container's reach (CVE-2019-5736).
//!
//! While podrun:init stands inside a container, /proc/PID/exe there is our executable, and a root process of the
//! container can open it for writing once we are gone from it. That a binary is static or not dumpable does not help.
//! So whatever starts something in a container first continues from a view of itself that nobody can write: in a
//! detached read-only overlay, else a detached read-only copy of its mount, or a sealed memfd where the kernel refuses
//! both. The descriptor of the view is close-on-exec: while one were open, the flag could be cleared through it.
//!
//! The other commands (`state`, `kill`, `delete`, ...) never have a process in a container's namespaces, and do not pay.

use crate::error::{Context, Error, Result};
use crate::programs;
use crate::supervisor::spawn::{Executable, SUPERVISOR};
use crate::sys::{exec, fs, process};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const SELF: &str = "/proc/self/exe";

/// Makes sure that our executable cannot be written, if need be by executing it again from such a view, with the same
/// arguments and environment but for the first word, which becomes the executable's path (a supervisor keeps its own);
/// in that case this does not return. Then makes the process not dumpable.
///
/// # Errors
/// When /proc is missing, or the executable is writable still although this is the second time.
pub fn ensure() -> Result<()> {
    if !cannot_be_written().context(|| "cannot look at our own executable, /proc/self/exe")? {
        if is_second_time() {
            return Err(Error::host(
                "cannot protect podrun's executable: it is writable in a read-only view too",
            ));
        }
        let view = read_only_view().context(|| "cannot make a read-only view of podrun's executable")?;
        return execute(&view).context(|| "cannot execute podrun from a read-only view");
    }
    if is_second_time() {
        // execveat(2) names the process after the descriptor's number.
        process::set_name(c"podrun").context(|| "cannot set the process's name")?;
    }
    process::set_not_dumpable().context(|| "cannot make the process not dumpable")
}

/// Our own executable: a view that nobody can write, and the path that it was first started by.
///
/// # Errors
/// When /proc is missing, or no view can be made.
pub fn executable() -> Result<Executable> {
    let doing = || "cannot look at our own executable, /proc/self/exe";
    // Seen from a view, the file has no path any more: whoever continues from one keeps it as the first word.
    let path = match is_second_time() {
        true => std::env::args_os().next().map(PathBuf::from).unwrap_or_default(),
        false => std::fs::read_link(SELF).context(doing)?,
    };
    if !path.is_absolute() {
        return Err(
            Error::host("cannot tell where podrun's executable lies").hint("start podrun by its path")
        );
    }
    let view = match cannot_be_written().context(doing)? {
        true => own_file().context(doing)?,
        false => read_only_view().context(|| "cannot make a read-only view of podrun's executable")?,
    };
    Ok(Executable { path, view })
}

/// execveat(2) of a descriptor leaves this path in the auxiliary vector.
fn is_second_time() -> bool {
    process::exec_path().is_some_and(|path| path.to_bytes().starts_with(b"/dev/fd/"))
}

fn cannot_be_written() -> io::Result<bool> {
    let mount = nix::sys::statvfs::statvfs(SELF)?;
    if mount.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
        return Ok(true);
    }
    // A memfd is never what a caller executes by itself, so the first time saves the question.
    Ok(is_second_time() && fs::is_sealed(own_file()?.as_fd()))
}

fn own_file() -> io::Result<OwnedFd> {
    fs::open_existing(Path::new(SELF), libc::O_RDONLY)
}

/// The overlay comes first, since only there nobody can keep the host from executing podrun; a read-only mount of the
/// file itself where there is no overlayfs, or podrun was replaced or removed since it was started.
fn read_only_view() -> io::Result<OwnedFd> {
    let file = own_file()?;
    let path = std::fs::read_link(SELF)?;
    programs::overlay_view(&path)
        .and_then(|view| same_file(file.as_fd(), view))
        // Refused without CAP_SYS_ADMIN, and where the executable is on no mount of our namespace.
        .or_else(|_| programs::read_only_view(file.as_fd()))
        .or_else(|_| fs::sealed_memfd(c"podrun", std::fs::File::from(file)))
}

/// The view, if it shows the file that is running: overlayfs keeps size and times.
fn same_file(file: BorrowedFd<'_>, view: OwnedFd) -> io::Result<OwnedFd> {
    let (ours, theirs) = (nix::sys::stat::fstat(file)?, nix::sys::stat::fstat(&view)?);
    let identity = |stat: &nix::sys::stat::FileStat| {
        (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime_nsec)
    };
    if identity(&ours) == identity(&theirs) { Ok(view) } else { Err(io::Error::other("another file by now")) }
}

fn execute(view: &OwnedFd) -> io::Result<()> {
    let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::other);
    let mut words = std::env::args_os();
    // What was the first word says nothing but that this is a supervisor, which knows the path by another word.
    let first = match words.next() {
        Some(word) if word == SUPERVISOR => word,
        _ => std::fs::read_link(SELF)?.into_os_string(),
    };
    let arguments = std::iter::once(first).chain(words).map(text).collect::<io::Result<Vec<_>>>()?;
    let environment = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(name)
        })
        .collect::<io::Result<Vec<_>>>()?;
    exec::by_fd(view.as_fd(), &arguments, &environment).map(|never| match never {})
}
