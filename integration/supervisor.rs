//! The supervisor's loop: it is fair, waits for nobody, sleeps when there is nothing to do, loses nothing over hundreds of
//! restarts, and may be killed at any system call.

use crate::harness::log_lines::{self, FLOOD};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::supervised::{Supervised, descriptors, memory, naps, slay};
use crate::harness::{
    Case, Runtime, Test, case, eventually, machine, note, proc, runtime::path_text, skip, within,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podrun::model::status::Phase;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(flood_starves_nobody),
        case!(restarts_do_not_stop_the_output_of_others),
        case!(closed_stdout_ends_nothing),
        case!(daemon_that_holds_stdout_holds_nobody_up),
        case!(strange_peers_are_borne),
        case!(idle_pod_wakes_nobody_up).exclusive(),
        case!(many_restarts_leak_nothing).seconds(120),
        case!(paused_container_is_killed_when_its_time_is_over),
        case!(second_stop_shortens_the_first),
        case!(sigterm_stops_the_pod),
        case!(killed_at_every_system_call_of_a_restart).seconds(600),
        case!(killed_at_every_system_call_of_a_start).seconds(600),
    ]
}

fn flood_starves_nobody(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let scripts =
        [("f0", FLOOD), ("f1", FLOOD), ("f2", FLOOD), ("slow", "while :; do date; sleep 0.1; done")];
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &scripts)));
    // Asked of the supervisor itself: what it takes to answer.
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let since = Instant::now();
        podrun.run(&["pod", "kill", "p", "WINCH"]).ok();
        longest = longest.max(since.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let slow = log_lines::records(&pod.logs_of("slow"), 0).len();
    note(&format!("beside six floods a command took {longest:?} at most; {slow} lines of the quiet one"));
    assert!(longest < Duration::from_secs(2) * machine::slowness());
    eventually("the quiet one's lines", || {
        (log_lines::records(&pod.logs_of("slow"), 0).len() > 10).then_some(())
    });
    pod.delete();
}

fn restarts_do_not_stop_the_output_of_others(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let brief = "sleep 0.5; echo on; exit 1";
    let scripts = [("flood", FLOOD), ("b0", brief), ("b1", brief), ("b2", "exit 0"), ("b3", "exit 1")];
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &scripts)));
    for name in ["b0", "b1", "b2", "b3"] {
        pod.until(name, "restarted", |it| it.restart_count >= 1);
        let before = log_lines::last_number(&pod.logs_of("flood"), 0);
        eventually("the flood goes on", || {
            (log_lines::last_number(&pod.logs_of("flood"), 0) > before).then_some(())
        });
    }
    assert_eq!(pod.container("flood").restart_count, 0);
    pod.delete();
}

fn closed_stdout_ends_nothing(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let script = "echo before; exec >&- 2>&-; until [ -e /go ]; do sleep 0.05; done; exit 3";
    let pod = Supervised::run(
        &podrun,
        "p",
        &t.manifest(&shell_pod("p", "Never", &[("a", script), ("b", "sleep 300")])),
    );
    eventually("its words", || (podrun.logs("p", "a") == "before\n").then_some(()));
    let (supervisor, before) = (pod.supervisor(), naps(pod.supervisor()));
    std::thread::sleep(Duration::from_millis(500));
    assert!(naps(supervisor) - before < 3, "it is not told again and again that the stream is closed");
    pod.next_supervisor();
    assert!(pod.container("a").state.is_running());
    podrun.run(&["pod", "exec", "p", "-c", "a", "--", "touch", "/go"]).ok();
    assert_eq!(pod.until_ended("a").exit_code, 3);
    pod.delete();
}

fn daemon_that_holds_stdout_holds_nobody_up(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let daemon = "setsid sh -c 'trap \"\" TERM HUP; while :; do echo spam; done' & sleep 0.3; exit 6";
    let scripts = [("a", daemon), ("b", "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.02; done")];
    let mut manifest = shell_pod("p", "Never", &scripts);
    manifest["spec"]["shareProcessNamespace"] = json!(true);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    assert_eq!(pod.until_ended("a").exit_code, 6);
    // Whatever is left of it has gone with it.
    let spam = || log_lines::bytes([pod.logs_of("a")]);
    let before = spam();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(spam(), before);
    let ticks = log_lines::records(&pod.logs_of("b"), 0);
    assert_eq!(log_lines::numbered(&ticks, "out", |n| format!("tick {n}")).gaps, 0);
    pod.delete();

    // One that has left the container's cgroup, which only a privileged one can: then its streams are left to it.
    let escape = "for f in /sys/fs/cgroup/*/tasks /sys/fs/cgroup/cgroup.procs; do [ -e $f ] && echo 0 > $f; done 2>/dev/null; \
                  while :; do echo spam; done";
    let escape =
        format!("mkdir -p /c; sh -c '{}' & sleep 0.5; exit 6", escape.replace("/sys/fs/cgroup", "/c"));
    let mut manifest = shell_pod("p", "Never", &[("a", escape.as_str()), scripts[1]]);
    manifest["spec"]["shareProcessNamespace"] = json!(true);
    manifest["spec"]["volumes"] = json!([{"name": "c", "hostPath": {"path": "/sys/fs/cgroup"}}]);
    manifest["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "c", "mountPath": "/c"}]);
    manifest["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let ended = pod.until_ended("a");
    assert_eq!(ended.exit_code, 6);
    // It writes still, and commands are answered.
    podrun.run(&["pod", "kill", "p", "WINCH"]).ok();
    pod.delete();
}

fn strange_peers_are_borne(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")])));
    let path = pod.directory().join("control.sock");
    let connect = || UnixStream::connect(&path).expect("to connect");
    let supervisor = pod.supervisor();
    for text in [
        &b"garbage\n"[..],
        b"\n",
        b"{}\n",
        b"{\"request\":\"dance\"}\n",
        &[0xff; 70_000],
        b"{\"request\":\"kill\"}\n",
    ] {
        let mut peer = connect();
        // It may be hung up on before it is through.
        let _sent = peer.write_all(text);
    }
    let mut silent: Vec<UnixStream> = (0..100).map(|_| connect()).collect();
    for peer in &mut silent[..50] {
        peer.write_all(b"{\"request\":\"st").expect("to write");
    }
    podrun.run(&["pod", "kill", "p", "WINCH"]).ok();
    // More than it bears: the silent ones have to go.
    silent.extend((0..300).map(|_| connect()));
    for _ in 0..3 {
        podrun.run(&["pod", "kill", "p", "WINCH"]).ok();
    }
    let held = descriptors(supervisor);
    assert!(held < 300, "{held} descriptors");
    drop(silent);
    eventually("few descriptors", || (descriptors(supervisor) < 30).then_some(()));
    assert_eq!((pod.supervisor(), pod.status().phase), (supervisor, Phase::Running));
    assert_eq!(pod.container("a").restart_count, 0);
    pod.delete();
}

fn idle_pod_wakes_nobody_up(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let scripts = [("a", "sleep 300"), ("b", "printf unfinished; sleep 300")];
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &scripts)));
    let all = [pod.supervisor(), pod.keeper(), pod.pause()];
    // What making them left to do is over soon.
    std::thread::sleep(Duration::from_millis(500));
    let before = all.map(naps);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(all.map(naps), before, "somebody woke up");
    let [supervisor, keeper, pause] = all.map(|pid| memory(pid, "Private_Dirty"));
    note(&format!("private memory in KiB: supervisor {supervisor}, keeper {keeper}, pause {pause}"));
    assert!(supervisor < 500 && keeper < 80 && pause < 40);
    pod.delete();
}

fn many_restarts_leak_nothing(t: &Test) {
    const CONTAINERS: usize = 40;
    /// Restarted at the same time, and each once: the second time there would be a back-off.
    const BATCH: usize = 8;
    let podrun = t.podrun_with_busybox();
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("c{number}")).collect();
    let scripts: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "echo up; exec sleep 300")).collect();
    let mut manifest = shell_pod("p", "Always", &scripts);
    manifest["spec"]["containers"][0]["tty"] = json!(true);
    manifest["spec"]["containers"][1]["stdin"] = json!(true);
    let pod = Supervised::run(&podrun, "p", &t.manifest(&manifest));
    let (supervisor, keeper) = (pod.supervisor(), pod.keeper());
    let mut seen = Vec::new();
    for batch in names.chunks(BATCH) {
        batch.iter().for_each(|name| slay(pod.init(name)));
        batch.iter().for_each(|name| pod.until_running(name, 1));
        std::thread::sleep(Duration::from_millis(50));
        seen.push((descriptors(supervisor), descriptors(keeper), memory(supervisor, "Private_Dirty")));
    }
    note(&format!("descriptors of supervisor and keeper, KiB, by rounds of {BATCH} restarts: {seen:?}"));
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert_eq!((pod.supervisor(), pod.keeper()), (supervisor, keeper));
    assert_eq!((first.0, first.1), (last.0, last.1), "descriptors leak: {seen:?}");
    assert!(last.2 < first.2 + 100, "memory leaks: {seen:?}");
    let fifos = std::fs::read_dir(pod.directory().join("io")).expect("FIFOs").count();
    assert_eq!(fifos, 2 * (CONTAINERS - 1));
    pod.delete();
}

fn paused_container_is_killed_when_its_time_is_over(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(0)), ("b", &until_stopped(0))]));
    for grace in ["0", "1"] {
        let pod = Supervised::run(&podrun, "p", &file);
        let id = pod.container("a").container_id.expect("an id");
        podrun.run(&["pause", &id]).ok();
        let since = Instant::now();
        podrun.run(&["pod", "stop", "p", "--grace-period", grace]).ok();
        assert!(since.elapsed() < Duration::from_secs(4) * machine::slowness());
        assert_eq!(pod.until_ended("a").exit_code, 137);
        pod.delete();
    }
}

fn second_stop_shortens_the_first(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", deaf)])));
    let first = podrun.cmd(&["pod", "stop", "p", "--grace-period", "60"]).spawn();
    eventually("the first", || pod.status().stopping_since);
    let since = Instant::now();
    podrun.run(&["pod", "stop", "p", "--grace-period", "1"]).ok();
    assert!(since.elapsed() < Duration::from_secs(5) * machine::slowness());
    first.finish().ok();
    assert_eq!(pod.until_ended("a").exit_code, 137);
    pod.delete();
}

fn sigterm_stops_the_pod(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let pod =
        Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Always", &[("a", &until_stopped(4))])));
    eventually("its trap", || podrun.logs("p", "a").contains("up").then_some(()));
    let pair = [pod.supervisor(), pod.keeper()];
    kill(Pid::from_raw(pair[0]), Signal::SIGTERM).expect("to stop it");
    eventually("the end of both", || pair.iter().all(|pid| !proc::lives(*pid)).then_some(()));
    assert_eq!(pod.until_ended("a").exit_code, 4);
    assert_eq!(podrun.logs("p", "a"), "up\nbye\n");
    pod.delete();
}

/// Each call of a trace with how often its kind has been made by then.
fn numbered(text: &str) -> Vec<(String, usize)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for (name, _) in text.lines().filter_map(|line| line.split_once('(')) {
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            continue;
        }
        let nth = seen.entry(name.to_owned()).or_insert(0);
        *nth += 1;
        calls.push((name.to_owned(), *nth));
    }
    calls
}

/// One container, its one layer, and no zombie.
#[track_caller]
fn one_of_everything(pod: &Supervised<'_>, keeper: i32, when: &str) {
    let id = pod.container("a").container_id.expect("an id");
    let containers = std::fs::read_dir(pod.podrun.root().join("containers")).expect("the containers");
    let names = containers.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
    let mine: Vec<String> = names.filter(|other| other.starts_with(pod.uid.as_str())).collect();
    assert_eq!(mine, [id], "{when}");
    let layers = pod.podrun.data_root().join("pods").join(pod.uid.as_str()).join("containers/a");
    assert_eq!(std::fs::read_dir(&layers).expect("layers").count(), 1, "{when}");
    // A supervisor's own is strace's until that lets it go, when the keeper has tried already.
    let is_app = |pid: &i32| proc::status_field(*pid, "Name").is_some_and(|name| name != "supervisor");
    let mut dead = proc::children(keeper);
    dead.retain(|pid| proc::state(*pid) == Some('Z') && is_app(pid));
    assert!(dead.is_empty(), "{when}: the keeper has zombies: {dead:?}");
}

/// Kills the supervisor at the system calls that it makes when something happens to the pod: each of several pods takes
/// its part of them. `provoke` makes it happen, `settled` waits for what must come of it.
#[track_caller]
fn besiege(
    t: &Test,
    begin: impl Fn(&Runtime, &str, &str) + Sync,
    provoke: impl Fn(&Supervised<'_>) + Sync,
    settled: impl Fn(&Supervised<'_>) -> bool + Sync,
) {
    const PODS: usize = 6;
    if !machine::has_package("strace") {
        skip("strace is not installed");
    }
    let most = if std::env::var_os("PODRUN_TEST_QUICK").is_some() { 36 } else { 120 };
    let podrun = t.podrun_with_busybox();
    let manifest =
        |number: usize| t.manifest(&shell_pod(&format!("p{number}"), "Always", &[("a", "sleep 300")]));
    let files: Vec<String> = (0..PODS).map(manifest).collect();
    let round = |number: usize, options: &[&str]| {
        let name = &format!("p{number}");
        begin(&podrun, name, &files[number]);
        let pod = Supervised::of(&podrun, name);
        let (old, keeper) = (pod.supervisor(), pod.keeper());
        let tracer = pod.trace(options);
        provoke(&pod);
        let fine = within(20, || settled(&pod).then_some(()));
        assert!(fine.is_some(), "killed with {options:?}: {:#?}", pod.status());
        let was_hit = pod.supervisor() != old;
        one_of_everything(&pod, keeper, &format!("killed with {options:?}"));
        pod.delete();
        let ended = tracer.finish();
        (was_hit, ended.stderr)
    };
    let log = path_text(&t.path("strace.log"));
    round(0, &["-o", &log]);
    let calls = numbered(&std::fs::read_to_string(&log).expect("strace's log"));
    let step = calls.len().div_ceil(most).max(1);
    let points: Vec<&(String, usize)> = calls.iter().step_by(step).collect();
    let hit: usize = std::thread::scope(|scope| {
        let worker = |number: usize| {
            let (round, points) = (&round, &points);
            scope.spawn(move || {
                let mine = points.iter().skip(number).step_by(PODS);
                let hits = mine.map(|(call, nth)| {
                    let inject = format!("inject={call}:signal=KILL:when={nth}");
                    round(number, &["-o", "/dev/null", "-e", &inject]).0
                });
                hits.filter(|hit| *hit).count()
            })
        };
        let workers: Vec<_> = (0..PODS).map(worker).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
    });
    note(&format!("killed at {hit} of {} points, of {} calls", points.len(), calls.len()));
    assert!(hit * 10 >= points.len() * 6, "only {hit} of {} were hit", points.len());
    let left = t.corner().settle();
    assert!(left.is_empty(), "{left:#?}");
}

fn killed_at_every_system_call_of_a_restart(t: &Test) {
    besiege(
        t,
        |podrun, _, file| {
            podrun.run(&["pod", "run", "-d", "-f", file]).ok();
        },
        |pod| slay(pod.init("a")),
        |pod| {
            let container = pod.container("a");
            container.state.is_running() && (1..=2).contains(&container.restart_count) && container.ready
        },
    );
}

fn killed_at_every_system_call_of_a_start(t: &Test) {
    besiege(
        t,
        |podrun, _, file| {
            podrun.run(&["pod", "create", "-f", file]).ok();
        },
        |pod| {
            pod.podrun.run(&["pod", "start", &pod.name]).ok();
        },
        |pod| {
            let container = pod.container("a");
            container.state.is_running() && container.restart_count <= 1
        },
    );
}
