//! `delete`

use crate::cli::{Globals, collected};
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Delete stopped containers and whatever they held
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun delete web\n  podrun delete --force web db")]
pub struct DeleteArgs {
    /// Kill what still runs; a container that is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// The containers
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<ContainerId>,
}

impl DeleteArgs {
    /// Deletes every container, also when one of them fails.
    ///
    /// # Errors
    /// Those of [`container::delete()`], all of them.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let errors =
            self.ids.iter().filter_map(|id| container::delete(&host, id, self.force).err()).collect();
        collected(|count| format!("cannot delete {count} of {} containers", self.ids.len()), errors)?;
        Ok(0)
    }
}
