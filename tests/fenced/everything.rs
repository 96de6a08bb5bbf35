//! One of everything that lies in adopted memory, for the tests that spoil it: handles, and a round of work with them. Every
//! error is a good answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use ringfence::{
    Array, Arrived, Barrier, ByteConsumer, ByteProducer, ByteRing, Channel, Condvar, CondvarError, Consumer, Error,
    Event, LockError, Mutex, OnceValue, PopError, Producer, Queue, RecvError, Reset, RwLock, Segment, Spsc, Value,
    WaitAny, WorkQueue, WorkQueueOptions,
};

pub const CAPACITY: usize = 12;
pub const RING: usize = 256;
pub const ROWS: usize = 16;

pub type Wide = [u64; 7];
/// Ends where its object does.
pub type Settled = [u64; 14];
/// A value of it ends 8 bytes before its object does: none ends with it.
pub type Long = [u64; 6];
pub type Row = [u64; 3];

/// Handles to all objects.
pub struct Handles {
    pub mutex: Mutex<Wide>,
    pub value: Value<Long>,
    pub array: Array<u32>,
    pub rows: Array<Row>,
    pub queue: Queue<Row>,
    pub channel: Channel,
    pub rwlock: RwLock<Wide>,
    pub flag: Event,
    pub bell: Event,
    pub condvar: Condvar,
    pub barrier: Barrier,
    pub once: OnceValue<Settled>,
    pub spsc: Spsc<Row>,
    /// Of the ring, if they were taken before the garbage came.
    pub ends: RefCell<Option<(Producer<Row>, Consumer<Row>)>>,
    pub bytes: ByteRing,
    pub byte_ends: RefCell<Option<(ByteProducer, ByteConsumer)>>,
    pub work: WorkQueue,
}

impl Handles {
    /// Without a shape of our own where there is a choice: what the directory says is what the handle believes.
    pub fn open(segment: &Segment) -> Result<Self, Error> {
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
    pub fn take_ends(self) -> Self {
        *self.ends.borrow_mut() = Some((self.spsc.producer().unwrap(), self.spsc.consumer().unwrap()));
        *self.byte_ends.borrow_mut() = Some((self.bytes.producer().unwrap(), self.bytes.consumer().unwrap()));
        self
    }
}

pub fn create(segment: &Segment, kind: &str) -> Result<(), Error> {
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
pub struct Tally(pub BTreeMap<String, u64>);

impl Tally {
    pub fn count<T, E: std::fmt::Debug>(&mut self, what: &'static str, result: Result<T, E>) -> Option<T> {
        // A variant's name: what it carries differs each time.
        let name = |error: &E| format!("{error:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
        *self.0.entry(result.as_ref().map_or_else(name, |_| what.to_owned())).or_default() += 1;
        result.ok()
    }

    pub fn lock<G>(&mut self, what: &'static str, result: Result<G, LockError<G>>) -> Option<G> {
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
pub enum Waits {
    Never,
    Short,
}

/// One of everything, with handles that were opened before the garbage came or after it. Every error is a good answer.
pub fn work(open: &Handles, tally: &mut Tally, waits: Waits) {
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

impl Tally {
    /// Nobody can say that nothing happened.
    pub fn expect(&self, outcomes: &[&str]) {
        for outcome in outcomes {
            assert!(self.0.keys().any(|key| key.contains(outcome)), "never {outcome}: {:?}", self.0);
        }
    }
}
