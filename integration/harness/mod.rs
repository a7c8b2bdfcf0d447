//! What every test file stands on: one process tree per test, private directories, captured commands, and a look
//! around afterwards for anything that was left behind.
//!
//! Three levels of processes, all of this one binary: the *runner* (libtest-mimic) starts a *warden* per test, which is
//! the child subreaper of everything the test makes, and the warden starts the *body*, the test function itself.
//! Whatever the body does (panic, crash, hang) the warden is there to name what leaked and to remove it.

pub mod agent;
pub mod apart;
pub mod archives;
pub mod body;
pub mod bundle;
pub mod case;
pub mod cgroups;
pub mod command;
pub mod console;
pub mod diary;
pub mod disk;
pub mod facts;
pub mod leaks;
pub mod log_lines;
pub mod machine;
pub mod manifests;
pub mod pods;
pub mod proc;
pub mod runner;
pub mod runtime;
pub mod sources;
pub mod supervised;
pub mod wait;
pub mod warden;

pub use body::{Test, note, skip};
pub use bundle::Bundle;
pub use case::Case;
pub(crate) use case::case;
pub use command::Outcome;
pub use runtime::Runtime;
pub use wait::{eventually, within};
