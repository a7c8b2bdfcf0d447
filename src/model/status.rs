//! What a manifest pod does, as its supervisor writes it and everybody reads it. Words are Kubernetes'; times are seconds
//! since 1970.

use crate::model::ids::ContainerName;
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
    /// In the order of the manifest.
    pub containers: Vec<ContainerStatus>,
    /// The latest, oldest first, at most [`MOST_EVENTS`].
    pub events: Vec<Event>,
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

impl PodStatus {
    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers.iter().find(|container| container.name.as_str() == name)
    }

    /// Whether the pod has ended for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }
}
