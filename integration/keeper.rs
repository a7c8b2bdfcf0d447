//! The keeper, and starting a pod's pair: with the probe in the place of podrun as supervisor, which shows what it is
//! given and does what it is told (rootfs/probe/standin.rs).

use crate::harness::bundle::Rootfs;
use crate::harness::{Case, Test, case, eventually, note, proc, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podrun::lifecycle::Outcome;
use podrun::model::ids::PodUid;
use podrun::state::layout::Layout;
use podrun::state::process::ProcessRef;
use podrun::supervisor::keeper::{KeeperLink, LIMIT};
use podrun::supervisor::lock::{Holders, Lock};
use podrun::supervisor::outcome;
use podrun::supervisor::spawn::{self, Executable, Identity, Started};
use podrun::sys::{pidfd, process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(supervisor_is_started_again_with_what_it_held),
        case!(supervisor_gets_all_of_roots_capabilities_back),
        case!(dead_child_of_a_dead_supervisor_waits_to_be_read),
        case!(supervisor_that_quits_ends_its_keeper),
        case!(one_pair_stands_whoever_starts_it),
        case!(pair_of_which_both_are_dead_is_started_anew),
        case!(keeper_has_no_privileges_in_effect),
        case!(keeper_heeds_no_signal),
        case!(keeper_is_small_and_sleeps).exclusive(),
        case!(dead_keeper_is_replaced_by_its_supervisor),
        case!(keeper_holds_a_thousand_descriptors),
        case!(supervisor_that_cannot_start_does_not_spin),
        case!(pair_cannot_be_started_for_a_pod_that_is_gone),
    ]
}

/// A pod's directory, and the pair in it.
struct Pair {
    identity: Identity,
    root: PathBuf,
}

impl Pair {
    fn new(t: &Test) -> Self {
        let root = t.directory("root");
        let uid: PodUid =
            format!("00000000-0000-4000-8000-{:012x}", std::process::id()).parse().expect("a uid");
        let layout = Layout::new(&root, &t.path("data")).expect("absolute paths");
        std::fs::create_dir_all(layout.pod(&uid)).expect("the pod's directory");
        nix::unistd::mkfifo(&root.join("say"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let executable = Rootfs::Probe.directory().join("probe");
        Self { identity: Identity { layout, uid, executable }, root }
    }

    fn executable(&self) -> Executable {
        let path = Rootfs::Probe.directory().join("probe");
        let view = std::fs::File::open(&path).expect("the probe").into();
        Executable { path, view }
    }

    /// Starts the pair, and waits until the supervisor is ready.
    #[track_caller]
    fn start(&self) -> i32 {
        let reply = spawn::first(&self.identity, self.executable().view).expect("to start a pair");
        reply.wait(Duration::from_secs(20)).expect("a supervisor that is ready");
        self.supervisor()
    }

    fn directory(&self) -> PathBuf {
        self.identity.layout.pod(&self.identity.uid)
    }

    fn holders(&self) -> Holders {
        Lock::open(&self.directory()).expect("the lock file").holders().expect("the locks")
    }

    #[track_caller]
    fn supervisor(&self) -> i32 {
        self.holders().supervisor.expect("a living supervisor")
    }

    #[track_caller]
    fn keeper(&self) -> i32 {
        self.holders().keeper.expect("a living keeper")
    }

    /// Kills the supervisor and waits for the next one.
    #[track_caller]
    fn kill_supervisor(&self) -> i32 {
        let old = self.supervisor();
        kill(Pid::from_raw(old), Signal::SIGKILL).expect("to kill it");
        eventually("a new supervisor", || self.holders().supervisor.filter(|pid| *pid != old))
    }

    /// Gives the supervisor an order.
    #[track_caller]
    fn say(&self, order: &str) {
        let mut fifo = std::fs::File::options().write(true).open(self.root.join("say")).expect("the FIFO");
        writeln!(fifo, "{order}").expect("to write an order");
    }

    /// What a supervisor found when it began.
    #[track_caller]
    fn seen(&self, pid: i32) -> Value {
        let text = eventually("what the supervisor saw", || {
            std::fs::read(self.root.join("seen").join(pid.to_string())).ok()
        });
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Where the keeper's descriptors above its own six lead, with repetitions.
    fn held(&self) -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.keeper())).expect("its descriptors");
        entries
            .flatten()
            .filter(|entry| {
                entry.file_name().to_str().and_then(|n| n.parse().ok()).is_some_and(|n: i32| n > 5)
            })
            .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string()))
            .collect()
    }

    #[track_caller]
    fn wait_held(&self, count: usize) {
        eventually("the keeper's descriptors", || (self.held().len() == count).then_some(()));
    }
}

/// Ends the pair, whatever the test has made of it.
impl Drop for Pair {
    fn drop(&mut self) {
        if let Err(error) = spawn::end(&self.identity.uid) {
            eprintln!("{error}");
        }
        drop(std::fs::remove_dir_all(&self.root));
    }
}

fn supervisor_is_started_again_with_what_it_held(t: &Test) {
    let pair = Pair::new(t);
    let first = pair.start();
    assert_eq!(pair.seen(first)["held"], serde_json::json!({}));
    let fifo = t.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    // Opened for both, so that nobody waits and nothing is lost while the supervisor is dead.
    let mut pipe = std::fs::File::options().read(true).write(true).open(&fifo).expect("the FIFO");
    let (a, b) = (t.file("a", "a"), t.file("b", "b"));
    pair.say(&format!(
        "put web.stdout {}\nput web.stdin {}\nput x {}",
        fifo.display(),
        a.display(),
        a.display()
    ));
    pair.wait_held(3);
    pipe.write_all(b"said while nobody listened").expect("to write");
    // The same tag again replaces, another is closed.
    pair.say(&format!("put web.stdin {}\ndrop x\ndrop nobody", b.display()));
    eventually("the second file alone", || {
        let held: BTreeSet<_> = pair.held().into_iter().collect();
        (held == [fifo.display().to_string(), b.display().to_string()].into()).then_some(())
    });
    for _ in 0..2 {
        let next = pair.kill_supervisor();
        let seen = pair.seen(next);
        assert_eq!(seen["held"]["web.stdout"], fifo.display().to_string());
        assert_eq!(seen["held"]["web.stdin"], b.display().to_string());
        assert_eq!(seen["held"].as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(proc::parent(next), Some(pair.keeper()), "the keeper is its parent");
    }
    let mut text = [0; 26];
    pipe.read_exact(&mut text).expect("to read");
    assert_eq!(&text, b"said while nobody listened");
}

fn supervisor_gets_all_of_roots_capabilities_back(t: &Test) {
    let pair = Pair::new(t);
    let first = pair.start();
    let second = pair.kill_supervisor();
    let (first, second) = (pair.seen(first), pair.seen(second));
    let own = |field| proc::status_field("self", field).expect("a field of status");
    for seen in [&first, &second] {
        assert_eq!(seen["capabilities"]["effective"], own("CapEff"));
        assert_eq!(seen["capabilities"]["permitted"], own("CapPrm"));
        assert_eq!(seen["capabilities"]["bounding"], own("CapBnd"));
        for field in ["blocked", "ignored"] {
            assert_eq!(seen[field], "0000000000000000", "{field}");
        }
        assert_eq!(seen["no_new_privs"], "0");
        assert_eq!((&seen["umask"], &seen["cwd"]), (&"0022".into(), &"/".into()));
        let variables = seen["environment"].as_array().expect("variables").iter().filter_map(Value::as_str);
        let mut names: Vec<_> = variables.filter_map(|pair| pair.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["GLIBC_TUNABLES", "PATH"], "{seen}");
        let streams: Vec<_> = (0..4).filter_map(|n| seen["streams"][n].as_str()).collect();
        assert!(streams[0].starts_with("socket:") && streams[1] == "/dev/null", "{streams:?}");
        assert!(streams[2].ends_with("/supervisor.log"), "{streams:?}");
    }
    let words = |seen: &Value| seen["words"].as_array().cloned().expect("words");
    assert_eq!(words(&first)[..5], words(&second)[..]);
    assert_eq!(first["words"][5], "reply");
    assert!(first["streams"][3].as_str().is_some_and(|s| s.starts_with("socket:")));
    assert!(second["streams"][3].as_str().is_some_and(|s| !s.starts_with("socket:")), "{second}");
}

fn dead_child_of_a_dead_supervisor_waits_to_be_read(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    pair.say("child 7");
    let child = eventually("the child", || {
        std::fs::read_to_string(pair.root.join("child")).ok()?.trim().parse::<i32>().ok()
    });
    let pidfd = pidfd::open(child).expect("a pidfd");
    let reference = ProcessRef::of(child).expect("the child");
    assert!(pidfd::wait_exit(pidfd.as_fd(), Duration::from_secs(10)).expect("to wait"));
    let next = pair.kill_supervisor();
    eventually("the keeper inherits it", || (proc::parent(child) == Some(pair.keeper())).then_some(()));
    assert_eq!(proc::state(child), Some('Z'));
    let outcome = outcome::peek(&reference, pidfd.as_fd()).expect("to read");
    assert_eq!(outcome, Some(Outcome::Exited(7)));
    // Not one that is alive, nor another's child.
    pair.say(&format!("reap {next}\nreap 1\nreap {child}"));
    eventually("it is reaped", || proc::state(child).is_none().then_some(()));
    assert!(proc::lives(next));
    let later = outcome::peek(&reference, pidfd.as_fd()).expect("to read");
    assert!(matches!(later, Some(Outcome::Exited(7) | Outcome::Unknown)), "{later:?}");
}

fn supervisor_that_quits_ends_its_keeper(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    let (supervisor, keeper) = (pair.kill_supervisor(), pair.keeper());
    pair.say("quit\nexit 0");
    eventually("both are gone", || (!proc::lives(keeper) && proc::state(supervisor).is_none()).then_some(()));
    assert_eq!(pair.holders(), Holders { supervisor: None, keeper: None });
}

fn one_pair_stands_whoever_starts_it(t: &Test) {
    let pair = Pair::new(t);
    let Identity { layout, uid, .. } = &pair.identity;
    let ensure = || spawn::ensure(layout, uid, || Ok(pair.executable()));
    assert_eq!(ensure().expect("a pair"), Started::New);
    let both = pair.holders();
    let second = spawn::first(&pair.identity, pair.executable().view).expect("a try");
    let refused = second.wait(Duration::from_secs(20)).expect_err("there is one already");
    assert_eq!(refused.kind(), podrun::error::Kind::Exists);
    assert_eq!(ensure().expect("the pair"), Started::Stood);
    assert_eq!(pair.holders(), both);
    // While it is between two supervisors.
    let old = pair.supervisor();
    kill(Pid::from_raw(old), Signal::SIGKILL).expect("to kill it");
    eventually("it is dead", || (!proc::lives(old)).then_some(()));
    assert_eq!(ensure().expect("the pair"), Started::Stood);
    assert_eq!(pair.holders().keeper, both.keeper);
    assert!(pair.holders().supervisor.is_some_and(|pid| Some(pid) != both.supervisor));
}

fn pair_of_which_both_are_dead_is_started_anew(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    let old = pair.holders();
    for pid in [pair.keeper(), pair.supervisor()] {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("to kill it");
    }
    let Identity { layout, uid, .. } = &pair.identity;
    eventually("both are dead", || {
        (pair.holders() == Holders { supervisor: None, keeper: None }).then_some(())
    });
    assert_eq!(spawn::ensure(layout, uid, || Ok(pair.executable())).expect("a pair"), Started::New);
    let new = pair.holders();
    assert!(new.supervisor != old.supervisor && new.keeper != old.keeper);
}

fn keeper_has_no_privileges_in_effect(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    // The second one, so that it has started a supervisor itself.
    for _ in 0..2 {
        let keeper = pair.keeper();
        let set = |name| {
            let bits = proc::status_field(keeper, name).unwrap_or_default();
            u64::from_str_radix(&bits, 16).unwrap_or(u64::MAX)
        };
        let only_dac_override = 1 << 1;
        assert_eq!([set("CapEff"), set("CapInh"), set("CapAmb")], [0, 0, 0]);
        assert_eq!(set("CapPrm") & !only_dac_override, 0);
        assert_eq!(proc::status_field(keeper, "Name").as_deref(), Some("keeper"));
        let fds: BTreeSet<_> = std::fs::read_dir(format!("/proc/{keeper}/fd"))
            .expect("its descriptors")
            .flatten()
            .filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)))
            .map(|(number, target)| format!("{} {}", number.display(), target.display()))
            .collect();
        assert_eq!(fds.len(), 6, "{fds:?}");
        assert!(fds.contains("1 /dev/null") && fds.contains("2 /dev/null"), "{fds:?}");
        let adjusted = std::fs::read_to_string(format!("/proc/{keeper}/oom_score_adj")).expect("a score");
        assert!(["-998", "0"].contains(&adjusted.trim()), "{adjusted}");
        pair.kill_supervisor();
    }
}

fn keeper_heeds_no_signal(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    let keeper = pair.keeper();
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        kill(Pid::from_raw(keeper), signal).expect("to signal it");
    }
    pair.kill_supervisor();
    assert_eq!(pair.keeper(), keeper);
}

fn keeper_is_small_and_sleeps(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    pair.say(&format!("put a {}", t.file("a", "").display()));
    pair.wait_held(1);
    let keeper = pair.keeper();
    let pss = proc::pss_kib(keeper).expect("its size");
    assert!(pss < 100, "PSS {pss} KiB");
    let woken = || proc::status_field(keeper, "voluntary_ctxt_switches");
    let before = woken();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(woken(), before, "nothing wakes it");
    note(&format!("the keeper has a PSS of {pss} KiB"));
}

/// This process plays the supervisor.
fn dead_keeper_is_replaced_by_its_supervisor(t: &Test) {
    let pair = Pair::new(t);
    let lock = Lock::open(&pair.directory()).expect("the lock file");
    assert!(lock.try_supervisor().expect("to lock"));
    let keeper_of = |link: &KeeperLink| {
        let gone = process::poll_until(link.as_fd(), libc::POLLIN, Instant::now()).expect("to poll");
        assert!(!gone, "the keeper has gone");
        lock.holders().expect("the locks").keeper.expect("a living keeper")
    };
    let mut link = spawn::new_keeper(&pair.identity).expect("a keeper");
    let first = keeper_of(&link);
    let file = std::fs::File::open(t.file("a", "a")).expect("a file");
    link.put("a", file.as_fd()).expect("to put");
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("to kill it");
    assert!(
        process::poll_until(link.as_fd(), libc::POLLIN, Instant::now() + Duration::from_secs(10))
            .expect("to poll")
    );
    link.put("b", file.as_fd()).expect("a dead keeper is no error");

    // At once: the dead one may not have given its lock up yet.
    let mut link = spawn::new_keeper(&pair.identity).expect("another keeper");
    let second = keeper_of(&link);
    assert_ne!(first, second);
    assert_ne!(proc::parent(second), i32::try_from(std::process::id()).ok(), "nobody here has to reap it");
    link.put("a", file.as_fd()).expect("to put");
    let fds = || std::fs::read_dir(format!("/proc/{second}/fd")).map_or(0, Iterator::count);
    eventually("it holds the file", || (fds() == 7).then_some(()));
    // A third one finds the place taken.
    assert!(spawn::new_keeper(&pair.identity).expect_err("there is one").to_string().contains("already"));
    assert!(lock.holders().expect("the locks").keeper == Some(second), "our own lock has not suffered");
    link.quit().expect("to quit");
    drop(link);
    kill(Pid::from_raw(second), Signal::SIGKILL).expect("to kill it");
}

fn keeper_holds_a_thousand_descriptors(t: &Test) {
    let pair = Pair::new(t);
    pair.start();
    let file = t.file("a", "");
    let orders: Vec<String> =
        (0..LIMIT + 5).map(|n| format!("put {n:04}{} {}", "x".repeat(60), file.display())).collect();
    // More than the stand-in may have open itself: it opens one for each.
    process::set_rlimit(0, libc::RLIMIT_NOFILE, 4096, 4096).expect("room");
    for some in orders.chunks(100) {
        pair.say(&some.join("\n"));
    }
    pair.wait_held(LIMIT);
    let next = pair.kill_supervisor();
    let seen = pair.seen(next);
    let held = seen["held"].as_object().expect("what it held");
    assert_eq!(held.len(), LIMIT);
    assert!(held.values().all(|target| *target == file.display().to_string()));
    assert!(held.keys().all(|tag| tag.len() == 64));
}

fn supervisor_that_cannot_start_does_not_spin(t: &Test) {
    let mut pair = Pair::new(t);
    // Below a directory of somebody else's: for this the keeper has its one capability.
    let home = t.directory("home");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("to change its mode");
    std::os::unix::fs::chown(&home, Some(1000), Some(1000)).expect("to change its owner");
    pair.identity.executable = home.join("podrun");
    let old = pair.start();
    kill(Pid::from_raw(old), Signal::SIGKILL).expect("to kill it");
    std::thread::sleep(Duration::from_millis(1500));
    let log = std::fs::read_to_string(pair.directory().join("supervisor.log")).expect("the log");
    let tried = "podrun:keeper: cannot execute podrun: error 002\n";
    assert_eq!(log, tried.repeat(4), "three times at once, and once more after a second");
    // Replaced, as by an upgrade, it is started.
    std::fs::copy(Rootfs::Probe.directory().join("probe"), home.join("podrun")).expect("to copy");
    let next = within(10, || pair.holders().supervisor);
    assert!(next.is_some_and(|pid| pid != old));
}

fn pair_cannot_be_started_for_a_pod_that_is_gone(t: &Test) {
    let pair = Pair::new(t);
    std::fs::remove_dir(pair.directory()).expect("to remove");
    let Identity { layout, uid, .. } = &pair.identity;
    let refused = spawn::ensure(layout, uid, || Ok(pair.executable())).expect_err("there is no such pod");
    assert_eq!(refused.kind(), podrun::error::Kind::NotFound);
}
