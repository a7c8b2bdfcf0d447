//! Probes and hooks: the rules say which is due, [`super::attempt`] runs it, and the rules are told what came
//! of it.

use super::attempt::{Network, Purpose, Target, Verdict};
use super::event_loop::{self, Supervisor};
use crate::container::Runner;
use crate::error::Result;
use crate::lifecycle::{Event, ProbeResult};
use crate::model::podspec::ContainerSpec;
use crate::model::probe::{Handler, HookKind, ProbeHandler, ProbeKind};
use crate::model::status::EventKind;
use crate::pod::NamespaceKind;
use std::time::{Duration, Instant};

/// What an attempt is called: the container's place, its run, and which of its probes and hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    index: usize,
    restart: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Probe(ProbeKind),
    Hook(HookKind),
}

const EVERY: [What; 5] = [
    What::Probe(ProbeKind::Startup),
    What::Probe(ProbeKind::Liveness),
    What::Probe(ProbeKind::Readiness),
    What::Hook(HookKind::PostStart),
    What::Hook(HookKind::PreStop),
];

impl Key {
    /// Index in 24 bits, run in 32, which in 8: a pod has far fewer containers.
    fn pack(self) -> u64 {
        let what = EVERY.iter().position(|what| *what == self.what).unwrap_or(0);
        let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX >> 40);
        number(self.index) << 40 | u64::from(self.restart) << 8 | number(what)
    }

    fn unpack(word: u64) -> Option<Self> {
        let what = EVERY.get(usize::try_from(word & 0xff).ok()?)?;
        let restart = u32::try_from(word >> 8 & u64::from(u32::MAX)).ok()?;
        Some(Self { index: usize::try_from(word >> 40).ok()?, restart, what: *what })
    }
}

impl Supervisor {
    pub(super) fn probe(&mut self, index: usize, restart: u32, kind: ProbeKind) {
        let Some(probe) = self.spec.container_at(index).and_then(|container| container.probe(kind)) else {
            return;
        };
        let timeout = Duration::from_secs(u64::from(probe.timeout_seconds));
        let handler = probe.handler.clone();
        let key = Key { index, restart, what: What::Probe(kind) };
        self.attempt(key, &handler, Purpose::Probe, Some(timeout));
    }

    pub(super) fn hook(&mut self, index: usize, restart: u32, hook: HookKind) {
        let Some(handler) = self.spec.container_at(index).and_then(|container| hook_of(container, hook))
        else {
            return;
        };
        self.attempt(Key { index, restart, what: What::Hook(hook) }, &handler, Purpose::Hook, None);
    }

    fn attempt(&mut self, key: Key, handler: &ProbeHandler, purpose: Purpose, timeout: Option<Duration>) {
        if let Err(error) = self.prepare_attempt(key.index, handler) {
            return self.tell_verdict(key, Verdict::Error(error.to_string()));
        }
        let Some(network) = &self.network else { return };
        let target = Target { network, runner: self.members[key.index].runner.as_ref() };
        self.attempts.begin(key.pack(), &target, handler, purpose, timeout, Instant::now());
    }

    /// Opens what is kept from one attempt to the next: the way into the run, and the pod's network.
    fn prepare_attempt(&mut self, index: usize, handler: &ProbeHandler) -> Result<()> {
        if matches!(handler, ProbeHandler::Exec { .. }) && self.members[index].runner.is_none() {
            let id = self.id(index, self.members[index].restart)?;
            self.members[index].runner = Some(Runner::prepare(&self.host, &id)?);
        }
        if self.network.is_none() {
            // It is the same for the pod's whole life, whoever its pause is.
            let own = (!self.spec.host_network).then(|| self.held.namespace(NamespaceKind::Net)).flatten();
            self.network = Some(Network::new(own, None)?);
        }
        Ok(())
    }

    /// Takes what has come of attempts.
    pub(super) fn attend(&mut self) -> Result<()> {
        for (word, verdict) in self.attempts.advance(Instant::now())? {
            if let Some(key) = Key::unpack(word) {
                self.tell_verdict(key, verdict);
            }
        }
        Ok(())
    }

    fn tell_verdict(&mut self, key: Key, verdict: Verdict) {
        let Key { index, restart, what } = key;
        self.news.push_back(match what {
            What::Probe(kind) => {
                let result = match verdict {
                    Verdict::Success => ProbeResult::Success,
                    Verdict::Warning(text) => ProbeResult::Warning(text),
                    Verdict::Failure(text) => ProbeResult::Failure(text),
                    Verdict::Error(text) => ProbeResult::Unknown(text),
                };
                Event::Probed { index, restart, kind, result }
            }
            What::Hook(hook) => {
                if let Verdict::Warning(text) = &verdict {
                    let (now, text) = (event_loop::now(), text.clone());
                    self.machine.note(EventKind::Warning, "LifecycleHTTPFallback", Some(index), text, now);
                }
                let result = match verdict {
                    Verdict::Success | Verdict::Warning(_) => Ok(()),
                    Verdict::Failure(text) | Verdict::Error(text) => Err(text),
                };
                Event::Hooked { index, restart, hook, result }
            }
        });
    }

    /// Nothing more is done in a container that has ended: what still runs there is killed.
    pub(super) fn forsake(&mut self, index: usize) {
        let restart = self.members[index].restart;
        for what in EVERY {
            self.attempts.cancel(Key { index, restart, what }.pack());
        }
        self.members[index].runner = None;
    }
}

/// The hook as something to attempt; sleeping and doing nothing are the rules' own business.
fn hook_of(container: &ContainerSpec, hook: HookKind) -> Option<ProbeHandler> {
    let handler = match hook {
        HookKind::PostStart => container.lifecycle.post_start.as_ref(),
        HookKind::PreStop => container.lifecycle.pre_stop.as_ref(),
    };
    match handler? {
        Handler::Exec { command } => Some(ProbeHandler::Exec { command: command.clone() }),
        Handler::HttpGet(get) => Some(ProbeHandler::HttpGet(get.clone())),
        Handler::Sleep { .. } | Handler::TcpSocket => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let mut seen = std::collections::BTreeSet::new();
        for index in [0, 1, 300] {
            for restart in [0, 1, u32::MAX] {
                for what in EVERY {
                    let key = Key { index, restart, what };
                    assert_eq!(Key::unpack(key.pack()), Some(key));
                    assert!(seen.insert(key.pack()));
                }
            }
        }
        assert_eq!(Key::unpack(u64::MAX), None);
    }
}
