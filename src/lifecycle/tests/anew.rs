//! Beginning again with the first init container.

use super::simulation::*;
use super::*;
use crate::model::podspec::{RestartAction, RestartOperator, RestartRule};
use crate::model::status::{Condition, ConditionKind};

const ALWAYS: RestartPolicy = RestartPolicy::Always;
const NEVER: RestartPolicy = RestartPolicy::Never;

/// With a rule for each action, all for the exit code 88.
fn ruled(spec: ContainerSpec, actions: &[RestartAction]) -> ContainerSpec {
    let rule = |action: &RestartAction| RestartRule {
        action: *action,
        operator: RestartOperator::In,
        values: vec![88],
    };
    let policy = spec.restart_policy.unwrap_or(NEVER);
    let restart_policy_rules = actions.iter().map(rule).collect();
    ContainerSpec { restart_policy: Some(policy), restart_policy_rules, ..spec }
}

const ALL: &[RestartAction] = &[RestartAction::RestartAllContainers];

fn restarting(machine: &Machine) -> Option<&Condition> {
    machine.status().condition(ConditionKind::AllContainersRestarting)
}

#[test]
fn another_sandbox_begins_with_the_first_init_container() {
    let spec = pod_of(ALWAYS, vec![container("init"), sidecar("proxy")], vec![container("app")]);
    let mut pod = Simulation::started(spec.clone());
    pod.exit("init", 0);
    pod.take_log();
    pod.tell(Event::SandboxChanged);
    assert_eq!(pod.take_log(), [""; 0], "the old containers go first");
    pod.exit("proxy", 137);
    pod.exit("app", 137);
    assert_eq!(pod.take_log(), ["0 exit proxy", "0 exit app", "0 start init"]);
    pod.exit("init", 0);
    assert_eq!(pod.take_log(), ["0 exit init", "0 start proxy", "0 start app"]);
    // With Never all is over.
    let mut pod = Simulation::started(PodSpec { restart_policy: RestartPolicy::Never, ..spec });
    pod.exit("init", 0);
    pod.take_log();
    pod.tell(Event::SandboxChanged);
    pod.exit("app", 137);
    assert_eq!(pod.take_log(), ["0 exit app", "0 TERM proxy", "0 end"]);
}

/// KEP-5532's own example, and what it says of containers that have ended.
#[test]
fn a_rule_restarts_all_containers() {
    let inits = vec![container("setup"), ruled(sidecar("watcher"), ALL)];
    let apps = vec![pre_stop(container("main"), exec()), container("done")];
    let mut pod = Simulation::started(pod_of(NEVER, inits, apps));
    pod.exit("setup", 0);
    pod.exit("done", 0);
    pod.deaf = vec!["main"];
    pod.take_log();
    pod.until(60);
    pod.exit("watcher", 88);
    // No hook, no grace.
    assert_eq!(pod.take_log(), ["60 exit watcher", "60 KILL main", "60 start setup"]);
    let condition = restarting(&pod.machine).unwrap();
    assert!(!condition.met, "that is the second phase");
    assert_eq!(condition.reason.as_deref(), Some("ContainerExited"));
    let message = "Container watcher exited with code 88, triggering pod restart";
    assert_eq!(condition.message.as_deref(), Some(message));
    assert_eq!(pod.machine.status().phase, Phase::Pending);
    assert!(pod.machine.status().condition(ConditionKind::Initialized).unwrap().met);
    assert_eq!(pod.summary().1, "PodInitializing"); // as kubectl shows one that was initialized before
    assert_eq!((pod.status("main").restart_count, pod.reason("main").as_str()), (0, "PodInitializing"));
    pod.exit("setup", 0);
    assert_eq!(pod.take_log(), ["60 exit setup", "60 start watcher", "60 start main", "60 start done"]);
    let counts = ["setup", "watcher", "main", "done"].map(|name| pod.status(name).restart_count);
    assert_eq!((counts, pod.machine.status().phase), ([1; 4], Phase::Running));
    let last = |name| pod.status(name).last_state.as_ref().map(|last| last.exit_code);
    assert_eq!(["setup", "watcher", "main", "done"].map(last), [Some(0), Some(88), Some(137), Some(0)]);
    // The next time it waits as for any crash, and an init container that fails then is not held up by it.
    pod.exit("watcher", 88);
    assert_eq!(pod.take_log(), ["60 exit watcher", "60 KILL main", "60 KILL done"]);
    assert_eq!(
        (pod.machine.status().phase, pod.reason("watcher").as_str()),
        (Phase::Pending, "CrashLoopBackOff")
    );
    pod.until(69);
    assert_eq!(pod.take_log(), [""; 0]);
    pod.until(70);
    pod.exit("setup", 1);
    assert_eq!(pod.take_log(), ["70 start setup", "70 exit setup", "70 end"]);
    assert_eq!(pod.machine.status().phase, Phase::Failed);
}

#[test]
fn all_containers_are_gone_before_the_first_is_made() {
    let spec = PodSpec { containers: vec![ruled(container("c0"), ALL), container("c1")], ..pod(NEVER, 0) };
    let begin = || {
        let mut machine = Machine::new(&spec, &uid());
        machine.handle(Event::Create, at(0));
        machine.handle(made(0, 0), at(0));
        machine.handle(made(1, 0), at(0));
        machine.handle(Event::Start, at(0));
        machine.handle(Event::Started { index: 0 }, at(0));
        machine
    };
    // The other one is on its way: it follows when it runs.
    let mut machine = begin();
    assert_eq!(machine.handle(exited(0, 88), at(0)), [REMOVE]);
    assert!(restarting(&machine).unwrap().met);
    assert_eq!(machine.status().phase, Phase::Pending);
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(0)), []);
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.handle(Event::Started { index: 1 }, at(0)), [signal(1, Signal::Kill)]);
    assert_eq!(machine.handle(exited(1, 137), at(1)), [Action::Remove { index: 1 }]);
    let next = machine.handle(Event::Removed { index: 1 }, at(1));
    assert_eq!(next, [make(0, 1, true), make(1, 1, true)]);
    assert!(!restarting(&machine).unwrap().met);
    // Another supervisor goes on with it.
    let mut machine = begin();
    machine.handle(Event::Started { index: 1 }, at(0));
    assert_eq!(machine.handle(exited(0, 88), at(0)), [REMOVE, signal(1, Signal::Kill)]);
    let mut machine = Machine::resume(&spec, &uid(), machine.status().clone(), at(5));
    assert_eq!(machine.handle(Event::Removed { index: 0 }, at(5)), []);
    let kill = machine.handle(adopted_as(1, 0), at(5));
    assert_eq!(kill, [signal(1, Signal::Stop), signal(1, Signal::Kill)]);
    assert_eq!(machine.handle(exited(1, 137), at(6)), [Action::Remove { index: 1 }]);
    let next = machine.handle(Event::Removed { index: 1 }, at(6));
    assert_eq!(next, [make(0, 1, true), make(1, 1, true)]);
    // A stop comes first, and ends it.
    let mut machine = begin();
    machine.handle(exited(0, 88), at(0));
    machine.handle(Event::Stop { grace_seconds: 0 }, at(0));
    machine.handle(Event::Removed { index: 0 }, at(0));
    machine.handle(Event::Started { index: 1 }, at(0));
    machine.handle(exited(1, 137), at(0));
    assert_eq!(machine.handle(Event::Removed { index: 1 }, at(0)), [Action::End]);
    assert_eq!(machine.status().phase, Phase::Failed);
}

fn adopted_as(index: usize, restart: u32) -> Event {
    Event::Adopted { index, container_id: format!("uid.c{index}.{restart}"), restart, started: true }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let (one, all) = (RestartAction::Restart, RestartAction::RestartAllContainers);
    for (actions, code, log) in [
        (&[one, all][..], 88, &["0 exit app", "0 start app"][..]),
        (&[all, one], 88, &["0 exit app", "0 KILL other", "0 start app", "0 start other"]),
        (&[all], 1, &["0 exit app"]),
    ] {
        let mut pod = Simulation::started(pod_of(
            ALWAYS,
            vec![],
            vec![ruled(container("app"), actions), container("other")],
        ));
        pod.take_log();
        pod.exit("app", code);
        assert_eq!(pod.take_log(), log, "{actions:?} {code}");
    }
    // An init container that has done its work is done.
    let mut init = ruled(container("init"), ALL);
    init.restart_policy_rules[0].operator = RestartOperator::NotIn;
    let mut pod = Simulation::started(pod_of(NEVER, vec![init], vec![container("app")]));
    pod.exit("init", 0);
    assert_eq!(pod.take_log(), ["0 start init", "0 exit init", "0 start app"]);
    // Neither does a pod begin again that is over.
    let mut pod =
        Simulation::started(pod_of(NEVER, vec![ruled(sidecar("proxy"), ALL)], vec![container("app")]));
    pod.deaf = vec!["proxy"];
    pod.exit("app", 0);
    pod.exit("proxy", 88);
    assert!(pod.ended);
    assert_eq!(pod.machine.status().phase, Phase::Succeeded);
}
