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
//!
//! # Values of any type
//!
//! What lies in a [`Value`], a [`Mutex`] or a [`Queue`] is [`Plain`] data of a fixed size. With the feature `serde` any value that
//! serde can encode travels through `TypedChannel`, `TypedPipe` and `TypedWorkQueue`, which are a [`Channel`], a [`Pipe`] and a
//! [`WorkQueue`] of messages in [MessagePack](https://msgpack.org): what other languages read, too.
//!
//! ```toml
//! ringfence = { version = "0.1", features = ["serde"] }
//! ```
//!
//! # Processes
//!
//! With the feature `process` registered functions of the program run in processes of their own, with arguments and results of any such
//! type: the module `process`.
//!
//! # Model checking your own protocol
//!
//! A protocol of your own, built from these objects, can be explored by [loom](https://docs.rs/loom): every interleaving
//! within a bound, every order that the memory model allows, and, which no test by chance does, a death at every step.
//! Under the cfg `ringfence_loom` the objects run inside a model of loom's, the same code down to the words in memory.
//!
//! In your `Cargo.toml`:
//!
//! ```toml
//! [target.'cfg(ringfence_loom)'.dev-dependencies]
//! loom = "0.7"
//!
//! [lints.rust]
//! unexpected_cfgs = { level = "warn", check-cfg = ["cfg(ringfence_loom)"] }
//! ```
//!
//! In a test file that starts with `#![cfg(ringfence_loom)]`:
//!
//! ```ignore
//! use ringfence::model::{at_every_step, run_until};
//! use ringfence::{LockError, Mutex, Segment, SegmentOptions};
//!
//! #[test]
//! fn the_next_owner_is_told() {
//!     at_every_step(|step| {
//!         let mut explorer = loom::model::Builder::new();
//!         explorer.preemption_bound = Some(2);
//!         explorer.check(move || {
//!             let segment = Segment::anonymous(&SegmentOptions::new().participants(3)).unwrap();
//!             let theirs = segment.clone();
//!             let victim = loom::thread::spawn(move || {
//!                 run_until(step, || {
//!                     let balance = Mutex::<i64>::open_or_create(&theirs, "balance", 100).unwrap();
//!                     *balance.lock().unwrap() += 1;
//!                 })
//!             });
//!             let balance = Mutex::<i64>::open_or_create(&segment, "balance", 100).unwrap();
//!             match balance.lock() {
//!                 Ok(balance) => assert!(*balance == 100 || *balance == 101),
//!                 Err(LockError::OwnerDied(mut balance)) => assert!(balance.make_consistent()),
//!                 Err(error) => panic!("{error}"),
//!             }
//!             victim.join().unwrap();
//!         });
//!     });
//! }
//! ```
//!
//! And then:
//!
//! ```sh
//! RUSTFLAGS='--cfg ringfence_loom' cargo test --release --target-dir target/loom
//! ```
//!
//! *What is modelled.* Every object of this crate but [`ReadyFd`] and [`Pipe`]. `Segment::anonymous` is memory of the model; each thread
//! of loom's that uses it is a process with one thread, and `run_until` makes a process that has an end. No sleep is
//! capped: a lost wake-up is a deadlock, which loom reports. A wait with a time-out may end by it at any moment, whatever
//! its length: do not repeat it without a bound.
//!
//! *What is not.* Segments with a name (making one is [`Error::NotSupported`]), descriptors, adopted memory; fork, and
//! several threads of one process; a process that ends with its thread, or is stopped; signals; the C ABI;
//! `Array::as_ptr`. A segment has at most 8 participants, of whom loom runs 5 at once.
//!
//! A model joins every thread that it starts. Without a bound on preemptions few models end within minutes; most errors
//! need two. Ask for no more participants, items and elements than the model needs: each is an atomic of loom's, and costs
//! time.
//!
//! The repository's `examples/loom` is such a protocol, for real and in models, with two planted bugs that these find.

// Models have no C ABI, no names, no descriptors and no forks: what only those use stays there unused.
#![cfg_attr(ringfence_loom, allow(dead_code, unused_imports))]

mod cell;
mod error;
#[cfg(all(feature = "capi", not(ringfence_loom)))]
mod ffi;
#[doc(hidden)]
pub mod layout;
mod plain;
#[cfg(all(feature = "process", not(ringfence_loom)))]
pub mod pool;
/// The worker's side alone, for the C ABI.
#[cfg(all(feature = "capi", not(feature = "process"), not(ringfence_loom)))]
mod pool;
#[doc(hidden)]
pub mod primitive;
#[cfg(all(feature = "process", not(ringfence_loom)))]
pub mod process;
mod queue;
#[doc(hidden)]
pub mod raw;
mod ring;
#[cfg_attr(ringfence_loom, path = "segment/modelled/mod.rs")]
mod segment;
mod sync;
#[doc(hidden)]
pub mod sys;
#[cfg(feature = "serde")]
mod typed;

pub use bytemuck;
pub use cell::{Array, ArrayGuard, ElementError, Integer, OutOfRange, RawArray, RawValue, Scalar, Value, ValueGuard};
pub use error::Error;
pub use plain::{CChar, Element, Plain};
#[cfg(not(ringfence_loom))]
pub use queue::Pipe;
pub use queue::{
    Channel, JoinError, Lease, LeaseError, MessageMut, MessageRef, PopError, PushError, Queue, RecvError, SendError,
    TakeError, WorkPushError, WorkQueue, WorkQueueOptions,
};
pub use raw::pipe::End;
pub use ring::{
    Blackboard, BlackboardReadError, BlackboardWriteError, BlackboardWriter, Broadcast, BroadcastOptions,
    BroadcastReader, BroadcastRecvError, BroadcastSendError, BroadcastWriter, ByteConsumer, ByteProducer, ByteRing,
    Consumer, Producer, ReaderError, Record, Reservation, RingPopError, RingPushError, Spsc, WriterError,
};
#[cfg(not(ringfence_loom))]
pub use segment::{CloseError, ObjectInfo, SegmentInfo, SweepReport};
pub use segment::{ParticipantInfo, Segment, SegmentOptions, Unlink};
#[cfg(not(ringfence_loom))]
pub use sync::ReadyFd;
pub use sync::{
    Arrived, Barrier, BarrierError, ChangeError, Condvar, CondvarError, CondvarGuard, Event, InitError, Leader,
    LockError, LockFailure, Mutex, MutexGuard, Once, OnceGuard, OnceState, OnceValue, Passed, Permits, Ready,
    ReentrantMutex, ReentrantMutexGuard, Registration, Reset, RwLock, RwLockReadGuard, RwLockUpgradableGuard,
    RwLockWriteGuard, Semaphore, SemaphoreOptions, SetError, WaitAny, WaitError, Waitable, Woken,
};
#[cfg(not(ringfence_loom))]
pub use sys::log::{LogLevel, log_off, log_to_stderr, set_log};
#[cfg(all(feature = "serde", not(ringfence_loom)))]
pub use typed::TypedPipe;
#[cfg(feature = "serde")]
pub use typed::{
    DecodeError, EncodeError, Portable, TypedChannel, TypedLease, TypedLeaseError, TypedPushError, TypedRecvError,
    TypedSendError, TypedWorkQueue,
};

/// What a model of your own protocol has on top: see [above](crate).
#[cfg(ringfence_loom)]
pub mod model {
    pub use crate::segment::{at_every_step, run_until};
}

/// The README's program builds.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
