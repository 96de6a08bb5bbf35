//! The barrier.

use core::marker::PhantomData;
use std::fmt;
use std::time::{Duration, Instant};

use super::any_barrier::AnyBarrier;
use crate::error::Error;
use crate::raw::ParticipantId;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sys::nap::Deadline;

/// Why a party was not let through a [`Barrier`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierError {
    /// The caller's time was up. That has broken the barrier.
    TimedOut,
    /// It is broken, until it is reset: another's time was up, somebody aborted it, its action failed; or it was reset while
    /// the caller waited.
    Broken,
    /// It is broken, until it is reset, because a party died: one that had arrived in this round, or one that was registered.
    PartyDied,
    /// A signal handler ran, and the handle is interruptible. Unless the barrier was still to be left by others, the caller has
    /// arrived and stays so: the same thread waits again, or aborts it.
    Interrupted,
    /// The calling thread is not the last to arrive in this round, or its process is not registered.
    NotOwner,
    /// 16,383 threads of the process wait, or as many registrations stand, already.
    TooMany,
    /// The barrier holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment (a forked child's first call).
    Segment(Error),
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("not all parties came in time, so the barrier is broken; reset it"),
            Self::Broken => f.write_str("the barrier is broken; reset it"),
            Self::PartyDied => f.write_str("a party of the barrier died, so it is broken; reset it"),
            Self::Interrupted => f.write_str("a signal interrupted the wait; wait again, or abort the barrier"),
            Self::NotOwner => f.write_str("the caller is not the last to arrive, or not registered"),
            Self::TooMany => f.write_str("too many threads of the process are at the barrier already"),
            Self::Corrupted => f.write_str("the barrier's word is not one that a participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for BarrierError {}

/// A party that went through a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    index: usize,
    last: bool,
}

impl Passed {
    /// How many had arrived before it: 0 for the first, one less than there are parties for the last.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether it was the last to arrive.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }
}

/// What an [`arrive`](Barrier::arrive) comes to.
#[derive(Debug)]
#[must_use = "who is the last has to release the others"]
pub enum Arrived<'a> {
    /// Others arrived after the caller, and all have been let through.
    Passed(Passed),
    /// The caller is the last. All others wait until it releases them.
    Last(Leader<'a>),
}

/// A place where a number of parties, threads of any processes, wait for each other, round after round.
///
/// A round is over when all parties have arrived. Each is told how many were there before it. The last to arrive may do
/// something before anybody goes on: [`wait_with`](Self::wait_with), or in two steps [`arrive`](Self::arrive). No round ends
/// before all have left the last.
///
/// A barrier is **broken** when a party gives up (its time is up; not waiting at all is that at once), when somebody
/// [aborts](Self::abort) it, when the last one's action fails, or when a party dies. Then all who wait and all who come are
/// refused, until a [`reset`](Self::reset). Who has been let through goes on, whatever happens afterwards. The time of who
/// waits runs until it is let through, an action included.
///
/// What a party did before it arrived is seen by all who are let through.
///
/// **Progress**: blocks. To arrive and to leave is a step each in a cache line of the process's own and one in a common word,
/// without a lock. A party that is *stopped* before it has left keeps the next round from ending. Before it sleeps, a wait looks for
/// some microseconds if there is a processor for each party, and else lets others run a few times.
///
/// **Crash behaviour**: the death of a process with a thread that has arrived, or is about to, breaks the round, and all learn
/// that it was a death: [`BarrierError::PartyDied`]. So does at any time the death, or the end, of a process that is
/// [registered](Self::register). If it dies when its round is over, or when the last one arrives before anybody has noticed,
/// nothing happens, but that it is not waited for. Who waits finds out within a tenth of a second.
///
/// ```
/// use ringfence::{Barrier, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let barrier = Barrier::open_or_create(&segment, "all here", 3)?;
/// std::thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| {
///             let passed = barrier.wait_with(|| println!("all here")).expect("nobody dies");
///             assert!(passed.index() < 3);
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Barrier {
    core: AnyBarrier,
}

impl Barrier {
    /// Creates a barrier for so many parties, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no parties or more than 65,535; [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`],
    /// [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, parties: usize) -> Result<Self, Error> {
        Ok(Self { core: AnyBarrier::open(segment, name, Mode::Create, Some(parties))? })
    }

    /// Opens a barrier, for however many parties.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyBarrier::open(segment, name, Mode::Open, None)? })
    }

    /// Opens a barrier for so many parties, or creates it; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// [`Error::WrongShape`] if there is one for another number of parties, and as [`open`](Self::open) and
    /// [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, parties: usize) -> Result<Self, Error> {
        Ok(Self { core: AnyBarrier::open(segment, name, Mode::OpenOrCreate, Some(parties))? })
    }

    fn wait_until(&self, deadline: Deadline) -> Result<Passed, BarrierError> {
        let (index, last) = self.core.wait(deadline, false)?;
        Ok(Passed { index: index as usize, last })
    }

    fn arrive_until(&self, deadline: Deadline) -> Result<Arrived<'_>, BarrierError> {
        let (index, last) = self.core.wait(deadline, true)?;
        let passed = Passed { index: index as usize, last };
        if !last {
            return Ok(Arrived::Passed(passed));
        }
        Ok(Arrived::Last(Leader { barrier: self, passed, _of_this_thread: PhantomData }))
    }

    fn wait_with_until(&self, action: impl FnOnce(), deadline: Deadline) -> Result<Passed, BarrierError> {
        match self.arrive_until(deadline)? {
            Arrived::Passed(passed) => Ok(passed),
            Arrived::Last(leader) => {
                action();
                leader.release()
            }
        }
    }

    /// Waits for the others, for as long as it takes.
    ///
    /// # Errors
    /// [`BarrierError::Broken`], [`BarrierError::PartyDied`]; [`BarrierError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`BarrierError::TooMany`], [`BarrierError::Corrupted`],
    /// [`BarrierError::Segment`] if a forked child cannot join the segment.
    pub fn wait(&self) -> Result<Passed, BarrierError> {
        self.wait_until(Deadline::Forever)
    }

    /// Goes through if the caller is the last; otherwise that breaks the barrier at once. (Those who have yet to leave the last
    /// round are waited for, for 20 ms.)
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Passed, BarrierError> {
        self.wait_until(Deadline::Now)
    }

    /// Waits for the others, for at most `timeout`; then the barrier is broken. Zero is a [`try_wait`](Self::try_wait).
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Passed, BarrierError> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Waits for the others, until `deadline` of the monotonic clock at most; then the barrier is broken.
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<Passed, BarrierError> {
        self.wait_until(Deadline::At(deadline))
    }

    /// Waits for the others. If the caller is the last, it runs `action` before anybody goes on. If that panics, or its process
    /// dies in it, the barrier is broken.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait). The last one gets them, too, if the barrier was broken while it was acting.
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<Passed, BarrierError> {
        self.wait_with_until(action, Deadline::Forever)
    }

    /// As [`wait_with`](Self::wait_with), for at most `timeout`.
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait_with`](Self::wait_with).
    pub fn wait_with_timeout(&self, timeout: Duration, action: impl FnOnce()) -> Result<Passed, BarrierError> {
        self.wait_with_until(action, Deadline::after(timeout))
    }

    /// Waits for the others, but the last one gets a [`Leader`], and nobody goes on before that is released. For an action that
    /// may fail: dropped instead, it breaks the barrier.
    ///
    /// ```
    /// use ringfence::{Arrived, Barrier, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// # let barrier = Barrier::create(&segment, "b", 1)?;
    /// # let merge = || "7".parse::<u32>();
    /// match barrier.arrive()? {
    ///     Arrived::Passed(_) => {}
    ///     Arrived::Last(leader) => {
    ///         merge()?; // if it fails, the others learn that the barrier is broken
    ///         leader.release()?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn arrive(&self) -> Result<Arrived<'_>, BarrierError> {
        self.arrive_until(Deadline::Forever)
    }

    /// As [`arrive`](Self::arrive), for at most `timeout`.
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn arrive_timeout(&self, timeout: Duration) -> Result<Arrived<'_>, BarrierError> {
        self.arrive_until(Deadline::after(timeout))
    }

    /// As [`arrive`](Self::arrive), until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BarrierError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn arrive_deadline(&self, deadline: Instant) -> Result<Arrived<'_>, BarrierError> {
        self.arrive_until(Deadline::At(deadline))
    }

    /// Registers a party of this process: from now on its death breaks the barrier at any time, not only when it has arrived.
    /// To be done before others wait for it.
    ///
    /// # Errors
    /// [`BarrierError::TooMany`], [`BarrierError::Corrupted`], [`BarrierError::Segment`].
    pub fn register(&self) -> Result<Registration<'_>, BarrierError> {
        Ok(Registration { of: self.core.register()?, barrier: self })
    }

    /// Breaks the barrier: who waits and who comes is refused, until it is reset. Breaking it twice is harmless.
    ///
    /// # Errors
    /// [`BarrierError::Segment`].
    pub fn abort(&self) -> Result<(), BarrierError> {
        self.core.abort()
    }

    /// Mends the barrier. Who waits is refused, and who comes waits until those have left. If nobody waits and it is whole,
    /// nothing happens.
    ///
    /// # Errors
    /// [`BarrierError::Segment`].
    pub fn reset(&self) -> Result<(), BarrierError> {
        self.core.reset()
    }

    /// Whether it is broken; a hint, since it may change at once.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.core.is_broken()
    }

    /// How many have arrived and wait for others; 0 as soon as all have. A hint, since it may change at once.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.core.waiting() as usize
    }

    /// For how many it waits.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.core.parties() as usize
    }

    /// Whether a signal handler that ran ends a wait of this handle with [`BarrierError::Interrupted`]. Off at first: the wait
    /// goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties()).finish_non_exhaustive()
    }
}

/// The last to arrive at a [`Barrier`], while all others wait for it. Dropped without a release, also by unwinding, it breaks
/// the barrier. Nothing in a forked child that got a copy of it.
#[must_use = "dropped, it breaks the barrier"]
pub struct Leader<'a> {
    barrier: &'a Barrier,
    passed: Passed,
    /// The last one is a thread.
    _of_this_thread: PhantomData<*const ()>,
}

impl Leader<'_> {
    /// How many had arrived before: one less than there are parties.
    #[must_use]
    pub fn index(&self) -> usize {
        self.passed.index
    }

    /// Lets all through.
    ///
    /// # Errors
    /// [`BarrierError::Broken`] or [`BarrierError::PartyDied`]: the barrier was broken meanwhile, and nobody goes through.
    /// [`BarrierError::NotOwner`] in a forked child.
    pub fn release(self) -> Result<Passed, BarrierError> {
        let (core, passed) = (&self.barrier.core, self.passed);
        core::mem::forget(self);
        core.release().map(|()| passed)
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let _ = self.barrier.core.fail();
    }
}

impl fmt::Debug for Leader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("index", &self.index()).finish_non_exhaustive()
    }
}

/// A party of this process that is registered at a [`Barrier`], taken back when dropped; nothing in a forked child that got a
/// copy of it.
#[must_use = "dropped, the registration is taken back"]
#[derive(Debug)]
pub struct Registration<'a> {
    barrier: &'a Barrier,
    of: (ParticipantId, u32),
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let core = &self.barrier.core;
        if core.participant().is_ok_and(|of| of == self.of) {
            let _ = core.unregister();
        }
    }
}
