//! Work queues: what it costs to take a message and report it done, against a pop of the queue that keeps nothing.

use std::hint::black_box;

use ringfence::{Plain, Queue, WorkQueue, WorkQueueOptions};

use crate::crew::{As, Gate, nanoseconds, run};
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, Sample, contestant};

const CAPACITY: usize = 1024;
/// Times that everything is filled and drained.
const ROUNDS: u64 = 500;

/// Something that `u64`s go through.
trait Passage {
    fn push(&self, item: u64);
    fn pop(&self) -> u64;
}

impl Passage for Queue<u64> {
    #[inline(always)]
    fn push(&self, item: u64) {
        Queue::push(self, item).expect("nobody dies");
    }
    #[inline(always)]
    fn pop(&self) -> u64 {
        Queue::pop(self).expect("nobody dies")
    }
}

impl Passage for WorkQueue {
    #[inline(always)]
    fn push(&self, item: u64) {
        WorkQueue::push(self, &item.to_ne_bytes()).expect("nobody dies");
    }
    #[inline(always)]
    fn pop(&self) -> u64 {
        let lease = self.take().expect("nobody dies");
        let item = lease.get().expect("a number");
        lease.done().expect("it is ours");
        item
    }
}

/// Nanoseconds of a push and of a pop, one worker, a queue that is filled and drained in turn.
fn alone(passage: &impl Passage, pops: bool) -> Sample {
    let mut spent = [0, 0];
    for _ in 0..ROUNDS {
        let begin = nanoseconds();
        (0..CAPACITY as u64).for_each(|item| passage.push(item));
        let middle = nanoseconds();
        for _ in 0..CAPACITY {
            black_box(passage.pop());
        }
        spent[0] += middle - begin;
        spent[1] += nanoseconds() - middle;
    }
    Sample::from(spent[usize::from(pops)] as f64 / (ROUNDS * CAPACITY as u64) as f64)
}

/// One producer, one consumer, on different cores: M/s.
fn flow<P: Passage>(open: impl Fn() -> P + Sync, each: u64) -> Sample {
    let work = |index: usize, gate: &Gate| {
        let passage = open();
        gate.start();
        let mut sum = 0_u64;
        for item in 0..each {
            if index == 0 { passage.push(item) } else { sum += passage.pop() }
        }
        assert!(index == 0 || sum == each * (each - 1) / 2, "lost or doubled");
        each
    };
    Sample::from(run(As::Processes, 2, None, work).mops() / 2.0)
}

const WORK: &str = "ringfence WorkQueue take+get+done";
const QUEUE: &str = "ringfence Queue<u64> pop";
const WORK_PUSH: &str = "ringfence WorkQueue push";
const QUEUE_PUSH: &str = "ringfence Queue<u64> push";
const WORK_FLOW: &str = "ringfence WorkQueue";
const QUEUE_FLOW: &str = "ringfence Queue<u64>";

/// Runs the races.
pub fn measure(book: &mut Book)
where
    u64: Plain,
{
    let scene = Scene::new(4 << 20);
    let options = WorkQueueOptions::new(CAPACITY, 8);
    let work = || WorkQueue::open_or_create(&scene.open(), "work", &options).expect("a work queue");
    let queue = || Queue::<u64>::open_or_create(&scene.open(), "queue", CAPACITY).expect("a queue");
    for (title, ours, peer, pops) in
        [("work queue, take and done", WORK, QUEUE, true), ("work queue, push", WORK_PUSH, QUEUE_PUSH, false)]
    {
        let (work, queue) = (work(), queue());
        let contestants: Vec<Contestant<'_>> =
            vec![contestant(ours, move || alone(&work, pops)), contestant(peer, move || alone(&queue, pops))];
        let demand = if pops { Demand::AtMost(2.0) } else { Demand::Shown };
        book.close_race(title, "ns", contestants).against(ours, &[peer], demand);
    }
    let each = if book.quick { 250_000 } else { 1_000_000 };
    let contestants: Vec<Contestant<'_>> =
        vec![contestant(WORK_FLOW, move || flow(work, each)), contestant(QUEUE_FLOW, move || flow(queue, each))];
    book.race("work queue, 8 B, 1+1", "M/s", contestants).against(WORK_FLOW, &[QUEUE_FLOW], Demand::Shown);
}
