//! What `image import --change` says of a root file system's config: instructions as in a Dockerfile.

use crate::error::{Error, Result};
use crate::model::image::ImageConfig;
use std::str::FromStr;

/// One instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `CMD`.
    Cmd(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV NAME=VALUE`.
    Env(String),
    /// `EXPOSE PORT[/PROTOCOL]`.
    Expose(String),
    /// `LABEL NAME=VALUE`.
    Label(String, String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(String),
    /// `WORKDIR`.
    Workdir(String),
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::user(format!("invalid change {text:?}: {why}"))
                .hint("write it like 'CMD [\"/bin/sh\"]', 'ENV A=b' or 'WORKDIR /srv'")
        };
        let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let rest = rest.trim();
        if rest.is_empty() {
            return Err(refuse("it says nothing"));
        }
        let pair = || {
            rest.split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| refuse("there is no NAME="))
        };
        let path = || {
            if rest.starts_with('/') { Ok(rest.to_owned()) } else { Err(refuse("the path is not absolute")) }
        };
        Ok(match word.to_ascii_uppercase().as_str() {
            "CMD" => Self::Cmd(command(rest).ok_or_else(|| refuse("the list is no JSON"))?),
            "ENTRYPOINT" => Self::Entrypoint(command(rest).ok_or_else(|| refuse("the list is no JSON"))?),
            "ENV" => pair().map(|(name, value)| Self::Env(format!("{name}={value}")))?,
            "LABEL" => pair().map(|(name, value)| Self::Label(name.to_owned(), value.to_owned()))?,
            "EXPOSE" if rest.contains('/') => Self::Expose(rest.to_owned()),
            "EXPOSE" => Self::Expose(format!("{rest}/tcp")),
            "STOPSIGNAL" => Self::StopSignal(rest.to_owned()),
            "USER" => Self::User(rest.to_owned()),
            "VOLUME" => Self::Volume(path()?),
            "WORKDIR" => Self::Workdir(path()?),
            _ => return Err(refuse("the instruction is unknown")),
        })
    }
}

/// A list in JSON, or a line for the shell.
fn command(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    Some(["/bin/sh", "-c", text].map(str::to_owned).into())
}

impl Change {
    /// Does it.
    pub fn apply(&self, config: &mut ImageConfig) {
        match self.clone() {
            Self::Cmd(words) => config.cmd = words,
            Self::Entrypoint(words) => config.entrypoint = words,
            Self::Env(pair) => {
                let name = pair.split_inclusive('=').next().unwrap_or_default();
                config.env.retain(|other| !other.starts_with(name));
                config.env.push(pair);
            }
            Self::Expose(port) => drop(config.exposed_ports.insert(port)),
            Self::Label(name, value) => drop(config.labels.insert(name, value)),
            Self::StopSignal(signal) => config.stop_signal = signal,
            Self::User(user) => config.user = user,
            Self::Volume(path) => drop(config.volumes.insert(path)),
            Self::Workdir(path) => config.working_dir = path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut config = ImageConfig::default();
        for text in [
            "CMD [\"/bin/sh\", \"-c\", \"x\"]",
            "entrypoint run it",
            "ENV A=1",
            "ENV A=2 3",
            "EXPOSE 80",
            "EXPOSE 53/udp",
            "LABEL a=b=c",
            "STOPSIGNAL SIGINT",
            "USER 1:2",
            "VOLUME /data",
            "WORKDIR /srv",
        ] {
            text.parse::<Change>().unwrap().apply(&mut config);
        }
        assert_eq!(config.cmd, ["/bin/sh", "-c", "x"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "run it"]);
        assert_eq!((config.env, config.stop_signal.as_str()), (vec!["A=2 3".to_owned()], "SIGINT"));
        assert!(config.exposed_ports.iter().eq(["53/udp", "80/tcp"]));
        assert_eq!((config.labels["a"].as_str(), config.working_dir.as_str()), ("b=c", "/srv"));
        for bad in ["", "CMD", "CMD [x", "RUN true", "ENV A", "LABEL =b", "WORKDIR srv"] {
            assert!(bad.parse::<Change>().is_err(), "{bad}");
        }
    }
}
