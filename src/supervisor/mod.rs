//! The supervisor of a manifest pod: one thread, one poll loop, parent of every container.
//!
//! It acts; what is to be done is decided by [`lifecycle`](crate::lifecycle), which is told what happened and answers
//! with actions. Not here: reading manifests, making the sandbox, and what commands print.

pub mod control;
pub mod keeper;
pub mod lock;
pub mod outcome;
mod poll;
pub mod spawn;
