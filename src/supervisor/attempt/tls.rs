//! TLS 1.2 and 1.3 as a client that believes everybody: certificates are not looked at, since nobody tells a probe whom a
//! pod's may be of.
//!
//! Invariant: nothing here waits, and what is kept of a peer's bytes is bounded by the library: a record of what it says,
//! 64 KiB of its handshake.

use super::dial::Dial;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What is said of a server that answers in the clear.
pub const IN_THE_CLEAR: &str = "http: server gave HTTP response to HTTPS client";

/// A conversation over a socket.
#[derive(Debug)]
pub struct Tls {
    session: ClientConnection,
    /// What the peer said first, as long as it is less than the head of a record.
    first: Vec<u8>,
    /// Bytes that are there to be taken without another look at the socket.
    ready: usize,
    /// The peer has said that nothing comes behind them.
    ended: bool,
}

impl Tls {
    /// Begins one, in which `request` is said as soon as that is possible.
    ///
    /// # Errors
    /// Why it cannot be begun.
    pub fn new(host: &str, request: &[u8]) -> Result<Self, String> {
        // An address is not a name, and is not told to the server (RFC 6066, section 3).
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| format!("tls: invalid name {host:?}"))?;
        let begin = || ClientConnection::new(Arc::new(config()?), name);
        let mut session = begin().map_err(|error| format!("tls: {error}"))?;
        session.set_buffer_limit(None);
        session.writer().write_all(request).map_err(|error| format!("tls: {error}"))?;
        Ok(Self { session, first: Vec::new(), ready: 0, ended: false })
    }

    /// Sends what is to be sent and there is room for; whether there is more.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, dial: &Dial) -> Result<bool, String> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket { dial, first: &mut Vec::new() }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(false)
    }

    /// Takes some of what the peer says, after one look at the socket at most; `None` when there is nothing now, 0 bytes
    /// at the end.
    ///
    /// # Errors
    /// Those of the socket, and what the peers cannot agree on.
    pub fn receive(&mut self, dial: &Dial, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        if !self.is_ready() {
            match self.session.read_tls(&mut Socket { dial, first: &mut self.first }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
            match self.session.process_new_packets() {
                Ok(state) => {
                    (self.ready, self.ended) = (state.plaintext_bytes_to_read(), state.peer_has_closed());
                }
                Err(error) => {
                    // The peer is told why, if it listens; nobody waits for that.
                    let _told = self.send(dial);
                    return Err(words(&error, &self.first));
                }
            }
        }
        match self.session.reader().read(buffer) {
            Ok(length) => {
                self.ready = self.ready.saturating_sub(length);
                Ok(Some(length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // Without a farewell, as many servers do; whether the answer is whole its own length tells.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether [`Tls::receive`] has something without a look at the socket, which the kernel does not tell of.
    pub fn is_ready(&self) -> bool {
        self.ready > 0 || self.ended
    }
}

/// Made for each conversation: it is cheap, and between two of them nothing is kept.
fn config() -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The socket as the library reads and writes it.
struct Socket<'a> {
    dial: &'a Dial,
    first: &'a mut Vec<u8>,
}

/// Bytes before the content of a record: kind, version, length.
const RECORD_HEAD: usize = 5;

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.dial.receive(buffer).map_err(io::Error::other)?;
        let length = length.ok_or(io::ErrorKind::WouldBlock)?;
        let room = RECORD_HEAD.saturating_sub(self.first.len()).min(length);
        self.first.extend_from_slice(&buffer[..room]);
        Ok(length)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.dial.send(bytes).map_err(io::Error::other)? {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Believes every certificate, and so every proof of having its key: one can be made by whoever answers.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// Those of the kubelet's language, in its order.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]
    }
}

/// What is wrong, as the kubelet's language says it; `first` is the head of the first record.
fn words(error: &Error, first: &[u8]) -> String {
    /// Kinds of the records that a conversation can begin with.
    const ALERT_OR_HANDSHAKE: [u8; 2] = [21, 22];
    match error {
        Error::InvalidMessage(_) if first.starts_with(b"HTTP/") => IN_THE_CLEAR.to_owned(),
        Error::InvalidMessage(_) if first.first().is_some_and(|kind| !ALERT_OR_HANDSHAKE.contains(kind)) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_name(*alert)),
        error => format!("tls: {error}"),
    }
}

fn alert_name(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    };
    name.to_owned()
}
