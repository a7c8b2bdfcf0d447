//! `image remove`

use super::in_use::in_use;
use crate::cli::{Globals, collected, output};
use crate::error::Result;
use crate::image::Store;

/// Remove names of images, and images that have no other name
///
/// Layers that other images share stay. An image that a pod uses is not removed.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun image remove web:1.0\n  podrun image remove --force 5d0da3dc9764")]
pub struct RemoveArgs {
    /// Remove all names of an image that is given by its id; one that is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// Names, or ids: at least 4 hexadecimal digits of one
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

impl RemoveArgs {
    /// Removes every image, also when one of them fails.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let store = Store::new(&host.layout);
        let mut errors = Vec::new();
        let mut text = String::new();
        for image in &self.images {
            match store.remove(image, self.force, |images| in_use(&host, images)) {
                Ok(removed) => {
                    text.extend(removed.untagged.iter().map(|name| format!("Untagged: {name}\n")));
                    text.extend(removed.deleted.iter().map(|id| format!("Deleted: {id}\n")));
                }
                Err(error) if self.force && error.kind() == crate::error::Kind::NotFound => {}
                Err(error) => errors.push(error),
            }
        }
        output::print(&text)?;
        collected(|count| format!("cannot remove {count} of {} images", self.images.len()), errors)?;
        Ok(0)
    }
}
