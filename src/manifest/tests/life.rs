//! What a pod's life is made of: init containers, restarts, probes, hooks, ends.

use super::{LENIENT, one, refused, with};
use crate::manifest::{Manifest, read};
use crate::model::podspec::{
    ContainerSpec, PodSpec, RestartOperator, RestartPolicy, Role, TerminationMessagePolicy,
};
use crate::model::probe::{Handler, HttpGet, Probe, ProbeHandler, Scheme};

const WHOLE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  os: {name: linux}
  restartPolicy: Never
  activeDeadlineSeconds: 600
  terminationGracePeriodSeconds: 20
  initContainers:
  - name: prepare
    image: busybox
    restartPolicy: OnFailure
    restartPolicyRules:
    - {action: Restart, exitCodes: {operator: In, values: [42, 43]}}
    - {action: Restart, exitCodes: {operator: NotIn}}
    resources: {limits: {memory: 8Mi}}
  - name: proxy
    image: nginx
    restartPolicy: Always
    ports: [{name: http, containerPort: 8080}]
    startupProbe:
      tcpSocket: {host: 127.0.0.1, port: http}
      periodSeconds: 1
      failureThreshold: 30
      terminationGracePeriodSeconds: 5
    lifecycle:
      stopSignal: SIGRTMIN+3
      preStop: {sleep: {seconds: 20}}
  containers:
  - name: web
    image: nginx
    env: [{name: WHERE, value: /ready}]
    ports: [{name: http, containerPort: 80}]
    livenessProbe:
      httpGet:
        path: /healthz?x=1
        port: http
        host: localhost
        scheme: HTTP
        httpHeaders: [{name: Host, value: shop}, {name: Host, value: shop}]
      initialDelaySeconds: 3
      timeoutSeconds: 2
    readinessProbe:
      exec: {command: [test, -e, $(WHERE)]}
      successThreshold: 2
      periodSeconds: 0
    startupProbe: {grpc: {port: 9000, service: shop, mode: Plaintext}}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo $$ $(WHERE)"]}}
      preStop: {httpGet: {port: 80}}
    terminationMessagePath: /run/why
    terminationMessagePolicy: FallbackToLogsOnError
"#;

fn probe(handler: ProbeHandler) -> Probe {
    Probe {
        handler,
        initial_delay_seconds: 0,
        period_seconds: 10,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_period_seconds: None,
    }
}

#[test]
fn a_whole_life() {
    let manifest = one(WHOLE);
    let spec = &manifest.spec;
    assert_eq!(manifest.warnings, [""; 0]);
    assert_eq!((spec.active_deadline_seconds, spec.termination_grace_period_seconds), (Some(600), 20));
    assert_eq!([spec.role(0), spec.role(1), spec.role(2)], [Role::Init, Role::Sidecar, Role::App]);
    init_containers(spec);
    app(&spec.containers[0]);
}

fn init_containers(spec: &PodSpec) {
    let [prepare, proxy] = &spec.init_containers[..] else { panic!("{spec:?}") };
    assert_eq!(prepare.restart_policy, Some(RestartPolicy::OnFailure));
    let rules: Vec<_> =
        prepare.restart_policy_rules.iter().map(|rule| (rule.operator, &rule.values[..])).collect();
    assert_eq!(rules, [(RestartOperator::In, &[42, 43][..]), (RestartOperator::NotIn, &[][..])]);
    assert_eq!(prepare.resources.limits.memory_bytes, Some(8 << 20));
    let tcp = ProbeHandler::TcpSocket { host: Some("127.0.0.1".to_owned()), port: 8080 };
    let startup = Probe {
        period_seconds: 1,
        failure_threshold: 30,
        termination_grace_period_seconds: Some(5),
        ..probe(tcp)
    };
    assert_eq!(proxy.startup_probe, Some(startup));
    assert_eq!(proxy.lifecycle.stop_signal.as_deref(), Some("SIGRTMIN+3"));
    assert_eq!(proxy.lifecycle.pre_stop, Some(Handler::Sleep { seconds: 20 }));
    assert_eq!(proxy.termination_message_path, "/dev/termination-log");
}

fn app(web: &ContainerSpec) {
    let header = ("Host".to_owned(), "shop".to_owned());
    let get = HttpGet {
        host: Some("localhost".to_owned()),
        port: 80,
        path: "/healthz?x=1".to_owned(),
        scheme: Scheme::Http,
        headers: vec![header.clone(), header],
    };
    let liveness =
        Probe { initial_delay_seconds: 3, timeout_seconds: 2, ..probe(ProbeHandler::HttpGet(get)) };
    assert_eq!(web.liveness_probe, Some(liveness));
    let exec = ProbeHandler::Exec { command: ["test", "-e", "/ready"].map(str::to_owned).into() };
    assert_eq!(web.readiness_probe, Some(Probe { success_threshold: 2, ..probe(exec) }));
    let grpc = ProbeHandler::Grpc { port: 9000, service: "shop".to_owned() };
    assert_eq!(web.startup_probe, Some(probe(grpc)));
    // In hooks a dollar sign is the shell's.
    let command = ["sh", "-c", "echo $$ $(WHERE)"].map(str::to_owned).into();
    assert_eq!(web.lifecycle.post_start, Some(Handler::Exec { command }));
    let get =
        HttpGet { host: None, port: 80, path: "/".to_owned(), scheme: Scheme::Http, headers: Vec::new() };
    assert_eq!(web.lifecycle.pre_stop, Some(Handler::HttpGet(get)));
    assert_eq!((web.termination_message_path.as_str(), web.restart_policy), ("/run/why", None));
    assert_eq!(web.termination_message_policy, TerminationMessagePolicy::FallbackToLogsOnError);
}

#[test]
fn values_that_ask_for_nothing_change_nothing() {
    let text = with(
        "terminationMessagePath: ''\nterminationMessagePolicy: ''\nlifecycle: {postStart: null}\nstartupProbe: null\nrestartPolicyRules: []",
        "initContainers: []",
    );
    assert_eq!(one(&text).spec, one(&with("", "")).spec);
}

/// Lines added to the container, and what is said of them.
const PROBES: &[(&str, &str)] = &[
    ("livenessProbe: {}", "livenessProbe: Required value: must specify a handler type"),
    ("livenessProbe: {exec: {}}", "livenessProbe.exec.command: Required value"),
    (
        "livenessProbe: {tcpSocket: {port: 80}, exec: {command: [x]}}",
        "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    ),
    (
        "lifecycle: {preStop: {sleep: {seconds: 1}, httpGet: {port: 80}}}",
        "preStop.sleep: Forbidden: may not specify more than 1 handler type",
    ),
    ("lifecycle: {postStart: {}}", "postStart: Required value: must specify a handler type"),
    ("lifecycle: {postStart: {grpc: {port: 1}}}", "postStart.grpc: unknown field of LifecycleHandler"),
    ("readinessProbe: {sleep: {seconds: 1}}", "readinessProbe.sleep: unknown field of Probe"),
    (
        "startupProbe: {tcpSocket: {port: 80}, successThreshold: 2}",
        "startupProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    ("livenessProbe: {tcpSocket: {port: 80}, successThreshold: 2}", "Invalid value: 2: must be 1"),
    (
        "livenessProbe: {tcpSocket: {port: 80}, periodSeconds: -1}",
        "periodSeconds: Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        "livenessProbe: {tcpSocket: {port: 80}, initialDelaySeconds: -1}",
        "initialDelaySeconds: Invalid value: -1: must be",
    ),
    (
        "livenessProbe: {tcpSocket: {port: 80}, timeoutSeconds: -1}",
        "timeoutSeconds: Invalid value: -1: must be",
    ),
    (
        "readinessProbe: {tcpSocket: {port: 80}, failureThreshold: -1}",
        "failureThreshold: Invalid value: -1: must be",
    ),
    (
        "readinessProbe: {tcpSocket: {port: 80}, successThreshold: -1}",
        "successThreshold: Invalid value: -1: must be",
    ),
    (
        "readinessProbe: {tcpSocket: {port: 80}, terminationGracePeriodSeconds: 10}",
        "terminationGracePeriodSeconds: Invalid value: 10: must not be set for readinessProbes",
    ),
    (
        "startupProbe: {tcpSocket: {port: 80}, terminationGracePeriodSeconds: 0}",
        "terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
    ),
    ("livenessProbe: {tcpSocket: {}}", "tcpSocket.port: Required value"),
    (
        "livenessProbe: {httpGet: {port: 65536}}",
        "httpGet.port: Invalid value: 65536: must be between 1 and 65535, inclusive",
    ),
    ("livenessProbe: {grpc: {port: 0}}", "grpc.port: Invalid value: 0: must be between 1 and 65535"),
    ("livenessProbe: {grpc: {port: http}}", "grpc.port: must be an integer of 32 bits"),
    (
        "livenessProbe: {httpGet: {port: '80'}}",
        "httpGet.port: Invalid value: \"80\": must contain at least one letter (a-z)",
    ),
    (
        "ports: [{name: http, containerPort: 80}]\nlivenessProbe: {httpGet: {port: htp}}",
        "shop.yaml:10:31: spec.containers[0].livenessProbe.httpGet.port: Not found: \"htp\"\nhint: did you mean http?",
    ),
    (
        "lifecycle: {preStop: {httpGet: {port: http}}}",
        "Not found: \"http\"\nhint: name one of the container's ports, or write its number",
    ),
    (
        "livenessProbe: {httpGet: {port: 80, scheme: https}}",
        "scheme: Unsupported value: \"https\": supported values: \"HTTP\", \"HTTPS\"",
    ),
    ("livenessProbe: {grpc: {port: 80, mode: TLS}}", "grpc.mode: not supported yet"),
    (
        "livenessProbe: {httpGet: {port: 80, httpHeaders: [{name: 'a b', value: x}]}}",
        "httpHeaders[0].name: Invalid value: \"a b\": a valid HTTP header must consist of",
    ),
    (
        "livenessProbe: {httpGet: {port: 80, httpHeaders: [{name: a, value: \"x\\r\\nb: y\"}]}}",
        "httpHeaders[0].value: Invalid value: \"x\\r\\nb: y\": must not hold control characters",
    ),
    (
        "lifecycle: {preStop: {sleep: {seconds: 31}}}",
        "preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
    ),
    ("lifecycle: {postStart: {sleep: {seconds: -1}}}", "sleep: Invalid value: -1: must be non-negative"),
    (
        "lifecycle: {stopSignal: SIGUSR1}",
        "stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`\nhint: add spec.os.name: linux",
    ),
    (
        "terminationMessagePath: why",
        "terminationMessagePath: Invalid value: \"why\": must be an absolute path",
    ),
    (
        "terminationMessagePolicy: Log",
        "Unsupported value: \"Log\": supported values: \"File\", \"FallbackToLogsOnError\"",
    ),
    (
        "restartPolicy: Sometimes",
        "restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
    ),
    (
        "restartPolicyRules: [{action: Restart, exitCodes: {operator: In}}]",
        "restartPolicy: Required value: must specify restartPolicy when restart rules are used",
    ),
];

/// A rule, and what is said of it.
const RULES: &[(&str, &str)] = &[
    (
        "{action: Stop, exitCodes: {operator: In}}",
        "[0].action: Unsupported value: \"Stop\": supported values: \"Restart\", \"RestartAllContainers\"",
    ),
    ("{exitCodes: {operator: In}}", "[0].action: Unsupported value: \"\": supported values: \"Restart\","),
    ("{action: Restart}", "[0].exitCodes: Required value: must be specified"),
    (
        "{action: Restart, exitCodes: {operator: Is}}",
        "exitCodes.operator: Unsupported value: \"Is\": supported values: \"In\", \"NotIn\"",
    ),
    ("{action: Restart, exitCodes: {}}", "exitCodes.operator: Unsupported value: \"\": supported values:"),
    (
        "{action: Restart, exitCodes: {operator: In, values: [x]}}",
        "exitCodes.values[0]: must be an integer of 32 bits, not the string \"x\"",
    ),
];

/// Lines added to the spec, and what is said of them.
const POD: &[(&str, &str)] = &[
    (
        "activeDeadlineSeconds: 0",
        "activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    ),
    ("activeDeadlineSeconds: 2147483648", "Invalid value: 2147483648: must be between 1 and 2147483647"),
    ("os: {}", "spec.os.name: Required value: cannot be empty"),
    (
        "os: {name: plan9}",
        "spec.os.name: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\"",
    ),
    (
        "os: {name: windows}",
        "spec.os.name: windows is not supported yet\nhint: podrun runs containers of Linux",
    ),
    (
        "initContainers: [{name: web, image: x}]",
        "shop.yaml:6:21: spec.initContainers[0].name: Duplicate value: \"web\"",
    ),
    (
        "initContainers: [{name: a, image: x}, {name: a, image: x}]",
        "initContainers[1].name: Duplicate value: \"a\"",
    ),
    ("initContainers: [{name: a}]", "initContainers[0].image: Required value"),
    (
        "initContainers: [{name: a, image: x, volumeMounts: [{name: v, mountPath: /v}]}]",
        "initContainers[0].volumeMounts[0].name: Not found: \"v\"",
    ),
    (
        "initContainers: [{name: a, image: x, envFrom: [{prefix: y}]}]",
        "initContainers[0].envFrom: not supported yet",
    ),
];

#[test]
fn problems() {
    for (container, want) in PROBES {
        let error = refused(&with(container, ""));
        assert!(error.contains(want), "{container}:\n{error}");
    }
    for (rule, want) in RULES {
        let error = refused(&with(&format!("restartPolicy: Never\nrestartPolicyRules: [{rule}]"), ""));
        assert!(error.contains(want), "{rule}:\n{error}");
    }
    for (spec, want) in POD {
        let error = refused(&with("", spec));
        assert!(error.contains(want), "{spec}:\n{error}");
    }
}

#[test]
fn bounds() {
    let rules = "{action: Restart, exitCodes: {operator: In}}, ".repeat(21);
    let error = refused(&with(&format!("restartPolicy: Never\nrestartPolicyRules: [{rules}]"), ""));
    assert!(error.contains("restartPolicyRules: Too many: 21: must have at most 20 items"), "{error}");
    let rule = format!("{{action: Restart, exitCodes: {{operator: In, values: [{}]}}}}", "1, ".repeat(256));
    let error = refused(&with(&format!("restartPolicy: Never\nrestartPolicyRules: [{rule}]"), ""));
    assert!(error.contains("exitCodes.values: Too many: 256: must have at most 255 items"), "{error}");
    let all: String = (0..128).map(|i| format!("{{name: c{i}, image: x}}, ")).collect();
    let error = refused(&with("", &format!("initContainers: [{all}]")));
    assert!(error.contains("initContainers: Too many: 128: must have at most 127 items"), "{error}");
    let word = "x".repeat(128 << 10);
    for (before, after) in
        [("livenessProbe: {exec: {command: [", "]}}"), ("lifecycle: {preStop: {exec: {command: [", "]}}}")]
    {
        let error = refused(&with(&format!("{before}{word}{after}"), ""));
        assert!(error.contains("exec.command[0]: Too long: may not be more than 131071 bytes"), "{error}");
    }
}

#[test]
fn only_what_stays_may_be_probed() {
    for (field, value) in [
        ("lifecycle", "{}"),
        ("livenessProbe", "{exec: {command: [x]}}"),
        ("readinessProbe", "{exec: {command: [x]}}"),
        ("startupProbe", "{}"),
    ] {
        let text = |policy: &str| {
            with("", &format!("initContainers: [{{name: a, image: x{policy}, {field}: {value}}}]"))
        };
        for policy in ["", ", restartPolicy: Never"] {
            let error = refused(&text(policy));
            let want = format!(
                "spec.initContainers[0].{field}: Forbidden: may not be set for init containers without restartPolicy=Always\n"
            );
            assert!(error.contains(&want), "{error}");
        }
        if field != "startupProbe" {
            one(&text(", restartPolicy: Always"));
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let error = refused(&with(
        "livenessProbe:\n  httpGet: {port: none}\n  periodSeconds: -1\n  successThreshold: 3\nlifecycle:\n  preStop: {exec: {}}\nterminationMessagePath: x",
        "activeDeadlineSeconds: 0\ninitContainers:\n- {name: web, restartPolicy: Maybe}",
    ));
    assert_eq!(error.lines().filter(|line| line.starts_with("  shop.yaml:")).count(), 9, "{error}");
}

/// All that can be a stop signal can be sent.
#[test]
fn stop_signals() {
    let stop = |signal: &str| with(&format!("lifecycle: {{stopSignal: {signal}}}"), "os: {name: linux}");
    let error = refused(&stop("TERM"));
    let (_, names) = error.split_once("Unsupported value: \"TERM\": supported values: ").unwrap();
    let names: Vec<&str> =
        names.lines().next().unwrap().split(", ").map(|name| name.trim_matches('"')).collect();
    assert_eq!((names.len(), names[0]), (65, "SIGABRT"));
    for name in names {
        assert_eq!(one(&stop(name)).spec.containers[0].lifecycle.stop_signal.as_deref(), Some(name));
        assert!(name.parse::<crate::model::signal::Signal>().is_ok(), "{name}");
    }
}

#[test]
fn host_ports_of_init_containers_are_taken_one_by_one() {
    let init = |name: &str| format!("{{name: {name}, image: x, ports: [{{containerPort: 80}}]}}");
    let spec = format!("hostNetwork: true\ninitContainers: [{}, {}]", init("a"), init("b"));
    one(&with("ports: [{containerPort: 80}]", &spec));
}

fn lenient(text: &str) -> Manifest {
    read(text.as_bytes(), "shop.yaml", &LENIENT).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

/// A probe in the clear of what speaks TLS would kill; none does not.
#[test]
fn probes_that_are_not_supported_are_left_out_as_a_whole() {
    let manifest = lenient(&with(
        "livenessProbe: {httpGet: {port: 443, protocol: h2c}}\nreadinessProbe: {grpc: {port: 1, mode: TLS}}\nlifecycle: {postStart: {httpGet: {port: 443, protocol: h2c}}}\n",
        "",
    ));
    let container = &manifest.spec.containers[0];
    assert_eq!((&container.liveness_probe, &container.readiness_probe), (&None, &None));
    assert_eq!(container.lifecycle.post_start, None);
    let path = "spec.containers[0]";
    for warning in [
        format!("shop.yaml:9: {path}.livenessProbe.httpGet.protocol: not supported yet, ignored"),
        format!("shop.yaml:9: {path}.livenessProbe: is left out, since not all of it is supported"),
        format!("shop.yaml:10: {path}.readinessProbe: is left out, since not all of it is supported"),
        format!("shop.yaml:11: {path}.lifecycle.postStart: is left out, since not all of it is supported"),
    ] {
        assert!(manifest.warnings.contains(&warning), "{warning}\nis not in {:?}", manifest.warnings);
    }
}

#[test]
fn tcp_hooks_are_accepted_with_a_warning() {
    let manifest = one(&with("lifecycle: {preStop: {tcpSocket: {port: none}}}", ""));
    assert_eq!(manifest.spec.containers[0].lifecycle.pre_stop, Some(Handler::TcpSocket));
    let want = "shop.yaml:9: spec.containers[0].lifecycle.preStop.tcpSocket: is deprecated, and no hook has ever done anything for it";
    assert_eq!(manifest.warnings, [want]);
}
