//! Random kills of producers and consumers of a work queue under load: every message that was pushed is done, and done twice
//! only where its consumer was killed between the work and the report. Numbers in comments are those of docs/semantics.md.

mod common;

use common::chance::Chance;
use common::{Name, Role, hear, role, say, until};
use ringfence::{Array, Segment, SegmentOptions, TakeError, Value, WorkPushError, WorkQueue, WorkQueueOptions};

/// Producers and consumers at a time.
const SIDE: usize = 2;
/// Messages of a producer at the most.
const ITEMS: usize = 1 << 16;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = WorkQueue::open(&segment, "w").unwrap();
    match role.as_str() {
        "producer" => {
            let own: usize = arguments[1].parse().unwrap();
            let pushed = Array::<u64>::open(&segment, "pushed").unwrap();
            say("ready");
            for n in 0..ITEMS {
                queue.push(&((own * ITEMS + n) as u64).to_ne_bytes()).unwrap();
                pushed.set(own, n as u64 + 1).unwrap();
            }
            hear();
        }
        "consumer" => {
            say("ready");
            consume(&segment, &queue);
        }
        _ => panic!("no role {role}"),
    }
}

/// Does the work until there is none any more: writes down each message, and then reports it.
fn consume(segment: &Segment, queue: &WorkQueue) {
    let did = Array::<u8>::open(segment, "did").unwrap();
    let wrong = Value::<u32>::open(segment, "wrong").unwrap();
    let mut next = vec![0; did.len() / ITEMS];
    for turn in 0_u64.. {
        let lease = match queue.take() {
            Ok(lease) => lease,
            Err(error) => {
                assert_eq!(error, TakeError::Closed);
                return;
            }
        };
        let item = lease.get::<u64>().unwrap() as usize;
        let deliveries = lease.deliveries();
        if deliveries == 1 {
            // In the order of its producer, if nobody had it before.
            let (own, n) = (item / ITEMS, item % ITEMS);
            if n < next[own] {
                wrong.fetch_add(1);
            }
            next[own] = n + 1;
        }
        if turn % 7 == 3 && deliveries < 3 {
            lease.fail().unwrap();
            continue;
        }
        let before = did.fetch_add(item, 1).unwrap();
        // What was done before was delivered before, and says so.
        if before > 0 && deliveries == 1 || u32::from(before) >= deliveries {
            wrong.fetch_add(1);
        }
        lease.done().unwrap();
    }
}

/// Kills what must be alive: one that ends by itself has found something.
fn kill(mut role: Role) {
    let ended = role.child.try_wait().unwrap();
    assert!(ended.is_none(), "ended by itself: {}", ended.unwrap());
    role.kill();
}

// semantics 27, 141, 142, 143, 149, 151
#[test]
fn random_kills_lose_nothing() {
    let mut chance = Chance::new(8);
    for messages in [1, 7, 64] {
        let name = Name::new("work-kills");
        let rounds = chance.rounds;
        let producers = SIDE + rounds;
        let segment = name.create(&SegmentOptions::new().size(producers * ITEMS + (1 << 20)));
        let queue = WorkQueue::create(&segment, "w", &WorkQueueOptions::new(messages, 8)).unwrap();
        let pushed = Array::<u64>::create(&segment, "pushed", producers).unwrap();
        let did = Array::<u8>::create(&segment, "did", producers * ITEMS).unwrap();
        let wrong = Value::<u32>::create(&segment, "wrong", 0).unwrap();
        let start = |role: &str, own: usize| {
            let mut started = Role::start(role, &[&name.0, &own.to_string()]);
            started.expect("ready");
            started
        };
        let mut pushing: Vec<_> = (0..SIDE).map(|own| start("producer", own)).collect();
        let mut working: Vec<_> = (0..SIDE).map(|_| start("consumer", 0)).collect();
        for own in SIDE..producers {
            let more = 1 + chance.below(300);
            until("messages", || pushed.get(own - 1).unwrap() >= more);
            kill(pushing.remove(chance.index(SIDE)));
            kill(working.remove(chance.index(SIDE)));
            pushing.push(start("producer", own));
            working.push(start("consumer", 0));
        }
        until("messages of the last", || pushed.get(producers - 1).unwrap() > 0);
        pushing.into_iter().for_each(kill);
        chance.kills += 2 * rounds + SIDE;
        queue.shutdown().unwrap();
        assert_eq!(queue.push(b""), Err(WorkPushError::Closed));
        queue.join().unwrap();
        working.into_iter().for_each(Role::finish);
        assert_eq!(wrong.get(), 0, "out of order, or done before without having been delivered");
        assert_eq!((queue.unfinished(), queue.dead_letters()), (0, 0));
        let mut again = 0;
        for own in 0..producers {
            let returned = pushed.get(own).unwrap() as usize;
            for n in 0..ITEMS {
                let times = usize::from(did.get(own * ITEMS + n).unwrap());
                assert!(times > 0 || n >= returned, "message {n} of {returned} of producer {own} was lost");
                assert!(times == 0 || n <= returned, "message {n} of {returned} of producer {own} is from nowhere");
                again += times.saturating_sub(1);
                chance.checked += times;
            }
        }
        // One for each consumer that was killed at the moment between.
        assert!(again <= rounds, "{again} messages done again, {rounds} consumers killed");
    }
}

// semantics 149, 151
#[test]
fn capacity_stays_exact_under_kills() {
    let mut chance = Chance::new(3);
    for messages in [1, 2, 3, 64, 65] {
        let name = Name::new("work-exact");
        let segment = name.create(&SegmentOptions::new().size(1 << 20));
        let queue = WorkQueue::create(&segment, "w", &WorkQueueOptions::new(messages, 8)).unwrap();
        let rounds = chance.rounds;
        drop(Array::<u64>::create(&segment, "pushed", rounds).unwrap());
        drop(Array::<u8>::create(&segment, "did", rounds * ITEMS).unwrap());
        drop(Value::<u32>::create(&segment, "wrong", 0).unwrap());
        let pushed = Array::<u64>::open(&segment, "pushed").unwrap();
        for own in 0..rounds {
            let mut roles =
                [Role::start("producer", &[&name.0, &own.to_string()]), Role::start("consumer", &[&name.0, "0"])];
            roles.iter_mut().for_each(|role| role.expect("ready"));
            let more = 1 + chance.below(300);
            until("messages", || pushed.get(own).unwrap() >= more);
            roles.into_iter().for_each(kill);
            chance.kills += 2;
        }
        while let Ok(lease) = queue.try_take() {
            lease.done().unwrap();
        }
        queue.try_join().unwrap();
        (0..messages).for_each(|_| queue.try_push(b"x").unwrap());
        assert_eq!(queue.try_push(b"x"), Err(WorkPushError::Full), "of {messages}");
        chance.checked += messages;
    }
}
