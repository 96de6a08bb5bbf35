//! Birth, life and death of segments. Numbers in comments are those of docs/semantics.md.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Name, PATIENCE, Role, die_with_parent, fork, hear, kill, listed, role, say, small, until};
use ringfence::{Error, LockError, Mutex, Segment, SegmentOptions, Unlink};

fn with_last() -> SegmentOptions {
    small().unlink(Unlink::WithLast)
}

fn living(name: &str) -> Option<usize> {
    Segment::list().unwrap().into_iter().find(|info| info.name == name).map(|info| info.participants)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let name = arguments.first().map_or("", String::as_str);
    match role.as_str() {
        "member" => {
            let _segment = Segment::open(name).unwrap();
            say("in");
            hear();
        }
        "creator" => {
            let _segment = Segment::create(name, &with_last()).unwrap();
            say("in");
            hear();
        }
        // Several processes in a group of their own, each a member, one of them holding the lock.
        "group" => {
            // SAFETY: changes this process's group only.
            assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
            let segment = Segment::open(name).unwrap();
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            for _ in 0..2 {
                fork(|| {
                    die_with_parent();
                    drop(mutex.lock().unwrap());
                    std::thread::park();
                });
            }
            until("the children have joined", || segment.participants().len() == 4);
            until("the lock is free", || match mutex.try_lock() {
                Ok(mut guard) => {
                    *guard += 1;
                    guard.commit();
                    std::mem::forget(guard);
                    true
                }
                _ => false,
            });
            say("ready");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

// semantics 76, 77
#[test]
fn names_are_taken_free_or_either() {
    let name = Name::new("names");
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    assert_eq!(Segment::unlink(&name.0), Err(Error::Missing));
    let first = name.create(&small());
    assert!(matches!(Segment::create(&name.0, &small()), Err(Error::Exists)));
    let second = Segment::open(&name.0).unwrap();
    let third = Segment::open_or_create(&name.0, &small()).unwrap();
    assert_eq!((first.participants().len(), first.name()), (1, Some(name.0.as_str())));
    assert_eq!(listed(&name.0), [name.0.as_str()]);

    let mutex = Mutex::create(&first, "m", 5_u64).unwrap();
    Segment::unlink(&name.0).unwrap();
    assert_eq!(Segment::unlink(&name.0), Err(Error::Missing));
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    drop((first, third));
    // The mapping outlives the name, and a new segment of that name is another one.
    assert_eq!(*mutex.lock().unwrap(), 5);
    let fresh = name.create(&small());
    assert!(matches!(Mutex::<u64>::open(&fresh, "m"), Err(Error::Missing)));
    assert_eq!(*Mutex::<u64>::open(&second, "m").unwrap().lock().unwrap(), 5);
}

// semantics 79
#[test]
fn drops_keep_the_name_unless_asked_and_last() {
    let name = Name::new("drop");
    drop(name.create(&small()));
    assert!(name.path().exists());
    Segment::unlink(&name.0).unwrap();

    let segment = name.create(&with_last());
    let object = Mutex::create(&segment, "m", 0_u64).unwrap();
    let mut other = Role::start("member", &[&name.0]);
    other.expect("in");
    drop(segment);
    drop(object);
    assert!(name.path().exists(), "another process is still there");
    other.tell("leave");
    other.finish();
    assert!(!name.path().exists());

    // The last one is killed instead: found dead by whoever comes next.
    let mut creator = Role::start("creator", &[&name.0]);
    creator.expect("in");
    creator.kill();
    assert!(matches!(living(&name.0), None | Some(0)), "another test may sweep it");
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    assert!(!name.path().exists());

    let mut creator = Role::start("creator", &[&name.0]);
    creator.expect("in");
    creator.kill();
    let fresh = Segment::open_or_create(&name.0, &small()).unwrap();
    assert!(matches!(Mutex::<u64>::open(&fresh, "m"), Err(Error::Missing)));
}

/// Two last participants leave at the same moment, again and again: one of them must see that it is the last.
#[test]
fn the_last_two_leave_at_once() {
    let name = Name::new("leave");
    for _ in 0..30 {
        let segment = name.create(&with_last());
        let mut other = Role::start("member", &[&name.0]);
        other.expect("in");
        other.tell("leave");
        drop(segment);
        other.finish();
        assert!(!name.path().exists());
    }
}

#[test]
fn a_group_killed_at_once_is_recovered_or_swept() {
    let name = Name::new("group");
    for unlink in [Unlink::Keep, Unlink::WithLast] {
        let segment = name.create(&small().unlink(unlink));
        let mutex = Mutex::create(&segment, "m", 10_u64).unwrap();
        let mut group = Role::start("group", &[&name.0]);
        group.expect("ready");
        drop((mutex, segment));
        assert_eq!(living(&name.0), Some(3));
        assert_eq!(Segment::sweep().map(|report| report.segments.contains(&name.0)), Ok(false), "they live");
        kill(-group.pid());
        drop(group);
        // Another test may sweep before we do.
        until("all are dead", || matches!(living(&name.0), None | Some(0)));
        let swept = Segment::sweep().unwrap();
        assert!(unlink == Unlink::WithLast || !swept.segments.contains(&name.0));
        assert_eq!(name.path().exists(), unlink == Unlink::Keep);
        let segment = Segment::open_or_create(&name.0, &small()).unwrap();
        assert_eq!(segment.participants().len(), 1);
        match Mutex::<u64>::open(&segment, "m") {
            Ok(mutex) => {
                assert_eq!(unlink, Unlink::Keep);
                let Err(LockError::OwnerDied(guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
                assert_eq!(*guard, 11);
            }
            Err(error) => assert_eq!((unlink, error), (Unlink::WithLast, Error::Missing)),
        }
        drop(segment);
        Segment::unlink(&name.0).unwrap();
    }
}

/// As a process leaves it that is killed in the middle of unlinking: marked, and the name still there.
#[test]
fn half_an_unlink_is_swept_and_a_kept_segment_is_not() {
    let (marked, kept, lived_in) = (Name::new("marked"), Name::new("kept"), Name::new("lived-in"));
    let segment = lived_in.create(&small());
    for name in [&marked, &kept] {
        drop(name.create(&small()));
    }
    for name in [&marked, &lived_in] {
        let file = std::fs::File::options().write(true).open(name.path()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &1_u32.to_ne_bytes(), 128).unwrap(); // docs/layout.md: retired
    }
    Segment::sweep().unwrap(); // or another test has done it
    assert_eq!([&marked, &kept, &lived_in].map(|name| name.path().exists()), [false, true, true]);
    drop(segment);
}

// semantics 76
#[test]
fn an_existing_segment_that_is_too_small_is_another_shape() {
    let name = Name::new("shape");
    let segment = name.create(&small().size(8192));
    drop(Segment::open_or_create(&name.0, &small().size(8192)).unwrap());
    drop(Segment::open_or_create(&name.0, &small().size(1)).unwrap());
    match Segment::open_or_create(&name.0, &small().size(1 << 20)) {
        Err(error @ Error::WrongShape { .. }) => {
            let text = error.to_string();
            let room = segment.size() as u64 - common::Parts::of(4, 2).heap;
            assert!(text.contains("1048576") && text.contains(&room.to_string()), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(segment.participants().len(), 1);
}

/// A participant is counted wherever in the table its place lies, however the locks were taken.
#[test]
fn the_list_counts_places_that_were_used_again() {
    let name = Name::new("count");
    let segment = name.create(&small());
    let mut members: Vec<_> = (0..3).map(|_| Role::start("member", &[&name.0])).collect();
    members.iter_mut().for_each(|member| member.expect("in"));
    assert_eq!(living(&name.0), Some(4));
    // The first place is freed and taken again, by the youngest lock of the file.
    drop(segment);
    assert_eq!(living(&name.0), Some(3));
    let segment = Segment::open(&name.0).unwrap();
    assert_eq!(living(&name.0), Some(4));
    members.remove(1).kill();
    assert_eq!(living(&name.0), Some(3));
    drop(segment);
    members.remove(0).kill();
    assert_eq!(living(&name.0), Some(1));
}

/// Threads of one process that open at the same moment get one place together, and do not wait for each other's door.
#[test]
fn threads_that_open_at_once_share_a_place() {
    let name = Name::new("threads");
    let mut keeper = Role::start("creator", &[&name.0]);
    keeper.expect("in");
    let barrier = std::sync::Barrier::new(8);
    // Who waits for a door that only this process has waits for five seconds, each time; a loaded machine is not so slow
    // more than once or twice.
    let slow = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for nth in 0..8 {
            let (barrier, slow, name) = (&barrier, &slow, &name.0);
            scope.spawn(move || {
                for _ in 0..50 {
                    barrier.wait();
                    let start = Instant::now();
                    let segment = Segment::open(name).unwrap();
                    barrier.wait();
                    assert_eq!(segment.participants().len(), 2);
                    barrier.wait();
                    drop(segment);
                    slow.fetch_add((nth == 0 && start.elapsed() >= Duration::from_secs(4)).into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(slow.into_inner() <= 2, "they wait for each other");
    keeper.tell("leave");
    keeper.finish();
    assert!(!name.path().exists());
}
