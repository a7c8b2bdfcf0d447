//! `pod run` in the foreground: one loop over the logs, the pod's status, its supervisor's life and our signals.

use super::{pair, watch};
use crate::cli::output;
use crate::container::Host;
use crate::error::{Context, Kind, Result};
use crate::logs::{Query, Reader};
use crate::model::status::{ContainerState, ContainerStatus, PodStatus};
use crate::pod::Pod;
use crate::report;
use crate::supervisor::control::{self, Request};
use crate::sys::process;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The signals that end a pod: the first one of them gracefully, the second at once.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// How long the answers of a pod that has ended may take.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a pod whose supervisor cannot be started is left alone.
const RETRY_MS: u16 = 1000;

/// A command that stays with a pod.
pub struct Foreground {
    signals: SignalFd,
    asked_to_stop: u32,
    /// What the supervisor was asked and has not answered yet.
    asking: Vec<(Request, OwnedFd)>,
    /// Whose fault it is that a program could not be started, if it was one.
    fault: Option<Kind>,
}

/// How a pod ended, as a command saw it.
pub struct End {
    /// Its last status; none where it was deleted.
    pub status: Option<PodStatus>,
    /// [`Kind::NoProgram`] or [`Kind::NotExecutable`] where a container had no program to run.
    pub fault: Option<Kind>,
}

/// What was told of a container.
#[derive(Debug, Default)]
struct Known {
    /// Its present run.
    run: u32,
    /// The next run of which nothing was told yet: run 0 goes without saying.
    told: u32,
}

impl Known {
    /// What is to be said when the container has ended and is, or will be, started again. Whatever the container itself
    /// writes, who watches is told why it begins anew.
    fn learn(&mut self, container: &ContainerStatus) -> Option<String> {
        let waits = match &container.state {
            ContainerState::Waiting { reason, message } if reason == "CrashLoopBackOff" => message.as_deref(),
            _ => None,
        };
        self.run = container.restart_count;
        let coming = container.restart_count + u32::from(waits.is_some());
        if coming <= self.told {
            return None;
        }
        self.told = coming;
        let code = container.last_state.as_ref()?.exit_code;
        let what = match waits {
            // "back-off 10s restarting failed container=...": as many of its words as tell something here.
            Some(message) => message.split(" restarting").next().unwrap_or(message),
            None => "started again",
        };
        Some(format!("[{}] ended with exit code {code}; {what}", container.name))
    }
}

impl Foreground {
    /// Catches the signals that end a pod.
    ///
    /// # Errors
    /// Those of sigprocmask(2) and signalfd(2).
    pub fn begin() -> Result<Self> {
        let mask: SigSet = ENDING.into_iter().collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).context(|| "cannot block signals")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context(|| "cannot catch signals")?;
        Ok(Self { signals, asked_to_stop: 0, asking: Vec::new(), fault: None })
    }

    /// Starts the pod and prints what its containers write until it has ended or is deleted.
    ///
    /// # Errors
    /// When a log cannot be read, or there is no supervisor. A stdout that nobody reads any more is none: the pod is
    /// stopped then.
    pub fn stay(&mut self, host: &Host, pod: &Pod) -> Result<End> {
        let directory = pod.directory()?;
        let (mut reader, mut out) = (Reader::following(false)?, Output { gone: false });
        reader.watch(&directory)?;
        let mut known = Vec::new();
        for container in pod.spec()?.all_containers() {
            let logs = pod.log_directory()?.join(container.name.as_str());
            reader.add(&logs, 0, &format!("[{}] ", container.name), &Query::default())?;
            known.push(Known::default());
        }
        self.ask(host, pod, Request::Start)?;
        let (mut supervisor, mut status, mut changed) = (None, None, true);
        loop {
            if changed {
                // Before the status is read: whoever has died since wakes us at once.
                supervisor = watch::supervisor(&directory).unwrap_or_default();
                status = pair::status(host, pod)?;
                let containers = status.iter().flat_map(PodStatus::all_containers);
                for (source, (container, known)) in containers.zip(&mut known).enumerate() {
                    if known.run < container.restart_count {
                        reader.next_run(source, container.restart_count, &mut out)?;
                    }
                    if let Some(sentence) = known.learn(container) {
                        output::note(&sentence);
                    }
                }
            }
            // After the status: what a container wrote before it ended is there by then.
            changed = reader.read_available(&mut out)?;
            if status.as_ref().is_none_or(PodStatus::has_ended) {
                self.take_last_answers();
                return Ok(End { status, fault: self.fault });
            }
            if out.gone && self.asked_to_stop == 0 {
                self.stop(host, pod)?;
            }
            if changed {
                continue;
            }
            changed = self.wait(&reader, supervisor.as_ref())?;
            self.take_answers(host, pod)?;
            while self.signals.read_signal().context(|| "cannot read signals")?.is_some() {
                self.stop(host, pod)?;
            }
        }
    }

    /// Waits until there is something to do; true when there is no supervisor (any more). One that cannot be started is
    /// tried again now and then.
    fn wait(&self, reader: &Reader, supervisor: Option<&OwnedFd>) -> Result<bool> {
        let answers = self.asking.iter().map(|(_, socket)| socket.as_fd());
        let others = [Some(self.signals.as_fd()), reader.wake()].into_iter().flatten();
        let fds = supervisor.map(AsFd::as_fd).into_iter().chain(others).chain(answers);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let patience = if supervisor.is_some() { PollTimeout::NONE } else { PollTimeout::from(RETRY_MS) };
        match poll(&mut fds, patience) {
            Ok(_) | Err(Errno::EINTR) => {
                Ok(supervisor.is_none() || fds.first().and_then(PollFd::any).unwrap_or(false))
            }
            Err(error) => Err(error).context(|| "cannot wait for the pod"),
        }
    }

    /// Takes the answers that have come. A supervisor that has died is followed by another, which is asked again.
    fn take_answers(&mut self, host: &Host, pod: &Pod) -> Result<()> {
        for (request, socket) in std::mem::take(&mut self.asking) {
            let come = process::poll_until(socket.as_fd(), libc::POLLIN, Instant::now());
            if !come.context(|| "cannot wait for the supervisor")? {
                self.asking.push((request, socket));
                continue;
            }
            match control::hear(&socket, None) {
                Err(error) if error.kind() == Kind::Died => self.ask(host, pod, request)?,
                answer => self.note(answer),
            }
        }
        Ok(())
    }

    /// What was not answered before the pod ended is answered now, unless there was no supervisor any more.
    fn take_last_answers(&mut self) {
        for (_, socket) in std::mem::take(&mut self.asking) {
            match control::hear(&socket, Some(LAST_PATIENCE)) {
                Err(error) if error.kind() == Kind::Died => {}
                answer => self.note(answer),
            }
        }
    }

    /// What cannot be started is part of how the pod ends, or is tried again.
    fn note(&mut self, answer: Result<()>) {
        let Err(error) = answer else { return };
        let kind = Some(error.kind());
        self.fault = kind.filter(|kind| matches!(kind, Kind::NoProgram | Kind::NotExecutable)).or(self.fault);
        report::warn(&error.to_string());
    }

    fn ask(&mut self, host: &Host, pod: &Pod, request: Request) -> Result<()> {
        let socket = pair::tell(host, pod, &request)?;
        self.asking.push((request, socket));
        Ok(())
    }

    /// Asks the pod to end; the second time at once.
    fn stop(&mut self, host: &Host, pod: &Pod) -> Result<()> {
        let (grace_seconds, said) = match self.asked_to_stop {
            0 => (None, "stopping pod"),
            1 => (Some(0), "killing pod"),
            _ => return Ok(()),
        };
        self.asked_to_stop += 1;
        let more = if grace_seconds.is_none() { "; once more kills it" } else { "" };
        output::note(&format!("{said} {:?}{more}", pod.name().as_str()));
        self.ask(host, pod, Request::Stop { grace_seconds })
    }
}

/// Our stdout. When its reader goes, what follows is thrown away, and the pod is told to stop.
struct Output {
    gone: bool,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        match nix::unistd::write(io::stdout(), bytes) {
            Err(Errno::EPIPE) => {
                self.gone = true;
                Ok(bytes.len())
            }
            other => Ok(other?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;
    use crate::model::status::Phase;

    #[test]
    fn restarts_are_told_once() {
        let mut known = Known::default();
        let mut of = samples::status(Phase::Running, vec![samples::running()]).containers.remove(0);
        assert_eq!(known.learn(&of), None);
        let ContainerState::Terminated(last) = samples::ended("Error", 3) else { panic!() };
        (of.restart_count, of.last_state) = (1, Some(last));
        assert_eq!(known.learn(&of).as_deref(), Some("[c0] ended with exit code 3; started again"));
        assert_eq!(known.learn(&of), None);
        let message = Some("back-off 10s restarting failed container=c0 pod=shop_default(u)".to_owned());
        of.state = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message };
        assert_eq!(known.learn(&of).as_deref(), Some("[c0] ended with exit code 3; back-off 10s"));
        assert_eq!(known.learn(&of), None);
        (of.restart_count, of.state) = (2, samples::running());
        assert_eq!(known.learn(&of), None);
        of.restart_count = 4;
        assert_eq!(known.learn(&of).as_deref(), Some("[c0] ended with exit code 3; started again"));
        assert_eq!(known.run, 4);
    }
}
