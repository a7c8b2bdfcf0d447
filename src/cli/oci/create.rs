//! `create`

use super::NewContainerArgs;
use crate::cli::Globals;
use crate::container;
use crate::error::Result;

/// Create a container from a bundle
///
/// The container's process is made, with its namespaces, mounts and cgroup, and waits: `start` lets it go.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun create --bundle /srv/web --pid-file /run/web.pid --pod shop web")]
pub struct CreateArgs {
    /// What is to be created.
    #[command(flatten)]
    pub new: NewContainerArgs,
}

impl CreateArgs {
    /// Creates the container.
    ///
    /// # Errors
    /// Those of [`container::create()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host()?;
        self.new.with_sandbox(&host, |sandbox| container::create(&host, self.new.request(), sandbox))?;
        Ok(0)
    }
}
