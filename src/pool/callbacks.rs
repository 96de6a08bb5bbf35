//! What is done with a result when it is there.

use std::fmt;

use super::answer::{Decode, Shape, Then};
use super::errors::TaskError;

/// What is done with the result of a call when it is there, on the pool's collector.
///
/// One of the two is called, once; a panic in it is printed, and nothing else. The collector is one thread, which receives all results: while
/// a callback runs none comes, of no task.
#[must_use]
pub struct Callbacks<R> {
    success: Option<Box<dyn FnOnce(R) + Send>>,
    error: Option<Box<dyn FnOnce(TaskError) + Send>>,
}

impl<R> Callbacks<R> {
    /// None.
    pub fn new() -> Self {
        Self { success: None, error: None }
    }

    /// Called with the result.
    pub fn success(mut self, callback: impl FnOnce(R) + Send + 'static) -> Self {
        self.success = Some(Box::new(callback));
        self
    }

    /// Called with the error.
    pub fn error(mut self, callback: impl FnOnce(TaskError) + Send + 'static) -> Self {
        self.error = Some(Box::new(callback));
        self
    }
}

impl<R> fmt::Debug for Callbacks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { success, error } = self;
        f.debug_struct("Callbacks").field("success", &success.is_some()).field("error", &error.is_some()).finish()
    }
}

/// What is run with the chunks of a call.
pub(super) fn then<R: 'static>(callbacks: Callbacks<R>, decode: Decode<R>, shape: Shape) -> Option<Then> {
    let Callbacks { success, error } = callbacks;
    if success.is_none() && error.is_none() {
        return None;
    }
    Some(Box::new(move |chunks| match (decode(chunks, &shape), success, error) {
        (Ok(result), Some(callback), _) => callback(result),
        (Err(error), _, Some(callback)) => callback(error),
        _ => {}
    }))
}
