//! Disk: who takes more of it than the manifest allows has the pod evicted, as a kubelet's local storage eviction does.

use super::{Action, Event, Machine, Now};
use crate::model::podspec::{PodSpec, Resources};
use crate::model::quantity;
use crate::model::volume::{Medium, VolumeSource};
use std::time::Duration;

/// Between one look at the disk and the next, as long as a kubelet waits.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// Seconds that an evicted pod has to end, as few as a kubelet gives for this.
const GRACE_SECONDS: u64 = 1;

/// How much of the disk a pod takes, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Of each of [`PodSpec::volumes`] that is an emptyDir on the disk; 0 for others.
    pub volumes: Vec<u64>,
    /// Of each of [`PodSpec::all_containers`]: what it has written into its root file system, and its logs.
    pub containers: Vec<u64>,
}

/// A pod's limits, and when it is looked at next.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// Place among the pod's volumes, name, most bytes.
    volumes: Vec<(usize, String, u64)>,
    /// Index, most bytes.
    containers: Vec<(usize, u64)>,
    /// Of all together, where any container has a limit.
    pod: Option<u64>,
    /// `None` while an answer is awaited, and where nothing is limited.
    due: Option<Duration>,
}

impl Storage {
    pub fn of(spec: &PodSpec) -> Self {
        let limit_of = |resources: &Resources| resources.limits.ephemeral_storage_bytes;
        let volumes = spec.volumes.iter().enumerate().filter_map(|(place, volume)| match volume.source {
            VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: Some(limit) } => {
                Some((place, volume.name.to_string(), limit))
            }
            _ => None,
        });
        let containers = spec.all_containers().enumerate();
        let containers: Vec<_> =
            containers.filter_map(|(index, one)| Some((index, limit_of(&one.resources)?))).collect();
        let pod = (!containers.is_empty())
            .then(|| spec.most_at_once(|resources| Some(limit_of(resources).unwrap_or(0))))
            .flatten();
        Self { volumes: volumes.collect(), containers, pod, due: None }
    }

    fn is_limited(&self) -> bool {
        !self.volumes.is_empty() || !self.containers.is_empty()
    }
}

impl Machine {
    /// When the disk is to be looked at.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.storage.due.filter(|_| !self.is_ending())
    }

    /// The next look is a period away.
    pub(super) fn look_later(&mut self, now: Now) {
        self.storage.due = self.storage.is_limited().then(|| now.after(PERIOD));
    }

    /// Looks if it is time.
    pub(super) fn look(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.next_look().is_some_and(|due| due <= now.monotonic) {
            self.storage.due = None;
            out.push(Action::Measure);
        }
    }

    /// What was seen; nothing where it could not be.
    pub(super) fn measured(&mut self, usage: Option<&DiskUsage>, now: Now, out: &mut Vec<Action>) {
        self.look_later(now);
        if self.is_ending() {
            return;
        }
        if let Some(message) = usage.and_then(|usage| self.excess(usage)) {
            self.heed_pod(
                Event::Fail { reason: "Evicted".to_owned(), message, grace_seconds: GRACE_SECONDS },
                now,
                out,
            );
        }
    }

    /// What is too much, in the kubelet's words and order; its blank at the end is left out.
    fn excess(&self, usage: &DiskUsage) -> Option<String> {
        let above = |used: Option<&u64>, limit: u64| used.is_some_and(|used| *used > limit);
        let Storage { volumes, containers, pod, .. } = &self.storage;
        if let Some((_, name, limit)) =
            volumes.iter().find(|(place, _, limit)| above(usage.volumes.get(*place), *limit))
        {
            let limit = quantity::text(*limit);
            return Some(format!("Usage of EmptyDir volume {name:?} exceeds the limit {limit:?}."));
        }
        let all = usage.volumes.iter().chain(&usage.containers);
        let all = all.fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        if let Some(limit) = pod.filter(|limit| all > *limit) {
            let limit = quantity::text(limit);
            return Some(format!(
                "Pod ephemeral local storage usage exceeds the total limit of containers {limit}."
            ));
        }
        let (index, limit) =
            containers.iter().find(|(index, limit)| above(usage.containers.get(*index), *limit))?;
        let (name, limit) = (self.name(*index), quantity::text(*limit));
        Some(format!("Container {name} exceeded its local ephemeral storage limit {limit:?}."))
    }
}
