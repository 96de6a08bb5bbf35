//! Locks, each with a defined answer to the death of whoever holds it.

mod any_mutex;
mod any_reentrant;
mod mutex;
mod reentrant;

#[cfg(feature = "capi")]
pub use any_mutex::AnyMutex;
pub use any_mutex::LockFailure;
pub use any_reentrant::{AnyReentrant, Held, LOCK_BYTES};
pub use mutex::{LockError, Mutex, MutexGuard};
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
