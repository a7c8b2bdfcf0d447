//! Warnings: things the user should know that do not stop the command; and, for whoever asks, what is being done.
//! Errors are returned, never reported here.

use std::cell::RefCell;
use std::io::Write;

thread_local! {
    /// Where warnings go while somebody collects them.
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    /// Where lines go that were asked for.
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What ends the command.
    Error,
    /// What the user should know.
    Warning,
    /// What is of interest.
    Info,
    /// What is being done, step by step.
    Debug,
}

/// Writes one line.
type WriteLine = Box<dyn Fn(Level, &str)>;

struct Log {
    level: Level,
    write: WriteLine,
}

/// Has lines of this level, and graver ones, written by `write` as well.
pub fn log_to(level: Level, write: impl Fn(Level, &str) + 'static) {
    LOG.set(Some(Log { level, write: Box::new(write) }));
}

/// For a process that was cloned, and does not speak for the command.
pub fn log_nothing() {
    // Not dropped: the copy may share a descriptor with the command.
    LOG.with_borrow_mut(|log| std::mem::forget(log.take()));
}

/// Says what is being done, if that was asked for.
pub fn debug(message: impl FnOnce() -> String) {
    if LOG.with_borrow(|log| log.as_ref().is_some_and(|log| log.level >= Level::Debug)) {
        logged(Level::Debug, &message());
    }
}

fn logged(level: Level, message: &str) {
    LOG.with_borrow(|log| match log {
        Some(log) if log.level >= level => (log.write)(level, message),
        _ => {}
    });
}

/// Prints `warning: message` on stderr, unless it is collected. A stderr that cannot be written is no reason to stop.
pub fn warn(message: &str) {
    let collected =
        COLLECTED.with_borrow_mut(|list| list.as_mut().map(|list| list.push(message.to_owned())).is_some());
    logged(Level::Warning, message);
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
    fn only_what_was_asked_for_is_logged() {
        let lines = std::rc::Rc::new(RefCell::new(Vec::new()));
        let log = |level| {
            let lines = lines.clone();
            log_to(level, move |level, message| lines.borrow_mut().push((level, message.to_owned())));
        };
        let say = || collect(|| (warn("w"), debug(|| "d".into())));
        say();
        log(Level::Error);
        say();
        assert!(lines.borrow().is_empty());
        log(Level::Warning);
        say();
        assert_eq!(*lines.borrow(), [(Level::Warning, "w".to_owned())]);
        log(Level::Debug);
        say();
        assert_eq!(lines.borrow()[1..], [(Level::Warning, "w".to_owned()), (Level::Debug, "d".to_owned())]);
        log_nothing();
        say();
        assert_eq!(lines.borrow().len(), 3);
    }

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
