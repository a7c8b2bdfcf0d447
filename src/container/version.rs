//! The version of the runtime spec that a config.json is written for.

/// The x of a version 1.x, as `ociVersion` has it (Semantic Versioning 2.0.0); `None` for any other text.
pub fn minor(version: &str) -> Option<u32> {
    let numbers = version.split(['-', '+']).next()?;
    let numbers: Vec<Option<u32>> = numbers.split('.').map(number).collect();
    match numbers[..] {
        [Some(1), Some(minor)] | [Some(1), Some(minor), Some(_)] => Some(minor),
        _ => None,
    }
}

fn number(text: &str) -> Option<u32> {
    // parse() alone takes a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, want) in
            [("1.0.2", 0), ("1.0.2-dev", 0), ("1.1.0+dev", 1), ("1.3.0-rc.1", 3), ("1.10.0", 10), ("1.2", 2)]
        {
            assert_eq!(minor(version), Some(want), "{version}");
        }
        for version in
            ["", "1", "1.", "1.x", "1.+2", "1.2.", "1.2.x", "1.2.3.4", "2.0.0", "0.5.0", "latest", "v1.0.2"]
        {
            assert_eq!(minor(version), None, "{version}");
        }
    }
}
