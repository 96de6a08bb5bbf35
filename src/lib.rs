//! Locks, queues, channels and typed values in shared memory that go on working when any process is killed with
//! `kill -9` at any instruction.
//!
//! A [`Segment`] is memory that processes join by name, by descriptor or by address. In it lie named objects:
//! [`Mutex`], [`Value`], [`Array`], [`Queue`], [`Channel`], of [`Plain`] data. Death is what the kernel says, never a
//! time-out; whoever takes a lock over from a dead process is told so.
//!
//! ```
//! use ringfence::{Mutex, Queue, Segment, SegmentOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("doc-lib-{}", std::process::id());
//! let segment = Segment::open_or_create(&name, &SegmentOptions::new().size(1 << 20))?;
//! let tasks = Queue::<u64>::open_or_create(&segment, "tasks", 1024)?;
//! let done = Mutex::<u64>::open_or_create(&segment, "done", 0)?;
//! tasks.push(7)?;
//! let task = tasks.pop()?;
//! *done.lock().map_err(|error| error.to_string())? += task;
//! # Segment::unlink(&name)?;
//! # Ok(())
//! # }
//! ```
//!
//! Handles may be used by any thread, and in a forked child, which becomes a participant of its own with its first call.
//! The same objects are used from C, C++ and Python through `include/ringfence.h`. The repository's `docs/` have the
//! design, the memory layout and the semantics line by line.

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
pub use sync::{
    Arrived, Barrier, BarrierError, ChangeError, Condvar, CondvarError, CondvarGuard, Event, InitError, Leader,
    LockError, LockFailure, Mutex, MutexGuard, Once, OnceGuard, OnceState, OnceValue, Passed, Permits, Ready, ReadyFd,
    ReentrantMutex, ReentrantMutexGuard, Registration, Reset, RwLock, RwLockReadGuard, RwLockUpgradableGuard,
    RwLockWriteGuard, Semaphore, SemaphoreOptions, SetError, WaitAny, WaitError, Waitable, Woken,
};

/// The README's program builds.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
