//! A world that does what the machine says, when it likes, and now and then something nobody asked for.

use super::*;

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
    dice: Dice,
    things: Vec<Thing>,
    /// The number that was last made, and whether there was one.
    restarts: Vec<Option<u32>>,
    now: u64,
    policy: RestartPolicy,
    stopping: bool,
    ended: bool,
}

impl World {
    fn tell(&mut self, event: Event) {
        self.stopping |= matches!(event, Event::Stop { .. });
        let what = event.clone();
        let actions = self.machine.handle(event, at(self.now));
        assert!(!self.ended || actions.is_empty(), "{actions:?} after the end");
        for (position, action) in actions.iter().enumerate() {
            self.check(*action, position + 1 == actions.len(), &what);
        }
        if let Some(deadline) = self.machine.deadline() {
            assert!(deadline > at(self.now).monotonic, "a deadline in the past after {what:?}");
        }
        if !self.ended {
            self.check_status();
        }
    }

    fn check(&mut self, action: Action, last: bool, event: &Event) {
        match action {
            Action::Make { index, restart, at_once } => {
                assert!(!self.stopping, "made while stopping");
                assert_eq!(self.things[index], Thing::Nothing, "made twice after {event:?}");
                assert_eq!(restart, self.restarts[index].map_or(0, |number| number + 1));
                self.things[index] = Thing::Making { at_once };
            }
            Action::Start { index } => {
                assert!(!self.stopping);
                assert_eq!(self.things[index], Thing::Waiting);
                self.things[index] = Thing::Starting;
            }
            Action::Signal { index, .. } => {
                assert!(self.stopping);
                assert!(matches!(self.things[index], Thing::Program | Thing::Dead), "{event:?}");
            }
            Action::Remove { index } => {
                assert!(matches!(self.things[index], Thing::Dead | Thing::Waiting), "{event:?}");
                self.things[index] = Thing::Removing;
            }
            Action::Probe { .. } | Action::Hook { .. } => {}
            Action::End => {
                assert!(last && !self.ended);
                assert!(self.things.iter().all(|thing| *thing == Thing::Nothing));
                assert!(self.machine.status().has_ended());
                self.ended = true;
            }
        }
    }

    fn check_status(&self) {
        for (index, container) in self.machine.status().containers.iter().enumerate() {
            assert_eq!(container.ready, container.state.is_running());
            assert_eq!(container.restart_count, self.restarts[index].unwrap_or(0));
            if container.state.is_running() {
                assert!(matches!(self.things[index], Thing::Program | Thing::Dead));
            }
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
                self.things[index] = Thing::Dead;
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
                self.things[index] = Thing::Nothing; // by somebody else
                self.tell(Event::Removed { index });
            }
            Thing::Waiting | Thing::Program => {
                let outcome = match self.dice.below(4) {
                    0 => Outcome::Signaled(9),
                    1 => Outcome::Unknown,
                    code => Outcome::Exited(i32::from(code == 3)),
                };
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
        // What was only being made or removed is finished or given up by whoever comes next.
        self.machine = resumed(&self.machine, self.policy, count, at(self.now));
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
            5..=14 => {
                self.now += u64::try_from(self.dice.below(1500)).unwrap();
                self.tell(Event::Time);
            }
            _ => self.step(index),
        }
    }
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
    for seed in 1..=1000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (policy, count) = (policies[dice.below(3)], 1 + dice.below(3));
        let mut world = World {
            machine: new(policy, count),
            dice,
            things: vec![Thing::Nothing; count],
            restarts: vec![None; count],
            now: 0,
            policy,
            stopping: false,
            ended: false,
        };
        world.tell(Event::Create);
        for _ in 0..300 {
            world.turn();
        }
        // Told to stop, every pod comes to its end.
        world.tell(Event::Stop { grace_seconds: 1 });
        for _ in 0..2000 {
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
}
