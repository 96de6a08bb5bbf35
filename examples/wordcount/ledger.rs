//! Which tasks are counted, and what of each result has arrived.
//!
//! Rules, which together make every task count exactly once whoever dies when:
//! 1. A task is with the work queue until its worker has reported it done, and a worker does so when its whole result is in
//!    the channel. If it dies before, the queue gives the task to another.
//! 2. A result counts when its last part is here and the whole is well-formed; before that it is a torso and nothing.
//! 3. The first whole result of a task counts, any other is thrown away: a worker may die after it has sent the result and
//!    before it has reported it.
//! 4. A finished result whose worker died on the way out counts like any other.

use std::collections::HashMap;

use crate::wire::{self, Malformed, Part};

/// Number of a task.
pub type TaskId = usize;

/// The books.
pub struct Ledger {
    /// Whether a task's result is counted.
    done: Vec<bool>,
    left: usize,
    /// The first that was not given out.
    next: TaskId,
    /// Unfinished results, by worker: each sends one at a time. A dead one's stays, and is never finished.
    torsos: HashMap<u32, Torso>,
    /// Results that came again, and were not counted.
    pub twice: u64,
    /// Unfinished results thrown away.
    torsos_dropped: u64,
    /// Tasks whose result is of a later delivery than the first.
    pub again: u64,
}

struct Torso {
    task: u64,
    next: u32,
    stream: Vec<u8>,
}

/// What a message meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// More of a result is to come.
    Part,
    /// The rest of a result whose beginning is not here.
    Stray,
    /// A whole result of a task that was counted already.
    Twice(TaskId),
    /// A whole, well-formed result, the first of its task: count it.
    Whole(TaskId, Vec<u8>),
}

impl Ledger {
    /// Books for tasks `0..tasks`, none given out.
    pub fn new(tasks: usize) -> Self {
        Self {
            done: vec![false; tasks],
            left: tasks,
            next: 0,
            torsos: HashMap::new(),
            twice: 0,
            torsos_dropped: 0,
            again: 0,
        }
    }

    /// How many tasks are not counted.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next task to give out. It stays the next until [`given_out`](Self::given_out) is called.
    pub fn next(&self) -> Option<TaskId> {
        (self.next < self.done.len()).then_some(self.next)
    }

    /// The next task is in the queue.
    pub fn given_out(&mut self) {
        self.next += 1;
    }

    /// Takes in a message.
    pub fn arrived(&mut self, part: &Part, body: &[u8]) -> Result<Arrival, Malformed> {
        let task = usize::try_from(part.task).ok().filter(|task| *task < self.done.len()).ok_or(Malformed)?;
        if part.part == 0 && self.torsos.remove(&part.worker).is_some() {
            self.torsos_dropped += 1;
        }
        let torso = if part.part == 0 {
            self.torsos.entry(part.worker).or_insert(Torso { task: part.task, next: 0, stream: Vec::new() })
        } else {
            match self.torsos.get_mut(&part.worker) {
                Some(torso) if torso.task == part.task && torso.next == part.part => torso,
                _ => return Ok(Arrival::Stray),
            }
        };
        torso.stream.extend_from_slice(body);
        torso.next += 1;
        if part.last == 0 {
            return Ok(Arrival::Part);
        }
        let stream = self.torsos.remove(&part.worker).map(|torso| torso.stream).unwrap_or_default();
        wire::check(&stream, part.words)?;
        if std::mem::replace(&mut self.done[task], true) {
            self.twice += 1;
            return Ok(Arrival::Twice(task));
        }
        self.left -= 1;
        self.again += u64::from(part.last > 1);
        Ok(Arrival::Whole(task, stream))
    }

    /// Unfinished results: those thrown away, and those that are here.
    pub fn torsos(&self) -> u64 {
        self.torsos_dropped + self.torsos.len() as u64
    }
}
