//! `ps`

use super::Format;
use crate::cli::args::IdAndWords;
use crate::cli::{Globals, output};
use crate::container;
use crate::error::{Context, Error, Result};
use std::process::{Command, Stdio};

/// Show the processes of a container
///
/// The table is that of ps(1) on the host, without the lines of other processes; what follows ID is for ps(1).
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    override_usage = "podrun ps [OPTIONS] <ID> [PS-OPTION]...",
    after_help = "Example:\n  podrun ps web -o pid,rss,args\n  podrun ps --format json web"
)]
pub struct PsArgs {
    /// Form of the list; json is an array of pids
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// The container and the options.
    #[command(flatten)]
    pub target: IdAndWords,
}

impl PsArgs {
    /// Prints the list.
    ///
    /// # Errors
    /// Those of [`container::processes()`], when ps(1) fails, or when stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let pids = container::processes(&globals.host_of_existing()?, &self.target.id)?;
        if self.format == Format::Json {
            output::json_line(&pids)?;
            return Ok(0);
        }
        let mut ps = Command::new("ps");
        if self.target.words.is_empty() {
            ps.arg("-ef");
        }
        let ran = ps.args(&self.target.words).stdin(Stdio::null()).output().context(|| "cannot run ps");
        let ran = ran.map_err(|error| error.hint("install procps, or use --format json"))?;
        if !ran.status.success() {
            let complaint =
                String::from_utf8_lossy(&ran.stderr).lines().next().unwrap_or_default().to_owned();
            return Err(Error::user(format!("cannot run ps: {complaint} ({})", ran.status)));
        }
        output::print(&filter(&String::from_utf8_lossy(&ran.stdout), &pids)?)?;
        Ok(0)
    }
}

/// The header and the lines of those processes.
fn filter(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| {
        Error::user("cannot tell the processes apart: ps printed no PID column")
            .hint("add pid to the options")
    })?;
    let mut kept = format!("{header}\n");
    // ps repeats the header where it is asked to (--headers).
    for line in lines.filter(|line| !line.trim().is_empty() && *line != header) {
        let cell = line.split_whitespace().nth(column).unwrap_or_default();
        // A column before PID may hold blanks, as lstart always does: the cells cannot be counted then.
        let pid: i32 = cell.parse().map_err(|_| {
            Error::user(format!("cannot tell the processes apart: {cell:?} is no PID, in ps's line {line:?}"))
                .hint("put pid first among the columns, as in -o pid,args, and list no threads")
        })?;
        if pids.contains(&pid) {
            kept.extend([line, "\n"]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_processes_are_left_out() {
        let table =
            "UID          PID    PPID CMD\nroot           1       0 init\nroot          17       1 17 1\n\n";
        assert_eq!(
            filter(table, &[17]).unwrap(),
            "UID          PID    PPID CMD\nroot          17       1 17 1\n"
        );
        assert_eq!(filter(table, &[]).unwrap(), "UID          PID    PPID CMD\n");
        assert!(filter("USER CMD\nroot init\n", &[1]).is_err());
        assert!(filter("", &[1]).is_err());
    }

    #[test]
    fn blanks_before_the_pid_are_not_taken_for_another_process() {
        for (table, cell) in [
            ("                 STARTED     PID\nSat Nov 28 23:10:01 2026      17\n", "\"Nov\""),
            (
                "COMMAND             PID COMMAND\nsh                    1 sh\nmy prog              17 my prog\n",
                "\"prog\"",
            ),
            ("USER PID\nroot\n", "\"\""),
            ("    PID     TID\n     17       -\n      -      17\n", "\"-\""),
        ] {
            let error = filter(table, &[17]).unwrap_err();
            assert!(error.to_string().contains(&format!("{cell} is no PID, in ps's line ")), "{error}");
            assert!(error.remedy().unwrap().starts_with("put pid first"), "{error}");
        }
        let table = "    PID                  STARTED\n     17 Sat Nov 28 23:10:01 2026\n\n    PID                  STARTED\n";
        let want = "    PID                  STARTED\n     17 Sat Nov 28 23:10:01 2026\n";
        assert_eq!(filter(table, &[17]).unwrap(), want);
    }
}
