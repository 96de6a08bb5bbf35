//! Random kills of producers and consumers of a queue under load: what was pushed arrives, once, in order. Numbers in
//! comments are those of docs/semantics.md.

mod common;

use common::{Name, Role, hear, role, say, until};
use ringfence::{Array, PopError, PushError, Queue, Segment, SegmentOptions, Value};

/// Rounds; in each, a producer and a consumer are killed in the flow and succeeded by new ones.
const ROUNDS: usize = 20;
const PRODUCERS: usize = 2 + ROUNDS;
/// Items of a producer at the most.
const ITEMS: usize = 1 << 15;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = Queue::<u64>::open(&segment, "q").unwrap();
    match role.as_str() {
        // Counts each push that has returned.
        "producer" => {
            let own: usize = arguments[1].parse().unwrap();
            let pushed = Array::<u64>::open(&segment, "pushed").unwrap();
            say("ready");
            for n in 0..ITEMS {
                queue.push((own * ITEMS + n) as u64).unwrap();
                pushed.set(own, n as u64 + 1).unwrap();
            }
            hear();
        }
        // Counts how often each item was got, and that those of one producer come in order.
        "consumer" => {
            let got = Array::<u32>::open(&segment, "got").unwrap();
            let disorder = Value::<u32>::open(&segment, "disorder").unwrap();
            let mut next = [0; PRODUCERS];
            say("ready");
            while let Ok(item) = queue.pop() {
                let (own, n) = (item as usize / ITEMS, item as usize % ITEMS);
                if n < next[own] {
                    disorder.fetch_add(1);
                }
                next[own] = n + 1;
                got.fetch_add(item as usize, 1).unwrap();
            }
        }
        _ => panic!("no role {role}"),
    }
}

fn start(role: &str, name: &Name, own: usize) -> Role {
    let mut started = Role::start(role, &[&name.0, &own.to_string()]);
    started.expect("ready");
    started
}

/// A queue with what its producers and consumers count.
struct Load {
    name: Name,
    queue: Queue<u64>,
    pushed: Array<u64>,
    got: Array<u32>,
    disorder: Value<u32>,
    _segment: Segment,
}

impl Load {
    fn new(what: &str, capacity: usize) -> Self {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new().size(8 << 20));
        Self {
            queue: Queue::create(&segment, "q", capacity).unwrap(),
            pushed: Array::create(&segment, "pushed", PRODUCERS).unwrap(),
            got: Array::create(&segment, "got", PRODUCERS * ITEMS).unwrap(),
            disorder: Value::create(&segment, "disorder", 0).unwrap(),
            name,
            _segment: segment,
        }
    }

    /// Kills and replaces a producer and a consumer in each round, in the end all producers; the consumers that are left.
    fn kill(&self, rounds: usize, random: &mut impl FnMut(u64) -> u64) -> Vec<Role> {
        let name = &self.name;
        let mut producers: Vec<_> = (0..2).map(|own| (own, start("producer", name, own))).collect();
        let mut consumers: Vec<_> = (0..2).map(|own| start("consumer", name, own)).collect();
        for round in 0..rounds {
            // The newest of each has pushed and got something, and goes on for a random while.
            let (newest, more) = (producers[1].0, 1 + random(500));
            until("items", || self.pushed.get(newest).unwrap() >= more);
            producers.remove(random(2) as usize).1.kill();
            consumers.remove(random(2) as usize).kill();
            producers.push((2 + round, start("producer", name, 2 + round)));
            consumers.push(start("consumer", name, 0));
        }
        until("items of all", || producers.iter().all(|(own, _)| self.pushed.get(*own).unwrap() > 0));
        producers.into_iter().for_each(|(_, producer)| producer.kill());
        consumers
    }

    /// What was pushed arrived, once, in order; but for the one item that each killed consumer may have just got.
    fn check(&self, rounds: usize, killed_consumers: usize) {
        assert_eq!(self.disorder.get(), 0);
        let mut taken_to_the_grave = 0;
        for own in 0..2 + rounds {
            let returned = self.pushed.get(own).unwrap() as usize;
            assert!(returned > 0);
            for n in 0..ITEMS {
                match (self.got.get(own * ITEMS + n).unwrap(), n.cmp(&returned)) {
                    (1, std::cmp::Ordering::Less) => {}
                    (0, std::cmp::Ordering::Less) => taken_to_the_grave += 1,
                    // The push in which the producer was killed.
                    (0 | 1, std::cmp::Ordering::Equal) | (0, std::cmp::Ordering::Greater) => {}
                    (times, _) => panic!("item {n} of {returned} of producer {own} arrived {times} times"),
                }
            }
        }
        assert!(taken_to_the_grave <= killed_consumers, "{taken_to_the_grave} lost by {killed_consumers} consumers");
    }
}

/// The same numbers in each run.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

// semantics 27, 32
#[test]
fn random_kills_lose_and_double_nothing() {
    let load = Load::new("kills", 7);
    let consumers = load.kill(ROUNDS, &mut numbers());
    load.queue.shutdown().unwrap();
    consumers.into_iter().for_each(Role::finish);
    load.check(ROUNDS, ROUNDS);
}

// semantics 23, 27 and 32
#[test]
fn capacity_stays_exact_under_kills() {
    const KILLS: usize = 3;
    let mut random = numbers();
    for capacity in [1, 2, 3, 63, 64, 65, 1000] {
        let load = Load::new("exact", capacity);
        let consumers = load.kill(KILLS, &mut random);
        consumers.into_iter().for_each(Role::kill);
        loop {
            match load.queue.try_pop() {
                Ok(item) => drop(load.got.fetch_add(item as usize, 1).unwrap()),
                Err(error) => break assert_eq!(error, PopError::Empty),
            }
        }
        load.check(KILLS, KILLS + 2);
        (0..capacity as u64).for_each(|item| load.queue.try_push(item).unwrap());
        assert_eq!(load.queue.try_push(0), Err(PushError::Full(0)), "of {capacity}");
        (0..capacity as u64).for_each(|item| assert_eq!(load.queue.try_pop(), Ok(item)));
        assert_eq!(load.queue.try_pop(), Err(PopError::Empty));
    }
}
