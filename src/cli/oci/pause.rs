//! `pause`

use crate::cli::Globals;
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Freeze all processes of a container
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pause web")]
pub struct PauseArgs {
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl PauseArgs {
    /// Freezes the container.
    ///
    /// # Errors
    /// Those of [`container::pause()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        container::pause(&globals.host()?, &self.id)?;
        Ok(0)
    }
}
