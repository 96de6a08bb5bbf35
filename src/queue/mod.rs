//! Queues of fixed-size items and channels of byte messages.

mod any_queue;
mod channel;
mod errors;
mod typed;

#[cfg(feature = "capi")]
pub use any_queue::AnyQueue;
pub use channel::Channel;
pub use errors::{PopError, PushError, RecvError, SendError};
pub use typed::Queue;
