//! Compiled filters in a directory of podrun's, one file each.
//!
//! A file is named by a hash of its key and holds the whole key, which is compared byte for byte: two profiles of one
//! hash cost a compilation, never the wrong filter. A checksum finds the file that a crash cut short. Against malice
//! neither helps: the directory must be ours alone.

use super::{Filter, compile};
use crate::error::{Context, Error, Kind, Result};
use crate::state::atomic::{self, Durability};
use std::fs;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files kept; a host has a handful of profiles, and dockerd and Podman make one per set of capabilities.
const ENTRIES: usize = 64;
const MAGIC: [u8; 8] = *b"podrunS1";
/// Magic, checksum, flags, length of the key.
const HEADER: usize = 8 + 8 + 4 + 4;

/// A directory that only we can write to.
pub struct Cache<'a>(&'a Path);

/// Everything that decides what comes out: podrun, libseccomp, architecture, profile.
///
/// The kernel is not in it: libseccomp asks it which actions it has, and a refusal is an error, not another program.
pub fn key(profile: &str) -> Vec<u8> {
    let libseccomp = libseccomp::ScmpVersion::current()
        .map_or_else(|_| String::new(), |v| format!("{}.{}.{}", v.major, v.minor, v.micro));
    let (version, arch, revision) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, compile::REVISION);
    format!("{version} {revision} {libseccomp} {arch}\n{profile}").into_bytes()
}

impl<'a> Cache<'a> {
    /// Takes the directory at `path`, which need not be there yet.
    ///
    /// # Errors
    /// When another user owns it or can write to it: a filter from there could be anything.
    pub fn open(path: &'a Path) -> Result<Self> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(path)),
            Err(error) => Err(error).context(|| format!("cannot use the seccomp cache {path:?}")),
            Ok(found) if !found.is_dir() => Err(foreign(path, "it is not a directory")),
            Ok(found) if found.uid() != nix::unistd::geteuid().as_raw() => {
                Err(foreign(path, &format!("it belongs to user {}", found.uid())))
            }
            Ok(found) if found.mode() & 0o022 != 0 => {
                Err(foreign(path, &format!("its mode {:o} lets others write", found.mode() & 0o7777)))
            }
            Ok(_) => Ok(Self(path)),
        }
    }

    /// The filter stored under `key`, without its listener; whatever is wrong with the file, there is none.
    pub fn find(&self, key: &[u8]) -> Option<Filter> {
        decode(&atomic::read(self.0, &name(key)).ok()??, key)
    }

    /// Stores `filter`, making room first.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub fn store(&self, key: &[u8], filter: &Filter) -> Result<()> {
        atomic::make_directories(self.0)?;
        self.make_room()?;
        atomic::replace(self.0, &name(key), &encode(key, filter), Durability::Boot)
    }

    /// Removes the oldest files above the bound, what dead writers left among them.
    fn make_room(&self) -> Result<()> {
        let doing = || format!("cannot clear out the seccomp cache {:?}", self.0);
        let entries =
            fs::read_dir(self.0).and_then(Iterator::collect::<io::Result<Vec<_>>>).context(doing)?;
        if entries.len() < ENTRIES {
            return Ok(());
        }
        let age = |entry: &fs::DirEntry| {
            entry.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut aged: Vec<(SystemTime, PathBuf)> = entries.iter().map(|e| (age(e), e.path())).collect();
        aged.sort();
        for (_, path) in aged.iter().take(entries.len() + 1 - ENTRIES) {
            match fs::remove_file(path) {
                // Somebody else is making room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.context(doing)?,
            }
        }
        Ok(())
    }
}

fn foreign(path: &Path, why: &str) -> Error {
    Error::new(Kind::Host, format!("cannot use the seccomp cache {path:?}: {why}"))
}

fn hash(bytes: &[&[u8]]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn name(key: &[u8]) -> String {
    format!("{:016x}", hash(&[key]))
}

fn encode(key: &[u8], filter: &Filter) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_ne_bytes();
    let flags = filter.flags.to_ne_bytes();
    let checksum = hash(&[&flags, &filter.program]).to_ne_bytes();
    [MAGIC.as_slice(), &checksum, &flags, &length, key, &filter.program].concat()
}

fn decode(bytes: &[u8], key: &[u8]) -> Option<Filter> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (magic, header) = header.split_first_chunk::<8>()?;
    let (checksum, header) = header.split_first_chunk::<8>()?;
    let (flags, header) = header.split_first_chunk::<4>()?;
    let (length, _) = header.split_first_chunk::<4>()?;
    let (stored, program) = rest.split_at_checked(usize::try_from(u32::from_ne_bytes(*length)).ok()?)?;
    let whole = *magic == MAGIC
        && stored == key
        && !program.is_empty()
        && program.len().is_multiple_of(compile::INSTRUCTION)
        && u64::from_ne_bytes(*checksum) == hash(&[flags, program]);
    whole.then(|| Filter { program: program.to_vec(), flags: u32::from_ne_bytes(*flags), listener: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::DirBuilderExt;

    fn sample() -> Filter {
        Filter { program: vec![6, 0, 0, 0, 0, 0, 255, 127], flags: 4, listener: None }
    }

    #[test]
    fn an_entry_comes_back_and_a_damaged_one_does_not() {
        let bytes = encode(b"key", &sample());
        assert_eq!(decode(&bytes, b"key"), Some(sample()));
        assert_eq!(decode(&bytes, b"kez"), None);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], b"key"), None, "cut to {length}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged, b"key"), None, "bit flipped at {at}");
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let directory = super::super::tests::Scratch::new("bounded");
        let path = directory.path().join("cache");
        let cache = Cache::open(&path).unwrap();
        for number in 0..ENTRIES + 10 {
            cache.store(number.to_string().as_bytes(), &sample()).unwrap();
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), ENTRIES);
        assert_eq!(cache.find((ENTRIES + 9).to_string().as_bytes()), Some(sample()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_others_can_write_to_is_not_used() {
        let directory = super::super::tests::Scratch::new("foreign");
        fs::DirBuilder::new().mode(0o700).create(directory.path().join("open")).unwrap();
        fs::set_permissions(
            directory.path().join("open"),
            std::os::unix::fs::PermissionsExt::from_mode(0o722),
        )
        .unwrap();
        let error = Cache::open(&directory.path().join("open")).err().unwrap();
        assert!(error.to_string().ends_with("its mode 722 lets others write"), "{error}");
        std::os::unix::fs::symlink("open", directory.path().join("link")).unwrap();
        let error = Cache::open(&directory.path().join("link")).err().unwrap();
        assert!(error.to_string().ends_with("it is not a directory"), "{error}");
    }
}
