//! One of `spec.initContainers` or `spec.containers`.

use crate::manifest::actions::Context;
use crate::manifest::env;
use crate::manifest::field::Field;
use crate::manifest::hooks;
use crate::manifest::names;
use crate::manifest::pod::{absolute, choice, named, shown};
use crate::manifest::ports::{self, HostPorts};
use crate::manifest::probes;
use crate::manifest::report::Report;
use crate::manifest::resources;
use crate::manifest::restart;
use crate::manifest::security;
use crate::manifest::volumes::{self, Volumes};
use crate::model::image::ImageName;
use crate::model::podspec::{ContainerSpec, ImagePullPolicy, RestartPolicy, Role, TerminationMessagePolicy};
use crate::model::probe::ProbeKind;

/// What a container must know of its pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    /// Whether ports are the host's.
    pub host_network: bool,
    /// Whether `spec.os` says for which system it is, and so which signals there are.
    pub has_os: bool,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: u64,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// What it can mount.
    pub volumes: &'a Volumes,
    /// `spec.securityContext`.
    pub security: Field<'a>,
}

/// Builds and checks a container; `None` only where `report` says why.
pub(super) fn build(
    field: &Field<'_>,
    role: Role,
    pod: &Pod<'_>,
    host_ports: &mut HostPorts,
    report: &mut Report<'_>,
) -> Option<ContainerSpec> {
    let variables = env::variables(&field.get("env"), report);
    let ports = ports::build(&field.get("ports"), pod, host_ports, report);
    let (restart_policy, restart_policy_rules) = restart::build(field, report);
    let context = Context { role, pod, variables: &variables, ports: &ports };
    let mut probe = |name: &str, kind| probes::build(&field.get(name), kind, &context, report);
    let startup_probe = probe("startupProbe", ProbeKind::Startup);
    let liveness_probe = probe("livenessProbe", ProbeKind::Liveness);
    let readiness_probe = probe("readinessProbe", ProbeKind::Readiness);
    let lifecycle = hooks::build(&field.get("lifecycle"), &context, report);
    let policy = restart_policy.unwrap_or(pod.restart_policy);
    let resize_restarts = resources::resize(&field.get("resizePolicy"), role, policy, report);
    let plain = plain(field, pod, &variables, report)?;
    Some(ContainerSpec {
        ports: ports.specs,
        env: variables,
        restart_policy,
        restart_policy_rules,
        resize_restarts,
        startup_probe,
        liveness_probe,
        readiness_probe,
        lifecycle,
        ..plain
    })
}

/// What a container runs, and where it says why it ended; without what else depends on its role or its ports.
fn plain(
    field: &Field<'_>,
    pod: &Pod<'_>,
    variables: &[(String, String)],
    report: &mut Report<'_>,
) -> Option<ContainerSpec> {
    let name = named(&field.get("name"), names::dns_label, report);
    let image = field.get("image");
    check_image(&image, report);
    let pull_policies = [
        ("Always", ImagePullPolicy::Always),
        ("IfNotPresent", ImagePullPolicy::IfNotPresent),
        ("Never", ImagePullPolicy::Never),
    ];
    let message_policies = [
        ("File", TerminationMessagePolicy::File),
        ("FallbackToLogsOnError", TerminationMessagePolicy::FallbackToLogsOnError),
    ];
    let (stdin, stdin_once) = (field.get("stdin").is_true(), field.get("stdinOnce"));
    if stdin_once.is_true() && !stdin {
        report.warn(&stdin_once.path, "has no effect without stdin: true");
    }
    let message_policy = choice(&field.get("terminationMessagePolicy"), &message_policies, report);
    let mut container = ContainerSpec {
        image_pull_policy: choice(&field.get("imagePullPolicy"), &pull_policies, report),
        command: env::words(&field.get("command"), variables, report),
        args: env::words(&field.get("args"), variables, report),
        working_dir: absolute(&field.get("workingDir"), report),
        resources: resources::build(&field.get("resources"), report),
        volume_mounts: volumes::mounts(&field.get("volumeMounts"), pod.volumes, report),
        tty: field.get("tty").is_true(),
        stdin,
        stdin_once: stdin_once.is_true(),
        security: security::build(&pod.security, &field.get("securityContext"), report),
        termination_message_policy: message_policy.unwrap_or_default(),
        ..ContainerSpec::new(name?, image.text())
    };
    if let Some(path) = absolute(&field.get("terminationMessagePath"), report) {
        container.termination_message_path = path;
    }
    Some(container)
}

fn check_image(field: &Field<'_>, report: &mut Report<'_>) {
    let Some(text) = field.filled() else {
        report.wrong(&field.path, "Required value");
        return;
    };
    if text.trim() != text {
        report.wrong(
            &field.path,
            format!("Invalid value: {}: must not have leading or trailing whitespace", shown(field)),
        );
    } else if let Err(error) = text.parse::<ImageName>() {
        let hint = error.remedy().unwrap_or_default().to_owned();
        report.wrong_hint(&field.path, error.to_string(), hint);
    }
}
