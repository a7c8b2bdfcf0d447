//! `start`

use super::notify_socket;
use crate::cli::Globals;
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Let a created container's program go
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun start web")]
pub struct StartArgs {
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl StartArgs {
    /// Starts the container.
    ///
    /// # Errors
    /// Those of [`container::start()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let manager = notify_socket();
        container::start_notifying(&globals.host_of_existing()?, &self.id, manager.as_deref())?;
        Ok(0)
    }
}
