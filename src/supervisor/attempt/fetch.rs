//! Asking a pod for a page, and going where it sends us, as long as that is the same host.

use super::dial::{Dial, Network};
use super::http::{self, Answer, Flaw};
use super::url::Url;
use super::watch::Watch;
use super::{Progress, Purpose, Verdict, words};
use crate::model::probe::HttpGet;

/// Most requests of one attempt.
const MOST_REQUESTS: u32 = 10;

/// A page that is being asked for.
#[derive(Debug)]
pub struct Fetch {
    network: Network,
    headers: Vec<(String, String)>,
    purpose: Purpose,
    /// The host that was asked first: no other is asked.
    host: String,
    url: Url,
    requests: u32,
    dial: Dial,
    /// What is still to be sent, once we are connected.
    unsent: Vec<u8>,
    connected: bool,
    answer: Answer,
}

impl Fetch {
    /// Begins to ask.
    pub fn begin(
        network: &Network,
        get: &HttpGet,
        purpose: Purpose,
        watch: Watch<'_>,
    ) -> Result<Self, Verdict> {
        let url = Url::new(&network.host(get.host.as_deref()), get.port, &get.path);
        let (dial, unsent) = ask(network, &url, &get.headers, purpose, watch)?;
        Ok(Self {
            network: network.clone(),
            headers: get.headers.clone(),
            purpose,
            host: url.host.clone(),
            url,
            requests: 1,
            dial,
            unsent,
            connected: false,
            answer: Answer::default(),
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
            self.dial.finish().map_err(|words| failure(&self.url, &words))?;
            self.connected = true;
        }
        if !self.unsent.is_empty() {
            // One that answers without having heard us is listened to all the same.
            match self.dial.send(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(_) => self.unsent.clear(),
            }
            let change = watch.change(&self.dial, !self.unsent.is_empty());
            change.map_err(|error| Verdict::Error(error.to_string()))?;
        }
        let mut buffer = [0; 16 << 10];
        let whole = match self.dial.receive(&mut buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => self.answer.end().map(|()| true),
            Ok(Some(length)) => self.answer.take(&buffer[..length]),
            Err(words) if self.answer.has_head() => Err(Flaw::Body(words)),
            Err(words) => Err(Flaw::Head(words)),
        };
        match whole {
            Ok(false) => Ok(()),
            Ok(true) => self.conclude(watch),
            Err(Flaw::Head(words)) => Err(failure(&self.url, &words)),
            Err(Flaw::Body(words)) => Err(Verdict::Error(words)),
        }
    }

    /// The answer is whole: the verdict, unless it sends us on.
    fn conclude(&mut self, watch: Watch<'_>) -> Result<(), Verdict> {
        let status = self.answer.status();
        let next =
            self.answer.location().map(|location| (!location.contains("//"), self.url.follow(location)));
        // To another host, or by another protocol, nobody follows.
        if let Some((is_relative, Some(next))) = next
            && next.host == self.host
        {
            if self.requests >= MOST_REQUESTS {
                return Err(failure(&self.url, "stopped after 10 redirects"));
            }
            return self.follow(next, is_relative, watch);
        }
        Err(match status {
            _ if self.purpose == Purpose::Hook => Verdict::Success,
            200..300 => Verdict::Success,
            300..400 => {
                Verdict::Warning(format!("Probe terminated redirects, Response body: {}", self.answer.body()))
            }
            status => Verdict::Failure(format!("HTTP probe failed with statuscode: {status}")),
        })
    }

    /// A header Host of the user's counts for where a server sends us within itself, and no further.
    fn follow(&mut self, url: Url, is_relative: bool, watch: Watch<'_>) -> Result<(), Verdict> {
        if !is_relative {
            self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Host"));
        }
        watch.forget(&self.dial);
        (self.dial, self.unsent) = ask(&self.network, &url, &self.headers, self.purpose, watch)?;
        (self.url, self.connected, self.answer) = (url, false, Answer::default());
        self.requests += 1;
        Ok(())
    }

    /// The verdict when the time is over.
    pub fn time_out(&self) -> Verdict {
        const OVER: &str = "context deadline exceeded";
        if self.answer.has_head() {
            return Verdict::Error(format!(
                "{OVER} (Client.Timeout or context cancellation while reading body)"
            ));
        }
        failure(&self.url, &format!("{OVER} (Client.Timeout exceeded while awaiting headers)"))
    }

    /// Closes the connection.
    pub fn end(self, watch: Watch<'_>) {
        watch.forget(&self.dial);
    }
}

/// Begins to connect, and says what is to be sent then.
fn ask(
    network: &Network,
    url: &Url,
    headers: &[(String, String)],
    purpose: Purpose,
    watch: Watch<'_>,
) -> Result<(Dial, Vec<u8>), Verdict> {
    let request = http::request(url, headers, purpose).map_err(|words| failure(url, &words))?;
    let dial = network.dial(&url.host, url.port).map_err(|words| failure(url, &words))?;
    watch.writable(&dial).map_err(|error| Verdict::Error(error.to_string()))?;
    Ok((dial, request.into_bytes()))
}

fn failure(url: &Url, words: &str) -> Verdict {
    Verdict::Failure(format!("Get {}: {words}", words::quoted(url.to_string().as_bytes())))
}
