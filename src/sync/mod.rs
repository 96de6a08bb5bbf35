//! Locks, each with a defined answer to the death of whoever holds it.

mod any_barrier;
mod any_condvar;
mod any_event;
mod any_mutex;
mod any_once;
mod any_reentrant;
mod any_rwlock;
mod any_semaphore;
mod barrier;
mod condvar;
mod event;
mod mutex;
mod once;
mod once_value;
#[cfg(not(ringfence_loom))]
mod ready_fd;
mod reentrant;
mod rwlock;
mod semaphore;
mod wait_any;

#[cfg(feature = "capi")]
pub use any_barrier::AnyBarrier;
#[cfg(feature = "capi")]
pub use any_condvar::AnyCondvar;
#[cfg(feature = "capi")]
pub use any_event::AnyEvent;
#[cfg(feature = "capi")]
pub use any_mutex::AnyMutex;
pub use any_mutex::LockFailure;
#[cfg(feature = "capi")]
pub use any_once::AnyOnce;
pub use any_reentrant::{AnyReentrant, Held, LOCK_BYTES};
#[cfg(feature = "capi")]
pub use any_rwlock::AnyRwLock;
#[cfg(feature = "capi")]
pub use any_semaphore::{AnySemaphore, Plan};
pub use barrier::{Arrived, Barrier, BarrierError, Leader, Passed, Registration};
pub use condvar::{Condvar, CondvarError, CondvarGuard, Woken};
pub use event::{Event, Reset};
pub use mutex::{LockError, Mutex, MutexGuard};
pub use once::{Once, OnceGuard, OnceState};
pub use once_value::{InitError, OnceValue, SetError};
#[cfg(not(ringfence_loom))]
pub use ready_fd::ReadyFd;
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{ChangeError, RwLock, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard};
pub use semaphore::{Permits, Semaphore, SemaphoreOptions};
pub use wait_any::{Ready, WaitAny, WaitError, Waitable};
