//! The BPF program that decides over device access on v2: a device policy as instructions.
//!
//! Rules are looked at from the last to the first, keeping the ways of access (read, write, mknod) that no rule has
//! spoken about yet: an allowing rule crosses its ways off, and nothing left means yes; a denying rule that names
//! one still open means no. What no rule settles is decided by the policy's verdict for all devices.

use super::devices::{ALL, DeviceType, Policy, Rule};
use crate::sys::bpf::Instruction;

/// Instruction codes and registers, linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_W | BPF_MEM
const COPY: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_IF_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_NOT_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const VERDICT: u8 = 0;
/// On entry the `struct bpf_cgroup_dev_ctx`, later scratch.
const CONTEXT: u8 = 1;
const SCRATCH: u8 = 1;
const TYPE: u8 = 2;
const OPEN: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

fn constant(code: u8, register: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: register, offset, immediate }
}

fn registers(code: u8, to: u8, from: u8, offset: i16) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, immediate: 0 }
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [constant(SET, VERDICT, 0, allow.into()), constant(EXIT, 0, 0, 0)]
}

/// The program for a policy; `None` where everything is allowed and none is needed.
pub(super) fn program(policy: &Policy) -> Option<Vec<Instruction>> {
    if policy.allow && policy.rules.iter().all(|rule| rule.allow) {
        return None;
    }
    let mut program = vec![
        // access_type has the type in its low half, the ways of access in the high one.
        registers(LOAD_WORD, TYPE, CONTEXT, 0),
        registers(COPY, OPEN, TYPE, 0),
        constant(AND, TYPE, 0, 0xffff),
        constant(SHIFT_RIGHT, OPEN, 0, 16),
        registers(LOAD_WORD, MAJOR, CONTEXT, 4),
        registers(LOAD_WORD, MINOR, CONTEXT, 8),
    ];
    for rule in policy.rules.iter().rev() {
        program.extend(block(rule));
    }
    program.extend(verdict(policy.allow));
    Some(program)
}

fn block(rule: &Rule) -> Vec<Instruction> {
    let kind = if rule.devices.kind == DeviceType::Block { BLOCK } else { CHARACTER };
    // Device numbers have at most 20 bits, so nothing is cut.
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let mut tests = vec![(TYPE, kind)];
    tests.extend(rule.devices.major.map(|n| (MAJOR, number(n))));
    tests.extend(rule.devices.minor.map(|n| (MINOR, number(n))));
    let mut action = Vec::new();
    if rule.allow {
        action.push(constant(AND, OPEN, 0, i32::from(ALL & !rule.access)));
        action.push(constant(JUMP_IF_NOT_EQUAL, OPEN, 2, 0));
    } else {
        action.push(registers(COPY, SCRATCH, OPEN, 0));
        action.push(constant(AND, SCRATCH, 0, rule.access.into()));
        action.push(constant(JUMP_IF_EQUAL, SCRATCH, 2, 0));
    }
    action.extend(verdict(rule.allow));
    // A test that fails jumps over what is left of the block: the tests after it and the action.
    let mut left = tests.len() + action.len();
    let mut block: Vec<Instruction> = tests
        .into_iter()
        .map(|(register, value)| {
            left -= 1;
            constant(JUMP_IF_NOT_EQUAL, register, i16::try_from(left).unwrap_or(i16::MAX), value)
        })
        .collect();
    block.extend(action);
    block
}

#[cfg(test)]
mod tests {
    use super::super::devices::{MKNOD, READ, WRITE};
    use super::*;

    fn policy(json: &str) -> Policy {
        Policy::parse(&serde_json::from_str::<Vec<oci_spec::runtime::LinuxDeviceCgroup>>(json).unwrap())
            .unwrap()
    }

    /// Does what the kernel does with the program.
    fn run(program: &[Instruction], kind: i32, access: u8, major: u32, minor: u32) -> bool {
        let context = [i64::from(access) << 16 | i64::from(kind), i64::from(major), i64::from(minor)];
        let mut register = [0i64; 6];
        let mut at = 0;
        loop {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let value = i64::from(i.immediate);
            let mut jump = false;
            match i.code {
                LOAD_WORD => register[to] = context[usize::try_from(i.offset / 4).unwrap()],
                COPY => register[to] = register[from],
                SET => register[to] = value,
                AND => register[to] &= value,
                SHIFT_RIGHT => register[to] >>= value,
                JUMP_IF_EQUAL => jump = register[to] == value,
                JUMP_IF_NOT_EQUAL => jump = register[to] != value,
                EXIT => return register[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
            at += 1 + if jump { usize::try_from(i.offset).unwrap() } else { 0 };
        }
    }

    #[test]
    fn the_program_decides_as_the_list_says() {
        let list = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":10,"access":"rw"},
            {"allow":false,"type":"c","major":10,"minor":9,"access":"w"},
            {"allow":true,"type":"b","major":8,"minor":1,"access":"r"}]"#;
        let program = program(&policy(list)).unwrap();
        let character = |access, major, minor| run(&program, CHARACTER, access, major, minor);
        let block = |access, major, minor| run(&program, BLOCK, access, major, minor);
        assert!(
            character(READ | WRITE, 1, 3) && character(READ, 136, 77) && character(READ | WRITE, 10, 200)
        );
        assert!(character(MKNOD, 99, 99) && block(MKNOD, 99, 99));
        assert!(!character(READ, 99, 99) && !character(READ | MKNOD, 99, 99) && !block(READ, 1, 3));
        assert!(character(READ | WRITE, 10, 8) && character(READ, 10, 9));
        assert!(!character(WRITE, 10, 9) && !character(READ | WRITE, 10, 9));
        assert!(block(READ, 8, 1) && block(READ | MKNOD, 8, 1) && !block(WRITE, 8, 1) && !block(READ, 8, 2));
    }

    #[test]
    fn a_base_that_allows() {
        assert_eq!(program(&policy(r#"[{"allow":true}]"#)), None);
        let list = r#"[{"allow":true},{"allow":false,"type":"b","major":8,"access":"rwm"}]"#;
        let program = program(&policy(list)).unwrap();
        assert!(!run(&program, BLOCK, READ, 8, 0) && run(&program, BLOCK, READ, 9, 0));
        assert!(run(&program, BLOCK, MKNOD, 8, 0)); // one of the defaults
        assert!(run(&program, CHARACTER, READ, 8, 0));
    }
}
