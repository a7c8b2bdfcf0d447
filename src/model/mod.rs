//! Plain data that several layers share. No I/O.

pub mod backoff;
pub mod ids;
pub mod image;
pub mod node;
pub mod podspec;
pub mod probe;
pub mod quantity;
pub mod sandbox;
pub mod signal;
pub mod status;
pub mod time;
pub mod volume;
