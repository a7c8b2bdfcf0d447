//! Device files and the links that programs expect in /dev.

use super::plan::{Device, c_path};
use super::root::Root;
use crate::error::{Context, Error, Result};
use crate::sys::fs::{Resolve, open_in};
use crate::sys::mount;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{self, FileStat, Mode, SFlag, makedev, mknodat};
use nix::unistd::UnlinkatFlags;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes the device files, or shows those that are there already: `nodes` are detached mounts of them, or none. The caller
/// has set the umask to 0.
///
/// # Errors
/// When something else of that name is in the image: a link or file there could send a container's writes elsewhere
/// (CVE-2026-41579), so it is never used as if it were the device.
pub fn make(root: &Root, devices: &[Device], nodes: &[OwnedFd]) -> Result<()> {
    let mut last = None;
    for (index, device) in devices.iter().enumerate() {
        let title = || format!("cannot create device {:?}", device.path.display().to_string());
        let (Some(parent), Some(name)) = (device.path.parent(), device.path.file_name()) else {
            return Err(Error::user("not a path of a file")).context(title);
        };
        // Nearly all devices are in /dev: its descriptor is kept from one to the next.
        if last.as_ref().is_none_or(|(path, _)| *path != parent) {
            last = Some((parent, root.make_directories(parent).context(title)?));
        }
        let Some((_, directory)) = &last else { continue };
        if let Some(node) = nodes.get(index) {
            show(node, directory.as_fd(), name).context(title)?;
            continue;
        }
        let kind = SFlag::from_bits_truncate(device.kind);
        let number = makedev(device.number.0.into(), device.number.1.into());
        match mknodat(directory, name, kind, Mode::from_bits_truncate(device.mode), number) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let found =
                    nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).context(title)?;
                compare(device, &found)
                    .context(title)
                    .map_err(|error| error.hint("mount a tmpfs at /dev"))?;
            }
            Err(error) => return Err(error).context(title),
        }
        if (device.uid, device.gid) != (0, 0) {
            let (uid, gid) = (Some(device.uid.into()), Some(device.gid.into()));
            nix::unistd::fchownat(directory, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).context(title)?;
        }
    }
    Ok(())
}

/// Whether the image has the device already; the words are those that runc's users know.
fn compare(device: &Device, found: &FileStat) -> Result<()> {
    let path = device.path.display();
    if found.st_mode & libc::S_IFMT != device.kind {
        return Err(Error::user(format!("the image's {path} has incorrect ftype")));
    }
    let (major, minor) = device.number;
    if device.kind != libc::S_IFIFO && found.st_rdev != makedev(major.into(), minor.into()) {
        let rdev = found.st_rdev;
        return Err(Error::user(format!(
            "the image's {path} has incorrect major:minor: {}:{} doesn't match expected {major}:{minor}",
            stat::major(rdev),
            stat::minor(rdev)
        )));
    }
    Ok(())
}

/// Binds a device file over an empty file, which is made for it; never over a link.
fn show(node: &OwnedFd, directory: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    match mknodat(directory, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o666), 0) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
        Err(error) => return Err(error).context(|| "cannot create a file to bind it to"),
    }
    let target = open_in(directory, &c_path(Path::new(name))?, libc::O_PATH, 0, Resolve::NoSymlinks)
        .context(|| "cannot open the file to bind it to")
        .map_err(|error| error.hint("the image has something else there: mount a tmpfs at /dev"))?;
    mount::move_mount(node.as_fd(), target.as_fd()).context(|| "cannot bind it")
}

/// Makes an empty file that a terminal can be bound over: /dev may be read-only by the time that there is one.
pub fn make_console(root: &Root) -> Result<()> {
    let title = || "cannot create /dev/console";
    let dev = root.find(Path::new("/dev"), Resolve::InRoot).context(title)?;
    match mknodat(&dev, "console", SFlag::S_IFREG, Mode::from_bits_truncate(0o600), 0) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).context(title),
    }
}

/// Makes /dev/fd, stdin, stdout, stderr, core and ptmx.
pub fn make_links(root: &Root) -> Result<()> {
    const LINKS: [(&str, &str); 6] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ];
    let dev = root
        .find(Path::new("/dev"), Resolve::InRoot)
        .context(|| "cannot open /dev in the root file system")?;
    // Whatever the image has there, programs must get terminals of the container's own devpts.
    let ptmx = nix::fcntl::readlinkat(&dev, "ptmx");
    if ptmx.as_deref().map_or_else(|error| *error != Errno::ENOENT, |link| link != "pts/ptmx") {
        nix::unistd::unlinkat(&dev, "ptmx", UnlinkatFlags::NoRemoveDir)
            .context(|| "cannot remove the image's /dev/ptmx")?;
    }
    for (name, target) in LINKS {
        if name == "core" && !Path::new(target).exists() {
            continue; // a kernel without /proc/kcore
        }
        match nix::unistd::symlinkat(target, dev.as_fd(), name) {
            // The image's own file of that name harms nobody but itself: podrun never opens these.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error).context(|| format!("cannot create the link /dev/{name}")),
        }
    }
    Ok(())
}
