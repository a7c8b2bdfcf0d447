//! Reading config.json: bounded, tolerant where the runtime spec says so, and strict about everything else.
//!
//! The seccomp profile, two thirds of a usual config.json, is taken out as text: it is hashed and looked up among the
//! compiled filters, and only parsed when it is not there.

use super::attributes::Attributes;
use super::namespaces::path_of;
use super::{bounds, shape, support, untyped, version};
use crate::error::{Context, Error, Result};
use crate::model::node::Node;
use crate::report;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// The file's name in a bundle.
pub const FILE: &str = "config.json";

/// Largest config.json that is read: one with every list of the spec at its sensible limit is far smaller.
const LARGEST_BYTES: u64 = 16 << 20;

/// A config.json.
#[derive(Debug)]
pub struct Config {
    /// The typed part; `linux.seccomp` and what `attributes` has are taken out. A process that is not there, which is
    /// wanted at `start` alone, is one without arguments.
    pub spec: Spec,
    /// What is read by hand.
    pub attributes: Attributes,
    /// The text of `linux.seccomp`, where there is one.
    pub seccomp: Option<String>,
    /// The file as it was read.
    pub text: String,
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    linux: Option<PeekLinux<'a>>,
}

#[derive(Deserialize)]
struct PeekLinux<'a> {
    #[serde(borrow)]
    seccomp: Option<&'a RawValue>,
}

/// Reads and checks the config.json of a bundle.
///
/// # Errors
/// When it is missing, too large, malformed (with line or field), or asks for what is not supported (with field).
pub fn load(directory: &Path) -> Result<Config> {
    let path = directory.join(FILE);
    let text = read_bounded(&path).map_err(|error| match error.errno() {
        Some(libc::ENOENT) => {
            error.hint("give the bundle's directory with --bundle; `podrun spec` writes a config.json")
        }
        _ => error,
    })?;
    parse(text).context(|| format!("cannot use {path:?}"))
}

/// Reads and checks a `process.json` for exec.
///
/// # Errors
/// As [`load`].
pub fn load_process(path: &Path) -> Result<(Process, Attributes)> {
    parse_process(&read_bounded(path)?).context(|| format!("cannot use {path:?}"))
}

/// Checks the text of a `process.json`.
///
/// # Errors
/// As [`load`].
pub fn parse_process(text: &str) -> Result<(Process, Attributes)> {
    let mut value: Value = serde_json::from_str(text).context(|| "malformed JSON")?;
    shape::check_process(&value, "")?;
    bounds::check_process(&value, "")?;
    support::check_process(&value, "")?;
    untyped::check_process(&value, "")?;
    drop_unknown_capabilities(&mut value, "capabilities");
    let attributes = Attributes::of_process(&Node::new("", &value))?;
    Attributes::strip_process(&mut value);
    default_user(&mut value);
    let process: Process = typed(value)?;
    check_process(&process, "")?;
    Ok((process, attributes))
}

fn read_bounded(path: &Path) -> Result<String> {
    let mut text = String::new();
    // Opening must not wait for somebody to write into a FIFO; reading waits for who does.
    let file = crate::sys::fs::open_existing(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)
        .context_as(crate::error::Kind::User, || format!("cannot open {path:?}"))?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).context(|| format!("cannot set up {path:?}"))?;
    let length = std::fs::File::from(file)
        .take(LARGEST_BYTES + 1)
        .read_to_string(&mut text)
        .context_as(crate::error::Kind::User, || format!("cannot read {path:?}"))?;
    if u64::try_from(length).is_ok_and(|length| length <= LARGEST_BYTES) {
        return Ok(text);
    }
    Err(Error::user(format!("cannot read {path:?}: it is larger than {} MiB", LARGEST_BYTES >> 20)))
}

/// The typed form of a JSON value.
///
/// # Errors
/// Names the field that is of another type, or missing.
pub fn typed<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T> {
    let error = match T::deserialize(&value) {
        Ok(typed) => return Ok(typed),
        Err(error) => error.to_string(),
    };
    let missing = error.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = culprit::<T>(&mut value, &error, missing);
    Err(Error::user(match (field.as_str(), missing) {
        ("", _) => error,
        (field, Some(_)) => format!("{field}: is missing"),
        (field, None) => format!("{field}: {error}"),
    }))
}

/// The path of the part without which the error would be another; of a field that is `missing`, where it should be. None
/// where that cannot be told.
///
/// A deserializer that keeps track of the path would be as large as all the rest of podrun's parsing, for the sake of
/// errors alone.
fn culprit<T: serde::de::DeserializeOwned>(value: &mut Value, error: &str, missing: Option<&str>) -> String {
    /// More parts than this at one level are not tried one by one: a hostile file has millions.
    const MOST_PARTS: usize = 512;
    let same_error = |value: &Value| T::deserialize(value).err().is_some_and(|e| e.to_string() == error);
    let (mut pointer, mut path) = (String::new(), String::new());
    loop {
        if let Some(field) = missing.filter(|field| is_wanted(value, &pointer, field, same_error)) {
            return below(&path, field);
        }
        let parts: Vec<String> = match value.pointer(&pointer) {
            Some(Value::Object(map)) => map.keys().cloned().collect(),
            Some(Value::Array(list)) => (0..list.len()).map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        };
        let mut tried = parts.iter().take(MOST_PARTS);
        let Some(part) = tried.find(|part| is_to_blame(value, &pointer, part, same_error)) else {
            // Whatever holds a missing field is not wrong itself.
            return if missing.is_some() { String::new() } else { path };
        };
        let in_list = matches!(value.pointer(&pointer), Some(Value::Array(_)));
        path = if in_list { format!("{path}[{part}]") } else { below(&path, part) };
        pointer = format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"));
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether an object is looked into for a field that it has not got. The value is left as it was.
fn is_wanted(value: &mut Value, pointer: &str, field: &str, same_error: impl FnOnce(&Value) -> bool) -> bool {
    match value.pointer_mut(pointer) {
        Some(Value::Object(map)) if !map.contains_key(field) => {
            drop(map.insert(field.to_owned(), Value::Null))
        }
        _ => return false,
    }
    let wanted = !same_error(value);
    if let Some(Value::Object(map)) = value.pointer_mut(pointer) {
        map.remove(field);
    }
    wanted
}

/// Whether an error is that of a part: it is gone without a part of an object, and there with the elements of a list up
/// to that one (a later one may have the same). The value is left as it was.
fn is_to_blame(
    value: &mut Value,
    pointer: &str,
    part: &str,
    same_error: impl FnOnce(&Value) -> bool,
) -> bool {
    let index = part.parse::<usize>().unwrap_or(usize::MAX);
    match value.pointer_mut(pointer) {
        Some(Value::Object(map)) => {
            let Some(taken) = map.remove(part) else { return false };
            let blamed = !same_error(value);
            if let Some(Value::Object(map)) = value.pointer_mut(pointer) {
                map.insert(part.to_owned(), taken);
            }
            blamed
        }
        Some(Value::Array(list)) if index < list.len() => {
            let mut taken = list.split_off(index + 1);
            let blamed = same_error(value);
            if let Some(Value::Array(list)) = value.pointer_mut(pointer) {
                list.append(&mut taken);
            }
            blamed
        }
        _ => false,
    }
}

impl Config {
    /// Checks a spec that was made in memory, whose seccomp profile is given as text.
    ///
    /// # Errors
    /// As [`load`].
    pub fn of(spec: Spec, seccomp: Option<String>) -> Result<Self> {
        let value = serde_json::to_value(&spec).context(|| "cannot encode the spec")?;
        bounds::check(&value)?;
        support::check(&value)?;
        let attributes = Attributes::of_config(&value)?;
        check_spec(&spec)?;
        let process = spec.process().as_ref().ok_or_else(|| Error::user("process: is missing"))?;
        check_process(process, "process.")?;
        let text = written(value, seccomp.as_deref())?;
        Ok(Self { spec, attributes, seccomp, text })
    }
}

/// The text of a config.json with the given profile.
fn written(mut spec: Value, seccomp: Option<&str>) -> Result<String> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        rest: &'a Value,
        linux: Linux<'a>,
    }
    #[derive(Serialize)]
    struct Linux<'a> {
        #[serde(flatten)]
        rest: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        seccomp: Option<&'a RawValue>,
    }
    let mut linux = spec.as_object_mut().and_then(|spec| spec.remove("linux")).unwrap_or_default();
    if linux.as_object_mut().is_some_and(|linux| linux.remove("seccomp").is_some()) {
        return Err(Error::user("linux.seccomp: is given as text"));
    }
    let seccomp = seccomp.map(serde_json::from_str).transpose();
    let linux = Linux { rest: &linux, seccomp: seccomp.context(|| "linux.seccomp: malformed JSON")? };
    serde_json::to_string(&Whole { rest: &spec, linux }).context(|| "cannot encode the spec")
}

/// Checks the text of a config.json.
///
/// # Errors
/// As [`load`].
pub fn parse(text: String) -> Result<Config> {
    let peek: Peek<'_> = serde_json::from_str(&text).map_err(|error| misshapen(&text, error))?;
    // A list stays, for the check to find it.
    let raw = peek.linux.and_then(|linux| linux.seccomp).filter(|raw| !raw.get().starts_with('['));
    let seccomp = raw.map(|raw| raw.get().to_owned()).filter(|raw| raw != "null");
    let mut value: Value = match raw {
        None => serde_json::from_str(&text),
        Some(raw) => {
            // The slice lies within the text, so its offset is the distance of the pointers.
            let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
            let end = start + raw.get().len();
            serde_json::from_str(&format!("{}null{}", &text[..start], &text[end..]))
        }
    }
    .context(|| "malformed JSON")?;
    shape::check(&value)?;
    bounds::check(&value)?;
    support::check(&value)?;
    untyped::check(&value)?;
    drop_unknown_capabilities(&mut value, "process.capabilities");
    let attributes = Attributes::of_config(&value)?;
    Attributes::strip(&mut value);
    let has_process = value.get("process").is_some_and(|process| !process.is_null());
    if let Some(config) = value.as_object_mut().filter(|_| !has_process) {
        // One that has nothing to run.
        config.insert("process".to_owned(), json!({"cwd": "/"}));
    }
    if let Some(process) = value.get_mut("process") {
        default_user(process);
    }
    let version = value.get("ociVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(resources) = value.pointer_mut("/linux/resources") {
        untyped::settle_pids(resources, &version);
    }
    let spec: Spec = typed(value)?;
    check_spec(&spec)?;
    if let (true, Some(process)) = (has_process, spec.process()) {
        check_process(process, "process.")?;
    }
    Ok(Config { spec, attributes, seccomp, text })
}

/// Why a text is no config.json, by the field where that is a list in the place of an object.
fn misshapen(text: &str, error: serde_json::Error) -> Error {
    let shape = serde_json::from_str(text).map_or(Ok(()), |value| shape::check(&value));
    shape.err().unwrap_or_else(|| Error::user("malformed JSON").because(error))
}

/// A process without a user is root's, as with every runtime.
fn default_user(process: &mut Value) {
    if let Some(process) = process.as_object_mut() {
        let user = process.entry("user").or_insert(Value::Null);
        if user.is_null() {
            *user = Value::Object(serde_json::Map::new());
        }
    }
}

/// Takes names that are no capability out of the five sets, with a warning: so the runtime spec wants it.
fn drop_unknown_capabilities(value: &mut Value, field: &str) {
    let pointer = format!("/{}", field.replace('.', "/"));
    let Some(Value::Object(sets)) = value.pointer_mut(&pointer) else { return };
    for (set, names) in sets {
        let Value::Array(names) = names else { continue };
        names.retain(|name| {
            let known = name.as_str().is_none_or(|name| name.parse::<caps::Capability>().is_ok());
            if !known {
                report::warn(&format!("{field}.{set}: unknown capability {name} is ignored"));
            }
            known
        });
    }
}

/// What the types alone do not say.
fn check_spec(spec: &Spec) -> Result<()> {
    let version = spec.version();
    if version::minor(version).is_none() {
        return Err(Error::user(format!("ociVersion: {version:?} is not supported"))
            .hint("podrun knows the runtime spec 1.0 to 1.3"));
    }
    let Some(root) = spec.root() else { return Err(Error::user("root: is missing")) };
    if root.path().as_os_str().is_empty() {
        return Err(Error::user("root.path: is empty"));
    }
    let Some(linux) = spec.linux() else { return Err(Error::user("linux: is missing")) };
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    for (index, namespace) in namespaces.iter().enumerate() {
        if namespaces[..index].iter().any(|earlier| earlier.typ() == namespace.typ()) {
            return Err(Error::user(format!(
                "linux.namespaces[{index}]: {} is given twice",
                namespace.typ()
            )));
        }
    }
    match namespaces.iter().find(|n| n.typ() == LinuxNamespaceType::Mount) {
        // Its mounts would be another user namespace's, and the new root's could not be mixed with them.
        Some(mount)
            if path_of(mount).is_some() && namespaces.iter().any(|n| n.typ() == LinuxNamespaceType::User) =>
        {
            Err(Error::user(
                "linux.namespaces: joining a mount namespace together with a user namespace is not supported",
            )
            .hint("leave out the path, or the user namespace"))
        }
        _ => Ok(()),
    }
}

fn check_process(process: &Process, prefix: &str) -> Result<()> {
    if process.args().as_deref().unwrap_or_default().first().is_none_or(String::is_empty) {
        return Err(Error::user(format!("{prefix}args: there is no command")));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::user(format!("{prefix}cwd: {:?} is not absolute", process.cwd())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["sh"],
                    "capabilities": {"bounding": ["CAP_CHOWN", "CAP_NEW_THING"]}},
        "linux": {"namespaces": [{"type": "mount"}], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}"#;

    fn error(text: &str) -> String {
        parse(text.to_owned()).unwrap_err().to_string()
    }

    #[test]
    fn the_seccomp_text_is_taken_out_and_unknown_capabilities_are_dropped() {
        let config = parse(SMALL.to_owned()).unwrap();
        assert_eq!(config.seccomp.as_deref(), Some(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#));
        let capabilities = config.spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 1);
    }

    #[test]
    fn a_spec_in_memory_reads_back_from_its_text() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;
        let without = SMALL.replace(r#", "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}"#, "");
        let spec = parse(without).unwrap().spec;
        for seccomp in [None, Some(profile.to_owned())] {
            let made = Config::of(spec.clone(), seccomp.clone()).unwrap();
            let read = parse(made.text).unwrap();
            assert_eq!((read.spec, read.seccomp), (spec.clone(), seccomp.clone()));
            assert_eq!(made.seccomp, seccomp);
        }
        let refused = |spec: &Spec, seccomp: Option<&str>| {
            Config::of(spec.clone(), seccomp.map(ToOwned::to_owned)).unwrap_err().to_string()
        };
        assert!(refused(&spec, Some("{")).starts_with("linux.seccomp: malformed JSON"));
        let mut twice = spec.clone();
        twice.linux_mut().as_mut().unwrap().set_seccomp(serde_json::from_str(profile).unwrap());
        assert!(refused(&twice, None).starts_with("linux.seccomp: "));
        let mut virtual_machine = spec.clone();
        virtual_machine.set_vm(serde_json::from_str(r#"{"kernel": {"path": "/x"}}"#).unwrap());
        assert!(refused(&virtual_machine, None).starts_with("vm"));
        let mut bare = spec;
        bare.set_process(None);
        assert!(refused(&bare, None).starts_with("process: "));
    }

    #[test]
    fn a_pipe_is_read_as_its_writer_writes() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (read, write) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", read.as_raw_fd());
        let text = std::thread::scope(|scope| {
            let mut write = write;
            scope.spawn(move || {
                for part in ["{", "}"] {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    write.write_all(part.as_bytes()).unwrap();
                }
            });
            read_bounded(Path::new(&path))
        });
        assert_eq!(text.unwrap(), "{}");
    }

    #[test]
    fn errors_name_the_field_or_the_line() {
        assert!(
            error("{\n  \"ociVersion\": }").contains("line 2 column"),
            "{}",
            error("{\n  \"ociVersion\": }")
        );
        assert!(error(&SMALL.replace("\"mount\"}", "\"moon\"}")).contains("linux.namespaces[0].type"));
        assert!(error(&SMALL.replace("[\"sh\"]", "[]")).contains("process.args"));
        assert!(error(&SMALL.replace("\"cwd\": \"/\"", "\"cwd\": \"tmp\"")).contains("process.cwd"));
        for version in ["2.0.0", "1.", "1.x"] {
            assert!(error(&SMALL.replace("1.0.2", version)).contains("ociVersion"), "{version}");
        }
        assert!(error(&SMALL.replace("{\"path\": \"rootfs\"}", "{\"path\": 7}")).contains("root.path"));
        assert!(error(&"[".repeat(100_000)).contains("malformed"));
    }

    #[test]
    fn a_missing_field_is_named_and_no_other() {
        for (with, without, field) in [
            (r#""cwd": "/", "#, "", "process.cwd"),
            (r#""type": "mount""#, "", "linux.namespaces[0].type"),
            (
                r#""linux": {"#,
                r#""mounts": [{"source": "a"}, {"source": "b"}], "linux": {"#,
                "mounts[0].destination",
            ),
            (
                r#""linux": {"#,
                r#""linux": {"devices": [{"path": "/dev/p", "type": "p"}, {"path": "/dev/x"}], "#,
                "linux.devices[1].type",
            ),
            (r#""args""#, r#""rlimits": [{"soft": 1, "hard": 1}], "args""#, "process.rlimits[0].type"),
        ] {
            let said = error(&SMALL.replace(with, without));
            assert_eq!(said, format!("{field}: is missing"));
        }
        let said =
            parse_process(r#"{"args": ["sh"], "user": {"uid": 0, "gid": 0}}"#).unwrap_err().to_string();
        assert_eq!(said, "cwd: is missing");
    }
}
