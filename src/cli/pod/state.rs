//! `pod state`

use super::PodArgs;
use crate::cli::{Globals, output};
use crate::error::Result;

/// Print a pod's state as JSON
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod state shop")]
pub struct StateArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
}

impl StateArgs {
    /// Prints the state.
    ///
    /// # Errors
    /// When there is no such pod, /proc cannot be read, or stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let seen = self.target.open(&globals.host_of_existing()?)?;
        output::json(&seen.pod.state(&seen.containers)?)?;
        Ok(0)
    }
}
