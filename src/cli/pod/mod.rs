//! The pod face: bare pods, manifest pods, and what their containers are seen to do.
//!
//! `pod` knows no containers and `container` no pods; here the two are brought together. What a manifest pod's containers
//! do is its supervisor's business, which commands ask and whose status they read.

pub mod apply;
pub mod backoff;
pub mod choose;
pub mod create;
pub mod delete;
pub mod describe;
mod details;
pub mod events;
pub mod exec;
mod follow;
mod foreground;
pub mod kill;
pub mod list;
pub mod logs;
mod make;
mod manifests;
mod object;
mod pair;
mod remove;
pub mod run;
#[cfg(test)]
mod samples;
pub mod start;
pub mod state;
pub mod stop;
pub mod wait;
mod watch;

use super::args::pod_name;
use super::{Globals, collected};
use crate::container::{self, Host, PodToJoin, State, Status};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::model::ids::{PodName, PodNamespace, PodUid};
use crate::model::sandbox::{ContainerStatus, ContainerView, Sandbox};
use crate::model::status::PodStatus;
use crate::pod::{self, Pod, PodKind, PodRef};
use crate::report;
use clap::Subcommand;
use std::time::{SystemTime, UNIX_EPOCH};

/// Run pods, look at them and remove them
///
/// A pod is a set of namespaces, volumes and a cgroup that a pause process holds and containers join. A manifest pod has
/// its containers from a Kubernetes manifest, and a supervisor that runs them; into a bare pod the caller puts containers.
#[derive(Debug, PartialEq, Subcommand)]
#[command(
    defer = true,
    after_help = "Example:\n  podrun pod run -f shop.yaml\n  podrun pod apply -f shop.yaml\n  podrun pod logs shop"
)]
#[expect(missing_docs, reason = "each command is described at its Args, which is its help too")]
pub enum PodCommand {
    Run(run::RunArgs),
    Apply(apply::ApplyArgs),
    Create(create::CreateArgs),
    Start(start::StartArgs),
    Stop(stop::StopArgs),
    Kill(kill::KillArgs),
    #[command(visible_alias = "rm")]
    Delete(delete::DeleteArgs),
    #[command(visible_aliases = ["get", "ls", "ps"])]
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Events(events::EventsArgs),
    State(state::StateArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Wait(wait::WaitArgs),
}

impl PodCommand {
    /// Does it.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Self::Run(args) => args.run(globals),
            Self::Apply(args) => args.run(globals),
            Self::Create(args) => args.run(globals),
            Self::Start(args) => args.run(globals),
            Self::Stop(args) => args.run(globals),
            Self::Kill(args) => args.run(globals),
            Self::Delete(args) => args.run(globals),
            Self::List(args) => args.run(globals),
            Self::Describe(args) => args.run(globals),
            Self::Events(args) => args.run(globals),
            Self::State(args) => args.run(globals),
            Self::Logs(args) => args.run(globals),
            Self::Exec(args) => args.run(globals),
            Self::Wait(args) => args.run(globals),
        }
    }
}

/// Does something to the pod of every manifest, in order. One that fails does not stop the others, as with kubectl.
fn collected_pods(
    verb: &str,
    manifests: &[Manifest],
    work: impl FnMut(&Manifest) -> Result<()>,
) -> Result<()> {
    let errors = manifests.iter().map(work).filter_map(Result::err).collect();
    collected(|count| format!("cannot {verb} {count} of {} pods", manifests.len()), errors)
}

/// Opens the pod of that name.
///
/// # Errors
/// As [`pod::open`]; where a pod of that name is in another namespace, the hint says so.
fn open(host: &Host, reference: &PodRef) -> Result<Pod> {
    match pod::open(&host.layout, reference) {
        Err(error) if error.kind() == Kind::NotFound => Err(not_found(host, reference)),
        other => other,
    }
}

/// There is no such pod; perhaps there is one in another namespace.
fn not_found(host: &Host, reference: &PodRef) -> Error {
    let error = Error::not_found(format!("pods {:?} not found", reference.name.as_str()));
    let pods = pod::list(&host.layout).unwrap_or_default();
    match pods.iter().find(|pod| *pod.name() == reference.name) {
        Some(other) => error.hint(format!("namespace {0:?} has one: -n {0}", other.namespace().as_str())),
        None => error,
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
    /// Opens the pod.
    fn find(&self, host: &Host) -> Result<Pod> {
        let reference = PodRef { namespace: self.namespace.clone(), name: self.pod.clone() };
        open(host, &reference)
    }

    /// Opens the pod and looks at its containers, with a new pause or supervisor if the old one was killed.
    fn open(&self, host: &Host) -> Result<Seen> {
        let pod = self.find(host)?;
        Ok(Seen::new(host, pod, &container::list(host)?))
    }
}

/// A pod and what its containers do.
#[derive(Debug)]
struct Seen {
    pod: Pod,
    containers: Vec<ContainerView>,
    /// What its supervisor says; none of a bare pod, and of one that is just being made.
    status: Option<PodStatus>,
}

impl Seen {
    /// `all` may hold containers of others.
    fn new(host: &Host, mut pod: Pod, all: &[State]) -> Self {
        let containers = views(&pod, all);
        // A status that cannot be understood is told of by whoever shows the pod's state.
        let status = pair::status(host, &pod).unwrap_or_default();
        if pod.kind() == PodKind::Bare
            && let Err(error) = pod.heal(&containers)
        {
            // Whoever only wants to look is still shown the pod as it is.
            report::warn(&error.to_string());
        }
        Self { pod, containers, status }
    }
}

/// The containers of the pod.
fn views(pod: &Pod, all: &[State]) -> Vec<ContainerView> {
    let Some(uid) = pod.uid() else { return Vec::new() };
    // The first record of a container does not name the pod yet; of a manifest pod its id does.
    let ours = |state: &&State| {
        state.pod.as_ref() == Some(uid) || state.pod.is_none() && name_and_restart(uid, &state.id).is_some()
    };
    all.iter().filter(ours).map(|state| view(uid, state)).collect()
}

/// Name and number of a manifest pod's container, whose id is `<pod-uid>.<name>.<restart>`.
fn name_and_restart<'a>(uid: &PodUid, id: &'a str) -> Option<(&'a str, u32)> {
    let (name, restart) = id.strip_prefix(uid.as_str())?.strip_prefix('.')?.rsplit_once('.')?;
    Some((name, restart.parse().ok()?))
}

fn view(uid: &PodUid, state: &State) -> ContainerView {
    let status = match state.status {
        Status::Creating | Status::Created => ContainerStatus::Created,
        Status::Running => ContainerStatus::Running,
        Status::Paused => ContainerStatus::Paused,
        Status::Stopped => ContainerStatus::Stopped,
    };
    let (name, restart_count) = name_and_restart(uid, &state.id).unwrap_or((&state.id, 0));
    ContainerView {
        name: name.to_owned(),
        id: state.id.clone(),
        pid: (state.pid > 0).then_some(state.pid),
        status,
        exit_code: None, // init's parent is the caller's subreaper, which alone is told
        restart_count,
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
            let mut pod = open(self.host, &self.reference)?;
            if pod.kind() == PodKind::Manifest {
                return Err(Error::user("it was made from a manifest, which alone says what runs in it")
                    .hint("make a bare pod: podrun pod create NAME"));
            }
            match pod.sandbox() {
                Ok(sandbox) => Ok(sandbox),
                // Containers are looked at in this case alone: usually the pause is there.
                Err(_) if pod.heal(&views(&pod, &container::list(self.host)?))? => pod.sandbox(),
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
