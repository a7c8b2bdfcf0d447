//! Which images and layers the pods on record use.

use crate::container::Host;
use crate::error::Result;
use crate::image::{Image, InUse};
use crate::model::image::ImageName;
use crate::model::podspec::PodSpec;
use crate::model::status::PodStatus;
use crate::pod::{self, Pod};

/// What `image remove` and `image prune` must leave: the images that pods' containers were made of, and those that they
/// would be made of again. Asked while nobody holds a lease, so that no pod is being made.
///
/// # Errors
/// When the records cannot be read.
pub fn in_use(host: &Host, images: &[Image]) -> Result<InUse> {
    let mut used = InUse::default();
    for pod in pod::list(&host.layout)? {
        let (names, ids) = wanted(&pod);
        let is_wanted =
            |image: &&Image| ids.contains(&image.id) || names.iter().any(|name| is_called(image, name));
        for image in images.iter().filter(is_wanted) {
            used.images.entry(image.id.clone()).or_insert_with(|| format!("pod {:?}", pod.name().as_str()));
            used.layers.extend(image.layers.iter().cloned());
        }
    }
    Ok(used)
}

/// Names in the pod's manifest and ids in its status; none of a bare or a half-made pod.
fn wanted(pod: &Pod) -> (Vec<ImageName>, Vec<String>) {
    let spec = pod.spec().ok();
    let status = pod.status().ok().flatten();
    let names =
        spec.iter().flat_map(PodSpec::all_containers).filter_map(|container| container.image.parse().ok());
    let ids =
        status.iter().flat_map(PodStatus::all_containers).filter_map(|container| container.image_id.clone());
    (names.collect(), ids.collect())
}

/// Whether the name leads to the image: a digest alone says which, where there is one.
fn is_called(image: &Image, name: &ImageName) -> bool {
    match name.digest() {
        Some(digest) => image.digests.iter().any(|known| known == digest),
        None => image.names.contains(name),
    }
}
