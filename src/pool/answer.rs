//! What the callers of a pool wait for: the answers to the chunks of a call, and, for iterators, to chunks as they come.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::errors::TaskError;
use super::wire::{Outcome, ResultHead, take_outcome};
use crate::sys::nap::Deadline;
use crate::typed::{Portable, codec};

/// Chunks that are waited for one by one, at most.
const MOST_ONE_BY_ONE: usize = 256;

/// What became of a chunk: the whole message of its result, or why there is none.
pub(super) type Chunk = Result<Vec<u8>, TaskError>;

/// What is run with all chunks of a call.
pub(super) type Then = Box<dyn FnOnce(&[Option<Chunk>]) + Send>;

thread_local! {
    /// The pool whose collector this thread is.
    static COLLECTS: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread is the collector of this pool.
pub(super) fn collects(pool: usize) {
    COLLECTS.set(pool);
}

/// Whether the calling thread is the collector of this pool, so that it must not wait for its results.
pub(super) fn is_collector(pool: usize) -> bool {
    COLLECTS.get() == pool
}

/// No code of ours panics with these locks held; a caller's that does leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar` until `ready`, or until the deadline. Whether it is.
pub(super) fn wait<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    deadline: Deadline,
    mut ready: impl FnMut(&T) -> bool,
) -> (MutexGuard<'a, T>, bool) {
    loop {
        if ready(&guard) {
            return (guard, true);
        }
        guard = match deadline {
            Deadline::Now => return (guard, false),
            Deadline::Forever => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Deadline::At(instant) => {
                let left = instant.saturating_duration_since(std::time::Instant::now());
                if left.is_zero() {
                    return (guard, false);
                }
                condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// A call that is waited for as a whole.
pub(super) struct Call {
    pool: usize,
    state: Mutex<State>,
    answered: Condvar,
}

struct State {
    chunks: Vec<Option<Chunk>>,
    missing: usize,
    /// The chunk that somebody waits for by itself.
    awaited: Option<usize>,
    then: Option<Then>,
}

impl Call {
    /// A call in so many chunks; `then` is run by who answers the last one.
    pub(super) fn new(pool: usize, chunks: usize, then: Option<Then>) -> Arc<Self> {
        let state = State { chunks: (0..chunks).map(|_| None).collect(), missing: chunks, awaited: None, then };
        Arc::new(Self { pool, state: Mutex::new(state), answered: Condvar::new() })
    }

    fn answer(&self, at: usize, chunk: Chunk) {
        let mut state = lock(&self.state);
        if let Some(place @ None) = state.chunks.get_mut(at) {
            *place = Some(chunk);
            state.missing -= 1;
            if state.awaited == Some(at) {
                self.answered.notify_all();
            }
        }
        if state.missing == 0 {
            self.finish(state);
        }
    }

    /// Tells those who wait, and runs the callback.
    pub(super) fn finish_if_empty(&self) {
        let state = lock(&self.state);
        if state.missing == 0 {
            self.finish(state);
        }
    }

    fn finish(&self, mut state: MutexGuard<'_, State>) {
        let then = state.then.take();
        self.answered.notify_all();
        let Some(then) = then else { return };
        // Others may ask for the result meanwhile, and so may the callback.
        let chunks = std::mem::take(&mut state.chunks);
        drop(state);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| then(&chunks)));
        // Its panic was printed by the hook; it is nobody's else.
        drop(ran);
        lock(&self.state).chunks = chunks;
        self.answered.notify_all();
    }
}

/// Chunks that are taken as they come.
pub(super) struct Stream {
    pool: usize,
    chunks: Mutex<BTreeMap<u64, Chunk>>,
    answered: Condvar,
}

impl Stream {
    pub(super) fn new(pool: usize) -> Arc<Self> {
        Arc::new(Self { pool, chunks: Mutex::default(), answered: Condvar::new() })
    }

    /// Takes the chunk of this number, or any.
    pub(super) fn take(&self, number: Option<u64>, deadline: Deadline) -> Result<(u64, Chunk), TaskError> {
        let there = |chunks: &BTreeMap<u64, Chunk>| match number {
            Some(number) => chunks.contains_key(&number),
            None => !chunks.is_empty(),
        };
        let deadline = if is_collector(self.pool) { Deadline::Now } else { deadline };
        let (mut chunks, ready) = wait(&self.answered, lock(&self.chunks), deadline, there);
        if !ready {
            return Err(if is_collector(self.pool) { TaskError::WouldDeadlock } else { TaskError::TimedOut });
        }
        let chunk = match number {
            Some(number) => chunks.remove_entry(&number),
            None => chunks.pop_first(),
        };
        chunk.ok_or(TaskError::Garbage)
    }
}

/// Where the answer to a task goes.
pub(super) enum Sink {
    Call(Arc<Call>, usize),
    Stream(Arc<Stream>, u64),
}

impl Sink {
    /// The answer is there.
    pub(super) fn answer(self, chunk: Chunk) {
        match self {
            Self::Call(call, at) => call.answer(at, chunk),
            Self::Stream(stream, number) => {
                lock(&stream.chunks).insert(number, chunk);
                stream.answered.notify_all();
            }
        }
    }
}

/// The results of the calls of a chunk, one after another. A chunk without a result is that error once for each call.
pub(super) fn results<R: Portable>(chunk: &Chunk, calls: u32) -> impl Iterator<Item = Result<R, TaskError>> {
    let mut rest = payload(chunk);
    (0..calls).map(move |_| {
        let (outcome, part) = take_outcome(rest.as_mut().map_err(|error| error.clone())?).ok_or(TaskError::Garbage)?;
        match outcome {
            Outcome::Done => codec::decode_slice(part).map_err(|error| TaskError::Result { reason: error.to_string() }),
            other => Err(TaskError::of(other, part)),
        }
    })
}

/// What the worker sent, if it did.
pub(super) fn payload(chunk: &Chunk) -> Result<&[u8], TaskError> {
    let message = chunk.as_ref().map_err(Clone::clone)?;
    match ResultHead::read(message) {
        Some((ResultHead { outcome: Outcome::Done, .. }, payload)) => Ok(payload),
        Some((head, payload)) => Err(TaskError::of(head.outcome, payload)),
        None => Err(TaskError::Garbage),
    }
}

/// How the result of a call is made of its chunks.
pub(super) type Decode<R> = fn(&[Option<Chunk>], &Shape) -> Result<R, TaskError>;

/// How many calls there are, and in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) calls: usize,
    pub(super) chunk: usize,
}

/// The result of a single call.
pub(super) fn decode_one<R: Portable>(chunks: &[Option<Chunk>], _: &Shape) -> Result<R, TaskError> {
    let chunk = chunks.first().and_then(Option::as_ref).ok_or(TaskError::NotReady)?;
    results(chunk, 1).next().unwrap_or(Err(TaskError::Garbage))
}

/// The results of all calls, or the first error.
pub(super) fn decode_all<R: Portable>(chunks: &[Option<Chunk>], shape: &Shape) -> Result<Vec<R>, TaskError> {
    let mut all = Vec::with_capacity(shape.calls);
    for (nth, chunk) in chunks.iter().enumerate() {
        let chunk = chunk.as_ref().ok_or(TaskError::NotReady)?;
        let calls = shape.chunk.min(shape.calls - nth * shape.chunk);
        for result in results(chunk, calls as u32) {
            all.push(result?);
        }
    }
    Ok(all)
}

/// The result of a function of bytes.
pub(super) fn decode_bytes(chunks: &[Option<Chunk>], _: &Shape) -> Result<Vec<u8>, TaskError> {
    let chunk = chunks.first().and_then(Option::as_ref).ok_or(TaskError::NotReady)?;
    Ok(payload(chunk)?.to_vec())
}

/// A result that is still to come: Python's `AsyncResult`.
///
/// It may be asked as often as one likes, by any thread, also when its pool is gone: every call that was given to a pool is
/// answered, by [`TaskError::Terminated`] at the last.
#[must_use = "the result is asked for with `get`"]
pub struct AsyncResult<R> {
    call: Arc<Call>,
    decode: Decode<R>,
    shape: Shape,
}

impl<R> AsyncResult<R> {
    pub(super) fn new(call: Arc<Call>, decode: Decode<R>, shape: Shape) -> Self {
        Self { call, decode, shape }
    }

    fn until(&self, deadline: Deadline) -> Result<MutexGuard<'_, State>, TaskError> {
        let collector = is_collector(self.call.pool);
        let deadline = if collector { Deadline::Now } else { deadline };
        // While a callback runs, the chunks are with it.
        let there = |state: &State| state.missing == 0 && (state.chunks.is_empty() == (self.shape.calls == 0));
        match wait(&self.call.answered, lock(&self.call.state), deadline, there) {
            (state, true) => Ok(state),
            (_, false) if collector => Err(TaskError::WouldDeadlock),
            (_, false) => Err(TaskError::TimedOut),
        }
    }

    fn get_until(&self, deadline: Deadline) -> Result<R, TaskError> {
        (self.decode)(&self.until(deadline)?.chunks, &self.shape)
    }

    /// The result, when it is there. Each call decodes it anew.
    ///
    /// # Errors
    /// Why there is none; [`TaskError::WouldDeadlock`] in a callback of the same pool, if it is not there yet.
    pub fn get(&self) -> Result<R, TaskError> {
        self.get_until(Deadline::Forever)
    }

    /// The result, if it is there within `timeout`.
    ///
    /// # Errors
    /// [`TaskError::TimedOut`]: it may be asked again. Those of [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        self.get_until(Deadline::after(timeout))
    }

    /// Whether the result, or why there is none, is there.
    #[must_use]
    pub fn ready(&self) -> bool {
        lock(&self.call.state).missing == 0
    }

    /// Whether there is a result and no error.
    ///
    /// # Errors
    /// [`TaskError::NotReady`] before it is [`ready`](Self::ready).
    pub fn successful(&self) -> Result<bool, TaskError> {
        if !self.ready() {
            return Err(TaskError::NotReady);
        }
        Ok(self.get().is_ok())
    }

    /// Waits until the result, or why there is none, is there. In a callback of the same pool it does not wait.
    pub fn wait(&self) {
        drop(self.until(Deadline::Forever));
    }

    /// As [`wait`](Self::wait), for at most `timeout`. Whether it is there.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.until(Deadline::after(timeout)).is_ok()
    }
}

impl<R: Portable> AsyncResult<Vec<R>> {
    /// As [`get`](Self::get), for the only one who asks: chunks are decoded while others are still being worked on.
    pub(super) fn gather(self) -> Result<Vec<R>, TaskError> {
        let Self { call, shape, .. } = &self;
        let chunks = shape.calls.div_ceil(shape.chunk);
        // To be woken for each of many costs more than it gains.
        if is_collector(call.pool) || chunks > MOST_ONE_BY_ONE {
            return self.get();
        }
        let mut all = Ok(Vec::with_capacity(shape.calls));
        for nth in 0..chunks {
            let there = |state: &State| state.chunks.get(nth).is_none_or(Option::is_some);
            let mut state = lock(&call.state);
            state.awaited = Some(nth);
            let (mut state, _) = wait(&call.answered, state, Deadline::Forever, there);
            let chunk = state.chunks.get_mut(nth).and_then(Option::take).unwrap_or(Err(TaskError::Garbage));
            drop(state);
            let calls = shape.chunk.min(shape.calls - nth * shape.chunk);
            // Behind the first error the rest is waited for, and not looked at.
            if let Ok(values) = &mut all
                && let Err(error) =
                    results(&chunk, calls as u32).try_for_each(|result| result.map(|value| values.push(value)))
            {
                all = Err(error);
            }
        }
        all
    }
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("ready", &self.ready()).finish_non_exhaustive()
    }
}
