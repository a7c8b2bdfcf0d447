//! A manifest pod as a Kubernetes v1.Pod: the manifest as it was written, and the status in the words and types of
//! Kubernetes.

use super::Seen;
use crate::error::Result;
use crate::model::status::{Condition, ContainerState, ContainerStatus, PodStatus, Terminated};
use crate::model::time::rfc3339;
use serde_json::{Map, Value, json};

/// The pod as an object.
///
/// # Errors
/// When the pod's files cannot be understood.
pub fn of(seen: &Seen) -> Result<Value> {
    let pod = &seen.pod;
    let mut object = pod.manifest()?;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    metadata["name"] = pod.name().as_str().into();
    metadata["namespace"] = pod.namespace().as_str().into();
    metadata["uid"] = pod.uid().map(ToString::to_string).into();
    metadata["creationTimestamp"] = pod.created().map(rfc3339).into();
    let asked = seen.status.as_ref().filter(|status| !status.has_ended());
    let deletion = asked.and_then(PodStatus::deletion_timestamp);
    if let Some(at) = deletion.or_else(|| pod.is_deleting().then(super::now)) {
        metadata["deletionTimestamp"] = rfc3339(at).into();
        let grace = asked.and_then(|status| status.stop_grace_seconds);
        metadata["deletionGracePeriodSeconds"] = grace.unwrap_or(0).into();
    }
    let mut status = seen.status.as_ref().map_or_else(|| json!({"phase": "Pending"}), status);
    if let Some(created) = pod.created() {
        status["startTime"] = rfc3339(created).into();
    }
    status["qosClass"] = json!(pod.spec()?.qos_class());
    object["status"] = status;
    Ok(object)
}

fn status(status: &PodStatus) -> Value {
    let conditions: Vec<Value> = status.conditions.iter().map(condition).collect();
    let statuses = |containers: &[ContainerStatus]| -> Value {
        match containers {
            [] => Value::Null,
            some => some.iter().map(container).collect(),
        }
    };
    without_nulls([
        ("phase", json!(status.phase)),
        ("reason", json!(status.reason)),
        ("message", json!(status.message)),
        ("conditions", conditions.into()),
        ("initContainerStatuses", statuses(&status.init_containers)),
        ("containerStatuses", statuses(&status.containers)),
    ])
}

fn condition(condition: &Condition) -> Value {
    without_nulls([
        ("type", condition.kind.name().into()),
        ("status", if condition.met { "True" } else { "False" }.into()),
        ("lastTransitionTime", rfc3339(condition.last_transition_time).into()),
        ("reason", json!(condition.reason)),
        ("message", json!(condition.message)),
    ])
}

/// A v1.ContainerStatus.
fn container(container: &ContainerStatus) -> Value {
    let last = container.last_state.as_ref();
    let state = match &container.state {
        ContainerState::Waiting { reason, message } => {
            json!({"waiting": without_nulls([("reason", json!(reason)), ("message", json!(message))])})
        }
        ContainerState::Running { started_at } => json!({"running": {"startedAt": rfc3339(*started_at)}}),
        ContainerState::Terminated(ended) => json!({"terminated": terminated(ended)}),
    };
    without_nulls([
        ("name", json!(container.name)),
        ("image", json!(container.image)),
        // Both are not optional in Kubernetes.
        ("imageID", container.image_id.clone().unwrap_or_default().into()),
        ("restartCount", container.restart_count.into()),
        ("containerID", container.container_id.as_ref().map(|id| format!("podrun://{id}")).into()),
        ("ready", container.ready.into()),
        ("started", container.started.into()),
        ("state", state),
        ("lastState", last.map_or_else(|| json!({}), |ended| json!({"terminated": terminated(ended)}))),
    ])
}

fn terminated(ended: &Terminated) -> Value {
    without_nulls([
        ("exitCode", ended.exit_code.into()),
        ("signal", ended.signal.into()),
        ("reason", json!(ended.reason)),
        ("message", json!(ended.message)),
        ("startedAt", ended.started_at.map(rfc3339).into()),
        ("finishedAt", rfc3339(ended.finished_at).into()),
    ])
}

fn without_nulls<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;
    use crate::model::status::Phase;

    #[test]
    fn a_status_has_kubernetes_names_and_times() {
        let states =
            vec![samples::running(), samples::waiting("CrashLoopBackOff"), samples::ended("Error", 3)];
        let mut of = samples::status(Phase::Running, states);
        of.containers[1].container_id = Some("u.c1.4".into());
        of.containers[1].restart_count = 4;
        let ContainerState::Terminated(last) = samples::ended("Error", 1) else { panic!() };
        of.containers[1].last_state = Some(last);
        let object = status(&of);
        assert_eq!(object["phase"], "Running");
        let containers = &object["containerStatuses"];
        assert_eq!(containers[0]["state"], json!({"running": {"startedAt": "1970-01-01T00:00:05Z"}}));
        assert_eq!((&containers[0]["imageID"], &containers[0]["lastState"]), (&json!(""), &json!({})));
        assert!(containers[0].get("containerID").is_none());
        assert_eq!(containers[1]["state"], json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert_eq!(containers[1]["containerID"], "podrun://u.c1.4");
        assert_eq!(containers[1]["lastState"]["terminated"]["exitCode"], 1);
        let terminated = json!({"exitCode": 3, "reason": "Error", "startedAt": "1970-01-01T00:00:05Z",
            "finishedAt": "1970-01-01T00:00:07Z"});
        assert_eq!(containers[2]["state"], json!({ "terminated": terminated }));
        let ready = object["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ContainersNotReady")));
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:00:05Z");
        assert!(object.get("initContainerStatuses").is_none());
        of.init_containers.push(ContainerStatus::new("fetch".parse().unwrap(), "busybox"));
        let first = &status(&of)["initContainerStatuses"][0];
        assert_eq!((&first["name"], &first["started"]), (&json!("fetch"), &json!(false)));
    }
}
