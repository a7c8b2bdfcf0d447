//! `pod apply`

use super::backoff::BackoffArgs;
use super::manifests::{self, Reading};
use super::remove::{self, How};
use super::{collected_pods, make, pair, run};
use crate::cli::{Globals, output};
use crate::container::Host;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::model::ids::PodNamespace;
use crate::model::podspec::{PodSpec, Role};
use crate::model::status::PodStatus;
use crate::pod::{self, Pod, PodKind};
use crate::report;
use crate::supervisor::control::Request;
use serde_json::Value;
use std::path::PathBuf;

/// Make and start the pods of manifests, or change those that are there
///
/// A pod that is there with an equal manifest is left as it is. As in Kubernetes little of a pod can be changed: a
/// container with another image is made anew in its place, other resources are brought to what runs (or as its
/// resizePolicy says), a deadline can be set or shortened, tolerations can be added, labels and annotations are free.
/// Anything else is refused, naming what differs.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod apply -f shop.yaml\n  podrun pod apply -f manifests/")]
pub struct ApplyArgs {
    /// Manifest in YAML or JSON, or a directory of them (*.yaml, *.yml, *.json); - is stdin
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Warn of fields of the manifests that are not supported yet, and go on
    #[arg(long)]
    pub ignore_unsupported: bool,
    /// Delete a pod that cannot be changed so, and make it anew
    #[arg(long)]
    pub replace: bool,
    /// How soon crashed containers are started again.
    #[command(flatten)]
    pub backoff: BackoffArgs,
    /// Namespace of manifests that have none
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<PodNamespace>,
}

impl ApplyArgs {
    /// Makes what is not there, and says of every pod what became of it.
    ///
    /// # Errors
    /// When a pod cannot be made or started, or is there with another manifest.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host()?;
        let reading = Reading {
            namespace: self.namespace.as_ref(),
            ignore_unsupported: self.ignore_unsupported,
            backoff: self.backoff.times()?,
            ..Reading::default()
        };
        let manifests = manifests::read_all(&self.file, reading)?;
        let present =
            manifests.iter().map(|manifest| is_there(&host, manifest)).collect::<Result<Vec<_>>>()?;
        let absent = manifests.iter().zip(&present).filter(|(_, present)| !**present);
        let _lease = make::check_all(&host, absent.map(|(manifest, _)| manifest))?;
        let mut present = present.iter();
        collected_pods("apply", &manifests, |manifest| match present.next() {
            Some(true) => self.keep(&host, manifest),
            _ => {
                let pod = make::make(&host, manifest)?;
                say(manifest, "created")?;
                run::start(&host, &pod)
            }
        })?;
        Ok(0)
    }

    /// Makes a pod that is there what the manifest says.
    fn keep(&self, host: &Host, manifest: &Manifest) -> Result<()> {
        let title = || format!("cannot apply pod {:?}", manifest.spec.name.as_str());
        let mut pod = pod::open(&host.layout, &make::reference(manifest)).context(title)?;
        let old = manifest_pod(&pod).context(title)?;
        let backoff = self.backoff.over(old.backoff).context(title)?;
        let wanted = PodSpec { backoff, ..manifest.spec.clone() };
        let tolerations = tolerations(&pod.manifest().context(title)?, &manifest.object);
        match judge(&old, &wanted).and(tolerations.clone().map_err(|why| invalid(&old, why))) {
            Err(_) if self.replace => return replace(host, &mut pod, manifest),
            Err(error) => return Err(error.hint(hint(&pod))),
            Ok(_) => {}
        }
        let changed = tolerations == Ok(Tolerations::Added) || !differences(&old, &wanted)?.is_empty();
        if changed {
            change(host, &pod, &old, &wanted, manifest).context(title)?;
        }
        let waits = |status: PodStatus| status.started_at.is_none() && status.stopping_since.is_none();
        // One that was only created, perhaps by a command that was killed, is started.
        let waits = pod.status()?.is_some_and(waits);
        if waits {
            run::start(host, &pod)?;
        }
        say(manifest, if waits || changed { "configured" } else { "unchanged" })
    }
}

/// Writes down what the pod is to be from now on, and tells its supervisor, if it still needs one.
fn change(host: &Host, pod: &Pod, old: &PodSpec, wanted: &PodSpec, manifest: &Manifest) -> Result<()> {
    let images = old.all_containers().zip(wanted.all_containers());
    let renewed = images.filter(|(old, new)| old.image != new.image).map(|(_, new)| new);
    // Until the spec names them they are nobody's.
    let _lease = make::check_images(host, manifest, renewed)?;
    let before = pod.manifest()?;
    pod.replace_manifest(pod::Manifest { spec: wanted, object: &manifest.object })?;
    if pod.status()?.is_some_and(|status| status.has_ended()) {
        return Ok(());
    }
    pair::ask(host, pod, &Request::Update, None).inspect_err(|_| {
        // The kernel refused other resources: the pod is what it was.
        let undone = pod.replace_manifest(pod::Manifest { spec: old, object: &before });
        let told = undone.and_then(|()| pair::ask(host, pod, &Request::Update, None));
        if let Err(error) = told {
            report::warn(&error.to_string());
        }
    })
}

fn replace(host: &Host, pod: &mut Pod, manifest: &Manifest) -> Result<()> {
    let _lease = make::check_images(host, manifest, manifest.spec.all_containers())?;
    remove::remove(host, pod, How::Gracefully(None))?;
    let pod = make::make(host, manifest)?;
    say(manifest, "replaced")?;
    run::start(host, &pod)
}

fn is_there(host: &Host, manifest: &Manifest) -> Result<bool> {
    match pod::open(&host.layout, &make::reference(manifest)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn say(manifest: &Manifest, what: &str) -> Result<()> {
    output::print(&format!("pod/{} {what}\n", manifest.spec.name))
}

fn hint(pod: &Pod) -> String {
    let namespace = match pod.namespace().as_str() {
        "default" => String::new(),
        other => format!("-n {other} "),
    };
    format!("delete it first: podrun pod delete {namespace}{}, or apply with --replace", pod.name())
}

/// What a manifest pod that is there to stay is to be.
fn manifest_pod(pod: &Pod) -> Result<PodSpec> {
    if pod.is_deleting() {
        return Err(Error::user("it is being deleted").hint("apply it again when it is gone"));
    }
    if pod.kind() == PodKind::Bare {
        return Err(Error::user("there is a bare pod of that name").hint(hint(pod)));
    }
    pod.spec()
}

/// Kubernetes' own words.
const FORBIDDEN: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn invalid(pod: &PodSpec, what: impl std::fmt::Display) -> Error {
    Error::user(format!("the Pod {:?} is invalid: {what}", pod.name.as_str()))
}

/// Refuses what a pod that is there cannot become.
fn judge(old: &PodSpec, wanted: &PodSpec) -> Result<()> {
    let invalid = |what: String| Err(invalid(old, what));
    for (field, old, wanted) in [
        ("initContainers", &old.init_containers, &wanted.init_containers),
        ("containers", &old.containers, &wanted.containers),
    ] {
        if old.len() != wanted.len() {
            return invalid(format!("spec.{field}: Forbidden: pod updates may not add or remove containers"));
        }
    }
    let deadline = "spec.activeDeadlineSeconds: Invalid value";
    match (old.active_deadline_seconds, wanted.active_deadline_seconds) {
        (Some(_), None) => {
            return invalid(format!(
                "{deadline}: null: must not update from a positive integer to nil value"
            ));
        }
        (Some(old), Some(new)) if new > old => {
            return invalid(format!("{deadline}: {new}: must be less than or equal to previous value"));
        }
        _ => {}
    }
    judge_resources(old, wanted).or_else(invalid)?;
    let mut allowed = old.clone();
    allowed.active_deadline_seconds = wanted.active_deadline_seconds;
    allowed.backoff = wanted.backoff;
    allowed.labels.clone_from(&wanted.labels);
    allowed.annotations.clone_from(&wanted.annotations);
    let containers = allowed.init_containers.iter_mut().chain(&mut allowed.containers);
    for (index, (old, new)) in containers.zip(wanted.all_containers()).enumerate() {
        old.image.clone_from(&new.image);
        if wanted.role(index) != Role::Init {
            old.resources = old.resources.resized(new.resources);
        }
    }
    match differences(&allowed, wanted)?.as_slice() {
        [] => Ok(()),
        places => invalid(format!("spec: Forbidden: {FORBIDDEN}; these differ: {}", places.join(", "))),
    }
}

/// Refuses what no resize can do, in Kubernetes' words.
fn judge_resources(old: &PodSpec, wanted: &PodSpec) -> Result<(), String> {
    let inits = old.init_containers.len();
    for (index, (old, new)) in old.all_containers().zip(wanted.all_containers()).enumerate() {
        let place = match index.checked_sub(inits) {
            None => format!("spec.initContainers[{index}]"),
            Some(index) => format!("spec.containers[{index}]"),
        };
        let (old, new) = (&old.resources, &new.resources);
        for (field, old, new) in
            [("limits", &old.limits, &new.limits), ("requests", &old.requests, &new.requests)]
        {
            let removed = |old: Option<u64>, new: Option<u64>| old.is_some() && new.is_none();
            if removed(old.cpu_millis, new.cpu_millis) || removed(old.memory_bytes, new.memory_bytes) {
                return Err(format!(
                    "{place}.resources.{field}: Forbidden: resource {field} cannot be removed"
                ));
            }
        }
    }
    let class = wanted.qos_class();
    if old.qos_class() == class {
        return Ok(());
    }
    Err(format!("spec: Invalid value: \"{class:?}\": Pod QOS Class may not change as a result of resizing"))
}

/// What becomes of a pod's tolerations, which are a cluster's business.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tolerations {
    Same,
    /// Also where one holds for another time.
    Added,
}

/// Tolerations may be added; those that are there stay, but for their time.
fn tolerations(old: &Value, wanted: &Value) -> Result<Tolerations, &'static str> {
    let list = |object: &Value| object["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let (old, wanted) = (list(old), list(wanted));
    let untimed = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        toleration
    };
    let stays = |one: &Value| wanted.iter().any(|other| untimed(other) == untimed(one));
    if !old.iter().all(stays) {
        return Err(
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        );
    }
    Ok(if old == wanted { Tolerations::Same } else { Tolerations::Added })
}

/// Where two pods differ, by the paths of the fields in a manifest. What is a cluster's business alone does not count.
fn differences(one: &PodSpec, other: &PodSpec) -> Result<Vec<String>> {
    let object = |spec: &PodSpec| -> Result<Value> {
        let mut spec = serde_json::to_value(spec).context(|| "cannot compare the pods")?;
        spec["acceptedFields"] = Value::Null;
        Ok(spec)
    };
    let mut places = Vec::new();
    compare(String::new(), &object(one)?, &object(other)?, &mut places);
    Ok(places.iter().map(|place| written(place)).collect())
}

/// The path of a field of the model as a manifest has it.
fn written(path: &str) -> String {
    let parent =
        if path.starts_with("labels") || path.starts_with("annotations") { "metadata" } else { "spec" };
    let names = [
        ("cpuMillis", "cpu"),
        ("memoryBytes", "memory"),
        (".security.", ".securityContext."),
        (".source", ""),
        ("resizeRestarts", "resizePolicy"),
    ];
    let path = names.into_iter().fold(path.to_owned(), |path, (ours, theirs)| path.replace(ours, theirs));
    format!("{parent}.{path}")
}

fn compare(path: String, one: &Value, other: &Value, places: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) if path.is_empty() || a.len() == b.len() => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                compare(below(key), &one[key], &other[key], places);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (one, other)) in a.iter().zip(b).enumerate() {
                compare(format!("{path}[{index}]"), one, other, places);
            }
        }
        _ if one == other => {}
        _ => places.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;

    #[test]
    fn tolerations_are_only_added() {
        let with = |list: &str| serde_json::json!({"spec": {"tolerations": serde_json::from_str::<Value>(list).unwrap()}});
        let one = with(r#"[{"key": "a", "tolerationSeconds": 5}]"#);
        assert_eq!(tolerations(&one, &one), Ok(Tolerations::Same));
        assert_eq!(tolerations(&with("null"), &serde_json::json!({"spec": {}})), Ok(Tolerations::Same));
        for more in [r#"[{"key": "b"}, {"key": "a", "tolerationSeconds": 5}]"#, r#"[{"key": "a"}]"#] {
            assert_eq!(tolerations(&one, &with(more)), Ok(Tolerations::Added));
        }
        for other in ["null", r#"[{"key": "b"}]"#] {
            assert!(tolerations(&one, &with(other)).is_err());
        }
    }

    #[test]
    fn differences_are_named_by_their_place() {
        let one = samples::spec(&["a", "b"]);
        let mut other = one.clone();
        other.accepted_fields.push("spec.tolerations".into());
        assert!(differences(&one, &other).unwrap().is_empty());
        other.containers[1].image = "nginx".into();
        other.containers[0].resources.limits.memory_bytes = Some(1);
        other.containers[0].security.privileged = true;
        other.labels.insert("app".into(), "shop".into());
        other.host_network = true;
        let want = [
            "spec.containers[0].resources.limits.memory",
            "spec.containers[0].securityContext.privileged",
            "spec.containers[1].image",
            "spec.hostNetwork",
            "metadata.labels",
        ];
        assert_eq!(differences(&one, &other).unwrap(), want);
        other.containers.pop();
        assert_eq!(
            differences(&one, &other).unwrap(),
            ["spec.containers", "spec.hostNetwork", "metadata.labels"]
        );
    }

    #[test]
    fn little_of_a_pod_can_be_changed() {
        let old = samples::spec(&["a", "b"]);
        let refusal = |change: &dyn Fn(&mut PodSpec)| {
            let mut wanted = old.clone();
            change(&mut wanted);
            judge(&old, &wanted).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(&|pod| pod.containers[1].image = "nginx".into()), None);
        assert_eq!(refusal(&|pod| pod.active_deadline_seconds = Some(5)), None);
        assert_eq!(refusal(&|pod| drop(pod.labels.insert("app".into(), "shop".into()))), None);
        let text = refusal(&|pod| pod.termination_grace_period_seconds = 1).unwrap();
        assert!(
            text.starts_with("the Pod \"shop\" is invalid: spec: Forbidden: pod updates may not change"),
            "{text}"
        );
        assert!(
            text.ends_with("previously negative); these differ: spec.terminationGracePeriodSeconds"),
            "{text}"
        );
        let text = refusal(&|pod| drop(pod.containers.pop())).unwrap();
        assert!(
            text.ends_with("spec.containers: Forbidden: pod updates may not add or remove containers"),
            "{text}"
        );
        let resized = |limit: Option<u64>, request: u64| {
            let mut pod = old.clone();
            pod.containers[0].resources.limits.memory_bytes = limit;
            pod.containers[0].resources.requests.memory_bytes = Some(request);
            pod
        };
        assert!(judge(&resized(Some(9), 5), &resized(Some(7), 6)).is_ok());
        assert!(judge(&resized(None, 5), &resized(Some(7), 6)).is_ok());
        for (old, new, says) in [
            (
                resized(Some(9), 5),
                resized(None, 5),
                "spec.containers[0].resources.limits: Forbidden: resource limits",
            ),
            (
                old.clone(),
                resized(None, 5),
                "spec: Invalid value: \"Burstable\": Pod QOS Class may not change",
            ),
        ] {
            let error = judge(&old, &new).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        // Init containers that are no sidecars have no resources to be resized.
        let with_init = |bytes| PodSpec {
            init_containers: vec![resized(None, bytes).containers.remove(0)],
            ..old.clone()
        };
        let error = judge(&with_init(5), &with_init(6)).unwrap_err().to_string();
        assert!(error.ends_with("these differ: spec.initContainers[0].resources.requests.memory"), "{error}");
        let limited = PodSpec { active_deadline_seconds: Some(5), ..old.clone() };
        assert!(judge(&limited, &PodSpec { active_deadline_seconds: Some(4), ..old.clone() }).is_ok());
        assert!(judge(&limited, &PodSpec { active_deadline_seconds: Some(6), ..old.clone() }).is_err());
        assert!(judge(&limited, &old).is_err());
    }
}
