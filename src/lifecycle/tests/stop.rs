//! Termination, to the second.

use super::simulation::*;
use super::*;
use crate::model::probe::HookKind;

const ALWAYS: RestartPolicy = RestartPolicy::Always;

/// Two sidecars, two containers, all running.
fn mesh(deaf: &[&'static str]) -> Simulation {
    let inits = vec![sidecar("first"), container("init"), sidecar("second")];
    let mut pod = Simulation::started(pod_of(ALWAYS, inits, vec![container("a"), container("b")]));
    pod.exit("init", 0);
    pod.deaf = deaf.to_vec();
    pod.take_log();
    pod
}

#[test]
fn sidecars_go_last_and_in_reverse_order() {
    let mut pod = mesh(&[]);
    pod.tell(Event::Stop { grace_seconds: 30 });
    assert_eq!(pod.take_log(), ["0 TERM a", "0 TERM b", "0 TERM second", "0 TERM first", "0 end"]);
    // Containers that take their time.
    let mut pod = mesh(&["a", "second"]);
    pod.tell(Event::Stop { grace_seconds: 30 });
    pod.until(12);
    assert_eq!(pod.take_log(), ["0 TERM a", "0 TERM b"]);
    pod.exit("a", 0);
    pod.until(20);
    assert_eq!(pod.take_log(), ["12 exit a", "12 TERM second"]);
    pod.until(60);
    assert_eq!(pod.take_log(), ["30 KILL second", "30 TERM first", "30 end"]);
    // Nothing heeds anything: 2 seconds more for the sidecars.
    let mut pod = mesh(&["a", "b", "first", "second"]);
    pod.tell(Event::Stop { grace_seconds: 30 });
    pod.until(60);
    assert_eq!(
        pod.take_log(),
        [
            "0 TERM a",
            "0 TERM b",
            "30 KILL b",
            "30 KILL a",
            "30 TERM second",
            "30 TERM first",
            "32 KILL second",
            "32 KILL first",
            "32 end"
        ]
    );
}

#[test]
fn a_sidecar_that_ends_meanwhile_is_not_made_again() {
    let mut pod = mesh(&["a"]);
    pod.tell(Event::Stop { grace_seconds: 30 });
    pod.exit("second", 1);
    pod.until(40);
    assert_eq!(
        pod.take_log(),
        ["0 TERM a", "0 TERM b", "0 exit second", "30 KILL a", "30 TERM first", "30 end"]
    );
}

#[test]
fn hooks_of_sidecars_do_not_wait_for_their_turn() {
    let inits = vec![pre_stop(sidecar("proxy"), sleep(5))];
    let mut pod = Simulation::started(pod_of(ALWAYS, inits, vec![pre_stop(container("app"), sleep(8))]));
    pod.take_log();
    pod.deaf = vec!["proxy"];
    pod.tell(Event::Stop { grace_seconds: 20 });
    pod.until(60);
    assert_eq!(pod.take_log(), ["8 TERM app", "8 TERM proxy", "20 KILL proxy", "20 end"]);
}

#[test]
fn a_second_stop_shortens_at_every_step() {
    // In the hook, waiting for the turn, after the signal.
    let inits = vec![sidecar("proxy")];
    let apps = vec![pre_stop(container("hook"), exec()), container("deaf")];
    for (second, log) in [
        (5, &["10 TERM hook", "12 KILL deaf", "15 TERM proxy", "15 end"][..]),
        (0, &["10 KILL proxy", "10 KILL hook", "10 KILL deaf", "10 end"]),
    ] {
        let mut pod = Simulation::started(pod_of(ALWAYS, inits.clone(), apps.clone()));
        (pod.hooks_answer, pod.deaf) = (false, vec!["deaf", "hook"]);
        pod.tell(Event::Stop { grace_seconds: 60 });
        pod.until(10);
        pod.take_log();
        pod.tell(Event::Stop { grace_seconds: second });
        pod.tell(Event::Stop { grace_seconds: 600 });
        if second > 0 {
            assert_eq!(pod.machine.status().deletion_timestamp(), Some(1000 + 15));
            pod.hooked("hook", HookKind::PreStop, Ok(()));
            pod.until(12);
            assert_eq!(pod.take_log(), ["10 TERM hook"]);
            pod.until(15);
            assert_eq!(pod.take_log(), ["15 KILL deaf", "15 KILL hook", "15 TERM proxy", "15 end"]);
        } else {
            assert_eq!(pod.take_log(), log);
        }
    }
}

#[test]
fn a_stop_during_a_kill_ends_in_the_stop() {
    let app = ContainerSpec { liveness_probe: probe(0, 10, 1), ..container("app") };
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], vec![app]));
    pod.answers.insert(("app", crate::model::probe::ProbeKind::Liveness), ProbeResult::Failure("x".into()));
    pod.deaf = vec!["app"];
    pod.tell(Event::Start);
    pod.until(5);
    pod.tell(Event::Stop { grace_seconds: 10 });
    pod.until(60);
    assert_eq!(pod.take_log(), ["0 start app", "0 Liveness app", "0 TERM app", "15 KILL app", "15 end"]);
    assert_eq!(pod.machine.status().phase, Phase::Failed);
}

#[test]
fn a_stop_before_the_containers_had_their_turn() {
    let inits = vec![sidecar("proxy"), container("init")];
    let mut pod = Simulation::started(pod_of(ALWAYS, inits, vec![container("app")]));
    pod.tell(Event::Stop { grace_seconds: 30 });
    assert_eq!(pod.take_log(), ["0 start proxy", "0 start init", "0 TERM proxy", "0 TERM init", "0 end"]);
    assert_eq!((pod.machine.status().phase, pod.reason("app").as_str()), (Phase::Failed, "PodInitializing"));
}

#[test]
fn a_grace_period_of_a_second_is_two() {
    let mut pod = mesh(&["a"]);
    pod.tell(Event::Stop { grace_seconds: 1 });
    pod.until(10);
    let log = ["0 TERM a", "0 TERM b", "1 TERM second", "1 TERM first", "2 KILL a", "2 end"];
    assert_eq!(pod.take_log(), log);
}
