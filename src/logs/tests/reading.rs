//! What is read again, by whom and when.

use super::*;

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
