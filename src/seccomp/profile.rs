//! Reads the JSON of `linux.seccomp` into libseccomp's words and complains with the field's name.
//!
//! The tree is walked by hand, since serde's messages know the line but not the field. Unknown properties are
//! ignored, as the runtime spec asks; known ones that podrun cannot honour are refused.

use crate::error::{Context, Result};
use crate::model::node::Node;
use crate::sys::seccomp::{LOG, NEW_LISTENER, SPEC_ALLOW, WAIT_KILLABLE_RECV};
use libseccomp::{ScmpAction, ScmpArch, ScmpCompareOp};
use serde_json::Value;
use std::path::PathBuf;

/// A profile that makes sense in itself.
#[derive(Debug)]
pub struct Profile {
    /// For what no rule names.
    pub default: ScmpAction,
    /// Beside the machine's own.
    pub architectures: Vec<ScmpArch>,
    /// `SECCOMP_FILTER_FLAG_*` bits.
    pub flags: u32,
    /// Who answers what is notified, where something is.
    pub listener: Option<Listener>,
    /// In the profile's order.
    pub rules: Vec<Rule>,
}

/// The agent that answers notified system calls in the kernel's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its Unix socket.
    pub path: PathBuf,
    /// What it is told beside the container's state.
    pub metadata: String,
}

/// One entry of `syscalls`.
#[derive(Debug)]
pub struct Rule {
    /// Names, some of which this libseccomp may not know.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: ScmpAction,
    /// Conditions on the arguments; none means always.
    pub conditions: Vec<Condition>,
}

/// A comparison of one argument of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// 0 to 5.
    pub argument: u32,
    /// With the mask, where there is one.
    pub operator: ScmpCompareOp,
    /// What the argument, masked where there is a mask, is compared with.
    pub value: u64,
}

impl Profile {
    /// Reads the text of `linux.seccomp`.
    ///
    /// # Errors
    /// The first field that is wrong, by name.
    pub fn parse(text: &str) -> Result<Self> {
        let tree: Value = serde_json::from_str(text).context(|| "linux.seccomp is not JSON")?;
        let root = Node::new("linux.seccomp", &tree);
        root.object()?;
        let named = root.require("defaultAction")?;
        let default = action(&named, root.get("defaultErrnoRet").as_ref())?;
        if default == ScmpAction::Notify {
            return Err(named.error("SCMP_ACT_NOTIFY cannot be used as default action").hint(
                "the process could not even tell that it has a filter; name the system calls to notify",
            ));
        }
        let rules = root.each("syscalls", Rule::parse)?;
        let notifies = rules.iter().any(|rule| rule.action == ScmpAction::Notify);
        let listener = Listener::parse(&root, notifies)?;
        let new_listener = if listener.is_some() { NEW_LISTENER } else { 0 };
        Ok(Self {
            default,
            architectures: root.each("architectures", architecture)?,
            flags: flags(&root, notifies)? | new_listener,
            listener,
            rules,
        })
    }
}

impl Listener {
    /// Without a rule that notifies, there is none, whatever the profile says: the runtime spec has it so.
    fn parse(root: &Node, notifies: bool) -> Result<Option<Self>> {
        let text = |key: &str| -> Result<Option<String>> {
            let text = root.get(key).map(|node| node.string().map(ToOwned::to_owned)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let (path, metadata) = (text("listenerPath")?, text("listenerMetadata")?);
        if let (None, Some(_), Some(node)) = (&path, &metadata, root.get("listenerMetadata")) {
            return Err(node.error("is given without listenerPath").hint("there is nobody to send it to"));
        }
        match path {
            _ if !notifies => Ok(None),
            Some(path) => Ok(Some(Self { path: path.into(), metadata: metadata.unwrap_or_default() })),
            None => Err(root
                .error("listenerPath: is missing, and there are rules with SCMP_ACT_NOTIFY")
                .hint("give the path of the Unix socket that the agent listens on")),
        }
    }
}

impl Rule {
    fn parse(node: &Node) -> Result<Self> {
        node.object()?;
        let names = node.require("names")?;
        let rule = Self {
            names: node.each("names", |name| match name.string()? {
                "" => Err(name.error("is empty")),
                text => Ok(text.to_owned()),
            })?,
            action: action(&node.require("action")?, node.get("errnoRet").as_ref())?,
            conditions: node.each("args", Condition::parse)?,
        };
        if rule.action == ScmpAction::Notify && rule.names.iter().any(|name| name == "write") {
            return Err(names
                .error("SCMP_ACT_NOTIFY cannot be used for the write syscall")
                .hint("the process itself has to write before the agent can answer for it"));
        }
        if rule.names.is_empty() { Err(names.error("names no system call")) } else { Ok(rule) }
    }
}

impl Condition {
    fn parse(node: &Node) -> Result<Self> {
        node.object()?;
        let index = node.require("index")?;
        let argument = index.unsigned(5)?;
        let value = node.require("value")?.unsigned(u64::MAX)?;
        let second = node.get("valueTwo").map_or(Ok(0), |two| two.unsigned(u64::MAX))?;
        let operator = node.require("op")?;
        let simple = |op| (op, value);
        let (operator, value) = match operator.string()? {
            "SCMP_CMP_NE" => simple(ScmpCompareOp::NotEqual),
            "SCMP_CMP_LT" => simple(ScmpCompareOp::Less),
            "SCMP_CMP_LE" => simple(ScmpCompareOp::LessOrEqual),
            "SCMP_CMP_EQ" => simple(ScmpCompareOp::Equal),
            "SCMP_CMP_GE" => simple(ScmpCompareOp::GreaterEqual),
            "SCMP_CMP_GT" => simple(ScmpCompareOp::Greater),
            // (argument & value) == valueTwo
            "SCMP_CMP_MASKED_EQ" => (ScmpCompareOp::MaskedEqual(value), second),
            other => return Err(operator.error(&format!("unknown operator {other:?}"))),
        };
        Ok(Self { argument: u32::try_from(argument).unwrap_or(u32::MAX), operator, value })
    }
}

/// An action with the number it may carry; without one it is EPERM, config-linux.md "Seccomp".
fn action(node: &Node, number: Option<&Node>) -> Result<ScmpAction> {
    let name = node.string()?;
    let carried = |largest: u16| -> Result<u16> {
        let Some(number) = number else { return Ok(1) };
        number.unsigned(largest.into()).map(|n| u16::try_from(n).unwrap_or(largest))
    };
    let plain = match name {
        // Above MAX_ERRNO the kernel would quietly return that instead.
        "SCMP_ACT_ERRNO" => return Ok(ScmpAction::Errno(carried(4095)?.into())),
        "SCMP_ACT_TRACE" => return Ok(ScmpAction::Trace(carried(u16::MAX)?)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => ScmpAction::KillThread,
        "SCMP_ACT_KILL_PROCESS" => ScmpAction::KillProcess,
        "SCMP_ACT_TRAP" => ScmpAction::Trap,
        "SCMP_ACT_ALLOW" => ScmpAction::Allow,
        "SCMP_ACT_LOG" => ScmpAction::Log,
        "SCMP_ACT_NOTIFY" => ScmpAction::Notify,
        other => return Err(node.error(&format!("unknown action {other:?}"))),
    };
    match number {
        Some(number) => Err(number.error(&format!("{name} returns no error number"))),
        None => Ok(plain),
    }
}

fn architecture(node: &Node) -> Result<ScmpArch> {
    let name = node.string()?;
    name.parse().map_err(|_| node.error(&format!("unknown architecture {name:?}")))
}

/// Without `flags`, SPEC_ALLOW: the store-bypass mitigation costs a program far more than it gives it, which is why
/// the kernel stopped implying it and other runtimes ask for this too. An empty list means none.
fn flags(root: &Node, notifies: bool) -> Result<u32> {
    if root.get("flags").is_none() {
        return Ok(SPEC_ALLOW);
    }
    let bits = root.each("flags", |flag| match flag.string()? {
        // One thread loads the filter, so there is none to synchronize.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(LOG),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(SPEC_ALLOW),
        // The kernel takes it for a filter with a listener only.
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if notifies => Ok(WAIT_KILLABLE_RECV),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Err(flag
            .error("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is given, and no rule has SCMP_ACT_NOTIFY")
            .hint("it serves notifications only; leave it out")),
        other => Err(flag.error(&format!("unknown flag {other:?}"))),
    })?;
    Ok(bits.into_iter().fold(0, |all, bit| all | bit))
}
