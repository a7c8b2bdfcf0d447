//! Attacks from within a container, and by its image or its configuration: the host stays as it was.

use crate::harness::{Bundle, Case, Runtime, Test, case, eventually, facts, note, proc, runtime::path_text};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub fn cases() -> Vec<Case> {
    vec![
        case!(hostile_container_cannot_overwrite_podrun_by_exec),
        case!(hostile_container_cannot_keep_podrun_from_running),
        case!(entrypoint_proc_self_exe_cannot_overwrite_podrun),
        case!(interpreter_proc_self_exe_cannot_overwrite_podrun),
        case!(podrun_in_a_shared_pid_namespace_cannot_be_overwritten),
        case!(read_only_binary_needs_no_copy_and_stays),
        case!(created_init_holds_nothing_of_the_host),
        case!(working_directory_by_descriptor_is_refused),
        case!(exec_working_directory_by_descriptor_is_refused),
        case!(preserved_directory_is_no_way_out_for_the_working_directory),
        case!(image_with_links_for_mount_points),
        case!(image_with_links_for_devices),
        case!(image_with_a_link_for_etc_in_a_pod),
        case!(masked_path_that_is_a_link),
        case!(bind_target_that_is_swapped_for_a_link),
        case!(mounts_and_masks_cannot_be_lifted_from_inside),
        case!(device_nodes_of_the_host_cannot_be_opened),
        case!(volume_path_that_leaves_the_root),
        case!(proc_mount_inside_proc_is_refused),
        case!(config_rewritten_after_create_has_no_effect),
    ]
}

/// podrun's binary as a copy of the test's own, on a writable mount: what an attack would spoil.
struct Victim {
    podrun: Runtime,
    path: PathBuf,
    content: Vec<u8>,
    /// How often the host could not execute it.
    busy: std::cell::Cell<usize>,
}

impl Victim {
    #[track_caller]
    fn new(t: &Test) -> Self {
        let path = t.directory("bin").join("podrun");
        std::fs::copy(t.podrun().binary(), &path).expect("a copy of podrun");
        let content = std::fs::read(&path).expect("its content");
        Self { podrun: t.podrun().with_binary(&path), path, content, busy: std::cell::Cell::new(0) }
    }

    /// Runs it, whatever comes of it; env(1) says when the kernel calls it busy.
    #[track_caller]
    fn run(&self, words: &[&str]) {
        let out = self.podrun.cmd(words).under(["env"]).run();
        self.busy
            .set(self.busy.get() + usize::from(out.code() == 126 && out.stderr.contains("Text file busy")));
    }

    #[track_caller]
    fn is_unharmed(&self) {
        let now = std::fs::read(&self.path).expect("its content");
        assert!(now == self.content, "podrun's binary on the host was changed");
        self.podrun.run(&["--version"]).ok();
    }
}

/// All that a privileged container gets, but what this machine's root has not got itself.
#[track_caller]
fn privileged(bundle: Bundle) -> Bundle {
    let names = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "KILL",
        "SETUID",
        "SETGID",
        "SYS_ADMIN",
        "SYS_PTRACE",
    ];
    let all: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
    bundle
        .set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}))
        .set("/process/noNewPrivileges", json!(false))
        .set("/linux/maskedPaths", json!([]))
        .set("/linux/readonlyPaths", json!([]))
}

/// The answer of `probe overwrite-exe`: how many foreign executables were attacked; none may have been overwritten.
#[track_caller]
fn attacked(text: &str) -> usize {
    let answer: Value =
        serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("no answer of the probe: {text}"));
    assert_eq!(answer["overwritten"], false, "{answer}");
    for one in answer["seen"].as_array().expect("a list") {
        assert_ne!(one["write"], "ok", "{answer}");
        assert_ne!(one["unlock"], "ok", "the read-only flag could be taken off: {answer}");
        assert_ne!(one["remount"], "ok", "the read-only flag could be taken off: {answer}");
    }
    answer["seen"].as_array().map_or(0, Vec::len)
}

fn hostile_container_cannot_overwrite_podrun_by_exec(t: &Test) {
    let victim = Victim::new(t);
    let podrun = &victim.podrun;
    let attacker = podrun.up(&privileged(t.bundle().args(&["/bin/probe", "overwrite-exe", "3"])), "c");
    // Every exec shows podrun's process in the attacker's /proc for a moment.
    eventually("the attacker has done its work", || {
        for _ in 0..10 {
            victim.run(&["exec", "c", "/bin/probe", "exit", "0"]);
        }
        attacker.later().contains("overwritten").then_some(())
    });
    let seen = attacked(&attacker.later());
    note(&format!("attacked {seen} executables"));
    assert!(seen > 0, "the attack never saw podrun: it proves nothing");
    podrun.remove("c");
    victim.is_unharmed();
}

fn hostile_container_cannot_keep_podrun_from_running(t: &Test) {
    let victim = Victim::new(t);
    // Opening for writing fails, but while the kernel tries, the file must not count as being written (ETXTBSY).
    let attacker = victim.podrun.up(&privileged(t.bundle().args(&["/bin/probe", "overwrite-exe", "3"])), "c");
    eventually("the attacker has done its work", || {
        victim.run(&["exec", "c", "/bin/probe", "exit", "0"]);
        attacker.later().contains("overwritten").then_some(())
    });
    victim.podrun.remove("c");
    assert_eq!(victim.busy.get(), 0, "podrun could not be executed on the host while it was attacked");
}

/// Runs `bundle` over and over in a pod with one PID namespace while a neighbour attacks every executable it sees.
#[track_caller]
fn under_attack(t: &Test, victim: &Victim, bundle: Bundle) -> usize {
    let podrun = &victim.podrun;
    podrun.pod("p", &["--share-pid"]);
    let attack = privileged(plain(t.bundle().args(&["/bin/probe", "overwrite-exe", "3"])));
    // One root file system for both: the attacker's own program is no prey.
    let bundle = bundle.set("/root/path", json!(attack.rootfs("/")));
    let attacker = podrun.up_in("p", &attack, "attacker", &[]);
    eventually("the attacker has done its work", || {
        for _ in 0..5 {
            victim.run(&["run", "--pod", "p", "--bundle", bundle.text(), "target"]);
            victim.run(&["delete", "--force", "target"]);
        }
        attacker.later().contains("overwritten").then_some(())
    });
    let seen = attacked(&attacker.later());
    podrun.remove_pod("p");
    victim.is_unharmed();
    seen
}

#[track_caller]
fn plain(bundle: Bundle) -> Bundle {
    bundle.edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    })
}

fn entrypoint_proc_self_exe_cannot_overwrite_podrun(t: &Test) {
    let victim = Victim::new(t);
    let bundle = plain(t.bundle().args(&["/proc/self/exe", "--version"]));
    assert!(under_attack(t, &victim, bundle) > 0, "the attack never saw podrun: it proves nothing");
}

fn interpreter_proc_self_exe_cannot_overwrite_podrun(t: &Test) {
    let victim = Victim::new(t);
    let bundle = plain(t.bundle().args(&["/tmp/entry"]));
    let bundle = bundle.mount("bind", &path_text(&script(t)), "/tmp/entry", &["bind", "ro"]);
    assert!(under_attack(t, &victim, bundle) > 0, "the attack never saw podrun: it proves nothing");
}

/// A script whose interpreter is whatever executes it.
#[track_caller]
fn script(t: &Test) -> PathBuf {
    let path = t.file("entry", "#!/proc/self/exe --version\n");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    path
}

fn podrun_in_a_shared_pid_namespace_cannot_be_overwritten(t: &Test) {
    let victim = Victim::new(t);
    // The pause itself, and init between clone and exec.
    let bundle = plain(t.bundle().args(&["/bin/probe", "exit", "0"]));
    assert!(under_attack(t, &victim, bundle) > 0, "the attack never saw podrun: it proves nothing");
}

fn read_only_binary_needs_no_copy_and_stays(t: &Test) {
    let victim = Victim::new(t);
    let directory = victim.path.parent().expect("its directory").to_owned();
    let remount = |flags| {
        nix::mount::mount(None::<&str>, &directory, None::<&str>, flags, None::<&str>).expect("to remount");
    };
    nix::mount::mount(Some(&directory), &directory, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>)
        .expect("a bind");
    remount(nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY);
    let attacker = victim.podrun.up(&privileged(t.bundle().args(&["/bin/probe", "overwrite-exe", "2"])), "c");
    eventually("the attacker has done its work", || {
        victim.run(&["exec", "c", "/bin/probe", "exit", "0"]);
        attacker.later().contains("overwritten").then_some(())
    });
    attacked(&attacker.later());
    victim.podrun.remove("c");
    nix::mount::umount2(&directory, nix::mount::MntFlags::MNT_DETACH).expect("to unmount");
    victim.is_unharmed();
}

fn created_init_holds_nothing_of_the_host(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let cmd = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]);
    cmd.under(["sh", "-c", "exec 3</ 4</etc/passwd 9</proc; exec \"$@\"", "sh"]).run().ok();
    let pid = podrun.pid("c");
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    for entry in fds {
        let target = path_text(&std::fs::read_link(entry.path()).unwrap_or_default());
        let metadata = std::fs::metadata(entry.path());
        let is_directory = metadata.is_ok_and(|metadata| metadata.is_dir());
        assert!(!is_directory, "a directory of the host stays open in init: {target}");
        assert!(target != "/etc/passwd", "a descriptor of the caller stays open in init");
        assert!(
            !target.starts_with("/sys/fs/cgroup"),
            "a file of the host's cgroups stays open in init: {target}"
        );
    }
    // Nobody in a container may look into it: neither its memory nor its descriptors.
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(format!("/proc/{pid}/environ")).expect("it is there"),
    );
    assert_eq!(owner, 0);
    podrun.remove("c");
}

fn working_directory_by_descriptor_is_refused(t: &Test) {
    let podrun = t.podrun();
    // CVE-2024-21626: a descriptor of the host's, left open in init, is a way to a directory outside.
    for number in 0..24 {
        for cwd in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/..")] {
            let bundle = t.shell("pwd -P; cat ../../../../etc/hostname ../../../../etc/shadow 2>&1");
            let bundle = bundle.set("/process/cwd", json!(cwd));
            let cmd = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
            let out = cmd.under(["sh", "-c", "exec 3</ 4</etc 7</proc; exec \"$@\"", "sh"]).run();
            if out.code() == 0 || out.stdout.contains("root:") {
                out.fail(&format!("{cwd} is a way out"));
            }
            podrun.run(&["delete", "--force", "c"]).ok();
        }
    }
}

fn exec_working_directory_by_descriptor_is_refused(t: &Test) {
    let podrun = t.podrun();
    drop(podrun.up(&t.shell("sleep 300"), "c"));
    for number in 0..24 {
        let cwd = format!("/proc/self/fd/{number}");
        let cmd = podrun.cmd(&["exec", "--cwd", &cwd, "c", "sh", "-c", "cat ../../../../etc/shadow"]);
        let out = cmd.under(["sh", "-c", "exec 3</ 4</etc 7</proc; exec \"$@\"", "sh"]).run();
        if out.code() == 0 || out.stdout.contains("root:") {
            out.fail(&format!("{cwd} is a way out"));
        }
    }
    podrun.remove("c");
}

fn preserved_directory_is_no_way_out_for_the_working_directory(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("cat etc/shadow").set("/process/cwd", json!("/proc/self/fd/3"));
    let cmd = podrun.cmd(&["run", "--preserve-fds", "1", "--bundle", bundle.text(), "c"]);
    let out = cmd.under(["sh", "-c", "exec 3</; exec \"$@\"", "sh"]).run();
    out.refused(&["/proc/self/fd/3"]);
}

/// A directory of the host with one file, and the check that it is as it was.
struct Outside(PathBuf);

impl Outside {
    #[track_caller]
    fn new(t: &Test) -> Self {
        let path = t.directory("outside");
        std::fs::write(path.join("file"), "untouched").expect("a file");
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    #[track_caller]
    fn is_untouched(&self, after: &str) {
        let names: Vec<_> =
            std::fs::read_dir(&self.0).expect("it is there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["file"], "after {after}");
        assert_eq!(
            std::fs::read_to_string(self.0.join("file")).expect("the file"),
            "untouched",
            "after {after}"
        );
        let over = proc::mounts("self").into_iter().filter(|mount| mount.concerns(&self.0));
        assert_eq!(over.collect::<Vec<_>>(), [], "after {after}");
    }
}

fn image_with_links_for_mount_points(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    for point in ["/dev", "/proc", "/sys", "/dev/shm", "/etc/deep"] {
        for target in
            [path_text(outside.path()), format!("../../../../../../../..{}", path_text(outside.path()))]
        {
            let bundle = t.bundle();
            let link = bundle.rootfs(point);
            if let Some(parent) = link.parent() {
                std::fs::create_dir_all(parent).expect("a directory");
            }
            drop(std::fs::remove_dir_all(&link));
            symlink(&target, &link).expect("a link");
            let bundle = bundle.mount("tmpfs", "t", "/etc/deep", &["size=64k"]);
            let out = podrun.run_bundle(&bundle, "c");
            assert!(out.code() <= 1, "{out:?}");
            outside.is_untouched(&format!("{point} -> {target}"));
            if out.code() == 0 && point == "/proc" {
                // CVE-2019-19921: writes to /proc/self/attr must not land in a directory of the image's choice.
                assert_eq!(facts::mount(&out.json(), "/proc")["fstype"], "proc");
            }
            podrun.run(&["delete", "--force", "c"]).ok();
        }
    }
}

fn image_with_links_for_devices(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    // Without a tmpfs on /dev the devices go into the image, where a link may lie in wait.
    for name in ["null", "ptmx", "fd", "stdin", "pts", "shm", "mqueue", "console"] {
        let bundle = t.bundle().edit(|config| {
            config["mounts"].as_array_mut().expect("an array").retain(|mount| mount["destination"] != "/dev");
        });
        let link = bundle.rootfs("/dev").join(name);
        drop(std::fs::remove_dir_all(&link));
        symlink(outside.path().join("file"), &link).expect("a link");
        let out = podrun.run_bundle(&bundle, "c");
        assert!(out.code() <= 1, "{out:?}");
        outside.is_untouched(&format!("/dev/{name}"));
        podrun.run(&["delete", "--force", "c"]).ok();
    }
}

fn image_with_a_link_for_etc_in_a_pod(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    podrun.pod("p", &[]);
    for (path, target) in
        [("/etc", path_text(outside.path())), ("/etc/hosts", path_text(&outside.path().join("file")))]
    {
        let bundle = plain(t.bundle());
        drop(std::fs::remove_dir_all(bundle.rootfs(path)));
        drop(std::fs::remove_file(bundle.rootfs(path)));
        symlink(&target, bundle.rootfs(path)).expect("a link");
        let out = podrun.run(&["run", "--pod", "p", "--bundle", bundle.text(), "c"]);
        assert!(out.code() <= 1, "{out:?}");
        outside.is_untouched(path);
        podrun.run(&["delete", "--force", "c"]).ok();
    }
    podrun.remove_pod("p");
}

fn masked_path_that_is_a_link(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    let bundle =
        t.bundle().args(&["/bin/probe", "facts", "--path", "/real"]).with_file("/real", "text", 0o644);
    symlink(path_text(outside.path()), bundle.rootfs("/link")).expect("a link");
    symlink("/real", bundle.rootfs("/inner")).expect("a link");
    let bundle =
        bundle.push("/linux/maskedPaths", json!("/link")).push("/linux/maskedPaths", json!("/inner"));
    let out = podrun.run_bundle(&bundle, "c");
    assert!(out.code() <= 1, "{out:?}");
    if out.code() == 0 {
        assert_eq!(out.json()["paths"]["/real"]["read"], "empty", "a masked link masks what it leads to");
    }
    outside.is_untouched("masking a link");
}

fn bind_target_that_is_swapped_for_a_link(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    let volume = t.directory("volume");
    std::fs::create_dir(volume.join("a")).expect("a directory");
    // CVE-2021-30465: one container swaps a directory of a shared volume for a link while another mounts below it.
    symlink(path_text(outside.path()), volume.join("b")).expect("a link");
    let source = path_text(&volume);
    let racer = t.bundle().args(&["/bin/probe", "symlink-race", "/v", "a", "b", "6"]);
    let racer = podrun.up(&racer.mount("bind", &source, "/v", &["rbind"]), "racer");
    let target = t
        .bundle()
        .mount("bind", &source, "/v", &["rbind"])
        .mount("tmpfs", "t", "/v/a/pit-marker", &["size=64k"])
        .mount("bind", &path_text(&t.file("one", "file")), "/v/a/pit-file", &["bind"]);
    let (mut mounted, mut refused) = (0, 0);
    let racing = podrun.pid("racer");
    while proc::lives(racing) && mounted + refused < 300 {
        let out = podrun.run_bundle(&target, "target");
        match out.code() {
            0 => {
                mounted += 1;
                let facts = out.json();
                // Where the link leads means a directory in the container's own root, and no other.
                let root = &facts::mount(&facts, "/")["id"];
                let strange = facts["mounts"].as_array().expect("mounts").iter().any(|mount| {
                    let leads = mount["target"].as_str().is_some_and(|point| point.contains("outside"));
                    leads && mount["parent"] != *root
                });
                assert!(!strange, "mounted where the link leads: {facts}");
            }
            1 => refused += 1,
            _ => out.fail("neither success nor refusal"),
        }
        outside.is_untouched("a race");
        podrun.run(&["delete", "--force", "target"]).ok();
    }
    note(&format!("{mounted} containers were made, {refused} refused; {}", racer.later().trim()));
    assert!(mounted > 0, "no container was made");
    podrun.remove("racer");
    outside.is_untouched("all races");
}

fn mounts_and_masks_cannot_be_lifted_from_inside(t: &Test) {
    let podrun = t.podrun();
    let covered = ["/proc/sys", "/proc/keys", "/sys/firmware", "/sys", "/data"];
    let mut args = vec!["/bin/probe", "mount-escape"];
    args.extend(covered);
    let source = path_text(&t.directory("source"));
    let bundle = t.bundle().args(&args).mount("bind", &source, "/data", &["bind", "ro"]);
    let answer = podrun.run_bundle(&bundle, "c").ok().json();
    for (trick, result) in answer.as_object().expect("an object") {
        // A user namespace of one's own is the kernel's to allow; what it gives must not uncover anything.
        assert!(result != "ok" || trick == "unshare user+mnt", "{trick} worked: {answer}");
    }
}

fn device_nodes_of_the_host_cannot_be_opened(t: &Test) {
    let podrun = t.podrun();
    let root = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata("/").expect("it is there"));
    let (major, minor) = (nix::sys::stat::major(root).to_string(), nix::sys::stat::minor(root).to_string());
    for (kind, major, minor) in
        [("b", major.as_str(), minor.as_str()), ("c", "1", "1"), ("c", "1", "4"), ("b", "7", "0")]
    {
        let bundle = privileged(t.bundle().args(&["/bin/probe", "mknod", "/tmp/node", kind, major, minor]));
        let answer = podrun.run_bundle(&bundle, "c").json();
        assert!(answer["open"] == "EPERM" || answer["mknod"] == "EPERM", "{kind} {major}:{minor}: {answer}");
    }
}

fn volume_path_that_leaves_the_root(t: &Test) {
    let podrun = t.podrun();
    let outside = Outside::new(t);
    podrun.pod("p", &["--volume", "d=emptyDir"]);
    let bundle = plain(t.bundle());
    symlink(outside.path(), bundle.rootfs("/link")).expect("a link");
    let far = format!("/{}{}", "../".repeat(20), path_text(outside.path()).trim_start_matches('/'));
    for path in ["/link", "/link/below", &far] {
        let out = podrun.run(&[
            "run",
            "--pod",
            "p",
            "--bundle",
            bundle.text(),
            "--volume",
            &format!("d:{path}"),
            "c",
        ]);
        assert!(out.code() <= 1, "{out:?}");
        outside.is_untouched(path);
        podrun.run(&["delete", "--force", "c"]).ok();
    }
    podrun.remove_pod("p");
}

fn proc_mount_inside_proc_is_refused(t: &Test) {
    let podrun = t.podrun();
    // CVE-2019-16884 and its kin: a mount over /proc/self hides what the runtime is about to write to.
    let source = path_text(&t.directory("source"));
    for point in ["/proc/self", "/proc/1", "/proc/self/attr", "/proc/sys"] {
        podrun.run_bundle(&t.bundle().mount("bind", &source, point, &["bind"]), "c").refused(&[point]);
    }
}

fn config_rewritten_after_create_has_no_effect(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "exit", "3"]);
    podrun.create(&bundle, "c");
    let bundle = bundle.args(&["/bin/probe", "exit", "4"]);
    podrun.run(&["start", "c"]).ok();
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
    // And for exec: the copy that was made when the container was.
    let bundle = bundle.args(&["/bin/probe", "sleep", "300"]);
    podrun.up(&bundle, "c");
    let bundle = bundle.set("/process/env", json!(["INJECTED=1"])).set("/process/user/uid", json!(7));
    let facts = podrun.run(&["exec", "c", "/bin/probe", "facts"]).ok().json();
    assert_eq!(facts["uids"][0], 0);
    assert!(!facts::strings(&facts["env"]).contains(&"INJECTED=1".into()), "{}", bundle.text());
    podrun.remove("c");
}
