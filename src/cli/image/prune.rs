//! `image prune`

use super::in_use::in_use;
use crate::cli::{Globals, output};
use crate::error::Result;
use crate::image::Store;

/// Remove what is left of images
///
/// Images that have no name any more and that no pod uses, layers that no image needs, and leftovers of imports that were
/// killed.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun image prune")]
pub struct PruneArgs {}

impl PruneArgs {
    /// Removes it and prints what was freed.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let pruned = Store::new(&host.layout).prune(|images| in_use(&host, images))?;
        let mut text: String = pruned.images.iter().map(|id| format!("Deleted: {id}\n")).collect();
        for (count, what) in [
            (pruned.layers, "layers"),
            (pruned.blobs, "manifests and configs"),
            (pruned.leftovers, "unfinished imports or removals"),
        ] {
            if count > 0 {
                text.push_str(&format!("Deleted: {count} {what}\n"));
            }
        }
        text.push_str(&format!("Total reclaimed space: {}\n", super::size(pruned.bytes)));
        output::print(&text)?;
        Ok(0)
    }
}
