//! What lies before the channels of a pipe.
//!
//! ```text
//! offset 0       8            128                          128 + c
//!        | ends | directions | channel into the first end | channel into the second end (duplex only) |
//! ```
//!
//! Meaning and states are described in [`raw::pipe`](crate::raw::pipe).

use super::channel;
use crate::primitive::AtomicU32;

/// The header of a pipe.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct PipeHeader {
    /// How each end stands.
    pub ends: [AtomicU32; 2],
    /// 1 for one way, 2 for both; never changes.
    pub directions: AtomicU32,
    /// Zero.
    pub zero: [u32; 29],
}

impl PipeHeader {
    /// A pipe to whose ends nobody has come yet.
    pub fn new(directions: u32) -> Self {
        let ends = [AtomicU32::new(0), AtomicU32::new(0)];
        Self { ends, directions: AtomicU32::new(directions), zero: [0; 29] }
    }
}

/// Where the channel into end `end`, 0 or 1, begins.
pub const fn channel_at(geometry: channel::Geometry, end: usize) -> usize {
    size_of::<PipeHeader>() + end * geometry.bytes().next_multiple_of(128)
}

/// Length of a pipe in bytes.
pub const fn bytes(geometry: channel::Geometry, directions: u32) -> usize {
    channel_at(geometry, directions as usize)
}

const _: () = assert!(size_of::<PipeHeader>() == 128);
