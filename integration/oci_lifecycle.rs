//! The life of one container: create, start, state, kill, delete, run, list, ps.

use crate::harness::{Case, Test, case, eventually, proc, runtime::text, within};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(container_goes_through_its_statuses),
        case!(created_container_waits_for_start),
        case!(start_returns_after_exec),
        case!(state_has_the_fields_of_runc),
        case!(pid_file_has_digits_only),
        case!(unreaped_init_counts_as_stopped_and_can_be_deleted),
        case!(run_passes_the_exit_code),
        case!(run_passes_a_death_by_signal_as_128_plus_n),
        case!(run_detached_leaves_the_container_running),
        case!(run_keep_leaves_the_container_stopped),
        case!(run_forwards_signals),
        case!(run_prints_what_the_container_prints),
        case!(kill_takes_numbers_and_names),
        case!(kill_defaults_to_term),
        case!(kill_refuses_unknown_signals),
        case!(kill_of_created_container_ends_it),
        case!(kill_on_stopped_says_container_not_running),
        case!(kill_all_reaches_every_process),
        case!(start_twice_is_refused),
        case!(start_of_stopped_is_refused),
        case!(process_is_wanted_at_start_alone),
        case!(unknown_id_does_not_exist),
        case!(duplicate_id_already_exists),
        case!(delete_of_missing_fails_unless_forced),
        case!(delete_of_running_needs_force),
        case!(delete_takes_several_ids),
        case!(delete_of_created_container),
        case!(id_can_be_used_again_after_delete),
        case!(list_shows_containers_in_its_three_forms),
        case!(list_of_nothing_is_empty),
        case!(ps_prints_pids_as_json),
        case!(ps_prints_a_table),
        case!(nothing_of_podrun_stays_resident),
        case!(bundle_defaults_to_the_current_directory),
        case!(init_has_no_parent_death_signal),
        case!(last_of_repeated_globals_wins),
        case!(log_file_gets_one_json_line_on_error),
        case!(log_file_stays_empty_on_success),
        case!(pipes_of_the_caller_see_eof_when_the_container_ends),
        case!(spec_writes_a_config_that_runs),
        case!(features_and_version_answer),
        case!(works_without_path_in_the_environment),
    ]
}

fn container_goes_through_its_statuses(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "on-signal", "15", "0", "30"]);
    podrun.create(&bundle, "c");
    assert_eq!(podrun.status("c").as_deref(), Some("created"));
    podrun.run(&["start", "c"]).ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    // The probe needs a moment until it handles the signal, which init ignores by default.
    within(10, || {
        podrun.run(&["kill", "c", "TERM"]);
        (podrun.status("c").as_deref() == Some("stopped")).then_some(())
    });
    assert_eq!(podrun.status("c").as_deref(), Some("stopped"));
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(podrun.status("c"), None);
}

fn created_container_waits_for_start(t: &Test) {
    let podrun = t.podrun();
    let created = podrun.create(&t.shell("echo began"), "c");
    let pid = podrun.pid("c");
    // Not a proof, but the program would have run within this time.
    assert_eq!(within(0, || (!proc::lives(pid) || !created.later().is_empty()).then_some(())), None);
    assert_eq!(proc::status_field(pid, "Name").as_deref(), Some("podrun:init"));
    podrun.run(&["start", "c"]).ok();
    podrun.wait_output(&created, "began");
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn start_returns_after_exec(t: &Test) {
    let podrun = t.podrun();
    for round in 0..10 {
        let id = format!("c{round}");
        podrun.create(&t.bundle().args(&["/bin/probe", "sleep", "30"]), &id);
        podrun.run(&["start", &id]).ok();
        let name = proc::status_field(podrun.pid(&id), "Name");
        assert_eq!(name.as_deref(), Some("probe"), "start returned before the program was executed");
        podrun.remove(&id);
    }
}

fn state_has_the_fields_of_runc(t: &Test) {
    let podrun = t.podrun();
    let bundle =
        t.bundle().args(&["/bin/probe", "sleep", "30"]).set("/annotations", json!({"org.example.key": "v"}));
    podrun.create(&bundle, "c");
    let state = podrun.run(&["state", "c"]).ok().quietly().json();
    assert_eq!(state["id"], "c");
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], bundle.text());
    assert_eq!(state["rootfs"], format!("{}/rootfs", bundle.text()));
    assert_eq!(state["annotations"], json!({"org.example.key": "v"}));
    assert_eq!(state["owner"], "root", "{state}");
    assert!(text(&state["ociVersion"]).starts_with("1."), "{state}");
    assert!(text(&state["created"]).contains('T'), "{state}");
    assert_eq!(proc::state(podrun.pid("c")), Some('S'), "init sleeps until start");
    podrun.run(&["kill", "c", "KILL"]).ok();
    podrun.wait_status("c", "stopped");
    let stopped = podrun.run(&["state", "c"]).ok().json();
    assert_eq!(stopped["pid"], 0, "the pid of a stopped container names nobody: {stopped}");
    podrun.remove("c");
}

fn pid_file_has_digits_only(t: &Test) {
    let podrun = t.podrun();
    let file = t.path("pid");
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    podrun.run(&["create", "--bundle", bundle.text(), "--pid-file", file.to_str().unwrap(), "c"]).ok();
    let content = std::fs::read_to_string(&file).expect("the pid file");
    assert_eq!(content, podrun.pid("c").to_string());
    podrun.remove("c");
}

fn unreaped_init_counts_as_stopped_and_can_be_deleted(t: &Test) {
    podrun::sys::process::set_child_subreaper().expect("to become the one who does not reap");
    let podrun = t.podrun();
    podrun.create(&t.bundle().args(&["/bin/probe", "exit", "3"]), "c");
    let pid = podrun.pid("c");
    podrun.run(&["start", "c"]).ok();
    eventually("init is a zombie", || (proc::state(pid) == Some('Z')).then_some(()));
    assert_eq!(podrun.status("c").as_deref(), Some("stopped"));
    podrun.run(&["kill", "c", "KILL"]).refused(&["container not running"]);
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(podrun.status("c"), None);
    assert_eq!(proc::state(pid), Some('Z'), "the exit code is still there for the one who wants it");
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Exited(nix::unistd::Pid::from_raw(pid), 3)));
}

fn run_passes_the_exit_code(t: &Test) {
    let podrun = t.podrun();
    for code in [0, 1, 42, 127, 255] {
        let bundle = t.bundle().args(&["/bin/probe", "exit", &code.to_string()]);
        podrun.run_bundle(&bundle, "c").exits(code).quietly();
        assert_eq!(podrun.status("c"), None, "run deletes the container");
    }
}

fn run_passes_a_death_by_signal_as_128_plus_n(t: &Test) {
    let podrun = t.podrun();
    let running =
        podrun.cmd(&["run", "--bundle", t.bundle().args(&["/bin/probe", "sleep", "30"]).text(), "c"]).spawn();
    eventually("the container runs", || (podrun.status("c").as_deref() == Some("running")).then_some(()));
    podrun.run(&["kill", "c", "KILL"]).ok();
    running.finish().exits(137);
}

fn run_detached_leaves_the_container_running(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    let file = t.path("pid");
    podrun
        .run(&["run", "-d", "--pid-file", file.to_str().unwrap(), "--bundle", bundle.text(), "c"])
        .ok()
        .quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    assert_eq!(std::fs::read_to_string(&file).expect("the pid file"), podrun.pid("c").to_string());
    podrun.remove("c");
}

fn run_keep_leaves_the_container_stopped(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "exit", "5"]);
    podrun.run(&["run", "--keep", "--bundle", bundle.text(), "c"]).exits(5);
    assert_eq!(podrun.status("c").as_deref(), Some("stopped"));
    podrun.run(&["delete", "c"]).ok();
}

fn run_forwards_signals(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done");
    let running = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).spawn();
    eventually("the container is ready", || running.stdout().contains("ready").then_some(()));
    running.signal(Signal::SIGUSR1);
    running.finish().exits(9);
}

fn run_prints_what_the_container_prints(t: &Test) {
    let out = t.podrun().run_bundle(&t.shell("echo to-stdout; echo to-stderr >&2"), "c").ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("to-stdout\n", "to-stderr\n"));
}

/// Starts a shell that prints the name of each signal it gets.
fn listener(t: &Test, podrun: &crate::harness::Runtime, id: &str) -> crate::harness::Outcome {
    let script = "for s in HUP USR1 USR2 TERM; do trap \"echo got $s\" $s; done; echo ready; \
                  while :; do sleep 0.01; done";
    let out = podrun.up(&t.shell(script), id);
    podrun.wait_output(&out, "ready");
    out
}

fn kill_takes_numbers_and_names(t: &Test) {
    let podrun = t.podrun();
    let out = listener(t, &podrun, "c");
    for (word, count) in [("10", 1), ("USR1", 2), ("SIGUSR1", 3), ("usr1", 4), ("sigusr1", 5)] {
        podrun.run(&["kill", "c", word]).ok().quietly();
        eventually(&format!("kill {word} arrives"), || {
            (out.later().matches("got USR1").count() == count).then_some(())
        });
    }
    podrun.remove("c");
}

fn kill_defaults_to_term(t: &Test) {
    let podrun = t.podrun();
    let out = listener(t, &podrun, "c");
    podrun.run(&["kill", "c"]).ok().quietly();
    podrun.wait_output(&out, "got TERM");
    podrun.remove("c");
}

fn kill_refuses_unknown_signals(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    for word in ["NOSUCH", "0x9", "65", ""] {
        podrun.run(&["kill", "c", word]).refused(&["signal"]);
    }
    podrun.run(&["kill", "c", "-1"]).refused(&["-1"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn kill_of_created_container_ends_it(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&t.bundle(), "c");
    podrun.run(&["kill", "c", "KILL"]).ok();
    podrun.wait_status("c", "stopped");
    podrun.run(&["start", "c"]).refused(&["c"]);
    podrun.run(&["delete", "c"]).ok();
}

fn kill_on_stopped_says_container_not_running(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    for words in [["kill", "c", "TERM"], ["kill", "c", "9"]] {
        podrun.run(&words).refused(&["container not running"]);
    }
    podrun.run(&["delete", "c"]).ok();
}

fn kill_all_reaches_every_process(t: &Test) {
    let podrun = t.podrun();
    // With the host's PID namespace the death of init does not end the others.
    let bundle = t.shell("sleep 300 & sleep 300 & echo $!; wait").namespace("pid", None);
    let out = podrun.up(&bundle, "c");
    eventually("the shell has children", || out.later().ends_with('\n').then_some(()));
    let pids: Vec<i64> = serde_json::from_value(podrun.run(&["ps", "-f", "json", "c"]).ok().json()).unwrap();
    assert_eq!(pids.len(), 3, "{pids:?}");
    podrun.run(&["kill", "--all", "c", "KILL"]).ok();
    for pid in pids {
        eventually("every process is dead", || (!proc::lives(i32::try_from(pid).unwrap())).then_some(()));
    }
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn start_twice_is_refused(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    podrun.run(&["start", "c"]).refused(&["c", "running"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn start_of_stopped_is_refused(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    podrun.run(&["start", "c"]).refused(&["c", "stopped"]);
    podrun.run(&["delete", "c"]).ok();
}

fn process_is_wanted_at_start_alone(t: &Test) {
    let podrun = t.podrun();
    let missing = "process: is missing";
    for bundle in [
        t.bundle().edit(|config| drop(config.as_object_mut().expect("an object").remove("process"))),
        t.bundle().set("/process", Value::Null),
    ] {
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).ok().says(&[missing, "not be started"]);
        podrun.run(&["start", "c"]).refused(&[missing]);
        podrun.wait_status("c", "created");
        podrun.run(&["exec", "c", "/bin/probe", "exit", "7"]).exits(7);
        podrun.run(&["delete", "c"]).ok();
        podrun.run_bundle(&bundle, "c").refused(&[missing]);
    }
}

fn unknown_id_does_not_exist(t: &Test) {
    let podrun = t.podrun();
    for words in
        [&["state", "no"][..], &["start", "no"], &["kill", "no", "9"], &["delete", "no"], &["ps", "no"]]
    {
        podrun.run(words).refused(&["does not exist", "\"no\""]);
    }
}

fn duplicate_id_already_exists(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    podrun.create(&bundle, "c");
    let pid = podrun.pid("c");
    for command in ["create", "run"] {
        podrun.run(&[command, "--bundle", bundle.text(), "c"]).refused(&["already exists", "\"c\""]);
    }
    assert_eq!(
        (podrun.pid("c"), podrun.status("c").as_deref()),
        (pid, Some("created")),
        "the first is untouched"
    );
    podrun.remove("c");
}

fn delete_of_missing_fails_unless_forced(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["delete", "no"]).refused(&["does not exist"]);
    podrun.run(&["delete", "--force", "no"]).ok();
    podrun.run(&["delete", "-f", "no"]).ok();
}

fn delete_of_running_needs_force(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    podrun.run(&["delete", "c"]).refused(&["c", "running", "--force"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    assert_eq!(podrun.status("c"), None);
}

fn delete_takes_several_ids(t: &Test) {
    let podrun = t.podrun();
    for id in ["a", "b"] {
        podrun.create(&t.bundle(), id);
    }
    // What is missing is said; what is there goes all the same.
    podrun.run(&["delete", "--force", "a", "no", "b"]).ok();
    assert!(podrun.ids().is_empty());
}

fn delete_of_created_container(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&t.bundle(), "c");
    let pid = podrun.pid("c");
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(!proc::lives(pid));
}

fn id_can_be_used_again_after_delete(t: &Test) {
    let podrun = t.podrun();
    for code in [1, 2, 3] {
        let bundle = t.bundle().args(&["/bin/probe", "exit", &code.to_string()]);
        podrun.run_bundle(&bundle, "same").exits(code);
    }
}

fn list_shows_containers_in_its_three_forms(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]).set("/annotations", json!({"a": "b"}));
    podrun.create(&bundle, "one");
    podrun.up(&bundle, "two");
    let mut ids = podrun.ids();
    ids.sort();
    assert_eq!(ids, ["one", "two"]);
    let list = podrun.run(&["list", "-f", "json"]).ok().json();
    let one = list.as_array().and_then(|all| all.iter().find(|c| c["id"] == "one").cloned()).expect("one");
    assert_eq!(one["status"], "created");
    assert_eq!(one["bundle"], bundle.text());
    assert_eq!(one["pid"], podrun.pid("one"));
    assert_eq!(one["annotations"], json!({"a": "b"}));
    let table = podrun.run(&["list"]).ok().stdout;
    let head: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert!(table.lines().any(|line| line.starts_with("two ") && line.contains("running")), "{table}");
    podrun.run(&["delete", "-f", "one", "two"]).ok();
}

fn list_of_nothing_is_empty(t: &Test) {
    let podrun = t.podrun();
    assert_eq!(podrun.run(&["list", "-q"]).ok().quietly().stdout, "");
    let json = podrun.run(&["list", "-f", "json"]).ok().json();
    assert!(json.is_null() || json == json!([]), "{json}");
}

fn ps_prints_pids_as_json(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.up(&t.shell("sleep 300 & echo ready; wait"), "c");
    podrun.wait_output(&out, "ready");
    for words in [["ps", "--format", "json", "c"], ["ps", "-f", "json", "c"]] {
        let pids: Vec<i32> =
            serde_json::from_value(podrun.run(&words).ok().json()).expect("an array of numbers");
        assert!(pids.contains(&podrun.pid("c")) && pids.len() == 2, "{pids:?}");
    }
    podrun.remove("c");
}

fn ps_prints_a_table(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    let pid = podrun.pid("c").to_string();
    for words in [&["ps", "c"][..], &["ps", "c", "-e", "-f"]] {
        let table = podrun.run(words).ok().stdout;
        let mut lines = table.lines();
        assert!(lines.next().is_some_and(|head| head.contains("PID")), "{table}");
        let rows: Vec<&str> = lines.collect();
        assert!(rows.len() == 1 && rows[0].split_whitespace().any(|word| word == pid), "{table}");
    }
    // The date before it has blanks.
    podrun.run(&["ps", "c", "-e", "-o", "lstart,pid"]).refused(&["is no PID", "put pid first"]);
    let table = podrun.run(&["ps", "c", "-e", "-o", "pid,lstart"]).ok().stdout;
    assert!(table.lines().count() == 2 && table.contains(&pid), "{table}");
    podrun.remove("c");
}

fn nothing_of_podrun_stays_resident(t: &Test) {
    let podrun = t.podrun();
    let before = proc::descendants(proc::parent(own_pid()).expect("the warden"));
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    let init = podrun.pid("c");
    let after = proc::descendants(proc::parent(own_pid()).expect("the warden"));
    let new: Vec<i32> = after.difference(&before).copied().collect();
    assert_eq!(new, [init], "one process per container, init");
    assert_eq!(proc::parent(init), proc::parent(own_pid()), "init belongs to the subreaper");
    podrun.remove("c");
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn bundle_defaults_to_the_current_directory(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "exit", "4"]);
    podrun.cmd(&["run", "c"]).within_directory(bundle.directory()).run().exits(4);
    podrun.cmd(&["create", "c"]).within_directory(bundle.directory()).run().ok();
    assert_eq!(podrun.run(&["state", "c"]).ok().json()["bundle"], bundle.text());
    podrun.remove("c");
    podrun.cmd(&["run", "-b", "b1/../b0", "c"]).within_directory(t.place()).run().refused(&["b1"]);
    podrun.cmd(&["run", "-b", "b0", "c"]).within_directory(t.place()).run().exits(4);
}

fn init_has_no_parent_death_signal(t: &Test) {
    let podrun = t.podrun();
    let facts = podrun.facts(&t.bundle());
    assert_eq!(facts["parent_death_signal"], 0);
    // containerd's shim and conmon start the runtime with one, which must not reach init.
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    let create = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]);
    create.under(["setpriv", "--pdeathsig", "KILL"]).run().ok();
    podrun.cmd(&["start", "c"]).under(["setpriv", "--pdeathsig", "KILL"]).run().ok();
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn last_of_repeated_globals_wins(t: &Test) {
    let podrun = t.podrun();
    let elsewhere = t.directory("elsewhere");
    let words = ["--root", elsewhere.to_str().unwrap(), "--log-format", "json", "--log-format=text"];
    let twice = podrun.only_globals(&words).with_globals(&[
        "--root",
        podrun.root().to_str().unwrap(),
        "--data-root",
        podrun.data_root().to_str().unwrap(),
    ]);
    podrun.create(&t.bundle(), "c");
    assert_eq!(twice.status("c").as_deref(), Some("created"));
    assert_eq!(std::fs::read_dir(&elsewhere).expect("it is there").count(), 0);
    podrun.remove("c");
}

fn log_file_gets_one_json_line_on_error(t: &Test) {
    let log = t.path("log.json");
    let podrun = t.podrun().with_globals(&["--log", log.to_str().unwrap(), "--log-format", "json"]);
    podrun.run(&["state", "no"]).refused(&["does not exist"]);
    let text = std::fs::read_to_string(&log).expect("the log");
    let line: serde_json::Value = serde_json::from_str(&text).expect("the whole file is one JSON object");
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("does not exist")), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.contains('T') && time.len() >= 20), "{line}");
    podrun.run(&["state", "no"]).refused(&[]);
    assert_eq!(std::fs::read_to_string(&log).expect("the log").lines().count(), 2, "appended");
}

fn log_file_stays_empty_on_success(t: &Test) {
    let log = t.path("log.json");
    let podrun = t.podrun().with_globals(&["--log", log.to_str().unwrap(), "--log-format", "json"]);
    podrun.create(&t.bundle(), "c");
    podrun.run(&["start", "c"]).ok();
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default(), "");
}

fn pipes_of_the_caller_see_eof_when_the_container_ends(t: &Test) {
    let podrun = t.podrun();
    // `cat` ends when the last holder of the pipe is gone; a descriptor that stayed open elsewhere would hang it.
    let bundle = t.shell("echo word");
    let script = format!(
        "set -e; {{ \"$@\" create --bundle {} c; \"$@\" start c; }} | cat; echo ended",
        bundle.text()
    );
    let words = podrun.cmd(&[]);
    let out = words.under(["sh", "-c", &script, "sh"]).run().ok();
    assert_eq!(out.stdout, "word\nended\n");
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn spec_writes_a_config_that_runs(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("");
    std::fs::remove_file(bundle.directory().join("config.json")).expect("to remove it");
    podrun.run(&["spec", "--bundle", bundle.text()]).ok().quietly();
    podrun.run(&["spec", "--bundle", bundle.text()]).refused(&["config.json"]);
    let path = bundle.directory().join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("a config")).expect("JSON");
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["terminal"], true);
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sh", "-c", "echo it runs"]);
    let bundle = bundle.raw(config.to_string());
    assert_eq!(podrun.run_bundle(&bundle, "c").ok().stdout, "it runs\n");
}

fn features_and_version_answer(t: &Test) {
    let podrun = t.podrun().only_globals(&[]);
    let features = podrun.run(&["features"]).ok().quietly().json();
    assert!(text(&features["ociVersionMin"]).starts_with("1."), "{features}");
    assert!(text(&features["ociVersionMax"]).starts_with("1."), "{features}");
    for pointer in ["/mountOptions", "/linux/namespaces", "/linux/capabilities"] {
        assert!(features.pointer(pointer).is_some_and(serde_json::Value::is_array), "{pointer}: {features}");
    }
    let version = podrun.run(&["--version"]).ok().quietly();
    assert!(version.stdout.starts_with("podrun version "), "{}", version.stdout);
}

fn works_without_path_in_the_environment(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    podrun.cmd(&["create", "--bundle", bundle.text(), "c"]).only_env(&[]).run().ok();
    podrun.cmd(&["start", "c"]).only_env(&[]).run().ok();
    podrun.cmd(&["kill", "c", "9"]).only_env(&[]).run().ok();
    podrun.wait_status("c", "stopped");
    podrun.cmd(&["delete", "c"]).only_env(&[]).run().ok();
}
