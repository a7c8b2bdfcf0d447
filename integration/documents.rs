//! The tables below `docs/`: a row is a promise, and each names the tests that show it.

use crate::harness::{Case, Test, case, sources};

pub fn cases() -> Vec<Case> {
    vec![case!(every_row_of_a_table_names_tests), case!(tests_of_what_the_tables_promise_are_in_them)]
}

/// A test as the tables name it: `path/of/file.rs::function`, a unit test or an integration test.
type Named<'a> = (&'a str, &'a str);

fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(sources::project().join(path))
}

/// The tests that a text names.
fn named(text: &str) -> impl Iterator<Item = Named<'_>> {
    text.split('`').filter_map(|word| word.split_once(".rs::"))
}

/// Whether the file has such a test, and the test is run: by the integration tests' list or by `#[test]`.
fn runs((file, function): Named<'_>) -> bool {
    let Ok(text) = read(&format!("{file}.rs")) else { return false };
    let Some((before, _)) = text.split_once(&format!("fn {function}(")) else { return false };
    if file.starts_with("integration/") {
        text.contains(&format!("case!({function})"))
    } else {
        before.trim_end().ends_with("#[test]")
    }
}

/// The rows of a page's tables with their line numbers, without heads.
fn rows(page: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = page.lines().collect();
    let is_row = |line: &str| line.starts_with('|');
    let is_rule = |line: &str| line.contains("--") && line.chars().all(|c| "|-: ".contains(c));
    (0..lines.len())
        .filter(|at| is_row(lines[*at]) && !is_rule(lines[*at]))
        .filter(|at| lines.get(at + 1).is_none_or(|next| !is_rule(next)))
        .map(|at| (at + 1, lines[at]))
        .collect()
}

fn every_row_of_a_table_names_tests(_: &Test) {
    let folder = sources::project().join("docs");
    let pages: Vec<String> = std::fs::read_dir(folder)
        .expect("docs")
        .map(|entry| format!("docs/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .filter(|path| path.ends_with(".md"))
        .collect();
    let mut wrong = Vec::new();
    for page in &pages {
        let text = read(page).expect("a page");
        for (line, row) in rows(&text) {
            let tests: Vec<_> = named(row).collect();
            if tests.is_empty() {
                wrong.push(format!("{page}:{line}: no test: {row}"));
            }
            let missing = tests.iter().filter(|test| !runs(**test));
            wrong.extend(
                missing.map(|(file, function)| format!("{page}:{line}: {file}.rs has no test {function}")),
            );
        }
    }
    assert!(pages.len() >= 2 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// None of these files' tests is without a row that it shows.
fn tests_of_what_the_tables_promise_are_in_them(_: &Test) {
    let pages =
        [("docs/conformance.md", super::lifecycle::cases()), ("docs/security.md", super::hostile::cases())];
    for (page, cases) in pages {
        let text = read(page).expect("a page");
        let is_named = |case: &&Case| {
            let (file, function) = case.name.split_once("::").unwrap_or_default();
            text.contains(&format!("`integration/{file}.rs::{function}`"))
        };
        let idle: Vec<_> = cases.iter().filter(|case| !is_named(case)).map(|case| case.name).collect();
        assert!(idle.is_empty(), "not in {page}: {idle:?}");
    }
}
