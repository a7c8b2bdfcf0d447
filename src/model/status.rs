//! What a manifest pod does, as its supervisor writes it and everybody reads it. Words are Kubernetes'; times are seconds
//! since 1970.

use crate::model::ids::ContainerName;
use crate::model::podspec::QosClass;
use serde::{Deserialize, Serialize};

/// Version of `status.json`.
pub const VERSION: u32 = 1;

/// `status.json`: written by the pod's supervisor alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodStatus {
    /// [`VERSION`].
    pub version: u32,
    /// The pod's phase.
    pub phase: Phase,
    /// Why the pod as a whole failed, such as `DeadlineExceeded`.
    pub reason: Option<String>,
    /// `reason` in words.
    pub message: Option<String>,
    /// When the pod was told to start; none while it only stands created.
    pub started_at: Option<u64>,
    /// When it was told to stop.
    pub stopping_since: Option<u64>,
    /// Seconds from `stopping_since` until what still runs is killed.
    pub stop_grace_seconds: Option<u64>,
    /// Its quality of service class.
    #[serde(default)]
    pub qos_class: Option<QosClass>,
    /// In the order in which Kubernetes writes them.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Init containers, in the order of the manifest.
    #[serde(default)]
    pub init_containers: Vec<ContainerStatus>,
    /// In the order of the manifest.
    pub containers: Vec<ContainerStatus>,
    /// The latest, oldest first, at most [`MOST_EVENTS`].
    pub events: Vec<Event>,
    /// For the next supervisor's eyes.
    #[serde(default)]
    pub memory: Memory,
}

/// One of a pod's conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub met: bool,
    /// Why, in a word such as `ContainersNotReady` or `PodCompleted`.
    pub reason: Option<String>,
    /// The reason in words.
    pub message: Option<String>,
    /// When it began to hold, or ceased to.
    pub last_transition_time: u64,
}

/// A condition's type; its text is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The sandbox stands.
    PodReadyToStartContainers,
    /// Init containers are done, sidecars have started.
    Initialized,
    /// The pod can do its work.
    Ready,
    /// All its containers can.
    ContainersReady,
    /// It has a machine to be on.
    PodScheduled,
    /// All containers go, to begin again (KEP-5532).
    AllContainersRestarting,
}

impl ConditionKind {
    /// `Ready`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::PodReadyToStartContainers => "PodReadyToStartContainers",
            Self::Initialized => "Initialized",
            Self::Ready => "Ready",
            Self::ContainersReady => "ContainersReady",
            Self::PodScheduled => "PodScheduled",
            Self::AllContainersRestarting => "AllContainersRestarting",
        }
    }
}

/// What the rules must know after a change of supervisors and nobody else needs to. Moments are milliseconds of
/// CLOCK_MONOTONIC, which nobody can set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// So many init containers have been passed on the way to the containers.
    pub passed: usize,
    /// All that matters has ended by itself, and the rest is being stopped.
    pub finishing: bool,
    /// When the pod was told to start.
    pub started: Option<u64>,
    /// The end of the grace period of a pod that stops.
    pub stop_end: Option<u64>,
    /// In the order of [`crate::model::podspec::PodSpec::all_containers`].
    pub containers: Vec<ContainerMemory>,
}

/// What is remembered of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerMemory {
    /// The present wait between a crash and the next start, in milliseconds; 0 before the first.
    pub backoff_millis: u64,
    /// When it was last allowed to be made again.
    pub restarted: Option<u64>,
    /// When it ended the last time.
    pub finished: Option<u64>,
    /// When it is to be made again.
    pub due: Option<u64>,
    /// When its present process was started.
    pub began: Option<u64>,
    /// The same in seconds since 1970, for the status of one that does not count as running yet.
    pub started_at: Option<u64>,
    /// A postStart hook was begun and has not come to its end.
    pub post_start: bool,
    /// It is being stopped.
    pub kill: Option<KillMemory>,
}

/// What is remembered of a container that is being stopped; moments as in [`Memory`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KillMemory {
    /// Why.
    pub cause: KillCause,
    /// The end of its grace period.
    pub until: u64,
    /// Its preStop hook is done, or it has none.
    pub hook_done: bool,
    /// When it was sent its stop signal.
    pub signaled: Option<u64>,
}

/// Why a container is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillCause {
    /// The pod stops.
    Stop,
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// Its postStart hook failed.
    PostStart,
    /// Its definition was changed.
    Changed,
    /// Its resources were, for which it has to be made anew.
    Resized,
    /// All containers of the pod begin again.
    RestartAll,
}

impl KillCause {
    /// Whether it is made anew whatever its policy says.
    pub fn renews(self) -> bool {
        matches!(self, Self::Changed | Self::Resized)
    }
}

/// More events than this are forgotten, the oldest first.
pub const MOST_EVENTS: usize = 64;

/// A pod's phase, as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It is being made, or no container of it has been started yet.
    Pending,
    /// A container runs, or is about to run again.
    Running,
    /// All containers have ended with exit code 0 and stay so.
    Succeeded,
    /// All containers have ended and stay so, one of them with another exit code; or the sandbox is broken.
    Failed,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerStatus {
    /// Its name.
    pub name: ContainerName,
    /// The image, as the manifest writes it.
    pub image: String,
    /// The image's id, once it is known.
    pub image_id: Option<String>,
    /// Id of the present, else of the last container, `<pod-uid>.<name>.<restart>`.
    pub container_id: Option<String>,
    /// How often it has been made anew: also the number of its log.
    pub restart_count: u32,
    /// Whether it counts as able to do its work.
    pub ready: bool,
    /// Whether it has run past its start.
    pub started: bool,
    /// What it does.
    pub state: ContainerState,
    /// How it ended the last time.
    pub last_state: Option<Terminated>,
    /// Why its output cannot be logged, and what was lost.
    pub log_trouble: Option<String>,
    /// It is an init container that is always restarted.
    #[serde(default)]
    pub sidecar: bool,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum ContainerState {
    /// It does not run yet, or again.
    #[serde(rename_all = "camelCase")]
    Waiting {
        /// A word such as `ContainerCreating` or `CreateContainerError`.
        reason: String,
        /// The reason in words.
        message: Option<String>,
    },
    /// It runs.
    #[serde(rename_all = "camelCase")]
    Running {
        /// Since when.
        started_at: u64,
    },
    /// It has ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`, `ContainerCannotRun`, ...
    pub reason: String,
    /// The reason in words.
    pub message: Option<String>,
    /// 128 + n for a signal; 137 where nobody knows.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When it began; none where it never ran.
    pub started_at: Option<u64>,
    /// When it ended.
    pub finished_at: u64,
}

/// Something that happened to the pod, as `kubectl describe` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// When it happened last.
    pub at: u64,
    /// When it happened for the first time.
    pub first: u64,
    /// How often.
    pub count: u32,
    /// `Normal` or `Warning`.
    pub kind: EventKind,
    /// A word such as `Created`, `Started`, `Killing`, `BackOff`.
    pub reason: String,
    /// Of which container, where it is of one.
    pub container: Option<ContainerName>,
    /// In words.
    pub message: String,
}

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

impl ContainerState {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

impl ContainerStatus {
    /// Of a container of which nothing is made.
    pub fn new(name: ContainerName, image: &str) -> Self {
        Self {
            name,
            image: image.to_owned(),
            image_id: None,
            container_id: None,
            restart_count: 0,
            ready: false,
            started: false,
            state: ContainerState::Waiting { reason: "ContainerCreating".to_owned(), message: None },
            last_state: None,
            log_trouble: None,
            sidecar: false,
        }
    }
}

impl PodStatus {
    /// Of a pod of which nothing is made, with these containers and no init containers.
    pub fn new(containers: Vec<ContainerStatus>) -> Self {
        Self {
            version: VERSION,
            phase: Phase::Pending,
            reason: None,
            message: None,
            started_at: None,
            stopping_since: None,
            stop_grace_seconds: None,
            qos_class: None,
            conditions: Vec::new(),
            init_containers: Vec::new(),
            containers,
            events: Vec::new(),
            memory: Memory::default(),
        }
    }

    /// Init containers, then containers, as [`crate::model::podspec::PodSpec::all_containers`].
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// The container at that place of [`Self::all_containers`].
    pub fn container_at(&self, index: usize) -> Option<&ContainerStatus> {
        match index.checked_sub(self.init_containers.len()) {
            None => self.init_containers.get(index),
            Some(index) => self.containers.get(index),
        }
    }

    /// [`Self::container_at`], to change it.
    pub fn container_at_mut(&mut self, index: usize) -> Option<&mut ContainerStatus> {
        match index.checked_sub(self.init_containers.len()) {
            None => self.init_containers.get_mut(index),
            Some(index) => self.containers.get_mut(index),
        }
    }

    /// The container of that name, init containers included.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.all_containers().find(|container| container.name.as_str() == name)
    }

    /// The condition of that type.
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// `metadata.deletionTimestamp` of a pod that is being stopped: when its grace period ends.
    pub fn deletion_timestamp(&self) -> Option<u64> {
        let since = self.stopping_since?;
        Some(since.saturating_add(self.stop_grace_seconds.unwrap_or(0)))
    }

    /// Whether the pod has ended for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }
}
