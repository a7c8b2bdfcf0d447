//! Pod manifests: YAML or JSON text to what the supervisor acts by.
//!
//! ```text
//! text -- tree --> nodes with places -- walk, by the table of fields --> honoured fields -- pod, container, ... --> PodSpec
//! ```
//!
//! Every field of Kubernetes' Pod stands in one table (`fields`), which says its type and who is to honour it. What is
//! not in it is an error, and so is what podrun does not honour yet: nothing is ignored in silence. All that is wrong
//! with a pod is reported at once, each with its line.
//!
//! No I/O: whether a path or an image is there, callers ask, and name the line with [`Manifest::place`]. The supervisor
//! never comes here; it reads the [`PodSpec`] that was made of the manifest.

mod actions;
mod container;
mod env;
mod field;
mod fields;
mod hooks;
mod names;
mod pod;
mod ports;
mod probes;
mod report;
mod resources;
mod restart;
mod scalar;
mod schema;
mod security;
#[cfg(test)]
mod tests;
mod tree;
mod volumes;
mod walk;

use crate::error::{Error, Result};
use crate::manifest::field::Field;
use crate::manifest::report::Report;
use crate::manifest::tree::{Document, Fault, Node, Place};
use crate::model::podspec::PodSpec;
use crate::model::volume::VolumeSpec;
use std::collections::{HashMap, HashSet};

/// Most bytes of a file; the API server takes as much of one object.
pub const LARGEST: usize = 3 << 20;
/// Most pods of a file.
const MOST_PODS: usize = 1000;

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Fields that podrun does not support yet are warnings, not errors.
    pub ignore_unsupported: bool,
}

/// One Pod of a file.
#[derive(Debug)]
pub struct Manifest {
    /// The pod, checked, with every default filled in.
    pub spec: PodSpec,
    /// The manifest as it was written, for `-o json`.
    pub object: serde_json::Value,
    /// What the user should know, sentences that name file and line.
    pub warnings: Vec<String>,
    file: String,
    places: HashMap<String, Place>,
}

impl Manifest {
    /// Where a field stands, such as `shop.yaml:23` for `spec.volumes[1].hostPath`; for a field that is not written, where
    /// what holds it stands. Indexes count as in the manifest's text.
    pub fn place(&self, path: &str) -> String {
        format!("{}:{}", self.file, report::place_of(&self.places, path).line)
    }

    /// Where the source of a volume of [`Manifest::spec`] stands. Its index there may be another than in the text, which
    /// can have volumes that are left out.
    pub fn volume_place(&self, volume: &VolumeSpec) -> String {
        let volumes = self.object["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let index = volumes.iter().position(|one| one["name"] == volume.name.as_str());
        let path = index.map(|index| format!("spec.volumes[{index}].{}", volume.source.kind()));
        self.place(path.as_deref().unwrap_or("spec.volumes"))
    }
}

/// Reads every Pod of `text`, in their order; `file` is what messages call it.
///
/// # Errors
/// When the text is longer than [`LARGEST`] or no YAML, holds no Pod or something else, names a pod twice, or a Pod is not
/// valid: then all that is wrong with it is named, each with its line.
pub fn read(text: &[u8], file: &str, options: &Options) -> Result<Vec<Manifest>> {
    let documents = parse(text, file)?;
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut names = HashSet::new();
    for document in &documents {
        let mut duplicates = document.duplicates.as_slice();
        for pod in pods(&document.root).map_err(|fault| located(file, &fault))? {
            let manifest = manifest(pod, duplicates, file, *options)?;
            duplicates = &[];
            let title = format!("{}/{}", manifest.spec.namespace, manifest.spec.name);
            if names.contains(&title) {
                let place = manifest.place("metadata.name");
                return Err(Error::user(format!("{place}: Pod {title:?} is in the file twice")));
            }
            if manifests.len() == MOST_PODS {
                return Err(Error::user(format!("{file} holds more than {MOST_PODS} pods")));
            }
            names.insert(title);
            manifests.push(manifest);
        }
    }
    if manifests.is_empty() {
        return Err(Error::user(format!("{file} holds no Pod"))
            .hint("a manifest begins with apiVersion: v1 and kind: Pod"));
    }
    Ok(manifests)
}

fn parse(text: &[u8], file: &str) -> Result<Vec<Document>> {
    if text.len() > LARGEST {
        return Err(Error::user(format!("{file} has more than {} MiB", LARGEST >> 20)));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::user(format!("{file}:{line}: the text is not UTF-8"))
    })?;
    tree::documents(text).map_err(|fault| located(file, &fault))
}

fn located(file: &str, fault: &Fault) -> Error {
    let (Place { line, column }, text) = (fault.place, report::printable(&fault.text));
    Error::user(format!("{file}:{line}:{column}: {text}"))
}

/// The Pods of a document: itself, or a list's items.
fn pods(root: &Node) -> Result<Vec<&Node>, Fault> {
    let kind = |node: &Node| node.get("kind").and_then(Node::text).map(str::to_owned);
    let nodes: Vec<&Node> = match kind(root).as_deref() {
        Some("List" | "PodList") => root.get("items").map_or(&[][..], Node::items).iter().collect(),
        _ => vec![root],
    };
    // The API server leaves both out of a PodList's items.
    let is_implied = kind(root).as_deref() == Some("PodList");
    for node in &nodes {
        let place = node.get("kind").map_or(node.place, |kind| kind.place);
        let text = match (kind(node).as_deref(), node.get("apiVersion").and_then(Node::text)) {
            (Some("Pod"), Some("v1")) => continue,
            (None, None) if is_implied => continue,
            (Some("Pod"), Some(version)) => {
                format!("apiVersion {version:?} has no Pod: write apiVersion: v1")
            }
            (Some("Pod"), None) => "apiVersion is missing: write apiVersion: v1".to_owned(),
            (Some(other), _) => format!("kind {other:?} is not supported: podrun runs Pods"),
            (None, _) => "kind is missing: write apiVersion: v1 and kind: Pod".to_owned(),
        };
        return Err(Fault { place, text });
    }
    Ok(nodes)
}

fn manifest(root: &Node, duplicates: &[Fault], file: &str, options: Options) -> Result<Manifest> {
    let name = root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    let title = match name {
        Some(name) => format!("Pod {:?}", name.chars().take(253).collect::<String>()),
        None => "the Pod".to_owned(),
    };
    let mut report = Report::new(file, options, root.place);
    for Fault { place, text } in duplicates {
        report.wrong_at(*place, text.as_str());
    }
    let walked = walk::walk(root, &mut report);
    // What is not of its type is missing from here on; to call it missing would be a second, wrong, message.
    let spec = if walked.is_sound {
        pod::build(&Field::root(&walked.root), walked.accepted, &mut report)
    } else {
        None
    };
    match spec {
        Some(spec) if !report.is_bad() => {
            let (warnings, places) = report.finish();
            Ok(Manifest { spec, object: root.to_json(), warnings, file: file.to_owned(), places })
        }
        _ => Err(report.error(&title)),
    }
}
