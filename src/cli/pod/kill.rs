//! `pod kill`

use super::{PodArgs, pair};
use crate::cli::args::Signal;
use crate::cli::{Globals, collected};
use crate::container;
use crate::error::{Context, Result};
use crate::pod::PodKind;
use crate::supervisor::control::Request;

/// Send a signal to the init of every container of a pod
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod kill shop HUP")]
pub struct KillArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
    /// The signal, by number or name
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    pub signal: Signal,
}

impl KillArgs {
    /// Sends the signal; containers without a process are passed over.
    ///
    /// # Errors
    /// When there is no such pod, or a container cannot be signalled; the others are, nevertheless.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let seen = self.target.open(&host)?;
        let title = || format!("cannot kill pod {:?}", self.target.pod.as_str());
        let supervised = seen.pod.kind() == PodKind::Manifest;
        if supervised && seen.status.as_ref().is_some_and(|status| !status.has_ended()) {
            pair::ask(&host, &seen.pod, &Request::Kill { signal: self.signal.0 }, None).context(title)?;
            return Ok(0);
        }
        let mut errors = Vec::new();
        for view in seen.containers.iter().filter(|view| view.pid.is_some()) {
            errors.extend(container::kill(&host, &view.id.parse()?, self.signal.0, false).err());
        }
        collected(|_| title(), errors)?;
        Ok(0)
    }
}
