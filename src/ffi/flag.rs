//! # Flags, types and time-outs

/// The flags of an open, or-ed into an `int`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub enum rf_flags {
    /// Make what is not there.
    RF_CREATE = 1,
    /// With `RF_CREATE`: fail with `RF_E_EXISTS` if it is there.
    RF_EXCL = 2,
    /// A signal handler that runs ends a wait on this handle with `RF_E_INTERRUPTED`.
    RF_INTERRUPTIBLE = 4,
}

/// The element type of a value or an array. Both sides must name the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum rf_type {
    /// Plain data of any size: no pointers, and every bit pattern is valid. Known by size, alignment and tag.
    RF_STRUCT = 0,
    /// `int8_t`
    RF_I8 = 1,
    /// `int16_t`
    RF_I16 = 2,
    /// `int32_t`
    RF_I32 = 3,
    /// `int64_t`
    RF_I64 = 4,
    /// `uint8_t`
    RF_U8 = 5,
    /// `uint16_t`
    RF_U16 = 6,
    /// `uint32_t`
    RF_U32 = 7,
    /// `uint64_t`
    RF_U64 = 8,
    /// `float`
    RF_F32 = 9,
    /// `double`
    RF_F64 = 10,
    /// `bool`: one byte, 0 or 1; every other one counts as 1.
    RF_BOOL = 11,
    /// `char`: one byte of text, no integer: there is no arithmetic on it.
    RF_CHAR = 12,
}

/// A time-out that never comes.
pub const RF_FOREVER: i64 = i64::MIN;
