//! Probes and lifecycle hooks as a manifest asks for them, with every default filled in. Field names are Kubernetes'.

use serde::{Deserialize, Serialize};

/// `startupProbe`, `livenessProbe` or `readinessProbe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// What is asked.
    pub handler: ProbeHandler,
    /// Seconds from the container's start to the first time.
    pub initial_delay_seconds: u32,
    /// Seconds from one time to the next; at least 1.
    pub period_seconds: u32,
    /// Seconds until no answer is a failure; at least 1.
    pub timeout_seconds: u32,
    /// So many successes in a row make it a success; 1 for startup and liveness.
    pub success_threshold: u32,
    /// So many failures in a row make it a failure; at least 1.
    pub failure_threshold: u32,
    /// In the place of the pod's, when this probe's failure kills; at least 1. Not for readiness.
    pub termination_grace_period_seconds: Option<u64>,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProbeHandler {
    /// Exit code 0 of a command in the container.
    Exec {
        /// The program and its arguments; no shell.
        command: Vec<String>,
    },
    /// A status from 200 to 399.
    HttpGet(HttpGet),
    /// That a connection can be made.
    TcpSocket {
        /// The pod's address where there is none.
        host: Option<String>,
        /// 1 to 65535.
        port: u16,
    },
    /// `SERVING` from grpc.health.v1.Health.
    Grpc {
        /// 1 to 65535, of the pod.
        port: u16,
        /// The service asked for; empty for the server as a whole.
        service: String,
    },
}

/// `httpGet` of a probe or a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGet {
    /// The pod's address where there is none.
    pub host: Option<String>,
    /// 1 to 65535; a port's name is its number here.
    pub port: u16,
    /// Path and query, `/` where the manifest has none.
    pub path: String,
    /// How.
    pub scheme: Scheme,
    /// `httpHeaders`, in their order; a name may come twice.
    pub headers: Vec<(String, String)>,
}

/// `scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// In the clear.
    #[serde(rename = "HTTP")]
    Http,
    /// With TLS; certificates are not verified.
    #[serde(rename = "HTTPS")]
    Https,
}

/// `lifecycle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lifecycle {
    /// Run as soon as the container's program was started; its failure kills the container.
    pub post_start: Option<Handler>,
    /// Run before the container is asked to stop, within its grace period.
    pub pre_stop: Option<Handler>,
    /// In the place of the image's, such as `SIGUSR1`.
    pub stop_signal: Option<String>,
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Handler {
    /// A command in the container.
    Exec {
        /// The program and its arguments; no shell.
        command: Vec<String>,
    },
    /// A request.
    HttpGet(HttpGet),
    /// Nothing, for a time.
    Sleep {
        /// 0 and more.
        seconds: u64,
    },
    /// `tcpSocket`, which Kubernetes accepts and has never done anything for.
    TcpSocket,
}

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Holds back the others until it has succeeded once.
    Startup,
    /// Its failure kills.
    Liveness,
    /// Makes the container ready, or not.
    Readiness,
}

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookKind {
    /// After the start.
    PostStart,
    /// Before the stop.
    PreStop,
}
