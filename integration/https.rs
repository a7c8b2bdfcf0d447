//! Probes and hooks by HTTPS, of a real server: nginx, with a certificate that nobody has signed.

use crate::harness::runtime::path_text;
use crate::harness::supervised::{Supervised, memory};
use crate::harness::{Case, Test, case, note, skip, sources, within};
use crate::harness::{command::Cmd, machine};
use podrun::model::status::ContainerState;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![case!(servers_of_every_kind), case!(hooks), case!(attempts_leave_no_memory_behind)]
}

/// What stands in nginx's http block in the place of its server on port 80.
const SERVERS: &str = r#"
    ssl_certificate /tls/rsa.crt; ssl_certificate_key /tls/rsa.key;
    server { listen 8441 ssl; ssl_protocols TLSv1.2; location / { return 200 "by $ssl_protocol\n"; } }
    server {
        listen 8442 ssl; ssl_protocols TLSv1.3;
        ssl_certificate /tls/ec.crt; ssl_certificate_key /tls/ec.key;
        location = /busy { return 503; }
        location = /here { return 302 https://127.0.0.1:8441/; }
        location = /clear { return 302 http://127.0.0.1:8080/; }
        location = /away { return 302 https://elsewhere.example/; }
        location = /round { return 302 /round; }
        location / { return 200 "by $ssl_protocol\n"; }
    }
    server { listen 8443 ssl; ssl_protocols TLSv1 TLSv1.1; location / { return 200; } }
    server { listen 8444 ssl; ssl_protocols TLSv1.2; ssl_verify_client on; ssl_client_certificate /tls/rsa.crt; location / { return 200; } }
    server { listen 8080; location = /secret { return 302 https://127.0.0.1:8442/; } location / { return 200; } }
    access_log /tls/access.log combined;
"#;

/// A directory with nginx's configuration and certificates, for /tls.
#[track_caller]
fn servers(t: &Test) -> String {
    if !machine::has_package("openssl") {
        skip("openssl is not installed");
    }
    let directory = t.directory("tls");
    for (name, kind) in
        [("rsa", &["rsa:2048"][..]), ("ec", &["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"])]
    {
        let (key, certificate) = (format!("tls/{name}.key"), format!("tls/{name}.crt"));
        let (key, certificate) = (path_text(&t.path(&key)), path_text(&t.path(&certificate)));
        let mut words =
            vec!["openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=elsewhere.example"];
        words.extend(["-keyout", &key, "-out", &certificate, "-newkey"]);
        words.extend(kind);
        Cmd::new(t.place(), words).run().ok();
    }
    let config = format!(
        "user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\nhttp {{\n{SERVERS}}}\n"
    );
    t.file("tls/nginx.conf", config);
    path_text(&directory)
}

/// The pod `web` whose containers run nginx with these servers, each with what else is said of it.
fn pod(tls: &str, containers: &[(&str, Value)]) -> Value {
    let container = |(name, more): &(&str, Value)| {
        let mut container = json!({
            "name": name,
            "image": "nginx",
            "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        });
        for (field, value) in more.as_object().expect("an object") {
            container[field] = value.clone();
        }
        container
    };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "tls", "hostPath": {"path": tls}}],
            "containers": containers.iter().map(container).collect::<Vec<_>>(),
        },
    })
}

/// A container that does nothing but to be asked at a port of its neighbour's.
fn asked(port: u16, path: &str) -> Value {
    let mut get = json!({"port": port, "path": path, "scheme": "HTTPS"});
    if path == "/secret" {
        get["scheme"] = json!("HTTP");
    }
    json!({
        "command": ["sleep", "300"],
        "readinessProbe": {"httpGet": get, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5},
    })
}

fn servers_of_every_kind(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["image", "import", &nginx(), "nginx"]).ok();
    let server = json!({"command": ["nginx", "-c", "/tls/nginx.conf", "-g", "daemon off;"]});
    let containers = [
        ("server", server),
        ("by-1-2", asked(8441, "/")),
        ("by-1-3", asked(8442, "/")),
        ("busy", asked(8442, "/busy")),
        ("sent-on", asked(8442, "/here")),
        ("sent-to-clear", asked(8442, "/clear")),
        ("sent-to-secret", asked(8080, "/secret")),
        ("sent-away", asked(8442, "/away")),
        ("sent-round", asked(8442, "/round")),
        ("too-old", asked(8443, "/")),
        ("wants-ours", asked(8444, "/")),
        ("in-the-clear", asked(8080, "/")),
        ("nobody", asked(8445, "/")),
    ];
    let pod = Supervised::run(&podrun, "web", &t.manifest(&pod(&servers(t), &containers)));
    for name in ["by-1-2", "by-1-3", "sent-on", "sent-to-clear", "sent-to-secret", "sent-away"] {
        pod.until(name, "ready", |it| it.ready);
    }
    for event in [
        "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 503",
        "ProbeWarning Readiness probe warning: Probe terminated redirects, Response body: ",
        "Unhealthy Readiness probe failed: Get \"https://127.0.0.1:8442/round\": stopped after 10 redirects",
        "Unhealthy Readiness probe failed: Get \"https://127.0.0.1:8443/\": remote error: tls: protocol version not supported",
        // nginx lets a client in that has not shown a certificate, and then refuses it by HTTP.
        "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 400",
        "Unhealthy Readiness probe failed: Get \"https://127.0.0.1:8080/\": http: server gave HTTP response to HTTPS client",
        "8445/\": dial tcp 127.0.0.1:8445: connect: connection refused",
    ] {
        let told = within(15, || pod.events().iter().any(|each| each.contains(event)).then_some(()));
        assert!(told.is_some(), "no event {event:?}: {:#?}", pod.events());
    }
    for name in ["busy", "sent-round", "too-old", "wants-ours", "in-the-clear", "nobody"] {
        assert!(!pod.container(name).ready, "{name}");
    }
    let log = std::fs::read_to_string(t.path("tls/access.log")).expect("the log");
    assert!(log.contains("\"GET / HTTP/1.1\" 200") && log.contains("\"kube-probe/podrun-"), "{log}");
    pod.delete();
}

fn hooks(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["image", "import", &nginx(), "nginx"]).ok();
    let get = |port: u16, path: &str| json!({"httpGet": {"port": port, "path": path, "scheme": "HTTPS"}});
    let run = ["nginx", "-c", "/tls/nginx.conf", "-g", "daemon off;"];
    // Sidecars: one is up before the next is begun.
    let ready = json!({"httpGet": {"port": 8442, "scheme": "HTTPS"}, "periodSeconds": 1});
    let mut manifest = pod(
        &servers(t),
        &[
            (
                "told",
                json!({"command": ["sleep", "300"], "lifecycle": {"postStart": get(8442, "/told"), "preStop": get(8441, "/told-again")}}),
            ),
            (
                "clear",
                json!({"command": ["sleep", "300"], "lifecycle": {"postStart": get(8080, "/told-in-the-clear")}}),
            ),
        ],
    );
    let mut server = manifest["spec"]["containers"][0].clone();
    server.as_object_mut().expect("an object").remove("lifecycle");
    server["name"] = json!("server");
    server["command"] = json!(run);
    server["restartPolicy"] = json!("Always");
    server["startupProbe"] = ready;
    manifest["spec"]["initContainers"] = json!([server]);
    let pod = Supervised::run(&podrun, "web", &t.manifest(&manifest));
    for name in ["told", "clear"] {
        pod.until(name, "running", |it| matches!(it.state, ContainerState::Running { .. }));
    }
    let event = "LifecycleHTTPFallback request to HTTPS lifecycle hook 127.0.0.1:8080 got HTTP response, retry with HTTP succeeded";
    let told = within(10, || pod.events().iter().any(|each| each.contains(event)).then_some(()));
    assert!(told.is_some(), "{:#?}", pod.events());
    podrun.run(&["pod", "stop", "web"]).ok();
    let log = std::fs::read_to_string(t.path("tls/access.log")).expect("the log");
    for page in ["/told HTTP/1.1\" 200", "/told-again HTTP/1.1\" 200", "/told-in-the-clear HTTP/1.1\" 200"] {
        assert!(log.contains(page), "{page} is not in {log}");
    }
    assert!(log.contains("\"kube-lifecycle/podrun-"), "{log}");
    pod.delete();
}

/// What attempts need they give back: the supervisor stays as small as it is.
fn attempts_leave_no_memory_behind(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["image", "import", &nginx(), "nginx"]).ok();
    let server = |scheme: &str, port: u16| {
        json!({
            "command": ["nginx", "-c", "/tls/nginx.conf", "-g", "daemon off;"],
            "readinessProbe": {"httpGet": {"port": port, "scheme": scheme}, "periodSeconds": 1},
        })
    };
    let tls = servers(t);
    let anonymous = |scheme: &str, port: u16| {
        let pod =
            Supervised::run(&podrun, "web", &t.manifest(&pod(&tls, &[("server", server(scheme, port))])));
        pod.until("server", "ready", |it| it.ready);
        std::thread::sleep(std::time::Duration::from_secs(4));
        let size = memory(pod.supervisor(), "Anonymous");
        pod.delete();
        size
    };
    let (clear, secret) = (anonymous("HTTP", 8080), anonymous("HTTPS", 8442));
    note(&format!("the supervisor's own memory: {clear} KiB with a probe in the clear, {secret} KiB by TLS"));
    assert!(secret < clear + 160, "{clear} KiB in the clear, {secret} KiB by TLS");
}

fn nginx() -> String {
    path_text(&sources::project().join("rootfs/build/images/nginx.tar"))
}
