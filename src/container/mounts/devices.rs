//! Device files and the links that programs expect in /dev.

use super::plan::Device;
use super::root::Root;
use crate::error::{Context, Error, Result};
use crate::sys::fs::Resolve;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use std::os::fd::AsFd;
use std::path::Path;

/// Makes the device files. The caller has set the umask to 0.
///
/// # Errors
/// When something else of that name is in the image: a link or file there could send a container's writes elsewhere
/// (CVE-2026-41579), so it is never used as if it were the device.
pub fn make(root: &Root, devices: &[Device]) -> Result<()> {
    let mut last = None;
    for device in devices {
        let title = || format!("cannot create device {:?}", device.path.display().to_string());
        let (Some(parent), Some(name)) = (device.path.parent(), device.path.file_name()) else {
            return Err(Error::user("not a path of a file")).context(title);
        };
        // Nearly all devices are in /dev: its descriptor is kept from one to the next.
        if last.as_ref().is_none_or(|(path, _)| *path != parent) {
            last = Some((parent, root.make_directories(parent).context(title)?));
        }
        let Some((_, directory)) = &last else { continue };
        let kind = SFlag::from_bits_truncate(device.kind);
        let number = makedev(device.number.0.into(), device.number.1.into());
        match mknodat(directory, name, kind, Mode::from_bits_truncate(device.mode), number) {
            Ok(()) => {}
            Err(nix::errno::Errno::EEXIST) => {
                let found =
                    nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).context(title)?;
                let same = found.st_mode & libc::S_IFMT == device.kind
                    && (device.kind == libc::S_IFIFO || found.st_rdev == number);
                if !same {
                    return Err(
                        Error::user("the image has something else there").hint("mount a tmpfs at /dev")
                    )
                    .context(title);
                }
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
    for (name, target) in LINKS {
        if name == "core" && !Path::new(target).exists() {
            continue; // a kernel without /proc/kcore
        }
        match nix::unistd::symlinkat(target, dev.as_fd(), name) {
            // The image's own file of that name harms nobody but itself: podrun never opens these.
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error).context(|| format!("cannot create the link /dev/{name}")),
        }
    }
    Ok(())
}
