//! HTTP/1.1 (RFC 9112) as a client that asks once: the request's text, and reading an answer as it comes.
//!
//! Invariant: whatever a server sends, what is kept of it is bounded, and it is an answer, a complaint, or not whole yet.

use super::url::Url;
use super::{LARGEST_OUTPUT, Purpose, words};

/// Most bytes of the lines before the body: more than any server for people sends.
const LARGEST_HEAD: usize = 64 << 10;

/// The request for a page.
///
/// # Errors
/// Names the header that cannot be sent.
pub fn request(url: &Url, headers: &[(String, String)], purpose: Purpose) -> Result<String, String> {
    let given =
        |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let host = given("Host").filter(|host| !host.is_empty()).unwrap_or(&url.authority);
    let mut text = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", url.target);
    let kind = if purpose == Purpose::Probe { "probe" } else { "lifecycle" };
    if given("User-Agent").is_none() {
        text.push_str(&format!("User-Agent: kube-{kind}/podrun-{}\r\n", env!("CARGO_PKG_VERSION")));
    }
    if given("Accept").is_none() {
        text.push_str("Accept: */*\r\n");
    }
    for (name, value) in headers {
        if !is_token(name) {
            return Err(format!("net/http: invalid header field name {}", words::quoted(name.as_bytes())));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(format!(
                "net/http: invalid header field value for {}",
                words::quoted(name.as_bytes())
            ));
        }
        // One that is given without a value is not sent at all, where there would be one of ours.
        let replaced = |ours: &str| name.eq_ignore_ascii_case(ours);
        let left_out = value.is_empty() && (replaced("User-Agent") || replaced("Accept"));
        if !left_out
            && !["Host", "Connection", "Content-Length", "Transfer-Encoding"].iter().any(|h| replaced(h))
        {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("Connection: close\r\n\r\n");
    Ok(text)
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub struct Answer {
    /// What is before the body, until it is whole.
    head: Vec<u8>,
    status: u16,
    location: Option<String>,
    body: Body,
    shown: Vec<u8>,
}

/// How the end of the body is found.
#[derive(Debug, Default)]
enum Body {
    /// The lines before it are not whole.
    #[default]
    Unknown,
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunks(Chunk),
    /// With the connection.
    UntilEnd,
    /// It is whole.
    Whole,
}

/// Where in a chunked body we are.
#[derive(Debug)]
enum Chunk {
    /// In the line with the size, so far.
    Size(Vec<u8>),
    /// So many bytes are still to come.
    Data(u64),
    /// In the line end behind the data.
    DataEnd,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// Before the body: there is no answer.
    Head(String),
    /// In the body: the answer did not come through.
    Body(String),
}

impl Answer {
    /// Takes what has come; true when nothing more is needed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, Flaw> {
        if !matches!(self.body, Body::Unknown) {
            return self.take_body(bytes);
        }
        let looked_at = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let Some(end) = head_end(&self.head, looked_at) else {
            // Something that is no HTTP at all is found out at its first line.
            if let Some(end) = self.head.iter().position(|byte| *byte == b'\n') {
                first_line(&self.head[..end]).map_err(|words| broken(&words))?;
            }
            if self.head.len() <= LARGEST_HEAD {
                return Ok(false);
            }
            return Err(broken(&format!(
                "net/http: server response headers exceeded {LARGEST_HEAD} bytes; aborted"
            )));
        };
        let mut head = std::mem::take(&mut self.head);
        let rest = head.split_off(end);
        self.read_head(&head)?;
        if matches!(self.body, Body::Unknown) { self.take(&rest) } else { self.take_body(&rest) }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// When that is too early.
    pub fn end(&self) -> Result<(), Flaw> {
        match self.body {
            Body::Unknown if self.head.is_empty() => Err(Flaw::Head("EOF".into())),
            Body::Unknown => Err(broken("unexpected EOF")),
            Body::UntilEnd | Body::Whole => Ok(()),
            Body::Length(_) | Body::Chunks(_) => Err(Flaw::Body("unexpected EOF".into())),
        }
    }

    /// Whether only the body is still to come.
    pub fn has_head(&self) -> bool {
        !matches!(self.body, Body::Unknown)
    }

    /// The status, of an answer whose head is there.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Where a redirect leads.
    pub fn location(&self) -> Option<&str> {
        let sends_on = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.location.as_deref().filter(|location| sends_on && !location.is_empty())
    }

    /// The beginning of the body, as text.
    pub fn body(&self) -> String {
        words::text(&self.shown)
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), Flaw> {
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        self.status = first_line(lines.next().unwrap_or_default()).map_err(|words| broken(&words))?;
        let (mut length, mut chunked) = (None, false);
        for line in lines.filter(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return Err(broken(&format!("malformed MIME header line: {}", words::quoted(line))));
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"Content-Length") {
                let number = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok());
                let bad = || broken(&format!("bad Content-Length {}", words::quoted(value)));
                length = Some(
                    number
                        .filter(|number| length.is_none_or(|earlier| earlier == *number))
                        .ok_or_else(bad)?,
                );
            } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(broken(&format!("unsupported transfer encoding: {}", words::quoted(value))));
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case(b"Location") && self.location.is_none() {
                self.location = Some(words::text(value));
            }
        }
        self.body = match (self.status, length) {
            // Something else comes before the answer proper.
            (100 | 102..=199, _) => Body::Unknown,
            (101 | 204 | 304, _) => Body::Whole,
            _ if chunked => Body::Chunks(Chunk::Size(Vec::new())),
            (_, Some(length)) => Body::Length(length),
            (_, None) => Body::UntilEnd,
        };
        if matches!(self.body, Body::Unknown) {
            self.location = None;
        }
        Ok(())
    }

    fn take_body(&mut self, mut bytes: &[u8]) -> Result<bool, Flaw> {
        loop {
            if self.shown.len() >= LARGEST_OUTPUT {
                // All that is ever looked at is there.
                self.body = Body::Whole;
            }
            match &mut self.body {
                Body::Unknown | Body::Length(0) => self.body = Body::Whole,
                Body::Whole => return Ok(true),
                _ if bytes.is_empty() => return Ok(false),
                Body::UntilEnd => {
                    show(&mut self.shown, bytes);
                    bytes = &[];
                }
                Body::Length(left) => bytes = pass(&mut self.shown, left, bytes),
                Body::Chunks(chunk) => {
                    bytes = chunk.take(&mut self.shown, bytes).map_err(|words| Flaw::Body(words.into()))?;
                    if matches!(chunk, Chunk::Size(line) if line == b"\n") {
                        self.body = Body::Whole;
                    }
                }
            }
        }
    }
}

impl Chunk {
    /// Takes some bytes, and gives back the rest. A line of the size that is `\n` alone stands for the last chunk.
    fn take<'a>(&mut self, shown: &mut Vec<u8>, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        /// Most bytes of the line with a chunk's size.
        const LARGEST_LINE: usize = 4096;
        match self {
            Self::Size(line) => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                if line.len() > LARGEST_LINE {
                    return Err("header line too long");
                }
                let Some(end) = end else { return Ok(&[]) };
                *self = match size(line)? {
                    0 => Self::Size(b"\n".to_vec()),
                    size => Self::Data(size),
                };
                Ok(&bytes[end + 1..])
            }
            Self::Data(left) => {
                let rest = pass(shown, left, bytes);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(rest)
            }
            Self::DataEnd => match bytes {
                [b'\r', rest @ ..] => Ok(rest),
                [b'\n', rest @ ..] => {
                    *self = Self::Size(Vec::new());
                    Ok(rest)
                }
                _ => Err("malformed chunked encoding"),
            },
        }
    }
}

/// The size in a chunk's first line, without what may stand behind it.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("invalid byte in chunk length");
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| "http chunk length too large")
}

/// Shows at most `left` bytes, and gives back the rest.
fn pass<'a>(shown: &mut Vec<u8>, left: &mut u64, bytes: &'a [u8]) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    show(shown, &bytes[..length]);
    *left -= length as u64;
    &bytes[length..]
}

fn show(shown: &mut Vec<u8>, bytes: &[u8]) {
    let room = LARGEST_OUTPUT.saturating_sub(shown.len());
    shown.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn broken(words: &str) -> Flaw {
    Flaw::Head(format!("net/http: HTTP/1.x transport connection broken: {words}"))
}

/// The place behind the empty line that ends the head, which is not before `from`.
fn head_end(head: &[u8], from: usize) -> Option<usize> {
    (from..head.len()).filter(|at| head[*at] == b'\n').find_map(|at| match &head[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The status of `HTTP/1.1 200 OK`.
fn first_line(line: &[u8]) -> Result<u16, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let complaint = |what: &str, of: &[u8]| Err(format!("malformed HTTP {what} {}", words::quoted(of)));
    let Some(space) = line.iter().position(|byte| *byte == b' ') else { return complaint("response", line) };
    let (version, rest) = (&line[..space], line[space + 1..].trim_ascii_start());
    let status = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let number = std::str::from_utf8(status).ok().and_then(|status| status.parse::<u16>().ok());
    match number {
        Some(number) if status.len() == 3 && status.iter().all(u8::is_ascii_digit) => {
            if matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit())
            {
                Ok(number)
            } else {
                complaint("version", version)
            }
        }
        _ => complaint("status code", status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::probe::Scheme;

    /// The same, whether it comes at once or byte by byte; then the connection ends.
    fn read(bytes: &[u8]) -> Result<(u16, String, bool), Flaw> {
        let read = |step: usize| {
            let mut answer = Answer::default();
            for part in bytes.chunks(step) {
                if answer.take(part)? {
                    return Ok((answer.status(), answer.body(), true));
                }
            }
            answer.end().map(|()| (answer.status(), answer.body(), false))
        };
        let whole = read(bytes.len().max(1));
        assert_eq!(read(1), whole);
        whole
    }

    #[test]
    fn answers() {
        type Row<'a> = (&'a [u8], (u16, &'a str, bool));
        let table: &[Row<'_>] = &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", (200, "ok", true)),
            (b"HTTP/1.0 503 \n\nsorry", (503, "sorry", false)),
            (b"HTTP/1.1 204 No Content\r\n\r\n", (204, "", true)),
            (
                b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
                (200, "abcd", true),
            ),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ncontent-length:0\r\n\r\n", (404, "", true)),
        ];
        for (bytes, (status, body, whole)) in table {
            assert_eq!(read(bytes), Ok((*status, (*body).to_owned(), *whole)), "{}", words::text(bytes));
        }
    }

    #[test]
    fn flaws() {
        let broken =
            |words: &str| Flaw::Head(format!("net/http: HTTP/1.x transport connection broken: {words}"));
        let body = |words: &str| Flaw::Body(words.into());
        let chunked =
            |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes();
        let table = [
            (b"".to_vec(), Flaw::Head("EOF".into())),
            (b"HTTP/1.1 200".to_vec(), broken("unexpected EOF")),
            (
                b"\x15\x03\x01\x00\x02\n".to_vec(),
                broken("malformed HTTP response \"\\x15\\x03\\x01\\x00\\x02\""),
            ),
            (b"HTTP/1.1 2xx OK\r\n".to_vec(), broken("malformed HTTP status code \"2xx\"")),
            (b"SSH-2.0 200 OK\r\n".to_vec(), broken("malformed HTTP version \"SSH-2.0\"")),
            (
                b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n".to_vec(),
                broken("malformed MIME header line: \"nonsense\""),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(), broken("bad Content-Length \"-1\"")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec(), body("unexpected EOF")),
            (chunked("zz\r\n"), body("invalid byte in chunk length")),
            (chunked("fffffffffffffffff\r\n"), body("http chunk length too large")),
            (chunked("1\r\nabc"), body("malformed chunked encoding")),
            (chunked("ffffffffffffffff\r\nabc"), body("unexpected EOF")),
            (chunked(&"1".repeat(5000)), body("header line too long")),
        ];
        for (bytes, flaw) in table {
            assert_eq!(read(&bytes), Err(flaw), "{}", words::text(&bytes));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut answer = Answer::default();
        assert_eq!(answer.take(b"HTTP/1.1 200 OK\r\n"), Ok(false));
        let endless = (0..10_000).find_map(|_| answer.take(b"X-Header: 0123456789\r\n").err());
        assert!(
            matches!(endless, Some(Flaw::Head(words)) if words.ends_with("exceeded 65536 bytes; aborted"))
        );
        let mut answer = Answer::default();
        let big = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 1 << 20]].concat();
        assert_eq!((answer.take(&big), answer.body().len()), (Ok(true), LARGEST_OUTPUT));
    }

    #[test]
    fn requests() {
        let url = Url::new(Scheme::Http, "10.0.0.1", 80, "/a");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let plain = request(&url, &[], Purpose::Probe).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            plain,
            format!(
                "GET /a HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: kube-probe/podrun-{version}\r\n\
                     Accept: */*\r\nConnection: close\r\n\r\n"
            )
        );
        let headers =
            [header("host", "shop"), header("Accept", ""), header("User-agent", "me"), header("X-A", "1")];
        let own = request(&url, &headers, Purpose::Hook).unwrap();
        assert_eq!(
            own,
            "GET /a HTTP/1.1\r\nHost: shop\r\nUser-agent: me\r\nX-A: 1\r\nConnection: close\r\n\r\n"
        );
        for bad in [header("a b", "1"), header("", "1"), header("a", "1\r\nB: 2")] {
            assert!(request(&url, &[bad], Purpose::Probe).is_err());
        }
    }
}
