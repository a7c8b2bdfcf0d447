//! Facts of /proc, read from the host's side.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A field of /proc/PID/status; `pid` may be `self`.
pub fn status_field(pid: impl std::fmt::Display, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}

/// Fields 3 and following of /proc/PID/stat: the first is the state letter.
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The state letter of a process, or `None` when there is no such process.
pub fn state(pid: i32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    stat_fields(pid)?.get(1)?.parse().ok()
}

/// When a process started, in clock ticks after boot.
pub fn start_time(pid: i32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

/// Whether a process is there and is no zombie.
pub fn lives(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Inode number of a namespace of a process (`net`, `mnt`, ...); `pid` may be `self`.
#[track_caller]
pub fn namespace(pid: impl std::fmt::Display, kind: &str) -> u64 {
    let path = format!("/proc/{pid}/ns/{kind}");
    match std::fs::metadata(&path) {
        Ok(metadata) => metadata.ino(),
        Err(error) => panic!("cannot stat {path}: {error}"),
    }
}

/// The command line of a process, with blanks between the words.
pub fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// All processes.
pub fn all() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// All processes below `ancestor`, zombies too.
pub fn descendants(ancestor: i32) -> BTreeSet<i32> {
    let parents: Vec<(i32, i32)> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = BTreeSet::from([ancestor]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            break;
        }
    }
    found.remove(&ancestor);
    found
}

/// The children of a process, zombies too.
pub fn children(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|child| parent(*child) == Some(pid)).collect()
}

/// Lines of /proc/PID/mountinfo; `pid` may be `self`.
pub fn mounts(pid: impl std::fmt::Display) -> Vec<Mount> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().filter_map(Mount::parse).collect()
}

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// What of the file system is mounted.
    pub root: String,
    /// Where.
    pub point: String,
    /// Per-mount options such as `ro,nosuid`.
    pub options: Vec<String>,
    /// `shared:1`, `master:2`, ...
    pub propagation: Vec<String>,
    /// File system type.
    pub kind: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point, options) = (left.next()?, left.next()?, left.next()?);
        let right: Vec<&str> = right.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Some(Self {
            root: root.to_owned(),
            point: point.replace("\\040", " "),
            options: list(options),
            propagation: left.map(str::to_owned).collect(),
            kind: (*right.first()?).to_owned(),
            super_options: list(right.get(2)?),
        })
    }

    /// Whether the mount, or what is mounted, lies at or below `path`.
    pub fn concerns(&self, path: &Path) -> bool {
        [&self.root, &self.point].iter().any(|place| Path::new(place.as_str()).starts_with(path))
    }
}

/// Proportional set size of a process in KiB.
pub fn pss_kib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
