//! SCMP_ACT_NOTIFY: system calls that an agent answers, and agents that do not.

use crate::harness::agent::{Agent, Manner};
use crate::harness::{Bundle, Case, Runtime, Test, case, eventually, facts, proc, runtime::path_text};
use nix::libc::{ENOMEDIUM, ENOSYS};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(agent_answers_for_the_first_process),
        case!(agent_answers_for_exec),
        case!(agent_answers_after_create_has_ended),
        case!(agent_answers_the_calls_that_podrun_itself_makes),
        case!(agent_answers_for_hooks_before_the_program),
        case!(agent_is_told_the_state_of_the_container),
        case!(agent_is_not_asked_where_nothing_is_notified),
        case!(listener_is_kept_by_nobody_but_the_agent),
        case!(notifications_without_an_agent_are_refused),
        case!(agent_that_dies_has_the_kernel_answer),
        case!(agent_that_hangs_leaves_nothing_behind),
        case!(agent_that_takes_no_connection_is_given_up).seconds(120),
        case!(flag_wait_killable_needs_a_notification),
    ]
}

/// A profile that has these calls answered.
fn profile(agent: &str, calls: &[&str]) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent, "listenerMetadata": "meta \"data\"",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": calls, "action": "SCMP_ACT_NOTIFY"}]})
}

fn bundle(t: &Test, agent: &str, calls: &[&str], no_new_privileges: bool) -> Bundle {
    t.bundle()
        .set("/linux/seccomp", profile(agent, calls))
        .set("/process/noNewPrivileges", json!(no_new_privileges))
}

const ASK: [&str; 3] = ["/bin/probe", "seccomp-check", "swapon"];

#[track_caller]
fn errno(out: &crate::harness::command::Outcome) -> String {
    out.json()["errno"].as_str().unwrap_or_default().to_owned()
}

fn agent_answers_for_the_first_process(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Refuse(ENOMEDIUM));
    // The second of each kind finds the filter in the cache.
    for (no_new_privileges, user) in [(true, 0), (true, 1000), (false, 0), (false, 1000)] {
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges)
            .args(&ASK)
            .set("/process/user", json!({"uid": user, "gid": user}));
        assert_eq!(errno(&podrun.run_bundle(&bundle, "c").ok()), "ENOMEDIUM");
    }
    // One connection a process.
    agent.until(|told| told.len() == 4 && told.iter().all(|told| told.closed && told.asked.len() == 1));
}

fn agent_answers_for_exec(t: &Test) {
    let podrun = t.podrun();
    for no_new_privileges in [true, false] {
        let socket = t.path(&format!("agent-{no_new_privileges}.sock"));
        let agent = Agent::at(&socket, Manner::Refuse(ENOMEDIUM));
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges);
        podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
        agent.until(|told| told.len() == 1);
        let file = t.path("pid");
        let mut words = vec!["exec", "--pid-file"];
        let text = path_text(&file);
        words.extend([text.as_str(), "c"]);
        words.extend(ASK);
        assert_eq!(errno(&podrun.run(&words).ok()), "ENOMEDIUM");
        let told = agent.told();
        assert_eq!(told.len(), 2, "{told:?}");
        let pid: i64 = std::fs::read_to_string(&file).expect("a pid file").parse().expect("a number");
        assert_eq!(told[1].state["pid"], pid);
        assert_eq!(told[1].state["state"]["pid"], i64::from(podrun.pid("c")));
        assert_eq!(told[1].state["state"]["status"], "running");
        assert_eq!(told[1].asked.iter().map(|pid| i64::from(*pid)).collect::<Vec<_>>(), [pid]);
        podrun.remove("c");
    }
}

fn agent_answers_after_create_has_ended(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Refuse(ENOMEDIUM));
    for no_new_privileges in [true, false] {
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges).args(&ASK);
        let created = podrun.create(&bundle, "c");
        assert_eq!(podrun.status("c").as_deref(), Some("created"));
        podrun.run(&["start", "c"]).ok();
        podrun.wait_output(&created, "ENOMEDIUM");
        podrun.wait_status("c", "stopped");
        podrun.run(&["delete", "c"]).ok();
    }
}

fn agent_answers_the_calls_that_podrun_itself_makes(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Continue);
    let calls =
        ["execve", "openat", "open", "read", "close", "sendto", "recvfrom", "prctl", "chdir", "setuid"];
    for no_new_privileges in [true, false] {
        let bundle = bundle(t, agent.path(), &calls, no_new_privileges);
        podrun.run_bundle(&bundle.args(&["/bin/probe", "exit", "7"]), "c").exits(7);
        let bundle = self::bundle(t, agent.path(), &calls, no_new_privileges);
        podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
        podrun.run(&["exec", "c", "/bin/probe", "exit", "9"]).exits(9);
        podrun.remove("c");
    }
    assert!(agent.told().iter().all(|told| !told.asked.is_empty()), "{:?}", agent.told());
}

fn agent_answers_for_hooks_before_the_program(t: &Test) {
    let podrun = t.podrun();
    for (no_new_privileges, name) in [(true, "with.sock"), (false, "without.sock")] {
        let agent = Agent::at(&t.path(name), Manner::Refuse(ENOMEDIUM));
        let hook = json!({"path": "/bin/probe", "args": ["probe", "seccomp-check", "swapon"]});
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges)
            .args(&ASK)
            .push("/hooks/startContainer", hook);
        assert_eq!(errno(&podrun.run_bundle(&bundle, "c").ok().quietly()), "ENOMEDIUM");
        let told = agent.told();
        assert_eq!(told.len(), 1, "the program and its hook have one filter: {told:?}");
        assert_eq!(told[0].asked.len(), 2, "{told:?}");
    }
}

fn agent_is_told_the_state_of_the_container(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Continue);
    let bundle = bundle(t, agent.path(), &["swapon"], true)
        .args(&["/bin/probe", "sleep", "300"])
        .set("/annotations", json!({"a": "b"}));
    podrun.create(&bundle, "c");
    let told = agent.until(|told| !told.is_empty()).remove(0).state;
    let pid = i64::from(podrun.pid("c"));
    assert_eq!(
        told,
        json!({"ociVersion": "1.0.2", "fds": ["seccompFd"], "pid": pid, "metadata": "meta \"data\"",
            "state": {"ociVersion": "1.0.2", "id": "c", "status": "creating", "pid": pid,
                "bundle": bundle.text(), "annotations": {"a": "b"}}})
    );
    podrun.remove("c");
}

fn agent_is_not_asked_where_nothing_is_notified(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Continue);
    let plain = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent.path()});
    podrun.facts(&t.bundle().set("/linux/seccomp", plain));
    let nobody = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such.sock"});
    podrun.facts(&t.bundle().set("/linux/seccomp", nobody));
    assert!(agent.told().is_empty(), "{:?}", agent.told());
}

fn listener_is_kept_by_nobody_but_the_agent(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Continue);
    for no_new_privileges in [true, false] {
        let facts = podrun.facts(&bundle(t, agent.path(), &["swapon"], no_new_privileges));
        let fds = facts["fds"].as_array().expect("a list");
        assert_eq!(fds.len(), 3, "{fds:?}");
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges);
        podrun.create(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
        let links =
            std::fs::read_dir(format!("/proc/{}/fd", podrun.pid("c"))).expect("descriptors").flatten();
        let links: Vec<_> = links.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
        assert!(!links.iter().any(|link| link.to_string_lossy().contains("seccomp")), "{links:?}");
        podrun.remove("c");
    }
}

#[track_caller]
fn refused(podrun: &Runtime, bundle: &Bundle, texts: &[&str]) {
    podrun.run_bundle(bundle, "c").refused(texts);
    assert_eq!(podrun.status("c"), None);
}

fn notifications_without_an_agent_are_refused(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Continue);
    for no_new_privileges in [true, false] {
        let with = |path: &str, calls: &[&str]| bundle(t, path, calls, no_new_privileges);
        refused(&podrun, &with("", &["swapon"]), &["linux.seccomp.listenerMetadata", "listenerPath"]);
        let bare = with("", &["swapon"]).set("/linux/seccomp/listenerMetadata", json!(""));
        refused(&podrun, &bare, &["linux.seccomp: listenerPath: is missing"]);
        for nobody in ["/some-non-existing-listener-path.sock", "@mysocketishere"] {
            refused(&podrun, &with(nobody, &["swapon"]), &["failed to connect with seccomp agent", "hint"]);
        }
        let long = format!("/{}/agent.sock", "x".repeat(200));
        refused(&podrun, &with(&long, &["swapon"]), &["failed to connect with seccomp agent"]);
        refused(
            &podrun,
            &with(agent.path(), &["read", "write"]),
            &["SCMP_ACT_NOTIFY cannot be used for the write syscall"],
        );
        let all =
            with(agent.path(), &["swapon"]).set("/linux/seccomp/defaultAction", json!("SCMP_ACT_NOTIFY"));
        refused(
            &podrun,
            &all,
            &["linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action"],
        );
    }
    assert!(agent.told().is_empty(), "{:?}", agent.told());
    // exec says so too: the agent has gone meanwhile.
    let gone = t.path("gone.sock");
    let agent = Agent::at(&gone, Manner::Continue);
    podrun.up(&bundle(t, agent.path(), &["swapon"], true).args(&["/bin/probe", "sleep", "300"]), "c");
    std::fs::remove_file(&gone).expect("to remove the socket");
    let out = podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]).exits(255);
    out.says(&["failed to connect with seccomp agent"]);
    assert_eq!(proc::children(podrun.pid("c")), [] as [i32; 0]);
    podrun.remove("c");
}

fn agent_that_dies_has_the_kernel_answer(t: &Test) {
    assert_eq!(ENOSYS, 38);
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Die);
    for no_new_privileges in [true, false] {
        let bundle = bundle(t, agent.path(), &["swapon"], no_new_privileges).args(&ASK);
        assert_eq!(errno(&podrun.run_bundle(&bundle, "c").ok()), "ENOSYS");
    }
}

fn agent_that_hangs_leaves_nothing_behind(t: &Test) {
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Hang);
    for (number, no_new_privileges) in [(1, true), (2, false)] {
        // Init cannot even hear that the agent has its listener.
        let bundle = bundle(t, agent.path(), &["read"], no_new_privileges);
        let create = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]).spawn();
        let pid = agent.until(|told| told.len() == number)[number - 1].state["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.expect("a pid");
        create.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(create.finish().code(), 137);
        eventually("init dies with the command", || (!proc::lives(pid)).then_some(()));
        podrun.remove("c");
        assert!(podrun.ids().is_empty());
    }
}

fn agent_that_takes_no_connection_is_given_up(t: &Test) {
    let podrun = t.podrun();
    // A socket whose queue is full: connect(2) waits.
    let path = t.path("agent.sock");
    let full = podrun::sys::socket::listen(&path).expect("a socket");
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).expect("a number"))
        .expect("a shorter queue");
    let waiting = std::os::unix::net::UnixStream::connect(&path).expect("one place");
    let bundle = bundle(t, &path_text(&path), &["swapon"], true);
    let started = std::time::Instant::now();
    refused(&podrun, &bundle, &["failed to connect with seccomp agent", "EAGAIN"]);
    assert!(started.elapsed() >= std::time::Duration::from_secs(9), "{:?}", started.elapsed());
    drop((waiting, full));
}

fn flag_wait_killable_needs_a_notification(t: &Test) {
    const FLAG: &str = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    let podrun = t.podrun();
    let agent = Agent::at(&t.path("agent.sock"), Manner::Refuse(ENOMEDIUM));
    let seccomp = podrun.run(&["features"]).ok().json()["linux"]["seccomp"].clone();
    assert!(facts::strings(&seccomp["knownFlags"]).contains(&FLAG.into()));
    let bundle =
        bundle(t, agent.path(), &["swapon"], true).args(&ASK).set("/linux/seccomp/flags", json!([FLAG]));
    let out = podrun.run_bundle(&bundle, "c");
    if facts::strings(&seccomp["supportedFlags"]).contains(&FLAG.into()) {
        assert_eq!(errno(&out.ok()), "ENOMEDIUM");
    } else {
        out.refused(&["linux.seccomp", "invalid argument"]);
    }
    let plain = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [FLAG]});
    refused(&podrun, &t.bundle().set("/linux/seccomp", plain), &["linux.seccomp.flags[0]", FLAG]);
}
