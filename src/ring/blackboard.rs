//! The typed blackboard.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_blackboard::{AnyBlackboard, AnyBlackboardWriter};
use super::broadcast_errors::{BlackboardReadError, BlackboardWriteError, WriterError};
use crate::error::Error;
use crate::plain::Plain;
use crate::segment::Segment;
use crate::segment::directory::{Mode, tag};
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// The newest value of one writer, for any number of readers.
///
/// A reader gets the newest value that is complete, and its number: the first is 1, each further one is greater by one. Values
/// that nobody read in time are gone; who needs each of them takes a [`Broadcast`](crate::Broadcast). There is one writer at a
/// time, and before its first value there is none.
///
/// **Progress**: to write is wait-free: a fixed number of steps, whatever readers do, and no system call unless a reader sleeps.
/// To read is a copy; where the writer writes three values more during it, it is made again, at most a thousand times.
///
/// **Crash behaviour**: a writer that is killed leaves the newest value that it completed, and its place is free for the next,
/// whose numbers go on. A dead reader leaves nothing.
///
/// It takes four times the value's bytes.
///
/// ```
/// use ringfence::{Blackboard, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let position = Blackboard::<[f64; 3]>::open_or_create(&segment, "position")?;
/// let writer = position.writer()?;
/// writer.write([0.0, 0.0, 1.0])?;
/// writer.write([0.0, 0.5, 1.5])?;
/// let (number, newest) = position.read()?;
/// assert_eq!((number, newest), (2, [0.0, 0.5, 1.5]));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Blackboard<T: Plain> {
    core: AnyBlackboard,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Blackboard<T> {
    fn with(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        let (size, align) = (size_of::<T::Bits>(), align_of::<T::Bits>());
        Ok(Self { core: AnyBlackboard::open(segment, name, mode, size, align, tag(T::TAG)?)?, value: PhantomData })
    }

    /// Creates a blackboard, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create)
    }

    /// Opens a blackboard.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] for a value of another size, alignment
    /// or tag, [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open)
    }

    /// Opens a blackboard, or creates it; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate)
    }

    /// Becomes the writer, until that is dropped. If the last one died, the numbers go on where it stopped.
    ///
    /// # Errors
    /// [`WriterError::Taken`] if there is one that lives, [`WriterError::Corrupted`], [`WriterError::Segment`].
    pub fn writer(&self) -> Result<BlackboardWriter<T>, WriterError> {
        Ok(BlackboardWriter { core: self.core.writer()?, value: PhantomData })
    }

    /// The newest value, and its number.
    ///
    /// # Errors
    /// [`BlackboardReadError::Empty`] before the first value, [`BlackboardReadError::Busy`] (see *Progress*),
    /// [`BlackboardReadError::Corrupted`], [`BlackboardReadError::Segment`] if a forked child cannot join the segment.
    #[inline]
    pub fn read(&self) -> Result<(u64, T), BlackboardReadError> {
        let mut bits = T::Bits::zeroed();
        let number = self.core.read(bytemuck::bytes_of_mut(&mut bits))?;
        Ok((number, T::from_bits(bits)))
    }

    fn newer_until(&self, than: u64, deadline: Deadline) -> Result<(u64, T), BlackboardReadError> {
        let mut bits = T::Bits::zeroed();
        let number = self.core.read_newer(than, bytemuck::bytes_of_mut(&mut bits), deadline)?;
        Ok((number, T::from_bits(bits)))
    }

    /// The newest value, when its number is greater than `than`; waits for it for as long as it takes. 0 waits for the first.
    ///
    /// # Errors
    /// [`BlackboardReadError::Closed`] if none is to come, [`BlackboardReadError::Interrupted`] if
    /// [asked for](Self::set_interruptible), and those of [`read`](Self::read) but `Empty`.
    pub fn wait_newer(&self, than: u64) -> Result<(u64, T), BlackboardReadError> {
        self.newer_until(than, Deadline::Forever)
    }

    /// The newest value, if its number is greater than `than` now.
    ///
    /// # Errors
    /// [`BlackboardReadError::Empty`] if it is not, and those of [`wait_newer`](Self::wait_newer).
    pub fn try_newer(&self, than: u64) -> Result<(u64, T), BlackboardReadError> {
        self.newer_until(than, Deadline::Now)
    }

    /// As [`wait_newer`](Self::wait_newer), for at most `timeout`; zero is a [`try_newer`](Self::try_newer).
    ///
    /// # Errors
    /// [`BlackboardReadError::TimedOut`], and those of [`wait_newer`](Self::wait_newer).
    pub fn wait_newer_timeout(&self, than: u64, timeout: Duration) -> Result<(u64, T), BlackboardReadError> {
        self.newer_until(than, Deadline::after(timeout))
    }

    /// As [`wait_newer`](Self::wait_newer), until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BlackboardReadError::TimedOut`], and those of [`wait_newer`](Self::wait_newer).
    pub fn wait_newer_deadline(&self, than: u64, deadline: Instant) -> Result<(u64, T), BlackboardReadError> {
        self.newer_until(than, Deadline::At(deadline))
    }

    /// For [`WaitAny`](crate::WaitAny): that there is a value whose number is greater than `than`, or none is to come.
    pub fn newer(&self, than: u64) -> Waitable<'_> {
        self.core.newer(than)
    }

    /// Shuts it down for everybody: writes fail from now on. The newest value stays, and can be read. Twice is fine.
    ///
    /// # Errors
    /// Those of a forked child that joins the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.core.shutdown()
    }

    /// Whether it is shut down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.core.is_shut_down()
    }

    /// Whether a signal handler that ran ends a wait of this handle with [`BlackboardReadError::Interrupted`]. Off at first: the
    /// wait goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl<T: Plain> fmt::Debug for Blackboard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blackboard").field("is_shut_down", &self.is_shut_down()).finish_non_exhaustive()
    }
}

/// The writer of a [`Blackboard`]; dropped, the place is free. In a forked child that got a copy of it, it is the parent's.
#[must_use = "dropped, the place is free for another writer"]
pub struct BlackboardWriter<T: Plain> {
    core: AnyBlackboardWriter,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Plain> BlackboardWriter<T> {
    /// Writes a value: its number. Wait-free.
    ///
    /// # Errors
    /// [`BlackboardWriteError::Closed`], [`BlackboardWriteError::NotOwner`] in a forked child,
    /// [`BlackboardWriteError::Corrupted`].
    #[inline]
    pub fn write(&self, value: T) -> Result<u64, BlackboardWriteError> {
        self.core.write(bytemuck::bytes_of(&value.to_bits()))
    }
}

impl<T: Plain> fmt::Debug for BlackboardWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlackboardWriter").finish_non_exhaustive()
    }
}
