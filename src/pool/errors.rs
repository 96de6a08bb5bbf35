//! Why a task has no result, and why a pool cannot do what was asked.

use std::fmt;

use crate::error::Error;
use crate::process::{Panic, RegistryError};

use super::wire::{Outcome, take_part};

/// Why a call that was given to a pool has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// The function panicked.
    Panicked(Panic),
    /// The worker died while it ran the task, as often as the pool [tries](super::PoolOptions::retries).
    WorkerDied {
        /// The signal that killed it the last time; `None` if it ended by itself, as by `std::process::exit`, or was no child
        /// of the pool's.
        signal: Option<i32>,
    },
    /// The function cannot be told to another process. Nothing was sent.
    Registry(RegistryError),
    /// The worker has no such function, or one that takes or returns something else.
    NoFunction {
        /// What it says.
        reason: String,
    },
    /// The arguments cannot be encoded, or the worker could not decode them. Only this call fails.
    Arguments {
        /// What the codec says.
        reason: String,
    },
    /// The worker could not encode the result, or it cannot be decoded here. Only this call fails.
    Result {
        /// What the codec says.
        reason: String,
    },
    /// The handler of a worker in another language says so.
    Failed {
        /// Its text.
        reason: String,
    },
    /// The worker could not get at an argument that was too long for the pool's queue.
    Unreadable {
        /// What it says.
        reason: String,
    },
    /// Nothing was given to the pool: the chunk size is 0.
    ChunkSize,
    /// The result is not there in time. It may be asked for again.
    TimedOut,
    /// The result is not there yet.
    NotReady,
    /// The pool is closed: it takes no new tasks.
    Closed,
    /// The pool was terminated before the task was done.
    Terminated,
    /// The pool has given up.
    Broken(Broken),
    /// The pool belongs to another process, which this one was forked from.
    OtherProcess,
    /// A callback waits for a result that only its own return could bring.
    WouldDeadlock,
    /// The task could not be given to the pool.
    Segment(Error),
    /// What the worker sent is no result.
    Garbage,
}

impl TaskError {
    /// What a worker said.
    pub(super) fn of(outcome: Outcome, mut payload: &[u8]) -> Self {
        let reason = String::from_utf8_lossy(payload).into_owned();
        match outcome {
            Outcome::Done | Outcome::Exhausted => Self::Garbage,
            Outcome::NoFunction => Self::NoFunction { reason },
            Outcome::BadArguments => Self::Arguments { reason },
            Outcome::NotEncodable => Self::Result { reason },
            Outcome::Failed => Self::Failed { reason },
            Outcome::Unreadable => Self::Unreadable { reason },
            Outcome::Panicked => {
                let mut text = || take_part(&mut payload).map(|part| String::from_utf8_lossy(part).into_owned());
                match (text(), text(), text()) {
                    (Some(message), Some(location), Some(backtrace)) => {
                        Self::Panicked(Panic { message, location, backtrace })
                    }
                    _ => Self::Garbage,
                }
            }
        }
    }
}

impl From<RegistryError> for TaskError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(f, "the task {panic}"),
            Self::WorkerDied { signal: Some(signal) } => {
                write!(f, "the worker was killed by signal {signal} in the task")
            }
            Self::WorkerDied { signal: None } => f.write_str("the worker ended in the task"),
            Self::Registry(error) => error.fmt(f),
            Self::NoFunction { reason } | Self::Failed { reason } => f.write_str(reason),
            Self::Arguments { reason } => write!(f, "the arguments: {reason}"),
            Self::Result { reason } => write!(f, "the result: {reason}"),
            Self::Unreadable { reason } => write!(f, "the worker could not read {reason}"),
            Self::ChunkSize => f.write_str("a chunk has at least one call"),
            Self::TimedOut => f.write_str("the result was not there in time"),
            Self::NotReady => f.write_str("the result is not there yet"),
            Self::Closed => f.write_str("the pool is closed"),
            Self::Terminated => f.write_str("the pool was terminated before the task was done"),
            Self::Broken(broken) => broken.fmt(f),
            Self::OtherProcess => f.write_str("the pool belongs to the process that this one was forked from"),
            Self::WouldDeadlock => f.write_str("a callback must not wait for results: none comes while it runs"),
            Self::Segment(error) => write!(f, "the task could not be given to the pool: {error}"),
            Self::Garbage => f.write_str("the worker sent something that is no result"),
        }
    }
}

impl std::error::Error for TaskError {}

/// Why a pool has given up: all of its tasks fail, and it takes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// The initializer did not succeed in a worker.
    Initializer {
        /// Its name.
        function: String,
        /// Why not.
        error: Box<TaskError>,
    },
    /// Worker after worker ended before it was ready for a task.
    WorkersDie {
        /// How many in a row.
        workers: u32,
        /// The signal that killed the last one.
        signal: Option<i32>,
    },
    /// No worker is left, and none can be started.
    Start {
        /// Why not.
        reason: String,
    },
    /// What the pool and its workers share is damaged.
    Segment(Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initializer { function, error } => {
                write!(f, "the pool has no workers: the initializer \"{function}\" failed: {error}")
            }
            Self::WorkersDie { workers, signal: Some(signal) } => {
                write!(f, "{workers} workers in a row died before they were ready, the last by signal {signal}")
            }
            Self::WorkersDie { workers, signal: None } => {
                write!(f, "{workers} workers in a row ended before they were ready")
            }
            Self::Start { reason } => write!(f, "the pool has no workers: {reason}"),
            Self::Segment(error) => write!(f, "the pool cannot go on: {error}"),
        }
    }
}

/// Why a pool was not made, or cannot do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// What was asked for is impossible.
    InvalidArgument(&'static str),
    /// The initializer cannot be told to the workers.
    Initializer(TaskError),
    /// The shared memory could not be made.
    Segment(Error),
    /// No worker could be started.
    Start {
        /// Why not.
        reason: String,
    },
    /// The pool is neither closed nor terminated, so its end would never come.
    NotClosed,
    /// The pool belongs to another process, which this one was forked from.
    OtherProcess,
    /// A callback waits for the end of its own pool.
    WouldDeadlock,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(what) => f.write_str(what),
            Self::Initializer(error) => write!(f, "the initializer: {error}"),
            Self::Segment(error) => write!(f, "the pool's shared memory: {error}"),
            Self::Start { reason } => write!(f, "no worker could be started: {reason}"),
            Self::NotClosed => f.write_str("close or terminate the pool before waiting for its end"),
            Self::OtherProcess => f.write_str("the pool belongs to the process that this one was forked from"),
            Self::WouldDeadlock => f.write_str("a callback must not wait for the end of its pool"),
        }
    }
}

impl std::error::Error for PoolError {}

impl From<Error> for PoolError {
    fn from(error: Error) -> Self {
        Self::Segment(error)
    }
}
