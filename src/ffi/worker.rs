//! # Workers of a pool
//!
//! A program in Rust makes a pool of processes, and gives it tasks (`ringfence::pool`); with a name, its workers may be programs
//! in any language. A worker opens the pool by that name, registers a handler for each task that it can do, and serves. A
//! handler is given the bytes of the argument, which lie in shared memory, and replies with bytes, or with the reason why not.
//!
//! ```c
//! static void shout(void *context, const void *argument, size_t len, rf_reply *reply) {
//!     char text[100];
//!     if (len > sizeof text) { rf_reply_fail(reply, "too long"); return; }
//!     for (size_t i = 0; i < len; i++) text[i] = toupper(((const unsigned char *)argument)[i]);
//!     rf_reply_bytes(reply, text, len);
//! }
//!
//! rf_worker *worker;
//! if (rf_worker_open("texts", 0, &worker) < 0 || rf_worker_register(worker, "shout", shout, NULL) < 0) return 1;
//! int served = rf_worker_serve(worker, 0, RF_FOREVER); // until the pool is closed
//! rf_worker_close(worker);
//! ```
//!
//! A task that the parent sends as bytes (`apply_bytes`) comes as these bytes. Calls of a typed function (`apply`, `map`, and so on, of a
//! function that is registered under the handler's name) come one by one: the argument is the MessagePack array of the function's
//! arguments, and the reply the MessagePack of its result, for which most languages have a library. The types are not compared: a
//! handler fails what it does not understand. So a worker in C takes part in a `map` or a `map_reduce` beside those in Rust.
//!
//! Every worker of a pool should know every task that is sent to it: one that does not know a task fails it. A worker that is
//! killed in a task costs that task, or, as the pool was told, nothing: it is done again by another.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::NonNull;
use std::collections::HashMap;

use super::argument::{self, Out, exclusive, reference};
use super::boundary::{Failure, boundary};
use super::status::rf_status::*;
use crate::pool::{self, Desk, Outcome, Served};
use crate::segment::Segment;
use crate::segment::directory::Mode;

/// A handle to a pool, as a worker has it.
pub struct rf_worker {
    desk: Desk,
    handlers: HashMap<String, Handler>,
    interruptible: bool,
}

/// What a handler replies with. It is the handler's while that runs, and nobody's after.
pub struct rf_reply {
    /// To append to; what lay there before the call is not its.
    bytes: NonNull<Vec<u8>>,
    failed: Option<Vec<u8>>,
}

/// Does a task: `len` bytes from `argument` on, which are only to be read, and only while it runs. It replies by
/// `rf_reply_bytes` and `rf_reply_fail`; without either the result is of no bytes. It returns in the normal way (no
/// `longjmp`, no exception). In a task that is a chunk of calls of a typed function it is called once for each.
pub type rf_worker_handler =
    Option<unsafe extern "C" fn(context: *mut c_void, argument: *const c_void, len: usize, reply: *mut rf_reply)>;

struct Handler {
    call: unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut rf_reply),
    context: *mut c_void,
}

impl Handler {
    /// Calls it; what it replies with is appended.
    fn run(&self, argument: &[u8], result: &mut Vec<u8>) -> Result<(), pool::Failure> {
        let mut reply = rf_reply { bytes: NonNull::from(result), failed: None };
        // SAFETY: its maker has promised that it may be called so, and the bytes and the reply live as long as the call.
        unsafe { (self.call)(self.context, argument.as_ptr().cast(), argument.len(), &raw mut reply) };
        reply.failed.map_or(Ok(()), |reason| Err((Outcome::Failed, reason)))
    }
}

/// Opens the pool whose segment has that name, to work for it.
///
/// @param name   the name that the pool was made with
/// @param flags  0, or RF_INTERRUPTIBLE
/// @param out    the handle; `rf_worker_close` gives it back
/// @return RF_OK, RF_E_MISSING (there is no such pool, or it is just being made), RF_E_VERSION, RF_E_WRONG_TYPE (a segment that is
/// no pool's), RF_E_PERMISSION, RF_E_TOO_MANY_PARTICIPANTS, RF_E_CORRUPTED, RF_E_NAME, RF_E_INVALID, RF_E_NO_DESCRIPTORS,
/// RF_E_NO_MEMORY, RF_E_BUSY, RF_E_SYSTEM
///
/// Threads, processes: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_worker_open(name: *const c_char, flags: c_int, out: *mut *mut rf_worker) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (name, out) = unsafe { (argument::name(name, "name")?, Out::required(out, "out")?) };
        let flags = argument::flags(flags)?;
        if flags.mode != Mode::Open {
            return Err(Failure::new(RF_E_INVALID, "a worker makes no pool: RF_CREATE is not for it"));
        }
        let desk = Desk::open(Segment::open(name)?)?;
        out.write_handle(rf_worker { desk, handlers: HashMap::new(), interruptible: flags.interruptible });
        Ok(RF_OK)
    })
}

/// Says who does the tasks of that name: from the next one on.
///
/// @param worker   the worker
/// @param task     the name of the task, 1 to 255 bytes of UTF-8. One that has a handler gets another
/// @param handler  it
/// @param context  what it is given, whatever that is; may be NULL
/// @return RF_OK, RF_E_NAME, RF_E_INVALID
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_worker_register(
    worker: *mut rf_worker,
    task: *const c_char,
    handler: rf_worker_handler,
    context: *mut c_void,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (worker, task) = unsafe { (exclusive(worker, "worker")?, argument::name(task, "task")?) };
        if task.is_empty() {
            return Err(Failure::new(RF_E_NAME, "a task has a name"));
        }
        let call = handler.ok_or_else(|| Failure::new(RF_E_INVALID, "handler is NULL"))?;
        worker.handlers.insert(task.to_owned(), Handler { call, context });
        Ok(RF_OK)
    })
}

/// Does the tasks of the pool, one after another, until it is closed and all of them are done, or it is terminated.
///
/// @param worker      the worker
/// @param most        how many tasks at most; 0 for any number
/// @param timeout_ns  how long at most, looked at while there is nothing to do; RF_FOREVER, 0 for what is there now
/// @return RF_OK (the pool is over, or as many as `most` are done); RF_E_TIMED_OUT, RF_E_ALONE (the pool's process is gone),
/// RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads: several may serve with one handle at once, each its own tasks; then handlers have to bear that. Crash: killed in a
/// task, that is done again by another, or fails, as the pool was told; killed between two, nothing is lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_worker_serve(worker: *const rf_worker, most: u64, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let worker = unsafe { reference(worker, "worker")? };
        let most = (most > 0).then_some(most);
        let deadline = argument::deadline(timeout_ns);
        let served = worker.desk.serve(most, deadline, worker.interruptible, |task, argument, reply| {
            let Some(handler) = worker.handlers.get(task.name) else {
                let text = format!("the worker has no handler for \"{}\"", task.name);
                return reply.set(Outcome::NoFunction, text.as_bytes());
            };
            reply.run(task, argument, |argument, result| handler.run(argument, result));
        })?;
        match served {
            Served::Closed | Served::Enough => Ok(RF_OK),
            Served::ParentGone => Err(Failure::new(RF_E_ALONE, "the pool's process is gone")),
            Served::TimedOut => Err(RF_E_TIMED_OUT.into()),
            Served::Interrupted => Err(RF_E_INTERRUPTED.into()),
        }
    })
}

/// Appends bytes to the result.
///
/// @param reply  what the handler was given
/// @param bytes  `len` bytes, copied; may be NULL if `len` is 0
/// @param len    how many
/// @return RF_OK, RF_E_INVALID (also after `rf_reply_fail`)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reply_bytes(reply: *mut rf_reply, bytes: *const c_void, len: usize) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (reply, bytes) = unsafe { (exclusive(reply, "reply")?, argument::bytes(bytes, len, "bytes")?) };
        if reply.failed.is_some() {
            return Err(Failure::new(RF_E_INVALID, "the task has failed already"));
        }
        // SAFETY: while its handler runs nobody else has what is replied.
        unsafe { reply.bytes.as_mut() }.extend_from_slice(bytes);
        Ok(RF_OK)
    })
}

/// Fails the task, or the one call of it, with a reason for who has sent it: bytes that were appended are dropped.
///
/// @param reply    what the handler was given
/// @param message  the reason, at most 255 bytes of UTF-8
/// @return RF_OK, RF_E_NAME (it is longer, or no UTF-8), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reply_fail(reply: *mut rf_reply, message: *const c_char) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (reply, message) = unsafe { (exclusive(reply, "reply")?, argument::name(message, "message")?) };
        reply.failed = Some(message.as_bytes().to_vec());
        Ok(RF_OK)
    })
}

/// Gives the handle back. The pool goes on.
///
/// @param worker  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_worker_close(worker: *mut rf_worker) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(worker) })
}
