//! What the command opens for init: what of the host's a container in a user namespace is to see, since its init has no
//! rights on the way there and may make no device files, and idmapped mounts, which take the host's own ids.
//!
//! Everything is a detached mount, which init attaches. For a user namespace none of it is in a peer group of the host's
//! any more: mounts made in the container never reach the host.

use super::file_system::{new_fs, set_attributes};
use super::locked;
use super::options::Flags;
use super::plan::{Device, MountKind, MountPlan, RootPlan, c_path};
use crate::container::mappings::{IdMap, Mappings};
use crate::error::{Context, Error, Result};
use crate::sys::clone::SingleThreaded;
use crate::sys::mount::{self, Depth, MountAttr};
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, makedev, mknodat};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// What the command opens for an init in a user namespace, beside the sources of mounts.
#[derive(Debug)]
pub struct Opened {
    /// The root file system.
    pub root: OwnedFd,
    /// A file system with the container's device files, each under its index.
    pub nodes: OwnedFd,
}

/// Opens what init could not open, or not map: everything that the plan takes from the host for a container in a user
/// namespace, of another the sources of idmapped mounts.
///
/// # Errors
/// Names what cannot be opened.
pub fn open(plan: &mut RootPlan, mappings: Option<&Mappings>, alone: SingleThreaded) -> Result<()> {
    if mappings.is_none() && plan.mounts.iter().all(|mount| mount.id_map.is_none()) {
        return Ok(());
    }
    if mappings.is_some() && plan.overlay.is_some() {
        return Err(Error::user("an image's layers cannot be mounted in a user namespace"));
    }
    let propagation = match plan.propagation {
        Some((kind, _)) if kind == libc::MS_PRIVATE => kind,
        // As `pivot::bind_root` has it; a user namespace is cut off from the host in any case.
        Some((kind, _)) if kind == libc::MS_SHARED && mappings.is_none() => 0,
        _ => libc::MS_SLAVE,
    };
    let mut open_mounts = || {
        let mut namespaces = Vec::new();
        plan.mounts.iter_mut().try_for_each(|mount| {
            let destination = mount.destination.display().to_string();
            open_mount(mount, mappings, propagation, &mut namespaces, alone)
                .context(|| format!("cannot mount at {destination:?}"))
        })
    };
    let Some(mappings) = mappings else { return open_mounts() };
    let root = locked::in_copy(alone, || {
        open_mounts()?;
        tree(&c_path(&plan.path)?, Depth::Recursive, propagation)
            .context(|| format!("cannot open the root file system {:?}", plan.path))
    })?;
    plan.opened = Some(Opened { root, nodes: nodes(&plan.devices, mappings)? });
    Ok(())
}

fn open_mount(
    mount: &mut MountPlan,
    mappings: Option<&Mappings>,
    propagation: u64,
    namespaces: &mut Vec<(Mappings, OwnedFd)>,
    alone: SingleThreaded,
) -> Result<()> {
    match &mut mount.kind {
        MountKind::Bind { source, .. } if mappings.is_some() || mount.id_map.is_some() => {
            let depth = mount.options.bind.unwrap_or(Depth::Recursive);
            let extras = mount.options.extras;
            let opened = if extras.source_nofollow || extras.copy_symlink {
                mount::open_tree_nofollow(mount::cwd(), source, Some(depth))
            } else {
                mount::open_tree(mount::cwd(), source, Some(depth))
            };
            let fd = opened
                .and_then(|fd| cut_off(fd, propagation))
                .context(|| format!("cannot open the source {source:?}"))
                .map_err(|error| match error.errno() {
                    Some(libc::EINVAL) if depth == Depth::One && mappings.is_some() => error.hint(
                        "for a user namespace, a directory is bound with all that is mounted below it, or not at all: \
                         use rbind; and never by a path through /proc/PID",
                    ),
                    _ => error,
                })?;
            if let Some((own, depth)) = &mount.id_map {
                let Some(ids) = own.as_ref().or(mappings) else {
                    return Err(Error::user(
                        "its ids are to be mapped, and the container has no user namespace",
                    )
                    .hint("give the mount uidMappings and gidMappings, or leave out idmap and ridmap"));
                };
                map_ids(&fd, *depth, namespace_of(ids, namespaces, alone)?)?;
            }
            mount.opened = Some(fd);
        }
        MountKind::Cgroup(views) if mappings.is_some() => {
            for view in views.iter_mut().filter(|view| view.fresh.is_none()) {
                let fd = tree(&c_path(&view.source)?, Depth::One, libc::MS_PRIVATE);
                view.opened = Some(fd.context(|| format!("cannot open {:?}", view.source))?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A user namespace with these maps; equal ones share one.
fn namespace_of<'a>(
    ids: &Mappings,
    namespaces: &'a mut Vec<(Mappings, OwnedFd)>,
    alone: SingleThreaded,
) -> Result<&'a OwnedFd> {
    let index = match namespaces.iter().position(|(known, _)| known == ids) {
        Some(index) => index,
        None => {
            namespaces.push((ids.clone(), ids.namespace(alone)?));
            namespaces.len() - 1
        }
    };
    Ok(&namespaces[index].1)
}

/// Has the mount show the ids of its files as the user namespace maps them (MOUNT_ATTR_IDMAP, mount_setattr(2)).
fn map_ids(mount: &OwnedFd, depth: Depth, namespace: &OwnedFd) -> Result<()> {
    let userns_fd = u64::try_from(namespace.as_raw_fd()).unwrap_or_default();
    let attr = MountAttr { set: mount::ATTR_IDMAP, userns_fd, ..MountAttr::default() };
    mount::mount_setattr(mount.as_fd(), depth, &attr).context(|| "cannot map its ids").map_err(|error| {
        match error.errno() {
            Some(libc::EINVAL) => error.hint(
                "its file system, or with ridmap one mounted below it, cannot be idmapped on this kernel; ext4, xfs, \
                 btrfs and, since Linux 6.3, tmpfs can",
            ),
            Some(libc::EPERM) => error.hint("a mount whose ids are mapped already cannot be mapped again"),
            _ => error,
        }
    })
}

/// The device files that the command has made, each as a detached mount of its own; none where init makes them itself.
///
/// To be called by init before it attaches anything else: only of an attached file system is a part to be had on every
/// kernel, so theirs lies over our copy of the host's `/` for a moment. What stayed there would be all that the unmounting
/// of the host's root takes off in the end.
///
/// # Errors
/// Those of the mount calls.
pub fn device_files(plan: &RootPlan) -> Result<Vec<OwnedFd>> {
    let Some(opened) = &plan.opened else { return Ok(Vec::new()) };
    let title = || "cannot show the device files";
    let host = mount::open_path(c"/").context(title)?;
    mount::move_mount(opened.nodes.as_fd(), host.as_fd()).context(title)?;
    let file = |index: usize| {
        let name = c_path(Path::new(&index.to_string()))?;
        mount::open_tree(opened.nodes.as_fd(), &name, Some(Depth::One)).context(title)
    };
    let files = (0..plan.devices.len()).map(file).collect::<Result<_>>()?;
    mount::umount_detach(c"/").context(title)?;
    Ok(files)
}

/// A detached copy of the mounts at a path, cut off from the host's.
fn tree(path: &CStr, depth: Depth, propagation: u64) -> std::io::Result<OwnedFd> {
    mount::open_tree(mount::cwd(), path, Some(depth)).and_then(|fd| cut_off(fd, propagation))
}

fn cut_off(fd: OwnedFd, propagation: u64) -> std::io::Result<OwnedFd> {
    let attr = MountAttr { propagation, ..MountAttr::default() };
    mount::mount_setattr(fd.as_fd(), Depth::Recursive, &attr)?;
    Ok(fd)
}

/// Makes the device files in a file system of their own, where nobody but root of the host can make any. They belong to
/// whom they would belong to without a user namespace, and the host's own files of these devices stay out of reach.
fn nodes(devices: &[Device], mappings: &Mappings) -> Result<OwnedFd> {
    let nodes = new_fs(c"tmpfs", Some(c"devices"), &["mode=755".into()], Flags::default())?;
    set_attributes(
        nodes.as_fd(),
        Depth::One,
        &MountAttr { set: mount::ATTR_NOEXEC, ..MountAttr::default() },
    )?;
    for (index, device) in devices.iter().enumerate() {
        let title = || format!("cannot create device {:?}", device.path.display().to_string());
        let name = index.to_string();
        let name = name.as_str();
        let kind = SFlag::from_bits_truncate(device.kind);
        let mode = Mode::from_bits_truncate(device.mode);
        let number = makedev(device.number.0.into(), device.number.1.into());
        mknodat(&nodes, name, kind, mode, number).context(title)?;
        let uid = owner("uid", device.uid, &mappings.uids).context(title)?;
        let gid = owner("gid", device.gid, &mappings.gids).context(title)?;
        nix::unistd::fchownat(&nodes, name, Some(uid.into()), Some(gid.into()), AtFlags::AT_SYMLINK_NOFOLLOW)
            .context(title)?;
        // Once more: mknod(2) takes our umask off.
        fchmodat(&nodes, name, mode, FchmodatFlags::FollowSymlink).context(title)?;
    }
    Ok(nodes)
}

/// Root of the host stands in for the root that a namespace has not got: in it, that is nobody.
fn owner(field: &str, id: u32, map: &IdMap) -> Result<u32> {
    match (map.outside(id), id) {
        (Some(outside), _) => Ok(outside),
        (None, 0) => Ok(0),
        (None, _) => Err(Error::user(format!("{field}: {id} is no id of the container's user namespace"))),
    }
}
