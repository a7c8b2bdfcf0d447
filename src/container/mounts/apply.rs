//! Carrying out the mounts, in init, by descriptor.

use super::file_system::{lock_hint, new_fs, reconfigure, set_attributes, set_lockable, set_propagation};
use super::plan::{MountKind, MountPlan, RootPlan, is_proc_target};
use super::root::{Root, Target};
use super::{cgroup, copy_up, devices, mask, opened, pivot};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::fs::Resolve;
use crate::sys::mount::{self, ATTR_RDONLY, Depth, MountAttr};
use nix::sys::stat::fstat;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Descriptors held for mounts that become read-only last; with more mounts, the earliest become so at once.
const MOST_HELD: usize = 256;

/// A mount that was made.
struct Made {
    fd: OwnedFd,
    /// It lies over the root as it was, and is the root from now on.
    is_root: bool,
    /// What to set once everything is in place.
    late: Option<MountAttr>,
}

/// Makes the root file system and everything in it, short of entering it.
///
/// # Errors
/// Names the mount that failed.
pub fn prepare(plan: &RootPlan) -> Result<Root> {
    let device_files = opened::device_files(plan)?;
    let mut root = pivot::bind_root(plan)?;
    let mut late = std::collections::VecDeque::new();
    for mount in &plan.mounts {
        let title =
            || format!("cannot mount {} at {:?}", title(mount), mount.destination.display().to_string());
        let Some(made) = one(&root, mount).context(title).map_err(hint)? else { continue };
        if made.is_root {
            root = root.covered_by(made.fd.try_clone().context(title)?);
        }
        if let Some(attr) = made.late {
            late.push_back((made.fd, attr, mount));
        }
        if late.len() > MOST_HELD {
            late.pop_front().map_or(Ok(()), seal)?;
        }
    }
    let is_bound = |mount: &MountPlan| mount.is_bind() && mount.destination == Path::new("/dev");
    let hosts_dev = has_hosts_dev(&root)?;
    if !hosts_dev && !plan.mounts.iter().any(is_bound) {
        devices::make(&root, &plan.devices, &device_files)?;
        devices::make_links(&root)?;
    }
    if !hosts_dev && plan.console {
        devices::make_console(&root)?;
    }
    if plan.cwd != Path::new("/") {
        root.target(&plan.cwd, Target::Directory)
            .context(|| format!("cannot make the working directory {:?}", plan.cwd))?;
    }
    // Only now: destinations below them and devices had to be made first.
    late.into_iter().try_for_each(seal)?;
    mask::read_only(&root, &plan.read_only_paths)?;
    mask::hide(&root, &plan.masked)?;
    Ok(root)
}

/// Whether /dev is the host's without an entry of mounts that says so: with `/` as the root file system, or where the
/// caller has mounted it there.
fn has_hosts_dev(root: &Root) -> Result<bool> {
    let title = || "cannot stat /dev";
    let theirs = match root.find(Path::new("/dev"), Resolve::InRoot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.and_then(|found| Ok(fstat(&found)?)).context(title)?,
    };
    match nix::sys::stat::stat("/dev") {
        Err(nix::errno::Errno::ENOENT) => Ok(false),
        ours => ours.context(title).map(|ours| (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)),
    }
}

fn seal((fd, attr, mount): (OwnedFd, MountAttr, &MountPlan)) -> Result<()> {
    set_attributes(fd.as_fd(), Depth::One, &attr)
        .context(|| format!("cannot make {:?} read-only", mount.destination))
}

fn title(mount: &MountPlan) -> String {
    match &mount.kind {
        MountKind::Bind { source } => format!("{:?}", source.to_string_lossy()),
        MountKind::BindInside { source } => format!("the container's {:?}", source.display().to_string()),
        MountKind::New { fstype, .. } => fstype.to_string_lossy().into_owned(),
        MountKind::Remount => "anew what is".to_owned(),
        MountKind::Cgroup(_) => "cgroup".to_owned(),
    }
}

fn hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOSPC) => error.hint("the sysctl fs.mount-max limits how many mounts there can be"),
        Some(libc::EMFILE) => error.hint("raise the limit of open files of whoever runs podrun"),
        _ => error,
    }
}

/// Makes one mount, if it makes one: a copied link is none.
fn one(root: &Root, mount: &MountPlan) -> Result<Option<Made>> {
    match &mount.kind {
        MountKind::Bind { .. } | MountKind::BindInside { .. } => bind(root, mount),
        MountKind::New { fstype, source } => new(root, mount, fstype, source.as_deref()).map(Some),
        MountKind::Remount => remount(root, mount).map(Some),
        MountKind::Cgroup(views) => cgroup::show(root, mount, views).map(|()| None),
    }
}

fn bind(root: &Root, mount: &MountPlan) -> Result<Option<Made>> {
    let options = &mount.options;
    let fd = source(root, mount)?;
    let kind = fstat(&fd).context(|| "cannot stat the source")?.st_mode & libc::S_IFMT;
    if options.extras.copy_symlink && kind == libc::S_IFLNK {
        return copy_link(root, mount, fd.as_fd()).map(|()| None);
    }
    set_lockable(fd.as_fd(), &options.flags.of_bind(), options.flags)?;
    set_attributes(fd.as_fd(), Depth::Recursive, &options.recursive).map_err(lock_hint)?;
    let want = if kind == libc::S_IFDIR { Target::Directory } else { Target::File };
    let target = if options.extras.destination_nofollow {
        root.target_nofollow(&mount.destination, want)?
    } else {
        root.target(&mount.destination, want)?
    };
    check_type(mount, want, target.as_fd())?;
    let over_proc = mount.destination == Path::new("/proc");
    if over_proc || is_procfs(target.as_fd())? {
        check_proc(mount, over_proc && is_procfs(fd.as_fd())?)?;
    }
    let is_root = root.is(target.as_fd()).context(|| "cannot stat the destination")?;
    mount::move_mount(fd.as_fd(), target.as_fd()).context(|| "cannot attach it")?;
    set_propagation(fd.as_fd(), options)?;
    Ok(Some(Made { fd, is_root, late: None }))
}

/// A detached copy of what is to be bound. What is in the root is looked for there, so that no link of the image's leads
/// to the host.
fn source(root: &Root, mount: &MountPlan) -> Result<OwnedFd> {
    let depth = Some(mount.options.bind.unwrap_or(Depth::Recursive));
    let nofollow = mount.options.extras.source_nofollow || mount.options.extras.copy_symlink;
    if let Some(opened) = &mount.opened {
        return opened.try_clone().context(|| "cannot copy a descriptor");
    }
    let opened = match &mount.kind {
        MountKind::BindInside { source } => {
            let found = if nofollow { root.find_link(source) } else { root.find(source, Resolve::InRoot) };
            found.and_then(|found| mount::open_tree(found.as_fd(), c"", depth))
        }
        MountKind::Bind { source } if nofollow => mount::open_tree_nofollow(mount::cwd(), source, depth),
        MountKind::Bind { source } => mount::open_tree(mount::cwd(), source, depth),
        _ => return Err(Error::user("it has no source")),
    };
    opened.context(|| "cannot open the source").map_err(|error| match error.errno() {
        Some(libc::EINVAL) => error.hint("a mount that is unbindable cannot be bound"),
        _ => error,
    })
}

/// Makes a link that leads where the source does.
fn copy_link(root: &Root, mount: &MountPlan, source: BorrowedFd<'_>) -> Result<()> {
    let leads_to = nix::fcntl::readlinkat(source, "").context(|| "cannot read the link")?;
    let (parent, name) = root.parent(&mount.destination)?;
    match nix::unistd::symlinkat(leads_to.as_os_str(), &parent, name) {
        Err(nix::errno::Errno::EEXIST) => {}
        made => return made.context(|| format!("cannot create a link to {leads_to:?}")),
    }
    match nix::fcntl::readlinkat(&parent, name) {
        Ok(found) if found == leads_to => Ok(()),
        _ => Err(Error::user(format!("the image has something else there than a link to {leads_to:?}"))
            .hint("leave copy-symlink out, or correct the image")),
    }
}

fn new(root: &Root, mount: &MountPlan, fstype: &CStr, source: Option<&CStr>) -> Result<Made> {
    let (options, destination) = (&mount.options, &mount.destination);
    let in_memory = [c"tmpfs", c"ramfs"].contains(&fstype);
    let mut parameters = std::borrow::Cow::from(&options.parameters);
    let target = if [c"proc", c"sysfs"].contains(&fstype) {
        ordinary_directory(root, mount, &fstype.to_string_lossy())?
    } else if in_memory && !parameters.iter().any(|p| p.starts_with("mode=")) {
        // A directory of the image's keeps its mode: /tmp stays everybody's, and /root nobody's.
        match root.find(destination, Resolve::InRoot) {
            Ok(found) => {
                let mode = fstat(&found).context(|| "cannot stat the destination")?.st_mode & 0o7777;
                parameters.to_mut().push(format!("mode={mode:o}"));
                found
            }
            Err(_) => root.target(destination, Target::Directory)?,
        }
    } else {
        root.target(destination, Target::Directory)?
    };
    check_type(mount, Target::Directory, target.as_fd())?;
    if destination == Path::new("/proc") || is_procfs(target.as_fd())? {
        check_proc(mount, fstype == c"proc" && destination == Path::new("/proc"))?;
    }
    // What is yet to be written to becomes read-only last.
    let late = options.flags.read_only() && (in_memory || destination == Path::new("/dev"));
    let flags = if late { options.flags.writable() } else { options.flags };
    let fd = new_fs(fstype, source, &parameters, flags)?;
    if options.extras.copy_up {
        copy_up::fill(target.as_fd(), fd.as_fd(), &options.parameters)?;
    }
    set_attributes(fd.as_fd(), Depth::Recursive, &options.recursive)?;
    let is_root = root.is(target.as_fd()).context(|| "cannot stat the destination")?;
    mount::move_mount(fd.as_fd(), target.as_fd()).context(|| "cannot attach it")?;
    set_propagation(fd.as_fd(), options)?;
    let seal = MountAttr { set: ATTR_RDONLY, ..MountAttr::default() };
    Ok(Made { fd, is_root, late: late.then_some(seal) })
}

/// The destination of a file system whose entries podrun and programs trust: a link here would let an image choose which
/// directory looks like it (CVE-2019-19921).
fn ordinary_directory(root: &Root, mount: &MountPlan, fstype: &str) -> Result<OwnedFd> {
    let find = || root.find(&mount.destination, Resolve::NoSymlinks);
    let found = match find() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            root.make_directories(&mount.destination)?;
            find()
        }
        found => found,
    };
    let title = || format!("filesystem {fstype:?} must be mounted on ordinary directory");
    let found = found.context_as(Kind::User, title)?;
    match fstat(&found).context(title)?.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Ok(found),
        _ => Err(Error::user(title())),
    }
}

fn remount(root: &Root, mount: &MountPlan) -> Result<Made> {
    let options = &mount.options;
    let fd = root
        .find(&mount.destination, Resolve::InRoot)
        .context(|| format!("cannot open {:?} in the root file system", mount.destination))?;
    if is_procfs(fd.as_fd())? && mount.destination != Path::new("/proc") {
        check_proc(mount, false)?;
    }
    if !options.parameters.is_empty() {
        reconfigure(fd.as_fd(), &options.parameters)?;
    }
    let attr = options.flags.of_remount();
    let late = options.flags.read_only();
    let set = if late { Ok(()) } else { set_lockable(fd.as_fd(), &attr, options.flags) };
    set.and_then(|()| set_attributes(fd.as_fd(), Depth::Recursive, &options.recursive).map_err(lock_hint))
        .and_then(|()| set_propagation(fd.as_fd(), options))
        .map_err(|error| match error.errno() {
            Some(libc::EINVAL) => error.hint("an earlier entry of mounts must have mounted something there"),
            _ => error,
        })?;
    Ok(Made { fd, is_root: false, late: late.then_some(attr) })
}

/// Only procfs may be at /proc, and only a few files below it be covered.
pub(super) fn check_proc(mount: &MountPlan, is_proc_over_proc: bool) -> Result<()> {
    if is_proc_over_proc || is_proc_target(&mount.destination) {
        return Ok(());
    }
    let what = if mount.destination == Path::new("/proc") {
        "it is not of type proc, and nothing else may be there"
    } else {
        "nothing may be mounted inside /proc"
    };
    Err(Error::user(what).hint("mount it elsewhere; podrun hides paths with maskedPaths"))
}

/// The kernel tells this as ENOTDIR or as EINVAL, which may mean anything.
fn check_type(mount: &MountPlan, want: Target, target: BorrowedFd<'_>) -> Result<()> {
    let found = fstat(target).context(|| "cannot stat the destination")?;
    let is_directory = found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if is_directory == (want == Target::Directory) {
        return Ok(());
    }
    let what = match (mount.is_bind(), is_directory) {
        (true, false) => "the source is a directory, and the destination is none",
        (true, true) => "the source is no directory, and the destination is one",
        _ => "the destination is no directory",
    };
    Err(Error::user(what).hint("mount it elsewhere, or correct what is mounted"))
}

pub(super) fn is_procfs(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = nix::sys::statfs::fstatfs(fd).context(|| "cannot stat the file system")?;
    Ok(stat.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}
