//! A field of a walked tree with its path, for those who build the pod: types are right already, nulls are gone.

use crate::manifest::tree::{Node, Value};

/// A field and where it is.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Such as `spec.containers[0].image`.
    pub path: String,
    node: Option<&'a Node>,
}

impl<'a> Field<'a> {
    /// The whole manifest.
    pub fn root(node: &'a Node) -> Self {
        Self { path: String::new(), node: Some(node) }
    }

    /// A field of this object, which may not be there.
    pub fn get(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, node: self.node.and_then(|node| node.get(key)) }
    }

    /// Whether it is there.
    pub fn is_set(&self) -> bool {
        self.node.is_some()
    }

    /// The text, empty where it is not there: Kubernetes makes no difference.
    pub fn text(&self) -> &'a str {
        self.node.and_then(Node::text).unwrap_or_default()
    }

    /// The text, where it is there and not empty.
    pub fn filled(&self) -> Option<&'a str> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// The truth value, false where it is not there.
    pub fn is_true(&self) -> bool {
        self.boolean().unwrap_or_default()
    }

    /// The truth value.
    pub fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value) = self.node?.value { Some(value) } else { None }
    }

    /// The number.
    pub fn int(&self) -> Option<i64> {
        if let Value::Int(value) = self.node?.value { Some(value) } else { None }
    }

    /// A quantity as text, however it is written.
    pub fn quantity(&self) -> Option<String> {
        match &self.node?.value {
            Value::Text(text) => Some(text.clone()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The items of a list, without those left out.
    pub fn items(&self) -> Vec<Field<'a>> {
        let items = self.node.map_or(&[][..], Node::items);
        let item = |(index, node): (usize, &'a Node)| {
            (node.value != Value::Null)
                .then(|| Self { path: format!("{}[{index}]", self.path), node: Some(node) })
        };
        items.iter().enumerate().filter_map(item).collect()
    }

    /// The entries of a map.
    pub fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        let Some(Value::Map(entries)) = self.node.map(|node| &node.value) else { return Vec::new() };
        entries
            .iter()
            .map(|entry| {
                let path = format!("{}[{}]", self.path, entry.key);
                (entry.key.as_str(), Self { path, node: Some(&entry.node) })
            })
            .collect()
    }
}
