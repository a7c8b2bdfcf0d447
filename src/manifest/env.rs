//! Variables of a container, and `$(VAR)` in its variables, command and arguments.

use crate::manifest::field::Field;
use crate::manifest::names;
use crate::manifest::pod::{bounded, judge};
use crate::manifest::report::Report;

/// Most variables of a container.
const MOST: usize = 4096;
/// Longest string that the kernel passes to a program, with the byte that ends it (execve(2), MAX_ARG_STRLEN).
const LONGEST: usize = 128 << 10;
/// Most bytes of arguments and variables together, about what the kernel takes with a stack of 8 MiB.
const MOST_BYTES: usize = 2 << 20;

/// Reads `env`; values may hold `$(VAR)` of variables before them. A name that comes twice keeps its place and takes the
/// last value.
pub(super) fn variables(field: &Field<'_>, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut known: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    if !bounded(field, MOST, report) {
        return variables;
    }
    for item in field.items() {
        let name = item.get("name");
        let Some(text) = name.filled() else {
            report.wrong(&name.path, "Required value");
            continue;
        };
        if !judge(&name, &names::env_name(text), report) {
            continue;
        }
        let Some(value) =
            expand_field(&item.get("value"), &Variables { all: &variables, known: &known }, report)
        else {
            return variables;
        };
        match known.get(text) {
            Some(index) => {
                report.warn(&name.path, &format!("{text} is set twice; the later value counts"));
                variables[*index].1 = value;
            }
            None => {
                known.insert(text.to_owned(), variables.len());
                variables.push((text.to_owned(), value));
            }
        }
    }
    variables
}

/// Reads `command` or `args`, whose words may hold `$(VAR)`.
pub(super) fn words(
    field: &Field<'_>,
    variables: &[(String, String)],
    report: &mut Report<'_>,
) -> Vec<String> {
    let known = variables.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
    let variables = Variables { all: variables, known: &known };
    gather(field, report, |item, report| expand_field(item, &variables, report))
}

/// Reads the command of a hook, whose words stay as they are.
pub(super) fn plain_words(field: &Field<'_>, report: &mut Report<'_>) -> Vec<String> {
    gather(field, report, |item, report| {
        let word = item.text();
        bounded_word(item, (word.len() < LONGEST).then(|| word.to_owned()), report)
    })
}

fn gather(
    field: &Field<'_>,
    report: &mut Report<'_>,
    read: impl Fn(&Field<'_>, &mut Report<'_>) -> Option<String>,
) -> Vec<String> {
    let mut words = Vec::new();
    let mut bytes = 0;
    for item in field.items() {
        let Some(word) = read(&item, report) else { break };
        bytes += word.len() + 1;
        if bytes > MOST_BYTES {
            report.wrong(&field.path, format!("Too long: may not be more than {MOST_BYTES} bytes"));
            break;
        }
        words.push(word);
    }
    words
}

/// The variables a text can name.
struct Variables<'a> {
    all: &'a [(String, String)],
    known: &'a std::collections::HashMap<String, usize>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).and_then(|index| self.all.get(*index)).map(|(_, value)| value.as_str())
    }
}

fn expand_field(field: &Field<'_>, variables: &Variables<'_>, report: &mut Report<'_>) -> Option<String> {
    bounded_word(field, expand(field.text(), |name| variables.get(name)), report)
}

/// Passes a word on; says where there is none, since it is too long.
fn bounded_word(field: &Field<'_>, word: Option<String>, report: &mut Report<'_>) -> Option<String> {
    if word.is_none() {
        report.wrong(&field.path, format!("Too long: may not be more than {} bytes", LONGEST - 1));
    }
    word
}

/// Replaces `$(NAME)`. `$$` is a dollar sign, so that `$$(NAME)` stays as `$(NAME)`; what `get` does not know stays as it
/// is. `None` where the result is longer than a program can be given.
fn expand<'a>(text: &str, get: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        expanded.push_str(before);
        rest = if let Some(rest) = after.strip_prefix('$') {
            expanded.push('$');
            rest
        } else if let Some((name, rest)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            match get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest
        } else {
            expanded.push('$');
            after
        };
        if expanded.len() >= LONGEST {
            return None;
        }
    }
    expanded.push_str(rest);
    (expanded.len() < LONGEST).then_some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_as_kubernetes_documents_it() {
        let get = |name: &str| match name {
            "A" => Some("a"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (text, want) in [
            ("$(A)", "a"),
            ("x$(A)y$(A)", "xaya"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(A)"),
            ("[$(EMPTY)]", "[]"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(A", "$(A"),
            ("$A ${A} $", "$A ${A} $"),
            ("$()", "$()"),
            ("$($(A))", "$($(A))"),
            ("é$(A)é", "éaé"),
        ] {
            assert_eq!(expand(text, get).unwrap(), want, "{text}");
        }
        let long = "x".repeat(1000);
        assert_eq!(expand(&"$(A)".repeat(200), |_| Some(&long)), None);
    }
}
