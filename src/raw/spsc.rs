//! The ring of fixed-size items with one producer and one consumer: one store commits a push, one a pop.
//!
//! ```text
//!            stamp: u64 | payload          position = lap << k | index,  index < capacity,
//!           +-----------+---------+                    k = bits of capacity - 1
//!    slot   |  lap + 1  |  item   |        stamp of slot `index` tells the last lap in which it was written
//!           +-----------+---------+
//!
//!               consumer.position              producer.position: one behind at most, or a batch
//!                       v                         v
//!  lap 7     8   8   8  8   8   8   8   8   8  7  7  7     stamp 8: written in lap 7; 7: not yet
//!           taken . .  full . . . . . . . . .  free . .
//! ```
//!
//! | stamp at the consumer's position (lap, index) | means |
//! |---|---|
//! | lap | nothing there yet (zero in lap 0: the valid first state) |
//! | lap + 1 | an item |
//!
//! Any other stamp is corrupted.
//!
//! Invariants:
//! 1. A push is its stamp: a Release store behind the item, in the item's own cache line. So the consumer has the item with
//!    the line that told it that there is one.
//! 2. A pop is the consumer's position: a Release store when the item is copied, in the consumer's own line. It never writes
//!    to a slot, so the line of a slot is not fought for. The producer reads that position only when it has used up what it
//!    knows to be free.
//! 3. The stamps are the truth about the producer, the consumer's position is the truth about the consumer. The producer's
//!    position is a plain store that follows its stamps: a successor starts there and walks over the stamps that are set
//!    already, a counted walk, as each stays until the next lap.
//! 4. A slot is written only between two laps of the consumer: position - consumer's position < capacity.
//!
//! Who may be at an end, and how a ring is shut down: [`ring`].
//!
//! A death leaves behind:
//! - of a producer before its stamp: a slot that says nothing, and is written anew. After it: an item, a position that is
//!   behind, and perhaps a consumer that was not woken, whom [`ring::recover`] or the cap on sleeps wakes;
//! - of a consumer before its position is stored: nothing; its successor gets the item. After it: the item is gone with it
//!   (at most once), and perhaps a producer that was not woken.
//!
//! Bounds: no loop but over slots, and no more of those than there are. An item is copied by relaxed words into private
//! memory; the stamp decides before, and nobody writes there meanwhile but a faulty peer, who makes it wrong at worst.
//!
//! Source: flags in the slots as in FastForward (Giacomoni, Moseley, Vachharajani: PPoPP 2008), with laps in them, so that a
//! successor finds its place; the way back as in Lamport's ring with a cached index.

use super::eventcount;
use super::ring::{self, PopFailure, PushFailure, Refused, Verdict};
use super::{Owner, Peers, words};
use crate::layout::eventcount::EventCount;
use crate::layout::ring::{Geometry, RingHeader, Shared, Side};
use crate::primitive::{AtomicU64, Ordering};

/// A ring: its header and slots in shared memory, and its checked sizes in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Spsc<'a> {
    header: &'a RingHeader,
    slots: &'a [AtomicU64],
    geometry: &'a Geometry,
}

/// What a producer knows.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    position: u64,
    /// So many slots from there on are known to be free.
    free: u64,
}

/// What a consumer knows.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    position: u64,
    /// It has been told that nothing will come.
    over: bool,
}

struct Slot<'a> {
    stamp: &'a AtomicU64,
    data: &'a [AtomicU64],
}

impl Head {
    /// Where it goes on.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl<'a> Spsc<'a> {
    /// The ring with this header and these slots, of sizes that the caller has checked.
    #[inline(always)]
    pub fn new(header: &'a RingHeader, slots: &'a [AtomicU64], geometry: &'a Geometry) -> Option<Self> {
        (geometry.words() == slots.len()).then_some(Self { header, slots, geometry })
    }

    /// The ring that starts at `base`.
    ///
    /// # Safety
    /// `geometry.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically
    /// only.
    #[inline(always)]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, geometry: &'a Geometry) -> Self {
        // SAFETY: as the caller promises; header and slots consist of atomics.
        let (header, slots) = unsafe {
            let slots = base.add(size_of::<RingHeader>()).cast::<AtomicU64>();
            let slots = core::ptr::NonNull::slice_from_raw_parts(slots, geometry.words());
            (base.cast::<RingHeader>().as_ref(), slots.as_ref())
        };
        Self { header, slots, geometry }
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        *self.geometry
    }

    /// The header.
    pub fn header(&self) -> &'a RingHeader {
        self.header
    }

    /// Makes `me` the producer, which goes on where the last one stopped.
    pub fn produce(&self, me: Owner, peers: &impl Peers) -> Result<Tail, Refused> {
        let side = self.producer();
        ring::claim(side, me, peers)?;
        let tail = self.find_tail(side.position.load(Ordering::Relaxed));
        tail.map(|position| Tail { position, free: 0 }).ok_or_else(|| {
            ring::give_back(side, me);
            Refused::Corrupted
        })
    }

    /// Makes `me` the consumer, which goes on where the last one stopped.
    pub fn consume(&self, me: Owner, peers: &impl Peers) -> Result<Head, Refused> {
        let side = self.consumer();
        ring::claim(side, me, peers)?;
        let position = side.position.load(Ordering::Relaxed);
        if self.slot(position, 0).is_none() {
            ring::give_back(side, me);
            return Err(Refused::Corrupted);
        }
        // What lies at the end was never accepted.
        Ok(Head { position, over: ring::end(self.shared()) == Some(position) })
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

    /// The first position from `position` on that was not written (invariant 3).
    fn find_tail(&self, mut position: u64) -> Option<u64> {
        for _ in 0..=self.geometry.capacity() {
            let slot = self.slot(position, 0)?;
            let (stamp, lap) = (slot.stamp.load(Ordering::Acquire), self.lap(position));
            if stamp == lap {
                return Some(position);
            }
            if stamp != lap.wrapping_add(1) {
                return None;
            }
            position = self.next(position);
        }
        None
    }

    // What follows is always inline, so that a caller's constant item size unrolls the copies. What it calls that is not
    // inline gets a few words by value, in registers: for a reference to them `self` or the tail would be stored at each call.

    /// Appends `item` (of exactly the item size) if there is room now.
    #[inline(always)]
    pub fn try_push(&self, tail: &mut Tail, item: &[u8]) -> Result<(), PushFailure> {
        let shared = self.shared();
        if ring::is_shut_down(shared) {
            return Err(PushFailure::Closed);
        }
        if tail.free == 0 {
            tail.free = room(self.consumer(), self.geometry, tail.position)?;
        }
        let position = tail.position;
        let slot = self.slot(position, item.len()).ok_or(PushFailure::Corrupted)?;
        words::store(slot.data, item);
        slot.stamp.store(self.written(position), Ordering::Release); // invariant 1
        self.advance(tail, self.next(position), 1);
        eventcount::notify(&shared.not_empty);
        // Behind the fence that was just made, or stood for.
        if shared.closing.load(Ordering::Relaxed) != 0 {
            return settle(shared, self.geometry, position, 1).map(|_| ());
        }
        Ok(())
    }

    /// Appends up to `count` items, each of which `write` writes into the words of its slot; says how many, at least one.
    #[inline(always)]
    pub fn try_push_many(
        &self,
        tail: &mut Tail,
        count: u64,
        mut write: impl FnMut(u64, &[AtomicU64]),
    ) -> Result<u64, PushFailure> {
        let shared = self.shared();
        if ring::is_shut_down(shared) {
            return Err(PushFailure::Closed);
        }
        if tail.free < count {
            tail.free = room(self.consumer(), self.geometry, tail.position)?;
        }
        let (first, count) = (tail.position, count.min(tail.free));
        let mut position = first;
        for nth in 0..count {
            let slot = self.slot(position, self.geometry.item_size()).ok_or(PushFailure::Corrupted)?;
            write(nth, slot.data);
            slot.stamp.store(self.written(position), Ordering::Release);
            position = self.next(position);
        }
        self.advance(tail, position, count);
        eventcount::notify(&shared.not_empty);
        if shared.closing.load(Ordering::Relaxed) != 0 {
            return settle(shared, self.geometry, first, count);
        }
        Ok(count)
    }

    #[inline(always)]
    fn advance(&self, tail: &mut Tail, position: u64, count: u64) {
        *tail = Tail { position, free: tail.free - count };
        // Relaxed: a successor sees it with the role, and walks on over the stamps.
        self.producer().position.store(position, Ordering::Relaxed);
    }

    /// Takes the first item into `item` (of exactly the item size) if there is one now. Otherwise `item` is left alone.
    #[inline(always)]
    pub fn try_pop(&self, head: &mut Head, item: &mut [u8]) -> Result<(), PopFailure> {
        let position = head.position;
        let slot = self.slot(position, item.len()).ok_or(PopFailure::Corrupted)?;
        // Acquire: pairs with the Release of the push.
        if slot.stamp.load(Ordering::Acquire) != self.written(position) || head.over {
            self.look_again(head, slot.stamp)?;
        }
        words::load(item, slot.data);
        self.retreat(head, self.next(position));
        Ok(())
    }

    /// Takes up to `count` items, each of which `read` reads from the words of its slot; says how many, at least one.
    #[inline(always)]
    pub fn try_pop_many(
        &self,
        head: &mut Head,
        count: u64,
        mut read: impl FnMut(u64, &[AtomicU64]),
    ) -> Result<u64, PopFailure> {
        let (mut position, mut taken) = (head.position, 0);
        while taken < count.min(self.geometry.capacity()) && !head.over {
            let slot = self.slot(position, self.geometry.item_size()).ok_or(PopFailure::Corrupted)?;
            if slot.stamp.load(Ordering::Acquire) != self.written(position) {
                break;
            }
            read(taken, slot.data);
            position = self.next(position);
            taken += 1;
        }
        if taken > 0 {
            self.retreat(head, position);
            return Ok(taken);
        }
        let slot = self.slot(head.position, self.geometry.item_size()).ok_or(PopFailure::Corrupted)?;
        self.look_again(head, slot.stamp)?;
        // There is one by now, and this is for whoever asks for at least one.
        read(0, slot.data);
        self.retreat(head, self.next(head.position));
        Ok(1)
    }

    /// Why there is nothing; Ok if there is by now.
    #[inline(always)]
    fn look_again(&self, head: &mut Head, stamp: &AtomicU64) -> Result<(), PopFailure> {
        if head.over {
            return Err(PopFailure::Closed);
        }
        let looked = look_again(self.shared(), stamp, head.position, self.lap(head.position));
        head.over = looked == Err(PopFailure::Closed);
        looked
    }

    /// Commits a pop.
    #[inline(always)]
    fn retreat(&self, head: &mut Head, position: u64) {
        head.position = position;
        self.consumer().position.store(position, Ordering::Release); // invariant 2
        eventcount::notify(&self.shared().not_full);
    }

    /// Shuts the ring down for everybody: pushes fail from now on, pops drain what is there and then fail.
    pub fn shutdown(&self) {
        ring::shutdown(self.shared());
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        ring::is_shut_down(self.shared())
    }

    /// Number of items; a snapshot between 0 and the capacity.
    pub fn len(&self) -> u64 {
        let head = self.consumer().position.load(Ordering::Acquire);
        let Some(mut position) = self.slot(head, 0).map(|_| head) else { return 0 };
        let end = ring::end(self.shared());
        // Far from the end of a long ring, the producer's position is near enough to start at.
        let hint = self.producer().position.load(Ordering::Acquire);
        let known = self.geometry.between(head, hint).filter(|known| *known <= self.geometry.capacity());
        let mut len = match known {
            Some(known) if end.is_none() => {
                position = hint;
                known
            }
            _ => 0,
        };
        while len < self.geometry.capacity() && end != Some(position) && self.is_written(position) {
            position = self.next(position);
            len += 1;
        }
        len
    }

    /// Whether it holds none; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_written(&self, position: u64) -> bool {
        self.slot(position, 0).is_some_and(|slot| slot.stamp.load(Ordering::Acquire) == self.written(position))
    }

    /// Whether a pop would end at once: with an item, at the end, or with an error.
    pub fn can_pop(&self) -> bool {
        let head = self.consumer().position.load(Ordering::Acquire);
        let Some(slot) = self.slot(head, 0) else { return true };
        slot.stamp.load(Ordering::Acquire) != self.lap(head) || self.is_shut_down()
    }

    /// Whether a push would end at once, in the same way.
    pub fn can_push(&self) -> bool {
        let head = self.consumer().position.load(Ordering::Acquire);
        // The last slot that a full ring has.
        let (index, lap) = (head & self.geometry.mask(), head >> self.geometry.shift());
        let last = match index.checked_sub(1) {
            Some(index) => lap.wrapping_add(1) << self.geometry.shift() | index,
            None => lap << self.geometry.shift() | (self.geometry.capacity() - 1),
        };
        self.is_shut_down() || !self.is_written(last)
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

    #[inline(always)]
    fn lap(&self, position: u64) -> u64 {
        self.geometry.lap(position)
    }

    /// The stamp of a slot that was written at this position.
    #[inline(always)]
    fn written(&self, position: u64) -> u64 {
        self.lap(position).wrapping_add(1)
    }

    #[inline(always)]
    fn next(&self, position: u64) -> u64 {
        self.geometry.next(position)
    }

    /// The slot of a position and the words of its payload for `bytes` bytes; `None` if there is none.
    #[inline(always)]
    fn slot(&self, position: u64, bytes: usize) -> Option<Slot<'a>> {
        let index = position & self.geometry.mask();
        if index >= self.geometry.capacity() || bytes > self.geometry.item_size() {
            return None;
        }
        let start = index as usize * self.geometry.stride();
        let (stamp, data) = self.slots.get(start..start + 1 + bytes.div_ceil(8))?.split_first()?;
        Some(Slot { stamp, data })
    }
}

/// How many slots are free from `tail` on, at least one; asked when too few are known to be.
#[cold]
#[inline(never)]
fn room(consumer: &Side, geometry: &Geometry, tail: u64) -> Result<u64, PushFailure> {
    // Acquire: pairs with the Release of a pop, whose copy is made before we write.
    let head = consumer.position.load(Ordering::Acquire);
    let used = geometry.between(head, tail).ok_or(PushFailure::Corrupted)?;
    match geometry.capacity().checked_sub(used) {
        Some(0) => Err(PushFailure::Full),
        free => free.ok_or(PushFailure::Corrupted),
    }
}

/// How many of the `count` items from `first` on, published while the ring was being shut down, are in it.
#[cold]
#[inline(never)]
fn settle(shared: &Shared, geometry: &Geometry, first: u64, count: u64) -> Result<u64, PushFailure> {
    let mut position = first;
    (0..count).for_each(|_| position = geometry.next(position));
    match geometry.between(first, ring::settle(shared, position)) {
        Some(0) => Err(PushFailure::Closed),
        Some(taken) if taken <= count => Ok(taken),
        _ => Err(PushFailure::Corrupted),
    }
}

/// Whether there is an item by now at this position, of this lap, which has this stamp.
#[cold]
#[inline(never)]
fn look_again(shared: &Shared, stamp: &AtomicU64, position: u64, lap: u64) -> Result<(), PopFailure> {
    match stamp.load(Ordering::Acquire) {
        seen if seen == lap => {}
        seen if seen == lap.wrapping_add(1) => return Ok(()),
        _ => return Err(PopFailure::Corrupted),
    }
    match ring::verdict(shared, position, || stamp.load(Ordering::Acquire) == lap.wrapping_add(1)) {
        Verdict::Open => Err(PopFailure::Empty),
        Verdict::More => Ok(()),
        Verdict::Corrupted => Err(PopFailure::Corrupted),
        Verdict::Over => Err(PopFailure::Closed),
    }
}
