//! What is no command line, help and version.

use super::*;

/// Command lines that are refused, and what is said of them.
const USAGE_ERRORS: &[(&str, &str)] = &[
    ("create", "the following required arguments were not provided: <ID>"),
    (
        "create a/b",
        "invalid value 'a/b' for '<ID>': invalid container id \"a/b\": character '/' is not allowed",
    ),
    ("create . ", "invalid value '.' for '<ID>': invalid container id \".\": it names a directory"),
    ("create a b", "unexpected argument 'b' found"),
    ("create --bundle", "flag needs an argument: --bundle"),
    (
        "create --preserve-fds x c1",
        "invalid value 'x' for '--preserve-fds <N>': invalid digit found in string",
    ),
    ("create --volume d:/d c1", "the following required arguments were not provided: --pod <POD>"),
    ("create --bundel /b c1", "unexpected argument '--bundel' found"),
    ("kill c1 NONSENSE", "invalid value 'NONSENSE' for '[SIGNAL]': unknown signal \"NONSENSE\""),
    ("delete", "the following required arguments were not provided: <ID>..."),
    ("exec", "the following required arguments were not provided: <ID> [WORD]..."),
    ("exec a/b true", "invalid container id \"a/b\": character '/' is not allowed"),
    (
        "exec --process p -e A=B c1",
        "the argument '--process <FILE>' cannot be used with '--env <NAME=VALUE>'",
    ),
    ("update --cpu-idle 2 c1", "invalid value '2' for '--cpu-idle <0|1>': 2 is not in 0..=1"),
    (
        "--log-format xml state c1",
        "invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json]",
    ),
    ("state --root /r c1", "unexpected argument '--root' found"),
    ("stat c1", "unrecognized subcommand 'stat'"),
    ("pod crate x", "unrecognized subcommand 'crate'"),
    ("pod create", "the following required arguments were not provided: <NAME>"),
    ("pod create Shop", "invalid value 'Shop' for '[NAME]': invalid name \"Shop\""),
    (
        "pod create shop --memory 1Mb",
        "invalid value '1Mb' for '--memory <QUANTITY>': invalid quantity \"1Mb\": unknown suffix \"Mb\"",
    ),
    (
        "pod create shop --network bridge",
        "invalid value 'bridge' for '--network <NETWORK>': unsupported network \"bridge\"",
    ),
    ("pod create shop --sysctl a", "invalid value 'a' for '--sysctl <NAME=VALUE>': \"a\" has no value"),
    ("pod delete", "the following required arguments were not provided: <POD>..."),
    ("pod create shop -f shop.yaml", "the argument '[NAME]' cannot be used with '--filename <FILE>'"),
    (
        "pod create -f shop.yaml --network host",
        "the argument '--filename <FILE>' cannot be used with '--network <NETWORK>'",
    ),
    ("pod run", "the following required arguments were not provided: --filename <FILE>"),
    ("pod run -d --rm -f a", "the argument '--detach' cannot be used with '--rm'"),
    ("pod delete shop --now --force", "the argument '--now' cannot be used with '--force'"),
    ("pod exec shop ls", "unexpected argument 'ls' found"),
    ("pod wait shop", "the following required arguments were not provided: --for <WHAT>"),
    (
        "pod wait shop --for=phase=Done",
        "invalid value 'phase=Done' for '--for <WHAT>': cannot wait for \"phase=Done\": there is no such phase",
    ),
    (
        "image import a.tar Web",
        "invalid value 'Web' for '[NAME]': invalid image name \"Web\": \
             it may have lower-case letters and digits, with . _ - between them",
    ),
    ("image remove", "the following required arguments were not provided: <IMAGE>..."),
];

#[test]
fn usage_errors() {
    for (line, want) in USAGE_ERRORS {
        let error = try_parse(line).expect_err(line);
        assert_eq!(error.to_string(), *want, "{line}");
        assert_eq!(error.kind(), Kind::Usage, "{line}");
        assert!(error.remedy().is_some(), "{line}");
    }
}

#[test]
fn usage_errors_have_the_remedy() {
    let remedies = [
        ("stat c1", "some similar subcommands exist: 'start', 'state'"),
        ("create a/b", "use letters, digits and the characters _ + - ."),
        ("create --nonsense c1", "usage: podrun create [OPTIONS] <ID>"),
        ("create --bundel /b c1", "a similar argument exists: '--bundle'"),
        (
            "exec",
            "usage: podrun exec [OPTIONS] <ID> <CMD>..., or podrun exec [OPTIONS] --process <FILE> <ID>",
        ),
    ];
    for (line, want) in remedies {
        assert_eq!(try_parse(line).unwrap_err().remedy(), Some(want), "{line}");
    }
}

#[test]
fn exec_needs_one_command() {
    for line in ["exec c1", "exec --process p c1 true"] {
        let Command::Exec(args) = command(line) else { panic!("{line}") };
        assert!(args.request().is_err(), "{line}");
    }
}

#[test]
fn every_command_explains_itself() {
    fn check(command: &clap::Command, name: &str) {
        assert!(command.get_about().is_some(), "{name} has no description");
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.starts_with("Example:\n  "), "{name} has no example");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            check(sub, &format!("{name} {}", sub.get_name()));
        }
    }
    let mut command = Cli::command();
    command.build();
    check(&command, "podrun");
    Cli::command().debug_assert();
}

#[test]
fn version_is_told_as_runc_tells_it() {
    for flag in ["--version", "-v"] {
        let shown = parse(words(flag), &argv::Glance::default()).unwrap_err();
        let want = format!("podrun version {}\nspec: {SPEC_VERSION}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(shown.to_string(), want);
        assert!(!shown.use_stderr());
    }
}

#[test]
fn words_that_are_not_utf8_are_refused_or_passed_on() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(b"/\xff".to_vec());
    let mut line = words("create --bundle");
    line.extend([odd(), "c1".into()]);
    let cli = parse(line, &argv::Glance::default()).unwrap();
    let Command::Create(args) = cli.command else { panic!() };
    assert_eq!(args.new.bundle.into_os_string(), odd());
    for line in [vec!["state".into(), odd()], vec!["exec".into(), odd()], vec![odd()]] {
        assert!(parse(line, &argv::Glance::default()).is_err());
    }
    let mut line = words("exec c1 cat");
    line.push(odd());
    let Command::Exec(args) = parse(line, &argv::Glance::default()).unwrap().command else { panic!() };
    assert!(args.request().unwrap_err().to_string().contains("is not UTF-8"));
}
