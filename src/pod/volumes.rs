//! Volumes of a pod: what may be asked for, whether the host can give it, and making it.
//!
//! Invariant: everything made lies below the pod's two directories, so that their removal removes it; a hostPath is
//! the host's and stays.

use crate::error::{Context, Error, Result};
use crate::model::ids::VolumeName;
use crate::model::quantity;
use crate::pod::paths::Paths;
use crate::state::atomic;
use crate::sys::{fs, mount};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// A volume as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Name, unique within the pod.
    pub name: VolumeName,
    /// What it is made of.
    pub source: VolumeSource,
}

/// What a volume is made of, named as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VolumeSource {
    /// A directory that begins empty and ends with the pod.
    EmptyDir {
        /// Where its content lies.
        medium: Medium,
        /// Most bytes it may hold; only where that can be enforced.
        size_limit_bytes: Option<u64>,
    },
    /// A file or directory of the host.
    HostPath {
        /// Absolute path on the host.
        path: PathBuf,
        /// What must be there, or is to be made.
        expected: HostPathType,
    },
}

impl VolumeSource {
    /// Kubernetes' name of the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EmptyDir { .. } => "emptyDir",
            Self::HostPath { .. } => "hostPath",
        }
    }
}

/// Where an emptyDir's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// Below the data root.
    Disk,
    /// In a tmpfs; its pages count as memory of the cgroup that writes them.
    Memory,
}

/// `hostPath.type`, as Kubernetes documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// `""`: anything that is there.
    Unset,
    /// A directory, made with mode 0755 if nothing is there.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A regular file, made with mode 0644 if nothing is there; its directory must be there.
    FileOrCreate,
    /// A regular file.
    File,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Each type's name, and in words what must be at the path.
const HOST_PATH_TYPES: [(&str, HostPathType, &str); 8] = [
    ("", HostPathType::Unset, "a file"),
    ("DirectoryOrCreate", HostPathType::DirectoryOrCreate, "a directory"),
    ("Directory", HostPathType::Directory, "a directory"),
    ("FileOrCreate", HostPathType::FileOrCreate, "a regular file"),
    ("File", HostPathType::File, "a regular file"),
    ("Socket", HostPathType::Socket, "a socket"),
    ("CharDevice", HostPathType::CharDevice, "a character device"),
    ("BlockDevice", HostPathType::BlockDevice, "a block device"),
];

impl FromStr for HostPathType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        HOST_PATH_TYPES.iter().find(|row| row.0 == text).map(|row| row.1).ok_or_else(|| {
            let known: Vec<&str> = HOST_PATH_TYPES.iter().skip(1).map(|row| row.0).collect();
            Error::user(format!("unknown hostPath type {text:?}"))
                .hint(format!("use one of {}", known.join(", ")))
        })
    }
}

impl FromStr for VolumeSpec {
    type Err = Error;
    /// Parses `NAME=emptyDir[,medium=Memory][,sizeLimit=64Mi]` or `NAME=hostPath:SRC[,type=T]`.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).context(|| format!("invalid volume {text:?}"))
    }
}

fn parse(text: &str) -> Result<VolumeSpec> {
    const FORMS: &str =
        "write NAME=emptyDir[,medium=Memory][,sizeLimit=64Mi] or NAME=hostPath:PATH[,type=DirectoryOrCreate]";
    let (name, source) =
        text.split_once('=').ok_or_else(|| Error::user("there is no `=` behind the name").hint(FORMS))?;
    let name = name.parse()?;
    let source = if let Some(source) = source.strip_prefix("hostPath:") {
        parse_host_path(source)?
    } else {
        let mut parts = source.split(',');
        match parts.next() {
            Some("emptyDir") => parse_empty_dir(parts)?,
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(Error::user(format!("unknown kind {kind:?}")).hint(FORMS));
            }
        }
    };
    Ok(VolumeSpec { name, source })
}

/// The path may hold commas: only a `,type=` behind the last of them is an option.
fn parse_host_path(text: &str) -> Result<VolumeSource> {
    let (path, expected) = match text.rsplit_once(",type=") {
        Some((path, kind)) => (path, kind.parse()?),
        None => (text, HostPathType::Unset),
    };
    Ok(VolumeSource::HostPath { path: path.into(), expected })
}

fn parse_empty_dir<'a>(options: impl Iterator<Item = &'a str>) -> Result<VolumeSource> {
    let (mut medium, mut size_limit_bytes) = (None, None);
    for option in options {
        match option.split_once('=') {
            Some(("medium", value)) if medium.is_none() => {
                medium = Some(match value {
                    "" => Medium::Disk,
                    "Memory" => Medium::Memory,
                    _ => {
                        return Err(Error::user(format!("unsupported medium {value:?}"))
                            .hint("use Memory, or leave it out for the disk"));
                    }
                });
            }
            Some(("sizeLimit", value)) if size_limit_bytes.is_none() => {
                size_limit_bytes = Some(quantity::bytes(value)?);
            }
            Some((key @ ("medium" | "sizeLimit"), _)) => {
                return Err(Error::user(format!("{key} is given twice")));
            }
            _ => {
                return Err(Error::user(format!("unknown option {option:?}"))
                    .hint("an emptyDir knows medium=Memory and sizeLimit=QUANTITY"));
            }
        }
    }
    Ok(VolumeSource::EmptyDir { medium: medium.unwrap_or(Medium::Disk), size_limit_bytes })
}

/// Checks that all of `volumes` can be made, without making anything.
///
/// # Errors
/// Names the volume: a name given twice, a limit that cannot be enforced, a host path that is not what it must be.
pub(super) fn check(volumes: &[VolumeSpec]) -> Result<()> {
    /// Far more than a pod has use for; each is at least a directory and a mount in every container.
    const MOST: usize = 256;
    if volumes.len() > MOST {
        return Err(Error::user(format!("{} volumes are more than {MOST}", volumes.len())));
    }
    for (place, volume) in volumes.iter().enumerate() {
        let name = &volume.name;
        if volumes.iter().take(place).any(|other| other.name == *name) {
            return Err(Error::user(format!("volume \"{name}\" is given twice")));
        }
        match &volume.source {
            VolumeSource::EmptyDir { medium, size_limit_bytes } => check_limit(*medium, *size_limit_bytes),
            VolumeSource::HostPath { path, expected } => check_host_path(path, *expected),
        }
        .context(|| format!("cannot use volume \"{name}\""))?;
    }
    Ok(())
}

fn check_limit(medium: Medium, limit: Option<u64>) -> Result<()> {
    match (medium, limit) {
        (Medium::Disk, Some(_)) => {
            Err(Error::user("sizeLimit of an emptyDir on disk is not supported: it could not be enforced")
                .hint("add medium=Memory, or leave the limit out"))
        }
        // To tmpfs a size of 0 means no limit at all, tmpfs(5).
        (Medium::Memory, Some(0)) => Err(Error::user("sizeLimit must be above 0")),
        _ => Ok(()),
    }
}

/// What the host has at `path` must be what is expected; nothing is made.
fn check_host_path(path: &Path, expected: HostPathType) -> Result<()> {
    if !path.is_absolute() {
        return Err(Error::user(format!("host path {path:?} is not absolute")));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(Error::user(format!("host path {path:?} must not contain \"..\"")));
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(Error::user(format!("host path {path:?} must not contain a NUL byte")));
    }
    match std::fs::metadata(path) {
        Ok(meta) if fits(meta.file_type(), expected) => Ok(()),
        Ok(_) => Err(Error::user(format!("{path:?} is not {}", words(expected)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(path, expected),
        Err(error) => Err(error).context(|| format!("cannot look at {path:?}")),
    }
}

fn missing(path: &Path, expected: HostPathType) -> Result<()> {
    match expected {
        HostPathType::DirectoryOrCreate => Ok(()),
        HostPathType::FileOrCreate if path.parent().is_some_and(Path::is_dir) => Ok(()),
        HostPathType::FileOrCreate => {
            Err(Error::user(format!("the directory of {path:?} does not exist")).hint("create it"))
        }
        HostPathType::Unset | HostPathType::Directory => Err(Error::user(format!("{path:?} does not exist"))
            .hint("create it, or set hostPath.type: DirectoryOrCreate")),
        _ => Err(Error::user(format!("{path:?} does not exist")).hint("create it")),
    }
}

fn words(expected: HostPathType) -> &'static str {
    HOST_PATH_TYPES.iter().find(|row| row.1 == expected).map_or("", |row| row.2)
}

fn fits(there: std::fs::FileType, expected: HostPathType) -> bool {
    match expected {
        HostPathType::Unset => true,
        HostPathType::DirectoryOrCreate | HostPathType::Directory => there.is_dir(),
        HostPathType::FileOrCreate | HostPathType::File => there.is_file(),
        HostPathType::Socket => there.is_socket(),
        HostPathType::CharDevice => there.is_char_device(),
        HostPathType::BlockDevice => there.is_block_device(),
    }
}

/// The path that containers mount.
pub(super) fn path_of(volume: &VolumeSpec, paths: &Paths) -> PathBuf {
    match &volume.source {
        VolumeSource::EmptyDir { medium: Medium::Disk, .. } => paths.disk_volume(&volume.name),
        VolumeSource::EmptyDir { medium: Medium::Memory, .. } => paths.memory_volume(&volume.name),
        VolumeSource::HostPath { path, .. } => path.clone(),
    }
}

/// Makes one volume.
///
/// # Errors
/// Names the volume; what was made before the failure is found below the pod's directories.
pub(super) fn make(name: &VolumeName, source: &VolumeSource, path: &Path) -> Result<()> {
    match source {
        VolumeSource::EmptyDir { medium: Medium::Disk, .. } => make_on_disk(path),
        VolumeSource::EmptyDir { medium: Medium::Memory, size_limit_bytes } => {
            mount_tmpfs(path, &Tmpfs { size_bytes: *size_limit_bytes, mode: c"0777", attributes: 0 })
        }
        VolumeSource::HostPath { path, expected } => make_on_host(path, *expected),
    }
    .context(|| format!("cannot make volume \"{name}\""))
}

/// Mode 0777 as Kubernetes gives it: containers run as anybody.
fn make_on_disk(path: &Path) -> Result<()> {
    atomic::make_directories(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
        .context(|| format!("cannot change the mode of {path:?}"))
}

fn make_on_host(path: &Path, expected: HostPathType) -> Result<()> {
    match expected {
        HostPathType::DirectoryOrCreate => {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
        }
        HostPathType::FileOrCreate => {
            let mut options = std::fs::OpenOptions::new();
            match options.write(true).create_new(true).mode(0o644).open(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
    .context(|| format!("cannot create {path:?}"))
}

/// What a tmpfs is to be.
struct Tmpfs {
    /// Most bytes, or the kernel's default of half the memory.
    size_bytes: Option<u64>,
    /// Octal mode of its root.
    mode: &'static std::ffi::CStr,
    /// Mount attributes.
    attributes: u64,
}

/// Makes the tmpfs that is /dev/shm in all containers of the pod, as large as Kubernetes' (64 MiB).
pub(super) fn make_shm(path: &Path) -> Result<()> {
    let attributes = mount::ATTR_NOSUID | mount::ATTR_NODEV | mount::ATTR_NOEXEC;
    mount_tmpfs(path, &Tmpfs { size_bytes: Some(64 << 20), mode: c"1777", attributes })
        .context(|| "cannot make the pod's /dev/shm")
}

fn mount_tmpfs(path: &Path, tmpfs: &Tmpfs) -> Result<()> {
    atomic::make_directories(path)?;
    let context = mount::FsContext::open(c"tmpfs").context(|| "cannot make a tmpfs").map_err(|error| {
        if error.errno() == Some(libc::EPERM) {
            error.hint("run podrun as root, with CAP_SYS_ADMIN")
        } else {
            error
        }
    })?;
    let configure = || -> io::Result<std::os::fd::OwnedFd> {
        if let Some(size) = tmpfs.size_bytes {
            context.set_string(c"size", &CString::new(size.to_string())?)?;
        }
        context.set_string(c"mode", tmpfs.mode)?;
        context.mount(tmpfs.attributes)
    };
    let mounted = match configure() {
        Ok(mounted) => mounted,
        Err(error) => {
            let error = Err(error).context(|| "cannot make a tmpfs");
            return match context.complaint() {
                Some(complaint) => error.map_err(|error| error.hint(format!("the kernel says: {complaint}"))),
                None => error,
            };
        }
    };
    let attach = || -> io::Result<()> {
        let place = fs::open_existing(path, libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)?;
        mount::move_mount(mounted.as_fd(), place.as_fd())?;
        // The host's root is often shared: what a container's own mounts do must not come back here.
        let private = mount::MountAttr { propagation: libc::MS_PRIVATE, ..Default::default() };
        mount::mount_setattr(mounted.as_fd(), mount::Depth::One, &private)
    };
    attach().context(|| format!("cannot mount a tmpfs at {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_dir(medium: Medium, size_limit_bytes: Option<u64>) -> VolumeSource {
        VolumeSource::EmptyDir { medium, size_limit_bytes }
    }

    fn host_path(path: &str, expected: HostPathType) -> VolumeSource {
        VolumeSource::HostPath { path: path.into(), expected }
    }

    #[test]
    fn grammar() {
        let table = [
            ("a=emptyDir", empty_dir(Medium::Disk, None)),
            ("a=emptyDir,medium=", empty_dir(Medium::Disk, None)),
            ("a=emptyDir,medium=Memory", empty_dir(Medium::Memory, None)),
            ("a=emptyDir,sizeLimit=64Mi,medium=Memory", empty_dir(Medium::Memory, Some(64 << 20))),
            ("a=hostPath:/srv", host_path("/srv", HostPathType::Unset)),
            ("a=hostPath:/s,r=v,type=File", host_path("/s,r=v", HostPathType::File)),
            ("a=hostPath:/srv,type=", host_path("/srv", HostPathType::Unset)),
        ];
        for (text, source) in table {
            assert_eq!(text.parse::<VolumeSpec>().unwrap().source, source, "{text}");
        }
        for (text, words) in [
            ("a", "no `=`"),
            ("A=emptyDir", "invalid name"),
            ("=emptyDir", "invalid name"),
            ("a=", "unknown kind"),
            ("a=nfs:/x", "unknown kind \"nfs:/x\""),
            ("a=emptyDir,size=1", "unknown option"),
            ("a=emptyDir,medium=HugePages", "unsupported medium"),
            ("a=emptyDir,medium=Memory,medium=Memory", "given twice"),
            ("a=emptyDir,sizeLimit=x", "invalid quantity"),
            ("a=hostPath:/srv,type=Dir", "unknown hostPath type \"Dir\""),
        ] {
            let error = text.parse::<VolumeSpec>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn host_paths_must_be_what_their_type_says() {
        let directory = std::env::temp_dir().join(format!("podrun-volumes-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("file");
        std::fs::OpenOptions::new().write(true).create_new(true).open(&file).unwrap();
        let socket = directory.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let (absent, device) = (directory.join("absent"), PathBuf::from("/dev/null"));
        let deep = absent.join("deep");
        use HostPathType as T;
        let table = [
            (&directory, vec![T::Unset, T::Directory, T::DirectoryOrCreate]),
            (&file, vec![T::Unset, T::File, T::FileOrCreate]),
            (&socket, vec![T::Unset, T::Socket]),
            (&device, vec![T::Unset, T::CharDevice]),
            (&absent, vec![T::DirectoryOrCreate, T::FileOrCreate]),
            (&deep, vec![T::DirectoryOrCreate]),
        ];
        for (path, good) in table {
            for (name, kind, _) in HOST_PATH_TYPES {
                assert_eq!(check_host_path(path, kind).is_ok(), good.contains(&kind), "{path:?} {name}");
            }
        }
        for bad in ["relative", "/a/../b"] {
            assert!(check_host_path(Path::new(bad), T::DirectoryOrCreate).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn sets_of_volumes() {
        let specs = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<VolumeSpec>>();
        assert!(check(&specs(&["a=emptyDir", "b=emptyDir,medium=Memory,sizeLimit=1Mi"])).is_ok());
        for (bad, words) in [
            (specs(&["a=emptyDir", "a=emptyDir"]), "volume \"a\" is given twice"),
            (specs(&["a=emptyDir,sizeLimit=1Mi"]), "could not be enforced"),
            (specs(&["a=emptyDir,medium=Memory,sizeLimit=0"]), "above 0"),
            (specs(&["a=hostPath:/no/such/thing"]), "\"/no/such/thing\" does not exist"),
        ] {
            let error = check(&bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
