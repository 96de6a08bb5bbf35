//! The public handles in models: what a user who model-checks a protocol of their own builds it from.
//!
//! The algorithms below the handles have models of their own beside this one. Here each kind is created, used by two
//! processes, and by one that is killed at every step, with nothing but the public API.
#![cfg(ringfence_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};
use std::time::Duration;

use loom::thread;
use ringfence::model::{at_every_step, run_until};
use ringfence::{
    Array, Barrier, BarrierError, ByteRing, Channel, Condvar, CondvarError, Error, Event, LockError, LockFailure,
    Mutex, OnceValue, PopError, Queue, ReentrantMutex, Reset, RwLock, Segment, SegmentOptions, Semaphore,
    SemaphoreOptions, Spsc, Value, WaitAny, Waitable, Woken, WorkQueue, WorkQueueOptions,
};

/// Explores `model` with at most `bound` preemptions an execution.
fn explore(bound: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
}

/// The same for each step at which somebody is killed; the model counts through what it is handed, and the sum is returned.
fn explore_deaths(bound: usize, model: impl Fn(usize, &Count) + Send + Sync + 'static) -> usize {
    let (model, counted) = (Arc::new(model), Arc::new(Count::new(0)));
    let count = counted.clone();
    at_every_step(move |step| {
        let (model, count) = (model.clone(), count.clone());
        explore(bound, move || model(step, &count));
    });
    counted.load(SeqCst)
}

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new().participants(4).objects(4)).unwrap()
}

/// The guard, and whether it was told of a death.
fn told<G>(locked: Result<G, LockError<G>>) -> (G, bool) {
    match locked {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard, true),
        Err(error) => panic!("{error}"),
    }
}

/// Half a pair, or half of each of two, has another difference.
fn pair(number: u64) -> [u64; 2] {
    [number, number + 7]
}

fn is_whole(pair: [u64; 2]) -> bool {
    pair[1] == pair[0] + 7
}

#[test]
fn a_mutex_keeps_two_from_each_other() {
    explore(3, || {
        let segment = segment();
        let add = |segment: &Segment| {
            let mutex = Mutex::<[u64; 2]>::open_or_create(segment, "m", pair(0)).unwrap();
            let mut value = mutex.lock().unwrap();
            *value = pair(value[0] + 1);
        };
        let other = segment.clone();
        let other = thread::spawn(move || add(&other));
        add(&segment);
        other.join().unwrap();
        assert_eq!(*Mutex::<[u64; 2]>::open(&segment, "m").unwrap().lock().unwrap(), pair(2));
    });
}

#[test]
fn the_next_owner_is_told_of_a_death_and_finds_the_last_commit() {
    let deaths = explore_deaths(2, |step, deaths| {
        let segment = segment();
        let mutex = Arc::new(Mutex::<[u64; 2]>::create(&segment, "m", pair(0)).unwrap());
        let victim = mutex.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                let mut guard = victim.lock().unwrap();
                *guard = pair(1);
                guard.commit();
                *guard = pair(2);
            })
        });
        let (mut guard, died) = told(mutex.lock());
        assert!(is_whole(*guard), "torn: {:?}", *guard);
        assert!(died || guard[0] != 1, "a dead owner has let go");
        if died {
            assert!(guard.make_consistent());
            deaths.fetch_add(1, SeqCst);
        }
        drop(guard);
        let outlived = victim.join().unwrap();
        let (guard, died) = told(mutex.lock());
        // Told of it once: a victim with the lock may also have come after the first look.
        assert!(!died || outlived.is_none());
        assert!(outlived.is_none() || *guard == pair(2));
    });
    assert!(deaths > 0);
}

#[test]
fn a_reentrant_mutex_of_the_dead_is_free_at_every_depth() {
    let deaths = explore_deaths(2, |step, deaths| {
        let mutex = Arc::new(ReentrantMutex::create(&segment(), "r").unwrap());
        let victim = mutex.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                let _outer = victim.lock().unwrap();
                let _inner = victim.lock().unwrap();
            })
        });
        let (mut guard, died) = told(mutex.lock());
        if died {
            assert!(guard.make_consistent());
            deaths.fetch_add(1, SeqCst);
        }
        drop(guard);
        victim.join().unwrap();
        told(mutex.lock()).0.unlock();
    });
    assert!(deaths > 0);
}

#[test]
fn who_waits_at_a_condition_variable_gets_the_lock_of_a_dead_notifier() {
    let deaths = explore_deaths(1, |step, deaths| {
        let segment = segment();
        let (ready, changed) = (Mutex::create(&segment, "m", 0_u64), Condvar::create(&segment, "c", 2));
        let both = Arc::new((ready.unwrap(), changed.unwrap()));
        let theirs = both.clone();
        let setter = thread::spawn(move || {
            let set = |step| {
                run_until(step, || {
                    let (mut guard, died) = told(theirs.0.lock());
                    *guard = 1;
                    if died {
                        guard.make_consistent();
                    }
                    theirs.1.notify_all(&guard).unwrap();
                })
            };
            if set(step).is_none() {
                set(usize::MAX).expect("this one is not killed");
            }
        });
        let (ready, changed) = &*both;
        let (mut guard, mut died) = told(ready.lock());
        while *guard == 0 {
            guard = match changed.wait(guard) {
                Ok(guard) => guard,
                Err(CondvarError::OwnerDied(guard, Woken::Notified)) => {
                    died = true;
                    guard
                }
                Err(error) => panic!("{error}"),
            };
        }
        if died {
            deaths.fetch_add(1, SeqCst);
        }
        guard.make_consistent();
        drop(guard);
        setter.join().unwrap();
    });
    assert!(deaths > 0);
}

#[test]
fn a_dead_writer_is_told_of_and_a_dead_reader_leaves() {
    let deaths = explore_deaths(1, |step, deaths| {
        let lock = Arc::new(RwLock::<[u64; 2]>::create(&segment(), "rw", pair(0)).unwrap());
        let victim = lock.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                assert!(is_whole(*victim.read().unwrap()));
                *victim.write().unwrap() = pair(1);
            })
        });
        let (mut guard, died) = told(lock.write());
        assert!(is_whole(*guard));
        if died {
            assert!(guard.make_consistent());
            deaths.fetch_add(1, SeqCst);
        }
        drop(guard);
        victim.join().unwrap();
        assert!(is_whole(*told(lock.read()).0));
    });
    assert!(deaths > 0);
}

#[test]
fn the_permits_of_the_dead_come_back() {
    explore_deaths(2, |step, _| {
        let pool = Arc::new(Semaphore::create(&segment(), "s", &SemaphoreOptions::new(1)).unwrap());
        let victim = pool.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                let _permit = victim.acquire(1).unwrap();
                assert_eq!(victim.taken().unwrap(), 1);
            })
        });
        drop(told(pool.acquire(1)).0);
        victim.join().unwrap();
        assert_eq!(pool.value().unwrap(), 1);
    });
}

#[test]
fn a_signal_arrives() {
    // Where one is all there may be, giving it back loads nothing.
    for options in [SemaphoreOptions::new(0), SemaphoreOptions::new(0).maximum(1)] {
        explore(3, move || {
            let segment = segment();
            let signal = Semaphore::create(&segment, "s", &options.signalling()).unwrap();
            let other = thread::spawn(move || {
                Semaphore::open(&segment, "s").unwrap().release(1).unwrap();
            });
            signal.acquire(1).unwrap().forget();
            other.join().unwrap();
        });
    }
}

#[test]
fn the_dead_give_nothing_back_that_nobody_owns() {
    explore_deaths(2, |step, _| {
        let pool = Semaphore::create(&segment(), "s", &SemaphoreOptions::new(1).signalling()).unwrap();
        let outlived = run_until(step, || {
            let _permit = pool.acquire(1).unwrap();
            assert_eq!(pool.value().unwrap(), 0);
        });
        assert!(outlived.is_none() || pool.value().unwrap() == 1);
    });
}

/// As it stands in the crate's documentation.
#[test]
fn the_next_owner_is_told() {
    at_every_step(|step| {
        let mut explorer = loom::model::Builder::new();
        explorer.preemption_bound = Some(2);
        explorer.check(move || {
            let segment = Segment::anonymous(&SegmentOptions::new().participants(3)).unwrap();
            let theirs = segment.clone();
            let victim = loom::thread::spawn(move || {
                run_until(step, || {
                    let balance = Mutex::<i64>::open_or_create(&theirs, "balance", 100).unwrap();
                    *balance.lock().unwrap() += 1;
                })
            });
            let balance = Mutex::<i64>::open_or_create(&segment, "balance", 100).unwrap();
            match balance.lock() {
                Ok(balance) => assert!(*balance == 100 || *balance == 101),
                Err(LockError::OwnerDied(mut balance)) => assert!(balance.make_consistent()),
                Err(error) => panic!("{error}"),
            }
            victim.join().unwrap();
        });
    });
}

#[test]
fn an_event_of_either_kind_wakes_whoever_waits() {
    for reset in [Reset::Manual, Reset::Auto] {
        explore(2, move || {
            let event = Arc::new(Event::create(&segment(), "e", reset).unwrap());
            let sets = event.clone();
            let other = thread::spawn(move || sets.set().unwrap());
            event.wait().unwrap();
            other.join().unwrap();
            assert_eq!(event.is_set().unwrap(), reset == Reset::Manual);
        });
    }
}

#[test]
fn an_item_of_two_words_is_whole_whoever_dies_writing_another() {
    explore_deaths(2, |step, _| {
        let queue = Arc::new(Queue::<[u64; 2]>::create(&segment(), "q", 2).unwrap());
        let pushes = queue.clone();
        let other = thread::spawn(move || {
            let pushed = run_until(step, || pushes.push(pair(1)).unwrap());
            pushes.push(pair(2)).unwrap();
            pushed
        });
        let first = queue.pop().unwrap();
        let pushed = other.join().unwrap();
        let last = queue.try_pop();
        assert!(is_whole(first));
        match (first[0], last) {
            (1, Ok(second)) => assert_eq!(second, pair(2)),
            (2, Err(PopError::Empty)) => assert!(pushed.is_none()),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_pop_with_a_time_out_ends_once_without_an_item() {
    let expired = Arc::new(Count::new(0));
    let count = expired.clone();
    explore(3, move || {
        let queue = Arc::new(Queue::<u64>::create(&segment(), "q", 1).unwrap());
        let pushes = queue.clone();
        let other = thread::spawn(move || pushes.push(1).unwrap());
        // However short it is: time does not pass.
        match queue.pop_timeout(std::time::Duration::from_nanos(1)) {
            Ok(item) => assert_eq!(item, 1),
            Err(PopError::TimedOut) => {
                count.fetch_add(1, SeqCst);
                assert_eq!(queue.pop().unwrap(), 1);
            }
            Err(error) => panic!("{error}"),
        }
        other.join().unwrap();
    });
    assert!(expired.load(SeqCst) > 0);
}

#[test]
fn a_message_is_whole_whoever_dies_sending_another() {
    explore_deaths(1, |step, _| {
        let channel = Arc::new(Channel::create(&segment(), "c", 48).unwrap());
        let sends = channel.clone();
        let other = thread::spawn(move || {
            let sent = run_until(step, || sends.send(b"the first one").unwrap());
            sends.send(b"a second").unwrap();
            sent
        });
        let first = channel.recv().unwrap();
        let sent = other.join().unwrap();
        if first == b"the first one" {
            assert_eq!(channel.recv().unwrap(), b"a second");
        } else {
            assert_eq!(first, b"a second");
            assert!(sent.is_none());
        }
    });
}

#[test]
fn values_of_every_size_are_single_words_or_never_torn() {
    explore(2, || {
        let segment = segment();
        let (byte, half) = (Value::<u8>::create(&segment, "8", 255), Value::<u16>::create(&segment, "16", 1));
        let (byte, half) = (byte.unwrap(), half.unwrap());
        let large = Arc::new(Value::<[u64; 2]>::create(&segment, "large", pair(0)).unwrap());
        let theirs = large.clone();
        let other = thread::spawn(move || {
            Value::<u8>::open(&segment, "8").unwrap().fetch_add(2);
            Value::<u16>::open(&segment, "16").unwrap().fetch_add(2);
            theirs.write(pair(1)).unwrap();
        });
        byte.fetch_add(3);
        half.fetch_add(3);
        assert!(is_whole(large.read().unwrap()));
        other.join().unwrap();
        assert_eq!((byte.get(), half.get(), large.read().unwrap()), (4, 6, pair(1)));
    });
}

#[test]
fn elements_of_an_array_lie_beside_each_other() {
    explore(2, || {
        let array = Arc::new(Array::<u32>::create(&segment(), "a", 3).unwrap());
        let theirs = array.clone();
        let other = thread::spawn(move || theirs.set(1, 7).unwrap());
        array.set(0, 8).unwrap();
        array.fetch_add(2, 9).unwrap();
        other.join().unwrap();
        assert_eq!(array.to_vec().unwrap(), [8, 7, 9]);
    });
}

#[test]
fn a_wait_for_the_end_of_a_process_ends_with_it() {
    let deaths = explore_deaths(2, |step, deaths| {
        let segment = segment();
        let queue = Arc::new(Queue::<u64>::create(&segment, "q", 3).unwrap());
        let theirs = queue.clone();
        let other = thread::spawn(move || {
            let outlived = run_until(step, || {
                theirs.push(1).unwrap();
                theirs.push(2).unwrap();
            });
            if outlived.is_none() {
                theirs.push(3).unwrap();
            }
        });
        queue.pop().unwrap();
        // The second one that has ever used the segment, if it still does.
        if let Some(victim) = segment.participants().into_iter().find(|process| process.id == 2) {
            let wait = WaitAny::new([Waitable::gone(&segment, &victim)]).unwrap();
            assert!(wait.wait().unwrap().contains(0));
            assert!(segment.participants().iter().all(|process| process.id != 2 || !process.alive));
            deaths.fetch_add(1, SeqCst);
        }
        other.join().unwrap();
    });
    assert!(deaths > 0);
}

#[test]
fn exactly_one_of_two_creates_an_object() {
    explore(3, || {
        let segment = segment();
        let create = |segment: &Segment| Value::<u64>::create(segment, "v", 7).is_ok();
        let other = segment.clone();
        let other = thread::spawn(move || create(&other));
        let ours = create(&segment);
        assert!(ours != other.join().unwrap());
        assert_eq!(Value::<u64>::open(&segment, "v").unwrap().get(), 7);
        assert_eq!(
            Mutex::<u64>::open(&segment, "v").err().map(|e| e.to_string()).as_deref(),
            Some("the object is a value, not a mutex")
        );
        segment.remove("v").unwrap();
        assert_eq!(Value::<u64>::open(&segment, "v").err(), Some(Error::Missing));
    });
}

/// A process that is told of its own death does nothing any more, whatever its handles are asked for while it unwinds.
#[test]
fn what_the_dead_drop_is_refused() {
    struct Unlocks(Arc<ReentrantMutex>, Arc<Count>);
    impl Drop for Unlocks {
        fn drop(&mut self) {
            if let Err(LockError::Segment(Error::Stale)) = self.0.lock() {
                self.1.fetch_add(1, SeqCst);
            }
        }
    }
    let refused = Arc::new(Count::new(0));
    let count = refused.clone();
    explore(1, move || {
        let (mutex, count) = (Arc::new(ReentrantMutex::create(&segment(), "r").unwrap()), count.clone());
        let outlived = run_until(0, || {
            let _unlocks = Unlocks(mutex.clone(), count);
            drop(mutex.lock().unwrap());
        });
        assert!(outlived.is_none());
        assert!(!matches!(mutex.try_lock(), Err(LockError::OwnerDied(_))));
    });
    assert_eq!(refused.load(SeqCst), 1);
}

#[test]
fn there_is_an_end_of_places() {
    explore(0, || {
        let segment = segment();
        let mutex = Mutex::<u64>::create(&segment, "m", 0).unwrap();
        for _ in 0..3 {
            run_until(usize::MAX, || drop(mutex.lock().unwrap())).unwrap();
        }
        let refused = run_until(usize::MAX, || mutex.lock().map(drop).map_err(|error| error.to_string())).unwrap();
        let expected = LockFailure::Segment(Error::TooManyParticipants).to_string();
        assert_eq!(refused, Err(expected));
    });
}

/// A party that dies before it arrives was never there; one that dies there, or is registered, breaks the barrier.
#[test]
fn a_barrier_lets_all_through_or_is_broken() {
    let deaths = explore_deaths(2, |step, deaths| {
        let barrier = Arc::new(Barrier::create(&segment(), "b", 2).unwrap());
        let victim = barrier.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                let _party = victim.register().unwrap();
                victim.wait().map(|passed| passed.index())
            })
        });
        let ours = barrier.wait_timeout(Duration::from_secs(1)).map(|passed| passed.index());
        match (ours, victim.join().unwrap()) {
            (Ok(ours), Some(Ok(theirs))) => assert_eq!(ours + theirs, 1),
            // It died on its way out, or before it was registered.
            (Ok(_) | Err(BarrierError::TimedOut), None) => {}
            (Err(BarrierError::PartyDied), None) => _ = deaths.fetch_add(1, SeqCst),
            // A time-out of one breaks it for both.
            (Err(BarrierError::TimedOut), Some(Err(BarrierError::Broken))) => {}
            other => panic!("{other:?}"),
        }
    });
    assert!(deaths > 0);
}

#[test]
fn a_value_is_made_once_whoever_dies_making_it() {
    let deaths = explore_deaths(2, |step, deaths| {
        let pairs = Arc::new(OnceValue::<[u64; 2]>::create(&segment(), "o").unwrap());
        let victim = pairs.clone();
        let victim = thread::spawn(move || run_until(step, || victim.get_or_init(|_| pair(1)).unwrap()));
        let mut again = false;
        let value = pairs
            .get_or_init(|state| {
                again = state.is_retry();
                pair(2)
            })
            .unwrap();
        assert!(value == pair(1) || value == pair(2));
        let lived = victim.join().unwrap();
        assert!(lived.is_none_or(|theirs| theirs == value));
        if again {
            assert!(lived.is_none() && value == pair(2));
            deaths.fetch_add(1, SeqCst);
        }
        assert_eq!(pairs.get(), Some(value));
    });
    assert!(deaths > 0);
}

#[test]
fn a_ring_goes_on_with_the_next_producer() {
    let deaths = explore_deaths(2, |step, deaths| {
        let ring = Arc::new(Spsc::<[u64; 2]>::create(&segment(), "r", 2).unwrap());
        let theirs = ring.clone();
        let victim = thread::spawn(move || {
            let lived = run_until(step, || {
                let mut producer = theirs.producer().unwrap();
                producer.push(pair(1)).unwrap();
            });
            // It is told of as dead, and its end is free.
            theirs.producer().unwrap().push(pair(2)).unwrap();
            lived
        });
        let mut consumer = ring.consumer().unwrap();
        let first = consumer.pop().unwrap();
        let lived = victim.join().unwrap();
        assert!(is_whole(first) && (first == pair(1) || lived.is_none()));
        if first == pair(1) {
            assert_eq!(consumer.pop().unwrap(), pair(2));
        }
        assert!(consumer.try_pop().is_err());
        deaths.fetch_add(lived.is_none().into(), SeqCst);
    });
    assert!(deaths > 0);
}

#[test]
fn a_record_is_whole_whoever_dies_writing_or_reading_it() {
    let deaths = explore_deaths(1, |step, deaths| {
        let ring = Arc::new(ByteRing::create(&segment(), "r", 64).unwrap());
        ring.producer().unwrap().push(&[1; 9]).unwrap();
        let theirs = ring.clone();
        let victim = thread::spawn(move || {
            run_until(step, || {
                let (mut producer, mut consumer) = (theirs.producer().unwrap(), theirs.consumer().unwrap());
                let mut room = producer.reserve(10).unwrap();
                room.write_at(0, &[2; 9]);
                room.commit(9).unwrap();
                consumer.peek().unwrap().release();
            })
        });
        let lived = victim.join().unwrap();
        let mut consumer = ring.consumer().unwrap();
        let mut found = Vec::new();
        while let Ok(record) = consumer.try_pop() {
            assert_eq!(record, vec![record[0]; 9]);
            found.push(record[0]);
        }
        match lived {
            Some(()) => assert_eq!(found, [2]),
            None => {
                deaths.fetch_add(1, SeqCst);
                assert!([&[1][..], &[1, 2], &[2]].contains(&&found[..]), "{found:?}");
            }
        }
        assert!(ring.is_empty());
        ring.producer().unwrap().push(&[3; 9]).unwrap();
    });
    assert!(deaths > 0);
}

#[test]
fn a_message_is_delivered_until_it_is_done() {
    let deaths = explore_deaths(1, |step, deaths| {
        let queue = Arc::new(WorkQueue::create(&segment(), "w", &WorkQueueOptions::new(1, 8)).unwrap());
        queue.push(&7_u64.to_ne_bytes()).unwrap();
        let takes = queue.clone();
        let other = thread::spawn(move || {
            run_until(step, || {
                let lease = takes.take().unwrap();
                assert_eq!(lease.get(), Ok(7_u64));
                lease.done().unwrap();
            })
        });
        // Ends when the message is done, by whomever.
        let joins = queue.clone();
        let joiner = thread::spawn(move || joins.join().unwrap());
        let done = other.join().unwrap();
        if done.is_none() {
            deaths.fetch_add(1, SeqCst);
            if let Ok(lease) = queue.try_take() {
                assert!(lease.deliveries() <= 2);
                lease.done().unwrap();
            }
        }
        joiner.join().unwrap();
        queue.try_push(b"room").unwrap();
    });
    assert!(deaths > 0);
}
