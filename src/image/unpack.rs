//! Unpacking a layer into a directory of its own, as overlayfs wants its lower directories.
//!
//! The archive is an attacker's. Every path is resolved by the kernel below the layer's directory, which the root of
//! symbolic links is too (openat2(2) RESOLVE_IN_ROOT), and worked on by descriptor; what an entry makes is made anew, never
//! opened. `..` is refused. Whiteouts (`.wh.NAME`, `.wh..wh..opq`) become overlayfs' own marks, and nothing else does: a
//! device 0:0 is refused, attributes other than `security.capability` and `user.*` are left out. So are devices: a
//! container has its own /dev, and a node anywhere else could only be meant to get around the rules for devices.

use super::dress::{dress, dress_by_name, mark_opaque, timespec};
use super::limits::Budget;
use super::parts::Parts;
use super::tar::{Entry, Kind, Reader, Source};
use crate::error::{Context, Error, Result};
use crate::sys::fs::{Resolve, open_in};
use crate::sys::tree;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstatat, futimens, mkdirat, mknodat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, linkat, mkfifoat, symlinkat, unlinkat};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Begins the name of a file that says that another is gone.
const WHITEOUT: &[u8] = b".wh.";
/// Begins what aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";
/// Says that what lower layers have in this directory is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bytes that are copied at a time.
const CHUNK: usize = 128 << 10;

/// Unpacks all of an archive into the new directory `target`, and tells how many devices were left out. `progress` hears of bytes as they are written.
///
/// # Errors
/// When the archive is damaged, too large or wants to reach out of the layer, or the directory cannot be written;
/// `target` may be there, then, with anything in it.
pub fn unpack<S: Source>(
    archive: &mut Reader<S>,
    target: &Path,
    budget: &mut Budget,
    progress: &mut dyn FnMut(u64),
) -> Result<usize> {
    std::fs::create_dir(target).context(|| format!("cannot create directory {target:?}"))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root =
        openat(AT_FDCWD, target, flags, Mode::empty()).context(|| format!("cannot open {target:?}"))?;
    fchmod(&root, Mode::from_bits_truncate(0o755))
        .context(|| format!("cannot change the mode of {target:?}"))?;
    let mut layer = Layer { root, nearest: None, times: Vec::new(), devices: 0 };
    let mut buffer = vec![0; CHUNK];
    while let Some(entry) = archive.next()? {
        budget.spend(entry.size)?;
        let path = Parts::of(&entry.path)?;
        layer
            .add(&entry, &path, archive, &mut buffer, progress)
            .context(|| format!("cannot unpack {:?}", path.shown()))?;
    }
    layer.set_times()?;
    Ok(layer.devices)
}

/// What stood in an entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Directory,
    /// Something that was removed.
    Other,
    /// A whiteout that was removed.
    Whiteout,
}

struct Layer {
    root: OwnedFd,
    /// The directory that the last entry was made in: the next one's, most of the time.
    nearest: Option<(Vec<u8>, OwnedFd)>,
    /// Directories' times, to be set when nothing is made in them any more.
    times: Vec<(CString, (i64, u32))>,
    /// Devices that were left out.
    devices: usize,
}

impl Layer {
    fn add<S: Source>(
        &mut self,
        entry: &Entry,
        path: &Parts<'_>,
        archive: &mut Reader<S>,
        buffer: &mut [u8],
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let Some((name, parents)) = path.0.split_last() else {
            if entry.kind != Kind::Directory {
                return Err(Error::user("the layer's own root is no directory"));
            }
            self.times.push((c".".to_owned(), entry.mtime));
            return dress(self.root.as_fd(), entry);
        };
        // What aufs kept beside its layers is no part of them.
        if path.0.iter().any(|part| part.starts_with(AUFS) && *part != OPAQUE) {
            return Ok(());
        }
        if parents.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(Error::user("it lies below a whiteout"));
        }
        if name.starts_with(WHITEOUT) {
            return self.white_out(parents, name);
        }
        if matches!(entry.kind, Kind::Character | Kind::Block) {
            if entry.device == (0, 0) {
                return Err(Error::user("device 0:0 is overlayfs' mark of a removed file"));
            }
            self.devices += 1;
            return Ok(());
        }
        let name = c_string(name)?;
        self.enter(parents)?;
        if entry.kind == Kind::HardLink {
            return self.link(entry, &name);
        }
        let before = self.clear(&name, entry.kind)?;
        let parent = self.parent()?;
        match entry.kind {
            Kind::Directory => self.directory(entry, path, &name, before),
            Kind::File => {
                let file = new_file(parent, &name)?;
                write(&file, entry, archive, buffer, progress)?;
                dress(file.as_fd(), entry)?;
                let time = timespec(entry.mtime);
                futimens(&file, &time, &time).context(|| "cannot set its time")
            }
            Kind::Symlink => {
                let target = c_string(&entry.link)?;
                symlinkat(target.as_c_str(), parent, name.as_c_str())
                    .context(|| "cannot make the symbolic link")?;
                dress_by_name(parent, &name, entry)
            }
            // Devices and hard links have gone their own ways.
            Kind::Fifo | Kind::Character | Kind::Block | Kind::HardLink => {
                mkfifoat(parent, name.as_c_str(), Mode::empty()).context(|| "cannot make the FIFO")?;
                let mode = Mode::from_bits_truncate(entry.mode);
                dress_by_name(parent, &name, entry)?;
                fchmodat(parent, name.as_c_str(), mode, FchmodatFlags::FollowSymlink)
                    .context(|| "cannot change its mode")
            }
        }
    }

    fn directory(&mut self, entry: &Entry, path: &Parts<'_>, name: &CStr, before: Before) -> Result<()> {
        let parent = self.parent()?;
        if before != Before::Directory {
            mkdirat(parent, name, Mode::S_IRWXU).context(|| "cannot make the directory")?;
        }
        let directory = open_directory(parent, name)?;
        dress(directory.as_fd(), entry)?;
        if before == Before::Whiteout {
            mark_opaque(directory.as_fd())?;
        }
        self.times.push((c_string(&path.0.join(&b'/'))?, entry.mtime));
        Ok(())
    }

    /// A hard link to what came before in this layer; never to a mark of overlayfs, a directory or a device.
    fn link(&mut self, entry: &Entry, name: &CStr) -> Result<()> {
        let target = Parts::of(&entry.link)?;
        let missing =
            || Error::user(format!("it is a hard link to {:?}, which is not in the layer", target.shown()));
        let Some((last, parents)) = target.0.split_last() else { return Err(missing()) };
        let from = match open_in(self.root.as_fd(), &joined(parents)?, DIRECTORY, 0, Resolve::InRoot) {
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) =>
            {
                return Err(missing());
            }
            other => other.context(|| format!("cannot open {:?}", target.shown()))?,
        };
        let last = c_string(last)?;
        let found = match fstatat(&from, last.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Err(missing()),
            other => other.context(|| format!("cannot stat {:?}", target.shown()))?,
        };
        if !matches!(kind_of(found.st_mode), SFlag::S_IFREG | SFlag::S_IFLNK | SFlag::S_IFIFO) {
            return Err(Error::user(format!("it is a hard link to {:?}, which is no file", target.shown())));
        }
        let own = fstatat(self.parent()?, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        if own.is_ok_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        self.clear(name, Kind::HardLink)?;
        linkat(&from, last.as_c_str(), self.parent()?, name, LinkatFlags::empty())
            .context(|| format!("cannot link it to {:?}", target.shown()))
    }

    /// Hides what lower layers have of a name, or all they have in a directory. What this layer itself has stays seen,
    /// before and after.
    fn white_out(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<()> {
        self.enter(parents)?;
        if name == OPAQUE {
            return mark_opaque(self.parent()?);
        }
        let hidden = &name[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::user("it is a whiteout of no file"));
        }
        let hidden = c_string(hidden)?;
        let parent = self.parent()?;
        match fstatat(parent, hidden.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => mknodat(parent, hidden.as_c_str(), SFlag::S_IFCHR, Mode::empty(), 0)
                .context(|| "cannot make the whiteout"),
            Ok(stat) if kind_of(stat.st_mode) == SFlag::S_IFDIR => {
                mark_opaque(open_directory(parent, &hidden)?.as_fd())
            }
            other => other.map(drop).context(|| "cannot stat what it hides"),
        }
    }

    /// The directory that [`Layer::enter`] went to.
    fn parent(&self) -> Result<BorrowedFd<'_>> {
        let nearest = self.nearest.as_ref().map(|(_, directory)| directory.as_fd());
        nearest.ok_or_else(|| Error::host("no directory was entered"))
    }

    /// Goes to the directory of these names, making those that are missing.
    fn enter(&mut self, parents: &[&[u8]]) -> Result<()> {
        let path = joined(parents)?;
        if self.nearest.as_ref().is_some_and(|(nearest, _)| nearest == path.as_bytes()) {
            return Ok(());
        }
        let directory = match open_in(self.root.as_fd(), &path, DIRECTORY, 0, Resolve::InRoot) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
                self.make_parents(parents)?
            }
            other => other.context(|| format!("cannot open {path:?}"))?,
        };
        self.nearest = Some((path.into_bytes(), directory));
        Ok(())
    }

    /// Archives may leave directories out, and name something below a file that they have whited out.
    fn make_parents(&self, parents: &[&[u8]]) -> Result<OwnedFd> {
        let at = |path: &CStr| open_in(self.root.as_fd(), path, DIRECTORY, 0, Resolve::InRoot);
        let mut directory = at(c".").context(|| "cannot open the layer")?;
        for (index, part) in parents.iter().enumerate() {
            let name = c_string(part)?;
            let below = at(&joined(&parents[..=index])?);
            let errno = below.as_ref().err().and_then(std::io::Error::raw_os_error);
            if matches!(errno, Some(libc::ENOENT | libc::ENOTDIR)) {
                let shown = || String::from_utf8_lossy(part).into_owned();
                let hidden = is_whiteout(directory.as_fd(), &name);
                if hidden {
                    unlinkat(&directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir)
                        .context(|| format!("cannot remove whiteout {:?}", shown()))?;
                }
                match mkdirat(&directory, name.as_c_str(), Mode::S_IRWXU) {
                    Err(Errno::EEXIST) => return Err(Error::user(format!("{:?} is no directory", shown()))),
                    other => other.context(|| format!("cannot make directory {:?}", shown()))?,
                }
                directory = open_directory(directory.as_fd(), &name)?;
                fchmod(&directory, Mode::from_bits_truncate(0o755))
                    .context(|| format!("cannot change the mode of {:?}", shown()))?;
                if hidden {
                    mark_opaque(directory.as_fd())?;
                }
                continue;
            }
            directory = below.context(|| format!("cannot open {part:?}"))?;
        }
        Ok(directory)
    }

    /// Makes room for an entry: the last of several with one name counts. Only a directory over a directory stays.
    fn clear(&mut self, name: &CStr, kind: Kind) -> Result<Before> {
        let parent = self.parent()?;
        let stat = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Before::Nothing),
            other => other.context(|| "cannot stat what stands in its place")?,
        };
        let is_directory = kind_of(stat.st_mode) == SFlag::S_IFDIR;
        if is_directory && kind == Kind::Directory {
            return Ok(Before::Directory);
        }
        let whiteout = kind_of(stat.st_mode) == SFlag::S_IFCHR;
        if is_directory {
            let path = tree::short_path(parent).join(OsStr::from_bytes(name.to_bytes()));
            tree::remove(&path).context(|| "cannot remove the directory in its place")?;
        } else {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                .context(|| "cannot remove what is in its place")?;
        }
        // The path that led there may lead elsewhere now; the directory that is worked in is still the right one.
        if let Some((path, _)) = &mut self.nearest {
            *path = b"//".to_vec();
        }
        Ok(if whiteout { Before::Whiteout } else { Before::Other })
    }

    /// Making something in a directory changes its time, so these come last. One that was replaced since has none.
    fn set_times(&self) -> Result<()> {
        for (path, time) in &self.times {
            match open_in(self.root.as_fd(), path, DIRECTORY | libc::O_NOFOLLOW, 0, Resolve::InRoot) {
                Ok(directory) => {
                    let time = timespec(*time);
                    futimens(&directory, &time, &time)
                        .context(|| format!("cannot set the time of {path:?}"))?;
                }
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
                Err(error) => return Err(error).context(|| format!("cannot open {path:?}")),
            }
        }
        Ok(())
    }
}

/// How directories are opened.
const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::user("a name in the archive has a NUL in it"))
}

/// A path below the root, for openat2.
fn joined(parts: &[&[u8]]) -> Result<CString> {
    if parts.is_empty() { Ok(c".".to_owned()) } else { c_string(&parts.join(&b'/')) }
}

fn kind_of(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn is_whiteout(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    // No other device is ever in a layer.
    fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| kind_of(stat.st_mode) == SFlag::S_IFCHR)
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).context(|| "cannot open the directory")
}

fn new_file(parent: BorrowedFd<'_>, name: &CStr) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    made.map(File::from).context(|| "cannot make the file")
}

/// Copies an entry's data; what lies between the pieces of a sparse file stays a hole.
fn write<S: Source>(
    mut file: &File,
    entry: &Entry,
    archive: &mut Reader<S>,
    buffer: &mut [u8],
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let whole = [(0, entry.size)];
    for (offset, length) in entry.pieces.as_deref().unwrap_or(&whole) {
        if entry.pieces.is_some() {
            file.seek(SeekFrom::Start(*offset)).context(|| "cannot seek in the file")?;
        }
        let mut left = *length;
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = archive.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(Error::user("its data is cut off"));
            }
            file.write_all(&buffer[..count]).context(|| "cannot write the file")?;
            progress(count as u64);
            left -= count as u64;
        }
    }
    if entry.pieces.is_some() {
        file.set_len(entry.size).context(|| "cannot set the file's length")?;
    }
    Ok(())
}
