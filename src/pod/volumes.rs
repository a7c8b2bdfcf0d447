//! Volumes of a pod: whether the host can give what is asked for, and making it.
//!
//! Invariant: everything made lies below the pod's two directories, so that their removal removes it; a hostPath is
//! the host's and stays.

use crate::error::{Context, Error, Result};
use crate::model::ids::VolumeName;
use crate::model::volume::{HostPathType, Medium, VolumeSource, VolumeSpec};
use crate::pod::paths::Paths;
use crate::pod::record::PodKind;
use crate::state::atomic;
use crate::sys::{fs, mount};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Checks that all of `volumes` can be made, without making anything.
///
/// # Errors
/// Names the volume: a name given twice, a limit that nobody would enforce, a host path that is not what it must be.
pub(super) fn check(volumes: &[VolumeSpec], kind: PodKind) -> Result<()> {
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
        if let (PodKind::Bare, VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: Some(_) }) =
            (kind, &volume.source)
        {
            return Err(Error::user(
                "sizeLimit is for a manifest's pod: nobody watches the disk of a bare one",
            )
            .hint("add medium=Memory, or leave the limit out"))
            .context(|| format!("cannot mount volume \"{name}\""));
        }
        check_one(volume)?;
    }
    Ok(())
}

/// Checks that one volume can be made, without making anything: for whoever knows where in a manifest it stands.
///
/// # Errors
/// Names the volume: a tmpfs without a size, a host path that is not what it must be.
pub fn check_one(volume: &VolumeSpec) -> Result<()> {
    match &volume.source {
        // To tmpfs a size of 0 means no limit at all, tmpfs(5).
        VolumeSource::EmptyDir { medium: Medium::Memory, size_limit_bytes: Some(0) } => {
            Err(Error::user("sizeLimit must be above 0"))
        }
        VolumeSource::EmptyDir { .. } => Ok(()),
        VolumeSource::HostPath { path, expected } => check_host_path(path, *expected),
    }
    .context(|| format!("cannot mount volume \"{}\"", volume.name))
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
        Ok(_) => Err(Error::user(format!("{path:?} is not {}", expected.words()))),
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

/// Makes the tmpfs for the small files of containers' /etc. It is not for programs: whatever the files are made to be,
/// nobody executes them.
pub(super) fn mount_etc(path: &Path, size_bytes: u64) -> Result<()> {
    let attributes = mount::ATTR_NOSUID | mount::ATTR_NODEV | mount::ATTR_NOEXEC;
    mount_tmpfs(path, &Tmpfs { size_bytes: Some(size_bytes), mode: c"0755", attributes })
        .context(|| "cannot make a place for the pod's /etc/hosts")
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
            for (name, kind) in HostPathType::all() {
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
        let check = |specs: &[VolumeSpec]| check(specs, PodKind::Bare);
        assert!(check(&specs(&["a=emptyDir", "b=emptyDir,medium=Memory,sizeLimit=1Mi"])).is_ok());
        assert!(super::check(&specs(&["a=emptyDir,sizeLimit=1Mi"]), PodKind::Manifest).is_ok());
        for (bad, words) in [
            (specs(&["a=emptyDir", "a=emptyDir"]), "volume \"a\" is given twice"),
            (specs(&["a=emptyDir,sizeLimit=1Mi"]), "nobody watches"),
            (specs(&["a=emptyDir,medium=Memory,sizeLimit=0"]), "above 0"),
            (
                specs(&["a=hostPath:/no/such/thing"]),
                "cannot mount volume \"a\": \"/no/such/thing\" does not exist",
            ),
        ] {
            let error = check(&bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
