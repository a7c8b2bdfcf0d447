//! The times of pods, measured by the monotonic clock against what their manifests and options ask for: never shorter, and
//! longer by a tenth at most and what the machine needed in the same run (see [`Pace`]).

use crate::harness::diary::{DEAF, Diary, columns, exec, notes, pod, probe, says, until_columns};
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Runtime, Test, case, machine, note, skip, within};
use podrun::model::status::{ContainerState, ContainerStatus, Phase};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub fn cases() -> Vec<Case> {
    vec![
        case!(back_off_steps_and_reset_hold).exclusive().seconds(90),
        case!(a_new_supervisor_keeps_the_back_off_and_apply_changes_it).exclusive(),
        case!(back_off_options_go_together),
        case!(a_sidecar_that_ends_is_seen_in_a_crash_loop).exclusive(),
        case!(probe_periods_hold).exclusive(),
        case!(grace_periods_hold).exclusive(),
        case!(waits_hold_while_the_wall_clock_jumps).exclusive().seconds(120),
    ]
}

/// What this machine adds to every time at present: how much too late a thread that sleeps 5 ms wakes up at worst, looked
/// at all the while, and what work without any wait took.
struct Pace {
    worst_micros: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    work: f64,
}

impl Pace {
    fn measure() -> Self {
        const NAP: Duration = Duration::from_millis(5);
        let (worst_micros, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, done) = (Arc::clone(&worst_micros), Arc::clone(&over));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(NAP);
                let late = began.elapsed().saturating_sub(NAP).as_micros();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_micros, over, work: 0.0 }
    }

    /// So many seconds were needed for the work that comes with a wait, such as making a container, where there was none.
    fn works(mut self, seconds: f64) -> Self {
        self.work = self.work.max(seconds);
        self
    }

    fn late(&self) -> f64 {
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Fails unless something took as long as it was asked to.
    #[track_caller]
    fn holds(&self, what: &str, seconds: f64, asked: f64) {
        self.holds_within(what, seconds, asked, asked / 10.0);
    }

    /// Likewise, with so many seconds in the place of a tenth.
    #[track_caller]
    fn holds_within(&self, what: &str, seconds: f64, asked: f64, more: f64) {
        // Twice, since no two runs of the same work take the same time; /proc/uptime counts hundredths.
        let allowed = 2.0 * self.work + self.late() + 0.01;
        let range = asked - 0.01..=asked + more + allowed;
        assert!(
            range.contains(&seconds),
            "{what} took {seconds:.3} s in place of {asked} s ({allowed:.3} s allowed)"
        );
        note(&format!("{what}: {seconds:.3} s for {asked} s, of {allowed:.3} s allowed for the machine"));
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Runs the pod `p` of a manifest with options.
#[track_caller]
fn run<'a>(t: &Test, podrun: &'a Runtime, manifest: &Value, options: &[&str]) -> Supervised<'a> {
    let file = t.manifest(manifest);
    podrun.run(&[&["pod", "run", "-d", "-f", &file], options].concat()).ok();
    Supervised::of(podrun, "p")
}

fn is_looping(container: &ContainerStatus) -> bool {
    matches!(&container.state, ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff")
}

/// The wait before the `nth` start, from 0.
#[track_caller]
fn wait(diary: &Diary<'_>, nth: usize) -> f64 {
    diary.at("up", nth) - diary.at("down", nth - 1)
}

const CRASH: &str = "/out/at up; /out/at down; exit 1";

fn back_off_steps_and_reset_hold(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    // The sixth run is long enough to be forgiven.
    let script = "/out/at up; [ $(grep -c up /out/diary) -ne 6 ] || sleep 4.5; /out/at down; exit 1";
    let pace = Pace::measure();
    let options = ["--backoff-base", "1s", "--backoff-max", "3s", "--backoff-reset", "4s"];
    let pod = run(t, &podrun, &pod(t, "Always", &[], &[("app", script)]), &options);
    let pace = pace.works(wait(&diary, 1));
    let app = pod.until("app", "in a crash loop", is_looping);
    let ContainerState::Waiting { message, .. } = app.state else { panic!("{app:?}") };
    let told = format!("back-off 1s restarting failed container=app pod=p_default({})", pod.uid);
    assert_eq!(message, Some(told));
    for (nth, asked) in [(2, 1.0), (3, 2.0), (4, 3.0), (5, 3.0)] {
        pace.holds(&format!("wait {nth}"), wait(&diary, nth), asked);
    }
    pace.holds("the restart after a long run", wait(&diary, 6), 0.0);
    pace.holds("the wait after that", wait(&diary, 7), 1.0);
    assert!(pod.container("app").restart_count >= 7);
    pod.delete();
}

fn a_new_supervisor_keeps_the_back_off_and_apply_changes_it(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let pace = Pace::measure();
    let manifest = pod(t, "Always", &[], &[("app", CRASH)]);
    let pod = run(t, &podrun, &manifest, &["--backoff-base", "2s", "--backoff-max", "3s"]);
    let pace = pace.works(wait(&diary, 1));
    diary.at("down", 1);
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    pod.next_supervisor();
    // Killed in the middle of a wait, it neither begins anew nor ends early; another supervisor had to begin.
    let pace = pace.works(began.elapsed().as_secs_f64());
    pace.holds("the wait under two supervisors", wait(&diary, 2), 2.0);
    pod.next_supervisor();
    pace.holds("the next wait", wait(&diary, 3), 3.0);
    let file = t.manifest(&manifest);
    let apply =
        |options: &[&str]| podrun.run(&[&["pod", "apply", "-f", &file], options].concat()).ok().stdout;
    assert_eq!(apply(&[]), "pod/p unchanged\n");
    assert_eq!(apply(&["--backoff-base", "1s", "--backoff-max", "1s"]), "pod/p configured\n");
    assert_eq!(apply(&[]), "pod/p unchanged\n");
    let seen = diary.count("down");
    pace.holds("a wait of another length", wait(&diary, seen + 1), 1.0);
    pod.delete();
}

fn back_off_options_go_together(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&pod(t, "Always", &[], &[("app", CRASH)]));
    for (options, says) in [
        (["--backoff-base", "0s"], "invalid back-off: the base 0ns is less than 100ms"),
        (["--backoff-base", "6m"], "the longest wait 300s is shorter than the base 360s"),
        (["--backoff-reset", "1s"], "the reset 1s is shorter than the base 10s"),
        (["--backoff-max", "1"], "\"1\" is no span of time"),
    ] {
        for command in [["run", "-f"], ["create", "-f"], ["apply", "-f"]] {
            let words = [&["pod"], &command[..], &[&file], &options].concat();
            podrun.run(&words).exits(2).says(&[says]);
        }
    }
    podrun.run(&["pod", "create", "bare", "--backoff-base", "1s"]).exits(2).says(&["--filename"]);
    assert_eq!(podrun.pod_names(), [""; 0]);
}

fn a_sidecar_that_ends_is_seen_in_a_crash_loop(t: &Test) {
    let podrun = t.podrun_with_busybox();
    Diary::begin(t);
    let web = "mkdir /www; echo '<h1>page</h1>' >/www/index.html; exec httpd -f -p 80 -h /www";
    let mut manifest = pod(t, "Always", &[], &[("web", web), ("sidecar", "")]);
    manifest["spec"]["containers"][1]["command"] = json!(["wget", "-qO-", "http://localhost:80"]);
    let pod = run(t, &podrun, &manifest, &["--backoff-base", "1s", "--backoff-max", "2s"]);
    let mut seen = 0;
    let counts = within(20, || {
        let [ready, status, restarts] = columns(&podrun);
        let restarts: u32 = restarts.parse().expect("a number");
        assert!(restarts >= seen, "{restarts} after {seen}");
        seen = restarts;
        (ready == "1/2" && status == "CrashLoopBackOff" && restarts >= 3).then_some(restarts)
    });
    assert!(counts.is_some(), "{:?} {:#?}", columns(&podrun), pod.status());
    let previous = podrun.run(&["pod", "logs", "p", "-c", "sidecar", "--previous"]).ok();
    assert_eq!(previous.stdout, "<h1>page</h1>\n");
    let table = podrun.run(&["pod", "list", "p"]).ok().stdout;
    assert!(table.contains("s ago)"), "{table}");
    let [before, after] = [0, 1].map(|_| {
        let count = pod.container("sidecar").restart_count;
        within(20, || (pod.container("sidecar").restart_count > count).then_some(()));
        count
    });
    assert!(after > before, "{before} {after}");
    assert_eq!(pod.container("web").restart_count, 0);
    pod.delete();
}

/// When a container's program was started, by the supervisor's own account of it.
#[track_caller]
fn began(pod: &Supervised<'_>, name: &str) -> f64 {
    let status = pod.status();
    let place = status.all_containers().position(|each| each.name.as_str() == name).expect("the container");
    let millis = status.memory.containers[place].began.expect("a start");
    Duration::from_millis(millis).as_secs_f64()
}

fn probe_periods_hold(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    let app = &mut manifest["spec"]["containers"][0];
    for (kind, delay, period) in [("livenessProbe", 2, 1), ("readinessProbe", 0, 2)] {
        app[kind] = probe(exec(&format!("/out/at {kind}; /out/at {kind}-done")));
        (app[kind]["initialDelaySeconds"], app[kind]["periodSeconds"]) = (json!(delay), json!(period));
    }
    let pace = Pace::measure();
    let pod = run(t, &podrun, &manifest, &[]);
    diary.at("app", 0);
    let start = began(&pod, "app");
    // How long a program takes to be run in a container and to write a line.
    let pace = pace.works(diary.at("readinessProbe", 0) - start);
    let asked = |kind: &str, nth: usize| diary.at(kind, nth) - start;
    for nth in 0..7_u8 {
        pace.holds_within(
            &format!("liveness {nth}"),
            asked("livenessProbe", nth.into()),
            2.0 + f64::from(nth),
            0.1,
        );
    }
    for nth in 1..5_u8 {
        pace.holds_within(
            &format!("readiness {nth}"),
            asked("readinessProbe", nth.into()),
            2.0 * f64::from(nth),
            0.2,
        );
    }
    assert_eq!(pod.container("app").restart_count, 0);
    pod.delete();
}

fn grace_periods_hold(t: &Test) {
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let pace = Pace::measure();
    let mut manifest = pod(t, "Always", &[], &[("app", &notes("app"))]);
    // What stopping takes where nobody has to wait.
    let pod_ = run(t, &podrun, &manifest, &[]);
    diary.at("app", 0);
    let timed = |words: &[&str]| {
        let since = Instant::now();
        podrun.run(words).ok();
        since.elapsed().as_secs_f64()
    };
    let pace = pace.works(timed(&["pod", "stop", "p"]));
    pod_.delete();
    for (nth, grace) in [3_u8, 4].into_iter().enumerate() {
        manifest = pod(t, "Always", &[], &[("app", DEAF)]);
        manifest["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        let pod = run(t, &podrun, &manifest, &[]);
        diary.at("up", nth);
        pace.holds("a grace period", timed(&["pod", "stop", "p"]), grace.into());
        assert_eq!(pod.until_ended("app").exit_code, 137);
        pod.delete();
    }
    manifest = pod(t, "Always", &[], &[("app", &notes("slept"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(30);
    manifest["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 2}}});
    let pod = run(t, &podrun, &manifest, &[]);
    diary.at("slept", 0);
    pace.holds("a preStop hook that sleeps", timed(&["pod", "stop", "p"]), 2.0);
    pod.delete();
}

/// Puts the wall clock right again.
struct WallClock {
    right: SystemTime,
    since: Instant,
}

impl WallClock {
    fn new() -> Self {
        Self { right: SystemTime::now(), since: Instant::now() }
    }

    /// So many seconds before or behind what is right.
    fn jump(&self, seconds: i64) {
        let right = (self.right + self.since.elapsed()).duration_since(UNIX_EPOCH).expect("a year").as_secs();
        let time = right.checked_add_signed(seconds).expect("a time");
        let set = Command::new("date").args(["-u", "-s", &format!("@{time}")]).output().expect("date");
        assert!(set.status.success(), "{set:?}");
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        self.jump(0);
    }
}

fn waits_hold_while_the_wall_clock_jumps(t: &Test) {
    if !machine::may_set_clock() {
        skip("the wall clock is everybody's: it is set in a virtual machine alone (scripts/test --vm)");
    }
    const DAY: i64 = 86_400;
    let (podrun, diary) = (t.podrun_with_busybox(), Diary::begin(t));
    let (pace, clock) = (Pace::measure(), WallClock::new());
    let mut manifest = pod(t, "Always", &[], &[("loop", CRASH), ("app", &DEAF.replace("up", "deaf"))]);
    manifest["spec"]["terminationGracePeriodSeconds"] = json!(6);
    manifest["spec"]["containers"][1]["livenessProbe"] = probe(exec("/out/at asked"));
    manifest["spec"]["containers"][1]["livenessProbe"]["periodSeconds"] = json!(10);
    let pod = run(t, &podrun, &manifest, &["--backoff-base", "8s", "--backoff-max", "8s"]);
    let pace = pace.works(wait(&diary, 1)).works(diary.at("asked", 0) - began(&pod, "app"));
    let mut short = manifest.clone();
    short["metadata"]["name"] = json!("short");
    short["spec"]["activeDeadlineSeconds"] = json!(9);
    short["spec"]["containers"] = json!([short["spec"]["containers"][1]]);
    short["spec"]["containers"][0]["command"] = json!(["sh", "-c", notes("short")]);
    let second = Supervised::run(&podrun, "short", &t.manifest(&short));
    diary.at("short", 0);
    diary.at("down", 1);
    clock.jump(DAY);
    pace.holds("a back-off over a jump ahead", wait(&diary, 2), 8.0);
    // It counts from the pod's start on, to which the way of its program to the first line is not added.
    let told = Duration::from_millis(second.status().memory.started.expect("a start")).as_secs_f64();
    pace.holds("a deadline over a jump ahead", diary.at("short-stopped", 0) - told, 9.0);
    // The run that began after the jump is over, and the supervisor has written so.
    let ended = |it: &ContainerStatus| it.restart_count == 2 && is_looping(it);
    let last = pod.until("loop", "in a crash loop after the jump", ended).last_state.expect("how it ended");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a year").as_secs();
    assert!(
        last.finished_at <= now && now - last.finished_at < 600,
        "the status goes by the wall clock: {last:?}"
    );
    let failed = within(10, || (second.status().phase == Phase::Failed).then_some(()));
    assert!(failed.is_some(), "{:?}", second.status());
    second.delete();
    diary.at("down", 2);
    clock.jump(-DAY);
    let since = Instant::now();
    pod.next_supervisor();
    let pace = pace.works(since.elapsed().as_secs_f64());
    pace.holds("a back-off over a jump back, under two supervisors", wait(&diary, 3), 8.0);
    let since = Instant::now();
    let stop = podrun.cmd(&["pod", "stop", "p"]).spawn();
    diary.at("signal", 0);
    clock.jump(DAY);
    pod.next_supervisor();
    stop.finish().ok();
    pace.holds("a grace period over a jump ahead, under two supervisors", since.elapsed().as_secs_f64(), 6.0);
    assert_eq!(pod.until_ended("app").exit_code, 137);
    until_columns(&podrun, ["0/2", "Error", "3"]);
    says(&pod, "Killing Stopping container app");
    pod.delete();
}
