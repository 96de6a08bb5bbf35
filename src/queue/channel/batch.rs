//! Several messages of a channel by one call.

use std::time::{Duration, Instant};

use super::Channel;
use crate::queue::errors::{RecvError, SendError};
use crate::raw::channel::Many;
use crate::sys::nap::Deadline;

/// What became of messages that are taken one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Messages(usize),
    /// The first one comes in pieces, and was left.
    Pieces,
}

impl Channel {
    /// Sends as many of `count` messages as there is room for.
    pub(crate) fn send_many_until<'m>(
        &self,
        count: usize,
        message: impl Fn(usize) -> &'m [u8],
        deadline: Deadline,
    ) -> Result<usize, SendError> {
        let owner = self.object.enter().map_err(SendError::Segment)?.owner();
        let channel = self.raw().map_err(SendError::Segment)?;
        let sent = channel.send_many(owner, count, &message, self.object.peers(), self.wait(deadline));
        sent.map_err(|failure| self.not_sent(message(0), failure))
    }

    /// Receives up to `most` messages: `accept` is given the number and the length of each, and then fills the slice that it
    /// returns for it. `None` leaves that message.
    pub(crate) fn recv_many_until<B: AsMut<[u8]>>(
        &self,
        most: usize,
        deadline: Deadline,
        mut room: impl FnMut(usize, usize) -> Option<B>,
        mut keep: impl FnMut(B),
    ) -> Result<Taken, RecvError> {
        let owner = self.object.enter().map_err(RecvError::Segment)?.owner();
        let channel = self.raw().map_err(RecvError::Segment)?;
        let many = channel.recv_many(owner, most, self.object.peers(), self.wait(deadline), |nth, parts| {
            let Some(mut room) = room(nth, parts.bytes()) else { return false };
            parts.load_at(0, room.as_mut());
            keep(room);
            true
        });
        match many {
            Ok(Many::Received(count)) => Ok(Taken::Messages(count)),
            Ok(Many::Long(_)) => Ok(Taken::Pieces),
            Err(failure) => {
                self.object.settle();
                Err(failure.into())
            }
        }
    }

    fn send_slices_until(&self, messages: &[&[u8]], deadline: Deadline) -> Result<usize, SendError> {
        self.send_many_until(messages.len(), |nth| messages[nth], deadline)
    }

    fn recv_vecs_until(&self, most: usize, deadline: Deadline) -> Result<Vec<Vec<u8>>, RecvError> {
        let mut messages = vec![];
        let room = |_, len| bytemuck::allocation::try_zeroed_vec::<u8>(len).ok();
        let taken = self.recv_many_until(most, deadline, room, |message| messages.push(message));
        match taken {
            Ok(Taken::Messages(_)) => Ok(messages),
            Ok(Taken::Pieces) => Ok(vec![self.recv_vec_until(deadline)?]),
            Err(RecvError::BufferTooShort { needed }) => Err(RecvError::NoMemory { needed }),
            Err(error) => Err(error),
        }
    }

    /// Sends as many of these messages as there is room for, from the first on, waiting for room for one; returns how many, 0
    /// only if there are none.
    ///
    /// They appear at once, and nothing of others lies between them. Killed in the middle, all of them are there, or none.
    /// It stops before a message that is [longer](SendError::TooLong) than the ring takes.
    ///
    /// ```
    /// # use ringfence::{Channel, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let channel = Channel::create(&segment, "lines", 4096)?;
    /// assert_eq!(channel.send_many(&[b"one", b"", b"three"])?, 3);
    /// assert_eq!(channel.recv_many(10)?, [&b"one"[..], b"", b"three"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`send`](Self::send), about the first message: none was sent.
    pub fn send_many(&self, messages: &[&[u8]]) -> Result<usize, SendError> {
        self.send_slices_until(messages, Deadline::Forever)
    }

    /// As [`send_many`](Self::send_many), but does not wait for room.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no room for any, and those of [`send_many`](Self::send_many).
    pub fn try_send_many(&self, messages: &[&[u8]]) -> Result<usize, SendError> {
        self.send_slices_until(messages, Deadline::Now)
    }

    /// As [`send_many`](Self::send_many), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_many`](Self::send_many).
    pub fn send_many_timeout(&self, messages: &[&[u8]], timeout: Duration) -> Result<usize, SendError> {
        self.send_slices_until(messages, Deadline::after(timeout))
    }

    /// As [`send_many`](Self::send_many), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_many`](Self::send_many).
    pub fn send_many_deadline(&self, messages: &[&[u8]], deadline: Instant) -> Result<usize, SendError> {
        self.send_slices_until(messages, Deadline::At(deadline))
    }

    /// Receives as many messages as there are, up to `most`, waiting for one; none only if `most` is 0.
    ///
    /// They are taken at once: killed in the middle, all of them are there for others, or all are gone with the killed process.
    /// A message [in pieces](Self::send_long) comes alone.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv): none was received.
    pub fn recv_many(&self, most: usize) -> Result<Vec<Vec<u8>>, RecvError> {
        self.recv_vecs_until(most, Deadline::Forever)
    }

    /// As [`recv_many`](Self::recv_many), but does not wait.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and those of [`recv_many`](Self::recv_many).
    pub fn try_recv_many(&self, most: usize) -> Result<Vec<Vec<u8>>, RecvError> {
        self.recv_vecs_until(most, Deadline::Now)
    }

    /// As [`recv_many`](Self::recv_many), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_many`](Self::recv_many).
    pub fn recv_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Vec<u8>>, RecvError> {
        self.recv_vecs_until(most, Deadline::after(timeout))
    }

    /// As [`recv_many`](Self::recv_many), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_many`](Self::recv_many).
    pub fn recv_many_deadline(&self, most: usize, deadline: Instant) -> Result<Vec<Vec<u8>>, RecvError> {
        self.recv_vecs_until(most, Deadline::At(deadline))
    }
}
