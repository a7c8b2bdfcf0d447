//! Sparse files: where their data belongs, in the four ways there are to write that down.

use super::header::{Extended, Header, decimal};
use super::{BLOCK, Pieces, Reader, Source};
use crate::error::{Error, Result};
use crate::image::limits;

impl<S: Source> Reader<S> {
    /// The map of an old GNU sparse file, which goes on in blocks of its own.
    pub(super) fn gnu_pieces(&mut self, header: &Header<'_>) -> Result<(u64, Pieces)> {
        let unsigned = |number: i64| u64::try_from(number).map_err(|_| Error::user("a negative size"));
        let real = unsigned(header.number(483, 12, "size")?)?;
        let mut pieces = Vec::new();
        let mut block = *header.0;
        let (mut at, mut count, mut more) = (386, 4, 482);
        loop {
            for slot in 0..count {
                let at = at + slot * 24;
                if block[at] == 0 {
                    break;
                }
                let header = Header(&block);
                pieces.push((
                    unsigned(header.number(at, 12, "offset")?)?,
                    unsigned(header.number(at + 12, 12, "length")?)?,
                ));
            }
            if block[more] == 0 {
                return Ok((real, pieces));
            }
            check_count(pieces.len())?;
            // These blocks stand before the data and do not count as such.
            self.fill(&mut block)?;
            (at, count, more) = (0, 21, 504);
        }
    }

    /// The map of a PAX sparse file: in the extended header, or (version 1.0) before the data.
    pub(super) fn pax_pieces(&mut self, extended: &Extended) -> Result<(u64, Pieces)> {
        let missing = || Error::user("a sparse file does not tell its size");
        let real = match extended.number("GNU.sparse.realsize")? {
            Some(real) => real,
            None => extended.number("GNU.sparse.size")?.ok_or_else(missing)?,
        };
        if extended.number("GNU.sparse.major")? != Some(1) {
            return Ok((real, pairs(&extended.sparse)?));
        }
        let before = self.data;
        let count = usize::try_from(self.decimal()?).unwrap_or(usize::MAX);
        check_count(count)?;
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((self.decimal()?, self.decimal()?));
        }
        // The map fills whole blocks.
        let mut rest = [0; BLOCK];
        let used = before - self.data;
        let most = usize::try_from(used.next_multiple_of(BLOCK as u64) - used).unwrap_or_default();
        let mut left = most;
        while left > 0 {
            match self.read(&mut rest[..left])? {
                0 => return Err(Error::user("a sparse file's map is cut off")),
                count => left -= count,
            }
        }
        Ok((real, pieces))
    }

    /// A decimal number on a line of its own in the data.
    fn decimal(&mut self) -> Result<u64> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.read(&mut byte)? {
                1 if byte[0] == b'\n' => return decimal(&line),
                1 if line.len() < 20 => line.push(byte[0]),
                _ => return Err(Error::user("a sparse file's map is damaged")),
            }
        }
    }
}

fn check_count(count: usize) -> Result<()> {
    if count <= limits::PIECES {
        return Ok(());
    }
    Err(Error::user(format!("a sparse file has more than {} pieces", limits::PIECES)))
}

/// Pieces must ascend, lie within the file, and use up the data.
pub(super) fn check(pieces: &[(u64, u64)], size: u64, data: u64) -> Result<()> {
    let mut end = 0;
    let mut total: u64 = 0;
    for (offset, length) in pieces {
        let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
        end = next.ok_or_else(|| Error::user("a sparse file's pieces overlap or lie outside of it"))?;
        total += length;
    }
    if total == data { Ok(()) } else { Err(Error::user("a sparse file's map does not match its data")) }
}

fn pairs(numbers: &[u64]) -> Result<Pieces> {
    check_count(numbers.len() / 2)?;
    if !numbers.len().is_multiple_of(2) {
        return Err(Error::user("a sparse file's map is damaged"));
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
