//! Making the root file system a mount, and entering it.

use super::inherited;
use super::opened::Opened;
use super::plan::{RootPlan, c_path};
use super::root::Root;
use crate::error::{Context, Error, Result};
use crate::sys::mount::{self, ATTR_RDONLY, Depth, MountAttr};
use crate::sys::{fs, ns};
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

fn propagate(fd: &OwnedFd, kind: u64, depth: Depth) -> std::io::Result<()> {
    mount::mount_setattr(fd.as_fd(), depth, &MountAttr { propagation: kind, ..MountAttr::default() })
}

/// Cuts our copy of the host's mounts off from the host, then makes the root file system a mount: the overlay that is
/// to lie there, or the directory bound onto itself.
///
/// # Errors
/// Those of the mount calls.
pub fn bind_root(plan: &RootPlan) -> Result<Root> {
    if let Some(opened) = &plan.opened {
        return attach_root(opened);
    }
    let host = mount::open_path(c"/").context(|| "cannot open the host's root")?;
    let shared = matches!(plan.propagation, Some((kind, _)) if kind == libc::MS_SHARED);
    if shared {
        // Mounts made in the container are to reach the host, so our copy stays in the host's peer group; only the
        // mount that the root file system lies on must not hand the container's root on.
        let below = mount_point_of(&mut mount_info()?, &plan.path)?;
        let below = mount::open_path(&c_path(&below)?).context(|| format!("cannot open {below:?}"))?;
        propagate(&below, libc::MS_PRIVATE, Depth::One)
            .context(|| "cannot make the root file system's parent private")?;
    } else {
        let kind = plan.propagation.map_or(libc::MS_SLAVE, |(kind, _)| kind);
        // Slaves still see what the host mounts later; with private they do not. Unbindable would forbid the copy
        // of the root file system that follows, so it is set at the end alone.
        let kind = if kind == libc::MS_PRIVATE { kind } else { libc::MS_SLAVE };
        propagate(&host, kind, Depth::Recursive).context(|| "cannot cut the mounts off from the host's")?;
    }
    let path = c_path(&plan.path)?;
    if let Some(overlay) = &plan.overlay {
        overlay.mount(&plan.path)?;
        let root = mount::open_path(&path).context(|| format!("cannot open {:?}", plan.path))?;
        return Ok(Root::new(root));
    }
    let title = || format!("cannot bind the root file system {:?}", plan.path);
    let place = mount::open_path(&path).context(title)?;
    let root = mount::open_tree(mount::cwd(), &path, Some(Depth::Recursive)).context(title)?;
    mount::move_mount(root.as_fd(), place.as_fd()).context(title)?;
    Ok(Root::new(root))
}

/// In a user namespace our copy of the host's mounts is cut off from the host's by the kernel (mount_namespaces(7)), and
/// the way to the root file system may be closed to us: it is attached where nobody has to go, over our copy of `/`.
fn attach_root(opened: &Opened) -> Result<Root> {
    let title = || "cannot attach the root file system";
    let host = mount::open_path(c"/").context(title)?;
    mount::move_mount(opened.root.as_fd(), host.as_fd()).context(title)?;
    opened.root.try_clone().map(Root::new).context(title)
}

/// The list of our mounts, which can be read again when procfs is no longer where it was.
fn mount_info() -> Result<File> {
    File::open("/proc/self/mountinfo").context(|| "cannot open /proc/self/mountinfo")
}

/// The mount point of the mount that `path` lies on.
fn mount_point_of(info: &mut File, path: &Path) -> Result<PathBuf> {
    points(info, |_| true)?
        .into_iter()
        .filter(|point| path.starts_with(point))
        .max_by_key(|point| point.as_os_str().len())
        .ok_or_else(|| Error::host(format!("cannot find the mount of {path:?}")))
}

/// What a line of mountinfo says of a mount.
struct Fields<'a> {
    root: &'a str,
    fstype: &'a str,
}

/// The mount points of those mounts that are `wanted`, from mountinfo.
fn points(info: &mut File, wanted: impl Fn(Fields<'_>) -> bool) -> Result<Vec<PathBuf>> {
    let mut text = String::new();
    let read = info.rewind().and_then(|()| info.read_to_string(&mut text));
    read.context(|| "cannot read /proc/self/mountinfo")?;
    let point = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(3);
        let (root, point) = (head.next()?, head.next()?);
        let fstype = tail.split(' ').next()?;
        wanted(Fields { root, fstype }).then(|| unescape(point))
    };
    Ok(text.lines().filter_map(point).collect())
}

/// mountinfo writes space, tab, newline and backslash as `\040` and so on, proc_pid_mountinfo(5).
fn unescape(text: &str) -> PathBuf {
    let plain =
        text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(plain)
}

/// Enters the root file system and lets go of the host's.
///
/// # Errors
/// Those of the mount calls.
pub fn enter(root: &Root, plan: &RootPlan) -> Result<()> {
    const OWN: &str = "/proc/self/ns/mnt";
    let namespace =
        fs::open_existing(Path::new(OWN), libc::O_RDONLY).context(|| format!("cannot open {OWN}"))?;
    if plan.no_pivot {
        chroot(root, plan)?;
    } else {
        // In a chroot, the namespace's own root would stay. Over that lies the new root already where it is `/`, and in
        // a user namespace, in which there is no chroot.
        if plan.opened.is_none() && plan.path != Path::new("/") {
            go_to_the_top(&namespace)?;
        }
        pivot(root)?;
    }
    let new = mount::open_path(c"/").context(|| "cannot open the new root")?;
    if plan.read_only {
        let attr = MountAttr { set: ATTR_RDONLY, ..MountAttr::default() };
        mount::mount_setattr(new.as_fd(), Depth::One, &attr)
            .context(|| "cannot make the root file system read-only")?;
    }
    if let Some((kind, depth)) = plan.propagation {
        // What is mounted below has its own by now (`plan::spread`).
        let depth = if kind == libc::MS_UNBINDABLE { depth } else { Depth::One };
        propagate(&new, kind, depth).context(|| "cannot set linux.rootfsPropagation")?;
    }
    if let Some(inherited) = &plan.inherited {
        return inherited::return_to(inherited);
    }
    // All that keeps the container from the host hangs on it, and `exec` will come in by the top.
    let entered = fs::place(mount::cwd(), c"/").context(|| "cannot stat the root")?;
    go_to_the_top(&namespace)?;
    if fs::place(mount::cwd(), c"/").context(|| "cannot stat the root")? == entered {
        return Ok(());
    }
    Err(Error::host("the container's root is not the root of its mount namespace")
        .hint("in a chroot, --no-pivot cannot be used; a hook must not mount anything over the root"))
}

/// Makes the root of our mount namespace, and what lies over it, our root and working directory.
fn go_to_the_top(namespace: &OwnedFd) -> Result<()> {
    ns::setns(namespace.as_fd(), libc::CLONE_NEWNS)
        .context(|| "cannot go to the root of the mount namespace")
        .map_err(|error| match error.errno() {
            Some(libc::EPERM) => error.hint("podrun needs CAP_SYS_CHROOT"),
            _ => error,
        })
}

/// pivot_root(2) without a directory for the old root: it ends up on top of the new one, and is taken off with what lies
/// over it. In a user namespace that is the root file system as it was attached first, if an entry of mounts has covered
/// that.
fn pivot(root: &Root) -> Result<()> {
    let old = mount::open_path(c"/").context(|| "cannot open the host's root")?;
    nix::unistd::fchdir(root.fd()).context(|| "cannot enter the root file system")?;
    mount::pivot_root_here().context(|| "cannot pivot into the root file system").map_err(
        |error| match error.errno() {
            Some(libc::EINVAL) => error
                .hint("on an initramfs or a shared parent mount the root cannot be pivoted; try --no-pivot"),
            _ => error,
        },
    )?;
    nix::unistd::chdir("/").context(|| "cannot enter the new root")?;
    // The unmounting below must not reach the host through a shared peer.
    propagate(&old, libc::MS_SLAVE, Depth::Recursive).context(|| "cannot cut off the host's root")?;
    while is_covered()? {
        mount::umount_detach(ABOVE).context(|| "cannot let go of the host's root")?;
    }
    Ok(())
}

/// Above a root is the root again, or what is mounted over it: paths cross that from above alone.
const ABOVE: &CStr = c"/..";

fn is_covered() -> Result<bool> {
    let place = |path| fs::place(mount::cwd(), path).context(|| "cannot stat the root");
    Ok(place(ABOVE)? != place(c"/")?)
}

/// The older way, for a host root that cannot be pivoted: the new root is moved over `/`, then chroot(2).
fn chroot(root: &Root, plan: &RootPlan) -> Result<()> {
    let host = mount::open_path(c"/").context(|| "cannot open the host's root")?;
    // What is moved onto a shared mount, or taken off one, would be so on the host as well.
    propagate(&host, libc::MS_SLAVE, Depth::One).context(|| "cannot cut off the host's root")?;
    take_off_full_views(&plan.path)?;
    nix::unistd::fchdir(root.fd()).context(|| "cannot enter the root file system")?;
    mount::move_mount(root.fd(), host.as_fd()).context(|| "cannot move the root file system")?;
    for _ in 0..root.covered() {
        // What it covered is still there, with all that was mounted in it by then.
        mount::umount_detach(&c_path(&plan.path)?).context(|| "cannot let go of the covered root")?;
    }
    nix::unistd::chroot(".").context(|| "cannot change the root")?;
    nix::unistd::chdir("/").context(|| "cannot enter the new root")
}

/// Takes off the host's mounts of procfs and sysfs, which stay in the mount namespace after a chroot. The kernel lets a
/// user namespace mount one of its own, with nothing masked, as long as such a mount is anywhere to be seen; also below
/// others, so that what covers one goes first.
fn take_off_full_views(root: &Path) -> Result<()> {
    /// More mounts than this at one place nobody has.
    const MOST_ROUNDS: usize = 64;
    let mut info = mount_info()?;
    for _ in 0..MOST_ROUNDS {
        let mut views =
            points(&mut info, |fields| matches!(fields.fstype, "proc" | "sysfs") && fields.root == "/")?;
        views.retain(|point| !point.starts_with(root));
        if views.is_empty() {
            return Ok(());
        }
        for point in views {
            take_off(&mut info, &point).context(|| format!("cannot take off the host's {point:?}"))?;
        }
    }
    Err(Error::host("cannot take off all of the host's mounts of procfs and sysfs"))
}

/// Takes off what is on top at a place, in our copy of the host's mounts alone.
fn take_off(info: &mut File, point: &Path) -> Result<()> {
    let path = c_path(point)?;
    let view = match mount::open_path(&path) {
        Ok(view) => view,
        // It went with one that it was mounted on.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| "cannot open it"),
    };
    propagate(&view, libc::MS_SLAVE, Depth::Recursive).context(|| "cannot cut it off")?;
    // The unmounting is an event of the mount that it lies on.
    let below = mount_point_of(info, point.parent().unwrap_or(point))?;
    let below = mount::open_path(&c_path(&below)?).context(|| format!("cannot open {below:?}"))?;
    propagate(&below, libc::MS_SLAVE, Depth::One).context(|| "cannot cut off what it lies on")?;
    match mount::umount_detach(&path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()), // likewise gone
        taken => taken.context(|| "cannot unmount it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_escapes() {
        assert_eq!(unescape("/a\\040b\\134c"), PathBuf::from("/a b\\c"));
    }

    #[test]
    fn the_nearest_mount_is_found() {
        assert_eq!(
            mount_point_of(&mut mount_info().unwrap(), Path::new("/proc/self")).unwrap(),
            PathBuf::from("/proc")
        );
    }
}
