//! Probes, with the numbers of Kubernetes' page on them.

use super::simulation::*;
use super::*;
use crate::model::probe::{Probe, ProbeKind};

const ALWAYS: RestartPolicy = RestartPolicy::Always;

fn failure() -> ProbeResult {
    ProbeResult::Failure("cat: can't open '/tmp/healthy'".into())
}

fn asked_at(pod: &mut Simulation, kind: &str) -> Vec<String> {
    let of_kind = |line: String| {
        line.split_once(' ').filter(|(_, what)| what.starts_with(kind)).map(|(at, _)| at.to_owned())
    };
    pod.take_log().into_iter().filter_map(of_kind).collect()
}

/// liveness-exec: initial delay 5, period 5, three failures; healthy for its first 30 seconds.
#[test]
fn the_documented_liveness_example() {
    let app = ContainerSpec { liveness_probe: probe(5, 5, 3), ..container("liveness") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    pod.deaf = vec!["liveness"];
    pod.until(30);
    assert_eq!(asked_at(&mut pod, "Liveness"), ["5", "10", "15", "20", "25", "30"]);
    pod.answers.insert(("liveness", ProbeKind::Liveness), failure());
    pod.until(76);
    assert_eq!(
        pod.take_log(),
        [
            "35 Liveness liveness",
            "40 Liveness liveness",
            "45 Liveness liveness",
            "45 TERM liveness",
            "75 KILL liveness",
            "75 start liveness"
        ]
    );
    let events = pod.events();
    assert!(events.contains(&"Unhealthy: Liveness probe failed: cat: can't open '/tmp/healthy'".to_owned()));
    assert!(
        events.contains(&"Killing: Container liveness failed liveness probe, will be restarted".to_owned())
    );
    assert_eq!(count_of(&pod.machine, "Unhealthy"), 3);
    assert_eq!((pod.status("liveness").restart_count, pod.reason("liveness").as_str()), (1, "Running"));
    assert_eq!(pod.status("liveness").last_state.as_ref().unwrap().exit_code, 137);
    // The next run is asked from its own beginning.
    pod.until(90);
    assert_eq!(asked_at(&mut pod, "Liveness"), ["80", "85", "90"]);
}

#[test]
fn failures_count_in_a_row_only() {
    let app = ContainerSpec { liveness_probe: probe(0, 10, 3), ..container("app") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    for (until, fails) in [(20, true), (30, false), (50, true)] {
        pod.answers.clear();
        if fails {
            pod.answers.insert(("app", ProbeKind::Liveness), failure());
        }
        pod.until(until);
    }
    assert_eq!(asked_at(&mut pod, "Liveness"), ["0", "10", "20", "30", "40", "50"]);
    assert_eq!(pod.status("app").restart_count, 0);
    // An error of the prober counts neither way.
    pod.answers.insert(("app", ProbeKind::Liveness), ProbeResult::Unknown("no descriptors".into()));
    pod.until(60);
    let words = "Unhealthy: Liveness probe errored and resulted in unknown state: no descriptors".to_owned();
    assert!(pod.events().contains(&words));
    pod.answers.insert(("app", ProbeKind::Liveness), failure());
    pod.until(70);
    assert_eq!(pod.status("app").restart_count, 1);
}

#[test]
fn readiness_comes_and_goes_by_its_thresholds() {
    let readiness = Probe { success_threshold: 2, ..probe(3, 5, 3).unwrap() };
    let app = ContainerSpec { readiness_probe: Some(readiness), ..container("app") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    assert_eq!((pod.status("app").started, pod.status("app").ready), (true, false));
    assert_eq!(pod.summary(), ("0/1".into(), "Running".into(), "0".into()));
    pod.until(3);
    assert!(!pod.status("app").ready);
    pod.until(8);
    assert!(pod.status("app").ready);
    pod.answers.insert(("app", ProbeKind::Readiness), failure());
    pod.until(22);
    assert!(pod.status("app").ready);
    pod.until(23);
    assert!(!pod.status("app").ready);
    assert_eq!((pod.status("app").restart_count, pod.machine.status().phase), (0, Phase::Running));
    pod.answers.insert(("app", ProbeKind::Readiness), ProbeResult::Warning("redirected".into()));
    pod.until(33);
    assert!(pod.status("app").ready, "a warning is a success");
    assert!(pod.events().contains(&"ProbeWarning: Readiness probe warning: redirected".to_owned()));
    // A new run has to show it anew.
    pod.exit("app", 1);
    assert!(!pod.status("app").ready);
}

#[test]
fn the_startup_probe_holds_back_the_others() {
    let app = ContainerSpec {
        startup_probe: probe(0, 10, 30),
        liveness_probe: probe(0, 10, 1),
        readiness_probe: probe(25, 5, 1),
        ..container("app")
    };
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], vec![app]));
    pod.answers.insert(("app", ProbeKind::Startup), failure());
    pod.tell(Event::Start);
    pod.until(15);
    assert_eq!((pod.status("app").started, pod.status("app").ready), (false, false));
    assert!(pod.status("app").state.is_running());
    pod.answers.clear();
    pod.until(41);
    assert_eq!(
        pod.take_log(),
        [
            "0 start app",
            "0 Startup app",
            "10 Startup app",
            "20 Startup app",
            "20 Liveness app",
            "25 Readiness app",
            "30 Liveness app",
            "30 Readiness app",
            "35 Readiness app",
            "40 Liveness app",
            "40 Readiness app"
        ]
    );
    assert!(pod.status("app").started && pod.status("app").ready);
}

#[test]
fn a_failed_startup_probe_kills_with_its_own_grace_period() {
    let startup = Probe { termination_grace_period_seconds: Some(4), ..probe(0, 10, 3).unwrap() };
    let app = ContainerSpec { startup_probe: Some(startup), ..container("app") };
    for (policy, words) in [(ALWAYS, ", will be restarted"), (RestartPolicy::Never, "")] {
        let mut pod = Simulation::new(pod_of(policy, vec![], vec![app.clone(), container("other")]));
        pod.answers.insert(("app", ProbeKind::Startup), failure());
        pod.deaf = vec!["app"];
        pod.tell(Event::Start);
        pod.until(23);
        pod.take_log();
        assert_eq!(pod.machine.deadline(), Some(Duration::from_secs(24)));
        pod.until(24);
        assert_eq!(pod.take_log()[0], "24 KILL app");
        let message = format!("Killing: Container app failed startup probe{words}");
        assert!(pod.events().contains(&message), "{:?}", pod.events());
        assert_eq!(pod.status("app").restart_count, u32::from(policy == ALWAYS));
    }
}

#[test]
fn what_probes_kill_is_held_back_by_the_end_before() {
    let app = ContainerSpec { liveness_probe: probe(0, 1, 1), ..container("app") };
    let mut pod = Simulation::new(pod_of(RestartPolicy::OnFailure, vec![], vec![app]));
    pod.answers.insert(("app", ProbeKind::Liveness), failure());
    pod.tell(Event::Start);
    pod.until(60);
    // Nothing before; the end at 0, and no wait yet; then 10 s after 0, 20 s after 0 and 40 s after 10.
    let starts: Vec<_> = pod.take_log().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(starts, ["0", "0", "0", "10", "20", "50"].map(|at| format!("{at} start app")));
}

#[test]
fn answers_that_come_late() {
    let app = ContainerSpec { liveness_probe: probe(0, 10, 1), ..container("app") };
    let mut machine = Machine::new(&pod_of(ALWAYS, vec![], vec![app]), &uid());
    let probe = |restart| Action::Probe { index: 0, restart, kind: ProbeKind::Liveness };
    let probed = |restart, result| Event::Probed { index: 0, restart, kind: ProbeKind::Liveness, result };
    machine.handle(Event::Create, at(0));
    machine.handle(made(0, 0), at(0));
    machine.handle(Event::Start, at(0));
    assert_eq!(machine.handle(Event::Started { index: 0 }, at(0)), [probe(0)]);
    // One at a time; a time that is missed is made up for once, and then the old rhythm goes on.
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.handle(Event::Time, at(30_000)), []);
    assert_eq!(machine.handle(probed(0, ProbeResult::Success), at(34_000)), [probe(0)]);
    assert_eq!(machine.handle(probed(0, ProbeResult::Success), at(34_500)), []);
    assert_eq!(machine.deadline(), Some(Duration::from_secs(40)));
    // Unasked, or of a run that is over: ignored.
    assert_eq!(machine.handle(probed(0, failure()), at(35_000)), []);
    assert_eq!(machine.handle(Event::Time, at(40_000)), [probe(0)]);
    machine.handle(exited(0, 1), at(41_000));
    machine.handle(Event::Removed { index: 0 }, at(41_000));
    machine.handle(made(0, 1), at(41_000));
    assert_eq!(machine.handle(Event::Started { index: 0 }, at(41_000)), [probe(1)]);
    assert_eq!(machine.handle(probed(0, failure()), at(41_000)), []);
    assert_eq!(count_of(&machine, "Unhealthy"), 0);
    assert_eq!(machine.handle(probed(1, failure()), at(42_000)), [signal(0, Signal::Stop)]);
    // While it is being killed nothing more is asked.
    assert_eq!(machine.handle(Event::Time, at(60_000)), []);
}

#[test]
fn a_pod_that_stops_is_asked_for_readiness_alone() {
    let app = ContainerSpec {
        liveness_probe: probe(0, 10, 1),
        readiness_probe: probe(0, 10, 1),
        ..container("app")
    };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    pod.until(5);
    pod.take_log();
    pod.deaf = vec!["app"];
    pod.tell(Event::Stop { grace_seconds: 30 });
    assert_eq!(pod.summary(), ("1/1".into(), "Terminating".into(), "0".into()));
    pod.answers.insert(("app", ProbeKind::Readiness), failure());
    pod.until(60);
    assert_eq!(
        pod.take_log(),
        ["5 TERM app", "10 Readiness app", "20 Readiness app", "30 Readiness app", "35 KILL app", "35 end"]
    );
    assert_eq!(pod.events().iter().filter(|event| event.contains("will be restarted")).count(), 0);
}

#[test]
fn a_sidecar_that_is_killed_alone_waits_for_nobody() {
    let proxy = ContainerSpec { liveness_probe: probe(5, 5, 1), ..sidecar("proxy") };
    let mut pod = Simulation::started(pod_of(RestartPolicy::Never, vec![proxy], vec![container("app")]));
    pod.take_log();
    pod.answers.insert(("proxy", ProbeKind::Liveness), failure());
    pod.until(6);
    assert_eq!(pod.take_log(), ["5 Liveness proxy", "5 TERM proxy", "5 start proxy"]);
    assert!(pod.events().contains(&"Killing: Init container proxy failed liveness probe".to_owned()));
}

#[test]
fn what_probes_kill_is_restarted_however_it_ends() {
    let app = ContainerSpec { liveness_probe: probe(5, 5, 1), ..container("app") };
    for (policy, again) in [(RestartPolicy::OnFailure, true), (RestartPolicy::Never, false)] {
        let mut pod = Simulation::started(pod_of(policy, vec![], vec![app.clone()]));
        pod.answers.insert(("app", ProbeKind::Liveness), failure());
        pod.deaf = vec!["app"];
        pod.until(5);
        pod.exit("app", 0); // it heeds the signal, and ends well
        assert_eq!(pod.ended, !again);
        assert_eq!(pod.status("app").restart_count, u32::from(again));
    }
}
