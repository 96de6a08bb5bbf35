//! The channel of values.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, encode};
use super::errors::{TypedRecvError, TypedSendError};
use super::{passes_on, sends_and_receives};
use crate::error::Error;
use crate::queue::Channel;
use crate::segment::Segment;
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// A [`Channel`] of values of any type that serde knows (feature `serde`): strings, vectors, maps, enums, structs of them.
///
/// Each value is one message, in [MessagePack](https://msgpack.org): a struct is a map by the names of its fields, a variant
/// its name or a map from that to its data. So C, C++ and Python take part in the same channel with bytes of that format, and
/// in Rust so does [`as_channel`](Self::as_channel). Nothing checks that all ends mean the same type: what does not fit is an
/// error where it is received, which hands the message over.
///
/// Any length goes: a value whose message is longer than the ring is sent [in pieces](Channel::send_long), and its `send`
/// returns when somebody has received all of it. That needs a ring of at least 32 bytes.
///
/// What the format cannot tell apart comes back as the simpler one: `Some(None)` and `Some(())` as `None`. More than 128 levels
/// of nesting are refused by who sends and by who receives. Large arrays of bytes are four times faster, and half as long, as
/// `serde_bytes::ByteBuf` than as `Vec<u8>`.
///
/// **Progress** and **crash behaviour** are those of [`Channel`]: a value is there whole or not at all, also if its sender is
/// killed while it encodes.
///
/// ```
/// use std::collections::HashMap;
///
/// use ringfence::{Segment, SegmentOptions, TypedChannel};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let counts = TypedChannel::<HashMap<String, u64>>::open_or_create(&segment, "counts", 4096)?;
/// counts.send(&HashMap::from([("fence".to_owned(), 2)]))?;
/// assert_eq!(counts.recv()?["fence"], 2);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct TypedChannel<T> {
    channel: Channel,
    value: PhantomData<fn(T) -> T>,
}

impl<T> TypedChannel<T> {
    /// Creates a channel with a ring of `ring_bytes`, of a name that must be free in the segment.
    ///
    /// # Errors
    /// As [`Channel::create`].
    pub fn create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Channel::create(segment, name, ring_bytes).map(Self::from)
    }

    /// Opens a channel, whatever its ring.
    ///
    /// # Errors
    /// As [`Channel::open`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Channel::open(segment, name).map(Self::from)
    }

    /// Opens a channel with a ring of exactly this size, or creates it.
    ///
    /// # Errors
    /// As [`Channel::open_or_create`].
    pub fn open_or_create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Channel::open_or_create(segment, name, ring_bytes).map(Self::from)
    }

    /// The channel of bytes, for messages that are encoded otherwise.
    pub fn as_channel(&self) -> &Channel {
        &self.channel
    }

    /// The channel of bytes.
    pub fn into_inner(self) -> Channel {
        self.channel
    }

    passes_on! { channel:
        /// As [`Channel::len`].
        #[must_use]
        fn len(&self) -> usize;
        /// As [`Channel::is_empty`].
        #[must_use]
        fn is_empty(&self) -> bool;
        /// As [`Channel::capacity`].
        #[must_use]
        fn capacity(&self) -> usize;
        /// As [`Channel::shutdown`].
        ///
        /// # Errors
        /// As [`Channel::shutdown`].
        fn shutdown(&self) -> Result<(), Error>;
        /// As [`Channel::is_shut_down`].
        #[must_use]
        fn is_shut_down(&self) -> bool;
        /// As [`Channel::readable`].
        fn readable(&self) -> Waitable<'_>;
        /// As [`Channel::writable`], for an encoded value of `len` bytes.
        fn writable(&self, len: usize) -> Waitable<'_>;
        /// As [`Channel::set_interruptible`].
        fn set_interruptible(&self, interruptible: bool) -> ();
    }
}

sends_and_receives!(TypedChannel: channel.send_long_until, Channel);

impl<T> fmt::Debug for TypedChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedChannel").field(&self.channel).finish()
    }
}
