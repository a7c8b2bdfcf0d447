//! What the fuzz targets of images are given; nobody else builds this.

use super::limits::Budget;
use super::parts::Parts;
use super::stream::Stream;
use super::tar::Reader;

/// Most bytes that come out of a packed layer: a fuzzer has little time for one input.
const MOST: u64 = 4 << 20;

/// Reads a layer to its end, or up to what is wrong with it, as unpacking does.
///
/// # Panics
/// When the reader lets something through that unpacking relies on not to come.
pub fn read_layer(blob: &[u8]) {
    let Ok(stream) = Stream::new(blob, MOST) else { return };
    let mut archive = Reader::new(stream);
    let (mut budget, mut buffer) = (Budget::new(), [0; 4 << 10]);
    while let Ok(Some(entry)) = archive.next() {
        if budget.spend(entry.size).is_err() {
            return;
        }
        if let Ok(parts) = Parts::of(&entry.path) {
            assert!(
                parts.0.iter().all(|part| ![&b""[..], b".", b".."].contains(part) && !part.contains(&b'/'))
            );
        }
        let mut end = 0;
        for (offset, length) in entry.pieces.iter().flatten() {
            assert!(*offset >= end && length <= &(entry.size - offset), "{:?}", entry.pieces);
            end = offset + length;
        }
        while archive.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }
    if archive.end().is_some() {
        drop(archive.into_source().finish());
    }
}
