//! The objects that the parent and its workers share, by name, in one segment.
//!
//! | name | kind | what for |
//! |---|---|---|
//! | `tasks` | `WorkQueue` | ranges of files to count ([`Task`]), each until its result is sent; shut down when all is done |
//! | `counts` | `Channel` | results ([`wire`](crate::wire)) |
//! | `held` | `Array<u64>` | what each worker says it is at ([`Holding`]): for the start, and to find the victim |
//! | `victim` | `OnceValue<u64>` | the number of the worker that is killed, once it is chosen |
//! | `progress` | `Value<u64>` | bytes counted |
//! | `gate` | `Queue<u64>` | never gets an item: its shutdown starts the race |

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use ringfence::{
    Array, Channel, Error, OnceValue, Queue, Segment, SegmentOptions, Unlink, Value, WorkQueue, WorkQueueOptions,
};

/// Room for one file name: Linux opens none that is longer.
pub const PATH_ROOM: usize = 4096;

/// Tasks that wait at a time, beside those that workers have.
const WAITING: usize = 4;
/// The longest task.
const LONGEST: usize = size_of::<Task>();
/// The ring that the results go through.
const RING: usize = 1 << 20;

/// A range of a file, between words. `struct task` in `c_worker.c`. As a message it ends with its path.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Task {
    pub id: u64,
    pub from: u64,
    pub to: u64,
    /// 1: a Rust worker that takes this waits in the middle of it to be killed, unless a victim was chosen before.
    pub ambush: u32,
    path_len: u32,
    path: [u8; PATH_ROOM],
}

impl Task {
    /// A task; `None` if the path is longer than any that can be opened.
    pub fn new(id: usize, path: &Path, (from, to): (u64, u64), ambush: bool) -> Option<Self> {
        let bytes = path.as_os_str().as_bytes();
        let mut task = Self { id: id as u64, from, to, ambush: ambush.into(), path_len: 0, path: [0; PATH_ROOM] };
        task.path.get_mut(..bytes.len())?.copy_from_slice(bytes);
        task.path_len = bytes.len() as u32;
        Some(task)
    }

    /// As it is sent.
    pub fn message(&self) -> &[u8] {
        &bytemuck::bytes_of(self)[..LONGEST - PATH_ROOM + self.path_len as usize]
    }

    /// From a message; `None` if it is none.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut task = Self::zeroed();
        bytemuck::bytes_of_mut(&mut task).get_mut(..message.len())?.copy_from_slice(message);
        let len = LONGEST - PATH_ROOM + task.path_len as usize;
        (message.len() == len).then_some(task)
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
    pub segment: Segment,
    pub tasks: WorkQueue,
    pub counts: Channel,
    pub held: Array<u64>,
    pub victim: OnceValue<u64>,
    pub progress: Value<u64>,
    pub gate: Queue<u64>,
}

impl Shared {
    /// Makes the segment, with room for `workers` workers. Its name goes when the last of us leaves.
    pub fn create(name: &str, workers: usize) -> Result<Self, Error> {
        // A worker in C may have two for a moment.
        let places = workers + WAITING + 1;
        let bytes = places * (LONGEST + 24) + RING + (1 << 20);
        let segment = Segment::create(name, &SegmentOptions::new().size(bytes).unlink(Unlink::WithLast))?;
        Ok(Self {
            tasks: WorkQueue::create(&segment, "tasks", &WorkQueueOptions::new(places, LONGEST))?,
            counts: Channel::create(&segment, "counts", RING)?,
            held: Array::create(&segment, "held", workers)?,
            victim: OnceValue::create(&segment, "victim")?,
            progress: Value::create(&segment, "progress", 0)?,
            gate: Queue::create(&segment, "gate", 1)?,
            segment,
        })
    }

    /// Joins the segment of that name. Capacities are whatever the parent chose.
    pub fn open(name: &str) -> Result<Self, Error> {
        let segment = Segment::open(name)?;
        Ok(Self {
            tasks: WorkQueue::open(&segment, "tasks")?,
            counts: Channel::open(&segment, "counts")?,
            held: Array::open(&segment, "held")?,
            victim: OnceValue::open(&segment, "victim")?,
            progress: Value::open(&segment, "progress")?,
            gate: Queue::open(&segment, "gate")?,
            segment,
        })
    }
}
