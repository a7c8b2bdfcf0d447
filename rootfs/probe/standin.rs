//! Plays podrun's supervisor to a keeper: takes over what the keeper holds, tells what it sees, and does what it is told.
//!
//! Executed as `podrun:supervisor DIR DATA UID PODRUN [reply]`. What it has taken over and what it is stand in
//! DIR/seen/PID, as one JSON object. Then it takes byte 0 of DIR/pods/UID/lock, says R on descriptor 3 if there is a
//! `reply`, and reads orders, one a line, from the FIFO DIR/say:
//!
//! ```text
//! put TAG PATH | drop TAG | reap PID | quit     said to the keeper; PATH is opened for reading and kept open
//! child CODE                                    a child that ends with the code and is not waited for; its pid to DIR/child
//! exit CODE                                     the end
//! ```

use crate::facts;
use crate::json::{Json, list, object};
use crate::{socket, sys};
use std::ffi::c_int;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

const LINK: c_int = 0;

/// Plays with the words behind the first one, and returns an exit code.
pub fn play(words: &[&str]) -> io::Result<c_int> {
    let [directory, _data, uid, _podrun, reply @ ..] = words else {
        return Err(io::Error::other("started with other words than a supervisor"));
    };
    let directory = Path::new(directory);
    let held = take_over()?;
    tell(directory, &held)?;
    let lock = File::options().read(true).write(true).open(directory.join("pods").join(uid).join("lock"))?;
    sys::lock_first_byte(lock.as_raw_fd())?;
    if *reply == ["reply"] {
        sys::write_fd(3, b"R")?;
        sys::close_fd(3);
    }
    loop {
        for line in io::BufReader::new(File::open(directory.join("say"))?).lines() {
            if let Some(code) = obey(directory, &line?)? {
                return Ok(code);
            }
        }
    }
}

/// Tags and numbers of the descriptors that the keeper hands over.
fn take_over() -> io::Result<Vec<(String, c_int)>> {
    let mut held = Vec::new();
    loop {
        let (text, fds) = socket::receive_descriptors(LINK)?;
        match (text.split_at_checked(1), &fds[..]) {
            (Some(("H", tag)), [fd]) => held.push((tag.to_owned(), *fd)),
            (Some(("E", "")), []) => return Ok(held),
            _ => {
                return Err(io::Error::other(format!(
                    "the keeper said {text:?} with {} descriptors",
                    fds.len()
                )));
            }
        }
    }
}

fn tell(directory: &Path, held: &[(String, c_int)]) -> io::Result<()> {
    let target = |fd: &c_int| {
        let link = fs::read_link(format!("/proc/self/fd/{fd}"));
        link.map_or_else(|error| error.to_string(), |path| path.display().to_string())
    };
    let held = held.iter().map(|(tag, fd)| (tag.clone(), Json::from(target(fd)))).collect();
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Json::from(line.unwrap_or_default().trim())
    };
    let seen = object([
        ("held", Json::Object(held)),
        ("capabilities", facts::own_capabilities()),
        ("blocked", field("SigBlk")),
        ("ignored", field("SigIgn")),
        ("no_new_privs", field("NoNewPrivs")),
        ("umask", field("Umask")),
        ("cwd", std::env::current_dir()?.display().to_string().into()),
        ("words", list(std::env::args())),
        ("environment", list(std::env::vars().map(|(name, value)| format!("{name}={value}")))),
        ("streams", list([0, 1, 2, 3].iter().map(target))),
    ]);
    let place = directory.join("seen");
    fs::create_dir_all(&place)?;
    let part = place.join(".part");
    fs::write(&part, format!("{seen}\n"))?;
    fs::rename(part, place.join(sys::pid().to_string()))
}

/// Does one order; an exit code is the end.
fn obey(directory: &Path, order: &str) -> io::Result<Option<c_int>> {
    let number = |text: &str| text.parse::<c_int>().map_err(io::Error::other);
    let words: Vec<&str> = order.split(' ').collect();
    match words[..] {
        ["put", tag, path] => {
            let file = File::open(path)?;
            socket::send_descriptor(LINK, file.as_fd().as_raw_fd(), &format!("P{tag}"))?;
            std::mem::forget(file);
        }
        ["drop", tag] => sys::write_fd(LINK, format!("D{tag}").as_bytes())?,
        ["reap", pid] => sys::write_fd(LINK, &[&b"R"[..], &number(pid)?.to_le_bytes()].concat())?,
        ["quit"] => sys::write_fd(LINK, b"Q")?,
        ["child", code] => {
            let child = std::process::Command::new("/proc/self/exe").args(["exit", code]).spawn()?;
            let mut file = File::create(directory.join("child"))?;
            writeln!(file, "{}", child.id())?;
        }
        ["exit", code] => return Ok(Some(number(code)?)),
        _ => return Err(io::Error::other(format!("unknown order {order:?}"))),
    }
    Ok(None)
}
