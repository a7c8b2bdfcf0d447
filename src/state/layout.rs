//! Every path of podrun's, and no other place makes one.

use crate::model::ids::{ContainerId, PodUid};
use std::path::{Path, PathBuf};

/// Where state lives unless `--root` says otherwise; ends with the boot.
pub const DEFAULT_ROOT: &str = "/run/podrun";
/// Where images, volumes, logs and our own programs live unless `--data-root` says otherwise.
pub const DEFAULT_DATA_ROOT: &str = "/var/lib/podrun";

/// The two roots, from which all paths derive.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    data_root: PathBuf,
}

impl Layout {
    /// Both paths are made absolute, since podrun and its children change directory.
    ///
    /// # Errors
    /// When a path is relative and the current directory cannot be told.
    pub fn new(root: &Path, data_root: &Path) -> std::io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)?, data_root: std::path::absolute(data_root)? })
    }

    /// Directory of all containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }
    /// Directory of one container. Its existence is the reservation of the id.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }
    /// Directories of containers on their way in or out, see `container::directory`.
    pub fn transit(&self) -> PathBuf {
        self.root.join("transit")
    }
    /// Directory of all pods.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }
    /// Directory of one pod.
    pub fn pod(&self, uid: &PodUid) -> PathBuf {
        self.pods().join(uid.as_str())
    }
    /// Directory of symbolic links `NAMESPACE_NAME -> UID`; making one reserves the name.
    pub fn pod_names(&self) -> PathBuf {
        self.root.join("names")
    }
    /// Compiled seccomp filters, by content hash.
    pub fn seccomp_cache(&self) -> PathBuf {
        self.root.join("seccomp")
    }
    /// Our own embedded programs, unpacked, by content hash.
    pub fn programs(&self) -> PathBuf {
        self.data_root.join("lib")
    }
    /// Directory of a pod's disk-backed volumes and containers' writable layers.
    pub fn pod_data(&self, uid: &PodUid) -> PathBuf {
        self.data_root.join("pods").join(uid.as_str())
    }
}

/// Names of the files in a container's directory.
pub mod container {
    /// The record.
    pub const STATE: &str = "state.json";
    /// A copy of the bundle's config.json as it was when the container was made; `exec` reads it.
    pub const CONFIG: &str = "config.json";
    /// FIFO that init waits on until `start`.
    pub const FIFO: &str = "exec.fifo";
}

/// Names of the files in a pod's directory.
pub mod pod {
    /// The record.
    pub const RECORD: &str = "pod.json";
    /// hosts, hostname, resolv.conf.
    pub const ETC: &str = "etc";
    /// Mount point of the shared /dev/shm.
    pub const SHM: &str = "shm";
    /// Mount points of memory-backed volumes.
    pub const VOLUMES: &str = "volumes";
}
