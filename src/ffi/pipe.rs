//! # Pipes
//!
//! A pipe has two ends. What is sent at the one comes out at the other, in order, each message whole; an empty message is a
//! message, and one that is longer than the ring goes in pieces while the other end receives. A pipe goes both ways, or one
//! way: then the first end receives and the second sends.
//!
//! An end is held by every handle to it, in every process that opened it, duplicated it, or was forked from one that has it;
//! until the handle is closed, or the process ends, is killed, or executes another program. When nobody holds an end any more,
//! the other one receives what was sent and then RF_E_END_OF_FILE, and its sends fail with RF_E_BROKEN_PIPE: at once if the last
//! handle was closed, within 100 ms if its process was killed. There is no signal. Before anybody has come to an end, the other
//! one waits.
//!
//! ```c
//! rf_pipe *mine, *theirs;
//! if (rf_pipe_pair(segment, "talk", 0, 4096, &mine, &theirs) == RF_OK && fork() == 0) {
//!     rf_pipe_close(mine); // as with pipe(2): each process keeps the end that it uses
//!     rf_pipe_send(theirs, "hello", 5, RF_FOREVER);
//!     _exit(0);
//! }
//! rf_pipe_close(theirs);
//! ```

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, boundary};
use super::flag::rf_flags;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::queue::Pipe;
use crate::raw::pipe::End;

/// A handle to an end of a pipe.
pub struct rf_pipe {
    pub(super) core: Pipe,
}

/// An end of a pipe.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_end {
    /// Of a one-way pipe the one that receives.
    RF_FIRST_END = 0,
    /// Of a one-way pipe the one that sends.
    RF_SECOND_END = 1,
}

fn end_of(end: c_int) -> Result<End, Failure> {
    match end {
        _ if end == rf_end::RF_FIRST_END as c_int => Ok(End::First),
        _ if end == rf_end::RF_SECOND_END as c_int => Ok(End::Second),
        _ => Err(Failure::new(RF_E_INVALID, format!("end is {end}, neither RF_FIRST_END nor RF_SECOND_END"))),
    }
}

fn directions(one_way: c_int) -> Result<u32, Failure> {
    match one_way {
        0 => Ok(2),
        1 => Ok(1),
        _ => Err(Failure::new(RF_E_INVALID, format!("one_way is {one_way}, neither 0 nor 1"))),
    }
}

/// Makes a pipe, of a name that must be free in the segment, and opens both its ends.
///
/// @param segment     where it lives
/// @param name        its name in the segment
/// @param one_way     1: the first end receives, the second sends; 0: both do both
/// @param ring_bytes  room for messages in each direction, at least 32; each takes its length and a few bytes more
/// @param first       the first end; `rf_pipe_close` gives it back
/// @param second      the second end, likewise
/// @return RF_OK, RF_E_EXISTS, RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_NOT_SUPPORTED (adopted memory),
/// RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a pipe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_pair(
    segment: *const rf_segment,
    name: *const c_char,
    one_way: c_int,
    ring_bytes: usize,
    first: *mut *mut rf_pipe,
    second: *mut *mut rf_pipe,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, rf_flags::RF_CREATE as c_int, first)? };
        // SAFETY: the same.
        let second = unsafe { Out::required(second, "second")? };
        let make = if directions(one_way)? == 1 { Pipe::one_way } else { Pipe::pair };
        let (one, other) = make(open.segment, open.name, ring_bytes)?;
        second.write_handle(rf_pipe { core: other });
        open.give(rf_pipe { core: one })
    })
}

/// Opens an end of the pipe of that name, or makes the pipe.
///
/// @param segment     where it lives
/// @param name        its name in the segment
/// @param flags       of `rf_flags`
/// @param end         of `rf_end`
/// @param one_way     1: the first end receives, the second sends; 0: both do both. Of no meaning if `ring_bytes` is 0
/// @param ring_bytes  room for messages in each direction, at least 32. 0 without `RF_CREATE` takes what is there
/// @param out         the handle; `rf_pipe_close` gives it back
/// @return RF_OK, RF_E_END_OF_FILE (that end had holders and has none any more), RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE
/// (another kind of object), RF_E_WRONG_SHAPE (other rings, or other directions), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME,
/// RF_E_INVALID, RF_E_NOT_SUPPORTED (adopted memory), RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_CORRUPTED, RF_E_BUSY (somebody
/// was stopped in the middle of a change)
///
/// Crash: killed in the middle, nobody ever sees half a pipe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    end: c_int,
    one_way: c_int,
    ring_bytes: usize,
    out: *mut *mut rf_pipe,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let directions = directions(one_way)?;
        let whatever = ring_bytes == 0 && open.flags.mode == crate::segment::directory::Mode::Open;
        let wanted = (!whatever).then_some((directions, ring_bytes));
        let core = Pipe::with(open.segment, open.name, open.flags.mode, end_of(end)?, wanted)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_pipe { core })
    })
}

/// Another handle to the same end.
///
/// @param pipe  the end
/// @param out   the handle; `rf_pipe_close` gives it back
/// @return RF_OK, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_duplicate(pipe: *const rf_pipe, out: *mut *mut rf_pipe) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (pipe, out) = unsafe { (reference(pipe, "pipe")?, Out::required(out, "out")?) };
        out.write_handle(rf_pipe { core: pipe.core.try_clone()? });
        Ok(RF_OK)
    })
}

/// Sends a message of any length. One that is longer than the ring is sent when the other end has received all of it.
///
/// @param pipe        the end
/// @param message     `len` bytes, copied; may be NULL if `len` is 0
/// @param len         its length
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to try: then the other end is to take each piece of a message that is
/// longer than the ring within 20 ms
/// @return RF_OK; RF_E_BROKEN_PIPE (nobody has the other end any more), RF_E_WRONG_DIRECTION, RF_E_FULL (no room, and not to
/// wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_send(
    pipe: *const rf_pipe,
    message: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (pipe, message) = unsafe { (reference(pipe, "pipe")?, argument::bytes(message, len, "message")?) };
        pipe.core.send_until(message, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Receives a message.
///
/// @param pipe        the end
/// @param buffer      room for `size` bytes; may be NULL if `size` is 0. If the call fails its bytes are as they were, but for a
/// message that is longer than the ring and did not come to its end
/// @param size        its size
/// @param len         the length of the message; with RF_E_BUFFER_TOO_SHORT too: then the message is still there
/// @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_END_OF_FILE (nobody has the other end any more, and all that was sent has been received),
/// RF_E_WRONG_DIRECTION, RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut
/// down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed in the middle, the message stays for others who hold this end, or is
/// gone with the killed process; it is never delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_recv(
    pipe: *const rf_pipe,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (pipe, buffer, len) = unsafe {
            (reference(pipe, "pipe")?, argument::bytes_mut(buffer, size, "buffer")?, Out::required(len, "len")?)
        };
        let received = pipe.core.recv_until(buffer, argument::deadline(timeout_ns));
        super::channel::received(received, len)
    })
}

/// Waits until a receive would end at once, with a message or with the end of file. Takes nothing.
///
/// @param pipe        the end
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
/// @return RF_OK; RF_E_NOT_READY (it would not, and not to wait), RF_E_TIMED_OUT, RF_E_WRONG_DIRECTION, RF_E_INTERRUPTED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_poll(pipe: *const rf_pipe, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let pipe = unsafe { reference(pipe, "pipe")? };
        match pipe.core.poll_until(argument::deadline(timeout_ns))? {
            true => Ok(RF_OK),
            false if timeout_ns == 0 => Err(RF_E_NOT_READY.into()),
            false => Err(RF_E_TIMED_OUT.into()),
        }
    })
}

/// Ends both directions for everybody: sends fail with `RF_E_CLOSED` from now on, receives take what is there and then fail so
/// too. Shutting down twice is fine.
///
/// @param pipe  an end of it
/// @return RF_OK, RF_E_INTERRUPTED (while another was in the middle of a send: the next one ends it), RF_E_CORRUPTED,
/// RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_shutdown(pipe: *const rf_pipe) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(pipe, "pipe")? }.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Gives the handle back. If nobody holds the end any more by then, the other end is told.
///
/// @param pipe  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pipe_close(pipe: *mut rf_pipe) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(pipe) })
}
