//! The messages of a pool: tasks, which go through its work queue, and results, which come through its channel.
//!
//! ```text
//! task    |version|kind|slot|    id    |calls|name|sig|  length  | fd |  0  |  inode   | name | signature | payload
//!         0       2    4    8          16    20   22  24         32   36    40         48
//! result  |version|kind|slot|    id    |worker|outcome|  length  | payload
//!         0       2    4    8          16     20      24         32
//! ```
//!
//! All numbers are little-endian. A message says all its lengths, and they add up to its own, or it is none: whatever lies
//! in shared memory, nothing is read beyond it and nothing is allocated by a length that it only claims. `docs/layout.md`,
//! "Pool messages", is the same for other languages.

#![cfg_attr(not(feature = "process"), allow(dead_code))] // the half that a pool needs

/// The version of the messages.
pub const VERSION: u16 = 1;

const TASK_HEADER: usize = 48;
const RESULT_HEADER: usize = 32;

/// In place of a descriptor: the payload is in the message.
const IN_MESSAGE: u32 = u32::MAX;

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Calls of a typed function, one after another: each a length (u32) and the encoded arguments.
    Calls = 1,
    /// One call of a function of bytes: the payload is its argument.
    Bytes = 2,
}

/// Where the payload of a task lies that does not fit its message: a sealed memory file that the parent has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The parent's number of its descriptor.
    pub fd: u32,
    /// The inode: what is found behind the number must be this.
    pub inode: u64,
}

/// A task as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// The place in the pool's table.
    pub slot: u32,
    /// Its number, which no other task of the pool has.
    pub id: u64,
    /// What it is.
    pub kind: TaskKind,
    /// How many calls; 1 for bytes.
    pub calls: u32,
    /// The function.
    pub name: &'a str,
    /// What the function takes and returns, as the sender has it.
    pub signature: &'a str,
    /// The bytes of the payload, wherever it lies.
    pub len: u64,
    /// The payload, if it lies in the message, or where else.
    pub payload: Result<&'a [u8], Elsewhere>,
}

impl<'a> Task<'a> {
    /// Replaces what `message` has by this task. `None` if the name or the signature is too long to travel.
    pub fn write(&self, message: &mut Vec<u8>) -> Option<()> {
        let (name, signature) = (u16::try_from(self.name.len()).ok()?, u16::try_from(self.signature.len()).ok()?);
        let elsewhere = self.payload.err();
        message.clear();
        message.extend_from_slice(&VERSION.to_le_bytes());
        message.extend_from_slice(&(self.kind as u16).to_le_bytes());
        message.extend_from_slice(&self.slot.to_le_bytes());
        message.extend_from_slice(&self.id.to_le_bytes());
        message.extend_from_slice(&self.calls.to_le_bytes());
        message.extend_from_slice(&name.to_le_bytes());
        message.extend_from_slice(&signature.to_le_bytes());
        message.extend_from_slice(&self.len.to_le_bytes());
        message.extend_from_slice(&elsewhere.map_or(IN_MESSAGE, |place| place.fd).to_le_bytes());
        message.extend_from_slice(&0_u32.to_le_bytes());
        message.extend_from_slice(&elsewhere.map_or(0, |place| place.inode).to_le_bytes());
        message.extend_from_slice(self.name.as_bytes());
        message.extend_from_slice(self.signature.as_bytes());
        message.extend_from_slice(self.payload.unwrap_or_default());
        Some(())
    }

    /// The task of a message; `None` if that is none.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (header, rest) = message.split_at_checked(TASK_HEADER)?;
        let kind = match (u16_at(header, 0)?, u16_at(header, 2)?) {
            (VERSION, 1) => TaskKind::Calls,
            (VERSION, 2) => TaskKind::Bytes,
            _ => return None,
        };
        let (name, rest) = rest.split_at_checked(u16_at(header, 20)?.into())?;
        let (signature, rest) = rest.split_at_checked(u16_at(header, 22)?.into())?;
        let (len, fd) = (u64_at(header, 24)?, u32_at(header, 32)?);
        let payload = match fd {
            IN_MESSAGE if rest.len() as u64 == len => Ok(rest),
            IN_MESSAGE => return None,
            fd if rest.is_empty() && i32::try_from(fd).is_ok() => Err(Elsewhere { fd, inode: u64_at(header, 40)? }),
            _ => return None,
        };
        Some(Self {
            slot: u32_at(header, 4)?,
            id: u64_at(header, 8)?,
            kind,
            calls: u32_at(header, 16)?,
            name: str::from_utf8(name).ok()?,
            signature: str::from_utf8(signature).ok()?,
            len,
            payload,
        })
    }

    /// Bytes of the message with a payload of `len` bytes in it.
    #[cfg(feature = "process")]
    pub fn bytes(name: &str, signature: &str, len: usize) -> usize {
        TASK_HEADER + name.len() + signature.len() + len
    }
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// What became of a task.
    Answer = 1,
    /// It is ready for its first task.
    Ready = 2,
    /// Its initializer did not succeed; the outcome says why.
    NotReady = 3,
    /// From the pool to itself: workers have died, up to the one of this number.
    Deaths = 4,
}

/// What became of a task, or of one call of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload is the result: that of bytes, or for calls, one after another, an outcome (u8), a length (u32), and a result or the
    /// reason for none.
    Done = 0,
    /// A panic: three texts, each with its length (u32): message, location, backtrace.
    Panicked = 1,
    /// The worker has no such function, or one with another signature; a text.
    NoFunction = 2,
    /// The payload is no argument of the function; a text.
    BadArguments = 3,
    /// The result cannot be encoded; a text.
    NotEncodable = 4,
    /// It was begun as often as it may be, and is not begun again.
    Exhausted = 5,
    /// The handler of a worker in another language says so; a text.
    Failed = 6,
    /// The payload, which lies elsewhere, could not be had; a text.
    Unreadable = 7,
}

impl Outcome {
    fn of(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::Panicked,
            2 => Self::NoFunction,
            3 => Self::BadArguments,
            4 => Self::NotEncodable,
            5 => Self::Exhausted,
            6 => Self::Failed,
            7 => Self::Unreadable,
            _ => return None,
        })
    }
}

/// The beginning of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultHead {
    /// What it is.
    pub kind: ResultKind,
    /// The place of the task in the pool's table; for deaths, 0.
    pub slot: u32,
    /// The number of the task; for deaths, how many.
    pub id: u64,
    /// The number of the worker.
    pub worker: u32,
    /// What became of it.
    pub outcome: Outcome,
}

impl ResultHead {
    /// Replaces what `message` has by a result without a payload, which may be appended.
    pub fn write(&self, message: &mut Vec<u8>) {
        message.clear();
        message.extend_from_slice(&VERSION.to_le_bytes());
        message.extend_from_slice(&(self.kind as u16).to_le_bytes());
        message.extend_from_slice(&self.slot.to_le_bytes());
        message.extend_from_slice(&self.id.to_le_bytes());
        message.extend_from_slice(&self.worker.to_le_bytes());
        message.extend_from_slice(&(self.outcome as u32).to_le_bytes());
        message.extend_from_slice(&0_u64.to_le_bytes());
    }

    /// The result of a message, and its payload; `None` if that is none.
    pub fn read(message: &[u8]) -> Option<(Self, &[u8])> {
        let (header, payload) = message.split_at_checked(RESULT_HEADER)?;
        let kind = match (u16_at(header, 0)?, u16_at(header, 2)?) {
            (VERSION, 1) => ResultKind::Answer,
            (VERSION, 2) => ResultKind::Ready,
            (VERSION, 3) => ResultKind::NotReady,
            (VERSION, 4) => ResultKind::Deaths,
            _ => return None,
        };
        if u64_at(header, 24)? != payload.len() as u64 {
            return None;
        }
        let head = Self {
            kind,
            slot: u32_at(header, 4)?,
            id: u64_at(header, 8)?,
            worker: u32_at(header, 16)?,
            outcome: Outcome::of(u32_at(header, 20)?)?,
        };
        Some((head, payload))
    }

    /// The message with its payload behind it: it says what became of it, and how long that is.
    pub fn finish(message: &mut [u8], outcome: Outcome) {
        let len = message.len().saturating_sub(RESULT_HEADER) as u64;
        if let Some(header) = message.get_mut(20..RESULT_HEADER) {
            header[..4].copy_from_slice(&(outcome as u32).to_le_bytes());
            header[4..].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// Where the payload begins.
    pub const fn bytes() -> usize {
        RESULT_HEADER
    }
}

/// Appends a part: its length and its bytes. `None` if it is longer than 4 GiB.
pub fn push_part(message: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    message.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
    message.extend_from_slice(part);
    Some(())
}

/// Takes a part off the beginning of `rest`.
pub fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_first_chunk()?;
    let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    *rest = behind;
    Some(part)
}

/// Appends what became of one call of several.
pub fn push_outcome(message: &mut Vec<u8>, outcome: Outcome, part: &[u8]) -> Option<()> {
    u32::try_from(part.len()).ok()?;
    message.push(outcome as u8);
    push_part(message, part)
}

/// Appends a part that `write` appends, and its length before it; nothing if `write` fails. `None` if it is longer than 4 GiB.
pub fn write_part<E>(
    message: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Option<()>, E> {
    let start = message.len();
    message.extend_from_slice(&[0; 4]);
    if let Err(error) = write(message) {
        message.truncate(start);
        return Err(error);
    }
    let Ok(len) = u32::try_from(message.len() - start - 4) else {
        message.truncate(start);
        return Ok(None);
    };
    message[start..start + 4].copy_from_slice(&len.to_le_bytes());
    Ok(Some(()))
}

/// Takes what became of one call off the beginning of `rest`.
#[cfg(feature = "process")]
pub fn take_outcome<'a>(rest: &mut &'a [u8]) -> Option<(Outcome, &'a [u8])> {
    let (code, behind) = rest.split_first()?;
    let outcome = Outcome::of((*code).into())?;
    *rest = behind;
    Some((outcome, take_part(rest)?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

// Inside, since the messages are not for users: others write them by docs/layout.md.
#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task<'static> {
        Task {
            slot: 7,
            id: 1 << 40,
            kind: TaskKind::Bytes,
            calls: 1,
            name: "shout",
            signature: "bytes",
            len: 3,
            payload: Ok(b"abc"),
        }
    }

    #[test]
    fn a_task_comes_out_as_it_went_in() {
        let mut message = vec![9; 5];
        task().write(&mut message).unwrap();
        assert_eq!(Task::read(&message), Some(task()));
        let far = Task { payload: Err(Elsewhere { fd: 4, inode: 99 }), len: 1 << 33, ..task() };
        far.write(&mut message).unwrap();
        assert_eq!(Task::read(&message), Some(far));
        let long = "x".repeat(1 << 16);
        assert_eq!(Task { name: &long, ..task() }.write(&mut message), None);
    }

    #[test]
    fn the_bytes_of_a_task_are_those_of_the_document() {
        let mut message = Vec::new();
        task().write(&mut message).unwrap();
        let expected = b"\x01\0\x02\0\x07\0\0\0\0\0\0\0\0\x01\0\0\x01\0\0\0\x05\0\x05\0\x03\0\0\0\0\0\0\0\
                         \xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0shoutbytesabc";
        assert_eq!(message, expected);
    }

    #[test]
    fn a_result_comes_out_as_it_went_in() {
        let head = ResultHead { kind: ResultKind::Answer, slot: 3, id: 12, worker: 5, outcome: Outcome::Done };
        let mut message = Vec::new();
        head.write(&mut message);
        message.extend_from_slice(b"payload");
        assert_eq!(ResultHead::read(&message), None, "its length is not said yet");
        ResultHead::finish(&mut message, Outcome::Failed);
        assert_eq!(
            ResultHead::read(&message),
            Some((ResultHead { outcome: Outcome::Failed, ..head }, &b"payload"[..]))
        );
        assert_eq!(message.len(), ResultHead::bytes() + 7);
    }

    #[test]
    fn parts_are_taken_off_as_they_were_put_on() {
        let mut message = Vec::new();
        push_part(&mut message, b"one").unwrap();
        push_part(&mut message, b"").unwrap();
        let mut rest = &message[..];
        assert_eq!(
            (take_part(&mut rest), take_part(&mut rest), take_part(&mut rest)),
            (Some(&b"one"[..]), Some(&b""[..]), None)
        );
    }

    /// No bytes whatever make a reader panic, or see more than there is.
    #[test]
    fn garbage_is_no_message() {
        let mut good = Vec::new();
        task().write(&mut good).unwrap();
        let mut result = Vec::new();
        ResultHead { kind: ResultKind::Ready, slot: 0, id: 1, worker: 1, outcome: Outcome::Done }.write(&mut result);
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for message in [good, result] {
            for len in 0..message.len() {
                assert_eq!(Task::read(&message[..len]), None);
                assert_eq!(ResultHead::read(&message[..len]), None);
            }
            for _ in 0..20_000 {
                let mut bent = message.clone();
                for _ in 0..=random() % 3 {
                    let at = random() as usize % bent.len();
                    bent[at] = random() as u8;
                }
                if let Some(Task { payload: Ok(payload), len, .. }) = Task::read(&bent) {
                    assert_eq!(payload.len() as u64, len);
                }
                let _ = ResultHead::read(&bent);
                let mut rest = &bent[..];
                while take_part(&mut rest).is_some() {}
            }
        }
    }
}
