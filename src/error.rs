//! The one error type of podrun: what could not be done, why, and what to do about it.
//!
//! Each layer adds its noun with [`Context`]; `main` prints the chain once, joined by `: `, and the hint on a line
//! of its own. Where a caller branches on the reason it asks [`Error::kind`], never the text.

use std::fmt;

/// Who has to act on an error; decides nothing but the exit code and how callers branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong.
    Usage,
    /// The input (bundle, manifest, id, state of the container) does not allow what was asked.
    User,
    /// There is no such container, pod or process.
    NotFound,
    /// The id or name is taken.
    Exists,
    /// The container has no such program, or not the interpreter that it names.
    NoProgram,
    /// The program is there, and cannot be executed.
    NotExecutable,
    /// A hook of the container's failed.
    Hook,
    /// The host lacks something: a privilege, a kernel feature, space.
    Host,
    /// The other end of a socket said something it must not.
    Protocol,
    /// The other end of a socket is gone without a word.
    Died,
}

/// A message, its cause and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

/// The result of everything in podrun that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message of the form `cannot <verb> <object>` or a statement of what is wrong.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None, hint: None }
    }

    /// Shorthand for an error in the user's input.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// Shorthand for something that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Shorthand for something the host lacks.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(Kind::Host, message)
    }

    /// Adds the remedy, shown as `hint: ...`; the innermost hint wins, because it knows most.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.remedy().is_none() {
            self.hint = Some(hint.into());
        }
        self
    }

    /// Adds the cause behind this error.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hint of this error or of the nearest cause that has one.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| self.cause.as_ref()?.downcast_ref::<Error>().and_then(Error::remedy))
    }

    /// The number of the system error at the bottom of the chain, if there is one.
    pub fn errno(&self) -> Option<i32> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> =
            self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static));
        while let Some(current) = cause {
            if let Some(io) = current.downcast_ref::<std::io::Error>() {
                return io.raw_os_error();
            }
            cause = current.source();
        }
        None
    }

    /// Several errors of a teardown that did all its steps, as one.
    pub fn all(message: impl Into<String>, mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => {
                let only = errors.remove(0);
                Err(Error::new(only.kind(), message).because(only))
            }
            _ => {
                let kind = errors[0].kind();
                let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let error = Error::new(kind, message).because(Error::new(kind, text));
                Err(match errors.iter().find_map(Error::remedy) {
                    Some(hint) => error.hint(hint),
                    None => error,
                })
            }
        }
    }
}

impl fmt::Display for Error {
    /// The whole chain on one line: `cannot start container "web": cannot mount ...: no such file or directory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some(cause) = &self.cause else { return Ok(()) };
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return write!(f, ": {}", io_text(io));
        }
        write!(f, ": {cause}")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static))
    }
}

/// The system's own words, lower case and without the number (`no such file or directory`): clients match them.
fn io_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => errno_text(number),
        None => error.to_string(),
    }
}

/// The system's words for an error number, lower case, with the symbol behind them where words alone are vague.
pub fn errno_text(number: i32) -> String {
    let errno = nix::errno::Errno::from_raw(number);
    let words = errno.desc().to_lowercase();
    match errno {
        nix::errno::Errno::ENOENT
        | nix::errno::Errno::EACCES
        | nix::errno::Errno::EISDIR
        | nix::errno::Errno::ENOTDIR => words,
        _ => format!("{words} ({errno:?})"),
    }
}

/// Adds a layer's noun to an error on its way up.
pub trait Context<T> {
    /// Wraps the error in `message`, which is only built when there is an error.
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
    /// As [`Context::context`], saying who has to act.
    fn context_as<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(cause.kind(), message()).because(cause))
    }
    fn context_as<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).because(cause))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.context_as(Kind::Host, message)
    }
    fn context_as<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).because(cause))
    }
}

impl<T> Context<T> for std::result::Result<T, serde_json::Error> {
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.context_as(Kind::User, message)
    }
    fn context_as<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).because(cause))
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(std::io::Error::from).context(message)
    }
    fn context_as<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(std::io::Error::from).context_as(kind, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_reads_as_one_sentence_and_keeps_the_hint() {
        let io: std::io::Result<()> = Err(std::io::Error::from_raw_os_error(libc::ENOENT));
        let inner = io.context(|| "cannot mount volume \"data\"").map_err(|e| e.hint("create it"));
        let outer = inner.context(|| "cannot start container \"web\"").unwrap_err().hint("ignored");
        assert_eq!(
            outer.to_string(),
            "cannot start container \"web\": cannot mount volume \"data\": no such file or directory"
        );
        assert_eq!(outer.remedy(), Some("create it"));
        assert_eq!(outer.errno(), Some(libc::ENOENT));
    }

    #[test]
    fn teardown_returns_every_error() {
        assert!(Error::all("cannot delete", vec![]).is_ok());
        let both = Error::all("cannot delete", vec![Error::user("a"), Error::host("b")]).unwrap_err();
        assert_eq!(both.to_string(), "cannot delete: a; b");
    }
}
