//! The condition variable: waiters with a place each, notifications that outlive who got them.
//!
//! ```text
//! tickets: u32 | used: u32 | place, place, ...
//!
//! place:  state: u64                                         mutex: u64   wake: u32
//!  63             32 31  30 29                0               where it     31                   1    0
//! +-----------------+------+-------------------+             lies         +----------------------+---+
//! |   ticket : 32   | kind |    owner : 30     |                          |         count        | S |
//! +-----------------+------+-------------------+                          +----------------------+---+
//! ```
//!
//! | kind | owner | ticket | state |
//! |---|---|---|---|
//! | `FREE` | - | - | nobody's (all zero: the valid initial state) |
//! | `CLAIMED` | thread | - | a waiter fills it in; it holds the mutex |
//! | `WAITING` | thread | of the wait | to be notified, the lowest ticket first |
//! | `NOTIFIED` | thread | `tickets` when it was notified | its owner's wait ends with true |
//! | `NOTIFIED` | 0 | the same | a notification that the dead left: for any waiter with a lower ticket |
//!
//! `S`: the waiter sleeps, is about to, or did.
//!
//! ```text
//!  waiter, with the mutex                     notifier, with the mutex
//!  FREE -> CLAIMED -> WAITING                 the oldest: WAITING -> NOTIFIED
//!  release the mutex                          the first of them: wake + 1 without S; S was set: wake it
//!  NOTIFIED? else wake + 1 with S             not woken, and dead? take it back, next
//!  NOTIFIED? something of the dead's? sleep
//!  lock the mutex
//!  NOTIFIED? wake the next, -> FREE: true
//!  WAITING -> FREE: false
//! ```
//!
//! Invariants:
//! 1. A place in state `NOTIFIED` is one notification. It is made by the one compare-and-swap of a notifier and used up by
//!    the one of a waiter that holds the mutex; it changes hands by one compare-and-swap of the same word. So none is
//!    doubled, and none is lost while there is somebody whom it was for.
//! 2. Each change of a state is a compare-and-swap of the exact value, and a wait's ticket does not come back (within 2^32
//!    waits): a notification, a recovery or a waiter that decided late misses.
//! 3. Who sleeps has changed `wake`, and after that found that it is not notified and that no dead waiter has left a
//!    notification for it. Who notifies it, and who [recovers](Condvar::recover) a dead participant, changes the state
//!    first and then `wake`.
//! 4. While somebody sleeps who is notified, somebody who was notified is awake and on its way to the mutex, or the
//!    notifier is at it. With the mutex it wakes the next. So of many who are notified at once, none wakes up to find that
//!    it is another's turn.
//! 5. A waiter takes what the dead left *to itself*, while it waits; nothing is assigned to one that may give up
//!    meanwhile. Found in possession of two, it gives one back.
//!
//! A death leaves behind:
//! - as a waiter before it was notified: a place that is nobody's. The next notifier steps over it, [`recover`] or who
//!   finds no place left frees it;
//! - as a waiter that was notified, until it holds the mutex: the notification. [`recover`] takes the dead's name off and
//!   rouses all; they look for such at the end of each nap, too. When nobody is left whom it was for, it is dropped;
//! - as a waiter that holds the mutex again: what the death of any owner leaves;
//! - as a notifier, or as one who has yet to wake the next: the mutex, with its owner dead; waiters that are notified and
//!   asleep: their naps or [`recover`].
//!
//! Orderings: what the mutex orders needs none of its own. A change of `wake` is AcqRel: whichever of sleeper and waker
//! comes second sees what the other did before. `Relaxed` elsewhere: the mutex, or the exact value, decides.
//!
//! Source: a queue of waiters as in A. Birrell, "An Introduction to Programming with Threads" (1989), without the pointers.
//! That notifications survive is ours.
//!
//! [`recover`]: Condvar::recover

use core::ptr::NonNull;

use super::backoff::Backoff;
use super::mutex::{self, Acquired};
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::condvar::{CondvarHeader, MAX_PLACES, Place, bytes};
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicU64, Ordering};
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

const OWNER: u64 = (1 << 30) - 1;
const KIND: u64 = 3 << 30;
const FREE: u64 = 0;
const CLAIMED: u64 = 1 << 30;
const WAITING: u64 = 2 << 30;
const NOTIFIED: u64 = 3 << 30;

/// The waiter sleeps on its `wake`.
const SLEEPS: u32 = 1;
const ONCE: u32 = 2;

/// A mutex that a condition variable is used with: its lock, and the lock's offset in the segment.
#[derive(Clone, Copy, Debug)]
pub struct Mutex<'a> {
    /// The lock.
    pub lock: &'a LockWord,
    /// The same for all participants.
    pub offset: u64,
}

/// How a wait ended; the mutex is held again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The waiter was notified.
    Notified,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
    /// The waiter's place holds something that no participant writes.
    Corrupted,
}

/// Why there was no wait, or no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no place for another waiter. The mutex is held as before.
    Full,
    /// Somebody waits with another mutex. The mutex is held as before.
    OtherMutex,
    /// The mutex was given up during the wait, and is not held.
    NotRecoverable,
    /// The mutex's word holds something that no participant writes; it is not held.
    LockCorrupted,
    /// A faulty peer changes the places all the time.
    Corrupted,
}

/// A condition variable in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Condvar<'a> {
    header: &'a CondvarHeader,
    places: &'a [Place],
}

/// The waiter's place, and since when.
struct Seat<'a> {
    place: &'a Place,
    ticket: u32,
    /// Others wait, who are to be notified first.
    behind: bool,
}

fn word(kind: u64, owner: u64, ticket: u32) -> u64 {
    u64::from(ticket) << 32 | kind | owner & OWNER
}

fn owner_bits(me: Owner) -> u64 {
    me.bits().into()
}

fn participant(state: u64) -> ParticipantId {
    (state & 0x1fff) as ParticipantId
}

fn ticket(state: u64) -> u32 {
    (state >> 32) as u32
}

fn exchange(state: &AtomicU64, seen: u64, new: u64) -> bool {
    state.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether nobody who lives is the owner. Asked for a state that was loaded before.
fn is_lost(state: u64, peers: &impl Peers) -> bool {
    // A number that nobody can have was written by a faulty peer.
    state & OWNER == 0 || peers.fate(participant(state)) != Fate::Alive
}

impl<'a> Condvar<'a> {
    /// The parts of a condition variable.
    pub fn new(header: &'a CondvarHeader, places: &'a [Place]) -> Self {
        Self { header, places }
    }

    /// The condition variable at `base`, which is `len` bytes long and has so many places. `None` if it does not fit.
    ///
    /// # Safety
    /// The bytes are mapped for `'a`, aligned to 128, and accessed atomically only.
    pub unsafe fn at(base: NonNull<u8>, len: u64, places: u64) -> Option<Self> {
        let count = u32::try_from(places).ok().filter(|count| (1..=MAX_PLACES).contains(count))?;
        if len < bytes(count) {
            return None;
        }
        // SAFETY: long enough (just checked), mapped and aligned (the caller's promise).
        unsafe {
            let first = base.add(size_of::<CondvarHeader>()).cast();
            Some(Self {
                header: base.cast().as_ref(),
                places: NonNull::slice_from_raw_parts(first, count as usize).as_ref(),
            })
        }
    }

    /// The places that may be in use.
    fn used(&self) -> &'a [Place] {
        let used = self.header.used.load(Ordering::Acquire) as usize;
        &self.places[..used.min(self.places.len())]
    }

    /// How many wait and are not notified; a hint.
    pub fn waiting(&self) -> u32 {
        self.waiters().count() as u32
    }

    /// Waits until notified, or as `wait` says. The caller holds `mutex`; `release` unlocks it, however often it is locked.
    /// In the end it is locked once, for as long as it takes.
    pub fn wait(
        &self,
        mutex: Mutex<'_>,
        me: Owner,
        peers: &impl Peers,
        wait: Wait,
        release: impl FnOnce(),
    ) -> Result<(Ended, Acquired), Refused> {
        let mut seat = self.sit_down(mutex, me, peers)?;
        release();
        let slept = self.sleep(&mut seat, mutex, me, peers, wait);
        let forever = Wait::until(Deadline::Forever);
        let locked = slept.and_then(|ended| Ok((ended, mutex::lock(mutex.lock, me, peers, forever)?)));
        if is_over(&seat, me) == Some(true) {
            // Before it uses up its own: killed here, it has not had it.
            self.wake_next();
        }
        let notified = self.stand_up(&seat, me);
        match locked {
            Ok((ended, acquired)) => {
                let ended = match notified {
                    None => Ended::Corrupted,
                    Some(true) => Ended::Notified,
                    Some(false) => ended,
                };
                Ok((ended, acquired))
            }
            Err(refused) => {
                let lost = refused == mutex::Refused::NotRecoverable;
                Err(if lost { Refused::NotRecoverable } else { Refused::LockCorrupted })
            }
        }
    }

    /// Takes a place among the waiters.
    fn sit_down(&self, mutex: Mutex<'_>, me: Owner, peers: &impl Peers) -> Result<Seat<'a>, Refused> {
        let place = match self.claim(me) {
            Some(place) => place,
            None => {
                self.tidy(None, peers);
                self.claim(me).ok_or(Refused::Full)?
            }
        };
        place.mutex.store(mutex.offset, Ordering::Relaxed);
        let ticket = self.header.tickets.fetch_add(1, Ordering::Relaxed);
        let state = word(WAITING, owner_bits(me), ticket);
        // SeqCst, with the loads below: of two who begin with different mutexes at the same time one sees the other.
        place.state.swap(state, Ordering::SeqCst);
        let mut seat = Seat { place, ticket, behind: false };
        for other in self.used() {
            let seen = other.state.load(Ordering::SeqCst);
            seat.behind |= seen & KIND == WAITING && seen != state;
            let differs = matches!(seen & KIND, WAITING | NOTIFIED)
                && seen & OWNER != 0
                && other.mutex.load(Ordering::Relaxed) != mutex.offset;
            if differs && other.state.load(Ordering::SeqCst) == seen && !is_lost(seen, peers) {
                // If somebody with the other mutex has notified us already, that was for nobody.
                let _ = self.stand_up(&seat, me);
                return Err(Refused::OtherMutex);
            }
        }
        Ok(seat)
    }

    fn claim(&self, me: Owner) -> Option<&'a Place> {
        for (place, number) in self.places.iter().zip(1..) {
            let seen = place.state.load(Ordering::Relaxed);
            if seen & KIND != FREE {
                continue;
            }
            // First, so that no recovery overlooks the place. Release: pairs with `used`.
            let used = &self.header.used;
            let mut mark = used.load(Ordering::Relaxed);
            while mark < number
                && let Err(now) = used.compare_exchange(mark, number, Ordering::Release, Ordering::Relaxed)
            {
                mark = now;
            }
            if exchange(&place.state, seen, word(CLAIMED, owner_bits(me), 0)) {
                return Some(place);
            }
        }
        None
    }

    /// Gives the place back: whether it was notified; `None` if it is not the caller's any more.
    fn stand_up(&self, seat: &Seat<'_>, me: Owner) -> Option<bool> {
        let state = &seat.place.state;
        let waiting = word(WAITING, owner_bits(me), seat.ticket);
        let seen = match state.compare_exchange(waiting, FREE, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(false),
            Err(seen) => seen,
        };
        (is_notified(seen, me) && exchange(state, seen, FREE)).then_some(true)
    }

    /// Sleeps until there is a reason to lock the mutex again. An error: the mutex was given up, and nobody can notify.
    fn sleep(
        &self,
        seat: &mut Seat<'a>,
        mutex: Mutex<'_>,
        me: Owner,
        peers: &impl Peers,
        wait: Wait,
    ) -> Result<Ended, mutex::Refused> {
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        loop {
            match is_over(seat, me) {
                Some(false) => {}
                Some(true) => return Ok(Ended::Notified),
                None => return Ok(Ended::Corrupted),
            }
            // In a queue it takes longer.
            if wait.deadline != Deadline::Now && !seat.behind && backoff.pause() {
                continue;
            }
            // Invariant 3.
            let (_, asleep) = change(seat.place, |_| SLEEPS);
            if is_over(seat, me) != Some(false) {
                continue;
            }
            if self.inherit(seat, me, peers) {
                return Ok(Ended::Notified);
            }
            if mutex::is_given_up(mutex.lock) {
                return Err(mutex::Refused::NotRecoverable);
            }
            match nap.sleep(&seat.place.wake, asleep, wait) {
                Slept::Recheck => {}
                Slept::TimedOut => return Ok(Ended::TimedOut),
                Slept::Interrupted => return Ok(Ended::Interrupted),
            }
        }
    }

    /// Takes over a notification that a dead waiter has left, if there is one for us (invariant 5).
    fn inherit(&self, seat: &mut Seat<'a>, me: Owner, peers: &impl Peers) -> bool {
        for place in self.used() {
            let seen = place.state.load(Ordering::Acquire);
            let left = seen & KIND == NOTIFIED && self.is_for(ticket(seen), seat.ticket) && is_lost(seen, peers);
            let ours = word(NOTIFIED, owner_bits(me), ticket(seen));
            if !left || !exchange(&place.state, seen, ours) {
                continue;
            }
            let waiting = word(WAITING, owner_bits(me), seat.ticket);
            if exchange(&seat.place.state, waiting, FREE) {
                seat.place = place;
            } else if exchange(&place.state, ours, word(NOTIFIED, 0, ticket(seen))) {
                // We were notified meanwhile.
                self.rouse_all();
            }
            return true;
        }
        false
    }

    /// Whether a notification of then is for a waiter since `since`.
    fn is_for(&self, then: u32, since: u32) -> bool {
        // After the state that `then` is from was acquired: the number is at least that one.
        let now = self.header.tickets.load(Ordering::Relaxed);
        now.wrapping_sub(since) > now.wrapping_sub(then)
    }

    /// Notifies those of the waiters, at most `count`, who have waited longest: how many. The caller holds `mutex`.
    pub fn notify(&self, mutex: Mutex<'_>, count: u32, peers: &impl Peers) -> Result<u32, Refused> {
        let (waiting, orphans) = self.survey(mutex, peers)?;
        if orphans {
            self.drop_orphans();
        }
        let count = count.min(waiting);
        if count == 0 {
            return Ok(0);
        }
        let now = self.header.tickets.load(Ordering::Relaxed);
        let (mut notified, mut woken) = (0, false);
        let mut notify = |(place, seen)| {
            notified += u32::from(self.notify_one(place, seen, now, &mut woken, peers));
            notified
        };
        if count == waiting {
            return Ok(self.waiters().map(notify).last().unwrap_or(0));
        }
        // Who gives up or dies meanwhile is met once.
        for _ in 0..2 * self.places.len() + 64 {
            let oldest = self.waiters().max_by_key(|(_, state)| now.wrapping_sub(ticket(*state)));
            if oldest.is_none_or(|waiter| notify(waiter) == count) {
                return Ok(notified);
            }
        }
        Err(Refused::Corrupted)
    }

    fn waiters(&self) -> impl Iterator<Item = (&'a Place, u64)> {
        let states = self.used().iter().map(|place| (place, place.state.load(Ordering::Acquire)));
        states.filter(|(_, state)| state & KIND == WAITING)
    }

    /// How many wait, and whether there is a notification of nobody's.
    fn survey(&self, mutex: Mutex<'_>, peers: &impl Peers) -> Result<(u32, bool), Refused> {
        let (mut waiting, mut orphans) = (0, false);
        for place in self.used() {
            let seen = place.state.load(Ordering::Acquire);
            match seen & KIND {
                WAITING if place.mutex.load(Ordering::Relaxed) == mutex.offset => waiting += 1,
                WAITING if !is_lost(seen, peers) => return Err(Refused::OtherMutex),
                WAITING => drop(exchange(&place.state, seen, FREE)),
                NOTIFIED => orphans |= seen & OWNER == 0,
                _ => {}
            }
        }
        Ok((waiting, orphans))
    }

    /// Notifies a waiter, and wakes it if nobody was `woken` yet (invariant 4): whether it was notified, and lives.
    fn notify_one(&self, place: &Place, seen: u64, now: u32, woken: &mut bool, peers: &impl Peers) -> bool {
        let notified = word(NOTIFIED, seen, now);
        if !exchange(&place.state, seen, notified) {
            return false;
        }
        if !*woken && wake(place) {
            // It lived when it was woken: whatever happens to it now, its recovery finds the notification.
            *woken = true;
            return true;
        }
        !is_lost(seen, peers) || !exchange(&place.state, notified, FREE)
    }

    /// Wakes one of those who are notified and asleep.
    fn wake_next(&self) {
        let notified = |place: &&Place| place.state.load(Ordering::Acquire) & KIND == NOTIFIED;
        let _ = self.used().iter().filter(notified).any(wake);
    }

    /// Frees what a dead participant has here, and has everybody look at what it left.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        self.tidy(Some(dead), peers);
        // Whoever was notified by the dead may still sleep.
        self.rouse_all();
    }

    /// Takes the names of the dead, or of one of them, off all places.
    fn tidy(&self, dead: Option<ParticipantId>, peers: &impl Peers) {
        for place in self.used() {
            let mut seen = place.state.load(Ordering::Acquire);
            while seen & KIND != FREE
                && seen & OWNER != 0
                && dead.is_none_or(|dead| participant(seen) == dead)
                && is_lost(seen, peers)
            {
                let left = if seen & KIND == NOTIFIED { word(NOTIFIED, 0, ticket(seen)) } else { FREE };
                match place.state.compare_exchange(seen, left, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(now) => seen = now,
                }
            }
        }
        self.drop_orphans();
    }

    /// Drops the notifications of nobody's that are for nobody any more.
    fn drop_orphans(&self) {
        for place in self.used() {
            let seen = place.state.load(Ordering::Acquire);
            if seen & KIND != NOTIFIED || seen & OWNER != 0 {
                continue;
            }
            let is_heir = |other: &Place| {
                let state = other.state.load(Ordering::Acquire);
                state & KIND == WAITING && self.is_for(ticket(seen), ticket(state))
            };
            if !self.used().iter().any(is_heir) {
                exchange(&place.state, seen, FREE);
            }
        }
    }

    fn rouse_all(&self) {
        for place in self.used() {
            if matches!(place.state.load(Ordering::Acquire) & KIND, WAITING | NOTIFIED) {
                // With its S: whoever is stopped before it wakes leaves a sleeper that a notifier still sees.
                change(place, |seen| seen & SLEEPS);
                futex::wake(&place.wake, 1);
            }
        }
    }
}

/// Wakes the waiter of a place if it sleeps: whether it did.
fn wake(place: &Place) -> bool {
    let (before, _) = change(place, |_| 0);
    before & SLEEPS != 0 && futex::wake(&place.wake, 1) > 0
}

/// Gives `wake` another value, with this S: the values before and after.
fn change(place: &Place, sleeps: impl Fn(u32) -> u32) -> (u32, u32) {
    let mut seen = place.wake.load(Ordering::Relaxed);
    loop {
        let next = (seen & !SLEEPS).wrapping_add(ONCE) | sleeps(seen);
        match place.wake.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return (seen, next),
            Err(now) => seen = now,
        }
    }
}

fn is_notified(state: u64, me: Owner) -> bool {
    state & KIND == NOTIFIED && state & OWNER == owner_bits(me)
}

/// Whether the waiter was notified; `None` if its place is not its any more.
fn is_over(seat: &Seat<'_>, me: Owner) -> Option<bool> {
    // Acquire: what the notifier did before.
    let state = seat.place.state.load(Ordering::Acquire);
    match state {
        _ if state == word(WAITING, owner_bits(me), seat.ticket) => Some(false),
        _ if is_notified(state, me) => Some(true),
        _ => None,
    }
}
