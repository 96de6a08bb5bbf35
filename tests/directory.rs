//! Named objects inside a segment, and the space they lie in. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::chance::Chance;
use common::{Name, PATIENCE, Parts, Role, fork, hear, kill, reap, role, say, until};
use ringfence::{Array, CChar, Channel, Element, Error, Mutex, ObjectInfo, Queue, Segment, SegmentOptions, Value};

/// About 8 KiB.
type Big = [u64; 512];

fn options(objects: u32, bytes: usize) -> SegmentOptions {
    SegmentOptions::new().size(bytes).participants(8).objects(objects)
}

fn names(segment: &Segment) -> Vec<String> {
    let mut names: Vec<_> = segment.objects().unwrap().into_iter().map(|object| object.name).collect();
    names.sort();
    names
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "opener" => {
            let big = Mutex::<Big>::open(&segment, "big").unwrap();
            say("open");
            hear();
            assert!(big.lock().unwrap().iter().all(|word| *word == 1));
            drop(big);
            say("closed");
            hear();
        }
        "churner" => {
            say("go");
            churn(&segment, arguments[1].parse().unwrap());
        }
        "creates-once" => {
            for round in 0_u64..200 {
                let name = format!("once-{round}");
                let mutex = Mutex::open_or_create(&segment, &name, [round; 2]).unwrap();
                let mut guard = mutex.lock_timeout(PATIENCE).unwrap();
                assert_eq!(guard[0], round);
                guard[1] += 1;
                // Removed by the last of three.
                if guard[1] == round + 3 {
                    drop(guard);
                    segment.remove(&name).unwrap();
                }
            }
        }
        _ => panic!("no role {role}"),
    }
}

/// Creates, opens and removes at random, for ever. Every object says which one it is.
fn churn(segment: &Segment, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut open = std::collections::VecDeque::new();
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let name = format!("o{}", state >> 8 & 7);
        match Mutex::open_or_create(segment, &name, [state; 64]) {
            Ok(mutex) => {
                if let Ok(guard) = mutex.lock_timeout(PATIENCE).or_else(|error| error.into_guard().ok_or(())) {
                    assert!(guard.iter().all(|word| *word == guard[0]), "two objects in one place");
                }
                open.push_back(mutex);
            }
            Err(Error::NoSpace | Error::DirectoryFull) => {}
            Err(error) => panic!("{error}"),
        }
        if open.len() > 3 {
            open.pop_front();
        }
        match segment.remove(&format!("o{}", state >> 16 & 7)) {
            Ok(()) | Err(Error::Missing) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

// semantics 76, 77
#[test]
fn object_names_are_taken_free_or_either() {
    let segment = Segment::anonymous(&options(4, 4096)).unwrap();
    assert!(matches!(Mutex::<u64>::open(&segment, "m"), Err(Error::Missing)));
    assert_eq!(segment.remove("m"), Err(Error::Missing));
    let first = Mutex::create(&segment, "m", 1_u64).unwrap();
    assert!(matches!(Mutex::create(&segment, "m", 2_u64), Err(Error::Exists)));
    assert_eq!(*Mutex::open_or_create(&segment, "m", 3_u64).unwrap().lock().unwrap(), 1);
    let objects = segment.objects().unwrap();
    assert!(matches!(&objects[..], [ObjectInfo { name, kind: "mutex", capacity: 1, bytes: 128, .. }] if name == "m"));

    segment.remove("m").unwrap();
    assert_eq!(segment.remove("m"), Err(Error::Missing));
    // Whoever has it open goes on; a new one of that name is another one.
    let second = Mutex::create(&segment, "m", 2_u64).unwrap();
    *first.lock().unwrap() = 10;
    assert_eq!((*first.lock().unwrap(), *second.lock().unwrap()), (10, 2));
}

#[derive(Clone, Copy, ringfence::bytemuck::Pod, ringfence::bytemuck::Zeroable)]
#[bytemuck(crate = "ringfence::bytemuck")]
#[repr(C)]
struct Point([f32; 3]);
ringfence::plain!(Point, tag = "point/1");

#[test]
fn the_list_says_what_objects_are_made_of() {
    let segment = Segment::anonymous(&options(8, 1 << 14)).unwrap();
    let _mutex = Mutex::create(&segment, "mutex", Point([0.0; 3])).unwrap();
    let _value = Value::create(&segment, "value", true).unwrap();
    let _array = Array::<CChar>::create(&segment, "array", 7).unwrap();
    let _queue = Queue::<u64>::create(&segment, "queue", 3).unwrap();
    let _channel = Channel::create(&segment, "channel", 64).unwrap();
    let mut objects: Vec<_> = segment.objects().unwrap();
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    let all: Vec<_> = objects
        .iter()
        .map(|o| (o.kind, o.capacity, o.element, o.element_size, o.element_align, o.tag.as_str()))
        .collect();
    assert_eq!(
        all,
        [
            ("array", 7, Some(Element::Char), 1, 1, ""),
            ("channel", 64, Some(Element::Struct), 1, 1, ""),
            ("mutex", 1, Some(Element::Struct), 12, 4, "point/1"),
            ("queue", 3, Some(Element::Struct), 8, 8, ""),
            ("value", 1, Some(Element::Bool), 1, 1, ""),
        ]
    );

    // A type that only another version knows: 8 bytes into the entry (docs/layout.md) of the value, the second object.
    let file = std::fs::File::from(segment.try_clone_fd().unwrap());
    let element = Parts::of(8, 8).entries[1].0 + 8;
    std::os::unix::fs::FileExt::write_all_at(&file, &99_u32.to_ne_bytes(), element).unwrap();
    let objects = segment.objects().unwrap();
    assert_eq!(objects.iter().find(|object| object.name == "value").unwrap().element, None);
}

// semantics 76
#[test]
fn of_many_creators_one_initialises() {
    let name = Name::new("once");
    let segment = name.create(&options(200, 1 << 16));
    let roles: Vec<_> = (0..3).map(|_| Role::start("creates-once", &[&name.0])).collect();
    roles.into_iter().for_each(Role::finish);
    assert!(names(&segment).is_empty());
}

#[test]
fn space_is_used_again_when_nobody_living_has_it_open() {
    let name = Name::new("space");
    let segment = name.create(&options(4, 10000));
    let make = || Mutex::<Big>::create(&segment, "big", [1; 512]);
    drop(make().unwrap());
    let mut opener = Role::start("opener", &[&name.0]);
    opener.expect("open");
    segment.remove("big").unwrap();
    // It is open in another process, whose data must stay.
    assert!(matches!(make(), Err(Error::NoSpace)));
    opener.tell("look");
    opener.expect("closed");
    drop(make().unwrap());
    opener.kill();

    // Open in this process counts as well, once for all handles.
    let mut big = vec![Mutex::<Big>::open(&segment, "big").unwrap(), Mutex::<Big>::open(&segment, "big").unwrap()];
    segment.remove("big").unwrap();
    while big.pop().is_some() {
        assert_eq!(make().is_ok(), big.is_empty());
    }

    // A dead process has nothing open.
    let mut opener = Role::start("opener", &[&name.0]);
    opener.expect("open");
    segment.remove("big").unwrap();
    assert!(matches!(make(), Err(Error::NoSpace)));
    opener.kill();
    drop(make().unwrap());
}

/// What a forked child inherited is gone if it was removed, and given to others, before the child's first call.
#[test]
fn an_inherited_object_may_be_stale() {
    let name = Name::new("stale");
    let segment = name.create(&options(4, 10000));
    let big = Mutex::<Big>::create(&segment, "big", [1; 512]).unwrap();
    let turn = std::os::unix::net::UnixDatagram::pair().unwrap();
    let child = fork(|| {
        turn.1.recv(&mut [0]).unwrap();
        assert!(matches!(big.lock(), Err(ringfence::LockError::Segment(Error::Stale))));
        assert!(matches!(big.try_lock(), Err(ringfence::LockError::Segment(Error::Stale))));
    });
    drop(big);
    segment.remove("big").unwrap();
    let other = Mutex::<Big>::create(&segment, "other", [2; 512]).unwrap();
    turn.0.send(b".").unwrap();
    assert_eq!(reap(child), 0);
    assert!(other.lock().unwrap().iter().all(|word| *word == 2));
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

// semantics 43
#[test]
fn many_objects_fill_the_directory_and_come_again() {
    let segment = Segment::anonymous(&options(300, 300 * 128)).unwrap();
    for round in 0..3_u64 {
        for i in 0..300_u64 {
            drop(Mutex::create(&segment, &format!("object {i}"), i * round).unwrap());
        }
        assert!(matches!(Mutex::create(&segment, "one more", 0_u8), Err(Error::DirectoryFull)));
        assert_eq!(segment.objects().unwrap().len(), 300);
        for i in (0..300).rev() {
            let name = format!("object {i}");
            assert_eq!(*Mutex::<u64>::open(&segment, &name).unwrap().lock().unwrap(), i * round);
            segment.remove(&name).unwrap();
        }
        assert_eq!(segment.objects().unwrap(), []);
    }
    // Gaps of several sizes, filled by first fit.
    for i in 0..100_u64 {
        drop(Mutex::create(&segment, &i.to_string(), [i; 16]).unwrap());
    }
    (0..100).step_by(2).for_each(|i: u64| segment.remove(&i.to_string()).unwrap());
    for i in (0..100_u64).step_by(2) {
        drop(Mutex::create(&segment, &i.to_string(), i).unwrap());
    }
    assert!(
        (1..100_u64)
            .step_by(2)
            .all(|i| { *Mutex::<[u64; 16]>::open(&segment, &i.to_string()).unwrap().lock().unwrap() == [i; 16] })
    );
}

/// Killed at random moments in the middle of creating and removing, again and again.
#[test]
fn random_kills_leave_a_sound_directory() {
    let mut chance = Chance::new(25);
    let name = Name::new("churn");
    let segment = name.create(&options(12, 12 * 1200));
    for _ in 0..chance.rounds {
        let mut churner = || Role::start("churner", &[&name.0, &chance.below(1 << 31).to_string()]);
        let mut roles = [churner(), churner()];
        roles.iter_mut().for_each(|role| role.expect("go"));
        chance.pause(Duration::from_micros(5500));
        for role in roles {
            assert!(common::state_of(role.pid()) != Some('Z'), "a churner failed");
            kill(role.pid());
            chance.kills += 1;
        }
        for name in names(&segment) {
            segment.remove(&name).unwrap();
            chance.checked += 1;
        }
        segment.recover().unwrap();
        assert_eq!(segment.participants().len(), 1);
    }
    // Everything is free again.
    let all: Vec<_> = (0..12).map(|i| Mutex::create(&segment, &i.to_string(), [0_u64; 64]).unwrap()).collect();
    until("all can be locked", || all.iter().all(|mutex| mutex.try_lock().is_ok()));
}
