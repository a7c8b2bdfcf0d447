//! `resume`

use crate::cli::Globals;
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Thaw a container that was frozen by pause
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun resume web")]
pub struct ResumeArgs {
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl ResumeArgs {
    /// Thaws the container.
    ///
    /// # Errors
    /// Those of [`container::resume()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        container::resume(&globals.host()?, &self.id)?;
        Ok(0)
    }
}
