//! What `pod describe` tells of a manifest pod beyond what it tells of any.

use crate::cli::output::Table;
use crate::model::podspec::{ContainerSpec, PodSpec, ResourceList};
use crate::model::quantity;
use crate::model::status::{Condition, ContainerState, ContainerStatus, Event, PodStatus, Terminated};
use crate::model::time;
use std::collections::BTreeMap;

/// Titles, each with one line or several.
pub type Facts = Vec<(&'static str, String)>;

/// Of the pod as a whole.
pub fn facts(spec: &PodSpec, status: Option<&PodStatus>) -> Facts {
    let mut facts = vec![
        ("Labels", pairs(&spec.labels)),
        ("Annotations", pairs(&spec.annotations)),
        ("QoS class", format!("{:?}", spec.qos_class())),
        ("Restart policy", format!("{:?}", spec.restart_policy)),
        ("Grace period", format!("{} s", spec.termination_grace_period_seconds)),
    ];
    if let Some(status) = status {
        facts.push(("Reason", sentence(status.reason.as_deref(), status.message.as_deref())));
        facts.push(("Conditions", conditions(status)));
    }
    if !spec.accepted_fields.is_empty() {
        facts.push(("Cluster", format!("Fields for a cluster only: {}", spec.accepted_fields.join(", "))));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}

fn sentence(reason: Option<&str>, message: Option<&str>) -> String {
    [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn conditions(status: &PodStatus) -> String {
    let line = |condition: &Condition| {
        let why = sentence(condition.reason.as_deref(), condition.message.as_deref());
        let met = if condition.met { "True" } else { "False" };
        format!("{:<26}{met:<7}{why}", condition.kind.name()).trim_end().to_owned()
    };
    status.conditions.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Of one container.
pub fn container(spec: &ContainerSpec, status: Option<&ContainerStatus>, now: u64) -> Facts {
    let id = |text: Option<&String>| text.map_or_else(String::new, |text| format!(" ({text})"));
    let mut facts =
        vec![("Image", format!("{}{}", spec.image, id(status.and_then(|status| status.image_id.as_ref()))))];
    if let Some(status) = status {
        let last = status.last_state.as_ref().map(|ended| end(ended, now)).unwrap_or_default();
        facts.extend([
            ("Container", status.container_id.clone().unwrap_or_default()),
            ("State", state(&status.state, now)),
            ("Last state", last),
            ("Ready", if status.ready { "yes" } else { "no" }.to_owned()),
            ("Restarts", status.restart_count.to_string()),
            ("Log", status.log_trouble.clone().unwrap_or_default()),
        ]);
    }
    facts.extend([
        ("Command", words(&spec.command)),
        ("Arguments", words(&spec.args)),
        ("Ports", ports(spec)),
        ("Mounts", mounts(spec)),
        ("Limits", amounts(spec.resources.limits)),
        ("Requests", amounts(spec.resources.requests)),
        (
            "Environment",
            spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n"),
        ),
    ]);
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn state(state: &ContainerState, now: u64) -> String {
    match state {
        ContainerState::Waiting { reason, message } => {
            format!("Waiting, {}", sentence(Some(reason), message.as_deref()))
        }
        ContainerState::Running { started_at } => format!("Running since {}", moment(*started_at, now)),
        ContainerState::Terminated(ended) => end(ended, now),
    }
}

fn end(ended: &Terminated, now: u64) -> String {
    let signal = ended.signal.map_or_else(String::new, |signal| format!(" (signal {signal})"));
    let why = sentence(Some(&ended.reason), ended.message.as_deref());
    let at = moment(ended.finished_at, now);
    format!("Terminated with exit code {}{signal} at {at}, {why}", ended.exit_code)
}

fn moment(at: u64, now: u64) -> String {
    format!("{}, {} ago", time::rfc3339(at), time::age(now.saturating_sub(at)))
}

/// Words as a shell would take them, where blanks would hide their number.
fn words(words: &[String]) -> String {
    let plain = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !"\"'\\$`*?;&|<>()".contains(c))
    };
    let shown = words.iter().map(|word| if plain(word) { word.clone() } else { format!("{word:?}") });
    shown.collect::<Vec<_>>().join(" ")
}

fn ports(spec: &ContainerSpec) -> String {
    let port = |port: &crate::model::podspec::ContainerPort| {
        let name = port.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        format!("{}/{}{name}", port.container_port, port.protocol)
    };
    spec.ports.iter().map(port).collect::<Vec<_>>().join(", ")
}

fn mounts(spec: &ContainerSpec) -> String {
    let mount = |mount: &crate::model::sandbox::VolumeMount| {
        format!(
            "{} at {}{}",
            mount.name,
            mount.path.display(),
            if mount.read_only { ", read-only" } else { "" }
        )
    };
    spec.volume_mounts.iter().map(mount).collect::<Vec<_>>().join("\n")
}

fn amounts(list: ResourceList) -> String {
    let cpu = list.cpu_millis.map(|millis| match millis {
        millis if millis.is_multiple_of(1000) => format!("cpu {}", millis / 1000),
        millis => format!("cpu {millis}m"),
    });
    let bytes =
        |name: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{name} {}", quantity::text(bytes)));
    let memory = bytes("memory", list.memory_bytes);
    let disk = bytes("ephemeral-storage", list.ephemeral_storage_bytes);
    [cpu, memory, disk].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The events as a table, the oldest first, counted as kubectl does: `5s (x3 over 2m)`.
pub fn events(events: &[Event], now: u64) -> Table {
    let mut table = Table::new(&["AGE", "TYPE", "REASON", "MESSAGE"]);
    for event in events {
        let age = time::age(now.saturating_sub(event.at));
        let age = match event.count {
            0 | 1 => age,
            count => format!("{age} (x{count} over {})", time::age(now.saturating_sub(event.first))),
        };
        let message = match &event.container {
            Some(container) => format!("{container}: {}", event.message),
            None => event.message.clone(),
        };
        table.row(vec![age, format!("{:?}", event.kind), event.reason.clone(), message]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;
    use crate::model::podspec::ContainerPort;
    use crate::model::status::{EventKind, Phase};

    #[test]
    fn containers_are_told_in_words() {
        let mut spec = samples::spec(&["c0"]);
        let one = &mut spec.containers[0];
        one.command = vec!["sh".into(), "-c".into(), "echo hi".into()];
        one.ports =
            vec![ContainerPort { name: Some("http".into()), container_port: 80, protocol: "TCP".into() }];
        one.volume_mounts = vec![crate::cli::args::volume_mount("data:/data:ro").unwrap()];
        one.resources.limits = ResourceList {
            cpu_millis: Some(1500),
            memory_bytes: Some(64 << 20),
            ephemeral_storage_bytes: Some(1 << 30),
        };
        one.resources.requests.cpu_millis = Some(2000);
        let mut status = samples::status(Phase::Running, vec![samples::running()]);
        status.containers[0].restart_count = 1;
        let ContainerState::Terminated(last) = samples::ended("Error", 3) else { panic!() };
        status.containers[0].last_state = Some(Terminated { signal: Some(9), ..last });
        let facts = container(&spec.containers[0], status.containers.first(), 65);
        let want = [
            ("Image", "busybox"),
            ("State", "Running since 1970-01-01T00:00:05Z, 60s ago"),
            ("Last state", "Terminated with exit code 3 (signal 9) at 1970-01-01T00:00:07Z, 58s ago, Error"),
            ("Ready", "yes"),
            ("Restarts", "1"),
            ("Command", "sh -c \"echo hi\""),
            ("Ports", "80/TCP (http)"),
            ("Mounts", "data at /data, read-only"),
            ("Limits", "cpu 1500m, memory 64Mi, ephemeral-storage 1Gi"),
            ("Requests", "cpu 2"),
        ];
        assert_eq!(facts, want.map(|(title, text)| (title, text.to_owned())));
    }

    #[test]
    fn fields_for_a_cluster_are_told() {
        let mut spec = samples::spec(&["a"]);
        spec.accepted_fields = vec!["spec.tolerations".into(), "status".into()];
        let facts = facts(&spec, Some(&samples::status(Phase::Running, vec![samples::running()])));
        let fact = |title| facts.iter().find(|fact| fact.0 == title).map(|fact| fact.1.as_str());
        assert_eq!(fact("Cluster"), Some("Fields for a cluster only: spec.tolerations, status"));
        assert_eq!(fact("QoS class"), Some("BestEffort"));
        assert_eq!((fact("Labels"), fact("Reason")), (None, None));
        assert!(fact("Conditions").is_some_and(|text| text.contains("Ready                     True")));
    }

    #[test]
    fn events_are_counted() {
        let event = Event {
            at: 60,
            first: 5,
            count: 3,
            kind: EventKind::Warning,
            reason: "BackOff".into(),
            container: Some("app".parse().unwrap()),
            message: "it ends again and again".into(),
        };
        let text = events(&[event], 65).whole();
        assert_eq!(
            text.lines().last(),
            Some("5s (x3 over 60s)   Warning   BackOff   app: it ends again and again")
        );
    }
}
