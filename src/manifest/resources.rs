//! Limits and requests.

use crate::manifest::field::Field;
use crate::manifest::pod::{one_of, shown};
use crate::manifest::report::Report;
use crate::manifest::volumes::amount;
use crate::model::podspec::{ResizeRestarts, ResourceList, Resources, RestartPolicy, Role};
use crate::model::quantity;

const EPHEMERAL_STORAGE: &str = "ephemeral-storage";

/// Reads `resources`; a limit without a request is the request too, as in Kubernetes.
pub(super) fn build(field: &Field<'_>, report: &mut Report<'_>) -> Resources {
    let limits = list(&field.get("limits"), report);
    let requests_field = field.get("requests");
    let requests = list(&requests_field, report);
    for (name, asked, limit) in [
        ("cpu", requests.cpu_millis, limits.cpu_millis),
        ("memory", requests.memory_bytes, limits.memory_bytes),
        (EPHEMERAL_STORAGE, requests.ephemeral_storage_bytes, limits.ephemeral_storage_bytes),
    ] {
        if let (Some(asked), Some(limit)) = (asked, limit)
            && asked > limit
        {
            let text = |list: &str| {
                let entries = field.get(list).entries();
                entries.iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.quantity())
            };
            let (asked, limit) = (text("requests").unwrap_or_default(), text("limits").unwrap_or_default());
            report.wrong(
                &format!("{}[{name}]", requests_field.path),
                format!("Invalid value: {asked:?}: must be less than or equal to {name} limit of {limit}"),
            );
        }
    }
    Resources {
        limits,
        requests: ResourceList {
            cpu_millis: requests.cpu_millis.or(limits.cpu_millis),
            memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
            ephemeral_storage_bytes: requests.ephemeral_storage_bytes.or(limits.ephemeral_storage_bytes),
        },
    }
}

/// Reads `resizePolicy`: which changes of resources make the container anew.
pub(super) fn resize(
    field: &Field<'_>,
    role: Role,
    policy: RestartPolicy,
    report: &mut Report<'_>,
) -> ResizeRestarts {
    let mut restarts = ResizeRestarts::default();
    let items = field.items();
    if role == Role::Init && !items.is_empty() {
        report.wrong(&field.path, "Invalid value: must not be set for init containers");
    }
    let mut seen = Vec::new();
    for item in &items {
        let name = item.get("resourceName");
        let is_cpu = one_of(&name, &[("cpu", true), ("memory", false)], report);
        if is_cpu.is_some() && seen.contains(&is_cpu) {
            report.wrong(&name.path, format!("Duplicate value: {}", shown(&name)));
        }
        seen.push(is_cpu);
        let field = item.get("restartPolicy");
        let restart = one_of(&field, &[("NotRequired", false), ("RestartContainer", true)], report);
        if restart == Some(true) && policy == RestartPolicy::Never && role != Role::Sidecar {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            report.wrong(&field.path, format!("Invalid value: {}: {why}", shown(&field)));
        }
        match is_cpu {
            Some(true) => restarts.cpu |= restart == Some(true),
            Some(false) => restarts.memory |= restart == Some(true),
            None => {}
        }
    }
    restarts
}

/// Reads one list. Nothing of something is as if it were not there, as it is for a kubelet.
fn list(field: &Field<'_>, report: &mut Report<'_>) -> ResourceList {
    let mut list = ResourceList::default();
    for (name, value) in field.entries() {
        let mut bytes = || {
            warn_of_thousandths(&value, report);
            amount(&value, quantity::bytes, report).filter(|bytes| *bytes > 0)
        };
        match name {
            "cpu" => list.cpu_millis = amount(&value, quantity::millis, report).filter(|millis| *millis > 0),
            "memory" => list.memory_bytes = bytes(),
            EPHEMERAL_STORAGE => list.ephemeral_storage_bytes = bytes(),
            _ if name.starts_with("hugepages-") || name.contains('/') => {
                report.unsupported(&value.path, "", None);
            }
            _ => report.wrong(
                &value.path,
                format!(
                    "Invalid value: {name:?}: must be a standard resource for containers \
                     (cpu, memory, {EPHEMERAL_STORAGE})"
                ),
            ),
        }
    }
    list
}

/// `64m` of bytes, which is meant for 64 MiB and is less than a byte.
fn warn_of_thousandths(field: &Field<'_>, report: &mut Report<'_>) {
    let text = field.quantity().unwrap_or_default();
    if let Some(number) = text.strip_suffix('m') {
        report
            .warn(&field.path, &format!("{text:?} is {number} thousandths of a byte; M and Mi are millions"));
    }
}
