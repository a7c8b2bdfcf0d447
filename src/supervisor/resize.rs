//! Other limits for a pod that runs: `pod apply` with other resources.

use super::crew::Member;
use super::event_loop::Supervisor;
use super::runtime_spec;
use crate::error::{Context, Result};
use crate::model::podspec::PodSpec;
use crate::pod::CreateRequest;
use crate::report;

impl Supervisor {
    /// Gives all that runs the limits of `wanted`, but for the containers that have to be made anew for theirs: the places
    /// of these are returned.
    ///
    /// # Errors
    /// What the kernel refuses, such as less memory than is in use. All limits are the old ones then.
    pub(super) fn resize(&mut self, wanted: &PodSpec) -> Result<Vec<usize>> {
        let pairs = || self.spec.all_containers().zip(wanted.all_containers()).enumerate();
        if pairs().all(|(_, (old, new))| old.resources == new.resources) {
            return Ok(Vec::new());
        }
        let anew: Vec<usize> =
            pairs().filter(|(_, (old, new))| old.restarts_for(new)).map(|(index, _)| index).collect();
        self.limit(&self.spec, wanted, &anew).inspect_err(|_| {
            if let Err(error) = self.limit(wanted, &self.spec, &anew) {
                report::warn(&error.to_string());
            }
        })?;
        Ok(anew)
    }

    fn limit(&self, from: &PodSpec, to: &PodSpec, anew: &[usize]) -> Result<()> {
        let (old, new) = (CreateRequest::of_spec(from), CreateRequest::of_spec(to));
        let pod = self.held.pod();
        // No container's limit may be above the pod's at any moment, cpu.cfs_quota_us of v1.
        pod.limit(&old.loosest(&new)).context(|| "cannot resize the pod")?;
        for (index, container) in to.all_containers().enumerate().filter(|(index, _)| !anew.contains(index)) {
            let run = self.members.get(index).and_then(Member::run);
            let Some(cgroup) = run.and_then(|run| run.cgroup.as_ref()) else { continue };
            let mut limits = runtime_spec::limits(&container.resources, false, &self.facts);
            limits.set_devices(None);
            // v2 would kill for what is in use above the new limit.
            limits.set_memory(limits.memory().map(|mut memory| {
                memory.set_check_before_update(Some(true));
                memory
            }));
            cgroup
                .apply(&limits)
                .context(|| format!("cannot resize container {:?}", container.name.as_str()))?;
        }
        pod.limit(&new).context(|| "cannot resize the pod")
    }
}
