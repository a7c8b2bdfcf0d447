//! The pause: what it is, and what happens when it is killed or its record is damaged.

use crate::harness::pods::{self, joining, run_in, sleeper};
use crate::harness::{Case, Runtime, Test, case, eventually, proc, runtime::path_text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case!(pause_is_healed_from_a_live_container),
        case!(pause_is_healed_by_any_command),
        case!(pod_without_pause_and_containers_has_failed_and_can_be_deleted),
        case!(shared_pid_pod_whose_pause_was_killed_has_failed),
        case!(pause_is_small_and_shared).exclusive(),
        case!(pause_has_no_privileges_and_is_not_dumpable),
        case!(pause_holds_no_descriptor_of_the_caller),
        case!(pause_survives_signals_from_its_own_namespace),
        case!(half_written_pod_record_can_be_deleted).exclusive(),
    ]
}

/// Kills the pause from outside, as somebody who cleans up too eagerly would.
#[track_caller]
fn kill_pause(podrun: &Runtime, pod: &str) -> i32 {
    let pid = podrun.pause_pid(pod);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("to kill the pause");
    eventually("the pause is dead", || (!proc::lives(pid)).then_some(()));
    pid
}

fn pause_is_healed_from_a_live_container(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
    let net = proc::namespace(podrun.pause_pid("p"), "net");
    podrun.up_in("p", &sleeper(t), "a", &["--volume", "d:/d"]);
    let old = kill_pause(&podrun, "p");
    podrun.up_in("p", &sleeper(t), "b", &["--volume", "d:/d"]);
    let new = podrun.pause_pid("p");
    assert!(new != old && proc::lives(new));
    for pid in [new, podrun.pid("a"), podrun.pid("b")] {
        assert_eq!(proc::namespace(pid, "net"), net, "the apps did not notice");
    }
    assert_eq!(podrun.pod_state("p")["phase"], "Running");
    podrun.remove_pod("p");
}

fn pause_is_healed_by_any_command(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    podrun.up_in("p", &sleeper(t), "a", &[]);
    for words in [&["pod", "state", "p"][..], &["pod", "describe", "p"], &["pod", "list"]] {
        let old = kill_pause(&podrun, "p");
        podrun.run(words).ok();
        let new = podrun.pause_pid("p");
        assert!(new != old && proc::lives(new), "{words:?}");
        assert_eq!(proc::namespace(new, "ipc"), proc::namespace(podrun.pid("a"), "ipc"));
    }
    podrun.remove_pod("p");
}

fn pod_without_pause_and_containers_has_failed_and_can_be_deleted(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
    podrun.up_in(
        "p",
        &joining(t.bundle().args(&["/bin/probe", "exit", "0"])),
        "ended",
        &["--volume", "d:/d"],
    );
    podrun.wait_status("ended", "stopped");
    kill_pause(&podrun, "p");
    assert_eq!(podrun.pod_state("p")["phase"], "Failed");
    let out = podrun.run(&["create", "--bundle", sleeper(t).text(), "--pod", "p", "c"]);
    out.refused(&["\"p\""]);
    podrun.run(&["pod", "delete", "p"]).ok();
    assert_eq!((podrun.ids(), podrun.pod_names()), (vec![], vec![]));
}

fn shared_pid_pod_whose_pause_was_killed_has_failed(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    podrun.up_in("p", &sleeper(t), "a", &[]);
    let pid = podrun.pid("a");
    kill_pause(&podrun, "p");
    eventually("the kernel ends all processes of the namespace", || (!proc::lives(pid)).then_some(()));
    assert_eq!(podrun.pod_state("p")["phase"], "Failed");
    podrun.remove_pod("p");
}

fn pause_is_small_and_shared(t: &Test) {
    let podrun = t.podrun();
    for number in 0..5 {
        podrun.pod(&format!("p{number}"), &[]);
    }
    let sizes: Vec<u64> =
        (0..5).filter_map(|number| proc::pss_kib(podrun.pause_pid(&format!("p{number}")))).collect();
    assert_eq!(sizes.len(), 5);
    assert!(sizes.iter().all(|kib| *kib < 100), "PSS in KiB: {sizes:?}");
    podrun.run(&["pod", "delete", "--force", "p0", "p1", "p2", "p3", "p4"]).ok();
}

fn pause_has_no_privileges_and_is_not_dumpable(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let pid = podrun.pause_pid("p");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        let bits = proc::status_field(pid, set).unwrap_or_default();
        // CAP_KILL or CAP_SYS_PTRACE would be of no use to it either.
        assert_eq!(u64::from_str_radix(&bits, 16), Ok(0), "{set}");
    }
    assert_eq!(proc::status_field(pid, "NoNewPrivs").as_deref(), Some("1"));
    podrun.remove_pod("p");
}

fn pause_holds_no_descriptor_of_the_caller(t: &Test) {
    let podrun = t.podrun();
    let parent = pods::pod_parent();
    let cmd = podrun.cmd(&["pod", "create", "p", "--cgroup-parent", &parent]);
    // `cat` sees the end of the pipe only when the pause does not hold it; the leak of fd 7 would keep the file busy.
    let script = "exec 7</etc/passwd; \"$@\" | cat";
    cmd.under(["sh", "-c", script, "sh"]).run().ok();
    let pid = podrun.pause_pid("p");
    let targets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its descriptors")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|target| path_text(&target))
        .collect();
    assert!(targets.iter().all(|target| target == "/dev/null"), "{targets:?}");
    podrun.remove_pod("p");
}

fn pause_survives_signals_from_its_own_namespace(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    let caps = json!(["CAP_KILL"]);
    let bundle = joining(
        t.shell("for s in KILL HUP USR1 QUIT PIPE SEGV; do kill -$s 1; done; sleep 0.05; echo survived"),
    );
    let bundle =
        bundle.set("/process/capabilities", json!({"bounding": caps, "effective": caps, "permitted": caps}));
    let pid = podrun.pause_pid("p");
    let out = run_in(&podrun, "p", &bundle, &[]).ok();
    assert_eq!(out.stdout, "survived\n");
    assert_eq!(podrun.pause_pid("p"), pid);
    podrun.remove_pod("p");
}

fn half_written_pod_record_can_be_deleted(t: &Test) {
    let podrun = t.podrun();
    let volume = ["--volume", "d=emptyDir,medium=Memory"];
    // In the usual place, and where only the record knows: the group is found by its name; and with no record at all.
    for (parent, removed) in
        [("/podrun".to_owned(), false), (pods::pod_parent(), false), ("/podrun".to_owned(), true)]
    {
        let words = [&["pod", "create", "p", "--cgroup-parent", &parent], &volume[..]].concat();
        let uid = podrun.run(&words).ok().stdout.trim().to_owned();
        let pause = podrun.pause_pid("p");
        podrun.up_in("p", &sleeper(t), "c", &["--volume", "d:/d"]);
        let record = podrun.root().join("pods").join(&uid).join("pod.json");
        let text = std::fs::read(&record).expect("the record");
        for cut in [text.len() / 2, 0] {
            std::fs::write(&record, &text[..cut]).expect("to cut it");
            let out = podrun.run(&["pod", "state", "p"]);
            assert!(out.code() <= 1, "{out:?}");
            podrun.run(&["pod", "list"]).ok();
        }
        if removed {
            std::fs::remove_file(&record).expect("to remove it");
        }
        podrun.remove_pod("p");
        assert!(!proc::lives(pause), "{parent}");
        assert_eq!((podrun.pod_names(), podrun.ids()), (vec![], vec![]));
    }
}
