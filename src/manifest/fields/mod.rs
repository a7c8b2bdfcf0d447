//! The table of fields: everything a Pod manifest can say, as of Kubernetes 1.37.

mod actions;
mod cluster;
mod container;
mod container_parts;
mod pod;
mod security;
mod volume;
mod volume_kinds;

pub(super) use container::VOLUME_MOUNT;
pub(super) use pod::POD;
pub(super) use volume::VOLUME;
