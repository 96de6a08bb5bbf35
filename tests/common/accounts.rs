//! Producers and consumers of numbered items, killed under load, and the books kept of it in shared memory: what was
//! pushed arrives, whole, once, in order.

use ringfence::{Array, Segment, SegmentOptions, Value};

use super::chance::Chance;
use super::{Name, Role, hear, say, until, until_it_stands_still};

/// Items of a producer at the most. Item `n` of producer `own` is `own * ITEMS + n`.
const ITEMS: usize = 1 << 17;

/// An item that is not as it was pushed.
pub struct Torn;

/// A message of 8 to `longest` bytes that begins with its item, and whose every other byte tells which it is.
pub fn message(item: u64, longest: usize) -> Vec<u8> {
    let spread = item.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut message = item.to_ne_bytes().to_vec();
    message.resize(8 + (spread >> 48) as usize % (longest - 7), (spread >> 32) as u8);
    message
}

/// The item that a message begins with, if it is just as `message` makes it.
pub fn whole(bytes: &[u8], message: impl FnOnce(u64) -> Vec<u8>) -> Result<u64, Torn> {
    let item = bytes.first_chunk().map(|item| u64::from_ne_bytes(*item)).ok_or(Torn)?;
    if bytes == message(item) { Ok(item) } else { Err(Torn) }
}

/// The item that a pop brought, or none if it failed because this is the `end`.
pub fn or_the_end<P, E: PartialEq + std::fmt::Debug>(
    popped: Result<P, E>,
    end: E,
    item: impl FnOnce(P) -> Result<u64, Torn>,
) -> Option<Result<u64, Torn>> {
    match popped {
        Ok(popped) => Some(item(popped)),
        Err(error) => {
            assert_eq!(error, end);
            None
        }
    }
}

/// In a child: pushes items and counts each push that has returned.
pub fn produce(segment: &Segment, own: &str, mut push: impl FnMut(u64)) {
    produce_many(segment, own, 1, |items| {
        push(items[0]);
        1
    });
}

/// The same with up to `batch` items at a time, of which `push` says how many went.
pub fn produce_many(segment: &Segment, own: &str, batch: usize, mut push: impl FnMut(&[u64]) -> usize) {
    let own: usize = own.parse().unwrap();
    let pushed = Array::<u64>::open(segment, "pushed").unwrap();
    say("ready");
    let mut n = 0;
    while n < ITEMS {
        let items: Vec<u64> = (n..ITEMS.min(n + batch)).map(|n| (own * ITEMS + n) as u64).collect();
        n += push(&items);
        pushed.set(own, n as u64).unwrap();
    }
    hear();
}

/// In a child: counts how often it gets each item, until there are no more.
pub fn consume(segment: &Segment, mut pop: impl FnMut() -> Option<Result<u64, Torn>>) {
    let mut reader = Reader::new(segment);
    say("ready");
    while let Some(item) = pop() {
        reader.read(item);
    }
}

/// The same with several items at a time.
pub fn consume_many(segment: &Segment, mut pop: impl FnMut() -> Option<Vec<Result<u64, Torn>>>) {
    let mut reader = Reader::new(segment);
    say("ready");
    while let Some(items) = pop() {
        items.into_iter().for_each(|item| reader.read(item));
    }
}

/// One consumer's side of the books.
struct Reader {
    got: Array<u8>,
    disorder: Value<u32>,
    torn: Value<u32>,
    /// Of each producer, the least item that may come.
    next: Vec<usize>,
}

impl Reader {
    fn new(segment: &Segment) -> Self {
        let got = Array::<u8>::open(segment, "got").unwrap();
        Self {
            next: vec![0; got.len() / ITEMS],
            disorder: Value::open(segment, "disorder").unwrap(),
            torn: Value::open(segment, "torn").unwrap(),
            got,
        }
    }

    fn read(&mut self, item: Result<u64, Torn>) {
        let Some(item) = item.ok().map(|item| item as usize).filter(|item| *item < self.got.len()) else {
            self.torn.fetch_add(1);
            return;
        };
        let (own, n) = (item / ITEMS, item % ITEMS);
        if n < self.next[own] {
            self.disorder.fetch_add(1);
        }
        self.next[own] = n + 1;
        self.got.fetch_add(item, 1).unwrap();
    }
}

/// The books, in a segment with room for the object under test.
pub struct Accounts {
    name: Name,
    pub segment: Segment,
    /// Producers and consumers at a time.
    side: usize,
    rounds: usize,
    pushed: Array<u64>,
    got: Array<u8>,
    disorder: Value<u32>,
    torn: Value<u32>,
    killed_consumers: usize,
    /// Items that one call pushes or pops at the most.
    pub batch: usize,
}

impl Accounts {
    /// For so many rounds, with `side` producers and `side` consumers at a time.
    pub fn new(what: &str, side: usize, rounds: usize) -> Self {
        let name = Name::new(what);
        let producers = side + rounds;
        let bytes = producers * ITEMS + (1 << 20);
        let segment = name.create(&SegmentOptions::new().size(bytes));
        Self {
            pushed: Array::create(&segment, "pushed", producers).unwrap(),
            got: Array::create(&segment, "got", producers * ITEMS).unwrap(),
            disorder: Value::create(&segment, "disorder", 0).unwrap(),
            torn: Value::create(&segment, "torn", 0).unwrap(),
            killed_consumers: 0,
            batch: 1,
            name,
            segment,
            side,
            rounds,
        }
    }

    fn start(&self, role: &str, own: usize) -> Role {
        let mut started = Role::start(role, &[&self.name.0, &own.to_string()]);
        started.expect("ready");
        started
    }

    /// Runs the roles `producer` and `consumer`. Kills and replaces one of each in each round, in the end all
    /// producers; gives back the consumers that are left.
    pub fn kill(&mut self, chance: &mut Chance) -> Vec<Role> {
        let mut producers: Vec<_> = (0..self.side).map(|own| (own, self.start("producer", own))).collect();
        let mut consumers: Vec<_> = (0..self.side).map(|_| self.start("consumer", 0)).collect();
        until("items of the first", || producers.iter().all(|(own, _)| self.pushed.get(*own).unwrap() > 0));
        for own in self.side..self.side + self.rounds {
            // The newest goes on for a random while.
            let more = 1 + chance.below(500);
            until_it_stands_still("items", || {
                let pushed = self.pushed.get(own - 1).unwrap();
                (pushed >= more, pushed)
            });
            kill(producers.remove(chance.index(self.side)).1);
            kill(consumers.remove(chance.index(self.side)));
            self.killed_consumers += 1;
            producers.push((own, self.start("producer", own)));
            consumers.push(self.start("consumer", 0));
        }
        until("items of the last", || self.pushed.get(self.side + self.rounds - 1).unwrap() > 0);
        producers.into_iter().for_each(|(_, producer)| kill(producer));
        chance.kills += 2 * self.rounds + self.side;
        consumers
    }

    /// Kills the consumers that are left.
    pub fn kill_all(&mut self, consumers: Vec<Role>, chance: &mut Chance) {
        self.killed_consumers += consumers.len();
        chance.kills += consumers.len();
        consumers.into_iter().for_each(kill);
    }

    /// Consumes what is there, in this process.
    pub fn drain(&self, mut pop: impl FnMut() -> Option<Result<u64, Torn>>) {
        let mut reader = Reader::new(&self.segment);
        while let Some(item) = pop() {
            reader.read(item);
        }
    }

    /// What was pushed arrived, whole, once, in order; but for the one item, or batch, that each killed consumer may have
    /// just got. Of the push in which a producer was killed, the first items may have arrived.
    pub fn check(&self, chance: &mut Chance) {
        assert_eq!((self.torn.get(), self.disorder.get()), (0, 0), "torn, out of order");
        let (mut arrived, mut lost) = (0, 0);
        for own in 0..self.pushed.len() {
            let returned = self.pushed.get(own).unwrap() as usize;
            assert!(returned > 0);
            let got: Vec<u8> = (0..ITEMS).map(|n| self.got.get(own * ITEMS + n).unwrap()).collect();
            let last = got.iter().rposition(|times| *times > 0).map_or(0, |last| last + 1);
            assert!(last <= returned + self.batch, "item {last} of {returned} of producer {own} arrived");
            for (n, times) in got[..returned.max(last)].iter().enumerate() {
                match times {
                    1 => arrived += 1,
                    0 => lost += 1,
                    times => panic!("item {n} of {returned} of producer {own} arrived {times} times"),
                }
            }
        }
        let graves = self.killed_consumers;
        assert!(lost <= graves * self.batch, "{lost} of {} items lost by {graves} killed consumers", arrived + lost);
        chance.checked += arrived;
    }
}

/// Kills what must be alive: a producer or consumer that ends by itself has found something.
fn kill(mut role: Role) {
    let ended = role.child.try_wait().unwrap();
    assert!(ended.is_none(), "ended by itself: {}", ended.unwrap());
    role.kill();
}
