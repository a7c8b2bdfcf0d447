//! Limits on the disk, and who is evicted when.

use super::simulation::*;
use super::*;
use crate::model::volume::{Medium, VolumeSource, VolumeSpec};

fn volume(name: &str, medium: Medium, size_limit_bytes: Option<u64>) -> VolumeSpec {
    VolumeSpec { name: name.parse().unwrap(), source: VolumeSource::EmptyDir { medium, size_limit_bytes } }
}

fn limited(name: &str, bytes: Option<u64>) -> ContainerSpec {
    let mut spec = container(name);
    spec.resources.limits.ephemeral_storage_bytes = bytes;
    spec
}

fn usage(volumes: &[u64], containers: &[u64]) -> Option<DiskUsage> {
    Some(DiskUsage { volumes: volumes.to_vec(), containers: containers.to_vec() })
}

#[test]
fn nothing_is_measured_where_nothing_is_limited() {
    let mut spec = pod_of(RestartPolicy::Always, vec![], vec![container("app")]);
    spec.volumes = vec![volume("m", Medium::Memory, Some(1 << 20)), volume("d", Medium::Disk, None)];
    let mut pod = Simulation::started(spec);
    pod.usage = usage(&[1 << 40, 1 << 40], &[1 << 40]);
    pod.until(100);
    assert_eq!((pod.machine.deadline(), pod.take_log()), (None, vec!["0 start app".to_owned()]));
}

#[test]
fn a_volume_above_its_limit_has_the_pod_evicted() {
    let mut spec = pod_of(RestartPolicy::Always, vec![], vec![container("app"), container("deaf")]);
    spec.volumes = vec![volume("first", Medium::Disk, None), volume("work", Medium::Disk, Some(10 << 20))];
    let mut pod = Simulation::started(spec);
    pod.take_log();
    pod.usage = usage(&[1 << 40, 10 << 20], &[0, 0]);
    pod.until(29);
    assert_eq!(pod.take_log(), ["10 measure", "20 measure"]);
    pod.deaf = vec!["deaf"];
    pod.usage = usage(&[0, (10 << 20) + 1], &[0, 0]);
    // Nobody has less than two seconds to end.
    pod.until(100);
    assert_eq!(pod.take_log(), ["30 measure", "30 TERM app", "30 TERM deaf", "32 KILL deaf", "32 end"]);
    let message = "Usage of EmptyDir volume \"work\" exceeds the limit \"10Mi\".";
    let status = pod.machine.status();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("Evicted")));
    assert_eq!(status.message.as_deref(), Some(message));
    assert!(pod.events().contains(&format!("Evicted: {message}")));
    // kubectl's column tells how a container ended, before why the pod did.
    assert_eq!(pod.summary().1, "Error");
}

#[test]
fn containers_are_limited_each_and_together() {
    let evicted = |apps: Vec<ContainerSpec>, usage| {
        let mut pod = Simulation::started(pod_of(RestartPolicy::Never, vec![], apps));
        pod.usage = usage;
        pod.until(11);
        pod.machine.status().message.clone()
    };
    let pair = || vec![limited("a", Some(4 << 20)), limited("b", Some(2 << 20))];
    assert_eq!(evicted(pair(), usage(&[], &[3 << 20, 2 << 20])), None);
    assert_eq!(evicted(pair(), None), None);
    let own = "Container b exceeded its local ephemeral storage limit \"2Mi\".";
    assert_eq!(evicted(pair(), usage(&[], &[0, 3 << 20])).as_deref(), Some(own));
    let all = "Pod ephemeral local storage usage exceeds the total limit of containers 6Mi.";
    assert_eq!(evicted(pair(), usage(&[], &[5 << 20, 2 << 20])).as_deref(), Some(all));
    assert_eq!(evicted(pair(), usage(&[7 << 20], &[0, 0])).as_deref(), Some(all));
    // As on a cluster, what one without a limit takes counts for the pod.
    let all = "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi.";
    let half = vec![limited("a", Some(4 << 20)), limited("b", None)];
    assert_eq!(evicted(half, usage(&[], &[0, 5 << 20])).as_deref(), Some(all));
}

#[test]
fn looking_goes_on_under_another_supervisor_and_ends_with_the_pod() {
    let spec = pod_of(RestartPolicy::Always, vec![], vec![limited("c0", Some(1 << 20))]);
    let mut pod = Simulation::started(spec.clone());
    pod.until(12);
    let status = pod.machine.status().clone();
    let mut machine = Machine::resume(&spec, &uid(), status, at(15_000));
    let adopted = Event::Adopted { index: 0, container_id: "uid.c0.0".into(), restart: 0, started: true };
    assert_eq!(machine.handle(adopted, at(15_000)), []);
    assert_eq!(machine.deadline(), Some(at(25_000).monotonic));
    assert_eq!(machine.handle(Event::Time, at(25_000)), [Action::Measure]);
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.handle(Event::Stop { grace_seconds: 30 }, at(26_000)), [signal(0, Signal::Stop)]);
    let late = Event::Measured { usage: usage(&[], &[1 << 30]) };
    assert_eq!(machine.handle(late, at(27_000)), []);
    assert_eq!((machine.status().reason.as_deref(), machine.deadline()), (None, Some(at(56_000).monotonic)));
}
