//! The health check of gRPC: one call of `grpc.health.v1.Health/Check`, in the clear.

use super::dial::{Dial, Network, joined};
use super::frame::{self, Frame, flag, kind};
use super::watch::Watch;
use super::{Progress, Verdict, hpack, words};
use std::time::Duration;

/// The stream of the one call.
const CALL: u32 = 1;
/// Most bytes of header fields, and of a message: those of this call take some dozens.
const LARGEST_PART: usize = 16 << 10;

/// A server that is being asked.
#[derive(Debug)]
pub struct Health {
    address: String,
    dial: Dial,
    connected: bool,
    /// What is still to be sent.
    unsent: Vec<u8>,
    /// What has come and is no whole frame yet.
    received: Vec<u8>,
    /// Header fields that are not whole yet, and whether the call ends with them.
    block: Option<(Vec<u8>, bool)>,
    message: Vec<u8>,
    /// What the server said of the call, by HTTP and by gRPC.
    status: Option<String>,
    grpc_status: Option<String>,
    grpc_message: String,
}

impl Health {
    /// Begins to ask for the health of a service.
    pub fn begin(
        network: &Network,
        port: u16,
        service: &str,
        timeout: Option<Duration>,
        watch: Watch<'_>,
    ) -> Result<Self, Verdict> {
        let host = network.host(None);
        let address = joined(&host, port);
        let dial = network.dial(&host, port).map_err(|words| unreachable(&address, &words))?;
        watch.writable(&dial).map_err(|error| Verdict::Error(error.to_string()))?;
        Ok(Self {
            unsent: call(&address, service, timeout),
            address,
            dial,
            connected: false,
            received: Vec::new(),
            block: None,
            message: Vec::new(),
            status: None,
            grpc_status: None,
            grpc_message: String::new(),
        })
    }

    /// Goes on.
    pub fn advance(&mut self, watch: Watch<'_>) -> Progress {
        match self.step(watch) {
            Ok(()) => Progress::Pending,
            Err(verdict) => Progress::Done(verdict),
        }
    }

    /// One look at the connection; a verdict ends the attempt.
    fn step(&mut self, watch: Watch<'_>) -> Result<(), Verdict> {
        if !self.connected {
            self.dial.finish().map_err(|words| unreachable(&self.address, &words))?;
            self.connected = true;
        }
        let mut buffer = [0; 16 << 10];
        let received = self.dial.receive(&mut buffer).map_err(|words| broken(&words))?;
        if let Some(length) = received {
            self.received.extend_from_slice(&buffer[..length]);
            while let Some(frame) = frame::take(&mut self.received).map_err(broken)? {
                self.take(&frame)?;
            }
            if length == 0 {
                return Err(broken("EOF"));
            }
        }
        if !self.unsent.is_empty() {
            let sent = self.dial.send(&self.unsent).map_err(|words| broken(&words))?;
            self.unsent.drain(..sent);
        }
        watch.change(&self.dial, !self.unsent.is_empty()).map_err(|error| Verdict::Error(error.to_string()))
    }

    fn take(&mut self, frame: &Frame) -> Result<(), Verdict> {
        let ends = frame.flags & flag::END_STREAM != 0;
        if self.block.is_some() != (frame.kind == kind::CONTINUATION) {
            return Err(broken("frame out of turn"));
        }
        match frame.kind {
            kind::SETTINGS | kind::PING if frame.flags & flag::ACK == 0 => {
                let echo = if frame.kind == kind::PING { &frame.content[..] } else { &[] };
                // One who asks and asks, and never takes an answer, is not listened to for ever.
                if self.unsent.len() + echo.len() > LARGEST_PART {
                    return Err(broken("too many pings"));
                }
                frame::put(&mut self.unsent, frame.kind, flag::ACK, 0, echo);
            }
            kind::GOAWAY => return Err(broken("the server closes the connection")),
            kind::PUSH_PROMISE => return Err(broken("frame out of turn")),
            _ if frame.stream != CALL => {}
            kind::RST_STREAM => return Err(broken("stream terminated by RST_STREAM")),
            kind::HEADERS | kind::CONTINUATION => {
                let (mut block, ends) = self.block.take().unwrap_or((Vec::new(), ends));
                block.extend_from_slice(&frame.content);
                if block.len() > LARGEST_PART {
                    return Err(broken("header fields too large"));
                }
                if frame.flags & flag::END_HEADERS == 0 {
                    self.block = Some((block, ends));
                } else {
                    self.read_fields(&block)?;
                    return if ends { Err(self.verdict()) } else { Ok(()) };
                }
            }
            kind::DATA => {
                self.message.extend_from_slice(&frame.content);
                if self.message.len() > LARGEST_PART {
                    return Err(broken("message too large"));
                }
                return if ends { Err(self.verdict()) } else { Ok(()) };
            }
            _ => {}
        }
        Ok(())
    }

    fn read_fields(&mut self, block: &[u8]) -> Result<(), Verdict> {
        for field in hpack::read(block).ok_or_else(|| broken("cannot understand the header fields"))? {
            match field.name.as_str() {
                ":status" => self.status = Some(field.value),
                "grpc-status" => self.grpc_status = Some(field.value),
                "grpc-message" => self.grpc_message = field.value,
                _ => {}
            }
        }
        Ok(())
    }

    /// The verdict once the call has ended.
    fn verdict(&self) -> Verdict {
        let message = words::text(&self.grpc_message.bytes().take(512).collect::<Vec<u8>>());
        match (self.grpc_status.as_deref(), self.status.as_deref()) {
            (Some("0"), _) => {}
            (Some("12"), _) => {
                return Verdict::Failure(format!(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
                ));
            }
            (Some(code), _) => return failed(code_name(code), &message),
            (None, Some(status)) if status != "200" => {
                return failed(
                    "Unknown",
                    &format!("unexpected HTTP status code received from server: {status}"),
                );
            }
            (None, _) => {}
        }
        match serving_status(&self.message) {
            Some(1) => Verdict::Success,
            Some(status) => {
                let name = match status {
                    0 => "UNKNOWN".to_owned(),
                    2 => "NOT_SERVING".to_owned(),
                    3 => "SERVICE_UNKNOWN".to_owned(),
                    other => other.to_string(),
                };
                Verdict::Failure(format!("service unhealthy (responded with {name:?})"))
            }
            None => failed("Internal", "cannot understand the server's message"),
        }
    }

    /// The verdict when the time is over.
    pub fn time_out(&self, timeout: Duration) -> Verdict {
        let timeout = words::duration(timeout);
        Verdict::Failure(if self.connected {
            format!("timeout: health rpc did not complete within {timeout}")
        } else {
            format!(
                "timeout: failed to connect service {:?} within {timeout}: context deadline exceeded",
                self.address
            )
        })
    }

    /// Closes the connection.
    pub fn end(self, watch: Watch<'_>) {
        watch.forget(&self.dial);
    }
}

/// All that a client of one call says by itself.
fn call(address: &str, service: &str, timeout: Option<Duration>) -> Vec<u8> {
    /// No table of header fields: see [`hpack`]. And nothing is to be pushed.
    const SETTINGS: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    let mut bytes = frame::PREFACE.to_vec();
    frame::put(&mut bytes, kind::SETTINGS, 0, 0, SETTINGS);
    // `:method: POST` and `:scheme: http` of the static table, and names of it.
    let mut fields = vec![0x83, 0x86];
    hpack::put(&mut fields, Ok(4), "/grpc.health.v1.Health/Check");
    hpack::put(&mut fields, Ok(1), address);
    hpack::put(&mut fields, Ok(31), "application/grpc");
    hpack::put(&mut fields, Ok(58), concat!("kube-probe/podrun-", env!("CARGO_PKG_VERSION")));
    hpack::put(&mut fields, Err("te"), "trailers");
    if let Some(timeout) = timeout {
        // At most eight digits.
        let millis = timeout.as_millis().clamp(1, 99_999_999);
        hpack::put(&mut fields, Err("grpc-timeout"), &format!("{millis}m"));
    }
    frame::put(&mut bytes, kind::HEADERS, flag::END_HEADERS, CALL, &fields);
    // Field 1 of HealthCheckRequest; the manifest bounds the service's name.
    let name = &service.as_bytes()[..service.len().min(LARGEST_PART / 2)];
    let mut request = Vec::new();
    if !name.is_empty() {
        request.push(0x0a);
        put_varint(&mut request, name.len());
        request.extend_from_slice(name);
    }
    let length = u32::try_from(request.len()).unwrap_or_default().to_be_bytes();
    let message = [&[0], &length[..], &request].concat();
    frame::put(&mut bytes, kind::DATA, flag::END_STREAM, CALL, &message);
    bytes
}

fn put_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// `status` of the HealthCheckResponse in an uncompressed message of gRPC.
fn serving_status(message: &[u8]) -> Option<u64> {
    let (&[compressed, l3, l2, l1, l0], mut rest) = message.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes([l3, l2, l1, l0])).ok()?;
    if compressed != 0 || rest.len() != length {
        return None;
    }
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn unreachable(address: &str, words: &str) -> Verdict {
    Verdict::Failure(format!(
        "error: failed to connect service at {address:?}: connection error: desc = \"transport: Error while dialing: {words}\""
    ))
}

fn broken(words: &str) -> Verdict {
    failed("Unavailable", &format!("connection error: {words}"))
}

fn failed(code: &str, words: &str) -> Verdict {
    Verdict::Failure(format!("error: health rpc probe failed: rpc error: code = {code} desc = {words}"))
}

/// A status of gRPC's, by the name that its libraries print.
fn code_name(code: &str) -> &str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    code.parse().ok().and_then(|code: usize| NAMES.get(code).copied()).unwrap_or("Unknown")
}
