//! Every command line of the clients that podrun serves, with the values that must come of it, and command lines that
//! must be refused.

use super::oci::create::CreateArgs;
use super::oci::delete::DeleteArgs;
use super::oci::events::EventsArgs;
use super::oci::exec::ExecArgs;
use super::oci::features::FeaturesArgs;
use super::oci::kill::KillArgs;
use super::oci::pause::PauseArgs;
use super::oci::ps::PsArgs;
use super::oci::restore::RestoreArgs;
use super::oci::resume::ResumeArgs;
use super::oci::start::StartArgs;
use super::oci::state::StateArgs;
use super::oci::update::{Limits, UpdateArgs};
use super::oci::{Format, NewContainerArgs};
use super::*;
use crate::cli::args::{IdAndWords, Signal, User};
use crate::model::ids::ContainerId;
use std::time::Duration;

/// What go-runc puts before every command of the shim's and dockerd's.
const SHIM: &str = "--root /run/r --log /b/log.json --log-format json";
/// What Podman puts before them.
const PODMAN: &str = "--log-format=json --log /tmp/oci.log";

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn try_parse(line: &str) -> Result<Cli> {
    let words = argv::tie_rootless(words(line));
    let glance = argv::Glance::at(&words);
    parse(words, &glance).map_err(|error| usage::from_clap(&error))
}

#[track_caller]
fn command(line: &str) -> Command {
    try_parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

fn globals() -> Globals {
    Globals {
        root: DEFAULT_ROOT.into(),
        data_root: DEFAULT_DATA_ROOT.into(),
        log: None,
        log_format: LogFormat::Text,
        log_level: "error".into(),
        debug: false,
        systemd_cgroup: false,
        cgroup_manager: Manager::Cgroupfs,
        rootless: "auto".into(),
    }
}

fn id() -> ContainerId {
    "c1".parse().unwrap()
}

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

fn new() -> NewContainerArgs {
    NewContainerArgs {
        bundle: ".".into(),
        pid_file: None,
        console_socket: None,
        pidfd_socket: None,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        pod: None,
        namespace: "default".parse().unwrap(),
        volumes: Vec::new(),
        id: id(),
    }
}

fn exec(command: &[&str]) -> ExecArgs {
    ExecArgs {
        process: None,
        tty: false,
        detach: false,
        env: Vec::new(),
        user: None,
        additional_gids: Vec::new(),
        cwd: None,
        capabilities: Vec::new(),
        no_new_privs: false,
        pid_file: None,
        console_socket: None,
        pidfd_socket: None,
        preserve_fds: 0,
        cgroup: Vec::new(),
        ignore_paused: false,
        apparmor: None,
        process_label: None,
        target: IdAndWords { id: id(), words: command.iter().map(OsString::from).collect() },
    }
}

fn kill(all: bool, signal: i32) -> Command {
    Command::Kill(KillArgs { all, id: id(), signal: Signal(signal) })
}

fn delete(force: bool) -> Command {
    Command::Delete(DeleteArgs { force, ids: vec![id()] })
}

fn update(resources: &str) -> Command {
    Command::Update(UpdateArgs { resources: path(resources), limits: Limits::default(), id: id() })
}

fn restore() -> RestoreArgs {
    let text = "restore c1";
    let Command::Restore(args) = command(text) else { panic!("{text}") };
    args
}

#[track_caller]
fn assert_table(table: Vec<(String, Command)>) {
    for (line, want) in table {
        assert_eq!(command(&line), want, "{line}");
    }
}

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

#[test]
fn pod_lines() {
    let line = "pod create shop -n prod --hostname h --network host --volume data=emptyDir,medium=Memory,sizeLimit=64Mi \
        --volume site=hostPath:/srv --share-pid --sysctl net.core.somaxconn=1 --sysctl kernel.sem=a=b \
        --cgroup-parent /p --memory 64Mi --cpus 1.5 --pids 9";
    let Command::Pod(pod::PodCommand::Create(args)) = command(line) else { panic!("{line}") };
    assert_eq!(
        (args.name, args.namespace, args.hostname.as_deref()),
        ("shop".parse().ok(), "prod".parse().ok(), Some("h"))
    );
    assert_eq!((args.network, args.share_pid), (crate::pod::Network::Host, true));
    let volumes = ["data=emptyDir,medium=Memory,sizeLimit=64Mi", "site=hostPath:/srv"];
    assert_eq!(args.volumes, volumes.map(|text| text.parse().unwrap()));
    let sysctls = [("net.core.somaxconn", "1"), ("kernel.sem", "a=b")];
    assert_eq!(args.sysctls, sysctls.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(args.cgroup_parent.as_deref(), Some("/p"));
    assert_eq!((args.memory, args.cpus, args.pids), (Some(64 << 20), Some(1500), Some(9)));

    let target = || pod::PodArgs { pod: "shop".parse().unwrap(), namespace: "default".parse().unwrap() };
    let kill =
        |signal| pod::PodCommand::Kill(pod::kill::KillArgs { target: target(), signal: Signal(signal) });
    let list = |output, all_namespaces| {
        let namespace = "default".parse().unwrap();
        pod::PodCommand::List(pod::list::ListArgs {
            output,
            namespace,
            all_namespaces,
            watch: false,
            pods: Vec::new(),
        })
    };
    assert_table(
        [
            ("pod state pod/shop", pod::PodCommand::State(pod::state::StateArgs { target: target() })),
            (
                "pod describe pods/shop",
                pod::PodCommand::Describe(pod::describe::DescribeArgs { target: target() }),
            ),
            ("pod kill shop", kill(15)),
            ("pod kill shop 9", kill(9)),
            ("pod list", list(None, false)),
            ("pod list -A -o wide", list(Some(pod::list::Form::Wide), true)),
            ("pod list -o json", list(Some(pod::list::Form::Json), false)),
            ("pod get", list(None, false)),
            ("pod ls", list(None, false)),
            ("pod ps -A", list(None, true)),
            ("pod events shop", pod::PodCommand::Events(pod::events::EventsArgs { target: target() })),
            ("pod list -o yaml", list(Some(pod::list::Form::Yaml), false)),
            ("pod start pod/shop", pod::PodCommand::Start(pod::start::StartArgs { target: target() })),
            (
                "pod stop shop --grace-period -1",
                pod::PodCommand::Stop(pod::stop::StopArgs { target: target(), grace_period: Some(-1) }),
            ),
        ]
        .map(|(line, want)| (line.to_owned(), Command::Pod(want)))
        .into(),
    );
}

#[test]
fn images() {
    use super::image::ImageCommand as Image;
    let import = |changes: &[&str], source: &str, name: Option<&str>| {
        Image::Import(image::import::ImportArgs {
            changes: changes.iter().map(|text| text.parse().unwrap()).collect(),
            source: source.into(),
            name: name.map(|name| name.parse().unwrap()),
        })
    };
    let list = |output, quiet| Image::List(image::list::ListArgs { output, quiet });
    let remove = |force, images: &[&str]| {
        let images = images.iter().map(|text| (*text).to_owned()).collect();
        Image::Remove(image::remove::RemoveArgs { force, images })
    };
    assert_table(
        [
            ("image import a.tar", import(&[], "a.tar", None)),
            ("image import - web:1", import(&[], "-", Some("docker.io/library/web:1"))),
            ("image import d x", import(&[], "d", Some("x"))),
            ("image list", list(None, false)),
            ("image list -q", list(None, true)),
            ("image list -o json", list(Some(image::list::Form::Json), false)),
            ("image remove web abcd", remove(false, &["web", "abcd"])),
            ("image remove -f web", remove(true, &["web"])),
            ("image prune", Image::Prune(image::prune::PruneArgs {})),
        ]
        .map(|(line, want)| (line.to_owned(), Command::Image(want)))
        .into(),
    );
}

#[test]
fn pod_lines_with_manifests() {
    let file = |args: &str| match command(args) {
        Command::Pod(pod::PodCommand::Create(args)) => (args.file, args.namespace, args.ignore_unsupported),
        Command::Pod(pod::PodCommand::Run(args)) => {
            (Some(args.file), args.namespace, args.ignore_unsupported)
        }
        Command::Pod(pod::PodCommand::Apply(args)) => {
            (Some(args.file), args.namespace, args.ignore_unsupported)
        }
        Command::Pod(pod::PodCommand::Delete(args)) => (args.file, args.namespace, args.force),
        other => panic!("{args}: {other:?}"),
    };
    let prod = "prod".parse().ok();
    for verb in ["create", "run", "apply", "delete"] {
        for flag in ["-f shop.yaml", "-fshop.yaml", "--filename shop.yaml", "--filename=shop.yaml"] {
            assert_eq!(
                file(&format!("pod {verb} {flag}")),
                (path("shop.yaml"), None, false),
                "{verb} {flag}"
            );
        }
        assert_eq!(file(&format!("pod {verb} -n prod -f -")), (path("-"), prod.clone(), false), "{verb}");
    }
    for verb in ["create", "run", "apply"] {
        assert_eq!(file(&format!("pod {verb} -f a --ignore-unsupported")), (path("a"), None, true), "{verb}");
    }
    let Command::Pod(pod::PodCommand::Run(run)) = command("pod run -d -f a") else { panic!() };
    assert!(run.detach && !run.rm);
    let Command::Pod(pod::PodCommand::Run(run)) = command("pod run --rm -f a") else { panic!() };
    assert!(run.rm && !run.detach);
}

#[test]
fn pod_delete_lines() {
    let line = |line: &str| match command(line) {
        Command::Pod(pod::PodCommand::Delete(args)) => {
            (args.pods.len(), args.force, args.now, args.grace_period)
        }
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(line("pod delete shop pod/stall"), (2, false, false, None));
    assert_eq!(line("pod delete shop stall --force"), (2, true, false, None));
    assert_eq!(line("pod delete shop --force --grace-period=0"), (1, true, false, Some(0)));
    assert_eq!(line("pod delete --grace-period 1 shop stall"), (2, false, false, Some(1)));
    assert_eq!(line("pod delete --grace-period -1 shop"), (1, false, false, Some(-1)));
    assert_eq!(line("pod delete --now shop"), (1, false, true, None));
}

#[test]
fn pod_exec_and_wait_lines() {
    let Command::Pod(pod::PodCommand::Exec(args)) =
        command("pod exec -it pod/shop -c web -n prod -- sh -c id --")
    else {
        panic!()
    };
    assert!(args.stdin && args.tty);
    assert_eq!((args.pod.as_str(), args.container.as_deref()), ("shop", Some("web")));
    assert_eq!((args.namespace.as_str(), args.command), ("prod", words("sh -c id --")));
    let Command::Pod(pod::PodCommand::Exec(args)) = command("pod exec shop -- ls") else { panic!() };
    assert!(!args.stdin && !args.tty && args.container.is_none());

    let Command::Pod(pod::PodCommand::Wait(args)) =
        command("pod wait a b --for=condition=Ready --timeout -1s")
    else {
        panic!()
    };
    assert_eq!((args.pods.len(), args.goal), (2, pod::wait::Goal::Condition("Ready", true)));
    assert_eq!(args.timeout, Duration::from_secs(7 * 24 * 3600));
    let Command::Pod(pod::PodCommand::Wait(args)) = command("pod wait a --for delete") else { panic!() };
    assert_eq!((args.goal, args.timeout), (pod::wait::Goal::Delete, Duration::from_secs(30)));
}

/// Command lines that are refused, and what is said of them.
const USAGE_ERRORS: &[(&str, &str)] = &[
    ("create", "the following required arguments were not provided: <ID>"),
    (
        "create a/b",
        "invalid value 'a/b' for '<ID>': invalid container id \"a/b\": character '/' is not allowed",
    ),
    ("create . ", "invalid value '.' for '<ID>': invalid container id \".\": it names a directory"),
    ("create a b", "unexpected argument 'b' found"),
    ("create --bundle", "flag needs an argument: --bundle"),
    (
        "create --preserve-fds x c1",
        "invalid value 'x' for '--preserve-fds <N>': invalid digit found in string",
    ),
    ("create --volume d:/d c1", "the following required arguments were not provided: --pod <POD>"),
    ("create --bundel /b c1", "unexpected argument '--bundel' found"),
    ("kill c1 NONSENSE", "invalid value 'NONSENSE' for '[SIGNAL]': unknown signal \"NONSENSE\""),
    ("delete", "the following required arguments were not provided: <ID>..."),
    ("exec", "the following required arguments were not provided: <ID> [WORD]..."),
    ("exec a/b true", "invalid container id \"a/b\": character '/' is not allowed"),
    (
        "exec --process p -e A=B c1",
        "the argument '--process <FILE>' cannot be used with '--env <NAME=VALUE>'",
    ),
    ("update --cpu-idle 2 c1", "invalid value '2' for '--cpu-idle <0|1>': 2 is not in 0..=1"),
    (
        "--log-format xml state c1",
        "invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json]",
    ),
    ("state --root /r c1", "unexpected argument '--root' found"),
    ("stat c1", "unrecognized subcommand 'stat'"),
    ("pod crate x", "unrecognized subcommand 'crate'"),
    ("pod create", "the following required arguments were not provided: <NAME>"),
    ("pod create Shop", "invalid value 'Shop' for '[NAME]': invalid name \"Shop\""),
    (
        "pod create shop --memory 1Mb",
        "invalid value '1Mb' for '--memory <QUANTITY>': invalid quantity \"1Mb\": unknown suffix \"Mb\"",
    ),
    (
        "pod create shop --network bridge",
        "invalid value 'bridge' for '--network <NETWORK>': unsupported network \"bridge\"",
    ),
    ("pod create shop --sysctl a", "invalid value 'a' for '--sysctl <NAME=VALUE>': \"a\" has no value"),
    ("pod delete", "the following required arguments were not provided: <POD>..."),
    ("pod create shop -f shop.yaml", "the argument '[NAME]' cannot be used with '--filename <FILE>'"),
    (
        "pod create -f shop.yaml --network host",
        "the argument '--filename <FILE>' cannot be used with '--network <NETWORK>'",
    ),
    ("pod run", "the following required arguments were not provided: --filename <FILE>"),
    ("pod run -d --rm -f a", "the argument '--detach' cannot be used with '--rm'"),
    ("pod delete shop --now --force", "the argument '--now' cannot be used with '--force'"),
    ("pod exec shop ls", "unexpected argument 'ls' found"),
    ("pod wait shop", "the following required arguments were not provided: --for <WHAT>"),
    (
        "pod wait shop --for=phase=Done",
        "invalid value 'phase=Done' for '--for <WHAT>': cannot wait for \"phase=Done\": there is no such phase",
    ),
    (
        "image import a.tar Web",
        "invalid value 'Web' for '[NAME]': invalid image name \"Web\": \
             it may have lower-case letters and digits, with . _ - between them",
    ),
    ("image remove", "the following required arguments were not provided: <IMAGE>..."),
];

#[test]
fn usage_errors() {
    for (line, want) in USAGE_ERRORS {
        let error = try_parse(line).expect_err(line);
        assert_eq!(error.to_string(), *want, "{line}");
        assert_eq!(error.kind(), Kind::Usage, "{line}");
        assert!(error.remedy().is_some(), "{line}");
    }
}

#[test]
fn usage_errors_have_the_remedy() {
    let remedies = [
        ("stat c1", "some similar subcommands exist: 'start', 'state'"),
        ("create a/b", "use letters, digits and the characters _ + - ."),
        ("create --nonsense c1", "usage: podrun create [OPTIONS] <ID>"),
        ("create --bundel /b c1", "a similar argument exists: '--bundle'"),
        (
            "exec",
            "usage: podrun exec [OPTIONS] <ID> <CMD>..., or podrun exec [OPTIONS] --process <FILE> <ID>",
        ),
    ];
    for (line, want) in remedies {
        assert_eq!(try_parse(line).unwrap_err().remedy(), Some(want), "{line}");
    }
}

#[test]
fn exec_needs_one_command() {
    for line in ["exec c1", "exec --process p c1 true"] {
        let Command::Exec(args) = command(line) else { panic!("{line}") };
        assert!(args.request().is_err(), "{line}");
    }
}

#[test]
fn every_command_explains_itself() {
    fn check(command: &clap::Command, name: &str) {
        assert!(command.get_about().is_some(), "{name} has no description");
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.starts_with("Example:\n  "), "{name} has no example");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            check(sub, &format!("{name} {}", sub.get_name()));
        }
    }
    let mut command = Cli::command();
    command.build();
    check(&command, "podrun");
    Cli::command().debug_assert();
}

#[test]
fn version_is_told_as_runc_tells_it() {
    for flag in ["--version", "-v"] {
        let shown = parse(words(flag), &argv::Glance::default()).unwrap_err();
        let want = format!("podrun version {}\nspec: {SPEC_VERSION}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(shown.to_string(), want);
        assert!(!shown.use_stderr());
    }
}

#[test]
fn words_that_are_not_utf8_are_refused_or_passed_on() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(b"/\xff".to_vec());
    let mut line = words("create --bundle");
    line.extend([odd(), "c1".into()]);
    let cli = parse(line, &argv::Glance::default()).unwrap();
    let Command::Create(args) = cli.command else { panic!() };
    assert_eq!(args.new.bundle.into_os_string(), odd());
    for line in [vec!["state".into(), odd()], vec!["exec".into(), odd()], vec![odd()]] {
        assert!(parse(line, &argv::Glance::default()).is_err());
    }
    let mut line = words("exec c1 cat");
    line.push(odd());
    let Command::Exec(args) = parse(line, &argv::Glance::default()).unwrap().command else { panic!() };
    assert!(args.request().unwrap_err().to_string().contains("is not UTF-8"));
}
