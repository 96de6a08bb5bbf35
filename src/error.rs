//! The errors of segments and of the objects in them.

use core::fmt;

/// Why a segment or an object in it could not be created, opened, joined or changed.
///
/// A failed call has changed nothing: every step it took is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name is empty, too long or has a character outside `[A-Za-z0-9._-]` (objects: any but NUL, 1..=63 bytes).
    Name(&'static str),
    /// The name is taken and the call asked for a new one.
    Exists,
    /// There is nothing of that name.
    Missing,
    /// The object of that name is of another kind.
    WrongKind {
        /// What the caller asked for.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The object or segment of that name has another element type, tag, capacity or size.
    WrongShape {
        /// What the caller asked for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file system, or the segment, has no room for it.
    NoSpace,
    /// The process has no memory or address space for it.
    NoMemory,
    /// Every slot of the participant table is taken by a living process.
    TooManyParticipants,
    /// Every entry of the object directory is taken.
    DirectoryFull,
    /// The operating system refuses access, or the segment belongs to another user.
    Permission,
    /// The bytes are not those of a segment that this library wrote.
    Corrupted(&'static str),
    /// The segment has a layout version that this library does not speak.
    Version {
        /// The version this library speaks.
        expected: u32,
        /// The version of the segment.
        found: u32,
    },
    /// Somebody is in the middle of something that excludes this call, or the caller still holds locks.
    Busy,
    /// An argument makes no sense.
    InvalidArgument(&'static str),
    /// The platform, or this kind of segment, cannot do that.
    NotSupported(&'static str),
    /// The process, or the machine, has no file descriptor left.
    NoDescriptors,
    /// A ring has a living producer, or consumer, already.
    RoleTaken {
        /// Which of them.
        role: &'static str,
        /// Its process, for people.
        pid: Option<u32>,
    },
    /// The end of a pipe has had holders and has none any more, so the other end was told that it is over.
    EndGone,
    /// An object that a forked child inherited was removed before the child's first call.
    Stale,
    /// A signal handler ran during a wait, on a handle that asked to be told.
    Interrupted,
    /// Another error of the operating system: the number is `errno`.
    Os(i32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "the name cannot be used: {why}"),
            Self::Exists => f.write_str("the name is taken; open it, or create under another name"),
            Self::Missing => f.write_str("there is nothing of that name; create it first"),
            Self::WrongKind { expected, found } => write!(f, "the object is a {found}, not a {expected}"),
            Self::WrongShape { expected, found } => write!(f, "the object is {found}, but {expected} was asked for"),
            Self::NoSpace => f.write_str("no room: free or enlarge the segment, or the file system it lies in"),
            Self::NoMemory => f.write_str("the process has no memory or address space left"),
            Self::TooManyParticipants => f.write_str("every participant slot is taken; create the segment with more"),
            Self::DirectoryFull => f.write_str("the object directory is full; create the segment with more objects"),
            Self::Permission => f.write_str("access denied, or the segment belongs to another user"),
            Self::Corrupted(what) => write!(f, "not a sound segment: {what}"),
            Self::Version { expected, found } => {
                write!(f, "layout version {found}; this library speaks version {expected}")
            }
            Self::Busy => f.write_str("in use: release what is held and try again"),
            Self::InvalidArgument(what) => write!(f, "invalid argument: {what}"),
            Self::NotSupported(what) => write!(f, "not supported: {what}"),
            Self::NoDescriptors => f.write_str("no file descriptor left; raise the limit or close some"),
            Self::RoleTaken { role, pid: Some(pid) } => {
                write!(f, "the ring has a {role} already, process {pid}: it has to drop its handle first")
            }
            Self::RoleTaken { role, pid: None } => {
                write!(f, "the ring has a {role} already, which has to drop its handle first")
            }
            Self::EndGone => f.write_str("nobody has that end of the pipe any more: it is over"),
            Self::Stale => f.write_str("an inherited object was removed before the forked child first used it"),
            Self::Interrupted => f.write_str("a signal interrupted the wait"),
            Self::Os(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(*errno)),
        }
    }
}

impl std::error::Error for Error {}
