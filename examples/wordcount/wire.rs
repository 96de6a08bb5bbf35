//! How counts travel: a stream of bytes per task, cut into messages that fit the channel.
//!
//! ```text
//! message = header (32 bytes, the machine's byte order) | piece of the stream
//! header  = task: u64 | words: u64 | worker: u32 | part: u32 | last: u32 | errno: u32
//! stream  = ( times: varint | length: varint | word: length bytes ) *
//! ```
//!
//! A varint is seven bits a byte, lowest first, the top bit set on all but the last. `words` is the sum of all times,
//! and is checked; it and `errno` count in the last part only, whose `last` says how often its task was delivered; in the
//! others it is 0. The stream is cut anywhere, so neither a task with many
//! words nor a word longer than a message needs a rule of its own. `c_worker.c` writes the same.

use crate::text::Counts;

/// Length of the header.
pub const HEADER: usize = 32;

/// The header of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub task: u64,
    /// How many words the task had. In the last part.
    pub words: u64,
    pub worker: u32,
    /// Number of this part, from 0.
    pub part: u32,
    /// In the last part how often the task was delivered to whoever counted it, else 0.
    pub last: u32,
    /// Why the file could not be read to the end, or 0. In the last part.
    pub errno: u32,
}

impl Part {
    /// Appends the header to a message.
    pub fn write(&self, message: &mut Vec<u8>) {
        message.extend_from_slice(&self.task.to_ne_bytes());
        message.extend_from_slice(&self.words.to_ne_bytes());
        for value in [self.worker, self.part, self.last, self.errno] {
            message.extend_from_slice(&value.to_ne_bytes());
        }
    }

    /// Splits a message into its header and the rest; `None` if it is too short.
    pub fn read(message: &[u8]) -> Option<(Self, &[u8])> {
        let (header, body) = message.split_at_checked(HEADER)?;
        let long = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let short = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let part = Self {
            task: long(0),
            words: long(8),
            worker: short(16),
            part: short(20),
            last: short(24),
            errno: short(28),
        };
        Some((part, body))
    }
}

/// The stream of a task.
pub fn encode(counts: &Counts) -> Vec<u8> {
    let mut stream = Vec::new();
    for (word, times) in counts {
        write_varint(&mut stream, *times);
        write_varint(&mut stream, word.len() as u64);
        stream.extend_from_slice(word);
    }
    stream
}

/// Cuts a stream into messages of at most `size` bytes and hands each to `send`. An empty stream is one message. `last` of
/// the head goes into the last one only; with 0 the result stays unfinished.
pub fn send_parts<E>(
    head: Part,
    stream: &[u8],
    size: usize,
    mut send: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let room = size.saturating_sub(HEADER).max(1);
    let count = stream.len().div_ceil(room).max(1);
    let mut message = Vec::with_capacity(HEADER + room.min(stream.len()));
    for number in 0..count {
        let piece = &stream[number * room..stream.len().min((number + 1) * room)];
        message.clear();
        Part { part: number as u32, last: if number + 1 == count { head.last } else { 0 }, ..head }.write(&mut message);
        message.extend_from_slice(piece);
        send(&message)?;
    }
    Ok(())
}

/// The stream of a task is not what a worker writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// The words of a stream and their counts.
pub fn decode(stream: &[u8]) -> impl Iterator<Item = Result<(&[u8], u64), Malformed>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = next_entry(&mut rest);
        if entry.is_none() {
            rest = &[];
        }
        Some(entry.ok_or(Malformed))
    })
}

fn next_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let times = read_varint(rest).filter(|times| *times > 0)?;
    let len = read_varint(rest).filter(|len| *len > 0)?;
    let (word, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = after;
    Some((word, times))
}

fn write_varint(stream: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        stream.push(value as u8 | 0x80);
        value >>= 7;
    }
    stream.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Whether a whole stream is well-formed and holds `words` words.
pub fn check(stream: &[u8], words: u64) -> Result<(), Malformed> {
    let mut sum = 0u64;
    for entry in decode(stream) {
        sum = sum.checked_add(entry?.1).ok_or(Malformed)?;
    }
    if sum == words { Ok(()) } else { Err(Malformed) }
}
