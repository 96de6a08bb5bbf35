//! Queues of fixed-size items and channels of byte messages.

mod any_queue;
mod errors;
mod typed;

#[allow(unused_imports)] // for the C ABI
pub use any_queue::AnyQueue;
pub use errors::{PopError, PushError};
pub use typed::Queue;
