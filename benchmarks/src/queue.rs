//! Queues of fixed-size items: many producers, many consumers.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use ringfence::Plain;
use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::raw::eventcount;
use ringfence::raw::queue::{PopFailure, PushFailure, Queue as RawQueue};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap::{Deadline, Wait};

use crate::bare::{self, Slots};
use crate::crew::{As, Child, Gate, Shared, nanoseconds, pin, run};
use crate::ours::Scene;
use crate::ring::persist;
use crate::table::{Book, Contestant, Demand, Sample, contestant};

pub(crate) const CAPACITY: usize = 1024;

/// A queue of `[u64; N]`.
pub(crate) trait Queue<const N: usize>: Sync + Sized {
    const AS: As;
    /// What a worker needs to use the queue.
    type Me;
    fn me(&self, index: usize) -> Self::Me;
    /// Waits, in whatever way, until it has pushed.
    fn push(&self, me: &Self::Me, item: [u64; N]);
    /// Waits, in whatever way, until it has popped.
    fn pop(&self, me: &Self::Me) -> [u64; N];
}

struct Crossbeam<const N: usize>(ArrayQueue<[u64; N]>);

impl<const N: usize> Queue<N> for Crossbeam<N> {
    const AS: As = As::Threads;
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn push(&self, _: &(), item: [u64; N]) {
        persist(|| self.0.push(item).ok());
    }
    #[inline(always)]
    fn pop(&self, _: &()) -> [u64; N] {
        persist(|| self.0.pop())
    }
}

/// Nobody ever dies here.
pub(crate) struct Immortals;

impl Peers for Immortals {
    fn fate(&self, _: ParticipantId) -> Fate {
        Fate::Alive
    }
}

/// What a process does when it attaches.
pub(crate) fn register(index: usize) -> Owner {
    ringfence::sys::membarrier::register();
    owner(index)
}

fn owner(index: usize) -> Owner {
    Owner::new(index as u16 + 1, 1).expect("a small number")
}

fn bytes<const N: usize>(item: &[u64; N]) -> &[u8] {
    // SAFETY: the bytes of plain integers.
    unsafe { std::slice::from_raw_parts(item.as_ptr().cast(), N * 8) }
}

fn bytes_mut<const N: usize>(item: &mut [u64; N]) -> &mut [u8] {
    // SAFETY: the bytes of plain integers, any of which are valid.
    unsafe { std::slice::from_raw_parts_mut(item.as_mut_ptr().cast(), N * 8) }
}

/// The raw queue in a mapping of its own.
pub(crate) struct Memory {
    header: Shared<QueueHeader>,
    slots: Shared<[AtomicU64]>,
    geometry: Geometry,
}

impl Memory {
    pub(crate) fn new(words_of_item: usize) -> Self {
        let geometry = Geometry::new(CAPACITY as u64, words_of_item as u64 * 8).expect("a queue");
        Self { header: Shared::new(QueueHeader::new(geometry)), slots: Shared::words(geometry.words()), geometry }
    }

    /// The same for a system without membarrier: every notifier fences.
    fn fenced(words_of_item: usize) -> Self {
        let this = Self::new(words_of_item);
        let shared = &this.header.shared.0;
        for event in [&shared.not_empty, &shared.not_full] {
            event.word.store(eventcount::FENCE, Ordering::Relaxed);
        }
        this
    }

    #[inline(always)]
    pub(crate) fn queue(&self) -> RawQueue<'_> {
        RawQueue::with_geometry(&self.header, &self.slots, self.geometry).expect("as made")
    }
}

/// Ours, opened by name in each process; it spins a little, then sleeps.
struct Named<const N: usize>
where
    [u64; N]: Plain,
{
    scene: Scene,
    _first: ringfence::Queue<[u64; N]>,
}

impl<const N: usize> Named<N>
where
    [u64; N]: Plain,
{
    fn new() -> Self {
        let scene = Scene::new(4 << 20);
        let first = ringfence::Queue::create(&scene.segment, "queue", CAPACITY).expect("a new queue");
        Self { scene, _first: first }
    }
}

impl<const N: usize> Queue<N> for Named<N>
where
    [u64; N]: Plain,
{
    const AS: As = As::Processes;
    type Me = ringfence::Queue<[u64; N]>;
    fn me(&self, _: usize) -> Self::Me {
        ringfence::Queue::open(&self.scene.open(), "queue").expect("the queue just made")
    }
    #[inline(always)]
    fn push(&self, me: &Self::Me, item: [u64; N]) {
        me.push(item).expect("nobody dies");
    }
    #[inline(always)]
    fn pop(&self, me: &Self::Me) -> [u64; N] {
        me.pop().expect("nobody dies")
    }
}

/// The raw queue under it, waiting in the same way.
struct Blocking(Memory);

impl<const N: usize> Queue<N> for Blocking {
    const AS: As = As::Processes;
    type Me = Owner;
    fn me(&self, index: usize) -> Owner {
        register(index)
    }
    #[inline(always)]
    fn push(&self, &me: &Owner, item: [u64; N]) {
        self.0.queue().push(me, bytes(&item), &Immortals, Wait::until(Deadline::Forever)).expect("nobody dies");
    }
    #[inline(always)]
    fn pop(&self, _: &Owner) -> [u64; N] {
        let mut item = [0; N];
        self.0.queue().pop(bytes_mut(&mut item), &Immortals, Wait::until(Deadline::Forever)).expect("nobody dies");
        item
    }
}

/// Ours, waiting as crossbeam's users wait; the check for sleepers is made all the same.
struct Trying(Memory);

impl<const N: usize> Queue<N> for Trying {
    const AS: As = As::Processes;
    type Me = Owner;
    fn me(&self, index: usize) -> Owner {
        register(index)
    }
    #[inline(always)]
    fn push(&self, &me: &Owner, item: [u64; N]) {
        persist(|| match self.0.queue().try_push(me, bytes(&item), &Immortals) {
            Ok(()) => Some(()),
            Err(PushFailure::Full) => None,
            Err(failure) => panic!("{failure:?}"),
        });
    }
    #[inline(always)]
    fn pop(&self, _: &Owner) -> [u64; N] {
        let mut item = [0; N];
        persist(|| match self.0.queue().try_pop(bytes_mut(&mut item), &Immortals) {
            Ok(()) => Some(()),
            Err(PopFailure::Empty | PopFailure::Busy) => None,
            Err(failure) => panic!("{failure:?}"),
        });
        item
    }
}

/// `pairs` producers push a fixed number of items to `pairs` consumers. Every item must arrive exactly once.
fn flow<const N: usize, Q: Queue<N>>(queue: &Q, pairs: usize, each: u64) -> Sample {
    let sums: Shared<[AtomicU64]> = Shared::words(2 * pairs);
    let sums: &[AtomicU64] = &sums;
    let work = |index: usize, gate: &Gate| {
        let me = queue.me(index);
        gate.start();
        let mut sum = 0_u64;
        // Even workers produce and odd ones consume; a pair shares no core if there are two.
        if index.is_multiple_of(2) {
            for turn in 0..each {
                let number = turn * pairs as u64 + index as u64 / 2 + 1;
                queue.push(&me, [number; N]);
                sum = sum.wrapping_add(number);
            }
        } else {
            for _ in 0..each {
                let item = queue.pop(&me);
                debug_assert!(item[0] == item[N - 1]);
                sum = sum.wrapping_add(item[0] + (item[N - 1] - item[0]));
            }
        }
        sums[index].store(sum, Ordering::Relaxed);
        each
    };
    let run = run(Q::AS, 2 * pairs, None, work);
    let total = |odd: usize| (0..pairs).fold(0, |a: u64, i| a.wrapping_add(sums[2 * i + odd].load(Ordering::Relaxed)));
    assert_eq!(total(0), total(1), "items lost, doubled or torn");
    Sample::from(run.mops() / 2.0)
}

/// Items to and fro through two queues; nanoseconds one way.
fn ping_pong<const N: usize, Q: Queue<N>>(make: impl Fn() -> Q, turns: u64) -> Sample {
    let queues = [make(), make()];
    let run = run(Q::AS, 2, None, |index, gate| {
        let me = [0, 1].map(|which: usize| queues[which].me(index));
        gate.start();
        let begin = nanoseconds();
        for turn in 1..=turns {
            if index == 0 {
                queues[0].push(&me[0], [turn; N]);
            }
            let item = queues[1 - index].pop(&me[1 - index]);
            assert!(item[0] == turn && item[N - 1] == turn, "lost, doubled or torn");
            if index == 1 {
                queues[1].push(&me[1], item);
            }
        }
        nanoseconds() - begin
    });
    Sample::from(run.counts[0] as f64 / (2 * turns) as f64)
}

const NAMED: &str = "ringfence Queue push/pop (processes)";
const BLOCKING: &str = "  raw push/pop";
const TRYING: &str = "  raw try_push/try_pop";
const FENCED: &str = "  raw try_push/try_pop without membarrier";
const BARE: &str = bare::NAME;
const CROSSBEAM: &str = "crossbeam ArrayQueue (threads)";

fn size<const N: usize>(book: &mut Book, each: u64, demand: Demand)
where
    [u64; N]: Plain,
{
    let each = if book.quick { each / 4 } else { each };
    for pairs in [1, 2, 4] {
        let each = each / pairs as u64;
        let title = format!("queue, {} B, {pairs}+{pairs}", N * 8);
        let contestants: Vec<Contestant<'_>> = vec![
            contestant(NAMED, move || flow::<N, _>(&Named::<N>::new(), pairs, each)),
            contestant(BLOCKING, move || flow::<N, _>(&Blocking(Memory::new(N)), pairs, each)),
            contestant(TRYING, move || flow::<N, _>(&Trying(Memory::new(N)), pairs, each)),
            contestant(FENCED, move || flow::<N, _>(&Trying(Memory::fenced(N)), pairs, each)),
            contestant(BARE, move || flow::<N, _>(&Slots::<N>::new(), pairs, each)),
            contestant(CROSSBEAM, move || flow::<N, _>(&Crossbeam(ArrayQueue::new(CAPACITY)), pairs, each)),
        ];
        book.close_race(&title, "M/s", contestants)
            .against(NAMED, &[CROSSBEAM], demand)
            .against(BLOCKING, &[CROSSBEAM], Demand::Shown)
            .against(TRYING, &[CROSSBEAM], Demand::Shown)
            .against(BARE, &[CROSSBEAM], Demand::Shown)
            .against(NAMED, &[BARE], Demand::Shown);
    }
    let turns = (each / 10).min(200_000);
    let contestants = vec![
        contestant(NAMED, move || ping_pong::<N, _>(Named::<N>::new, turns)),
        contestant(BARE, move || ping_pong::<N, _>(Slots::<N>::new, turns)),
        contestant(CROSSBEAM, move || ping_pong::<N, _>(|| Crossbeam(ArrayQueue::new(CAPACITY)), turns)),
    ];
    book.close_race(&format!("queue, {} B, one way", N * 8), "ns", contestants)
        .against(NAMED, &[CROSSBEAM], Demand::Shown)
        .against(NAMED, &[BARE], Demand::Shown);
}

/// Items of a batch.
const BATCH: usize = 16;

/// As [`flow`], of 8 bytes each, in batches: as many as go, up to 16 at a time.
fn flow_batches(queue: &Named<1>, pairs: usize, each: u64) -> Sample {
    let sums: Shared<[AtomicU64]> = Shared::words(2 * pairs);
    let sums: &[AtomicU64] = &sums;
    let work = |index: usize, gate: &Gate| {
        let me = queue.me(index);
        gate.start();
        let (mut sum, mut items, mut done) = (0_u64, [[0]; BATCH], 0);
        while done < each {
            let most = BATCH.min((each - done) as usize);
            if index.is_multiple_of(2) {
                for (turn, item) in (done..).zip(&mut items[..most]) {
                    *item = [turn * pairs as u64 + index as u64 / 2 + 1];
                    sum = sum.wrapping_add(item[0]);
                }
                let mut pushed = 0;
                while pushed < most {
                    pushed += me.push_slice(&items[pushed..most]).expect("nobody dies");
                }
                done += most as u64;
            } else {
                let popped = me.pop_slice(&mut items[..most]).expect("nobody dies");
                items[..popped].iter().for_each(|item| sum = sum.wrapping_add(item[0]));
                done += popped as u64;
            }
        }
        sums[index].store(sum, Ordering::Relaxed);
        each
    };
    let run = run(As::Processes, 2 * pairs, None, work);
    let total = |odd: usize| (0..pairs).fold(0, |a: u64, i| a.wrapping_add(sums[2 * i + odd].load(Ordering::Relaxed)));
    assert_eq!(total(0), total(1), "items lost or doubled");
    Sample::from(run.mops() / 2.0)
}

/// What a batch saves where nobody else is about: 16 items in, and out again, in one process.
fn alone(batch: bool, rounds: u64) -> Sample {
    let queue = Named::<1>::new();
    let me = queue.me(0);
    let (mut items, mut sum) = ([[0]; BATCH], 0_u64);
    let begin = nanoseconds();
    for round in 0..rounds {
        let sent: [[u64; 1]; BATCH] = std::array::from_fn(|nth| [round + nth as u64]);
        if batch {
            assert_eq!(me.push_slice(&sent), Ok(BATCH));
            assert_eq!(me.pop_slice(&mut items), Ok(BATCH));
        } else {
            sent.iter().for_each(|item| me.push(*item).expect("nobody dies"));
            items.iter_mut().for_each(|item| *item = me.pop().expect("nobody dies"));
        }
        sum = items.iter().fold(sum, |sum, item| sum.wrapping_add(item[0]));
    }
    let spent = nanoseconds() - begin;
    assert_eq!(sum, (0..rounds).map(|round| BATCH as u64 * round + 120).sum::<u64>(), "items lost or doubled");
    Sample::from((rounds * BATCH as u64) as f64 / spent as f64 * 1e3)
}

const BATCHES: &str = "ringfence Queue push_slice/pop_slice of 16 (processes)";

/// Batches against single items, of ours and of a peer that has no batches. What they save is wake-ups; each item is swapped in
/// and out as one that goes alone, so no gain is demanded where nobody sleeps.
fn batches(book: &mut Book) {
    for pairs in [1, 2] {
        let each = if book.quick { 500_000 } else { 2_000_000 } / pairs as u64;
        let contestants: Vec<Contestant<'_>> = vec![
            contestant(BATCHES, move || flow_batches(&Named::new(), pairs, each)),
            contestant(NAMED, move || flow::<1, _>(&Named::<1>::new(), pairs, each)),
            contestant(CROSSBEAM, move || flow::<1, _>(&Crossbeam(ArrayQueue::new(CAPACITY)), pairs, each)),
        ];
        book.close_race(&format!("queue, 8 B, batches of {BATCH}, {pairs}+{pairs}"), "M/s", contestants)
            .against(BATCHES, &[NAMED], Demand::Shown)
            .against(BATCHES, &[CROSSBEAM], Demand::AtLeast(1.0));
    }
    let rounds = if book.quick { 50_000 } else { 200_000 };
    let contestants: Vec<Contestant<'_>> =
        vec![contestant(BATCHES, move || alone(true, rounds)), contestant(NAMED, move || alone(false, rounds))];
    book.close_race(&format!("queue, 8 B, batches of {BATCH}, in and out by one process"), "M/s", contestants).against(
        BATCHES,
        &[NAMED],
        Demand::Shown,
    );
}

/// What a push costs while `sleepers` consumers are blocked, in microseconds: every push wakes them, one gets the item.
fn herd(sleepers: usize) -> Sample {
    const PUSHES: u32 = 200;
    let memory = Memory::new(1);
    let queue = memory.queue();
    let consumers: Vec<Child> = (0..sleepers)
        .map(|index| {
            Child::fork(|| {
                pin(index);
                let mut item = [0_u64];
                while queue.pop(bytes_mut(&mut item), &Immortals, Wait::until(Deadline::Forever)).is_ok() {}
            })
        })
        .collect();
    let me = register(sleepers);
    let mut spent = 0;
    for turn in 0..PUSHES {
        wait_until_asleep(&consumers);
        let begin = nanoseconds();
        queue.push(me, bytes(&[u64::from(turn)]), &Immortals, Wait::until(Deadline::Forever)).expect("nobody dies");
        spent += nanoseconds() - begin;
    }
    queue.shutdown();
    consumers.into_iter().for_each(Child::join);
    Sample::from(spent as f64 / f64::from(PUSHES) / 1e3)
}

fn wait_until_asleep(children: &[Child]) {
    for child in children {
        let stat = format!("/proc/{}/stat", child.pid());
        // The state follows the command's name, which stands in parentheses.
        while !std::fs::read_to_string(&stat).is_ok_and(|s| s.rsplit(") ").next().is_some_and(|s| s.starts_with('S'))) {
            std::thread::yield_now();
        }
    }
}

/// Runs all queue races.
pub fn measure(book: &mut Book) {
    size::<1>(book, 2_000_000, Demand::AtLeast(1.2));
    size::<8>(book, 1_000_000, Demand::AtLeast(1.0));
    size::<128>(book, 200_000, Demand::AtLeast(1.0));
    batches(book);
    let contestants = vec![
        contestant("no blocked consumer", || herd(0)),
        contestant("1 blocked consumer", || herd(1)),
        contestant("32 blocked consumers", || herd(32)),
    ];
    let rounds = book.rounds.min(3);
    book.race_of("queue, what a push costs that wakes", "us", rounds, contestants);
}
