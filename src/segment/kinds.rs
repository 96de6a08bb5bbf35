//! The kinds of objects, and what recovery does for each.

use core::ptr::NonNull;

use super::view::StoredShape;
use crate::layout::mutex::LockWord;
use crate::layout::ring::RingHeader;
use crate::layout::work_queue::WorkQueueHeader;
use crate::layout::{barrier, channel, queue};
use crate::raw::barrier::Barrier;
use crate::raw::broadcast::Broadcast;
use crate::raw::channel::Channel;
use crate::raw::condvar::Condvar;
use crate::raw::event::Event;
use crate::raw::once::Once;
use crate::raw::pipe::Pipe;
use crate::raw::queue::Queue;
use crate::raw::rwlock::RwLock;
use crate::raw::semaphore::Semaphore;
use crate::raw::work_queue::WorkQueue;
use crate::raw::{MAX_PARTICIPANTS, ParticipantId, Peers, mutex, ring};

/// A kind of object. The numbers are part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A lock with data.
    Mutex = 1,
    /// A typed value.
    Value = 2,
    /// A typed array.
    Array = 3,
    /// A queue of fixed-size items.
    Queue = 4,
    /// A channel of byte messages.
    Channel = 5,
    /// A lock that its owner may lock again.
    ReentrantMutex = 6,
    /// A counting semaphore.
    Semaphore = 7,
    /// A flag to wait for.
    Event = 8,
    /// A condition variable.
    Condvar = 9,
    /// A place where parties wait for each other.
    Barrier = 10,
    /// A lock for many readers or one writer.
    RwLock = 11,
    /// Something that one of many initialises, with a value or without.
    Once = 12,
    /// A ring of fixed-size items for one producer and one consumer.
    Spsc = 13,
    /// A ring of records and bytes for one producer and one consumer.
    ByteRing = 14,
    /// A queue of messages that are leased until they are done.
    WorkQueue = 15,
    /// Records of one writer for many readers.
    Broadcast = 16,
    /// The newest value of one writer.
    Blackboard = 17,
    /// Two ends, and a channel into each or into the first.
    Pipe = 18,
}

const ALL: [Kind; 18] = [
    Kind::Mutex,
    Kind::Value,
    Kind::Array,
    Kind::Queue,
    Kind::Channel,
    Kind::ReentrantMutex,
    Kind::Semaphore,
    Kind::Event,
    Kind::Condvar,
    Kind::Barrier,
    Kind::RwLock,
    Kind::Once,
    Kind::Spsc,
    Kind::ByteRing,
    Kind::WorkQueue,
    Kind::Broadcast,
    Kind::Blackboard,
    Kind::Pipe,
];

impl Kind {
    /// The kind with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        ALL.into_iter().find(|kind| *kind as u32 == code)
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Value => "value",
            Self::Array => "array",
            Self::Queue => "queue",
            Self::Channel => "channel",
            Self::ReentrantMutex => "reentrant mutex",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Condvar => "condition variable",
            Self::Barrier => "barrier",
            Self::RwLock => "rwlock",
            Self::Once => "once",
            Self::Spsc => "spsc",
            Self::ByteRing => "byte ring",
            Self::WorkQueue => "work queue",
            Self::Broadcast => "broadcast",
            Self::Blackboard => "blackboard",
            Self::Pipe => "pipe",
        }
    }
}

/// An object as recovery sees it: `len` mapped bytes at `base`, of a kind and shape that the directory says.
#[derive(Debug)]
pub struct Remains<'a> {
    /// First byte, aligned to 128.
    pub base: NonNull<u8>,
    /// Length in bytes.
    pub len: u64,
    /// Kind and shape, unchecked beyond the entry's own bounds.
    pub shape: &'a StoredShape,
}

/// Frees whatever `dead` held of an object and wakes one sleeper of it. Unsound objects are left alone.
///
/// # Safety
/// `remains` lies in mapped memory that stays what the directory says it is during the call.
pub unsafe fn recover(remains: &Remains<'_>, dead: ParticipantId, peers: &impl Peers) {
    let Some(kind) = Kind::from_code(remains.shape.kind) else { return };
    match kind {
        Kind::Mutex | Kind::Value | Kind::Array | Kind::ReentrantMutex => {
            // These kinds start with their lock.
            if remains.len >= size_of::<LockWord>() as u64 {
                // SAFETY: mapped and long enough (just checked), aligned to 128, accessed atomically only.
                let word: &LockWord = unsafe { remains.base.cast().as_ref() };
                mutex::recover(word, dead, peers);
            }
        }
        Kind::Semaphore => {
            // Its records need no recovery.
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(semaphore) = unsafe { Semaphore::at(remains.base, remains.len, 0) } {
                semaphore.recover(dead, peers);
            }
        }
        Kind::Event => {
            // Its records need no recovery.
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(event) = unsafe { Event::at(remains.base, remains.len, 0) } {
                event.recover(dead, peers);
            }
        }
        Kind::Condvar => {
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(condvar) = unsafe { Condvar::at(remains.base, remains.len, remains.shape.capacity) } {
                condvar.recover(dead, peers);
            }
        }
        Kind::Barrier => {
            let records = remains.len.saturating_sub(barrier::bytes(0)) / size_of::<barrier::BarrierRecord>() as u64;
            let records = records.min(MAX_PARTICIPANTS.into()) as u16;
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only. Nobody arrives through it.
            if let Some(barrier) = unsafe { Barrier::at(remains.base, remains.len, records, 0, false) } {
                barrier.recover(dead, peers);
            }
        }
        Kind::RwLock => {
            // Its records need no recovery.
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(lock) = unsafe { RwLock::at(remains.base, remains.len, 0) } {
                lock.recover(dead, peers);
            }
        }
        Kind::Once => {
            // Its value needs no recovery.
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(once) = unsafe { Once::at(remains.base, remains.len, 0) } {
                once.recover(dead, peers);
            }
        }
        Kind::Broadcast | Kind::Blackboard => {
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            if let Some(broadcast) = unsafe { Broadcast::found(remains.base, remains.len) } {
                broadcast.recover(dead, peers);
            }
        }
        Kind::Queue => {
            let geometry = queue::Geometry::new(remains.shape.capacity, remains.shape.element_size.into())
                .filter(|geometry| geometry.bytes() as u64 <= remains.len);
            let Some(geometry) = geometry else { return };
            // SAFETY: mapped and long enough (just checked), aligned to 128.
            if let Some(queue) = unsafe { Queue::at(remains.base, geometry) } {
                queue.recover(dead, peers);
            }
        }
        Kind::Spsc | Kind::ByteRing => {
            // What lies behind the header needs no recovery.
            if remains.len >= size_of::<RingHeader>() as u64 {
                // SAFETY: mapped and long enough (just checked), aligned to 128, accessed atomically only.
                ring::recover(unsafe { remains.base.cast().as_ref() }, dead, peers);
            }
        }
        Kind::WorkQueue => {
            // SAFETY: the caller's promise.
            if let Some(queue) = unsafe { work_queue(remains) } {
                queue.recover(dead, peers);
            }
        }
        Kind::Pipe => {
            let Some(geometry) = channel::Geometry::new(remains.shape.capacity) else { return };
            // SAFETY: mapped and so long, aligned to 128, accessed atomically only.
            let directions = unsafe { Pipe::directions(remains.base, remains.len, geometry) };
            let Some(directions) = directions else { return };
            // SAFETY: as above, and long enough for so many. Nobody asks for its ends through it.
            unsafe { Pipe::at(remains.base, geometry, directions, 0) }.recover(dead, peers);
        }
        Kind::Channel => {
            let geometry = channel::Geometry::new(remains.shape.capacity)
                .filter(|geometry| geometry.bytes() as u64 <= remains.len);
            let Some(geometry) = geometry else { return };
            // SAFETY: mapped and long enough (just checked), aligned to 128.
            if let Some(channel) = unsafe { Channel::at(remains.base, geometry) } {
                channel.recover(dead, peers);
            }
        }
    }
}

/// Gives back what participant `of` has of an object that its process closes for the last time, where that is no
/// thread's and no guard's.
///
/// # Safety
/// As [`recover`].
pub unsafe fn give_back(remains: &Remains<'_>, of: ParticipantId) {
    if remains.shape.kind == Kind::WorkQueue as u32
        // SAFETY: the caller's promise.
        && let Some(queue) = unsafe { work_queue(remains) }
    {
        queue.give_back_all(of);
    }
}

/// # Safety
/// As [`recover`].
unsafe fn work_queue<'a>(remains: &Remains<'a>) -> Option<WorkQueue<'a>> {
    if remains.len < size_of::<WorkQueueHeader>() as u64 {
        return None;
    }
    // SAFETY: mapped and long enough (just checked), aligned to 128, accessed atomically only.
    let header: &WorkQueueHeader = unsafe { remains.base.cast().as_ref() };
    let geometry = header.validate().filter(|geometry| geometry.bytes() as u64 <= remains.len)?;
    // SAFETY: mapped and long enough (just checked), aligned to 128.
    unsafe { WorkQueue::at(remains.base, geometry) }
}
