//! The bounded queue of fixed-size items for any number of producers and consumers: the whole state of a position is
//! one word, so that a death at any instruction leaves nothing that one compare-and-swap cannot mend.
//!
//! ```text
//!  63                          16 15  13 12         0     position = lap << k | index,  index < capacity,
//! +------------------------------+------+------------+               k = bits of capacity - 1
//! |           lap : 48           |state |participant |    the word of slot `index` tells the state of position
//! +------------------------------+------+------------+    (its lap, index)
//!
//!              head hint            tail hint
//!                 v                     v
//!  lap 7   E8 E8  F7  F7  E8  F7  W7    E7   E7           E empty, W being written, F full
//!                         ^ voided: its producer died
//! ```
//!
//! | state | participant | position (lap, index) is |
//! |---|---|---|
//! | `EMPTY` | 0 | unclaimed; the one of the lap before is finished: popped or voided (zero: the valid initial state) |
//! | `WRITING` | p | claimed by p, which copies its item |
//! | `FULL` | 0 | a message |
//! | `CLOSED` | 0 | the end of a queue that is shut down; never anything else again |
//!
//! Any other word, and any lap that a branch below does not expect, is [`Corrupted`](PushFailure::Corrupted).
//!
//! Invariants:
//! 1. A position goes `EMPTY` -> `WRITING` -> `FULL` -> finished, or `WRITING` -> finished when its producer is dead.
//!    Finished is written as `EMPTY` of the next lap: no word ever comes back (but after 2^48 laps), so an exact
//!    compare-and-swap hits what was seen or nothing.
//! 2. Positions are claimed in order: whoever claims one has seen all before it claimed. Hence `EMPTY` at a position
//!    says that nothing lies behind it.
//! 3. Messages are popped in order; voids happen in any order. Hence lap L at an index proves to a producer that
//!    all positions up to (L-1, index) are claimed, but to a consumer only that those up to (L-2, index) are finished.
//! 4. `head` and `tail` are lower bounds and nothing but hints: written by plain stores that may run late and
//!    backwards, and believed by nobody: a position reached by a wrong one fails the checks above.
//! 5. An item is read by copying it and then swapping the very word under which it was full: a copy that somebody may
//!    have torn is discarded with the lost swap.
//! 6. Once `closing` is set, whoever finds the end makes it `CLOSED`: there pops end and pushes fail. So nothing is
//!    accepted after a consumer was told that there is no more.
//!
//! A death leaves behind:
//! - as a producer before its claim: nothing. Between claim and publication: `WRITING`, which the next consumer, the
//!   producer a lap later, or [`recover`](Queue::recover) voids. After publication: a message, and perhaps sleepers not
//!   yet woken, whom [`recover`](Queue::recover) or the cap on sleeps wakes;
//! - as a consumer before its swap: nothing. After it: the message is gone with its consumer (at most once), and
//!   perhaps a producer not yet woken;
//! - hints that lag: the next ones walk past.
//!
//! Bounds: no call loops for ever, whatever lies in memory: every look at a slot counts against a limit that honest
//! contention cannot reach, and behind it lies `Corrupted`. Push is lock-free; pop waits for a producer that is
//! stopped between claim and publication ([`Busy`](PopFailure::Busy)).
//!
//! Nothing is written or read in place: a consumer reads by copying (invariant 5), so one who read in place would read
//! what another may have popped; and a producer who wrote in place would hold up every consumer for as long as it likes,
//! to save the shorter of two copies. The channel, whose sides have locks, and the ring of records have such calls.
//!
//! Several at once: see `queue/batch.rs`; waiting: `queue/waiting.rs`.
//!
//! Orderings: publishing is a Release store that the consumer's Acquire load meets; finishing is a Release swap that
//! the next claimer's Acquire meets, which also keeps a successful copy clear of the next item's stores. Hints are
//! stored Release and loaded Acquire: whoever starts at a hint must see the words that justify it. Payload words are
//! Relaxed.
//!
//! Source: our own; per-slot laps as in D. Vyukov's bounded queue (2010), claiming by the slot's word alone.

mod batch;
mod ready;
mod waiting;
mod word;

use super::eventcount;
use super::{Fate, Owner, ParticipantId, Peers, words};
use crate::layout::eventcount::EventCount;
use crate::layout::queue::{Geometry, QueueHeader, Shared};
use crate::primitive::{AtomicU64, Ordering, SPIN, spin_loop};
use word::{CLOSED, EMPTY, FULL, LAP_SHIFT, State, WRITING, decode, laps_ahead, later, word};

/// Looks at a slot that is being written before asking whether its producer lives: a copy takes less.
const WRITER_LOOKS: u32 = 64;
/// Looks that a call may lose to others beyond two rounds of the queue. Each one lost means that somebody else finished
/// an operation meanwhile, so honest company never comes near; only a faulty peer that keeps writing does.
const PATIENCE: u64 = 1 << 16;

/// Why an item was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFailure {
    /// There is no free slot (only when not waiting at all).
    Full,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The queue is shut down.
    Closed,
    /// The queue holds something that no participant writes.
    Corrupted,
}

/// Why no item was popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopFailure {
    /// There is no message (only when not waiting at all).
    Empty,
    /// The next message is still being written by a living producer (only when not waiting at all).
    Busy,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The queue is shut down and empty.
    Closed,
    /// The queue holds something that no participant writes.
    Corrupted,
}

/// Leaves a hint where a walk ended, so that the next call does not walk again; without dirtying the line for nothing.
fn leave_hint(hint: &AtomicU64, position: u64) {
    // Relaxed: only compared.
    if hint.load(Ordering::Relaxed) != position {
        hint.store(position, Ordering::Release);
    }
}

/// An attempt that found something else than it came for.
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    position: u64,
    /// What the slot's word was.
    seen: u64,
}

impl Missed {
    /// Where it looked.
    pub fn position(self) -> u64 {
        self.position
    }

    /// There is no slot for what was asked: a word that is no state.
    const NO_SLOT: u64 = u64::MAX;
}

/// A queue: its header and slots in shared memory, and its checked sizes in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    header: &'a QueueHeader,
    slots: &'a [AtomicU64],
    geometry: Geometry,
}

struct Slot<'a> {
    word: &'a AtomicU64,
    data: &'a [AtomicU64],
    lap: u64,
}

impl<'a> Queue<'a> {
    /// The queue with this header and these slots; `None` if the header does not describe exactly them.
    pub fn attach(header: &'a QueueHeader, slots: &'a [AtomicU64]) -> Option<Self> {
        Self::with_geometry(header, slots, header.validate()?)
    }

    /// As [`attach`](Self::attach), with sizes that the caller has checked against the header before.
    #[inline]
    pub fn with_geometry(header: &'a QueueHeader, slots: &'a [AtomicU64], geometry: Geometry) -> Option<Self> {
        (geometry.words() == slots.len()).then_some(Self { header, slots, geometry })
    }

    /// The queue that starts at `base`.
    ///
    /// # Safety
    /// `geometry.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically
    /// only.
    #[inline]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, geometry: Geometry) -> Option<Self> {
        // SAFETY: as the caller promises; header and slots consist of atomics.
        let (header, slots) = unsafe {
            let slots = base.add(size_of::<QueueHeader>()).cast::<AtomicU64>();
            let slots = core::ptr::NonNull::slice_from_raw_parts(slots, geometry.words());
            (base.cast::<QueueHeader>().as_ref(), slots.as_ref())
        };
        Self::with_geometry(header, slots, geometry)
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Appends `item` (of exactly the item size) if there is room now.
    #[inline(always)]
    pub fn try_push(&self, me: Owner, item: &[u8], peers: &impl Peers) -> Result<(), PushFailure> {
        self.push_once(me, item).or_else(|missed| self.push_on(missed, me, item, peers))
    }

    /// Takes the first message into `item` (of exactly the item size) if there is one now. Otherwise the bytes of
    /// `item` are arbitrary.
    #[inline(always)]
    pub fn try_pop(&self, item: &mut [u8], peers: &impl Peers) -> Result<(), PopFailure> {
        self.pop_once(item).or_else(|missed| self.pop_on(missed, item, peers))
    }

    // What follows is always inline, so that a caller's constant item size unrolls the copies. `push_on` and `pop_on`
    // have the loops and the branches.

    /// Pushes where the hint says. A miss is for [`push_from`](Self::push_from).
    #[inline(always)]
    pub fn push_once(&self, me: Owner, item: &[u8]) -> Result<(), Missed> {
        let position = self.header.tail.0.load(Ordering::Acquire);
        if self.is_shut_down() {
            return Err(Missed { position, seen: word(position >> self.geometry.shift(), CLOSED) });
        }
        self.push_at(position, me, item)
    }

    /// Pops where the hint says. A miss is for [`pop_from`](Self::pop_from).
    #[inline(always)]
    pub fn pop_once(&self, item: &mut [u8]) -> Result<(), Missed> {
        self.pop_at(self.header.head.0.load(Ordering::Acquire), item)
    }

    /// Pushes at this very position.
    #[inline(always)]
    fn push_at(&self, position: u64, me: Owner, item: &[u8]) -> Result<(), Missed> {
        let next = self.next(position);
        self.publish_at(position, me, item.len(), |data| words::store(data, item))?;
        // Not sooner: stores leave in order, and this one may wait for its line while a consumer waits for ours.
        self.header.tail.0.store(next, Ordering::Release);
        self.notify(&self.shared().not_empty);
        Ok(())
    }

    /// Claims this very position, lets `write` fill `bytes` bytes of it, and publishes it: all of a push but the hint and
    /// the wake-up.
    #[inline(always)]
    fn publish_at(
        &self,
        position: u64,
        me: Owner,
        bytes: usize,
        write: impl FnOnce(&[AtomicU64]),
    ) -> Result<(), Missed> {
        let slot = self.slot(position, bytes).ok_or(Missed { position, seen: Missed::NO_SLOT })?;
        let mine = word(slot.lap, WRITING | u64::from(me.participant()));
        // Without a look first: the line comes over once, and exclusive. AcqRel: invariant 2 is handed on.
        match slot.word.compare_exchange(word(slot.lap, EMPTY), mine, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                write(slot.data);
                slot.word.store(word(slot.lap, FULL), Ordering::Release);
                Ok(())
            }
            Err(seen) => Err(Missed { position, seen }),
        }
    }

    /// Pops from this very position.
    #[inline(always)]
    fn pop_at(&self, position: u64, item: &mut [u8]) -> Result<(), Missed> {
        self.finish_at(position, item)?;
        self.header.head.0.store(self.next(position), Ordering::Release);
        self.notify(&self.shared().not_full);
        Ok(())
    }

    /// Copies the message of this very position and finishes it: all of a pop but the hint and the wake-up.
    #[inline(always)]
    fn finish_at(&self, position: u64, item: &mut [u8]) -> Result<(), Missed> {
        let slot = self.slot(position, item.len()).ok_or(Missed { position, seen: Missed::NO_SLOT })?;
        // Acquire: pairs with the Release that published the message.
        let seen = slot.word.load(Ordering::Acquire);
        if seen != word(slot.lap, FULL) {
            return Err(Missed { position, seen });
        }
        words::load(item, slot.data);
        let finished = word(slot.lap.wrapping_add(1), EMPTY);
        // Invariant 5. Release: our copy is made before the next item is written. Acquire: hands on what the claim
        // proved.
        match slot.word.compare_exchange(seen, finished, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(seen) => Err(Missed { position, seen }),
        }
    }

    /// Goes on with a push that missed.
    #[cold]
    fn push_on(&self, mut missed: Missed, me: Owner, item: &[u8], peers: &impl Peers) -> Result<(), PushFailure> {
        for _ in 0..self.patience() {
            let position = self.pass_to_push(missed, peers)?;
            match self.push_at(position, me, item) {
                Ok(()) => return Ok(()),
                Err(again) => missed = again,
            }
        }
        Err(PushFailure::Corrupted)
    }

    /// Goes on with a pop that missed.
    #[cold]
    fn pop_on(&self, mut missed: Missed, item: &mut [u8], peers: &impl Peers) -> Result<(), PopFailure> {
        for _ in 0..self.patience() {
            let position = self.pass_to_pop(missed, peers)?;
            match self.pop_at(position, item) {
                Ok(()) => return Ok(()),
                Err(again) => missed = again,
            }
        }
        Err(PopFailure::Corrupted)
    }

    /// Where a producer goes on from a position that is not free: the same one again, or a later one.
    fn pass_to_push(&self, Missed { position, seen }: Missed, peers: &impl Peers) -> Result<u64, PushFailure> {
        let slot = self.slot(position, 0).ok_or(PushFailure::Corrupted)?;
        let state = decode(seen).ok_or(PushFailure::Corrupted)?;
        let claimed = match (laps_ahead(seen, slot.lap), state) {
            (0, State::Closed) => return Err(PushFailure::Closed),
            (0, State::Writing(_) | State::Full) => position,
            (laps @ 1.., _) => position.wrapping_add((laps - 1).cast_unsigned() << self.geometry.shift()),
            (-1, State::Full) => return Err(self.full_at(position)),
            (-1, State::Writing(producer)) => match peers.fate(producer) {
                Fate::Alive => return Err(self.full_at(position)),
                Fate::Dead => {
                    self.void(slot.word, seen);
                    return Ok(position);
                }
                Fate::Invalid => return Err(PushFailure::Corrupted),
            },
            // A hint that was too high, or a word that no participant writes.
            _ => return Err(PushFailure::Corrupted),
        };
        Ok(later(self.next(claimed), self.header.tail.0.load(Ordering::Acquire)))
    }

    #[cold]
    fn full_at(&self, position: u64) -> PushFailure {
        leave_hint(&self.header.tail.0, position);
        PushFailure::Full
    }

    /// Where a consumer goes on from a position that holds no message: the same one again, or a later one.
    fn pass_to_pop(&self, Missed { position, seen }: Missed, peers: &impl Peers) -> Result<u64, PopFailure> {
        let slot = self.slot(position, 0).ok_or(PopFailure::Corrupted)?;
        let state = decode(seen).ok_or(PopFailure::Corrupted)?;
        match (laps_ahead(seen, slot.lap), state) {
            (0, State::Empty) => {
                if !self.is_shut_down() {
                    leave_hint(&self.header.head.0, position);
                    return Err(PopFailure::Empty);
                }
                // Invariant 6. Lost: a producer was faster, so there is a message to wait for. AcqRel: as a claim.
                let closed = word(slot.lap, CLOSED);
                match slot.word.compare_exchange(seen, closed, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => Err(PopFailure::Closed),
                    Err(_) => Ok(position),
                }
            }
            (0, State::Closed) => Err(PopFailure::Closed),
            (0, State::Writing(producer)) => self.await_writer(&slot, seen, producer, peers).map(|()| position),
            (0, State::Full) => Ok(position),
            (laps @ 1.., _) => {
                // Invariant 3: positions up to (seen lap - 2, index) are finished, those behind it perhaps not.
                let finished = position.wrapping_add((laps - 2).max(0).cast_unsigned() << self.geometry.shift());
                Ok(later(self.next(finished), self.header.head.0.load(Ordering::Acquire)))
            }
            _ => Err(PopFailure::Corrupted),
        }
    }

    /// Gives a producer the time of a copy, then voids its position if it is dead. Ok: look again.
    fn await_writer(
        &self,
        slot: &Slot<'_>,
        seen: u64,
        producer: ParticipantId,
        peers: &impl Peers,
    ) -> Result<(), PopFailure> {
        let mut looks = if SPIN { WRITER_LOOKS } else { 0 };
        while looks > 0 {
            looks -= 1;
            // Relaxed: a change is looked at again with Acquire.
            if slot.word.load(Ordering::Relaxed) != seen {
                return Ok(());
            }
            spin_loop();
        }
        match peers.fate(producer) {
            Fate::Alive => Err(PopFailure::Busy),
            Fate::Dead => {
                self.void(slot.word, seen);
                Ok(())
            }
            Fate::Invalid => Err(PopFailure::Corrupted),
        }
    }

    /// Finishes the position of a producer that died in it, seen as the exact word `seen`. Returns whether this call
    /// did it.
    fn void(&self, at: &AtomicU64, seen: u64) -> bool {
        // AcqRel: hands on what the dead producer's claim proved (invariant 2).
        let next = word((seen >> LAP_SHIFT) + 1, EMPTY);
        let done = at.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if done {
            // Consumers waited for this producer, producers a lap behind for its slot.
            self.notify(&self.shared().not_empty);
            self.notify(&self.shared().not_full);
        }
        done
    }

    /// Shuts the queue down for everybody: pushes fail from now on, pops drain what is there and then fail.
    pub fn shutdown(&self) {
        self.shared().closing.store(1, Ordering::Release);
        self.notify(&self.shared().not_empty);
        self.notify(&self.shared().not_full);
    }

    /// Whether the queue is shut down.
    #[inline]
    pub fn is_shut_down(&self) -> bool {
        // Acquire: who knows that it is shut down knows what its closer did before.
        self.shared().closing.load(Ordering::Acquire) != 0
    }

    /// Number of messages, those being written included; a snapshot between 0 and the capacity.
    pub fn len(&self) -> u64 {
        // A void in the middle counts until the head passes it.
        let head = self.walk(self.header.head.0.load(Ordering::Acquire), |laps, _| laps > 0);
        let start = later(head, self.header.tail.0.load(Ordering::Acquire));
        let tail =
            self.walk(start, |laps, state| laps > 0 || laps == 0 && matches!(state, State::Full | State::Writing(_)));
        let (shift, mask) = (self.geometry.shift(), self.geometry.mask());
        let laps = (tail >> shift).wrapping_sub(head >> shift);
        let between = laps.wrapping_mul(self.geometry.capacity()).wrapping_add(tail & mask).wrapping_sub(head & mask);
        // Others went on between the two walks: the tail may be a lap and more beyond the head that we saw.
        between.min(self.geometry.capacity())
    }

    /// Whether there is no message; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first position from `position` on that is not `passed`, given its laps ahead and state.
    fn walk(&self, mut position: u64, passed: impl Fn(i64, State) -> bool) -> u64 {
        for _ in 0..2 * self.geometry.capacity() + 64 {
            let Some(slot) = self.slot(position, 0) else { break };
            let seen = slot.word.load(Ordering::Acquire);
            let laps = laps_ahead(seen, slot.lap);
            if !decode(seen).is_some_and(|state| passed(laps, state)) {
                break;
            }
            position = self.next(position.wrapping_add((laps - 2).max(0).cast_unsigned() << self.geometry.shift()));
        }
        position
    }

    /// Voids what participant `dead` was writing when it died, and wakes whom it may have left asleep. Returns the
    /// number of positions that this call voided.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) -> u64 {
        let mut voided = 0;
        for slot in self.slots.chunks_exact(self.geometry.stride()) {
            let seen = slot[0].load(Ordering::Acquire);
            if decode(seen) != Some(State::Writing(dead)) {
                continue;
            }
            // Asked after the load: the number may have a living successor by now.
            if peers.fate(dead) != Fate::Dead {
                break;
            }
            voided += u64::from(self.void(&slot[0], seen));
        }
        eventcount::recover(&self.shared().not_empty, u32::MAX);
        eventcount::recover(&self.shared().not_full, u32::MAX);
        voided
    }

    #[inline(always)]
    fn shared(&self) -> &'a Shared {
        &self.header.shared.0
    }

    #[inline(always)]
    fn notify(&self, event: &EventCount) {
        eventcount::notify(event);
    }

    #[inline(always)]
    fn patience(&self) -> u64 {
        2 * self.geometry.capacity() + PATIENCE
    }

    #[inline(always)]
    fn next(&self, position: u64) -> u64 {
        self.geometry.next(position)
    }

    /// The slot of a position and the words of its payload for `bytes` bytes; `None` if a wrong hint led here.
    #[inline(always)]
    fn slot(&self, position: u64, bytes: usize) -> Option<Slot<'a>> {
        let index = position & self.geometry.mask();
        if index >= self.geometry.capacity() || bytes > self.geometry.item_size() {
            return None;
        }
        let start = index as usize * self.geometry.stride();
        let (word, data) = self.slots.get(start..start + 1 + bytes.div_ceil(8))?.split_first()?;
        Some(Slot { word, data, lap: self.geometry.lap(position) })
    }
}
