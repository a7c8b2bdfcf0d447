//! Tables of what happens when, and random sequences against what must always hold.

use super::*;
use crate::model::podspec::{ContainerSpec, PodSpec, RestartPolicy};
use crate::model::status::{ContainerState, EventKind, MOST_EVENTS, Phase, PodStatus};

fn pod(policy: RestartPolicy, count: usize) -> PodSpec {
    let container = |index| ContainerSpec::new(format!("c{index}").parse().unwrap(), "busybox");
    PodSpec {
        restart_policy: policy,
        containers: (0..count).map(container).collect(),
        ..PodSpec::new("web".parse().unwrap(), "default".parse().unwrap())
    }
}

fn settings() -> Settings {
    Settings::of(&"01234567-89ab-cdef-0123-456789abcdef".parse().unwrap())
}

fn new(policy: RestartPolicy, count: usize) -> Machine {
    Machine::new(&pod(policy, count), settings())
}

/// Any moment; the wall clock shows seconds of it, from 1000 on.
fn at(millis: u64) -> Now {
    Now { monotonic: Duration::from_millis(millis), wall: 1000 + millis / 1000 }
}

fn made(index: usize, restart: u32) -> Event {
    Event::Made { index, container_id: format!("uid.c{index}.{restart}"), image_id: "sha256:1".into() }
}

fn exited(index: usize, code: i32) -> Event {
    Event::Exited { index, outcome: Outcome::Exited(code), oom_killed: false, message: None }
}

fn make(index: usize, restart: u32, at_once: bool) -> Action {
    Action::Make { index, restart, at_once }
}

fn signal(index: usize, signal: Signal) -> Action {
    Action::Signal { index, signal }
}

const REMOVE: Action = Action::Remove { index: 0 };

/// A pod of `count` running containers at 0 ms.
fn running(policy: RestartPolicy, count: usize) -> Machine {
    let mut machine = new(policy, count);
    machine.handle(Event::Create, at(0));
    (0..count).for_each(|index| drop(machine.handle(made(index, 0), at(0))));
    machine.handle(Event::Start, at(0));
    (0..count).for_each(|index| drop(machine.handle(Event::Started { index }, at(0))));
    machine
}

fn reason(machine: &Machine, index: usize) -> String {
    match &machine.status().containers[index].state {
        ContainerState::Waiting { reason, .. } => reason.clone(),
        ContainerState::Running { .. } => "Running".into(),
        ContainerState::Terminated(end) => end.reason.clone(),
    }
}

fn count_of(machine: &Machine, reason: &str) -> u32 {
    machine.status().events.iter().filter(|event| event.reason == reason).map(|event| event.count).sum()
}

#[test]
fn a_pod_is_made_waits_and_starts_together() {
    let mut machine = new(RestartPolicy::Always, 2);
    assert!(machine.take_changed() && !machine.take_changed());
    assert_eq!(machine.handle(Event::Time, at(0)), []);
    assert_eq!(machine.handle(Event::Create, at(0)), [make(0, 0, false), make(1, 0, false)]);
    assert_eq!(machine.handle(Event::Create, at(0)), []);
    assert_eq!(machine.handle(made(0, 0), at(1)), []);
    assert_eq!(reason(&machine, 0), "ContainerCreating");
    assert_eq!(machine.status().phase, Phase::Pending);
    // What is made when the pod starts goes on then, the rest as soon as it is made.
    assert_eq!(machine.handle(Event::Start, at(2)), [Action::Start { index: 0 }]);
    assert_eq!(machine.handle(Event::Start, at(2)), []);
    assert_eq!(machine.handle(made(1, 0), at(3)), [Action::Start { index: 1 }]);
    assert_eq!(machine.handle(Event::Started { index: 0 }, at(4)), []);
    assert_eq!(machine.status().phase, Phase::Pending);
    assert_eq!(machine.handle(Event::Started { index: 1 }, at(1005)), []);
    let status = machine.status();
    assert_eq!((status.phase, status.started_at), (Phase::Running, Some(1000)));
    let container = &status.containers[1];
    assert_eq!(container.state, ContainerState::Running { started_at: 1001 });
    assert!(container.ready && container.started && container.restart_count == 0);
    assert_eq!(container.container_id.as_deref(), Some("uid.c1.0"));
    assert_eq!(container.image_id.as_deref(), Some("sha256:1"));
    let words: Vec<_> = status.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(words, ["Pulled", "Created", "Pulled", "Created", "Started", "Started"]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn ends_in_kubernetes_words() {
    for (outcome, oom_killed, reason, exit_code, signal) in [
        (Outcome::Exited(0), false, "Completed", 0, None),
        (Outcome::Exited(0), true, "Completed", 0, None), // a child of it was killed, and it did not mind
        (Outcome::Exited(3), false, "Error", 3, None),
        (Outcome::Signaled(9), true, "OOMKilled", 137, Some(9)),
        (Outcome::Exited(1), true, "OOMKilled", 1, None),
        (Outcome::Signaled(15), false, "Error", 143, Some(15)),
        (Outcome::Unknown, false, "ContainerStatusUnknown", 137, None),
    ] {
        let mut machine = running(RestartPolicy::Never, 1);
        assert_eq!(
            machine.handle(Event::Exited { index: 0, outcome, oom_killed, message: None }, at(5000)),
            [REMOVE]
        );
        let status = &machine.status().containers[0];
        let ContainerState::Terminated(end) = &status.state else { panic!("{status:?}") };
        assert_eq!((end.reason.as_str(), end.exit_code, end.signal), (reason, exit_code, signal));
        assert_eq!((end.started_at, end.finished_at), (Some(1000), 1005));
        assert!(!status.ready && !status.started);
        assert_eq!(machine.handle(Event::Removed { index: 0 }, at(5000)), [Action::End]);
        let phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
        assert_eq!(machine.status().phase, phase, "{outcome:?}");
        assert_eq!(machine.handle(Event::Stop { grace_seconds: 0 }, at(6000)), []);
    }
}

#[test]
fn restart_policies() {
    for (policy, code, again) in [
        (RestartPolicy::Always, 0, true),
        (RestartPolicy::Always, 1, true),
        (RestartPolicy::OnFailure, 0, false),
        (RestartPolicy::OnFailure, 1, true),
        (RestartPolicy::Never, 0, false),
        (RestartPolicy::Never, 1, false),
    ] {
        let mut machine = running(policy, 1);
        assert_eq!(machine.handle(exited(0, code), at(1500)), [REMOVE]);
        assert_eq!(machine.status().phase == Phase::Running, again, "{policy:?} {code}");
        let next = machine.handle(Event::Removed { index: 0 }, at(1500));
        assert_eq!(next, [if again { make(0, 1, true) } else { Action::End }], "{policy:?} {code}");
        if again {
            assert_eq!(machine.status().containers[0].restart_count, 0);
            assert_eq!(machine.handle(made(0, 1), at(1500)), []);
            assert_eq!(machine.handle(Event::Started { index: 0 }, at(1500)), []);
            let status = &machine.status().containers[0];
            assert_eq!(status.restart_count, 1);
            assert_eq!(status.last_state.as_ref().unwrap().exit_code, code);
        }
    }
}

#[test]
fn a_crash_loop_does_not_spin() {
    let mut machine = running(RestartPolicy::Always, 1);
    machine.handle(exited(0, 1), at(300));
    assert_eq!(reason(&machine, 0), "CrashLoopBackOff");
    assert_eq!(machine.deadline(), None); // it is not yet gone
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(310)), []);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(1)));
    assert_eq!(machine.handle(Event::Time, at(999)), []);
    assert_eq!(machine.handle(Event::Time, at(1000)), [make(0, 1, true)]);
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.status().phase, Phase::Running);
    assert_eq!(machine.status().containers[0].last_state.as_ref().unwrap().exit_code, 1);
    assert_eq!(count_of(&machine, "BackOff"), 1);
}

#[test]
fn what_cannot_be_made_is_tried_again_less_and_less_often() {
    let mut machine = new(RestartPolicy::Never, 1);
    machine.handle(Event::Create, at(0));
    let fails =
        |message: &str| Event::NotMade { index: 0, reason: "CreateContainerError", message: message.into() };
    let mut now = 0;
    for delay in [1, 2, 4, 8, 10, 10] {
        assert_eq!(machine.handle(fails("no space"), at(now)), []);
        assert_eq!(reason(&machine, 0), "CreateContainerError");
        now += delay * 1000;
        assert_eq!(machine.deadline(), Some(Duration::from_millis(now)));
        // Nothing was made, so the number stays.
        assert_eq!(machine.handle(Event::Time, at(now)), [make(0, 0, false)]);
    }
    assert_eq!(machine.status().phase, Phase::Pending);
    assert_eq!(count_of(&machine, "Failed"), 6);
    machine.handle(fails("no memory"), at(now));
    assert_eq!(machine.deadline(), Some(Duration::from_millis(now + 1000)));
}

#[test]
fn what_cannot_be_started_ends_by_policy() {
    for (policy, again) in [(RestartPolicy::Always, true), (RestartPolicy::Never, false)] {
        let mut machine = new(policy, 1);
        machine.handle(Event::Create, at(0));
        machine.handle(made(0, 0), at(0));
        machine.handle(Event::Start, at(0));
        let failed = Event::NotStarted { index: 0, message: "no such program".into() };
        assert_eq!(machine.handle(failed, at(0)), [REMOVE]);
        let status = &machine.status().containers[0];
        let end = match &status.state {
            ContainerState::Terminated(end) => end,
            _ => status.last_state.as_ref().unwrap(),
        };
        assert_eq!((end.reason.as_str(), end.exit_code, end.started_at), ("StartError", 128, None));
        assert_eq!(end.message.as_deref(), Some("no such program"));
        let next = machine.handle(Event::Removed { index: 0 }, at(0));
        if again {
            assert_eq!((next, reason(&machine, 0).as_str()), (vec![], "RunContainerError"));
            assert_eq!(machine.handle(Event::Time, at(1000)), [make(0, 1, true)]);
            assert_eq!(machine.status().phase, Phase::Running); // as the kubelet: it has ended once
        } else {
            assert_eq!((next, machine.status().phase), (vec![Action::End], Phase::Failed));
        }
    }
}

#[test]
fn an_init_that_dies_before_the_start_is_made_again_whatever_the_policy() {
    let mut machine = new(RestartPolicy::Never, 1);
    machine.handle(Event::Create, at(0));
    machine.handle(made(0, 0), at(0));
    assert_eq!(machine.handle(exited(0, 1), at(10)), [REMOVE]);
    machine.handle(Event::Removed { index: 0 }, at(10));
    assert_eq!(machine.status().phase, Phase::Pending);
    assert_eq!(machine.handle(Event::Time, at(1010)), [make(0, 1, false)]);
    // Likewise where whoever made it lost it.
    machine.handle(made(0, 1), at(1010));
    let lost = Event::NotStarted { index: 0, message: "no pidfd".into() };
    assert_eq!(machine.handle(lost, at(1010)), [REMOVE]);
    assert_eq!(
        (machine.status().phase, reason(&machine, 0).as_str()),
        (Phase::Pending, "CreateContainerError")
    );
}

#[test]
fn a_stop_asks_waits_and_kills() {
    let mut machine = running(RestartPolicy::Always, 2);
    let stop = machine.handle(Event::Stop { grace_seconds: 10 }, at(5000));
    assert_eq!(stop, [signal(0, Signal::Stop), signal(1, Signal::Stop)]);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(15)));
    assert_eq!((machine.status().phase, machine.status().stopping_since), (Phase::Running, Some(1005)));
    assert_eq!(machine.handle(exited(0, 0), at(6000)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(6000)), []);
    assert_eq!(machine.status().phase, Phase::Running);
    // Longer changes nothing, shorter does.
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 60 }, at(6000)), []);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(15)));
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 2 }, at(6000)), []);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(8)));
    assert_eq!(machine.status().stop_grace_seconds, Some(3));
    assert_eq!(machine.handle(Event::Time, at(8000)), [signal(1, Signal::Kill)]);
    assert_eq!(machine.deadline(), None);
    let killed = Event::Exited { index: 1, outcome: Outcome::Signaled(9), oom_killed: false, message: None };
    assert_eq!(machine.handle(killed, at(8001)), [Action::Remove { index: 1 }]);
    assert_eq!(machine.handle(Event::Removed { index: 1 }, at(8002)), [Action::End]);
    assert_eq!(machine.status().phase, Phase::Failed);
    assert_eq!(count_of(&machine, "Killing"), 2);
}

#[test]
fn no_grace_kills_at_once_and_a_second_stop_can_too() {
    let mut machine = running(RestartPolicy::Always, 1);
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 0 }, at(1)), [signal(0, Signal::Kill)]);
    let mut machine = running(RestartPolicy::Always, 1);
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 9 }, at(1)), [signal(0, Signal::Stop)]);
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 0 }, at(2)), [signal(0, Signal::Kill)]);
    machine.handle(exited(0, 0), at(3));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(3)), [Action::End]);
    assert_eq!(machine.status().phase, Phase::Succeeded); // it ended well, if late
}

#[test]
fn a_stop_finds_containers_at_every_stage() {
    let stop = || Event::Stop { grace_seconds: 5 };
    // Nothing made.
    let mut machine = new(RestartPolicy::Always, 1);
    assert_eq!(machine.handle(stop(), at(0)), [Action::End]);
    assert_eq!(
        (machine.status().phase, reason(&machine, 0).as_str()),
        (Phase::Failed, "ContainerStatusUnknown")
    );
    // Being made.
    let mut machine = new(RestartPolicy::Always, 1);
    machine.handle(Event::Create, at(0));
    assert_eq!(machine.handle(stop(), at(0)), []);
    assert_eq!(machine.handle(made(0, 0), at(1)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(1)), [Action::End]);
    // Being made, in vain.
    let mut machine = new(RestartPolicy::Always, 1);
    machine.handle(Event::Create, at(0));
    machine.handle(stop(), at(0));
    let failed = Event::NotMade { index: 0, reason: "CreateContainerError", message: "x".into() };
    assert_eq!(machine.handle(failed, at(1)), [Action::End]);
    // Made.
    let mut machine = new(RestartPolicy::Always, 1);
    machine.handle(Event::Create, at(0));
    machine.handle(made(0, 0), at(0));
    assert_eq!(machine.handle(stop(), at(0)), [REMOVE]);
    assert_eq!(machine.handle(Event::Start, at(0)), []);
    // Starting: told as soon as it can hear, killed when it is too late for that.
    for (when, what) in [(1, Signal::Stop), (5000, Signal::Kill)] {
        let mut machine = new(RestartPolicy::Always, 1);
        machine.handle(Event::Create, at(0));
        machine.handle(made(0, 0), at(0));
        machine.handle(Event::Start, at(0));
        assert_eq!(machine.handle(stop(), at(0)), []);
        assert_eq!(machine.handle(Event::Started { index: 0 }, at(when)), [signal(0, what)]);
    }
    // Waiting to be made again: what ended last counts.
    let mut machine = running(RestartPolicy::Always, 1);
    machine.handle(exited(0, 0), at(10));
    machine.handle(Event::Removed { index: 0 }, at(10));
    assert_eq!(reason(&machine, 0), "CrashLoopBackOff");
    assert_eq!(machine.handle(stop(), at(20)), [Action::End]);
    assert_eq!((machine.status().phase, reason(&machine, 0).as_str()), (Phase::Succeeded, "Completed"));
}

#[test]
fn a_pod_fails_for_a_reason_of_its_own() {
    let mut machine = running(RestartPolicy::Always, 1);
    let fail =
        Event::Fail { reason: "SandboxBroken".into(), message: "pause is gone".into(), grace_seconds: 0 };
    assert_eq!(machine.handle(fail, at(0)), [signal(0, Signal::Kill)]);
    assert_eq!(machine.status().phase, Phase::Running);
    machine.handle(exited(0, 0), at(1));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(1)), [Action::End]);
    let status = machine.status();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("SandboxBroken")));
}

#[test]
fn somebody_else_may_remove_a_container() {
    let mut machine = running(RestartPolicy::Always, 1);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(2000)), [make(0, 1, true)]);
    let end = match &machine.status().containers[0].state {
        ContainerState::Terminated(end) => end.clone(),
        state => panic!("{state:?}"),
    };
    assert_eq!((end.reason.as_str(), end.exit_code), ("ContainerStatusUnknown", 137));
}

/// What a new supervisor gets to read: the status goes through its text.
fn resumed(machine: &Machine, policy: RestartPolicy, count: usize, now: Now) -> Machine {
    let text = serde_json::to_string(machine.status()).unwrap();
    Machine::resume(&pod(policy, count), settings(), serde_json::from_str::<PodStatus>(&text).unwrap(), now)
}

fn adopted(restart: u32, started: bool) -> Event {
    Event::Adopted { index: 0, container_id: format!("uid.c0.{restart}"), restart, started }
}

#[test]
fn a_new_supervisor_finds_containers_running_dead_and_gone() {
    let policy = RestartPolicy::Always;
    let before = running(policy, 1);
    // Alive.
    let mut machine = resumed(&before, policy, 1, at(9000));
    assert_eq!(machine.handle(Event::Time, at(9000)), []);
    assert_eq!(machine.handle(adopted(0, true), at(9000)), []);
    assert_eq!(machine.status().containers, before.status().containers);
    // Dead: started nobody knows when before, so the floor counts from now.
    assert_eq!(machine.handle(exited(0, 3), at(9100)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9100)), []);
    assert_eq!(machine.handle(Event::Time, at(10_000)), [make(0, 1, true)]);
    // Gone.
    let mut machine = resumed(&before, policy, 1, at(9000));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9000)), []);
    assert_eq!(machine.status().containers[0].last_state.as_ref().unwrap().reason, "ContainerStatusUnknown");
    assert_eq!(machine.handle(Event::Time, at(10_000)), [make(0, 1, true)]);
}

#[test]
fn a_new_supervisor_finds_what_the_old_one_could_not_write_down() {
    let policy = RestartPolicy::Always;
    // It was made, and waits for the start that had been asked for.
    let mut before = new(policy, 1);
    before.handle(Event::Create, at(0));
    before.handle(Event::Start, at(0));
    let mut machine = resumed(&before, policy, 1, at(9000));
    assert_eq!(machine.handle(adopted(0, false), at(9000)), [Action::Start { index: 0 }]);
    // Its end was written down, and it is still there.
    let mut before = running(RestartPolicy::Never, 1);
    before.handle(exited(0, 4), at(5000));
    let mut machine = resumed(&before, RestartPolicy::Never, 1, at(9000));
    assert_eq!(machine.handle(adopted(0, true), at(9000)), [REMOVE]);
    assert_eq!(machine.handle(exited(0, 9), at(9000)), []);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9000)), [Action::End]);
    assert_eq!(machine.status().containers[0].restart_count, 0);
    // After its end it was made again, and already runs.
    let mut before = running(policy, 1);
    before.handle(exited(0, 4), at(5000));
    let mut machine = resumed(&before, policy, 1, at(9000));
    assert_eq!(machine.handle(adopted(1, true), at(9000)), []);
    let status = &machine.status().containers[0];
    assert_eq!((status.restart_count, status.last_state.as_ref().unwrap().exit_code), (1, 4));
    assert!(status.state.is_running() && status.ready);
    // Nothing had been made.
    let mut machine = resumed(&new(policy, 1), policy, 1, at(9000));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9000)), [make(0, 0, false)]);
}

#[test]
fn a_new_supervisor_goes_on_stopping() {
    let mut before = running(RestartPolicy::Always, 1);
    before.handle(Event::Stop { grace_seconds: 10 }, at(2000));
    let mut machine = resumed(&before, RestartPolicy::Always, 1, at(5000));
    assert_eq!(machine.deadline(), Some(Duration::from_secs(12)));
    assert_eq!(machine.handle(adopted(0, true), at(5000)), [signal(0, Signal::Stop)]);
    assert_eq!(machine.handle(Event::Time, at(12_000)), [signal(0, Signal::Kill)]);
    let mut machine = resumed(&before, RestartPolicy::Always, 1, at(20_000));
    assert_eq!(machine.handle(adopted(0, true), at(20_000)), [signal(0, Signal::Kill)]);
    let mut machine = resumed(&before, RestartPolicy::Always, 1, at(5000));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(5000)), [Action::End]);
}

#[test]
fn events_are_merged_and_bounded() {
    let mut machine = running(RestartPolicy::Always, 1);
    machine.handle(Event::SandboxChanged, at(0));
    machine.handle(Event::SandboxChanged, at(7000));
    let last = machine.status().events.last().unwrap();
    assert_eq!((last.reason.as_str(), last.count, last.at), ("SandboxChanged", 2, 1007));
    for number in 0..100 {
        machine.note(EventKind::Warning, "Noise", Some(0), format!("{number}"), at(number));
    }
    let events = &machine.status().events;
    assert_eq!(events.len(), MOST_EVENTS);
    assert_eq!(events.last().unwrap().message, "99");
}

#[test]
fn phases_of_several_containers() {
    // Running beats ended; one that never ran makes it Pending; all ended well is Succeeded but for Always.
    let mut machine = running(RestartPolicy::OnFailure, 2);
    machine.handle(exited(0, 0), at(5000));
    assert_eq!(machine.status().phase, Phase::Running);
    machine.handle(exited(1, 1), at(5000));
    assert_eq!(machine.status().phase, Phase::Running);
    machine.handle(Event::Removed { index: 0 }, at(5000));
    assert_eq!(machine.handle(Event::Removed { index: 1 }, at(5000)), [make(1, 1, true)]);
    machine.handle(made(1, 1), at(5000));
    machine.handle(Event::Started { index: 1 }, at(5000));
    machine.handle(exited(1, 0), at(9000));
    assert_eq!(machine.status().phase, Phase::Succeeded);
    assert_eq!(machine.handle(Event::Removed { index: 1 }, at(9000)), [Action::End]);
    let mut machine = running(RestartPolicy::Never, 2);
    machine.handle(exited(0, 1), at(5000));
    assert_eq!(machine.status().phase, Phase::Running);
    machine.handle(exited(1, 0), at(5000));
    assert_eq!(machine.status().phase, Phase::Failed);
}

#[test]
fn events_out_of_place_are_ignored() {
    for event in
        [made(0, 7), Event::Started { index: 0 }, adopted(3, true), made(9, 0), Event::Removed { index: 9 }]
    {
        let mut machine = running(RestartPolicy::Always, 1);
        let before = machine.status().clone();
        assert_eq!(machine.handle(event.clone(), at(100)), [], "{event:?}");
        assert_eq!(*machine.status(), before, "{event:?}");
    }
}

/// A world that does what the machine says, when it likes, and now and then something nobody asked for.
mod random {
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
}
