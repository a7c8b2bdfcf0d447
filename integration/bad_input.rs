//! Input that is wrong: the error names the object and the remedy, and nothing is left behind.

use crate::harness::{Case, Outcome, Runtime, Test, case, proc, runtime::path_text};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};

pub fn cases() -> Vec<Case> {
    vec![
        case!(bundle_without_config),
        case!(bundle_that_is_not_there),
        case!(malformed_config_is_told_by_line),
        case!(wrongly_typed_config_is_told_by_field),
        case!(lists_in_the_place_of_objects_are_told_by_field),
        case!(config_without_what_is_needed),
        case!(invalid_ids),
        case!(missing_root_file_system),
        case!(missing_bind_source),
        case!(mount_destination_that_leaves_the_root),
        case!(relative_mount_destination),
        case!(command_that_is_not_there),
        case!(command_that_may_not_be_executed),
        case!(command_that_is_a_directory),
        case!(command_in_a_format_the_kernel_does_not_know),
        case!(no_command_at_all),
        case!(volume_without_pod),
        case!(memory_limit_too_small_to_start),
        case!(namespace_path_that_is_no_namespace),
        case!(namespace_path_of_another_kind),
        case!(unknown_pod),
        case!(unprivileged_user_is_told_to_be_root),
        case!(no_cgroup_mount),
        case!(read_only_cgroup_mount),
        case!(root_on_a_noexec_mount_works),
        case!(root_that_cannot_be_made),
        case!(wrong_usage),
        case!(pid_file_that_cannot_be_written),
        case!(log_file_that_cannot_be_written),
        case!(full_stdout_and_closed_pipe),
        case!(hostile_config_is_an_error_not_a_crash),
        case!(too_many_of_anything_is_refused_with_the_number),
        case!(config_that_is_no_plain_file),
        case!(id_that_looks_like_an_option),
    ]
}

/// Demands a refusal with all words, and a remedy; that nothing is left is the leak check's part.
#[track_caller]
fn refused_with_hint(out: Outcome, words: &[&str]) -> Outcome {
    out.refused(words).says(&["\nhint: "])
}

/// That no container came to be.
#[track_caller]
fn nothing_exists(podrun: &Runtime) {
    assert_eq!(podrun.ids(), Vec::<String>::new());
}

fn bundle_without_config(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let config = bundle.directory().join("config.json");
    std::fs::remove_file(&config).expect("to remove it");
    refused_with_hint(podrun.run(&["create", "--bundle", bundle.text(), "c"]), &[&path_text(&config)]);
    nothing_exists(&podrun);
}

fn bundle_that_is_not_there(t: &Test) {
    let podrun = t.podrun();
    let path = path_text(&t.path("nowhere"));
    podrun.run(&["create", "--bundle", &path, "c"]).refused(&[&path, "no such file or directory"]);
    nothing_exists(&podrun);
}

fn malformed_config_is_told_by_line(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().raw("{\n  \"ociVersion\": \"1.0.2\",\n  \"process\": {,}\n}\n");
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json", "line 3"]);
    for text in ["", "null", "[]", "{", "\u{feff}{}", "{} trailing"] {
        let bundle = t.bundle().raw(text);
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json"]);
    }
    nothing_exists(&podrun);
}

fn wrongly_typed_config_is_told_by_field(t: &Test) {
    let podrun = t.podrun();
    for (pointer, value, words) in [
        ("/process/args", json!("sh"), &["process.args"][..]),
        ("/process/user/uid", json!("root"), &["process.user.uid"]),
        ("/process/user/uid", json!(-1), &["process.user.uid"]),
        ("/process/user/uid", json!(4_294_967_296_u64), &["process.user.uid"]),
        ("/process/noNewPrivileges", json!(1), &["process.noNewPrivileges"]),
        ("/process/env", json!(["A=1", 2]), &["process.env"]),
        ("/mounts", json!({}), &["mounts"]),
        ("/mounts/1/options", json!("ro"), &["mounts[1].options"]),
        ("/linux/resources/memory/limit", json!(1.5), &["linux.resources.memory.limit"]),
        ("/linux/resources/pids/limit", json!("ten"), &["linux.resources.pids.limit"]),
        ("/linux/namespaces", json!([{}]), &["linux.namespaces"]),
        ("/root", json!("rootfs"), &["root"]),
        ("/hostname", json!(["a"]), &["hostname"]),
        ("/annotations", json!({"a": 1}), &["annotations"]),
    ] {
        let bundle = t.bundle().set(pointer, value.clone());
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        if !words.iter().all(|word| out.stderr.contains(word)) {
            out.fail(&format!("{pointer} = {value}: the field is not named"));
        }
        out.refused(&[]);
    }
    nothing_exists(&podrun);
}

fn lists_in_the_place_of_objects_are_told_by_field(t: &Test) {
    let podrun = t.podrun();
    for (pointer, value, field) in [
        ("/process/user", json!([5, 6, null, null, null]), "process.user"),
        ("/process/rlimits", json!([["RLIMIT_NOFILE", 20, 10]]), "process.rlimits[0]"),
        ("/root", json!(["rootfs", true]), "root"),
        ("/hooks", json!([[], [], [], [], [], []]), "hooks"),
        ("/linux/netDevices", json!({"v0": ["eth0"]}), "linux.netDevices"),
        ("/linux/seccomp", json!(["SCMP_ACT_ALLOW"]), "linux.seccomp"),
        ("/linux", json!([null]), "linux"),
    ] {
        let bundle = t.bundle().set(pointer, value);
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        refused_with_hint(out, &[field, "is a list, and an object is wanted"]);
    }
    nothing_exists(&podrun);
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]), "c");
    for (resources, field) in
        [("[]", "linux.resources"), (r#"{"memory": [80000000, null]}"#, "linux.resources.memory")]
    {
        let out = podrun.cmd(&["update", "-r", "-", "c"]).input(resources).run();
        refused_with_hint(out, &[field, "is a list, and an object is wanted"]);
    }
    let file = t.file("process.json", r#"{"cwd": "/", "args": ["/bin/probe", "exit", "0"], "user": [7, 8]}"#);
    let file = file.to_str().expect("UTF-8");
    podrun.run(&["exec", "--process", file, "c"]).exits(255).says(&["user", "is a list"]);
    podrun.remove("c");
}

fn config_without_what_is_needed(t: &Test) {
    let podrun = t.podrun();
    for (parent, key) in
        [("", "ociVersion"), ("", "root"), ("/process", "args"), ("/process", "cwd"), ("/root", "path")]
    {
        let bundle = t.bundle().edit(|config| {
            config.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(key);
        });
        let field = format!("{}.{key}: ", parent.trim_start_matches('/'));
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        out.refused(&[field.trim_start_matches('.')]);
    }
    nothing_exists(&podrun);
}

fn invalid_ids(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let long = "x".repeat(1025);
    for id in ["", ".", "..", "/", "a/b", "../c", "a b", "a\nb", "é", &long] {
        for words in
            [&["create", "--bundle", bundle.text(), id][..], &["state", id], &["delete", "--force", id]]
        {
            let out = podrun.run(words).refused(&["id"]);
            assert!(out.stderr.len() < 500, "the message repeats all of a long id");
        }
    }
    nothing_exists(&podrun);
    assert!(!t.path("c").exists());
}

fn missing_root_file_system(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().set("/root/path", json!("nowhere"));
    podrun
        .run(&["create", "--bundle", bundle.text(), "c"])
        .refused(&["nowhere", "no such file or directory"]);
    let bundle = t.bundle().set("/root/path", json!("config.json"));
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json", "not a directory"]);
    nothing_exists(&podrun);
}

fn missing_bind_source(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.path("missing"));
    let bundle = t.bundle().mount("bind", &source, "/data", &["rbind"]);
    let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
    refused_with_hint(out, &[&source, "/data", "no such file or directory", "\"c\""]);
    assert!(!t.path("missing").exists(), "it is not made");
    nothing_exists(&podrun);
}

fn mount_destination_that_leaves_the_root(t: &Test) {
    let podrun = t.podrun();
    let outside = t.directory("outside");
    for (link, target) in [
        ("/absolute", path_text(&outside)),
        ("/relative", "../../outside".into()),
        ("/far", format!("{}{}", "../".repeat(30), path_text(&outside).trim_start_matches('/'))),
    ] {
        let bundle = t.bundle();
        symlink(&target, bundle.rootfs(link)).expect("a link");
        let bundle = bundle.mount("tmpfs", "t", link, &["size=64k"]);
        let out = podrun.run_bundle(&bundle, "c");
        // Resolved inside the root, or refused: both keep the host as it is.
        assert!(out.code() <= 1, "{out:?}");
        assert_eq!(std::fs::read_dir(&outside).expect("it is there").count(), 0, "{link} -> {target}");
        assert!(!proc::mounts("self").iter().any(|mount| mount.point == path_text(&outside)));
    }
    nothing_exists(&podrun);
}

fn relative_mount_destination(t: &Test) {
    let podrun = t.podrun();
    // The spec calls for an absolute path; what is above the root stays above it.
    let bundle = t.bundle().mount("tmpfs", "t", "../../escape", &[]);
    let out = podrun.run_bundle(&bundle, "c");
    assert!(out.code() <= 1, "{out:?}");
    assert!(!t.path("escape").exists());
    podrun.run_bundle(&t.bundle().mount("tmpfs", "t", "", &[]), "c").refused(&["destination"]);
    nothing_exists(&podrun);
}

fn command_that_is_not_there(t: &Test) {
    let podrun = t.podrun();
    // docker makes exit code 127 of these words.
    for command in ["/no/such", "./no-such", "no-such"] {
        let out =
            podrun.run(&["create", "--bundle", t.bundle().args(&[command]).text(), "c"]).refused(&[command]);
        assert!(
            ["executable file not found", "no such file or directory"].iter().any(|w| out.stderr.contains(w)),
            "{}",
            out.stderr
        );
    }
    let missing_interpreter = t.bundle().with_file("/script", "#!/no/such/shell\n", 0o755).args(&["/script"]);
    // The kernel finds this out: create cannot know, but run must say so.
    let out = podrun.run_bundle(&missing_interpreter, "c");
    assert!(out.code() != 0 && out.stderr.contains("exec /script: no such file or directory"), "{out:?}");
    podrun.remove("c");
    nothing_exists(&podrun);
}

fn command_that_may_not_be_executed(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().with_file("/bin/data", "text", 0o644);
    for command in ["/bin/data", "data"] {
        let bundle = t.bundle().with_file("/bin/data", "text", 0o644).args(&[command]);
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&[command, "permission denied"]);
    }
    // Executable for root only, as seen by the container's user, who may not override that.
    std::fs::set_permissions(bundle.rootfs("/bin/data"), std::fs::Permissions::from_mode(0o700))
        .expect("a mode");
    let bundle = bundle.args(&["/bin/data"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let bundle = bundle.set("/process/capabilities", json!({}));
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["/bin/data", "permission denied"]);
    nothing_exists(&podrun);
}

fn command_that_is_a_directory(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.run(&["create", "--bundle", t.bundle().args(&["/bin"]).text(), "c"]).refused(&["/bin"]);
    assert!(["is a directory", "permission denied"].iter().any(|w| out.stderr.contains(w)), "{}", out.stderr);
    nothing_exists(&podrun);
}

fn command_in_a_format_the_kernel_does_not_know(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().with_file("/odd", "neither script nor program", 0o755).args(&["/odd"]);
    let out = podrun.run_bundle(&bundle, "c");
    assert!(out.code() != 0 && out.stderr.contains("/odd"), "{out:?}");
    podrun.remove("c");
}

fn no_command_at_all(t: &Test) {
    let podrun = t.podrun();
    for args in [json!([]), json!([""]), json!(null)] {
        let bundle = t.bundle().set("/process/args", args);
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["args"]);
    }
    nothing_exists(&podrun);
}

fn volume_without_pod(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.run(&["create", "--bundle", t.bundle().text(), "--volume", "data:/data", "c"]);
    out.refused(&["--volume", "--pod"]);
    nothing_exists(&podrun);
}

fn memory_limit_too_small_to_start(t: &Test) {
    let podrun = t.podrun();
    for limit in [4096, 65536] {
        let bundle = t.bundle().set("/linux/resources/memory", json!({"limit": limit}));
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        let out = out.refused(&["memory"]);
        let shown = [limit.to_string(), format!("{}Ki", limit / 1024)];
        assert!(
            shown.iter().any(|text| out.stderr.contains(text)),
            "the limit {limit} is not told: {}",
            out.stderr
        );
    }
    nothing_exists(&podrun);
}

fn namespace_path_that_is_no_namespace(t: &Test) {
    let podrun = t.podrun();
    for path in ["/etc/passwd", "/proc/self/ns/no-such", "/nowhere", "relative"] {
        for kind in ["network", "pid"] {
            let bundle = t.bundle().namespace(kind, Some(path));
            podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&[path, "linux.namespaces"]);
        }
    }
    nothing_exists(&podrun);
}

fn namespace_path_of_another_kind(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().namespace("network", Some("/proc/self/ns/ipc"));
    podrun
        .run(&["create", "--bundle", bundle.text(), "c"])
        .refused(&["/proc/self/ns/ipc", "linux.namespaces"]);
    nothing_exists(&podrun);
}

fn unknown_pod(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.run(&["create", "--bundle", t.bundle().text(), "--pod", "ghost", "c"]);
    out.refused(&["ghost", "not found"]);
    nothing_exists(&podrun);
}

fn unprivileged_user_is_told_to_be_root(t: &Test) {
    let podrun = t.podrun();
    std::fs::set_permissions(t.place(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    // The test's build directory may be closed to others.
    let binary = t.path("podrun");
    std::fs::copy(podrun.binary(), &binary).expect("a copy");
    let bundle = t.bundle();
    let cmd = podrun.with_binary(&binary).cmd(&["create", "--bundle", bundle.text(), "c"]);
    let out = cmd.under(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]).run();
    out.refused(&["root"]);
    assert!(!podrun.root().join("containers/c").exists());
}

/// Runs a command line in a mount namespace that a shell script has changed.
fn in_changed_mounts(podrun: &Runtime, script: &str, words: &[&str]) -> Outcome {
    let script = format!("set -e; {script}; exec \"$@\"");
    podrun.cmd(words).under(["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"]).run()
}

fn no_cgroup_mount(t: &Test) {
    let podrun = t.podrun();
    let script = "umount -R -l /sys/fs/cgroup";
    let bundle = t.bundle().set("/linux/resources/pids", json!({"limit": 5}));
    let out = in_changed_mounts(&podrun, script, &["create", "--bundle", bundle.text(), "c"]);
    refused_with_hint(out, &["cgroup", "mount"]);
    nothing_exists(&podrun);
}

fn read_only_cgroup_mount(t: &Test) {
    let podrun = t.podrun();
    let script = "for m in $(grep -o ' /sys/fs/cgroup[^ ]*' /proc/self/mountinfo | sort -u); do \
                  mount -o remount,bind,ro $m; done";
    let out = in_changed_mounts(&podrun, script, &["create", "--bundle", t.bundle().text(), "c"]);
    refused_with_hint(out, &["cgroup", "read-only"]);
    nothing_exists(&podrun);
}

fn root_on_a_noexec_mount_works(t: &Test) {
    let podrun = t.podrun();
    for directory in [podrun.root(), podrun.data_root()] {
        std::fs::create_dir(&directory).expect("a directory");
        let flags = MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), &directory, Some("tmpfs"), flags, None::<&str>).expect("a tmpfs");
    }
    podrun.facts(&t.bundle());
    podrun.pod("p", &[]);
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "60"]);
    podrun.up_in("p", &bundle, "c", &[]);
    podrun.remove_pod("p");
    for directory in [podrun.root(), podrun.data_root()] {
        // Not detached: a mount that is still busy is a leak.
        nix::mount::umount(&directory).expect("nothing uses it any more");
    }
}

fn root_that_cannot_be_made(t: &Test) {
    let file = path_text(&t.file("file", ""));
    let podrun = t.podrun();
    let wrong = podrun.with_globals(&["--root", &format!("{file}/root")]);
    wrong.run(&["create", "--bundle", t.bundle().text(), "c"]).refused(&[&file]);
    let out = in_changed_mounts(
        &podrun,
        &format!("mkdir -p {0}; mount -t tmpfs t {0}; mount -o remount,ro {0}", path_text(&t.path("ro"))),
        &["--root", &path_text(&t.path("ro/root")), "create", "--bundle", t.bundle().text(), "c"],
    );
    refused_with_hint(out, &["read-only"]);
}

fn wrong_usage(t: &Test) {
    let podrun = t.podrun();
    for words in [
        &[][..],
        &["frobnicate"],
        &["create"],
        &["create", "--no-such-flag", "c"],
        &["create", "a", "b"],
        &["start"],
        &["state"],
        &["delete"],
        &["kill"],
        &["kill", "c", "9", "more"],
        &["list", "-f", "xml"],
        &["ps", "-f", "xml", "c"],
        &["run", "--preserve-fds", "-1", "c"],
        &["--log-format", "xml", "list"],
        &["--cgroup-manager", "magic", "list"],
    ] {
        let out = podrun.run(words);
        if out.code() != 1 || out.stderr.is_empty() || !out.stdout.is_empty() {
            out.fail("usage errors of the OCI face end with 1 and a message on stderr alone");
        }
    }
    for words in [
        &["pod"][..],
        &["pod", "create"],
        &["pod", "frobnicate"],
        &["pod", "create", "p", "--memory", "lots"],
    ] {
        let out = podrun.run(words);
        if out.code() != 2 || out.stderr.is_empty() || !out.stdout.is_empty() {
            out.fail("usage errors of the pod face end with 2 and a message on stderr alone");
        }
    }
    for words in [&["--help"][..], &["create", "--help"], &["pod", "--help"], &["pod", "create", "--help"]] {
        assert!(podrun.run(words).ok().stdout.contains("Usage:"));
    }
}

fn pid_file_that_cannot_be_written(t: &Test) {
    let podrun = t.podrun();
    let file = path_text(&t.path("no/such/directory/pid"));
    podrun.run(&["create", "--bundle", t.bundle().text(), "--pid-file", &file, "c"]).refused(&[&file]);
    nothing_exists(&podrun);
}

fn log_file_that_cannot_be_written(t: &Test) {
    let file = path_text(&t.path("no/such/directory/log"));
    let podrun = t.podrun().with_globals(&["--log", &file]);
    // It must not hide the error that it was for.
    podrun.run(&["state", "c"]).refused(&["does not exist"]);
}

fn full_stdout_and_closed_pipe(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&t.bundle(), "c");
    // A reader that has enough is no error; a full disk is one.
    let closed = "\"$@\" 2>\"$0\" | true; exit 0";
    let errors = path_text(&t.path("errors"));
    for words in [&["list"][..], &["state", "c"], &["features"]] {
        podrun.cmd(words).under(["sh", "-c", closed, &errors]).run().ok();
        assert_eq!(std::fs::read_to_string(&errors).expect("the errors"), "", "{words:?}");
        let full = podrun.cmd(words).under(["sh", "-c", "exec \"$@\" >/dev/full", "sh"]).run();
        full.exits(1).says(&["no space left"]);
    }
    podrun.remove("c");
}

fn hostile_config_is_an_error_not_a_crash(t: &Test) {
    let podrun = t.podrun();
    let deep = format!("{}{}", "[".repeat(5 << 20), "]".repeat(5 << 20));
    let objects = "{\"a\":".repeat(1 << 20);
    let mut wide = t.bundle().config();
    wide["x-wide"] = json!(vec![0; 3_000_000]);
    let mut arguments = t.bundle().config();
    arguments["process"]["args"] = json!(vec!["a"; 1_000_000]);
    let mut long = t.bundle().config();
    long["process"]["args"] = json!(["/bin/probe", "x".repeat(4 << 20)]);
    let mut nul = t.bundle().config();
    nul["process"]["args"] = json!(["/bin/probe", "a\0b"]);
    let texts = [deep, objects, wide.to_string(), arguments.to_string(), long.to_string(), nul.to_string()];
    for text in texts {
        let bundle = t.bundle().raw(&text);
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        assert!(out.code() <= 1 && out.stderr.len() < 4000, "{:.60}...: {:.400}", text, format!("{out:?}"));
        podrun.run(&["delete", "--force", "c"]).ok();
    }
    let bundle = t.bundle().raw([0xff, 0xfe, b'{']);
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json"]);
    nothing_exists(&podrun);
}

fn config_that_is_no_plain_file(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let config = bundle.directory().join("config.json");
    std::fs::remove_file(&config).expect("to remove it");
    std::fs::create_dir(&config).expect("a directory");
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json"]);
    std::fs::remove_dir(&config).expect("to remove it");
    // Endless, and one that nobody writes to: neither may eat the machine or hang.
    symlink("/dev/zero", &config).expect("a link");
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json"]);
    std::fs::remove_file(&config).expect("to remove it");
    nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRUSR).expect("a fifo");
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["config.json"]);
}

fn id_that_looks_like_an_option(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    podrun.run(&["create", "--bundle", bundle.text(), "--", "-c"]).ok();
    assert_eq!(podrun.ids(), ["-c"]);
    podrun.run(&["delete", "--force", "--", "-c"]).ok();
}

fn too_many_of_anything_is_refused_with_the_number(t: &Test) {
    let podrun = t.podrun();
    let many = |element: Value, number: usize| Value::Array(vec![element; number]);
    let hook = json!({"path": "/bin/true"});
    let mount = json!({"destination": "/m", "type": "tmpfs", "source": "t"});
    let rlimit = json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10});
    let device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3});
    for (pointer, element, most) in [
        ("/mounts", mount, 4096),
        ("/hooks/poststop", hook, 256),
        ("/linux/devices", device, 65_536),
        ("/process/rlimits", rlimit.clone(), 64),
        ("/process/env", json!("A=B"), 262_144),
        ("/process/args", json!("a"), 262_144),
    ] {
        let bundle = t.bundle().set(pointer, many(element, most + 1));
        let (field, number) = (pointer[1..].replace('/', "."), most + 1);
        let words = format!("{field}: {number} are more than the {most} that podrun takes");
        refused_with_hint(podrun.run(&["create", "--bundle", bundle.text(), "c"]), &[&words]);
    }
    nothing_exists(&podrun);

    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    podrun.up(&bundle, "c");
    let mut process = bundle.config()["process"].clone();
    process["rlimits"] = many(rlimit, 65);
    let file = path_text(&t.file("process.json", process.to_string()));
    podrun.run(&["exec", "--process", &file, "c"]).exits(255).says(&["rlimits: 65 are more than the 64"]);
    podrun.remove("c");
}
