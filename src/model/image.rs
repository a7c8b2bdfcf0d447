//! What an image is called and what its config says: plain data of the image store, manifests and the supervisor.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Registry of names that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Folder of that registry for names that name none.
const DEFAULT_FOLDER: &str = "library/";
/// Longest repository, registry included.
const LONGEST_REPOSITORY: usize = 255;
/// Longest tag.
const LONGEST_TAG: usize = 128;

/// A normalised image name, `REGISTRY/REPOSITORY:TAG`, `REGISTRY/REPOSITORY@sha256:HEX` or both: `busybox` is
/// `docker.io/library/busybox:latest`. Where there is a digest, it alone says which image is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageName {
    /// Registry and repository: `docker.io/library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: `latest` where the name has neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(LONGEST_REPOSITORY).collect();
            Error::user(format!("invalid image name {shown:?}: {why}"))
                .hint("write it like busybox, registry.example:5000/team/app:1.2 or name@sha256:...")
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(refuse("its digest is not sha256: and 64 hexadecimal digits")),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("its tag may have letters, digits and _ - . only, at most 128"));
        }
        if is_hex(path, 64) {
            return Err(refuse("64 hexadecimal digits are an image's id, not its name"));
        }
        let repository = full_repository(path);
        if repository.len() > LONGEST_REPOSITORY {
            return Err(refuse("it has more than 255 characters"));
        }
        let Some((registry, folders)) = repository.split_once('/') else { return Err(refuse("it is empty")) };
        if !is_registry(registry) {
            return Err(refuse("its registry is not a host name, with or without a port"));
        }
        if !folders.split('/').all(is_path_component) {
            return Err(refuse("it may have lower-case letters and digits, with . _ - between them"));
        }
        let tag = tag.or(if digest.is_none() { Some("latest") } else { None }).map(str::to_owned);
        Ok(Self { repository, tag, digest })
    }
}

impl TryFrom<String> for ImageName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> String {
        name.to_string()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The repository with registry and folder. The first part is a registry if it could not be a folder of one.
fn full_repository(path: &str) -> String {
    match path.split_once('/') {
        Some(("index.docker.io", rest)) => full_repository(&format!("{DEFAULT_REGISTRY}/{rest}")),
        Some((DEFAULT_REGISTRY, rest)) if !rest.contains('/') => {
            format!("{DEFAULT_REGISTRY}/{DEFAULT_FOLDER}{rest}")
        }
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => path.to_owned(),
        Some(_) => format!("{DEFAULT_REGISTRY}/{path}"),
        None => format!("{DEFAULT_REGISTRY}/{DEFAULT_FOLDER}{path}"),
    }
}

/// Whether `text` is `sha256:` and 64 lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    let label = |label: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        edge(label.bytes().next())
            && edge(label.bytes().next_back())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lower-case letters and digits, separated by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.bytes().next().is_some_and(plain)
        && text.bytes().next_back().is_some_and(plain)
        && separators
            .filter(|between| !between.is_empty())
            .all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

/// What an image says of how it wants to be run; read from an OCI or Docker image config's `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The program, before `cmd`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments of the entrypoint; program and arguments where there is none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The environment, `NAME=VALUE` each.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Where the program starts; empty means `/`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// `USER`, `UID`, `USER:GROUP`, `UID:GID`; empty means root.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The signal that asks the program to end, by name or number; empty means SIGTERM.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// `PORT/PROTOCOL` each; information only.
    #[serde(with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Paths that hold data of the program's own; information only.
    #[serde(with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Labels; information only.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `null` is what Go writes for an empty list.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// A set written as an object whose values say nothing: `{"80/tcp": {}}`.
mod keys {
    use serde::de::IgnoredAny;
    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::{BTreeMap, BTreeSet};

    pub fn serialize<S: Serializer>(set: &BTreeSet<String>, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(set.len()))?;
        for key in set {
            map.serialize_entry(key, &serde_json::Map::new())?;
        }
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<BTreeMap<String, IgnoredAny>> = Option::deserialize(from)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_completed() {
        let digest = format!("sha256:{HEX}");
        let table = [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.36", "docker.io/library/busybox:1.36".to_owned()),
            ("docker.io/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("team/app", "docker.io/team/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/app:x", "localhost:5000/app:x".to_owned()),
            ("r.example:5000/a/b/c", "r.example:5000/a/b/c:latest".to_owned()),
            ("a__b.c-d--e", "docker.io/library/a__b.c-d--e:latest".to_owned()),
            (&format!("busybox@{digest}"), format!("docker.io/library/busybox@{digest}")),
            (&format!("busybox:1@{digest}"), format!("docker.io/library/busybox:1@{digest}")),
        ];
        for (text, want) in table {
            let name: ImageName = text.parse().unwrap();
            assert_eq!(name.to_string(), want, "{text}");
            assert_eq!(want.parse::<ImageName>().unwrap(), name, "{text}");
        }
        let name: ImageName = "busybox".parse().unwrap();
        assert_eq!((name.repository(), name.tag()), ("docker.io/library/busybox", Some("latest")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(240);
        for bad in [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a:",
            "a:b:c",
            "a b",
            "a@",
            "a@sha256:12",
            "a:-x",
            "..",
            "a/../b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "http://a/b",
            "r.example:x/a",
            "r.example:/a",
            "a\n",
            "é",
            HEX,
            "-r.example/a",
            long.as_str(),
            &format!("a@sha256:{}", HEX.to_uppercase()),
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn configs_are_read_as_go_writes_them() {
        let text = r#"{"Cmd": null, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}, "Volumes": null, "User": "",
            "Entrypoint": ["/e"], "Labels": null, "ArgsEscaped": true, "Healthcheck": {"Test": []}}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.entrypoint, ["/e"]);
        assert_eq!((config.env.len(), config.cmd.len(), config.exposed_ports.len()), (1, 0, 1));
        let again: ImageConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert!(serde_json::from_str::<ImageConfig>(r#"{"Cmd": "true"}"#).is_err());
    }
}
