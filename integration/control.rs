//! pause, resume and update; and the commands that are known but not supported yet.

use crate::harness::{Bundle, Case, Test, case, cgroups, eventually, proc};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case!(pause_freezes_and_resume_thaws),
        case!(paused_container_takes_no_exec_unless_told),
        case!(paused_container_is_deleted_by_force),
        case!(paused_container_dies_of_kill),
        case!(pause_needs_a_running_container),
        case!(update_changes_limits_by_flags),
        case!(update_reads_resources_from_stdin_and_file),
        case!(created_container_can_be_paused_and_told_to_end),
        case!(update_refuses_what_is_wrong),
        case!(unsupported_commands_say_so),
    ]
}

/// A container that counts into a file as fast as it may.
#[track_caller]
fn counting(t: &Test) -> Bundle {
    let source = crate::harness::runtime::path_text(&t.directory("count"));
    t.shell("n=0; while :; do n=$((n+1)); echo $n > /count/n; sleep 0.01; done").mount(
        "bind",
        &source,
        "/count",
        &["bind"],
    )
}

fn count(t: &Test) -> u64 {
    let text = std::fs::read_to_string(t.path("count/n")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[track_caller]
fn counts(t: &Test) {
    let before = count(t);
    eventually("it counts", || (count(t) > before).then_some(()));
}

fn created_container_can_be_paused_and_told_to_end(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    podrun.create(&bundle, "c");
    podrun.run(&["pause", "c"]).ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("paused"));
    podrun.run(&["start", "c"]).refused(&["paused", "podrun resume c"]);
    let exec = podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]);
    assert!(exec.code() == 255 && exec.stderr.contains("paused"), "{exec:?}");
    podrun.run(&["delete", "c"]).refused(&["paused"]);
    podrun.run(&["resume", "c"]).ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("created"));
    podrun.run(&["start", "c"]).ok().quietly();
    podrun.remove("c");
    // As the first process of a PID namespace it would not see what it has no handler for.
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        podrun.create(&bundle, "c");
        podrun.run(&["kill", "c", signal]).ok().quietly();
        podrun.wait_status("c", "stopped");
        podrun.run(&["delete", "c"]).ok().quietly();
    }
}

fn pause_freezes_and_resume_thaws(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&counting(t), "c");
    counts(t);
    podrun.run(&["pause", "c"]).ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("paused"));
    let before = count(t);
    // It would count to five in this time.
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(count(t), before, "a frozen process goes on");
    podrun.run(&["pause", "c"]).refused(&["c"]);
    podrun.run(&["resume", "c"]).ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    counts(t);
    podrun.run(&["resume", "c"]).refused(&["c"]);
    podrun.remove("c");
}

fn paused_container_takes_no_exec_unless_told(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&counting(t), "c");
    podrun.run(&["pause", "c"]).ok();
    podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]).exits(255).says(&["paused", "resume"]);
    // Then the process is frozen as well, until somebody resumes.
    let exec = podrun.cmd(&["exec", "--ignore-paused", "c", "/bin/probe", "exit", "6"]).spawn();
    podrun.run(&["resume", "c"]).ok();
    exec.finish().exits(6);
    podrun.remove("c");
}

fn paused_container_is_deleted_by_force(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&counting(t), "c");
    let pid = podrun.pid("c");
    podrun.run(&["pause", "c"]).ok();
    podrun.run(&["delete", "c"]).refused(&["c", "paused"]);
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(!proc::lives(pid));
}

fn paused_container_dies_of_kill(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&counting(t), "c");
    let pid = podrun.pid("c");
    podrun.run(&["pause", "c"]).ok();
    podrun.run(&["kill", "c", "KILL"]).ok();
    // The v1 freezer holds even the dead; whoever kills wants them gone.
    eventually("it dies", || (!proc::lives(pid)).then_some(()));
    podrun.run(&["delete", "--force", "c"]).ok();
}

fn pause_needs_a_running_container(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["pause", "no"]).refused(&["does not exist"]);
    podrun.run(&["resume", "no"]).refused(&["does not exist"]);
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    podrun.run(&["pause", "c"]).refused(&["c"]);
    podrun.remove("c");
}

fn update_changes_limits_by_flags(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    podrun.up(&bundle.set("/linux/resources/pids", json!({"limit": 50})), "c");
    let pid = podrun.pid("c");
    podrun.run(&["update", "--pids-limit", "7", "--memory", "67108864", "c"]).ok().quietly();
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "7");
    let memory = cgroups::limit(pid, "memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(memory, (64 << 20).to_string());
    podrun.run(&["update", "--cpu-quota", "20000", "--cpu-period", "100000", "c"]).ok();
    assert!(cgroups::limit(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("20000"));
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "7", "what is not named stays");
    podrun.remove("c");
}

fn update_reads_resources_from_stdin_and_file(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]), "c");
    let pid = podrun.pid("c");
    let file = format!(
        "--resources={}",
        t.file("resources.json", json!({"pids": {"limit": 13}}).to_string()).display()
    );
    for (words, limit) in
        [(&["--resources=-"][..], 11), (&["--resources", "-"], 12), (&[&file], 13), (&["-r", "-"], 14)]
    {
        let words: Vec<&str> = ["update"].iter().chain(words).chain(&["c"]).copied().collect();
        let input = json!({"pids": {"limit": limit}}).to_string();
        podrun.cmd(&words).input(input).run().ok().quietly();
        assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), limit.to_string(), "{words:?}");
    }
    podrun.remove("c");
}

fn update_refuses_what_is_wrong(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["update", "--pids-limit", "5", "no"]).refused(&["does not exist"]);
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]), "c");
    podrun.cmd(&["update", "-r", "-", "c"]).input("{\"pids\": ").run().refused(&["line 1"]);
    podrun
        .cmd(&["update", "-r", "-", "c"])
        .input("{\"pids\": {\"limit\": \"x\"}}")
        .run()
        .refused(&["pids.limit"]);
    podrun.run(&["update", "--pids-limit", "many", "c"]).refused(&["many"]);
    podrun.run(&["update", "--cpuset-cpus", "4000", "c"]).refused(&["4000"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn unsupported_commands_say_so(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]), "c");
    podrun.run(&["checkpoint", "--image-path", "/nowhere", "c"]).refused(&["checkpoint", "not supported"]);
    let restore = ["restore", "--image-path", "/nowhere", "--bundle", "/nowhere", "-no-subreaper", "d"];
    podrun.run(&restore).refused(&["restore", "not supported"]);
    // How Podman asks whether checkpoints work: success would mean yes.
    assert_ne!(podrun.run(&["checkpoint", "--help"]).code(), 0);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}
