//! How long the waits between a container's crashes and its next starts are.

use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Kubernetes' own are the default: 10 seconds to 5 minutes, forgotten after 10 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoffTimes {
    /// The wait after the second crash in a row; the first is followed by a start at once. Each is twice the last.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A container that has run longer than this begins anew.
    pub reset: Duration,
}

impl Default for BackoffTimes {
    fn default() -> Self {
        Self { base: Duration::from_secs(10), max: Duration::from_secs(300), reset: Duration::from_secs(600) }
    }
}

impl BackoffTimes {
    /// Those that are chosen, and these for the rest; a base that is not chosen is no longer than the longest wait, as
    /// with the kubelet's own setting for it.
    ///
    /// # Errors
    /// Where they do not go together, or would let a container be restarted without any wait at all.
    pub fn with(
        self,
        base: Option<Duration>,
        max: Option<Duration>,
        reset: Option<Duration>,
    ) -> Result<Self> {
        let max = max.unwrap_or(self.max);
        let chosen =
            Self { base: base.unwrap_or(self.base.min(max)), max, reset: reset.unwrap_or(self.reset) };
        let Self { base, max, reset } = chosen;
        let refuse = |what: String, hint: &str| {
            Err(Error::new(Kind::Usage, format!("invalid back-off: {what}")).hint(hint))
        };
        if base < SHORTEST {
            return refuse(
                format!("the base {base:?} is less than {SHORTEST:?}"),
                "choose a longer --backoff-base: a container that crashes is not to keep the host busy",
            );
        }
        if max < base {
            return refuse(
                format!("the longest wait {max:?} is shorter than the base {base:?}"),
                "choose a longer --backoff-max or a shorter --backoff-base",
            );
        }
        if reset < base {
            return refuse(
                format!("the reset {reset:?} is shorter than the base {base:?}"),
                "choose a longer --backoff-reset or a shorter --backoff-base",
            );
        }
        if max > LONGEST || reset > LONGEST {
            return refuse(
                format!("a wait is longer than {} days", LONGEST.as_secs() / 86_400),
                "choose a shorter one",
            );
        }
        Ok(chosen)
    }
}

/// Below this a crash loop is a load on the host.
const SHORTEST: Duration = Duration::from_millis(100);
/// Nobody means more, and sums of these do not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_together() {
        let seconds = Duration::from_secs;
        let with = |base: Option<u64>, max: Option<u64>, reset: Option<u64>| {
            BackoffTimes::default().with(base.map(seconds), max.map(seconds), reset.map(seconds))
        };
        assert_eq!(with(None, None, None).unwrap(), BackoffTimes::default());
        let times = with(Some(1), Some(4), Some(3)).unwrap();
        assert_eq!(times, BackoffTimes { base: seconds(1), max: seconds(4), reset: seconds(3) });
        assert_eq!(
            times.with(None, Some(seconds(9)), None).unwrap(),
            BackoffTimes { max: seconds(9), ..times }
        );
        // Whoever only wants shorter waits gets them all.
        assert_eq!(with(None, Some(5), None).unwrap().base, seconds(5));
        for (base, max, reset, says) in [
            (Some(0), None, None, "the base 0ns is less than 100ms"),
            (Some(301), None, None, "the longest wait 300s is shorter than the base 301s"),
            (Some(9), Some(8), None, "the longest wait 8s is shorter than the base 9s"),
            (None, Some(0), None, "the base 0ns is less than"),
            (None, None, Some(9), "the reset 9s is shorter than the base 10s"),
            (None, Some(u64::MAX), None, "longer than 365 days"),
        ] {
            let error = with(base, max, reset).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.remedy().is_some());
        }
    }
}
