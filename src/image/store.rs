//! The store: what is in it, and the locks that keep it whole.

use super::oci::{self, Config, Descriptor, Index, Manifest};
use crate::error::{Context, Error, Kind, Result};
use crate::model::image::{ImageConfig, ImageName};
use crate::model::time;
use crate::report;
use crate::state::atomic::{self, Durability};
use crate::state::layout::{Layout, images};
use crate::state::lock::DirectoryLock;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

/// Fewest hexadecimal digits that name an image by its id.
const SHORTEST_ID: usize = 4;

/// The images below a data root. Making one touches nothing.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) images: PathBuf,
    pub(super) layers: PathBuf,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its config, `sha256:...`: what people call the image's id.
    pub id: String,
    /// Digests of its manifests, `sha256:...`: what `NAME@sha256:...` means. Mostly one; the same image out of another
    /// kind of archive has another.
    pub digests: Vec<String>,
    /// All names; an image that lost its last one has none.
    pub names: Vec<ImageName>,
    /// How it wants to be run.
    pub config: ImageConfig,
    /// The unpacked layers, the topmost first, each once: lower directories of an overlayfs as they are.
    pub layers: Vec<PathBuf>,
    /// When it was made, in seconds since the epoch, where it says so.
    pub created: Option<u64>,
    /// Bytes of the unpacked layers.
    pub size: u64,
}

/// Keeps layers from being removed until it is dropped.
#[derive(Debug)]
pub struct Lease(#[expect(dead_code, reason = "held for its Drop")] Flock<File>);

/// The right to change index.json.
#[derive(Debug)]
pub(super) struct IndexLock(#[expect(dead_code, reason = "held for its Drop")] DirectoryLock);

impl Store {
    /// The store below the data root of `layout`.
    pub fn new(layout: &Layout) -> Self {
        Self { images: layout.images(), layers: layout.layers() }
    }

    /// Keeps `remove` and `prune` from taking layers away. Take it before
    /// [`Store::find`], and hold it until the pod that
    /// uses the layers is on record; not while waiting for anything.
    ///
    /// # Errors
    /// When the store cannot be made or locked.
    pub fn lease(&self) -> Result<Lease> {
        self.prepare()?;
        self.flock(FlockArg::LockShared).map(Lease)
    }

    /// Waits until nobody holds a lease, and keeps new ones from being taken.
    pub(super) fn exclude(&self) -> Result<Lease> {
        self.flock(FlockArg::LockExclusive).map(Lease)
    }

    fn flock(&self, how: FlockArg) -> Result<Flock<File>> {
        let path = &self.layers;
        let file = File::open(path).context(|| format!("cannot open {path:?}"))?;
        Flock::lock(file, how).map_err(|(_, error)| error).context(|| format!("cannot lock {path:?}"))
    }

    /// The image of this name, if it is here. With a digest, that alone counts, together with the repository.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, name: &ImageName) -> Result<Option<Image>> {
        // A digest picks an image among few; a name is looked for in the index, so that only one image is read.
        let wanted = |entry: &Descriptor| match name.digest() {
            Some(digest) => entry.digest == digest,
            None => named(entry).as_ref() == Some(name),
        };
        let Some((_lease, index)) = self.read()? else { return Ok(None) };
        let digests: BTreeSet<&str> = digests(&index, wanted);
        let images =
            digests.into_iter().map(|digest| self.image(&index, digest)).collect::<Result<Vec<_>>>()?;
        Ok(images.into_iter().find(|image| image.is_called(name)))
    }

    /// The image that `text` names: a name or, where there is none of that name, the beginning of an id (at least 4
    /// hexadecimal digits, with or without `sha256:`).
    ///
    /// # Errors
    /// When several ids begin so, when `text` is neither, or when the store cannot be read.
    pub fn lookup(&self, text: &str) -> Result<Option<Image>> {
        if let Ok(name) = text.parse()
            && let Some(image) = self.find(&name)?
        {
            return Ok(Some(image));
        }
        select(self.list()?, text)
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>> {
        let Some((_lease, index)) = self.read()? else { return Ok(Vec::new()) };
        let mut images = self.images_of(&index);
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.names.cmp(&b.names)));
        Ok(images)
    }

    /// The index, and a lease that keeps what it refers to; `None` where there is no store yet.
    fn read(&self) -> Result<Option<(Lease, Index)>> {
        if !self.layers.is_dir() {
            return Ok(None);
        }
        let lease = self.flock(FlockArg::LockShared).map(Lease)?;
        Ok(Some((lease, self.read_index()?)))
    }

    /// All images of an index. Of one whose documents are damaged no more is known than its names: it can still be
    /// removed.
    pub(super) fn images_of(&self, index: &Index) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for digest in digests(index, |_| true) {
            let image = self.image(index, digest).unwrap_or_else(|error| {
                report::warn(&error.to_string());
                Image { id: digest.to_owned(), ..Image::of(index, digest) }
            });
            match images.iter_mut().find(|other| other.id == image.id) {
                Some(other) => {
                    other.names.extend(image.names);
                    other.digests.extend(image.digests);
                }
                None => images.push(image),
            }
        }
        images
    }

    fn image(&self, index: &Index, digest: &str) -> Result<Image> {
        let (manifest, config) = self.documents(digest)?;
        let mut image = Image::of(index, digest);
        for diff_id in config.rootfs.diff_ids.iter().rev() {
            // overlayfs refuses a directory twice; what is in the lower of two equal layers is hidden by the upper.
            let path = self.layer(diff_id)?;
            if !image.layers.contains(&path) {
                image.layers.push(path);
            }
        }
        image.id = manifest.config.digest;
        image.created = config.created.as_deref().and_then(time::parse_rfc3339);
        image.config = config.config.unwrap_or_default();
        Ok(image)
    }

    /// Manifest and config of an image.
    pub(super) fn documents(&self, digest: &str) -> Result<(Manifest, Config)> {
        let manifest: Manifest = oci::parse(&self.blob(digest)?, "the manifest")?;
        let config = oci::parse(&self.blob(&manifest.config.digest)?, "the config")?;
        Ok((manifest, config))
    }

    /// Where the layer of a diff-id is, or would be.
    pub(super) fn layer(&self, diff_id: &str) -> Result<PathBuf> {
        Ok(self.layers.join(oci::hex(diff_id)?))
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.images.join(images::BLOBS)
    }

    /// A manifest or config, which must still be what its digest says.
    fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let damaged = |why: &str| {
            Error::host(format!("the image store is damaged: blob {digest} {why}"))
                .hint("remove the image (podrun image remove) and import it again")
        };
        let bytes = atomic::read(&self.blobs(), oci::hex(digest)?)?.ok_or_else(|| damaged("is missing"))?;
        if oci::digest(&bytes) == digest { Ok(bytes) } else { Err(damaged("has other content")) }
    }

    /// Writes a manifest or config. Only with a lease, or it may be taken for rubbish at once.
    pub(super) fn write_blob(&self, _lease: &Lease, bytes: &[u8]) -> Result<Descriptor> {
        let blob = Descriptor::of("", bytes);
        atomic::replace(&self.blobs(), blob.hex()?, bytes, Durability::Disk)?;
        Ok(blob)
    }

    /// Locks the index. The lease comes first.
    pub(super) fn lock_index(&self, _lease: &Lease) -> Result<IndexLock> {
        let path = &self.images;
        let lock = DirectoryLock::take(path)?;
        lock.map(IndexLock).ok_or_else(|| Error::host(format!("{path:?} was removed meanwhile")))
    }

    /// The index; an empty one where there is none yet.
    pub(super) fn read_index(&self) -> Result<Index> {
        match atomic::read(&self.images, images::INDEX)? {
            Some(bytes) => oci::parse(&bytes, "the image store's index.json"),
            None => Ok(Index::default()),
        }
    }

    pub(super) fn write_index(&self, _lock: &IndexLock, index: &Index) -> Result<()> {
        let bytes = serde_json::to_vec(index).context_as(Kind::Host, || "cannot write index.json")?;
        atomic::replace(&self.images, images::INDEX, &bytes, Durability::Disk)
    }

    /// Makes the directories. Layers have setuid programs and images may have secrets: nobody but root passes.
    pub(super) fn prepare(&self) -> Result<()> {
        if self.layers.is_dir() && self.images.join(images::MARK).is_file() {
            return Ok(());
        }
        for path in [&self.images, &self.blobs(), &self.layers] {
            atomic::make_directories(path)?;
        }
        // So that `prune` does not take the file for rubbish that is about to be renamed.
        let _lease = self.flock(FlockArg::LockShared)?;
        atomic::replace(&self.images, images::MARK, oci::LAYOUT, Durability::Disk)
    }
}

impl Image {
    /// What the index alone knows of an image.
    fn of(index: &Index, digest: &str) -> Self {
        let entries = || index.manifests.iter().filter(|entry| entry.digest == digest);
        let size = entries().find_map(|entry| entry.annotation(oci::UNPACKED_SIZE)?.parse().ok());
        Self {
            id: String::new(),
            digests: vec![digest.to_owned()],
            names: entries().filter_map(named).collect(),
            config: ImageConfig::default(),
            layers: Vec::new(),
            created: None,
            size: size.unwrap_or_default(),
        }
    }

    fn is_called(&self, name: &ImageName) -> bool {
        match name.digest() {
            Some(digest) => {
                self.digests.iter().any(|own| own == digest)
                    && self.names.iter().any(|own| own.repository() == name.repository())
            }
            None => self.names.contains(name),
        }
    }
}

/// The image among `images` that `text` names, as [`Store::lookup`] says.
pub(super) fn select(images: Vec<Image>, text: &str) -> Result<Option<Image>> {
    let name: Result<ImageName> = text.parse();
    if let Ok(name) = &name
        && let Some(at) = images.iter().position(|image| image.is_called(name))
    {
        return Ok(images.into_iter().nth(at));
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() < SHORTEST_ID || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return name.map(|_| None);
    }
    let start = format!("sha256:{}", hex.to_ascii_lowercase());
    let mut found: Vec<Image> = images.into_iter().filter(|image| image.id.starts_with(&start)).collect();
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(Error::user(format!("{count} images have an id that begins with {hex:?}"))
            .hint("give more digits, or a name; `podrun image list` shows both")),
    }
}

fn digests(index: &Index, wanted: impl Fn(&Descriptor) -> bool) -> BTreeSet<&str> {
    index.manifests.iter().filter(|entry| wanted(entry)).map(|entry| entry.digest.as_str()).collect()
}

/// The name of an index's entry.
pub(super) fn named(entry: &Descriptor) -> Option<ImageName> {
    entry.annotation(oci::REF_NAME)?.parse().ok()
}
