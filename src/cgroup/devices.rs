//! `linux.resources.devices`: from the ordered list of config.json to what the kernel takes, v1 files here, the v2
//! program in [`device_filter`].

use super::write::Setting;
use super::{Cgroup, Group, Mode, device_filter};
use crate::error::{Context, Error, Result};
use crate::sys::bpf;
use crate::sys::fs::{open_existing, write_all_at_once};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::fmt;
use std::os::fd::AsFd;

const FIELD: &str = "linux.resources.devices";

/// Ways to use a device, numbered as the kernel does (BPF_DEVCG_ACC_*).
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
pub(super) const ALL: u8 = MKNOD | READ | WRITE;

/// Block or character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceType {
    Block,
    Character,
}

/// One device, or many: `None` stands for every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) kind: DeviceType,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

/// What a rule, or an exception of a v1 list, says about devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) devices: Devices,
    pub(super) access: u8,
}

/// What holds for every device, and the rules that change it; of those that match, the last wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) allow: bool,
    pub(super) rules: Vec<Rule>,
}

const fn defaults(major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
    Rule { allow: true, devices: Devices { kind: DeviceType::Character, major, minor }, access }
}

/// What runc allows every container, whatever its list says, and images have come to rely on.
const DEFAULTS: [Rule; 11] = [
    defaults(None, None, MKNOD),
    Rule {
        allow: true,
        devices: Devices { kind: DeviceType::Block, major: None, minor: None },
        access: MKNOD,
    },
    defaults(Some(1), Some(3), ALL),    // null
    defaults(Some(1), Some(5), ALL),    // zero
    defaults(Some(1), Some(7), ALL),    // full
    defaults(Some(1), Some(8), ALL),    // random
    defaults(Some(1), Some(9), ALL),    // urandom
    defaults(Some(5), Some(0), ALL),    // tty
    defaults(Some(5), Some(2), ALL),    // ptmx
    defaults(Some(136), None, ALL),     // pts/*
    defaults(Some(10), Some(200), ALL), // net/tun
];

impl Devices {
    fn overlaps(&self, other: &Devices) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }

    fn covers(&self, other: &Devices) -> bool {
        let within = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
        self.kind == other.kind && within(self.major, other.major) && within(self.minor, other.minor)
    }
}

impl fmt::Display for Rule {
    /// As v1 files take it: `c 136:* rwm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.devices.kind == DeviceType::Block { 'b' } else { 'c' };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{kind} {}:{} ", number(self.devices.major), number(self.devices.minor))?;
        let letters = [(READ, "r"), (WRITE, "w"), (MKNOD, "m")];
        letters
            .iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl Policy {
    /// Reads the list. Nothing is allowed before its first rule, as with runc; the defaults come last.
    pub(super) fn parse(list: &[LinuxDeviceCgroup]) -> Result<Self> {
        let mut policy = Policy { allow: false, rules: Vec::new() };
        for (index, entry) in list.iter().enumerate() {
            let invalid = |why: &str| {
                Error::user(format!("invalid {FIELD}[{index}]: {why}"))
                    .hint(r#"write it like {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"}"#)
            };
            match parse_one(entry).map_err(invalid)? {
                Some(rule) => policy.rules.push(rule),
                // All devices: what was said before no longer matters.
                None => policy = Policy { allow: entry.allow(), rules: Vec::new() },
            }
        }
        policy.rules.extend(DEFAULTS);
        Ok(policy)
    }

    /// The policy as v1 holds it: a verdict for all devices and exceptions to it, which cannot have exceptions in
    /// turn. The kernel would ignore those without a word.
    fn exceptions(&self) -> Result<Vec<Rule>> {
        let mut exceptions: Vec<Rule> = Vec::new();
        for rule in &self.rules {
            if rule.allow != self.allow {
                match exceptions.iter_mut().find(|e| e.devices == rule.devices) {
                    Some(same) => same.access |= rule.access,
                    None => exceptions.push(*rule),
                }
                continue;
            }
            let overlapping =
                |e: &&mut Rule| rule.devices.overlaps(&e.devices) && rule.access & e.access != 0;
            for exception in exceptions.iter_mut().filter(overlapping) {
                if !rule.devices.covers(&exception.devices) {
                    let (this, earlier) = (rule.to_string(), exception.to_string());
                    let (verb, before) = if rule.allow { ("allow", "denied") } else { ("deny", "allowed") };
                    return Err(Error::user(format!(
                        "cannot apply {FIELD}: cgroup v1 cannot {verb} \"{this}\" out of \"{earlier}\", {before} before"
                    ))
                    .hint("list the single devices instead, or use a host with cgroup v2"));
                }
                exception.access &= !rule.access;
            }
        }
        exceptions.retain(|e| e.access != 0);
        Ok(exceptions)
    }
}

/// `None` for a rule about all devices.
fn parse_one(entry: &LinuxDeviceCgroup) -> Result<Option<Rule>, &'static str> {
    let major = number(entry.major())?;
    let minor = number(entry.minor())?;
    let access = access(entry.access().as_deref().unwrap_or_default())?;
    let kind = match entry.typ() {
        Some(LinuxDeviceType::B) => DeviceType::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceType::Character,
        Some(LinuxDeviceType::P) => return Err("a FIFO is no device"),
        None | Some(LinuxDeviceType::A) => {
            return match (major, minor, access) {
                (None, None, 0 | ALL) => Ok(None),
                _ => Err("a rule for single devices needs the type \"c\" or \"b\""),
            };
        }
    };
    match (access, entry.allow()) {
        (0, true) => Err("the access is missing"),
        (0, false) => Ok(Some(Rule { allow: false, devices: Devices { kind, major, minor }, access: ALL })),
        (access, allow) => Ok(Some(Rule { allow, devices: Devices { kind, major, minor }, access })),
    }
}

/// -1 and nothing mean every number. The kernel's device numbers have 12 bits for the major, 20 for the minor.
fn number(value: Option<i64>) -> Result<Option<u32>, &'static str> {
    match value {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|n| *n < 1 << 20)
            .map(Some)
            .ok_or("there is no such device number"),
    }
}

fn access(letters: &str) -> Result<u8, &'static str> {
    letters.chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        _ => Err("the access is made of the letters r, w and m"),
    })
}

/// Whether the list can be applied on a host of this kind.
pub(super) fn check(list: &[LinuxDeviceCgroup], mode: Mode) -> Result<()> {
    let policy = Policy::parse(list)?;
    if mode == Mode::V2 { Ok(()) } else { policy.exceptions().map(drop) }
}

/// Makes the list hold for the group.
pub(super) fn apply(cgroup: &Cgroup, list: &[LinuxDeviceCgroup]) -> Result<()> {
    let policy = Policy::parse(list)?;
    let group = cgroup.controller("devices", FIELD)?;
    if group.is_v2() { apply_v2(group, &policy) } else { apply_v1(group, &policy) }
}

fn apply_v1(group: &Group, policy: &Policy) -> Result<()> {
    let (base, other) =
        if policy.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    Setting { field: FIELD, group, file: base }.write("a")?;
    let exceptions = policy.exceptions()?;
    if exceptions.is_empty() {
        return Ok(());
    }
    // cgroups-rs takes rules apart into its own types and opens the file for each.
    let setting = Setting { field: FIELD, group, file: other };
    let file = open_existing(&group.dir.join(other), libc::O_WRONLY)
        .context(|| format!("cannot open {}", group.dir.join(other).display()))?;
    exceptions
        .iter()
        .map(ToString::to_string)
        .try_for_each(|rule| setting.io(&rule, write_all_at_once(file.as_fd(), rule.as_bytes())))
}

fn apply_v2(group: &Group, policy: &Policy) -> Result<()> {
    let Some(program) = device_filter::program(policy) else { return Ok(()) };
    let hint = |e: Error| e.hint("the kernel needs CONFIG_CGROUP_BPF, and podrun CAP_BPF or CAP_SYS_ADMIN");
    let doing = || format!("cannot apply {FIELD} to {}", group.dir.display());
    let program = bpf::load_device_program(&program)
        .context(|| "cannot load the device filter")
        .context(doing)
        .map_err(hint)?;
    let dir = open_existing(&group.dir, libc::O_RDONLY | libc::O_DIRECTORY).context(doing)?;
    bpf::attach_device_program(dir.as_fd(), program.as_fd())
        .context(|| "cannot attach the device filter")
        .context(doing)
        .map_err(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<Policy> {
        Policy::parse(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).unwrap())
    }

    fn v1(json: &str) -> (bool, Vec<String>) {
        let policy = policy(json).unwrap();
        let exceptions = policy.exceptions().unwrap();
        (policy.allow, exceptions.iter().map(ToString::to_string).collect())
    }

    const DENY_ALL: &str = r#"{"allow":false,"access":"rwm"}"#;

    #[test]
    fn denied_but_for_the_list_and_the_defaults() {
        let (allow, exceptions) = v1(&format!(
            r#"[{DENY_ALL},{{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}},
            {{"allow":true,"type":"c","major":1,"minor":3,"access":"r"}}]"#
        ));
        assert!(!allow);
        assert_eq!(exceptions[..3], ["c 10:229 rw", "c 1:3 rwm", "c *:* m"]);
        assert_eq!(exceptions.len(), 12);
        // An empty list is the same without the extra device; what precedes a rule for all is forgotten.
        assert_eq!(v1("[]").1.len(), 11);
        assert_eq!(v1(&format!(r#"[{{"allow":true,"type":"b","access":"r"}},{DENY_ALL}]"#)), v1("[]"));
        assert_eq!(v1("[]").1[..4], ["c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm"]);
    }

    #[test]
    fn privileged_containers_have_every_device() {
        assert_eq!(v1(r#"[{"allow":true,"type":"a","major":-1,"minor":-1,"access":"rwm"}]"#), (true, vec![]));
        let but_one = r#"[{"allow":true},{"allow":false,"type":"b","major":8,"minor":0,"access":"rwm"}]"#;
        assert_eq!(v1(but_one), (true, vec!["b 8:0 rw".to_owned()])); // mknod is allowed by default
    }

    #[test]
    fn denials_take_from_what_they_cover() {
        let json = |deny: &str| {
            format!(
                r#"[{DENY_ALL},{{"allow":true,"type":"c","major":7,"minor":1,"access":"rw"}},
                {{"allow":true,"type":"c","major":7,"minor":2,"access":"r"}},{{"allow":false,"type":"c",{deny}}}]"#
            )
        };
        assert_eq!(v1(&json(r#""major":7,"access":"r""#)).1[0], "c 7:1 w");
        assert_eq!(v1(&json(r#""major":7"#)), v1("[]"));
        assert_eq!(v1(&json(r#""major":7,"minor":2,"access":"w""#)).1[..2], ["c 7:1 rw", "c 7:2 r"]);
    }

    #[test]
    fn holes_that_v1_cannot_have_are_refused_there() {
        let list = format!(
            r#"[{DENY_ALL},{{"allow":true,"type":"c","access":"rw"}},
            {{"allow":false,"type":"c","major":9,"minor":9,"access":"w"}}]"#
        );
        let list: Vec<LinuxDeviceCgroup> = serde_json::from_str(&list).unwrap();
        let error = check(&list, Mode::Hybrid).unwrap_err();
        assert!(
            error.to_string().contains(r#"cannot deny "c 9:9 w" out of "c *:* rw", allowed before"#),
            "{error}"
        );
        check(&list, Mode::V2).unwrap();
    }

    #[test]
    fn wrong_rules_are_refused_by_number() {
        for (rule, why) in [
            (r#"{"allow":true,"type":"c","major":1,"minor":3}"#, "the access is missing"),
            (r#"{"allow":true,"type":"c","access":"rx"}"#, "letters"),
            (r#"{"allow":true,"major":1,"minor":3,"access":"rwm"}"#, "needs the type"),
            (r#"{"allow":true,"type":"a","access":"m"}"#, "needs the type"),
            (r#"{"allow":true,"type":"p","access":"rwm"}"#, "FIFO"),
            (r#"{"allow":true,"type":"c","major":-2,"access":"r"}"#, "no such device number"),
            (r#"{"allow":true,"type":"c","major":4294967296,"access":"r"}"#, "no such device number"),
        ] {
            let error = policy(&format!("[{DENY_ALL},{rule}]")).unwrap_err().to_string();
            assert!(
                error.starts_with("invalid linux.resources.devices[1]: ") && error.contains(why),
                "{error}"
            );
        }
    }
}
