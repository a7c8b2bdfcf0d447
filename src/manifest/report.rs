//! What is wrong with a manifest, gathered: a person mends all of it at once.

use crate::error::Error;
use crate::manifest::Options;
use crate::manifest::tree::Place;
use std::collections::HashMap;

/// More problems than this are only counted.
const MOST_SHOWN: usize = 20;
/// More than this are not kept: a text of megabytes can have one in each line.
const MOST_KEPT: usize = 1000;
const IGNORE: &str = "leave it out, or run without it by --ignore-unsupported";

/// Something to tell the user about a field.
#[derive(Debug)]
struct Remark {
    place: Place,
    text: String,
    hint: Option<String>,
}

/// The remarks on one Pod.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a str,
    options: Options,
    problems: Vec<Remark>,
    /// How many problems are not kept.
    dropped: usize,
    warnings: Vec<Remark>,
    /// Where each field stands, for remarks and for those who check later.
    places: HashMap<String, Place>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, options: Options, root: Place) -> Self {
        let places = HashMap::from([(String::new(), root)]);
        Self { file, options, problems: Vec::new(), dropped: 0, warnings: Vec::new(), places }
    }

    /// Remembers where a field stands.
    pub fn stands(&mut self, path: &str, place: Place) {
        self.places.insert(path.to_owned(), place);
    }

    /// Where a field or, if it is not written, what holds it stands.
    fn place(&self, path: &str) -> Place {
        place_of(&self.places, path)
    }

    /// The field cannot be as it is; `text` says why in Kubernetes' words.
    pub fn wrong(&mut self, path: &str, text: impl AsRef<str>) {
        self.problem(path, text.as_ref(), None);
    }

    /// As [`Report::wrong`], with the remedy.
    pub fn wrong_hint(&mut self, path: &str, text: impl AsRef<str>, hint: impl Into<String>) {
        self.problem(path, text.as_ref(), Some(hint.into()));
    }

    /// Something is wrong where no field is.
    pub fn wrong_at(&mut self, place: Place, text: impl Into<String>) {
        self.keep(Remark { place, text: text.into(), hint: None });
    }

    fn problem(&mut self, path: &str, text: &str, hint: Option<String>) {
        let place = self.place(path);
        self.keep(Remark { place, text: format!("{path}: {text}"), hint });
    }

    fn keep(&mut self, mut problem: Remark) {
        if self.is_full() {
            self.dropped += 1;
        } else {
            problem.text = printable(&problem.text);
            self.problems.push(problem);
        }
    }

    /// Whether further problems will only be counted, so that no work need go into their words.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= MOST_KEPT
    }

    /// A node would do what the field asks for, and podrun does not yet; `hint` says another way, where there is one.
    pub fn unsupported(&mut self, path: &str, what: &str, hint: Option<&str>) {
        let place = self.place(path);
        let what = if what.is_empty() { String::new() } else { format!("{what} is ") };
        let text = format!("{path}: {what}not supported yet");
        if self.options.ignore_unsupported {
            self.warnings.push(Remark { place, text: format!("{text}, ignored"), hint: None });
        } else {
            self.keep(Remark { place, text, hint: Some(hint.unwrap_or(IGNORE).to_owned()) });
        }
    }

    /// The field may be as it is, but hardly as the user thinks.
    pub fn warn(&mut self, path: &str, text: &str) {
        let place = self.place(path);
        self.warnings.push(Remark { place, text: format!("{path}: {text}"), hint: None });
    }

    /// Whether something is said of a field within this one.
    pub fn has_remark_below(&self, path: &str) -> bool {
        let inside = |one: &Remark| one.text.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.problems.iter().chain(&self.warnings).any(inside)
    }

    /// Whether something is wrong.
    pub fn is_bad(&self) -> bool {
        !self.problems.is_empty()
    }

    /// All that is wrong as one error: a line each, with its remedy unless all have the same.
    pub fn error(mut self, title: &str) -> Error {
        self.problems.sort_by_key(|problem| problem.place);
        let mut hints: Vec<&str> = self.problems.iter().filter_map(|one| one.hint.as_deref()).collect();
        hints.sort_unstable();
        hints.dedup();
        let common = if let [only] = hints[..] { Some(only.to_owned()) } else { None };
        let mut text = format!("{title} is invalid:");
        let lone = self.problems.len() == 1;
        for problem in self.problems.iter().take(MOST_SHOWN) {
            let Remark { place, text: what, hint } = problem;
            text.push_str(if lone { " " } else { "\n  " });
            text.push_str(&format!("{}:{}:{}: {what}", self.file, place.line, place.column));
            if let (Some(hint), None) = (hint, &common) {
                text.push_str(&format!(" ({hint})"));
            }
        }
        if let Some(more @ 1..) = (self.problems.len() + self.dropped).checked_sub(MOST_SHOWN) {
            text.push_str(&format!("\n  and {more} more"));
        }
        let error = Error::user(text);
        match common {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// The warnings as sentences, and where each field stands.
    pub fn finish(mut self) -> (Vec<String>, HashMap<String, Place>) {
        self.warnings.sort_by_key(|warning| warning.place);
        let line = |one: &Remark| format!("{}:{}: {}", self.file, one.place.line, printable(&one.text));
        (self.warnings.iter().map(line).collect(), self.places)
    }
}

/// Where a field or, if it is not written, the nearest that holds it stands.
pub(super) fn place_of(places: &HashMap<String, Place>, path: &str) -> Place {
    let mut path = path;
    loop {
        if let Some(place) = places.get(path) {
            return *place;
        }
        if path.is_empty() {
            return Place { line: 1, column: 1 };
        }
        path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
    }
}

/// The text without characters that a terminal would obey: keys of a manifest can hold any.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
