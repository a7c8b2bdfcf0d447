//! The commands on pods that are made from manifests.

use crate::harness::command::Running;
use crate::harness::console::Terminal;
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::{Case, Test, case, eventually, pods, runtime::path_text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(run_prints_logs_and_exits_as_the_first_that_failed),
        case!(run_with_rm_leaves_nothing),
        case!(run_stops_gracefully_on_a_signal_and_kills_on_the_second),
        case!(run_stops_when_nobody_reads_its_output),
        case!(run_goes_on_when_supervisor_and_keeper_are_killed),
        case!(run_notices_that_the_pod_is_deleted),
        case!(run_of_a_missing_program_exits_127),
        case!(run_of_several_pods_is_detached),
        case!(create_start_stop_delete),
        case!(apply_creates_keeps_and_refuses),
        case!(apply_takes_a_directory),
        case!(everything_is_checked_before_anything_is_made),
        case!(create_is_undone_when_a_container_cannot_be_made),
        case!(manifests_come_from_stdin_and_into_namespaces),
        case!(exec_runs_commands),
        case!(exec_gives_a_terminal_and_input_when_told),
        case!(wait_for_conditions_phases_and_the_end),
        case!(list_tells_what_kubectl_would),
        case!(describe_tells_what_the_manifest_says),
        case!(kill_signals_every_container),
        case!(delete_works_whoever_is_dead),
        case!(delete_by_two_commands_at_once),
        case!(second_deletion_shortens_the_first),
        case!(delete_kills_what_does_not_stop),
        case!(grace_period_may_be_longer_than_clocks_go),
        case!(bare_containers_do_not_join_a_manifest_pod),
        case!(images_of_pods_are_in_use),
        case!(stop_of_a_bare_pod_leaves_its_containers),
        case!(damaged_files_hide_no_other_pod),
        case!(commands_race_on_one_name).seconds(180),
    ]
}

fn run_prints_logs_and_exits_as_the_first_that_failed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let scripts = [("a", "echo one; sleep 1.2; exit 4"), ("b", "echo two >&2; exit 3"), ("c", "echo three")];
    let file = t.manifest(&shell_pod("job", "Never", &scripts));
    let out = podrun.run(&["pod", "run", "-f", &file]).exits(3);
    let mut lines: Vec<&str> = out.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[a] one", "[b] two", "[c] three"], "{out:?}");
    assert_eq!(podrun.object("job")["status"]["phase"], "Failed");
    assert_eq!(podrun.logs("job", "b"), "two\n", "the logs outlive the run");
    podrun.run(&["pod", "run", "-f", &file]).refused(&["pods \"job\" already exists"]);
    assert_eq!(podrun.run(&["pod", "delete", "job"]).ok().quietly().stdout, "pod \"job\" deleted\n");
}

fn run_with_rm_leaves_nothing(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("job", "OnFailure", &[("a", "echo hi; exit 0"), ("b", "exit 0")]));
    for _ in 0..3 {
        assert_eq!(podrun.run(&["pod", "run", "--rm", "-f", &file]).ok().stdout, "[a] hi\n");
        assert_eq!(t.corner().settle(), Vec::<String>::new());
    }
}

fn run_stops_gracefully_on_a_signal_and_kills_on_the_second(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("shop", "Always", &[("app", &until_stopped(0))]));
    let run = podrun.cmd(&["pod", "run", "--rm", "-f", &file]).spawn();
    eventually("the app runs", || run.stdout().contains("[app] up").then_some(()));
    run.signal(Signal::SIGTERM);
    let out = run.finish().ok().says(&["stopping pod \"shop\""]);
    assert!(out.stdout.ends_with("[app] bye\n"), "{out:?}");

    let mut stubborn =
        shell_pod("shop", "Always", &[("app", "trap '' TERM; echo up; while :; do sleep 0.05; done")]);
    stubborn["spec"]["terminationGracePeriodSeconds"] = json!(1000);
    let file = t.manifest(&stubborn);
    let run = podrun.cmd(&["pod", "run", "--rm", "-f", &file]).spawn();
    eventually("the app runs", || run.stdout().contains("[app] up").then_some(()));
    run.signal(Signal::SIGINT);
    eventually("it stops", || run.stderr().contains("stopping pod").then_some(()));
    run.signal(Signal::SIGINT);
    run.finish().exits(137).says(&["killing pod \"shop\""]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn run_stops_when_nobody_reads_its_output(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let talks = "trap 'exit 0' TERM; while :; do echo talk; sleep 0.05; done";
    let file = t.manifest(&shell_pod("shop", "Always", &[("app", talks)]));
    let run = podrun.cmd(&["pod", "run", "--rm", "-f", &file]);
    let out = run.under(["sh", "-c", "\"$@\" | head -n 1", "sh"]).run().ok();
    assert_eq!(out.stdout, "[app] talk\n");
    eventually("the pod is gone", || podrun.pod_names().is_empty().then_some(()));
}

fn run_goes_on_when_supervisor_and_keeper_are_killed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let counts =
        "trap 'exit 0' TERM; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 5";
    let file = t.manifest(&shell_pod("shop", "Never", &[("app", counts)]));
    let run = podrun.cmd(&["pod", "run", "-f", &file]).spawn();
    eventually("the app runs", || run.stdout().contains("[app] 3\n").then_some(()));
    let before = podrun.pair("shop");
    for pid in [before.supervisor, before.keeper].into_iter().flatten() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    }
    let out = run.finish();
    let lines: Vec<String> = (1..=40).map(|number| format!("[app] {number}")).collect();
    assert_eq!(out.stdout.lines().collect::<Vec<_>>(), lines, "{out:?}");
    let ended = &podrun.object("shop")["status"]["containerStatuses"][0]["state"]["terminated"];
    // Where the kernel does not keep the status of what others have reaped, nobody knows it.
    let known = ended["reason"] != "ContainerStatusUnknown";
    assert_eq!(out.code(), if known { 5 } else { 137 }, "{ended}");
    podrun.remove_pod("shop");
}

fn run_notices_that_the_pod_is_deleted(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("shop", "Always", &[("app", &until_stopped(0))]));
    for force in [&["--force"][..], &[]] {
        let run = podrun.cmd(&["pod", "run", "-f", &file]).spawn();
        eventually("the app runs", || run.stdout().contains("[app] up").then_some(()));
        podrun.run(&[&["pod", "delete", "shop"], force].concat()).ok();
        let out = run.finish();
        // With the grace period it may see the end of the app before that of the pod.
        assert!(out.code() == 0 || out.stderr.contains("pod \"shop\" was deleted"), "{out:?}");
    }
}

fn run_of_a_missing_program_exits_127(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let folder = t.directory("bin");
    for (name, text) in [("garbage", "\x7fELF"), ("script", "#!/no/interpreter\n")] {
        let path = t.file(&format!("bin/{name}"), text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .expect("to make it executable");
    }
    let mut pod = shell_pod("shop", "Never", &[("app", ""), ("other", "exit 0")]);
    pod["spec"]["volumes"] = json!([{"name": "bin", "hostPath": {"path": folder}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "bin", "mountPath": "/host"}]);
    for (command, code) in
        [("/no/such", 127), ("/etc/passwd", 126), ("/host/garbage", 126), ("/host/script", 127)]
    {
        pod["spec"]["containers"][0]["command"] = json!([command]);
        let out = podrun.run(&["pod", "run", "--rm", "-f", &t.manifest(&pod)]).exits(code);
        assert!(out.stderr.contains("container \"app\"") && out.stderr.contains(command), "{out:?}");
    }
    pod["spec"]["restartPolicy"] = json!("Always");
    let out = podrun.run(&["pod", "run", "-d", "-f", &t.manifest(&pod)]).exits(127);
    assert_eq!(out.stdout, "pod/shop created\n");
    out.says(&["cannot start pod \"shop\"", "container \"app\"", "the pod stays"]);
    podrun.remove_pod("shop");
}

fn run_of_several_pods_is_detached(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pods =
        ["one", "two"].map(|name| shell_pod(name, "Always", &[("app", &until_stopped(0))]).to_string());
    let file = path_text(&t.file("both.yaml", pods.join("\n---\n")));
    podrun.run(&["pod", "run", "-f", &file]).refused(&["has 2 pods", "--detach"]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
    let out = podrun.run(&["pod", "run", "-d", "-f", &file]).ok();
    assert_eq!(out.stdout, "pod/one created\npod/two created\n");
    for name in ["one", "two"] {
        assert_eq!(podrun.object(name)["status"]["phase"], "Running");
    }
    let out = podrun.run(&["pod", "delete", "-f", &file]).ok();
    assert_eq!(out.stdout, "pod \"one\" deleted\npod \"two\" deleted\n");
    podrun.run(&["pod", "delete", "-f", &file]).refused(&["\"one\" not found", "\"two\" not found"]);
    podrun.run(&["pod", "delete", "--force", "-f", &file]).ok().quietly();
}

fn create_start_stop_delete(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file =
        t.manifest(&shell_pod("shop", "Always", &[("app", &until_stopped(3)), ("side", &until_stopped(0))]));
    assert_eq!(podrun.run(&["pod", "create", "-f", &file]).ok().quietly().stdout, "pod/shop created\n");
    let status = &podrun.object("shop")["status"];
    assert_eq!(status["phase"], "Pending", "{status}");
    // Nothing runs before it is started.
    podrun.run(&["pod", "logs", "shop", "-c", "app"]).refused(&["\"app\"", "waiting to start"]);
    assert_eq!(podrun.pod_state("shop")["kind"], "manifest");
    let file_again = podrun.run(&["pod", "create", "-f", &file]);
    file_again.refused(&["pods \"shop\" already exists"]);
    for _ in 0..2 {
        assert_eq!(podrun.run(&["pod", "start", "shop"]).ok().quietly().stdout, "pod/shop started\n");
    }
    let status = &podrun.object("shop")["status"];
    assert_eq!(status["phase"], "Running", "{status}");
    assert!(status["containerStatuses"].as_array().is_some_and(|all| all.iter().all(|c| c["ready"] == true)));
    eventually("the app is up", || podrun.logs("shop", "app").contains("up").then_some(()));
    for _ in 0..2 {
        assert_eq!(podrun.run(&["pod", "stop", "shop"]).ok().quietly().stdout, "pod/shop stopped\n");
    }
    let status = &podrun.object("shop")["status"];
    assert_eq!(status["phase"], "Failed", "{status}");
    let code = |index: usize| status["containerStatuses"][index]["state"]["terminated"]["exitCode"].clone();
    assert_eq!((code(0), code(1)), (json!(3), json!(0)), "{status}");
    podrun.run(&["pod", "start", "shop"]).refused(&["cannot start pod \"shop\": it has ended (Failed)"]);
    assert_eq!(podrun.logs("shop", "app"), "up\nbye\n");
    podrun.run(&["pod", "delete", "pods/shop"]).ok();
    podrun.run(&["pod", "start", "shop"]).refused(&["pods \"shop\" not found"]);
}

fn apply_creates_keeps_and_refuses(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = shell_pod("shop", "Always", &[("app", &until_stopped(0))]);
    let file = t.manifest(&pod);
    let apply = || podrun.run(&["pod", "apply", "-f", &file]);
    assert_eq!(apply().ok().quietly().stdout, "pod/shop created\n");
    let uid = podrun.pod_state("shop")["id"].clone();
    assert_eq!(apply().ok().quietly().stdout, "pod/shop unchanged\n");
    let mut equal = pod.clone();
    equal["spec"]["dnsPolicy"] = json!("ClusterFirst");
    equal["spec"]["nodeName"] = json!("here");
    let out = podrun.run(&["pod", "apply", "-f", &t.manifest(&equal)]).ok();
    assert_eq!(out.stdout, "pod/shop unchanged\n", "what no node honours is no difference");
    let mut other = pod.clone();
    other["spec"]["containers"][0]["args"] = json!(["x"]);
    other["spec"]["hostname"] = json!("other");
    podrun.run(&["pod", "apply", "-f", &t.manifest(&other)]).refused(&[
        "spec.containers[0].args",
        "spec.hostname",
        "hint: delete it first: podrun pod delete shop",
    ]);
    assert_eq!(podrun.pod_state("shop")["id"], uid, "the pod is untouched");
    podrun.remove_pod("shop");
    t.manifest(&pod);
    podrun.run(&["pod", "create", "-f", &file]).ok();
    assert_eq!(apply().ok().stdout, "pod/shop configured\n", "what was only created is started");
    assert_eq!(podrun.object("shop")["status"]["phase"], "Running");
    podrun.remove_pod("shop");
    podrun.pod("shop", &[]);
    apply().refused(&["a bare pod of that name"]);
    podrun.remove_pod("shop");
}

fn apply_takes_a_directory(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let folder = t.directory("pods");
    podrun.run(&["pod", "apply", "-f", &path_text(&folder)]).refused(&["no manifest"]);
    for (file, name) in [("2.json", "b"), ("1.yaml", "a"), ("3.yml", "c"), ("notes.txt", "d")] {
        t.file(&format!("pods/{file}"), shell_pod(name, "Always", &[("app", &until_stopped(0))]).to_string());
    }
    let apply = || podrun.run(&["pod", "apply", "-f", &path_text(&folder)]).ok().stdout;
    assert_eq!(apply(), "pod/a created\npod/b created\npod/c created\n");
    podrun.remove_pod("b");
    assert_eq!(apply(), "pod/a unchanged\npod/b created\npod/c unchanged\n");
    podrun.run(&["pod", "delete", "--force", "a", "b", "c"]).ok();
}

fn everything_is_checked_before_anything_is_made(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: good\nspec:\n  containers:\n  - name: app\n    image: busybox\n\
        ---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: bad\nspec:\n  containers:\n  - name: app\n    image: \
        nothing/like-it\n  volumes:\n  - name: data\n    hostPath: {path: /no/such/place}\n";
    let file = path_text(&t.file("pods.yaml", text));
    for verb in [&["create"][..], &["run", "-d"], &["apply"]] {
        podrun.run(&[&["pod"], verb, &["-f", &file]].concat()).refused(&[
            "cannot create pod \"bad\"",
            "container \"app\": image \"nothing/like-it\" is not there",
            "podrun image import",
            "pods.yaml:17",
            "/no/such/place",
        ]);
        assert_eq!(podrun.pod_names(), Vec::<String>::new());
    }
    let mut always = shell_pod("shop", "Never", &[("app", "exit 0")]);
    always["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    let out = podrun.run(&["pod", "run", "--rm", "-f", &t.manifest(&always)]).ok();
    assert!(out.stderr.contains("warning") && out.stderr.contains("pulling is not supported yet"), "{out:?}");
    podrun.run(&["pod", "run", "-f", "/no/such.yaml"]).refused(&["/no/such.yaml", "no such file"]);
}

fn create_is_undone_when_a_container_cannot_be_made(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod("shop", "Always", &[("good", &until_stopped(0)), ("root", "true")]);
    pod["spec"]["containers"][1]["securityContext"] = json!({"runAsNonRoot": true});
    for verb in ["create", "run", "apply"] {
        podrun
            .run(&["pod", verb, "-f", &t.manifest(&pod)])
            .refused(&["cannot create pod \"shop\"", "\"root\""]);
        assert_eq!(podrun.pod_names(), Vec::<String>::new());
        assert_eq!(t.corner().settle(), Vec::<String>::new());
    }
}

fn manifests_come_from_stdin_and_into_namespaces(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod("shop", "Always", &[("app", &until_stopped(0))]);
    let apply = |pod: &Value, words: &[&str]| {
        podrun.cmd(&[&["pod", "apply", "-f", "-"], words].concat()).input(pod.to_string()).run()
    };
    assert_eq!(apply(&pod, &["-n", "prod"]).ok().stdout, "pod/shop created\n");
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
    assert_eq!(podrun.run(&["pod", "exec", "-n", "prod", "shop", "--", "hostname"]).ok().stdout, "shop\n");
    pod["metadata"]["namespace"] = json!("test");
    apply(&pod, &["-n", "prod"]).refused(&["\"test\" does not match the namespace \"prod\""]);
    assert_eq!(apply(&pod, &[]).ok().stdout, "pod/shop created\n");
    let all = podrun.run(&["pod", "list", "-A"]).ok().stdout;
    assert!(all.contains("prod ") && all.contains("test "), "{all}");
    let out = podrun.cmd(&["pod", "delete", "--now", "-f", "-"]).input(pod.to_string()).run().ok();
    assert_eq!(out.stdout, "pod \"shop\" deleted\n");
    podrun.run(&["pod", "delete", "--force", "-n", "prod", "shop"]).ok();
}

fn exec_runs_commands(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod(
        "shop",
        "Never",
        &[("app", &until_stopped(0)), ("side", &until_stopped(0)), ("over", "exit 3")],
    );
    pod["spec"]["containers"][1]["env"] = json!([{"name": "COLOUR", "value": "red"}]);
    podrun.apply(t, &pod);
    eventually("one is over", || podrun.run(&["pod", "list"]).stdout.contains("Error").then_some(()));
    let exec = |words: &[&str]| podrun.run(&[&["pod", "exec", "shop"], words].concat());
    let out = exec(&["--", "sh", "-c", "echo $HOSTNAME $COLOUR; echo oops >&2; exit 3"]).exits(3);
    assert_eq!(out.stdout, "shop\n");
    let said =
        "Defaulted container \"app\" out of: app, side, over\noops\ncommand terminated with exit code 3\n";
    assert_eq!(out.stderr, said);
    assert_eq!(exec(&["-c", "side", "--", "sh", "-c", "echo $COLOUR"]).ok().quietly().stdout, "red\n");
    exec(&["-c", "side", "--", "sh", "-c", "kill -9 $$"]).exits(137);
    exec(&["-c", "side", "--", "no-such-program"]).exits(127).says(&["executable file not found in $PATH"]);
    exec(&["-c", "side", "--", "/no/such"]).exits(127);
    exec(&["-c", "side", "--", "/etc/passwd"]).exits(126).says(&["permission denied"]);
    exec(&["-c", "side", "--", "/etc"]).exits(126);
    exec(&["-c", "over", "--", "true"])
        .refused(&["container \"over\" of pod \"shop\"", "ended with exit code 3"]);
    exec(&["-c", "nobody", "--", "true"]).refused(&["container \"nobody\" is not valid for pod \"shop\""]);
    exec(&["true"]).exits(2);
    podrun.run(&["pod", "exec", "ghost", "--", "true"]).refused(&["pods \"ghost\" not found"]);
    podrun.remove_pod("shop");
    podrun.pod("bare", &[]);
    podrun.run(&["pod", "exec", "bare", "--", "true"]).refused(&["bare pod", "podrun exec ID"]);
    podrun.remove_pod("bare");
}

fn exec_gives_a_terminal_and_input_when_told(t: &Test) {
    let podrun = t.podrun_with_busybox();
    podrun.apply(t, &shell_pod("shop", "Always", &[("app", &until_stopped(0))]));
    let cat = |words: &[&str]| {
        let all = [&["pod", "exec"], words, &["shop", "--", "cat"]].concat();
        podrun.cmd(&all).input("some input\n").run().ok().stdout
    };
    assert_eq!((cat(&["-i"]), cat(&[])), ("some input\n".to_owned(), String::new()));
    let mut terminal = Terminal::new(33, 77);
    terminal.write("stty size; tty; exit 7\n");
    terminal.run_inside(podrun.cmd(&["pod", "exec", "-it", "shop", "--", "sh"])).exits(7);
    terminal.read_until("33 77");
    terminal.read_until("command terminated with exit code 7");
    podrun.remove_pod("shop");
}

fn wait_for_conditions_phases_and_the_end(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let waits = "while [ ! -e /gate/open ]; do sleep 0.02; done; exit 0";
    let mut pod = shell_pod("job", "Never", &[("a", waits)]);
    let gate = t.directory("gate");
    pod["spec"]["volumes"] = json!([{"name": "gate", "hostPath": {"path": gate}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "gate", "mountPath": "/gate"}]);
    podrun.run(&["pod", "create", "-f", &t.manifest(&pod)]).ok();
    let wait = |words: &[&str]| podrun.cmd(&[&["pod", "wait", "job"], words].concat());
    wait(&["--for=condition=Ready", "--timeout", "0"])
        .run()
        .refused(&["timed out waiting for the condition on pods/job"]);
    let ready = wait(&["--for=condition=Ready"]).spawn();
    let ended = wait(&["--for=phase=succeeded", "--timeout=20s"]).spawn();
    let gone = wait(&["--for=delete", "--timeout=-1s"]).spawn();
    podrun.run(&["pod", "start", "job"]).ok();
    assert_eq!(ready.finish().ok().stdout, "pod/job condition met\n");
    // The one who reports it is dead by then, and so is the one who would start another.
    let pair = podrun.pair("job");
    for pid in [pair.supervisor, pair.keeper].into_iter().flatten() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    }
    t.file("gate/open", "");
    let ended = ended.finish();
    let unknown = podrun.object("job")["status"]["phase"] == "Failed";
    if unknown {
        ended.exits(1);
    } else {
        assert_eq!(ended.ok().stdout, "pod/job condition met\n");
    }
    wait(&["--for=condition=Ready=false"]).run().ok();
    podrun.run(&["pod", "delete", "job"]).ok();
    assert_eq!(gone.finish().ok().stdout, "pod/job condition met\n");
    wait(&["--for=delete"]).run().ok();
    wait(&["--for=condition=Ready"]).run().refused(&["pods \"job\" not found"]);
}

fn list_tells_what_kubectl_would(t: &Test) {
    let podrun = t.podrun_with_busybox();
    podrun.apply(t, &shell_pod("calm", "Always", &[("a", &until_stopped(0)), ("b", &until_stopped(0))]));
    podrun.apply(t, &shell_pod("crash", "Always", &[("a", "exit 3")]));
    podrun.apply(t, &shell_pod("done", "Never", &[("a", "exit 0")]));
    podrun.pod("bare", &[]);
    let row = |name: &str| {
        let table = podrun.run(&["pod", "list"]).ok().stdout;
        let line = table.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("calm")[..4], ["calm", "2/2", "Running", "0"]);
    assert_eq!(row("bare")[..4], ["bare", "0/0", "Pending", "0"]);
    eventually("done is Completed", || (row("done")[1..3] == ["0/1", "Completed"]).then_some(()));
    let crashed = eventually("crash has restarted", || {
        let row = row("crash");
        (row[3] == "1" && row.contains(&"ago)".to_owned())).then_some(row)
    });
    assert!(crashed[4].starts_with('('), "{crashed:?}");
    let object = podrun.object("crash");
    assert_eq!((&object["kind"], &object["apiVersion"]), (&json!("Pod"), &json!("v1")));
    assert_eq!(object["spec"]["containers"][0]["image"], "busybox", "the manifest as it was written");
    assert_eq!(object["status"]["qosClass"], "BestEffort");
    let container = &object["status"]["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3, "{container}");
    assert!(container["imageID"].as_str().is_some_and(|id| id.starts_with("sha256:")), "{container}");
    let started = object["status"]["startTime"].as_str().unwrap_or_default();
    assert!(::podrun::model::time::parse_rfc3339(started).is_some(), "{started}");
    assert_eq!(podrun.run(&["pod", "list", "-o", "name"]).ok().stdout.lines().count(), 4);
    let yaml = podrun.run(&["pod", "list", "-o", "yaml"]).ok().stdout;
    assert!(yaml.starts_with("apiVersion: v1\nitems:\n") && yaml.contains("\nkind: PodList\n"), "{yaml}");
    podrun.run(&["pod", "delete", "--force", "calm", "crash", "done", "bare"]).ok();
}

fn describe_tells_what_the_manifest_says(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod("shop", "Always", &[("app", &until_stopped(0)), ("crash", "exit 3")]);
    pod["metadata"]["labels"] = json!({"tier": "front"});
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let app = &mut pod["spec"]["containers"][0];
    app["ports"] = json!([{"containerPort": 8080, "name": "http"}]);
    app["volumeMounts"] = json!([{"name": "data", "mountPath": "/data", "readOnly": true}]);
    app["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "250m"}});
    podrun.apply(t, &pod);
    // The first crash is followed by a start at once, the second by ten seconds of this.
    eventually("it is held back", || {
        let state = podrun.object("shop")["status"]["containerStatuses"][1]["state"].clone();
        (state["waiting"]["reason"] == "CrashLoopBackOff").then_some(())
    });
    let text = podrun.run(&["pod", "describe", "shop"]).ok().stdout;
    for words in [
        "default/shop (manifest)",
        "tier=front",
        "Burstable",
        "Fields for a cluster only: spec.tolerations",
        "8080/TCP (http)",
        "data at /data, read-only",
        "cpu 250m, memory 64Mi",
        "ContainersNotReady: containers with unready status: [crash]",
        "Terminated with exit code 3",
        "Started container app",
        "emptyDir",
    ] {
        assert!(text.contains(words), "{words:?} is missing: {text}");
    }
    let drawing = text.split("Namespaces\n").nth(1).unwrap_or_default();
    assert!(drawing.contains("pause") && drawing.contains("app") && drawing.contains('┘'), "{drawing}");
    podrun.remove_pod("shop");
}

fn kill_signals_every_container(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let counts = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done";
    podrun.apply(t, &shell_pod("shop", "Never", &[("a", counts), ("b", counts)]));
    let both = |text: &str| ["a", "b"].iter().all(|name| podrun.logs("shop", name).contains(text));
    eventually("both are up", || both("up").then_some(()));
    podrun.run(&["pod", "kill", "shop", "USR1"]).ok().quietly();
    eventually("both have heard", || both("usr1").then_some(()));
    let supervisor = podrun.pair("shop").supervisor.expect("a supervisor");
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it lives");
    podrun.run(&["pod", "kill", "shop", "KILL"]).ok();
    eventually("both are dead", || (podrun.object("shop")["status"]["phase"] == "Failed").then_some(()));
    podrun.run(&["pod", "kill", "shop", "KILL"]).ok().quietly();
    podrun.remove_pod("shop");
}

fn delete_works_whoever_is_dead(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = shell_pod("shop", "Always", &[("a", &until_stopped(0)), ("b", &until_stopped(0))]);
    for victims in ["", "s", "k", "sk", "p", "skp", "a", "ska"] {
        for how in [&["--force"][..], &[]] {
            podrun.apply(t, &pod);
            let (pair, state) = (podrun.pair("shop"), podrun.pod_state("shop"));
            let pid = |value: &Value| value.as_i64().and_then(|pid| i32::try_from(pid).ok());
            for victim in victims.chars() {
                let victim = match victim {
                    's' => pair.supervisor,
                    'k' => pair.keeper,
                    'p' => pid(&state["pid"]),
                    _ => pid(&state["containers"][0]["pid"]),
                };
                let victim = victim.filter(|pid| *pid > 0).expect("it lives");
                kill(Pid::from_raw(victim), Signal::SIGKILL).expect("it lives");
            }
            podrun.run(&[&["pod", "delete", "shop"], how].concat()).ok();
            assert_eq!(t.corner().settle(), Vec::<String>::new(), "{victims:?} {how:?}");
        }
    }
}

fn delete_by_two_commands_at_once(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = shell_pod("shop", "Always", &[("a", &until_stopped(0))]);
    for how in [&["--force"][..], &[], &["--force"], &[]] {
        podrun.apply(t, &pod);
        let deletions = [0; 3].map(|_| podrun.cmd(&[&["pod", "delete", "shop"], how].concat()).spawn());
        let outcomes = deletions.map(Running::finish);
        // Whoever comes second waits for the first, and sees it gone as well; who comes too late finds no pod.
        let won = outcomes.iter().filter(|outcome| outcome.stdout.contains("deleted")).count();
        assert!(won >= 1, "{outcomes:?}");
        for outcome in outcomes.iter().filter(|outcome| outcome.code() != 0) {
            assert!(
                outcome.stderr.contains("not found") || outcome.stderr.contains("is deleting it"),
                "{outcome:?}"
            );
        }
        assert_eq!(t.corner().settle(), Vec::<String>::new());
    }
}

fn second_deletion_shortens_the_first(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = shell_pod("shop", "Always", &[("a", "trap '' TERM; while :; do sleep 0.05; done")]);
    for how in [&["--grace-period", "1"][..], &["--force"]] {
        podrun.apply(t, &pod);
        let began = Instant::now();
        let first = podrun.cmd(&["pod", "delete", "shop", "--grace-period", "600"]).spawn();
        eventually("the pod is terminating", || {
            (podrun.run(&["pod", "list"]).stdout.contains("Terminating")).then_some(())
        });
        podrun.run(&[&["pod", "delete", "shop"], how].concat()).ok();
        first.finish().ok();
        assert!(began.elapsed() < Duration::from_secs(300), "{how:?}");
        assert!(podrun.pod_names().is_empty());
    }
}

fn delete_kills_what_does_not_stop(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod("shop", "Always", &[("a", "trap '' TERM; while :; do sleep 0.05; done")]);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1000);
    for how in [&["--grace-period", "1"][..], &["--now"], &["--force"], &["--grace-period", "0"]] {
        podrun.apply(t, &pod);
        let began = Instant::now();
        podrun.run(&[&["pod", "delete", "shop"], how].concat()).ok();
        let waited = began.elapsed().as_secs_f64();
        let polite = how[0] == "--now" || how[1..] == ["1"];
        assert!(!polite || waited >= 1.0, "{how:?}: {waited}");
    }
    podrun.run(&["pod", "delete", "shop", "--force", "--grace-period", "5"]).exits(2);
    podrun.run(&["pod", "delete", "shop"]).refused(&["pods \"shop\" not found"]);
}

fn grace_period_may_be_longer_than_clocks_go(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let longest = i64::MAX.to_string();
    let mut pod = shell_pod("shop", "Always", &[("a", &until_stopped(0))]);
    podrun.apply(t, &pod);
    podrun.run(&["pod", "delete", "shop", "--grace-period", &longest]).ok();
    pod["spec"]["terminationGracePeriodSeconds"] = json!(i64::MAX);
    podrun.apply(t, &pod);
    podrun.run(&["pod", "stop", "shop"]).ok();
    podrun.remove_pod("shop");
    podrun.pod("bare", &[]);
    let polite = t.shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let out = podrun.up_in("bare", &pods::joining(polite), "c", &[]);
    podrun.wait_output(&out, "up");
    podrun.run(&["pod", "stop", "bare", "--grace-period", &longest]).ok();
    podrun.wait_status("c", "stopped");
    podrun.remove_pod("bare");
}

fn bare_containers_do_not_join_a_manifest_pod(t: &Test) {
    let podrun = t.podrun_with_busybox();
    podrun.apply(t, &shell_pod("shop", "Always", &[("a", &until_stopped(0))]));
    let bundle = t.bundle();
    podrun.run(&["create", "--pod", "shop", "--bundle", bundle.text(), "c"]).refused(&[
        "cannot join pod \"shop\"",
        "made from a manifest",
        "podrun pod create NAME",
    ]);
    let ids = podrun.ids();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(ids[0].ends_with(".a.0"), "a pod's containers are containers: {ids:?}");
    podrun.remove_pod("shop");
}

fn images_of_pods_are_in_use(t: &Test) {
    let podrun = t.podrun_with_busybox();
    podrun.apply(t, &shell_pod("shop", "Always", &[("a", &until_stopped(0))]));
    podrun.run(&["image", "remove", "busybox"]).refused(&["busybox", "pod \"shop\""]);
    podrun.run(&["image", "prune"]).ok();
    assert_eq!(podrun.run(&["pod", "exec", "shop", "--", "echo", "hi"]).ok().stdout, "hi\n");
    podrun.remove_pod("shop");
    podrun.run(&["image", "remove", "busybox"]).ok();
    let gone = shell_pod("shop", "Always", &[("a", "true")]);
    podrun.run(&["pod", "apply", "-f", &t.manifest(&gone)]).refused(&["image \"busybox\" is not there"]);
}

fn stop_of_a_bare_pod_leaves_its_containers(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("bare", &[]);
    let polite = t.shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let out = podrun.up_in("bare", &pods::joining(polite), "polite", &[]);
    podrun.wait_output(&out, "up");
    podrun.up_in("bare", &pods::sleeper(t), "deaf", &[]);
    podrun.run(&["pod", "start", "bare"]).refused(&["bare pod", "podrun start ID"]);
    let out = podrun.run(&["pod", "stop", "bare", "--grace-period", "1"]).ok().quietly();
    assert_eq!(out.stdout, "pod/bare stopped\n");
    for id in ["polite", "deaf"] {
        podrun.wait_status(id, "stopped");
    }
    podrun.remove_pod("bare");
}

fn damaged_files_hide_no_other_pod(t: &Test) {
    let podrun = t.podrun_with_busybox();
    for name in ["good", "bad"] {
        podrun.apply(t, &shell_pod(name, "Always", &[("a", &until_stopped(0))]));
    }
    let uid = podrun.pod_state("bad")["id"].as_str().map(str::to_owned).expect("a uid");
    let directory = podrun.root().join("pods").join(uid);
    for file in ["manifest.json", "spec.json", "status.json"] {
        std::fs::write(directory.join(file), "{").expect("to damage it");
        for form in [&[][..], &["-o", "wide"], &["-o", "json"], &["-o", "yaml"]] {
            let out = podrun.run(&[&["pod", "list"], form].concat()).ok();
            assert!(out.stdout.contains("good") && out.stdout.contains("bad"), "{file} {form:?}: {out:?}");
        }
        podrun.run(&["pod", "describe", "bad"]).ok();
        podrun.run(&["pod", "state", "bad"]).ok();
    }
    podrun.run(&["pod", "delete", "--force", "good", "bad"]).ok();
}

fn commands_race_on_one_name(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file =
        t.manifest(&shell_pod("shop", "Always", &[("a", &until_stopped(0)), ("b", &until_stopped(0))]));
    let lines: [&[&str]; 6] = [
        &["pod", "apply", "-f", &file],
        &["pod", "run", "-d", "-f", &file],
        &["pod", "delete", "--force", "shop"],
        &["pod", "stop", "shop"],
        &["pod", "list"],
        &["pod", "delete", "--now", "shop"],
    ];
    for round in 0..24 {
        let spawn = |(place, line): (usize, &&[&str])| {
            // So that they meet at other points each time.
            std::thread::sleep(Duration::from_millis(if place > 1 { round * 3 } else { 0 }));
            podrun.cmd(line).spawn()
        };
        let running: Vec<Running> = lines.iter().enumerate().map(spawn).collect();
        for outcome in running.into_iter().map(Running::finish) {
            assert!([0, 1].contains(&outcome.code()), "{round}: {outcome:?}");
            assert!(!outcome.stderr.contains("panicked"), "{round}: {outcome:?}");
        }
        podrun.run(&["pod", "delete", "--force", "shop"]).ok();
        assert_eq!(t.corner().settle(), Vec::<String>::new(), "round {round}");
    }
}
