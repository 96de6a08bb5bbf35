//! Rings with one producer and one consumer, items of one size.
//!
//! Every worker's end is claimed by name in its own process; rtrb's ends are of one process, so its workers are threads.

use std::sync::Mutex;

use crossbeam_utils::Backoff;
use ringfence::{Consumer, Plain, Producer, Spsc};

use crate::bare;
use crate::crew::{As, nanoseconds, run};
use crate::ours::Scene;
use crate::table::{Book, Demand, Sample, contestant};

pub(crate) const CAPACITY: usize = 1024;

/// Two rings of `[u64; N]`: number 0 there, number 1 back.
pub(crate) trait Rings<const N: usize>: Sync {
    const AS: As;
    /// The ends, claimed by the worker that uses them.
    type Tx<'a>
    where
        Self: 'a;
    type Rx<'a>
    where
        Self: 'a;
    fn tx(&self, ring: usize) -> Self::Tx<'_>;
    fn rx(&self, ring: usize) -> Self::Rx<'_>;
    /// Waits, in whatever way, until it has pushed.
    fn push(tx: &mut Self::Tx<'_>, item: [u64; N]);
    /// Waits, in whatever way, until it has popped.
    fn pop(rx: &mut Self::Rx<'_>) -> [u64; N];
}

/// Tries until it works, as one does with a ring that cannot sleep.
#[inline(always)]
pub(crate) fn persist<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
    if let Some(result) = attempt() {
        return result;
    }
    let backoff = Backoff::new();
    loop {
        backoff.snooze();
        if let Some(result) = attempt() {
            return result;
        }
    }
}

/// Ours, opened by name in each process.
pub(crate) struct Named<const N: usize>
where
    [u64; N]: Plain,
{
    scene: Scene,
    _first: [Spsc<[u64; N]>; 2],
}

impl<const N: usize> Named<N>
where
    [u64; N]: Plain,
{
    pub(crate) fn new() -> Self {
        let scene = Scene::new(2 * CAPACITY * (N + 1) * 8 + (1 << 20));
        let first = ["0", "1"].map(|name| Spsc::create(&scene.segment, name, CAPACITY).expect("a new ring"));
        Self { scene, _first: first }
    }

    fn open(&self, ring: usize) -> Spsc<[u64; N]> {
        Spsc::open(&self.scene.open(), ["0", "1"][ring]).expect("the ring just made")
    }
}

impl<const N: usize> Rings<N> for Named<N>
where
    [u64; N]: Plain,
{
    const AS: As = As::Processes;
    type Tx<'a> = Producer<[u64; N]>;
    type Rx<'a> = Consumer<[u64; N]>;
    fn tx(&self, ring: usize) -> Self::Tx<'_> {
        self.open(ring).producer().expect("nobody else")
    }
    fn rx(&self, ring: usize) -> Self::Rx<'_> {
        self.open(ring).consumer().expect("nobody else")
    }
    #[inline(always)]
    fn push(tx: &mut Self::Tx<'_>, item: [u64; N]) {
        tx.push(item).expect("nobody dies");
    }
    #[inline(always)]
    fn pop(rx: &mut Self::Rx<'_>) -> [u64; N] {
        rx.pop().expect("nobody dies")
    }
}

/// The same ring, waiting as rtrb's users wait.
struct Trying<const N: usize>(Named<N>)
where
    [u64; N]: Plain;

impl<const N: usize> Rings<N> for Trying<N>
where
    [u64; N]: Plain,
{
    const AS: As = As::Processes;
    type Tx<'a> = Producer<[u64; N]>;
    type Rx<'a> = Consumer<[u64; N]>;
    fn tx(&self, ring: usize) -> Self::Tx<'_> {
        self.0.tx(ring)
    }
    fn rx(&self, ring: usize) -> Self::Rx<'_> {
        self.0.rx(ring)
    }
    #[inline(always)]
    fn push(tx: &mut Self::Tx<'_>, item: [u64; N]) {
        persist(|| tx.try_push(item).ok());
    }
    #[inline(always)]
    fn pop(rx: &mut Self::Rx<'_>) -> [u64; N] {
        persist(|| rx.try_pop().ok())
    }
}

type Ends<const N: usize> = (Option<rtrb::Producer<[u64; N]>>, Option<rtrb::Consumer<[u64; N]>>);

struct Rtrb<const N: usize>([Mutex<Ends<N>>; 2]);

impl<const N: usize> Rtrb<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| {
            let (tx, rx) = rtrb::RingBuffer::new(CAPACITY);
            Mutex::new((Some(tx), Some(rx)))
        }))
    }
}

impl<const N: usize> Rings<N> for Rtrb<N> {
    const AS: As = As::Threads;
    type Tx<'a> = rtrb::Producer<[u64; N]>;
    type Rx<'a> = rtrb::Consumer<[u64; N]>;
    fn tx(&self, ring: usize) -> Self::Tx<'_> {
        self.0[ring].lock().expect("nobody panics").0.take().expect("taken once")
    }
    fn rx(&self, ring: usize) -> Self::Rx<'_> {
        self.0[ring].lock().expect("nobody panics").1.take().expect("taken once")
    }
    #[inline(always)]
    fn push(tx: &mut Self::Tx<'_>, item: [u64; N]) {
        persist(|| tx.push(item).ok());
    }
    #[inline(always)]
    fn pop(rx: &mut Self::Rx<'_>) -> [u64; N] {
        persist(|| rx.pop().ok())
    }
}

/// A stream of `count` items; each must arrive in order and whole.
fn flow<const N: usize, R: Rings<N>>(rings: &R, count: u64) -> Sample {
    let run = run(R::AS, 2, None, |index, gate| {
        if index == 0 {
            let mut tx = rings.tx(0);
            gate.start();
            (1..=count).for_each(|number| R::push(&mut tx, [number; N]));
        } else {
            let mut rx = rings.rx(0);
            gate.start();
            for number in 1..=count {
                let item = R::pop(&mut rx);
                assert!(item[0] == number && item[N - 1] == number, "lost, doubled or torn");
            }
        }
        count
    });
    Sample::from(run.mops() / 2.0)
}

/// Items to and fro; nanoseconds one way.
fn ping_pong<const N: usize, R: Rings<N>>(rings: &R, turns: u64) -> Sample {
    let run = run(R::AS, 2, None, |index, gate| {
        let (mut tx, mut rx) = (rings.tx(index), rings.rx(1 - index));
        gate.start();
        let begin = nanoseconds();
        for turn in 1..=turns {
            if index == 0 {
                R::push(&mut tx, [turn; N]);
                assert_eq!(R::pop(&mut rx)[N - 1], turn);
            } else {
                let item = R::pop(&mut rx);
                R::push(&mut tx, item);
            }
        }
        nanoseconds() - begin
    });
    Sample::from(run.counts[0] as f64 / (2 * turns) as f64)
}

/// The same stream in slices of 16.
fn slices(count: u64) -> Sample {
    const SLICE: usize = 16;
    let rings = Named::<1>::new();
    let run = run(As::Processes, 2, None, |index, gate| {
        let mut next = 1;
        if index == 0 {
            let mut tx = rings.tx(0);
            gate.start();
            while next <= count {
                let items: [[u64; 1]; SLICE] = std::array::from_fn(|nth| [next + nth as u64]);
                let wanted = ((count + 1 - next) as usize).min(SLICE);
                next += tx.push_slice(&items[..wanted]).expect("nobody dies") as u64;
            }
        } else {
            let mut rx = rings.rx(0);
            gate.start();
            let mut items = [[0; 1]; SLICE];
            while next <= count {
                let found = rx.pop_slice(&mut items).expect("nobody dies");
                for item in &items[..found] {
                    assert!(item[0] == next, "lost or doubled");
                    next += 1;
                }
            }
        }
        count
    });
    Sample::from(run.mops() / 2.0)
}

const OURS: &str = "ringfence Spsc push/pop (processes)";
const TRYING: &str = "  try_push/try_pop";
const SLICES: &str = "  push_slice/pop_slice, 16 at once";
const BARE: &str = bare::NAME;
const RTRB: &str = "rtrb (threads)";

fn size<const N: usize>(book: &mut Book, count: u64, turns: u64, latency: Demand, rate: Demand)
where
    [u64; N]: Plain,
{
    let scale = if book.quick { 4 } else { 1 };
    let (count, turns) = (count / scale, turns / scale);
    let contestants = vec![
        contestant(OURS, move || ping_pong::<N, _>(&Named::<N>::new(), turns)),
        contestant(TRYING, move || ping_pong::<N, _>(&Trying(Named::<N>::new()), turns)),
        contestant(BARE, move || ping_pong::<N, _>(&bare::Spsc::<N>::new(), turns)),
        contestant(RTRB, move || ping_pong::<N, _>(&Rtrb::<N>::new(), turns)),
    ];
    book.close_race(&format!("ring, {} B, one way", N * 8), "ns", contestants)
        .against(OURS, &[RTRB], latency)
        .against(TRYING, &[RTRB], Demand::Shown)
        .against(OURS, &[BARE], Demand::Shown);
    let mut contestants = vec![
        contestant(OURS, move || flow::<N, _>(&Named::<N>::new(), count)),
        contestant(TRYING, move || flow::<N, _>(&Trying(Named::<N>::new()), count)),
        contestant(BARE, move || flow::<N, _>(&bare::Spsc::<N>::new(), count)),
        contestant(RTRB, move || flow::<N, _>(&Rtrb::<N>::new(), count)),
    ];
    if N == 1 {
        contestants.push(contestant(SLICES, move || slices(count)));
    }
    let mut results = book.close_race(&format!("ring, {} B, stream", N * 8), "M/s", contestants);
    results.against(OURS, &[RTRB], rate).against(TRYING, &[RTRB], Demand::Shown).against(OURS, &[BARE], Demand::Shown);
    if N == 1 {
        results.against(SLICES, &[RTRB], Demand::Shown);
    }
}

/// Runs all races of items.
pub fn measure(book: &mut Book) {
    size::<1>(book, 4_000_000, 200_000, Demand::AtMost(0.8), Demand::AtLeast(1.3));
    size::<8>(book, 2_000_000, 200_000, Demand::Shown, Demand::Shown);
    size::<128>(book, 200_000, 50_000, Demand::Shown, Demand::Shown);
}
