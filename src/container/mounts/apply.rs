//! Carrying out the mounts, in init, by descriptor.

use super::devices;
use super::mask;
use super::options::Options;
use super::pivot;
use super::plan::{CgroupView, MountKind, MountPlan, RootPlan, c_path};
use super::root::{Root, Target};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::fs::Resolve;
use crate::sys::mount::{self, ATTR_RDONLY, Depth, FsContext, MountAttr};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Files below /proc that something may be mounted on: what lxcfs provides, and what sandboxes of tests use. Anything
/// else there could redirect the writes that podrun and later programs make to procfs (CVE-2019-16884).
const PROC_TARGETS: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/uptime",
];

/// Makes the root file system and everything in it, short of entering it.
///
/// # Errors
/// Names the mount that failed.
pub fn prepare(plan: &RootPlan) -> Result<Root> {
    let root = pivot::bind_root(plan)?;
    let mut late = Vec::new();
    for mount in &plan.mounts {
        let title =
            || format!("cannot mount {} at {:?}", title(mount), mount.destination.display().to_string());
        if let Some(fd) = one(&root, mount).context(title)? {
            late.push((fd, mount));
        }
    }
    let dev_is_bound = plan
        .mounts
        .iter()
        .any(|m| matches!(m.kind, MountKind::Bind { .. }) && m.destination == Path::new("/dev"));
    if !dev_is_bound {
        devices::make(&root, &plan.devices)?;
        devices::make_links(&root)?;
    }
    if plan.cwd != Path::new("/") {
        root.target(&plan.cwd, Target::Directory)
            .context(|| format!("cannot make the working directory {:?}", plan.cwd))?;
    }
    // Read-only file systems are sealed only now: destinations below them and devices had to be made first.
    for (fd, mount) in late {
        let attr = MountAttr { set: ATTR_RDONLY, ..MountAttr::default() };
        mount::mount_setattr(fd.as_fd(), Depth::One, &attr)
            .context(|| format!("cannot make {:?} read-only", mount.destination))?;
    }
    mask::read_only(&root, &plan.read_only_paths)?;
    mask::hide(&root, &plan.masked)?;
    Ok(root)
}

fn title(mount: &MountPlan) -> String {
    match &mount.kind {
        MountKind::Bind { source, .. } => format!("{:?}", source.to_string_lossy()),
        MountKind::New { fstype, .. } => fstype.to_string_lossy().into_owned(),
        MountKind::Cgroup(_) => "cgroup".to_owned(),
    }
}

/// Makes one mount; returns its descriptor when it is yet to be made read-only.
fn one(root: &Root, mount: &MountPlan) -> Result<Option<OwnedFd>> {
    let (fd, want) = match &mount.kind {
        MountKind::Bind { source, is_directory } => {
            let depth = mount.options.bind.unwrap_or(Depth::Recursive);
            let fd =
                mount::open_tree(mount::cwd(), source, Some(depth)).context(|| "cannot open the source")?;
            (fd, if *is_directory { Target::Directory } else { Target::File })
        }
        MountKind::New { fstype, source } => {
            (new_fs(fstype, source.as_deref(), &mount.options)?, Target::Directory)
        }
        MountKind::Cgroup(views) => return cgroup(root, mount, views).map(|()| None),
    };
    let attr = finish_attributes(mount);
    set_attributes(fd.as_fd(), Depth::One, &attr)?;
    set_attributes(fd.as_fd(), Depth::Recursive, &mount.options.recursive)?;
    let target = target(root, mount, want, fd.as_fd())?;
    mount::move_mount(fd.as_fd(), target.as_fd()).context(|| "cannot attach it")?;
    set_propagation(fd.as_fd(), &mount.options)?;
    let sealed_late =
        matches!(mount.kind, MountKind::New { .. }) && mount.options.attr.set & ATTR_RDONLY != 0;
    Ok(sealed_late.then_some(fd))
}

/// The attributes to set now: read-only comes late for a new file system.
fn finish_attributes(mount: &MountPlan) -> MountAttr {
    let mut attr = mount.options.attr;
    if matches!(mount.kind, MountKind::New { .. }) {
        attr.set &= !ATTR_RDONLY;
    }
    attr
}

fn target(root: &Root, mount: &MountPlan, want: Target, source: BorrowedFd<'_>) -> Result<OwnedFd> {
    let destination = &mount.destination;
    let fstype = match &mount.kind {
        MountKind::New { fstype, .. } => fstype.to_bytes(),
        _ => b"",
    };
    let target = root.target(destination, want)?;
    check_type(mount, want, target.as_fd())?;
    if matches!(fstype, b"proc" | b"sysfs") {
        // A link here would let an image choose which directory looks like procfs (CVE-2019-19921).
        return root.find(destination, Resolve::NoSymlinks).context_as(Kind::User, || {
            format!("the destination of {} must be an ordinary directory", String::from_utf8_lossy(fstype))
        });
    }
    if is_procfs(target.as_fd())? {
        let over_root = destination == Path::new("/proc") && is_procfs(source)?;
        let allowed = PROC_TARGETS.iter().any(|path| destination == Path::new(path));
        if !over_root && !allowed {
            return Err(Error::user("nothing may be mounted inside /proc")
                .hint("mount it elsewhere; podrun hides paths with maskedPaths"));
        }
    }
    Ok(target)
}

/// The kernel tells this as ENOTDIR or as EINVAL, which may mean anything.
fn check_type(mount: &MountPlan, want: Target, target: BorrowedFd<'_>) -> Result<()> {
    let found = nix::sys::stat::fstat(target).context(|| "cannot stat the destination")?;
    let is_directory = found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if is_directory == (want == Target::Directory) {
        return Ok(());
    }
    let what = match (&mount.kind, is_directory) {
        (MountKind::Bind { .. }, false) => "the source is a directory, and the destination is none",
        (MountKind::Bind { .. }, true) => "the source is no directory, and the destination is one",
        _ => "the destination is no directory",
    };
    Err(Error::user(what).hint("mount it elsewhere, or correct what is mounted"))
}

fn is_procfs(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = nix::sys::statfs::fstatfs(fd).context(|| "cannot stat the file system")?;
    Ok(stat.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

/// A detached mount of a new file system.
pub fn new_fs(fstype: &CStr, source: Option<&CStr>, options: &Options) -> Result<OwnedFd> {
    let name = fstype.to_string_lossy();
    let context = FsContext::open(fstype).context(|| format!("cannot use file system type {name}"))?;
    let configured = (|| -> io::Result<OwnedFd> {
        if let Some(source) = source {
            context.set_string(c"source", source)?;
        }
        for parameter in &options.parameters {
            let parameter = CString::new(parameter.as_str()).map_err(io::Error::other)?;
            match parameter.to_bytes().iter().position(|b| *b == b'=') {
                None => context.set_flag(&parameter)?,
                Some(at) => {
                    let key = CString::new(&parameter.to_bytes()[..at]).map_err(io::Error::other)?;
                    let value = CString::new(&parameter.to_bytes()[at + 1..]).map_err(io::Error::other)?;
                    context.set_string(&key, &value)?;
                }
            }
        }
        context.mount(0)
    })();
    configured.map_err(|error| {
        let what = match context.complaint() {
            Some(complaint) => format!("the kernel says {complaint:?}"),
            None => format!("cannot make a {name} file system"),
        };
        Error::host(what).because(error)
    })
}

/// Sets attributes of a mount, if there are any to set.
pub fn set_attributes(fd: BorrowedFd<'_>, depth: Depth, attr: &MountAttr) -> Result<()> {
    if *attr == MountAttr::default() {
        return Ok(());
    }
    mount::mount_setattr(fd, depth, attr).context(|| "cannot set the mount's options")
}

fn set_propagation(fd: BorrowedFd<'_>, options: &Options) -> Result<()> {
    for (kind, depth) in &options.propagation {
        let attr = MountAttr { propagation: *kind, ..MountAttr::default() };
        mount::mount_setattr(fd, *depth, &attr).context(|| "cannot set the propagation")?;
    }
    Ok(())
}

/// The cgroup hierarchies: a lone v2 one at the destination itself, v1 ones in a tmpfs, a directory each.
fn cgroup(root: &Root, mount: &MountPlan, views: &[CgroupView]) -> Result<()> {
    // Private, whatever the host's cgroup mounts are: the views are made for this container alone.
    let (set, clear) = (mount.options.attr.set, mount.options.attr.clear);
    let attr = MountAttr { set, clear, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    let target = root.target(&mount.destination, Target::Directory)?;
    if let [only] = views
        && only.name.is_empty()
    {
        let fd = cgroup_view(only)?;
        set_attributes(fd.as_fd(), Depth::One, &attr)?;
        return mount::move_mount(fd.as_fd(), target.as_fd()).context(|| "cannot attach it");
    }
    let parameters = Options { parameters: vec!["mode=755".into()], ..Options::default() };
    let tmpfs = new_fs(c"tmpfs", Some(c"tmpfs"), &parameters)?;
    set_attributes(tmpfs.as_fd(), Depth::One, &MountAttr { set: attr.set & !ATTR_RDONLY, ..attr })?;
    mount::move_mount(tmpfs.as_fd(), target.as_fd()).context(|| "cannot attach its tmpfs")?;
    for view in views {
        let path = mount.destination.join(&view.name);
        let directory = root.make_directories(&path)?;
        let fd = cgroup_view(view).context(|| format!("cannot show hierarchy {:?}", view.name))?;
        set_attributes(fd.as_fd(), Depth::One, &attr)?;
        mount::move_mount(fd.as_fd(), directory.as_fd()).context(|| "cannot attach it")?;
        // `cpu,cpuacct` is also found as `cpu` and as `cpuacct`.
        for alias in view.name.split(',').filter(|_| view.name.contains(',')) {
            nix::unistd::symlinkat(view.name.as_str(), tmpfs.as_fd(), alias)
                .context(|| format!("cannot link hierarchy {alias:?}"))?;
        }
    }
    set_attributes(tmpfs.as_fd(), Depth::One, &attr)
}

fn cgroup_view(view: &CgroupView) -> Result<OwnedFd> {
    match &view.fresh {
        Some((fstype, parameters)) => {
            let options = Options { parameters: parameters.clone(), ..Options::default() };
            new_fs(fstype, Some(c"cgroup"), &options)
        }
        None => mount::open_tree(mount::cwd(), &c_path(&view.source)?, Some(Depth::One))
            .context(|| format!("cannot open {:?}", view.source)),
    }
}
