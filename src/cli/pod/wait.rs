//! `pod wait`

use super::watch::{self, Watch};
use super::{open, pair, views};
use crate::cli::args::{self, pod_name};
use crate::cli::{Globals, collected, output};
use crate::container::{self, Host};
use crate::error::{Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::model::status::{Phase, PodStatus};
use crate::pod::{self, Pod, PodRef};
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
    /// What to wait for: condition=NAME[=true|false], phase=PHASE or delete
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
    /// That there is none.
    Delete,
}

impl FromStr for Goal {
    type Err = Error;

    /// Names of conditions and phases are compared without regard to case, as kubectl does.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(Kind::Usage, format!("cannot wait for {text:?}: {why}"))
                .hint("write condition=Ready, phase=Succeeded or delete")
        };
        match text.split_once('=') {
            None if text == "delete" => Ok(Self::Delete),
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
    fn is_reached_by(&self, host: &Host, pod: &Pod) -> Result<bool> {
        match (pair::status(host, pod)?, self) {
            (Some(status), _) => Ok(self.is_reached(&status)),
            (None, Self::Phase(phase)) => Ok(pod.phase(&views(pod, &container::list(host)?))? == *phase),
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
            Self::Delete => false,
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
                    if self.goal.is_reached_by(host, &pod)? {
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
                return Err(Error::host(format!(
                    "timed out waiting for the condition on pods/{}",
                    reference.name
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples::{ended, running, status, waiting};

    #[test]
    fn goals() {
        let table = [
            ("condition=Ready", Goal::Condition("Ready", true)),
            ("condition=ready=False", Goal::Condition("Ready", false)),
            ("condition=ContainersReady=true", Goal::Condition("ContainersReady", true)),
            ("phase=succeeded", Goal::Phase(Phase::Succeeded)),
            ("delete", Goal::Delete),
        ];
        for (text, goal) in table {
            assert_eq!(text.parse::<Goal>().unwrap(), goal, "{text}");
        }
        for bad in
            ["", "Ready", "condition=", "condition=Happy", "condition=Ready=maybe", "phase=Done", "delete=1"]
        {
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
