//! What a manifest pod has beside its record: what it is to be (`spec.json`), the manifest as it was written
//! (`manifest.json`), what it does (`status.json`).
//!
//! Invariants: spec and manifest are there before the record names a pause; they are replaced whole, under the lock of
//! the pod's directory, the manifest first. The record's version is theirs, too.

use crate::error::{Context, Error, Result};
use crate::model::podspec::PodSpec;
use crate::model::status::{self, PodStatus};
use crate::pod::{Pod, not_found};
use crate::state::atomic::{self, Durability};
use crate::state::layout;
use crate::state::lock::DirectoryLock;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `pod create -f` has of a pod.
#[derive(Debug, Clone, Copy)]
pub struct Manifest<'a> {
    /// What it asks for.
    pub spec: &'a PodSpec,
    /// The object as it was written, given back by [`Pod::manifest`].
    pub object: &'a Value,
}

/// Writes the first spec and manifest. Nobody looks for it yet, so it needs no renaming.
pub(super) fn write(directory: &Path, manifest: Manifest<'_>) -> Result<()> {
    let spec = serde_json::to_vec(manifest.spec).context(|| "cannot write down the pod's spec")?;
    let object = serde_json::to_vec(manifest.object).context(|| "cannot write down the manifest")?;
    for (name, content) in [(layout::pod::SPEC, spec), (layout::pod::MANIFEST, object)] {
        let path = directory.join(name);
        create(&path, &content).context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

/// Replaces the status of the pod whose state is in `directory`; for its supervisor.
///
/// # Errors
/// NotFound when the pod is gone; others when the directory cannot be written.
pub fn write_status(directory: &Path, status: &PodStatus) -> Result<()> {
    let bytes = serde_json::to_vec(status).context(|| "cannot write down the pod's status")?;
    atomic::replace(directory, layout::pod::STATUS, &bytes, Durability::Boot)
}

/// Reads one of the files; `None` where it is not there.
fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>> {
    let Some(bytes) = atomic::read(directory, name)? else { return Ok(None) };
    let path = directory.join(name);
    serde_json::from_slice(&bytes).context(|| format!("cannot understand {path:?}")).map(Some)
}

impl Pod {
    /// What the manifest asked for.
    ///
    /// # Errors
    /// For a bare or half-made pod, and when the file is damaged.
    pub fn spec(&self) -> Result<PodSpec> {
        self.document(layout::pod::SPEC)
    }

    /// The manifest as it was written, without defaults.
    ///
    /// # Errors
    /// As [`Pod::spec`].
    pub fn manifest(&self) -> Result<Value> {
        self.document(layout::pod::MANIFEST)
    }

    /// Replaces spec and manifest; who supervises the pod is to be told.
    ///
    /// # Errors
    /// For a bare or half-made pod and one that is being deleted, or when the directory cannot be written.
    pub fn replace_manifest(&self, manifest: Manifest<'_>) -> Result<()> {
        self.manifest_record()?;
        let directory = self.directory()?;
        let _lock = DirectoryLock::take(&directory)?.ok_or_else(|| not_found(&self.name))?;
        self.reread()?.refuse_deleting()?;
        let spec = serde_json::to_vec(manifest.spec).context(|| "cannot write down the pod's spec")?;
        let object = serde_json::to_vec(manifest.object).context(|| "cannot write down the manifest")?;
        // Last what decides whether there is anything left to be changed.
        for (name, content) in [(layout::pod::MANIFEST, object), (layout::pod::SPEC, spec)] {
            atomic::replace(&directory, name, &content, Durability::Boot)?;
        }
        Ok(())
    }

    fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.manifest_record()?;
        read(&self.directory()?, name)?.ok_or_else(|| self.half_made())
    }

    /// What the pod's supervisor says of it; none before its first word, and of a bare pod.
    ///
    /// # Errors
    /// When the file is damaged or of another version.
    pub fn status(&self) -> Result<Option<PodStatus>> {
        let Some(uid) = self.uid() else { return Ok(None) };
        let directory = self.layout().pod(uid);
        let found = read::<PodStatus>(&directory, layout::pod::STATUS)?;
        match &found {
            Some(other) if other.version != status::VERSION => {
                let what = format!("the status of pod {} has version {}", self.shown(), other.version);
                Err(Error::user(what).hint("use the podrun that made the pod"))
            }
            _ => Ok(found),
        }
    }
}
