//! What a pool and its workers know of its tasks in common: an array of words in the segment.
//!
//! ```text
//!  words 0..8                                 a word for each slot: 63      32 31    20 19     0
//!  +-------+-------+--------+-------+-------+---      +-----------+--------+--------+
//!  |version|  end  |attempts|workers|parent |..       |  task:32  |begun:12|worker:20|
//!  +-------+-------+--------+-------+-------+---      +-----------+--------+--------+
//! ```
//!
//! A task that is not answered has a slot. Its word has the low half of the task's number, how often the task was begun, and
//! which worker began it last; 0: nobody is to work on the slot.
//!
//! | from | to | by |
//! |---|---|---|
//! | anything | task, 0, 0 | the pool (store), before the task's message is there |
//! | task, n, w | task, n + 1, me | a worker that has leased the message, before it begins |
//! | task, n, w | 0 | the pool, when the task is answered (swap) |
//!
//! Invariants:
//! 1. A task is begun by a compare-and-swap of its own word. So one that is answered is not begun again, though its message
//!    be delivered again: it finds 0, or another task.
//! 2. A death between the lease and the swap counts for nothing, one after it counts as an attempt.
//! 3. The word names who has begun it last: when that worker is dead, and what it has sent is received, and there was no
//!    answer, it died with the task in its hands.
//!
//! A death leaves a word as it is; the pool judges it.

use super::wire::VERSION;
use crate::cell::Array;
use crate::error::Error;
use crate::segment::Segment;
use crate::sync::Waitable;

/// The work queue of a pool.
pub const TASKS: &str = "pool.tasks";
/// Its channel.
pub const RESULTS: &str = "pool.results";
/// Its table.
pub const TABLE: &str = "pool.table";

/// "rfpool" and the version of the messages.
const MAGIC: u64 = u64::from_le_bytes(*b"rfpool\0\0") | (VERSION as u64) << 48;

/// Words before those of the slots.
const HEAD: usize = 8;
const MAGIC_AT: usize = 0;
const END_AT: usize = 1;
const ATTEMPTS_AT: usize = 2;
const WORKERS_AT: usize = 3;
const PARENT_AT: usize = 4;
const PID_AT: usize = 5;
const GARBAGE_AT: usize = 6;

/// Attempts that a word can count.
pub const MOST_ATTEMPTS: u32 = (1 << 12) - 1;
const WORKER_BITS: u32 = 20;
const WORKER_MASK: u64 = (1 << WORKER_BITS) - 1;

/// The word of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    task: u32,
    begun: u32,
    worker: u32,
}

impl Word {
    fn unpack(bits: u64) -> Self {
        let begun = (bits >> WORKER_BITS) as u32 & MOST_ATTEMPTS;
        Self { task: (bits >> 32) as u32, begun, worker: (bits & WORKER_MASK) as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.task) << 32 | u64::from(self.begun) << WORKER_BITS | u64::from(self.worker) & WORKER_MASK
    }
}

/// Whether a worker may begin a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It has begun it: the first time, or again.
    Run {
        /// Which time that is.
        attempt: u32,
    },
    /// It is answered already.
    Answered,
    /// It was begun as often as it may be.
    Exhausted,
}

/// The table of a pool.
#[derive(Debug)]
pub struct Table {
    words: Array<u64>,
    attempts: u32,
}

impl Table {
    /// Makes the table of a pool of the calling process, which must be in the segment.
    #[cfg(feature = "process")]
    pub fn create(segment: &Segment, slots: u32, attempts: u32) -> Result<Self, Error> {
        let table = Self { words: Array::create(segment, TABLE, HEAD + slots as usize)?, attempts };
        let pid = crate::sys::process::pid();
        let of_me = |info: &crate::segment::ParticipantInfo| info.alive && info.pid == pid;
        let me = segment.participants().into_iter().find(of_me).ok_or(Error::Corrupted("its maker is not in it"))?;
        let parent = u64::from(me.life) << 32 | u64::from(me.id);
        // The magic last: who finds it finds the rest.
        for (at, word) in [(ATTEMPTS_AT, attempts.into()), (PARENT_AT, parent), (PID_AT, pid.into()), (MAGIC_AT, MAGIC)]
        {
            table.words.set(at, word).map_err(|_| Error::Corrupted("the table of a pool"))?;
        }
        Ok(table)
    }

    /// Opens the table of a pool that somebody has made.
    pub fn open(segment: &Segment) -> Result<Self, Error> {
        let words = Array::open(segment, TABLE)?;
        match words.get(MAGIC_AT) {
            Some(MAGIC) => {}
            // Being made at this moment.
            Some(0) => return Err(Error::Missing),
            Some(other) if other << 16 == MAGIC << 16 => {
                return Err(Error::Version { expected: VERSION.into(), found: (other >> 48) as u32 });
            }
            _ => return Err(Error::Corrupted("the table of a pool")),
        }
        let attempts = words.get(ATTEMPTS_AT).and_then(|word| u32::try_from(word).ok());
        let attempts = attempts.filter(|attempts| (1..=MOST_ATTEMPTS).contains(attempts));
        Ok(Self { words, attempts: attempts.ok_or(Error::Corrupted("the attempts of a pool"))? })
    }

    /// A number for a worker: never 0, another for each, as far as 20 bits go.
    pub fn number_worker(&self) -> u32 {
        loop {
            let number = (self.words.fetch_add(WORKERS_AT, 1).unwrap_or(0).wrapping_add(1) & WORKER_MASK) as u32;
            if number != 0 {
                return number;
            }
        }
    }

    /// How often a task may be begun.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// That the pool's process is gone.
    pub fn parent_gone(&self, segment: &Segment) -> Waitable<'static> {
        let parent = self.words.get(PARENT_AT).unwrap_or(0);
        Waitable::end_of(segment, parent as u16, (parent >> 32) as u32)
    }

    /// The pid of the pool's process.
    pub fn parent_pid(&self) -> u32 {
        self.words.get(PID_AT).unwrap_or(0) as u32
    }

    /// No task is begun from now on.
    #[cfg(feature = "process")]
    pub fn end(&self) {
        let _ = self.words.set(END_AT, 1);
    }

    /// Whether no task is to be begun any more.
    #[inline]
    pub fn is_ended(&self) -> bool {
        self.words.get(END_AT) != Some(0)
    }

    /// A message was no task.
    #[cold]
    pub fn count_garbage(&self) {
        let _ = self.words.fetch_add(GARBAGE_AT, 1);
    }

    /// How many messages were no task.
    #[cfg(feature = "process")]
    pub fn garbage(&self) -> u64 {
        self.words.get(GARBAGE_AT).unwrap_or(0)
    }

    /// A worker that has leased the task's message is about to begin it.
    pub fn begin(&self, slot: u32, id: u64, worker: u32) -> Begin {
        let at = HEAD + slot as usize;
        let mut seen = self.words.get(at).unwrap_or(0);
        loop {
            let word = Word::unpack(seen);
            if seen == 0 || word.task != id as u32 {
                return Begin::Answered;
            }
            if word.begun >= self.attempts {
                return Begin::Exhausted;
            }
            let begun = Word { begun: word.begun + 1, worker, ..word };
            match self.words.compare_exchange(at, seen, begun.pack()) {
                Ok(Ok(_)) => return Begin::Run { attempt: begun.begun },
                Ok(Err(now)) => seen = now,
                Err(_) => return Begin::Answered,
            }
        }
    }
}

/// The pool's side.
#[cfg(feature = "process")]
impl Table {
    /// The task may be begun.
    pub fn offer(&self, slot: u32, id: u64) {
        let word = Word { task: id as u32, begun: 0, worker: 0 };
        let _ = self.words.set(HEAD + slot as usize, word.pack());
    }

    /// The task is answered, and not begun any more. Whether nobody but `by` has begun it, so that nobody else can be at it.
    pub fn answer(&self, slot: u32, by: Option<u32>) -> bool {
        let at = HEAD + slot as usize;
        let mut seen = self.words.get(at).unwrap_or(0);
        while let Ok(Err(now)) = self.words.compare_exchange(at, seen, 0) {
            seen = now;
        }
        let word = Word::unpack(seen);
        // One that had begun it before is dead, or it would not have been delivered again; the word cannot tell.
        word.begun == 0 || word.begun == 1 && Some(word.worker) == by
    }

    /// Who has begun the task in this slot last, and whether it may be begun again.
    pub fn last(&self, slot: u32) -> Option<(u32, bool)> {
        let word = Word::unpack(self.words.get(HEAD + slot as usize)?);
        (word.begun > 0).then_some((word.worker, word.begun < self.attempts))
    }
}
