//! What every open of an object takes from C.

use core::ffi::{c_char, c_int};

use super::argument::{self, Flags, Out, reference};
use super::boundary::{Failure, Outcome};
use super::segment::rf_segment;
use super::status::rf_status::RF_OK;
use crate::segment::Segment;

/// An open that has been asked for, its arguments checked.
pub(super) struct Opening<'a, T> {
    pub(super) segment: &'a Segment,
    pub(super) name: &'a str,
    pub(super) flags: Flags,
    out: Out<*mut T>,
}

/// Checks the arguments of an open.
///
/// # Safety
/// `segment` is NULL or a handle, `name` as [`argument::name`] wants it, `out` NULL or writable, all for `'a`.
pub(super) unsafe fn opening<'a, T>(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    out: *mut *mut T,
) -> Result<Opening<'a, T>, Failure> {
    // SAFETY: the caller's promise, for every pointer.
    let (segment, name, out) =
        unsafe { (reference(segment, "segment")?, argument::name(name, "name")?, Out::required(out, "out")?) };
    Ok(Opening { segment: &segment.core, name, flags: argument::flags(flags)?, out })
}

impl<T> Opening<'_, T> {
    /// Gives the handle to the caller.
    pub(super) fn give(self, handle: T) -> Outcome {
        self.out.write_handle(handle);
        Ok(RF_OK)
    }
}
