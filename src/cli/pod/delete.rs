//! `pod delete`

use super::manifests::{self, Reading};
use super::remove::{self, How};
use super::{open, stop};
use crate::cli::args::pod_name;
use crate::cli::{Globals, collected, output};
use crate::container::Host;
use crate::error::{Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::pod::PodRef;
use std::path::PathBuf;

/// Stop pods and remove everything of theirs
///
/// Containers get their stop signal, after the grace period SIGKILL. When this returns, containers, supervisor, pause,
/// mounts, cgroups, volumes and logs are gone; what a hostPath volume showed stays.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun pod delete shop\n  podrun pod delete --force shop stall\n  podrun pod delete -f \
    shop.yaml"
)]
pub struct DeleteArgs {
    /// Kill at once; a pod that is not there is no error
    #[arg(long)]
    pub force: bool,
    /// Seconds that containers have to end by themselves; the manifest's, or 30, if left out or below 0
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<i64>,
    /// The same as --grace-period 1
    #[arg(long, conflicts_with_all = ["force", "grace_period"])]
    pub now: bool,
    /// The pods: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", required_unless_present = "file", value_parser = pod_name)]
    pub pods: Vec<PodName>,
    /// Manifest that names the pods; - is stdin
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with = "pods")]
    pub file: Option<PathBuf>,
    /// Namespace of the names, and of manifests that have none
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<PodNamespace>,
}

impl DeleteArgs {
    /// Deletes every pod, also when one of them fails, and says so.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let how = self.how()?;
        let pods = self.references()?;
        let errors = pods.iter().filter_map(|pod| self.delete(&host, pod, how).err()).collect();
        collected(|count| format!("cannot delete {count} of {} pods", pods.len()), errors)?;
        Ok(0)
    }

    fn how(&self) -> Result<How> {
        match (self.force, stop::seconds(self.grace_period)) {
            (true, Some(1..)) => Err(Error::new(
                Kind::Usage,
                "--force and --grace-period greater than 0 cannot be specified together",
            )),
            (true, _) => Ok(How::Forced),
            (false, _) if self.now => Ok(How::Gracefully(Some(1))),
            (false, grace) => Ok(How::Gracefully(grace)),
        }
    }

    fn references(&self) -> Result<Vec<PodRef>> {
        let namespace = self.namespace.clone().map_or_else(|| "default".parse(), Ok)?;
        let Some(file) = &self.file else {
            let reference = |name: &PodName| PodRef { namespace: namespace.clone(), name: name.clone() };
            return Ok(self.pods.iter().map(reference).collect());
        };
        let reading = Reading {
            namespace: self.namespace.as_ref(),
            ignore_unsupported: true,
            names_only: true,
            ..Reading::default()
        };
        Ok(manifests::read_all(file, reading)?.iter().map(super::make::reference).collect())
    }

    fn delete(&self, host: &Host, reference: &PodRef, how: How) -> Result<()> {
        let mut pod = match open(host, reference) {
            Err(error) if error.kind() == Kind::NotFound && self.force => return Ok(()),
            other => other?,
        };
        match remove::remove(host, &mut pod, how) {
            // Another command was faster.
            Err(error) if error.kind() == Kind::NotFound && self.force => return Ok(()),
            other => other?,
        }
        let word = if how == How::Forced { "force deleted" } else { "deleted" };
        output::print(&format!("pod {:?} {word}\n", reference.name.as_str()))
    }
}
