//! Making a manifest pod: what must hold before anything is made, and the order in which its parts are.

use super::{pair, remove};
use crate::cli::{collected, seal};
use crate::container::{CgroupManager, Host};
use crate::error::{Context, Error, Kind, Result};
use crate::image::{Lease, Store};
use crate::manifest::Manifest;
use crate::model::image::ImageName;
use crate::model::podspec::{ContainerSpec, ImagePullPolicy};
use crate::pod::{self, Pod, PodRef};
use crate::report;
use crate::state::layout;
use crate::supervisor::control::{self, Request};
use crate::supervisor::spawn::{self, Executable, Identity};
use std::time::Duration;

/// How long a first supervisor may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Looks at everything of the manifests that can be known to be wrong. Their images stay where they are until the lease
/// is dropped, which is not before their pods are on record.
///
/// # Errors
/// Everything that was found; nothing has been made.
pub fn check_all<'a>(host: &Host, manifests: impl IntoIterator<Item = &'a Manifest>) -> Result<Lease> {
    if host.cgroups == CgroupManager::Disabled {
        return Err(Error::user("a pod needs a cgroup").hint("leave out --cgroup-manager disabled"));
    }
    let store = Store::new(&host.layout);
    let lease = store.lease()?;
    let errors = manifests.into_iter().filter_map(|manifest| check(host, &store, manifest).err()).collect();
    collected(|count| format!("cannot create {count} pods"), errors)?;
    Ok(lease)
}

/// How the pod is named.
pub fn reference(manifest: &Manifest) -> PodRef {
    PodRef { namespace: manifest.spec.namespace.clone(), name: manifest.spec.name.clone() }
}

fn check(host: &Host, store: &Store, manifest: &Manifest) -> Result<()> {
    let name = manifest.spec.name.as_str();
    match pod::open(&host.layout, &reference(manifest)) {
        Ok(_) => {
            return Err(Error::new(Kind::Exists, format!("pods {name:?} already exists")).hint(format!(
                "delete it first, or give this one another name ({})",
                manifest.place("metadata.name")
            )));
        }
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut errors = Vec::new();
    for (field, containers) in
        [("initContainers", &manifest.spec.init_containers), ("containers", &manifest.spec.containers)]
    {
        for (index, container) in containers.iter().enumerate() {
            let place = manifest.place(&format!("spec.{field}[{index}].image"));
            errors.extend(check_image(store, container, &place).err());
        }
    }
    for volume in &manifest.spec.volumes {
        let place = manifest.volume_place(volume);
        errors.extend(pod::check_volume(volume).map_err(|error| at(&error, &place)).err());
    }
    collected(|_| "its manifest cannot be honoured".to_owned(), errors)
        .context(|| format!("cannot create pod {name:?}"))
}

/// Looks whether the images of the containers are there; they stay until the lease is dropped.
///
/// # Errors
/// Everything that was found.
pub fn check_images<'a>(
    host: &Host,
    manifest: &Manifest,
    containers: impl IntoIterator<Item = &'a ContainerSpec>,
) -> Result<Lease> {
    let store = Store::new(&host.layout);
    let lease = store.lease()?;
    let place = manifest.place("spec.containers");
    let errors = containers.into_iter().filter_map(|one| check_image(&store, one, &place).err()).collect();
    collected(|count| format!("the images of {count} containers are not there"), errors)?;
    Ok(lease)
}

fn check_image(store: &Store, container: &ContainerSpec, place: &str) -> Result<()> {
    let title = || format!("container {:?}", container.name.as_str());
    let name = container.image.parse::<ImageName>().context(title).map_err(|error| at(&error, place))?;
    if store.find(&name).context(title)?.is_none() {
        return Err(Error::not_found(format!("image {:?} is not there", container.image))
            .hint(format!("import it: podrun image import TAR {} ({place})", container.image)))
        .context(title);
    }
    if container.image_pull_policy == Some(ImagePullPolicy::Always) {
        report::warn(&format!(
            "{}: pulling is not supported yet, so the local image {:?} is used in spite of imagePullPolicy Always",
            title(),
            container.image
        ));
    }
    Ok(())
}

/// The error with the line of the manifest behind its remedy.
fn at(error: &Error, place: &str) -> Error {
    let remedy =
        error.remedy().map_or_else(|| format!("correct {place}"), |hint| format!("{hint} ({place})"));
    // As text, since the remedy of a cause would win over this one.
    Error::new(error.kind(), error.to_string()).hint(remedy)
}

/// Makes the pod and its containers, which then wait to be started.
///
/// # Errors
/// What the host does not allow, or a container that cannot be made. Nothing is left then.
pub fn make(host: &Host, manifest: &Manifest) -> Result<Pod> {
    let making =
        pod::begin_manifest(&host.layout, pod::Manifest { spec: &manifest.spec, object: &manifest.object })?;
    let uid = making.uid().clone();
    let Executable { path, view } = seal::executable()?;
    let identity = Identity { layout: host.layout.clone(), uid: uid.clone(), executable: path };
    // The supervisor is started while the pause sets itself up.
    let first = spawn::first(&identity, view);
    if let Err(error) = making.finish() {
        drop(spawn::end(&uid));
        return Err(error);
    }
    let mut pod = pod::open(&host.layout, &reference(manifest))?;
    match first.and_then(|reply| make_containers(host, &pod, reply.wait(READY_PATIENCE))) {
        Ok(()) => Ok(pod),
        Err(error) => {
            // Where somebody deletes it meanwhile, that is why, and not what came of it.
            let error = pod.confirm().err().unwrap_or(error);
            if let Err(second) = remove::remove(host, &mut pod, remove::How::Forced) {
                report::warn(&second.to_string());
            }
            Err(error).context(|| format!("cannot create pod {:?}", manifest.spec.name.as_str()))
        }
    }
}

/// `ready` is what came of the supervisor's start.
fn make_containers(host: &Host, pod: &Pod, ready: Result<()>) -> Result<()> {
    match ready {
        // Another command was faster.
        Err(error) if error.kind() != Kind::Exists => return Err(error),
        _ => {}
    }
    match control::ask(&pod.directory()?.join(layout::pod::CONTROL), &Request::Create, None) {
        // The next one is asked again.
        Err(error) if error.kind() == Kind::Died => pair::ask(host, pod, &Request::Create, None),
        other => other,
    }
}
