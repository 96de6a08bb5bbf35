//! # Values
//!
//! One typed value that processes share. What is read is always a value that was written, whole: scalars (everything but
//! `RF_STRUCT`) are changed in one step; larger values are kept twice, so that a death in the middle of a write leaves the
//! old one.
//!
//! `rf_value_get`, `rf_value_set` and the arithmetic need no lock. To change a value depending on what it was, in more
//! than one step, lock it; everybody else who changes it so must lock too. The lock is reentrant: a thread that has it may
//! lock again, and unlocks as often. Rust's `RawValue` and `RawArray` are handles to the same objects without the calls
//! that lock: in C that is a handle on which nobody calls them.
//!
//! Integers are passed as `int64_t` whatever their type: converted to it as C does, wrapped to the type as C does for
//! unsigned numbers. There is arithmetic on `RF_I8` to `RF_U64` only: floating-point numbers, `RF_BOOL`, `RF_CHAR` and
//! structs are no integers.
//!
//! `RF_BOOL` is 0 or 1: every other byte, written here or found in memory, counts as 1.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Outcome, boundary};
use super::element::{element, is_bool, no_integer, to_bools, truth};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::cell::{AnyValue, Change};

/// A handle to a value.
pub struct rf_value {
    core: AnyValue,
    size: usize,
    boolean: bool,
}

/// Opens the value of that name, or makes it.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param type     of `rf_type`; both sides name the same one
/// @param size     bytes of the value; for scalars 0 will do
/// @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
/// @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
/// @param initial  `size` bytes, the value if this call makes it; NULL for all zero
/// @param out      the handle; `rf_value_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    r#type: c_int,
    size: usize,
    align: usize,
    tag: *const c_char,
    initial: *const c_void,
    out: *mut *mut rf_value,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let element = element(r#type, size, align, tag)?;
        let initial = if initial.is_null() {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { argument::bytes(initial, element.size, "initial")? })
        };
        let boolean = is_bool(&element);
        let initial = initial.map(|initial| if boolean { truth(initial) } else { initial });
        let core = AnyValue::open(open.segment, open.name, open.flags.mode, element, initial)?;
        core.object.set_interruptible(open.flags.interruptible);
        open.give(rf_value { core, size: element.size, boolean })
    })
}

/// Reads the value.
///
/// @param value  the value
/// @param out    room for it; of an RF_BOOL, 0 or 1 whatever lies in memory
/// @return RF_OK, RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any number at once, whoever has the lock. A struct that is changed all the time is read under the
/// lock in the end, for which the call waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_get(value: *const rf_value, out: *mut c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // SAFETY: the caller's promise.
        let out = unsafe { argument::bytes_mut(out, value.size, "out")? };
        argument::fill_on_success(out, |out| value.core.get_bytes(out))?;
        if value.boolean {
            to_bools(out);
        }
        Ok(RF_OK)
    })
}

/// Writes the value.
///
/// A scalar is written whoever has the lock. A larger value (RF_STRUCT) is written under the lock, which the call takes
/// and waits for if another thread has it.
///
/// @param value  the value
/// @param new    the bytes to write; of an RF_BOOL, every byte but 0 is written as 1
/// @return RF_OK, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it as often as can be counted),
/// RF_E_CORRUPTED, RF_E_INVALID
///
/// Crash: killed in the middle, the value is the old or the new one, never a mixture.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_set(value: *const rf_value, new: *const c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // SAFETY: the caller's promise.
        let new = unsafe { argument::bytes(new, value.size, "new")? };
        value.core.set_bytes(if value.boolean { truth(new) } else { new })?;
        Ok(RF_OK)
    })
}

/// Locks the value for the calling thread, once more if it has it.
///
/// @param value       the value
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: what it was about to change in several steps may be
/// half done; everything that was set is whole); RF_E_BUSY (somebody has it, and not to wait), RF_E_TIMED_OUT,
/// RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times), RF_E_CORRUPTED
///
/// Crash: a thread or process that ends while holding the lock passes it on with RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_lock(value: *const rf_value, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        Ok(value.core.object.lock(argument::deadline(timeout_ns))?.into())
    })
}

/// Unlocks the value once.
///
/// @param value  the value
/// @return RF_OK, RF_E_NOT_OWNER (the calling thread does not have it)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_unlock(value: *const rf_value) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(value, "value")? }.core.object.unlock()?;
        Ok(RF_OK)
    })
}

/// Which process holds the value's lock: for humans who look for the cause of a hang. It may change at once.
///
/// @param value  the value
/// @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_holder(value: *const rf_value, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(value, "value", pid, "pid", |value| Ok(value.core.object.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Adds to an integer in one step.
///
/// @param value     a value of an integer type
/// @param operand   what to add; it wraps
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer: RF_F32, RF_F64, RF_BOOL, RF_CHAR, RF_STRUCT), RF_E_INVALID
///
/// Threads, processes: any number at once, whoever has the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_fetch_add(value: *const rf_value, operand: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::Add, operand) })
}

/// Subtracts from an integer in one step. As `rf_value_fetch_add`.
///
/// @param value     a value of an integer type
/// @param operand   what to subtract; it wraps
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_fetch_sub(value: *const rf_value, operand: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::Sub, operand) })
}

/// Clears the bits of an integer that `operand` does not have, in one step. As `rf_value_fetch_add`.
///
/// @param value     a value of an integer type
/// @param operand   the bits to keep
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_fetch_and(value: *const rf_value, operand: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::And, operand) })
}

/// Sets the bits of an integer that `operand` has, in one step. As `rf_value_fetch_add`.
///
/// @param value     a value of an integer type
/// @param operand   the bits to set
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_fetch_or(value: *const rf_value, operand: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::Or, operand) })
}

/// Inverts the bits of an integer that `operand` has, in one step. As `rf_value_fetch_add`.
///
/// @param value     a value of an integer type
/// @param operand   the bits to invert
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_fetch_xor(value: *const rf_value, operand: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::Xor, operand) })
}

/// Writes an integer and tells what it was, in one step. As `rf_value_fetch_add`.
///
/// @param value     a value of an integer type
/// @param new       what to write; it wraps
/// @param previous  what the value was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_swap(value: *const rf_value, new: i64, previous: *mut i64) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { change(value, previous, Change::Swap, new) })
}

/// Writes an integer if it is what the caller expects, in one step.
///
/// @param value     a value of an integer type
/// @param expected  what it should be
/// @param new       what to write then; it wraps
/// @param previous  what the value was; may be NULL
/// @return RF_OK (written), RF_DIFFERENT (it was something else and stays so), RF_E_NOT_SUPPORTED (no integer),
/// RF_E_INVALID
///
/// Threads, processes: any number at once, whoever has the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_compare_exchange(
    value: *const rf_value,
    expected: i64,
    new: i64,
    previous: *mut i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (value, previous) = unsafe { (reference(value, "value")?, Out::optional(previous, "previous")?) };
        let (found, status) = match value.core.compare_exchange(expected, new).ok_or_else(no_integer)? {
            Ok(found) => (found, RF_OK),
            Err(found) => (found, RF_DIFFERENT),
        };
        previous.write(found);
        Ok(status)
    })
}

/// Gives the handle back. The value stays; one that the calling thread has locked stays locked.
///
/// @param value  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_value_close(value: *mut rf_value) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(value) })
}

/// Changes an integer and tells what it was.
///
/// # Safety
/// `value` is NULL or a handle; `previous` is NULL or writable.
unsafe fn change(value: *const rf_value, previous: *mut i64, change: Change, operand: i64) -> Outcome {
    // SAFETY: the caller's promise.
    let (value, previous) = unsafe { (reference(value, "value")?, Out::optional(previous, "previous")?) };
    previous.write(value.core.change(change, operand).ok_or_else(no_integer)?);
    Ok(RF_OK)
}
