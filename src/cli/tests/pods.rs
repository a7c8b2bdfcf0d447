//! The command lines of pods and images.

use super::*;

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
