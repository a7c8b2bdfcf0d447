//! A --root without room: what runs goes on, what is new is refused, and everything can be removed.

use crate::harness::disk::{fill, small_disk};
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::pods::{joining, run_in};
use crate::harness::supervised::{Supervised, slay};
use crate::harness::{Case, Runtime, Test, case, eventually, proc, runtime::path_text};
use nix::mount::{MntFlags, umount2};
use podrun::model::status::{ContainerState, ContainerStatus};
use std::path::Path;
use std::time::Duration;

pub fn cases() -> Vec<Case> {
    vec![
        case!(containers_cannot_fill_the_root),
        case!(full_root_lets_apps_run_and_restart).seconds(120),
        case!(full_root_lets_pods_be_stopped_and_deleted).seconds(120),
        case!(container_that_fills_both_roots_is_deleted).seconds(120),
    ]
}

fn unmount(path: &Path) {
    umount2(path, MntFlags::MNT_DETACH).expect("to unmount");
}

fn containers_cannot_fill_the_root(t: &Test) {
    small_disk(&t.path("root"), "size=4m");
    let podrun = t.podrun_with_busybox();
    let greedy = "for f in hosts hostname resolv.conf; do dd if=/dev/zero of=/etc/$f bs=64k count=64 2>&1; done; \
                  cat /dev/zero > /etc/hosts; echo done; sleep 300";
    let pod = Supervised::run(&podrun, "p", &t.manifest(&shell_pod("p", "Never", &[("a", greedy)])));
    eventually("the end of it", || podrun.logs("p", "a").contains("done").then_some(()));
    assert_eq!(podrun.logs("p", "a").matches("No space left").count(), 4);
    podrun.pod("bare", &[]);
    let out =
        run_in(&podrun, "bare", &joining(t.shell(greedy.trim_end_matches("; sleep 300"))), &[]).ok().stdout;
    assert!(out.contains("No space left") && out.ends_with("done\n"), "{out}");
    let free = nix::sys::statvfs::statvfs(&t.path("root")).expect("the room");
    let free = free.blocks_available() * free.fragment_size();
    assert!(free > 3 << 20, "{free} bytes are left of 4 MiB");
    podrun.remove_pod("bare");
    pod.delete();
    unmount(&t.path("root"));
}

const TICK: &str = "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.02; done";

#[track_caller]
fn ticks(podrun: &Runtime) -> usize {
    podrun.logs("p", "a").lines().count()
}

fn full_root_lets_apps_run_and_restart(t: &Test) {
    small_disk(&t.path("root"), "size=2m");
    let podrun = t.podrun_with_busybox();
    let sleep = "sleep 300";
    let file = t.manifest(&shell_pod("p", "OnFailure", &[("a", TICK), ("b", sleep), ("c", sleep)]));
    let pod = Supervised::run(&podrun, "p", &file);
    let filler = t.path("root/filler");
    fill(&filler);
    // What is left of the dead makes room for the news of it, if not for another container.
    slay(pod.init("b"));
    let waits = |it: &ContainerStatus| matches!(&it.state, ContainerState::Waiting { reason, .. } if reason == "CreateContainerError");
    pod.until("b", "waiting for room", waits);
    let other = t.manifest(&shell_pod("other", "Never", &[("a", sleep)]));
    podrun
        .run(&["pod", "run", "-d", "-f", &other])
        .refused(&["cannot create pod \"other\"", "no space left"]);
    assert_eq!(podrun.pod_names(), ["p"]);
    // Also when somebody takes that room, and when the supervisor dies meanwhile.
    let c = pod.init("c");
    let taken: Vec<_> = (0..3)
        .map(|number| {
            let more = t.path(&format!("root/filler{number}"));
            fill(&more);
            if number == 0 {
                slay(c);
            }
            std::thread::sleep(Duration::from_millis(300));
            more
        })
        .collect();
    pod.next_supervisor();
    let before = ticks(&podrun);
    eventually("ticks", || (ticks(&podrun) > before + 5).then_some(()));
    for path in taken.iter().chain([&filler]) {
        std::fs::remove_file(path).expect("to make room");
    }
    for name in ["b", "c"] {
        pod.until(name, "running again", |it| it.state.is_running() && it.restart_count > 0);
    }
    assert!(proc::lives(pod.init("a")) && pod.container("a").restart_count == 0);
    let one = |name: &str| {
        let start = format!("{}.{name}.", pod.uid);
        let all = std::fs::read_dir(podrun.root().join("containers")).expect("the containers");
        all.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&start)).count()
    };
    assert_eq!(["a", "b", "c"].map(one), [1; 3], "no run beside another");
    pod.delete();
    unmount(&t.path("root"));
}

fn full_root_lets_pods_be_stopped_and_deleted(t: &Test) {
    small_disk(&t.path("root"), "size=2m");
    let podrun = t.podrun_with_busybox();
    let run = |name: &str| {
        let script = until_stopped(0);
        Supervised::run(
            &podrun,
            name,
            &t.manifest(&shell_pod(name, "Always", &[("a", &script), ("b", &script)])),
        )
    };
    let pods = ["stopped", "gentle", "forced"].map(run);
    podrun.pod("bare", &["--volume", "fast=emptyDir,medium=Memory"]);
    let bundle = joining(t.shell("sleep 300"));
    podrun.up_in("bare", &bundle, "c", &["--volume", "fast:/fast"]);
    podrun.up_in("bare", &bundle, "d", &[]);
    let filler = t.path("root/filler");
    fill(&filler);
    let full = |number: u32| fill(&t.path(&format!("root/filler{number}")));
    podrun.cmd(&["pod", "stop", "stopped"]).seconds(15).run().ok();
    full(0);
    podrun.cmd(&["pod", "delete", "gentle"]).seconds(15).run().ok();
    full(1);
    podrun.run(&["pod", "delete", "--force", "forced"]).ok();
    full(2);
    podrun.run(&["delete", "--force", "d"]).ok();
    full(3);
    podrun.run(&["pod", "delete", "--force", "bare"]).ok();
    full(4);
    podrun.cmd(&["pod", "delete", "stopped"]).seconds(15).run().ok();
    let left: Vec<_> = pods.iter().filter(|pod| pod.directory().exists()).map(|pod| &pod.name).collect();
    assert_eq!(left, Vec::<&String>::new());
    assert_eq!(podrun.pod_names(), Vec::<String>::new());
    unmount(&t.path("root"));
}

fn container_that_fills_both_roots_is_deleted(t: &Test) {
    let disk = t.path("root");
    small_disk(&disk, "size=24m");
    let (root, data) = (path_text(&disk.join("run")), path_text(&disk.join("lib")));
    let podrun = t.podrun().only_globals(&["--root", &root, "--data-root", &data]);
    podrun.run(&["image", "import", &crate::harness::sources::busybox(), "busybox"]).ok();
    // It takes whatever room there is, again and again.
    let greedy = "while :; do cat /dev/zero >> /x 2>/dev/null; done";
    for words in [&["--force"][..], &[]] {
        podrun
            .run(&["pod", "run", "-d", "-f", &t.manifest(&shell_pod("p", "Always", &[("a", greedy)]))])
            .ok();
        eventually("a full disk", || {
            let free = nix::sys::statvfs::statvfs(&disk).expect("the room");
            (free.blocks_available() < 4).then_some(())
        });
        podrun.cmd(&[&["pod", "delete", "p"], words].concat()).seconds(20).run().ok();
        assert_eq!(podrun.pod_names(), Vec::<String>::new());
    }
    unmount(&disk);
}
