//! iceoryx2 as a peer: publish and subscribe of `[u64; N]` between processes, and its event. For whatever of ours is measured
//! against it.
//!
//! Each process makes a node of its own, as its users do. Services have a name that no other run has.

use std::sync::atomic::{AtomicU32, Ordering};

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe};

use crate::crew::{As, Shared, run};
use crate::ring::persist;
use crate::table::Sample;

/// What a subscriber's buffer holds.
pub const CAPACITY: usize = 1024;

fn fresh(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("ringfence-bench/{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn node() -> Node<ipc::Service> {
    set_log_level(LogLevel::Error);
    // Ctrl-C ends the benchmark, not a node.
    NodeBuilder::new().signal_handling_mode(SignalHandlingMode::Disabled).create().expect("a node")
}

/// A publish-subscribe service of records of `N` words.
pub struct Topic {
    name: String,
    /// Whether a subscriber that is behind loses records; else the publisher waits for it.
    overwrites: bool,
    /// How many ports there are by now, of all processes.
    ports: Shared<AtomicU32>,
}

type Factory<const N: usize> = publish_subscribe::PortFactory<ipc::Service, [u64; N], ()>;

/// The publisher of a process.
pub struct Publishing<const N: usize> {
    port: Publisher<ipc::Service, [u64; N], ()>,
    _of: (Factory<N>, Node<ipc::Service>),
}

/// A subscriber of a process.
pub struct Subscribing<const N: usize> {
    port: Subscriber<ipc::Service, [u64; N], ()>,
    _of: (Factory<N>, Node<ipc::Service>),
}

impl Topic {
    /// A new one.
    pub fn new(overwrites: bool) -> Self {
        Self { name: fresh("topic"), overwrites, ports: Shared::new(AtomicU32::new(0)) }
    }

    fn open<const N: usize>(&self) -> (Factory<N>, Node<ipc::Service>) {
        let node = node();
        let name = self.name.as_str().try_into().expect("a name");
        let service = node
            .service_builder(&name)
            .publish_subscribe::<[u64; N]>()
            .subscriber_max_buffer_size(CAPACITY)
            .enable_safe_overflow(self.overwrites)
            .max_publishers(1)
            .max_subscribers(8)
            .open_or_create()
            .expect("a service");
        (service, node)
    }

    /// A port of a topic that will have so many is connected with the others on its side. Where the subscriber's side is not,
    /// because it has not received yet, a publisher that waits for a full buffer leaves that subscriber out instead.
    fn connect(&self, port: &impl UpdateConnections, ports: u32) {
        self.ports.fetch_add(1, Ordering::SeqCst);
        while self.ports.load(Ordering::SeqCst) < ports {
            std::thread::yield_now();
        }
        port.update_connections().expect("connected");
    }

    /// Becomes the publisher; waits until there are so many subscribers.
    pub fn publisher<const N: usize>(&self, subscribers: usize) -> Publishing<N> {
        let of = self.open();
        let waits =
            if self.overwrites { BackpressureStrategy::DiscardData } else { BackpressureStrategy::RetryUntilDelivered };
        let port = of.0.publisher_builder().backpressure_strategy(waits).create().expect("a publisher");
        self.connect(&port, 1 + subscribers as u32);
        Publishing { port, _of: of }
    }

    /// Becomes one of so many subscribers; waits until all of them and the publisher are there.
    pub fn subscriber<const N: usize>(&self, subscribers: usize) -> Subscribing<N> {
        let of = self.open();
        let port = of.0.subscriber_builder().create().expect("a subscriber");
        self.connect(&port, 1 + subscribers as u32);
        Subscribing { port, _of: of }
    }
}

/// The publisher of the one topic and the subscriber of the other, for each of two workers.
fn both_ways<const N: usize>(topics: &[Topic; 2], index: usize) -> (Publishing<N>, Subscribing<N>) {
    if index == 0 {
        let publisher = topics[0].publisher(1);
        (publisher, topics[1].subscriber(1))
    } else {
        let subscriber = topics[0].subscriber(1);
        (topics[1].publisher(1), subscriber)
    }
}

impl<const N: usize> Publishing<N> {
    /// Publishes a record without a copy, as its users are told to.
    #[inline]
    pub fn send(&self, record: [u64; N]) {
        let sample = self.port.loan_uninit().expect("a sample");
        sample.write_payload(record).send().expect("sent");
    }
}

impl<const N: usize> Subscribing<N> {
    /// The next record, if there is one.
    #[inline]
    pub fn try_recv(&self) -> Option<[u64; N]> {
        self.port.receive().expect("a connection").map(|sample| *sample)
    }

    /// The next record, by polling.
    #[inline]
    pub fn recv(&self) -> [u64; N] {
        persist(|| self.try_recv())
    }
}

/// How many records a second one process sends that each of so many others gets, in millions; nothing is lost.
pub fn lossless<const N: usize>(readers: usize, records: u64) -> Sample {
    let topic = Topic::new(false);
    let run = run(As::Processes, 1 + readers, None, |index, gate| {
        if index == 0 {
            let publisher = topic.publisher::<N>(readers);
            gate.start();
            (1..=records).for_each(|number| publisher.send([number; N]));
            // What is not read yet lives in the publisher's memory.
            gate.meet_at_the_end(index, 1 + readers);
            return records * (records + 1) / 2;
        }
        let subscriber = topic.subscriber::<N>(readers);
        gate.start();
        let sum = (0..records).map(|_| subscriber.recv()[N - 1]).sum();
        gate.meet_at_the_end(index, 1 + readers);
        sum
    });
    assert!(run.counts.iter().all(|sum| *sum == run.counts[0]), "records lost or doubled");
    Sample::from(records as f64 / run.elapsed.as_secs_f64() / 1e6)
}

/// How many a second it publishes without waiting, while others read what they can, until each of them has the last one.
pub fn overwriting<const N: usize>(readers: usize, records: u64) -> Sample {
    let topic = Topic::new(true);
    let run = run(As::Processes, 1 + readers, None, |index, gate| {
        if index == 0 {
            let publisher = topic.publisher::<N>(readers);
            gate.start();
            (1..=records).for_each(|number| publisher.send([number; N]));
            gate.meet_at_the_end(index, 1 + readers);
            return records;
        }
        let subscriber = topic.subscriber::<N>(readers);
        gate.start();
        let mut last = 0;
        while last < records {
            let next = subscriber.recv()[N - 1];
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        gate.meet_at_the_end(index, 1 + readers);
        last
    });
    Sample::from(records as f64 / run.elapsed.as_secs_f64() / 1e6)
}

/// One way of a record between two processes that poll, in nanoseconds.
pub fn latency<const N: usize>(turns: u64) -> Sample {
    let topics = [Topic::new(false), Topic::new(false)];
    let run = run(As::Processes, 2, None, |index, gate| {
        let (publisher, subscriber) = both_ways::<N>(&topics, index);
        gate.start();
        for turn in 0..turns {
            if index == 0 {
                publisher.send([turn; N]);
            }
            let got = loop {
                if let Some(got) = subscriber.try_recv() {
                    break got;
                }
                std::hint::spin_loop();
            };
            assert_eq!(got[N - 1], turn);
            if index == 1 {
                publisher.send([turn; N]);
            }
        }
        gate.meet_at_the_end(index, 2);
        turns
    });
    Sample::from(run.elapsed.as_nanos() as f64 / (2 * turns) as f64)
}

/// Microseconds from before a record is published until a process has it that has slept for it, at an event of its own.
pub fn wake_up<const N: usize>(turns: u64) -> Sample {
    let (topics, bells) = ([Topic::new(false), Topic::new(false)], [Bell::new(), Bell::new()]);
    crate::broadcast::asleep(turns, |index| {
        let (publisher, subscriber) = both_ways::<N>(&topics, index);
        let (notifier, listener) = (bells[index].notifier(), bells[1 - index].listener());
        let send = move |number| {
            publisher.send([number; N]);
            notifier.ring();
        };
        let recv = move || loop {
            listener.wait();
            if let Some(record) = subscriber.try_recv() {
                return record[N - 1];
            }
        };
        (send, recv)
    })
}

/// An event service.
pub struct Bell {
    name: String,
}

type BellFactory = event::PortFactory<ipc::Service>;

/// Who rings in a process.
pub struct Ringing {
    port: Notifier<ipc::Service>,
    _of: (BellFactory, Node<ipc::Service>),
}

/// Who listens in a process.
pub struct Listening {
    port: Listener<ipc::Service>,
    _of: (BellFactory, Node<ipc::Service>),
}

impl Bell {
    /// A new one.
    pub fn new() -> Self {
        Self { name: fresh("bell") }
    }

    fn open(&self) -> (BellFactory, Node<ipc::Service>) {
        let node = node();
        let name = self.name.as_str().try_into().expect("a name");
        let service = node.service_builder(&name).event().open_or_create().expect("a service");
        (service, node)
    }

    /// Becomes one who rings.
    pub fn notifier(&self) -> Ringing {
        let of = self.open();
        Ringing { port: of.0.notifier_builder().create().expect("a notifier"), _of: of }
    }

    /// Becomes one who listens.
    pub fn listener(&self) -> Listening {
        let of = self.open();
        Listening { port: of.0.listener_builder().create().expect("a listener"), _of: of }
    }
}

impl Ringing {
    /// Wakes those who listen.
    pub fn ring(&self) {
        self.port.notify().expect("notified");
    }
}

impl Listening {
    /// Sleeps until it was rung.
    pub fn wait(&self) {
        let mut rung = false;
        while !rung {
            self.port.blocking_wait(|_| rung = true).expect("a wait");
        }
    }
}
