//! Making the root file system a mount, and entering it.

use super::inherited;
use super::opened::Opened;
use super::plan::{RootPlan, c_path};
use super::root::Root;
use crate::error::{Context, Error, Result};
use crate::sys::fs;
use crate::sys::mount::{self, ATTR_RDONLY, Depth, MountAttr};
use std::ffi::CStr;
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
        let below = mount_point_of(&plan.path)?;
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

/// The mount point of the mount that `path` lies on.
fn mount_point_of(path: &Path) -> Result<PathBuf> {
    points(|_| true)?
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
fn points(wanted: impl Fn(Fields<'_>) -> bool) -> Result<Vec<PathBuf>> {
    let text =
        std::fs::read_to_string("/proc/self/mountinfo").context(|| "cannot read /proc/self/mountinfo")?;
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
    if plan.no_pivot {
        chroot(root, plan)?;
    } else {
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
    plan.inherited.as_ref().map_or(Ok(()), inherited::return_to)?;
    // All that keeps the container from the host hangs on it.
    if is_covered()? {
        return Err(Error::host("something is mounted over the container's root"));
    }
    Ok(())
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
    // In a user namespace the host's mounts cannot be taken off one by one, and the root is over them already.
    if plan.opened.is_none() {
        take_off_full_views(&plan.path)?;
    }
    nix::unistd::fchdir(root.fd()).context(|| "cannot enter the root file system")?;
    if plan.opened.is_none() {
        mount::move_mount(root.fd(), host.as_fd()).context(|| "cannot move the root file system")?;
    }
    nix::unistd::chroot(".").context(|| "cannot change the root")?;
    nix::unistd::chdir("/").context(|| "cannot enter the new root")
}

/// Takes off the host's mounts of procfs and sysfs, which stay in the mount namespace after a chroot. The kernel lets a
/// user namespace mount one of its own, with nothing masked, as long as such a mount is anywhere to be seen.
fn take_off_full_views(root: &Path) -> Result<()> {
    for point in points(|fields| matches!(fields.fstype, "proc" | "sysfs") && fields.root == "/")? {
        if point.starts_with(root) {
            continue;
        }
        let title = || format!("cannot take off the host's {point:?}");
        let path = c_path(&point)?;
        match mount::open_path(&path) {
            Ok(view) => propagate(&view, libc::MS_SLAVE, Depth::Recursive).context(title)?,
            // It went with one that it was mounted on.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(title),
        }
        mount::umount_detach(&path).context(title)?;
    }
    Ok(())
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
        assert_eq!(mount_point_of(Path::new("/proc/self")).unwrap(), PathBuf::from("/proc"));
    }
}
