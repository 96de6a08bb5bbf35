//! Channels, pipes and queues of work for values of any type that serde knows: feature `serde`.
//!
//! A handle here is one of [`crate::queue`] beside a type. A value becomes a message of bytes before the object is touched, and
//! a message is whole before it becomes a value, so nothing here adds to what a death leaves.
//!
//! # What a message looks like
//!
//! [MessagePack](https://msgpack.org), one value to a message. What a reader in another language needs to know of how serde's
//! types lie in it:
//!
//! | in Rust | in the message |
//! |---|---|
//! | struct | map, by the names of its fields |
//! | tuple, array, `Vec<T>`, set | array |
//! | `HashMap` and other maps | map, keys of any kind |
//! | variant without data | its name, a string |
//! | any other variant | map of one entry: its name, and its data (an array if it is a tuple of several, a map if it has field names) |
//! | `None`, `()` | nil; `Some(value)` is the value |
//! | newtype struct | what it holds |
//! | `&[u8]` by the crate `serde_bytes` | bin; `Vec<u8>` without it is an array of numbers |
//!
//! Why it: `docs/decisions/0016-values-go-as-messagepack.md`.

mod channel;
pub(crate) mod codec;
mod errors;
#[cfg(not(ringfence_loom))]
mod pipe;
mod work_queue;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use channel::TypedChannel;
pub use errors::{DecodeError, EncodeError, TypedLeaseError, TypedPushError, TypedRecvError, TypedSendError};
#[cfg(not(ringfence_loom))]
pub use pipe::TypedPipe;
pub use work_queue::{TypedLease, TypedWorkQueue};

/// A value that travels between processes: one that serde can encode, and decode without borrowing.
pub trait Portable: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Portable for T {}

/// Calls that the object behind a handle answers.
macro_rules! passes_on {
    ($object:ident: $($(#[$about:meta])* fn $name:ident(&self $(, $argument:ident: $kind:ty)?) -> $answer:ty;)+) => {
        $($(#[$about])*
        pub fn $name(&self $(, $argument: $kind)?) -> $answer {
            self.$object.$name($($argument)?)
        })+
    };
}

/// The calls that send and receive, of a handle whose object sends messages of any length.
macro_rules! sends_and_receives {
    ($handle:ident: $object:ident.$send:ident, $Object:ident) => {
        impl<T: Serialize> $handle<T> {
            /// The time that encoding takes is part of the call's.
            fn send_until(&self, value: &T, deadline: Deadline) -> Result<(), TypedSendError> {
                let message = encode(value).map_err(TypedSendError::Encode)?;
                self.$object.$send(&message, deadline).map_err(TypedSendError::Send)
            }

            /// Sends a value, waiting for room for as long as it takes; for one whose message is longer than the ring, until
            /// somebody has all of it.
            ///
            /// # Errors
            /// [`TypedSendError::Encode`] before anything is sent, and in [`TypedSendError::Send`] those of the object.
            pub fn send(&self, value: &T) -> Result<(), TypedSendError> {
                self.send_until(value, Deadline::Forever)
            }

            /// Sends a value if there is room now; one whose message is longer than the ring, if somebody takes each piece
            /// within 20 ms.
            ///
            /// # Errors
            /// [`SendError::Full`](crate::SendError::Full), and those of [`send`](Self::send).
            pub fn try_send(&self, value: &T) -> Result<(), TypedSendError> {
                self.send_until(value, Deadline::Now)
            }

            /// Sends a value, waiting for at most `timeout`; zero is a [`try_send`](Self::try_send).
            ///
            /// # Errors
            /// [`SendError::TimedOut`](crate::SendError::TimedOut), and those of [`send`](Self::send).
            pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), TypedSendError> {
                self.send_until(value, Deadline::after(timeout))
            }

            /// Sends a value, waiting until `deadline` of the monotonic clock at most.
            ///
            /// # Errors
            /// [`SendError::TimedOut`](crate::SendError::TimedOut), and those of [`send`](Self::send).
            pub fn send_deadline(&self, value: &T, deadline: Instant) -> Result<(), TypedSendError> {
                self.send_until(value, Deadline::At(deadline))
            }
        }

        impl<T: DeserializeOwned> $handle<T> {
            fn recv_until(&self, deadline: Deadline) -> Result<T, TypedRecvError> {
                let message = self.$object.recv_vec_until(deadline).map_err(TypedRecvError::Recv)?;
                decode(message).map_err(TypedRecvError::Decode)
            }

            /// Receives a value, waiting for one for as long as it takes.
            ///
            /// # Errors
            /// [`TypedRecvError::Decode`], which has the message, if that is no such value; the next receive gets the next one.
            /// In [`TypedRecvError::Recv`] those of the object.
            pub fn recv(&self) -> Result<T, TypedRecvError> {
                self.recv_until(Deadline::Forever)
            }

            /// Receives a value if there is one now.
            ///
            /// # Errors
            /// [`RecvError::Empty`](crate::RecvError::Empty), and those of [`recv`](Self::recv).
            pub fn try_recv(&self) -> Result<T, TypedRecvError> {
                self.recv_until(Deadline::Now)
            }

            /// Receives a value, waiting for one for at most `timeout`; zero is a [`try_recv`](Self::try_recv).
            ///
            /// # Errors
            /// [`RecvError::TimedOut`](crate::RecvError::TimedOut), and those of [`recv`](Self::recv).
            pub fn recv_timeout(&self, timeout: Duration) -> Result<T, TypedRecvError> {
                self.recv_until(Deadline::after(timeout))
            }

            /// Receives a value, waiting for one until `deadline` of the monotonic clock at most.
            ///
            /// # Errors
            /// [`RecvError::TimedOut`](crate::RecvError::TimedOut), and those of [`recv`](Self::recv).
            pub fn recv_deadline(&self, deadline: Instant) -> Result<T, TypedRecvError> {
                self.recv_until(Deadline::At(deadline))
            }
        }

        /// The same object for values of type `T`.
        impl<T> From<$Object> for $handle<T> {
            fn from($object: $Object) -> Self {
                Self { $object, value: PhantomData }
            }
        }
    };
}

use {passes_on, sends_and_receives};
