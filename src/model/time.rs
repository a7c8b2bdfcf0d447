//! Times as people and logs read them; pure, so no crate for it.

use std::time::Duration;

/// `2026-01-02T03:04:05Z` for seconds since the epoch.
pub fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day is the last of its year; 146097 days are 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// `20260102-030405` for seconds since the epoch, for names that sort by time.
pub fn compact(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Seconds since the epoch of what [`compact`] writes; `None` for anything else.
pub fn parse_compact(text: &str) -> Option<u64> {
    let text: &[u8; 15] = text.as_bytes().try_into().ok()?;
    let mut long = *b"0000-00-00T00:00:00Z";
    for (from, to) in
        [(0..4, 0..4), (4..6, 5..7), (6..8, 8..10), (9..11, 11..13), (11..13, 14..16), (13..15, 17..19)]
    {
        long[to].copy_from_slice(&text[from]);
    }
    parse_rfc3339_nanos(&long).filter(|_| text[8] == b'-').map(|since| since.as_secs())
}

/// Length of what [`rfc3339_nanos`] writes.
pub const NANOS_LENGTH: usize = 30;

/// `2026-01-02T03:04:05.006007008Z` for a time since the epoch, without allocation; times after the year 9999 are
/// written as its end.
pub fn rfc3339_nanos(since_epoch: Duration) -> [u8; NANOS_LENGTH] {
    const LAST: u64 = 253_402_300_799;
    let seconds = since_epoch.as_secs().min(LAST);
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    write_digits(&mut text[0..4], year);
    write_digits(&mut text[5..7], month);
    write_digits(&mut text[8..10], day);
    write_digits(&mut text[11..13], second / 3600);
    write_digits(&mut text[14..16], second / 60 % 60);
    write_digits(&mut text[17..19], second % 60);
    write_digits(&mut text[20..29], since_epoch.subsec_nanos().into());
    text
}

/// Fills `place` with the last decimal digits of `value`.
fn write_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}

/// Seconds since the epoch of an RFC 3339 time, fractions cut; `None` where it is none.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    parse_rfc3339_nanos(text.as_bytes()).map(|since| since.as_secs())
}

/// Time since the epoch of an RFC 3339 time with any offset (`Z`, `+02:00`) and any fraction, of which nanoseconds are
/// kept; `None` where it is none or lies before 1970.
pub fn parse_rfc3339_nanos(text: &[u8]) -> Option<Duration> {
    let (clock, rest) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| clock[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (digits(&clock[0..4])?, digits(&clock[5..7])?, digits(&clock[8..10])?);
    let (hour, minute, second) = (digits(&clock[11..13])?, digits(&clock[14..16])?, digits(&clock[17..19])?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let year = year.checked_sub(u64::from(month <= 2))?;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    let seconds = (days * 86_400 + hour * 3600 + minute * 60 + second).checked_add_signed(offset(zone)?)?;
    Some(Duration::new(seconds.checked_sub(719_468 * 86_400)?, nanos))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The number that `text` is, which is short.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// The nanoseconds of a fraction that may stand at the beginning of `text`, and what follows it.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (places, rest) = text.split_at(length);
    let padded = places.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = padded.fold(0, |number, byte| number * 10 + u32::from(byte - b'0'));
    (length > 0).then_some((nanos, rest))
}

/// Seconds to add to a clock in zone `text` to get to UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
            (hours < 24 && minutes < 60).then_some(if *sign == b'+' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// An age as kubectl shows it: the largest units that tell enough.
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if !minutes.is_multiple_of(60) => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if !hours.is_multiple_of(24) => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_there_and_back() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_795_246_496, "2026-11-21T07:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(parse_compact(&compact(seconds)), Some(seconds));
            assert_eq!(parse_rfc3339(text), Some(seconds));
        }
        assert_eq!(parse_rfc3339("2000-02-29T00:00:00.123456789Z"), Some(951_782_400));
        for bad in [
            "",
            "Z",
            "2000-02-29",
            "2000-13-01T00:00:00Z",
            "2000-02-29T00:00Z",
            "1-1-1T1:1:1Z",
            "x-1-1T1:1:1Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn nanoseconds_there_and_back() {
        let table = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1_475_713_029, 669_794_202, "2016-10-06T00:17:09.669794202Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        ];
        for (seconds, nanos, text) in table {
            let time = Duration::new(seconds, nanos);
            assert_eq!(std::str::from_utf8(&rfc3339_nanos(time)).unwrap(), text);
            assert_eq!(parse_rfc3339_nanos(text.as_bytes()), Some(time));
        }
        assert_eq!(&rfc3339_nanos(Duration::MAX)[..19], b"9999-12-31T23:59:59");
        let same = [
            "2016-10-06T02:17:09.6+02:00",
            "2016-10-05T23:47:09.60-00:30",
            "2016-10-06T00:17:09.6000000009Z",
        ];
        for text in same {
            assert_eq!(
                parse_rfc3339_nanos(text.as_bytes()),
                Some(Duration::new(1_475_713_029, 600_000_000)),
                "{text}"
            );
        }
    }

    #[test]
    fn compact_times() {
        assert_eq!(compact(1_475_713_029), "20161006-001709");
        for bad in
            ["", "20161006-00170", "20161006-0017090", "20161006x001709", "2016100é-00170", "20161306-001709"]
        {
            assert_eq!(parse_compact(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_times() {
        let good = b"2016-10-06T00:17:09.669794202Z";
        for end in 0..good.len() {
            assert_eq!(parse_rfc3339_nanos(&good[..end]), None);
        }
        for bad in [
            "2015-02-29T00:00:00Z",
            "2015-04-31T00:00:00Z",
            "2015-04-00T00:00:00Z",
            "2015-04-01T24:00:00Z",
            "2015-04-01 00:00:00Z",
            "2015-04-01T00:00:00.Z",
            "2015-04-01T00:00:00.1x",
            "2015-04-01T00:00:00+24:00",
            "2015-04-01T00:00:00+1:00",
            "+015-04-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2016-10-06T00:17:09Zx",
        ] {
            assert_eq!(parse_rfc3339_nanos(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ages() {
        let table = [
            (0, "0s"),
            (119, "119s"),
            (150, "2m30s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ];
        for (seconds, want) in table {
            assert_eq!(age(seconds), want);
        }
    }
}
