//! The typed value.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_value::{AnyValue, Type};
use super::scalar::{Integer, Scalar};
use super::slot::Change;
use crate::error::Error;
use crate::plain::Plain;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, tag};
use crate::sync::{Held, LockError, LockFailure};
use crate::sys::nap::Deadline;

/// The type of `T` as the directory records it.
pub fn type_of<T: Plain>() -> Result<Type, Error> {
    Ok(Type { element: T::ELEMENT as u32, size: size_of::<T::Bits>(), align: align_of::<T::Bits>(), tag: tag(T::TAG)? })
}

/// A typed value that processes share, with a lock for changes of more than one step.
///
/// [Scalars](Scalar) are read and changed by single atomic instructions. Larger types are kept twice: a read without the
/// lock gives a value that was written as a whole, and a writer that is killed leaves the old one.
///
/// The lock is reentrant and belongs to a thread. It is a convention: [`set`](Self::set) and [`write`](Self::write) do
/// not wait for whoever holds it over a scalar, so all who change a value in several steps must lock it.
///
/// **Crash behaviour**: whoever takes the lock from a dead owner is told once, by [`LockError::OwnerDied`]; the value is
/// whole.
///
/// ```
/// use ringfence::{Segment, SegmentOptions, Value};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let total = Value::<u64>::open_or_create(&segment, "total", 0)?;
/// total.fetch_add(3);
/// assert_eq!(total.get(), 3);
///
/// let point = Value::<[f64; 3]>::open_or_create(&segment, "point", [0.0; 3])?;
/// point.write([1.0, 2.0, 3.0])?;
/// assert_eq!(point.read()?, [1.0, 2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Value<T: Plain> {
    value: AnyValue,
    of: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Value<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, initial: Option<T>) -> Result<Self, Error> {
        let bits = initial.map(T::to_bits);
        let initial = bits.as_ref().map(bytemuck::bytes_of);
        Ok(Self { value: AnyValue::open(segment, name, mode, type_of::<T>()?, initial)?, of: PhantomData })
    }

    /// Creates a value of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, Some(initial))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, None)
    }

    /// Opens a value, or creates it with `initial`; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, Some(initial))
    }

    /// A copy of the value, without the lock unless writers are faster time after time.
    ///
    /// # Errors
    /// Those of waiting for the lock, for types that are no scalars.
    pub fn read(&self) -> Result<T, LockFailure> {
        let mut bits = T::Bits::zeroed();
        self.value.get_bytes(bytemuck::bytes_of_mut(&mut bits))?;
        Ok(T::from_bits(bits))
    }

    /// Replaces the value in one step. Takes the lock for types that are no scalars.
    ///
    /// # Errors
    /// Those of waiting for the lock, for types that are no scalars.
    pub fn write(&self, value: T) -> Result<(), LockFailure> {
        self.value.set_bytes(bytemuck::bytes_of(&value.to_bits()))
    }

    fn lock_until(&self, deadline: Deadline) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        let (held, acquired) = self.value.object.held(deadline)?;
        let guard = ValueGuard { value: self, _held: held };
        if acquired == Acquired::OwnerDied { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// Locks, waiting for as long as it takes; a thread that holds the lock already locks it once more.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the guard, told once; [`LockError::TooOften`], [`LockError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`LockError::Corrupted`], [`LockError::Segment`].
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::Forever)
    }

    /// Locks if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::Now)
    }

    /// Locks, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::after(timeout))
    }

    /// Locks, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_deadline(&self, deadline: Instant) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::At(deadline))
    }

    /// Whether a signal handler that ran ends a call of this handle that waits for the lock with
    /// [`LockError::Interrupted`] or [`LockFailure::Interrupted`]. Off at first: calls go on, with their deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.value.object.set_interruptible(interruptible);
    }

    /// The pid of the process that holds the lock now, if any; a hint.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        self.value.object.holder()
    }
}

impl<T: Scalar> Value<T> {
    /// The value. Acquire: who sees a value sees what was done before it was set.
    #[inline]
    #[must_use]
    pub fn get(&self) -> T {
        T::from_word(self.value.slot().load())
    }

    /// Sets the value. Release: see [`get`](Self::get).
    #[inline]
    pub fn set(&self, value: T) {
        self.value.slot().store(value.to_word());
    }

    /// Sets the value; returns what it was.
    #[inline]
    pub fn swap(&self, value: T) -> T {
        self.change(Change::Swap, value)
    }

    /// Sets the value if it is `expected`, compared bit by bit; what it was, as `Ok` if it was set.
    ///
    /// # Errors
    /// The value, if it was another.
    #[inline]
    pub fn compare_exchange(&self, expected: T, new: T) -> Result<T, T> {
        let found = self.value.slot().compare_exchange(expected.to_word(), new.to_word());
        found.map(T::from_word).map_err(T::from_word)
    }

    #[inline]
    fn change(&self, change: Change, operand: T) -> T {
        T::from_word(self.value.slot().change(change, operand.to_word()))
    }
}

/// Arithmetic in one step; wraps at the type's width; returns what the value was.
impl<T: Integer> Value<T> {
    /// Adds.
    #[inline]
    pub fn fetch_add(&self, operand: T) -> T {
        self.change(Change::Add, operand)
    }

    /// Subtracts.
    #[inline]
    pub fn fetch_sub(&self, operand: T) -> T {
        self.change(Change::Sub, operand)
    }

    /// Bitwise and.
    #[inline]
    pub fn fetch_and(&self, operand: T) -> T {
        self.change(Change::And, operand)
    }

    /// Bitwise or.
    #[inline]
    pub fn fetch_or(&self, operand: T) -> T {
        self.change(Change::Or, operand)
    }

    /// Bitwise exclusive or.
    #[inline]
    pub fn fetch_xor(&self, operand: T) -> T {
        self.change(Change::Xor, operand)
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.read()).finish()
    }
}

/// A locked [`Value`]. Guards of one thread nest. Not `Send`: the lock belongs to the thread.
#[must_use]
pub struct ValueGuard<'a, T: Plain> {
    value: &'a Value<T>,
    _held: Held<'a>,
}

impl<T: Plain> ValueGuard<'_, T> {
    /// A copy of the value.
    #[must_use]
    pub fn read(&self) -> T {
        let mut bits = T::Bits::zeroed();
        self.value.value.slot().read_locked(bytemuck::bytes_of_mut(&mut bits));
        T::from_bits(bits)
    }

    /// Replaces the value in one step.
    pub fn write(&mut self, value: T) {
        self.value.value.slot().write_locked(bytemuck::bytes_of(&value.to_bits()));
    }

    /// Replaces the value by what `change` makes of it, in one step.
    pub fn update(&mut self, change: impl FnOnce(T) -> T) {
        self.write(change(self.read()));
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueGuard").field(&self.read()).finish()
    }
}

/// A handle to a value without the calls that lock: reads and writes are whole, and that is all. Writing what is not of 1,
/// 2, 4 or 8 bytes still takes the object's lock for the moment, and waits for who has it.
#[must_use]
pub struct RawValue<T: Plain>(Value<T>);

impl<T: Plain> RawValue<T> {
    /// Creates a zeroed value of a name that must be free in the segment.
    ///
    /// # Errors
    /// As [`Value::create`].
    pub fn create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Value::with(segment, name, Mode::Create, None).map(Self)
    }

    /// Opens a value. Raw or not is a matter of the handle, not of the object.
    ///
    /// # Errors
    /// As [`Value::open`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Value::open(segment, name).map(Self)
    }

    /// Opens a value, or creates it zeroed.
    ///
    /// # Errors
    /// As [`Value::open_or_create`].
    pub fn open_or_create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Value::with(segment, name, Mode::OpenOrCreate, None).map(Self)
    }

    /// A copy of the value.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn read(&self) -> Result<T, LockFailure> {
        self.0.read()
    }

    /// Replaces the value in one step.
    ///
    /// # Errors
    /// As [`Value::write`].
    pub fn write(&self, value: T) -> Result<(), LockFailure> {
        self.0.write(value)
    }
}

impl<T: Scalar> RawValue<T> {
    /// The value.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.get()
    }

    /// Sets the value.
    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RawValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawValue").field(&self.read()).finish()
    }
}
