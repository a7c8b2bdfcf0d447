//! Two commands on one id at the same time: one success and one clear error, and nothing left behind.

use crate::harness::{Bundle, Case, Outcome, Runtime, Test, case, eventually, machine, note, pods, proc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often each race is run.
const ROUNDS: usize = 40;

pub fn cases() -> Vec<Case> {
    vec![
        case!(create_against_create),
        case!(create_against_delete).seconds(120),
        case!(create_against_plain_delete).seconds(120),
        case!(start_against_start),
        case!(start_after_a_start_that_was_killed),
        case!(start_against_delete).seconds(120),
        case!(kill_against_delete).seconds(120),
        case!(delete_against_delete),
        case!(run_against_delete).seconds(120),
        case!(pod_create_against_pod_create),
        case!(pod_create_against_pod_delete).seconds(120),
        case!(pod_delete_against_pod_delete),
        case!(container_create_against_pod_delete).seconds(120),
        case!(two_commands_heal_one_pause),
        case!(fifty_concurrent_creates).exclusive().seconds(120),
        case!(fifty_concurrent_pods).exclusive().seconds(120),
        case!(list_during_changes),
    ]
}

/// Runs two command lines at the same time. From round to round the later one comes a little later, and the roles change,
/// so that each meets the other at many points.
#[track_caller]
fn both(podrun: &Runtime, round: usize, first: &[&str], second: &[&str]) -> (Outcome, Outcome) {
    let lag = Duration::from_micros(500) * u32::try_from(round / 2 % 10).unwrap_or(0) * machine::slowness();
    if round.is_multiple_of(2) {
        let first = podrun.cmd(first).spawn();
        std::thread::sleep(lag);
        let second = podrun.cmd(second).spawn();
        (first.finish(), second.finish())
    } else {
        let second = podrun.cmd(second).spawn();
        std::thread::sleep(lag);
        let first = podrun.cmd(first).spawn();
        (first.finish(), second.finish())
    }
}

/// Demands success, or a refusal that says one of `excuses`.
#[track_caller]
fn ok_or_says(outcome: &Outcome, excuses: &[&str]) -> bool {
    let excused = outcome.code() == 1 && excuses.iter().any(|excuse| outcome.stderr.contains(excuse));
    if outcome.code() != 0 && !excused {
        outcome.fail(&format!("neither success nor one of {excuses:?}"));
    }
    outcome.code() == 0
}

/// Demands that exactly one of two succeeded and that the other says one of `excuses`.
#[track_caller]
fn one_wins(pair: &(Outcome, Outcome), excuses: &[&str]) {
    let won = [ok_or_says(&pair.0, excuses), ok_or_says(&pair.1, excuses)];
    assert!(won[0] != won[1], "both or none succeeded: {pair:#?}");
}

#[track_caller]
fn sleeper(t: &Test) -> Bundle {
    t.bundle().args(&["/bin/probe", "sleep", "300"])
}

/// After a round: a forced delete removes whatever there is, and then there is nothing.
#[track_caller]
fn clean(t: &Test, podrun: &Runtime, id: &str) {
    podrun.run(&["delete", "--force", id]).ok();
    assert_eq!(podrun.ids(), Vec::<String>::new());
    let left = t.corner().settle();
    assert!(left.is_empty(), "left after delete --force: {left:#?}");
}

fn create_against_create(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        let create = ["create", "--bundle", bundle.text(), "c"];
        one_wins(&both(&podrun, round, &create, &create), &["already exists"]);
        podrun.run(&["start", "c"]).ok();
        clean(t, &podrun, "c");
    }
}

fn create_against_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    let mut made = 0;
    for round in 0..ROUNDS {
        let (create, delete) =
            both(&podrun, round, &["create", "--bundle", bundle.text(), "c"], &["delete", "--force", "c"]);
        delete.ok();
        made += usize::from(ok_or_says(&create, &["deleted", "deleting", "being created", "does not exist"]));
        clean(t, &podrun, "c");
    }
    note(&format!("create won {made} of {ROUNDS} times"));
}

fn create_against_plain_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        let (create, delete) =
            both(&podrun, round, &["create", "--bundle", bundle.text(), "c"], &["delete", "c"]);
        // As runc does, it takes a created container, and says so to a create that is not quite through with it.
        let won = [
            ok_or_says(&create, &["deleted", "deleting"]),
            ok_or_says(&delete, &["does not exist", "not stopped", "being created", "creating"]),
        ];
        assert!(won[0] || won[1], "both failed: {create:?} {delete:?}");
        clean(t, &podrun, "c");
    }
}

fn start_against_start(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        podrun.create(&bundle, "c");
        one_wins(
            &both(&podrun, round, &["start", "c"], &["start", "c"]),
            &["running", "starting", "not created"],
        );
        assert_eq!(podrun.status("c").as_deref(), Some("running"));
        clean(t, &podrun, "c");
    }
}

/// Init was told to go on by a command that is no more, and has not come to it yet: the next `start` finds it created.
fn start_after_a_start_that_was_killed(t: &Test) {
    let podrun = t.podrun();
    for arguments in [["/bin/probe", "sleep", "300"], ["/bin/probe", "exit", "3"]] {
        podrun.create(&t.bundle().args(&arguments), "c");
        let init = podrun.pid("c");
        let signal = |signal| kill(Pid::from_raw(init), signal).expect("to signal init");
        signal(Signal::SIGSTOP);
        eventually("init stops", || (proc::state(init) == Some('T')).then_some(()));
        let path = podrun.root().join("containers/c/exec.fifo");
        let mut fifo = std::fs::OpenOptions::new().write(true).open(path).expect("the FIFO");
        fifo.write_all(b"0").expect("to tell init to go on");
        let start = podrun.cmd(&["start", "c"]).spawn();
        let told = || podrun::sys::fs::unread_bytes(fifo.as_fd()).expect("the FIFO's size");
        eventually("start tells it too", || (told() == 2).then_some(()));
        signal(Signal::SIGCONT);
        start.finish().ok();
        clean(t, &podrun, "c");
    }
}

fn start_against_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        podrun.create(&bundle, "c");
        let (start, delete) = both(&podrun, round, &["start", "c"], &["delete", "--force", "c"]);
        delete.ok();
        ok_or_says(&start, &["does not exist", "stopped", "deleted", "deleting", "died"]);
        clean(t, &podrun, "c");
    }
}

fn kill_against_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        podrun.up(&bundle, "c");
        let (kill, delete) = both(&podrun, round, &["kill", "c", "KILL"], &["delete", "--force", "c"]);
        delete.ok();
        ok_or_says(&kill, &["does not exist", "container not running"]);
        clean(t, &podrun, "c");
    }
}

fn delete_against_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        podrun.up(&bundle, "c");
        // Forced, both may be content: the container is gone when they return.
        let (first, second) = both(&podrun, round, &["delete", "--force", "c"], &["delete", "--force", "c"]);
        let won = [&first, &second].map(|out| ok_or_says(out, &["deleting"]));
        assert!(won[0] || won[1], "{first:?} {second:?}");
        clean(t, &podrun, "c");
    }
}

fn run_against_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for round in 0..ROUNDS {
        let (run, delete) =
            both(&podrun, round, &["run", "-d", "--bundle", bundle.text(), "c"], &["delete", "--force", "c"]);
        delete.ok();
        ok_or_says(&run, &["deleted", "deleting", "does not exist", "stopped", "died"]);
        clean(t, &podrun, "c");
    }
}

#[track_caller]
fn clean_pod(t: &Test, podrun: &Runtime, name: &str) {
    podrun.remove_pod(name);
    assert_eq!((podrun.pod_names(), podrun.ids()), (vec![], vec![]));
    let left = t.corner().settle();
    assert!(left.is_empty(), "left after pod delete --force: {left:#?}");
}

fn pod_create_against_pod_create(t: &Test) {
    let podrun = t.podrun();
    let parent = pods::pod_parent();
    for round in 0..ROUNDS {
        let create =
            ["pod", "create", "p", "--cgroup-parent", &parent, "--volume", "d=emptyDir,medium=Memory"];
        one_wins(&both(&podrun, round, &create, &create), &["already exists"]);
        clean_pod(t, &podrun, "p");
    }
}

fn pod_create_against_pod_delete(t: &Test) {
    let podrun = t.podrun();
    let parent = pods::pod_parent();
    let mut made = 0;
    for round in 0..ROUNDS {
        let create =
            ["pod", "create", "p", "--cgroup-parent", &parent, "--volume", "d=emptyDir,medium=Memory"];
        let (create, delete) = both(&podrun, round, &create, &["pod", "delete", "--force", "p"]);
        ok_or_says(&delete, &["still creating", "being created", "is deleting"]);
        made += usize::from(ok_or_says(&create, &["deleted", "deleting", "is gone", "not found"]));
        clean_pod(t, &podrun, "p");
    }
    note(&format!("create won {made} of {ROUNDS} times"));
}

fn pod_delete_against_pod_delete(t: &Test) {
    let podrun = t.podrun();
    for round in 0..ROUNDS {
        podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
        let delete = ["pod", "delete", "--force", "p"];
        let (first, second) = both(&podrun, round, &delete, &delete);
        let won = [&first, &second].map(|out| ok_or_says(out, &["deleting", "not found"]));
        assert!(won[0] || won[1], "{first:?} {second:?}");
        clean_pod(t, &podrun, "p");
    }
}

fn container_create_against_pod_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t).edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    });
    for round in 0..ROUNDS {
        podrun.pod("p", &[]);
        let create = ["create", "--bundle", bundle.text(), "--pod", "p", "c"];
        let (create, delete) = both(&podrun, round, &create, &["pod", "delete", "--force", "p"]);
        let deleted = ok_or_says(&delete, &["being created", "creating"]);
        ok_or_says(&create, &["not found", "deleted", "deleting", "gone", "not whole"]);
        if deleted {
            assert_eq!(podrun.pod_names(), Vec::<String>::new());
            assert_eq!(podrun.ids(), Vec::<String>::new(), "a container without its pod");
        }
        clean_pod(t, &podrun, "p");
    }
}

fn two_commands_heal_one_pause(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let bundle = sleeper(t).edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    });
    podrun.up_in("p", &bundle, "c", &[]);
    for round in 0..ROUNDS {
        let pause = nix::unistd::Pid::from_raw(podrun.pause_pid("p"));
        nix::sys::signal::kill(pause, nix::sys::signal::Signal::SIGKILL).expect("to kill the pause");
        eventually("it is dead", || (!proc::lives(pause.as_raw())).then_some(()));
        let (first, second) = both(&podrun, round, &["pod", "state", "p"], &["pod", "state", "p"]);
        first.ok();
        second.ok();
        let warden = proc::parent(i32::try_from(std::process::id()).unwrap()).expect("a parent");
        let living = proc::descendants(warden).into_iter().filter(|pid| proc::lives(*pid));
        let pauses = living.filter(|pid| proc::command_line(*pid).starts_with("pause"));
        assert_eq!(pauses.count(), 1, "one pause, not two");
    }
    clean_pod(t, &podrun, "p");
}

fn fifty_concurrent_creates(t: &Test) {
    const COUNT: usize = 50;
    let podrun = t.podrun();
    let bundle = sleeper(t);
    let ids: Vec<String> = (0..COUNT).map(|number| format!("c{number}")).collect();
    let began = Instant::now();
    let all = |words: &dyn Fn(&str) -> Vec<String>| {
        let running: Vec<_> = ids
            .iter()
            .map(|id| {
                let words = words(id);
                podrun.cmd(&words.iter().map(String::as_str).collect::<Vec<_>>()).spawn()
            })
            .collect();
        running.into_iter().for_each(|one| drop(one.finish().ok()));
    };
    all(&|id| ["create", "--bundle", bundle.text(), id].map(str::to_owned).into());
    assert_eq!(podrun.ids().len(), COUNT);
    all(&|id| ["start", id].map(str::to_owned).into());
    let list = podrun.run(&["list", "-f", "json"]).ok().json();
    assert!(list.as_array().expect("a list").iter().all(|c| c["status"] == "running"), "{list}");
    all(&|id| ["delete", "--force", id].map(str::to_owned).into());
    note(&format!("{COUNT} containers in {} ms", began.elapsed().as_millis()));
    clean(t, &podrun, "c0");
}

fn fifty_concurrent_pods(t: &Test) {
    const COUNT: usize = 50;
    let podrun = t.podrun();
    let parent = pods::pod_parent();
    let names: Vec<String> = (0..COUNT).map(|number| format!("p{number}")).collect();
    let create = |name: &String| podrun.cmd(&["pod", "create", name, "--cgroup-parent", &parent]).spawn();
    let running: Vec<_> = names.iter().map(create).collect();
    running.into_iter().for_each(|one| drop(one.finish().ok()));
    assert_eq!(podrun.pod_names().len(), COUNT);
    let running: Vec<_> =
        names.iter().map(|name| podrun.cmd(&["pod", "delete", "--force", name]).spawn()).collect();
    running.into_iter().for_each(|one| drop(one.finish().ok()));
    clean_pod(t, &podrun, "p0");
}

fn list_during_changes(t: &Test) {
    let podrun = t.podrun();
    let bundle = sleeper(t);
    for _ in 0..ROUNDS {
        let create = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]).spawn();
        // Whatever it sees of the half-made, it is no error.
        podrun.run(&["list"]).ok().quietly();
        podrun.run(&["list", "-f", "json"]).ok().json();
        create.finish().ok();
        let delete = podrun.cmd(&["delete", "--force", "c"]).spawn();
        podrun.run(&["list"]).ok().quietly();
        delete.finish().ok();
    }
    clean(t, &podrun, "c");
}
