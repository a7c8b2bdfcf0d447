//! The process: what runs, as whom, with which environment.

use super::{Request, resources};
use crate::error::{Error, Result};
use crate::model::image::ImageConfig;
use crate::model::podspec::{ContainerSpec, SecurityContext};
use crate::model::signal::Signal;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, User};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whom the container's program runs as, in the form of an image's `USER`, to be resolved by the image's files.
///
/// A `runAsUser` takes the place of the image's user and group; a `runAsGroup` that of the group alone.
pub fn user_to_resolve(security: &SecurityContext, image: &ImageConfig) -> String {
    let user = security.run_as_user.map_or_else(|| image.user.clone(), |uid| uid.to_string());
    match security.run_as_group {
        None => user,
        Some(gid) => {
            let name = user.split(':').next().filter(|name| !name.is_empty()).unwrap_or("0");
            format!("{name}:{gid}")
        }
    }
}

/// The signal that asks the image's program to end.
pub fn stop_signal(image: &ImageConfig, warnings: &mut Vec<String>) -> i32 {
    match image.stop_signal.as_str() {
        "" => libc::SIGTERM,
        text => match text.parse::<Signal>() {
            Ok(Signal(number)) if number > 0 => number,
            _ => {
                warnings.push(format!("the image's stop signal {text:?} is unknown; SIGTERM is used"));
                libc::SIGTERM
            }
        },
    }
}

/// The `process` of the spec.
///
/// # Errors
/// When there is no command, or the user must not be root and is.
pub fn build(request: &Request<'_>, capabilities: &Capabilities) -> Result<Process> {
    let Request { pod, container, hostname, image, user, facts, .. } = *request;
    let security = &container.security;
    refuse_root(security, image, user.uid)?;
    let mut owner = User::default();
    owner
        .set_uid(user.uid)
        .set_gid(user.gid)
        .set_umask(None)
        .set_username(None)
        .set_additional_gids((!user.groups.is_empty()).then(|| user.groups.clone()));
    // Neither inheritable nor ambient: a program of another user than root would get them through execve(2), which
    // nobody expects of a container (CVE-2022-24769).
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(capabilities.clone()))
        .set_effective(Some(capabilities.clone()))
        .set_permitted(Some(capabilities.clone()))
        .set_inheritable(None)
        .set_ambient(None);
    let mut process = Process::default();
    process
        .set_terminal(Some(container.tty))
        .set_console_size(None)
        .set_user(owner)
        .set_args(Some(arguments(container, image)?))
        .set_env(Some(environment(hostname, container, image)))
        .set_cwd(directory(container, image))
        .set_capabilities(Some(sets))
        .set_rlimits(None)
        .set_no_new_privileges(Some(!security.allow_privilege_escalation))
        .set_apparmor_profile(None)
        .set_selinux_label(None)
        .set_oom_score_adj(Some(resources::oom_score(pod, container, facts)));
    Ok(process)
}

/// Kubernetes' table: a command takes the place of the image's Entrypoint and Cmd, args alone that of its Cmd.
fn arguments(container: &ContainerSpec, image: &ImageConfig) -> Result<Vec<String>> {
    let program = if container.command.is_empty() { &image.entrypoint } else { &container.command };
    let rest = match (container.command.is_empty(), container.args.is_empty()) {
        (true, true) => &image.cmd,
        _ => &container.args,
    };
    if program.is_empty() && rest.is_empty() {
        return Err(Error::user(format!(
            "no command specified: the manifest has none, and image {:?} has neither Entrypoint nor Cmd",
            container.image
        ))
        .hint("set the container's command"));
    }
    Ok([program.as_slice(), rest.as_slice()].concat())
}

/// The later wins: podrun's own, the image's, the manifest's. HOME is completed in the container, by its passwd.
fn environment(hostname: &str, container: &ContainerSpec, image: &ImageConfig) -> Vec<String> {
    let mut variables = vec![("PATH", DEFAULT_PATH)];
    if container.tty {
        variables.push(("TERM", "xterm"));
    }
    variables.push(("HOSTNAME", hostname));
    variables.extend(image.env.iter().filter_map(|pair| pair.split_once('=')));
    variables.extend(container.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let last: HashMap<&str, &str> = variables.iter().copied().collect();
    let mut seen = HashSet::new();
    let first_of_name = variables.iter().filter(|(name, _)| seen.insert(*name));
    first_of_name.map(|(name, _)| format!("{name}={}", last[name])).collect()
}

fn directory(container: &ContainerSpec, image: &ImageConfig) -> PathBuf {
    let wanted = container.working_dir.as_deref().unwrap_or(&image.working_dir);
    PathBuf::from("/").join(wanted)
}

/// `runAsNonRoot`, in the kubelet's words: a name is refused even where the image's passwd makes it another uid, for so
/// it would be on a cluster.
fn refuse_root(security: &SecurityContext, image: &ImageConfig, uid: u32) -> Result<()> {
    if !security.run_as_non_root {
        return Ok(());
    }
    let (problem, hint) = match (security.run_as_user, uid) {
        (Some(0), _) => (
            "container's runAsUser breaks non-root policy".to_owned(),
            "set securityContext.runAsUser to another uid than 0",
        ),
        (Some(_), _) => return Ok(()),
        (None, 0) => (
            "container has runAsNonRoot and image will run as root".to_owned(),
            "set securityContext.runAsUser to another uid than 0",
        ),
        (None, _) => {
            let name = image.user.split(':').next().unwrap_or_default();
            if name.parse::<u32>().is_ok() {
                return Ok(());
            }
            (
                format!(
                    "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
                ),
                "set securityContext.runAsUser to the user's uid",
            )
        }
    };
    Err(Error::user(problem).hint(hint))
}
