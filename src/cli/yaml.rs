//! JSON values as YAML in block style, for `-o yaml`.
//!
//! Invariant: every YAML reader, of version 1.1 as of 1.2, reads back the value that was written. So a string stands
//! plain only where it can be nothing else; all others are quoted as in JSON, which YAML contains.

use serde_json::Value;

/// Words that some version of YAML takes for something else than a string, in lower case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf"];

/// The value as a document, with a newline at its end.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(&mut text, items, 0),
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, fields, 0, 0),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

/// Writes the fields, each but the first `begun` ones on a line of its own indentation.
fn mapping(text: &mut String, fields: &serde_json::Map<String, Value>, indent: usize, begun: usize) {
    for (index, (key, value)) in fields.iter().enumerate() {
        if index >= begun {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&string(key));
        text.push(':');
        match value {
            // Kubernetes' tools do not indent a list below its key either.
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(text, items, indent);
            }
            Value::Object(fields) if !fields.is_empty() => {
                text.push('\n');
                mapping(text, fields, indent + 2, 0);
            }
            other => {
                text.push(' ');
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }
}

fn sequence(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        match item {
            Value::Object(fields) if !fields.is_empty() => {
                text.push_str("- ");
                mapping(text, fields, indent + 2, 1);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push_str("-\n");
                sequence(text, items, indent + 2);
            }
            other => {
                text.push_str("- ");
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        // Null, booleans, numbers, `[]` and `{}` are the same in both.
        other => other.to_string(),
    }
}

fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let quoted = Value::from(text).to_string();
    quoted.chars().fold(String::with_capacity(quoted.len()), |mut all, c| {
        match c {
            // Line ends and characters that YAML, unlike JSON, does not take as they are.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                all.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => all.push(c),
        }
        all
    })
}

/// Whether the text can be nothing but a string: it begins with a letter or `/`, goes on with characters that mean
/// nothing, and is no word that does.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(harmless)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks() {
        let value = json!({
            "kind": "Pod",
            "list": ["a", {"b": 1, "c": [2]}, [3, []], {}],
            "none": null,
            "nested": {"x": {"y": true}},
            "number": 0.5,
        });
        let want = "\
kind: Pod
list:
- a
- b: 1
  c:
  - 2
-
  - 3
  - []
- {}
nested:
  x:
    \"y\": true
none: null
number: 0.5
";
        assert_eq!(document(&value), want);
        assert_eq!((document(&json!({})), document(&json!("a"))), ("{}\n".to_owned(), "a\n".to_owned()));
    }

    #[test]
    fn strings_that_could_be_something_else_are_quoted() {
        for plain in ["a", "web-1.2", "/srv/data", "Yesterday", "docker.io/library/busybox", "nullable"] {
            assert_eq!(string(plain), plain);
        }
        for odd in [
            "",
            "yes",
            "No",
            "TRUE",
            "null",
            "~",
            "1",
            "1e3",
            "0644",
            "-",
            "- a",
            "a: b",
            "a #b",
            " a",
            "a b",
            "1:30",
            "2026-01-02",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a,b",
            "é",
            "a\nb",
            "a\"b",
            ".inf",
            "=",
            "<<",
            "?",
            "|",
            "'",
            "\u{85}\u{7f}\u{2028}",
        ] {
            let written = string(odd);
            assert!(written.starts_with('"'), "{odd:?}");
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), odd);
        }
    }
}
