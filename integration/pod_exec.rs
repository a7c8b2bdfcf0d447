//! `pod exec`: what passes between the caller and a command, and that nothing else does.

use crate::harness::command::{Cmd, Outcome, Running};
use crate::harness::console::Terminal;
use crate::harness::manifests::{shell_pod, until_stopped};
use crate::harness::runtime::{path_text, text};
use crate::harness::supervised::Supervised;
use crate::harness::{Case, Runtime, Test, case, eventually, proc, within};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

pub fn cases() -> Vec<Case> {
    vec![
        case!(what_stays_behind_has_nothing_of_the_callers_terminal),
        case!(the_callers_file_cannot_be_changed_or_read_back),
        case!(the_command_has_pipes_and_the_containers_null_device),
        case!(twenty_megabytes_pass_both_ways),
        case!(outputs_stay_apart_while_both_are_full),
        case!(input_ends_when_the_callers_does),
        case!(a_command_ends_although_input_does_not),
        case!(without_i_nothing_is_read),
        case!(what_the_command_wrote_is_passed_on_and_nothing_later),
        case!(a_closed_stdout_ends_the_stream_and_not_the_wait),
        case!(a_full_disk_is_told),
        case!(signals_reach_the_command),
        case!(a_signal_ends_what_nobody_reads),
        case!(exit_codes_are_the_commands),
        case!(the_streams_belong_to_the_containers_user),
        case!(a_terminal_without_input),
        case!(no_terminal_where_stdin_is_none),
        case!(pods_have_nothing_of_their_makers),
    ]
}

/// A pod that waits, with the directory `gate` of the test at /gate.
#[track_caller]
fn pod(t: &Test) -> Runtime {
    pod_of(t, None)
}

#[track_caller]
fn pod_of(t: &Test, user: Option<u32>) -> Runtime {
    let podrun = t.podrun_with_busybox();
    let mut pod = shell_pod("p", "Always", &[("app", &until_stopped(0))]);
    let gate = t.directory("gate");
    std::fs::set_permissions(&gate, PermissionsExt::from_mode(0o777)).expect("to open the gate");
    pod["spec"]["volumes"] = json!([{"name": "gate", "hostPath": {"path": gate}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "gate", "mountPath": "/gate"}]);
    if let Some(user) = user {
        pod["spec"]["securityContext"] = json!({"runAsUser": user});
    }
    podrun.run(&["pod", "run", "-d", "-f", &t.manifest(&pod)]).ok();
    podrun
}

/// `pod exec` of a shell script.
fn exec(podrun: &Runtime, flags: &[&str], script: &str) -> Cmd {
    podrun.cmd(&[&["pod", "exec"], flags, &["p", "--", "sh", "-c", script]].concat())
}

/// The same, with the command at the place of `"$@"` in a script of the host's.
fn exec_in(podrun: &Runtime, host: &str, flags: &[&str], script: &str) -> Cmd {
    exec(podrun, flags, script).under(["sh", "-c", host, "sh"])
}

#[track_caller]
fn content(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes of all kinds, which do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn what_stays_behind_has_nothing_of_the_callers_terminal(t: &Test) {
    let podrun = pod(t);
    let gate = path_text(&t.path("gate"));
    let thief = "(trap '' PIPE; until [ -e /gate/ended ]; do sleep 0.02; done
        for fd in 0 1 2; do head -c 6 <&$fd; done >/gate/stolen 2>/dev/null
        for fd in 0 1 2; do echo injected >&$fd; done 2>/dev/null
        ls -l /proc/self/fd >/gate/held; touch /gate/done) &
        echo command ends";
    let shell = format!(
        "\"$@\"; touch {gate}/ended; until [ -e {gate}/done ]; do sleep 0.02; done; read line; echo \"got $line.\""
    );
    for flags in [&[][..], &["-i"]] {
        let mut terminal = Terminal::new(24, 80);
        let typed = flags.is_empty();
        if typed {
            terminal.write("secret\n");
        }
        // With -i the command may have what is typed while it runs.
        let shell = if typed { shell.clone() } else { shell.replace("read line; ", "") };
        terminal.run_inside(exec_in(&podrun, &shell, flags, thief)).ok();
        let seen = terminal.read_until(if typed { "got secret." } else { "got ." });
        assert!(seen.contains("command ends") && !seen.contains("injected"), "{seen}");
        assert_eq!(content(&t.path("gate/stolen")), "");
        let held = content(&t.path("gate/held"));
        assert!(!held.contains("/dev/pts") && !held.contains("/dev/tty"), "{held}");
        for name in ["ended", "done"] {
            std::fs::remove_file(t.path("gate").join(name)).expect("to close the gate");
        }
    }
    podrun.remove_pod("p");
}

fn the_callers_file_cannot_be_changed_or_read_back(t: &Test) {
    let podrun = pod(t);
    let file = t.file("precious", "before\n");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("to protect the file");
    let before = std::fs::metadata(&file).expect("the file");
    let script =
        "chmod 4777 /proc/self/fd/1 /proc/self/fd/2; chown 7 /proc/self/fd/1; echo over 1<>/proc/self/fd/1
        cat <&1 2>/dev/null; echo said";
    let host = format!("\"$@\" >>{0} 2>>{0}", file.display());
    exec_in(&podrun, &host, &[], script).run().ok();
    assert_eq!(content(&file), "before\nover\nsaid\n");
    let after = std::fs::metadata(&file).expect("the file");
    assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
    podrun.remove_pod("p");
}

fn the_command_has_pipes_and_the_containers_null_device(t: &Test) {
    let podrun = pod(t);
    let show =
        "for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done; ls /proc/$$/fd; stat -Lc %d:%i /proc/$$/fd/0";
    let null = std::fs::metadata("/dev/null").expect("a null device");
    let words = exec(&podrun, &[], show).run().ok().stdout;
    let words: Vec<&str> = words.split_whitespace().collect();
    assert_eq!(words[0], "/dev/null");
    assert!(words[1..3].iter().all(|word| word.starts_with("pipe:[")), "{words:?}");
    // The shell has its script's descriptor nowhere: -c.
    assert_eq!(words[3..6], ["0", "1", "2"], "{words:?}");
    assert_ne!(words.last(), Some(&&*format!("{}:{}", null.dev(), null.ino())), "it is the host's");
    let words = exec(&podrun, &["-i"], show).run().ok().stdout;
    assert!(words.lines().take(3).all(|word| word.starts_with("pipe:[")), "{words:?}");

    // A container without one must not get the host's, least of all by a link to it.
    let spoil = "rm /dev/null; ln -s /proc/self/fd/0 /dev/null";
    exec(&podrun, &[], spoil).run().ok();
    let out = exec(&podrun, &[], "readlink /proc/$$/fd/0; cat").run().ok();
    assert!(out.stdout.starts_with("pipe:["), "{out:?}");
    podrun.remove_pod("p");
}

fn twenty_megabytes_pass_both_ways(t: &Test) {
    let podrun = pod(t);
    let bytes = noise(20 << 20);
    let (input, output) = (t.file("in", &bytes), t.path("out"));
    let (from, to) = (input.display(), output.display());
    let hosts = [
        format!("\"$@\" <{from} >{to}"),
        format!("cat {from} | \"$@\" | cat >{to}"),
        format!("cat {from} | \"$@\" >{to}"),
        format!("\"$@\" <{from} | cat >{to}"),
    ];
    for host in hosts {
        exec_in(&podrun, &host, &["-i"], "cat").run().ok().quietly();
        assert!(std::fs::read(&output).expect("the output") == bytes, "{host}: other bytes came out");
    }
    podrun.remove_pod("p");
}

fn outputs_stay_apart_while_both_are_full(t: &Test) {
    let podrun = pod(t);
    let bytes = noise(5 << 20);
    let (input, output, errors) = (t.file("in", &bytes), t.path("out"), t.path("err"));
    let host = format!("cat {} | \"$@\" 2>{} | cat >{}", input.display(), errors.display(), output.display());
    exec_in(&podrun, &host, &["-i"], "tee /dev/stderr").run().ok();
    for file in [&output, &errors] {
        assert!(std::fs::read(file).expect("the output") == bytes, "other bytes came out: {file:?}");
    }
    let out = exec(&podrun, &[], "echo one; echo two >&2").run().ok();
    assert_eq!((&*out.stdout, &*out.stderr), ("one\n", "two\n"));
    // One pipe for both, which is full most of the time.
    let host = format!("\"$@\" 2>&1 <{} | tail -c 1000000000 | wc -c", input.display());
    let out = exec_in(&podrun, &host, &["-i"], "tee /dev/stderr").run().ok();
    assert_eq!(out.stdout.trim(), (2 * bytes.len()).to_string());
    podrun.remove_pod("p");
}

fn input_ends_when_the_callers_does(t: &Test) {
    let podrun = pod(t);
    let out = exec(&podrun, &["-i"], "cat; echo over").input("some\0input\n").run().ok();
    assert_eq!(out.stdout, "some\0input\nover\n");
    // The harness gives /dev/null.
    assert_eq!(exec(&podrun, &["-i"], "cat; echo over").run().ok().stdout, "over\n");
    let out = exec_in(&podrun, "\"$@\" </", &["-i"], "cat; echo over").run().exits(1);
    assert_eq!(out.stdout, "over\n");
    out.says(&["cannot read stdin: is a directory"]);
    podrun.remove_pod("p");
}

/// A FIFO that this process holds open at both ends.
#[track_caller]
fn fifo(t: &Test, name: &str) -> (std::fs::File, String) {
    let path = t.path(name);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("to make a FIFO");
    let flags = OFlag::O_NONBLOCK.bits();
    let file = std::fs::File::options().read(true).write(true).custom_flags(flags).open(&path);
    (file.expect("to open the FIFO"), path_text(&path))
}

fn a_command_ends_although_input_does_not(t: &Test) {
    let podrun = pod(t);
    let (mut input, path) = fifo(t, "never-ends");
    input.write_all(b"first\nsecond\n").expect("room in the FIFO");
    let host = format!("\"$@\" <{path}");
    let out = exec_in(&podrun, &host, &["-i"], "read line; echo $line; exit 5").run().exits(5);
    assert_eq!(out.stdout, "first\n");
    let out = exec_in(&podrun, "cat /dev/zero | \"$@\"", &["-i"], "head -c 3 | wc -c").run().ok();
    assert_eq!(out.stdout.trim(), "3");
    // It goes on although its input is closed.
    let out = exec(&podrun, &["-i"], "exec <&-; sleep 0.2; echo on").input(noise(1 << 20)).run().ok();
    assert_eq!(out.stdout, "on\n");
    podrun.remove_pod("p");
}

fn without_i_nothing_is_read(t: &Test) {
    let podrun = pod(t);
    let host = "printf 'mine\\n' | { \"$@\"; cat; }";
    let out = exec_in(&podrun, host, &[], "cat; echo over").run().ok();
    assert_eq!(out.stdout, "over\nmine\n");
    podrun.remove_pod("p");
}

fn what_the_command_wrote_is_passed_on_and_nothing_later(t: &Test) {
    let podrun = pod(t);
    // As much as its pipe takes, so that some of it is there when the command has ended.
    for _ in 0..20 {
        let out = exec(&podrun, &[], "head -c 65536 /dev/zero; exit 3").run().exits(3);
        assert_eq!(out.stdout.len(), 65536);
    }
    let script = "(trap 'touch /gate/told' PIPE; until [ -e /gate/told ]; do echo late; sleep 0.02; done) &
        echo now; exit 4";
    let out = exec(&podrun, &[], script).run().exits(4);
    assert!(out.stdout.contains("now\n"), "{out:?}");
    eventually("what stays behind learns that nobody listens", || t.path("gate/told").exists().then_some(()));
    // One that writes as fast as it can.
    let out = exec(&podrun, &[], "yes & echo now; exit 4").run().exits(4);
    assert!(out.stdout.contains("now\n"), "{} bytes", out.stdout.len());
    podrun.remove_pod("p");
}

fn a_closed_stdout_ends_the_stream_and_not_the_wait(t: &Test) {
    let podrun = pod(t);
    let out = exec_in(&podrun, "\"$@\" | head -n 1", &[], "yes").run().ok();
    assert_eq!((&*out.stdout, &*out.stderr), ("y\n", "command terminated with exit code 141\n"));
    let code = t.path("code");
    let host = format!("{{ \"$@\"; echo $? >{}; }} | head -n 1", code.display());
    let script = "trap '' PIPE; echo one; while echo more 2>/dev/null; do sleep 0.02; done
        sleep 0.2; echo still heard >&2; exit 7";
    let out = exec_in(&podrun, &host, &[], script).run().ok().says(&["still heard\n"]);
    assert_eq!((&*out.stdout, &*content(&code)), ("one\n", "7\n"));
    podrun.remove_pod("p");
}

fn a_full_disk_is_told(t: &Test) {
    let podrun = pod(t);
    let script = "echo one; echo two >&2; touch /gate/here";
    exec_in(&podrun, "\"$@\" >/dev/full", &[], script)
        .run()
        .exits(1)
        .says(&["two\n", "cannot write stdout: no space left on device"]);
    assert!(t.path("gate/here").exists());
    podrun.remove_pod("p");
}

fn signals_reach_the_command(t: &Test) {
    let podrun = pod(t);
    for (signal, name, code) in [(Signal::SIGINT, "INT", 9), (Signal::SIGTERM, "TERM", 10)] {
        let script = format!("trap 'exit {code}' {name}; echo up; while :; do sleep 0.05; done");
        let running = exec(&podrun, &[], &script).spawn();
        eventually("the command runs", || running.stdout().contains("up").then_some(()));
        running.signal(signal);
        running.finish().exits(code);
    }
    podrun.remove_pod("p");
}

fn a_signal_ends_what_nobody_reads(t: &Test) {
    let podrun = pod(t);
    let (mut full, path) = fifo(t, "full");
    while full.write(&[b'x'; 4096]).is_ok() {}
    // Several writers to one full pipe: none of them may wait in a write.
    let host = format!("exec \"$@\" >{path} 2>{path}");
    let script = "touch /gate/runs; echo unread; echo unread >&2; exit 3";
    let running = exec_in(&podrun, &host, &[], script).spawn();
    eventually("the command runs", || t.path("gate/runs").exists().then_some(()));
    until_ended(&running);
    assert_ne!(running.finish().code(), 0);

    // While the command runs, the signal is the command's, whatever is full.
    let script = "trap 'touch /gate/trapped; exit 9' INT; touch /gate/again; echo unread; while :; do sleep 0.05; done";
    let running = exec_in(&podrun, &format!("exec \"$@\" >{path}"), &[], script).spawn();
    eventually("the command runs", || t.path("gate/again").exists().then_some(()));
    running.signal(Signal::SIGINT);
    eventually("its trap was taken", || t.path("gate/trapped").exists().then_some(()));
    until_ended(&running);
    running.finish().exits(9);
    podrun.remove_pod("p");
}

/// Interrupts a command again and again, as people do: once more when it has had time to heed the one before, whose
/// effect another might overtake.
#[track_caller]
fn until_ended(running: &Running) {
    eventually("it ends", || {
        running.signal(Signal::SIGINT);
        within(1, || (!proc::lives(running.pid())).then_some(()))
    });
}

fn exit_codes_are_the_commands(t: &Test) {
    let podrun = pod(t);
    let code =
        |words: &[&str]| -> Outcome { podrun.run(&[&["pod", "exec", "-i", "p", "--"], words].concat()) };
    for expected in [0, 1, 42, 255] {
        code(&["sh", "-c", &format!("exit {expected}")]).exits(expected);
    }
    code(&["sh", "-c", "kill -15 $$"]).exits(143);
    code(&["sh", "-c", "kill -9 $$"]).exits(137);
    code(&["/etc/passwd"]).exits(126).says(&["permission denied"]);
    code(&["no-such-program"]).exits(127).says(&["executable file not found in $PATH"]);
    podrun.remove_pod("p");
}

fn the_streams_belong_to_the_containers_user(t: &Test) {
    let podrun = pod_of(t, Some(1234));
    let script =
        "id -u; stat -Lc %u /dev/stdin /dev/stdout /dev/stderr; echo out >/dev/stdout; echo err >/dev/stderr
        cat /dev/stdin";
    let out = exec(&podrun, &["-i"], script).input("in\n").run().ok();
    assert_eq!(out.stdout, "1234\n1234\n1234\n1234\nout\nin\n");
    assert_eq!(out.stderr, "err\n");
    podrun.remove_pod("p");
}

fn a_terminal_without_input(t: &Test) {
    let podrun = pod(t);
    let mut terminal = Terminal::new(33, 77);
    // Not for the command: the shell that ran it reads it.
    terminal.write("typed\n");
    let host = "stty -echo; before=$(stty -g); \"$@\"; [ \"$(stty -g)\" = \"$before\" ] && echo as before; read l; echo got $l.";
    let script = "tty; stty size; printf 'one\\ntwo\\n'";
    terminal.run_inside(exec_in(&podrun, host, &["-t"], script)).ok();
    let seen = terminal.read_until("got typed.");
    assert!(seen.contains("/dev/pts/0\r\n33 77\r\none\r\ntwo\r\nas before\r\n"), "{seen:?}");
    assert!(!seen.contains("\r\r"), "{seen:?}");
    podrun.remove_pod("p");
}

fn no_terminal_where_stdin_is_none(t: &Test) {
    let podrun = pod(t);
    let message = "Unable to use a TTY - input is not a terminal or the right kind of file\n";
    for flags in ["-t", "-it"] {
        let out = exec(&podrun, &[flags], "tty; cat; echo $TERM.").input("in\n").run().ok();
        let read = if flags == "-it" { "in\n" } else { "" };
        assert_eq!(out.stdout, format!("not a tty\n{read}.\n"));
        assert_eq!(out.stderr, message);
    }
    podrun.remove_pod("p");
}

fn pods_have_nothing_of_their_makers(t: &Test) {
    let podrun = t.podrun_with_busybox();
    let file = t.manifest(&shell_pod("p", "Always", &[("app", &until_stopped(0))]));
    let precious = t.file("precious", "");
    // Every number that a descriptor of the caller's could have; the streams are a terminal.
    let host = format!("exec 3<>{0} 4<>{0} 5<>{0} 8<>{0}; \"$@\"", precious.display());
    let ways: [&[&[&str]]; 3] = [
        &[&["pod", "run", "-d", "-f", &file]],
        &[&["pod", "create", "-f", &file], &["pod", "start", "p"]],
        &[&["pod", "run", "-f", &file]],
    ];
    for commands in ways {
        let attached = commands[0] == ["pod", "run", "-f", &*file];
        let check = || {
            let pod = Supervised::of(&podrun, "p");
            let id = eventually("the app runs", || {
                let status = &podrun.object("p")["status"]["containerStatuses"][0];
                status["state"]["running"].is_object().then(|| text(&status["containerID"]))
            });
            let id = id.rsplit('/').next().unwrap_or_default();
            let app = podrun.pid(id);
            for pid in [app, pod.pause(), pod.supervisor(), pod.keeper()] {
                let held = descriptors(pid);
                let callers = |path: &&String| path.contains("precious") || path.contains("/dev/pts");
                assert_eq!(held.iter().find(callers), None, "{pid}: {held:?}");
            }
            let held = descriptors(app);
            assert_eq!(held.len(), 3, "{held:?}");
            assert_eq!(held[0], "/dev/null");
            assert!(held[1].ends_with("/app.0.out") && held[2].ends_with("/app.0.err"), "{held:?}");
            let null = std::fs::metadata(format!("/proc/{app}/fd/0")).expect("its stdin");
            let hosts = std::fs::metadata("/dev/null").expect("a null device");
            assert_ne!((null.dev(), null.ino()), (hosts.dev(), hosts.ino()), "it is the host's");
        };
        for command in commands {
            let mut terminal = Terminal::new(24, 80);
            let command = podrun.cmd(command).under(["sh", "-c", &host, "sh"]);
            if attached {
                std::thread::scope(|scope| {
                    let run = scope.spawn(move || terminal.run_inside(command));
                    eventually("the pod is there", || podrun.pod_names().contains(&"p".into()).then_some(()));
                    check();
                    podrun.run(&["pod", "delete", "p"]).ok();
                    drop(run.join().expect("the run ends"));
                });
            } else {
                terminal.run_inside(command).ok();
            }
        }
        if !attached {
            check();
            podrun.remove_pod("p");
        }
    }
}

/// What the descriptors of a process lead to, by number.
#[track_caller]
fn descriptors(pid: i32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a living process");
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let target = |number| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
    numbers.into_iter().map(|number| path_text(&target(number))).collect()
}
