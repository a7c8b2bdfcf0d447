//! `image list`

use crate::cli::Globals;
use crate::cli::output::{self, Table};
use crate::error::Result;
use crate::image::{Image, Store};
use crate::model::time;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A JSON array.
    Json,
}

/// List images
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun image list\n  podrun image list -o json")]
pub struct ListArgs {
    /// Form of the list, if not the table
    #[arg(short, long, value_name = "FORM")]
    pub output: Option<Form>,
    /// Print the ids only
    #[arg(short, long, conflicts_with = "output")]
    pub quiet: bool,
}

impl ListArgs {
    /// Prints the list.
    ///
    /// # Errors
    /// When the store cannot be read or stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let images = Store::new(&globals.host_of_existing()?.layout).list()?;
        match self.output {
            Some(Form::Json) => output::json(&images.iter().map(object).collect::<Vec<_>>())?,
            None if self.quiet => {
                output::print(&images.iter().map(|image| short(&image.id) + "\n").collect::<String>())?;
            }
            None => table(&images).print()?,
        }
        Ok(0)
    }
}

fn object(image: &Image) -> Value {
    json!({
        "id": image.id,
        "names": image.names,
        "digests": image.digests,
        "created": image.created.map(time::rfc3339),
        "size": image.size,
        "layers": image.layers,
        "config": image.config,
    })
}

fn table(images: &[Image]) -> Table {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    for image in images {
        let created = image.created.map_or("N/A".to_owned(), |then| age(now.saturating_sub(then)));
        let mut row = |repository: &str, tag: &str| {
            let cells = [repository, tag, &short(&image.id), &created, &super::size(image.size)];
            table.row(cells.map(str::to_owned).into());
        };
        for name in &image.names {
            row(name.repository(), name.tag().unwrap_or("<none>"));
        }
        if image.names.is_empty() {
            row("<none>", "<none>");
        }
    }
    table
}

/// As much of an id as people need.
fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}

/// A span of seconds in one unit: `3 days ago`.
fn age(seconds: u64) -> String {
    const UNITS: [(u64, u64, &str); 7] = [
        (120, 1, "seconds"),
        (120 * 60, 60, "minutes"),
        (48 * 3600, 3600, "hours"),
        (14 * 86_400, 86_400, "days"),
        (60 * 86_400, 7 * 86_400, "weeks"),
        (2 * 365 * 86_400, 30 * 86_400, "months"),
        (u64::MAX, 365 * 86_400, "years"),
    ];
    let unit = UNITS.into_iter().find(|(below, ..)| seconds < *below);
    unit.map_or_else(String::new, |(_, length, name)| format!("{} {name} ago", seconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let table = [
            (0, "0 seconds ago"),
            (300, "5 minutes ago"),
            (7200, "2 hours ago"),
            (3 * 86_400, "3 days ago"),
            (20 * 86_400, "2 weeks ago"),
            (100 * 86_400, "3 months ago"),
            (1000 * 86_400, "2 years ago"),
        ];
        for (seconds, want) in table {
            assert_eq!(age(seconds), want);
        }
    }
}
