//! `state`

use crate::cli::{Globals, output};
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Print a container's state as JSON
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun state web")]
pub struct StateArgs {
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl StateArgs {
    /// Prints the state.
    ///
    /// # Errors
    /// Those of [`container::state()`], or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        output::json(&container::state(&globals.host_of_existing()?, &self.id)?)?;
        Ok(0)
    }
}
