//! Word count by a pool of processes in two languages, one of which is killed with SIGKILL on the way.
//!
//! ```text
//!                 count: a range of a file         sum: all counts of a part
//! files, cut ===> Rust-1, Rust-2, .. and C ======> Rust-1, Rust-2, .. and C ===> sorted
//!     between words                     Pool::map_reduce
//! ```
//!
//! `cargo run --release --features process --example wordcount -- --help` says what it can do; `count.rs` is what the workers
//! do, `job.rs` the pool and the kill, and the rest is files, the C compiler, and what is printed.

mod args;
#[path = "../common/bar.rs"]
mod bar;
mod check;
mod compile;
mod count;
mod files;
mod job;
mod parent;
mod report;
mod scratch;
mod text;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use args::{Args, Command};
use files::{Found, Taste};
use parent::{Stop, Stopped};

const DIFFERENT: u8 = 1;
const FAILED: u8 = 2;

fn main() -> ExitCode {
    ringfence::process::init();
    let result = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            say(&mut io::stdout(), &format!("{}\n", args::HELP)).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Ok(Command::Count(args)) => run(args),
        Err(usage) => Err(usage.into()),
    };
    result.unwrap_or_else(|error| {
        if let Some(Stopped(signal)) = error.downcast_ref() {
            // Everything is tidied up: now end as the signal would have ended us.
            let _ = signal_hook::low_level::emulate_default_handler(*signal);
        }
        eprintln!("wordcount: {error}");
        ExitCode::from(FAILED)
    })
}

fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    // What runs left behind whose every process was killed. Nothing depends on it.
    let _ = ringfence::Segment::sweep();
    scratch::sweep();
    let mut found = find(&args);
    let total = found.sources.iter().map(|source| source.len).sum();
    let ranges = files::cut_all(&mut found, args.task_bytes.unwrap_or_else(|| job::task_bytes(total, args.workers)));
    report::skipped(&found);
    let mut stop = Stop::new()?;
    let outcome =
        if ranges.is_empty() { Default::default() } else { parent::run(&args, &found.sources, &ranges, &mut stop)? };
    stop.let_through();
    // One that came at the very end.
    stop.check()?;

    // With --all, stdout carries the words and nothing else.
    let mut out: Box<dyn Write> = if args.all { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    if args.all {
        report::all(&outcome.counts, &mut io::BufWriter::new(io::stdout().lock()))?;
    } else {
        say(&mut out, &report::top(&outcome.counts))?;
    }
    say(&mut out, &report::summary(&found.sources, &ranges, &outcome))?;
    for (file, errno) in &outcome.unread {
        let error = io::Error::from_raw_os_error(*errno);
        eprintln!("wordcount: {:?} could not be read to the end: {error}", found.sources[*file].path);
    }
    if !outcome.unread.is_empty() {
        return Err("files went away while they were counted".into());
    }
    if args.check {
        let start = Instant::now();
        let mut stopped = Ok(());
        let single = check::count(&found.sources, || {
            stopped = stop.check();
            stopped.is_ok()
        })?;
        stopped?;
        let differences = check::differences(&outcome.counts, single.unwrap_or_default());
        say(&mut out, &report::check(&differences, total, start.elapsed()))?;
        if !differences.is_empty() {
            return Ok(ExitCode::from(DIFFERENT));
        }
    }
    Ok(if found.named_skipped { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Prints. A reader that has had enough is no error.
fn say(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The files that were named, or this repository's.
fn find(args: &Args) -> Found {
    if !args.paths.is_empty() {
        return files::walk(&args.paths, Taste::Everything);
    }
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    files::walk(&[here], Taste::Repository)
}
