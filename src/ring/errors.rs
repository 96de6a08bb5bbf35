//! Why something did not go into, or come out of, a ring.

use std::fmt;
use std::io;

use super::end::Barred;
use crate::error::Error;
use crate::raw::ring::{PopFailure, PushFailure};

/// Why an item was not pushed. The item comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingPushError<T = ()> {
    /// There is no room (a try only).
    Full(T),
    /// The time is up.
    TimedOut(T),
    /// The ring is shut down.
    Closed(T),
    /// A signal handler ran.
    Interrupted(T),
    /// There is no room, and no living consumer to make any; only if the handle asked to be told.
    NoConsumer(T),
    /// This process is not the producer: it is a forked child of it.
    NotOwner(T),
    /// The record does not fit the ring, even an empty one.
    TooLong {
        /// The item.
        item: T,
        /// Its length.
        len: usize,
        /// The longest that fits.
        max: usize,
    },
    /// The ring holds something that no participant writes.
    Corrupted(T),
    /// The process could not join the segment.
    Segment(T, Error),
}

impl From<PushFailure> for RingPushError {
    fn from(failure: PushFailure) -> Self {
        match failure {
            PushFailure::Full => Self::Full(()),
            PushFailure::TimedOut => Self::TimedOut(()),
            PushFailure::Interrupted => Self::Interrupted(()),
            PushFailure::Closed => Self::Closed(()),
            PushFailure::Alone => Self::NoConsumer(()),
            PushFailure::Corrupted => Self::Corrupted(()),
        }
    }
}

impl RingPushError {
    /// The same with the item that was not pushed.
    #[cold]
    pub(super) fn with<T>(self, item: T) -> RingPushError<T> {
        match self {
            Self::Full(()) => RingPushError::Full(item),
            Self::TimedOut(()) => RingPushError::TimedOut(item),
            Self::Closed(()) => RingPushError::Closed(item),
            Self::Interrupted(()) => RingPushError::Interrupted(item),
            Self::NoConsumer(()) => RingPushError::NoConsumer(item),
            Self::NotOwner(()) => RingPushError::NotOwner(item),
            Self::TooLong { item: (), len, max } => RingPushError::TooLong { item, len, max },
            Self::Corrupted(()) => RingPushError::Corrupted(item),
            Self::Segment((), error) => RingPushError::Segment(item, error),
        }
    }
}

impl<T> RingPushError<T> {
    /// The item that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item)
            | Self::TimedOut(item)
            | Self::Closed(item)
            | Self::Interrupted(item)
            | Self::NoConsumer(item)
            | Self::NotOwner(item)
            | Self::TooLong { item, .. }
            | Self::Corrupted(item)
            | Self::Segment(item, _) => item,
        }
    }
}

impl<T> fmt::Display for RingPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the ring is full"),
            Self::TimedOut(_) => f.write_str("the ring had no room in time"),
            Self::Closed(_) => f.write_str("the ring is shut down"),
            Self::Interrupted(_) => f.write_str("a signal interrupted the wait for room in the ring"),
            Self::NoConsumer(_) => f.write_str("the ring is full and has no consumer; wait for one, or give up"),
            Self::NotOwner(_) => f.write_str("this process is not the producer of the ring; become it first"),
            Self::TooLong { len, max, .. } => write!(f, "a record of {len} bytes; the ring takes {max} at most"),
            Self::Corrupted(_) => f.write_str("the ring holds something that no participant writes"),
            Self::Segment(_, error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for RingPushError<T> {}

/// Why nothing was popped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingPopError {
    /// There is nothing (a try only).
    Empty,
    /// The time is up.
    TimedOut,
    /// The ring is shut down and empty.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// There is nothing, and no living producer; only if the handle asked to be told.
    NoProducer,
    /// This process is not the consumer: it is a forked child of it.
    NotOwner,
    /// The record is longer than the buffer; it stays in the ring.
    BufferTooShort {
        /// Its length.
        needed: usize,
    },
    /// The ring holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<PopFailure> for RingPopError {
    fn from(failure: PopFailure) -> Self {
        match failure {
            PopFailure::Empty => Self::Empty,
            PopFailure::TimedOut => Self::TimedOut,
            PopFailure::Interrupted => Self::Interrupted,
            PopFailure::Closed => Self::Closed,
            PopFailure::Alone => Self::NoProducer,
            PopFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for RingPopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ring is empty"),
            Self::TimedOut => f.write_str("the ring had nothing in time"),
            Self::Closed => f.write_str("the ring is shut down and empty"),
            Self::Interrupted => f.write_str("a signal interrupted the wait at the ring"),
            Self::NoProducer => f.write_str("the ring is empty and has no producer; wait for one, or give up"),
            Self::NotOwner => f.write_str("this process is not the consumer of the ring; become it first"),
            Self::BufferTooShort { needed } => write!(f, "the record has {needed} bytes; give a longer buffer"),
            Self::Corrupted => f.write_str("the ring holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for RingPopError {}

impl From<Barred> for RingPushError {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::NotOwner => Self::NotOwner(()),
            Barred::Segment(error) => Self::Segment((), error),
        }
    }
}

impl From<Barred> for RingPopError {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::NotOwner => Self::NotOwner,
            Barred::Segment(error) => Self::Segment(error),
        }
    }
}

impl From<RingPushError> for io::Error {
    fn from(error: RingPushError) -> Self {
        let kind = match &error {
            RingPushError::Closed(()) | RingPushError::NoConsumer(()) => io::ErrorKind::BrokenPipe,
            RingPushError::Full(()) => io::ErrorKind::WouldBlock,
            RingPushError::TimedOut(()) => io::ErrorKind::TimedOut,
            RingPushError::Interrupted(()) => io::ErrorKind::Interrupted,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<RingPopError> for io::Error {
    fn from(error: RingPopError) -> Self {
        let kind = match &error {
            RingPopError::Closed | RingPopError::NoProducer => io::ErrorKind::UnexpectedEof,
            RingPopError::Empty => io::ErrorKind::WouldBlock,
            RingPopError::TimedOut => io::ErrorKind::TimedOut,
            RingPopError::Interrupted => io::ErrorKind::Interrupted,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
