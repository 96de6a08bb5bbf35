//! The counting semaphore, in two modes.
//!
//! **Signalling**: nobody owns a permit; one 32-bit futex word is the whole state.
//!
//! ```text
//!  31        30     29                              0
//! +---------+------+---------------------------------+
//! | WAITERS | MANY |             value               |   MANY: a sleeper wants more than one
//! +---------+------+---------------------------------+
//! ```
//!
//! **Owned**: each participant has a record of what it took, so that what the dead had comes back.
//!
//! ```text
//! lock | turn: u32, as above with a count in place of the value | word: free | total | record[participant]
//! record: u64 = life of the participant : 32 | permits : 32
//! ```
//!
//! Invariants of both:
//! 1. Who sleeps has seen too few permits behind a word that has WAITERS set (and MANY, if it wants more than one), and
//!    sleeps only while that word is unchanged. In owned mode it sets the word first and then asks who is dead.
//! 2. In signalling mode whoever acquires after having slept sets WAITERS: it cannot know whether others sleep, and the
//!    word may be what a late clearing (3) expects. In owned mode each waiter changes the word, so that one fails.
//! 3. A release wakes before it clears WAITERS, and clears only in the exact word it left, if nobody was woken. It takes
//!    MANY out before it wakes, and then wakes all: a sleeper that wants one must not wait behind one that wants more
//!    than there is.
//!
//! Of the owned mode:
//! 4. Everything but `turn` changes under the lock. free = total - sum of the records; the records and the total are the
//!    truth, and who takes the lock from the dead works out `free` anew.
//! 5. A record whose life is not that of its participant, or whose participant is dead, is nobody's: whoever finds too
//!    few permits takes it back. So recovery has nothing to do but to wake, and a place may be used again at once.
//!
//! A death leaves behind: a stray WAITERS or MANY (one system call too many); as a releaser before its wake, or as a
//! woken waiter, sleepers beside free permits, which the cap of their naps ends, or [`recover`](Semaphore::recover); in
//! owned mode a lock to take over (4) and a record to take back (5). In signalling mode a permit taken by the dead is gone:
//! that is what the mode means.
//!
//! Orderings: an acquisition is Acquire and pairs with the Release of every release before it.
//!
//! Source: the sticky WAITERS of [`mutex`](super::mutex), for more than one permit.

use core::ptr::NonNull;

use super::backoff::Backoff;
use super::eventcount::Announced;
use super::mutex;
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::semaphore::{MAX_PERMITS, Record, SemaphoreHeader, bytes};
use crate::primitive::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, TRY_FOR, Wait};

const WAITERS: u32 = 1 << 31;
const MANY: u32 = 1 << 30;
const COUNT: u32 = MANY - 1;
/// A release of more asks first whether there is room. So few do not overflow [`COUNT`], which is twice [`MAX_PERMITS`], unless
/// half a million threads do it at once on a semaphore that is full.
const ADDED_AT_ONCE: u32 = 1 << 10;

/// How permits were acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// As always.
    Clean,
    /// Permits have come back from a dead participant since the last acquisition.
    Returned,
}

/// Why permits were not acquired, or not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too few are free (a try only).
    WouldBlock,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
    /// More than there may ever be.
    Maximum,
    /// The semaphore holds something that no participant writes.
    Corrupted,
}

/// A semaphore in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Semaphore<'a> {
    header: &'a SemaphoreHeader,
    /// Empty in signalling mode.
    records: &'a [Record],
}

impl<'a> Semaphore<'a> {
    /// The parts of a semaphore: its header, and a record for each participant if it is owned.
    pub fn new(header: &'a SemaphoreHeader, records: &'a [Record]) -> Self {
        Self { header, records }
    }

    /// The semaphore at `base`, which is `len` bytes long, of a segment with so many participants. `None` if it does not
    /// fit.
    ///
    /// # Safety
    /// The bytes are mapped for `'a`, aligned to 128, and accessed atomically only.
    pub unsafe fn at(base: NonNull<u8>, len: u64, participants: u16) -> Option<Self> {
        if len < bytes(false, participants) {
            return None;
        }
        // SAFETY: long enough (just checked), mapped and aligned (the caller's promise).
        let owned = unsafe { base.cast::<SemaphoreHeader>().as_ref() }.owned.load(Ordering::Relaxed) != 0;
        // SAFETY: long enough; the rest is the caller's promise.
        (len >= bytes(owned, participants)).then(|| unsafe { Self::of(base, owned, participants) })
    }

    /// The semaphore at `base`, in a mode that it is known to have.
    ///
    /// # Safety
    /// The bytes of a semaphore in that mode are mapped for `'a`, aligned to 128, and accessed atomically only.
    #[inline(always)]
    pub unsafe fn of(base: NonNull<u8>, owned: bool, participants: u16) -> Self {
        // SAFETY: mapped and aligned (the caller's promise); the records lie behind the header.
        unsafe {
            let records = NonNull::slice_from_raw_parts(
                base.add(size_of::<SemaphoreHeader>()).cast(),
                if owned { participants.into() } else { 0 },
            );
            Self { header: base.cast().as_ref(), records: records.as_ref() }
        }
    }

    /// Whether permits belong to participants.
    pub fn is_owned(&self) -> bool {
        !self.records.is_empty()
    }

    /// The most permits there may be.
    #[inline(always)]
    pub fn maximum(&self) -> u32 {
        self.header.maximum.load(Ordering::Relaxed).min(MAX_PERMITS)
    }

    /// How many permits are free; a hint, since it may change at once.
    #[inline(always)]
    pub fn value(&self) -> u32 {
        self.header.word.load(Ordering::Relaxed) & COUNT
    }

    /// How many permits are free in owned mode, with those that come back from the dead.
    pub fn free(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<u32, Refused> {
        self.enter(me, peers, wait)?;
        let free = self.take_back(peers);
        self.leave(me);
        Ok(free)
    }

    /// How many permits participant `of` has; a hint.
    pub fn taken_by(&self, of: ParticipantId) -> u32 {
        self.record(of).map_or(0, |record| record.load(Ordering::Relaxed) as u32)
    }

    fn record(&self, of: ParticipantId) -> Option<&'a Record> {
        self.records.get(usize::from(of).checked_sub(1)?)
    }

    /// Takes permits that are free, in signalling mode; `None` if it takes more than that.
    #[inline(always)]
    pub fn acquire_fast(&self, permits: u32) -> Option<Taken> {
        let word = &self.header.word;
        // Relaxed: an operand of the compare-and-swap.
        let seen = word.load(Ordering::Relaxed);
        let enough = seen & COUNT >= permits;
        (enough && exchange(word, seen, seen.wrapping_sub(permits), Ordering::Acquire)).then_some(Taken::Clean)
    }

    /// Takes permits that are free, in owned mode, if the semaphore's lock is free too; `None` if it takes more than that.
    #[inline]
    pub fn take_fast(&self, me: Owner, permits: u32, peers: &impl Peers) -> Option<Taken> {
        let record = self.record(me.participant())?;
        if !mutex::lock_fast(&self.header.lock, me) {
            return None;
        }
        let mine = self.mine(record, me, peers);
        let taken = self.value().checked_sub(permits).map(|left| self.take(record, mine, permits, left));
        self.leave(me);
        taken
    }

    /// Takes permits of which `left` will be left, under the lock.
    #[inline(always)]
    fn take(&self, record: &Record, mine: u64, permits: u32, left: u32) -> Taken {
        record.store(mine.wrapping_add(permits.into()), Ordering::Relaxed);
        self.header.word.store(left, Ordering::Relaxed);
        if self.header.returned.load(Ordering::Relaxed) == 0 {
            return Taken::Clean;
        }
        // Release: whoever is killed here has the permits already, so that they come back and somebody is told.
        self.header.returned.store(0, Ordering::Release);
        Taken::Returned
    }

    /// Takes `permits`, all or none, in signalling mode.
    pub fn acquire_signal(&self, permits: u32, wait: Wait) -> Result<Taken, Refused> {
        if permits > self.maximum() {
            return Err(Refused::Maximum);
        }
        let word = &self.header.word;
        let (mut nap, mut slept, mut backoff) = (Nap::new(), false, Backoff::new());
        loop {
            let seen = word.load(Ordering::Relaxed);
            if let Some(left) = (seen & COUNT).checked_sub(permits) {
                let sticky = if slept { WAITERS } else { 0 }; // invariant 2
                if exchange(word, seen, seen & !COUNT | left | sticky, Ordering::Acquire) {
                    return Ok(Taken::Clean);
                }
                continue;
            }
            if wait.deadline == Deadline::Now {
                return Err(Refused::WouldBlock);
            }
            if backoff.pause() {
                continue;
            }
            let waiting = seen | waiting(permits);
            if waiting != seen && !exchange(word, seen, waiting, Ordering::Relaxed) {
                continue;
            }
            sleep(&mut nap, word, waiting, wait)?;
            (slept, backoff) = (true, Backoff::new());
        }
    }

    /// Gives permits in signalling mode, up to a [maximum](Self::maximum) that the caller knows; `None` if it takes more
    /// than one locked instruction.
    ///
    /// A load behind a locked instruction waits for it, so there is none where it can be helped.
    #[inline(always)]
    pub fn release_fast(&self, permits: u32, maximum: u32) -> Option<Result<(), Refused>> {
        let word = &self.header.word;
        if maximum == MAX_PERMITS && permits <= ADDED_AT_ONCE {
            let seen = word.fetch_add(permits, Ordering::Release);
            // A word with WAITERS or MANY is above every maximum.
            return Some(if seen.saturating_add(permits) <= maximum { Ok(()) } else { self.added(seen, permits) });
        }
        // Relaxed: an operand of the compare-and-swap. Where all there may be come back none is free.
        let seen = if permits == maximum { 0 } else { word.load(Ordering::Relaxed) };
        let left = u64::from(seen) + u64::from(permits);
        (left <= maximum.into() && exchange(word, seen, left as u32, Ordering::Release)).then_some(Ok(()))
    }

    /// The rest of a release that has added `permits` to a word that was `seen`: wakes who waits, or takes back what was too
    /// much.
    #[cold]
    fn added(&self, seen: u32, permits: u32) -> Result<(), Refused> {
        let word = &self.header.word;
        if (seen & COUNT) + permits > MAX_PERMITS {
            let mut now = word.load(Ordering::Relaxed);
            // Fewer: others have taken them meanwhile, so they were wanted.
            while now & COUNT >= permits {
                // Release: whoever acquires what is left still acquires from every release before.
                match word.compare_exchange(now, now - permits, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => return Err(Refused::Maximum),
                    Err(changed) => now = changed,
                }
            }
        }
        if seen & WAITERS != 0 {
            let many = seen & MANY != 0;
            let left = if many { word.fetch_and(!MANY, Ordering::Relaxed) & !MANY } else { seen.wrapping_add(permits) };
            wake(word, left, permits, many); // invariant 3
        }
        Ok(())
    }

    /// Gives `permits` to whoever wants them, in signalling mode. Nothing is changed if there would be too many.
    #[cold]
    pub fn release_signal(&self, permits: u32) -> Result<(), Refused> {
        let (word, maximum) = (&self.header.word, self.maximum());
        loop {
            let seen = word.load(Ordering::Relaxed);
            let value = (seen & COUNT).checked_add(permits).filter(|value| *value <= maximum);
            let left = value.ok_or(Refused::Maximum)? | seen & WAITERS; // invariant 3: without MANY
            if exchange(word, seen, left, Ordering::Release) {
                if seen & WAITERS != 0 {
                    wake(word, left, permits, seen & MANY != 0);
                }
                return Ok(());
            }
        }
    }

    /// Takes `permits` for the caller's participant, all or none, in owned mode.
    pub fn acquire(&self, me: Owner, permits: u32, peers: &impl Peers, wait: Wait) -> Result<Taken, Refused> {
        if permits > self.maximum() {
            return Err(Refused::Maximum);
        }
        let record = self.record(me.participant()).ok_or(Refused::Corrupted)?;
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        let (turn, mut slept) = (&self.header.turn, false);
        loop {
            if let Err(refused) = self.enter(me, peers, wait) {
                if slept {
                    // What it may have been woken for is another's.
                    self.hand_on();
                }
                return Err(refused);
            }
            let mine = self.mine(record, me, peers);
            let mut free = self.value();
            let mut waiting = None;
            if free < permits {
                let now = wait.deadline == Deadline::Now;
                if !now && !backoff.pause() {
                    // Always another word: whoever is about to clear WAITERS in the one it left must fail. And before we
                    // look who is dead: a death from here on changes the word. AcqRel: pairs with `recover`.
                    let word = next_turn(turn.load(Ordering::Relaxed)) | self::waiting(permits);
                    turn.swap(word, Ordering::AcqRel);
                    waiting = Some(word);
                }
                free = self.take_back(peers);
            }
            if let Some(left) = free.checked_sub(permits) {
                let taken = self.take(record, mine, permits, left);
                self.leave(me);
                return Ok(taken);
            }
            self.leave(me);
            if let Some(word) = waiting {
                sleep(&mut nap, turn, word, wait)?;
                (slept, backoff) = (true, Backoff::new());
            } else if wait.deadline == Deadline::Now {
                return Err(Refused::WouldBlock);
            } else {
                while self.value() < permits && backoff.pause() {}
            }
        }
    }

    /// Gives `permits` back in owned mode: those of the caller's participant first, then of whoever has most, and at last
    /// new ones. Nothing is changed if there would be too many.
    pub fn release(&self, me: Owner, permits: u32, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let record = self.record(me.participant()).ok_or(Refused::Corrupted)?;
        self.enter(me, peers, wait)?;
        let header = self.header;
        let mine = self.mine(record, me, peers);
        let (free, total) = (self.value(), header.total.load(Ordering::Relaxed) & COUNT);
        let new = permits.saturating_sub(total.saturating_sub(free));
        let Some(grown) = total.checked_add(new).filter(|total| *total <= self.maximum()) else {
            self.leave(me);
            return Err(Refused::Maximum);
        };
        record.store(mine, Ordering::Relaxed);
        let mut left = permits - new;
        left -= give(record, left);
        if left > 0 {
            self.give_of_others(left);
        }
        header.total.store(grown, Ordering::Relaxed);
        header.word.store(free.saturating_add(permits).min(grown), Ordering::Relaxed);
        let seen = header.turn.load(Ordering::Relaxed);
        let passed = next_turn(seen) & !MANY; // invariant 3
        if seen & WAITERS != 0 {
            header.turn.swap(passed, Ordering::Relaxed);
        }
        self.leave(me);
        if seen & WAITERS != 0 {
            wake(&header.turn, passed, permits, seen & MANY != 0);
        }
        Ok(())
    }

    /// Whether acquiring `permits` would end at once, as far as the number of free ones tells.
    pub fn seems_ready(&self, permits: u32) -> bool {
        permits > self.maximum() || self.value() >= permits
    }

    /// The same, with what the dead have; nothing is taken back yet. A hint, since it looks without the lock.
    pub fn is_ready(&self, permits: u32, peers: &impl Peers) -> bool {
        let dead = |(record, participant): (&Record, ParticipantId)| {
            let seen = record.load(Ordering::Relaxed);
            if is_nobodys(seen, participant, peers) { u64::from(seen as u32) } else { 0 }
        };
        self.seems_ready(permits)
            || u64::from(self.value()) + self.records.iter().zip(1..).map(dead).sum::<u64>() >= permits.into()
    }

    /// Announces a sleeper who wants `permits`. `None`: there is no need.
    ///
    /// Whoever has slept so and does not acquire in the end owes a [`hand_on`](Self::hand_on).
    pub fn announce(&self, me: Owner, permits: u32, peers: &impl Peers) -> Option<Announced<'a>> {
        if self.is_owned() {
            return self.announce_owned(me, permits, peers);
        }
        let word = &self.header.word;
        loop {
            let seen = word.load(Ordering::Relaxed);
            if permits > self.maximum() || seen & COUNT >= permits {
                return None;
            }
            let waiting = seen | waiting(permits);
            if waiting == seen || exchange(word, seen, waiting, Ordering::Relaxed) {
                return Some(Announced::in_word(word, waiting));
            }
        }
    }

    fn announce_owned(&self, me: Owner, permits: u32, peers: &impl Peers) -> Option<Announced<'a>> {
        let (header, mut backoff) = (self.header, Backoff::new());
        loop {
            match self.enter_until(me, peers, Wait::until(Deadline::Now)) {
                Ok(()) => break,
                Err(Refused::WouldBlock) if backoff.pause() => {}
                // Whoever is inside is stopped, or was preempted: its leaving ends the sleep.
                Err(Refused::WouldBlock) => {
                    if let Some(announced) = mutex::announce(&header.lock, me) {
                        return Some(announced);
                    }
                }
                Err(_) => return None,
            }
        }
        // As in `acquire`: the word first, then the question who is dead.
        let word = next_turn(header.turn.load(Ordering::Relaxed)) | waiting(permits);
        header.turn.swap(word, Ordering::AcqRel);
        let enough = permits > self.maximum() || self.take_back(peers) >= permits;
        self.leave(me);
        (!enough).then(|| Announced::in_word(&header.turn, word))
    }

    /// For one who has slept here, perhaps been woken, and leaves without permits: the wake-up goes to another sleeper,
    /// or whoever releases next is told to wake one.
    pub fn hand_on(&self) {
        let word = if self.is_owned() { &self.header.turn } else { &self.header.word };
        if self.is_owned() {
            mutex::hand_on(&self.header.lock);
        }
        loop {
            let seen = word.load(Ordering::Relaxed);
            // The wake-up itself orders this look behind the release that it came from.
            let free = if self.is_owned() { self.value() } else { seen & COUNT };
            if free > 0 {
                // Not one, where one may want more than there is: another behind it may want less.
                futex::wake(word, if seen & MANY != 0 { u32::MAX } else { 1 });
                return;
            }
            // In owned mode nobody takes WAITERS out while somebody sleeps.
            if self.is_owned() || seen & WAITERS != 0 || exchange(word, seen, seen | WAITERS, Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Takes `permits` out of the records that have most.
    #[cold]
    fn give_of_others(&self, permits: u32) {
        let mut left = permits;
        // Each gives all it has, so each is asked once at most; what is left then is nonsense that somebody wrote.
        for _ in self.records {
            if left == 0 {
                break;
            }
            let most = self.records.iter().max_by_key(|record| record.load(Ordering::Relaxed) as u32);
            left -= most.map_or(0, |record| give(record, left));
        }
    }

    /// What to do for a dead participant: nothing is held up by what it left, but those who could have it may sleep.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        mutex::recover(&self.header.lock, dead, peers);
        let turn = &self.header.turn;
        // Whoever found the dead alive a moment ago and is about to sleep must not: its word changes. Release: whoever
        // sleeps behind the changed word asked after the death.
        let mut seen = turn.load(Ordering::Relaxed);
        while let Err(now) = turn.compare_exchange(seen, next_turn(seen), Ordering::Release, Ordering::Relaxed) {
            seen = now;
        }
        futex::wake(turn, u32::MAX);
        futex::wake(&self.header.word, u32::MAX);
    }

    /// The record's content, as one of the caller's own life: what an earlier one left is given back.
    #[inline]
    fn mine(&self, record: &Record, me: Owner, peers: &impl Peers) -> u64 {
        let life = u64::from(peers.life(me.participant())) << 32;
        let seen = record.load(Ordering::Relaxed);
        if seen >> 32 == life >> 32 {
            return seen;
        }
        self.disown(record, seen);
        life
    }

    /// Takes a record's permits back.
    #[cold]
    fn disown(&self, record: &Record, seen: u64) {
        if seen as u32 == 0 {
            return;
        }
        // First, and Release below: whoever is killed in between leaves a record that is still to be taken back.
        self.header.returned.store(1, Ordering::Relaxed);
        record.store(0, Ordering::Release);
        let total = self.header.total.load(Ordering::Relaxed) & COUNT;
        let free = self.value().saturating_add(seen as u32).min(total);
        self.header.word.store(free, Ordering::Relaxed);
    }

    /// Takes back what is nobody's (invariant 5); how many permits are free then.
    fn take_back(&self, peers: &impl Peers) -> u32 {
        for (record, participant) in self.records.iter().zip(1..) {
            let seen = record.load(Ordering::Relaxed);
            if is_nobodys(seen, participant, peers) {
                self.disown(record, seen);
            }
        }
        self.value()
    }

    /// Takes the lock of the owned mode; makes good what a dead owner left.
    #[inline]
    fn enter(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        if mutex::lock_fast(&self.header.lock, me) { Ok(()) } else { self.enter_slow(me, peers, wait) }
    }

    #[cold]
    fn enter_slow(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        // It is held for a moment only: a try that gave up at once would find no permits where there are some.
        let deadline = if wait.deadline == Deadline::Now { Deadline::after(TRY_FOR) } else { wait.deadline };
        self.enter_until(me, peers, Wait { deadline, ..wait }).map_err(|refused| match refused {
            Refused::TimedOut if wait.deadline == Deadline::Now => Refused::WouldBlock,
            refused => refused,
        })
    }

    /// The same, but a try gives up at once.
    fn enter_until(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let lock = &self.header.lock;
        match mutex::lock(lock, me, peers, wait) {
            Ok(mutex::Acquired::Clean) => Ok(()),
            Ok(mutex::Acquired::OwnerDied) => {
                let taken = self
                    .records
                    .iter()
                    .fold(0_u32, |sum, record| sum.saturating_add(record.load(Ordering::Relaxed) as u32));
                let total = self.header.total.load(Ordering::Relaxed) & COUNT;
                self.header.word.store(total.saturating_sub(taken), Ordering::Relaxed);
                let _ = mutex::make_consistent(lock, me);
                Ok(())
            }
            Err(mutex::Refused::WouldBlock) => Err(Refused::WouldBlock),
            Err(mutex::Refused::TimedOut) => Err(Refused::TimedOut),
            Err(mutex::Refused::Interrupted) => Err(Refused::Interrupted),
            // Nobody returns holding it, and nobody gives it up: such a word was not written by this code.
            Err(_) => Err(Refused::Corrupted),
        }
    }

    #[inline]
    fn leave(&self, me: Owner) {
        // If somebody forged the word and it is no longer ours, what we did is done all the same.
        let _ = mutex::unlock(&self.header.lock, me);
    }
}

/// Whether a record has permits that nobody has any more (invariant 5).
fn is_nobodys(seen: u64, participant: ParticipantId, peers: &impl Peers) -> bool {
    seen as u32 != 0 && (seen >> 32 != peers.life(participant).into() || peers.fate(participant) == Fate::Dead)
}

fn waiting(permits: u32) -> u32 {
    if permits > 1 { WAITERS | MANY } else { WAITERS }
}

fn next_turn(turn: u32) -> u32 {
    turn.wrapping_add(1) & COUNT | turn & (WAITERS | MANY)
}

/// Takes at most `permits` out of a record; how many it were.
#[inline(always)]
fn give(record: &Record, permits: u32) -> u32 {
    let seen = record.load(Ordering::Relaxed);
    let given = (seen as u32).min(permits);
    record.store(seen - u64::from(given), Ordering::Relaxed);
    given
}

#[inline]
fn exchange(word: &AtomicU32, seen: u32, new: u32, order: Ordering) -> bool {
    word.compare_exchange(seen, new, order, Ordering::Relaxed).is_ok()
}

fn sleep(nap: &mut Nap, word: &AtomicU32, expected: u32, wait: Wait) -> Result<(), Refused> {
    match nap.sleep(word, expected, wait) {
        Slept::Recheck => Ok(()),
        Slept::TimedOut => Err(Refused::TimedOut),
        Slept::Interrupted => Err(Refused::Interrupted),
    }
}

/// The last step of a release that left `word` as `left`, with WAITERS and without MANY.
#[cold]
fn wake(word: &AtomicU32, left: u32, permits: u32, all: bool) {
    if futex::wake(word, if all { u32::MAX } else { permits }) == 0 {
        // Nobody slept. Relaxed: nothing is published; a loss means that somebody came, and will be woken or clear it.
        let _ = exchange(word, left, left & !WAITERS, Ordering::Relaxed);
    }
}
