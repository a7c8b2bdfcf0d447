//! `pod events`

use super::{PodArgs, details, now, pair};
use crate::cli::{Globals, output};
use crate::error::{Context, Error, Result};
use crate::pod::PodKind;

/// Show what happened to a pod: its latest events, the oldest first
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod events shop")]
pub struct EventsArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
}

impl EventsArgs {
    /// Prints the events.
    ///
    /// # Errors
    /// When there is no such pod, it is a bare one, or stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let pod = self.target.find(&host)?;
        if pod.kind() == PodKind::Bare {
            return Err(Error::user("it is a bare pod, whose life nobody writes down"))
                .context(|| format!("cannot show the events of pod {:?}", pod.name().as_str()));
        }
        let events = pair::status(&host, &pod)?.map(|status| status.events).unwrap_or_default();
        if events.is_empty() {
            output::note(&format!("No events found for pod {}.", pod.name()));
        } else {
            details::events(&events, now()).print()?;
        }
        Ok(0)
    }
}
