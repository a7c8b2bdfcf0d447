//! The container's terminal: made inside, so that it belongs to the container's devpts; the master goes out by socket.

use super::Init;
use crate::error::{Context, Result};
use crate::sys::fs::{Resolve, open_in};
use crate::sys::mount::{self, Depth};
use crate::sys::process::become_stdio;
use crate::sys::{inherit, pty, socket};
use nix::sys::stat::FileStat;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const PTMX: &CStr = c"dev/pts/ptmx";

/// Makes a pseudo-terminal in the container's /dev/pts, sends its master, and binds the slave to /dev/console.
pub fn make(init: &mut Init) -> Result<()> {
    let Some(terminal) = &init.plan.process.terminal else { return Ok(()) };
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let hint = "mount a devpts file system at /dev/pts";
    let master = match &init.root {
        Some(root) => open_in(root.fd(), PTMX, flags, 0, Resolve::NoSymlinks),
        // exec: this process is in the container's mount namespace already, and `/` is its root.
        None => {
            let root = mount::open_path(c"/").context(|| "cannot open the root")?;
            open_in(root.as_fd(), PTMX, flags, 0, Resolve::NoSymlinks)
        }
    }
    .context(|| "cannot open /dev/pts/ptmx in the container")
    .map_err(|error| error.hint(hint))?;
    pty::unlock(master.as_fd()).context(|| "cannot unlock the terminal")?;
    let slave = pty::open_slave(master.as_fd()).context(|| "cannot open the terminal's slave")?;
    let number = pty::slave_number(master.as_fd()).context(|| "cannot number the terminal")?;
    if let Some((rows, columns)) = terminal.size {
        pty::set_size(master.as_fd(), rows, columns)
            .context(|| "cannot set the terminal's size (process.consoleSize)")?;
    }
    let name = format!("/dev/pts/{number}");
    socket::send_descriptor(terminal.socket.as_fd(), name.as_bytes(), master.as_fd())
        .context(|| "cannot send the terminal to the console socket")?;
    if let Some(root) = &init.root {
        bind_console(root, &slave)?;
    }
    init.console = Some(slave);
    Ok(())
}

/// Binds the slave over /dev/console, an empty file that was made for it; never over a link (CVE-2025-52565).
fn bind_console(root: &super::super::mounts::root::Root, slave: &OwnedFd) -> Result<()> {
    let title = || "cannot bind the terminal to /dev/console";
    let dev = root.find(Path::new("/dev"), Resolve::InRoot).context(title)?;
    let target = match open_in(dev.as_fd(), c"console", libc::O_PATH, 0, Resolve::NoSymlinks) {
        // The host's /dev, in which nothing is made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.context(title)?,
    };
    // By the host's procfs: a detached copy needs a path-like source, and the slave is one by its own mount.
    let source = mount::open_tree(slave.as_fd(), c"", Some(Depth::One)).context(title)?;
    mount::move_mount(source.as_fd(), target.as_fd()).context(title)
}

/// Makes the slave the controlling terminal and the standard streams, and gives it to the user; without a terminal,
/// makes the descriptors that were given the standard streams.
pub fn adopt(init: &mut Init) -> Result<()> {
    let process = &mut init.plan.process;
    let Some(slave) = init.console.take() else {
        let Some(stdio) = process.stdio.take() else { return Ok(()) };
        return become_stdio([stdio.stdin.as_fd(), stdio.stdout.as_fd(), stdio.stderr.as_fd()])
            .context(|| "cannot make what was given the standard streams");
    };
    pty::set_controlling(slave.as_fd()).context(|| "cannot make it the controlling terminal")?;
    pty::become_stdio(slave.as_fd()).context(|| "cannot make it the standard streams")?;
    // Mode and group stay as devpts gave them; a program must be able to open its own terminal again.
    nix::unistd::fchown(&slave, Some(process.uid.into()), None).context(|| "cannot give it to the user")
}

/// Gives the standard streams to the user, who may want to open them again by /dev/stdout and its kin. Not what cannot
/// change its owner (a pipe of another user namespace, a read-only file system): the program can use the descriptors
/// all the same. Nor the null device, which is everybody's: it is replaced by the container's own, since whoever has the
/// host's open may change its mode for all.
pub fn give_streams(init: &mut Init) -> Result<()> {
    let uid = init.plan.process.uid;
    let mut nulls = Vec::new();
    for (fd, place) in
        [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()].into_iter().zip(0..)
    {
        let stat = nix::sys::stat::fstat(fd).context(|| "cannot stat a standard stream")?;
        if is_null_device(&stat) {
            nulls.push(place);
            continue;
        }
        if stat.st_uid == uid {
            continue;
        }
        match nix::unistd::fchown(fd, Some(uid.into()), None) {
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::EPERM | nix::errno::Errno::EROFS) => {
            }
            Err(error) => return Err(error).context(|| "cannot change its owner"),
        }
    }
    if nulls.is_empty() { Ok(()) } else { replace_nulls(&nulls).context(|| "cannot replace the null device") }
}

/// Puts the container's null device at these places. A container that has none reads from an empty pipe instead, and
/// keeps what it was given to write to.
fn replace_nulls(places: &[i32]) -> std::io::Result<()> {
    let root = mount::open_path(c"/")?;
    // No link, which could lead to the very descriptor that is to be replaced.
    let own = open_in(root.as_fd(), c"dev/null", libc::O_RDWR | libc::O_NOCTTY, 0, Resolve::NoSymlinks).ok();
    match own.filter(|own| nix::sys::stat::fstat(own).is_ok_and(|stat| is_null_device(&stat))) {
        Some(own) => places.iter().try_for_each(|place| inherit::put(own.as_fd(), *place)),
        None if places.contains(&0) => {
            let (empty, _) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
            inherit::put(empty.as_fd(), 0)
        }
        None => Ok(()),
    }
}

fn is_null_device(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3)
}
