//! `run`

use super::{NewContainerArgs, notify_socket};
use crate::cli::Globals;
use crate::container::{self, RunOptions};
use crate::error::Result;

/// Create a container, start it and wait for it
///
/// The exit code is the program's, or 128 and the number of the signal that ended it; afterwards the container is
/// deleted.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun run --bundle /srv/job job-1\n  podrun run --detach --bundle /srv/web web"
)]
pub struct RunArgs {
    /// What is to be created.
    #[command(flatten)]
    pub new: NewContainerArgs,
    /// Return as soon as the program runs
    #[arg(short, long)]
    pub detach: bool,
    /// Do not delete the container when its program has ended
    #[arg(long)]
    pub keep: bool,
    /// Leave orphans of the container's processes to the caller's subreaper, in place of reaping them here
    #[arg(long)]
    pub no_subreaper: bool,
}

impl RunArgs {
    /// Runs the container; the exit code is the program's.
    ///
    /// # Errors
    /// Those of [`container::run()`].
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host()?;
        let options = RunOptions {
            detach: self.detach,
            keep: self.keep,
            subreaper: !self.no_subreaper,
            manager: notify_socket(),
        };
        self.new.with_sandbox(&host, |sandbox| container::run(&host, self.new.request(), sandbox, &options))
    }
}
