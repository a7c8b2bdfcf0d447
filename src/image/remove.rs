//! Taking images away: names, then what nothing refers to any more.

use super::oci::{self, Index};
use super::store::{Image, Lease, Store, named, select};
use super::work::Work;
use crate::error::{Context, Error, Result};
use crate::model::image::ImageName;
use crate::sys::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What pods on record use of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// Image ids, and who uses each, for messages: `pod "shop"`.
    pub images: BTreeMap<String, String>,
    /// Directories of layers.
    pub layers: BTreeSet<PathBuf>,
}

/// What [`Store::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<ImageName>,
    /// Id of the image, if it is gone too.
    pub deleted: Option<String>,
}

/// What [`Store::prune`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of images that had no name.
    pub images: Vec<String>,
    /// Layers that no image needed.
    pub layers: usize,
    /// Manifests and configs that no image needed, and parts of ones that were being written.
    pub blobs: usize,
    /// What imports and removals that were killed had left.
    pub leftovers: usize,
    /// Bytes on disk that all this took.
    pub bytes: u64,
}

impl Store {
    /// Takes the image's name away that `text` is, or all of them where `text` is (the beginning of) its id; with the
    /// last name goes the image. `in_use` gets all images and is
    /// asked when no pod can be made meanwhile; the store itself may not be asked then.
    ///
    /// # Errors
    /// NotFound when there is no such image; when a pod uses it; when an id has several names and `force` is not set.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        in_use: impl FnOnce(&[Image]) -> Result<InUse>,
    ) -> Result<Removed> {
        let none = || {
            Error::not_found(format!("image {text:?} does not exist"))
                .hint("`podrun image list` shows those that do")
        };
        if !self.layers.is_dir() {
            return Err(none());
        }
        let lease = self.exclude()?;
        let index_lock = self.lock_index(&lease)?;
        let mut index = self.read_index()?;
        let name: Option<ImageName> = text.parse().ok();
        let images = self.images_of(&index);
        let image = select(images.clone(), text)?.ok_or_else(none)?;
        let gone: Vec<ImageName> = match name.filter(|name| image.names.contains(name)) {
            Some(name) => vec![name],
            None if image.names.len() > 1 && !force => {
                let names = image.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::user(format!("image {text:?} has several names: {names}"))
                    .hint("give the name that is to go, or --force to remove them all"));
            }
            None => image.names.clone(),
        };
        let last = gone.len() == image.names.len();
        let in_use = in_use(&images)?;
        if let Some(user) = in_use.images.get(&image.id).filter(|_| last) {
            return Err(Error::user(format!("image {text:?} is in use by {user}"))
                .hint("delete that first (podrun pod delete)"));
        }
        index.manifests.retain(|entry| {
            !image.digests.contains(&entry.digest) || named(entry).is_some_and(|name| !gone.contains(&name))
        });
        self.write_index(&index_lock, &index)?;
        let work = if last { Some(self.sweep(&lease, &index, &in_use)?.0) } else { None };
        // What takes long comes when everybody may go on.
        drop((index_lock, lease));
        work.map_or(Ok(()), Work::remove)?;
        Ok(Removed { untagged: gone, deleted: last.then_some(image.id) })
    }

    /// Removes images that have no name and are not in use, layers, manifests and configs that no image needs, and what
    /// was left by imports and removals that were killed. `in_use` gets all images and is
    /// asked when no pod can be made meanwhile; the store itself may not be asked then.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn prune(&self, in_use: impl FnOnce(&[Image]) -> Result<InUse>) -> Result<Pruned> {
        if !self.layers.is_dir() {
            return Ok(Pruned::default());
        }
        let lease = self.exclude()?;
        let index_lock = self.lock_index(&lease)?;
        let mut index = self.read_index()?;
        let images = self.images_of(&index);
        let in_use = in_use(&images)?;
        let kept = |digest: &String| {
            images.iter().any(|image| in_use.images.contains_key(&image.id) && image.digests.contains(digest))
        };
        let before = index.manifests.len();
        index.manifests.retain(|entry| named(entry).is_some() || kept(&entry.digest));
        if index.manifests.len() < before {
            self.write_index(&index_lock, &index)?;
        }
        let (work, mut pruned) = self.sweep(&lease, &index, &in_use)?;
        let gone = |image: &Image| image.names.is_empty() && !in_use.images.contains_key(&image.id);
        pruned.images = images.into_iter().filter(gone).map(|image| image.id).collect();
        let left = Work::left(&self.layers)?;
        drop((index_lock, lease));
        pruned.leftovers = left.len();
        for work in left.into_iter().chain([work]) {
            pruned.bytes += disk_usage(work.path())?;
            work.remove()?;
        }
        Ok(pruned)
    }

    /// Moves the layers that neither index nor pods need into a directory of work, and removes such blobs.
    fn sweep(&self, _exclusive: &Lease, index: &Index, in_use: &InUse) -> Result<(Work, Pruned)> {
        let mut blobs = BTreeSet::new();
        let mut layers = in_use.layers.clone();
        for entry in &index.manifests {
            blobs.insert(oci::hex(&entry.digest)?.to_owned());
            // What a damaged image needs cannot be known; it must be imported again anyway.
            let Ok((manifest, config)) = self.documents(&entry.digest) else { continue };
            blobs.insert(manifest.config.hex()?.to_owned());
            for diff_id in &config.rootfs.diff_ids {
                layers.insert(self.layer(diff_id)?);
            }
        }
        let mut pruned = Pruned::default();
        let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unneeded = entries(&self.blobs())?.into_iter().filter(|path| !blobs.contains(&name_of(path)));
        // Files that were being written when their writer was killed: those who write hold a lease.
        let half = entries(&self.images)?.into_iter().filter(|path| name_of(path).starts_with('.'));
        for path in unneeded.chain(half) {
            pruned.bytes += path.symlink_metadata().map_or(0, |meta| meta.blocks() * 512);
            std::fs::remove_file(&path).context(|| format!("cannot remove {path:?}"))?;
            pruned.blobs += 1;
        }
        let work = Work::make(&self.layers)?;
        for path in entries(&self.layers)? {
            let name = name_of(&path);
            if !layers.contains(&path) && !name.starts_with('.') {
                std::fs::rename(&path, work.path().join(name))
                    .context(|| format!("cannot move {path:?} away"))?;
                pruned.layers += 1;
            }
        }
        Ok((work, pruned))
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
    let found: std::io::Result<_> = read();
    found.context(|| format!("cannot read {directory:?}"))
}

/// Bytes that a tree takes on disk; a file with several links counts once a link.
fn disk_usage(path: &Path) -> Result<u64> {
    let mut total = 0;
    let enter = |directory: std::os::fd::BorrowedFd<'_>| {
        let mut below = Vec::new();
        for entry in std::fs::read_dir(tree::short_path(directory.as_fd()))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let links = if meta.is_dir() { 1 } else { meta.nlink().max(1) };
            total += meta.blocks() * 512 / links;
            if meta.is_dir() {
                below.push(std::ffi::CString::new(entry.file_name().into_encoded_bytes())?);
            }
        }
        Ok(below)
    };
    tree::walk(path, enter, |_, _| Ok(tree::Next::Leave)).context(|| format!("cannot look into {path:?}"))?;
    Ok(total)
}
