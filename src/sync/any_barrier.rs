//! The barrier as a named object: as C sees it. [`Barrier`](super::Barrier) is this with Rust's guards.

use core::cell::RefCell;
use std::sync::OnceLock;

use super::barrier::BarrierError;
use crate::error::Error;
use crate::layout::barrier::{BarrierHeader, MAX_PARTIES, bytes};
use crate::raw::barrier::{self, Arrival, Refused};
use crate::raw::{Owner, ParticipantId};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible};

impl From<Refused> for BarrierError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TimedOut => Self::TimedOut,
            Refused::Interrupted => Self::Interrupted,
            Refused::Broken => Self::Broken,
            Refused::PartyDied => Self::PartyDied,
            Refused::NotOwner => Self::NotOwner,
            Refused::TooMany => Self::TooMany,
            Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// An open barrier.
#[derive(Debug)]
pub struct AnyBarrier {
    object: Object,
    participants: u16,
    parties: u32,
    spin: bool,
    interruptible: Interruptible,
}

/// A wait that a signal ended: its thread stands there as before.
struct Interrupted {
    object: (u64, u32),
    owner: Owner,
    arrival: Arrival,
}

thread_local! {
    static INTERRUPTED: RefCell<Vec<Interrupted>> = const { RefCell::new(Vec::new()) };
}

/// Whether so many can run at once, each on a processor of its own.
fn can_run_at_once(parties: u32) -> bool {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    let ask = || std::thread::available_parallelism().map_or(1, |count| count.get().min(u32::MAX as usize) as u32);
    parties <= *PROCESSORS.get_or_init(ask)
}

impl AnyBarrier {
    /// Opens the barrier called `name`, or creates it for `parties`; `None` takes what is there.
    pub fn open(segment: &Segment, name: &str, mode: Mode, parties: Option<usize>) -> Result<Self, Error> {
        let parties = parties.map(|parties| u32::try_from(parties).unwrap_or(u32::MAX));
        if parties.is_some_and(|parties| !(1..=MAX_PARTIES).contains(&parties)) {
            return Err(Error::InvalidArgument("a barrier has 1 to 65,535 parties"));
        }
        let participants = *segment.attachment().view().participants().end();
        let shape = Shape {
            kind: Kind::Barrier,
            element: 0,
            size: 0,
            align: 1,
            tag: [0; 32],
            capacity: parties.unwrap_or(0).into(),
            bytes: bytes(participants),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            // SAFETY: the object is at least a header long and aligned to 128, and nobody else sees it yet. Zeroed records
            // are nobody's.
            unsafe { base.cast::<BarrierHeader>().write(BarrierHeader::new()) };
        })?;
        let parties = u32::try_from(object.shape().capacity).ok().filter(|parties| (1..=MAX_PARTIES).contains(parties));
        let parties = parties.ok_or(Error::Corrupted("a barrier has a number of parties that it cannot have"))?;
        let this =
            Self { object, participants, parties, spin: can_run_at_once(parties), interruptible: Interruptible::new() };
        this.fits().ok_or(Error::Corrupted("a barrier is shorter than its records"))?;
        Ok(this)
    }

    #[inline]
    fn fits(&self) -> Option<barrier::Barrier<'_>> {
        let (base, len) = (self.object.base(), self.object.len());
        // SAFETY: the object is mapped as long as it lives, aligned to 128, and accessed atomically only.
        unsafe { barrier::Barrier::at(base, len, self.participants, self.parties, self.spin) }
    }

    #[inline]
    fn raw(&self) -> barrier::Barrier<'_> {
        match self.fits() {
            Some(raw) => raw,
            None => unreachable!("checked at open, and private since"),
        }
    }

    #[inline]
    fn enter(&self) -> Result<&ThreadRecord, BarrierError> {
        self.object.enter().map_err(BarrierError::Segment)
    }

    /// Takes out the wait of the thread `me` that a signal ended, if there is one.
    #[inline]
    fn interrupted(&self, me: Owner) -> Option<Arrival> {
        let take = |waits: &RefCell<Vec<Interrupted>>| {
            let mut waits = waits.borrow_mut();
            if waits.is_empty() {
                return None;
            }
            let object = self.object.identity();
            let place = waits.iter().position(|wait| wait.object == object && wait.owner == me)?;
            Some(waits.swap_remove(place).arrival)
        };
        INTERRUPTED.try_with(take).ok().flatten()
    }

    /// Arrives and waits for the others: the number of those who were there before, and whether the caller is the last. With
    /// `lead` the last one is to call [`release`](Self::release), and the others wait for that. A wait that a signal ended
    /// goes on.
    pub fn wait(&self, deadline: Deadline, lead: bool) -> Result<(u32, bool), BarrierError> {
        let thread = self.enter()?;
        let (me, life) = (thread.owner(), thread.participant().1);
        let (raw, peers, wait) = (self.raw(), self.object.peers(), self.interruptible.wait(deadline));
        let arrival = self.interrupted(me).map_or_else(|| raw.arrive(me, life, peers, wait, lead), Ok);
        let result = arrival.and_then(|arrival| {
            if !arrival.last {
                let over = raw.finish(arrival, me, peers, wait);
                if over == Err(Refused::Interrupted) {
                    self.keep(me, arrival);
                }
                over?;
            }
            Ok((arrival.index, arrival.last))
        });
        self.object.settle();
        Ok(result?)
    }

    #[cold]
    fn keep(&self, owner: Owner, arrival: Arrival) {
        let wait = Interrupted { object: self.object.identity(), owner, arrival };
        // A thread that is ending will not come back to it.
        if INTERRUPTED.try_with(|waits| waits.borrow_mut().push(wait)).is_err() {
            let _ = self.raw().give_up(arrival, owner);
        }
    }

    /// Lets all through, for the thread that was the last to arrive.
    pub fn release(&self) -> Result<(), BarrierError> {
        let me = self.enter()?.owner();
        Ok(self.raw().release(me)?)
    }

    /// Breaks the barrier, for the thread that was the last to arrive, which leaves.
    pub fn fail(&self) -> Result<(), BarrierError> {
        let me = self.enter()?.owner();
        Ok(self.raw().fail(me)?)
    }

    /// Breaks the barrier until it is reset. Who was the last to arrive, or has been interrupted, leaves.
    pub fn abort(&self) -> Result<(), BarrierError> {
        let me = self.enter()?.owner();
        if let Some(arrival) = self.interrupted(me) {
            self.raw().give_up(arrival, me)?;
        }
        self.raw().abort(me);
        Ok(())
    }

    /// Sends those who wait away as broken, and mends the barrier.
    pub fn reset(&self) -> Result<(), BarrierError> {
        self.enter()?;
        self.raw().reset();
        Ok(())
    }

    /// Registers the calling process once: which one it is.
    pub fn register(&self) -> Result<(ParticipantId, u32), BarrierError> {
        let thread = self.enter()?;
        let (me, of) = (thread.owner(), thread.participant());
        self.raw().register(me, of.1, self.object.peers())?;
        Ok(of)
    }

    /// Takes a registration of the calling process back.
    pub fn unregister(&self) -> Result<(), BarrierError> {
        let thread = self.enter()?;
        Ok(self.raw().unregister(thread.owner(), thread.participant().1)?)
    }

    /// The calling process in this segment: its number, and which of the lives that had it. A forked child is another.
    pub fn participant(&self) -> Result<(ParticipantId, u32), BarrierError> {
        Ok(self.enter()?.participant())
    }

    /// Whether whoever comes is refused; a hint.
    pub fn is_broken(&self) -> bool {
        self.raw().is_broken()
    }

    /// How many wait for others to arrive; a hint.
    pub fn waiting(&self) -> u32 {
        self.raw().waiting()
    }

    /// For how many it waits.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// Whether a signal handler that ran ends a wait.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

impl Drop for AnyBarrier {
    fn drop(&mut self) {
        // A thread that was interrupted and comes back no more. In a forked child it is the parent's.
        if let Some(thread) = self.object.entered()
            && let Some(arrival) = self.interrupted(thread.owner())
        {
            let _ = self.raw().give_up(arrival, thread.owner());
        }
    }
}
