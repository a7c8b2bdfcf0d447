//! The container's view of files: planned before the clone, carried out by init, by descriptor and inside the root.

pub mod apply;
pub mod devices;
pub mod mask;
pub mod options;
pub mod overlay;
pub mod pivot;
pub mod plan;
pub mod root;
