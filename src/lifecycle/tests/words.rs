//! kubectl's columns and the termination message.

use super::simulation::*;
use super::*;
use crate::model::status::{ConditionKind, ContainerStatus, Terminated};

fn ended(reason: &str, exit_code: i32, signal: Option<i32>) -> ContainerState {
    ContainerState::Terminated(Terminated {
        reason: reason.into(),
        message: None,
        exit_code,
        signal,
        started_at: Some(5),
        finished_at: 7,
    })
}

fn waiting(reason: &str) -> ContainerState {
    ContainerState::Waiting { reason: reason.into(), message: None }
}

fn running() -> ContainerState {
    ContainerState::Running { started_at: 5 }
}

fn container_in(state: ContainerState) -> ContainerStatus {
    let up = state.is_running();
    ContainerStatus { ready: up, started: up, state, ..ContainerStatus::new("c".parse().unwrap(), "busybox") }
}

fn pod_in(phase: Phase, inits: Vec<ContainerStatus>, apps: Vec<ContainerState>) -> PodStatus {
    let mut status = PodStatus {
        phase,
        init_containers: inits,
        ..PodStatus::new(apps.into_iter().map(container_in).collect())
    };
    refresh_conditions(&mut status, true, 0);
    status
}

fn words(status: &PodStatus) -> (String, String) {
    let summary = Summary::of(status, false, 0);
    (summary.ready, summary.status)
}

#[test]
fn termination_messages_share_twelve_kibibytes() {
    for (count, length) in [(1, 4000), (3, 4000), (4, 3072), (7, 1754)] {
        let mut machine = Machine::new(&pod(RestartPolicy::Never, count), &uid());
        machine.handle(Event::Create, at(0));
        machine.handle(made(0, 0), at(0));
        machine.handle(Event::Start, at(0));
        machine.handle(Event::Started { index: 0 }, at(0));
        // The seventh part of 12 KiB ends within a letter.
        let message = Some("é".repeat(2000));
        machine.handle(
            Event::Exited { index: 0, outcome: Outcome::Exited(1), oom_killed: false, message },
            at(1),
        );
        let ContainerState::Terminated(end) = &machine.status().containers[0].state else { panic!() };
        assert_eq!(end.message.as_ref().map(String::len), Some(length), "{count}");
    }
}

#[test]
fn containers_in_kubectls_words() {
    for (phase, states, ready, word) in [
        (
            Phase::Pending,
            vec![waiting("ContainerCreating"), waiting("ContainerCreating")],
            "0/2",
            "ContainerCreating",
        ),
        (Phase::Running, vec![running(), running()], "2/2", "Running"),
        (Phase::Running, vec![running(), waiting("CrashLoopBackOff")], "1/2", "CrashLoopBackOff"),
        (Phase::Running, vec![ended("Error", 1, None), running()], "1/2", "Error"),
        (Phase::Running, vec![ended("Completed", 0, None), running()], "1/2", "NotReady"),
        (
            Phase::Succeeded,
            vec![ended("Completed", 0, None), ended("Completed", 0, None)],
            "0/2",
            "Completed",
        ),
        // The first one that has something to say.
        (
            Phase::Failed,
            vec![ended("Completed", 0, None), ended("OOMKilled", 137, Some(9))],
            "0/2",
            "Completed",
        ),
        (Phase::Failed, vec![ended("OOMKilled", 137, Some(9))], "0/1", "OOMKilled"),
        (Phase::Failed, vec![ended("", 3, None)], "0/1", "ExitCode:3"),
        (Phase::Failed, vec![ended("", 137, Some(9))], "0/1", "Signal:9"),
        (Phase::Pending, vec![], "0/0", "Pending"),
    ] {
        assert_eq!(words(&pod_in(phase, vec![], states)), (ready.into(), word.into()));
    }
    let up = pod_in(Phase::Running, vec![], vec![running()]);
    assert_eq!(Summary::of(&up, true, 0).status, "Terminating");
    let over = pod_in(Phase::Succeeded, vec![], vec![ended("Completed", 0, None)]);
    assert_eq!(Summary::of(&over, true, 0).status, "Completed");
    let late = PodStatus { reason: Some("DeadlineExceeded".into()), ..pod_in(Phase::Failed, vec![], vec![]) };
    assert_eq!(words(&late).1, "DeadlineExceeded");
}

#[test]
fn init_containers_in_kubectls_words() {
    let working = || ContainerStatus { ready: false, ..container_in(running()) };
    let done = || container_in(ended("Completed", 0, None));
    let side = |started, ready| ContainerStatus { sidecar: true, started, ready, ..container_in(running()) };
    for (inits, ready, word) in [
        (vec![container_in(waiting("PodInitializing")), done()], "0/1", "Init:0/2"),
        (vec![working(), done()], "0/1", "Init:0/2"),
        (vec![done(), working()], "0/1", "Init:1/2"),
        (vec![done(), container_in(ended("Error", 1, None))], "0/1", "Init:Error"),
        (vec![container_in(ended("", 4, None))], "0/1", "Init:ExitCode:4"),
        (vec![container_in(ended("", 143, Some(15)))], "0/1", "Init:Signal:15"),
        (vec![container_in(waiting("CrashLoopBackOff"))], "0/1", "Init:CrashLoopBackOff"),
        (vec![container_in(waiting("ErrImagePull"))], "0/1", "Init:ErrImagePull"),
        (vec![side(false, false)], "0/2", "Init:0/1"),
        (vec![side(true, true), working()], "1/2", "Init:1/2"),
        (vec![side(true, false), working()], "0/2", "Init:1/2"),
        (vec![side(true, true)], "1/2", "PodInitializing"),
    ] {
        let status = pod_in(Phase::Pending, inits, vec![waiting("PodInitializing")]);
        assert_eq!(words(&status), (ready.into(), word.into()));
    }
    // A sidecar that is restarted later does not hide what the containers do.
    let crashed = ContainerStatus { sidecar: true, ..container_in(waiting("CrashLoopBackOff")) };
    let status = pod_in(Phase::Running, vec![crashed], vec![running()]);
    assert_eq!(words(&status), ("1/2".into(), "Init:CrashLoopBackOff".into()));
    let status = PodStatus { containers: vec![container_in(waiting("x"))], ..status };
    assert_eq!(words(&status).1, "x");
}

#[test]
fn restarts_are_of_those_that_matter_now() {
    let restarted = |count, at, sidecar| {
        let ContainerState::Terminated(end) = ended("Error", 1, None) else { unreachable!() };
        let last_state = Some(Terminated { finished_at: at, ..end });
        ContainerStatus { restart_count: count, last_state, sidecar, ..container_in(running()) }
    };
    let of = |inits: Vec<ContainerStatus>, apps: Vec<ContainerStatus>| {
        let mut status = PodStatus { init_containers: inits, phase: Phase::Running, ..PodStatus::new(apps) };
        refresh_conditions(&mut status, true, 0);
        Summary::of(&status, false, 1000).restarts
    };
    assert_eq!(of(vec![], vec![container_in(running())]), "0");
    assert_eq!(of(vec![], vec![restarted(5, 770, false), restarted(1, 500, false)]), "6 (3m50s ago)");
    assert_eq!(of(vec![restarted(4, 990, true)], vec![restarted(2, 770, false)]), "6 (10s ago)");
    // Init containers count until they are done.
    let init = ContainerStatus { state: ended("Completed", 0, None), ..restarted(4, 990, false) };
    assert_eq!(of(vec![init], vec![restarted(2, 770, false)]), "2 (3m50s ago)");
    let working = ContainerStatus { ready: false, ..restarted(4, 990, false) };
    assert_eq!(of(vec![working], vec![container_in(waiting("PodInitializing"))]), "4 (10s ago)");
}

#[test]
fn conditions_know_when_they_changed() {
    let mut pod = Simulation::new(pod_of(RestartPolicy::Always, vec![], vec![container("app")]));
    let at_of = |pod: &Simulation, kind| pod.machine.status().condition(kind).unwrap().last_transition_time;
    pod.until(3);
    pod.tell(Event::Start);
    assert_eq!(at_of(&pod, ConditionKind::Ready), 1003);
    assert_eq!(at_of(&pod, ConditionKind::PodScheduled), 1000);
    pod.until(5);
    pod.exit("app", 1);
    pod.exit("app", 1);
    assert_eq!(at_of(&pod, ConditionKind::Ready), 1005);
    // Another reason is no change.
    let two = vec![container("a"), container("b")];
    let mut both = Simulation::started(pod_of(RestartPolicy::Always, vec![], two));
    both.exit("a", 1);
    both.exit("a", 1);
    both.until(2);
    both.exit("b", 1);
    both.exit("b", 1);
    let ready = both.machine.status().condition(ConditionKind::Ready).unwrap();
    assert_eq!(ready.message.as_deref(), Some("containers with unready status: [a b]"));
    assert_eq!(ready.last_transition_time, 1000);
    let kinds: Vec<_> = pod.machine.status().conditions.iter().map(|c| c.kind.name()).collect();
    let wanted = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    assert_eq!(kinds, wanted);
    // Of a pod that has ended well.
    let status = pod_in(Phase::Succeeded, vec![], vec![ended("Completed", 0, None)]);
    for (kind, met) in [(ConditionKind::Initialized, true), (ConditionKind::Ready, false)] {
        let condition = status.condition(kind).unwrap();
        assert_eq!((condition.met, condition.reason.as_deref()), (met, Some("PodCompleted")));
    }
}

#[test]
fn what_a_container_says_of_its_end_is_kept() {
    let mut machine = running_one();
    let message = Some("disk is full".to_owned());
    machine.handle(
        Event::Exited { index: 0, outcome: Outcome::Exited(1), oom_killed: false, message: message.clone() },
        at(0),
    );
    let ContainerState::Terminated(end) = &machine.status().containers[0].state else { panic!() };
    assert_eq!(end.message, message);
}

fn running_one() -> Machine {
    super::running(RestartPolicy::Never, 1)
}

#[test]
fn a_quiet_probe_changes_nothing_on_disk() {
    let app =
        ContainerSpec { liveness_probe: probe(0, 1, 3), readiness_probe: probe(0, 1, 3), ..container("app") };
    let mut pod = Simulation::started(pod_of(RestartPolicy::Always, vec![], vec![app]));
    pod.until(1);
    pod.machine.take_changed();
    pod.until(100);
    assert!(!pod.machine.take_changed());
}
