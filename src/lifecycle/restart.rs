//! Whether a container is made again, and how soon.

use crate::model::podspec::RestartPolicy;
use std::time::Duration;

/// A container is not started sooner than this after its last start, so that one that ends at once does not spin.
const FLOOR: Duration = Duration::from_secs(1);

/// Longest time between two attempts to make or start what cannot be.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Whether the policy wants a container back that ended with this code.
pub fn wanted(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// How long to wait before a container is made that ended, having been started `since_start` ago.
pub fn delay(since_start: Option<Duration>) -> Duration {
    since_start.map_or(Duration::ZERO, |since| FLOOR.saturating_sub(since))
}

/// How long to wait before the attempt behind `failures` equal ones, at least one.
pub fn retry_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    LONGEST_RETRY.min(FLOOR * (1 << doublings))
}
