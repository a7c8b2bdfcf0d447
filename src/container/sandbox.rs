//! Making a container a member of a pod: its spec is changed before it is planned, so that the rest of the code knows
//! nothing of pods.

use super::mounts::options::words;
use crate::error::{Context, Error, Kind, Result};
use crate::model::sandbox::{Sandbox, VolumeMount};
use crate::report;
use crate::sys::pidfd;
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Mount, Spec};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Changes the spec: namespaces of the pod, its files, its volumes, the group `leaf` below its own.
///
/// # Errors
/// For a namespace path that contradicts the pod, and for an unknown volume.
pub fn join(spec: &mut Spec, sandbox: &Sandbox, volumes: &[VolumeMount], leaf: &str) -> Result<()> {
    hostname(spec, sandbox);
    mounts(spec, sandbox, volumes)?;
    let Some(linux) = spec.linux_mut() else { return Err(Error::user("linux: is missing")) };
    namespaces(linux, sandbox)?;
    if let Some(path) = linux.cgroups_path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
        report::warn(&format!("linux.cgroupsPath {path:?} is not used: the pod's cgroup is"));
    }
    linux.set_cgroups_path(Some(Path::new(&sandbox.cgroup_path).join(leaf)));
    Ok(())
}

/// Makes sure that the paths of namespaces that [`join`] wrote led to the pod's: asked once they are opened, for the pid
/// in them is the pause's as long as that lives.
///
/// # Errors
/// When the pause is dead.
pub fn check_pause(sandbox: &Sandbox) -> Result<()> {
    pidfd::send_signal(sandbox.pause.as_fd(), 0)
        .context(|| format!("the pause process of pod {:?} is gone", sandbox.title))
}

fn hostname(spec: &mut Spec, sandbox: &Sandbox) {
    if let Some(own) = spec.hostname().as_deref().filter(|own| !own.is_empty() && *own != sandbox.hostname) {
        report::warn(&format!("hostname {own:?} is not used: the pod's is {:?}", sandbox.hostname));
    }
    spec.set_hostname(None);
}

/// A network, ipc or uts entry without a path, or none at all, means the pod's; likewise pid where the pod shares it.
fn namespaces(linux: &mut Linux, sandbox: &Sandbox) -> Result<()> {
    let inodes = &sandbox.inodes;
    let mut shared = vec![
        (LinuxNamespaceType::Ipc, "ipc", inodes.ipc),
        (LinuxNamespaceType::Uts, "uts", inodes.uts),
        (LinuxNamespaceType::Network, "net", inodes.net),
    ];
    if let Some(inode) = inodes.pid {
        shared.push((LinuxNamespaceType::Pid, "pid", inode));
    }
    let mut entries = linux.namespaces().clone().unwrap_or_default();
    for (kind, file, inode) in shared {
        let own = PathBuf::from(format!("/proc/{}/ns/{file}", sandbox.pause_pid));
        match entries.iter_mut().find(|entry| entry.typ() == kind) {
            Some(entry) => match entry.path().clone().filter(|path| !path.as_os_str().is_empty()) {
                None => {
                    entry.set_path(Some(own));
                }
                Some(path) => contradiction(&path, inode, &sandbox.title)
                    .context(|| format!("linux.namespaces ({kind})"))?,
            },
            None => {
                let mut entry = LinuxNamespace::default();
                entry.set_typ(kind).set_path(Some(own));
                entries.push(entry);
            }
        }
    }
    // With the host's network there is nothing to join: an entry would only name the host's own.
    if sandbox.host_network {
        entries.retain(|entry| entry.typ() != LinuxNamespaceType::Network);
    }
    linux.set_namespaces(Some(entries));
    Ok(())
}

fn contradiction(path: &Path, inode: u64, title: &str) -> Result<()> {
    let found = std::fs::metadata(path).context_as(Kind::User, || format!("path {path:?}"))?;
    if found.ino() == inode {
        return Ok(());
    }
    Err(Error::user(format!(
        "path {path:?} contradicts pod {title:?}: it is another namespace than the pod's"
    ))
    .hint("leave the path out: --pod joins the pod's namespaces"))
}

fn bind(source: &Path, destination: &Path, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.to_owned())
        .set_source(Some(source.to_owned()))
        .set_typ(Some("bind".to_owned()))
        .set_options(Some(options.iter().map(ToString::to_string).collect()));
    mount
}

fn mounts(spec: &mut Spec, sandbox: &Sandbox, volumes: &[VolumeMount]) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let shm = Path::new("/dev/shm");
    let binds = |mount: &Mount| {
        let mut words = words(mount.options().as_deref().unwrap_or_default());
        mount.typ().as_deref() == Some("bind") || words.any(|word| word == "bind" || word == "rbind")
    };
    let own_shm = mounts.iter().any(|mount| mount.destination() == shm && binds(mount));
    if !own_shm {
        let pods = bind(&sandbox.shm, shm, &["bind", "nosuid", "nodev", "noexec"]);
        match mounts.iter_mut().find(|mount| mount.destination() == shm) {
            Some(tmpfs) => *tmpfs = pods, // where `spec` writes a plain tmpfs
            None => mounts.push(pods),
        }
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        let destination = Path::new("/etc").join(file);
        if !mounts.iter().any(|mount| *mount.destination() == destination) {
            mounts.push(bind(&sandbox.etc.join(file), &destination, &["bind"]));
        }
    }
    for volume in volumes {
        let Some((_, source)) = sandbox.volumes.iter().find(|(name, _)| *name == volume.name) else {
            let known: Vec<_> = sandbox.volumes.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::user(format!(
                "pod {:?} has no volume {:?}",
                sandbox.title,
                volume.name.as_str()
            ))
            .hint(format!(
                "its volumes are: {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            )));
        };
        let access = if volume.read_only { "ro" } else { "rw" };
        mounts.push(bind(source, &volume.path, &["rbind", "rprivate", access]));
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}
