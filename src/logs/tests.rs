//! Writers, readers, and both together.

use super::format::{LONGEST_TEXT, parse};
use super::log_file::LogFile;
use super::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory of a test's own, removed with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podrun-logs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn logs(&self) -> PathBuf {
        self.0.join("app")
    }

    fn current(&self) -> PathBuf {
        self.logs().join("0.log")
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.logs(), 0, Limits::default())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.logs()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A pipe as containers have it.
fn pipe(size: i32) -> (OwnedFd, File) {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    fcntl(&read, FcntlArg::F_SETPIPE_SZ(size)).unwrap();
    (read, File::from(write))
}

const LARGE: i32 = 1 << 20;

/// Pumps until there is no more; whether it has ended.
fn pump(writer: &mut Writer, scratch: &mut Scratch, pipe: &OwnedFd, stream: Stream) -> bool {
    loop {
        let pumped = writer.pump(scratch, pipe.as_fd(), stream).unwrap();
        if !pumped.more {
            return pumped.ended;
        }
    }
}

/// What `pod logs` would print.
fn printed(directory: &Path, query: Query) -> Vec<u8> {
    let mut reader = Reader::new(false);
    reader.add(directory, 0, "", &query).unwrap();
    let mut text = Vec::new();
    reader.read_available(&mut text).unwrap();
    text
}

fn all(place: &Place) -> Vec<u8> {
    printed(&place.logs(), Query::default())
}

/// Later than any test takes.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

#[test]
fn whole_lines_are_logged_and_the_rest_stays_in_the_pipe() {
    let place = Place::new("whole");
    let (read, mut app) = pipe(LARGE);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    assert!(!pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    app.write_all(b"one\n\n\0\xff\r\nthr").unwrap();
    assert!(!pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    assert_eq!(all(&place), b"one\n\n\0\xff\r\n");
    assert_eq!(crate::sys::fs::unread_bytes(read.as_fd()).unwrap(), 3);
    // Whoever comes next finds the line's beginning.
    drop(writer);
    let mut writer = place.writer();
    app.write_all(b"ee\n").unwrap();
    assert!(!pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    assert_eq!(all(&place), b"one\n\n\0\xff\r\nthree\n");
    app.write_all(b"abc").unwrap();
    drop(app);
    assert!(pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    assert!(pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    assert!(all(&place).ends_with(b"three\nabc"));
    let text = std::fs::read(place.current()).unwrap();
    let last = text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').next_back().unwrap();
    assert!(parse(last).unwrap().partial);
    assert!(writer.trouble().is_none());
}

#[test]
fn a_fifo_that_its_writer_holds_open_both_ways_ends_when_the_writer_is_gone() {
    let place = Place::new("fifo");
    let path = place.0.join("app.0.out");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let open = || {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).unwrap()
    };
    let read = open();
    fcntl(&read, FcntlArg::F_SETPIPE_SZ(LARGE)).unwrap();
    let mut app = File::options().read(true).write(true).open(&path).unwrap();
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    app.write_all(b"one\ntwo").unwrap();
    assert!(!pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    // Another one, who finds it by its name, sees the same, and the end.
    let second = open();
    drop(read);
    assert!(!pump(&mut writer, &mut scratch, &second, Stream::Stdout));
    app.write_all(b" and a half").unwrap();
    drop(app);
    assert!(pump(&mut writer, &mut scratch, &second, Stream::Stdout));
    assert_eq!(all(&place), b"one\ntwo and a half");
}

#[test]
fn single_bytes_and_long_lines_come_through() {
    let place = Place::new("long");
    let (read, mut app) = pipe(LARGE);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    let mut want = Vec::new();
    for byte in b"slow\nslower\n" {
        app.write_all(&[*byte]).unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        want.push(*byte);
    }
    for length in [LONGEST_TEXT - 1, LONGEST_TEXT, LONGEST_TEXT + 1, 32 << 10, 100 << 10, 500_000] {
        let line = vec![b'a' + u8::try_from(length % 26).unwrap(); length];
        app.write_all(&line).unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        app.write_all(b"\n").unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        want.extend_from_slice(&line);
        want.push(b'\n');
    }
    assert!(all(&place) == want);
}

#[test]
fn one_call_handles_a_fair_share_and_memory_is_given_back() {
    let place = Place::new("share");
    let (read, mut app) = pipe(LARGE);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    app.write_all(&b"some line or other\n".repeat(50_000)).unwrap();
    let before = crate::sys::fs::unread_bytes(read.as_fd()).unwrap();
    assert!(writer.pump(&mut scratch, read.as_fd(), Stream::Stdout).unwrap().more);
    let after = crate::sys::fs::unread_bytes(read.as_fd()).unwrap();
    assert!((200_000..300_000).contains(&(before - after)), "{before} {after}");
    assert!(scratch.in_use() > 0);
    pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    assert_eq!(scratch.in_use(), 0);
    assert_eq!(all(&place), b"some line or other\n".repeat(50_000));
    // The worst for the records: lines with nothing in them.
    app.write_all(&b"\n".repeat(300_000)).unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    assert_eq!(all(&place).len(), 19 * 50_000 + 300_000);
}

#[test]
fn a_pipe_full_of_pieces_is_emptied_though_its_line_has_no_end() {
    let place = Place::new("pieces");
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    // A packet takes a slot of its own, as pieces that come by splice(2) do.
    let (read, mut app) = pipe(LARGE);
    let packets = OFlag::O_DIRECT | OFlag::O_NONBLOCK;
    fcntl(&app, FcntlArg::F_SETFL(packets)).unwrap();
    for _ in 0..1000 {
        for _ in 0..200 {
            app.write_all(b"x").unwrap();
        }
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    }
    drop(app);
    assert!(pump(&mut writer, &mut scratch, &read, Stream::Stdout));
    assert!(all(&place) == b"x".repeat(200_000));
    // A container may make its own pipe smaller than a line.
    let (read, mut app) = pipe(4096);
    for _ in 0..3 {
        app.write_all(&[b'y'; 4096]).unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    }
    app.write_all(b"\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    assert!(all(&place).ends_with(&[&[b'y'; 3 * 4096][..], b"\n"].concat()));
}

#[test]
fn a_torn_record_is_cut_off_wherever_it_was_torn() {
    let place = Place::new("torn");
    let whole = b"2016-10-06T00:17:09.669794202Z stdout F one\n2016-10-06T00:17:09.669794202Z stderr F two\n";
    let record = b"2016-10-06T00:17:09.669794202Z stdout F the one that was torn\n";
    std::fs::create_dir_all(place.logs()).unwrap();
    for kept in [0, whole.len() / 2, whole.len()] {
        for torn in 0..=record.len() {
            let mut file = File::options().create(true).append(true).open(place.current()).unwrap();
            file.set_len(0).unwrap();
            file.write_all(&whole[..kept]).unwrap();
            file.write_all(&record[..torn]).unwrap();
            let (read, mut app) = pipe(LARGE);
            let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
            app.write_all(b"next\n").unwrap();
            pump(&mut writer, &mut scratch, &read, Stream::Stdout);
            let text = std::fs::read(place.current()).unwrap();
            let complete = if torn == record.len() { torn } else { 0 };
            assert_eq!(text[..kept + complete], [&whole[..kept], &record[..complete]].concat());
            let next = parse(&text[kept + complete..text.len() - 1]).unwrap();
            assert_eq!((next.text, next.partial), (&b"next"[..], false));
        }
    }
    // Something much longer than a record, and nothing else.
    File::options().append(true).open(place.current()).unwrap().set_len(200_000).unwrap();
    drop(place.writer());
    assert_eq!(all(&place).len(), b"one\ntwo\nthe one that was torn\nnext\n".len());
    std::fs::remove_file(place.current()).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.current()).unwrap();
    assert!(place.writer().trouble().unwrap().why.to_string().contains("0.log"));
}

#[test]
fn a_full_disk_loses_whole_lines_and_says_so() {
    let place = Place::new("full");
    let (read, mut app) = pipe(LARGE);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    let mut step = |writer: &mut Writer, text: &[u8]| {
        app.write_all(text).unwrap();
        pump(writer, &mut scratch, &read, Stream::Stdout);
    };
    let long = vec![b'x'; 2 * LONGEST_TEXT];
    step(&mut writer, b"before\n");
    step(&mut writer, &long);
    // The beginning of the long line is in the file. What comes now is not.
    let full = File::options().write(true).open("/dev/full").unwrap();
    writer.file = Some(LogFile::of(full));
    step(&mut writer, b" rest of the long line\nlost\n");
    let trouble = writer.trouble().unwrap();
    let lost = LONGEST_TEXT + b" rest of the long line\nlost\n".len();
    assert_eq!(trouble.lost, Lost { lines: 2, bytes: lost as u64 });
    assert!(
        trouble
            .to_string()
            .contains("no space left on device (ENOSPC); lost since then: 2 lines, 16412 bytes"),
        "{trouble}"
    );
    writer.retry = Some(later());
    step(&mut writer, b"lost, too\n");
    assert_eq!(writer.trouble().unwrap().lost.lines, 3);
    // A line whose beginning is lost is not shown, though its end could be.
    step(&mut writer, &long);
    writer.retry = None;
    step(&mut writer, b" its end\nafter\n");
    assert!(writer.trouble().is_none());
    let text = all(&place);
    assert!(text.starts_with(b"before\nxxx"));
    assert!(text.ends_with(b"xxx\nafter\n"), "{:?}", String::from_utf8_lossy(&text[text.len() - 60..]));
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[test]
fn a_log_that_cannot_be_made_is_made_when_it_can_be() {
    let place = Place::new("directory");
    File::options().create(true).append(true).open(place.logs()).unwrap();
    let (read, mut app) = pipe(LARGE);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    assert!(writer.trouble().unwrap().why.to_string().starts_with("cannot create directory"));
    app.write_all(b"lost\nlost\n").unwrap();
    assert!(!pump(&mut writer, &mut scratch, &read, Stream::Stderr));
    assert_eq!(writer.trouble().unwrap().lost, Lost { lines: 2, bytes: 10 });
    std::fs::remove_file(place.logs()).unwrap();
    writer.retry = Some(later());
    app.write_all(b"too early\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    assert!(writer.trouble().is_some());
    writer.retry = None;
    app.write_all(b"kept\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    assert!(writer.trouble().is_none());
    assert_eq!(all(&place), b"kept\n");
    // Removed with everything: the writer looks after it once a second.
    std::fs::remove_dir_all(place.logs()).unwrap();
    writer.file.as_mut().unwrap().forget_seen();
    app.write_all(b"again\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stderr);
    assert_eq!(all(&place), b"again\n");
}

#[test]
fn files_are_rotated_and_the_oldest_removed() {
    let place = Place::new("rotation");
    let limits = Limits { file_bytes: 1000, files: 3 };
    let (mut writer, mut scratch) = (Writer::open(&place.logs(), 0, limits), Scratch::new().unwrap());
    let (read, mut app) = pipe(LARGE);
    for number in 0..200 {
        writeln!(app, "line {number}").unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        let names = place.names();
        assert!(names.len() <= 3 && names[0] == "0.log", "{names:?}");
        for name in &names {
            assert!(std::fs::metadata(place.logs().join(name)).unwrap().len() <= 1000);
        }
    }
    let text = String::from_utf8(all(&place)).unwrap();
    assert!(text.ends_with("line 198\nline 199\n"));
    let first: usize = text.lines().next().unwrap().strip_prefix("line ").unwrap().parse().unwrap();
    assert!(text.lines().eq((first..200).map(|number| format!("line {number}"))));
    assert!(first > 100 && place.names().len() == 3);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = format!("0.log.{}.999", crate::model::time::compact(now));
    assert!(place.names().iter().all(|name| *name <= now), "after {now}: {:?}", place.names());
    // A crash between rename and creation leaves no current file.
    drop(writer);
    std::fs::rename(place.current(), place.logs().join("0.log.20990101-000000")).unwrap();
    let mut writer = Writer::open(&place.logs(), 0, limits);
    for _ in 0..30 {
        app.write_all(b"more\n").unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    }
    assert!(place.names().contains(&"0.log.20990101-000000.001".to_owned()), "{:?}", place.names());
    assert!(all(&place).ends_with(b"more\n"));
    // Only the current file.
    let single = Limits { file_bytes: 100, files: 1 };
    let mut writer = Writer::open(&place.logs(), 7, single);
    app.write_all(&b"x".repeat(90)).unwrap();
    app.write_all(b"\nlast\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    app.write_all(b"very last\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    assert_eq!(place.names().iter().filter(|name| name.starts_with("7.")).count(), 1);
}

#[test]
fn the_current_and_the_previous_run_are_kept() {
    let place = Place::new("runs");
    std::fs::create_dir_all(place.logs()).unwrap();
    let keep = ["3.log", "3.log.20261121-000000", "4.log", "note", "2.log.gz", "x.log", "+1.log"];
    for name in keep.iter().chain(&["0.log", "2.log", "2.log.20261121-000000.007"]) {
        File::options().create(true).append(true).open(place.logs().join(name)).unwrap();
    }
    assert_eq!(runs(&place.logs()).unwrap(), [0, 2, 3, 4]);
    remove_older_runs(&place.logs(), 4).unwrap();
    let mut keep = keep.map(ToOwned::to_owned).to_vec();
    keep.sort();
    assert_eq!(place.names(), keep);
    assert_eq!(runs(&place.logs()).unwrap(), [3, 4]);
    remove_older_runs(&place.0.join("absent"), 4).unwrap();
    assert_eq!(runs(&place.0.join("absent")).unwrap(), [0; 0]);
}

#[test]
fn terminals_are_logged_by_line() {
    let place = Place::new("terminal");
    let ends = nix::pty::openpty(None, None).unwrap();
    fcntl(&ends.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut app = File::from(ends.slave);
    let (mut writer, mut scratch) = (place.writer(), Scratch::new().unwrap());
    let mut terminal = Terminal::default();
    let mut pump = || {
        loop {
            let pumped = terminal.pump(&mut writer, &mut scratch, ends.master.as_fd()).unwrap();
            if !pumped.more {
                return pumped.ended;
            }
        }
    };
    app.write_all(b"one\ntwo\r\n$ ").unwrap();
    assert!(!pump());
    assert_eq!(all(&place), b"one\ntwo\r\n");
    app.write_all(b"exit\n# ").unwrap();
    assert!(!pump());
    drop(app);
    assert!(pump());
    assert_eq!(all(&place), b"one\ntwo\r\n$ exit\n# ");
}

/// Whatever is written in whatever pieces on both streams, and however often the writer is another one, comes out again,
/// and any tail of it is right.
#[test]
fn random_output_comes_out_again() {
    let place = Place::new("random");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..15 {
        let limits = Limits { file_bytes: 20_000 + numbers.below(100_000) as u64, files: 1000 };
        let (mut writer, mut scratch) = (Writer::open(&place.logs(), 0, limits), Scratch::new().unwrap());
        let mut pipes = [pipe(LARGE), pipe(LARGE)];
        let mut want = [Vec::new(), Vec::new()];
        for _ in 0..200 {
            let (stream, index) =
                if numbers.below(3) == 0 { (Stream::Stderr, 1) } else { (Stream::Stdout, 0) };
            let length = if numbers.below(20) == 0 { 40_000 } else { 300 };
            let mut piece: Vec<u8> =
                (0..numbers.below(length)).map(|at| b"abc \0\xffxyz."[at % 10]).collect();
            for _ in 0..numbers.below(4) {
                let at = numbers.below(piece.len() + 1);
                piece.insert(at, b'\n');
            }
            pipes[index].1.write_all(&piece).unwrap();
            want[index].extend_from_slice(&piece);
            if numbers.below(2) == 0 {
                pump(&mut writer, &mut scratch, &pipes[index].0, stream);
            }
            if numbers.below(50) == 0 {
                drop(writer);
                writer = Writer::open(&place.logs(), 0, limits);
            }
        }
        let [(out, app_out), (err, app_err)] = pipes;
        drop((app_out, app_err));
        assert!(pump(&mut writer, &mut scratch, &out, Stream::Stdout));
        assert!(pump(&mut writer, &mut scratch, &err, Stream::Stderr));
        assert!(writer.trouble().is_none());
        let (records, got) = by_stream(&place);
        assert!(got == want, "round {round}");
        check_tails(&place, &records, &mut numbers);
        std::fs::remove_dir_all(place.logs()).unwrap();
    }
}

/// Stream, partiality and text.
type Written = (Stream, bool, Vec<u8>);

/// All records of run 0, and what each stream wrote.
fn by_stream(place: &Place) -> (Vec<Written>, [Vec<u8>; 2]) {
    let mut names = place.names();
    names.rotate_left(1); // the current one is the last
    let mut records = Vec::new();
    let mut streams = [Vec::new(), Vec::new()];
    for name in names {
        let text = std::fs::read(place.logs().join(name)).unwrap();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let record = parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            records.push((record.stream, record.partial, record.text.to_vec()));
            let stream = &mut streams[record.stream as usize];
            stream.extend_from_slice(record.text);
            if !record.partial {
                stream.push(b'\n');
            }
        }
    }
    (records, streams)
}

fn check_tails(place: &Place, records: &[Written], numbers: &mut Numbers) {
    for tail in [0, 1, 2, 10, numbers.below(1000), 1_000_000] {
        // The naive way: from the last record back over so many line ends.
        let mut left = tail;
        let mut from = 0;
        for (index, (_, partial, _)) in records.iter().enumerate().rev() {
            if !partial || index + 1 == records.len() {
                if left == 0 {
                    from = index + 1;
                    break;
                }
                left -= 1;
            }
        }
        let mut want = print::Printer::new(false);
        for (stream, partial, text) in &records[from..] {
            let record =
                format::Record { stamp: b"", time: Duration::ZERO, stream: *stream, partial: *partial, text };
            want.print(print::Author { source: 0, restart: 0, stream: *stream }, b"", &record);
        }
        let query = Query { tail: Some(tail as u64), since: None };
        assert!(printed(&place.logs(), query) == want.text, "tail {tail}");
    }
}

#[test]
fn lines_are_chosen_by_time_as_wholes_and_garbage_is_passed_over() {
    let place = Place::new("since");
    std::fs::create_dir_all(place.logs()).unwrap();
    let mut text = b"garbage\n2016-10-06T00:17:09Z stdout F old\n2016-10-06T00:17:10Z stdout P a\n".to_vec();
    text.extend_from_slice(b"\n\n2016-10-06T00:17:11Z stderr F new\n");
    text.extend_from_slice(&[b'g'; 300_000]);
    text.extend_from_slice(b"\n2016-10-06T00:17:12Z stdout F b\n2016-10-06T00:17:12Z stdout F c\nno end");
    File::options().create(true).append(true).open(place.current()).unwrap().write_all(&text).unwrap();
    let since = |seconds: u64| Some(Duration::from_secs(1_475_713_029 + seconds));
    let print = |tail, since| String::from_utf8(printed(&place.logs(), Query { tail, since })).unwrap();
    assert_eq!(print(None, None), "old\na\nnew\nb\nc\n");
    assert_eq!(print(None, since(1)), "a\nnew\nb\nc\n");
    assert_eq!(print(None, since(2)), "new\nc\n");
    assert_eq!(print(None, since(4)), "");
    assert_eq!(print(Some(1), None), "c\n");
    // The line "ab" is one of the three; its beginning stands before the first of them.
    assert_eq!(print(Some(3), None), "a\nnew\nb\nc\n");
    assert_eq!(print(Some(3), since(3)), "c\n");
    assert_eq!(print(Some(9), None), "old\na\nnew\nb\nc\n");
}

/// Whether the reader would wake its poll loop.
fn is_awake(reader: &Reader) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(reader.wake().unwrap(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn a_follower_sees_every_line_once_across_rotations() {
    let place = Place::new("follow");
    let limits = Limits { file_bytes: 5000, files: 4 };
    let mut reader = Reader::following(false).unwrap();
    reader.add(&place.logs(), 0, "[app] ", &Query::default()).unwrap();
    let (mut writer, mut scratch) = (Writer::open(&place.logs(), 0, limits), Scratch::new().unwrap());
    let (read, mut app) = pipe(LARGE);
    let mut numbers = Numbers(7);
    let (mut want, mut got) = (Vec::new(), Vec::new());
    // The directory was not there: whoever follows is told by other means.
    reader.read_available(&mut got).unwrap();
    for number in 0..3000 {
        writeln!(app, "line {number}").unwrap();
        writeln!(want, "[app] line {number}").unwrap();
        pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        assert!(is_awake(&reader));
        // Sometimes two rotations pass unseen.
        if numbers.below(150) == 0 || number == 2999 {
            reader.read_available(&mut got).unwrap();
            assert!(!is_awake(&reader));
            assert_eq!(got.len(), want.len());
        }
    }
    assert!(got == want);
    // Emptied by hand, then removed with everything.
    File::options().write(true).truncate(true).open(place.current()).unwrap();
    reader.read_available(&mut got).unwrap();
    writer.file.as_mut().unwrap().forget_seen();
    app.write_all(b"emptied\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    reader.read_available(&mut got).unwrap();
    assert!(got.ends_with(b"2999\n[app] emptied\n"));
    std::fs::remove_file(place.current()).unwrap();
    writer.file.as_mut().unwrap().forget_seen();
    app.write_all(b"removed\n").unwrap();
    pump(&mut writer, &mut scratch, &read, Stream::Stdout);
    reader.read_available(&mut got).unwrap();
    assert!(got.ends_with(b"[app] emptied\n[app] removed\n"));
}

#[test]
fn a_follower_goes_on_with_the_next_run() {
    let place = Place::new("restarts");
    let mut scratch = Scratch::new().unwrap();
    let mut run = |restart, text: &[u8]| {
        let (read, mut app) = pipe(LARGE);
        app.write_all(text).unwrap();
        drop(app);
        pump(
            &mut Writer::open(&place.logs(), restart, Limits::default()),
            &mut scratch,
            &read,
            Stream::Stdout,
        );
    };
    run(0, b"zero\n0 without end");
    let mut reader = Reader::following(false).unwrap();
    reader.watch(&place.0).unwrap();
    let source = reader.add(&place.logs(), 0, "", &Query { tail: Some(1), since: None }).unwrap();
    let mut got = Vec::new();
    assert!(!reader.read_available(&mut got).unwrap());
    assert_eq!(got, b"0 without end");
    run(1, b"one");
    run(3, b"three\n");
    reader.next_run(source, 3, &mut got).unwrap();
    assert_eq!(got, b"0 without end\none\nthree\n");
    // The other directory tells of files that are replaced in it.
    assert!(!reader.read_available(&mut got).unwrap());
    crate::state::atomic::replace(&place.0, "status.json", b"{}", crate::state::atomic::Durability::Boot)
        .unwrap();
    assert!(is_awake(&reader));
    assert!(reader.read_available(&mut got).unwrap());
    assert!(!reader.read_available(&mut got).unwrap());
}

#[test]
fn who_does_not_follow_reads_what_there_was_in_the_beginning() {
    let place = Place::new("present");
    let limits = Limits { file_bytes: 5000, files: 4 };
    let (mut writer, mut scratch) = (Writer::open(&place.logs(), 0, limits), Scratch::new().unwrap());
    let (read, mut app) = pipe(LARGE);
    let mut write = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            writeln!(app, "line {number}").unwrap();
            pump(&mut writer, &mut scratch, &read, Stream::Stdout);
        }
    };
    write(0..250);
    let reader = |tail| {
        let mut reader = Reader::new(false);
        reader.add(&place.logs(), 0, "", &Query { tail, since: None }).unwrap();
        reader
    };
    let mut readers = [None, Some(1), Some(150), Some(9999)].map(|tail| (tail, reader(tail)));
    // More than all files hold: the first ones are removed meanwhile.
    write(250..1000);
    for (tail, reader) in &mut readers {
        let mut got = Vec::new();
        reader.read_available(&mut got).unwrap();
        let first = tail.map_or(0, |lines: u64| 250_u64.saturating_sub(lines));
        let want: String = (first..250).map(|number| format!("line {number}\n")).collect();
        assert!(got == want.as_bytes(), "{tail:?}");
        let mut more = Vec::new();
        reader.read_available(&mut more).unwrap();
        assert_eq!(more, b"");
    }
}

#[test]
fn a_reader_that_has_gone_away_is_known() {
    let place = Place::new("gone");
    std::fs::create_dir_all(place.logs()).unwrap();
    let record = b"2016-10-06T00:17:09Z stdout F text\n";
    File::options().create(true).append(true).open(place.current()).unwrap().write_all(record).unwrap();
    let (read, mut write) = pipe(4096);
    drop(read);
    let mut reader = Reader::new(false);
    reader.add(&place.logs(), 0, "", &Query::default()).unwrap();
    assert!(is_broken_pipe(&reader.read_available(&mut write).unwrap_err()));
}
