//! Where mounts go: links, missing paths, the root itself, /proc; what their sources are; and how they propagate.

use crate::harness::{Bundle, Case, Test, case, facts, proc, runtime::path_text};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(links_to_nothing_have_their_targets_made),
        case!(endless_links_are_refused),
        case!(missing_directories_inherit_the_set_group_bit),
        case!(paths_below_the_root_on_the_host_are_the_containers),
        case!(source_in_the_root_cannot_lead_out),
        case!(sockets_pipes_and_devices_are_bound),
        case!(root_itself_can_be_mounted_over),
        case!(root_can_be_made_read_only_and_not_hidden),
        case!(only_procfs_goes_over_proc),
        case!(very_many_mounts_are_made),
        case!(slave_root_sees_what_the_host_mounts),
        case!(propagation_of_a_mount_wins_over_that_of_the_root),
        case!(no_pivot_shows_no_bare_proc),
        case!(no_pivot_leaks_no_mount_to_the_host),
        case!(a_chroot_does_not_show_the_host),
        case!(sources_in_the_root_are_known_by_any_name),
        case!(propagation_that_is_not_safe_is_refused),
        case!(read_only_root_keeps_its_other_flags),
        case!(mount_point_that_a_read_only_root_has_not_got_is_named),
    ]
}

#[track_caller]
fn looking(t: &Test, paths: &[&str]) -> Bundle {
    let mut args = vec!["/bin/probe", "facts"];
    args.extend(paths.iter().flat_map(|path| ["--path", *path]));
    t.bundle().args(&args)
}

fn links_to_nothing_have_their_targets_made(t: &Test) {
    let podrun = t.podrun();
    let (file, directory) = (path_text(&t.file("file", "text")), path_text(&t.directory("source")));
    let outside = t.path("outside");
    // Links of the image, the destination, and where it is in the container.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let table: &[Row<'_>] = &[
        (&[("/etc/hosts", "/tmp/hosts")], "/etc/hosts", "/tmp/hosts"),
        (&[("/etc/hosts", "../tmp/x/y/hosts")], "/etc/hosts", "/tmp/x/y/hosts"),
        (
            &[("/jump", "/far/foo/bar"), ("/etc/hosts", "/jump/baz/hosts")],
            "/etc/hosts",
            "/far/foo/bar/baz/hosts",
        ),
        (&[("/a", "b"), ("/b", "/c"), ("/c", "d/../e")], "/a/f", "/e/f"),
        (&[("/up", "../../../../top")], "/up", "/top"),
        (&[("/out", outside.to_str().expect("UTF-8"))], "/out", outside.to_str().expect("UTF-8")),
    ];
    for (links, destination, real) in table {
        for source in [&file, &directory] {
            let bundle = looking(t, &[real]);
            for (link, target) in *links {
                std::fs::create_dir_all(bundle.rootfs(link).parent().expect("a parent"))
                    .expect("a directory");
                drop(std::fs::remove_file(bundle.rootfs(link)));
                symlink(target, bundle.rootfs(link)).expect("a link");
            }
            let facts = podrun.facts(&bundle.mount("bind", source, destination, &["bind"]));
            assert!(facts::is_mounted(&facts, real), "{destination} is at {real}: {}", facts["mounts"]);
            let inode = std::fs::metadata(source).expect("it").ino();
            assert_eq!(facts["paths"][real]["inode"], inode, "{destination} is at {real}");
            assert!(!outside.exists(), "made on the host: {outside:?}");
        }
    }
}

fn endless_links_are_refused(t: &Test) {
    let bundle = t.bundle();
    symlink("two", bundle.rootfs("/one")).expect("a link");
    symlink("one", bundle.rootfs("/two")).expect("a link");
    let bundle = bundle.mount("tmpfs", "t", "/one/below", &[]);
    t.podrun().run_bundle(&bundle, "c").refused(&["/one/below", "ymbolic link"]);
}

fn missing_directories_inherit_the_set_group_bit(t: &Test) {
    let bundle = t.bundle();
    std::fs::create_dir(bundle.rootfs("/group")).expect("a directory");
    std::fs::set_permissions(bundle.rootfs("/group"), PermissionsExt::from_mode(0o7755)).expect("a mode");
    let bundle = bundle.mount("tmpfs", "t", "/group/a/b", &["ro"]);
    t.podrun().facts(&bundle);
    let mode = |path| std::fs::metadata(bundle.rootfs(path)).expect("it").mode() & 0o7777;
    assert_eq!((mode("/group"), mode("/group/a"), mode("/group/a/b")), (0o7755, 0o2755, 0o2755));
}

fn paths_below_the_root_on_the_host_are_the_containers(t: &Test) {
    let sources = t.directory("source");
    for (directory, name) in [("a/x", "a"), ("b/y", "b"), ("c/z", "c")] {
        t.directory(&format!("source/{name}"));
        t.directory(&format!("source/{directory}"));
        t.file(&format!("source/{directory}/file"), directory);
    }
    let bundle = looking(t, &["/final/x/y/z/z/x/y/z/x/file"]);
    let from = |name: &str| path_text(&sources.join(name));
    let root = |path: &str| path_text(&bundle.rootfs(path));
    // Mounts on mounts, then copies of those, by paths that begin where the root file system is on the host.
    let (x, y, mnt) = (root("/mnt/x"), root("/mnt/x/y"), root("/mnt"));
    let (deeper, deep, last) = (root("/mnt/x/y/z/x"), root("/mnt/x/y/z"), root("/final"));
    let bundle = bundle
        .mount("bind", &from("a"), "/mnt", &["bind"])
        .mount("bind", &from("b"), "/mnt/x", &["bind"])
        .mount("bind", &from("c"), "/mnt/x/y", &["bind"])
        .mount("bind", &from("a"), "/mnt/x/y/z", &["bind"])
        .mount("bind", &x, &deeper, &["rbind"])
        .mount("bind", &y, &deep, &["rbind"])
        .mount("bind", &mnt, &last, &["rbind"]);
    let facts = t.podrun().facts(&bundle);
    let seen = &facts["paths"]["/final/x/y/z/z/x/y/z/x/file"];
    assert_eq!(seen["inode"], std::fs::metadata(sources.join("a/x/file")).expect("it").ino(), "{seen}");
}

fn source_in_the_root_cannot_lead_out(t: &Test) {
    let outside = t.directory("outside");
    t.file("outside/secret", "of the host");
    let bundle = looking(t, &["/data/secret"]);
    symlink(&outside, bundle.rootfs("/link")).expect("a link");
    let source = path_text(&bundle.rootfs("/link"));
    t.podrun()
        .run_bundle(&bundle.mount("bind", &source, "/data", &["bind"]), "c")
        .refused(&["/link", "/data"]);
}

fn sockets_pipes_and_devices_are_bound(t: &Test) {
    let podrun = t.podrun();
    let (socket, pipe) = (t.path("socket"), t.path("pipe"));
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    for options in [&["bind"][..], &["bind", "ro"], &["rbind", "rro"]] {
        let bundle = looking(t, &["/run/socket", "/run/device"]).mount(
            "bind",
            &path_text(&socket),
            "/run/socket",
            options,
        );
        let bundle = bundle.mount("bind", "/dev/zero", "/run/device", options);
        let bundle = bundle.mount("none", &path_text(&pipe), "/run/pipe", options);
        let bundle = bundle.args(&["sh", "-c", "stat -c '%F %t:%T' /run/socket /run/device /run/pipe"]);
        let seen = podrun.run_bundle(&with_busybox(t, bundle), "c").ok().stdout;
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines, ["socket 0:0", "character special file 1:5", "fifo 0:0"], "{options:?}");
    }
    drop(listener);
}

/// The config of a bundle with busybox for its root file system.
#[track_caller]
fn with_busybox(t: &Test, bundle: Bundle) -> Bundle {
    let shell = t.shell("true");
    let root = json!(shell.rootfs("/"));
    bundle.set("/root/path", root)
}

fn root_itself_can_be_mounted_over(t: &Test) {
    let podrun = t.podrun();
    let first = |bundle: Bundle, mount: Value| {
        bundle.edit(|config| config["mounts"].as_array_mut().expect("an array").insert(0, mount))
    };
    let copied = first(
        looking(t, &["/mark"]).with_file("/mark", "x", 0o644),
        json!({"destination": "/", "type": "tmpfs", "source": "t", "options": ["tmpcopyup", "nosuid"]}),
    );
    let facts = podrun.facts(&copied);
    assert_eq!(facts["paths"]["/mark"]["write"], "ok");
    assert_eq!(facts::mount(&facts, "/")["fstype"], "tmpfs");
    facts::assert_options(&facts, "/", &["nosuid"]);
    let other = t.bundle().with_file("/other", "x", 0o644);
    let bound = first(
        looking(t, &["/other", "/dev/null"]),
        json!({"destination": "/", "type": "bind", "source": other.rootfs("/"), "options": ["bind"]}),
    );
    let facts = podrun.facts(&bound.set("/root/readonly", json!(true)));
    assert_eq!(facts["paths"]["/other"]["read"], "ok");
    assert_eq!(facts["paths"]["/other"]["write"], "EROFS");
    assert_eq!(facts["paths"]["/dev/null"]["type"], "char");
}

fn root_can_be_made_read_only_and_not_hidden(t: &Test) {
    for path in ["/", "/link", "/tmp/.."] {
        let bundle = looking(t, &["/bin"]).set("/linux/readonlyPaths", json!([path]));
        symlink("/", bundle.rootfs("/link")).expect("a link");
        let facts = t.podrun().facts(&bundle);
        assert_eq!(facts["paths"]["/bin"]["write"], "EROFS", "{path}");
        let bundle = t.bundle().set("/linux/maskedPaths", json!([path]));
        symlink("/", bundle.rootfs("/link")).expect("a link");
        t.podrun().run_bundle(&bundle, "c").refused(&["maskedPaths", path]);
    }
}

fn only_procfs_goes_over_proc(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.directory("source"));
    let file = path_text(&t.file("file", "MemTotal: 1 kB"));
    for bundle in [
        t.bundle().mount("tmpfs", "t", "/proc", &[]),
        t.bundle().mount("bind", &source, "/proc", &["bind"]),
        t.bundle().mount("tmpfs", "t", "/./proc//", &[]),
        t.bundle().mount("bind", &source, "/proc/self/attr", &["bind"]),
        t.bundle().mount("tmpfs", "t", "/proc/sys", &["remount"]),
    ] {
        podrun.run_bundle(&bundle, "c").refused(&["proc", "hint:"]);
    }
    // By a link, or without a procfs there: a directory that only looks like one.
    let link = t.bundle().mount("tmpfs", "t", "/link", &[]);
    symlink("/proc/sys", link.rootfs("/link")).expect("a link");
    podrun.run_bundle(&link, "c").refused(&["/link", "/proc"]);
    let bare = t.bundle().edit(|config| {
        config["mounts"].as_array_mut().expect("an array").retain(|mount| mount["destination"] != "/proc");
    });
    podrun.run_bundle(&bare.mount("tmpfs", "t", "/proc", &[]), "c").refused(&["/proc", "type proc"]);
    // What lxcfs does, a second procfs, and the host's.
    let lxcfs = looking(t, &["/proc/meminfo"]).mount("bind", &file, "/proc/meminfo", &["bind"]);
    assert_eq!(podrun.facts(&lxcfs)["paths"]["/proc/meminfo"]["size"], 14);
    podrun.facts(&t.bundle().mount("proc", "proc", "/proc", &["nosuid"]));
    podrun.facts(&t.bundle().mount("bind", "/proc", "/proc", &["rbind"]));
}

fn very_many_mounts_are_made(t: &Test) {
    const COUNT: usize = 1500;
    let podrun = t.podrun();
    let bundle = t.bundle().edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        mounts.extend((0..COUNT).map(|number| {
            json!({"destination": format!("/many/{number}"), "type": "tmpfs", "source": "t", "options": ["ro", "size=4k"]})
        }));
    });
    let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).under([
        "sh",
        "-c",
        "ulimit -n 1024; exec \"$@\"",
        "sh",
    ]);
    let facts = run.run().ok().json();
    for number in [0, 1, COUNT / 2, COUNT - 1] {
        facts::assert_options(&facts, &format!("/many/{number}"), &["ro"]);
    }
}

/// A command line of podrun's in a mount namespace of its own whose mounts are all shared.
#[track_caller]
fn with_shared_mounts(t: &Test, script: &str, words: &[&str]) -> crate::harness::Outcome {
    let script = format!("mount --make-rshared / && {script}");
    t.podrun()
        .cmd(words)
        .under(["unshare", "-m", "--propagation", "private", "sh", "-c", script.as_str(), "sh"])
        .run()
}

fn slave_root_sees_what_the_host_mounts(t: &Test) {
    for (word, wanted, unwanted) in
        [("slave", "master:", "shared:"), ("rslave", "master:", "shared:"), ("shared", "shared:", "master:")]
    {
        let bundle = t.bundle().set("/linux/rootfsPropagation", json!(word));
        let out = with_shared_mounts(t, "exec \"$@\"", &["run", "--bundle", bundle.text(), "c"]);
        let have = facts::strings(&facts::mount(&out.ok().json(), "/")["propagation"]).join(" ");
        assert!(have.contains(wanted) && !have.contains(unwanted), "{word}: {have}");
    }
}

fn propagation_of_a_mount_wins_over_that_of_the_root(t: &Test) {
    let source = path_text(&t.directory("source"));
    for (root, own, shared, slave) in [
        ("rprivate", Some("rshared"), true, false),
        ("rslave", Some("rshared"), true, true),
        ("rshared", Some("rprivate"), false, false),
        ("rshared", None, true, false),
        ("rslave", None, false, true),
        ("rprivate", None, false, false),
    ] {
        let options: Vec<&str> = ["rbind"].into_iter().chain(own).collect();
        let bundle =
            t.bundle().mount("bind", &source, "/data", &options).set("/linux/rootfsPropagation", json!(root));
        let out = with_shared_mounts(t, "exec \"$@\"", &["run", "--bundle", bundle.text(), "c"]);
        let have = facts::strings(&facts::mount(&out.ok().json(), "/data")["propagation"]).join(" ");
        let found = (have.contains("shared:"), have.contains("master:"));
        assert_eq!(found, (shared, slave), "{own:?} in a root that is {root}: {have:?}");
    }
}

fn no_pivot_shows_no_bare_proc(t: &Test) {
    // A user namespace may mount a procfs where one without anything masked can be seen: the host's must not.
    let script = "unshare -mrpf sh -c 'mount -t proc none /proc && echo mounted' 2>&1; echo ended";
    let bundle = t.shell(script).push("/process/capabilities/bounding", json!("CAP_SYS_ADMIN"));
    let out = t.podrun().run(&["run", "--no-pivot", "--bundle", bundle.text(), "c"]).ok();
    assert!(out.stdout.contains("ended") && !out.stdout.contains("mounted\n"), "{}", out.stdout);
    let facts = t.podrun().run(&["run", "--no-pivot", "--bundle", t.bundle().text(), "c"]).ok().json();
    let procs = facts["mounts"].as_array().expect("mounts").iter();
    let bare = procs.filter(|mount| mount["fstype"] == "proc" && mount["root"] == "/");
    assert_eq!(bare.count(), 1, "{}", facts["mounts"]);
}

fn no_pivot_leaks_no_mount_to_the_host(t: &Test) {
    let bundle =
        t.bundle().args(&["/bin/probe", "exit", "0"]).set("/linux/rootfsPropagation", json!("rshared"));
    let root = path_text(&bundle.rootfs("/"));
    let count =
        "awk '$5 == \"/\"' /proc/self/mountinfo | wc -l; ls /proc/self/mountinfo /sys/kernel >/dev/null";
    let script = format!("mount --bind '{root}' '{root}'; {count}; \"$@\" && {count}");
    let out = with_shared_mounts(t, &script, &["run", "--no-pivot", "--bundle", bundle.text(), "c"]).ok();
    let counts: Vec<&str> = out.stdout.lines().collect();
    assert!(counts.len() == 2 && counts[0] == counts[1], "mounts at / before and after: {counts:?}");
    assert!(Path::new("/proc/self").exists());
}

/// The root of podrun's mount namespace is another than podrun's own root then, and must not be the container's way out.
fn a_chroot_does_not_show_the_host(t: &Test) {
    let jail = path_text(&t.directory("jail"));
    std::fs::write(t.path("outside"), "").expect("a file");
    // All of the host at another place, with /proc, /sys and the rest.
    let script = format!("mount --rbind / '{jail}' && exec chroot '{jail}' \"$@\"");
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]).with_file("/mark", "inside", 0o644);
    let within = |words: &[&str]| {
        t.podrun()
            .cmd(words)
            .under(["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"])
            .run()
    };
    within(&["run", "--detach", "--bundle", bundle.text(), "c"]).ok();
    let outside = path_text(&t.path("outside"));
    let paths = ["--path", "/mark", "--path", "/work", "--path", &outside];
    let facts = t.podrun().run(&[&["exec", "c", "/bin/probe", "facts"][..], &paths].concat()).ok().json();
    assert_eq!(facts["paths"]["/mark"]["read"], "ok", "{}", facts["paths"]);
    assert_eq!(facts["paths"][&outside]["error"], "ENOENT", "{}", facts["paths"]);
    let tops = facts["mounts"].as_array().expect("mounts").iter().filter(|mount| mount["target"] == "/");
    assert_eq!(tops.count(), 1, "{}", facts["mounts"]);
    t.podrun().remove("c");
    let no_pivot = ["run", "--no-pivot", "--bundle", bundle.text(), "n"];
    within(&no_pivot).refused(&["not the root of its mount namespace", "chroot"]);
}

/// An image's link is followed in the image, whatever the way to the root is called.
fn sources_in_the_root_are_known_by_any_name(t: &Test) {
    let secret = t.directory("secret");
    std::fs::write(secret.join("file"), "the host's").expect("a file");
    let bundle = t.shell("cat /shown/file || echo none");
    symlink(&secret, bundle.rootfs("/data")).expect("a link");
    symlink(bundle.directory(), t.path("link")).expect("a link");
    let name = bundle.directory().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    for source in
        ["rootfs/data".to_owned(), path_text(&t.path("link/rootfs/data")), format!("../{name}/rootfs/data")]
    {
        let config = bundle.config();
        let shown = json!({"destination": "/shown", "type": "bind", "source": source, "options": ["bind"]});
        std::fs::write(bundle.directory().join("config.json"), {
            let mut config = config.clone();
            config["mounts"].as_array_mut().expect("mounts").push(shown);
            config.to_string()
        })
        .expect("a config");
        let out = t.podrun().run_bundle(&bundle, "c");
        assert!(!out.stdout.contains("the host's"), "{source}: {out:?}");
        std::fs::write(bundle.directory().join("config.json"), config.to_string()).expect("a config");
    }
}

fn propagation_that_is_not_safe_is_refused(t: &Test) {
    let host = t.bundle().set("/root/path", json!("/")).set("/linux/rootfsPropagation", json!("rshared"));
    t.podrun().run_bundle(&host, "c").refused(&["rootfsPropagation", "host's root"]);
    for word in ["private", "rprivate"] {
        let bundle = t.bundle().set("/linux/rootfsPropagation", json!(word));
        let out = t.podrun().run(&["run", "--no-pivot", "--bundle", bundle.text(), "c"]);
        out.refused(&["rootfsPropagation", word, "not safe without pivot_root"]);
    }
}

fn read_only_root_keeps_its_other_flags(t: &Test) {
    let bundle = looking(t, &["/mark"]).with_file("/mark", "x", 0o644).set("/root/readonly", json!(true));
    let root = path_text(&bundle.rootfs("/"));
    let script = format!(
        "mount --bind '{root}' '{root}' && mount -o remount,bind,nosuid,nodev,noatime '{root}' && exec \"$@\""
    );
    let facts = with_shared_mounts(t, &script, &["run", "--bundle", bundle.text(), "c"]).ok().json();
    facts::assert_options(&facts, "/", &["ro", "nosuid", "nodev", "noatime"]);
    assert_eq!(facts["paths"]["/mark"]["write"], "EROFS");
    assert!(!proc::mounts("self").iter().any(|mount| mount.point == root));
}

fn mount_point_that_a_read_only_root_has_not_got_is_named(t: &Test) {
    let bundle = t.bundle();
    for point in ["/proc", "/dev", "/sys"] {
        std::fs::create_dir_all(bundle.rootfs(point)).expect("a directory");
    }
    let root = path_text(&bundle.rootfs("/"));
    let script =
        format!("mount --bind '{root}' '{root}' && mount -o remount,bind,ro '{root}' && exec \"$@\"");
    let run = ["run", "--bundle", bundle.text(), "c"];
    with_shared_mounts(t, &script, &run).ok();
    let bundle = bundle.mount("tmpfs", "t", "/missing/point", &[]);
    let run = ["run", "--bundle", bundle.text(), "c"];
    with_shared_mounts(t, &script, &run)
        .refused(&["/missing/point", "hint: the root file system is read-only"]);
}
