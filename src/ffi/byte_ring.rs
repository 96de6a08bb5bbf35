//! # Rings of records and bytes
//!
//! A byte ring carries records of any length from one producer to one consumer. Each is written and read where it lies: reserve
//! and commit, peek and release, with no copy on either side; or it is copied by a push and a pop. Or the ring carries a stream
//! of bytes without borders, by a write and a read. Records arrive in order, whole, and at most once; the Rust side is
//! `ByteRing`.
//!
//! The ends are taken and given back as those of a spsc: `RF_E_ROLE_TAKEN` beside a living one, and a successor goes on where a
//! dead one stopped. What was reserved and not committed was never there; what was looked at and not released stays.
//!
//! A record takes 8 bytes and its length rounded up to 8, in one piece, and so at most half of the ring:
//! `rf_byte_ring_max_record`. What lies in place can be read and written by every participant: a faulty one changes bytes while
//! they are looked at, so copy what has to be checked, and check the copy.
//!
//! ```c
//! void *room; const void *record; size_t len;
//! if (rf_byte_producer_reserve(out, 1 << 20, &room, RF_FOREVER) == RF_OK)
//!     status = rf_byte_producer_commit(out, draw(room));          (in one process)
//! if (rf_byte_consumer_peek(in, &record, &len, RF_FOREVER) == RF_OK) {
//!     show(record, len);                                          (in another)
//!     status = rf_byte_consumer_release(in);
//! }
//! ```

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, exclusive, reference, truth};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::raw::byte_ring::{Found, Room};
use crate::ring::{ByteConsumer, ByteProducer, ByteRing, RingPopError};

/// A handle to a ring of records and bytes.
pub struct rf_byte_ring {
    pub(super) core: ByteRing,
    interruptible: bool,
}

/// The producer's end of a ring of records and bytes.
pub struct rf_byte_producer {
    core: ByteProducer,
    reserved: Option<Room>,
}

/// The consumer's end of a ring of records and bytes.
pub struct rf_byte_consumer {
    core: ByteConsumer,
    found: Option<Found>,
}

/// Opens the ring of that name, or makes it. That takes neither of its ends.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`; RF_INTERRUPTIBLE is for the ends that are taken through this handle
/// @param bytes    its size, rounded up to a power of two of at least 64; at most 8 GiB; 0 without `RF_CREATE` takes what is
///                 there
/// @param out      the handle; `rf_byte_ring_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another size),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a ring.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    bytes: usize,
    out: *mut *mut rf_byte_ring,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = ByteRing::with(open.segment, open.name, open.flags.mode, bytes)?;
        let interruptible = open.flags.interruptible;
        open.give(rf_byte_ring { core, interruptible })
    })
}

/// Makes this process the producer of a ring, which goes on where the last one stopped.
///
/// @param ring  the ring
/// @param out   the handle of that end; `rf_byte_producer_close` gives it back, and frees the end
/// @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
/// RF_E_INVALID
///
/// Threads, fork, crash: as rf_spsc_producer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_producer(ring: *const rf_byte_ring, out: *mut *mut rf_byte_producer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (ring, out) = unsafe { (reference(ring, "ring")?, Out::required(out, "out")?) };
        let core = ring.core.producer()?;
        core.set_interruptible(ring.interruptible);
        out.write_handle(rf_byte_producer { core, reserved: None });
        Ok(RF_OK)
    })
}

/// Makes this process the consumer of a ring, which goes on where the last one stopped.
///
/// @param ring  the ring
/// @param out   the handle of that end; `rf_byte_consumer_close` gives it back, and frees the end
/// @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
/// RF_E_INVALID
///
/// Threads, fork, crash: as rf_spsc_consumer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_consumer(ring: *const rf_byte_ring, out: *mut *mut rf_byte_consumer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (ring, out) = unsafe { (reference(ring, "ring")?, Out::required(out, "out")?) };
        let core = ring.core.consumer()?;
        core.set_interruptible(ring.interruptible);
        out.write_handle(rf_byte_consumer { core, found: None });
        Ok(RF_OK)
    })
}

/// How many bytes of the ring are in use at this moment, headers and what was left out at its end included.
///
/// @param ring  the ring
/// @param bytes  between 0 and the capacity; 0 if it holds nothing
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_used(ring: *const rf_byte_ring, bytes: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", bytes, "bytes", |ring| Ok(ring.core.used())) })
}

/// How many bytes the ring has.
///
/// @param ring  the ring
/// @param bytes  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_capacity(ring: *const rf_byte_ring, bytes: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", bytes, "bytes", |ring| Ok(ring.core.capacity())) })
}

/// How long a record may be.
///
/// @param ring  the ring
/// @param bytes  the number of bytes
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_max_record(ring: *const rf_byte_ring, bytes: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", bytes, "bytes", |ring| Ok(ring.core.max_record())) })
}

/// Whether the ring has a living producer; it may go the next moment.
///
/// @param ring  the ring
/// @param is  1 if it has, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_has_producer(ring: *const rf_byte_ring, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", is, "is", |ring| Ok(ring.core.has_producer().into())) })
}

/// Whether the ring has a living consumer; it may go the next moment.
///
/// @param ring  the ring
/// @param is  1 if it has, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_has_consumer(ring: *const rf_byte_ring, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", is, "is", |ring| Ok(ring.core.has_consumer().into())) })
}

/// Whether the ring was shut down.
///
/// @param ring  the ring
/// @param is  1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_is_shut_down(ring: *const rf_byte_ring, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ring, "ring", is, "is", |ring| Ok(ring.core.is_shut_down().into())) })
}

/// Ends the ring for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too. What
/// was committed is delivered before that, and nothing comes after it. Sleepers wake up. Shutting down twice is fine.
///
/// @param ring  the ring
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_shutdown(ring: *const rf_byte_ring) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(ring, "ring")? }.core.shutdown();
        Ok(RF_OK)
    })
}

/// Gives the handle back. The ring and what is in it stay, and so do ends that were taken through it.
///
/// @param ring  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_ring_close(ring: *mut rf_byte_ring) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(ring) })
}

/// Copies a record into the ring. What was reserved before is given up.
///
/// @param producer    the end
/// @param record      its bytes
/// @param len         how many; 0 is a record too
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (it never fits),
/// RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_ALONE (no room and no consumer, if asked for), RF_E_NOT_OWNER (a forked
/// child), RF_E_CORRUPTED
///
/// Threads: one at a time. Crash: killed before it returns, the record is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_push(
    producer: *mut rf_byte_producer,
    record: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (producer, record) = unsafe { (exclusive(producer, "producer")?, argument::bytes(record, len, "record")?) };
        producer.reserved = None;
        producer.core.push_until(record, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Reserves room for a record, to be written in place. What was reserved before and not committed is given up.
///
/// @param producer    the end
/// @param len         how many bytes at the most
/// @param room        where to write: `len` bytes, aligned to 8; what is in them is arbitrary. Valid until it is committed or given
///                    up, or the end is closed
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return as rf_byte_producer_push
///
/// Threads: one at a time. Crash: what was reserved was never there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_reserve(
    producer: *mut rf_byte_producer,
    len: usize,
    room: *mut *mut c_void,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (producer, out) = unsafe { (exclusive(producer, "producer")?, Out::required(room, "room")?) };
        producer.reserved = None;
        let reserved = producer.core.room_until(len, argument::deadline(timeout_ns))?;
        producer.reserved = Some(reserved);
        out.write(producer.core.address(reserved).cast());
        Ok(RF_OK)
    })
}

/// Makes a record of the first bytes of what was reserved.
///
/// @param producer  the end
/// @param len       how many of them; not more than were reserved
/// @return RF_OK; RF_E_INVALID (nothing is reserved, or not so many), RF_E_CLOSED (shut down meanwhile, and nothing was
/// committed), RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
///
/// Threads: one at a time. Crash: one store commits; before it there is nothing, after it the whole record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_commit(producer: *mut rf_byte_producer, len: usize) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let producer = unsafe { exclusive(producer, "producer")? };
        let reserved = producer.reserved.filter(|reserved| len <= reserved.bytes());
        let reserved = reserved.ok_or_else(|| Failure::new(RF_E_INVALID, format!("{len} bytes are not reserved")))?;
        producer.reserved = None;
        producer.core.publish(reserved, len)?;
        Ok(RF_OK)
    })
}

/// Gives up what was reserved; nothing, if nothing is.
///
/// @param producer  the end
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_abort(producer: *mut rf_byte_producer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { exclusive(producer, "producer")? }.reserved = None;
        Ok(RF_OK)
    })
}

/// Writes bytes of a stream: as many as there is room for in one piece, waiting for room for some. What was reserved before is
/// given up.
///
/// @param producer    the end
/// @param bytes       the bytes
/// @param len         how many
/// @param written     how many were written: at least 1, unless `len` is 0
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return as rf_byte_producer_push
///
/// Threads: one at a time. Crash: killed before it returns, they are written, or none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_write(
    producer: *mut rf_byte_producer,
    bytes: *const c_void,
    len: usize,
    written: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (producer, bytes) = unsafe { (exclusive(producer, "producer")?, argument::bytes(bytes, len, "bytes")?) };
        // SAFETY: the caller's promise.
        let written = unsafe { Out::required(written, "written")? };
        producer.reserved = None;
        written.write(producer.core.write_until(bytes, argument::deadline(timeout_ns))?);
        Ok(RF_OK)
    })
}

/// Says whether a call that waits for room ends with RF_E_ALONE when there is no living consumer. At first it does not: one may
/// come.
///
/// @param producer  the end
/// @param tell      1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_tell_if_alone(producer: *mut rf_byte_producer, tell: c_int) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { exclusive(producer, "producer")? }.core.set_tell_if_alone(truth(tell)?);
        Ok(RF_OK)
    })
}

/// Gives the end back: the next one to ask for it has it. What was committed stays.
///
/// @param producer  the handle, or NULL
/// @return RF_OK
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_producer_close(producer: *mut rf_byte_producer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(producer) })
}

/// Copies the first record out of the ring and takes it.
///
/// @param consumer    the end
/// @param buffer      room for it
/// @param size        how many bytes
/// @param len         its length; with RF_E_BUFFER_TOO_SHORT the length that is needed
/// @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT (the record stays),
/// RF_E_CLOSED (shut down and drained), RF_E_INTERRUPTED, RF_E_ALONE (nothing there and no producer, if asked for),
/// RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
///
/// Threads: one at a time. Crash: killed in the middle, the record stays for the next consumer, or is gone with the killed one;
/// it is never delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_consumer_pop(
    consumer: *mut rf_byte_consumer,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (consumer, len) = unsafe { (exclusive(consumer, "consumer")?, Out::required(len, "len")?) };
        // SAFETY: the caller's promise.
        let buffer = unsafe { argument::bytes_mut(buffer, size, "buffer")? };
        consumer.found = None;
        match consumer.core.pop_into_until(buffer, argument::deadline(timeout_ns)) {
            Ok(length) => len.write(length),
            Err(RingPopError::BufferTooShort { needed }) => {
                len.write(needed);
                return Err(RingPopError::BufferTooShort { needed }.into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(RF_OK)
    })
}

/// Looks at the first record where it lies.
///
/// @param consumer    the end
/// @param record      where it lies: aligned to 8, unless a read of the stream has taken a part of it. Valid until it is
///                    released, or the end is closed
/// @param len         its length
/// @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
/// @return as rf_byte_consumer_pop, but for RF_E_BUFFER_TOO_SHORT
///
/// Threads: one at a time. Crash: it stays for the next consumer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_consumer_peek(
    consumer: *mut rf_byte_consumer,
    record: *mut *const c_void,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (consumer, record) = unsafe { (exclusive(consumer, "consumer")?, Out::required(record, "record")?) };
        // SAFETY: the caller's promise.
        let len = unsafe { Out::required(len, "len")? };
        consumer.found = None;
        let found = consumer.core.found_until(argument::deadline(timeout_ns))?;
        consumer.found = Some(found);
        record.write(consumer.core.address(found).cast());
        len.write(found.bytes());
        Ok(RF_OK)
    })
}

/// Takes the record that was looked at: its bytes are the producer's again.
///
/// @param consumer  the end
/// @return RF_OK; RF_E_INVALID (none was looked at, or another call came between), RF_E_NOT_OWNER (a forked child)
///
/// Threads: one at a time. Crash: one store; before it the record stays, after it it is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_consumer_release(consumer: *mut rf_byte_consumer) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let consumer = unsafe { exclusive(consumer, "consumer")? };
        let found = consumer.found.take();
        let found = found.ok_or_else(|| Failure::new(RF_E_INVALID, "no record was looked at".to_owned()))?;
        if consumer.core.take(found, found.bytes()) { Ok(RF_OK) } else { Err(RF_E_NOT_OWNER.into()) }
    })
}

/// Reads what there is of the next piece of a stream, waiting for some.
///
/// @param consumer    the end
/// @param buffer      where to
/// @param size        how many bytes at the most
/// @param count       how many were read: at least 1, unless `size` is 0
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
/// @return as rf_byte_consumer_peek; RF_E_CLOSED is the end of the stream
///
/// Threads: one at a time. Crash: killed in the middle, they stay for the next consumer, or are gone; each byte is delivered at
/// most once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_consumer_read(
    consumer: *mut rf_byte_consumer,
    buffer: *mut c_void,
    size: usize,
    count: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (consumer, count) = unsafe { (exclusive(consumer, "consumer")?, Out::required(count, "count")?) };
        // SAFETY: the caller's promise.
        let buffer = unsafe { argument::bytes_mut(buffer, size, "buffer")? };
        consumer.found = None;
        count.write(consumer.core.read_until(buffer, argument::deadline(timeout_ns))?);
        Ok(RF_OK)
    })
}

/// Says whether a call that waits for a record ends with RF_E_ALONE when there is no living producer. At first it does not: one
/// may come. What it has committed is taken first; its death shows within a tenth of a second.
///
/// @param consumer  the end
/// @param tell      1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_byte_consumer_tell_if_alone(consumer: *mut rf_byte_consumer, tell: c_int) -> c_int {
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
pub unsafe extern "C" fn rf_byte_consumer_close(consumer: *mut rf_byte_consumer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(consumer) })
}
