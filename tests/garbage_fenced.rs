//! Garbage in memory that lies between two pages which nobody may touch: an access of ours that leaves the segment is a
//! SIGSEGV. What lies last in the segment ends where the page behind it begins, and each kind of object is last once.
//!
//! Two ways: each word in turn takes each of the values that do most harm where a length, an offset, a capacity, an index
//! or a participant is expected; and a thread writes anything anywhere while operations run.

mod common;
mod fenced;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Parts, Role, fork, kill, reap, role, until};
use fenced::{Fenced, Random, report_signals, working_at};
use ringfence::{
    Array, Arrived, Barrier, ByteConsumer, ByteProducer, ByteRing, Channel, Condvar, CondvarError, Consumer, Error,
    Event, LockError, Mutex, ObjectInfo, OnceValue, PopError, Producer, Queue, RecvError, Reset, RwLock, Segment,
    SegmentOptions, Spsc, Value, WaitAny, WorkQueue, WorkQueueOptions,
};

/// So many that the records of an event, one for each, end where it ends.
const PARTICIPANTS: u64 = 16;
const OBJECTS: u64 = 18;
const LEN: usize = 5 * 4096;
const CAPACITY: usize = 12;
const RING: usize = 256;
const ROWS: usize = 16;
const ROUNDS: u64 = 1000;
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

type Wide = [u64; 7];
/// Ends where its object does.
type Settled = [u64; 14];
/// A value of it ends 8 bytes before its object does: none ends with it.
type Long = [u64; 6];
type Row = [u64; 3];

/// Handles to all objects.
struct Handles {
    mutex: Mutex<Wide>,
    value: Value<Long>,
    array: Array<u32>,
    rows: Array<Row>,
    queue: Queue<Row>,
    channel: Channel,
    rwlock: RwLock<Wide>,
    flag: Event,
    bell: Event,
    condvar: Condvar,
    barrier: Barrier,
    once: OnceValue<Settled>,
    spsc: Spsc<Row>,
    /// Of the ring, if they were taken before the garbage came.
    ends: RefCell<Option<(Producer<Row>, Consumer<Row>)>>,
    bytes: ByteRing,
    byte_ends: RefCell<Option<(ByteProducer, ByteConsumer)>>,
    work: WorkQueue,
}

impl Handles {
    /// Without a shape of our own where there is a choice: what the directory says is what the handle believes.
    fn open(segment: &Segment) -> Result<Self, Error> {
        Ok(Self {
            mutex: Mutex::open(segment, "mutex")?,
            value: Value::open(segment, "value")?,
            array: Array::open(segment, "array")?,
            rows: Array::open(segment, "rows")?,
            queue: Queue::open(segment, "queue")?,
            channel: Channel::open(segment, "channel")?,
            rwlock: RwLock::open(segment, "rwlock")?,
            flag: Event::open(segment, "flag")?,
            bell: Event::open(segment, "bell")?,
            condvar: Condvar::open(segment, "condvar")?,
            barrier: Barrier::open(segment, "barrier")?,
            once: OnceValue::open(segment, "once")?,
            spsc: Spsc::open(segment, "spsc")?,
            ends: RefCell::default(),
            bytes: ByteRing::open(segment, "bytes")?,
            byte_ends: RefCell::default(),
            work: WorkQueue::open(segment, "work")?,
        })
    }

    /// The ends of the rings, for good.
    fn take_ends(self) -> Self {
        *self.ends.borrow_mut() = Some((self.spsc.producer().unwrap(), self.spsc.consumer().unwrap()));
        *self.byte_ends.borrow_mut() = Some((self.bytes.producer().unwrap(), self.bytes.consumer().unwrap()));
        self
    }
}

fn create(segment: &Segment, kind: &str) -> Result<(), Error> {
    match kind {
        "mutex" => Mutex::<Wide>::create(segment, kind, [0; 7]).map(drop),
        "value" => Value::<Long>::create(segment, kind, [0; 6]).map(drop),
        "array" => Array::<u32>::create(segment, kind, 32).map(drop),
        "rows" => Array::<Row>::create(segment, kind, ROWS).map(drop),
        "queue" => Queue::<Row>::create(segment, kind, CAPACITY).map(drop),
        "channel" => Channel::create(segment, kind, RING).map(drop),
        "rwlock" => RwLock::<Wide>::create(segment, kind, [0; 7]).map(drop),
        "flag" => Event::create(segment, kind, Reset::Manual).map(drop),
        "bell" => Event::create(segment, kind, Reset::Auto).map(drop),
        "condvar" => Condvar::create(segment, kind, 4).map(drop),
        "barrier" => Barrier::create(segment, kind, 2).map(drop),
        "once" => OnceValue::<Settled>::create(segment, kind).map(drop),
        "spsc" => Spsc::<Row>::create(segment, kind, CAPACITY).map(drop),
        "bytes" => ByteRing::create(segment, kind, RING).map(drop),
        "work" => WorkQueue::create(segment, kind, &WorkQueueOptions::new(4, 40).max_deliveries(3)).map(drop),
        _ => unreachable!("{kind}"),
    }
}

/// How often what came out.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count<T, E: std::fmt::Debug>(&mut self, what: &'static str, result: Result<T, E>) -> Option<T> {
        // A variant's name: what it carries differs each time.
        let name = |error: &E| format!("{error:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
        *self.0.entry(result.as_ref().map_or_else(name, |_| what.to_owned())).or_default() += 1;
        result.ok()
    }

    fn lock<G>(&mut self, what: &'static str, result: Result<G, LockError<G>>) -> Option<G> {
        let guard = match result {
            Ok(guard) => Ok(guard),
            Err(LockError::OwnerDied(guard)) => Ok(guard),
            Err(error) => Err(error.to_string()),
        };
        self.count(what, guard)
    }
}

/// Whether waits are allowed: while somebody keeps writing none of them lasts.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Never,
    Short,
}

/// One of everything, with handles that were opened before the garbage came or after it. Every error is a good answer.
fn work(open: &Handles, tally: &mut Tally, waits: Waits) {
    let short = match waits {
        Waits::Never => Duration::ZERO,
        Waits::Short => Duration::from_millis(1),
    };
    if let Some(mut guard) = tally.lock("lock", open.mutex.lock_timeout(short)) {
        guard[6] ^= 1;
        guard.commit();
        guard.make_consistent();
    }
    if let Some(guard) = tally.lock("lock", open.mutex.lock_timeout(short)) {
        assert!(open.condvar.waiting() <= open.condvar.capacity());
        tally.count("notify", open.condvar.notify(&guard, 2));
        tally.count("notify", open.condvar.notify_all(&guard));
        let (why, guard) = match open.condvar.wait_timeout(guard, short) {
            Ok(guard) => ("Ok", Some(guard)),
            Err(CondvarError::TimedOut(guard)) => ("TimedOut", Some(guard)),
            Err(CondvarError::OwnerDied(guard, _)) => ("OwnerDied", Some(guard)),
            Err(error) => ("Refused", error.into_guard()),
        };
        tally.count::<(), _>("wait", Err(why));
        let _ = guard.map(|mut guard| guard.make_consistent());
    }
    let barrier = &open.barrier;
    let registered = tally.count("register", barrier.register());
    assert!(barrier.waiting() <= barrier.parties());
    tally.count("barrier", barrier.wait_timeout(short));
    tally.count("reset", barrier.reset());
    if let Some(Arrived::Last(leader)) = tally.count("barrier", barrier.arrive_timeout(short)) {
        tally.count("release", leader.release());
    }
    tally.count("abort", barrier.abort());
    drop(registered);
    tally.count("reset", barrier.reset());
    let _ = (open.mutex.holder(), open.mutex.reset());
    if let Some(guard) = tally.lock("read", open.rwlock.read_timeout(short)) {
        tally.lock("read twice", open.rwlock.read_timeout(short));
        tally.lock("write", open.rwlock.try_write());
        drop(guard);
    }
    if let Some(mut guard) = tally.lock("write", open.rwlock.write_timeout(short)) {
        tally.lock("read", open.rwlock.read_timeout(short));
        guard[6] ^= 1;
        guard.make_consistent();
        let _ = tally.count("downgrade", guard.downgrade());
    }
    if let Some(guard) = tally.lock("upgradable", open.rwlock.upgradable_read_timeout(short))
        && let Some(guard) = tally.count("upgrade", guard.upgrade_timeout(short))
    {
        let _ = tally.count("downgrade", guard.downgrade_to_upgradable());
    }
    let _ = (open.rwlock.holder(), open.rwlock.reset());
    tally.count("get", open.value.read());
    tally.count("set", open.value.write([7; 6]));
    if let Some(mut guard) = tally.lock("lock a value", open.value.lock_timeout(short)) {
        guard.update(|wide| wide.map(|word| !word));
        let _ = tally.lock("lock a value twice", open.value.lock_timeout(short));
    }
    let _ = (open.value.holder(), open.array.holder());
    tally.count("element", open.array.set(open.array.len() - 1, 7));
    let _ = (open.array.get(open.array.len() - 1), open.array.fetch_add(0, 1), open.array.compare_exchange(1, 0, 1));
    let _ = tally.count("elements", open.array.to_vec()).map(|all| assert_eq!(all.len(), open.array.len()));
    tally.count("fill", open.array.fill(1));
    tally.lock("lock an array", open.array.lock_timeout(short));
    let last_row = open.rows.len() - 1;
    let mut row = [[0; 3]];
    tally.count("read rows", open.rows.read(last_row, &mut row));
    tally.count("write rows", open.rows.write(last_row, &row));
    tally.lock("lock rows", open.rows.lock_timeout(short));

    for item in [[1; 3], [2; 3]] {
        match open.queue.push_timeout(item, short) {
            Ok(()) => drop(tally.count::<_, Error>("push", Ok(()))),
            Err(error) => drop(tally.count::<(), _>("push", Err(error))),
        }
    }
    assert!(open.queue.len() <= open.queue.capacity());
    let popped = tally.count("pop", open.queue.pop_timeout(short));
    let _ = (popped, tally.count::<_, PopError>("pop", open.queue.try_pop()));

    let max = open.channel.max_message();
    for len in [0, 20, max] {
        tally.count("send", open.channel.send_timeout(&[7; 4096][..len.min(4096)], short));
    }
    // Too long, or whatever else is wrong at this moment.
    assert!(open.channel.try_send(&vec![0; max + 1]).is_err(), "a message longer than the longest");
    assert!(open.channel.len() <= open.channel.capacity() / 8);
    // A buffer too short, one that takes any message, and one that would take more than any.
    for size in [3, max, max + 4096] {
        let mut buffer = vec![0x5a; size];
        match open.channel.recv_into_timeout(&mut buffer, short) {
            Ok(len) => {
                assert!(len <= max, "a message of {len} bytes, and the longest has {max}");
                assert!(buffer[len..].iter().all(|byte| *byte == 0x5a), "written behind the message");
                tally.count::<_, RecvError>("recv", Ok(()));
            }
            Err(RecvError::BufferTooShort { needed }) => {
                assert!(size < needed && needed <= max, "{needed} bytes needed, and the longest has {max}");
                tally.count::<(), _>("recv", Err(RecvError::BufferTooShort { needed }));
            }
            Err(error) => drop(tally.count::<(), _>("recv", Err(error))),
        }
    }
    let _ = tally.count("recv", open.channel.recv_timeout(short)).map(|message| assert!(message.len() <= max));
    let _ = (open.queue.is_shut_down(), open.channel.is_shut_down());
    for (event, what) in [(&open.flag, "flag"), (&open.bell, "bell")] {
        tally.count("set", event.set());
        tally.count("ask", event.is_set());
        tally.count(what, event.wait_timeout(short));
        tally.count("clear", event.clear());
        tally.count(what, event.wait_timeout(short));
    }

    work_queue(&open.work, tally, short);

    let _ = (open.once.get(), open.once.holder());
    tally.count("wait for a value", open.once.wait_timeout(short));
    for made in [Err(()), Ok([7; 14])] {
        tally.count("make a value", open.once.get_or_try_init_timeout(short, |_| made));
    }
    tally.count("wait for a value", open.once.wait_timeout(short));

    let ring = &open.spsc;
    assert!(ring.len() <= ring.capacity());
    let _ = (ring.has_producer(), ring.has_consumer(), ring.is_shut_down());
    match &mut *open.ends.borrow_mut() {
        Some((producer, consumer)) => {
            produce(producer, tally, short);
            consume(consumer, tally, short);
        }
        None => {
            tally.count("produce", ring.producer()).into_iter().for_each(|mut end| produce(&mut end, tally, short));
            tally.count("consume", ring.consumer()).into_iter().for_each(|mut end| consume(&mut end, tally, short));
        }
    }

    let bytes = &open.bytes;
    assert!(bytes.used() <= bytes.capacity());
    let _ = (bytes.has_producer(), bytes.has_consumer(), bytes.is_shut_down());
    match &mut *open.byte_ends.borrow_mut() {
        Some((producer, consumer)) => {
            write_records(producer, tally, short);
            read_records(consumer, tally, short);
        }
        None => {
            tally
                .count("produce", bytes.producer())
                .into_iter()
                .for_each(|mut end| write_records(&mut end, tally, short));
            tally
                .count("consume", bytes.consumer())
                .into_iter()
                .for_each(|mut end| read_records(&mut end, tally, short));
        }
    }

    let (queue, channel) = (&open.queue, &open.channel);
    let items = [
        open.mutex.unlocked(),
        open.flag.occurred(),
        open.bell.occurred(),
        queue.readable(),
        queue.writable(),
        channel.readable(),
        channel.writable(max / 2),
        open.once.completed(),
        ring.readable(),
        ring.writable(),
        bytes.readable(),
        bytes.writable(20),
        open.work.readable(),
        open.work.writable(),
        open.work.finished(),
    ];
    let ready = tally.count("wait", WaitAny::new(items).unwrap().wait_timeout(short));
    assert!(ready.is_none_or(|ready| ready.bits() != 0 && ready.bits() >> 15 == 0));
}

fn produce(producer: &mut Producer<Row>, tally: &mut Tally, short: Duration) {
    for item in [[1; 3], [2; 3]] {
        tally.count("push one", producer.push_timeout(item, short));
    }
    let pushed = tally.count("push many", producer.push_slice_timeout(&[[3; 3]; CAPACITY + 2], short));
    assert!(pushed.is_none_or(|pushed| (1..=CAPACITY).contains(&pushed)));
}

fn consume(consumer: &mut Consumer<Row>, tally: &mut Tally, short: Duration) {
    tally.count("pop one", consumer.pop_timeout(short));
    let popped = tally.count("pop many", consumer.pop_slice_timeout(&mut [[0; 3]; CAPACITY + 2], short));
    assert!(popped.is_none_or(|popped| (1..=CAPACITY).contains(&popped)));
    tally.count("pop one", consumer.pop_timeout(short));
}

fn write_records(producer: &mut ByteProducer, tally: &mut Tally, short: Duration) {
    for len in [0, 20, producer.max_record()] {
        tally.count("write one", producer.push_timeout(&[7; RING][..len.min(RING)], short));
    }
    assert!(producer.try_push(&vec![0; producer.max_record() + 1]).is_err(), "a record longer than the longest");
    match producer.reserve_timeout(50.min(producer.max_record()), short) {
        Ok(mut room) => {
            let len = room.len();
            room.write_at(0, &[9; 50][..len]);
            // SAFETY: what others write there meanwhile is garbage, and bytes may have any value.
            unsafe { room.as_mut_ptr().add(len.saturating_sub(1)).write_volatile(1) };
            tally.count("commit", room.commit(len));
        }
        Err(error) => drop(tally.count::<(), _>("commit", Err(error))),
    }
    let written = tally.count("stream in", producer.write_some_timeout(&[5; RING], short));
    assert!(written.is_none_or(|written| (1..=RING).contains(&written)));
}

fn read_records(consumer: &mut ByteConsumer, tally: &mut Tally, short: Duration) {
    let max = consumer.capacity();
    match consumer.peek_timeout(short) {
        Ok(record) => {
            assert!(record.len() <= max);
            let bytes = record.to_vec();
            if !bytes.is_empty() {
                // SAFETY: mapped memory, whatever is in it.
                let _ = unsafe { record.as_ptr().add(bytes.len() - 1).read_volatile() };
            }
            record.release();
            tally.count::<_, Error>("peek", Ok(()));
        }
        Err(error) => drop(tally.count::<(), _>("peek", Err(error))),
    }
    let mut buffer = [0x5a; 40];
    let read = tally.count("stream out", consumer.read_some_timeout(&mut buffer[..9], short));
    assert!(read.is_none_or(|read| (1..=9).contains(&read)) && buffer[9..].iter().all(|byte| *byte == 0x5a));
    tally.count("read one", consumer.pop_into_timeout(&mut buffer, short));
    let _ = tally.count("read one", consumer.pop_timeout(short)).map(|record| assert!(record.len() <= max));
}

/// Messages that are pushed, taken, read, and ended in each way.
fn work_queue(queue: &WorkQueue, tally: &mut Tally, short: Duration) {
    let max = queue.max_message();
    for len in [0, 20, max] {
        tally.count("push work", queue.push_timeout(&vec![7; len], short));
    }
    assert!(queue.try_push(&vec![0; max + 1]).is_err(), "a message longer than the longest");
    for turn in 0..4 {
        let Some(lease) = tally.count("take", queue.take_timeout(short)) else { continue };
        let mut buffer = vec![0x5a; max + 4096];
        if let Some(len) = tally.count("read", lease.read_into(&mut buffer)) {
            assert!(len <= max, "a message of {len} bytes, and the longest has {max}");
            assert!(buffer[len..].iter().all(|byte| *byte == 0x5a), "written behind the message");
        }
        let _ = (tally.count("read", lease.read()), tally.count("read", lease.get::<[u64; 5]>()));
        match turn {
            0 => drop(tally.count("fail", lease.fail())),
            1 => drop(tally.count("keep", lease.keep())),
            _ => drop(tally.count("done", lease.done())),
        }
    }
    tally.count("done", queue.task_done());
    tally.count("join", queue.join_timeout(short));
    if let Some(letter) = tally.count("dead letter", queue.take_dead_letter()) {
        tally.count("done", letter.done());
    }
    assert!(queue.unfinished() <= queue.capacity() && queue.dead_letters() <= queue.capacity());
    let _ = (queue.len(), queue.is_shut_down());
}

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
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&stop);
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

impl Tally {
    /// Nobody can say that nothing happened.
    fn expect(&self, outcomes: &[&str]) {
        for outcome in outcomes {
            assert!(self.0.keys().any(|key| key.contains(outcome)), "never {outcome}: {:?}", self.0);
        }
    }
}
