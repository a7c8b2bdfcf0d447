//! Who an image's `USER` is, by the image's own /etc/passwd and /etc/group.
//!
//! The image is not mounted for it: the topmost layer that has the file is asked, as overlayfs would show it. The file is
//! opened beneath the layer; a symbolic link that leads into another layer is not followed.

use crate::error::{Context, Error, Result};
use crate::sys::fs::{Resolve, open_in};
use crate::sys::xattr;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Largest passwd or group file that is read.
const LARGEST: u64 = 4 << 20;
/// Most groups of a user: NGROUPS_MAX, limits(7).
const MOST_GROUPS: usize = 65536;
/// Largest uid and gid: the kernel's last one means "unchanged".
const LARGEST_ID: u32 = u32::MAX - 1;

/// What a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups that the user is a member of.
    pub groups: Vec<u32>,
}

/// Reads `USER`, `UID`, `USER:GROUP` or `UID:GID` (empty: root) by the files of an image whose unpacked layers are
/// given, the topmost first. A number is always an id: a uid that no line has gets gid 0. With a group, that group alone
/// counts; without one, those of the user's line and of the group file.
///
/// # Errors
/// When a name is in neither file, an id is out of range, a file is too large or no file, or the user is in more groups
/// than the kernel takes.
pub fn resolve(layers: &[PathBuf], user: &str) -> Result<User> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let passwd = read(layers, "passwd")?;
    let wanted = number(user)?;
    let found = passwd.lines().filter_map(Account::parse).find(|account| match wanted {
        Some(uid) => account.uid == uid,
        None => account.name == user,
    });
    let (uid, gid) = match (&found, wanted) {
        (Some(account), _) => (account.uid, account.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => return Err(unknown("user", user, "passwd")),
    };
    if group.is_none() && found.is_none() {
        return Ok(User { uid, gid, groups: Vec::new() });
    }
    let text = read(layers, "group")?;
    let mut known = text.lines().filter_map(Group::parse);
    match (group.filter(|group| !group.is_empty()), found) {
        (Some(group), _) => {
            let gid = match number(group)? {
                Some(gid) => gid,
                None => known.find(|g| g.name == group).ok_or_else(|| unknown("group", group, "group"))?.gid,
            };
            Ok(User { uid, gid, groups: Vec::new() })
        }
        (None, Some(account)) => {
            let member = |g: &Group<'_>| g.members.split(',').any(|member| member == account.name);
            let groups: Vec<u32> = known.filter(member).map(|g| g.gid).collect();
            if groups.len() > MOST_GROUPS {
                return Err(Error::user(format!(
                    "the image's /etc/group has the user in {} groups, and the kernel takes {MOST_GROUPS}",
                    groups.len()
                ))
                .hint("name a group after the user, as in USER:GROUP: then it is in that one alone"));
            }
            Ok(User { uid, gid, groups })
        }
        (None, None) => Ok(User { uid, gid, groups: Vec::new() }),
    }
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    // The image's own text, which must not reach a terminal as it is.
    let name: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    Error::user(format!("unable to find {what} {name}: no matching entries in {file} file"))
        .hint(format!("use a number, or a name from the image's /etc/{file}"))
}

/// The id that `text` is, or `None` when it is a name.
fn number(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| *id <= LARGEST_ID);
    id.map(Some).ok_or_else(|| Error::user(format!("id {text:?} is larger than {LARGEST_ID}")))
}

/// A line of passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl<'a> Account<'a> {
    /// A line with a field missing, or one that is no number, is nobody's.
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields[..] else { return None };
        let id = |text| number(text).ok().flatten();
        (!name.is_empty()).then_some(Self { name, uid: id(uid)?, gid: id(gid)? })
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { return None };
        (!name.is_empty()).then_some(Self { name, gid: number(gid).ok().flatten()?, members })
    }
}

/// `/etc/NAME` as overlayfs would show it; empty where the image has none.
fn read(layers: &[PathBuf], name: &str) -> Result<String> {
    for layer in layers {
        match look(layer, name).context(|| format!("cannot read the image's /etc/{name}"))? {
            Seen::File(text) => return Ok(text),
            Seen::Hidden => break,
            Seen::Nothing => {}
        }
    }
    Ok(String::new())
}

/// What a layer says about a file.
enum Seen {
    /// Here it is.
    File(String),
    /// It is hidden in the layers below.
    Hidden,
    /// Look further below.
    Nothing,
}

fn look(layer: &Path, name: &str) -> Result<Seen> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(layer, flags, Mode::empty()).context(|| format!("cannot open {layer:?}"))?;
    let open = |path: &str, flags| {
        let path = CString::new(path).map_err(std::io::Error::other)?;
        open_in(root.as_fd(), &path, flags, 0, Resolve::InRoot)
    };
    let absent = |error: &std::io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR));
    let path = format!("etc/{name}");
    for hidden in ["etc", &path] {
        // Without opening what is there: it may be a device or a FIFO.
        match open(hidden, libc::O_PATH | libc::O_NOFOLLOW) {
            Ok(fd) if is_whiteout(&fstat(&fd).context(|| format!("cannot stat {hidden:?}"))?) => {
                return Ok(Seen::Hidden);
            }
            Err(error) if !absent(&error) => return Err(error).context(|| format!("cannot open {hidden:?}")),
            _ => {}
        }
    }
    match open(&path, libc::O_RDONLY | libc::O_NONBLOCK) {
        Ok(fd) => text(File::from(fd)).map(Seen::File),
        Err(error) if absent(&error) => {
            let etc = open("etc", libc::O_RDONLY | libc::O_DIRECTORY);
            let opaque = etc.is_ok_and(|etc| xattr::get(etc.as_fd(), xattr::OVERLAY_OPAQUE).is_ok());
            Ok(if opaque { Seen::Hidden } else { Seen::Nothing })
        }
        Err(error) => Err(error).context(|| format!("cannot open {path:?}")),
    }
}

fn is_whiteout(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR && stat.st_rdev == 0
}

fn text(file: File) -> Result<String> {
    let meta = file.metadata().context(|| "cannot stat it")?;
    if !meta.is_file() {
        return Err(Error::user("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).context(|| "cannot read it")?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::user(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_groups_than_the_kernel_takes_are_refused() {
        let layer = std::env::temp_dir().join(format!("podrun-groups-{}", std::process::id()));
        let write = |name: &str, text: String| {
            let mut file =
                File::options().write(true).create(true).truncate(true).open(layer.join(name)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        std::fs::create_dir_all(layer.join("etc")).unwrap();
        write("etc/passwd", "app:x:1000:1000::/:/bin/sh\n".into());
        let groups = |count: usize| (0..count).map(|number| format!("g{number}:x:{number}:app\n")).collect();
        let resolved = |user| resolve(std::slice::from_ref(&layer), user);
        write("etc/group", groups(MOST_GROUPS));
        assert_eq!(resolved("app").unwrap().groups.len(), MOST_GROUPS);
        write("etc/group", groups(MOST_GROUPS + 1));
        let error = resolved("1000").unwrap_err().to_string();
        assert!(error.contains("in 65537 groups, and the kernel takes 65536"), "{error}");
        assert_eq!(resolved("app:7").unwrap().groups, [0; 0]);
        std::fs::remove_dir_all(layer).unwrap();
    }
}
