//! `kill`

use crate::cli::Globals;
use crate::cli::args::Signal;
use crate::container;
use crate::error::Result;
use crate::model::ids::ContainerId;

/// Send a signal to a container's init
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun kill web TERM\n  podrun kill --all web 9")]
pub struct KillArgs {
    /// Signal every process of the container
    #[arg(short, long)]
    pub all: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// The signal, by number or name
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    pub signal: Signal,
}

impl KillArgs {
    /// Sends the signal.
    ///
    /// # Errors
    /// Those of [`container::kill()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        container::kill(&globals.host_of_existing()?, &self.id, self.signal.0, self.all)?;
        Ok(0)
    }
}
