//! `pod start`

use super::{PodArgs, pair};
use crate::cli::{Globals, output};
use crate::error::{Context, Error, Result};
use crate::model::status::PodStatus;
use crate::pod::PodKind;
use crate::supervisor::control::Request;

/// Start the containers of a pod that was made from a manifest
///
/// Returns when every container has run or could not be started.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod create -f shop.yaml\n  podrun pod start shop")]
pub struct StartArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
}

impl StartArgs {
    /// Starts the containers and says so; of a pod that runs already nothing changes.
    ///
    /// # Errors
    /// When there is no such pod, it is a bare one, or a container cannot be started.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let pod = self.target.find(&host)?;
        let title = || format!("cannot start pod {:?}", self.target.pod.as_str());
        if pod.kind() == PodKind::Bare {
            return Err(Error::user("it is a bare pod, whose containers are started one by one")
                .hint("podrun start ID"))
            .context(title);
        }
        if let Some(status) = pair::status(&host, &pod)?.filter(PodStatus::has_ended) {
            return Err(Error::user(format!("it has ended ({:?})", status.phase))
                .hint(format!("delete it and run it again: podrun pod delete {}", pod.name())))
            .context(title);
        }
        pair::ask(&host, &pod, &Request::Start, None).context(title)?;
        output::print(&format!("pod/{} started\n", pod.name()))?;
        Ok(0)
    }
}
