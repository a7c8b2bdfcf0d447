//! Values of the command line that several commands share, and how their text is read.
//!
//! Everything a command gets is valid when its `run` begins: what cannot be checked by the type alone is refused here.

use crate::error::{Error, Kind, Result};
use crate::model::ids::{ContainerId, PodName};
use crate::model::sandbox::VolumeMount;
pub use crate::model::signal::Signal;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

/// Reads a `--volume NAME:PATH[:ro]` of create and run.
///
/// # Errors
/// When the name is no volume name or the path is not absolute.
pub fn volume_mount(text: &str) -> Result<VolumeMount> {
    let (name, rest) = text
        .split_once(':')
        .ok_or_else(|| usage(format!("{text:?} has no path")).hint("write it like data:/var/lib/data:ro"))?;
    let (path, read_only) = match rest.rsplit_once(':') {
        Some((path, "ro")) => (path, true),
        Some((path, "rw")) => (path, false),
        // A path may hold colons, but what follows the last one is much more often meant as an option.
        Some((_, option)) if !option.contains('/') => {
            return Err(usage(format!("unknown option {option:?} of volume {name:?}"))
                .hint("the options are ro and rw"));
        }
        _ => (rest, false),
    };
    if !path.starts_with('/') {
        return Err(usage(format!("path {path:?} of volume {name:?} is not absolute"))
            .hint("the path is where the container finds the volume, such as /data"));
    }
    Ok(VolumeMount { name: name.parse()?, path: PathBuf::from(path), read_only })
}

/// Reads a POD: `NAME`, `pod/NAME` or `pods/NAME`.
///
/// # Errors
/// When the name is no pod's.
pub fn pod_name(text: &str) -> Result<PodName> {
    text.strip_prefix("pod/").or_else(|| text.strip_prefix("pods/")).unwrap_or(text).parse()
}

/// A user of the container, by number: `UID[:GID]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id in the container.
    pub uid: u32,
    /// Group id; without one the process keeps the one of its config.
    pub gid: Option<u32>,
}

impl FromStr for User {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // Digits alone (CVE-2026-30892), and not the number that means "whoever it is now" to the kernel.
        let number = |digits: &str| {
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let id = digits.parse().ok().filter(|id| is_plain && *id != u32::MAX);
            id.ok_or_else(|| usage(format!("{digits:?} is no user or group number")))
        };
        match text.split_once(':') {
            Some((uid, gid)) => Ok(Self { uid: number(uid)?, gid: Some(number(gid)?) }),
            None => Ok(Self { uid: number(text)?, gid: None }),
        }
    }
}

/// Reads memory sizes as runc's flags take them, which is as docker's go-units does: a number, which may have a
/// fraction, and a binary suffix in whatever case (`512m`, `1.5 GiB`); a part of a byte counts for nothing. -1 is no limit.
///
/// # Errors
/// When the text is no size, or does not fit 63 bits.
pub fn memory_size(text: &str) -> Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    size(text).ok_or_else(|| {
        usage(format!("{text:?} is no size")).hint("write it in bytes or like 512m or 1.5GiB, or -1 for none")
    })
}

fn size(text: &str) -> Option<i64> {
    /// Digits that a number may have: more than 64 bits hold, and few enough for the arithmetic.
    const DIGITS: usize = 20;
    let lower = text.to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.len() > DIGITS {
        return None;
    }
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix);
    let shift = match suffix.strip_suffix('b').unwrap_or(suffix) {
        "" => 0,
        "k" | "ki" => 10,
        "m" | "mi" => 20,
        "g" | "gi" => 30,
        "t" | "ti" => 40,
        "p" | "pi" => 50,
        _ => return None,
    };
    let scaled = digits.parse::<u128>().ok()?.checked_mul(1 << shift)?;
    let places = u32::try_from(fraction.len()).ok()?;
    i64::try_from(scaled / 10_u128.checked_pow(places)?).ok()
}

/// Reads a span of time such as `500ms`, `5s`, `1.5m` or `1h30m`.
///
/// # Errors
/// When the text is no such span, or is longer than 100 years: a clock can always be told to go on by so much.
pub fn duration(text: &str) -> Result<Duration> {
    const LONGEST_HOURS: u64 = 100 * 8766;
    let total = span(text)?;
    if total > Duration::from_secs(LONGEST_HOURS * 3600) {
        return Err(usage(format!("{text:?} is longer than 100 years"))
            .hint(format!("give at most {LONGEST_HOURS}h")));
    }
    Ok(total)
}

fn span(text: &str) -> Result<Duration> {
    let refuse = || usage(format!("{text:?} is no span of time")).hint("write it like 500ms, 5s or 1m30s");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, after) = rest.split_at(unit);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (name, next) = after.split_at(end);
        let seconds: f64 = match name {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(refuse()),
        };
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| refuse())?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = next;
    }
    if text.is_empty() { Err(refuse()) } else { Ok(total) }
}

/// Reads a span of time between two things, which cannot be none.
///
/// # Errors
/// As [`duration`], and for 0.
pub fn interval(text: &str) -> Result<Duration> {
    match duration(text)? {
        Duration::ZERO => {
            Err(usage("it must be greater than 0".into()).hint("write it like 500ms, 5s or 1m30s"))
        }
        interval => Ok(interval),
    }
}

/// `ID` and the words after it, which are another program's: none of them is read as an option of ours, with or
/// without `--` between.
///
/// Written by hand because clap would still read options between two positional arguments.
#[derive(Debug, PartialEq)]
pub struct IdAndWords {
    /// The container.
    pub id: ContainerId,
    /// What follows, verbatim.
    pub words: Vec<OsString>,
}

const ID_AND_WORDS: &str = "id_and_words";

impl clap::Args for IdAndWords {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.arg(
            clap::Arg::new(ID_AND_WORDS)
                .required(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_names(["ID", "WORD"])
                .help("The container, then what it is about; nothing after ID is an option of podrun's")
                .value_parser(clap::value_parser!(OsString)),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for IdAndWords {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut words = matches.get_many::<OsString>(ID_AND_WORDS).into_iter().flatten().cloned();
        let Some(first) = words.next() else {
            return Err(clap::Error::new(ErrorKind::MissingRequiredArgument));
        };
        let id = first.to_string_lossy().parse().map_err(|error: Error| {
            let mut refused = clap::Error::raw(ErrorKind::ValueValidation, error.to_string());
            if let Some(remedy) = error.remedy() {
                let tip = ContextValue::StyledStrs(vec![remedy.to_owned().into()]);
                refused.insert(ContextKind::Suggested, tip);
            }
            refused
        })?;
        let mut words: Vec<OsString> = words.collect();
        if words.first().is_some_and(|word| word == "--") {
            words.remove(0);
        }
        Ok(Self { id, words })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_mounts() {
        let mount = |path: &str, read_only| VolumeMount {
            name: "data".parse().unwrap(),
            path: PathBuf::from(path),
            read_only,
        };
        assert_eq!(volume_mount("data:/d").unwrap(), mount("/d", false));
        assert_eq!(volume_mount("data:/d:ro").unwrap(), mount("/d", true));
        assert_eq!(volume_mount("data:/d:rw").unwrap(), mount("/d", false));
        assert_eq!(volume_mount("data:/a:/b").unwrap(), mount("/a:/b", false));
        for bad in ["", "data", "data:", "data:d", "Data:/d", ":/d", "data:ro", "data:/d:no"] {
            assert!(volume_mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pods() {
        for text in ["shop", "pod/shop", "pods/shop"] {
            assert_eq!(pod_name(text).unwrap().as_str(), "shop");
        }
        for bad in ["", "pod/", "pods/pod/shop", "/shop", "Shop"] {
            assert!(pod_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users() {
        assert_eq!("7".parse::<User>().unwrap(), User { uid: 7, gid: None });
        assert_eq!("7:8".parse::<User>().unwrap(), User { uid: 7, gid: Some(8) });
        for bad in [
            "",
            "root",
            "7:",
            ":7",
            "-1",
            "+7",
            " 7",
            "0x7",
            "4294967295",
            "7:4294967295",
            "4294967296",
            "1:2:3",
        ] {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_sizes() {
        let table = [
            ("0", 0),
            ("-1", -1),
            ("4096", 4096),
            ("4096b", 4096),
            ("64m", 64 << 20),
            ("1GiB", 1 << 30),
            ("2KB", 2048),
            ("1.5G", 3 << 29),
            ("1.5 gib", 3 << 29),
            (".5T", 1 << 39),
            ("0.1p", 112_589_990_684_262),
            ("1.1k", 1126),
            ("1.9", 1),
            ("0000000000000000001k", 1024),
            ("9223372036854775807", i64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(memory_size(text).unwrap(), bytes, "{text}");
        }
        for bad in [
            "",
            ".",
            "m",
            "-2",
            "-1.0",
            "+1",
            "1x",
            "1mm",
            "1 mbb",
            "1  m",
            "1m ",
            "1.2.3",
            "1,5g",
            "1e3",
            "0x10",
            "9223372036854775808",
            "9999999p",
            "1.00000000000000000000",
        ] {
            assert!(memory_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        let table = [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000)];
        for (text, millis) in table {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "5", "s", "5x", "-5s", "1..5s", "1e99s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        let longest = duration("876600h").unwrap();
        assert!(std::time::Instant::now().checked_add(longest).is_some());
        for long in ["876600h1ms", "9223372036854775807s", "18446744073709551615ms"] {
            let error = duration(long).unwrap_err();
            assert!(error.to_string().contains("longer than 100 years"), "{error}");
            assert_eq!(error.remedy(), Some("give at most 876600h"));
        }
    }
}
