//! Volumes as they are asked for, by flag or by manifest.

use crate::error::{Context, Error, Result};
use crate::model::ids::VolumeName;
use crate::model::quantity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// A volume as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeSpec {
    /// Name, unique within the pod.
    pub name: VolumeName,
    /// What it is made of.
    pub source: VolumeSource,
}

/// What a volume is made of, named as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VolumeSource {
    /// A directory that begins empty and ends with the pod.
    EmptyDir {
        /// Where its content lies.
        medium: Medium,
        /// Most bytes it may hold. In memory, no more fit; on the disk, whoever takes more has the pod evicted.
        size_limit_bytes: Option<u64>,
    },
    /// A file or directory of the host.
    HostPath {
        /// Absolute path on the host.
        path: PathBuf,
        /// What must be there, or is to be made.
        expected: HostPathType,
    },
}

impl VolumeSource {
    /// Kubernetes' name of the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EmptyDir { .. } => "emptyDir",
            Self::HostPath { .. } => "hostPath",
        }
    }
}

/// Where an emptyDir's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// Below the data root.
    Disk,
    /// In a tmpfs; its pages count as memory of the cgroup that writes them.
    Memory,
}

/// `hostPath.type`, as Kubernetes documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// `""`: anything that is there.
    Unset,
    /// A directory, made with mode 0755 if nothing is there.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A regular file, made with mode 0644 if nothing is there; its directory must be there.
    FileOrCreate,
    /// A regular file.
    File,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Each type's name, and in words what must be at the path.
const HOST_PATH_TYPES: [(&str, HostPathType, &str); 8] = [
    ("", HostPathType::Unset, "a file"),
    ("DirectoryOrCreate", HostPathType::DirectoryOrCreate, "a directory"),
    ("Directory", HostPathType::Directory, "a directory"),
    ("FileOrCreate", HostPathType::FileOrCreate, "a regular file"),
    ("File", HostPathType::File, "a regular file"),
    ("Socket", HostPathType::Socket, "a socket"),
    ("CharDevice", HostPathType::CharDevice, "a character device"),
    ("BlockDevice", HostPathType::BlockDevice, "a block device"),
];

impl HostPathType {
    /// What must be at the path, in words.
    pub fn words(self) -> &'static str {
        HOST_PATH_TYPES.iter().find(|row| row.1 == self).map_or("", |row| row.2)
    }

    /// Every type with its name.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        HOST_PATH_TYPES.iter().map(|row| (row.0, row.1))
    }
}

impl FromStr for HostPathType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        HOST_PATH_TYPES.iter().find(|row| row.0 == text).map(|row| row.1).ok_or_else(|| {
            let known: Vec<&str> = HOST_PATH_TYPES.iter().skip(1).map(|row| row.0).collect();
            Error::user(format!("unknown hostPath type {text:?}"))
                .hint(format!("use one of {}", known.join(", ")))
        })
    }
}

impl FromStr for VolumeSpec {
    type Err = Error;
    /// Parses `NAME=emptyDir[,medium=Memory][,sizeLimit=64Mi]` or `NAME=hostPath:SRC[,type=T]`.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).context(|| format!("invalid volume {text:?}"))
    }
}

fn parse(text: &str) -> Result<VolumeSpec> {
    const FORMS: &str =
        "write NAME=emptyDir[,medium=Memory][,sizeLimit=64Mi] or NAME=hostPath:PATH[,type=DirectoryOrCreate]";
    let (name, source) =
        text.split_once('=').ok_or_else(|| Error::user("there is no `=` behind the name").hint(FORMS))?;
    let name = name.parse()?;
    let source = if let Some(source) = source.strip_prefix("hostPath:") {
        parse_host_path(source)?
    } else {
        let mut parts = source.split(',');
        match parts.next() {
            Some("emptyDir") => parse_empty_dir(parts)?,
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(Error::user(format!("unknown kind {kind:?}")).hint(FORMS));
            }
        }
    };
    Ok(VolumeSpec { name, source })
}

/// The path may hold commas: only a `,type=` behind the last of them is an option.
fn parse_host_path(text: &str) -> Result<VolumeSource> {
    let (path, expected) = match text.rsplit_once(",type=") {
        Some((path, kind)) => (path, kind.parse()?),
        None => (text, HostPathType::Unset),
    };
    Ok(VolumeSource::HostPath { path: path.into(), expected })
}

fn parse_empty_dir<'a>(options: impl Iterator<Item = &'a str>) -> Result<VolumeSource> {
    let (mut medium, mut size_limit_bytes) = (None, None);
    for option in options {
        match option.split_once('=') {
            Some(("medium", value)) if medium.is_none() => {
                medium = Some(match value {
                    "" => Medium::Disk,
                    "Memory" => Medium::Memory,
                    _ => {
                        return Err(Error::user(format!("unsupported medium {value:?}"))
                            .hint("use Memory, or leave it out for the disk"));
                    }
                });
            }
            Some(("sizeLimit", value)) if size_limit_bytes.is_none() => {
                size_limit_bytes = Some(quantity::bytes(value)?);
            }
            Some((key @ ("medium" | "sizeLimit"), _)) => {
                return Err(Error::user(format!("{key} is given twice")));
            }
            _ => {
                return Err(Error::user(format!("unknown option {option:?}"))
                    .hint("an emptyDir knows medium=Memory and sizeLimit=QUANTITY"));
            }
        }
    }
    Ok(VolumeSource::EmptyDir { medium: medium.unwrap_or(Medium::Disk), size_limit_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_dir(medium: Medium, size_limit_bytes: Option<u64>) -> VolumeSource {
        VolumeSource::EmptyDir { medium, size_limit_bytes }
    }

    fn host_path(path: &str, expected: HostPathType) -> VolumeSource {
        VolumeSource::HostPath { path: path.into(), expected }
    }

    #[test]
    fn grammar() {
        let table = [
            ("a=emptyDir", empty_dir(Medium::Disk, None)),
            ("a=emptyDir,medium=", empty_dir(Medium::Disk, None)),
            ("a=emptyDir,medium=Memory", empty_dir(Medium::Memory, None)),
            ("a=emptyDir,sizeLimit=64Mi,medium=Memory", empty_dir(Medium::Memory, Some(64 << 20))),
            ("a=hostPath:/srv", host_path("/srv", HostPathType::Unset)),
            ("a=hostPath:/s,r=v,type=File", host_path("/s,r=v", HostPathType::File)),
            ("a=hostPath:/srv,type=", host_path("/srv", HostPathType::Unset)),
        ];
        for (text, source) in table {
            assert_eq!(text.parse::<VolumeSpec>().unwrap().source, source, "{text}");
        }
        for (text, words) in [
            ("a", "no `=`"),
            ("A=emptyDir", "invalid name"),
            ("=emptyDir", "invalid name"),
            ("a=", "unknown kind"),
            ("a=nfs:/x", "unknown kind \"nfs:/x\""),
            ("a=emptyDir,size=1", "unknown option"),
            ("a=emptyDir,medium=HugePages", "unsupported medium"),
            ("a=emptyDir,medium=Memory,medium=Memory", "given twice"),
            ("a=emptyDir,sizeLimit=x", "invalid quantity"),
            ("a=hostPath:/srv,type=Dir", "unknown hostPath type \"Dir\""),
        ] {
            let error = text.parse::<VolumeSpec>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
