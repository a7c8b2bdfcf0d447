//! `pod describe`

use super::details::{self, Facts};
use super::{PodArgs, Seen, now};
use crate::cgroup;
use crate::cli::{Globals, output};
use crate::error::{Context, Result};
use crate::model::podspec::ContainerSpec;
use crate::model::quantity;
use crate::model::time;
use crate::pod::PodKind;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Show a pod to people: what it has, what it does, and who shares which namespace
///
/// Of a manifest pod also its containers and the latest events.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun pod describe shop")]
pub struct DescribeArgs {
    /// The pod.
    #[command(flatten)]
    pub target: PodArgs,
}

impl DescribeArgs {
    /// Prints the description.
    ///
    /// # Errors
    /// When there is no such pod, /proc cannot be read, or stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let seen = self.target.open(&globals.host_of_existing()?)?;
        let state = seen.pod.state(&seen.containers)?;
        let state = serde_json::to_value(state).context(|| "cannot describe the pod")?;
        let mut facts = facts(&seen, &state);
        // A half-made pod has none.
        let spec = if seen.pod.kind() == PodKind::Manifest { seen.pod.spec().ok() } else { None };
        facts.extend(spec.iter().flat_map(|spec| details::facts(spec, seen.status.as_ref())));
        let mut text = listed("", &facts);
        if let Some(spec) = &spec {
            text.push_str(&containers("Init containers", &spec.init_containers, &seen));
            text.push_str(&containers("Containers", &spec.containers, &seen));
        }
        if let Some(status) = seen.status.as_ref().filter(|status| !status.events.is_empty()) {
            text.push_str(&format!("\nEvents\n{}", details::events(&status.events, now()).whole()));
        }
        text.push_str("\nNamespaces\n");
        text.push_str(&draw(&members(&seen, &state), KINDS.map(|kind| inode("self", kind))));
        output::print(&text)?;
        Ok(0)
    }
}

/// One title a line, and beside it what there is to say, which may be several lines.
fn listed(indent: &str, facts: &Facts) -> String {
    let width = facts.iter().map(|(title, _)| title.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (title, value) in facts {
        for (index, line) in value.lines().enumerate() {
            let title = if index == 0 { title } else { "" };
            text.push_str(format!("{indent}{title:<width$}{line}\n").as_str());
        }
    }
    text
}

/// Nothing where there are none.
fn containers(title: &str, containers: &[ContainerSpec], seen: &Seen) -> String {
    let mut text = if containers.is_empty() { String::new() } else { format!("\n{title}\n") };
    for container in containers {
        let status = seen.status.as_ref().and_then(|status| status.container(container.name.as_str()));
        text.push_str(format!("  {}\n", container.name).as_str());
        text.push_str(&listed("    ", &details::container(container, status, now())));
    }
    text
}

fn facts(seen: &Seen, state: &Value) -> Facts {
    let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
    let created = seen.pod.created().map_or_else(
        || "unknown: the pod is not whole".to_owned(),
        |at| format!("{}, {} ago", time::rfc3339(at), time::age(now().saturating_sub(at))),
    );
    let phase =
        if seen.pod.is_deleting() { format!("{}, being deleted", text("phase")) } else { text("phase") };
    vec![
        ("Pod", format!("{}/{} ({})", text("namespace"), text("name"), text("kind"))),
        ("UID", text("id")),
        ("Phase", phase),
        ("Created", created),
        ("Host name", text("hostname")),
        ("Network", text("network")),
        ("Cgroup", text("cgroupPath")),
        ("Limits", limits(&text("cgroupPath"))),
        ("Volumes", volumes(state)),
    ]
}

fn volumes(state: &Value) -> String {
    let volumes = state["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if volumes.is_empty() {
        return "none".to_owned();
    }
    let cell = |volume: &Value, key: &str| volume[key].as_str().unwrap_or_default().to_owned();
    let width = volumes.iter().map(|volume| cell(volume, "name").len()).max().unwrap_or(0);
    let line = |volume: &Value| {
        format!("{:<width$}  {:<8}  {}", cell(volume, "name"), cell(volume, "type"), cell(volume, "path"))
    };
    volumes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The limits that the kernel keeps for the group, not those that were asked for.
fn limits(cgroup_path: &str) -> String {
    let Ok(group) = cgroup::detect().and_then(|all| all.for_absolute(cgroup_path)) else {
        return "unknown".to_owned();
    };
    let read = |controller: &str, file: &str| {
        let holds = |names: &str| names.is_empty() || names.split(',').any(|name| name == controller);
        group
            .dirs()
            .filter(|(names, _)| holds(names))
            .find_map(|(_, directory)| std::fs::read_to_string(Path::new(directory).join(file)).ok())
            .map(|text| text.trim().to_owned())
    };
    let memory = read("memory", "memory.max").or_else(|| read("memory", "memory.limit_in_bytes"));
    let cpu = read("cpu", "cpu.max").or_else(|| {
        Some(format!("{} {}", read("cpu", "cpu.cfs_quota_us")?, read("cpu", "cpu.cfs_period_us")?))
    });
    let limits = [
        memory.and_then(|text| memory_limit(&text)),
        cpu.and_then(|text| cpu_limit(&text)),
        read("pids", "pids.max").filter(|text| text != "max").map(|text| format!("{text} processes")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() { "none".to_owned() } else { limits.join(", ") }
}

/// `memory 64Mi` for a number of bytes; none for `max` or what v1 says in its place, a number near 2^63.
fn memory_limit(text: &str) -> Option<String> {
    let bytes: u64 = text.parse().ok().filter(|bytes| *bytes < 1 << 60)?;
    Some(format!("memory {}", quantity::text(bytes)))
}

/// `1.5 CPUs` for a quota and a period; none where the quota is `max` or -1.
fn cpu_limit(text: &str) -> Option<String> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    let thousandths = (quota * 1000).checked_div(period)?;
    let cpus = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let cpus = cpus.trim_end_matches('0').trim_end_matches('.');
    Some(format!("{cpus} {}", if cpus == "1" { "CPU" } else { "CPUs" }))
}

/// The namespaces that are shown, in this order.
const KINDS: [&str; 6] = ["net", "ipc", "uts", "pid", "mnt", "cgroup"];

/// A process of the pod and the inodes of its namespaces.
#[derive(Debug)]
struct Member {
    title: String,
    pid: String,
    inodes: [Option<u64>; KINDS.len()],
}

fn members(seen: &Seen, state: &Value) -> Vec<Member> {
    let pause = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let containers = seen.containers.iter().map(|view| (view.name.as_str(), view.pid));
    std::iter::once(("pause", pause))
        .chain(containers)
        .map(|(title, pid)| Member {
            title: title.to_owned(),
            pid: pid.map_or_else(|| "gone".to_owned(), |pid| pid.to_string()),
            inodes: KINDS.map(|kind| inode(&pid?.to_string(), kind)),
        })
        .collect()
}

/// The namespace's inode of a process, by pid or `self`.
fn inode(process: &str, kind: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/{process}/ns/{kind}")).ok().map(|namespace| namespace.ino())
}

/// One line a process, one column a namespace; a bracket joins the processes that share it. The host's are called so.
fn draw(members: &[Member], host: [Option<u64>; KINDS.len()]) -> String {
    let width =
        |cell: fn(&Member) -> &String| members.iter().map(|m| cell(m).chars().count()).max().unwrap_or(0);
    let (titles, pids) = (width(|m| &m.title), width(|m| &m.pid).max("PID".len()));
    let columns: Vec<Vec<char>> = (0..KINDS.len())
        .map(|kind| brackets(&members.iter().map(|member| member.inodes[kind]).collect::<Vec<_>>()))
        .collect();
    let mut text = format!("{:titles$}  {:pids$}", "", "PID");
    for kind in KINDS {
        text.push_str(format!("  {kind:<12}").as_str());
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (row, member) in members.iter().enumerate() {
        let mut line = format!("{:titles$}  {:pids$}", member.title, member.pid);
        for ((inode, host), column) in member.inodes.iter().zip(host).zip(&columns) {
            let cell = match inode {
                Some(_) if *inode == host => "host".to_owned(),
                Some(inode) => inode.to_string(),
                None => String::new(),
            };
            line.push_str(format!("  {cell:<10} {}", column[row]).as_str());
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The bracket beside each row of a column: it joins the rows of the first inode that is there more than once.
fn brackets(inodes: &[Option<u64>]) -> Vec<char> {
    let repeated =
        |inode: &&Option<u64>| inode.is_some() && inodes.iter().filter(|other| other == inode).count() > 1;
    let Some(shared) = inodes.iter().find(repeated) else { return vec![' '; inodes.len()] };
    let first = inodes.iter().position(|inode| inode == shared).unwrap_or(0);
    let last = inodes.iter().rposition(|inode| inode == shared).unwrap_or(0);
    let mark = |(row, inode): (usize, &Option<u64>)| match row {
        row if row < first || row > last => ' ',
        row if row == first => '┐',
        row if row == last => '┘',
        _ if inode == shared => '┤',
        _ => '│',
    };
    inodes.iter().enumerate().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(title: &str, pid: &str, inodes: [u64; KINDS.len()]) -> Member {
        Member {
            title: title.into(),
            pid: pid.into(),
            inodes: inodes.map(|inode| (inode > 0).then_some(inode)),
        }
    }

    #[test]
    fn shared_namespaces_are_joined() {
        let members = [
            member("pause", "7", [41, 42, 43, 1, 44, 2]),
            member("web", "17", [41, 42, 43, 51, 52, 53]),
            member("odd", "18", [41, 9, 43, 61, 62, 63]),
            member("client", "19", [41, 42, 43, 71, 72, 73]),
            member("old", "gone", [0; KINDS.len()]),
        ];
        let want =
            "        PID   net           ipc           uts           pid           mnt           cgroup
pause   7     41         ┐  42         ┐  43         ┐  host          44            host
web     17    41         ┤  42         ┤  43         ┤  51            52            53
odd     18    41         ┤  9          │  43         ┤  61            62            63
client  19    41         ┘  42         ┘  43         ┘  71            72            73
old     gone
";
        let host = [4, 5, 6, 1, 8, 2].map(Some);
        assert_eq!(draw(&members, host), want);
    }

    #[test]
    fn limits_in_peoples_units() {
        assert_eq!(memory_limit("134217728").as_deref(), Some("memory 128Mi"));
        assert_eq!(memory_limit("5").as_deref(), Some("memory 5"));
        assert_eq!(memory_limit("0").as_deref(), Some("memory 0"));
        assert_eq!((memory_limit("max"), memory_limit("9223372036854771712")), (None, None));
        assert_eq!(cpu_limit("150000 100000").as_deref(), Some("1.5 CPUs"));
        assert_eq!(cpu_limit("100000 100000").as_deref(), Some("1 CPU"));
        assert_eq!((cpu_limit("max 100000"), cpu_limit("-1 100000"), cpu_limit("1 0")), (None, None, None));
    }
}
