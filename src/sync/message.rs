//! The messages and their encoding. Bytes from the peer are data: anything unknown is an error, never a panic.

use crate::error::{Error, Kind, Result};

/// Largest packet in bytes; longer texts are cut.
pub const LARGEST: usize = 4096;

/// From the command to init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToInit {
    /// The container is on record: go on, and do not die with the command.
    Go,
    /// Go on, and die with the command all the same. May be said before `Ready` is heard.
    GoAlong,
    /// The hooks that the command runs have run.
    HooksDone,
    /// The answer to `NeedMaps`: what the command alone may do for a process in another user namespace is done.
    MapsWritten,
    /// The listener of the filter has been passed on to whoever answers.
    ListenerTaken,
}

/// From init to the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromInit {
    /// This process stands in the container's user namespace, and is nobody there yet.
    NeedMaps,
    /// The root file system is made and not yet entered: it is time for the hooks that the command runs.
    RunHooks,
    /// The filter is loaded, and this descriptor of init's is its listener: until `ListenerTaken`, nobody answers.
    Listener(i32),
    /// All is set up but the last steps before exec.
    Ready,
    /// The command may end: this process no longer dies with it.
    Detached,
    /// Something the user should know.
    Warn(String),
    /// The end: what could not be done.
    Failed(Failure),
}

/// An error on its way through a socket: the text keeps the whole chain, the kind is for those who branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// [`Kind::NoProgram`], [`Kind::NotExecutable`] or [`Kind::Hook`] as they are, and [`Kind::User`] for everything
    /// else.
    pub kind: Kind,
    /// The chain of messages.
    pub text: String,
    /// The remedy, empty for none.
    pub hint: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: match error.kind() {
                kind @ (Kind::NoProgram | Kind::NotExecutable | Kind::Hook) => kind,
                _ => Kind::User,
            },
            text: error.to_string(),
            hint: error.remedy().unwrap_or_default().to_owned(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Error::new(failure.kind, failure.text);
        if failure.hint.is_empty() { error } else { error.hint(failure.hint) }
    }
}

/// Cuts at a character boundary so that `text` takes at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn malformed() -> Error {
    Error::new(Kind::Protocol, "cannot understand a message of the container's init process")
}

impl ToInit {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Go => vec![b'G'],
            Self::GoAlong => vec![b'A'],
            Self::HooksDone => vec![b'H'],
            Self::MapsWritten => vec![b'M'],
            Self::ListenerTaken => vec![b'T'],
        }
    }

    /// The message in a packet.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            b"G" => Ok(Self::Go),
            b"A" => Ok(Self::GoAlong),
            b"H" => Ok(Self::HooksDone),
            b"M" => Ok(Self::MapsWritten),
            b"T" => Ok(Self::ListenerTaken),
            _ => Err(malformed()),
        }
    }
}

impl FromInit {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::RunHooks => vec![b'H'],
            Self::NeedMaps => vec![b'N'],
            Self::Ready => vec![b'R'],
            Self::Detached => vec![b'D'],
            Self::Listener(number) => [b"L", &number.to_ne_bytes()[..]].concat(),
            Self::Warn(text) => [b"W", cut(text, LARGEST - 1).as_bytes()].concat(),
            Self::Failed(failure) => {
                let hint = cut(&failure.hint, LARGEST / 4);
                let text = cut(&failure.text, LARGEST - hint.len() - 3);
                // A NUL parts text and hint, so neither may hold one.
                let text = text.replace('\0', " ");
                let kind: &[u8] = match failure.kind {
                    Kind::NoProgram => b"n",
                    Kind::NotExecutable => b"x",
                    Kind::Hook => b"h",
                    _ => b"-",
                };
                [b"F", kind, text.as_bytes(), b"\0", hint.as_bytes()].concat()
            }
        }
    }

    /// The message in a packet.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (tag, rest) = bytes.split_first().ok_or_else(malformed)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| malformed());
        match tag {
            b'N' if rest.is_empty() => Ok(Self::NeedMaps),
            b'H' if rest.is_empty() => Ok(Self::RunHooks),
            b'R' if rest.is_empty() => Ok(Self::Ready),
            b'D' if rest.is_empty() => Ok(Self::Detached),
            b'L' => match <[u8; 4]>::try_from(rest).map(i32::from_ne_bytes) {
                Ok(number) if number >= 0 => Ok(Self::Listener(number)),
                _ => Err(malformed()),
            },
            b'W' => Ok(Self::Warn(text(rest)?)),
            b'F' => {
                let (kind, rest) = rest.split_first().ok_or_else(malformed)?;
                let end = rest.iter().position(|b| *b == 0).ok_or_else(malformed)?;
                Ok(Self::Failed(Failure {
                    kind: match kind {
                        b'n' => Kind::NoProgram,
                        b'x' => Kind::NotExecutable,
                        b'h' => Kind::Hook,
                        b'-' => Kind::User,
                        _ => return Err(malformed()),
                    },
                    text: text(&rest[..end])?,
                    hint: text(&rest[end + 1..])?,
                }))
            }
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let failure = |kind| {
            FromInit::Failed(Failure { kind, text: "cannot mount é".into(), hint: "create it".into() })
        };
        for message in [
            FromInit::NeedMaps,
            FromInit::RunHooks,
            FromInit::Ready,
            FromInit::Detached,
            FromInit::Listener(1023),
            FromInit::Warn("w".into()),
            failure(Kind::User),
            failure(Kind::NoProgram),
            failure(Kind::NotExecutable),
            failure(Kind::Hook),
        ] {
            assert_eq!(FromInit::decode(&message.encode()).unwrap(), message);
        }
        for message in
            [ToInit::Go, ToInit::GoAlong, ToInit::HooksDone, ToInit::MapsWritten, ToInit::ListenerTaken]
        {
            assert_eq!(ToInit::decode(&message.encode()).unwrap(), message);
        }
    }

    #[test]
    fn long_texts_are_cut_to_a_packet() {
        let long = "é".repeat(LARGEST);
        for message in [
            FromInit::Warn(long.clone()),
            FromInit::Failed(Failure { kind: Kind::User, text: long.clone(), hint: long }),
        ] {
            assert!(message.encode().len() <= LARGEST);
            FromInit::decode(&message.encode()).unwrap();
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let garbage = [&b""[..], b"X", b"R1", b"N1", b"P123", b"L", b"L123", b"L\xff\xff\xff\xff", b"F"];
        for bytes in garbage.into_iter().chain([&b"F-no end"[..], b"F?text\0hint", b"W\xff"]) {
            assert!(FromInit::decode(bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b""[..], b"H1", b"H123", b"X"] {
            assert!(ToInit::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
