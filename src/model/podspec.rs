//! A pod as a manifest asks for it, read, checked and with every default filled in: what the supervisor keeps and acts
//! by. Field names are Kubernetes'.

use crate::model::backoff::BackoffTimes;
use crate::model::ids::{ContainerName, PodName, PodNamespace};
use crate::model::probe::{Lifecycle, Probe, ProbeKind};
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
    /// Run one after another before the containers; those that are always restarted go on running beside them.
    #[serde(default)]
    pub init_containers: Vec<ContainerSpec>,
    /// At least one; names are unique, those of init containers included.
    pub containers: Vec<ContainerSpec>,
    /// Seconds from the pod's start after which it is stopped and Failed; at least 1.
    #[serde(default)]
    pub active_deadline_seconds: Option<u64>,
    /// Fields that only a cluster can honour and that the manifest sets, such as `spec.tolerations`.
    pub accepted_fields: Vec<String>,
    /// Not of the manifest, but of the command that makes the pod.
    #[serde(default)]
    pub backoff: BackoffTimes,
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

/// One of `restartPolicyRules`: an exit code that it matches brings the container back, or all of the pod's, whatever
/// its policy. The first that matches counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestartRule {
    /// What is made again.
    pub action: RestartAction,
    /// How the exit code is compared.
    pub operator: RestartOperator,
    /// Exit codes, at most 255 of them.
    pub values: Vec<i32>,
}

/// `action` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    /// The container.
    Restart,
    /// All of the pod's, beginning with the first init container (KEP-5532).
    RestartAllContainers,
}

/// `exitCodes.operator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartOperator {
    /// It is one of the values.
    In,
    /// It is none of them.
    NotIn,
}

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It runs to its end before the next is started.
    Init,
    /// An init container that is always restarted: the next is started once it has started.
    Sidecar,
    /// One of `spec.containers`.
    App,
}

/// One of `spec.initContainers` or `spec.containers`.
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
    /// Changes of resources that make the container anew.
    #[serde(default)]
    pub resize_restarts: ResizeRestarts,
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
    /// In the place of the pod's; `Always` makes an init container a sidecar.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// The first that matches an exit code decides, before any policy.
    #[serde(default)]
    pub restart_policy_rules: Vec<RestartRule>,
    /// Holds back the other probes until it has succeeded.
    #[serde(default)]
    pub startup_probe: Option<Probe>,
    /// Kills when it fails.
    #[serde(default)]
    pub liveness_probe: Option<Probe>,
    /// Makes the container ready, or not.
    #[serde(default)]
    pub readiness_probe: Option<Probe>,
    /// Hooks and the stop signal.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// The file in the container that may tell why it ended; absolute.
    #[serde(default = "default_message_path")]
    pub termination_message_path: String,
    /// What tells it where that file is empty.
    #[serde(default)]
    pub termination_message_policy: TerminationMessagePolicy,
}

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationMessagePolicy {
    /// Nothing.
    #[default]
    File,
    /// The end of its log, where it ended with an error.
    FallbackToLogsOnError,
}

fn default_message_path() -> String {
    "/dev/termination-log".to_owned()
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

impl Resources {
    /// With other CPU and memory: what may be changed of a container that is there.
    #[must_use]
    pub fn resized(self, wanted: Self) -> Self {
        let list = |old: ResourceList, new: ResourceList| ResourceList {
            ephemeral_storage_bytes: old.ephemeral_storage_bytes,
            ..new
        };
        Self { requests: list(self.requests, wanted.requests), limits: list(self.limits, wanted.limits) }
    }
}

/// `resizePolicy`: whether a change of a resource makes the container anew (`RestartContainer`), or is brought to the one
/// that runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeRestarts {
    /// For `cpu`.
    pub cpu: bool,
    /// For `memory`.
    pub memory: bool,
}

/// Amounts of what podrun can share out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceList {
    /// Thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Bytes on the disk, of what it writes into its root file system and of its logs. A request is a scheduler's
    /// business alone.
    #[serde(default)]
    pub ephemeral_storage_bytes: Option<u64>,
}

impl ResourceList {
    /// CPU and memory: what a class goes by, and what may be resized.
    fn of_class(self) -> (Option<u64>, Option<u64>) {
        (self.cpu_millis, self.memory_bytes)
    }
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

impl ContainerSpec {
    /// Whether it is made anew for the resources of `other`, which is the same container as it is to be.
    pub fn restarts_for(&self, other: &Self) -> bool {
        let differ = |amount: fn(&ResourceList) -> Option<u64>| {
            let (old, new) = (&self.resources, &other.resources);
            amount(&old.limits) != amount(&new.limits) || amount(&old.requests) != amount(&new.requests)
        };
        self.resize_restarts.cpu && differ(|list| list.cpu_millis)
            || self.resize_restarts.memory && differ(|list| list.memory_bytes)
    }
}

impl PodSpec {
    /// A pod of Kubernetes' defaults and no containers.
    pub fn new(name: PodName, namespace: PodNamespace) -> Self {
        Self {
            name,
            namespace,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            hostname: None,
            host_network: false,
            share_process_namespace: false,
            restart_policy: RestartPolicy::Always,
            termination_grace_period_seconds: 30,
            volumes: Vec::new(),
            init_containers: Vec::new(),
            containers: Vec::new(),
            active_deadline_seconds: None,
            accepted_fields: Vec::new(),
            backoff: BackoffTimes::default(),
        }
    }

    /// Init containers, then containers: what the index of a container counts everywhere.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerSpec> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// The container at that place of [`Self::all_containers`].
    pub fn container_at(&self, index: usize) -> Option<&ContainerSpec> {
        match index.checked_sub(self.init_containers.len()) {
            None => self.init_containers.get(index),
            Some(index) => self.containers.get(index),
        }
    }

    /// What the container at that place of [`Self::all_containers`] is to the pod.
    pub fn role(&self, index: usize) -> Role {
        match self.init_containers.get(index) {
            None => Role::App,
            Some(container) if container.restart_policy == Some(RestartPolicy::Always) => Role::Sidecar,
            Some(_) => Role::Init,
        }
    }

    /// The container of that name, init containers included.
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.all_containers().find(|container| container.name.as_str() == name)
    }

    /// The most that containers which run at one time have together, where each has some: an init container runs beside
    /// the sidecars before it, and the containers run beside all sidecars.
    pub fn most_at_once(&self, amount: impl Fn(&Resources) -> Option<u64>) -> Option<u64> {
        let (mut staying, mut peak) = (0_u64, 0);
        for (index, container) in self.all_containers().enumerate() {
            let with_it = staying.saturating_add(amount(&container.resources)?);
            if self.role(index) != Role::Init {
                staying = with_it;
            }
            peak = peak.max(with_it);
        }
        Some(peak)
    }

    /// The quality of service class that Kubernetes derives from limits and requests.
    pub fn qos_class(&self) -> QosClass {
        let all = |wanted: fn(&Resources) -> bool| self.all_containers().all(|c| wanted(&c.resources));
        if all(|Resources { requests, limits }| {
            [requests, limits].into_iter().all(|list| list.of_class() == (None, None))
        }) {
            QosClass::BestEffort
        } else if all(|Resources { requests, limits }| {
            limits.cpu_millis.is_some()
                && limits.memory_bytes.is_some()
                && requests.of_class() == limits.of_class()
        }) {
            QosClass::Guaranteed
        } else {
            QosClass::Burstable
        }
    }
}

impl ContainerSpec {
    /// A container of Kubernetes' defaults.
    pub fn new(name: ContainerName, image: &str) -> Self {
        Self {
            name,
            image: image.to_owned(),
            image_pull_policy: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            resources: Resources::default(),
            resize_restarts: ResizeRestarts::default(),
            ports: Vec::new(),
            volume_mounts: Vec::new(),
            tty: false,
            stdin: false,
            stdin_once: false,
            security: SecurityContext { allow_privilege_escalation: true, ..SecurityContext::default() },
            restart_policy: None,
            restart_policy_rules: Vec::new(),
            startup_probe: None,
            liveness_probe: None,
            readiness_probe: None,
            lifecycle: Lifecycle::default(),
            termination_message_path: default_message_path(),
            termination_message_policy: TerminationMessagePolicy::default(),
        }
    }

    /// The probe of that kind.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup_probe.as_ref(),
            ProbeKind::Liveness => self.liveness_probe.as_ref(),
            ProbeKind::Readiness => self.readiness_probe.as_ref(),
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
