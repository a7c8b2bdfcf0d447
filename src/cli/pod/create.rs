//! `pod create`

use crate::cli::args::pod_name;
use crate::cli::{Globals, output};
use crate::container::CgroupManager;
use crate::error::{Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::model::quantity;
use crate::model::volume::VolumeSpec;
use crate::pod::{self, CreateRequest, Network};

/// Make a bare pod: namespaces, volumes, cgroup and pause
///
/// Prints the pod's uid. Containers join it by `podrun create --pod NAME`.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod create shop --memory 256Mi --volume data=emptyDir --volume \
    site=hostPath:/srv/site,type=Directory")]
pub struct CreateArgs {
    /// The pod's name
    #[arg(value_name = "NAME", value_parser = pod_name)]
    pub name: PodName,
    /// Namespace of the name
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
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
    /// Makes the pod and prints its uid.
    ///
    /// # Errors
    /// Those of [`pod::create()`], or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let request = CreateRequest {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
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
        let host = globals.host()?;
        if host.cgroups == CgroupManager::Disabled {
            return Err(Error::user("a pod needs a cgroup").hint("leave out --cgroup-manager disabled"));
        }
        let uid = pod::create(&host.layout, &request)?;
        output::print(&format!("{uid}\n"))?;
        Ok(0)
    }
}
