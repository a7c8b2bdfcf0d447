//! Writing a record so that a reader sees the old one or the new one, and nothing else.

use crate::error::{Context, Kind, Result};
use crate::state::layout;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether a record must outlive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Under `--root`, which ends with the boot: no fsync.
    Boot,
    /// Under `--data-root`: file and directory are synced.
    Disk,
}

/// Replaces `directory/name` by `content`: unique temporary file beside it, write, rename.
///
/// # Errors
/// When the directory is gone (NotFound: somebody deleted what the record is about) or cannot be written.
pub fn replace(directory: &Path, name: &str, content: &[u8], durability: Durability) -> Result<()> {
    let target = directory.join(name);
    write(directory, name, content, durability)
        .map_err(|error| (error.kind() == io::ErrorKind::NotFound, error))
        .or_else(|(gone, error)| {
            let kind = if gone { Kind::NotFound } else { Kind::Host };
            Err(error).context_as(kind, || format!("cannot write {target:?}"))
        })
}

fn write(directory: &Path, name: &str, content: &[u8], durability: Durability) -> io::Result<()> {
    // The pid makes the name unique among the live.
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let mut file = create_new(&temporary)?;
    let written = file.write_all(content).and_then(|()| match durability {
        Durability::Boot => Ok(()),
        Durability::Disk => file.sync_all(),
    });
    let put = written.and_then(|()| put(&temporary, &directory.join(name), durability));
    if let Err(error) = put {
        return match std::fs::remove_file(&temporary) {
            Err(second) if second.kind() != io::ErrorKind::NotFound => Err(second),
            _ => Err(error),
        };
    }
    if durability == Durability::Disk {
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Gives the finished file the record's name.
///
/// When a file replaces another by rename, ext4 writes it out first, so that no power cut leaves an empty record: that
/// takes 0.3 ms, and 4 ms where the journal is busy. What ends with the boot need not wait for a disk: it changes places
/// with the old record, which costs nothing of the kind.
fn put(temporary: &Path, target: &Path, durability: Durability) -> io::Result<()> {
    if durability == Durability::Boot {
        match renameat2(AT_FDCWD, temporary, AT_FDCWD, target, RenameFlags::RENAME_EXCHANGE) {
            Ok(()) => return std::fs::remove_file(temporary),
            // Nothing to replace yet, or a file system that cannot do it.
            Err(Errno::ENOENT | Errno::EINVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::rename(temporary, target)
}

/// Creates a file that nobody has; a dead process's leftover of the same name is removed. Never opens what is there: a
/// pid file may lie in a directory that others can write, and lay a link in.
fn create_new(path: &Path) -> io::Result<std::fs::File> {
    let create = || std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            create()
        }
        other => other,
    }
}

/// The bytes of `directory/name`, or `None` where there is no such file.
///
/// # Errors
/// When the file is there and cannot be read, or is larger than any record of podrun's (64 MiB).
pub fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    const LARGEST: u64 = 64 << 20;
    let path = directory.join(name);
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path)?;
        let length = io::Read::read_to_end(&mut io::Read::take(file, LARGEST + 1), &mut bytes)?;
        if u64::try_from(length).is_ok_and(|length| length <= LARGEST) {
            return Ok(bytes);
        }
        Err(io::Error::other("it is too large"))
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {path:?}")),
    }
}

/// Makes `path` and its parents, mode 0711 for ours: other users may reach what is bound into containers, not list.
pub fn make_directories(path: &Path) -> Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o711)
        .create(path)
        .context(|| format!("cannot create directory {path:?}"))
        .map_err(|error| match error.errno() {
            Some(libc::EROFS) => error.hint(format!(
                "choose a writable place with --root or --data-root (default {})",
                layout::DEFAULT_ROOT
            )),
            Some(libc::EACCES) => error.hint("run podrun as root"),
            _ => error,
        })
}
