//! The life of pods as Kubernetes documents it, with real containers: init containers, sidecars, probes, hooks,
//! termination, back-off, and all of that under another supervisor. `docs/conformance.md` tells which behaviour each shows.

use crate::harness::diary::{DEAF, Diary, exec, notes, pod, probe, says, took, until_columns};
use crate::harness::manifests::shell_pod;
use crate::harness::supervised::{Supervised, groups_of, slay};
use crate::harness::{Case, Test, case, machine, within};
use podrun::model::status::{ConditionKind, ContainerState, ContainerStatus, Phase};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(init_containers_run_in_order_and_are_retried),
        case!(a_failed_init_container_fails_a_pod_that_is_never_restarted),
        case!(sidecars_start_in_order_and_stop_last),
        case!(a_startup_probe_holds_back_the_others),
        case!(readiness_comes_and_goes),
        case!(a_failed_liveness_probe_restarts_with_its_own_grace_period),
        case!(http_and_tcp_probes),
        case!(an_exec_probe_times_out),
        case!(a_post_start_hook_runs_and_its_failure_kills),
        case!(a_pre_stop_hook_goes_before_the_signal),
        case!(a_late_pre_stop_hook_is_cut_short),
        case!(a_pre_stop_hook_sleeps),
        case!(what_outlives_its_grace_period_is_killed),
        case!(a_second_stop_shortens_the_first),
        case!(an_active_deadline_fails_the_pod),
        case!(who_takes_too_much_of_the_disk_is_evicted),
        case!(termination_messages),
        case!(a_crash_loop_backs_off),
        case!(a_back_off_outlives_the_supervisor),
        case!(an_initialization_outlives_the_supervisor),
        case!(a_pre_stop_hook_outlives_the_supervisor),
    ]
}

fn is_looping(container: &ContainerStatus) -> bool {
    matches!(&container.state, ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff")
}

fn init_containers_run_in_order_and_are_retried(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let first = "/out/at first; until [ -e /out/go ]; do sleep 0.02; done";
    let second = "/out/at second; [ -e /out/again ] || { >/out/again; exit 1; }; until [ -e /out/on ]; do sleep 0.02; done";
    let manifest = pod(t, "Always", &[("first", first), ("second", second)], &[("app", &notes("app"))]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("first", 0);
    until_columns(&podrun, ["0/1", "Init:0/2", "0"]);
    let status = pod.status();
    let condition = status.condition(ConditionKind::Initialized).expect("the condition");
    assert!(!condition.met && status.phase == Phase::Pending, "{status:#?}");
    assert_eq!(condition.message.as_deref(), Some("containers with incomplete status: [first second]"));
    diary.let_go("go");
    diary.at("second", 1);
    until_columns(&podrun, ["0/1", "Init:1/2", "1"]);
    assert_eq!(diary.labels(), ["first", "second", "second"]);
    diary.let_go("on");
    diary.at("app", 0);
    until_columns(&podrun, ["1/1", "Running", "0"]);
    assert_eq!((pod.container("first").restart_count, pod.container("second").restart_count), (0, 1));
    assert!(pod.status().condition(ConditionKind::Initialized).expect("the condition").met);
    pod.delete();
}

fn a_failed_init_container_fails_a_pod_that_is_never_restarted(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let init = [("one", "/out/at one; exit 3"), ("two", "/out/at two")];
    let file = t.manifest(&pod(t, "Never", &init, &[("app", "/out/at app")]));
    let run = podrun.run(&["pod", "run", "-f", &file]);
    assert_ne!(run.code(), 0, "{run:?}");
    until_columns(&podrun, ["0/1", "Init:Error", "0"]);
    let pod = Supervised::of(&podrun, "p");
    assert_eq!((pod.status().phase, pod.until_ended("one").exit_code), (Phase::Failed, 3));
    assert_eq!(diary.labels(), ["one"]);
    pod.delete();
}

fn sidecars_start_in_order_and_stop_last(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let (one, two) = (notes("one"), notes("two"));
    let init = [("one", one.as_str()), ("two", two.as_str()), ("prepare", "/out/at prepare")];
    let mut manifest = pod(t, "Never", &init, &[("job", "/out/at job; sleep 0.5; /out/at done")]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(20);
    let sidecars = &mut manifest["spec"]["initContainers"];
    (sidecars[0]["restartPolicy"], sidecars[1]["restartPolicy"]) = (json!("Always"), json!("Always"));
    sidecars[0]["startupProbe"] = exec("test -e /out/go");
    sidecars[0]["startupProbe"]["periodSeconds"] = json!(1);
    sidecars[0]["startupProbe"]["failureThreshold"] = json!(30);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("one", 0);
    says(&pod, "Startup probe failed");
    until_columns(&podrun, ["0/3", "Init:0/3", "0"]);
    assert_eq!(diary.labels(), ["one"], "nothing follows before it has started");
    diary.let_go("go");
    diary.at("one-stopped", 0);
    until_columns(&podrun, ["0/3", "Completed", "0"]);
    let order = ["one", "two", "prepare", "job", "done", "two-stopped", "one-stopped"];
    assert_eq!(diary.labels(), order);
    assert_eq!(pod.status().phase, Phase::Succeeded);
    pod.delete();
}

fn a_startup_probe_holds_back_the_others(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    let app = &mut manifest["spec"]["containers"][0];
    app["startupProbe"] = probe(exec("/out/at startup; test -e /out/started"));
    app["startupProbe"]["failureThreshold"] = json!(30);
    app["livenessProbe"] = probe(exec("/out/at liveness"));
    app["readinessProbe"] = probe(exec("/out/at readiness"));
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("startup", 2);
    let app = pod.container("app");
    assert!(!app.started && !app.ready && app.state.is_running(), "{app:#?}");
    assert_eq!(diary.count("liveness") + diary.count("readiness"), 0);
    diary.let_go("started");
    diary.at("liveness", 3);
    diary.at("readiness", 0);
    pod.until("app", "started and ready", |app| app.started && app.ready);
    took("three periods of a probe", diary.at("liveness", 3) - diary.at("liveness", 0), 3.0);
    let asked = diary.count("startup");
    diary.at("liveness", 4);
    assert_eq!((diary.count("startup"), pod.container("app").restart_count), (asked, 0));
    pod.delete();
}

fn readiness_comes_and_goes(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app")), ("other", &notes("other"))]);
    manifest["spec"]["containers"][0]["readinessProbe"] = probe(exec("cat /out/ready"));
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    for _ in 0..2 {
        until_columns(&podrun, ["1/2", "Running", "0"]);
        says(
            &pod,
            "Unhealthy Readiness probe failed: cat: can't open '/out/ready': No such file or directory",
        );
        let status = pod.status();
        for kind in [ConditionKind::Ready, ConditionKind::ContainersReady] {
            let condition = status.condition(kind).expect("the condition");
            assert_eq!((condition.met, condition.reason.as_deref()), (false, Some("ContainersNotReady")));
            assert_eq!(condition.message.as_deref(), Some("containers with unready status: [app]"));
        }
        diary.let_go("ready");
        until_columns(&podrun, ["2/2", "Running", "0"]);
        assert!(pod.status().condition(ConditionKind::Ready).expect("the condition").met);
        diary.hold("ready");
    }
    pod.delete();
}

fn a_failed_liveness_probe_restarts_with_its_own_grace_period(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", DEAF)]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let app = &mut manifest["spec"]["containers"][0];
    app["livenessProbe"] = probe(exec("test -e /out/alive || { echo no life; exit 1; }"));
    app["livenessProbe"]["terminationGracePeriodSeconds"] = json!(3);
    diary.let_go("alive");
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    pod.until("app", "ready", |app| app.ready);
    diary.hold("alive");
    diary.at("signal", 0);
    diary.let_go("alive");
    says(&pod, "Unhealthy Liveness probe failed: no life");
    says(&pod, "Killing Container app failed liveness probe, will be restarted");
    pod.until_running("app", 1);
    took("the probe's grace period", diary.at("up", 1) - diary.at("signal", 0), 3.0);
    let last = pod.container("app").last_state.expect("how it ended");
    assert_eq!((last.exit_code, last.reason.as_str()), (137, "Error"));
    until_columns(&podrun, ["1/1", "Running", "1"]);
    pod.delete();
}

fn http_and_tcp_probes(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    t.directory("out/www");
    let tcp = "until [ -e /out/listen ]; do sleep 0.02; done; exec nc -ll -p 9000 -e true";
    let mut manifest = pod(t, "Always", &[], &[("web", "exec httpd -f -p 8080 -h /out/www"), ("tcp", tcp)]);
    let [web, tcp] = [0, 1].map(|index| manifest["spec"]["containers"][index].take());
    let (mut web, mut tcp) = (web, tcp);
    web["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    web["readinessProbe"] = probe(json!({"httpGet": {"path": "/health", "port": "http"}}));
    tcp["readinessProbe"] = probe(json!({"tcpSocket": {"port": 9000}}));
    manifest["spec"]["containers"] = json!([web, tcp]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    says(&pod, "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 404");
    says(&pod, "9000: connect: connection refused");
    assert!(!pod.container("web").ready && !pod.container("tcp").ready);
    diary.let_go("www/health");
    pod.until("web", "ready", |web| web.ready);
    assert!(!pod.container("tcp").ready);
    diary.let_go("listen");
    pod.until("tcp", "ready", |tcp| tcp.ready);
    pod.delete();
}

fn an_exec_probe_times_out(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    let app = &mut manifest["spec"]["containers"][0];
    app["livenessProbe"] = probe(exec("/out/at asked; sleep 61"));
    app["livenessProbe"]["timeoutSeconds"] = json!(2);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    took("the probe's time-out", diary.at("app-stopped", 0) - diary.at("asked", 0), 2.0);
    says(&pod, "Unhealthy Liveness probe failed: command");
    says(&pod, "timed out");
    pod.until_running("app", 1);
    pod.delete();
}

fn a_post_start_hook_runs_and_its_failure_kills(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Never", &[], &[("good", &notes("good")), ("bad", &notes("bad"))]);
    let containers = &mut manifest["spec"]["containers"];
    containers[0]["lifecycle"] = json!({"postStart": exec("/out/at hook")});
    containers[1]["lifecycle"] =
        json!({"postStart": exec("until grep -q bad /out/diary; do sleep 0.02; done; exit 1")});
    let run = podrun.run(&["pod", "run", "-d", "-f", &t.manifest(&manifest)]);
    run.exits(1)
        .says(&["cannot start pod \"p\": cannot start container \"bad\": its postStart hook failed\n"]);
    let pod = Supervised::of(&podrun, "p");
    says(&pod, "FailedPostStartHook PostStartHook failed");
    says(&pod, "Killing FailedPostStartHook");
    pod.until_ended("bad");
    assert_eq!((diary.count("hook"), diary.count("bad-stopped"), diary.count("good-stopped")), (1, 1, 0));
    assert!(pod.container("good").ready);
    pod.delete();
}

fn a_pre_stop_hook_goes_before_the_signal(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(30);
    let hook = exec("/out/at hook; sleep 1; /out/at hooked");
    manifest["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("app", 0);
    podrun.run(&["pod", "stop", "p"]).ok();
    assert_eq!(diary.labels(), ["app", "hook", "hooked", "app-stopped"]);
    assert_eq!(pod.until_ended("app").exit_code, 0);
    took("the hook", diary.at("app-stopped", 0) - diary.at("hook", 0), 1.0);
    pod.delete();
}

fn a_late_pre_stop_hook_is_cut_short(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", DEAF)]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(3);
    let hook = exec("/out/at hook; sleep 61; /out/at hooked");
    manifest["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("up", 0);
    let since = Instant::now();
    podrun.run(&["pod", "stop", "p"]).ok();
    took("grace period and 2 s more", since.elapsed().as_secs_f64(), 5.0);
    took("the grace period", diary.at("signal", 0) - diary.at("hook", 0), 3.0);
    assert_eq!((pod.until_ended("app").exit_code, diary.count("hooked")), (137, 0));
    pod.delete();
}

fn a_pre_stop_hook_sleeps(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(30);
    manifest["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 2}}});
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("app", 0);
    let since = Instant::now();
    podrun.run(&["pod", "stop", "p"]).ok();
    took("the hook", since.elapsed().as_secs_f64(), 2.0);
    assert_eq!(diary.labels(), ["app", "app-stopped"]);
    pod.delete();
}

fn what_outlives_its_grace_period_is_killed(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("deaf", DEAF), ("good", &notes("good"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(4);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("up", 0);
    diary.at("good", 0);
    let since = Instant::now();
    let stop = podrun.cmd(&["pod", "stop", "p"]).spawn();
    diary.at("good-stopped", 0);
    until_columns(&podrun, ["1/2", "Terminating", "0"]);
    assert!(podrun.object("p")["metadata"]["deletionTimestamp"].is_string());
    stop.finish().ok();
    took("the grace period", since.elapsed().as_secs_f64(), 4.0);
    assert_eq!((pod.until_ended("deaf").exit_code, pod.until_ended("good").exit_code), (137, 0));
    pod.delete();
}

fn a_second_stop_shortens_the_first(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", DEAF)]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let file = t.manifest(&manifest);
    let pod = Supervised::run(&podrun, "p", &file);
    diary.at("up", 0);
    let first = podrun.cmd(&["pod", "stop", "p"]).spawn();
    diary.at("signal", 0);
    let since = Instant::now();
    podrun.run(&["pod", "stop", "p", "--grace-period", "3"]).ok();
    took("the second grace period", since.elapsed().as_secs_f64(), 3.0);
    first.finish().ok();
    assert_eq!((pod.until_ended("app").exit_code, diary.count("signal")), (137, 1));
    pod.delete();
    // By force at once, whatever is under way.
    let pod = Supervised::run(&podrun, "p", &file);
    diary.at("up", 1);
    let first = podrun.cmd(&["pod", "stop", "p"]).spawn();
    diary.at("signal", 1);
    let since = Instant::now();
    podrun.run(&["pod", "delete", "p", "--force", "--grace-period=0"]).ok();
    took("a delete by force", since.elapsed().as_secs_f64(), 0.0);
    first.finish();
    assert_eq!(podrun.pod_names(), [""; 0]);
    assert!(groups_of(&pod.uid).is_empty());
}

fn an_active_deadline_fails_the_pod(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    manifest["spec"]["activeDeadlineSeconds"] = json!(3);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    took("the deadline", diary.at("app-stopped", 0) - diary.at("app", 0), 3.0);
    pod.until_ended("app");
    until_columns(&podrun, ["0/1", "Completed", "0"]);
    let status = pod.status();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("DeadlineExceeded")));
    assert_eq!(
        status.message.as_deref(),
        Some("Pod was active on the node longer than the specified deadline")
    );
    pod.delete();
}

fn who_takes_too_much_of_the_disk_is_evicted(t: &Test) {
    let podrun = t.podrun_with_busybox();
    // A hole takes nothing, a link nothing more. The pod that stays within its limit is looked at like the others.
    let fill = |path: &str, kib: u32| {
        format!(
            "dd if=/dev/zero of={path} bs=1k count={kib} 2>/dev/null; ln {path} {path}2; truncate -s 1G {path}3; sleep 300"
        )
    };
    let shout = "while [ ! -e /v/quiet ]; do echo 0123456789012345678901234567890123456789; done; sleep 300";
    let pods = [
        ("volume", fill("/v/f", 2048), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\"."),
        (
            "layer",
            fill("/f", 3072),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.",
        ),
        (
            "logs",
            shout.to_owned(),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.",
        ),
        ("fits", fill("/v/f", 900), ""),
    ];
    let began = Instant::now();
    let running: Vec<_> = pods
        .iter()
        .map(|(name, script, _)| {
            let mut manifest = shell_pod(name, "Always", &[("app", script)]);
            let container = &mut manifest["spec"]["containers"][0];
            container["resources"] = json!({"limits": {"ephemeral-storage": "2Mi"}});
            container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
            manifest["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]);
            Supervised::run(&podrun, name, &t.manifest(&manifest))
        })
        .collect();
    for (pod, (name, _, message)) in
        running.iter().zip(&pods).filter(|(_, (.., message))| !message.is_empty())
    {
        // At the first look, or at the second if the machine is slow.
        let failed = || Some(pod.status()).filter(|status| status.phase == Phase::Failed);
        let status = within(30, failed).unwrap_or_else(|| panic!("{name}: {:#?}", pod.status()));
        assert_eq!(status.reason.as_deref(), Some("Evicted"), "{name}");
        assert_eq!(status.message.as_deref(), Some(*message), "{name}");
    }
    let fits = &running[3];
    // Once more, after it was looked at for the first time.
    std::thread::sleep(Duration::from_secs(12).saturating_sub(began.elapsed()));
    let status = fits.status();
    assert_eq!(
        (status.phase, status.events.iter().filter(|event| event.reason == "SupervisorError").count()),
        (Phase::Running, 0)
    );
    running.into_iter().for_each(Supervised::delete);
}

fn termination_messages(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let scripts = [
        ("file", "echo by file >/dev/termination-log; exit 1"),
        ("path", "echo by path >/tmp/words"),
        ("logs", "echo by log; exit 1"),
        ("fine", "echo by log"),
        ("silent", "echo by log; exit 1"),
    ];
    let mut manifest = shell_pod("p", "Never", &scripts);
    let containers = &mut manifest["spec"]["containers"];
    containers[1]["terminationMessagePath"] = json!("/tmp/words");
    for index in [0, 2, 3] {
        containers[index]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    }
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let messages = scripts.map(|(name, _)| pod.until_ended(name).message);
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(messages, [said("by file\n"), said("by path\n"), said("by log\n"), None, None]);
    pod.delete();
}

/// The pod of a page and of a sidecar that fetches it and ends, again and again.
fn fetching(t: &Test) -> Value {
    let web = "mkdir /www; echo '<h1>page</h1>' >/www/index.html; exec httpd -f -p 80 -h /www";
    let fetch = "/out/at fetch; until wget -qO- http://localhost:80; do sleep 0.02; done; /out/at fetched";
    pod(t, "Always", &[], &[("web", web), ("sidecar", fetch)])
}

fn a_crash_loop_backs_off(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let pod = Supervised::run(&podrun, "p", &t.manifest(&fetching(t)));
    pod.until("sidecar", "in a crash loop", is_looping);
    took("the first restart", diary.at("fetch", 1) - diary.at("fetched", 0), 0.0);
    until_columns(&podrun, ["1/2", "CrashLoopBackOff", "1"]);
    let told = format!("BackOff Back-off restarting failed container sidecar in pod p_default({})", pod.uid);
    says(&pod, &told);
    let previous = podrun.run(&["pod", "logs", "p", "-c", "sidecar", "--previous"]).ok();
    assert_eq!(previous.stdout, "<h1>page</h1>\n");
    took("the second restart", diary.at("fetch", 2) - diary.at("fetched", 1), 10.0);
    until_columns(&podrun, ["1/2", "CrashLoopBackOff", "2"]);
    let last = pod.container("sidecar").last_state.expect("how it ended");
    assert_eq!((last.exit_code, last.reason.as_str()), (0, "Completed"));
    assert_eq!((pod.status().phase, pod.container("web").restart_count), (Phase::Running, 0));
    pod.delete();
}

fn a_back_off_outlives_the_supervisor(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let pod = Supervised::run(&podrun, "p", &t.manifest(&fetching(t)));
    pod.until("sidecar", "in a crash loop", is_looping);
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        pod.next_supervisor();
    }
    assert!(is_looping(&pod.container("sidecar")), "{:#?}", pod.container("sidecar"));
    took("the second restart", diary.at("fetch", 2) - diary.at("fetched", 1), 10.0);
    until_columns(&podrun, ["1/2", "CrashLoopBackOff", "2"]);
    pod.delete();
}

fn an_initialization_outlives_the_supervisor(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let wait = "/out/at two; until [ -e /out/go ]; do sleep 0.02; done";
    let side = notes("side");
    let init = [("one", "/out/at one"), ("side", side.as_str()), ("two", wait), ("three", "/out/at three")];
    let mut manifest = pod(t, "OnFailure", &init, &[("app", "/out/at app; sleep 0.3; /out/at done")]);
    manifest["spec"]["initContainers"][1]["restartPolicy"] = json!("Always");
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("two", 0);
    pod.next_supervisor();
    // `two` ends while there is no supervisor, or just when the next one looks.
    let old = pod.supervisor();
    diary.let_go("go");
    slay(old);
    diary.at("side-stopped", 0);
    until_columns(&podrun, ["0/2", "Completed", "0"]);
    assert_eq!(diary.labels(), ["one", "side", "two", "three", "app", "done", "side-stopped"]);
    assert_eq!(pod.status().phase, Phase::Succeeded);
    pod.delete();
}

fn a_pre_stop_hook_outlives_the_supervisor(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(5);
    let hook = exec("/out/at hook; until [ -e /out/go ]; do sleep 0.02; done; /out/at hooked");
    manifest["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("app", 0);
    let since = Instant::now();
    let stop = podrun.cmd(&["pod", "stop", "p"]).spawn();
    diary.at("hook", 0);
    pod.next_supervisor();
    // It may have been cut off, so it is run again.
    diary.at("hook", 1);
    assert_eq!(diary.count("app-stopped"), 0);
    diary.let_go("go");
    stop.finish().ok();
    assert!(since.elapsed().as_secs_f64() < 5.0 + 0.7 * f64::from(machine::slowness()));
    assert_eq!(diary.labels().last().map(String::as_str), Some("app-stopped"));
    assert_eq!((pod.until_ended("app").exit_code, diary.count("app-stopped")), (0, 1));
    pod.delete();
}
