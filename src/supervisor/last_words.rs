//! A container's termination message: what it leaves in a file of its own, or else the end of its log.
//!
//! The file lies among the pod's small files and is bound into the container, where anybody may write it. Nothing that
//! stands in it is trusted, and only its end is read.

use super::event_loop::Supervisor;
use super::output::Place;
use crate::error::{Context, Result};
use crate::lifecycle::Outcome;
use crate::logs::{Query, Reader};
use crate::model::podspec::TerminationMessagePolicy;
use crate::report;
use crate::sys::fs;
use oci_spec::runtime::Mount;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Most bytes of a message, and of one that is made from a log: its last lines. As the kubelet has them.
const LARGEST: u64 = 4096;
const LARGEST_OF_LOG: usize = 2048;
const LINES_OF_LOG: u64 = 80;

/// The mount of the file at `destination`, which is made empty. What an earlier attempt left is replaced.
pub(super) fn mount(place: &Place, destination: &str) -> Result<Mount> {
    let path = place.last_words();
    make(&path).context(|| format!("cannot make {path:?}"))?;
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_source(Some(path))
        .set_typ(Some("bind".to_owned()))
        .set_options(Some(vec!["bind".to_owned(), "rprivate".to_owned()]));
    Ok(mount)
}

fn make(path: &Path) -> io::Result<()> {
    remove(path)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Whoever the container's program runs as.
    file.set_permissions(std::fs::Permissions::from_mode(0o666))
}

/// Removes the file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Supervisor {
    /// The message of a container that has ended, and whose output is logged.
    pub(super) fn last_words(&self, index: usize, outcome: Outcome) -> Option<String> {
        let place = self.place(index, self.members[index].restart);
        let file = end_of(&place.last_words(), LARGEST);
        let file = file.unwrap_or_else(|error| {
            report::warn(&format!("cannot read a termination message: {error}"));
            String::new()
        });
        let falls_back = self.spec_of(index).termination_message_policy
            == TerminationMessagePolicy::FallbackToLogsOnError
            && outcome != Outcome::Exited(0);
        let message = if file.is_empty() && falls_back { end_of_log(&place) } else { file };
        Some(message).filter(|message| !message.is_empty())
    }
}

fn end_of(path: &Path, largest: u64) -> io::Result<String> {
    let mut file = match fs::open_existing(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(largest)))?;
    let mut bytes = Vec::new();
    file.take(largest).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn end_of_log(place: &Place) -> String {
    let query = Query { tail: Some(LINES_OF_LOG), ..Query::default() };
    let mut text = Vec::new();
    let mut reader = Reader::new(false);
    let read = reader
        .add(&place.logs, place.restart, "", &query)
        .and_then(|_| reader.read_available(&mut text))
        .map(|_| ());
    if let Err(error) = read {
        report::warn(&error.to_string());
    }
    let start = text.len().saturating_sub(LARGEST_OF_LOG);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_message_is_read() {
        let path = std::env::temp_dir().join(format!("podrun-last-words-{}", std::process::id()));
        assert_eq!(end_of(&path, 8).unwrap(), "");
        make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(end_of(&path, 8).unwrap(), "");
        let write = |bytes: &[u8]| {
            std::io::Write::write_all(
                &mut std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
                bytes,
            )
            .unwrap();
        };
        write(b"why it ended");
        assert_eq!(end_of(&path, 8).unwrap(), "it ended");
        write(b"\xff not UTF-8 ");
        assert_eq!(end_of(&path, 100).unwrap(), "\u{fffd} not UTF-8 ");
        remove(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(end_of(&path, 8).is_err());
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
