//! A thread of loom as a process: who it is in each segment, and how it ends.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use super::attachment::Attachment;
use crate::layout::mutex::LockWord;
use crate::primitive::{death, modelled};
use crate::raw::{Owner, ParticipantId};

/// A process in one segment.
#[derive(Debug)]
pub struct ThreadRecord {
    owner: Owner,
}

impl ThreadRecord {
    /// The record of this owner.
    pub fn new(owner: Owner) -> Self {
        Self { owner }
    }

    /// Who the calling thread is in this segment.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The process in this segment: its number, and which of the lives that had it.
    pub fn participant(&self) -> (ParticipantId, u32) {
        (self.owner.participant(), 0)
    }

    /// Whether the calling thread is `owner` in this segment.
    pub fn is(&self, owner: Owner) -> bool {
        self.owner == owner
    }

    /// A thread does not end in a model while its process lives, so nobody keeps a list of what it holds.
    pub fn hold(&self, _: &LockWord) {}
}

/// A segment that a process has joined. The weak pointer keeps the address from being another segment's.
type Joined = (Weak<Attachment>, ParticipantId);

modelled::thread_local! {
    /// The segments that the process has joined for which the calling thread stands.
    static JOINED: RefCell<Vec<Joined>> = RefCell::new(Vec::new());
}

std::thread_local! {
    /// How many were killed so far. A model runs in the thread that starts it.
    static KILLS: Cell<usize> = const { Cell::new(0) };
}

/// Notes that the calling thread has joined a segment.
pub fn note(attachment: Weak<Attachment>, participant: ParticipantId) {
    JOINED.with(|joined| joined.borrow_mut().push((attachment, participant)));
}

/// The calling thread's number in a segment, if it has joined it and lives.
pub fn find(attachment: &Attachment) -> Option<ParticipantId> {
    if death::is_dying() {
        return None;
    }
    let of = |joined: &Joined| std::ptr::eq(joined.0.as_ptr(), attachment);
    JOINED.try_with(|joined| joined.borrow().iter().find(|joined| of(joined)).map(|joined| joined.1)).ok()?
}

/// Runs `f` as a process of its own, which is killed right before step number `step` that it makes, counted from 0.
/// Returns `None` if it was killed, what `f` returned if it finished first.
///
/// To be called inside a model. A *step* is an operation on shared memory by one of our calls, or a sleep or a wake-up in
/// one; opening an object is one step. The process is a participant of its own, as a forked child is: it may use handles
/// made before, and holds nothing of the thread that calls. Its death unwinds `f`, and no guard or handle that is dropped
/// meanwhile changes anything in shared memory.
///
/// Either way the process is over when this returns. What it held is told of as in reality: the thread that stood for it
/// makes its end known, then recovers it, while the other threads run on. So those who ask sooner, later or not at all are
/// all explored.
pub fn run_until<R>(step: usize, f: impl FnOnce() -> R) -> Option<R> {
    let outer = JOINED.with(RefCell::take);
    let outcome = death::run_until(step, f);
    let joined = JOINED.with(|joined| joined.replace(outer));
    if outcome.is_none() {
        KILLS.set(KILLS.get() + 1);
    }
    for (attachment, participant) in joined {
        if let Some(attachment) = attachment.upgrade() {
            attachment.end_of(participant);
        }
    }
    outcome
}

/// Calls `explore(step)` for each step from 0 on, until nobody was killed in it; returns how many steps there were.
/// `explore` runs a model in which somebody [is killed](run_until) at that step.
///
/// # Panics
/// If nobody is killed at step 0: then the model kills nobody at all.
pub fn at_every_step(explore: impl Fn(usize)) -> usize {
    for step in 0.. {
        let before = KILLS.get();
        explore(step);
        if KILLS.get() == before {
            assert!(step > 0, "the model killed nobody");
            return step;
        }
    }
    unreachable!("a process has fewer steps than there are numbers")
}
