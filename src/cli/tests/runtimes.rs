//! The command lines of an OCI runtime, as clients write them.

use super::*;

#[test]
fn globals_of_the_clients() {
    let shim =
        Globals { root: "/run/r".into(), log: path("/b/log.json"), log_format: LogFormat::Json, ..globals() };
    assert_eq!(try_parse(&format!("{SHIM} start c1")).unwrap().globals, shim);
    let systemd = try_parse(&format!("{SHIM} --systemd-cgroup start c1")).unwrap().globals;
    assert_eq!(systemd, Globals { systemd_cgroup: true, ..shim });
    assert!(systemd.host().is_err() && systemd.host_of_existing().is_ok());
    let podman = try_parse(&format!("{PODMAN} --cgroup-manager disabled start c1")).unwrap().globals;
    assert_eq!(podman.cgroup_manager, Manager::Disabled);
    assert_eq!((podman.log, podman.log_format), (path("/tmp/oci.log"), LogFormat::Json));
    assert_eq!(podman.root, PathBuf::from(DEFAULT_ROOT));
    // conmon-rs says it twice; of repeated globals the last counts.
    for line in
        ["--root=/a --root=/run/r state c1", "--root /a --root /run/r state c1", "-root /run/r state c1"]
    {
        assert_eq!(try_parse(line).unwrap().globals.root, PathBuf::from("/run/r"), "{line}");
    }
    let rootless = [
        ("state c1", "auto"),
        ("--rootless state c1", "true"),
        ("--rootless=false state c1", "false"),
        ("--rootless false state c1", "false"),
        ("--root /r --debug -rootless auto --log=/l state c1", "auto"),
    ];
    for (line, want) in rootless {
        assert_eq!(try_parse(line).unwrap().globals.rootless, want, "{line}");
    }
    let loud =
        try_parse("--debug --log-level debug --log-level=info --data-root /d state c1").unwrap().globals;
    assert_eq!((loud.debug, loud.log_level.as_str(), loud.data_root), (true, "info", "/d".into()));
    assert_eq!(try_parse("features").unwrap().globals, globals());
}

#[test]
fn create_lines() {
    let shim = NewContainerArgs { bundle: "/b".into(), pid_file: path("/b/init.pid"), ..new() };
    let create = |new| Command::Create(CreateArgs { new });
    assert_table(vec![
        (format!("{SHIM} create --bundle /b --pid-file /b/init.pid c1"), create(shim)),
        (
            format!("{SHIM} --systemd-cgroup create --bundle /b --pid-file /b/p --console-socket /b/s --no-pivot --no-new-keyring c1"),
            create(NewContainerArgs {
                bundle: "/b".into(),
                pid_file: path("/b/p"),
                console_socket: path("/b/s"),
                no_pivot: true,
                no_new_keyring: true,
                ..new()
            }),
        ),
        (
            "--systemd-cgroup --root=/run/r create --bundle /b --pid-file /b/p --preserve-fds 3 --console-socket /b/s c1".into(),
            create(NewContainerArgs {
                bundle: "/b".into(),
                pid_file: path("/b/p"),
                console_socket: path("/b/s"),
                preserve_fds: 3,
                ..new()
            }),
        ),
        ("create -b /b --pidfd-socket /s c1".into(), create(NewContainerArgs {
            bundle: "/b".into(),
            pidfd_socket: path("/s"),
            ..new()
        })),
        ("create c1 --pod pods/shop -n prod --volume data:/d:ro --volume tmp:/t".into(), create(NewContainerArgs {
            pod: Some("shop".parse().unwrap()),
            namespace: "prod".parse().unwrap(),
            volumes: vec![args::volume_mount("data:/d:ro").unwrap(), args::volume_mount("tmp:/t").unwrap()],
            ..new()
        })),
    ]);
}

#[test]
fn exec_lines() {
    let shim = ExecArgs { process: path("/b/x.json"), detach: true, pid_file: path("/b/x.pid"), ..exec(&[]) };
    let with_socket = |args: ExecArgs| Command::Exec(ExecArgs { console_socket: path("/s"), ..args });
    let conmon_rs = ExecArgs { detach: true, pid_file: path("/p"), ..exec(&["ls", "-la", "--", "-t"]) };
    assert_table(vec![
        (
            format!("{SHIM} exec --process /b/x.json --console-socket /s --detach --pid-file /b/x.pid c1"),
            with_socket(ExecArgs { ..shim }),
        ),
        (
            "exec --pid-file /p --process /b/x.json --detach --tty --console-socket /s c1".into(),
            with_socket(ExecArgs { process: path("/b/x.json"), detach: true, tty: true, pid_file: path("/p"), ..exec(&[]) }),
        ),
        (
            "exec --pid-file /p --process /b/x.json -d c1".into(),
            Command::Exec(ExecArgs { process: path("/b/x.json"), detach: true, pid_file: path("/p"), ..exec(&[]) }),
        ),
        ("--root /run/r exec --process /b/x.json c1".into(), Command::Exec(ExecArgs {
            process: path("/b/x.json"),
            ..exec(&[])
        })),
        (
            "--root=/a --root=/run/r exec -d --console-socket=/s --tty --pid-file=/p c1 ls -la -- -t".into(),
            with_socket(ExecArgs { tty: true, ..conmon_rs }),
        ),
        ("exec c1 -- sh -ec true".into(), Command::Exec(exec(&["sh", "-ec", "true"]))),
        ("exec -t c1 -d --env A=B".into(), Command::Exec(ExecArgs { tty: true, ..exec(&["-d", "--env", "A=B"]) })),
        (
            "exec -e A=1 -e B=2 -u 1000:100 -g 5 -g 6 -c kill --cwd / --no-new-privs --cgroup x --ignore-paused c1 id".into(),
            Command::Exec(ExecArgs {
                env: vec!["A=1".into(), "B=2".into()],
                user: Some(User { uid: 1000, gid: Some(100) }),
                additional_gids: vec![5, 6],
                capabilities: vec!["kill".into()],
                cwd: path("/"),
                no_new_privs: true,
                cgroup: vec!["x".into()],
                ignore_paused: true,
                ..exec(&["id"])
            }),
        ),
    ]);
}

#[test]
fn lines_of_a_containers_life() {
    let start = || Command::Start(StartArgs { id: id() });
    let pause = || Command::Pause(PauseArgs { id: id() });
    let resume = || Command::Resume(ResumeArgs { id: id() });
    let mut table = Vec::new();
    for prefix in [SHIM, PODMAN, "--root /run/r", "--root=/run/r", ""] {
        table.extend([
            (format!("{prefix} start c1"), start()),
            (format!("{prefix} pause c1"), pause()),
            (format!("{prefix} resume c1"), resume()),
            (format!("{prefix} state c1"), Command::State(StateArgs { id: id() })),
            (format!("{prefix} delete c1"), delete(false)),
            (format!("{prefix} delete --force c1"), delete(true)),
            (format!("{prefix} delete -f c1"), delete(true)),
            (format!("{prefix} kill c1 15"), kill(false, 15)),
            (format!("{prefix} kill --all c1 9"), kill(true, 9)),
            (format!("{prefix} kill -a c1 SIGHUP"), kill(true, 1)),
            (format!("{prefix} kill c1 TERM"), kill(false, 15)),
            (format!("{prefix} kill c1"), kill(false, 15)),
            (format!("{prefix} update --resources=- c1"), update("-")),
            (format!("{prefix} update --resources - c1"), update("-")),
            (format!("{prefix} update --resources=/tmp/x c1"), update("/tmp/x")),
            (format!("{prefix} update -r - c1"), update("-")),
        ]);
    }
    let ps = |format, options: &[&str]| {
        let words = options.iter().map(OsString::from).collect();
        Command::Ps(PsArgs { format, target: IdAndWords { id: id(), words } })
    };
    table.extend([
        (format!("{SHIM} ps --format json c1"), ps(Format::Json, &[])),
        ("ps c1 -ef -f".into(), ps(Format::Table, &["-ef", "-f"])),
        ("features".into(), Command::Features(FeaturesArgs {})),
        (
            "events --stats --interval 10s c1".into(),
            Command::Events(EventsArgs { stats: true, interval: Duration::from_secs(10), id: id() }),
        ),
    ]);
    assert_table(table);
    let Command::Delete(several) = command("delete -f a b") else { panic!() };
    assert_eq!(several.ids.len(), 2);
}

#[test]
fn update_limits() {
    let line = "update --memory 512m --memory-reservation 1g --memory-swap -1 --cpu-period 100000 --cpu-quota -1 \
        --cpu-burst 5 --cpu-share 512 --cpu-rt-period 1 --cpu-rt-runtime 2 --cpu-idle 1 --cpuset-cpus 0-1 \
        --cpuset-mems 0 --pids-limit -1 --blkio-weight 100 c1";
    let limits = Limits {
        memory: Some(512 << 20),
        memory_reservation: Some(1 << 30),
        memory_swap: Some(-1),
        cpu_period: Some(100_000),
        cpu_quota: Some(-1),
        cpu_burst: Some(5),
        cpu_share: Some(512),
        cpu_rt_period: Some(1),
        cpu_rt_runtime: Some(2),
        cpu_idle: Some(1),
        cpuset_cpus: Some("0-1".into()),
        cpuset_mems: Some("0".into()),
        pids_limit: Some(-1),
        blkio_weight: Some(100),
        ..Limits::default()
    };
    assert_eq!(command(line), Command::Update(UpdateArgs { resources: None, limits, id: id() }));
}

#[test]
fn checkpoint_and_restore_lines() {
    let line = "checkpoint --image-path /i --work-path /w --parent-path /p --tcp-established --ext-unix-sk --shell-job \
        --file-locks --empty-ns network --leave-running c1";
    let Command::Checkpoint(args) = command(&format!("{SHIM} {line}")) else { panic!("{line}") };
    assert!(
        args.tcp_established && args.ext_unix_sk && args.shell_job && args.file_locks && args.leave_running
    );
    assert_eq!((args.image_path, args.work_path, args.parent_path), (path("/i"), path("/w"), path("/p")));
    assert_eq!((args.empty_ns, args.id), (vec!["network".to_owned()], id()));
    let crio = "checkpoint --file-locks --image-path /i --work-path /w --leave-running c1";
    assert!(matches!(command(crio), Command::Checkpoint(args) if args.file_locks && args.leave_running));

    let base = RestoreArgs {
        image_path: path("/i"),
        work_path: path("/w"),
        detach: true,
        pid_file: path("/p"),
        bundle: "/b".into(),
        ..restore()
    };
    let shim = "restore --image-path /i --work-path /w --parent-path /q --detach --pid-file /p --console-socket /s \
        --no-pivot -no-subreaper --bundle /b c1";
    let want = RestoreArgs {
        parent_path: path("/q"),
        console_socket: path("/s"),
        no_pivot: true,
        no_subreaper: true,
        ..base
    };
    assert_eq!(command(&format!("{SHIM} {shim}")), Command::Restore(want));
    let conmon = "restore --bundle /b --pid-file /p --detach --image-path /i --work-path /w --tcp-established --tcp-close \
        --file-locks --lsm-profile=apparmor:x --lsm-mount-context=ctx c1";
    let Command::Restore(args) = command(conmon) else { panic!("{conmon}") };
    assert!(args.tcp_established && args.tcp_close && args.file_locks);
    assert_eq!(
        (args.lsm_profile.as_deref(), args.lsm_mount_context.as_deref()),
        (Some("apparmor:x"), Some("ctx"))
    );
    // Podman asks this way whether the flag is known.
    let error = try_parse("restore --lsm-mount-context").unwrap_err();
    assert_eq!(error.to_string(), "flag needs an argument: --lsm-mount-context");
}
