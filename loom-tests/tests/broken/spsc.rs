//! Variants of the ring with one producer and one consumer that are broken on purpose: the models must find each.

use super::*;

#[test]
fn they_are_found() {
    must_fail("negative::a_successor_that_trusts_the_position", "got");
    must_fail("negative::a_stamp_before_the_item", "torn");
    must_fail("negative::an_end_without_a_last_look", "not exact");
    must_fail("negative::a_position_before_the_copy", "torn");
}

#[test]
#[ignore = "fails on purpose"]
fn a_successor_that_trusts_the_position() {
    a_producer_dies(|world| {
        world.produce(2).unwrap();
        let position = world.header.producer.0.position.load(Ordering::Relaxed);
        let (index, lap) = (position & world.geometry.mask(), position >> world.geometry.shift());
        if !world.ring().can_push() {
            return Err(PushFailure::Full);
        }
        let slot = index as usize * world.geometry.stride();
        words::store(&world.slots[slot + 1..], &[22; ITEM]);
        world.slots[slot].store(lap + 1, Ordering::Release);
        Ok(())
    });
}

#[test]
#[ignore = "fails on purpose"]
fn a_stamp_before_the_item() {
    explore(2, || {
        let world = World::new(1);
        let producer = thread::spawn({
            let world = world.clone();
            move || {
                world.slots[0].store(1, Ordering::Release);
                words::store(&world.slots[1..], &[20; ITEM]);
            }
        });
        let mut head = world.consume(2).unwrap();
        let _ = world.pop(&mut head, NOW);
        producer.join().unwrap();
    });
}

#[test]
#[ignore = "fails on purpose"]
fn a_position_before_the_copy() {
    explore(2, || {
        let world = World::holding(1, 1);
        let producer = thread::spawn({
            let world = world.clone();
            move || {
                let mut tail = world.produce(1).unwrap();
                let _ = world.push(&mut tail, 20, NOW);
            }
        });
        let mut item = [0; ITEM];
        world.header.consumer.0.position.store(1, Ordering::Release);
        words::load(&mut item, &world.slots[1..]);
        assert!(item.iter().all(|byte| *byte == item[0]), "torn: {item:?}");
        producer.join().unwrap();
    });
}

/// Says that it is over as soon as it is shut down and looks empty.
#[test]
#[ignore = "fails on purpose"]
fn an_end_without_a_last_look() {
    shutdown_races(|world, head| {
        let (ring, peers): (_, Option<&Mortals>) = (world.ring(), None);
        let (index, lap) = (head.position() & world.geometry.mask(), head.position() >> world.geometry.shift());
        let stamp = &world.slots[index as usize * world.geometry.stride()];
        let mut item = [0; ITEM];
        ring::pop_slow(ring.header(), FOREVER, Backoff::new(), peers, || {
            match stamp.load(Ordering::Acquire) == lap + 1 {
                true => ring.try_pop(head, &mut item),
                false if ring.is_shut_down() => Err(PopFailure::Closed),
                false => Err(PopFailure::Empty),
            }
        })?;
        Ok(item[0])
    });
}
