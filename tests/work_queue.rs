//! The work queue, in one process and between several. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::{Name, Role, fork, hear, reap, role, say, unsafe_copy, until};
use ringfence::{
    Error, JoinError, Lease, LeaseError, Segment, SegmentOptions, TakeError, WaitAny, WorkPushError, WorkQueue,
    WorkQueueOptions,
};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = WorkQueue::open(&segment, "w").unwrap();
    match role.as_str() {
        // Takes, says what, and does not report.
        "holds" => {
            let lease = queue.take().unwrap();
            say(&format!("{} {}", text(&lease), lease.deliveries()));
            hear();
        }
        "leaves" => {
            let lease = queue.take().unwrap();
            let said = format!("{} {}", text(&lease), lease.deliveries());
            std::mem::forget(lease);
            drop(queue);
            drop(segment);
            say(&said);
            hear();
        }
        "holds-many" => {
            let leases = queue.take_many(arguments[1].parse().unwrap()).unwrap();
            say(&leases.len().to_string());
            hear();
        }
        "keeps" => {
            queue.take().unwrap().keep().unwrap();
            say("kept");
            hear();
        }
        "holds-dead-letter" => {
            let lease = queue.take_dead_letter().unwrap();
            say(&text(&lease));
            hear();
        }
        "joins" => {
            say("joining");
            queue.join().unwrap();
            say("joined");
            hear();
        }
        "takes" => {
            say("taking");
            let got = match queue.take() {
                Ok(lease) => {
                    let text = text(&lease);
                    lease.done().unwrap();
                    text
                }
                Err(error) => format!("{error:?}"),
            };
            say(&format!("got {got}"));
            hear();
        }
        "pushes" => {
            say("pushing");
            say(&format!("{:?}", queue.push(b"late")));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn text(lease: &Lease<'_>) -> String {
    String::from_utf8(lease.read().unwrap()).unwrap()
}

fn setup(what: &str, options: &WorkQueueOptions) -> (Name, Segment, WorkQueue) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let queue = WorkQueue::create(&segment, "w", options).unwrap();
    (name, segment, queue)
}

fn done(queue: &WorkQueue) -> String {
    let lease = queue.try_take().unwrap();
    let text = text(&lease);
    lease.done().unwrap();
    text
}

// semantics 141, 142, 143
#[test]
fn a_message_is_delivered_until_it_is_done() {
    let (_name, _segment, queue) = setup("until", &WorkQueueOptions::new(4, 10));
    for message in [&b"a"[..], b"", b"0123456789"] {
        queue.push(message).unwrap();
    }
    let first = queue.take().unwrap();
    assert_eq!((text(&first).as_str(), first.deliveries()), ("a", 1));
    first.fail().unwrap();
    let again = queue.take().unwrap();
    assert_eq!((text(&again).as_str(), again.deliveries()), ("a", 2));
    drop(again);
    let again = queue.take().unwrap();
    assert_eq!((text(&again).as_str(), again.deliveries()), ("a", 3));
    again.done().unwrap();
    assert_eq!([done(&queue), done(&queue)], ["", "0123456789"]);
    assert_eq!(queue.try_take().map(drop), Err(TakeError::Empty));
    assert_eq!(queue.take_timeout(Duration::from_millis(3)).map(drop), Err(TakeError::TimedOut));
}

// semantics 149
#[test]
fn the_capacity_is_exact() {
    for messages in [1, 2, 3, 7, 8, 64, 65] {
        let (_name, _segment, queue) = setup("exact", &WorkQueueOptions::new(messages, 8));
        for round in 0..3_usize {
            for n in 0..messages {
                queue.try_push(&n.to_le_bytes()).unwrap();
            }
            assert_eq!(queue.try_push(b""), Err(WorkPushError::Full), "of {messages}");
            assert_eq!(queue.push_timeout(b"", Duration::from_millis(1)), Err(WorkPushError::TimedOut));
            let leases = queue.take_many(messages + 1).unwrap();
            assert_eq!((queue.len(), queue.unfinished(), leases.len()), (0, messages, messages));
            assert_eq!(queue.try_push(b""), Err(WorkPushError::Full), "leased messages have their place");
            for (n, lease) in leases.into_iter().enumerate() {
                assert_eq!((lease.get::<u64>(), lease.deliveries()), (Ok(n as u64), 1));
                // In any order, and not all at once.
                if (n + round) % 2 == 0 {
                    lease.done().unwrap();
                    queue.try_push(b"x").unwrap();
                } else {
                    drop(lease);
                }
            }
            assert_eq!(queue.len(), messages);
            let returned = messages - (messages + 1 - round % 2) / 2;
            for nth in 0..messages {
                let lease = queue.try_take().unwrap();
                assert_eq!(lease.deliveries(), if nth < returned { 2 } else { 1 }, "what came back goes first");
                lease.done().unwrap();
            }
            queue.try_join().unwrap();
        }
        assert_eq!((queue.capacity(), queue.max_message(), queue.max_deliveries()), (messages, 8, 0));
    }
}

/// A lease that lasts holds up nobody else.
#[test]
fn a_long_lease_is_passed_by() {
    let (_name, _segment, queue) = setup("long", &WorkQueueOptions::new(3, 8));
    queue.push(b"long").unwrap();
    let long = queue.take().unwrap();
    for n in 0..1000_u64 {
        queue.try_push(&n.to_le_bytes()).unwrap();
        queue.try_push(&(n + 1).to_le_bytes()).unwrap();
        assert_eq!(queue.try_push(b""), Err(WorkPushError::Full));
        for n in [n, n + 1] {
            let lease = queue.try_take().unwrap();
            assert_eq!(lease.get(), Ok(n));
            lease.done().unwrap();
        }
    }
    assert_eq!(text(&long), "long");
    long.done().unwrap();
}

// semantics 149
#[test]
fn lengths_are_checked() {
    let (_name, segment, queue) = setup("lengths", &WorkQueueOptions::new(2, 9));
    assert_eq!(queue.push(&[1; 10]), Err(WorkPushError::TooLong { len: 10, max: 9 }));
    queue.push(&[1; 9]).unwrap();
    let lease = queue.take().unwrap();
    assert_eq!(lease.read_into(&mut [0; 8]), Err(LeaseError::BufferTooShort { needed: 9 }));
    assert_eq!(lease.get::<u64>(), Err(LeaseError::BufferTooShort { needed: 9 }));
    let mut buffer = [7; 12];
    assert_eq!(lease.read_into(&mut buffer), Ok(9));
    assert_eq!(buffer, [1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 7, 7]);
    for (messages, longest, deliveries) in [(0, 1, 0), (1, 0, 0), (1, 1, 65536), ((1 << 24) + 1, 1, 0)] {
        let options = WorkQueueOptions::new(messages, longest).max_deliveries(deliveries);
        assert!(matches!(WorkQueue::create(&segment, "x", &options).map(drop), Err(Error::InvalidArgument(_))));
    }
    assert_eq!(WorkQueue::create(&segment, "x", &WorkQueueOptions::new(1 << 24, 4000)).map(drop), Err(Error::NoSpace));
    for options in
        [WorkQueueOptions::new(3, 9), WorkQueueOptions::new(2, 10), WorkQueueOptions::new(2, 9).max_deliveries(1)]
    {
        let other = WorkQueue::open_or_create(&segment, "w", &options).map(drop);
        assert!(matches!(other, Err(Error::WrongShape { .. })), "{other:?}");
    }
    assert_eq!(WorkQueue::open(&segment, "w").unwrap().max_message(), 9);
}

// semantics 144
#[test]
fn dead_letters_keep_their_places_until_they_are_taken() {
    let (name, _segment, queue) = setup("letters", &WorkQueueOptions::new(2, 10).max_deliveries(2));
    queue.push(b"poison").unwrap();
    queue.push(b"too").unwrap();
    for _ in 0..2 {
        let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
        drop((first, second));
    }
    assert_eq!(queue.try_take().map(drop), Err(TakeError::Empty));
    assert_eq!((queue.dead_letters(), queue.unfinished()), (2, 0));
    queue.join().unwrap();
    for push in [queue.push(b"x"), queue.try_push(b"x"), queue.push_timeout(b"x", Duration::from_secs(5))] {
        assert_eq!(push, Err(WorkPushError::DeadLetters));
    }
    let mut letters = vec![];
    for _ in 0..2 {
        let letter = queue.take_dead_letter().unwrap();
        letters.push((text(&letter), letter.deliveries()));
        // Looked at, and left where it is.
        drop(letter);
        let letter = queue.take_dead_letter().unwrap();
        assert_eq!(letter.deliveries(), 2);
        letter.done().unwrap();
    }
    letters.sort();
    assert_eq!(letters, [("poison".to_owned(), 2), ("too".to_owned(), 2)]);
    assert_eq!(queue.take_dead_letter().map(drop), Err(TakeError::Empty));
    // Killed while it looks, and while it has the message for the last time.
    queue.push(b"third").unwrap();
    for n in 1..=2 {
        let mut holder = Role::start("holds", &[&name.0]);
        holder.expect(&format!("third {n}"));
        holder.kill();
    }
    until("it is set aside", || {
        let _ = queue.try_take();
        queue.dead_letters() == 1
    });
    let mut holder = Role::start("holds-dead-letter", &[&name.0]);
    holder.expect("third");
    assert_eq!(queue.take_dead_letter().map(drop), Err(TakeError::Empty));
    holder.kill();
    let letter = queue.take_dead_letter().unwrap();
    assert_eq!((text(&letter).as_str(), letter.deliveries()), ("third", 2));
}

// semantics 141, 142
#[test]
fn what_the_dead_had_is_delivered_again() {
    let (name, _segment, queue) = setup("dead", &WorkQueueOptions::new(8, 10));
    queue.push(b"one").unwrap();
    queue.push(b"two").unwrap();
    for n in 1..=2 {
        let mut holder = Role::start("holds", &[&name.0]);
        holder.expect(&format!("one {n}"));
        holder.kill();
    }
    // Who leaves in peace gives back too, and at once.
    let mut leaver = Role::start("leaves", &[&name.0]);
    leaver.expect("one 3");
    assert_eq!((queue.len(), queue.unfinished()), (2, 2));
    let mut keeper = Role::start("keeps", &[&name.0]);
    keeper.expect("kept");
    keeper.kill();
    leaver.finish();
    let leases = [queue.take().unwrap(), queue.take().unwrap()];
    let mut found: Vec<_> = leases.iter().map(|lease| (text(lease), lease.deliveries())).collect();
    found.sort();
    assert_eq!(found, [("one".to_owned(), 5), ("two".to_owned(), 1)]);
    for lease in leases {
        lease.done().unwrap();
    }
    queue.try_join().unwrap();
}

// semantics 141
#[test]
fn a_sleeper_gets_what_the_dead_had() {
    let (name, _segment, queue) = setup("sleeper", &WorkQueueOptions::new(8, 10));
    queue.push(b"one").unwrap();
    let mut holder = Role::start("holds", &[&name.0]);
    holder.expect("one 1");
    let mut taker = Role::start("takes", &[&name.0]);
    taker.expect("taking");
    let mut joiner = Role::start("joins", &[&name.0]);
    joiner.expect("joining");
    holder.kill();
    taker.expect("one");
    joiner.expect("joined");
    taker.finish();
    joiner.finish();
}

// semantics 153
#[test]
fn who_is_never_out_of_work_gets_what_the_dead_had() {
    let (name, _segment, queue) = setup("busy", &WorkQueueOptions::new(32, 10));
    queue.push(b"lost").unwrap();
    let mut holder = Role::start("holds", &[&name.0]);
    holder.expect("lost 1");
    holder.kill();
    for _ in 0..20 {
        queue.push(b"work").unwrap();
    }
    // Never out of work, and never waiting.
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody looks for the dead");
        queue.push(b"work").unwrap();
        let lease = queue.take().unwrap();
        if text(&lease) == "lost" {
            assert_eq!(lease.deliveries(), 2);
            lease.done().unwrap();
            break;
        }
        lease.done().unwrap();
    }
}

// semantics 145, 146, 150
#[test]
fn a_lease_ends_once_and_belongs_to_the_process() {
    let (_name, segment, queue) = setup("ends", &WorkQueueOptions::new(4, 10));
    for n in 0..4 {
        queue.push(&[n]).unwrap();
    }
    let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| first.done().unwrap());
        scope.spawn(|| drop(second));
    });
    let again = queue.take().unwrap();
    assert_eq!((again.read().unwrap(), again.deliveries()), (vec![1], 2));
    assert_eq!(queue.task_done(), Err(LeaseError::TooManyDone));
    again.keep().unwrap();
    queue.take().unwrap().keep().unwrap();
    assert_eq!(queue.unfinished(), 3);
    let other = WorkQueue::open(&segment, "w").unwrap();
    other.task_done().unwrap();
    queue.task_done().unwrap();
    assert_eq!(queue.task_done(), Err(LeaseError::TooManyDone));
    assert_eq!(queue.unfinished(), 1);
    drop(other);
}

// semantics 81, 145
#[test]
fn a_childs_copy_of_a_lease_is_nothing() {
    let (_name, _segment, queue) = setup("fork", &WorkQueueOptions::new(4, 10));
    queue.push(b"mine").unwrap();
    queue.push(b"kept").unwrap();
    let lease = queue.take().unwrap();
    queue.take().unwrap().keep().unwrap();
    for entered in [false, true] {
        let child = fork(|| {
            if entered {
                assert_eq!(queue.try_take().map(drop), Err(TakeError::Empty));
            }
            let copy = unsafe_copy::<Lease<'_>>;
            drop(copy(&lease));
            assert_eq!(lease.read(), Err(LeaseError::NotLeased));
            assert_eq!(copy(&lease).done(), Err(LeaseError::NotLeased));
            assert_eq!(copy(&lease).fail(), Err(LeaseError::NotLeased));
            assert_eq!(copy(&lease).keep(), Err(LeaseError::NotLeased));
            assert_eq!(queue.task_done(), Err(LeaseError::TooManyDone));
        });
        assert_eq!(reap(child), 0);
    }
    assert_eq!(text(&lease), "mine");
    lease.done().unwrap();
    queue.task_done().unwrap();
    queue.try_join().unwrap();
}

// semantics 30, 147
#[test]
fn join_waits_for_the_last_one() {
    let (name, _segment, queue) = setup("join", &WorkQueueOptions::new(4, 10));
    queue.join().unwrap();
    queue.push(b"a").unwrap();
    assert_eq!(queue.try_join(), Err(JoinError::Unfinished));
    let mut joiner = Role::start("joins", &[&name.0]);
    joiner.expect("joining");
    let lease = queue.take().unwrap();
    assert_eq!(queue.join_timeout(Duration::from_millis(2)), Err(JoinError::TimedOut));
    queue.push(b"b").unwrap();
    lease.done().unwrap();
    assert_eq!(queue.try_join(), Err(JoinError::Unfinished));
    assert_eq!(done(&queue), "b");
    joiner.expect("joined");
    joiner.finish();
    queue.join_deadline(Instant::now()).unwrap();
}

/// One message makes the next before it is done, so there is no moment without work.
// semantics 147
#[test]
fn join_is_not_fooled_by_work_that_makes_work() {
    let (_name, _segment, queue) = setup("chain", &WorkQueueOptions::new(5, 8));
    const LINKS: u64 = 20_000;
    queue.push(&0_u64.to_le_bytes()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(lease) = queue.take() {
                    let n: u64 = lease.get().unwrap();
                    if n < LINKS {
                        queue.push(&(n + 1).to_le_bytes()).unwrap();
                    } else {
                        queue.shutdown().unwrap();
                    }
                    lease.done().unwrap();
                }
            });
        }
        queue.join().unwrap();
        assert!(queue.is_shut_down(), "joined in the middle");
    });
}

// semantics 148
#[test]
fn consumers_drain_and_end() {
    let (name, _segment, queue) = setup("drain", &WorkQueueOptions::new(4, 10));
    queue.push(b"a").unwrap();
    queue.push(b"b").unwrap();
    let lease = queue.take().unwrap();
    queue.shutdown().unwrap();
    queue.shutdown().unwrap();
    assert!(queue.is_shut_down());
    assert_eq!(queue.push(b"c"), Err(WorkPushError::Closed));
    assert_eq!(done(&queue), "b");
    // The first may come back.
    assert_eq!(queue.try_take().map(drop), Err(TakeError::Empty));
    assert_eq!(queue.take_timeout(Duration::from_millis(2)).map(drop), Err(TakeError::TimedOut));
    let mut takers: Vec<_> = (0..2).map(|_| Role::start("takes", &[&name.0])).collect();
    takers.iter_mut().for_each(|taker| taker.expect("taking"));
    // Does not hang: one of the two gets it.
    lease.fail().unwrap();
    let mut said: Vec<_> = takers.iter_mut().map(|taker| taker.said("got ")).collect();
    said.sort();
    assert_eq!(said, ["Closed", "a"]);
    takers.into_iter().for_each(Role::finish);
    assert_eq!(queue.take().map(drop), Err(TakeError::Closed));
    assert_eq!(queue.try_take().map(drop), Err(TakeError::Closed));
    queue.join().unwrap();
}

// semantics 148
#[test]
fn shutdown_wakes_producers_and_consumers() {
    for role in ["pushes", "takes"] {
        let (name, _segment, queue) = setup("wakes", &WorkQueueOptions::new(1, 10));
        if role == "pushes" {
            queue.push(b"full").unwrap();
        }
        let mut sleeper = Role::start(role, &[&name.0]);
        sleeper.expect(if role == "pushes" { "pushing" } else { "taking" });
        queue.shutdown().unwrap();
        sleeper.expect(if role == "pushes" { "Err(Closed)" } else { "Closed" });
        sleeper.finish();
    }
}

/// A dead lease does not hold up the end for ever.
// semantics 148
#[test]
fn the_end_comes_after_what_the_dead_had() {
    let (name, _segment, queue) = setup("end", &WorkQueueOptions::new(4, 10).max_deliveries(1));
    queue.push(b"poison").unwrap();
    let mut holder = Role::start("holds", &[&name.0]);
    holder.expect("poison 1");
    queue.shutdown().unwrap();
    let mut taker = Role::start("takes", &[&name.0]);
    taker.expect("taking");
    holder.kill();
    taker.expect("Closed");
    taker.finish();
    assert_eq!(queue.dead_letters(), 1);
}

// semantics 152
#[test]
fn many_at_once() {
    let (name, _segment, queue) = setup("many", &WorkQueueOptions::new(10, 10));
    for n in 0..10 {
        queue.push(&[n]).unwrap();
    }
    assert!(queue.take_many(0).unwrap().is_empty());
    let mut holder = Role::start("holds-many", &[&name.0, "4"]);
    holder.expect("4");
    assert_eq!(queue.len(), 6);
    holder.kill();
    let leases = queue.take_many(100).unwrap();
    let mut first = leases.iter().map(|lease| lease.read().unwrap()[0]).collect::<Vec<_>>();
    assert!(leases.len() >= 6, "what is there is taken at once");
    if leases.len() < 10 {
        first.extend(queue.take_many(100).unwrap().iter().map(|lease| lease.read().unwrap()[0]));
    }
    first.sort_unstable();
    assert!(first.into_iter().eq(0..10));
}

// semantics 90, 154
#[test]
fn ready_is_what_a_try_would_find() {
    let (name, _segment, queue) = setup("ready", &WorkQueueOptions::new(1, 10));
    let wait = WaitAny::new([queue.readable(), queue.writable(), queue.finished()]).unwrap();
    assert_eq!(wait.wait().unwrap().bits(), 0b110);
    queue.push(b"a").unwrap();
    assert_eq!(wait.wait().unwrap().bits(), 0b001);
    let mut holder = Role::start("holds", &[&name.0]);
    holder.expect("a 1");
    let patience = Duration::from_millis(5);
    assert!(wait.wait_timeout(patience).is_err());
    holder.kill();
    assert_eq!(wait.wait().unwrap().bits(), 0b001);
    let lease = queue.try_take().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait.wait().unwrap().bits());
        lease.done().unwrap();
        assert_eq!(waiting.join().unwrap() & 0b001, 0);
    });
    queue.shutdown().unwrap();
    assert_eq!(wait.wait().unwrap().bits(), 0b111);
}

// semantics 151
#[test]
fn a_blocked_producer_gets_the_place_of_what_is_done() {
    let (name, _segment, queue) = setup("room", &WorkQueueOptions::new(1, 10));
    queue.push(b"first").unwrap();
    let mut producer = Role::start("pushes", &[&name.0]);
    producer.expect("pushing");
    let lease = queue.take().unwrap();
    assert_eq!(text(&lease), "first");
    lease.done().unwrap();
    producer.expect("Ok(())");
    producer.finish();
    assert_eq!(done(&queue), "late");
}
