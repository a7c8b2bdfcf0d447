//! Images: a store of them below the data root, and ways into it.
//!
//! ```text
//! <data-root>/images/   an OCI image layout: index.json (names), blobs/sha256/ (manifests and configs)
//! <data-root>/layers/   DIFF-ID/: a layer, unpacked, ready to be a lower directory of an overlayfs; all images share it
//!                       .work.*/: what an import or a removal is at; left by one that was killed, `prune` takes it away
//! ```
//!
//! The packed layers are not kept: an OCI image layout may lack blobs, nothing of podrun's needs them once they are
//! unpacked, and they would double the space. A layer's diff-id tells which of them are here already.
//!
//! Invariants:
//! - What index.json refers to is there, whole, and on disk: layers first, then manifest and config, then the index.
//! - A directory with a diff-id's name is a complete layer: it is unpacked elsewhere, synced, and renamed.
//! - Nothing an image says leads outside of its layer: paths are resolved by the kernel below the layer's own
//!   directory; extended attributes of overlayfs and devices never come out of an archive.
//! - Layers go only while nobody holds a [`Lease`], and never those that a pod on record uses.
//!
//! Locks, always in this order, none of them held while layers are unpacked or deleted: the lease (flock on layers/,
//! shared by all who need layers to stay, exclusive to remove some), then the index (flock on images/, around the
//! read and the write of index.json).

mod archive;
mod change;
mod dress;
mod formats;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod import;
mod limits;
mod oci;
mod pack;
mod parts;
mod remove;
mod store;
mod stream;
mod tar;
mod unpack;
pub mod user;
mod work;

pub use change::Change;
pub use remove::{InUse, Pruned, Removed};
pub use store::{Image, Lease, Store};
