//! Containers without a mount namespace of their own, which have the host's, and a root that the host does not see.

use crate::harness::{Bundle, Case, Test, case, console, eventually, facts, proc, runtime::path_text};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case!(the_host_gets_no_mount),
        case!(exec_has_the_root_wherever_it_is_called),
        case!(dots_do_not_lead_out),
        case!(a_terminal_is_made),
        case!(masks_and_read_only_paths_hold),
        case!(what_cannot_be_without_a_namespace_is_refused),
        case!(the_hosts_dev_stays_as_it_is),
    ]
}

fn inheriting(bundle: Bundle) -> Bundle {
    bundle.namespace("mount", None)
}

fn looking(bundle: Bundle) -> Bundle {
    inheriting(bundle).mount("tmpfs", "tmpfs", "/data", &[]).set("/root/readonly", json!(true)).args(&[
        "/bin/probe",
        "facts",
        "--path",
        "/data",
        "--path",
        "/bin",
    ])
}

/// As the runtime specification has it for every namespace that is left out; runc and crun mount on the host then.
fn the_host_gets_no_mount(t: &Test) {
    let podrun = t.podrun();
    let before = proc::mounts("self");
    let own = format!("/proc/{}/ns/mnt", std::process::id());
    for path in [None, Some(own.as_str())] {
        let bundle = looking(t.bundle()).namespace("mount", path);
        let facts = podrun.facts(&bundle);
        assert!(facts::shares_with_host(&facts, "mnt"));
        let write = |path: &str| facts["paths"][path]["write"].clone();
        assert_eq!((write("/data"), write("/bin")), (json!("ok"), json!("EROFS")));
        podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
        assert_eq!(proc::mounts("self"), before, "the container runs");
        podrun.run(&["delete", "--force", "c"]).ok().quietly();
        podrun
            .run(&["create", "--bundle", inheriting(t.bundle().args(&["/no/such"])).text(), "c"])
            .refused(&["/no/such"]);
        assert_eq!(proc::mounts("self"), before);
    }
}

fn exec_has_the_root_wherever_it_is_called(t: &Test) {
    let podrun = t.podrun();
    let bundle =
        inheriting(t.bundle().args(&["/bin/probe", "sleep", "300"])).with_file("/mark", "inside", 0o644);
    podrun.up(&bundle, "c");
    let exec = || {
        podrun.cmd(&["exec", "c", "/bin/probe", "facts", "--path", "/mark", "--path", "/proc/1/root/mark"])
    };
    for command in [exec(), exec().under(["unshare", "-m"])] {
        let inside = command.run().ok().json();
        assert!(facts::shares_with_host(&inside, "mnt") && !facts::shares_with_host(&inside, "pid"));
        assert_eq!(inside["cwd"], "/");
        assert_eq!(inside["paths"]["/mark"]["read"], "ok", "{}", inside["paths"]);
    }
    podrun.remove("c");
    // Also when init has taken another root, below its own.
    let jailed = inheriting(t.shell("mkdir /jail; cp -r /bin /jail; exec chroot /jail /bin/sleep 300"));
    podrun.up(&jailed.with_file("/mark", "inside", 0o644), "jailed");
    let init = podrun.pid("jailed");
    eventually("chroot", || std::fs::metadata(format!("/proc/{init}/root/jail")).is_err().then_some(()));
    assert_eq!(podrun.run(&["exec", "jailed", "cat", "/mark"]).ok().stdout, "inside");
    podrun.remove("jailed");
}

fn dots_do_not_lead_out(t: &Test) {
    let bundle = inheriting(t.bundle()).args(&["/bin/probe", "mount-escape", "/proc/sys"]);
    let answer = t.podrun().run_bundle(&bundle, "c").ok().json();
    for (trick, result) in answer.as_object().expect("an object") {
        assert!(result != "ok" || trick == "unshare user+mnt", "{trick} worked: {answer}");
    }
}

fn a_terminal_is_made(t: &Test) {
    let bundle = inheriting(t.shell("tty; stty size; exit 4")).set("/process/terminal", json!(true));
    let mut master = console::Terminal::new(40, 100);
    let out = master.run_inside(t.podrun().cmd(&["run", "--bundle", bundle.text(), "c"]));
    let seen = master.read_until("40 100");
    assert!(seen.contains("/dev/"), "{seen}");
    assert_eq!(out.code(), 4);
}

fn masks_and_read_only_paths_hold(t: &Test) {
    let script = "cat /proc/keys; ls /sys/firmware; echo 1 >/proc/sys/vm/drop_caches || echo held";
    let out = t.podrun().run_bundle(&inheriting(t.shell(script)), "c").ok();
    assert_eq!(out.stdout, "held\n");
}

fn what_cannot_be_without_a_namespace_is_refused(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.directory("source"));
    let refused = |bundle: Bundle, words: &[&str]| {
        podrun.run(&["create", "--bundle", inheriting(bundle).text(), "c"]).refused(words);
    };
    refused(
        t.bundle().in_user_namespace(100_000, 100_000),
        &["a user namespace", "without a mount namespace"],
    );
    for word in ["runbindable", "rshared", "slave"] {
        refused(
            t.bundle().mount("bind", &source, "/data", &["bind", word]),
            &["mounts[7]", word, "without a mount namespace"],
        );
        refused(
            t.bundle().set("/linux/rootfsPropagation", json!(word)),
            &["rootfsPropagation", word, "without a mount namespace"],
        );
    }
    let private = t.bundle().mount("bind", &source, "/data", &["bind", "rprivate"]);
    let out =
        podrun.run_bundle(&inheriting(private.set("/linux/rootfsPropagation", json!("private"))), "c").ok();
    assert!(out.stderr.contains("without a mount namespace"), "it is warned of: {}", out.stderr);
}

/// With `/` as the root file system and nothing mounted on /dev, its /dev is the host's: nothing is made or replaced there.
fn the_hosts_dev_stays_as_it_is(t: &Test) {
    let look = "find /dev -exec stat -c '%n %F %t:%T' {} + | sort";
    // A /dev that would not be missed, of this mount namespace alone.
    let script = format!(
        "set -e; cp -a /dev/null /dev/ptmx /dev/zero '{0}'; mount --bind '{0}' /dev; {look} >'{0}.before'; \"$@\"; \
         {look} >'{0}.after'; cmp '{0}.before' '{0}.after'",
        t.directory("dev").display()
    );
    for kept in [true, false] {
        let bundle = t.bundle().set("/root/path", json!("/")).set("/mounts", json!([])).args(&["/bin/true"]);
        let bundle = if kept { bundle } else { inheriting(bundle) };
        let words = ["run", "--bundle", bundle.text(), "c"];
        t.podrun().cmd(&words).under(["unshare", "-m", "sh", "-c", &script, "sh"]).run().ok();
    }
}
