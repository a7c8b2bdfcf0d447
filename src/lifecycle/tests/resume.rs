//! Supervisors that are killed, at every step.

use super::simulation::*;
use super::*;
use crate::model::probe::{HookKind, ProbeKind};

const ALWAYS: RestartPolicy = RestartPolicy::Always;

impl Simulation {
    /// Another supervisor takes over `after` seconds later.
    fn change_supervisor(&mut self, after: u64) {
        let before = self.machine.status().clone();
        let text = serde_json::to_string(&before).unwrap();
        self.now += after * 1000;
        let status = serde_json::from_str(&text).unwrap();
        self.machine = Machine::resume(&self.spec, &uid(), status, at(self.now));
        for (index, container) in before.all_containers().enumerate() {
            let memory = &before.memory.containers[index];
            let alive = memory.began.is_some();
            self.tell(if alive {
                let container_id = container.container_id.clone().unwrap();
                Event::Adopted { index, container_id, restart: container.restart_count, started: true }
            } else {
                Event::Removed { index }
            });
        }
    }
}

#[test]
fn a_wait_goes_on_where_it_was() {
    for (after, start) in [(4, 10), (60, 60)] {
        let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![container("app")]));
        pod.exit("app", 1);
        pod.exit("app", 1);
        pod.take_log();
        pod.change_supervisor(after);
        let waits = pod.machine.deadline().is_some();
        assert_eq!(waits, after < 10);
        pod.until(start);
        assert_eq!(pod.take_log(), [format!("{start} start app")]);
        // The next wait is longer.
        pod.exit("app", 1);
        pod.until(200);
        let next = format!("{} start app", start + 20);
        assert_eq!(pod.take_log().last(), Some(&next));
    }
}

#[test]
fn probes_go_on_with_what_they_had_found() {
    let app = ContainerSpec {
        startup_probe: probe(0, 10, 30),
        readiness_probe: probe(0, 10, 1),
        ..container("app")
    };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![app]));
    pod.until(15);
    assert!(pod.status("app").ready);
    pod.take_log();
    pod.answers.insert(("app", ProbeKind::Readiness), ProbeResult::Unknown("busy".into()));
    pod.change_supervisor(5);
    assert!(pod.status("app").ready && pod.status("app").started);
    pod.until(40);
    assert_eq!(pod.take_log(), ["20 Readiness app", "30 Readiness app", "40 Readiness app"]);
    assert!(pod.status("app").ready);
    assert_eq!(pod.status("app").state, ContainerState::Running { started_at: 1000 });
    // A startup probe that had not succeeded goes on too.
    let slow = ContainerSpec { startup_probe: probe(25, 10, 30), ..container("slow") };
    let mut pod = Simulation::started(pod_of(ALWAYS, vec![], vec![slow]));
    pod.take_log();
    pod.until(15);
    pod.change_supervisor(5);
    pod.until(26);
    assert_eq!(pod.take_log(), ["25 Startup slow"]);
    assert!(pod.status("slow").ready);
}

#[test]
fn an_initialization_goes_on() {
    let inits = vec![container("one"), sidecar("proxy"), container("two")];
    let mut pod = Simulation::started(pod_of(ALWAYS, inits, vec![container("app")]));
    pod.exit("one", 0);
    pod.take_log();
    pod.change_supervisor(1);
    assert_eq!(pod.take_log(), [""; 0]);
    pod.exit("two", 0);
    assert_eq!(pod.take_log(), ["1 exit two", "1 start app"]);
    pod.change_supervisor(1);
    pod.exit("app", 1);
    assert_eq!(pod.take_log(), ["2 exit app", "2 start app"]);
}

#[test]
fn hooks_are_delivered_at_least_once() {
    // postStart worked: it is begun again, and the container waits for it.
    let apps = vec![post_start(pre_stop(container("app"), exec()), exec()), container("next")];
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], apps));
    pod.hooks_answer = false;
    pod.tell(Event::Start);
    pod.change_supervisor(2);
    assert_eq!(pod.take_log(), ["0 start app", "0 PostStart app", "2 PostStart app"]);
    pod.hooked("app", HookKind::PostStart, Ok(()));
    assert_eq!(pod.take_log(), ["2 start next"]);
    assert_eq!(pod.status("app").state, ContainerState::Running { started_at: 1000 });
    // It is done: not again.
    pod.change_supervisor(2);
    assert_eq!(pod.take_log(), [""; 0]);
    // preStop worked: again, within what is left.
    pod.deaf = vec!["app", "next"];
    pod.tell(Event::Stop { grace_seconds: 30 });
    assert_eq!(pod.take_log(), ["4 PreStop app", "4 TERM next"]);
    pod.change_supervisor(6);
    assert_eq!(pod.take_log(), ["10 PreStop app", "10 TERM next"]);
    pod.hooked("app", HookKind::PreStop, Ok(()));
    pod.change_supervisor(5);
    assert_eq!(pod.take_log(), ["10 TERM app", "15 TERM app", "15 TERM next"]);
    pod.until(60);
    assert_eq!(pod.take_log(), ["34 KILL next", "34 KILL app", "34 end"]);
}

#[test]
fn a_kill_for_a_probe_goes_on() {
    let app = ContainerSpec { liveness_probe: probe(0, 10, 1), ..container("app") };
    let mut pod = Simulation::new(pod_of(ALWAYS, vec![], vec![app]));
    pod.answers.insert(("app", ProbeKind::Liveness), ProbeResult::Failure("x".into()));
    pod.deaf = vec!["app"];
    pod.tell(Event::Start);
    pod.answers.clear();
    pod.take_log();
    pod.change_supervisor(5);
    pod.until(35);
    assert_eq!(pod.take_log(), ["5 TERM app", "30 KILL app", "30 start app", "30 Liveness app"]);
}

#[test]
fn the_end_of_a_pod_goes_on() {
    let inits = vec![sidecar("first"), sidecar("second")];
    let mut pod = Simulation::started(pod_of(RestartPolicy::Never, inits, vec![container("app")]));
    pod.deaf = vec!["second"];
    pod.exit("app", 0);
    pod.change_supervisor(3);
    pod.exit("second", 0);
    assert_eq!(
        pod.take_log()[3..],
        ["0 exit app", "0 TERM second", "3 TERM second", "3 exit second", "3 TERM first", "3 end"]
    );
    assert_eq!(pod.machine.status().phase, Phase::Succeeded);
    assert_eq!(pod.status("first").restart_count, 0);
}

#[test]
fn deadlines_go_on() {
    let spec =
        PodSpec { active_deadline_seconds: Some(100), ..pod_of(ALWAYS, vec![], vec![container("app")]) };
    let mut pod = Simulation::started(spec);
    pod.take_log();
    pod.change_supervisor(40);
    pod.until(200);
    assert_eq!(pod.take_log(), ["100 TERM app", "100 end"]);
}

#[test]
fn the_wall_clock_may_be_set_meanwhile() {
    // A day ahead, and back to 1970.
    for wall in [90_000, 0] {
        let now = |seconds| Now { monotonic: Duration::from_secs(seconds), wall };
        let app = ContainerSpec { liveness_probe: probe(0, 10, 3), ..container("app") };
        let spec = PodSpec { active_deadline_seconds: Some(100), ..pod_of(ALWAYS, vec![], vec![app]) };
        let mut pod = Simulation::started(spec);
        pod.exit("app", 1);
        pod.exit("app", 1);
        let status = pod.machine.status().clone();
        let mut machine = Machine::resume(&pod.spec, &uid(), status, now(4));
        assert_eq!(machine.handle(Event::Removed { index: 0 }, now(4)), []);
        assert_eq!(machine.deadline(), Some(Duration::from_secs(10)), "the wait");
        assert_eq!(machine.handle(Event::Time, now(10)), [make(0, 2, true)]);
        machine.handle(made(0, 2), now(10));
        machine.handle(Event::Started { index: 0 }, now(10));
        let probed = |result| Event::Probed { index: 0, restart: 2, kind: ProbeKind::Liveness, result };
        machine.handle(probed(ProbeResult::Success), now(11));
        assert_eq!(machine.deadline(), Some(Duration::from_secs(20)), "the period");
        let mut machine = Machine::resume(&pod.spec, &uid(), machine.status().clone(), now(15));
        let adopted = Event::Adopted { index: 0, container_id: "uid.c0.2".into(), restart: 2, started: true };
        machine.handle(adopted, now(15));
        let state = &machine.status().containers[0].state;
        assert_eq!(*state, ContainerState::Running { started_at: wall }, "as the wall clock had it");
        machine.handle(probed(ProbeResult::Success), now(16));
        let stopped = machine.handle(Event::Stop { grace_seconds: 30 }, now(16));
        assert_eq!(stopped, [signal(0, Signal::Stop)]);
        let before = Machine::resume(&pod.spec, &uid(), machine.status().clone(), at(20_000));
        assert_eq!(before.status().deletion_timestamp(), Some(wall + 30));
        assert_eq!(machine.deadline(), Some(Duration::from_secs(46)), "the grace period");
        machine.handle(Event::Stop { grace_seconds: 20 }, now(20));
        assert_eq!(machine.status().deletion_timestamp(), Some(wall + 24));
    }
}

#[test]
fn a_status_without_a_memory_is_read() {
    let pod = Simulation::started(pod_of(ALWAYS, vec![], vec![container("app")]));
    let mut value = serde_json::to_value(pod.machine.status()).unwrap();
    for field in ["memory", "conditions", "initContainers", "qosClass"] {
        value.as_object_mut().unwrap().remove(field).unwrap();
    }
    let status: PodStatus = serde_json::from_value(value).unwrap();
    let mut machine = Machine::resume(&pod.spec, &uid(), status, at(5000));
    let id = "uid.c0.0".to_owned();
    assert_eq!(
        machine.handle(Event::Adopted { index: 0, container_id: id, restart: 0, started: true }, at(5000)),
        []
    );
    assert_eq!(machine.status().containers, pod.machine.status().containers);
    assert_eq!(machine.status().conditions.len(), 5);
}
