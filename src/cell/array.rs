//! The typed array.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::any_array::AnyArray;
use super::scalar::{Integer, Scalar};
use super::slot::{Change, Slot};
use super::value::type_of;
use crate::error::Error;
use crate::plain::{CChar, Plain};
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sync::{Held, LockError, LockFailure};
use crate::sys::nap::Deadline;
use bytemuck::Zeroable;

/// There is no element of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Number of the last element that was asked for.
    pub index: usize,
    /// Number of elements there are.
    pub len: usize,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no element {}: the array has {}", self.index, self.len)
    }
}

impl std::error::Error for OutOfRange {}

/// Why elements were not read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementError {
    /// The array is shorter.
    OutOfRange(OutOfRange),
    /// The lock of an array of large elements could not be had.
    Lock(LockFailure),
}

impl From<OutOfRange> for ElementError {
    fn from(error: OutOfRange) -> Self {
        Self::OutOfRange(error)
    }
}

impl From<LockFailure> for ElementError {
    fn from(failure: LockFailure) -> Self {
        Self::Lock(failure)
    }
}

impl fmt::Display for ElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(error) => error.fmt(f),
            Self::Lock(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for ElementError {}

/// A typed array of fixed length that processes share, with a lock for changes of more than one step.
///
/// What holds for a [`Value`](super::Value) holds for each element: scalars are single atomic words, larger elements are
/// never torn. A new array is zeroed. Several elements are one moment's only if all who change them lock the array.
///
/// Elements of 1, 2, 4 or 8 bytes lie next to each other, and their [address](Self::as_ptr) is exposed for zero-copy use.
///
/// ```
/// use ringfence::{Array, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let numbers = Array::<i32>::open_or_create(&segment, "numbers", 10)?;
/// numbers.set(3, 7)?;
/// assert_eq!(numbers.get(3), Some(7));
/// assert_eq!(numbers.get(10), None);
/// assert_eq!(numbers.to_vec()?, [0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Array<T: Plain> {
    array: AnyArray,
    of: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Array<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, len: usize) -> Result<Self, Error> {
        Ok(Self { array: AnyArray::open(segment, name, mode, type_of::<T>()?, len)?, of: PhantomData })
    }

    /// Creates a zeroed array of `len` elements, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for no elements, [`Error::NoSpace`],
    /// [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, len: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, len)
    }

    /// Opens an array, whatever its length.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens an array of exactly this length, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, len: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, len)
    }

    /// Number of elements; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.array.len()
    }

    fn read_slot(&self, slot: Slot) -> Result<T, LockFailure> {
        let mut bits = T::Bits::zeroed();
        self.array.read_slot(slot, bytemuck::bytes_of_mut(&mut bits))?;
        Ok(T::from_bits(bits))
    }

    /// Copies the elements from `first` on into `out`.
    ///
    /// # Errors
    /// [`ElementError::OutOfRange`]; those of waiting for the lock, for types that are no scalars.
    pub fn read(&self, first: usize, out: &mut [T]) -> Result<(), ElementError> {
        for (slot, element) in self.array.slots(first, out.len())?.zip(out) {
            *element = self.read_slot(slot)?;
        }
        Ok(())
    }

    /// Copies `elements` into the array from `first` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, first: usize, elements: &[T]) -> Result<(), ElementError> {
        let slots = self.array.slots(first, elements.len())?.zip(elements);
        Ok(self.array.writing(|| {
            slots.for_each(|(slot, element)| slot.write_locked(bytemuck::bytes_of(&element.to_bits())));
        })?)
    }

    /// Sets every element.
    ///
    /// # Errors
    /// Those of waiting for the lock, for types that are no scalars.
    pub fn fill(&self, element: T) -> Result<(), LockFailure> {
        self.array.fill_bytes(bytemuck::bytes_of(&element.to_bits()))
    }

    /// A copy of all elements.
    ///
    /// # Errors
    /// Those of waiting for the lock, for types that are no scalars.
    pub fn to_vec(&self) -> Result<Vec<T>, LockFailure> {
        (0..self.len()).filter_map(|index| self.array.slot(index)).map(|slot| self.read_slot(slot)).collect()
    }

    /// The address of the first element, for zero-copy use. Elements of 1, 2, 4 or 8 bytes lie next to each other;
    /// larger ones do not. Whoever reads or writes through it while others write must hold the [lock](Self::lock), and
    /// must not outlive the array's handle.
    #[cfg(not(ringfence_loom))] // a model has atomics there that only it can use
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.array.as_ptr()
    }

    fn lock_until(&self, deadline: Deadline) -> Result<ArrayGuard<'_>, LockError<ArrayGuard<'_>>> {
        let (held, acquired) = self.array.object.held(deadline)?;
        let guard = ArrayGuard { _held: held };
        if acquired == Acquired::OwnerDied { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// Locks, waiting for as long as it takes; a thread that holds the lock already locks it once more.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the guard, told once; [`LockError::TooOften`], [`LockError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`LockError::Corrupted`], [`LockError::Segment`].
    pub fn lock(&self) -> Result<ArrayGuard<'_>, LockError<ArrayGuard<'_>>> {
        self.lock_until(Deadline::Forever)
    }

    /// Locks if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<ArrayGuard<'_>, LockError<ArrayGuard<'_>>> {
        self.lock_until(Deadline::Now)
    }

    /// Locks, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<ArrayGuard<'_>, LockError<ArrayGuard<'_>>> {
        self.lock_until(Deadline::after(timeout))
    }

    /// Locks, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_deadline(&self, deadline: Instant) -> Result<ArrayGuard<'_>, LockError<ArrayGuard<'_>>> {
        self.lock_until(Deadline::At(deadline))
    }

    /// Whether a signal handler that ran ends a call of this handle that waits for the lock with
    /// [`LockError::Interrupted`] or [`LockFailure::Interrupted`]. Off at first: calls go on, with their deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.array.object.set_interruptible(interruptible);
    }

    /// The pid of the process that holds the lock now, if any; a hint.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        self.array.object.holder()
    }
}

impl<T: Scalar> Array<T> {
    /// An element; `None` beyond the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        self.array.slot(index).map(|slot| T::from_word(slot.load()))
    }

    /// Sets an element.
    ///
    /// # Errors
    /// [`OutOfRange`].
    #[inline]
    pub fn set(&self, index: usize, element: T) -> Result<(), OutOfRange> {
        self.array.checked(index)?.store(element.to_word());
        Ok(())
    }

    /// Sets an element if it is `expected`, compared bit by bit; what it was, as `Ok` if it was set.
    ///
    /// # Errors
    /// [`OutOfRange`].
    pub fn compare_exchange(&self, index: usize, expected: T, new: T) -> Result<Result<T, T>, OutOfRange> {
        let found = self.array.checked(index)?.compare_exchange(expected.to_word(), new.to_word());
        Ok(found.map(T::from_word).map_err(T::from_word))
    }
}

impl<T: Integer> Array<T> {
    /// Adds to an element in one step; wraps; returns what it was.
    ///
    /// # Errors
    /// [`OutOfRange`].
    #[inline]
    pub fn fetch_add(&self, index: usize, operand: T) -> Result<T, OutOfRange> {
        Ok(T::from_word(self.array.checked(index)?.change(Change::Add, operand.to_word())))
    }
}

/// Text as C keeps it.
impl Array<CChar> {
    /// The bytes up to the first NUL, or all.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        (0..self.len()).map_while(|index| self.get(index)).map(|byte| byte.0).take_while(|byte| *byte != 0).collect()
    }

    /// Sets the first bytes to `text`, and a NUL behind it if there is room; the rest stays.
    ///
    /// # Errors
    /// [`OutOfRange`] if the text is longer than the array; nothing has changed.
    pub fn set_value(&self, text: &[u8]) -> Result<(), OutOfRange> {
        if text.len() > self.len() {
            return Err(OutOfRange { index: text.len() - 1, len: self.len() });
        }
        let nul = (text.len() < self.len()).then_some(&0);
        text.iter().chain(nul).enumerate().try_for_each(|(index, byte)| self.set(index, CChar(*byte)))
    }

    /// All bytes.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        (0..self.len()).filter_map(|index| self.get(index)).map(|byte| byte.0).collect()
    }
}

impl<T: Plain> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A locked [`Array`]. Guards of one thread nest. Not `Send`: the lock belongs to the thread.
#[derive(Debug)]
#[must_use]
pub struct ArrayGuard<'a> {
    _held: Held<'a>,
}

/// A handle to an array without the calls that lock: each element is whole, and that is all. Writing elements that are not
/// of 1, 2, 4 or 8 bytes still takes the object's lock for the moment, and waits for who has it.
#[must_use]
pub struct RawArray<T: Plain>(Array<T>);

impl<T: Plain> RawArray<T> {
    /// Creates a zeroed array.
    ///
    /// # Errors
    /// As [`Array::create`].
    pub fn create(segment: &Segment, name: &str, len: usize) -> Result<Self, Error> {
        Array::create(segment, name, len).map(Self)
    }

    /// Opens an array. Raw or not is a matter of the handle, not of the object.
    ///
    /// # Errors
    /// As [`Array::open`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Array::open(segment, name).map(Self)
    }

    /// Opens an array of exactly this length, or creates it.
    ///
    /// # Errors
    /// As [`Array::open_or_create`].
    pub fn open_or_create(segment: &Segment, name: &str, len: usize) -> Result<Self, Error> {
        Array::open_or_create(segment, name, len).map(Self)
    }

    /// Number of elements; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Copies the elements from `first` on into `out`.
    ///
    /// # Errors
    /// As [`Array::read`].
    pub fn read(&self, first: usize, out: &mut [T]) -> Result<(), ElementError> {
        self.0.read(first, out)
    }

    /// Copies `elements` into the array from `first` on.
    ///
    /// # Errors
    /// As [`Array::write`].
    pub fn write(&self, first: usize, elements: &[T]) -> Result<(), ElementError> {
        self.0.write(first, elements)
    }

    /// A copy of all elements.
    ///
    /// # Errors
    /// As [`Array::to_vec`].
    pub fn to_vec(&self) -> Result<Vec<T>, LockFailure> {
        self.0.to_vec()
    }

    /// The address of the first element.
    #[cfg(not(ringfence_loom))] // a model has atomics there that only it can use
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.0.as_ptr()
    }
}

impl<T: Plain> fmt::Debug for RawArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
