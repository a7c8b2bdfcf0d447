//! Waiting for a condition with a deadline; no test sleeps for a fixed time and hopes.

use super::machine;
use std::time::{Duration, Instant};

/// Polls `probe` until it yields something, or fails the test after ten seconds.
#[track_caller]
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match within(10, probe) {
        Some(value) => value,
        None => panic!("waited in vain: {what}"),
    }
}

/// Polls `probe` for so many seconds (of an ordinary machine); `None` when it yielded nothing.
pub fn within<T>(seconds: u64, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds) * machine::slowness();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
