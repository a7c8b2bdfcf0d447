//! Where an image comes from: a tar archive or a directory, and the files in it.

use super::limits::{self, Budget};
use super::pack;
use super::stream::{Packing, Stream, Window, packing_of};
use super::tar::{End, Kind, Reader, Source};
use crate::error::{Context, Error, Result};
use crate::sys::fs::{Resolve, open_in};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Symbolic links that are followed from one file of an archive to another.
const HOPS: usize = 8;

/// What an import reads from.
#[derive(Debug)]
pub enum Archive {
    /// A tar archive with images in it.
    Tar {
        /// The archive, unpacked.
        file: File,
        /// Its files.
        members: BTreeMap<String, Member>,
    },
    /// A directory with images in it.
    Directory(OwnedFd),
    /// A tar archive of a root file system.
    Rootfs(File),
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// Where its data is: offset and length.
    Data(u64, u64),
    /// The name of the file that it is another name of.
    Link(String),
}

impl Archive {
    /// Opens a tar archive (plain, gzip or zstd), a directory, or (`-`) what stands on stdin. Files without a name are made
    /// in `scratch`.
    ///
    /// # Errors
    /// When it cannot be read, or is cut off.
    pub fn open(source: &Path, scratch: &Path) -> Result<Self> {
        if source == Path::new("-") {
            return Self::from_file(spool(io::stdin().lock(), scratch)?, scratch);
        }
        let file = File::open(source).context(|| format!("cannot open {source:?}"))?;
        let meta = file.metadata().context(|| format!("cannot stat {source:?}"))?;
        if !meta.is_dir() {
            let file = if meta.is_file() { file } else { spool(file, scratch)? };
            return Self::from_file(file, scratch);
        }
        let directory = Self::Directory(file.into());
        if directory.has("oci-layout")? {
            return Ok(directory);
        }
        let mut packed = nameless(scratch)?;
        pack::pack(source, &mut packed)?;
        Ok(Self::Rootfs(packed))
    }

    fn from_file(mut file: File, scratch: &Path) -> Result<Self> {
        let unreadable = || "cannot read the archive";
        let packed = packing_of(&mut file).context(unreadable)? != Packing::None;
        let mut members = if packed {
            members(Stream::new(whole(&file)?, limits::BYTES).context(unreadable)?)?
        } else {
            members(whole(&file)?)?
        };
        let is_archive = |members: &BTreeMap<String, Member>| {
            members.contains_key("manifest.json")
                || members.contains_key("oci-layout") && members.contains_key("index.json")
        };
        // Images are read here and there; a root file system from front to back, packed or not.
        if packed && members.as_ref().is_some_and(is_archive) {
            file = spool(file, scratch)?;
            members = self::members(whole(&file)?)?;
        }
        Ok(match members {
            Some(members) if is_archive(&members) => Self::Tar { file, members },
            _ => Self::Rootfs(file),
        })
    }

    /// Whether it has a file of this name.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has(&self, name: &str) -> Result<bool> {
        match self {
            Self::Tar { members, .. } => Ok(members.contains_key(name)),
            Self::Directory(directory) => match open_below(directory, name) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error).context(|| format!("cannot open {name:?}")),
            },
            Self::Rootfs(_) => Ok(false),
        }
    }

    /// A file of the archive, to be read; never one outside of it, whatever links say.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn file(&self, name: &str) -> Result<Window> {
        let missing = || Error::user(format!("the archive has no file {name:?}"));
        match self {
            Self::Tar { file, members } => {
                let mut at = normalised("", name);
                for _ in 0..HOPS {
                    match members.get(&at).ok_or_else(missing)? {
                        Member::Data(offset, length) => {
                            let file = file.try_clone().context(|| "cannot open the archive again")?;
                            return Ok(Window::new(file, *offset, *length));
                        }
                        Member::Link(target) => at.clone_from(target),
                    }
                }
                Err(Error::user(format!("{name:?} in the archive is a link without an end")))
            }
            Self::Directory(directory) => {
                let file =
                    File::from(open_below(directory, name).context(|| format!("cannot open {name:?}"))?);
                let meta = file.metadata().context(|| format!("cannot stat {name:?}"))?;
                if meta.is_file() { Ok(Window::new(file, 0, meta.len())) } else { Err(missing()) }
            }
            Self::Rootfs(_) => Err(missing()),
        }
    }

    /// The content of a small file of the archive.
    ///
    /// # Errors
    /// When there is no such file, or it is larger than a manifest may be.
    pub fn document(&self, name: &str) -> Result<Vec<u8>> {
        let mut file = self.file(name)?;
        if file.left() > limits::DOCUMENT {
            return Err(Error::user(format!(
                "{name:?} in the archive has {} bytes, more than {}",
                file.left(),
                limits::DOCUMENT
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context(|| format!("cannot read {name:?}"))?;
        Ok(bytes)
    }
}

fn open_below(directory: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    open_in(directory.as_fd(), &CString::new(name)?, libc::O_RDONLY | libc::O_NONBLOCK, 0, Resolve::InRoot)
}

/// A file that nobody else sees, and that is gone with us.
fn nameless(directory: &Path) -> Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let made = open(directory, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    made.map(File::from).context(|| format!("cannot make a file in {directory:?}"))
}

/// Copies what cannot be read twice, or is packed, to a file.
fn spool(from: impl Read, scratch: &Path) -> Result<File> {
    let mut to = nameless(scratch)?;
    let unreadable = || "cannot read the archive";
    let mut stream = Stream::new(from, limits::BYTES).context(unreadable)?;
    io::copy(&mut stream, &mut to).context(unreadable)?;
    to.rewind().context(unreadable)?;
    Ok(to)
}

fn whole(file: &File) -> Result<Window> {
    let length = file.metadata().context(|| "cannot stat the archive")?.len();
    let again = file.try_clone().context(|| "cannot open the archive again")?;
    Ok(Window::new(again, 0, length))
}

/// The files of an archive by their names; `None` when they are too many for an archive of images.
fn members(archive: impl Source) -> Result<Option<BTreeMap<String, Member>>> {
    let mut reader = Reader::new(archive);
    let mut found = BTreeMap::new();
    let mut budget = Budget::new();
    while let Some(entry) = reader.next()? {
        budget.spend(0)?;
        if found.len() > limits::MEMBERS {
            return Ok(None);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = normalised("", &text(&entry.path));
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let member = match entry.kind {
            Kind::File if entry.pieces.is_none() => Member::Data(reader.position(), entry.size),
            Kind::Symlink => Member::Link(normalised(folder, &text(&entry.link))),
            Kind::HardLink => Member::Link(normalised("", &text(&entry.link))),
            _ => continue,
        };
        found.insert(name, member);
    }
    // Without a digest of the whole, only the end tells that nothing is missing.
    if reader.end() == Some(End::Unmarked) {
        return Err(Error::user("the archive is cut off: it has no end").hint("fetch it again"));
    }
    Ok(Some(found))
}

/// A path inside of the archive, without `.` and `..`; it never leads outside.
fn normalised(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.retain(|part| !matches!(*part, "" | "."));
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let table = [
            (("", "./manifest.json"), "manifest.json"),
            (("a", "../b/layer.tar"), "b/layer.tar"),
            (("a/b", "../../../../etc/shadow"), "etc/shadow"),
            (("a", "/etc/shadow"), "etc/shadow"),
            (("a", "./x//y/."), "a/x/y"),
        ];
        for ((folder, path), want) in table {
            assert_eq!(normalised(folder, path), want, "{folder} {path}");
        }
    }
}
