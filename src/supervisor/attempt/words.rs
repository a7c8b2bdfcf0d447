//! Texts as the kubelet's language writes them, which people match.

use nix::errno::Errno;
use std::io;
use std::time::Duration;

/// What was written, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Quoted as `%q` does, and cut.
pub fn quoted(bytes: &[u8]) -> String {
    /// What a server says is not longer in a message.
    const LARGEST: usize = 512;
    let mut quoted = String::from("\"");
    for chunk in bytes[..bytes.len().min(LARGEST)].utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\\' => quoted.extend(['\\', letter]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                '\0'..=' ' | '\x7f' if letter != ' ' => hex(&mut quoted, letter as u32),
                letter => quoted.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| hex(&mut quoted, u32::from(*byte)));
    }
    quoted.push('"');
    quoted
}

fn hex(text: &mut String, byte: u32) {
    text.push_str(&format!("\\x{byte:02x}"));
}

/// A duration as `%v` has it: `1s`, `1m30s`, `1.5s`.
pub fn duration(duration: Duration) -> String {
    let (whole, part) = (duration.as_secs(), duration.subsec_millis());
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let fraction = if part == 0 { String::new() } else { format!(".{part:03}") };
    let seconds = format!("{seconds}{}s", fraction.trim_end_matches('0'));
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// What the system says of an error, without its number.
pub fn system(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(
            quoted(b"sh -c 'a \"b\"'\n\x15\x03\xff\xc3\xa9"),
            "\"sh -c 'a \\\"b\\\"'\\n\\x15\\x03\\xffé\""
        );
        assert!(quoted(&[b'x'; 10_000]).len() < 600);
    }

    #[test]
    fn durations() {
        let table = [(1000, "1s"), (90_000, "1m30s"), (3_600_000, "1h0m0s"), (1500, "1.5s"), (250, "0.25s")];
        for (millis, text) in table {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
