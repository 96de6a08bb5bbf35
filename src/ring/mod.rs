//! Rings that have one writer: for one reader, for all readers, or the newest value.

mod any_blackboard;
mod any_broadcast;
mod any_spsc;
mod blackboard;
mod broadcast;
mod broadcast_errors;
mod byte_consumer;
mod byte_producer;
mod byte_ring;
mod end;
mod errors;
mod spsc;
mod views;

#[cfg(feature = "capi")]
pub use any_blackboard::{AnyBlackboard, AnyBlackboardWriter};
#[cfg(feature = "capi")]
pub use any_broadcast::{AnyBroadcast, AnyReader, AnyWriter, Plan, Records};
#[cfg(feature = "capi")]
pub use any_spsc::{AnyConsumer, AnyProducer, AnySpsc};
pub use blackboard::{Blackboard, BlackboardWriter};
pub use broadcast::{Broadcast, BroadcastOptions, BroadcastReader, BroadcastWriter};
pub use broadcast_errors::{
    BlackboardReadError, BlackboardWriteError, BroadcastRecvError, BroadcastSendError, ReaderError, WriterError,
};
pub use byte_consumer::ByteConsumer;
pub use byte_producer::ByteProducer;
pub use byte_ring::ByteRing;
pub use errors::{RingPopError, RingPushError};
pub use spsc::{Consumer, Producer, Spsc};
pub use views::{Record, Reservation};
