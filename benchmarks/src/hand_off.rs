//! Hand-off: what it takes from one process to another that really sleeps.
//!
//! ```text
//!  process 0   wait until 1 sleeps | give . . . . . take (sleeps) . . . . .  | taken
//!                                     \                                     /
//!  process 1   . . take (sleeps) . . . | taken | wait until 0 sleeps | give
//!                                     ^-------^
//!                                      measured: one clock, read before the give and after the take
//! ```
//!
//! Whoever gives runs, on another core, until `/proc/PID/stat` says that the other sleeps, and a while longer: ours spins before it
//! sleeps, the bare futex does not, and neither is asleep at once. So both are measured from a sleep of about the same length.

use std::cell::Cell;
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::byte_ring;
use crate::crew::{As, Padded, Shared, nanoseconds, run};
#[cfg(feature = "peers")]
use crate::iceoryx::Bell;
use crate::ring;
use crate::table::{Book, Demand, Sample, contestant};

/// How long the other has been seen asleep before it is woken.
const ASLEEP: u64 = 50_000;

/// Where to look whether a process sleeps.
struct Watched(std::fs::File);

impl Watched {
    fn new(pid: u64) -> Self {
        Self(std::fs::File::open(format!("/proc/{pid}/stat")).expect("the other lives"))
    }

    fn sleeps(&mut self) -> bool {
        let mut text = [0; 512];
        self.0.rewind().expect("a file in /proc");
        let len = self.0.read(&mut text).expect("the other lives");
        // The state follows the command's name, which stands in parentheses.
        let name = text[..len].iter().rposition(|byte| *byte == b')').expect("a name");
        text[name + 2] == b'S'
    }
}

/// Microseconds from before a process gives until another has taken, which slept: the median of all turns of both. Each makes
/// what it gives and takes with.
fn hand_off<S: FnMut(u64), R: FnMut() -> u64>(turns: usize, ends: impl Fn(usize) -> (S, R) + Sync) -> Sample {
    let pids = Shared::words(2);
    let took = Shared::words(2 * turns);
    let (pids, took): (&[AtomicU64], &[AtomicU64]) = (&pids, &took);
    run(As::Processes, 2, None, |index, gate| {
        let (mut give, mut take) = ends(index);
        pids[index].store(std::process::id().into(), Ordering::SeqCst);
        gate.start();
        let mut other = Watched::new(pids[1 - index].load(Ordering::SeqCst));
        for (turn, took) in took.iter().enumerate() {
            if turn % 2 == index {
                while !other.sleeps() {}
                let since = nanoseconds();
                while nanoseconds() - since < ASLEEP {
                    std::hint::spin_loop();
                }
                give(nanoseconds());
            } else {
                let given = take();
                took.store(nanoseconds() - given, Ordering::Relaxed);
            }
        }
        gate.meet_at_the_end(index, 2);
        0
    });
    let mut took: Vec<u64> = took.iter().map(|ns| ns.load(Ordering::Relaxed)).collect();
    took.sort_unstable();
    Sample::from(took[turns] as f64 / 1e3)
}

/// A word to sleep at, and what is handed over.
#[derive(Default)]
struct Place {
    word: AtomicU32,
    given: AtomicU64,
}

fn futex(word: &AtomicU32, operation: i32, value: u32, timeout: Option<&libc::timespec>) {
    let timeout = timeout.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word is mapped, and so is the time-out. What it returns says nothing that the word does not.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, timeout) };
}

/// The least there is: a word for each way, no spinning. With a `cap` a sleep ends by itself after so many ms, as each of
/// ours does: who sleeps without an end never learns that whoever was to wake it is dead.
fn bare(turns: usize, cap: Option<i64>) -> Sample {
    let timeout = cap.map(|ms| libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 });
    let places = Shared::new([Padded::<Place>::default(), Padded::default()]);
    let places: &[Padded<Place>; 2] = &places;
    hand_off(turns, |index| {
        let give = move |now| {
            let there = &places[index].0;
            there.given.store(now, Ordering::Relaxed);
            there.word.store(1, Ordering::Release);
            futex(&there.word, libc::FUTEX_WAKE, 1, None);
        };
        let take = move || {
            let here = &places[1 - index].0;
            while here.word.load(Ordering::Acquire) == 0 {
                futex(&here.word, libc::FUTEX_WAIT, 0, timeout.as_ref());
            }
            here.word.store(0, Ordering::Relaxed);
            here.given.load(Ordering::Relaxed)
        };
        (give, take)
    })
}

fn items(turns: usize) -> Sample {
    use ring::Rings;
    type Items = ring::Named<1>;
    let rings = Items::new();
    hand_off(turns, |index| {
        let (mut tx, mut rx) = (rings.tx(index), rings.rx(1 - index));
        (move |now| Items::push(&mut tx, [now]), move || Items::pop(&mut rx)[0])
    })
}

fn records(turns: usize) -> Sample {
    use byte_ring::{Ours, Rings};
    let rings = Ours::new(8);
    hand_off(turns, |index| {
        let (mut tx, mut rx) = (rings.tx(index), rings.rx(1 - index));
        let give = move |now: u64| Ours::send(&mut tx, 8, |room| room.copy_from_slice(&now.to_ne_bytes()));
        let take = move || {
            let given = Cell::new(0);
            Ours::receive(&mut rx, 8, |record| given.set(u64::from_ne_bytes(record.try_into().expect("8 bytes"))));
            given.get()
        };
        (give, take)
    })
}

/// iceoryx2's event, which hands nothing over; the time lies beside it.
#[cfg(feature = "peers")]
fn bells(turns: usize) -> Sample {
    let bells = [Bell::new(), Bell::new()];
    let given: Shared<[AtomicU64]> = Shared::words(2);
    let given: &[AtomicU64] = &given;
    hand_off(turns, |index| {
        let (notifier, listener) = (bells[index].notifier(), bells[1 - index].listener());
        let give = move |now| {
            given[index].store(now, Ordering::SeqCst);
            notifier.ring();
        };
        let take = move || {
            listener.wait();
            given[1 - index].load(Ordering::SeqCst)
        };
        (give, take)
    })
}

const ITEMS: &str = "ringfence Spsc push/pop (processes)";
const RECORDS: &str = "ringfence ByteRing (processes)";
const BARE: &str = "limit: FUTEX_WAKE, FUTEX_WAIT (processes)";
const CAPPED: &str = "limit: the same, asleep for 100 ms at most (processes)";
#[cfg(feature = "peers")]
const ICEORYX: &str = "iceoryx2 event (processes)";

/// Runs the race.
pub fn measure(book: &mut Book) {
    let turns = if book.quick { 200 } else { 500 };
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut contestants = vec![
        contestant(ITEMS, move || items(turns)),
        contestant(RECORDS, move || records(turns)),
        contestant(BARE, move || bare(turns, None)),
        contestant(CAPPED, move || bare(turns, Some(100))),
    ];
    #[cfg(feature = "peers")]
    contestants.push(contestant(ICEORYX, move || bells(turns)));
    let mut results = book.close_race("hand-off to a sleeper", "us", contestants);
    results.against(ITEMS, &[BARE], Demand::AtMost(1.1)).against(RECORDS, &[BARE], Demand::AtMost(1.1));
    results.against(ITEMS, &[CAPPED], Demand::Shown).against(RECORDS, &[CAPPED], Demand::Shown);
    #[cfg(feature = "peers")]
    results.against(ITEMS, &[ICEORYX], Demand::Shown);
}
