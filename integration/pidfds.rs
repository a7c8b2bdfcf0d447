//! `--pidfd-socket`: callers get a process that no other can be mistaken for.

use crate::harness::console::Listener;
use crate::harness::{Case, Test, case};
use std::os::fd::AsRawFd;

pub fn cases() -> Vec<Case> {
    vec![case!(pidfd_socket_gets_the_process), case!(pidfd_socket_that_nobody_listens_to_is_named)]
}

/// The pid of the one process that was sent, as the kernel tells it of a pidfd.
#[track_caller]
fn received(listener: &Listener) -> String {
    let (text, fds) = listener.receive();
    assert!(!text.is_empty() && fds.len() == 1, "{text:?}: {fds:?}");
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fds[0].as_raw_fd())).expect("fdinfo");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    pid.trim().to_owned()
}

fn pidfd_socket_gets_the_process(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "100"]);
    let listen = |name: &str| Listener::at(&t.path(name));
    let created = listen("created");
    let words = ["create", "--bundle", bundle.text(), "--pidfd-socket", created.path(), "c"];
    podrun.run(&words).ok();
    assert_eq!(received(&created), podrun.pid("c").to_string());
    let ran = listen("ran");
    let words = ["run", "--detach", "--bundle", bundle.text(), "--pidfd-socket", ran.path(), "r"];
    podrun.run(&words).ok();
    assert_eq!(received(&ran), podrun.pid("r").to_string());
    let (entered, pid_file) = (listen("entered"), t.path("pid"));
    let pid_file = pid_file.to_str().expect("a path");
    let words = ["exec", "--detach", "--pid-file", pid_file, "--pidfd-socket", entered.path()];
    podrun.run(&[&words[..], &["r", "/bin/probe", "sleep", "100"]].concat()).ok();
    assert_eq!(received(&entered), std::fs::read_to_string(pid_file).expect("the pid"));
    podrun.remove("c");
    podrun.remove("r");
}

fn pidfd_socket_that_nobody_listens_to_is_named(t: &Test) {
    let podrun = t.podrun();
    let nowhere = t.path("nowhere");
    let nowhere = nowhere.to_str().expect("a path");
    let out = podrun.run(&["create", "--bundle", t.bundle().text(), "--pidfd-socket", nowhere, "c"]);
    assert_eq!(out.code(), 1);
    assert!(
        out.stderr.contains("cannot connect to the pidfd socket") && out.stderr.contains(nowhere),
        "{}",
        out.stderr
    );
    assert_eq!(podrun.status("c"), None);
}
