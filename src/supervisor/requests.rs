//! Commands that wait for an answer, and when each gets it.

use super::control::{Heard, Peer, Reply, Request};
use super::poll::{Poll, Source, Trigger};
use crate::error::{Error, Kind, Result};
use crate::model::status::{ContainerState, ContainerStatus, PodStatus};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// The commands that are connected.
#[derive(Debug, Default)]
pub struct Requests {
    peers: BTreeMap<u32, Waiting>,
    next: u32,
}

#[derive(Debug)]
struct Waiting {
    peer: Peer,
    /// What it has asked; none until it has.
    request: Option<Request>,
}

/// More commands than this at once are turned away, those first that have been silent longest: each holds a descriptor.
const MOST_PEERS: usize = 256;

impl Requests {
    /// Takes everybody who waits at the listener.
    ///
    /// # Errors
    /// Those of accept4(2) and epoll_ctl(2).
    pub fn accept(&mut self, listener: &OwnedFd, poll: &Poll) -> Result<()> {
        while let Some(peer) = Peer::accept(listener)? {
            if self.peers.len() >= MOST_PEERS && !self.turn_silent_away() {
                peer.answer(&Reply::to(&Err(Error::host("too many commands speak to the pod's supervisor"))));
                continue;
            }
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            poll.add(peer.socket(), Source::Peer(number), Trigger::Level)?;
            self.peers.insert(number, Waiting { peer, request: None });
        }
        Ok(())
    }

    /// The one that has been connected longest of those that have asked nothing; false where all wait for an answer.
    fn turn_silent_away(&mut self) -> bool {
        let silent =
            self.peers.iter().find(|(_, waiting)| waiting.request.is_none()).map(|(number, _)| *number);
        silent.is_some_and(|number| self.peers.remove(&number).is_some())
    }

    /// Listens to one; what it asks is to be done now, and answered by [`Requests::settle`] or [`Requests::answer`].
    pub fn listen(&mut self, number: u32) -> Option<Request> {
        let waiting = self.peers.get_mut(&number)?;
        match waiting.peer.listen() {
            Heard::Part => None,
            Heard::Request(request) if waiting.request.is_none() => {
                waiting.request = Some(request.clone());
                Some(request)
            }
            // One request a connection; and one that has hung up wants no answer. Closing takes it out of the set.
            Heard::Request(_) | Heard::Gone => {
                self.peers.remove(&number);
                None
            }
        }
    }

    /// Answers one.
    pub fn answer(&mut self, number: u32, result: &Result<()>) {
        if let Some(waiting) = self.peers.remove(&number) {
            waiting.peer.answer(&Reply::to(result));
        }
    }

    /// Answers all whose request is done by what the pod's status says; `ended` when nothing more will happen, and
    /// `fault` the kind of error that kept a container's program from being executed.
    pub fn settle(&mut self, status: &PodStatus, ended: bool, fault: Option<Kind>) {
        self.peers.retain(|_, waiting| {
            let Some(result) = waiting.request.as_ref().and_then(|request| outcome(request, status, ended))
            else {
                return true;
            };
            let result = result.map_err(|error| match fault {
                Some(kind) => Error::new(kind, error.to_string()),
                None => error,
            });
            waiting.peer.answer(&Reply::to(&result));
            false
        });
    }
}

/// What came of a request; none as long as that is open.
fn outcome(request: &Request, status: &PodStatus, ended: bool) -> Option<Result<()>> {
    // With init containers nothing is made before the start, and who starts the pod does not wait until they are done.
    let begins_with = status.init_containers.get(..1).unwrap_or_default();
    let all = |progress: fn(&ContainerStatus) -> Option<Result<()>>| -> Option<Result<()>> {
        let first = if begins_with.is_empty() { &status.containers } else { begins_with };
        let results: Option<Vec<_>> = first.iter().map(progress).collect();
        let result = results.map(|results| results.into_iter().collect::<Result<()>>());
        match result {
            Some(Ok(())) => result,
            // What became of its containers then is no news.
            _ if ended && status.stopping_since.is_some() => Some(Err(stopped())),
            _ => result.or_else(|| ended.then(|| Err(stopped()))),
        }
    };
    match request {
        Request::Create if !begins_with.is_empty() => Some(Ok(())),
        Request::Create => all(made),
        Request::Start => all(started),
        Request::Stop { .. } => ended.then_some(Ok(())),
        Request::Update | Request::Kill { .. } => Some(Ok(())),
    }
}

fn stopped() -> Error {
    Error::user("the pod was stopped meanwhile")
}

/// Whether the container was made, or why it could not be.
fn made(container: &ContainerStatus) -> Option<Result<()>> {
    match &container.state {
        // Made when it is its turn, which is after the start.
        ContainerState::Waiting { reason, .. } if reason == "PodInitializing" => Some(Ok(())),
        ContainerState::Waiting { reason, message } if container.container_id.is_none() => {
            refused(container, reason, message.as_deref())
        }
        _ => Some(Ok(())),
    }
}

/// Whether the container's program was started, or why it could not be.
fn started(container: &ContainerStatus) -> Option<Result<()>> {
    let ended = match (&container.state, &container.last_state) {
        (ContainerState::Running { .. }, _) => return Some(Ok(())),
        (ContainerState::Terminated(ended), _) | (_, Some(ended)) => ended,
        (ContainerState::Waiting { reason, message }, None) => {
            return refused(container, reason, message.as_deref());
        }
    };
    Some(match ended.started_at {
        Some(_) => Ok(()),
        None => Err(cannot("start", container, ended.message.as_deref().unwrap_or(&ended.reason))),
    })
}

fn refused(container: &ContainerStatus, reason: &str, message: Option<&str>) -> Option<Result<()>> {
    match reason {
        "ContainerCreating" | "PodInitializing" => None,
        // It was made, and ran.
        "PostStartHookError" => {
            let said = message.map(str::trim_end).filter(|said| !said.is_empty());
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            Some(Err(cannot("start", container, &format!("its postStart hook failed{said}"))))
        }
        reason => Some(Err(cannot("create", container, message.unwrap_or(reason)))),
    }
}

/// The message names the container already, where it comes from making it.
fn cannot(verb: &str, container: &ContainerStatus, why: &str) -> Error {
    if why.starts_with("cannot ") {
        return Error::user(why);
    }
    Error::user(format!("cannot {verb} container {:?}: {why}", container.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::Terminated;

    fn container(id: Option<&str>, state: ContainerState) -> ContainerStatus {
        ContainerStatus {
            container_id: id.map(ToOwned::to_owned),
            state,
            ..ContainerStatus::new("web".parse().unwrap(), "nginx")
        }
    }

    fn waiting(reason: &str) -> ContainerState {
        ContainerState::Waiting { reason: reason.into(), message: Some("no such thing".into()) }
    }

    fn terminated(started_at: Option<u64>) -> ContainerState {
        ContainerState::Terminated(Terminated {
            reason: "StartError".into(),
            message: Some("no such file".into()),
            exit_code: 128,
            signal: None,
            started_at,
            finished_at: 1,
        })
    }

    fn status(containers: Vec<ContainerStatus>) -> PodStatus {
        PodStatus::new(containers)
    }

    #[test]
    fn requests_are_answered_when_every_container_is_settled() {
        let creating = container(None, waiting("ContainerCreating"));
        let created = container(Some("a"), waiting("ContainerCreating"));
        let refused = container(None, waiting("CreateContainerError"));
        let running = container(Some("a"), ContainerState::Running { started_at: 1 });
        let (unstarted, done) =
            (container(Some("a"), terminated(None)), container(Some("a"), terminated(Some(1))));
        let says = |request: &Request, containers: &[&ContainerStatus], ended| {
            let status = status(containers.iter().map(|c| (*c).clone()).collect());
            outcome(request, &status, ended).map(|result| result.map_err(|error| error.to_string()))
        };
        assert_eq!(says(&Request::Create, &[&created, &creating], false), None);
        assert_eq!(says(&Request::Create, &[&created, &running], false), Some(Ok(())));
        let message = "cannot create container \"web\": no such thing".to_owned();
        assert_eq!(says(&Request::Create, &[&created, &refused], false), Some(Err(message)));
        assert_eq!(says(&Request::Create, &[&refused, &creating], false), None);
        assert_eq!(says(&Request::Start, &[&created, &running], false), None);
        assert_eq!(says(&Request::Start, &[&done, &running], false), Some(Ok(())));
        let message = "cannot start container \"web\": no such file".to_owned();
        assert_eq!(says(&Request::Start, &[&unstarted, &running], false), Some(Err(message)));
        assert!(says(&Request::Start, &[&created], true).unwrap().is_err());
        let mut pod = status(vec![unstarted.clone()]);
        pod.stopping_since = Some(1);
        let error = outcome(&Request::Start, &pod, true).unwrap().unwrap_err().to_string();
        assert_eq!(error, "the pod was stopped meanwhile");
        let stop = Request::Stop { grace_seconds: None };
        assert_eq!(says(&stop, &[&running], false), None);
        assert_eq!(says(&stop, &[&running], true), Some(Ok(())));
    }

    #[test]
    fn a_pod_with_init_containers_is_started_with_the_first_of_them() {
        let initializing = container(None, waiting("PodInitializing"));
        let mut pod = status(vec![initializing]);
        pod.init_containers =
            vec![container(None, waiting("ContainerCreating")), container(None, waiting("PodInitializing"))];
        let says =
            |request: &Request, pod: &PodStatus| outcome(request, pod, false).map(|result| result.is_ok());
        assert_eq!((says(&Request::Create, &pod), says(&Request::Start, &pod)), (Some(true), None));
        pod.init_containers[0] = container(Some("a"), ContainerState::Running { started_at: 1 });
        assert_eq!(says(&Request::Start, &pod), Some(true));
        pod.init_containers[0] = container(None, waiting("CreateContainerError"));
        assert_eq!(says(&Request::Start, &pod), Some(false));
    }
}
