//! A pod's volumes, and where containers mount them.

use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::pod::{absolute, bounded, choice, named, shown};
use crate::manifest::report::Report;
use crate::model::ids::VolumeName;
use crate::model::quantity;
use crate::model::sandbox::VolumeMount;
use crate::model::volume::{HostPathType, Medium, VolumeSource, VolumeSpec};
use std::collections::HashSet;
use std::path::PathBuf;

/// Most volumes of a pod, and most mounts of a container.
const MOST: usize = 256;

/// A pod's volumes.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// Those that can be made.
    pub specs: Vec<VolumeSpec>,
    /// The names that the manifest declares, so that a mount of a faulty one is not a second fault.
    names: HashSet<String>,
}

/// Reads `spec.volumes`.
pub(super) fn volumes(field: &Field<'_>, report: &mut Report<'_>) -> Volumes {
    let mut volumes = Volumes::default();
    if !bounded(field, MOST, report) {
        volumes.names.extend(field.items().iter().map(|item| item.get("name").text().to_owned()));
        return volumes;
    }
    for item in field.items() {
        let name_field = item.get("name");
        let name = named::<VolumeName>(&name_field, names::dns_label, report);
        if name_field.is_set() && !volumes.names.insert(name_field.text().to_owned()) {
            report.wrong(&name_field.path, format!("Duplicate value: {}", shown(&name_field)));
        }
        let source = source(&item, report);
        if let (Some(name), Some(source)) = (name, source) {
            volumes.specs.push(VolumeSpec { name, source });
        }
    }
    volumes
}

fn source(item: &Field<'_>, report: &mut Report<'_>) -> Option<VolumeSource> {
    let (empty_dir, host_path) = (item.get("emptyDir"), item.get("hostPath"));
    match (empty_dir.is_set(), host_path.is_set()) {
        (true, true) => {
            report.wrong(&host_path.path, "Forbidden: may not specify more than 1 volume type");
            None
        }
        (true, false) => self::empty_dir(&empty_dir, report),
        (false, true) => self::host_path(&host_path, report),
        // Of a kind that podrun has not got, as the walk has said; or of none, which Kubernetes makes an emptyDir.
        (false, false) if report.has_remark_below(&item.path) => None,
        (false, false) => Some(VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: None }),
    }
}

fn empty_dir(field: &Field<'_>, report: &mut Report<'_>) -> Option<VolumeSource> {
    let medium_field = field.get("medium");
    let medium = match medium_field.text() {
        "" => Medium::Disk,
        "Memory" => Medium::Memory,
        text if text.starts_with("HugePages") => {
            report.unsupported(&medium_field.path, text, Some("use medium: Memory"));
            Medium::Disk
        }
        _ => {
            report.wrong(
                &medium_field.path,
                format!("Unsupported value: {}: supported values: \"\", \"Memory\"", shown(&medium_field)),
            );
            return None;
        }
    };
    let limit = field.get("sizeLimit");
    let size_limit_bytes = amount(&limit, quantity::bytes, report).filter(|bytes| *bytes > 0);
    Some(VolumeSource::EmptyDir { medium, size_limit_bytes })
}

fn host_path(field: &Field<'_>, report: &mut Report<'_>) -> Option<VolumeSource> {
    let path = field.get("path");
    if !path_is_good(&path, report) {
        return None;
    }
    if path.text().split('/').any(|part| part == "..") {
        report.wrong(&path.path, format!("Invalid value: {}: must not contain '..'", shown(&path)));
    }
    let known: Vec<(&str, HostPathType)> = HostPathType::all().collect();
    let kind = field.get("type");
    let expected = choice(&kind, &known, report).unwrap_or(HostPathType::Unset);
    Some(VolumeSource::HostPath { path: PathBuf::from(path.text()), expected })
}

/// A required path that is absolute and not longer than the kernel takes.
fn path_is_good(field: &Field<'_>, report: &mut Report<'_>) -> bool {
    if field.filled().is_none() {
        report.wrong(&field.path, "Required value");
    }
    absolute(field, report).is_some()
}

/// A quantity that may not be negative; `None` where it is not there or wrong.
pub(super) fn amount(
    field: &Field<'_>,
    parse: fn(&str) -> crate::error::Result<u64>,
    report: &mut Report<'_>,
) -> Option<u64> {
    let text = field.quantity()?;
    if text.starts_with('-') && parse(&text[1..]).is_ok_and(|value| value > 0) {
        report.wrong(&field.path, format!("Invalid value: {text:?}: must be greater than or equal to 0"));
        return None;
    }
    match parse(text.strip_prefix(['+', '-']).unwrap_or(&text)) {
        Ok(value) => Some(value),
        Err(error) => {
            let hint = error.remedy().unwrap_or_default().to_owned();
            report.wrong_hint(&field.path, error.to_string(), hint);
            None
        }
    }
}

/// Reads a container's `volumeMounts`.
pub(super) fn mounts(field: &Field<'_>, volumes: &Volumes, report: &mut Report<'_>) -> Vec<VolumeMount> {
    let mut mounts = Vec::new();
    let mut paths = HashSet::new();
    if !bounded(field, MOST, report) {
        return mounts;
    }
    for item in field.items() {
        let (name, path) = (item.get("name"), item.get("mountPath"));
        if name.filled().is_none() {
            report.wrong(&name.path, "Required value");
        } else if !volumes.names.contains(name.text()) {
            let near =
                crate::manifest::schema::nearest(name.text(), volumes.names.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "name one of spec.volumes, or add it there".to_owned(),
            };
            report.wrong_hint(&name.path, format!("Not found: {}", shown(&name)), hint);
        }
        if !path_is_good(&path, report) {
            continue;
        }
        let text = path.text();
        if text.contains(':') {
            report.wrong(&path.path, format!("Invalid value: {}: must not contain ':'", shown(&path)));
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.is_empty() {
            report.wrong(
                &path.path,
                format!("Invalid value: {}: must not be the root directory", shown(&path)),
            );
        }
        if !paths.insert(parts) {
            report.wrong(&path.path, format!("Invalid value: {}: must be unique", shown(&path)));
        }
        let Some(volume) = volumes.specs.iter().find(|volume| volume.name.as_str() == name.text()) else {
            if volumes.names.contains(name.text()) {
                report.warn(&item.path, "is not mounted, since its volume is not made");
            }
            continue;
        };
        let read_only = item.get("readOnly").is_true();
        mounts.push(VolumeMount { name: volume.name.clone(), path: PathBuf::from(text), read_only });
    }
    mounts
}
