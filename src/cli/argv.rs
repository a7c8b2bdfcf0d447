//! The command line before clap sees it: a cheap glance at what is asked, and Go's single-dash long flags.
//!
//! Both are pure, and both give up at the first word they do not know: clap then says what is wrong with it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The globals that take a value: their next word is not the subcommand. A test compares them with clap's.
const VALUED_GLOBALS: [&[u8]; 6] =
    [b"root", b"data-root", b"log", b"log-format", b"log-level", b"cgroup-manager"];

/// What must be known before, or although, the command line cannot be parsed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The subcommand; empty where there is none.
    pub command: OsString,
    /// The subcommand's own subcommand, as `create` of `pod create`; empty where there is none.
    pub subcommand: OsString,
    /// A word behind the command makes `pod create` make what can see this process: `--share-pid`, or a manifest.
    pub shares_pid: bool,
    /// `--log`.
    pub log: Option<PathBuf>,
    /// Whether `--log-format` is json.
    pub log_json: bool,
}

impl Glance {
    /// Looks at the words after the program's name.
    pub fn at(words: &[OsString]) -> Self {
        let mut glance = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.as_bytes().strip_prefix(b"-") else {
                glance.command = word.clone();
                glance.shares_pid = words.clone().any(|word| may_share_pid(word.as_bytes()));
                glance.subcommand =
                    words.find(|w| !w.as_bytes().starts_with(b"-")).cloned().unwrap_or_default();
                break;
            };
            let (name, inline) = split_value(flag.strip_prefix(b"-").unwrap_or(flag));
            if !VALUED_GLOBALS.contains(&name) {
                continue;
            }
            let value = inline.map(OsStr::from_bytes).or_else(|| words.next().map(OsString::as_os_str));
            match (name, value) {
                (b"log", Some(path)) => glance.log = Some(PathBuf::from(path)),
                (b"log-format", Some(format)) => glance.log_json = format == "json",
                _ => {}
            }
        }
        glance
    }

    /// Whether processes of a container may come to see one of ours. The process that becomes a pod's pause is seen
    /// only in a PID namespace that it shares, as a manifest may want it.
    pub fn enters_container(&self) -> bool {
        match (self.command.as_bytes(), self.subcommand.as_bytes()) {
            (b"create" | b"run" | b"exec", _) | (b"pod", b"exec" | b"run" | b"apply") => true,
            (b"pod", b"create") => self.shares_pid,
            _ => false,
        }
    }
}

fn may_share_pid(word: &[u8]) -> bool {
    let flag = word.strip_prefix(b"-").map(|rest| rest.strip_prefix(b"-").unwrap_or(rest));
    // The other short flag of `pod create` takes a value, so that `f` begins its word.
    flag.is_some_and(|flag| flag == b"share-pid" || flag.starts_with(b"f"))
}

fn split_value(flag: &[u8]) -> (&[u8], Option<&[u8]>) {
    match flag.iter().position(|byte| *byte == b'=') {
        Some(at) => (&flag[..at], Some(&flag[at + 1..])),
        None => (flag, None),
    }
}

/// Ties the value of `--rootless` to it: runc's flag takes it as the next word, and podrun's may go without.
pub fn tie_rootless(mut words: Vec<OsString>) -> Vec<OsString> {
    let mut index = 0;
    while let Some(flag) = words.get(index).and_then(|word| word.as_bytes().strip_prefix(b"-")) {
        let (name, inline) = split_value(flag.strip_prefix(b"-").unwrap_or(flag));
        let value = words.get(index + 1).filter(|_| inline.is_none());
        match (name, value.and_then(|value| value.to_str())) {
            (b"rootless", Some(value @ ("true" | "false" | "auto"))) => {
                words[index] = format!("--rootless={value}").into();
                words.remove(index + 1);
                break;
            }
            (name, _) if inline.is_none() && VALUED_GLOBALS.contains(&name) => index += 2,
            _ => index += 1,
        }
    }
    words
}

/// Gives known long flags that were written with one dash (`-no-subreaper`, as Go programs may) their second one.
///
/// Only before the first positional argument of the subcommand, and never after `--`: what follows may be another
/// program's. `commands` is asked for, with the subcommand built, only where a word could be such a flag. `words` does
/// not hold the program's name.
pub fn lengthen_flags(mut words: Vec<OsString>, commands: impl FnOnce() -> clap::Command) -> Vec<OsString> {
    let candidate = |word: &OsString| matches!(word.as_bytes(), [b'-', first, _, ..] if *first != b'-');
    if !words.iter().take_while(|word| *word != "--").any(candidate) {
        return words;
    }
    let mut root = commands();
    let mut command = &mut root;
    let mut index = 0;
    while let Some(word) = words.get_mut(index) {
        index += 1;
        let bytes = word.as_bytes();
        if bytes == b"--" {
            break;
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            let Some(next) = word.to_str().and_then(|name| command.find_subcommand_mut(name)) else { break };
            // Built by itself, so that the arguments it defers are there.
            next.build();
            command = next;
            continue;
        }
        let Some(flag) = Flag::of(bytes, command) else { continue };
        if flag.lacks_dash {
            let mut longer = vec![b'-'];
            longer.extend_from_slice(bytes);
            *word = OsString::from_vec(longer);
        }
        if flag.takes_next {
            index += 1;
        }
    }
    words
}

/// What a word that begins with a dash is to a command.
struct Flag {
    lacks_dash: bool,
    takes_next: bool,
}

impl Flag {
    fn of(word: &[u8], command: &clap::Command) -> Option<Self> {
        let (name, inline) = split_value(word.strip_prefix(b"--").or_else(|| word.strip_prefix(b"-"))?);
        let long = command.get_arguments().find(|arg| {
            arg.get_long_and_visible_aliases().is_some_and(|all| all.iter().any(|l| l.as_bytes() == name))
        });
        if let Some(arg) = long.filter(|_| name.len() > 1) {
            let takes_next = inline.is_none() && wants_value(arg);
            return Some(Self { lacks_dash: !word.starts_with(b"--"), takes_next });
        }
        if word.starts_with(b"--") {
            return None;
        }
        // A cluster of short flags; the first that takes a value takes the rest of the word, or else the next word.
        let cluster = word.get(1..)?;
        let valued = cluster.iter().position(|letter| {
            let is = |arg: &&clap::Arg| arg.get_short() == Some(char::from(*letter));
            command.get_arguments().find(is).is_some_and(wants_value)
        })?;
        Some(Self { lacks_dash: false, takes_next: valued + 1 == cluster.len() })
    }
}

/// Whether the argument's value may be a word of its own.
fn wants_value(arg: &clap::Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn glance_finds_command_and_log() {
        let shim =
            Glance::at(&words("--root /r --log /b/log.json --log-format json --systemd-cgroup create x"));
        assert_eq!(shim.command, "create");
        assert_eq!(shim.log.as_deref(), Some("/b/log.json".as_ref()));
        assert!(shim.log_json && shim.enters_container());
        let pod = Glance::at(&words("--root=a -log=b --rootless pod create shop"));
        assert_eq!((pod.command.as_bytes(), pod.subcommand.as_bytes()), (&b"pod"[..], &b"create"[..]));
        assert_eq!(pod.log.as_deref(), Some("b".as_ref()));
        assert!(!pod.enters_container());
        for line in [
            "pod create shop --share-pid",
            "pod create -f x",
            "pod create -n a -fx",
            "pod create --filename=x",
            "pod run -f x",
            "pod apply -f x",
            "pod exec shop -- sh",
        ] {
            assert!(Glance::at(&words(line)).enters_container(), "{line}");
        }
        for line in ["pod delete -f x", "pod logs -f x", "pod list", "image import x"] {
            assert!(!Glance::at(&words(line)).enters_container(), "{line}");
        }
        assert!(!Glance::at(&words("--root create state x")).enters_container());
        assert_eq!(Glance::at(&words("--version")), Glance::default());
        assert_eq!(Glance::at(&words("--log")), Glance::default());
    }

    #[test]
    fn glance_knows_the_globals_that_take_values() {
        let valued: Vec<Vec<u8>> = Cli::command()
            .get_arguments()
            .filter(|arg| wants_value(arg))
            .filter_map(|arg| arg.get_long().map(|long| long.as_bytes().to_vec()))
            .collect();
        assert_eq!(valued, VALUED_GLOBALS.map(<[u8]>::to_vec));
    }

    #[test]
    fn single_dash_flags() {
        let table = [
            (
                "-root /r -log=/l restore -no-subreaper --bundle B id",
                "--root /r --log=/l restore --no-subreaper --bundle B id",
            ),
            ("create -bundle B -pid-file=/p id", "create --bundle B --pid-file=/p id"),
            ("create -b B -no-pivot id", "create -b B --no-pivot id"),
            ("create --bundle -no-pivot id", "create --bundle -no-pivot id"),
            ("exec -tty -cwd / id -tty -cwd", "exec --tty --cwd / id -tty -cwd"),
            ("exec -dt -p -tty id", "exec -dt -p -tty id"),
            ("exec -- -tty -tty", "exec -- -tty -tty"),
            ("ps -format json id -format -ef", "ps --format json id -format -ef"),
            ("kill -all id -all", "kill --all id -all"),
            ("pod create -share-pid shop", "pod create --share-pid shop"),
            ("-nonsense create -bogus -b B id", "-nonsense create -bogus -b B id"),
            ("nonsense -bundle", "nonsense -bundle"),
            ("", ""),
        ];
        for (line, want) in table {
            assert_eq!(lengthen_flags(words(line), Cli::command), words(want), "{line}");
        }
    }

    #[test]
    fn words_need_not_be_utf8() {
        let odd = OsString::from_vec(b"-\xff\xff".to_vec());
        let line = vec!["create".into(), odd.clone(), OsString::from_vec(b"\xff".to_vec())];
        assert_eq!(lengthen_flags(line.clone(), Cli::command), line);
        assert_eq!(Glance::at(&line[1..]).command, line[2]);
    }

    #[test]
    fn clap_is_not_built_without_need() {
        let never = || -> clap::Command { unreachable!("no word looks like a long flag with one dash") };
        for line in ["create --bundle B -b B id", "exec id -- sh -ec true", "kill id 9"] {
            assert_eq!(lengthen_flags(words(line), never), words(line));
        }
    }
}
