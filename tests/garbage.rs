//! A peer writes garbage into any word of the segment while this process works: an error or a correct result, never a
//! crash, never an endless loop. (A forged living owner may block a wait without time-out, so every wait has one here.)

mod common;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::{Name, Parts, Role, role, say};
use ringfence::{Array, Channel, Error, LockError, Mutex, Queue, Segment, SegmentOptions, Value};

const PARTICIPANTS: u64 = 8;
const OBJECTS: u64 = 16;
/// How long each victim works.
const WORK: Duration = Duration::from_secs(2);
/// After this it hangs. Waits of patience inside a call may take five seconds each.
const WATCHDOG: Duration = Duration::from_secs(120);

fn options() -> SegmentOptions {
    SegmentOptions::new().size(8192).participants(PARTICIPANTS as u16).objects(OBJECTS as u32)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    match role.as_str() {
        "victim" => victim(&arguments[0]),
        _ => panic!("no role {role}"),
    }
}

/// Works with whatever the segment gives; every error is fine, a panic is not.
fn victim(name: &str) {
    let segment = Segment::open(name).unwrap();
    let held = Mutex::<[u64; 8]>::open(&segment, "held").unwrap();
    let others = Others::open(&segment);
    say("go");
    let (start, mut rounds, mut done) = (Instant::now(), 0_u64, 0_u64);
    // On a loaded machine, until something has worked.
    while start.elapsed() < WORK || done == 0 && start.elapsed() < WATCHDOG / 2 {
        rounds += 1;
        done += u64::from(lock(&held, rounds)) + others.work(rounds);
        let own = format!("own-{}", rounds % 3);
        if let Ok(mutex) = Mutex::open_or_create(&segment, &own, [rounds; 3]) {
            done += u64::from(lock(&mutex, rounds));
        }
        let _ = segment.remove(&own);
        let _ = Mutex::<u8>::create(&segment, "byte", 1).map(|mutex| lock(&mutex, 1));
        let _ = segment.remove("byte");
        let _ = (segment.participants(), segment.objects(), held.holder(), Segment::list(), held.reset());
        if rounds % 16 == 0 {
            let _ = segment.recover();
            // By another thread: registration and thread exit.
            std::thread::scope(|scope| scope.spawn(|| lock(&held, rounds)).join().unwrap());
        }
        if rounds % 32 == 0 {
            // Joining and leaving, in a process of its own.
            let child = common::fork(|| {
                let _ = lock(&held, rounds);
                let _ = segment.recover();
            });
            assert_eq!(common::reap(child), 0, "a forked child crashed");
        }
    }
    assert!(done > 0, "nothing ever worked in {rounds} rounds");
    // Leaves in peace, whatever it finds.
}

/// Objects of the other kinds.
struct Others {
    queue: Queue<[u64; 3]>,
    channel: Channel,
    value: Value<u64>,
    wide: Value<[u64; 8]>,
    array: Array<u32>,
    rows: Array<[u64; 3]>,
}

impl Others {
    fn open(segment: &Segment) -> Self {
        Self {
            queue: Queue::open_or_create(segment, "queue", 5).unwrap(),
            channel: Channel::open_or_create(segment, "channel", 256).unwrap(),
            value: Value::open_or_create(segment, "value", 0).unwrap(),
            wide: Value::open_or_create(segment, "wide", [0; 8]).unwrap(),
            array: Array::open_or_create(segment, "array", 9).unwrap(),
            rows: Array::open_or_create(segment, "rows", 4).unwrap(),
        }
    }

    /// How much worked. Nothing here takes a lock without a time-out.
    fn work(&self, round: u64) -> u64 {
        const SHORT: Duration = Duration::from_millis(1);
        let mut done = 0;
        for _ in 0..2 {
            done += u64::from(self.queue.try_push([round; 3]).is_ok());
            done += u64::from(self.queue.push_timeout([round; 3], SHORT).is_ok());
            done += u64::from(self.channel.try_send(&[7; 20]).is_ok());
            done += u64::from(self.channel.send_timeout(&[], SHORT).is_ok());
        }
        assert!(self.queue.len() <= 5 && self.channel.len() <= 256 / 8);
        done += u64::from(self.queue.try_pop().is_ok()) + u64::from(self.queue.pop_timeout(SHORT).is_ok());
        let mut items = [[0; 3]; 7];
        done += self.queue.try_push_slice(&items).unwrap_or(0) as u64;
        done += self.queue.try_pop_slice(&mut items).unwrap_or(0) as u64;
        done += self.channel.try_send_many(&[&[7; 9][..]; 3]).unwrap_or(0) as u64;
        done += u64::from(self.channel.try_send_with(20, |message| message.write_at(10, &[7; 10])).is_ok());
        done += u64::from(self.channel.try_recv_with(|message| message.to_vec()).is_ok());
        done += self.channel.try_recv_many(2).map_or(0, |messages| messages.len() as u64);
        let _ = self.channel.try_recv_into(&mut [0; 4]);
        done += u64::from(self.channel.recv_timeout(SHORT).is_ok_and(|message| message.len() <= 256));
        self.value.set(self.value.get() ^ self.value.fetch_add(1));
        let _ = (self.value.holder(), self.array.holder(), self.array.set(8, 1), self.array.fetch_add(0, 1));
        if let Some(mut guard) = had(self.wide.lock_timeout(SHORT)) {
            guard.update(|wide| wide.map(|word| !word));
            done += 1;
        }
        done + u64::from(had(self.rows.lock_timeout(SHORT)).is_some()) + u64::from(self.array.to_vec().is_ok())
    }
}

fn had<G>(result: Result<G, LockError<G>>) -> Option<G> {
    result.map_or_else(LockError::into_guard, Some)
}

fn lock<T: ringfence::Plain + Default>(mutex: &Mutex<T>, _round: u64) -> bool {
    let guard = match mutex.lock_timeout(Duration::from_millis(2)) {
        Ok(guard) => Some(guard),
        Err(LockError::OwnerDied(mut guard)) => {
            guard.make_consistent();
            Some(guard)
        }
        Err(_) => None,
    };
    guard.map(|mut guard| *guard = T::default()).is_some()
}

/// Writes garbage into random words of `first..end` while `victim` works; both ends are offsets in the file.
fn attack(what: &str, ranges: impl Fn(&Parts, u64) -> Vec<(u64, u64)>) {
    let name = Name::new(what);
    let segment = name.create(&options());
    drop(Mutex::create(&segment, "held", [0_u64; 8]).unwrap());
    drop(Others::open(&segment));
    let size = segment.size() as u64;
    let ranges = ranges(&Parts::of(PARTICIPANTS, OBJECTS), size);
    // The header that never changes is needed by whoever opens; it is checked once.
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    let mut victim = Role::start("victim", &[&name.0]);
    victim.expect("go");
    let start = Instant::now();
    let mut state = start.elapsed().as_nanos() as u64 ^ u64::from(std::process::id()) << 32 | 1;
    println!("{what}: seed {state}");
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let status = loop {
        if let Some(status) = victim.child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < WATCHDOG, "{what}: the victim hangs");
        let (first, end) = ranges[random() as usize % ranges.len()];
        let at = first + random() % ((end - first) / 4) * 4;
        let mut word = [0; 4];
        file.read_exact_at(&mut word, at).unwrap();
        let old = u32::from_ne_bytes(word);
        // Small changes do more harm than noise: most noise is refused at once.
        let new = match random() % 6 {
            0 => random() as u32,
            1 => old ^ 1 << (random() % 32),
            2 => old.wrapping_add(1),
            3 => 0,
            4 => random() as u32 % 9,
            _ => u32::MAX,
        };
        file.write_all_at(&new.to_ne_bytes(), at).unwrap();
        // Not to synchronise: leaves the victim time to get somewhere.
        std::thread::sleep(Duration::from_micros(random() % 300));
    };
    assert!(status.success(), "{what}: the victim ended with {status}");
    // We have it open ourselves, and go on with what is left.
    let _ = (segment.recover(), segment.participants(), segment.objects());
    match Segment::open(&name.0) {
        Ok(_) | Err(Error::Corrupted(_) | Error::Missing | Error::Busy) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn garbage_in_the_changing_header() {
    attack("header", |_, _| vec![(128, 256)]);
}

#[test]
fn garbage_in_the_slots() {
    attack("slots", |parts, _| parts.slots.clone());
}

#[test]
fn garbage_in_the_bitmaps() {
    attack("bitmaps", |parts, _| parts.bitmaps.clone());
}

#[test]
fn garbage_in_the_directory() {
    attack("directory", |parts, _| parts.entries.clone());
}

#[test]
fn garbage_in_the_objects() {
    attack("mutex", |parts, _| vec![(parts.heap, parts.heap + 256), (parts.heap, parts.heap + 8)]);
}

#[test]
fn garbage_in_the_other_objects() {
    attack("objects", |parts, _| vec![(parts.heap + 256, parts.heap + 3072)]);
}

#[test]
fn garbage_everywhere() {
    attack("everywhere", |parts, size| vec![(0, size), (128, 160), (256, parts.heap), (parts.heap, parts.heap + 256)]);
}
