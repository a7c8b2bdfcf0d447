//! What a pod hands to a container that joins it, and what the pod is told of its containers in return.

use crate::model::ids::{PodUid, VolumeName};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A pod's sandbox, opened: descriptors keep it right while a container is being made.
#[derive(Debug)]
pub struct Sandbox {
    /// Uid of the pod.
    pub uid: PodUid,
    /// `namespace/name`, for messages.
    pub title: String,
    /// Pidfd of the pause process; setns(2) with it joins its namespaces.
    pub pause: OwnedFd,
    /// Pid of the pause process in our PID namespace; whoever uses it has checked `pause` afterwards.
    pub pause_pid: i32,
    /// Inode numbers of the pod's namespaces, to compare a path of the bundle with.
    pub inodes: NamespaceInodes,
    /// Whether the pod's network is the host's: then there is no network namespace to join.
    pub host_network: bool,
    /// Cgroup of the pod, absolute in every hierarchy, such as `/podrun/pod<uid>`; containers go below it.
    pub cgroup_path: String,
    /// The pod's hostname.
    pub hostname: String,
    /// Directory of the files `hosts`, `hostname` and `resolv.conf` to bind into `/etc`.
    pub etc: PathBuf,
    /// Mount point of the pod's tmpfs for `/dev/shm`.
    pub shm: PathBuf,
    /// Sources of the volumes.
    pub volumes: Vec<(VolumeName, PathBuf)>,
}

/// Inode numbers of namespace files (`stat -L /proc/PID/ns/net`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceInodes {
    /// Network.
    pub net: u64,
    /// System V IPC and POSIX message queues.
    pub ipc: u64,
    /// Host and domain name.
    pub uts: u64,
    /// PID, where the pod shares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
}

/// A `--volume NAME:PATH[:ro]` of create and run, or one of a manifest's `volumeMounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    /// Which volume of the pod.
    pub name: VolumeName,
    /// Absolute path in the container.
    pub path: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
}

/// A container of a pod as whoever keeps containers sees it; the pod itself knows nothing of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// Name within the pod; for bare pods the id.
    pub name: String,
    /// Container id.
    pub id: String,
    /// Pid of its init in our PID namespace, already checked to be that process; `None` when there is none alive.
    pub pid: Option<i32>,
    /// What it does.
    pub status: ContainerStatus,
    /// Exit code of the last init (128 + n for a signal), where it is known.
    pub exit_code: Option<i32>,
    /// How often it has been made anew.
    pub restart_count: u32,
    /// Its cgroup, absolute in every hierarchy.
    pub cgroup_path: String,
}

/// The runtime spec's status of a container, and whether it is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Its init waits for `start`.
    Created,
    /// Its init runs the user's program.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its init has ended.
    Stopped,
}
