//! Why a value did not go into, or come out of, a typed channel, pipe or work queue.

use std::error::Error;
use std::fmt;

use crate::queue::{LeaseError, RecvError, SendError, WorkPushError};

/// What the codec said.
pub(super) type Reason = Box<dyn Error + Send + Sync>;

/// A value that has no message: its `Serialize` failed, or it nests too deep. Nothing was sent, and no place was taken.
///
/// [`source`](Error::source) is the codec's error.
#[derive(Debug)]
pub struct EncodeError {
    pub(super) reason: Reason,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value cannot be encoded: {}", self.reason)
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.reason)
    }
}

/// A message that is not a value of the type, and its bytes.
///
/// [`source`](Error::source) is the codec's error.
pub struct DecodeError {
    pub(super) message: Vec<u8>,
    pub(super) reason: Reason,
}

impl DecodeError {
    /// The message as it came.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The message as it came, to keep.
    #[must_use]
    pub fn into_message(self) -> Vec<u8> {
        self.message
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be many.
        f.debug_struct("DecodeError").field("len", &self.message.len()).field("reason", &self.reason).finish()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes cannot be decoded: {}", self.message.len(), self.reason)
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.reason)
    }
}

/// An error that is the codec's or the object's: each says and passes on what that one does.
macro_rules! either {
    ($($(#[$about:meta])* $name:ident { $(#[$codec_about:meta])* $codec:ident($Codec:ty), $(#[$object_about:meta])* $object:ident($Object:ty) })+) => {
        $($(#[$about])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $name {
            $(#[$codec_about])*
            $codec($Codec),
            $(#[$object_about])*
            $object($Object),
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::$codec(error) => error.fmt(f),
                    Self::$object(error) => error.fmt(f),
                }
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                match self {
                    Self::$codec(error) => error.source(),
                    Self::$object(error) => error.source(),
                }
            }
        })+
    };
}

either! {
    /// Why a value was not sent.
    TypedSendError {
        /// It has no message. Nothing was sent.
        Encode(EncodeError),
        /// Its message was not sent.
        Send(SendError)
    }

    /// Why no value was received.
    TypedRecvError {
        /// A message was received that is no value of the type. It is in the error, and in the channel no more.
        Decode(DecodeError),
        /// No message was received.
        Recv(RecvError)
    }

    /// Why a value was not pushed to a [`TypedWorkQueue`](crate::TypedWorkQueue).
    TypedPushError {
        /// It has no message. Nothing was pushed.
        Encode(EncodeError),
        /// Its message was not pushed.
        Push(WorkPushError)
    }

    /// Why a [`TypedLease`](crate::TypedLease) gave no value.
    TypedLeaseError {
        /// The message is no value of the type. It is leased still.
        Decode(DecodeError),
        /// It could not be read.
        Lease(LeaseError)
    }
}
