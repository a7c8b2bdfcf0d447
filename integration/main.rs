//! Integration tests: they drive the built binary as root against the real kernel. `harness` is what they stand on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests write plain files and start threads; nothing here clones raw"
)]

mod config_process;
mod harness;
mod oci_lifecycle;

fn main() -> std::process::ExitCode {
    harness::runner::main([oci_lifecycle::cases(), config_process::cases()].concat())
}
