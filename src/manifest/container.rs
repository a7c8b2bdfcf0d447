//! One of `spec.containers`.

use crate::manifest::env;
use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::pod::{bounded, choice, judge, named, shown};
use crate::manifest::report::Report;
use crate::manifest::resources;
use crate::manifest::security;
use crate::manifest::volumes::{self, Volumes};
use crate::model::image::ImageName;
use crate::model::podspec::{ContainerPort, ContainerSpec, ImagePullPolicy};
use std::collections::HashSet;

/// Most ports of a container.
const MOST_PORTS: usize = 1024;

/// What a container must know of its pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    /// Whether ports are the host's.
    pub host_network: bool,
    /// What it can mount.
    pub volumes: &'a Volumes,
    /// `spec.securityContext`.
    pub security: Field<'a>,
}

/// Ports of the host that a pod's containers take, by protocol.
pub(super) type HostPorts = HashSet<(u16, String)>;

/// Builds and checks a container; `None` only where `report` says why.
pub(super) fn build(
    field: &Field<'_>,
    pod: &Pod<'_>,
    host_ports: &mut HostPorts,
    report: &mut Report<'_>,
) -> Option<ContainerSpec> {
    let name = named(&field.get("name"), names::dns_label, report);
    let image = field.get("image");
    check_image(&image, report);
    let policies = [
        ("Always", ImagePullPolicy::Always),
        ("IfNotPresent", ImagePullPolicy::IfNotPresent),
        ("Never", ImagePullPolicy::Never),
    ];
    let variables = env::variables(&field.get("env"), report);
    let working_dir = field.get("workingDir");
    if working_dir.filled().is_some_and(|path| !path.starts_with('/')) {
        report.wrong(
            &working_dir.path,
            format!("Invalid value: {}: must be an absolute path", shown(&working_dir)),
        );
    }
    let (stdin, stdin_once) = (field.get("stdin").is_true(), field.get("stdinOnce"));
    if stdin_once.is_true() && !stdin {
        report.warn(&stdin_once.path, "has no effect without stdin: true");
    }
    Some(ContainerSpec {
        image_pull_policy: choice(&field.get("imagePullPolicy"), &policies, report),
        command: env::words(&field.get("command"), &variables, report),
        args: env::words(&field.get("args"), &variables, report),
        env: variables,
        working_dir: working_dir.filled().map(str::to_owned),
        resources: resources::build(&field.get("resources"), report),
        ports: ports(&field.get("ports"), pod, host_ports, report),
        volume_mounts: volumes::mounts(&field.get("volumeMounts"), pod.volumes, report),
        tty: field.get("tty").is_true(),
        stdin,
        stdin_once: stdin_once.is_true(),
        security: security::build(&pod.security, &field.get("securityContext"), report),
        ..ContainerSpec::new(name?, image.text())
    })
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

fn ports(
    field: &Field<'_>,
    pod: &Pod<'_>,
    host_ports: &mut HostPorts,
    report: &mut Report<'_>,
) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    let mut names = HashSet::new();
    if !bounded(field, MOST_PORTS, report) {
        return ports;
    }
    for item in field.items() {
        let name = item.get("name");
        if let Some(text) = name.filled()
            && judge(&name, &names::port_name(text), report)
            && !names.insert(text)
        {
            report.wrong(&name.path, format!("Duplicate value: {}", shown(&name)));
        }
        let known = [("SCTP", "SCTP"), ("TCP", "TCP"), ("UDP", "UDP")];
        let protocol = choice(&item.get("protocol"), &known, report).unwrap_or("TCP").to_owned();
        let number = item.get("containerPort");
        if !number.is_set() {
            report.wrong(&number.path, "Required value");
        }
        let Some(container_port) = port(&number, report) else { continue };
        host_port(&item.get("hostPort"), (container_port, &protocol), pod, host_ports, report);
        ports.push(ContainerPort { name: name.filled().map(str::to_owned), container_port, protocol });
    }
    ports
}

/// A port's number; `None` where it is not there or wrong, which is said.
fn port(field: &Field<'_>, report: &mut Report<'_>) -> Option<u16> {
    let number = field.int()?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        report.wrong(&field.path, format!("Invalid value: {number}: must be between 1 and 65535, inclusive"));
    }
    port
}

/// Checks a port of the host: none but the container's own, on the host's network.
fn host_port(
    field: &Field<'_>,
    (container_port, protocol): (u16, &str),
    pod: &Pod<'_>,
    host_ports: &mut HostPorts,
    report: &mut Report<'_>,
) {
    let host_port = match field.int() {
        // Kubernetes' way to write that there is none; on the host's network it is then the container's.
        None | Some(0) if pod.host_network => container_port,
        None | Some(0) => return,
        Some(_) => match port(field, report) {
            Some(port) => port,
            None => return,
        },
    };
    if !pod.host_network {
        let hint = "set spec.hostNetwork: true, where every port is the host's";
        report.unsupported(&field.path, "forwarding a port", Some(hint));
        return;
    }
    if host_port != container_port {
        report.wrong(
            &field.path,
            format!("Invalid value: {host_port}: must match `containerPort` when `hostNetwork` is true"),
        );
    }
    if !host_ports.insert((host_port, protocol.to_owned())) {
        report.wrong(&field.path, format!("Duplicate value: \"{protocol}//{host_port}\""));
    }
}
