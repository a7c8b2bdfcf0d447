//! `pod create`

use super::backoff::BackoffArgs;
use super::manifests::{self, Reading};
use super::{collected_pods, make};
use crate::cli::args::pod_name;
use crate::cli::{Globals, output};
use crate::container::{CgroupManager, Host};
use crate::error::{Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::model::quantity;
use crate::model::volume::VolumeSpec;
use crate::pod::{self, CreateRequest, Network};
use std::path::{Path, PathBuf};

/// Make a pod, from a manifest or a bare one
///
/// With --filename the pods of a manifest are made, containers and all, and wait for `podrun pod start`. With NAME a bare
/// pod is made (namespaces, volumes, cgroup and pause), whose uid is printed; containers join it by `podrun create --pod
/// NAME`.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    override_usage = "podrun pod create --filename <FILE>\n       podrun pod create [OPTIONS] <NAME>",
    after_help = "Example:\n  podrun pod create -f shop.yaml\n  podrun pod create shop --memory 256Mi --volume \
        data=emptyDir --volume site=hostPath:/srv/site,type=Directory"
)]
pub struct CreateArgs {
    /// The bare pod's name
    #[arg(value_name = "NAME", value_parser = pod_name, required_unless_present = "file")]
    pub name: Option<PodName>,
    /// Manifest of one or more pods, in YAML or JSON; - is stdin
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with_all = ["name", "hostname", "network",
        "volumes", "share_pid", "sysctls", "cgroup_parent", "memory", "cpus", "pids"])]
    pub file: Option<PathBuf>,
    /// Warn of fields of the manifest that are not supported yet, and go on
    #[arg(long, conflicts_with = "name")]
    pub ignore_unsupported: bool,
    /// How soon crashed containers are started again.
    #[command(flatten)]
    pub backoff: BackoffArgs,
    /// Namespace of the name, and of manifests that have none
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<PodNamespace>,
    /// Host name; the pod's name if there is none
    #[arg(long, value_name = "HOSTNAME")]
    pub hostname: Option<String>,
    /// Network: none (loopback alone) or host
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    pub network: Network,
    /// Volumes to make or find.
    #[arg(
        long = "volume",
        value_name = "NAME=SOURCE",
        help = "Add a volume: NAME=emptyDir[,medium=Memory][,sizeLimit=64Mi] or NAME=hostPath:SRC[,type=T]"
    )]
    pub volumes: Vec<VolumeSpec>,
    /// Let all containers see each other's processes
    #[arg(long)]
    pub share_pid: bool,
    /// Set a kernel parameter of the pod's namespaces
    #[arg(long = "sysctl", value_name = "NAME=VALUE", value_parser = sysctl)]
    pub sysctls: Vec<(String, String)>,
    /// Cgroup to make the pod's below
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
    /// Most memory of the whole pod, such as 64Mi
    #[arg(long, value_name = "QUANTITY", value_parser = quantity::bytes)]
    pub memory: Option<u64>,
    /// Most CPUs of the whole pod, such as 1.5 or 500m
    #[arg(long, value_name = "QUANTITY", value_parser = quantity::millis)]
    pub cpus: Option<u64>,
    /// Most processes of the whole pod
    #[arg(long, value_name = "N")]
    pub pids: Option<u64>,
}

fn sysctl(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(Kind::Usage, format!("{text:?} has no value"))
            .hint("write it like net.core.somaxconn=1024")),
    }
}

impl CreateArgs {
    /// Makes the pods and says so.
    ///
    /// # Errors
    /// Those of [`pod::create()`] and of making a manifest pod, or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host()?;
        match (&self.file, &self.name) {
            (Some(file), _) => self.of_manifests(&host, file)?,
            (None, Some(name)) => self.bare(&host, name)?,
            (None, None) => return Err(Error::new(Kind::Usage, "neither a manifest nor a name is given")),
        }
        Ok(0)
    }

    fn of_manifests(&self, host: &Host, file: &Path) -> Result<()> {
        let reading = Reading {
            namespace: self.namespace.as_ref(),
            ignore_unsupported: self.ignore_unsupported,
            backoff: self.backoff.times()?,
            ..Reading::default()
        };
        let manifests = manifests::read(file, reading)?;
        let _lease = make::check_all(host, &manifests)?;
        collected_pods("create", &manifests, |manifest| {
            let pod = make::make(host, manifest)?;
            output::print(&format!("pod/{} created\n", pod.name()))
        })
    }

    fn bare(&self, host: &Host, name: &PodName) -> Result<()> {
        if self.backoff.is_given() {
            return Err(Error::new(Kind::Usage, "a bare pod's containers are not started again by podrun")
                .hint("give a manifest with --filename, or leave out --backoff-base, --backoff-max and --backoff-reset"));
        }
        let request = CreateRequest {
            name: name.clone(),
            namespace: self.namespace.clone().map_or_else(|| "default".parse(), Ok)?,
            hostname: self.hostname.clone(),
            network: self.network,
            volumes: self.volumes.clone(),
            share_pid: self.share_pid,
            sysctls: self.sysctls.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            memory_bytes: self.memory,
            cpu_millis: self.cpus,
            cpu_shares: None,
            pids: self.pids,
        };
        if host.cgroups == CgroupManager::Disabled {
            return Err(Error::user("a pod needs a cgroup").hint("leave out --cgroup-manager disabled"));
        }
        let uid = pod::create(&host.layout, &request)?;
        output::print(&format!("{uid}\n"))
    }
}
