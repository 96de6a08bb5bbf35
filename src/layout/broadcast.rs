//! The header of a broadcast and of a blackboard, the cursors of readers, and the shape of the slots.
//!
//! ```text
//! offset 0          128      256        384               256 + 128 x readers
//!        | shared   | tail   | cursor 0 | cursor 1 | ... | slot 0 | slot 1 | ... | slot capacity |
//!
//! slot = stamp: u64 | with byte records, length: u64 | payload: ceil(record_size / 8) x u64
//! ```
//!
//! There is a slot more than the capacity: the one that is being written. Zeroed cursors and slots are valid. Meaning and
//! states are described in [`raw::broadcast`](crate::raw::broadcast).

use super::eventcount::EventCount;
use super::queue::{Line, MAX_ITEM};
use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The largest capacity.
pub const MAX_CAPACITY: u64 = 1 << 32;
/// The most readers that a writer waits for.
pub const MAX_READERS: u32 = 1024;

/// What lies before the cursors.
#[repr(C)]
#[derive(Debug)]
pub struct BroadcastHeader {
    /// What every operation reads and few write.
    pub shared: Line<Shared>,
    /// The position that the next record gets << 1 | shut down.
    pub tail: Line<AtomicU64>,
}

/// The part of the header that every operation reads and few write.
#[repr(C)]
#[derive(Debug)]
pub struct Shared {
    /// Records that can be read at any time.
    pub capacity: AtomicU64,
    /// Bytes of a record; of byte records, the most.
    pub record_size: AtomicU64,
    /// Number of cursors: 0 where the writer waits for nobody.
    pub readers: AtomicU32,
    /// 1 if a record is so many bytes as its length word says, else 0.
    pub bytes: AtomicU32,
    /// 1 once somebody shuts it down.
    pub closing: AtomicU32,
    /// Zero.
    pub zero: u32,
    /// Who may write: claims:34 | tag:17 | participant:13, of which the last 30 are zero if nobody may.
    pub writer: AtomicU64,
    /// Readers sleep here.
    pub not_empty: EventCount,
    /// The writer sleeps here.
    pub not_full: EventCount,
}

/// How far a reader is that the writer waits for.
#[repr(C)]
#[derive(Debug)]
pub struct Cursor {
    /// Whose it is, in the form of [`Shared::writer`].
    pub owner: AtomicU64,
    /// The next position that it reads; not beyond the tail.
    pub position: AtomicU64,
}

impl BroadcastHeader {
    /// The header of an empty one.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            shared: Line(Shared {
                capacity: AtomicU64::new(geometry.capacity()),
                record_size: AtomicU64::new(geometry.record_size as u64),
                readers: AtomicU32::new(geometry.readers),
                bytes: AtomicU32::new(geometry.bytes.into()),
                closing: AtomicU32::new(0),
                zero: 0,
                writer: AtomicU64::new(0),
                not_empty: EventCount::new(),
                not_full: EventCount::new(),
            }),
            tail: Line(AtomicU64::new(0)),
        }
    }

    /// The geometry as recorded, if it is one. Compare [`Geometry::bytes`] with what there is before use.
    pub fn validate(&self) -> Option<Geometry> {
        // Relaxed: written before the object became visible.
        let shared = &self.shared.0;
        let bytes = match shared.bytes.load(Ordering::Relaxed) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let capacity = shared.capacity.load(Ordering::Relaxed);
        Geometry::new(
            capacity,
            shared.record_size.load(Ordering::Relaxed),
            shared.readers.load(Ordering::Relaxed),
            bytes,
        )
    }
}

/// Sizes, checked: kept in private memory once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// One more than the capacity.
    slots: u64,
    record_size: usize,
    readers: u32,
    bytes: bool,
    /// Words of a slot.
    stride: usize,
    /// Words of all slots.
    words: usize,
}

impl Geometry {
    /// The geometry for `capacity` records of `record_size` bytes, of up to so many if they are `bytes`, and a writer that
    /// waits for so many `readers`. `None` if there is no such broadcast.
    pub const fn new(capacity: u64, record_size: u64, readers: u32, bytes: bool) -> Option<Self> {
        if capacity == 0 || capacity > MAX_CAPACITY || record_size > MAX_ITEM || readers > MAX_READERS {
            return None;
        }
        let slots = capacity + 1;
        let stride = 1 + bytes as u64 + record_size.div_ceil(8);
        let words = match slots.checked_mul(stride) {
            Some(words) if words <= (isize::MAX / 16) as u64 => words as usize,
            _ => return None,
        };
        Some(Self { slots, record_size: record_size as usize, readers, bytes, stride: stride as usize, words })
    }

    /// Records that can be read at any time.
    pub const fn capacity(self) -> u64 {
        self.slots - 1
    }

    /// Number of slots.
    pub const fn slots(self) -> u64 {
        self.slots
    }

    /// Bytes of a record, at most.
    pub const fn record_size(self) -> usize {
        self.record_size
    }

    /// Number of cursors.
    pub const fn readers(self) -> u32 {
        self.readers
    }

    /// Whether each record has a length of its own.
    pub const fn is_bytes(self) -> bool {
        self.bytes
    }

    /// Words of a slot.
    pub const fn stride(self) -> usize {
        self.stride
    }

    /// Words of all slots.
    pub const fn words(self) -> usize {
        self.words
    }

    /// Bytes of the whole object: header, cursors and slots.
    pub const fn bytes(self) -> usize {
        size_of::<BroadcastHeader>() + self.readers as usize * size_of::<Line<Cursor>>() + self.words * 8
    }
}

const _: () = {
    assert!(size_of::<BroadcastHeader>() == 256 && align_of::<BroadcastHeader>() == 128);
    assert!(core::mem::offset_of!(BroadcastHeader, tail) == 128 && size_of::<Line<Cursor>>() == 128);
    assert!(size_of::<Shared>() == 48 && core::mem::offset_of!(Shared, writer) == 32);
    assert!(core::mem::offset_of!(Shared, not_empty) == 40 && core::mem::offset_of!(Shared, not_full) == 44);
    assert!(core::mem::offset_of!(Shared, closing) == 24 && core::mem::offset_of!(Cursor, position) == 8);
};
