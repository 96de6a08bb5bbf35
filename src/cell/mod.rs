//! Typed values and arrays.
//!
//! Elements of 1, 2, 4 or 8 bytes lie as they are and are accessed by single atomic instructions; others are kept twice
//! ([`raw::cell`](crate::raw::cell)), so that no death tears them. Each object starts with a reentrant lock for changes
//! of more than one step.

mod any_array;
mod any_value;
mod array;
mod lock;
mod scalar;
mod slot;
mod value;

#[cfg(feature = "capi")]
pub use any_array::AnyArray;
#[cfg(feature = "capi")]
pub use any_value::{AnyValue, Type};
pub use array::{Array, ArrayGuard, ElementError, OutOfRange, RawArray};
pub use scalar::{Integer, Scalar};
#[cfg(feature = "capi")]
pub use slot::Change;
pub use value::{RawValue, Value, ValueGuard};
