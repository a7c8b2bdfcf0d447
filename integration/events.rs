//! events: what a container uses and that it ran out of memory, in the lines that runc prints.

use crate::harness::{Bundle, Case, Test, case, cgroups, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

pub fn cases() -> Vec<Case> {
    vec![
        case!(stats_is_one_line_about_the_container),
        case!(stats_has_the_names_of_runc),
        case!(pressure_is_told_where_v2_counts_it),
        case!(reports_come_at_the_interval_until_the_container_ends),
        case!(out_of_memory_is_told),
        case!(out_of_memory_that_ends_the_container_is_told),
        case!(nobody_who_listens_ends_it),
        case!(containers_that_do_not_run_are_refused),
    ]
}

fn sleeping(t: &Test) -> Bundle {
    t.bundle().args(&["/bin/probe", "sleep", "300"])
}

fn lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn stats_is_one_line_about_the_container(t: &Test) {
    let podrun = t.podrun();
    let limits = json!({"limit": 64 << 20, "swap": 64 << 20});
    let bundle = sleeping(t).set("/linux/resources/memory", limits);
    podrun.up(&bundle.set("/linux/resources/pids", json!({"limit": 33})), "c");
    let out = podrun.run(&["events", "--stats", "c"]).ok().quietly();
    assert!(
        out.stdout.starts_with(r#"{"type":"stats","id":"c","data":{"cpu":{"usage":{"total":"#),
        "{}",
        out.stdout
    );
    assert_eq!(out.stdout.lines().count(), 1);
    let data = &out.json()["data"];
    assert_eq!(data["pids"], json!({"current": 1, "limit": 33}));
    let memory = &data["memory"]["usage"];
    assert_eq!(memory["limit"], json!(64 << 20));
    let usage = memory["usage"].as_u64().expect("a number");
    assert!((1..64 << 20).contains(&usage), "{memory}");
    // The kernel adds up memory.stat every two seconds, or after many changes: few faults are not seen at once.
    eventually("page faults are counted", || {
        let data = podrun.run(&["events", "--stats", "c"]).ok().json()["data"].clone();
        data["memory"]["raw"]["pgfault"].as_u64().filter(|faults| *faults > 0)
    });
    let total = data["cpu"]["usage"]["total"].as_u64().expect("a number");
    assert!((1000..60_000_000_000).contains(&total), "{total} ns");
    if cgroups::is_v1("cpuset") {
        assert_ne!(data["cpuset"]["cpus"], json!([]));
    }
    // A container that was not started has used something, too; a paused one can be asked.
    podrun.run(&["pause", "c"]).ok();
    podrun.run(&["events", "--stats", "c"]).ok();
    podrun.remove("c");
    podrun.create(&sleeping(t), "created");
    podrun.run(&["events", "--stats", "created"]).ok();
    podrun.remove("created");
}

/// The paths of all names in a value; those below `raw`, which are the kernel's, left out.
fn names(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    if let Value::Object(object) = value {
        for (name, inner) in object {
            let path = format!("{path}/{name}");
            if name != "raw" {
                names(inner, &path, into);
            }
            into.insert(path);
        }
    }
}

fn stats_has_the_names_of_runc(t: &Test) {
    let runc = t.peer("runc");
    let podrun = t.podrun();
    let mut told = [BTreeSet::new(), BTreeSet::new()];
    for (runtime, told) in [&runc, &podrun].into_iter().zip(&mut told) {
        runtime.up(&sleeping(t), "c");
        names(&runtime.run(&["events", "--stats", "c"]).ok().json(), "", told);
        runtime.run(&["delete", "--force", "c"]).ok();
    }
    // Sizes of huge pages that runc does not find on a hybrid host; counters that are left out while they are 0.
    let left_out = |name: &&String| {
        ["/data/hugetlb/", "/data/blkio/", "/data/memory/cache"].iter().any(|start| name.starts_with(start))
            || name.ends_with("/max")
    };
    let missing: Vec<_> = told[0].difference(&told[1]).filter(|name| !left_out(name)).collect();
    assert!(missing.is_empty(), "runc tells, and podrun does not: {missing:?}");
}

fn pressure_is_told_where_v2_counts_it(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&sleeping(t), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "cpu");
    let counted = std::fs::read_to_string(group.join("cpu.pressure")).is_ok_and(|text| text.contains("some"));
    let data = podrun.run(&["events", "--stats", "c"]).ok().json()["data"].clone();
    for part in ["cpu", "memory", "blkio"] {
        let psi = &data[part]["psi"];
        assert_eq!(psi["some"]["avg10"].is_f64(), counted, "{part}: {psi}");
        assert_eq!(psi["some"]["total"].is_u64(), counted, "{part}: {psi}");
        assert_eq!(psi.is_null(), !counted, "{part}: {psi}");
    }
    podrun.remove("c");
}

fn reports_come_at_the_interval_until_the_container_ends(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&sleeping(t), "c");
    let events = podrun.cmd(&["events", "--interval", "100ms", "c"]).spawn();
    eventually("three reports", || (lines(&events.stdout()).len() >= 3).then_some(()));
    podrun.run(&["delete", "--force", "c"]).ok();
    let out = events.finish().ok().quietly();
    let all = lines(&out.stdout);
    assert!(all.iter().all(|line| line["type"] == "stats" && line["id"] == "c"), "{}", out.stdout);
    let total = |line: &Value| line["data"]["cpu"]["usage"]["total"].as_u64();
    assert!(total(&all[0]) <= total(all.last().expect("some")));
    // One whose next report is far away ends as soon.
    podrun.up(&sleeping(t), "c");
    let events = podrun.cmd(&["events", "--interval", "1h", "c"]).seconds(20).spawn();
    std::thread::sleep(std::time::Duration::from_millis(100));
    podrun.run(&["kill", "c", "KILL"]).ok();
    assert_eq!(events.finish().ok().quietly().stdout, "");
    podrun.remove("c");
}

fn no_swap(bundle: Bundle) -> Bundle {
    bundle.set("/linux/resources/memory", json!({"limit": 32 << 20, "swap": 32 << 20}))
}

fn out_of_memory_is_told(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&no_swap(sleeping(t)), "c");
    let events = podrun.cmd(&["events", "--interval", "50ms", "c"]).spawn();
    eventually("a report", || (!lines(&events.stdout()).is_empty()).then_some(()));
    podrun.run(&["exec", "c", "/bin/probe", "alloc", "200"]).exits(137);
    eventually("the event", || events.stdout().contains("{\"type\":\"oom\",\"id\":\"c\"}\n").then_some(()));
    assert_eq!(podrun.status("c").as_deref(), Some("running"), "the hog died, not the container");
    podrun.remove("c");
    let out = events.finish().ok();
    assert!(lines(&out.stdout).contains(&json!({"type": "oom", "id": "c"})));
}

fn out_of_memory_that_ends_the_container_is_told(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&no_swap(t.bundle().args(&["/bin/probe", "alloc", "200"])), "c");
    let events = podrun.cmd(&["events", "--interval", "50ms", "c"]).spawn();
    eventually("a report", || (!lines(&events.stdout()).is_empty()).then_some(()));
    podrun.run(&["start", "c"]).ok();
    let out = events.finish().ok().quietly();
    assert!(lines(&out.stdout).contains(&json!({"type": "oom", "id": "c"})), "{}", out.stdout);
    podrun.remove("c");
}

fn nobody_who_listens_ends_it(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&sleeping(t), "c");
    let cmd = podrun.cmd(&["events", "--interval", "1h", "c"]);
    let words = cmd.words();
    let mut child =
        Command::new(&words[0]).args(&words[1..]).stdout(Stdio::piped()).spawn().expect("podrun runs");
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(child.stdout.take());
    let code =
        eventually("it ends", || child.try_wait().expect("our child").and_then(|status| status.code()));
    assert_eq!(code, 0);
    podrun.remove("c");
}

fn containers_that_do_not_run_are_refused(t: &Test) {
    let podrun = t.podrun();
    for words in [&["events", "no"][..], &["events", "--stats", "no"]] {
        podrun.run(words).refused(&["does not exist"]);
    }
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    podrun.run(&["events", "c"]).refused(&["not running"]);
    podrun.run(&["events", "--stats", "c"]).refused(&["not running"]);
    podrun.run(&["events", "--interval", "0s", "c"]).refused(&["--interval", "greater than 0"]);
    podrun.run(&["events", "--interval", "9223372036854775807s", "c"]).refused(&["--interval", "100 years"]);
    podrun.remove("c");
}
