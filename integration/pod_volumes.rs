//! Volumes of bare pods: emptyDir on disk and in memory, hostPath of every type.

use crate::harness::manifests::shell_pod;
use crate::harness::pods::{joining, run_in, sleeper};
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Test, case, facts, proc, runtime::path_text};
use serde_json::json;
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(empty_dir_is_one_directory_in_both),
        case!(empty_dir_in_memory_is_a_tmpfs_with_its_limit),
        case!(volume_may_be_read_only),
        case!(empty_dir_limit_on_disk_is_refused),
        case!(host_path_types_are_checked),
        case!(host_path_or_create_creates),
        case!(host_path_block_device),
        case!(volumes_are_private_to_their_mounts),
        case!(programs_in_volumes_are_out_of_other_users_reach),
        case!(directory_over_a_file_is_told_in_words),
        case!(unknown_volume_is_refused_before_anything_is_made),
    ]
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

fn programs_in_volumes_are_out_of_other_users_reach(t: &Test) {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let podrun = t.podrun_with_busybox();
    let mode = |path: &Path| std::fs::metadata(path).expect("its mode").permissions().mode() & 0o7777;
    // The roots are the user's, who lets others pass; what is below them may be an older podrun's.
    let (root, data) = (podrun.root(), podrun.data_root());
    let below = [root.join("pods"), root.join("containers"), data.join("pods")];
    below.iter().for_each(|path| std::fs::create_dir_all(path).expect("a directory"));
    for (paths, wide) in [(&[root.clone(), data.clone()][..], 0o755), (&below[..], 0o711)] {
        for path in paths {
            std::fs::set_permissions(path, PermissionsExt::from_mode(wide)).expect("to change a mode");
        }
    }
    let script = "for d in /disk /fast /dev/shm; do cp /bin/busybox $d/sh && chmod 4755 $d/sh && chmod 777 $d; done; \
                  cat /etc/hosts; echo done; sleep 300";
    let volumes = ["--volume", "disk=emptyDir", "--volume", "fast=emptyDir,medium=Memory"];
    let uid = podrun.pod("p", &volumes);
    let writer = podrun.up_in(
        "p",
        &joining(t.shell(script)),
        "a",
        &["--volume", "disk:/disk", "--volume", "fast:/fast"],
    );
    podrun.wait_output(&writer, "done");
    let mut manifest = shell_pod("m", "Never", &[("c", &script.replace("/dev/shm", "/tmp"))]);
    manifest["spec"]["volumes"] =
        json!([{"name": "disk", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory"}}]);
    manifest["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "disk", "mountPath": "/disk"}, {"name": "fast", "mountPath": "/fast"}]);
    let pod = Supervised::run(&podrun, "m", &t.manifest(&manifest));
    crate::harness::eventually("the programs", || podrun.logs("m", "c").contains("done").then_some(()));
    let mut programs = vec![root.join("pods").join(&uid).join("shm/sh")];
    for uid in [&uid, pod.uid.as_str()] {
        programs.push(root.join("pods").join(uid).join("volumes/fast/sh"));
        programs.push(data.join("pods").join(uid).join("volumes/empty-dir/disk/sh"));
    }
    for program in programs {
        assert_eq!(mode(&program), 0o4755, "{program:?}");
        let as_nobody =
            std::process::Command::new(&program).args(["-c", "id"]).uid(65534).gid(65534).output();
        let error = as_nobody.expect_err("a program of root's that anybody may run");
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{program:?}");
    }
    assert_eq!([mode(&root), mode(&data)], [0o755; 2], "the user's choice");
    let ours = ["images", "layers", "logs", "lib"].map(|name| data.join(name));
    for path in below.iter().chain(&ours) {
        assert_eq!(mode(path), 0o700, "{path:?}");
    }
    // Whoever a container runs as has what is bound into it all the same.
    let reader = joining(t.shell(
        "cat /etc/hosts /etc/resolv.conf > /dev/null && touch /disk/x /fast/x /dev/shm/x && echo fine",
    ));
    let reader = reader.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let out = run_in(&podrun, "p", &reader, &["--volume", "disk:/disk", "--volume", "fast:/fast"]).ok();
    assert_eq!(out.stdout, "fine\n");
    pod.delete();
    podrun.remove_pod("p");
}

fn directory_over_a_file_is_told_in_words(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = path_text(&t.file("file", "x"));
    podrun.pod("p", &["--volume", "d=emptyDir", "--volume", &format!("f=hostPath:{file}")]);
    for (volume, words) in [
        ("d:/etc/passwd", "the source is a directory, and the destination is none"),
        ("f:/bin", "the source is no directory, and the destination is one"),
    ] {
        run_in(&podrun, "p", &joining(t.shell("true")), &["--volume", volume]).refused(&[words]);
    }
    podrun.remove_pod("p");
    let mut manifest = shell_pod("m", "Never", &[("c", "true")]);
    manifest["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    manifest["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/etc/passwd"}]);
    podrun.run(&["pod", "run", "-d", "-f", &t.manifest(&manifest)]).refused(&[
        "cannot create container \"c\"",
        "cannot mount volume \"data\" at \"/etc/passwd\": the source is a directory",
    ]);
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
