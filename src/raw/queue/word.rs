//! Slot words and positions of the queue: `lap:48 | state:3 | participant:13`.

use crate::raw::ParticipantId;

/// What a slot's word says. A word with any other bits is no state at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    Writing(ParticipantId),
    Full,
    Closed,
}

pub const LAP_SHIFT: u32 = 16;
const STATE_SHIFT: u32 = 13;
const PARTICIPANT_MASK: u64 = (1 << STATE_SHIFT) - 1;

pub const EMPTY: u64 = 0;
pub const WRITING: u64 = 1 << STATE_SHIFT;
pub const FULL: u64 = 2 << STATE_SHIFT;
pub const CLOSED: u64 = 3 << STATE_SHIFT;

/// A word: `lap` (its low 48 bits) and a state.
#[inline(always)]
pub fn word(lap: u64, state: u64) -> u64 {
    lap << LAP_SHIFT | state
}

pub fn decode(word: u64) -> Option<State> {
    let participant = (word & PARTICIPANT_MASK) as ParticipantId;
    match (word & ((1 << LAP_SHIFT) - 1) & !PARTICIPANT_MASK, participant) {
        (EMPTY, 0) => Some(State::Empty),
        (WRITING, 1..) => Some(State::Writing(participant)),
        (FULL, 0) => Some(State::Full),
        (CLOSED, 0) => Some(State::Closed),
        _ => None,
    }
}

/// How many laps the word is ahead of `lap`; negative: behind. Laps wrap at 2^48.
pub fn laps_ahead(word: u64, lap: u64) -> i64 {
    (word.wrapping_sub(lap << LAP_SHIFT) as i64) >> LAP_SHIFT
}

/// The later of two positions.
#[inline(always)]
pub fn later(a: u64, b: u64) -> u64 {
    if (a.wrapping_sub(b) as i64) > 0 { a } else { b }
}
