//! A root file system of image layers below a writable one, overlayfs.
//!
//! Invariant: the mount exists in the container's mount namespace alone, so it ends with the container's last process,
//! and no command ever has to take it off.

use super::plan::c_path;
use crate::container::request::OverlayRoot;
use crate::error::{Context, Error, Result};
use crate::state::atomic;
use crate::state::layout::scratch;
use crate::sys::{mount, tree};
use nix::mount::MsFlags;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Most layers: with more, the names of their descriptors would not fit into the page of options that mount(2) takes.
const MOST_LAYERS: usize = 127;

/// An overlay to mount.
#[derive(Debug)]
pub struct Overlay {
    /// The top one first.
    layers: Vec<CString>,
    upper: CString,
    work: CString,
}

/// Makes the directories of a writable layer. What another boot left at their place is removed.
///
/// # Errors
/// For no layers or too many, for a layer that is missing, and those of the file system.
pub fn make(root: &OverlayRoot) -> Result<Overlay> {
    let (Some(top), 1..=MOST_LAYERS) = (root.layers.first(), root.layers.len()) else {
        return Err(Error::user(format!(
            "cannot make a root file system of {} layers: there must be 1 to {MOST_LAYERS}",
            root.layers.len()
        )));
    };
    let title = |path: &Path| format!("cannot create directory {path:?}");
    let scratch = &root.scratch;
    if let Some(parent) = scratch.parent() {
        atomic::make_directories(parent)?;
    }
    let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path);
    make(scratch)
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => tree::remove(scratch).and_then(|()| make(scratch)),
            _ => Err(error),
        })
        .context(|| title(scratch))?;
    let [upper, work, target] = [scratch::UPPER, scratch::WORK, scratch::ROOT].map(|name| scratch.join(name));
    for path in [&upper, &work, &target] {
        make(path).context(|| title(path))?;
    }
    like(top, &upper)?;
    Ok(Overlay {
        layers: root.layers.iter().map(|path| c_path(path)).collect::<Result<_>>()?,
        upper: c_path(&upper)?,
        work: c_path(&work)?,
    })
}

/// The container sees owner and mode of the upper directory as those of its root.
fn like(layer: &Path, upper: &Path) -> Result<()> {
    let top = std::fs::metadata(layer).context(|| format!("cannot use layer {layer:?}"))?;
    std::os::unix::fs::chown(upper, Some(top.uid()), Some(top.gid()))
        .and_then(|()| std::fs::set_permissions(upper, PermissionsExt::from_mode(top.mode() & 0o7777)))
        .context(|| format!("cannot set owner and mode of {upper:?}"))
}

impl Overlay {
    /// Mounts the overlay at `target`, in the mount namespace of the caller.
    ///
    /// The directories are given by descriptor, since paths may be long, and hold colons and commas. mount(2) takes
    /// a page of options, where fsconfig(2) takes 256 bytes a parameter. The descriptors are opened here and not by the
    /// command, since the kernel refuses layers of another mount namespace (Linux 5.14, CVE-2021-3732).
    ///
    /// # Errors
    /// Names the layer that cannot be opened; those of mount(2).
    pub fn mount(&self, target: &Path) -> Result<()> {
        let open = |path: &CString| -> Result<(String, OwnedFd)> {
            let fd = mount::open_path(path).context(|| format!("cannot open {path:?}"))?;
            Ok((format!("/proc/self/fd/{}", fd.as_raw_fd()), fd))
        };
        let layers = self.layers.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (upper, work) = (open(&self.upper)?, open(&self.work)?);
        let names: Vec<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
        // volatile: nothing of it outlives the container, so nothing of it is ever synced to the disk.
        let options =
            format!("lowerdir={},upperdir={},workdir={},volatile", names.join(":"), upper.0, work.0);
        nix::mount::mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .context(|| format!("cannot mount {} layers at {target:?}", layers.len()))
            .map_err(hint)
    }
}

fn hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENODEV) => error.hint("the kernel has no overlayfs: modprobe overlay"),
        Some(libc::EINVAL) => error.hint(
            "the data root must lie on a file system that can hold an overlay's upper layer, such as ext4, xfs or \
             btrfs, and not on an overlay: see --data-root",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_writable_layer_is_fresh_and_looks_like_the_top_one() {
        let top = std::env::temp_dir().join(format!("podrun-overlay-{}", std::process::id()));
        let layer = top.join("layer");
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::set_permissions(&layer, PermissionsExt::from_mode(0o1751)).unwrap();
        let root = |count| OverlayRoot { layers: vec![layer.clone(); count], scratch: top.join("c/0") };
        make(&root(MOST_LAYERS)).unwrap();
        let upper = top.join("c/0").join(scratch::UPPER);
        assert_eq!(std::fs::metadata(&upper).unwrap().mode() & 0o7777, 0o1751);
        std::fs::create_dir(upper.join("left")).unwrap();
        make(&root(1)).unwrap();
        assert!(!upper.join("left").exists() && top.join("c/0").join(scratch::ROOT).is_dir());
        for count in [0, MOST_LAYERS + 1] {
            let error = make(&root(count)).unwrap_err().to_string();
            assert!(error.contains(&format!("of {count} layers")), "{error}");
        }
        let missing = OverlayRoot { layers: vec![PathBuf::from("/no/such")], ..root(1) };
        assert!(make(&missing).unwrap_err().to_string().starts_with("cannot use layer \"/no/such\""));
        std::fs::remove_dir_all(top).unwrap();
    }
}
