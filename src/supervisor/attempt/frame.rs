//! Frames of HTTP/2 (RFC 9113), as a client of one call writes and reads them.

/// Largest frame that is read: what a client gets who does not ask for more.
const LARGEST: usize = 16 << 10;

/// Bytes of a frame before its content.
const HEAD: usize = 9;

/// What a client says first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// A frame that has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// Without padding and priority.
    pub content: Vec<u8>,
}

/// Writes a frame; the content is smaller than 16 KiB.
pub fn put(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    let length = content.len().to_be_bytes();
    bytes.extend_from_slice(&length[length.len() - 3..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(content);
}

/// Takes the first frame off what has come; `None` as long as it is not whole.
///
/// # Errors
/// When it is no frame that may come.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Frame>, &'static str> {
    let Some(([l2, l1, l0, kind, flags, s3, s2, s1, s0], _)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = usize::from(*l2) << 16 | usize::from(*l1) << 8 | usize::from(*l0);
    if length > LARGEST {
        return Err("frame too large");
    }
    let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes([s3 & 0x7f, *s2, *s1, *s0]));
    if bytes.len() < HEAD + length {
        return Ok(None);
    }
    let mut content: Vec<u8> = bytes.drain(..HEAD + length).skip(HEAD).collect();
    let may_pad = matches!(kind, kind::DATA | kind::HEADERS);
    if may_pad && flags & flag::PADDED != 0 {
        let (padding, rest) = content.split_first().ok_or("frame without its padding's length")?;
        let kept = rest.len().checked_sub(usize::from(*padding)).ok_or("padding longer than its frame")?;
        content = rest[..kept].to_vec();
    }
    if kind == kind::HEADERS && flags & flag::PRIORITY != 0 {
        content = content.get(5..).ok_or("frame without its priority")?.to_vec();
    }
    Ok(Some(Frame { kind, flags, stream, content }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let mut bytes = Vec::new();
        put(&mut bytes, kind::DATA, flag::END_STREAM, 1, b"abc");
        put(&mut bytes, kind::PING, 0, 0, &[7; 8]);
        let whole = bytes.clone();
        for length in 0..12 {
            assert_eq!(take(&mut whole[..length].to_vec()), Ok(None));
        }
        let data = Frame { kind: kind::DATA, flags: flag::END_STREAM, stream: 1, content: b"abc".to_vec() };
        assert_eq!(take(&mut bytes), Ok(Some(data)));
        assert_eq!(take(&mut bytes).unwrap().unwrap().kind, kind::PING);
        assert!(bytes.is_empty());
    }

    #[test]
    fn padding_and_priority_are_left_out() {
        let mut bytes = Vec::new();
        put(&mut bytes, kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, b"\x02\0\0\0\0\0abPP");
        assert_eq!(take(&mut bytes).unwrap().unwrap().content, b"ab");
        for (flags, content) in
            [(flag::PADDED, &b"\x05abc"[..]), (flag::PADDED, b""), (flag::PRIORITY, b"abc")]
        {
            put(&mut bytes, kind::HEADERS, flags, 1, content);
            assert!(take(&mut bytes).is_err());
            bytes.clear();
        }
        assert_eq!(take(&mut b"HTTP/1.1 400 Bad Request".to_vec()), Err("frame too large"));
    }
}
