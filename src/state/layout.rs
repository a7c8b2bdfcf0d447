//! Every path of podrun's, and no other place makes one.

use crate::model::ids::{ContainerId, ContainerName, PodName, PodNamespace, PodUid};
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

    /// What `--root` says, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// What `--data-root` says, absolute.
    pub fn data_root(&self) -> &Path {
        &self.data_root
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
    /// The image store: an OCI image layout.
    pub fn images(&self) -> PathBuf {
        self.data_root.join("images")
    }
    /// Unpacked layers, by the hexadecimal digits of their diff-id.
    pub fn layers(&self) -> PathBuf {
        self.data_root.join("layers")
    }
    /// Directory of all pods' disk-backed volumes and containers' writable layers.
    pub fn pods_data(&self) -> PathBuf {
        self.data_root.join("pods")
    }
    /// Directory of those of one pod.
    pub fn pod_data(&self, uid: &PodUid) -> PathBuf {
        self.pods_data().join(uid.as_str())
    }
    /// Directory of the writable layer of a manifest pod's container, made for the `restart`th time.
    pub fn scratch(&self, pod: &PodUid, name: &ContainerName, restart: u32) -> PathBuf {
        self.pod_data(pod).join("containers").join(name.as_str()).join(restart.to_string())
    }
    /// Directory of all manifest pods' logs.
    pub fn logs(&self) -> PathBuf {
        self.data_root.join("logs")
    }
    /// Directory of one manifest pod's logs. It ends in the uid, by which it is found without the name, too.
    pub fn pod_logs(&self, namespace: &PodNamespace, name: &PodName, uid: &PodUid) -> PathBuf {
        self.logs().join(format!("{namespace}_{name}_{uid}"))
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

/// Names of the directories of a container's writable layer.
pub mod scratch {
    /// What the container wrote.
    pub const UPPER: &str = "upper";
    /// overlayfs' own.
    pub const WORK: &str = "work";
    /// Where the overlay is mounted, in the container's mount namespace alone.
    pub const ROOT: &str = "root";
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
    /// What a manifest asks for, read and with its defaults.
    pub const SPEC: &str = "spec.json";
    /// The manifest as it was written, for those who ask for the pod as an object.
    pub const MANIFEST: &str = "manifest.json";
    /// What a manifest pod does; its supervisor writes it.
    pub const STATUS: &str = "status.json";
    /// FIFOs of a manifest pod's containers.
    pub const IO: &str = "io";
    /// File whose record locks say who lives of a manifest pod's supervisor and keeper.
    pub const LOCK: &str = "lock";
    /// Socket that a manifest pod's supervisor takes requests at.
    pub const CONTROL: &str = "control.sock";
    /// What a manifest pod's supervisor writes on stderr.
    pub const SUPERVISOR_LOG: &str = "supervisor.log";
}

/// Names of the files of an OCI image layout.
pub mod images {
    /// Says that the directory is one.
    pub const MARK: &str = "oci-layout";
    /// Which manifests there are, and what they are called.
    pub const INDEX: &str = "index.json";
    /// Manifests and configs, by digest.
    pub const BLOBS: &str = "blobs/sha256";
}
