//! Init containers, sidecars and restart policies.

use super::simulation::*;
use super::*;
use crate::model::podspec::{RestartAction, RestartOperator, RestartRule};
use crate::model::probe::ProbeKind;
use crate::model::status::ConditionKind;

const ALWAYS: RestartPolicy = RestartPolicy::Always;

/// myapp-pod of Kubernetes' page on init containers.
fn myapp(policy: RestartPolicy) -> PodSpec {
    pod_of(
        policy,
        vec![container("init-myservice"), container("init-mydb")],
        vec![container("myapp-container")],
    )
}

fn condition(pod: &Simulation, kind: ConditionKind) -> (bool, Option<String>, Option<String>) {
    let condition = pod.machine.status().condition(kind).unwrap();
    (condition.met, condition.reason.clone(), condition.message.clone())
}

#[test]
fn init_containers_run_one_after_another() {
    let mut pod = Simulation::new(myapp(ALWAYS));
    assert_eq!(pod.take_log(), [""; 0]);
    assert_eq!(pod.machine.deadline(), None);
    pod.tell(Event::Start);
    assert_eq!(pod.summary(), ("0/1".into(), "Init:0/2".into(), "0".into()));
    let incomplete = "containers with incomplete status: [init-myservice init-mydb]".to_owned();
    assert_eq!(
        condition(&pod, ConditionKind::Initialized),
        (false, Some("ContainersNotInitialized".into()), Some(incomplete))
    );
    let unready = "containers with unready status: [myapp-container]".to_owned();
    assert_eq!(
        condition(&pod, ConditionKind::Ready),
        (false, Some("ContainersNotReady".into()), Some(unready))
    );
    assert_eq!(pod.reason("myapp-container"), "PodInitializing");
    pod.until(5);
    pod.exit("init-myservice", 0);
    assert_eq!(pod.summary().1, "Init:1/2");
    assert_eq!(pod.machine.status().phase, Phase::Pending);
    assert!(pod.status("init-myservice").ready && !pod.status("init-myservice").started);
    pod.until(7);
    pod.exit("init-mydb", 0);
    assert_eq!(
        pod.take_log(),
        [
            "0 start init-myservice",
            "5 exit init-myservice",
            "5 start init-mydb",
            "7 exit init-mydb",
            "7 start myapp-container"
        ]
    );
    assert_eq!(pod.summary(), ("1/1".into(), "Running".into(), "0".into()));
    assert_eq!(condition(&pod, ConditionKind::Initialized), (true, None, None));
    assert_eq!(
        pod.machine.status().condition(ConditionKind::Initialized).unwrap().last_transition_time,
        1007
    );
    assert_eq!(condition(&pod, ConditionKind::Ready), (true, None, None));
    // Later ends of the container do not run them again.
    pod.exit("myapp-container", 1);
    assert_eq!(pod.take_log(), ["7 exit myapp-container", "7 start myapp-container"]);
}

#[test]
fn a_failing_init_container_is_retried_unless_the_policy_is_never() {
    for (policy, again) in [(ALWAYS, true), (RestartPolicy::OnFailure, true), (RestartPolicy::Never, false)] {
        let mut pod = Simulation::started(myapp(policy));
        pod.exit("init-myservice", 3);
        if again {
            assert_eq!(pod.take_log().last().unwrap(), "0 start init-myservice");
            pod.exit("init-myservice", 3);
            assert_eq!(pod.summary(), ("0/1".into(), "Init:CrashLoopBackOff".into(), "1 (0s ago)".into()));
            assert_eq!(pod.machine.status().phase, Phase::Pending);
            pod.until(10);
            assert_eq!(pod.summary().1, "Init:0/2");
            pod.exit("init-myservice", 0);
            pod.exit("init-mydb", 0);
            // What init containers needed is forgotten once they are done.
            assert_eq!(pod.summary(), ("1/1".into(), "Running".into(), "0".into()));
        } else {
            assert!(pod.ended);
            assert_eq!(pod.summary(), ("0/1".into(), "Init:Error".into(), "0".into()));
            assert_eq!(pod.machine.status().phase, Phase::Failed);
            assert_eq!(condition(&pod, ConditionKind::Ready), (false, Some("PodFailed".into()), None));
            assert_eq!(pod.reason("myapp-container"), "PodInitializing");
        }
    }
}

#[test]
fn a_sidecar_holds_back_the_next_until_it_has_started() {
    let proxy = ContainerSpec { startup_probe: probe(0, 2, 30), ..sidecar("proxy") };
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![proxy, container("init")], vec![container("app")]));
    let failure = ProbeResult::Failure("not yet".into());
    pod.answers.insert(("proxy", ProbeKind::Startup), failure);
    pod.tell(Event::Start);
    pod.until(5);
    assert_eq!(pod.summary(), ("0/2".into(), "Init:0/2".into(), "0".into()));
    pod.answers.clear();
    pod.until(6);
    assert_eq!(pod.summary(), ("1/2".into(), "Init:1/2".into(), "0".into()));
    assert_eq!(pod.machine.status().phase, Phase::Pending);
    pod.exit("init", 0);
    assert_eq!(
        pod.take_log(),
        [
            "0 start proxy",
            "0 Startup proxy",
            "2 Startup proxy",
            "4 Startup proxy",
            "6 Startup proxy",
            "6 start init",
            "6 exit init",
            "6 start app"
        ]
    );
    assert_eq!(pod.summary(), ("2/2".into(), "Running".into(), "0".into()));
    // It is always restarted, and that takes nothing back.
    pod.exit("proxy", 0);
    assert_eq!(pod.machine.status().phase, Phase::Running);
    assert!(condition(&pod, ConditionKind::Initialized).0);
    assert_eq!(pod.take_log(), ["6 exit proxy", "6 start proxy", "6 Startup proxy"]);
    assert_eq!(pod.summary(), ("2/2".into(), "Running".into(), "1 (0s ago)".into()));
}

#[test]
fn a_sidecar_that_crashes_meanwhile_does_not_stop_the_initialization() {
    let inits = vec![sidecar("proxy"), container("init")];
    let mut pod = Simulation::started(pod_of(RestartPolicy::Never, inits, vec![container("app")]));
    pod.exit("proxy", 1);
    pod.exit("proxy", 1);
    assert_eq!(pod.reason("proxy"), "CrashLoopBackOff");
    pod.exit("init", 0);
    assert_eq!(pod.reason("app"), "Running");
    pod.until(10);
    assert_eq!(pod.reason("proxy"), "Running");
}

#[test]
fn sidecars_do_not_keep_a_pod_from_completing() {
    for (code, phase) in [(0, Phase::Succeeded), (4, Phase::Failed)] {
        let inits = vec![sidecar("first"), sidecar("second")];
        let mut pod =
            Simulation::started(pod_of(RestartPolicy::Never, inits, vec![container("a"), container("b")]));
        pod.until(3);
        pod.exit("a", 0);
        assert_eq!(pod.machine.status().phase, Phase::Running);
        assert_eq!(pod.summary().1, "NotReady");
        pod.take_log();
        pod.deaf = vec!["second"];
        pod.exit("b", code);
        assert_eq!(pod.machine.status().phase, Phase::Running, "while a sidecar runs");
        pod.until(60);
        // In reverse order, each within what is left of the grace period.
        assert_eq!(
            pod.take_log(),
            ["3 exit b", "3 TERM second", "33 KILL second", "33 TERM first", "33 end"]
        );
        // As kubectl: the first container that has something to say.
        assert_eq!((pod.machine.status().phase, pod.summary().1.as_str()), (phase, "Completed"));
        assert_eq!(pod.status("first").restart_count, 0);
    }
}

#[test]
fn a_failed_initialization_stops_the_sidecars() {
    let inits = vec![sidecar("proxy"), container("init")];
    let mut pod = Simulation::started(pod_of(RestartPolicy::Never, inits, vec![container("app")]));
    pod.deaf = vec!["proxy"];
    pod.exit("init", 1);
    assert_eq!(pod.machine.status().phase, Phase::Pending, "while a sidecar runs");
    pod.until(40);
    let log = ["0 start proxy", "0 start init", "0 exit init", "0 TERM proxy", "30 KILL proxy", "30 end"];
    assert_eq!(pod.take_log(), log);
    assert_eq!((pod.machine.status().phase, pod.summary().1.as_str()), (Phase::Failed, "Init:Error"));
}

#[test]
fn containers_may_have_restart_policies_and_rules_of_their_own() {
    let rule = |operator, values: &[i32]| {
        vec![RestartRule { action: RestartAction::Restart, operator, values: values.to_vec() }]
    };
    for (pod_policy, own, rules, code, again) in [
        (RestartPolicy::Never, Some(RestartPolicy::OnFailure), vec![], 1, true),
        (RestartPolicy::Never, Some(RestartPolicy::OnFailure), vec![], 0, false),
        (ALWAYS, Some(RestartPolicy::Never), vec![], 1, false),
        (ALWAYS, None, vec![], 0, true),
        (RestartPolicy::Never, Some(RestartPolicy::Never), rule(RestartOperator::In, &[42]), 42, true),
        (RestartPolicy::Never, Some(RestartPolicy::Never), rule(RestartOperator::In, &[42]), 1, false),
        (ALWAYS, Some(RestartPolicy::Never), rule(RestartOperator::NotIn, &[0, 1]), 2, true),
        (ALWAYS, Some(RestartPolicy::Never), rule(RestartOperator::NotIn, &[0, 1]), 1, false),
    ] {
        let app = ContainerSpec { restart_policy: own, restart_policy_rules: rules, ..container("app") };
        let mut pod = Simulation::started(pod_of(pod_policy, vec![], vec![app, container("other")]));
        pod.exit("app", code);
        assert_eq!(pod.reason("app") == "Running", again, "{pod_policy:?} {own:?} {code}");
        assert_eq!(pod.machine.status().phase, Phase::Running);
    }
    // A container that is never restarted ends the pod, whatever the pod's policy.
    let app = ContainerSpec { restart_policy: Some(RestartPolicy::Never), ..container("app") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    pod.exit("app", 1);
    assert!(pod.ended);
    assert_eq!(pod.machine.status().phase, Phase::Failed);
    // Likewise an init container.
    let init = ContainerSpec { restart_policy: Some(RestartPolicy::Never), ..container("init") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![init], vec![container("app")]));
    pod.exit("init", 1);
    assert_eq!((pod.ended, pod.machine.status().phase), (true, Phase::Failed));
}

#[test]
fn an_image_change_restarts_in_place() {
    let with_image = |image: &str| {
        let app = ContainerSpec { image: image.into(), ..pre_stop(container("app"), exec()) };
        pod_of(RestartPolicy::Never, vec![container("init")], vec![app, container("other")])
    };
    let mut pod = Simulation::started(with_image("web:1"));
    pod.exit("init", 0);
    pod.take_log();
    pod.tell(Event::Update { spec: Box::new(with_image("web:1")), resized: vec![] });
    assert_eq!(pod.take_log(), [""; 0]);
    pod.deaf = vec!["app"];
    pod.tell(Event::Update { spec: Box::new(with_image("web:2")), resized: vec![] });
    pod.until(31);
    assert_eq!(pod.take_log(), ["0 PreStop app", "0 TERM app", "30 KILL app", "30 start app"]);
    assert_eq!((pod.status("app").image.as_str(), pod.status("app").restart_count), ("web:2", 1));
    let message = "Killing: Container app definition changed, will be restarted".to_owned();
    assert!(pod.events().contains(&message));
    // One that waits for its next attempt is made at once, one whose work is done is not.
    let mut pod = Simulation::started(PodSpec { restart_policy: ALWAYS, ..with_image("web:1") });
    pod.exit("init", 0);
    pod.exit("app", 1);
    pod.exit("app", 1);
    pod.take_log();
    pod.tell(Event::Update { spec: Box::new(with_image("web:2")), resized: vec![] });
    assert_eq!(pod.take_log(), ["0 start app"]);
}

#[test]
fn a_deadline_of_the_whole_pod() {
    let spec = PodSpec {
        active_deadline_seconds: Some(100),
        ..pod_of(ALWAYS, vec![sidecar("proxy")], vec![container("app")])
    };
    let mut pod = Simulation::new(spec);
    pod.until(50); // time before the start does not count
    pod.tell(Event::Start);
    pod.take_log();
    pod.deaf = vec!["app"];
    pod.until(200);
    assert_eq!(pod.take_log(), ["150 TERM app", "180 KILL app", "180 TERM proxy", "180 end"]);
    let status = pod.machine.status();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("DeadlineExceeded")));
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!(status.message.as_deref(), Some(message));
    assert!(pod.events().contains(&format!("DeadlineExceeded: {message}")));
}

#[test]
fn an_image_change_meets_a_container_on_its_way() {
    let changed = |spec: &PodSpec| {
        let mut spec = spec.clone();
        spec.containers[0].image = "web:2".into();
        Event::Update { spec: Box::new(spec), resized: vec![] }
    };
    let spec = pod_of(ALWAYS, vec![], vec![container("c0")]);
    // Being made, and waiting for the start: made anew.
    let mut machine = Machine::new(&spec, &uid());
    machine.handle(Event::Create, at(0));
    assert_eq!(machine.handle(changed(&spec), at(0)), []);
    assert_eq!(machine.handle(made(0, 0), at(0)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(0)), [make(0, 1, false)]);
    // Being started: stopped as soon as it can hear.
    let mut machine = Machine::new(&spec, &uid());
    machine.handle(Event::Start, at(0));
    assert_eq!(machine.handle(Event::Create, at(0)), [make(0, 0, true)]);
    machine.handle(made(0, 0), at(0));
    assert_eq!(machine.handle(changed(&spec), at(0)), []);
    assert_eq!(machine.handle(Event::Started { index: 0 }, at(0)), [signal(0, Signal::Stop)]);
    assert_eq!(machine.handle(exited(0, 0), at(0)), [REMOVE]);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(0)), [make(0, 1, true)]);
    let killing = machine.status().events.iter().find(|event| event.reason == "Killing").unwrap();
    assert_eq!(killing.message, "Container c0 definition changed, will be restarted");
}
