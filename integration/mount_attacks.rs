//! An image that changes while podrun sets a container up: another container has the same root file system and exchanges
//! names in it for links, as fast as it can. Whatever podrun makes of it, the host's files stay as they are, and the
//! container sees nothing of them.

use crate::harness::{Bundle, Case, Outcome, Test, case, console, facts, note, proc, runtime::path_text};
use serde_json::{Value, json};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(null_device_that_is_exchanged_masks_nothing_of_the_host),
        case!(null_device_of_the_image_masks_nothing),
        case!(directory_that_is_exchanged_leads_nowhere),
        case!(tmpcopyup_of_what_is_exchanged_copies_nothing_of_the_host),
        case!(console_that_is_exchanged_is_no_way_out),
        case!(sysctls_do_not_land_in_the_image),
    ]
}

/// A directory of the host with a file that a container must neither see nor change.
struct Outside(PathBuf);

impl Outside {
    #[track_caller]
    fn new(t: &Test) -> Self {
        let path = t.directory("outside");
        std::fs::write(path.join("secret"), "of the host").expect("a file");
        Self(path)
    }

    #[track_caller]
    fn is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(&self.0)
            .expect("it is there")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(std::fs::read_to_string(self.0.join("secret")).expect("the file"), "of the host");
        assert!(!proc::mounts("self").iter().any(|mount| mount.concerns(&self.0)), "mounted on the host's");
    }
}

/// A bundle with the root file system of another.
#[track_caller]
fn sharing(t: &Test, other: &Bundle) -> Bundle {
    t.bundle().set("/root/path", json!(other.rootfs("/")))
}

/// Takes away what config.json mounts at /dev and below, so that devices are the image's.
#[track_caller]
pub fn without_dev(bundle: Bundle) -> Bundle {
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|at| at.starts_with("/dev")));
    })
}

/// Runs `attempt` with the runtime again and again, while a container exchanges `a` and `b` in `directory` of the victim's
/// root file system; tells how often it came to a container, and how often podrun refused to make one.
#[track_caller]
fn under_exchange(
    t: &Test,
    victim: &Bundle,
    [directory, a, b]: [&str; 3],
    mut attempt: impl FnMut() -> Outcome,
) -> (usize, usize) {
    let podrun = t.podrun();
    let racer = t.bundle().args(&["/bin/probe", "symlink-race", &format!("/v{directory}"), a, b, "600"]);
    let racer = racer.mount("bind", &path_text(&victim.rootfs("/")), "/v", &["bind"]);
    drop(podrun.up(&racer, "racer"));
    let racing = podrun.pid("racer");
    let begun = Instant::now();
    let (mut made, mut refused) = (0, 0);
    while begun.elapsed() < Duration::from_secs(4) || made + refused < 12 {
        let attempt = attempt();
        match attempt.code() {
            0 => made += 1,
            1 => refused += 1,
            _ => attempt.fail("neither success nor refusal"),
        }
        podrun.run(&["delete", "--force", "target"]).ok();
    }
    assert!(proc::lives(racing), "the attack ended early");
    podrun.remove("racer");
    note(&format!("{made} containers were made, {refused} refused"));
    (made, refused)
}

fn null_device_that_is_exchanged_masks_nothing_of_the_host(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // CVE-2025-31133: a /dev/null that is a link has its target bound over the masked file, writable.
    let victim =
        without_dev(t.bundle().args(&["/bin/probe", "facts", "--path", "/masked", "--path", "/dev/null"]));
    let victim = victim.with_file("/masked", "secret of the image", 0o666);
    let victim = victim.set("/linux/maskedPaths", json!(["/masked"]));
    std::fs::create_dir_all(victim.rootfs("/dev")).expect("a directory");
    let null = |name: &str| {
        use nix::sys::stat::{Mode, SFlag, makedev, mknod};
        mknod(&victim.rootfs(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3))
            .expect("a device");
    };
    null("/dev/null");
    symlink(outside.0.join("secret"), victim.rootfs("/dev/link")).expect("a link");
    let mut masked = 0;
    let (made, _) = under_exchange(t, &victim, ["/dev", "null", "link"], || {
        let out = podrun.run_bundle(&victim, "target");
        if out.code() == 0 {
            let seen = out.json()["paths"]["/masked"].clone();
            assert_eq!((&seen["type"], &seen["rdev"]), (&json!("char"), &json!("1:3")), "{seen}");
            masked += 1;
        }
        outside.is_untouched();
        out
    });
    assert_eq!(made, masked);
    assert!(made > 0, "no container was made");
}

fn null_device_of_the_image_masks_nothing(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // What a bind mount puts at /dev/null, where nobody makes devices: a file, a link, another device.
    for (name, source) in [("file", path_text(&outside.0.join("secret"))), ("device", "/dev/zero".to_owned())]
    {
        let bundle = t.bundle().args(&["/bin/probe", "facts", "--path", "/masked", "--path", "/dev/null"]);
        let bundle =
            bundle.with_file("/masked", "secret of the image", 0o666).with_file("/empty/null", "", 0o644);
        let dev = path_text(&bundle.rootfs("/empty"));
        let bundle = without_dev(bundle)
            .mount("bind", &dev, "/dev", &["bind"])
            .mount("bind", &source, "/dev/null", &["bind"])
            .set("/linux/maskedPaths", json!(["/masked"]));
        let out = podrun.run_bundle(&bundle, "c").ok().json();
        let seen = &out["paths"]["/masked"];
        assert_eq!((&seen["type"], &seen["rdev"]), (&json!("char"), &json!("1:3")), "{name}: {seen}");
        assert_eq!(
            facts::mount(&out, "/masked")["options"][0],
            "ro",
            "the host's null device, its mode out of reach"
        );
        let null = std::fs::symlink_metadata("/dev/null").expect("it is there");
        assert!(null.file_type().is_char_device());
    }
    outside.is_untouched();
}

fn directory_that_is_exchanged_leads_nowhere(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // CVE-2021-30465, CVE-2024-45310, CVE-2026-41579: everything that podrun makes or covers below a directory that is a
    // link every other moment.
    let paths = ["/data/a/secret", "/data/a/masked", "/data/a/quiet"];
    let mut args = vec!["/bin/probe", "facts"];
    args.extend(paths.iter().flat_map(|path| ["--path", *path]));
    let victim =
        t.bundle().args(&args).with_file("/data/a/masked", "x", 0o644).with_file("/data/a/quiet", "x", 0o644);
    symlink(&outside.0, victim.rootfs("/data/b")).expect("a link");
    let victim = victim
        .mount("bind", &path_text(&t.file("one", "file")), "/data/a/file", &["bind"])
        .mount("tmpfs", "t", "/data/a/deep/tmp", &["size=64k"])
        .set("/linux/devices", json!([{"path": "/data/a/node", "type": "c", "major": 1, "minor": 3}]))
        .push("/linux/maskedPaths", json!("/data/a/masked"))
        .push("/linux/readonlyPaths", json!("/data/a/quiet"))
        .set("/process/cwd", json!("/data/a/cwd"));
    let (made, refused) = under_exchange(t, &victim, ["/data", "a", "b"], || {
        let out = podrun.run_bundle(&victim, "target");
        if out.code() == 0 {
            assert_ne!(out.json()["paths"]["/data/a/secret"]["read"], "ok", "{}", out.stdout);
        }
        outside.is_untouched();
        out
    });
    assert!(made > 0, "no container was made, {refused} were refused");
}

fn tmpcopyup_of_what_is_exchanged_copies_nothing_of_the_host(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // The directory that is copied, and a file and a directory in it.
    for (names, link) in [
        (["/data", "dir", "link"], outside.0.clone()),
        (["/data/dir", "file", "link"], outside.0.join("secret")),
        (["/data/dir", "below", "link"], outside.0.clone()),
    ] {
        let script = "grep -r 'of the host' /data /mnt/up && echo leaked; echo ended";
        let victim = t.shell(script).with_file("/data/dir/file", "x", 0o644).with_file(
            "/data/dir/below/y",
            "y",
            0o644,
        );
        symlink(&link, victim.rootfs(names[0]).join("link")).expect("a link");
        let victim = victim.mount("tmpfs", "t", "/data/dir", &["tmpcopyup", "size=1m"]);
        under_exchange(t, &victim, names, || {
            let out = podrun.run_bundle(&victim, "target");
            assert!(!out.stdout.contains("leaked"), "{}", out.stdout);
            outside.is_untouched();
            out
        });
    }
}

fn console_that_is_exchanged_is_no_way_out(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // CVE-2025-52565, CVE-2026-88264: the terminal is bound to /dev/console of the image.
    let victim = without_dev(t.bundle().set("/process/terminal", json!(true)));
    let victim = victim.mount("devpts", "devpts", "/dev/pts", &["newinstance", "ptmxmode=0666", "mode=0620"]);
    let victim = victim.with_file("/dev/console", "", 0o600);
    symlink(outside.0.join("secret"), victim.rootfs("/dev/link")).expect("a link");
    let mut number = 0;
    let (made, refused) = under_exchange(t, &victim, ["/dev", "console", "link"], || {
        number += 1;
        let listener = console::Listener::at(&t.path(&format!("console-{number}")));
        let words = ["create", "--bundle", victim.text(), "--console-socket", listener.path(), "target"];
        let out = podrun.run(&words);
        if out.code() == 0 {
            let mounts = proc::mounts(podrun.pid("target"));
            assert!(
                mounts.iter().any(|mount| mount.point == "/dev/console" || mount.point == "/dev/link"),
                "{mounts:?}"
            );
        }
        outside.is_untouched();
        out
    });
    assert!(made > 0, "no container was made, {refused} were refused");
}

fn sysctls_do_not_land_in_the_image(t: &Test) {
    let podrun = t.podrun();
    // CVE-2019-16884, CVE-2025-52881: what looks like procfs to a runtime that goes by path.
    let name = "net.ipv4.ip_unprivileged_port_start";
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let bundle =
        t.bundle().args(&["/bin/probe", "facts", "--sysctl", name]).with_file(file, "untouched", 0o666);
    let bundle = bundle.set(&format!("/linux/sysctl/{name}"), json!("77"));
    let seen = |facts: &Value| facts["sysctls"][name].as_str().map(|text| text.trim().to_owned());
    assert_eq!(seen(&podrun.facts(&bundle)).as_deref(), Some("77"));
    let image = sharing(t, &bundle).edit(|config| {
        config["mounts"].as_array_mut().expect("an array").retain(|mount| mount["destination"] != "/proc");
    });
    let image = image.args(&["/bin/probe", "exit", "0"]).set(&format!("/linux/sysctl/{name}"), json!("78"));
    podrun.run_bundle(&image.set("/linux/maskedPaths", json!([])), "c").ok();
    assert_eq!(std::fs::read_to_string(bundle.rootfs(file)).expect("it is there"), "untouched");
}
