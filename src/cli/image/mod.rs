//! The image face: what is in the image store, and how it gets in and out.

pub mod import;
pub mod in_use;
pub mod list;
pub mod prune;
pub mod remove;

use super::Globals;
use crate::error::Result;
use clap::Subcommand;

/// Import, list and remove images
///
/// Containers of pods are made from images. A name such as busybox means docker.io/library/busybox:latest everywhere.
#[derive(Debug, PartialEq, Subcommand)]
#[command(defer = true, after_help = "Example:\n  podrun image import web.tar web:1.0\n  podrun image list")]
#[expect(missing_docs, reason = "each command is described at its Args, which is its help too")]
pub enum ImageCommand {
    Import(import::ImportArgs),
    List(list::ListArgs),
    Remove(remove::RemoveArgs),
    Prune(prune::PruneArgs),
}

impl ImageCommand {
    /// Does it.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Self::Import(args) => args.run(globals),
            Self::List(args) => args.run(globals),
            Self::Remove(args) => args.run(globals),
            Self::Prune(args) => args.run(globals),
        }
    }
}

/// Bytes as people read them: `4.26MB`, in powers of ten as registries count.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes}B");
    };
    // Three digits that count.
    let (whole, hundredths) = (bytes / unit, bytes % unit * 100 / unit);
    match whole {
        0..10 => format!("{whole}.{hundredths:02}{name}"),
        10..100 => format!("{whole}.{}{name}", hundredths / 10),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        let table = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (4_261_550, "4.26MB"),
            (18_950_000, "18.9MB"),
            (142_000_000, "142MB"),
            (1_234_000_000, "1.23GB"),
        ];
        for (bytes, want) in table {
            assert_eq!(size(bytes), want);
        }
    }
}
