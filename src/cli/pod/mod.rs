//! The pod face: bare pods, and what their containers are seen to do.
//!
//! `pod` knows no containers and `container` no pods; here the two are brought together.

pub mod create;
pub mod delete;
pub mod describe;
pub mod kill;
pub mod list;
pub mod state;

use super::Globals;
use super::args::pod_name;
use crate::container::{self, Host, PodToJoin, State, Status};
use crate::error::{Context, Error, Result};
use crate::model::ids::{PodName, PodNamespace, PodUid};
use crate::model::sandbox::{ContainerStatus, ContainerView, Sandbox};
use crate::pod::{self, Pod, PodRef};
use crate::report;
use clap::Subcommand;

/// Make, look at and remove pods
///
/// A pod is a set of namespaces, volumes and a cgroup that a pause process holds and containers join.
#[derive(Debug, PartialEq, Subcommand)]
#[command(
    defer = true,
    after_help = "Example:\n  podrun pod create shop\n  podrun create --pod shop --bundle web web"
)]
#[expect(missing_docs, reason = "each command is described at its Args, which is its help too")]
pub enum PodCommand {
    Create(create::CreateArgs),
    State(state::StateArgs),
    List(list::ListArgs),
    Kill(kill::KillArgs),
    Delete(delete::DeleteArgs),
    Describe(describe::DescribeArgs),
}

impl PodCommand {
    /// Does it.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Self::Create(args) => args.run(globals),
            Self::State(args) => args.run(globals),
            Self::List(args) => args.run(globals),
            Self::Kill(args) => args.run(globals),
            Self::Delete(args) => args.run(globals),
            Self::Describe(args) => args.run(globals),
        }
    }
}

/// One pod of the command line.
#[derive(Debug, PartialEq, clap::Args)]
pub struct PodArgs {
    /// The pod: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", value_parser = pod_name)]
    pub pod: PodName,
    /// Its namespace
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
}

impl PodArgs {
    /// Opens the pod and looks at its containers, with a new pause if the old one was killed.
    fn open(&self, host: &Host) -> Result<Seen> {
        let reference = PodRef { namespace: self.namespace.clone(), name: self.pod.clone() };
        let pod = pod::open(&host.layout, &reference)?;
        Ok(Seen::new(pod, &container::list(host)?))
    }
}

/// A pod and what its containers do.
#[derive(Debug)]
struct Seen {
    pod: Pod,
    containers: Vec<ContainerView>,
}

impl Seen {
    /// `all` may hold containers of others.
    fn new(mut pod: Pod, all: &[State]) -> Self {
        let containers = views(pod.uid(), all);
        // Whoever only wants to look is still shown the pod as it is.
        if let Err(error) = pod.heal(&containers) {
            report::warn(&error.to_string());
        }
        Self { pod, containers }
    }
}

/// The containers of the pod.
fn views(pod: Option<&PodUid>, all: &[State]) -> Vec<ContainerView> {
    all.iter().filter(|state| pod.is_some() && state.pod.as_ref() == pod).map(view).collect()
}

fn view(state: &State) -> ContainerView {
    let status = match state.status {
        Status::Creating | Status::Created => ContainerStatus::Created,
        Status::Running => ContainerStatus::Running,
        Status::Paused => ContainerStatus::Paused,
        Status::Stopped => ContainerStatus::Stopped,
    };
    ContainerView {
        name: state.id.clone(),
        id: state.id.clone(),
        pid: (state.pid > 0).then_some(state.pid),
        status,
        exit_code: None, // init's parent is the caller's subreaper, which alone is told
        restart_count: 0,
        cgroup_path: state.cgroup_path.clone().unwrap_or_default(),
    }
}

/// A pod that a container is to join, by name.
#[derive(Debug)]
pub struct NamedPod<'a> {
    /// Where to look.
    pub host: &'a Host,
    /// Its name.
    pub reference: PodRef,
}

impl PodToJoin for NamedPod<'_> {
    fn open(&self) -> Result<Sandbox> {
        let open = || {
            let mut pod = pod::open(&self.host.layout, &self.reference)?;
            match pod.sandbox() {
                Ok(sandbox) => Ok(sandbox),
                // Containers are looked at in this case alone: usually the pause is there.
                Err(_) if pod.heal(&views(pod.uid(), &container::list(self.host)?))? => pod.sandbox(),
                Err(error) => Err(error),
            }
        };
        open().context(|| format!("cannot join pod {:?}", self.reference.name.as_str()))
    }

    fn confirm(&self, uid: &PodUid) -> Result<()> {
        let pod = pod::open(&self.host.layout, &self.reference)?;
        // Another pod may have taken the name.
        if pod.uid() == Some(uid) { pod.confirm() } else { Err(Error::user("the pod was deleted")) }
    }
}
