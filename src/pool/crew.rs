//! The minder: the thread of a pool that starts its workers, notices their ends, and replaces them.
//!
//! It sleeps on their sentinels and on a descriptor of its own, `control`. A worker that has ended is reaped, what it had is
//! given back to the queue, its end is noted in the books, and the collector gets a knock behind all that the worker had
//! sent. Workers are children of this thread, which lives as long as they do.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::books::{Books, Phase};
use super::child::{self, Initializer};
use super::errors::Broken;
use super::events;
use crate::process::{Process, ProcessError, outlive, parent_process};
use crate::segment::Segment;
use crate::sys::bridge;
use crate::sys::nap::Deadline;

/// How long workers have to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// A worker could not be started, and others are there: when it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What each worker is started with.
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) name: String,
    pub(super) most: Option<u64>,
    pub(super) initializer: Option<Initializer>,
    pub(super) segment_name: Option<String>,
}

/// A worker that runs.
struct Worker {
    number: u32,
    process: Process<()>,
}

/// The minder's own.
pub(super) struct Crew {
    books: Arc<Books>,
    plan: Plan,
    workers: Vec<Worker>,
    /// How many have been started.
    started: u64,
}

/// What a worker's process runs. The segment comes as a descriptor that it inherits; its name, if it has one, is known by the parent
/// alone otherwise, and whoever sees the end of that takes it away.
fn work(fd: i32, name: Option<String>, number: u32, most: Option<u64>, initializer: Option<Initializer>) {
    // SAFETY: it was passed on to this process, which nothing else in it knows.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let kept = fd.try_clone().ok().map(Arc::new);
    let nameless = move || {
        if let (Some(name), Some(fd)) = (&name, &kept) {
            let _ = Segment::unlink_if(name, fd);
        }
    };
    let last_will = nameless.clone();
    // Who cannot serve ends; the pool sees that.
    let served = outlive(last_will).and_then(|()| Segment::from_fd(fd));
    let served = served.and_then(|segment| child::serve(segment, number, most, initializer));
    if parent_process().is_some_and(|parent| !parent.is_alive()) {
        nameless();
    }
    if served.is_err() {
        std::process::exit(1);
    }
}

crate::register!(work as "ringfence.pool.work");

impl Crew {
    pub(super) fn new(books: Arc<Books>, plan: Plan) -> Self {
        Self { books, plan, workers: Vec::new(), started: 0 }
    }

    /// Minds the workers until the pool is over; `first` is told how the first start went.
    pub(super) fn mind(mut self, first: &mpsc::Sender<Result<(), ProcessError>>) {
        let staffed = self.staff(self.plan.workers);
        let failed = staffed.is_err();
        let _ = first.send(staffed);
        if failed {
            self.books.end(&mut self.books.entries(), Phase::Terminated);
        }
        while !self.books.entries().phase.is_final() && self.wait_and_replace() {}
        if self.books.entries().phase.is_final() {
            // The callers are answered before the workers have ended.
            self.books.knock(0);
            self.end();
        }
        let turn = {
            let mut entries = self.books.entries();
            entries.crew_gone = true;
            entries.last_turn()
        };
        self.books.knock(turn);
    }

    /// Sleeps until something happens. Whether there is something left to mind.
    fn wait_and_replace(&mut self) -> bool {
        let wanted = self.wanted();
        let missing = self.workers.len() < wanted;
        if self.workers.is_empty() && wanted == 0 && self.books.entries().phase == Phase::Closed {
            return false;
        }
        let deadline = if missing { Deadline::after(TRY_AGAIN) } else { Deadline::Forever };
        self.sleep(deadline);
        self.books.control.lower();
        self.reap();
        let wanted = self.wanted();
        if let Err(error) = self.staff(wanted)
            && self.workers.is_empty()
        {
            let broken = Broken::Start { reason: error.to_string() };
            self.books.give_up(&mut self.books.entries(), broken);
        }
        true
    }

    /// How many workers there should be.
    fn wanted(&self) -> usize {
        let entries = self.books.entries();
        match entries.phase {
            Phase::Open => self.plan.workers,
            // Those that are there end when all is done; another is needed only for what nobody may be left to do.
            Phase::Closed if entries.outstanding() > 0 => {
                let work = entries.has_unsent() || self.books.tasks.try_join().is_err();
                if work { self.plan.workers.min(entries.outstanding()) } else { 0 }
            }
            _ => 0,
        }
    }

    fn sleep(&self, deadline: Deadline) {
        let sentinels = self.workers.iter().filter_map(|worker| worker.process.sentinel().ok());
        let all: Vec<_> = sentinels.chain([self.books.control.as_fd()]).collect();
        let _ = bridge::any_readable(&all, deadline);
    }

    /// Takes up those that have ended.
    fn reap(&mut self) {
        let mut dead = Vec::new();
        self.workers.retain_mut(|worker| match worker.process.exit_code() {
            Ok(None) => true,
            Ok(Some(code)) => {
                dead.push((worker.number, code));
                false
            }
            Err(_) => {
                dead.push((worker.number, 0));
                false
            }
        });
        if dead.is_empty() {
            return;
        }
        let turn = {
            let mut entries = self.books.entries();
            let turns = dead.into_iter().map(|(number, code)| {
                let signal = (code < 0).then(|| code.wrapping_neg());
                entries.died(number, signal, code == 0)
            });
            turns.max().unwrap_or(0)
        };
        // What they had is given back now, not when somebody misses it.
        let _ = self.books.segment.recover();
        self.books.knock(turn);
    }

    /// Starts workers until there are so many.
    fn staff(&mut self, wanted: usize) -> Result<(), ProcessError> {
        if self.workers.len() >= wanted {
            return Ok(());
        }
        while self.workers.len() < wanted {
            let number = self.books.table.number_worker();
            let name = format!("{}-{}", self.plan.name, self.started + 1);
            self.books.entries().hire(number, name.clone());
            match self.start(number, name) {
                Ok(process) => {
                    self.started += 1;
                    if self.started > self.plan.workers as u64 {
                        events::replaces(process.name());
                    }
                    self.books.entries().counts.started(number, process.pid());
                    self.workers.push(Worker { number, process });
                }
                Err(error) => {
                    self.books.entries().dismiss(number);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn start(&self, number: u32, name: String) -> Result<Process<()>, ProcessError> {
        let fd = self.books.segment.try_clone_fd()?;
        let Plan { most, initializer, segment_name, .. } = &self.plan;
        let arguments = (fd.as_raw_fd(), segment_name.clone(), number, *most, initializer.clone());
        let mut process = Process::new(work, arguments)?;
        process.set_name(name)?.set_daemon(true)?.set_worker()?.pass_descriptor(fd)?;
        process.start()?;
        Ok(process)
    }

    /// Ends all workers: SIGTERM, and SIGKILL to those that have not ended then.
    fn end(&mut self) {
        for worker in &self.workers {
            let _ = worker.process.terminate();
        }
        let deadline = Deadline::after(GRACE);
        while !self.workers.is_empty() {
            let before = self.workers.len();
            let sentinels: Vec<_> = self.workers.iter().filter_map(|worker| worker.process.sentinel().ok()).collect();
            let ready = bridge::any_readable(&sentinels, deadline).unwrap_or(false);
            drop(sentinels);
            if !ready {
                break;
            }
            self.reap();
            if self.workers.len() == before {
                break; // a sentinel that is readable, and no end: not to be waited for
            }
        }
        for worker in &mut self.workers {
            let _ = worker.process.kill();
            let _ = worker.process.join(); // a process that was killed ends
        }
        self.reap();
    }
}

impl From<ProcessError> for super::errors::PoolError {
    fn from(error: ProcessError) -> Self {
        Self::Start { reason: error.to_string() }
    }
}
