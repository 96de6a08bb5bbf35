//! What comes from C is checked here, once, before anything uses it.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::time::Duration;

use super::boundary::{Failure, Outcome};
use super::flag::{RF_FOREVER, rf_flags};
use super::status::rf_status::{self, RF_E_INVALID, RF_E_NAME};
use crate::segment::directory::Mode;
use crate::sys::nap::Deadline;

/// No string of ours is longer: a name that is not terminated is read so far and no further.
const STRING_LIMIT: usize = 256;

pub(super) fn invalid(text: String) -> Failure {
    Failure::new(RF_E_INVALID, text)
}

/// The handle or struct behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody changes for `'a`.
pub(super) unsafe fn reference<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Failure> {
    if pointer.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    if !pointer.is_aligned() {
        return Err(invalid(format!("{what} is misaligned")));
    }
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// The handle behind a pointer, for a call that excludes all others on it.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody else uses for `'a`.
pub(super) unsafe fn exclusive<'a, T>(pointer: *mut T, what: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { reference(pointer, what)? };
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    Ok(unsafe { &mut *pointer })
}

/// An out-parameter, to be written when the call has succeeded.
#[derive(Debug)]
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or points to room for a `T`, writable until [`Out::write`].
    pub(super) unsafe fn required(pointer: *mut T, what: &str) -> Result<Self, Failure> {
        if pointer.is_null() || !pointer.is_aligned() {
            return Err(invalid(format!("{what} is NULL or misaligned")));
        }
        Ok(Self(pointer))
    }

    /// As [`Out::required`], but NULL means that the caller does not want to know.
    ///
    /// # Safety
    /// As [`Out::required`].
    pub(super) unsafe fn optional(pointer: *mut T, what: &str) -> Result<Self, Failure> {
        if !pointer.is_aligned() {
            return Err(invalid(format!("{what} is misaligned")));
        }
        Ok(Self(pointer))
    }

    pub(super) fn write(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: checked at construction; the constructor's caller promised room.
            unsafe { self.0.write(value) }
        }
    }
}

impl<T> Out<*mut T> {
    /// Gives a new handle away; `rf_.._close` takes it back.
    pub(super) fn write_handle(self, handle: T) {
        self.write(Box::into_raw(Box::new(handle)));
    }
}

/// Takes a handle back and drops it; NULL is none.
///
/// # Safety
/// `handle` is NULL or came from [`Out::write_handle`], and nobody uses it any more.
pub(super) unsafe fn close<T>(handle: *mut T) -> Outcome {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(handle) });
    }
    Ok(rf_status::RF_OK)
}

/// Asks a handle something and writes the answer.
///
/// # Safety
/// `handle` is NULL or points to a live `T`; `out` is NULL or points to room for an answer.
pub(super) unsafe fn tell<T, A>(
    handle: *const T,
    handle_name: &str,
    out: *mut A,
    out_name: &str,
    ask: impl FnOnce(&T) -> Result<A, Failure>,
) -> Outcome {
    // SAFETY: the caller's promise.
    let (handle, out) = unsafe { (reference(handle, handle_name)?, Out::required(out, out_name)?) };
    out.write(ask(handle)?);
    Ok(rf_status::RF_OK)
}

/// The bytes that a call reads.
///
/// # Safety
/// `pointer` is NULL or points to `len` readable bytes that nobody changes for `'a`.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, len: usize, what: &str) -> Result<&'a [u8], Failure> {
    check_range(pointer, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, at most isize::MAX bytes; the rest is the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(pointer.cast(), len) })
}

/// The bytes that a call fills.
///
/// # Safety
/// `pointer` is NULL or points to `len` writable bytes that nobody else uses for `'a`.
pub(super) unsafe fn bytes_mut<'a>(pointer: *mut c_void, len: usize, what: &str) -> Result<&'a mut [u8], Failure> {
    check_range(pointer, len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as in `bytes`. The caller's bytes may be uninitialised; no code of ours reads them before it writes them,
    // and a `u8` that came from outside the language has no uninitialised state for the compiler to see.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer.cast(), len) })
}

/// The structs that a call reads.
///
/// # Safety
/// `pointer` is NULL or points to `count` readable `T` that nobody changes for `'a`.
pub(super) unsafe fn items<'a, T>(pointer: *const T, count: usize, what: &str) -> Result<&'a [T], Failure> {
    check_range(pointer.cast(), count.saturating_mul(size_of::<T>()), what)?;
    if count == 0 {
        return Ok(&[]);
    }
    if !pointer.is_aligned() {
        return Err(invalid(format!("{what} is misaligned")));
    }
    // SAFETY: not NULL, aligned, at most isize::MAX bytes; the rest is the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(pointer, count) })
}

/// The numbers that a call fills.
///
/// # Safety
/// `pointer` is NULL or points to `count` writable numbers that nobody else uses for `'a`.
pub(super) unsafe fn items_mut<'a>(pointer: *mut usize, count: usize, what: &str) -> Result<&'a mut [usize], Failure> {
    // SAFETY: the caller's promise.
    if unsafe { items(pointer.cast_const(), count, what)? }.is_empty() {
        return Ok(&mut []);
    }
    // SAFETY: just checked. As in `bytes_mut`, nothing reads them before it writes them.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, count) })
}

/// Fills the caller's bytes only if `fill` succeeds: what it reads optimistically and discards goes into other memory.
#[inline]
pub(super) fn fill_on_success<E>(out: &mut [u8], fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
    with_scratch(out.len(), |scratch| {
        fill(scratch)?;
        out.copy_from_slice(scratch);
        Ok(())
    })
}

/// Lends `len` bytes of memory that nobody else sees.
#[inline]
pub(super) fn with_scratch<R>(len: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
    const SHORT: usize = 64;
    if len <= SHORT {
        return act(&mut [0; SHORT][..len]);
    }
    with_long_scratch(len, act)
}

fn with_long_scratch<R>(len: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        /// Kept, since allocating costs more than copying. Taken out while in use.
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    let result = act(&mut scratch[..len]);
    let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    result
}

fn check_range(pointer: *const c_void, len: usize, what: &str) -> Result<(), Failure> {
    if pointer.is_null() && len != 0 {
        return Err(invalid(format!("{what} is NULL")));
    }
    if pointer.addr().checked_add(len).is_none() || isize::try_from(len).is_err() {
        return Err(invalid(format!("{what} of {len} bytes goes beyond the address space")));
    }
    Ok(())
}

/// A name.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string, or to at least 256 readable bytes.
pub(super) unsafe fn name<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    let mut len = 0;
    // SAFETY: every byte before the terminator, or before the limit, is readable by the caller's promise.
    while unsafe { *pointer.add(len) } != 0 {
        len += 1;
        if len == STRING_LIMIT {
            return Err(Failure::new(RF_E_NAME, format!("{what} is longer than {} bytes", STRING_LIMIT - 1)));
        }
    }
    // SAFETY: these bytes have just been read.
    let bytes = unsafe { core::slice::from_raw_parts(pointer.cast::<u8>(), len) };
    core::str::from_utf8(bytes).map_err(|_| Failure::new(RF_E_NAME, format!("{what} is not UTF-8")))
}

/// A tag; NULL is the empty one.
///
/// # Safety
/// As [`name`].
pub(super) unsafe fn tag<'a>(pointer: *const c_char) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Ok("");
    }
    // SAFETY: the caller's promise.
    unsafe { name(pointer, "tag") }
}

/// The flags of an open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) mode: Mode,
    pub(super) interruptible: bool,
}

/// Checks the flags of an open.
pub(super) fn flags(flags: c_int) -> Result<Flags, Failure> {
    let has = |flag: rf_flags| flags & flag as c_int != 0;
    let known = rf_flags::RF_CREATE as c_int | rf_flags::RF_EXCL as c_int | rf_flags::RF_INTERRUPTIBLE as c_int;
    if flags & !known != 0 {
        return Err(invalid(format!("unknown flags {:#x}", flags & !known)));
    }
    if has(rf_flags::RF_EXCL) && !has(rf_flags::RF_CREATE) {
        return Err(invalid("RF_EXCL without RF_CREATE".to_owned()));
    }
    let mode = match (has(rf_flags::RF_CREATE), has(rf_flags::RF_EXCL)) {
        (false, _) => Mode::Open,
        (true, false) => Mode::OpenOrCreate,
        (true, true) => Mode::Create,
    };
    Ok(Flags { mode, interruptible: has(rf_flags::RF_INTERRUPTIBLE) })
}

/// A truth value that comes as 0 or 1.
pub(super) fn truth(value: c_int) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid(format!("{other} is neither 0 nor 1"))),
    }
}

/// When a call with this time-out gives up.
#[inline]
pub(super) fn deadline(timeout_ns: i64) -> Deadline {
    match timeout_ns {
        RF_FOREVER => Deadline::Forever,
        1.. => Deadline::after(Duration::from_nanos(timeout_ns.unsigned_abs())),
        _ => Deadline::Now,
    }
}
