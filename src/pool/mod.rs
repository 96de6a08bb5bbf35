//! Pools: worker processes that run tasks, in this program's functions or in other languages.
//!
//! | module | what it is |
//! |---|---|
//! | `wire` | the messages: tasks and results |
//! | `table` | which task may be begun, how often it was, and by whom: words in shared memory |
//! | `worker` | the worker's side, over bytes: what `rf_worker_*` of the C ABI is made of, too |
//! | `child` | the worker's side in this program: functions by name |
//! | `books` | the pool's side: tasks under way, the outbox, whose an answer is |
//! | `collector`, `crew` | its two threads: results, and processes |
//! | `progress`, `events` | what each worker has done, and what is told in the log |
//! | `answer`, `callbacks`, `imap` | what callers wait for |
//! | `handle`, `map_reduce`, `options`, `errors` | what they call |
//!
//! The last two thirds need functions with names and values of any type, and so the feature `process`.

mod table;
mod wire;
mod worker;

#[cfg(feature = "process")]
mod answer;
#[cfg(feature = "process")]
mod books;
#[cfg(feature = "process")]
mod callbacks;
#[cfg(feature = "process")]
mod child;
#[cfg(feature = "process")]
mod collector;
#[cfg(feature = "process")]
mod crew;
#[cfg(feature = "process")]
mod errors;
#[cfg(feature = "process")]
mod events;
#[cfg(feature = "process")]
mod handle;
#[cfg(feature = "process")]
mod imap;
#[cfg(feature = "process")]
mod map_reduce;
#[cfg(feature = "process")]
mod options;
#[cfg(feature = "process")]
mod progress;

#[cfg(feature = "capi")]
pub(crate) use {
    wire::Outcome,
    worker::{Desk, Failure, Served},
};

#[cfg(feature = "process")]
pub use {
    answer::AsyncResult,
    books::Tally,
    callbacks::Callbacks,
    errors::{Broken, PoolError, TaskError},
    handle::Pool,
    imap::Imap,
    options::PoolOptions,
    progress::{Progress, WorkerInfo, WorkerProgress},
};
