use super::*;

struct Bytes(io::Cursor<Vec<u8>>);

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Source for Bytes {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if io::copy(&mut self.by_ref().take(count), &mut io::sink())? == count {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A ustar header with a right checksum.
fn header(path: &str, kind: u8, size: u64, change: impl FnOnce(&mut [u8; BLOCK])) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0001750");
    block[116..123].copy_from_slice(b"0001751");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000007");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut block);
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block.to_vec()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
        data.extend(
            [length.unwrap().to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat(),
        );
    }
    [header("pax", b'x', data.len() as u64, |_| {}), padded(data)].concat()
}

fn all(bytes: Vec<u8>) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(Bytes(io::Cursor::new(bytes)));
    let mut found = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut data = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => data.extend(&buffer[..count]),
            }
        }
        found.push((entry, data));
    }
    Ok(found)
}

const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

#[test]
fn plain_entries() {
    let file = [header("a/b", b'0', 3, |_| {}), padded(b"xyz".to_vec())].concat();
    let old = header("d/", 0, 0, |_| {});
    let found = all([file, old, END.to_vec(), b"rest".to_vec()].concat()).unwrap();
    let (entry, data) = &found[0];
    assert_eq!((entry.kind, entry.path.as_slice(), data.as_slice()), (Kind::File, &b"a/b"[..], &b"xyz"[..]));
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o644, 1000, 1001, (7, 0)));
    assert_eq!(found[1].0.kind, Kind::Directory);
}

#[test]
fn extended_headers_are_heeded() {
    let long = "n".repeat(300);
    let records: [(&str, &[u8]); 5] = [
        ("path", long.as_bytes()),
        ("mtime", b"-1.25"),
        ("uid", b"3000000"),
        ("size", b"3"),
        ("SCHILY.xattr.user.x", b"a\0\n="),
    ];
    let entry = [header("short", b'0', 0, |_| {}), padded(b"xyz".to_vec())].concat();
    let (entry, data) = all([pax(&records), entry, END.to_vec()].concat()).unwrap().remove(0);
    assert_eq!((entry.path, entry.uid, data), (long.clone().into_bytes(), 3_000_000, b"xyz".to_vec()));
    assert_eq!(entry.mtime, (-2, 750_000_000));
    assert_eq!(entry.xattrs, [(b"user.x".to_vec(), b"a\0\n=".to_vec())]);
    let name =
        [header("././@LongLink", b'L', 301, |_| {}), padded([long.as_bytes(), b"\0"].concat())].concat();
    let (entry, _) = all([name, header("short", b'5', 0, |_| {})].concat()).unwrap().remove(0);
    assert_eq!(entry.path, long.as_bytes());
}

#[test]
fn sparse_files_of_all_kinds() {
    let want = Some(vec![(0, 2), (1024, 1)]);
    let gnu = header("s", b'S', 3, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        for (at, number) in [(386, 0), (398, 2), (410, 1024), (422, 1), (483, 2000)] {
            block[at..at + 11].copy_from_slice(format!("{number:011o}").as_bytes());
        }
    });
    let map = padded(b"2\n0\n2\n1024\n1\n".to_vec());
    let one = pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.realsize", b"2000"),
    ]);
    let early =
        pax(&[("GNU.sparse.map", b"0,2,1024,1"), ("GNU.sparse.size", b"2000"), ("GNU.sparse.name", b"s")]);
    let data = padded(b"abc".to_vec());
    for bytes in [
        [gnu, data.clone()].concat(),
        [one, header("x", b'0', 515, |_| {}), map, data.clone()].concat(),
        [early, header("x", b'0', 3, |_| {}), data].concat(),
    ] {
        let (entry, data) = all(bytes).unwrap().remove(0);
        assert_eq!((&entry.path[..], entry.size, &data[..]), (&b"s"[..], 2000, &b"abc"[..]));
        assert_eq!(entry.pieces, want);
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let file = || [header("a", b'0', 3, |_| {}), padded(b"xyz".to_vec())].concat();
    let mut wrong_sum = file();
    wrong_sum[0] = b'b';
    let overlapping = pax(&[("GNU.sparse.map", b"0,2,1,1"), ("GNU.sparse.size", b"9")]);
    let table: [(&str, Vec<u8>, &str); 12] = [
        ("checksum", wrong_sum, "checksum"),
        ("cut in the data", file()[..514].to_vec(), "cut off"),
        ("cut in a header", file()[..100].to_vec(), "cut off"),
        ("empty block between", [vec![0; BLOCK], file()].concat(), "empty block"),
        ("unknown type", header("a", b'Z', 0, |_| {}), "unknown type 'Z'"),
        ("uid -1", [pax(&[("uid", b"4294967295")]), file()].concat(), "uid is out of range"),
        (
            "huge extended header",
            header("a", b'x', 1 << 30, |_| {}),
            "an extended header has 1073741824 bytes",
        ),
        ("huge size", [pax(&[("size", b"18446744073709551615")]), file()].concat(), "bytes"),
        ("negative size", header("a", b'0', 0, |b| b[124..136].fill(0xff)), "negative size"),
        ("extended header alone", pax(&[("uid", b"1")]), "cut off"),
        (
            "extended header without end",
            [header("p", b'x', 5, |_| {}), padded(b"9 a=b".to_vec())].concat(),
            "extended",
        ),
        ("pieces that overlap", [overlapping, file()].concat(), "overlap"),
    ];
    for (what, bytes, want) in table {
        let error = all(bytes).expect_err(what).to_string();
        assert!(error.contains(want), "{what}: {error}");
    }
}

#[test]
fn the_end_is_told() {
    for (bytes, want) in [(END.to_vec(), End::Marked), (vec![0; BLOCK], End::Marked), (vec![], End::Unmarked)]
    {
        let mut reader = Reader::new(Bytes(io::Cursor::new(bytes)));
        assert!(reader.next().unwrap().is_none() && reader.next().unwrap().is_none());
        assert_eq!(reader.end(), Some(want));
    }
}
