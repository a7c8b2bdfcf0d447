//! linux.seccomp: what the filter does, and the cache of compiled filters.

use crate::harness::{Bundle, Case, Runtime, Test, case};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(seccomp_denies_a_call_with_its_errno),
        case!(seccomp_works_without_no_new_privileges),
        case!(seccomp_compares_arguments),
        case!(seccomp_actions_do_what_they_say),
        case!(seccomp_default_action_has_its_number),
        case!(seccomp_skips_calls_it_does_not_know),
        case!(seccomp_filter_is_compiled_once),
        case!(seccomp_cache_that_is_damaged_is_made_again),
        case!(seccomp_with_wrong_action_is_refused),
    ]
}

fn seccomp(default: &str, calls: &Value) -> Value {
    json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": calls})
}

fn deny(call: &str, errno: u32) -> Value {
    seccomp("SCMP_ACT_ALLOW", &json!([{"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]))
}

#[track_caller]
fn asked(podrun: &Runtime, bundle: &Bundle) -> Value {
    podrun.run_bundle(bundle, "c").ok().json()["errno"].clone()
}

fn seccomp_denies_a_call_with_its_errno(t: &Test) {
    let podrun = t.podrun();
    let bundle = t
        .bundle()
        .args(&["/bin/probe", "seccomp-check", "swapon"])
        .set("/linux/seccomp", deny("swapon", 122));
    assert_eq!(asked(&podrun, &bundle), "EDQUOT");
    let other =
        t.bundle().args(&["/bin/probe", "seccomp-check", "mount"]).set("/linux/seccomp", deny("swapon", 122));
    assert_ne!(asked(&podrun, &other), "EDQUOT");
    let facts = podrun.facts(&t.bundle().set("/linux/seccomp", deny("swapon", 122)));
    assert_eq!((&facts["seccomp"], &facts["seccomp_filters"]), (&json!(2), &json!(1)));
    let without_number = json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]);
    let bundle = t.bundle().args(&["/bin/probe", "seccomp-check", "swapon"]);
    let bundle = bundle.set("/linux/seccomp", seccomp("SCMP_ACT_ALLOW", &without_number));
    assert_eq!(asked(&podrun, &bundle), "EPERM");
}

fn seccomp_works_without_no_new_privileges(t: &Test) {
    let podrun = t.podrun();
    for user in [0, 1000] {
        let bundle = t
            .bundle()
            .args(&["/bin/probe", "seccomp-check", "keyctl"])
            .set("/process/noNewPrivileges", json!(false))
            .set("/process/user", json!({"uid": user, "gid": user}))
            .set("/linux/seccomp", deny("keyctl", 95));
        assert_eq!(asked(&podrun, &bundle), "EOPNOTSUPP");
        // The working directory has been entered, and looked at, by then.
        let bundle = t
            .bundle()
            .args(&["/bin/probe", "exit", "3"])
            .set("/process/cwd", json!("/tmp"))
            .set("/process/noNewPrivileges", json!(false))
            .set("/process/user", json!({"uid": user, "gid": user}))
            .set("/linux/seccomp", deny("getcwd", 1));
        podrun.run_bundle(&bundle, "c").exits(3);
    }
}

fn seccomp_compares_arguments(t: &Test) {
    let podrun = t.podrun();
    // What the probe passes is not known here, so: nothing equals this, and everything differs from it.
    for (op, denied) in [("SCMP_CMP_EQ", false), ("SCMP_CMP_NE", true)] {
        let rule = json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122,
                           "args": [{"index": 0, "value": 0x1234_5678, "op": op}]}]);
        let bundle = t.bundle().args(&["/bin/probe", "seccomp-check", "swapon"]);
        let errno = asked(&podrun, &bundle.set("/linux/seccomp", seccomp("SCMP_ACT_ALLOW", &rule)));
        assert_eq!(errno == "EDQUOT", denied, "{op}: {errno}");
    }
}

fn seccomp_actions_do_what_they_say(t: &Test) {
    const SIGSYS: i32 = 31;
    let podrun = t.podrun();
    let core = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let run = |action: Value, no_new_privileges: bool| {
        let mut rule = json!({"names": ["swapon"]});
        rule.as_object_mut().expect("an object").extend(action.as_object().expect("an object").clone());
        let bundle = t
            .bundle()
            .args(&["/bin/probe", "seccomp-check", "swapon"])
            .set("/process/rlimits", core.clone())
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            // What kills PID 1 is no signal from its own namespace.
            .set("/linux/seccomp", seccomp("SCMP_ACT_ALLOW", &json!([rule])));
        podrun.run_bundle(&bundle, "c")
    };
    for no_new_privileges in [true, false] {
        for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
            run(json!({"action": action}), no_new_privileges).exits(128 + SIGSYS);
        }
        let answer = |action: Value| run(action, no_new_privileges).ok().json()["errno"].clone();
        assert_eq!(answer(json!({"action": "SCMP_ACT_TRACE"})), "ENOSYS", "nobody traces");
        assert_eq!(answer(json!({"action": "SCMP_ACT_TRACE", "errnoRet": 7})), "ENOSYS");
        assert_eq!(answer(json!({"action": "SCMP_ACT_LOG"})), "EINVAL", "the kernel's own answer");
        assert_eq!(answer(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 0})), Value::Null, "no error");
    }
}

fn seccomp_default_action_has_its_number(t: &Test) {
    let podrun = t.podrun();
    let all = podrun_allows();
    for (number, errno) in [(json!(6), "ENXIO"), (json!(null), "EPERM")] {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": number,
            "syscalls": [{"names": all, "action": "SCMP_ACT_ALLOW"}]});
        let bundle =
            t.bundle().args(&["/bin/probe", "seccomp-check", "swapon"]).set("/linux/seccomp", profile);
        assert_eq!(asked(&podrun, &bundle), errno);
    }
}

/// All that a static program and what starts it call, and one call that is younger than swapon.
fn podrun_allows() -> Vec<&'static str> {
    vec![
        "arch_prctl",
        "brk",
        "clock_gettime",
        "close",
        "execve",
        "exit",
        "exit_group",
        "fstat",
        "futex",
        "getrandom",
        "gettid",
        "getpid",
        "ioctl",
        "madvise",
        "mmap",
        "mprotect",
        "mremap",
        "munmap",
        "newfstatat",
        "openat",
        "poll",
        "prctl",
        "prlimit64",
        "read",
        "readlinkat",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "sched_getaffinity",
        "set_robust_list",
        "set_tid_address",
        "sigaltstack",
        "tgkill",
        "uname",
        "write",
        "writev",
        "faccessat2",
    ]
}

fn seccomp_skips_calls_it_does_not_know(t: &Test) {
    let rule = json!([{"names": ["no_such_call", "swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]);
    let bundle = t.bundle().args(&["/bin/probe", "seccomp-check", "swapon"]);
    let errno = asked(&t.podrun(), &bundle.set("/linux/seccomp", seccomp("SCMP_ACT_ALLOW", &rule)));
    assert_eq!(errno, "EDQUOT");
}

fn cached(podrun: &Runtime) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let entries = std::fs::read_dir(podrun.root().join("seccomp")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| (entry.path(), entry.metadata().and_then(|m| m.modified()).expect("a time")))
        .collect();
    files.sort();
    files
}

fn seccomp_filter_is_compiled_once(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().set("/linux/seccomp", deny("swapon", 122));
    podrun.facts(&bundle);
    let first = cached(&podrun);
    assert_eq!(first.len(), 1, "{first:?}");
    podrun.facts(&bundle);
    assert_eq!(cached(&podrun), first, "the second container found the filter in the cache");
    podrun.facts(&t.bundle().set("/linux/seccomp", deny("swapon", 111)));
    assert_eq!(cached(&podrun).len(), 2, "another profile has another filter");
}

fn seccomp_cache_that_is_damaged_is_made_again(t: &Test) {
    let podrun = t.podrun();
    let bundle = t
        .bundle()
        .args(&["/bin/probe", "seccomp-check", "swapon"])
        .set("/linux/seccomp", deny("swapon", 122));
    assert_eq!(asked(&podrun, &bundle), "EDQUOT");
    for damage in [&b""[..], b"garbage", &[0; 64]] {
        let (path, _) = cached(&podrun).pop().expect("a cached filter");
        std::fs::write(&path, damage).expect("to damage it");
        assert_eq!(asked(&podrun, &bundle), "EDQUOT", "after writing {damage:?}");
    }
}

fn seccomp_with_wrong_action_is_refused(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().set("/linux/seccomp", seccomp("SCMP_ACT_SMILE", &json!([])));
    podrun.run_bundle(&bundle, "c").refused(&["SCMP_ACT_SMILE"]);
    let bundle = t.bundle().set("/linux/seccomp", json!({"syscalls": []}));
    podrun.run_bundle(&bundle, "c").refused(&["seccomp", "defaultAction"]);
    let bundle = t.bundle().set("/linux/seccomp/architectures", json!(["SCMP_ARCH_ABACUS"]));
    let bundle = bundle.set("/linux/seccomp/defaultAction", json!("SCMP_ACT_ALLOW"));
    podrun.run_bundle(&bundle, "c").refused(&["SCMP_ARCH_ABACUS"]);
}
