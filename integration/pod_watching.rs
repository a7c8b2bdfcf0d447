//! What people and programs see of manifest pods: `list` in all its forms, also as it changes, `events`, `describe`,
//! `wait` and `logs`, in kubectl's words and Kubernetes' types.

use crate::harness::diary::{Diary, exec, notes, pod, probe, says, until_columns};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Runtime, Test, case, eventually, within};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(list_watches_rows_as_they_change),
        case!(lists_are_kubernetes_own_objects),
        case!(pods_in_every_state_have_kubectls_status),
        case!(events_are_told_and_counted),
        case!(wait_takes_every_form),
        case!(logs_are_followed_through_rotation_and_chosen_by_run).seconds(120),
        case!(words_are_kubectls),
    ]
}

fn list_watches_rows_as_they_change(t: &Test) {
    let podrun = t.podrun_with_busybox();
    podrun.apply(t, &shell_pod("first", "Always", &[("app", &until_stopped(0))]));
    let watch = podrun.cmd(&["pod", "list", "-w"]).seconds(60).spawn();
    let names = podrun.cmd(&["pod", "list", "-w", "-o", "name"]).seconds(60).spawn();
    let rows = || -> Vec<[String; 4]> {
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [0, 1, 2, 3].map(|column| words.get(column).copied().unwrap_or_default().to_owned())
        };
        watch.stdout().lines().map(row).collect()
    };
    let shows = |wanted: [&str; 4]| {
        let found = within(15, || rows().contains(&wanted.map(str::to_owned)).then_some(()));
        assert!(found.is_some(), "no row {wanted:?}: {:#?}", rows());
    };
    let ends = |name: &str| {
        let last = || rows().iter().any(|row| row[0] == name && row[2] == "Terminating").then_some(());
        assert!(within(15, last).is_some(), "{name} does not end: {:#?}", rows());
    };
    shows(["first", "1/1", "Running", "0"]);
    let loops = shell_pod("second", "Always", &[("app", "exit 3")]);
    podrun.run(&["pod", "run", "-d", "--backoff-base", "1s", "-f", &t.manifest(&loops)]);
    shows(["second", "0/1", "CrashLoopBackOff", "1"]);
    shows(["second", "0/1", "CrashLoopBackOff", "2"]);
    podrun.run(&["pod", "delete", "second"]).ok();
    ends("second");
    let mut brief = shell_pod("brief", "Never", &[("a", &until_stopped(0)), ("b", &until_stopped(0))]);
    brief["spec"]["initContainers"] = json!([
        {"name": "side", "image": "busybox", "command": ["sleep", "300"], "restartPolicy": "Always"},
        {"name": "init", "image": "busybox", "command": ["true"]},
    ]);
    let brief = t.manifest(&brief);
    for _ in 0..5 {
        podrun.run(&["pod", "run", "-d", "-f", &brief]).ok();
        podrun.run(&["pod", "delete", "--grace-period", "1", "brief"]).ok();
    }
    ends("brief");
    podrun.run(&["pod", "delete", "first"]).ok();
    ends("first");
    let rows = rows();
    assert_eq!(rows.iter().filter(|row| row[0] == "NAME").count(), 1, "{rows:#?}");
    // A pod's rows are in the order in which it lived, and none is told twice in a row.
    let second: Vec<_> = rows.iter().filter(|row| row[0] == "second").collect();
    assert!(second.windows(2).all(|pair| pair[0] != pair[1]), "{second:#?}");
    let counts: Vec<u32> = second.iter().map(|row| row[3].parse().expect("a number")).collect();
    assert!(counts.is_sorted(), "{second:#?}");
    assert_eq!(second.last().map(|row| row[2].as_str()), Some("Terminating"), "{second:#?}");
    // Before its status is there it is known what containers it will have.
    let brief: Vec<_> = rows.iter().filter(|row| row[0] == "brief").collect();
    assert!(brief.iter().all(|row| row[1].ends_with("/3")), "{brief:#?}");
    for running in [watch, names] {
        running.signal(Signal::SIGINT);
        let outcome = running.finish().quietly();
        assert_eq!(outcome.code(), 130, "{outcome:?}");
        assert!(outcome.stdout.ends_with('\n') && outcome.stdout.contains("second"), "{outcome:?}");
    }
}

/// What Kubernetes' type keeps of an object: nothing is left out, and nothing is of another type.
#[track_caller]
fn is_kubernetes<T: serde::Serialize + serde::de::DeserializeOwned>(object: &Value) -> T {
    let typed: T =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    let back = serde_json::to_value(&typed).expect("JSON");
    let mut lost = Vec::new();
    compare("", object, &back, &mut lost);
    assert!(lost.is_empty(), "unknown to Kubernetes: {lost:?} in {object:#}");
    typed
}

fn compare(path: &str, ours: &Value, theirs: &Value, lost: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Null, _) => {}
        (Value::Object(fields), _) if fields.is_empty() => {}
        (Value::Object(fields), _) => {
            fields
                .iter()
                .for_each(|(key, value)| compare(&format!("{path}.{key}"), value, &theirs[key], lost));
        }
        (Value::Array(items), _) => items.iter().enumerate().for_each(|(index, item)| {
            compare(&format!("{path}[{index}]"), item, &theirs[index], lost);
        }),
        _ if ours == theirs => {}
        _ => lost.push(format!("{path}: {ours} {theirs}")),
    }
}

fn lists_are_kubernetes_own_objects(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut limited = shell_pod("crash", "Always", &[("app", &until_stopped(0)), ("crash", "exit 3")]);
    limited["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "250m"}});
    limited["spec"]["volumes"] =
        json!([{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]);
    limited["metadata"]["labels"] = json!({"a": "b"});
    podrun.apply(t, &limited);
    let mut init = shell_pod("init", "Never", &[("app", "true")]);
    init["spec"]["initContainers"] = json!([{"name": "no", "image": "busybox", "command": ["false"]}, {"name": "later", "image": "busybox"}]);
    podrun.run(&["pod", "run", "-f", &t.manifest(&init)]);
    podrun.run(&["pod", "run", "-f", &t.manifest(&shell_pod("done", "Never", &[("app", "exit 0")]))]).ok();
    podrun.pod("bare", &[]);
    eventually("a crash loop", || {
        let state = podrun.object("crash")["status"]["containerStatuses"][1]["state"].clone();
        (state["waiting"]["reason"] == "CrashLoopBackOff").then_some(())
    });
    let list: List<Pod> = is_kubernetes(&podrun.run(&["pod", "list", "-o", "json"]).ok().json());
    let phases: Vec<_> = list
        .items
        .iter()
        .map(|pod| {
            let status = pod.status.as_ref().expect("a status");
            (pod.metadata.name.as_deref().unwrap_or_default(), status.phase.as_deref().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        phases,
        [("bare", "Pending"), ("crash", "Running"), ("done", "Succeeded"), ("init", "Failed")]
    );
    conditions_are_kubernetes_own(&podrun, &list.items[1..]);
    // One that is named is no list, and YAML says the same as JSON.
    let one: Pod = is_kubernetes(&podrun.run(&["pod", "list", "crash", "-o", "json"]).ok().json());
    assert_eq!(one.metadata.name.as_deref(), Some("crash"));
    let yaml = podrun.run(&["pod", "list", "done", "-o", "yaml"]).ok().stdout;
    assert!(yaml.contains("\n  phase: Succeeded\n") && yaml.starts_with("apiVersion: v1\n"), "{yaml}");
    assert_eq!(
        podrun.run(&["pod", "list", "-o", "name"]).ok().stdout,
        "pod/bare\npod/crash\npod/done\npod/init\n"
    );
    let wide = podrun.run(&["pod", "list", "-o", "wide"]).ok().stdout;
    let header: Vec<&str> = wide.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(header, ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "PID", "CGROUP"]);
    podrun.run(&["pod", "delete", "--force", "crash", "init", "done", "bare"]).ok();
    let none = podrun.run(&["pod", "list"]).ok();
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", "No resources found in default namespace.\n")
    );
    let empty: List<Pod> = is_kubernetes(&podrun.run(&["pod", "list", "-o", "json"]).ok().json());
    assert!(empty.items.is_empty());
}

/// Each of the five, with its time; with the reasons and words that a cluster has for them.
#[track_caller]
fn conditions_are_kubernetes_own(podrun: &Runtime, pods: &[Pod]) {
    for pod in pods {
        let status = pod.status.as_ref().expect("a status");
        let conditions = status.conditions.as_deref().unwrap_or_default();
        assert_eq!(conditions.len(), 5, "{status:#?}");
        assert!(conditions.iter().all(|condition| condition.last_transition_time.is_some()), "{status:#?}");
        assert!(status.qos_class.is_some() && status.start_time.is_some(), "{status:#?}");
    }
    let condition = |name: &str, kind: &str| {
        let object = podrun.object(name);
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        (found["status"].clone(), found["reason"].clone(), found["message"].clone())
    };
    assert_eq!(
        condition("crash", "Ready"),
        (json!("False"), json!("ContainersNotReady"), json!("containers with unready status: [crash]"))
    );
    assert_eq!(condition("done", "Ready").1, "PodCompleted");
    assert_eq!(condition("done", "Initialized"), (json!("True"), json!("PodCompleted"), Value::Null));
    let inits = podrun.object("init")["status"]["initContainerStatuses"].clone();
    assert_eq!(inits[0]["state"]["terminated"]["exitCode"], 1);
    assert_eq!(inits[1]["state"]["waiting"]["reason"], "PodInitializing", "it was not its turn: {inits}");
}

fn pods_in_every_state_have_kubectls_status(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let up = until_stopped(0);
    // More than the container may have.
    let greedy = "head -c 67108864 /dev/zero | tail";
    let limits = json!({"limits": {"memory": "16Mi"}});
    let table = [
        ("completed", "Never", "", "exit 0", ["1/2", "NotReady"]),
        ("error", "Never", "", "exit 3", ["1/2", "Error"]),
        ("killed", "Never", "", "kill -9 $$", ["1/2", "Error"]),
        ("oom", "Never", "", greedy, ["1/2", "OOMKilled"]),
        ("loop", "Always", "", "exit 3", ["1/2", "CrashLoopBackOff"]),
        ("init", "Always", "sleep 1000", "exit 0", ["0/2", "Init:0/1"]),
        ("init-error", "Never", "exit 3", "exit 0", ["0/2", "Init:Error"]),
        ("init-oom", "Never", greedy, "exit 0", ["0/2", "Init:OOMKilled"]),
        ("init-loop", "Always", "exit 3", "exit 0", ["0/2", "Init:CrashLoopBackOff"]),
    ];
    for (name, policy, init, script, _) in table {
        let mut pod = shell_pod(name, policy, &[("app", script), ("other", &up)]);
        pod["spec"]["containers"][0]["resources"] = limits.clone();
        if !init.is_empty() {
            pod["spec"]["initContainers"] =
                shell_pod(name, policy, &[("first", init)])["spec"]["containers"].take();
            pod["spec"]["initContainers"][0]["resources"] = limits.clone();
        }
        podrun.run(&["pod", "run", "-d", "-f", &t.manifest(&pod)]);
    }
    let columns = |name: &str| {
        let table = podrun.run(&["pod", "list", name]).ok().stdout;
        let words: Vec<String> =
            table.lines().nth(1).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        [1, 2].map(|column| words.get(column).cloned().unwrap_or_default())
    };
    for (name, _, _, _, wanted) in table {
        let seen = within(20, || (columns(name) == wanted.map(str::to_owned)).then_some(()));
        assert!(seen.is_some(), "{name} is {:?} in place of {wanted:?}", columns(name));
    }
    let names = table.map(|(name, ..)| name);
    podrun.run(&[&["pod", "delete", "--force"], &names[..]].concat()).ok();
}

fn events_are_told_and_counted(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest =
        pod(t, "Always", &[], &[("app", &notes("app")), ("crash", "exit 3"), ("hook", &notes("hook"))]);
    let containers = &mut manifest["spec"]["containers"];
    containers[0]["readinessProbe"] = probe(exec("echo not yet; exit 1"));
    containers[2]["lifecycle"] = json!({"postStart": exec("exit 1")});
    podrun.run(&["pod", "run", "-d", "--backoff-base", "1s", "-f", &t.manifest(&manifest)]).exits(1);
    let pod = Supervised::of(&podrun, "p");
    diary.at("app", 0);
    for event in [
        "Pulled Container image \"busybox\" already present on machine",
        "Created Created container: app",
        "Started Started container app",
        "Unhealthy Readiness probe failed: not yet",
        "BackOff Back-off restarting failed container crash in pod p_default",
        "FailedPostStartHook PostStartHook failed",
        "Killing FailedPostStartHook",
    ] {
        says(&pod, event);
    }
    // Equal ones are counted, with when it began.
    let counted = within(15, || {
        let text = podrun.run(&["pod", "events", "p"]).ok().stdout;
        let line = text.lines().find(|line| line.contains("Unhealthy"))?.to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let count: u32 = words.get(1)?.strip_prefix("(x")?.parse().ok()?;
        (count >= 3 && words.get(2) == Some(&"over") && words.get(4) == Some(&"Warning")).then_some(line)
    });
    assert!(counted.is_some(), "{}", podrun.run(&["pod", "events", "p"]).ok().stdout);
    let described = podrun.run(&["pod", "describe", "p"]).ok().stdout;
    assert!(
        described.contains("Events\n") && described.contains("app: Readiness probe failed: not yet"),
        "{described}"
    );
    assert_eq!(pod.events().iter().filter(|event| event.contains("failed: not yet")).count(), 1);
    assert!(pod.events().len() <= podrun::model::status::MOST_EVENTS);
    pod.delete();
}

fn wait_takes_every_form(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let wait = |words: &[&str]| podrun.cmd(&[&["pod", "wait", "p"], words].concat()).spawn();
    let created = wait(&["--for=create"]);
    let manifest = shell_pod("p", "Never", &[("app", "until [ -e /tmp/end ]; do sleep 0.02; done; exit 4")]);
    podrun
        .run(&["pod", "wait", "p", "--for=create", "--timeout", "0"])
        .refused(&["timed out waiting for the condition on pods/p"]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    assert_eq!(created.finish().ok().stdout, "pod/p condition met\n");
    for met in [
        "condition=Ready",
        "condition=initialized=true",
        "phase=Running",
        "jsonpath={.status.phase}=Running",
        "jsonpath={.status.containerStatuses[0].ready}=true",
        "jsonpath={.metadata.uid}",
    ] {
        wait(&[&format!("--for={met}")]).finish().ok();
    }
    let ended = wait(&["--for", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=4"]);
    let failed = wait(&["--for=phase=Failed"]);
    podrun.run(&["pod", "exec", "p", "--", "touch", "/tmp/end"]).ok();
    ended.finish().ok();
    failed.finish().ok();
    wait(&["--for=jsonpath={.status.phase}=Running", "--timeout=0s"]).finish().exits(1);
    wait(&["--for=jsonpath={..x}"]).finish().exits(2);
    let gone = wait(&["--for=delete"]);
    pod.delete();
    gone.finish().ok();
}

/// Numbered lines of 13 MiB in all, which are more than one file of the log.
const FLOOD: &str = "awk 'BEGIN { for (n = 0; n < 180000; n++) printf \"line %07d ..........................................................\\n\", n }'";

fn logs_are_followed_through_rotation_and_chosen_by_run(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let script = format!(
        "/out/at run; echo first; until [ -e /out/go ]; do sleep 0.02; done; {FLOOD}; echo last; exit 1"
    );
    let mut manifest = pod(t, "OnFailure", &[], &[("app", &script), ("other", &until_stopped(0))]);
    // Its second run says something else.
    manifest["spec"]["containers"][0]["command"][2] =
        json!(format!("[ ! -e /out/go ] || {{ echo second; exec sleep 1000; }}; {script}"));
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    diary.at("run", 0);
    let follow = podrun.cmd(&["pod", "logs", "-f", "p", "-c", "app"]).seconds(100).spawn();
    eventually("the first line", || (follow.stdout() == "first\n").then_some(()));
    let none = "previous terminated container \"app\" in pod \"p\" not found";
    podrun.run(&["pod", "logs", "p", "-c", "app", "--previous"]).refused(&[none]);
    diary.let_go("go");
    // It ends with the run that it follows, with every line once and in order.
    let text = follow.finish().ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[lines.len() - 1]), (180_002, "first", "last"));
    let numbered = lines[1..=180_000].iter().enumerate();
    let torn = numbered
        .map(|(n, line)| (format!("line {n:07} "), line))
        .find(|(start, line)| !line.starts_with(start));
    assert_eq!(torn, None);
    assert!(std::fs::read_dir(pod.logs_of("app")).expect("its logs").count() > 1, "it was rotated");
    pod.until_running("app", 1);
    eventually("the second run", || (podrun.logs("p", "app") == "second\n").then_some(()));
    let logs = |words: &[&str]| podrun.run(&[&["pod", "logs", "p"], words].concat()).ok().stdout;
    assert_eq!(logs(&["-c", "app", "--previous", "--tail", "1"]), "last\n");
    assert_eq!(
        logs(&["-c", "app", "--previous", "--tail=2"])
            .lines()
            .next()
            .map(|line| line.starts_with("line 0179999")),
        Some(true)
    );
    let all = logs(&["--all-containers", "--prefix"]);
    assert_eq!(all, "[pod/p/app] second\n[pod/p/other] up\n");
    assert_eq!(logs(&["-c", "other", "--since", "1h"]), "up\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(logs(&["-c", "other", "--since", "1s"]), "");
    assert_eq!(
        logs(&["-c", "other", "--since-time", "2020-01-01T00:00:00Z", "--timestamps"]).split(' ').nth(1),
        Some("up\n")
    );
    pod.delete();
}

fn words_are_kubectls(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file =
        t.manifest(&shell_pod("p", "Always", &[("app", &until_stopped(0)), ("sidecar", &until_stopped(0))]));
    let run = |words: &[&str]| podrun.run(words);
    for words in [
        &["list", "p"][..],
        &["delete", "p"],
        &["logs", "p"],
        &["exec", "p", "--", "true"],
        &["describe", "p"],
        &["events", "p"],
    ] {
        run(&[&["pod"], words].concat()).refused(&["pods \"p\" not found\n"]);
    }
    run(&["pod", "delete", "--force", "p"]).ok();
    assert_eq!(run(&["pod", "apply", "-f", &file]).ok().stdout, "pod/p created\n");
    run(&["pod", "create", "-f", &file]).refused(&["pods \"p\" already exists"]);
    let defaulted = "Defaulted container \"app\" out of: app, sidecar\n";
    assert_eq!(run(&["pod", "exec", "p", "--", "echo", "x"]).ok().stderr, defaulted);
    assert_eq!(run(&["pod", "logs", "p"]).ok().stderr, defaulted);
    run(&["pod", "exec", "p"]).exits(2).says(&["you must specify at least one command for the container"]);
    run(&["pod", "exec", "p", "-c", "no", "--", "true"])
        .refused(&["container \"no\" is not valid for pod \"p\""]);
    let exited = run(&["pod", "exec", "p", "-c", "app", "--", "sh", "-c", "exit 7"]).exits(7);
    assert_eq!(exited.stderr, "command terminated with exit code 7\n");
    until_columns(&podrun, ["2/2", "Running", "0"]);
    assert_eq!(run(&["pod", "delete", "p"]).ok().stdout, "pod \"p\" deleted\n");
}
