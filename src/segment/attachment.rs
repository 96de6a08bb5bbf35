//! A segment as this process has it: the mapping, and the process as one participant of it.

use core::ops::Range;
use core::ptr::NonNull;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::place::{self, Place};
use super::recovery::{self, PATIENCE, Probe, Witness};
use super::registry::{self, InMotion, Member, NoFork, Pinned, Registry};
use super::thread::{self, ThreadRecord};
use super::view::View;
use crate::error::Error;
use crate::primitive::{AtomicU32, Ordering};
use crate::raw::{Fate, Owner, ParticipantId, Peers};
use crate::sys::ofd::{self, Byte, Held};
use crate::sys::process::{self, Identity};
use crate::sys::shm::{self, Inode, LivePage, Mapping};

/// Where the memory comes from.
#[derive(Debug)]
pub enum Backing {
    /// A file: named (with a path) or memfd.
    File {
        /// Its name, if it was joined by name.
        path: Option<PathBuf>,
        /// Which file.
        inode: Inode,
        /// Its mapping; taken out when the last handle goes while locks are held.
        mapping: Option<Mapping>,
    },
    /// The caller's mapping, which the caller keeps.
    Adopted,
}

/// A joined segment. The handle that the process shares among all its users of the segment.
#[derive(Debug)]
pub struct Attachment {
    serial: u64,
    view: View,
    backing: Backing,
    /// 1 if a slow path has met a dead participant that nobody has recovered yet.
    deaths: AtomicU32,
}

impl Attachment {
    /// Joins the segment that `view` shows. `query` is a descriptor of its file that holds no lock on a live byte. With
    /// `named`, the file must have its name still: [`Error::Missing`] if not.
    pub fn join(view: View, backing: Backing, query: Option<Arc<OwnedFd>>, named: bool) -> Result<Arc<Self>, Error> {
        let taken = place::take(view, query.as_deref().map(AsFd::as_fd), &backing, named);
        let (place, motion) = match (taken, &backing) {
            (Err(Error::TooManyParticipants), Backing::File { inode, .. }) => {
                // Unless another thread is in by now.
                return Self::existing(*inode)?.ok_or(Error::TooManyParticipants);
            }
            (taken, _) => taken?,
        };
        let mut registry = registry::lock()?;
        let serial = registry.serial();
        // Not to be dropped with the registry locked.
        let attachment = Arc::new(Self { serial, view, backing, deaths: AtomicU32::new(0) });
        let member = Member {
            generation: registry.generation(),
            participant: place.participant,
            slot_state: place.slot_state,
            live: place.live,
            query,
            ..Member::default()
        };
        registry.members.insert(serial, member);
        if let Backing::File { inode, .. } = attachment.backing {
            if let Some(earlier) = registry.by_inode.get(&inode).and_then(Weak::upgrade) {
                // Another thread was faster. Ours leaves again, but not as the last one: this process stays, and whoever
                // called us holds the door.
                if let Some(mut member) = registry.members.remove(&serial) {
                    attachment.free_slot(member.participant, member.slot_state);
                    member.live = None;
                }
                motion.end(&mut registry);
                drop(registry);
                return Ok(earlier);
            }
            registry.by_inode.insert(inode, Arc::downgrade(&attachment));
        }
        motion.end(&mut registry);
        drop(registry);
        Ok(attachment)
    }

    /// The attachment that this process already has of a file.
    pub fn existing(inode: Inode) -> Result<Option<Arc<Self>>, Error> {
        let Some(attachment) = registry::lock()?.by_inode.get(&inode).and_then(Weak::upgrade) else { return Ok(None) };
        // In a forked child that inherited it: whoever opens a segment takes part.
        attachment.enter()?;
        Ok(Some(attachment))
    }

    /// A number that no other attachment of this process has had.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The mapped segment.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The path it was joined by.
    pub fn path(&self) -> Option<&Path> {
        self.backing.path()
    }

    /// Whether the memory is the caller's.
    pub fn is_adopted(&self) -> bool {
        matches!(self.backing, Backing::Adopted)
    }

    /// The calling thread as an owner. The first call of a thread registers it; the first call in a forked child makes
    /// the child a participant.
    #[inline]
    pub fn enter(&self) -> Result<&ThreadRecord, Error> {
        match thread::current(self.serial) {
            // SAFETY: records are never unmapped; the borrow ends before the thread does.
            Some(record) => Ok(unsafe { record.as_ref() }),
            None => self.enter_slow(),
        }
    }

    /// The calling thread's record, if this is the segment it used last.
    #[inline]
    pub fn entered_last(&self) -> Option<&ThreadRecord> {
        // SAFETY: as in `enter`.
        thread::current(self.serial).map(|record| unsafe { record.as_ref() })
    }

    /// The calling thread's record, if it has one in this very process; never registers.
    #[inline]
    pub fn entered(&self) -> Option<&ThreadRecord> {
        // SAFETY: as in `enter`.
        thread::find(self.serial).map(|record| unsafe { record.as_ref() })
    }

    #[cold]
    fn enter_slow(&self) -> Result<&ThreadRecord, Error> {
        if let Some(record) = self.entered() {
            return Ok(record);
        }
        let mut registry = registry::lock()?;
        let generation = registry.generation();
        if self.member(&mut registry)?.generation != generation {
            drop(registry);
            self.rejoin()?;
            registry = registry::lock()?;
        }
        let Registry { arena, members, .. } = &mut *registry;
        let member = members.get_mut(&self.serial).ok_or(Error::Stale)?;
        let counter = &self.view.slot(member.participant).tags;
        // Relaxed: the counter only has to give each number once.
        let tag = registry::draw_tag(&mut member.tags, || counter.fetch_add(1, Ordering::Relaxed))?;
        let owner = Owner::new(member.participant, tag).ok_or(Error::Corrupted("participant out of range"))?;
        let life = member.slot_state >> 1;
        let near = self.view.base();
        let open = |serial| members.contains_key(&serial);
        let added = thread::add(arena, near, generation, self.serial, owner, life, open);
        let member = members.get_mut(&self.serial).ok_or(Error::Stale)?;
        match added {
            Ok(record) => {
                member.records.push(record);
                drop(registry);
                self.entered().ok_or(Error::NotSupported("the thread is ending"))
            }
            Err(error) => {
                member.tags.remove(&tag);
                Err(error)
            }
        }
    }

    fn member<'r>(&self, registry: &'r mut Registry) -> Result<&'r mut Member, Error> {
        registry.members.get_mut(&self.serial).ok_or(Error::Stale)
    }

    /// Joins again, in a forked child that inherited the handle. What the parent owned stays the parent's.
    fn rejoin(&self) -> Result<(), Error> {
        let query = self.fresh_query()?;
        let taken = place::take(self.view, query.as_ref().map(AsFd::as_fd), &self.backing, false);
        let (place, _motion) = match taken {
            Err(Error::TooManyParticipants) => {
                let mut registry = registry::lock()?;
                let generation = registry.generation();
                // Unless another thread is in by now.
                let joined = self.member(&mut registry)?.generation == generation;
                return if joined { Ok(()) } else { Err(Error::TooManyParticipants) };
            }
            taken => taken?,
        };
        let (participant, slot_state) = (place.participant, place.slot_state);
        let surplus = match self.settle_in(place, query) {
            Ok(None) => return Ok(()),
            Ok(Some(surplus)) => Ok(surplus),
            Err(error) => Err(error),
        };
        // Give the place back: the slot before the proof of life, which an error has dropped already.
        self.free_slot(participant, slot_state);
        surplus.map(drop)
    }

    /// Makes `place` the child's, with the objects open that it inherited; gives it back if another thread was faster.
    fn settle_in(&self, place: Place, query: Option<OwnedFd>) -> Result<Option<Place>, Error> {
        let path = self.backing.path();
        let copy = query.as_ref().map(|fd| shm::duplicate(fd.as_fd())).transpose()?;
        let witness = copy.as_ref().map_or(Witness::Claims, |fd| Witness::File(fd.as_fd(), path));
        // Nothing may be given back between the open bits and the look at the entries.
        Probe { view: self.view, witness }.while_nothing_is_given_back(|| {
            let mut registry = registry::lock()?;
            let generation = registry.generation();
            let member = self.member(&mut registry)?;
            if member.generation == generation {
                return Ok(Some(place));
            }
            for (entry, (state, _)) in &member.open {
                let (word, bit) = self.view.open_bit(place.participant, *entry);
                word.fetch_or(bit, Ordering::SeqCst);
                let now = self.view.entry(*entry).state.load(Ordering::SeqCst);
                if now >> 2 != state >> 2 || now & 3 == crate::layout::segment::ENTRY_FREE {
                    return Err(Error::Stale);
                }
            }
            member.generation = generation;
            member.participant = place.participant;
            member.slot_state = place.slot_state;
            member.live = place.live;
            if let Backing::File { inode, .. } = self.backing {
                member.drop_query(inode);
            }
            member.query = query.map(Arc::new);
            Ok(None)
        })
    }

    fn fresh_query(&self) -> Result<Option<OwnedFd>, Error> {
        let Backing::File { inode, ref path, .. } = self.backing else { return Ok(None) };
        let mut registry = registry::lock()?;
        let member = self.member(&mut registry)?;
        if let Some(query) = &member.query
            && shm::stat(query.as_fd()).map(|stat| stat.inode) == Ok(inode)
        {
            return shm::reopen(query.as_fd(), path.as_deref()).map(Some);
        }
        // Closed behind our back: the number may be anybody's next.
        member.drop_query(inode);
        let fd = shm::open(path.as_deref().ok_or(Error::NotSupported("the descriptor of the segment was closed"))?)?;
        if shm::stat(fd.as_fd())?.inode == inode { Ok(Some(fd)) } else { Err(Error::Missing) }
    }

    /// Asks `question` with a probe of the segment. The descriptor is checked to be ours, and reopened if it is not.
    fn with_probe<R>(&self, question: impl FnOnce(&Probe<'_>) -> R) -> Result<R, Error> {
        let Backing::File { inode, ref path, .. } = self.backing else {
            return Ok(question(&Probe { view: self.view, witness: Witness::Claims }));
        };
        // A copy of the descriptor is used outside the lock: recovery may take long.
        let fd = {
            let mut registry = registry::lock()?;
            let member = self.member(&mut registry)?;
            match &member.query {
                Some(fd) if shm::stat(fd.as_fd()).map(|stat| stat.inode) == Ok(inode) => shm::duplicate(fd.as_fd())?,
                _ => {
                    drop(registry);
                    let fresh = self.fresh_query()?.ok_or(Error::Missing)?;
                    let copy = shm::duplicate(fresh.as_fd())?;
                    let mut registry = registry::lock()?;
                    let member = self.member(&mut registry)?;
                    member.drop_query(inode);
                    member.query = Some(Arc::new(fresh));
                    copy
                }
            }
        };
        Ok(question(&Probe { view: self.view, witness: Witness::File(fd.as_fd(), path.as_deref()) }))
    }

    /// Recovers every dead participant; returns how many this call freed.
    pub fn recover(&self) -> Result<usize, Error> {
        self.recover_within(PATIENCE)
    }

    fn recover_within(&self, patience: Duration) -> Result<usize, Error> {
        self.deaths.store(0, Ordering::Relaxed);
        let result = self.with_probe(|probe| probe.recover_all(patience)).and_then(|result| result);
        if result.is_err() {
            self.deaths.store(1, Ordering::Relaxed);
        }
        result
    }

    /// Recovers the dead that slow paths have met since the last call. What cannot be done at once is left to the next
    /// one: the caller may hold a lock.
    pub fn settle(&self) {
        // Relaxed: a hint.
        if self.deaths.load(Ordering::Relaxed) != 0 {
            let _ = self.recover_within(Duration::ZERO);
        }
    }

    /// Runs `reclaim` if nobody sweeps now; says whether it ran.
    pub fn while_nobody_sweeps(&self, reclaim: impl FnOnce() -> Result<(), Error>) -> Result<bool, Error> {
        self.with_probe(|probe| probe.while_nobody_sweeps(reclaim))?
    }

    /// A descriptor of the segment's file.
    pub fn descriptor(&self) -> Result<OwnedFd, Error> {
        self.fresh_query()?.ok_or(Error::NotSupported("adopted memory has no descriptor"))
    }

    /// The pid of a participant, for people.
    pub fn pid_of(&self, participant: ParticipantId) -> Option<u32> {
        let known = self.view.participants().contains(&participant);
        known.then(|| self.view.slot(participant).pid.load(Ordering::Relaxed) as u32)
    }

    /// Notes that this process has an entry open once more.
    pub fn note_open(&self, entry: u32, state: u32) -> Result<(), Error> {
        let mut registry = registry::lock()?;
        let member = self.member(&mut registry)?;
        let (word, bit) = self.view.open_bit(member.participant, entry);
        member.open.entry(entry).or_insert((state, 0)).1 += 1;
        // SeqCst: whoever frees entries reads the bits under the directory lock, which the caller holds.
        word.fetch_or(bit, Ordering::SeqCst);
        Ok(())
    }

    /// Notes that this process has an entry open once more that it has open already.
    pub fn note_open_again(&self, entry: u32) -> Result<(), Error> {
        let mut registry = registry::lock()?;
        self.member(&mut registry)?.open.get_mut(&entry).ok_or(Error::Stale)?.1 += 1;
        Ok(())
    }

    /// Notes that this process has an entry open once less, the object of which lies at these addresses. The last time
    /// `give_back` is told which participant the process is.
    pub fn note_closed(&self, entry: u32, addresses: Range<usize>, give_back: impl FnOnce(ParticipantId)) {
        let Ok(mut registry) = registry::lock() else { return };
        let generation = registry.generation();
        let Ok(member) = self.member(&mut registry) else { return };
        let Some((_, count)) = member.open.get_mut(&entry) else { return };
        *count -= 1;
        if *count == 0 {
            member.open.remove(&entry);
            // A lock that is still held, by a guard that was leaked, keeps the space until this process leaves.
            let mut free = true;
            for record in &member.records {
                free &= record.get().forget(&addresses);
            }
            // In a child that has not joined, the slot is the parent's.
            if member.generation != generation {
                return;
            }
            give_back(member.participant);
            if free {
                let (word, bit) = self.view.open_bit(member.participant, entry);
                // Release: what this process did to the object comes before anybody reuses its space.
                word.fetch_and(!bit, Ordering::Release);
            }
        }
    }

    /// Whether a thread of this process holds a lock in the segment.
    pub fn holds_any(&self) -> Result<bool, Error> {
        let mut registry = registry::lock()?;
        Ok(self.member(&mut registry)?.holds_any())
    }

    fn free_slot(&self, participant: ParticipantId, state: u32) {
        let slot = self.view.slot(participant);
        self.view.free_slot(participant, state);
        if self.is_adopted() {
            // The slot was ours, so the claim is; whoever is faster finds the claim of a living process and leaves it.
            let claim = slot.claim.load(Ordering::Relaxed);
            if Identity(claim).pid() == process::pid() {
                let _ = slot.claim.compare_exchange(claim, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }

    /// Unlinks the name if nobody is left, where the segment asks for it.
    fn unlink_with_last(&self, query: Option<&OwnedFd>) -> Result<(), Error> {
        if let (Backing::File { path: Some(path), .. }, Some(query), 1) =
            (&self.backing, query, self.view.birth().unlink)
        {
            super::named::retire_if_dead(query.as_fd(), self.view.geometry().size, path)?;
        }
        Ok(())
    }
}

impl Backing {
    /// The path it was opened by.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => path.as_deref(),
            Self::Adopted => None,
        }
    }

    fn take_mapping(&mut self) -> Option<Mapping> {
        match self {
            Self::File { mapping, .. } => mapping.take(),
            Self::Adopted => None,
        }
    }
}

impl Peers for Attachment {
    fn fate(&self, participant: ParticipantId) -> Fate {
        // A question that cannot be asked has the answer "alive".
        let fate = self.ask(participant).unwrap_or(Fate::Alive);
        if fate == Fate::Dead {
            self.deaths.store(1, Ordering::Relaxed);
        }
        fate
    }

    fn life(&self, participant: ParticipantId) -> u32 {
        self.view.life(participant)
    }

    fn is_held(&self, end: u64) -> bool {
        let asked = self.with_query(|fd| ofd::is_held(fd, Byte::End(end))).and_then(|held| held);
        asked.unwrap_or(true)
    }

    fn while_unheld(&self, end: u64, then: &mut dyn FnMut()) -> bool {
        self.alone_at(Byte::End(end), then).unwrap_or(false)
    }
}

impl Attachment {
    /// Holds an end until the page is dropped or this process ends, and in each child that is forked meanwhile. Waits for
    /// who is just about to say that nobody does.
    pub fn hold(&self, end: u64) -> Result<LivePage, Error> {
        recovery::patiently(|| {
            // A child that inherits the descriptor would keep the lock when the page is gone.
            let _no_fork = NoFork::enter()?;
            let own = self.descriptor()?;
            let held = ofd::try_lock(own.as_fd(), Byte::End(end), ofd::Mode::Shared)?;
            held.then(|| LivePage::pin_for_children(own)).transpose()
        })
    }

    fn alone_at(&self, byte: Byte, then: &mut dyn FnMut()) -> Result<bool, Error> {
        let _no_fork = NoFork::enter()?;
        let own = self.descriptor()?;
        if !ofd::try_lock(own.as_fd(), byte, ofd::Mode::Exclusive)? {
            return Ok(false);
        }
        let _held = Held::new(own, byte);
        then();
        Ok(true)
    }

    /// Asks `question` of a descriptor of the file that holds no lock, without a copy of it if it is ours still.
    fn with_query<R>(&self, question: impl Fn(BorrowedFd<'_>) -> R) -> Result<R, Error> {
        let Backing::File { inode, .. } = self.backing else {
            return Err(Error::NotSupported("adopted memory has no descriptor"));
        };
        {
            let mut registry = registry::lock()?;
            if let Some(fd) = &self.member(&mut registry)?.query
                && shm::stat(fd.as_fd()).map(|stat| stat.inode) == Ok(inode)
            {
                return Ok(question(fd.as_fd()));
            }
        }
        self.with_probe(|probe| match probe.witness {
            Witness::File(fd, _) => Ok(question(fd)),
            Witness::Claims => Err(Error::NotSupported("adopted memory has no descriptor")),
        })?
    }

    fn ask(&self, participant: ParticipantId) -> Result<Fate, Error> {
        if self.is_adopted() {
            return self.with_probe(|probe| probe.fate(participant));
        }
        self.with_query(|fd| Probe { view: self.view, witness: Witness::File(fd, None) }.fate(participant))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Ok(mut registry) = registry::lock() else { return };
        if let Backing::File { inode, .. } = self.backing
            && registry.by_inode.get(&inode).is_some_and(|weak| weak.strong_count() == 0)
        {
            registry.by_inode.remove(&inode);
        }
        let generation = registry.generation();
        let Some(mut member) = registry.members.remove(&self.serial) else { return };
        if member.generation != generation {
            // A forked child that never joined: the slot and the proof of life are the parent's.
            if let Backing::File { inode, .. } = self.backing {
                member.drop_query(inode);
            }
            return;
        }
        if member.holds_any() {
            // Somebody leaked a guard. The locks stay held, as they would be if the handle lived.
            if let Backing::File { inode, .. } = self.backing {
                member.pinned = Some(Pinned { _mapping: self.backing.take_mapping(), inode });
                registry.members.insert(self.serial, member);
            }
            // Adopted memory is not ours to touch from here on: our slot, and with it the locks, is ours until this
            // process ends.
            return;
        }
        let motion = InMotion::begin(&mut registry);
        drop(registry);
        self.free_slot(member.participant, member.slot_state);
        // From here on nothing of the segment is looked at but copies of what never changes.
        match (member.live.take(), self.backing.take_mapping()) {
            (Some(live), Some(mapping)) => live.end_with(mapping),
            one => drop(one),
        }
        drop(motion);
        // An error leaves the name to the next opener or sweep.
        let _ = self.unlink_with_last(member.query.as_deref());
        if let Backing::File { inode, .. } = self.backing {
            member.drop_query(inode);
        }
    }
}

/// Joins a file that is open and mapped, and, if `named`, has its name still.
pub fn join_file(
    fd: Arc<OwnedFd>,
    inode: Inode,
    path: Option<PathBuf>,
    view: View,
    mapping: Mapping,
    named: bool,
) -> Result<Arc<Attachment>, Error> {
    Attachment::join(view, Backing::File { path, inode, mapping: Some(mapping) }, Some(fd), named)
}

/// Checks the header of a mapped file.
pub fn view_of(mapping: &Mapping) -> Result<View, Error> {
    // SAFETY: mapped for `len` bytes, page-aligned; the mapping lives as long as the attachment that keeps both. It is
    // accessed through atomics, or while it is unpublished.
    unsafe { View::new(mapping.base(), mapping.size()) }
}

/// A pointer into a segment that may move between threads with its owner.
#[derive(Clone, Copy, Debug)]
pub struct SharedPtr(pub NonNull<u8>);

// SAFETY: it points into shared memory, which is accessed atomically whichever thread does it.
unsafe impl Send for SharedPtr {}
// SAFETY: as above.
unsafe impl Sync for SharedPtr {}
