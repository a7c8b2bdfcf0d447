//! As much of URLs (RFC 3986) as asking a pod for a page takes.

use super::dial::joined;
use crate::model::probe::Scheme;
use std::fmt;

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// Host and port as they are written.
    pub authority: String,
    /// Path and query, without anything that could end a line or a word; begins with `/`.
    pub target: String,
}

impl Url {
    /// The page `path` of a host.
    pub fn new(scheme: Scheme, host: &str, port: u16, path: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self { scheme, host: host.to_owned(), port, authority: joined(host, port), target: target(path) }
    }

    /// Where a server sends us, if that is by HTTP or HTTPS too.
    pub fn follow(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        let (scheme, absolute) = match scheme(location) {
            Some((name, rest)) => {
                let mut known = [Scheme::Http, Scheme::Https].into_iter();
                let scheme = known.find(|scheme| name.eq_ignore_ascii_case(word(*scheme)))?;
                (scheme, Some(rest.strip_prefix("//")?))
            }
            None => (self.scheme, location.strip_prefix("//")),
        };
        let Some(rest) = absolute else {
            return Some(Self { target: self.relative(location), ..self.clone() });
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
            _ => (authority, if scheme == Scheme::Http { 80 } else { 443 }),
        };
        let clean = !host.is_empty() && authority.bytes().all(|byte| byte.is_ascii_graphic());
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        clean.then(|| Self { scheme, host, port, authority: authority.to_owned(), target: target(path) })
    }

    /// A path or query that counts from ours.
    fn relative(&self, location: &str) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        if location.is_empty() {
            return self.target.clone();
        }
        if location.starts_with('?') {
            return target(&format!("{path}{location}"));
        }
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let whole =
            if location.starts_with('/') { location.to_owned() } else { format!("{directory}/{location}") };
        let (path, query) = whole.split_at(whole.find('?').unwrap_or(whole.len()));
        let mut parts: Vec<&str> = Vec::new();
        let last = path.rsplit('/').next().unwrap_or_default();
        for part in path.split('/').skip(1) {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        if matches!(last, "." | "..") {
            parts.push("");
        }
        target(&format!("/{}{query}", parts.join("/")))
    }
}

/// Whether a place that a server sends us to stands for itself, whoever says it.
pub fn is_absolute(location: &str) -> bool {
    scheme(location).is_some()
}

/// The scheme of a place, and what is behind it; a `:` behind a `/`, `?` or `#` is none of its.
fn scheme(location: &str) -> Option<(&str, &str)> {
    location.split_once(':').filter(|(scheme, _)| !scheme.contains(['/', '?', '#']))
}

fn word(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// Path and query with everything escaped that has no place in a request's first line.
fn target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut target = String::from(if path.starts_with('/') { "" } else { "/" });
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", word(self.scheme), self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_path_ends_the_line() {
        let table = [
            ("", "/"),
            ("healthz", "/healthz"),
            ("/a?b=c#d", "/a?b=c"),
            ("/a b\r\nHost: x", "/a%20b%0D%0AHost:%20x"),
            ("/é%20", "/%C3%A9%20"),
        ];
        for (path, wanted) in table {
            assert_eq!(Url::new(Scheme::Http, "h", 80, path).target, wanted, "{path:?}");
        }
        assert_eq!(Url::new(Scheme::Http, "::1", 8080, "/").to_string(), "http://[::1]:8080/");
    }

    #[test]
    fn servers_send_us_on() {
        let from = Url::new(Scheme::Http, "10.0.0.1", 8080, "/a/b?c");
        let table = [
            ("/x?y#z", "http://10.0.0.1:8080/x?y"),
            ("x", "http://10.0.0.1:8080/a/x"),
            ("../x/./y", "http://10.0.0.1:8080/x/y"),
            ("../../../..", "http://10.0.0.1:8080/"),
            ("?d", "http://10.0.0.1:8080/a/b?d"),
            ("a:b/c", ""),
            ("./a:b", "http://10.0.0.1:8080/a/a:b"),
            ("http://10.0.0.1/", "http://10.0.0.1/"),
            ("HTTP://other:81?q", "http://other:81/?q"),
            ("//u:p@[::1]:82/x", "http://[::1]:82/x"),
            ("Https://10.0.0.1/x", "https://10.0.0.1/x"),
            ("ftp://10.0.0.1/", ""),
            ("http:///x", ""),
            ("http://a b/", ""),
            ("http://a:0/", ""),
            ("http://a:99999/", ""),
        ];
        for (location, wanted) in table {
            let to = from.follow(location).map_or_else(String::new, |url| url.to_string());
            assert_eq!(to, wanted, "{location:?}");
        }
        assert_eq!(from.follow("//[::1]/").map(|url| (url.host, url.port)), Some(("::1".into(), 80)));
        let secret = Url::new(Scheme::Https, "::1", 8443, "/");
        for (location, port) in
            [("/x", 8443), ("//[::1]/", 443), ("https://[::1]", 443), ("http://[::1]", 80)]
        {
            assert_eq!(secret.follow(location).map(|url| url.port), Some(port), "{location}");
        }
        for (location, absolute) in [("/a//b", false), ("//a/b", false), ("/a:b", false), ("http://a", true)]
        {
            assert_eq!(is_absolute(location), absolute, "{location}");
        }
    }
}
