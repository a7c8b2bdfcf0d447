//! Imports and removals that are killed at every system call, and many of them at once.

use crate::harness::archives::*;
use crate::harness::runtime::path_text;
use crate::harness::{Case, Test, case, machine, note, skip};
use crate::images::{image, nothing_left, read, store};
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

pub fn cases() -> Vec<Case> {
    vec![
        case!(import_killed).seconds(900),
        case!(remove_killed).seconds(600),
        case!(concurrent_imports_and_removals_end_well).seconds(180),
    ]
}

/// Kills a command at its system calls (with `PODRUN_TEST_QUICK=1` at up to `MOST` of them); after each, the store works and prune leaves only what is named.
fn siege(t: &Test, words: &[&str], before: &dyn Fn(), after: &dyn Fn(&str)) {
    const MOST: usize = 60;
    if !machine::has_package("strace") {
        skip("strace is not installed");
    }
    let podrun = t.podrun();
    let log = t.path("strace.log");
    let traced = |options: &[&str]| {
        before();
        podrun.cmd(words).under([&["strace", "-D", "-qq"], options].concat()).run()
    };
    traced(&["-o", &path_text(&log)]).ok();
    after("an undisturbed run");
    let text = read(&log);
    let calls: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
    let calls: Vec<&str> = calls
        .into_iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered: Vec<(&str, usize)> = calls
        .iter()
        .map(|name| {
            let count = counts.entry(name).or_default();
            *count += 1;
            (*name, *count)
        })
        .collect();
    let quick = std::env::var_os("PODRUN_TEST_QUICK").is_some();
    let step = if quick { numbered.len().div_ceil(MOST).max(1) } else { 1 };
    let mut hit = 0;
    for (name, nth) in numbered.iter().step_by(step) {
        let out = traced(&["-o", "/dev/null", "-e", &format!("inject={name}:signal=KILL:when={nth}")]);
        hit += usize::from(out.status.signal() == Some(libc::SIGKILL));
        after(&format!("SIGKILL at {name} number {nth}"));
    }
    note(&format!("killed at {hit} of its {} calls", numbered.len()));
    assert!(hit > 20, "only {hit} points were hit");
}

fn import_killed(t: &Test) {
    let podrun = t.podrun();
    let layers = [
        Tar::all(&[dir("d"), file("d/f", "x"), file(".wh.g", "")]).end(),
        Tar::all(&[file("h", "y"), link(b'1', "i", "h")]).end(),
    ];
    let path = path_text(&t.file("siege.tar", docker(&json!(["x"]), &layers)));
    let after = |when: &str| {
        // Either it is there, whole, or it is not there.
        if let Some(image) = store(&podrun).lookup("x").expect(when) {
            assert_eq!(read(image.layers[0].join("i")), "y", "{when}");
            assert_eq!(read(image.layers[1].join("d/f")), "x", "{when}");
        }
        podrun.run(&["image", "import", &path]).ok();
        assert_eq!(read(image(&podrun, "x").layers[1].join("d/f")), "x", "{when}");
        podrun.run(&["image", "remove", "x"]).ok();
        podrun.run(&["image", "prune"]).ok();
        nothing_left(&podrun, when);
    };
    siege(t, &["image", "import", &path], &|| {}, &after);
}

fn remove_killed(t: &Test) {
    let podrun = t.podrun();
    let base = Tar::all(&[file("base", "b")]).end();
    let [a, b] = ["a", "b"].map(|name| Tar::all(&[file(name, name)]).end());
    let path = |name: &str, top: Vec<u8>| {
        path_text(&t.file(&format!("{name}.tar"), docker(&json!([name]), &[base.clone(), top])))
    };
    let (path_a, path_b) = (path("a", a), path("b", b));
    let before = || {
        podrun.run(&["image", "import", &path_a]).ok();
        podrun.run(&["image", "import", &path_b]).ok();
    };
    let after = |when: &str| {
        // The other image never suffers.
        assert_eq!(read(image(&podrun, "b").layers[1].join("base")), "b", "{when}");
        if let Some(image) = store(&podrun).lookup("a").expect(when) {
            assert_eq!(read(image.layers[0].join("a")), "a", "{when}");
        }
        podrun.run(&["image", "remove", "--force", "a", "b"]).ok();
        podrun.run(&["image", "prune"]).ok();
        nothing_left(&podrun, when);
    };
    siege(t, &["image", "remove", "a"], &before, &after);
}

fn concurrent_imports_and_removals_end_well(t: &Test) {
    const ROUNDS: usize = 12;
    let podrun = t.podrun();
    let base = Tar::all(&[file("base", &"b".repeat(100_000))]).end();
    let paths: Vec<String> = (0..4)
        .map(|number| {
            let top = Tar::all(&[file("own", &number.to_string())]).end();
            let name = format!("i{number}");
            path_text(&t.file(&format!("{name}.tar"), docker(&json!([name]), &[base.clone(), top])))
        })
        .collect();
    for round in 0..ROUNDS {
        // Each twice, beside those that look, remove and prune.
        let mut running: Vec<_> =
            paths.iter().chain(&paths).map(|path| podrun.cmd(&["image", "import", path]).spawn()).collect();
        running.push(podrun.cmd(&["image", "list"]).spawn());
        running.push(podrun.cmd(&["image", "remove", "--force", "i0"]).spawn());
        running.push(podrun.cmd(&["image", "prune"]).spawn());
        for command in running {
            command.finish().ok();
        }
        for number in 1..4 {
            let found = image(&podrun, &format!("i{number}"));
            assert_eq!(read(found.layers[0].join("own")), number.to_string(), "round {round}");
            assert_eq!(read(found.layers[1].join("base")).len(), 100_000, "round {round}");
        }
        let words: Vec<_> =
            (1..4).map(|number| podrun.cmd(&["image", "remove", &format!("i{number}")]).spawn()).collect();
        for command in words {
            command.finish().ok();
        }
        podrun.run(&["image", "remove", "--force", "i0"]).ok();
        nothing_left(&podrun, &format!("round {round}"));
    }
}
