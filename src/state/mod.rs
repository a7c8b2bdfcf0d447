//! What podrun keeps on disk: where each file lies, how records are written and read, and how a process is named so
//! that a recycled pid is never taken for it.
//!
//! Invariants: a reader never sees half a record; a record of another version is refused, not guessed at; a pid is
//! never trusted without its start time and boot id.

pub mod atomic;
pub mod layout;
pub mod lock;
pub mod process;
