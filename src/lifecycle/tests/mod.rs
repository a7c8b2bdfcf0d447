//! Tables of what happens when, and random sequences against what must always hold.

mod anew;
mod backoff;
mod hooks;
mod order;
mod probes;
mod random;
mod resume;
mod simulation;
mod stop;
mod storage;
mod words;

use super::*;
use crate::model::ids::PodUid;
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

fn uid() -> PodUid {
    "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

fn new(policy: RestartPolicy, count: usize) -> Machine {
    Machine::new(&pod(policy, count), &uid())
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
            // The first time at once, and then as any other that crashes.
            assert_eq!((next, reason(&machine, 0).as_str()), (vec![make(0, 1, true)], "RunContainerError"));
            assert_eq!(machine.status().phase, Phase::Running); // as the kubelet: it has ended once
            machine.handle(made(0, 1), at(0));
            let failed = Event::NotStarted { index: 0, message: "no such program".into() };
            assert_eq!(machine.handle(failed, at(0)), [REMOVE]);
            assert_eq!(machine.handle(Event::Removed { index: 0 }, at(0)), []);
            assert_eq!(reason(&machine, 0), "CrashLoopBackOff");
            assert_eq!(machine.deadline(), Some(Duration::from_secs(10)));
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
    machine.handle(made(0, 1), at(10));
    machine.handle(Event::Started { index: 0 }, at(10));
    machine.handle(exited(0, 0), at(20));
    machine.handle(Event::Removed { index: 0 }, at(20));
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
    Machine::resume(&pod(policy, count), &uid(), serde_json::from_str::<PodStatus>(&text).unwrap(), now)
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
    // Dead.
    assert_eq!(machine.handle(exited(0, 3), at(9100)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9100)), [make(0, 1, true)]);
    // Gone.
    let mut machine = resumed(&before, policy, 1, at(9000));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(9000)), [make(0, 1, true)]);
    assert_eq!(reason(&machine, 0), "ContainerStatusUnknown");
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
    assert_eq!(machine.handle(adopted(0, true), at(5000)), [signal(0, Signal::Stop)]);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(12)));
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
