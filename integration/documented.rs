//! The manifests of `integration/kubernetes/`, after the examples of Kubernetes' pages: each does what its comment expects.

use crate::harness::runtime::path_text;
use crate::harness::supervised::{Supervised, groups_of};
use crate::harness::{Case, Runtime, Test, case, eventually, sources, within};
use podrun::model::status::{ContainerState, Phase};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(every_manifest_is_run_here),
        case!(active_deadline),
        case!(exec_liveness),
        case!(fail_if_init_fails),
        case!(http_liveness),
        case!(init_demo),
        case!(job_sidecar),
        case!(lifecycle_events),
        case!(msg_path),
        case!(myapp),
        case!(pod_resize),
        case!(post_start_fails),
        case!(pre_stop_sleep),
        case!(probe_level_grace),
        case!(restart_all_containers),
        case!(restart_always_and_never),
        case!(restart_on_exitcodes),
        case!(sidecar_startup),
        case!(sidecar),
        case!(slow_start),
        case!(startup_coordination),
        case!(tcp_liveness_readiness),
        case!(termination),
    ]
}

fn manifest(file: &str) -> String {
    path_text(&sources::project().join(format!("integration/kubernetes/{file}.yaml")))
}

/// podrun with the images of a manifest: nginx under its own name, busybox under all others.
#[track_caller]
fn with_images_of(t: &Test, file: &str) -> Runtime {
    let podrun = t.podrun();
    let text = std::fs::read_to_string(manifest(file)).expect("the manifest");
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).map(str::trim).collect();
    for name in names {
        let archive = if name == "nginx" { nginx() } else { sources::busybox() };
        podrun.run(&["image", "import", &archive, name]).ok();
    }
    podrun
}

fn nginx() -> String {
    path_text(&sources::project().join("rootfs/build/images/nginx.tar"))
}

/// What a condition of the pod waits for, longer than these manifests need.
#[track_caller]
fn until(pod: &Supervised<'_>, what: &str, is: impl Fn() -> bool) {
    let came = within(25, || is().then_some(()));
    assert!(came.is_some(), "not {what}: {:#?}", pod.status());
}

#[track_caller]
fn until_phase(pod: &Supervised<'_>, phase: Phase) {
    until(pod, &format!("{phase:?}"), || pod.status().phase == phase);
}

#[track_caller]
fn until_restarted(pod: &Supervised<'_>, container: &str, restarts: u32) {
    until(pod, "restarted", || pod.container(container).restart_count >= restarts);
}

#[track_caller]
fn status_column(podrun: &Runtime, name: &str) -> String {
    let table = podrun.run(&["pod", "list", name]).ok().stdout;
    let line = table.lines().nth(1).unwrap_or_else(|| panic!("no pod: {table}"));
    line.split_whitespace().nth(2).unwrap_or_default().to_owned()
}

#[track_caller]
fn happened(pod: &Supervised<'_>, event: &str) {
    let told = within(10, || pod.events().iter().any(|each| each.contains(event)).then_some(()));
    assert!(told.is_some(), "no event {event:?}: {:#?}", pod.events());
}

fn waits_for(pod: &Supervised<'_>, container: &str, wanted: &str) -> bool {
    matches!(&pod.container(container).state, ContainerState::Waiting { reason, .. } if reason == wanted)
}

fn every_manifest_is_run_here(_: &Test) {
    let directory = sources::project().join("integration/kubernetes");
    let names = std::fs::read_dir(directory).expect("the manifests").flatten();
    let names: BTreeSet<String> = names
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.replace('-', "_")))
        .collect();
    let cases = cases();
    let tested = cases.iter().filter_map(|case| case.name.split("::").nth(1)).skip(1);
    assert_eq!(names, tested.map(str::to_owned).collect());
}

fn active_deadline(t: &Test) {
    let podrun = with_images_of(t, "active-deadline");
    let since = Instant::now();
    let pod = Supervised::run(&podrun, "active-deadline", &manifest("active-deadline"));
    until_phase(&pod, Phase::Failed);
    assert!(since.elapsed() >= Duration::from_secs(2));
    assert_eq!(pod.status().reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(pod.container("main").container_id, None, "it is never made");
    pod.delete();
}

fn exec_liveness(t: &Test) {
    let podrun = with_images_of(t, "exec-liveness");
    let pod = Supervised::run(&podrun, "liveness-exec", &manifest("exec-liveness"));
    until_restarted(&pod, "liveness", 1);
    happened(
        &pod,
        "Unhealthy Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory",
    );
    happened(&pod, "Killing Container liveness failed liveness probe, will be restarted");
    pod.delete();
}

fn fail_if_init_fails(t: &Test) {
    let podrun = with_images_of(t, "fail-if-init-fails");
    let pod = Supervised::run(&podrun, "fail-pod-if-init-fails", &manifest("fail-if-init-fails"));
    until_phase(&pod, Phase::Failed);
    assert_eq!(status_column(&podrun, "fail-pod-if-init-fails"), "Init:Error");
    assert_eq!(pod.container("main").container_id, None, "it is never made");
    pod.delete();
}

fn http_liveness(t: &Test) {
    let podrun = with_images_of(t, "http-liveness");
    let pod = Supervised::run(&podrun, "liveness-http", &manifest("http-liveness"));
    until_restarted(&pod, "liveness", 1);
    happened(&pod, "Unhealthy Liveness probe failed: HTTP probe failed with statuscode: 404");
    pod.delete();
}

fn init_demo(t: &Test) {
    let podrun = with_images_of(t, "init-demo");
    let pod = Supervised::run(&podrun, "init-demo", &manifest("init-demo"));
    let page = || {
        let fetch = ["pod", "exec", "init-demo", "-c", "nginx", "--", "wget", "-qO-", "http://localhost"];
        podrun.run(&fetch).stdout.contains("made by install").then_some(())
    };
    eventually("the page", page);
    pod.delete();
}

fn job_sidecar(t: &Test) {
    let podrun = with_images_of(t, "job-sidecar");
    let pod = Supervised::run(&podrun, "myjob", &manifest("job-sidecar"));
    until_phase(&pod, Phase::Succeeded);
    assert_eq!(status_column(&podrun, "myjob"), "Completed");
    pod.delete();
}

fn lifecycle_events(t: &Test) {
    let podrun = with_images_of(t, "lifecycle-events");
    let pod = Supervised::run(&podrun, "lifecycle-demo", &manifest("lifecycle-events"));
    let shown = podrun.run(&["pod", "exec", "lifecycle-demo", "--", "cat", "/usr/share/message"]).ok();
    assert_eq!(shown.stdout, "Hello from the postStart handler\n");
    let since = Instant::now();
    podrun.run(&["pod", "stop", "lifecycle-demo"]).ok();
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert_eq!(pod.until_ended("lifecycle-demo-container").exit_code, 0);
    pod.delete();
}

fn msg_path(t: &Test) {
    let podrun = with_images_of(t, "msg-path");
    let pod = Supervised::run(&podrun, "msg-path-demo", &manifest("msg-path"));
    let messages = ["path", "logs", "fine"].map(|name| pod.until_ended(name).message);
    assert_eq!(messages, [Some("by path\n".to_owned()), Some("by log\n".to_owned()), None]);
    pod.delete();
}

fn myapp(t: &Test) {
    let podrun = with_images_of(t, "myapp");
    // A directory of the test's in the place of one that all tests would share.
    let services = t.directory("services");
    let text = std::fs::read_to_string(manifest("myapp")).expect("the manifest");
    let text = text.replace("/tmp/podrun-services", &path_text(&services));
    let file = path_text(&t.file("myapp.yaml", text));
    let pod = Supervised::run(&podrun, "myapp-pod", &file);
    pod.until("init-myservice", "running", |it| it.state.is_running());
    assert_eq!(status_column(&podrun, "myapp-pod"), "Init:0/2");
    let words = ["is waiting to start: PodInitializing"];
    podrun.run(&["pod", "logs", "myapp-pod", "-c", "init-mydb"]).refused(&words);
    t.file("services/myservice", "");
    pod.until("init-mydb", "running", |it| it.state.is_running());
    assert_eq!(status_column(&podrun, "myapp-pod"), "Init:1/2");
    t.file("services/mydb", "");
    pod.until("myapp-container", "ready", |it| it.ready);
    assert_eq!(status_column(&podrun, "myapp-pod"), "Running");
    let said = || (podrun.logs("myapp-pod", "myapp-container") == "the app runs\n").then_some(());
    eventually("its words", said);
    pod.delete();
}

fn pod_resize(t: &Test) {
    let podrun = with_images_of(t, "pod-resize");
    let text = std::fs::read_to_string(manifest("pod-resize")).expect("the manifest");
    let pod = Supervised::run(&podrun, "resize-demo", &manifest("pod-resize"));
    let init = pod.init("pause");
    let apply = |text: &str| {
        let file = path_text(&t.file("resized.yaml", text));
        assert_eq!(podrun.run(&["pod", "apply", "-f", &file]).ok().stdout, "pod/resize-demo configured\n");
    };
    let text = text.replace("cpu: 700m", "cpu: 800m");
    apply(&text);
    assert_eq!((pod.init("pause"), pod.container("pause").restart_count), (init, 0));
    apply(&text.replace("memory: 200Mi", "memory: 300Mi"));
    pod.until_running("pause", 1);
    pod.delete();
}

fn post_start_fails(t: &Test) {
    let podrun = with_images_of(t, "post-start-fails");
    let run = podrun.run(&["pod", "run", "-d", "-f", &manifest("post-start-fails")]).exits(1);
    run.says(&["cannot start container \"app\": its postStart hook failed: no\n"]);
    let pod = Supervised::of(&podrun, "post-start-fails");
    happened(&pod, "FailedPostStartHook PostStartHook failed");
    until_restarted(&pod, "app", 1);
    until(&pod, "in a crash loop", || waits_for(&pod, "app", "CrashLoopBackOff"));
    pod.delete();
}

fn pre_stop_sleep(t: &Test) {
    let podrun = with_images_of(t, "pre-stop-sleep");
    let pod = Supervised::run(&podrun, "pre-stop-sleep", &manifest("pre-stop-sleep"));
    let since = Instant::now();
    podrun.run(&["pod", "delete", "pre-stop-sleep"]).ok();
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(3600), "{took:?}");
    assert!(groups_of(&pod.uid).is_empty());
}

fn probe_level_grace(t: &Test) {
    let podrun = with_images_of(t, "probe-level-grace");
    let pod = Supervised::run(&podrun, "probe-level-grace", &manifest("probe-level-grace"));
    until_restarted(&pod, "test", 1);
    assert_eq!(pod.container("test").last_state.map(|last| last.exit_code), Some(137));
    pod.delete();
}

fn restart_all_containers(t: &Test) {
    let podrun = with_images_of(t, "restart-all-containers");
    let pod = Supervised::run(&podrun, "ml-worker", &manifest("restart-all-containers"));
    let names = ["setup-environment", "watcher-sidecar", "main-application"];
    until(&pod, "running again", || {
        let main = pod.container("main-application");
        main.restart_count == 1 && main.state.is_running()
    });
    assert_eq!(names.map(|name| pod.container(name).restart_count), [1; 3]);
    let last = |name| pod.container(name).last_state.map(|last| last.exit_code);
    assert_eq!(names.map(last), [Some(0), Some(88), Some(137)]);
    // The volume stays; nobody was asked to stop.
    let log = ["pod", "exec", "ml-worker", "-c", "main-application", "--", "cat", "/memory/log"];
    until(&pod, "begun again in the same volume", || {
        podrun.run(&log).ok().stdout == "set up\nrunning\nset up\nrunning\n"
    });
    let described = podrun.run(&["pod", "describe", "ml-worker"]).ok().stdout;
    let condition = described.lines().find(|line| line.trim().starts_with("AllContainersRestarting"));
    assert!(condition.is_some_and(|line| line.contains("False")), "{described}");
    podrun.run(&["pod", "delete", "ml-worker", "--now"]).ok();
}

fn restart_always_and_never(t: &Test) {
    let podrun = with_images_of(t, "restart-always-and-never");
    let pod = Supervised::run(&podrun, "individual-policies", &manifest("restart-always-and-never"));
    assert_eq!(pod.until_ended("once").exit_code, 1);
    until_restarted(&pod, "always", 1);
    assert_eq!((pod.until_ended("once").exit_code, pod.container("once").restart_count), (1, 0));
    assert_eq!(pod.status().phase, Phase::Running);
    pod.delete();
}

fn restart_on_exitcodes(t: &Test) {
    let podrun = with_images_of(t, "restart-on-exitcodes");
    let pod = Supervised::run(&podrun, "restart-on-exit-codes", &manifest("restart-on-exitcodes"));
    until_phase(&pod, Phase::Succeeded);
    let container = pod.container("restart-on-exit-codes");
    assert_eq!((container.restart_count, container.last_state.map(|last| last.exit_code)), (1, Some(42)));
    pod.delete();
}

fn sidecar_startup(t: &Test) {
    let podrun = with_images_of(t, "sidecar-startup");
    let pod = Supervised::run(&podrun, "sidecar-startup", &manifest("sidecar-startup"));
    pod.until("proxy", "running", |it| it.state.is_running());
    assert_eq!(status_column(&podrun, "sidecar-startup"), "Init:0/1");
    until_phase(&pod, Phase::Succeeded);
    assert_eq!(podrun.logs("sidecar-startup", "app"), "proxy is up\n");
    pod.delete();
}

fn sidecar(t: &Test) {
    let podrun = with_images_of(t, "sidecar");
    let pod = Supervised::run(&podrun, "myapp", &manifest("sidecar"));
    let shipped = || (podrun.logs("myapp", "logshipper").matches("logging\n").count() > 1).then_some(());
    eventually("lines of the app", shipped);
    assert!(pod.container("logshipper").ready && pod.container("myapp").ready);
    podrun.run(&["pod", "stop", "myapp"]).ok();
    let [app, shipper] = ["myapp", "logshipper"].map(|name| pod.until_ended(name).finished_at);
    assert!(app <= shipper, "{app} {shipper}");
    pod.delete();
}

fn slow_start(t: &Test) {
    let podrun = with_images_of(t, "slow-start");
    let pod = Supervised::run(&podrun, "slow-start", &manifest("slow-start"));
    pod.until("slow", "running", |it| it.state.is_running() && !it.started && !it.ready);
    happened(&pod, "Unhealthy Startup probe failed");
    pod.until("slow", "started", |it| it.started && it.ready);
    assert_eq!(pod.container("slow").restart_count, 0);
    pod.delete();
}

fn startup_coordination(t: &Test) {
    let podrun = with_images_of(t, "startup-coordination");
    let name = "startup-coordination-example";
    let pod = Supervised::run(&podrun, name, &manifest("startup-coordination"));
    pod.until("main-app", "ready", |it| it.ready);
    assert!(pod.container("config-sidecar").ready);
    eventually("its words", || (podrun.logs(name, "main-app") == "greeting=hello\n").then_some(()));
    pod.delete();
}

fn tcp_liveness_readiness(t: &Test) {
    let podrun = with_images_of(t, "tcp-liveness-readiness");
    let pod = Supervised::run(&podrun, "goproxy", &manifest("tcp-liveness-readiness"));
    pod.until("goproxy", "ready", |it| it.ready);
    assert_eq!(pod.container("goproxy").restart_count, 0);
    podrun.run(&["pod", "exec", "goproxy", "--", "killall", "httpd"]).ok();
    pod.until("goproxy", "unready", |it| !it.ready);
    until_restarted(&pod, "goproxy", 1);
    pod.until("goproxy", "ready again", |it| it.ready);
    pod.delete();
}

fn termination(t: &Test) {
    let podrun = with_images_of(t, "termination");
    let pod = Supervised::run(&podrun, "termination-demo", &manifest("termination"));
    let last = || pod.container("termination-demo-container").last_state.and_then(|last| last.message);
    until(&pod, "ended", || last().as_deref() == Some("Sleep expired\n"));
    pod.delete();
}
