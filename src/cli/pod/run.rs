//! `pod run`

use super::backoff::BackoffArgs;
use super::foreground::{End, Foreground};
use super::manifests::{self, Reading};
use super::remove::{self, How};
use super::{collected_pods, make, pair};
use crate::cli::{Globals, output};
use crate::container::Host;
use crate::error::{Context, Error, Kind, Result};
use crate::image::Lease;
use crate::manifest::Manifest;
use crate::model::ids::PodNamespace;
use crate::model::status::{ContainerState, Phase, PodStatus};
use crate::pod::Pod;
use crate::supervisor::control::Request;
use std::path::PathBuf;

/// Make the pod of a manifest, start it, and stay until it has ended
///
/// What the containers write is printed as `[container] line`. Ctrl-C stops the pod as its manifest says, a second one
/// kills it. The exit code is 0 if all containers succeeded, else that of the one that failed first.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun pod run -f shop.yaml\n  podrun pod run --rm -f - < job.yaml\n  podrun pod run \
    --detach -f shop.yaml"
)]
pub struct RunArgs {
    /// Manifest in YAML or JSON, with --detach also of several pods; - is stdin
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Return as soon as the containers run, and print the pod's name
    #[arg(short, long)]
    pub detach: bool,
    /// Delete the pod when it has ended
    #[arg(long, conflicts_with = "detach")]
    pub rm: bool,
    /// Warn of fields of the manifest that are not supported yet, and go on
    #[arg(long)]
    pub ignore_unsupported: bool,
    /// How soon crashed containers are started again.
    #[command(flatten)]
    pub backoff: BackoffArgs,
    /// Namespace of manifests that have none
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<PodNamespace>,
}

impl RunArgs {
    /// Runs the pod; the exit code is that of the container that failed first.
    ///
    /// # Errors
    /// When the pod cannot be made or, with --detach, started; what else becomes of it is its exit code.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host()?;
        let reading = Reading {
            namespace: self.namespace.as_ref(),
            ignore_unsupported: self.ignore_unsupported,
            backoff: self.backoff.times()?,
            ..Reading::default()
        };
        let manifests = manifests::read(&self.file, reading)?;
        if !self.detach && manifests.len() > 1 {
            return Err(Error::user(format!("{:?} has {} pods", self.file, manifests.len()))
                .hint("run several pods with --detach, or podrun pod apply"))
            .context(|| "cannot run in the foreground");
        }
        let lease = make::check_all(&host, &manifests)?;
        match &manifests[..] {
            [manifest] if !self.detach => self.run_attached(&host, manifest, lease),
            several => run_detached(&host, several).map(|()| 0),
        }
    }

    fn run_attached(&self, host: &Host, manifest: &Manifest, lease: Lease) -> Result<i32> {
        // From here on signals wait until they are looked for, so that none leaves a half-made pod behind.
        let mut foreground = Foreground::begin()?;
        let mut pod = make::make(host, manifest)?;
        drop(lease);
        let ended = foreground.stay(host, &pod);
        if self.rm {
            match remove::remove(host, &mut pod, How::Forced) {
                // Another command was faster.
                Err(error) if error.kind() == Kind::NotFound => {}
                other => other?,
            }
        }
        let End { status, fault } = ended?;
        let failed = || format!("pod {:?} has failed", pod.name().as_str());
        match status {
            Some(status) => exit_code(&status, fault).context(failed),
            None => Err(Error::not_found(format!("pod {:?} was deleted", pod.name().as_str()))),
        }
    }
}

fn run_detached(host: &Host, manifests: &[Manifest]) -> Result<()> {
    collected_pods("run", manifests, |manifest| {
        let pod = make::make(host, manifest)?;
        output::print(&format!("pod/{} created\n", pod.name()))?;
        start(host, &pod)
    })
}

/// Starts the containers of a pod that was just made.
///
/// # Errors
/// Names the container that cannot be started. The pod stays.
pub fn start(host: &Host, pod: &Pod) -> Result<()> {
    let name = pod.name().as_str();
    pair::ask(host, pod, &Request::Start, None).map_err(|error| {
        // As text, since the remedy of a cause would win over this one.
        let remedy = error.remedy().map_or_else(String::new, |remedy| format!("{remedy}; "));
        Error::new(error.kind(), format!("cannot start pod {name:?}: {error}")).hint(format!(
            "{remedy}the pod stays: see podrun pod describe {name}, or podrun pod delete {name}"
        ))
    })
}

/// 0 where the pod has succeeded, else the exit code of the container that failed first; for a program that could not
/// be executed that of shells, where `fault` says so.
fn exit_code(status: &PodStatus, fault: Option<Kind>) -> Result<i32> {
    if status.phase == Phase::Succeeded {
        return Ok(0);
    }
    // Sidecars are stopped when the others are done: how they end says nothing.
    let deciding = status.all_containers().filter(|container| !container.sidecar);
    let ends = deciding.filter_map(|container| match &container.state {
        ContainerState::Terminated(ended) if ended.exit_code != 0 => Some(ended),
        _ => None,
    });
    // Of several in the same second the first of the manifest.
    match ends.min_by_key(|ended| ended.finished_at) {
        Some(first) => Ok(match fault {
            Some(Kind::NoProgram) if first.started_at.is_none() => 127,
            Some(Kind::NotExecutable) if first.started_at.is_none() => 126,
            _ => first.exit_code,
        }),
        None => {
            let why = status.message.clone().or_else(|| status.reason.clone());
            Err(Error::host(why.unwrap_or_else(|| "nobody knows why".to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples::{ended, status};

    #[test]
    fn the_container_that_failed_first_decides() {
        let at = |code, second| match ended("Error", code) {
            ContainerState::Terminated(ended) => {
                ContainerState::Terminated(crate::model::status::Terminated { finished_at: second, ..ended })
            }
            other => other,
        };
        assert_eq!(exit_code(&status(Phase::Succeeded, vec![at(0, 1)]), None).unwrap(), 0);
        assert_eq!(
            exit_code(&status(Phase::Failed, vec![at(3, 9), at(0, 1), at(137, 5)]), None).unwrap(),
            137
        );
        assert_eq!(exit_code(&status(Phase::Failed, vec![at(3, 5), at(4, 5)]), None).unwrap(), 3);
        let mut absent = status(Phase::Failed, vec![at(128, 5), at(4, 6)]);
        let ContainerState::Terminated(ended) = &mut absent.containers[0].state else { panic!() };
        ended.started_at = None;
        assert_eq!(exit_code(&absent, Some(Kind::NoProgram)).unwrap(), 127);
        assert_eq!(exit_code(&absent, Some(Kind::NotExecutable)).unwrap(), 126);
        assert_eq!(exit_code(&absent, None).unwrap(), 128);
        let broken = PodStatus { message: Some("no pause".into()), ..status(Phase::Failed, vec![]) };
        assert_eq!(exit_code(&broken, None).unwrap_err().to_string(), "no pause");
    }
}
