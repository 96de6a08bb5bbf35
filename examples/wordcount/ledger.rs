//! Which tasks are to be given out, which are done, and what of each result has arrived.
//!
//! Rules, which together make every task count exactly once whoever dies when:
//! 1. A result counts when its last part is here and the whole is well-formed; before that it is a torso and nothing.
//! 2. The first whole result of a task counts, any other is thrown away. So a task may be given out again on suspicion.
//! 3. The task that a dead worker is known to hold is given out again at once.
//! 4. A worker may die after it took a task and before it said so. Therefore each death asks for an audit: once no task
//!    waits in the queue and no result in the channel, every task that is neither done nor held by a living worker is
//!    given out again.
//! 5. A finished result whose worker died on the way out counts like any other.

use std::collections::{HashMap, VecDeque};

use crate::wire::{self, Malformed, Part};

/// Number of a task.
pub type TaskId = usize;

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With us.
    Waiting,
    /// In the queue, or with a worker.
    Out,
    /// Its result is counted.
    Done,
}

/// The books.
pub struct Ledger {
    places: Vec<Place>,
    left: usize,
    /// To be given out, in this order.
    waiting: VecDeque<TaskId>,
    /// Unfinished results, by worker: each sends one at a time.
    torsos: HashMap<u32, Torso>,
    audit: bool,
    /// Results that came again, and were not counted.
    pub twice: u64,
    /// Unfinished results thrown away.
    pub torsos_dropped: u64,
    /// Tasks given out more than once.
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
    /// The rest of a result whose beginning was thrown away with its worker.
    Stray,
    /// A whole result of a task that was done already.
    Twice(TaskId),
    /// A whole, well-formed result, the first of its task: count it.
    Whole(TaskId, Vec<u8>),
}

impl Ledger {
    /// Books for tasks `0..tasks`, none given out.
    pub fn new(tasks: usize) -> Self {
        Self {
            places: vec![Place::Waiting; tasks],
            left: tasks,
            waiting: (0..tasks).collect(),
            torsos: HashMap::new(),
            audit: false,
            twice: 0,
            torsos_dropped: 0,
            again: 0,
        }
    }

    /// How many tasks are not done.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next task to give out. It stays the next until [`given_out`](Self::given_out) is called.
    pub fn next(&mut self) -> Option<TaskId> {
        while let Some(&task) = self.waiting.front() {
            if self.places[task] == Place::Waiting {
                return Some(task);
            }
            self.waiting.pop_front(); // its result came in after all
        }
        None
    }

    /// The next task is in the queue.
    pub fn given_out(&mut self) {
        if let Some(task) = self.waiting.pop_front() {
            self.places[task] = Place::Out;
        }
    }

    /// Takes in a message.
    pub fn arrived(&mut self, part: &Part, body: &[u8]) -> Result<Arrival, Malformed> {
        let task = usize::try_from(part.task).ok().filter(|task| *task < self.places.len()).ok_or(Malformed)?;
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
        if !part.last {
            return Ok(Arrival::Part);
        }
        let stream = self.torsos.remove(&part.worker).map(|torso| torso.stream).unwrap_or_default();
        wire::check(&stream, part.words)?;
        if std::mem::replace(&mut self.places[task], Place::Done) == Place::Done {
            self.twice += 1;
            return Ok(Arrival::Twice(task));
        }
        self.left -= 1;
        Ok(Arrival::Whole(task, stream))
    }

    /// A worker is dead, and all it had sent has been taken in. `held` is what the shared array says it was at.
    /// Returns the task that is given to another.
    pub fn died(&mut self, worker: u32, held: Option<TaskId>) -> Option<TaskId> {
        if self.torsos.remove(&worker).is_some() {
            self.torsos_dropped += 1;
        }
        self.audit = true;
        let task = held.filter(|task| self.places.get(*task) == Some(&Place::Out))?;
        self.places[task] = Place::Waiting;
        self.waiting.push_front(task);
        self.again += 1;
        Some(task)
    }

    /// Whether a death asks for an [`audit`](Self::audit). Do it when neither queue nor channel holds anything.
    pub fn audit_due(&self) -> bool {
        self.audit
    }

    /// Gives out again what is neither done, nor waiting, nor held by a living worker.
    pub fn audit(&mut self, held: &[TaskId]) {
        self.audit = false;
        for task in 0..self.places.len() {
            if self.places[task] == Place::Out && !held.contains(&task) {
                self.places[task] = Place::Waiting;
                self.waiting.push_back(task);
                self.again += 1;
            }
        }
    }
}
