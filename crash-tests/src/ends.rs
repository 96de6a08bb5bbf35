//! What the [pipe scenarios](crate::pipe) ask of a pipe: the library's, or a control.

use ringfence::{End, Error, Pipe, RecvError, Segment, SendError};

use crate::board::Board;

/// Bytes of a ring: exactly two short messages.
pub const RING: usize = 64;
/// Bytes of a short message.
pub const SHORT: usize = 24;
/// Bytes of one that goes in pieces.
pub const LONG: usize = 150;

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Done.
    Done = 1,
    /// Nobody has the other end any more; of an opening, this one.
    Over,
    /// Half a message came.
    Torn,
    /// Anything else.
    Other,
}

impl Said {
    /// From a word of the board.
    pub fn of(word: u64) -> Option<Self> {
        [Self::Done, Self::Over, Self::Torn, Self::Other].into_iter().find(|said| *said as u64 == word)
    }
}

/// A pipe called `pipe`.
pub trait Ends: 'static {
    /// To one of its ends; dropped, it is closed.
    type Handle;
    /// Whether it goes both ways. If not, the first end receives.
    const BOTH_WAYS: bool;
    /// Opens an end, and makes the pipe if there is none.
    fn open(segment: &Segment, board: &'static Board, end: End) -> Result<Self::Handle, Said>;
    /// Another handle to the same end.
    fn again(handle: &Self::Handle) -> Self::Handle;
    /// Whether somebody has ever come to the other end.
    fn met(handle: &Self::Handle) -> bool;
    /// Looks whether anything can be received now, the end of file included.
    fn ask(handle: &Self::Handle);
    /// Sends, for as long as it takes.
    fn send(handle: &Self::Handle, message: &[u8]) -> Said;
    /// Sends if there is room now.
    fn try_send(handle: &Self::Handle, message: &[u8]) -> bool;
    /// Receives, for as long as it takes.
    fn recv(handle: &Self::Handle, buffer: &mut [u8]) -> Result<usize, Said>;
}

/// `Pipe`.
#[derive(Debug)]
pub struct ApiPipe<const BOTH_WAYS: bool>;

impl<const BOTH_WAYS: bool> Ends for ApiPipe<BOTH_WAYS> {
    type Handle = Pipe;

    const BOTH_WAYS: bool = BOTH_WAYS;

    fn open(segment: &Segment, _: &'static Board, end: End) -> Result<Pipe, Said> {
        let open = if BOTH_WAYS { Pipe::open_or_create } else { Pipe::open_or_create_one_way };
        open(segment, "pipe", end, RING).map_err(|error| match error {
            Error::EndGone => Said::Over,
            _ => Said::Other,
        })
    }

    fn again(handle: &Pipe) -> Pipe {
        handle.try_clone().expect("descriptors and memory")
    }

    fn met(handle: &Pipe) -> bool {
        handle.is_connected()
    }

    fn ask(handle: &Pipe) {
        // The end that sends has nothing to ask for.
        let _ = handle.poll(Some(std::time::Duration::ZERO));
    }

    fn send(handle: &Pipe, message: &[u8]) -> Said {
        match handle.send(message) {
            Ok(()) => Said::Done,
            Err(SendError::BrokenPipe) => Said::Over,
            Err(_) => Said::Other,
        }
    }

    fn try_send(handle: &Pipe, message: &[u8]) -> bool {
        handle.try_send(message).is_ok()
    }

    fn recv(handle: &Pipe, buffer: &mut [u8]) -> Result<usize, Said> {
        handle.recv_into(buffer).map_err(|error| match error {
            RecvError::EndOfFile => Said::Over,
            _ => Said::Other,
        })
    }
}
