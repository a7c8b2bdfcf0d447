//! Probes by HTTPS of servers in this process, which speak TLS well, badly, or not at all.

use super::tests::{SECOND, SHORT, answer, closed_port, failure, page, served, verdict};
use super::*;
use crate::model::probe::{HttpGet, Scheme};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

fn secret(port: u16) -> ProbeHandler {
    secret_of(None, port)
}

fn secret_of(host: Option<&str>, port: u16) -> ProbeHandler {
    ProbeHandler::HttpGet(HttpGet {
        scheme: Scheme::Https,
        host: host.map(str::to_owned),
        port,
        path: "/healthz".into(),
        headers: Vec::new(),
    })
}

/// A certificate for a name that nobody asks for, signed by itself, and its key.
fn identity() -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
    (made.cert.der().clone(), made.signing_key.serialize_der().into())
}

/// How a server speaks.
struct Habits {
    version: &'static SupportedProtocolVersion,
    asks_for_certificates: bool,
    protocol: &'static [u8],
}

const PLAIN: Habits =
    Habits { version: &version::TLS13, asks_for_certificates: false, protocol: b"http/1.1" };

fn server(habits: &Habits) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (certificate, key) = identity();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[habits.version])
        .unwrap();
    let builder = if habits.asks_for_certificates {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(vec![certificate], key.into()).unwrap();
    config.alpn_protocols = vec![habits.protocol.to_vec()];
    Arc::new(config)
}

/// Answers one request by TLS: what was asked, and what the client said of itself.
fn answer_by_tls(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    bytes: &[u8],
) -> (String, ServerConnection) {
    let (mut socket, _) = listener.accept().unwrap();
    let mut session = ServerConnection::new(config.clone()).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(char::from(byte[0]));
    }
    drop(stream.write_all(bytes));
    stream.conn.send_close_notify();
    drop(stream.flush());
    drop(stream.conn.complete_io(stream.sock));
    (text, session)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn pages_by_both_versions() {
    for version in [&version::TLS12, &version::TLS13] {
        let config = server(&Habits { version, ..PLAIN });
        let (said, _) = served(secret, SECOND, |listener| {
            let (asked, session) = answer_by_tls(listener, &config, OK);
            assert!(asked.starts_with("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(session.server_name(), None, "an address is no name");
        });
        assert_eq!(said, Verdict::Success, "{version:?}");
        let away = |listener: &TcpListener| {
            drop(answer_by_tls(listener, &config, b"HTTP/1.1 503 Away\r\n\r\n"));
        };
        assert_eq!(served(secret, SECOND, away).0, failure("HTTP probe failed with statuscode: 503"));
    }
}

#[test]
fn names_are_told() {
    let config = server(&PLAIN);
    let named = |listener: &TcpListener| {
        let (asked, session) = answer_by_tls(listener, &config, OK);
        assert_eq!(session.server_name(), Some("localhost"), "{asked}");
    };
    assert_eq!(served(|port| secret_of(Some("localhost"), port), SECOND, named).0, Verdict::Success);
}

#[test]
fn large_answers_come_whole() {
    let config = server(&PLAIN);
    let large = [b"HTTP/1.1 302 Away\r\nLocation: https://elsewhere/\r\n\r\n", &vec![b'x'; 300 << 10][..]];
    let serve = |listener: &TcpListener| drop(answer_by_tls(listener, &config, &large.concat()));
    let Verdict::Warning(words) = served(secret, 5 * SECOND, serve).0 else { panic!() };
    assert_eq!(words.len(), "Probe terminated redirects, Response body: ".len() + LARGEST_OUTPUT);
}

#[test]
fn redirects_change_the_scheme() {
    let config = server(&PLAIN);
    let to = |scheme: &str, port: u16| {
        format!("HTTP/1.1 307 Go\r\nLocation: {scheme}://127.0.0.1:{port}/x\r\nContent-Length: 0\r\n\r\n")
    };
    let there_and_back = |listener: &TcpListener| {
        let port = listener.local_addr().unwrap().port();
        answer(listener, to("https", port).as_bytes());
        let (asked, _) = answer_by_tls(listener, &config, to("http", port).as_bytes());
        assert!(asked.starts_with("GET /x "), "{asked}");
        answer(listener, OK);
    };
    assert_eq!(served(page, SECOND, there_and_back).0, Verdict::Success);
}

#[test]
fn servers_in_the_clear() {
    let get = |words: &str, port| failure(format!("Get \"https://127.0.0.1:{port}/healthz\": {words}"));
    let clear = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 8]));
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    };
    let (said, port) = served(secret, SECOND, clear);
    assert_eq!(said, get("http: server gave HTTP response to HTTPS client", port));
    let garbage = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"));
        drop(stream.read_to_end(&mut Vec::new()));
    };
    let (said, port) = served(secret, SECOND, garbage);
    assert_eq!(said, get("tls: first record does not look like a TLS handshake", port));
    let port = closed_port();
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(verdict(&secret(port), Purpose::Probe, SECOND), get(&refused, port));
}

#[test]
fn hooks_are_tried_again_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut handler = secret(port);
    let ProbeHandler::HttpGet(get) = &mut handler else { panic!() };
    get.headers = vec![("authorization".into(), "secret".into()), ("X-A".into(), "1".into())];
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            drop(stream.read(&mut [0; 8]));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
            drop(stream);
            let asked = answer(&listener, b"HTTP/1.1 500 Oh\r\n\r\n");
            assert!(asked.starts_with("GET /healthz ") && asked.contains("\r\nX-A: 1\r\n"), "{asked}");
            assert!(!asked.contains("secret"), "{asked}");
        });
        verdict(&handler, Purpose::Hook, SECOND)
    });
    let words = format!(
        "request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    );
    assert_eq!(said, Verdict::Warning(words));
}

#[test]
fn peers_that_cannot_agree() {
    let says = |habits: &Habits| {
        let config = server(habits);
        let (said, port) = served(secret, SECOND, |listener| drop(answer_by_tls(listener, &config, OK)));
        let Verdict::Failure(words) = said else { panic!("{said:?}") };
        words.strip_prefix(&format!("Get \"https://127.0.0.1:{port}/healthz\": ")).unwrap().to_owned()
    };
    let asks = Habits { asks_for_certificates: true, ..PLAIN };
    assert_eq!(says(&asks), "remote error: tls: certificate required");
    assert_eq!(says(&Habits { protocol: b"h2", ..PLAIN }), "remote error: tls: no application protocol");
    // A server that knows nothing newer than TLS 1.1 says so (RFC 8446, section 6.2).
    let (said, port) = served(secret, SECOND, |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 4096]));
        drop(stream.write_all(&[21, 3, 1, 0, 2, 2, 70]));
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let words = "remote error: tls: protocol version not supported";
    assert_eq!(said, failure(format!("Get \"https://127.0.0.1:{port}/healthz\": {words}")));
}

/// Whatever is said in the place of a handshake, the attempt ends in time, with a verdict.
#[test]
fn hostile_handshakes() {
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let silent = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    };
    let (said, port) = served(secret, SHORT, silent);
    assert_eq!(said, failure(format!("Get \"https://127.0.0.1:{port}/healthz\": {late}")));
    let gone = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 4096]));
    };
    let (said, port) = served(secret, SECOND, gone);
    assert_eq!(said, failure(format!("Get \"https://127.0.0.1:{port}/healthz\": EOF")));
    // Records without end: of a handshake message that announces 16 MiB, and alerts that are only warnings.
    for record in
        [[&[22, 3, 3, 64, 0, 11, 255, 255, 255][..], &[0; 16380]].concat(), vec![21, 3, 3, 0, 2, 1, 90]]
    {
        let flood = |listener: &TcpListener| {
            let (mut stream, _) = listener.accept().unwrap();
            drop(stream.read(&mut [0; 4096]));
            while stream.write_all(&record).is_ok() {}
        };
        let begun = Instant::now();
        let (said, _) = served(secret, SHORT, flood);
        assert!(begun.elapsed() < 5 * SHORT);
        assert!(matches!(&said, Verdict::Failure(words) if words.contains("tls: ")), "{said:?}");
    }
}

#[test]
fn answers_that_come_slowly_or_not_whole() {
    let config = server(&PLAIN);
    let (said, _) = served(secret, 5 * SECOND, |listener| {
        let (socket, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(config.clone()).unwrap();
        // Byte by byte, as a network may cut it.
        let mut socket = Dribble(socket);
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        drop(stream.read(&mut [0; 1]));
        drop(stream.write_all(OK));
        drop(stream.flush());
    });
    assert_eq!(said, Verdict::Success);
    // Without a farewell: well where the end is told otherwise, and not where it is not.
    for (text, wanted) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nok"[..], Verdict::Success),
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"[..], Verdict::Error("unexpected EOF".into())),
    ] {
        let (said, _) = served(secret, SECOND, |listener| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut socket);
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(text));
            drop(stream.flush());
            // Everything is read, or the kernel would reset the connection.
            drop(socket.shutdown(std::net::Shutdown::Write));
            drop(socket.read_to_end(&mut Vec::new()));
        });
        assert_eq!(said, wanted);
    }
}

struct Dribble(TcpStream);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.set_nodelay(true)?;
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
