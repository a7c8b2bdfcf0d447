//! `linux.netDevices`: devices of the host's in a container's network namespace. The host of these tests is a network
//! namespace of their own.

use crate::harness::command::{Cmd, Outcome, Running};
use crate::harness::{Bundle, Case, Test, bundle::Rootfs, case, eventually, facts, proc, runtime::path_text};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(a_device_is_moved_with_its_addresses),
        case!(it_gets_another_name),
        case!(it_stays_in_a_namespace_that_lasts),
        case!(a_user_namespace_gets_it_too),
        case!(what_cannot_be_moved_is_named_and_stays),
        case!(it_is_back_when_the_container_could_not_be_made),
    ]
}

/// A network namespace, held by a process that sleeps.
struct Net<'a> {
    t: &'a Test,
    holder: Option<Running>,
    pid: i32,
}

impl<'a> Net<'a> {
    #[track_caller]
    fn new(t: &'a Test) -> Self {
        let holder = Cmd::new(t.place(), ["unshare", "-n", "sleep", "300"]).seconds(400).spawn();
        let pid = holder.pid();
        eventually("a network namespace", || {
            (proc::namespace(pid, "net") != proc::namespace("self", "net")).then_some(())
        });
        Self { t, holder: Some(holder), pid }
    }

    /// With a device `v0` that is up and has addresses.
    #[track_caller]
    fn with_device(t: &'a Test) -> Self {
        let net = Self::new(t);
        for words in [
            "link add v0 type veth",
            "link set v0 address 02:00:00:00:00:07",
            "link set v0 mtu 1300",
            "addr add 10.9.8.7/24 dev v0",
            "addr add 10.9.8.6/32 dev v0",
            "link set v0 up",
            "addr add fd00::7/64 dev v0",
        ] {
            net.ip(words).ok();
        }
        net
    }

    #[track_caller]
    fn inside(&self, command: Cmd) -> Outcome {
        command.under(["nsenter", "-n", "-t", &self.pid.to_string()]).run()
    }

    /// busybox's ip(8) in the namespace.
    #[track_caller]
    fn ip(&self, words: &str) -> Outcome {
        let mut all = vec![path_text(&Rootfs::Busybox.directory().join("bin/busybox")), "ip".to_owned()];
        all.extend(words.split(' ').map(str::to_owned));
        self.inside(Cmd::new(self.t.place(), all))
    }

    #[track_caller]
    fn podrun(&self, words: &[&str]) -> Outcome {
        self.inside(self.t.podrun().cmd(words))
    }

    #[track_caller]
    fn run(&self, bundle: &Bundle) -> Outcome {
        self.podrun(&["run", "--bundle", bundle.text(), "c"])
    }

    /// Its device is as [`Net::with_device`] has made it.
    #[track_caller]
    fn has_device(&self) {
        assert_addresses(&self.ip("addr show dev v0").ok().stdout);
        let state = self.ip("link show dev v0").ok().stdout;
        assert!(state.contains(",UP") && state.contains("mtu 1300"), "{state}");
    }
}

impl Drop for Net<'_> {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.signal(Signal::SIGKILL);
            drop(holder.finish());
        }
    }
}

#[track_caller]
fn assert_addresses(text: &str) {
    for address in ["10.9.8.7/24", "10.9.8.6/32", "fd00::7/64", "02:00:00:00:00:07"] {
        assert!(text.contains(address), "{address} is missing: {text}");
    }
}

fn with(bundle: Bundle, devices: Value) -> Bundle {
    bundle.set("/linux/netDevices", devices)
}

fn a_device_is_moved_with_its_addresses(t: &Test) {
    let home = Net::with_device(t);
    let script = "ip addr show dev v0; cat /sys/class/net/v0/mtu; ip route";
    let out = home.run(&with(t.shell(script), json!({"v0": {}}))).ok().stdout;
    assert_addresses(&out);
    assert!(out.contains(",UP") && out.contains("\n1300\n"), "{out}");
    assert!(out.contains("10.9.8.0/24 dev v0"), "the way to its network is there: {out}");
    // It was virtual, and its namespace is gone.
    eventually("the device is gone", || {
        home.ip("link").stdout.lines().all(|l| !l.contains(": v0")).then_some(())
    });
}

fn it_gets_another_name(t: &Test) {
    for (name, want) in
        [("ctr_eth0", "ctr_eth0"), ("net%d", "net0"), ("fifteen-letters", "fifteen-letters"), ("", "v0")]
    {
        let home = Net::with_device(t);
        let bundle = with(t.shell(&format!("ip addr show dev {want}")), json!({"v0": {"name": name}}));
        let out = home.run(&bundle).ok().stdout;
        assert_addresses(&out);
        assert!(out.contains(",UP"), "{out}");
    }
}

fn it_stays_in_a_namespace_that_lasts(t: &Test) {
    let (home, there) = (Net::with_device(t), Net::new(t));
    let bundle = || t.bundle().namespace("network", Some(&format!("/proc/{}/ns/net", there.pid)));
    let first = with(bundle(), json!({"v0": {"name": "moved"}})).args(&["/bin/probe", "sleep", "300"]);
    home.podrun(&["create", "--bundle", first.text(), "c"]).ok();
    home.podrun(&["delete", "--force", "c"]).ok();
    assert_addresses(&there.ip("addr show dev moved").ok().stdout);
    // Its name is taken there now, for another one's.
    home.ip("link add v0 type veth").ok();
    home.ip("addr add 10.1.1.1/24 dev v0").ok();
    home.run(&with(bundle(), json!({"v0": {"name": "moved"}})))
        .refused(&["\"v0\"", "there is a \"moved\" already"]);
    assert!(home.ip("addr show dev v0").ok().stdout.contains("10.1.1.1/24"));
}

fn a_user_namespace_gets_it_too(t: &Test) {
    let home = Net::with_device(t);
    let bundle = t.bundle().in_user_namespace(100_000, 200_000);
    let facts = home.run(&with(bundle, json!({"v0": {"name": "e0"}}))).ok().json();
    let found = facts::entry(&facts["interfaces"], "e0");
    assert_eq!((&found["up"], &facts["uid_map"]), (&json!(true), &json!(["0 100000 65536"])));
}

fn what_cannot_be_moved_is_named_and_stays(t: &Test) {
    let home = Net::with_device(t);
    let shared = with(t.bundle().namespace("network", None), json!({"v0": {}}));
    home.run(&shared)
        .refused(&["linux.netDevices", "unable to move network devices without a NET namespace"]);
    for (devices, texts) in [
        (json!({"v9": {}}), ["\"v9\"", "not in podrun's network namespace"]),
        (json!({"lo": {}}), ["\"lo\"", "keeps its own"]),
        (json!({"v0": {"name": "sixteen-letters-"}}), ["\"v0\"", "no name of a network device"]),
        (json!({"v0": {"name": "a/b"}}), ["\"v0\"", "no name of a network device"]),
        (json!({"v0": {"name": "lo"}}), ["\"v0\"", "there is a \"lo\" already"]),
        (
            json!({"v0": {"name": "e"}, "veth0": {"name": "e"}}),
            ["linux.netDevices", "another one is to be \"e\""],
        ),
        // The first is moved before the second cannot be.
        (json!({"v0": {"name": "e"}, "veth0": {"name": "lo"}}), ["\"veth0\"", "there is a \"lo\" already"]),
    ] {
        home.run(&with(t.bundle(), devices)).refused(&texts);
        home.has_device();
    }
    assert!(t.podrun().ids().is_empty());
}

fn it_is_back_when_the_container_could_not_be_made(t: &Test) {
    let home = Net::with_device(t);
    let bundle = with(t.bundle(), json!({"v0": {"name": "e0"}}));
    home.podrun(&["create", "--pid-file", "/no/such/directory/pid", "--bundle", bundle.text(), "c"])
        .refused(&["pid file"]);
    home.has_device();
    assert!(t.podrun().ids().is_empty());
}
