//! SIGKILL at every system call: what is left is shown by `list` and removed without a trace by `delete --force`.
//!
//! strace(1) injects the signal; podrun has no hook for it. With `PODRUN_TEST_QUICK=1` each command is hit at up to
//! [`MOST`] evenly spread calls only.

use crate::harness::command::Outcome;
use crate::harness::manifests::shell_pod;
use crate::harness::pods::{self, sleeper};
use crate::harness::{Bundle, Case, Runtime, Test, case, machine, note, runtime::path_text, skip, within};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// Calls to hit per command when time is short.
const MOST: usize = 60;

pub fn cases() -> Vec<Case> {
    vec![
        case!(create_killed).seconds(600),
        case!(create_in_a_pod_killed).seconds(600),
        case!(init_killed_during_create).seconds(600),
        case!(create_in_a_user_namespace_killed).seconds(600),
        case!(init_killed_in_a_user_namespace).seconds(600),
        case!(start_killed).seconds(600),
        case!(delete_killed).seconds(600),
        case!(pod_create_killed).seconds(600),
        case!(pause_killed_during_pod_create).seconds(600),
        case!(pod_delete_killed).seconds(600),
        case!(healing_killed).seconds(600),
        case!(manifest_pod_run_killed).seconds(900),
        case!(manifest_pod_delete_killed).seconds(900),
    ]
}

/// One command that is killed again and again.
struct Siege<'a> {
    t: &'a Test,
    podrun: Runtime,
    /// The command line.
    words: Vec<String>,
    /// Makes what the command works on.
    before: &'a dyn Fn(&Runtime),
    /// What `list` or `pod list -o name` prints of the thing.
    listed: (&'a [&'a str], &'a str),
    /// Removes it by force.
    remove: Vec<&'a [&'a str]>,
}

impl Siege<'_> {
    /// Runs the command under strace; the direct child is the command, so that its end is what is waited for.
    #[track_caller]
    fn traced(&self, options: &[&str]) -> Outcome {
        (self.before)(&self.podrun);
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut strace = vec!["strace", "-D", "-qq"];
        strace.extend(options);
        self.podrun.cmd(&words).under(strace).run()
    }

    /// The system calls of the command's own process and of its children, by name, from one undisturbed run.
    #[track_caller]
    fn calls(&self) -> (Vec<String>, Vec<String>) {
        let log = self.t.path("strace.log");
        let outcome = self.traced(&["-f", "-o", &path_text(&log)]).ok();
        self.clear("an undisturbed run");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.trim_start().split_once(' ')).peekable();
        let Some((own, _)) = lines.peek().copied() else { outcome.fail("strace wrote nothing") };
        let (mut parent, mut children) = (Vec::new(), Vec::new());
        for (pid, call) in lines {
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            if name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                continue;
            }
            if pid == own { parent.push(name.to_owned()) } else { children.push(name.to_owned()) }
        }
        (parent, children)
    }

    /// Removes by force, and looks for traces.
    #[track_caller]
    fn clear(&self, when: &str) {
        let uids = pods::uids(&self.podrun.root());
        for words in &self.remove {
            self.podrun.run(words).ok();
        }
        let left = self.t.corner().settle();
        assert!(left.is_empty(), "left after {when} and removal by force: {left:#?}");
        assert_eq!(pods::pair_groups(&uids), Vec::<PathBuf>::new(), "left after {when} and removal by force");
    }

    /// After a kill: listed, or nothing is there at all. What falls apart by itself is given time to.
    #[track_caller]
    fn check(&self, when: &str) {
        let mut left = Vec::new();
        let fine = within(3, || {
            let shown = self.podrun.run(self.listed.0).ok().stdout.lines().any(|line| line == self.listed.1);
            left = self.t.corner().look_around();
            // The tracer itself is no trace of podrun.
            left.retain(|what| !what.contains("(strace"));
            (shown || left.is_empty()).then_some(())
        });
        assert!(fine.is_some(), "after {when} nothing is listed, but there is: {left:#?}");
        self.clear(when);
    }

    /// Kills the command's own process at its calls. strace counts each kind of call by itself.
    #[track_caller]
    fn kill_parent(&self) {
        let (calls, _) = self.calls();
        let numbered = numbered(&calls);
        let points = spread(calls.len());
        let mut hit = 0;
        for point in &points {
            let (name, nth) = numbered[point - 1];
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let out = self.traced(&["-o", "/dev/null", "-e", &inject]);
            hit += usize::from(out.status.signal() == Some(libc::SIGKILL));
            self.check(&format!("SIGKILL at call {point} of {}, {name} number {nth}", calls.len()));
        }
        note(&format!("killed at {hit} of its {} calls", calls.len()));
        // A command that waits makes a varying number of calls.
        assert!(hit * 10 >= points.len() * 5 && hit > 20, "only {hit} of {} points were hit", points.len());
    }

    /// Kills a child of the command at the calls that the parent makes less often: at the others both would be hit.
    #[track_caller]
    fn kill_child(&self, fewest: usize) {
        let (parent, children) = self.calls();
        let rarer = |(name, nth): &(&str, usize)| *nth > parent.iter().filter(|call| call == name).count();
        let candidates: Vec<(&str, usize)> = numbered(&children).into_iter().filter(rarer).collect();
        let mut hit = 0;
        for point in spread(candidates.len()) {
            let (name, nth) = candidates[point - 1];
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let out = self.traced(&["-f", "-o", "/dev/null", "-e", &inject]);
            // Now and then the parent makes one call more than it did at first, and is hit itself.
            if out.status.signal().is_none() && out.code() != 0 {
                hit += 1;
                assert!(out.code() == 1 && !out.stderr.is_empty(), "{out:?}");
            }
            self.check(&format!("SIGKILL of the child at {name} number {nth}"));
        }
        note(&format!("its child was killed at {hit} of {} calls", children.len()));
        assert!(hit >= fewest, "only {hit} points were hit, of {candidates:?}");
    }
}

/// Each call with how often its kind has been made by then.
fn numbered(calls: &[String]) -> Vec<(&str, usize)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let count = |name| {
        let nth = seen.entry(name).or_insert(0);
        *nth += 1;
        (name, *nth)
    };
    calls.iter().map(String::as_str).map(count).collect()
}

/// Numbers from 1 to `count`, thinned out evenly.
fn spread(count: usize) -> Vec<usize> {
    let all = 1..=count;
    if count <= MOST || std::env::var_os("PODRUN_TEST_QUICK").is_none() {
        return all.collect();
    }
    (0..MOST).map(|index| 1 + index * (count - 1) / (MOST - 1)).collect()
}

fn needs_strace() {
    if !machine::has_package("strace") {
        skip("strace is not installed");
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const LIST: &[&str] = &["list", "-q"];
const POD_LIST: &[&str] = &["pod", "list", "-o", "name"];
const DELETE: &[&str] = &["delete", "--force", "c"];
const POD_DELETE: &[&str] = &["pod", "delete", "--force", "p"];

#[track_caller]
fn of_create<'a>(t: &'a Test, bundle: &Bundle) -> Siege<'a> {
    needs_strace();
    let pid_file = path_text(&t.path("pid"));
    Siege {
        t,
        podrun: t.podrun(),
        words: words(&["create", "--bundle", bundle.text(), "--pid-file", &pid_file, "c"]),
        before: &|_| {},
        listed: (LIST, "c"),
        remove: vec![DELETE],
    }
}

/// A profile, so that the filter is compiled and cached; it is another one each time the cache is empty.
#[track_caller]
fn with_profile(bundle: Bundle) -> Bundle {
    let calls = serde_json::json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]);
    bundle.set("/linux/seccomp", serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
}

/// Forgets the compiled filters, so that the next command writes them anew.
fn forget_filters(podrun: &Runtime) {
    drop(std::fs::remove_dir_all(podrun.root().join("seccomp")));
}

fn create_killed(t: &Test) {
    let bundle = with_profile(sleeper(t).mount("tmpfs", "t", "/scratch", &["size=64k"]));
    let siege = of_create(t, &bundle);
    Siege { before: &forget_filters, ..siege }.kill_parent();
}

fn init_killed_during_create(t: &Test) {
    of_create(t, &sleeper(t).mount("tmpfs", "t", "/scratch", &["size=64k"])).kill_child(20);
}

/// Of the host's ipc namespace, so that podrun:join stands between.
fn in_a_user_namespace(t: &Test) -> Bundle {
    sleeper(t).in_user_namespace(100_000, 200_000).namespace("ipc", Some("/proc/self/ns/ipc")).edit(
        |config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["type"] != "mqueue");
        },
    )
}

fn create_in_a_user_namespace_killed(t: &Test) {
    of_create(t, &in_a_user_namespace(t)).kill_parent();
}

fn init_killed_in_a_user_namespace(t: &Test) {
    of_create(t, &in_a_user_namespace(t)).kill_child(20);
}

fn create_in_a_pod_killed(t: &Test) {
    needs_strace();
    let bundle = sleeper(t);
    let siege = Siege {
        t,
        podrun: t.podrun(),
        words: words(&["create", "--bundle", bundle.text(), "--pod", "p", "--volume", "d:/d", "c"]),
        before: &|podrun| drop(podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"])),
        listed: (POD_LIST, "pod/p"),
        remove: vec![DELETE, POD_DELETE],
    };
    siege.kill_parent();
}

fn start_killed(t: &Test) {
    let bundle = sleeper(t);
    let siege = of_create(t, &bundle);
    let before = |podrun: &Runtime| drop(podrun.create(&bundle, "c"));
    Siege { words: words(&["start", "c"]), before: &before, ..siege }.kill_parent();
}

fn delete_killed(t: &Test) {
    let bundle = sleeper(t);
    let siege = of_create(t, &bundle);
    let before = |podrun: &Runtime| drop(podrun.up(&bundle, "c"));
    Siege { words: words(DELETE), before: &before, ..siege }.kill_parent();
}

#[track_caller]
fn of_pod_create(t: &Test) -> Siege<'_> {
    needs_strace();
    let parent = pods::pod_parent();
    let memory = "d=emptyDir,medium=Memory,sizeLimit=1Mi";
    let create =
        ["pod", "create", "p", "--cgroup-parent", &parent, "--volume", memory, "--volume", "e=emptyDir"];
    Siege {
        t,
        podrun: t.podrun(),
        words: words(&[&create[..], &["--memory", "64Mi", "--share-pid"]].concat()),
        before: &|_| {},
        listed: (POD_LIST, "pod/p"),
        remove: vec![POD_DELETE],
    }
}

/// Forgets the unpacked pause, so that the next command writes it anew.
fn forget_programs(podrun: &Runtime) {
    let lib: &Path = &podrun.data_root().join("lib");
    drop(std::fs::remove_dir_all(lib));
}

fn pod_create_killed(t: &Test) {
    Siege { before: &forget_programs, ..of_pod_create(t) }.kill_parent();
}

fn pause_killed_during_pod_create(t: &Test) {
    of_pod_create(t).kill_child(5);
}

fn pod_delete_killed(t: &Test) {
    let bundle = sleeper(t);
    let before = |podrun: &Runtime| {
        podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory", "--volume", "e=emptyDir"]);
        podrun.up_in("p", &bundle, "c", &["--volume", "d:/d", "--volume", "e:/e"]);
    };
    Siege { words: words(POD_DELETE), before: &before, ..of_pod_create(t) }.kill_parent();
}

fn healing_killed(t: &Test) {
    let bundle = sleeper(t);
    let before = |podrun: &Runtime| {
        podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
        podrun.up_in("p", &bundle, "c", &["--volume", "d:/d"]);
        let pause = nix::unistd::Pid::from_raw(podrun.pause_pid("p"));
        nix::sys::signal::kill(pause, nix::sys::signal::Signal::SIGKILL).expect("to kill the pause");
        within(5, || (!crate::harness::proc::lives(pause.as_raw())).then_some(()));
    };
    Siege { words: words(&["pod", "state", "p"]), before: &before, ..of_pod_create(t) }.kill_parent();
}

/// A command on a pod of a manifest.
#[track_caller]
fn of_manifest<'a>(t: &'a Test, command: &[&str], before: &'a dyn Fn(&Runtime)) -> Siege<'a> {
    needs_strace();
    Siege {
        t,
        podrun: t.podrun_with_busybox(),
        words: words(command),
        before,
        listed: (POD_LIST, "pod/p"),
        remove: vec![POD_DELETE],
    }
}

#[track_caller]
fn manifest(t: &Test) -> String {
    let mut pod = shell_pod("p", "Always", &[("a", "sleep 300")]);
    pod["spec"]["volumes"] = serde_json::json!([{"name": "d", "emptyDir": {"medium": "Memory"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "d", "mountPath": "/d"}]);
    t.manifest(&pod)
}

fn manifest_pod_run_killed(t: &Test) {
    of_manifest(t, &["pod", "run", "-d", "-f", &manifest(t)], &|_| {}).kill_parent();
}

fn manifest_pod_delete_killed(t: &Test) {
    let file = manifest(t);
    let before = |podrun: &Runtime| drop(podrun.run(&["pod", "run", "-d", "-f", &file]).ok());
    of_manifest(t, &["pod", "delete", "--grace-period", "0", "p"], &before).kill_parent();
}
