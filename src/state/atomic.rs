//! Writing a record so that a reader sees the old one or the new one, and nothing else.

use crate::error::{Context, Kind, Result};
use crate::state::layout;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
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
    replace_with_mode(directory, name, content, durability, 0o600)
}

/// As [`replace`], for a file that ends with the boot and that whoever called us lets others read, as their umask says.
///
/// # Errors
/// As [`replace`].
pub fn publish(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    replace_with_mode(directory, name, content, Durability::Boot, 0o666)
}

fn replace_with_mode(
    directory: &Path,
    name: &str,
    content: &[u8],
    durability: Durability,
    mode: u32,
) -> Result<()> {
    let target = directory.join(name);
    write(directory, name, content, durability, mode)
        .map_err(|error| (error.kind() == io::ErrorKind::NotFound, error))
        .or_else(|(gone, error)| {
            let kind = if gone { Kind::NotFound } else { Kind::Host };
            Err(error).context_as(kind, || format!("cannot write {target:?}"))
        })
}

/// What came of writing a mark, for whoever only removes: where there is no room for it, or no writing at all, removing
/// goes on without it, since it may be what makes room.
///
/// # Errors
/// All others.
pub fn if_there_is_room(marked: Result<()>) -> Result<()> {
    match marked {
        Err(error) if matches!(error.errno(), Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS)) => Ok(()),
        other => other,
    }
}

fn write(directory: &Path, name: &str, content: &[u8], durability: Durability, mode: u32) -> io::Result<()> {
    // The pid makes the name unique among the live.
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let mut file = create_new(&temporary, mode)?;
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
fn create_new(path: &Path, mode: u32) -> io::Result<std::fs::File> {
    let create = || std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
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

/// Makes `path`, a directory below one of the roots, and its parents; a parent that is there stays as it is.
///
/// The mode is 0700, also of a directory that was there with a wider one: what a container puts into a volume is as
/// it likes, setuid programs of root among it, and no other user of the host may come near it (CVE-2021-41091). Nobody
/// needs a way through, since what containers see is bound by root.
pub fn make_directories(path: &Path) -> Result<()> {
    const PRIVATE: u32 = 0o700;
    let make = || -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(path)?;
        if std::fs::metadata(path)?.mode() & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(PRIVATE))?;
        }
        Ok(())
    };
    make().context(|| format!("cannot create directory {path:?}")).map_err(|error| match error.errno() {
        Some(libc::EROFS) => error.hint(format!(
            "choose a writable place with --root or --data-root (default {})",
            layout::DEFAULT_ROOT
        )),
        Some(libc::EACCES) => error.hint("run podrun as root"),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_roots_alone_and_become_so() {
        let root = std::env::temp_dir().join(format!("podrun-directories-{}", std::process::id()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        std::fs::DirBuilder::new().mode(0o755).create(&root).unwrap();
        make_directories(&root.join("pods/a")).unwrap();
        assert_eq!((mode(&root.join("pods")), mode(&root.join("pods/a"))), (0o700, 0o700));
        assert_eq!(mode(&root), 0o755, "it was there");
        std::fs::set_permissions(root.join("pods"), PermissionsExt::from_mode(0o711)).unwrap();
        make_directories(&root.join("pods")).unwrap();
        assert_eq!(mode(&root.join("pods")), 0o700);
        std::fs::remove_dir_all(root).unwrap();
    }
}
