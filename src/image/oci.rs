//! The documents of an image as the OCI image specification and Docker write them, as far as podrun reads them, and the
//! few that it writes itself.

use crate::error::{Context, Error, Result};
use crate::model::image::{ImageConfig, is_digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Media type of a manifest of podrun's.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's word for an index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of an image's config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of an uncompressed layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Content of the file that marks an OCI image layout.
pub const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
/// Annotation of an entry of the index: the image's full name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same, as containerd and Docker write it.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Annotation of an entry of our index: bytes of the unpacked layers.
pub const UNPACKED_SIZE: &str = "podrun.unpacked-size";

/// What another document refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of document.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Notes on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The machine that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest(bytes),
            size: bytes.len() as u64,
            annotations: None,
            platform: None,
        }
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The hexadecimal digits of the digest, which are the name of its file.
    ///
    /// # Errors
    /// When the digest is of another kind, or none.
    pub fn hex(&self) -> Result<&str> {
        hex(&self.digest)
    }
}

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go calls it: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
}

impl Platform {
    /// The machine that we are on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned() }
    }
}

/// index.json, and what else lists manifests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// What kind of document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: Vec::new() }
    }
}

/// An image's manifest: its config and its layers, lowest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What kind of document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, as they are stored; lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image's config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// The processor that it is for, as Go calls it.
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How it wants to be run.
    #[serde(default)]
    pub config: Option<ImageConfig>,
    /// What its root file system is made of.
    pub rootfs: Rootfs,
}

/// The layers of a config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rootfs {
    /// `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<String>,
}

/// `sha256:` and the digest of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    finish(Sha256::new().chain_update(bytes))
}

/// `sha256:` and what a hasher has come to.
pub fn finish(hasher: Sha256) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    let hash = hasher.finalize();
    let hex = hash.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    "sha256:".chars().chain(hex).collect()
}

/// The hexadecimal digits of a digest.
///
/// # Errors
/// When it is no SHA-256 digest: it is never used as a file name then.
pub fn hex(digest: &str) -> Result<&str> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if is_digest(digest) => Ok(hex),
        _ => Err(Error::user(format!("{:?} is no SHA-256 digest", shortened(digest)))),
    }
}

/// Parses a document; `what` names it in the error.
///
/// # Errors
/// When it is not what it should be.
pub fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).context(|| format!("cannot read {what}"))
}

/// As much of a foreign text as a message can hold.
pub fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
