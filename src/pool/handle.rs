//! The handle of a pool.

use std::borrow::Cow;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use super::answer::{AsyncResult, Call, Shape, Sink, Then, decode_all, decode_bytes, decode_one, is_collector, lock};
use super::books::{Books, Phase, Tally, Target};
use super::callbacks::{Callbacks, then};
use super::collector;
use super::crew::{Crew, Plan};
use super::errors::{PoolError, TaskError};
use super::options::PoolOptions;
use super::progress::{Progress, WorkerInfo};
use super::table::{RESULTS, TASKS, Table};
use super::wire::{TaskKind, push_part, write_part};
use crate::process::{BYTES, Function, Registration, registered};
use crate::queue::{Channel, WorkQueue, WorkQueueOptions};
use crate::segment::{Segment, SegmentOptions, Unlink};
use crate::sys::{bridge, fork};
use crate::typed::{Portable, codec};

/// Worker processes that run [registered](crate::register) functions: Python's `Pool`, and one that no killed worker can hang.
///
/// A call of a function with its arguments is a *task*; [`map`](Self::map) makes tasks of several calls each, *chunks*. Tasks
/// wait in shared memory until a worker takes them, and their results come back through shared memory. Every task is answered
/// exactly once: by its result, by the panic of its function, or by another [`TaskError`].
///
/// **Threads**: any thread may give tasks to a pool, and none ever waits for room. Results are received by one thread of the
/// pool, the *collector*, which also runs the callbacks: a callback that takes long delays the results of all other tasks, and
/// one that waits for a result of the same pool gets [`TaskError::WouldDeadlock`].
///
/// **Crash behaviour**: a worker that is killed, at whatever instant, is replaced by a new one. The task that it was running is
/// run again if the pool was told to [retry](PoolOptions::retries), or else fails with [`TaskError::WorkerDied`]; everything
/// else goes on. A worker that was about to begin a task, or had sent its result, costs nothing. Workers are daemons: they end
/// when this process is killed.
///
/// **Ctrl-C** goes to this process and to its workers alike. It does not end workers: a handler that does nothing has the signal
/// there, unless the program ignores it, and a program that a task starts hears it again. A process that handles it goes on with its pool;
/// one that does not is ended by it, its workers see that and end too, and take the name of a named pool away. A system call of a
/// task may return early for it, as for any signal that is handled.
///
/// **fork**: in a forked child every call is an error, and dropping it touches nothing of the parent's.
///
/// Dropping a pool [terminates](Self::terminate) it and waits for the end, as Python's `with` does. There is no call like
/// `std::thread::scope`, since there is nothing for it to guard: tasks borrow nothing of their caller's, who gives them values or bytes
/// that are copied, and workers do not outlive the pool.
///
/// ```no_run
/// use ringfence::pool::Pool;
///
/// fn square(x: u64) -> u64 {
///     x * x
/// }
/// ringfence::register!(square);
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     ringfence::process::init(); // first: in a worker this serves the pool, and does not return
///     let pool = Pool::new(4)?;
///     assert_eq!(pool.apply(square, (7,))?, 49);
///     assert_eq!(pool.map(square, 0..5)?, [0, 1, 4, 9, 16]);
///     let later = pool.apply_async(square, (8,))?;
///     assert_eq!(later.get()?, 64);
///     pool.close()?;
///     pool.join()?;
///     Ok(())
/// }
/// ```
#[must_use = "a pool that is dropped is terminated"]
pub struct Pool {
    /// Left alone in a forked child.
    inner: ManuallyDrop<Inner>,
    generation: u64,
}

pub(super) struct Inner {
    books: Arc<Books>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// For the size of chunks.
    workers: usize,
    segment_name: Option<String>,
}

impl Pool {
    /// A pool of so many workers; for anything else see [`PoolOptions`].
    ///
    /// # Errors
    /// As [`PoolOptions::create`].
    pub fn new(workers: usize) -> Result<Self, PoolError> {
        PoolOptions::new().workers(workers).create()
    }

    pub(super) fn with(options: PoolOptions) -> Result<Self, PoolError> {
        let generation = fork::generation()?;
        let workers = options.workers.unwrap_or_else(crate::process::cpu_count);
        let initializer = options.initializer.transpose().map_err(PoolError::Initializer)?;
        // Each worker has one task at most that is answered and not reported done.
        let places = options.slots + 2 * workers + 16;
        let size = places * (24 + options.longest + 8) + options.ring + (options.slots + 8) * 8 + (16 << 10);
        let participants = u16::try_from(4 * workers + 32).unwrap_or(u16::MAX);
        let plan = SegmentOptions::new().size(size).participants(participants).objects(8).unlink(Unlink::WithLast);
        let segment = match &options.segment_name {
            Some(name) => Segment::create(name, &plan)?,
            None => Segment::anonymous(&plan)?,
        };
        let tasks = WorkQueue::create(&segment, TASKS, &WorkQueueOptions::new(places, options.longest))?;
        let results = Channel::create(&segment, RESULTS, options.ring)?;
        let slots = options.slots as u32;
        let table = Table::create(&segment, slots, options.retries + 1)?;
        let name = initializer.as_ref().map(|(name, ..)| name.clone());
        let books = Arc::new(Books::new(segment, tasks, results, table, slots, name)?);

        let segment_name = options.segment_name.clone();
        let plan = Plan { workers, name: options.worker_name, most: options.most, initializer, segment_name };
        let crew = Crew::new(books.clone(), plan);
        let pool = Self {
            inner: ManuallyDrop::new(Inner {
                books: books.clone(),
                threads: Mutex::default(),
                workers: workers.max(1),
                segment_name: options.segment_name,
            }),
            generation,
        };
        let (first, started) = mpsc::channel();
        let minder = bridge::spawn("ringfence-crew", move || crew.mind(&first));
        match minder {
            Ok(minder) => lock(&pool.inner.threads).push(minder),
            Err(error) => {
                let mut entries = books.entries();
                (entries.crew_gone, entries.over) = (true, true);
                return Err(error.into());
            }
        }
        let collected = books.clone();
        match bridge::spawn("ringfence-pool", move || collector::collect(&collected)) {
            Ok(collector) => lock(&pool.inner.threads).push(collector),
            Err(error) => {
                books.entries().over = true;
                books.end(&mut books.entries(), Phase::Terminated);
                return Err(error.into());
            }
        }
        // A minder that panicked has started nobody.
        started.recv().unwrap_or(Err(crate::process::ProcessError::NotStarted))?;
        Ok(pool)
    }

    pub(super) fn ours(&self) -> Result<&Inner, TaskError> {
        match fork::generation() {
            Ok(generation) if generation == self.generation => Ok(&self.inner),
            Ok(_) => Err(TaskError::OtherProcess),
            Err(error) => Err(TaskError::Segment(error)),
        }
    }

    fn minding(&self) -> Result<&Inner, PoolError> {
        self.ours().map_err(|error| match error {
            TaskError::Segment(error) => PoolError::Segment(error),
            _ => PoolError::OtherProcess,
        })
    }

    /// For books of its own: who may wait for what.
    pub(super) fn mark(&self) -> usize {
        Arc::as_ptr(&self.inner.books).addr()
    }

    pub(super) fn workers_for_chunks(&self) -> usize {
        self.inner.workers
    }

    /// Gives a chunk of encoded calls to the workers.
    pub(super) fn submit(
        &self,
        function: &Registration,
        calls: u32,
        payload: Vec<u8>,
        sink: Sink,
    ) -> Result<(), TaskError> {
        let target = Target { kind: TaskKind::Calls, calls, name: function.name(), signature: function.signature() };
        self.ours()?.books.submit(target, Cow::Owned(payload), sink)
    }

    /// Calls `function` with a tuple of arguments in a worker, and waits for the result.
    ///
    /// # Errors
    /// Why there is none.
    pub fn apply<F, Args>(&self, function: F, arguments: Args) -> Result<F::Output, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        self.apply_async(function, arguments)?.get()
    }

    /// Calls `function` in a worker, and gives a handle to the result that is to come.
    ///
    /// # Errors
    /// Those of giving the task to the pool: [`TaskError::Registry`], [`TaskError::Arguments`], [`TaskError::Closed`],
    /// [`TaskError::Terminated`], [`TaskError::Broken`], [`TaskError::OtherProcess`], [`TaskError::Segment`].
    pub fn apply_async<F, Args>(&self, function: F, arguments: Args) -> Result<AsyncResult<F::Output>, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        self.apply_then(function, &arguments, None)
    }

    /// The same with callbacks.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async): then no callback is called.
    pub fn apply_async_with<F, Args>(
        &self,
        function: F,
        arguments: Args,
        callbacks: Callbacks<F::Output>,
    ) -> Result<AsyncResult<F::Output>, TaskError>
    where
        F: Function<Args>,
        F::Output: 'static,
        Args: Portable,
    {
        self.apply_then(function, &arguments, then(callbacks, decode_one, Shape { calls: 1, chunk: 1 }))
    }

    fn apply_then<F, Args>(
        &self,
        function: F,
        arguments: &Args,
        then: Option<Then>,
    ) -> Result<AsyncResult<F::Output>, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        let registration = registered(function)?;
        let mut payload = Vec::new();
        encode_call(&mut payload, arguments)?;
        let call = Call::new(self.mark(), 1, then);
        self.submit(registration, 1, payload, Sink::Call(call.clone(), 0))?;
        Ok(AsyncResult::new(call, decode_one, Shape { calls: 1, chunk: 1 }))
    }

    /// Calls a function of bytes by its name, and waits for the result: one of this program
    /// ([`register_bytes!`](crate::register_bytes)), or a handler of a worker in another language. The worker borrows the
    /// argument from shared memory.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn apply_bytes(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
        self.apply_bytes_async(name, argument)?.get()
    }

    /// The same, with a handle to the result that is to come.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async). That no worker has such a function is told by the result.
    pub fn apply_bytes_async(&self, name: &str, argument: &[u8]) -> Result<AsyncResult<Vec<u8>>, TaskError> {
        let call = Call::new(self.mark(), 1, None);
        let target = Target { kind: TaskKind::Bytes, calls: 1, name, signature: BYTES };
        self.ours()?.books.submit(target, Cow::Borrowed(argument), Sink::Call(call.clone(), 0))?;
        Ok(AsyncResult::new(call, decode_bytes, Shape { calls: 1, chunk: 1 }))
    }

    /// Calls `function` once for each item, and waits for all results, which are in the order of the items. All calls are made
    /// before the first error is returned. The chunks are of about `items / (4 * workers)` calls.
    ///
    /// # Errors
    /// The first error in the order of the items.
    pub fn map<F, A>(&self, function: F, items: impl IntoIterator<Item = A>) -> Result<Vec<F::Output>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
    {
        self.map_async(function, items)?.gather()
    }

    /// The same, in chunks of so many calls.
    ///
    /// # Errors
    /// [`TaskError::ChunkSize`] for 0, and those of [`map`](Self::map).
    pub fn map_chunked<F, A>(
        &self,
        function: F,
        items: impl IntoIterator<Item = A>,
        chunk: usize,
    ) -> Result<Vec<F::Output>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
    {
        self.spread(function, single(items), Some(chunk), |_| None)?.gather()
    }

    /// As [`map`](Self::map), with a handle to the results that are to come.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn map_async<F, A>(
        &self,
        function: F,
        items: impl IntoIterator<Item = A>,
    ) -> Result<AsyncResult<Vec<F::Output>>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
    {
        self.spread(function, single(items), None, |_| None)
    }

    /// The same with callbacks, and with chunks of so many calls; `None` for the default.
    ///
    /// # Errors
    /// [`TaskError::ChunkSize`] for 0, and as [`apply_async`](Self::apply_async).
    pub fn map_async_with<F, A>(
        &self,
        function: F,
        items: impl IntoIterator<Item = A>,
        chunk: Option<usize>,
        callbacks: Callbacks<Vec<F::Output>>,
    ) -> Result<AsyncResult<Vec<F::Output>>, TaskError>
    where
        F: Function<(A,)>,
        F::Output: 'static,
        A: Portable,
    {
        self.spread(function, single(items), chunk, |shape| then(callbacks, decode_all, shape))
    }

    /// As [`map`](Self::map) for a function of several arguments: each item is the tuple of them.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn starmap<F, Args>(
        &self,
        function: F,
        items: impl IntoIterator<Item = Args>,
    ) -> Result<Vec<F::Output>, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        self.starmap_async(function, items)?.gather()
    }

    /// As [`starmap`](Self::starmap), with a handle to the results that are to come.
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async).
    pub fn starmap_async<F, Args>(
        &self,
        function: F,
        items: impl IntoIterator<Item = Args>,
    ) -> Result<AsyncResult<Vec<F::Output>>, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        self.spread(function, items, None, |_| None)
    }

    /// Gives the calls to the workers, chunk after chunk.
    fn spread<F, Args>(
        &self,
        function: F,
        items: impl IntoIterator<Item = Args>,
        chunk: Option<usize>,
        then: impl FnOnce(Shape) -> Option<Then>,
    ) -> Result<AsyncResult<Vec<F::Output>>, TaskError>
    where
        F: Function<Args>,
        Args: Portable,
    {
        let workers = self.ours()?.workers;
        let registration = registered(function)?;
        if chunk == Some(0) {
            return Err(TaskError::ChunkSize);
        }
        let items: Vec<Args> = items.into_iter().collect();
        let chunk = chunk.unwrap_or_else(|| items.len().div_ceil(4 * workers)).clamp(1, u32::MAX as usize);
        let shape = Shape { calls: items.len(), chunk };
        let chunks = items.len().div_ceil(chunk);
        let call = Call::new(self.mark(), chunks, then(shape));
        for (nth, calls) in items.chunks(chunk).enumerate() {
            let mut payload = Vec::new();
            calls.iter().for_each(|arguments| encode_call_or_nothing(&mut payload, arguments));
            if let Err(error) = self.submit(registration, calls.len() as u32, payload, Sink::Call(call.clone(), nth)) {
                if nth == 0 {
                    return Err(error);
                }
                Sink::Call(call.clone(), nth).answer(Err(error));
            }
        }
        if chunks == 0 {
            call.finish_if_empty();
        }
        Ok(AsyncResult::new(call, decode_all, shape))
    }

    /// No new tasks from now on. Those that there are are done, and then the workers end. Doing it twice is fine.
    ///
    /// # Errors
    /// [`PoolError::OtherProcess`], [`PoolError::Segment`].
    pub fn close(&self) -> Result<(), PoolError> {
        let books = &self.minding()?.books;
        let mut entries = books.entries();
        if entries.phase == Phase::Open {
            entries.phase = Phase::Closed;
            // Shuts the queue down if nothing waits outside of it; else the collector does.
            let mut answers = Vec::new();
            books.refill(&mut entries, &mut answers);
            drop(entries);
            answers.into_iter().for_each(|(sink, chunk)| sink.answer(chunk));
            books.control.raise();
        }
        Ok(())
    }

    /// Ends the pool now. Tasks that are not answered fail with [`TaskError::Terminated`]; the workers get SIGTERM, and 5 s later
    /// SIGKILL. It does not wait for their end: [`join`](Self::join) does.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn terminate(&self) -> Result<(), PoolError> {
        let books = &self.minding()?.books;
        let mut entries = books.entries();
        if !entries.phase.is_final() {
            books.end(&mut entries, Phase::Terminated);
        }
        Ok(())
    }

    /// Waits for the end of a pool that was closed or terminated: all tasks are answered, all callbacks have run, all workers
    /// have ended.
    ///
    /// # Errors
    /// [`PoolError::NotClosed`], [`PoolError::WouldDeadlock`] in a callback, [`PoolError::OtherProcess`],
    /// [`PoolError::Segment`].
    pub fn join(&self) -> Result<(), PoolError> {
        let inner = self.minding()?;
        let books = &inner.books;
        if is_collector(self.mark()) {
            return Err(PoolError::WouldDeadlock);
        }
        let mut entries = books.entries();
        if entries.phase == Phase::Open {
            return Err(PoolError::NotClosed);
        }
        while !entries.over {
            entries = books.over.wait(entries).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Ok(())
    }

    /// The workers that there are now. One that has just died may still be among them.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn workers(&self) -> Result<Vec<WorkerInfo>, PoolError> {
        Ok(self.minding()?.books.entries().counts.running())
    }

    /// How far it is: tasks done, and given to it, and done by each worker. It takes a moment of the lock under which answers are
    /// booked; ten times a second for a progress bar is nothing.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn progress(&self) -> Result<Progress, PoolError> {
        let entries = self.minding()?.books.entries();
        Ok(entries.counts.report(entries.tally.answered, entries.tally.submitted))
    }

    /// What has happened to its tasks.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn tally(&self) -> Result<Tally, PoolError> {
        let books = &self.minding()?.books;
        let mut tally = books.entries().tally;
        tally.garbage += books.table.garbage();
        Ok(tally)
    }

    /// The name of its segment, if it was made with one.
    #[must_use]
    pub fn segment_name(&self) -> Option<&str> {
        self.inner.segment_name.as_deref()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.ours().is_err() {
            // The threads, and whom they mind, are the parent's.
            return;
        }
        // SAFETY: taken once, here.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        {
            let mut entries = inner.books.entries();
            if !entries.phase.is_final() && !entries.over {
                inner.books.end(&mut entries, Phase::Terminated);
            }
        }
        let me = std::thread::current().id();
        for thread in std::mem::take(&mut *lock(&inner.threads)) {
            // In a callback, the last handle of a pool: the collector ends behind it.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
        if let Some(name) = &inner.segment_name {
            let _ = Segment::unlink(name);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Pool");
        if let Ok(inner) = self.ours() {
            let entries = inner.books.entries();
            let (workers, phase) = (entries.counts.running().len(), entries.phase.clone());
            drop(entries);
            shown.field("workers", &workers).field("phase", &phase);
        }
        shown.finish_non_exhaustive()
    }
}

/// The items as tuples of one argument.
fn single<A>(items: impl IntoIterator<Item = A>) -> impl Iterator<Item = (A,)> {
    items.into_iter().map(|item| (item,))
}

/// Appends a call.
fn encode_call<Args: Portable>(payload: &mut Vec<u8>, arguments: &Args) -> Result<(), TaskError> {
    let written = write_part(payload, |payload| codec::encode_into(arguments, payload));
    let written = written.map_err(|error| TaskError::Arguments { reason: error.to_string() })?;
    written.ok_or_else(|| TaskError::Arguments { reason: "they take more than 4 GiB".to_owned() })
}

/// Appends a call; one whose arguments cannot be encoded as an empty part, which the worker knows for what it is. So only this
/// call of its chunk fails.
pub(super) fn encode_call_or_nothing<Args: Portable>(payload: &mut Vec<u8>, arguments: &Args) {
    if encode_call(payload, arguments).is_err() {
        let _ = push_part(payload, b"");
    }
}
