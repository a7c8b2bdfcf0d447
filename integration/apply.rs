//! `pod apply` on pods that are there: what Kubernetes lets one change is changed, in place; the rest is refused by name.

use crate::harness::cgroups::limit;
use crate::harness::diary::{Diary, notes, pod, says, until_columns};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::runtime::path_text;
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Outcome, Runtime, Test, case, eventually, sources};
use podrun::model::status::Phase;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(another_image_restarts_its_container_alone),
        case!(images_of_init_containers_and_sidecars),
        case!(resources_are_brought_to_what_runs),
        case!(resources_restart_where_the_policy_says_so),
        case!(a_resize_that_the_kernel_refuses_changes_nothing),
        case!(deadlines_tolerations_grace_and_labels),
        case!(everything_else_is_refused_by_name),
        case!(several_documents_at_once),
    ]
}

#[track_caller]
fn apply(t: &Test, podrun: &Runtime, manifest: &Value) -> Outcome {
    podrun.run(&["pod", "apply", "-f", &t.manifest(manifest)])
}

#[track_caller]
fn configures(t: &Test, podrun: &Runtime, manifest: &Value) {
    let name = manifest["metadata"]["name"].as_str().expect("a name");
    assert_eq!(apply(t, podrun, manifest).ok().stdout, format!("pod/{name} configured\n"));
    assert_eq!(apply(t, podrun, manifest).ok().stdout, format!("pod/{name} unchanged\n"));
}

/// podrun with busybox under two names.
#[track_caller]
fn with_two_images(t: &Test) -> Runtime {
    let podrun = t.podrun_with_busybox();
    podrun.run(&["image", "import", &sources::busybox(), "busybox:new"]).ok();
    podrun
}

fn another_image_restarts_its_container_alone(t: &Test) {
    let podrun = with_two_images(t);
    let mut manifest = shell_pod("p", "Never", &[("app", &until_stopped(0)), ("other", &until_stopped(0))]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let other = pod.init("other");
    manifest["spec"]["containers"][0]["image"] = json!("busybox:new");
    configures(t, &podrun, &manifest);
    pod.until_running("app", 1);
    says(&pod, "Killing Container app definition changed, will be restarted");
    says(&pod, "Container image \"busybox:new\" already present on machine");
    assert_eq!((pod.init("other"), pod.container("other").restart_count), (other, 0));
    assert_eq!(podrun.object("p")["status"]["containerStatuses"][0]["image"], "busybox:new");
    until_columns(&podrun, ["2/2", "Running", "1"]);
    // One that is not there is refused before anything is done.
    manifest["spec"]["containers"][0]["image"] = json!("busybox:gone");
    apply(t, &podrun, &manifest).refused(&["image \"busybox:gone\" is not there"]);
    assert_eq!(pod.container("app").restart_count, 1);
    assert_eq!(podrun.object("p")["spec"]["containers"][0]["image"], "busybox:new");
    pod.delete();
}

fn images_of_init_containers_and_sidecars(t: &Test) {
    let (podrun, diary) = (with_two_images(t), Diary::begin(t));
    let side = notes("side");
    let init = [("first", "/out/at first"), ("side", side.as_str())];
    let mut manifest = pod(t, "Always", &init, &[("app", &notes("app"))]);
    manifest["spec"]["initContainers"][1]["restartPolicy"] = json!("Always");
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("app", 0);
    for index in [0, 1] {
        manifest["spec"]["initContainers"][index]["image"] = json!("busybox:new");
    }
    configures(t, &podrun, &manifest);
    diary.at("side", 1);
    pod.until_running("side", 1);
    assert_eq!(
        (diary.count("first"), diary.count("app")),
        (1, 1),
        "what an init container did is not done twice"
    );
    assert_eq!(pod.container("app").restart_count, 0);
    pod.delete();
}

/// A pod of one Burstable container with a limit of memory and of CPU.
fn limited(memory: &str, cpu: &str) -> Value {
    let mut manifest = shell_pod("p", "Always", &[("app", &until_stopped(0))]);
    manifest["spec"]["containers"][0]["resources"] =
        json!({"limits": {"memory": memory, "cpu": cpu}, "requests": {"memory": "8Mi", "cpu": "100m"}});
    manifest
}

#[track_caller]
fn memory_of(pid: i32) -> String {
    limit(pid, "memory", "memory.limit_in_bytes", "memory.max")
}

#[track_caller]
fn quota_of(pid: i32) -> String {
    let text = limit(pid, "cpu", "cpu.cfs_quota_us", "cpu.max");
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn resources_are_brought_to_what_runs(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &t.manifest(&limited("64Mi", "250m")));
    let pid = pod.init("app");
    assert_eq!((memory_of(pid), quota_of(pid)), ((64 << 20).to_string(), "25000".to_owned()));
    for (memory, cpu, bytes, quota) in [
        ("96Mi", "500m", 96 << 20, "50000"),
        ("32Mi", "200m", 32 << 20, "20000"),
        ("48Mi", "1", 48 << 20, "100000"),
    ] {
        configures(t, &podrun, &limited(memory, cpu));
        assert_eq!((memory_of(pid), quota_of(pid)), (bytes.to_string(), quota.to_owned()));
        let pause = pod.pause();
        let of_pod = |controller: &str, v1: &str, v2: &str| {
            let directory = crate::harness::cgroups::directory_of(pause, controller);
            let file = if crate::harness::cgroups::is_v1(controller) { v1 } else { v2 };
            crate::harness::cgroups::read_limit(directory.parent().expect("the pod's"), file)
        };
        assert_eq!(of_pod("memory", "memory.limit_in_bytes", "memory.max"), bytes.to_string());
        let pod_quota = of_pod("cpu", "cpu.cfs_quota_us", "cpu.max");
        assert_eq!(pod_quota.split(' ').next(), Some(quota));
    }
    assert_eq!((pod.init("app"), pod.container("app").restart_count), (pid, 0), "it goes on running");
    // What is made anew later has the new limits too.
    crate::harness::supervised::slay(pid);
    pod.until_running("app", 1);
    assert_eq!(memory_of(pod.init("app")), (48 << 20).to_string());
    pod.delete();
}

fn resources_restart_where_the_policy_says_so(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let with = |memory: &str, cpu: &str| {
        let mut manifest = limited(memory, cpu);
        manifest["spec"]["containers"][0]["resizePolicy"] = json!([
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "RestartContainer"},
        ]);
        manifest
    };
    let pod = Supervised::run(&podrun, "p", &t.manifest(&with("64Mi", "250m")));
    let pid = pod.init("app");
    configures(t, &podrun, &with("64Mi", "500m"));
    assert_eq!((quota_of(pid), pod.init("app")), ("50000".to_owned(), pid));
    configures(t, &podrun, &with("96Mi", "500m"));
    pod.until_running("app", 1);
    says(&pod, "Killing Container app resize requires restart");
    assert_eq!(memory_of(pod.init("app")), (96 << 20).to_string());
    let mut bad = with("96Mi", "500m");
    bad["spec"]["restartPolicy"] = json!("Never");
    apply(t, &podrun, &bad).refused(&["must be 'NotRequired' when `restartPolicy` is 'Never'"]);
    pod.delete();
}

fn a_resize_that_the_kernel_refuses_changes_nothing(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest = limited("64Mi", "250m");
    // 24 MiB that cannot be reclaimed.
    let script = "head -c 25165824 /dev/zero >/dev/shm/held; echo held; while :; do sleep 0.05; done";
    manifest["spec"]["containers"][0]["command"] = json!(["sh", "-c", script]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    eventually("its memory", || podrun.logs("p", "app").contains("held").then_some(()));
    let pid = pod.init("app");
    let mut less = manifest.clone();
    less["spec"]["containers"][0]["resources"]["limits"] = json!({"memory": "12Mi", "cpu": "500m"});
    apply(t, &podrun, &less).refused(&["cannot apply pod \"p\": cannot resize"]);
    assert_eq!((memory_of(pid), quota_of(pid)), ((64 << 20).to_string(), "25000".to_owned()));
    assert_eq!(podrun.object("p")["spec"]["containers"][0]["resources"]["limits"]["memory"], "64Mi");
    assert_eq!(apply(t, &podrun, &manifest).ok().stdout, "pod/p unchanged\n");
    assert_eq!((pod.init("app"), pod.container("app").restart_count), (pid, 0));
    pod.delete();
}

fn deadlines_tolerations_grace_and_labels(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest = shell_pod("p", "Always", &[("app", &until_stopped(0))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(-1);
    let run = apply(t, &podrun, &manifest).ok().says(&["a negative grace period is taken for 1 second"]);
    assert_eq!(run.stdout, "pod/p created\n");
    let pod = Supervised::of(&podrun, "p");
    let pid = pod.init("app");
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(1);
    assert_eq!(apply(t, &podrun, &manifest).ok().stdout, "pod/p unchanged\n");
    manifest["metadata"]["labels"] = json!({"tier": "front"});
    manifest["metadata"]["annotations"] = json!({"example.com/note": "x"});
    configures(t, &podrun, &manifest);
    assert_eq!(podrun.object("p")["metadata"]["labels"]["tier"], "front");
    manifest["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]);
    configures(t, &podrun, &manifest);
    manifest["spec"]["tolerations"] =
        json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 9}, {"operator": "Exists"}]);
    configures(t, &podrun, &manifest);
    assert_eq!(podrun.object("p")["spec"]["tolerations"][0]["tolerationSeconds"], 9);
    let mut fewer = manifest.clone();
    fewer["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    apply(t, &podrun, &fewer).refused(&[
        "the Pod \"p\" is invalid: spec.tolerations: Forbidden: existing toleration can not be modified except its",
    ]);
    manifest["spec"]["activeDeadlineSeconds"] = json!(3600);
    configures(t, &podrun, &manifest);
    for (deadline, says) in [
        (
            json!(3601),
            "spec.activeDeadlineSeconds: Invalid value: 3601: must be less than or equal to previous value",
        ),
        (
            Value::Null,
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil",
        ),
    ] {
        let mut other = manifest.clone();
        other["spec"]["activeDeadlineSeconds"] = deadline;
        apply(t, &podrun, &other).refused(&[says]);
    }
    assert_eq!((pod.init("app"), pod.container("app").restart_count), (pid, 0));
    // It counts from the pod's start, which is longer ago than this.
    manifest["spec"]["activeDeadlineSeconds"] = json!(1);
    apply(t, &podrun, &manifest).ok();
    pod.until_ended("app");
    eventually("its end", || (pod.status().phase == Phase::Failed).then_some(()));
    assert_eq!(pod.status().reason.as_deref(), Some("DeadlineExceeded"));
    pod.delete();
}

fn everything_else_is_refused_by_name(t: &Test) {
    let podrun = with_two_images(t);
    let manifest = shell_pod("p", "Always", &[("app", &until_stopped(0))]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let container = |field: &str, value: Value| {
        let mut other = manifest.clone();
        // Beside something that may be changed: all or nothing.
        other["spec"]["containers"][0]["image"] = json!("busybox:new");
        other["spec"]["containers"][0][field] = value;
        other
    };
    let of_pod = |field: &str, value: Value| {
        let mut other = manifest.clone();
        other["spec"][field] = value;
        other
    };
    let forbidden = "the Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than \
        `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
        (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
        was previously negative)";
    for (other, field) in [
        (container("args", json!(["x"])), "spec.containers[0].args"),
        (container("env", json!([{"name": "A", "value": "b"}])), "spec.containers[0].env"),
        (container("livenessProbe", probe()), "spec.containers[0].livenessProbe"),
        (
            container("resizePolicy", json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])),
            "spec.containers[0].resizePolicy.cpu",
        ),
        (of_pod("restartPolicy", json!("Never")), "spec.restartPolicy"),
        (of_pod("terminationGracePeriodSeconds", json!(2)), "spec.terminationGracePeriodSeconds"),
        (of_pod("hostNetwork", json!(true)), "spec.hostNetwork"),
    ] {
        apply(t, &podrun, &other).refused(&[
            forbidden,
            &format!("these differ: {field}\n"),
            "hint: delete it first",
        ]);
    }
    let more = shell_pod("p", "Always", &[("app", &until_stopped(0)), ("more", &until_stopped(0))]);
    apply(t, &podrun, &more)
        .refused(&["spec.containers: Forbidden: pod updates may not add or remove containers"]);
    apply(t, &podrun, &container("resources", json!({"limits": {"memory": "64Mi"}})))
        .refused(&["Pod QOS Class may not change as a result of resizing"]);
    assert_eq!(pod.container("app").restart_count, 0);
    assert_eq!(apply(t, &podrun, &manifest).ok().stdout, "pod/p unchanged\n", "nothing was changed");
    // Unless it is to be replaced.
    let replaced = podrun.run(&["pod", "apply", "--replace", "-f", &t.manifest(&more)]).ok();
    assert_eq!(replaced.stdout, "pod/p replaced\n");
    assert_ne!(podrun.pod_state("p")["id"], pod.uid.as_str());
    until_columns(&podrun, ["2/2", "Running", "0"]);
    podrun.remove_pod("p");
}

fn probe() -> Value {
    json!({"exec": {"command": ["true"]}})
}

fn several_documents_at_once(t: &Test) {
    let podrun = with_two_images(t);
    let mut pods = ["a", "b", "c"].map(|name| shell_pod(name, "Always", &[("app", &until_stopped(0))]));
    let write = |pods: &[Value]| {
        let text: Vec<String> = pods.iter().map(Value::to_string).collect();
        path_text(&t.file("all.yaml", text.join("\n---\n")))
    };
    let apply = |pods: &[Value]| podrun.run(&["pod", "apply", "-f", &write(pods)]);
    assert_eq!(apply(&pods[..2]).ok().stdout, "pod/a created\npod/b created\n");
    pods[1]["spec"]["containers"][0]["image"] = json!("busybox:new");
    assert_eq!(apply(&pods).ok().stdout, "pod/a unchanged\npod/b configured\npod/c created\n");
    // One that is refused does not stop the others.
    pods[0]["spec"]["hostname"] = json!("other");
    pods[2]["metadata"]["labels"] = json!({"x": "y"});
    let out = apply(&pods).exits(1).says(&["the Pod \"a\" is invalid", "these differ: spec.hostname"]);
    assert_eq!(out.stdout, "pod/b unchanged\npod/c configured\n");
    podrun.run(&["pod", "delete", "--force", "a", "b", "c"]).ok();
}
