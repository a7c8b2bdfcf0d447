//! `events`

use crate::cli::args::duration;
use crate::error::Result;
use crate::model::ids::ContainerId;
use std::time::Duration;

/// Print a container's events and resource use (not supported yet)
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun events --stats web")]
pub struct EventsArgs {
    /// Print the resource use once
    #[arg(long)]
    pub stats: bool,
    /// Time between two reports
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub interval: Duration,
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl EventsArgs {
    /// Says that this is not supported yet.
    ///
    /// # Errors
    /// Always.
    pub fn run(&self) -> Result<i32> {
        Err(super::not_supported("events").hint("the container's cgroup has its counters"))
    }
}
