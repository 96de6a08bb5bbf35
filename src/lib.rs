//! Shared-memory IPC that survives `kill -9`.

#[cfg(not(ringfence_loom))]
mod cell;
#[cfg(not(ringfence_loom))]
mod error;
#[cfg(all(feature = "capi", not(ringfence_loom)))]
mod ffi;
#[doc(hidden)]
pub mod layout;
#[cfg(not(ringfence_loom))]
mod plain;
#[doc(hidden)]
pub mod primitive;
#[cfg(not(ringfence_loom))]
mod queue;
#[doc(hidden)]
pub mod raw;
#[cfg(not(ringfence_loom))]
mod segment;
#[cfg(not(ringfence_loom))]
mod sync;
#[doc(hidden)]
pub mod sys;

pub use bytemuck;
#[cfg(not(ringfence_loom))]
pub use cell::{Array, ArrayGuard, ElementError, Integer, OutOfRange, RawArray, RawValue, Scalar, Value, ValueGuard};
#[cfg(not(ringfence_loom))]
pub use error::Error;
#[cfg(not(ringfence_loom))]
pub use plain::{CChar, Element, Plain};
#[cfg(not(ringfence_loom))]
pub use queue::{Channel, PopError, PushError, Queue, RecvError, SendError};
#[cfg(not(ringfence_loom))]
pub use segment::{CloseError, ObjectInfo, ParticipantInfo, Segment, SegmentInfo, SegmentOptions, SweepReport, Unlink};
#[cfg(not(ringfence_loom))]
pub use sync::{LockError, LockFailure, Mutex, MutexGuard};

/// The README's program builds.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
