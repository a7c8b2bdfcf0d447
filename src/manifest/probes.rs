//! Probes.

use crate::manifest::actions::{self, Context};
use crate::manifest::field::Field;
use crate::manifest::pod::shown;
use crate::manifest::ports;
use crate::manifest::report::Report;
use crate::model::probe::{Probe, ProbeHandler, ProbeKind};

/// Builds and checks a probe; `None` where there is none, or `report` says why.
pub(super) fn build(
    field: &Field<'_>,
    kind: ProbeKind,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Probe> {
    if !context.allows(field, report) {
        return None;
    }
    let handler = actions::handler(field, report, |name, field, report| match name {
        "exec" => {
            Some(ProbeHandler::Exec { command: actions::command(field, Some(context.variables), report) })
        }
        "httpGet" => actions::http_get(field, context.ports, report).map(ProbeHandler::HttpGet),
        "tcpSocket" => {
            let port = context.ports.resolve(&field.get("port"), report)?;
            Some(ProbeHandler::TcpSocket { host: actions::host(field), port })
        }
        _ => {
            let port = ports::number(&field.get("port"), report)?;
            Some(ProbeHandler::Grpc { port, service: field.get("service").text().to_owned() })
        }
    });
    let mut number = |name: &str, default| number(&field.get(name), default, report);
    let initial_delay_seconds = number("initialDelaySeconds", 0);
    let period_seconds = number("periodSeconds", 10);
    let timeout_seconds = number("timeoutSeconds", 1);
    let success_threshold = number("successThreshold", 1);
    let failure_threshold = number("failureThreshold", 3);
    let threshold = field.get("successThreshold");
    if kind != ProbeKind::Readiness && success_threshold != Some(1) {
        report.wrong(&threshold.path, format!("Invalid value: {}: must be 1", shown(&threshold)));
    }
    let termination_grace_period_seconds = grace(&field.get("terminationGracePeriodSeconds"), kind, report);
    Some(Probe {
        handler: handler?,
        initial_delay_seconds: initial_delay_seconds?,
        period_seconds: period_seconds?,
        timeout_seconds: timeout_seconds?,
        success_threshold: success_threshold?,
        failure_threshold: failure_threshold?,
        termination_grace_period_seconds,
    })
}

/// A number that may not be negative; 0 is Kubernetes' way to ask for the default.
fn number(field: &Field<'_>, default: u32, report: &mut Report<'_>) -> Option<u32> {
    match u32::try_from(field.int().unwrap_or_default()) {
        Ok(0) => Some(default),
        Ok(number) => Some(number),
        Err(_) => {
            let shown = shown(field);
            report.wrong(&field.path, format!("Invalid value: {shown}: must be greater than or equal to 0"));
            None
        }
    }
}

fn grace(field: &Field<'_>, kind: ProbeKind, report: &mut Report<'_>) -> Option<u64> {
    let number = field.int()?;
    let seconds = u64::try_from(number).ok().filter(|seconds| *seconds > 0);
    if seconds.is_none() {
        report.wrong(&field.path, format!("Invalid value: {number}: must be greater than 0"));
    }
    if kind == ProbeKind::Readiness {
        report.wrong(&field.path, format!("Invalid value: {number}: must not be set for readinessProbes"));
    }
    seconds
}
