//! Locks, each with a defined answer to the death of whoever holds it.

mod any_mutex;
mod mutex;

#[allow(unused_imports)] // for the C ABI
pub use any_mutex::{AnyMutex, LockFailure};
pub use mutex::{LockError, Mutex, MutexGuard};
