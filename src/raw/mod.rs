//! The algorithms over the structs of [`layout`](crate::layout): no mapping, no names, no allocation.
//!
//! What loom checks is exactly this code. An algorithm is told who it runs as ([`Owner`]) and asks who is dead
//! ([`Peers`]); everything else it needs lies in the shared words it is handed.

pub mod auto_event;
pub mod backoff;
pub mod barrier;
pub mod blackboard;
pub mod broadcast;
pub mod byte_ring;
pub mod cell;
pub mod channel;
pub mod condvar;
pub mod event;
pub mod eventcount;
pub mod mutex;
pub mod once;
pub mod pipe;
pub mod queue;
pub mod reentrant;
pub mod ring;
pub mod rwlock;
pub mod semaphore;
pub mod spsc;
pub mod wait_any;
pub mod words;
pub mod work_queue;

use core::num::NonZeroU32;

/// Number of a participant in its segment, 1..=8191; 0 is nobody.
pub type ParticipantId = u16;

pub use crate::layout::MAX_PARTICIPANTS;

const PARTICIPANT_BITS: u32 = 13;
const PARTICIPANT_MASK: u32 = (1 << PARTICIPANT_BITS) - 1;
/// Tags are 17 bits wide: they wrap after 131,072 threads of one slot.
pub const TAG_MASK: u32 = (1 << 17) - 1;

/// A thread of a participant, as it stands in an owned word: `participant:13 | tag:17`, never 0.
///
/// The tag comes from a counter in the participant's slot that survives the slot's reuse, so a compare-and-swap that
/// somebody decided on long ago cannot hit a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Owner(NonZeroU32);

impl Owner {
    /// The owner for a participant (1..=8191) and the low 17 bits of a tag; `None` for a number out of range.
    pub fn new(participant: ParticipantId, tag: u32) -> Option<Self> {
        if participant > MAX_PARTICIPANTS || participant == 0 {
            return None;
        }
        NonZeroU32::new(u32::from(participant) | (tag & TAG_MASK) << PARTICIPANT_BITS).map(Self)
    }

    /// The participant.
    pub fn participant(self) -> ParticipantId {
        (self.0.get() & PARTICIPANT_MASK) as ParticipantId
    }

    /// The tag.
    pub fn tag(self) -> u32 {
        self.0.get() >> PARTICIPANT_BITS
    }

    /// The 30 bits as they stand in a word.
    pub fn bits(self) -> u32 {
        self.0.get()
    }
}

/// What is known of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives, is stopped, or its death cannot be proven.
    Alive,
    /// It is dead: the kernel says so. It will never touch the segment again.
    Dead,
    /// No such number in this segment: the word it stood in is corrupted.
    Invalid,
}

/// Who else is there. Asked on slow paths only (about 0.3 us a question).
pub trait Peers {
    /// The fate of a participant at this moment. Load the word that names it *before* you ask, and change the word by
    /// an exact-value compare-and-swap: only then does the answer hold for what you change.
    fn fate(&self, participant: ParticipantId) -> Fate;

    /// Which of the lives that had this number is the last: two that are told apart so are two participants. A death may
    /// or may not change it; [`fate`](Self::fate) says whether the last one lives.
    fn life(&self, _participant: ParticipantId) -> u32 {
        0
    }

    /// Whether somebody holds this [end](mod@pipe) of an object. A question that cannot be asked has the answer "yes".
    fn is_held(&self, _end: u64) -> bool {
        true
    }

    /// Runs `then` while nobody holds this end, and nobody can begin to; `false` if somebody does, and it was not run.
    fn while_unheld(&self, _end: u64, _then: &mut dyn FnMut()) -> bool {
        false
    }

    /// Asked by who finds nothing to do in a channel and is about to wait: whether nobody is at its other end any more.
    /// What follows from that is done by then. An object without ends never tells.
    fn left_alone(&self) -> bool {
        false
    }
}
