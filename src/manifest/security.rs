//! Security contexts: the container's over the pod's.

use crate::manifest::field::Field;
use crate::manifest::pod::{choice, shown};
use crate::manifest::report::Report;
use crate::manifest::schema::nearest;
use crate::model::podspec::{SeccompProfile, SecurityContext};
use caps::Capability;
use std::str::FromStr;

/// Builds what a container runs with; each field that it does not set is the pod's.
pub(super) fn build(pod: &Field<'_>, own: &Field<'_>, report: &mut Report<'_>) -> SecurityContext {
    let either = |key: &str| Some(own.get(key)).filter(Field::is_set).unwrap_or_else(|| pod.get(key));
    let privileged = own.get("privileged").is_true();
    let escalation = own.get("allowPrivilegeEscalation");
    if privileged && escalation.boolean() == Some(false) {
        report.wrong(
            &escalation.path,
            "Invalid value: false: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        );
    }
    let capabilities = own.get("capabilities");
    let profile = seccomp(&either("seccompProfile"), report);
    SecurityContext {
        run_as_user: id(&either("runAsUser"), report),
        run_as_group: id(&either("runAsGroup"), report),
        run_as_non_root: either("runAsNonRoot").is_true(),
        privileged,
        read_only_root_filesystem: own.get("readOnlyRootFilesystem").is_true(),
        allow_privilege_escalation: escalation.boolean().unwrap_or(true),
        capabilities_add: names(&capabilities.get("add"), report),
        capabilities_drop: names(&capabilities.get("drop"), report),
        // As for a kubelet, nothing is filtered where everything is allowed.
        seccomp_profile: if privileged { SeccompProfile::Unconfined } else { profile },
    }
}

fn id(field: &Field<'_>, report: &mut Report<'_>) -> Option<u32> {
    let value = field.int()?;
    if !(0..=i64::from(i32::MAX)).contains(&value) {
        report.wrong(
            &field.path,
            format!("Invalid value: {value}: must be between 0 and {}, inclusive", i32::MAX),
        );
    }
    u32::try_from(value).ok()
}

fn names(field: &Field<'_>, report: &mut Report<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for item in field.items() {
        let name = item.text().to_ascii_uppercase();
        if name == "ALL" || Capability::from_str(&format!("CAP_{name}")).is_ok() {
            names.push(name);
            continue;
        }
        let known: Vec<String> =
            caps::all().iter().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect();
        let text = format!("Invalid value: {}: no capability of that name", shown(&item));
        match nearest(name.trim_start_matches("CAP_"), known.iter().map(String::as_str)) {
            Some(near) => report.wrong_hint(&item.path, text, format!("did you mean {near}?")),
            None => report.wrong(&item.path, text),
        }
    }
    names
}

fn seccomp(field: &Field<'_>, report: &mut Report<'_>) -> SeccompProfile {
    let (kind, path) = (field.get("type"), field.get("localhostProfile"));
    if field.is_set() && kind.filled().is_none() {
        report.wrong(&kind.path, "Required value: type is required");
    }
    let known = [
        ("Localhost", Profile::Localhost),
        ("RuntimeDefault", Profile::RuntimeDefault),
        ("Unconfined", Profile::Unconfined),
    ];
    let chosen = choice(&kind, &known, report);
    if path.is_set() && !matches!(chosen, Some(Profile::Localhost)) {
        report.wrong(
            &path.path,
            format!("Invalid value: {}: can only be set when seccomp type is Localhost", shown(&path)),
        );
    }
    match chosen {
        Some(Profile::RuntimeDefault) => SeccompProfile::RuntimeDefault,
        Some(Profile::Unconfined) => SeccompProfile::Unconfined,
        Some(Profile::Localhost) => {
            report.unsupported(&kind.path, "Localhost", Some("use RuntimeDefault, podrun's own profile"));
            SeccompProfile::RuntimeDefault
        }
        None => SeccompProfile::default(),
    }
}

/// What `seccompProfile.type` names.
#[derive(Clone, Copy)]
enum Profile {
    Localhost,
    RuntimeDefault,
    Unconfined,
}
