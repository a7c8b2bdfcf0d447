//! How soon crashed containers are started again, as options of the commands that make pods.

use crate::cli::args::duration;
use crate::error::Result;
use crate::model::backoff::BackoffTimes;
use std::time::Duration;

/// Waits between crashes and starts. They are written down with the pod.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct BackoffArgs {
    /// Wait so long before a container's second start after a crash, and twice as long each time; 10s if not given
    #[arg(long = "backoff-base", value_name = "SPAN", value_parser = duration)]
    pub base: Option<Duration>,
    /// Wait no longer than this; 5m if not given
    #[arg(long = "backoff-max", value_name = "SPAN", value_parser = duration)]
    pub max: Option<Duration>,
    /// Begin anew with a container that has run longer than this; 10m if not given
    #[arg(long = "backoff-reset", value_name = "SPAN", value_parser = duration)]
    pub reset: Option<Duration>,
}

impl BackoffArgs {
    /// Whether any is given.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// For a new pod.
    ///
    /// # Errors
    /// Times that do not go together.
    pub fn times(&self) -> Result<BackoffTimes> {
        self.over(BackoffTimes::default())
    }

    /// For a pod that has these.
    ///
    /// # Errors
    /// As [`BackoffArgs::times`].
    pub fn over(&self, present: BackoffTimes) -> Result<BackoffTimes> {
        present.with(self.base, self.max, self.reset)
    }
}
