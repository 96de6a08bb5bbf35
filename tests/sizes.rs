//! The sizes that `docs/layout.md` states (2.7) are those that objects have: its formulas are evaluated, and compared with what the
//! library takes.

use std::collections::{HashMap, HashSet};

use ringfence::layout::segment::{Entry, Geometry, Header};
use ringfence::{
    Array, Barrier, Blackboard, Broadcast, BroadcastOptions, ByteRing, Channel, Condvar, End, Event, Mutex, Once,
    OnceValue, Pipe, Plain, Queue, ReentrantMutex, Reset, RwLock, Segment, SegmentOptions, Semaphore, SemaphoreOptions,
    Spsc, Value, WorkQueue, WorkQueueOptions,
};

type Names<'a> = &'a [(&'static str, u64)];

/// A formula of the document: numbers, names, `+ × ÷ ( )`, `max(a, b)`, `upN(x)`. It ends where a comma begins the explanation.
struct Formula<'a> {
    rest: &'a str,
    names: Names<'a>,
}

impl<'a> Formula<'a> {
    fn value(text: &'a str, names: Names<'a>) -> u64 {
        let mut formula = Self { rest: text, names };
        let value = formula.sum();
        assert!(formula.rest.is_empty() || formula.rest.starts_with(','), "{:?} of {text:?}", formula.rest);
        value
    }

    fn take(&mut self, sign: &str) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(sign);
        self.rest = found.unwrap_or(self.rest).trim_start();
        found.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn sum(&mut self) -> u64 {
        let mut value = self.product();
        while self.take("+") {
            value += self.product();
        }
        value
    }

    fn product(&mut self) -> u64 {
        let mut value = self.factor();
        loop {
            if self.take("×") {
                value *= self.factor();
            } else if self.take("÷") {
                value /= self.factor();
            } else {
                return value;
            }
        }
    }

    fn factor(&mut self) -> u64 {
        if self.take("(") {
            let value = self.sum();
            assert!(self.take(")"));
            return value;
        }
        let word = self.word();
        if let Ok(number) = word.parse() {
            return number;
        }
        if self.take("(") {
            let value = self.sum();
            let value = match word.strip_prefix("up") {
                Some(step) => value.next_multiple_of(step.parse().unwrap()),
                None => {
                    assert!(word == "max" && self.take(","), "{word}");
                    value.max(self.sum())
                }
            };
            assert!(self.take(")"));
            return value;
        }
        self.names.iter().find(|(name, _)| *name == word).unwrap_or_else(|| panic!("what is {word:?}?")).1
    }
}

/// The rows of section 2.7: what it is, and its formula. Each must be asked for.
struct Rows {
    rows: HashMap<&'static str, &'static str>,
    asked: HashSet<&'static str>,
}

impl Rows {
    fn read() -> Self {
        let text = include_str!("../docs/layout.md");
        let section = text.split("### 2.7 Sizes\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        let rows = cells.filter(|(_, bytes)| !bytes.starts_with("bytes")).collect();
        Self { rows, asked: HashSet::new() }
    }

    fn bytes(&mut self, row: &'static str, names: Names<'_>) -> u64 {
        self.asked.insert(row);
        Formula::value(self.rows.get(row).unwrap_or_else(|| panic!("no row {row:?}")), names)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let forgotten: Vec<_> = self.rows.keys().filter(|row| !self.asked.contains(*row)).collect();
            // Each of the two tests asks for the rows of one table.
            assert!(
                forgotten.iter().all(|row| is_of_a_segment(row) != is_of_a_segment(self.asked.iter().next().unwrap())),
                "{forgotten:?}"
            );
        }
    }
}

fn is_of_a_segment(row: &str) -> bool {
    ["header", "participant", "directory entry"].contains(&row) || row.starts_with("all of them")
}

#[test]
fn a_segment_takes_what_the_document_says() {
    let mut rows = Rows::read();
    assert_eq!(rows.bytes("header", &[]), size_of::<Header>() as u64);
    assert_eq!(rows.bytes("directory entry", &[]), size_of::<Entry>() as u64);
    for (participants, objects) in [(1, 1), (3, 512), (4, 513), (128, 256), (8191, 65536)] {
        let names = [("participants", u64::from(participants)), ("objects", u64::from(objects))];
        let geometry = Geometry::new(participants, objects, 1 << 50).unwrap();
        assert_eq!(rows.bytes("all of them", &names), geometry.heap());
        // 8192 are too many.
        let other = Geometry::new(if participants == 1 { 2 } else { participants - 1 }, objects, 1 << 50).unwrap();
        assert_eq!(rows.bytes("participant", &names), geometry.heap().abs_diff(other.heap()));
    }
    let default = Geometry::size_for(128, 256, 1 << 20).unwrap();
    let stated = rows.bytes("all of them, for 128 participants and 256 objects, as by default", &[]);
    assert_eq!(stated, Geometry::new(128, 256, default).unwrap().heap());
    // These are the defaults.
    assert_eq!(Segment::anonymous(&SegmentOptions::new()).unwrap().size() as u64, default);
}

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new().size(4 << 20).participants(5).objects(4)).unwrap()
}

/// Bytes of the one object that `make` makes.
fn taken<T>(make: impl FnOnce(&Segment) -> T) -> u64 {
    let segment = segment();
    let _object = make(&segment);
    let objects = segment.objects().unwrap();
    assert_eq!(objects.len(), 1);
    objects[0].bytes
}

fn up8(size: usize) -> u64 {
    size.next_multiple_of(8) as u64
}

/// What depends on the size of a value.
fn of_values<T: Plain>(rows: &mut Rows, sample: T) {
    let size = size_of::<T>();
    let item = up8(size);
    let element = if [1, 2, 4, 8].contains(&size) { size as u64 } else { 8 + 2 * item };
    let create = Mutex::<T>::create;
    assert_eq!(rows.bytes("mutex", &[("data", item)]), taken(|s| create(s, "x", sample).unwrap()));
    let rwlock = rows.bytes("rwlock", &[("participants", 5), ("data", item)]);
    assert_eq!(rwlock, taken(|s| RwLock::create(s, "x", sample).unwrap()));
    assert_eq!(rows.bytes("once", &[("value", item)]), taken(|s| OnceValue::<T>::create(s, "x").unwrap()));
    assert_eq!(rows.bytes("value", &[("element", element)]), taken(|s| Value::create(s, "x", sample).unwrap()));
    assert_eq!(rows.bytes("blackboard", &[("value", item)]), taken(|s| Blackboard::<T>::create(s, "x").unwrap()));
    for count in [1_u32, 7, 100] {
        let slots = [("slots", count.into()), ("item", item), ("record", item), ("elements", count.into())];
        let count = count as usize;
        let names = [&slots[..], &[("element", element)]].concat();
        assert_eq!(rows.bytes("array", &names), taken(|s| Array::<T>::create(s, "x", count).unwrap()));
        assert_eq!(rows.bytes("queue", &slots), taken(|s| Queue::<T>::create(s, "x", count).unwrap()));
        assert_eq!(rows.bytes("spsc", &slots), taken(|s| Spsc::<T>::create(s, "x", count).unwrap()));
        for readers in [0_u32, 3] {
            let names = [&slots[..], &[("readers", readers.into())]].concat();
            let options = BroadcastOptions::new(count);
            let options = if readers == 0 { options } else { options.back_pressure(readers as usize) };
            assert_eq!(rows.bytes("broadcast", &names), taken(|s| Broadcast::<T>::create(s, "x", options).unwrap()));
            let bytes = taken(|s| Broadcast::create_bytes(s, "x", size, options).unwrap());
            assert_eq!(rows.bytes("broadcast of bytes", &names), bytes);
        }
    }
}

fn of_messages(rows: &mut Rows) {
    for asked in [64, 1000, 4096] {
        let mut ring = 0;
        let bytes = taken(|s| ByteRing::create(s, "x", asked).inspect(|made| ring = made.capacity() as u64).unwrap());
        assert_eq!(rows.bytes("byte ring", &[("ring", ring)]), bytes);
        let bytes = taken(|s| Channel::create(s, "x", asked).inspect(|made| ring = made.capacity() as u64).unwrap());
        assert_eq!(rows.bytes("channel", &[("ring", ring)]), bytes);
        let bytes = taken(|s| Pipe::pair(s, "x", asked).unwrap());
        assert_eq!(rows.bytes("pipe", &[("ring", ring), ("directions", 2)]), bytes);
        let bytes = taken(|s| Pipe::open_or_create_one_way(s, "x", End::First, asked).unwrap());
        assert_eq!(rows.bytes("pipe", &[("ring", ring), ("directions", 1)]), bytes);
    }
    for (places, longest) in [(1_u32, 1), (8, 100), (1000, 64)] {
        let bytes = taken(|s| WorkQueue::create(s, "x", &WorkQueueOptions::new(places as usize, longest)).unwrap());
        assert_eq!(rows.bytes("work queue", &[("places", places.into()), ("message", up8(longest))]), bytes);
    }
}

/// What a message takes of a ring, as the row says behind its comma.
fn of_a_message(rows: &Rows) {
    let share = |row, name, len: usize| {
        let (_, share) = rows.rows[row].split_once(" takes ").unwrap();
        Formula::value(share, &[(name, up8(len))])
    };
    let segment = segment();
    for len in [0, 1, 8, 13] {
        let ring = ByteRing::create(&segment, "ring", 4096).unwrap();
        ring.producer().unwrap().push(&vec![7; len]).unwrap();
        assert_eq!(share("byte ring", "record", len), ring.used() as u64);
        // So many fit a ring of ten times as much, and no more.
        let bytes = share("channel", "message", len);
        let channel = Channel::create(&segment, "channel", 10 * bytes as usize).unwrap();
        (0..10).for_each(|_| channel.try_send(&vec![7; len]).unwrap());
        assert!(channel.try_send(&vec![7; len]).is_err());
        segment.remove("ring").unwrap();
        segment.remove("channel").unwrap();
    }
}

#[test]
fn objects_take_what_the_document_says() {
    let mut rows = Rows::read();
    of_values(&mut rows, 7_u8);
    of_values(&mut rows, 7_u64);
    of_values(&mut rows, [7_u32; 3]);
    of_values(&mut rows, [7_u64; 32]);
    of_messages(&mut rows);
    of_a_message(&rows);
    assert_eq!(rows.bytes("reentrant mutex", &[]), taken(|s| ReentrantMutex::create(s, "x").unwrap()));
    // Without a value.
    assert_eq!(rows.bytes("once", &[("value", 0)]), taken(|s| Once::create(s, "x").unwrap()));
    let participants = [("participants", 5)];
    let owned = SemaphoreOptions::new(3);
    let signalling = SemaphoreOptions::new(3).signalling();
    assert_eq!(rows.bytes("semaphore, owned", &participants), taken(|s| Semaphore::create(s, "x", &owned).unwrap()));
    assert_eq!(rows.bytes("semaphore, signalling", &[]), taken(|s| Semaphore::create(s, "x", &signalling).unwrap()));
    assert_eq!(rows.bytes("event, auto reset", &participants), taken(|s| Event::create(s, "x", Reset::Auto).unwrap()));
    assert_eq!(rows.bytes("event, manual reset", &[]), taken(|s| Event::create(s, "x", Reset::Manual).unwrap()));
    assert_eq!(rows.bytes("barrier", &participants), taken(|s| Barrier::create(s, "x", 3).unwrap()));
    for waiters in [1, 10] {
        let bytes = taken(|s| Condvar::create(s, "x", waiters).unwrap());
        assert_eq!(rows.bytes("condition variable", &[("waiters", waiters as u64)]), bytes);
    }
}

#[test]
fn a_formula_is_computed_as_it_reads() {
    let names = [("slots", 3), ("item", 16)];
    assert_eq!(Formula::value("384 + slots × (8 + item)", &names), 456);
    assert_eq!(Formula::value("max(128, up64(slots) ÷ 8 + 2), and so on", &names), 128);
    assert_eq!(Formula::value("up128(item × 9)", &names), 256);
}
