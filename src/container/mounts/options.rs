//! The mount options of the runtime spec, and those that runc and crun add, in one table.
//!
//! They are read as mount(8)'s: an option sets or clears a flag, and a later one wins over an earlier one. What the
//! flags come to, together, is the kernel's rule for mount(2), kept in one place: [`Flags`].

use crate::error::{Error, Result};
use crate::sys::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID, ATTR_NOSYMFOLLOW,
    ATTR_RDONLY, ATTR_STRICTATIME, Depth, MountAttr,
};

/// `MS_NOSYMFOLLOW`, which libc has not got.
const MS_NOSYMFOLLOW: u64 = 0x100;

#[derive(Debug, Clone, Copy)]
enum Effect {
    /// A flag of mount(2) that belongs to the mount.
    Set(u64),
    /// Such a flag, not to be set.
    Clear(u64),
    /// A flag of the file system, which fsconfig(2) takes by its name.
    Superblock,
    /// Propagation type.
    Propagation(u64, Depth),
    /// A bind mount of this depth.
    Bind(Depth),
    /// An idmapped mount of this depth.
    IdMap(Depth),
    /// Something that podrun does besides mounting.
    Extra(fn(&mut Extras)),
    /// A parameter of these file systems, which means nothing to others.
    Parameter(&'static [&'static str]),
    /// What the kernel does anyway.
    Nothing,
}

use Effect::{Bind, Clear, Extra, IdMap, Nothing, Parameter, Propagation, Set, Superblock};

/// Where access control lists can be switched on and off. All others have them or have not: with mount(2), and so with
/// runc, `acl` is a flag that they overlook (`MS_POSIXACL`), but fsconfig(2) refuses it.
const WITH_ACL: &[&str] = &[
    "bcachefs", "btrfs", "ceph", "cifs", "erofs", "ext2", "ext3", "ext4", "f2fs", "gfs2", "nfs", "nfs4",
    "ntfs3", "ocfs2", "orangefs", "reiserfs", "smb3",
];

/// Every option that means something to podrun itself; on new file systems others are the file system's own.
const TABLE: &[(&str, Effect)] = &[
    ("acl", Parameter(WITH_ACL)),
    ("async", Superblock),
    ("atime", Clear(libc::MS_NOATIME)),
    ("bind", Bind(Depth::One)),
    ("copy-symlink", Extra(|extras| extras.copy_symlink = true)),
    ("defaults", Nothing),
    ("dest-nofollow", Extra(|extras| extras.destination_nofollow = true)),
    ("dev", Clear(libc::MS_NODEV)),
    ("diratime", Clear(libc::MS_NODIRATIME)),
    ("dirsync", Superblock),
    ("exec", Clear(libc::MS_NOEXEC)),
    ("idmap", IdMap(Depth::One)),
    // Whatever file system counts versions of inodes does so unasked since Linux 6.1, and cannot be told not to.
    ("iversion", Nothing),
    ("lazytime", Superblock),
    // The complaints of a mount made by fsopen(2) go to whoever makes it and not to the kernel's log.
    ("loud", Nothing),
    ("mand", Superblock),
    ("noacl", Parameter(WITH_ACL)),
    ("noatime", Set(libc::MS_NOATIME)),
    ("nodev", Set(libc::MS_NODEV)),
    ("nodiratime", Set(libc::MS_NODIRATIME)),
    ("noexec", Set(libc::MS_NOEXEC)),
    ("noiversion", Nothing),
    ("nolazytime", Superblock),
    ("nomand", Superblock),
    ("norelatime", Clear(libc::MS_RELATIME)),
    ("nostrictatime", Clear(libc::MS_STRICTATIME)),
    ("nosuid", Set(libc::MS_NOSUID)),
    ("nosymfollow", Set(MS_NOSYMFOLLOW)),
    ("private", Propagation(libc::MS_PRIVATE, Depth::One)),
    ("rbind", Bind(Depth::Recursive)),
    ("relatime", Set(libc::MS_RELATIME)),
    ("remount", Extra(|extras| extras.remount = true)),
    ("ridmap", IdMap(Depth::Recursive)),
    ("ro", Set(libc::MS_RDONLY)),
    ("rprivate", Propagation(libc::MS_PRIVATE, Depth::Recursive)),
    ("rshared", Propagation(libc::MS_SHARED, Depth::Recursive)),
    ("rslave", Propagation(libc::MS_SLAVE, Depth::Recursive)),
    ("runbindable", Propagation(libc::MS_UNBINDABLE, Depth::Recursive)),
    ("rw", Clear(libc::MS_RDONLY)),
    ("shared", Propagation(libc::MS_SHARED, Depth::One)),
    ("silent", Nothing),
    ("slave", Propagation(libc::MS_SLAVE, Depth::One)),
    ("src-nofollow", Extra(|extras| extras.source_nofollow = true)),
    ("strictatime", Set(libc::MS_STRICTATIME)),
    ("suid", Clear(libc::MS_NOSUID)),
    ("symfollow", Clear(MS_NOSYMFOLLOW)),
    ("sync", Superblock),
    ("tmpcopyup", Extra(|extras| extras.copy_up = true)),
    ("unbindable", Propagation(libc::MS_UNBINDABLE, Depth::One)),
];

/// Options that reach the mounts below as well (mount_setattr(2) with AT_RECURSIVE): attributes set and cleared.
const RECURSIVE: &[(&str, u64, u64)] = &[
    ("ratime", 0, ATTR_ATIME_MASK),
    ("rdev", 0, ATTR_NODEV),
    ("rdiratime", 0, ATTR_NODIRATIME),
    ("rexec", 0, ATTR_NOEXEC),
    ("rnoatime", ATTR_NOATIME, ATTR_ATIME_MASK),
    ("rnodev", ATTR_NODEV, 0),
    ("rnodiratime", ATTR_NODIRATIME, 0),
    ("rnoexec", ATTR_NOEXEC, 0),
    // As its namesake above: `relatime` is what there is without a flag, so there is none to clear.
    ("rnorelatime", 0, 0),
    ("rnostrictatime", 0, ATTR_ATIME_MASK),
    ("rnosuid", ATTR_NOSUID, 0),
    ("rnosymfollow", ATTR_NOSYMFOLLOW, 0),
    ("rrelatime", 0, ATTR_ATIME_MASK),
    ("rro", ATTR_RDONLY, 0),
    ("rrw", 0, ATTR_RDONLY),
    ("rstrictatime", ATTR_STRICTATIME, ATTR_ATIME_MASK),
    ("rsuid", 0, ATTR_NOSUID),
    ("rsymfollow", 0, ATTR_NOSYMFOLLOW),
];

/// The names of all options that podrun itself honours, sorted, as `features` lists them.
pub fn names() -> Vec<&'static str> {
    let recursive = RECURSIVE.iter().map(|(name, ..)| *name);
    let mut names: Vec<_> = TABLE.iter().map(|(name, _)| *name).chain(recursive).collect();
    names.sort_unstable();
    names
}

/// The flags of mount(2) that options named.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    set: u64,
    clear: u64,
    /// An option about the file system stands among them.
    superblock: bool,
}

/// Flags that are an attribute of their own.
const PLAIN: [(u64, u64); 5] = [
    (libc::MS_RDONLY, ATTR_RDONLY),
    (libc::MS_NOSUID, ATTR_NOSUID),
    (libc::MS_NODEV, ATTR_NODEV),
    (libc::MS_NOEXEC, ATTR_NOEXEC),
    (MS_NOSYMFOLLOW, ATTR_NOSYMFOLLOW),
];
/// Flags about access times, which a bind mount keeps as they are unless one of them is named.
const ACCESS_TIME: u64 = libc::MS_NOATIME | libc::MS_NODIRATIME | libc::MS_RELATIME | libc::MS_STRICTATIME;

impl Flags {
    /// `ro`, and nothing else.
    pub fn read_only_alone() -> Self {
        Self { set: libc::MS_RDONLY, ..Self::default() }
    }

    /// Whether the mount is to be read-only.
    pub fn read_only(self) -> bool {
        self.set & libc::MS_RDONLY != 0
    }

    /// The same without `ro`, for what is sealed later.
    #[must_use]
    pub fn writable(self) -> Self {
        Self { set: self.set & !libc::MS_RDONLY, ..self }
    }

    /// What was named to be cleared and is set in `found`, the flags that statfs(2) tells of a mount.
    pub fn contradicts(self, found: u64) -> bool {
        /// `ST_RELATIME`, the only one that has another value than its `MS_` kin.
        const ST_RELATIME: u64 = 0x1000;
        let relatime = if found & ST_RELATIME != 0 { libc::MS_RELATIME } else { 0 };
        let plain = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let found = found & (plain | libc::MS_NOATIME | libc::MS_NODIRATIME) | relatime;
        self.clear & found != 0
    }

    /// The attributes of a new mount, whose access times follow `relatime` where nothing is said.
    pub fn of_new(self) -> MountAttr {
        let plain =
            PLAIN.iter().filter(|(flag, _)| self.set & flag != 0).fold(0, |set, (_, attr)| set | attr);
        MountAttr { set: plain | self.access_time(), clear: ATTR_ATIME_MASK, ..MountAttr::default() }
    }

    /// What to change of a mount that has attributes already. As mount(2) with `MS_REMOUNT | MS_BIND`: all flags become
    /// what is named here, but access times stay when none of theirs is. Nothing named changes nothing.
    pub fn of_bind(self) -> MountAttr {
        if (self.set | self.clear) == 0 && !self.superblock {
            MountAttr::default()
        } else {
            self.of_remount()
        }
    }

    /// Likewise, when a remount was asked for.
    pub fn of_remount(self) -> MountAttr {
        let all = PLAIN.iter().fold(0, |all, (_, attr)| all | attr);
        let new = self.of_new();
        if self.set & ACCESS_TIME == 0 {
            let set = new.set & all;
            return MountAttr { set, clear: all & !set, ..MountAttr::default() };
        }
        MountAttr { clear: (all | ATTR_NODIRATIME) & !new.set | ATTR_ATIME_MASK, ..new }
    }

    /// Likewise for a mount whose attributes are locked, as those of another user namespace are: what is named to be set,
    /// and of what is not named only what no lock can hold.
    pub fn of_locked(self) -> MountAttr {
        let whole = self.of_remount();
        let access = ATTR_ATIME_MASK | ATTR_NODIRATIME;
        let clear = ATTR_NOSYMFOLLOW | if self.set & ACCESS_TIME == 0 { 0 } else { access };
        MountAttr { clear: whole.clear & clear, ..whole }
    }

    fn access_time(self) -> u64 {
        let strict = self.set & libc::MS_STRICTATIME != 0;
        let none = self.set & libc::MS_NOATIME != 0;
        let field = if strict { ATTR_STRICTATIME } else { ATTR_NOATIME * u64::from(none) };
        field | if self.set & libc::MS_NODIRATIME != 0 { ATTR_NODIRATIME } else { 0 }
    }
}

/// What podrun does besides mounting.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Extras {
    /// Fill the new tmpfs with what the image has at its destination.
    pub copy_up: bool,
    /// Make a link like the source, when that is a symbolic link, instead of mounting what it leads to.
    pub copy_symlink: bool,
    /// Mount the link itself, when the source is a symbolic link.
    pub source_nofollow: bool,
    /// Mount over the link itself, when the destination is a symbolic link.
    pub destination_nofollow: bool,
    /// Change what an earlier entry has mounted there.
    pub remount: bool,
}

/// A mount's options, understood.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Options {
    /// A bind mount, and how deep.
    pub bind: Option<Depth>,
    /// An idmapped mount, and how deep.
    pub id_map: Option<Depth>,
    /// Flags of the mount itself.
    pub flags: Flags,
    /// Attributes of the mount and all below it.
    pub recursive: MountAttr,
    /// Propagation types in the order given.
    pub propagation: Vec<(u64, Depth)>,
    /// Parameters of a new file system: `key=value` or `key`.
    pub parameters: Vec<String>,
    /// What there is to do besides.
    pub extras: Extras,
}

/// The single options: with mount(2) a string could hold several, for the kernel splits at commas. One that has a comma of
/// its own quotes or escapes it, or is a label of SELinux.
pub fn words(options: &[String]) -> impl Iterator<Item = &str> {
    options.iter().flat_map(|option| {
        let single = option.contains(['"', '\\']) || option.contains("context=");
        let (one, several) = if single { (Some(option.as_str()), "") } else { (None, option.as_str()) };
        one.into_iter().chain(several.split(',')).filter(|word| !word.is_empty())
    })
}

/// Reads the options of one mount; a later one wins over an earlier one.
///
/// # Errors
/// For an option that is not supported, and for those that exclude one another.
pub fn parse(options: &[String]) -> Result<Options> {
    let mut parsed = Options::default();
    for option in words(options) {
        // Maps as crun writes them, which the runtime spec has not got.
        if option.starts_with("idmap=") || option.starts_with("ridmap=") {
            return Err(Error::user(format!("option {option:?} is not supported")));
        }
        if let Some((_, set, clear)) = RECURSIVE.iter().find(|(name, ..)| *name == option) {
            recursive(&mut parsed.recursive, *set, *clear);
            continue;
        }
        let flags = &mut parsed.flags;
        match TABLE.iter().find(|(name, _)| *name == option).map(|(_, effect)| *effect) {
            Some(Set(flag)) => (flags.set, flags.clear) = (flags.set | flag, flags.clear & !flag),
            Some(Clear(flag)) => (flags.set, flags.clear) = (flags.set & !flag, flags.clear | flag),
            Some(Bind(depth)) => parsed.bind = Some(depth),
            Some(IdMap(depth)) => parsed.id_map = Some(depth),
            Some(Propagation(kind, depth)) => parsed.propagation.push((kind, depth)),
            Some(Extra(set)) => set(&mut parsed.extras),
            Some(Superblock) => {
                flags.superblock = true;
                parsed.parameters.push(option.to_owned());
            }
            Some(Nothing) => {}
            Some(Parameter(_)) | None => parsed.parameters.push(option.to_owned()),
        }
    }
    let extras = &parsed.extras;
    if extras.copy_symlink && (extras.source_nofollow || extras.destination_nofollow) {
        return Err(Error::user("copy-symlink excludes src-nofollow and dest-nofollow"));
    }
    Ok(parsed)
}

/// Whether an option is a flag of the file system, which means nothing to a bind mount, and nothing more.
pub fn is_superblock_flag(option: &str) -> bool {
    TABLE.iter().any(|(name, effect)| *name == option && matches!(effect, Superblock | Parameter(_)))
}

/// Whether a parameter is one that file systems of another type have, and to this one means nothing.
pub fn is_of_others(option: &str, fstype: &str) -> bool {
    TABLE
        .iter()
        .any(|(name, effect)| *name == option && matches!(effect, Parameter(of) if !of.contains(&fstype)))
}

/// The kernel wants the whole access-time field cleared before one value of it is set.
fn recursive(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.set = attr.set & !clear | set;
    attr.clear = attr.clear & !set | clear;
}

/// The propagation type of `linux.rootfsPropagation`.
///
/// # Errors
/// For an unknown word.
pub fn propagation(word: &str) -> Result<(u64, Depth)> {
    match TABLE.iter().find(|(name, _)| *name == word) {
        Some((_, Propagation(kind, depth))) => Ok((*kind, *depth)),
        _ => Err(Error::user(format!("linux.rootfsPropagation: {word:?} is no propagation type"))
            .hint("use one of shared, slave, private, unbindable, or these with an r in front")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options> {
        parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn flags(words: &[&str]) -> Flags {
        options(words).unwrap().flags
    }

    const ALL: u64 = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC | ATTR_NOSYMFOLLOW;

    #[test]
    fn the_usual_sets() {
        let tmpfs = options(&["nosuid", "strictatime", "mode=755", "size=65536k"]).unwrap();
        assert_eq!(tmpfs.flags.of_new().set, ATTR_NOSUID | ATTR_STRICTATIME);
        assert_eq!(tmpfs.parameters, ["mode=755", "size=65536k"]);
        let bind = options(&["rbind", "rprivate", "rro"]).unwrap();
        assert_eq!(bind.bind, Some(Depth::Recursive));
        assert_eq!(bind.recursive.set, ATTR_RDONLY);
        assert_eq!(bind.flags.of_bind(), MountAttr::default());
        assert_eq!(bind.propagation, [(libc::MS_PRIVATE, Depth::Recursive)]);
    }

    #[test]
    fn a_string_may_hold_several() {
        let tmpfs = options(&["size=1m,mode=700", "", "ro,,noexec"]).unwrap();
        assert_eq!(tmpfs.parameters, ["size=1m", "mode=700"]);
        assert_eq!(tmpfs.flags.of_new().set, ATTR_RDONLY | ATTR_NOEXEC);
        for one in [r#"context="u:r:t:s0:c1,c2""#, "context=u:r:t:s0:c1,c2", r"lowerdir=/a\,b:/c"] {
            assert_eq!(options(&[one]).unwrap().parameters, [one]);
        }
    }

    #[test]
    fn access_control_lists_are_the_concern_of_some_file_systems() {
        assert_eq!(options(&["acl", "noacl"]).unwrap().parameters, ["acl", "noacl"]);
        assert!(is_of_others("acl", "tmpfs") && is_of_others("noacl", ""));
        assert!(!is_of_others("acl", "ext4") && !is_of_others("size=1m", "tmpfs"));
        assert!(is_superblock_flag("acl"));
    }

    #[test]
    fn the_last_one_wins() {
        assert!(!flags(&["ro", "rw"]).read_only());
        assert!(flags(&["rw", "ro"]).read_only());
        let both = options(&["rnoatime", "rrelatime"]).unwrap().recursive;
        assert_eq!((both.set, both.clear), (0, ATTR_ATIME_MASK));
        let back = options(&["rrelatime", "rstrictatime"]).unwrap().recursive;
        assert_eq!((back.set, back.clear), (ATTR_STRICTATIME, ATTR_ATIME_MASK));
    }

    #[test]
    fn a_bind_mount_has_the_flags_that_are_named_and_no_others() {
        let of = |words: &[&str]| {
            let attr = flags(words).of_bind();
            (attr.set, attr.clear)
        };
        assert_eq!(of(&["ro"]), (ATTR_RDONLY, ALL & !ATTR_RDONLY));
        assert_eq!(of(&["dev"]), (0, ALL), "naming what is to be cleared names all");
        assert_eq!(of(&["sync"]), (0, ALL));
        assert_eq!(of(&["remount"]), (0, 0));
        assert_eq!(of(&["atime"]), (0, ALL), "access times stay unless one is named to be set");
        assert_eq!(of(&["relatime"]), (0, ALL | ATTR_ATIME_MASK | ATTR_NODIRATIME));
        assert_eq!(of(&["nodiratime"]), (ATTR_NODIRATIME, ALL | ATTR_ATIME_MASK));
        let both = (ATTR_NODIRATIME | ATTR_STRICTATIME, ALL | ATTR_ATIME_MASK);
        assert_eq!(of(&["noatime", "nodiratime", "strictatime"]), both, "as the kernel has it");
    }

    #[test]
    fn locked_flags_stay_unless_they_are_named() {
        let ro = flags(&["ro", "symfollow"]);
        assert_eq!((ro.of_locked().set, ro.of_locked().clear), (ATTR_RDONLY, ATTR_NOSYMFOLLOW));
        assert!(flags(&["rw"]).contradicts(libc::ST_RDONLY));
        assert!(flags(&["atime"]).contradicts(libc::ST_NOATIME));
        assert!(flags(&["norelatime"]).contradicts(0x1000));
        assert!(!flags(&["dev", "norelatime"]).contradicts(libc::ST_RDONLY | libc::ST_NOATIME));
    }

    #[test]
    fn refusals() {
        assert!(options(&["idmap=uids=0-1-10"]).is_err());
        assert!(options(&["bind", "copy-symlink", "src-nofollow"]).is_err());
        assert!(propagation("rshared").is_ok());
        assert!(propagation("ro").is_err());
    }

    #[test]
    fn names_are_unique() {
        let names = names();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.contains(&"rro") && names.contains(&"tmpcopyup"));
        assert_eq!(options(&["bind", "ridmap"]).unwrap().id_map, Some(Depth::Recursive));
    }
}
