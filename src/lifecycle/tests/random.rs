//! A world that does what the machine says, when it likes, and now and then something nobody asked for.

use super::simulation::*;
use super::*;
use crate::model::podspec::{RestartAction, RestartOperator, RestartRule, Role};
use crate::model::probe::{HookKind, ProbeKind};

/// xorshift64: enough to be different each time, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What there is of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Nothing,
    Making { at_once: bool },
    Waiting,
    Starting,
    Program,
    Dead,
    Removing,
}

struct World {
    machine: Machine,
    spec: PodSpec,
    dice: Dice,
    things: Vec<Thing>,
    /// The number that was last made, and whether there was one.
    restarts: Vec<Option<u32>>,
    now: u64,
    stopping: bool,
    /// The end of the shortest grace period so far.
    stop_end: u64,
    ended: bool,
    /// Init containers that have done their work, sidecars that have started.
    done: Vec<bool>,
    /// Questions that await an answer.
    probes: Vec<(usize, u32, ProbeKind)>,
    hooks: Vec<(usize, u32, HookKind)>,
    measuring: bool,
    evicted: bool,
    /// Containers that have had their stop signal, in this run and ever.
    signaled: Vec<bool>,
    stopped_once: Vec<bool>,
    /// So many ends in a row, and when the last was.
    crashes: Vec<(u32, u64)>,
    /// So often all containers were restarted.
    all_restarts: u32,
}

impl World {
    fn new(spec: PodSpec, dice: Dice) -> Self {
        let count = spec.all_containers().count();
        Self {
            machine: Machine::new(&spec, &uid()),
            spec,
            dice,
            things: vec![Thing::Nothing; count],
            restarts: vec![None; count],
            now: 0,
            stopping: false,
            stop_end: u64::MAX,
            ended: false,
            done: vec![false; count],
            probes: vec![],
            hooks: vec![],
            measuring: false,
            evicted: false,
            signaled: vec![false; count],
            stopped_once: vec![false; count],
            crashes: vec![(0, 0); count],
            all_restarts: 0,
        }
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::Stop { grace_seconds } => {
                self.stopping = true;
                self.stop_end = self.stop_end.min(self.now + grace_seconds * 1000);
            }
            Event::SandboxChanged if self.spec.restart_policy != RestartPolicy::Never => {
                let status = self.machine.status();
                let ends = status.stopping_since.is_some() || status.memory.finishing;
                let started = status.started_at.is_some() && !ends;
                self.done.iter_mut().for_each(|done| *done &= !started);
                // What is done again is not held back by how it ended.
                (0..self.spec.init_containers.len()).for_each(|index| self.stopped_once[index] = true);
            }
            _ => {}
        }
        let what = event.clone();
        let went = self.restarts_all();
        let actions = self.machine.handle(event, at(self.now));
        let goes = self.restarts_all();
        self.all_restarts += u32::from(goes && !went);
        if went && !goes {
            self.done.fill(false);
            // What is done again is not held back by how it ended.
            self.stopped_once.fill(true);
        }
        assert!(!self.ended || actions.is_empty(), "{actions:?} after the end");
        self.see_progress();
        for (position, action) in actions.iter().enumerate() {
            self.check(*action, position + 1 == actions.len(), &what);
        }
        if let Some(deadline) = self.machine.deadline() {
            assert!(deadline > at(self.now).monotonic, "a deadline in the past after {what:?}");
        }
        if !self.ended {
            self.check_status(&what);
        }
    }

    fn restarts_all(&self) -> bool {
        let kind = crate::model::status::ConditionKind::AllContainersRestarting;
        self.machine.status().condition(kind).is_some_and(|condition| condition.met)
    }

    fn see_progress(&mut self) {
        for (index, container) in self.machine.status().all_containers().enumerate() {
            self.done[index] |= match self.spec.role(index) {
                Role::Init => {
                    matches!(&container.state, ContainerState::Terminated(end) if end.exit_code == 0)
                }
                Role::Sidecar => container.started,
                Role::App => false,
            };
        }
    }

    /// Whether what comes before a container is done.
    fn check_turn(&self, index: usize) {
        let inits = self.spec.init_containers.len();
        assert!(self.done[..index.min(inits)].iter().all(|done| *done), "{index} before its turn");
        assert!(self.spec.role(index) != Role::Init || !self.done[index], "an init container twice");
    }

    fn check_wait(&self, index: usize) {
        let (crashes, last) = self.crashes[index];
        if crashes >= 2 && !self.stopped_once[index] {
            let wait = 300_000.min(10_000 << (crashes - 2).min(10));
            assert!(
                self.now >= last + wait,
                "{index} made again too soon: {} {last} {crashes} {:?}",
                self.now,
                self.machine.status()
            );
        }
    }

    fn is_alive(&self, index: usize) -> bool {
        matches!(self.things[index], Thing::Program | Thing::Starting | Thing::Waiting | Thing::Making { .. })
    }

    fn check_signal(&mut self, index: usize, signal: Signal) {
        assert!(matches!(self.things[index], Thing::Program | Thing::Dead));
        let later = (index + 1..self.things.len()).filter(|later| self.spec.role(*later) != Role::Init);
        let turn = !later.into_iter().any(|later| self.is_alive(later));
        if signal == Signal::Stop && self.stopping && self.spec.role(index) == Role::Sidecar {
            // One that was being stopped already keeps to its own grace period.
            let kill = self.machine.status().memory.containers[index].kill.as_ref();
            let over = self.now >= self.stop_end || kill.is_none_or(|kill| kill.until <= self.now + 1);
            assert!(turn || over || self.signaled[index], "a sidecar before its turn");
        }
        (self.signaled[index], self.stopped_once[index]) = (true, true);
    }

    fn check(&mut self, action: Action, last: bool, event: &Event) {
        match action {
            Action::Make { index, restart, at_once } => {
                assert!(!self.stopping, "made while stopping");
                assert!(!self.restarts_all(), "made while all go");
                assert_eq!(self.things[index], Thing::Nothing, "made twice after {event:?}");
                assert_eq!(restart, self.restarts[index].map_or(0, |number| number + 1));
                self.check_turn(index);
                self.check_wait(index);
                self.things[index] = Thing::Making { at_once };
            }
            Action::Start { index } => {
                assert!(!self.stopping);
                assert_eq!(self.things[index], Thing::Waiting);
                self.things[index] = Thing::Starting;
            }
            Action::Signal { index, signal } => self.check_signal(index, signal),
            Action::Remove { index } => {
                assert!(matches!(self.things[index], Thing::Dead | Thing::Waiting), "{event:?}");
                self.things[index] = Thing::Removing;
            }
            Action::Probe { index, restart, kind } => {
                assert_eq!(
                    (self.things[index], self.restarts[index]),
                    (Thing::Program, Some(restart)),
                    "{event:?}"
                );
                assert!(!self.probes.contains(&(index, restart, kind)), "asked twice");
                assert!(kind == ProbeKind::Readiness || !self.stopping && !self.signaled[index]);
                let started = self.machine.status().container_at(index).unwrap().started;
                assert_eq!(started, kind != ProbeKind::Startup);
                self.probes.push((index, restart, kind));
            }
            Action::Hook { index, restart, hook } => {
                assert_eq!(
                    (self.things[index], self.restarts[index]),
                    (Thing::Program, Some(restart)),
                    "{event:?}"
                );
                assert!(!self.hooks.contains(&(index, restart, hook)), "a hook twice");
                assert!(!self.signaled[index], "a hook behind the signal");
                self.hooks.push((index, restart, hook));
            }
            Action::Measure => {
                assert!(!self.measuring && !self.stopping);
                self.measuring = true;
            }
            Action::End => {
                assert!(last && !self.ended);
                assert!(self.things.iter().all(|thing| *thing == Thing::Nothing));
                assert!(self.machine.status().has_ended());
                self.ended = true;
            }
        }
    }

    fn check_status(&self, event: &Event) {
        let status = self.machine.status();
        for (index, container) in status.all_containers().enumerate() {
            let running = container.state.is_running();
            let done = self.spec.role(index) == Role::Init && self.done[index];
            assert!(
                !container.ready || container.started && running || done,
                "{event:?} {index} {container:?}"
            );
            assert!(!container.started || running);
            assert_eq!(container.restart_count, self.restarts[index].unwrap_or(0));
            if running {
                assert!(matches!(self.things[index], Thing::Program | Thing::Dead));
            }
        }
        if status.has_ended() {
            assert!(
                (0..self.things.len())
                    .all(|index| !self.is_alive(index) || self.things[index] == Thing::Dead),
                "{event:?} {:?} {status:?} {:?}",
                self.things,
                self.spec
            );
        }
        let ready = status.condition(crate::model::status::ConditionKind::Ready).unwrap().met;
        assert!(!ready || status.containers.iter().all(|container| container.ready));
    }

    /// Its process has ended by itself, or because it was told to.
    fn ends(&mut self, index: usize) {
        self.things[index] = Thing::Dead;
        self.crashes[index] = (self.crashes[index].0 + 1, self.now);
        self.forget(index);
    }

    fn forget(&mut self, index: usize) {
        self.signaled[index] = false;
        self.probes.retain(|(of, ..)| *of != index);
        self.hooks.retain(|(of, ..)| *of != index);
    }

    /// A question is answered, or a hook ends.
    fn answer(&mut self) {
        let fails = self.dice.below(3) == 0;
        if self.measuring {
            self.measuring = false;
            let evicts = self.dice.below(20) == 0;
            if evicts && !self.stopping && !self.machine.is_ending() {
                (self.stopping, self.evicted) = (true, true);
                self.stop_end = self.now + 1000;
            }
            let containers = vec![1 << 10, u64::from(evicts) << 30];
            let usage = (!fails || evicts).then_some(DiskUsage { volumes: vec![], containers });
            self.tell(Event::Measured { usage });
        } else if !self.probes.is_empty() && self.dice.below(2) == 0 {
            let (index, restart, kind) = self.probes.swap_remove(self.dice.below(self.probes.len()));
            let result = match self.dice.below(8) {
                0 => ProbeResult::Unknown("x".into()),
                _ if fails => ProbeResult::Failure("x".into()),
                _ => ProbeResult::Success,
            };
            self.tell(Event::Probed { index, restart, kind, result });
        } else if !self.hooks.is_empty() {
            let (index, restart, hook) = self.hooks.swap_remove(self.dice.below(self.hooks.len()));
            let result = if fails { Err("x".into()) } else { Ok(()) };
            self.tell(Event::Hooked { index, restart, hook, result });
        }
    }

    /// One container's world moves on.
    fn step(&mut self, index: usize) {
        let fails = self.dice.below(4) == 0;
        let message = format!("trouble {}", self.dice.below(2));
        match self.things[index] {
            Thing::Nothing => {}
            Thing::Making { .. } if fails => {
                self.things[index] = Thing::Nothing;
                self.tell(Event::NotMade { index, reason: "CreateContainerError", message });
            }
            Thing::Making { at_once } => {
                let restart = self.restarts[index].map_or(0, |number| number + 1);
                self.restarts[index] = Some(restart);
                self.things[index] = if at_once { Thing::Starting } else { Thing::Waiting };
                self.tell(made(index, restart));
            }
            Thing::Starting if fails => {
                self.ends(index);
                self.tell(Event::NotStarted { index, message });
            }
            Thing::Starting => {
                self.things[index] = Thing::Program;
                self.tell(Event::Started { index });
            }
            Thing::Waiting if !fails => {}
            Thing::Waiting if self.dice.below(2) == 0 => {
                self.things[index] = Thing::Dead;
                self.tell(Event::NotStarted { index, message });
            }
            Thing::Waiting | Thing::Program if self.dice.below(8) == 0 => {
                if self.things[index] == Thing::Program {
                    self.ends(index);
                }
                self.things[index] = Thing::Nothing; // by somebody else
                self.tell(Event::Removed { index });
            }
            Thing::Waiting | Thing::Program => {
                let outcome = match self.dice.below(4) {
                    0 => Outcome::Signaled(9),
                    1 => Outcome::Unknown,
                    code => Outcome::Exited(i32::from(code == 3)),
                };
                if self.things[index] == Thing::Program {
                    self.ends(index);
                }
                self.things[index] = Thing::Dead;
                self.tell(Event::Exited { index, outcome, oom_killed: fails, message: None });
            }
            Thing::Dead => panic!("a dead container is not removed"),
            Thing::Removing => {
                self.things[index] = Thing::Nothing;
                self.tell(Event::Removed { index });
            }
        }
    }

    /// The supervisor dies, and another one looks what there is.
    fn change_supervisor(&mut self) {
        let count = self.things.len();
        (self.probes, self.hooks, self.measuring) = (vec![], vec![], false);
        // What was only being made or removed is finished or given up by whoever comes next.
        let text = serde_json::to_string(self.machine.status()).unwrap();
        let status = serde_json::from_str(&text).unwrap();
        self.machine = Machine::resume(&self.spec, &uid(), status, at(self.now));
        for index in 0..count {
            let container_id = format!("uid.c{index}.{}", self.restarts[index].unwrap_or(0));
            let restart = self.restarts[index].unwrap_or(0);
            let adopt =
                |started| Event::Adopted { index, container_id: container_id.clone(), restart, started };
            match self.things[index] {
                Thing::Nothing | Thing::Making { .. } | Thing::Removing => {
                    self.things[index] = Thing::Nothing;
                    self.tell(Event::Removed { index });
                }
                Thing::Waiting | Thing::Starting => {
                    self.things[index] = Thing::Waiting;
                    self.tell(adopt(false));
                }
                Thing::Program => self.tell(adopt(true)),
                Thing::Dead => panic!("a dead container is not removed"),
            }
        }
    }

    fn turn(&mut self) {
        let index = self.dice.below(self.things.len());
        match self.dice.below(40) {
            0 => self.tell(Event::Start),
            1 => self.tell(Event::SandboxChanged),
            2 if self.now > 20_000 => {
                let grace_seconds = u64::try_from(self.dice.below(5)).unwrap();
                self.tell(Event::Stop { grace_seconds });
            }
            3 if !self.ended => self.change_supervisor(),
            4 => {
                // Late and senseless news must not matter.
                let stale = [made(index, 99), Event::Removed { index }, adopted(9, true)];
                let fitting = match self.things[index] {
                    Thing::Making { .. } => &stale[1..],
                    Thing::Nothing => &stale[..],
                    _ => &stale[..1],
                };
                let event = fitting[self.dice.below(fitting.len())].clone();
                self.tell(event);
            }
            5..=10 => self.answer(),
            11 if self.now > 10_000 => {
                let containers = &mut self.spec.containers;
                containers[0].image = format!("busybox:{}", self.dice.below(2));
                self.stopped_once[self.spec.init_containers.len()] = true;
                let spec = Box::new(self.spec.clone());
                self.tell(Event::Update { spec, resized: vec![] });
            }
            11..=19 => {
                self.now += u64::try_from(self.dice.below(4000)).unwrap();
                self.tell(Event::Time);
            }
            _ => self.step(index),
        }
    }
}

/// A pod of up to three init containers and three containers, with this and that.
fn any_pod(dice: &mut Dice) -> PodSpec {
    let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
    let mut any = |name: String, is_init: bool| {
        let mut spec = container(&name);
        if is_init && dice.below(2) == 0 {
            spec.restart_policy = Some(RestartPolicy::Always);
        } else if dice.below(6) == 0 {
            spec.restart_policy = (!is_init).then_some(RestartPolicy::OnFailure);
        }
        if dice.below(2) == 0 {
            spec.restart_policy.get_or_insert(RestartPolicy::Never);
            let (action, operator) = (RestartAction::RestartAllContainers, RestartOperator::In);
            spec.restart_policy_rules = vec![RestartRule { action, operator, values: vec![1, 143] }];
        }
        let mut maybe = |delay| probe(delay, 2, 2).filter(|_| dice.below(4) == 0);
        (spec.startup_probe, spec.liveness_probe, spec.readiness_probe) = (maybe(0), maybe(3), maybe(1));
        let mut hook = || match dice.below(6) {
            0 => exec(),
            1 => sleep(2),
            _ => None,
        };
        (spec.lifecycle.post_start, spec.lifecycle.pre_stop) = (hook(), hook());
        spec.resources.limits.ephemeral_storage_bytes = (dice.below(4) == 0).then_some(1 << 20);
        spec
    };
    let inits = (0..3).map(|index| any(format!("i{index}"), true)).collect::<Vec<_>>();
    let apps = (0..3).map(|index| any(format!("c{index}"), false)).collect::<Vec<_>>();
    let (init_count, app_count) = (dice.below(4), 1 + dice.below(3));
    let policy = policies[dice.below(3)];
    let active_deadline_seconds = (dice.below(8) == 0).then_some(200);
    PodSpec {
        active_deadline_seconds,
        ..pod_of(policy, inits[..init_count].to_vec(), apps[..app_count].to_vec())
    }
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let (mut initialized, mut all_restarts, mut evicted) = (0, 0, 0);
    for seed in 1..=2000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let spec = any_pod(&mut dice);
        let count = spec.all_containers().count();
        let mut world = World::new(spec, dice);
        world.tell(Event::Create);
        for _ in 0..400 {
            world.turn();
        }
        initialized += u32::from(world.restarts[count - 1].is_some());
        all_restarts += world.all_restarts;
        if world.evicted {
            evicted += 1;
            assert_eq!(world.machine.status().reason.as_deref(), Some("Evicted"));
        }
        // Told to stop, every pod comes to its end.
        world.tell(Event::Stop { grace_seconds: 1 });
        for _ in 0..4000 {
            if world.ended {
                break;
            }
            world.now += 100;
            world.tell(Event::Time);
            let index = world.dice.below(count);
            world.step(index);
        }
        assert!(world.ended, "seed {seed} never ends");
        assert_eq!(world.machine.deadline(), None, "seed {seed}");
    }
    assert!(initialized > 500, "many worlds come far: {initialized}");
    assert!(all_restarts > 200, "many restart as a whole: {all_restarts}");
    assert!(evicted > 20, "some are evicted: {evicted}");
}
