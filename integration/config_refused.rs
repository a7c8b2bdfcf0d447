//! What the runtime spec has and podrun does not support yet: refused by the field's name, never read and ignored.

use crate::harness::{Case, Test, case};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case!(empty_unsupported_fields_are_accepted),
        case!(what_is_not_a_namespace_or_option_is_refused),
        case!(other_platforms_are_refused),
        case!(what_the_spec_requires_is_not_made_up),
        case!(versions_that_are_not_ours_are_refused),
    ]
}

fn empty_unsupported_fields_are_accepted(t: &Test) {
    let podrun = t.podrun();
    for (pointer, value) in [
        ("/hooks", json!({})),
        ("/hooks", json!({"prestart": []})),
        ("/process/apparmorProfile", json!("")),
        ("/process/selinuxLabel", json!("")),
        ("/linux/uidMappings", json!([])),
        ("/linux/mountLabel", json!("")),
        ("/linux/timeOffsets", json!({})),
        ("/linux/resources/hugepageLimits", json!([])),
    ] {
        let bundle = t.bundle().args(&["/bin/probe", "exit", "0"]).set(pointer, value.clone());
        let out = podrun.run_bundle(&bundle, "c");
        if out.code() != 0 {
            out.fail(&format!("{pointer} = {value} has no effect and needs no refusal"));
        }
    }
}

fn what_is_not_a_namespace_or_option_is_refused(t: &Test) {
    let podrun = t.podrun();
    podrun.run_bundle(&t.bundle().namespace("astral", Some("")), "c").refused(&["astral"]);
    let twice = t.bundle().push("/linux/namespaces", json!({"type": "pid"}));
    podrun.run_bundle(&twice, "c").refused(&["pid", "namespace"]);
    let bundle = t.bundle().mount("nosuchfs", "none", "/data", &[]);
    podrun.run_bundle(&bundle, "c").refused(&["nosuchfs", "/data"]);
}

fn other_platforms_are_refused(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().set("/windows", json!({"layerFolders": ["C:\\Layers\\layer1"]}));
    podrun.run_bundle(&bundle, "c").refused(&["windows"]);
    let bundle = t.bundle().set("/vm", json!({"kernel": {"path": "/boot/vmlinuz"}}));
    podrun.run_bundle(&bundle, "c").refused(&["vm"]);
    let bundle = t.bundle().set("/freebsd", json!({"jail": {"host": "new"}}));
    podrun.run_bundle(&bundle, "c").refused(&["freebsd"]);
    let bundle = t.bundle().set("/process/user", json!({"username": "ContainerUser"}));
    let out = podrun.run_bundle(&bundle, "c").ok();
    out.says(&["process.user.username", "ignored", "number 0"]);
}

fn what_the_spec_requires_is_not_made_up(t: &Test) {
    let podrun = t.podrun();
    for (pointer, value, field) in [
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 64}]), "process.rlimits[0].hard"),
        ("/linux/resources/devices", json!([{"access": "rwm"}]), "linux.resources.devices[0].allow"),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 7}]), "linux.uidMappings[0].size"),
    ] {
        let bundle = t.bundle().set(pointer, value);
        podrun.run_bundle(&bundle, "c").refused(&[&format!("{field}: is missing")]);
    }
}

fn versions_that_are_not_ours_are_refused(t: &Test) {
    let podrun = t.podrun();
    for version in ["2.0.0", "0.5.0", "latest", "", "1.", "1.x"] {
        let out = podrun.run_bundle(&t.bundle().set("/ociVersion", json!(version)), "c");
        out.refused(&["ociVersion"]);
    }
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"] {
        podrun.facts(&t.bundle().set("/ociVersion", json!(version)));
    }
}
