//! Queues of fixed-size items, channels of byte messages, pipes, and queues of work.

mod any_queue;
mod any_work_queue;
mod channel;
mod errors;
#[cfg(not(ringfence_loom))]
mod pipe;
mod typed;
mod work_errors;
mod work_queue;

#[cfg(feature = "capi")]
pub use any_queue::AnyQueue;
#[cfg(feature = "capi")]
pub use any_work_queue::{AnyWorkQueue, Plan};
#[cfg(feature = "capi")]
pub(crate) use channel::Taken;
pub use channel::{Channel, MessageMut, MessageRef};
pub use errors::{PopError, PushError, RecvError, SendError};
#[cfg(not(ringfence_loom))]
pub use pipe::Pipe;
pub use typed::Queue;
pub use work_errors::{JoinError, LeaseError, TakeError, WorkPushError};
pub use work_queue::{Lease, WorkQueue, WorkQueueOptions};
