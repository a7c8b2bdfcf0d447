//! `pod delete`

use super::views;
use crate::cli::args::pod_name;
use crate::cli::{Globals, collected};
use crate::container::{self, Host};
use crate::error::{Kind, Result};
use crate::model::ids::{ContainerId, PodName, PodNamespace};
use crate::model::sandbox::ContainerView;
use crate::pod::{self, Pod, PodRef};
use std::time::{Duration, Instant};

/// How often it is looked whether the containers have ended.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Stop pods and remove everything of theirs
///
/// Containers get SIGTERM, after the grace period SIGKILL. When this returns, containers, pause, mounts, cgroups and
/// volumes are gone; what a hostPath volume showed stays.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod delete shop\n  podrun pod delete --force shop stall")]
pub struct DeleteArgs {
    /// Kill at once; a pod that is not there is no error
    #[arg(long)]
    pub force: bool,
    /// Seconds that containers have to end by themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 30, conflicts_with = "force")]
    pub grace_period: u32,
    /// The pods: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", required = true, value_parser = pod_name)]
    pub pods: Vec<PodName>,
    /// Their namespace
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
}

impl DeleteArgs {
    /// Deletes every pod, also when one of them fails.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let errors = self.pods.iter().filter_map(|name| self.delete(&host, name).err()).collect();
        collected(|count| format!("cannot delete {count} of {} pods", self.pods.len()), errors)?;
        Ok(0)
    }

    fn delete(&self, host: &Host, name: &PodName) -> Result<()> {
        let reference = PodRef { namespace: self.namespace.clone(), name: name.clone() };
        let opened = pod::open(&host.layout, &reference).and_then(|mut pod| pod.begin_delete().map(|()| pod));
        let pod = match opened {
            Err(error) if error.kind() == Kind::NotFound && self.force => return Ok(()),
            other => other?,
        };
        let grace = if self.force { Duration::ZERO } else { Duration::from_secs(self.grace_period.into()) };
        let mut errors = Vec::new();
        errors.extend(end_containers(host, &pod, grace).err());
        errors.extend(pod.finish_delete().err());
        collected(|_| format!("cannot delete pod {:?}", name.as_str()), errors)
    }
}

/// Stops and deletes the pod's containers. The pod takes no new ones by now.
fn end_containers(host: &Host, pod: &Pod, grace: Duration) -> Result<()> {
    let containers = views(pod.uid(), &container::list(host)?);
    if !grace.is_zero() {
        stop(host, &containers, grace)?;
    }
    let delete = |view| container::delete(host, &id(view)?, true);
    let errors = containers.iter().filter_map(|view| delete(view).err()).collect();
    collected(|count| format!("cannot delete {count} containers"), errors)
}

/// Asks the containers to end, and waits until they have or the time is over.
fn stop(host: &Host, containers: &[ContainerView], grace: Duration) -> Result<()> {
    let deadline = Instant::now() + grace;
    let mut waiting = Vec::new();
    for view in containers.iter().filter(|view| view.pid.is_some()) {
        let id = id(view)?;
        // One that has ended meanwhile is what we want.
        if container::kill(host, &id, libc::SIGTERM, false).is_ok() {
            waiting.push(id);
        }
    }
    loop {
        waiting.retain(|id| container::state(host, id).is_ok_and(|state| state.pid > 0));
        if waiting.is_empty() || Instant::now() >= deadline {
            return Ok(());
        }
        std::thread::sleep(PAUSE_BETWEEN_LOOKS);
    }
}

fn id(view: &ContainerView) -> Result<ContainerId> {
    view.id.parse()
}
