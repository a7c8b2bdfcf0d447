//! A container's ports, which probes and hooks can name.

use crate::manifest::container::Pod;
use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::pod::{bounded, choice, judge, shown};
use crate::manifest::report::Report;
use crate::model::podspec::ContainerPort;
use std::collections::HashSet;

/// Most ports of a container.
const MOST: usize = 1024;

/// Ports of the host that containers take, by protocol.
pub(super) type HostPorts = HashSet<(u16, String)>;

/// A container's ports.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Those that are sound.
    pub specs: Vec<ContainerPort>,
    /// The names that the manifest declares, so that asking a faulty one is not a second fault.
    names: HashSet<String>,
}

/// Reads `ports`.
pub(super) fn build(
    field: &Field<'_>,
    pod: &Pod<'_>,
    host_ports: &mut HostPorts,
    report: &mut Report<'_>,
) -> Ports {
    let mut ports = Ports::default();
    if !bounded(field, MOST, report) {
        ports.names.extend(field.items().iter().map(|item| item.get("name").text().to_owned()));
        return ports;
    }
    for item in field.items() {
        let name = item.get("name");
        if let Some(text) = name.filled()
            && judge(&name, &names::port_name(text), report)
            && !ports.names.insert(text.to_owned())
        {
            report.wrong(&name.path, format!("Duplicate value: {}", shown(&name)));
        }
        let known = [("SCTP", "SCTP"), ("TCP", "TCP"), ("UDP", "UDP")];
        let protocol = choice(&item.get("protocol"), &known, report).unwrap_or("TCP").to_owned();
        let Some(container_port) = number(&item.get("containerPort"), report) else { continue };
        host_port(&item.get("hostPort"), (container_port, &protocol), pod, host_ports, report);
        let name = name.filled().map(str::to_owned);
        ports.specs.push(ContainerPort { name, container_port, protocol });
    }
    ports
}

impl Ports {
    /// The port that a probe or a hook asks, by its number or by its name among the container's.
    pub fn resolve(&self, field: &Field<'_>, report: &mut Report<'_>) -> Option<u16> {
        let Some(name) = field.filled() else { return number(field, report) };
        if !judge(field, &names::port_name(name), report) {
            return None;
        }
        let found = self.specs.iter().find(|port| port.name.as_deref() == Some(name));
        if found.is_none() && !self.names.contains(name) {
            let near = crate::manifest::schema::nearest(name, self.names.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "name one of the container's ports, or write its number".to_owned(),
            };
            report.wrong_hint(&field.path, format!("Not found: {}", shown(field)), hint);
        }
        found.map(|port| port.container_port)
    }
}

/// A required port's number; `None` where it is not there or wrong, which is said.
pub(super) fn number(field: &Field<'_>, report: &mut Report<'_>) -> Option<u16> {
    if !field.is_set() {
        report.wrong(&field.path, "Required value");
        return None;
    }
    let number = field.int().unwrap_or_default();
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        let shown = shown(field);
        report.wrong(&field.path, format!("Invalid value: {shown}: must be between 1 and 65535, inclusive"));
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
        Some(_) => match number(field, report) {
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
