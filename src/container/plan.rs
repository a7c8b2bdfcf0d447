//! From a config to the plan of a container: everything that can be known to be wrong is found here, before anything
//! of the kernel's is touched.

use super::config::Config;
use super::hooks::Hooks;
use super::init::InitPlan;
use super::init::hooks::InitHooks;
use super::labels;
use super::mappings::Mappings;
use super::mounts::inherited;
use super::mounts::options::propagation;
use super::mounts::plan::{self as mounts, CgroupView, MountKind, Places, RootPlan};
use super::namespaces::{Namespaces, sysctl_path};
use super::net_devices::{self, NetDevice};
use super::process::{self, Surroundings, Terminal};
use super::record::Record;
use super::request::{CreateRequest, RootSource, Streams};
use super::{CgroupManager, Host};
use crate::cgroup::{self, Cgroup, Hierarchies, Mode, RdtPlan};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::seccomp;
use crate::state::layout::scratch;
use crate::sync::link::InitEnd;
use crate::sys::clone::single_threaded;
use crate::sys::mount::{ATTR_RDONLY, Depth};
use crate::sys::socket;
use oci_spec::runtime::{Linux, LinuxResources, Mount, Process, Spec};
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A container, planned.
#[derive(Debug)]
pub struct Plan {
    /// Its groups, with what to limit them to.
    pub cgroup: Option<Cgroup>,
    /// Who is to own the groups, where that is not us.
    pub cgroup_owner: Option<u32>,
    /// Limits.
    pub resources: LinuxResources,
    /// Its group in the resctrl file system.
    pub rdt: Option<RdtPlan>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The ids of its user namespace, where that is not ours.
    pub mappings: Option<Mappings>,
    /// Its file system.
    pub root: RootPlan,
    /// Its program.
    pub process: process::ProcessPlan,
    /// Files below /proc/sys and their values.
    pub sysctls: Vec<(String, String)>,
    /// Host name.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// What runs at the points of its life.
    pub hooks: Hooks,
    /// Devices of the host's to move into its network namespace.
    pub net_devices: Vec<NetDevice>,
}

impl Plan {
    /// What is about to be made, on one line, for those who want to follow it.
    pub fn summary(&self, record: &Record, config: &Config) -> String {
        format!(
            "bundle {:?}: config.json of {} bytes, runtime spec {}; root {:?}, {} mounts; new {}, {} joined; cgroup {}; \
             command {:?}",
            record.bundle,
            config.text.len(),
            config.spec.version(),
            self.root.path,
            self.root.mounts.len(),
            super::namespaces::names(self.namespaces.clone_flags | self.namespaces.late),
            self.namespaces.join.len() + self.namespaces.join_pid.iter().len(),
            self.cgroup.as_ref().map_or_else(|| "the caller's".to_owned(), Cgroup::path),
            self.process.args.first().map(|name| name.to_string_lossy()).unwrap_or_default(),
        )
    }

    /// The part that init carries out.
    pub fn into_init(
        self,
        entry: Option<cgroup::Entry>,
        fifo: Option<OwnedFd>,
        link: InitEnd,
        hooks: Option<Box<InitHooks>>,
    ) -> InitPlan {
        InitPlan {
            cgroup: entry,
            new_network: self.namespaces.clone_flags & libc::CLONE_NEWNET != 0,
            join: self.namespaces.join,
            late_namespaces: self.namespaces.late,
            hostname: self.hostname,
            domainname: self.domainname,
            sysctls: self.sysctls,
            root: Some(self.root),
            goes_along: false,
            awaits_maps: self.process.namespace_root.is_some(),
            process: self.process,
            hooks,
            fifo,
            link,
        }
    }
}

/// Where the terminal's master goes.
pub fn terminal(
    wanted: bool,
    console_socket: Option<&Path>,
    relay: Option<Terminal>,
) -> Result<Option<Terminal>> {
    match (wanted, console_socket, relay) {
        (false, None, _) => Ok(None),
        (false, Some(_), _) => Err(Error::user("--console-socket is given, but the process has no terminal")
            .hint("set process.terminal to true, or leave --console-socket out")),
        (true, Some(path), _) => socket::connect(path)
            .map(|socket| Some(Terminal { socket, size: None }))
            .context_as(Kind::User, || format!("cannot connect to the console socket {path:?}"))
            .map_err(|e| e.hint("whoever wants the terminal must listen on this Unix socket first")),
        (true, None, Some(relay)) => Ok(Some(relay)),
        (true, None, None) => {
            Err(Error::user("the process wants a terminal, and there is no --console-socket")
                .hint("give --console-socket, or set process.terminal to false"))
        }
    }
}

/// Plans a container.
///
/// # Errors
/// Names the property of the config that cannot be honoured.
pub fn plan(host: &Host, request: &mut CreateRequest, bundle: &Path, config: &Config) -> Result<Plan> {
    let spec = &config.spec;
    let (Some(linux), Some(process), Some(root)) = (spec.linux(), spec.process(), spec.root()) else {
        return Err(Error::user("linux, process or root is missing")); // config::load has checked
    };
    let namespaces = Namespaces::plan(linux)?;
    let mappings = mappings(linux, &namespaces)?;
    let mut resources = linux.resources().clone().unwrap_or_default();
    // No list of devices means the default ones and no others, as with every runtime.
    if resources.devices().is_none() {
        resources.set_devices(Some(Vec::new()));
    }
    let (cgroup, hierarchies) = groups(host, request, linux, &resources)?;
    let terminal = process.terminal().unwrap_or(false);
    let surroundings = surroundings(host, request, config, terminal, mappings.clone())?;
    let path = match &request.root {
        RootSource::Config => mounts::root_directory(bundle, root.path())?,
        RootSource::Overlay(overlay) => overlay.scratch.join(scratch::ROOT),
    };
    let places = Places { bundle, root: &path };
    let propagation = root_propagation(linux, &namespaces, &path, request.no_pivot)?;
    let mounts = plan_mounts(places, spec, &namespaces, cgroup.as_ref(), hierarchies.as_ref())?;
    let mounts = mounts::spread(propagation, mounts);
    let cgroup_owner = cgroup_owner(process, mappings.as_ref(), &namespaces, cgroup.as_ref(), &mounts);
    let root = RootPlan {
        overlay: None, // made once the container is on record
        read_only: root.readonly().unwrap_or(false),
        propagation,
        inherited: inherited::plan(spec, &namespaces)?,
        no_pivot: request.no_pivot,
        mounts,
        devices: mounts::devices(linux.devices().as_deref().unwrap_or_default())?,
        console: terminal,
        masked: absolute("linux.maskedPaths", linux.masked_paths().as_deref())?,
        read_only_paths: absolute("linux.readonlyPaths", linux.readonly_paths().as_deref())?,
        cwd: process.cwd().clone(),
        path,
        opened: None, // once everything else is known to be right
    };
    let sysctls = linux.sysctl().iter().flatten();
    let hooks = Hooks::plan(spec)?;
    hooks.check_programs()?;
    Ok(Plan {
        hooks,
        sysctls: sysctls
            .map(|(k, v)| Ok((sysctl_path(k, &namespaces)?, v.clone())))
            .collect::<Result<_>>()?,
        hostname: own_name("hostname", spec.hostname().as_deref(), &namespaces)?,
        domainname: own_name("domainname", spec.domainname().as_deref(), &namespaces)?,
        process: process::plan(process, surroundings)?,
        net_devices: net_devices::plan(
            linux.net_devices().as_ref().unwrap_or(&HashMap::new()),
            namespaces.has_own(libc::CLONE_NEWNET),
        )?,
        cgroup_owner,
        cgroup,
        resources,
        rdt: linux.intel_rdt().as_ref().map(|rdt| RdtPlan::of(rdt, request.id.as_str())).transpose()?,
        namespaces,
        mappings,
        root,
    })
}

fn root_propagation(
    linux: &Linux,
    namespaces: &Namespaces,
    path: &Path,
    no_pivot: bool,
) -> Result<Option<(u64, Depth)>> {
    // The host's mounts stay below the root then, locked in such a namespace.
    if no_pivot && namespaces.has_own(libc::CLONE_NEWUSER) {
        return Err(Error::user("linux.namespaces: a user namespace is not safe without pivot_root")
            .hint("leave --no-pivot out"));
    }
    let Some(word) = linux.rootfs_propagation().as_deref().filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    let (kind, depth) = propagation(word)?;
    if kind == libc::MS_SHARED && path == Path::new("/") {
        return Err(Error::user(format!(
            "linux.rootfsPropagation: {word:?} is not safe with the host's root"
        ))
        .hint("what is mounted for the container would be mounted on the host: use slave"));
    }
    if no_pivot && kind == libc::MS_PRIVATE {
        // The host's mounts stay below the root then, and what the host unmounts must go there, too.
        return Err(Error::user(format!("linux.rootfsPropagation: {word:?} is not safe without pivot_root"))
            .hint("leave --no-pivot out, or use slave"));
    }
    Ok(Some((kind, depth)))
}

/// The ids of the container's user namespace: those of the config for a new one, its own for one to join.
fn mappings(linux: &Linux, namespaces: &Namespaces) -> Result<Option<Mappings>> {
    let (uids, gids) = (linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref());
    let given = !uids.unwrap_or_default().is_empty() || !gids.unwrap_or_default().is_empty();
    let planned = || Mappings::plan("linux.", uids, gids);
    if namespaces.clone_flags & libc::CLONE_NEWUSER != 0 {
        return planned().map(Some);
    }
    let Some(user) = &namespaces.join_user else {
        if given {
            return Err(Error::user(
                "linux.uidMappings, linux.gidMappings: there is no user namespace to map",
            )
            .hint("add {\"type\": \"user\"} to linux.namespaces, or leave the mappings out"));
        }
        return Ok(None);
    };
    let alone = single_threaded().context(|| "cannot clone")?;
    let actual = Mappings::of_namespace(user.as_fd(), alone).context(|| "linux.namespaces (user)")?;
    if given && planned()? != actual {
        return Err(Error::user(
            "linux.uidMappings, linux.gidMappings: the user namespace to join has others",
        )
        .hint("leave them out: a namespace's maps are written once, by who makes it"));
    }
    Ok(Some(actual))
}

/// What the process gets beside what its part of the spec says. Takes the streams out of the request.
fn surroundings(
    host: &Host,
    request: &mut CreateRequest,
    config: &Config,
    terminal: bool,
    mappings: Option<Mappings>,
) -> Result<Surroundings> {
    let seccomp = config
        .seccomp
        .as_deref()
        .map(|text| seccomp::filter(&host.layout.seccomp_cache(), text))
        .transpose()?;
    let (stdio, relay) = match std::mem::take(&mut request.streams) {
        Streams::Inherited => (None, None),
        Streams::Given(stdio) => (Some(stdio), None),
        Streams::Terminal(terminal) => (None, Some(terminal)),
    };
    Ok(Surroundings {
        attributes: config.attributes.clone().of_first_process(),
        seccomp,
        stdio,
        terminal: self::terminal(terminal, request.console_socket.as_deref(), relay)?,
        keyring: keyring(&request.id, !request.no_new_keyring),
        listen_fds: request.listen_fds,
        preserve_fds: request.preserve_fds,
        mappings,
    })
}

/// The name of a session keyring for a process of the container, where it is to have one of its `own`.
pub fn keyring(id: &ContainerId, own: bool) -> Option<CString> {
    if own { CString::new(format!("_ses.{id}")).ok() } else { None }
}

fn own_name(field: &str, name: Option<&str>, namespaces: &Namespaces) -> Result<Option<String>> {
    /// `__NEW_UTS_LEN` of linux/utsname.h.
    const LONGEST: usize = 64;
    match name.filter(|name| !name.is_empty()) {
        Some(_) if !namespaces.has_own(libc::CLONE_NEWUTS) => {
            Err(Error::user(format!("{field}: the container shares the host's uts namespace"))
                .hint("add {\"type\": \"uts\"} to linux.namespaces"))
        }
        Some(name) if name.contains('\0') => Err(Error::user(format!("{field}: holds a NUL byte"))),
        Some(name) if name.len() > LONGEST => {
            let text = format!("{field}: the kernel takes {LONGEST} bytes, and these are {}", name.len());
            Err(Error::user(text).hint("give a shorter name"))
        }
        name => Ok(name.map(ToOwned::to_owned)),
    }
}

fn absolute(field: &str, paths: Option<&[String]>) -> Result<Vec<String>> {
    let paths = paths.unwrap_or_default();
    match paths.iter().position(|path| !path.starts_with('/')) {
        Some(index) => Err(Error::user(format!("{field}[{index}]: {:?} is not absolute", paths[index]))),
        None => Ok(paths.to_vec()),
    }
}

fn groups(
    host: &Host,
    request: &CreateRequest,
    linux: &Linux,
    resources: &LinuxResources,
) -> Result<(Option<Cgroup>, Option<Hierarchies>)> {
    if host.cgroups == CgroupManager::Disabled {
        // Device rules stand in every config; without a group, those of the caller's hold.
        let mut asked = resources.clone();
        asked.set_devices(None);
        let mut nothing = LinuxResources::default();
        nothing.set_devices(None);
        if asked == nothing {
            return Ok((None, Some(cgroup::detect()?)));
        }
        return Err(Error::user("linux.resources: limits need a cgroup, and --cgroup-manager is disabled"));
    }
    let hierarchies = cgroup::detect()?;
    cgroup::check(resources, hierarchies.mode())?;
    let path = linux.cgroups_path().as_deref().filter(|path| !path.as_os_str().is_empty());
    let path = path
        .map(|path| {
            path.to_str().ok_or_else(|| Error::user(format!("linux.cgroupsPath: {path:?} is not UTF-8")))
        })
        .transpose()?;
    let group = hierarchies.resolve(path, request.id.as_str()).context(|| "linux.cgroupsPath")?;
    match &request.cgroup {
        // Also an empty one: it is an earlier container's, whose removal would kill what is in it.
        Some(_) if group.dirs().any(|(_, directory)| directory.exists()) => {
            return Err(Error::user(format!("cgroup {} is there already", group.path()))
                .hint("delete the container that it was made for"));
        }
        Some(_) => {}
        None => group.refuse_in_use().context(|| "linux.cgroupsPath")?,
    }
    Ok((Some(group), Some(hierarchies)))
}

fn plan_mounts(
    places: Places<'_>,
    spec: &Spec,
    namespaces: &Namespaces,
    cgroup: Option<&Cgroup>,
    hierarchies: Option<&Hierarchies>,
) -> Result<Vec<mounts::MountPlan>> {
    let mut plans = Vec::new();
    let label = spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref());
    let label = label.filter(|label| !label.is_empty());
    label.map_or(Ok(()), |label| labels::check_label("linux.mountLabel", label))?;
    for (index, mount) in spec.mounts().as_deref().unwrap_or_default().iter().enumerate() {
        let title =
            || format!("mounts[{index}]: cannot mount at {:?}", mount.destination().display().to_string());
        let mut plan = mounts::mount(places, mount).context(title)?;
        if let MountKind::Cgroup(views) = &mut plan.kind {
            *views = cgroup_views(mount, namespaces, cgroup, hierarchies).context(title)?;
        }
        if let (Some(label), MountKind::New { fstype, .. }) = (label, &plan.kind)
            && labels::can_label(fstype)
        {
            plan.options.parameters.push(format!("context={label}"));
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// The uid outside of who is to manage the container's group beside root: its user, where that sees nothing but the group,
/// and may write there. The runtime specification wants it on v2 alone, which is made for it.
fn cgroup_owner(
    process: &Process,
    mappings: Option<&Mappings>,
    namespaces: &Namespaces,
    cgroup: Option<&Cgroup>,
    mounts: &[mounts::MountPlan],
) -> Option<u32> {
    let writable = |mount: &mounts::MountPlan| {
        matches!(mount.kind, MountKind::Cgroup(_)) && mount.options.flags.of_new().set & ATTR_RDONLY == 0
    };
    let is_delegated = namespaces.has_own(libc::CLONE_NEWCGROUP)
        && cgroup.is_some_and(|cgroup| cgroup.mode() == Mode::V2)
        && mounts.iter().any(writable);
    let uid = process.user().uid();
    let uid = mappings.map_or(Some(uid), |mappings| mappings.outside_uid(uid));
    uid.filter(|uid| *uid != 0 && is_delegated)
}

/// What the container sees of each hierarchy: its own group as the root.
fn cgroup_views(
    mount: &Mount,
    namespaces: &Namespaces,
    cgroup: Option<&Cgroup>,
    hierarchies: Option<&Hierarchies>,
) -> Result<Vec<CgroupView>> {
    let Some(hierarchies) = hierarchies else { return Err(Error::host("there is no cgroup to show")) };
    // With --cgroup-manager disabled the container stays in our groups, and sees those.
    let ours = if cgroup.is_none() { Some(hierarchies.own()?) } else { None };
    let Some(cgroup) = cgroup.or(ours.as_ref()) else { return Ok(Vec::new()) };
    if mount.typ().as_deref() == Some("cgroup2") && hierarchies.mode() != Mode::V2 {
        return Err(Error::host("this host's cgroup hierarchies are not a pure v2")
            .hint("use the type cgroup, which shows what there is"));
    }
    let alone = hierarchies.mode() == Mode::V2;
    let view = |(controllers, directory): (&str, &Path)| {
        let v2 = controllers.is_empty();
        let fresh = (namespaces.late & libc::CLONE_NEWCGROUP != 0).then(|| {
            let fstype = if v2 { c"cgroup2" } else { c"cgroup" };
            let parameters =
                controllers.split(',').filter(|p| !p.is_empty()).map(ToOwned::to_owned).collect();
            (fstype.to_owned(), parameters)
        });
        let name = match controllers {
            "" if alone => String::new(),
            "" => "unified".to_owned(),
            // A named hierarchy without controllers, such as systemd's.
            controllers => controllers.strip_prefix("name=").unwrap_or(controllers).to_owned(),
        };
        CgroupView { name, source: directory.to_owned(), fresh, opened: None }
    };
    Ok(cgroup.dirs().map(view).collect())
}
