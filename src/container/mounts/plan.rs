//! From the runtime spec's mounts, devices and paths to a plan that init carries out without further thought.
//! Everything that can be known to be wrong on the host is found here, before anything is made.

use super::opened::Opened;
use super::options::{self, Extras, Options};
use super::overlay::Overlay;
use crate::container::mappings::Mappings;
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::sys::mount::Depth;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount};
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// All that makes the container's file system.
#[derive(Debug)]
pub struct RootPlan {
    /// The root file system on the host.
    pub path: PathBuf,
    /// What to mount there first.
    pub overlay: Option<Overlay>,
    /// Read-only once everything is in place.
    pub read_only: bool,
    /// Propagation of `linux.rootfsPropagation`.
    pub propagation: Option<(u64, crate::sys::mount::Depth)>,
    /// Podrun's own mount namespace, where the container is to have no other.
    pub inherited: Option<OwnedFd>,
    /// chroot instead of pivot_root, for a host root that cannot be pivoted (initramfs).
    pub no_pivot: bool,
    /// In the order of the spec.
    pub mounts: Vec<MountPlan>,
    /// Device files to make, unless /dev is the host's.
    pub devices: Vec<Device>,
    /// Whether a terminal will be bound over /dev/console.
    pub console: bool,
    /// Paths to hide.
    pub masked: Vec<String>,
    /// Paths to make read-only.
    pub read_only_paths: Vec<String>,
    /// Working directory; made when it is missing.
    pub cwd: PathBuf,
    /// What the command has opened for a container in a user namespace.
    pub opened: Option<Opened>,
}

/// Gives the mounts that name no propagation of their own that of a recursive `linux.rootfsPropagation`: set on the root
/// in the end, it would overrule those that do. (Unbindable waits all the same, since the mounts come first.)
pub fn spread(propagation: Option<(u64, Depth)>, mut mounts: Vec<MountPlan>) -> Vec<MountPlan> {
    let Some((kind, Depth::Recursive)) = propagation.filter(|(kind, _)| *kind != libc::MS_UNBINDABLE) else {
        return mounts;
    };
    let silent = |mount: &&mut MountPlan| {
        mount.options.propagation.is_empty() && !matches!(mount.kind, MountKind::Remount)
    };
    for mount in mounts.iter_mut().filter(silent) {
        mount.options.propagation.push((kind, Depth::Recursive));
    }
    mounts
}

/// One mount.
#[derive(Debug)]
pub struct MountPlan {
    /// Where: absolute, without `.` and `..`, to be resolved inside the root.
    pub destination: PathBuf,
    /// What.
    pub kind: MountKind,
    /// How.
    pub options: Options,
    /// The source of a bind mount as a detached mount, where the command has opened it.
    pub opened: Option<OwnedFd>,
    /// The ids of an idmapped mount, and how deep; without ids they are those of the container's user namespace.
    pub id_map: Option<(Option<Mappings>, Depth)>,
}

impl MountPlan {
    /// Whether it shows what is somewhere else already.
    pub fn is_bind(&self) -> bool {
        matches!(self.kind, MountKind::Bind { .. } | MountKind::BindInside { .. })
    }
}

/// What is mounted.
#[derive(Debug)]
pub enum MountKind {
    /// A directory or file of the host.
    Bind {
        /// Absolute path on the host.
        source: CString,
    },
    /// A directory or file of the container's root, with what earlier entries have mounted there.
    BindInside {
        /// Path in the container.
        source: PathBuf,
    },
    /// A new file system.
    New {
        /// Type, such as `tmpfs`.
        fstype: CString,
        /// What mountinfo shows as the source.
        source: Option<CString>,
    },
    /// What an earlier entry has mounted there, changed; the file system as well where there are parameters.
    Remount,
    /// The container's view of the cgroup hierarchies.
    Cgroup(Vec<CgroupView>),
}

/// One hierarchy in the container's view.
#[derive(Debug)]
pub struct CgroupView {
    /// Name of its directory below the destination, and the links to it; empty for a lone v2 hierarchy.
    pub name: String,
    /// The group's directory on the host.
    pub source: PathBuf,
    /// File system type and parameters of a mount made inside a cgroup namespace; `None` binds `source`.
    pub fresh: Option<(CString, Vec<String>)>,
    /// `source` as a detached mount, where the command has opened it.
    pub opened: Option<OwnedFd>,
}

/// A device file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Absolute path in the container.
    pub path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// Device numbers.
    pub number: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Makes a path absolute below the container's root and takes `.` and `..` out, as the text says.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// A path as the kernel takes it.
pub fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::user(format!("path {path:?} holds a NUL byte")))
}

/// Where paths of a bundle's config lead.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Where relative sources begin.
    pub bundle: &'a Path,
    /// The root file system on the host. A path that begins with it means one in the container, as with runc.
    pub root: &'a Path,
}

impl Places<'_> {
    /// What an absolute path means in the container, if it leads into the root file system on the host: by its text, or
    /// by a link to the root, or to what that is in.
    fn inside(self, path: &Path) -> Option<PathBuf> {
        if self.root == Path::new("/") {
            return None;
        }
        let below = path.strip_prefix(self.root).ok().or_else(|| self.linked(path))?;
        Some(below).filter(|below| !leads_out(below)).map(|below| Path::new("/").join(below))
    }

    /// What is below the root in a path that leads there by links, or by `..`.
    fn linked(self, path: &Path) -> Option<&Path> {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let root = identity(self.root)?;
        let mut above: Vec<&Path> = path.ancestors().collect();
        // From the top: what is below the root must not be looked at from the host, where an image's links lead out.
        above.reverse();
        let entry = above.into_iter().find(|above| identity(above) == Some(root))?;
        path.strip_prefix(entry).ok()
    }
}

/// Whether `..` of a relative path, as the text says, lead above where it begins.
fn leads_out(path: &Path) -> bool {
    let mut depth = 0u32;
    path.components().any(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            false
        }
        Component::ParentDir if depth == 0 => true,
        Component::ParentDir => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

/// Plans one mount of the spec.
///
/// # Errors
/// For options that are not supported, and for a bind source that does not exist.
pub fn mount(places: Places<'_>, mount: &Mount) -> Result<MountPlan> {
    if mount.destination().as_os_str().is_empty() {
        return Err(Error::user("the destination is empty"));
    }
    let destination = clean(mount.destination());
    let destination = places.inside(&destination).unwrap_or(destination);
    check_proc(&destination)?;
    let mut options = options::parse(mount.options().as_deref().unwrap_or_default())?;
    let fstype = mount.typ().as_deref().unwrap_or_default();
    options.parameters.retain(|parameter| !options::is_of_others(parameter, fstype));
    let is_bind = options.bind.is_some() || fstype == "bind";
    let kind = if options.extras.remount {
        MountKind::Remount
    } else if is_bind {
        bind(places, mount, options.extras)?
    } else {
        new(fstype, mount)?
    };
    check_extras(&options, &kind)?;
    if is_bind {
        drop_data(&mut options, mount);
    }
    let id_map = id_map(mount, &options)?;
    if id_map.is_some() && !matches!(kind, MountKind::Bind { .. }) {
        return Err(Error::user("ids can be mapped on bind mounts of the host's files alone")
            .hint("leave out idmap, ridmap, uidMappings and gidMappings"));
    }
    Ok(MountPlan { destination, kind, options, opened: None, id_map })
}

/// Whether a mount is idmapped: by an option, or by mappings alone, as before there were the options.
fn id_map(mount: &Mount, options: &Options) -> Result<Option<(Option<Mappings>, Depth)>> {
    let (uids, gids) = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let given = !uids.unwrap_or_default().is_empty() || !gids.unwrap_or_default().is_empty();
    let mappings = given.then(|| Mappings::plan("", uids, gids)).transpose()?;
    Ok(match (options.id_map, mappings) {
        (None, None) => None,
        (depth, mappings) => Some((mappings, depth.unwrap_or(Depth::One))),
    })
}

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

/// Whether something may be mounted at a path below /proc, by its name alone.
pub fn is_proc_target(destination: &Path) -> bool {
    PROC_TARGETS.iter().any(|path| destination == Path::new(path))
}

fn check_proc(destination: &Path) -> Result<()> {
    let proc = Path::new("/proc");
    if destination == proc || !destination.starts_with(proc) || is_proc_target(destination) {
        return Ok(());
    }
    Err(Error::user("nothing may be mounted inside /proc")
        .hint("mount it elsewhere; podrun hides paths with maskedPaths"))
}

/// Options that only some mounts can have.
fn check_extras(options: &Options, kind: &MountKind) -> Result<()> {
    let (extras, is_bind) =
        (options.extras, matches!(kind, MountKind::Bind { .. } | MountKind::BindInside { .. }));
    if extras.copy_up && !matches!(kind, MountKind::New { fstype, .. } if fstype.as_c_str() == c"tmpfs") {
        return Err(Error::user("option \"tmpcopyup\" is for a new tmpfs alone"));
    }
    for (name, given) in [
        ("copy-symlink", extras.copy_symlink),
        ("src-nofollow", extras.source_nofollow),
        ("dest-nofollow", extras.destination_nofollow),
    ] {
        if given && !is_bind {
            return Err(Error::user(format!("option {name:?} is for a bind mount alone")));
        }
    }
    Ok(())
}

/// Takes parameters of a file system off a bind mount, which makes none. The kernel would ignore them, and so does every
/// runtime; flags of a file system are given that way on purpose, the rest may be a mistake.
fn drop_data(options: &mut Options, mount: &Mount) {
    for parameter in std::mem::take(&mut options.parameters) {
        if !options::is_superblock_flag(&parameter) {
            let destination = mount.destination().display().to_string();
            report::warn(&format!(
                "mount at {destination:?}: option {parameter:?} means nothing to a bind mount and is ignored"
            ));
        }
    }
}

fn bind(places: Places<'_>, mount: &Mount, extras: Extras) -> Result<MountKind> {
    let Some(source) = mount.source().as_deref().filter(|source| !source.as_os_str().is_empty()) else {
        return Err(Error::user("a bind mount without a source"));
    };
    let source = places.bundle.join(source);
    if let Some(source) = places.inside(&source) {
        return Ok(MountKind::BindInside { source: clean(&source) });
    }
    let found = if extras.copy_symlink || extras.source_nofollow {
        std::fs::symlink_metadata(&source)
    } else {
        std::fs::metadata(&source)
    };
    match found {
        Ok(_) => Ok(MountKind::Bind { source: c_path(&source)? }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(Kind::User, format!("{:?} does not exist", source.display().to_string()))
                .because(error)
                .hint("create it, or correct the mount's source"))
        }
        Err(error) => Err(error).context_as(Kind::User, || format!("cannot use {source:?}")),
    }
}

fn new(kind: &str, mount: &Mount) -> Result<MountKind> {
    if kind.is_empty() {
        return Err(
            Error::user("a mount without a type").hint("give a type such as tmpfs, or the option bind")
        );
    }
    if kind == "cgroup" || kind == "cgroup2" {
        return Ok(MountKind::Cgroup(Vec::new())); // filled in by the caller, who knows the container's group
    }
    let fstype = CString::new(kind).map_err(|_| Error::user("the type holds a NUL byte"))?;
    let source = mount.source().as_deref().map(c_path).transpose()?;
    Ok(MountKind::New { fstype, source })
}

/// The devices that every container has (config-linux.md, "Default Devices"), then those of the spec, which win.
///
/// # Errors
/// For a device without a path, of type `u` nowhere known, or with numbers out of range, and for two at one path.
pub fn devices(extra: &[LinuxDevice]) -> Result<Vec<Device>> {
    const DEFAULT: [(&str, (u32, u32)); 6] = [
        ("/dev/null", (1, 3)),
        ("/dev/zero", (1, 5)),
        ("/dev/full", (1, 7)),
        ("/dev/tty", (5, 0)),
        ("/dev/random", (1, 8)),
        ("/dev/urandom", (1, 9)),
    ];
    let mut devices = Vec::with_capacity(DEFAULT.len() + extra.len());
    let mut places: HashMap<PathBuf, (usize, Device)> = HashMap::with_capacity(extra.len());
    for (index, device) in extra.iter().enumerate() {
        let title = || format!("linux.devices[{index}]");
        let device = self::device(device).context(title)?;
        // Always a link to the one of the container's own devpts; clients that hand over all of the host's name it.
        if device.path == Path::new("/dev/ptmx") {
            continue;
        }
        match places.get(&device.path) {
            None => {
                places.insert(device.path.clone(), (index, device.clone()));
                devices.push(device);
            }
            // As clients have it that hand over all of the host's beside some by name.
            Some((_, earlier)) if (earlier.kind, earlier.number) == (device.kind, device.number) => {}
            Some((earlier, _)) => {
                let text = format!("{:?} is another device in linux.devices[{earlier}]", device.path);
                let error = Error::user(text).hint("leave one of them out, or give it another path");
                return Err(error).context(title);
            }
        }
    }
    for (path, number) in DEFAULT {
        if !places.contains_key(Path::new(path)) {
            devices.push(Device {
                path: path.into(),
                kind: libc::S_IFCHR,
                number,
                mode: 0o666,
                uid: 0,
                gid: 0,
            });
        }
    }
    Ok(devices)
}

fn device(device: &LinuxDevice) -> Result<Device> {
    let path = clean(device.path());
    if path == Path::new("/") {
        return Err(Error::user("path: is missing"));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(Error::user("type: \"a\" is for cgroup rules, not for a device file"));
        }
    };
    // The kernel has 12 bits for the major number and 20 for the minor one.
    let number = |value: i64, name: &str, bits: u32| match u32::try_from(value) {
        Ok(number) if number >> bits == 0 => Ok(number),
        _ => Err(Error::user(format!("{name}: {value} is no device number"))),
    };
    Ok(Device {
        path,
        kind,
        number: (number(device.major(), "major", 12)?, number(device.minor(), "minor", 20)?),
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// The root file system's directory, checked to be one.
///
/// # Errors
/// When it is missing or no directory.
pub fn root_directory(bundle: &Path, root: &Path) -> Result<PathBuf> {
    let path = bundle.join(root);
    let metadata =
        std::fs::metadata(&path).context_as(Kind::User, || format!("root.path: cannot use {path:?}"))?;
    if metadata.is_dir() {
        return std::fs::canonicalize(&path).context(|| format!("root.path: cannot resolve {path:?}"));
    }
    Err(Error::user(format!("root.path: {path:?} is not a directory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_stay_below_the_root() {
        for (given, want) in [("/a/../../b", "/b"), ("a/./b", "/a/b"), ("/", "/"), ("../..", "/")] {
            assert_eq!(clean(Path::new(given)), Path::new(want));
        }
    }

    #[test]
    fn devices_of_the_spec_replace_the_default_ones() {
        let json = r#"[{"path": "/dev/null", "type": "c", "major": 1, "minor": 5, "fileMode": 384}]"#;
        let extra: Vec<LinuxDevice> = serde_json::from_str(json).unwrap();
        let devices = devices(&extra).unwrap();
        assert_eq!(devices.len(), 6);
        assert_eq!((devices[0].number, devices[0].mode), ((1, 5), 0o600));
        for (major, minor) in [(-1, 5), (4096, 5), (1, 1 << 20)] {
            let bad = serde_json::json!([{"path": "/dev/x", "type": "c", "major": major, "minor": minor}]);
            let bad: Vec<LinuxDevice> = serde_json::from_value(bad).unwrap();
            assert!(super::devices(&bad).is_err(), "{major}:{minor}");
        }
    }

    #[test]
    fn of_two_devices_at_one_path_the_first_counts_if_they_are_the_same() {
        let planned = |second: serde_json::Value| {
            let first =
                serde_json::json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 384});
            let ptmx = serde_json::json!({"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2});
            let all = serde_json::json!([ptmx, first, second]);
            devices(&serde_json::from_value::<Vec<LinuxDevice>>(all).unwrap())
        };
        for same in ["c", "u"] {
            let second =
                serde_json::json!({"path": "/dev/../dev/x", "type": same, "major": 1, "minor": 3, "uid": 7});
            let devices = planned(second).unwrap();
            assert_eq!((devices.len(), devices[0].mode, devices[0].uid), (7, 0o600, 0), "{same}");
        }
        for (kind, major, minor) in [("b", 1, 3), ("c", 2, 3), ("c", 1, 5)] {
            let second = serde_json::json!({"path": "/dev/x", "type": kind, "major": major, "minor": minor});
            let error = planned(second).unwrap_err();
            assert_eq!(
                error.to_string(),
                "linux.devices[2]: \"/dev/x\" is another device in linux.devices[1]"
            );
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn a_missing_bind_source_is_named() {
        let mount: Mount =
            serde_json::from_str(r#"{"destination": "/d", "source": "/no/such", "options": ["bind"]}"#)
                .unwrap();
        let places = Places { bundle: Path::new("/"), root: Path::new("/r") };
        let error = super::mount(places, &mount).unwrap_err();
        assert!(error.to_string().starts_with("\"/no/such\" does not exist"), "{error}");
    }

    #[test]
    fn sources_that_lead_out_of_the_root_are_the_hosts() {
        let places = Places { bundle: Path::new("/"), root: Path::new("/usr") };
        for (given, want) in [
            ("usr/../etc", c"/usr/../etc"),
            ("/usr/../etc", c"/usr/../etc"),
            ("/usr/bin/../../etc", c"/usr/bin/../../etc"),
        ] {
            let mount = serde_json::json!({"destination": "/d", "source": given, "options": ["bind"]});
            let kind = super::mount(places, &serde_json::from_value(mount).unwrap()).unwrap().kind;
            let MountKind::Bind { source } = kind else { panic!("{kind:?}") };
            assert_eq!(source.as_c_str(), want);
        }
    }

    #[test]
    fn paths_of_the_root_on_the_host_mean_those_of_the_container() {
        let places = Places { bundle: Path::new("/b"), root: Path::new("/b/rootfs") };
        let plan = |destination: &str, source: &str, options: &[&str]| {
            let mount = serde_json::json!({"destination": destination, "source": source, "options": options});
            super::mount(places, &serde_json::from_value(mount).unwrap())
        };
        let inside = plan("/b/rootfs/final", "rootfs/mnt/../x", &["rbind"]).unwrap();
        assert_eq!(inside.destination, Path::new("/final"));
        assert!(matches!(inside.kind, MountKind::BindInside { source } if source == Path::new("/x")));
        assert_eq!(plan("/b/rootfs-2", "/", &["bind"]).unwrap().destination, Path::new("/b/rootfs-2"));
        assert!(plan("/proc/self/../1", "/", &["bind"]).is_err());
        assert!(plan("/proc/meminfo", "/", &["bind"]).is_ok());
        assert!(plan("/x", "/", &["bind", "tmpcopyup"]).is_err());
        let bind = plan("/x", "/", &["bind", "size=1", "sync"]).unwrap();
        assert!(bind.options.parameters.is_empty());
    }
}
