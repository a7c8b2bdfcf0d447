//! Finding the program, waiting for `start`, and becoming the program.

use super::Init;
use crate::error::{Context, Error, Kind, Result};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::{self, process, seccomp};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::AccessFlags;
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Finds the program as the user will, and replaces the first argument's meaning by an absolute path.
///
/// The texts are those that docker matches to tell 127 (not found) from 126 (not executable).
pub fn find(init: &mut Init) -> Result<()> {
    let process = &init.plan.process;
    // Without a process in the config; it cannot be started.
    let Some(name) = process.args.first() else { return Ok(()) };
    let name = OsStr::from_bytes(name.as_bytes());
    let title = || format!("exec: {name:?}");
    if name.as_bytes().contains(&b'/') {
        return check(Path::new(name)).context(title);
    }
    let path = process.env.iter().find_map(|pair| pair.as_bytes().strip_prefix(b"PATH="));
    let mut denied = None;
    // Without a PATH nothing is searched, nor for an empty name, which would be the directories themselves; an empty
    // element of PATH means the working directory, execvp(3).
    let path = path.filter(|path| !path.is_empty() && !name.is_empty());
    for directory in path.into_iter().flat_map(|path| path.split(|b| *b == b':')) {
        let directory =
            if directory.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(directory)) };
        let candidate = directory.join(name);
        match check(&candidate) {
            Ok(()) => return remember(init, &candidate),
            Err(error) if error.errno() == Some(libc::ENOENT) || error.errno() == Some(libc::ENOTDIR) => {}
            Err(error) => denied = denied.or(Some(error)),
        }
    }
    let missing = || {
        Error::new(Kind::NoProgram, "executable file not found in $PATH")
            .hint("correct the command, or PATH in its environment; a path with a / needs none")
    };
    Err(denied.unwrap_or_else(missing)).context(title)
}

fn remember(init: &mut Init, path: &Path) -> Result<()> {
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::user("the path holds a NUL byte"))?;
    init.plan.process.program = Some(path);
    Ok(())
}

/// Whether the user may execute the file; it must be a regular one.
fn check(path: &Path) -> Result<()> {
    let title = || format!("{path:?}");
    let stat = blamed(nix::sys::stat::stat(path).map_err(Into::into), title)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
        return blamed(Err(std::io::Error::from_raw_os_error(libc::EISDIR)), title);
    }
    let access = nix::unistd::faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS);
    blamed(access.map_err(Into::into), title)
        .map_err(|e| e.hint("make it executable for the container's user, on a mount without noexec"))
}

/// Adds the noun, and says whether the program is to blame, as shells tell 127 and 126 from trouble of the host's.
fn blamed<T>(result: std::io::Result<T>, title: impl FnOnce() -> String) -> Result<T> {
    let kind = match result.as_ref().err().and_then(std::io::Error::raw_os_error) {
        Some(libc::ENOENT | libc::ENOTDIR) => Kind::NoProgram,
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EIO) => Kind::Host,
        _ => Kind::NotExecutable,
    };
    result.context_as(kind, title)
}

/// Blocks until `start` writes a byte. The FIFO is open for writing here too, so that its end never comes.
pub fn wait_for_start(fifo: &OwnedFd) -> Result<()> {
    let mut byte = [0];
    loop {
        match nix::unistd::read(fifo, &mut byte) {
            Ok(1) => return Ok(()),
            // Only a seccomp filter that answers in the kernel's place can say so.
            Ok(_) => return Err(Error::user("cannot wait for start: read(2) does not read (linux.seccomp)")),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context(|| "cannot wait for start"),
        }
    }
}

/// Closes everything but the standard streams, what is to be preserved, the link and the FIFO, whoever opened it: the
/// caller may have leaked descriptors into us (CVE-2024-21626), and init may wait for `start` for a long time.
pub fn close_descriptors(init: &mut Init) -> Result<()> {
    let mut kept = vec![init.plan.link.as_fd()];
    kept.extend(init.plan.fifo.as_ref().map(AsFd::as_fd));
    // The plan still names some that are closed here; nothing uses them from here on, and init never returns to drop
    // the plan.
    process::close_all_but(3, &kept, &init.plan.process.preserved_fds).context(|| "close_range")
}

/// Loads the filter, where there is one, and waits until its listener has been handed on.
pub fn load_filter(init: &mut Init) -> Result<()> {
    let Some(filter) = &init.plan.process.seccomp else { return Ok(()) };
    let listener = seccomp::load(&filter.program, filter.flags).context(|| "seccomp (linux.seccomp)");
    let listener = listener.map_err(|error| match error.errno() {
        Some(libc::EBUSY) => {
            error.hint("a filter of podrun's own caller has a listener already: there can be but one")
        }
        _ => error,
    })?;
    let Some(listener) = listener else { return Ok(()) };
    // The kernel answers nothing that is to be notified until somebody listens: only write(2) is known not to be.
    let link = &init.plan.link;
    link.send(&FromInit::Listener(listener.as_raw_fd())).context(|| "cannot talk to the command")?;
    match link.receive()? {
        Some(ToInit::ListenerTaken) => Ok(()), // this process keeps no copy
        Some(ToInit::GoAlong | ToInit::Go | ToInit::HooksDone | ToInit::MapsWritten) => {
            Err(Error::new(Kind::Protocol, "the command spoke out of turn"))
        }
        None => process::exit_now(1), // the command died, and nobody answers
    }
}

/// Becomes the program.
///
/// # Errors
/// When it cannot be executed after all.
pub fn program(init: &mut Init) -> Result<Infallible> {
    process::reset_signals().context(|| "cannot reset signals")?;
    if init.plan.process.loads_filter_last() {
        // The last thing before exec: the filter need not allow anything else.
        load_filter(init)?;
    }
    let process = &init.plan.process;
    let Some(path) = process.program.as_ref().or_else(|| process.args.first()) else {
        return Err(Error::user("there is no command"));
    };
    // "exec /the/path: what is wrong" is what people know from other runtimes, and look for.
    let title = || format!("cannot exec {}", path.to_string_lossy().escape_debug());
    blamed(sys::exec::by_path(path, &process.args, &process.env), title).map_err(|error| {
        match error.errno() {
            Some(libc::ENOENT) => error.hint(
                "the file is there, so its interpreter (#! line or ELF loader) is missing in the image",
            ),
            Some(libc::ENOEXEC) => {
                error.hint("it is neither a program for this architecture nor a script with a #! line")
            }
            _ => error,
        }
    })
}

/// The exit code of an init that could not execute its program, as shells have it.
pub fn exit_code(error: &Error) -> i32 {
    match error.kind() {
        Kind::NoProgram => 127,
        Kind::Hook => 1,
        _ => 126,
    }
}
