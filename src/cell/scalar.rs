//! Scalars: elements that are one atomic word.

use crate::plain::{CChar, Plain};

mod sealed {
    pub trait Sealed {}
}

/// An integer, float, `bool` or [`CChar`]: read and changed by single atomic instructions.
pub trait Scalar: Plain + sealed::Sealed {
    /// Its bits, zero-extended.
    #[doc(hidden)]
    fn to_word(self) -> u64;
    /// From its bits; the upper ones are ignored.
    #[doc(hidden)]
    fn from_word(word: u64) -> Self;
}

/// An integer: has arithmetic that wraps at its width.
pub trait Integer: Scalar {}

macro_rules! integers {
    ($($name:ty, $bits:ty);*) => {$(
        impl sealed::Sealed for $name {}
        impl Scalar for $name {
            #[inline]
            fn to_word(self) -> u64 {
                (self as $bits).into()
            }
            #[inline]
            fn from_word(word: u64) -> Self {
                word as Self
            }
        }
        impl Integer for $name {}
    )*};
}

integers!(i8, u8; i16, u16; i32, u32; i64, u64; u8, u8; u16, u16; u32, u32; u64, u64);

macro_rules! others {
    ($($name:ty, $value:ident => $to:expr, $word:ident => $from:expr);*) => {$(
        impl sealed::Sealed for $name {}
        impl Scalar for $name {
            #[inline]
            fn to_word(self) -> u64 {
                let $value = self;
                $to.into()
            }
            #[inline]
            fn from_word($word: u64) -> Self {
                $from
            }
        }
    )*};
}

others!(
    f32, value => value.to_bits(), word => Self::from_bits(word as u32);
    f64, value => value.to_bits(), word => Self::from_bits(word);
    bool, value => value, word => word as u8 != 0;
    CChar, value => value.0, word => Self(word as u8)
);
