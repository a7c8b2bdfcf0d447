//! The instructions in front of a filter that answer ENOSYS to system calls younger than the profile.
//!
//! A program that probes for a new system call falls back on ENOSYS, not on the EPERM that most profiles return for
//! what they do not name; glibc broke in every container with faccessat2 and again with clone3. As in runc, whatever
//! has a higher number than all that the profile names counts as younger.

use super::compile::{is_permissive, number};
use super::profile::Profile;
use libseccomp::{ScmpAction, ScmpArch};

// linux/bpf_common.h
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data, linux/seccomp.h
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// SECCOMP_RET_ERRNO with ENOSYS.
const ENOSYS: u32 = 0x0005_0000 | 38;
/// __X32_SYSCALL_BIT: x32 shares the architecture of x86_64 and differs in the number.
const X32: u32 = 0x4000_0000;

/// Kernel architectures that podrun's machines can run, with what libseccomp calls them: the plain one, and the one
/// with [`X32`] in its numbers.
const KERNEL: [(u32, ScmpArch, Option<ScmpArch>); 4] = [
    (0xc000_003e, ScmpArch::X8664, Some(ScmpArch::X32)), // AUDIT_ARCH_X86_64
    (0x4000_0003, ScmpArch::X86, None),                  // AUDIT_ARCH_I386
    (0xc000_00b7, ScmpArch::Aarch64, None),              // AUDIT_ARCH_AARCH64
    (0x4000_0028, ScmpArch::Arm, None),                  // AUDIT_ARCH_ARM
];

#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

const fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, k }
}

const fn test(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}

/// The stub for `profile` in native byte order; falls through to what follows it. Empty where nothing is refused
/// anyway, or with ENOSYS already.
pub fn for_profile(profile: &Profile) -> Vec<u8> {
    if is_permissive(profile.default) || profile.default == ScmpAction::Errno(libc::ENOSYS) {
        return Vec::new();
    }
    let native = ScmpArch::native();
    let filtered = |arch: ScmpArch| {
        arch == native
            || profile.architectures.iter().any(|a| *a == arch || (*a == ScmpArch::Native && arch == native))
    };
    let youngest = |arch: ScmpArch| if filtered(arch) { youngest(profile, arch) } else { None };
    let sections: Vec<_> = KERNEL
        .iter()
        .map(|(kernel, plain, marked)| (*kernel, youngest(*plain), marked.and_then(youngest)))
        .filter(|(_, plain, marked)| plain.is_some() || marked.is_some())
        .collect();
    encode(&assemble(&sections))
}

/// The highest number that the profile names, whatever it says about it.
fn youngest(profile: &Profile, arch: ScmpArch) -> Option<u32> {
    let names = profile.rules.iter().flat_map(|rule| &rule.names);
    names.filter_map(|name| u32::try_from(number(name, arch)?.as_raw_syscall()).ok()).max()
}

/// Lays out one section per kernel architecture: `(architecture, youngest plain number, youngest x32 number)`.
fn assemble(sections: &[(u32, Option<u32>, Option<u32>)]) -> Vec<Instruction> {
    let mut program = vec![plain(LOAD, ARCHITECTURE)];
    for (architecture, plain_youngest, marked_youngest) in sections {
        let (unmarked, marked) = (limit(*plain_youngest), limit(*marked_youngest));
        // Lengths are 7 at most: two limits of 3 and the test of the bit.
        let over = |instructions: &[Instruction]| u8::try_from(instructions.len()).unwrap_or(u8::MAX);
        let mut section = vec![plain(LOAD, NUMBER), test(JUMP_SET, X32, over(&unmarked), 0)];
        section.extend(unmarked);
        section.extend(marked);
        program.push(test(JUMP_EQUAL, *architecture, 0, over(&section)));
        program.extend(section);
    }
    // Every jump leads to the filter behind the stub; how far that is shows only now.
    let end = program.len();
    for (at, instruction) in program.iter_mut().enumerate() {
        if instruction.code == JUMP {
            instruction.k = u32::try_from(end - at - 1).unwrap_or(u32::MAX);
        }
    }
    program
}

/// ENOSYS above `youngest`, else on to the filter.
fn limit(youngest: Option<u32>) -> Vec<Instruction> {
    let to_filter = plain(JUMP, 0);
    match youngest {
        Some(number) => vec![test(JUMP_GREATER, number, 0, 1), plain(RETURN, ENOSYS), to_filter],
        None => vec![to_filter],
    }
}

fn encode(program: &[Instruction]) -> Vec<u8> {
    let bytes = |i: &Instruction| {
        let (code, k) = (i.code.to_ne_bytes(), i.k.to_ne_bytes());
        [code[0], code[1], i.jump_true, i.jump_false, k[0], k[1], k[2], k[3]]
    };
    program.iter().flat_map(bytes).collect()
}
