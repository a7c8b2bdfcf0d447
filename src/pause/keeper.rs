//! The mode `keeper`: the process that holds copies of a supervisor's descriptors and starts it again when it dies.
//!
//! Its words are `keeper ROOT DATA_ROOT UID PODRUN`; a supervisor is PODRUN, executed with the same words but the first,
//! and with the keeper's environment. Its descriptors:
//!
//! ```text
//! 0 link to the supervisor    1 /dev/null    2 /dev/null    3 lock file    4 pidfd of the supervisor    5 log
//! ```
//! `supervisor::keeper` of podrun draws the messages. A supervisor gets its link as 0, /dev/null as 1 and the log as 2.
//!
//! It reaps supervisors and what they name, nothing else: a dead container stays a zombie until a supervisor has read
//! its exit status.
//!
//! Invariants: it waits in one system call, and is woken by nothing but its supervisor. It has no capability in effect.
//! What it may still do through execve is to become what it starts: a supervisor with all that root has.

use super::sys::{
    EINTR, EPERM, PR_SET_DUMPABLE, Piece, SIG_BLOCK, SIG_SETMASK, SIGCHLD, call, change_mask, check,
    clear_ambient_capabilities, exit, number, prctl, set_capabilities, set_name,
};
use core::ptr::null;

/// How many words it is started with.
pub const WORDS: usize = 5;
/// Which of them is podrun's executable.
const PODRUN: usize = 4;

const LINK: i32 = 0;
const LOG_OF_SUPERVISOR: i32 = 2;
const SUPERVISOR: i32 = 4;
const LOG: i32 = 5;

/// How many descriptors it holds at most; podrun knows that, too.
const LIMIT: usize = 1000;
const LONGEST_TAG: usize = 64;

/// A supervisor that lives for less, in milliseconds, has a short life.
const SHORT_LIFE: i64 = 1000;
/// So many short lives in a row are followed by another at once: somebody kills them, or the host is in a bad moment.
const PATIENCE: u32 = 3;
const PATIENCE_OVER: u32 = PATIENCE + 1;

/// Needed where podrun's executable lies below a directory that is not root's own; in effect in the child alone.
const CAP_DAC_OVERRIDE: u32 = 1 << 1;

const EAGAIN: isize = 11;
const ENOMEM: isize = 12;
const ECONNRESET: isize = 104;
const ENOBUFS: isize = 105;
const ETOOMANYREFS: isize = 109;

const POLLIN: i16 = 1;
const O_CLOEXEC: usize = 0o2_000_000;
const MSG_DONTWAIT: usize = 0x40;
const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

/// A descriptor and the tag that it is held under; a tag of no length stands for a free place.
struct Held {
    fd: i32,
    length: usize,
    tag: [u8; LONGEST_TAG],
}

impl Held {
    const FREE: Self = Self { fd: 0, length: 0, tag: [0; LONGEST_TAG] };

    fn tag(&self) -> &[u8] {
        self.tag.get(..self.length).unwrap_or_default()
    }
}

/// Zeroes, of which the kernel gives memory to those pages alone that are used.
static mut TABLE: [Held; LIMIT] = [Held::FREE; LIMIT];

/// What is held: some of the first `used` of `all`.
struct Table {
    all: &'static mut [Held; LIMIT],
    used: usize,
}

impl Table {
    fn places(&self) -> &[Held] {
        self.all.get(..self.used).unwrap_or_default()
    }

    /// Holds `fd` under `tag`; closes what had the tag, or the new one where there is no room.
    fn keep(&mut self, tag: &[u8], fd: i32) {
        self.close(tag);
        let place = self.places().iter().position(|held| held.length == 0).unwrap_or(self.used);
        let Some(free) = self.all.get_mut(place) else { return close(fd) };
        free.fd = fd;
        free.length = copy(&mut free.tag, tag);
        if place == self.used {
            self.used += 1;
        }
    }

    fn close(&mut self, tag: &[u8]) {
        let used = self.all.iter_mut().take(self.used);
        for held in used.filter(|held| held.tag().iter().eq(tag)) {
            close(held.fd);
            held.length = 0;
        }
    }
}

/// Copies as much as there is room for, and says how much that was.
fn copy(to: &mut [u8], from: &[u8]) -> usize {
    to.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
}

/// `struct pollfd`.
#[repr(C)]
struct Polled {
    fd: i32,
    events: i16,
    found: i16,
}

/// `struct timespec`.
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

/// The kernel's `struct msghdr`.
#[repr(C)]
struct Header {
    name: usize,
    name_length: usize,
    pieces: *const Piece,
    count: usize,
    control: *const Control,
    control_length: usize,
    flags: usize,
}

/// One control message with one descriptor, cmsg(3), unix(7).
#[repr(C)]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

impl Control {
    /// CMSG_LEN of one descriptor.
    const LENGTH: usize = 20;
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;

    fn of(fd: i32) -> Self {
        Self { length: Self::LENGTH, level: Self::SOL_SOCKET, kind: Self::SCM_RIGHTS, fd, padding: 0 }
    }
}

/// What the link says at the moment.
#[derive(PartialEq, Eq)]
enum Link {
    Open,
    /// The supervisor's end is closed.
    Closed,
}

/// How a supervisor ended.
#[derive(PartialEq, Eq)]
enum End {
    /// It said so before.
    Wanted,
    Died,
}

/// Keeps what it is given and starts supervisors, for ever. `words` are its words, a null, and its environment.
pub fn run(words: *mut *const u8) -> ! {
    set_name(c"keeper");
    // All that can be blocked: a supervisor, and nobody else, is what ends it.
    check(change_mask(SIG_BLOCK, u64::MAX), b"cannot block signals");
    confine();
    // SAFETY: this is the only reference to it, and `run` is called once.
    let all = unsafe { &mut *(&raw mut TABLE) };
    let mut table = Table { all, used: 0 };
    let mut began = now();
    let mut short_lives = 0u32;
    send_all(&table);
    loop {
        let end = serve(&mut table);
        reap(P_PIDFD, SUPERVISOR);
        if end == End::Wanted {
            exit(0);
        }
        // One that cannot even start must not spin.
        short_lives = if now() - began < SHORT_LIFE { short_lives.saturating_add(1) } else { 0 };
        match short_lives {
            0..=PATIENCE => {}
            PATIENCE_OVER => sleep(1, 0),
            _ => sleep(5, 0),
        }
        began = now();
        start(words);
        send_all(&table);
    }
}

/// No capability in effect, no ptrace, no core dump. The bounding set stays, and no_new_privs is not set: through them a
/// supervisor gets back all that root has.
fn confine() {
    clear_ambient_capabilities();
    match set_capabilities(0, CAP_DAC_OVERRIDE) {
        // podrun has not got that itself.
        value if value == -EPERM => check(set_capabilities(0, 0), b"cannot drop capabilities"),
        value => check(value, b"cannot drop capabilities"),
    }
    check(prctl(PR_SET_DUMPABLE, 0), b"cannot become non-dumpable");
}

/// Does what the supervisor says until it has ended.
fn serve(table: &mut Table) -> End {
    let mut polled = [Polled::new(LINK), Polled::new(SUPERVISOR)];
    let mut end = End::Died;
    let mut timeout: *const Time = null();
    // One that has closed its link is about to end. If not, it is no use to it that this process stays.
    let patience = Time { seconds: 10, nanoseconds: 0 };
    loop {
        // SAFETY: `polled` has two entries and the time-out is null or live; no signal mask is given.
        let count =
            unsafe { call(number::PPOLL, polled.as_mut_ptr() as usize, polled.len(), timeout as usize, 0) };
        match count {
            0 => exit(1),
            count if count == -EINTR => continue,
            // Not for want of anything that is this process's own.
            count if count < 0 => sleep(1, 0),
            _ => {}
        }
        let [link, supervisor] = &mut polled;
        // Read even when it has ended: its last words may be waiting.
        if link.found != 0 && hear(table, &mut end) == Link::Closed {
            link.fd = -1;
            timeout = &raw const patience;
        }
        // An error is the end, too: there is no supervisor to wait for.
        if supervisor.found != 0 {
            hear(table, &mut end);
            return end;
        }
    }
}

impl Polled {
    fn new(fd: i32) -> Self {
        Self { fd, events: POLLIN, found: 0 }
    }
}

/// Reads the link until there is nothing left in it.
fn hear(table: &mut Table, end: &mut End) -> Link {
    let mut text = [0u8; 1 + LONGEST_TAG];
    loop {
        let mut control = Control { length: 0, level: 0, kind: 0, fd: -1, padding: 0 };
        let pieces = [Piece { start: text.as_mut_ptr(), length: text.len() }];
        let mut header = Header::new(&pieces, &raw mut control, size_of::<Control>());
        let flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
        // SAFETY: the header points at one piece and room for control messages that live until the call returns, with
        // their lengths, and the kernel may write to both and to the header.
        let length = unsafe { call(number::RECVMSG, LINK as usize, (&raw mut header) as usize, flags, 0) };
        let length = match usize::try_from(length) {
            Ok(0) => return Link::Closed,
            Ok(length) => length,
            // A supervisor that died with unread messages; what it said is still there.
            Err(_) if length == -EINTR || length == -ECONNRESET => continue,
            Err(_) if length == -EAGAIN => return Link::Open,
            Err(_) => return Link::Closed,
        };
        let came = header.control_length >= Control::LENGTH && control.kind == Control::SCM_RIGHTS;
        let fd = if came { control.fd } else { -1 };
        obey(text.get(..length).unwrap_or_default(), fd, table, end);
    }
}

/// Does what one message says; `fd` is -1 where none came with it.
fn obey(message: &[u8], fd: i32, table: &mut Table, end: &mut End) {
    match (message, fd) {
        ([b'P', tag @ ..], 0..) if !tag.is_empty() => return table.keep(tag, fd),
        ([b'D', tag @ ..], _) => table.close(tag),
        ([b'R', a, b, c, d], _) => reap(P_PID, i32::from_le_bytes([*a, *b, *c, *d])),
        ([b'Q'], _) => *end = End::Wanted,
        _ => {}
    }
    if fd >= 0 {
        close(fd);
    }
}

/// Starts a supervisor and puts its link and its pidfd in their places; tries until it can.
fn start(words: *mut *const u8) {
    const AF_UNIX: usize = 1;
    const SOCK_SEQPACKET: usize = 5;
    const CLONE_PIDFD: usize = 0x1000;
    loop {
        let mut pair = [-1i32; 2];
        let kind = SOCK_SEQPACKET | O_CLOEXEC;
        // SAFETY: the kernel writes two descriptors to `pair`.
        let made = unsafe { call(number::SOCKETPAIR, AF_UNIX, kind, 0, pair.as_mut_ptr() as usize) };
        if made < 0 {
            sleep(1, 0);
            continue;
        }
        let [ours, theirs] = pair;
        let mut pidfd = -1i32;
        let flags = CLONE_PIDFD | SIGCHLD;
        // SAFETY: without a stack and CLONE_VM the child gets a copy of this process, which has one thread; the kernel
        // writes a descriptor to `pidfd`, in this process alone.
        let pid = unsafe { call(number::CLONE, flags, 0, (&raw mut pidfd) as usize, 0) };
        if pid == 0 {
            become_supervisor(theirs, words);
        }
        close(theirs);
        if pid > 0 {
            put(ours, LINK, O_CLOEXEC);
            put(pidfd, SUPERVISOR, O_CLOEXEC);
            close(pidfd);
        }
        close(ours);
        if pid > 0 {
            return;
        }
        sleep(1, 0);
    }
}

/// The child's way to podrun.
fn become_supervisor(link: i32, words: *mut *const u8) -> ! {
    put(link, LINK, 0);
    put(LOG, LOG_OF_SUPERVISOR, 0);
    // SAFETY: close_range takes integers; nothing from 3 up is used after this.
    unsafe { call(number::CLOSE_RANGE, 3, u32::MAX as usize, 0, 0) };
    // What fails here is seen by execve, if it matters at all.
    set_capabilities(CAP_DAC_OVERRIDE, CAP_DAC_OVERRIDE);
    change_mask(SIG_SETMASK, 0);
    // SAFETY: there are WORDS words, and the stack that the kernel put them on is this process's own to write.
    unsafe { words.write(c"podrun:supervisor".as_ptr().cast()) };
    // SAFETY: as above.
    let podrun = unsafe { words.add(PODRUN) };
    // SAFETY: as above.
    let podrun = unsafe { podrun.read() };
    // SAFETY: behind the words there is a null, and behind that the environment.
    let environment = unsafe { words.add(WORDS + 1) };
    // SAFETY: the path is NUL-terminated, and both arrays end in null, as execve(2) has put them there.
    let value = unsafe { call(number::EXECVE, podrun as usize, words as usize, environment as usize, 0) };
    let text = b"podrun:keeper: cannot execute podrun: error ";
    let number = value.unsigned_abs();
    let digit = |unit: usize| b'0' + u8::try_from(number / unit % 10).unwrap_or(0);
    let digits = [digit(100), digit(10), digit(1), b'\n'];
    let pieces = [
        Piece { start: text.as_ptr(), length: text.len() },
        Piece { start: digits.as_ptr(), length: digits.len() },
    ];
    let log = LOG_OF_SUPERVISOR as usize;
    // SAFETY: both pieces point at live bytes of the length they say, and their number is given.
    unsafe { call(number::WRITEV, log, pieces.as_ptr() as usize, pieces.len(), 0) };
    exit(127)
}

impl Header {
    fn new(pieces: &[Piece], control: *const Control, control_length: usize) -> Self {
        let (pieces, count) = (pieces.as_ptr(), pieces.len());
        Self { name: 0, name_length: 0, pieces, count, control, control_length, flags: 0 }
    }
}

/// Hands all that is held to the supervisor. One that dies meanwhile is noticed afterwards.
fn send_all(table: &Table) {
    for held in table.places().iter().filter(|held| held.length > 0) {
        let control = Control::of(held.fd);
        send(b'H', held.tag(), &raw const control);
    }
    send(b'E', &[], null());
}

/// Sends one message, waiting for room. `control` is null or has a descriptor.
fn send(kind: u8, tag: &[u8], control: *const Control) {
    const ATTEMPTS: u32 = 100;
    let pieces =
        [Piece { start: &raw const kind, length: 1 }, Piece { start: tag.as_ptr(), length: tag.len() }];
    let control_length = if control.is_null() { 0 } else { size_of::<Control>() };
    let header = Header::new(&pieces, control, control_length);
    for _ in 0..ATTEMPTS {
        // SAFETY: the header points at two pieces and at one control message or none, which live until the call returns.
        let sent =
            unsafe { call(number::SENDMSG, LINK as usize, (&raw const header) as usize, MSG_NOSIGNAL, 0) };
        match -sent {
            EINTR => {}
            // Too much is under way already, of whichever process: until the supervisor has read some of it.
            ENOMEM | ENOBUFS | ETOOMANYREFS => sleep(0, 10_000_000),
            _ => return,
        }
    }
}

const P_PID: usize = 1;
const P_PIDFD: usize = 3;

/// Reaps a dead child, named by kind and number; what is none is left alone.
fn reap(kind: usize, id: i32) {
    const WNOHANG: usize = 1;
    const WEXITED: usize = 4;
    // SAFETY: neither siginfo nor rusage is asked for.
    unsafe { call(number::WAITID, kind, id as usize, 0, WNOHANG | WEXITED) };
}

fn close(fd: i32) {
    // SAFETY: close takes an integer, and every caller owns the descriptor.
    unsafe { call(number::CLOSE, fd as usize, 0, 0, 0) };
}

/// Puts a copy of `fd` at `place`.
fn put(fd: i32, place: i32, flags: usize) {
    // SAFETY: dup3 takes integers; what it closes at `place` has been used up.
    unsafe { call(number::DUP3, fd as usize, place as usize, flags, 0) };
}

/// Milliseconds of the clock that nobody sets.
fn now() -> i64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the kernel writes a timespec to `time`.
    unsafe { call(number::CLOCK_GETTIME, CLOCK_MONOTONIC, (&raw mut time) as usize, 0, 0) };
    time.seconds * 1000 + time.nanoseconds / 1_000_000
}

fn sleep(seconds: i64, nanoseconds: i64) {
    let time = Time { seconds, nanoseconds };
    // SAFETY: the time lives until the call returns; what is left of it is not asked for.
    unsafe { call(number::NANOSLEEP, (&raw const time) as usize, 0, 0, 0) };
}
