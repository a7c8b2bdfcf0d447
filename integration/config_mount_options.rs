//! Every mount option: what it makes of new file systems and of bind mounts, and what podrun does besides mounting.

use crate::harness::{Bundle, Case, Test, case, facts, note, proc, runtime::path_text};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub fn cases() -> Vec<Case> {
    vec![
        case!(bind_flags_come_to_what_mount_makes_of_them),
        case!(access_times_of_a_bind_mount_stay_unless_named),
        case!(flags_of_new_file_systems_are_set),
        case!(recursive_options_reach_what_is_mounted_below),
        case!(every_listed_option_is_accepted),
        case!(options_in_one_string_are_split),
        case!(parameters_of_a_bind_mount_are_warned_about),
        case!(read_only_block_device_is_mounted_so),
        case!(tmpfs_keeps_the_mode_of_the_images_directory),
        case!(tmpcopyup_copies_what_the_image_has),
        case!(tmpcopyup_is_bounded_and_stays_in_the_image),
        case!(remount_changes_an_earlier_mount),
        case!(links_are_mounted_or_copied_as_asked),
        case!(option_that_cannot_be_honoured_is_refused),
    ]
}

/// A mount on the host for as long as it lives, whose per-mount options are `options`.
struct HostMount(PathBuf);

impl HostMount {
    #[track_caller]
    fn new(path: PathBuf) -> Self {
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::MS_STRICTATIME, None::<&str>).expect("a tmpfs");
        Self(path)
    }

    #[track_caller]
    fn set(&self, options: &str) {
        // First all off: a remount keeps access times that are not named.
        for options in ["remount,diratime,strictatime", &format!("remount,{options}")] {
            let done =
                std::process::Command::new("mount").args(["--bind", "-o", options]).arg(&self.0).status();
            assert!(done.expect("mount(8)").success(), "cannot set {options}");
        }
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("to unmount it");
    }
}

#[track_caller]
fn options_at(facts: &Value, point: &str) -> Vec<String> {
    facts::strings(&facts::mount(facts, point)["options"])
}

#[track_caller]
fn has(options: &[String], wanted: &[&str], unwanted: &[&str], title: &str) {
    assert!(
        wanted.iter().all(|w| options.iter().any(|o| o == w)),
        "{title}: {options:?} lacks of {wanted:?}"
    );
    assert!(
        !unwanted.iter().any(|u| options.iter().any(|o| o == u)),
        "{title}: {options:?} has of {unwanted:?}"
    );
}

/// Binds `source` at /data with `options`, after giving the host's mount there `flags`.
#[track_caller]
fn bound(t: &Test, host: &HostMount, flags: &str, options: &[&str]) -> Vec<String> {
    host.set(flags);
    let bundle = t.bundle().mount("bind", &path_text(&host.0), "/data", options);
    options_at(&t.podrun().facts(&bundle), "/data")
}

/// What the host's mount has, the options, what the container's mount must have and must not have.
type BindRow<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

fn bind_flags_come_to_what_mount_makes_of_them(t: &Test) {
    let host = HostMount::new(t.directory("source"));
    let table: &[BindRow<'_>] = &[
        (
            "ro,noexec,nosymfollow,nodiratime",
            &["bind"],
            &["ro", "noexec", "nosymfollow", "nodiratime"],
            &["rw"],
        ),
        ("ro,noexec,nodev", &["rbind", "rprivate", "defaults"], &["ro", "noexec", "nodev"], &["rw"]),
        ("ro,noexec,nosymfollow", &["bind", "dev"], &["rw"], &["ro", "noexec", "nosymfollow"]),
        ("ro", &["bind", "nosuid", "nodev"], &["rw", "nosuid", "nodev"], &["ro"]),
        ("ro", &["bind", "rw", "nosuid"], &["rw", "nosuid"], &["ro"]),
        ("nosuid,nodev,noexec", &["bind", "dev", "suid", "exec"], &["rw"], &["nosuid", "nodev", "noexec"]),
        ("nodev,nosuid,noexec", &["bind", "ro"], &["ro"], &["nosuid", "nodev", "noexec"]),
        ("nodev,nosymfollow", &["bind", "ro", "symfollow"], &["ro"], &["nodev", "nosymfollow"]),
        ("nodev", &["bind", "sync"], &["rw"], &["nodev"]),
        ("exec", &["bind", "nosymfollow"], &["nosymfollow"], &[]),
        ("noexec", &["bind", "ro", "rw", "noexec", "exec"], &["rw"], &["ro", "noexec"]),
    ];
    for (flags, options, wanted, unwanted) in table {
        has(&bound(t, &host, flags, options), wanted, unwanted, &format!("{flags} with {options:?}"));
    }
}

fn access_times_of_a_bind_mount_stay_unless_named(t: &Test) {
    let host = HostMount::new(t.directory("source"));
    let table: &[BindRow<'_>] = &[
        ("noatime", &["bind"], &["noatime"], &["relatime"]),
        ("noatime", &["bind", "ro"], &["noatime", "ro"], &["relatime"]),
        ("noatime", &["bind", "norelatime"], &["noatime"], &["relatime"]),
        ("noatime", &["bind", "atime"], &["noatime"], &["relatime"]),
        ("noatime", &["bind", "relatime"], &["relatime"], &["noatime"]),
        ("noatime", &["bind", "nodiratime"], &["nodiratime", "relatime"], &["noatime"]),
        ("nodiratime", &["bind", "strictatime"], &[], &["noatime", "relatime", "nodiratime"]),
        ("noatime", &["bind", "nodiratime", "strictatime"], &["nodiratime"], &["noatime", "relatime"]),
        ("noatime", &["bind", "nodiratime", "norelatime"], &["nodiratime", "relatime"], &["noatime"]),
        ("strictatime", &["bind"], &[], &["noatime", "relatime", "nodiratime"]),
        ("relatime", &["bind", "noatime", "nodiratime"], &["noatime", "nodiratime"], &["relatime"]),
        ("noatime,nodiratime", &["bind", "diratime"], &["noatime", "nodiratime"], &["relatime"]),
    ];
    for (flags, options, wanted, unwanted) in table {
        has(&bound(t, &host, flags, options), wanted, unwanted, &format!("{flags} with {options:?}"));
    }
}

fn flags_of_new_file_systems_are_set(t: &Test) {
    let podrun = t.podrun();
    // The options, what the mount must have and must not have, what the file system must have and must not have.
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        (&[], &["rw", "relatime"], &["nosuid"], &["rw"], &["sync"]),
        (&["ro"], &["ro"], &["rw"], &[], &[]),
        (&["sync", "dirsync", "lazytime"], &["rw"], &[], &["sync", "dirsync", "lazytime"], &[]),
        (&["sync", "async"], &[], &[], &[], &["sync"]),
        (&["lazytime", "nolazytime", "mand", "nomand"], &[], &[], &[], &["lazytime", "mand"]),
        (&["noatime", "nodiratime"], &["noatime", "nodiratime"], &["relatime"], &[], &[]),
        (&["strictatime"], &[], &["noatime", "relatime"], &[], &[]),
        (
            &["nosuid", "noexec", "nodev", "nosymfollow"],
            &["nosuid", "noexec", "nodev", "nosymfollow"],
            &[],
            &[],
            &[],
        ),
        (
            &["nosuid", "suid", "noexec", "exec", "nodev", "dev"],
            &[],
            &["nosuid", "noexec", "nodev"],
            &[],
            &[],
        ),
        (&["silent", "loud", "iversion", "noiversion", "defaults"], &["rw"], &[], &[], &[]),
        (
            &["size=128k", "mode=0700", "uid=7", "gid=8"],
            &[],
            &[],
            &["size=128k", "mode=700", "uid=7", "gid=8"],
            &[],
        ),
        (&["rro"], &["ro"], &[], &[], &[]),
    ];
    for (options, wanted, unwanted, of_fs, not_of_fs) in table {
        let facts = podrun.facts(&t.bundle().mount("tmpfs", "tmpfs", "/data", options));
        has(&options_at(&facts, "/data"), wanted, unwanted, &format!("{options:?}"));
        let fs = facts::strings(&facts::mount(&facts, "/data")["super_options"]);
        has(&fs, of_fs, not_of_fs, &format!("file system of {options:?}"));
    }
}

fn recursive_options_reach_what_is_mounted_below(t: &Test) {
    let top = HostMount::new(t.directory("source"));
    let below = HostMount::new(t.directory("source/below"));
    let table: &[(&str, &str, &[&str], &[&str])] = &[
        ("rw", "rro", &["ro"], &["rw"]),
        ("ro", "rrw", &["rw"], &["ro"]),
        ("suid", "rnosuid", &["nosuid"], &[]),
        ("nosuid", "rsuid", &[], &["nosuid"]),
        ("dev", "rnodev", &["nodev"], &[]),
        ("nodev", "rdev", &[], &["nodev"]),
        ("exec", "rnoexec", &["noexec"], &[]),
        ("noexec", "rexec", &[], &["noexec"]),
        ("diratime", "rnodiratime", &["nodiratime"], &[]),
        ("nodiratime", "rdiratime", &[], &["nodiratime"]),
        ("strictatime", "rrelatime", &["relatime"], &["noatime"]),
        ("strictatime", "rnorelatime", &[], &["relatime", "noatime"]),
        ("relatime", "rnoatime", &["noatime"], &["relatime"]),
        ("noatime", "ratime", &["relatime"], &["noatime"]),
        ("noatime", "rstrictatime", &[], &["noatime", "relatime"]),
        ("strictatime", "rnostrictatime", &["relatime"], &[]),
        ("symfollow", "rnosymfollow", &["nosymfollow"], &[]),
        ("nosymfollow", "rsymfollow", &[], &["nosymfollow"]),
    ];
    let podrun = t.podrun();
    for (flags, option, wanted, unwanted) in table {
        top.set(flags);
        below.set(flags);
        let bundle = t.bundle().mount("bind", &path_text(&top.0), "/data", &["rbind", option]);
        let facts = podrun.facts(&bundle);
        for point in ["/data", "/data/below"] {
            has(&options_at(&facts, point), wanted, unwanted, &format!("{point} {flags} with {option}"));
        }
    }
}

fn every_listed_option_is_accepted(t: &Test) {
    let podrun = t.podrun();
    let features = podrun.run(&["features"]).ok().json();
    let source = path_text(&t.directory("source"));
    let options = facts::strings(&features["mountOptions"]);
    for name in ["acl", "noacl"] {
        assert!(options.iter().any(|option| option == name), "{name} means nothing to a tmpfs");
    }
    for option in options {
        // Each where it means something, in one container.
        let bundle = match option.as_str() {
            "remount" => {
                t.bundle().mount("tmpfs", "t", "/data", &[]).mount("tmpfs", "t", "/data", &["remount"])
            }
            "tmpcopyup" => t.bundle().mount("tmpfs", "t", "/data", &["tmpcopyup"]),
            // They take mappings, and a file system that can be idmapped.
            "idmap" | "ridmap" => continue,
            "bind" | "rbind" | "copy-symlink" | "src-nofollow" | "dest-nofollow" => {
                t.bundle().mount("bind", &source, "/data", &["rbind", &option])
            }
            _ => t.bundle().mount("tmpfs", "t", "/data", &[&option]).mount(
                "bind",
                &source,
                "/b",
                &["bind", &option],
            ),
        };
        podrun.run_bundle(&bundle.args(&["/bin/probe", "exit", "0"]), "c").ok();
    }
}

fn options_in_one_string_are_split(t: &Test) {
    let bundle = t.bundle().mount("tmpfs", "t", "/data", &["size=1m,mode=700", "", "nosuid,noexec"]);
    let facts = t.podrun().facts(&bundle.mount("proc", "proc", "/data/proc", &["acl"]));
    has(&options_at(&facts, "/data"), &["nosuid", "noexec"], &[], "one string");
    let fs = facts::strings(&facts::mount(&facts, "/data")["super_options"]);
    has(&fs, &["size=1024k", "mode=700"], &[], "one string");
}

fn parameters_of_a_bind_mount_are_warned_about(t: &Test) {
    let source = path_text(&t.directory("source"));
    let bundle = t.bundle().mount("bind", &source, "/data", &["bind", "mode=1755", "sync", "size=64k"]);
    let out = t.podrun().run_bundle(&bundle, "c").ok().says(&["/data", "mode=1755", "size=64k", "ignored"]);
    assert!(!out.stderr.contains("sync"), "{}", out.stderr);
    assert!(facts::is_mounted(&out.json(), "/data"));
}

fn read_only_block_device_is_mounted_so(t: &Test) {
    let image = t.file("disk", "");
    let tool = |program: &str, args: &[&str]| {
        let out = std::process::Command::new(program).args(args).output();
        out.ok()
            .filter(|out| out.status.success())
            .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    std::fs::File::options().write(true).open(&image).expect("it").set_len(1 << 20).expect("a size");
    if tool("mkfs.ext4", &["-q", &path_text(&image)]).is_none() {
        crate::harness::skip("there is no mkfs.ext4");
    }
    let Some(device) = tool("losetup", &["--find", "--show", "--read-only", &path_text(&image)]) else {
        crate::harness::skip("there is no loop device");
    };
    let with = |options: &[&str]| {
        // The kernel opens the device for init, in the container's cgroup.
        let any = json!([{"allow": true, "access": "rwm"}]);
        let bundle = t.bundle().mount("ext4", &device, "/disk", options);
        t.podrun().run_bundle(&bundle.set("/linux/resources/devices", any), "c")
    };
    let (read_only, writable) = (with(&["ro", "noexec"]), with(&[]));
    tool("losetup", &["--detach", &device]).expect("to detach it");
    let facts = read_only.ok().json();
    has(&options_at(&facts, "/disk"), &["ro", "noexec"], &[], "ext4");
    assert!(facts::strings(&facts::mount(&facts, "/disk")["super_options"]).iter().any(|o| o == "ro"));
    writable.refused(&["/disk", "ext4"]);
}

#[track_caller]
fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

#[track_caller]
fn directory(bundle: &Bundle, path: &str, mode: u32) {
    std::fs::create_dir_all(bundle.rootfs(path)).expect("a directory");
    std::fs::set_permissions(bundle.rootfs(path), PermissionsExt::from_mode(mode)).expect("its mode");
}

fn tmpfs_keeps_the_mode_of_the_images_directory(t: &Test) {
    let podrun = t.podrun();
    let seen = |options: &[&str], path: &str, bundle: Bundle| {
        let bundle = bundle.args(&["/bin/probe", "facts", "--path", path]).mount("tmpfs", "t", path, options);
        let facts = podrun.facts(&bundle);
        (facts["paths"][path]["mode"].as_str().unwrap_or_default().to_owned(), bundle)
    };
    let image = || {
        let bundle = t.bundle();
        directory(&bundle, "/kept", 0o2710);
        bundle
    };
    assert_eq!(seen(&["nosuid"], "/kept", image()).0, "2710");
    assert_eq!(seen(&["ro"], "/kept", image()).0, "2710");
    let (found, bundle) = seen(&["mode=1500"], "/kept", image());
    assert_eq!((found.as_str(), mode(&bundle.rootfs("/kept"))), ("1500", 0o2710), "the image's own stays");
    let (found, bundle) = seen(&[], "/new/deep/one", image());
    assert_eq!(found, "1777", "the default of a tmpfs");
    for path in ["/new", "/new/deep", "/new/deep/one"] {
        assert_eq!(mode(&bundle.rootfs(path)), 0o755, "{path}");
    }
}

fn tmpcopyup_copies_what_the_image_has(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("echo changed > /run/app/file; echo new > /run/new; echo ready; sleep 300");
    let bundle = bundle.with_file("/run/app/file", "text", 0o640).with_file("/run/tool", "#!", 0o4755);
    directory(&bundle, "/run", 0o751);
    directory(&bundle, "/run/app", 0o2775);
    let (run, own) = (bundle.rootfs("/run"), |path: &str, uid| {
        std::os::unix::fs::lchown(bundle.rootfs(path), Some(uid), Some(uid + 1)).expect("an owner");
    });
    own("/run", 3);
    own("/run/app", 5);
    own("/run/app/file", 7);
    symlink("/etc/shadow", run.join("link")).expect("a link");
    own("/run/link", 9);
    nix::unistd::mkfifo(&run.join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
    let sparse = std::fs::File::create(run.join("sparse")).expect("a file");
    sparse.set_len(1 << 40).expect("a hole of a terabyte");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (1 << 40) - 3).expect("its end");
    let tool = std::fs::File::open(run.join("tool")).expect("it");
    std::os::unix::fs::fchown(&tool, Some(0), Some(0)).expect("an owner");
    // A tmpfs takes user attributes since Linux 6.6: the container's, and that of the test, where it is one.
    let set = podrun::sys::xattr::set(std::os::fd::AsFd::as_fd(&tool), c"user.note", b"kept");
    assert!(set.is_ok() || set.is_err_and(|error| error.raw_os_error() == Some(libc::EOPNOTSUPP)));
    let bundle = bundle.mount("tmpfs", "tmpfs", "/run", &["rw", "nosuid", "tmpcopyup", "size=1m"]);
    let out = podrun.up(&bundle, "c");
    podrun.wait_output(&out, "ready");
    let inside = |path: &str| PathBuf::from(format!("/proc/{}/root/run/{path}", podrun.pid("c")));
    let stat = |path: &str| {
        let found = std::fs::symlink_metadata(inside(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!(stat(""), (0o751, 3, 4));
    assert_eq!(stat("app"), (0o2775, 5, 6));
    assert_eq!(stat("app/file"), (0o640, 7, 8));
    assert_eq!(stat("tool").0, 0o755, "set-user-ID was not there: the file was chowned after");
    assert_eq!(std::fs::read_link(inside("link")).expect("a link"), Path::new("/etc/shadow"));
    assert_eq!((stat("link").1, stat("fifo").0), (9, 0o600));
    let copy = std::fs::metadata(inside("sparse")).expect("it");
    assert!(copy.len() == 1 << 40 && copy.blocks() < 64, "{} blocks", copy.blocks());
    let tool = std::fs::File::open(inside("tool")).expect("it");
    let note = podrun::sys::xattr::get(std::os::fd::AsFd::as_fd(&tool), c"user.note");
    assert!(note.as_deref().is_ok_and(|n| n == b"kept") || note.is_err(), "{note:?}");
    assert_eq!(std::fs::read_to_string(inside("app/file")).expect("it"), "changed\n");
    assert_eq!(std::fs::read_to_string(run.join("app/file")).expect("it"), "text", "the image's stays");
    assert!(!run.join("new").exists());
    drop(tool);
    podrun.remove("c");
}

fn tmpcopyup_is_bounded_and_stays_in_the_image(t: &Test) {
    let podrun = t.podrun();
    let outside = t.directory("outside");
    t.file("outside/secret", "of the host");
    // Too small a tmpfs, and too deep a tree.
    let large = t.bundle().with_file("/data/file", vec![7; 1 << 20], 0o644);
    let large = large.mount("tmpfs", "t", "/data", &["tmpcopyup", "size=64k"]);
    podrun.run_bundle(&large, "c").refused(&["/data", "tmpcopyup", "size="]);
    let deep = t.bundle();
    directory(&deep, &format!("/data/{}", "d/".repeat(200)), 0o755);
    let deep = deep.mount("tmpfs", "t", "/data", &["tmpcopyup"]);
    podrun.run_bundle(&deep, "c").refused(&["/data", "directories deep"]);
    // A link at the destination leads nowhere but into the root file system.
    let link = t.bundle().args(&["/bin/probe", "facts", "--path", "/real/file", "--path", "/data/secret"]);
    let link = link.with_file("/real/file", "x", 0o600);
    symlink("/real", link.rootfs("/data")).expect("a link");
    let facts = podrun.facts(&link.mount("tmpfs", "t", "/data", &["tmpcopyup"]));
    assert!(facts["paths"]["/real/file"]["mode"] == "0600" && facts::is_mounted(&facts, "/real"), "{facts}");
    let away = t.bundle().args(&["/bin/probe", "facts", "--path", "/data/secret"]);
    symlink(&outside, away.rootfs("/data")).expect("a link");
    let facts = podrun.facts(&away.mount("tmpfs", "t", "/data", &["tmpcopyup"]));
    assert_eq!(facts["paths"]["/data/secret"]["error"], "ENOENT", "{facts}");
    // What an earlier entry has mounted there is not the image's.
    let covered =
        t.bundle().args(&["/bin/probe", "facts", "--path", "/data/host/secret", "--path", "/data/own"]);
    let covered = covered.with_file("/data/own", "x", 0o644);
    let covered = covered.mount("bind", &path_text(&outside), "/data/host", &["bind"]);
    let facts = podrun.facts(&covered.mount("tmpfs", "t", "/data", &["tmpcopyup"]));
    assert_eq!(facts["paths"]["/data/host/secret"]["error"], "ENOENT", "{facts}");
    assert_eq!(facts["paths"]["/data/own"]["read"], "ok", "{facts}");
}

fn remount_changes_an_earlier_mount(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.directory("source"));
    let bundle = t
        .bundle()
        .mount("bind", &source, "/data", &["bind", "nosuid"])
        .mount("bind", &source, "/data", &["bind", "remount", "ro", "nodev"])
        .mount("tmpfs", "t", "/t", &["size=64k", "noexec"])
        .mount("tmpfs", "t", "/t", &["remount", "size=128k", "nosuid"]);
    let facts = podrun.facts(&bundle);
    has(&options_at(&facts, "/data"), &["ro", "nodev"], &["nosuid"], "/data");
    has(&options_at(&facts, "/t"), &["nosuid"], &["noexec"], "/t");
    assert!(facts::strings(&facts::mount(&facts, "/t")["super_options"]).iter().any(|o| o == "size=128k"));
    let once =
        facts["mounts"].as_array().expect("mounts").iter().filter(|mount| mount["target"] == "/t").count();
    assert_eq!(once, 1, "a remount mounts nothing");
    let nothing = t.bundle().mount("tmpfs", "t", "/etc", &["remount", "nosuid"]);
    directory(&nothing, "/etc", 0o755);
    podrun.run_bundle(&nothing, "c").refused(&["/etc", "hint: an earlier entry"]);
}

fn links_are_mounted_or_copied_as_asked(t: &Test) {
    let podrun = t.podrun();
    let link = t.path("link");
    let target = t.file("target", "text");
    symlink(&target, &link).expect("a link");
    let dangling = t.path("dangling");
    symlink("to-nowhere", &dangling).expect("a link");
    let look = |paths: &[&str]| {
        let mut args = vec!["/bin/probe", "facts"];
        args.extend(paths.iter().flat_map(|path| ["--path", *path]));
        t.bundle().args(&args)
    };
    // The link itself over a link itself; what it leads to over a link itself; neither.
    let over = |options: &[&str]| {
        let bundle = look(&["/over", "/real"]).with_file("/real", "", 0o644);
        symlink("/real", bundle.rootfs("/over")).expect("a link");
        podrun.facts(&bundle.mount("bind", &path_text(&link), "/over", options))["paths"].clone()
    };
    let both = over(&["bind", "src-nofollow", "dest-nofollow"]);
    assert_eq!(
        (&both["/over"]["link"], &both["/real"]["read"]),
        (&json!(path_text(&target)), &json!("empty"))
    );
    let destination = over(&["bind", "dest-nofollow"]);
    assert_eq!(
        (&destination["/over"]["type"], &destination["/real"]["read"]),
        (&json!("file"), &json!("empty"))
    );
    let neither = over(&["bind"]);
    assert_eq!((&neither["/over"]["type"], &neither["/real"]["read"]), (&json!("symlink"), &json!("ok")));
    // A copy of a link, whose directory is made; it must not be mistaken for what the image has there.
    let copied = |bundle: Bundle| {
        podrun.run_bundle(
            &bundle.mount("bind", &path_text(&dangling), "/a/sym/link", &["rbind", "copy-symlink"]),
            "c",
        )
    };
    let facts = copied(look(&["/a/sym/link"])).ok().json();
    assert_eq!(facts["paths"]["/a/sym/link"]["link"], "to-nowhere");
    assert!(!facts::is_mounted(&facts, "/a/sym/link"));
    let same = look(&[]);
    directory(&same, "/a/sym", 0o755);
    symlink("to-nowhere", same.rootfs("/a/sym/link")).expect("a link");
    copied(same).ok();
    let taken = t.bundle().with_file("/a/sym/link", "x", 0o644);
    copied(taken).refused(&["/a/sym/link", "to-nowhere"]);
    // What is no link is mounted.
    let plain = look(&["/a"]).mount("bind", &path_text(&target), "/a", &["bind", "copy-symlink"]);
    assert_eq!(podrun.facts(&plain)["paths"]["/a"]["read"], "ok");
}

fn option_that_cannot_be_honoured_is_refused(t: &Test) {
    let podrun = t.podrun();
    let source = path_text(&t.directory("source"));
    for (kind, options, texts) in [
        ("tmpfs", &["colour=blue"][..], &["/data", "colour"][..]),
        ("tmpfs", &["src-nofollow"], &["mounts[7]", "src-nofollow", "bind mount"]),
        ("bind", &["bind", "tmpcopyup"], &["mounts[7]", "tmpcopyup", "tmpfs"]),
        ("proc", &["tmpcopyup"], &["mounts[7]", "tmpcopyup", "tmpfs"]),
        ("bind", &["bind", "copy-symlink", "src-nofollow"], &["mounts[7]", "copy-symlink", "src-nofollow"]),
        ("nosuchfs", &[], &["/data", "nosuchfs", "/proc/filesystems"]),
        ("", &["ro"], &["mounts[7]", "without a type"]),
    ] {
        let out = podrun.run_bundle(&t.bundle().mount(kind, &source, "/data", options), "c").refused(texts);
        note(out.stderr.lines().next().unwrap_or_default());
    }
    assert_eq!(proc::mounts("self").iter().filter(|mount| mount.point.contains("/data")).count(), 0);
}
