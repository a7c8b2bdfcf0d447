//! The runtime spec of a manifest pod's container, from what the manifest asks for and what its image says, as the
//! kubelet and its container runtime make it together.
//!
//! ```text
//! process        program, environment, directory, user
//! capabilities   the default set, and what is added and dropped
//! filesystem     mounts, hidden paths
//! resources      limits, devices, the OOM killer's preference
//! seccomp        podrun's own RuntimeDefault profile
//! facts          what has to be known of the host for all that; the only part that looks at it
//! ```
//!
//! Not here: the pod's namespaces, files, volumes and cgroup. They come in when the container joins the pod
//! ([`crate::container::sandbox`]): net, ipc and uts stand here without a path, and mean the pod's.
//!
//! [`build`] is pure: the same arguments give the same spec.

mod capabilities;
mod facts;
mod filesystem;
mod process;
mod resources;
mod seccomp;
#[cfg(test)]
mod tests;

pub use facts::{Facts, host_devices};
pub use process::user_to_resolve;
pub use resources::{cpu_shares, limits};

use crate::error::{Context, Result};
use crate::image::user::User;
use crate::model::image::ImageConfig;
use crate::model::podspec::{ContainerSpec, PodSpec, SeccompProfile};
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Root, Spec};
use std::collections::HashMap;

/// What the spec calls its version.
const SPEC_VERSION: &str = "1.2.0";

/// What a spec is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The pod.
    pub pod: &'a PodSpec,
    /// One of its containers.
    pub container: &'a ContainerSpec,
    /// The hostname that its processes see: the pod's or, with `hostNetwork`, the host's.
    pub hostname: &'a str,
    /// The container's image.
    pub image: &'a ImageConfig,
    /// [`user_to_resolve`], resolved by the image's files.
    pub user: &'a User,
    /// The host.
    pub facts: &'a Facts,
}

/// A container's runtime spec, and what goes with it.
#[derive(Debug)]
pub struct Built {
    /// The spec, without `linux.seccomp` and with any `root.path`: that is set when the container is made over its
    /// image's layers.
    pub spec: Spec,
    /// The JSON text of `linux.seccomp`; none for no filter.
    pub seccomp: Option<String>,
    /// What the container's init gets when it is to stop.
    pub stop_signal: i32,
    /// What is asked for and cannot be given, one sentence each.
    pub warnings: Vec<String>,
}

/// Makes the spec.
///
/// # Errors
/// For a container without a command, one that must not run as root and would, and an unknown capability.
pub fn build(request: &Request<'_>) -> Result<Built> {
    let title = || format!("cannot make the spec of container {:?}", request.container.name.as_str());
    try_build(request).context(title)
}

fn try_build(request: &Request<'_>) -> Result<Built> {
    let Request { pod, container, image, facts, .. } = *request;
    let security = &container.security;
    let mut warnings = Vec::new();
    let capabilities = capabilities::choose(security, &facts.capabilities, &mut warnings)?;
    // As in Kubernetes, privileged means no filter, whatever else is written.
    let seccomp = match security.seccomp_profile {
        SeccompProfile::RuntimeDefault if !security.privileged => {
            Some(seccomp::default_profile(&capabilities))
        }
        _ => None,
    };
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(security.read_only_root_filesystem));
    let mut spec = Spec::default();
    spec.set_version(SPEC_VERSION.to_owned())
        .set_root(Some(root))
        .set_hostname(None)
        .set_domainname(None)
        .set_hooks(None)
        .set_mounts(Some(filesystem::mounts(security.privileged)))
        .set_process(Some(process::build(request, &capabilities)?))
        .set_linux(Some(linux(request)))
        .set_annotations(Some(HashMap::from([
            ("io.podrun.pod.name".to_owned(), pod.name.to_string()),
            ("io.podrun.pod.namespace".to_owned(), pod.namespace.to_string()),
            ("io.podrun.container.name".to_owned(), container.name.to_string()),
        ])));
    Ok(Built { spec, seccomp, stop_signal: process::stop_signal(image, &mut warnings), warnings })
}

fn linux(request: &Request<'_>) -> Linux {
    let Request { pod, container, facts, .. } = *request;
    let privileged = container.security.privileged;
    let (masked, read_only) = filesystem::covered_paths(privileged);
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(pod, privileged)))
        .set_resources(Some(resources::limits(&container.resources, privileged, facts)))
        .set_devices(privileged.then(|| facts.devices.clone()))
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(read_only))
        .set_rootfs_propagation(None)
        .set_seccomp(None)
        .set_sysctl(None)
        .set_cgroups_path(None)
        .set_uid_mappings(None)
        .set_gid_mappings(None)
        .set_mount_label(None);
    linux
}

/// A privileged container sees the host's cgroups: those who ask for it manage them.
fn namespaces(pod: &PodSpec, privileged: bool) -> Vec<LinuxNamespace> {
    let mut types = vec![
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid, // the pod's, where it shares it
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
    ];
    if !pod.host_network {
        types.push(LinuxNamespaceType::Network);
    }
    if !privileged {
        types.push(LinuxNamespaceType::Cgroup);
    }
    let entry = |kind| {
        let mut entry = LinuxNamespace::default();
        entry.set_typ(kind).set_path(None);
        entry
    };
    types.into_iter().map(entry).collect()
}
