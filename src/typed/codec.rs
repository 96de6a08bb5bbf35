//! From a value to the bytes of its message, and back.
//!
//! The bytes of a message are anybody's who may write to the segment, and the decoder recurses: for an enum that contains itself,
//! a megabyte of nested beginnings would overflow the stack, which no process survives. So [`check`] first walks over
//! the message, without recursion and without looking at what it means: it is one value, each length in it is one of bytes or
//! values that are there, and nothing lies deeper than [`DEEPEST`]. What a sender encodes goes the same way: what no receiver
//! would take is not sent.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::{DecodeError, EncodeError, Reason};

/// Arrays and maps inside each other. As many as serde_json allows; no stack is too small for it.
const DEEPEST: usize = 128;

/// The message of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let message = rmp_serde::to_vec_named(value).map_err(|error| EncodeError { reason: error.into() })?;
    check(&message).map_err(|flaw| EncodeError { reason: flaw.into() })?;
    Ok(message)
}

/// Appends the message of a value; nothing, if it has none.
#[cfg(feature = "process")]
pub(crate) fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = bytes.len();
    let written = match rmp_serde::encode::write_named(bytes, value) {
        Ok(()) => check(&bytes[start..]).map_err(|flaw| EncodeError { reason: flaw.into() }),
        Err(error) => Err(EncodeError { reason: error.into() }),
    };
    if written.is_err() {
        bytes.truncate(start);
    }
    written
}

/// The value of a message, which comes back if it is none.
pub(crate) fn decode<T: DeserializeOwned>(message: Vec<u8>) -> Result<T, DecodeError> {
    value(&message).map_err(|reason| DecodeError { message, reason })
}

/// The value of a message that lies elsewhere, copied into the error if it is none.
#[cfg(feature = "process")]
pub(crate) fn decode_slice<T: DeserializeOwned>(message: &[u8]) -> Result<T, DecodeError> {
    value(message).map_err(|reason| DecodeError { message: message.to_vec(), reason })
}

fn value<T: DeserializeOwned>(message: &[u8]) -> Result<T, Reason> {
    check(message)?;
    Ok(rmp_serde::from_slice(message)?)
}

/// Why bytes are not one value of MessagePack that we decode.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    CutShort,
    Trailing,
    Reserved,
    TooDeep,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort => f.write_str("it ends before its value does"),
            Self::Trailing => f.write_str("something follows its value"),
            Self::Reserved => f.write_str("it has a byte that begins no value"),
            Self::TooDeep => write!(f, "more than {DEEPEST} arrays and maps lie inside each other"),
        }
    }
}

impl std::error::Error for Flaw {}

/// Most values are shallow: to make room for all levels takes longer than to walk over them.
const SHALLOW: usize = 4;

/// Walks over a message.
#[inline]
fn check(message: &[u8]) -> Result<(), Flaw> {
    match check_to::<SHALLOW>(message) {
        Err(Flaw::TooDeep) => check_to::<DEEPEST>(message),
        checked => checked,
    }
}

/// The same, down to a level; of each it keeps how many values are still to come.
fn check_to<const LEVELS: usize>(message: &[u8]) -> Result<(), Flaw> {
    let mut missing = [0_u64; LEVELS];
    let mut depth = 0;
    let mut rest = message;
    loop {
        let (bytes, values);
        (bytes, values, rest) = begin(rest)?;
        let bytes = usize::try_from(bytes).map_err(|_| Flaw::CutShort)?;
        rest = rest.get(bytes..).ok_or(Flaw::CutShort)?;
        if values > 0 {
            *missing.get_mut(depth).ok_or(Flaw::TooDeep)? = values;
            depth += 1;
            continue;
        }
        // A value has ended, and with it each whose last one it was.
        loop {
            let Some(level) = missing[..depth].last_mut() else {
                return if rest.is_empty() { Ok(()) } else { Err(Flaw::Trailing) };
            };
            *level -= 1;
            if *level > 0 {
                break;
            }
            depth -= 1;
        }
    }
}

/// Reads the beginning of a value: how many bytes of its own and how many values follow, and what is behind the beginning.
fn begin(rest: &[u8]) -> Result<(u64, u64, &[u8]), Flaw> {
    let (&marker, rest) = rest.split_first().ok_or(Flaw::CutShort)?;
    // A length of so many bytes, the most significant one first.
    let length = |width: usize| {
        let (length, rest) = rest.split_at_checked(width).ok_or(Flaw::CutShort)?;
        Ok((length.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)), rest))
    };
    let fixed = |bytes, values| Ok((bytes, values, rest));
    let low = u64::from(marker & 0x0f);
    match marker {
        // nil, false, true, small numbers
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => fixed(0, 0),
        0x80..=0x8f => fixed(0, 2 * low),
        0x90..=0x9f => fixed(0, low),
        0xa0..=0xbf => fixed(u64::from(marker & 0x1f), 0),
        0xc1 => Err(Flaw::Reserved),
        // bin, str
        0xc4 | 0xd9 => length(1).map(|(bytes, rest)| (bytes, 0, rest)),
        0xc5 | 0xda => length(2).map(|(bytes, rest)| (bytes, 0, rest)),
        0xc6 | 0xdb => length(4).map(|(bytes, rest)| (bytes, 0, rest)),
        // ext, whose type is a byte of its own
        0xc7..=0xc9 => length(1 << (marker - 0xc7)).map(|(bytes, rest)| (bytes + 1, 0, rest)),
        0xd4..=0xd8 => fixed((1 << (marker - 0xd4)) + 1, 0),
        // floats, unsigned and signed numbers
        0xca | 0xcb => fixed(4 << (marker - 0xca), 0),
        0xcc..=0xcf => fixed(1 << (marker - 0xcc), 0),
        0xd0..=0xd3 => fixed(1 << (marker - 0xd0), 0),
        // array, map
        0xdc | 0xdd => length(2 << (marker - 0xdc)).map(|(values, rest)| (0, values, rest)),
        0xde | 0xdf => length(2 << (marker - 0xde)).map(|(entries, rest)| (0, 2 * entries, rest)),
    }
}
