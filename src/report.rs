//! Warnings: things the user should know that do not stop the command. Errors are returned, never reported here.

use std::cell::RefCell;
use std::io::Write;

thread_local! {
    /// Where warnings go while somebody collects them.
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Prints `warning: message` on stderr, unless it is collected. A stderr that cannot be written is no reason to stop.
pub fn warn(message: &str) {
    let collected =
        COLLECTED.with_borrow_mut(|list| list.as_mut().map(|list| list.push(message.to_owned())).is_some());
    if !collected {
        drop(writeln!(std::io::stderr().lock(), "warning: {message}"));
    }
}

/// Does `work`, and collects its warnings instead of printing them: for who has no terminal to print them on.
pub fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let outer = COLLECTED.replace(Some(Vec::new()));
    let result = work();
    (result, COLLECTED.replace(outer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_go_to_the_innermost_collector() {
        let ((_, inner), outer) = collect(|| {
            warn("a");
            let inner = collect(|| warn("b"));
            warn("c");
            inner
        });
        assert_eq!((outer, inner), (vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()]));
    }
}
