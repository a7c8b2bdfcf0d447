//! State on disk that is wrong: half-written, of another version, of another boot, of a pid that is another's by now.

use crate::harness::manifests::shell_pod;
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Runtime, Test, case, proc};
use serde_json::{Value, json};
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(half_written_record),
        case!(record_of_another_version),
        case!(record_without_config),
        case!(directory_without_record),
        case!(recycled_pid_is_not_signalled),
        case!(record_of_an_earlier_boot),
        case!(removed_names_of_pods_come_back),
    ]
}

/// The record of a container that sleeps.
#[track_caller]
fn with_record(t: &Test, podrun: &Runtime) -> (std::path::PathBuf, Value) {
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "60"]), "c");
    let path = podrun.root().join("containers/c/state.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"));
    (path, serde_json::from_str(&text).expect("a record is JSON"))
}

/// A record that cannot be used: every command says so, `list` goes on, and `delete --force` removes it.
#[track_caller]
fn unusable_record(podrun: &Runtime, path: &Path, before: &Value) {
    podrun.run(&["state", "c"]).refused(&["containers/c/", "delete --force"]);
    podrun.run(&["start", "c"]).refused(&["containers/c/"]);
    let list = podrun.run(&["list"]);
    assert_eq!(list.code(), 0, "{list:?}");
    assert!(list.stdout.contains('c'), "list shows it: {list:?}");
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(!path.exists());
    // The init of a record that was spoilt on purpose is nobody's any more: end it here if podrun could not know it.
    let pid = before.pointer("/process/pid").or_else(|| before.pointer("/init/pid")).and_then(Value::as_i64);
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| proc::lives(*pid)) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .expect("to end it");
    }
}

fn half_written_record(t: &Test) {
    let podrun = t.podrun();
    let (path, record) = with_record(t, &podrun);
    let text = std::fs::read(&path).expect("the record");
    std::fs::write(&path, &text[..text.len() / 2]).expect("to cut it");
    unusable_record(&podrun, &path, &record);
}

fn record_of_another_version(t: &Test) {
    let podrun = t.podrun();
    let (path, record) = with_record(t, &podrun);
    let mut newer = record.clone();
    newer["version"] = json!(9999);
    std::fs::write(&path, newer.to_string()).expect("to change it");
    podrun.run(&["state", "c"]).refused(&["version"]);
    unusable_record(&podrun, &path, &record);
}

fn record_without_config(t: &Test) {
    let podrun = t.podrun();
    with_record(t, &podrun);
    std::fs::remove_file(podrun.root().join("containers/c/config.json")).expect("the copy of the config");
    podrun.run(&["delete", "--force", "c"]).ok();
    assert_eq!(podrun.ids(), Vec::<String>::new());
}

fn directory_without_record(t: &Test) {
    let podrun = t.podrun();
    let directory = podrun.root().join("containers/c");
    std::fs::create_dir_all(&directory).expect("a directory");
    // A creator that died before its first write; nothing tells it from one that is about to write.
    podrun.run(&["state", "c"]).refused(&[]);
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(!directory.exists());
    assert_eq!(podrun.ids(), Vec::<String>::new());
    podrun.facts(&t.bundle());
}

/// Changes the record so that it names another process than the container's init.
#[track_caller]
fn pretend(podrun: &Runtime, change: impl FnOnce(&mut Value)) {
    let path = podrun.root().join("containers/c/state.json");
    let mut record: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("a record")).expect("JSON");
    let key = ["process", "init"].into_iter().find(|key| record[*key].is_object());
    change(&mut record[key.expect("the record names a process")]);
    std::fs::write(&path, record.to_string()).expect("to change it");
}

fn recycled_pid_is_not_signalled(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    let mut victim = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
    let started = proc::start_time(i32::try_from(victim.id()).unwrap());
    pretend(&podrun, |process| {
        process["pid"] = json!(victim.id());
        // Both may have started within one tick of the clock.
        process["startTime"] = json!(started.expect("it lives") - 1);
    });
    assert_eq!(podrun.status("c").as_deref(), Some("stopped"));
    podrun.run(&["kill", "c", "KILL"]).refused(&["container not running"]);
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(proc::lives(i32::try_from(victim.id()).unwrap()), "another process was killed");
    victim.kill().expect("to end it");
    victim.wait().expect("to reap it");
}

fn record_of_an_earlier_boot(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "60"]), "c");
    let pid = podrun.pid("c");
    pretend(&podrun, |process| process["bootId"] = json!("01234567-89ab-cdef-0123-456789abcdef"));
    // The first command after a reboot clears what the last boot left; it must not touch today's process of that pid.
    let status = podrun.status("c");
    assert!(matches!(status.as_deref(), None | Some("stopped")), "{status:?}");
    assert!(proc::lives(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .expect("to end it");
    podrun.run(&["delete", "--force", "c"]).ok();
    assert_eq!(podrun.ids(), Vec::<String>::new());
}

fn removed_names_of_pods_come_back(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("a", "sleep 300")]));
    let pod = Supervised::run(&podrun, "p", &file);
    podrun.pod("bare", &[]);
    let forget = || std::fs::remove_dir_all(podrun.root().join("names")).expect("to remove the names");
    forget();
    assert_eq!(podrun.pod_names(), ["bare", "p"]);
    forget();
    podrun.run(&["pod", "run", "-d", "-f", &file]).refused(&["already exists"]);
    forget();
    podrun.run(&["pod", "stop", "p"]).ok();
    forget();
    podrun.remove_pod("bare");
    pod.delete();
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}
