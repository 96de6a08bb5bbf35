//! Results as they come.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Sink, Stream, results};
use super::errors::TaskError;
use super::handle::{Pool, encode_call_or_nothing};
use crate::process::{Function, Registration, registered};
use crate::sys::nap::Deadline;
use crate::typed::Portable;

/// Chunks under way for each worker: enough that none is out of work while the caller takes a result.
const AHEAD: usize = 16;

/// The results of [`Pool::imap`] and [`Pool::imap_unordered`].
#[must_use = "results come when they are taken"]
pub struct Imap<'p, F: Function<(A,)>, A, I> {
    pool: &'p Pool,
    function: &'static Registration,
    items: Option<I>,
    chunk: usize,
    ordered: bool,
    stream: Arc<Stream>,
    /// Chunks that were sent, and received.
    sent: u64,
    taken: u64,
    /// The last chunk, if it is known, and its calls: those before it have `chunk`.
    last: Option<(u64, u32)>,
    current: VecDeque<Result<F::Output, TaskError>>,
    /// Why no more could be sent: told once, behind what was sent.
    refused: Option<TaskError>,
    of: PhantomData<fn(A)>,
}

impl Pool {
    /// Calls `function` once for each item, and gives the results one after another, in the order of the items, as they come.
    ///
    /// Items are taken from the iterator as results are taken from this one, some ahead: a bounded number of tasks is under way,
    /// whatever the length. (An iterator of Rust's does not fail; one that panics does so here, in the caller.)
    ///
    /// # Errors
    /// As [`apply_async`](Self::apply_async). An item may be an error; the next ones come after it.
    pub fn imap<F, A, I>(&self, function: F, items: I) -> Result<Imap<'_, F, A, I::IntoIter>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
        I: IntoIterator<Item = A>,
    {
        self.imap_chunked(function, items, 1)
    }

    /// The same, in chunks of so many calls.
    ///
    /// # Errors
    /// [`TaskError::ChunkSize`] for 0, and those of [`imap`](Self::imap).
    pub fn imap_chunked<F, A, I>(
        &self,
        function: F,
        items: I,
        chunk: usize,
    ) -> Result<Imap<'_, F, A, I::IntoIter>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
        I: IntoIterator<Item = A>,
    {
        Imap::new(self, function, items.into_iter(), chunk, true)
    }

    /// As [`imap`](Self::imap), but results come in the order in which they are there.
    ///
    /// # Errors
    /// As [`imap`](Self::imap).
    pub fn imap_unordered<F, A, I>(&self, function: F, items: I) -> Result<Imap<'_, F, A, I::IntoIter>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
        I: IntoIterator<Item = A>,
    {
        self.imap_unordered_chunked(function, items, 1)
    }

    /// The same, in chunks of so many calls.
    ///
    /// # Errors
    /// As [`imap_chunked`](Self::imap_chunked).
    pub fn imap_unordered_chunked<F, A, I>(
        &self,
        function: F,
        items: I,
        chunk: usize,
    ) -> Result<Imap<'_, F, A, I::IntoIter>, TaskError>
    where
        F: Function<(A,)>,
        A: Portable,
        I: IntoIterator<Item = A>,
    {
        Imap::new(self, function, items.into_iter(), chunk, false)
    }
}

impl<'p, F: Function<(A,)>, A: Portable, I: Iterator<Item = A>> Imap<'p, F, A, I> {
    fn new(pool: &'p Pool, function: F, items: I, chunk: usize, ordered: bool) -> Result<Self, TaskError> {
        pool.ours()?;
        let function = registered(function)?;
        if chunk == 0 {
            return Err(TaskError::ChunkSize);
        }
        let mut imap = Self {
            pool,
            function,
            items: Some(items),
            chunk: chunk.min(u32::MAX as usize),
            ordered,
            stream: Stream::new(pool.mark()),
            sent: 0,
            taken: 0,
            last: None,
            current: VecDeque::new(),
            refused: None,
            of: PhantomData,
        };
        imap.send();
        match imap.refused.take() {
            Some(error) if imap.sent == 0 => Err(error),
            refused => {
                imap.refused = refused;
                Ok(imap)
            }
        }
    }

    /// Sends chunks until enough are under way.
    fn send(&mut self) {
        let ahead = (AHEAD * self.pool.workers_for_chunks()) as u64;
        while self.sent - self.taken < ahead
            && let Some(items) = &mut self.items
        {
            let (mut payload, mut calls) = (Vec::new(), 0);
            for item in items.by_ref().take(self.chunk) {
                encode_call_or_nothing(&mut payload, &(item,));
                calls += 1;
            }
            if (calls as usize) < self.chunk {
                self.items = None;
                self.last = Some((self.sent, calls));
            }
            if calls == 0 {
                return;
            }
            let sink = Sink::Stream(self.stream.clone(), self.sent);
            if let Err(error) = self.pool.submit(self.function, calls, payload, sink) {
                (self.items, self.refused) = (None, Some(error));
                return;
            }
            self.sent += 1;
        }
    }

    fn next_until(&mut self, deadline: Deadline) -> Option<Result<F::Output, TaskError>> {
        loop {
            if let Some(result) = self.current.pop_front() {
                return Some(result);
            }
            self.send();
            if self.taken == self.sent {
                return self.refused.take().map(Err);
            }
            let (number, chunk) = match self.stream.take(self.ordered.then_some(self.taken), deadline) {
                Ok(taken) => taken,
                Err(error) => return Some(Err(error)),
            };
            self.taken += 1;
            let calls = match self.last {
                Some((last, calls)) if last == number => calls,
                _ => self.chunk as u32,
            };
            self.current.extend(results(&chunk, calls));
        }
    }

    /// The next result, if it is there within `timeout`; `None` at the end.
    ///
    /// # Errors
    /// [`TaskError::TimedOut`]: it may be asked for again, and nothing is lost. Why a call has no result.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<F::Output, TaskError>> {
        self.next_until(Deadline::after(timeout))
    }
}

impl<F: Function<(A,)>, A: Portable, I: Iterator<Item = A>> Iterator for Imap<'_, F, A, I> {
    type Item = Result<F::Output, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(Deadline::Forever)
    }
}

impl<F: Function<(A,)>, A, I> fmt::Debug for Imap<'_, F, A, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("sent", &self.sent).field("taken", &self.taken).finish_non_exhaustive()
    }
}
