//! linux.devices, and what every container finds in /dev, whatever its image has there.

use crate::config_mounts::looking;
use crate::harness::{Bundle, Case, Test, case, console, disk, facts, runtime::path_text};
use crate::mount_attacks::without_dev;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(devices_of_every_type_are_made),
        case!(device_numbers_are_checked),
        case!(devices_listed_twice),
        case!(default_devices_may_be_listed),
        case!(matching_node_of_the_image_is_used),
        case!(other_node_of_the_image_is_refused),
        case!(devices_are_made_in_an_image_without_a_mount_at_dev),
        case!(hosts_dev_is_left_as_it_is),
        case!(console_is_made_for_a_terminal_alone),
        case!(console_is_made_in_a_read_only_dev),
    ]
}

#[track_caller]
fn node(path: &Path, kind: SFlag, major: u64, minor: u64) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    mknod(path, kind, Mode::from_bits_truncate(0o600), makedev(major, minor)).expect("a device file");
}

fn devices_of_every_type_are_made(t: &Test) {
    let bundle = looking(t, &["/dev/c", "/dev/u", "/dev/deep/er/b", "/srv/p"]).set(
        "/linux/devices",
        json!([{"path": "/dev/c", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8},
               {"path": "/dev/u", "type": "u", "major": 1, "minor": 1048575},
               {"path": "/dev/deep/er/b", "type": "b", "major": 4095, "minor": 0, "fileMode": 0o60777},
               {"path": "/srv/p", "type": "p", "fileMode": 0o602, "gid": 9}]),
    );
    let facts = t.podrun().facts(&bundle);
    let of = |path: &str| {
        let seen = &facts["paths"][path];
        let text = |key: &str| seen[key].as_str().unwrap_or("-").to_owned();
        (text("type"), text("rdev"), text("mode"), seen["uid"].as_u64(), seen["gid"].as_u64())
    };
    let want = |kind: &str, rdev: &str, mode: &str, uid, gid| {
        (kind.to_owned(), rdev.to_owned(), mode.to_owned(), Some(uid), Some(gid))
    };
    assert_eq!(of("/dev/c"), want("char", "10:229", "0640", 7, 8));
    assert_eq!(of("/dev/u"), want("char", "1:1048575", "0666", 0, 0));
    assert_eq!(of("/dev/deep/er/b"), want("block", "4095:0", "0777", 0, 0));
    assert_eq!(of("/srv/p"), want("fifo", "-", "0602", 0, 9));
}

fn device_numbers_are_checked(t: &Test) {
    for (major, minor, name) in
        [(-1, 0, "major"), (4096, 0, "major"), (1, -1, "minor"), (1, 1 << 20, "minor")]
    {
        let device = json!({"path": "/dev/x", "type": "c", "major": major, "minor": minor});
        let bundle = t.bundle().set("/linux/devices", json!([device]));
        t.podrun().run_bundle(&bundle, "c").refused(&["linux.devices[0]", name]);
    }
    for (device, name) in [
        (json!({"path": "/dev/x", "type": "c", "minor": 3}), "major"),
        (json!({"path": "/dev/x", "type": "b", "major": 7}), "minor"),
    ] {
        let bundle = t.bundle().set("/linux/devices", json!([device]));
        t.podrun()
            .run_bundle(&bundle, "c")
            .refused(&[&format!("linux.devices[0].{name}: is missing"), "hint:"]);
    }
    let bundle = t.bundle().set("/linux/devices", json!([{"path": "/dev/x", "type": "a"}]));
    t.podrun().run_bundle(&bundle, "c").refused(&["linux.devices[0]"]);
}

fn devices_listed_twice(t: &Test) {
    let podrun = t.podrun();
    let listed = |second: Value| {
        let first = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640});
        looking(t, &["/dev/x"]).set("/linux/devices", json!([first, second]))
    };
    let facts = podrun.facts(&listed(json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3})));
    assert_eq!(facts["paths"]["/dev/x"]["mode"], "0640", "the first one");
    let other = listed(json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 5}));
    podrun.run_bundle(&other, "c").refused(&["linux.devices[1]", "/dev/x", "linux.devices[0]", "hint:"]);
}

fn default_devices_may_be_listed(t: &Test) {
    let devices = json!([{"path": "/dev/tty", "type": "c", "major": 5, "minor": 0},
                         {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]);
    let facts = t.podrun().facts(&looking(t, &["/dev/tty", "/dev/ptmx"]).set("/linux/devices", devices));
    assert_eq!(
        (&facts["paths"]["/dev/tty"]["rdev"], &facts["paths"]["/dev/tty"]["mode"]),
        (&json!("5:0"), &json!("0666"))
    );
    assert_eq!(facts["paths"]["/dev/ptmx"]["link"], "pts/ptmx", "always the container's own");
}

fn matching_node_of_the_image_is_used(t: &Test) {
    let bundle = looking(t, &["/data/null"])
        .set("/linux/devices", json!([{"path": "/data/null", "type": "c", "major": 1, "minor": 3}]));
    node(&bundle.rootfs("/data/null"), SFlag::S_IFCHR, 1, 3);
    let facts = t.podrun().facts(&bundle);
    assert_eq!(facts["paths"]["/data/null"]["rdev"], "1:3");
}

fn other_node_of_the_image_is_refused(t: &Test) {
    let podrun = t.podrun();
    let outside = t.file("outside", "untouched");
    let listed = || {
        t.bundle().set("/linux/devices", json!([{"path": "/data/x", "type": "c", "major": 1, "minor": 3}]))
    };
    let refused = |bundle: &Bundle, text: &str| {
        podrun.run_bundle(bundle, "c").refused(&["/data/x", text, "hint:"]);
    };
    refused(&listed().with_file("/data/x", "", 0o600), "/data/x has incorrect ftype");
    let bundle = listed();
    node(&bundle.rootfs("/data/x"), SFlag::S_IFCHR, 1, 5);
    refused(&bundle, "/data/x has incorrect major:minor: 1:5 doesn't match expected 1:3");
    let bundle = listed();
    node(&bundle.rootfs("/data/x"), SFlag::S_IFBLK, 1, 3);
    refused(&bundle, "incorrect ftype");
    for target in [outside.as_path(), Path::new("/dev/null")] {
        let bundle = listed();
        std::fs::create_dir(bundle.rootfs("/data")).expect("a directory");
        symlink(target, bundle.rootfs("/data/x")).expect("a link");
        refused(&bundle, "incorrect ftype");
    }
    let outside = std::fs::symlink_metadata(outside).expect("it is there");
    assert!(outside.is_file() && outside.len() == 9);
}

fn devices_are_made_in_an_image_without_a_mount_at_dev(t: &Test) {
    // The image's own file system counts here, and many machines mount /tmp with nodev.
    disk::small_disk(&t.path("b0"), "mode=0755");
    let bundle =
        without_dev(looking(t, &["/dev/null", "/dev/ptmx"])).with_file("/dev/ptmx", "the image's", 0o644);
    let facts = t.podrun().facts(&bundle);
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert_eq!(facts::entry(&facts["dev"], name)["type"], "char", "{name}");
    }
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("ptmx", "pts/ptmx")] {
        assert_eq!(facts::entry(&facts["dev"], name)["link"], target);
    }
    assert_eq!(facts["paths"]["/dev/null"]["write"], "ok");
}

fn hosts_dev_is_left_as_it_is(t: &Test) {
    let list = || {
        let mut names: Vec<_> =
            std::fs::read_dir("/dev").expect("/dev").flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    };
    let before = (list(), std::fs::symlink_metadata("/dev/ptmx").expect("it").mode());
    for kind in ["bind", "none"] {
        let bundle =
            without_dev(looking(t, &["/dev/null", "/dev/own"])).mount(kind, "/dev", "/dev", &["rbind", "ro"]);
        let bundle =
            bundle.set("/linux/devices", json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 3}]));
        let facts = t.podrun().facts(&bundle);
        assert_eq!(facts["paths"]["/dev/null"]["rdev"], "1:3");
        assert_eq!(facts["paths"]["/dev/own"]["error"], "ENOENT", "nothing is made in the host's /dev");
        assert_eq!((list(), std::fs::symlink_metadata("/dev/ptmx").expect("it").mode()), before);
    }
}

fn console_is_made_for_a_terminal_alone(t: &Test) {
    let podrun = t.podrun();
    let names = |facts: &Value| {
        facts["dev"].as_array().expect("a list").iter().any(|entry| entry["name"] == "console")
    };
    assert!(!names(&podrun.facts(&t.bundle())));
    let outside = path_text(&t.file("outside", "untouched"));
    // What the image has in its place is never written to, nor mounted over through a link.
    for (number, target) in [outside.as_str(), "/dev/null", "/etc/passwd"].into_iter().enumerate() {
        let bundle = without_dev(t.bundle()).set("/process/terminal", json!(true));
        let bundle =
            bundle.mount("devpts", "devpts", "/dev/pts", &["newinstance", "ptmxmode=0666", "mode=0620"]);
        std::fs::create_dir_all(bundle.rootfs("/dev")).expect("a directory");
        symlink(target, bundle.rootfs("/dev/console")).expect("a link");
        let listener = console::Listener::at(&t.path(&format!("console-{number}")));
        let words = ["create", "--bundle", bundle.text(), "--console-socket", listener.path(), "c"];
        podrun.run(&words).refused(&["/dev/console"]);
        assert_eq!(std::fs::read_to_string(&outside).expect("it"), "untouched");
    }
}

fn console_is_made_in_a_read_only_dev(t: &Test) {
    let script = "tty >/dev/console; touch /dev/new 2>&1; exit 4";
    let bundle = t.shell(script).set("/process/terminal", json!(true)).edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        let dev = mounts.iter_mut().find(|mount| mount["destination"] == "/dev").expect("/dev");
        dev["options"] = json!(["nosuid", "ro", "mode=755"]);
    });
    let mut master = console::Terminal::new(40, 100);
    let out = master.run_inside(t.podrun().cmd(&["run", "--bundle", bundle.text(), "c"]));
    let seen = master.read_until("Read-only file system");
    assert!(seen.contains("/dev/"), "{seen}");
    out.exits(4);
}
