//! A pod in a world that obeys at once, with a clock that jumps from deadline to deadline, and a record of what was done
//! when.

use super::*;
use crate::model::probe::{Handler, HookKind, Lifecycle, Probe, ProbeHandler, ProbeKind};
use std::collections::HashMap;

/// A container of that name.
pub fn container(name: &str) -> ContainerSpec {
    ContainerSpec::new(name.parse().unwrap(), "busybox")
}

/// An init container that is always restarted.
pub fn sidecar(name: &str) -> ContainerSpec {
    ContainerSpec { restart_policy: Some(RestartPolicy::Always), ..container(name) }
}

/// A pod of these.
pub fn pod_of(policy: RestartPolicy, inits: Vec<ContainerSpec>, apps: Vec<ContainerSpec>) -> PodSpec {
    PodSpec { init_containers: inits, containers: apps, ..pod(policy, 0) }
}

/// A probe by its numbers: initial delay, period, failure threshold.
pub fn probe(initial_delay_seconds: u32, period_seconds: u32, failure_threshold: u32) -> Option<Probe> {
    Some(Probe {
        handler: ProbeHandler::Exec { command: vec!["true".into()] },
        initial_delay_seconds,
        period_seconds,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold,
        termination_grace_period_seconds: None,
    })
}

/// A hook that the supervisor runs.
pub fn exec() -> Option<Handler> {
    Some(Handler::Exec { command: vec!["true".into()] })
}

/// A hook that sleeps.
pub fn sleep(seconds: u64) -> Option<Handler> {
    Some(Handler::Sleep { seconds })
}

/// With that postStart hook.
pub fn post_start(spec: ContainerSpec, hook: Option<Handler>) -> ContainerSpec {
    ContainerSpec { lifecycle: Lifecycle { post_start: hook, ..spec.lifecycle.clone() }, ..spec }
}

/// With that preStop hook.
pub fn pre_stop(spec: ContainerSpec, hook: Option<Handler>) -> ContainerSpec {
    ContainerSpec { lifecycle: Lifecycle { pre_stop: hook, ..spec.lifecycle.clone() }, ..spec }
}

pub struct Simulation {
    pub machine: Machine,
    pub spec: PodSpec,
    pub now: u64,
    /// `SECONDS WHAT NAME`.
    pub log: Vec<String>,
    /// Containers that do not heed their stop signal.
    pub deaf: Vec<&'static str>,
    /// What a probe answers; success where there is nothing.
    pub answers: HashMap<(&'static str, ProbeKind), ProbeResult>,
    /// Hooks are answered with success at once.
    pub hooks_answer: bool,
    /// What is found on the disk.
    pub usage: Option<DiskUsage>,
    pub ended: bool,
}

impl Simulation {
    /// Created, not yet started.
    pub fn new(spec: PodSpec) -> Self {
        let mut simulation = Self {
            machine: Machine::new(&spec, &uid()),
            spec,
            now: 0,
            log: vec![],
            deaf: vec![],
            answers: HashMap::new(),
            hooks_answer: true,
            usage: None,
            ended: false,
        };
        simulation.tell(Event::Create);
        simulation
    }

    /// Started at 0.
    pub fn started(spec: PodSpec) -> Self {
        let mut simulation = Self::new(spec);
        simulation.tell(Event::Start);
        simulation
    }

    pub fn index(&self, name: &str) -> usize {
        self.spec.all_containers().position(|container| container.name.as_str() == name).unwrap()
    }

    pub fn status(&self, name: &str) -> &crate::model::status::ContainerStatus {
        self.machine.status().container(name).unwrap()
    }

    /// The reason of a container's state.
    pub fn reason(&self, name: &str) -> String {
        match &self.status(name).state {
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } => "Running".into(),
            ContainerState::Terminated(end) => end.reason.clone(),
        }
    }

    pub fn tell(&mut self, event: Event) {
        let actions = self.machine.handle(event, at(self.now));
        for action in actions {
            self.act(action);
        }
    }

    pub fn exit(&mut self, name: &str, code: i32) {
        self.write("exit", self.index(name));
        self.tell(exited(self.index(name), code));
    }

    /// Ends a hook.
    pub fn hooked(&mut self, name: &str, hook: HookKind, result: Result<(), String>) {
        let restart = self.status(name).restart_count;
        self.tell(Event::Hooked { index: self.index(name), restart, hook, result });
    }

    fn write(&mut self, what: &str, index: usize) {
        let name = &self.spec.container_at(index).unwrap().name;
        let seconds = format!("{}.{:03}", self.now / 1000, self.now % 1000);
        let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
        self.log.push(format!("{seconds} {what} {name}"));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Make { index, restart, at_once } => {
                if at_once {
                    self.write("start", index);
                }
                self.tell(made(index, restart));
                if at_once {
                    self.tell(Event::Started { index });
                }
            }
            Action::Start { index } => {
                self.write("start", index);
                self.tell(Event::Started { index });
            }
            Action::Signal { index, signal } => {
                let name = self.spec.container_at(index).unwrap().name.to_string();
                self.write(if signal == Signal::Stop { "TERM" } else { "KILL" }, index);
                if signal == Signal::Kill || !self.deaf.contains(&name.as_str()) {
                    let number = if signal == Signal::Stop { 15 } else { 9 };
                    let outcome = Outcome::Signaled(number);
                    self.tell(Event::Exited { index, outcome, oom_killed: false, message: None });
                }
            }
            Action::Remove { index } => self.tell(Event::Removed { index }),
            Action::Probe { index, restart, kind } => {
                let name = self.spec.container_at(index).unwrap().name.to_string();
                self.write(&format!("{kind:?}"), index);
                let known = self.answers.iter().find(|((of, which), _)| *of == name && *which == kind);
                let result = known.map_or(ProbeResult::Success, |(_, result)| result.clone());
                self.tell(Event::Probed { index, restart, kind, result });
            }
            Action::Hook { index, restart, hook } => {
                self.write(&format!("{hook:?}"), index);
                if self.hooks_answer {
                    self.tell(Event::Hooked { index, restart, hook, result: Ok(()) });
                }
            }
            Action::Measure => {
                self.log.push(format!("{} measure", self.now / 1000));
                self.tell(Event::Measured { usage: self.usage.clone() });
            }
            Action::End => {
                self.ended = true;
                self.log.push(format!("{} end", self.now / 1000));
            }
        }
    }

    /// Lets time pass until then.
    pub fn until(&mut self, seconds: u64) {
        let then = seconds * 1000;
        while let Some(deadline) = self.machine.deadline().filter(|at| at.as_millis() <= then.into()) {
            let deadline = u64::try_from(deadline.as_millis()).unwrap();
            assert!(deadline >= self.now, "a deadline in the past");
            self.now = deadline;
            self.tell(Event::Time);
        }
        self.now = then;
        self.tell(Event::Time);
    }

    /// What was done since this was last asked.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub fn summary(&self) -> (String, String, String) {
        let summary = Summary::of(self.machine.status(), false, 1000 + self.now / 1000);
        (summary.ready, summary.status, summary.restarts)
    }

    /// `REASON: MESSAGE` of the events.
    pub fn events(&self) -> Vec<String> {
        let events = self.machine.status().events.iter();
        events.map(|event| format!("{}: {}", event.reason, event.message)).collect()
    }
}
