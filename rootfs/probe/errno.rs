//! Names of error numbers, the same on every machine the probe is built for.

use std::io;

/// The symbolic name of an error number, or the number.
pub fn name(error: &io::Error) -> String {
    const NAMES: [(i32, &str); 38] = [
        (1, "EPERM"),
        (2, "ENOENT"),
        (3, "ESRCH"),
        (4, "EINTR"),
        (5, "EIO"),
        (6, "ENXIO"),
        (7, "E2BIG"),
        (8, "ENOEXEC"),
        (9, "EBADF"),
        (10, "ECHILD"),
        (11, "EAGAIN"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (14, "EFAULT"),
        (15, "ENOTBLK"),
        (16, "EBUSY"),
        (17, "EEXIST"),
        (18, "EXDEV"),
        (19, "ENODEV"),
        (20, "ENOTDIR"),
        (21, "EISDIR"),
        (22, "EINVAL"),
        (24, "EMFILE"),
        (25, "ENOTTY"),
        (26, "ETXTBSY"),
        (27, "EFBIG"),
        (28, "ENOSPC"),
        (29, "ESPIPE"),
        (30, "EROFS"),
        (32, "EPIPE"),
        (36, "ENAMETOOLONG"),
        (38, "ENOSYS"),
        (40, "ELOOP"),
        (95, "EOPNOTSUPP"),
        (111, "ECONNREFUSED"),
        (122, "EDQUOT"),
        (123, "ENOMEDIUM"),
        (126, "ENOKEY"),
    ];
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    NAMES
        .iter()
        .find(|(value, _)| *value == number)
        .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// "ok" or the name of the error.
pub fn outcome<T>(result: &io::Result<T>) -> String {
    result.as_ref().map_or_else(name, |_| "ok".to_owned())
}
