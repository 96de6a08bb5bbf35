//! What surrounds a job: signals that stop it, the worker in C, and the bar.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::Args;
use crate::bar::Bar;
use crate::compile;
use crate::files::{Range, Source};
use crate::job::{self, Guest, Job, Outcome};
use crate::scratch::TempDir;

/// The user, or the system, stopped us with this signal.
#[derive(Debug)]
pub struct Stopped(pub i32);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by signal {}", self.0)
    }
}

impl Error for Stopped {}

/// Signals that ask us to stop.
pub struct Stop {
    signals: Signals,
    /// Whether they may end us where we are.
    tidy: Arc<AtomicBool>,
}

impl Stop {
    /// Catches them: from here on they are seen at [`check`](Self::check) only.
    pub fn new() -> io::Result<Self> {
        const ALL: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];
        let tidy = Arc::new(AtomicBool::new(false));
        for signal in ALL {
            signal_hook::flag::register_conditional_default(signal, tidy.clone())?;
        }
        Ok(Self { signals: Signals::new(ALL)?, tidy })
    }

    /// Lets them through: there is nothing left to tidy up, and we may block for as long as our reader likes.
    pub fn let_through(&self) {
        self.tidy.store(true, Ordering::SeqCst);
    }

    /// Fails if one has come.
    pub fn check(&mut self) -> Result<(), Stopped> {
        self.signals.pending().next().map_or(Ok(()), |signal| Err(Stopped(signal)))
    }
}

/// Counts the ranges with several processes.
pub fn run(args: &Args, sources: &[Source], ranges: &[Range], stop: &mut Stop) -> Result<Outcome, Box<dyn Error>> {
    let c_worker = if args.c { build_c_worker() } else { None };
    stop.check()?; // the compiler may have been what was stopped
    let job = Job { sources, ranges, workers: args.workers, kill: args.kill };
    let total = ranges.iter().map(|range| range.to - range.from).sum();
    let (mut bar, start) = (Bar::new(), Instant::now());
    let mut stopped = Ok(());
    // Once it runs nobody needs the file any more: the folder goes when it has been started.
    let invite = |pool: &str| {
        let (_folder, program) = c_worker?;
        let started = Command::new(program).arg(pool).spawn();
        started.map(Guest).map_err(|e| eprintln!("wordcount: going on without a C worker: it does not start: {e}")).ok()
    };
    let outcome = job::run(job, invite, |done| {
        // Tasks are about equally long.
        let bytes = total as f64 * (done as f64 / ranges.len() as f64).min(1.0);
        bar.draw(bytes as u64, total, &format!("{:.0} MB/s", bytes / 1e6 / start.elapsed().as_secs_f64().max(1e-3)));
        stopped = stop.check();
        stopped.is_ok()
    });
    bar.clear();
    stopped?;
    outcome
}

/// The program, and the folder it lives in; or the reason why not, in one line on stderr.
fn build_c_worker() -> Option<(TempDir, std::path::PathBuf)> {
    let built = TempDir::new()
        .map_err(|e| format!("no temporary folder: {e}"))
        .and_then(|folder| compile::c_worker(&folder).map(|program| (folder, program)));
    built.map_err(|reason| eprintln!("wordcount: going on without a C worker: {reason}")).ok()
}
