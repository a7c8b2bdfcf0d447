//! Names and order of a container's log files: `<restart>.log`, and rotated ones with the time of their rotation
//! behind, `<restart>.log.20161006-001709.123`, as the kubelet names them, but to the millisecond: a loud container
//! fills several files a second. A name is never given twice: the times rise.

use crate::error::{Context, Result};
use crate::model::time;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that a run of the container is logged to.
pub(super) fn current(directory: &Path, restart: u32) -> PathBuf {
    directory.join(format!("{restart}.log"))
}

/// Names of the rotated files of a run, oldest first; none where there is no directory.
pub(super) fn rotated(directory: &Path, restart: u32) -> io::Result<Vec<String>> {
    let mut names = names(directory)?;
    names.retain(|name| run_of(name) == Some(restart) && !name.ends_with(".log"));
    names.sort_unstable();
    Ok(names)
}

/// Gives the current file of a run its rotated name, and removes the oldest until there are, with the new one to come,
/// no more than `most`. What a crash leaves undone the next call does.
pub(super) fn rotate(directory: &Path, restart: u32, now: Duration, most: usize) -> io::Result<()> {
    let mut rotated = rotated(directory, restart)?;
    let newest = rotated.last().and_then(|name| stamp_of(name));
    let current = current(directory, restart);
    // Even a millisecond may see several rotations, and the clock may have been set back.
    let stamp = now.max(newest.map_or(Duration::ZERO, |newest| newest + Duration::from_millis(1)));
    let name = format!("{restart}.log.{}.{:03}", time::compact(stamp.as_secs()), stamp.subsec_millis());
    match std::fs::rename(current, directory.join(&name)) {
        Ok(()) => rotated.push(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {} // somebody has removed it
        Err(error) => return Err(error),
    }
    let surplus = rotated.len().saturating_sub(most.saturating_sub(1));
    rotated[..surplus].iter().try_for_each(|name| remove(&directory.join(name)))
}

/// The runs that have logs, in order; none where there is no directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn runs(directory: &Path) -> Result<Vec<u32>> {
    let names = names(directory).context(|| format!("cannot read {directory:?}"))?;
    let mut runs: Vec<u32> = names.iter().filter_map(|name| run_of(name)).collect();
    runs.sort_unstable();
    runs.dedup();
    Ok(runs)
}

/// Removes the logs of all runs before the one that came before `restart`: the current and the previous are kept.
///
/// # Errors
/// When the directory is there and cannot be read, or a file cannot be removed.
pub fn remove_older_runs(directory: &Path, restart: u32) -> Result<()> {
    let remove_all = || {
        names(directory)?
            .iter()
            .filter(|name| run_of(name).is_some_and(|run| run.saturating_add(1) < restart))
            .try_for_each(|name| remove(&directory.join(name)))
    };
    remove_all().context(|| format!("cannot remove old logs in {directory:?}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Which run a file of this name is of, if it is a log.
fn run_of(name: &str) -> Option<u32> {
    let (run, rest) = name.split_once(".log")?;
    let ours = rest.is_empty() || stamp_of(name).is_some();
    run.parse().ok().filter(|_| ours && run.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The time in a rotated file's name, counted from 1970; an older podrun's has no milliseconds.
fn stamp_of(name: &str) -> Option<Duration> {
    let stamp = name.split_once(".log.")?.1;
    let (seconds, millis) = match stamp.split_once('.') {
        Some((seconds, millis)) if millis.len() == 3 => (seconds, millis),
        Some(_) => return None,
        None => (stamp, "000"),
    };
    let millis = Some(millis).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Duration::from_secs(time::parse_compact(seconds)?) + Duration::from_millis(millis.parse().ok()?))
}
