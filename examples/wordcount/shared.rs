//! The objects that the parent and its workers share, by name, in one segment.
//!
//! | name | kind | what for |
//! |---|---|---|
//! | `tasks` | `Queue<Task>` | ranges of files to count; shut down when all is done |
//! | `counts` | `Channel` | results ([`wire`](crate::wire)) |
//! | `held` | `Array<u64>` | what each worker is at ([`Holding`]) |
//! | `progress` | `Value<u64>` | bytes counted |
//! | `gate` | `Queue<u64>` | never gets an item: its shutdown starts the race |

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use ringfence::{Array, Channel, Error, Queue, Segment, SegmentOptions, Unlink, Value};

/// Room for one file name: Linux opens none that is longer.
pub const PATH_ROOM: usize = 4096;

/// Tasks in the queue at a time: few, so that one that is handed on is not the last to be taken.
const QUEUE: usize = 4;
/// The ring that the results go through.
const RING: usize = 1 << 20;

/// A range of a file, between words. `struct task` in `c_worker.c`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Task {
    pub id: u64,
    pub from: u64,
    pub to: u64,
    /// 1: a Rust worker that takes this waits in the middle of it to be killed.
    pub ambush: u32,
    path_len: u32,
    path: [u8; PATH_ROOM],
}

ringfence::plain!(Task, tag = "wordcount-task/1");

impl Task {
    /// A task; `None` if the path is longer than any that can be opened.
    pub fn new(id: usize, path: &Path, (from, to): (u64, u64), ambush: bool) -> Option<Self> {
        let bytes = path.as_os_str().as_bytes();
        let mut task = Self { id: id as u64, from, to, ambush: ambush.into(), path_len: 0, path: [0; PATH_ROOM] };
        task.path.get_mut(..bytes.len())?.copy_from_slice(bytes);
        task.path_len = bytes.len() as u32;
        Some(task)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        let len = PATH_ROOM.min(self.path_len as usize);
        Path::new(OsStr::from_bytes(&self.path[..len]))
    }
}

/// What a worker is at: one word of the `held` array, so that it is never seen half-written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Nothing.
    Nothing,
    /// This task.
    Task(usize),
    /// In the middle of this task, where it waits to be killed.
    Ambushed(usize),
}

const AMBUSHED: u64 = 1 << 63;

impl Holding {
    /// As it stands in the array: 0, or the task's number plus one, with the top bit set in an ambush.
    pub fn to_word(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Task(id) => id as u64 + 1,
            Self::Ambushed(id) => (id as u64 + 1) | AMBUSHED,
        }
    }

    /// From the array.
    pub fn from_word(word: u64) -> Self {
        match ((word & !AMBUSHED) as usize, word & AMBUSHED != 0) {
            (0, _) => Self::Nothing,
            (n, false) => Self::Task(n - 1),
            (n, true) => Self::Ambushed(n - 1),
        }
    }

    /// The task, whatever becomes of the worker.
    pub fn task(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Task(id) | Self::Ambushed(id) => Some(id),
        }
    }
}

/// Handles to all of it. They keep the segment attached.
pub struct Shared {
    pub tasks: Queue<Task>,
    pub counts: Channel,
    pub held: Array<u64>,
    pub progress: Value<u64>,
    pub gate: Queue<u64>,
}

impl Shared {
    /// Makes the segment, with room for `workers` workers. Its name goes when the last of us leaves.
    pub fn create(name: &str, workers: usize) -> Result<Self, Error> {
        let bytes = QUEUE * 2 * size_of::<Task>() + RING + (1 << 20);
        let segment = Segment::create(name, &SegmentOptions::new().size(bytes).unlink(Unlink::WithLast))?;
        Ok(Self {
            tasks: Queue::create(&segment, "tasks", QUEUE)?,
            counts: Channel::create(&segment, "counts", RING)?,
            held: Array::create(&segment, "held", workers)?,
            progress: Value::create(&segment, "progress", 0)?,
            gate: Queue::create(&segment, "gate", 1)?,
        })
    }

    /// Joins the segment of that name. Capacities are whatever the parent chose.
    pub fn open(name: &str) -> Result<Self, Error> {
        let segment = Segment::open(name)?;
        Ok(Self {
            tasks: Queue::open(&segment, "tasks")?,
            counts: Channel::open(&segment, "counts")?,
            held: Array::open(&segment, "held")?,
            progress: Value::open(&segment, "progress")?,
            gate: Queue::open(&segment, "gate")?,
        })
    }
}
