//! Header fields of HTTP/2 (HPACK, RFC 7541): writing ours, and reading as much of a server's as tells how a call ended.
//!
//! A server is told to keep no table of fields (SETTINGS_HEADER_TABLE_SIZE 0), so each stands for itself.

/// A field that a server sent; the name is empty where it is one of the static table's that nobody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub value: String,
}

/// `:status` of the static table, by index; its values but for the last.
const STATUSES: std::ops::RangeInclusive<usize> = 8..=14;
const STATUS_VALUES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];

/// Writes a field that no table is to remember: by the index of its name in the static table, or by name.
pub fn put(block: &mut Vec<u8>, name: Result<u8, &str>, value: &str) {
    match name {
        // An index of four bits, or more in a second byte.
        Ok(index @ 0..15) => block.push(index),
        Ok(index) => block.extend([0x0f, index - 15]),
        Err(name) => {
            block.push(0);
            put_text(block, name);
        }
    }
    put_text(block, value);
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    let mut left = text.len();
    if left < 0x7f {
        block.push(left.to_le_bytes()[0]);
    } else {
        block.push(0x7f);
        left -= 0x7f;
        while left >= 0x80 {
            block.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        block.push(left.to_le_bytes()[0]);
    }
    block.extend_from_slice(text.as_bytes());
}

/// Reads a whole block; `None` for one that is damaged.
pub fn read(mut block: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while let [first, ..] = block {
        let (name_bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => {
                integer(&mut block, 5)?; // the size of a table that is not kept
                continue;
            }
            _ => (4, true),
        };
        let index = integer(&mut block, name_bits)?;
        let mut name = if STATUSES.contains(&index) { ":status".to_owned() } else { String::new() };
        let value = if is_literal {
            if index == 0 {
                name = text(&mut block)?;
            }
            text(&mut block)?
        } else {
            let value = index.checked_sub(*STATUSES.start()).and_then(|at| STATUS_VALUES.get(at));
            value.map_or_else(String::new, |value| (*value).to_owned())
        };
        fields.push(Field { name, value });
    }
    Some(fields)
}

/// An integer whose first bits are in the low `bits` of the next byte.
fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1usize << bits) - 1;
    let (first, mut rest) = block.split_first()?;
    let mut number = usize::from(*first) & most;
    if number == most {
        for shift in [0, 7, 14, 21] {
            let (next, after) = rest.split_first()?;
            number += usize::from(next & 0x7f) << shift;
            rest = after;
            if next & 0x80 == 0 {
                *block = rest;
                return Some(number);
            }
        }
        return None;
    }
    *block = rest;
    Some(number)
}

fn text(block: &mut &[u8]) -> Option<String> {
    let is_coded = *block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(if is_coded { decoded(bytes) } else { String::from_utf8_lossy(bytes).into_owned() })
}

/// The characters of each length of code, shortest first, and in order of their codes: those of a length follow one
/// another, and the first follows the last that is shorter (RFC 7541, appendix B). Up to 15 bits, which is all of ASCII
/// that can be seen but `\`.
const CODES: [(u32, &[u8]); 11] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (9, b""),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// Huffman's code undone, up to the first character that has no place above.
fn decoded(bytes: &[u8]) -> String {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1)));
    let mut text = String::new();
    'next: loop {
        let (mut code, mut length, mut first) = (0, 0, 0);
        for (bits_of_code, characters) in CODES {
            while length < bits_of_code {
                let Some(bit) = bits.next() else { return text };
                (code, first, length) = (code << 1 | bit, first << 1, length + 1);
            }
            if let Some(character) = characters.get(code - first) {
                text.push(char::from(*character));
                continue 'next;
            }
            first += characters.len();
        }
        return text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> Field {
        Field { name: name.into(), value: value.into() }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // C.4.1, C.6.1: codes of Huffman's, fields to be remembered and not.
        assert_eq!(
            decoded(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]),
            "www.example.com"
        );
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66,
            0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(decoded(&date), "Mon, 21 Oct 2013 20:13:21 GMT");
        let custom = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
        assert_eq!(decoded(&custom), "custom-value");
        assert_eq!(read(&[0x48, 0x82, 0x64, 0x02]), Some(vec![field(":status", "302")]));
        assert_eq!(
            read(b"\x40\x0acustom-key\x0dcustom-header\x88"),
            Some(vec![field("custom-key", "custom-header"), field(":status", "200")])
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(300);
        let mut block = vec![0x20];
        put(&mut block, Err("grpc-status"), "12");
        put(&mut block, Ok(4), &long);
        put(&mut block, Ok(58), "me");
        let fields = [field("grpc-status", "12"), field("", &long), field("", "me")];
        assert_eq!(read(&block), Some(fields.to_vec()));
        for length in 1..block.len() {
            // Cut anywhere it is damaged or shorter, and never more.
            assert!(read(&block[..length]).is_none_or(|fields| fields.len() < 3));
        }
    }

    #[test]
    fn garbage_is_refused() {
        for block in
            [&b"\x7f\xff\xff\xff\xff\xff\x01"[..], b"\x00\x7f\xff\xff\xff\x7f", b"\x00\x05ab", b"\x40"]
        {
            assert_eq!(read(block), None);
        }
        assert_eq!(decoded(&[0xff; 8]), "");
    }
}
