//! Attacks on podrun's processes while they work for a container, and by what it is told: see `docs/security.md`.

use crate::harness::runtime::path_text;
use crate::harness::{Bundle, Case, Test, case, eventually, note};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

pub fn cases() -> Vec<Case> {
    vec![
        case!(processes_that_exec_are_no_way_to_the_host),
        case!(exec_of_proc_self_exe_finds_no_host_binary_to_write),
        case!(exec_user_is_exactly_the_one_named),
        case!(the_id_that_means_unchanged_is_refused),
        case!(handler_config_of_an_image_is_left_alone),
        case!(config_with_a_key_twice),
        case!(config_of_very_many_entries_ends_soon),
        case!(roots_of_every_kind),
    ]
}

/// A container that looks for ways to the host, with these capabilities.
#[track_caller]
fn spy(t: &Test, marker: &str, capabilities: &[&str]) -> Bundle {
    t.bundle()
        .args(&["/bin/probe", "spy", marker, "3"])
        .set(
            "/process/capabilities",
            json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities}),
        )
        .set("/linux/maskedPaths", json!([]))
}

fn processes_that_exec_are_no_way_to_the_host(t: &Test) {
    let podrun = t.podrun();
    let marker = path_text(&t.file("marker", "of the host"));
    for capabilities in [&["CAP_KILL"][..], &["CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]] {
        let attacker = podrun.up(&spy(t, &marker, capabilities), "c");
        eventually("the spy has done its work", || {
            for _ in 0..5 {
                // What is left open in the caller must not arrive either.
                let cmd = podrun.cmd(&["exec", "c", "/bin/probe", "exit", "0"]);
                drop(cmd.under(["sh", "-c", "exec 3</ 4</etc 7</proc; exec \"$@\"", "sh"]).run());
            }
            attacker.later().contains("ways").then_some(())
        });
        let answer: Value = serde_json::from_str(attacker.later().trim()).expect("an answer");
        note(&format!("{capabilities:?}: {answer}"));
        assert!(answer["seen"].as_u64() > Some(0), "it never saw podrun, which proves nothing: {answer}");
        assert_eq!(answer["ways"], json!([]), "with {capabilities:?}");
        podrun.remove("c");
    }
}

/// CVE-2019-5736 by `exec`: the program, or the interpreter of a script, is whatever executes it.
fn exec_of_proc_self_exe_finds_no_host_binary_to_write(t: &Test) {
    let path = t.directory("bin").join("podrun");
    std::fs::copy(t.podrun().binary(), &path).expect("a copy of podrun");
    let content = std::fs::read(&path).expect("its content");
    let podrun = t.podrun().with_binary(&path);
    let bundle = t
        .bundle()
        .args(&["/bin/probe", "overwrite-exe", "4"])
        .with_file("/tmp/entry", "#!/proc/self/exe --version\n", 0o755)
        .set("/linux/maskedPaths", json!([]));
    let attacker = podrun.up(&bundle, "c");
    eventually("the attacker has done its work", || {
        for program in ["/proc/self/exe", "/tmp/entry"] {
            drop(podrun.run(&["exec", "c", program, "--version"]));
        }
        attacker.later().contains("overwritten").then_some(())
    });
    let answer: Value = serde_json::from_str(attacker.later().trim()).expect("an answer");
    let seen = answer["seen"].as_array().expect("a list");
    assert!(!seen.is_empty(), "it never saw podrun, which proves nothing: {answer}");
    assert_eq!(answer["overwritten"], false, "{answer}");
    assert!(seen.iter().all(|one| one["write"] != "ok"), "{answer}");
    podrun.remove("c");
    assert!(std::fs::read(&path).expect("its content") == content, "podrun's binary was changed");
}

/// CVE-2026-30892: of a user that was mistyped, another was made.
fn exec_user_is_exactly_the_one_named(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "60"]), "c");
    for (user, uid, gid) in [
        ("0", 0, 0),
        ("1000", 1000, 0),
        ("1000:2000", 1000, 2000),
        ("0007:010", 7, 10),
        ("4294967294", 4_294_967_294_u32, 0),
    ] {
        let facts = podrun.run(&["exec", "--user", user, "c", "/bin/probe", "facts"]).ok().json();
        assert_eq!(facts["uids"], json!([uid, uid, uid, uid]), "{user}");
        assert_eq!(facts["gids"], json!([gid, gid, gid, gid]), "{user}");
    }
    for user in [
        "",
        ":",
        "1000:",
        ":1000",
        "1000:2000:3000",
        "+1000",
        "-1",
        " 1000",
        "1000 ",
        "1000x",
        "0x10",
        "1e3",
        "1.0",
        "root",
        "4294967295",
        "1000:4294967295",
        "4294967296",
        "18446744073709552616",
        "1000\n",
        "١",
    ] {
        let out = podrun.run(&["exec", "--user", user, "c", "/bin/probe", "facts"]);
        if out.code() == 0 || !out.stdout.is_empty() {
            out.fail(&format!("{user:?} became somebody"));
        }
    }
    podrun.remove("c");
}

/// setresuid(2) takes the largest number for "as it is": a program that was to be nobody would be root.
fn the_id_that_means_unchanged_is_refused(t: &Test) {
    let podrun = t.podrun();
    for (field, value) in
        [("uid", json!(u32::MAX)), ("gid", json!(u32::MAX)), ("additionalGids", json!([u32::MAX]))]
    {
        let bundle = t.bundle().set(&format!("/process/user/{field}"), value.clone());
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&[&format!("process.user.{field}")]);
        podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "60"]), "c");
        let mut process = json!({"args": ["/bin/probe", "facts"], "cwd": "/", "user": {"uid": 1, "gid": 1}});
        process["user"][field] = value;
        let file = path_text(&t.file("process.json", process.to_string()));
        podrun.run(&["exec", "--process", &file, "c"]).exits(255).says(&[&format!("process.user.{field}")]);
        podrun.remove("c");
    }
}

/// CVE-2025-24965: a runtime wrote the config of a handler into the image, through a link that lay there.
fn handler_config_of_an_image_is_left_alone(t: &Test) {
    let podrun = t.podrun();
    let target = t.file("target", "untouched");
    let bundle = t.bundle().set("/annotations", json!({"run.oci.handler": "krun", "krun.cpus": "1"}));
    for name in [".krun_config.json", ".wasm_config.json", "config.json", ".dockerenv"] {
        symlink(&target, bundle.rootfs("/").join(name)).expect("a link");
    }
    let before: BTreeSet<_> = names(&bundle);
    podrun.run_bundle(&bundle, "c").ok();
    assert_eq!(std::fs::read_to_string(&target).expect("the file"), "untouched");
    assert_eq!(names(&bundle), before, "something was made in the image");
}

fn names(bundle: &Bundle) -> BTreeSet<std::ffi::OsString> {
    std::fs::read_dir(bundle.rootfs("/"))
        .expect("the root")
        .flatten()
        .map(|entry| entry.file_name())
        .collect()
}

/// The last one counts, as in every other program that may have checked the file, and for everything that is made of it.
fn config_with_a_key_twice(t: &Test) {
    let podrun = t.podrun();
    let text = t.bundle().args(&["/bin/probe", "exit", "4"]).config().to_string();
    let first = json!({"args": ["/bin/probe", "exit", "3"], "cwd": "/", "user": {"uid": 7, "gid": 7}});
    for (key, value) in [("args", &first["args"]), ("process", &first), ("root", &json!({"path": "/"}))] {
        let twice = text.replacen(&format!("\"{key}\":"), &format!("\"{key}\":{value},\"{key}\":"), 1);
        assert_ne!(twice, text, "{key}");
        podrun.run_bundle(&t.bundle().raw(&twice), "c").exits(4);
        podrun.run(&["delete", "--force", "c"]).ok();
    }
}

fn config_of_very_many_entries_ends_soon(t: &Test) {
    let podrun = t.podrun();
    let many = |pointer: &str, value: &Value, count: usize| {
        let mut config = t.bundle().config();
        *config.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = json!(vec![value; count]);
        config.to_string()
    };
    let mut texts = vec![
        many("/linux/maskedPaths", &json!("/no/such/path"), 100_000),
        many("/process/env", &json!("A=1"), 200_000),
        many("/linux/namespaces", &json!({"type": "pid"}), 100_000),
    ];
    // Larger than any config; and text that is no text.
    let mut huge = t.bundle().config();
    huge["annotations"] = json!({"a": "x".repeat(17 << 20)});
    texts.push(huge.to_string());
    texts.push(t.bundle().config().to_string().replacen("/bin/probe", "/bin/\\u0000probe", 1));
    texts.push(t.bundle().config().to_string().replacen("/bin/probe", "\\ud800", 1));
    for text in texts {
        let bundle = t.bundle().raw(&text);
        let out = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]).seconds(25).run();
        if out.code() > 1 || out.stderr.len() > 4000 {
            out.fail(&format!("{text:.80}..."));
        }
        podrun.run(&["delete", "--force", "c"]).ok();
    }
    assert_eq!(podrun.ids(), Vec::<String>::new());
}

/// Whatever --root is: a container in it, or a clear answer.
fn roots_of_every_kind(t: &Test) {
    let podrun = t.podrun();
    let file = path_text(&t.file("file", ""));
    let long = format!("{}/{}", path_text(t.place()), "x".repeat(300));
    let deep = format!("{}{}", path_text(t.place()), "/d".repeat(2500));
    for root in ["", "/dev/null", &file, &long, &deep] {
        let other = podrun.with_globals(&["--root", root]);
        for words in [&["list"][..], &["state", "c"], &["create", "--bundle", t.bundle().text(), "c"]] {
            let out = other.run(words);
            if out.code() > 1 || (out.code() == 1) == out.stderr.is_empty() || out.stderr.len() > 9000 {
                out.fail(&format!("--root {root:.60}"));
            }
            if out.code() == 0 && words[0] == "create" {
                other.run(&["delete", "--force", "c"]).ok();
            }
        }
    }
}
