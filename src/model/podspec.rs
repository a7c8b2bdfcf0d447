//! A pod as a manifest asks for it, read, checked and with every default filled in: what the supervisor keeps and acts
//! by. Field names are Kubernetes'.

use crate::model::ids::{ContainerName, PodName, PodNamespace};
use crate::model::sandbox::VolumeMount;
use crate::model::volume::VolumeSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A manifest pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSpec {
    /// `metadata.name`.
    pub name: PodName,
    /// `metadata.namespace`.
    pub namespace: PodNamespace,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.hostname`; the pod's name where there is none.
    pub hostname: Option<String>,
    /// The host's network instead of one of its own.
    pub host_network: bool,
    /// Containers share one PID namespace.
    pub share_process_namespace: bool,
    /// What happens when a container ends.
    pub restart_policy: RestartPolicy,
    /// Seconds between the stop signal and SIGKILL.
    pub termination_grace_period_seconds: u64,
    /// Volumes that containers may mount.
    pub volumes: Vec<VolumeSpec>,
    /// At least one; names are unique.
    pub containers: Vec<ContainerSpec>,
    /// Fields that only a cluster can honour and that the manifest sets, such as `spec.tolerations`.
    pub accepted_fields: Vec<String>,
}

/// `spec.restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    Always,
    /// After an exit code other than 0.
    OnFailure,
    /// Never.
    Never,
}

/// One of `spec.containers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    /// Its name.
    pub name: ContainerName,
    /// The image, as written.
    pub image: String,
    /// `imagePullPolicy`, where it is written.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// In the place of the image's Entrypoint, `$(VAR)` expanded; empty for the image's own.
    pub command: Vec<String>,
    /// In the place of the image's Cmd, `$(VAR)` expanded; empty for the image's own, unless there is a command.
    pub args: Vec<String>,
    /// Added to the image's variables, `$(VAR)` expanded; each name once.
    pub env: Vec<(String, String)>,
    /// In the place of the image's; absolute.
    pub working_dir: Option<String>,
    /// Limits and requests.
    pub resources: Resources,
    /// For information alone: every port is open within the pod.
    pub ports: Vec<ContainerPort>,
    /// Volumes of the pod to mount.
    pub volume_mounts: Vec<VolumeMount>,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep its stdin open.
    pub stdin: bool,
    /// Close its stdin when the first who attached leaves.
    pub stdin_once: bool,
    /// The container's security context over the pod's.
    pub security: SecurityContext,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// Pull each time.
    Always,
    /// Pull what is not there.
    IfNotPresent,
    /// Use what is there.
    Never,
}

/// `resources`: thousandths of a CPU and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// What it is given when all want some; a limit without a request is the request too.
    pub requests: ResourceList,
    /// What it never gets more of.
    pub limits: ResourceList,
}

/// Amounts of what podrun can share out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceList {
    /// Thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

/// One of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerPort {
    /// Its name.
    pub name: Option<String>,
    /// 1 to 65535.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// `securityContext`, the container's over the pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityContext {
    /// In the place of the image's user.
    pub run_as_user: Option<u32>,
    /// In the place of the user's group.
    pub run_as_group: Option<u32>,
    /// Refuse to start as uid 0.
    pub run_as_non_root: bool,
    /// Everything the host has.
    pub privileged: bool,
    /// The root file system is read-only.
    pub read_only_root_filesystem: bool,
    /// False sets no_new_privs.
    pub allow_privilege_escalation: bool,
    /// Capabilities beyond the default ones, such as `NET_ADMIN` or `ALL`, without `CAP_`.
    pub capabilities_add: Vec<String>,
    /// Capabilities to take away, likewise.
    pub capabilities_drop: Vec<String>,
    /// The seccomp filter.
    pub seccomp_profile: SeccompProfile,
}

/// `seccompProfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SeccompProfile {
    /// No filter.
    #[default]
    Unconfined,
    /// podrun's own.
    RuntimeDefault,
}

impl PodSpec {
    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.containers.iter().find(|container| container.name.as_str() == name)
    }

    /// The quality of service class that Kubernetes derives from limits and requests.
    pub fn qos_class(&self) -> QosClass {
        let all = |wanted: fn(&Resources) -> bool| self.containers.iter().all(|c| wanted(&c.resources));
        if all(|resources| *resources == Resources::default()) {
            QosClass::BestEffort
        } else if all(|Resources { requests, limits }| {
            limits.cpu_millis.is_some() && limits.memory_bytes.is_some() && requests == limits
        }) {
            QosClass::Guaranteed
        } else {
            QosClass::Burstable
        }
    }
}

/// `status.qosClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QosClass {
    /// Every container has limits for CPU and memory, and requests them.
    Guaranteed,
    /// Some container requests something.
    Burstable,
    /// No container requests or limits anything.
    BestEffort,
}

impl QosClass {
    /// The cgroup that pods of this class lie below.
    pub fn cgroup_parent(self) -> &'static str {
        match self {
            Self::Guaranteed => "/podrun",
            Self::Burstable => "/podrun/burstable",
            Self::BestEffort => "/podrun/besteffort",
        }
    }
}
