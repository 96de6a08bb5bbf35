//! What this process knows of the segments it has joined: one table under one lock.
//!
//! The lock is held for short, non-blocking sections only, and across every `fork(2)` (`pthread_atfork`), so a child
//! finds the table whole. Longer sections that no fork may interrupt are counted ([`NoFork`]). A raw clone runs no handlers: it must not be made while another thread joins or leaves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::attachment::Attachment;
use super::thread::{self, Arena, RecordPtr};
use crate::error::Error;
use crate::raw::{ParticipantId, TAG_MASK};
use crate::sys::fork;
use crate::sys::process::Me;
use crate::sys::shm::{self, Inode, LivePage, Mapping};

/// This process in one segment.
#[derive(Debug, Default)]
pub struct Member {
    /// The fork generation in which it joined; in a child of that process it has yet to join for itself.
    pub generation: u64,
    /// Its number.
    pub participant: ParticipantId,
    /// The state word of its slot.
    pub slot_state: u32,
    /// Its proof of life, where the segment has a file.
    pub live: Option<LivePage>,
    /// A descriptor of the file that holds no locks, for questions.
    pub query: Option<Arc<OwnedFd>>,
    /// Tags of its living threads.
    pub tags: BTreeSet<u32>,
    /// Directory entries that are open, how often, and their state word at that time.
    pub open: BTreeMap<u32, (u32, usize)>,
    /// Records of its threads.
    pub records: Vec<RecordPtr>,
    /// The mapping, once the last handle is gone while threads still hold locks.
    pub pinned: Option<Pinned>,
}

/// What is left of an attachment whose handles are gone while locks are held.
#[derive(Debug)]
pub struct Pinned {
    /// Keeps the words of the held locks mapped.
    pub _mapping: Option<Mapping>,
    /// Of which file.
    pub inode: Inode,
}

impl Member {
    /// Whether any thread of this process holds a lock in the segment.
    pub fn holds_any(&self) -> bool {
        self.records.iter().any(|record| record.get().holds_any())
    }

    /// Gives up a query descriptor that may no longer be ours: somebody may have closed all descriptors.
    pub fn drop_query(&mut self, inode: Inode) {
        if let Some(fd) = self.query.take()
            && shm::stat(fd.as_fd()).map(|stat| stat.inode) != Ok(inode)
        {
            // Not ours to close.
            core::mem::forget(fd);
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Registry {
    generation: u64,
    hooked: bool,
    next_serial: u64,
    /// How many sections are running that no fork may interrupt.
    no_fork: usize,
    /// How many forks wait for their end.
    forks_waiting: usize,
    /// How many places this process has, in any segment, that it has just taken or is about to give back.
    in_motion: usize,
    /// Who we are, asked once in each process.
    me: Option<Me>,
    /// By serial number.
    pub members: BTreeMap<u64, Member>,
    /// Open attachments by file: a process is one participant per segment.
    pub by_inode: BTreeMap<Inode, Weak<Attachment>>,
    /// Where thread records come from.
    pub arena: Arena,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    generation: 0,
    hooked: false,
    next_serial: 1,
    no_fork: 0,
    forks_waiting: 0,
    in_motion: 0,
    me: None,
    members: BTreeMap::new(),
    by_inode: BTreeMap::new(),
    arena: Arena::new(),
});

fn raw_lock() -> MutexGuard<'static, Registry> {
    // A panic under the lock is a bug of ours; the table is still the best there is.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the table, after having noticed a fork.
pub fn lock() -> Result<MutexGuard<'static, Registry>, Error> {
    let mut registry = raw_lock();
    registry.notice_fork()?;
    Ok(registry)
}

impl Registry {
    fn notice_fork(&mut self) -> Result<(), Error> {
        if !self.hooked {
            fork::at_fork(before_fork, after_fork, after_fork)?;
            self.hooked = true;
        }
        let generation = fork::generation()?;
        if generation != self.generation {
            self.generation = generation;
            self.me = None;
            // Those of a parent whose raw clone ran no handlers: its other threads are not here.
            self.no_fork = 0;
            self.forks_waiting = 0;
            self.in_motion = 0;
            // The records are wiped and may still be pointed at by thread-locals of this thread.
            self.arena.abandon();
            for member in self.members.values_mut() {
                member.records.clear();
                member.tags.clear();
                if let Some(live) = member.live.take() {
                    live.forget();
                }
            }
        }
        Ok(())
    }

    /// The fork generation of this process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Who we are.
    pub fn me(&mut self) -> Me {
        if let Some(me) = &self.me {
            return me.clone();
        }
        let me = Me::new();
        // A process that is out of descriptors now may not be later.
        self.me = me.identity.is_ok().then(|| me.clone());
        me
    }

    /// A number for an attachment that no other has had in this process or its parents.
    pub fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial - 1
    }
}

/// A section of this process that no `fork(2)` interrupts: one waits until the section ends. Not to be entered with the
/// registry locked, nor left in another process than it was entered in.
#[derive(Debug)]
pub struct NoFork(());

/// A place in a segment that was just taken, or is about to be given back. Not to be dropped with the registry locked.
#[derive(Debug)]
pub struct InMotion(());

impl InMotion {
    /// From now on, until this is dropped.
    pub fn begin(registry: &mut Registry) -> Self {
        registry.in_motion += 1;
        Self(())
    }

    /// Until now, where the registry is locked.
    pub fn end(self, registry: &mut Registry) {
        registry.in_motion = registry.in_motion.saturating_sub(1);
        core::mem::forget(self);
    }

    /// Whether there is one.
    pub fn is_any(registry: &Registry) -> bool {
        registry.in_motion > 0
    }
}

impl Drop for InMotion {
    fn drop(&mut self) {
        let mut registry = raw_lock();
        registry.in_motion = registry.in_motion.saturating_sub(1);
    }
}

/// Told when the last such section ends.
static QUIET: Condvar = Condvar::new();

impl NoFork {
    /// Enters the section; one may be inside another.
    pub fn enter() -> Result<Self, Error> {
        lock()?.no_fork += 1;
        Ok(Self(()))
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        let mut registry = raw_lock();
        registry.no_fork = registry.no_fork.saturating_sub(1);
        if registry.no_fork == 0 && registry.forks_waiting > 0 {
            QUIET.notify_all();
        }
    }
}

thread_local! {
    static HELD_OVER_FORK: RefCell<Option<MutexGuard<'static, Registry>>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    let mut guard = raw_lock();
    // A raw clone may be what forks.
    let _ = guard.notice_fork();
    guard.forks_waiting += 1;
    let mut guard = QUIET.wait_while(guard, |registry| registry.no_fork > 0).unwrap_or_else(PoisonError::into_inner);
    guard.forks_waiting -= 1;
    let _ = HELD_OVER_FORK.try_with(|held| held.replace(Some(guard)));
}

/// In the parent and in the child: the same thread holds the lock in both.
extern "C" fn after_fork() {
    let _ = HELD_OVER_FORK.try_with(|held| held.take());
}

/// A tag for a new thread: the next one of the slot's counter that no living thread of this participant has.
pub fn draw_tag(tags: &mut BTreeSet<u32>, mut next: impl FnMut() -> u32) -> Result<u32, Error> {
    for _ in 0..=TAG_MASK {
        let tag = next() & TAG_MASK;
        if tags.insert(tag) {
            return Ok(tag);
        }
    }
    Err(Error::NotSupported("more than 131,072 threads of one process in one segment"))
}

/// Ends the records of an ending thread.
pub fn thread_ends(generation: u64, records: &mut Vec<RecordPtr>) {
    if records.is_empty() {
        return;
    }
    let Ok(mut registry) = lock() else { return };
    if registry.generation != generation {
        // A child that never used them: they are the parent's, wiped.
        return;
    }
    let Registry { arena, members, .. } = &mut *registry;
    let mut done = Vec::new();
    for record in records.drain(..) {
        let (serial, owner) = record.identity();
        let member = members.get_mut(&serial);
        // SAFETY: a member exists as long as its segment is mapped, and the registry is locked.
        unsafe { thread::end(arena, record, member.is_some()) };
        let Some(member) = member else { continue };
        member.records.retain(|other| *other != record);
        if let Some(owner) = owner {
            member.tags.remove(&owner.tag());
        }
        let pinned = member.pinned.as_ref().map(|pinned| pinned.inode);
        if let Some(inode) = pinned.filter(|_| !member.holds_any()) {
            member.drop_query(inode);
            done.extend(members.remove(&serial));
        }
    }
    drop(registry);
    // Unmaps and gives the proof of life back, outside the lock; the slot is recovered as that of a dead participant.
    drop(done);
}
