//! Bare pods and the containers that join them.

use crate::harness::pods::{self, joining, run_in, sleeper};
use crate::harness::{Case, Test, case, cgroups, eventually, facts, proc, runtime::path_text};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(pod_create_prints_the_uid_and_state_shows_the_pod),
        case!(pod_list_has_its_forms),
        case!(pod_list_keeps_namespaces_apart),
        case!(pod_describe_tells_a_person),
        case!(pod_name_may_carry_its_resource),
        case!(containers_share_net_ipc_and_uts_with_the_pause),
        case!(namespaces_of_the_bundle_mean_the_pods),
        case!(state_lists_the_containers_of_the_pod),
        case!(containers_talk_over_localhost),
        case!(containers_share_dev_shm_and_ipc),
        case!(etc_files_name_the_pod),
        case!(bundle_may_bring_its_own_etc_files),
        case!(hostname_of_the_pod_wins_with_a_warning),
        case!(pid_namespace_is_shared_when_told),
        case!(shared_pid_namespace_is_reaped_by_the_pause),
        case!(network_none_has_loopback_up),
        case!(network_host_is_the_hosts),
        case!(limits_are_on_the_pods_cgroup),
        case!(default_cgroup_parent_is_podrun).exclusive(),
        case!(sysctls_hold_in_the_pod),
        case!(sysctls_that_are_the_hosts_are_refused),
        case!(contradicting_namespace_path_is_refused),
        case!(agreeing_namespace_path_is_accepted),
        case!(pod_kill_signals_every_container),
        case!(pod_delete_needs_force_or_stops_containers),
        case!(pod_delete_of_missing_pod),
        case!(name_can_be_used_again_after_delete),
        case!(duplicate_name_already_exists),
        case!(wrong_names_are_refused),
        case!(unknown_pod_is_not_found),
        case!(container_deletes_leave_the_pod),
        case!(default_directories_are_the_documented_ones).exclusive(),
        case!(many_pods_stand_side_by_side),
        case!(run_joins_a_pod_too),
    ]
}

fn pod_create_prints_the_uid_and_state_shows_the_pod(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.pod_create("shop", &["--volume", "data=emptyDir"]).ok().quietly();
    let uid = out.stdout.trim().to_owned();
    assert_eq!((uid.len(), out.stdout.lines().count()), (36, 1), "{out:?}");
    let state = podrun.pod_state("shop");
    let pid = podrun.pause_pid("shop");
    for (key, want) in [
        ("id", json!(uid)),
        ("name", json!("shop")),
        ("namespace", json!("default")),
        ("kind", json!("bare")),
        ("hostname", json!("shop")),
        ("network", json!("none")),
        ("phase", json!("Pending")),
        ("containers", json!([])),
        ("cgroupPath", json!(format!("{}/pod{uid}", pods::pod_parent()))),
    ] {
        assert_eq!(state[key], want, "{key}: {state}");
    }
    assert!(state["podVersion"].is_string(), "{state}");
    for kind in ["net", "ipc", "uts"] {
        let namespace = &state["namespaces"][kind];
        assert_eq!(namespace["inode"], proc::namespace(pid, kind), "{kind}: {state}");
        assert_eq!(namespace["path"], format!("/proc/{pid}/ns/{kind}"), "{state}");
    }
    assert_eq!(
        (&state["volumes"][0]["name"], &state["volumes"][0]["type"]),
        (&json!("data"), &json!("emptyDir"))
    );
    podrun.remove_pod("shop");
}

fn pod_list_has_its_forms(t: &Test) {
    let podrun = t.podrun();
    let empty = podrun.run(&["pod", "list"]).ok().says(&["No resources found in default namespace."]);
    assert_eq!(empty.stdout, "");
    podrun.pod("a", &[]);
    podrun.pod("b", &[]);
    podrun.up_in("a", &sleeper(t), "c", &[]);
    let table = podrun.run(&["pod", "list"]).ok().stdout;
    let head: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"], "{table}");
    let a: Vec<&str> =
        table.lines().find(|l| l.starts_with("a ")).unwrap_or_default().split_whitespace().collect();
    assert_eq!(a.get(..4), Some(&["a", "1/1", "Running", "0"][..]), "{table}");
    let wide = podrun.run(&["pod", "list", "-o", "wide"]).ok().stdout;
    let head: Vec<&str> = wide.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "PID", "CGROUP"], "{wide}");
    assert!(wide.contains(&podrun.pause_pid("a").to_string()), "{wide}");
    assert_eq!(podrun.run(&["pod", "list", "-o", "name"]).ok().stdout, "pod/a\npod/b\n");
    let list = podrun.run(&["pod", "list", "-o", "json"]).ok().json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")), "{list}");
    assert_eq!(podrun.pod_names(), ["a", "b"]);
    assert_eq!(list["items"][0]["status"]["phase"], "Running", "{list}");
    podrun.run(&["pod", "delete", "--force", "a", "b"]).ok();
    assert_eq!(podrun.ids(), Vec::<String>::new(), "its containers went with the pod");
}

fn pod_list_keeps_namespaces_apart(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("same", &[]);
    podrun.pod("same", &["-n", "other"]);
    assert_eq!(podrun.run(&["pod", "list", "-o", "name"]).ok().stdout, "pod/same\n");
    let all = podrun.run(&["pod", "list", "-A"]).ok().stdout;
    assert!(all.lines().next().is_some_and(|head| head.starts_with("NAMESPACE")), "{all}");
    assert_eq!(all.lines().count(), 3, "{all}");
    let other = podrun.run(&["pod", "state", "-n", "other", "same"]).ok().json();
    assert_ne!(other["id"], podrun.pod_state("same")["id"]);
    podrun.run(&["pod", "delete", "--force", "-n", "other", "same"]).ok();
    assert_eq!(podrun.pod_names(), ["same"]);
    podrun.remove_pod("same");
}

fn pod_describe_tells_a_person(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.pod("shop", &["--volume", "data=emptyDir", "--memory", "64Mi"]);
    podrun.up_in("shop", &sleeper(t), "web", &["--volume", "data:/data"]);
    let text = podrun.run(&["pod", "describe", "shop"]).ok().stdout;
    for word in ["shop", &uid, "web", "data", "emptyDir", "net", "ipc", "uts", &podrun.pid("web").to_string()]
    {
        assert!(text.contains(word), "{word} is missing: {text}");
    }
    podrun.remove_pod("shop");
}

fn pod_name_may_carry_its_resource(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.pod("p", &[]);
    for name in ["p", "pod/p", "pods/p"] {
        assert_eq!(podrun.pod_state(name)["id"], uid, "{name}");
    }
    podrun.up_in("pod/p", &sleeper(t), "c", &[]);
    podrun.remove_pod("pods/p");
}

fn containers_share_net_ipc_and_uts_with_the_pause(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let pause = podrun.pause_pid("p");
    podrun.up_in("p", &sleeper(t), "a", &[]);
    podrun.up_in("p", &sleeper(t), "b", &[]);
    let (a, b) = (podrun.pid("a"), podrun.pid("b"));
    for kind in ["net", "ipc", "uts"] {
        let shared = proc::namespace(pause, kind);
        assert_ne!(shared, proc::namespace("self", kind), "{kind} of the pause is the host's");
        assert_eq!((proc::namespace(a, kind), proc::namespace(b, kind)), (shared, shared), "{kind}");
    }
    for kind in ["mnt", "pid"] {
        let all = [a, b, pause].map(|pid| proc::namespace(pid, kind));
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "{kind}: {all:?}");
        assert!(all[..2].iter().all(|inode| *inode != proc::namespace("self", kind)), "{kind}");
    }
    for pid in [a, b] {
        let inside = proc::status_field(pid, "NSpid").unwrap_or_default();
        assert!(inside.ends_with("\t1"), "each app is PID 1 of its own namespace: {inside}");
    }
    podrun.remove_pod("p");
    assert!(![pause, a, b].iter().any(|pid| proc::lives(*pid)), "delete returns when all is gone");
}

fn namespaces_of_the_bundle_mean_the_pods(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let pause = podrun.pause_pid("p");
    let none = ["network", "ipc", "uts"].iter().fold(joining(t.bundle()), |b, kind| b.namespace(kind, None));
    for bundle in [joining(t.bundle()), none] {
        let facts = run_in(&podrun, "p", &bundle, &[]).ok().json();
        for kind in ["net", "ipc", "uts"] {
            assert_eq!(facts::namespace(&facts, kind), proc::namespace(pause, kind), "{kind}");
        }
        assert_eq!(facts["pid"], 1);
    }
    podrun.remove_pod("p");
}

fn state_lists_the_containers_of_the_pod(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.pod("p", &[]);
    podrun.run(&["create", "--bundle", sleeper(t).text(), "--pod", "p", "waiting"]).ok();
    podrun.up_in("p", &sleeper(t), "running", &[]);
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]), "stranger");
    let state = podrun.pod_state("p");
    assert_eq!(state["phase"], "Running", "{state}");
    let containers = state["containers"].as_array().expect("a list");
    assert_eq!(containers.len(), 2, "{state}");
    let find = |id: &str| containers.iter().find(|c| c["id"] == id).cloned().expect("the container");
    assert_eq!(
        (&find("waiting")["state"], &find("running")["state"]),
        (&json!("Waiting"), &json!("Running"))
    );
    assert_eq!(find("running")["pid"], podrun.pid("running"));
    let want = format!("/pod{uid}/running");
    assert!(find("running")["cgroupPath"].as_str().is_some_and(|path| path.ends_with(&want)), "{state}");
    podrun.remove_pod("p");
    assert_eq!(podrun.ids(), ["stranger"]);
    podrun.remove("stranger");
}

fn containers_talk_over_localhost(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "site=emptyDir"]);
    let script = "echo page from the server > /site/page; exec /bin/probe serve 8080 /site/page";
    podrun.up_in("p", &joining(t.shell(script)), "server", &["--volume", "site:/site"]);
    for host in ["localhost", "127.0.0.1"] {
        let client = joining(t.bundle().args(&["/bin/probe", "get", host, "8080", "10"]));
        assert_eq!(run_in(&podrun, "p", &client, &[]).ok().stdout, "page from the server\n", "{host}");
    }
    podrun.pod("q", &[]);
    let stranger = joining(t.bundle().args(&["/bin/probe", "get", "127.0.0.1", "8080"]));
    run_in(&podrun, "q", &stranger, &[]).exits(1).says(&["ECONNREFUSED"]);
    podrun.run(&["pod", "delete", "--force", "p", "q"]).ok();
}

fn containers_share_dev_shm_and_ipc(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let writer = joining(t.shell("echo through memory > /dev/shm/note; sleep 300"));
    let out = podrun.up_in("p", &writer, "writer", &[]);
    let reader = joining(
        t.shell("until test -s /dev/shm/note; do sleep 0.01; done; cat /dev/shm/note; ls -ld /dev/shm"),
    );
    let seen = run_in(&podrun, "p", &reader, &[]).ok().stdout;
    assert!(seen.starts_with("through memory\ndrwxrwxrwt"), "{seen} {}", out.later());
    let facts = run_in(&podrun, "p", &joining(t.bundle()), &[]).ok().json();
    let shm = facts::mount(&facts, "/dev/shm");
    assert_eq!(shm["fstype"], "tmpfs");
    facts::assert_options(&facts, "/dev/shm", &["nosuid", "nodev", "noexec"]);
    // A bundle that binds something of its own there keeps it.
    let own = t.directory("own-shm");
    std::fs::write(own.join("mine"), "").expect("a file");
    let bundle = joining(t.shell("ls /dev/shm")).edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        mounts.retain(|mount| mount["destination"] != "/dev/shm");
        mounts.push(json!({"destination": "/dev/shm", "type": "bind", "source": own, "options": ["rbind"]}));
    });
    assert_eq!(run_in(&podrun, "p", &bundle, &[]).ok().stdout, "mine\n");
    podrun.remove_pod("p");
}

fn etc_files_name_the_pod(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--hostname", "web-0"]);
    let script =
        "cat /etc/hosts; echo ---; cat /etc/hostname; echo ---; hostname; echo ---; cat /etc/resolv.conf";
    let out = run_in(&podrun, "p", &joining(t.shell(script)), &[]).ok().stdout;
    let parts: Vec<&str> = out.split("---\n").collect();
    let names = |address: &str| -> Vec<String> {
        let lines = parts[0].lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .filter(|words| words.first() == Some(&address))
            .flat_map(|words| words[1..].to_vec())
            .map(str::to_owned)
            .collect()
    };
    assert!(names("127.0.0.1").contains(&"localhost".into()), "{out}");
    assert!(names("::1").contains(&"localhost".into()), "{out}");
    assert!(parts[0].contains("web-0"), "the pod knows its own name: {out}");
    assert_eq!((parts[1], parts[2]), ("web-0\n", "web-0\n"));
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    for line in host.lines().filter(|line| line.starts_with("nameserver")) {
        assert!(parts[3].contains(line), "the host's resolver: {out}");
    }
    podrun.remove_pod("p");
}

fn bundle_may_bring_its_own_etc_files(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let own = path_text(&t.file("hosts", "192.0.2.1 mine\n"));
    let bundle = joining(t.shell("cat /etc/hosts")).mount("bind", &own, "/etc/hosts", &["bind", "ro"]);
    assert_eq!(run_in(&podrun, "p", &bundle, &[]).ok().stdout, "192.0.2.1 mine\n");
    podrun.remove_pod("p");
}

fn hostname_of_the_pod_wins_with_a_warning(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--hostname", "pods-own"]);
    let out = run_in(&podrun, "p", &t.shell("hostname").set("/hostname", json!("bundles")), &[]).ok();
    let out = out.says(&["warning", "bundles", "pods-own"]);
    assert_eq!(out.stdout, "pods-own\n");
    let same = t.shell("hostname").set("/hostname", json!("pods-own"));
    run_in(&podrun, "p", &same, &[]).ok().quietly();
    podrun.remove_pod("p");
}

fn pid_namespace_is_shared_when_told(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    let pause = podrun.pause_pid("p");
    podrun.up_in("p", &sleeper(t), "a", &[]);
    assert_eq!(proc::namespace(podrun.pid("a"), "pid"), proc::namespace(pause, "pid"));
    assert_ne!(proc::namespace(pause, "pid"), proc::namespace("self", "pid"));
    assert_eq!(podrun.pod_state("p")["namespaces"]["pid"]["inode"], proc::namespace(pause, "pid"));
    let facts = run_in(&podrun, "p", &joining(t.bundle()), &[]).ok().json();
    assert_ne!(facts["pid"], 1);
    assert_ne!(facts["init_comm"], "probe", "the pause is PID 1");
    let seen = run_in(&podrun, "p", &joining(t.shell("ps | grep -c 'probe sleep'")), &[]).ok().stdout;
    assert_ne!(seen.trim(), "0", "one container sees the other's processes");
    podrun.remove_pod("p");
}

fn shared_pid_namespace_is_reaped_by_the_pause(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    // The inner shell ends at once; its child falls to PID 1 of the namespace and ends a moment later.
    let script = "sh -c 'sh -c \"sleep 0.05; exit 3\" & exit 0'; echo started; sleep 300";
    let out = podrun.up_in("p", &joining(t.shell(script)), "a", &[]);
    podrun.wait_output(&out, "started");
    let pause = podrun.pause_pid("p");
    eventually("the pause has reaped the orphan", || proc::children(pause).is_empty().then_some(()));
    podrun.remove_pod("p");
}

fn network_none_has_loopback_up(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--network", "none"]);
    let facts = run_in(&podrun, "p", &joining(t.bundle()), &[]).ok().json();
    let up: Vec<&Value> =
        facts["interfaces"].as_array().expect("a list").iter().filter(|i| i["up"] == true).collect();
    assert_eq!(up.len(), 1, "{}", facts["interfaces"]);
    assert_eq!(up[0]["name"], "lo");
    podrun.remove_pod("p");
    for network in ["bridge", "cni", "carrier-pigeon"] {
        let out = podrun.pod_create("p", &["--network", network]);
        if !matches!(out.code(), 1 | 2) || !out.stderr.contains(network) {
            out.fail("an unsupported network is not refused by name");
        }
    }
}

fn network_host_is_the_hosts(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--network", "host"]);
    let facts = run_in(&podrun, "p", &joining(t.bundle()), &[]).ok().json();
    assert!(facts::shares_with_host(&facts, "net"));
    assert!(!facts::shares_with_host(&facts, "ipc"));
    assert!(!facts::shares_with_host(&facts, "uts"));
    assert_eq!(podrun.pod_state("p")["network"], "host");
    podrun.remove_pod("p");
}

fn limits_are_on_the_pods_cgroup(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.pod("p", &["--memory", "64Mi", "--cpus", "0.5", "--pids", "20"]);
    let limited = sleeper(t).set("/linux/resources/memory", json!({"limit": 16 << 20}));
    podrun.up_in("p", &limited, "c", &[]);
    let pid = podrun.pid("c");
    let pod =
        |controller: &str| cgroups::directory_of(pid, controller).parent().expect("the pod's").to_owned();
    assert!(pod("memory").ends_with(format!("pods/pod{uid}")), "{:?}", pod("memory"));
    let read = |controller, v1, v2| {
        cgroups::read_limit(&pod(controller), if cgroups::is_v1(controller) { v1 } else { v2 })
    };
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    assert_eq!(read("pids", "pids.max", "pids.max"), "20");
    if cgroups::is_v1("cpu") {
        let quota: f64 = read("cpu", "cpu.cfs_quota_us", "").parse().expect("a number");
        let period: f64 = read("cpu", "cpu.cfs_period_us", "").parse().expect("a number");
        assert!((quota / period - 0.5).abs() < 0.001);
    } else {
        assert_eq!(read("cpu", "", "cpu.max"), "50000 100000");
    }
    assert_eq!(cgroups::limit(pid, "memory", "memory.limit_in_bytes", "memory.max"), (16 << 20).to_string());
    let pause = cgroups::directory_of(podrun.pause_pid("p"), "memory");
    assert_eq!(pause, pod("memory").join("_pause"));
    let answer =
        run_in(&podrun, "p", &joining(t.bundle().args(&["/bin/probe", "fork", "50"])), &[]).ok().json();
    assert!(
        answer["made"].as_u64().is_some_and(|made| made < 20),
        "the pod's limit holds its containers: {answer}"
    );
    podrun.remove_pod("p");
    podrun.pod_create("p", &["--memory", "0"]).says(&["memory"]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn default_cgroup_parent_is_podrun(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.run(&["pod", "create", "p"]).ok().stdout.trim().to_owned();
    assert_eq!(podrun.pod_state("p")["cgroupPath"], format!("/podrun/pod{uid}"));
    let directory = cgroups::directory_of(podrun.pause_pid("p"), "pids");
    assert!(directory.ends_with(format!("podrun/pod{uid}/_pause")), "{directory:?}");
    podrun.remove_pod("p");
    assert!(!directory.exists());
}

fn sysctls_hold_in_the_pod(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=4096"]);
    let bundle = t.bundle().args(&[
        "/bin/probe",
        "facts",
        "--sysctl",
        "net.ipv4.ip_forward",
        "--sysctl",
        "kernel.msgmax",
    ]);
    let facts = run_in(&podrun, "p", &joining(bundle), &[]).ok().json();
    assert_eq!(facts["sysctls"], json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}));
    podrun.remove_pod("p");
}

fn sysctls_that_are_the_hosts_are_refused(t: &Test) {
    let podrun = t.podrun();
    for (sysctl, network) in
        [("vm.swappiness=1", "none"), ("net.ipv4.ip_forward=1", "host"), ("kernel.hostname=x", "none")]
    {
        let out = podrun.pod_create("p", &["--network", network, "--sysctl", sysctl]);
        let name = sysctl.split('=').next().unwrap_or_default();
        if !matches!(out.code(), 1 | 2) || !out.stderr.contains(name) {
            out.fail(&format!("{sysctl} is not refused by name"));
        }
    }
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn contradicting_namespace_path_is_refused(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        let path = format!("/proc/{}/ns/{file}", std::process::id());
        let bundle = sleeper(t).namespace(kind, Some(&path));
        let out = podrun.run(&["create", "--bundle", bundle.text(), "--pod", "p", "c"]);
        out.refused(&[&path, "p\""]);
        assert_eq!(podrun.status("c"), None);
    }
    podrun.remove_pod("p");
    podrun.pod("shared", &["--share-pid"]);
    let path = format!("/proc/{}/ns/pid", std::process::id());
    let bundle = sleeper(t).namespace("pid", Some(&path));
    podrun.run(&["create", "--bundle", bundle.text(), "--pod", "shared", "c"]).refused(&[&path]);
    podrun.remove_pod("shared");
}

fn agreeing_namespace_path_is_accepted(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let pause = podrun.pause_pid("p");
    let bundle = joining(t.bundle()).namespace("network", Some(&format!("/proc/{pause}/ns/net")));
    let facts = run_in(&podrun, "p", &bundle, &[]).ok().json();
    assert_eq!(facts::namespace(&facts, "net"), proc::namespace(pause, "net"));
    podrun.remove_pod("p");
}

fn pod_kill_signals_every_container(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let script = "trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.01; done";
    let outs = ["a", "b"].map(|id| podrun.up_in("p", &joining(t.shell(script)), id, &[]));
    for out in &outs {
        podrun.wait_output(out, "ready");
    }
    podrun.run(&["pod", "kill", "p", "USR1"]).ok().quietly();
    for out in &outs {
        podrun.wait_output(out, "got USR1");
    }
    podrun.run(&["pod", "kill", "p", "SIGKILL"]).ok();
    for id in ["a", "b"] {
        podrun.wait_status(id, "stopped");
    }
    assert!(proc::lives(podrun.pause_pid("p")), "the pause is no container");
    podrun.run(&["pod", "kill", "p", "NOSUCH"]).says(&["NOSUCH"]);
    podrun.remove_pod("p");
}

fn pod_delete_needs_force_or_stops_containers(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let out = podrun.up_in("p", &joining(t.shell(script)), "c", &[]);
    podrun.wait_output(&out, "ready");
    let pid = podrun.pid("c");
    // Stops within its grace period, then removes everything.
    podrun.run(&["pod", "delete", "p", "--grace-period", "10"]).ok();
    assert!(!proc::lives(pid));
    assert_eq!((podrun.ids(), podrun.pod_names()), (vec![], vec![]));
}

fn pod_delete_of_missing_pod(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["pod", "delete", "ghost"]).refused(&["pods \"ghost\" not found"]);
    podrun.run(&["pod", "delete", "--force", "ghost"]).ok();
    podrun.pod("real", &[]);
    podrun.run(&["pod", "delete", "ghost", "real"]).exits(1).says(&["pods \"ghost\" not found"]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new(), "the one that is there goes all the same");
}

fn name_can_be_used_again_after_delete(t: &Test) {
    let podrun = t.podrun();
    let mut uids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        uids.insert(podrun.pod("same", &["--volume", "d=emptyDir"]));
        podrun.up_in("same", &sleeper(t), "c", &["--volume", "d:/d"]);
        podrun.remove_pod("same");
    }
    assert_eq!(uids.len(), 3, "every pod has a uid of its own");
}

fn duplicate_name_already_exists(t: &Test) {
    let podrun = t.podrun();
    let uid = podrun.pod("p", &[]);
    podrun.pod_create("p", &[]).refused(&["already exists", "p"]);
    assert_eq!(podrun.pod_state("p")["id"], uid);
    podrun.remove_pod("p");
}

fn wrong_names_are_refused(t: &Test) {
    let podrun = t.podrun();
    let long = "x".repeat(254);
    for name in ["", "Upper", "under_score", "-dash", "dot.", "a/b", "..", &long] {
        let out = podrun.pod_create(name, &[]);
        if !matches!(out.code(), 1 | 2) || out.stderr.is_empty() {
            out.fail(&format!("name {name:?} is not refused"));
        }
    }
    podrun.pod_create("p", &["--hostname", "not a hostname"]).says(&["hostname"]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn unknown_pod_is_not_found(t: &Test) {
    let podrun = t.podrun();
    for command in ["state", "describe", "kill"] {
        podrun.run(&["pod", command, "ghost"]).refused(&["pods \"ghost\" not found"]);
    }
}

fn container_deletes_leave_the_pod(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "d=emptyDir"]);
    for _ in 0..3 {
        podrun.up_in("p", &sleeper(t), "c", &["--volume", "d:/d"]);
        podrun.remove("c");
        assert!(proc::lives(podrun.pause_pid("p")));
        assert_eq!(podrun.pod_state("p")["containers"], json!([]));
    }
    podrun.run(&["pod", "delete", "p"]).ok().quietly();
}

fn default_directories_are_the_documented_ones(t: &Test) {
    let podrun = t.podrun().only_globals(&[]);
    let parent = pods::pod_parent();
    // In a mount namespace whose /run and /var/lib are empty, so that nothing of the host's is in the way.
    let script = format!(
        "set -e; for d in /run /var/lib; do mount -t tmpfs t $d; done; \"$@\" pod create p --cgroup-parent {parent} \
         --volume d=emptyDir >/dev/null; find /run /var/lib -mindepth 1 -maxdepth 1 ! -path /run/mount; \
         \"$@\" pod delete --force p >/dev/null; find /run/podrun /var/lib/podrun ! -type d ! -path '*/lib/*'"
    );
    let out = podrun
        .cmd(&[])
        .under(["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"])
        .run()
        .ok();
    let mut lines: Vec<&str> = out.stdout.lines().filter(|line| !line.ends_with("/.boot")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/run/podrun", "/var/lib/podrun"], "{out:?}");
}

fn many_pods_stand_side_by_side(t: &Test) {
    let podrun = t.podrun();
    let names: Vec<String> = (0..10).map(|number| format!("p{number}")).collect();
    for name in &names {
        podrun.pod(name, &[]);
    }
    let spaces: std::collections::BTreeSet<u64> =
        names.iter().map(|name| proc::namespace(podrun.pause_pid(name), "net")).collect();
    assert_eq!(spaces.len(), 10);
    let mut words = vec!["pod", "delete", "--force"];
    words.extend(names.iter().map(String::as_str));
    podrun.run(&words).ok();
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn run_joins_a_pod_too(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    run_in(&podrun, "p", &joining(t.bundle().args(&["/bin/probe", "exit", "7"])), &[]).exits(7);
    let bundle = sleeper(t);
    podrun.run(&["run", "-d", "--pod", "p", "--bundle", bundle.text(), "c"]).ok();
    assert_eq!(proc::namespace(podrun.pid("c"), "net"), proc::namespace(podrun.pause_pid("p"), "net"));
    podrun.remove_pod("p");
}
