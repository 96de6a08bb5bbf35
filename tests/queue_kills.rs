//! Random kills of producers and consumers of a queue under load: what was pushed arrives, once, in order. Numbers in
//! comments are those of docs/semantics.md.

mod common;

use common::{Name, Role, hear, role, say, until};
use ringfence::{Array, Queue, Segment, SegmentOptions, Value};

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

// semantics 27, 32
#[test]
fn random_kills_lose_and_double_nothing() {
    let name = Name::new("kills");
    let segment = name.create(&SegmentOptions::new().size(8 << 20));
    let queue = Queue::<u64>::create(&segment, "q", 7).unwrap();
    let pushed = Array::<u64>::create(&segment, "pushed", PRODUCERS).unwrap();
    let got = Array::<u32>::create(&segment, "got", PRODUCERS * ITEMS).unwrap();
    let disorder = Value::<u32>::create(&segment, "disorder", 0).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut producers: Vec<_> = (0..2).map(|own| (own, start("producer", &name, own))).collect();
    let mut consumers: Vec<_> = (0..2).map(|own| start("consumer", &name, own)).collect();
    for round in 0..ROUNDS {
        // The newest of each has pushed and got something, and goes on for a random while.
        let (newest, more) = (producers[1].0, 1 + random(500));
        until("items", || pushed.get(newest).unwrap() >= more);
        producers.remove(random(2) as usize).1.kill();
        consumers.remove(random(2) as usize).kill();
        producers.push((2 + round, start("producer", &name, 2 + round)));
        consumers.push(start("consumer", &name, 0));
    }
    producers.into_iter().for_each(|(_, producer)| producer.kill());
    queue.shutdown().unwrap();
    consumers.into_iter().for_each(Role::finish);
    assert_eq!(disorder.get(), 0);
    let mut taken_to_the_grave = 0;
    for own in 0..PRODUCERS {
        let returned = pushed.get(own).unwrap() as usize;
        assert!(returned > 0);
        for n in 0..ITEMS {
            match (got.get(own * ITEMS + n).unwrap(), n.cmp(&returned)) {
                (1, std::cmp::Ordering::Less) => {}
                (0, std::cmp::Ordering::Less) => taken_to_the_grave += 1,
                // The push in which the producer was killed.
                (0 | 1, std::cmp::Ordering::Equal) | (0, std::cmp::Ordering::Greater) => {}
                (times, _) => panic!("item {n} of {returned} of producer {own} arrived {times} times"),
            }
        }
    }
    // At most once: a consumer may die with the one item it has just got.
    assert!(taken_to_the_grave <= ROUNDS, "{taken_to_the_grave} items lost by {ROUNDS} killed consumers");
}
