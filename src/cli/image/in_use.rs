//! Which images and layers the pods on record use.

use crate::container::Host;
use crate::error::Result;
use crate::image::InUse;

/// What `image remove` and `image prune` must leave. Asked while no lease is held, so that no pod is being made.
///
/// # Errors
/// When the records cannot be read.
pub fn in_use(_host: &Host) -> Result<InUse> {
    Ok(InUse::default()) // no pod on record is made from an image yet
}
