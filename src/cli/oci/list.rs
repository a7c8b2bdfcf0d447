//! `list`

use super::Format;
use crate::cli::Globals;
use crate::cli::output::{self, Table};
use crate::container;
use crate::error::Result;

/// List the containers
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun list\n  podrun list --format json")]
pub struct ListArgs {
    /// Form of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Print the ids alone
    #[arg(short, long)]
    pub quiet: bool,
}

impl ListArgs {
    /// Prints the list.
    ///
    /// # Errors
    /// Those of [`container::list()`], or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let containers = container::list(&globals.host_of_existing()?)?;
        if self.quiet {
            output::print(&containers.iter().map(|c| format!("{}\n", c.id)).collect::<String>())?;
            return Ok(0);
        }
        if self.format == Format::Json {
            output::json_line(&containers)?;
            return Ok(0);
        }
        let mut table = Table::new(&["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
        for c in containers {
            let bundle = c.bundle.display().to_string();
            table.row(vec![c.id, c.pid.to_string(), c.status.to_string(), bundle, c.created, c.owner]);
        }
        table.print()?;
        Ok(0)
    }
}
