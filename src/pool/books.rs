//! The pool's books: which tasks there are, where the answer to each goes, and which workers.
//!
//! ```text
//!  callers --submit--> outbox (any number) --> slot and message (bounded) --> workers
//!                          ^                                                    | results
//!                          +--- refill --- collector <--------------------------+
//! ```
//!
//! A task has a slot from the moment its message is in the queue until it is answered; the others wait in the outbox. So a
//! caller never waits for room, and the collector, who frees slots, fills them again. The queue has more places than there are
//! slots: those of messages that are answered and not reported done yet.
//!
//! Each task is answered once: who answers takes it out of its slot, under the lock, and a result whose number is not that of
//! the slot's task is passed over.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::answer::{Chunk, Sink, lock};
use super::errors::{Broken, TaskError};
use super::events;
use super::progress::Counts;
use super::table::Table;
use super::wire::{Elsewhere, Outcome, ResultHead, ResultKind, Task, TaskKind};
use crate::error::Error;
use crate::queue::{Channel, WorkPushError, WorkQueue};
use crate::segment::Segment;
use crate::sys::bridge::EventFd;
use crate::sys::loan::Buffer;

/// Memory that was lent and is kept for the next: at most so many pieces,
const KEPT_BUFFERS: usize = 32;
/// and bytes.
const KEPT_BYTES: usize = 512 << 20;

/// What a pool's callers and threads share.
pub(super) struct Books {
    pub(super) segment: Segment,
    pub(super) tasks: WorkQueue,
    pub(super) results: Channel,
    pub(super) table: Table,
    /// Wakes the minder.
    pub(super) control: EventFd,
    /// The name of the initializer.
    pub(super) initializer: Option<String>,
    entries: Mutex<Entries>,
    /// That the collector has ended.
    pub(super) over: Condvar,
}

/// How far a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closed,
    Terminated,
    Broken(Broken),
}

impl Phase {
    /// Whether no task is run any more.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Terminated | Self::Broken(_))
    }

    /// What a task is told that comes now, or is not run any more.
    pub(super) fn refusal(&self) -> TaskError {
        match self {
            Self::Open | Self::Closed => TaskError::Closed,
            Self::Terminated => TaskError::Terminated,
            Self::Broken(broken) => TaskError::Broken(broken.clone()),
        }
    }
}

/// A function, and how it is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) kind: TaskKind,
    pub(super) calls: u32,
    pub(super) name: &'a str,
    pub(super) signature: &'static str,
}

/// A task that waits for a slot.
struct Parcel {
    kind: TaskKind,
    calls: u32,
    name: Cow<'static, str>,
    signature: &'static str,
    payload: Vec<u8>,
    sink: Sink,
}

/// A task whose message is in the queue, or with a worker.
struct Flying {
    id: u64,
    sink: Sink,
    loan: Option<Buffer>,
}

/// A worker of the pool's own that was started.
#[derive(Debug)]
struct Own {
    ready: bool,
}

/// The end of a worker, which the collector is to judge when it has received what the worker had sent.
#[derive(Clone, Copy, Debug)]
struct Death {
    turn: u64,
    worker: u32,
    signal: Option<i32>,
    /// It was to end.
    expected: bool,
}

/// What is under the lock.
pub(super) struct Entries {
    pub(super) phase: Phase,
    /// No worker is left, and none will be started.
    pub(super) crew_gone: bool,
    /// The collector has ended.
    pub(super) over: bool,
    next_id: u64,
    slots: Vec<Option<Flying>>,
    free: Vec<u32>,
    outbox: VecDeque<Parcel>,
    /// The queue had no room though there was a slot.
    pub(super) congested: bool,
    own: HashMap<u32, Own>,
    deaths: VecDeque<Death>,
    turn: u64,
    /// Workers in a row that ended before they were ready,
    early: u32,
    /// and how much that says.
    suspicion: u32,
    buffers: Vec<Buffer>,
    scratch: Vec<u8>,
    pub(super) tally: Tally,
    pub(super) counts: Counts,
}

/// How far the tasks of a pool are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Tasks that were given to it; a chunk is one.
    pub submitted: u64,
    /// Of those, answered: by a result or an error.
    pub answered: u64,
    /// Workers that ended though they were not to.
    pub deaths: u64,
    /// Results of tasks that were answered already.
    pub repeated: u64,
    /// Messages that were none.
    pub garbage: u64,
}

/// Answers that are to be given when the lock is let go.
pub(super) type Answers = Vec<(Sink, Chunk)>;

impl Books {
    pub(super) fn new(
        segment: Segment,
        tasks: WorkQueue,
        results: Channel,
        table: Table,
        slots: u32,
        initializer: Option<String>,
    ) -> Result<Self, Error> {
        let entries = Entries {
            phase: Phase::Open,
            crew_gone: false,
            over: false,
            next_id: 0,
            slots: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            outbox: VecDeque::new(),
            congested: false,
            own: HashMap::new(),
            deaths: VecDeque::new(),
            turn: 0,
            early: 0,
            suspicion: 0,
            buffers: Vec::new(),
            scratch: Vec::new(),
            tally: Tally::default(),
            counts: Counts::default(),
        };
        let (entries, over) = (Mutex::new(entries), Condvar::new());
        Ok(Self { segment, tasks, results, table, control: EventFd::new()?, initializer, entries, over })
    }

    /// Opens the books.
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }

    /// Takes a task on, whose answer goes to `sink`.
    pub(super) fn submit(&self, target: Target<'_>, payload: Cow<'_, [u8]>, sink: Sink) -> Result<(), TaskError> {
        if payload.len() > u32::MAX as usize && target.kind == TaskKind::Calls {
            return Err(TaskError::Arguments { reason: "they take more than 4 GiB".to_owned() });
        }
        let mut entries = self.entries();
        if entries.phase != Phase::Open {
            return Err(entries.phase.refusal());
        }
        let long = self.is_long(target.name, target.signature, payload.len());
        let mut loan = None;
        if long && entries.outbox.is_empty() && !entries.free.is_empty() {
            // The copy takes its time, and nobody else has to wait for it.
            let kept = entries.buffer(payload.len());
            drop(entries);
            let lent = lend(kept, &payload);
            entries = self.entries();
            if entries.phase != Phase::Open {
                return Err(entries.phase.refusal());
            }
            loan = match lent {
                Ok(loan) => Some(loan),
                Err(error) if is_scarcity(&error) && entries.lends() => None,
                Err(error) => return Err(TaskError::Segment(error)),
            };
        }
        let mut sink = Some(sink);
        if entries.outbox.is_empty() && (loan.is_some() || !long) {
            match self.send(&mut entries, target, &payload, loan, &mut sink) {
                Ok(true) => {
                    entries.tally.submitted += 1;
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => return Err(error),
            }
        }
        entries.tally.submitted += 1;
        let mut answers = Answers::new();
        if let Some(sink) = sink {
            entries.outbox.push_back(Parcel {
                kind: target.kind,
                calls: target.calls,
                name: Cow::Owned(target.name.to_owned()),
                signature: target.signature,
                payload: payload.into_owned(),
                sink,
            });
            // Otherwise an answer that comes makes room.
            self.refill(&mut entries, &mut answers);
        }
        drop(entries);
        answers.into_iter().for_each(|(sink, chunk)| sink.answer(chunk));
        Ok(())
    }

    fn is_long(&self, name: &str, signature: &str, len: usize) -> bool {
        Task::bytes(name, signature, len) > self.tasks.max_message()
    }

    /// Puts a task into a slot and its message into the queue. `false`: there is no room, and the sink is left.
    fn send(
        &self,
        entries: &mut Entries,
        target: Target<'_>,
        payload: &[u8],
        loan: Option<Buffer>,
        sink: &mut Option<Sink>,
    ) -> Result<bool, TaskError> {
        let Some(slot) = entries.free.pop() else {
            entries.keep(loan);
            return Ok(false);
        };
        entries.next_id += 1;
        if entries.next_id as u32 == 0 {
            entries.next_id += 1; // the low half says that there is a task
        }
        let id = entries.next_id;
        let place = loan.as_ref().map(|loan| Elsewhere { fd: loan.number(), inode: loan.inode() });
        let task = Task {
            slot,
            id,
            kind: target.kind,
            calls: target.calls,
            name: target.name,
            signature: target.signature,
            len: payload.len() as u64,
            payload: place.map_or(Ok(payload), Err),
        };
        let mut message = std::mem::take(&mut entries.scratch);
        let pushed = match task.write(&mut message) {
            Some(()) => {
                self.table.offer(slot, id);
                self.tasks.try_push(&message)
            }
            None => Err(WorkPushError::TooLong { len: message.len(), max: self.tasks.max_message() }),
        };
        entries.scratch = message;
        match pushed {
            Ok(()) => {
                if let (Some(place), Some(sink)) = (entries.slots.get_mut(slot as usize), sink.take()) {
                    *place = Some(Flying { id, sink, loan });
                }
                Ok(true)
            }
            Err(error) => {
                self.table.answer(slot, None);
                entries.free.push(slot);
                entries.keep(loan);
                match error {
                    WorkPushError::Full => {
                        entries.congested = true;
                        Ok(false)
                    }
                    WorkPushError::Segment(error) => Err(TaskError::Segment(error)),
                    WorkPushError::TooLong { .. } => {
                        Err(TaskError::Arguments { reason: "the name of the function is too long".to_owned() })
                    }
                    _ => Err(TaskError::Segment(Error::Corrupted("the tasks of a pool"))),
                }
            }
        }
    }

    /// Sends what waits in the outbox, as far as there is room; the queue of a closed pool is shut down behind the last.
    pub(super) fn refill(&self, entries: &mut Entries, answers: &mut Answers) {
        entries.congested = false;
        while !entries.free.is_empty()
            && let Some(parcel) = entries.outbox.pop_front()
        {
            let Parcel { kind, calls, name, signature, payload, sink } = parcel;
            let loan = if self.is_long(&name, signature, payload.len()) {
                let kept = entries.buffer(payload.len());
                match lend(kept, &payload) {
                    Ok(loan) => Some(loan),
                    // What is lent comes back, if there is any.
                    Err(error) if is_scarcity(&error) && entries.lends() => {
                        entries.outbox.push_front(Parcel { kind, calls, name, signature, payload, sink });
                        break;
                    }
                    Err(error) => {
                        entries.tally.answered += 1;
                        answers.push((sink, Err(TaskError::Segment(error))));
                        continue;
                    }
                }
            } else {
                None
            };
            let target = Target { kind, calls, name: &name, signature };
            let mut left = Some(sink);
            let sent = self.send(entries, target, &payload, loan, &mut left);
            let Some(sink) = left else { continue };
            match sent {
                Err(error) => {
                    entries.tally.answered += 1;
                    answers.push((sink, Err(error)));
                }
                Ok(_) => {
                    entries.outbox.push_front(Parcel { kind, calls, name, signature, payload, sink });
                    break;
                }
            }
        }
        if entries.phase == Phase::Closed && entries.outbox.is_empty() {
            let _ = self.tasks.shutdown();
        }
    }

    /// A message from the results, for the collector.
    pub(super) fn receive(&self, entries: &mut Entries, message: Vec<u8>, answers: &mut Answers) {
        let Some((head, payload)) = ResultHead::read(&message) else {
            entries.tally.garbage += 1;
            return;
        };
        match head.kind {
            ResultKind::Answer => {
                let flying = entries.slots.get(head.slot as usize).and_then(Option::as_ref);
                if flying.is_none_or(|flying| flying.id != head.id) {
                    // Who found its attempts used up has no result.
                    entries.tally.repeated += u64::from(head.outcome != Outcome::Exhausted);
                    return;
                }
                if head.outcome == Outcome::Exhausted {
                    // Who began it last has died. If that is a worker of ours, the verdict comes with its signal.
                    let last = self.table.last(head.slot).map(|(worker, _)| worker);
                    if last.is_some_and(|worker| entries.own.contains_key(&worker)) {
                        return;
                    }
                    events::failed(head.id, "a worker", None);
                    self.answer(entries, head.slot, last, Err(TaskError::WorkerDied { signal: None }), answers);
                } else {
                    entries.counts.answered(head.worker);
                    self.answer(entries, head.slot, Some(head.worker), Ok(message), answers);
                }
            }
            ResultKind::Ready => match entries.own.get_mut(&head.worker) {
                Some(own) => {
                    own.ready = true;
                    (entries.early, entries.suspicion) = (0, 0);
                }
                None => entries.tally.garbage += 1,
            },
            ResultKind::NotReady => {
                let error = TaskError::of(head.outcome, payload);
                if entries.own.contains_key(&head.worker) {
                    let function = self.initializer.clone().unwrap_or_default();
                    self.give_up(entries, Broken::Initializer { function, error: Box::new(error) });
                } else {
                    entries.tally.garbage += 1;
                }
            }
            ResultKind::Deaths => {
                while entries.deaths.front().is_some_and(|death| death.turn <= head.id)
                    && let Some(death) = entries.deaths.pop_front()
                {
                    self.judge(entries, death, answers);
                }
            }
        }
    }

    /// Takes the task out of its slot and notes its answer. `by` is the worker that has finished with it.
    fn answer(&self, entries: &mut Entries, slot: u32, by: Option<u32>, chunk: Chunk, answers: &mut Answers) {
        let Some(flying) = entries.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        let alone = self.table.answer(slot, by);
        // Somebody may still read it: then it goes when they have.
        if alone {
            entries.keep(flying.loan);
        }
        entries.free.push(slot);
        entries.tally.answered += 1;
        answers.push((flying.sink, chunk));
    }

    /// What the worker sent is received: whatever it has begun and not answered died with it.
    fn judge(&self, entries: &mut Entries, death: Death, answers: &mut Answers) {
        let Some(own) = entries.own.remove(&death.worker) else { return };
        let name = entries.counts.ended(death.worker);
        // It was ended by the pool, and its task is told so.
        if entries.phase.is_final() {
            return;
        }
        let mut idle = true;
        for slot in 0..entries.slots.len() as u32 {
            let Some(id) = entries.slots[slot as usize].as_ref().map(|flying| flying.id) else { continue };
            let Some((worker, again)) = self.table.last(slot) else { continue };
            if worker != death.worker {
                continue;
            }
            idle = false;
            events::died_in_task(&name, death.signal, id, again);
            if !again {
                events::failed(id, &name, death.signal);
                let died = TaskError::WorkerDied { signal: death.signal };
                self.answer(entries, slot, Some(death.worker), Err(died), answers);
            }
        }
        if idle && !death.expected {
            events::died_idle(&name, death.signal);
        }
        if own.ready {
            return;
        }
        entries.early += 1;
        entries.suspicion += if death.signal == Some(SIGKILL) { 1 } else { SUSPICIOUS };
        if entries.suspicion >= HOPELESS {
            self.give_up(entries, Broken::WorkersDie { workers: entries.early, signal: death.signal });
        }
    }

    /// The pool is over: nothing is begun any more, and the minder ends the workers.
    pub(super) fn give_up(&self, entries: &mut Entries, broken: Broken) {
        if !entries.phase.is_final() {
            events::broken(&broken);
            self.end(entries, Phase::Broken(broken));
        }
    }

    /// The same, for this reason.
    pub(super) fn end(&self, entries: &mut Entries, phase: Phase) {
        entries.phase = phase;
        self.table.end();
        let _ = self.tasks.shutdown();
        self.control.raise();
    }

    /// All tasks that are not answered are answered so.
    pub(super) fn fail_all(&self, entries: &mut Entries, error: &TaskError, answers: &mut Answers) {
        for slot in 0..entries.slots.len() as u32 {
            self.answer(entries, slot, None, Err(error.clone()), answers);
        }
        for parcel in std::mem::take(&mut entries.outbox) {
            entries.tally.answered += 1;
            answers.push((parcel.sink, Err(error.clone())));
        }
    }

    /// Has the collector look at the books, behind all that was sent so far.
    pub(super) fn knock(&self, turn: u64) {
        let head = ResultHead { kind: ResultKind::Deaths, slot: 0, id: turn, worker: 0, outcome: Outcome::Done };
        let mut message = Vec::new();
        head.write(&mut message);
        // A channel that fails is met by the collector too.
        let _ = self.results.send(&message);
    }
}

/// The same number on every Linux.
const SIGKILL: i32 = 9;
/// A worker that ends before it is ready says that none will ever be; one that is killed from outside says so less.
const SUSPICIOUS: u32 = 16;
/// So much of it in a row, and the pool gives up: 16 that end by themselves, or 256 that are killed.
const HOPELESS: u32 = 16 * SUSPICIOUS;

impl Entries {
    /// A worker of the pool's own is about to be started.
    pub(super) fn hire(&mut self, worker: u32, name: String) {
        self.counts.hire(worker, name);
        self.own.insert(worker, Own { ready: false });
    }

    /// It was not started after all.
    pub(super) fn dismiss(&mut self, worker: u32) {
        self.counts.dismiss(worker);
        self.own.remove(&worker);
    }

    /// A worker has ended; the turn for the knock.
    pub(super) fn died(&mut self, worker: u32, signal: Option<i32>, expected: bool) -> u64 {
        self.tally.deaths += u64::from(!expected);
        self.counts.died(worker);
        self.turn += 1;
        self.deaths.push_back(Death { turn: self.turn, worker, signal, expected });
        self.turn
    }

    /// The turn of the last worker that has ended.
    pub(super) fn last_turn(&self) -> u64 {
        self.turn
    }

    /// Tasks that are not answered.
    pub(super) fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len() + self.outbox.len()
    }

    /// Whether some of them have not been sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn lends(&self) -> bool {
        self.slots.iter().flatten().any(|flying| flying.loan.is_some())
    }

    /// Kept memory for so many bytes: the least that is enough.
    fn buffer(&mut self, len: usize) -> Option<Buffer> {
        let fits = |buffer: &Buffer| buffer.capacity() >= len && buffer.capacity() / 4 <= len;
        let fitting = self.buffers.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let at = fitting.min_by_key(|(_, buffer)| buffer.capacity())?.0;
        Some(self.buffers.swap_remove(at))
    }

    /// Keeps memory for the next task, if that is not too much.
    fn keep(&mut self, loan: Option<Buffer>) {
        let Some(loan) = loan else { return };
        let kept: usize = self.buffers.iter().map(Buffer::capacity).sum();
        if self.buffers.len() < KEPT_BUFFERS && kept + loan.capacity() <= KEPT_BYTES {
            self.buffers.push(loan);
        }
    }
}

/// What is missing comes back when something that was lent does.
fn is_scarcity(error: &Error) -> bool {
    matches!(error, Error::NoDescriptors | Error::NoMemory | Error::NoSpace)
}

/// Memory with these bytes, for a worker to read.
fn lend(kept: Option<Buffer>, bytes: &[u8]) -> Result<Buffer, Error> {
    let mut buffer = match kept {
        Some(buffer) => buffer,
        // Rounded up, so that the next one of about this length finds it.
        None => Buffer::new(bytes.len().next_multiple_of((bytes.len() / 8).next_power_of_two().max(64 << 10)))?,
    };
    if buffer.fill(bytes) { Ok(buffer) } else { Err(Error::Corrupted("memory to lend")) }
}
