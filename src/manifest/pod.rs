//! A walked manifest to a pod: what concerns all its containers, and the pod's own checks.

use crate::manifest::container;
use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::report::Report;
use crate::manifest::volumes;
use crate::model::backoff::BackoffTimes;
use crate::model::ids::{PodName, PodNamespace};
use crate::model::podspec::{ContainerSpec, PodSpec, RestartPolicy, Role};
use std::collections::{BTreeMap, HashSet};

/// Most containers a pod may have: each has its processes, its mounts and its log.
const MOST_CONTAINERS: usize = 128;
/// Longest path the kernel takes, with the byte that ends it.
const PATH_MAX: usize = 4096;
/// Kubernetes' bound for a deadline.
const MOST_SECONDS: u64 = 0x7fff_ffff;
/// Kubernetes' bound for all keys and values together.
const MOST_ANNOTATION_BYTES: usize = 256 << 10;

/// Builds and checks the pod; `None` only where `report` says why.
pub(super) fn build(
    root: &Field<'_>,
    accepted_fields: Vec<String>,
    report: &mut Report<'_>,
) -> Option<PodSpec> {
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    let name = pod_name(&metadata, report);
    let namespace = match metadata.get("namespace") {
        field if field.filled().is_none() => "default".parse().ok(),
        field => named::<PodNamespace>(&field, names::dns_label, report),
    };
    let labels = labels(&metadata.get("labels"), report);
    let annotations = annotations(&metadata.get("annotations"), report);
    let hostname = spec.get("hostname");
    if let Some(text) = hostname.filled() {
        judge(&hostname, &names::dns_label(text), report);
    }
    let grace = spec.get("terminationGracePeriodSeconds");
    // As in Kubernetes, which takes what is negative for 1.
    let grace_seconds = u64::try_from(grace.int().unwrap_or(30)).unwrap_or_else(|_| {
        report.warn(&grace.path, "a negative grace period is taken for 1 second");
        1
    });
    let active_deadline_seconds = deadline(&spec.get("activeDeadlineSeconds"), report);
    let volumes = volumes::volumes(&spec.get("volumes"), report);
    let host_network = spec.get("hostNetwork").is_true();
    let policies = [
        ("Always", RestartPolicy::Always),
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
    ];
    let restart_policy =
        choice(&spec.get("restartPolicy"), &policies, report).unwrap_or(RestartPolicy::Always);
    let context = container::Pod {
        host_network,
        has_os: has_os(&spec.get("os"), report),
        grace_seconds,
        restart_policy,
        volumes: &volumes,
        security: spec.get("securityContext"),
    };
    let (init_containers, containers) = containers(&spec, &context, report);
    Some(PodSpec {
        labels,
        annotations,
        hostname: hostname.filled().map(str::to_owned),
        host_network,
        share_process_namespace: spec.get("shareProcessNamespace").is_true(),
        restart_policy,
        termination_grace_period_seconds: grace_seconds,
        volumes: volumes.specs,
        init_containers,
        containers,
        active_deadline_seconds,
        accepted_fields,
        backoff: BackoffTimes::default(),
        ..PodSpec::new(name?, namespace?)
    })
}

fn pod_name(metadata: &Field<'_>, report: &mut Report<'_>) -> Option<PodName> {
    named(&metadata.get("name"), names::dns_subdomain, report)
}

/// A required name.
pub(super) fn named<T: std::str::FromStr>(
    field: &Field<'_>,
    check: fn(&str) -> names::Verdict,
    report: &mut Report<'_>,
) -> Option<T> {
    let Some(text) = field.filled() else {
        report.wrong(&field.path, "Required value");
        return None;
    };
    if !judge(field, &check(text), report) {
        return None;
    }
    let name = text.parse().ok();
    if name.is_none() {
        report.wrong(&field.path, format!("Invalid value: {text:?}"));
    }
    name
}

/// Passes a verdict on a field's text on; true if it is good.
pub(super) fn judge(field: &Field<'_>, verdict: &names::Verdict, report: &mut Report<'_>) -> bool {
    if let Err(why) = verdict {
        report.wrong(&field.path, format!("Invalid value: {}: {why}", shown(field)));
    }
    verdict.is_ok()
}

/// A value as messages quote it.
pub(super) fn shown(field: &Field<'_>) -> String {
    match field.int() {
        Some(value) => value.to_string(),
        None => format!("{:?}", field.text().chars().take(100).collect::<String>()),
    }
}

/// One of some words; `None` where it is not there or none of them, which is said.
pub(super) fn choice<T: Copy>(field: &Field<'_>, known: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    field.filled()?;
    one_of(field, known, report)
}

/// As [`choice`], where one must be there.
pub(super) fn one_of<T: Copy>(field: &Field<'_>, known: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    let found = known.iter().find(|(word, _)| *word == field.text()).map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<String> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
        report.wrong(
            &field.path,
            format!("Unsupported value: {}: supported values: {}", shown(field), words.join(", ")),
        );
    }
    found
}

/// A path that must be absolute; `None` where it is not there or wrong, which is said.
pub(super) fn absolute(field: &Field<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = field.filled()?;
    if !text.starts_with('/') {
        report.wrong(&field.path, format!("Invalid value: {}: must be an absolute path", shown(field)));
    } else if text.len() >= PATH_MAX {
        report.wrong(&field.path, format!("Too long: may not be more than {} bytes", PATH_MAX - 1));
    } else {
        return Some(text.to_owned());
    }
    None
}

/// Refuses a list that is longer than podrun takes.
pub(super) fn bounded(field: &Field<'_>, most: usize, report: &mut Report<'_>) -> bool {
    let count = field.items().len();
    if count > most {
        report.wrong(&field.path, format!("Too many: {count}: must have at most {most} items"));
    }
    count <= most
}

fn labels(field: &Field<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    for (key, value) in field.entries() {
        if let Err(why) = names::qualified_name(key) {
            report.wrong(&value.path, format!("Invalid value: {key:?}: {why}"));
        }
        judge(&value, &names::label_value(value.text()), report);
    }
    owned(field)
}

fn annotations(field: &Field<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let mut bytes = 0;
    for (key, value) in field.entries() {
        bytes += key.len() + value.text().len();
        if let Err(why) = names::qualified_name(&key.to_ascii_lowercase()) {
            report.wrong(&value.path, format!("Invalid value: {key:?}: {why}"));
        }
        let apparmor = key.starts_with("container.apparmor.security.beta.kubernetes.io/");
        if apparmor && value.text() != "unconfined" {
            report.unsupported(&value.path, "AppArmor", None);
        }
    }
    if bytes > MOST_ANNOTATION_BYTES {
        report.wrong(&field.path, format!("Too long: may not be more than {MOST_ANNOTATION_BYTES} bytes"));
    }
    owned(field)
}

fn owned(field: &Field<'_>) -> BTreeMap<String, String> {
    field.entries().into_iter().map(|(key, value)| (key.to_owned(), value.text().to_owned())).collect()
}

/// Reads `activeDeadlineSeconds`.
fn deadline(field: &Field<'_>, report: &mut Report<'_>) -> Option<u64> {
    let number = field.int()?;
    let seconds = u64::try_from(number).ok().filter(|seconds| (1..=MOST_SECONDS).contains(seconds));
    if seconds.is_none() {
        let must = format!("must be between 1 and {MOST_SECONDS}, inclusive");
        report.wrong(&field.path, format!("Invalid value: {number}: {must}"));
    }
    seconds
}

/// Checks `os`; whether it is there.
fn has_os(field: &Field<'_>, report: &mut Report<'_>) -> bool {
    let name = field.get("name");
    if field.is_set() && name.filled().is_none() {
        report.wrong(&name.path, "Required value: cannot be empty");
    }
    if choice(&name, &[("linux", false), ("windows", true)], report) == Some(true) {
        report.unsupported(&name.path, "windows", Some("podrun runs containers of Linux: set it to linux"));
    }
    name.filled().is_some()
}

fn containers(
    spec: &Field<'_>,
    pod: &container::Pod<'_>,
    report: &mut Report<'_>,
) -> (Vec<ContainerSpec>, Vec<ContainerSpec>) {
    let (init_field, field) = (spec.get("initContainers"), spec.get("containers"));
    let (init_items, items) = (init_field.items(), field.items());
    if items.is_empty() {
        report.wrong(&field.path, "Required value");
    }
    let room = MOST_CONTAINERS.saturating_sub(items.len());
    if !bounded(&field, MOST_CONTAINERS, report) || !bounded(&init_field, room, report) {
        return (Vec::new(), Vec::new());
    }
    let mut names = HashSet::new();
    let mut check_name = |item: &Field<'_>, report: &mut Report<'_>| {
        let name = item.get("name");
        if name.filled().is_some_and(|text| !names.insert(text.to_owned())) {
            report.wrong(&name.path, format!("Duplicate value: {}", shown(&name)));
        }
    };
    let mut host_ports = HashSet::new();
    let mut containers = Vec::with_capacity(items.len());
    for item in items {
        check_name(&item, report);
        containers.extend(container::build(&item, Role::App, pod, &mut host_ports, report));
    }
    let mut init_containers = Vec::with_capacity(init_items.len());
    for item in init_items {
        check_name(&item, report);
        let role = if item.get("restartPolicy").text() == "Always" { Role::Sidecar } else { Role::Init };
        // Each takes ports of its own: they run one after another.
        init_containers.extend(container::build(&item, role, pod, &mut HashSet::new(), report));
    }
    (init_containers, containers)
}
