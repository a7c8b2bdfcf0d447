//! update: new limits of a living container, seen in the kernel's files and in what the container can do.

use crate::harness::{Case, Runtime, Test, case, cgroups, eventually, proc};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(memory_and_swap_go_up_and_down_together),
        case!(swap_alone_and_memory_alone_keep_their_sum),
        case!(memory_limit_is_taken_away),
        case!(cpu_quota_and_period_each_keep_the_other),
        case!(quota_and_period_where_there_were_none),
        case!(weights_and_burst),
        case!(cpuset_moves_the_processes),
        case!(pids_limit_holds_at_once),
        case!(block_io_weight),
        case!(everything_at_once_by_json),
        case!(names_in_another_case_and_unknown_ones),
        case!(a_refused_update_changes_nothing),
        case!(wrong_values_are_named),
        case!(usage_above_the_limit_is_not_killed_with_check_before_update),
        case!(paused_container_stays_paused),
        case!(created_and_stopped_containers),
        case!(devices_as_they_were_pass_and_others_do_not),
        case!(a_writer_to_dev_null_notices_nothing),
        case!(realtime_needs_a_budget_above),
        case!(containers_of_a_pod_are_updated),
    ]
}

const MIB: i64 = 1 << 20;

/// A container as runc's own tests have it.
#[track_caller]
fn limited(t: &Test, podrun: &Runtime) -> i32 {
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]).edit(|config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 32 * MIB, "reservation": 24 * MIB});
        config["linux"]["resources"]["cpu"] = json!({"shares": 100, "quota": 500_000, "period": 1_000_000});
        config["linux"]["resources"]["pids"] = json!({"limit": 20});
    });
    podrun.up(&bundle, "c");
    podrun.pid("c")
}

#[track_caller]
fn update(podrun: &Runtime, words: &str) {
    let words: Vec<&str> = ["update"].into_iter().chain(words.split(' ')).chain(["c"]).collect();
    podrun.run(&words).ok().quietly();
}

#[track_caller]
fn update_by(podrun: &Runtime, resources: &Value) {
    podrun.cmd(&["update", "-r", "-", "c"]).input(resources.to_string()).run().ok().quietly();
}

fn memory(pid: i32) -> String {
    cgroups::limit(pid, "memory", "memory.limit_in_bytes", "memory.max")
}

/// Memory and swap together, on v2 too; `None` without a limit.
fn together(pid: i32) -> Option<i64> {
    let text = cgroups::limit(pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    let number = text.parse::<i64>().ok().filter(|bytes| *bytes < 1 << 60)?;
    let memory = if cgroups::is_v1("memory") { 0 } else { memory(pid).parse().expect("a number") };
    Some(number + memory)
}

/// Quota and period; -1 for no quota.
fn bandwidth(pid: i32) -> (i64, i64) {
    let directory = cgroups::directory_of(pid, "cpu");
    let number = |text: &str| if text == "max" { -1 } else { text.parse().expect("a number") };
    if cgroups::is_v1("cpu") {
        let file = |file: &str| number(&cgroups::read_limit(&directory, file));
        return (file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"));
    }
    let text = cgroups::read_limit(&directory, "cpu.max");
    let (quota, period) = text.split_once(' ').expect("two numbers");
    (number(quota), number(period))
}

fn memory_and_swap_go_up_and_down_together(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    for (limit, both) in [(30, 50), (60, 80), (100, 100), (20, 40), (40, 41)] {
        update(&podrun, &format!("--memory {limit}M --memory-swap {both}M"));
        assert_eq!((memory(pid), together(pid)), ((limit * MIB).to_string(), Some(both * MIB)));
    }
    podrun.remove("c");
}

fn swap_alone_and_memory_alone_keep_their_sum(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    update(&podrun, "--memory 40M --memory-swap 60M");
    update(&podrun, "--memory 50M");
    assert_eq!((memory(pid), together(pid)), ((50 * MIB).to_string(), Some(60 * MIB)));
    update(&podrun, "--memory-swap 90M");
    assert_eq!((memory(pid), together(pid)), ((50 * MIB).to_string(), Some(90 * MIB)));
    podrun.run(&["update", "--memory", "91M", "c"]).refused(&["memory.limit", "swap"]);
    podrun.run(&["update", "--memory-swap", "49M", "c"]).refused(&["memory.swap"]);
    assert_eq!((memory(pid), together(pid)), ((50 * MIB).to_string(), Some(90 * MIB)));
    podrun.remove("c");
}

fn memory_limit_is_taken_away(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    update(&podrun, "--memory 40M --memory-swap 60M");
    update(&podrun, "--memory-swap -1");
    assert_eq!((memory(pid), together(pid)), ((40 * MIB).to_string(), None));
    update(&podrun, "--memory -1 --memory-reservation -1");
    let unlimited = |text: &str| text == "max" || text.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 60);
    assert!(unlimited(&memory(pid)), "{}", memory(pid));
    let reservation = cgroups::limit(pid, "memory", "memory.soft_limit_in_bytes", "memory.low");
    assert!(unlimited(&reservation), "{reservation}");
    podrun.run(&["exec", "c", "/bin/probe", "alloc", "64"]).ok();
    update(&podrun, "--memory 32M --memory-swap 32M");
    podrun.run(&["exec", "c", "/bin/probe", "alloc", "64"]).exits(137);
    podrun.remove("c");
}

fn cpu_quota_and_period_each_keep_the_other(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    assert_eq!(bandwidth(pid), (500_000, 1_000_000));
    for (words, want) in [
        ("--cpu-period 900000", (500_000, 900_000)),
        ("--cpu-quota 600000", (600_000, 900_000)),
        ("--cpu-quota -1", (-1, 900_000)),
        ("--cpu-quota 2000 --cpu-period 1000", (2000, 1000)),
        ("--cpu-quota 500000 --cpu-period 1000000", (500_000, 1_000_000)),
        ("--cpu-quota -1 --cpu-period 100000", (-1, 100_000)),
    ] {
        update(&podrun, words);
        assert_eq!(bandwidth(pid), want, "{words}");
    }
    podrun.remove("c");
}

fn quota_and_period_where_there_were_none(t: &Test) {
    let podrun = t.podrun();
    for (cpu, words, want) in [
        (json!({}), "--cpu-period 50000", (-1, 50_000)),
        (json!({}), "--cpu-quota 30000", (30_000, 100_000)),
        (json!({"period": 1_000_000}), "--cpu-idle 0", (-1, 1_000_000)),
        (json!({"quota": 5000}), "--cpu-idle 0", (5000, 100_000)),
    ] {
        let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]).set("/linux/resources/cpu", cpu);
        podrun.up(&bundle, "c");
        update(&podrun, words);
        assert_eq!(bandwidth(podrun.pid("c")), want, "{words}");
        podrun.remove("c");
    }
}

fn weights_and_burst(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    let weight = || cgroups::limit(pid, "cpu", "cpu.shares", "cpu.weight");
    let v1 = cgroups::is_v1("cpu");
    update(&podrun, "--cpu-share 200");
    assert_eq!(weight(), if v1 { "200" } else { "29" });
    update(&podrun, "--cpu-burst 100000");
    assert_eq!(cgroups::limit(pid, "cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "100000");
    // The burst is never above the quota, whichever is changed.
    update(&podrun, "--cpu-burst 40000 --cpu-quota 50000 --cpu-period 100000");
    update(&podrun, "--cpu-burst 70000 --cpu-quota 80000");
    assert_eq!(cgroups::limit(pid, "cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "70000");
    podrun.run(&["update", "--cpu-burst", "90000", "c"]).refused(&["cpu.burst", "quota"]);
    podrun.run(&["update", "--cpu-quota", "60000", "c"]).refused(&["burst, 70000", "--cpu-burst"]);
    let both = ["update", "--cpu-quota", "60000", "--cpu-burst", "60001", "c"];
    podrun.run(&both).refused(&["cpu.burst: 60001"]);
    assert_eq!(bandwidth(pid), (80_000, 100_000));
    update(&podrun, "--cpu-burst 0");
    update(&podrun, "--cpu-idle 1");
    assert_eq!(cgroups::limit(pid, "cpu", "cpu.idle", "cpu.idle"), "1");
    podrun.run(&["update", "--cpu-share", "300", "c"]).refused(&["cpu.shares", "idle"]);
    update(&podrun, "--cpu-idle 0 --cpu-share 300");
    assert_eq!(weight(), if v1 { "300" } else { "39" });
    podrun.remove("c");
}

fn cpuset_moves_the_processes(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    let before = proc::status_field(pid, "Cpus_allowed_list");
    update(&podrun, "--cpuset-cpus 0 --cpuset-mems 0");
    assert_eq!(cgroups::limit(pid, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    eventually("it may use CPU 0 alone", || {
        (proc::status_field(pid, "Cpus_allowed_list").as_deref() == Some("0")).then_some(())
    });
    update(&podrun, &format!("--cpuset-cpus {}", before.as_deref().expect("a list")));
    eventually("it may use all again", || {
        (proc::status_field(pid, "Cpus_allowed_list") == before).then_some(())
    });
    podrun.remove("c");
}

fn pids_limit_holds_at_once(t: &Test) {
    let podrun = t.podrun();
    limited(t, &podrun);
    let forks = || podrun.run(&["exec", "c", "/bin/probe", "fork", "50"]).ok().json()["made"].as_u64();
    // init and the probe are two of 20, and podrun's own process on the way in may still be the third.
    assert!(matches!(forks(), Some(17..=18)), "{:?}", forks());
    update(&podrun, "--pids-limit 7");
    assert!(matches!(forks(), Some(4..=5)), "{:?}", forks());
    // None more than there are, though nobody is killed.
    update(&podrun, "--pids-limit 0");
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.run(&["exec", "c", "/bin/probe", "fork", "50"]).exits(255);
    update(&podrun, "--pids-limit -1");
    assert_eq!(forks(), Some(50));
    podrun.remove("c");
}

fn block_io_weight(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    let group = cgroups::directory_of(pid, "blkio");
    update(&podrun, "--blkio-weight 750");
    let (file, want) = [
        ("blkio.weight", "750"),
        ("blkio.bfq.weight", "750"),
        ("io.bfq.weight", "default 750"),
        ("io.weight", "default 7475"),
    ]
    .into_iter()
    .find(|(file, _)| group.join(file).exists())
    .expect("weights of block I/O");
    assert_eq!(cgroups::read_limit(&group, file), want);
    podrun.run(&["update", "--blkio-weight", "9", "c"]).refused(&["--blkio-weight"]);
    podrun.remove("c");
}

fn everything_at_once_by_json(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    update(
        &podrun,
        "--cpu-period 900000 --cpu-quota 600000 --cpu-share 200 --memory 67108864 --memory-reservation 33554432 \
         --pids-limit 10",
    );
    assert_eq!(bandwidth(pid), (600_000, 900_000));
    update_by(
        &podrun,
        &json!({"memory": {"limit": 32 * MIB, "reservation": 24 * MIB, "checkBeforeUpdate": false},
            "cpu": {"shares": 100, "quota": 500_000, "period": 1_000_000, "cpus": "0"}, "pids": {"limit": 20},
            "blockIO": {}, "hugepageLimits": [], "unified": {}}),
    );
    assert_eq!(bandwidth(pid), (500_000, 1_000_000));
    assert_eq!(memory(pid), (32 * MIB).to_string());
    let reservation = cgroups::limit(pid, "memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(reservation, (24 * MIB).to_string());
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "20");
    assert_eq!(cgroups::limit(pid, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    podrun.remove("c");
}

fn names_in_another_case_and_unknown_ones(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    update_by(&podrun, &json!({"CPU": {"Cpus": "0"}, "Pids": {"limit": 9}}));
    assert_eq!(cgroups::limit(pid, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "9");
    let unknown = json!({"memory": {"limmit": 5}, "pids": {"limit": 8}}).to_string();
    podrun.cmd(&["update", "-r", "-", "c"]).input(unknown).run().ok().says(&["memory.limmit", "no effect"]);
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "8");
    podrun.remove("c");
}

fn a_refused_update_changes_nothing(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    let told =
        || (memory(pid), together(pid), bandwidth(pid), cgroups::limit(pid, "pids", "pids.max", "pids.max"));
    let before = told();
    // Memory, CPU time and processes are set before the CPUs that there are not.
    podrun
        .run(&[
            "update",
            "--memory",
            "64M",
            "--memory-swap",
            "96M",
            "--cpu-quota",
            "-1",
            "--pids-limit",
            "5",
            "--cpuset-cpus",
            "4000",
            "c",
        ])
        .refused(&["cpuset.cpus", "4000"]);
    assert_eq!(told(), before);
    podrun.remove("c");
}

fn wrong_values_are_named(t: &Test) {
    let podrun = t.podrun();
    limited(t, &podrun);
    for (words, texts) in [
        (&["--memory", "12x"][..], &["--memory", "12x"][..]),
        (&["--memory", "-2"], &["--memory", "-2"]),
        (&["--cpu-quota", "fast"], &["--cpu-quota", "fast"]),
        (&["--cpu-quota", "5"], &["cpu.quota", "at least 1000"]),
        (&["--cpu-period", "-1"], &["--cpu-period"]),
        (&["--cpu-period", "5"], &["cpu.period", "1000000"]),
        (&["--cpu-idle", "2"], &["--cpu-idle"]),
        (&["--cpu-share", "1"], &["cpu.shares", "2 to 262144"]),
        (&["--cpu-share", "999999"], &["cpu.shares", "2 to 262144"]),
        (&["--cpuset-mems", "77"], &["cpu.mems", "77"]),
        (&["--pids-limit", "-5"], &["--pids-limit", "-5", "-1 for no limit"]),
        (&["--kernel-memory", "1M"], &["--kernel-memory"]),
        (&[], &["no limit is given"]),
        (&["-r", "/nowhere/x"], &["/nowhere/x"]),
        (&["-r", "-", "--memory", "1M"], &["--resources"]),
    ] {
        let words: Vec<&str> = ["update"].iter().chain(words).chain(&["c"]).copied().collect();
        podrun.run(&words).refused(texts);
    }
    let no_limit = json!({"hugepageLimits": [{"pageSize": "2MB"}]}).to_string();
    let out = podrun.cmd(&["update", "-r", "-", "c"]).input(no_limit).run();
    out.refused(&["linux.resources.hugepageLimits[0].limit: is missing"]);
    podrun.run(&["update", "--cpu-share", "0", "c"]).ok().says(&["--cpu-share 0 changes nothing"]);
    for flag in ["--cpuset-cpus", "--cpuset-mems"] {
        podrun.run(&["update", flag, "", "c"]).ok().says(&[&format!("{flag} \"\" changes nothing")]);
    }
    podrun.remove("c");
}

fn usage_above_the_limit_is_not_killed_with_check_before_update(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "alloc", "64", "300"]);
    podrun.up(&bundle.set("/linux/resources/memory", json!({"limit": 256 * MIB, "swap": 256 * MIB})), "c");
    let pid = podrun.pid("c");
    let usage = || cgroups::limit(pid, "memory", "memory.usage_in_bytes", "memory.current").parse::<i64>();
    eventually("it has its memory", || usage().is_ok_and(|bytes| bytes > 60 * MIB).then_some(()));
    let less = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB, "checkBeforeUpdate": true}});
    podrun.cmd(&["update", "-r", "-", "c"]).input(less.to_string()).run().refused(&["memory.limit"]);
    assert_eq!(memory(pid), (256 * MIB).to_string());
    assert!(proc::lives(pid));
    podrun.remove("c");
}

fn paused_container_stays_paused(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    podrun.run(&["pause", "c"]).ok();
    update(&podrun, "--pids-limit 30 --memory 64M --cpuset-cpus 0 --cpu-quota 200000");
    assert_eq!(podrun.status("c").as_deref(), Some("paused"));
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "30");
    podrun.run(&["resume", "c"]).ok();
    podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]).ok();
    podrun.remove("c");
}

fn created_and_stopped_containers(t: &Test) {
    let podrun = t.podrun();
    podrun.create(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    update(&podrun, "--pids-limit 30");
    assert_eq!(cgroups::limit(podrun.pid("c"), "pids", "pids.max", "pids.max"), "30");
    podrun.run(&["start", "c"]).ok();
    podrun.wait_status("c", "stopped");
    podrun.run(&["update", "--pids-limit", "40", "c"]).refused(&["not running"]);
    podrun.remove("c");
}

fn devices_as_they_were_pass_and_others_do_not(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    let devices = bundle.config()["linux"]["resources"]["devices"].clone();
    podrun.up(&bundle, "c");
    let pid = podrun.pid("c");
    // containerd sends everything again.
    update_by(&podrun, &json!({"devices": devices, "pids": {"limit": 11}}));
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "11");
    let all = json!({"devices": [{"allow": true, "access": "rwm"}], "pids": {"limit": 12}}).to_string();
    podrun.cmd(&["update", "-r", "-", "c"]).input(all).run().refused(&["linux.resources.devices"]);
    assert_eq!(cgroups::limit(pid, "pids", "pids.max", "pids.max"), "11");
    podrun.remove("c");
}

fn a_writer_to_dev_null_notices_nothing(t: &Test) {
    let podrun = t.podrun();
    let out = podrun.up(&t.shell("while :; do echo > /dev/null || echo FAILED; done"), "c");
    for limit in 30..42 {
        update(&podrun, &format!("--pids-limit {limit}"));
    }
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    assert_eq!(out.later(), "");
    podrun.remove("c");
}

fn realtime_needs_a_budget_above(t: &Test) {
    let podrun = t.podrun();
    let pid = limited(t, &podrun);
    let group = cgroups::directory_of(pid, "cpu");
    let words = ["update", "--cpu-rt-period", "500000", "--cpu-rt-runtime", "1000", "c"];
    if !group.join("cpu.rt_runtime_us").exists() {
        podrun.run(&words).refused(&["cpu.realtime"]);
        podrun.remove("c");
        return;
    }
    podrun.run(&words).refused(&["cpu.realtimeRuntime", "budget"]);
    assert_eq!(cgroups::read_limit(&group, "cpu.rt_period_us"), "1000000", "nothing of it stays");
    // With a budget in every group above, which are this test's own but for the root.
    let root = cgroups::hierarchies("self").into_iter().find(|h| h.controllers.iter().any(|c| c == "cpu"));
    let root = root.expect("a hierarchy").mount;
    let mut above: Vec<_> = group.ancestors().skip(1).take_while(|dir| **dir != root).collect();
    above.reverse();
    for dir in &above {
        std::fs::write(dir.join("cpu.rt_runtime_us"), "2000").expect("a budget");
    }
    podrun.run(&words).ok().quietly();
    for (period, runtime) in [("1000", "1"), ("900000", "1500")] {
        update(&podrun, &format!("--cpu-rt-period {period} --cpu-rt-runtime {runtime}"));
        assert_eq!(cgroups::read_limit(&group, "cpu.rt_period_us"), period);
        assert_eq!(cgroups::read_limit(&group, "cpu.rt_runtime_us"), runtime);
    }
    podrun.remove("c");
}

fn containers_of_a_pod_are_updated(t: &Test) {
    let podrun = t.podrun();
    podrun.pod("shop", &["--memory", "64Mi"]);
    podrun.up_in("shop", &t.bundle().args(&["/bin/probe", "sleep", "300"]), "c", &[]);
    let pid = podrun.pid("c");
    update(&podrun, "--memory 48M --pids-limit 9");
    assert_eq!(memory(pid), (48 * MIB).to_string());
    let pod = cgroups::directory_of(pid, "memory").parent().expect("the pod's group").to_owned();
    let file = if cgroups::is_v1("memory") { "memory.limit_in_bytes" } else { "memory.max" };
    assert_eq!(cgroups::read_limit(&pod, file), (64 * MIB).to_string());
    podrun.run(&["pod", "delete", "--force", "shop"]).ok();
}
