//! `linux.seccomp` of the runtime spec, made into the BPF program that seccomp(2) loads.
//!
//! [`profile`] reads the JSON and names the field in every complaint, [`compile`] has libseccomp turn it into a
//! program, [`stub`] puts the answer for system calls younger than the profile in front, [`cache`] keeps the result:
//! compiling costs milliseconds, more than all the rest of making a container, and a host has few profiles.
//! Loading is the child's work ([`crate::sys::seccomp`]); nothing here changes the calling process.
//!
//! Invariant: what [`filter`] returns from the cache is what it would have compiled.

mod cache;
mod compile;
mod profile;
mod stub;

pub use profile::Listener;

use crate::error::Result;
use crate::report;
use crate::sys::seccomp::NEW_LISTENER;
use profile::Profile;
use std::path::Path;

/// What seccomp(2) needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// An array of `struct sock_filter` in native byte order, 1 to 4096 of them.
    pub program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*` bits for SECCOMP_SET_MODE_FILTER.
    pub flags: u32,
    /// Who answers notifications; there exactly when `flags` ask for a listener.
    pub listener: Option<Listener>,
}

/// The program for `profile`, the JSON text of `linux.seccomp`: from the directory `cache` if it is there, else
/// compiled and put there. The directory is made when missing.
///
/// A cache that cannot be used is reported and done without.
///
/// # Errors
/// As [`check`], and when libseccomp cannot express the profile or the kernel would refuse a program of its size.
pub fn filter(cache: &Path, profile: &str) -> Result<Filter> {
    let key = cache::key(profile);
    let cache = match cache::Cache::open(cache) {
        Ok(cache) => Some(cache),
        Err(error) => {
            report::warn(&error.to_string());
            None
        }
    };
    if let Some(mut found) = cache.as_ref().and_then(|cache| cache.find(&key)) {
        if found.flags & NEW_LISTENER != 0 {
            // Not kept with it: who has a listener is rare, and reading is cheap beside compiling.
            found.listener = Profile::parse(profile)?.listener;
        }
        return Ok(found);
    }
    let profile = Profile::parse(profile)?;
    let filter =
        Filter { program: compile::compile(&profile)?, flags: profile.flags, listener: profile.listener };
    if let Some(Err(error)) = cache.map(|cache| cache.store(&key, &filter)) {
        report::warn(&error.to_string());
    }
    Ok(filter)
}

/// Whether `profile`, the JSON text of `linux.seccomp`, says something podrun can do; compiles nothing.
///
/// # Errors
/// The first field that is missing, malformed, contradictory or not supported:
/// `linux.seccomp.syscalls[3].action: unknown action "SCMP_ACT_FOO"`.
pub fn check(profile: &str) -> Result<()> {
    Profile::parse(profile).map(drop)
}

#[cfg(test)]
mod tests;
