//! The pipe of values.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, encode};
use super::errors::{TypedRecvError, TypedSendError};
use super::{passes_on, sends_and_receives};
use crate::error::Error;
use crate::queue::{Pipe, RecvError};
use crate::raw::pipe::End;
use crate::segment::Segment;
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// One end of a [`Pipe`] of values of any type that serde knows (feature `serde`); both directions have the same type.
///
/// How a value is encoded, and what is refused, is as with a [`TypedChannel`](crate::TypedChannel). Who has an end, the end of
/// file and the broken pipe are as with a [`Pipe`], and so are **progress** and **crash behaviour**.
///
/// ```
/// use ringfence::{RecvError, Segment, SegmentOptions, TypedPipe, TypedRecvError};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let (here, there) = TypedPipe::<Vec<String>>::pair(&segment, "talk", 4096)?;
/// here.send(&vec!["how much".to_owned(), "is 6 x 7?".to_owned()])?;
/// assert_eq!(there.recv()?.join(" "), "how much is 6 x 7?");
/// drop(there);
/// assert!(matches!(here.recv(), Err(TypedRecvError::Recv(RecvError::EndOfFile))));
/// # Ok(())
/// # }
/// ```
#[must_use = "an end that is dropped is closed"]
pub struct TypedPipe<T> {
    pipe: Pipe,
    value: PhantomData<fn(T) -> T>,
}

fn both<T>((first, second): (Pipe, Pipe)) -> (TypedPipe<T>, TypedPipe<T>) {
    (first.into(), second.into())
}

impl<T> TypedPipe<T> {
    /// Creates a pipe that goes both ways, and returns both its ends.
    ///
    /// # Errors
    /// As [`Pipe::pair`].
    pub fn pair(segment: &Segment, name: &str, ring_bytes: usize) -> Result<(Self, Self), Error> {
        Pipe::pair(segment, name, ring_bytes).map(both)
    }

    /// The same for one direction: returns the end that receives, and the end that sends.
    ///
    /// # Errors
    /// As [`Pipe::one_way`].
    pub fn one_way(segment: &Segment, name: &str, ring_bytes: usize) -> Result<(Self, Self), Error> {
        Pipe::one_way(segment, name, ring_bytes).map(both)
    }

    /// Opens an end of a pipe that is there.
    ///
    /// # Errors
    /// As [`Pipe::open`].
    pub fn open(segment: &Segment, name: &str, end: End) -> Result<Self, Error> {
        Pipe::open(segment, name, end).map(Self::from)
    }

    /// Opens an end of a pipe that goes both ways, or creates the pipe.
    ///
    /// # Errors
    /// As [`Pipe::open_or_create`].
    pub fn open_or_create(segment: &Segment, name: &str, end: End, ring_bytes: usize) -> Result<Self, Error> {
        Pipe::open_or_create(segment, name, end, ring_bytes).map(Self::from)
    }

    /// The same of a one-way pipe: the first end receives, the second sends.
    ///
    /// # Errors
    /// As [`Pipe::open_or_create_one_way`].
    pub fn open_or_create_one_way(segment: &Segment, name: &str, end: End, ring_bytes: usize) -> Result<Self, Error> {
        Pipe::open_or_create_one_way(segment, name, end, ring_bytes).map(Self::from)
    }

    /// Another handle to the same end.
    ///
    /// # Errors
    /// As [`Pipe::try_clone`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        self.pipe.try_clone().map(Self::from)
    }

    /// The pipe of bytes, for messages that are encoded otherwise.
    pub fn as_pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// The pipe of bytes.
    pub fn into_inner(self) -> Pipe {
        self.pipe
    }

    passes_on! { pipe:
        /// As [`Pipe::poll`].
        ///
        /// # Errors
        /// As [`Pipe::poll`].
        fn poll(&self, timeout: Option<Duration>) -> Result<bool, RecvError>;
        /// As [`Pipe::end`].
        #[must_use]
        fn end(&self) -> End;
        /// As [`Pipe::receives`].
        #[must_use]
        fn receives(&self) -> bool;
        /// As [`Pipe::sends`].
        #[must_use]
        fn sends(&self) -> bool;
        /// As [`Pipe::is_connected`].
        #[must_use]
        fn is_connected(&self) -> bool;
        /// As [`Pipe::capacity`].
        #[must_use]
        fn capacity(&self) -> usize;
        /// As [`Pipe::shutdown`].
        ///
        /// # Errors
        /// As [`Pipe::shutdown`].
        fn shutdown(&self) -> Result<(), Error>;
        /// As [`Pipe::readable`].
        fn readable(&self) -> Waitable<'_>;
        /// As [`Pipe::writable`], for an encoded value of `len` bytes.
        fn writable(&self, len: usize) -> Waitable<'_>;
        /// As [`Pipe::set_interruptible`].
        fn set_interruptible(&self, interruptible: bool) -> ();
    }
}

sends_and_receives!(TypedPipe: pipe.send_until, Pipe);

impl<T> fmt::Debug for TypedPipe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedPipe").field(&self.pipe).finish()
    }
}
