//! A segment of a model, and who takes part in it.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::directory::Directory;
use super::info::ParticipantInfo;
use super::kinds;
use super::shape::object_name;
use super::thread::{self, ThreadRecord};
use crate::error::Error;
use crate::layout::segment::Geometry;
use crate::primitive::{AtomicU32, Ordering, death, modelled};
use crate::raw::{Fate, Owner, ParticipantId, Peers, wait_any};

/// The most participants of a segment in a model: loom's five threads, and three more for those who died. Kinds with a
/// record for each participant have as many atomics, which all cost time.
pub const MOST_PARTICIPANTS: u16 = 8;

/// The tag of a process's only thread.
const TAG: u32 = 7;

/// A participant's place. It is used once.
#[derive(Debug)]
pub struct Slot {
    /// As in a real slot: `generation << 1 | used`. 1 until the participant is gone and was recovered, then 2.
    pub state: AtomicU32,
    /// As in a real slot.
    pub watched: AtomicU32,
    /// 1 once the kernel would say that it is dead.
    dead: AtomicU32,
    record: ThreadRecord,
}

impl Slot {
    fn new(participant: ParticipantId) -> Option<Self> {
        let record = ThreadRecord::new(Owner::new(participant, TAG)?);
        Some(Self { state: AtomicU32::new(1), watched: AtomicU32::new(0), dead: AtomicU32::new(0), record })
    }
}

/// What of a real segment's fixed parts the layers above look at.
#[derive(Debug)]
pub struct View {
    header: Header,
    slots: Vec<Slot>,
}

/// See [`View`].
#[derive(Debug)]
pub struct Header {
    /// Never.
    pub retired: AtomicU32,
}

impl View {
    /// The numbers of all participants there can be.
    pub fn participants(&self) -> RangeInclusive<ParticipantId> {
        1..=self.slots.len() as ParticipantId
    }

    /// The slot of a participant, which must be one of them.
    pub fn slot(&self, participant: ParticipantId) -> &Slot {
        &self.slots[usize::from(participant) - 1]
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// A segment, for all its participants.
#[derive(Debug)]
pub struct Attachment {
    me: Weak<Self>,
    view: View,
    size: u64,
    /// loom's, so that whoever opens an object has what its creator did before it, as behind the real directory's lock.
    directory: modelled::Mutex<Directory>,
    /// How many have joined: their numbers are 1 to this. Not loom's: joining is no step.
    joined: Mutex<ParticipantId>,
}

impl Attachment {
    /// A segment with room for what `geometry` says.
    pub fn new(geometry: &Geometry) -> Arc<Self> {
        let view = View {
            header: Header { retired: AtomicU32::new(0) },
            slots: (1..=geometry.participants.min(MOST_PARTICIPANTS)).filter_map(Slot::new).collect(),
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            view,
            size: geometry.size,
            directory: modelled::Mutex::new(Directory::new(geometry)),
            joined: Mutex::new(0),
        })
    }

    /// Its fixed parts.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Runs `act` on the locked directory, as one step.
    pub fn with_directory<R>(&self, act: impl FnOnce(&mut Directory) -> R) -> R {
        death::in_one_step(|| act(&mut self.directory.lock().expect("no step is half done")))
    }

    /// Takes an object's name away.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let name = object_name(name)?;
        self.with_directory(|directory| directory.remove(&name))
    }

    fn joined(&self) -> MutexGuard<'_, ParticipantId> {
        self.joined.lock().expect("nobody panics with it")
    }

    /// The calling thread as an owner; its first call makes it a participant. [`Error::Stale`] for the dead.
    pub fn enter(&self) -> Result<&ThreadRecord, Error> {
        if death::is_dying() {
            return Err(Error::Stale);
        }
        if let Some(record) = self.entered() {
            return Ok(record);
        }
        let mut joined = self.joined();
        if *joined == *self.view.participants().end() {
            return Err(Error::TooManyParticipants);
        }
        *joined += 1;
        thread::note(self.me.clone(), *joined);
        Ok(&self.view.slot(*joined).record)
    }

    /// The calling thread's record, if it has joined and lives.
    pub fn entered(&self) -> Option<&ThreadRecord> {
        thread::find(self).map(|participant| &self.view.slot(participant).record)
    }

    /// The same; there is no faster way in a model.
    pub fn entered_last(&self) -> Option<&ThreadRecord> {
        self.entered()
    }

    /// The end of a participant, by death or in peace: it becomes known, then what it held is freed.
    pub fn end_of(&self, participant: ParticipantId) {
        self.view.slot(participant).dead.store(1, Ordering::SeqCst);
        self.sweep(participant);
    }

    /// Frees what the dead held, and then tells who waits for its end; whether this call did so.
    fn sweep(&self, dead: ParticipantId) -> bool {
        for found in self.with_directory(|directory| directory.everything()) {
            // SAFETY: memory of an object lasts as long as the segment, and is what its record says.
            unsafe { kinds::recover(&found.remains(), dead, self) };
        }
        let slot = self.view.slot(dead);
        let freed = slot.state.compare_exchange(1, 2, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if freed {
            wait_any::wake_watchers(&slot.state, &slot.watched);
        }
        freed
    }

    /// Recovers those of the dead whose recoverer died at it.
    pub fn recover(&self) -> usize {
        let joined = *self.joined();
        let left = |participant: &ParticipantId| {
            self.fate(*participant) == Fate::Dead && self.view.slot(*participant).state.load(Ordering::Acquire) == 1
        };
        (1..=joined).filter(left).filter(|participant| self.sweep(*participant)).count()
    }

    /// In a model the thread that stood for the dead recovers it, and nobody else does so on the way.
    pub fn settle(&self) {}

    /// The pid of a participant, for people: all are threads of one process.
    pub fn pid_of(&self, participant: ParticipantId) -> Option<u32> {
        self.view.participants().contains(&participant).then(std::process::id)
    }

    /// Who has joined and was not recovered.
    pub fn participants(&self) -> Vec<ParticipantInfo> {
        let joined = *self.joined();
        let lives = (1..=joined).map(|id| (id, self.view.slot(id).state.load(Ordering::Acquire)));
        let used = lives.filter(|(_, state)| state & 1 != 0);
        used.map(|(id, state)| ParticipantInfo {
            id,
            pid: std::process::id(),
            name: format!("modelled {id}"),
            alive: self.fate(id) == Fate::Alive,
            life: state >> 1,
        })
        .collect()
    }
}

impl Peers for Attachment {
    fn fate(&self, participant: ParticipantId) -> Fate {
        if !self.view.participants().contains(&participant) {
            return Fate::Invalid;
        }
        // The kernel's answer: no step of who asks. It may come late, as a question may be asked too soon.
        let dead = self.view.slot(participant).dead.observe(Ordering::SeqCst) != 0;
        if dead { Fate::Dead } else { Fate::Alive }
    }

    fn life(&self, participant: ParticipantId) -> u32 {
        let known = self.view.participants().contains(&participant);
        if known { self.view.slot(participant).state.load(Ordering::Relaxed) >> 1 } else { 0 }
    }
}
