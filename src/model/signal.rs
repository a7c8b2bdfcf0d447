//! Signals as people write them: on the command line, and in an image's `StopSignal`.

use crate::error::{Error, Kind, Result};
use std::str::FromStr;

/// A signal's number; 0 only asks whether the process is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

impl FromStr for Signal {
    type Err = Error;

    /// Reads `9`, `KILL`, `SIGKILL` in any case, `RTMIN+2` and `SIGRTMAX-1`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::new(Kind::Usage, format!("unknown signal {text:?}"))
                .hint("write it like 9, KILL or SIGKILL")
        };
        if let Ok(number) = text.parse::<i32>() {
            let known = (0..=libc::SIGRTMAX()).contains(&number);
            return if known { Ok(Self(number)) } else { Err(unknown()) };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match name {
            "IOT" => libc::SIGABRT,
            "CLD" => libc::SIGCHLD,
            "POLL" => libc::SIGIO,
            _ => match real_time(name) {
                Some(number) => number,
                None => {
                    nix::sys::signal::Signal::from_str(&format!("SIG{name}")).map_err(|_| unknown())? as i32
                }
            },
        };
        Ok(Self(number))
    }
}

/// `RTMIN`, `RTMIN+N`, `RTMAX` and `RTMAX-N`, as kill(1) names them.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let distance = |text: &str, sign: char| match text.strip_prefix(sign) {
        Some(digits) if !digits.starts_with(['+', '-']) => digits.parse::<i32>().ok(),
        Some(_) => None,
        None => text.is_empty().then_some(0),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        first.checked_add(distance(rest, '+')?)?
    } else {
        last.checked_sub(distance(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_number_and_name() {
        let table = [
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sighup", 1),
            ("usr1", 10),
            ("SIGCLD", 17),
            ("RTMIN", libc::SIGRTMIN()),
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
            ("RTMAX-1", libc::SIGRTMAX() - 1),
        ];
        for (text, number) in table {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal(number), "{text}");
        }
        for bad in
            ["", "-9", "65", "SIG", "SIGNONE", "RTMIN-1", "RTMIN+99", "RTMIN+-1", "SIGSIGKILL", "KILL "]
        {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
