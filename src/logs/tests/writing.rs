//! What is written: lines, records, files.

use super::*;

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
