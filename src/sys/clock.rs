//! The monotonic clock as a number that means the same to every process until the next boot, which `Instant` does not
//! tell.

use std::time::Duration;

/// clock_gettime(2) of CLOCK_MONOTONIC.
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into the one that lives on this stack frame. It cannot fail: the clock exists
    // and the address is good; time would stand still at 0.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_as_instants_do() {
        let (before, began) = (monotonic(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let inner = began.elapsed();
        let passed = monotonic() - before;
        assert!(passed >= inner && !before.is_zero(), "{passed:?} {inner:?}");
    }
}
