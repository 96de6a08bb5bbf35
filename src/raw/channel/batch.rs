//! Several messages under one lock, by one store.
//!
//! A batch of messages is sent by the one store of `tail`, and received by the one store of `head`, as a single message is:
//! so all of it is there or nothing, whoever dies; and of a batch that was sent no other sender's message lies between.

use super::in_place::{Parts, Peeked};
use super::long::AtHead;
use super::{Channel, MESSAGE, RecvFailure, SendFailure};
use super::{eventcount, lock, unlock, words};
use crate::primitive::Ordering;
use crate::raw::{Owner, Peers};
use crate::sys::nap::Wait;

/// What became of a batch to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// So many were received.
    Received(usize),
    /// A message of so many bytes in pieces comes first, to be received in the usual way; nothing was received.
    Long(usize),
}

impl<'a> Channel<'a> {
    /// Sends as many of `count` messages as there is room for, from the first on, waiting for room for one as `wait` says.
    /// Returns how many, 0 only of 0. It stops before one that does not even fit the empty ring.
    pub fn send_many<'m>(
        &self,
        me: Owner,
        count: usize,
        message: impl Fn(usize) -> &'m [u8],
        peers: &impl Peers,
        wait: Wait,
    ) -> Result<usize, SendFailure> {
        if count == 0 {
            return Ok(0);
        }
        if !self.fits(message(0).len()) {
            return Err(SendFailure::TooLong);
        }
        // As far as it makes sense to look for room.
        let mut wanted = 0_u64;
        for nth in 0..count {
            wanted += words_of(message(nth));
            if wanted >= u64::from(self.size) {
                wanted = self.size.into();
                break;
            }
        }
        self.send_by(peers, wait, || {
            let side = &self.header.senders.0;
            if let Err(refusal) = lock(side, me, peers, wait) {
                return Some(Err(refusal.of_send(wait)));
            }
            let sent = self.put_many(count, &message, wanted as u32);
            unlock(side, me);
            if let Some(Ok(_)) = sent {
                eventcount::notify(&self.shared().not_empty);
            }
            sent
        })
    }

    /// The same under the senders' lock; the first message could fit.
    fn put_many<'m>(
        &self,
        count: usize,
        message: &impl Fn(usize) -> &'m [u8],
        wanted: u32,
    ) -> Option<Result<usize, SendFailure>> {
        let (mut tail, mut free) = match self.room_of(words_of(message(0)) as u32, wanted) {
            Ok(room) => room?,
            Err(failure) => return Some(Err(failure)),
        };
        let mut sent = 0;
        while sent < count {
            let message = message(sent);
            let needed = words_of(message);
            if needed > u64::from(free) {
                break;
            }
            let at = tail.index as usize;
            self.ring[at].store(MESSAGE | message.len() as u64, Ordering::Relaxed);
            self.copy_in(at + 1, message);
            tail = tail.past_message(needed as u32, self.size);
            free -= needed as u32;
            sent += 1;
        }
        // Release: pairs with the Acquire in `take`. Invariant 2 of the channel, for all of them.
        self.header.tail.0.store(tail.pack(), Ordering::Release);
        Some(Ok(sent))
    }

    /// Receives as many messages as there are, up to `most`, waiting for one as `wait` says; `accept` is given where the nth
    /// lies, and says whether it took it. If it did not take the first one, that is [too long](RecvFailure::TooShort).
    pub fn recv_many(
        &self,
        me: Owner,
        most: usize,
        peers: &impl Peers,
        wait: Wait,
        mut accept: impl FnMut(usize, Parts<'a>) -> bool,
    ) -> Result<Many, RecvFailure> {
        if most == 0 {
            return Ok(Many::Received(0));
        }
        self.recv_by(peers, wait, || {
            let side = &self.header.receivers.0;
            if let Err(refusal) = lock(side, me, peers, wait) {
                return Some(Err(refusal.of_recv(wait)));
            }
            let received = self.take_many(most, &mut accept);
            unlock(side, me);
            if let Some(Ok(Many::Received(_))) = received {
                eventcount::notify(&self.shared().not_full);
            }
            received
        })
    }

    /// The same under the receivers' lock.
    fn take_many(
        &self,
        most: usize,
        accept: &mut impl FnMut(usize, Parts<'a>) -> bool,
    ) -> Option<Result<Many, RecvFailure>> {
        let mut found = match self.first()? {
            Ok(Peeked::Message(found)) => found,
            Ok(Peeked::Long(total)) => return Some(Ok(Many::Long(total))),
            Err(failure) => return Some(Err(failure)),
        };
        if !accept(0, self.found_parts(found)) {
            return Some(Err(RecvFailure::TooShort { needed: found.bytes() }));
        }
        let mut received = 1;
        let mut head = found.end(self.size);
        // What `first` saw and wrote down, with Acquire. Relaxed: under this lock.
        if let Some(tail) = self.position(&self.header.receivers.0.other, Ordering::Relaxed) {
            while received < most
                && let Ok(AtHead::Message(next)) = self.look(head, tail)
                && accept(received, self.found_parts(next))
            {
                found = next;
                head = found.end(self.size);
                received += 1;
            }
        }
        // Release: pairs with the Acquire in `room_for`. Invariant 2 of the channel, for all of them.
        self.header.head.0.store(head.pack(), Ordering::Release);
        Some(Ok(Many::Received(received)))
    }
}

/// Words of a message with its header.
fn words_of(message: &[u8]) -> u64 {
    1 + words::words_for(message.len()) as u64
}
