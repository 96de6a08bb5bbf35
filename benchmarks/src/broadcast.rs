//! Broadcasts from one writer to several readers, and the newest value.

use std::time::Duration;

use ringfence::{Blackboard, Broadcast, BroadcastOptions, BroadcastRecvError, Plain};

use crate::crew::{As, nanoseconds, run};
use crate::ours::Scene;
#[cfg(feature = "peers")]
use crate::table::Demand;
use crate::table::{Book, Contestant, Sample, contestant};

const CAPACITY: usize = 1024;

fn options(waits: bool) -> BroadcastOptions {
    if waits { BroadcastOptions::new(CAPACITY).back_pressure(8) } else { BroadcastOptions::new(CAPACITY) }
}

/// How many records a second one process sends that each of so many others gets, in millions; nothing is lost.
fn lossless<const N: usize>(readers: usize, records: u64) -> Sample
where
    [u64; N]: Plain,
{
    let scene = Scene::new(4 << 20);
    let _first = Broadcast::<[u64; N]>::create(&scene.segment, "b", options(true)).expect("a broadcast");
    let run = run(As::Processes, 1 + readers, None, |index, gate| {
        let broadcast = Broadcast::<[u64; N]>::open(&scene.open(), "b").expect("the broadcast just made");
        if index == 0 {
            let writer = broadcast.writer().expect("the first");
            gate.start();
            (1..=records).for_each(|number| writer.send([number; N]).expect("nobody dies"));
            return records * (records + 1) / 2;
        }
        let reader = broadcast.reader().expect("room for it");
        gate.start();
        (0..records).map(|_| reader.recv().expect("nothing is lost")[N - 1]).sum()
    });
    assert!(run.counts.iter().all(|sum| *sum == run.counts[0]), "records lost or doubled");
    Sample::from(records as f64 / run.elapsed.as_secs_f64() / 1e6)
}

/// How many a second it sends without waiting, while others read what they can, until each of them has the last one, or knows that
/// it missed it.
fn overwriting<const N: usize>(readers: usize, records: u64) -> Sample
where
    [u64; N]: Plain,
{
    let scene = Scene::new(4 << 20);
    let _first = Broadcast::<[u64; N]>::create(&scene.segment, "b", options(false)).expect("a broadcast");
    let run = run(As::Processes, 1 + readers, None, |index, gate| {
        let broadcast = Broadcast::<[u64; N]>::open(&scene.open(), "b").expect("the broadcast just made");
        if index == 0 {
            let writer = broadcast.writer().expect("the first");
            gate.start();
            (1..=records).for_each(|number| writer.send([number; N]).expect("nobody dies"));
            return records;
        }
        let reader = broadcast.reader().expect("room for it");
        gate.start();
        let mut seen = 0;
        while seen < records {
            match reader.recv() {
                Ok(record) => {
                    assert_eq!(record[0], record[N - 1], "torn");
                    seen += 1;
                }
                Err(BroadcastRecvError::Missed(missed)) => seen += missed,
                Err(error) => panic!("{error}"),
            }
        }
        seen
    });
    assert!(run.counts.iter().all(|seen| *seen == records), "records lost or doubled");
    Sample::from(records as f64 / run.elapsed.as_secs_f64() / 1e6)
}

/// One way of a record between two processes that poll, in nanoseconds.
fn latency<const N: usize>(waits: bool, turns: u64) -> Sample
where
    [u64; N]: Plain,
{
    let scene = Scene::new(4 << 20);
    let names = ["there", "back"];
    let _first = names.map(|name| Broadcast::<[u64; N]>::create(&scene.segment, name, options(waits)).expect("room"));
    let run = run(As::Processes, 2, None, |index, gate| {
        let segment = scene.open();
        let open = |name| Broadcast::<[u64; N]>::open(&segment, name).expect("the broadcast just made");
        let (writer, reader) =
            (open(names[index]).writer().expect("the first"), open(names[1 - index]).reader().expect("room"));
        gate.start();
        for turn in 0..turns {
            if index == 0 {
                writer.send([turn; N]).expect("nobody dies");
            }
            let got = loop {
                if let Ok(got) = reader.try_recv() {
                    break got;
                }
                std::hint::spin_loop();
            };
            assert_eq!(got[N - 1], turn);
            if index == 1 {
                writer.send([turn; N]).expect("nobody dies");
            }
        }
        turns
    });
    Sample::from(run.elapsed.as_nanos() as f64 / (2 * turns) as f64)
}

/// Microseconds from before a send until the receiver has it, which has been asleep for a while: of two workers, each of which
/// makes what it sends and receives with.
pub(crate) fn asleep<S: FnMut(u64), R: FnMut() -> u64>(turns: u64, ends: impl Fn(usize) -> (S, R) + Sync) -> Sample {
    let run = run(As::Processes, 2, None, |index, gate| {
        let (mut send, mut recv) = ends(index);
        gate.start();
        let mut took = 0;
        for _ in 0..turns {
            if index == 0 {
                // Longer than anybody spins.
                std::thread::sleep(Duration::from_micros(150));
                send(nanoseconds());
                recv();
            } else {
                let sent = recv();
                took += nanoseconds() - sent;
                send(0);
            }
        }
        gate.meet_at_the_end(index, 2);
        took
    });
    Sample::from(run.counts[1] as f64 / 1e3 / turns as f64)
}

/// The same of ours, which sleeps in the receive.
fn wake_up<const N: usize>(waits: bool, turns: u64) -> Sample
where
    [u64; N]: Plain,
{
    let scene = Scene::new(4 << 20);
    let names = ["there", "back"];
    let _first = names.map(|name| Broadcast::<[u64; N]>::create(&scene.segment, name, options(waits)).expect("room"));
    asleep(turns, |index| {
        let segment = scene.open();
        let open = |name| Broadcast::<[u64; N]>::open(&segment, name).expect("the broadcast just made");
        let writer = open(names[index]).writer().expect("the first");
        let reader = open(names[1 - index]).reader().expect("room");
        let send = move |number| writer.send([number; N]).expect("nobody dies");
        (send, move || reader.recv().expect("it is not shut down")[N - 1])
    })
}

/// What a write and a read cost beside each other, in nanoseconds: both go on for the whole time.
fn newest<const N: usize>(quick: bool) -> [Sample; 2]
where
    [u64; N]: Plain,
{
    let scene = Scene::new(1 << 20);
    let first = Blackboard::<[u64; N]>::create(&scene.segment, "b").expect("a blackboard");
    first.writer().expect("the first").write([1; N]).expect("nobody dies");
    let time = Duration::from_millis(if quick { 60 } else { 200 });
    let run = run(As::Processes, 2, Some(time), |index, gate| {
        let board = Blackboard::<[u64; N]>::open(&scene.open(), "b").expect("the blackboard just made");
        let mut count = 0;
        if index == 0 {
            let writer = board.writer().expect("the only one");
            gate.start();
            while !gate.stopped() {
                count += 1;
                assert_eq!(writer.write([count; N]), Ok(count + 1));
            }
            return count;
        }
        gate.start();
        while !gate.stopped() {
            let (_, value) = board.read().expect("there is one");
            assert_eq!(value[0], value[N - 1], "torn");
            count += 1;
        }
        count
    });
    [0, 1].map(|index| Sample::from(run.elapsed.as_nanos() as f64 / run.counts[index] as f64))
}

#[cfg(feature = "peers")]
mod peers {
    use std::sync::Mutex;

    use disruptor::{BusySpin, EventPoller, Polling, Producer, SingleProducerBarrier, build_single_producer};

    use super::*;
    use crate::ring::persist;

    type Poller<const N: usize> = EventPoller<[u64; N], SingleProducerBarrier>;
    type Publish<const N: usize> = Box<dyn FnMut([u64; N]) + Send>;

    fn publisher<const N: usize, P: Producer<[u64; N]> + Send + 'static>(mut producer: P) -> Publish<N> {
        Box::new(move |record| {
            persist(|| producer.try_publish(|slot| *slot = record).ok());
        })
    }

    fn ends<const N: usize>(readers: usize) -> (Publish<N>, Vec<Poller<N>>) {
        let (first, builder) = build_single_producer(CAPACITY, || [0; N], BusySpin).new_event_poller();
        if readers == 1 {
            return (publisher(builder.build()), vec![first]);
        }
        let (second, mut builder) = builder.new_event_poller();
        let mut pollers = vec![first, second];
        while pollers.len() < readers {
            let (next, more) = builder.new_event_poller();
            pollers.push(next);
            builder = more;
        }
        (publisher(builder.build()), pollers)
    }

    /// The Disruptor's pattern between threads of one process; readers poll for all that there is.
    pub fn disruptor<const N: usize>(readers: usize, records: u64) -> Sample {
        let (publish, pollers) = ends::<N>(readers);
        let (publish, pollers) = (Mutex::new(Some(publish)), Mutex::new(pollers));
        let run = run(As::Threads, 1 + readers, None, |index, gate| {
            if index == 0 {
                let mut publish = publish.lock().expect("not poisoned").take().expect("the only one");
                gate.start();
                (1..=records).for_each(|number| publish([number; N]));
                return records * (records + 1) / 2;
            }
            let mut poller = pollers.lock().expect("not poisoned").pop().expect("one for each");
            gate.start();
            let (mut seen, mut sum) = (0, 0_u64);
            while seen < records {
                persist(|| match poller.poll() {
                    Ok(mut batch) => {
                        for record in &mut batch {
                            (seen, sum) = (seen + 1, sum + record[N - 1]);
                        }
                        Some(())
                    }
                    Err(Polling::NoEvents) => None,
                    Err(Polling::Shutdown) => panic!("shut down after {seen}"),
                });
            }
            sum
        });
        assert!(run.counts.iter().all(|sum| *sum == run.counts[0]), "records lost or doubled");
        Sample::from(records as f64 / run.elapsed.as_secs_f64() / 1e6)
    }
}

const LOSSLESS: &str = "ringfence Broadcast, back-pressure (processes)";
const OVERWRITING: &str = "ringfence Broadcast, overwrite (processes)";
#[cfg(feature = "peers")]
const ICEORYX: &str = "iceoryx2, publisher waits (processes)";
#[cfg(feature = "peers")]
const ICEORYX_OVERWRITING: &str = "iceoryx2, overflow (processes)";
#[cfg(feature = "peers")]
const ICEORYX_EVENT: &str = "iceoryx2 with its event (processes)";
#[cfg(feature = "peers")]
const DISRUPTOR: &str = "disruptor (threads)";

fn rates<const N: usize>(book: &mut Book, each: u64)
where
    [u64; N]: Plain,
{
    let each = if book.quick { each / 4 } else { each };
    for readers in [1, 2, 4] {
        #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
        let mut contestants: Vec<Contestant<'_>> = vec![
            contestant(LOSSLESS, move || lossless::<N>(readers, each)),
            contestant(OVERWRITING, move || overwriting::<N>(readers, each)),
        ];
        #[cfg(feature = "peers")]
        contestants.extend([
            contestant(ICEORYX, move || crate::iceoryx::lossless::<N>(readers, each / 4)),
            contestant(ICEORYX_OVERWRITING, move || crate::iceoryx::overwriting::<N>(readers, each / 4)),
            contestant(DISRUPTOR, move || peers::disruptor::<N>(readers, each)),
        ]);
        let title = format!("broadcast, {} B to {readers}", 8 * N);
        #[cfg_attr(not(feature = "peers"), allow(unused_mut, unused_variables))]
        let mut results = book.race(&title, "M/s", contestants);
        #[cfg(feature = "peers")]
        results
            .against(LOSSLESS, &[ICEORYX], Demand::AtLeast(3.0))
            .against(OVERWRITING, &[ICEORYX_OVERWRITING], Demand::AtLeast(3.0))
            .against(LOSSLESS, &[DISRUPTOR], Demand::Shown);
    }
}

fn latencies<const N: usize>(book: &mut Book)
where
    [u64; N]: Plain,
{
    let turns = if book.quick { 50_000 } else { 200_000 };
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut polling: Vec<Contestant<'_>> = vec![
        contestant(LOSSLESS, move || latency::<N>(true, turns)),
        contestant(OVERWRITING, move || latency::<N>(false, turns)),
    ];
    let wakes = turns / 200;
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut sleeping: Vec<Contestant<'_>> = vec![
        contestant(LOSSLESS, move || wake_up::<N>(true, wakes)),
        contestant(OVERWRITING, move || wake_up::<N>(false, wakes)),
    ];
    #[cfg(feature = "peers")]
    {
        polling.push(contestant(ICEORYX, move || crate::iceoryx::latency::<N>(turns / 4)));
        sleeping.push(contestant(ICEORYX_EVENT, move || crate::iceoryx::wake_up::<N>(wakes)));
    }
    let title = format!("broadcast, one way of {} B", 8 * N);
    #[cfg_attr(not(feature = "peers"), allow(unused_mut, unused_variables))]
    let mut results = book.race(&title, "ns", polling);
    #[cfg(feature = "peers")]
    results.against(LOSSLESS, &[ICEORYX], Demand::Shown).against(OVERWRITING, &[ICEORYX], Demand::Shown);
    let title = format!("broadcast, wake-up of a sleeper, {} B", 8 * N);
    #[cfg_attr(not(feature = "peers"), allow(unused_mut, unused_variables))]
    let mut results = book.race(&title, "us", sleeping);
    #[cfg(feature = "peers")]
    results.against(LOSSLESS, &[ICEORYX_EVENT], Demand::Shown).against(OVERWRITING, &[ICEORYX_EVENT], Demand::Shown);
}

/// Runs the broadcasts' races.
pub fn measure(book: &mut Book) {
    rates::<1>(book, 4_000_000);
    rates::<8>(book, 2_000_000);
    latencies::<1>(book);
    latencies::<8>(book);
}

/// Runs the race of a blackboard's two ends.
pub fn blackboard(book: &mut Book) {
    let quick = book.quick;
    let contestants = vec![
        contestant("a write of 64 B", move || newest::<8>(quick)[0]),
        contestant("a read of 64 B beside it", move || newest::<8>(quick)[1]),
        contestant("a write of 4 KiB", move || newest::<512>(quick)[0]),
        contestant("a read of 4 KiB beside it", move || newest::<512>(quick)[1]),
    ];
    let rounds = book.rounds.min(3);
    book.race_of("blackboard", "ns", rounds, contestants);
}
