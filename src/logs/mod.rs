//! Containers' logs: from pipes and terminals into files of the CRI's format, and from there to people.
//!
//! Not here: whose logs they are, where they lie, and when a container has ended; that comes in as paths, run numbers and
//! calls.
//!
//! Invariants: whoever is killed at whatever instruction, no line is torn or doubled, and only what was just being moved
//! is lost; a log that cannot be written never stops a container; memory is bounded whatever a container writes.

mod files;
mod format;
mod log_file;
mod print;
mod reader;
mod run;
mod scratch;
mod terminal;
#[cfg(test)]
mod tests;
mod writer;

pub use files::{remove_older_runs, runs};
pub use format::Stream;
pub use reader::{Reader, is_broken_pipe};
pub use run::Query;
pub use scratch::Scratch;
pub use terminal::Terminal;
pub use writer::{Limits, Lost, Pumped, Trouble, Writer};
