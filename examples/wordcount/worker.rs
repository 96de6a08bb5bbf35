//! A worker: takes tasks, counts, sends the counts, until there are no more tasks.
//!
//! `c_worker.c` is the same in C, without the ambush.

use std::error::Error;
use std::io;

use ringfence::{OutOfRange, PopError, SendError, TakeError};

use crate::files;
use crate::shared::{Holding, Shared, Task};
use crate::text::{Counter, Counts};
use crate::wire::{self, Part};

/// How a worker was started.
pub struct Worker {
    shared: Shared,
    number: u32,
    part_bytes: usize,
    twice: bool,
}

/// Works until the queue of tasks is shut down.
pub fn run(segment: &str, number: u32, part_bytes: usize, twice: bool) -> Result<(), Box<dyn Error>> {
    let shared = Shared::open(segment)?;
    let worker = Worker { shared, number, part_bytes, twice };
    let mut started = false;
    loop {
        let lease = match worker.shared.tasks.take() {
            Ok(lease) => lease,
            Err(TakeError::Closed) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let task = Task::read(&lease.read()?).ok_or("a message that is no task")?;
        worker.says(Holding::Task(task.id as usize))?;
        if !std::mem::replace(&mut started, true) {
            worker.await_start()?;
        }
        match worker.work(&task, lease.deliveries()) {
            Ok(()) => {}
            // All is counted: the task was delivered twice, and nobody waits for its result any more.
            Err(e) if matches!(e.downcast_ref(), Some(SendError::Closed)) => return Ok(()),
            Err(e) => return Err(e),
        }
        // Only now: the result is in the channel, whole. Killed before, the queue gives the task to another.
        lease.done()?;
        worker.shared.progress.fetch_add(task.to - task.from);
        worker.says(Holding::Nothing)?;
    }
}

impl Worker {
    /// Tells everybody what this worker is at.
    fn says(&self, holding: Holding) -> Result<(), OutOfRange> {
        self.shared.held.set(self.number as usize, holding.to_word())
    }

    /// Waits, with the first task in hand, until every worker has one: so all take part, however little there is to do.
    fn await_start(&self) -> Result<(), PopError> {
        match self.shared.gate.pop() {
            Ok(_) | Err(PopError::Closed) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn work(&self, task: &Task, deliveries: u32) -> Result<(), Box<dyn Error>> {
        if task.ambush != 0 && self.shared.victim.get().is_none() {
            self.wait_for_death(task)?;
        }
        let (counts, words, errno) = count(task, task.to);
        let stream = wire::encode(&counts);
        for _ in 0..if self.twice { 2 } else { 1 } {
            self.send(task, &stream, words, errno, deliveries)?;
        }
        Ok(())
    }

    /// Sends a result, or with `last` 0 an unfinished one.
    fn send(&self, task: &Task, stream: &[u8], words: u64, errno: u32, last: u32) -> Result<(), SendError> {
        let head = Part { task: task.id, words, worker: self.number, part: 0, last, errno };
        wire::send_parts(head, stream, self.part_bytes, |message| self.shared.counts.send(message))
    }

    /// Counts half of the task, sends what it has as an unfinished result, and goes no further: the parent kills us
    /// here, with the task in our hands and a torso of its result in the channel. If it kills another, who came here before
    /// and died by itself, we go on.
    fn wait_for_death(&self, task: &Task) -> Result<(), Box<dyn Error>> {
        let (counts, words, errno) = count(task, task.from + (task.to - task.from) / 2);
        self.says(Holding::Ambushed(task.id as usize))?;
        self.send(task, &wire::encode(&counts), words, errno, 0)?;
        while self.shared.victim.wait()? == u64::from(self.number) {
            std::thread::park();
        }
        Ok(())
    }
}

/// Counts the words of a task's file from its beginning to `to`; the counts, their sum, and errno or 0.
fn count(task: &Task, to: u64) -> (Counts, u64, u32) {
    let mut counter = Counter::new();
    let read =
        files::open(task.path()).and_then(|file| files::read_range(&file, task.from, to, |chunk| counter.add(chunk)));
    let (counts, words) = counter.finish();
    (counts, words, read.err().map_or(0, |e: io::Error| e.raw_os_error().unwrap_or(libc::EIO) as u32))
}
