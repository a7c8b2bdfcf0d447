//! Exit codes, decided here and nowhere else.

use super::argv::Glance;
use crate::error::{Error, Kind};
use std::os::unix::ffi::OsStrExt;

/// The exit code for a command that failed.
///
/// 1, except that `exec` says 255 when it could not start the program, as runc does; that the pod and the image face say
/// 2 for a wrong command line; and that `pod exec` and `pod run` tell a program that is not there from one that cannot be
/// executed, as shells do.
pub fn for_error(glance: &Glance, error: &Error) -> u8 {
    match (glance.command.as_bytes(), glance.subcommand.as_bytes(), error.kind()) {
        (b"exec", _, kind) if kind != Kind::Usage => 255,
        (b"pod" | b"image", _, Kind::Usage) => 2,
        (b"pod", b"exec" | b"run", Kind::NotExecutable) => 126,
        (b"pod", b"exec" | b"run", Kind::NoProgram) => 127,
        _ => 1,
    }
}

/// The exit code for a command that ended: 0, or a program's code, which the kernel cuts to eight bits as well.
pub fn for_program(code: i32) -> u8 {
    code.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let table = [
            ("create", "", Kind::Usage, 1),
            ("state", "", Kind::NotFound, 1),
            ("exec", "", Kind::Usage, 1),
            ("exec", "", Kind::NotFound, 255),
            ("pod", "create", Kind::Usage, 2),
            ("pod", "create", Kind::Host, 1),
            ("pod", "exec", Kind::NotFound, 1),
            ("pod", "exec", Kind::NotExecutable, 126),
            ("pod", "exec", Kind::NoProgram, 127),
            ("pod", "run", Kind::NoProgram, 127),
            ("exec", "", Kind::NoProgram, 255),
            ("image", "import", Kind::Usage, 2),
            ("image", "remove", Kind::NotFound, 1),
            ("", "", Kind::Usage, 1),
        ];
        for (command, subcommand, kind, code) in table {
            let glance =
                Glance { command: command.into(), subcommand: subcommand.into(), ..Glance::default() };
            assert_eq!(for_error(&glance, &Error::new(kind, "x")), code, "{command} {kind:?}");
        }
        assert_eq!([for_program(0), for_program(137), for_program(256)], [0, 137, 0]);
    }
}
