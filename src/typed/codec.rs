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
    if is_plain(message) {
        return Ok(());
    }
    match check_to::<SHALLOW>(message) {
        Err(Flaw::TooDeep) => check_to::<DEEPEST>(message),
        checked => checked,
    }
}

/// For each marker of a scalar or a short text, how many bytes it has behind it; `NOT_PLAIN` for all others.
const PLAIN: [u8; 256] = {
    let mut widths = [NOT_PLAIN; 256];
    let mut marker = 0;
    while marker < 256 {
        widths[marker] = match marker as u8 {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            0xa0..=0xbf => marker as u8 & 0x1f,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            _ => NOT_PLAIN,
        };
        marker += 1;
    }
    widths
};
const NOT_PLAIN: u8 = u8::MAX;

/// Whether a message is one scalar or short text, or a short array of them, as the arguments and the results of most functions:
/// then there is nothing else to be found out about it.
#[inline]
fn is_plain(message: &[u8]) -> bool {
    let (mut values, mut rest) = match message.split_first() {
        Some((array @ 0x90..=0x9f, behind)) => (array & 0x0f, behind),
        _ => (1, message),
    };
    while values > 0 {
        let Some((&marker, behind)) = rest.split_first() else { return false };
        let width = PLAIN[usize::from(marker)];
        let Some(behind) = behind.get(usize::from(width)..).filter(|_| width != NOT_PLAIN) else { return false };
        rest = behind;
        values -= 1;
    }
    rest.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the quick look takes for good, the walk takes for good; and it does see the messages that it is for.
    #[test]
    fn a_plain_message_is_a_good_one() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let (mut plain, mut other) = (0, 0);
        for _ in 0..300_000 {
            let mut message: Vec<u8> = (0..random() % 12).map(|_| random() as u8).collect();
            if let (Some(first), 0..=1) = (message.first_mut(), random() % 3) {
                *first = 0x90 | *first & 0x03;
            }
            if is_plain(&message) {
                plain += 1;
                assert!(check_to::<DEEPEST>(&message).is_ok(), "{message:x?}");
            } else {
                other += u32::from(check_to::<DEEPEST>(&message).is_ok());
            }
        }
        assert!(plain > 1000 && other > 100, "{plain} {other}");
        for value in [0, 200, 60_000, 1 << 20, 1 << 40, -1, -200, i64::MIN] {
            assert!(is_plain(&encode(&value).unwrap()) && is_plain(&encode(&(value, "text", 1.5, true)).unwrap()));
        }
    }
}
