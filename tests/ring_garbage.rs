//! Garbage in a broadcast and in a blackboard that end where a page begins which nobody may touch: an access that leaves them is a
//! SIGSEGV. Each word in turn takes each of the values that do most harm, and a thread writes anything anywhere while operations
//! run. Every error is a good answer; a crash, a panic and a call that does not end are none.

mod common;
mod fenced;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Parts, Role, fork, kill, reap, role};
use fenced::{Fenced, Random, report_signals, working_at};
use ringfence::{
    Array, Blackboard, BlackboardReadError, Broadcast, BroadcastOptions, BroadcastRecvError, BroadcastSendError,
    Segment, SegmentOptions, WaitAny,
};

const PARTICIPANTS: u64 = 4;
const OBJECTS: u64 = 2;
const LEN: usize = 2 * 4096;
const ROUNDS: u64 = 3000;
/// A slot of 32 bytes, so that a number of them fills the object to its end.
type Row = [u64; 3];
/// Four slots of 32 words.
type Wide = [u64; 31];
/// Room for the longest in two words: slots of 32 bytes, too.
const LONGEST: usize = 16;
/// Slots of a broadcast.
const SLOTS: usize = 4;

const KINDS: [&str; 4] = ["overwriting", "waiting", "bytes", "board"];

fn options(kind: &str) -> BroadcastOptions {
    let readers = if kind == "overwriting" { 0 } else { 3 };
    BroadcastOptions::new(SLOTS - 1).back_pressure(readers)
}

fn create(segment: &Segment, kind: &str) {
    match kind {
        "board" => drop(Blackboard::<Wide>::create(segment, "last").unwrap()),
        "bytes" => drop(Broadcast::create_bytes(segment, "last", LONGEST, options(kind)).unwrap()),
        _ => drop(Broadcast::<Row>::create(segment, "last", options(kind)).unwrap()),
    }
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    report_signals();
    let (kind, seed) = (arguments[0].as_str(), arguments[1].parse().unwrap());
    let scene = Scene::new(kind);
    match role.as_str() {
        "each-word" => scene.each_word(),
        "any-word" => scene.any_word(seed),
        _ => panic!("no role {role}"),
    }
}

fn survives(role: &str) {
    let seed = fenced::seed();
    for kind in KINDS {
        println!("{role}, {kind}: RINGFENCE_SEED={seed}");
        // Where it hangs an alarm ends it; what it was at is on stderr.
        Role::start(role, &[kind, &seed.to_string()]).finish();
    }
}

#[test]
fn each_word_takes_each_value() {
    survives("each-word");
}

#[test]
fn any_word_changes_while_we_work() {
    survives("any-word");
}

struct Scene {
    fenced: Fenced,
    segment: Segment,
    kind: String,
    image: Vec<u64>,
    turns: AtomicU64,
}

impl Scene {
    fn new(kind: &str) -> Self {
        let options = SegmentOptions::new().participants(PARTICIPANTS as u16).objects(OBJECTS as u32);
        let trial = Segment::anonymous(&options.clone().size(LEN)).unwrap();
        create(&trial, kind);
        let taken = trial.objects().unwrap()[0].bytes;
        assert!(taken.is_multiple_of(128), "{taken}");
        let fenced = Fenced::new(LEN);
        // SAFETY: mapped as long as this process, and used as a segment and by us, word by word.
        let segment = unsafe { Segment::format_at(fenced.base, fenced.len, &options) }.unwrap();
        let rest = LEN as u64 - Parts::of(PARTICIPANTS, OBJECTS).heap - taken;
        drop(Array::<u8>::create(&segment, "first", rest as usize - 128).unwrap());
        create(&segment, kind);
        // A dead process has the writer's place and a cursor.
        let child = fork(|| {
            match kind {
                "board" => {
                    let board = Blackboard::<Wide>::open(&segment, "last").unwrap();
                    let writer = board.writer().unwrap();
                    (0..7).for_each(|number| assert_eq!(writer.write([number; 31]), Ok(number + 1)));
                    std::mem::forget(writer);
                }
                "bytes" => {
                    let broadcast = Broadcast::open_bytes(&segment, "last").unwrap();
                    let (writer, reader) = (broadcast.writer().unwrap(), broadcast.reader().unwrap());
                    while writer.try_send(&[5; 9]).is_ok() {}
                    std::mem::forget((writer, reader));
                }
                _ => {
                    let broadcast = Broadcast::<Row>::open(&segment, "last").unwrap();
                    let (writer, reader) = (broadcast.writer().unwrap(), broadcast.reader().unwrap());
                    // As many as there is room for, or two rounds.
                    let _ = (0..7).map(|number| writer.try_send([number; 3])).filter(Result::is_ok).count();
                    std::mem::forget((writer, reader));
                }
            }
            kill(std::process::id() as i32);
        });
        assert_eq!(reap(child), -libc::SIGKILL);
        let image = fenced.image();
        Self { fenced, segment, kind: kind.to_owned(), image, turns: AtomicU64::new(0) }
    }

    /// One of everything; `spoil` once there are a writer and a reader. How much worked, and how much was told to be corrupted.
    fn round(&self, spoil: impl Fn(), short: Duration) -> [u64; 2] {
        match self.kind.as_str() {
            "board" => self.round_of_board(spoil, short),
            "bytes" => self.round_of_bytes(spoil, short),
            _ => self.round_of_rows(spoil, short),
        }
    }

    /// Now and then: it asks the system who lives.
    fn recovers(&self) -> bool {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        turn.is_multiple_of(4) && self.segment.recover().is_ok()
    }

    fn round_of_rows(&self, spoil: impl Fn(), short: Duration) -> [u64; 2] {
        let mut tally = [0, 0];
        let Ok(before) = Broadcast::<Row>::open(&self.segment, "last") else { return tally };
        let (writer, reader) = (before.writer(), before.reader());
        spoil();
        for opened in [Some(&before), Broadcast::<Row>::open(&self.segment, "last").ok().as_ref()].into_iter().flatten()
        {
            let (second, oldest) = (opened.writer(), opened.reader_from_oldest());
            for writer in [&writer, &second].into_iter().flatten() {
                for number in 0..3 {
                    let sent = writer.send_timeout([number; 3], short);
                    tally[0] += u64::from(sent.is_ok());
                    tally[1] += u64::from(sent == Err(BroadcastSendError::Corrupted));
                }
                let _ = WaitAny::new([writer.writable()]).unwrap().wait_timeout(short);
            }
            for reader in [&reader, &oldest].into_iter().flatten() {
                let _ = WaitAny::new([reader.readable()]).unwrap().wait_timeout(short);
                for _ in 0..4 {
                    let got = reader.recv_timeout(short);
                    tally[0] += u64::from(got.is_ok());
                    tally[1] += u64::from(got == Err(BroadcastRecvError::Corrupted));
                }
            }
            let _ = (self.recovers(), opened.is_shut_down(), opened.shutdown());
            if let Ok(reader) = &reader {
                tally[0] += (0..4).map(|_| u64::from(reader.recv_timeout(short).is_ok())).sum::<u64>();
            }
        }
        tally
    }

    fn round_of_bytes(&self, spoil: impl Fn(), short: Duration) -> [u64; 2] {
        let mut tally = [0, 0];
        let Ok(before) = Broadcast::open_bytes(&self.segment, "last") else { return tally };
        let (writer, reader) = (before.writer(), before.reader_from_oldest());
        spoil();
        for opened in [Some(&before), Broadcast::open_bytes(&self.segment, "last").ok().as_ref()].into_iter().flatten()
        {
            for writer in [&writer, &opened.writer()].into_iter().flatten() {
                for len in [0, 7, LONGEST, LONGEST + 1] {
                    tally[0] += u64::from(writer.send_timeout(&vec![1; len], short).is_ok());
                }
            }
            for reader in [&reader, &opened.reader_from_oldest()].into_iter().flatten() {
                for room in [0, 9, LONGEST, LONGEST, LONGEST + 5] {
                    match reader.recv_into_timeout(&mut vec![0; room], short) {
                        Ok(len) => {
                            assert!(len <= room && len <= opened.longest().max(LONGEST));
                            tally[0] += 1;
                        }
                        Err(error) => tally[1] += u64::from(error == BroadcastRecvError::Corrupted),
                    }
                }
                if let Ok(record) = reader.recv_timeout(short) {
                    assert!(record.len() <= opened.longest().max(LONGEST));
                }
            }
            let _ = (self.recovers(), opened.shutdown());
        }
        tally
    }

    fn round_of_board(&self, spoil: impl Fn(), short: Duration) -> [u64; 2] {
        let mut tally = [0, 0];
        let Ok(before) = Blackboard::<Wide>::open(&self.segment, "last") else { return tally };
        let writer = before.writer();
        spoil();
        for opened in
            [Some(&before), Blackboard::<Wide>::open(&self.segment, "last").ok().as_ref()].into_iter().flatten()
        {
            for writer in [&writer, &opened.writer()].into_iter().flatten() {
                tally[0] += u64::from(writer.write([5; 31]).is_ok());
            }
            for read in [opened.read(), opened.wait_newer_timeout(0, short), opened.wait_newer_timeout(9, short)] {
                tally[0] += u64::from(read.is_ok());
                tally[1] += u64::from(read == Err(BlackboardReadError::Corrupted));
            }
            let _ = WaitAny::new([opened.newer(3)]).unwrap().wait_timeout(short);
            let _ = (self.recovers(), opened.shutdown(), opened.read());
        }
        tally
    }

    /// Each word of the object and of its entry takes each value, and operations run; then all is as it was.
    fn each_word(&self) {
        let parts = Parts::of(PARTICIPANTS, OBJECTS);
        let object = LEN - self.segment.objects().unwrap().last().unwrap().bytes as usize;
        let entry = parts.entries[1].0 as usize;
        let (mut worked, mut corrupted) = (0, 0);
        // Header and cursors; of each slot, the stamp and one word more.
        let slots = LEN - if self.kind == "board" { 4 * 256 } else { SLOTS * 32 };
        let stride = (LEN - slots) / 4;
        let words = (slots..LEN).step_by(stride).flat_map(|slot| [slot, slot + 8]);
        for at in (entry..entry + 144).step_by(8).chain((object..slots).step_by(8)).chain(words) {
            // What nobody reads.
            if at >= object && at < slots && self.image[at / 8] == 0 && (at - object) % 128 >= 48 {
                continue;
            }
            for value in fenced::harmful(self.image[at / 8], LEN as u64, parts.heap) {
                self.fenced.restore(&self.image);
                working_at(at, value);
                let [more, told] = self.round(|| self.fenced.store(at, value), Duration::ZERO);
                worked += more;
                corrupted += told;
            }
        }
        self.fenced.restore(&self.image);
        assert!(worked > 500 && (corrupted > 10 || self.kind == "board"), "{worked} worked, {corrupted} told");
        // What is whole again is so for all.
        // SAFETY: as in `new`.
        drop(unsafe { Segment::attach_at(self.fenced.base, self.fenced.len) }.unwrap());
    }

    /// A thread writes anything anywhere in the object.
    fn any_word(&self, seed: u64) {
        let object = LEN - self.segment.objects().unwrap().last().unwrap().bytes as usize;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(seed);
                while !over.load(Ordering::Relaxed) {
                    let at = object + random.below((LEN - object) as u64 / 8) as usize * 8;
                    let old = self.fenced.load(at);
                    let value = match random.below(5) {
                        0 => random.next(),
                        1 => old ^ 1 << random.below(64),
                        2 => old.wrapping_add(2),
                        3 => self.image[at / 8],
                        _ => random.below(64),
                    };
                    working_at(at, value);
                    self.fenced.store(at, value);
                    (0..random.below(400)).for_each(|_| std::hint::spin_loop());
                }
            });
            let mut worked = 0;
            for turn in 0..ROUNDS {
                let short = if turn % 8 == 0 { Duration::from_micros(200) } else { Duration::ZERO };
                worked += self.round(|| (), short)[0];
                if turn % 4 == 0 {
                    (object..LEN).step_by(8).for_each(|at| self.fenced.store(at, self.image[at / 8]));
                }
            }
            over.store(true, Ordering::Relaxed);
            assert!(worked > 100, "{worked} worked");
        });
    }
}
