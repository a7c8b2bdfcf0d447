//! Bringing images into the store.
//!
//! Layers are unpacked into a directory of work, without any lock, then moved to their places, and only then is the image
//! put on record: whoever is killed in between leaves layers that nobody refers to, and a directory of work. Another
//! import of the same layer at the same time unpacks it too; the first to be done wins.

use super::archive::Archive;
use super::change::Change;
use super::formats::{self, Documents, Found, Layer};
use super::limits::Budget;
use super::oci::{self, Descriptor, Index};
use super::store::{Lease, Store, named};
use super::stream::{Digests, Stream, Window};
use super::tar::{End, Reader};
use super::unpack::unpack;
use super::work::Work;
use crate::error::{Context, Error, Result};
use crate::model::image::{ImageConfig, ImageName};
use crate::report;
use crate::sys::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How an import goes on: which layer of how many (from 1), and bytes of it that were unpacked since the last call.
pub type Progress<'a> = dyn FnMut(usize, usize, u64) + 'a;

/// What came into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The image's id.
    pub id: String,
    /// The names that it was given.
    pub names: Vec<ImageName>,
}

/// Imports what `source` (a tar archive, a directory, or `-` for stdin) holds: images as `docker save` writes them, an
/// OCI image layout, or a root file system, whose config is made of `changes`. With `name`, one image gets that name;
/// without, all get those that the archive gives them.
///
/// # Errors
/// When there is nothing to import or too much, something is damaged or hostile, or the store cannot be written. Nothing
/// of the image that failed is in the store then.
pub fn import(
    store: &Store,
    source: &Path,
    name: Option<&ImageName>,
    changes: &[Change],
    progress: &mut Progress<'_>,
) -> Result<Vec<Imported>> {
    import_all(store, source, name, changes, progress).context(|| format!("cannot import {source:?}"))
}

fn import_all(
    store: &Store,
    source: &Path,
    name: Option<&ImageName>,
    changes: &[Change],
    progress: &mut Progress<'_>,
) -> Result<Vec<Imported>> {
    if name.is_some_and(|name| name.digest().is_some()) {
        return Err(Error::user("an image's digest comes of its content and cannot be given")
            .hint("give a name and a tag"));
    }
    store.prepare()?;
    let work = Work::make(&store.layers)?;
    let archive = Archive::open(source, work.path())?;
    let chosen = choose(formats::found(&archive)?, name)?;
    if !changes.is_empty() && chosen.iter().any(|(found, _)| !found.is_rootfs()) {
        return Err(Error::user("the archive's images have configs of their own")
            .hint("leave --change out: it is for root file systems"));
    }
    let mut import = Import { store, archive, work: &work, staged: BTreeMap::new(), progress };
    let imported = chosen.into_iter().map(|(found, names)| import.image(&found, names, changes));
    let imported = imported.collect::<Result<Vec<_>>>()?;
    work.remove()?;
    Ok(imported)
}

/// Which images are meant, and what they are to be called.
fn choose(found: Vec<Found>, name: Option<&ImageName>) -> Result<Vec<(Found, Vec<ImageName>)>> {
    let Some(name) = name else {
        if found.iter().any(|image| image.names.is_empty()) {
            return Err(Error::user("the archive does not say what its image is called")
                .hint("give it a name: podrun image import ARCHIVE NAME"));
        }
        return Ok(found.into_iter().map(|image| (image.clone(), image.names)).collect());
    };
    let called = vec![name.clone()];
    if let [only] = &found[..] {
        return Ok(vec![(only.clone(), called)]);
    }
    let all: BTreeSet<String> = found.iter().flat_map(|i| &i.names).map(ToString::to_string).collect();
    let meant = found.into_iter().find(|image| image.names.contains(name));
    let several = || {
        let names = all.into_iter().take(20).collect::<Vec<_>>().join(", ");
        Error::user(format!("the archive has several images: {names}"))
            .hint("leave NAME out to import them all, or give the name of one")
    };
    Ok(vec![(meant.ok_or_else(several)?, called)])
}

struct Import<'a, 'p> {
    store: &'a Store,
    archive: Archive,
    work: &'a Work,
    /// Layers that are unpacked and not in their places yet, by diff-id.
    staged: BTreeMap<String, PathBuf>,
    progress: &'a mut Progress<'p>,
}

impl Import<'_, '_> {
    fn image(&mut self, found: &Found, names: Vec<ImageName>, changes: &[Change]) -> Result<Imported> {
        let mut budget = Budget::new();
        // Sizes of the layers as they are, by diff-id, where they are needed.
        let mut packed = BTreeMap::new();
        let documents = if found.is_rootfs() {
            let (documents, digests) = self.rootfs(changes, &mut budget)?;
            packed.insert(digests.unpacked, digests.size);
            documents
        } else {
            found.documents(&self.archive)?
        };
        let lease = loop {
            for (index, (diff_id, layer)) in documents.diff_ids.iter().zip(&documents.layers).enumerate() {
                // A manifest that has to be made tells the layers' sizes.
                let known = packed.contains_key(diff_id) || documents.manifest.is_some();
                if known && (self.staged.contains_key(diff_id) || self.store.layer(diff_id)?.is_dir()) {
                    continue;
                }
                let number = (index + 1, documents.layers.len());
                let digests = self.layer(layer, diff_id, number, &mut budget);
                packed.insert(diff_id.clone(), digests.context(|| format!("layer {}", index + 1))?.size);
            }
            if let Some(lease) = self.settle(&documents.diff_ids)? {
                break lease;
            }
        };
        let sizes: Vec<u64> =
            documents.diff_ids.iter().map(|id| packed.get(id).copied().unwrap_or(0)).collect();
        self.record(&lease, &documents, &sizes, names)
    }

    /// The documents of a root file system, which is unpacked to know them.
    fn rootfs(&mut self, changes: &[Change], budget: &mut Budget) -> Result<(Documents, Digests)> {
        let Archive::Rootfs(file) = &self.archive else {
            return Err(Error::user("there is no root file system in the archive"));
        };
        let length = file.metadata().context(|| "cannot stat the archive")?.len();
        let file = file.try_clone().context(|| "cannot open the archive again")?;
        let staged = self.unpack(Window::new(file, 0, length), "rootfs", End::Marked, (1, 1), budget)?;
        let diff_id = staged.unpacked.clone();
        self.staged.insert(diff_id.clone(), self.work.path().join("rootfs"));
        let mut config = ImageConfig::default();
        changes.iter().for_each(|change| change.apply(&mut config));
        let layer = Layer { file: String::new(), descriptor: None };
        let documents = Documents {
            config: formats::rootfs_config(&config, &diff_id)?,
            diff_ids: vec![diff_id],
            manifest: None,
            layers: vec![layer],
        };
        Ok((documents, staged))
    }

    /// Unpacks a layer and checks that it is what manifest and config say.
    fn layer(
        &mut self,
        layer: &Layer,
        diff_id: &str,
        number: (usize, usize),
        budget: &mut Budget,
    ) -> Result<Digests> {
        let blob = self.archive.file(&layer.file)?;
        let length = blob.left();
        let hex = oci::hex(diff_id)?;
        let staged = self.unpack(blob, hex, End::Unmarked, number, budget)?;
        let target = self.work.path().join(hex);
        let wrong = |what: &str| {
            Err(Error::user(format!("its content is not what the {what} says")).hint("fetch it again"))
        };
        if let Some(descriptor) = &layer.descriptor
            && (descriptor.digest != staged.packed || descriptor.size != length)
        {
            return wrong("manifest");
        }
        if diff_id != staged.unpacked {
            return wrong("config");
        }
        self.staged.insert(diff_id.to_owned(), target);
        Ok(staged)
    }

    /// Unpacks a blob to `name` in the directory of work. What ends only `Marked` has no digest that tells its end.
    fn unpack(
        &mut self,
        blob: Window,
        name: &str,
        end: End,
        (number, count): (usize, usize),
        budget: &mut Budget,
    ) -> Result<Digests> {
        let target = self.work.path().join(name);
        if target.is_dir() {
            // Unpacked for an image before, or removed from its place while we waited.
            tree::remove(&target).context(|| format!("cannot remove {target:?}"))?;
        }
        let stream = Stream::new(blob, super::limits::BYTES).context(|| "cannot read the archive")?;
        let mut reader = Reader::new(stream);
        let progress = &mut *self.progress;
        let devices = unpack(&mut reader, &target, budget, &mut |bytes| progress(number, count, bytes))?;
        if end == End::Marked && reader.end() != Some(End::Marked) {
            return Err(Error::user("the archive is cut off: it has no end").hint("fetch it again"));
        }
        let digests = reader
            .into_source()
            .finish()
            .map_err(|error| Error::user("the archive is damaged").because(error))?;
        tell_of_devices(devices);
        Ok(digests)
    }

    /// Moves what was unpacked to its place; `None` when a layer that was in the store has been removed since.
    fn settle(&mut self, diff_ids: &[String]) -> Result<Option<Lease>> {
        if diff_ids.iter().any(|diff_id| self.staged.contains_key(diff_id)) {
            // One call for all files; each by itself would take far longer.
            let directory = File::open(self.work.path()).context(|| "cannot open the directory of work")?;
            nix::unistd::syncfs(&directory).context(|| "cannot write the layers to disk")?;
        }
        let lease = self.store.lease()?;
        for diff_id in diff_ids {
            let place = self.store.layer(diff_id)?;
            match self.staged.get(diff_id).map(|staged| std::fs::rename(staged, &place)) {
                Some(Ok(())) => drop(self.staged.remove(diff_id)),
                // Another import was first; ours goes with the directory of work.
                Some(Err(error)) if matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOTEMPTY)) => {
                    self.staged.remove(diff_id);
                }
                Some(Err(error)) => return Err(error).context(|| format!("cannot make {place:?}")),
                None if place.is_dir() => {}
                None => return Ok(None),
            }
        }
        let layers = &self.store.layers;
        let synced = File::open(layers).and_then(|directory| directory.sync_all());
        synced.context(|| format!("cannot write {layers:?} to disk"))?;
        Ok(Some(lease))
    }

    /// Puts the image on record. Names that others had are its own now.
    fn record(
        &self,
        lease: &Lease,
        documents: &Documents,
        sizes: &[u64],
        names: Vec<ImageName>,
    ) -> Result<Imported> {
        let made = match &documents.manifest {
            Some(manifest) => manifest.clone(),
            None => formats::manifest(&documents.config, &documents.diff_ids, sizes)?,
        };
        let id = self.store.write_blob(lease, &documents.config)?.digest;
        let manifest = self.store.write_blob(lease, &made)?;
        let distinct: BTreeSet<&String> = documents.diff_ids.iter().collect();
        let sizes = distinct.into_iter().map(|diff_id| size_of(&self.store.layer(diff_id)?));
        let size: u64 = sizes.collect::<Result<Vec<_>>>()?.into_iter().sum();
        let lock = self.store.lock_index(lease)?;
        let mut index = self.store.read_index()?;
        enter(&mut index, &manifest, size, &names);
        self.store.write_index(&lock, &index)?;
        Ok(Imported { id, names })
    }
}

/// Gives names to a manifest in the index. One that had them before stays without, unless it has others.
fn enter(index: &mut Index, manifest: &Descriptor, size: u64, names: &[ImageName]) {
    let mut nameless = Vec::new();
    index.manifests.retain(|entry| match named(entry) {
        Some(name) if names.contains(&name) => {
            nameless.push(entry.clone());
            false
        }
        Some(_) => true,
        None => entry.digest != manifest.digest,
    });
    let annotate = |name: Option<&ImageName>| {
        let size = (oci::UNPACKED_SIZE.to_owned(), size.to_string());
        let name = name.map(|name| (oci::REF_NAME.to_owned(), name.to_string()));
        let media_type = oci::MANIFEST.to_owned();
        Descriptor {
            media_type,
            annotations: Some(name.into_iter().chain([size]).collect()),
            ..manifest.clone()
        }
    };
    index.manifests.extend(names.iter().map(|name| annotate(Some(name))));
    for mut entry in nameless {
        if index.manifests.iter().all(|other| other.digest != entry.digest) {
            entry.annotations.iter_mut().for_each(|all| drop(all.remove(oci::REF_NAME)));
            index.manifests.push(entry);
        }
    }
}

fn tell_of_devices(count: usize) {
    if count > 0 {
        report::warn(&format!("{count} device nodes were left out: containers have a /dev of their own"));
    }
}

/// Bytes of the files of a layer; each file once, however many names it has.
fn size_of(layer: &Path) -> Result<u64> {
    let mut total = 0;
    let mut seen = BTreeSet::new();
    let enter = |directory: std::os::fd::BorrowedFd<'_>| -> io::Result<Vec<std::ffi::CString>> {
        let mut below = Vec::new();
        for entry in std::fs::read_dir(tree::short_path(directory))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                below.push(std::ffi::CString::new(entry.file_name().into_encoded_bytes())?);
            } else if meta.is_file() && (meta.nlink() == 1 || seen.insert(meta.ino())) {
                total += meta.len();
            }
        }
        Ok(below)
    };
    tree::walk(layer, enter, |_, _| Ok(tree::Next::Leave))
        .context(|| format!("cannot look into {layer:?}"))?;
    Ok(total)
}
