//! The worker's side: takes tasks, has them run, sends what became of them. It knows bytes only; what they mean is up to who
//! runs them, a function of this program or a handler of another.
//!
//! ```text
//!   lease the message -> begin (a word of the table) -> run -> send the result -> done
//! ```
//!
//! A death
//! - after the lease gives the message back, and the task is run by another; it does not count;
//! - after the beginning counts as an attempt; the message comes back, and the pool judges;
//! - after the sending leaves a message that is delivered again: the task is answered then, and not begun, or the pool has not
//!   seen the answer yet, and gets a second one, which it passes over.

use super::table::{Begin, RESULTS, TASKS, Table};
use super::wire::{Elsewhere, Outcome, ResultHead, ResultKind, Task, TaskKind, push_outcome, take_part, write_part};
use crate::error::Error;
use crate::queue::{Channel, SendError, TakeError, WorkQueue};
use crate::segment::Segment;
use crate::sync::{WaitAny, WaitError};
use crate::sys::loan::Borrowed;
use crate::sys::log::{self, LogLevel};
use crate::sys::nap::Deadline;

/// Memory of the pool's that a worker keeps mapped.
const KEPT: usize = 4;

/// A worker's place at a pool.
#[derive(Debug)]
pub struct Desk {
    segment: Segment,
    tasks: WorkQueue,
    results: Channel,
    table: Table,
    number: u32,
}

/// Why a worker has stopped serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The pool is closed and all of its tasks are done, or it has been terminated.
    Closed,
    /// The pool's process is gone.
    ParentGone,
    /// It has run as many tasks as it was to.
    Enough,
    /// The time is up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// What becomes of a task: the runner appends to the payload and says the outcome.
#[derive(Debug)]
pub struct Reply {
    message: Vec<u8>,
    outcome: Outcome,
}

impl Reply {
    fn new(head: &ResultHead, mut message: Vec<u8>) -> Self {
        head.write(&mut message);
        Self { message, outcome: head.outcome }
    }

    /// Forgets what was appended, and makes the payload this.
    pub fn set(&mut self, outcome: Outcome, payload: &[u8]) {
        self.message.truncate(ResultHead::bytes());
        self.message.extend_from_slice(payload);
        self.outcome = outcome;
    }

    /// What becomes of a task whose function is `call`: it is given an argument, encoded or of bytes, and appends the result.
    pub fn run(
        &mut self,
        task: &Task<'_>,
        payload: &[u8],
        mut call: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Failure>,
    ) {
        let ran = match task.kind {
            TaskKind::Bytes => call(payload, &mut self.message),
            TaskKind::Calls => {
                let all = calls(task.calls, payload, &mut self.message, call);
                all.ok_or_else(|| (Outcome::BadArguments, b"the task has fewer calls than it says".to_vec()))
            }
        };
        if let Err((outcome, reason)) = ran {
            self.set(outcome, &reason);
        }
    }
}

/// Why a call has no result: the outcome, and its payload.
pub type Failure = (Outcome, Vec<u8>);

/// All calls of a chunk, one after another, whatever becomes of each. `call` is given the encoded arguments, and appends the
/// encoded result. `None`: the chunk has fewer calls than it says.
fn calls(
    count: u32,
    mut payload: &[u8],
    results: &mut Vec<u8>,
    mut call: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Failure>,
) -> Option<()> {
    for _ in 0..count {
        let arguments = take_part(&mut payload)?;
        // No value is encoded in no bytes.
        if arguments.is_empty() {
            push_outcome(results, Outcome::BadArguments, b"they could not be encoded")?;
            continue;
        }
        let start = results.len();
        results.push(Outcome::Done as u8);
        let written = write_part(results, |results| call(arguments, results));
        if !matches!(written, Ok(Some(()))) {
            results.truncate(start);
        }
        match written {
            Ok(Some(())) => {}
            Ok(None) => push_outcome(results, Outcome::NotEncodable, b"it takes more than 4 GiB")?,
            Err((outcome, reason)) => push_outcome(results, outcome, &reason)?,
        }
    }
    Some(())
}

impl Desk {
    /// Takes a place at the pool in this segment.
    pub fn open(segment: Segment) -> Result<Self, Error> {
        // The table first: it is made last.
        let table = Table::open(&segment)?;
        let (tasks, results) = (WorkQueue::open(&segment, TASKS)?, Channel::open(&segment, RESULTS)?);
        let number = table.number_worker();
        Ok(Self { segment, tasks, results, table, number })
    }

    /// The same with a number that was taken before.
    #[cfg(feature = "process")]
    pub fn numbered(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// Tells the pool something that is no answer.
    #[cfg(feature = "process")]
    pub fn tell(&self, kind: ResultKind, outcome: Outcome, payload: &[u8]) -> Result<(), Error> {
        let mut reply = Reply::new(&ResultHead { kind, slot: 0, id: 0, worker: self.number, outcome }, Vec::new());
        reply.set(outcome, payload);
        self.send(&mut reply).map(drop)
    }

    /// Sends a reply; not, if nobody is there to receive it any more.
    fn send(&self, reply: &mut Reply) -> Result<bool, Error> {
        ResultHead::finish(&mut reply.message, reply.outcome);
        match self.results.send_long(&reply.message) {
            Ok(()) => Ok(true),
            Err(SendError::Closed) => Ok(false),
            Err(SendError::Segment(error)) => Err(error),
            Err(_) => Err(Error::Corrupted("the results of a pool")),
        }
    }

    /// Serves the pool: runs its tasks, one after another, until there are no more, or `most` were run, or until `deadline`,
    /// which is looked at while there is nothing to do. `run` is given a task, its payload, and the reply.
    pub fn serve(
        &self,
        most: Option<u64>,
        deadline: Deadline,
        interruptible: bool,
        mut run: impl FnMut(&Task<'_>, &[u8], &mut Reply),
    ) -> Result<Served, Error> {
        let wait = WaitAny::new([self.tasks.readable(), self.table.parent_gone(&self.segment)])?;
        wait.set_interruptible(interruptible);
        let mut message = vec![0; self.tasks.max_message()];
        let mut reply = Vec::new();
        let mut loans = Loans { pid: self.table.parent_pid(), kept: Vec::new() };
        let mut done = 0;
        while most != Some(done) {
            if self.table.is_ended() {
                return Ok(Served::Closed);
            }
            let lease = match self.tasks.try_take() {
                Ok(lease) => lease,
                Err(TakeError::Empty | TakeError::Busy) => {
                    match wait.until(deadline) {
                        Ok(ready) if ready.contains(0) => {}
                        Ok(_) => return Ok(self.alone()),
                        Err(WaitError::NotReady | WaitError::TimedOut) => return Ok(Served::TimedOut),
                        Err(WaitError::Interrupted) => return Ok(Served::Interrupted),
                        Err(WaitError::Segment(error)) => return Err(error),
                    }
                    continue;
                }
                Err(TakeError::Closed) => return Ok(Served::Closed),
                Err(TakeError::Segment(error)) => return Err(error),
                Err(_) => return Err(Error::Corrupted("the tasks of a pool")),
            };
            let task = lease.read_into(&mut message).ok().and_then(|len| Task::read(message.get(..len)?));
            let Some(task) = task else {
                self.table.count_garbage();
                let _ = lease.done();
                continue;
            };
            let head = ResultHead {
                kind: ResultKind::Answer,
                slot: task.slot,
                id: task.id,
                worker: self.number,
                outcome: Outcome::Done,
            };
            let mut answer = Reply::new(&head, core::mem::take(&mut reply));
            let sent = match self.table.begin(task.slot, task.id, self.number) {
                Begin::Answered => true,
                Begin::Exhausted => {
                    answer.set(Outcome::Exhausted, b"");
                    self.send(&mut answer)?
                }
                Begin::Run { attempt } => {
                    if attempt > 1 {
                        again(task.id, attempt, self.table.attempts());
                    }
                    done += 1;
                    match loans.payload(&task) {
                        Ok(payload) => run(&task, payload, &mut answer),
                        Err(reason) => answer.set(Outcome::Unreadable, reason.as_bytes()),
                    }
                    self.send(&mut answer)?
                }
            };
            reply = answer.message;
            // A result of many bytes is rare: its memory is given back.
            if reply.capacity() > 1 << 20 {
                reply = Vec::new();
            }
            if !sent {
                return Ok(Served::Closed);
            }
            lease.done().map_err(|_| Error::Corrupted("the lease of a task"))?;
        }
        Ok(Served::Enough)
    }

    /// The pool's process is gone, and nobody else takes the name away.
    #[cold]
    fn alone(&self) -> Served {
        if let (Some(name), Ok(fd)) = (self.segment.name(), self.segment.try_clone_fd()) {
            // Not one that somebody has made since under this name.
            let _ = Segment::unlink_if(name, &fd);
        }
        Served::ParentGone
    }
}

/// Tells that another worker has died in this task.
#[cold]
fn again(task: u64, attempt: u32, of: u32) {
    log::tell(LogLevel::Warning, format_args!("begins task {task} again: attempt {attempt} of {of}"));
}

/// What the pool's process lends.
struct Loans {
    pid: u32,
    /// The last used is the last.
    kept: Vec<(u32, Borrowed)>,
}

impl Loans {
    /// The payload of a task that was begun.
    fn payload<'a>(&'a mut self, task: &Task<'a>) -> Result<&'a [u8], String> {
        let Elsewhere { fd, inode } = match task.payload {
            Ok(payload) => return Ok(payload),
            Err(elsewhere) => elsewhere,
        };
        let known = self.kept.iter().position(|(number, loan)| (*number, loan.inode()) == (fd, inode));
        let loan = match known {
            Some(at) => self.kept.remove(at).1,
            None => {
                let opened = Borrowed::open(self.pid, fd, inode);
                opened.map_err(|error| format!("the payload, descriptor {fd} of process {}: {error}", self.pid))?
            }
        };
        self.kept.retain(|(number, _)| *number != fd);
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push((fd, loan));
        let loan = self.kept.last().map(|(_, loan)| loan);
        // SAFETY: the pool writes to what it lends only when the word of the task says that nobody else is at it, and we have
        // begun it: invariant 3 of the table.
        let payload = loan.and_then(|loan| unsafe { loan.bytes(task.len) });
        payload.ok_or_else(|| "the payload is shorter than its task says".to_owned())
    }
}
