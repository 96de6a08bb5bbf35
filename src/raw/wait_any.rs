//! Waiting for the first of several objects, of any kinds and in any segments.
//!
//! ```text
//!        one round                        each kind's own words
//!  announce at every object    ------>    WAITERS | MANY | an eventcount's S ...     (from here on a change wakes us)
//!  barrier, if one has an eventcount
//!  look at every object        ready? then out
//!  sleep on all words at once  <------    futex_waitv: woken at any, or changed since it was announced
//!                                         nap over: the next round asks again who is dead
//!  out: hand on                ------>    a wake-up for one that was ours goes to another sleeper
//! ```
//!
//! It takes nothing. *Ready* means that the try of that object would end at once, with success or with an error; by the
//! time of the try somebody else may have been faster.
//!
//! Invariants:
//! 1. All announcements of a round come before all its looks. So two objects may share a word (the same one twice, or two
//!    numbers of permits of one semaphore): what the last announcement left is slept on, and whatever changed between two
//!    of them is seen by the looks.
//! 2. A sleeper here counts for the one whom an unlock or a release wakes, like any other sleeper of that word, and it may
//!    be counted at several words at once: the kernel says one, so it is not asked. As it acquires nothing, it owes each
//!    object where it has slept what that sleeper would have done, whatever it found ready and however the call ends:
//!    [`Waitable::hand_on`] wakes another where there is something to have, and else leaves the mark by which the next to
//!    give something back finds the sleepers. Without it, a plain waiter sleeps beside a free lock.
//! 3. Where everybody is woken (events, eventcounts, a process that is gone) there is nothing to hand on.
//! 4. Who waits for the end of a participant marks its place as watched before it looks; who gives the place back looks
//!    for the mark after that. So leaving costs no system call where nobody has ever waited.
//!
//! A death leaves behind what the death of a sleeper of each kind leaves: a stray mark, and, of one who was woken and has
//! not handed on, a sleeper whom the kind's `recover` wakes. Marks of a call that ended are stray marks too: each costs
//! the next to give something back one system call.
//!
//! Orderings: those of the kinds. The wake-up orders [`Waitable::hand_on`] behind the change that it came from.
//!
//! Source: our own, on `futex_waitv` (Linux 5.16).

use super::backoff::Backoff;
use super::blackboard::Blackboard;
use super::broadcast::{Broadcast, Sight};
use super::byte_ring::ByteRing;
use super::channel::Channel;
use super::event::Event;
use super::eventcount::{self, Announced, Expired};
use super::once::Once;
use super::pipe::Company;
use super::queue::Queue;
use super::semaphore::Semaphore;
use super::spsc::Spsc;
use super::work_queue::WorkQueue;
use super::{Fate, Owner, ParticipantId, Peers, mutex};
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sys::futex::{self, MOST_WORDS};
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

/// The most objects that one call waits for: as many as a set of 64 bits has.
pub const MOST: usize = MOST_WORDS;

/// Something to wait for.
pub trait Waitable {
    /// Whether it is ready, by a look that costs no system call.
    fn seems_ready(&self) -> bool;

    /// Whether it is ready, the deaths of others included.
    fn is_ready(&self) -> bool;

    /// Announces a sleeper. `None`: it is ready, or something else is to be told.
    fn announce(&self) -> Option<Announced<'_>>;

    /// The caller has slept here, and leaves with nothing.
    fn hand_on(&self) {}
}

impl<W: Waitable + ?Sized> Waitable for &W {
    fn seems_ready(&self) -> bool {
        (**self).seems_ready()
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn announce(&self) -> Option<Announced<'_>> {
        (**self).announce()
    }

    fn hand_on(&self) {
        (**self).hand_on();
    }
}

/// A place to fill in. One that is empty has nothing to wait for: it counts as ready.
impl<W: Waitable> Waitable for Option<W> {
    fn seems_ready(&self) -> bool {
        self.as_ref().is_none_or(W::seems_ready)
    }

    fn is_ready(&self) -> bool {
        self.as_ref().is_none_or(W::is_ready)
    }

    fn announce(&self) -> Option<Announced<'_>> {
        self.as_ref()?.announce()
    }

    fn hand_on(&self) {
        if let Some(item) = self {
            item.hand_on();
        }
    }
}

/// Waits until one of at most [`MOST`] objects is ready; the set of those that are, the first as bit 0, never empty.
pub fn wait_any<W: Waitable>(items: &[W], wait: Wait) -> Result<u64, Expired> {
    if wait.deadline == Deadline::Now {
        return Some(which(items, W::is_ready)).filter(|ready| *ready != 0).ok_or(Expired::TimedOut);
    }
    let mut backoff = Backoff::new();
    loop {
        let ready = which(items, W::seems_ready);
        if ready != 0 {
            return Ok(ready);
        }
        if !backoff.pause() {
            break;
        }
    }
    let (mut nap, mut slept) = (Nap::new(), false);
    let outcome = loop {
        let mut words = [None; MOST];
        let ready = announce_all(items, &mut words);
        if ready != 0 {
            break Ok(ready);
        }
        slept = true;
        match sleep(&words, &mut nap, wait) {
            Slept::Recheck => {}
            Slept::TimedOut => break Err(Expired::TimedOut),
            Slept::Interrupted => break Err(Expired::Interrupted),
        }
        let ready = which(items, W::seems_ready);
        if ready != 0 {
            break Ok(ready);
        }
    };
    if slept {
        items.iter().for_each(W::hand_on); // invariant 2
    }
    outcome
}

fn which<W>(items: &[W], is: impl Fn(&W) -> bool) -> u64 {
    items.iter().zip(0..MOST).fold(0, |set, (item, bit)| set | u64::from(is(item)) << bit)
}

/// Announces at each object, and looks at all of them (invariant 1). Fills in the words to sleep on, each once.
fn announce_all<'w, W: Waitable>(items: &'w [W], words: &mut [Option<Announced<'w>>; MOST]) -> u64 {
    let (mut ready, mut used, mut barrier) = (0, 0, false);
    for (item, bit) in items.iter().zip(0..MOST) {
        let Some(announced) = item.announce() else {
            ready |= 1 << bit;
            continue;
        };
        barrier |= announced.barrier;
        let known = words[..used].iter_mut().flatten().find(|known| core::ptr::eq(known.word, announced.word));
        match known {
            Some(known) => known.value = announced.value,
            None => {
                words[used] = Some(announced);
                used += 1;
            }
        }
    }
    if barrier {
        eventcount::after_marks(|| words.iter_mut().flatten().for_each(Announced::ask_for_fences));
    }
    ready | which(items, W::is_ready)
}

fn sleep(words: &[Option<Announced<'_>>; MOST], nap: &mut Nap, wait: Wait) -> Slept {
    let Some(first) = words[0] else { return Slept::Recheck };
    let mut pairs = [(first.word, first.value); MOST];
    let mut count = 0;
    for (pair, announced) in pairs.iter_mut().zip(words.iter().flatten()) {
        *pair = (announced.word, announced.value);
        count += 1;
    }
    nap.sleep_any(&pairs[..count], wait)
}

/// What there is to wait for.
#[derive(Debug)]
pub enum Awaited<'a, P> {
    /// A lock can be had.
    Lock {
        /// Its word.
        word: &'a LockWord,
        /// Who asks.
        me: Owner,
        /// Who lives.
        peers: &'a P,
    },
    /// Permits can be had.
    Permits {
        /// Of this semaphore
        semaphore: Semaphore<'a>,
        /// so many.
        permits: u32,
        /// Who asks.
        me: Owner,
        /// Who lives.
        peers: &'a P,
    },
    /// An event is set, or has been since.
    Occurred {
        /// The event.
        event: Event<'a>,
        /// Since when: [`Event::moment`].
        since: u32,
        /// Who lives.
        peers: &'a P,
    },
    /// A queue has a message.
    Message {
        /// The queue.
        queue: Queue<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// A queue has room.
    Room {
        /// The queue.
        queue: Queue<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// A channel has a message.
    Received {
        /// The channel.
        channel: Channel<'a>,
    },
    /// A channel has room.
    Sendable {
        /// The channel.
        channel: Channel<'a>,
        /// For a message of this length.
        len: usize,
    },
    /// An end of a pipe has a message, or is told the end.
    Told {
        /// What it receives from; `None` if it does not.
        inbox: Option<Channel<'a>>,
        /// Who has the other end.
        company: Company<'a, 'a, P>,
    },
    /// An end of a pipe has room.
    Tellable {
        /// What it sends to; `None` if it does not.
        outbox: Option<Channel<'a>>,
        /// For a message of this length.
        len: usize,
        /// Who has the other end.
        company: Company<'a, 'a, P>,
    },
    /// A ring has an item.
    Filled {
        /// The ring.
        ring: Spsc<'a>,
    },
    /// A ring has room.
    Free {
        /// The ring.
        ring: Spsc<'a>,
    },
    /// A ring of records has one.
    Recorded {
        /// The ring.
        ring: ByteRing<'a>,
    },
    /// A ring of records has room.
    Reservable {
        /// The ring.
        ring: ByteRing<'a>,
        /// For a record of this length.
        len: usize,
    },
    /// A broadcast has a record for a reader.
    Record {
        /// The broadcast.
        broadcast: Broadcast<'a>,
        /// What the reader reads next.
        position: &'a AtomicU64,
        /// Who lives.
        peers: &'a P,
    },
    /// A broadcast's readers have made room.
    Readers {
        /// The broadcast.
        broadcast: Broadcast<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// A blackboard has a newer value.
    Newer {
        /// The blackboard.
        blackboard: Blackboard<'a>,
        /// Newer than the one of this number.
        than: u64,
        /// Who lives.
        peers: &'a P,
    },
    /// Somebody has initialised it.
    Completed {
        /// What is initialised once.
        once: Once<'a>,
    },
    /// A work queue has a message to be taken.
    Work {
        /// The queue.
        queue: WorkQueue<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// A work queue has room.
    WorkRoom {
        /// The queue.
        queue: WorkQueue<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// Nothing of a work queue is unfinished.
    WorkDone {
        /// The queue.
        queue: WorkQueue<'a>,
        /// Who lives.
        peers: &'a P,
    },
    /// A life has ended.
    Gone {
        /// Whose.
        participant: ParticipantId,
        /// Changes when its place is given back
        state: &'a AtomicU32,
        /// from this value.
        value: u32,
        /// That somebody waits for it.
        watched: &'a AtomicU32,
        /// Who lives.
        peers: &'a P,
    },
    /// A word has changed; whoever changes it wakes.
    Changed {
        /// The word
        word: &'a AtomicU32,
        /// had this value.
        value: u32,
    },
}

/// Who asks nobody.
struct Unasked;

impl Peers for Unasked {
    fn fate(&self, _: ParticipantId) -> Fate {
        Fate::Alive
    }
}

/// Wakes those who wait for the end of a life, after its place was given back by a change of `state`. The mark stays:
/// it may be of somebody who waits for the next life already.
pub fn wake_watchers(state: &AtomicU32, watched: &AtomicU32) {
    fence(Ordering::SeqCst); // pairs with the one in `announce`
    if watched.load(Ordering::Relaxed) != 0 {
        futex::wake(state, u32::MAX);
    }
}

fn unless_changed(word: &AtomicU32, value: u32) -> Option<Announced<'_>> {
    (word.load(Ordering::Acquire) == value).then(|| Announced::in_word(word, value))
}

impl<P: Peers> Waitable for Awaited<'_, P> {
    fn seems_ready(&self) -> bool {
        match *self {
            Self::Lock { word, me, .. } => mutex::seems_ready(word, me),
            Self::Permits { semaphore, permits, .. } => semaphore.seems_ready(permits),
            Self::Occurred { event, since, .. } => event.has_occurred(since),
            Self::Message { queue, .. } => queue.can_pop(&Unasked),
            Self::Room { queue, .. } => queue.can_push(&Unasked),
            Self::Received { channel } => channel.can_recv(),
            Self::Sendable { channel, len } => channel.can_send(len),
            Self::Told { inbox, .. } => inbox.is_none_or(|channel| channel.can_recv()),
            Self::Tellable { outbox, len, .. } => outbox.is_none_or(|channel| channel.can_send(len)),
            Self::Filled { ring } => ring.can_pop(),
            Self::Free { ring } => ring.can_push(),
            Self::Recorded { ring } => ring.can_pop(),
            Self::Reservable { ring, len } => ring.can_push(len),
            Self::Record { broadcast, position, .. } => broadcast.can_recv(position.load(Ordering::Relaxed), &Unasked),
            Self::Readers { broadcast, .. } => broadcast.seems_writable(),
            Self::Newer { blackboard, than, .. } => blackboard.look(than, &Unasked) != Sight::Nothing,
            Self::Completed { once } => once.is_completed(),
            Self::Work { queue, .. } => queue.can_take(&Unasked),
            Self::WorkRoom { queue, .. } => queue.can_push(&Unasked),
            Self::WorkDone { queue, .. } => queue.is_all_done(),
            Self::Gone { state: word, value, .. } | Self::Changed { word, value } => {
                word.load(Ordering::Acquire) != value
            }
        }
    }

    fn is_ready(&self) -> bool {
        match *self {
            Self::Lock { word, me, peers } => mutex::is_ready(word, me, peers),
            Self::Permits { semaphore, permits, peers, .. } => semaphore.is_ready(permits, peers),
            Self::Occurred { event, since, peers } => event.is_ready(since, peers),
            Self::Message { queue, peers } => queue.can_pop(peers),
            Self::Room { queue, peers } => queue.can_push(peers),
            Self::Record { broadcast, position, peers } => broadcast.can_recv(position.load(Ordering::Relaxed), peers),
            Self::Readers { broadcast, peers } => broadcast.can_send(peers),
            Self::Newer { blackboard, than, peers } => blackboard.look(than, peers) != Sight::Nothing,
            Self::Work { queue, peers } => queue.can_take(peers),
            Self::WorkRoom { queue, peers } => queue.can_push(peers),
            Self::WorkDone { queue, peers } => queue.is_all_done() || queue.look_for_dead(peers) && queue.is_all_done(),
            // To be left alone is to be told so, also where it was not known yet.
            Self::Told { company, .. } | Self::Tellable { company, .. } => self.seems_ready() || company.left_alone(),
            // The word first: a successor's life is not taken for this one.
            Self::Gone { participant, peers, .. } => self.seems_ready() || peers.fate(participant) != Fate::Alive,
            _ => self.seems_ready(),
        }
    }

    fn announce(&self) -> Option<Announced<'_>> {
        match *self {
            Self::Lock { word, me, .. } => mutex::announce(word, me),
            Self::Permits { semaphore, permits, me, peers } => semaphore.announce(me, permits, peers),
            Self::Occurred { event, since, .. } => event.announce(since),
            Self::Message { queue, .. } => Some(Announced::at(queue.not_empty())),
            Self::Room { queue, .. } => Some(Announced::at(queue.not_full())),
            Self::Received { channel } => Some(Announced::at(channel.not_empty())),
            Self::Sendable { channel, .. } => Some(Announced::at(channel.not_full())),
            Self::Told { inbox, .. } => inbox.map(|channel| Announced::at(channel.not_empty())),
            Self::Tellable { outbox, .. } => outbox.map(|channel| Announced::at(channel.not_full())),
            Self::Filled { ring } => Some(Announced::at(ring.not_empty())),
            Self::Free { ring } => Some(Announced::at(ring.not_full())),
            Self::Recorded { ring } => Some(Announced::at(ring.not_empty())),
            Self::Reservable { ring, .. } => Some(Announced::at(ring.not_full())),
            Self::Record { broadcast, .. } => Some(Announced::at(broadcast.not_empty())),
            Self::Readers { broadcast, .. } => Some(Announced::at(broadcast.not_full())),
            Self::Newer { blackboard, .. } => Some(Announced::at(blackboard.values().not_empty())),
            Self::Completed { once } => Some(once.announce()),
            Self::Work { queue, .. } => Some(Announced::at(queue.not_empty())),
            Self::WorkRoom { queue, .. } => Some(Announced::at(queue.not_full())),
            Self::WorkDone { queue, .. } => Some(Announced::at(queue.all_done())),
            Self::Gone { state, value, watched, .. } => {
                watched.store(1, Ordering::Relaxed);
                // Pairs with the fence in `wake_watchers`: of the mark and the change, somebody sees the other's.
                fence(Ordering::SeqCst);
                unless_changed(state, value)
            }
            Self::Changed { word, value } => unless_changed(word, value),
        }
    }

    fn hand_on(&self) {
        match self {
            Self::Lock { word, .. } => mutex::hand_on(word),
            Self::Permits { semaphore, .. } => semaphore.hand_on(),
            _ => {}
        }
    }
}
