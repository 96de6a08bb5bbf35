//! The structs that lie in shared memory. No logic but validation.

pub mod barrier;
pub mod broadcast;
pub mod channel;
pub mod condvar;
pub mod event;
pub mod eventcount;
pub mod mutex;
pub mod once;
pub mod pipe;
pub mod queue;
pub mod ring;
pub mod rwlock;
pub mod segment;
pub mod semaphore;
pub mod work_queue;

/// The largest participant number that fits the 13 bits of a word.
pub const MAX_PARTICIPANTS: u16 = 8191;
