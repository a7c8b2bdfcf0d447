//! The waits between crashes, to the second.

use super::super::backoff::in_words;
use super::simulation::*;
use super::*;
use crate::model::backoff::BackoffTimes;

const UID: &str = "01234567-89ab-cdef-0123-456789abcdef";

#[test]
fn a_crash_loop_waits_ten_seconds_to_five_minutes() {
    let mut pod = Simulation::started(pod_of(RestartPolicy::Always, vec![], vec![container("app")]));
    let mut starts = vec![];
    for _ in 0..8 {
        starts.extend(pod.take_log());
        pod.now += 1000; // each run lasts a second
        pod.exit("app", 1);
        if pod.reason("app") == "CrashLoopBackOff" {
            let ContainerState::Waiting { message: Some(message), .. } = &pod.status("app").state else {
                panic!()
            };
            let wait = pod.machine.deadline().unwrap() - at(pod.now).monotonic;
            let wanted = in_words(wait);
            let wanted = format!("back-off {wanted} restarting failed container=app pod=web_default({UID})");
            assert_eq!(*message, wanted);
            assert_eq!(pod.status("app").last_state.as_ref().unwrap().exit_code, 1);
            assert!(!pod.status("app").ready && !pod.status("app").started);
            assert_eq!(pod.machine.status().phase, Phase::Running);
        }
        pod.until(pod.machine.deadline().map_or(pod.now / 1000, |at| at.as_secs()));
    }
    starts.extend(pod.take_log());
    starts.retain(|line| line.contains("start"));
    // Ends at 1, 2, 13, 34, 75, 156, 317, 618; waits 0, 10, 20, 40, 80, 160, 300, 300.
    assert_eq!(
        starts,
        ["0", "1", "12", "33", "74", "155", "316", "617", "918"].map(|second| format!("{second} start app"))
    );
    assert_eq!(pod.status("app").restart_count, 8);
    let message = format!("BackOff: Back-off restarting failed container app in pod web_default({UID})");
    assert_eq!(pod.events().iter().filter(|event| **event == message).count(), 1, "merged");
    assert_eq!(count_of(&pod.machine, "BackOff"), 7);
}

#[test]
fn ten_minutes_of_running_are_forgiven() {
    for (ran, at_once) in [(600, false), (601, true)] {
        let mut pod = Simulation::started(pod_of(RestartPolicy::Always, vec![], vec![container("app")]));
        pod.exit("app", 0); // a good end counts as well
        pod.until(ran);
        pod.exit("app", 0);
        assert_eq!(pod.machine.deadline().is_none(), at_once, "{ran}");
        assert_eq!(pod.reason("app"), if at_once { "Running" } else { "CrashLoopBackOff" });
        if at_once {
            pod.now += 1000; // and then the first wait again
            pod.exit("app", 0);
            assert_eq!(pod.machine.deadline(), Some(Duration::from_secs(612)));
        }
    }
}

#[test]
fn waits_are_each_containers_own_and_hold_back_no_other() {
    let apps = vec![container("a"), container("b")];
    let mut pod = Simulation::started(pod_of(RestartPolicy::Always, vec![], apps));
    for name in ["a", "a", "b"] {
        pod.exit(name, 1);
    }
    assert_eq!((pod.reason("a").as_str(), pod.reason("b").as_str()), ("CrashLoopBackOff", "Running"));
    assert_eq!(pod.summary(), ("1/2".into(), "CrashLoopBackOff".into(), "2 (0s ago)".into()));
    pod.until(10);
    assert_eq!(pod.summary(), ("2/2".into(), "Running".into(), "3 (10s ago)".into()));
}

#[test]
fn shortened_settings() {
    let millis = Duration::from_millis;
    let backoff = BackoffTimes { base: millis(200), max: millis(300), reset: millis(1000) };
    let spec = PodSpec { backoff, ..pod(RestartPolicy::Always, 1) };
    let mut machine = Machine::new(&spec, &uid());
    machine.handle(Event::Create, at(0));
    machine.handle(made(0, 0), at(0));
    machine.handle(Event::Start, at(0));
    machine.handle(Event::Started { index: 0 }, at(0));
    let mut now = 0;
    for (restart, ran, wait) in
        [(1, 10, 0), (2, 10, 200), (3, 10, 300), (4, 10, 300), (5, 1001, 0), (6, 10, 200)]
    {
        now += ran;
        machine.handle(exited(0, 1), at(now));
        let actions = machine.handle(Event::Removed { index: 0 }, at(now));
        assert_eq!(actions.is_empty(), wait > 0);
        now += wait;
        if wait > 0 {
            assert_eq!(machine.handle(Event::Time, at(now - 1)), []);
            assert_eq!(machine.handle(Event::Time, at(now)), [make(0, restart, true)]);
        }
        machine.handle(made(0, restart), at(now));
        machine.handle(Event::Started { index: 0 }, at(now));
    }
}

#[test]
fn images_that_are_not_there_are_looked_for_less_and_less_often() {
    let mut machine = new(RestartPolicy::Always, 1);
    machine.handle(Event::Create, at(0));
    let mut now = 0;
    let mut reasons = vec![];
    for delay in [10, 20, 40, 80, 160, 300, 300] {
        let event = Event::NotMade { index: 0, reason: "ErrImagePull", message: "not found".into() };
        assert_eq!(machine.handle(event, at(now)), []);
        reasons.push(reason(&machine, 0));
        now += delay * 1000;
        assert_eq!(machine.deadline(), Some(Duration::from_millis(now)));
        assert_eq!(machine.handle(Event::Time, at(now)), [make(0, 0, false)]);
    }
    assert_eq!(reasons[..3], ["ErrImagePull", "ImagePullBackOff", "ImagePullBackOff"]);
    let ContainerState::Waiting { message, .. } = &machine.status().containers[0].state else { panic!() };
    let wanted = "Back-off pulling image \"busybox\": ErrImagePull: not found";
    assert_eq!(message.as_deref(), Some(wanted));
}

#[test]
fn times_as_go_writes_them() {
    for (millis, words) in [
        (200, "200ms"),
        (1500, "1.5s"),
        (10_000, "10s"),
        (80_000, "1m20s"),
        (160_000, "2m40s"),
        (300_000, "5m0s"),
        (3_600_000, "1h0m0s"),
    ] {
        assert_eq!(in_words(Duration::from_millis(millis)), words);
    }
}
