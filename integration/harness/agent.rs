//! A seccomp agent: it listens on a Unix socket, takes the listeners of filters, and answers system calls.

use libseccomp::{ScmpNotifReq, ScmpNotifResp, ScmpNotifRespFlags};
use serde_json::Value;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the agent does with a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers every system call with this errno.
    Refuse(i32),
    /// Has the kernel carry out every system call.
    Continue,
    /// Dies: the listener is closed at once.
    Die,
    /// Takes the listener, and never answers.
    Hang,
}

/// What came over one connection, and what was asked afterwards.
#[derive(Debug, Clone)]
pub struct Told {
    /// The container process state.
    pub state: Value,
    /// Whether the connection was closed behind it.
    pub closed: bool,
    /// Pids of those whose system calls were answered.
    pub asked: Vec<u32>,
}

/// The agent; its threads end with the test.
pub struct Agent {
    path: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Agent {
    /// Listens at a path.
    #[track_caller]
    pub fn at(path: &Path, manner: Manner) -> Self {
        let socket =
            UnixListener::bind(path).unwrap_or_else(|error| panic!("cannot listen at {path:?}: {error}"));
        let agent = Self { path: super::runtime::path_text(path), told: Arc::default() };
        let told = Arc::clone(&agent.told);
        std::thread::spawn(move || {
            for peer in socket.incoming().flatten() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || attend(&peer, manner, &told));
            }
        });
        agent
    }

    /// The path of its socket.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Likewise, once it is what was asked for: the agent's threads take their time, which no container waits for.
    #[track_caller]
    pub fn until(&self, is: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let found = super::within(10, || Some(self.told()).filter(|told| is(told)));
        found.unwrap_or_else(|| panic!("the agent was told {:?}", self.told()))
    }
}

fn attend(peer: &UnixStream, manner: Manner, told: &Mutex<Vec<Told>>) {
    let mut text = vec![0; 1 << 16];
    let Ok((length, Some(listener))) = podrun::sys::socket::receive_with_descriptor(peer.as_fd(), &mut text)
    else {
        return;
    };
    let state = serde_json::from_slice(&text[..length]).unwrap_or(Value::Null);
    let place = {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(Told { state, closed: false, asked: Vec::new() });
        told.len() - 1
    };
    let change = |change: &dyn Fn(&mut Told)| {
        change(&mut told.lock().unwrap_or_else(PoisonError::into_inner)[place]);
    };
    match manner {
        Manner::Die => {}
        Manner::Hang => std::thread::sleep(Duration::from_secs(600)),
        Manner::Refuse(_) | Manner::Continue => {
            // Another message, or the end: what comes must not be waited for before the first call is answered.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let end = podrun::sys::socket::receive_with_descriptor(peer.as_fd(), &mut [0; 16]);
                    change(&|told| told.closed = matches!(end, Ok((0, None))));
                });
                answer(&listener, manner, &|pid| change(&|told| told.asked.push(pid)));
            });
        }
    }
}

/// Answers until no process has the filter any more.
fn answer(listener: &OwnedFd, manner: Manner, note: &dyn Fn(u32)) {
    let number = listener.as_raw_fd();
    loop {
        let deadline = Instant::now() + Duration::from_secs(60);
        // POLLHUP: the last process is gone; receiving would then wait for ever on some kernels.
        let ready = podrun::sys::process::poll_until(listener.as_fd(), nix::libc::POLLIN, deadline);
        let mut poll = [nix::poll::PollFd::new(listener.as_fd(), nix::poll::PollFlags::POLLIN)];
        let polled = nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO);
        let asks =
            polled.is_ok() && poll[0].revents().is_some_and(|e| e.contains(nix::poll::PollFlags::POLLIN));
        if !ready.unwrap_or(false) || !asks {
            return;
        }
        let Ok(request) = ScmpNotifReq::receive(number) else { continue };
        note(request.pid);
        let response = match manner {
            Manner::Refuse(errno) => {
                ScmpNotifResp::new_error(request.id, -errno, ScmpNotifRespFlags::empty())
            }
            _ => ScmpNotifResp::new_continue(request.id, ScmpNotifRespFlags::empty()),
        };
        // Whoever asked may be dead.
        drop(response.respond(number));
    }
}
