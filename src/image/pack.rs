//! A directory of the host's as a tar archive: a root file system that is imported goes the same way as an archive of one.

use crate::error::{Context, Error, Result};
use crate::sys::xattr;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{DirEntry, File, Metadata};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// tar's unit.
const BLOCK: usize = 512;

/// Writes all that is in `directory` to `to`, sorted, and goes back to its beginning. What is mounted below it, sockets and
/// devices are left out; files' times are kept to the second.
///
/// # Errors
/// When something cannot be read or written, or changes meanwhile.
pub fn pack(directory: &Path, to: &mut File) -> Result<()> {
    let top = std::fs::metadata(directory).context(|| format!("cannot stat {directory:?}"))?;
    let mut packer = Packer { to: BufWriter::new(&mut *to), device: top.dev(), links: BTreeMap::new() };
    packer.add(directory, b"./", &top)?;
    let mut waiting = vec![(directory.to_owned(), Vec::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        for entry in sorted(&directory)? {
            let path = entry.path();
            let name = [&prefix[..], entry.file_name().as_bytes()].concat();
            let meta = entry.metadata().context(|| format!("cannot stat {path:?}"))?;
            if meta.is_dir() {
                let name = [&name[..], b"/"].concat();
                packer.add(&path, &name, &meta)?;
                if meta.dev() == packer.device {
                    waiting.push((path, name));
                }
            } else {
                packer.add(&path, &name, &meta)?;
            }
        }
    }
    let end = packer.to.write_all(&[0; 2 * BLOCK]).and_then(|()| packer.to.flush());
    drop(packer);
    end.and_then(|()| to.rewind()).context(|| "cannot write the archive")
}

fn sorted(directory: &Path) -> Result<Vec<DirEntry>> {
    let read = || std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>();
    let mut entries = read().context(|| format!("cannot read {directory:?}"))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

struct Packer<W: Write> {
    to: W,
    device: u64,
    /// Names of files that have several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &[u8], meta: &Metadata) -> Result<()> {
        let mut link = Vec::new();
        let kind = meta.file_type();
        let mut letter = match () {
            () if kind.is_dir() => b'5',
            () if kind.is_symlink() => b'2',
            () if kind.is_file() => b'0',
            () if kind.is_fifo() => b'6',
            () => return Ok(()),
        };
        if letter == b'2' {
            let target = std::fs::read_link(path).context(|| format!("cannot read link {path:?}"))?;
            link = target.into_os_string().into_encoded_bytes();
        } else if letter == b'0' && meta.nlink() > 1 {
            match self.links.get(&(meta.dev(), meta.ino())) {
                Some(first) => (letter, link) = (b'1', first.clone()),
                None => drop(self.links.insert((meta.dev(), meta.ino()), name.to_vec())),
            }
        }
        let file = (matches!(letter, b'0' | b'5')).then(|| open(path)).transpose()?;
        let attributes = file.as_ref().map_or(Ok(Vec::new()), attributes);
        let attributes = attributes.context(|| format!("cannot read the attributes of {path:?}"))?;
        let size = if letter == b'0' { meta.len() } else { 0 };
        let written = self.header(name, &link, letter, size, meta, &attributes);
        written.context(|| "cannot write the archive")?;
        match file.filter(|_| letter == b'0') {
            Some(file) => self.data(file, size).context(|| format!("cannot copy {path:?}")),
            None => Ok(()),
        }
    }

    fn data(&mut self, file: File, size: u64) -> Result<()> {
        let copied = io::copy(&mut file.take(size), &mut self.to).context(|| "cannot read or write")?;
        if copied < size {
            return Err(Error::user("it became shorter meanwhile"));
        }
        self.pad(size).context(|| "cannot write")
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if rest == 0 { Ok(()) } else { self.to.write_all(&[0; BLOCK][rest..]) }
    }

    /// An entry's header, and before it what has no place in it.
    fn header(
        &mut self,
        name: &[u8],
        link: &[u8],
        letter: u8,
        size: u64,
        meta: &Metadata,
        attributes: &[(Vec<u8>, Vec<u8>)],
    ) -> io::Result<()> {
        let mut records = Vec::new();
        let numbers: [(&str, u64, u32); 3] =
            [("uid", meta.uid().into(), 7), ("gid", meta.gid().into(), 7), ("size", size, 11)];
        for (key, value, digits) in numbers {
            if value >= 1 << (3 * digits) {
                record(&mut records, key.as_bytes(), value.to_string().as_bytes());
            }
        }
        // Before 1970, or after 2242.
        let odd_time = !(0..1 << 33).contains(&meta.mtime());
        if odd_time {
            record(&mut records, b"mtime", meta.mtime().to_string().as_bytes());
        }
        for (key, value) in [(&b"path"[..], name), (b"linkpath", link)] {
            if value.len() > 100 {
                record(&mut records, key, value);
            }
        }
        for (key, value) in attributes {
            record(&mut records, &[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        if !records.is_empty() {
            let length = records.len() as u64;
            self.to.write_all(&block(b"pax", b"", b'x', [0o644, 0, 0, length, 0]))?;
            self.to.write_all(&records)?;
            self.pad(length)?;
        }
        let time = if odd_time { 0 } else { meta.mtime().cast_unsigned() };
        let numbers = [u64::from(meta.mode() & 0o7777), meta.uid().into(), meta.gid().into(), size, time];
        self.to.write_all(&block(name, link, letter, numbers))
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path).context(|| format!("cannot open {path:?}"))
}

fn attributes(file: &File) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = match xattr::list(file.as_fd()) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| Ok((name.to_vec(), xattr::get(file.as_fd(), &CString::new(name)?)?))).collect()
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits too.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() > length {
        length += 1;
    }
    records.extend([length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat());
}

/// A ustar header; `numbers` are mode, uid, gid, size and time. What does not fit stands in a record before it.
fn block(name: &[u8], link: &[u8], letter: u8, numbers: [u64; 5]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(157, &link[..link.len().min(100)]);
    let fields = [(100, 7), (108, 7), (116, 7), (124, 11), (136, 11)];
    for ((at, digits), number) in fields.into_iter().zip(numbers) {
        let number = if number >= 1 << (3 * digits) { 0 } else { number };
        put(at, format!("{number:0digits$o}").as_bytes());
    }
    put(148, b"        ");
    put(156, &[letter]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
