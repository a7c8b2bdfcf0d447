use super::*;
use std::path::PathBuf;

/// A directory that goes away with the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podrun-seccomp-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0;
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

fn native(name: &str) -> u32 {
    u32::try_from(compile::number(name, libseccomp::ScmpArch::Native).unwrap().as_raw_syscall()).unwrap()
}

fn errno(number: i32) -> u32 {
    0x0005_0000 | number.cast_unsigned()
}

/// Runs the program as the kernel would (linux/filter.h) for one system call and returns what it answers.
fn run(program: &[u8], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(architecture.to_ne_bytes());
    data.extend(0u64.to_ne_bytes());
    arguments.iter().for_each(|argument| data.extend(argument.to_ne_bytes()));
    let (mut accumulator, mut at, mut memory) = (0u32, 0usize, [0u32; 16]);
    loop {
        let i = &program[at * 8..at * 8 + 8];
        let (code, k) = (u16::from_ne_bytes([i[0], i[1]]), u32::from_ne_bytes([i[4], i[5], i[6], i[7]]));
        let place = usize::try_from(k).unwrap();
        at += 1;
        let condition = match code {
            0x20 => {
                accumulator = u32::from_ne_bytes(data[place..place + 4].try_into().unwrap());
                continue;
            }
            0x02 => {
                memory[place] = accumulator;
                continue;
            }
            0x60 => {
                accumulator = memory[place];
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += place;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(i[if condition { 2 } else { 3 }]);
    }
}

fn compiled(profile: &str) -> Vec<u8> {
    compile::compile(&Profile::parse(profile).unwrap()).unwrap()
}

fn refusal(profile: &str) -> String {
    check(profile).unwrap_err().to_string()
}

fn one_condition(argument: &str) -> String {
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{argument}]}}]}}"#
    )
}

#[test]
fn every_operator_compares_all_64_bits() {
    const BIG: u64 = (7 << 32) + 5;
    for (operator, expected) in [
        ("NE", [true, false, true]),
        ("LT", [true, false, false]),
        ("LE", [true, true, false]),
        ("EQ", [false, true, false]),
        ("GE", [false, true, true]),
        ("GT", [false, false, true]),
    ] {
        let argument = format!(r#"{{"index": 1, "value": {BIG}, "op": "SCMP_CMP_{operator}"}}"#);
        let program = compiled(&one_condition(&argument));
        for (value, allowed) in [BIG - (1 << 32), BIG, BIG + (1 << 32)].into_iter().zip(expected) {
            let answer = run(&program, NATIVE, native("personality"), [0, value, 0, 0, 0, 0]);
            assert_eq!(answer, if allowed { ALLOW } else { errno(1) }, "{operator} {value:#x}");
        }
    }
}

#[test]
fn masked_equality_masks_with_the_first_value_and_compares_with_the_second() {
    let argument = r#"{"index": 0, "value": 240, "valueTwo": 32, "op": "SCMP_CMP_MASKED_EQ"}"#;
    let program = compiled(&one_condition(argument));
    assert_eq!(run(&program, NATIVE, native("personality"), [0x2f, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&program, NATIVE, native("personality"), [0x3f, 0, 0, 0, 0, 0]), errno(1));
}

#[test]
fn conditions_on_different_arguments_must_all_hold_and_on_one_argument_any() {
    let two = |second: u32| {
        one_condition(&format!(
            r#"{{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}}, {{"index": {second}, "value": 2, "op": "SCMP_CMP_EQ"}}"#
        ))
    };
    let all = compiled(&two(1));
    assert_eq!(run(&all, NATIVE, native("personality"), [1, 2, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&all, NATIVE, native("personality"), [1, 3, 0, 0, 0, 0]), errno(1));
    let any = compiled(&two(0));
    assert_eq!(run(&any, NATIVE, native("personality"), [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&any, NATIVE, native("personality"), [2, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&any, NATIVE, native("personality"), [3, 0, 0, 0, 0, 0]), errno(1));
}

#[test]
fn every_action_has_its_answer() {
    for (action, number, expected) in [
        ("KILL", "", KILL),
        ("KILL_THREAD", "", KILL),
        ("KILL_PROCESS", "", 0x8000_0000),
        ("TRAP", "", 0x0003_0000),
        ("ERRNO", "", errno(1)),
        ("ERRNO", r#", "errnoRet": 38"#, errno(38)),
        ("ERRNO", r#", "errnoRet": 0"#, errno(0)),
        ("TRACE", "", 0x7ff0_0001),
        ("TRACE", r#", "errnoRet": 65535"#, 0x7ff0_ffff),
        ("LOG", "", 0x7ffc_0000),
    ] {
        let program = compiled(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_{action}"{number}}}]}}"#
        ));
        assert_eq!(run(&program, NATIVE, native("read"), [0; 6]), expected, "{action}{number}");
        assert_eq!(run(&program, NATIVE, native("write"), [0; 6]), ALLOW);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn younger_system_calls_get_enosys_on_each_architecture() {
    let program = compiled(
        r#"{"defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": ["read", "clone3", "no_such_call"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    const I386: u32 = 0x4000_0003;
    const CLONE3: u32 = 435; // the same everywhere
    const X32: u32 = 0x4000_0000;
    for architecture in [NATIVE, I386] {
        assert_eq!(run(&program, architecture, CLONE3, [0; 6]), ALLOW);
        assert_eq!(run(&program, architecture, CLONE3 - 1, [0; 6]), errno(1));
        assert_eq!(run(&program, architecture, CLONE3 + 1, [0; 6]), errno(libc::ENOSYS));
    }
    assert_eq!(run(&program, NATIVE, X32 + CLONE3, [0; 6]), ALLOW);
    assert_eq!(run(&program, NATIVE, X32 + 1, [0; 6]), errno(1));
    assert_eq!(run(&program, NATIVE, X32 + CLONE3 + 1, [0; 6]), errno(libc::ENOSYS));
    assert_eq!(run(&program, 1, native("read"), [0; 6]), KILL);
}

#[test]
fn without_architectures_the_machines_own_is_filtered() {
    let program = compiled(
        r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{"names": ["write"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(run(&program, NATIVE, native("write"), [0; 6]), ALLOW);
    assert_eq!(run(&program, NATIVE, native("write") - 1, [0; 6]), 0x8000_0000);
    assert_eq!(run(&program, NATIVE, native("write") + 1, [0; 6]), errno(libc::ENOSYS));
    assert_eq!(run(&program, 1, 4, [0; 6]), KILL);
}

#[test]
fn a_permissive_default_has_no_stub() {
    let program = compiled(
        r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}"#,
    );
    assert_eq!(run(&program, NATIVE, 4000, [0; 6]), 0x7ffc_0000);
}

#[test]
fn a_long_profile_answers_as_a_short_one() {
    let names: Vec<_> = (0..200)
        .filter_map(|number| libseccomp::ScmpSyscall::from(number).get_name().ok())
        .map(|name| format!("{name:?}"))
        .collect();
    let program = compiled(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 2,
            "syscalls": [{{"names": [{}], "action": "SCMP_ACT_ALLOW"}},
                         {{"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}}]}}"#,
        names.join(",")
    ));
    for number in 0..200 {
        assert_eq!(run(&program, NATIVE, number, [0; 6]), ALLOW, "{number}");
    }
    assert_eq!(run(&program, NATIVE, native("bpf"), [0; 6]), errno(2));
    assert_eq!(run(&program, NATIVE, 400, [0; 6]), errno(libc::ENOSYS));
}

#[test]
fn flags_are_those_of_the_profile_or_spec_allow() {
    let flags = |text: &str| {
        Profile::parse(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW"{text}}}"#)).unwrap().flags
    };
    assert_eq!(flags(""), 4);
    assert_eq!(flags(r#", "flags": null"#), 4);
    assert_eq!(flags(r#", "flags": []"#), 0);
    assert_eq!(flags(r#", "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]"#), 2);
    assert_eq!(flags(r#", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#), 6);
}

#[test]
fn a_listener_is_there_exactly_when_something_is_notified() {
    let parsed = |rules: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "flags": [], "listenerPath": "/s", "listenerMetadata": "m", {rules}}}"#
        );
        Profile::parse(&text).unwrap()
    };
    let none = parsed(r#""syscalls": []"#);
    assert_eq!((none.flags, none.listener), (0, None));
    let notifies = parsed(r#""syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]"#);
    assert_eq!(notifies.flags, 8);
    assert_eq!(notifies.listener, Some(super::Listener { path: "/s".into(), metadata: "m".into() }));
    let directory = Scratch::new("listener");
    let cache = directory.path().join("cache");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    let miss = filter(&cache, text).unwrap();
    assert!(miss.listener.is_some());
    assert_eq!(filter(&cache, text).unwrap(), miss);
}

#[test]
fn errors_name_the_field() {
    let rule = |text: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["read"], {text}}}]}}"#)
    };
    let root = |text: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", {text}}}"#);
    for (profile, expected) in [
        ("[]".to_owned(), "linux.seccomp: is not an object"),
        ("{}".to_owned(), "linux.seccomp.defaultAction: is missing"),
        (r#"{"defaultAction": 3}"#.to_owned(), "linux.seccomp.defaultAction: is not a string"),
        (
            root(r#""defaultErrnoRet": 1"#),
            "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no error number",
        ),
        (
            root(r#""architectures": ["SCMP_ARCH_VAX"]"#),
            r#"linux.seccomp.architectures[0]: unknown architecture "SCMP_ARCH_VAX""#,
        ),
        (root(r#""flags": ["F"]"#), r#"linux.seccomp.flags[0]: unknown flag "F""#),
        (root(r#""listenerMetadata": "m""#), "linux.seccomp.listenerMetadata: is given without listenerPath"),
        (root(r#""syscalls": {}"#), "linux.seccomp.syscalls: is not a list"),
        (root(r#""syscalls": [7]"#), "linux.seccomp.syscalls[0]: is not an object"),
        (
            root(r#""syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]"#),
            "linux.seccomp.syscalls[0].names: names no system call",
        ),
        (
            rule(r#""action": "SCMP_ACT_FOO""#),
            r#"linux.seccomp.syscalls[0].action: unknown action "SCMP_ACT_FOO""#,
        ),
        (
            rule(r#""action": "SCMP_ACT_NOTIFY""#),
            "linux.seccomp: listenerPath: is missing, and there are rules with SCMP_ACT_NOTIFY",
        ),
        (
            rule(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 4096"#),
            "linux.seccomp.syscalls[0].errnoRet: 4096 is not a whole number from 0 to 4095",
        ),
        (
            rule(r#""action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]"#),
            "linux.seccomp.syscalls[0].args[0].index: 6 is not a whole number from 0 to 5",
        ),
        (
            rule(r#""action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]"#),
            "linux.seccomp.syscalls[0].args[0].value: -1 is not a whole number from 0 to 18446744073709551615",
        ),
        (
            rule(r#""action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "=="}]"#),
            r#"linux.seccomp.syscalls[0].args[0].op: unknown operator "==""#,
        ),
    ] {
        assert_eq!(refusal(&profile), expected);
    }
    assert!(refusal("{").starts_with("linux.seccomp is not JSON: "));
}

#[test]
fn unknown_properties_are_ignored_and_null_is_absent() {
    check(r#"{"defaultAction": "SCMP_ACT_ALLOW", "comment": 1, "architectures": null, "syscalls": null}"#)
        .unwrap();
}

#[test]
fn a_hit_is_what_the_miss_compiled_and_a_damaged_entry_is_compiled_again() {
    let directory = Scratch::new("round-trip");
    let cache = directory.path().join("cache");
    let profile = one_condition(r#"{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}"#);
    let miss = filter(&cache, &profile).unwrap();
    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let written = std::fs::read(&entry).unwrap();
    assert_eq!(filter(&cache, &profile).unwrap(), miss);
    std::fs::OpenOptions::new().write(true).open(&entry).unwrap().set_len(40).unwrap();
    assert_eq!(filter(&cache, &profile).unwrap(), miss);
    assert_eq!(std::fs::read(&entry).unwrap(), written);
}
