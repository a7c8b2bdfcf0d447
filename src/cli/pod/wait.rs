//! `pod wait`

use super::list::Row;
use super::watch::{self, Watch};
use super::{Seen, open, pair, views};
use crate::cli::args::{self, pod_name};
use crate::cli::{Globals, collected, output};
use crate::container::{self, Host};
use crate::error::{Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::model::status::{Phase, PodStatus};
use crate::pod::{self, Pod, PodRef};
use crate::state::atomic;
use serde_json::Value;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long a pod without a supervisor is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Wait until pods are ready, have ended or are gone
///
/// Looks at the pods one after another, all within the same time-out.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun pod wait shop --for=condition=Ready --timeout 60s\n  podrun pod wait job \
    --for=phase=Succeeded"
)]
pub struct WaitArgs {
    /// What to wait for: condition=NAME[=true|false], phase=PHASE, jsonpath={.PATH}[=VALUE], create or delete
    #[arg(long = "for", value_name = "WHAT")]
    pub goal: Goal,
    /// How long, such as 90s or 1m30s; 0 looks once, less waits for a week
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = timeout, allow_hyphen_values = true)]
    pub timeout: Duration,
    /// The pods: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", required = true, value_parser = pod_name)]
    pub pods: Vec<PodName>,
    /// Their namespace
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A condition, by the name that Kubernetes gives it, and whether it is to hold.
    Condition(&'static str, bool),
    /// A phase.
    Phase(Phase),
    /// That a field of the v1.Pod is there, or has this value.
    Field(Vec<Step>, Option<String>),
    /// That there is one.
    Create,
    /// That there is none.
    Delete,
}

/// A step into an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the field of that name.
    Name(String),
    /// To the item of that number.
    Item(usize),
}

/// Reads `{.status.containerStatuses[0].ready}`, the braces and the first dot being optional, as with kubectl.
fn json_path(text: &str) -> Option<Vec<Step>> {
    let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let mut steps = Vec::new();
    for part in inner.strip_prefix('.').unwrap_or(inner).split('.') {
        let (name, items) = part.split_once('[').map_or((part, None), |(name, items)| (name, Some(items)));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return None;
        }
        steps.push(Step::Name(name.to_owned()));
        for item in items.into_iter().flat_map(|items| items.split('[')) {
            steps.push(Step::Item(item.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// Where the steps lead to.
fn follow<'a>(object: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(object, |value, step| match step {
        Step::Name(name) => value.get(name),
        Step::Item(index) => value.get(index),
    })
}

/// Whether a field that may be there has that value, where one is wanted.
fn is_field(found: Option<&Value>, wanted: Option<&str>) -> bool {
    match (found, wanted) {
        (None | Some(Value::Null), _) => false,
        (Some(_), None) => true,
        (Some(Value::String(text)), Some(wanted)) => text == wanted,
        (Some(other), Some(wanted)) => other.to_string().as_str() == wanted,
    }
}

impl FromStr for Goal {
    type Err = Error;

    /// Names of conditions and phases are compared without regard to case, as kubectl does.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(Kind::Usage, format!("cannot wait for {text:?}: {why}")).hint(
                "write condition=Ready, phase=Succeeded, jsonpath={.status.phase}=Running, create or delete",
            )
        };
        match text.split_once('=') {
            None if text == "delete" => Ok(Self::Delete),
            None if text == "create" => Ok(Self::Create),
            Some(("jsonpath", path)) => {
                let (path, value) =
                    path.split_once('=').map_or((path, None), |(path, value)| (path, Some(value)));
                let path = json_path(path).ok_or_else(|| refuse("only names and [index] lead to a field"))?;
                Ok(Self::Field(path, value.map(str::to_owned)))
            }
            Some(("condition", condition)) => {
                let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
                let known =
                    ["Ready", "ContainersReady", "Initialized", "PodScheduled", "PodReadyToStartContainers"];
                let name = known.into_iter().find(|known| known.eq_ignore_ascii_case(name));
                let name = name.ok_or_else(|| refuse("a pod has no such condition"))?;
                match value.to_ascii_lowercase().as_str() {
                    "true" => Ok(Self::Condition(name, true)),
                    "false" => Ok(Self::Condition(name, false)),
                    _ => Err(refuse("a condition is true or false")),
                }
            }
            Some(("phase", phase)) => {
                let known = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed];
                let found = known.into_iter().find(|known| format!("{known:?}").eq_ignore_ascii_case(phase));
                found.map(Self::Phase).ok_or_else(|| refuse("there is no such phase"))
            }
            _ => Err(refuse("it is not known")),
        }
    }
}

/// A negative span means a week, as with kubectl.
fn timeout(text: &str) -> Result<Duration> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    match text.strip_prefix('-') {
        Some("0") => Ok(Duration::ZERO),
        Some(positive) => timeout(positive).map(|_| WEEK),
        None if text == "0" => Ok(Duration::ZERO),
        // kubectl takes a bare number as well, and means seconds.
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => args::duration(&format!("{text}s")),
        None => args::duration(text),
    }
}

impl Goal {
    /// Of a pod without a supervisor, a bare one, nothing but its phase is known.
    fn is_reached_by(&self, host: &Host, pod: Pod) -> Result<bool> {
        match self {
            Self::Create => return Ok(true),
            Self::Field(path, wanted) => {
                let row = Row::new(Seen::new(host, pod, &container::list(host)?))?;
                return Ok(is_field(follow(&row.object(), path), wanted.as_deref()));
            }
            _ => {}
        }
        match (pair::status(host, &pod)?, self) {
            (Some(status), _) => Ok(self.is_reached(&status)),
            (None, Self::Phase(phase)) => Ok(pod.phase(&views(&pod, &container::list(host)?))? == *phase),
            (None, _) => Ok(false),
        }
    }

    fn is_reached(&self, status: &PodStatus) -> bool {
        match self {
            Self::Condition(name, wanted) => status
                .conditions
                .iter()
                .any(|condition| condition.kind.name() == *name && condition.met == *wanted),
            Self::Phase(phase) => status.phase == *phase,
            Self::Field(..) | Self::Create | Self::Delete => false,
        }
    }
}

impl WaitArgs {
    /// Waits for one pod after another and says of each when it is as wanted.
    ///
    /// # Errors
    /// When there is no such pod, or the time is over.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        let now = Instant::now();
        let deadline = now.checked_add(self.timeout).unwrap_or(now);
        let mut errors = Vec::new();
        for name in &self.pods {
            let reference = PodRef { namespace: self.namespace.clone(), name: name.clone() };
            match self.wait_for(&host, &reference, deadline) {
                Ok(()) => output::print(&format!("pod/{name} condition met\n"))?,
                Err(error) => errors.push(error),
            }
        }
        collected(|count| format!("cannot wait for {count} of {} pods", self.pods.len()), errors)?;
        Ok(0)
    }

    fn wait_for(&self, host: &Host, reference: &PodRef, deadline: Instant) -> Result<()> {
        let first = match open(host, reference) {
            Err(error) if error.kind() == Kind::NotFound && self.goal == Goal::Delete => return Ok(()),
            Err(error) if error.kind() == Kind::NotFound && self.goal == Goal::Create => {
                return wait_for_one(host, reference, deadline);
            }
            other => other?,
        };
        let directory = first.uid().map(|uid| host.layout.pod(uid)).unwrap_or_default();
        let watch = Watch::on(&[&directory, &host.layout.pod_names()])?;
        loop {
            // The supervisor is looked for before the pod is: if it has died since, this wakes at once.
            let supervisor = watch::supervisor(&directory).unwrap_or_default();
            match pod::open(&host.layout, reference) {
                Ok(pod) if pod.uid() == first.uid() && self.goal == Goal::Delete => {}
                Ok(pod) if pod.uid() == first.uid() => {
                    if self.goal.is_reached_by(host, pod)? {
                        return Ok(());
                    }
                }
                // It is gone, or another has taken the name.
                Ok(_) if self.goal == Goal::Delete => return Ok(()),
                Err(error) if error.kind() == Kind::NotFound && self.goal == Goal::Delete => return Ok(()),
                Ok(_) => {
                    return Err(Error::not_found(format!("pods {:?} not found", reference.name.as_str())));
                }
                Err(error) => return Err(error),
            }
            // A supervisor that could not be started is tried again now and then.
            let retry = if supervisor.is_none() { Instant::now() + RETRY } else { deadline };
            let news = watch.next(supervisor.as_ref().map(AsFd::as_fd), deadline.min(retry))?;
            if !news && Instant::now() >= deadline {
                return Err(timed_out(reference));
            }
        }
    }
}

fn timed_out(reference: &PodRef) -> Error {
    Error::host(format!("timed out waiting for the condition on pods/{}", reference.name))
}

/// Waits until somebody makes the pod.
fn wait_for_one(host: &Host, reference: &PodRef, deadline: Instant) -> Result<()> {
    let names = host.layout.pod_names();
    atomic::make_directories(&names)?;
    let watch = Watch::on(&[])?;
    watch.names(&names)?;
    loop {
        match pod::open(&host.layout, reference) {
            Err(error) if error.kind() == Kind::NotFound => {}
            other => return other.map(drop),
        }
        if !watch.next(None, deadline)? {
            return Err(timed_out(reference));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples::{ended, running, status, waiting};

    #[test]
    fn goals() {
        let name = |text: &str| Step::Name(text.into());
        let table = [
            ("condition=Ready", Goal::Condition("Ready", true)),
            ("condition=ready=False", Goal::Condition("Ready", false)),
            ("condition=ContainersReady=true", Goal::Condition("ContainersReady", true)),
            ("phase=succeeded", Goal::Phase(Phase::Succeeded)),
            ("delete", Goal::Delete),
            ("create", Goal::Create),
            (
                "jsonpath={.status.phase}=Running",
                Goal::Field(vec![name("status"), name("phase")], Some("Running".into())),
            ),
            (
                "jsonpath=.a.b[2][0].c",
                Goal::Field(vec![name("a"), name("b"), Step::Item(2), Step::Item(0), name("c")], None),
            ),
        ];
        for (text, goal) in table {
            assert_eq!(text.parse::<Goal>().unwrap(), goal, "{text}");
        }
        for bad in [
            "",
            "Ready",
            "condition=",
            "condition=Happy",
            "condition=Ready=maybe",
            "phase=Done",
            "delete=1",
            "jsonpath=",
            "jsonpath={.a",
            "jsonpath={.a[x]}=1",
            "jsonpath={.a[?(@.b)]}",
            "jsonpath={..a}",
        ] {
            let error = bad.parse::<Goal>().unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{bad}");
        }
        let up = status(Phase::Running, vec![running()]);
        let coming = status(Phase::Running, vec![running(), waiting("x")]);
        let over = status(Phase::Succeeded, vec![ended("Completed", 0)]);
        let reached = |goal: &str, status| goal.parse::<Goal>().unwrap().is_reached(status);
        assert!(reached("condition=Ready", &up) && !reached("condition=Ready", &coming));
        assert!(reached("condition=Ready=false", &over) && !reached("condition=Ready=false", &up));
        assert!(reached("phase=Succeeded", &over) && !reached("phase=Succeeded", &up));
        assert!(!reached("delete", &over));
    }

    #[test]
    fn fields_of_objects() {
        let object = serde_json::json!({"a": [{"b": true, "c": null, "d": 5, "e": "x"}]});
        let is = |path: &str, wanted| is_field(follow(&object, &json_path(path).unwrap()), wanted);
        assert!(is("a[0].b", Some("true")) && is(".a[0].d", Some("5")) && is("{.a[0].e}", Some("x")));
        assert!(is("a", None) && is("a[0].e", None));
        assert!(!is("a[0].c", None) && !is("a[1]", None) && !is("a.b", None) && !is("a[0].e", Some("y")));
    }

    #[test]
    fn timeouts() {
        let table =
            [("30s", 30), ("0", 0), ("0s", 0), ("5", 5), ("-1s", 604_800), ("-1", 604_800), ("1m30s", 90)];
        for (text, seconds) in table {
            assert_eq!(timeout(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for bad in ["", "-", "x", "5x"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
