//! A server of gRPC's health check (grpc.health.v1.Health/Check): as much of HTTP/2 as one call at a time takes.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Listens on 127.0.0.1. A service's health is the text of the file of its name below `services`, read anew each time:
/// `SERVING`, `NOT_SERVING`, or `SILENT` for no answer; no such file is no such service. The server as a whole is the
/// file `server`. Does not return unless it fails.
pub fn serve(port: u16, services: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    loop {
        let (peer, _) = listener.accept()?;
        let services = services.to_owned();
        // A peer that went away, or says nonsense, is its own affair.
        std::thread::spawn(move || drop(attend(peer, &services)));
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    content: Vec<u8>,
}

fn attend(mut peer: TcpStream, services: &Path) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    peer.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    put(&mut peer, SETTINGS, 0, 0, &[])?;
    let (mut is_check, mut message) = (false, Vec::new());
    loop {
        let frame = take(&mut peer)?;
        match frame.kind {
            SETTINGS | PING if frame.flags & ACK == 0 => {
                let echo = if frame.kind == PING { &frame.content[..] } else { &[] };
                put(&mut peer, frame.kind, ACK, 0, echo)?;
            }
            // The fields are not decoded: clients of one call write texts as they are.
            HEADERS => {
                let path = b"/grpc.health.v1.Health/Check";
                is_check = frame.content.windows(path.len()).any(|window| window == path);
                message.clear();
            }
            DATA => {
                message.extend_from_slice(&frame.content);
                if frame.flags & END_STREAM != 0 {
                    answer(&mut peer, frame.stream, is_check, &message, services)?;
                }
            }
            _ => {}
        }
    }
}

fn answer(
    peer: &mut TcpStream,
    stream: u32,
    is_check: bool,
    message: &[u8],
    services: &Path,
) -> io::Result<()> {
    if !is_check {
        return end(peer, stream, true, "12", "unknown method");
    }
    // One byte that says `not compressed` and the length; then, where there is a name, field 1 and its length.
    let name = String::from_utf8_lossy(message.get(7..).unwrap_or_default()).into_owned();
    let file = if name.is_empty() { "server" } else { &name };
    let status = match fs::read_to_string(services.join(file)).as_deref().map(str::trim) {
        Ok("SERVING") => 1,
        Ok("SILENT") => return Ok(()),
        Ok(_) => 2,
        Err(_) => return end(peer, stream, true, "5", "unknown service"),
    };
    put(peer, HEADERS, END_HEADERS, stream, &head())?;
    put(peer, DATA, 0, stream, &[0, 0, 0, 0, 2, 8, status])?;
    end(peer, stream, false, "0", "")
}

/// `:status: 200` of the static table, and the type.
fn head() -> Vec<u8> {
    let mut block = vec![0x88];
    field(&mut block, "content-type", "application/grpc");
    block
}

/// Says how the call ended, also that it has begun where nothing came before.
fn end(peer: &mut TcpStream, stream: u32, alone: bool, code: &str, message: &str) -> io::Result<()> {
    let mut block = if alone { head() } else { Vec::new() };
    field(&mut block, "grpc-status", code);
    if !message.is_empty() {
        field(&mut block, "grpc-message", message);
    }
    put(peer, HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// A field that stands for itself, with texts below 127 bytes.
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
}

fn put(peer: &mut TcpStream, kind: u8, flags: u8, stream: u32, content: &[u8]) -> io::Result<()> {
    let length = (content.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(content);
    peer.write_all(&bytes)
}

fn take(peer: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0; 9];
    peer.read_exact(&mut head)?;
    let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = head;
    let mut content = vec![0; u32::from_be_bytes([0, l2, l1, l0]) as usize];
    peer.read_exact(&mut content)?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes([s3, s2, s1, s0]), content })
}
