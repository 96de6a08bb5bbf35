//! A one-way pipe that counts the holders of each end in shared memory, instead of asking the kernel. A holder that is
//! killed is never taken off the count, so the end of file never comes; and a forked child is not on it, so it comes while
//! the child has the end.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ringfence::{Channel, End, RecvError, Segment};

use crate::board::Board;
use crate::ends::{Ends, RING, Said};

/// See the module's head.
#[derive(Debug)]
pub struct Counted;

/// Holds an end by being counted.
#[derive(Debug)]
pub struct Handle {
    channel: Channel,
    segment: Segment,
    board: &'static Board,
    end: End,
}

/// Word 0 of the arena is the segment's name.
fn holders(board: &'static Board, end: End) -> &'static AtomicU64 {
    &board.arena[1 + end as usize]
}

fn come(board: &'static Board, end: End) -> &'static AtomicU64 {
    &board.arena[3 + end as usize]
}

fn is_gone(board: &'static Board, end: End) -> bool {
    come(board, end).load(SeqCst) != 0 && holders(board, end).load(SeqCst) == 0
}

impl Drop for Handle {
    fn drop(&mut self) {
        holders(self.board, self.end).fetch_sub(1, SeqCst);
    }
}

impl Ends for Counted {
    type Handle = Handle;

    const BOTH_WAYS: bool = false;

    fn open(segment: &Segment, board: &'static Board, end: End) -> Result<Handle, Said> {
        if is_gone(board, end) {
            return Err(Said::Over);
        }
        let channel = Channel::open_or_create(segment, "pipe", RING).map_err(|_| Said::Other)?;
        holders(board, end).fetch_add(1, SeqCst);
        come(board, end).store(1, SeqCst);
        let segment = Segment::open(&crate::api::name(board)).map_err(|_| Said::Other)?;
        Ok(Handle { channel, segment, board, end })
    }

    fn again(handle: &Handle) -> Handle {
        Self::open(&handle.segment, handle.board, handle.end).expect("it is held")
    }

    fn met(handle: &Handle) -> bool {
        come(handle.board, handle.end.other()).load(SeqCst) != 0
    }

    fn ask(_: &Handle) {}

    fn send(handle: &Handle, message: &[u8]) -> Said {
        loop {
            match handle.channel.send_timeout(message, Duration::from_millis(5)) {
                Ok(()) => return Said::Done,
                Err(_) if is_gone(handle.board, End::First) => return Said::Over,
                Err(_) => {}
            }
        }
    }

    fn try_send(handle: &Handle, message: &[u8]) -> bool {
        handle.channel.try_send(message).is_ok()
    }

    fn recv(handle: &Handle, buffer: &mut [u8]) -> Result<usize, Said> {
        loop {
            match handle.channel.recv_into_timeout(buffer, Duration::from_millis(5)) {
                Ok(len) => return Ok(len),
                Err(RecvError::TimedOut) if is_gone(handle.board, End::Second) => return Err(Said::Over),
                Err(RecvError::TimedOut) => {}
                Err(_) => return Err(Said::Other),
            }
        }
    }
}
