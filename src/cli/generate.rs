//! Shell completions and man pages, from the definitions that parse the command line.

use super::{Cli, output};
use crate::error::{Context, Result};
use clap::CommandFactory;
use std::path::PathBuf;

/// Print a shell's completion script
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun completions bash > /etc/bash_completion.d/podrun")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

impl CompletionsArgs {
    /// Prints the script.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn run(&self) -> Result<i32> {
        let mut command = Cli::command();
        command.build();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "podrun", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}

/// Write the man pages into a directory
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// An existing directory; pages of the same names are replaced
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

impl ManArgs {
    /// Writes `podrun.1` and one page per command.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn run(&self) -> Result<i32> {
        clap_mangen::generate_to(Cli::command(), &self.directory)
            .context(|| format!("cannot write man pages into {:?}", self.directory))?;
        Ok(0)
    }
}
