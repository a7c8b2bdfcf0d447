//! OCI bundles: a root file system and a config.json that a test edits.

use super::sources;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Which root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootfs {
    /// The static probe program.
    Probe,
    /// busybox and its links, the probe too.
    Busybox,
}

impl Rootfs {
    /// Where `rootfs/make` puts it.
    pub fn directory(self) -> PathBuf {
        sources::project().join("rootfs/build").join(match self {
            Self::Probe => "probe",
            Self::Busybox => "busybox",
        })
    }
}

/// A bundle in the test's private directory.
pub struct Bundle {
    directory: PathBuf,
    text: String,
    config: RefCell<Value>,
}

impl Bundle {
    /// Copies the root file system and writes a config.json shaped as `runc spec` does.
    #[track_caller]
    pub fn make(directory: &Path, rootfs: Rootfs) -> Self {
        copy_tree(&rootfs.directory(), &directory.join("rootfs"));
        let text = super::runtime::path_text(directory);
        let bundle = Self { directory: directory.to_owned(), text, config: RefCell::new(default_config()) };
        bundle.write();
        bundle
    }

    /// The bundle's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Likewise, as a word of a command line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A path in the root file system, seen from the host.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.directory.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Changes config.json.
    #[track_caller]
    pub fn edit(self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config.borrow_mut());
        self.write();
        self
    }

    /// Sets one value by JSON pointer, whose last part may be new.
    #[track_caller]
    pub fn set(self, pointer: &str, value: Value) -> Self {
        self.edit(|config| put(config, pointer, value))
    }

    /// Appends to an array by JSON pointer; it is made when it is missing.
    #[track_caller]
    pub fn push(self, pointer: &str, value: Value) -> Self {
        self.edit(|config| {
            if config.pointer(pointer).is_none() {
                put(config, pointer, json!([]));
            }
            let array = config.pointer_mut(pointer).and_then(Value::as_array_mut);
            array.unwrap_or_else(|| panic!("{pointer} is no array")).push(value);
        })
    }

    /// The program and its arguments.
    #[track_caller]
    pub fn args(self, words: &[&str]) -> Self {
        self.set("/process/args", json!(words))
    }

    /// Adds a mount.
    #[track_caller]
    pub fn mount(self, kind: &str, source: &str, destination: &str, options: &[&str]) -> Self {
        let mount = json!({"type": kind, "source": source, "destination": destination, "options": options});
        self.push("/mounts", mount)
    }

    /// Replaces a namespace entry's path, or removes the entry with `None` for `path`.
    #[track_caller]
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Self {
        self.edit(|config| {
            let list =
                config.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut).expect("an array");
            list.retain(|entry| entry["type"] != kind);
            if let Some(path) = path {
                list.push(if path.is_empty() {
                    json!({"type": kind})
                } else {
                    json!({"type": kind, "path": path})
                });
            }
        })
    }

    /// Puts it into a new user namespace, whose root is `uid` and `gid` of the host, and gives it its files.
    #[track_caller]
    pub fn in_user_namespace(self, uid: u32, gid: u32) -> Self {
        give(&self.rootfs("/"), uid, gid);
        let map = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        self.namespace("user", Some(""))
            .set("/linux/uidMappings", map(uid))
            .set("/linux/gidMappings", map(gid))
    }

    /// The config as it is.
    pub fn config(&self) -> Value {
        self.config.borrow().clone()
    }

    /// Writes any text as config.json.
    #[track_caller]
    pub fn raw(self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory.join("config.json"), text).expect("config.json can be written");
        self
    }

    /// Puts a file into the root file system.
    #[track_caller]
    pub fn with_file(self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        let target = self.rootfs(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).expect("a directory in the rootfs");
        }
        std::fs::write(&target, content).expect("a file in the rootfs");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).expect("its mode");
        self
    }

    fn write(&self) {
        let text = serde_json::to_string_pretty(&*self.config.borrow()).expect("JSON");
        std::fs::write(self.directory.join("config.json"), text).expect("config.json can be written");
    }
}

/// Sets a value by JSON pointer, making the objects on the way.
#[track_caller]
pub fn put(config: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with /");
    if config.pointer(parent).is_none() {
        put(config, parent, json!({}));
    }
    match config.pointer_mut(parent) {
        Some(Value::Object(object)) => drop(object.insert(name.to_owned(), value)),
        Some(Value::Array(array)) => array[name.parse::<usize>().expect("an index")] = value,
        _ => panic!("{parent} is neither object nor array"),
    }
}

/// Gives a tree of files to a user and group.
#[track_caller]
pub fn give(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
        .unwrap_or_else(|error| panic!("cannot chown {path:?}: {error}"));
    if path.symlink_metadata().expect("metadata").is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory").flatten() {
            give(&entry.path(), uid, gid);
        }
    }
}

/// Copies directories, files and links.
#[track_caller]
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap_or_else(|error| panic!("cannot create {to:?}: {error}"));
    let mode =
        std::fs::metadata(from).unwrap_or_else(|error| panic!("cannot stat {from:?}: {error}")).permissions();
    std::fs::set_permissions(to, mode).expect("a mode");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            copy_tree(&source, &target);
        } else if kind.is_symlink() {
            symlink(std::fs::read_link(&source).expect("a link"), &target).expect("a link");
        } else if let Err(error) = std::fs::copy(&source, &target) {
            panic!("cannot copy {source:?}: {error}");
        }
    }
}

const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The config that `runc spec` writes, without a terminal, with the capabilities that containerd gives.
pub fn default_config() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/probe", "facts"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "bundle",
        "mounts": default_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn default_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}
