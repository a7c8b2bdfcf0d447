//! `events`

use crate::cli::args::interval;
use crate::cli::{Globals, output};
use crate::container::{self, Event};
use crate::error::Result;
use crate::model::ids::ContainerId;
use serde::Serialize;
use std::os::fd::AsFd;
use std::time::Duration;

/// Print a container's resource use and out-of-memory events, a line of JSON each, until it ends
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun events --stats web\n  podrun events --interval 1s web")]
pub struct EventsArgs {
    /// Print the resource use once
    #[arg(long)]
    pub stats: bool,
    /// Time between two reports
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// A line, in runc's words.
#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    r#type: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

impl EventsArgs {
    /// Prints the lines.
    ///
    /// # Errors
    /// Those of [`container::stats()`] and [`container::watch()`], or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        if self.stats {
            self.tell(Event::Stats(Box::new(container::stats(&host, &self.id)?)))?;
        } else {
            let stdout = std::io::stdout();
            container::watch(&host, &self.id, self.interval, stdout.as_fd(), |event| self.tell(event))?;
        }
        Ok(0)
    }

    fn tell(&self, event: Event) -> Result<()> {
        let id = self.id.as_str();
        match event {
            Event::Stats(stats) => output::json_line(&Line { r#type: "stats", id, data: Some(stats) }),
            Event::Oom => output::json_line(&Line::<()> { r#type: "oom", id, data: None }),
        }
    }
}
