//! What config.json and process.json say of scheduling, NUMA memory, the execution domain, and labels.

use crate::harness::command::Cmd;
use crate::harness::{Case, Outcome, Runtime, Test, case, facts, machine, runtime::path_text, skip};
use serde_json::{Value, json};
use std::path::PathBuf;

pub fn cases() -> Vec<Case> {
    vec![
        case!(scheduler_is_that_of_init_and_exec),
        case!(scheduler_takes_a_deadline),
        case!(scheduler_that_makes_no_sense_is_refused),
        case!(scheduler_that_the_kernel_refuses_is_named),
        case!(io_priority_is_that_of_init_and_exec),
        case!(io_priority_that_makes_no_sense_is_refused),
        case!(affinity_of_the_caller_is_not_the_containers),
        case!(affinity_is_the_cpuset_of_the_cgroup),
        case!(affinity_of_exec_is_as_asked),
        case!(affinity_that_makes_no_sense_is_refused),
        case!(personality_is_that_of_init_and_exec),
        case!(personality_that_makes_no_sense_is_refused),
        case!(memory_policy_is_that_of_init_and_exec),
        case!(memory_policy_that_is_empty_asks_for_nothing),
        case!(memory_policy_that_makes_no_sense_is_refused),
        case!(process_file_that_says_little_has_the_rest_of_the_container),
        case!(apparmor_profile_is_refused_where_there_is_no_apparmor),
        case!(apparmor_profile_confines_init_and_exec),
        case!(selinux_labels_are_refused_where_there_is_no_selinux),
    ]
}

/// Makes a sleeping container of a config with one more property.
#[track_caller]
fn up(t: &Test, podrun: &Runtime, pointer: &str, value: &Value) {
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "300"]).set(pointer, value.clone()), "c");
}

#[track_caller]
fn exec_facts(podrun: &Runtime, words: &[&str]) -> Value {
    let mut all = vec!["exec"];
    all.extend(words);
    all.push("c");
    if !words.contains(&"--process") {
        all.extend(["/bin/probe", "facts"]);
    }
    podrun.run(&all).ok().json()
}

/// A process.json that says no more than it must, and `key`.
fn process_file(t: &Test, key: &str, value: &Value) -> String {
    let process = json!({"args": ["/bin/probe", "facts"], "cwd": "/", key: value});
    path_text(&t.file("process.json", process.to_string()))
}

#[track_caller]
fn refused(t: &Test, pointer: &str, table: &[(Value, &str)]) {
    let podrun = t.podrun();
    for (value, text) in table {
        podrun.run_bundle(&t.bundle().set(pointer, value.clone()), "c").refused(&[text]);
        assert_eq!(podrun.status("c"), None, "{value}");
    }
}

const OTHER: i64 = 0;
const BATCH: i64 = 3;
const IDLE: i64 = 5;
const DEADLINE: i64 = 6;

fn scheduler_is_that_of_init_and_exec(t: &Test) {
    let podrun = t.podrun();
    let plain = podrun.facts(&t.bundle());
    assert_eq!((&plain["scheduler"]["policy"], &plain["scheduler"]["nice"]), (&json!(OTHER), &json!(0)));
    let batch = json!({"policy": "SCHED_BATCH", "nice": -3, "priority": 0});
    let init = podrun.facts(&t.bundle().set("/process/scheduler", batch.clone()));
    assert_eq!((&init["scheduler"]["policy"], &init["scheduler"]["nice"]), (&json!(BATCH), &json!(-3)));
    up(t, &podrun, "/process/scheduler", &batch);
    let exec = exec_facts(&podrun, &[]);
    assert_eq!((&exec["scheduler"]["policy"], &exec["scheduler"]["nice"]), (&json!(BATCH), &json!(-3)));
    let idle =
        process_file(t, "scheduler", &json!({"policy": "SCHED_IDLE", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
    let own = exec_facts(&podrun, &["--process", &idle]);
    assert_eq!((&own["scheduler"]["policy"], &own["scheduler"]["flags"]), (&json!(IDLE), &json!(1)));
    podrun.remove("c");
}

fn scheduler_takes_a_deadline(t: &Test) {
    let podrun = t.podrun();
    let times = json!({"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK"], "nice": 19, "priority": 0,
        "runtime": 420_000, "deadline": 1_000_000, "period": 10_000_000});
    let facts = podrun.facts(&t.bundle().set("/process/scheduler", times.clone()));
    assert_eq!(facts["scheduler"]["policy"], DEADLINE, "{}", facts["scheduler"]);
    assert_eq!(facts["scheduler"]["times"], json!([420_000, 1_000_000, 10_000_000]));
    assert_eq!(facts["scheduler"]["flags"], 1);
    up(t, &podrun, "/process/args", &json!(["/bin/probe", "sleep", "300"]));
    let exec = exec_facts(&podrun, &["--process", &process_file(t, "scheduler", &times)]);
    assert_eq!(exec["scheduler"]["policy"], DEADLINE);
    podrun.remove("c");
}

fn scheduler_that_makes_no_sense_is_refused(t: &Test) {
    refused(
        t,
        "/process/scheduler",
        &[
            (json!({"policy": "SCHED_LUCK"}), "process.scheduler.policy: unknown policy \"SCHED_LUCK\""),
            (json!({"nice": 1}), "process.scheduler.policy: is missing"),
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice"),
            (json!({"policy": "SCHED_BATCH", "priority": 4}), "process.scheduler.priority"),
            (json!({"policy": "SCHED_FIFO", "priority": 0}), "process.scheduler.priority"),
            (json!({"policy": "SCHED_OTHER", "runtime": 1}), "process.scheduler.runtime"),
            (json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_LUCK"]}), "process.scheduler.flags[0]"),
        ],
    );
    let podrun = t.podrun();
    up(t, &podrun, "/process/env", &json!(["PATH=/bin"]));
    let file = process_file(t, "scheduler", &json!({"policy": "SCHED_LUCK"}));
    podrun.run(&["exec", "--process", &file, "c"]).exits(255).says(&["scheduler.policy", "SCHED_LUCK"]);
    podrun.remove("c");
}

fn scheduler_that_the_kernel_refuses_is_named(t: &Test) {
    let podrun = t.podrun();
    let backwards =
        json!({"policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 1_000_000, "period": 1_000_000});
    let out = podrun.run_bundle(&t.bundle().set("/process/scheduler", backwards), "c");
    out.refused(&["sched_setattr (process.scheduler)", "invalid argument", "sched(7)"]);
    if machine::processors() < 2 {
        skip("there is one processor");
    }
    // A deadline needs all processors, and the cgroup has but one.
    let times =
        json!({"policy": "SCHED_DEADLINE", "runtime": 42000, "deadline": 1_000_000, "period": 1_000_000});
    let bundle =
        t.bundle().set("/process/scheduler", times).set("/linux/resources/cpu", json!({"cpus": "0"}));
    podrun.run_bundle(&bundle, "c").refused(&["process scheduler can't be used together with AllowedCPUs"]);
}

fn io_priority_is_that_of_init_and_exec(t: &Test) {
    const BEST_EFFORT: i64 = 2 << 13;
    const IDLE: i64 = 3 << 13;
    let podrun = t.podrun();
    let best_effort = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    let init = podrun.facts(&t.bundle().set("/process/ioPriority", best_effort.clone()));
    assert_eq!(init["io_priority"], BEST_EFFORT | 6);
    up(t, &podrun, "/process/ioPriority", &best_effort);
    assert_eq!(exec_facts(&podrun, &[])["io_priority"], BEST_EFFORT | 6);
    let idle = process_file(t, "ioPriority", &json!({"class": "IOPRIO_CLASS_IDLE"}));
    assert_eq!(exec_facts(&podrun, &["--process", &idle])["io_priority"], IDLE);
    podrun.remove("c");
    let real_time = json!({"class": "IOPRIO_CLASS_RT", "priority": 0});
    assert_eq!(podrun.facts(&t.bundle().set("/process/ioPriority", real_time))["io_priority"], 1 << 13);
}

fn io_priority_that_makes_no_sense_is_refused(t: &Test) {
    refused(
        t,
        "/process/ioPriority",
        &[
            (json!({"class": "IOPRIO_CLASS_LUCK"}), "process.ioPriority.class: unknown class"),
            (json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority"),
            (json!({"class": "IOPRIO_CLASS_BE", "priority": -1}), "process.ioPriority.priority"),
            (json!("idle"), "process.ioPriority: is not an object"),
        ],
    );
}

fn affinity_of_the_caller_is_not_the_containers(t: &Test) {
    if machine::processors() < 2 {
        skip("there is one processor");
    }
    let podrun = t.podrun();
    let all = podrun.facts(&t.bundle())["cpus_allowed_list"].clone();
    let bundle = t.bundle();
    let bound = |words: &[&str]| podrun.cmd(words).under(["taskset", "-c", "0"]).run().ok();
    let facts = bound(&["run", "--bundle", bundle.text(), "c"]).json();
    assert_eq!(facts["cpus_allowed_list"], all);
    up(t, &podrun, "/process/env", &json!(["PATH=/bin"]));
    let facts = bound(&["exec", "c", "/bin/probe", "facts"]).json();
    assert_eq!(facts["cpus_allowed_list"], all);
    podrun.remove("c");
}

fn affinity_is_the_cpuset_of_the_cgroup(t: &Test) {
    if machine::processors() < 2 {
        skip("there is one processor");
    }
    let podrun = t.podrun();
    let bundle = t.bundle().set("/linux/resources/cpu", json!({"cpus": "1", "mems": "0"}));
    let bound = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).under(["taskset", "-c", "0"]).run().ok();
    assert_eq!(bound.json()["cpus_allowed_list"], "1");
    podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
    let exec = podrun.cmd(&["exec", "c", "/bin/probe", "facts"]).under(["taskset", "-c", "0"]).run().ok();
    assert_eq!(exec.json()["cpus_allowed_list"], "1");
    podrun.remove("c");
}

fn affinity_of_exec_is_as_asked(t: &Test) {
    if machine::processors() < 2 {
        skip("there is one processor");
    }
    let podrun = t.podrun();
    let bundle = t.bundle().set("/process/execCPUAffinity", json!({"initial": "0", "final": "1"}));
    let all = podrun.facts(&t.bundle())["cpus_allowed_list"].clone();
    assert_eq!(podrun.facts(&bundle)["cpus_allowed_list"], all, "it is not for the first process");
    podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
    assert_eq!(exec_facts(&podrun, &[])["cpus_allowed_list"], "1");
    for (own, expected) in [
        (json!({"final": "0"}), json!("0")),
        (json!({"initial": "1", "final": "0-1"}), all.clone()),
        (json!({"initial": "1"}), all.clone()),
    ] {
        let file = process_file(t, "execCPUAffinity", &own);
        assert_eq!(exec_facts(&podrun, &["--process", &file])["cpus_allowed_list"], expected, "{own}");
    }
    let told = podrun.run(&["--debug", "exec", "c", "/bin/probe", "exit", "0"]).ok().stderr;
    assert!(told.contains("initial CPU affinity: 0x1"), "{told}");
    // podrun:join begins where `initial` says, before it is in the group: seen by what the kernel was asked, in order.
    let trace = path_text(&t.path("trace"));
    let file = process_file(t, "execCPUAffinity", &json!({"initial": "1", "final": "0"}));
    if machine::has_package("strace") {
        let calls = "trace=sched_setaffinity,clone3,execve";
        let strace = ["strace", "-f", "-o", &trace, "-e", calls];
        podrun.cmd(&["exec", "--process", &file, "c"]).under(strace).run().ok();
        let text = std::fs::read_to_string(&trace).expect("a trace");
        let places = ["[1]", "clone3(", "[0]"].map(|part| text.find(part));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");
    }
    podrun.remove("c");
}

fn affinity_that_makes_no_sense_is_refused(t: &Test) {
    refused(
        t,
        "/process/execCPUAffinity",
        &[
            (json!({"initial": "a"}), "process.execCPUAffinity.initial"),
            (json!({"final": "3-1"}), "process.execCPUAffinity.final"),
            (json!({"final": "0-99999999999999999999"}), "process.execCPUAffinity.final"),
            (json!({"final": 1}), "process.execCPUAffinity.final: is not a string"),
        ],
    );
    let podrun = t.podrun();
    up(t, &podrun, "/process/env", &json!(["PATH=/bin"]));
    let file = process_file(t, "execCPUAffinity", &json!({"final": "8000"}));
    let out = podrun.run(&["exec", "--process", &file, "c"]).exits(255);
    out.says(&["process.execCPUAffinity.final", "online"]);
    podrun.remove("c");
}

fn personality_is_that_of_init_and_exec(t: &Test) {
    let podrun = t.podrun();
    assert_eq!(podrun.facts(&t.bundle())["personality"], "00000000");
    // A filter that forbids the call does not matter: it is made before.
    let forbidden = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ERRNO"}]});
    for no_new_privileges in [true, false] {
        let bundle = t
            .bundle()
            .set("/linux/personality", json!({"domain": "LINUX32", "flags": []}))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/linux/seccomp", forbidden.clone());
        assert_eq!(podrun.facts(&bundle)["personality"], "00000008");
        podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c");
        assert_eq!(exec_facts(&podrun, &[])["personality"], "00000008");
        podrun.remove("c");
    }
    let linux = t.bundle().set("/linux/personality", json!({"domain": "LINUX"}));
    assert_eq!(podrun.facts(&linux)["personality"], "00000000");
}

fn personality_that_makes_no_sense_is_refused(t: &Test) {
    refused(
        t,
        "/linux/personality",
        &[
            (json!({"domain": "BSD"}), "linux.personality.domain: unknown domain \"BSD\""),
            (json!({"flags": []}), "linux.personality.domain: is missing"),
            (
                json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
                "linux.personality.flags[0]: is not supported",
            ),
        ],
    );
}

fn memory_policy_is_that_of_init_and_exec(t: &Test) {
    const BIND_STATIC: i64 = 2 | 1 << 15;
    let podrun = t.podrun();
    assert_eq!(podrun.facts(&t.bundle())["memory_policy"], json!({"mode": 0, "nodes": []}));
    for (policy, mode) in [
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), 3),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), BIND_STATIC),
        (json!({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}), 1 | 1 << 14),
    ] {
        let facts = podrun.facts(&t.bundle().set("/linux/memoryPolicy", policy));
        assert_eq!(facts["memory_policy"], json!({"mode": mode, "nodes": [0]}));
    }
    let bind = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    up(t, &podrun, "/linux/memoryPolicy", &bind);
    assert_eq!(exec_facts(&podrun, &[])["memory_policy"]["mode"], BIND_STATIC);
    // A process.json has no such property: it is the container's.
    let file = process_file(t, "env", &json!([]));
    assert_eq!(exec_facts(&podrun, &["--process", &file])["memory_policy"]["mode"], BIND_STATIC);
    podrun.remove("c");
}

fn memory_policy_that_is_empty_asks_for_nothing(t: &Test) {
    for nothing in [json!({}), json!({"mode": "MPOL_DEFAULT"}), Value::Null] {
        let facts = t.podrun().facts(&t.bundle().set("/linux/memoryPolicy", nothing));
        assert_eq!(facts["memory_policy"], json!({"mode": 0, "nodes": []}));
    }
}

fn memory_policy_that_makes_no_sense_is_refused(t: &Test) {
    let flags = json!(["MPOL_F_NUMA_BALANCING", "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]);
    refused(
        t,
        "/linux/memoryPolicy",
        &[
            (json!({"mode": "INTERLEAVE", "nodes": "0"}), "linux.memoryPolicy.mode: invalid memory policy"),
            (json!({"nodes": "0-7"}), "invalid memory policy mode"),
            (
                json!({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["badflag"]}),
                "invalid memory policy flag",
            ),
            (json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}), "invalid memory policy node"),
            // What does not go together, the kernel says.
            (json!({"mode": "MPOL_DEFAULT", "nodes": "0-7", "flags": flags}), "invalid argument"),
            (json!({"mode": "MPOL_BIND", "nodes": "1000"}), "set_mempolicy (linux.memoryPolicy)"),
        ],
    );
}

fn process_file_that_says_little_has_the_rest_of_the_container(t: &Test) {
    let podrun = t.podrun();
    let kill = json!(["CAP_KILL"]);
    let bundle = t
        .bundle()
        .args(&["/bin/probe", "sleep", "300"])
        .set("/process/capabilities", json!({"bounding": kill, "effective": kill, "permitted": kill}))
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}]))
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    podrun.up(&bundle, "c");
    let facts = exec_facts(&podrun, &["--process", &process_file(t, "env", &json!([]))]);
    assert_eq!(facts["uids"][0], 0, "a process without a user is root's, as with runc");
    assert_eq!(facts::capabilities(&facts, "effective"), 1 << 5);
    assert_eq!(facts["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 99, "hard": 99}));
    assert_eq!(facts["no_new_privs"], true);
    let none = process_file(t, "capabilities", &json!({}));
    assert_eq!(facts::capabilities(&exec_facts(&podrun, &["--process", &none]), "effective"), 0);
    podrun.remove("c");
}

fn apparmor_profile_is_refused_where_there_is_no_apparmor(t: &Test) {
    let podrun = t.podrun();
    let bundle = |profile: &str| t.bundle().set("/process/apparmorProfile", json!(profile));
    // What docker and Podman write where a container is not to be confined; without AppArmor none is.
    podrun.facts(&bundle("unconfined"));
    if machine::has_apparmor() {
        podrun.run_bundle(&bundle("podrun-test-not-loaded"), "c").refused(&["apparmor", "apparmor_parser"]);
        skip("AppArmor is there");
    }
    podrun.run_bundle(&bundle("some-profile"), "c").refused(&[
        "process.apparmorProfile",
        "not enabled",
        "hint",
    ]);
    up(t, &podrun, "/process/env", &json!(["PATH=/bin"]));
    podrun
        .run(&["exec", "--apparmor", "some-profile", "c", "/bin/probe", "exit", "0"])
        .exits(255)
        .says(&["--apparmor", "not enabled"]);
    let file = process_file(t, "apparmorProfile", &json!("some-profile"));
    podrun.run(&["exec", "--process", &file, "c"]).exits(255).says(&["apparmorProfile", "not enabled"]);
    podrun.remove("c");
}

/// Profiles that are loaded until this is dropped.
struct Profiles {
    place: PathBuf,
    file: String,
}

impl Profiles {
    #[track_caller]
    fn load(t: &Test, text: &str) -> Self {
        let profiles = Self { place: t.directory("parser"), file: path_text(&t.file("profiles", text)) };
        profiles.parser("--replace").ok();
        profiles
    }

    fn parser(&self, what: &str) -> Outcome {
        Cmd::new(&self.place, ["apparmor_parser", what, "--skip-cache", &self.file]).run()
    }
}

impl Drop for Profiles {
    fn drop(&mut self) {
        self.parser("--remove").ok();
    }
}

fn apparmor_profile_confines_init_and_exec(t: &Test) {
    if !machine::has_apparmor() {
        skip("there is no AppArmor");
    }
    if !machine::has_package("apparmor_parser") {
        skip("there is no apparmor_parser");
    }
    let [strict, lax] = ["strict", "lax"].map(|name| format!("podrun-test-{}-{name}", std::process::id()));
    let profile = |name: &str, denied: &str| {
        format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  capability,\n  network,\n  signal,\n  ptrace,\n  deny {denied} w,\n}}\n"
        )
    };
    let _profiles = Profiles::load(t, &(profile(&strict, "/denied/{,**}") + &profile(&lax, "/other/{,**}")));
    let podrun = t.podrun();
    let bundle = |no_new_privileges: bool| {
        t.bundle()
            .args(&["/bin/probe", "sleep", "300"])
            .mount("tmpfs", "tmpfs", "/denied", &[])
            .set("/process/apparmorProfile", json!(strict))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
    };
    let facts = ["/bin/probe", "facts", "--path", "/denied"];
    for no_new_privileges in [false, true] {
        podrun.up(&bundle(no_new_privileges), "c");
        let current = std::fs::read_to_string(format!("/proc/{}/attr/current", podrun.pid("c")));
        assert_eq!(current.expect("the profile").trim_end(), format!("{strict} (enforce)"));
        // `exec` has the container's, or the one it names.
        let own = podrun.run(&[&["exec", "c"][..], &facts].concat()).ok().json();
        assert_eq!(own["paths"]["/denied"]["write"], "EACCES");
        let other = podrun.run(&[&["exec", "--apparmor", &lax, "c"][..], &facts].concat()).ok().json();
        assert_eq!(other["paths"]["/denied"]["write"], "ok");
        podrun.remove("c");
    }
    // What is not loaded is named, and nothing runs without it.
    podrun.up(&bundle(false), "c");
    let out = podrun.run(&["exec", "--apparmor", "podrun-test-none", "c", "/bin/probe", "exit", "0"]);
    out.exits(255).says(&["podrun-test-none", "apparmor_parser"]);
    podrun.remove("c");
}

fn selinux_labels_are_refused_where_there_is_no_selinux(t: &Test) {
    if machine::has_selinux() {
        skip("SELinux is there");
    }
    let podrun = t.podrun();
    let label = json!("system_u:system_r:container_t:s0:c4,c5");
    for (pointer, field) in
        [("/process/selinuxLabel", "process.selinuxLabel"), ("/linux/mountLabel", "linux.mountLabel")]
    {
        podrun.run_bundle(&t.bundle().set(pointer, label.clone()), "c").refused(&[
            field,
            "SELinux is not enabled",
            "hint",
        ]);
    }
    up(t, &podrun, "/process/env", &json!(["PATH=/bin"]));
    podrun
        .run(&["exec", "--process-label", "system_u:system_r:container_t:s0", "c", "/bin/probe", "exit", "0"])
        .exits(255)
        .says(&["--process-label", "SELinux is not enabled"]);
    podrun.remove("c");
}
