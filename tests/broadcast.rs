//! The broadcast between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, sleep_for_ever, state_of, unsafe_copy, until};
use ringfence::{
    Broadcast, BroadcastOptions, BroadcastReader, BroadcastRecvError, BroadcastSendError, Error, ReaderError, Segment,
    SegmentOptions, Value, WaitAny, WaitError, WriterError,
};

/// Long enough for somebody else to do something, if it ever does.
const SHORT: Duration = Duration::from_millis(30);

/// A record whose words all tell which it is.
type Record = [u64; 5];

fn record(number: u64) -> Record {
    std::array::from_fn(|place| number.wrapping_mul(place as u64 + 1))
}

/// The number of a record that is whole.
fn whole(got: Record) -> u64 {
    assert_eq!(got, record(got[0]), "torn");
    got[0]
}

fn overwriting(capacity: usize) -> BroadcastOptions {
    BroadcastOptions::new(capacity)
}

fn waiting(capacity: usize, readers: usize) -> BroadcastOptions {
    BroadcastOptions::new(capacity).back_pressure(readers)
}

struct Scene {
    name: Name,
    segment: Segment,
    broadcast: Broadcast<Record>,
}

impl Scene {
    fn new(what: &str, options: BroadcastOptions) -> Self {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new());
        let broadcast = Broadcast::create(&segment, "b", options).unwrap();
        Self { name, segment, broadcast }
    }

    fn start(&self, role: &str) -> Role {
        let mut started = Role::start(role, &[&self.name.0]);
        started.expect("ready");
        started
    }
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let broadcast = Broadcast::<Record>::open(&segment, "b").unwrap();
    match role.as_str() {
        // Has the writer's place, and does nothing with it.
        "holder" => {
            let _writer = broadcast.writer().unwrap();
            say("ready");
            sleep_for_ever();
        }
        // Is a reader, and reads what it is told to.
        "reader" => {
            let reader = broadcast.reader().unwrap();
            say("ready");
            loop {
                hear();
                say(&match reader.recv() {
                    Ok(got) => format!("number {}", whole(got)),
                    Err(error) => format!("{error:?}"),
                });
            }
        }
        // Sends number after number, from the one behind the last that has returned, and counts them.
        "sender" => {
            let sent = Value::<u64>::open(&segment, "sent").unwrap();
            let writer = broadcast.writer().unwrap();
            say("ready");
            loop {
                let next = sent.get() + 1;
                writer.send(record(next)).unwrap();
                sent.set(next);
            }
        }
        // Reads for ever, in order.
        "listener" => {
            let reader = broadcast.reader().unwrap();
            let got = Value::<u64>::open(&segment, "got").unwrap();
            let loses = broadcast.max_readers() == 0;
            say("ready");
            let mut order = Order::new(loses);
            while order.take(&reader) {
                got.fetch_add(1);
            }
        }
        _ => panic!("no role {role}"),
    }
}

/// Numbers come in order. After a sender's death its last one may come twice: it was there, but its send had not returned.
struct Order {
    last: Option<u64>,
    loses: bool,
    missed: u64,
}

impl Order {
    fn new(loses: bool) -> Self {
        Self { last: None, loses, missed: 0 }
    }

    /// Receives one; `false` at the end.
    fn take(&mut self, reader: &BroadcastReader<Record>) -> bool {
        match reader.recv() {
            Ok(got) => {
                let number = whole(got);
                if let Some(last) = self.last {
                    let least = last + self.missed;
                    // Each dead sender may have repeated one of those that were missed.
                    assert!(number >= last && number <= least + 1, "{number} after {last}, {} missed", self.missed);
                }
                self.last = Some(number);
                self.missed = 0;
                true
            }
            Err(BroadcastRecvError::Missed(records)) => {
                assert!(self.loses && records > 0, "lost");
                self.missed += records;
                true
            }
            Err(BroadcastRecvError::Closed) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

// semantics 127
#[test]
fn every_reader_gets_every_record_in_order() {
    for options in [overwriting(8), waiting(8, 3)] {
        let scene = Scene::new("all", options);
        assert_eq!(scene.broadcast.capacity(), 8);
        let mut theirs = [(); 2].map(|()| scene.start("reader"));
        let ours = scene.broadcast.reader().unwrap();
        let writer = scene.broadcast.writer().unwrap();
        for number in 1..=8 {
            writer.try_send(record(number)).unwrap();
        }
        for number in 1..=8 {
            assert_eq!(ours.recv().map(whole), Ok(number));
            for reader in &mut theirs {
                reader.tell("go on");
                assert_eq!(reader.number("number "), number as i32);
            }
        }
        assert_eq!(ours.try_recv(), Err(BroadcastRecvError::Empty));
        // From here on, or from what is there.
        let next = scene.broadcast.reader();
        if scene.broadcast.max_readers() == 0 {
            let old = scene.broadcast.reader_from_oldest().unwrap();
            assert_eq!(next.as_ref().unwrap().try_recv(), Err(BroadcastRecvError::Empty));
            assert!((1..=8).all(|number| old.try_recv().map(whole) == Ok(number)));
        } else {
            assert_eq!(next.unwrap_err(), ReaderError::TooMany);
            drop(ours);
            assert_eq!(scene.broadcast.reader().unwrap().try_recv(), Err(BroadcastRecvError::Empty));
        }
    }
}

// semantics 128
#[test]
fn a_reader_that_is_lapped_learns_how_many_it_missed() {
    for capacity in [1, 2, 3, 7] {
        let scene = Scene::new("lapped", overwriting(capacity));
        let (writer, reader) = (scene.broadcast.writer().unwrap(), scene.broadcast.reader().unwrap());
        let mut sent = 0;
        for more in 0..3 * capacity as u64 + 3 {
            (0..more).for_each(|number| writer.send(record(sent + number)).unwrap());
            let lost = more.saturating_sub(capacity as u64);
            // Of one more than the capacity, the oldest may still be there: until another send begins.
            let first = reader.try_recv();
            let mut next = sent;
            match first {
                Err(BroadcastRecvError::Missed(missed)) => {
                    assert_eq!(missed, lost);
                    next += missed;
                }
                Err(error) => assert_eq!((error, more), (BroadcastRecvError::Empty, 0)),
                Ok(got) => {
                    assert!(lost <= 1);
                    assert_eq!(whole(got), next);
                    next += 1;
                }
            }
            sent += more;
            for number in next..sent {
                assert_eq!(reader.try_recv().map(whole), Ok(number));
            }
            assert_eq!(reader.try_recv(), Err(BroadcastRecvError::Empty));
        }
    }
}

// semantics 129
#[test]
fn with_back_pressure_the_writer_waits_for_the_slowest_reader() {
    for capacity in [1, 2, 5] {
        let scene = Scene::new("slow", waiting(capacity, 4));
        let writer = scene.broadcast.writer().unwrap();
        // Without readers it waits for nobody.
        (0..20).for_each(|number| writer.try_send(record(number)).unwrap());
        let (slow, fast) = (scene.broadcast.reader().unwrap(), scene.broadcast.reader().unwrap());
        for number in 0..capacity as u64 {
            writer.try_send(record(number)).unwrap();
            assert_eq!(fast.try_recv().map(whole), Ok(number));
        }
        assert_eq!(writer.try_send(record(9)), Err(BroadcastSendError::Full));
        assert_eq!(writer.send_timeout(record(9), SHORT), Err(BroadcastSendError::TimedOut));
        assert_eq!(writer.send_deadline(record(9), Instant::now()), Err(BroadcastSendError::TimedOut));
        assert_eq!(slow.try_recv().map(whole), Ok(0));
        writer.try_send(record(capacity as u64)).unwrap();
        drop(fast);
        std::thread::scope(|scope| {
            let blocked = scope.spawn(move || writer.send(record(capacity as u64 + 1)).map(|()| writer));
            let reading = (1..=capacity as u64 + 1).map(|number| (slow.recv().map(whole), Ok(number)));
            reading.for_each(|(got, number)| assert_eq!(got, number));
            drop(blocked.join().unwrap().unwrap());
        });
    }
}

// semantics 130
#[test]
fn a_reader_that_leaves_or_dies_holds_nobody_up_and_one_that_is_stopped_does() {
    let scene = Scene::new("gone", waiting(2, 2));
    let writer = scene.broadcast.writer().unwrap();
    for round in 0..6 {
        let theirs = scene.start("reader");
        let ours = scene.broadcast.reader().unwrap();
        assert_eq!(scene.broadcast.reader().unwrap_err(), ReaderError::TooMany);
        writer.send(record(0)).unwrap();
        writer.send(record(1)).unwrap();
        assert_eq!(ours.recv().map(whole), Ok(0));
        theirs.signal(libc::SIGSTOP);
        until("it stands", || state_of(theirs.pid()) == Some('T'));
        assert_eq!(writer.send_timeout(record(2), SHORT), Err(BroadcastSendError::TimedOut), "stopped is not dead");
        if round % 2 == 0 {
            theirs.kill();
            writer.send_timeout(record(2), PATIENCE).unwrap();
        } else {
            // While the writer sleeps.
            std::thread::scope(|scope| {
                let blocked = scope.spawn(|| theirs.kill());
                writer.send_timeout(record(2), PATIENCE).unwrap();
                blocked.join().unwrap();
            });
        }
        assert_eq!(writer.try_send(record(3)), Err(BroadcastSendError::Full), "ours lives");
        drop(ours);
        writer.try_send(record(3)).unwrap();
    }
}

// semantics 131
#[test]
fn there_is_one_writer_and_the_next_goes_on() {
    for options in [overwriting(4), waiting(4, 2)] {
        let scene = Scene::new("writers", options);
        let reader = scene.broadcast.reader().unwrap();
        let writer = scene.broadcast.writer().unwrap();
        let taken = Err(WriterError::Taken { pid: Some(std::process::id()) });
        assert_eq!(scene.broadcast.writer().map(drop), taken);
        writer.send(record(1)).unwrap();
        drop(writer);
        let holder = scene.start("holder");
        let taken = WriterError::Taken { pid: Some(holder.pid() as u32) };
        assert_eq!(scene.broadcast.writer().map(drop), Err(taken.clone()));
        holder.signal(libc::SIGSTOP);
        until("it stands", || state_of(holder.pid()) == Some('T'));
        assert_eq!(scene.broadcast.writer().map(drop), Err(taken));
        holder.kill();
        let writer = scene.broadcast.writer().unwrap();
        writer.send(record(2)).unwrap();
        assert_eq!((reader.recv().map(whole), reader.recv().map(whole)), (Ok(1), Ok(2)));
    }
}

// semantics 132
#[test]
fn after_a_shutdown_nothing_is_sent_and_readers_end_when_they_have_read_all() {
    for options in [overwriting(4), waiting(4, 3)] {
        let scene = Scene::new("end", options);
        let mut theirs = scene.start("reader");
        let reader = scene.broadcast.reader().unwrap();
        let writer = scene.broadcast.writer().unwrap();
        theirs.tell("go on");
        writer.send(record(7)).unwrap();
        assert_eq!(theirs.number("number "), 7);
        theirs.tell("go on");
        assert!(!scene.broadcast.is_shut_down());
        scene.broadcast.shutdown().unwrap();
        scene.broadcast.shutdown().unwrap();
        theirs.expect("Closed");
        assert!(scene.broadcast.is_shut_down());
        assert_eq!(writer.send(record(8)), Err(BroadcastSendError::Closed));
        drop(writer);
        let writer = scene.broadcast.writer().unwrap();
        assert_eq!(writer.try_send(record(8)), Err(BroadcastSendError::Closed));
        assert_eq!(reader.recv().map(whole), Ok(7));
        assert_eq!(reader.recv(), Err(BroadcastRecvError::Closed));
        assert_eq!(reader.try_recv(), Err(BroadcastRecvError::Closed));
        assert_eq!(scene.broadcast.reader().unwrap().recv(), Err(BroadcastRecvError::Closed));
    }
}

// semantics 132
#[test]
fn a_shutdown_ends_a_wait_for_a_reader() {
    let scene = Scene::new("end-full", waiting(1, 1));
    let _slow = scene.broadcast.reader().unwrap();
    let writer = scene.broadcast.writer().unwrap();
    writer.send(record(1)).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(move || writer.send(record(2)));
        scene.broadcast.shutdown().unwrap();
        assert_eq!(blocked.join().unwrap(), Err(BroadcastSendError::Closed));
    });
}

// semantics 133
#[test]
fn byte_records_keep_their_lengths() {
    let name = Name::new("bytes");
    let segment = name.create(&SegmentOptions::new());
    for (object, options) in [("o", overwriting(4)), ("w", waiting(4, 2))] {
        let lines = Broadcast::create_bytes(&segment, object, 21, options).unwrap();
        let (writer, reader) = (lines.writer().unwrap(), lines.reader().unwrap());
        assert_eq!(lines.longest(), 21);
        for len in (0..=21).chain((0..=21).rev()) {
            let line: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            writer.try_send(&line).unwrap();
            if len > 0 {
                let short = BroadcastRecvError::BufferTooShort { needed: len };
                assert_eq!(reader.try_recv_into(&mut vec![0; len - 1]), Err(short));
            }
            assert_eq!(reader.try_recv().unwrap(), line, "it stays");
        }
        assert_eq!(writer.send(&[0; 22]), Err(BroadcastSendError::TooLong { len: 22, max: 21 }));
        assert_eq!(Broadcast::open_bytes(&segment, object).unwrap().longest(), 21);
        assert!(matches!(
            Broadcast::open_or_create_bytes(&segment, object, 22, options),
            Err(Error::WrongShape { .. })
        ));
        let mut buffer = [0; 30];
        writer.send(b"abc").unwrap();
        assert_eq!(reader.recv_into(&mut buffer), Ok(3));
        assert_eq!(&buffer[..3], b"abc");
    }
}

#[test]
fn what_is_another_is_refused() {
    let name = Name::new("shapes");
    let segment = name.create(&SegmentOptions::new());
    let _ours = Broadcast::<u64>::create(&segment, "b", overwriting(4)).unwrap();
    let _bytes = Broadcast::create_bytes(&segment, "s", 1, overwriting(4)).unwrap();
    let wrong = |result: Result<(), Error>| assert!(matches!(result, Err(Error::WrongShape { .. })), "{result:?}");
    wrong(Broadcast::<u32>::open(&segment, "b").map(drop));
    wrong(Broadcast::open_bytes(&segment, "b").map(drop));
    wrong(Broadcast::<u64>::open_or_create(&segment, "b", overwriting(5)).map(drop));
    wrong(Broadcast::<u64>::open_or_create(&segment, "b", waiting(4, 1)).map(drop));
    wrong(Broadcast::<u8>::open(&segment, "s").map(drop));
    wrong(Broadcast::<u8>::open_or_create(&segment, "s", overwriting(4)).map(drop));
    assert!(matches!(ringfence::Blackboard::<u64>::open(&segment, "b"), Err(Error::WrongKind { .. })));
    for options in [overwriting(0), waiting(4, 1025)] {
        assert!(matches!(Broadcast::<u64>::create(&segment, "x", options), Err(Error::InvalidArgument(_))));
    }
    let _readable: Broadcast<u64> = Broadcast::open(&segment, "b").unwrap();
}

// semantics 134
#[test]
fn waits_end_by_their_time() {
    let scene = Scene::new("times", overwriting(4));
    let (writer, reader) = (scene.broadcast.writer().unwrap(), scene.broadcast.reader().unwrap());
    let begun = Instant::now();
    assert_eq!(reader.recv_timeout(SHORT), Err(BroadcastRecvError::TimedOut));
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(reader.recv_timeout(Duration::ZERO), Err(BroadcastRecvError::Empty));
    assert_eq!(reader.recv_deadline(begun), Err(BroadcastRecvError::TimedOut));
    writer.send(record(1)).unwrap();
    assert_eq!(reader.recv_timeout(SHORT).map(whole), Ok(1));
}

// semantics 135
#[test]
fn several_are_waited_for_and_their_readers_move_on() {
    let scene = Scene::new("any", waiting(1, 2));
    let (writer, reader) = (scene.broadcast.writer().unwrap(), scene.broadcast.reader().unwrap());
    let wait = WaitAny::new([reader.readable(), writer.writable()]).unwrap();
    let now = |wait: &WaitAny<'_>| wait.try_wait().map(|ready| ready.bits());
    for number in 0..5 {
        assert_eq!(now(&wait), Ok(0b10));
        writer.send(record(number)).unwrap();
        assert_eq!(now(&wait), Ok(0b01));
        assert_eq!(reader.recv().map(whole), Ok(number));
    }
    let readable = WaitAny::new([reader.readable()]).unwrap();
    assert!(matches!(readable.wait_timeout(SHORT), Err(WaitError::TimedOut)));
    // The descriptor moves on with the reader, too.
    let ready = reader.readable().as_fd().unwrap();
    let is_ready = |limit: i32| {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&ready);
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&mut poll, 1, limit) == 1 }
    };
    for number in 0..3 {
        assert!(!is_ready(1));
        writer.send(record(number)).unwrap();
        assert!(is_ready(PATIENCE.as_millis() as i32));
        assert_eq!(reader.recv().map(whole), Ok(number));
        ready.arm().unwrap();
    }
    // A dead reader is found by who waits for room.
    let theirs = scene.start("reader");
    writer.send(record(8)).unwrap();
    assert_eq!(reader.recv().map(whole), Ok(8));
    let writable = WaitAny::new([writer.writable()]).unwrap();
    assert!(writable.try_wait().is_err());
    theirs.kill();
    assert_eq!(writable.wait_timeout(PATIENCE).unwrap().bits(), 1);
    scene.broadcast.shutdown().unwrap();
    assert_eq!(now(&wait), Ok(0b11));
}

// semantics 136
#[test]
fn a_forked_child_reads_on_alone_and_has_nothing_of_its_parents() {
    for options in [overwriting(8), waiting(8, 2)] {
        let scene = Scene::new("fork", options);
        let (writer, reader) = (scene.broadcast.writer().unwrap(), scene.broadcast.reader().unwrap());
        writer.send(record(1)).unwrap();
        writer.send(record(2)).unwrap();
        assert_eq!(reader.recv().map(whole), Ok(1));
        let waits = scene.broadcast.max_readers() > 0;
        let child = fork(|| {
            assert_eq!(writer.send(record(3)), Err(BroadcastSendError::NotOwner));
            if waits {
                assert_eq!(reader.try_recv(), Err(BroadcastRecvError::NotOwner));
            } else {
                assert_eq!(reader.try_recv().map(whole), Ok(2));
                assert_eq!(reader.try_recv(), Err(BroadcastRecvError::Empty));
            }
            assert!(matches!(scene.broadcast.writer(), Err(WriterError::Taken { .. })));
            // What it drops is its parent's.
            drop((unsafe_copy(&writer), unsafe_copy(&reader)));
            let own = scene.broadcast.reader().unwrap();
            assert_eq!(own.try_recv(), Err(BroadcastRecvError::Empty));
        });
        assert_eq!(reap(child), 0);
        assert!(matches!(scene.broadcast.writer(), Err(WriterError::Taken { .. })));
        writer.send(record(3)).unwrap();
        assert_eq!((reader.recv().map(whole), reader.recv().map(whole)), (Ok(2), Ok(3)));
    }
}

/// Writers and readers are killed under load, at random moments; there is always one of each left.
fn random_kills(what: &str, options: BroadcastOptions, rounds: usize) {
    let mut chance = Chance::new(rounds);
    let scene = Scene::new(what, options);
    let sent = Value::<u64>::create(&scene.segment, "sent", 0).unwrap();
    let got = Value::<u64>::create(&scene.segment, "got", 0).unwrap();
    let reader = scene.broadcast.reader().unwrap();
    let loses = scene.broadcast.max_readers() == 0;
    let mut order = Order::new(loses);
    let finished = std::thread::scope(|scope| {
        // Ours lives to the end, and sees everything.
        let reading = scope.spawn(move || {
            let mut count = 0_u64;
            while order.take(&reader) {
                count += 1;
            }
            (order, count)
        });
        let mut sender = scene.start("sender");
        let mut listener = scene.start("listener");
        for _ in 0..chance.rounds {
            let (before, heard) = (sent.get(), got.get());
            let more = 1 + chance.below(300);
            until("records", || sent.get() >= before + more);
            if chance.below(2) == 0 {
                assert!(listener.child.try_wait().unwrap().is_none(), "the listener found something");
                until("a record heard", || got.get() > heard);
                listener.kill();
                listener = scene.start("listener");
            } else {
                assert!(sender.child.try_wait().unwrap().is_none(), "the sender found something");
                sender.kill();
                sender = scene.start("sender");
            }
            chance.kills += 1;
        }
        sender.kill();
        chance.kills += 1;
        scene.broadcast.shutdown().unwrap();
        listener.finish();
        reading.join().unwrap()
    });
    let (order, count) = finished;
    let last = sent.get();
    let seen = order.last.unwrap();
    assert!(seen == last || seen == last + 1, "the last that returned is {last}, the last that came {seen}");
    if !loses {
        assert!(count >= last, "{count} of {last}");
    }
    chance.checked += count as usize;
}

// semantics 127 to 131
#[test]
fn random_kills_lose_nothing_with_back_pressure() {
    for capacity in [1, 3, 64] {
        random_kills("kills-w", waiting(capacity, 3), 15);
    }
}

// semantics 127 to 131
#[test]
fn random_kills_tear_nothing_that_is_overwritten() {
    for capacity in [1, 3, 64] {
        random_kills("kills-o", overwriting(capacity), 15);
    }
}
