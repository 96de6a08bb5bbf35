//! Values of any type, between real processes: feature `serde`. Numbers in comments are those of docs/semantics.md.

mod common;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use common::accounts::{self, Accounts, Torn};
use common::chance::Chance;
use common::{Name, PATIENCE, Role, examples, hear, role, say};
use ringfence::{
    Channel, End, Error, JoinError, LeaseError, Pipe, RecvError, Segment, SegmentOptions, SendError, TakeError,
    TypedChannel, TypedLeaseError, TypedPipe, TypedPushError, TypedRecvError, TypedSendError, TypedWorkQueue, WaitAny,
    WorkPushError, WorkQueue, WorkQueueOptions,
};
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};

/// What programs tell each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Stop,
    Word(String),
    Pair(u64, f64),
    Count { words: HashMap<String, u64>, note: Option<String>, bytes: Vec<u8> },
    Nested(Box<Message>),
}

/// What the encoding has to be self-describing for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Loose {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    absent: Option<u8>,
    kind: Kind,
    #[serde(flatten)]
    rest: BTreeMap<String, Anything>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Kind {
    Named { bytes: Vec<u8> },
    Unit,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Anything {
    Number(i64),
    Text(String),
    List(Vec<Anything>),
}

/// One item of the books, with what a process's own memory has.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    number: u64,
    text: String,
    parts: Vec<Option<u32>>,
}

impl Item {
    /// Some are longer than the ring.
    fn new(number: u64) -> Self {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let parts = (0..spread >> 56).map(|n| (n % 3 > 0).then_some((spread >> 32) as u32 ^ n as u32)).collect();
        Self { number, text: format!("item {number}"), parts }
    }
}

/// Fails after as many elements.
struct Fails {
    after: usize,
}

impl Serialize for Fails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.after == 0 {
            return Err(S::Error::custom("not me"));
        }
        let mut sequence = serializer.serialize_seq(Some(self.after + 1))?;
        (0..self.after).try_for_each(|n| sequence.serialize_element(&n))?;
        Err(S::Error::custom("not more"))
    }
}

/// Says that it has an element more than it has.
struct Lies;

impl Serialize for Lies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_seq(Some(1))?.end()
    }
}

const RING: usize = 512;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "echo" => {
            let pipe = TypedPipe::<Message>::open(&segment, "p", End::Second).unwrap();
            say("ready");
            loop {
                match pipe.recv() {
                    Ok(message) => pipe.send(&message).unwrap(),
                    Err(error) => break assert!(matches!(error, TypedRecvError::Recv(RecvError::EndOfFile))),
                }
            }
        }
        "producer" => {
            let channel = TypedChannel::open(&segment, "c").unwrap();
            accounts::produce(&segment, &arguments[1], |number| channel.send(&Item::new(number)).unwrap());
        }
        "consumer" => {
            let channel = TypedChannel::open(&segment, "c").unwrap();
            accounts::consume(&segment, || next(&channel));
        }
        "sender" => {
            let channel = TypedChannel::<Message>::open(&segment, "c").unwrap();
            channel.send(&word("first")).unwrap();
            channel.send(&word("second")).unwrap();
            say("sent two");
            hear();
        }
        "worker" => {
            let queue = TypedWorkQueue::<Message>::open(&segment, "w").unwrap();
            let lease = queue.take().unwrap();
            say(&format!("took {:?}", lease.get().unwrap()));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

/// The next item of the books.
fn next(channel: &TypedChannel<Item>) -> Option<Result<u64, Torn>> {
    match channel.recv() {
        Ok(item) if item == Item::new(item.number) => Some(Ok(item.number)),
        Ok(_) | Err(TypedRecvError::Decode(_)) => Some(Err(Torn)),
        Err(error) => {
            assert!(matches!(error, TypedRecvError::Recv(RecvError::Closed)), "{error}");
            None
        }
    }
}

fn word(text: &str) -> Message {
    Message::Word(text.to_owned())
}

fn messages() -> Vec<Message> {
    let words: HashMap<_, _> = (0..100).map(|n| (format!("word{n}"), n)).collect();
    vec![
        Message::Stop,
        word(""),
        word("ß and 環"),
        Message::Pair(u64::MAX, f64::NEG_INFINITY),
        Message::Count { words: HashMap::new(), note: Some("empty".to_owned()), bytes: vec![] },
        Message::Count { words, note: None, bytes: (0..10_000).map(|n| n as u8).collect() },
        Message::Nested(Box::new(Message::Nested(Box::new(word("deep"))))),
    ]
}

fn setup(what: &str) -> (Name, Segment) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    (name, segment)
}

/// Sends and receives it.
fn passes<T: Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(
    channel: &Channel,
    segment: &Segment,
    value: T,
) {
    let typed = TypedChannel::<T>::open(segment, "c").unwrap();
    typed.try_send(&value).unwrap();
    assert_eq!(typed.try_recv().unwrap(), value);
    assert!(channel.is_empty());
}

// semantics 161
#[test]
fn every_kind_of_value_comes_out_as_it_went_in() {
    let (_name, segment) = setup("t-kinds");
    let channel = Channel::create(&segment, "c", 1 << 18).unwrap();
    messages().into_iter().for_each(|message| passes(&channel, &segment, message));
    passes(&channel, &segment, (i128::MIN, u128::MAX, 'ß', -1_i8, 0.5_f32));
    passes(&channel, &segment, HashMap::from([((1_u8, 2_u8), None), ((3, 4), Some("x".to_owned()))]));
    passes(&channel, &segment, ("1.2.3.4".parse::<std::net::IpAddr>().unwrap(), Duration::from_nanos(5)));
    passes(&channel, &segment, vec![Ok(3_u8), Err(Cow::Borrowed("x"))]);
    passes(&channel, &segment, [[1.5_f64; 3]; 20]);
    passes(&channel, &segment, ());
    let list = Anything::List(vec![Anything::Number(-4), Anything::Text("x".to_owned()), Anything::List(vec![])]);
    let rest = BTreeMap::from([("more".to_owned(), list), ("other".to_owned(), Anything::Number(i64::MIN))]);
    let loose = |absent, kind, rest| Loose { absent, kind, rest };
    passes(&channel, &segment, loose(None, Kind::Named { bytes: vec![1, 2, 255] }, rest));
    passes(&channel, &segment, loose(Some(1), Kind::Unit, BTreeMap::new()));
}

// semantics 161 and 155
#[test]
fn a_process_at_the_other_end_answers_also_values_longer_than_the_ring() {
    let (name, segment) = setup("t-echo");
    let (first, second) = TypedPipe::<Message>::pair(&segment, "p", RING).unwrap();
    let mut echo = Role::start("echo", &[&name.0]);
    echo.expect("ready");
    drop(second);
    for message in messages() {
        first.send(&message).unwrap();
        assert!(first.poll(Some(PATIENCE)).unwrap());
        assert_eq!(first.recv().unwrap(), message);
    }
    assert!(first.is_connected() && first.sends() && first.receives());
    assert_eq!((first.end(), first.capacity()), (End::First, RING));
    drop(first);
    echo.finish();
}

// semantics 164
#[test]
fn other_languages_see_messagepack() {
    let (_name, segment) = setup("t-bytes");
    let channel = TypedChannel::<Message>::create(&segment, "c", RING).unwrap();
    let bytes = channel.as_channel();
    channel.send(&word("hi")).unwrap();
    assert_eq!(bytes.recv().unwrap(), b"\x81\xa4Word\xa2hi");
    channel.send(&Message::Stop).unwrap();
    assert_eq!(bytes.recv().unwrap(), b"\xa4Stop");
    let count = Message::Count { words: HashMap::from([("a".to_owned(), 300)]), note: None, bytes: vec![200] };
    channel.send(&count).unwrap();
    let expected = b"\x81\xa5Count\x83\xa5words\x81\xa1a\xcd\x01\x2c\xa4note\xc0\xa5bytes\x91\xcc\xc8";
    assert_eq!(bytes.recv().unwrap(), expected);
    // Fields in any order, without what may be absent, numbers longer than need be, bytes as bytes.
    bytes.send(b"\x81\xa5Count\x82\xa5bytes\xc4\x01\xc8\xa5words\x81\xa1a\xcf\0\0\0\0\0\0\x01\x2c").unwrap();
    assert_eq!(channel.recv().unwrap(), count);
    // Fields without their names, in order; a shorter float.
    bytes.send(b"\x81\xa5Count\x93\x81\xa1a\xcd\x01\x2c\xc0\x91\xcc\xc8").unwrap();
    assert_eq!(channel.recv().unwrap(), count);
    bytes.send(b"\x81\xa4Pair\x92\x07\xca\x3f\x80\0\0").unwrap();
    assert_eq!(channel.recv().unwrap(), Message::Pair(7, 1.0));
    channel.send(&Message::Stop).unwrap();
    assert_eq!((channel.len(), channel.capacity()), (1, RING));
    assert_eq!(channel.into_inner().recv().unwrap(), b"\xa4Stop");
}

/// What each kind says to a value without a message, in time or not, with room or not.
fn refused<T: Serialize>(segment: &Segment, value: &T, reason: &str) {
    let channel = TypedChannel::<T>::from(Channel::open(segment, "c").unwrap());
    let pipe = TypedPipe::<T>::from(Pipe::open(segment, "p", End::First).unwrap());
    let queue = TypedWorkQueue::<T>::from(WorkQueue::open(segment, "w").unwrap());
    let (soon, then) = (Duration::from_millis(1), Instant::now());
    // Those that do not wait come first: one that is not refused fails the test instead of holding it up.
    let sends: [&dyn Fn() -> Result<(), TypedSendError>; 8] = [
        &|| channel.try_send(value),
        &|| pipe.try_send(value),
        &|| channel.send_timeout(value, soon),
        &|| pipe.send_timeout(value, soon),
        &|| channel.send_deadline(value, then),
        &|| pipe.send_deadline(value, then),
        &|| channel.send(value),
        &|| pipe.send(value),
    ];
    for send in sends {
        let TypedSendError::Encode(error) = send().unwrap_err() else { panic!("not refused") };
        assert!(error.to_string().ends_with(reason), "{error}");
        assert_eq!(TypedSendError::Encode(error).source().unwrap().to_string(), reason);
    }
    let pushes: [&dyn Fn() -> Result<(), TypedPushError>; 4] =
        [&|| queue.try_push(value), &|| queue.push_timeout(value, soon), &|| queue.push_deadline(value, then), &|| {
            queue.push(value)
        }];
    for push in pushes {
        let error = push().unwrap_err();
        assert!(matches!(error, TypedPushError::Encode(_)), "{error}");
        assert_eq!(error.source().unwrap().to_string(), reason);
    }
}

// semantics 25
#[test]
fn what_has_no_message_is_refused_before_it_takes_a_place() {
    let (_name, segment) = setup("t-refused");
    let channel = TypedChannel::<Message>::create(&segment, "c", 64).unwrap();
    let (_first, second) = TypedPipe::<Message>::pair(&segment, "p", 64).unwrap();
    let queue = TypedWorkQueue::<Message>::create(&segment, "w", &WorkQueueOptions::new(1, 64)).unwrap();
    let mut deep = Message::Stop;
    for _ in 0..128 {
        deep = Message::Nested(Box::new(deep));
    }
    let too_deep = Message::Nested(Box::new(deep.clone()));
    let refuse_all = || {
        refused(&segment, &Fails { after: 0 }, "not me");
        refused(&segment, &Fails { after: 1000 }, "not more");
        refused(&segment, &Lies, "it ends before its value does");
        refused(&segment, &(Message::Stop, Fails { after: 1 }), "not more");
        refused(&segment, &too_deep, "more than 128 arrays and maps lie inside each other");
    };
    refuse_all();
    // Nothing was sent, nothing takes a place.
    assert!(channel.is_empty() && queue.is_empty());
    assert_eq!(queue.unfinished(), 0);
    assert!(!second.poll(Some(Duration::ZERO)).unwrap());
    queue.try_join().unwrap();
    // Nor where there is no room: what cannot be sent at all does not wait for any.
    let filler = word(&"x".repeat(45));
    queue.push(&filler).unwrap();
    channel.send(&filler).unwrap();
    assert!(matches!(queue.try_push(&filler), Err(TypedPushError::Push(WorkPushError::Full))));
    assert!(matches!(channel.try_send(&filler), Err(TypedSendError::Send(SendError::Full))));
    refuse_all();
    assert_eq!((queue.len(), channel.len()), (1, 1));
    assert_eq!(channel.recv().unwrap(), filler);
    queue.take().unwrap().done().unwrap();
    // They go on.
    channel.send(&word("next")).unwrap();
    assert_eq!(channel.recv().unwrap(), word("next"));
    queue.push(&Message::Stop).unwrap();
    assert_eq!(queue.take().unwrap().get().unwrap(), Message::Stop);
    // What is just not too deep arrives.
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| channel.recv().unwrap());
        channel.send(&deep).unwrap();
        assert_eq!(receiver.join().unwrap(), deep);
    });
}

/// Bytes that are no message, and why.
fn garbage() -> Vec<(Vec<u8>, &'static str)> {
    let nested = |times: usize| [b"\x81\xa6Nested".repeat(times), b"\xa4Stop".to_vec()].concat();
    let mut all: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "it ends before its value does"),
        (b"hello".to_vec(), "something follows its value"),
        (b"\xa4Stop\xc0".to_vec(), "something follows its value"),
        (b"\xc1".to_vec(), "it has a byte that begins no value"),
        (b"\xa5Other".to_vec(), "unknown variant"),
        (b"\x2a".to_vec(), ""),
        (b"\x82\xa4Stop\xc0\xa4Word\xa0".to_vec(), ""),
        (b"\x81\xa4Word\xa2\xff\xfe".to_vec(), ""),
        (b"\x81\xa4Word\xd4\x01\x02".to_vec(), ""),
        // Longer than all memory, if it were believed.
        (b"\x81\xa4Word\xdb\xff\xff\xff\xff".to_vec(), "it ends before its value does"),
        (b"\x81\xa5Count\x81\xa5bytes\xdd\xff\xff\xff\xff\x01".to_vec(), "it ends before its value does"),
        (b"\x81\xa5Count\x81\xa5bytes\xc6\xff\xff\xff\xff\x01".to_vec(), "it ends before its value does"),
        (b"\x81\xa5Count\x81\xa5words\xdf\xff\xff\xff\xff\xa1a\x01".to_vec(), "it ends before its value does"),
        (b"\xc9\xff\xff\xff\xff\x01".to_vec(), "it ends before its value does"),
        // Deeper than any stack.
        (nested(200_000), "more than 128 arrays and maps"),
        (vec![0x91; 1 << 20], "more than 128 arrays and maps"),
        (nested(129), "more than 128 arrays and maps"),
    ];
    all.extend((1..nested(3).len()).map(|len| (nested(3)[..len].to_vec(), "it ends before its value does")));
    all
}

// semantics 162
#[test]
fn what_is_no_value_is_handed_over_and_the_next_is_fine() {
    let name = Name::new("t-garbage");
    let segment = name.create(&SegmentOptions::new().size(16 << 20));
    let channel = TypedChannel::<Message>::create(&segment, "c", 4 << 20).unwrap();
    let (here, there) = TypedPipe::<Message>::pair(&segment, "p", 4 << 20).unwrap();
    for (bytes, reason) in garbage() {
        channel.as_channel().send(&bytes).unwrap();
        there.as_pipe().send(&bytes).unwrap();
        channel.send(&word("next")).unwrap();
        there.send(&word("next")).unwrap();
        for received in [channel.recv(), here.try_recv()] {
            let Err(TypedRecvError::Decode(error)) = received else { panic!("{received:?}") };
            assert!(error.source().unwrap().to_string().contains(reason), "{error}");
            assert!(error.to_string().starts_with(&format!("a message of {} bytes", bytes.len())), "{error}");
            assert!(format!("{error:?}").len() < 300);
            assert!(error.message() == bytes && error.into_message() == bytes);
        }
        assert_eq!((channel.recv().unwrap(), here.recv().unwrap()), (word("next"), word("next")));
    }
    // Another type.
    let numbers = TypedChannel::<u64>::open(&segment, "c").unwrap();
    numbers.send(&7).unwrap();
    assert!(matches!(channel.recv(), Err(TypedRecvError::Decode(_))));
    assert!(channel.is_empty());
}

/// Whatever bytes come, they are a value or an error.
// semantics 162
#[test]
fn random_bytes_are_values_or_errors() {
    let (_name, segment) = setup("t-random");
    let channel = Channel::create(&segment, "c", 1 << 16).unwrap();
    let mut chance = Chance::new(20);
    let seeds: Vec<_> = messages()
        .iter()
        .map(|message| {
            TypedChannel::<Message>::open(&segment, "c").unwrap().send(message).unwrap();
            channel.recv().unwrap()
        })
        .collect();
    for _ in 0..chance.rounds * 500 {
        let mut bytes: Vec<u8> = if chance.below(2) == 0 {
            (0..chance.below(40)).map(|_| chance.below(256) as u8).collect()
        } else {
            seeds[chance.index(seeds.len())].clone()
        };
        for _ in 0..chance.below(4) {
            if !bytes.is_empty() {
                let at = chance.index(bytes.len());
                bytes[at] = chance.below(256) as u8;
            }
        }
        for typed in [true, false] {
            channel.send(&bytes).unwrap();
            let failed = if typed {
                TypedChannel::<Message>::open(&segment, "c").unwrap().try_recv().err()
            } else {
                TypedChannel::<Loose>::open(&segment, "c").unwrap().try_recv().err()
            };
            if let Some(error) = failed {
                let TypedRecvError::Decode(error) = error else { panic!("{error}") };
                assert_eq!(error.message(), bytes);
            }
        }
        chance.checked += 1;
    }
}

// semantics 163
#[test]
fn what_is_no_value_stays_leased_and_is_a_dead_letter_in_the_end() {
    let (_name, segment) = setup("t-dead");
    let queue =
        TypedWorkQueue::<Message>::create(&segment, "w", &WorkQueueOptions::new(4, 64).max_deliveries(3)).unwrap();
    let bytes = b"\x81\xa4Word\x07";
    queue.as_work_queue().push(bytes).unwrap();
    queue.push(&word("fine")).unwrap();
    for delivery in 1..=3 {
        let lease = queue.take().unwrap();
        assert_eq!(lease.deliveries(), delivery);
        for _ in 0..2 {
            let Err(TypedLeaseError::Decode(error)) = lease.get() else { panic!("decoded") };
            assert_eq!(error.message(), bytes);
        }
        assert_eq!(lease.as_lease().read().unwrap(), bytes);
        assert_eq!(queue.unfinished(), 2);
        lease.fail().unwrap();
    }
    assert_eq!((queue.dead_letters(), queue.len(), queue.max_deliveries()), (1, 1, 3));
    assert_eq!(queue.take().unwrap().get().unwrap(), word("fine")); // dropped: it comes again
    let lease = queue.take().unwrap();
    assert_eq!((lease.deliveries(), lease.get().unwrap()), (2, word("fine")));
    lease.done().unwrap();
    queue.try_join().unwrap();
    let dead = queue.take_dead_letter().unwrap();
    assert!(matches!(dead.get(), Err(TypedLeaseError::Decode(_))));
    assert_eq!(dead.into_inner().read().unwrap(), bytes);
    assert_eq!(queue.dead_letters(), 1);
    queue.take_dead_letter().unwrap().done().unwrap();
    assert_eq!(queue.dead_letters(), 0);
    // Kept, one too many, too long.
    queue.push(&Message::Stop).unwrap();
    queue.take().unwrap().keep().unwrap();
    assert_eq!(queue.try_join(), Err(JoinError::Unfinished));
    assert_eq!((queue.task_done(), queue.task_done()), (Ok(()), Err(LeaseError::TooManyDone)));
    let long = queue.push(&word(&"x".repeat(64)));
    assert!(matches!(long, Err(TypedPushError::Push(WorkPushError::TooLong { len: 72, max: 64 }))), "{long:?}");
    assert_eq!((queue.capacity(), queue.max_message()), (4, 64));
}

// semantics 161: at most once, whole, in order; some values are longer than the ring.
#[test]
fn random_kills_lose_nothing() {
    let mut chance = Chance::new(6);
    let mut books = Accounts::new("typed-kills", 2, chance.rounds);
    let channel = TypedChannel::<Item>::create(&books.segment, "c", RING).unwrap();
    let consumers = books.kill(&mut chance);
    channel.shutdown().unwrap();
    books.drain(|| next(&channel));
    consumers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

// semantics 161 and 141
#[test]
fn what_the_killed_had_sent_or_taken_arrives() {
    let (name, segment) = setup("t-killed");
    let channel = TypedChannel::<Message>::create(&segment, "c", RING).unwrap();
    let mut sender = Role::start("sender", &[&name.0]);
    sender.expect("sent two");
    sender.kill();
    channel.send(&word("third")).unwrap();
    for text in ["first", "second", "third"] {
        assert_eq!(channel.recv_timeout(PATIENCE).unwrap(), word(text));
    }
    let queue = TypedWorkQueue::<Message>::create(&segment, "w", &WorkQueueOptions::new(4, 64)).unwrap();
    queue.push(&word("job")).unwrap();
    let mut worker = Role::start("worker", &[&name.0]);
    worker.expect("took Word(\"job\")");
    worker.kill();
    let lease = queue.take_timeout(PATIENCE).unwrap();
    assert_eq!((lease.deliveries(), lease.get().unwrap()), (2, word("job")));
    lease.done().unwrap();
}

// semantics 31 and 161
#[test]
fn waits_end_by_their_time_and_shutdowns_are_told() {
    let (_name, segment) = setup("t-time");
    let channel = TypedChannel::<Message>::create(&segment, "c", 64).unwrap();
    let soon = Duration::from_millis(10);
    assert!(matches!(channel.try_recv(), Err(TypedRecvError::Recv(RecvError::Empty))));
    assert!(matches!(channel.recv_timeout(soon), Err(TypedRecvError::Recv(RecvError::TimedOut))));
    assert!(matches!(channel.recv_deadline(Instant::now() + soon), Err(TypedRecvError::Recv(RecvError::TimedOut))));
    assert!(channel.try_recv().unwrap_err().source().is_none());
    // Longer than the ring, and nobody takes it.
    let long = word(&"x".repeat(100));
    assert!(matches!(channel.try_send(&long), Err(TypedSendError::Send(SendError::Full))));
    assert!(matches!(channel.send_timeout(&long, soon), Err(TypedSendError::Send(SendError::TimedOut))));
    let late = channel.send_deadline(&long, Instant::now() + soon);
    assert!(matches!(late, Err(TypedSendError::Send(SendError::TimedOut))));
    // What went of it is in the ring until somebody receives.
    assert!(matches!(channel.try_recv(), Err(TypedRecvError::Recv(RecvError::Empty))));
    channel.send(&Message::Stop).unwrap();
    channel.shutdown().unwrap();
    assert!(channel.is_shut_down());
    assert!(matches!(channel.send(&Message::Stop), Err(TypedSendError::Send(SendError::Closed))));
    assert_eq!(channel.recv().unwrap(), Message::Stop);
    assert!(matches!(channel.recv(), Err(TypedRecvError::Recv(RecvError::Closed))));

    let queue = TypedWorkQueue::<u8>::create(&segment, "w", &WorkQueueOptions::new(1, 8)).unwrap();
    assert!(matches!(queue.try_take(), Err(TakeError::Empty)));
    assert!(matches!(queue.take_timeout(soon), Err(TakeError::TimedOut)));
    assert!(matches!(queue.take_deadline(Instant::now() + soon), Err(TakeError::TimedOut)));
    queue.push(&1).unwrap();
    assert!(matches!(queue.push_timeout(&2, soon), Err(TypedPushError::Push(WorkPushError::TimedOut))));
    let late = queue.push_deadline(&2, Instant::now() + soon);
    assert!(matches!(late, Err(TypedPushError::Push(WorkPushError::TimedOut))));
    assert_eq!(queue.join_timeout(soon), Err(JoinError::TimedOut));
    assert_eq!(queue.join_deadline(Instant::now() + soon), Err(JoinError::TimedOut));
    queue.shutdown().unwrap();
    assert!(queue.is_shut_down());
    let mut leases = queue.take_many(9).unwrap();
    assert_eq!(leases.len(), 1);
    leases.pop().unwrap().done().unwrap();
    queue.join().unwrap();
    assert!(matches!(queue.take(), Err(TakeError::Closed)));
    assert!(matches!(queue.push(&3), Err(TypedPushError::Push(WorkPushError::Closed))));

    let (here, there) = TypedPipe::<u8>::one_way(&segment, "one", 64).unwrap();
    assert!(matches!(here.send(&1), Err(TypedSendError::Send(SendError::WrongDirection))));
    let clone = there.try_clone().unwrap();
    drop(there);
    clone.send(&1).unwrap();
    drop(clone);
    assert_eq!(here.recv().unwrap(), 1);
    assert!(matches!(here.recv(), Err(TypedRecvError::Recv(RecvError::EndOfFile))));
    assert!(matches!(TypedPipe::<u8>::open(&segment, "one", End::Second), Err(Error::EndGone)));
}

// semantics 90
#[test]
fn typed_objects_are_waited_for_beside_others() {
    let (_name, segment) = setup("t-any");
    let channel = TypedChannel::<Message>::create(&segment, "c", 64).unwrap();
    let (here, there) = TypedPipe::<Message>::pair(&segment, "p", 64).unwrap();
    let queue = TypedWorkQueue::<Message>::create(&segment, "w", &WorkQueueOptions::new(1, 64)).unwrap();
    let wait = || WaitAny::new([channel.readable(), here.readable(), queue.readable(), queue.finished()]).unwrap();
    assert_eq!(wait().wait().unwrap().bits(), 8);
    channel.send(&Message::Stop).unwrap();
    there.send(&Message::Stop).unwrap();
    queue.push(&Message::Stop).unwrap();
    assert_eq!(wait().wait().unwrap().bits(), 7);
    let room = WaitAny::new([channel.writable(8), there.writable(8), queue.writable()]).unwrap();
    assert_eq!(room.wait().unwrap().bits(), 3);
    queue.take().unwrap().done().unwrap();
    assert_eq!(room.wait().unwrap().bits(), 7);
}

#[test]
fn the_example_prints_every_report() {
    common::run_example("typed", examples::typed);
}
