//! Manifests: every example runs and does what its comments say, and what is wrong with one is said before anything is made.

use crate::harness::runtime::path_text;
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Runtime, Test, case, eventually, sources};
use nix::sys::signal::Signal;
use podrun::model::status::{ContainerState, ContainerStatus, Phase};
use std::collections::BTreeSet;

pub fn cases() -> Vec<Case> {
    let quiet = [
        case!(every_example_is_run_here),
        case!(faults_are_named_by_line_and_nothing_is_made),
        case!(faults_of_the_host_are_named_by_line),
    ];
    // Pods of manifests lie in podrun's own groups, where only a test that runs alone can see what is left.
    let pods = [
        case!(web_example),
        case!(shared_volume_example),
        case!(job_example),
        case!(env_example),
        case!(resources_example),
        case!(security_example),
        case!(shared_pid_example),
        case!(host_path_example),
        case!(init_containers_example),
        case!(sidecar_example),
        case!(probes_example),
        case!(hooks_example),
        case!(crash_loop_example),
        case!(deadline_example),
        case!(from_cluster_example),
        case!(unsupported_fields_are_ignored_when_told),
        case!(json_and_several_documents_are_read),
    ];
    quiet.into_iter().chain(pods.map(Case::exclusive)).collect()
}

/// The examples, in the order of their tests.
const EXAMPLES: [&str; 15] = [
    "web",
    "shared-volume",
    "job",
    "env",
    "resources",
    "security",
    "shared-pid",
    "host-path",
    "init-containers",
    "sidecar",
    "probes",
    "hooks",
    "crash-loop",
    "deadline",
    "from-cluster",
];

fn example(name: &str) -> String {
    path_text(&sources::project().join(format!("examples/{name}.yaml")))
}

/// podrun with the images of the examples.
#[track_caller]
fn with_images(t: &Test, names: &[&str]) -> Runtime {
    let podrun = t.podrun();
    for name in names {
        let archive = path_text(&sources::project().join(format!("rootfs/build/images/{name}.tar")));
        podrun.run(&["image", "import", &archive]).ok();
    }
    podrun
}

/// Runs an example until it ends, and removes it; what its containers wrote, in alphabetical order.
#[track_caller]
fn lines_of(podrun: &Runtime, manifest: &str) -> Vec<String> {
    let outcome = podrun.run(&["pod", "run", "--rm", "-f", manifest]).ok().quietly();
    let mut lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(podrun.pod_names(), [""; 0]);
    lines
}

fn every_example_is_run_here(_: &Test) {
    let names = std::fs::read_dir(sources::project().join("examples")).expect("the examples");
    let names: BTreeSet<String> = names
        .filter_map(|entry| {
            entry.expect("an entry").file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned)
        })
        .collect();
    assert_eq!(names, EXAMPLES.map(str::to_owned).into());
}

fn web_example(t: &Test) {
    let podrun = with_images(t, &["busybox", "nginx"]);
    let run = podrun.cmd(&["pod", "run", "--rm", "-f", &example("web")]).spawn();
    eventually("the page", || run.stdout().contains("[client] the page is there\n").then_some(()));
    eventually("nginx's log", || run.stdout().contains("\"GET / HTTP/1.1\" 200").then_some(()));
    let state = podrun.pod_state("web");
    assert_eq!((&state["phase"], &state["kind"]), (&"Running".into(), &"manifest".into()));
    run.signal(Signal::SIGINT);
    run.finish();
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn shared_volume_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    assert_eq!(lines_of(&podrun, &example("shared-volume")), ["[consumer] sum 5050"]);
}

fn job_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let run = podrun.run(&["pod", "run", "-f", &example("job")]).ok().quietly();
    assert_eq!(run.stdout, "[count] step 1\n[count] step 2\n[count] step 3\n[count] done\n");
    assert_eq!(podrun.pod_state("job")["phase"], "Succeeded");
    assert_eq!(podrun.run(&["pod", "logs", "job"]).ok().stdout, "step 1\nstep 2\nstep 3\ndone\n");
    podrun.run(&["pod", "delete", "job"]).ok();
}

fn env_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    assert_eq!(lines_of(&podrun, &example("env")), ["[greet] hello, pod 1 | $(GREETING) | $(NOBODY)"]);
}

fn resources_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let run = podrun.run(&["pod", "run", "-f", &example("resources")]).exits(137);
    assert_eq!(run.stdout, "[modest] quarter of a CPU and 32 MiB\n");
    let state = podrun.pod_state("resources");
    assert_eq!(state["phase"], "Failed");
    let greedy =
        state["containers"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "greedy"));
    let greedy = greedy.unwrap_or_else(|| panic!("no container greedy: {state}"));
    assert_eq!((&greedy["reason"], &greedy["exitCode"]), (&"OOMKilled".into(), &137.into()), "{state}");
    podrun.run(&["pod", "delete", "resources"]).ok();
}

fn security_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let lines = lines_of(&podrun, &example("security"));
    assert_eq!(
        lines,
        [
            "[confined] /scratch is not",
            "[confined] 1000",
            "[confined] CapEff:\t0000000000000000",
            "[confined] NoNewPrivs:\t1",
            "[confined] Seccomp:\t2",
            "[confined] the root file system is read-only",
        ]
    );
}

fn shared_pid_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let lines = lines_of(&podrun, &example("shared-pid"));
    for line in ["[watcher] PID 1 is pause", "[worker] tail has ended with 143"] {
        assert!(lines.iter().any(|one| one == line), "{line} is not in {lines:?}");
    }
}

fn host_path_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let directory = t.path("visits");
    let text = std::fs::read_to_string(example("host-path")).expect("the example");
    let text = text.replace("path: /tmp/podrun-example\n", &format!("path: {}\n", path_text(&directory)));
    let manifest = path_text(&t.file("host-path.yaml", &text));
    for visits in 1..=2 {
        assert_eq!(lines_of(&podrun, &manifest), ["[reader] cannot write here", "[visitor] visited"]);
        let written = std::fs::read_to_string(directory.join("visits")).expect("the host's file");
        assert_eq!(written.lines().count(), visits, "{written}");
    }
    assert!(!directory.join("mine").exists());
}

fn init_containers_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let run = podrun.run(&["pod", "run", "--rm", "-f", &example("init-containers")]).ok();
    assert_eq!(run.stdout, "[fetch] nobody answers\n[check] 1\n[show] <h1>hello</h1>\n");
    assert!(run.stderr.contains("[fetch] ended with exit code 1; started again"), "{run:?}");
}

fn sidecar_example(t: &Test) {
    let podrun = with_images(t, &["busybox", "nginx"]);
    let run = podrun.run(&["pod", "run", "--rm", "-f", &example("sidecar")]).ok();
    assert!(run.stdout.contains("[client] <p>nginx answers.</p>\n"), "{run:?}");
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn probes_example(t: &Test) {
    let podrun = with_images(t, &["busybox", "nginx"]);
    let pod = Supervised::run(&podrun, "probes", &example("probes"));
    let touch = |container: &str, path: &str| {
        podrun.run(&["pod", "exec", "probes", "-c", container, "--", "touch", path]).ok();
    };
    pod.until("web", "started", |web| web.started);
    assert!(!pod.container("web").ready);
    touch("web", "/tmp/ready");
    pod.until("web", "ready", |web| web.ready);
    touch("worker", "/tmp/stuck");
    pod.until_running("worker", 1);
    assert_eq!(pod.container("web").restart_count, 0);
    pod.delete();
}

fn hooks_example(t: &Test) {
    let podrun = with_images(t, &["busybox", "nginx"]);
    let run = podrun.cmd(&["pod", "run", "--rm", "-f", &example("hooks")]).spawn();
    eventually("the page of the hook", || run.stdout().contains("[client] hello\n").then_some(()));
    run.signal(Signal::SIGINT);
    eventually("the hook", || run.stdout().contains("[web] draining\n").then_some(()));
    run.finish();
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn crash_loop_example(t: &Test) {
    let podrun = with_images(t, &["busybox", "nginx"]);
    let pod = Supervised::run(&podrun, "crash-loop", &example("crash-loop"));
    let loops = |it: &ContainerStatus| match &it.state {
        ContainerState::Waiting { reason, .. } => reason == "CrashLoopBackOff",
        _ => false,
    };
    let sidecar = pod.until("sidecar", "in a crash loop", loops);
    assert_eq!((sidecar.restart_count, sidecar.ready), (1, false));
    assert!(pod.container("web").ready);
    pod.delete();
}

fn deadline_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let run = podrun.run(&["pod", "run", "-f", &example("deadline")]);
    assert_ne!(run.code(), 0, "{run:?}");
    assert!(run.stdout.contains("[work] step 1\n"), "{run:?}");
    let pod = Supervised::of(&podrun, "deadline");
    let status = pod.status();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("DeadlineExceeded")));
    let message = pod.until_ended("work").message.unwrap_or_default();
    assert!(message.starts_with("ended after step "), "{message:?}");
    podrun.run(&["pod", "delete", "deadline"]).ok();
}

fn from_cluster_example(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let run = podrun.run(&["pod", "run", "-f", &example("from-cluster")]).ok().quietly();
    assert_eq!(run.stdout, "[hello] hello from a cluster\n");
    let told = podrun.run(&["pod", "describe", "hello-6c9d8b7f5-x2k4q"]).ok().stdout;
    for field in ["spec.tolerations", "spec.nodeName", "kube-api-access-7lq2v", "status"] {
        assert!(told.contains(field), "describe does not list {field}:\n{told}");
    }
    podrun.run(&["pod", "delete", "hello-6c9d8b7f5-x2k4q"]).ok();
}

fn faults_are_named_by_line_and_nothing_is_made(t: &Test) {
    let podrun = t.podrun();
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: Shop\nspec:\n  containers:\n  - name: web\n    imge: nginx\n    \
                envFrom: [{prefix: A}]\n";
    let manifest = path_text(&t.file("shop.yaml", text));
    for command in [
        &["pod", "create", "-f", &manifest][..],
        &["pod", "run", "-f", &manifest],
        &["pod", "apply", "-f", &manifest],
    ] {
        podrun.run(command).refused(&[
            "Pod \"Shop\" is invalid",
            "shop.yaml:8:5: spec.containers[0].imge: unknown field of Container (did you mean image?)",
            "shop.yaml:9:5: spec.containers[0].envFrom: not supported yet",
        ]);
    }
    let syntax = path_text(&t.file("syntax.yaml", "kind: Pod\nspec: a: b\n"));
    podrun.run(&["pod", "run", "-f", &syntax]).refused(&["syntax.yaml:2:8: mapping values are not allowed"]);
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn faults_of_the_host_are_named_by_line(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let text = |image: &str, path: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shop\nspec:\n  volumes:\n  - name: data\n    hostPath:\n      \
             path: {path}\n      type: Directory\n  containers:\n  - name: web\n    image: {image}\n"
        )
    };
    let missing = path_text(&t.path("missing"));
    let manifest = path_text(&t.file("a.yaml", text("busybox", &missing)));
    podrun.run(&["pod", "create", "-f", &manifest]).refused(&["missing", "a.yaml:8"]);
    let manifest = path_text(&t.file("b.yaml", text("nobody/nothing", "/")));
    podrun.run(&["pod", "create", "-f", &manifest]).refused(&[
        "nobody/nothing",
        "b.yaml:13",
        "podrun image import",
    ]);
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn unsupported_fields_are_ignored_when_told(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: shop}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: web\n    \
                image: busybox\n    command: [echo, hello]\n    volumeDevices: [{name: disk, devicePath: /dev/disk}]\n";
    let manifest = path_text(&t.file("shop.yaml", text));
    podrun
        .run(&["pod", "run", "--rm", "-f", &manifest])
        .refused(&["volumeDevices: not supported yet", "--ignore-unsupported"]);
    let run = podrun.run(&["pod", "run", "--rm", "--ignore-unsupported", "-f", &manifest]).ok();
    assert_eq!(run.stdout, "[web] hello\n");
    assert!(
        run.stderr.contains("shop.yaml:10: spec.containers[0].volumeDevices: not supported yet, ignored"),
        "{run:?}"
    );
}

fn json_and_several_documents_are_read(t: &Test) {
    let podrun = with_images(t, &["busybox"]);
    let pod = |name: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": "busybox", "command": ["echo", "\u{1f600}"]}]},
        })
    };
    let one = t.file("one.json", serde_json::to_string_pretty(&pod("one")).expect("JSON"));
    assert_eq!(podrun.run(&["pod", "run", "--rm", "-f", &path_text(&one)]).ok().stdout, "[web] \u{1f600}\n");
    let both = format!("---\n# first\n---\n{}\n---\n{}\n", pod("one"), pod("two"));
    let run = podrun.cmd(&["pod", "run", "-d", "-f", "-"]).input(both).run().ok();
    assert_eq!(run.stdout, "pod/one created\npod/two created\n");
    let mut names = podrun.pod_names();
    names.sort_unstable();
    assert_eq!(names, ["one", "two"]);
    podrun.run(&["pod", "delete", "one", "two"]).ok();
}
