//! The broadcast: one writer, and any number of readers that each get every record, or learn how many they missed.
//!
//! ```text
//!  tail   63                            1   0
//!        +------------------------------+--------+
//!        |        next position         | CLOSED |      one compare-and-swap claims a position, or ends them all
//!        +------------------------------+--------+
//!  stamp  63                            1   0
//!        +------------------------------+---------+
//!        |        position + 1          | WRITING |     of the slot position mod slots; zero: never written
//!        +------------------------------+---------+
//!
//!            reader B: lapped     reader A       tail = 9
//!                 v                  v             v        slots = capacity + 1 = 5
//!   slot    0     1     2     3      4
//!         | C5  | C6  | C7  | W8  | C4  |                   C complete, W being written
//! ```
//!
//! | stamp of position p's slot | position p is |
//! |---|---|
//! | of an earlier position, or zero | not written yet |
//! | `WRITING`, p | being written, or its writer died in it |
//! | p | a record |
//! | of a later position | overwritten |
//!
//! Invariants:
//! 1. Only whoever has the writer's place ([`role`]) claims positions, and writes slots; one position after the other. So only
//!    the last claimed position can be without a record.
//! 2. A record is complete by one store, of its stamp. It was claimed before, by the word that a shutdown ends for good: so
//!    nothing is sent after a shutdown but the record that was being written then.
//! 3. The end is the position in a `CLOSED` tail. If the last claimed position has no record, and there is nobody any more who
//!    could complete it, the end moves back before it, once, by an exact compare-and-swap: on that all readers agree, and
//!    nobody is told of the end before that is known.
//! 4. The next writer gives a claimed position without a record back, and claims it again. So it goes on where the dead one
//!    stopped, and no position is ever skipped.
//! 5. A copy of a record counts only if the stamp is the same after it. A slot is marked before it is overwritten, so a torn
//!    copy does not count. There is a slot more than the capacity: as many records as that can always be read.
//! 6. A reader's position is its own memory. Where the writer waits for readers, it is also in a cursor, which never is ahead of
//!    what has been read. The writer stays at most the capacity ahead of the slowest cursor ([`cursors`]).
//! 7. `closing` only says that it is worth looking at the tail, whose line belongs to the writer; who finds it set finishes the
//!    shutdown.
//!
//! A death leaves behind:
//! - as the writer before its claim: its place, which the next one takes. Between claim and completion: a position without a
//!   record too (invariants 3, 4). After it: a record, and perhaps sleepers whom [`recover`](Broadcast::recover), the next
//!   record or their naps wake;
//! - as a reader: nothing, or its cursor, which the writer frees when it stands in its way, and `recover` anyway;
//! - as one who shuts down: nothing, or `closing` without an end, which whoever meets it finishes;
//! - as a new reader: a cursor with the position of an earlier reader, which holds the writer up until it is freed.
//!
//! Bounds: in overwrite mode a send ends after a fixed number of steps, whatever readers do, and so does each try to receive.
//! With back-pressure a send waits for readers that live, also for one that is stopped. No loop is without a bound but those of
//! lost compare-and-swaps. After a shutdown, readers wait for a writer that is stopped in the middle of its last record.
//!
//! Orderings: the stamp of a record is a Release store that the reader's Acquire meets. The mark before a record is Release, so
//! whoever sees it sees the claim; the fence behind it and the reader's fence before its second look keep a torn copy from
//! being taken for a record. Payload words are Relaxed.
//!
//! Source: H.-J. Boehm, "Can Seqlocks Get Along with Programming Language Memory Models?" (2012) for the slots; M. Thompson and
//! others, "Disruptor" (2011), for cursors that the writer waits for. The claim, the end and the succession are ours.

pub mod cursors;
mod ending;
pub mod role;
mod sight;

use super::backoff::Backoff;
use super::eventcount::{self, Expired};
use super::{Owner, ParticipantId, Peers, words};
use crate::layout::broadcast::{BroadcastHeader, Cursor, Geometry, Shared};
use crate::layout::eventcount::EventCount;
use crate::layout::queue::Line;
use crate::primitive::{AtomicU64, Ordering, fence};
use crate::sys::nap::{Deadline, Wait};
use role::Refused;
pub use sight::Sight;

const CLOSED: u64 = 1;
const WRITING: u64 = 1;
/// How often a call looks again because others went on meanwhile. It is told where they are by then, so it never takes many.
const LOOKS: u32 = 64;

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// A living reader is the whole capacity behind (only when not waiting at all).
    Full,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// It is shut down.
    Closed,
    /// The record is longer than records may be.
    TooLong,
    /// The broadcast holds something that no participant writes.
    Corrupted,
}

/// Why no record was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvFailure {
    /// So many were overwritten before they could be read. The reader goes on at the oldest that is there.
    Missed(u64),
    /// There is none (only when not waiting at all).
    Empty,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// It is shut down, and everything has been read.
    Closed,
    /// The record is longer than the buffer. It stays.
    TooShort {
        /// Its length.
        needed: usize,
    },
    /// The broadcast holds something that no participant writes.
    Corrupted,
}

/// Where a new reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next record that is sent.
    Next,
    /// With the oldest that is there.
    Oldest,
}

/// The writer's own memory.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// What stands in the writer's place.
    role: u64,
    /// What it sends next, and where.
    position: u64,
    index: u64,
    /// The first position that it may not write before it has looked at the cursors again.
    limit: u64,
}

impl Writer {
    /// The position that it writes next: how many were written before.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// A reader's own memory.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// What it reads next, and where.
    position: u64,
    index: u64,
    /// Its cursor, and what stands in there.
    cursor: Option<(u32, u64)>,
}

impl Reader {
    /// The position that it reads next.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// A send that did not happen at once.
#[derive(Clone, Copy, Debug)]
pub enum Unsent {
    /// The cursors have to be looked at.
    AtLimit,
    /// The tail is not what its writer left there: it is shut down.
    TailChanged,
    /// There is no such slot.
    NoSlot,
}

/// A receive that did not happen at once.
#[derive(Clone, Copy, Debug)]
pub enum Unread {
    /// There is no record, or not any more.
    Elsewhere,
    /// It does not fit.
    TooShort(usize),
    /// There is no such slot, or its length is none.
    Corrupted,
}

/// A broadcast: header, cursors and slots in shared memory, and its checked sizes in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast<'a> {
    header: &'a BroadcastHeader,
    cursors: &'a [Line<Cursor>],
    slots: &'a [AtomicU64],
    geometry: Geometry,
}

struct Slot<'a> {
    stamp: &'a AtomicU64,
    length: Option<&'a AtomicU64>,
    data: &'a [AtomicU64],
}

/// The stamp of a record.
#[inline(always)]
fn complete(position: u64) -> u64 {
    position.wrapping_add(1) << 1
}

/// How many positions a stamp is ahead of this one's; below zero, behind it.
#[inline]
fn ahead(stamp: u64, position: u64) -> i64 {
    (stamp >> 1).wrapping_sub(position.wrapping_add(1)).cast_signed()
}

impl<'a> Broadcast<'a> {
    /// The parts of a broadcast with sizes that the caller has checked; `None` if the parts are not of these sizes.
    #[inline]
    pub fn new(
        header: &'a BroadcastHeader,
        cursors: &'a [Line<Cursor>],
        slots: &'a [AtomicU64],
        geometry: Geometry,
    ) -> Option<Self> {
        let fits = geometry.words() == slots.len() && geometry.readers() as usize == cursors.len();
        fits.then_some(Self { header, cursors, slots, geometry })
    }

    /// The broadcast that starts at `base`.
    ///
    /// # Safety
    /// `geometry.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically only.
    #[inline]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, geometry: Geometry) -> Self {
        // SAFETY: as the caller promises; the three parts lie behind each other (`Geometry::bytes`) and consist of atomics, and
        // padding that nobody touches.
        unsafe {
            let cursors = base.add(size_of::<BroadcastHeader>()).cast::<Line<Cursor>>();
            let slots = cursors.add(geometry.readers() as usize).cast::<AtomicU64>();
            let cursors = core::ptr::NonNull::slice_from_raw_parts(cursors, geometry.readers() as usize);
            let slots = core::ptr::NonNull::slice_from_raw_parts(slots, geometry.words());
            let header = base.cast::<BroadcastHeader>().as_ref();
            Self { header, cursors: cursors.as_ref(), slots: slots.as_ref(), geometry }
        }
    }

    /// What lies at `base`, if that is a broadcast of at most `len` bytes.
    ///
    /// # Safety
    /// `len` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically only.
    pub unsafe fn found(base: core::ptr::NonNull<u8>, len: u64) -> Option<Self> {
        if len < size_of::<BroadcastHeader>() as u64 {
            return None;
        }
        // SAFETY: long enough (just checked), and as the caller promises.
        let geometry = unsafe { base.cast::<BroadcastHeader>().as_ref() }.validate()?;
        // SAFETY: long enough (checked first), and as the caller promises.
        (geometry.bytes() as u64 <= len).then(|| unsafe { Self::at(base, geometry) })
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Readers sleep here.
    pub fn not_empty(&self) -> &'a EventCount {
        &self.shared().not_empty
    }

    /// The writer sleeps here.
    pub fn not_full(&self) -> &'a EventCount {
        &self.shared().not_full
    }

    /// Becomes the writer, if nobody is or the last one is dead, and goes on where that one stopped.
    pub fn open_writer(&self, me: Owner, peers: &impl Peers) -> Result<Writer, Refused> {
        let role = role::claim(&self.shared().writer, me, peers)?;
        let position = self.take_over();
        let limit = if self.geometry.readers() == 0 { u64::MAX } else { position };
        Ok(Writer { role, position, index: position % self.geometry.slots(), limit })
    }

    /// Gives a claimed position without a record back (invariant 4); the position that is sent next.
    fn take_over(&self) -> u64 {
        let mut tail = self.header.tail.0.load(Ordering::Acquire);
        loop {
            let next = tail >> 1;
            if !self.is_unfinished(next) {
                return next;
            }
            let back = tail - 2; // unfinished, so not the first
            match self.header.tail.0.compare_exchange(tail, back, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // Readers may wait for the end that this is.
                    eventcount::notify(self.not_empty());
                    return next - 1;
                }
                Err(now) => tail = now,
            }
        }
    }

    /// The position that nobody has claimed yet.
    #[inline]
    pub(super) fn next_position(&self) -> u64 {
        // Acquire: with a claim, the record before it is seen.
        self.header.tail.0.load(Ordering::Acquire) >> 1
    }

    /// Is the writer no longer.
    pub fn close_writer(&self, writer: Writer) {
        role::vacate(&self.shared().writer, writer.role);
    }

    // `send_once` and `recv_once` are always inline, so that a caller's constant size unrolls the copies. The branches and the
    // loops are in `send_on` and `recv_on`.

    /// Sends a record of the right size, if that needs no looks at others.
    #[inline(always)]
    pub fn send_once(&self, writer: &mut Writer, record: &[u8]) -> Result<(), Unsent> {
        let position = writer.position;
        if position >= writer.limit {
            return Err(Unsent::AtLimit);
        }
        let slot = self.slot(writer.index).ok_or(Unsent::NoSlot)?;
        let (claimed, next) = (position << 1, position.wrapping_add(1));
        // Without a look first: the line is the writer's. Release: who sees the claim sees the record before it, and who has
        // the place. Acquire: only for symmetry with the end; nothing is read behind it.
        let tail = &self.header.tail.0;
        if tail.compare_exchange(claimed, next << 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Err(Unsent::TailChanged);
        }
        // Release: who sees the mark sees the claim, and so where the oldest record is. The fence: who sees a word of this record
        // sees the mark.
        slot.stamp.store(complete(position) | WRITING, Ordering::Release);
        fence(Ordering::Release);
        if let Some(length) = slot.length {
            length.store(record.len() as u64, Ordering::Relaxed);
        }
        words::store(slot.data, record);
        slot.stamp.store(complete(position), Ordering::Release);
        writer.position = next;
        writer.index = self.next_index(writer.index);
        eventcount::notify(self.not_empty());
        Ok(())
    }

    /// Sends a record, waiting for readers as `wait` says.
    #[inline]
    pub fn send(&self, writer: &mut Writer, record: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), SendFailure> {
        self.send_with(writer, record, peers, wait, &mut Backoff::in_stream())
    }

    /// The same, with looks of the caller's choice before it sleeps.
    #[inline]
    pub fn send_with(
        &self,
        writer: &mut Writer,
        record: &[u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: &mut Backoff,
    ) -> Result<(), SendFailure> {
        if record.len() > self.geometry.record_size() {
            return Err(SendFailure::TooLong);
        }
        self.send_once(writer, record).or_else(|unsent| self.send_from(unsent, writer, record, peers, wait, backoff))
    }

    /// The rest of [`send`](Self::send), after [`send_once`](Self::send_once) has failed.
    #[cold]
    fn send_from(
        &self,
        unsent: Unsent,
        writer: &mut Writer,
        record: &[u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: &mut Backoff,
    ) -> Result<(), SendFailure> {
        if let Unsent::TailChanged | Unsent::NoSlot = unsent {
            return Err(self.why_unsent());
        }
        match self.send_on(writer, record, peers) {
            Err(SendFailure::Full) if wait.deadline != Deadline::Now => {}
            done => return done,
        }
        while backoff.pause() {
            if !self.is_at_limit(writer.position)
                && let done @ (Ok(()) | Err(SendFailure::Closed)) = self.send_on(writer, record, peers)
            {
                return done;
            }
        }
        let attempt = || match self.send_on(writer, record, peers) {
            Err(SendFailure::Full) => None,
            done => Some(done),
        };
        eventcount::wait_until(self.not_full(), wait, attempt).unwrap_or_else(|expired| {
            Err(match expired {
                Expired::TimedOut => SendFailure::TimedOut,
                Expired::Interrupted => SendFailure::Interrupted,
            })
        })
    }

    /// One attempt, with a look at the cursors.
    fn send_on(&self, writer: &mut Writer, record: &[u8], peers: &impl Peers) -> Result<(), SendFailure> {
        // Who waits for room learns here that it is over.
        if self.is_closing() {
            self.finish_shutdown();
            return Err(SendFailure::Closed);
        }
        writer.limit = self.limit(writer.position, peers).ok_or(SendFailure::Corrupted)?;
        match self.send_once(writer, record) {
            Ok(()) => Ok(()),
            Err(Unsent::AtLimit) => Err(SendFailure::Full),
            Err(Unsent::TailChanged | Unsent::NoSlot) => Err(self.why_unsent()),
        }
    }

    fn why_unsent(&self) -> SendFailure {
        let closed = self.header.tail.0.load(Ordering::Acquire) & CLOSED != 0;
        if closed { SendFailure::Closed } else { SendFailure::Corrupted }
    }

    /// Becomes a reader.
    pub fn open_reader(&self, me: Owner, peers: &impl Peers, start: Start) -> Result<Reader, cursors::Refused> {
        let cursor = if self.geometry.readers() == 0 { None } else { Some(self.claim_cursor(me, peers)?) };
        let position = self.start(start);
        let reader = Reader { position, index: position % self.geometry.slots(), cursor };
        // The cursor held the position of an earlier reader: perhaps the writer stood before that.
        self.tell(&reader, 0);
        Ok(reader)
    }

    fn start(&self, start: Start) -> u64 {
        let next = self.header.tail.0.load(Ordering::Acquire) >> 1;
        match start {
            // With back-pressure the writer may have seen that it has room for more than the one it is at.
            Start::Oldest if self.geometry.readers() > 0 => next.saturating_sub(self.geometry.capacity()),
            Start::Oldest => self.oldest(next),
            // One that is being written may be written anew, by the next writer, when this reader is there.
            Start::Next => next - u64::from(self.is_unfinished(next)),
        }
    }

    /// Is a reader no longer.
    pub fn close_reader(&self, reader: Reader) {
        if let Some((place, word)) = reader.cursor {
            self.free_cursor(place, word);
        }
    }

    /// Writes down how far the reader is, which was at `before`, if the writer is to know.
    #[inline(always)]
    fn tell(&self, reader: &Reader, before: u64) {
        if let Some((place, _)) = reader.cursor
            && let Some(cursor) = self.cursors.get(place as usize)
        {
            // Release: pairs with the Acquire in `limit`. What was read there may be overwritten.
            cursor.0.position.store(reader.position, Ordering::Release);
            eventcount::notify_if(self.not_full(), || self.may_make_room(before));
        }
    }

    /// Receives the record that the reader has to read next, if it is there, into the first bytes of `buffer`; its length.
    /// Of a broadcast whose records have one size, `buffer` has that size. On failure its bytes are arbitrary.
    #[inline(always)]
    pub fn recv_once(&self, reader: &mut Reader, buffer: &mut [u8]) -> Result<usize, Unread> {
        let before = reader.position;
        let len = self.copy(before, reader.index, buffer)?;
        reader.position = before.wrapping_add(1);
        reader.index = self.next_index(reader.index);
        self.tell(reader, before);
        Ok(len)
    }

    /// Copies the record of a position.
    #[inline(always)]
    pub(super) fn copy(&self, position: u64, index: u64, buffer: &mut [u8]) -> Result<usize, Unread> {
        let slot = self.slot(index).ok_or(Unread::Corrupted)?;
        // Acquire: pairs with the Release that completed the record.
        let seen = slot.stamp.load(Ordering::Acquire);
        if seen != complete(position) {
            return Err(Unread::Elsewhere);
        }
        // Read once, then checked.
        let len = slot.length.map_or(buffer.len() as u64, |length| length.load(Ordering::Relaxed));
        let fits = len <= buffer.len() as u64 && len <= self.geometry.record_size() as u64;
        if fits {
            words::load(&mut buffer[..len as usize], slot.data);
        }
        // Pairs with the fence in `send_once`: invariant 5.
        fence(Ordering::Acquire);
        if slot.stamp.load(Ordering::Relaxed) != seen {
            return Err(Unread::Elsewhere);
        }
        if fits {
            return Ok(len as usize);
        }
        let known = len <= self.geometry.record_size() as u64;
        Err(if known { Unread::TooShort(len as usize) } else { Unread::Corrupted })
    }

    /// Receives a record, waiting for one as `wait` says.
    #[inline]
    pub fn recv(
        &self,
        reader: &mut Reader,
        buffer: &mut [u8],
        peers: &impl Peers,
        wait: Wait,
    ) -> Result<usize, RecvFailure> {
        self.recv_once(reader, buffer).or_else(|_| self.recv_from(reader, buffer, peers, wait, &mut Backoff::new()))
    }

    /// The rest of [`recv`](Self::recv), after [`recv_once`](Self::recv_once) has failed.
    #[cold]
    pub fn recv_from(
        &self,
        reader: &mut Reader,
        buffer: &mut [u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: &mut Backoff,
    ) -> Result<usize, RecvFailure> {
        match self.recv_on(reader, buffer, peers) {
            Err(RecvFailure::Empty) if wait.deadline != Deadline::Now => {}
            done => return done,
        }
        while backoff.pause() {
            if self.seems_readable(reader.position) {
                match self.recv_on(reader, buffer, peers) {
                    Err(RecvFailure::Empty) => {}
                    done => return done,
                }
            }
        }
        let attempt = || match self.recv_on(reader, buffer, peers) {
            Err(RecvFailure::Empty) => None,
            done => Some(done),
        };
        eventcount::wait_until(self.not_empty(), wait, attempt).unwrap_or_else(|expired| {
            Err(match expired {
                Expired::TimedOut => RecvFailure::TimedOut,
                Expired::Interrupted => RecvFailure::Interrupted,
            })
        })
    }

    /// One attempt.
    fn recv_on(&self, reader: &mut Reader, buffer: &mut [u8], peers: &impl Peers) -> Result<usize, RecvFailure> {
        for _ in 0..LOOKS {
            match self.look(reader.position, peers) {
                Sight::Record => match self.recv_once(reader, buffer) {
                    Ok(len) => return Ok(len),
                    Err(Unread::Elsewhere) => {}
                    Err(Unread::TooShort(needed)) => return Err(RecvFailure::TooShort { needed }),
                    Err(Unread::Corrupted) => return Err(RecvFailure::Corrupted),
                },
                Sight::Nothing => return Err(RecvFailure::Empty),
                Sight::End => return Err(RecvFailure::Closed),
                Sight::Lapped(oldest) => {
                    let before = reader.position;
                    reader.position = oldest;
                    reader.index = oldest % self.geometry.slots();
                    self.tell(reader, before);
                    return Err(RecvFailure::Missed(oldest - before)); // `look` has compared them
                }
                Sight::Corrupted => return Err(RecvFailure::Corrupted),
            }
        }
        Err(RecvFailure::Corrupted)
    }

    /// Frees whatever `dead` had here, and wakes whom it may have left asleep.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        role::recover(&self.shared().writer, dead, peers);
        for cursor in self.cursors {
            role::recover(&cursor.0.owner, dead, peers);
        }
        if self.is_closing() {
            self.finish_shutdown();
        }
        eventcount::recover(self.not_empty(), u32::MAX);
        eventcount::recover(self.not_full(), u32::MAX);
    }

    #[inline(always)]
    fn shared(&self) -> &'a Shared {
        &self.header.shared.0
    }

    #[inline(always)]
    fn next_index(&self, index: u64) -> u64 {
        let next = index + 1;
        if next >= self.geometry.slots() { 0 } else { next }
    }

    /// The slot of this index; `None` if there is none.
    #[inline(always)]
    fn slot(&self, index: u64) -> Option<Slot<'a>> {
        let stride = self.geometry.stride();
        let start = (index as usize).checked_mul(stride)?;
        let (stamp, rest) = self.slots.get(start..)?.get(..stride)?.split_first()?;
        if !self.geometry.is_bytes() {
            return Some(Slot { stamp, length: None, data: rest });
        }
        let (length, data) = rest.split_first()?;
        Some(Slot { stamp, length: Some(length), data })
    }
}
