//! # Channels
//!
//! A channel carries messages of any size in bytes, first in, first out, between any number of processes that send and
//! that receive. Messages keep their borders; an empty one is a message. Each is delivered at most once, and whole: one
//! whose send has returned is there even if the sender is killed the next moment; one that a receive has taken dies with
//! the process that took it.
//!
//! A message that is longer than the ring goes in pieces, if it is sent so: `rf_channel_send_long`.
//!
//! A message can be written where it lies before it is sent, and read where it lies before it is received, without a copy:
//! `rf_channel_send_with` and `rf_channel_recv_with` call back with the two parts of it, of which the second is empty unless
//! the message goes over the end of the ring. `rf_channel_send_many` and `rf_channel_recv_many` move several by one call.
//!
//! Sending and receiving take a lock each, which survives the death of its holder; they do not wait for one another.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, invalid, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::queue::{Channel, RecvError, SendError, Taken};

/// A handle to a channel.
pub struct rf_channel {
    pub(super) core: Channel,
}

/// A message to be sent: `len` bytes from `data` on, which may be NULL if `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rf_message {
    /// Where it is.
    pub data: *const c_void,
    /// Its length.
    pub len: usize,
}

/// Writes a message where it lies: `first_len` bytes, aligned to 8, and then `rest_len` more. What is in them is arbitrary.
/// Returns how many bytes of it are to be sent, or a negative number to send nothing. The channel's senders wait meanwhile. It
/// returns in the normal way (no `longjmp`, no exception).
pub type rf_message_fill = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        first: *mut c_void,
        first_len: usize,
        rest: *mut c_void,
        rest_len: usize,
    ) -> i64,
>;

/// Reads a message where it lies: `first_len` bytes, and then `rest_len` more. The channel's receivers wait meanwhile. It returns
/// in the normal way (no `longjmp`, no exception).
pub type rf_message_read = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        first: *const c_void,
        first_len: usize,
        rest: *const c_void,
        rest_len: usize,
    ),
>;

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => RF_E_FULL.into(),
            SendError::TimedOut => RF_E_TIMED_OUT.into(),
            SendError::Closed => RF_E_CLOSED.into(),
            SendError::Interrupted => RF_E_INTERRUPTED.into(),
            SendError::TooLong { len, max } => {
                Self::new(RF_E_MESSAGE_TOO_LONG, format!("a message of {len} bytes; this channel takes at most {max}"))
            }
            SendError::WouldDeadlock => Self::new(RF_E_WOULD_DEADLOCK, error.to_string()),
            SendError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            SendError::Corrupted => RF_E_CORRUPTED.into(),
            SendError::BrokenPipe => RF_E_BROKEN_PIPE.into(),
            SendError::WrongDirection => RF_E_WRONG_DIRECTION.into(),
            SendError::Segment(error) => error.into(),
        }
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Empty => RF_E_EMPTY.into(),
            RecvError::TimedOut => RF_E_TIMED_OUT.into(),
            RecvError::Closed => RF_E_CLOSED.into(),
            RecvError::Interrupted => RF_E_INTERRUPTED.into(),
            RecvError::BufferTooShort { needed } => {
                Self::new(RF_E_BUFFER_TOO_SHORT, format!("the message has {needed} bytes; it is still there"))
            }
            RecvError::NoMemory { needed } => {
                Self::new(RF_E_NO_MEMORY, format!("the message has {needed} bytes; it is still there"))
            }
            RecvError::WouldDeadlock => Self::new(RF_E_WOULD_DEADLOCK, error.to_string()),
            RecvError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            RecvError::Corrupted => RF_E_CORRUPTED.into(),
            RecvError::EndOfFile => RF_E_END_OF_FILE.into(),
            RecvError::WrongDirection => RF_E_WRONG_DIRECTION.into(),
            RecvError::Segment(error) => error.into(),
        }
    }
}

/// Opens the channel of that name, or makes it.
///
/// @param segment     where it lives
/// @param name        its name in the segment
/// @param flags       of `rf_flags`
/// @param ring_bytes  room for messages; each takes its length and a few bytes more. 0 without `RF_CREATE` takes what is
/// there
/// @param out         the handle; `rf_channel_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another
/// capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    ring_bytes: usize,
    out: *mut *mut rf_channel,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = Channel::with(open.segment, open.name, open.flags.mode, ring_bytes)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_channel { core })
    })
}

/// Sends a message.
///
/// @param channel     the channel
/// @param message     `len` bytes, copied; may be NULL if `len` is 0
/// @param len         its length, at most `rf_channel_max_message`
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (it can never fit),
/// RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_fill`)
///
/// Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_send(
    channel: *const rf_channel,
    message: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, message) = unsafe { (reference(channel, "channel")?, argument::bytes(message, len, "message")?) };
        channel.core.send_until(message, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Sends a message of any length.
///
/// One that fits the ring is sent as by `rf_channel_send`. A longer one goes in pieces, from this sender to one receiver: the
/// call returns when that receiver has all of it, and other senders wait meanwhile.
///
/// @param channel     the channel
/// @param message     `len` bytes, copied; may be NULL if `len` is 0
/// @param len         its length
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to try: then a receiver is to take each piece within 20 ms
/// @return RF_OK; RF_E_FULL (nobody took it, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (a ring of less than 32
/// bytes), RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED. Where it fails nobody has received anything of it.
///
/// Threads, processes: any number at once. Crash: killed before it returns, somebody has received all of it, or nobody
/// anything. A receiver that is killed in the middle has received nothing, and all of it goes to the next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_send_long(
    channel: *const rf_channel,
    message: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, message) = unsafe { (reference(channel, "channel")?, argument::bytes(message, len, "message")?) };
        channel.core.send_long_until(message, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Receives a message.
///
/// @param channel     the channel
/// @param buffer      room for `size` bytes; may be NULL if `size` is 0
/// @param size        its size; `rf_channel_max_message` is enough for all but those of `rf_channel_send_long`. If the call
/// fails its bytes are as they were, but for such a message that did not come to its end
/// @param len         the length of the message; with RF_E_BUFFER_TOO_SHORT too: then the message is still there
/// @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut
/// down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_read`)
///
/// Threads, processes: any number at once. Crash: killed in the middle, the message stays for others, or is gone with the
/// killed process; it is never delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_recv(
    channel: *const rf_channel,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, buffer, len) = unsafe {
            (reference(channel, "channel")?, argument::bytes_mut(buffer, size, "buffer")?, Out::required(len, "len")?)
        };
        received(channel.core.recv_until(buffer, argument::deadline(timeout_ns)), len)
    })
}

/// What a receive says to C: the length also of a message that is too long.
pub(super) fn received(result: Result<usize, RecvError>, len: Out<usize>) -> Outcome {
    match result {
        Ok(received) => {
            len.write(received);
            Ok(RF_OK)
        }
        Err(error) => {
            if let RecvError::BufferTooShort { needed } = error {
                len.write(needed);
            }
            Err(error.into())
        }
    }
}

/// Sends a message that a function writes where it lies.
///
/// Nobody sees anything of it before the function returns, and the other senders wait until then, as does whoever shuts the
/// channel down: so it should do nothing but write. Receivers go on. It is not called where the call fails.
///
/// @param channel     the channel
/// @param len         room for so many bytes, at most `rf_channel_max_message`
/// @param fill        writes them, and says how many are to be sent
/// @param context     for the function; may be NULL
/// @param sent        1 if the message was sent, 0 if the function wanted nothing to be sent
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK, and as `rf_channel_send`; RF_E_INVALID also if the function wants to send more than there is room for, and
/// RF_E_NOT_OWNER in a process that was forked within the function: then nothing was sent
///
/// Threads, processes: any number at once. Crash: killed before it returns, the message is there as written, or not at all;
/// killed within the function it is not there, and the next sender goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_send_with(
    channel: *const rf_channel,
    len: usize,
    fill: rf_message_fill,
    context: *mut c_void,
    sent: *mut c_int,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, sent) = unsafe { (reference(channel, "channel")?, Out::required(sent, "sent")?) };
        let fill = fill.ok_or_else(|| invalid("fill is NULL".to_owned()))?;
        let wants = channel.core.send_with_until(len, argument::deadline(timeout_ns), |message| {
            let [first, rest] = message.as_mut_ptrs();
            // SAFETY: the caller's promise; what it is given is valid until it returns.
            let wants = unsafe { fill(context, first.0.cast(), first.1, rest.0.cast(), rest.1) };
            match usize::try_from(wants) {
                Ok(wants) if wants <= len => message.truncate(wants),
                _ => message.discard(),
            }
            wants
        })?;
        if usize::try_from(wants).is_ok_and(|wants| wants > len) {
            return Err(invalid(format!("{wants} bytes of a message with room for {len}")));
        }
        sent.write((wants >= 0).into());
        Ok(RF_OK)
    })
}

/// Receives a message that a function reads where it lies.
///
/// The message is received when the function returns; the other receivers wait until then: so it should do nothing but read.
/// Senders go on. It is not called where the call fails. A message of `rf_channel_send_long` that came in pieces is copied, and
/// received before the function sees it.
///
/// @param channel     the channel
/// @param read        reads it
/// @param context     for the function; may be NULL
/// @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained),
/// RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_read`), RF_E_NO_MEMORY (for a copy), RF_E_CORRUPTED, RF_E_INVALID;
/// RF_E_NOT_OWNER in a process that was forked within the function: the message is its parent's
///
/// Threads, processes: any number at once. Crash: killed within the function, the message stays for the next receiver, unless it
/// came in pieces; one whose receive has returned is never delivered again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_recv_with(
    channel: *const rf_channel,
    read: rf_message_read,
    context: *mut c_void,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let channel = unsafe { reference(channel, "channel")? };
        let read = read.ok_or_else(|| invalid("read is NULL".to_owned()))?;
        channel.core.recv_with_until(argument::deadline(timeout_ns), |message| {
            let [first, rest] = message.as_ptrs();
            // SAFETY: the caller's promise; what it is given is valid until it returns.
            unsafe { read(context, first.0.cast(), first.1, rest.0.cast(), rest.1) };
        })?;
        Ok(RF_OK)
    })
}

/// Sends as many of these messages as there is room for, from the first on; waits for room for one. They appear at once, and
/// nothing of other senders lies between them. It stops before one that is too long for the channel.
///
/// @param channel     the channel
/// @param messages    `count` of them, copied
/// @param count       how many
/// @param sent        how many were sent: at least 1, unless `count` is 0
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return as `rf_channel_send`, about the first message: then none was sent
///
/// Threads, processes: any number at once. Crash: killed in the middle, all that this call sends are there, or none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_send_many(
    channel: *const rf_channel,
    messages: *const rf_message,
    count: usize,
    sent: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, sent) = unsafe { (reference(channel, "channel")?, Out::required(sent, "sent")?) };
        // SAFETY: the caller's promise.
        let messages = unsafe { argument::items(messages, count, "messages")? };
        for message in messages {
            // SAFETY: the caller's promise.
            unsafe { argument::bytes(message.data, message.len, "a message")? };
        }
        // SAFETY: the caller's promise, and just checked.
        let message = |nth: usize| unsafe {
            argument::bytes(messages[nth].data, messages[nth].len, "a message").unwrap_or_default()
        };
        sent.write(channel.core.send_many_until(count, message, argument::deadline(timeout_ns))?);
        Ok(RF_OK)
    })
}

/// Receives as many messages as there are and there is room for, waiting for one. They are taken at once.
///
/// @param channel     the channel
/// @param buffer      room for `size` bytes; may be NULL if `size` is 0. The messages are put into it one behind the other
/// @param size        its size
/// @param lens        room for `most` lengths: those of the messages; behind the last one it stays as it was. With
/// RF_E_BUFFER_TOO_SHORT the first one is the length of the first message, which is still there
/// @param most        how many at the most
/// @param received    how many were received: at least 1, unless `most` is 0
/// @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
/// @return as `rf_channel_recv`: then none was received. A message of `rf_channel_send_long` that comes in pieces comes alone
///
/// Threads, processes: any number at once. Crash: killed in the middle, all of them are there for others, or all are gone with
/// the killed process; none is delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_recv_many(
    channel: *const rf_channel,
    buffer: *mut c_void,
    size: usize,
    lens: *mut usize,
    most: usize,
    received: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (channel, buffer, received) = unsafe {
            (
                reference(channel, "channel")?,
                argument::bytes_mut(buffer, size, "buffer")?,
                Out::required(received, "received")?,
            )
        };
        // SAFETY: the caller's promise; integers.
        let lens = unsafe { argument::items_mut(lens, most, "lens")? };
        let deadline = argument::deadline(timeout_ns);
        let mut free = &mut *buffer;
        let room = |nth: usize, len: usize| {
            let (room, rest) = core::mem::take(&mut free).split_at_mut_checked(len)?;
            free = rest;
            lens[nth] = len;
            Some(room)
        };
        let count = match channel.core.recv_many_until(most, deadline, room, |_| ()) {
            Ok(Taken::Messages(count)) => Ok(count),
            Ok(Taken::Pieces) => channel.core.recv_until(buffer, deadline).map(|len| {
                lens[0] = len;
                1
            }),
            Err(error) => Err(error),
        };
        if let Err(RecvError::BufferTooShort { needed }) = count {
            lens[0] = needed;
        }
        received.write(count?);
        Ok(RF_OK)
    })
}

/// How many messages are in the channel at this moment.
///
/// @param channel  the channel
/// @param len      the number; exact if nobody sends or receives meanwhile
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_len(channel: *const rf_channel, len: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(channel, "channel", len, "len", |channel| Ok(channel.core.len())) })
}

/// The longest message that the channel takes in one piece.
///
/// @param channel  the channel
/// @param max      in bytes
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_max_message(channel: *const rf_channel, max: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(channel, "channel", max, "max", |channel| Ok(channel.core.max_message())) })
}

/// The size of the channel's ring.
///
/// @param channel   the channel
/// @param capacity  in bytes
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_capacity(channel: *const rf_channel, capacity: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(channel, "channel", capacity, "capacity", |channel| Ok(channel.core.capacity()))
    })
}

/// Ends the channel for everybody: sends fail with `RF_E_CLOSED` from now on, receives take what is there and then fail
/// so too. Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
///
/// @param channel  the channel
/// @return RF_OK, RF_E_INTERRUPTED (while another was in the middle of a send: the next one ends it), RF_E_BUSY (within
/// `rf_message_fill`: the next send ends it), RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_shutdown(channel: *const rf_channel) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let channel = unsafe { reference(channel, "channel")? };
        channel.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Whether the channel was shut down.
///
/// @param channel  the channel
/// @param is       1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_is_shut_down(channel: *const rf_channel, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(channel, "channel", is, "is", |channel| Ok(channel.core.is_shut_down().into()))
    })
}

/// Gives the handle back. The channel and what is in it stay.
///
/// @param channel  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_channel_close(channel: *mut rf_channel) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(channel) })
}
