//! The queue's header and the shape of its slots.
//!
//! ```text
//! offset 0          128       256       384
//!        | shape,   | head    | tail    | slot 0 | slot 1 | ... | slot capacity-1 |
//!        | events   | hint    | hint    |
//!
//! slot = word: u64 | payload: ceil(item_size / 8) x u64
//! ```
//!
//! Zeroed slots are valid: empty, in lap 0. Meaning and states are described in [`raw::queue`](crate::raw::queue).

use super::eventcount::EventCount;
use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The largest capacity: 32 bits of a position are left for the lap.
pub const MAX_CAPACITY: u64 = 1 << 32;
/// The largest item in bytes.
pub const MAX_ITEM: u64 = 1 << 40;

/// A value on cache lines of its own: two, since processors fetch lines in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Line<T>(pub T);

/// What lies before the slots of a queue.
#[repr(C)]
#[derive(Debug)]
pub struct QueueHeader {
    /// What every operation reads and few write.
    pub shared: Line<Shared>,
    /// A lower bound of the first position that may hold a message.
    pub head: Line<AtomicU64>,
    /// A lower bound of the first position that nobody has claimed.
    pub tail: Line<AtomicU64>,
}

/// The part of the header that every operation reads and few write.
#[repr(C)]
#[derive(Debug)]
pub struct Shared {
    /// Number of slots.
    pub capacity: AtomicU64,
    /// Bytes of an item.
    pub item_size: AtomicU64,
    /// 1 once the queue is shut down.
    pub closing: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// Consumers sleep here.
    pub not_empty: EventCount,
    /// Producers sleep here.
    pub not_full: EventCount,
}

impl QueueHeader {
    /// The header of an empty queue.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            shared: Line(Shared {
                capacity: AtomicU64::new(geometry.capacity),
                item_size: AtomicU64::new(geometry.item_size as u64),
                closing: AtomicU32::new(0),
                padding: 0,
                not_empty: EventCount::new(),
                not_full: EventCount::new(),
            }),
            head: Line(AtomicU64::new(0)),
            tail: Line(AtomicU64::new(0)),
        }
    }

    /// The geometry as recorded, if it is one. Compare [`Geometry::words`] with what there is before use.
    pub fn validate(&self) -> Option<Geometry> {
        // Relaxed: written before the queue became visible.
        let capacity = self.shared.0.capacity.load(Ordering::Relaxed);
        Geometry::new(capacity, self.shared.0.item_size.load(Ordering::Relaxed))
    }
}

/// Sizes of a queue, checked: kept in private memory once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    capacity: u64,
    item_size: usize,
    /// Words of a slot.
    stride: usize,
    /// Bits of an index.
    shift: u32,
    /// Those bits.
    mask: u64,
    /// Words of all slots.
    words: usize,
}

/// The position behind `position`, of `capacity` indices that take the bits of `mask`.
#[inline(always)]
pub const fn next_position(position: u64, capacity: u64, mask: u64) -> u64 {
    let next = position.wrapping_add(1);
    if next & mask == capacity & mask {
        // The first index of the next lap: already there if the capacity is a power of two.
        (position | mask).wrapping_add(1)
    } else {
        next
    }
}

impl Geometry {
    /// The geometry for `capacity` items of `item_size` bytes; `None` if there is no such queue.
    pub const fn new(capacity: u64, item_size: u64) -> Option<Self> {
        if capacity == 0 || capacity > MAX_CAPACITY || item_size > MAX_ITEM {
            return None;
        }
        let stride = 1 + item_size.div_ceil(8);
        let words = match capacity.checked_mul(stride) {
            Some(words) if words <= (isize::MAX / 8) as u64 => words as usize,
            _ => return None,
        };
        let shift = 64 - (capacity - 1).leading_zeros();
        let mask = (1 << shift) - 1;
        Some(Self { capacity, item_size: item_size as usize, stride: stride as usize, shift, mask, words })
    }

    /// Number of slots.
    pub const fn capacity(self) -> u64 {
        self.capacity
    }

    /// Bytes of an item.
    pub const fn item_size(self) -> usize {
        self.item_size
    }

    /// Words of a slot.
    pub const fn stride(self) -> usize {
        self.stride
    }

    /// Bits of an index within a position.
    pub const fn shift(self) -> u32 {
        self.shift
    }

    /// The bits of an index within a position.
    pub const fn mask(self) -> u64 {
        self.mask
    }

    /// The lap of a position.
    #[inline(always)]
    pub const fn lap(&self, position: u64) -> u64 {
        position >> self.shift
    }

    /// The position behind `position`.
    #[inline(always)]
    pub const fn next(&self, position: u64) -> u64 {
        next_position(position, self.capacity, self.mask)
    }

    /// How many positions lie between two; `None` if one of them is none.
    #[inline(always)]
    pub fn between(&self, from: u64, to: u64) -> Option<u64> {
        let (from_index, to_index) = (from & self.mask, to & self.mask);
        let laps = self.lap(to).wrapping_sub(self.lap(from));
        let between = laps.wrapping_mul(self.capacity).wrapping_add(to_index).wrapping_sub(from_index);
        (from_index < self.capacity && to_index < self.capacity).then_some(between)
    }

    /// Words of all slots.
    pub const fn words(self) -> usize {
        self.words
    }

    /// Bytes of the whole queue: header and slots.
    pub const fn bytes(self) -> usize {
        size_of::<QueueHeader>() + self.words() * 8
    }
}

const _: () = {
    assert!(size_of::<QueueHeader>() == 384 && align_of::<QueueHeader>() == 128);
    assert!(core::mem::offset_of!(QueueHeader, head) == 128);
    assert!(core::mem::offset_of!(QueueHeader, tail) == 256);
    assert!(size_of::<Shared>() == 32 && core::mem::offset_of!(Shared, closing) == 16);
};
