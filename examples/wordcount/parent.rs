//! The parent: gives out tasks, takes in results, kills a worker on the way, and watches the rest.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringfence::{RecvError, Segment, WorkPushError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::Args;
use crate::compile;
use crate::crew::{self, Crew, Language};
use crate::files::Source;
use crate::ledger::{Arrival, Ledger, TaskId};
use crate::progress::Bar;
use crate::scratch::TempDir;
use crate::shared::{Holding, Shared, Task};
use crate::text::{self, Counts};
use crate::wire::{self, Part};

/// Numbers for workers that replace dead ones, should all have died.
const SPARE: usize = 8;
/// How long the race waits for a worker that does not come to the start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A range of one of the sources.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub file: usize,
    pub bytes: (u64, u64),
}

impl Range {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.bytes.1 - self.bytes.0
    }
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub counts: Counts,
    pub words: u64,
    /// From the start signal to the last result.
    pub elapsed: Duration,
    pub workers: Vec<Share>,
    pub kill: Option<Kill>,
    pub twice: u64,
    pub torsos: u64,
    pub again: u64,
    /// Files that could not be read to the end, and errno.
    pub unread: Vec<(usize, i32)>,
}

/// What one worker did.
pub struct Share {
    pub number: u32,
    pub language: Language,
    pub tasks: u64,
    pub bytes: u64,
}

/// The worker that was killed, and what it cost.
pub struct Kill {
    pub worker: u32,
    pub pid: u32,
    pub task: TaskId,
    /// Tasks done at that time.
    pub done: usize,
    at: Instant,
    /// Until the parent knew.
    pub noticed: Option<Duration>,
    /// Until the task was done by another, and by whom.
    pub redone: Option<(Duration, u32)>,
}

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

/// Removes the segment's name, whatever way we leave.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        // Gone already if we were the last to leave, as we should be.
        let _ = Segment::unlink(&self.0);
    }
}

/// Counts the ranges with several processes.
pub fn run(args: &Args, sources: &[Source], ranges: &[Range], stop: &mut Stop) -> Result<Outcome, Box<dyn Error>> {
    let c_worker = if args.c { build_c_worker() } else { None };
    stop.check()?; // the compiler may have been what was stopped
    // Dropped in reverse: first the workers, then our handles, then the name.
    let (name, shared) = create(args.workers + 1 + SPARE)?;
    let mut crew = Crew::new(&name.0, args.part_bytes, args.twice);
    // Once it runs nobody needs the file any more: the folder goes at the end of this block.
    if let Some((_folder, program)) = c_worker
        && let Err(e) = crew.start_c(program.as_os_str())
    {
        eprintln!("wordcount: going on without a C worker: it does not start: {e}");
    }
    for _ in 0..args.workers {
        crew.start_rust()?;
    }
    let now = Instant::now();
    let mut parent = Parent {
        ambush: args.kill.then_some(ranges.len() / 2),
        total: ranges.iter().map(Range::len).sum(),
        sources,
        ranges,
        shared,
        crew,
        ledger: Ledger::new(ranges.len()),
        outcome: Outcome::default(),
        created: now,
        started: None,
        bar: io::stderr().is_terminal().then(Bar::new),
    };
    while parent.ledger.left() > 0 {
        stop.check()?;
        parent.step()?;
    }
    parent.finish()
}

/// Makes the segment, named after this process.
fn create(workers: usize) -> Result<(Name, Shared), ringfence::Error> {
    let mut attempt = 0;
    loop {
        // The process id is ours alone, but not among containers that share /dev/shm.
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let name = Name(format!("wordcount-{}{suffix}", std::process::id()));
        match Shared::create(&name.0, workers) {
            Err(ringfence::Error::Exists) if attempt < 100 => {
                std::mem::forget(name); // somebody else's
                attempt += 1;
            }
            result => return result.map(|shared| (name, shared)),
        }
    }
}

/// The program, and the folder it lives in; or the reason why not, in one line on stderr.
fn build_c_worker() -> Option<(TempDir, std::path::PathBuf)> {
    let built = TempDir::new()
        .map_err(|e| format!("no temporary folder: {e}"))
        .and_then(|folder| compile::c_worker(&folder).map(|program| (folder, program)));
    built.map_err(|reason| eprintln!("wordcount: going on without a C worker: {reason}")).ok()
}

struct Parent<'a> {
    sources: &'a [Source],
    ranges: &'a [Range],
    total: u64,
    /// The task whose holder is killed.
    ambush: Option<TaskId>,
    shared: Shared,
    crew: Crew,
    ledger: Ledger,
    outcome: Outcome,
    created: Instant,
    /// When the gate was opened.
    started: Option<Instant>,
    bar: Option<Bar>,
}

impl Parent<'_> {
    /// One turn: give out, take in, look around.
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        self.give_out()?;
        match self.shared.counts.recv_timeout(Duration::from_millis(2)) {
            Ok(message) => self.take_in(&message)?,
            Err(RecvError::TimedOut | RecvError::Empty | RecvError::Interrupted) => {}
            Err(e) => return Err(e.into()),
        }
        if self.started.is_none() && self.everybody_is_ready() {
            self.shared.gate.shutdown()?;
            self.started = Some(Instant::now());
        }
        self.spring_the_ambush()?;
        self.bury()?;
        if let Some(bar) = &mut self.bar {
            bar.draw(self.shared.progress.get(), self.total);
        }
        Ok(())
    }

    /// Fills the queue of tasks.
    fn give_out(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(id) = self.ledger.next() {
            let range = self.ranges[id];
            let path = &self.sources[range.file].path;
            let task = Task::new(id, path, range.bytes, self.ambush == Some(id)).ok_or("a path too long")?;
            match self.shared.tasks.try_push(task.message()) {
                Ok(()) => self.ledger.given_out(),
                Err(WorkPushError::Full) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn take_in(&mut self, message: &[u8]) -> Result<(), Box<dyn Error>> {
        let (part, body) = Part::read(message).ok_or("a message too short to be a result")?;
        let arrival = self.ledger.arrived(&part, body);
        let arrival = arrival.map_err(|_| format!("worker {} sent something that is no result", part.worker))?;
        let Arrival::Whole(id, stream) = arrival else { return Ok(()) };
        for (word, times) in wire::decode(&stream).flatten() {
            text::count(&mut self.outcome.counts, word, times);
        }
        self.outcome.words += part.words;
        if part.errno != 0 {
            self.outcome.unread.push((self.ranges[id].file, part.errno as i32));
        }
        if let Some(worker) = self.crew.workers.get_mut(part.worker as usize) {
            worker.tasks += 1;
            worker.bytes += self.ranges[id].len();
        }
        if let Some(kill) = self.outcome.kill.as_mut().filter(|kill| kill.task == id) {
            kill.redone = Some((kill.at.elapsed(), part.worker));
        }
        Ok(())
    }

    /// Every living worker has a task in hand, or there are not that many; or somebody is too late.
    fn everybody_is_ready(&self) -> bool {
        let living = self.crew.living().count();
        let ready = self.crew.living().filter(|w| self.holding(w.number) != Holding::Nothing).count();
        ready >= living.min(self.ledger.left()) || self.created.elapsed() > PATIENCE
    }

    /// Kills the worker that stands in the middle of the chosen task, once half of all tasks are done.
    fn spring_the_ambush(&mut self) -> Result<(), Box<dyn Error>> {
        let Some(half) = self.ambush.filter(|_| self.outcome.kill.is_none()) else { return Ok(()) };
        let done = self.ranges.len() - self.ledger.left();
        // With nobody else alive nothing more gets done before.
        if done < half && self.crew.living().count() > 1 {
            return Ok(());
        }
        let victim = self.crew.living().map(|w| w.number).find(|n| matches!(self.holding(*n), Holding::Ambushed(_)));
        let Some(number) = victim else { return Ok(()) };
        let Some(task) = self.holding(number).task() else { return Ok(()) };
        // Whoever gets the task from now on does it.
        self.shared.victim.set(number.into()).map_err(|e| e.to_string())?;
        let worker = &mut self.crew.workers[number as usize];
        worker.kill()?;
        self.outcome.kill = Some(Kill {
            worker: number,
            pid: worker.pid(),
            task,
            done,
            at: Instant::now(),
            noticed: None,
            redone: None,
        });
        Ok(())
    }

    /// Finds the dead. What they had the queue gives to others.
    fn bury(&mut self) -> Result<(), Box<dyn Error>> {
        for (index, status) in self.crew.ended() {
            let number = self.crew.workers[index].number;
            let ours = self.outcome.kill.as_mut().filter(|kill| kill.worker == number);
            let expected = ours.map(|kill| kill.noticed = Some(kill.at.elapsed())).is_some();
            if !expected {
                self.lament(index, status);
            }
            // Others would notice in a moment: at once is better.
            self.shared.segment.recover()?;
        }
        // The worker in C hands on the task whose holder is to be killed, for as long as there is nobody to take it.
        let to_kill = self.ambush.is_some() && self.outcome.kill.is_none();
        let able = self.crew.living().any(|w| w.language == Language::Rust || !to_kill);
        if self.ledger.left() > 0 && !able {
            if self.crew.workers.len() >= self.shared.held.len() {
                return Err("too many workers died, and those who replaced them".into());
            }
            self.crew.start_rust()?;
        }
        Ok(())
    }

    /// Says that somebody died whom we had not killed.
    fn lament(&mut self, index: usize, status: ExitStatus) {
        let worker = &self.crew.workers[index];
        let how = crew::describe(status);
        if let Some(bar) = &mut self.bar {
            bar.clear();
        }
        match self.holding(worker.number).task() {
            _ if worker.language == Language::C && worker.tasks == 0 => {
                eprintln!("wordcount: going on without a C worker: it {how}");
            }
            Some(task) => eprintln!("wordcount: worker {} {how}, at task {task}", worker.number),
            None => eprintln!("wordcount: worker {} {how}", worker.number),
        }
    }

    fn holding(&self, worker: u32) -> Holding {
        self.shared.held.get(worker as usize).map_or(Holding::Nothing, Holding::from_word)
    }

    /// All is done: ends the race and sends everybody home.
    fn finish(mut self) -> Result<Outcome, Box<dyn Error>> {
        self.outcome.elapsed = self.started.unwrap_or(self.created).elapsed();
        if let Some(bar) = &mut self.bar {
            bar.clear();
        }
        self.shared.gate.shutdown()?;
        self.shared.tasks.shutdown()?;
        self.shared.counts.shutdown()?; // whoever still sends a result that nobody needs is told so
        self.crew.dismiss(Duration::from_secs(5));
        self.outcome.twice = self.ledger.twice;
        self.outcome.torsos = self.ledger.torsos();
        self.outcome.again = self.ledger.again;
        self.outcome.workers = (self.crew.workers.iter())
            .map(|w| Share { number: w.number, language: w.language, tasks: w.tasks, bytes: w.bytes })
            .collect();
        Ok(self.outcome)
    }
}
