//! The board: what the processes of one kill point share beside the object under test.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap;

use crate::os::{Gate, share};

/// Who a process is. Its number is also its participant number, but for the newcomer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    Victim = 1,
    Second,
    Third,
    Survivor,
    Fresh,
    Holder,
    Barger,
    Bystander,
    Script,
    /// Whoever has the place of the dead holder.
    Newcomer,
}

impl Role {
    /// The participant number.
    pub fn id(self) -> ParticipantId {
        match self {
            Self::Newcomer => Self::Holder as ParticipantId,
            role => role as ParticipantId,
        }
    }

    /// The owner it writes into words.
    pub fn owner(self) -> Owner {
        let tag = if self == Self::Newcomer { 2 } else { 1 };
        Owner::new(self.id(), tag).expect("a role is a valid participant")
    }
}

/// What one process tells the others.
#[repr(C)]
#[derive(Debug)]
pub struct Cue {
    /// How far it is: 0 not begun, then as the scenario numbers its stages.
    pub stage: AtomicU32,
    /// It is where the scenario wants it.
    pub ready: Gate,
    /// It may go on.
    pub go: Gate,
    /// It has finished.
    pub done: Gate,
    /// What its operation returned.
    pub result: AtomicU64,
    /// What its operation brought.
    pub value: AtomicU64,
    /// When it asked, and when it got what it asked for (monotonic ns).
    pub asked: AtomicU64,
    /// See `asked`.
    pub got: AtomicU64,
}

/// Words of the arena.
pub const ARENA: usize = 4096;

/// All that is shared. Zeroed is the beginning of a kill point.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Board {
    /// The object under test.
    pub arena: [AtomicU64; ARENA],
    /// The data that a lock protects: equal outside every critical section.
    pub pair: [AtomicU64; 2],
    /// Whom the kernel knows to be dead, by role.
    pub dead: [AtomicU8; 64],
    /// One per role.
    pub cues: [Cue; 16],
    /// What a survivor read.
    pub log: [AtomicU64; 1024],
    /// How much of the log is filled.
    pub logged: AtomicU64,
    /// Whether sleeps are capped in this kill point.
    pub uncapped: AtomicU32,
}

impl Board {
    /// A board of this process and its children.
    pub fn new() -> &'static Self {
        // SAFETY: all fields are atomics, for which zero is valid.
        unsafe { share::<Self>() }
    }

    /// Back to the beginning; nobody else may be about.
    pub fn clear(&self) {
        let zero = |words: &[AtomicU64]| words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        zero(&self.arena);
        zero(&self.log);
        self.clear_cast();
        zero(&self.pair);
        self.dead.iter().for_each(|dead| dead.store(0, Ordering::Relaxed));
    }

    /// Forgets what the processes said, and keeps the object and the dead.
    pub fn clear_cast(&self) {
        for cue in &self.cues {
            // SAFETY: a cue is atomics all through, and nobody else is about; all zeros is its beginning.
            unsafe { std::ptr::write_bytes(std::ptr::from_ref(cue).cast_mut(), 0, 1) };
        }
        self.logged.store(0, Ordering::Relaxed);
    }

    /// What `role` says.
    pub fn cue(&self, role: Role) -> &Cue {
        &self.cues[role as usize]
    }

    /// Writes a word into the log.
    pub fn note(&self, word: u64) {
        let at = self.logged.load(Ordering::Relaxed);
        if let Some(entry) = self.log.get(at as usize) {
            entry.store(word, Ordering::Relaxed);
        }
        self.logged.store(at + 1, Ordering::Release);
    }

    /// Makes a death known to all.
    pub fn bury(&self, role: Role) {
        self.dead[role as usize].store(1, Ordering::SeqCst);
    }

    /// Somebody lives in the place of the dead `role`.
    pub fn revive(&self, role: Role) {
        self.dead[role as usize].store(0, Ordering::SeqCst);
    }

    /// Applies the cap switch to the calling process.
    pub fn apply_cap(&self) {
        nap::set_cap_enabled(self.uncapped.load(Ordering::Relaxed) == 0);
    }
}

/// The oracle over the board's table of the dead.
#[derive(Clone, Copy, Debug)]
pub struct Oracle(pub &'static Board);

impl Peers for Oracle {
    fn fate(&self, participant: ParticipantId) -> Fate {
        match self.0.dead.get(usize::from(participant)) {
            None => Fate::Invalid,
            Some(dead) if dead.load(Ordering::SeqCst) != 0 => Fate::Dead,
            Some(_) => Fate::Alive,
        }
    }
}

/// A hash of what is left after a kill (FNV-1a, word by word).
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Digest {
    /// Of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// With one more word.
    pub fn word(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29))
    }

    /// With many words.
    pub fn words(self, words: &[AtomicU64]) -> Self {
        words.iter().fold(self, |digest, word| digest.word(word.load(Ordering::Relaxed)))
    }

    /// The hash.
    pub fn value(self) -> u64 {
        self.0
    }
}
