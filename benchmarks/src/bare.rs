//! The bare protocols: the slots, stamps and headers of our rings and of our queue, and nothing else. There are no sleepers to look
//! for, no end that could be shut down, no role, no death, and nothing that was read is checked; sizes are known to the compiler
//! where ours know them by their header only. What our checks cost is the distance to these.
//!
//! Whoever finds nothing, or no room, waits as one waits with a ring that cannot sleep.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::byte_ring::{self, ring_bytes};
use crate::crew::{As, Padded, Shared};
use crate::queue::{self, Queue};
use crate::ring::{self, persist};

/// Beside the row of the library.
pub(crate) const NAME: &str = "limit: the bare protocol (processes)";

fn line() -> Shared<Padded<AtomicU64>> {
    Shared::new(Padded::default())
}

/// The consumer's position in a line of its own, and slots or words.
type Ring = (Shared<Padded<AtomicU64>>, Shared<[AtomicU64]>);

/// Two rings of items. Slot = stamp (lap + 1 once written), item.
pub(crate) struct Spsc<const N: usize>([Ring; 2]);

/// An end of it: the consumer's position and the slots in shared memory, the own position and what is known to be free.
pub(crate) struct SpscEnd<'a> {
    consumer: &'a AtomicU64,
    slots: &'a [AtomicU64],
    position: u64,
    free: u64,
}

impl<const N: usize> Spsc<N> {
    pub(crate) fn new() -> Self {
        Self([(); 2].map(|()| (line(), Shared::words(ring::CAPACITY * (N + 1)))))
    }

    fn end(&self, ring: usize) -> SpscEnd<'_> {
        let (consumer, slots) = &self.0[ring];
        SpscEnd { consumer: &consumer.0, slots, position: 0, free: 0 }
    }
}

impl SpscEnd<'_> {
    #[inline(always)]
    fn slot<const N: usize>(&self) -> (&AtomicU64, &[AtomicU64], u64) {
        let slot = &self.slots[self.position as usize % ring::CAPACITY * (N + 1)..][..N + 1];
        (&slot[0], &slot[1..], self.position / ring::CAPACITY as u64 + 1)
    }

    #[inline(always)]
    fn try_push<const N: usize>(&mut self, item: &[u64; N]) -> Option<()> {
        if self.free == 0 {
            self.free = ring::CAPACITY as u64 - (self.position - self.consumer.load(Ordering::Acquire));
            if self.free == 0 {
                return None;
            }
        }
        let (stamp, data, written) = self.slot::<N>();
        data.iter().zip(item).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
        stamp.store(written, Ordering::Release);
        (self.position, self.free) = (self.position + 1, self.free - 1);
        Some(())
    }

    #[inline(always)]
    fn try_pop<const N: usize>(&mut self) -> Option<[u64; N]> {
        let (stamp, data, written) = self.slot::<N>();
        if stamp.load(Ordering::Acquire) != written {
            return None;
        }
        let mut item = [0; N];
        item.iter_mut().zip(data).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
        self.position += 1;
        self.consumer.store(self.position, Ordering::Release);
        Some(item)
    }
}

impl<const N: usize> ring::Rings<N> for Spsc<N> {
    const AS: As = As::Processes;
    type Tx<'a> = SpscEnd<'a>;
    type Rx<'a> = SpscEnd<'a>;
    fn tx(&self, ring: usize) -> SpscEnd<'_> {
        self.end(ring)
    }
    fn rx(&self, ring: usize) -> SpscEnd<'_> {
        self.end(ring)
    }
    #[inline(always)]
    fn push(tx: &mut SpscEnd<'_>, item: [u64; N]) {
        persist(|| tx.try_push(&item));
    }
    #[inline(always)]
    fn pop(rx: &mut SpscEnd<'_>) -> [u64; N] {
        persist(|| rx.try_pop())
    }
}

/// Two rings of records: a header of kind and length before each, 0 where nothing is yet, a pad where a record does not fit.
pub(crate) struct Records([Ring; 2]);

/// An end of it, as above. Positions count words.
pub(crate) struct RecordsEnd<'a> {
    consumer: &'a AtomicU64,
    words: &'a [AtomicU64],
    position: usize,
    free: usize,
}

const PAD: u64 = 2 << 32;

fn record(len: usize) -> u64 {
    1 << 32 | len as u64
}

impl Records {
    pub(crate) fn new(len: usize) -> Self {
        Self([(); 2].map(|()| (line(), Shared::words(ring_bytes(len).next_power_of_two() / 8))))
    }

    fn end(&self, ring: usize) -> RecordsEnd<'_> {
        let (consumer, words) = &self.0[ring];
        RecordsEnd { consumer: &consumer.0, words, position: 0, free: 0 }
    }
}

impl RecordsEnd<'_> {
    #[inline(always)]
    fn word(&self, position: usize) -> &AtomicU64 {
        &self.words[position & (self.words.len() - 1)]
    }

    /// The payload behind the header at a position, which is not cut by the end of the ring.
    #[inline(always)]
    fn payload(&self, position: usize) -> *mut u8 {
        self.words[(position & (self.words.len() - 1)) + 1..].as_ptr().cast_mut().cast()
    }

    /// Words from a position to the end of the ring.
    #[inline(always)]
    fn to_end(&self) -> usize {
        self.words.len() - (self.position & (self.words.len() - 1))
    }
}

impl byte_ring::Rings for Records {
    const AS: As = As::Processes;
    type Tx<'a> = RecordsEnd<'a>;
    type Rx<'a> = RecordsEnd<'a>;
    fn tx(&self, ring: usize) -> RecordsEnd<'_> {
        self.end(ring)
    }
    fn rx(&self, ring: usize) -> RecordsEnd<'_> {
        self.end(ring)
    }
    #[inline(always)]
    fn send(tx: &mut RecordsEnd<'_>, len: usize, mut write: impl FnMut(&mut [u8])) {
        let words = 1 + len.div_ceil(8);
        let pad = if words > tx.to_end() { tx.to_end() } else { 0 };
        if tx.free < pad + words + 1 {
            persist(|| {
                tx.free = tx.words.len() - (tx.position - tx.consumer.load(Ordering::Acquire) as usize);
                (tx.free > pad + words).then_some(())
            });
        }
        let at = tx.position + pad;
        // SAFETY: this is free, so nobody else looks at it, and it lies inside the ring.
        write(unsafe { std::slice::from_raw_parts_mut(tx.payload(at), len) });
        tx.word(at + words).store(0, Ordering::Relaxed);
        if pad > 0 {
            tx.word(at).store(record(len), Ordering::Relaxed);
            tx.word(tx.position).store(PAD, Ordering::Release);
        } else {
            tx.word(at).store(record(len), Ordering::Release);
        }
        (tx.position, tx.free) = (at + words, tx.free - pad - words);
    }
    #[inline(always)]
    fn receive(rx: &mut RecordsEnd<'_>, len: usize, mut read: impl FnMut(&[u8])) {
        let found = |rx: &RecordsEnd<'_>| match rx.word(rx.position).load(Ordering::Acquire) {
            0 => None,
            header => Some(header),
        };
        let mut header = persist(|| found(rx));
        if header == PAD {
            rx.position += rx.to_end();
            header = rx.word(rx.position).load(Ordering::Relaxed);
        }
        assert_eq!(header, record(len));
        // SAFETY: it was published, and is not written again before it was released; it lies inside the ring.
        read(unsafe { std::slice::from_raw_parts(rx.payload(rx.position), len) });
        rx.position += 1 + len.div_ceil(8);
        rx.consumer.store(rx.position as u64, Ordering::Release);
    }
}

/// The queue's slots. Word = lap * 4 + (0 empty, 1 being written, 2 full).
pub(crate) struct Slots<const N: usize> {
    head: Shared<Padded<AtomicU64>>,
    tail: Shared<Padded<AtomicU64>>,
    slots: Shared<[AtomicU64]>,
}

impl<const N: usize> Slots<N> {
    pub(crate) fn new() -> Self {
        Self { head: line(), tail: line(), slots: Shared::words(queue::CAPACITY * (N + 1)) }
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> (&AtomicU64, &[AtomicU64], u64) {
        let index = position as usize % queue::CAPACITY;
        let slot = &self.slots[index * (N + 1)..][..N + 1];
        (&slot[0], &slot[1..], position / queue::CAPACITY as u64 * 4)
    }

    #[inline(always)]
    fn try_push(&self, item: &[u64; N]) -> Option<()> {
        let mut position = self.tail.0.load(Ordering::Acquire);
        loop {
            let (word, data, lap) = self.slot(position);
            match word.compare_exchange(lap, lap + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.tail.0.store(position + 1, Ordering::Release);
                    data.iter().zip(item).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
                    word.store(lap + 2, Ordering::Release);
                    return Some(());
                }
                Err(seen) if seen < lap => return None,
                Err(_) => position = (position + 1).max(self.tail.0.load(Ordering::Acquire)),
            }
        }
    }

    #[inline(always)]
    fn try_pop(&self) -> Option<[u64; N]> {
        let mut position = self.head.0.load(Ordering::Acquire);
        loop {
            let (word, data, lap) = self.slot(position);
            let seen = word.load(Ordering::Acquire);
            if seen < lap + 2 {
                return None;
            }
            if seen == lap + 2 {
                let mut item = [0; N];
                item.iter_mut().zip(data).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
                if word.compare_exchange(seen, lap + 4, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    self.head.0.store(position + 1, Ordering::Release);
                    return Some(item);
                }
            }
            position = (position + 1).max(self.head.0.load(Ordering::Acquire));
        }
    }
}

impl<const N: usize> Queue<N> for Slots<N> {
    const AS: As = As::Processes;
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn push(&self, _: &(), item: [u64; N]) {
        persist(|| self.try_push(&item));
    }
    #[inline(always)]
    fn pop(&self, _: &()) -> [u64; N] {
        persist(|| self.try_pop())
    }
}
