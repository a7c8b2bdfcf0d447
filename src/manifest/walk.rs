//! A tree against the table of fields: finds what is unknown, of the wrong type or not supported, and leaves a tree of
//! honoured fields alone, of the right types, for those who build the pod.

use crate::manifest::fields;
use crate::manifest::names;
use crate::manifest::report::Report;
use crate::manifest::schema::{Class, Field, Kind, Type};
use crate::manifest::tree::{Entry, Node, Value};
use std::collections::HashSet;

/// What is left of a manifest.
#[derive(Debug)]
pub(super) struct Walked {
    /// Honoured fields alone, none of them null. A list keeps its length: null stands for an item that is left out.
    pub root: Node,
    /// Fields that only a cluster can honour and that ask for something.
    pub accepted: Vec<String>,
    /// Whether every field is known and of its type, so that the rest can be judged.
    pub is_sound: bool,
}

/// Walks a Pod.
pub(super) fn walk(root: &Node, report: &mut Report<'_>) -> Walked {
    let mut walk = Walk { report, accepted: Vec::new(), is_sound: true, token_volumes: token_volumes(root) };
    let root = walk.object(&fields::POD, root, "", true);
    Walked { root, accepted: walk.accepted, is_sound: walk.is_sound }
}

/// The names of volumes that a cluster adds to every Pod for its service account, and mounts.
fn token_volumes(root: &Node) -> HashSet<String> {
    let volumes = root.get("spec").and_then(|spec| spec.get("volumes")).map_or(&[][..], Node::items);
    let of_cluster = |source: &Node| {
        source.get("serviceAccountToken").is_some()
            || source.get("downwardAPI").is_some()
            || source.get("configMap").and_then(|map| map.get("name")).and_then(Node::text)
                == Some("kube-root-ca.crt")
    };
    let is_token = |volume: &&Node| {
        let sources = volume.get("projected").and_then(|projected| projected.get("sources"));
        sources.is_some_and(|sources| sources.items().iter().all(of_cluster))
    };
    let named = |volume: &Node| volume.get("name").and_then(Node::text).map(str::to_owned);
    volumes
        .iter()
        .filter(is_token)
        .filter_map(named)
        .filter(|name| name.starts_with("kube-api-access-") && names::dns_label(name).is_ok())
        .collect()
}

struct Walk<'w, 'r> {
    report: &'w mut Report<'r>,
    accepted: Vec<String>,
    is_sound: bool,
    token_volumes: HashSet<String>,
}

impl Walk<'_, '_> {
    fn wrong(&mut self, path: &str, text: impl AsRef<str>) {
        self.is_sound = false;
        self.report.wrong(path, text);
    }

    /// The honoured fields of an object. `honoured` says whether what holds it is: in what a cluster or nobody honours,
    /// only names and types are looked at.
    fn object(&mut self, kind: &'static Type, node: &Node, path: &str, honoured: bool) -> Node {
        let mut kept = Vec::new();
        let Value::Map(entries) = &node.value else {
            self.wrong(path, format!("must be an object, not {}", words(node)));
            return Node { place: node.place, value: Value::Map(kept) };
        };
        for entry in entries {
            let path = join(path, &entry.key);
            self.report.stands(&path, entry.place);
            let Some(field) = kind.field(&entry.key) else {
                self.unknown(kind, &entry.key, &path);
                continue;
            };
            let keep = honoured && self.is_kept(field, &entry.node, &path);
            if entry.node.value == Value::Null {
                continue;
            }
            if let Some(value) = self.value(field.kind, &entry.node, &path, keep)
                && keep
            {
                let node = Node { place: entry.place, value };
                kept.push(Entry { key: entry.key.clone(), place: entry.place, node });
            }
        }
        Node { place: node.place, value: Value::Map(kept) }
    }

    fn unknown(&mut self, kind: &Type, key: &str, path: &str) {
        self.is_sound = false;
        let near = if self.report.is_full() { None } else { kind.nearest(key) };
        match near {
            Some(near) => {
                self.report.wrong_hint(
                    path,
                    format!("unknown field of {}", kind.name),
                    format!("did you mean {near}?"),
                );
            }
            None => self.report.wrong(path, format!("unknown field of {}", kind.name)),
        }
    }

    /// Whether podrun honours a field; says so where it does not.
    fn is_kept(&mut self, field: &Field, node: &Node, path: &str) -> bool {
        match field.class {
            Class::Honoured | Class::Part => true,
            Class::Cluster => {
                if !is_empty(node) {
                    self.accepted.push(path.to_owned());
                }
                false
            }
            Class::Unsupported(unset) => {
                if !unset.holds(node) {
                    self.report.unsupported(path, "", hint(field.name));
                }
                false
            }
        }
    }

    fn value(&mut self, kind: Kind, node: &Node, path: &str, keep: bool) -> Option<Value> {
        match kind {
            Kind::Object(kind) => Some(self.object(kind, node, path, keep).value),
            Kind::Objects(kind) => self.list(node, path, |walk, item, path| {
                if walk.belongs_to_cluster(kind, item, path) {
                    return Some(Value::Null);
                }
                Some(walk.object(kind, item, path, keep).value)
            }),
            Kind::Texts => self.list(node, path, |walk, item, path| walk.scalar(Kind::Text, item, path)),
            Kind::Ints32 => self.list(node, path, |walk, item, path| walk.scalar(Kind::Int32, item, path)),
            Kind::Ints64 => self.list(node, path, |walk, item, path| walk.scalar(Kind::Int64, item, path)),
            Kind::TextMap => self.map(Kind::Text, node, path),
            Kind::QuantityMap => self.map(Kind::Quantity, node, path),
            _ => self.scalar(kind, node, path),
        }
    }

    fn list(
        &mut self,
        node: &Node,
        path: &str,
        mut each: impl FnMut(&mut Self, &Node, &str) -> Option<Value>,
    ) -> Option<Value> {
        let Value::List(items) = &node.value else {
            self.wrong(path, format!("must be a list, not {}", words(node)));
            return None;
        };
        let mut kept = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.report.stands(&path, item.place);
            let value = each(self, item, &path).unwrap_or(Value::Null);
            kept.push(Node { place: item.place, value });
        }
        Some(Value::List(kept))
    }

    fn map(&mut self, kind: Kind, node: &Node, path: &str) -> Option<Value> {
        let Value::Map(entries) = &node.value else {
            self.wrong(path, format!("must be a map, not {}", words(node)));
            return None;
        };
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = format!("{path}[{}]", entry.key);
            self.report.stands(&path, entry.place);
            if let Some(value) = self.scalar(kind, &entry.node, &path) {
                let node = Node { place: entry.place, value };
                kept.push(Entry { key: entry.key.clone(), place: entry.place, node });
            }
        }
        Some(Value::Map(kept))
    }

    fn scalar(&mut self, kind: Kind, node: &Node, path: &str) -> Option<Value> {
        let int = |least: i64, most: i64| whole(&node.value).filter(|value| (least..=most).contains(value));
        let value = match kind {
            Kind::Any => return Some(node.value.clone()),
            Kind::Bool => matches!(node.value, Value::Bool(_)).then(|| node.value.clone()),
            Kind::Text | Kind::Time => node.text().map(|text| Value::Text(text.to_owned())),
            Kind::Int32 => int(i32::MIN.into(), i32::MAX.into()).map(Value::Int),
            Kind::IntOrText | Kind::Quantity if node.text().is_some() => Some(node.value.clone()),
            Kind::Quantity if matches!(node.value, Value::Float(_)) => Some(node.value.clone()),
            _ => int(i64::MIN, i64::MAX).map(Value::Int),
        };
        let Some(value) = value else {
            self.is_sound = false;
            let text = format!("must be {}, not {}", kind_words(kind), words(node));
            match (kind, &node.value) {
                (Kind::Text, Value::Bool(_)) => {
                    let hint = "put it in quotes; in YAML as Kubernetes reads it, y, yes, on, n, no and off are booleans";
                    self.report.wrong_hint(path, text, hint);
                }
                (Kind::Text, Value::Int(_) | Value::Float(_)) => {
                    self.report.wrong_hint(path, text, "put it in quotes");
                }
                _ => self.report.wrong(path, text),
            }
            return None;
        };
        if matches!(&value, Value::Text(text) if text.contains('\0')) {
            self.wrong(path, "must not hold a NUL character");
        }
        Some(value)
    }

    /// Whether a volume or a mount is a cluster's own; then it is listed and left out.
    fn belongs_to_cluster(&mut self, kind: &'static Type, item: &Node, path: &str) -> bool {
        let may = std::ptr::eq(kind, &raw const fields::VOLUME)
            || std::ptr::eq(kind, &raw const fields::VOLUME_MOUNT);
        let name = item.get("name").and_then(Node::text).unwrap_or_default();
        if !may || !self.token_volumes.contains(name) {
            return false;
        }
        self.accepted.push(format!("{path} ({name})"));
        true
    }
}

/// A whole number, however it is written: JSON knows no other than 8 for `8.0` or `08`.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53 a whole float is an integer")]
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
            Some(*value as i64)
        }
        _ => None,
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Text(text) => text.is_empty(),
        _ => false,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int32 => "an integer of 32 bits",
        Kind::Int64 => "an integer",
        Kind::Quantity => "a quantity such as 64Mi or 0.5",
        Kind::IntOrText => "an integer or a string",
        Kind::Time => "a time such as \"2026-01-02T03:04:05Z\"",
        _ => "a string",
    }
}

/// What a value is, so that who wrote `value: yes` sees why it is no string.
fn words(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Int(value) => format!("the number {value}"),
        Value::Float(value) => format!("the number {value}"),
        Value::Text(text) => format!("the string {:?}", text.chars().take(40).collect::<String>()),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "an object".into(),
    }
}

/// Another way to the same end, for fields that have one.
fn hint(field: &str) -> Option<&'static str> {
    Some(match field {
        "configMap" | "secret" | "projected" | "downwardAPI" => {
            "put the files into a directory of the host and use hostPath"
        }
        "persistentVolumeClaim" => "use hostPath with type: DirectoryOrCreate",
        "envFrom" | "valueFrom" => "write the variables as name and value",
        "subPath" | "subPathExpr" => {
            "use a volume of its own: a hostPath can name the directory or file below"
        }
        _ => return None,
    })
}
