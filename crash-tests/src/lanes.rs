//! One writer and its readers under test: a broadcast that overwrites or waits, and a blackboard, by the public API.

use ringfence::{
    Blackboard, BlackboardReadError, BlackboardWriter, Broadcast, BroadcastOptions, BroadcastReader,
    BroadcastRecvError, BroadcastWriter, Segment,
};

use crate::api::{digest, fresh_segment, join};
use crate::board::{Board, Digest, Role};
use crate::fifos::{WORDS, message, whole};

/// What reading came to, other than a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// There is none now.
    Yet,
    /// There will be none.
    Ever,
    /// It was torn.
    Torn,
    /// Anything else.
    Other,
}

/// One writer and its readers under test. A record says which number it is.
pub trait Lane: 'static {
    /// A process that has joined.
    type Joined;
    /// The writer.
    type Writer;
    /// A reader.
    type Reader;
    /// Whether the writer waits for readers.
    const WAITS: bool = false;
    /// Whether a reader may skip records.
    const SKIPS: bool = false;
    /// A fresh one. Called in the rig's own process.
    fn reset(board: &'static Board);
    /// Joins.
    fn join(board: &'static Board, role: Role) -> Self::Joined;
    /// Becomes the writer.
    fn writer(joined: &Self::Joined) -> Option<Self::Writer>;
    /// Becomes a reader; with `old`, of all that is there.
    fn reader(joined: &Self::Joined, old: bool) -> Option<Self::Reader>;
    /// Sends a record, waiting for as long as it takes.
    fn send(writer: &mut Self::Writer, number: u64) -> bool;
    /// Receives the next one.
    fn recv(reader: &mut Self::Reader, wait: bool) -> Result<u64, Nothing>;
    /// Shuts it down.
    fn shutdown(joined: &Self::Joined) -> bool;
    /// What a participant does for the dead.
    fn recover(joined: &Self::Joined, dead: Role);
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// A broadcast that overwrites, or one that waits for up to so many readers.
#[derive(Debug)]
pub struct ApiBroadcast<const READERS: usize>;

/// Records that fit: where the writer waits it soon has to.
fn capacity(readers: usize) -> usize {
    if readers == 0 { 6 } else { 1 }
}

impl<const READERS: usize> Lane for ApiBroadcast<READERS> {
    type Joined = (Segment, Broadcast<[u64; WORDS]>);
    type Writer = BroadcastWriter<[u64; WORDS]>;
    type Reader = BroadcastReader<[u64; WORDS]>;

    const WAITS: bool = READERS > 0;

    fn reset(board: &'static Board) {
        let options = BroadcastOptions::new(capacity(READERS)).back_pressure(READERS);
        fresh_segment(board, |segment| {
            let _ = Broadcast::<[u64; WORDS]>::create(segment, "lane", options).expect("room for a broadcast");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        let broadcast = Broadcast::open(&segment, "lane").expect("it is there");
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        (segment, broadcast)
    }

    fn writer((_, broadcast): &Self::Joined) -> Option<Self::Writer> {
        broadcast.writer().ok()
    }

    fn reader((_, broadcast): &Self::Joined, old: bool) -> Option<Self::Reader> {
        if old { broadcast.reader_from_oldest() } else { broadcast.reader() }.ok()
    }

    fn send(writer: &mut Self::Writer, number: u64) -> bool {
        writer.send(message(number)).is_ok()
    }

    fn recv(reader: &mut Self::Reader, wait: bool) -> Result<u64, Nothing> {
        let received = if wait { reader.recv() } else { reader.try_recv() };
        match received {
            Ok(record) => whole(record).map_err(|_| Nothing::Torn),
            Err(BroadcastRecvError::Empty) => Err(Nothing::Yet),
            Err(BroadcastRecvError::Closed) => Err(Nothing::Ever),
            Err(_) => Err(Nothing::Other),
        }
    }

    fn shutdown((_, broadcast): &Self::Joined) -> bool {
        broadcast.shutdown().is_ok()
    }

    fn recover((segment, _): &Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }
}

/// A blackboard.
#[derive(Debug)]
pub struct ApiBlackboard;

impl Lane for ApiBlackboard {
    type Joined = (Segment, Blackboard<[u64; WORDS]>);
    type Writer = BlackboardWriter<[u64; WORDS]>;
    type Reader = (Blackboard<[u64; WORDS]>, u64);

    const SKIPS: bool = true;

    fn reset(board: &'static Board) {
        fresh_segment(board, |segment| {
            let _ = Blackboard::<[u64; WORDS]>::create(segment, "lane").expect("room for a blackboard");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        let blackboard = Blackboard::open(&segment, "lane").expect("it is there");
        let _ = segment.objects();
        (segment, blackboard)
    }

    fn writer((_, blackboard): &Self::Joined) -> Option<Self::Writer> {
        blackboard.writer().ok()
    }

    fn reader((segment, _): &Self::Joined, _: bool) -> Option<Self::Reader> {
        Some((Blackboard::open(segment, "lane").ok()?, 0))
    }

    fn send(writer: &mut Self::Writer, number: u64) -> bool {
        writer.write(message(number)).is_ok()
    }

    fn recv((blackboard, last): &mut Self::Reader, wait: bool) -> Result<u64, Nothing> {
        let read = if wait { blackboard.wait_newer(*last) } else { blackboard.try_newer(*last) };
        match read {
            Ok((number, value)) => {
                *last = number;
                whole(value).map_err(|_| Nothing::Torn)
            }
            Err(BlackboardReadError::Empty) => Err(Nothing::Yet),
            Err(BlackboardReadError::Closed) => Err(Nothing::Ever),
            Err(_) => Err(Nothing::Other),
        }
    }

    fn shutdown((_, blackboard): &Self::Joined) -> bool {
        blackboard.shutdown().is_ok()
    }

    fn recover((segment, _): &Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }
}
