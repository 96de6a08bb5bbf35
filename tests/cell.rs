//! Values and arrays between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::chance::Chance;
use common::{Name, Role, hear, role, say};
use ringfence::{
    Array, CChar, ElementError, Error, LockError, OutOfRange, RawArray, RawValue, Segment, SegmentOptions, Value,
};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "negate" => {
            Value::<f64>::open(&segment, "v").unwrap().set(2.5);
            let array = Array::<i32>::open(&segment, "a").unwrap();
            (0..array.len()).for_each(|i| array.set(i, -array.get(i).unwrap()).unwrap());
        }
        "deposit-and-withdraw" => {
            let balance = Value::<i64>::open(&segment, "balance").unwrap();
            for _ in 0..10_000 {
                balance.lock().unwrap().update(|b| b + 1);
                balance.lock().unwrap().update(|b| b - 1);
            }
        }
        "write-for-ever" => {
            let wide = Value::<[u64; 32]>::open(&segment, "wide").unwrap();
            say("writing");
            for round in 0.. {
                wide.write([round; 32]).unwrap();
            }
        }
        "write-raw-for-ever" => {
            let wide = RawValue::<[u64; 32]>::open(&segment, "wide").unwrap();
            say("writing");
            for round in 0.. {
                wide.write([round; 32]).unwrap();
            }
        }
        "hold" => {
            let value = Value::<u64>::open(&segment, "v").unwrap();
            let _outer = value.lock().unwrap();
            let _inner = value.lock().unwrap();
            say("held");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str) -> (Name, Segment) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    (name, segment)
}

#[test]
fn a_child_sets_a_double_and_negates_ten_ints() {
    let (name, segment) = setup("negate");
    let value = Value::<f64>::create(&segment, "v", 0.0).unwrap();
    let array = Array::<i32>::create(&segment, "a", 10).unwrap();
    array.write(0, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    Role::start("negate", &[&name.0]).finish();
    assert_eq!(value.get(), 2.5);
    assert_eq!(array.to_vec().unwrap(), [0, -1, -2, -3, -4, -5, -6, -7, -8, -9]);
}

/// A peer that frees a lock which somebody holds: its holder is told, and keeps nothing.
#[test]
fn a_lock_that_is_taken_away_is_not_held() {
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let array = Array::<u8>::create(&segment, "a", 1).unwrap();
    // SAFETY: 128 bytes before the elements of an array lies its lock word (docs/layout.md), accessed atomically.
    let word = unsafe { array.as_ptr().sub(128).cast::<AtomicU32>().as_ref() };
    for _ in 0..100 {
        let guard = array.lock().unwrap();
        word.store(0, Ordering::Relaxed);
        drop(guard);
    }
    drop(array.lock().unwrap());
    segment.close().unwrap();
}

// semantics 89
#[test]
fn locks_are_counted_up_to_a_maximum() {
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let array = Array::<u8>::create(&segment, "a", 1).unwrap();
    // SAFETY: 120 bytes before the elements of an array lies the count of its lock (docs/layout.md), accessed atomically.
    let further = unsafe { array.as_ptr().sub(120).cast::<AtomicU32>().as_ref() };
    let first = array.lock().unwrap();
    assert_eq!(further.load(Ordering::Relaxed), 0);
    further.store(u32::MAX - 2, Ordering::Relaxed);
    let last = array.try_lock().unwrap();
    let refused = array.lock().unwrap_err();
    assert!(matches!(refused, LockError::TooOften), "{refused}");
    drop(last);
    assert_eq!(further.load(Ordering::Relaxed), u32::MAX - 2);
    further.store(0, Ordering::Relaxed);
    drop(first);
    assert_eq!(array.holder(), None);
}

// semantics 42
#[test]
fn a_balance_changed_under_the_lock_ends_where_it_began() {
    let (name, segment) = setup("balance");
    let balance = Value::<i64>::create(&segment, "balance", 200).unwrap();
    let roles: Vec<_> = (0..4).map(|_| Role::start("deposit-and-withdraw", &[&name.0])).collect();
    roles.into_iter().for_each(Role::finish);
    assert_eq!(balance.get(), 200);
}

#[test]
fn a_large_value_is_never_torn_also_when_its_writer_is_killed() {
    let mut chance = Chance::new(20);
    let (name, segment) = setup("torn");
    let wide = Value::<[u64; 32]>::create(&segment, "wide", [0; 32]).unwrap();
    for _ in 0..chance.rounds {
        let mut writer = Role::start("write-for-ever", &[&name.0]);
        writer.expect("writing");
        let whole = |value: [u64; 32]| value.iter().all(|word| *word == value[0]);
        let reads = 1 + chance.index(4000);
        for _ in 0..reads {
            assert!(whole(wide.read().unwrap()));
        }
        assert!(writer.child.try_wait().unwrap().is_none(), "the writer failed");
        writer.kill();
        chance.kills += 1;
        chance.checked += reads;
        assert!(whole(wide.read().unwrap()));
        wide.write([7; 32]).unwrap();
        assert_eq!(wide.read().unwrap(), [7; 32]);
    }
}

// semantics 3
#[test]
fn the_lock_nests_and_its_dead_owner_is_told_once() {
    let (name, segment) = setup("nest");
    let value = Value::<u64>::create(&segment, "v", 0).unwrap();
    let mut holder = Role::start("hold", &[&name.0]);
    holder.expect("held");
    assert!(matches!(value.try_lock(), Err(LockError::WouldBlock)));
    holder.kill();
    assert!(matches!(value.lock(), Err(LockError::OwnerDied(_))));
    let outer = value.lock().unwrap();
    let inner = value.lock().unwrap();
    drop(outer);
    std::thread::scope(|scope| {
        assert!(scope.spawn(|| matches!(value.try_lock(), Err(LockError::WouldBlock))).join().unwrap());
    });
    drop(inner);
    std::thread::scope(|scope| assert!(scope.spawn(|| value.try_lock().is_ok()).join().unwrap()));
}

// semantics 42 and 43
#[test]
fn integers_wrap_and_compare_and_exchange_says_what_was_there() {
    let (_name, segment) = setup("wrap");
    let small = Value::<i8>::create(&segment, "small", 127).unwrap();
    assert_eq!(small.fetch_add(1), 127);
    assert_eq!(small.get(), -128);
    assert_eq!(small.compare_exchange(0, 5), Err(-128));
    assert_eq!(small.compare_exchange(-128, 5), Ok(-128));
    assert_eq!((small.swap(9), small.fetch_sub(10), small.fetch_or(3), small.get()), (5, 9, -1, -1));
    let flag = Value::<bool>::create(&segment, "flag", true).unwrap();
    assert!(flag.swap(false));
    assert!(!flag.get());
}

// semantics 43
#[test]
fn arrays_are_zeroed_also_in_reused_memory() {
    let (_name, segment) = setup("zeroed");
    for _ in 0..3 {
        let array = RawArray::<u64>::create(&segment, "a", 1000).unwrap();
        assert_eq!(array.to_vec().unwrap(), vec![0; 1000]);
        array.write(0, &vec![u64::MAX; 1000]).unwrap();
        segment.remove("a").unwrap();
    }
}

#[test]
fn a_raw_value_is_the_same_object_and_never_torn() {
    let (name, segment) = setup("raw");
    let raw = RawValue::<i64>::create(&segment, "small").unwrap();
    assert_eq!(raw.get(), 0);
    let value = Value::<i64>::open(&segment, "small").unwrap();
    raw.set(-5);
    assert_eq!((raw.get(), value.get()), (-5, -5));
    value.set(6);
    assert_eq!(raw.get(), 6);
    assert!(matches!(RawValue::<i64>::create(&segment, "small"), Err(Error::Exists)));
    assert_eq!(RawValue::<i64>::open_or_create(&segment, "small").unwrap().get(), 6);

    let wide = RawValue::<[u64; 32]>::create(&segment, "wide").unwrap();
    let value = Value::<[u64; 32]>::open(&segment, "wide").unwrap();
    let whole = |value: [u64; 32]| value.iter().all(|word| *word == value[0]);
    for _ in 0..5 {
        let mut writer = Role::start("write-raw-for-ever", &[&name.0]);
        writer.expect("writing");
        for _ in 0..2000 {
            assert!(whole(wide.read().unwrap()) && whole(value.read().unwrap()));
        }
        writer.kill();
        assert!(whole(wide.read().unwrap()));
        wide.write([7; 32]).unwrap();
        assert_eq!((wide.read().unwrap(), value.read().unwrap()), ([7; 32], [7; 32]));
    }
}

#[test]
fn elements_beyond_the_end_are_refused_and_nothing_changes() {
    let (_name, segment) = setup("range");
    let array = Array::<u16>::create(&segment, "a", 4).unwrap();
    assert_eq!(array.get(4), None);
    assert_eq!(array.set(4, 1), Err(OutOfRange { index: 4, len: 4 }));
    let beyond = ElementError::OutOfRange(OutOfRange { index: 4, len: 4 });
    assert_eq!(array.write(2, &[1, 2, 3]), Err(beyond));
    assert_eq!(
        array.read(usize::MAX, &mut [0; 2]),
        Err(ElementError::OutOfRange(OutOfRange { index: usize::MAX - 1, len: 4 }))
    );
    assert_eq!(array.to_vec().unwrap(), [0; 4]);
    assert!(matches!(Array::<u16>::create(&segment, "none", 0), Err(Error::InvalidArgument(_))));
}

// semantics 43
#[test]
fn text_ends_at_the_first_nul() {
    let (_name, segment) = setup("text");
    let text = Array::<CChar>::create(&segment, "t", 8).unwrap();
    text.set_value(b"hello").unwrap();
    text.set_value(b"hi").unwrap();
    assert_eq!(text.value(), b"hi");
    assert_eq!(text.raw(), b"hi\0lo\0\0\0");
    assert!(text.set_value(b"much too long").is_err());
    text.set_value(b"12345678").unwrap();
    assert_eq!(text.value(), b"12345678");
}

#[test]
fn structs_in_an_array_are_whole() {
    let (_name, segment) = setup("structs");
    let points = Array::<[f64; 3]>::create(&segment, "p", 5).unwrap();
    points.write(1, &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).unwrap();
    points.fill([9.0; 3]).unwrap();
    points.write(4, &[[0.5; 3]]).unwrap();
    assert_eq!(points.to_vec().unwrap(), [[9.0; 3], [9.0; 3], [9.0; 3], [9.0; 3], [0.5; 3]]);
    assert!(matches!(Array::<[f64; 2]>::open(&segment, "p"), Err(Error::WrongShape { .. })));
    assert!(matches!(Value::<[f64; 3]>::open(&segment, "p"), Err(Error::WrongKind { .. })));
}
