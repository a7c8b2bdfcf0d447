//! Kubernetes quantities: `64Mi`, `1.5`, `250m`, `1e3` (apimachinery's resource.Quantity).

use crate::error::{Error, Result};

/// Bytes of a quantity such as `64Mi`; a fraction of a byte counts as one, as Kubernetes rounds.
///
/// # Errors
/// When the text is no quantity, is negative, or does not fit 63 bits.
pub fn bytes(text: &str) -> Result<u64> {
    thousandths(text)
        .map(|value| u64::try_from(value.div_ceil(1000)).unwrap_or(u64::MAX))?
        .try_into_size(text)
}

/// Thousandths of a CPU of a quantity such as `0.5` or `500m`, rounded up.
///
/// # Errors
/// As [`bytes`].
pub fn millis(text: &str) -> Result<u64> {
    u64::try_from(thousandths(text)?).map_err(|_| invalid(text, "it is too large"))?.try_into_size(text)
}

/// Bytes as a quantity, such as `64Mi`.
pub fn text(bytes: u64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    let (shift, name) = unit.unwrap_or((0, ""));
    format!("{}{name}", bytes >> shift)
}

trait Size {
    fn try_into_size(self, text: &str) -> Result<u64>;
}

impl Size for u64 {
    fn try_into_size(self, text: &str) -> Result<u64> {
        if i64::try_from(self).is_ok() { Ok(self) } else { Err(invalid(text, "it is too large")) }
    }
}

fn invalid(text: &str, why: &str) -> Error {
    Error::user(format!("invalid quantity {text:?}: {why}")).hint("write it like 64Mi, 1.5 or 500m")
}

/// The value in thousandths, rounded up.
fn thousandths(text: &str) -> Result<u128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
        return Err(invalid(text, "there is no number"));
    }
    let digits: u128 =
        format!("{whole}{fraction}").parse().map_err(|_| invalid(text, "there is no number"))?;
    let (multiplier, divisor) =
        scale(suffix).ok_or_else(|| invalid(text, &format!("unknown suffix {suffix:?}")))?;
    let places = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let scaled = digits
        .checked_mul(multiplier)
        .and_then(|v| v.checked_mul(1000))
        .ok_or_else(|| invalid(text, "it is too large"))?;
    let divisor = 10u128
        .checked_pow(places)
        .and_then(|p| p.checked_mul(divisor))
        .ok_or_else(|| invalid(text, "it is too small"))?;
    Ok(scaled.div_ceil(divisor))
}

/// Multiplier and divisor of a suffix.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10u128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table: [(&str, u64); 9] = [
            ("0", 0),
            ("64Mi", 64 << 20),
            ("1.5Gi", 3 << 29),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("128974848000m", 128_974_848),
            ("1m", 1),
            ("0.1", 1),
        ];
        for (text, want) in table {
            assert_eq!(bytes(text).unwrap(), want, "{text}");
        }
        for (bytes, want) in [(0, "0"), (1, "1"), (1 << 10, "1Ki"), (3 << 29, "1536Mi"), (1000, "1000")] {
            assert_eq!(text(bytes), want);
        }
        assert_eq!(millis("0.5").unwrap(), 500);
        assert_eq!(millis("100m").unwrap(), 100);
        assert_eq!(millis("2").unwrap(), 2000);
        for bad in ["", "Mi", "-1", "1Mb", "1.2.3", "1 Mi", "16Ei", "1e99", "0x10", "9223372036854775808"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
