//! The groups themselves: which are taken, which are left alone, and that none is left behind.

use crate::harness::runtime::path_text;
use crate::harness::{Bundle, Case, Test, case, cgroups, eventually, proc, skip};
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command};

pub fn cases() -> Vec<Case> {
    vec![
        case!(populated_group_is_refused_and_stays),
        case!(frozen_group_is_refused_and_stays),
        case!(group_below_a_frozen_one_is_refused),
        case!(processes_of_others_below_survive_the_container),
        case!(empty_group_is_taken),
        case!(groups_above_and_beside_stay),
        case!(hostile_paths_are_refused),
        case!(groups_with_processes_made_inside_go_with_the_container),
        case!(group_that_can_be_written_is_the_containers_users),
        case!(threaded_group_made_inside_goes_with_the_container),
        case!(group_below_a_threaded_one_is_explained),
        case!(controllers_are_handed_down_to_the_group),
        case!(group_above_with_processes_is_explained),
        case!(works_inside_a_cgroup_namespace),
        case!(processes_that_outlive_init_go_with_the_container),
        case!(systemd_is_refused_by_name),
        case!(a_container_fits_into_less_than_512_kib),
        case!(a_limit_too_low_to_start_is_named),
    ]
}

fn sleeping(t: &Test, path: &str) -> Bundle {
    t.bundle().args(&["/bin/probe", "sleep", "300"]).set("/linux/cgroupsPath", json!(path))
}

/// A cgroup path in the test's corner, the same in every hierarchy.
fn corner(name: &str) -> String {
    crate::harness::pods::pod_parent().replace("/pods", &format!("/{name}"))
}

/// The directory of the corner's group in the hierarchy of a controller, made there.
#[track_caller]
fn made(controller: &str, path: &str) -> PathBuf {
    let all = cgroups::hierarchies("self");
    let of = |h: &&cgroups::Hierarchy| h.controllers.iter().any(|c| c == controller);
    let hierarchy = all.iter().find(of).or_else(|| all.iter().find(|h| h.is_v2())).expect("a hierarchy");
    let directory = hierarchy.directory(path);
    std::fs::create_dir_all(&directory).expect("a group");
    directory
}

/// Removes a group and those above it, which podrun lets stay, wherever they are.
#[track_caller]
fn remove_up_to_the_corner(path: &str) {
    for hierarchy in cgroups::hierarchies("self") {
        let directory = hierarchy.directory(path);
        for group in directory.ancestors().take_while(|group| !group.ends_with("podrun")) {
            match std::fs::remove_dir(group) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    panic!("{group:?} is in use: {error}")
                }
                _ => {}
            }
        }
    }
}

fn sleeper() -> Child {
    Command::new("sleep").arg("300").spawn().expect("sleep runs")
}

#[track_caller]
fn end(mut child: Child) {
    child.kill().expect("our child");
    child.wait().expect("our child");
}

/// The file that freezes a group, and what to write there to freeze and to thaw.
fn freezer() -> (&'static str, &'static str, &'static str) {
    if cgroups::is_v1("freezer") {
        ("freezer.state", "FROZEN", "THAWED")
    } else {
        ("cgroup.freeze", "1", "0")
    }
}

fn populated_group_is_refused_and_stays(t: &Test) {
    let podrun = t.podrun();
    let path = corner("podrun/taken");
    // In the hierarchy of the freezer alone: any one is enough.
    let group = made("freezer", &path);
    let child = sleeper();
    let pid = i32::try_from(child.id()).expect("a pid");
    std::fs::write(group.join("cgroup.procs"), pid.to_string()).expect("to enter");
    let bundle = sleeping(t, &path);
    for command in ["create", "run"] {
        let words = [command, "--bundle", bundle.text(), "c"];
        podrun.run(&words).refused(&[&path, "container's cgroup is not empty: 1 process(es) found"]);
    }
    assert_eq!(podrun.status("c"), None);
    podrun.run(&["delete", "--force", "c"]).ok();
    assert!(proc::lives(pid));
    assert_eq!(cgroups::directory_of(pid, "freezer"), group);
    end(child);
    std::fs::remove_dir(&group).expect("it is as it was");
}

fn frozen_group_is_refused_and_stays(t: &Test) {
    let podrun = t.podrun();
    let path = corner("podrun/frozen");
    let group = made("freezer", &path);
    let (file, frozen, thawed) = freezer();
    std::fs::write(group.join(file), frozen).expect("to freeze");
    let bundle = sleeping(t, &path);
    for command in ["create", "run"] {
        let words = [command, "--bundle", bundle.text(), "c"];
        podrun.run(&words).refused(&[&path, "container's cgroup unexpectedly frozen"]);
    }
    assert_eq!(podrun.status("c"), None);
    assert_eq!(cgroups::read_limit(&group, file), frozen);
    std::fs::write(group.join(file), thawed).expect("to thaw");
    std::fs::remove_dir(&group).expect("it is as it was");
}

fn group_below_a_frozen_one_is_refused(t: &Test) {
    let podrun = t.podrun();
    let above = corner("podrun/ice");
    let group = made("freezer", &above);
    let (file, frozen, thawed) = freezer();
    std::fs::write(group.join(file), frozen).expect("to freeze");
    let bundle = sleeping(t, &format!("{above}/below"));
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["a group above it is frozen", "thaw"]);
    assert_eq!(podrun.status("c"), None);
    assert!(!group.join("below").exists());
    std::fs::write(group.join(file), thawed).expect("to thaw");
    remove_up_to_the_corner(&above);
}

/// Whoever was put into a group below a container's is not the container's, whose processes have ended with their PID
/// namespace.
fn processes_of_others_below_survive_the_container(t: &Test) {
    let podrun = t.podrun();
    let path = corner("podrun/outer");
    podrun.up(&sleeping(t, &path), "outer");
    let below = made("pids", &format!("{path}/other"));
    let child = sleeper();
    let pid = i32::try_from(child.id()).expect("a pid");
    std::fs::write(below.join("cgroup.procs"), pid.to_string()).expect("to enter");
    let init = nix::unistd::Pid::from_raw(podrun.pid("outer"));
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    podrun.wait_status("outer", "stopped");
    let out = podrun.run(&["delete", "outer"]).ok();
    assert!(out.stderr.contains(&path) && out.stderr.contains("not the container's"), "{}", out.stderr);
    assert_eq!(podrun.status("outer"), None);
    assert!(proc::lives(pid));
    assert_eq!(cgroups::directory_of(pid, "pids"), below);
    end(child);
    remove_up_to_the_corner(&format!("{path}/other"));
}

fn empty_group_is_taken(t: &Test) {
    let podrun = t.podrun();
    let path = corner("podrun/empty");
    let group = made("pids", &path);
    std::fs::create_dir(group.join("below")).expect("a group below");
    podrun.create(&sleeping(t, &path), "c");
    assert_eq!(cgroups::directory_of(podrun.pid("c"), "pids"), group);
    podrun.remove("c");
    assert!(!group.exists());
}

fn groups_above_and_beside_stay(t: &Test) {
    let podrun = t.podrun();
    let beside = made("pids", &corner("podrun/above/beside"));
    podrun.create(&sleeping(t, &corner("podrun/above/c")), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "pids");
    assert_eq!(group.parent(), beside.parent());
    podrun.remove("c");
    assert!(!group.exists() && beside.is_dir());
    remove_up_to_the_corner(&corner("podrun/above/beside"));
}

fn hostile_paths_are_refused(t: &Test) {
    let podrun = t.podrun();
    for path in ["..", "/..", "a/../../b", "/podrun/../../etc", "/", "//", ".", "a\nb", "/a\u{0}b"] {
        let bundle = sleeping(t, path);
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["cgroup"]);
        assert_eq!(podrun.status("c"), None, "{path:?}");
    }
}

/// Writable control groups, in a namespace of their own.
fn nesting(t: &Test, script: &str) -> Bundle {
    t.shell(script).namespace("cgroup", Some("")).edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("a cgroup mount");
        cgroup["options"] = json!(["nosuid", "noexec", "nodev", "relatime", "rw"]);
    })
}

fn groups_with_processes_made_inside_go_with_the_container(t: &Test) {
    let podrun = t.podrun();
    let script = if cgroups::is_pure_v2() {
        "cd /sys/fs/cgroup; mkdir -p foo/bar; sleep 300 & echo $! > foo/bar/cgroup.procs; echo made; sleep 300"
    } else {
        "sleep 300 & for s in memory freezer; do mkdir -p /sys/fs/cgroup/$s/foo/bar; \
         echo $! > /sys/fs/cgroup/$s/foo/bar/tasks; done; echo made; sleep 300"
    };
    let out = podrun.up(&nesting(t, script), "c");
    podrun.wait_output(&out, "made");
    let groups: Vec<PathBuf> =
        ["memory", "freezer"].iter().map(|c| cgroups::directory_of(podrun.pid("c"), c)).collect();
    for group in &groups {
        assert!(group.join("foo/bar").is_dir(), "{group:?}");
        assert_eq!(std::fs::read_to_string(group.join("foo/bar/cgroup.procs")).unwrap().lines().count(), 1);
    }
    let pids = podrun.run(&["ps", "--format", "json", "c"]).ok().json();
    // The shell becomes its last sleep.
    assert_eq!(pids.as_array().map(Vec::len), Some(2), "those in groups below count: {pids}");
    // Frozen from inside, too.
    let (file, frozen, _) = freezer();
    std::fs::write(groups[1].join("foo").join(file), frozen).expect("to freeze");
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    for pid in pids.as_array().expect("a list") {
        let pid = i32::try_from(pid.as_i64().expect("a pid")).expect("a pid");
        eventually("they are gone", || (!proc::lives(pid)).then_some(()));
    }
}

/// As the runtime specification has it: on v2, in a namespace of its own, where it may write.
fn group_that_can_be_written_is_the_containers_users(t: &Test) {
    let podrun = t.podrun();
    let user = json!({"uid": 1000, "gid": 1000});
    let owners = |bundle: &Bundle| {
        podrun.up(bundle, "c");
        // The program may be in a group below it by now.
        let group = cgroups::directory_of(podrun.pid("c"), "memory");
        let group = group.ancestors().find(|above| above.ends_with("c")).expect("the container's group");
        let uid = |file: &str| std::fs::metadata(group.join(file)).map(|file| file.uid()).ok();
        let other = if cgroups::is_pure_v2() { "cgroup.max.depth" } else { "notify_on_release" };
        (uid("."), uid("cgroup.procs"), uid(other))
    };
    let mine = if cgroups::is_pure_v2() { Some(1000) } else { Some(0) };
    // Somebody who owns the group can divide it, and that is all.
    let script = if cgroups::is_pure_v2() {
        "set -e; cd /sys/fs/cgroup; mkdir foo; echo $$ >foo/cgroup.procs; cat /proc/self/cgroup; \
         echo 9 >cgroup.max.depth 2>/dev/null || echo refused; sleep 300"
    } else {
        "cat /proc/self/cgroup; mkdir /sys/fs/cgroup/memory/foo 2>/dev/null || echo refused; sleep 300"
    };
    let nested = nesting(t, script).set("/process/user", user.clone());
    assert_eq!(owners(&nested), (mine, mine, Some(0)));
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    let out = podrun.up(&nested, "c");
    podrun.wait_output(&out, "refused");
    assert_eq!(out.later().contains("0::/foo"), cgroups::is_pure_v2(), "{}", out.later());
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    // Read-only, as most have it; and in the host's cgroup namespace.
    let sleep = ["/bin/probe", "sleep", "300"];
    let read_only = t.bundle().args(&sleep).namespace("cgroup", Some("")).set("/process/user", user.clone());
    let shared = nesting(t, "sleep 300").namespace("cgroup", None).set("/process/user", user);
    // Root is who owns it anyway; mapped, it is another.
    let root = nesting(t, "sleep 300");
    let mapped = nesting(t, "sleep 300")
        .namespace("user", Some(""))
        .set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 1000, "size": 65536}]))
        .set("/linux/gidMappings", json!([{"containerID": 0, "hostID": 1000, "size": 65536}]));
    for (bundle, owner) in [(read_only, Some(0)), (shared, Some(0)), (root, Some(0)), (mapped, mine)] {
        assert_eq!(owners(&bundle), (owner, owner, Some(0)));
        podrun.run(&["delete", "--force", "c"]).ok().quietly();
    }
}

fn only_v2() {
    if !cgroups::is_pure_v2() {
        skip("the host has cgroup v1");
    }
}

fn threaded_group_made_inside_goes_with_the_container(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    let script = "set -e; cd /sys/fs/cgroup; sleep 300 & p=$!; echo +pids > cgroup.subtree_control; mkdir foo; \
                  echo threaded > foo/cgroup.type; echo $p > foo/cgroup.threads; cat foo/cgroup.threads; sleep 300";
    let out = podrun.up(&nesting(t, script), "c");
    eventually("a thread is in the group", || out.later().ends_with('\n').then_some(()));
    let group = cgroups::directory_of(podrun.pid("c"), "pids");
    assert_eq!(cgroups::read_limit(&group.join("foo"), "cgroup.type"), "threaded");
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    assert!(!group.exists());
}

fn group_below_a_threaded_one_is_explained(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    let above = made("pids", &corner("podrun/threads/threaded"));
    std::fs::write(above.join("cgroup.type"), "threaded").expect("a threaded group");
    let path = corner("podrun/threads/threaded/c");
    let bundle = sleeping(t, &path);
    podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["threaded"]);
    assert_eq!(podrun.status("c"), None);
    assert!(!above.join("c").exists());
    remove_up_to_the_corner(&corner("podrun/threads/threaded"));
}

fn controllers_are_handed_down_to_the_group(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    podrun.create(&sleeping(t, &corner("podrun/deep/er/c")), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "pids");
    let root = cgroups::hierarchies("self").remove(0).mount;
    assert_eq!(
        cgroups::read_limit(&group, "cgroup.controllers"),
        cgroups::read_limit(&root, "cgroup.controllers")
    );
    podrun.remove("c");
    remove_up_to_the_corner(&corner("podrun/deep/er"));
}

fn group_above_with_processes_is_explained(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    let above = made("pids", &corner("podrun/busy"));
    let child = sleeper();
    std::fs::write(above.join("cgroup.procs"), child.id().to_string()).expect("to enter");
    // Without limits nothing is needed of it, and nobody is moved.
    let bundle = sleeping(t, &corner("podrun/busy/c"));
    podrun.create(&bundle, "c");
    podrun.remove("c");
    let bundle = bundle.set("/linux/resources/memory", json!({"limit": 64 << 20}));
    let words = ["create", "--bundle", bundle.text(), "c"];
    podrun.run(&words).refused(&["memory.limit", "has processes of its own"]);
    assert!(!above.join("c").exists());
    assert_eq!(cgroups::read_limit(&above, "cgroup.procs"), child.id().to_string());
    end(child);
    remove_up_to_the_corner(&corner("podrun/busy"));
}

/// Fresh mounts of every hierarchy, as a container has them that podrun runs in.
const INSIDE: &str = "set -e; c=/sys/fs/cgroup; mount -t tmpfs none $c; while IFS=: read -r n names p; do \
    case $names in '') if [ $(wc -l < /proc/self/cgroup) = 1 ]; then mount -t cgroup2 none $c; \
    else mkdir $c/unified; mount -t cgroup2 none $c/unified; fi;; \
    name=*) mkdir $c/${names#name=}; mount -t cgroup -o none,$names none $c/${names#name=};; \
    *) mkdir $c/$names; mount -t cgroup -o $names none $c/$names;; esac; done < /proc/self/cgroup; exec \"$@\"";

fn works_inside_a_cgroup_namespace(t: &Test) {
    let podrun = t.podrun();
    let mut bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    if !cgroups::is_pure_v2() {
        // On v2 our own group, the root of the namespace, has processes, and can hand nothing down.
        bundle = bundle.set("/linux/resources/pids", json!({"limit": 9}));
    }
    let inside = |words: &[&str]| {
        let before = ["unshare", "-C", "-m", "--propagation", "private", "sh", "-c", INSIDE, "sh"];
        podrun.cmd(words).under(before).run()
    };
    inside(&["create", "--bundle", bundle.text(), "c"]).ok().quietly();
    let pid = podrun.pid("c");
    let group = cgroups::directory_of(pid, "pids");
    assert!(group.ends_with("podrun-oci/c"), "{group:?}");
    assert!(path_text(&group).contains(corner("").trim_end_matches('/')), "{group:?}");
    if !cgroups::is_pure_v2() {
        assert_eq!(cgroups::read_limit(&group, "pids.max"), "9");
    }
    // What is on record are the paths that podrun saw.
    inside(&["start", "c"]).ok();
    inside(&["exec", "c", "/bin/probe", "exit", "7"]).exits(7);
    inside(&["delete", "--force", "c"]).ok().quietly();
    assert!(!group.exists() && !proc::lives(pid));
}

fn processes_that_outlive_init_go_with_the_container(t: &Test) {
    let podrun = t.podrun();
    for force in [&["delete", "c"][..], &["delete", "--force", "c"]] {
        let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]).namespace("pid", None);
        podrun.up(&bundle, "c");
        for _ in 0..3 {
            podrun.run(&["exec", "-d", "c", "/bin/probe", "sleep", "300"]).ok();
        }
        let init = podrun.pid("c");
        let group = cgroups::directory_of(init, "pids");
        let kill =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGKILL);
        kill.expect("it runs");
        podrun.wait_status("c", "stopped");
        let left = podrun.run(&["ps", "--format", "json", "c"]).ok().json();
        assert_eq!(left.as_array().map(Vec::len), Some(3), "{left}");
        podrun.run(force).ok().quietly();
        assert_eq!(podrun.status("c"), None);
        assert!(!group.exists());
    }
}

fn systemd_is_refused_by_name(t: &Test) {
    let bundle = t.bundle();
    for globals in [&["--systemd-cgroup"][..], &["--cgroup-manager", "systemd"]] {
        let podrun = t.podrun().with_globals(globals);
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&["systemd"]);
        assert!(out.stderr.contains("hint: "), "{}", out.stderr);
        assert_eq!(t.podrun().status("c"), None);
    }
}

fn small(t: &Test, kib: i64) -> Bundle {
    let memory = json!({"limit": kib << 10, "swap": kib << 10});
    t.bundle().args(&["/bin/probe", "exit", "5"]).set("/linux/resources/memory", memory)
}

fn a_container_fits_into_less_than_512_kib(t: &Test) {
    t.podrun().run_bundle(&small(t, 480), "c").exits(5);
}

fn a_limit_too_low_to_start_is_named(t: &Test) {
    let podrun = t.podrun();
    for kib in [4, 32] {
        let bundle = small(t, kib);
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        out.refused(&["out of memory", &format!("limit {}", kib << 10), "linux.resources.memory.limit"]);
        assert_eq!(podrun.status("c"), None);
    }
}
