//! The element types of values and arrays: C's codes against the library's.

use core::ffi::c_int;

use super::boundary::Failure;
use super::flag::rf_type;
use super::status::rf_status::{RF_E_INVALID, RF_E_NOT_SUPPORTED};
use crate::cell::Type;
use crate::plain::Element as Code;
use crate::segment::directory;

/// What objects are aligned to.
const MAX_ALIGN: usize = 128;

/// Checks a type against the size and alignment that the caller gives for it; a scalar's may be 0.
pub(super) fn element(code: c_int, size: usize, align: usize, tag: &str) -> Result<Type, Failure> {
    let invalid = |text| Failure::new(RF_E_INVALID, text);
    let tag = directory::tag(tag)?;
    let known = u32::try_from(code).ok().and_then(Code::from_code);
    let code = known.ok_or_else(|| invalid(format!("unknown type {code}")))?;
    let (size, align) = match code.size() {
        None if size == 0 || !align.is_power_of_two() || align > MAX_ALIGN => {
            return Err(invalid(format!("a struct of size {size}, align {align}")));
        }
        None => (size, align),
        Some(width) => {
            let width = width as usize;
            if (size != 0 && size != width) || (align != 0 && align != width) {
                return Err(invalid(format!("size {size}, align {align}: this type has {width} and {width}")));
            }
            (width, width)
        }
    };
    Ok(Type { element: code as u32, size, align, tag })
}

/// Why there is no arithmetic.
#[cold]
pub(super) fn no_integer() -> Failure {
    Failure::new(RF_E_NOT_SUPPORTED, "arithmetic on what is no integer")
}

/// Whether the elements are of C's `bool`, which has two bit patterns only.
pub(super) fn is_bool(element: &Type) -> bool {
    element.element == Code::Bool as u32
}

/// Bytes as C's `bool`, whatever they were.
pub(super) fn to_bools(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = (*byte != 0).into());
}

/// A byte as C's `bool`.
pub(super) fn truth(byte: &[u8]) -> &'static [u8] {
    if byte == [0] { &[0] } else { &[1] }
}

/// `rf_type` spells the library's own codes.
const _: () = {
    assert!(rf_type::RF_STRUCT as u32 == Code::Struct as u32 && rf_type::RF_I8 as u32 == Code::I8 as u32);
    assert!(rf_type::RF_I16 as u32 == Code::I16 as u32 && rf_type::RF_I32 as u32 == Code::I32 as u32);
    assert!(rf_type::RF_I64 as u32 == Code::I64 as u32 && rf_type::RF_U8 as u32 == Code::U8 as u32);
    assert!(rf_type::RF_U16 as u32 == Code::U16 as u32 && rf_type::RF_U32 as u32 == Code::U32 as u32);
    assert!(rf_type::RF_U64 as u32 == Code::U64 as u32 && rf_type::RF_F32 as u32 == Code::F32 as u32);
    assert!(rf_type::RF_F64 as u32 == Code::F64 as u32 && rf_type::RF_BOOL as u32 == Code::Bool as u32);
    assert!(rf_type::RF_CHAR as u32 == Code::Char as u32);
};
