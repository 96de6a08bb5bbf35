//! Locks, each with a defined answer to the death of whoever holds it.

mod any_mutex;
mod mutex;

#[cfg(feature = "capi")]
pub use any_mutex::AnyMutex;
pub use any_mutex::LockFailure;
pub use mutex::{LockError, Mutex, MutexGuard};
