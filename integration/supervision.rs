//! Supervisor, keeper and pause are killed, singly and together, while containers write as fast as they can: the apps go
//! on, no line is torn or doubled, and how they end is known.

use crate::harness::log_lines::{self, FLOOD, Found};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::supervised::{Supervised, slay};
use crate::harness::{Case, Runtime, Test, case, eventually, note, pods, proc, runtime::path_text, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podrun::model::status::{ContainerStatus, Phase};
use podrun::sys::pidfd;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(supervisor_killed_again_and_again).seconds(120),
        case!(keeper_killed).seconds(120),
        case!(pair_killed).seconds(120),
        case!(pause_killed).seconds(120),
        case!(everything_but_the_apps_killed).seconds(120),
        case!(unfinished_line_outlives_supervisors),
        case!(exit_code_is_kept_by_the_keeper),
        case!(exit_code_after_both_died),
        case!(end_that_nobody_saw_is_unknown),
        case!(oom_kill_is_seen_whoever_looks),
        case!(container_that_ended_meanwhile_is_restarted),
        case!(shared_pid_namespace_dies_with_its_pause),
        case!(terminal_and_input_outlive_the_supervisor),
        case!(exec_and_logs_go_on),
        case!(graceful_stop_outlives_the_supervisor),
        case!(pair_killed_while_the_pod_is_deleted),
        case!(supervisor_killed_while_a_pod_comes_up).seconds(120),
    ]
}

/// Two that write as fast as they can, and their processes' identities.
struct Load<'a> {
    pod: Supervised<'a>,
    apps: Vec<(i32, Option<u64>)>,
    kills: u64,
}

const WRITERS: [&str; 2] = ["a", "b"];

#[track_caller]
fn load<'a>(t: &Test, podrun: &'a Runtime) -> Load<'a> {
    let file = t.manifest(&shell_pod("p", "Always", &WRITERS.map(|name| (name, FLOOD))));
    let pod = Supervised::run(podrun, "p", &file);
    let apps = WRITERS.map(|name| pod.init(name)).map(|pid| (pid, proc::start_time(pid))).to_vec();
    Load { pod, apps, kills: 0 }
}

impl Load<'_> {
    fn signal(&self, signal: Signal) {
        for (pid, _) in &self.apps {
            kill(Pid::from_raw(*pid), signal).expect("an app that lives");
        }
    }

    /// All that was logged, while nobody writes; nothing of it is torn or doubled.
    #[track_caller]
    fn look(&self) -> Vec<Found> {
        self.signal(Signal::SIGSTOP);
        let length = || log_lines::bytes(WRITERS.map(|name| self.pod.logs_of(name)));
        eventually("an end of the output", || {
            let before = length();
            std::thread::sleep(Duration::from_millis(100));
            (length() == before).then_some(())
        });
        let found = WRITERS.map(|name| log_lines::flood(&self.pod.logs_of(name), 0));
        self.signal(Signal::SIGCONT);
        found.iter().flat_map(|streams| streams.values().copied()).collect()
    }

    /// The apps have not noticed, the status is right, and their output is being logged.
    #[track_caller]
    fn check(&self) -> Vec<Found> {
        for name in WRITERS {
            self.pod.until_running(name, 0);
        }
        let before = self.look();
        eventually("logging goes on", || {
            std::thread::sleep(Duration::from_millis(200));
            let grown = WRITERS.iter().map(|name| log_lines::last_number(&self.pod.logs_of(name), 0));
            let all = grown.zip(before.chunks(2)).all(|(now, before)| now > before[0].last);
            all.then_some(())
        });
        for (pid, start) in &self.apps {
            assert!(proc::lives(*pid) && proc::start_time(*pid) == *start, "an app has died");
        }
        let status = self.pod.status();
        assert!(status.phase == Phase::Running && status.containers.iter().all(|it| it.ready), "{status:#?}");
        let lost: u64 = before.iter().map(|found| found.gaps).sum();
        // Each kill may lose what was being read: of one stream, lines as a whole.
        assert!(lost <= self.kills, "{lost} gaps after {} kills: {before:?}", self.kills);
        before
    }

    #[track_caller]
    fn end(self) {
        let found = self.check();
        let lines: u64 = found.iter().map(|found| found.lines).sum();
        let lost: u64 = found.iter().map(|found| found.gaps).sum();
        note(&format!("{} kills, {lines} lines looked at, {lost} times some were lost", self.kills));
        self.pod.delete();
    }
}

/// Different in each run of the tests.
fn random_millis(most: u64) -> Duration {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    Duration::from_millis(u64::from(nanos / 1000) % most)
}

fn supervisor_killed_again_and_again(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut load = load(t, &podrun);
    for round in 0..12 {
        if round % 4 != 3 {
            // At the fourth at once, before it has looked around.
            std::thread::sleep(random_millis(300));
        }
        load.pod.next_supervisor();
        load.kills += 1;
    }
    load.end();
}

fn keeper_killed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut load = load(t, &podrun);
    for _ in 0..5 {
        let (supervisor, old) = (load.pod.supervisor(), load.pod.keeper());
        slay(old);
        eventually("the next keeper", || load.pod.holders().keeper.filter(|pid| *pid != old));
        assert_eq!(load.pod.supervisor(), supervisor);
    }
    load.check();
    // The new one has got everything: after a supervisor's death nothing is missing.
    load.pod.next_supervisor();
    load.kills += 1;
    load.end();
}

/// Kills both at once; the next command starts a new pair.
#[track_caller]
fn kill_pair(pod: &Supervised<'_>) {
    end_pair(pod);
    let holders = pod.holders();
    assert!(holders.supervisor.is_none() && holders.keeper.is_none(), "{holders:?}");
}

/// As [`kill_pair`], where a command may be about that starts the next pair by itself.
fn end_pair(pod: &Supervised<'_>) {
    let pair = [pod.supervisor(), pod.keeper()];
    // Lest one replaces the other in between.
    pair.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGSTOP).expect("to stop it"));
    pair.iter().for_each(|pid| slay(*pid));
    eventually("the end of both", || pair.iter().all(|pid| !proc::lives(*pid)).then_some(()));
}

fn pair_killed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut load = load(t, &podrun);
    for words in
        [&["pod", "list"][..], &["pod", "state", "p"], &["pod", "exec", "p", "-c", "a", "--", "true"]]
    {
        kill_pair(&load.pod);
        load.kills += 1;
        podrun.run(words).ok().quietly();
        load.check();
    }
    // Whoever has lost its first parent is adopted as well as others.
    load.pod.next_supervisor();
    load.kills += 1;
    load.end();
}

#[track_caller]
fn namespaces(pid: i32) -> Vec<u64> {
    ["net", "ipc", "uts"].map(|kind| proc::namespace(pid, kind)).to_vec()
}

#[track_caller]
fn next_pause(pod: &Supervised<'_>, old: i32) -> i32 {
    let since = Instant::now();
    let new = eventually("a new pause", || Some(pod.pause()).filter(|pid| *pid != old && proc::lives(*pid)));
    note(&format!("the new pause stood after {} ms", since.elapsed().as_millis()));
    new
}

fn pause_killed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let load = load(t, &podrun);
    let (app, _) = load.apps[0];
    for _ in 0..12 {
        let old = load.pod.pause();
        slay(old);
        assert_eq!(namespaces(next_pause(&load.pod, old)), namespaces(app));
    }
    load.check();
    assert!(load.pod.events().iter().any(|event| event.starts_with("PauseRenewed")));
    // A container that is made now joins the same namespaces.
    slay(load.apps[1].0);
    load.pod.until_running("b", 1);
    assert_eq!(namespaces(load.pod.init("b")), namespaces(app));
    load.pod.delete();
}

fn everything_but_the_apps_killed(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut load = load(t, &podrun);
    let old = load.pod.pause();
    slay(old);
    load.pod.next_supervisor();
    load.kills += 1;
    assert_eq!(namespaces(next_pause(&load.pod, old)), namespaces(load.apps[0].0));
    load.check();
    // All at once: of the namespaces only the apps' own remain, and the next command finds them.
    let old = load.pod.pause();
    slay(load.pod.keeper());
    slay(load.pod.supervisor());
    slay(old);
    load.kills += 1;
    eventually("the end of all", || (!proc::lives(old)).then_some(()));
    podrun.run(&["pod", "list"]).ok();
    assert_eq!(namespaces(next_pause(&load.pod, old)), namespaces(load.apps[0].0));
    load.end();
}

fn unfinished_line_outlives_supervisors(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let slow = "n=0; while :; do printf \"line $n be\"; sleep 0.4; echo gun and ended; n=$((n+1)); done";
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("slow", slow)])));
    for _ in 0..3 {
        std::thread::sleep(random_millis(500));
        pod.next_supervisor();
    }
    kill_pair(&pod);
    podrun.run(&["pod", "list"]).ok();
    let line = |n| format!("line {n} begun and ended");
    let look = || log_lines::numbered(&log_lines::records(&pod.logs_of("slow"), 0), "out", line);
    eventually("more lines", || (look().lines > 8).then_some(()));
    assert_eq!(look().gaps, 0, "nothing was in flight");
    pod.delete();
}

/// Containers that end with codes of their own when a file appears in /flags.
#[track_caller]
fn waiting_for_flags(t: &Test, policy: &str) -> String {
    let script = |code| format!("until [ -e /flags/go ]; do sleep 0.02; done; echo last words; {code}");
    let scripts =
        [("seven", script("exit 7")), ("killed", script("kill -9 $$$$")), ("stays", "sleep 300".into())];
    let mut pod = shell_pod("p", policy, &scripts.each_ref().map(|(name, script)| (*name, script.as_str())));
    // As PID 1 of its own namespace it would not be killed by its own signal.
    pod["spec"]["containers"][1]["command"] = json!(["sh", "-c", "sh -c \"$0\"; exit $?", scripts[1].1]);
    let path = path_text(&t.directory("flags"));
    pod["spec"]["volumes"] = json!([{"name": "flags", "hostPath": {"path": path}}]);
    for container in pod["spec"]["containers"].as_array_mut().expect("containers") {
        container["volumeMounts"] = json!([{"name": "flags", "mountPath": "/flags"}]);
    }
    t.manifest(&pod)
}

fn exit_code_is_kept_by_the_keeper(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &waiting_for_flags(t, "Never"));
    // A keeper that stands still starts nobody: meanwhile there is no supervisor.
    let keeper = Pid::from_raw(pod.keeper());
    kill(keeper, Signal::SIGSTOP).expect("to stop the keeper");
    let apps = ["seven", "killed"].map(|name| pod.init(name));
    let old = pod.supervisor();
    slay(old);
    t.file("flags/go", "");
    eventually("zombies", || apps.iter().all(|pid| proc::state(*pid) == Some('Z')).then_some(()));
    kill(keeper, Signal::SIGCONT).expect("to let the keeper go on");
    let ended = pod.until_ended("seven");
    assert_eq!((ended.exit_code, ended.reason.as_str()), (7, "Error"));
    assert_eq!(pod.until_ended("killed").exit_code, 137);
    assert_eq!(podrun.logs("p", "seven"), "last words\n");
    assert!(pod.container("stays").state.is_running());
    eventually("no zombies", || apps.iter().all(|pid| proc::state(*pid).is_none()).then_some(()));
    pod.delete();
}

/// Whether the kernel tells how a process ended after it was reaped: Linux 6.15.
fn kernel_keeps_exit_codes() -> bool {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
    let fd = pidfd::open(i32::try_from(child.id()).expect("a pid")).expect("a pidfd");
    child.kill().expect("to kill it");
    child.wait().expect("its end");
    matches!(pidfd::exit_status(fd.as_fd()), Ok(Some(_)))
}

fn exit_code_after_both_died(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &waiting_for_flags(t, "Never"));
    kill_pair(&pod);
    podrun.run(&["pod", "list"]).ok();
    pod.until_running("seven", 0);
    // The new supervisor is not their parent.
    t.file("flags/go", "");
    let ended = pod.until_ended("seven");
    let knows = kernel_keeps_exit_codes();
    note(&format!(
        "the kernel {} how a process ended that was reaped",
        if knows { "tells" } else { "forgets" }
    ));
    let found = (ended.exit_code, ended.reason.as_str());
    // Where it forgets, it tells of a process that nobody has reaped yet: a supervisor that is quick enough knows.
    let unknown = !knows && found == (137, "ContainerStatusUnknown");
    assert!(found == (7, "Error") || unknown, "{found:?}");
    assert_eq!(podrun.logs("p", "seven"), "last words\n");
    pod.delete();
}

fn end_that_nobody_saw_is_unknown(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &waiting_for_flags(t, "Never"));
    let app = pod.init("seven");
    kill_pair(&pod);
    t.file("flags/go", "");
    // Reaped by whom it fell to, as PID 1 does.
    eventually("the end of the app", || proc::state(app).is_none().then_some(()));
    podrun.run(&["pod", "list"]).ok();
    let ended = pod.until_ended("seven");
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "ContainerStatusUnknown"));
    assert!(pod.container("stays").state.is_running());
    pod.delete();
}

/// A pod of the probe that takes 64 MiB when a file appears, where it may have 16.
fn greedy() -> Value {
    let script =
        "until [ -e /flags/go ]; do sleep 0.02; done; exec dd if=/dev/zero of=/dev/null bs=64M count=1";
    let mut pod = shell_pod("p", "Never", &[("greedy", script), ("stays", "sleep 300")]);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "16Mi"}});
    pod
}

fn oom_kill_is_seen_whoever_looks(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let path = path_text(&t.directory("flags"));
    let mut manifest = greedy();
    manifest["spec"]["volumes"] = json!([{"name": "flags", "hostPath": {"path": path}}]);
    manifest["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "flags", "mountPath": "/flags"}]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let (app, keeper) = (pod.init("greedy"), Pid::from_raw(pod.keeper()));
    kill(keeper, Signal::SIGSTOP).expect("to stop the keeper");
    slay(pod.supervisor());
    t.file("flags/go", "");
    eventually("a zombie", || (proc::state(app) == Some('Z')).then_some(()));
    kill(keeper, Signal::SIGCONT).expect("to let the keeper go on");
    assert_eq!(pod.until_ended("greedy").reason, "OOMKilled");
    pod.delete();
}

fn container_that_ended_meanwhile_is_restarted(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "OnFailure", &[("a", "sleep 300"), ("b", "sleep 300")]));
    let pod = Supervised::run(&podrun, "p", &file);
    let keeper = Pid::from_raw(pod.keeper());
    // Each once: the second time there would be a back-off.
    for name in ["a", "b"] {
        let app = pod.init(name);
        kill(keeper, Signal::SIGSTOP).expect("to stop the keeper");
        slay(pod.supervisor());
        slay(app);
        eventually("a zombie", || (proc::state(app) == Some('Z')).then_some(()));
        kill(keeper, Signal::SIGCONT).expect("to let the keeper go on");
        pod.until_running(name, 1);
        let last = pod.container(name).last_state.expect("how it ended");
        assert_eq!((last.exit_code, last.signal), (137, Some(9)));
    }
    assert_eq!(pod.container("a").restart_count, 1);
    pod.delete();
}

fn shared_pid_namespace_dies_with_its_pause(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest = shell_pod("p", "Always", &[("a", "sleep 300"), ("b", "sleep 300")]);
    manifest["spec"]["shareProcessNamespace"] = json!(true);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let (old, net) = (pod.pause(), namespaces(pod.init("a")));
    slay(old);
    let new = next_pause(&pod, old);
    for name in ["a", "b"] {
        pod.until_running(name, 1);
    }
    assert_eq!(namespaces(pod.init("a")), net);
    let pid = |pid| proc::namespace(pid, "pid");
    assert_eq!([pid(pod.init("a")), pid(pod.init("b"))], [pid(new); 2]);
    pod.next_supervisor();
    pod.until_running("a", 1);
    let events = pod.events();
    assert!(events.iter().any(|event| event.starts_with("SandboxChanged")), "{events:#?}");
    pod.delete();
}

fn terminal_and_input_outlive_the_supervisor(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest = shell_pod(
        "p",
        "Never",
        &[
            ("tty", "n=0; while :; do echo line $n of $(tty); n=$((n+1)); sleep 0.05; done"),
            ("input", "echo waiting; cat; echo end of input; sleep 300"),
        ],
    );
    manifest["spec"]["containers"][0]["tty"] = json!(true);
    manifest["spec"]["containers"][1]["stdin"] = json!(true);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    for _ in 0..3 {
        pod.next_supervisor();
        let before = log_lines::records(&pod.logs_of("tty"), 0).len();
        eventually("more lines", || {
            (log_lines::records(&pod.logs_of("tty"), 0).len() > before + 3).then_some(())
        });
    }
    let line = |n| format!("line {n} of /dev/pts/0");
    let found = log_lines::numbered(&log_lines::records(&pod.logs_of("tty"), 0), "out", line);
    assert!(found.gaps <= 3, "{found:?}");
    assert_eq!(podrun.logs("p", "input"), "waiting\n", "its input has not ended");
    assert!(pod.status().containers.iter().all(|it| it.state.is_running()));
    pod.delete();
}

fn exec_and_logs_go_on(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let script = "n=0; while :; do echo out $n ......................; n=$((n+1)); sleep 0.02; done";
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", script)])));
    let follow = podrun.cmd(&["pod", "logs", "-f", "p"]).seconds(60).spawn();
    let exec = podrun.cmd(&["pod", "exec", "p", "--", "sh", "-c", "sleep 3; exit 5"]).spawn();
    eventually("the first line", || (!follow.stdout().is_empty()).then_some(()));
    pod.next_supervisor();
    podrun.run(&["pod", "exec", "p", "--", "true"]).ok();
    // The follower wants a supervisor as much as the next command does.
    end_pair(&pod);
    podrun.run(&["pod", "exec", "p", "--", "true"]).ok();
    let seen = follow.stdout().lines().count();
    eventually("more lines", || (follow.stdout().lines().count() > seen + 20).then_some(()));
    exec.finish().exits(5);
    podrun.run(&["pod", "stop", "p", "--grace-period", "0"]).ok();
    let followed = follow.finish().ok();
    assert_eq!(followed.stdout, podrun.logs("p", "a"), "it shows all, and ends with the pod");
    pod.delete();
}

fn graceful_stop_outlives_the_supervisor(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let manifest = shell_pod("p", "Always", &[("deaf", "trap '' TERM; while :; do sleep 0.05; done")]);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let since = Instant::now();
    let stop = podrun.cmd(&["pod", "stop", "p", "--grace-period", "3"]).spawn();
    eventually("the stop", || pod.status().stopping_since);
    pod.next_supervisor();
    stop.finish().ok();
    let took = since.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(8)).contains(&took), "{took:?}");
    let ended = pod.until_ended("deaf");
    assert_eq!((ended.exit_code, pod.container("deaf").restart_count), (137, 0));
    eventually("no pair", || {
        let holders = pod.holders();
        (holders.supervisor.is_none() && holders.keeper.is_none()).then_some(())
    });
    pod.delete();
}

fn pair_killed_while_the_pod_is_deleted(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file =
        t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(0)), ("deaf", "trap '' TERM; sleep 9")]));
    for round in 0..4 {
        let pod = Supervised::run(&podrun, "p", &file);
        if round == 3 {
            // Dead before it begins.
            kill_pair(&pod);
        }
        let delete = podrun.cmd(&["pod", "delete", "p"]).spawn();
        if round < 3 {
            eventually("the stop", || {
                // Gone already, where it was quick.
                if !pod.directory().join("status.json").exists() {
                    return Some(0);
                }
                pod.status().stopping_since
            });
        }
        match round {
            0 => slay(pod.supervisor()),
            1 => slay(pod.keeper()),
            2 => kill_pair(&pod),
            _ => {}
        }
        delete.finish().ok();
        assert!(!pod.directory().exists());
        let left = t.corner().settle();
        assert!(left.is_empty(), "round {round}: {left:#?}");
        let uid = pod.directory().file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert_eq!(pods::pair_groups(&[uid]), Vec::<PathBuf>::new(), "round {round}");
        pod.delete();
    }
}

fn supervisor_killed_while_a_pod_comes_up(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300"), ("b", "sleep 300")]));
    let (mut came, mut hit) = (0, 0);
    for round in 0..20u64 {
        let run = podrun.cmd(&["pod", "run", "-d", "-f", &file]).spawn();
        let pods = podrun.root().join("pods");
        let holders = || {
            let entries = std::fs::read_dir(&pods).ok()?;
            let paths = entries.flatten().map(|entry| entry.path()).filter(|path| path.join("lock").exists());
            paths.into_iter().find_map(|path| podrun::supervisor::lock::holders(&path).ok()?.supervisor)
        };
        if let Some(pid) = within(5, holders) {
            std::thread::sleep(Duration::from_micros(round * 1500));
            // It may have ended.
            hit += u32::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
        }
        let out = run.finish();
        if out.code() == 0 {
            let pod = Supervised::of(&podrun, "p");
            let runs = |it: &ContainerStatus| it.state.is_running() && it.ready;
            assert!(pod.until("a", "running", runs).restart_count <= 1);
            assert!(pod.until("b", "running", runs).restart_count <= 1);
            came += 1;
            pod.delete();
        } else {
            // Nothing is left of what could not be made.
            assert!(out.code() == 1 && !out.stderr.is_empty(), "{out:?}");
            podrun.run(&["pod", "delete", "--force", "p"]).ok();
        }
        let left = t.corner().settle();
        assert!(left.is_empty(), "round {round}: {left:#?}");
    }
    note(&format!("killed {hit} supervisors; {came} of 20 pods came up all the same"));
    assert!(hit >= 15, "{hit}");
}
