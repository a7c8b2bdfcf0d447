//! `spec`

use crate::cli::SPEC_VERSION;
use crate::error::{Context, Error, Kind, Result};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Write a config.json to start from
///
/// It runs sh in ./rootfs with a terminal, few capabilities and new namespaces.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  mkdir -p web/rootfs && podrun spec --bundle web")]
pub struct SpecArgs {
    /// Directory to write into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For a container of a user without privileges
    #[arg(long)]
    pub rootless: bool,
}

impl SpecArgs {
    /// Writes the file.
    ///
    /// # Errors
    /// When there is such a file, or it cannot be written.
    pub fn run(&self) -> Result<i32> {
        let path = self.bundle.join("config.json");
        let text = serde_json::to_string_pretty(&spec(self.rootless, has_cgroup_v2()))
            .context(|| "cannot write the spec as JSON")?;
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o666).open(&path);
        opened.and_then(|mut file| writeln!(file, "{text}")).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => Error::new(Kind::Exists, format!("{path:?} already exists"))
                .hint("remove it first, or write elsewhere with --bundle"),
            _ => Error::host(format!("cannot write {path:?}")).because(cause),
        })?;
        Ok(0)
    }
}

/// Whether the host has cgroup v2 alone: only there is a cgroup namespace of any use to the mount below it.
fn has_cgroup_v2() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|root| root.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}

/// What runc writes: the same mounts, paths and limits, so that a bundle behaves alike under both.
fn spec(rootless: bool, cgroup_v2: bool) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mut spec = json!({
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "podrun",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if cgroup_v2 && let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    if rootless {
        make_rootless(&mut spec);
    }
    spec
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
        json!({"destination": destination, "type": kind, "source": source, "options": options})
    };
    json!([
        mount("/proc", "proc", "proc", ""),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ])
}

/// A user without privileges has one id to map, cannot mount sysfs over the host's network, nor set limits.
fn make_rootless(spec: &mut Value) {
    let mapping = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = mapping(nix::unistd::getuid().as_raw());
    linux["gidMappings"] = mapping(nix::unistd::getgid().as_raw());
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
        if mount["destination"] == "/sys" {
            *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_valid_specs() {
        for (rootless, cgroup_v2, count) in [(false, false, 5), (false, true, 6), (true, false, 5)] {
            let value = spec(rootless, cgroup_v2);
            let typed: oci_spec::runtime::Spec = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(typed.mounts().as_ref().unwrap().len(), 7);
            let namespaces = typed.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
            assert_eq!(namespaces.len(), count);
            assert_eq!(value["linux"]["uidMappings"].is_array(), rootless);
            assert_eq!(value.to_string().contains("gid=5"), !rootless);
        }
    }
}
