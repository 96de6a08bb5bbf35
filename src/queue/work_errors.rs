//! Why calls of a work queue fail.

use std::fmt;

use crate::error::Error;
use crate::raw::work_queue::{LeaseFailure, TakeFailure};

/// Why a message was not pushed to a [`WorkQueue`](crate::WorkQueue).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkPushError {
    /// There is no room (a try only).
    Full,
    /// Every place has a dead letter, so waiting is no use: take them.
    DeadLetters,
    /// The time is up.
    TimedOut,
    /// The queue is shut down.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The message is longer than the queue was made for.
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that the queue takes.
        max: usize,
    },
    /// The queue holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl fmt::Display for WorkPushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the work queue is full"),
            Self::DeadLetters => f.write_str("the work queue is full of dead letters; take them"),
            Self::TimedOut => f.write_str("the work queue had no room in time"),
            Self::Closed => f.write_str("the work queue is shut down"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for room in the work queue"),
            Self::TooLong { len, max } => write!(f, "a message of {len} bytes; the work queue takes {max} at most"),
            Self::Corrupted => f.write_str("the work queue holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for WorkPushError {}

/// Why no message was taken from a [`WorkQueue`](crate::WorkQueue).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeError {
    /// There is none now (a try only).
    Empty,
    /// The next message is still being written by a living producer (a try only).
    Busy,
    /// The time is up.
    TimedOut,
    /// The queue is shut down, and every message in it is done or set aside.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The queue holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<TakeFailure> for TakeError {
    fn from(failure: TakeFailure) -> Self {
        match failure {
            TakeFailure::Empty => Self::Empty,
            TakeFailure::Busy => Self::Busy,
            TakeFailure::TimedOut => Self::TimedOut,
            TakeFailure::Interrupted => Self::Interrupted,
            TakeFailure::Closed => Self::Closed,
            TakeFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the work queue has no message to be taken"),
            Self::Busy => f.write_str("the next message is still being written"),
            Self::TimedOut => f.write_str("the work queue had no message in time"),
            Self::Closed => f.write_str("the work queue is shut down and all of its work is done"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for a message"),
            Self::Corrupted => f.write_str("the work queue holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for TakeError {}

/// Why a [`Lease`](crate::Lease) was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseError {
    /// The message is not leased by this: it was finished or given back before, or the lease is another process's.
    NotLeased,
    /// This process keeps no message that is unfinished.
    TooManyDone,
    /// The message is longer than the buffer.
    BufferTooShort {
        /// Its length.
        needed: usize,
    },
    /// The queue holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<LeaseFailure> for LeaseError {
    fn from(failure: LeaseFailure) -> Self {
        match failure {
            LeaseFailure::NotLeased => Self::NotLeased,
            LeaseFailure::TooShort { needed } => Self::BufferTooShort { needed },
            LeaseFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeased => f.write_str("the message is not leased, or not by this process"),
            Self::TooManyDone => f.write_str("more messages were reported done than were kept"),
            Self::BufferTooShort { needed } => write!(f, "the message has {needed} bytes; give a longer buffer"),
            Self::Corrupted => f.write_str("the work queue holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for LeaseError {}

/// Why a wait for the end of all work ended without it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// Something is unfinished (a try only).
    Unfinished,
    /// The time is up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The queue holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("some of the work is not done"),
            Self::TimedOut => f.write_str("the work was not done in time"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for the end of the work"),
            Self::Corrupted => f.write_str("the work queue holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for JoinError {}
