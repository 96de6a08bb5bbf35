//! What a pool is made with.

use super::errors::{PoolError, TaskError};
use super::handle::Pool;
use super::table::MOST_ATTEMPTS;
use crate::process::{Function, registered};
use crate::typed::{Portable, codec};

/// Options of a new [`Pool`]. The defaults: a worker for each processor, no initializer, no limit of tasks for a worker, no
/// second try of a task whose worker died, workers called `PoolWorker-N`, no name for the segment.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # ringfence::process::init();
/// use ringfence::pool::PoolOptions;
/// let pool = PoolOptions::new().workers(4).retries(2).max_tasks_per_child(1000).create()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PoolOptions {
    pub(super) workers: Option<usize>,
    pub(super) initializer: Option<Result<super::child::Initializer, TaskError>>,
    pub(super) most: Option<u64>,
    pub(super) retries: u32,
    pub(super) worker_name: String,
    pub(super) segment_name: Option<String>,
    pub(super) slots: usize,
    pub(super) longest: usize,
    pub(super) ring: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PoolOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            workers: None,
            initializer: None,
            most: None,
            retries: 0,
            worker_name: "PoolWorker".to_owned(),
            segment_name: None,
            slots: 512,
            longest: 2048,
            ring: 512 << 10,
        }
    }

    /// How many workers the pool has of its own: at most 1000. 0 is for a pool with a [name](Self::segment_name), whose workers
    /// come by themselves.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// A [registered](crate::register) function that each worker calls before its first task, replaced workers too. If it panics
    /// or cannot be called the pool gives up: all of its tasks fail with [`Broken::Initializer`](super::Broken::Initializer).
    pub fn initializer<F: Function<Args>, Args: Portable>(mut self, function: F, arguments: Args) -> Self {
        let encode = || {
            let registration = registered(function)?;
            let arguments = codec::encode(&arguments);
            let arguments = arguments.map_err(|error| TaskError::Arguments { reason: error.to_string() })?;
            Ok((registration.name().to_owned(), registration.signature().to_owned(), arguments))
        };
        self.initializer = Some(encode());
        self
    }

    /// A worker ends after so many tasks, and another takes its place. A chunk of a [`map`](Pool::map) is one task.
    pub fn max_tasks_per_child(mut self, tasks: u64) -> Self {
        self.most = Some(tasks);
        self
    }

    /// A task whose worker dies while it runs is tried again, so many times at most (4000); then it fails with
    /// [`TaskError::WorkerDied`]. It has to bear being run a second time after having been run in part, or to its end.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Workers are called this, a dash and a number.
    pub fn worker_name(mut self, name: impl Into<String>) -> Self {
        self.worker_name = name.into();
        self
    }

    /// Makes the pool's segment one with this name, so that workers in other languages find it. The name is gone when the pool
    /// ends; if this process is killed, by a worker that sees it, or, if those were killed too, by [`Segment::sweep`](crate::Segment::sweep).
    pub fn segment_name(mut self, name: impl Into<String>) -> Self {
        self.segment_name = Some(name.into());
        self
    }

    /// How many tasks the queue has, and how many bytes a task takes in it: 512 of 2048. What is beyond waits in this process;
    /// arguments that are longer go through memory of their own.
    pub fn queue(mut self, tasks: usize, bytes: usize) -> Self {
        (self.slots, self.longest) = (tasks, bytes);
        self
    }

    /// Bytes of the ring that results come through: 512 KiB. Longer results come in pieces.
    pub fn results(mut self, bytes: usize) -> Self {
        self.ring = bytes;
        self
    }

    /// Makes the pool, and starts its workers.
    ///
    /// # Errors
    /// [`PoolError::InvalidArgument`], [`PoolError::Initializer`] if that cannot be told to the workers,
    /// [`PoolError::Segment`], [`PoolError::Start`]: no worker can be started, for instance because
    /// [`init`](crate::process::init) was not called.
    pub fn create(self) -> Result<Pool, PoolError> {
        let invalid = |what| Err(PoolError::InvalidArgument(what));
        if self.workers.is_some_and(|workers| workers > 1000) || self.workers == Some(0) && self.segment_name.is_none()
        {
            return invalid("a pool has 1 to 1000 workers; without any, it needs a name");
        }
        if self.most == Some(0) {
            return invalid("a worker runs at least one task");
        }
        if self.retries >= MOST_ATTEMPTS - 90 {
            return invalid("a task is tried again at most 4000 times");
        }
        if !(1..=1 << 16).contains(&self.slots) || !(256..=1 << 20).contains(&self.longest) {
            return invalid("a queue has room for 1 to 65536 tasks of 256 bytes to 1 MiB");
        }
        if !(4096..=1 << 30).contains(&self.ring) {
            return invalid("the ring for the results has 4 KiB to 1 GiB");
        }
        Pool::with(self)
    }
}
