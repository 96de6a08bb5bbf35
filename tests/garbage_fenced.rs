//! Garbage in memory that lies between two pages which nobody may touch: an access of ours that leaves the segment is a
//! SIGSEGV. What lies last in the segment ends where the page behind it begins, and each kind of object is last once.
//!
//! Two ways: each word in turn takes each of the values that do most harm where a length, an offset, a capacity, an index
//! or a participant is expected; and a thread writes anything anywhere while operations run.

mod common;
#[path = "fenced/everything.rs"]
mod everything;
mod fenced;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Parts, Role, fork, kill, reap, role, until};
use everything::{CAPACITY, Handles, Tally, Waits, create, work};
use fenced::{Fenced, Random, report_signals, working_at};
use ringfence::{Array, Error, Mutex, ObjectInfo, Queue, Segment, SegmentOptions};

/// So many that the records of an event, one for each, end where it ends.
const PARTICIPANTS: u64 = 16;
const OBJECTS: u64 = 18;
const LEN: usize = 5 * 4096;
const ROUNDS: u64 = 257;
/// The participant in a lock word.
const PARTICIPANT: u32 = 0x1fff;
/// A process in a claim: its number.
const PID: u64 = (1 << 22) - 1;
/// Where the header has the sweeper's claim.
const SWEEPER: usize = 136;
/// Where the header has the lock of the directory.
const DIRECTORY_LOCK: usize = 152;

/// The objects, in the order in which they lie in the heap but that the one under test comes last. All but the array of
/// bytes in front fill what they take up, so that the last one's last byte is the segment's (of the rwlock the last word but
/// one).
const KINDS: [&str; 15] = [
    "mutex", "value", "array", "rows", "queue", "channel", "rwlock", "flag", "bell", "condvar", "barrier", "once",
    "spsc", "bytes", "work",
];

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    report_signals();
    let (last, seed) = (arguments[0].as_str(), arguments[1].parse().unwrap());
    let scene = Scene::new(last);
    match role.as_str() {
        "each-word" => scene.each_word(last),
        "any-word" => scene.any_word(seed),
        _ => panic!("no role {role}"),
    }
}

fn survives(role: &str, last: &str) {
    let seed = fenced::seed();
    println!("{role} with the {last} last: RINGFENCE_SEED={seed}");
    // Where it hangs an alarm ends it; what it was at is on stderr.
    Role::start(role, &[last, &seed.to_string()]).finish();
}

macro_rules! tests {
    ($($last:ident)*) => {$(
        mod $last {
            #[test]
            fn each_word_takes_each_value() {
                super::survives("each-word", stringify!($last));
            }

            #[test]
            fn any_word_changes_while_we_work() {
                super::survives("any-word", stringify!($last));
            }
        }
    )*};
}

tests!(mutex value array rows queue channel rwlock flag bell condvar barrier once spsc bytes work);

struct Scene {
    fenced: Fenced,
    segment: Segment,
    image: Vec<u64>,
}

impl Scene {
    fn new(last: &str) -> Self {
        let mut order = KINDS.to_vec();
        order.retain(|kind| *kind != last);
        order.push(last);
        let options = SegmentOptions::new().participants(PARTICIPANTS as u16).objects(OBJECTS as u32);
        // How much room they take; then once more, behind as many bytes as are left over.
        let trial = Segment::anonymous(&options.clone().size(LEN)).unwrap();
        order.iter().for_each(|kind| create(&trial, kind).unwrap());
        let room = |bytes: u64| bytes.next_multiple_of(128);
        let taken: u64 = trial.objects().unwrap().iter().map(|object| room(object.bytes)).sum();
        drop(trial);

        let fenced = Fenced::new(LEN);
        // SAFETY: mapped as long as this process, and used as a segment and by us, word by word.
        let segment = unsafe { Segment::format_at(fenced.base, fenced.len, &options) }.unwrap();
        drop(Mutex::create(&segment, "own", [0_u64; 7]).unwrap());
        let rest = LEN as u64 - Parts::of(PARTICIPANTS, OBJECTS).heap - room(128) - taken;
        assert!(rest >= 256);
        drop(Array::<u8>::create(&segment, "first", rest as usize - 128).unwrap());
        order.iter().for_each(|kind| create(&segment, kind).unwrap());
        let objects = segment.objects().unwrap();
        let slack = |object: &ObjectInfo| if object.kind == "value" { 8 } else { 0 };
        let fills = |object: &ObjectInfo| object.name == "first" || (object.bytes + slack(object)).is_multiple_of(128);
        assert!(objects.iter().all(fills), "{objects:?}");
        assert_eq!(objects.last().unwrap().name, last);
        assert!(matches!(Mutex::create(&segment, "more", 0_u8), Err(Error::NoSpace)), "there is room at the end");

        // A state worth spoiling: items and messages on both sides of the wrap, a place that a dead process had.
        let open = Handles::open(&segment).unwrap();
        let (mut producer, mut consumer) = (open.spsc.producer().unwrap(), open.spsc.consumer().unwrap());
        let (mut writer, mut reader) = (open.bytes.producer().unwrap(), open.bytes.consumer().unwrap());
        for round in 0..CAPACITY as u64 + 5 {
            producer.try_push([round; 3]).unwrap();
            writer.try_push(&[round as u8; 20]).unwrap();
            open.queue.try_push([round; 3]).unwrap();
            open.channel.try_send(&[round as u8; 20]).unwrap();
            open.flag.set().unwrap();
            open.bell.set().unwrap();
            let _ = open.work.try_push(&[round as u8; 20]);
            if let Ok(lease) = open.work.try_take() {
                match round % 3 {
                    0 => lease.fail().unwrap(),
                    1 => lease.keep().unwrap(),
                    _ => lease.done().unwrap(),
                }
            }
            let _ = open.work.task_done();
            if round >= 4 {
                consumer.try_pop().unwrap();
                reader.try_pop().unwrap();
                open.queue.try_pop().unwrap();
                open.channel.try_recv().unwrap();
            }
        }
        drop((producer, consumer, writer, reader));
        drop(open.rwlock.read().unwrap());
        let child = fork(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| open.condvar.wait(open.mutex.lock().unwrap()).map(drop).is_ok());
                until("the waiter", || open.condvar.waiting() == 1);
                scope.spawn(|| open.barrier.wait().is_ok());
                until("the party", || open.barrier.waiting() == 1);
                std::mem::forget((
                    open.mutex.lock(),
                    open.rwlock.read(),
                    open.barrier.register(),
                    open.spsc.producer(),
                    open.work.try_take(),
                ));
                let _ = open.once.get_or_init(|_| {
                    kill(std::process::id() as i32);
                    [0; 14]
                });
                kill(std::process::id() as i32);
            });
        });
        assert_eq!(reap(child), -libc::SIGKILL);
        drop(open);
        let image = fenced.image();
        Self { fenced, segment, image }
    }

    fn old(&self, at: usize) -> u64 {
        self.image[at / 8]
    }

    /// Everything there is, with handles from before and new ones; and now and then what changes the directory.
    fn round(&self, before: &Handles, tally: &mut Tally, waits: Waits, turn: u64) {
        work(before, tally, waits);
        if let Some(open) = tally.count("open", Handles::open(&self.segment)) {
            work(&open, tally, waits);
        }
        if turn.is_multiple_of(4) {
            let _ = tally.count("remove", self.segment.remove("own"));
            match turn / 4 % 3 {
                0 => drop(tally.count("create", Mutex::create(&self.segment, "own", [0_u64; 7]))),
                1 => drop(tally.count("create", Queue::<u8>::create(&self.segment, "own", 3))),
                _ => drop(tally.count("create", Array::<u8>::create(&self.segment, "own", 9))),
            }
            let _ = (self.segment.objects(), self.segment.participants());
            tally.count("recover", self.segment.recover());
            // SAFETY: as in `new`.
            let again = unsafe { Segment::attach_at(self.fenced.base, self.fenced.len) };
            let _ = tally.count("attach", again);
        }
        if turn % 16 == 1 {
            tally.count("shut down", before.queue.shutdown());
            before.spsc.shutdown();
            before.bytes.shutdown();
            // Waits without end for a sender that lives, which nobody here is: a forged one is overwritten, or left out.
            tally.count("shut down", before.channel.shutdown());
            tally.count("shut down", before.work.shutdown());
            work(before, tally, waits);
            self.fenced.restore(&self.image);
        }
    }

    /// Each word takes each value, and operations run; then all is as it was.
    fn each_word(&self, last: &str) {
        let parts = Parts::of(PARTICIPANTS, OBJECTS);
        let object = LEN - self.segment.objects().unwrap().last().unwrap().bytes as usize;
        // What is the same wherever the objects lie is tried once.
        // Its own entry, behind those of "own", "first" and the other kinds.
        let own = KINDS.len() + 1;
        let bytes = |(first, end): (u64, u64)| (first as usize, end as usize);
        let entry = |number: usize| bytes((parts.entries[number].0, parts.entries[number].0 + 144));
        let ranges = match last {
            // Entries in use and free; behind the name an entry has nothing.
            "mutex" => {
                let participants = parts.slots.iter().chain(&parts.bitmaps).map(|part| bytes(*part));
                let entries = [entry(0), entry(own), entry(own + 1), (object, LEN)];
                participants.chain([(0, 256)]).chain(entries).collect()
            }
            _ => vec![entry(own), (object, LEN)],
        };
        let mut tally = Tally::default();
        let before = Handles::open(&self.segment).unwrap().take_ends();
        let mut turn = 0;
        for (first, end) in ranges {
            for at in (first..end).step_by(8) {
                for value in fenced::harmful(self.old(at), LEN as u64, parts.heap) {
                    self.fenced.restore(&self.image);
                    self.fenced.store(at, value);
                    // A living holder who never lets go: for that there are time-outs, where a call has them.
                    if self.forges_a_living_holder(at) {
                        continue;
                    }
                    working_at(at, value);
                    turn += 1;
                    self.round(&before, &mut tally, Waits::Never, turn);
                }
            }
        }
        self.fenced.restore(&self.image);
        drop(before);
        println!("{last}: {turn} values: {:?}", tally.0);
        tally.expect(&["lock", "push", "pop", "send", "recv", "open", "create", "Corrupted", "rows", "flag", "bell"]);
        tally.expect(&["wait for a value", "make a value", "Failed"]);
        tally.expect(&["produce", "consume", "push one", "push many", "pop one", "pop many", "NotOwner"]);
        tally.expect(&["write one", "commit", "stream in", "peek", "stream out", "read one"]);
        tally.expect(&["read", "write", "upgradable", "upgrade", "downgrade"]);
    }

    /// Whether the word at `at` now says that somebody who lives is at what is waited for without a time-out of ours: a
    /// thread of this process with a lock, or as the sweeper a process that cannot be asked for.
    fn forges_a_living_holder(&self, at: usize) -> bool {
        let claim = self.fenced.load(SWEEPER);
        if at == SWEEPER && claim != 0 && claim & PID == 0 {
            return true;
        }
        [at, at + 4].into_iter().any(|at| {
            let word = self.fenced.load(at / 8 * 8) >> (at % 8 * 8);
            let changed = word as u32 != (self.old(at / 8 * 8) >> (at % 8 * 8)) as u32;
            let heap = Parts::of(PARTICIPANTS, OBJECTS).heap as usize;
            changed && word as u32 & PARTICIPANT == 1 && (at == DIRECTORY_LOCK || at >= heap)
        })
    }

    /// A thread writes anything anywhere, also what it finds elsewhere, and puts back what was there now and then.
    fn any_word(&self, seed: u64) {
        let mut tally = Tally::default();
        let before = Handles::open(&self.segment).unwrap().take_ends();
        let stop = AtomicBool::new(false);
        let written = AtomicU64::new(0);
        let heap = Parts::of(PARTICIPANTS, OBJECTS).heap;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut random = Random(seed);
                while !stop.load(Ordering::Relaxed) {
                    let at = random.below(LEN as u64 / 8) as usize * 8;
                    match random.below(8) {
                        0 => self.fenced.restore(&self.image),
                        1 => self.fenced.store(at, self.old(random.below(LEN as u64 / 8) as usize * 8)),
                        2 => self.fenced.store(at, random.next()),
                        3 => self.fenced.store(at, self.fenced.load(at) ^ 1 << random.below(64)),
                        _ => {
                            let values = fenced::harmful(self.fenced.load(at), LEN as u64, heap);
                            self.fenced.store(at, values[random.below(values.len() as u64) as usize]);
                        }
                    }
                    working_at(at, self.fenced.load(at));
                    written.fetch_add(1, Ordering::Relaxed);
                    // Leaves the others time to get somewhere.
                    (0..random.below(300)).for_each(|_| std::hint::spin_loop());
                }
            });
            // Also if the work panics, or the scope would wait for the writer.
            let _stop = fenced::Stop(&stop);
            for turn in 0..ROUNDS {
                self.round(&before, &mut tally, Waits::Short, turn);
                if turn % 256 == 0 {
                    // Joins, and leaves or dies in the middle.
                    let child = fork(|| {
                        let mut tally = Tally::default();
                        work(&before, &mut tally, Waits::Short);
                        let _ = self.segment.recover();
                        if turn % 512 == 0 {
                            std::mem::forget(before.mutex.lock_timeout(Duration::from_millis(1)));
                            kill(std::process::id() as i32);
                        }
                    });
                    assert!(matches!(reap(child), 0 | -9), "a forked child crashed");
                }
                // New threads register, and give back what they hold when they end.
                if turn % 64 == 0 {
                    scope.spawn(|| std::mem::forget(before.mutex.try_lock()));
                }
            }
            drop(_stop);
            writer.join().unwrap();
        });
        self.fenced.restore(&self.image);
        drop(before);
        println!("{} words written: {:?}", written.into_inner(), tally.0);
        tally.expect(&["lock", "push", "send", "open", "Corrupted"]);
    }
}
