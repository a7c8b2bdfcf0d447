//! `spec`

use crate::cli::SPEC_VERSION;
use crate::error::{Context, Error, Kind, Result};
use serde::Serialize;
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

/// The parts of config.json in the order that people read them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    oci_version: &'static str,
    process: Process,
    root: Root,
    hostname: &'static str,
    mounts: Vec<Mount>,
    linux: Linux,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: User,
    args: [&'static str; 1],
    env: [&'static str; 2],
    cwd: &'static str,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

#[derive(Serialize)]
struct Capabilities {
    bounding: [&'static str; 3],
    effective: [&'static str; 3],
    permitted: [&'static str; 3],
}

#[derive(Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: &'static str,
    hard: u64,
    soft: u64,
}

#[derive(Serialize)]
struct Root {
    path: &'static str,
    readonly: bool,
}

#[derive(Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid_mappings: Option<[IdMapping; 1]>,
    namespaces: Vec<Namespace>,
    masked_paths: [&'static str; 10],
    readonly_paths: [&'static str; 5],
}

#[derive(Serialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

#[derive(Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// What runc writes: the same mounts, paths and limits, so that a bundle behaves alike under both.
fn spec(rootless: bool, cgroup_v2: bool) -> Spec {
    Spec {
        oci_version: SPEC_VERSION,
        process: Process {
            terminal: true,
            user: User { uid: 0, gid: 0 },
            args: ["sh"],
            env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            cwd: "/",
            capabilities: Capabilities {
                bounding: CAPABILITIES,
                effective: CAPABILITIES,
                permitted: CAPABILITIES,
            },
            rlimits: [Rlimit { kind: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
            no_new_privileges: true,
        },
        root: Root { path: "rootfs", readonly: true },
        hostname: "podrun",
        mounts: mounts(rootless),
        linux: linux(rootless, cgroup_v2),
    }
}

/// A user without privileges cannot mount sysfs over the host's network, and has no group 5 to map.
fn mounts(rootless: bool) -> Vec<Mount> {
    let mount = |destination, kind, source, options: &'static str| Mount {
        destination,
        kind,
        source,
        options: options.split(',').filter(|option| !option.is_empty()).collect(),
    };
    let (sys, pts) = if rootless {
        (
            mount("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro"),
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620",
        )
    } else {
        (
            mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        )
    };
    vec![
        mount("/proc", "proc", "proc", ""),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", pts),
        mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ]
}

/// A user without privileges has one id to map, shares the host's network and sets no limits.
fn linux(rootless: bool, cgroup_v2: bool) -> Linux {
    let mapping = |id| rootless.then_some([IdMapping { container_id: 0, host_id: id, size: 1 }]);
    let namespaces = [
        ("pid", true),
        ("network", !rootless),
        ("ipc", true),
        ("uts", true),
        ("mount", true),
        ("cgroup", cgroup_v2),
        ("user", rootless),
    ];
    Linux {
        resources: (!rootless).then(|| json!({"devices": [{"allow": false, "access": "rwm"}]})),
        uid_mappings: mapping(nix::unistd::getuid().as_raw()),
        gid_mappings: mapping(nix::unistd::getgid().as_raw()),
        namespaces: namespaces
            .into_iter()
            .filter(|(_, new)| *new)
            .map(|(kind, _)| Namespace { kind })
            .collect(),
        masked_paths: [
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ],
        readonly_paths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_valid_specs() {
        for (rootless, cgroup_v2, count) in [(false, false, 5), (false, true, 6), (true, false, 5)] {
            let value = serde_json::to_value(spec(rootless, cgroup_v2)).unwrap();
            let typed: oci_spec::runtime::Spec = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(typed.mounts().as_ref().unwrap().len(), 7);
            let namespaces = typed.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
            assert_eq!(namespaces.len(), count);
            assert_eq!(value["linux"]["uidMappings"].is_array(), rootless);
            assert_eq!(value.to_string().contains("gid=5"), !rootless);
        }
    }
}
