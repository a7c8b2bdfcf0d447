//! Lines of a container's log that were numbered by who wrote them: none may be torn or doubled, and how many are lost is
//! counted.

use std::collections::BTreeMap;
use std::path::Path;

/// A shell's loop that writes numbered lines to both streams as fast as it can.
pub const FLOOD: &str = "n=0; while :; do echo out $n ......................; \
                         echo err $n ...................... >&2; n=$((n+1)); done";

/// What was found of one stream.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Lines.
    pub lines: u64,
    /// How often lines are missing between two.
    pub gaps: u64,
    /// The last number.
    pub last: u64,
}

/// The records of a run, oldest first.
#[track_caller]
pub fn records(directory: &Path, restart: u32) -> Vec<String> {
    let current = format!("{restart}.log");
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| name.starts_with(&format!("{current}.")))
        .collect();
    names.sort_unstable();
    names.push(current);
    let read = |name: &String| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    names.iter().map(read).collect::<String>().split_inclusive('\n').map(str::to_owned).collect()
}

/// Bytes of all logs in these directories.
pub fn bytes(directories: impl IntoIterator<Item = std::path::PathBuf>) -> u64 {
    let files =
        directories.into_iter().flat_map(|path| std::fs::read_dir(path).into_iter().flatten().flatten());
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// The number in the last whole line of a run that is being written; 0 where there is none.
pub fn last_number(directory: &Path, restart: u32) -> u64 {
    let text = std::fs::read_to_string(directory.join(format!("{restart}.log"))).unwrap_or_default();
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    let number = |line: &str| line.split(' ').nth(4)?.parse().ok();
    whole.lines().next_back().and_then(number).unwrap_or(0)
}

/// Looks at every record of a run of [`FLOOD`]. The beginning may have been rotated away.
#[track_caller]
pub fn flood(directory: &Path, restart: u32) -> BTreeMap<&'static str, Found> {
    let records = records(directory, restart);
    ["out", "err"]
        .map(|stream| {
            (stream, numbered(&records, stream, |n| format!("{stream} {n} ......................")))
        })
        .into()
}

/// Looks at the records of a stream whose lines are `line(number)`, the numbers rising.
#[track_caller]
pub fn numbered(records: &[String], stream: &str, line: impl Fn(u64) -> String) -> Found {
    let (mut found, mut next) = (Found::default(), None);
    for record in records {
        let whole = record.strip_suffix('\n').unwrap_or_else(|| panic!("torn record {record:?}"));
        let parts: Vec<&str> = whole.splitn(4, ' ').collect();
        let [time, of, flag, text] = parts[..] else { panic!("strange record {record:?}") };
        assert!(time.len() == 30 && time.ends_with('Z'), "strange time: {record:?}");
        if of.strip_prefix("std") != Some(stream) {
            continue;
        }
        let number = text.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok());
        let number = number.unwrap_or_else(|| panic!("torn line {record:?}"));
        assert_eq!((flag, text), ("F", line(number).as_str()), "torn line");
        if let Some(next) = next {
            assert!(number >= next, "line {number} again, or late: {record:?}, after {next}");
            found.gaps += u64::from(number > next);
        }
        (found.lines, found.last, next) = (found.lines + 1, number, Some(number + 1));
    }
    found
}
