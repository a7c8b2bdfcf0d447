//! Names as types, checked when made, so that no path or record is ever built from an unchecked string.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! name_type {
    ($name:ident, $check:path, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    ContainerId,
    check_container_id,
    "A container's id: letters, digits and `_+-.`, not `.` or `..`; at most 1024 characters."
);
name_type!(
    PodName,
    check_dns_subdomain,
    "A pod's name: an RFC 1123 subdomain of at most 253 characters, as Kubernetes wants it."
);
name_type!(PodNamespace, check_dns_label, "A namespace: an RFC 1123 label of at most 63 characters.");
name_type!(PodUid, check_uid, "A pod's uid: an RFC 4122 UUID in lower case.");
name_type!(
    ContainerName,
    check_dns_label,
    "A container's name within its pod: an RFC 1123 label of at most 63 characters."
);
name_type!(
    VolumeName,
    check_dns_label,
    "A volume's name within its pod: an RFC 1123 label of at most 63 characters."
);

/// Longest container id that the OCI face accepts. A file name holds 255 bytes; longer ids are refused when made.
const LONGEST_ID: usize = 1024;

fn check_container_id(id: &str) -> Result<()> {
    let refuse = |why: String| {
        let shown: String = id.chars().take(64).collect();
        Err(Error::user(format!("invalid container id {shown:?}: {why}"))
            .hint("use letters, digits and the characters _ + - ."))
    };
    match id {
        "" => return refuse("it is empty".into()),
        "." | ".." => return refuse("it names a directory".into()),
        _ => {}
    }
    if id.len() > LONGEST_ID {
        return refuse(format!("it has {} characters, more than {LONGEST_ID}", id.len()));
    }
    match id.chars().find(|c| !c.is_ascii_alphanumeric() && !"_+-.".contains(*c)) {
        Some(c) => refuse(format!("character {c:?} is not allowed")),
        None if id.len() > 255 => {
            refuse(format!("it has {} characters, more than a file name's 255", id.len()))
        }
        None => Ok(()),
    }
}

fn check_dns_label(name: &str) -> Result<()> {
    check_label(name, name, 63)
}

fn check_dns_subdomain(name: &str) -> Result<()> {
    if name.len() > 253 {
        return Err(Error::user(format!(
            "invalid name {name:?}: it has {} characters, more than 253",
            name.len()
        )));
    }
    name.split('.').try_for_each(|label| check_label(name, label, 253))
}

fn check_label(name: &str, label: &str, longest: usize) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = !label.is_empty()
        && label.len() <= longest
        && label.chars().all(|c| plain(c) || c == '-')
        && label.starts_with(plain)
        && label.ends_with(plain);
    if good {
        return Ok(());
    }
    Err(Error::user(format!("invalid name {name:?}")).hint(format!(
        "use at most {longest} lower-case letters, digits and -, beginning and ending with a letter or digit"
    )))
}

fn check_uid(uid: &str) -> Result<()> {
    let groups: Vec<&str> = uid.split('-').collect();
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let good =
        groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|g| g.bytes().all(hex));
    if good { Ok(()) } else { Err(Error::user(format!("invalid pod uid {uid:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids() {
        for good in ["a", "0_a+b-c.d", "...", &"x".repeat(255)] {
            assert!(good.parse::<ContainerId>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "/", "a/b", "a b", "a\0b", "é", &"x".repeat(256), &"x".repeat(1025)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kubernetes_names() {
        for good in ["web", "a.b-c.d0"] {
            assert!(good.parse::<PodName>().is_ok(), "{good}");
        }
        for bad in ["", "Web", "-a", "a-", "a..b", "a_b", &"x".repeat(254)] {
            assert!(bad.parse::<PodName>().is_err(), "{bad}");
        }
        assert!("a.b".parse::<PodNamespace>().is_err());
        assert!("x".repeat(64).parse::<VolumeName>().is_err());
    }

    #[test]
    fn uids() {
        assert!("01234567-89ab-4def-8123-456789abcdef".parse::<PodUid>().is_ok());
        for bad in ["", "..", "01234567-89AB-4def-8123-456789abcdef", "0123456789ab4def8123456789abcdef"] {
            assert!(bad.parse::<PodUid>().is_err(), "{bad}");
        }
    }
}
