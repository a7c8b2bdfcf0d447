//! `lifecycle`: hooks and the stop signal.

use crate::manifest::actions::{self, Context};
use crate::manifest::field::Field;
use crate::manifest::pod::choice;
use crate::manifest::report::Report;
use crate::model::probe::{Handler, Lifecycle};

/// Kubernetes' stop signals of Linux, but for those of real time.
const SIGNALS: [&str; 34] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Builds and checks `lifecycle`.
pub(super) fn build(field: &Field<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Lifecycle {
    if !context.allows(field, report) {
        return Lifecycle::default();
    }
    Lifecycle {
        post_start: hook(&field.get("postStart"), context, report),
        pre_stop: hook(&field.get("preStop"), context, report),
        stop_signal: stop_signal(&field.get("stopSignal"), context, report),
    }
}

fn hook(field: &Field<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Option<Handler> {
    if !field.is_set() {
        return None;
    }
    actions::handler(field, report, |name, field, report| match name {
        // A kubelet replaces $(VAR) in probes, and not in hooks.
        "exec" => Some(Handler::Exec { command: actions::command(field, None, report) }),
        "httpGet" => actions::http_get(field, context.ports, report).map(Handler::HttpGet),
        "tcpSocket" => {
            report.warn(&field.path, "is deprecated, and no hook has ever done anything for it");
            Some(Handler::TcpSocket)
        }
        _ => sleep(field, context, report),
    })
}

fn sleep(field: &Field<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Option<Handler> {
    let seconds = field.get("seconds").int().unwrap_or_default();
    let grace_seconds = context.pod.grace_seconds;
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= grace_seconds => Some(Handler::Sleep { seconds }),
        _ => {
            let must =
                format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
            report.wrong(&field.path, format!("Invalid value: {seconds}: {must}"));
            None
        }
    }
}

fn stop_signal(field: &Field<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Option<String> {
    field.filled()?;
    if !context.pod.has_os {
        let text = "Forbidden: may not be set for containers with empty `spec.os.name`";
        report.wrong_hint(&field.path, text, "add spec.os.name: linux");
        return None;
    }
    let plus = (1..=15).map(|distance| format!("SIGRTMIN+{distance}"));
    let minus = (1..=14).map(|distance| format!("SIGRTMAX-{distance}"));
    let real_time = plus.chain(minus).chain(["SIGRTMIN".to_owned(), "SIGRTMAX".to_owned()]);
    let mut names: Vec<String> = SIGNALS.map(str::to_owned).into_iter().chain(real_time).collect();
    names.sort_unstable();
    let known: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    choice(field, &known, report).map(str::to_owned)
}
