//! Rings of records: reserve and commit, peek and release, against the same of peers that do so within one process.
//!
//! Each writes the whole record and reads all of it; of a megabyte that nobody touches only the way of its handle is measured.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ringbuf::traits::{Consumer as _, Observer as _, Producer as _, Split as _};
use ringfence::{ByteConsumer, ByteProducer, ByteRing};

use crate::bare;
use crate::crew::{As, Padded, Shared, nanoseconds, run};
use crate::ours::Scene;
use crate::ring::persist;
use crate::table::{Book, Demand, Sample, contestant};

/// Room for so many records, or more where they are short.
pub(crate) fn ring_bytes(len: usize) -> usize {
    (16 * len).clamp(64 << 10, 8 << 20)
}

/// Two rings: number 0 there, number 1 back.
pub(crate) trait Rings: Sync {
    const AS: As;
    type Tx<'a>
    where
        Self: 'a;
    type Rx<'a>
    where
        Self: 'a;
    fn tx(&self, ring: usize) -> Self::Tx<'_>;
    fn rx(&self, ring: usize) -> Self::Rx<'_>;
    /// Has `write` fill a record of `len` bytes in place, in one piece or two.
    fn send(tx: &mut Self::Tx<'_>, len: usize, write: impl FnMut(&mut [u8]));
    /// Has `read` look at a record of `len` bytes in place, in one piece or two.
    fn receive(rx: &mut Self::Rx<'_>, len: usize, read: impl FnMut(&[u8]));
}

/// Ours, opened by name in each process.
pub(crate) struct Ours {
    scene: Scene,
    _first: [ByteRing; 2],
}

impl Ours {
    pub(crate) fn new(len: usize) -> Self {
        let scene = Scene::new(2 * ring_bytes(len).next_power_of_two() + (1 << 20));
        let first = ["0", "1"].map(|name| ByteRing::create(&scene.segment, name, ring_bytes(len)).expect("a new ring"));
        Self { scene, _first: first }
    }

    fn open(&self, ring: usize) -> ByteRing {
        ByteRing::open(&self.scene.open(), ["0", "1"][ring]).expect("the ring just made")
    }
}

impl Rings for Ours {
    const AS: As = As::Processes;
    type Tx<'a> = ByteProducer;
    type Rx<'a> = ByteConsumer;
    fn tx(&self, ring: usize) -> ByteProducer {
        self.open(ring).producer().expect("nobody else")
    }
    fn rx(&self, ring: usize) -> ByteConsumer {
        self.open(ring).consumer().expect("nobody else")
    }
    #[inline(always)]
    fn send(tx: &mut ByteProducer, len: usize, mut write: impl FnMut(&mut [u8])) {
        let mut room = tx.reserve(len).expect("nobody dies");
        // SAFETY: only this benchmark has the segment.
        write(unsafe { room.as_mut_slice() });
        room.commit(len).expect("nobody dies");
    }
    #[inline(always)]
    fn receive(rx: &mut ByteConsumer, len: usize, mut read: impl FnMut(&[u8])) {
        let record = rx.peek().expect("nobody dies");
        assert_eq!(record.len(), len);
        // SAFETY: only this benchmark has the segment.
        read(unsafe { record.as_slice() });
        record.release();
    }
}

/// Of one process: each end is taken once, by the thread that uses it.
struct Pair<T, R>([Mutex<(Option<T>, Option<R>)>; 2]);

impl<T, R> Pair<T, R> {
    fn new(make: impl Fn() -> (T, R)) -> Self {
        Self([(); 2].map(|()| {
            let (tx, rx) = make();
            Mutex::new((Some(tx), Some(rx)))
        }))
    }
    fn tx(&self, ring: usize) -> T {
        self.0[ring].lock().expect("nobody panics").0.take().expect("taken once")
    }
    fn rx(&self, ring: usize) -> R {
        self.0[ring].lock().expect("nobody panics").1.take().expect("taken once")
    }
}

struct Rtrb(Pair<rtrb::Producer<u8>, rtrb::Consumer<u8>>);

impl Rings for Rtrb {
    const AS: As = As::Threads;
    type Tx<'a> = rtrb::Producer<u8>;
    type Rx<'a> = rtrb::Consumer<u8>;
    fn tx(&self, ring: usize) -> Self::Tx<'_> {
        self.0.tx(ring)
    }
    fn rx(&self, ring: usize) -> Self::Rx<'_> {
        self.0.rx(ring)
    }
    #[inline(always)]
    fn send(tx: &mut Self::Tx<'_>, len: usize, mut write: impl FnMut(&mut [u8])) {
        persist(|| (tx.slots() >= len).then_some(()));
        let mut chunk = tx.write_chunk_uninit(len).expect("there is room");
        let (first, second) = chunk.as_mut_slices();
        // SAFETY: bytes may be written as such whatever was there, and are all written before the commit.
        let bytes = |part: &mut [std::mem::MaybeUninit<u8>]| unsafe { &mut *(std::ptr::from_mut(part) as *mut [u8]) };
        write(bytes(first));
        if !second.is_empty() {
            write(bytes(second));
        }
        // SAFETY: all were written just now.
        unsafe { chunk.commit_all() };
    }
    #[inline(always)]
    fn receive(rx: &mut Self::Rx<'_>, len: usize, mut read: impl FnMut(&[u8])) {
        persist(|| (rx.slots() >= len).then_some(()));
        let chunk = rx.read_chunk(len).expect("there are so many");
        let (first, second) = chunk.as_slices();
        read(first);
        if !second.is_empty() {
            read(second);
        }
        chunk.commit_all();
    }
}

type RingbufTx = <ringbuf::HeapRb<u8> as ringbuf::traits::Split>::Prod;
type RingbufRx = <ringbuf::HeapRb<u8> as ringbuf::traits::Split>::Cons;

struct Ringbuf(Pair<RingbufTx, RingbufRx>);

impl Rings for Ringbuf {
    const AS: As = As::Threads;
    type Tx<'a> = RingbufTx;
    type Rx<'a> = RingbufRx;
    fn tx(&self, ring: usize) -> Self::Tx<'_> {
        self.0.tx(ring)
    }
    fn rx(&self, ring: usize) -> Self::Rx<'_> {
        self.0.rx(ring)
    }
    #[inline(always)]
    fn send(tx: &mut Self::Tx<'_>, len: usize, mut write: impl FnMut(&mut [u8])) {
        persist(|| (tx.vacant_len() >= len).then_some(()));
        let (first, second) = tx.vacant_slices_mut();
        let cut = first.len().min(len);
        // SAFETY: as with rtrb.
        let bytes = |part: &mut [std::mem::MaybeUninit<u8>]| unsafe { &mut *(std::ptr::from_mut(part) as *mut [u8]) };
        write(bytes(&mut first[..cut]));
        if cut < len {
            write(bytes(&mut second[..len - cut]));
        }
        // SAFETY: so many were written just now.
        unsafe { tx.advance_write_index(len) };
    }
    #[inline(always)]
    fn receive(rx: &mut Self::Rx<'_>, len: usize, mut read: impl FnMut(&[u8])) {
        persist(|| (rx.occupied_len() >= len).then_some(()));
        let (first, second) = rx.as_slices();
        let cut = first.len().min(len);
        read(&first[..cut]);
        if cut < len {
            read(&second[..len - cut]);
        }
        // SAFETY: so many are there.
        unsafe { rx.advance_read_index(len) };
    }
}

/// Fills a record and looks at all of it, as a copy would: from and to memory of the worker's own.
struct Own(Vec<u8>);

impl Own {
    fn new(len: usize) -> Self {
        Self(vec![1; len])
    }
}

/// A stream of `count` records, each written from and read into the worker's own memory.
fn flow<R: Rings>(rings: &R, len: usize, count: u64) -> Sample {
    let run = run(R::AS, 2, None, |index, gate| {
        let mut own = Own::new(len);
        if index == 0 {
            let mut tx = rings.tx(0);
            gate.start();
            for number in 0..count {
                own.0[0] = number as u8;
                let mut done = 0;
                R::send(&mut tx, len, |part| {
                    part.copy_from_slice(&own.0[done..done + part.len()]);
                    done += part.len();
                });
            }
        } else {
            let mut rx = rings.rx(0);
            gate.start();
            for number in 0..count {
                let mut done = 0;
                R::receive(&mut rx, len, |part| {
                    own.0[done..done + part.len()].copy_from_slice(part);
                    done += part.len();
                });
                assert!(
                    own.0[0] == number as u8
                        && std::hint::black_box(own.0[len - 1]) == if len == 1 { number as u8 } else { 1 }
                );
            }
        }
        count
    });
    Sample::from(run.mops() / 2.0)
}

/// Records to and fro; nanoseconds one way.
fn ping_pong<R: Rings>(rings: &R, len: usize, touched: bool, turns: u64) -> Sample {
    let run = run(R::AS, 2, None, |index, gate| {
        let (mut tx, mut rx) = (rings.tx(index), rings.rx(1 - index));
        let mut own = Own::new(if touched { len } else { 0 });
        gate.start();
        let begin = nanoseconds();
        for _ in 0..turns {
            for step in 0..2 {
                let mut done = 0;
                if step == index {
                    R::send(&mut tx, len, |part| {
                        if touched {
                            part.copy_from_slice(&own.0[done..done + part.len()]);
                            done += part.len();
                        }
                    });
                } else {
                    R::receive(&mut rx, len, |part| {
                        if touched {
                            own.0[done..done + part.len()].copy_from_slice(part);
                            done += part.len();
                        }
                    });
                }
            }
        }
        nanoseconds() - begin
    });
    Sample::from(run.counts[0] as f64 / (2 * turns) as f64)
}

const MOST_BLOCKS: usize = 1024;

/// What the machine allows: blocks of `len` bytes copied into shared memory by one core and out of it by another, with one flag
/// for each of as many blocks as our ring holds.
fn copy_limit(len: usize, count: u64) -> Sample {
    let blocks = (ring_bytes(len).next_power_of_two() / len).max(2) - 1;
    let memory: Shared<[AtomicU64]> = Shared::words(blocks * len / 8);
    let blocks = blocks.min(MOST_BLOCKS);
    let flags = Shared::new([const { Padded(AtomicU64::new(0)) }; MOST_BLOCKS]);
    let (memory, flags): (&[AtomicU64], &[Padded<AtomicU64>; MOST_BLOCKS]) = (&memory, &flags);
    let run = run(As::Processes, 2, None, |index, gate| {
        let mut own = Own::new(len);
        gate.start();
        for number in 0..count {
            let (block, lap) = (number as usize % blocks, number / blocks as u64);
            let flag = &flags[block].0;
            let wanted = lap * 2 + index as u64;
            while flag.load(Ordering::Acquire) != wanted {
                std::hint::spin_loop();
            }
            let shared = memory[block * len / 8..].as_ptr().cast_mut().cast::<u8>();
            // SAFETY: the flag says that this block is ours alone, and it lies inside the mapping.
            unsafe {
                match index {
                    0 => std::ptr::copy_nonoverlapping(own.0.as_ptr(), shared, len),
                    _ => std::ptr::copy_nonoverlapping(shared, own.0.as_mut_ptr(), len),
                }
            }
            flag.store(wanted + 1, Ordering::Release);
        }
        std::hint::black_box(own.0[0]);
        count
    });
    Sample::from(run.mops() / 2.0)
}

const OURS: &str = "ringfence ByteRing (processes)";
const BARE: &str = bare::NAME;
const RTRB: &str = "rtrb, chunks (threads)";
const RINGBUF: &str = "ringbuf, slices (threads)";
const LIMIT: &str = "limit: copy in by one core, out by another";

fn rtrb(len: usize) -> Rtrb {
    Rtrb(Pair::new(|| rtrb::RingBuffer::new(ring_bytes(len).next_power_of_two())))
}

fn ringbuf(len: usize) -> Ringbuf {
    Ringbuf(Pair::new(|| ringbuf::HeapRb::new(ring_bytes(len).next_power_of_two()).split()))
}

/// Runs all races of records.
pub fn measure(book: &mut Book) {
    let scale = if book.quick { 4 } else { 1 };
    for (len, count, turns) in [(64, 2_000_000, 200_000), (1024, 1_000_000, 100_000), (64 << 10, 20_000, 5_000)] {
        let (count, turns) = (count / scale, turns / scale);
        let title = |what: &str| format!("records, {len} B, {what}");
        book.race(
            &title("one way"),
            "ns",
            vec![
                contestant(OURS, move || ping_pong(&Ours::new(len), len, true, turns)),
                contestant(BARE, move || ping_pong(&bare::Records::new(len), len, true, turns)),
                contestant(RTRB, move || ping_pong(&rtrb(len), len, true, turns)),
                contestant(RINGBUF, move || ping_pong(&ringbuf(len), len, true, turns)),
            ],
        )
        .against(OURS, &[RTRB, RINGBUF], Demand::Shown)
        .against(OURS, &[BARE], Demand::Shown);
        let contestants = vec![
            contestant(OURS, move || flow(&Ours::new(len), len, count)),
            contestant(BARE, move || flow(&bare::Records::new(len), len, count)),
            contestant(RTRB, move || flow(&rtrb(len), len, count)),
            contestant(RINGBUF, move || flow(&ringbuf(len), len, count)),
            contestant(LIMIT, move || copy_limit(len, count)),
        ];
        let mut results = book.close_race(&title("stream"), "M/s", contestants);
        if len < 64 << 10 {
            results.against(OURS, &[RTRB, RINGBUF], Demand::AtLeast(1.2)).against(OURS, &[LIMIT], Demand::Shown);
        } else {
            results.against(OURS, &[LIMIT], Demand::AtLeast(0.8)).against(OURS, &[RTRB, RINGBUF], Demand::Shown);
        }
        results.against(OURS, &[BARE], Demand::Shown);
    }
    let turns = 100_000 / scale;
    let (small, large) = ("64 B, untouched", "1 MiB, untouched");
    book.close_race(
        "records, a handle's way, one way",
        "ns",
        vec![
            contestant(small, move || ping_pong(&Ours::new(64), 64, false, turns)),
            contestant(large, move || ping_pong(&Ours::new(1 << 20), 1 << 20, false, turns)),
        ],
    )
    .against(large, &[small], Demand::AtMost(1.5));
}
