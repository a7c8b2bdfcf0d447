use super::*;
use crate::model::probe::{HttpGet, Scheme};
use crate::sys::process::poll_until;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// For attempts that are to run into it.
pub(super) const SHORT: Duration = Duration::from_millis(200);

/// Runs one attempt to its end, as a supervisor's loop does.
pub(super) fn verdict(handler: &ProbeHandler, purpose: Purpose, timeout: Duration) -> Verdict {
    let network = Network::new(None, None).unwrap();
    let mut attempts = Attempts::new().unwrap();
    let target = Target { network: &network, runner: None };
    attempts.begin(7, &target, handler, purpose, Some(timeout), Instant::now());
    loop {
        poll_until(attempts.as_fd(), libc::POLLIN, attempts.deadline().unwrap()).unwrap();
        let verdicts = attempts.advance(Instant::now()).unwrap();
        if let [(7, verdict)] = &verdicts[..] {
            assert_eq!(attempts.deadline(), None);
            return verdict.clone();
        }
        assert!(verdicts.is_empty());
    }
}

/// The verdict on a server that does `serve`, and its port.
pub(super) fn served(
    handler: impl FnOnce(u16) -> ProbeHandler,
    timeout: Duration,
    serve: impl FnOnce(&TcpListener) + Send,
) -> (Verdict, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener));
        (verdict(&handler(port), Purpose::Probe, timeout), port)
    })
}

pub(super) fn page(port: u16) -> ProbeHandler {
    ProbeHandler::HttpGet(HttpGet {
        scheme: Scheme::Http,
        host: None,
        port,
        path: "/healthz".into(),
        headers: Vec::new(),
    })
}

fn tcp(port: u16) -> ProbeHandler {
    ProbeHandler::TcpSocket { host: None, port }
}

/// Reads a request to its empty line.
pub(super) fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(char::from(byte[0]));
    }
    text
}

/// Answers one request; a client that has heard enough is fine.
pub(super) fn answer(listener: &TcpListener, bytes: &[u8]) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let request = request(&mut stream);
    drop(stream.write_all(bytes));
    request
}

/// A port that nobody listens at.
pub(super) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn failure(words: impl Into<String>) -> Verdict {
    Verdict::Failure(words.into())
}

#[test]
fn connections() {
    assert_eq!(served(tcp, SECOND, |_| {}).0, Verdict::Success);
    let port = closed_port();
    let refused = failure(format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
    assert_eq!(verdict(&tcp(port), Purpose::Probe, SECOND), refused);
    let v6 = ProbeHandler::TcpSocket { host: Some("[::1]".into()), port };
    let Verdict::Failure(words) = verdict(&v6, Purpose::Probe, SECOND) else { panic!() };
    assert!(words.starts_with(&format!("dial tcp [::1]:{port}: ")), "{words}");
    let name = ProbeHandler::TcpSocket { host: Some("example.com".into()), port };
    let Verdict::Failure(words) = verdict(&name, Purpose::Probe, SECOND) else { panic!() };
    assert!(words.starts_with("dial tcp: lookup example.com: "), "{words}");
}

#[test]
fn a_connection_that_nobody_answers_times_out() {
    // A full backlog: the kernel drops what comes then.
    let listener = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let any = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 0);
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &any).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = crate::sys::socket::own_address(listener.as_fd()).unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let silent = verdict(&tcp(address.port()), Purpose::Probe, SHORT);
    assert_eq!(silent, failure(format!("dial tcp {address}: i/o timeout")));
}

#[test]
fn pages() {
    let ok = |listener: &TcpListener| {
        let request = answer(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert!(request.starts_with("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        assert!(request.ends_with("\r\nConnection: close\r\n\r\n"), "{request}");
    };
    assert_eq!(served(page, SECOND, ok).0, Verdict::Success);
    let status = |line: &'static str| {
        served(page, SECOND, move |listener| {
            drop(answer(listener, format!("HTTP/1.1 {line}\r\n\r\n").as_bytes()))
        })
        .0
    };
    assert_eq!(status("500 Oh"), failure("HTTP probe failed with statuscode: 500"));
    assert_eq!(status("404 No"), failure("HTTP probe failed with statuscode: 404"));
    assert_eq!(status("399 ?"), Verdict::Warning("Probe terminated redirects, Response body: ".into()));
}

#[test]
fn any_answer_will_do_for_a_hook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let request = answer(&listener, b"HTTP/1.1 500 Oh\r\n\r\n");
            assert!(request.contains("\r\nUser-Agent: kube-lifecycle/podrun-"), "{request}");
        });
        assert_eq!(verdict(&page(port), Purpose::Hook, SECOND), Verdict::Success);
    });
}

#[test]
fn pages_that_do_not_come() {
    let port = closed_port();
    let get = |words: &str, port| failure(format!("Get \"http://127.0.0.1:{port}/healthz\": {words}"));
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(verdict(&page(port), Purpose::Probe, SECOND), get(&refused, port));
    // Closed without a word; not HTTP; one byte now and then, for ever; nothing, for ever.
    let (said, port) = served(page, SECOND, |listener| drop(answer(listener, b"")));
    assert_eq!(said, get("EOF", port));
    let (said, port) = served(page, SECOND, |listener| drop(answer(listener, b"\x15\x03\x01\n")));
    assert_eq!(
        said,
        get(
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\\x15\\x03\\x01\"",
            port
        )
    );
    let slow = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    for serve in [slow, |listener: &TcpListener| drop(request(&mut listener.accept().unwrap().0))] {
        let begun = Instant::now();
        let (said, port) = served(page, SHORT, serve);
        assert!(begun.elapsed() < 5 * SHORT);
        // One that was waited for may also have been cut off.
        assert!(said == get(late, port) || said == get("EOF", port), "{said:?}");
    }
}

#[test]
fn endless_answers_end() {
    let flood = |head: &'static [u8], more: &'static [u8]| {
        move |listener: &TcpListener| {
            let (mut stream, _) = listener.accept().unwrap();
            drop(request(&mut stream));
            let mut open = stream.write_all(head).is_ok();
            while open {
                open = stream.write_all(more).is_ok();
            }
        }
    };
    let (said, _) = served(page, 5 * SECOND, flood(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"));
    assert!(matches!(said, Verdict::Failure(words) if words.ends_with("exceeded 65536 bytes; aborted")));
    let body = served(page, 5 * SECOND, flood(b"HTTP/1.1 200 OK\r\n\r\n", b"and more\n")).0;
    assert_eq!(body, Verdict::Success);
    let chunk =
        flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"and more\n");
    assert_eq!(served(page, 5 * SECOND, chunk).0, Verdict::Success);
    // A body that stops: the answer did not come through.
    let stuck = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        drop(request(&mut stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap();
        drop(stream.read(&mut [0]));
    };
    let late = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
    assert_eq!(served(page, SHORT, stuck).0, Verdict::Error(late.into()));
}

#[test]
fn redirects_are_followed_within_the_host() {
    let to =
        |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 2\r\n\r\nto");
    let within = |listener: &TcpListener| {
        answer(listener, to("/next?x").as_bytes());
        let again = answer(
            listener,
            to("http://127.0.0.1:PORT/end")
                .replace("PORT", &listener.local_addr().unwrap().port().to_string())
                .as_bytes(),
        );
        assert!(again.starts_with("GET /next?x HTTP/1.1\r\n"), "{again}");
        assert!(answer(listener, b"HTTP/1.1 418 Tea\r\n\r\n").starts_with("GET /end "));
    };
    assert_eq!(served(page, SECOND, within).0, failure("HTTP probe failed with statuscode: 418"));
    let warning = Verdict::Warning("Probe terminated redirects, Response body: to".into());
    for location in ["http://127.0.0.2/", "https://127.0.0.2/", "//example.com/"] {
        assert_eq!(
            served(page, SECOND, |listener| drop(answer(listener, to(location).as_bytes()))).0,
            warning
        );
    }
    let (said, port) = served(page, SECOND, |listener| {
        for _ in 0..10 {
            answer(listener, to("/round").as_bytes());
        }
    });
    assert_eq!(said, failure(format!("Get \"http://127.0.0.1:{port}/round\": stopped after 10 redirects")));
}

#[test]
fn several_run_at_once_and_can_be_cancelled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let network = Network::new(None, None).unwrap();
    let target = Target { network: &network, runner: None };
    let mut attempts = Attempts::new().unwrap();
    for key in 0..4 {
        attempts.begin(key, &target, &page(port), Purpose::Probe, Some(SHORT), Instant::now());
    }
    let exec = ProbeHandler::Exec { command: vec!["true".into()] };
    attempts.begin(4, &target, &exec, Purpose::Probe, None, Instant::now());
    attempts.cancel(2);
    attempts.cancel(2);
    let mut said = Vec::new();
    while said.len() < 4 {
        poll_until(attempts.as_fd(), libc::POLLIN, attempts.deadline().unwrap()).unwrap();
        said.extend(attempts.advance(Instant::now()).unwrap());
    }
    said.sort_by_key(|(key, _)| *key);
    assert_eq!(said.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(said[3].1, Verdict::Error("failed to exec in container: container not running".into()));
    assert_eq!(attempts.deadline(), None);
}

/// What a gRPC server of a few lines says: its settings, then `frames`.
fn health(frames: &[u8]) -> Verdict {
    let serve = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut preface = [0; frame::PREFACE.len()];
        stream.read_exact(&mut preface).unwrap();
        assert_eq!(preface, frame::PREFACE);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, frame::kind::SETTINGS, 0, 0, &[]);
        bytes.extend_from_slice(frames);
        stream.write_all(&bytes).unwrap();
        // Until the client is gone.
        drop(stream.read_to_end(&mut Vec::new()));
    };
    served(|port| ProbeHandler::Grpc { port, service: "shop".into() }, SHORT, serve).0
}

fn fields(flags: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let (mut block, mut bytes) = (vec![0x88], Vec::new());
    pairs.iter().for_each(|(name, value)| hpack::put(&mut block, Err(name), value));
    frame::put(&mut bytes, frame::kind::HEADERS, flags | frame::flag::END_HEADERS, 1, &block);
    bytes
}

fn message(content: &[u8]) -> Vec<u8> {
    let (mut bytes, length) = (Vec::new(), u8::try_from(content.len()).unwrap());
    frame::put(&mut bytes, frame::kind::DATA, 0, 1, &[&[0, 0, 0, 0, length], content].concat());
    bytes
}

#[test]
fn health_of_servers() {
    let end = frame::flag::END_STREAM;
    let says =
        |status: u8| [fields(0, &[]), message(&[8, status]), fields(end, &[("grpc-status", "0")])].concat();
    assert_eq!(health(&says(1)), Verdict::Success);
    assert_eq!(health(&says(2)), failure("service unhealthy (responded with \"NOT_SERVING\")"));
    let empty = [fields(0, &[]), message(&[]), fields(end, &[("grpc-status", "0")])].concat();
    assert_eq!(health(&empty), failure("service unhealthy (responded with \"UNKNOWN\")"));
    let unknown = fields(end, &[("grpc-status", "5"), ("grpc-message", "unknown service")]);
    assert_eq!(
        health(&unknown),
        failure("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")
    );
    let unimplemented = fields(end, &[("grpc-status", "12"), ("grpc-message", "what?")]);
    assert_eq!(
        health(&unimplemented),
        failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): what?"
        )
    );
    assert_eq!(health(&says(1)[..20]), failure("timeout: health rpc did not complete within 0.2s"));
}

#[test]
fn hostile_health() {
    let broken = |words: &str| {
        failure(format!(
            "error: health rpc probe failed: rpc error: code = Unavailable desc = connection error: {words}"
        ))
    };
    assert_eq!(health(b"HTTP/1.1 400 Bad Request\r\n\r\n"), broken("frame too large"));
    let mut frames = Vec::new();
    frame::put(&mut frames, frame::kind::HEADERS, 0, 1, &[0; 10]);
    frame::put(&mut frames, frame::kind::DATA, 0, 1, &[]);
    assert_eq!(health(&frames), broken("frame out of turn"));
    frames.clear();
    frame::put(&mut frames, frame::kind::GOAWAY, 0, 0, &[0; 8]);
    assert_eq!(health(&frames), broken("the server closes the connection"));
    assert_eq!(health(&message(&[9; 200]).repeat(100)), broken("message too large"));
    let port = closed_port();
    assert_eq!(
        verdict(&ProbeHandler::Grpc { port, service: String::new() }, Purpose::Probe, SECOND),
        failure(format!(
            "error: failed to connect service at \"127.0.0.1:{port}\": connection error: desc = \
             \"transport: Error while dialing: dial tcp 127.0.0.1:{port}: connect: connection refused\""
        ))
    );
}
