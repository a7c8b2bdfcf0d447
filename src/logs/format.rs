//! The CRI's log format: `2016-10-06T00:17:09.669794202Z stdout F text`, one record a line.
//!
//! A line of a container longer than [`LONGEST_TEXT`], or one that was not ended, is several records: all but the last
//! have the tag P, and their texts follow one another. Pure.

use crate::model::time;
use std::time::Duration;

/// A container's line that is longer than this many bytes becomes several records, as containerd makes them.
pub const LONGEST_TEXT: usize = 16 << 10;
/// Length of what stands before the text.
pub(super) const HEAD: usize = time::NANOS_LENGTH + " stdout F ".len();
/// Length of the longest record, newline included.
pub(super) const LONGEST_RECORD: usize = HEAD + LONGEST_TEXT + 1;

/// Which of a container's streams; a terminal's output counts as stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How the lines of a source end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// With a newline; a carriage return before it is text.
    Newline,
    /// As a terminal's: the carriage return was put there by the line discipline, and is taken away again.
    Terminal,
}

/// What becomes of a line that has no end yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// It stays in the input.
    Stays,
    /// It becomes a record with the tag P.
    Written,
}

/// What [`frame`] did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framed {
    /// Bytes of the input that are done with.
    pub(super) consumed: usize,
    /// Bytes of the output that are records now.
    pub(super) produced: usize,
    /// So many of these, the first, stand for nothing in the input.
    pub(super) added: usize,
    /// The last record is partial.
    pub(super) partial: bool,
}

/// Stands before each text: time, stream, tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head([u8; HEAD]);

impl Head {
    pub(super) fn new(now: Duration, stream: Stream) -> Self {
        let mut head = [b' '; HEAD];
        head[..time::NANOS_LENGTH].copy_from_slice(&time::rfc3339_nanos(now));
        head[time::NANOS_LENGTH..].copy_from_slice(match stream {
            Stream::Stdout => b" stdout F ",
            Stream::Stderr => b" stderr F ",
        });
        Self(head)
    }

    fn tag(&mut self, partial: bool) {
        self.0[HEAD - 2] = if partial { b'P' } else { b'F' };
    }
}

/// Writes a record at the beginning of `output`, which has room for it; returns its length.
pub(super) fn write_record(head: &mut Head, text: &[u8], partial: bool, output: &mut [u8]) -> usize {
    head.tag(partial);
    let end = HEAD + text.len();
    output[..HEAD].copy_from_slice(&head.0);
    output[HEAD..end].copy_from_slice(text);
    output[end] = b'\n';
    end + 1
}

/// Makes records of the lines in `input`, as many as `output` has room for; it must have room for one.
pub(super) fn frame(
    input: &[u8],
    output: &mut [u8],
    head: &mut Head,
    end: LineEnd,
    unfinished: Unfinished,
) -> Framed {
    let mut framed = Framed::default();
    while output.len() - framed.produced >= LONGEST_RECORD {
        let rest = &input[framed.consumed..];
        let window = &rest[..rest.len().min(LONGEST_TEXT + 2)];
        let (length, used, partial) = match memchr::memchr(b'\n', window) {
            Some(newline) if text_length(window, newline, end) <= LONGEST_TEXT => {
                (text_length(window, newline, end), newline + 1, false)
            }
            // The end may be just behind: two bytes more are waited for, lest a terminal's line end is torn.
            _ if rest.len() > LONGEST_TEXT + 1 => (LONGEST_TEXT, LONGEST_TEXT, true),
            _ if rest.is_empty() || unfinished == Unfinished::Stays => break,
            _ => (rest.len().min(LONGEST_TEXT), rest.len().min(LONGEST_TEXT), true),
        };
        framed.produced += write_record(head, &rest[..length], partial, &mut output[framed.produced..]);
        framed.consumed += used;
        framed.partial = partial;
    }
    framed
}

/// Length of the text of a line whose newline stands at `newline`.
fn text_length(line: &[u8], newline: usize, end: LineEnd) -> usize {
    match end {
        LineEnd::Terminal if line[..newline].ends_with(b"\r") => newline - 1,
        _ => newline,
    }
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// The time, as it is written.
    pub(super) stamp: &'a [u8],
    /// The same since the epoch.
    pub(super) time: Duration,
    pub(super) stream: Stream,
    /// The line goes on in the next record of the stream.
    pub(super) partial: bool,
    pub(super) text: &'a [u8],
}

/// Reads a record without its newline; `None` for what is none.
pub(super) fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (stamp, rest) = split_word(line)?;
    let (stream, rest) = split_word(rest)?;
    let (tags, text) = split_word(rest)?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // The format allows further tags behind a colon.
    let partial = match tags {
        [b'P'] | [b'P', b':', ..] => true,
        [b'F'] | [b'F', b':', ..] => false,
        _ => return None,
    };
    Some(Record { stamp, time: time::parse_rfc3339_nanos(stamp)?, stream, partial, text })
}

/// The last of whole records.
pub(super) fn last(records: &[u8]) -> Option<Record<'_>> {
    let records = records.strip_suffix(b"\n")?;
    let start = memchr::memrchr(b'\n', records).map_or(0, |newline| newline + 1);
    parse(&records[start..])
}

/// What stands before the next blank, which comes soon in a record, and what stands behind it.
fn split_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const LONGEST_WORD: usize = 64;
    let blank = text.iter().take(LONGEST_WORD).position(|byte| *byte == b' ')?;
    Some((&text[..blank], &text[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::new(1_475_713_029, 669_794_202);

    fn framed(input: &[u8], room: usize, end: LineEnd, unfinished: Unfinished) -> (Framed, Vec<u8>) {
        let mut output = vec![0; room];
        let framed = frame(input, &mut output, &mut Head::new(NOW, Stream::Stdout), end, unfinished);
        output.truncate(framed.produced);
        (framed, output)
    }

    fn texts(records: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let lines = records.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
        lines.map(parse).map(|record| record.map(|r| (r.partial, r.text.to_vec())).unwrap()).collect()
    }

    #[test]
    fn lines_become_records() {
        let (did, records) = framed(b"a b\n\n\0\xff\r\nrest", 1 << 17, LineEnd::Newline, Unfinished::Stays);
        assert_eq!(did, Framed { consumed: 9, produced: records.len(), ..Framed::default() });
        let want = b"2016-10-06T00:17:09.669794202Z stdout F a b\n\
            2016-10-06T00:17:09.669794202Z stdout F \n\
            2016-10-06T00:17:09.669794202Z stdout F \0\xff\r\n";
        assert_eq!(records, want);
        let (did, records) = framed(b"a\r\nrest", 1 << 17, LineEnd::Terminal, Unfinished::Written);
        assert_eq!((did.consumed, did.partial), (7, true));
        assert_eq!(texts(&records), [(false, b"a".to_vec()), (true, b"rest".to_vec())]);
    }

    #[test]
    fn long_lines_become_several_records() {
        for end in [LineEnd::Newline, LineEnd::Terminal] {
            let mark: &[u8] = if end == LineEnd::Terminal { b"\r\n" } else { b"\n" };
            for length in [0, 1, LONGEST_TEXT - 1, LONGEST_TEXT, LONGEST_TEXT + 1, LONGEST_TEXT + 2, 100_000]
            {
                let line = vec![b'x'; length];
                let (did, records) = framed(&[&line[..], mark].concat(), 1 << 18, end, Unfinished::Stays);
                assert_eq!((did.consumed, did.partial), (length + mark.len(), false), "{length}");
                let texts = texts(&records);
                let (last, first) = texts.split_last().unwrap();
                assert!(!last.0 && first.iter().all(|(partial, _)| *partial));
                assert!(texts.iter().all(|(_, text)| text.len() <= LONGEST_TEXT));
                assert_eq!(texts.concat_texts(), line);
                assert_eq!(texts.len(), length.div_ceil(LONGEST_TEXT).max(1));
            }
        }
    }

    trait Concat {
        fn concat_texts(&self) -> Vec<u8>;
    }
    impl Concat for Vec<(bool, Vec<u8>)> {
        fn concat_texts(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, text)| text.clone()).collect()
        }
    }

    #[test]
    fn a_full_output_leaves_the_rest() {
        let input = b"x\n".repeat(1000);
        let (did, records) = framed(&input, LONGEST_RECORD + HEAD + 2, LineEnd::Newline, Unfinished::Stays);
        assert_eq!(did.consumed, 4);
        assert_eq!(records.len(), 2 * (HEAD + 2));
        let (did, _) = framed(b"no end", LONGEST_RECORD, LineEnd::Newline, Unfinished::Stays);
        assert_eq!(did, Framed::default());
    }

    #[test]
    fn what_is_a_record() {
        let record = parse(b"2016-10-06T00:17:09.669794202Z stderr P:x  two").unwrap();
        assert_eq!((record.time, record.stream, record.partial), (NOW, Stream::Stderr, true));
        assert_eq!(record.text, b" two");
        assert_eq!(parse(b"2016-10-06T02:17:09.669794202+02:00 stdout F ").unwrap().time, NOW);
        for bad in
            ["", "x", "2016-10-06T00:17:09Z stdout F", "2016-10-06T00:17:09Z stdin F x", "x stdout F x"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(&[b'x'; 1000]), None);
    }
}
