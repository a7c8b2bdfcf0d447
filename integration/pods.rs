//! Bare pods and the containers that join them.

use crate::harness::{
    Bundle, Case, Runtime, Test, case, cgroups, eventually, facts, pods, proc, runtime::path_text,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
        case!(empty_dir_is_one_directory_in_both),
        case!(empty_dir_in_memory_is_a_tmpfs_with_its_limit),
        case!(volume_may_be_read_only),
        case!(empty_dir_limit_on_disk_is_refused),
        case!(host_path_types_are_checked),
        case!(host_path_or_create_creates),
        case!(host_path_block_device),
        case!(volumes_are_private_to_their_mounts),
        case!(unknown_volume_is_refused_before_anything_is_made),
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
        case!(pause_is_healed_from_a_live_container),
        case!(pause_is_healed_by_any_command),
        case!(pod_without_pause_and_containers_has_failed_and_can_be_deleted),
        case!(shared_pid_pod_whose_pause_was_killed_has_failed),
        case!(pause_is_small_and_shared).exclusive(),
        case!(pause_has_no_privileges_and_is_not_dumpable),
        case!(pause_holds_no_descriptor_of_the_caller),
        case!(pause_survives_signals_from_its_own_namespace),
        case!(container_deletes_leave_the_pod),
        case!(half_written_pod_record_can_be_deleted).exclusive(),
        case!(default_directories_are_the_documented_ones).exclusive(),
        case!(many_pods_stand_side_by_side),
        case!(run_joins_a_pod_too),
    ]
}

/// A bundle without a hostname of its own, which would differ from the pod's.
#[track_caller]
fn joining(bundle: Bundle) -> Bundle {
    bundle.edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    })
}

#[track_caller]
fn sleeper(t: &Test) -> Bundle {
    joining(t.bundle().args(&["/bin/probe", "sleep", "300"]))
}

#[track_caller]
fn run_in(podrun: &Runtime, pod: &str, bundle: &Bundle, words: &[&str]) -> crate::harness::Outcome {
    let mut all = vec!["run", "--pod", pod, "--bundle", bundle.text()];
    all.extend(words);
    all.push("one-shot");
    podrun.run(&all)
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

fn empty_dir_is_one_directory_in_both(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "data=emptyDir"]);
    let state = podrun.pod_state("p");
    let host = state["volumes"][0]["path"].as_str().expect("a path").to_owned();
    assert!(host.starts_with(&path_text(&podrun.data_root())), "{host}");
    let writer = joining(t.shell("id -u > /data/from-a; stat -c %i /data; sleep 300"));
    let writer = writer.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let out = podrun.up_in("p", &writer, "a", &["--volume", "data:/data"]);
    podrun.wait_output(&out, "\n");
    let reader = joining(t.shell("cat /elsewhere/from-a; stat -c %i /elsewhere"));
    let seen = run_in(&podrun, "p", &reader, &["--volume", "data:/elsewhere"]).ok().stdout;
    assert_eq!(seen, format!("1000\n{}", out.later()), "any user may write, and it is the same inode");
    podrun.remove_pod("p");
    assert!(!std::path::Path::new(&host).exists(), "gone with the pod");
}

fn empty_dir_in_memory_is_a_tmpfs_with_its_limit(t: &Test) {
    let podrun = t.podrun();
    podrun.pod(
        "p",
        &["--volume", "fast=emptyDir,medium=Memory,sizeLimit=1Mi", "--volume", "free=emptyDir,medium=Memory"],
    );
    let volumes = ["--volume", "fast:/fast", "--volume", "free:/free"];
    let facts = run_in(&podrun, "p", &joining(t.bundle()), &volumes).ok().json();
    assert_eq!(facts::mount(&facts, "/fast")["fstype"], "tmpfs");
    assert_eq!(facts::mount(&facts, "/free")["fstype"], "tmpfs");
    let options = facts::strings(&facts::mount(&facts, "/fast")["super_options"]);
    assert!(options.iter().any(|o| o == "size=1024k"), "{options:?}");
    let fill = "dd if=/dev/zero of=/fast/big bs=64k count=32 2>&1; ls -l /fast/big";
    let out = run_in(&podrun, "p", &joining(t.shell(fill)), &volumes).ok().stdout;
    assert!(out.contains("No space left") && out.contains("1048576"), "{out}");
    let later = run_in(&podrun, "p", &joining(t.shell("ls -l /fast/big")), &volumes).ok().stdout;
    assert!(later.contains("1048576"), "the volume outlives a container: {later}");
    podrun.remove_pod("p");
}

fn volume_may_be_read_only(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "data=emptyDir"]);
    let bundle = joining(t.bundle().args(&["/bin/probe", "facts", "--path", "/a", "--path", "/b"]));
    let out = run_in(&podrun, "p", &bundle, &["--volume", "data:/a:ro", "--volume", "data:/b"]).ok();
    let facts = out.json();
    assert_eq!(
        (&facts["paths"]["/a"]["write"], &facts["paths"]["/b"]["write"]),
        (&json!("EROFS"), &json!("ok"))
    );
    podrun.remove_pod("p");
}

fn empty_dir_limit_on_disk_is_refused(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.pod_create("p", &["--volume", "data=emptyDir,sizeLimit=1Mi"]);
    out.refused(&["data", "sizeLimit", "medium=Memory"]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
}

fn host_path_types_are_checked(t: &Test) {
    let podrun = t.podrun();
    let directory = path_text(&t.directory("directory"));
    let file = path_text(&t.file("file", "x"));
    let socket = path_text(&t.path("socket"));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let missing = path_text(&t.path("missing"));
    for (path, kind, good) in [
        (&directory, "", true),
        (&file, "", true),
        (&missing, "", false),
        (&directory, "Directory", true),
        (&file, "Directory", false),
        (&missing, "Directory", false),
        (&directory, "DirectoryOrCreate", true),
        (&file, "DirectoryOrCreate", false),
        (&file, "File", true),
        (&directory, "File", false),
        (&missing, "File", false),
        (&file, "FileOrCreate", true),
        (&directory, "FileOrCreate", false),
        (&socket, "Socket", true),
        (&file, "Socket", false),
        (&"/dev/null".to_owned(), "CharDevice", true),
        (&file, "CharDevice", false),
        (&"/dev/null".to_owned(), "BlockDevice", false),
        (&file, "Nonsense", false),
    ] {
        let volume = if kind.is_empty() {
            format!("v=hostPath:{path}")
        } else {
            format!("v=hostPath:{path},type={kind}")
        };
        let out = podrun.pod_create("p", &["--volume", &volume]);
        if good {
            out.ok();
            let seen = run_in(&podrun, "p", &joining(t.shell("ls -ld /v")), &["--volume", "v:/v"]).ok();
            assert!(seen.stdout.contains("/v"), "{volume}");
            podrun.remove_pod("p");
        } else {
            // A kind that no path can have is wrong usage; the rest is wrong input.
            let code = if kind == "Nonsense" { 2 } else { 1 };
            out.exits(code).says(&["v", if kind == "Nonsense" { kind } else { path }]);
        }
    }
    assert!(!t.path("missing").exists());
}

fn host_path_or_create_creates(t: &Test) {
    let podrun = t.podrun();
    let (directory, file) = (t.path("new/deep/directory"), t.path("new/file"));
    std::fs::create_dir(t.path("new")).expect("a directory");
    let first = format!("d=hostPath:{},type=DirectoryOrCreate", directory.display());
    let second = format!("f=hostPath:{},type=FileOrCreate", file.display());
    podrun.pod("p", &["--volume", &first, "--volume", &second]);
    let script = "echo kept > /d/note; echo kept > /f";
    run_in(&podrun, "p", &joining(t.shell(script)), &["--volume", "d:/d", "--volume", "f:/f"]).ok();
    podrun.remove_pod("p");
    for path in [directory.join("note"), file] {
        assert_eq!(std::fs::read_to_string(&path).expect("it stays"), "kept\n", "{path:?} is the host's");
    }
}

fn host_path_block_device(t: &Test) {
    let podrun = t.podrun();
    let node = t.path("block");
    let mode = nix::sys::stat::Mode::S_IRUSR;
    let number = nix::sys::stat::makedev(7, 200);
    if nix::sys::stat::mknod(&node, nix::sys::stat::SFlag::S_IFBLK, mode, number).is_err() {
        crate::harness::skip("block devices cannot be made here");
    }
    podrun.pod("p", &["--volume", &format!("b=hostPath:{},type=BlockDevice", node.display())]);
    let seen = run_in(&podrun, "p", &joining(t.shell("ls -l /b")), &["--volume", "b:/b"]).ok().stdout;
    assert!(seen.starts_with('b'), "{seen}");
    podrun.remove_pod("p");
}

fn volumes_are_private_to_their_mounts(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "data=emptyDir,medium=Memory"]);
    podrun.up_in("p", &sleeper(t), "a", &["--volume", "data:/data"]);
    let of_container = proc::mounts(podrun.pid("a"));
    let inside = of_container.iter().find(|mount| mount.point == "/data").expect("the volume");
    assert!(inside.propagation.iter().all(|p| !p.starts_with("shared")), "{inside:?}");
    for mount in proc::mounts("self").iter().filter(|mount| mount.concerns(t.place())) {
        assert!(mount.propagation.is_empty(), "a mount of the pod is shared on the host: {mount:?}");
    }
    podrun.remove_pod("p");
}

fn unknown_volume_is_refused_before_anything_is_made(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "data=emptyDir"]);
    let bundle = sleeper(t);
    for (word, words) in [
        ("ghost:/x", &["ghost", "data"][..]),
        ("data", &["data"]),
        ("data:x", &["x"]),
        ("data:/x:no", &["no"]),
    ] {
        let out = podrun.run(&["create", "--bundle", bundle.text(), "--pod", "p", "--volume", word, "c"]);
        out.refused(words);
        assert_eq!(podrun.status("c"), None);
    }
    podrun.remove_pod("p");
    for spec in [
        "data",
        "data=",
        "data=magic",
        "=emptyDir",
        "Data=emptyDir",
        "d=emptyDir,colour=blue",
        "d=hostPath:relative",
    ] {
        let out = podrun.pod_create("q", &["--volume", spec]);
        if !matches!(out.code(), 1 | 2) || out.stderr.is_empty() {
            out.fail(&format!("{spec} is not refused"));
        }
    }
    let twice = podrun.pod_create("q", &["--volume", "d=emptyDir", "--volume", "d=emptyDir"]);
    twice.refused(&["\"d\""]);
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
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

/// Kills the pause from outside, as somebody who cleans up too eagerly would.
#[track_caller]
fn kill_pause(podrun: &Runtime, pod: &str) -> i32 {
    let pid = podrun.pause_pid(pod);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("to kill the pause");
    eventually("the pause is dead", || (!proc::lives(pid)).then_some(()));
    pid
}

fn pause_is_healed_from_a_live_container(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
    let net = proc::namespace(podrun.pause_pid("p"), "net");
    podrun.up_in("p", &sleeper(t), "a", &["--volume", "d:/d"]);
    let old = kill_pause(&podrun, "p");
    podrun.up_in("p", &sleeper(t), "b", &["--volume", "d:/d"]);
    let new = podrun.pause_pid("p");
    assert!(new != old && proc::lives(new));
    for pid in [new, podrun.pid("a"), podrun.pid("b")] {
        assert_eq!(proc::namespace(pid, "net"), net, "the apps did not notice");
    }
    assert_eq!(podrun.pod_state("p")["phase"], "Running");
    podrun.remove_pod("p");
}

fn pause_is_healed_by_any_command(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    podrun.up_in("p", &sleeper(t), "a", &[]);
    for words in [&["pod", "state", "p"][..], &["pod", "describe", "p"], &["pod", "list"]] {
        let old = kill_pause(&podrun, "p");
        podrun.run(words).ok();
        let new = podrun.pause_pid("p");
        assert!(new != old && proc::lives(new), "{words:?}");
        assert_eq!(proc::namespace(new, "ipc"), proc::namespace(podrun.pid("a"), "ipc"));
    }
    podrun.remove_pod("p");
}

fn pod_without_pause_and_containers_has_failed_and_can_be_deleted(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--volume", "d=emptyDir,medium=Memory"]);
    podrun.up_in(
        "p",
        &joining(t.bundle().args(&["/bin/probe", "exit", "0"])),
        "ended",
        &["--volume", "d:/d"],
    );
    podrun.wait_status("ended", "stopped");
    kill_pause(&podrun, "p");
    assert_eq!(podrun.pod_state("p")["phase"], "Failed");
    let out = podrun.run(&["create", "--bundle", sleeper(t).text(), "--pod", "p", "c"]);
    out.refused(&["\"p\""]);
    podrun.run(&["pod", "delete", "p"]).ok();
    assert_eq!((podrun.ids(), podrun.pod_names()), (vec![], vec![]));
}

fn shared_pid_pod_whose_pause_was_killed_has_failed(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    podrun.up_in("p", &sleeper(t), "a", &[]);
    let pid = podrun.pid("a");
    kill_pause(&podrun, "p");
    eventually("the kernel ends all processes of the namespace", || (!proc::lives(pid)).then_some(()));
    assert_eq!(podrun.pod_state("p")["phase"], "Failed");
    podrun.remove_pod("p");
}

fn pause_is_small_and_shared(t: &Test) {
    let podrun = t.podrun();
    for number in 0..5 {
        podrun.pod(&format!("p{number}"), &[]);
    }
    let sizes: Vec<u64> =
        (0..5).filter_map(|number| proc::pss_kib(podrun.pause_pid(&format!("p{number}")))).collect();
    assert_eq!(sizes.len(), 5);
    assert!(sizes.iter().all(|kib| *kib < 100), "PSS in KiB: {sizes:?}");
    podrun.run(&["pod", "delete", "--force", "p0", "p1", "p2", "p3", "p4"]).ok();
}

fn pause_has_no_privileges_and_is_not_dumpable(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &[]);
    let pid = podrun.pause_pid("p");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        let bits = proc::status_field(pid, set).unwrap_or_default();
        // CAP_KILL or CAP_SYS_PTRACE would be of no use to it either.
        assert_eq!(u64::from_str_radix(&bits, 16), Ok(0), "{set}");
    }
    assert_eq!(proc::status_field(pid, "NoNewPrivs").as_deref(), Some("1"));
    podrun.remove_pod("p");
}

fn pause_holds_no_descriptor_of_the_caller(t: &Test) {
    let podrun = t.podrun();
    let parent = pods::pod_parent();
    let cmd = podrun.cmd(&["pod", "create", "p", "--cgroup-parent", &parent]);
    // `cat` sees the end of the pipe only when the pause does not hold it; the leak of fd 7 would keep the file busy.
    let script = "exec 7</etc/passwd; \"$@\" | cat";
    cmd.under(["sh", "-c", script, "sh"]).run().ok();
    let pid = podrun.pause_pid("p");
    let targets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its descriptors")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|target| path_text(&target))
        .collect();
    assert!(targets.iter().all(|target| target == "/dev/null"), "{targets:?}");
    podrun.remove_pod("p");
}

fn pause_survives_signals_from_its_own_namespace(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("p", &["--share-pid"]);
    let caps = json!(["CAP_KILL"]);
    let bundle = joining(
        t.shell("for s in KILL HUP USR1 QUIT PIPE SEGV; do kill -$s 1; done; sleep 0.05; echo survived"),
    );
    let bundle =
        bundle.set("/process/capabilities", json!({"bounding": caps, "effective": caps, "permitted": caps}));
    let pid = podrun.pause_pid("p");
    let out = run_in(&podrun, "p", &bundle, &[]).ok();
    assert_eq!(out.stdout, "survived\n");
    assert_eq!(podrun.pause_pid("p"), pid);
    podrun.remove_pod("p");
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

fn half_written_pod_record_can_be_deleted(t: &Test) {
    let podrun = t.podrun();
    // In the usual place, which can be known without the record.
    let uid = podrun
        .run(&["pod", "create", "p", "--volume", "d=emptyDir,medium=Memory"])
        .ok()
        .stdout
        .trim()
        .to_owned();
    podrun.up_in("p", &sleeper(t), "c", &["--volume", "d:/d"]);
    let record = podrun.root().join("pods").join(&uid).join("pod.json");
    let text = std::fs::read(&record).expect("the record");
    for cut in [text.len() / 2, 0] {
        std::fs::write(&record, &text[..cut]).expect("to cut it");
        let out = podrun.run(&["pod", "state", "p"]);
        assert!(out.code() <= 1, "{out:?}");
        podrun.run(&["pod", "list"]).ok();
    }
    podrun.remove_pod("p");
    assert_eq!((podrun.pod_names(), podrun.ids()), (vec![], vec![]));
}

fn default_directories_are_the_documented_ones(t: &Test) {
    let podrun = t.podrun().only_globals(&[]);
    let parent = pods::pod_parent();
    // In a mount namespace whose /run and /var/lib are empty, so that nothing of the host's is in the way.
    let script = format!(
        "set -e; for d in /run /var/lib; do mount -t tmpfs t $d; done; \"$@\" pod create p --cgroup-parent {parent} \
         --volume d=emptyDir >/dev/null; find /run /var/lib -mindepth 1 -maxdepth 1 ! -path /run/mount; \"$@\" pod delete --force p; \
         find /run/podrun /var/lib/podrun ! -type d ! -path '*/lib/*'"
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
