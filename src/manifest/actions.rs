//! What probes and hooks do: run a command, ask for a page, make a connection. Which of them and when, `probes` and
//! `hooks` say.

use crate::manifest::container::Pod;
use crate::manifest::env;
use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::pod::{bounded, choice, judge, shown};
use crate::manifest::ports::Ports;
use crate::manifest::report::Report;
use crate::model::podspec::Role;
use crate::model::probe::{HttpGet, Scheme};

/// Most headers of a request.
const MOST_HEADERS: usize = 256;
/// Kubernetes' order, in which the first that is there is the one.
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// What a probe or a hook must know of its container.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// What the container is to its pod.
    pub role: Role,
    /// Its pod.
    pub pod: &'a Pod<'a>,
    /// Its variables.
    pub variables: &'a [(String, String)],
    /// Its ports.
    pub ports: &'a Ports,
}

impl Context<'_> {
    /// Whether a probe or the hooks are there and may be; says so where they may not.
    pub fn allows(&self, field: &Field<'_>, report: &mut Report<'_>) -> bool {
        if field.is_set() && self.role == Role::Init {
            let text = "Forbidden: may not be set for init containers without restartPolicy=Always";
            report.wrong(&field.path, text);
            return false;
        }
        field.is_set()
    }
}

/// Builds the one handler of a probe or a hook by `build`, which is told its name. `None` where it is wrong, or where
/// something it asks for is not supported and to be ignored: to do less than all of it could be to do harm.
pub(super) fn handler<T>(
    field: &Field<'_>,
    report: &mut Report<'_>,
    build: impl FnOnce(&str, &Field<'_>, &mut Report<'_>) -> Option<T>,
) -> Option<T> {
    let mut set = HANDLERS.map(|name| (name, field.get(name))).into_iter().filter(|(_, one)| one.is_set());
    let Some((name, handler)) = set.next() else {
        report.wrong(&field.path, "Required value: must specify a handler type");
        return None;
    };
    for (_, other) in set {
        report.wrong(&other.path, "Forbidden: may not specify more than 1 handler type");
    }
    let built = build(name, &handler, report);
    if report.has_remark_below(&handler.path) {
        report.warn(&field.path, "is left out, since not all of it is supported");
        return None;
    }
    built
}

/// Reads the command of an `exec`; `$(VAR)` in it is of the variables, if there are some.
pub(super) fn command(
    field: &Field<'_>,
    variables: Option<&[(String, String)]>,
    report: &mut Report<'_>,
) -> Vec<String> {
    let command = field.get("command");
    if command.items().is_empty() {
        report.wrong(&command.path, "Required value");
    }
    match variables {
        Some(variables) => env::words(&command, variables, report),
        None => env::plain_words(&command, report),
    }
}

/// Reads an `httpGet`.
pub(super) fn http_get(field: &Field<'_>, ports: &Ports, report: &mut Report<'_>) -> Option<HttpGet> {
    let port = ports.resolve(&field.get("port"), report);
    let schemes = [("HTTP", Scheme::Http), ("HTTPS", Scheme::Https)];
    let scheme = choice(&field.get("scheme"), &schemes, report).unwrap_or(Scheme::Http);
    let headers = headers(&field.get("httpHeaders"), report);
    Some(HttpGet {
        host: host(field),
        port: port?,
        path: field.get("path").filled().unwrap_or("/").to_owned(),
        scheme,
        headers,
    })
}

/// The host of an `httpGet` or a `tcpSocket`, where it is written.
pub(super) fn host(field: &Field<'_>) -> Option<String> {
    field.get("host").filled().map(str::to_owned)
}

fn headers(field: &Field<'_>, report: &mut Report<'_>) -> Vec<(String, String)> {
    if !bounded(field, MOST_HEADERS, report) {
        return Vec::new();
    }
    let mut headers = Vec::new();
    for item in field.items() {
        let (name, value) = (item.get("name"), item.get("value"));
        judge(&name, &names::header_name(name.text()), report);
        // It would end the header and begin another.
        if value.text().contains(|c: char| c.is_control() && c != '\t') {
            let text = format!("Invalid value: {}: must not hold control characters", shown(&value));
            report.wrong(&value.path, text);
        }
        headers.push((name.text().to_owned(), value.text().to_owned()));
    }
    headers
}
