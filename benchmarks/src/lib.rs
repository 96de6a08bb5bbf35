//! Benchmarks of ringfence against its peers, measured in turn within one run. How to run and read them: `README.md`.

pub mod attach;
mod bare;
pub mod barrier;
pub mod broadcast;
pub mod byte_ring;
pub mod channel;
pub mod condvar;
pub mod crew;
pub mod event;
pub mod hand_off;
#[cfg(feature = "peers")]
pub mod iceoryx;
pub mod idle;
pub mod limits;
pub mod lock;
pub mod messages;
pub mod once;
pub mod ours;
pub mod queue;
pub mod ring;
pub mod rwlock;
pub mod semaphore;
pub mod start;
pub mod table;
pub mod work_queue;
