//! The images in an archive, as `docker save`, an OCI image layout and a plain root file system say what they are.

use super::archive::Archive;
use super::limits;
use super::oci::{self, Config, Descriptor, Index, Manifest, Platform, Rootfs};
use crate::error::{Context, Error, Result};
use crate::model::image::{ImageConfig, ImageName};
use crate::model::time;
use crate::report;
use serde::Deserialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// An index in an index in an index is enough.
const DEPTH: usize = 3;

/// An image that an archive says it has.
#[derive(Debug, Clone)]
pub struct Found {
    /// What the archive calls it.
    pub names: Vec<ImageName>,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Docker(DockerImage),
    Oci(Descriptor),
    Rootfs,
}

/// An image's documents, checked.
#[derive(Debug)]
pub struct Documents {
    /// The config, to the byte.
    pub config: Vec<u8>,
    /// What it says of its layers, lowest first.
    pub diff_ids: Vec<String>,
    /// The manifest, to the byte; `None` where the archive has none, and one is to be made.
    pub manifest: Option<Vec<u8>>,
    /// Where the layers are, lowest first.
    pub layers: Vec<Layer>,
}

/// A layer in an archive.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Name of its file.
    pub file: String,
    /// What a manifest says of it.
    pub descriptor: Option<Descriptor>,
}

/// An entry of manifest.json of `docker save`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The images in an archive.
///
/// # Errors
/// When what lists them is damaged.
pub fn found(archive: &Archive) -> Result<Vec<Found>> {
    if matches!(archive, Archive::Rootfs(_)) {
        return Ok(vec![Found { names: Vec::new(), how: How::Rootfs }]);
    }
    // Archives of newer Dockers are both; only this one has the full names.
    let found = if archive.has("manifest.json")? {
        let images: Vec<DockerImage> = oci::parse(&archive.document("manifest.json")?, "manifest.json")?;
        images.into_iter().map(of_docker).collect::<Result<Vec<_>>>()?
    } else {
        of_oci(&oci::parse(&archive.document("index.json")?, "index.json")?)?
    };
    match found.len() {
        0 => Err(Error::user("there is no image in the archive")),
        1..=limits::MEMBERS => Ok(found),
        count => Err(Error::user(format!("there are {count} images in the archive, too many"))),
    }
}

fn of_docker(image: DockerImage) -> Result<Found> {
    let tags = image.repo_tags.iter().flatten();
    let names = tags.map(|tag| tag.parse()).collect::<Result<_>>().context(|| "cannot read manifest.json")?;
    Ok(Found { names, how: How::Docker(image) })
}

fn of_oci(index: &Index) -> Result<Vec<Found>> {
    let ours: Vec<&Descriptor> = index.manifests.iter().filter(|entry| fits(entry)).collect();
    if ours.is_empty() && !index.manifests.is_empty() {
        return Err(for_others(index));
    }
    Ok(ours.into_iter().map(|entry| Found { names: named(entry), how: How::Oci(entry.clone()) }).collect())
}

/// Whether a manifest is for this machine, as far as its descriptor tells.
fn fits(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_none_or(|platform| *platform == Platform::host())
}

fn for_others(index: &Index) -> Error {
    let host = Platform::host();
    let all = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
    let all: Vec<String> = all
        .take(10)
        .map(|platform| {
            format!("{}/{}", oci::shortened(&platform.os), oci::shortened(&platform.architecture))
        })
        .collect();
    Error::user(format!(
        "the archive has no image for {}/{}, but for {}",
        host.os,
        host.architecture,
        all.join(", ")
    ))
}

/// What an index calls a manifest. Many writers put only the tag there, which is no name.
fn named(entry: &Descriptor) -> Vec<ImageName> {
    let name = entry.annotation(oci::CONTAINERD_NAME).or_else(|| {
        let name = entry.annotation(oci::REF_NAME)?;
        name.contains(['/', ':']).then_some(name)
    });
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

impl Found {
    /// Whether it is a root file system, of which nothing is known.
    pub fn is_rootfs(&self) -> bool {
        matches!(self.how, How::Rootfs)
    }

    /// Reads the image's documents. `config` is that of a root file system.
    ///
    /// # Errors
    /// When they are damaged, do not fit their digests or one another, or are for another kind of machine.
    pub fn documents(&self, archive: &Archive) -> Result<Documents> {
        let documents = match &self.how {
            How::Docker(image) => docker_documents(archive, image)?,
            How::Oci(entry) => oci_documents(archive, entry, DEPTH)?,
            How::Rootfs => return Err(Error::user("a root file system has no documents")),
        };
        let (layers, diff_ids) = (documents.layers.len(), documents.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::user(format!("the config lists {diff_ids} layers, the manifest {layers}")));
        }
        match layers {
            0 => return Err(Error::user("the image has no layers, so there is nothing to run")),
            1..=limits::LAYERS => {}
            _ => {
                let most = limits::LAYERS;
                return Err(Error::user(format!("the image has {layers} layers, more than {most}")));
            }
        }
        documents.diff_ids.iter().try_for_each(|diff_id| oci::hex(diff_id).map(drop))?;
        Ok(documents)
    }
}

fn docker_documents(archive: &Archive, image: &DockerImage) -> Result<Documents> {
    let config = archive.document(&image.config)?;
    // The config's file is called by its digest: HEX.json, or blobs/sha256/HEX.
    let file = image.config.rsplit('/').next().unwrap_or_default();
    let claimed = format!("sha256:{}", file.strip_suffix(".json").unwrap_or(file));
    if oci::hex(&claimed).is_ok() && oci::digest(&config) != claimed {
        return Err(Error::user(format!("{:?} has other content than its name says", image.config)));
    }
    let diff_ids = read_config(&config)?;
    let layers = image.layers.iter().map(|file| Layer { file: file.clone(), descriptor: None }).collect();
    Ok(Documents { config, diff_ids, manifest: None, layers })
}

fn oci_documents(archive: &Archive, entry: &Descriptor, depth: usize) -> Result<Documents> {
    let bytes = blob(archive, entry)?;
    if matches!(entry.media_type.as_str(), oci::INDEX | oci::DOCKER_LIST) {
        let index: Index = oci::parse(&bytes, "the index")?;
        let first = index.manifests.iter().find(|entry| fits(entry)).ok_or_else(|| for_others(&index))?;
        if depth == 0 {
            return Err(Error::user("the archive has indexes in indexes, too many"));
        }
        return oci_documents(archive, first, depth - 1);
    }
    let manifest: Manifest = oci::parse(&bytes, "the manifest")?;
    let config = blob(archive, &manifest.config)?;
    let diff_ids = read_config(&config)?;
    let layers = manifest.layers.into_iter().map(|descriptor| {
        let file = blob_file(&descriptor)?;
        Ok(Layer { file, descriptor: Some(descriptor) })
    });
    Ok(Documents { layers: layers.collect::<Result<_>>()?, config, diff_ids, manifest: Some(bytes) })
}

fn blob_file(descriptor: &Descriptor) -> Result<String> {
    Ok(format!("blobs/sha256/{}", descriptor.hex()?))
}

/// A document by its descriptor, whose digest and size it must have.
fn blob(archive: &Archive, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = archive.document(&blob_file(descriptor)?)?;
    if oci::digest(&bytes) == descriptor.digest && bytes.len() as u64 == descriptor.size {
        return Ok(bytes);
    }
    Err(Error::user(format!("blob {} has other content than its name says", descriptor.digest)))
}

/// The diff-ids of a config that is fit to be run here.
fn read_config(bytes: &[u8]) -> Result<Vec<String>> {
    let config: Config = oci::parse(bytes, "the image's config")?;
    let host = Platform::host();
    if !config.os.is_empty() && config.os != host.os {
        return Err(Error::user(format!(
            "the image is for {:?}, not for {}",
            oci::shortened(&config.os),
            host.os
        )));
    }
    if !config.architecture.is_empty() && config.architecture != host.architecture {
        let its = oci::shortened(&config.architecture);
        report::warn(&format!(
            "the image is for {its:?} processors; this machine's is {}",
            host.architecture
        ));
    }
    Ok(config.rootfs.diff_ids)
}

/// Documents for a root file system of one layer.
///
/// # Errors
/// When they cannot be written as JSON.
pub fn rootfs_config(config: &ImageConfig, diff_id: &str) -> Result<Vec<u8>> {
    let host = Platform::host();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let config = Config {
        architecture: host.architecture,
        os: host.os,
        created: Some(time::rfc3339(now)),
        config: Some(config.clone()),
        rootfs: Rootfs { kind: "layers".to_owned(), diff_ids: vec![diff_id.to_owned()] },
    };
    serde_json::to_vec(&config).context(|| "cannot write the config")
}

/// A manifest for an image that came without one. The layers are described as they are unpacked.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn manifest(config: &[u8], diff_ids: &[String], sizes: &[u64]) -> Result<Vec<u8>> {
    let layer = |(diff_id, size): (&String, &u64)| Descriptor {
        media_type: oci::LAYER.to_owned(),
        digest: diff_id.clone(),
        size: *size,
        annotations: None,
        platform: None,
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(oci::MANIFEST.to_owned()),
        config: Descriptor::of(oci::CONFIG, config),
        layers: diff_ids.iter().zip(sizes).map(layer).collect(),
    };
    serde_json::to_vec(&manifest).context(|| "cannot write the manifest")
}
