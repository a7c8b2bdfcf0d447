//! Writers, readers, and both together.

mod reading;
mod writing;

use super::format::{LONGEST_TEXT, parse};
use super::log_file::LogFile;
use super::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory of a test's own, removed with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podrun-logs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn logs(&self) -> PathBuf {
        self.0.join("app")
    }

    fn current(&self) -> PathBuf {
        self.logs().join("0.log")
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.logs(), 0, Limits::default())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.logs()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A pipe as containers have it.
fn pipe(size: i32) -> (OwnedFd, File) {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    fcntl(&read, FcntlArg::F_SETPIPE_SZ(size)).unwrap();
    (read, File::from(write))
}

const LARGE: i32 = 1 << 20;

/// Pumps until there is no more; whether it has ended.
fn pump(writer: &mut Writer, scratch: &mut Scratch, pipe: &OwnedFd, stream: Stream) -> bool {
    loop {
        let pumped = writer.pump(scratch, pipe.as_fd(), stream).unwrap();
        if !pumped.more {
            return pumped.ended;
        }
    }
}

/// What `pod logs` would print.
fn printed(directory: &Path, query: Query) -> Vec<u8> {
    let mut reader = Reader::new(false);
    reader.add(directory, 0, "", &query).unwrap();
    let mut text = Vec::new();
    reader.read_available(&mut text).unwrap();
    text
}

fn all(place: &Place) -> Vec<u8> {
    printed(&place.logs(), Query::default())
}

/// Later than any test takes.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}
