//! Tables: from a manifest's container and its image to the spec.

use super::*;
use crate::model::podspec::{ResourceList, Resources, SecurityContext};
use oci_spec::runtime::{Capabilities, Capability, LinuxDeviceType};

const GIB: u64 = 1 << 30;

fn container() -> ContainerSpec {
    ContainerSpec::new("app".parse().unwrap(), "shop:1")
}

fn image() -> ImageConfig {
    ImageConfig { entrypoint: words("/entry -e"), cmd: words("one two"), ..ImageConfig::default() }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

fn pod(container: &ContainerSpec) -> PodSpec {
    PodSpec {
        containers: vec![container.clone()],
        ..PodSpec::new("shop".parse().unwrap(), "default".parse().unwrap())
    }
}

fn facts() -> Facts {
    let all = ["CHOWN", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETUID", "SYS_ADMIN"];
    Facts {
        capabilities: all.iter().map(|name| name.parse().unwrap()).collect(),
        memory_bytes: 8 * GIB,
        oom_score_adj: -100,
        may_lower_oom_score: true,
        limits_swap: true,
        kills_groups: false,
        devices: vec![oci_spec::runtime::LinuxDevice::default()],
    }
}

fn built_with(container: &ContainerSpec, image: &ImageConfig, user: &User, facts: &Facts) -> Result<Built> {
    let pod = pod(container);
    build(&Request { pod: &pod, container, hostname: "shop-host", image, user, facts })
}

fn built(container: &ContainerSpec) -> Built {
    built_with(container, &image(), &User::default(), &facts()).unwrap()
}

fn process(built: &Built) -> &oci_spec::runtime::Process {
    built.spec.process().as_ref().unwrap()
}

fn linux_of(built: &Built) -> &Linux {
    built.spec.linux().as_ref().unwrap()
}

#[test]
fn commands_and_args_as_in_kubernetes_table() {
    for (command, args, want) in [
        ("", "", "/entry -e one two"),
        ("/own", "", "/own"),
        ("", "three", "/entry -e three"),
        ("/own -x", "three four", "/own -x three four"),
    ] {
        let container = ContainerSpec { command: words(command), args: words(args), ..container() };
        assert_eq!(*process(&built(&container)).args(), Some(words(want)));
    }
    let bare = ImageConfig { cmd: words("sh -c true"), ..ImageConfig::default() };
    let only_cmd = built_with(&container(), &bare, &User::default(), &facts()).unwrap();
    assert_eq!(*process(&only_cmd).args(), Some(words("sh -c true")));
    let none = built_with(&container(), &ImageConfig::default(), &User::default(), &facts()).unwrap_err();
    assert_eq!(
        none.to_string(),
        "cannot make the spec of container \"app\": no command specified: the manifest has none, and image \
         \"shop:1\" has neither Entrypoint nor Cmd"
    );
}

#[test]
fn the_environment_grows_from_default_to_image_to_manifest() {
    let image = ImageConfig { env: words("A=image PATH=/image B=x=y broken A=again"), ..image() };
    let env = vec![("B".to_owned(), "manifest".to_owned()), ("C".to_owned(), String::new())];
    let container = ContainerSpec { env, tty: true, ..container() };
    let built = built_with(&container, &image, &User::default(), &facts()).unwrap();
    let want = "PATH=/image TERM=xterm HOSTNAME=shop-host A=again B=manifest C=";
    assert_eq!(*process(&built).env(), Some(words(want)));
    assert_eq!(process(&built).terminal(), Some(true));
    let plain = super::tests::built(&super::tests::container());
    let want = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOSTNAME=shop-host";
    assert_eq!(*process(&plain).env(), Some(words(want)));
}

#[test]
fn directories() {
    for (manifest, of_image, want) in
        [(None, "", "/"), (None, "/srv", "/srv"), (None, "srv", "/srv"), (Some("/own"), "/srv", "/own")]
    {
        let container = ContainerSpec { working_dir: manifest.map(ToOwned::to_owned), ..container() };
        let image = ImageConfig { working_dir: of_image.into(), ..image() };
        let built = built_with(&container, &image, &User::default(), &facts()).unwrap();
        assert_eq!(process(&built).cwd().as_path(), std::path::Path::new(want));
    }
}

#[test]
fn users_to_resolve() {
    for (of_image, user, group, want) in [
        ("", None, None, ""),
        ("www:web", None, None, "www:web"),
        ("www:web", None, Some(7), "www:7"),
        ("", None, Some(7), "0:7"),
        (":9", None, Some(7), "0:7"),
        ("www:web", Some(5), None, "5"),
        ("www:web", Some(5), Some(7), "5:7"),
    ] {
        let image = ImageConfig { user: of_image.into(), ..image() };
        let security =
            SecurityContext { run_as_user: user, run_as_group: group, ..SecurityContext::default() };
        assert_eq!(user_to_resolve(&security, &image), want, "{of_image} {user:?} {group:?}");
    }
    let user = User { uid: 5, gid: 7, groups: vec![8] };
    let built = built_with(&container(), &image(), &user, &facts()).unwrap();
    let owner = process(&built).user();
    assert_eq!((owner.uid(), owner.gid(), owner.additional_gids().as_deref()), (5, 7, Some(&[8][..])));
}

#[test]
fn who_must_not_be_root() {
    let check = |of_image: &str, run_as_user, uid| {
        let security = SecurityContext { run_as_user, run_as_non_root: true, ..SecurityContext::default() };
        let container = ContainerSpec { security, ..container() };
        let image = ImageConfig { user: of_image.into(), ..image() };
        let user = User { uid, ..User::default() };
        built_with(&container, &image, &user, &facts()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(check("", Some(5), 5), Ok(()));
    assert_eq!(check("5:5", None, 5), Ok(()));
    for (of_image, user, uid, why) in [
        ("", None, 0, "container has runAsNonRoot and image will run as root"),
        ("root", None, 0, "container has runAsNonRoot and image will run as root"),
        ("www:5", None, 5, "container has runAsNonRoot and image has non-numeric user (www)"),
        ("5", Some(0), 0, "container's runAsUser breaks non-root policy"),
    ] {
        assert!(check(of_image, user, uid).unwrap_err().contains(why), "{of_image} {user:?}");
    }
}

#[test]
fn stop_signals() {
    for (text, want, warned) in [
        ("", libc::SIGTERM, false),
        ("SIGQUIT", libc::SIGQUIT, false),
        ("3", libc::SIGQUIT, false),
        ("SIGRTMIN+3", libc::SIGRTMIN() + 3, false),
        ("0", libc::SIGTERM, true),
        ("nonsense", libc::SIGTERM, true),
    ] {
        let image = ImageConfig { stop_signal: text.into(), ..image() };
        let built = built_with(&container(), &image, &User::default(), &facts()).unwrap();
        assert_eq!((built.stop_signal, !built.warnings.is_empty()), (want, warned), "{text}");
    }
}

#[test]
fn capabilities_are_added_and_dropped() {
    for (add, drop, want, warned) in [
        ("", "", "CHOWN KILL NET_BIND_SERVICE NET_RAW SETUID", false),
        ("NET_ADMIN", "NET_RAW", "CHOWN KILL NET_ADMIN NET_BIND_SERVICE SETUID", false),
        ("net_admin CAP_CHOWN", "ALL", "CHOWN NET_ADMIN", false),
        ("", "all", "", false),
        ("ALL", "", "CHOWN KILL NET_ADMIN NET_BIND_SERVICE NET_RAW SETUID SYS_ADMIN", false),
        ("ALL", "SYS_ADMIN", "CHOWN KILL NET_ADMIN NET_BIND_SERVICE NET_RAW SETUID", false),
        ("SYS_TIME", "ALL", "", true), // podrun has not got it here
    ] {
        let mut container = container();
        container.security.capabilities_add = words(add);
        container.security.capabilities_drop = words(drop);
        let built = built(&container);
        let sets = process(&built).capabilities().as_ref().unwrap();
        let want: Capabilities = words(want).iter().map(|name| name.parse().unwrap()).collect();
        for set in [sets.bounding(), sets.permitted(), sets.effective()] {
            assert_eq!(*set, Some(want.clone()), "+{add} -{drop}");
        }
        assert_eq!((sets.inheritable(), sets.ambient()), (&None, &None));
        assert_eq!(!built.warnings.is_empty(), warned);
    }
    let mut container = container();
    container.security.capabilities_add = words("FLY");
    let error = built_with(&container, &image(), &User::default(), &facts()).unwrap_err().to_string();
    assert!(error.contains("securityContext.capabilities.add: unknown capability \"FLY\""), "{error}");
}

#[test]
fn an_ordinary_container_is_shut_in() {
    let mut container = container();
    container.security.read_only_root_filesystem = true;
    container.security.allow_privilege_escalation = false;
    let built = built(&container);
    assert_eq!(built.spec.root().as_ref().unwrap().readonly(), Some(true));
    assert_eq!(process(&built).no_new_privileges(), Some(true));
    let linux = linux_of(&built);
    assert!(linux.masked_paths().as_ref().unwrap().contains(&"/proc/kcore".to_owned()));
    assert!(linux.readonly_paths().as_ref().unwrap().contains(&"/proc/sys".to_owned()));
    assert_eq!(*linux.devices(), None);
    let rules = linux.resources().as_ref().unwrap().devices().as_ref().unwrap();
    assert!(!rules.iter().any(oci_spec::runtime::LinuxDeviceCgroup::allow));
    let kinds: Vec<_> =
        linux.namespaces().as_ref().unwrap().iter().map(|entry| (entry.typ(), entry.path())).collect();
    assert_eq!(kinds.len(), 6);
    assert!(kinds.iter().all(|(_, path)| path.is_none()));
    assert!(!kinds.iter().any(|(kind, _)| *kind == LinuxNamespaceType::User));
    for mount in built.spec.mounts().as_ref().unwrap() {
        let options = mount.options().as_ref().unwrap();
        let sys = mount.destination().starts_with("/sys");
        assert_eq!(options.contains(&"ro".to_owned()), sys, "{mount:?}");
    }
    assert_eq!(built.seccomp, None);
    let text = serde_json::to_string(&built.spec).unwrap();
    assert!(!text.contains("rlimits") && !text.contains("hostname\":"), "{text}");
}

#[test]
fn a_privileged_container_is_not() {
    let mut container = container();
    container.security.privileged = true;
    container.security.seccomp_profile = SeccompProfile::RuntimeDefault;
    let built = built(&container);
    let linux = linux_of(&built);
    assert_eq!((linux.masked_paths(), linux.readonly_paths()), (&Some(vec![]), &Some(vec![])));
    assert_eq!(linux.devices().as_ref().map(Vec::len), Some(1));
    let rules = linux.resources().as_ref().unwrap().devices().as_ref().unwrap();
    assert!(rules.len() == 1 && rules[0].allow() && rules[0].typ().is_none_or(|t| t == LinuxDeviceType::A));
    let sets = process(&built).capabilities().as_ref().unwrap();
    assert_eq!(sets.bounding().as_ref(), Some(&facts().capabilities));
    assert!(!serde_json::to_string(built.spec.mounts()).unwrap().contains("\"ro\""));
    let namespaces = linux.namespaces().as_ref().unwrap();
    assert!(!namespaces.iter().any(|entry| entry.typ() == LinuxNamespaceType::Cgroup));
    assert_eq!(built.seccomp, None);
}

#[test]
fn limits() {
    let list =
        |cpu_millis, memory_bytes| ResourceList { cpu_millis, memory_bytes, ..ResourceList::default() };
    for (requests, limits, shares, quota, memory) in [
        (list(None, None), list(None, None), 2, None, None),
        (list(Some(1), None), list(None, None), 2, None, None),
        (list(Some(250), None), list(None, None), 256, None, None),
        (list(Some(1500), None), list(Some(2000), None), 1536, Some(200_000), None),
        (list(Some(u64::MAX), None), list(Some(1), None), 262_144, Some(1000), None),
        (list(None, Some(GIB)), list(None, Some(2 * GIB)), 2, None, Some(2 << 30)),
    ] {
        let container = ContainerSpec { resources: Resources { requests, limits }, ..container() };
        let built = built(&container);
        let resources = linux_of(&built).resources().as_ref().unwrap();
        let cpu = resources.cpu().as_ref().unwrap();
        assert_eq!((cpu.shares(), cpu.quota()), (Some(shares), quota));
        assert_eq!(cpu.period(), quota.map(|_| 100_000));
        let limit = resources.memory().as_ref().map(|memory| (memory.limit(), memory.swap()));
        assert_eq!(limit, memory.map(|bytes| (Some(bytes), Some(bytes))));
    }
    let resources = Resources { requests: list(None, Some(GIB)), limits: list(None, Some(GIB)) };
    let container = ContainerSpec { resources, ..container() };
    let facts = Facts { limits_swap: false, ..facts() };
    let built = built_with(&container, &image(), &User::default(), &facts).unwrap();
    let memory = linux_of(&built)
        .resources()
        .as_ref()
        .unwrap()
        .memory()
        .as_ref()
        .map(oci_spec::runtime::LinuxMemory::swap);
    assert_eq!(memory, Some(None));
}

#[test]
fn containers_run_out_of_memory_as_a_whole_where_the_kernel_can() {
    for kills_groups in [false, true] {
        let built =
            built_with(&container(), &image(), &User::default(), &Facts { kills_groups, ..facts() }).unwrap();
        let unified = linux_of(&built).resources().as_ref().unwrap().unified().clone().unwrap_or_default();
        assert_eq!(unified.get("memory.oom.group").map(String::as_str), kills_groups.then_some("1"));
    }
}

#[test]
fn who_is_killed_first_for_want_of_memory() {
    let list =
        |cpu_millis, memory_bytes| ResourceList { cpu_millis, memory_bytes, ..ResourceList::default() };
    let burstable = |bytes| Resources { requests: list(None, Some(bytes)), limits: list(None, None) };
    let guaranteed = Resources { requests: list(Some(1), Some(GIB)), limits: list(Some(1), Some(GIB)) };
    for (resources, may_lower, want) in [
        (Resources::default(), true, 1000),
        (guaranteed, true, -997),
        (guaranteed, false, -100), // podrun's own
        (burstable(2 * GIB), true, 750),
        (burstable(1), true, 999),
        (burstable(8 * GIB), true, 3),
        (burstable(u64::MAX), true, 3),
    ] {
        let container = ContainerSpec { resources, ..container() };
        let facts = Facts { may_lower_oom_score: may_lower, ..facts() };
        let built = built_with(&container, &image(), &User::default(), &facts).unwrap();
        assert_eq!(process(&built).oom_score_adj(), Some(want), "{resources:?}");
    }
}

#[test]
fn the_hosts_network_is_no_namespace_of_the_container() {
    let container = container();
    let pod = PodSpec { host_network: true, ..pod(&container) };
    let (image, user, facts) = (image(), User::default(), facts());
    let request = Request {
        pod: &pod,
        container: &container,
        hostname: "h",
        image: &image,
        user: &user,
        facts: &facts,
    };
    let built = build(&request).unwrap();
    let namespaces = linux_of(&built).namespaces().as_ref().unwrap();
    assert!(!namespaces.iter().any(|entry| entry.typ() == LinuxNamespaceType::Network));
}

/// The names that the profile lets through for these capabilities, at least for some arguments.
fn allowed(capabilities: &str) -> std::collections::HashSet<String> {
    let capabilities: Capabilities = words(capabilities).iter().map(|name| name.parse().unwrap()).collect();
    let profile: serde_json::Value = serde_json::from_str(&seccomp::default_profile(&capabilities)).unwrap();
    let rules = profile["syscalls"].as_array().unwrap().iter();
    let names =
        rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW").flat_map(|rule| rule["names"].as_array());
    names.flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_default_seccomp_profile_goes_by_capabilities() {
    let plain = allowed("CHOWN NET_RAW");
    for name in
        words("read execve futex socket clone ptrace rseq statx epoll_pwait2 openat2 close_range mseal")
    {
        assert!(plain.contains(&name), "{name}");
    }
    let refused = "mount umount2 pivot_root kexec_load kexec_file_load init_module finit_module bpf perf_event_open \
                   userfaultfd keyctl add_key request_key reboot swapon setns unshare clone3 open_by_handle_at \
                   io_uring_setup io_uring_enter io_uring_register clock_settime iopl acct vhangup chroot quotactl \
                   open_tree move_mount fsopen mount_setattr syslog nfsservctl uselib";
    for name in words(refused) {
        assert!(!plain.contains(&name), "{name}");
    }
    for (capability, names) in [
        ("SYS_ADMIN", "mount umount2 setns unshare clone clone3 bpf move_mount"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_TIME", "clock_settime"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("BPF", "bpf"),
        ("SYS_BOOT", "reboot"),
    ] {
        let with = allowed(capability);
        assert!(words(names).iter().all(|name| with.contains(name)), "{capability}");
        assert!(!with.contains("keyctl") && !with.contains("kexec_load"));
    }
    let every = "SYS_ADMIN BPF SYSLOG PERFMON SYS_MODULE SYS_RAWIO SYS_TIME SYS_PTRACE";
    assert!(!allowed(every).contains("pivot_root"));
}

#[test]
fn the_default_seccomp_profile_compiles() {
    let cache = std::env::temp_dir().join(format!("podrun-runtime-default-{}", std::process::id()));
    let all: Capabilities =
        caps::all().iter().filter_map(|c| c.to_string().strip_prefix("CAP_")?.parse().ok()).collect();
    let few: Capabilities = [Capability::Chown].into();
    for capabilities in [Capabilities::new(), few, all] {
        let text = seccomp::default_profile(&capabilities);
        assert_eq!(text, seccomp::default_profile(&capabilities.iter().copied().collect()));
        let filter = crate::seccomp::filter(&cache, &text).unwrap();
        assert!(!filter.program.is_empty());
    }
    std::fs::remove_dir_all(&cache).unwrap();
}
