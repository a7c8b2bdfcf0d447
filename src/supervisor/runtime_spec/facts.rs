//! What the specs of containers depend on of the host.

use crate::cgroup::Hierarchies;
use crate::error::{Context, Error, Result};
use caps::CapSet;
use oci_spec::runtime::{Capabilities, LinuxDevice, LinuxDeviceType};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What is known of the host and of podrun's own privileges.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What podrun itself has, and so can give.
    pub capabilities: Capabilities,
    /// The machine's memory.
    pub memory_bytes: u64,
    /// podrun's own `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Whether a process can be given less than that.
    pub may_lower_oom_score: bool,
    /// Whether the kernel counts swap: v1 only does if it was booted so.
    pub limits_swap: bool,
    /// Whether the kernel can be told to end a container as a whole when it runs out of memory, as v2 can.
    pub kills_groups: bool,
    /// [`host_devices`]; only privileged containers get them.
    pub devices: Vec<LinuxDevice>,
}

impl Facts {
    /// Looks at the host. The devices are left out: they are many, come and go, and few containers want them.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn gather(hierarchies: &Hierarchies) -> Result<Self> {
        let ours = caps::read(None, CapSet::Permitted)
            .map_err(|error| Error::host(format!("cannot read podrun's capabilities: {error}")))?;
        let name = |capability: &caps::Capability| capability.to_string();
        Ok(Self {
            capabilities: ours
                .iter()
                .filter_map(|capability| name(capability).strip_prefix("CAP_")?.parse().ok())
                .collect(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")?)
                .ok_or_else(|| Error::host("cannot read /proc/meminfo: it has no MemTotal"))?,
            oom_score_adj: read("/proc/self/oom_score_adj")?
                .trim()
                .parse()
                .map_err(|_| Error::host("cannot read /proc/self/oom_score_adj: it is no number"))?,
            may_lower_oom_score: ours.contains(&caps::Capability::CAP_SYS_RESOURCE),
            limits_swap: limits_swap(hierarchies),
            kills_groups: kills_groups(hierarchies),
            devices: Vec::new(),
        })
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("cannot read {path}"))
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn limits_swap(hierarchies: &Hierarchies) -> bool {
    hierarchies.mounts().any(|(controllers, mount)| {
        controllers.split(',').any(|c| c == "memory") && mount.join("memory.memsw.limit_in_bytes").exists()
    }) || hierarchies.mode() == crate::cgroup::Mode::V2
}

fn kills_groups(hierarchies: &Hierarchies) -> bool {
    let limits_memory = |mount: &Path| {
        let controllers = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|controller| controller == "memory")
    };
    hierarchies.mode() == crate::cgroup::Mode::V2
        && hierarchies.mounts().any(|(_, mount)| limits_memory(mount))
}

/// Names in /dev that hold no device of the machine: file systems that every container has of its own, links, and the
/// terminal of whoever started us.
const NOT_DEVICES: [&str; 8] = ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];

/// Deepest directory below /dev that is looked into.
const DEPTH: u32 = 8;

/// Every character and block device below /dev. Symbolic links are not followed; what vanishes meanwhile is left out.
///
/// # Errors
/// When /dev cannot be read.
pub fn host_devices() -> Result<Vec<LinuxDevice>> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), DEPTH, &mut devices).context(|| "cannot list the devices in /dev")?;
    devices.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(devices)
}

fn collect(directory: &Path, depth: u32, devices: &mut Vec<LinuxDevice>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if NOT_DEVICES.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let kind = metadata.file_type();
        if kind.is_dir() && depth > 0 {
            match collect(&entry.path(), depth - 1, devices) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => continue,
            }
        }
        let kind = match (kind.is_char_device(), kind.is_block_device()) {
            (true, _) => LinuxDeviceType::C,
            (_, true) => LinuxDeviceType::B,
            _ => continue,
        };
        let mut device = LinuxDevice::default();
        device
            .set_path(entry.path())
            .set_typ(kind)
            .set_major(nix::sys::stat::major(metadata.rdev()).try_into().unwrap_or(i64::MAX))
            .set_minor(nix::sys::stat::minor(metadata.rdev()).try_into().unwrap_or(i64::MAX))
            .set_file_mode(Some(metadata.mode() & 0o7777))
            .set_uid(Some(metadata.uid()))
            .set_gid(Some(metadata.gid()));
        devices.push(device);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_found() {
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(memory_bytes("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16384));
    }

    #[test]
    fn devices_of_this_host() {
        let devices = host_devices().unwrap();
        let null = devices.iter().find(|device| device.path() == Path::new("/dev/null")).unwrap();
        assert_eq!((null.typ(), null.major(), null.minor()), (LinuxDeviceType::C, 1, 3));
        for device in &devices {
            assert!(!device.path().starts_with("/dev/pts"), "{device:?}");
        }
    }
}
