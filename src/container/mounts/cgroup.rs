//! The container's view of the cgroup hierarchies.

use super::apply::{check_proc, is_procfs};
use super::file_system::{new_fs, set_attributes, set_propagation};
use super::options::Flags;
use super::plan::{CgroupView, MountPlan, c_path};
use super::root::{Root, Target, open_or_make};
use crate::error::{Context, Error, Result};
use crate::sys::mount::{self, ATTR_RDONLY, Depth, MountAttr};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

/// Shows the hierarchies: a lone v2 one at the destination itself, v1 ones in a tmpfs, a directory each.
///
/// # Errors
/// Names the hierarchy.
pub fn show(root: &Root, mount: &MountPlan, views: &[CgroupView]) -> Result<()> {
    // Private, whatever the host's cgroup mounts are: the views are made for this container alone.
    let attr = MountAttr { propagation: libc::MS_PRIVATE, ..mount.options.flags.of_new() };
    let target = root.target(&mount.destination, Target::Directory)?;
    if root.is(target.as_fd()).context(|| "cannot stat the destination")? {
        return Err(Error::user("it cannot be the root").hint("mount it at /sys/fs/cgroup"));
    }
    if is_procfs(target.as_fd())? {
        check_proc(mount, false)?;
    }
    if let [only] = views
        && only.name.is_empty()
    {
        let fd = view(only)?;
        set_attributes(fd.as_fd(), Depth::One, &attr)?;
        mount::move_mount(fd.as_fd(), target.as_fd()).context(|| "cannot attach it")?;
        return set_propagation(fd.as_fd(), &mount.options);
    }
    let tmpfs = new_fs(c"tmpfs", Some(c"tmpfs"), &["mode=755".into()], Flags::default())?;
    set_attributes(tmpfs.as_fd(), Depth::One, &MountAttr { set: attr.set & !ATTR_RDONLY, ..attr })?;
    mount::move_mount(tmpfs.as_fd(), target.as_fd()).context(|| "cannot attach its tmpfs")?;
    for one in views {
        // In the tmpfs by its descriptor: there is no way to it that an image could have laid.
        let directory = open_or_make(tmpfs.as_fd(), OsStr::new(&one.name), Target::Directory)
            .context(|| format!("cannot create a directory for hierarchy {:?}", one.name))?;
        let fd = view(one).context(|| format!("cannot show hierarchy {:?}", one.name))?;
        set_attributes(fd.as_fd(), Depth::One, &attr)?;
        mount::move_mount(fd.as_fd(), directory.as_fd()).context(|| "cannot attach it")?;
        // `cpu,cpuacct` is also found as `cpu` and as `cpuacct`.
        for alias in one.name.split(',').filter(|_| one.name.contains(',')) {
            nix::unistd::symlinkat(one.name.as_str(), tmpfs.as_fd(), alias)
                .context(|| format!("cannot link hierarchy {alias:?}"))?;
        }
    }
    set_attributes(tmpfs.as_fd(), Depth::One, &attr)?;
    set_propagation(tmpfs.as_fd(), &mount.options)
}

fn view(view: &CgroupView) -> Result<OwnedFd> {
    if let Some(opened) = &view.opened {
        return opened.try_clone().context(|| "cannot copy a descriptor");
    }
    match &view.fresh {
        Some((fstype, parameters)) => new_fs(fstype, Some(c"cgroup"), parameters, Flags::default()),
        None => mount::open_tree(mount::cwd(), &c_path(&view.source)?, Some(Depth::One))
            .context(|| format!("cannot open {:?}", view.source)),
    }
}
