//! The work queue's header, and the shape of its table and its places.
//!
//! ```text
//! offset 0          128       256        384                      384 + 16 n
//!        | shape,   | head    | tail,    | entry 0, word 0 | ...  | place 0 | place 1 | ... | place n-1 |
//!        | events   | hint    | cursor   |                        |
//!
//! place = length: u64 | message: ceil(longest / 8) x u64
//! ```
//!
//! Zeroed words are valid: free places, and a ring of entries that nobody has claimed in lap 1, where it begins. Meaning
//! and states are described in [`raw::work_queue`](crate::raw::work_queue).

use super::eventcount::EventCount;
use super::queue::Line;
use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The most places: so many bits of a ring entry name one.
pub const MAX_PLACES: u64 = 1 << 24;
/// The longest message that a queue may be made for.
pub const MAX_MESSAGE: u64 = u32::MAX as u64;
/// The largest limit of deliveries.
pub const MAX_DELIVERIES: u32 = 0xffff;
/// Words of the table for each place: its ring entry and its word.
pub const TABLE: usize = 2;

/// What lies before the table.
#[repr(C)]
#[derive(Debug)]
pub struct WorkQueueHeader {
    /// What every operation reads and few write.
    pub shared: Line<Shared>,
    /// A lower bound of the first position that may hold a message.
    pub head: Line<AtomicU64>,
    /// Where producers begin.
    pub tail: Line<Tail>,
}

/// Where producers begin.
#[repr(C)]
#[derive(Debug)]
pub struct Tail {
    /// A lower bound of the first position that nobody has claimed.
    pub position: AtomicU64,
    /// The place to try first: a hint.
    pub cursor: AtomicU32,
    /// Zero.
    pub padding: u32,
}

/// The part of the header that every operation reads and few write.
#[repr(C)]
#[derive(Debug)]
pub struct Shared {
    /// Number of places.
    pub places: AtomicU64,
    /// Bytes of the longest message.
    pub longest: AtomicU64,
    /// Deliveries after which a message is set aside; 0: never. Never changes.
    pub limit: AtomicU32,
    /// 1 once the queue is shut down.
    pub closing: AtomicU32,
    /// Consumers sleep here.
    pub not_empty: EventCount,
    /// Producers sleep here.
    pub not_full: EventCount,
    /// Those who wait for the end of all work sleep here.
    pub all_done: EventCount,
    /// A hint where a returned message is: its place + 1; 0: nowhere.
    pub returned: AtomicU32,
}

impl WorkQueueHeader {
    /// The header of an empty queue.
    pub fn new(geometry: Geometry, limit: u32) -> Self {
        // Lap 1: a zeroed entry is of lap 0, so nobody has claimed it.
        let first = 1 << geometry.shift;
        Self {
            shared: Line(Shared {
                places: AtomicU64::new(geometry.places),
                longest: AtomicU64::new(geometry.longest as u64),
                limit: AtomicU32::new(limit),
                closing: AtomicU32::new(0),
                not_empty: EventCount::new(),
                not_full: EventCount::new(),
                all_done: EventCount::new(),
                returned: AtomicU32::new(0),
            }),
            head: Line(AtomicU64::new(first)),
            tail: Line(Tail { position: AtomicU64::new(first), cursor: AtomicU32::new(0), padding: 0 }),
        }
    }

    /// The geometry as recorded, if it is one. Compare [`Geometry::words`] with what there is before use.
    pub fn validate(&self) -> Option<Geometry> {
        // Relaxed: written before the queue became visible.
        let places = self.shared.0.places.load(Ordering::Relaxed);
        Geometry::new(places, self.shared.0.longest.load(Ordering::Relaxed))
    }
}

/// Sizes of a work queue, checked: kept in private memory once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    places: u64,
    longest: usize,
    /// Words of a place.
    stride: usize,
    /// Bits of an index.
    shift: u32,
    /// Words of table and places.
    words: usize,
}

impl Geometry {
    /// The geometry for `places` messages of at most `longest` bytes; `None` if there is no such queue.
    pub const fn new(places: u64, longest: u64) -> Option<Self> {
        if places == 0 || places > MAX_PLACES || longest == 0 || longest > MAX_MESSAGE {
            return None;
        }
        let stride = 1 + longest.div_ceil(8);
        let words = match places.checked_mul(TABLE as u64 + stride) {
            Some(words) if words <= (isize::MAX / 16) as u64 => words as usize,
            _ => return None,
        };
        let shift = 64 - (places - 1).leading_zeros();
        Some(Self { places, longest: longest as usize, stride: stride as usize, shift, words })
    }

    /// Number of places.
    pub const fn places(self) -> usize {
        self.places as usize
    }

    /// Bytes of the longest message.
    pub const fn longest(self) -> usize {
        self.longest
    }

    /// Words of a place.
    pub const fn stride(self) -> usize {
        self.stride
    }

    /// Bits of an index within a position, and of a place in an entry.
    pub const fn shift(self) -> u32 {
        self.shift
    }

    /// Words of table and places.
    pub const fn words(self) -> usize {
        self.words
    }

    /// Bytes of the whole queue.
    pub const fn bytes(self) -> usize {
        size_of::<WorkQueueHeader>() + self.words * 8
    }
}

const _: () = {
    assert!(size_of::<WorkQueueHeader>() == 384 && align_of::<WorkQueueHeader>() == 128);
    assert!(core::mem::offset_of!(WorkQueueHeader, head) == 128);
    assert!(core::mem::offset_of!(WorkQueueHeader, tail) == 256);
    assert!(size_of::<Shared>() == 40 && core::mem::offset_of!(Shared, limit) == 16);
    assert!(size_of::<Tail>() == 16);
};
