//! `linux.memoryPolicy`: which NUMA nodes memory is taken from, set_mempolicy(2).

use super::numbers;
use crate::error::Result;
use crate::model::node::Node;

/// The modes of the runtime spec with their numbers, linux/mempolicy.h.
pub const MEMORY_MODES: [(&str, u32); 7] = [
    ("MPOL_BIND", 2),
    ("MPOL_DEFAULT", 0),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED", 1),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// The flags of the runtime spec with their bits, to be or-ed to a mode.
pub const MEMORY_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// What set_mempolicy(2) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// Mode with its flags.
    pub mode: u32,
    /// Nodes, one bit each.
    pub nodes: Vec<u64>,
}

impl MemoryPolicy {
    /// Reads it; an empty object asks for nothing. Which mode goes with which nodes and flags, the kernel says.
    ///
    /// # Errors
    /// Names what is unknown or missing.
    pub fn read(node: &Node<'_>) -> Result<Option<Self>> {
        /// The kernel's largest MAX_NUMNODES.
        const MOST: u32 = 1024;
        node.object()?;
        if ["mode", "nodes", "flags"].iter().all(|key| node.get(key).is_none()) {
            return Ok(None);
        }
        let known = |table: &[(&str, u32)], name: &str| {
            table.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
        };
        let Some(named) = node.get("mode") else {
            return Err(node
                .error("invalid memory policy mode: it is missing")
                .hint("mode: MPOL_DEFAULT is the kernel's own"));
        };
        let name = named.string()?;
        let invalid = || named.error(&format!("invalid memory policy mode {name:?}"));
        let mode = known(&MEMORY_MODES, name).ok_or_else(invalid)?;
        let flags = node.each("flags", |flag| {
            let name = flag.string()?;
            known(&MEMORY_FLAGS, name)
                .ok_or_else(|| flag.error(&format!("invalid memory policy flag {name:?}")))
        })?;
        let nodes = match node.get("nodes") {
            Some(list) if !list.string()?.trim().is_empty() => numbers::bits(list.string()?, MOST)
                .map_err(|why| list.error(&format!("invalid memory policy node: {why}")))?,
            _ => Vec::new(),
        };
        Ok(Some(Self { mode: flags.into_iter().fold(mode, |all, bit| all | bit), nodes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies() {
        let read = |value: &serde_json::Value| MemoryPolicy::read(&Node::new("linux.memoryPolicy", value));
        let policy =
            read(&json!({"mode": "MPOL_BIND", "nodes": "0,2", "flags": ["MPOL_F_STATIC_NODES"]})).unwrap();
        assert_eq!(policy, Some(MemoryPolicy { mode: 2 | 1 << 15, nodes: vec![5] }));
        assert_eq!(read(&json!({})).unwrap(), None);
        assert_eq!(read(&json!({"mode": "MPOL_DEFAULT"})).unwrap().unwrap().nodes, Vec::<u64>::new());
        for (value, field) in [
            (json!({"nodes": "0-7"}), "linux.memoryPolicy: invalid memory policy mode"),
            (json!({"mode": "INTERLEAVE"}), "linux.memoryPolicy.mode: invalid memory policy mode"),
            (
                json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}),
                "linux.memoryPolicy.nodes: invalid memory policy node",
            ),
            (
                json!({"mode": "MPOL_BIND", "flags": ["x"]}),
                "linux.memoryPolicy.flags[0]: invalid memory policy flag",
            ),
        ] {
            let error = read(&value).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
