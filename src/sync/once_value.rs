//! A value that is set once.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_mutex::LockFailure;
use super::any_once::AnyOnce;
use super::once::{OnceGuard, OnceState};
use super::wait_any::Waitable;
use crate::error::Error;
use crate::plain::Plain;
use crate::segment::Segment;
use crate::segment::directory::{Mode, tag};
use crate::sys::nap::Deadline;

/// A value that one of many processes sets, once, and that all of them then read.
///
/// Whoever sees that there is a value sees the whole of it, and it never changes. It is made in private memory and written
/// when it is finished: a process that dies before leaves nothing of it.
///
/// **Progress**: once there is a value, a call is one load and the copying, and no system call. Before that, whoever would set
/// it waits for whoever is at it. The thread that makes the value must not ask for it meanwhile
/// ([`LockFailure::WouldDeadlock`]).
///
/// **Crash behaviour**: that of [`Once`](crate::Once). Whoever is killed, panics or fails while it makes the value leaves that
/// to the next, who is [told](OnceState::is_retry).
///
/// ```
/// use ringfence::{OnceValue, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let leader = OnceValue::<u32>::open_or_create(&segment, "leader")?;
/// assert_eq!(leader.get(), None);
/// assert_eq!(leader.get_or_init(|_| 7)?, 7); // whoever is first
/// assert_eq!(leader.get_or_init(|_| 8)?, 7);
/// assert_eq!(leader.get(), Some(7));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct OnceValue<T: Plain> {
    core: AnyOnce,
    value: PhantomData<fn(T) -> T>,
}

/// Why there is no value, though there was to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError<E> {
    /// It could not be made. Another may try.
    Failed(E),
    /// The caller had no turn to make one.
    Refused(LockFailure),
}

impl<E> From<LockFailure> for InitError<E> {
    fn from(failure: LockFailure) -> Self {
        Self::Refused(failure)
    }
}

impl<E: fmt::Display> fmt::Display for InitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the value could not be made: {error}"),
            Self::Refused(failure) => write!(f, "the value was not to be made here: {failure}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for InitError<E> {}

/// Why a value was not set. It comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetError<T> {
    /// There is one already.
    Completed(T),
    /// The caller had no turn to set one.
    Refused(T, LockFailure),
}

impl<T> SetError<T> {
    /// The value that was not set.
    pub fn into_inner(self) -> T {
        match self {
            Self::Completed(value) | Self::Refused(value, _) => value,
        }
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(_) => f.write_str("there is a value already"),
            Self::Refused(_, failure) => write!(f, "the value was not to be set here: {failure}"),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for SetError<T> {}

impl<T: Plain> OnceValue<T> {
    fn with(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        let of = (T::ELEMENT as u32, size_of::<T::Bits>(), align_of::<T::Bits>(), tag(T::TAG)?);
        Ok(Self { core: AnyOnce::open(segment, name, mode, of)?, value: PhantomData })
    }

    /// Creates one without a value, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create)
    }

    /// Opens one.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open)
    }

    /// Opens one, or creates it without a value; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate)
    }

    /// The value, if there is one.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<T> {
        let mut bits = T::Bits::zeroed();
        self.core.read(bytemuck::bytes_of_mut(&mut bits)).then(|| T::from_bits(bits))
    }

    /// The value, for one who knows that there is one.
    fn there(&self) -> Result<T, LockFailure> {
        // Gone again: a stray write.
        self.get().ok_or(LockFailure::Corrupted)
    }

    #[cold]
    fn init_slow<E>(
        &self,
        deadline: Deadline,
        f: impl FnOnce(OnceState) -> Result<T, E>,
    ) -> Result<(bool, T), InitError<E>> {
        let Some(turn) = OnceGuard::begin(&self.core, deadline)? else { return Ok((false, self.there()?)) };
        let value = f(turn.state()).map_err(InitError::Failed)?;
        turn.complete_with(bytemuck::bytes_of(&value.to_bits()))?;
        Ok((true, value))
    }

    #[inline]
    fn init<E>(&self, deadline: Deadline, f: impl FnOnce(OnceState) -> Result<T, E>) -> Result<T, InitError<E>> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.init_slow(deadline, f).map(|(_, value)| value),
        }
    }

    #[inline]
    fn init_surely(&self, deadline: Deadline, f: impl FnOnce(OnceState) -> T) -> Result<T, LockFailure> {
        self.init(deadline, |state| Ok::<_, Infallible>(f(state))).map_err(|error| match error {
            InitError::Failed(never) => match never {},
            InitError::Refused(failure) => failure,
        })
    }

    /// The value; if there is none, what `f` makes is set. Waits while somebody else is at it. A panic of `f` goes through,
    /// and leaves it to the next.
    ///
    /// # Errors
    /// `f` was not called: [`LockFailure::WouldDeadlock`] from inside such an `f`, [`LockFailure::Interrupted`] if [asked
    /// for](Self::set_interruptible), [`LockFailure::Corrupted`], [`LockFailure::Segment`] if a forked child cannot join the
    /// segment. `f` was called: [`LockFailure::NotOwner`] in a child that `f` forked.
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce(OnceState) -> T) -> Result<T, LockFailure> {
        self.init_surely(Deadline::Forever, f)
    }

    /// The same, waiting for others for at most `timeout`; zero is a try. How long `f` takes is its own affair.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`] ([`LockFailure::WouldBlock`] of a try), and those of [`get_or_init`](Self::get_or_init).
    pub fn get_or_init_timeout(&self, timeout: Duration, f: impl FnOnce(OnceState) -> T) -> Result<T, LockFailure> {
        self.init_surely(Deadline::after(timeout), f)
    }

    /// The same, waiting for others until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`get_or_init`](Self::get_or_init).
    pub fn get_or_init_deadline(&self, deadline: Instant, f: impl FnOnce(OnceState) -> T) -> Result<T, LockFailure> {
        self.init_surely(Deadline::At(deadline), f)
    }

    /// The value; if there is none, what `f` makes is set. If `f` fails, there is still none, and another may try.
    ///
    /// # Errors
    /// [`InitError::Failed`] with the error of `f`, [`InitError::Refused`] with those of
    /// [`get_or_init`](Self::get_or_init).
    #[inline]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce(OnceState) -> Result<T, E>) -> Result<T, InitError<E>> {
        self.init(Deadline::Forever, f)
    }

    /// The same, waiting for others for at most `timeout`; zero is a try.
    ///
    /// # Errors
    /// [`InitError::Failed`], [`InitError::Refused`] with those of [`get_or_init_timeout`](Self::get_or_init_timeout).
    pub fn get_or_try_init_timeout<E>(
        &self,
        timeout: Duration,
        f: impl FnOnce(OnceState) -> Result<T, E>,
    ) -> Result<T, InitError<E>> {
        self.init(Deadline::after(timeout), f)
    }

    /// The same, waiting for others until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`InitError::Failed`], [`InitError::Refused`] with those of [`get_or_init_deadline`](Self::get_or_init_deadline).
    pub fn get_or_try_init_deadline<E>(
        &self,
        deadline: Instant,
        f: impl FnOnce(OnceState) -> Result<T, E>,
    ) -> Result<T, InitError<E>> {
        self.init(Deadline::At(deadline), f)
    }

    fn set_until(&self, value: T, deadline: Deadline) -> Result<(), SetError<T>> {
        match self.init_slow(deadline, |_| Ok::<_, Infallible>(value)) {
            Ok((true, _)) => Ok(()),
            Ok((false, _)) => Err(SetError::Completed(value)),
            Err(InitError::Failed(never)) => match never {},
            Err(InitError::Refused(failure)) => Err(SetError::Refused(value, failure)),
        }
    }

    /// Sets the value, if there is none. Waits while somebody else is at it.
    ///
    /// # Errors
    /// [`SetError::Completed`] if there is one already, [`SetError::Refused`] with those of
    /// [`get_or_init`](Self::get_or_init). Both give the value back.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        self.set_until(value, Deadline::Forever)
    }

    /// The same, waiting for others for at most `timeout`; zero is a try.
    ///
    /// # Errors
    /// Those of [`set`](Self::set), [`LockFailure::TimedOut`] and [`LockFailure::WouldBlock`] among them.
    pub fn set_timeout(&self, value: T, timeout: Duration) -> Result<(), SetError<T>> {
        self.set_until(value, Deadline::after(timeout))
    }

    /// The same, waiting for others until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// Those of [`set`](Self::set), [`LockFailure::TimedOut`] among them.
    pub fn set_deadline(&self, value: T, deadline: Instant) -> Result<(), SetError<T>> {
        self.set_until(value, Deadline::At(deadline))
    }

    fn wait_until(&self, deadline: Deadline) -> Result<T, LockFailure> {
        self.core.wait(deadline)?;
        self.there()
    }

    /// The value, as soon as somebody else has set one.
    ///
    /// # Errors
    /// [`LockFailure::WouldDeadlock`] for the thread that makes it, [`LockFailure::Interrupted`] if [asked
    /// for](Self::set_interruptible), [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    pub fn wait(&self) -> Result<T, LockFailure> {
        self.wait_until(Deadline::Forever)
    }

    /// The same, waiting for at most `timeout`; zero only looks.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`] ([`LockFailure::WouldBlock`] of a mere look), and those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<T, LockFailure> {
        self.wait_until(Deadline::after(timeout))
    }

    /// The same, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<T, LockFailure> {
        self.wait_until(Deadline::At(deadline))
    }

    /// For [`WaitAny`](crate::WaitAny): that there is a value.
    pub fn completed(&self) -> Waitable<'_> {
        self.core.completed()
    }

    /// The pid of the process that makes the value now, if any; a hint, since it may change at once.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        self.core.holder()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with [`LockFailure::Interrupted`]. Off at
    /// first: the call goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for OnceValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceValue").field(&self.get()).finish()
    }
}
