//! What a request and its answer go over: a connection, in the clear or by TLS.

use super::dial::{Dial, Network};
use super::tls::Tls;
use super::url::Url;
use super::watch::Watch;
use crate::error::Result as Outcome;
use crate::model::probe::Scheme;

/// A connection that is being made, or is, and what is still to be said over it.
#[derive(Debug)]
pub struct Stream {
    dial: Dial,
    connected: bool,
    line: Line,
}

#[derive(Debug)]
enum Line {
    /// With what is still to be sent.
    Clear(Vec<u8>),
    Tls(Box<Tls>),
    /// By TLS, to a peer that takes nothing more.
    Deaf(Box<Tls>),
}

impl Stream {
    /// Begins to connect to where a page is, to say `request` then; it is still to be [watched](Self::watch).
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn open(network: &Network, url: &Url, request: String) -> Result<Self, String> {
        let line = match url.scheme {
            Scheme::Http => Line::Clear(request.into_bytes()),
            Scheme::Https => Line::Tls(Box::new(Tls::new(&url.host, request.as_bytes())?)),
        };
        Ok(Self { dial: network.dial(&url.host, url.port)?, connected: false, line })
    }

    /// Waits until it is connected, or cannot be.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch(&self, watch: Watch<'_>) -> Outcome<()> {
        watch.writable(&self.dial)
    }

    /// Waits no more.
    pub fn forget(&self, watch: Watch<'_>) {
        watch.forget(&self.dial);
    }

    /// Whether it is connected, which has to be asked until it is.
    ///
    /// # Errors
    /// Why it is not.
    pub fn connect(&mut self) -> Result<(), String> {
        if !self.connected {
            self.dial.finish()?;
            self.connected = true;
        }
        Ok(())
    }

    /// Sends what there is room for, and waits for more room where it takes that. One that answers without having heard
    /// us is listened to all the same.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn send(&mut self, watch: Watch<'_>) -> Outcome<()> {
        let more = match std::mem::replace(&mut self.line, Line::Clear(Vec::new())) {
            Line::Clear(mut unsent) => {
                let sent = if unsent.is_empty() { Ok(0) } else { self.dial.send(&unsent) };
                drop(unsent.drain(..sent.unwrap_or(unsent.len())));
                let more = !unsent.is_empty();
                self.line = Line::Clear(unsent);
                more
            }
            Line::Tls(mut tls) => {
                let sent = tls.send(&self.dial);
                self.line = if sent.is_ok() { Line::Tls(tls) } else { Line::Deaf(tls) };
                sent.unwrap_or(false)
            }
            Line::Deaf(tls) => {
                self.line = Line::Deaf(tls);
                false
            }
        };
        watch.change(&self.dial, more)
    }

    /// Takes some of what has come; `None` when there is nothing now, 0 bytes at the end.
    ///
    /// # Errors
    /// What the socket or TLS says.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        match &mut self.line {
            Line::Clear(_) => self.dial.receive(buffer),
            Line::Tls(tls) | Line::Deaf(tls) => tls.receive(&self.dial, buffer),
        }
    }

    /// Whether something has come that waiting does not tell of.
    pub fn is_ready(&self) -> bool {
        match &self.line {
            Line::Clear(_) => false,
            Line::Tls(tls) | Line::Deaf(tls) => tls.is_ready(),
        }
    }
}
