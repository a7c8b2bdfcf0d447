//! Probes by gRPC: of the probe's own health server in a container, and of one that its makers wrote.

use crate::containerd::Daemon;
use crate::harness::runtime::path_text;
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Test, case, machine, skip, sources, within};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;

pub fn cases() -> Vec<Case> {
    vec![case!(health_of_services), case!(a_server_of_another_maker).exclusive().seconds(60)]
}

/// A container that sleeps while its neighbour is asked for this service's health.
fn asks(name: &str, port: u16, service: Option<&str>) -> Value {
    let mut grpc = json!({"port": port});
    if let Some(service) = service {
        grpc["service"] = json!(service);
    }
    json!({
        "name": name, "image": "probe", "command": ["/bin/probe", "sleep", "300"],
        "readinessProbe": {"grpc": grpc, "periodSeconds": 1, "failureThreshold": 1},
    })
}

fn pod(containers: &[Value]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "grpc"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers},
    })
}

#[track_caller]
fn happened(pod: &Supervised<'_>, event: &str) {
    let told = within(15, || pod.events().iter().any(|each| each.contains(event)).then_some(()));
    assert!(told.is_some(), "no event {event:?}: {:#?}", pod.events());
}

fn image() -> String {
    path_text(&sources::project().join("rootfs/build/images/probe.tar"))
}

fn health_of_services(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["image", "import", &image(), "probe"]).ok();
    let services = path_text(&t.directory("services"));
    for (name, health) in
        [("server", "SERVING"), ("shop", "SERVING"), ("pay", "NOT_SERVING"), ("slow", "SILENT")]
    {
        t.file(&format!("services/{name}"), health);
    }
    let server = json!({
        "name": "server", "image": "probe", "command": ["/bin/probe", "serve-health", "9000", "/services"],
        "volumeMounts": [{"name": "services", "mountPath": "/services"}],
        "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1},
    });
    let mut manifest = pod(&[
        server,
        asks("shop", 9000, Some("shop")),
        asks("pay", 9000, Some("pay")),
        asks("slow", 9000, Some("slow")),
        asks("none", 9000, Some("none")),
        asks("nobody", 9001, None),
    ]);
    manifest["spec"]["volumes"] = json!([{"name": "services", "hostPath": {"path": services}}]);
    let pod = Supervised::run(&podrun, "grpc", &t.manifest(&manifest));
    for name in ["server", "shop"] {
        pod.until(name, "ready", |it| it.ready);
    }
    for event in [
        "Unhealthy Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")",
        "Unhealthy Readiness probe failed: timeout: health rpc did not complete within 1s",
        "Unhealthy Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        "Unhealthy Readiness probe failed: error: failed to connect service at \"127.0.0.1:9001\": connection error: desc = \
         \"transport: Error while dialing: dial tcp 127.0.0.1:9001: connect: connection refused\"",
    ] {
        happened(&pod, event);
    }
    for name in ["pay", "slow", "none", "nobody"] {
        assert!(!pod.container(name).ready, "{name}");
    }
    t.file("services/pay", "SERVING");
    t.file("services/shop", "NOT_SERVING");
    pod.until("pay", "ready", |it| it.ready);
    pod.until("shop", "not ready", |it| !it.ready);
    pod.delete();
}

/// containerd answers the health check with the library that the kubelet asks with; here through a port of the host's.
fn a_server_of_another_maker(t: &Test) {
    if !machine::has_package("containerd") || !machine::has_package("ctr") {
        skip("containerd is not installed");
    }
    let podrun = t.podrun();
    podrun.run(&["image", "import", &image(), "probe"]).ok();
    let daemon = Daemon::start(t);
    let port = forward(&daemon.address);
    let mut manifest = pod(&[asks("well", port, None), asks("none", port, Some("none"))]);
    manifest["spec"]["hostNetwork"] = json!(true);
    let pod = Supervised::run(&podrun, "grpc", &t.manifest(&manifest));
    pod.until("well", "ready", |it| it.ready);
    happened(&pod, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service");
    assert!(!pod.container("none").ready);
    pod.delete();
    daemon.stop();
}

/// A port of the host's whose connections lead to a unix socket.
#[track_caller]
fn forward(socket: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            let server = UnixStream::connect(&socket).expect("containerd's socket");
            let (answers, asked) = (server.try_clone().expect("a copy"), peer.try_clone().expect("a copy"));
            std::thread::spawn(move || {
                copy(asked, &server);
                drop(server.shutdown(Shutdown::Both));
            });
            std::thread::spawn(move || {
                copy(answers, &peer);
                drop(peer.shutdown(Shutdown::Both));
            });
        }
    });
    port
}

fn copy(mut from: impl Read, mut to: impl Write) {
    drop(std::io::copy(&mut from, &mut to));
}
