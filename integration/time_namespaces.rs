//! Time namespaces: new ones, offsets, and those of others.

use crate::harness::{Case, Test, case, facts, proc};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(a_new_one_has_no_offsets),
        case!(offsets_shift_the_clocks),
        case!(exec_and_others_join_it),
        case!(a_user_namespace_may_have_one),
        case!(offsets_that_cannot_be_are_named),
    ]
}

/// Clock and offset as /proc/PID/timens_offsets has them, without the padding.
#[track_caller]
fn offsets(facts: &Value) -> Vec<String> {
    let text = facts["timens_offsets"].as_str().unwrap_or_default();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn both() -> Value {
    json!({"monotonic": {"secs": 7881, "nanosecs": 2_718_281}, "boottime": {"secs": 1337, "nanosecs": 3_141_519}})
}

const BOTH: [&str; 2] = ["monotonic 7881 2718281", "boottime 1337 3141519"];

fn a_new_one_has_no_offsets(t: &Test) {
    let podrun = t.podrun();
    let facts = podrun.facts(&t.bundle().namespace("time", Some("")));
    assert!(!facts::shares_with_host(&facts, "time"));
    assert_eq!(offsets(&facts), ["monotonic 0 0", "boottime 0 0"]);
    assert!(facts::shares_with_host(&podrun.facts(&t.bundle()), "time"), "nobody asked for one");
}

fn offsets_shift_the_clocks(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().namespace("time", Some("")).set("/linux/timeOffsets", both());
    assert_eq!(offsets(&podrun.facts(&bundle)), BOTH);
    let back = json!({"boottime": {"secs": 1_000_000}});
    let bundle =
        t.shell("cut -d. -f1 /proc/uptime").namespace("time", Some("")).set("/linux/timeOffsets", back);
    let uptime: u64 = podrun.run_bundle(&bundle, "c").ok().stdout.trim().parse().expect("seconds");
    let ours = std::fs::read_to_string("/proc/uptime").expect("the host's");
    let ours: u64 = ours.split('.').next().and_then(|text| text.parse().ok()).expect("seconds");
    assert!((ours + 999_900..ours + 1_000_100).contains(&uptime), "{uptime}, and the host's is {ours}");
}

fn exec_and_others_join_it(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]).namespace("time", Some(""));
    drop(podrun.up(&bundle.set("/linux/timeOffsets", both()), "c"));
    let pid = podrun.pid("c");
    let inside = podrun.run(&["exec", "c", "/bin/probe", "facts"]).ok().json();
    assert_eq!(offsets(&inside), BOTH);
    assert_eq!(facts::namespace(&inside, "time"), proc::namespace(pid, "time"));
    let path = format!("/proc/{pid}/ns/time");
    let other = podrun.facts(&t.bundle().namespace("time", Some(&path)));
    assert_eq!(facts::namespace(&other, "time"), proc::namespace(pid, "time"));
    let set = t.bundle().namespace("time", Some(&path)).set("/linux/timeOffsets", both());
    podrun.run_bundle(&set, "d").refused(&["linux.timeOffsets", "time namespace"]);
    let wrong = t.bundle().namespace("time", Some(&format!("/proc/{pid}/ns/net")));
    podrun.run_bundle(&wrong, "d").refused(&["linux.namespaces", "of another type"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn a_user_namespace_may_have_one(t: &Test) {
    let podrun = t.podrun();
    let bundle = || t.bundle().in_user_namespace(100_000, 200_000).namespace("time", Some(""));
    let facts = podrun.facts(&bundle().set("/linux/timeOffsets", both()));
    assert_eq!(offsets(&facts), BOTH);
    assert_eq!(facts["uid_map"], json!(["0 100000 65536"]));
    assert!(!facts::shares_with_host(&podrun.facts(&bundle()), "time"));
}

fn offsets_that_cannot_be_are_named(t: &Test) {
    let podrun = t.podrun();
    let with = |offsets: Value| t.bundle().namespace("time", Some("")).set("/linux/timeOffsets", offsets);
    for (offsets, text) in [
        (json!({"realtime": {"secs": 1}}), "\"realtime\" is no clock"),
        (json!({"monotonic": {"nanosecs": 1_000_000_000}}), "linux.timeOffsets.monotonic.nanosecs"),
        (json!({"monotonic": {"secs": i64::MAX}}), "cannot set linux.timeOffsets"),
        (json!({"boottime": {"secs": i64::MIN}}), "cannot set linux.timeOffsets"),
        (json!({"boottime": {"secs": 1.5}}), "linux.timeOffsets.boottime.secs"),
    ] {
        podrun.run(&["create", "--bundle", with(offsets).text(), "c"]).refused(&[text]);
    }
    let without = t.bundle().set("/linux/timeOffsets", both());
    podrun.run_bundle(&without, "c").refused(&["linux.timeOffsets", "no new time namespace"]);
    assert!(podrun.ids().is_empty());
}
