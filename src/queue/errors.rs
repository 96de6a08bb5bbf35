//! Why something did not go into, or come out of, a queue or a channel.

use std::fmt;

use crate::error::Error;
use crate::raw::channel::{RecvFailure, SendFailure};
use crate::raw::queue::{PopFailure, PushFailure};

/// Why an item was not pushed. The item comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no free slot (a try only).
    Full(T),
    /// The time is up.
    TimedOut(T),
    /// The queue is shut down.
    Closed(T),
    /// A signal handler ran.
    Interrupted(T),
    /// The queue holds something that no participant writes.
    Corrupted(T),
    /// The process could not join the segment.
    Segment(T, Error),
}

impl<T> PushError<T> {
    pub(super) fn new(item: T, failure: Result<PushFailure, Error>) -> Self {
        match failure {
            Ok(PushFailure::Full) => Self::Full(item),
            Ok(PushFailure::TimedOut) => Self::TimedOut(item),
            Ok(PushFailure::Closed) => Self::Closed(item),
            Ok(PushFailure::Interrupted) => Self::Interrupted(item),
            Ok(PushFailure::Corrupted) => Self::Corrupted(item),
            Err(error) => Self::Segment(item, error),
        }
    }

    /// The item that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item)
            | Self::TimedOut(item)
            | Self::Closed(item)
            | Self::Interrupted(item)
            | Self::Corrupted(item)
            | Self::Segment(item, _) => item,
        }
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the queue is full"),
            Self::TimedOut(_) => f.write_str("the queue had no room in time"),
            Self::Closed(_) => f.write_str("the queue is shut down"),
            Self::Interrupted(_) => f.write_str("a signal interrupted the wait for room in the queue"),
            Self::Corrupted(_) => f.write_str("the queue holds something that no participant writes"),
            Self::Segment(_, error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for PushError<T> {}

/// Why no item was popped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PopError {
    /// There is no message (a try only).
    Empty,
    /// The next message is still being written by a living producer (a try only).
    Busy,
    /// The time is up.
    TimedOut,
    /// The queue is shut down and empty.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The queue holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<PopFailure> for PopError {
    fn from(failure: PopFailure) -> Self {
        match failure {
            PopFailure::Empty => Self::Empty,
            PopFailure::Busy => Self::Busy,
            PopFailure::TimedOut => Self::TimedOut,
            PopFailure::Closed => Self::Closed,
            PopFailure::Interrupted => Self::Interrupted,
            PopFailure::Corrupted => Self::Corrupted,
        }
    }
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the queue is empty"),
            Self::Busy => f.write_str("the next item is still being written"),
            Self::TimedOut => f.write_str("the queue had no item in time"),
            Self::Closed => f.write_str("the queue is shut down and empty"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for an item"),
            Self::Corrupted => f.write_str("the queue holds something that no participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for PopError {}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room (a try only).
    Full,
    /// The time is up.
    TimedOut,
    /// The channel is shut down.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The message does not fit the channel, even an empty one.
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that fits.
        max: usize,
    },
    /// The calling thread is itself in the middle of a message that it writes in place, and would wait for itself.
    WouldDeadlock,
    /// The process was forked in the middle of a message that is written in place: that is its parent's.
    NotOwner,
    /// The channel holds something that no participant writes.
    Corrupted,
    /// Nobody has the other end of the pipe any more.
    BrokenPipe,
    /// This end of a one-way pipe does not send.
    WrongDirection,
    /// The process could not join the segment.
    Segment(Error),
}

impl SendError {
    pub(super) fn of(failure: SendFailure, len: usize, max: usize) -> Self {
        match failure {
            SendFailure::Full => Self::Full,
            SendFailure::TimedOut => Self::TimedOut,
            SendFailure::Interrupted => Self::Interrupted,
            SendFailure::Closed => Self::Closed,
            SendFailure::TooLong => Self::TooLong { len, max },
            SendFailure::WouldDeadlock => Self::WouldDeadlock,
            SendFailure::Corrupted => Self::Corrupted,
        }
    }
}

/// Why a channel, whose lock is `what`, was not shut down.
pub(super) fn not_shut_down(failure: SendFailure, what: &'static str) -> Error {
    match failure {
        SendFailure::Interrupted => Error::Interrupted,
        SendFailure::WouldDeadlock => Error::Busy,
        _ => Error::Corrupted(what),
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the channel is full"),
            Self::TimedOut => f.write_str("the channel had no room in time"),
            Self::Closed => f.write_str("the channel is shut down"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for room in the channel"),
            Self::TooLong { len, max } => write!(f, "a message of {len} bytes; the channel takes {max} at a time"),
            Self::WouldDeadlock => {
                f.write_str("this thread is in the middle of a message of this channel; end it first")
            }
            Self::NotOwner => f.write_str("the message is one of the process that this one was forked from"),
            Self::Corrupted => f.write_str("the channel holds something that no participant writes"),
            Self::BrokenPipe => f.write_str("nobody has the other end of the pipe any more"),
            Self::WrongDirection => f.write_str("this end of a one-way pipe receives only"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why no message was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// There is no message (a try only).
    Empty,
    /// The time is up.
    TimedOut,
    /// The channel is shut down and empty.
    Closed,
    /// A signal handler ran.
    Interrupted,
    /// The message is longer than the buffer; it stays in the channel.
    BufferTooShort {
        /// Its length.
        needed: usize,
    },
    /// There is no memory for a message of so many bytes. It is still there.
    NoMemory {
        /// Its length.
        needed: usize,
    },
    /// The calling thread is itself in the middle of a message that it reads in place, and would wait for itself.
    WouldDeadlock,
    /// The process was forked in the middle of a message that is read in place: that is its parent's.
    NotOwner,
    /// The channel holds something that no participant writes.
    Corrupted,
    /// Nobody has the other end of the pipe any more, and all that was sent has been received.
    EndOfFile,
    /// This end of a one-way pipe does not receive.
    WrongDirection,
    /// The process could not join the segment.
    Segment(Error),
}

impl From<RecvFailure> for RecvError {
    fn from(failure: RecvFailure) -> Self {
        match failure {
            RecvFailure::Empty => Self::Empty,
            RecvFailure::TimedOut => Self::TimedOut,
            RecvFailure::Interrupted => Self::Interrupted,
            RecvFailure::Closed => Self::Closed,
            RecvFailure::TooShort { needed } => Self::BufferTooShort { needed },
            RecvFailure::WouldDeadlock => Self::WouldDeadlock,
            RecvFailure::Corrupted => Self::Corrupted,
        }
    }
}

/// Room for a first attempt at a message of unknown length.
const FIRST_BUFFER: usize = 256;

/// A message of any length, by a receive into a buffer that says how long it has to be.
pub(super) fn whole(
    max: usize,
    mut recv: impl FnMut(&mut [u8]) -> Result<usize, RecvError>,
) -> Result<Vec<u8>, RecvError> {
    let mut buffer = vec![0; FIRST_BUFFER.min(max)];
    loop {
        match recv(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            // Another receiver may take it before we are back: then the next one may need more.
            Err(RecvError::BufferTooShort { needed }) => {
                // Untouched pages of it cost nothing, so a length that a faulty peer made up does not either.
                buffer = bytemuck::allocation::try_zeroed_vec(needed).map_err(|()| RecvError::NoMemory { needed })?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel is empty"),
            Self::TimedOut => f.write_str("the channel had no message in time"),
            Self::Closed => f.write_str("the channel is shut down and empty"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for a message"),
            Self::BufferTooShort { needed } => write!(f, "the message has {needed} bytes; give a longer buffer"),
            Self::NoMemory { needed } => {
                write!(f, "there is no memory for a message of {needed} bytes; it is still there")
            }
            Self::WouldDeadlock => {
                f.write_str("this thread is in the middle of a message of this channel; end it first")
            }
            Self::NotOwner => f.write_str("the message is one of the process that this one was forked from"),
            Self::Corrupted => f.write_str("the channel holds something that no participant writes"),
            Self::EndOfFile => f.write_str("end of file: nobody has the other end of the pipe any more"),
            Self::WrongDirection => f.write_str("this end of a one-way pipe sends only"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for RecvError {}
