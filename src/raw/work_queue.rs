//! The work queue: messages that stay where they are until somebody has said that the work is done.
//!
//! ```text
//!  63          32 31        16 15  13 12         0     the word of a place: what is true of its message
//! +--------------+------------+------+------------+
//! |generation:32 |deliveries:16|state|participant |
//! +--------------+------------+------+------------+
//!
//!  63            s+12  s+11  s+10      s  s-1     0     an entry of the ring: a hint, in the order of pushing
//! +------------------+-----+-----------+-----------+    s = bits of a place's number; position = lap << s | index
//! |       lap        | end |generation | place     |
//! +------------------+-----+-----------+-----------+
//!
//!  ring     head hint          tail hint         places
//!     v                  v                 v
//!  .. E4 E0 E2 E3 E5     (lap before)       0 free  1 leased by 7  2 ready  3 ready  4 free  5 being written
//!     |___|  |_________|
//!    finished   waiting
//! ```
//!
//! | state | participant | the place has |
//! |---|---|---|
//! | free | 0 | nothing (zero: the valid initial state) |
//! | writing | p | a message that p writes |
//! | ready | 0 | a message to be taken; with deliveries, one that came back |
//! | leased | p | a message that p works on |
//! | kept | p | the same; no lease stands for it, whoever of p says so finishes it |
//! | aside | 0 | a dead letter: a message that was delivered as often as it may be, and came back |
//! | inspected | p | a dead letter that p looks at |
//!
//! | from | to | by |
//! |---|---|---|
//! | free | writing, generation + 1, no deliveries | a producer |
//! | writing | ready | its producer (store), when an entry names it |
//! | writing | free | its producer (store), if the ring is closed; anyone, if it is dead |
//! | ready | leased, deliveries + 1 | a consumer |
//! | leased | kept | its participant |
//! | leased, kept, inspected | free | its participant: done |
//! | leased, kept | ready or aside, generation + 1 | its participant: failed; anyone, if it is dead |
//! | aside | inspected | anyone |
//! | inspected | aside, generation + 1 | its participant: given back; anyone, if it is dead |
//!
//! Any other word, and any lap that a branch below does not expect, is corruption.
//!
//! Invariants:
//! 1. The word alone says what is true. A transition is one compare-and-swap of the exact word (or a store by an owner that
//!    lives, and knows that no other thread of its process does the same), and no word comes back: each round of a place, and
//!    each return, is another generation. So whoever decides late, or twice, hits nothing; a second `done` is
//!    [`NotLeased`](LeaseFailure::NotLeased).
//! 2. What is unfinished is counted nowhere: it is the places that are being written, ready, leased or kept.
//! 3. An entry is a hint. It stands for a message that waits while the place that it names is of its generation, has not
//!    been delivered, and is being written or ready; else it is finished, and is passed over. An entry is made before its
//!    message is ready, so whoever dies in between leaves an entry that is finished, never a message without one.
//! 4. Positions are claimed in order, each with one compare-and-swap from a finished entry of the lap before. Hence an entry
//!    of lap L says that every position up to (L-1, index) is finished, and one of the lap before that nothing lies behind.
//! 5. A message that came back has no entry. `returned` tells of it: it is set after the message is ready, and taken by an
//!    exchange before looking through all places, so it is never 0 while one is there and nobody is looking. Who is killed
//!    in between is made good by [`recover`](WorkQueue::recover), and whoever finds nothing looks through all places.
//! 6. Once `closing` is set, the first to find the end of the ring closes it there. What was accepted lies before that. A
//!    consumer is told of the end when nothing accepted is unfinished, since what is leased may come back.
//! 7. Nothing was unfinished at one moment, if two looks at all places found everything finished and the same generations:
//!    a message that comes in between changes one.
//!
//! A death leaves behind:
//! - as a producer: a place being written, which the next consumer to come to its entry, a producer that finds no room, or
//!   [`recover`](WorkQueue::recover) frees; or a message, and sleepers not yet woken, whom `recover` or their naps wake;
//! - as a consumer: before its swap, nothing; after it, a lease, which `recover` or whoever finds nothing to do gives back,
//!   with its deliveries counted. After `done` was swapped the message is finished, and at most a sleeper not yet woken;
//! - as who gives back or looks for what came back: `returned` that is 0, see invariant 5;
//! - an entry that stands for nothing. It takes its position until the head has passed it: so long a producer may find a
//!   free place and no position. The report of what lies before it wakes those who wait, or their naps do;
//! - hints that lag: the next ones walk past.
//!
//! Orderings: as in [`queue`](super::queue): publishing and leasing pair on the word, claiming and passing on the entry.
//! Freeing is Release and pairs with the next producer's Acquire: the message was read before it is written over. Whoever
//! frees a place fences before it looks whether it was the last (two that do so at once must not both see the other's).
//!
//! Source: our own. The ring is [`queue`](super::queue)'s with the payload taken out of it, so that a lease that lasts does
//! not hold up the producer that comes round to it.

mod lease;
mod look;
mod push;
mod scan;
mod take;
mod word;

use super::eventcount::{self, Expired};
use crate::layout::queue::next_position;
use crate::layout::work_queue::{Geometry, Shared, TABLE, WorkQueueHeader};
use crate::primitive::{AtomicU64, Ordering};
pub use lease::{Lease, LeaseFailure};
pub use look::Count;
use word::Entries;

/// Looks at a place that is being written before asking whether its producer lives.
const WRITER_LOOKS: u32 = 64;
/// Looks that a call may lose to others beyond two rounds of the queue: honest company never comes near.
const PATIENCE: u64 = 1 << 16;

/// Why a message was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFailure {
    /// There is no free place (only when not waiting at all).
    Full,
    /// Every place has a dead letter: nobody but who takes those makes room.
    DeadLetters,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The queue is shut down.
    Closed,
    /// The message is longer than a place.
    TooLong,
    /// The queue holds something that no participant writes.
    Corrupted,
}

/// Why no message was taken, or the wait for the end of all work ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeFailure {
    /// There is no message to be taken; or something is unfinished (only when not waiting at all).
    Empty,
    /// The next message is still being written by a living producer (only when not waiting at all).
    Busy,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The queue is shut down, and everything in it is finished.
    Closed,
    /// The queue holds something that no participant writes.
    Corrupted,
}

impl From<Expired> for PushFailure {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::TimedOut => Self::TimedOut,
            Expired::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Expired> for TakeFailure {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::TimedOut => Self::TimedOut,
            Expired::Interrupted => Self::Interrupted,
        }
    }
}

/// A step that found something else than it came for: the position where it looked.
#[derive(Clone, Copy, Debug)]
pub struct Missed(u64);

/// A work queue: its header, table and places in shared memory, and its checked sizes in private memory.
#[derive(Clone, Copy, Debug)]
pub struct WorkQueue<'a> {
    header: &'a WorkQueueHeader,
    /// An entry and a word, in turn; then the places.
    words: &'a [AtomicU64],
    geometry: Geometry,
}

impl<'a> WorkQueue<'a> {
    /// The queue with this header, its table and places; `None` if the header does not describe exactly them.
    pub fn attach(header: &'a WorkQueueHeader, words: &'a [AtomicU64]) -> Option<Self> {
        Self::with_geometry(header, words, header.validate()?)
    }

    /// As [`attach`](Self::attach), with sizes that the caller has checked against the header before.
    #[inline]
    pub fn with_geometry(header: &'a WorkQueueHeader, words: &'a [AtomicU64], geometry: Geometry) -> Option<Self> {
        (geometry.words() == words.len()).then_some(Self { header, words, geometry })
    }

    /// The queue that starts at `base`.
    ///
    /// # Safety
    /// `geometry.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically
    /// only.
    #[inline]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, geometry: Geometry) -> Option<Self> {
        // SAFETY: as the caller promises; header, table and places consist of atomics, and padding that nobody touches.
        let (header, words) = unsafe {
            let words = base.add(size_of::<WorkQueueHeader>()).cast::<AtomicU64>();
            let words = core::ptr::NonNull::slice_from_raw_parts(words, geometry.words());
            (base.cast::<WorkQueueHeader>().as_ref(), words.as_ref())
        };
        Self::with_geometry(header, words, geometry)
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Deliveries after which a message is set aside; 0: never.
    pub fn limit(&self) -> u32 {
        // Relaxed: it never changes.
        self.shared().limit.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn entries(&self) -> Entries {
        Entries { shift: self.geometry.shift() }
    }

    /// The ring's entry for a position; `None` if a wrong hint led here.
    #[inline(always)]
    fn entry(&self, position: u64) -> Option<&'a AtomicU64> {
        let index = (position & self.mask()) as usize;
        if index < self.geometry.places() { self.words.get(TABLE * index) } else { None }
    }

    /// The word of a place; `None` if there is no such place.
    #[inline(always)]
    fn word(&self, place: usize) -> Option<&'a AtomicU64> {
        if place < self.geometry.places() { self.words.get(TABLE * place + 1) } else { None }
    }

    /// The words of a place: its length, and its message.
    #[inline(always)]
    fn message(&self, place: usize) -> Option<(&'a AtomicU64, &'a [AtomicU64])> {
        if place >= self.geometry.places() {
            return None;
        }
        let (stride, first) = (self.geometry.stride(), TABLE * self.geometry.places());
        let start = first + place * stride;
        self.words.get(start..start + stride)?.split_first()
    }

    #[inline(always)]
    fn shared(&self) -> &'a Shared {
        &self.header.shared.0
    }

    #[inline(always)]
    fn mask(&self) -> u64 {
        (1 << self.geometry.shift()) - 1
    }

    #[inline(always)]
    fn next(&self, position: u64) -> u64 {
        next_position(position, self.geometry.places() as u64, self.mask())
    }

    #[inline(always)]
    fn patience(&self) -> u64 {
        2 * self.geometry.places() as u64 + PATIENCE
    }

    /// Shuts the queue down for everybody: pushes fail from now on; what is in it is taken, and taken again if it comes
    /// back, and when all of it is finished takes fail.
    pub fn shutdown(&self) {
        self.shared().closing.store(1, Ordering::Release);
        eventcount::notify(&self.shared().not_empty);
        eventcount::notify(&self.shared().not_full);
    }

    /// Whether the queue is shut down.
    #[inline]
    pub fn is_shut_down(&self) -> bool {
        // Acquire: who knows that it is shut down knows what its closer did before.
        self.shared().closing.load(Ordering::Acquire) != 0
    }
}
