//! `pod stop`

use super::{PodArgs, remove};
use crate::cli::{Globals, output};
use crate::error::{Context, Kind, Result};

/// Stop the containers of a pod
///
/// They get their stop signal, after the grace period SIGKILL, and are not started again. What they wrote stays until the
/// pod is deleted.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod stop shop --grace-period 5")]
pub struct StopArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
    /// Seconds that containers have to end by themselves; the manifest's, or 30, if left out or below 0
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<i64>,
}

impl StopArgs {
    /// Stops the containers and says so.
    ///
    /// # Errors
    /// When there is no such pod, or a container does not end.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let pod = self.target.find(&host)?;
        let name = pod.name().as_str();
        remove::stop(&host, &pod, seconds(self.grace_period))
            .context(|| format!("cannot stop pod {name:?}"))
            .map_err(|error| match error.kind() {
                // Its supervisor does not answer.
                Kind::Host | Kind::Died => {
                    error.hint(format!("podrun pod delete --force {name} removes it all the same"))
                }
                _ => error,
            })?;
        output::print(&format!("pod/{} stopped\n", pod.name()))?;
        Ok(0)
    }
}

/// A negative grace period means the pod's own, as with kubectl.
pub fn seconds(grace_period: Option<i64>) -> Option<u64> {
    grace_period.and_then(|seconds| u64::try_from(seconds).ok())
}
