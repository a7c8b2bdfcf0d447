//! What the runtime spec says of a process beyond identity and capabilities: how the kernel schedules it, where its
//! memory comes from, which machine it believes in, and how security modules label it.
//!
//! Read from the JSON by hand, for the sake of the field's name in every complaint; the typed spec does not see these.
//! Checked here as far as the kernel's own rules are the same everywhere; [`super::init::attributes`] sets them.

mod memory;
mod numbers;
mod scheduler;

pub use memory::{MEMORY_FLAGS, MEMORY_MODES, MemoryPolicy};

use super::labels;
use crate::error::{Error, Result};
use crate::model::node::Node;
use crate::sys::sched::SchedAttr;
use serde_json::Value;

/// The attributes of one process. What is not given stays as it is inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Policy, nice value, priority, sched_setattr(2).
    pub scheduler: Option<SchedAttr>,
    /// Class and priority as ioprio_set(2) takes them.
    pub io_priority: Option<u16>,
    /// Processors that the command and the process it clones run on before it is in the container's cgroup.
    pub initial_cpus: Option<Vec<u64>>,
    /// Processors of the program; without them those of the cgroup.
    pub final_cpus: Option<Vec<u64>>,
    /// Execution domain, personality(2).
    pub personality: Option<u32>,
    /// Where memory is taken from, set_mempolicy(2).
    pub memory_policy: Option<MemoryPolicy>,
    /// Profile of AppArmor.
    pub apparmor: Option<String>,
    /// Label of SELinux.
    pub selinux: Option<String>,
}

/// The properties of `process` that [`Attributes::of_process`] reads.
const OF_PROCESS: [&str; 5] =
    ["scheduler", "ioPriority", "execCPUAffinity", "apparmorProfile", "selinuxLabel"];
/// The properties of `linux` that [`Attributes::of_config`] reads.
const OF_LINUX: [&str; 2] = ["personality", "memoryPolicy"];

impl Attributes {
    /// Reads those of a whole config: of `process` and of `linux`.
    ///
    /// # Errors
    /// Names the property that makes no sense, or that this host cannot honour.
    pub fn of_config(config: &Value) -> Result<Self> {
        let process = config.get("process").map(|process| Node::new("process", process));
        let mut attributes =
            process.map(|process| Self::of_process(&process)).transpose()?.unwrap_or_default();
        let Some(linux) = config.get("linux").map(|linux| Node::new("linux", linux)) else {
            return Ok(attributes);
        };
        attributes.personality = linux.get("personality").map(|node| personality(&node)).transpose()?;
        attributes.memory_policy = match linux.get("memoryPolicy") {
            Some(node) => MemoryPolicy::read(&node)?,
            None => None,
        };
        Ok(attributes)
    }

    /// Reads those of a `process`.
    ///
    /// # Errors
    /// As [`Attributes::of_config`].
    pub fn of_process(process: &Node<'_>) -> Result<Self> {
        let text = |key: &str| -> Result<Option<String>> {
            let text = process.get(key).map(|node| node.string().map(ToOwned::to_owned)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let affinity = process.get("execCPUAffinity");
        let cpus = |key: &str| -> Result<Option<Vec<u64>>> {
            let node = affinity.as_ref().and_then(|affinity| affinity.get(key));
            node.map_or(Ok(None), |node| cpus(&node))
        };
        if let Some(affinity) = &affinity {
            affinity.object()?;
        }
        let attributes = Self {
            scheduler: process.get("scheduler").map(|node| scheduler::read(&node)).transpose()?,
            io_priority: process.get("ioPriority").map(|node| io_priority(&node)).transpose()?,
            initial_cpus: cpus("initial")?,
            final_cpus: cpus("final")?,
            apparmor: text("apparmorProfile")?,
            selinux: text("selinuxLabel")?,
            ..Self::default()
        };
        labels::check_process(&attributes, |key| Node::path_of(process, key))?;
        Ok(attributes)
    }

    /// Takes out of a config what has been read, so that the typed spec need not know it.
    pub fn strip(config: &mut Value) {
        for (parent, keys) in [("process", &OF_PROCESS[..]), ("linux", &OF_LINUX)] {
            if let Some(parent) = config.get_mut(parent) {
                Self::strip_keys(parent, keys);
            }
        }
    }

    /// As [`Attributes::strip`], for a `process` that stands alone.
    pub fn strip_process(process: &mut Value) {
        Self::strip_keys(process, &OF_PROCESS);
    }

    fn strip_keys(parent: &mut Value, keys: &[&str]) {
        if let Some(parent) = parent.as_object_mut() {
            for key in keys {
                parent.remove(*key);
            }
        }
    }

    /// These, and those of the container where these say nothing: for a further process in it.
    #[must_use]
    pub fn or(self, containers: &Self) -> Self {
        let theirs = containers.clone();
        let (initial_cpus, final_cpus) = match (self.initial_cpus, self.final_cpus) {
            (None, None) => (theirs.initial_cpus, theirs.final_cpus),
            given => given,
        };
        Self {
            scheduler: self.scheduler.or(theirs.scheduler),
            io_priority: self.io_priority.or(theirs.io_priority),
            initial_cpus,
            final_cpus,
            personality: self.personality.or(theirs.personality),
            memory_policy: self.memory_policy.or(theirs.memory_policy),
            apparmor: self.apparmor.or(theirs.apparmor),
            selinux: self.selinux.or(theirs.selinux),
        }
    }

    /// Those of a container's first process, which execCPUAffinity does not concern.
    #[must_use]
    pub fn of_first_process(mut self) -> Self {
        (self.initial_cpus, self.final_cpus) = (None, None);
        self
    }
}

/// A list of processors, or none where it is empty.
fn cpus(node: &Node<'_>) -> Result<Option<Vec<u64>>> {
    /// More than any kernel is built for.
    const MOST: u32 = 8192;
    let text = node.string()?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    numbers::bits(text, MOST)
        .map(Some)
        .map_err(|why| node.error(&format!("cannot read the list of CPUs {text:?}: {why}")))
}

/// The word of ioprio_set(2): the class above bit 13, the priority below.
fn io_priority(node: &Node<'_>) -> Result<u16> {
    const CLASS_SHIFT: u16 = 13;
    node.object()?;
    let named = node.require("class")?;
    let class = match named.string()? {
        "IOPRIO_CLASS_RT" => 1u16,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(named.error(&format!("unknown class {other:?}"))),
    };
    let priority = node.get("priority").map_or(Ok(0), |priority| priority.unsigned(7))?;
    Ok(class << CLASS_SHIFT | u16::try_from(priority).unwrap_or(0))
}

/// The number of personality(2).
fn personality(node: &Node<'_>) -> Result<u32> {
    const PER_LINUX: u32 = 0;
    const PER_LINUX32: u32 = 8;
    node.object()?;
    let flags = node.each("flags", |flag| -> Result<()> {
        Err::<(), Error>(
            flag.error("is not supported").hint("the runtime spec defines no flag of personalities yet"),
        )
    });
    flags?;
    let domain = node.require("domain")?;
    match domain.string()? {
        "LINUX" => Ok(PER_LINUX),
        "LINUX32" => Ok(PER_LINUX32),
        other => Err(domain.error(&format!("unknown domain {other:?}")).hint("LINUX or LINUX32")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(config: &Value) -> String {
        Attributes::of_config(config).unwrap_err().to_string()
    }

    #[test]
    fn values_are_the_kernels() {
        let config = json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
                "execCPUAffinity": {"initial": "0", "final": "1-2,65"}, "apparmorProfile": "", "selinuxLabel": null},
            "linux": {"personality": {"domain": "LINUX32", "flags": []}, "memoryPolicy": {}}});
        let read = Attributes::of_config(&config).unwrap();
        assert_eq!(read.io_priority, Some(2 << 13 | 4));
        assert_eq!((read.initial_cpus.clone(), read.final_cpus.clone()), (Some(vec![1]), Some(vec![6, 2])));
        assert_eq!((read.personality, &read.memory_policy, &read.apparmor), (Some(8), &None, &None));
        let first = read.of_first_process();
        assert_eq!((first.initial_cpus, first.final_cpus), (None, None));
    }

    #[test]
    fn complaints_name_the_field() {
        let table = [
            (
                json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}}),
                "process.ioPriority.priority: ",
            ),
            (json!({"process": {"ioPriority": {"priority": 1}}}), "process.ioPriority.class: is missing"),
            (json!({"process": {"ioPriority": 3}}), "process.ioPriority: is not an object"),
            (
                json!({"process": {"execCPUAffinity": {"final": "0-99999999999"}}}),
                "process.execCPUAffinity.final: ",
            ),
            (json!({"process": {"execCPUAffinity": []}}), "process.execCPUAffinity: is not an object"),
            (
                json!({"linux": {"personality": {"domain": "LINUX", "flags": ["X"]}}}),
                "linux.personality.flags[0]: ",
            ),
            (
                json!({"linux": {"personality": {"domain": "BSD"}}}),
                "linux.personality.domain: unknown domain",
            ),
            (json!({"process": {"apparmorProfile": 1}}), "process.apparmorProfile: is not a string"),
        ];
        for (config, field) in table {
            let error = refused(&config);
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_further_process_has_the_containers_where_its_own_say_nothing() {
        let own = Attributes { final_cpus: Some(vec![1]), ..Attributes::default() };
        let containers =
            Attributes { initial_cpus: Some(vec![2]), io_priority: Some(7), ..Attributes::default() };
        let both = own.or(&containers);
        assert_eq!((both.initial_cpus, both.final_cpus, both.io_priority), (None, Some(vec![1]), Some(7)));
    }
}
