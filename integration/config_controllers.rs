//! linux.resources beyond memory, CPU and processes: block I/O, huge pages, network, RDMA, unified, real time.

use crate::harness::runtime::path_text;
use crate::harness::{Bundle, Case, Test, case, cgroups, machine, proc, skip};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(block_io_is_throttled),
        case!(block_io_is_weighed),
        case!(block_io_that_there_is_not_is_refused),
        case!(huge_pages_are_limited),
        case!(huge_pages_of_no_such_size_are_refused),
        case!(packets_are_marked),
        case!(packets_cannot_be_marked_without_the_controller),
        case!(rdma_without_the_controller_is_refused),
        case!(intel_rdt_without_the_file_system_is_refused),
        case!(unified_writes_files_of_v2),
        case!(unified_wins_over_the_other_fields),
        case!(unified_is_refused_where_it_means_nothing),
        case!(swappiness_and_oom_killer),
        case!(what_v2_has_not_got_is_refused),
        case!(empty_resources_are_nothing),
    ]
}

/// A container with these resources, in a group that has none with processes of its own above it.
fn limited(t: &Test, resources: &Value) -> Bundle {
    t.bundle()
        .args(&["/bin/probe", "sleep", "60"])
        .set("/linux/cgroupsPath", json!(corner("podrun/own")))
        .edit(|c| {
            for (name, value) in resources.as_object().expect("an object") {
                c["linux"]["resources"][name] = value.clone();
            }
        })
}

/// A cgroup path in the test's corner, the same in every hierarchy.
fn corner(name: &str) -> String {
    crate::harness::pods::pod_parent().replace("/pods", &format!("/{name}"))
}

#[track_caller]
fn refused(t: &Test, resources: &Value, texts: &[&str]) {
    let bundle = limited(t, resources);
    t.podrun().run(&["create", "--bundle", bundle.text(), "c"]).refused(texts);
}

/// Numbers of a whole disk of this machine.
fn disk() -> (u64, u64) {
    machine::disk().unwrap_or_else(|| skip("there is no disk"))
}

fn block_io_is_throttled(t: &Test) {
    let podrun = t.podrun();
    let (major, minor) = disk();
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let limits = json!({"blockIO": {
        "throttleReadBpsDevice": device(1 << 20), "throttleWriteBpsDevice": device(2 << 20),
        "throttleReadIOPSDevice": device(300), "throttleWriteIOPSDevice": device(400)
    }});
    podrun.create(&limited(t, &limits), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "blkio");
    if cgroups::is_v1("blkio") {
        for (file, rate) in [
            ("blkio.throttle.read_bps_device", 1 << 20),
            ("blkio.throttle.write_bps_device", 2 << 20),
            ("blkio.throttle.read_iops_device", 300),
            ("blkio.throttle.write_iops_device", 400),
        ] {
            assert_eq!(cgroups::read_limit(&group, file), format!("{major}:{minor} {rate}"), "{file}");
        }
    } else {
        let want = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400");
        assert_eq!(cgroups::read_limit(&group, "io.max"), want);
    }
    let less =
        json!({"blockIO": {"throttleReadBpsDevice": device(0), "throttleWriteBpsDevice": device(4096)}});
    podrun.cmd(&["update", "-r", "-", "c"]).input(less.to_string()).run().ok().quietly();
    if cgroups::is_v1("blkio") {
        assert_eq!(cgroups::read_limit(&group, "blkio.throttle.read_bps_device"), "");
        assert_eq!(
            cgroups::read_limit(&group, "blkio.throttle.write_bps_device"),
            format!("{major}:{minor} 4096")
        );
    } else {
        let want = format!("{major}:{minor} rbps=max wbps=4096 riops=300 wiops=400");
        assert_eq!(cgroups::read_limit(&group, "io.max"), want);
    }
    podrun.remove("c");
}

fn block_io_is_weighed(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"blockIO": {"weight": 750}})), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "blkio");
    let files = [
        ("blkio.weight", "750"),
        ("blkio.bfq.weight", "750"),
        ("io.bfq.weight", "default 750"),
        ("io.weight", "default 7475"),
    ];
    let (file, want) = files.into_iter().find(|(file, _)| group.join(file).exists()).expect("weights");
    assert_eq!(cgroups::read_limit(&group, file), want, "{file}");
    podrun.remove("c");
}

fn block_io_that_there_is_not_is_refused(t: &Test) {
    let entry = |major: u64, minor: u64| json!([{"major": major, "minor": minor, "rate": 1}]);
    for (block_io, texts) in [
        (json!({"weight": 5}), &["blockIO.weight", "5", "10 to 1000"][..]),
        (json!({"leafWeight": 500}), &["blockIO.leafWeight"]),
        (json!({"throttleReadBpsDevice": entry(4000, 77)}), &["throttleReadBpsDevice", "4000:77"]),
        (json!({"throttleWriteIOPSDevice": entry(9_999_999, 0)}), &["throttleWriteIOPSDevice", "9999999:0"]),
        (json!({"weightDevice": [{"major": 8, "minor": 0}]}), &["weightDevice", "no weight"]),
    ] {
        refused(t, &json!({"blockIO": block_io}), texts);
    }
}

/// The sizes that this kernel limits, and the directory that shows them.
fn huge_page_sizes(group: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(group).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let size = |name: String| name.strip_prefix("hugetlb.")?.split_once('.').map(|(size, _)| size.to_owned());
    let mut sizes: Vec<_> = names.filter_map(size).collect();
    sizes.sort();
    sizes.dedup();
    sizes
}

fn huge_pages_are_limited(t: &Test) {
    if !cgroups::is_v1("hugetlb") && !unified_lists("hugetlb") {
        skip("this kernel has no hugetlb controller");
    }
    let podrun = t.podrun();
    podrun.create(&limited(t, &json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 6 << 20}]})), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "hugetlb");
    let file = if cgroups::is_v1("hugetlb") { "limit_in_bytes" } else { "max" };
    assert_eq!(cgroups::read_limit(&group, &format!("hugetlb.2MB.{file}")), (6 << 20).to_string());
    assert_eq!(cgroups::read_limit(&group, &format!("hugetlb.2MB.rsvd.{file}")), (6 << 20).to_string());
    let told = podrun.run(&["events", "--stats", "c"]).ok().json()["data"]["hugetlb"].clone();
    let sizes: Vec<_> = told.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(sizes, huge_page_sizes(&group));
    podrun.remove("c");
}

/// Whether the unified hierarchy has the controller.
fn unified_lists(controller: &str) -> bool {
    let unified = cgroups::hierarchies("self").into_iter().find(cgroups::Hierarchy::is_v2);
    unified.is_some_and(|unified| {
        let text = std::fs::read_to_string(unified.mount.join("cgroup.controllers")).unwrap_or_default();
        text.split_whitespace().any(|name| name == controller)
    })
}

fn huge_pages_of_no_such_size_are_refused(t: &Test) {
    for size in ["2M", "../2MB", "", "MB", "2mb"] {
        let limits = json!({"hugepageLimits": [{"pageSize": size, "limit": 0}]});
        refused(t, &limits, &["hugepageLimits", "no size of a page", "2MB"]);
    }
    refused(t, &json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}), &["hugepageLimits"]);
    refused(t, &json!({"hugepageLimits": [{"pageSize": "2MB"}]}), &["hugepageLimits[0].limit: is missing"]);
}

fn packets_are_marked(t: &Test) {
    if cgroups::is_pure_v2() {
        skip("cgroup v2 marks no packets");
    }
    let podrun = t.podrun();
    let path = format!("/podrun-it-net.{}", std::process::id());
    let network = json!({"classID": 1_048_577, "priorities": [{"name": "lo", "priority": 5}]});
    let bundle = limited(t, &json!({"network": network})).set("/linux/cgroupsPath", json!(path));
    // In a mount namespace of its own, since this machine has the controllers nowhere. Their hierarchy goes with the last
    // mount, unless the group in it is still on its way out then.
    let script = "set -e; d=$1 g=$2 b=$3; shift 3; mkdir -p $d; mount -t cgroup -o net_cls,net_prio none $d; \
                  \"$@\" create --bundle $b c >&2; cat $d$g/net_cls.classid; grep ^lo $d$g/net_prio.ifpriomap; \
                  \"$@\" delete --force c; test ! -e $d$g; umount $d; \
                  for n in 1 2 3 4 5 6 7 8 9; do sleep 0.1; grep -q net_cls /proc/self/cgroup || exit 0; \
                  mount -t cgroup -o net_cls,net_prio none $d; umount $d; done; exit 9";
    let place = path_text(&t.path("net"));
    let words: Vec<std::ffi::OsString> =
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", &place, &path, bundle.text()]
            .iter()
            .map(Into::into)
            .collect();
    let out = podrun.cmd(&[]).under(words).run().ok();
    assert_eq!(out.stdout, "1048577\nlo 5\n");
}

fn packets_cannot_be_marked_without_the_controller(t: &Test) {
    if cgroups::is_v1("net_cls") {
        skip("this machine has the controller");
    }
    let words =
        if cgroups::is_pure_v2() { "does not exist on cgroup v2" } else { "mount -t cgroup -o net_cls" };
    refused(t, &json!({"network": {"classID": 7}}), &["linux.resources.network.classID", words]);
    let words =
        if cgroups::is_pure_v2() { "does not exist on cgroup v2" } else { "mount -t cgroup -o net_prio" };
    let priorities = json!([{"name": "lo", "priority": 1}]);
    refused(
        t,
        &json!({"network": {"priorities": priorities}}),
        &["linux.resources.network.priorities", words],
    );
    let priorities = json!([{"name": "lo 1\nlo", "priority": 1}]);
    refused(t, &json!({"network": {"priorities": priorities}}), &["linux.resources.network.priorities"]);
}

fn rdma_without_the_controller_is_refused(t: &Test) {
    let mlx = json!({"rdma": {"podrun-none": {"hcaHandles": 3, "hcaObjects": 1000}}});
    // Also where there is the controller: no machine has that device.
    refused(t, &mlx, &["linux.resources.rdma"]);
    refused(t, &json!({"rdma": {"mlx5": {}}}), &["rdma", "hcaHandles"]);
    refused(t, &json!({"rdma": {"a\nb": {"hcaHandles": 1}}}), &["rdma"]);
}

fn intel_rdt_without_the_file_system_is_refused(t: &Test) {
    if proc::mounts("self").iter().any(|mount| mount.kind == "resctrl") {
        skip("resctrl is mounted here");
    }
    let podrun = t.podrun();
    for rdt in [json!({}), json!({"closID": "guaranteed"}), json!({"l3CacheSchema": "L3:0=f"})] {
        let bundle = t.bundle().set("/linux/intelRdt", rdt);
        let words = ["create", "--bundle", bundle.text(), "c"];
        podrun.run(&words).refused(&["linux.intelRdt", "mount -t resctrl"]);
    }
    podrun.create(&limited(t, &json!({})), "c");
    let words = ["update", "--l3-cache-schema", "L3:0=f", "c"];
    podrun.run(&words).refused(&["linux.intelRdt"]);
    podrun.run(&["update", "--mem-bw-schema", "x", "c"]).refused(&["--mem-bw-schema", "MB:0=20"]);
    podrun.remove("c");
}

fn only_v2() {
    if !cgroups::is_pure_v2() {
        skip("the host has cgroup v1");
    }
}

fn unified_writes_files_of_v2(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    let files = json!({"memory.min": "131072", "memory.low": "524288", "memory.high": "5242880",
        "memory.max": "10485760", "memory.swap.max": "20971520", "pids.max": "99", "cpu.max": "10000 100000",
        "cpu.weight": "42", "cgroup.max.descendants": "7"});
    podrun.create(&limited(t, &json!({"unified": files})), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "memory");
    for (file, value) in files.as_object().expect("an object") {
        assert_eq!(json!(cgroups::read_limit(&group, file)), *value, "{file}");
    }
    let mut lines = json!({"cpu.max": "max 100000"});
    // Several lines for one file, where there is one that takes them.
    let disk = machine::disk();
    if let Some((major, minor)) = disk {
        lines["io.max"] = json!(format!("{major}:{minor} rbps=4096\n{major}:{minor} wiops=100"));
    }
    let update = json!({"unified": lines}).to_string();
    podrun.cmd(&["update", "-r", "-", "c"]).input(update).run().ok().quietly();
    if let Some((major, minor)) = disk {
        let want = format!("{major}:{minor} rbps=4096 wbps=max riops=max wiops=100");
        assert_eq!(cgroups::read_limit(&group, "io.max"), want);
    }
    assert_eq!(cgroups::read_limit(&group, "cpu.max"), "max 100000");
    // All or nothing, here too.
    let update = json!({"unified": {"cpu.max": "5000 100000", "pids.max": "many"}}).to_string();
    podrun.cmd(&["update", "-r", "-", "c"]).input(update).run().refused(&["pids.max", "many"]);
    assert_eq!(cgroups::read_limit(&group, "cpu.max"), "max 100000");
    podrun.remove("c");
}

fn unified_wins_over_the_other_fields(t: &Test) {
    only_v2();
    let podrun = t.podrun();
    let resources = json!({"memory": {"limit": 33_554_432}, "cpu": {"shares": 3333, "quota": 40_000, "period": 100_000},
        "unified": {"memory.min": "131072", "memory.max": "10485760", "pids.max": "42", "cpu.max": "5000 50000",
        "cpu.weight": "42"}});
    podrun.create(&limited(t, &resources), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "memory");
    for (file, value) in resources["unified"].as_object().expect("an object") {
        assert_eq!(json!(cgroups::read_limit(&group, file)), *value, "{file}");
    }
    podrun.remove("c");
}

fn unified_is_refused_where_it_means_nothing(t: &Test) {
    if !cgroups::is_pure_v2() {
        refused(
            t,
            &json!({"unified": {"memory.min": "131072"}}),
            &["invalid configuration", "memory.min", "v2"],
        );
        return;
    }
    for (file, texts) in [
        ("../memory.max", &["../memory.max"][..]),
        ("a/b.c", &["a/b.c"]),
        ("memory", &["memory"]),
        ("cgroup.procs", &["cgroup.procs"]),
        ("cgroup.subtree_control", &["cgroup.subtree_control"]),
        ("nothing.max", &["nothing.max", "controller \"nothing\" not available"]),
        ("memory.nothing", &["memory.nothing"]),
    ] {
        refused(t, &json!({"unified": {file: "1"}}), texts);
    }
}

fn swappiness_and_oom_killer(t: &Test) {
    if cgroups::is_pure_v2() {
        for memory in
            [json!({"swappiness": 10}), json!({"disableOOMKiller": true}), json!({"kernelTCP": 4096})]
        {
            refused(t, &json!({"memory": memory}), &["memory.", "does not exist on cgroup v2"]);
        }
        return;
    }
    let podrun = t.podrun();
    let memory = json!({"limit": 64 << 20, "swappiness": 10, "disableOOMKiller": true, "useHierarchy": true});
    podrun.create(&limited(t, &json!({"memory": memory})), "c");
    let group = cgroups::directory_of(podrun.pid("c"), "memory");
    assert_eq!(cgroups::read_limit(&group, "memory.swappiness"), "10");
    assert!(cgroups::read_limit(&group, "memory.oom_control").contains("oom_kill_disable 1"));
    podrun.remove("c");
    refused(t, &json!({"memory": {"swappiness": 101}}), &["memory.swappiness", "100"]);
    refused(t, &json!({"memory": {"useHierarchy": false}}), &["memory.useHierarchy"]);
    // Kernels have not got it any more, and say nothing.
    let kernel = limited(t, &json!({"memory": {"limit": 64 << 20, "kernel": 4096}}));
    podrun.create(&kernel, "c").says(&["memory.kernel is ignored"]);
    podrun.remove("c");
}

fn what_v2_has_not_got_is_refused(t: &Test) {
    only_v2();
    refused(t, &json!({"cpu": {"realtimeRuntime": 1000}}), &["cpu.realtimeRuntime", "cgroup v2"]);
    refused(t, &json!({"blockIO": {"leafWeight": 500}}), &["blockIO.leafWeight", "cgroup v2"]);
    refused(t, &json!({"memory": {"swap": 64 << 20}}), &["memory.swap", "memory.limit"]);
}

fn empty_resources_are_nothing(t: &Test) {
    let podrun = t.podrun();
    let resources = json!({"memory": {}, "cpu": {"cpus": "", "mems": ""}, "pids": {"limit": 0}, "blockIO": {"weight": 0,
        "weightDevice": [], "throttleReadBpsDevice": []}, "hugepageLimits": [], "network": {"classID": 0,
        "priorities": []}, "rdma": {}, "unified": {}});
    podrun.create(&limited(t, &resources), "c").quietly();
    assert_eq!(cgroups::limit(podrun.pid("c"), "pids", "pids.max", "pids.max"), "max");
    podrun.remove("c");
}
