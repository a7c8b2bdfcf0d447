//! Plain data that several layers share. No I/O.

pub mod ids;
pub mod quantity;
pub mod sandbox;
pub mod time;
