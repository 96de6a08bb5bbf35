//! The header of a ring with one producer and one consumer.
//!
//! ```text
//! offset 0          128         256         384
//!        | shape,   | producer: | consumer: | slots, or bytes
//!        | events,  | who, next | who, next |
//!        | the end  | position  | position  |
//! ```
//!
//! A [`spsc`](crate::raw::spsc) has slots behind it, of the shape of a [queue's](super::queue): slot = stamp: u64 |
//! payload: ceil(item_size / 8) x u64. Zeroed slots are valid: never written. Roles, positions and the end are described
//! in [`raw::ring`](crate::raw::ring).

use super::eventcount::EventCount;
pub use super::queue::{Geometry, Line};
use crate::primitive::{AtomicU32, AtomicU64};

/// What lies before the slots or bytes of a ring.
#[repr(C)]
#[derive(Debug)]
pub struct RingHeader {
    /// What every operation reads and few write.
    pub shared: Line<Shared>,
    /// The producer's own line.
    pub producer: Line<Side>,
    /// The consumer's own line.
    pub consumer: Line<Side>,
}

/// The part of the header that every operation reads and few write.
#[repr(C)]
#[derive(Debug)]
pub struct Shared {
    /// Number of slots, or bytes.
    pub capacity: AtomicU64,
    /// Bytes of an item; 0 for a ring of bytes.
    pub item_size: AtomicU64,
    /// 1 once the ring is shut down.
    pub closing: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// The consumer sleeps here.
    pub not_empty: EventCount,
    /// The producer sleeps here.
    pub not_full: EventCount,
    /// 0, or the position at which the ring ends, twice, and 1.
    pub end: AtomicU64,
}

/// One end of the ring.
#[repr(C)]
#[derive(Debug)]
pub struct Side {
    /// Who is at this end: 0 for nobody, else an owner.
    pub role: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// Where it goes on.
    pub position: AtomicU64,
}

impl Side {
    fn new() -> Self {
        Self { role: AtomicU32::new(0), padding: 0, position: AtomicU64::new(0) }
    }
}

impl RingHeader {
    /// The header of an empty ring.
    pub fn new(capacity: u64, item_size: u64) -> Self {
        Self {
            shared: Line(Shared {
                capacity: AtomicU64::new(capacity),
                item_size: AtomicU64::new(item_size),
                closing: AtomicU32::new(0),
                padding: 0,
                not_empty: EventCount::new(),
                not_full: EventCount::new(),
                end: AtomicU64::new(0),
            }),
            producer: Line(Side::new()),
            consumer: Line(Side::new()),
        }
    }
}

const _: () = {
    assert!(size_of::<RingHeader>() == 384 && align_of::<RingHeader>() == 128);
    // The geometry of a queue tells where the slots are.
    assert!(size_of::<RingHeader>() == size_of::<super::queue::QueueHeader>());
    assert!(core::mem::offset_of!(RingHeader, producer) == 128);
    assert!(core::mem::offset_of!(RingHeader, consumer) == 256);
    assert!(size_of::<Shared>() == 40 && core::mem::offset_of!(Shared, closing) == 16);
    assert!(core::mem::offset_of!(Shared, end) == 32);
    assert!(size_of::<Side>() == 16 && core::mem::offset_of!(Side, position) == 8);
};

/// The size of a ring of bytes, checked: kept in private memory once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    words: u32,
}

impl Bytes {
    /// The fewest and the most bytes of a ring.
    pub const LEAST: u64 = 64;
    /// Positions count words in 32 bits, and lengths bytes.
    pub const MOST: u64 = 8 << 30;

    /// The size of a ring of `bytes`, rounded up to a power of two; `None` if there is no such ring.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes == 0 || bytes > Self::MOST || bytes > isize::MAX as u64 / 2 {
            return None;
        }
        let bytes = if bytes < Self::LEAST { Self::LEAST } else { bytes.next_power_of_two() };
        Some(Self { words: (bytes / 8) as u32 })
    }

    /// The same for what an entry says, which must be exact.
    pub fn exactly(bytes: u64) -> Option<Self> {
        Self::new(bytes).filter(|size| size.capacity() == bytes)
    }

    /// Words of the ring, a power of two.
    pub const fn words(self) -> u32 {
        self.words
    }

    /// Bytes of the ring.
    pub const fn capacity(self) -> u64 {
        self.words as u64 * 8
    }

    /// The longest record: with its header it takes half of the ring. So it fits an empty ring wherever that stands, also if
    /// it has to begin anew at the start.
    pub const fn max_record(self) -> usize {
        (self.words / 2 - 1) as usize * 8
    }

    /// Bytes of the object: header and ring.
    pub const fn bytes(self) -> usize {
        size_of::<RingHeader>() + self.words as usize * 8
    }
}
