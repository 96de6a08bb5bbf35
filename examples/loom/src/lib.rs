//! A protocol of a user's own, from nothing but ringfence's public API: a board where processes post jobs and others take
//! them, asleep while there are none.
//!
//! The same source runs for real (`cargo run -p ringfence-example-loom`) and in models, which try every interleaving and
//! kill a process at every step (`tests/model.rs`). Two of the methods are wrong on purpose, each in a way that a test
//! by chance hardly ever sees; the models find both.

use ringfence::bytemuck::{Pod, Zeroable};
use ringfence::{Condvar, CondvarError, Error, LockError, Mutex, MutexGuard, PopError, Queue, Segment};

/// What may go wrong is only told to people.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "ringfence::bytemuck")]
#[repr(C)]
pub struct Job {
    /// Which one.
    pub number: u64,
    /// The same with all bits turned: half a job, or half of another, would not pass [`is_whole`](Self::is_whole).
    pub check: u64,
}
ringfence::plain!(Job, tag = "job/1");

impl Job {
    /// Job number `number`.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self { number, check: !number }
    }

    /// Whether both halves belong together.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.check == !self.number
    }
}

/// What stands on the board besides the jobs.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[bytemuck(crate = "ringfence::bytemuck")]
#[repr(C)]
pub struct Notes {
    /// 1 once there will be no more jobs.
    pub closed: u32,
    /// How many deaths somebody was told of.
    pub deaths: u32,
}
ringfence::plain!(Notes, tag = "notes/1");

/// The board.
pub struct Board {
    notes: Mutex<Notes>,
    changed: Condvar,
    jobs: Queue<Job>,
}

impl Board {
    /// How many jobs it has room for.
    pub const ROOM: usize = 2;

    /// The segment's board.
    ///
    /// # Errors
    /// Those of its parts.
    pub fn open(segment: &Segment) -> Result<Self, Error> {
        Ok(Self {
            notes: Mutex::open_or_create(segment, "notes", Notes { closed: 0, deaths: 0 })?,
            changed: Condvar::open_or_create(segment, "changed", 4)?,
            jobs: Queue::open_or_create(segment, "jobs", Self::ROOM)?,
        })
    }

    fn lock(&self) -> Outcome<MutexGuard<'_, Notes>> {
        match self.notes.lock() {
            Ok(notes) => Ok(notes),
            Err(LockError::OwnerDied(notes)) => self.told(notes),
            Err(error) => Err(error.to_string().into()),
        }
    }

    /// Somebody died with the lock. It may have posted a job and told nobody: now everybody looks.
    fn told<'a>(&self, mut notes: MutexGuard<'a, Notes>) -> Outcome<MutexGuard<'a, Notes>> {
        notes.make_consistent();
        notes.deaths += 1;
        self.changed.notify_all(&notes)?;
        Ok(notes)
    }

    /// Gives the lock away until somebody notifies.
    fn wait<'a>(&self, notes: MutexGuard<'a, Notes>) -> Outcome<MutexGuard<'a, Notes>> {
        match self.changed.wait(notes) {
            Ok(notes) => Ok(notes),
            Err(CondvarError::OwnerDied(notes, _)) => self.told(notes),
            Err(error) => Err(error.to_string().into()),
        }
    }

    /// Posts a job; `false` if there is no room.
    ///
    /// # Errors
    /// Those of the board's parts.
    pub fn post(&self, job: Job) -> Outcome<bool> {
        let notes = self.lock()?;
        let posted = self.jobs.try_push(job).is_ok();
        self.changed.notify_one(&notes)?;
        Ok(posted)
    }

    /// Wrong: who dies between the two steps has posted a job, with the lock free, so nobody is told of the death, and
    /// who waits for a job sleeps beside one.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn post_and_then_lock(&self, job: Job) -> Outcome<bool> {
        let posted = self.jobs.try_push(job).is_ok();
        let notes = self.lock()?;
        self.changed.notify_one(&notes)?;
        Ok(posted)
    }

    /// Takes a job if there is one.
    fn look(&self) -> Outcome<Option<Job>> {
        match self.jobs.try_pop() {
            Ok(job) => Ok(Some(job)),
            // Busy: somebody is posting it just now, and will notify.
            Err(PopError::Empty | PopError::Busy) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a job, waiting for one; `None` when the board is closed and empty.
    ///
    /// # Errors
    /// Those of the board's parts.
    pub fn take(&self) -> Outcome<Option<Job>> {
        let mut notes = self.lock()?;
        loop {
            let job = self.look()?;
            if job.is_some() || notes.closed != 0 {
                return Ok(job);
            }
            notes = self.wait(notes)?;
        }
    }

    /// Wrong: a job that is posted between the look and the wait wakes nobody, and is not looked for again.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn look_and_then_lock(&self) -> Outcome<Option<Job>> {
        loop {
            if let Some(job) = self.look()? {
                return Ok(Some(job));
            }
            let notes = self.lock()?;
            if notes.closed != 0 {
                return self.look();
            }
            drop(self.wait(notes)?);
        }
    }

    /// From now on there are no more jobs: who waits for one need not.
    ///
    /// # Errors
    /// Those of the board's parts.
    pub fn close(&self) -> Outcome<()> {
        let mut notes = self.lock()?;
        notes.closed = 1;
        self.changed.notify_all(&notes)?;
        Ok(())
    }

    /// Whether there is no job; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// How many deaths somebody was told of.
    ///
    /// # Errors
    /// Those of the board's parts.
    pub fn deaths(&self) -> Outcome<u32> {
        Ok(self.lock()?.deaths)
    }
}
