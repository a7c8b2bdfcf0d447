//! Asking a pod for a page, and going where it sends us, as long as that is the same host.

use super::dial::Network;
use super::http::{self, Answer, Flaw};
use super::stream::Stream;
use super::url::{self, Url};
use super::watch::Watch;
use super::{Progress, Purpose, Verdict, tls, words};
use crate::model::probe::{HttpGet, Scheme};

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
    stream: Stream,
    answer: Answer,
    /// What to say of a success.
    remark: Option<String>,
}

impl Fetch {
    /// Begins to ask.
    pub fn begin(
        network: &Network,
        get: &HttpGet,
        purpose: Purpose,
        watch: Watch<'_>,
    ) -> Result<Self, Verdict> {
        let url = Url::new(get.scheme, &network.host(get.host.as_deref()), get.port, &get.path);
        let stream = ask(network, &url, &get.headers, purpose, watch)?;
        Ok(Self {
            network: network.clone(),
            headers: get.headers.clone(),
            purpose,
            host: url.host.clone(),
            url,
            requests: 1,
            stream,
            answer: Answer::default(),
            remark: None,
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
        let unwatched = |error: crate::error::Error| Verdict::Error(error.to_string());
        self.stream.connect().map_err(|words| failure(&self.url, &words))?;
        self.stream.send(watch).map_err(unwatched)?;
        let mut buffer = [0; 16 << 10];
        loop {
            let whole = match self.stream.receive(&mut buffer) {
                Ok(None) => Ok(false),
                Ok(Some(0)) => self.answer.end().map(|()| true),
                Ok(Some(length)) => self.answer.take(&buffer[..length]),
                Err(words) if self.answer.has_head() => Err(Flaw::Body(words)),
                Err(words) => Err(Flaw::Head(words)),
            };
            match whole {
                Ok(false) if self.stream.is_ready() => {}
                // What TLS has made of it may call for an answer.
                Ok(false) => return self.stream.send(watch).map_err(unwatched),
                Ok(true) => return self.conclude(watch),
                Err(Flaw::Head(words)) if words == tls::IN_THE_CLEAR && self.purpose == Purpose::Hook => {
                    return self.ask_in_the_clear(watch);
                }
                Err(Flaw::Head(words)) => return Err(failure(&self.url, &words)),
                Err(Flaw::Body(words)) => return Err(Verdict::Error(words)),
            }
        }
    }

    /// The answer is whole: the verdict, unless it sends us on.
    fn conclude(&mut self, watch: Watch<'_>) -> Result<(), Verdict> {
        let status = self.answer.status();
        let next =
            self.answer.location().map(|location| (!url::is_absolute(location), self.url.follow(location)));
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
            _ if self.purpose == Purpose::Hook => {
                self.remark.take().map_or(Verdict::Success, Verdict::Warning)
            }
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
        self.stream.forget(watch);
        self.stream = ask(&self.network, &url, &self.headers, self.purpose, watch)?;
        (self.url, self.answer) = (url, Answer::default());
        self.requests += 1;
        Ok(())
    }

    /// Hooks once were asked without TLS, whatever their scheme; servers that count on it are served still.
    fn ask_in_the_clear(&mut self, watch: Watch<'_>) -> Result<(), Verdict> {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Authorization"));
        self.remark = Some(format!(
            "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
            self.url.authority
        ));
        let url = Url { scheme: Scheme::Http, ..self.url.clone() };
        self.follow(url, true, watch)
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
        self.stream.forget(watch);
    }
}

/// Begins to connect, with the request to be sent then.
fn ask(
    network: &Network,
    url: &Url,
    headers: &[(String, String)],
    purpose: Purpose,
    watch: Watch<'_>,
) -> Result<Stream, Verdict> {
    let request = http::request(url, headers, purpose).map_err(|words| failure(url, &words))?;
    let stream = Stream::open(network, url, request).map_err(|words| failure(url, &words))?;
    stream.watch(watch).map_err(|error| Verdict::Error(error.to_string()))?;
    Ok(stream)
}

fn failure(url: &Url, words: &str) -> Verdict {
    Verdict::Failure(format!("Get {}: {words}", words::quoted(url.to_string().as_bytes())))
}
