//! What may lie in shared memory: plain data, and how each language names its type.

use bytemuck::{AnyBitPattern, NoUninit};

/// The element types that every language knows. The numbers are part of the layout and of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Element {
    /// A struct, told apart by size, alignment and tag.
    Struct = 0,
    /// `i8`, C `int8_t`, Python `'b'`.
    I8 = 1,
    /// `i16`, C `int16_t`, Python `'h'`.
    I16 = 2,
    /// `i32`, C `int32_t`, Python `'i'`.
    I32 = 3,
    /// `i64`, C `int64_t`, Python `'q'`.
    I64 = 4,
    /// `u8`, C `uint8_t`, Python `'B'`.
    U8 = 5,
    /// `u16`, C `uint16_t`, Python `'H'`.
    U16 = 6,
    /// `u32`, C `uint32_t`, Python `'I'`.
    U32 = 7,
    /// `u64`, C `uint64_t`, Python `'Q'`.
    U64 = 8,
    /// `f32`, C `float`, Python `'f'`.
    F32 = 9,
    /// `f64`, C `double`, Python `'d'`.
    F64 = 10,
    /// `bool`, C `bool`, Python `'?'`: one byte, 0 is false.
    Bool = 11,
    /// [`CChar`], C `char`, Python `'c'`.
    Char = 12,
}

impl Element {
    /// The element with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        const ALL: [Element; 13] = [
            Element::Struct,
            Element::I8,
            Element::I16,
            Element::I32,
            Element::I64,
            Element::U8,
            Element::U16,
            Element::U32,
            Element::U64,
            Element::F32,
            Element::F64,
            Element::Bool,
            Element::Char,
        ];
        ALL.into_iter().find(|element| *element as u32 == code)
    }

    /// Its size in bytes, which is also its alignment; `None` for a struct.
    #[must_use]
    pub fn size(self) -> Option<u32> {
        match self {
            Self::Struct => None,
            Self::I8 | Self::U8 | Self::Bool | Self::Char => Some(1),
            Self::I16 | Self::U16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 => Some(4),
            Self::I64 | Self::U64 | Self::F64 => Some(8),
        }
    }
}

/// Data that may be copied into and out of shared memory: every bit pattern of its [`Bits`](Self::Bits) is valid, and
/// nothing in it is padding or a pointer.
///
/// Implemented for integers, floats, `bool`, [`CChar`], `()` and arrays of those; for a struct of your own derive
/// bytemuck's traits and name it to [`plain!`](crate::plain!).
pub trait Plain: Copy + Send + 'static {
    /// What lies in shared memory.
    type Bits: NoUninit + AnyBitPattern;
    /// What other languages call it.
    const ELEMENT: Element = Element::Struct;
    /// A name chosen by you that tells structs of equal size apart: at most 31 bytes, the same in every language. An
    /// empty tag matches only an empty tag.
    const TAG: &'static str = "";
    /// As it lies in shared memory.
    fn to_bits(self) -> Self::Bits;
    /// From what lies in shared memory, which may be anything.
    fn from_bits(bits: Self::Bits) -> Self;
}

/// Makes structs [`Plain`]. They must be `Copy` and have bytemuck's `NoUninit` and `AnyBitPattern` (`Pod` implies both).
///
/// ```
/// use ringfence::bytemuck::{Pod, Zeroable};
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[bytemuck(crate = "ringfence::bytemuck")]
/// #[repr(C)]
/// struct Task {
///     file: u64,
///     offset: u64,
/// }
/// ringfence::plain!(Task, tag = "task/1");
/// ```
#[macro_export]
macro_rules! plain {
    ($name:ty) => {
        $crate::plain!($name, tag = "");
    };
    ($name:ty, tag = $tag:expr) => {
        impl $crate::Plain for $name {
            type Bits = Self;
            const TAG: &'static str = $tag;
            fn to_bits(self) -> Self {
                self
            }
            fn from_bits(bits: Self) -> Self {
                bits
            }
        }
    };
}

/// One byte of text, C's `char`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct CChar(pub u8);

macro_rules! scalars {
    ($($name:ty => $element:ident),*) => {$(
        impl Plain for $name {
            type Bits = Self;
            const ELEMENT: Element = Element::$element;
            #[inline]
            fn to_bits(self) -> Self {
                self
            }
            #[inline]
            fn from_bits(bits: Self) -> Self {
                bits
            }
        }
    )*};
}

scalars!(
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, f32 => F32, f64 => F64,
    CChar => Char
);
plain!(());
plain!(u128);
plain!(i128);

impl Plain for bool {
    type Bits = u8;
    const ELEMENT: Element = Element::Bool;
    #[inline]
    fn to_bits(self) -> u8 {
        self.into()
    }
    #[inline]
    fn from_bits(bits: u8) -> Self {
        bits != 0
    }
}

impl<T: Plain<Bits = T> + NoUninit + AnyBitPattern, const N: usize> Plain for [T; N]
where
    [T; N]: NoUninit + AnyBitPattern,
{
    type Bits = Self;
    #[inline]
    fn to_bits(self) -> Self {
        self
    }
    #[inline]
    fn from_bits(bits: Self) -> Self {
        bits
    }
}
