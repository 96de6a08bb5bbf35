//! The library's ring for one producer and one consumer in the arena.
//!
//! Each operation takes its end, does it, and gives the end back, so a victim dies at each instruction of taking it and of
//! giving it back too, and whoever comes next succeeds a dead one. [`chain`](crate::chain) has the scripts of several
//! victims, [`asleep`](crate::asleep) those of sleepers at the other end. Here is who dies at the end at which it slept:
//!
//! | name | the victim | judged |
//! |---|---|---|
//! | woken consumer | slept in a pop and was woken by a push | its successor finds the item, or it went with the victim |
//! | woken producer | slept in a push and was woken by a pop | its successor finds the room, or the item of the victim is there |

use std::mem::size_of;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::ring::{Geometry, RingHeader};
use ringfence::raw::backoff::Backoff;
use ringfence::raw::ring::{self, PopFailure, PushFailure};
use ringfence::raw::spsc::{Spsc, Tail};
use ringfence::sys::nap::Wait;

use crate::asleep::{self, Case};
use crate::board::{Board, Oracle, Role};
use crate::chain;
use crate::channel::{bytes, value as value_of};
use crate::fifos::{Fifo, NOW, No, WORDS};
use crate::locks::FOREVER;
use crate::os::Ended;
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep};
use crate::step::{Stop, marker};

/// See the module's head.
#[derive(Debug)]
pub struct Shipped;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// The ring.
    pub ring: Spsc<'static>,
    /// What it shares.
    pub board: &'static Board,
    /// Who it is.
    pub role: Role,
}

const SLOTS: usize = size_of::<RingHeader>() / 8;

fn geometry(capacity: usize) -> Geometry {
    Geometry::new(capacity as u64, 8 * WORDS as u64).expect("a small ring")
}

/// Where the header lies.
fn header(board: &'static Board) -> *mut RingHeader {
    board.arena.as_ptr().cast_mut().cast()
}

impl Joined {
    /// A push through a tail that the caller got.
    pub fn push(&self, tail: &mut Tail, value: u64, wait: Wait) -> Result<(), No> {
        let peers: Option<&Oracle> = None;
        let pushed = ring::push_slow(self.ring.header(), wait, Backoff::new(), peers, || {
            self.ring.try_push(tail, &bytes(value))
        });
        pushed.map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            PushFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    /// Takes the producer's end.
    pub fn produce(&self) -> Result<Tail, No> {
        self.ring.produce(self.role.owner(), &Oracle(self.board)).map_err(|_| No::Other)
    }
}

impl Fifo for Shipped {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(RingHeader::new(capacity as u64, 8 * WORDS as u64)) };
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        let slots: &[AtomicU64] = &board.arena[SLOTS..][..capacity * (1 + WORDS)];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        // A process joins once and has not long to live.
        let geometry = Box::leak(Box::new(geometry(capacity)));
        Joined { ring: Spsc::new(header, slots, geometry).expect("the slots fit"), board, role }
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        let mut tail = joined.produce()?;
        let pushed = joined.push(&mut tail, value, wait);
        joined.ring.leave_producer(joined.role.owner());
        pushed
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let (ring, me) = (joined.ring, joined.role.owner());
        let mut head = ring.consume(me, &Oracle(joined.board)).map_err(|_| No::Other)?;
        let (mut item, peers): (_, Option<&Oracle>) = ([0; 8 * WORDS], None);
        let popped = ring::pop_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_pop(&mut head, &mut item));
        ring.leave_consumer(me);
        popped.map_err(|failure| match failure {
            PopFailure::Empty => No::Empty,
            PopFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        value_of(&item)
    }

    fn recover(joined: &mut Joined, dead: Role) {
        ring::recover(joined.ring.header(), dead.id(), &Oracle(joined.board));
    }

    fn len(joined: &mut Joined) -> usize {
        joined.ring.len() as usize
    }

    fn shutdown(joined: &mut Joined) -> bool {
        joined.ring.shutdown();
        true
    }
}

const CAPACITY: usize = 2;

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = chain::scenarios::<Shipped>("spsc");
    for cap in [true, false] {
        for (case, label) in [
            (Case::ConsumerAsleep, "consumer asleep"),
            (Case::ProducerAsleep, "producer asleep"),
            (Case::Recoverer, "recoverer"),
            (Case::Shutdown, "shutdown"),
        ] {
            all.push(asleep::scenario::<Shipped>("spsc", case, label, cap));
        }
        for (consumer, label) in [(true, "woken consumer"), (false, "woken producer")] {
            let suffix = if cap { "" } else { " cap-off" };
            all.push(Scenario::new(format!("spsc {label}{suffix}"), move |options| run(consumer, cap, options)));
        }
    }
    all
}

fn run(consumer: bool, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, 1, options, |point| {
        Shipped::reset(board, CAPACITY);
        if staged(point, consumer).is_none() {
            point.skip();
        }
    })
}

/// Runs `body` in a process that must end well.
fn once(point: &mut Point<'_>, role: Role, body: impl FnOnce(&mut Joined)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(role, |_| body(&mut Shipped::join(board, CAPACITY, role)));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

fn staged(point: &mut Point<'_>, consumer: bool) -> Option<()> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    if !consumer {
        once(point, Role::Script, |joined| {
            (0..CAPACITY as u64).for_each(|n| assert_eq!(Shipped::push(joined, n, NOW), Ok(())))
        })?;
    }
    let mut victim = point.victim(Role::Victim, |cue| {
        let mut joined = Shipped::join(board, CAPACITY, Role::Victim);
        marker();
        let outcome = if consumer {
            Shipped::pop(&mut joined, FOREVER)
        } else {
            Shipped::push(&mut joined, 50, FOREVER).map(|()| 0)
        };
        cue.result.store(outcome.map_or_else(No::code, |_| 1), Relaxed);
        cue.stage.store(1, Release);
    })?;
    let done = || cue.stage.load(Acquire) == 1;
    if !to_sleep(&mut victim, done) {
        return None;
    }
    once(point, Role::Script, |joined| match consumer {
        true => assert_eq!(Shipped::push(joined, 40, NOW), Ok(())),
        false => assert_eq!(Shipped::pop(joined, NOW), Ok(0)),
    })?;
    if victim.awaken() != Stop::Trapped {
        return None;
    }
    point.walk(0, &mut victim, done);
    let killed_at = point.bury(Role::Victim, victim);
    point.outcome.states.insert(Shipped::digest(board).value());
    // The successor waits like the victim. Whatever it is to find is there, or comes with what somebody does afterwards.
    let mut successor = point.play(Role::Survivor, |cue| {
        let mut joined = Shipped::join(board, CAPACITY, Role::Survivor);
        cue.asked.store(crate::os::now_ns(), Relaxed);
        let outcome = if consumer {
            Shipped::pop(&mut joined, FOREVER)
        } else {
            Shipped::push(&mut joined, 51, FOREVER).map(|()| 0)
        };
        cue.got.store(crate::os::now_ns(), Relaxed);
        cue.result.store(outcome.as_ref().map_or_else(|no| no.code(), |_| 1), Relaxed);
        cue.value.store(outcome.unwrap_or(0), Relaxed);
        cue.done.open();
    });
    let cue = board.cue(Role::Survivor);
    // Asleep, or done.
    successor.settles(point.limit);
    let helped = !cue.done.is_open();
    if helped
        && once(point, Role::Fresh, |joined| match consumer {
            true => assert_eq!(Shipped::push(joined, 41, NOW), Ok(())),
            false => assert_eq!(Shipped::pop(joined, NOW), Ok(1)),
        })
        .is_none()
    {
        point.fail(Class::Leaked, "a whole operation at the other end failed");
        return Some(());
    }
    if !cue.done.pass(point.limit) || cue.result.load(Relaxed) != 1 {
        point.fail(Class::Stuck, format!("the successor: {:?}", No::of(cue.result.load(Relaxed))));
        return Some(());
    }
    point.delay(killed_at, cue);
    judge(point, consumer, helped);
    Some(())
}

fn judge(point: &mut Point<'_>, consumer: bool, helped: bool) {
    let board = point.board;
    let mut joined = Shipped::join(board, CAPACITY, Role::Script);
    let mut left = vec![];
    while let Ok(value) = Shipped::pop(&mut joined, NOW) {
        left.push(value);
    }
    let took = board.cue(Role::Survivor).value.load(Relaxed);
    let right = match (consumer, helped) {
        // The victim took 40, or its successor did.
        (true, true) => took == 41 && left.is_empty(),
        (true, false) => took == 40 && left.is_empty(),
        // 0 was popped for the victim's 50, 1 for its successor's 51, if the victim had used up the room.
        (false, true) => left == [50, 51],
        (false, false) => left == [1, 51],
    };
    if !right {
        point.fail(Class::Lost, format!("helped: {helped}, took {took}, left {left:?}"));
    }
}
