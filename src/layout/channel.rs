//! The channel's header and the shape of its ring.
//!
//! ```text
//! offset 0        128         256      384      512      640
//!        | shape, | senders   | tail   | recei- | head   | ring: capacity / 8 words
//!        | events | lock ...  |        | vers.. |        |
//! ```
//!
//! Zeroed positions and rings are valid: an empty channel. Meaning and states are described in
//! [`raw::channel`](crate::raw::channel).

use super::eventcount::EventCount;
use super::mutex::LockWord;
use super::queue::Line;
use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The largest number of words in a ring: 31 bits of a position are its index.
pub const MAX_WORDS: u64 = (1 << 31) - 1;

/// What lies before the ring of a channel.
#[repr(C)]
#[derive(Debug)]
pub struct ChannelHeader {
    /// What every operation reads and few write.
    pub shared: Line<Shared>,
    /// What only a sender that holds the lock writes.
    pub senders: Line<Side>,
    /// Where the next message goes: the word that commits a send.
    pub tail: Line<AtomicU64>,
    /// What only a receiver that holds the lock writes.
    pub receivers: Line<Side>,
    /// Where the next message comes from: the word that commits a receive.
    pub head: Line<AtomicU64>,
}

/// The part of the header that every operation reads and few write.
#[repr(C)]
#[derive(Debug)]
pub struct Shared {
    /// Words of the ring.
    pub words: AtomicU64,
    /// 1 once the channel is shut down; written under the senders' lock. 2 if somebody has asked for it.
    pub closing: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// Receivers sleep here.
    pub not_empty: EventCount,
    /// Senders sleep here.
    pub not_full: EventCount,
    /// The last message that went in pieces: its number and how it stands.
    pub transfer: AtomicU64,
}

/// One side's lock, and what it knows of the other side.
#[repr(C)]
#[derive(Debug)]
pub struct Side {
    /// Held during an operation.
    pub lock: LockWord,
    /// The other side's position as last looked at: saves its cache line most of the time.
    pub other: AtomicU64,
    /// How many messages had gone through this side when it last found nothing to do.
    pub missed: AtomicU32,
    /// How many between the last two times: more than one is a stream.
    pub between: AtomicU32,
}

impl Side {
    fn new() -> Self {
        Self { lock: LockWord::new(), other: AtomicU64::new(0), missed: AtomicU32::new(0), between: AtomicU32::new(0) }
    }
}

impl ChannelHeader {
    /// The header of an empty channel.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            shared: Line(Shared {
                words: AtomicU64::new(geometry.words.into()),
                closing: AtomicU32::new(0),
                padding: 0,
                not_empty: EventCount::new(),
                not_full: EventCount::new(),
                transfer: AtomicU64::new(0),
            }),
            senders: Line(Side::new()),
            tail: Line(AtomicU64::new(0)),
            receivers: Line(Side::new()),
            head: Line(AtomicU64::new(0)),
        }
    }

    /// The geometry as recorded, if it is one. Compare it with what there is before use.
    pub fn validate(&self) -> Option<Geometry> {
        // Relaxed: written before the channel became visible.
        Geometry::of_words(self.shared.0.words.load(Ordering::Relaxed))
    }
}

/// The size of a channel's ring, checked: kept in private memory once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    words: u32,
}

impl Geometry {
    /// The geometry for a ring of `bytes`, rounded up to whole words; `None` if there is no such ring (none of less
    /// than a word, none of 16 GiB).
    pub const fn new(bytes: u64) -> Option<Self> {
        Self::of_words(bytes.div_ceil(8))
    }

    const fn of_words(words: u64) -> Option<Self> {
        if words == 0 || words > MAX_WORDS || words > (isize::MAX / 16) as u64 {
            return None;
        }
        Some(Self { words: words as u32 })
    }

    /// Words of the ring.
    pub const fn words(self) -> usize {
        self.words as usize
    }

    /// Bytes of the ring. A message takes 8 and its length rounded up to 8.
    pub const fn capacity(self) -> usize {
        self.words() * 8
    }

    /// The longest message: one that fills the ring alone.
    pub const fn max_message(self) -> usize {
        self.capacity() - 8
    }

    /// Bytes of the whole channel: header and ring.
    pub const fn bytes(self) -> usize {
        size_of::<ChannelHeader>() + self.capacity()
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ChannelHeader>() == 640 && align_of::<ChannelHeader>() == 128);
    assert!(offset_of!(ChannelHeader, senders) == 128 && offset_of!(ChannelHeader, tail) == 256);
    assert!(offset_of!(ChannelHeader, receivers) == 384 && offset_of!(ChannelHeader, head) == 512);
    assert!(size_of::<Shared>() == 32 && offset_of!(Shared, closing) == 8 && offset_of!(Shared, not_empty) == 16);
    assert!(offset_of!(Shared, transfer) == 24);
    assert!(size_of::<Side>() == 24 && offset_of!(Side, other) == 8 && offset_of!(Side, missed) == 16);
};
