//! The mount options of the runtime spec, in one table.

use crate::error::{Error, Result};
use crate::sys::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID, ATTR_NOSYMFOLLOW,
    ATTR_RDONLY, ATTR_STRICTATIME, Depth, MountAttr,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Per-mount attribute set (and cleared first).
    Set(u64, u64),
    /// Per-mount attribute cleared.
    Clear(u64),
    /// Propagation type.
    Propagation(u64, Depth),
    /// A bind mount of this depth.
    Bind(Depth),
    /// A parameter of the superblock.
    Superblock,
    /// The default, spelled out.
    Nothing,
}

use Effect::{Bind, Clear, Nothing, Propagation, Set, Superblock};

/// Every option that means something to podrun itself; on new file systems others are the file system's own.
const TABLE: &[(&str, Effect)] = &[
    ("async", Nothing),
    ("atime", Clear(ATTR_NOATIME)),
    ("bind", Bind(Depth::One)),
    ("defaults", Nothing),
    ("dev", Clear(ATTR_NODEV)),
    ("diratime", Clear(ATTR_NODIRATIME)),
    ("dirsync", Superblock),
    ("exec", Clear(ATTR_NOEXEC)),
    ("lazytime", Superblock),
    ("loud", Nothing),
    ("noatime", Set(ATTR_NOATIME, ATTR_ATIME_MASK)),
    ("nodev", Set(ATTR_NODEV, 0)),
    ("nodiratime", Set(ATTR_NODIRATIME, 0)),
    ("noexec", Set(ATTR_NOEXEC, 0)),
    ("nolazytime", Nothing),
    ("norelatime", Set(ATTR_STRICTATIME, ATTR_ATIME_MASK)),
    ("nostrictatime", Clear(ATTR_ATIME_MASK)),
    ("nosuid", Set(ATTR_NOSUID, 0)),
    ("nosymfollow", Set(ATTR_NOSYMFOLLOW, 0)),
    ("private", Propagation(libc::MS_PRIVATE, Depth::One)),
    ("rbind", Bind(Depth::Recursive)),
    ("relatime", Clear(ATTR_ATIME_MASK)),
    ("ro", Set(ATTR_RDONLY, 0)),
    ("rprivate", Propagation(libc::MS_PRIVATE, Depth::Recursive)),
    ("rshared", Propagation(libc::MS_SHARED, Depth::Recursive)),
    ("rslave", Propagation(libc::MS_SLAVE, Depth::Recursive)),
    ("runbindable", Propagation(libc::MS_UNBINDABLE, Depth::Recursive)),
    ("rw", Clear(ATTR_RDONLY)),
    ("shared", Propagation(libc::MS_SHARED, Depth::One)),
    ("silent", Nothing),
    ("slave", Propagation(libc::MS_SLAVE, Depth::One)),
    ("strictatime", Set(ATTR_STRICTATIME, ATTR_ATIME_MASK)),
    ("suid", Clear(ATTR_NOSUID)),
    ("symfollow", Clear(ATTR_NOSYMFOLLOW)),
    ("sync", Superblock),
    ("unbindable", Propagation(libc::MS_UNBINDABLE, Depth::One)),
];

/// Options that reach the mounts below as well (mount_setattr(2) with AT_RECURSIVE).
const RECURSIVE: &[(&str, Effect)] = &[
    ("ratime", Clear(ATTR_NOATIME)),
    ("rdev", Clear(ATTR_NODEV)),
    ("rdiratime", Clear(ATTR_NODIRATIME)),
    ("rexec", Clear(ATTR_NOEXEC)),
    ("rnoatime", Set(ATTR_NOATIME, ATTR_ATIME_MASK)),
    ("rnodev", Set(ATTR_NODEV, 0)),
    ("rnodiratime", Set(ATTR_NODIRATIME, 0)),
    ("rnoexec", Set(ATTR_NOEXEC, 0)),
    ("rnorelatime", Set(ATTR_STRICTATIME, ATTR_ATIME_MASK)),
    ("rnostrictatime", Clear(ATTR_ATIME_MASK)),
    ("rnosuid", Set(ATTR_NOSUID, 0)),
    ("rnosymfollow", Set(ATTR_NOSYMFOLLOW, 0)),
    ("rrelatime", Clear(ATTR_ATIME_MASK)),
    ("rro", Set(ATTR_RDONLY, 0)),
    ("rrw", Clear(ATTR_RDONLY)),
    ("rstrictatime", Set(ATTR_STRICTATIME, ATTR_ATIME_MASK)),
    ("rsuid", Clear(ATTR_NOSUID)),
    ("rsymfollow", Clear(ATTR_NOSYMFOLLOW)),
];

/// Options of the spec or of other runtimes that would change what is mounted, and that podrun has not got.
const REFUSED: &[&str] = &[
    "acl",
    "noacl",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "idmap",
    "ridmap",
    "remount",
    "tmpcopyup",
    "copy-symlink",
    "src-nofollow",
    "dest-nofollow",
];

/// The names of all options that podrun itself honours, sorted, as `features` lists them.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TABLE.iter().chain(RECURSIVE).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// A mount's options, understood.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Options {
    /// A bind mount, and how deep.
    pub bind: Option<Depth>,
    /// Attributes of the mount itself.
    pub attr: MountAttr,
    /// Attributes of the mount and all below it.
    pub recursive: MountAttr,
    /// Propagation types in the order given.
    pub propagation: Vec<(u64, Depth)>,
    /// Parameters of a new file system: `key=value` or `key`.
    pub parameters: Vec<String>,
}

/// Reads the options of one mount; a later one wins over an earlier one.
///
/// # Errors
/// For an option that is not supported, or unknown on a bind mount.
pub fn parse(options: &[String]) -> Result<Options> {
    let mut parsed = Options::default();
    for option in options {
        if REFUSED.contains(&option.as_str()) || option.starts_with("idmap=") || option.starts_with("ridmap=")
        {
            return Err(Error::user(format!("option {option:?} is not supported")));
        }
        if let Some((_, effect)) = RECURSIVE.iter().find(|(name, _)| name == option) {
            apply(&mut parsed.recursive, *effect);
            continue;
        }
        match TABLE.iter().find(|(name, _)| name == option).map(|(_, effect)| *effect) {
            Some(Bind(depth)) => parsed.bind = Some(depth),
            Some(Propagation(kind, depth)) => parsed.propagation.push((kind, depth)),
            Some(Superblock) | None => parsed.parameters.push(option.clone()),
            Some(effect) => apply(&mut parsed.attr, effect),
        }
    }
    if parsed.bind.is_some()
        && let Some(option) = parsed.parameters.first()
    {
        return Err(Error::user(format!("option {option:?} has no meaning for a bind mount")));
    }
    Ok(parsed)
}

fn apply(attr: &mut MountAttr, effect: Effect) {
    match effect {
        Set(set, clear) => {
            attr.set = attr.set & !clear | set;
            // The kernel wants the whole access-time field cleared before one value of it is set.
            attr.clear = attr.clear & !set | clear;
        }
        Clear(clear) => {
            attr.set &= !clear;
            let field = if clear & ATTR_ATIME_MASK == 0 { clear } else { clear | ATTR_ATIME_MASK };
            attr.clear |= field;
        }
        _ => {}
    }
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

    #[test]
    fn the_usual_sets() {
        let tmpfs = options(&["nosuid", "strictatime", "mode=755", "size=65536k"]).unwrap();
        assert_eq!(tmpfs.attr.set, ATTR_NOSUID | ATTR_STRICTATIME);
        assert_eq!(tmpfs.attr.clear, ATTR_ATIME_MASK);
        assert_eq!(tmpfs.parameters, ["mode=755", "size=65536k"]);
        let bind = options(&["rbind", "rprivate", "rro"]).unwrap();
        assert_eq!(bind.bind, Some(Depth::Recursive));
        assert_eq!(bind.recursive.set, ATTR_RDONLY);
        assert_eq!(bind.propagation, [(libc::MS_PRIVATE, Depth::Recursive)]);
    }

    #[test]
    fn the_last_one_wins() {
        let back = options(&["ro", "rw"]).unwrap();
        assert_eq!((back.attr.set, back.attr.clear), (0, ATTR_RDONLY));
        let again = options(&["rw", "ro"]).unwrap();
        assert_eq!((again.attr.set, again.attr.clear), (ATTR_RDONLY, 0));
        let time = options(&["noatime", "relatime"]).unwrap();
        assert_eq!((time.attr.set, time.attr.clear), (0, ATTR_ATIME_MASK));
    }

    #[test]
    fn refusals() {
        assert!(options(&["idmap"]).is_err());
        assert!(options(&["bind", "size=1"]).is_err());
        assert!(propagation("rshared").is_ok());
        assert!(propagation("ro").is_err());
    }

    #[test]
    fn names_are_unique() {
        let names = names();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.contains(&"rro"));
    }
}
