//! The public handles of rings in models, as `handles.rs` has those of the other kinds: each is used by two processes, and by one
//! that is killed at every step, with nothing but the public API.
#![cfg(ringfence_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::thread;
use ringfence::model::{at_every_step, run_until};
use ringfence::{
    Blackboard, BlackboardReadError, Broadcast, BroadcastOptions, BroadcastRecvError, Segment, SegmentOptions, WaitAny,
};

/// Explores `model` for each step at which somebody is killed; the model counts through what it is handed.
fn explore_deaths(bound: usize, model: impl Fn(usize, &Count) + Send + Sync + 'static) {
    let (model, counted) = (Arc::new(model), Arc::new(Count::new(0)));
    let count = counted.clone();
    at_every_step(move |step| {
        let (model, count) = (model.clone(), count.clone());
        let mut explorer = loom::model::Builder::new();
        explorer.preemption_bound = Some(bound);
        explorer.check(move || model(step, &count));
    });
    assert!(counted.load(SeqCst) > 0, "nobody was killed");
}

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new().participants(4).objects(4)).unwrap()
}

/// Half a pair, or half of each of two, has another difference.
fn pair(number: u64) -> [u64; 2] {
    [number, number + 7]
}

/// The writer dies anywhere, and a reader that waits for ever gets what the next one sends.
#[test]
fn a_broadcast_goes_on_behind_a_dead_writer() {
    explore_deaths(1, |step, deaths| {
        let segment = segment();
        let options = BroadcastOptions::new(2).back_pressure(1);
        let broadcast = Broadcast::<[u64; 2]>::create(&segment, "b", options).unwrap();
        let reader = broadcast.reader().unwrap();
        let theirs = segment.clone();
        let writing = thread::spawn(move || {
            let sent = run_until(step, || {
                let broadcast = Broadcast::<[u64; 2]>::open(&theirs, "b").unwrap();
                broadcast.writer().unwrap().send(pair(1)).unwrap();
            });
            let broadcast = Broadcast::<[u64; 2]>::open(&theirs, "b").unwrap();
            broadcast.writer().unwrap().send(pair(2)).unwrap();
            sent
        });
        let first = reader.recv();
        let second = if first == Ok(pair(1)) { reader.recv() } else { first.clone() };
        if writing.join().unwrap().is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        // It may have come between the two.
        assert!((first == Ok(pair(1)) || first == Ok(pair(2))) && second == Ok(pair(2)), "{first:?}, {second:?}");
        broadcast.shutdown().unwrap();
        assert_eq!(reader.recv(), Err(BroadcastRecvError::Closed));
    });
}

/// A reader dies anywhere, and the writer waits for nobody.
#[test]
fn a_broadcast_leaves_a_dead_reader_behind() {
    explore_deaths(1, |step, deaths| {
        let segment = segment();
        let options = BroadcastOptions::new(1).back_pressure(1);
        let broadcast = Broadcast::<[u64; 2]>::create(&segment, "b", options).unwrap();
        let theirs = segment.clone();
        let reading = thread::spawn(move || {
            run_until(step, || {
                let broadcast = Broadcast::<[u64; 2]>::open(&theirs, "b").unwrap();
                let reader = broadcast.reader().unwrap();
                reader.try_recv()
            })
        });
        let writer = broadcast.writer().unwrap();
        (1..4).for_each(|number| writer.send(pair(number)).unwrap());
        match reading.join().unwrap() {
            None => _ = deaths.fetch_add(1, SeqCst),
            Some(Ok(got)) => assert_eq!(got[1], got[0] + 7, "torn"),
            Some(Err(error)) => assert_eq!(error, BroadcastRecvError::Empty),
        }
    });
}

/// The writer of a blackboard dies anywhere, while another waits for a value, with something else beside it.
#[test]
fn a_blackboard_shows_whole_values_whoever_dies() {
    explore_deaths(1, |step, deaths| {
        let segment = segment();
        let board = Blackboard::<[u64; 2]>::create(&segment, "b").unwrap();
        let theirs = segment.clone();
        let writing = thread::spawn(move || {
            let written = run_until(step, || {
                let board = Blackboard::<[u64; 2]>::open(&theirs, "b").unwrap();
                board.writer().unwrap().write(pair(1)).unwrap();
            });
            if written.is_none() {
                let board = Blackboard::<[u64; 2]>::open(&theirs, "b").unwrap();
                board.writer().unwrap().write(pair(1)).unwrap();
            }
            written
        });
        let ready = WaitAny::new([board.newer(0), board.newer(5)]).unwrap().wait().unwrap();
        assert_eq!(ready.first(), 0);
        let (number, value) = board.read().unwrap();
        assert!((1..=2).contains(&number) && value == pair(1));
        if writing.join().unwrap().is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        board.shutdown().unwrap();
        assert_eq!(board.wait_newer(2), Err(BlackboardReadError::Closed));
    });
}
