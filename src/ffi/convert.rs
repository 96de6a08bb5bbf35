//! From the library's own errors to statuses. Every distinct outcome has a status of its own.

use super::boundary::Failure;
use super::status::rf_status::{self, *};
use crate::cell::{ElementError, OutOfRange};
use crate::error::Error;
use crate::raw::mutex::Acquired;
use crate::ring::{RingPopError, RingPushError};
use crate::sync::LockFailure;

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Name(_) => RF_E_NAME,
            Error::Exists => RF_E_EXISTS,
            Error::Missing => RF_E_MISSING,
            Error::WrongKind { .. } => RF_E_WRONG_TYPE,
            Error::WrongShape { .. } => RF_E_WRONG_SHAPE,
            Error::NoSpace => RF_E_NO_SPACE,
            Error::NoMemory => RF_E_NO_MEMORY,
            Error::TooManyParticipants => RF_E_TOO_MANY_PARTICIPANTS,
            Error::DirectoryFull => RF_E_DIRECTORY_FULL,
            Error::Permission => RF_E_PERMISSION,
            Error::Corrupted(_) => RF_E_CORRUPTED,
            Error::Version { .. } => RF_E_VERSION,
            Error::Busy => RF_E_BUSY,
            Error::InvalidArgument(_) => RF_E_INVALID,
            Error::NotSupported(_) => RF_E_NOT_SUPPORTED,
            Error::NoDescriptors => RF_E_NO_DESCRIPTORS,
            Error::RoleTaken { .. } => RF_E_ROLE_TAKEN,
            Error::EndGone => RF_E_END_OF_FILE,
            Error::Stale => RF_E_STALE,
            Error::Interrupted => RF_E_INTERRUPTED,
            Error::Os(_) => RF_E_SYSTEM,
        };
        let errno = if let Error::Os(errno) = &error { *errno } else { 0 };
        Self::new(status, error.to_string()).with_errno(errno)
    }
}

impl From<Acquired> for rf_status {
    fn from(acquired: Acquired) -> Self {
        match acquired {
            Acquired::Clean => RF_OK,
            Acquired::OwnerDied => RF_OWNER_DIED,
        }
    }
}

impl From<LockFailure> for Failure {
    fn from(failure: LockFailure) -> Self {
        match failure {
            LockFailure::WouldBlock => RF_E_BUSY.into(),
            LockFailure::TimedOut => RF_E_TIMED_OUT.into(),
            LockFailure::Interrupted => RF_E_INTERRUPTED.into(),
            LockFailure::WouldDeadlock => RF_E_WOULD_DEADLOCK.into(),
            LockFailure::TooOften | LockFailure::MaximumReached | LockFailure::TooManyWaiters => {
                RF_E_MAXIMUM_REACHED.into()
            }
            LockFailure::OtherMutex => RF_E_OTHER_MUTEX.into(),
            LockFailure::NotRecoverable => RF_E_NOT_RECOVERABLE.into(),
            LockFailure::NotOwner => RF_E_NOT_OWNER.into(),
            LockFailure::Corrupted => RF_E_CORRUPTED.into(),
            LockFailure::Segment(error) => error.into(),
        }
    }
}

impl From<RingPushError> for Failure {
    fn from(error: RingPushError) -> Self {
        match error {
            RingPushError::Full(()) => RF_E_FULL.into(),
            RingPushError::TimedOut(()) => RF_E_TIMED_OUT.into(),
            RingPushError::Closed(()) => RF_E_CLOSED.into(),
            RingPushError::Interrupted(()) => RF_E_INTERRUPTED.into(),
            RingPushError::NoConsumer(()) => RF_E_ALONE.into(),
            RingPushError::NotOwner(()) => Self::new(RF_E_NOT_OWNER, error.to_string()),
            RingPushError::TooLong { .. } => Self::new(RF_E_MESSAGE_TOO_LONG, error.to_string()),
            RingPushError::Corrupted(()) => RF_E_CORRUPTED.into(),
            RingPushError::Segment((), error) => error.into(),
        }
    }
}

impl From<RingPopError> for Failure {
    fn from(error: RingPopError) -> Self {
        match error {
            RingPopError::Empty => RF_E_EMPTY.into(),
            RingPopError::TimedOut => RF_E_TIMED_OUT.into(),
            RingPopError::Closed => RF_E_CLOSED.into(),
            RingPopError::Interrupted => RF_E_INTERRUPTED.into(),
            RingPopError::NoProducer => RF_E_ALONE.into(),
            RingPopError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            RingPopError::BufferTooShort { .. } => Self::new(RF_E_BUFFER_TOO_SHORT, error.to_string()),
            RingPopError::Corrupted => RF_E_CORRUPTED.into(),
            RingPopError::Segment(error) => error.into(),
        }
    }
}

impl From<OutOfRange> for Failure {
    fn from(error: OutOfRange) -> Self {
        Self::new(RF_E_INVALID, error.to_string())
    }
}

impl From<ElementError> for Failure {
    fn from(error: ElementError) -> Self {
        match error {
            ElementError::OutOfRange(error) => error.into(),
            ElementError::Lock(failure) => failure.into(),
        }
    }
}
