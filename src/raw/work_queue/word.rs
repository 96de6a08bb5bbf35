//! The words of places, and the entries of the ring.

use crate::raw::ParticipantId;

/// What a place's word says: `generation:32 | deliveries:16 | state:3 | participant:13`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub generation: u32,
    pub deliveries: u16,
    pub state: State,
}

/// The state of a place. A word with any other bits is no state at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is here.
    Free,
    /// A producer writes its message.
    Writing(ParticipantId),
    /// A message to be taken.
    Ready,
    /// A message that a consumer works on.
    Leased(ParticipantId),
    /// The same, to be finished by whoever of that participant says so.
    Kept(ParticipantId),
    /// A message that was delivered too often.
    Aside,
    /// The same, that somebody looks at.
    Inspected(ParticipantId),
}

const STATE_SHIFT: u32 = 13;
const PARTICIPANT_MASK: u64 = (1 << STATE_SHIFT) - 1;
const STATE_MASK: u64 = 7;
const DELIVERIES_SHIFT: u32 = 16;
const GENERATION_SHIFT: u32 = 32;

const FREE: u64 = 0;
const WRITING: u64 = 1;
const READY: u64 = 2;
const LEASED: u64 = 3;
const ASIDE: u64 = 4;
const INSPECTED: u64 = 5;
const KEPT: u64 = 6;

impl State {
    /// Whose the place is at the moment, if it is somebody's.
    pub fn owner(self) -> Option<ParticipantId> {
        match self {
            Self::Writing(owner) | Self::Leased(owner) | Self::Kept(owner) | Self::Inspected(owner) => Some(owner),
            Self::Free | Self::Ready | Self::Aside => None,
        }
    }

    /// Whether the message that is here, if any, is nobody's work any more.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Free | Self::Aside | Self::Inspected(_))
    }
}

impl Word {
    #[inline(always)]
    pub fn pack(self) -> u64 {
        let (state, owner) = match self.state {
            State::Free => (FREE, 0),
            State::Writing(owner) => (WRITING, owner),
            State::Ready => (READY, 0),
            State::Leased(owner) => (LEASED, owner),
            State::Aside => (ASIDE, 0),
            State::Inspected(owner) => (INSPECTED, owner),
            State::Kept(owner) => (KEPT, owner),
        };
        u64::from(self.generation) << GENERATION_SHIFT
            | u64::from(self.deliveries) << DELIVERIES_SHIFT
            | state << STATE_SHIFT
            | u64::from(owner)
    }

    #[inline]
    pub fn unpack(word: u64) -> Option<Self> {
        let owner = (word & PARTICIPANT_MASK) as ParticipantId;
        let state = match (word >> STATE_SHIFT & STATE_MASK, owner) {
            (FREE, 0) => State::Free,
            (WRITING, 1..) => State::Writing(owner),
            (READY, 0) => State::Ready,
            (LEASED, 1..) => State::Leased(owner),
            (ASIDE, 0) => State::Aside,
            (INSPECTED, 1..) => State::Inspected(owner),
            (KEPT, 1..) => State::Kept(owner),
            _ => return None,
        };
        Some(Self {
            generation: (word >> GENERATION_SHIFT) as u32,
            deliveries: (word >> DELIVERIES_SHIFT) as u16,
            state,
        })
    }

    /// Without a message.
    #[inline(always)]
    pub fn free(self) -> Self {
        Self { deliveries: 0, state: State::Free, ..self }
    }

    /// The same in another state.
    #[inline(always)]
    pub fn now(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Delivered once more.
    #[inline(always)]
    pub fn leased(self, me: ParticipantId) -> Self {
        Self { deliveries: self.deliveries.saturating_add(1), state: State::Leased(me), ..self }
    }

    /// What becomes of it when its owner gives it up, or is dead; `None` if it has no owner. `limit`: deliveries after which
    /// a message is set aside, or 0.
    pub fn given_up(self, limit: u32) -> Option<Self> {
        let generation = self.generation.wrapping_add(1);
        match self.state {
            State::Writing(_) => Some(self.free()),
            State::Leased(_) | State::Kept(_) => {
                let once_more = limit == 0 || u32::from(self.deliveries) < limit;
                let state = if once_more { State::Ready } else { State::Aside };
                Some(Self { generation, state, ..self })
            }
            State::Inspected(_) => Some(Self { generation, state: State::Aside, ..self }),
            State::Free | State::Ready | State::Aside => None,
        }
    }

    // What follows spares the usual ways the branches of `unpack`.

    /// Ready, and not delivered yet.
    #[inline(always)]
    pub fn is_fresh(word: u64) -> bool {
        word as u32 == (READY << STATE_SHIFT) as u32
    }

    /// What becomes of it when `me` leases it.
    #[inline(always)]
    pub fn lease_of_fresh(word: u64, me: ParticipantId) -> u64 {
        word + (1 << DELIVERIES_SHIFT | (LEASED - READY) << STATE_SHIFT | u64::from(me))
    }

    /// A lease's.
    #[inline(always)]
    pub fn is_of_lease(word: u64) -> bool {
        matches!(word >> STATE_SHIFT & STATE_MASK, LEASED | INSPECTED)
    }

    /// What becomes of it when the work is done.
    #[inline(always)]
    pub fn freed(word: u64) -> u64 {
        word >> GENERATION_SHIFT << GENERATION_SHIFT
    }

    /// Nobody's, and nothing in it.
    #[inline(always)]
    pub fn is_free(word: u64) -> bool {
        word as u32 & (STATE_MASK << STATE_SHIFT | PARTICIPANT_MASK) as u32 == 0
    }

    /// Its generation.
    #[inline(always)]
    pub fn generation_of(word: u64) -> u32 {
        (word >> GENERATION_SHIFT) as u32
    }

    /// Whose the word says that the place is.
    #[inline(always)]
    pub fn owner_of(word: u64) -> ParticipantId {
        (word & PARTICIPANT_MASK) as ParticipantId
    }

    /// A message that was delivered before: no entry of the ring leads to it.
    #[inline(always)]
    pub fn is_returned(self) -> bool {
        self.state == State::Ready && self.deliveries > 0
    }
}

/// Bits of a generation that an entry repeats.
const STAMP_BITS: u32 = 11;
const STAMP_MASK: u32 = (1 << STAMP_BITS) - 1;
/// Bits of an entry between its lap and the number of a place.
const INNER_BITS: u32 = STAMP_BITS + 1;

/// The entries of a ring whose places take `shift` bits: `lap | end:1 | stamp:11 | place:shift`.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    pub shift: u32,
}

impl Entries {
    #[inline(always)]
    fn lap_shift(self) -> u32 {
        self.shift + INNER_BITS
    }

    #[inline(always)]
    fn lap_of(self, position: u64) -> u64 {
        position >> self.shift << self.lap_shift()
    }

    /// The entry at `position` for a place of this generation.
    #[inline(always)]
    pub fn entry(self, position: u64, place: u32, generation: u32) -> u64 {
        self.lap_of(position) | u64::from(generation & STAMP_MASK) << self.shift | u64::from(place)
    }

    /// The entry at `position` behind which there is nothing any more.
    pub fn end(self, position: u64) -> u64 {
        self.lap_of(position) | 1 << (self.shift + STAMP_BITS)
    }

    pub fn is_end(self, entry: u64) -> bool {
        entry >> (self.shift + STAMP_BITS) & 1 != 0
    }

    /// The place that an entry names; the caller checks that there is one.
    #[inline(always)]
    pub fn place(self, entry: u64) -> usize {
        (entry & ((1 << self.shift) - 1)) as usize
    }

    /// Whether an entry was made for this generation, as far as it tells.
    #[inline(always)]
    pub fn is_of(self, entry: u64, generation: u32) -> bool {
        (entry >> self.shift) as u32 & STAMP_MASK == generation & STAMP_MASK
    }

    /// How many laps the entry is ahead of the position; negative: behind. Laps wrap, at 2^52 positions.
    #[inline(always)]
    pub fn laps_ahead(self, entry: u64, position: u64) -> i64 {
        (entry.wrapping_sub(self.lap_of(position)) as i64) >> self.lap_shift()
    }
}

/// The later of two positions.
#[inline(always)]
pub fn later(a: u64, b: u64) -> u64 {
    if (a.wrapping_sub(b) as i64) > 0 { a } else { b }
}
