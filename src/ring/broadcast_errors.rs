//! Why something was not sent or received through a broadcast, or not written to or read from a blackboard.

use std::fmt;

use crate::error::Error;
use crate::raw::blackboard::ReadFailure;
use crate::raw::broadcast::{RecvFailure, SendFailure};

const CORRUPTED: &str = "it holds something that no participant writes";
const NOT_OWNER: &str = "it was opened by the parent of this process; open one here";

/// Why the caller did not become the writer of a broadcast or a blackboard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterError {
    /// There is a writer, and it lives: there is one at a time.
    Taken {
        /// Its process, if that can be told.
        pid: Option<u32>,
    },
    /// The object holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment, or open the object once more.
    Segment(Error),
}

impl fmt::Display for WriterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { pid: Some(pid) } => write!(f, "process {pid} is the writer; there is one at a time"),
            Self::Taken { pid: None } => f.write_str("there is a writer already; there is one at a time"),
            Self::Corrupted => f.write_str(CORRUPTED),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for WriterError {}

/// Why the caller did not become a reader of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderError {
    /// The writer waits for as many living readers already as the broadcast was made for.
    TooMany,
    /// The broadcast holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment, or open the object once more.
    Segment(Error),
}

impl fmt::Display for ReaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("the broadcast has as many readers already as it was made for"),
            Self::Corrupted => f.write_str(CORRUPTED),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for ReaderError {}

/// Why a record was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastSendError {
    /// A living reader is the whole capacity behind (a try only).
    Full,
    /// The time is up.
    TimedOut,
    /// The broadcast is shut down.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The record is longer than records may be.
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that fits.
        max: usize,
    },
    /// The writer is that of the process which forked the caller.
    NotOwner,
    /// The broadcast holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl BroadcastSendError {
    /// For a record of `len` bytes.
    pub(super) fn new(failure: SendFailure, len: usize, max: usize) -> Self {
        match failure {
            SendFailure::Full => Self::Full,
            SendFailure::TimedOut => Self::TimedOut,
            SendFailure::Interrupted => Self::Interrupted,
            SendFailure::Closed => Self::Closed,
            SendFailure::TooLong => Self::TooLong { len, max },
            SendFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for BroadcastSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("a reader of the broadcast is the whole capacity behind"),
            Self::TimedOut => f.write_str("a reader of the broadcast made no room in time"),
            Self::Closed => f.write_str("the broadcast is shut down"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for readers of the broadcast"),
            Self::TooLong { len, max } => write!(f, "a record of {len} bytes; the broadcast takes {max} at most"),
            Self::NotOwner => f.write_str(NOT_OWNER),
            Self::Corrupted => f.write_str(CORRUPTED),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for BroadcastSendError {}

/// Why no record was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastRecvError {
    /// So many records were overwritten before they could be read. Told once: the reader goes on at the oldest that is there.
    Missed(u64),
    /// There is none (a try only).
    Empty,
    /// The time is up.
    TimedOut,
    /// The broadcast is shut down, and everything has been read.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The record is longer than the buffer; it stays.
    BufferTooShort {
        /// Its length.
        needed: usize,
    },
    /// The reader is that of the process which forked the caller, and the writer waits for it.
    NotOwner,
    /// The broadcast holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<RecvFailure> for BroadcastRecvError {
    fn from(failure: RecvFailure) -> Self {
        match failure {
            RecvFailure::Missed(records) => Self::Missed(records),
            RecvFailure::Empty => Self::Empty,
            RecvFailure::TimedOut => Self::TimedOut,
            RecvFailure::Interrupted => Self::Interrupted,
            RecvFailure::Closed => Self::Closed,
            RecvFailure::TooShort { needed } => Self::BufferTooShort { needed },
            RecvFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for BroadcastRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(records) => {
                write!(f, "{records} records of the broadcast were overwritten before they were read")
            }
            Self::Empty => f.write_str("the broadcast has no new record"),
            Self::TimedOut => f.write_str("the broadcast had no new record in time"),
            Self::Closed => f.write_str("the broadcast is shut down, and everything has been read"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for a record of the broadcast"),
            Self::BufferTooShort { needed } => write!(f, "the record has {needed} bytes; give a longer buffer"),
            Self::NotOwner => f.write_str(NOT_OWNER),
            Self::Corrupted => f.write_str(CORRUPTED),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for BroadcastRecvError {}

/// Why a value was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlackboardWriteError {
    /// The blackboard is shut down.
    Closed,
    /// The writer is that of the process which forked the caller.
    NotOwner,
    /// The blackboard holds something that no participant writes.
    Corrupted,
}

impl fmt::Display for BlackboardWriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the blackboard is shut down",
            Self::NotOwner => NOT_OWNER,
            Self::Corrupted => CORRUPTED,
        })
    }
}

impl std::error::Error for BlackboardWriteError {}

/// Why no value was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlackboardReadError {
    /// There is none, or none newer than asked for (of calls that do not wait).
    Empty,
    /// The time is up.
    TimedOut,
    /// The blackboard is shut down, and there is none newer than asked for.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The writer overwrote the value during each of a thousand copies.
    Busy,
    /// The blackboard holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<ReadFailure> for BlackboardReadError {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::NotNewer => Self::Empty,
            ReadFailure::TimedOut => Self::TimedOut,
            ReadFailure::Interrupted => Self::Interrupted,
            ReadFailure::Closed => Self::Closed,
            ReadFailure::Busy => Self::Busy,
            ReadFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for BlackboardReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the blackboard has no value, or no newer one"),
            Self::TimedOut => f.write_str("the blackboard had no newer value in time"),
            Self::Closed => f.write_str("the blackboard is shut down, and has no newer value"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for a newer value"),
            Self::Busy => f.write_str("the writer overwrote the value during each copy; read again"),
            Self::Corrupted => f.write_str(CORRUPTED),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for BlackboardReadError {}
