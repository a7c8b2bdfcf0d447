//! The podrun binary.
fn main() {}
