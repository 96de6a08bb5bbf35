//! The condition variable.

use std::fmt;
use std::time::{Duration, Instant};

use super::any_condvar::AnyCondvar;
use super::any_mutex::LockFailure;
use crate::error::Error;
use crate::raw::condvar::Ended;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sys::nap::Deadline;

/// What a guard does for a condition variable.
pub trait WaitsWith {
    /// Gives the lock away, waits, and has it again; see [`AnyCondvar::wait`].
    fn wait_on(&mut self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure>;
    /// Notifies at most `count` waiters.
    fn notify_on(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure>;
}

/// A guard that one can wait with: [`MutexGuard`](crate::MutexGuard), [`ReentrantMutexGuard`](crate::ReentrantMutexGuard).
pub trait CondvarGuard: WaitsWith {}

impl<G: WaitsWith> CondvarGuard for G {}

/// Waiting, with a mutex given away meanwhile, until somebody says that what the mutex protects has changed.
///
/// It works with a [`Mutex`](crate::Mutex), whose guard sees a fresh copy of the value afterwards (what it had changed is
/// committed before, as by an unlock), and with a [`ReentrantMutex`](crate::ReentrantMutex), all levels of which are given
/// away and had again, also after a time-out. Several condition variables may share a mutex; one condition variable is used
/// with one mutex as long as anybody waits.
///
/// A wait returns success only if it was notified: there are no spurious wake-ups. All the same, test what you wait for in
/// a loop, or use [`wait_while`](Self::wait_while): between the notification and the return others may have the mutex.
///
/// **Progress**: to notify is a walk over the waiters and a system call for each of them that sleeps, and waits for none of
/// them: not for one that is stopped either, which keeps its notification until it goes on. The oldest are notified first.
/// If it is more than one, each wakes the next when it has the mutex, so that none of them wakes up for nothing.
///
/// **Crash behaviour**: a waiter that dies, or gives up, uses up no notification: one that was on its way to it goes to
/// another of those who waited at that time, within a tenth of a second. If it dies with the mutex, the next owner is told, as
/// always; also when that is a waiter that returns: [`CondvarError::OwnerDied`].
///
/// ```
/// use ringfence::{Condvar, Mutex, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let ready = Mutex::<u32>::open_or_create(&segment, "ready", 0)?;
/// let changed = Condvar::open_or_create(&segment, "changed", Condvar::WAITERS)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let mut ready = ready.lock().expect("nobody died");
///         *ready = 1;
///         changed.notify_all(&ready).expect("the guard holds the mutex");
///     });
///     let guard = ready.lock().expect("nobody died");
///     let guard = changed.wait_while(guard, |ready| **ready == 0).expect("nobody died");
///     assert_eq!(*guard, 1);
/// });
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Condvar {
    core: AnyCondvar,
}

impl Condvar {
    /// A number of waiters that will do for most: each takes 32 bytes.
    pub const WAITERS: usize = 128;

    /// Creates a condition variable of a name that must be free in the segment, for at most `waiters` at a time.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no waiters or more than 65,535; [`Error::Name`], [`Error::Exists`],
    /// [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, waiters: usize) -> Result<Self, Error> {
        Ok(Self { core: AnyCondvar::open(segment, name, Mode::Create, Some(waiters))? })
    }

    /// Opens a condition variable, for however many waiters.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] (only if a faulty peer changed the
    /// directory), [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyCondvar::open(segment, name, Mode::Open, None)? })
    }

    /// Opens a condition variable for that many waiters, or creates it; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// [`Error::WrongShape`] if there is one for another number of waiters, and as [`open`](Self::open) and
    /// [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, waiters: usize) -> Result<Self, Error> {
        Ok(Self { core: AnyCondvar::open(segment, name, Mode::OpenOrCreate, Some(waiters))? })
    }

    fn wait_until<G: CondvarGuard>(&self, mut guard: G, deadline: Deadline) -> Result<G, CondvarError<G>> {
        let woken = match guard.wait_on(&self.core, deadline) {
            Ok((Ended::Corrupted, _)) => return Err(CondvarError::Corrupted(Some(guard))),
            Ok((Ended::Notified, Acquired::Clean)) => return Ok(guard),
            Ok((Ended::TimedOut, Acquired::Clean)) => return Err(CondvarError::TimedOut(guard)),
            Ok((Ended::Interrupted, Acquired::Clean)) => return Err(CondvarError::Interrupted(guard)),
            Ok((Ended::Notified, Acquired::OwnerDied)) => Woken::Notified,
            Ok((Ended::TimedOut, Acquired::OwnerDied)) => Woken::TimedOut,
            Ok((Ended::Interrupted, Acquired::OwnerDied)) => Woken::Interrupted,
            Err(LockFailure::TooManyWaiters) => return Err(CondvarError::TooManyWaiters(guard)),
            Err(LockFailure::OtherMutex) => return Err(CondvarError::OtherMutex(guard)),
            Err(LockFailure::NotOwner) => return Err(CondvarError::NotOwner(guard)),
            Err(failure) => {
                // It holds nothing any more: what it would do when dropped is not for it to do.
                core::mem::forget(guard);
                return Err(match failure {
                    LockFailure::NotRecoverable => CondvarError::NotRecoverable,
                    _ => CondvarError::Corrupted(None),
                });
            }
        };
        Err(CondvarError::OwnerDied(guard, woken))
    }

    fn wait_while_until<G: CondvarGuard>(
        &self,
        mut guard: G,
        mut condition: impl FnMut(&mut G) -> bool,
        deadline: Deadline,
    ) -> Result<G, CondvarError<G>> {
        while condition(&mut guard) {
            guard = match self.wait_until(guard, deadline) {
                Err(CondvarError::TimedOut(mut guard)) => {
                    return if condition(&mut guard) { Err(CondvarError::TimedOut(guard)) } else { Ok(guard) };
                }
                result => result?,
            }
        }
        Ok(guard)
    }

    /// Gives the mutex away and waits until notified; then has the mutex again, for which it waits as long as it takes.
    ///
    /// # Errors
    /// [`CondvarError::OwnerDied`] and [`CondvarError::Interrupted`] (if [asked for](Self::set_interruptible)), with the guard,
    /// which holds the mutex. [`CondvarError::NotOwner`], [`CondvarError::OtherMutex`], [`CondvarError::TooManyWaiters`]: there was no
    /// wait, and the guard is as before. [`CondvarError::NotRecoverable`]: the mutex was given up meanwhile, nothing is held.
    /// [`CondvarError::Corrupted`].
    pub fn wait<G: CondvarGuard>(&self, guard: G) -> Result<G, CondvarError<G>> {
        self.wait_until(guard, Deadline::Forever)
    }

    /// Waits until notified, for at most `timeout`; zero gives the mutex away for a moment. It takes longer than that if the
    /// mutex is held by somebody then.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard, and those of [`wait`](Self::wait).
    pub fn wait_timeout<G: CondvarGuard>(&self, guard: G, timeout: Duration) -> Result<G, CondvarError<G>> {
        self.wait_until(guard, Deadline::after(timeout))
    }

    /// Waits until notified, until `deadline` of the monotonic clock at most, and then for the mutex.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard, and those of [`wait`](Self::wait).
    pub fn wait_deadline<G: CondvarGuard>(&self, guard: G, deadline: Instant) -> Result<G, CondvarError<G>> {
        self.wait_until(guard, Deadline::At(deadline))
    }

    /// Waits as long as `condition` is true, which is asked with the mutex held: first of all, and after each notification.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait), whatever the condition is by then.
    pub fn wait_while<G: CondvarGuard>(
        &self,
        guard: G,
        condition: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, condition, Deadline::Forever)
    }

    /// As [`wait_while`](Self::wait_while), for at most `timeout`; then the condition is asked once more.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard if the condition is still true then, and those of [`wait`](Self::wait).
    pub fn wait_while_timeout<G: CondvarGuard>(
        &self,
        guard: G,
        timeout: Duration,
        condition: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, condition, Deadline::after(timeout))
    }

    /// As [`wait_while_timeout`](Self::wait_while_timeout), until `deadline` of the monotonic clock.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard if the condition is still true then, and those of [`wait`](Self::wait).
    pub fn wait_while_deadline<G: CondvarGuard>(
        &self,
        guard: G,
        deadline: Instant,
        condition: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, condition, Deadline::At(deadline))
    }

    /// Waits until `predicate` is true: [`wait_while`](Self::wait_while) of the opposite, as Python has it.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait), whatever the predicate is by then.
    pub fn wait_for<G: CondvarGuard>(
        &self,
        guard: G,
        mut predicate: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, |guard| !predicate(guard), Deadline::Forever)
    }

    /// As [`wait_for`](Self::wait_for), for at most `timeout`; then the predicate is asked once more.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard if the predicate is still false then, and those of [`wait`](Self::wait).
    pub fn wait_for_timeout<G: CondvarGuard>(
        &self,
        guard: G,
        timeout: Duration,
        mut predicate: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, |guard| !predicate(guard), Deadline::after(timeout))
    }

    /// As [`wait_for_timeout`](Self::wait_for_timeout), until `deadline` of the monotonic clock.
    ///
    /// # Errors
    /// [`CondvarError::TimedOut`] with the guard if the predicate is still false then, and those of [`wait`](Self::wait).
    pub fn wait_for_deadline<G: CondvarGuard>(
        &self,
        guard: G,
        deadline: Instant,
        mut predicate: impl FnMut(&mut G) -> bool,
    ) -> Result<G, CondvarError<G>> {
        self.wait_while_until(guard, |guard| !predicate(guard), Deadline::At(deadline))
    }

    /// Notifies at most `count` of those who wait now, those first who have waited longest; how many it were. Nothing is kept
    /// for who comes later. It does not wait for those it notifies.
    ///
    /// # Errors
    /// [`LockFailure::NotOwner`]: the guard is a copy that a forked child inherited. [`LockFailure::OtherMutex`]: others wait
    /// with another mutex; nobody was notified. [`LockFailure::Corrupted`].
    pub fn notify<G: CondvarGuard>(&self, guard: &G, count: usize) -> Result<usize, LockFailure> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(guard.notify_on(&self.core, count)? as usize)
    }

    /// Notifies whoever has waited longest; how many it were, 0 or 1.
    ///
    /// # Errors
    /// Those of [`notify`](Self::notify).
    pub fn notify_one<G: CondvarGuard>(&self, guard: &G) -> Result<usize, LockFailure> {
        self.notify(guard, 1)
    }

    /// Notifies all who wait now; how many it were.
    ///
    /// # Errors
    /// Those of [`notify`](Self::notify).
    pub fn notify_all<G: CondvarGuard>(&self, guard: &G) -> Result<usize, LockFailure> {
        self.notify(guard, usize::MAX)
    }

    /// How many wait now and are not notified; a hint, since it may change at once, for one who holds the mutex too: who
    /// gives up or dies counts until it has the mutex, or is found dead.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.core.waiting() as usize
    }

    /// How many can wait at a time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.places()
    }

    /// Whether a signal handler that ran ends a wait of this handle with [`CondvarError::Interrupted`]. Off at first: the wait
    /// goes on, with its deadline. To have the mutex again is never interrupted.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// Why a wait was over, where that is not the only thing to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It was notified.
    Notified,
    /// The time was up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Why a wait did not simply end with a notification. Where there is a guard, it holds the mutex.
#[must_use]
#[non_exhaustive]
pub enum CondvarError<G> {
    /// The wait is over, for the reason that is said; and the last owner of the mutex died, or gave it back without making
    /// it consistent.
    OwnerDied(G, Woken),
    /// The time is up.
    TimedOut(G),
    /// A signal handler ran.
    Interrupted(G),
    /// Every place for a waiter is taken. There was no wait.
    TooManyWaiters(G),
    /// Others wait with another mutex, or the mutex lies in another segment. There was no wait.
    OtherMutex(G),
    /// The guard is a copy that a forked child inherited, and holds nothing. There was no wait.
    NotOwner(G),
    /// The mutex was given up during the wait by an owner that could not make it consistent. It is not held.
    NotRecoverable,
    /// Shared memory holds something that no participant writes. With the guard, the mutex is held, else not.
    Corrupted(Option<G>),
}

impl<G> CondvarError<G> {
    /// The guard, where there is one.
    pub fn into_guard(self) -> Option<G> {
        match self {
            Self::OwnerDied(guard, _)
            | Self::TimedOut(guard)
            | Self::Interrupted(guard)
            | Self::TooManyWaiters(guard)
            | Self::OtherMutex(guard)
            | Self::NotOwner(guard) => Some(guard),
            Self::NotRecoverable => None,
            Self::Corrupted(guard) => guard,
        }
    }
}

impl<G> fmt::Display for CondvarError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = match self {
            Self::OwnerDied(..) => return f.write_str("the last owner died; the lock is held, make it consistent"),
            Self::TimedOut(_) => return f.write_str("nobody notified in time"),
            Self::Interrupted(_) => return f.write_str("a signal interrupted the wait"),
            Self::Corrupted(_) => {
                return f.write_str("the condition variable or its lock holds what no participant writes");
            }
            Self::TooManyWaiters(_) => LockFailure::TooManyWaiters,
            Self::OtherMutex(_) => LockFailure::OtherMutex,
            Self::NotOwner(_) => LockFailure::NotOwner,
            Self::NotRecoverable => LockFailure::NotRecoverable,
        };
        failure.fmt(f)
    }
}

impl<G> fmt::Debug for CondvarError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CondvarError({self})")
    }
}

impl<G> std::error::Error for CondvarError<G> {}
