//! The container's view of files: planned before the clone, carried out by init, by descriptor and inside the root.

pub mod apply;
pub mod cgroup;
pub mod copy_up;
pub mod devices;
pub mod file_system;
pub mod inherited;
pub mod locked;
pub mod mask;
pub mod opened;
pub mod options;
pub mod overlay;
pub mod pivot;
pub mod plan;
pub mod root;
