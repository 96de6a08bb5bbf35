//! # Arrays
//!
//! A fixed number of elements of one type that processes share. Each element is read and written whole: those of 1, 2, 4
//! or 8 bytes in one step; others are kept twice, so that a death in the middle of a write leaves the old one.
//!
//! What spans several elements is one moment's only under the array's lock, if everybody who writes takes it. The lock is
//! reentrant: a thread that has it may lock again, and unlocks as often.
//!
//! Integers are passed as `int64_t`, and there is arithmetic on `RF_I8` to `RF_U64` only; `RF_BOOL` is 0 or 1: every other
//! byte, written here or found in memory, counts as 1. Both as for values.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, boundary};
use super::element::{element, is_bool, no_integer, to_bools, truth};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::cell::{AnyArray, Change, ElementError, OutOfRange};

/// A handle to an array.
pub struct rf_array {
    core: AnyArray,
    size: usize,
    boolean: bool,
}

/// Opens the array of that name, or makes it, all zero.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param type     of `rf_type`; both sides name the same one
/// @param size     bytes of an element; for scalars 0 will do
/// @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
/// @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
/// @param len      how many elements: at least 1; 0 without RF_CREATE takes what is there
/// @param out      the handle; `rf_array_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type or
/// length), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    r#type: c_int,
    size: usize,
    align: usize,
    tag: *const c_char,
    len: usize,
    out: *mut *mut rf_array,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let element = element(r#type, size, align, tag)?;
        let core = AnyArray::open(open.segment, open.name, open.flags.mode, element, len)?;
        core.object.set_interruptible(open.flags.interruptible);
        open.give(rf_array { core, size: element.size, boolean: is_bool(&element) })
    })
}

/// How many elements the array has.
///
/// @param array  the array
/// @param len    the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_len(array: *const rf_array, len: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(array, "array", len, "len", |array| Ok(array.core.len())) })
}

/// Reads elements.
///
/// @param array  the array
/// @param first  index of the first, from 0
/// @param count  how many; 0 reads nothing
/// @param out    room for `count` elements; of RF_BOOL, 0 or 1 whatever lies in memory
/// @return RF_OK, RF_E_INTERRUPTED (nothing was read), RF_E_CORRUPTED, RF_E_INVALID (beyond the end, or NULL)
///
/// Threads, processes: any number at once. Each element is read whole; under the lock, so is the row. An element that is
/// not of 1, 2, 4 or 8 bytes and is changed all the time is read under the lock in the end, for which the call waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_read(array: *const rf_array, first: usize, count: usize, out: *mut c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { reference(array, "array")? };
        let len = array.bytes(first, count)?;
        // SAFETY: the caller's promise.
        let out = unsafe { argument::bytes_mut(out, len, "out")? };
        if matches!(array.size, 1 | 2 | 4 | 8) {
            // Once the range is checked nothing can fail.
            array.core.read_bytes(first, out)?;
            if array.boolean {
                to_bools(out);
            }
        } else {
            argument::fill_on_success(out, |out| array.core.read_bytes(first, out))?;
        }
        Ok(RF_OK)
    })
}

/// Writes elements.
///
/// @param array     the array
/// @param first     index of the first, from 0
/// @param count     how many; 0 writes nothing
/// @param elements  `count` elements; of RF_BOOL, every byte but 0 is written as 1
/// @return RF_OK, RF_E_INTERRUPTED (nothing was written), RF_E_MAXIMUM_REACHED (the calling thread has locked the array
/// 2^32 - 1 times), RF_E_CORRUPTED, RF_E_INVALID (beyond the end, or NULL)
///
/// Threads, processes: any number at once; elements that are not of 1, 2, 4 or 8 bytes are written under the lock, which
/// the call takes and waits for. Crash: killed in the middle, each element is the old or the new one; of a row, a part may
/// be written. Take the lock, and its next owner is told (RF_OWNER_DIED).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_write(
    array: *const rf_array,
    first: usize,
    count: usize,
    elements: *const c_void,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { reference(array, "array")? };
        let len = array.bytes(first, count)?;
        // SAFETY: the caller's promise.
        array.write(first, unsafe { argument::bytes(elements, len, "elements")? })?;
        Ok(RF_OK)
    })
}

/// Reads one element. As `rf_array_read` with a count of 1.
///
/// @param array  the array
/// @param index  from 0
/// @param out    room for the element
/// @return what `rf_array_read` returns
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_get(array: *const rf_array, index: usize, out: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { rf_array_read(array, index, 1, out) }
}

/// Writes one element. As `rf_array_write` with a count of 1.
///
/// @param array    the array
/// @param index    from 0
/// @param element  the element
/// @return what `rf_array_write` returns
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_set(array: *const rf_array, index: usize, element: *const c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { rf_array_write(array, index, 1, element) }
}

/// Writes one element to all places.
///
/// @param array    the array
/// @param element  the element
/// @return what `rf_array_write` returns; the lock is taken once for all places
///
/// Crash: as `rf_array_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_fill(array: *const rf_array, element: *const c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { reference(array, "array")? };
        // SAFETY: the caller's promise.
        let element = unsafe { argument::bytes(element, array.size, "element")? };
        array.core.fill_bytes(if array.boolean { truth(element) } else { element })?;
        Ok(RF_OK)
    })
}

/// The address of the elements in this process, for access without copies (NumPy): a C array, of elements of 1, 2, 4 or 8
/// bytes. Another process may change them at any time: use C11 or C++ atomics, or the lock, everybody. A faulty peer may
/// write any byte into an RF_BOOL: read it as `uint8_t` here.
///
/// @param array     the array
/// @param elements  the address of the first, valid until the handle is closed
/// @return RF_OK, RF_E_NOT_SUPPORTED (elements of another size, which are kept twice), RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_pointer(array: *const rf_array, elements: *mut *mut c_void) -> c_int {
    let address = |array: &rf_array| match array.size {
        1 | 2 | 4 | 8 => Ok(array.core.as_ptr().as_ptr().cast()),
        size => Err(Failure::new(RF_E_NOT_SUPPORTED, format!("elements of {size} bytes have no plain address"))),
    };
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(array, "array", elements, "elements", address) })
}

/// Locks the array for the calling thread, once more if it has it.
///
/// @param array       the array
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: a row that it was about to write may
/// be half done; each element is whole); RF_E_BUSY (somebody has it, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
/// RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times), RF_E_CORRUPTED
///
/// Crash: a thread or process that ends while holding the lock passes it on with RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_lock(array: *const rf_array, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { reference(array, "array")? };
        Ok(array.core.object.lock(argument::deadline(timeout_ns))?.into())
    })
}

/// Unlocks the array once.
///
/// @param array  the array
/// @return RF_OK, RF_E_NOT_OWNER (the calling thread does not have it)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_unlock(array: *const rf_array) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(array, "array")? }.core.object.unlock()?;
        Ok(RF_OK)
    })
}

/// Which process holds the array's lock: for humans who look for the cause of a hang. It may change at once.
///
/// @param array  the array
/// @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_holder(array: *const rf_array, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(array, "array", pid, "pid", |array| Ok(array.core.object.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Adds to an integer element in one step.
///
/// @param array     an array of an integer type
/// @param index     from 0
/// @param operand   what to add; it wraps
/// @param previous  what the element was; may be NULL
/// @return RF_OK, RF_E_NOT_SUPPORTED (no integer: RF_F32, RF_F64, RF_BOOL, RF_CHAR, RF_STRUCT), RF_E_INVALID (beyond the
/// end, or NULL)
///
/// Threads, processes: any number at once, whoever has the lock. Crash: killed in the middle, it is done or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_fetch_add(
    array: *const rf_array,
    index: usize,
    operand: i64,
    previous: *mut i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (array, previous) = unsafe { (reference(array, "array")?, Out::optional(previous, "previous")?) };
        previous.write(array.core.change(index, Change::Add, operand).ok_or_else(no_integer)??);
        Ok(RF_OK)
    })
}

/// Writes an integer element if it is what the caller expects, in one step.
///
/// @param array     an array of an integer type
/// @param index     from 0
/// @param expected  what the element should be
/// @param new       what to write then; it wraps
/// @param previous  what the element was; may be NULL
/// @return RF_OK (written), RF_DIFFERENT (it was something else and stays so), RF_E_NOT_SUPPORTED (no integer),
/// RF_E_INVALID (beyond the end, or NULL)
///
/// Threads, processes: any number at once, whoever has the lock. Crash: killed in the middle, it is done or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_compare_exchange(
    array: *const rf_array,
    index: usize,
    expected: i64,
    new: i64,
    previous: *mut i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (array, previous) = unsafe { (reference(array, "array")?, Out::optional(previous, "previous")?) };
        let (found, status) = match array.core.compare_exchange(index, expected, new).ok_or_else(no_integer)?? {
            Ok(found) => (found, RF_OK),
            Err(found) => (found, RF_DIFFERENT),
        };
        previous.write(found);
        Ok(status)
    })
}

/// Gives the handle back. The array stays; one that the calling thread has locked stays locked.
///
/// @param array  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_array_close(array: *mut rf_array) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(array) })
}

impl rf_array {
    /// The length in bytes of a row that lies inside the array.
    fn bytes(&self, first: usize, count: usize) -> Result<usize, OutOfRange> {
        // No overflow: the array lies in memory.
        self.core.slots(first, count).map(|_| count * self.size)
    }

    /// Writes whole elements.
    fn write(&self, first: usize, elements: &[u8]) -> Result<(), ElementError> {
        if !self.boolean {
            return self.core.write_bytes(first, elements);
        }
        // A piece at a time: what the caller gave is not ours to change, and may be long.
        let mut piece = [0; 64];
        elements.chunks(piece.len()).zip((first..).step_by(piece.len())).try_for_each(|(bytes, at)| {
            let piece = &mut piece[..bytes.len()];
            piece.copy_from_slice(bytes);
            to_bools(piece);
            self.core.write_bytes(at, piece)
        })
    }
}
