//! `pod apply`

use super::manifests::{self, Reading};
use super::{collected_pods, make, run};
use crate::cli::{Globals, output};
use crate::container::Host;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::model::ids::PodNamespace;
use crate::model::podspec::PodSpec;
use crate::pod::{self, Pod, PodKind};
use serde_json::Value;
use std::path::PathBuf;

/// Make and start the pods of manifests that are not there yet
///
/// A pod that is there with an equal manifest is left as it is. One with another manifest is refused, naming what differs:
/// podrun cannot change a pod yet.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod apply -f shop.yaml\n  podrun pod apply -f manifests/")]
pub struct ApplyArgs {
    /// Manifest in YAML or JSON, or a directory of them (*.yaml, *.yml, *.json); - is stdin
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Warn of fields of the manifests that are not supported yet, and go on
    #[arg(long)]
    pub ignore_unsupported: bool,
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
            ..Reading::default()
        };
        let manifests = manifests::read_all(&self.file, reading)?;
        let present =
            manifests.iter().map(|manifest| is_there(&host, manifest)).collect::<Result<Vec<_>>>()?;
        let absent = manifests.iter().zip(&present).filter(|(_, present)| !**present);
        let _lease = make::check_all(&host, absent.map(|(manifest, _)| manifest))?;
        let mut present = present.iter();
        collected_pods("apply", &manifests, |manifest| match present.next() {
            Some(true) => keep(&host, manifest),
            _ => {
                let pod = make::make(&host, manifest)?;
                say(manifest, "created")?;
                run::start(&host, &pod)
            }
        })?;
        Ok(0)
    }
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

/// A pod that is there must be what the manifest says.
fn keep(host: &Host, manifest: &Manifest) -> Result<()> {
    let title = || format!("cannot apply pod {:?}", manifest.spec.name.as_str());
    let pod = pod::open(&host.layout, &make::reference(manifest)).context(title)?;
    same(&pod, &manifest.spec).context(title)?;
    // One that was only created, perhaps by a command that was killed, is started.
    if pod.status()?.is_some_and(|status| status.started_at.is_none() && status.stopping_since.is_none()) {
        run::start(host, &pod)?;
        return say(manifest, "configured");
    }
    say(manifest, "unchanged")
}

fn same(pod: &Pod, wanted: &PodSpec) -> Result<()> {
    let namespace = match pod.namespace().as_str() {
        "default" => String::new(),
        other => format!("-n {other} "),
    };
    let hint = format!("delete it first: podrun pod delete {namespace}{}", pod.name());
    if pod.is_deleting() {
        return Err(Error::user("it is being deleted").hint("apply it again when it is gone"));
    }
    if pod.kind() == PodKind::Bare {
        return Err(Error::user("there is a bare pod of that name").hint(hint));
    }
    let places = differences(&pod.spec()?, wanted)?;
    if places.is_empty() {
        return Ok(());
    }
    Err(Error::user(format!("changing a pod is not supported yet, and these differ: {}", places.join(", ")))
        .hint(hint))
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
}
