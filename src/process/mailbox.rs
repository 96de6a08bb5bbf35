//! What a process is told by the one that starts it, and what it leaves for that one: a file in memory that both have open.
//!
//! ```text
//! 0       8         16      24     32
//! | magic | outcome | about | args | about .. | args .. | outcome ..
//!         kind << 56 | length      MessagePack  of those
//! ```
//!
//! The parent writes all but the outcome before the child exists. The child writes its outcome behind the rest and then, by one
//! write of eight bytes within a page, says that it is there. The parent looks when the child has ended. So nobody waits for anybody,
//! a result has no greatest length, no thread has to empty a pipe, and a child that is killed on the way has left no result.
//!
//! The file is read and written, never mapped: one that the other side has cut short is a short read and no SIGBUS. What
//! the parent reads is what a child left that may have done anything with its descriptors: each length is held against the
//! length of the file before a byte is allocated for it.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use super::catch::Panic;
use super::registry::RegistryError;
use crate::error::Error;
use crate::sys::process::{self, Identity};
use crate::sys::spawn;
use crate::typed::{DecodeError, codec};

/// Names the mailbox to the child: `1,descriptor,device,inode,parent`.
pub(super) const VARIABLE: &str = "RINGFENCE_CHILD";

const MAGIC: u64 = u64::from_le_bytes(*b"rfchild\x01");
const HEADER: u64 = 32;
const OUTCOME_AT: u64 = 8;
const KIND_SHIFT: u32 = 56;

/// What the child is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The function's name and signature; none for a program that is not told what to do.
    pub function: Option<(String, String)>,
    /// Its own name.
    pub name: String,
    /// Its number, behind those of the processes it descends from: `1:2`. Part of the default names of its children.
    pub number: String,
    pub daemon: bool,
    /// It sees to the end of its parent and to SIGINT itself: [`super::child::outlive`].
    pub worker: bool,
    pub parent_name: String,
    /// An [`Identity`].
    pub parent: u64,
}

/// How a call came out.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The result, encoded.
    Returned(Vec<u8>),
    Panicked(Panic),
    /// The child has no such function.
    Refused(RegistryError),
    /// The arguments are none of that function's.
    Arguments(String),
    /// The result has no message.
    Unencodable(String),
    /// The result could not be written.
    Unwritten(String),
}

/// Why a mailbox could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    System(Error),
    Corrupted(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Corrupted(what) => f.write_str(what),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::System(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Corrupted("the mailbox is cut short")
        } else {
            Self::System(spawn::os_error(&error))
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(_: DecodeError) -> Self {
        Self::Corrupted("the mailbox holds something that no child writes")
    }
}

/// A mailbox, and how long the two parts of what it was made with are.
#[derive(Debug)]
pub(super) struct Mailbox {
    file: File,
    about: u64,
    arguments: u64,
}

type AboutParts = (Option<(String, String)>, String, String, (bool, bool), String, u64);

impl Mailbox {
    /// One for a child that is not there yet.
    pub fn new(about: About, arguments: &[u8]) -> Result<Self, Failure> {
        let About { function, name, number, daemon, worker, parent_name, parent } = about;
        let parts: AboutParts = (function, name, number, (daemon, worker), parent_name, parent);
        let about = codec::encode(&parts).map_err(|_| Failure::Corrupted("the names cannot be encoded"))?;
        let file = spawn::memory_file("ringfence-process")?;
        let (about_len, arguments_len) = (about.len() as u64, arguments.len() as u64);
        let words = [MAGIC, 0, about_len, arguments_len];
        let mut head: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        head.extend(about);
        file.write_all_at(&head, 0)?;
        file.write_all_at(arguments, head.len() as u64)?;
        Ok(Self { file, about: about_len, arguments: arguments_len })
    }

    /// What tells the child of it.
    pub fn address(&self, parent: Identity) -> Result<String, Error> {
        let (device, inode) = spawn::file_id(&self.file)?;
        Ok(format!("1,{},{device},{inode},{}", self.file.as_raw_fd(), parent.0))
    }

    /// That of this process, if its parent has put one there for it.
    ///
    /// The variable may have come to a process that it was not meant for: one that the child started in turn, by other means.
    /// That one does not have the file, which is closed on exec in the child; or, if the child forgot to ask for its own mailbox, it
    /// has another parent. Only where that parent is gone the file alone decides, since a child whose parent was killed early
    /// must still know what it is.
    pub fn of_this_process() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        let numbers: Vec<u64> = text.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [1, descriptor, device, inode, parent] = numbers[..] else { return None };
        let parent = Identity(parent);
        if process::parent() != parent.pid() && parent.is_alive() {
            return None;
        }
        let file = spawn::inherited(i32::try_from(descriptor).ok()?, (device, inode))?;
        let mut mailbox = Self { file, about: 0, arguments: 0 };
        let [magic, _, about, arguments] = mailbox.words().ok()?;
        if magic != MAGIC {
            return None;
        }
        (mailbox.about, mailbox.arguments) = (about, arguments);
        Some(mailbox)
    }

    fn words(&self) -> Result<[u64; 4], Failure> {
        let mut head = [0; HEADER as usize];
        self.file.read_exact_at(&mut head, 0)?;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(head.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Ok(words)
    }

    /// So many bytes from there, if the file has them.
    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, Failure> {
        let end = at.checked_add(len).ok_or(Failure::Corrupted("the mailbox has a length beyond its end"))?;
        if end > self.file.metadata()?.len() {
            return Err(Failure::Corrupted("the mailbox has a length beyond its end"));
        }
        let mut bytes = Vec::new();
        let len = usize::try_from(len).map_err(|_| Error::NoMemory)?;
        bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
        bytes.resize(len, 0);
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// For the child: what it is told.
    pub fn about(&self) -> Result<About, Failure> {
        let parts: AboutParts = codec::decode(self.read(HEADER, self.about)?)?;
        let (function, name, number, (daemon, worker), parent_name, parent) = parts;
        Ok(About { function, name, number, daemon, worker, parent_name, parent })
    }

    /// For the child: the encoded arguments.
    pub fn arguments(&self) -> Result<Vec<u8>, Failure> {
        self.read(HEADER + self.about, self.arguments)
    }

    /// For the child, once: how it came out.
    pub fn leave(&self, outcome: Outcome) -> Result<(), Failure> {
        let text = |text: String| codec::encode(&text).map_err(|_| Failure::Corrupted("a text cannot be encoded"));
        let (kind, bytes) = match outcome {
            Outcome::Returned(result) => (1, result),
            Outcome::Panicked(Panic { message, location, backtrace }) => {
                let parts = codec::encode(&(message, location, backtrace));
                (2, parts.map_err(|_| Failure::Corrupted("a panic cannot be encoded"))?)
            }
            Outcome::Refused(error) => {
                let parts = codec::encode(&error.into_parts());
                (3, parts.map_err(|_| Failure::Corrupted("an error cannot be encoded"))?)
            }
            Outcome::Arguments(reason) => (4, text(reason)?),
            Outcome::Unencodable(reason) => (5, text(reason)?),
            Outcome::Unwritten(reason) => (6, text(reason)?),
        };
        self.file.write_all_at(&bytes, HEADER + self.about + self.arguments)?;
        let word = kind << KIND_SHIFT | bytes.len() as u64;
        self.file.write_all_at(&word.to_le_bytes(), OUTCOME_AT)?;
        Ok(())
    }

    /// For the parent, when the child has ended: how it came out, if the child came so far.
    pub fn outcome(&self) -> Result<Option<Outcome>, Failure> {
        let [_, word, ..] = self.words()?;
        if word == 0 {
            return Ok(None);
        }
        // By the lengths it was made with, whatever the child has made of them.
        let bytes = self.read(HEADER + self.about + self.arguments, word & ((1 << KIND_SHIFT) - 1))?;
        Ok(Some(match word >> KIND_SHIFT {
            1 => Outcome::Returned(bytes),
            2 => {
                let (message, location, backtrace) = codec::decode(bytes)?;
                Outcome::Panicked(Panic { message, location, backtrace })
            }
            3 => Outcome::Refused(
                RegistryError::from_parts(codec::decode(bytes)?)
                    .ok_or(Failure::Corrupted("the mailbox holds an error that no child writes"))?,
            ),
            4 => Outcome::Arguments(codec::decode(bytes)?),
            5 => Outcome::Unencodable(codec::decode(bytes)?),
            6 => Outcome::Unwritten(codec::decode(bytes)?),
            _ => return Err(Failure::Corrupted("the mailbox holds an outcome of no kind")),
        }))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        let about = About {
            function: Some(("f".to_owned(), "fn(()) -> ()".to_owned())),
            name: "Process-1".to_owned(),
            number: "1".to_owned(),
            daemon: true,
            worker: false,
            parent_name: "MainProcess".to_owned(),
            parent: 7,
        };
        let mailbox = Mailbox::new(about.clone(), b"arguments").unwrap();
        assert_eq!(mailbox.about().unwrap(), about);
        assert_eq!(mailbox.arguments().unwrap(), b"arguments");
        assert!(matches!(mailbox.outcome(), Ok(None)));
        mailbox
    }

    #[test]
    fn each_outcome_comes_back() {
        let errors = [
            RegistryError::Unknown { name: "a".to_owned() },
            RegistryError::NotRegistered { function: "b".to_owned() },
            RegistryError::Duplicate { name: "c".to_owned(), places: ["d".to_owned(), "e".to_owned()] },
            RegistryError::Mismatch { name: "f".to_owned(), expected: "g".to_owned(), found: "h".to_owned() },
        ];
        let panic = Panic { message: "m".to_owned(), location: "l".to_owned(), backtrace: "b".to_owned() };
        let outcomes = errors.into_iter().map(|error| (format!("{error:?}"), Outcome::Refused(error))).chain([
            ("[1, 2]".to_owned(), Outcome::Returned(vec![1, 2])),
            (format!("{panic:?}"), Outcome::Panicked(panic)),
            ("no arguments".to_owned(), Outcome::Arguments("no arguments".to_owned())),
            ("no result".to_owned(), Outcome::Unencodable("no result".to_owned())),
            ("no room".to_owned(), Outcome::Unwritten("no room".to_owned())),
        ]);
        for (contents, outcome) in outcomes {
            let (mailbox, left) = (mailbox(), format!("{outcome:?}"));
            assert!(left.contains(&contents), "{left}");
            mailbox.leave(outcome).unwrap();
            assert_eq!(format!("{:?}", mailbox.outcome().unwrap().unwrap()), left);
        }
    }

    /// Whatever lies there is an outcome or an error, and no length is believed.
    #[test]
    fn garbage_is_an_error() {
        let put = |mailbox: &Mailbox, word: u64| mailbox.file.write_all_at(&word.to_le_bytes(), OUTCOME_AT).unwrap();
        for (kind, len) in [(0, 5), (1, 1 << 55), (1, 1), (2, 1), (7, 0), (255, u64::MAX >> 8), (1, (1 << 56) - 1)] {
            let mailbox = mailbox();
            put(&mailbox, kind << KIND_SHIFT | len);
            assert!(matches!(mailbox.outcome(), Err(Failure::Corrupted(_))), "{kind} {len}");
        }
        for kind in 2..=6 {
            let mailbox = mailbox();
            mailbox.file.write_all_at(b"\xc1\xc1", HEADER + mailbox.about + mailbox.arguments).unwrap();
            put(&mailbox, kind << KIND_SHIFT | 2);
            assert!(matches!(mailbox.outcome(), Err(Failure::Corrupted(_))), "{kind}");
        }
        let cut = mailbox();
        cut.file.set_len(12).unwrap();
        assert_eq!(cut.outcome().err(), Some(Failure::Corrupted("the mailbox is cut short")));
        assert!(matches!(cut.about(), Err(Failure::Corrupted(_))));
    }
}
