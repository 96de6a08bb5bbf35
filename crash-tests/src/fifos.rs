//! What the queue scenarios ask of a queue.
//!
//! The scenarios are [`chain`](crate::chain) (victims one after another, then fresh survivors) and
//! [`asleep`](crate::asleep) (victims among sleepers).

use ringfence::sys::nap::{Deadline, Wait};

use crate::board::{Board, Digest, Role};

/// Does not wait at all.
pub const NOW: Wait = Wait { deadline: Deadline::Now, interruptible: false };

/// Words of every message. All are equal in a whole one.
pub const WORDS: usize = 3;

/// Why there was no message, or no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// Nothing there.
    Empty,
    /// No room.
    Full,
    /// Somebody is writing.
    Busy,
    /// Shut down.
    Closed,
    /// A message came, and it was torn.
    Torn,
    /// Anything else, as the object puts it.
    Other,
}

impl No {
    /// As a word of the board.
    pub fn code(self) -> u64 {
        self as u64 + 2
    }

    /// And back.
    pub fn of(code: u64) -> Self {
        [Self::Empty, Self::Full, Self::Busy, Self::Closed, Self::Torn]
            .into_iter()
            .find(|no| no.code() == code)
            .unwrap_or(Self::Other)
    }
}

/// A queue of messages of [`WORDS`] words under test, made of words of the arena or of anything else.
pub trait Fifo: 'static {
    /// What a process needs to use it.
    type Joined;
    /// Whether all of it lies in the arena, so that its state can be put back.
    const IN_ARENA: bool = true;
    /// Whether a message whose consumer was killed comes again, perhaps behind others, unless it was about to report it
    /// done ([`reported`](crate::work_queue::reported)).
    const REDELIVERS: bool = false;
    /// A fresh one, for exactly `capacity` messages. The board is cleared. Called in the rig's own process.
    fn reset(board: &'static Board, capacity: usize);
    /// Joins.
    fn join(board: &'static Board, capacity: usize, role: Role) -> Self::Joined;
    /// Appends a message that consists of `value`.
    fn push(joined: &mut Self::Joined, value: u64, wait: Wait) -> Result<(), No>;
    /// Takes the first message.
    fn pop(joined: &mut Self::Joined, wait: Wait) -> Result<u64, No>;
    /// What a participant does for the dead.
    fn recover(joined: &mut Self::Joined, dead: Role);
    /// How many messages there are, nearly.
    fn len(joined: &mut Self::Joined) -> usize;
    /// Shuts it down for all; `false` if it knows no such thing.
    fn shutdown(_joined: &mut Self::Joined) -> bool {
        false
    }
    /// The place of a process, if it has one; 0 where there are no places.
    fn place(_joined: &Self::Joined, _pid: i32) -> Option<u64> {
        Some(0)
    }
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena)
    }
}

/// A message that consists of `value`.
pub fn message(value: u64) -> [u64; WORDS] {
    [value; WORDS]
}

/// What the message consists of.
pub fn whole(message: [u64; WORDS]) -> Result<u64, No> {
    if message.iter().all(|&word| word == message[0]) { Ok(message[0]) } else { Err(No::Torn) }
}
