//! postStart and preStop.

use super::simulation::*;
use super::*;
use crate::model::probe::{Handler, HookKind};

const ALWAYS: RestartPolicy = RestartPolicy::Always;

#[test]
fn post_start_holds_back_the_next_container_and_its_own_running() {
    let apps = || vec![container("a"), post_start(container("b"), exec()), container("c"), container("d")];
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], apps()));
    pod.hooks_answer = false;
    pod.tell(Event::Start);
    pod.until(5);
    assert_eq!(pod.take_log(), ["0 start a", "0 start b", "0 PostStart b"]);
    assert_eq!(pod.reason("b"), "ContainerCreating");
    assert!(!pod.status("b").started && !pod.status("b").ready);
    pod.hooked("b", HookKind::PostStart, Ok(()));
    assert_eq!(pod.take_log(), ["5 start c", "5 start d"]);
    assert_eq!(pod.status("b").state, ContainerState::Running { started_at: 1000 });
    assert!(pod.status("b").started && pod.status("b").ready);
    assert_eq!(pod.machine.status().phase, Phase::Running);
    // Said twice.
    pod.hooked("b", HookKind::PostStart, Err("late".into()));
    assert_eq!(pod.reason("b"), "Running");
}

#[test]
fn a_sleeping_post_start_needs_nobody() {
    let inits = vec![post_start(sidecar("proxy"), sleep(3))];
    let apps =
        vec![post_start(container("a"), sleep(4)), post_start(container("b"), Some(Handler::TcpSocket))];
    let mut pod = Simulation::started(pod_of(ALWAYS, inits, apps));
    pod.until(10);
    assert_eq!(pod.take_log(), ["0 start proxy", "3 start a", "7 start b"]);
    assert_eq!(pod.summary().1, "Running");
}

#[test]
fn a_failed_post_start_kills() {
    let apps = vec![pre_stop(post_start(container("app"), exec()), exec()), container("next")];
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], apps));
    pod.hooks_answer = false;
    pod.tell(Event::Start);
    pod.hooked("app", HookKind::PostStart, Err("secret".into()));
    pod.deaf = vec!["app"];
    pod.hooked("app", HookKind::PreStop, Ok(()));
    // The next one is not held back any longer.
    assert_eq!(
        pod.take_log(),
        ["0 start app", "0 PostStart app", "0 PreStop app", "0 start next", "0 TERM app"]
    );
    assert_eq!(pod.reason("app"), "PostStartHookError");
    assert_eq!(pod.summary().1, "PostStartHookError");
    pod.until(30);
    assert_eq!(pod.take_log(), ["30 KILL app", "30 start app", "30 PostStart app"]);
    for words in ["FailedPostStartHook: PostStartHook failed", "Killing: FailedPostStartHook"] {
        assert!(pod.events().contains(&words.to_owned()), "{:?}", pod.events());
    }
    pod.deaf.clear();
    pod.hooked("app", HookKind::PostStart, Err("secret".into()));
    pod.hooked("app", HookKind::PreStop, Ok(()));
    assert_eq!(pod.reason("app"), "CrashLoopBackOff");
    let last = pod.status("app").last_state.as_ref().unwrap();
    assert_eq!((last.exit_code, last.started_at), (143, Some(1030)));
    assert!(!pod.events().iter().any(|event| event.contains("secret")));
}

#[test]
fn pre_stop_goes_before_the_signal_within_the_grace_period() {
    for (answer, log) in [
        (Some(10), &["5 PreStop app", "15 TERM app", "35 KILL app", "35 end"][..]),
        (Some(29), &["5 PreStop app", "34 TERM app", "36 KILL app", "36 end"]),
        (None, &["5 PreStop app", "35 TERM app", "37 KILL app", "37 end"]),
    ] {
        let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![pre_stop(container("app"), exec())]));
        (pod.hooks_answer, pod.deaf) = (false, vec!["app"]);
        pod.take_log();
        pod.until(5);
        pod.tell(Event::Stop { grace_seconds: 30 });
        if let Some(after) = answer {
            pod.until(5 + after);
            pod.hooked("app", HookKind::PreStop, Err("no matter".into()));
            assert!(pod.events().contains(&"FailedPreStopHook: PreStopHook failed".to_owned()));
        }
        pod.until(100);
        assert_eq!(pod.take_log(), log);
    }
}

#[test]
fn pre_stop_sleeps_by_itself() {
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![pre_stop(container("app"), sleep(7))]));
    pod.take_log();
    pod.tell(Event::Stop { grace_seconds: 30 });
    pod.until(10);
    assert_eq!(pod.take_log(), ["7 TERM app", "7 end"]);
}

#[test]
fn pre_stop_is_not_for_those_that_ended_themselves_nor_for_haste() {
    let app = || pod_of(RestartPolicy::Never, vec![], vec![pre_stop(container("app"), exec())]);
    let mut pod = Simulation::started(app());
    pod.exit("app", 0);
    assert_eq!(pod.take_log(), ["0 start app", "0 exit app", "0 end"]);
    let mut pod = Simulation::started(app());
    pod.tell(Event::Stop { grace_seconds: 0 });
    assert_eq!(pod.take_log(), ["0 start app", "0 KILL app", "0 end"]);
    // One that ends while its hook works needs no signal.
    let mut pod = Simulation::started(app());
    pod.hooks_answer = false;
    pod.tell(Event::Stop { grace_seconds: 30 });
    pod.exit("app", 0);
    assert_eq!(pod.take_log(), ["0 start app", "0 PreStop app", "0 exit app", "0 end"]);
}
