//! # Broadcasts
//!
//! A broadcast carries records from one writer to any number of readers. Each reader gets every record, in order. Records have one
//! size and alignment (`rf_broadcast_open`; the Rust side is `Broadcast<T>`), or a length each up to a longest one
//! (`rf_broadcast_open_bytes`; `Broadcast<[u8]>`).
//!
//! There is one writer at a time; a second is refused with RF_E_ROLE_TAKEN while the first lives. Readers come and go at any time. Two
//! modes, fixed when it is made:
//!
//! - with `max_readers` 0 the writer overwrites: it never waits, and the newest `capacity` records can be read at any time. A
//!   reader that is further behind is told once how many records it missed (RF_E_MISSED), and goes on at the oldest;
//! - else nothing is missed: the writer waits while the slowest of up to `max_readers` living readers is `capacity` records
//!   behind, also if that one is stopped. A dead one is left behind. Without readers it waits for nobody.
//!
//! A record whose send has returned is there even if the writer is killed the next moment; one that was being written then is not,
//! and the next writer goes on where the dead one stopped.
//!
//! ```c
//! rf_broadcast_open(seg, "prices", RF_CREATE, sizeof p, _Alignof(price), NULL, 1024, 0, &prices);
//! rf_broadcast_reader_open(prices, 0, &reader);
//! while ((got = rf_broadcast_recv(reader, &p, sizeof p, NULL, &missed, RF_FOREVER)) == RF_OK || got == RF_E_MISSED)
//!     if (got == RF_OK) use(&p); else note_gap(missed);
//! ```

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::opening::{Opening, opening};
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::raw::broadcast::Start;
use crate::ring::{
    AnyBroadcast, AnyReader, AnyWriter, BroadcastRecvError, BroadcastSendError, Plan, ReaderError, Records, WriterError,
};
use crate::segment::directory::{self, Mode};

/// A handle to a broadcast: writers and readers come from it.
pub struct rf_broadcast {
    core: AnyBroadcast,
}

/// The writer of a broadcast.
pub struct rf_broadcast_writer {
    pub(super) core: AnyWriter,
}

/// A reader of a broadcast.
pub struct rf_broadcast_reader {
    pub(super) core: AnyReader,
}

impl From<WriterError> for Failure {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Taken { .. } => Self::new(RF_E_ROLE_TAKEN, error.to_string()),
            WriterError::Corrupted => RF_E_CORRUPTED.into(),
            WriterError::Segment(error) => error.into(),
        }
    }
}

impl From<ReaderError> for Failure {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::TooMany => Self::new(RF_E_MAXIMUM_REACHED, error.to_string()),
            ReaderError::Corrupted => RF_E_CORRUPTED.into(),
            ReaderError::Segment(error) => error.into(),
        }
    }
}

impl From<BroadcastSendError> for Failure {
    fn from(error: BroadcastSendError) -> Self {
        match error {
            BroadcastSendError::Full => RF_E_FULL.into(),
            BroadcastSendError::TimedOut => RF_E_TIMED_OUT.into(),
            BroadcastSendError::Closed => RF_E_CLOSED.into(),
            BroadcastSendError::Interrupted => RF_E_INTERRUPTED.into(),
            BroadcastSendError::TooLong { .. } => Self::new(RF_E_MESSAGE_TOO_LONG, error.to_string()),
            BroadcastSendError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            BroadcastSendError::Corrupted => RF_E_CORRUPTED.into(),
            BroadcastSendError::Segment(error) => error.into(),
        }
    }
}

impl From<BroadcastRecvError> for Failure {
    fn from(error: BroadcastRecvError) -> Self {
        match error {
            BroadcastRecvError::Missed(_) => RF_E_MISSED.into(),
            BroadcastRecvError::Empty => RF_E_EMPTY.into(),
            BroadcastRecvError::TimedOut => RF_E_TIMED_OUT.into(),
            BroadcastRecvError::Closed => RF_E_CLOSED.into(),
            BroadcastRecvError::Interrupted => RF_E_INTERRUPTED.into(),
            BroadcastRecvError::BufferTooShort { .. } => Self::new(RF_E_BUFFER_TOO_SHORT, error.to_string()),
            BroadcastRecvError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            BroadcastRecvError::Corrupted => RF_E_CORRUPTED.into(),
            BroadcastRecvError::Segment(error) => error.into(),
        }
    }
}

fn open_any(open: Opening<'_, rf_broadcast>, records: Records, capacity: usize, readers: usize) -> Outcome {
    let any = open.flags.mode == Mode::Open && capacity == 0;
    let plan = (!any).then_some(Plan { capacity, readers });
    let core = AnyBroadcast::open(open.segment, open.name, open.flags.mode, records, plan)?;
    core.set_interruptible(open.flags.interruptible);
    open.give(rf_broadcast { core })
}

/// Opens the broadcast of that name, for records of one size, or makes it.
///
/// @param segment       where it lives
/// @param name          its name in the segment
/// @param flags         of `rf_flags`; RF_INTERRUPTIBLE is for the writers and readers that are opened through the handle
/// @param record_size   bytes of a record; 0 for records that only count
/// @param record_align  alignment of a record (`_Alignof`): a power of two
/// @param tag           a name for the type of the records that all sides must use; NULL or "" for none
/// @param capacity      how many records can be read at any time: at least 1; 0 without `RF_CREATE` takes what is there
/// @param max_readers   for how many readers the writer waits: 0 (it overwrites) to 1024
/// @param out           the handle; `rf_broadcast_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another record,
/// capacity or number of readers), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a broadcast.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    record_size: usize,
    record_align: usize,
    tag: *const c_char,
    capacity: usize,
    max_readers: usize,
    out: *mut *mut rf_broadcast,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let tag = directory::tag(tag)?;
        let records = Records { size: record_size, align: record_align, tag, bytes: false };
        open_any(open, records, capacity, max_readers)
    })
}

/// Opens the broadcast of that name, for records that have a length each, or makes it.
///
/// @param segment      where it lives
/// @param name         its name in the segment
/// @param flags        of `rf_flags`; RF_INTERRUPTIBLE is for the writers and readers that are opened through the handle
/// @param longest      bytes of the longest record: room for it is taken for each; 0 without `RF_CREATE` takes what is there
/// @param capacity     how many records can be read at any time: at least 1; 0 without `RF_CREATE` takes what is there
/// @param max_readers  for how many readers the writer waits: 0 (it overwrites) to 1024
/// @param out          the handle; `rf_broadcast_close` gives it back
/// @return as `rf_broadcast_open`
///
/// Crash: killed in the middle, nobody ever sees half a broadcast.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_open_bytes(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    longest: usize,
    capacity: usize,
    max_readers: usize,
    out: *mut *mut rf_broadcast,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        open_any(open, Records { size: longest, align: 1, tag: [0; 32], bytes: true }, capacity, max_readers)
    })
}

/// Becomes the writer. If the last one died, it goes on where that one stopped.
///
/// @param broadcast  the broadcast
/// @param out        the writer; `rf_broadcast_writer_close` gives it back
/// @return RF_OK; RF_E_ROLE_TAKEN (there is one that lives; `rf_last_error` says its process), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: killed in the middle, the place is free for another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_writer_open(
    broadcast: *const rf_broadcast,
    out: *mut *mut rf_broadcast_writer,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (broadcast, out) = unsafe { (reference(broadcast, "broadcast")?, Out::required(out, "out")?) };
        out.write_handle(rf_broadcast_writer { core: broadcast.core.writer()? });
        Ok(RF_OK)
    })
}

/// Becomes a reader. It gets every record whose send begins from now on.
///
/// @param broadcast    the broadcast
/// @param from_oldest  1 to begin with the oldest record that is there, which may be overwritten before it is read; else 0
/// @param out          the reader; `rf_broadcast_reader_close` gives it back
/// @return RF_OK; RF_E_MAXIMUM_REACHED (`max_readers` live already), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: killed in the middle, nobody waits for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_reader_open(
    broadcast: *const rf_broadcast,
    from_oldest: c_int,
    out: *mut *mut rf_broadcast_reader,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (broadcast, out) = unsafe { (reference(broadcast, "broadcast")?, Out::required(out, "out")?) };
        let start = match from_oldest {
            0 => Start::Next,
            1 => Start::Oldest,
            other => return Err(Failure::new(RF_E_INVALID, format!("from_oldest is {other}, not 0 or 1"))),
        };
        out.write_handle(rf_broadcast_reader { core: broadcast.core.reader(start)? });
        Ok(RF_OK)
    })
}

/// Sends a record.
///
/// @param writer      the writer
/// @param record      `len` bytes, copied; may be NULL if `len` is 0
/// @param len         its length: `record_size`, or of byte records at most the longest
/// @param timeout_ns  how long to wait for readers; RF_FOREVER, 0 to try; a writer that overwrites never waits
/// @return RF_OK; RF_E_FULL (a reader is in the way, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG, RF_E_CLOSED (shut
/// down), RF_E_INTERRUPTED, RF_E_NOT_OWNER (in a forked child: the writer is the parent's), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads: one at a time. Crash: killed before it returns, the record is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_send(
    writer: *mut rf_broadcast_writer,
    record: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (writer, record) = unsafe { (reference(writer, "writer")?, argument::bytes(record, len, "record")?) };
        let geometry = writer.core.geometry();
        if !geometry.is_bytes() && len != geometry.record_size() {
            return Err(Failure::new(RF_E_INVALID, format!("len is {len}, not {}", geometry.record_size())));
        }
        writer.core.send(record, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Receives the next record.
///
/// @param reader      the reader
/// @param buffer      room for `size` bytes; may be NULL if `size` is 0
/// @param size        its size: at least `record_size`; of byte records, the longest is always enough
/// @param len         the length of the record, or NULL; with RF_E_BUFFER_TOO_SHORT too: then the record is still there
/// @param missed      with RF_E_MISSED, how many records; else left as it is; or NULL
/// @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_MISSED (some were overwritten before they were read; told once, the next call goes on at the oldest that is
/// there), RF_E_EMPTY (nothing new, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut down, and everything
/// has been read), RF_E_INTERRUPTED, RF_E_NOT_OWNER (in a forked child, where the writer waits for the parent's reader),
/// RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads: one at a time. Crash: killed in the middle, nothing happens to others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_recv(
    reader: *mut rf_broadcast_reader,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    missed: *mut u64,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (reader, buffer) = unsafe { (reference(reader, "reader")?, argument::bytes_mut(buffer, size, "buffer")?) };
        // SAFETY: the caller's promise.
        let (len, missed) = unsafe { (Out::optional(len, "len")?, Out::optional(missed, "missed")?) };
        let geometry = reader.core.geometry();
        // What is longer than any record stays as it is.
        let most = buffer.len().min(geometry.record_size());
        let buffer = &mut buffer[..most];
        let deadline = argument::deadline(timeout_ns);
        let mut received = 0;
        let done = argument::fill_on_success(buffer, |buffer| {
            received = reader.core.recv(buffer, deadline)?;
            Ok(())
        });
        match done {
            Ok(()) => len.write(received),
            Err(error) => {
                match error {
                    BroadcastRecvError::Missed(records) => missed.write(records),
                    BroadcastRecvError::BufferTooShort { needed } => len.write(needed),
                    _ => {}
                }
                return Err(error.into());
            }
        }
        Ok(RF_OK)
    })
}

/// How many records can be read at any time.
///
/// @param broadcast  the broadcast
/// @param capacity   the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_capacity(broadcast: *const rf_broadcast, capacity: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(broadcast, "broadcast", capacity, "capacity", |broadcast| {
            Ok(broadcast.core.geometry().capacity() as usize)
        })
    })
}

/// For how many readers the writer waits at most; 0 if it overwrites.
///
/// @param broadcast    the broadcast
/// @param max_readers  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_max_readers(broadcast: *const rf_broadcast, max_readers: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(broadcast, "broadcast", max_readers, "max_readers", |broadcast| {
            Ok(broadcast.core.geometry().readers() as usize)
        })
    })
}

/// The size of a record, or of the longest.
///
/// @param broadcast  the broadcast
/// @param size       in bytes
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_record_size(broadcast: *const rf_broadcast, size: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(broadcast, "broadcast", size, "size", |broadcast| Ok(broadcast.core.geometry().record_size()))
    })
}

/// Ends the broadcast for everybody: no send that begins from now on succeeds; readers read what is there and then fail with
/// `RF_E_CLOSED`. Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`. It waits for
/// nobody; but readers are told of the end when a writer that is in the middle of a record has ended it, or is dead.
///
/// @param broadcast  the broadcast
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_shutdown(broadcast: *const rf_broadcast) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(broadcast, "broadcast")? }.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Whether the broadcast was shut down.
///
/// @param broadcast  the broadcast
/// @param is         1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_is_shut_down(broadcast: *const rf_broadcast, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(broadcast, "broadcast", is, "is", |broadcast| Ok(broadcast.core.is_shut_down().into()))
    })
}

/// Gives the writer back; the place is free for another. That is no shutdown.
///
/// @param writer  the writer, or NULL
/// @return RF_OK
///
/// Threads: no other may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_writer_close(writer: *mut rf_broadcast_writer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(writer) })
}

/// Gives the reader back; the writer no longer waits for it.
///
/// @param reader  the reader, or NULL
/// @return RF_OK
///
/// Threads: no other may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_reader_close(reader: *mut rf_broadcast_reader) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(reader) })
}

/// Gives the handle back. Its writers and readers stay, and the broadcast with what is in it.
///
/// @param broadcast  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_broadcast_close(broadcast: *mut rf_broadcast) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(broadcast) })
}
