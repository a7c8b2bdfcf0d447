//! What config.json says of the root file system: mounts, devices, masked and read-only paths, propagation.

use crate::harness::{Bundle, Case, Test, case, cgroups, facts, machine, proc, runtime::path_text};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(overlay_of_many_layers_is_mounted),
        case!(root_is_the_bundles_directory),
        case!(root_may_be_absolute_or_a_link),
        case!(read_only_root_takes_no_file),
        case!(root_propagation_is_set),
        case!(nothing_of_the_host_is_visible),
        case!(usual_file_systems_are_mounted_with_their_flags),
        case!(tmpfs_takes_size_and_mode),
        case!(bind_of_a_directory_shows_the_hosts_files),
        case!(bind_of_what_lies_beside_the_root),
        case!(bind_of_a_file_makes_its_target),
        case!(bind_flags_are_applied),
        case!(bind_without_flags_keeps_the_sources),
        case!(rbind_brings_mounts_below_and_bind_does_not),
        case!(recursive_flags_reach_mounts_below),
        case!(mount_propagation_is_set),
        case!(shared_bind_carries_a_mount_to_the_host_and_back),
        case!(mounts_are_made_in_order),
        case!(mount_points_are_made_in_a_read_only_root),
        case!(cgroup_mount_shows_the_containers_own_group),
        case!(default_devices_and_links_are_there),
        case!(listed_devices_are_made),
        case!(devices_are_denied_unless_allowed),
        case!(masked_paths_show_nothing),
        case!(read_only_paths_take_no_writes),
        case!(masked_and_read_only_paths_may_be_missing),
        case!(no_pivot_works),
        case!(root_on_a_shared_mount_does_not_leak_mounts),
        case!(unknown_mount_option_is_refused),
    ]
}

/// Their paths together are longer than fsconfig(2) takes a value, and since Linux 6.8 it takes them one by one.
fn overlay_of_many_layers_is_mounted(t: &Test) {
    let layers: Vec<String> = (0..20)
        .map(|number| {
            let layer = t.directory(&format!("a-layer-of-many-{number}"));
            std::fs::write(layer.join(number.to_string()), "").expect("a file");
            path_text(&layer)
        })
        .collect();
    let release = nix::sys::utsname::uname().expect("uname").release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next(), numbers.next());
    let bundle = t.shell("ls /data | wc -l").mount(
        "overlay",
        "overlay",
        "/data",
        &[&format!("lowerdir={}", layers.join(":"))],
    );
    let out = t.podrun().run_bundle(&bundle, "c");
    if version >= (Some(6), Some(8)) {
        assert_eq!(out.ok().stdout, "20\n");
    } else {
        out.refused(&["overlay", "255 bytes"]);
    }
}

/// A bundle whose probe looks at paths.
#[track_caller]
pub fn looking(t: &Test, paths: &[&str]) -> Bundle {
    let mut args = vec!["/bin/probe", "facts"];
    args.extend(paths.iter().flat_map(|path| ["--path", *path]));
    t.bundle().args(&args)
}

#[track_caller]
fn path_fact(facts: &Value, path: &str, key: &str) -> String {
    let value = &facts["paths"][path][key];
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn root_is_the_bundles_directory(t: &Test) {
    let bundle = looking(t, &["/mark", "/"]).with_file("/mark", "here", 0o644);
    let facts = t.podrun().facts(&bundle);
    assert_eq!(path_fact(&facts, "/mark", "read"), "ok");
    assert_eq!(path_fact(&facts, "/", "write"), "ok");
}

fn root_may_be_absolute_or_a_link(t: &Test) {
    let podrun = t.podrun();
    let other = t.bundle().with_file("/mark", "here", 0o644);
    let link = t.path("link");
    std::os::unix::fs::symlink(other.rootfs("/"), &link).expect("a link");
    for path in [path_text(&other.rootfs("/")), path_text(&link), "../link".to_owned()] {
        let facts = podrun.facts(&looking(t, &["/mark"]).set("/root/path", json!(path)));
        assert_eq!(path_fact(&facts, "/mark", "read"), "ok", "{path}");
    }
}

fn read_only_root_takes_no_file(t: &Test) {
    let bundle = looking(t, &["/", "/tmp", "/dev"]).set("/root/readonly", json!(true));
    let facts = t.podrun().facts(&bundle);
    assert_eq!(path_fact(&facts, "/", "write"), "EROFS");
    assert_eq!(path_fact(&facts, "/tmp", "write"), "EROFS");
    assert_eq!(path_fact(&facts, "/dev", "write"), "ok", "what is mounted on it keeps its own flags");
}

fn root_propagation_is_set(t: &Test) {
    let podrun = t.podrun();
    let of = |value: Option<&str>| {
        let bundle = t.bundle();
        let bundle = match value {
            Some(value) => bundle.set("/linux/rootfsPropagation", json!(value)),
            None => bundle,
        };
        facts::strings(&facts::mount(&podrun.facts(&bundle), "/")["propagation"]).join(" ")
    };
    assert_eq!(of(Some("private")), "private");
    assert_eq!(of(Some("unbindable")), "unbindable");
    assert!(of(Some("shared")).contains("shared:"), "{}", of(Some("shared")));
    podrun
        .run_bundle(&t.bundle().set("/linux/rootfsPropagation", json!("sideways")), "c")
        .refused(&["rootfsPropagation", "sideways"]);
}

fn nothing_of_the_host_is_visible(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    let targets: Vec<&str> = facts["mounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .filter_map(|mount| mount["target"].as_str())
        .collect();
    let known = ["/", "/proc", "/dev", "/sys"];
    for target in targets {
        let below = known[1..].iter().any(|top| target.starts_with(top));
        assert!(target == "/" || below, "a mount that nobody asked for: {target}");
    }
    assert_eq!(facts["root"], "/");
}

fn usual_file_systems_are_mounted_with_their_flags(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    for (target, kind, options) in [
        ("/proc", "proc", &["rw"][..]),
        ("/dev", "tmpfs", &["rw", "nosuid"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
    ] {
        assert_eq!(facts::mount(&facts, target)["fstype"], kind, "{target}");
        facts::assert_options(&facts, target, options);
    }
    let dev = facts::strings(&facts::mount(&facts, "/dev")["super_options"]);
    assert!(dev.iter().any(|o| o == "size=65536k") && dev.iter().any(|o| o == "mode=755"), "{dev:?}");
    assert!(
        !facts::strings(&facts::mount(&facts, "/dev")["options"]).contains(&"relatime".into()),
        "strictatime"
    );
    let pts = facts::strings(&facts::mount(&facts, "/dev/pts")["super_options"]);
    assert!(["gid=5", "mode=620", "ptmxmode=666"].iter().all(|o| pts.iter().any(|p| p == o)), "{pts:?}");
}

fn tmpfs_takes_size_and_mode(t: &Test) {
    let bundle =
        looking(t, &["/scratch"]).mount("tmpfs", "tmpfs", "/scratch", &["size=64k", "mode=1750", "noatime"]);
    let facts = t.podrun().facts(&bundle);
    assert_eq!(path_fact(&facts, "/scratch", "mode"), "1750");
    facts::assert_options(&facts, "/scratch", &["noatime", "rw"]);
    let options = facts::strings(&facts::mount(&facts, "/scratch")["super_options"]);
    assert!(options.iter().any(|o| o == "size=64k"), "{options:?}");
}

fn bind_of_a_directory_shows_the_hosts_files(t: &Test) {
    let source = t.directory("source");
    t.file("source/file", "from the host");
    let bundle =
        looking(t, &["/data/file", "/data"]).mount("bind", path_text(&source).as_str(), "/data", &["bind"]);
    let facts = t.podrun().facts(&bundle);
    assert_eq!(path_fact(&facts, "/data/file", "read"), "ok");
    assert_eq!(path_fact(&facts, "/data", "write"), "ok");
    assert!(!facts::is_mounted(&facts, &path_text(&source)));
}

fn bind_of_what_lies_beside_the_root(t: &Test) {
    let podrun = t.podrun();
    let bundle = || {
        let bundle = looking(t, &["/data/file"]);
        std::fs::create_dir(bundle.directory().join("beside")).expect("a directory");
        std::fs::write(bundle.directory().join("beside/file"), "text").expect("a file");
        bundle
    };
    let relative = bundle().mount("bind", "rootfs/../beside", "/data", &["bind"]);
    assert_eq!(path_fact(&podrun.facts(&relative), "/data/file", "read"), "ok");
    let bundle = bundle();
    let absolute = path_text(&bundle.rootfs("/bin/../../beside"));
    let facts = podrun.facts(&bundle.mount("bind", &absolute, "/data", &["bind"]));
    assert_eq!(path_fact(&facts, "/data/file", "read"), "ok");
}

fn bind_of_a_file_makes_its_target(t: &Test) {
    let source = path_text(&t.file("file", "content"));
    let podrun = t.podrun();
    for kind in ["bind", "none", ""] {
        let bundle = looking(t, &["/new/dir/file"]).mount(kind, &source, "/new/dir/file", &["bind", "ro"]);
        let facts = podrun.facts(&bundle);
        assert_eq!(path_fact(&facts, "/new/dir/file", "read"), "ok", "type {kind:?}");
        assert_eq!(path_fact(&facts, "/new/dir/file", "write"), "EROFS", "type {kind:?}");
    }
}

fn bind_flags_are_applied(t: &Test) {
    let source = path_text(&t.directory("source"));
    let flags = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"];
    let options: Vec<&str> = ["rbind"].into_iter().chain(flags).collect();
    let bundle = looking(t, &["/data"]).mount("bind", &source, "/data", &options);
    let facts = t.podrun().facts(&bundle);
    facts::assert_options(&facts, "/data", &flags);
    assert_eq!(path_fact(&facts, "/data", "write"), "EROFS");
    let again =
        looking(t, &["/data"]).mount("bind", &source, "/data", &["bind", "ro", "rw", "noexec", "exec"]);
    let facts = t.podrun().facts(&again);
    facts::assert_options(&facts, "/data", &["rw"]);
    let options = facts::strings(&facts::mount(&facts, "/data")["options"]);
    assert!(!options.contains(&"noexec".into()), "the last of two opposites wins: {options:?}");
}

/// A tmpfs on the host at `path`, for as long as the closure runs.
fn with_tmpfs(path: &Path, flags: MsFlags, work: impl FnOnce()) {
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, None::<&str>).expect("a tmpfs on the host");
    work();
    nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).expect("to unmount it");
}

fn bind_without_flags_keeps_the_sources(t: &Test) {
    let source = t.directory("source");
    with_tmpfs(&source, MsFlags::MS_NOEXEC | MsFlags::MS_NODEV | MsFlags::MS_NOSUID, || {
        let bundle = looking(t, &[]).mount("bind", &path_text(&source), "/data", &["rbind", "rslave"]);
        facts::assert_options(&t.podrun().facts(&bundle), "/data", &["rw", "noexec", "nodev", "nosuid"]);
    });
}

fn rbind_brings_mounts_below_and_bind_does_not(t: &Test) {
    let podrun = t.podrun();
    let source = t.directory("source");
    with_tmpfs(&t.directory("source/below"), MsFlags::empty(), || {
        for (option, brought) in [("rbind", true), ("bind", false)] {
            let bundle = t.bundle().mount("bind", &path_text(&source), "/data", &[option]);
            assert_eq!(facts::is_mounted(&podrun.facts(&bundle), "/data/below"), brought, "{option}");
        }
    });
}

fn recursive_flags_reach_mounts_below(t: &Test) {
    let podrun = t.podrun();
    let source = t.directory("source");
    with_tmpfs(&t.directory("source/below"), MsFlags::empty(), || {
        for (option, write) in [("ro", "ok"), ("rro", "EROFS")] {
            let bundle = looking(t, &["/data", "/data/below"]);
            let bundle = bundle.mount("bind", &path_text(&source), "/data", &["rbind", option]);
            let facts = podrun.facts(&bundle);
            assert_eq!(path_fact(&facts, "/data", "write"), "EROFS", "{option}");
            assert_eq!(path_fact(&facts, "/data/below", "write"), write, "{option}");
        }
    });
}

fn mount_propagation_is_set(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.directory("source"));
    for (option, want) in [("rprivate", "private"), ("private", "private"), ("runbindable", "unbindable")] {
        let bundle = t.bundle().mount("bind", &source, "/data", &["rbind", option]);
        let facts = podrun.facts(&bundle);
        assert_eq!(facts::mount(&facts, "/data")["propagation"], json!([want]), "{option}");
    }
    for option in ["rshared", "shared"] {
        let facts = podrun.facts(&t.bundle().mount("bind", &source, "/data", &["rbind", option]));
        let have = facts::strings(&facts::mount(&facts, "/data")["propagation"]).join(" ");
        assert!(have.contains("shared:"), "{option}: {have}");
    }
}

fn shared_bind_carries_a_mount_to_the_host_and_back(t: &Test) {
    let podrun = t.podrun();
    let volume = t.directory("volume");
    mount(Some("tmpfs"), &volume, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
    mount(None::<&str>, &volume, None::<&str>, MsFlags::MS_SHARED, None::<&str>).expect("to share it");
    for below in ["from-host", "from-container"] {
        std::fs::create_dir(volume.join(below)).expect("a directory");
    }
    // Bidirectional and HostToContainer mounts of Kubernetes: rshared and rslave.
    let script = "mount -t tmpfs t /v/from-container && echo mounted; \
                  until grep -q ' /v/from-host ' /proc/mounts; do sleep 0.01; done; echo seen";
    for (option, upwards) in [("rslave", false), ("rshared", true)] {
        let id = format!("c-{option}");
        let caps = json!(["CAP_SYS_ADMIN"]);
        let bundle = t
            .shell(script)
            .mount("bind", &path_text(&volume), "/v", &["rbind", option])
            .set("/linux/rootfsPropagation", json!(option))
            .set("/process/capabilities", json!({"bounding": caps, "effective": caps, "permitted": caps}));
        let out = podrun.up(&bundle, &id);
        podrun.wait_output(&out, "mounted");
        let point = path_text(&volume.join("from-container"));
        assert_eq!(proc::mounts("self").iter().any(|mount| mount.point == point), upwards, "{option}");
        let host = volume.join("from-host");
        with_tmpfs(&host, MsFlags::empty(), || podrun.wait_output(&out, "seen"));
        podrun.remove(&id);
        if upwards {
            nix::mount::umount(point.as_str()).expect("to unmount what the container mounted");
        }
    }
    nix::mount::umount2(&volume, nix::mount::MntFlags::MNT_DETACH).expect("to unmount the volume");
}

fn mounts_are_made_in_order(t: &Test) {
    let source = t.directory("source");
    t.file("source/file", "visible");
    let bundle = looking(t, &["/a/file", "/a/b"])
        .mount("tmpfs", "one", "/a", &[])
        .mount("bind", &path_text(&source), "/a", &["bind"])
        .mount("tmpfs", "two", "/a/b", &["mode=0700"]);
    let facts = t.podrun().facts(&bundle);
    assert_eq!(path_fact(&facts, "/a/file", "read"), "ok", "the second covers the first");
    assert_eq!(path_fact(&facts, "/a/b", "mode"), "0700");
}

fn mount_points_are_made_in_a_read_only_root(t: &Test) {
    let bundle = looking(t, &["/deep/new/point"]).set("/root/readonly", json!(true));
    let facts = t.podrun().facts(&bundle.mount("tmpfs", "t", "/deep/new/point", &["mode=0711"]));
    assert_eq!(path_fact(&facts, "/deep/new/point", "mode"), "0711");
}

fn cgroup_mount_shows_the_containers_own_group(t: &Test) {
    let podrun = t.podrun();
    // The group holds the container and nothing else, and is read-only as the config says.
    let script = "cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/cgroup.procs 2>/dev/null | sort -u; \
                  mkdir /sys/fs/cgroup/x /sys/fs/cgroup/pids/x 2>&1 | grep -c 'Read-only'";
    let out = podrun.run_bundle(&t.shell(script), "c").ok();
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert!(lines.first() == Some(&"1") && lines.last() != Some(&"0"), "PID 1 is in it: {}", out.stdout);
    let facts = podrun.facts(&t.bundle());
    if cgroups::is_pure_v2() {
        assert_eq!(facts::mount(&facts, "/sys/fs/cgroup")["fstype"], "cgroup2");
    } else {
        for controller in ["memory", "pids", "cpu"] {
            assert_eq!(facts::mount(&facts, &format!("/sys/fs/cgroup/{controller}"))["fstype"], "cgroup");
        }
    }
    facts::assert_options(&facts, "/sys/fs/cgroup", &["nosuid", "noexec", "nodev"]);
}

fn default_devices_and_links_are_there(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    let dev = &facts["dev"];
    for (name, number) in [
        ("null", "1:3"),
        ("zero", "1:5"),
        ("full", "1:7"),
        ("random", "1:8"),
        ("urandom", "1:9"),
        ("tty", "5:0"),
    ] {
        let entry = facts::entry(dev, name);
        assert_eq!((&entry["type"], &entry["rdev"]), (&json!("char"), &json!(number)), "{name}");
        assert_eq!((&entry["mode"], &entry["uid"]), (&json!("0666"), &json!(0)), "{name}");
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        assert_eq!(facts::entry(dev, name)["link"], target, "{name}");
    }
}

fn listed_devices_are_made(t: &Test) {
    let bundle = looking(t, &["/dev/own", "/dev/sub/pipe"]).set(
        "/linux/devices",
        json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8},
               {"path": "/dev/sub/pipe", "type": "p", "fileMode": 0o600}]),
    );
    let facts = t.podrun().facts(&bundle);
    let own = &facts["paths"]["/dev/own"];
    assert_eq!(
        (&own["type"], &own["rdev"], &own["mode"]),
        (&json!("char"), &json!("1:3"), &json!("0640")),
        "{own}"
    );
    assert_eq!((&own["uid"], &own["gid"]), (&json!(7), &json!(8)), "{own}");
    assert_eq!(facts["paths"]["/dev/sub/pipe"]["type"], "fifo");
    let wrong =
        t.bundle().set("/linux/devices", json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]));
    t.podrun().run_bundle(&wrong, "c").refused(&["linux.devices[0].type"]);
}

fn devices_are_denied_unless_allowed(t: &Test) {
    let podrun = t.podrun();
    let deny = json!({"allow": false, "access": "rwm"});
    // A number that no driver serves: what the kernel says after the cgroup has agreed is ENXIO.
    let major = machine::unused_major();
    let opened = |rules: Value| {
        // Not in the image, whose file system may be mounted with nodev.
        let bundle = t.bundle().args(&["/bin/probe", "mknod", "/dev/node", "c", &major.to_string(), "0"]);
        let bundle = bundle.set("/linux/resources/devices", rules);
        podrun.run_bundle(&bundle, "c").json()["open"].clone()
    };
    assert_eq!(opened(json!([deny])), "EPERM");
    let rule =
        |access: &str| json!({"allow": true, "type": "c", "major": major, "minor": 0, "access": access});
    assert_eq!(opened(json!([deny, rule("rwm")])), "ENXIO");
    assert_eq!(opened(json!([deny, rule("rm")])), "EPERM", "the probe opens for writing as well");
    assert_eq!(opened(json!([rule("rwm"), deny])), "EPERM", "the last rule wins");
    let any_minor = json!({"allow": true, "type": "c", "major": major, "access": "rwm"});
    assert_eq!(opened(json!([deny, any_minor])), "ENXIO");
    assert_eq!(opened(json!([{"allow": true, "access": "rwm"}])), "ENXIO");
    let facts = podrun.facts(&looking(t, &["/dev/null", "/dev/urandom"]));
    assert_eq!(path_fact(&facts, "/dev/null", "write"), "ok");
    assert_eq!(path_fact(&facts, "/dev/urandom", "read"), "ok");
}

fn masked_paths_show_nothing(t: &Test) {
    let paths = ["/proc/timer_list", "/proc/keys", "/sys/firmware", "/secret", "/secrets"];
    let bundle =
        looking(t, &paths).with_file("/secret", "word", 0o644).with_file("/secrets/one", "word", 0o644);
    let bundle =
        bundle.push("/linux/maskedPaths", json!("/secret")).push("/linux/maskedPaths", json!("/secrets"));
    let facts = t.podrun().facts(&bundle);
    for path in ["/proc/timer_list", "/proc/keys", "/sys/firmware", "/secret", "/secrets"] {
        let read = path_fact(&facts, path, "read");
        assert!(read == "empty", "{path} can be read: {read}");
    }
    for path in ["/sys/firmware", "/secrets"] {
        assert_eq!(path_fact(&facts, path, "write"), "EROFS");
    }
}

fn read_only_paths_take_no_writes(t: &Test) {
    let paths = ["/proc/sys/kernel/panic", "/proc/irq", "/config", "/config/file"];
    let bundle = looking(t, &paths)
        .with_file("/config/file", "a=b", 0o666)
        .push("/linux/readonlyPaths", json!("/config"));
    let facts = t.podrun().facts(&bundle);
    for path in ["/proc/sys/kernel/panic", "/config", "/config/file"] {
        assert_eq!(path_fact(&facts, path, "write"), "EROFS", "{path}");
    }
    assert_eq!(path_fact(&facts, "/config/file", "read"), "ok");
    facts::assert_options(&facts, "/proc/sys", &["ro"]);
}

fn masked_and_read_only_paths_may_be_missing(t: &Test) {
    let bundle = t
        .bundle()
        .push("/linux/maskedPaths", json!("/no/such"))
        .push("/linux/readonlyPaths", json!("/nor/this"));
    t.podrun().facts(&bundle);
}

fn no_pivot_works(t: &Test) {
    let bundle = looking(t, &["/mark"]).with_file("/mark", "here", 0o644);
    let out = t.podrun().run(&["run", "--no-pivot", "--bundle", bundle.text(), "c"]).ok();
    assert_eq!(path_fact(&out.json(), "/mark", "read"), "ok");
}

fn root_on_a_shared_mount_does_not_leak_mounts(t: &Test) {
    let podrun = t.podrun();
    let shared = t.directory("shared");
    mount(Some("tmpfs"), &shared, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
    mount(None::<&str>, &shared, None::<&str>, MsFlags::MS_SHARED, None::<&str>).expect("to share it");
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    crate::harness::bundle::copy_tree(&bundle.rootfs("/"), &shared.join("rootfs"));
    let bundle = bundle.set("/root/path", json!(shared.join("rootfs")));
    podrun.up(&bundle, "c");
    let below = proc::mounts("self")
        .into_iter()
        .filter(|mount| mount.concerns(&shared) && mount.point != path_text(&shared));
    assert_eq!(below.collect::<Vec<_>>(), [], "the container's mounts are its own");
    podrun.remove("c");
    nix::mount::umount2(&shared, nix::mount::MntFlags::MNT_DETACH).expect("to unmount it");
}

fn unknown_mount_option_is_refused(t: &Test) {
    let bundle = t.bundle().mount("tmpfs", "t", "/scratch", &["colour=blue"]);
    t.podrun().run_bundle(&bundle, "c").refused(&["/scratch", "colour"]);
}
