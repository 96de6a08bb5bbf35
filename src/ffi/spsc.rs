//! # Rings for one producer and one consumer
//!
//! A spsc carries items of one fixed size from one producer to one consumer, in two processes or one: the fastest way from
//! one to another. Each item arrives in order, whole, and at most once.
//!
//! `rf_spsc_open` opens the ring, `rf_spsc_producer` and `rf_spsc_consumer` make the calling process the one at an end. An
//! end belongs to the *process* until its handle is closed, or the process dies; a second one beside a living one is refused
//! with `RF_E_ROLE_TAKEN`. Then the next one to ask has it, and goes on where the last one stopped: an item whose push has
//! returned is there even if the producer is killed the next moment; an item whose pop has begun to return dies with the
//! process that popped it. A ring that is empty because its producer died waits for the next one, unless the handle was told
//! otherwise by `rf_consumer_tell_if_alone`.
//!
//! The handle of an end is used by one thread at a time: its calls are not `const`. Items are plain bytes; the Rust side is
//! `Spsc<T>`. Neither end makes a system call unless it has to sleep or the other sleeps.
//!
//! ```c
//! rf_spsc *ring; rf_producer *out; double sample = 0.5;
//! if (rf_spsc_open(segment, "samples", RF_CREATE, sizeof sample, _Alignof(double), NULL, 1024, &ring) == RF_OK
//!     && rf_spsc_producer(ring, &out) == RF_OK)
//!     status = rf_producer_push(out, &sample, RF_FOREVER);
//! ```

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, exclusive, reference, truth};
use super::boundary::boundary;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::raw::words;
use crate::ring::{AnyConsumer, AnyProducer, AnySpsc};
use crate::segment::directory;

/// A handle to a ring for one producer and one consumer.
pub struct rf_spsc {
    pub(super) core: AnySpsc,
    interruptible: bool,
}

/// The producer's end of a ring.
pub struct rf_producer {
    core: AnyProducer,
}

/// The consumer's end of a ring.
pub struct rf_consumer {
    core: AnyConsumer,
}

/// Opens the ring of that name, or makes it. That takes neither of its ends.
///
/// @param segment     where it lives
/// @param name        its name in the segment
/// @param flags       of `rf_flags`; RF_INTERRUPTIBLE is for the ends that are taken through this handle
/// @param item_size   bytes of an item; 0 for items that only count
/// @param item_align  alignment of an item (`_Alignof`): a power of two
/// @param tag         a name for the type of the items that both sides must use; NULL or "" for none
/// @param capacity    how many items it holds, exactly: at least 1; 0 without `RF_CREATE` takes what is there
/// @param out         the handle; `rf_spsc_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another item or
/// capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a ring.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    item_size: usize,
    item_align: usize,
    tag: *const c_char,
    capacity: usize,
    out: *mut *mut rf_spsc,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let item = directory::Item { size: item_size, align: item_align, tag: directory::tag(tag)? };
        let core = AnySpsc::open(open.segment, open.name, open.flags.mode, item, capacity)?;
        let interruptible = open.flags.interruptible;
        open.give(rf_spsc { core, interruptible })
    })
}

/// Makes this process the producer of a ring, which goes on where the last one stopped.
///
/// @param spsc  the ring
/// @param out   the handle of that end; `rf_producer_close` gives it back, and frees the end
/// @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
/// RF_E_INVALID
///
/// Threads: the end is the process's; its handle may go from thread to thread, but one at a time uses it. fork: in a child
/// the handle is the parent's end, its calls fail with RF_E_NOT_OWNER, and closing it frees nothing.
/// Crash: when the process dies, the next one to ask has the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_producer(spsc: *const rf_spsc, out: *mut *mut rf_producer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (spsc, out) = unsafe { (reference(spsc, "spsc")?, Out::required(out, "out")?) };
        let core = spsc.core.producer()?;
        core.set_interruptible(spsc.interruptible);
        out.write_handle(rf_producer { core });
        Ok(RF_OK)
    })
}

/// Makes this process the consumer of a ring, which goes on where the last one stopped.
///
/// @param spsc  the ring
/// @param out   the handle of that end; `rf_consumer_close` gives it back, and frees the end
/// @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
/// RF_E_INVALID
///
/// Threads: the end is the process's; its handle may go from thread to thread, but one at a time uses it. fork: in a child
/// the handle is the parent's end, its calls fail with RF_E_NOT_OWNER, and closing it frees nothing.
/// Crash: when the process dies, the next one to ask has the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_consumer(spsc: *const rf_spsc, out: *mut *mut rf_consumer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (spsc, out) = unsafe { (reference(spsc, "spsc")?, Out::required(out, "out")?) };
        let core = spsc.core.consumer()?;
        core.set_interruptible(spsc.interruptible);
        out.write_handle(rf_consumer { core });
        Ok(RF_OK)
    })
}

/// How many items are in the ring at this moment.
///
/// @param spsc  the ring
/// @param len  between 0 and the capacity; exact if nobody pushes or pops meanwhile
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_len(spsc: *const rf_spsc, len: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(spsc, "spsc", len, "len", |spsc| Ok(spsc.core.len())) })
}

/// How many items the ring holds when it is full.
///
/// @param spsc  the ring
/// @param capacity  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_capacity(spsc: *const rf_spsc, capacity: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(spsc, "spsc", capacity, "capacity", |spsc| Ok(spsc.core.capacity())) })
}

/// Whether the ring has a living producer; it may go the next moment.
///
/// @param spsc  the ring
/// @param is  1 if it has, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_has_producer(spsc: *const rf_spsc, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(spsc, "spsc", is, "is", |spsc| Ok(spsc.core.has_producer().into())) })
}

/// Whether the ring has a living consumer; it may go the next moment.
///
/// @param spsc  the ring
/// @param is  1 if it has, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_has_consumer(spsc: *const rf_spsc, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(spsc, "spsc", is, "is", |spsc| Ok(spsc.core.has_consumer().into())) })
}

/// Whether the ring was shut down.
///
/// @param spsc  the ring
/// @param is  1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_is_shut_down(spsc: *const rf_spsc, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(spsc, "spsc", is, "is", |spsc| Ok(spsc.core.is_shut_down().into())) })
}

/// Ends the ring for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too.
/// Every push that has succeeded is delivered before that, and nothing comes after it. Sleepers wake up. Shutting down twice
/// is fine; there is no way back but `rf_segment_remove`.
///
/// @param spsc  the ring
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_shutdown(spsc: *const rf_spsc) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(spsc, "spsc")? }.core.shutdown();
        Ok(RF_OK)
    })
}

/// Gives the handle back. The ring and what is in it stay, and so do ends that were taken through it.
///
/// @param spsc  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_spsc_close(spsc: *mut rf_spsc) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(spsc) })
}

/// Puts an item at the end of the ring.
///
/// @param producer    the end
/// @param item        `item_size` bytes, copied
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED,
/// RF_E_ALONE (no room and no consumer, if asked for), RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
///
/// Threads: one at a time. Crash: killed before it returns, the item is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_producer_push(producer: *mut rf_producer, item: *const c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let producer = unsafe { exclusive(producer, "producer")? };
        // SAFETY: the caller's promise.
        let item = unsafe { argument::bytes(item, producer.core.item_size(), "item")? };
        producer.core.push(item, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Puts as many of these items at the end of the ring as there is room for, from the first on; waits for room for one.
///
/// @param producer    the end
/// @param items       `count` times `item_size` bytes, one after another, copied
/// @param count       how many
/// @param pushed      how many were pushed: at least 1, unless `count` is 0
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return as rf_producer_push
///
/// Threads: one at a time. Crash: killed in the middle, the first of them are there, each whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_producer_push_many(
    producer: *mut rf_producer,
    items: *const c_void,
    count: usize,
    pushed: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (producer, pushed) = unsafe { (exclusive(producer, "producer")?, Out::required(pushed, "pushed")?) };
        let size = producer.core.item_size();
        // SAFETY: the caller's promise.
        let items = unsafe { argument::bytes(items, size.saturating_mul(count), "items")? };
        let deadline = argument::deadline(timeout_ns);
        pushed.write(producer.core.push_many(count, deadline, |nth, data| {
            words::store(data, &items[nth * size..][..size]);
        })?);
        Ok(RF_OK)
    })
}

/// Says whether a push that waits for room ends with RF_E_ALONE when there is no living consumer. At first it does not: one
/// may come.
///
/// @param producer  the end
/// @param tell      1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_producer_tell_if_alone(producer: *mut rf_producer, tell: c_int) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { exclusive(producer, "producer")? }.core.set_tell_if_alone(truth(tell)?);
        Ok(RF_OK)
    })
}

/// Gives the end back: the next one to ask for it has it. What was pushed stays.
///
/// @param producer  the handle, or NULL
/// @return RF_OK
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_producer_close(producer: *mut rf_producer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(producer) })
}

/// Takes the first item of the ring.
///
/// @param consumer    the end
/// @param item        room for `item_size` bytes
/// @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained),
/// RF_E_INTERRUPTED, RF_E_ALONE (nothing there and no producer, if asked for), RF_E_NOT_OWNER (a forked child),
/// RF_E_CORRUPTED
///
/// Threads: one at a time. Crash: killed in the middle, the item stays for the next consumer, or is gone with the killed one;
/// it is never delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_consumer_pop(consumer: *mut rf_consumer, item: *mut c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let consumer = unsafe { exclusive(consumer, "consumer")? };
        // SAFETY: the caller's promise.
        let item = unsafe { argument::bytes_mut(item, consumer.core.item_size(), "item")? };
        consumer.core.pop(item, argument::deadline(timeout_ns))?; // writes on success only
        Ok(RF_OK)
    })
}

/// Takes as many items as there are and there is room for, waiting for one.
///
/// @param consumer    the end
/// @param items       room for `count` times `item_size` bytes, which are filled one after another
/// @param count       how many at the most
/// @param popped      how many were taken: at least 1, unless `count` is 0
/// @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
/// @return as rf_consumer_pop
///
/// Threads: one at a time. Crash: all are taken by one store; killed before it, none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_consumer_pop_many(
    consumer: *mut rf_consumer,
    items: *mut c_void,
    count: usize,
    popped: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (consumer, popped) = unsafe { (exclusive(consumer, "consumer")?, Out::required(popped, "popped")?) };
        let size = consumer.core.item_size();
        // SAFETY: the caller's promise.
        let items = unsafe { argument::bytes_mut(items, size.saturating_mul(count), "items")? };
        let deadline = argument::deadline(timeout_ns);
        popped.write(consumer.core.pop_many(count, deadline, |nth, data| {
            words::load(&mut items[nth * size..][..size], data);
        })?);
        Ok(RF_OK)
    })
}

/// Says whether a pop that waits for an item ends with RF_E_ALONE when there is no living producer. At first it does not:
/// one may come. What it has pushed is taken first; its death shows within a tenth of a second.
///
/// @param consumer  the end
/// @param tell      1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_consumer_tell_if_alone(consumer: *mut rf_consumer, tell: c_int) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { exclusive(consumer, "consumer")? }.core.set_tell_if_alone(truth(tell)?);
        Ok(RF_OK)
    })
}

/// Gives the end back: the next one to ask for it has it, and goes on where this one stopped.
///
/// @param consumer  the handle, or NULL
/// @return RF_OK
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_consumer_close(consumer: *mut rf_consumer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(consumer) })
}
