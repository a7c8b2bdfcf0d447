//! `linux.intelRdt`: a share of the last-level cache and of the memory bandwidth, by a group of the resctrl file system
//! (Documentation/filesystems/resctrl.rst).
//!
//! A group of the container's own is made and removed with it; one that `closID` names belongs to whoever made it.

use super::kill::vanished;
use crate::error::{Context, Error, Result};
use crate::sys::fs::{open_existing, write_existing};
use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const FIELD: &str = "linux.intelRdt";
/// Names in the file system's root that are no groups.
const NOT_GROUPS: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

/// What is to be done for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdtPlan {
    group: RdtGroup,
    /// What is written to `schemata`, in this order.
    schemata: Vec<String>,
    /// What a group that is there already must say.
    expected: Vec<String>,
    /// The group must be there.
    must_exist: bool,
}

/// A container's group. Goes into records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RdtGroup {
    /// The group that limits.
    dir: PathBuf,
    /// The group below it that counts, where the container has one of its own.
    monitor: Option<PathBuf>,
    /// The limiting group is the container's own.
    own: bool,
}

impl RdtPlan {
    /// Reads what the config wants.
    ///
    /// # Errors
    /// When no resctrl file system is mounted, and for values that cannot be honoured.
    pub fn of(wanted: &LinuxIntelRdt, id: &str) -> Result<Self> {
        let mounts =
            std::fs::read_to_string("/proc/self/mountinfo").context(|| "cannot read /proc/self/mountinfo")?;
        Self::below(&root(&mounts).ok_or_else(not_mounted)?, wanted, id)
    }

    fn below(root: &Path, wanted: &LinuxIntelRdt, id: &str) -> Result<Self> {
        let class = wanted.clos_id().as_deref().filter(|class| !class.is_empty());
        let name = class.unwrap_or(id);
        if NOT_GROUPS.contains(&name) || name.contains(['/', '\n', '\0']) {
            return Err(Error::user(format!("invalid {FIELD}.closID: {name:?} is no name of a group"))
                .hint("write it like guaranteed_group"));
        }
        let (l3, bandwidth) = (line_of(wanted.l3_cache_schema()), line_of(wanted.mem_bw_schema()));
        let mut expected = Vec::new();
        for line in l3.unwrap_or_default().lines() {
            // The line of the bandwidth's own field wins over one in here, says the runtime spec.
            if !(bandwidth.is_some() && line.starts_with("MB:")) {
                expected.push(line.to_owned());
            }
        }
        if let Some(line) = bandwidth {
            if !line.starts_with("MB:") || line.contains('\n') {
                return Err(Error::user(format!(
                    "invalid {FIELD}.memBwSchema: {line:?} is no line of bandwidths"
                ))
                .hint("write it like MB:0=20;1=70"));
            }
            expected.push(line.to_owned());
        }
        let lines = wanted.schemata().iter().flatten().cloned();
        let schemata: Vec<String> = expected.iter().cloned().chain(lines).collect();
        if let Some(line) = schemata.iter().find(|line| parse(line).is_none()) {
            return Err(Error::user(format!("invalid {FIELD}: {line:?} is no line of a schema"))
                .hint("write it like L3:0=7f0;1=1f"));
        }
        require_monitoring(root, wanted)?;
        let dir = root.join(name);
        let monitor = (*wanted.enable_monitoring() == Some(true)).then(|| dir.join("mon_groups").join(id));
        Ok(Self {
            group: RdtGroup { dir, monitor, own: class.is_none() },
            must_exist: class.is_some() && schemata.is_empty(),
            schemata,
            expected,
        })
    }

    /// What goes on record before anything is made.
    pub fn group(&self) -> &RdtGroup {
        &self.group
    }

    /// Makes the group, where it is missing, with what it is to have.
    ///
    /// # Errors
    /// When a group that must be there is not, one that is there says something else, and when the kernel refuses.
    pub fn make(&self) -> Result<()> {
        let RdtGroup { dir, monitor, .. } = &self.group;
        let title = || format!("cannot apply {FIELD} to {}", dir.display());
        let there = dir.is_dir();
        if !there && self.must_exist {
            return Err(Error::user("there is no such group, and nothing says what it should have")
                .hint(format!("make it first, or give {FIELD}.schemata")))
            .context(title);
        }
        let mut lines = self.schemata.as_slice();
        if there && !self.group.own {
            let now = std::fs::read_to_string(dir.join("schemata")).context(title)?;
            if let Some(line) = self.expected.iter().find(|line| !says(&now, line)) {
                return Err(Error::user(format!("the group is there, and does not have {line:?}"))
                    .hint("choose another closID, or what the group has"))
                .context(title);
            }
            lines = &lines[self.expected.len()..];
        }
        if !there {
            mkdir(dir).context(title)?;
        }
        let written = self
            .group
            .write(lines)
            .and_then(|()| monitor.as_deref().map_or(Ok(()), |dir| mkdir(dir).context(title)));
        // One that was made for a shared class is nobody's when its first container fails.
        if written.is_err() && !there {
            drop(std::fs::remove_dir(dir));
        }
        written
    }
}

impl RdtGroup {
    /// The file that a process of one thread enters the group by, writing 0 to it as to that of a v1 cgroup; its
    /// children follow.
    ///
    /// # Errors
    /// When the group is gone.
    pub fn tasks(&self) -> Result<OwnedFd> {
        let file = self.monitor.as_ref().unwrap_or(&self.dir).join("tasks");
        open_existing(&file, libc::O_WRONLY).context(|| format!("cannot open {}", file.display()))
    }

    /// Changes what the group has.
    ///
    /// # Errors
    /// When a line is wrong.
    pub fn write(&self, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        // In one write: a group of its own may be short of bits between two.
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        write_existing(&self.dir.join("schemata"), &text)
            .context(|| format!("cannot write {text:?} to {}", self.dir.join("schemata").display()))
            .map_err(|error| match self.last_complaint() {
                Some(complaint) => error.hint(format!("the kernel says: {complaint}")),
                None => error,
            })
    }

    /// The kernel's words about what it refused last.
    fn last_complaint(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.parent()?.join("info/last_cmd_status")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text != "ok")
    }

    /// Removes what was made for the container alone; processes that are left fall to the group above.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn remove(&self) -> Result<()> {
        let own = self.own.then_some(&self.dir);
        let remove = |dir: &PathBuf| match std::fs::remove_dir(dir) {
            Err(error) if !vanished(&error) => {
                Some(Error::host(format!("cannot remove {}", dir.display())).because(error))
            }
            _ => None,
        };
        Error::all(
            format!("cannot undo {FIELD}"),
            self.monitor.iter().chain(own).filter_map(remove).collect(),
        )
    }

    /// What `events` tells of it, in runc's names.
    pub fn told(&self) -> BTreeMap<String, serde_json::Value> {
        let mut told = BTreeMap::new();
        let root = self.dir.parent().unwrap_or(&self.dir);
        for (resource, name) in [("L3", "l3_cache_schema"), ("MB", "mem_bw_schema")] {
            for (dir, name) in [(root, format!("{name}_root")), (self.dir.as_path(), name.to_owned())] {
                let text = std::fs::read_to_string(dir.join("schemata")).unwrap_or_default();
                let line = text.lines().map(str::trim).find(|line| line.starts_with(&format!("{resource}:")));
                told.extend(line.map(|line| (name, line.into())));
            }
        }
        told
    }
}

/// `resctrl` in mountinfo, proc_pid_mountinfo(5).
fn root(mountinfo: &str) -> Option<PathBuf> {
    let line = mountinfo.lines().rfind(|line| line.contains(" - resctrl "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn not_mounted() -> Error {
    Error::host(format!("{FIELD}: no resctrl file system is mounted"))
        .hint("mount it: mount -t resctrl resctrl /sys/fs/resctrl (the processor must have Intel RDT, or AMD's QoS)")
}

fn require_monitoring(root: &Path, wanted: &LinuxIntelRdt) -> Result<()> {
    if *wanted.enable_monitoring() == Some(true) && !root.join("info/L3_MON/mon_features").exists() {
        let what = format!("{FIELD}.enableMonitoring: this processor or kernel counts nothing");
        return Err(Error::host(what).hint("leave it out"));
    }
    Ok(())
}

fn line_of(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn mkdir(dir: &Path) -> Result<()> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => Err(error)
            .context(|| format!("cannot make {}", dir.display()))
            .map_err(|error| error.hint("the processor has no class of service left: remove a group")),
        result => result.context(|| format!("cannot make {}", dir.display())),
    }
}

/// `L3:0=7f0;1=1f` as a resource and the value of each domain.
fn parse(line: &str) -> Option<(&str, BTreeMap<&str, &str>)> {
    let (resource, domains) = line.trim().split_once(':')?;
    if resource.is_empty() || line.contains(['\n', '\0']) {
        return None;
    }
    let domains = domains.split(';').map(|pair| pair.split_once('=')).map(|pair| {
        let (domain, value) = pair?;
        // The kernel pads with zeros or blanks.
        Some((domain.trim(), value.trim().trim_start_matches('0')))
    });
    Some((resource.trim(), domains.collect::<Option<_>>()?))
}

/// Whether a `schemata` file has every value of a line.
fn says(schemata: &str, line: &str) -> bool {
    let Some((resource, wanted)) = parse(line) else { return false };
    let now = schemata.lines().filter_map(parse).find(|(name, _)| *name == resource);
    now.is_some_and(|(_, now)| {
        wanted
            .iter()
            .all(|(domain, value)| now.get(domain).is_some_and(|has| has.eq_ignore_ascii_case(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, scratch, text};
    use super::*;

    fn plan(root: &Path, json: &str) -> Result<RdtPlan> {
        RdtPlan::below(root, &serde_json::from_str(json).unwrap(), "c1")
    }

    /// A directory like the file system; the kernel would make the files of a new group.
    fn fake(name: &str) -> PathBuf {
        let root = scratch(name);
        text(&root, "schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n");
        root
    }

    fn group(root: &Path, name: &str, schemata: &str) {
        std::fs::create_dir_all(root.join(name)).unwrap();
        text(&root.join(name), "schemata", schemata);
        text(&root.join(name), "tasks", "");
    }

    #[test]
    fn a_group_of_the_containers_own_comes_and_goes() {
        let root = fake("rdt-own");
        let plan =
            plan(&root, r#"{"l3CacheSchema":"L3:0=7f0\nMB:0=50","memBwSchema":"MB:0=20;1=70"}"#).unwrap();
        assert_eq!(plan.schemata, ["L3:0=7f0", "MB:0=20;1=70"]);
        group(&root, "c1", "");
        plan.make().unwrap();
        assert_eq!(content(&root.join("c1"), "schemata"), "L3:0=7f0\nMB:0=20;1=70\n");
        super::super::Entry::with(None, plan.group().tasks().unwrap()).enter().unwrap();
        assert_eq!(content(&root.join("c1"), "tasks"), "0");
        assert_eq!(plan.group().told()["l3_cache_schema"], "L3:0=7f0");
        assert_eq!(plan.group().told()["mem_bw_schema_root"], "MB:0=100;1=100");
        // The files of a group go with it; these do not.
        for file in ["schemata", "tasks"] {
            std::fs::remove_file(root.join("c1").join(file)).unwrap();
        }
        plan.group().remove().unwrap();
        plan.group().remove().unwrap();
        assert!(!root.join("c1").exists());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_class_that_is_there_must_say_the_same_and_stays() {
        let root = fake("rdt-class");
        group(&root, "gold", "    L3:0=0007f0;1=00001f\n    MB:0=  20;1=  70\n");
        plan(&root, r#"{"closID":"gold"}"#).unwrap().make().unwrap();
        let same =
            plan(&root, r#"{"closID":"gold","l3CacheSchema":"L3:0=7F0","memBwSchema":"MB:1=70"}"#).unwrap();
        same.make().unwrap();
        same.group().remove().unwrap();
        assert!(root.join("gold").exists());
        let other = plan(&root, r#"{"closID":"gold","l3CacheSchema":"L3:0=f"}"#).unwrap();
        assert!(other.make().unwrap_err().to_string().contains("does not have \"L3:0=f\""));
        assert!(content(&root.join("gold"), "schemata").contains("0007f0"));
        plan(&root, r#"{"closID":"gold","schemata":["L3:1=3"]}"#).unwrap().make().unwrap();
        assert!(content(&root.join("gold"), "schemata").starts_with("L3:1=3\n"));
        let missing = plan(&root, r#"{"closID":"silver"}"#).unwrap().make().unwrap_err();
        assert!(missing.to_string().contains("there is no such group"), "{missing}");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let root = fake("rdt-wrong");
        for (json, why) in [
            (r#"{"closID":"../x"}"#, "closID"),
            (r#"{"closID":"info"}"#, "closID"),
            (r#"{"memBwSchema":"L3:0=f"}"#, "memBwSchema"),
            (r#"{"memBwSchema":"MB:0=1\nL3:0=f"}"#, "memBwSchema"),
            (r#"{"l3CacheSchema":"0=f"}"#, "no line of a schema"),
            (r#"{"schemata":["L3:0=f\nMB:0=1"]}"#, "no line of a schema"),
            (r#"{"enableMonitoring":true}"#, "enableMonitoring"),
        ] {
            let error = plan(&root, json).unwrap_err().to_string();
            assert!(error.contains(why), "{json}: {error}");
        }
        std::fs::create_dir_all(root.join("info/L3_MON")).unwrap();
        text(&root.join("info/L3_MON"), "mon_features", "llc_occupancy\nmbm_total_bytes\n");
        let counted = plan(&root, r#"{"enableMonitoring":true}"#).unwrap();
        assert_eq!(counted.group().monitor, Some(root.join("c1/mon_groups/c1")));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_mount_is_found() {
        let line = "29 25 0:26 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n";
        assert_eq!(root(line), Some("/sys/fs/resctrl".into()));
        assert_eq!(root("29 25 0:26 / /x rw - tmpfs resctrl rw\n"), None);
    }
}
