//! YAML text to a tree whose every node knows where it stands. JSON is read as the YAML it also is.
//!
//! The tree is bounded whatever the text says: its depth, and what aliases may copy. Keys are text, as in JSON, and no
//! map has one twice.

use crate::manifest::scalar;
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;

/// Deepest nesting. A Pod needs 12 levels.
const DEEPEST: usize = 64;
/// Most bytes that all aliases of a file may copy, keys, text and nodes together.
const MOST_COPIED: usize = 4 << 20;

/// A line and a column, each from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map, where it stands, and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub place: Place,
    pub text: String,
}

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    pub root: Node,
    /// Keys that a map has twice; the first of them stays.
    pub duplicates: Vec<Fault>,
}

impl Node {
    /// What a map holds under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The items of a list; none where it is something else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect()
            }
        }
    }
}

/// Every document of the text, empty ones left out.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Fault> {
    let options = granit_parser::options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
    let mut builder = Builder::default();
    for step in Parser::new_from_str_with_options(text, options) {
        match step {
            Ok((event, span)) => builder.take(event, start(span))?,
            Err(error) => {
                let mark = error.marker();
                let place = Place { line: mark.line(), column: mark.col() + 1 };
                return Err(Fault { place, text: error.info() });
            }
        }
    }
    Ok(builder.documents)
}

fn start(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

fn fault<T>(place: Place, text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { place, text: text.into() })
}

/// A node with what is to be known of it when it is copied.
#[derive(Debug, Clone)]
struct Measured {
    node: Node,
    /// Levels from here to its deepest leaf.
    height: usize,
    /// About how many bytes it takes.
    bytes: usize,
}

/// A list or map that has begun and not ended.
#[derive(Debug)]
struct Open {
    place: Place,
    anchor: usize,
    height: usize,
    bytes: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key>, merged: Vec<Node> },
}

/// A key whose value is still to come.
#[derive(Debug)]
enum Key {
    Name(String, Place),
    /// `<<`: the value's entries are this map's too, where it has not got its own.
    Merge(Place),
}

#[derive(Debug, Default)]
struct Builder {
    documents: Vec<Document>,
    open: Vec<Open>,
    anchors: HashMap<usize, Measured>,
    copied: usize,
    duplicates: Vec<Fault>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && text == "<<" && tag.is_none() && self.expect_merge(place) {
                    return Ok(());
                }
                let bytes = size_of::<Entry>() + text.len();
                let value = scalar_value(&text, style, tag.as_deref(), place)?;
                self.complete(anchor, Measured { node: Node { place, value }, height: 1, bytes })?;
            }
            Event::Alias(anchor) => {
                let Some(bytes) = self.anchors.get(&anchor).map(|known| known.bytes) else {
                    return fault(place, "an alias stands inside of what it repeats");
                };
                self.count_copy(bytes, place)?;
                if let Some(known) = self.anchors.get(&anchor).cloned() {
                    self.complete(0, known)?;
                }
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", place)?;
                self.begin(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "map", place)?;
                let content = Content::Map { entries: Vec::new(), key: None, merged: Vec::new() };
                self.begin(place, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a `<<` just read is a merge key, and remembers that it is.
    fn expect_merge(&mut self, place: Place) -> bool {
        match self.open.last_mut() {
            Some(Open { content: Content::Map { key: key @ None, .. }, .. }) => {
                *key = Some(Key::Merge(place));
                true
            }
            _ => false,
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Fault> {
        self.check_depth(place, 1)?;
        self.open.push(Open { place, anchor, height: 0, bytes: size_of::<Entry>(), content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, merged, .. } => {
                self.drop_duplicates(&mut entries);
                merge(&mut entries, merged);
                Value::Map(entries)
            }
        };
        let node = Node { place: open.place, value };
        self.complete(open.anchor, Measured { node, height: open.height + 1, bytes: open.bytes })
    }

    /// Puts a node that is read where it belongs.
    fn complete(&mut self, anchor: usize, known: Measured) -> Result<(), Fault> {
        self.check_depth(known.node.place, known.height)?;
        if anchor != 0 {
            self.count_copy(known.bytes, known.node.place)?;
            self.anchors.insert(anchor, known.clone());
        }
        let Measured { node, height, bytes } = known;
        let Some(open) = self.open.last_mut() else {
            let duplicates = std::mem::take(&mut self.duplicates);
            if node.value != Value::Null {
                self.documents.push(Document { root: node, duplicates });
            }
            return Ok(());
        };
        open.height = open.height.max(height);
        open.bytes = open.bytes.saturating_add(bytes);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, merged } => match key.take() {
                None => *key = Some(Key::Name(key_text(node.value, node.place)?, node.place)),
                Some(Key::Name(key, place)) => entries.push(Entry { key, place, node }),
                Some(Key::Merge(place)) => merged.extend(mergeable(node, place)?),
            },
        }
        Ok(())
    }

    fn count_copy(&mut self, bytes: usize, place: Place) -> Result<(), Fault> {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > MOST_COPIED {
            return fault(place, format!("anchors and aliases repeat more than {} MiB", MOST_COPIED >> 20));
        }
        Ok(())
    }

    fn check_depth(&self, place: Place, below: usize) -> Result<(), Fault> {
        if self.open.len() + below > DEEPEST + 1 {
            return fault(place, format!("more than {DEEPEST} levels are nested here"));
        }
        Ok(())
    }

    /// Keeps the first of each key.
    fn drop_duplicates(&mut self, entries: &mut Vec<Entry>) {
        let mut first: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
        let mut is_first = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let before = *first.entry(&entry.key).or_insert(entry.place);
            is_first.push(before == entry.place);
            if before != entry.place {
                let text = format!("{:?} is written twice, first on line {}", entry.key, before.line);
                self.duplicates.push(Fault { place: entry.place, text });
            }
        }
        let mut is_first = is_first.into_iter();
        entries.retain(|_| is_first.next().unwrap_or(true));
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Value, Fault> {
    let bad = |kind: &str| fault(place, format!("{text:?} is not {kind}"));
    let resolved = || match scalar::resolve(text) {
        Some(value) => Ok(value),
        None => fault(place, format!("{text} is no number that JSON knows")),
    };
    match tag.map(Tag::parts) {
        None if style == ScalarStyle::Plain => resolved(),
        None | Some(("!", "") | ("", "!") | ("tag:yaml.org,2002:", "str")) => {
            Ok(Value::Text(text.to_owned()))
        }
        Some(("tag:yaml.org,2002:", "int")) => match resolved()? {
            value @ Value::Int(_) => Ok(value),
            _ => bad("an integer"),
        },
        Some(("tag:yaml.org,2002:", "float")) => match resolved()? {
            value @ (Value::Int(_) | Value::Float(_)) => Ok(value),
            _ => bad("a number"),
        },
        Some(("tag:yaml.org,2002:", "bool")) => match resolved()? {
            value @ Value::Bool(_) => Ok(value),
            _ => bad("a boolean"),
        },
        Some(("tag:yaml.org,2002:", "null")) => Ok(Value::Null),
        Some((handle, suffix)) => {
            fault(place, format!("tag {:?} is not supported", [handle, suffix].concat()))
        }
    }
}

fn collection_tag(tag: Option<&Tag>, kind: &str, place: Place) -> Result<(), Fault> {
    match tag.map(Tag::parts) {
        None | Some(("!", "") | ("", "!")) => Ok(()),
        Some(("tag:yaml.org,2002:", suffix)) if suffix == kind => Ok(()),
        Some((handle, suffix)) => {
            fault(place, format!("tag {:?} is not supported", [handle, suffix].concat()))
        }
    }
}

/// A key as JSON has it, where `8080: x` and `on: x` have the keys `8080` and `true`.
fn key_text(value: Value, place: Place) -> Result<String, Fault> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Float(value) => Ok(value.to_string()),
        Value::Null => fault(place, "a key is missing here"),
        Value::List(_) | Value::Map(_) => fault(place, "a list or map cannot be a key"),
    }
}

/// The maps behind a merge key, the one that wins first.
fn mergeable(node: Node, place: Place) -> Result<Vec<Node>, Fault> {
    let maps = if let Value::List(items) = node.value { items } else { vec![node] };
    if maps.iter().any(|map| !matches!(map.value, Value::Map(_))) {
        return fault(place, "behind the merge key << only maps can stand");
    }
    Ok(maps)
}

fn merge(entries: &mut Vec<Entry>, merged: Vec<Node>) {
    for node in merged {
        let Value::Map(more) = node.value else { continue };
        let known: std::collections::HashSet<String> =
            entries.iter().map(|entry| entry.key.clone()).collect();
        entries.extend(more.into_iter().filter(|entry| !known.contains(&entry.key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match documents(text) {
            Ok(all) => all.iter().map(|one| one.root.to_json().to_string()).collect::<Vec<_>>().join(" "),
            Err(fault) => format!("{}:{}: {}", fault.place.line, fault.place.column, fault.text),
        }
    }

    #[test]
    fn documents_of_yaml_and_json() {
        let table = [
            ("a: 1\nb:\n- x\n- k: z\nc:\n", r#"{"a":1,"b":["x",{"k":"z"}],"c":null}"#),
            ("---\n---\na: 1\n...\n---\n# only this\n--- {b: 2}\n---\n", r#"{"a":1} {"b":2}"#),
            (
                "{\"a\":\t\"\\ud83d\\ude00\\/x\",\n\t\"b\": [1,\t2.5, null]}",
                "{\"a\":\"😀/x\",\"b\":[1,2.5,null]}",
            ),
            ("a: &x {b: 1}\nc: *x\n", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("x: &x {a: 1, b: 1}\nz: {<<: *x, b: 2}\n", r#"{"x":{"a":1,"b":1},"z":{"a":1,"b":2}}"#),
            (
                "x: &x {a: 1}\nw: &w {a: 2, b: 2}\nz:\n  <<: [*x, *w]\n",
                r#"{"w":{"a":2,"b":2},"x":{"a":1},"z":{"a":1,"b":2}}"#,
            ),
            ("\"<<\": 1", r#"{"<<":1}"#),
            ("8080: a\non: b\n'on': c\n", r#"{"8080":"a","on":"c","true":"b"}"#),
            ("a: !!str 5\nb: !!int '7'\nc: ! 1", r#"{"a":"5","b":7,"c":"1"}"#),
            ("a: |\n  x\n   y\n\nb: >-\n  z\n  z", r#"{"a":"x\n y\n","b":"z z"}"#),
            ("\u{feff}a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
            ("", ""),
            ("# nothing", ""),
        ];
        for (text, want) in table {
            assert_eq!(json(text), want, "{text}");
        }
    }

    #[test]
    fn faults_name_their_place() {
        for (text, want) in [
            ("a: b: c", "1:5: mapping values are not allowed in this context"),
            ("a:\n\t- b", "2:2: tabs disallowed"),
            ("a: [1, 2", "1:4: unclosed bracket"),
            ("a: *nope", "1:4: while parsing node, found unknown anchor"),
            ("a: &a [*a]", "1:8: an alias stands inside"),
            ("a: !foo x", "1:9: tag \"!foo\" is not supported"),
            ("a: !!int x", "1:10: \"x\" is not an integer"),
            ("a: .inf", "1:4: .inf is no number"),
            ("? [a]\n: b", "1:3: a list or map cannot be a key"),
            ("a: {<<: 1}", "1:5: behind the merge key"),
        ] {
            assert!(json(text).starts_with(want), "{text}: {}", json(text));
        }
    }

    #[test]
    fn duplicate_keys_are_found_and_the_first_stays() {
        let all = documents("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n").unwrap();
        assert_eq!(all[0].root.to_json().to_string(), r#"{"a":1,"b":{"c":1}}"#);
        let faults: Vec<String> = all[0]
            .duplicates
            .iter()
            .map(|f| format!("{}:{} {}", f.place.line, f.place.column, f.text))
            .collect();
        assert_eq!(
            faults,
            [
                "2:11 \"c\" is written twice, first on line 2",
                "3:1 \"a\" is written twice, first on line 1",
                "4:1 \"a\" is written twice, first on line 1"
            ]
        );
    }

    #[test]
    fn hostile_texts_are_bounded() {
        for deep in
            ["[".repeat(100_000), "- ".repeat(100_000), (0..3000).map(|i| " ".repeat(i) + "a:\n").collect()]
        {
            assert!(documents(&deep).is_err());
        }
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let row = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{row}]\n"));
        }
        assert!(json(&bomb).contains("aliases repeat more than 4 MiB"), "{}", json(&bomb));
        let mut tower = String::from("a0: &a0 [x]\n");
        for i in 1..200 {
            tower.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(json(&tower).contains("levels are nested"), "{}", json(&tower));
    }
}
