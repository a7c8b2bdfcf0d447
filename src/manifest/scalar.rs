//! What a plain scalar means: YAML 1.1 as Kubernetes reads it (go-yaml 2 by way of sigs.k8s.io/yaml), where `yes` is a
//! boolean, `0644` is octal and `1_000` a number, while times of day and dates are text.

use crate::manifest::tree::Value;

/// The value of a scalar without quotes and without a tag; `None` for a number that JSON cannot say, such as `.inf`.
pub(super) fn resolve(text: &str) -> Option<Value> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return None,
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    };
    Some(value)
}

/// The number that the text is, if it is one.
pub(super) fn number(text: &str) -> Option<Value> {
    match text.as_bytes().first()? {
        b'.' => finite(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain: String = text.chars().filter(|c| *c != '_').collect();
            integer(&plain).map(Value::Int).or_else(|| finite(&plain))
        }
        _ => None,
    }
}

/// As Go's ParseInt with base 0: `0x`, `0o`, `0b`, and octal behind a bare zero.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    // The standard library would take a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    i64::try_from(sign * i128::from_str_radix(digits, base).ok()?).ok()
}

/// A decimal fraction; never the words for infinity that the standard library also takes.
fn finite(text: &str) -> Option<Value> {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let value = text.chars().all(numeric).then(|| text.parse::<f64>().ok())??;
    value.is_finite().then_some(Value::Float(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubernetes_reads_yaml() {
        let int = |value| Some(Value::Int(value));
        let float = |value| Some(Value::Float(value));
        let text = |value: &str| Some(Value::Text(value.into()));
        for (plain, want) in [
            ("", Some(Value::Null)),
            ("~", Some(Value::Null)),
            ("NULL", Some(Value::Null)),
            ("nULL", text("nULL")),
            ("yes", Some(Value::Bool(true))),
            ("On", Some(Value::Bool(true))),
            ("n", Some(Value::Bool(false))),
            ("yEs", text("yEs")),
            ("0644", int(0o644)),
            ("0o644", int(0o644)),
            ("-0x1F", int(-31)),
            ("0b101", int(5)),
            ("+5", int(5)),
            ("0", int(0)),
            ("1_000", int(1000)),
            ("08", float(8.0)),
            ("1e3", float(1000.0)),
            ("1.", float(1.0)),
            (".5", float(0.5)),
            ("-.5", float(-0.5)),
            ("9223372036854775807", int(i64::MAX)),
            ("9223372036854775808", float(9_223_372_036_854_775_808.0)),
            ("1e999", text("1e999")),
            (".inf", None),
            ("-", text("-")),
            ("--5", text("--5")),
            ("+-5", text("+-5")),
            ("0x", text("0x")),
            (".", text(".")),
            ("12:30:45", text("12:30:45")),
            ("2001-01-01", text("2001-01-01")),
            ("1.2.3", text("1.2.3")),
            ("_1", text("_1")),
            ("100m", text("100m")),
            ("infinity", text("infinity")),
        ] {
            assert_eq!(resolve(plain), want, "{plain:?}");
        }
    }
}
