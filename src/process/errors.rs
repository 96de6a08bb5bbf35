//! Why a process cannot be started or asked, or has no result.

use std::error::Error as StdError;
use std::fmt;

use super::catch::Panic;
use super::mailbox::Failure;
use super::registry::RegistryError;
use crate::error::Error;
use crate::sys::spawn::signal_name;
use crate::typed::{DecodeError, EncodeError};

/// Why a call of a [`Process`](crate::process::Process) failed, or why it has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// The function cannot be told to another process; or, from [`result`](crate::process::Process::result), the child has no such
    /// function: it is another program than ours.
    Registry(RegistryError),
    /// The arguments have no message.
    Encode(EncodeError),
    /// [`init`](crate::process::init) was not called in this process, so a child would run `main` all over.
    InitMissing,
    /// This process is a daemon, which may not have children.
    DaemonHasNoChildren,
    /// It was started, so that cannot be changed, nor done again.
    AlreadyStarted,
    /// It was not started.
    NotStarted,
    /// It has not ended.
    StillRunning,
    /// It was closed.
    Closed,
    /// Another process has started it, from which this one was forked. Only that one may ask.
    NotParent,
    /// The time is up, and it has not ended.
    TimedOut,
    /// It has ended, but somebody else has reaped it, by a `wait` for any child or by ignoring SIGCHLD. How it ended is lost.
    Lost,
    /// Its function panicked.
    Panicked(Panic),
    /// It was ended by a signal before it had a result.
    Died {
        /// Which.
        signal: i32,
    },
    /// It ended by itself before it had a result: `exit` was called in it, or the program was another one.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The child could not decode its arguments: it is another program than ours.
    Arguments(String),
    /// What the function returned has no message.
    NotEncoded(String),
    /// What the function returned could not be left for us.
    NotWritten(String),
    /// The result is none of the type that the function returns here.
    Decode(DecodeError),
    /// The result was taken before.
    ResultTaken,
    /// The child has left something that no child leaves.
    Corrupted(&'static str),
    /// The operating system refused.
    System(Error),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::InitMissing => {
                f.write_str("call ringfence::process::init() first thing in main: children of this program start there")
            }
            Self::DaemonHasNoChildren => f.write_str("a daemon may not start processes: they would outlive it"),
            Self::AlreadyStarted => f.write_str("the process was started already"),
            Self::NotStarted => f.write_str("the process was not started; start it first"),
            Self::StillRunning => f.write_str("the process is still running; join it first"),
            Self::Closed => f.write_str("the process was closed"),
            Self::NotParent => f.write_str("only the process that started it may ask"),
            Self::TimedOut => f.write_str("the process did not end in time"),
            Self::Lost => f.write_str("the process has ended, but somebody else has reaped it"),
            Self::Panicked(panic) => write!(f, "the process {panic}"),
            Self::Died { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "the process was ended by {name} before it had a result"),
                None => write!(f, "the process was ended by signal {signal} before it had a result"),
            },
            Self::Exited { code } => write!(f, "the process ended with exit code {code} and without a result"),
            Self::Arguments(reason) => write!(f, "the process could not decode its arguments: {reason}"),
            Self::NotEncoded(reason) => write!(f, "the result of the process cannot be encoded: {reason}"),
            Self::NotWritten(reason) => write!(f, "the process could not leave its result: {reason}"),
            Self::Decode(error) => write!(f, "the result of the process: {error}"),
            Self::ResultTaken => f.write_str("the result of the process was taken already"),
            Self::Corrupted(what) => write!(f, "the process left no sound result: {what}"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl StdError for ProcessError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Decode(error) => error.source(),
            _ => None,
        }
    }
}

impl From<RegistryError> for ProcessError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<EncodeError> for ProcessError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<Error> for ProcessError {
    fn from(error: Error) -> Self {
        Self::System(error)
    }
}

impl From<Failure> for ProcessError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::System(error) => Self::System(error),
            Failure::Corrupted(what) => Self::Corrupted(what),
        }
    }
}
