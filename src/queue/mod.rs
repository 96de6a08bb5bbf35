//! Queues of fixed-size items and channels of byte messages.

mod any_queue;
mod errors;
mod typed;

#[cfg(feature = "capi")]
pub use any_queue::{AnyQueue, Item};
pub use errors::{PopError, PushError};
pub use typed::Queue;
