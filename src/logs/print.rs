//! How records are shown: lines, with what stands before them.

use super::format::{Record, Stream};

/// Who wrote a line: which source, in which of its runs, on which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) source: usize,
    pub(super) restart: u32,
    pub(super) stream: Stream,
}

/// Records as text. Those of one line follow one another as if they were one; where somebody else writes in the midst
/// of a line, it is broken rather than mixed.
#[derive(Debug)]
pub(super) struct Printer {
    timestamps: bool,
    /// Text that nobody has taken yet.
    pub(super) text: Vec<u8>,
    /// Who wrote the line that has no end yet.
    open: Option<Author>,
}

impl Printer {
    pub(super) fn new(timestamps: bool) -> Self {
        Self { timestamps, text: Vec::new(), open: None }
    }

    pub(super) fn print(&mut self, author: Author, prefix: &[u8], record: &Record<'_>) {
        if self.open != Some(author) {
            if self.open.is_some() {
                self.text.push(b'\n');
            }
            self.text.extend_from_slice(prefix);
            if self.timestamps {
                self.text.extend_from_slice(record.stamp);
                self.text.push(b' ');
            }
        }
        self.text.extend_from_slice(record.text);
        if !record.partial {
            self.text.push(b'\n');
        }
        self.open = record.partial.then_some(author);
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::parse;
    use super::*;

    #[test]
    fn lines_are_put_together_and_never_mixed() {
        let mut printer = Printer::new(true);
        let mut print = |source, restart, line: &str| {
            let record = parse(line.as_bytes()).unwrap();
            let prefix: &[u8] = if source == 0 { b"[a] " } else { b"" };
            printer.print(Author { source, restart, stream: record.stream }, prefix, &record);
        };
        print(0, 0, "2016-10-06T00:17:09.1Z stdout P one");
        print(0, 0, "2016-10-06T00:17:09.2Z stdout P  two");
        print(0, 0, "2016-10-06T00:17:09.3Z stdout F  three");
        print(0, 0, "2016-10-06T00:17:09.4Z stdout P begun");
        print(1, 0, "2016-10-06T00:17:09.5Z stdout F other");
        print(0, 0, "2016-10-06T00:17:09.6Z stdout P ended");
        print(0, 0, "2016-10-06T00:17:09.7Z stderr P error");
        print(0, 1, "2016-10-06T00:17:09.8Z stderr P again");
        let want = "[a] 2016-10-06T00:17:09.1Z one two three\n\
            [a] 2016-10-06T00:17:09.4Z begun\n\
            2016-10-06T00:17:09.5Z other\n\
            [a] 2016-10-06T00:17:09.6Z ended\n\
            [a] 2016-10-06T00:17:09.7Z error\n\
            [a] 2016-10-06T00:17:09.8Z again";
        assert_eq!(String::from_utf8(printer.text).unwrap(), want);
    }
}
