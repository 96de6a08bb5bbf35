//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What `--help` says.
pub const HELP: &str = "\
Counts the words of files with several processes in two languages over shared memory, kills one of them on the way,
and checks the result against a count by a single process.

usage: cargo run --release --features process --example wordcount [-- [OPTION]... [PATH]...]

PATH...          files and folders, of any size; default: this repository's own text. Symbolic links inside folders
                 are not followed.
--all            print every word and its count, separated by a tab, sorted bytewise, and nothing else on stdout
--workers N      Rust workers (default: one per processor, 2 to 8); a C worker joins them if there is a C compiler
--task-bytes N   cut files into tasks of about N bytes, the last ones smaller
--no-kill        kill nobody
--no-c           no C worker
--no-check       do not count again to compare

Exit status: 0 counted, and the check agrees; 1 the check differs; 2 something that was named could not be read, or the
count could not be done.";

/// What to do.
#[derive(Clone, Debug)]
pub struct Args {
    pub paths: Vec<PathBuf>,
    pub all: bool,
    pub workers: usize,
    pub task_bytes: Option<u64>,
    pub kill: bool,
    pub c: bool,
    pub check: bool,
}

/// A command.
#[derive(Debug)]
pub enum Command {
    Help,
    Count(Args),
}

/// Understands the command line without the program's name, or says what is wrong with it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let mut parsed = Args {
        paths: Vec::new(),
        all: false,
        workers: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8),
        task_bytes: None,
        kill: true,
        c: true,
        check: true,
    };
    while let Some(arg) = args.next() {
        let mut number = |least: u64, most: u64| {
            let value = args.next().and_then(|value| value.to_str()?.parse().ok());
            value.filter(|n| (least..=most).contains(n)).ok_or(format!("{} takes {least}..={most}", arg.display()))
        };
        match arg.as_bytes() {
            b"--all" => parsed.all = true,
            b"--workers" => parsed.workers = number(1, 64)? as usize,
            b"--task-bytes" => parsed.task_bytes = Some(number(1, u64::MAX)?),
            b"--no-kill" => parsed.kill = false,
            b"--no-c" => parsed.c = false,
            b"--no-check" => parsed.check = false,
            b"--help" | b"-h" => return Ok(Command::Help),
            b"--" => {
                parsed.paths.extend(args.by_ref().map(PathBuf::from));
            }
            other if other.starts_with(b"-") && other.len() > 1 => {
                return Err(format!("unknown option {}; --help lists them, and -- ends them", arg.display()));
            }
            _ => parsed.paths.push(arg.into()),
        }
    }
    Ok(Command::Count(parsed))
}
