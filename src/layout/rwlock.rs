//! The reader-writer lock's header and its records.
//!
//! ```text
//! offset 0      8         12      16     24     28         128
//!        | lock | readers | drain | gate | mark | zero ... | record of participant 1, 2, ... | data, if any
//! ```
//!
//! Meaning and states are described in [`raw::rwlock`](crate::raw::rwlock).

use super::eventcount::EventCount;
use super::mutex::LockWord;
use crate::primitive::{AtomicU32, AtomicU64};

/// What lies before the records.
#[repr(C)]
#[derive(Debug)]
pub struct RwHeader {
    /// Held by the writer, or by the upgradable reader.
    pub lock: LockWord,
    /// What readers sleep on while the gate is closed.
    pub readers: EventCount,
    /// What a writer sleeps on until the readers have left.
    pub drain: EventCount,
    /// Whether readers may enter, and how often that has changed.
    pub gate: AtomicU64,
    /// The highest number of a participant that has ever read.
    pub mark: AtomicU32,
    /// Zero.
    pub zero: [u32; 25],
}

impl RwHeader {
    /// A free lock.
    pub fn new() -> Self {
        Self {
            lock: LockWord::new(),
            readers: EventCount::new(),
            drain: EventCount::new(),
            gate: AtomicU64::new(0),
            mark: AtomicU32::new(0),
            zero: [0; 25],
        }
    }
}

/// The readers of one participant, in a cache line of their own: life:22 | phase 1:14 | phase 0:14 | inside:14.
#[repr(C)]
#[derive(Debug)]
pub struct RwRecord {
    /// The counts.
    pub word: AtomicU64,
    /// Zero.
    pub zero: [u64; 7],
}

impl RwRecord {
    /// No readers.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(0), zero: [0; 7] }
    }
}

/// Where the data lies, behind the records.
pub const fn data_offset(participants: u16) -> usize {
    128 + 64 * participants as usize
}

const _: () = assert!(size_of::<RwHeader>() == 128 && size_of::<RwRecord>() == 64);
