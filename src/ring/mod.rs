//! Rings with one producer and one consumer.

mod any_spsc;
mod byte_consumer;
mod byte_producer;
mod byte_ring;
mod end;
mod errors;
mod spsc;
mod views;

#[cfg(feature = "capi")]
pub use any_spsc::{AnyConsumer, AnyProducer, AnySpsc};
pub use byte_consumer::ByteConsumer;
pub use byte_producer::ByteProducer;
pub use byte_ring::ByteRing;
pub use errors::{RingPopError, RingPushError};
pub use spsc::{Consumer, Producer, Spsc};
pub use views::{Record, Reservation};
