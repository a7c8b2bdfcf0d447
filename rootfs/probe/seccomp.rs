//! Asks a seccomp filter about one system call.

use crate::errno;
use crate::json::{Json, object};
use crate::sys;

/// Name, number on x86_64, number on aarch64 (-1: the call does not exist there).
const CALLS: [(&str, i64, i64); 40] = [
    ("acct", 163, 89),
    ("add_key", 248, 217),
    ("bpf", 321, 280),
    ("chmod", 90, -1),
    ("chown", 92, -1),
    ("chroot", 161, 51),
    ("clock_settime", 227, 112),
    ("clone3", 435, 435),
    ("close_range", 436, 436),
    ("delete_module", 176, 106),
    ("fchmodat", 268, 53),
    ("finit_module", 313, 273),
    ("getcwd", 79, 17),
    ("getpid", 39, 172),
    ("getppid", 110, 173),
    ("init_module", 175, 105),
    ("io_uring_setup", 425, 425),
    ("kcmp", 312, 272),
    ("kexec_load", 246, 104),
    ("keyctl", 250, 219),
    ("mkdir", 83, -1),
    ("mkdirat", 258, 34),
    ("mount", 165, 40),
    ("open_by_handle_at", 304, 265),
    ("openat2", 437, 437),
    ("perf_event_open", 298, 241),
    ("personality", 135, 92),
    ("pivot_root", 155, 41),
    ("process_vm_readv", 310, 270),
    ("ptrace", 101, 117),
    ("reboot", 169, 142),
    ("request_key", 249, 218),
    ("setns", 308, 268),
    ("sethostname", 170, 161),
    ("socket", 41, 198),
    ("swapon", 167, 224),
    ("syslog", 103, 116),
    ("umount2", 166, 39),
    ("unshare", 272, 97),
    ("userfaultfd", 323, 282),
];

/// Makes the call with arguments no kernel accepts, and tells what came back.
///
/// Where no filter is in the way the answer is EFAULT, EINVAL, EBADF or the like; a filter answers with its own errno, or kills.
///
/// # Errors
/// A name or number that is not in the table: an unknown call might do something.
pub fn ask(name: &str) -> Result<Json, String> {
    let number = |entry: &&(&str, i64, i64)| if cfg!(target_arch = "aarch64") { entry.2 } else { entry.1 };
    let entry = CALLS.iter().find(|entry| entry.0 == name || number(entry).to_string() == name);
    let entry = entry.ok_or_else(|| format!("cannot ask about {name:?}: not in the probe's table"))?;
    if number(&entry) < 0 {
        return Err(format!("cannot ask about {name:?}: this machine has no such call"));
    }
    let result = sys::call_with_nonsense(number(&entry));
    let errno = result.as_ref().err().map(errno::name);
    Ok(object([("syscall", entry.0.into()), ("result", result.ok().into()), ("errno", errno.into())]))
}
