//! Hosts in trouble and users in a hurry: full disks, reboots, hundreds of pods, racing commands, vanished images and
//! binaries. The apps go on, what is wrong is said, and nothing is left.

use crate::harness::disk::{fill, small_disk};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::supervised::{Supervised, groups_of, slay};
use crate::harness::{
    Case, Outcome, Runtime, Test, case, eventually, machine, note, proc, runtime::path_text, within,
};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podrun::model::status::{ContainerState, Phase};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(two_hundred_pods_at_once).exclusive().seconds(400),
        case!(full_disk_of_logs_leaves_the_apps_running).seconds(120),
        case!(removed_log_directory_comes_back),
        case!(log_directory_that_cannot_be_made_is_trouble),
        case!(reboot_clears_manifest_pods),
        case!(run_against_run).seconds(120),
        case!(run_against_delete).seconds(120),
        case!(delete_against_delete),
        case!(stop_against_start),
        case!(exec_against_delete),
        case!(delete_while_the_supervisor_stands_still),
        case!(stop_while_the_supervisor_stands_still).seconds(120),
        case!(supervisor_that_lost_its_socket_is_replaced),
        case!(binary_replaced_and_deleted),
        case!(image_removed_and_imported_again),
    ]
}

fn is_quick() -> bool {
    std::env::var_os("PODRUN_TEST_QUICK").is_some()
}

fn two_hundred_pods_at_once(t: &Test) {
    const WORKERS: usize = 16;
    let count = if is_quick() { 40 } else { 200 };
    let podrun = t.podrun_with_busybox();
    let name = |number: usize| format!("p{number}");
    // Wakes up for nothing but its end.
    let patient = "trap 'exit 0' TERM; sleep 300 & wait";
    let make =
        |number: usize| t.manifest(&shell_pod(&name(number), "Always", &[("a", patient), ("b", patient)]));
    let files: Vec<String> = (0..count).map(make).collect();
    let all = |command: &(dyn Fn(usize) -> Vec<String> + Sync)| {
        let since = Instant::now();
        std::thread::scope(|scope| {
            let each = |worker: usize| {
                let podrun = &podrun;
                scope.spawn(move || {
                    for number in (worker..count).step_by(WORKERS) {
                        let words = command(number);
                        let words: Vec<&str> = words.iter().map(String::as_str).collect();
                        podrun.cmd(&words).seconds(120).run().ok();
                    }
                })
            };
            let workers: Vec<_> = (0..WORKERS).map(each).collect();
            workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
        });
        since.elapsed().as_secs_f32()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let up = all(&|number| words(&["pod", "run", "-d", "-f", &files[number]]));
    let list = podrun.run(&["pod", "list"]).ok().stdout;
    assert_eq!(list.lines().filter(|line| line.contains("2/2") && line.contains("Running")).count(), count);
    let uids: Vec<_> = (0..count).map(|number| Supervised::of(&podrun, &name(number)).uid).collect();
    let down = all(&|number| words(&["pod", "delete", "--grace-period", "5", &name(number)]));
    note(&format!("{count} pods up in {up:.1} s, gone in {down:.1} s"));
    assert_eq!(podrun.run(&["pod", "list", "-o", "name"]).ok().stdout, "");
    let left: Vec<_> = uids.iter().flat_map(groups_of).collect();
    assert!(left.is_empty(), "{left:#?}");
}

const TICK: &str = "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.02; done";

/// The log of the only container, as `pod logs` shows it.
#[track_caller]
fn last_tick(podrun: &Runtime) -> u64 {
    let log = podrun.run(&["pod", "logs", "p", "--tail", "1"]).ok().stdout;
    log.trim().strip_prefix("tick ").and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Logging is in trouble, which is told, while the app goes on; `mend` ends the trouble.
#[track_caller]
fn trouble_comes_and_goes(pod: &Supervised<'_>, says: &str, mend: impl FnOnce()) {
    let (app, podrun) = (pod.init("a"), pod.podrun);
    let trouble =
        pod.until("a", "in trouble", |it| it.log_trouble.as_ref().is_some_and(|it| it.contains(says)));
    note(&format!("log trouble: {}", trouble.log_trouble.unwrap_or_default()));
    let described = podrun.run(&["pod", "describe", "p"]).ok().stdout;
    assert!(described.contains(says), "{described}");
    // A kill in the middle of it makes nothing worse.
    pod.next_supervisor();
    pod.until("a", "in trouble", |it| it.log_trouble.is_some());
    assert!(proc::lives(app));
    mend();
    pod.until("a", "fine again", |it| it.log_trouble.is_none());
    let before = last_tick(podrun);
    eventually("new lines", || (last_tick(podrun) > before + 5).then_some(()));
    assert!(proc::lives(app) && pod.container("a").restart_count == 0);
}

fn full_disk_of_logs_leaves_the_apps_running(t: &Test) {
    // The data root as a whole, so that nothing else can be written there either.
    small_disk(&t.path("data"), "size=24m");
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", TICK)]));
    let pod = Supervised::run(&podrun, "p", &file);
    let filler = t.path("data/filler");
    fill(&filler);
    trouble_comes_and_goes(&pod, "no space left", || std::fs::remove_file(&filler).expect("to make room"));
    fill(&filler);
    pod.until("a", "in trouble", |it| it.log_trouble.is_some());
    // And it can be deleted.
    pod.delete();
    std::fs::remove_file(&filler).expect("the filler");
    podrun.run(&["image", "remove", "busybox"]).ok();
    umount2(&t.path("data"), MntFlags::MNT_DETACH).expect("to unmount");
}

fn removed_log_directory_comes_back(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", TICK)])));
    eventually("ticks", || (last_tick(&podrun) > 5).then_some(()));
    std::fs::remove_dir_all(podrun.data_root().join("logs")).expect("to remove the logs");
    let directory = pod.logs_of("a");
    eventually("a new log", || directory.join("0.log").exists().then_some(()));
    let before = last_tick(&podrun);
    eventually("ticks again", || (last_tick(&podrun) > before).then_some(()));
    assert_eq!(pod.container("a").log_trouble, None);
    pod.delete();
}

fn log_directory_that_cannot_be_made_is_trouble(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let logs = podrun.data_root().join("logs");
    std::fs::write(&logs, "in the way").expect("a file");
    // The pod comes up all the same.
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", TICK)])));
    trouble_comes_and_goes(&pod, "logs", || std::fs::remove_file(&logs).expect("to clear the way"));
    pod.delete();
}

/// Writes another boot's id into every record.
#[track_caller]
fn reboot(directory: &Path, old: &str, new: &str) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
        if kind.is_dir() {
            reboot(&path, old, new);
        } else if kind.is_symlink() {
            if std::fs::read_link(&path).is_ok_and(|target| target.to_str() == Some(old)) {
                std::fs::remove_file(&path).expect("the link");
                std::os::unix::fs::symlink(new, &path).expect("a link");
            }
        } else if kind.is_file() && path.extension().is_some_and(|it| it == "json") {
            let text = std::fs::read_to_string(&path).expect("a record");
            if text.contains(old) {
                std::fs::write(&path, text.replace(old, new)).expect("to change it");
            }
        }
    }
}

fn reboot_clears_manifest_pods(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest =
        shell_pod("p", "Always", &[("a", "echo hello > /data/x; while :; do echo tick; sleep 0.1; done")]);
    manifest["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    manifest["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let file = t.manifest(&manifest);
    let pod = Supervised::run(&podrun, "p", &file);
    eventually("a log", || pod.logs_of("a").join("0.log").exists().then_some(()));
    // What a boot ends: processes, and mounts.
    let mut processes = vec![pod.keeper(), pod.supervisor(), pod.init("a"), pod.pause()];
    // Lest one replaces the other in between.
    processes.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGSTOP).expect("to stop it"));
    processes.iter().for_each(|pid| slay(*pid));
    processes.retain(|pid| within(5, || (!proc::lives(*pid)).then_some(())).is_none());
    assert_eq!(processes, [0; 0]);
    let mounts = proc::mounts("self");
    for at in mounts.iter().filter(|mount| mount.point.starts_with(&path_text(t.place()))) {
        umount2(at.point.as_str(), MntFlags::MNT_DETACH).expect("to unmount");
    }
    for group in groups_of(&pod.uid) {
        eventually("an empty group", || std::fs::remove_dir(&group).ok());
    }
    let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the boot");
    let before = "00000000-1111-4222-8333-444444444444";
    reboot(&podrun.root(), now.trim(), before);
    reboot(&podrun.data_root(), now.trim(), before);
    assert_eq!(podrun.run(&["pod", "list"]).ok().stdout, "");
    // The name is free, and nothing but the image is left.
    let left = t.corner().settle();
    assert!(left.is_empty(), "{left:#?}");
    Supervised::run(&podrun, "p", &file).delete();
}

const ROUNDS: u32 = 16;

/// Runs two commands at the same time, the second a little later from round to round; each succeeds or says one of the
/// excuses.
#[track_caller]
fn both(podrun: &Runtime, round: u32, first: &[&str], second: &[&str], excuses: &[&str]) -> [Outcome; 2] {
    let lag = Duration::from_micros(1500) * (round / 2) * machine::slowness();
    let (one, other) = if round.is_multiple_of(2) { (first, second) } else { (second, first) };
    let one = podrun.cmd(one).spawn();
    std::thread::sleep(lag);
    let other = podrun.cmd(other).spawn();
    let mut outcomes = [one.finish(), other.finish()];
    if !round.is_multiple_of(2) {
        outcomes.reverse();
    }
    for outcome in &outcomes {
        let excused = outcome.code() == 1 && excuses.iter().any(|excuse| outcome.stderr.contains(excuse));
        if outcome.code() != 0 && !excused {
            outcome.fail(&format!("round {round}: neither success nor one of {excuses:?}"));
        }
    }
    outcomes
}

#[track_caller]
fn nothing_is_left(t: &Test, podrun: &Runtime, round: u32) {
    podrun.run(&["pod", "delete", "--force", "p"]).ok();
    let left = t.corner().settle();
    assert!(left.is_empty(), "round {round}: {left:#?}");
}

fn run_against_run(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")]));
    for round in 0..ROUNDS {
        let run = ["pod", "run", "-d", "-f", file.as_str()];
        let outcomes = both(&podrun, round, &run, &run, &["already exists"]);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.code() == 0).count(), 1, "{outcomes:#?}");
        Supervised::of(&podrun, "p").until_running("a", 0);
        nothing_is_left(t, &podrun, round);
    }
}

fn run_against_delete(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")]));
    let mut came = 0;
    for round in 0..ROUNDS {
        let run = ["pod", "run", "-d", "-f", file.as_str()];
        let delete = ["pod", "delete", "--force", "p"];
        let excuses = ["delet", "stopped meanwhile", "not found", "gone"];
        let [ran, deleted] = both(&podrun, round, &run, &delete, &excuses);
        deleted.ok();
        came += u32::from(ran.code() == 0);
        nothing_is_left(t, &podrun, round);
    }
    note(&format!("the pod came up in {came} of {ROUNDS} rounds"));
}

fn delete_against_delete(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(0))]));
    for round in 0..ROUNDS / 2 {
        podrun.run(&["pod", "run", "-d", "-f", &file]).ok();
        let delete = ["pod", "delete", "p"];
        both(&podrun, round, &delete, &["pod", "delete", "--force", "p"], &["delet", "not found"]);
        nothing_is_left(t, &podrun, round);
    }
}

fn stop_against_start(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(0))]));
    for round in 0..ROUNDS / 2 {
        podrun.run(&["pod", "create", "-f", &file]).ok();
        let (start, stop) = (["pod", "start", "p"], ["pod", "stop", "p"]);
        let [_, stopped] = both(&podrun, round, &start, &stop, &["stopped meanwhile", "ended", "stop"]);
        stopped.ok();
        let state = podrun.pod_state("p");
        assert!(state["phase"] == "Succeeded" || state["phase"] == "Failed", "{state}");
        nothing_is_left(t, &podrun, round);
    }
}

fn exec_against_delete(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")]));
    for round in 0..ROUNDS / 2 {
        podrun.run(&["pod", "run", "-d", "-f", &file]).ok();
        let exec = podrun.cmd(&["pod", "exec", "p", "--", "sleep", "0.02"]).spawn();
        std::thread::sleep(Duration::from_millis(2) * round);
        podrun.run(&["pod", "delete", "--force", "p"]).ok();
        let exec = exec.finish();
        // Whole, killed with the container, or too late.
        assert!(exec.code() == 0 || exec.code() == 137 || !exec.stderr.is_empty(), "{exec:?}");
        nothing_is_left(t, &podrun, round);
    }
}

fn delete_while_the_supervisor_stands_still(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")]));
    for stopped in ["supervisor", "keeper", "both"] {
        let pod = Supervised::run(&podrun, "p", &file);
        let both = [(pod.supervisor(), "supervisor"), (pod.keeper(), "keeper")];
        for (pid, _) in both.iter().filter(|(_, name)| *name == stopped || stopped == "both") {
            kill(Pid::from_raw(*pid), Signal::SIGSTOP).expect("to stop it");
        }
        let since = Instant::now();
        podrun.run(&["pod", "delete", "--force", "p"]).ok();
        assert!(since.elapsed() < Duration::from_secs(5) * machine::slowness(), "{stopped}");
        nothing_is_left(t, &podrun, 0);
        pod.delete();
    }
}

fn stop_while_the_supervisor_stands_still(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")])));
    kill(Pid::from_raw(pod.supervisor()), Signal::SIGSTOP).expect("to stop it");
    let stop = podrun.cmd(&["pod", "stop", "p", "--grace-period", "0"]).seconds(40).run();
    stop.refused(&["cannot stop pod \"p\"", "takes too long", "podrun pod delete --force p"]);
    pod.delete();
}

fn supervisor_that_lost_its_socket_is_replaced(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(0))]));
    let pod = Supervised::run(&podrun, "p", &file);
    let (supervisor, app) = (pod.supervisor(), pod.init("a"));
    let lose = || std::fs::remove_file(pod.directory().join("control.sock")).expect("to remove the socket");
    lose();
    podrun.run(&["pod", "kill", "p", "SIGCONT"]).ok();
    assert!(pod.supervisor() != supervisor && proc::lives(app), "another supervisor of the same app");
    lose();
    podrun.run(&["pod", "stop", "p"]).ok();
    pod.delete();
}

fn binary_replaced_and_deleted(t: &Test) {
    let built = t.podrun_with_busybox();
    let binary = t.path("podrun");
    std::fs::copy(built.binary(), &binary).expect("a copy");
    let podrun = built.with_binary(&binary);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", TICK)])));
    let app = pod.init("a");
    // Replaced, as by an upgrade.
    let other = t.path("other");
    std::fs::copy(built.binary(), &other).expect("another copy");
    std::fs::rename(&other, &binary).expect("to replace it");
    pod.next_supervisor();
    // Deleted: the supervisor that lives goes on, and its successor waits for a binary.
    std::fs::remove_file(&binary).expect("to delete it");
    let ticks = last_tick(&built);
    eventually("ticks", || (last_tick(&built) > ticks).then_some(()));
    slay(pod.supervisor());
    std::thread::sleep(Duration::from_millis(300));
    assert!(proc::lives(app));
    std::fs::copy(built.binary(), &other).expect("another copy");
    std::fs::rename(&other, &binary).expect("to bring it back");
    eventually("a supervisor", || pod.holders().supervisor);
    let ticks = last_tick(&built);
    eventually("ticks", || (last_tick(&built) > ticks).then_some(()));
    assert!(proc::lives(app) && pod.container("a").restart_count == 0);
    pod.delete();
}

fn image_removed_and_imported_again(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let mut manifest = shell_pod("p", "Always", &[("a", "sleep 300"), ("b", TICK)]);
    manifest["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    podrun.run(&["image", "remove", "busybox"]).refused(&["p"]);
    // By hand it can be.
    let (index, away) = (podrun.data_root().join("images/index.json"), t.path("index.json"));
    std::fs::rename(&index, &away).expect("to take the image away");
    let (a, b) = (pod.init("a"), pod.init("b"));
    slay(a);
    let absent = |reason: &str| matches!(reason, "ErrImageNeverPull");
    pod.until(
        "a",
        "without its image",
        |it| matches!(&it.state, ContainerState::Waiting { reason, .. } if absent(reason)),
    );
    let list = podrun.run(&["pod", "list"]).ok().stdout;
    assert!(list.contains("ErrImageNeverPull") && list.contains("1/2"), "{list}");
    // The other one still runs from its layers.
    assert!(proc::lives(b));
    podrun.run(&["pod", "exec", "p", "-c", "b", "--", "ls", "/bin"]).ok();
    std::fs::rename(&away, &index).expect("to bring the image back");
    pod.until_running("a", 1);
    assert_eq!(pod.status().phase, Phase::Running);
    pod.delete();
    let mode = std::fs::metadata(podrun.data_root().join("layers")).expect("the layers").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
