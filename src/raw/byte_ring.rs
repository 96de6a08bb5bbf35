//! The ring of records of any length with one producer and one consumer: each is written and read where it lies, and one
//! store commits it.
//!
//! ```text
//!   record header (u64)                       positions count words and wrap at 2^32; the word of a position is
//!  +----------------+------------------+      word `position mod words`, words a power of two
//!  |  kind : 32     |  length : 32     |
//!  +----------------+------------------+
//!
//!       consumer's position                          the producer's place
//!             v                                             v
//!   . . . [R 13|payload.....|R 5|payload.|P 24|...............][0]  . . . . .     P pads to the end, the record it was
//!         ^ first word of the ring                    the end ^                   for is the first behind the end
//! ```
//!
//! | header at a position | means |
//! |---|---|
//! | 0 | nothing there yet (all zero: the valid first state) |
//! | RECORD, length | a record; its payload is the words behind, up to the end of the ring at most |
//! | PAD, length | nothing from here to the end of the ring; a record lies at the start |
//!
//! Any other word is corrupted.
//!
//! Invariants:
//! 1. A record is there when its header is: a Release store, behind the payload, in the payload's first cache line. Where a
//!    record lies behind a pad, its header is written first and the pad's store is the one that commits both.
//! 2. The word behind what is published is zero before that is published. So the header at the producer's place reads as
//!    nothing, whatever bytes lay there, and one word is always left free: used + record + 1 <= words.
//! 3. A release is the consumer's position: a Release store of a position and of the number of bytes taken of the record that
//!    begins there, in one word. Only then are the bytes written anew.
//! 4. The headers are the truth about the producer. Its position is stored behind them, so a successor starts there and walks
//!    on over what is published.
//! 5. A record never wraps, and takes half of the ring at most: so it fits an empty ring, wherever that stands.
//!
//! Who may be at an end, and how a ring is shut down: [`ring`].
//!
//! A death leaves behind:
//! - of a producer before its committing store: a zero where it was, and bytes that mean nothing. After it: a record, a position
//!   that is behind, and perhaps a consumer that was not woken;
//! - of a consumer before its store: nothing; its successor gets the record. After it: the record (or the bytes that were taken
//!   of it) is gone with it, and perhaps a producer that was not woken.
//!
//! Bounds: lengths are checked against the end of the ring before use, and a walk takes at least a word each step.
//!
//! Source: our own; headers polled in place as in Aeron's ring buffers, with the zero of invariant 2.

use super::eventcount;
use super::ring::{self, PopFailure, PushFailure, Refused, Verdict};
use super::{Owner, Peers};
use crate::layout::eventcount::EventCount;
use crate::layout::ring::{Bytes, RingHeader, Shared, Side};
use crate::primitive::{AtomicU64, Ordering};

const RECORD: u64 = 1 << 32;
const PAD: u64 = 2 << 32;

/// A ring: its header and words in shared memory, and its checked size in private memory.
#[derive(Clone, Copy, Debug)]
pub struct ByteRing<'a> {
    header: &'a RingHeader,
    words: &'a [AtomicU64],
    size: Bytes,
}

/// What a producer knows.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    position: u32,
    /// So many words from there on are known to be free.
    free: u32,
}

/// What a consumer knows.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    position: u32,
    /// Bytes taken of the record there.
    taken: u32,
    /// It has been told that nothing will come.
    over: bool,
}

/// Room for a record, whose header will be at a position.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    at: u32,
    len: usize,
}

impl Room {
    /// Bytes of payload.
    pub fn bytes(&self) -> usize {
        self.len
    }
}

/// A record, or what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    at: u32,
    /// Bytes of the whole payload.
    whole: u32,
    /// Bytes of it that are gone.
    taken: u32,
}

impl Found {
    /// Bytes that are left.
    pub fn bytes(&self) -> usize {
        (self.whole - self.taken) as usize
    }

    /// Where those begin in the payload.
    pub fn first(&self) -> usize {
        self.taken as usize
    }
}

/// What stands at a position.
enum There {
    Nothing,
    /// A record of that many bytes at that position: here, or behind a pad.
    Record(u32, u32),
    Corrupted,
}

/// Words that a record takes.
fn words_of(len: usize) -> u64 {
    1 + (len as u64).div_ceil(8)
}

impl Tail {
    /// Where it goes on.
    pub fn position(&self) -> u32 {
        self.position
    }
}

impl<'a> ByteRing<'a> {
    /// The ring with this header and these words, of a size that the caller has checked.
    pub fn new(header: &'a RingHeader, words: &'a [AtomicU64], size: Bytes) -> Option<Self> {
        (size.words() as usize == words.len()).then_some(Self { header, words, size })
    }

    /// The ring that starts at `base`.
    ///
    /// # Safety
    /// `size.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically only.
    #[inline(always)]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, size: Bytes) -> Self {
        // SAFETY: as the caller promises; header and words consist of atomics.
        let (header, words) = unsafe {
            let words = base.add(size_of::<RingHeader>()).cast::<AtomicU64>();
            let words = core::ptr::NonNull::slice_from_raw_parts(words, size.words() as usize);
            (base.cast::<RingHeader>().as_ref(), words.as_ref())
        };
        Self { header, words, size }
    }

    /// Its size.
    pub fn size(&self) -> Bytes {
        self.size
    }

    /// The header.
    pub fn header(&self) -> &'a RingHeader {
        self.header
    }

    /// Makes `me` the producer, which goes on where the last one stopped.
    pub fn produce(&self, me: Owner, peers: &impl Peers) -> Result<Tail, Refused> {
        ring::claim(self.producer(), me, peers)?;
        self.find_tail().map(|position| Tail { position, free: 0 }).ok_or_else(|| {
            ring::give_back(self.producer(), me);
            Refused::Corrupted
        })
    }

    /// Makes `me` the consumer, which goes on where the last one stopped, also in the middle of a record.
    pub fn consume(&self, me: Owner, peers: &impl Peers) -> Result<Head, Refused> {
        ring::claim(self.consumer(), me, peers)?;
        let (position, taken) = self.consumed(Ordering::Relaxed);
        // What lies at the end was never accepted.
        Ok(Head { position, taken, over: ring::end(self.shared()) == Some(position.into()) })
    }

    /// The producer gives its end back.
    pub fn leave_producer(&self, me: Owner) {
        if ring::give_back(self.producer(), me) {
            eventcount::notify(&self.shared().not_empty);
        }
    }

    /// The consumer gives its end back.
    pub fn leave_consumer(&self, me: Owner) {
        if ring::give_back(self.consumer(), me) {
            eventcount::notify(&self.shared().not_full);
        }
    }

    /// The first position that is not published (invariant 4).
    fn find_tail(&self) -> Option<u32> {
        let mut position = self.producer().position.load(Ordering::Acquire) as u32;
        for _ in 0..self.size.words() {
            match self.there(position) {
                There::Nothing => return Some(position),
                There::Record(at, len) => position = at.wrapping_add(words_of(len as usize) as u32),
                There::Corrupted => return None,
            }
        }
        None
    }

    /// The consumer's position, and the bytes taken of the record there.
    #[inline]
    fn consumed(&self, ordering: Ordering) -> (u32, u32) {
        let word = self.consumer().position.load(ordering);
        ((word >> 32) as u32, word as u32)
    }

    #[inline(always)]
    fn index(&self, position: u32) -> usize {
        (position & (self.size.words() - 1)) as usize
    }

    #[inline(always)]
    fn word(&self, position: u32) -> &'a AtomicU64 {
        // An index is below the length, which is the number of words.
        &self.words[self.index(position)]
    }

    /// What stands at a position (invariant 1).
    #[inline(always)]
    fn there(&self, position: u32) -> There {
        // Acquire: pairs with the Release of the commit.
        let seen = self.word(position).load(Ordering::Acquire);
        if seen == 0 {
            return There::Nothing;
        }
        let rest = (self.words.len() - self.index(position)) as u64;
        let is_record = |seen: u64, rest: u64| seen >> 32 == RECORD >> 32 && words_of(seen as u32 as usize) <= rest;
        if is_record(seen, rest) {
            return There::Record(position, seen as u32);
        }
        if seen != (PAD | ((rest - 1) * 8)) {
            return There::Corrupted;
        }
        let start = position.wrapping_add(rest as u32);
        // Relaxed: the pad published both.
        match self.word(start).load(Ordering::Relaxed) {
            seen if is_record(seen, self.words.len() as u64) => There::Record(start, seen as u32),
            _ => There::Corrupted,
        }
    }

    /// Room for a record of `len` bytes, which the caller has seen is not too long. It is nobody's business but the
    /// producer's until it is committed.
    #[inline(always)]
    pub fn try_reserve(&self, tail: &mut Tail, len: usize) -> Result<Room, PushFailure> {
        if ring::is_shut_down(self.shared()) {
            return Err(PushFailure::Closed);
        }
        let (words, rest) = (words_of(len), (self.words.len() - self.index(tail.position)) as u64);
        let (at, needed) = match words <= rest {
            true => (tail.position, words),
            false => (tail.position.wrapping_add(rest as u32), rest + words),
        };
        if u64::from(tail.free) < needed + 1 {
            tail.free = room(self.consumer(), self.size.words(), tail.position)?;
            if u64::from(tail.free) < needed + 1 {
                return Err(PushFailure::Full);
            }
        }
        Ok(Room { at, len })
    }

    /// Room for a part of `len` bytes, as many as fit in one piece, at least one.
    pub fn try_reserve_some(&self, tail: &mut Tail, len: usize) -> Result<Room, PushFailure> {
        if ring::is_shut_down(self.shared()) {
            return Err(PushFailure::Closed);
        }
        if u64::from(tail.free) < words_of(len) + 2 {
            tail.free = room(self.consumer(), self.size.words(), tail.position)?;
        }
        let rest = (self.words.len() - self.index(tail.position)) as u32;
        let free = tail.free.saturating_sub(1);
        let (at, words) = match rest {
            2.. => (tail.position, rest.min(free)),
            _ => (tail.position.wrapping_add(rest), free.saturating_sub(rest)),
        };
        let room = (words.saturating_sub(1) as usize * 8).min(self.size.max_record());
        if room == 0 { Err(PushFailure::Full) } else { Ok(Room { at, len: len.min(room) }) }
    }

    /// The words of a payload.
    #[inline]
    pub fn payload(&self, room: Room) -> &'a [AtomicU64] {
        self.payload_at(room.at, room.len)
    }

    /// The words of a record's payload.
    #[inline]
    pub fn payload_of(&self, found: Found) -> &'a [AtomicU64] {
        self.payload_at(found.at, found.whole as usize)
    }

    #[inline(always)]
    fn payload_at(&self, at: u32, len: usize) -> &'a [AtomicU64] {
        let start = self.index(at) + 1;
        // Checked when the room or the record was found.
        self.words.get(start..start + len.div_ceil(8)).unwrap_or_default()
    }

    /// Publishes the first `len` bytes of what was reserved last as a record.
    #[inline(always)]
    pub fn commit(&self, tail: &mut Tail, room: Room, len: usize) -> Result<(), PushFailure> {
        let (shared, first) = (self.shared(), tail.position);
        // Again: since it was reserved any time may have passed.
        if ring::is_shut_down(shared) {
            return Err(PushFailure::Closed);
        }
        let len = len.min(room.len);
        let next = room.at.wrapping_add(words_of(len) as u32);
        self.word(next).store(0, Ordering::Relaxed); // invariant 2
        let header = RECORD | len as u64;
        if room.at == first {
            self.word(first).store(header, Ordering::Release); // invariant 1
        } else {
            self.word(room.at).store(header, Ordering::Relaxed);
            let pad = (u64::from(room.at.wrapping_sub(first)) - 1) * 8;
            self.word(first).store(PAD | pad, Ordering::Release);
        }
        *tail = Tail { position: next, free: tail.free.saturating_sub(next.wrapping_sub(first)) };
        // Relaxed: a successor sees it with the role, and walks on over the headers.
        self.producer().position.store(next.into(), Ordering::Relaxed);
        eventcount::notify(&shared.not_empty);
        // Behind the fence that was just made, or stood for.
        if shared.closing.load(Ordering::Relaxed) != 0 {
            return match ring::settle(shared, next.into()) {
                end if end == u64::from(next) => Ok(()),
                end if end == u64::from(first) => Err(PushFailure::Closed),
                _ => Err(PushFailure::Corrupted),
            };
        }
        Ok(())
    }

    /// The first record, or what is left of it, if there is one now.
    #[inline(always)]
    pub fn try_peek(&self, head: &mut Head) -> Result<Found, PopFailure> {
        if head.over {
            return Err(PopFailure::Closed);
        }
        let mut there = self.there(head.position);
        if let There::Nothing = there {
            let looked = look_again(self.header, self.word(head.position), head.position);
            head.over = looked == Err(PopFailure::Closed);
            looked?;
            there = self.there(head.position);
        }
        match there {
            There::Record(at, whole) if head.taken <= whole => Ok(Found { at, whole, taken: head.taken }),
            _ => Err(PopFailure::Corrupted),
        }
    }

    /// Takes the first `count` bytes of what is left of a record that was just found; all of them take the record.
    #[inline(always)]
    pub fn take(&self, head: &mut Head, found: Found, count: usize) {
        let taken = found.taken + count.min(found.bytes()) as u32;
        if taken < found.whole {
            head.taken = taken;
        } else {
            head.position = found.at.wrapping_add(words_of(found.whole as usize) as u32);
            head.taken = 0;
        }
        let word = u64::from(head.position) << 32 | u64::from(head.taken);
        self.consumer().position.store(word, Ordering::Release); // invariant 3
        if head.taken == 0 {
            eventcount::notify(&self.shared().not_full);
        }
    }

    /// Shuts the ring down for everybody: pushes fail from now on, pops drain what is there and then fail.
    pub fn shutdown(&self) {
        ring::shutdown(self.shared());
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        ring::is_shut_down(self.shared())
    }

    /// Bytes in use, headers and pads included; a snapshot between 0 and the capacity.
    pub fn used(&self) -> u64 {
        let (head, _) = self.consumed(Ordering::Acquire);
        let end = ring::end(self.shared()).map(|end| end as u32);
        // Nothing to go by while a lap goes by: the position is near enough.
        let hint = || self.producer().position.load(Ordering::Relaxed) as u32;
        let tail = end.or_else(|| self.find_tail()).unwrap_or_else(hint);
        u64::from(tail.wrapping_sub(head).min(self.size.words())) * 8
    }

    /// Whether a pop would end at once: with a record, at the end, or with an error.
    pub fn can_pop(&self) -> bool {
        let (head, _) = self.consumed(Ordering::Acquire);
        self.word(head).load(Ordering::Acquire) != 0 || self.is_shut_down()
    }

    /// Whether a push of `len` bytes would end at once, in the same way.
    pub fn can_push(&self, len: usize) -> bool {
        let Some(position) = self.find_tail() else { return true };
        let mut tail = Tail { position, free: 0 };
        len > self.size.max_record()
            || self.try_reserve(&mut tail, len).map_or_else(|no| no != PushFailure::Full, |_| true)
    }

    /// Where the consumer sleeps.
    pub fn not_empty(&self) -> &'a EventCount {
        &self.shared().not_empty
    }

    /// Where the producer sleeps.
    pub fn not_full(&self) -> &'a EventCount {
        &self.shared().not_full
    }

    #[inline(always)]
    fn shared(&self) -> &'a Shared {
        &self.header.shared.0
    }

    /// The producer's end.
    #[inline(always)]
    pub fn producer(&self) -> &'a Side {
        &self.header.producer.0
    }

    /// The consumer's end.
    #[inline(always)]
    pub fn consumer(&self) -> &'a Side {
        &self.header.consumer.0
    }
}

// Not inline, and given a few words by value, in registers: for a reference to them the ring and what its end knows would be
// stored at each call of what is inline above.

/// How many words are free from `tail` on, if any; asked when too few are known to be.
#[cold]
#[inline(never)]
fn room(consumer: &Side, words: u32, tail: u32) -> Result<u32, PushFailure> {
    // Acquire: pairs with the Release of a release, whose reads are made before we write.
    let used = tail.wrapping_sub((consumer.position.load(Ordering::Acquire) >> 32) as u32);
    words.checked_sub(used).ok_or(PushFailure::Corrupted)
}

/// Whether there is something by now in the word of this position.
#[cold]
#[inline(never)]
fn look_again(header: &RingHeader, word: &AtomicU64, position: u32) -> Result<(), PopFailure> {
    let is_there = || word.load(Ordering::Acquire) != 0;
    if is_there() {
        return Ok(());
    }
    match ring::verdict(&header.shared.0, position.into(), is_there) {
        Verdict::Open => Err(PopFailure::Empty),
        Verdict::More => Ok(()),
        Verdict::Corrupted => Err(PopFailure::Corrupted),
        Verdict::Over => Err(PopFailure::Closed),
    }
}
