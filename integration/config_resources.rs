//! linux.resources and cgroupsPath, as the kernel's files show them from the host's side.

use crate::harness::{Bundle, Case, Test, case, cgroups, proc};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(memory_limits),
        case!(cpu_limits),
        case!(cpuset_limits),
        case!(pids_limit),
        case!(pids_limit_of_zero_is_that_of_its_version),
        case!(limits_hold_before_the_program_starts),
        case!(out_of_memory_kills_the_container),
        case!(cgroups_path_is_used),
        case!(cgroups_path_that_is_relative_stays_below_our_own),
        case!(default_cgroup_is_below_our_own),
        case!(init_is_in_its_group_in_every_hierarchy_that_has_limits),
        case!(cgroup_with_processes_is_not_taken_over),
        case!(groups_made_inside_are_removed),
        case!(frozen_container_can_be_deleted_by_force),
        case!(cgroup_manager_disabled_makes_no_group),
        case!(wrong_limits_are_refused),
    ]
}

fn limited(t: &Test, resources: &Value) -> Bundle {
    t.bundle().args(&["/bin/probe", "sleep", "60"]).edit(|config| {
        for (name, value) in resources.as_object().expect("an object") {
            config["linux"]["resources"][name] = value.clone();
        }
    })
}

fn memory_limits(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20}})), "c");
    let pid = podrun.pid("c");
    assert_eq!(cgroups::limit(pid, "memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    assert_eq!(
        cgroups::limit(pid, "memory", "memory.soft_limit_in_bytes", "memory.low"),
        (32 << 20).to_string()
    );
    podrun.remove("c");
    podrun.create(&limited(t, &json!({"memory": {"limit": -1}})), "unlimited");
    let limit = cgroups::limit(podrun.pid("unlimited"), "memory", "memory.limit_in_bytes", "memory.max");
    assert!(limit == "max" || limit.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 60), "{limit}");
    podrun.remove("unlimited");
}

fn cpu_limits(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000}})), "c");
    let pid = podrun.pid("c");
    if cgroups::is_v1("cpu") {
        let directory = cgroups::directory_of(pid, "cpu");
        for (file, want) in
            [("cpu.shares", "512"), ("cpu.cfs_quota_us", "50000"), ("cpu.cfs_period_us", "100000")]
        {
            assert_eq!(cgroups::read_limit(&directory, file), want, "{file}");
        }
    } else {
        let directory = cgroups::directory_of(pid, "cpu");
        assert_eq!(cgroups::read_limit(&directory, "cpu.max"), "50000 100000");
        // Two conversions of shares to weights are in use; both put 512 well below the default of 100.
        let weight: u32 = cgroups::read_limit(&directory, "cpu.weight").parse().expect("a number");
        assert!((15..70).contains(&weight), "{weight}");
    }
    podrun.remove("c");
}

fn cpuset_limits(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"cpu": {"cpus": "0", "mems": "0"}})), "c");
    let pid = podrun.pid("c");
    assert_eq!(cgroups::limit(pid, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(cgroups::limit(pid, "cpuset", "cpuset.mems", "cpuset.mems"), "0");
    assert_eq!(proc::status_field(pid, "Cpus_allowed_list").as_deref(), Some("0"));
    podrun.remove("c");
    let missing = limited(t, &json!({"cpu": {"cpus": "4000"}}));
    podrun.run(&["create", "--bundle", missing.text(), "c"]).refused(&["cpus", "4000"]);
}

fn pids_limit(t: &Test) {
    let podrun = t.podrun();
    let bundle = limited(t, &json!({"pids": {"limit": 10}})).args(&["/bin/probe", "fork", "50"]);
    let answer = podrun.run_bundle(&bundle, "c").ok().json();
    assert_eq!((&answer["made"], &answer["refused"]), (&json!(9), &json!("EAGAIN")), "init is the tenth");
    podrun.create(&limited(t, &json!({"pids": {"limit": 10}})), "c");
    assert_eq!(cgroups::limit(podrun.pid("c"), "pids", "pids.max", "pids.max"), "10");
    podrun.remove("c");
}

fn pids_limit_of_zero_is_that_of_its_version(t: &Test) {
    let podrun = t.podrun();
    for (version, pids, want) in [
        ("1.3.0", json!({"limit": 0}), "1"),
        ("1.2.1", json!({"limit": 0}), "max"),
        ("1.3.0", json!({}), "max"),
        ("1.0.2", json!({"limit": null}), "max"),
        ("1.3.0", json!({"limit": -7}), "max"),
    ] {
        let bundle = limited(t, &json!({"pids": pids})).set("/ociVersion", json!(version));
        podrun.create(&bundle.args(&["/bin/probe", "fork", "1"]), "c");
        let limit = || cgroups::limit(podrun.pid("c"), "pids", "pids.max", "pids.max");
        assert_eq!(limit(), want, "{version} {pids}");
        podrun.run(&["update", "--pids-limit", "10", "c"]).ok();
        podrun.cmd(&["update", "-r", "-", "c"]).input(r#"{"pids": {}}"#).run().ok().quietly();
        assert_eq!(limit(), "10", "no limit changes nothing");
        podrun.cmd(&["update", "-r", "-", "c"]).input(r#"{"pids": {"limit": 0}}"#).run().ok().quietly();
        assert_eq!(limit(), if version == "1.3.0" { "1" } else { "10" }, "{version}");
        podrun.remove("c");
    }
}

fn limits_hold_before_the_program_starts(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"pids": {"limit": 7}, "memory": {"limit": 64 << 20}})), "c");
    // The shim reads limits and statistics from the group of the pid that `create` wrote.
    let pid = podrun.pid("c");
    assert_eq!(proc::status_field(pid, "Name").as_deref(), Some("podrun:init"));
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "7");
    let usage = cgroups::limit(pid, "memory", "memory.usage_in_bytes", "memory.current");
    assert!(usage.parse::<u64>().is_ok_and(|bytes| bytes < 64 << 20), "{usage}");
    podrun.remove("c");
}

fn out_of_memory_kills_the_container(t: &Test) {
    let podrun = t.podrun();
    let memory = json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}});
    let bundle = limited(t, &memory).args(&["/bin/probe", "alloc", "200"]);
    podrun.run_bundle(&bundle, "c").exits(137);
    let enough = limited(t, &json!({"memory": {"limit": 256 << 20}})).args(&["/bin/probe", "alloc", "64"]);
    podrun.run_bundle(&enough, "c").ok();
}

/// A cgroup path in the test's corner, the same in every hierarchy.
fn corner_path(name: &str) -> String {
    crate::harness::pods::pod_parent().replace("/pods", &format!("/{name}"))
}

fn cgroups_path_is_used(t: &Test) {
    let podrun = t.podrun();
    let path = corner_path("podrun/own");
    podrun.create(&limited(t, &json!({"pids": {"limit": 5}})).set("/linux/cgroupsPath", json!(path)), "c");
    let pid = podrun.pid("c");
    assert!(cgroups::directory_of(pid, "pids").ends_with(path.trim_start_matches('/')));
    assert!(cgroups::directory_of(pid, "memory").ends_with(path.trim_start_matches('/')));
    let directory = cgroups::directory_of(pid, "pids");
    podrun.remove("c");
    assert!(!directory.exists(), "{directory:?} is still there");
}

fn cgroups_path_that_is_relative_stays_below_our_own(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({})).set("/linux/cgroupsPath", json!("podrun/relative")), "c");
    let directory = cgroups::directory_of(podrun.pid("c"), "pids");
    assert!(directory.ends_with("podrun/relative"), "{directory:?}");
    let corner = corner_path("");
    assert!(
        directory.to_string_lossy().contains(corner.trim_end_matches('/')),
        "{directory:?} is not below {corner}"
    );
    podrun.remove("c");
    let out = limited(t, &json!({})).set("/linux/cgroupsPath", json!("../../../escape"));
    podrun.run(&["create", "--bundle", out.text(), "c"]).refused(&["cgroupsPath"]);
}

fn default_cgroup_is_below_our_own(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({})), "c1");
    let directory = cgroups::directory_of(podrun.pid("c1"), "memory");
    assert!(directory.ends_with("podrun-oci/c1"), "{directory:?}");
    let corner = corner_path("");
    assert!(
        directory.to_string_lossy().contains(corner.trim_end_matches('/')),
        "{directory:?} is not below {corner}"
    );
    podrun.remove("c1");
}

fn init_is_in_its_group_in_every_hierarchy_that_has_limits(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({})), "c1");
    let pid = podrun.pid("c1");
    let own = cgroups::hierarchies("self");
    for hierarchy in cgroups::hierarchies(pid) {
        let controllers = &hierarchy.controllers;
        let counts = ["memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "freezer", "blkio"];
        if hierarchy.is_v2() && own.len() > 1 || controllers.iter().any(|c| c.starts_with("name=")) {
            continue;
        }
        if hierarchy.is_v2() || controllers.iter().any(|c| counts.contains(&c.as_str())) {
            assert!(hierarchy.own.ends_with("/podrun-oci/c1"), "{controllers:?}: {}", hierarchy.own);
        }
    }
    podrun.remove("c1");
}

fn cgroup_with_processes_is_not_taken_over(t: &Test) {
    let podrun = t.podrun();
    let path = corner_path("podrun/shared");
    let bundle = limited(t, &json!({})).set("/linux/cgroupsPath", json!(path));
    podrun.create(&bundle, "first");
    // Deleting the second would kill the first.
    podrun.run(&["create", "--bundle", bundle.text(), "second"]).refused(&["cgroup", &path]);
    assert!(proc::lives(podrun.pid("first")));
    podrun.remove("first");
}

fn groups_made_inside_are_removed(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({})), "c");
    let directory = cgroups::directory_of(podrun.pid("c"), "pids");
    std::fs::create_dir_all(directory.join("made/by/the/container")).expect("to play the container");
    podrun.remove("c");
    assert!(!directory.exists());
}

fn frozen_container_can_be_deleted_by_force(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&limited(t, &json!({})), "c");
    let directory = cgroups::directory_of(podrun.pid("c"), "freezer");
    let (file, value) =
        if cgroups::is_v1("freezer") { ("freezer.state", "FROZEN") } else { ("cgroup.freeze", "1") };
    std::fs::write(directory.join(file), value).expect("to freeze it");
    podrun.remove("c");
    assert!(!directory.exists());
}

fn cgroup_manager_disabled_makes_no_group(t: &Test) {
    let podrun = t.podrun().with_globals(&["--cgroup-manager", "disabled"]);
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "60"]).edit(|config| {
        config["linux"].as_object_mut().expect("an object").remove("resources");
    });
    podrun.create(&bundle, "c");
    let own = cgroups::directory_of(i32::try_from(std::process::id()).unwrap(), "pids");
    assert_eq!(cgroups::directory_of(podrun.pid("c"), "pids"), own);
    podrun.run(&["kill", "--all", "c", "USR1"]).refused(&["no cgroup", "--all"]);
    podrun.run(&["kill", "--all", "c", "KILL"]).ok().quietly();
    podrun.wait_status("c", "stopped");
    podrun.remove("c");
    let limited = limited(t, &json!({"pids": {"limit": 5}}));
    podrun.run(&["create", "--bundle", limited.text(), "c"]).refused(&["--cgroup-manager", "resources"]);
}

fn wrong_limits_are_refused(t: &Test) {
    let podrun = t.podrun();
    for (resources, word) in [
        (json!({"memory": {"limit": "64Mi"}}), "memory"),
        (json!({"cpu": {"cpus": "abc"}}), "cpus"),
        (json!({"cpu": {"period": 1}}), "period"),
        (json!({"devices": [{"allow": true, "access": "xyz"}]}), "access"),
        (json!({"devices": [{"allow": true, "type": "q", "access": "r"}]}), "type"),
    ] {
        let bundle = limited(t, &resources);
        let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
        if !out.stderr.contains(word) {
            out.fail(&format!("{resources} is not refused by name"));
        }
        out.refused(&[]);
    }
}
