//! JSON read by hand, so that a complaint names the field: serde's messages know the line but not the name.

use crate::error::{Error, Result};
use serde_json::Value;

/// A value and where it stands, such as `linux.seccomp.syscalls[3].action`.
pub struct Node<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// The value of the field `path`.
    pub fn new(path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value }
    }

    /// An error about it.
    pub fn error(&self, what: &str) -> Error {
        match self.path.as_str() {
            "" => Error::user(what),
            path => Error::user(format!("{path}: {what}")),
        }
    }

    /// Insists on an object.
    pub fn object(&self) -> Result<()> {
        if self.value.is_object() { Ok(()) } else { Err(self.error("is not an object")) }
    }

    /// The property `key`; null is as good as absent, since Go writes it for what is not set.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(key), value })
    }

    /// The property `key`, which must be there.
    pub fn require(&self, key: &str) -> Result<Node<'a>> {
        self.get(key).ok_or_else(|| Error::user(format!("{}: is missing", self.path_of(key))))
    }

    /// Its text.
    pub fn string(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.error("is not a string"))
    }

    /// A whole number up to `largest`.
    pub fn unsigned(&self, largest: u64) -> Result<u64> {
        match self.value.as_u64() {
            Some(number) if number <= largest => Ok(number),
            _ => Err(self.error(&format!("{} is not a whole number from 0 to {largest}", self.value))),
        }
    }

    /// A whole number from `smallest` to `largest`.
    pub fn integer(&self, smallest: i32, largest: i32) -> Result<i32> {
        match self.value.as_i64().map(i32::try_from) {
            Some(Ok(number)) if (smallest..=largest).contains(&number) => Ok(number),
            _ => {
                Err(self.error(&format!("{} is not a whole number from {smallest} to {largest}", self.value)))
            }
        }
    }

    /// Where the property `key` stands, or would.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reads each element of the list `key`; none where there is no list.
    pub fn each<T>(&self, key: &str, read: impl Fn(&Node) -> Result<T>) -> Result<Vec<T>> {
        let Some(list) = self.get(key) else { return Ok(Vec::new()) };
        let elements = list.value.as_array().ok_or_else(|| list.error("is not a list"))?;
        let node = |(index, value)| Node { path: format!("{}[{index}]", list.path), value };
        elements.iter().enumerate().map(node).map(|element| read(&element)).collect()
    }
}

/// The first value at `path` below `value` that `test` has an answer to: where it stands, and the answer. In the path names
/// are divided by dots, `*` is every element of a list and every value of an object, and the empty one is `value` itself,
/// which stands at `place`.
pub fn find<T>(
    value: &Value,
    place: &str,
    path: &str,
    test: &impl Fn(&Value) -> Option<T>,
) -> Option<(String, T)> {
    let (below, answer) = find_below(value, path, test)?;
    let below = if place.is_empty() { below.trim_start_matches('.') } else { &below };
    Some((format!("{place}{below}"), answer))
}

fn find_below<T>(value: &Value, path: &str, test: &impl Fn(&Value) -> Option<T>) -> Option<(String, T)> {
    if path.is_empty() {
        return test(value).map(|answer| (String::new(), answer));
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let at = |step: &dyn Fn() -> String, next: &Value| {
        find_below(next, rest, test).map(|(below, answer)| (step() + &below, answer))
    };
    match (first, value) {
        ("*", Value::Array(list)) => {
            list.iter().enumerate().find_map(|(index, element)| at(&|| format!("[{index}]"), element))
        }
        ("*", Value::Object(map)) => {
            map.iter().find_map(|(key, element)| at(&|| format!("[{key:?}]"), element))
        }
        _ => at(&|| format!(".{first}"), value.get(first)?),
    }
}
