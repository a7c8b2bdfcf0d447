//! An entry's header, and the extended headers before it.

use super::{BLOCK, Kind};
use crate::error::{Context, Error, Result};
use std::collections::BTreeMap;

pub(super) fn decimal(bytes: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::user(format!("{:?} is no number", String::from_utf8_lossy(&bytes[..bytes.len().min(40)])))
    })
}

/// Long names end in NUL.
pub(super) fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(at);
    }
    bytes
}

/// A header's block.
pub(super) struct Header<'a>(pub(super) &'a [u8; BLOCK]);

impl Header<'_> {
    /// The checksum counts its own field as blanks; some old programs summed signed bytes.
    pub(super) fn check(&self) -> Result<()> {
        let field = 148..156;
        let byte = |(at, byte): (usize, &u8)| if field.contains(&at) { b' ' } else { *byte };
        let bytes = || self.0.iter().enumerate().map(byte);
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        let stored = self.number(148, 8, "checksum")?;
        if stored == unsigned || stored == signed {
            return Ok(());
        }
        Err(Error::user("the archive is damaged: a header's checksum is wrong"))
    }

    pub(super) fn kind(&self) -> Result<Kind> {
        Ok(match self.0[156] {
            // Before there were directories' types, a slash at the end said it.
            0 if self.path().ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let name = char::from(other).escape_default();
                return Err(Error::user(format!("an entry is of the unknown type '{name}'")));
            }
        })
    }

    pub(super) fn text(&self, at: usize, length: usize) -> &[u8] {
        let field = &self.0[at..at + length];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        &field[..end]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        // GNU's own format has other things where ustar has the beginning of the path.
        let prefix = if &self.0[257..263] == b"ustar\0" { self.text(345, 155) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// A number in octal digits or, where the first bit is set, in base 256.
    pub(super) fn number(&self, at: usize, length: usize, what: &str) -> Result<i64> {
        let field = &self.0[at..at + length];
        let damaged = || Error::user(format!("the archive is damaged: an entry's {what} is no number"));
        if field[0] & 0x80 != 0 {
            let negative = field[0] & 0x40 != 0;
            let first = if negative { field[0] } else { field[0] & 0x7f };
            let start = if negative { i128::from(first.cast_signed()) } else { i128::from(first) };
            let value = field[1..]
                .iter()
                .try_fold(start, |value, byte| value.checked_mul(256).map(|value| value + i128::from(*byte)));
            return value.and_then(|value| i64::try_from(value).ok()).ok_or_else(damaged);
        }
        let blank = |byte: &u8| matches!(byte, b' ' | 0);
        let begin = field.iter().position(|byte| !blank(byte)).unwrap_or(length);
        let digits = &field[begin..];
        let end = digits.iter().position(blank).unwrap_or(digits.len());
        let mut value: i64 = 0;
        for byte in &digits[..end] {
            if !(b'0'..=b'7').contains(byte) {
                return Err(damaged());
            }
            value = value.checked_mul(8).ok_or_else(damaged)? + i64::from(byte - b'0');
        }
        Ok(value)
    }
}

/// What stands in the headers before an entry's own.
#[derive(Debug, Default)]
pub(super) struct Extended {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Offsets and lengths of the pieces of a sparse file, versions 0.0 and 0.1.
    pub(super) sparse: Vec<u64>,
    pub(super) long_path: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
}

impl Extended {
    pub(super) fn any(&self) -> bool {
        !self.records.is_empty() || self.long_path.is_some() || self.long_link.is_some()
    }

    /// Records of the form `LENGTH KEY=VALUE\n`.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        let damaged = || Error::user("the archive is damaged: an extended header cannot be read");
        while !bytes.is_empty() {
            let blank = bytes.iter().take(8).position(|byte| *byte == b' ').ok_or_else(damaged)?;
            let length = usize::try_from(decimal(&bytes[..blank])?).map_err(|_| damaged())?;
            if length <= blank + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(damaged());
            }
            let record = &bytes[blank + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            bytes = &bytes[length..];
            match key {
                // The only ones that may come several times.
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.push(decimal(value)?),
                b"GNU.sparse.map" => {
                    self.sparse = value.split(|byte| *byte == b',').map(decimal).collect::<Result<_>>()?;
                }
                _ if value.contains(&0) && !key.starts_with(XATTR) => return Err(damaged()),
                _ => drop(self.records.insert(key.to_vec(), value.to_vec())),
            }
        }
        Ok(())
    }

    pub(super) fn is_sparse(&self) -> bool {
        !self.sparse.is_empty()
            || self.records.contains_key(&b"GNU.sparse.major"[..])
            || self.records.contains_key(&b"GNU.sparse.realsize"[..])
            || self.records.contains_key(&b"GNU.sparse.size"[..])
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        let value = self.records.get(key.as_bytes()).filter(|value| !value.is_empty());
        value.map(|value| decimal(value)).transpose().context(|| format!("cannot read an entry's {key}"))
    }

    /// The first of `keys` that has a value.
    pub(super) fn text(&mut self, keys: &[&str]) -> Option<Vec<u8>> {
        keys.iter().find_map(|key| self.records.remove(key.as_bytes())).filter(|value| !value.is_empty())
    }

    /// `SECONDS[.FRACTION]`, which may be negative.
    pub(super) fn mtime(&self) -> Result<Option<(i64, u32)>> {
        let Some(value) = self.records.get(&b"mtime"[..]).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value).unwrap_or_default();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        match (whole.parse::<i64>(), nine.parse::<u32>()) {
            (Ok(seconds), Ok(nanos)) if whole.starts_with('-') && nanos > 0 => {
                Ok(Some((seconds.saturating_sub(1), 1_000_000_000 - nanos)))
            }
            (Ok(seconds), Ok(nanos)) => Ok(Some((seconds, nanos))),
            _ => Err(Error::user("cannot read an entry's mtime")),
        }
    }

    pub(super) fn xattrs(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = std::mem::take(&mut self.records).into_iter();
        all.filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?.to_vec(), value))).collect()
    }
}

/// What stands before an extended attribute's name.
const XATTR: &[u8] = b"SCHILY.xattr.";
