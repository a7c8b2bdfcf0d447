//! The form of the table of fields: type, who is to honour it, and the value that asks for nothing.
//!
//! The table itself is [`crate::manifest::fields`]. It is at once the schema that manifests are checked against and the
//! list of what podrun does about each field; a test compares it with Kubernetes' own schema.

use crate::manifest::tree::{Node, Value};

/// Who is to honour a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    /// podrun does, though not every value.
    Honoured,
    /// Only a cluster can: accepted and listed.
    Cluster,
    /// A node does, and podrun not yet: refused, unless the value asks for nothing.
    Unsupported(Unset),
    /// Whoever honours what holds it.
    Part,
}

/// The values of a field that ask for nothing more than its absence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unset {
    /// Only null.
    Null,
    /// An empty list, map or text.
    Empty,
    /// Kubernetes' default.
    Bool(bool),
    /// Kubernetes' default, or others that come to the same here.
    OneOf(&'static [&'static str]),
    /// A shape that a function knows.
    If(fn(&Node) -> bool),
}

impl Unset {
    /// Whether the value asks for nothing.
    pub fn holds(self, node: &Node) -> bool {
        match (self, &node.value) {
            (_, Value::Null) => true,
            (Self::Empty, Value::List(items)) => items.is_empty(),
            (Self::Empty, Value::Map(entries)) => entries.is_empty(),
            (Self::Empty, Value::Text(text)) => text.is_empty(),
            (Self::Bool(default), Value::Bool(value)) => default == *value,
            (Self::OneOf(defaults), Value::Text(text)) => defaults.contains(&text.as_str()),
            (Self::If(check), _) => check(node),
            _ => false,
        }
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    Int32,
    Int64,
    /// An amount: text such as `64Mi`, or a number.
    Quantity,
    /// A port by number or by name.
    IntOrText,
    /// An RFC 3339 time.
    Time,
    /// Anything; nobody reads it.
    Any,
    Object(&'static Type),
    Objects(&'static Type),
    Texts,
    Ints32,
    Ints64,
    TextMap,
    QuantityMap,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub class: Class,
    pub kind: Kind,
}

/// A type of object, by Kubernetes' name.
#[derive(Debug)]
pub(super) struct Type {
    pub name: &'static str,
    pub fields: &'static [Field],
}

impl Type {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field whose name was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let names = self.fields.iter().map(|field| field.name);
        nearest(name, names)
    }
}

/// A row of an honoured field.
pub(super) const fn honoured(name: &'static str, kind: Kind) -> Field {
    Field { name, class: Class::Honoured, kind }
}

/// A row of a field that only a cluster can honour.
pub(super) const fn cluster(name: &'static str, kind: Kind) -> Field {
    Field { name, class: Class::Cluster, kind }
}

/// A row of a field that podrun does not support yet.
pub(super) const fn unsupported(name: &'static str, kind: Kind, unset: Unset) -> Field {
    Field { name, class: Class::Unsupported(unset), kind }
}

/// A row of a field that is of the class of what holds it.
pub(super) const fn part(name: &'static str, kind: Kind) -> Field {
    Field { name, class: Class::Part, kind }
}

/// Types whose fields are all of one class, `honoured` or `part`: `class; NAME "Name" { field: Kind, ... }`.
macro_rules! types {
    ($class:ident; $($ident:ident $name:literal { $($field:ident: $kind:expr),* $(,)? })*) => {
        $(pub(super) static $ident: $crate::manifest::schema::Type = $crate::manifest::schema::Type {
            name: $name,
            fields: &[$($crate::manifest::schema::$class(stringify!($field), $kind)),*],
        };)*
    };
}
pub(super) use types;

/// The one of `names` that `name` is most like, if it is like any.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(4).min(3);
    if name.len() > 64 {
        return None;
    }
    names
        .map(|known| (distance(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters must be changed, put in or taken out to make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let names = ["image", "imagePullPolicy", "name", "env", "envFrom", "volumeMounts"];
        for (name, want) in [
            ("imge", Some("image")),
            ("Image", Some("image")),
            ("volumeMount", Some("volumeMounts")),
            ("imagepullpolicy", Some("imagePullPolicy")),
            ("enviroment", None),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names.into_iter()), want, "{name}");
        }
    }
}
