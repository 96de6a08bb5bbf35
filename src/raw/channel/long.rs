//! Messages that are longer than the ring: in pieces, as a rendezvous of one sender and one receiver.
//!
//! ```text
//!  piece = | 1 1 F  length | number of the transfer | if F: length of the message | bytes .. 0 0 |    F: the first one
//!
//!  63                                2   1    0
//! +-----------------------------------+--------+
//! |      number of the transfer       | state  |    `transfer`
//! +-----------------------------------+--------+
//! ```
//!
//! | state | set by | means |
//! |---|---|---|
//! | 0 pending | the sender, with a new number, before the first piece | nobody has all of it |
//! | 1 taken | the receiver, when it has copied the last piece | the message was received |
//! | 2 given up | the sender, when its time is up | its pieces are waste |
//! | 3 broken | a receiver that gives up, or finds pieces without the first one | its pieces are waste: send it again |
//!
//! Invariants:
//! 1. The sender keeps the senders' lock from the first piece to the verdict, so nothing comes between its pieces; the
//!    receiver keeps the receivers' lock from the first piece it takes to the verdict, so it has all of them or none count.
//! 2. A new number is stored under the senders' lock only. Each verdict is a compare-and-swap from *pending*: there is one,
//!    and both sides agree. *Taken* is the moment of the message: it is sent and received there, or neither.
//! 3. The receiver says *taken* before it gives back the room of the last piece, and the sender waits for the verdict. So a
//!    receiver that dies earlier has received nothing, and leaves a piece that tells the next one so.
//! 4. Pieces of a transfer that is not pending are waste: whoever finds them at the head throws them away.
//!
//! A death leaves behind:
//! - of the sender: a transfer that stays pending and gets no more pieces. The receiver waits as at an empty ring, and drops
//!   what it has when something else comes; or it has all pieces, and the message was received.
//! - of the receiver: pieces without the first. The next receiver says *broken*, throws them away, and the sender starts
//!   again with a new number. If it died with no piece left in the ring, the next piece tells. If it died after *taken*, the
//!   message is gone with it.
//!
//! Source: ours.

use super::in_place::Found;
use super::{CLOSED, Channel, MESSAGE, OPEN, Position, RecvFailure, Refusal, SendFailure};
use super::{eventcount, lock, or_learn, patient, unlock, words};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::{Owner, Peers};
use crate::sys::nap::Wait;

/// In the header word of a piece, beside [`MESSAGE`].
pub(super) const PIECE: u64 = 1 << 62;
const FIRST: u64 = 1 << 61;
/// Words of a piece before its bytes, and one of the first.
const HEAD: u32 = 2;
const FIRST_HEAD: u32 = 3;
/// Bits of a transfer's number.
const NUMBERS: u64 = u64::MAX >> 2;

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum State {
    Pending = 0,
    Taken = 1,
    GivenUp = 2,
    Broken = 3,
}

/// A transfer, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transfer(u64);

impl Transfer {
    fn word(self, state: State) -> u64 {
        self.0 << 2 | state as u64
    }

    /// How it stands; `None` if another one has begun.
    fn state(self, word: &AtomicU64) -> Option<State> {
        // Acquire: pairs with `decide`. Nothing but the word itself hangs on it; it keeps the reader's order plain.
        let seen = word.load(Ordering::Acquire);
        if seen >> 2 != self.0 {
            return None;
        }
        Some(match seen & 3 {
            0 => State::Pending,
            1 => State::Taken,
            2 => State::GivenUp,
            _ => State::Broken,
        })
    }

    /// Ends it, if nobody has: whether this call did. Invariant 2.
    fn decide(self, word: &AtomicU64, verdict: State) -> bool {
        let pending = self.word(State::Pending);
        word.compare_exchange(pending, self.word(verdict), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A piece at the head of the ring, checked against what is there.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    transfer: Transfer,
    /// Length of the message, in the first piece.
    total: Option<usize>,
    /// Where its bytes begin, as an index of the ring.
    bytes_at: usize,
    len: usize,
    /// Words of it.
    taken: u32,
    head: Position,
}

/// What is at the head of the ring.
pub(super) enum AtHead {
    Nothing,
    Piece(Piece),
    Message(Found),
}

/// How the receiving of one message in pieces ended.
enum Received {
    All,
    /// Given up by its sender, or followed by something else.
    Dropped,
    Failed(RecvFailure),
}

/// What became of one step of a transfer.
enum Step {
    Done,
    /// The receiver wants all of it again.
    Again,
    Failed(SendFailure),
}

impl Channel<'_> {
    /// Sends a message of any length. One that does not fit the ring goes in pieces: then it is sent when one receiver has
    /// taken all of it, and nobody else sends meanwhile. A try waits a moment for each piece to be taken.
    pub fn send_long(&self, me: Owner, message: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), SendFailure> {
        if self.fits(message.len()) {
            return self.send(me, message, peers, wait);
        }
        if self.size <= FIRST_HEAD {
            return Err(SendFailure::TooLong);
        }
        let side = &self.header.senders.0;
        lock(side, me, peers, wait).map_err(|refusal| refusal.of_send(wait))?;
        let sent = loop {
            if let Some(sent) = self.transfer(message, peers, wait) {
                break sent;
            }
        };
        unlock(side, me);
        // Waste, or the end: whoever waits looks at it.
        eventcount::notify(&self.shared().not_empty);
        sent
    }

    /// One transfer, under the senders' lock; `None` if the message is to be sent again.
    fn transfer(&self, message: &[u8], peers: &impl Peers, wait: Wait) -> Option<Result<(), SendFailure>> {
        let word = &self.shared().transfer;
        let number = Transfer((word.load(Ordering::Relaxed) >> 2).wrapping_add(1) & NUMBERS);
        // Relaxed: the receiver knows the number from a piece, which is published after this.
        word.store(number.word(State::Pending), Ordering::Relaxed);
        let mut rest = message;
        let mut total = Some(message.len());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(self.piece_bytes()));
            let put = self.each(peers, wait, || self.standing(number).or_else(|| self.put_piece(number, total, piece)));
            match put {
                Step::Done => {}
                Step::Again => return None,
                Step::Failed(failure) => return Some(self.give_up(number, failure)),
            }
            eventcount::notify(&self.shared().not_empty);
            total = None;
            rest = after;
        }
        let verdict = self.each(peers, wait, || match number.state(word) {
            Some(State::Taken) => Some(Step::Done),
            _ => self.standing(number),
        });
        match verdict {
            Step::Done => Some(Ok(())),
            Step::Again => None,
            Step::Failed(failure) => Some(self.give_up(number, failure)),
        }
    }

    /// Why a sender does not go on with a transfer that nobody has all of.
    fn standing(&self, number: Transfer) -> Option<Step> {
        match number.state(&self.shared().transfer) {
            Some(State::Pending) => match self.shared().closing.load(Ordering::Relaxed) {
                OPEN => None,
                other => Some(Step::Failed(self.not_open(other))),
            },
            Some(State::Broken) => Some(Step::Again),
            _ => Some(Step::Failed(SendFailure::Corrupted)),
        }
    }

    /// Takes a transfer back, unless its receiver has all of it by now.
    fn give_up(&self, number: Transfer, failure: SendFailure) -> Result<(), SendFailure> {
        let word = &self.shared().transfer;
        if !number.decide(word, State::GivenUp) && number.state(word) == Some(State::Taken) {
            return Ok(());
        }
        Err(failure)
    }

    /// Tries until there is something to say. A try has patience for each step, since a receiver is to do its part.
    fn each(&self, peers: &impl Peers, wait: Wait, mut attempt: impl FnMut() -> Option<Step>) -> Step {
        let attempt = || or_learn(peers, attempt());
        let waited = eventcount::wait_until(&self.shared().not_full, patient(wait), attempt);
        waited.unwrap_or_else(|expired| Step::Failed(Refusal::from(expired).of_send(wait)))
    }

    /// Bytes of a piece: four of them fit the ring, so that both sides have something to do; where it is small, one.
    fn piece_bytes(&self) -> usize {
        let words = if self.size >= 64 { self.size / 4 } else { self.size };
        (words - FIRST_HEAD) as usize * 8
    }

    /// Puts a piece into the ring, under the senders' lock. `None` if there is no room.
    fn put_piece(&self, number: Transfer, total: Option<usize>, bytes: &[u8]) -> Option<Step> {
        let heading = if total.is_some() { FIRST_HEAD } else { HEAD };
        let needed = heading + words::words_for(bytes.len()) as u32;
        let tail = match self.room_for(needed) {
            Ok(tail) => tail?,
            Err(failure) => return Some(Step::Failed(failure)),
        };
        let first = if total.is_some() { FIRST } else { 0 };
        let head_words = [MESSAGE | PIECE | first | bytes.len() as u64, number.0, total.unwrap_or(0) as u64];
        for (n, word) in head_words.iter().take(heading as usize).enumerate() {
            self.ring[self.wrapped(tail.index as usize + n)].store(*word, Ordering::Relaxed);
        }
        self.copy_in(self.wrapped(tail.index as usize + heading as usize), bytes);
        // Release: pairs with the Acquire in `at_head`. Invariant 2 of the channel.
        self.header.tail.0.store(tail.past_message(needed, self.size).pack(), Ordering::Release);
        Some(Step::Done)
    }

    /// Takes the message that begins with a piece at the head of the ring, under the receivers' lock; then, if that came
    /// to nothing, whatever comes after it. `None` if there is nothing left.
    #[cold]
    pub(super) fn take_pieces<P: Peers>(
        &self,
        buffer: &mut [u8],
        peers: &P,
        wait: Wait,
    ) -> Option<Result<usize, RecvFailure>> {
        // Each turn takes something from the ring, which others may fill: as many as a peer sends.
        loop {
            // Before the ring: see `take`.
            let closing = self.shared().closing.load(Ordering::Acquire);
            let piece = match self.at_head() {
                Ok(AtHead::Piece(piece)) => piece,
                // Nobody else moves the head, so it stays a message.
                Ok(AtHead::Message(_)) => return self.take(buffer, None::<(&P, Wait)>),
                Ok(AtHead::Nothing) => return Self::nothing(closing),
                Err(failure) => return Some(Err(failure)),
            };
            let Some(total) = self.begins(&piece) else { continue };
            let Some(buffer) = buffer.get_mut(..total) else {
                return Some(Err(RecvFailure::TooShort { needed: total }));
            };
            match self.assemble(piece, buffer, peers, wait) {
                Received::All => return Some(Ok(total)),
                Received::Dropped => {}
                Received::Failed(failure) => {
                    piece.transfer.decide(&self.shared().transfer, State::Broken);
                    eventcount::notify(&self.shared().not_full);
                    return Some(Err(failure));
                }
            }
        }
    }

    /// The length of the message that begins with this piece. Another piece is thrown away, under the receivers' lock.
    pub(super) fn begins(&self, piece: &Piece) -> Option<usize> {
        let pending = piece.transfer.state(&self.shared().transfer) == Some(State::Pending);
        let total = piece.total.filter(|_| pending);
        if total.is_none() {
            // Waste, or the rest of what somebody began to receive: invariant 4.
            piece.transfer.decide(&self.shared().transfer, State::Broken);
            self.skip(piece);
        }
        total
    }

    /// Copies the pieces of one message, from the first on.
    fn assemble(&self, first: Piece, buffer: &mut [u8], peers: &impl Peers, wait: Wait) -> Received {
        let word = &self.shared().transfer;
        let mut piece = first;
        let mut rest = buffer;
        loop {
            // No piece is empty: what fits does not go in pieces.
            if piece.len == 0 || piece.len > rest.len() {
                return Received::Failed(RecvFailure::Corrupted);
            }
            let (to, after) = rest.split_at_mut(piece.len);
            self.copy_out(piece.bytes_at, to);
            rest = after;
            if rest.is_empty() {
                let taken = piece.transfer.decide(word, State::Taken); // invariant 3
                self.skip(&piece);
                return if taken { Received::All } else { Received::Dropped };
            }
            self.skip(&piece);
            let next = eventcount::wait_until(&self.shared().not_empty, patient(wait), || {
                // Before the ring: what was put in before the end is seen. Acquire: pairs with the Release in `close`.
                let over = self.shared().closing.load(Ordering::Acquire) == CLOSED
                    || piece.transfer.state(word) != Some(State::Pending);
                let next = match self.at_head() {
                    Ok(AtHead::Nothing) if over => Some(Received::Dropped),
                    Ok(AtHead::Nothing) => None,
                    Ok(AtHead::Message(_)) => Some(Received::Dropped),
                    Ok(AtHead::Piece(next)) if next.transfer != piece.transfer => Some(Received::Dropped),
                    Ok(AtHead::Piece(next)) if next.total.is_some() => Some(Received::Failed(RecvFailure::Corrupted)),
                    Ok(AtHead::Piece(next)) => {
                        piece = next;
                        Some(Received::All)
                    }
                    Err(failure) => Some(Received::Failed(failure)),
                };
                or_learn(peers, next)
            });
            match next {
                Ok(Received::All) => {}
                Ok(ended) => return ended,
                Err(expired) => return Received::Failed(Refusal::from(expired).of_recv(wait)),
            }
        }
    }

    /// Gives back the room of a piece at the head, under the receivers' lock.
    fn skip(&self, piece: &Piece) {
        // Release: pairs with the Acquire in `room_for`. Invariant 2 of the channel.
        self.header.head.0.store(piece.head.past_message(piece.taken, self.size).pack(), Ordering::Release);
        eventcount::notify(&self.shared().not_full);
    }

    /// What is at the head, under the receivers' lock.
    pub(super) fn at_head(&self) -> Result<AtHead, RecvFailure> {
        let corrupted = || RecvFailure::Corrupted;
        let head = self.position(&self.header.head.0, Ordering::Relaxed).ok_or_else(corrupted)?;
        // Acquire: pairs with the Release in `put` and `put_piece`.
        let tail = self.position(&self.header.tail.0, Ordering::Acquire).ok_or_else(corrupted)?;
        let at_head = self.look(head, tail);
        if at_head.is_ok() {
            self.header.receivers.0.other.store(tail.pack(), Ordering::Relaxed); // invariant 3 of the channel
        }
        at_head
    }

    /// What is at `head`, before a `tail` that was loaded with Acquire, under the receivers' lock.
    pub(super) fn look(&self, head: Position, tail: Position) -> Result<AtHead, RecvFailure> {
        let used = Position::used(head, tail, self.size).ok_or(RecvFailure::Corrupted)?;
        if used == 0 {
            return Ok(AtHead::Nothing);
        }
        // Each word is read once, then checked.
        let word = |n: usize| self.ring[self.wrapped(head.index as usize + n)].load(Ordering::Relaxed);
        let marked = word(0);
        if marked & (MESSAGE | PIECE) != MESSAGE | PIECE {
            return Found::checked(head, marked ^ MESSAGE, used).map(AtHead::Message);
        }
        let is_first = marked & FIRST != 0;
        let heading = if is_first { FIRST_HEAD } else { HEAD };
        let len = marked & !(MESSAGE | PIECE | FIRST);
        let taken = u64::from(heading) + len.div_ceil(8);
        if taken > u64::from(used) {
            return Err(RecvFailure::Corrupted);
        }
        let total = match is_first {
            true => Some(usize::try_from(word(2)).ok().filter(|total| *total <= isize::MAX as usize)),
            false => None,
        };
        Ok(AtHead::Piece(Piece {
            transfer: Transfer(word(1) & NUMBERS),
            total: total.map(|total| total.ok_or(RecvFailure::Corrupted)).transpose()?,
            bytes_at: self.wrapped(head.index as usize + heading as usize),
            len: len as usize, // less than the ring
            taken: taken as u32,
            head,
        }))
    }

    /// An index that may be beyond the end by less than the ring.
    pub(super) fn wrapped(&self, index: usize) -> usize {
        let size = self.size as usize;
        if index >= size { index - size } else { index }
    }
}
