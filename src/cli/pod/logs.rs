//! `pod logs`

use super::{PodArgs, choose, pair};
use crate::cli::args::duration;
use crate::cli::{Globals, collected};
use crate::error::{Context, Error, Result};
use crate::logs::{self, Query, Reader};
use crate::model::ids::ContainerName;
use crate::model::status::{ContainerState, PodStatus};
use crate::model::time;
use crate::pod::{Pod, PodKind};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Print what a pod's containers have written
///
/// Without a container's name the pod's default one is meant: the one that the annotation
/// kubectl.kubernetes.io/default-container names, else the first.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun pod logs shop --tail 20 --follow\n  podrun pod logs shop -c web --since 5m\n  \
    podrun pod logs shop --all-containers --prefix --timestamps"
)]
pub struct LogsArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
    /// The container
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_containers")]
    pub container: Option<ContainerName>,
    /// All containers, one after another; with --follow as they write
    #[arg(long)]
    pub all_containers: bool,
    /// Print the log of the container's run before the present one
    #[arg(short, long)]
    pub previous: bool,
    /// Go on printing what is written until the container ends
    #[arg(short, long)]
    pub follow: bool,
    /// Print so many lines from the end; -1 prints all
    #[arg(long, value_name = "LINES", default_value_t = -1, allow_negative_numbers = true)]
    pub tail: i64,
    /// Print only what was written in the last span of time, such as 5s, 2m or 3h
    #[arg(long, value_name = "SPAN", value_parser = duration, conflicts_with = "since_time")]
    pub since: Option<Duration>,
    /// Print only what was written since a time, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    pub since_time: Option<Duration>,
    /// Print the time before each line
    #[arg(long)]
    pub timestamps: bool,
    /// Print [pod/POD/CONTAINER] before each line
    #[arg(long)]
    pub prefix: bool,
}

fn point_in_time(text: &str) -> Result<Duration> {
    time::parse_rfc3339_nanos(text.as_bytes())
        .ok_or_else(|| Error::user(format!("{text:?} is no time")).hint("write it like 2026-01-02T03:04:05Z"))
}

/// A run of a container whose log is read.
#[derive(Debug)]
struct Run<'a> {
    container: &'a str,
    restart: u32,
}

impl LogsArgs {
    /// Prints the logs.
    ///
    /// # Errors
    /// When there is no such pod or container, it has not run yet, or its log cannot be read. A reader of stdout that has
    /// gone away is none.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self.print(globals) {
            Err(error) if logs::is_broken_pipe(&error) => Ok(0),
            other => other.map(|()| 0),
        }
    }

    fn print(&self, globals: &Globals) -> Result<()> {
        let host = globals.host_of_existing()?;
        let pod = self.target.find(&host)?;
        if pod.kind() == PodKind::Bare {
            let what = format!("pod {:?} has no logs: it was not made from a manifest", pod.name().as_str());
            return Err(Error::user(what).hint("whoever made its containers has what they write"));
        }
        let spec = pod.spec()?;
        let containers = if self.all_containers {
            spec.all_containers().map(|container| container.name.as_str()).collect()
        } else {
            vec![choose::container(&spec, self.container.as_ref().map(ContainerName::as_str))?.name.as_str()]
        };
        let mut reader = self.reader(&pod)?;
        // Behind the watch: what changes from here on is told of.
        let status = pair::status(&host, &pod)?;
        let mut errors = Vec::new();
        let mut runs = Vec::new();
        for container in containers {
            match self.add(&mut reader, &pod, status.as_ref(), container) {
                Ok(run) => runs.push(run),
                Err(error) => errors.push(error),
            }
        }
        if !runs.is_empty() {
            self.copy(&mut reader, &pod, status, &runs)?;
        }
        collected(|count| format!("cannot print the logs of {count} containers"), errors)
    }

    fn reader(&self, pod: &Pod) -> Result<Reader> {
        if !self.follow {
            return Ok(Reader::new(self.timestamps));
        }
        let mut reader = Reader::following(self.timestamps)?;
        reader.watch(&pod.directory()?)?;
        Ok(reader)
    }

    /// Adds the log of a container to what is read.
    fn add<'a>(
        &self,
        reader: &mut Reader,
        pod: &Pod,
        status: Option<&PodStatus>,
        container: &'a str,
    ) -> Result<Run<'a>> {
        let directory = pod.log_directory()?.join(container);
        let there = logs::runs(&directory)?;
        let restart = choose_run(status, container, &there, self.previous)
            .map_err(|why| Error::user(why.sentence(pod.name().as_str(), container)))?;
        let prefix = if self.prefix { format!("[pod/{}/{container}] ", pod.name()) } else { String::new() };
        reader.add(&directory, restart, &prefix, &self.query())?;
        Ok(Run { container, restart })
    }

    fn query(&self) -> Query {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = self.since.map(|span| now.saturating_sub(span)).or(self.since_time);
        Query { tail: u64::try_from(self.tail).ok(), since }
    }

    /// Prints what there is and, if asked for, what comes, until the containers have ended or nobody reads.
    fn copy(
        &self,
        reader: &mut Reader,
        pod: &Pod,
        mut status: Option<PodStatus>,
        runs: &[Run<'_>],
    ) -> Result<()> {
        let mut stdout = io::stdout().lock();
        loop {
            // Asked before the last look: what a container wrote is in its log before its end is in the status.
            let ended = !self.follow || runs.iter().all(|run| run.has_ended(status.as_ref()));
            let changed = reader.read_available(&mut stdout)?;
            if ended {
                return Ok(());
            }
            if changed {
                status = pod.status()?;
            } else if !wait(reader, &stdout)? {
                return Ok(());
            }
        }
    }
}

/// Waits for something new; false when nobody reads stdout any more.
fn wait(reader: &Reader, stdout: &(impl Write + AsFd)) -> Result<bool> {
    let Some(wake) = reader.wake() else { return Ok(false) };
    // Asked for nothing, poll(2) still reports an error: the other end of a pipe is closed.
    let mut fds = [PollFd::new(wake, PollFlags::POLLIN), PollFd::new(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => Ok(!fds[1].any().unwrap_or(false)),
        Err(Errno::EINTR) => Ok(true),
        Err(error) => Err(error).context(|| "cannot wait for a log"),
    }
}

impl Run<'_> {
    /// This run, whatever has come after it; a pod that is gone has ended, too.
    fn has_ended(&self, status: Option<&PodStatus>) -> bool {
        let container = status.and_then(|status| status.container(self.container));
        container.is_none_or(|now| now.restart_count != self.restart || !now.state.is_running())
    }
}

/// Why a container has no log.
#[derive(Debug, PartialEq, Eq)]
enum NoLog {
    /// It has not been started yet, for this reason.
    Waiting(String),
    /// There is none of a run before.
    NoPrevious,
}

impl NoLog {
    /// In kubectl's words.
    fn sentence(&self, pod: &str, container: &str) -> String {
        match self {
            Self::Waiting(reason) => {
                format!("container {container:?} in pod {pod:?} is waiting to start: {reason}")
            }
            Self::NoPrevious => {
                format!("previous terminated container {container:?} in pod {pod:?} not found")
            }
        }
    }
}

/// Which run is meant, of those that have logs.
fn choose_run(
    status: Option<&PodStatus>,
    container: &str,
    there: &[u32],
    previous: bool,
) -> Result<u32, NoLog> {
    let Some(status) = status.and_then(|status| status.container(container)) else {
        return Err(NoLog::Waiting("ContainerCreating".to_owned()));
    };
    let newest = there.last().copied().unwrap_or(status.restart_count);
    match &status.state {
        ContainerState::Waiting { reason, .. } if status.last_state.is_none() => {
            Err(if previous { NoLog::NoPrevious } else { NoLog::Waiting(reason.clone()) })
        }
        // Between two runs the last is both; the next one may have a number already.
        ContainerState::Waiting { .. } => Ok(newest),
        _ if !previous => Ok(status.restart_count),
        _ => {
            let previous = status.restart_count.checked_sub(1).filter(|restart| there.contains(restart));
            previous.ok_or(NoLog::NoPrevious)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples::{ended, running, status, waiting};
    use crate::model::status::Phase;

    #[test]
    fn the_run_that_is_meant() {
        let table = [
            (running(), 0, &[0][..], false, Ok(0)),
            (running(), 2, &[1, 2], false, Ok(2)),
            (running(), 2, &[1, 2], true, Ok(1)),
            (running(), 2, &[2], true, Err(NoLog::NoPrevious)),
            (running(), 0, &[0], true, Err(NoLog::NoPrevious)),
            (ended("Error", 1), 1, &[0, 1], false, Ok(1)),
            (waiting("ErrImageNeverPull"), 0, &[], false, Err(NoLog::Waiting("ErrImageNeverPull".into()))),
            (waiting("ErrImageNeverPull"), 0, &[], true, Err(NoLog::NoPrevious)),
        ];
        for (state, restart_count, there, previous, want) in table {
            let mut status = status(Phase::Running, vec![state]);
            status.containers[0].restart_count = restart_count;
            assert_eq!(choose_run(Some(&status), "c0", there, previous), want);
        }
        let mut between = status(Phase::Running, vec![waiting("CrashLoopBackOff")]);
        let ContainerState::Terminated(last) = ended("Error", 1) else { unreachable!() };
        between.containers[0].last_state = Some(last);
        between.containers[0].restart_count = 3;
        assert_eq!(choose_run(Some(&between), "c0", &[1, 2], false), Ok(2));
        assert_eq!(choose_run(Some(&between), "c0", &[2, 3], true), Ok(3));
        let none = choose_run(None, "c0", &[], false).unwrap_err();
        assert_eq!(
            none.sentence("shop", "c0"),
            "container \"c0\" in pod \"shop\" is waiting to start: ContainerCreating"
        );
    }

    #[test]
    fn a_run_ends_with_its_container() {
        let run = Run { container: "c0", restart: 0 };
        assert!(!run.has_ended(Some(&status(Phase::Running, vec![running()]))));
        assert!(run.has_ended(Some(&status(Phase::Succeeded, vec![ended("Completed", 0)]))));
        assert!(
            Run { container: "c0", restart: 1 }.has_ended(Some(&status(Phase::Running, vec![running()])))
        );
        assert!(run.has_ended(None));
    }

    #[test]
    fn times_are_read() {
        assert_eq!(point_in_time("1970-01-01T00:01:00Z").unwrap(), Duration::from_secs(60));
        assert!(point_in_time("yesterday").is_err());
    }
}
