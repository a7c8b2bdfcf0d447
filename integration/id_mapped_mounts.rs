//! Idmapped mounts: mappings of their own and the container's, with and without a user namespace.

use crate::harness::{Bundle, Case, Test, case, disk, facts, machine, proc, runtime::path_text};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

pub fn cases() -> Vec<Case> {
    vec![
        case!(owners_are_shown_as_mapped),
        case!(what_is_written_belongs_to_whom_it_should),
        case!(the_containers_own_ids_are_used_without_mappings),
        case!(one_source_has_several_mappings),
        case!(recursive_maps_reach_mounts_below),
        case!(propagation_and_flags_go_with_it),
        case!(maps_that_cannot_be_are_refused),
    ]
}

/// A directory with files of these owners, each named after its owner.
fn source(t: &Test, owners: &[(u32, u32)]) -> PathBuf {
    disk::mappable(&t.path("disk"));
    let directory = t.directory("disk/source");
    for (uid, gid) in owners {
        let file = directory.join(format!("{uid}:{gid}"));
        std::fs::write(&file, "").expect("a file");
        chown(&file, Some(*uid), Some(*gid)).expect("an owner");
    }
    directory
}

fn map(ranges: &[(u32, u32, u32)]) -> Value {
    ranges
        .iter()
        .map(|(inside, outside, size)| json!({"containerID": inside, "hostID": outside, "size": size}))
        .collect()
}

/// Adds a bind mount with mappings.
fn mapped(
    bundle: Bundle,
    source: &std::path::Path,
    to: &str,
    options: &[&str],
    uids: Value,
    gids: Value,
) -> Bundle {
    let mut mount =
        json!({"type": "bind", "source": path_text(source), "destination": to, "options": options});
    mount["uidMappings"] = uids;
    mount["gidMappings"] = gids;
    bundle.push("/mounts", mount)
}

const LIST: &str = "cd /data && stat -c '%n=%u:%g' *";

fn owners_are_shown_as_mapped(t: &Test) {
    let source = source(t, &[(0, 0), (100, 211), (102, 233), (5000, 5000)]);
    // The option is implied, as it was before there was one; and with it.
    for options in [&["bind"][..], &["bind", "idmap"], &["rbind", "ridmap", "ro"]] {
        let uids = map(&[(0, 100_000, 1), (100, 101_000, 3)]);
        let gids = map(&[(0, 200_000, 1), (210, 101_100, 10), (233, 7, 1)]);
        let bundle = mapped(t.shell(LIST), &source, "/data", options, uids, gids);
        let out = t.podrun().run_bundle(&bundle, "c").ok();
        let want = "0:0=100000:200000\n100:211=101000:101101\n102:233=101002:7\n5000:5000=65534:65534\n";
        assert_eq!(out.stdout, want, "{options:?}");
    }
    // In a user namespace that maps them back.
    let both = map(&[(0, 100_000, 65536)]);
    let bundle = t.shell(LIST).in_user_namespace(100_000, 100_000);
    let bundle = mapped(bundle, &source, "/data", &["bind", "idmap"], both.clone(), both);
    let out = t.podrun().run_bundle(&bundle, "c").ok();
    assert_eq!(out.stdout, "0:0=0:0\n100:211=100:211\n102:233=102:233\n5000:5000=5000:5000\n");
}

fn what_is_written_belongs_to_whom_it_should(t: &Test) {
    let podrun = t.podrun();
    let source = source(t, &[]);
    let both = map(&[(0, 100_000, 65536)]);
    let script = "touch /data/made && stat -c %u:%g /data/made";
    let bundle = t.shell(script).in_user_namespace(100_000, 100_000);
    let bundle = mapped(bundle, &source, "/data", &["bind", "idmap"], both.clone(), both.clone());
    assert_eq!(podrun.run_bundle(&bundle, "c").ok().stdout, "0:0\n");
    let made = std::fs::metadata(source.join("made")).expect("the file");
    assert_eq!((made.uid(), made.gid()), (0, 0), "and nobody had to change its owner");
    std::fs::remove_file(source.join("made")).expect("removed");
    // Root of the host is no id of the mount's.
    let bundle = mapped(t.shell(script), &source, "/data", &["bind"], both.clone(), both);
    let out = podrun.run_bundle(&bundle, "c");
    assert_ne!(out.code(), 0);
    assert!(out.stderr.contains("Value too large"), "{}", out.stderr);
}

fn the_containers_own_ids_are_used_without_mappings(t: &Test) {
    let podrun = t.podrun();
    let source = source(t, &[(0, 0), (1000, 5)]);
    let bundle = t.shell(LIST).in_user_namespace(100_000, 200_000).mount(
        "bind",
        &path_text(&source),
        "/data",
        &["bind", "idmap"],
    );
    assert_eq!(podrun.run_bundle(&bundle, "c").ok().stdout, "0:0=0:0\n1000:5=1000:5\n");
    let bundle = t.bundle().mount("bind", &path_text(&source), "/data", &["bind", "idmap"]);
    podrun.run_bundle(&bundle, "c").refused(&["/data", "no user namespace", "uidMappings"]);
    // Those of a user namespace that is joined.
    let owner = t.bundle().in_user_namespace(100_000, 200_000).args(&["/bin/probe", "sleep", "300"]);
    drop(podrun.up(&owner, "owner"));
    let path = format!("/proc/{}/ns/user", podrun.pid("owner"));
    let joined = t.shell(LIST).mount("bind", &path_text(&source), "/data", &["bind", "idmap"]);
    crate::harness::bundle::give(&joined.rootfs("/"), 100_000, 200_000);
    let joined = joined.namespace("user", Some(&path));
    assert_eq!(podrun.run_bundle(&joined, "c").ok().stdout, "0:0=0:0\n1000:5=1000:5\n");
    podrun.remove("owner");
}

fn one_source_has_several_mappings(t: &Test) {
    let source = source(t, &[(100, 211)]);
    let bundle = t.shell("stat -c %u:%g /a/100:211 /b/100:211 /plain/100:211");
    let bundle = mapped(bundle, &source, "/a", &["bind"], map(&[(100, 1000, 1)]), map(&[(211, 2000, 1)]));
    let bundle = mapped(bundle, &source, "/b", &["bind"], map(&[(100, 3000, 1)]), map(&[(211, 4000, 1)]))
        .mount("bind", &path_text(&source), "/plain", &["bind"]);
    assert_eq!(t.podrun().run_bundle(&bundle, "c").ok().stdout, "1000:2000\n3000:4000\n100:211\n");
}

fn recursive_maps_reach_mounts_below(t: &Test) {
    let source = source(t, &[(1, 1)]);
    let below = source.join("below");
    std::fs::create_dir(&below).expect("a directory");
    if machine::maps_ids_of_tmpfs() {
        mount(Some("tmpfs"), &below, Some("tmpfs"), MsFlags::empty(), Some("uid=1,gid=1")).expect("a tmpfs");
    } else {
        let other = t.directory("disk/other");
        chown(&other, Some(1), Some(1)).expect("an owner");
        mount(Some(&other), &below, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
    }
    let script = "stat -c %u:%g /data/1:1 /data/below";
    let ids = || map(&[(0, 50, 10)]);
    for (options, want) in
        [(&["rbind", "idmap"][..], "51:51\n1:1\n"), (&["rbind", "ridmap"], "51:51\n51:51\n")]
    {
        let bundle = mapped(t.shell(script), &source, "/data", options, ids(), ids());
        assert_eq!(t.podrun().run_bundle(&bundle, "c").ok().stdout, want, "{options:?}");
    }
    umount2(&below, MntFlags::MNT_DETACH).expect("unmounted");
}

fn propagation_and_flags_go_with_it(t: &Test) {
    let source = source(t, &[]);
    let both = map(&[(0, 100_000, 65536)]);
    for bundle in [t.bundle(), t.bundle().in_user_namespace(100_000, 100_000)] {
        let options = ["bind", "idmap", "shared", "nosuid", "noexec"];
        let facts = t.podrun().facts(&mapped(bundle, &source, "/data", &options, both.clone(), both.clone()));
        facts::assert_options(&facts, "/data", &["nosuid", "noexec"]);
        let propagation = facts::strings(&facts::mount(&facts, "/data")["propagation"]).join(" ");
        assert!(propagation.contains("shared:"), "{propagation}");
    }
    assert!(!proc::mounts("self").iter().any(|mount| mount.concerns(&source)));
}

fn maps_that_cannot_be_are_refused(t: &Test) {
    let podrun = t.podrun();
    let source = source(t, &[]);
    let both = map(&[(0, 100_000, 65536)]);
    let bind =
        |uids: Value, gids: Value| mapped(t.bundle(), &source, "/data", &["bind", "idmap"], uids, gids);
    for (bundle, texts) in [
        (bind(both.clone(), json!([])), ["mounts[7]", "gidMappings: is missing"]),
        (bind(json!([]), both.clone()), ["mounts[7]", "uidMappings: is missing"]),
        (bind(map(&[(0, 1, 0)]), both.clone()), ["mounts[7]", "uidMappings[0]: size: is 0"]),
        (bind(map(&[(0, 1, 9), (3, 100, 1)]), both.clone()), ["mounts[7]", "container ids are among"]),
    ] {
        podrun.run_bundle(&bundle, "c").refused(&texts);
    }
    let new = json!({"type": "tmpfs", "source": "tmpfs", "destination": "/data", "options": ["idmap"],
        "uidMappings": both, "gidMappings": both});
    podrun
        .run_bundle(&t.bundle().push("/mounts", new), "c")
        .refused(&["/data", "bind mounts of the host's files alone"]);
    // procfs has no ids to map.
    let proc =
        mapped(t.bundle(), std::path::Path::new("/proc"), "/data", &["bind", "idmap"], both.clone(), both);
    podrun.run_bundle(&proc, "c").refused(&["/data", "cannot map its ids", "hint: ", "file system"]);
    let annotated = t.bundle().mount("bind", &path_text(&source), "/data", &["bind", "idmap=uids=0-1-10"]);
    podrun.run_bundle(&annotated, "c").refused(&["/data", "idmap=uids=0-1-10"]);
}
